//! A store for dry runs: writes are kept on this disk, and read from there.
//!
//! Invariant: nothing reaches the store itself, so a dry run is the real run over this store. Removed objects are not listed.
//! Deliberately absent: races, since one run uses it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use backlot_backend::{
    CommitBy, Entry, How, ObjectStore, ObjectWriter, Put, RenameOutcome, Result, Traits, folder,
};
use backlot_core::file::TemporaryFolder;

use super::ReleaseStore;

/// A store under what would be written to it.
#[derive(Debug)]
struct Rehearsal {
    store: Arc<dyn ObjectStore>,
    /// The written objects, under their keys.
    over: Arc<dyn ObjectStore>,
    changed: Mutex<BTreeMap<String, Change>>,
    /// Later than all times of the store, and later with each change.
    clock: AtomicU64,
    _folder: TemporaryFolder,
}

/// The state of an object, and when it was changed by the local clock.
#[derive(Clone, Copy, Debug)]
enum Change {
    Written(u64),
    Removed(u64),
}

impl ReleaseStore {
    /// The same repo without local caches, in which all writes are simulated.
    pub(crate) fn rehearsal(&self) -> crate::error::Result<Self> {
        let scratch = self.scratch("rehearsal")?;
        let store = Rehearsal {
            store: self.0.objects.clone(),
            over: folder(scratch.path()),
            changed: Mutex::default(),
            clock: AtomicU64::new(1 << 62),
            _folder: scratch,
        };
        Ok(self.uncached_over(Arc::new(store), OnceLock::from(())))
    }
}

impl Rehearsal {
    fn changed(&self) -> MutexGuard<'_, BTreeMap<String, Change>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store that has an object now; `None` if it was removed.
    fn holder(&self, key: &str) -> Option<&dyn ObjectStore> {
        match self.changed().get(key) {
            None => Some(&*self.store),
            Some(Change::Written(_)) => Some(&*self.over),
            Some(Change::Removed(_)) => None,
        }
    }

    fn note(&self, key: &str, change: fn(u64) -> Change) {
        let at = self.clock.fetch_add(1, Ordering::Relaxed);
        self.changed().insert(key.to_owned(), change(at));
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
        // Of one that was removed, the path tells that there is none.
        self.holder(key).unwrap_or(&*self.over).file(key)
    }

    fn is_offline(&self) -> bool {
        self.store.is_offline()
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        self.holder(key).map_or(Ok(None), |store| store.stat(key))
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
                (Change::Written(_), _) => {
                    let entry = self.over.stat(key)?;
                    entries.extend(entry.map(|entry| (key.clone(), entry)));
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
        if !key.ends_with('/') {
            return Ok(Some(match changed.get(key) {
                Some(Change::Written(at)) => *at,
                Some(Change::Removed(_)) => 0,
                None => before,
            }));
        }
        let inside = changed
            .iter()
            .filter(|(other, _)| other.strip_prefix(key).is_some_and(|rest| !rest.contains('/')));
        let times = inside.map(|(_, Change::Written(at) | Change::Removed(at))| *at);
        Ok(Some(times.fold(before, u64::max)))
    }

    fn abandoned(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut left = self.store.abandoned(prefix)?;
        let changed = self.changed();
        left.retain(|entry| !changed.contains_key(&entry.key));
        Ok(left)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.holder(key).map_or(Ok(None), |store| store.read(key, limit))
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        self.holder(key).map_or(Ok(false), |store| store.fetch(key, sink))
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        self.holder(key)
            .map_or(Ok(None), |store| store.part(key, start, length))
    }

    fn put_from(
        &self,
        key: &str,
        source: &mut dyn Read,
        how: How,
        modified: u64,
        kind: &'static str,
    ) -> Result<Put> {
        if how == How::Create && self.stat(key)?.is_some() {
            return Ok(Put::Exists);
        }
        let put = self.over.put_from(key, source, How::Replace, modified, kind)?;
        self.note(key, Change::Written);
        Ok(put)
    }

    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.over.write_for_now(key, bytes, kind)?;
        self.note(key, Change::Written);
        Ok(())
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(Writing {
            writer: Arc::clone(&self.over).writer(key)?,
            store: self,
            key: key.to_owned(),
        }))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.write(key, bytes, "")
    }

    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put> {
        if self.stat(key)?.is_some() {
            return Ok(Put::Exists);
        }
        self.write(key, bytes, kind).map(|()| Put::New)
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        if self.stat(to)?.is_some() {
            return Ok(RenameOutcome::Exists);
        }
        // Only what was staged here is ever moved.
        if !matches!(self.changed().get(from), Some(Change::Written(_))) {
            return Ok(RenameOutcome::Gone);
        }
        let moved = self.over.rename(from, to)?;
        self.note(to, Change::Written);
        self.note(from, Change::Removed);
        Ok(moved)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.over.delete(key)?;
        self.note(key, Change::Removed);
        Ok(())
    }
}

/// An object on its way.
struct Writing {
    writer: Box<dyn ObjectWriter>,
    store: Arc<Rehearsal>,
    key: String,
}

impl ObjectWriter for Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.writer.finish()?;
        self.store.note(&self.key, Change::Written);
        Ok(())
    }
}
