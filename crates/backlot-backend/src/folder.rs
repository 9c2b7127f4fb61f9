//! A folder of a disk as a store of objects.
//!
//! Invariants: an object is written beside its name and gets it when it is whole, by a rename, or by a hard link where nothing may be
//! there (exclusive among all machines of a shared disk, NFS too); new files have the mode of the root; **an object that cannot be
//! inspected is an error, never absent**, and so is a dangling link. Names that are not valid UTF-8 are skipped. Deliberately absent: whether the
//! root may be created, and the meaning of a missing root.

use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use backlot_core::file::{Created, Staged, TEMPORARY_PREFIX, rename_new, set_modified};
use backlot_core::presence::{is_absence, look};
use backlot_core::{FileError, Timestamp, shared};
use fs_err as fs;

use crate::each::DEPTH;
use crate::error::Result;
use crate::store::{CommitBy, Entry, How, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits};

/// Bytes copied at once.
const BLOCK: usize = 256 * 1024;

/// The store in a folder, which need not be there yet.
///
/// ```
/// let root = tempfile::tempdir().unwrap();
/// let store = backlot_backend::folder(&root.path().join("review"));
/// assert!(store.list("packages/", false).unwrap().is_empty());
/// store.write("packages/chair/a", b"bytes".to_vec(), "text/plain").unwrap();
/// assert!(root.path().join("review/packages/chair/a").is_file());
/// ```
pub fn folder(root: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(Folder {
        root: root.to_path_buf(),
        place: root.display().to_string(),
    })
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    place: String,
}

impl Folder {
    fn path(&self, key: &str) -> PathBuf {
        // With a `/` at its end, a link would be followed where it is looked at itself.
        self.root.join(key.trim_end_matches('/'))
    }

    /// The metadata of an object; `None` if it certainly does not exist.
    fn look(&self, key: &str) -> Result<Option<std::fs::Metadata>> {
        Ok(look(&self.path(key), |path| fs::metadata(path))?)
    }

    /// An object, open; `None` if it surely is not there.
    fn open(&self, key: &str) -> Result<Option<fs::File>> {
        Ok(look(&self.path(key), |path| fs::File::open(path))?)
    }

    /// The names in a folder, each with whether it is a folder. Empty if there is no such folder.
    fn names_in(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        let Some(entries) = look(&self.path(prefix), |path| fs::read_dir(path))? else {
            return Ok(names);
        };
        for entry in entries {
            let entry = entry.map_err(FileError::from)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !wanted(&name) {
                continue;
            }
            let kind = entry.file_type().map_err(FileError::from)?;
            let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
            names.push((name, is_folder));
        }
        names.sort();
        Ok(names)
    }

    fn entry(key: String, found: &std::fs::Metadata) -> Entry {
        Entry {
            size: if found.is_dir() { 0 } else { found.len() },
            key,
            modified: nanoseconds(found) / 1_000_000,
            // Objects on this disk are read in place, and not cached elsewhere.
            tag: String::new(),
        }
    }

    fn list_into(&self, prefix: &str, depth: usize, found: &mut Vec<Entry>) -> Result<()> {
        for (name, is_folder) in self.names_in(prefix, is_object)? {
            let key = format!("{prefix}{name}");
            if is_folder && depth > 1 {
                self.list_into(&format!("{key}/"), depth - 1, found)?;
                continue;
            }
            // Gone since it was listed: as if it had never been there.
            let Some(metadata) = self.look(&key)? else {
                continue;
            };
            let key = if is_folder { format!("{key}/") } else { key };
            found.push(Self::entry(key, &metadata));
        }
        Ok(())
    }
}

/// Whether a name is that of an object or a folder: not of a file being written.
fn is_object(name: &str) -> bool {
    !name.starts_with(TEMPORARY_PREFIX)
}

/// When a file or folder changed, in nanoseconds since the Unix epoch.
fn nanoseconds(found: &std::fs::Metadata) -> u64 {
    let since = found
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The first `limit` bytes of an open file, or all of it if it has fewer.
fn read_some(file: fs::File, limit: u64) -> Result<Vec<u8>> {
    // Room for all of it, so that it takes one read.
    let length = file.metadata().map_err(FileError::from)?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(FileError::from)?;
    Ok(bytes)
}

impl ObjectStore for Folder {
    fn place(&self) -> &str {
        &self.place
    }

    fn commit_by(&self) -> CommitBy {
        CommitBy::Create
    }

    fn traits(&self) -> Traits {
        Traits {
            concurrency: 4,
            gap: 256 * 1024,
            lists: true,
            by_folder: true,
            exclusive: true,
        }
    }

    fn root(&self) -> Option<&Path> {
        Some(&self.root)
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        Some(self.path(key))
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        let found = self.look(key)?.filter(|found| !found.is_dir());
        Ok(found.map(|found| Self::entry(key.to_owned(), &found)))
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        self.list_into(prefix, if deep { DEPTH } else { 1 }, &mut found)?;
        Ok(found)
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = self.names_in(prefix, is_object)?.into_iter();
        Ok(names
            .map(|(name, is_folder)| if is_folder { name + "/" } else { name })
            .collect())
    }

    fn revision(&self, key: &str) -> Result<Option<u64>> {
        Ok(Some(self.look(key)?.as_ref().map_or(0, nanoseconds)))
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = self.open(key)?;
        file.map(|file| read_some(file, limit.saturating_add(1)))
            .transpose()
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let Some(mut file) = self.open(key)? else {
            return Ok(false);
        };
        let mut block = vec![0; BLOCK];
        loop {
            let length = file.read(&mut block).map_err(FileError::from)?;
            if length == 0 || !sink(&block[..length]) {
                return Ok(true);
            }
        }
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open(key)? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(start)).map_err(FileError::from)?;
        let mut bytes = Vec::new();
        file.take(length)
            .read_to_end(&mut bytes)
            .map_err(FileError::from)?;
        Ok(Some(bytes))
    }

    fn write(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        Ok(shared::write(&self.path(key), &bytes)?)
    }

    fn write_for_now(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        Ok(shared::write_for_now(&self.path(key), &bytes)?)
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(Writing(shared::staged_beside(&self.path(key))?)))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        Ok(shared::write(&self.path(key), &bytes)?)
    }

    fn create(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<Put> {
        Ok(shared::create(&self.path(key), &bytes)?.into())
    }

    fn put_from(
        &self,
        key: &str,
        source: &mut dyn Read,
        how: How,
        modified: u64,
        _kind: &'static str,
    ) -> Result<Put> {
        let mut staged = shared::staged_beside(&self.path(key))?;
        let mut block = vec![0; BLOCK];
        loop {
            match source.read(&mut block) {
                Ok(0) => break,
                Ok(length) => staged.write_all(&block[..length]).map_err(FileError::from)?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::from(error).into()),
            }
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // It is never changed: say so to editors too, without opening it to more people than the folder is.
            let found = staged.file().metadata().map_err(FileError::from)?;
            shared::set_mode(staged.path(), Some(found.permissions().mode() & 0o444))?;
        }
        set_modified(staged.path(), Timestamp(modified))?;
        match how {
            How::Create => Ok(staged.create()?.into()),
            How::Replace => {
                staged.replace()?;
                Ok(Put::New)
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        if self.look(from)?.is_none() {
            return Ok(RenameOutcome::Gone);
        }
        let target = self.path(to);
        if let Some(folder) = target.parent() {
            shared::make_folder_for_now(folder)?;
        }
        Ok(match rename_new(&self.path(from), &target)? {
            Created::New => RenameOutcome::Done,
            Created::Exists => RenameOutcome::Exists,
        })
    }

    fn delete(&self, key: &str) -> Result<()> {
        match fs::remove_file(self.path(key)) {
            Err(error) if !is_absence(&error) => Err(FileError::from(error).into()),
            _ => Ok(()),
        }
    }

    fn abandoned(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut left = Vec::new();
        for (name, is_folder) in self.names_in(prefix, |name| !is_object(name))? {
            let key = format!("{prefix}{name}");
            // A folder may belong to a concurrent writer.
            if let Some(found) = self.look(&key)?.filter(|_| !is_folder) {
                left.push(Self::entry(key, &found));
            }
        }
        Ok(left)
    }

    fn tidy(&self, prefix: &str) {
        // Removed only if it is empty.
        fs::remove_dir(self.path(prefix)).ok();
    }
}

impl From<Created> for Put {
    fn from(created: Created) -> Self {
        match created {
            Created::New => Self::New,
            Created::Exists => Self::Exists,
        }
    }
}

/// A file on its way to its name.
struct Writing(Staged);

impl ObjectWriter for Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write_all(bytes).map_err(FileError::from)?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(self.0.replace()?)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use fs_err as fs;

    use super::folder;
    use crate::store::ObjectStore;

    #[test]
    fn what_cannot_be_looked_at_is_an_error_and_never_absent() {
        let root = tempfile::tempdir().expect("a folder");
        let store = folder(root.path());
        fs::create_dir(root.path().join("packages")).expect("made");
        for name in ["chair", "packages/table"] {
            fs::os::unix::fs::symlink(root.path().join("nowhere"), root.path().join(name)).expect("linked");
        }
        let fails = |store: &dyn ObjectStore, key: &str| {
            let folder = format!("{key}/");
            [
                store.stat(key).is_err(),
                store.read(key, 10).is_err(),
                store.fetch(key, &mut |_| true).is_err(),
                store.part(key, 0, 1).is_err(),
                store.revision(key).is_err(),
                store.revision(&folder).is_err(),
                store.names(&folder).is_err(),
                store.list(&folder, true).is_err(),
            ]
        };
        assert_eq!(fails(&*store, "packages/table"), [true; 8], "a link to nothing");
        assert_eq!(fails(&*store, "packages/stool"), [false; 8], "nothing");
        assert_eq!(store.revision("packages/stool/").expect("told"), Some(0));
        assert!(
            store.list("packages/", false).is_err(),
            "it exists, but its type is unknown"
        );
        assert_eq!(store.names("packages/").expect("named"), ["table"]);
        // What is on its way is not there yet, nor what a writer that died left.
        fs::write(root.path().join("packages/.tmp-1"), b"half").expect("written");
        assert_eq!(store.names("packages/").expect("named"), ["table"]);
        let left = store.abandoned("packages/").expect("told");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, "packages/.tmp-1");
    }
}
