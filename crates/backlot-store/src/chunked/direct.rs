//! Writing past the page cache: what is written once and synced at once needs no copy in memory.
//!
//! A pack is written from its beginning to its end and then brought to the disk; through the page cache, that costs a page
//! for each 4 KiB and a second walk over all of them. Here bytes are collected in one aligned block and written from
//! there by `O_DIRECT`, where the system and the file system have it; otherwise the same blocks go the ordinary way.
//! Invariant: the file's bytes are the same either way. Deliberately absent: reading past the cache; what is read may be
//! read again.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write as _};

use fs_err as fs;

/// What is written at once: long enough for several requests to be on their way to the disk together.
const BLOCK: usize = 4 << 20;
/// What the memory of a block begins at a multiple of; no disk asks for more.
pub(super) const ALIGNMENT: usize = 4096;

thread_local! {
    /// The memory of the file that this thread wrote last: the next one needs as much.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A file's bytes on their way, in order.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    /// A block and room to align it; empty until the first bytes come.
    memory: Vec<u8>,
    start: usize,
    filled: usize,
    /// Whether blocks go past the page cache; tried with the first.
    direct: Option<bool>,
}

impl BlockWriter {
    /// Write to the end of a file, a block at a time.
    pub(super) fn write(&mut self, file: &mut fs::File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.memory.is_empty() {
                self.memory = SPARE.take();
                self.memory.resize(BLOCK + ALIGNMENT, 0);
                self.start = to_alignment(self.memory.as_ptr());
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            let at = self.start + self.filled;
            self.memory[at..at + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == BLOCK {
                self.write_block(file)?;
            }
        }
        Ok(())
    }

    /// Write what is left, and leave the memory to the next file.
    pub(super) fn finish(&mut self, file: &mut fs::File) -> io::Result<()> {
        self.write_block(file)?;
        if !self.memory.is_empty() {
            SPARE.set(std::mem::take(&mut self.memory));
        }
        self.start = 0;
        Ok(())
    }

    fn write_block(&mut self, file: &mut fs::File) -> io::Result<()> {
        let direct = match &mut self.direct {
            Some(direct) => direct,
            // What is shorter than a block is not worth it.
            None => self
                .direct
                .insert(self.filled == BLOCK && set_direct(file, true).is_ok()),
        };
        write_direct(file, &self.memory[self.start..self.start + self.filled], direct)?;
        self.filled = 0;
        Ok(())
    }
}

/// Append to a file that may be open for direct writing; where that does not work, or no more, it is so no more.
pub(super) fn write_direct(file: &mut fs::File, bytes: &[u8], direct: &mut bool) -> io::Result<()> {
    let whole = match to_alignment(bytes.as_ptr()) {
        0 => bytes.len() / ALIGNMENT * ALIGNMENT,
        _ => 0,
    };
    let (mut blocks, rest) = bytes.split_at(whole);
    while *direct && !blocks.is_empty() {
        match file.write(blocks) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => blocks = &blocks[written..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // A file system that takes the flag and not the block, or a block that was written in part.
            Err(e) if e.kind() == ErrorKind::InvalidInput => break,
            Err(e) => return Err(e),
        }
    }
    if *direct && !(blocks.is_empty() && rest.is_empty()) {
        set_direct(file, false)?;
        *direct = false;
    }
    file.write_all(blocks)?;
    file.write_all(rest)
}

/// How far it is from an address to the next that a direct write can begin at.
pub(super) fn to_alignment(address: *const u8) -> usize {
    address.align_offset(ALIGNMENT).min(ALIGNMENT)
}

/// Turn direct writing on or off.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(super) fn set_direct(file: &fs::File, direct: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

/// Direct writing is not to be had here.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(super) fn set_direct(_: &fs::File, _: bool) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, BlockWriter};
    use fs_err as fs;

    #[test]
    fn a_file_has_the_bytes_in_order_whatever_their_portions() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..u32::try_from(2 * BLOCK + 12_345).unwrap())
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for (name, portion) in [("odd", 70_001), ("whole", BLOCK), ("all", bytes.len())] {
            let path = folder.path().join(name);
            let mut file = fs::File::create(&path).unwrap();
            let mut writer = BlockWriter::default();
            for part in bytes.chunks(portion) {
                writer.write(&mut file, part).unwrap();
            }
            writer.finish(&mut file).unwrap();
            assert!(fs::read(&path).unwrap() == bytes, "{name}");
        }
    }

    #[test]
    fn an_empty_file_and_a_short_one_are_what_they_should_be() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [b"".as_slice(), b"short"] {
            let path = folder.path().join("file");
            let mut file = fs::File::create(&path).unwrap();
            let mut writer = BlockWriter::default();
            writer.write(&mut file, bytes).unwrap();
            writer.finish(&mut file).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
