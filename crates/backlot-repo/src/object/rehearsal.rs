//! A store as it would be: what is written to it is kept on this disk, and read from there.
//!
//! Invariant: nothing reaches the store itself, so a dry run is the run itself over this. What is removed here is not listed.
//! Deliberately absent: races, since one run uses it alone.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use backlot_backend::{CommitBy, Entry, Moved, ObjectStore, ObjectWriter, Put, Result, Traits};
use backlot_core::file::TemporaryFolder;
use backlot_core::{FileError, shared};
use fs_err as fs;
use ulid::Ulid;

use super::ObjectRepo;

/// A store under what would be written to it.
#[derive(Debug)]
struct Rehearsal {
    store: Arc<dyn ObjectStore>,
    folder: TemporaryFolder,
    changed: Mutex<BTreeMap<String, Change>>,
}

/// What became of an object.
#[derive(Clone, Debug)]
enum Change {
    /// Its bytes are in this file.
    Written(PathBuf),
    Removed,
}

impl ObjectRepo {
    /// The same repo past what is kept of it here, in which everything can be done and nothing is.
    pub(crate) fn rehearsal(&self) -> crate::error::Result<Self> {
        let store = Rehearsal {
            store: self.0.objects.clone(),
            folder: shared::temporary_folder(&self.0.kept.wheel("rehearsal", ""), 1)?,
            changed: Mutex::default(),
        };
        Ok(self.uncached_over(Arc::new(store), OnceLock::from(())))
    }
}

impl Rehearsal {
    fn changed(&self) -> MutexGuard<'_, BTreeMap<String, Change>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: &str) -> Option<Change> {
        self.changed().get(key).cloned()
    }

    fn set(&self, key: &str, change: Change) {
        self.changed().insert(key.to_owned(), change);
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.path().join(Ulid::new().to_string());
        fs::write(&path, bytes).map_err(FileError::from)?;
        self.set(key, Change::Written(path));
        Ok(())
    }

    /// The written bytes from `start` on, at most `limit`.
    fn bytes(path: &PathBuf, start: u64, limit: u64) -> Result<Vec<u8>> {
        let read = || {
            let mut file = fs::File::open(path)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        Ok(read().map_err(FileError::from)?)
    }

    /// As it is listed: without a tag, so that nothing of it is kept elsewhere.
    fn entry(key: &str, path: &PathBuf) -> Result<Entry> {
        Ok(Entry {
            key: key.to_owned(),
            size: fs::metadata(path).map_err(FileError::from)?.len(),
            modified: 0,
            tag: String::new(),
        })
    }
}

impl ObjectStore for Rehearsal {
    fn place(&self) -> &str {
        self.store.place()
    }

    fn commit_by(&self) -> CommitBy {
        self.store.commit_by()
    }

    fn traits(&self) -> Traits {
        self.store.traits()
    }

    fn is_offline(&self) -> bool {
        self.store.is_offline()
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        match self.change(key) {
            None => self.store.stat(key),
            Some(Change::Removed) => Ok(None),
            Some(Change::Written(path)) => Self::entry(key, &path).map(Some),
        }
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        let listed = self.store.list(prefix, deep)?.into_iter();
        let mut entries: BTreeMap<String, Entry> = listed.map(|entry| (entry.key.clone(), entry)).collect();
        for (key, change) in &*self.changed() {
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            match (change, rest.split_once('/')) {
                (Change::Removed, _) => drop(entries.remove(key)),
                (Change::Written(_), Some((folder, _))) if !deep => {
                    let key = format!("{prefix}{folder}/");
                    entries.entry(key.clone()).or_insert(Entry {
                        key,
                        size: 0,
                        modified: 0,
                        tag: String::new(),
                    });
                }
                (Change::Written(path), _) => {
                    entries.insert(key.clone(), Self::entry(key, path)?);
                }
            }
        }
        Ok(entries.into_values().collect())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.change(key) {
            None => self.store.read(key, limit),
            Some(Change::Removed) => Ok(None),
            Some(Change::Written(path)) => Self::bytes(&path, 0, limit.saturating_add(1)).map(Some),
        }
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let Some(change) = self.change(key) else {
            return self.store.fetch(key, sink);
        };
        let Change::Written(path) = change else {
            return Ok(false);
        };
        let mut file = fs::File::open(path).map_err(FileError::from)?;
        let mut block = vec![0; 256 * 1024];
        loop {
            let length = file.read(&mut block).map_err(FileError::from)?;
            if length == 0 || !sink(&block[..length]) {
                return Ok(true);
            }
        }
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        match self.change(key) {
            None => self.store.part(key, start, length),
            Some(Change::Removed) => Ok(None),
            Some(Change::Written(path)) => Self::bytes(&path, start, length).map(Some),
        }
    }

    fn write(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        self.put(key, &bytes)
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(Gathered {
            store: self,
            key: key.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.put(key, &bytes)
    }

    fn create(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<Put> {
        if self.stat(key)?.is_some() {
            return Ok(Put::Exists);
        }
        self.put(key, &bytes).map(|()| Put::New)
    }

    fn rename(&self, from: &str, to: &str) -> Result<Moved> {
        if self.stat(to)?.is_some() {
            return Ok(Moved::Exists);
        }
        // Only what was staged here is ever moved.
        let Some(Change::Written(path)) = self.change(from) else {
            return Ok(Moved::Gone);
        };
        self.set(to, Change::Written(path));
        self.set(from, Change::Removed);
        Ok(Moved::Done)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.set(key, Change::Removed);
        Ok(())
    }
}

/// An object on its way.
struct Gathered {
    store: Arc<Rehearsal>,
    key: String,
    bytes: Vec<u8>,
}

impl ObjectWriter for Gathered {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.store.put(&self.key, &self.bytes)
    }
}
