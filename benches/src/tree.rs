//! Folders as benches see them: copied, compared byte for byte, counted.
//!
//! Invariant: what a step sent is told by the file system, not by the program that was measured. Deliberately absent:
//! symbolic links, of which no set has any.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Copy a folder. Files that are there are overwritten.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // No entry has no name.
    copy_without(from, to, "")
}

/// Copy a folder except the entries of one name: what version control would bring. Files that are there are overwritten.
pub fn copy_without(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() == name {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_without(&entry.path(), &target, name)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Whether two files have the same bytes.
pub fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    const PIECE: u64 = 1 << 20;
    let (mut a, mut b) = (fs::File::open(a)?, fs::File::open(b)?);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        a.by_ref().take(PIECE).read_to_end(&mut left)?;
        b.by_ref().take(PIECE).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

/// The files below a folder at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory(BTreeMap<PathBuf, Seen>);

/// What tells a file apart from its later self.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Inventory {
    /// Take it. A folder that is not there has no files.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut inventory = Self::default();
        if folder.exists() {
            inventory.walk(folder)?;
        }
        Ok(inventory)
    }

    fn walk(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                self.walk(&entry.path())?;
            } else {
                let seen = Seen {
                    inode: metadata.ino(),
                    bytes: metadata.len(),
                    modified: (metadata.mtime(), metadata.mtime_nsec()),
                };
                self.0.insert(entry.path(), seen);
            }
        }
        Ok(())
    }

    /// How many files.
    pub fn files(&self) -> u64 {
        self.0.len() as u64
    }

    /// All their bytes.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|seen| seen.bytes).sum()
    }

    /// Bytes written since an earlier inventory: files that are new or were replaced count in whole, files that grew
    /// count what they grew by, and what is gone counts nothing.
    pub fn written_since(&self, before: &Self) -> u64 {
        let written = self.0.iter().map(|(path, now)| match before.0.get(path) {
            Some(then) if then == now => 0,
            Some(then) if then.inode == now.inode && then.bytes < now.bytes => now.bytes - then.bytes,
            _ => now.bytes,
        });
        written.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Inventory, same_bytes};
    use fs_err as fs;
    use std::io::Write as _;

    #[test]
    fn new_replaced_and_grown_bytes_are_written_and_removed_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["kept", "grown", "replaced", "removed"] {
            fs::write(path(name), [0; 100]).expect("written");
        }
        let before = Inventory::of(folder.path()).expect("counted");
        assert_eq!((before.files(), before.bytes()), (4, 400));
        let mut grown = fs::OpenOptions::new()
            .append(true)
            .open(path("grown"))
            .expect("opened");
        grown.write_all(&[1; 7]).expect("written");
        fs::write(path("new"), [2; 20]).expect("written");
        fs::hard_link(path("new"), path("link")).expect("linked");
        fs::remove_file(path("removed")).expect("removed");
        fs::remove_file(path("replaced")).expect("removed");
        fs::create_dir(path("sub")).expect("made");
        fs::write(path("sub/replaced"), [3; 3000]).expect("written");
        let after = Inventory::of(folder.path()).expect("counted");
        assert_eq!(after.written_since(&before), 7 + 20 + 20 + 3000);
        assert_eq!(Inventory::default().written_since(&before), 0);
    }

    #[test]
    fn files_are_the_same_only_if_all_their_bytes_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut bytes = vec![7; 3 << 20];
        fs::write(path("a"), &bytes).expect("written");
        fs::write(path("b"), &bytes).expect("written");
        assert!(same_bytes(&path("a"), &path("b")).expect("read"));
        bytes.push(7);
        fs::write(path("b"), &bytes).expect("written");
        assert!(!same_bytes(&path("a"), &path("b")).expect("read"));
        bytes.pop();
        bytes[2 << 20] = 8;
        fs::write(path("b"), &bytes).expect("written");
        assert!(!same_bytes(&path("a"), &path("b")).expect("read"));
    }
}
