//! Copies of files into the cache, written while their chunks are worked on.
//!
//! A copy goes past the page cache, where nobody looks for it soon: the file itself was just read and is there. Threads
//! that wait for the disk leave the cores to those who compute; while the disk is slower than those, files go through the
//! page cache, which takes them at once. Holes of a file are holes of its copy. Invariant: a copy has the bytes in their order, or its failure is told.
//! Deliberately absent: syncing; a cache may lose what it has, and finds that out.

use std::io;
use std::sync::Mutex;
use std::time::Instant;

use fs_err as fs;

use super::direct::{set_direct, write_direct};
use crate::hash;
use crate::holes;

/// Threads that write.
const WRITERS: usize = 3;

/// The copy of one file on its way.
#[derive(Debug)]
pub(super) struct CopyFile {
    file: fs::File,
    /// Whether it goes past the page cache.
    direct: bool,
    /// Of a file with holes, how many bytes came.
    sparse: Option<u64>,
    /// Whether all bytes were written until now.
    written: io::Result<()>,
}

impl CopyFile {
    /// Begin a copy; of a file with holes, if it is `sparse`.
    pub(super) fn create(target: &hash::Copy, direct: bool, sparse: bool) -> crate::Result<Self> {
        let file = hash::create(target)?;
        let direct = direct && !sparse && set_direct(&file, true).is_ok();
        Ok(Self {
            file,
            direct,
            sparse: sparse.then_some(0),
            written: Ok(()),
        })
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.written.is_ok() {
            self.written = match &mut self.sparse {
                Some(length) => {
                    *length += bytes.len() as u64;
                    holes::append(&mut self.file, bytes)
                }
                None => write_direct(&mut self.file, bytes, &mut self.direct),
            };
        }
    }

    /// Whether not all bytes that were appended were written: then more of them are of no use.
    pub(super) const fn is_broken(&self) -> bool {
        self.written.is_err()
    }

    /// Whether all bytes that were appended were written.
    pub(super) fn finish(self) -> io::Result<()> {
        self.written?;
        self.sparse.map_or(Ok(()), |length| self.file.set_len(length))
    }
}

/// Append to copies while something else is done. Returns whether they were written by then.
pub(super) fn append_beside(all: &mut [(&mut CopyFile, &[u8])], beside: impl FnOnce()) -> bool {
    if all.is_empty() {
        beside();
        return true;
    }
    let begun = Instant::now();
    let writers = WRITERS.min(all.len());
    let waiting = Mutex::new(all.iter_mut());
    let next = || waiting.lock().ok().and_then(|mut all| all.next());
    let mut computed = begun.elapsed();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while let Some((copy, bytes)) = next() {
                    copy.append(bytes);
                }
            });
        }
        beside();
        computed = begun.elapsed();
    });
    // Not to the microsecond: ending threads takes some of them.
    begun.elapsed() < computed * 11 / 10
}

#[cfg(test)]
mod tests {
    use super::super::window::Window;
    use super::{CopyFile, append_beside};
    use crate::hash;
    use fs_err as fs;

    #[test]
    fn copies_have_their_bytes_in_order_whatever_their_portions_and_however_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes: Vec<u8> = (0..1_200_345_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        // Zeros within, and at the end.
        bytes[200_000..700_000].fill(0);
        bytes[1_000_000..].fill(0);
        for (name, direct, sparse, portion) in [
            ("a", true, false, 65_536),
            ("b", true, false, 70_001),
            ("c", false, false, 70_001),
            ("d", true, true, 65_536),
        ] {
            let target = hash::Copy {
                temporary: folder.path().join(name),
                mode: 0o644,
                durable: false,
            };
            let mut copies = [
                CopyFile::create(&target, direct, sparse).unwrap(),
                CopyFile::create(
                    &hash::Copy {
                        temporary: folder.path().join(format!("{name}2")),
                        ..target.clone()
                    },
                    direct,
                    sparse,
                )
                .unwrap(),
            ];
            let mut beside = 0;
            for part in bytes.chunks(portion) {
                let mut window = Window::of(Vec::with_capacity(portion + Window::SLACK), &[]);
                window.end().extend_from_slice(part);
                let mut all: Vec<_> = copies.iter_mut().map(|copy| (copy, window.fresh())).collect();
                append_beside(&mut all, || beside += 1);
            }
            for copy in copies {
                copy.finish().unwrap();
            }
            assert_eq!(beside, bytes.chunks(portion).len());
            for file in [name.to_owned(), format!("{name}2")] {
                assert!(fs::read(folder.path().join(&file)).unwrap() == bytes, "{file}");
            }
        }
    }
}
