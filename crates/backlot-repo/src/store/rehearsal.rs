//! A store as it would be: what is written to it is kept on this disk, and read from there.
//!
//! Invariant: nothing reaches the store itself, so a dry run is the run itself over this. What is removed here is not listed.
//! Deliberately absent: races, since one run uses it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use backlot_backend::{CommitBy, Entry, How, Moved, ObjectStore, ObjectWriter, Put, Result, Traits};
use backlot_core::FileError;
use backlot_core::file::{self, TemporaryFolder};
use fs_err as fs;
use ulid::Ulid;

use super::ReleaseStore;

/// A store under what would be written to it.
#[derive(Debug)]
struct Rehearsal {
    store: Arc<dyn ObjectStore>,
    folder: TemporaryFolder,
    changed: Mutex<BTreeMap<String, Change>>,
    /// Later than all times of the store, and later with each change.
    clock: AtomicU64,
}

/// What became of an object.
#[derive(Clone, Debug)]
enum Change {
    /// Its bytes are in this file.
    Written(Written),
    /// When, by the clock here.
    Removed(u64),
}

#[derive(Clone, Debug)]
struct Written {
    path: PathBuf,
    /// The time that it was given, in milliseconds.
    modified: u64,
    /// When it was written, by the clock here.
    at: u64,
}

impl ReleaseStore {
    /// The same repo past what is kept of it here, in which everything can be done and nothing is.
    pub(crate) fn rehearsal(&self) -> crate::error::Result<Self> {
        let store = Rehearsal {
            store: self.0.objects.clone(),
            folder: self.scratch("rehearsal")?,
            changed: Mutex::default(),
            clock: AtomicU64::new(1 << 62),
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

    /// A path for an object, under its own name, since that tells what it is.
    fn free_path(&self, key: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(Ulid::new().to_string());
        fs::create_dir(&folder).map_err(FileError::from)?;
        Ok(folder.join(key.rsplit('/').next().unwrap_or_default()))
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn put(&self, key: &str, bytes: &mut dyn Read, modified: u64) -> Result<()> {
        let path = self.free_path(key)?;
        let mut file = fs::File::create(&path).map_err(FileError::from)?;
        std::io::copy(bytes, &mut file).map_err(FileError::from)?;
        let at = self.tick();
        self.set(key, Change::Written(Written { path, modified, at }));
        Ok(())
    }

    fn remove(&self, key: &str) {
        self.set(key, Change::Removed(self.tick()));
    }

    /// The written bytes from `start` on, at most `limit`.
    fn bytes(written: &Written, start: u64, limit: u64) -> Result<Vec<u8>> {
        let read = || {
            let mut file = fs::File::open(&written.path)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        Ok(read().map_err(FileError::from)?)
    }

    /// As it is listed: without a tag, so that nothing of it is kept elsewhere.
    fn entry(key: &str, written: &Written) -> Result<Entry> {
        Ok(Entry {
            key: key.to_owned(),
            size: fs::metadata(&written.path).map_err(FileError::from)?.len(),
            modified: written.modified,
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

    fn root(&self) -> Option<&Path> {
        self.store.root()
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        match self.change(key) {
            Some(Change::Written(written)) => Some(written.path),
            // There is none, which its own path tells.
            Some(Change::Removed(_)) => Some(self.folder.path().join("removed")),
            None => self.store.file(key),
        }
    }

    fn is_offline(&self) -> bool {
        self.store.is_offline()
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        match self.change(key) {
            None => self.store.stat(key),
            Some(Change::Removed(_)) => Ok(None),
            Some(Change::Written(written)) => Self::entry(key, &written).map(Some),
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
                (Change::Removed(_), _) => drop(entries.remove(key)),
                (Change::Written(_), Some((folder, _))) if !deep => {
                    let key = format!("{prefix}{folder}/");
                    entries.entry(key.clone()).or_insert(Entry {
                        key,
                        size: 0,
                        modified: 0,
                        tag: String::new(),
                    });
                }
                (Change::Written(written), _) => {
                    entries.insert(key.clone(), Self::entry(key, written)?);
                }
            }
        }
        Ok(entries.into_values().collect())
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.store.names(prefix)?.into_iter().collect();
        for (key, change) in &*self.changed() {
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            match (change, rest.split_once('/')) {
                (Change::Removed(_), _) => drop(names.remove(rest)),
                (Change::Written(_), Some((folder, _))) => drop(names.insert(format!("{folder}/"))),
                (Change::Written(_), None) => drop(names.insert(rest.to_owned())),
            }
        }
        Ok(names.into_iter().collect())
    }

    fn revision(&self, key: &str) -> Result<Option<u64>> {
        let Some(before) = self.store.revision(key)? else {
            return Ok(None);
        };
        let changed = self.changed();
        let of_key = match changed.get(key) {
            Some(Change::Written(written)) => return Ok(Some(written.at)),
            Some(Change::Removed(_)) => return Ok(Some(0)),
            None => before,
        };
        if !key.ends_with('/') {
            return Ok(Some(of_key));
        }
        let inside = changed
            .iter()
            .filter(|(other, _)| other.strip_prefix(key).is_some_and(|rest| !rest.contains('/')));
        let last = inside.map(|(_, change)| match change {
            Change::Written(written) => written.at,
            Change::Removed(at) => *at,
        });
        Ok(Some(last.fold(before, u64::max)))
    }

    fn abandoned(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut left = self.store.abandoned(prefix)?;
        left.retain(|entry| self.change(&entry.key).is_none());
        Ok(left)
    }

    fn put_from(
        &self,
        key: &str,
        source: &mut dyn Read,
        how: How,
        modified: u64,
        _kind: &'static str,
    ) -> Result<Put> {
        if how == How::Create && self.stat(key)?.is_some() {
            return Ok(Put::Exists);
        }
        self.put(key, source, modified).map(|()| Put::New)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.change(key) {
            None => self.store.read(key, limit),
            Some(Change::Removed(_)) => Ok(None),
            Some(Change::Written(written)) => Self::bytes(&written, 0, limit.saturating_add(1)).map(Some),
        }
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let Some(change) = self.change(key) else {
            return self.store.fetch(key, sink);
        };
        let Change::Written(written) = change else {
            return Ok(false);
        };
        let mut file = fs::File::open(written.path).map_err(FileError::from)?;
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
            Some(Change::Removed(_)) => Ok(None),
            Some(Change::Written(written)) => Self::bytes(&written, start, length).map(Some),
        }
    }

    fn write(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        self.put(key, &mut &*bytes, 0)
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(Gathered {
            store: self,
            key: key.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.put(key, &mut &*bytes, 0)
    }

    fn create(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<Put> {
        if self.stat(key)?.is_some() {
            return Ok(Put::Exists);
        }
        self.put(key, &mut &*bytes, 0).map(|()| Put::New)
    }

    fn rename(&self, from: &str, to: &str) -> Result<Moved> {
        if self.stat(to)?.is_some() {
            return Ok(Moved::Exists);
        }
        // Only what was staged here is ever moved.
        let Some(Change::Written(mut written)) = self.change(from) else {
            return Ok(Moved::Gone);
        };
        let path = self.free_path(to)?;
        file::rename(&written.path, &path)?;
        (written.path, written.at) = (path, self.tick());
        self.set(to, Change::Written(written));
        self.remove(from);
        Ok(Moved::Done)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.remove(key);
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
        self.store.put(&self.key, &mut &*self.bytes, 0)
    }
}
