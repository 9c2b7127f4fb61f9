//! Workloads and measuring tools shared by all benches.
//!
//! A workload is data: how many files of which size, made of which blocks. Invariants: its bytes depend on its name and
//! numbers only, so every run and every rival sees the same set; half of each file is incompressible. Deliberately
//! absent: rivals and steps, which each bench has for itself (`src/bin/`), and statistics beyond a median.

pub mod machine;
pub mod measure;
pub mod program;
pub mod report;
pub mod tree;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Bytes of one block of a file: its first half is pseudo-random, its second half text.
pub const BLOCK: usize = 64 * 1024;
/// Bytes that a change overwrites in a file.
pub const CHANGE: usize = 4 * 1024;

/// A set of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Workload {
    /// Its name in reports and folders.
    pub name: &'static str,
    /// What it stands for.
    pub stands_for: &'static str,
    /// How many files.
    pub files: usize,
    /// The bytes of each.
    pub file_bytes: usize,
    /// How many files a second version changes, [`CHANGE`] bytes in each.
    pub changed_files: usize,
}

/// The workloads of the published figures.
pub const FULL: [Workload; 2] = [
    Workload {
        name: "500x2MiB",
        stands_for: "a sequence of frames",
        files: 500,
        file_bytes: 2 << 20,
        changed_files: 3,
    },
    Workload {
        name: "20000x16KiB",
        stands_for: "a cache of many small files",
        files: 20_000,
        file_bytes: 16 << 10,
        changed_files: 3,
    },
];

/// The same shapes in seconds, to see that a bench works; its figures say little.
pub const SMALL: [Workload; 2] = [
    Workload {
        files: 40,
        name: "40x2MiB",
        ..FULL[0]
    },
    Workload {
        files: 1_000,
        name: "1000x16KiB",
        ..FULL[1]
    },
];

impl Workload {
    /// All its bytes.
    pub fn bytes(&self) -> u64 {
        self.files as u64 * self.file_bytes as u64
    }

    /// The path of a file inside the set.
    pub fn path(&self, folder: &Path, file: usize) -> PathBuf {
        folder.join(format!("frame.{file:05}.bin"))
    }

    /// Write the set into a folder, which is made.
    pub fn generate(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for file in 0..self.files {
            let mut written = io::BufWriter::new(fs::File::create(self.path(folder, file))?);
            self.write_file(file, &mut written)?;
            written.flush()?;
        }
        Ok(())
    }

    /// Write the bytes of one file, block by block: a file may be larger than what the bench should keep in memory.
    fn write_file(&self, file: usize, to: &mut impl Write) -> io::Result<()> {
        let mut random = Random::new(self.file_bytes as u64, file as u64);
        let mut bytes = Vec::with_capacity(BLOCK + 64);
        let mut position = 0;
        while position < self.file_bytes {
            let block = BLOCK.min(self.file_bytes - position);
            bytes.clear();
            while bytes.len() < block / 2 {
                bytes.extend_from_slice(&random.next().to_le_bytes());
            }
            bytes.truncate(block / 2);
            while bytes.len() < block {
                let line = format!(
                    "{{\"frame\": {file}, \"at\": {}, \"layer\": \"beauty\"}}\n",
                    position + bytes.len()
                );
                bytes.extend_from_slice(line.as_bytes());
            }
            to.write_all(&bytes[..block])?;
            position += block;
        }
        Ok(())
    }

    /// Which files the second version changes.
    pub fn changed(&self) -> Vec<usize> {
        (1..=self.changed_files)
            .map(|n| n * self.files / (self.changed_files + 1))
            .collect()
    }

    /// Make the second version of the set in a folder: [`CHANGE`] bytes in the middle of some files, in place.
    pub fn change(&self, folder: &Path) -> io::Result<()> {
        use std::io::{Seek as _, SeekFrom};
        for file in self.changed() {
            let mut random = Random::new(0xc4a6_e000, file as u64);
            let bytes: Vec<u8> = (0..CHANGE / 8)
                .flat_map(|_| random.next().to_le_bytes())
                .collect();
            let mut opened = fs::OpenOptions::new().write(true).open(self.path(folder, file))?;
            opened.seek(SeekFrom::Start(((self.file_bytes - CHANGE) / 2) as u64))?;
            opened.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): enough for bytes that do not compress.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a place in a stream: the same each time, unlike those of other streams and places.
    pub fn new(stream: u64, position: u64) -> Self {
        let mut mixed = Self(stream ^ position.wrapping_mul(0xa076_1d64_78bd_642f));
        Self(mixed.next())
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends; an iterator would have to say so"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::{CHANGE, SMALL, Workload};
    use fs_err as fs;

    #[test]
    fn a_set_is_the_same_each_time_and_no_two_files_are_alike() {
        let workload = Workload { files: 9, ..SMALL[1] };
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        workload.generate(&a).expect("generated");
        workload.generate(&b).expect("generated");
        let mut seen = std::collections::HashSet::new();
        for file in 0..workload.files {
            let bytes = fs::read(workload.path(&a, file)).expect("read");
            assert_eq!(bytes.len(), workload.file_bytes);
            assert_eq!(bytes, fs::read(workload.path(&b, file)).expect("read"));
            assert!(seen.insert(bytes));
        }
    }

    #[test]
    fn a_change_touches_its_bytes_in_its_files_only() {
        let workload = Workload { files: 9, ..SMALL[1] };
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        workload.generate(&a).expect("generated");
        workload.generate(&b).expect("generated");
        workload.change(&b).expect("changed");
        for file in 0..workload.files {
            let old = fs::read(workload.path(&a, file)).expect("read");
            let new = fs::read(workload.path(&b, file)).expect("read");
            assert_eq!(old.len(), new.len());
            let differing = old.iter().zip(&new).filter(|(x, y)| x != y).count();
            if workload.changed().contains(&file) {
                assert!(differing > CHANGE * 9 / 10 && differing <= CHANGE);
            } else {
                assert_eq!(differing, 0);
            }
        }
    }
}
