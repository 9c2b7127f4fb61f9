//! A file that comes in parts, over several runs.
//!
//! Invariant: a later run resumes only from data that certainly reached the disk, of the same file: a record beside the file says what it is of and how
//! much of it was synced. Killed in between, at most [`CHECKPOINT`] bytes come again. A file that has another name by now, as an object of a
//! cache, is not written to. Deliberately absent: whether the source still has the same.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use backlot_core::{FileError, file, platform};
use fs_err as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Bytes between two syncs.
const CHECKPOINT: u64 = 64 << 20;

/// The metadata next to the file.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    of: T,
    synced: u64,
}

/// A partial file, with its metadata.
///
/// ```
/// use backlot_net::PartFile;
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("plate.part");
/// let mut part = PartFile::begin(&path, "version 1".to_owned()).unwrap();
/// part.write(b"half of").unwrap();
/// drop(part); // the connection broke
/// let (of, size) = PartFile::<String>::begun(&path).unwrap().unwrap();
/// assert_eq!((of.as_str(), size), ("version 1", 7));
/// let mut part = PartFile::resume(&path, of, size).unwrap();
/// part.write(b" it").unwrap();
/// assert_eq!(part.finish(), 10);
/// ```
#[derive(Debug)]
pub struct PartFile<T: Serialize> {
    file: fs::File,
    path: PathBuf,
    of: T,
    size: u64,
    synced: u64,
}

fn record_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

impl<T: Serialize + DeserializeOwned> PartFile<T> {
    /// The partial file of an earlier run, and the number of bytes to resume from.
    pub fn begun(path: &Path) -> Result<Option<(T, u64)>> {
        let Some(record) = file::read_if_exists(&record_path(path))? else {
            return Ok(None);
        };
        // With two names it was complete and linked elsewhere: writing to it would change that file.
        let alone = fs::metadata(path)
            .ok()
            .filter(|found| platform::names(found) == 1);
        let here = alone.map_or(0, |found| found.len());
        let record: Option<Record<T>> = serde_json::from_slice(&record).ok();
        Ok(record
            .map(|record| (record.of, record.synced.min(here)))
            .filter(|(_, size)| *size > 0))
    }
}

impl<T: Serialize> PartFile<T> {
    /// Restart; existing data is removed.
    pub fn begin(path: &Path, of: T) -> Result<Self> {
        Self::resume(path, of, 0)
    }

    /// Go on behind the first bytes.
    pub fn resume(path: &Path, of: T, size: u64) -> Result<Self> {
        if size == 0 {
            forget_part(path)?;
        }
        let opened = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let mut file = opened.map_err(FileError::from)?;
        file.set_len(size).map_err(FileError::from)?;
        file.seek(SeekFrom::Start(size)).map_err(FileError::from)?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            of,
            size,
            synced: size,
        })
    }

    /// The next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(FileError::from)?;
        self.size += bytes.len() as u64;
        if self.size - self.synced >= CHECKPOINT {
            self.sync()?;
        }
        Ok(())
    }

    /// The bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// It is all there. Returns its length.
    pub fn finish(mut self) -> u64 {
        // A consumer copies it; there is nothing left to resume.
        self.synced = self.size;
        self.size
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(FileError::from)?;
        let record = Record {
            of: &self.of,
            synced: self.size,
        };
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        file::write(&record_path(&self.path), &bytes)?;
        self.synced = self.size;
        Ok(())
    }
}

impl<T: Serialize> Drop for PartFile<T> {
    fn drop(&mut self) {
        if self.size > self.synced {
            // Data that cannot be saved is fetched again.
            self.sync().ok();
        }
    }
}

/// Remove a partial file and its metadata: it was used, or is no longer needed.
pub fn forget_part(path: &Path) -> Result<()> {
    file::remove(&record_path(path))?;
    Ok(file::remove(path)?)
}

#[cfg(test)]
mod tests {
    use super::{PartFile, forget_part};

    #[test]
    fn only_what_was_synced_of_the_same_thing_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.part");
        let mut part = PartFile::begin(&path, 1).unwrap();
        part.write(b"0123").unwrap();
        drop(part);
        // Written by a run that was killed: nothing says that it reached the disk.
        fs_err::write(&path, b"0123????").unwrap();
        assert_eq!(PartFile::<u8>::begun(&path).unwrap(), Some((1, 4)));
        // A record of something else.
        assert_eq!(PartFile::<String>::begun(&path).unwrap(), None);
        // A file that lost its end.
        fs_err::write(&path, b"01").unwrap();
        assert_eq!(PartFile::<u8>::begun(&path).unwrap(), Some((1, 2)));
        // One that was taken by another name, before the run that did so was killed.
        let taken = folder.path().join("object");
        fs_err::hard_link(&path, &taken).unwrap();
        assert_eq!(PartFile::<u8>::begun(&path).unwrap(), None);
        let mut part = PartFile::begin(&path, 3).unwrap();
        part.write(b"new").unwrap();
        drop(part);
        assert_eq!(fs_err::read(&taken).unwrap(), b"01");
        // Restarted.
        let part = PartFile::begin(&path, 2).unwrap();
        assert_eq!(PartFile::<u8>::begun(&path).unwrap(), None);
        drop(part);
        forget_part(&path).unwrap();
        assert!(!path.exists());
    }
}
