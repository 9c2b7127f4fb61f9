//! Objects in this process's memory: for tests, dry runs, and examples that need no server.
//!
//! Invariants: each verb is one step under one lock, so an object is seen whole or not at all; nothing outlives the last handle.
//! Deliberately absent: any limit on memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use backlot_core::clock::{Clock as _, SystemClock};

use crate::error::{Error, Result};
use crate::store::{CommitBy, Entry, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits};

/// The prefix of the URL of a store in memory.
pub(crate) const SCHEME: &str = "memory://";
/// Bytes that a reader is shown at once.
const BLOCK: usize = 256 << 10;

/// A new store in this process's memory, gone with its last handle.
///
/// ```
/// let store = backlot_backend::memory();
/// store.write("a", b"bytes".to_vec(), "text/plain").unwrap();
/// assert_eq!(store.read("a", 5).unwrap().unwrap(), b"bytes");
/// assert!(backlot_backend::memory().stat("a").unwrap().is_none(), "another one");
/// ```
pub fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(Memory::at(SCHEME.to_owned()))
}

/// The store `memory://NAME` of this process: all handles of one name have the same objects, which are gone with the last of them.
///
/// ```
/// use backlot_backend::shared_memory;
///
/// let writer = shared_memory("shots");
/// writer.write("a", b"bytes".to_vec(), "text/plain").unwrap();
/// assert_eq!(shared_memory("shots").read("a", 5).unwrap().unwrap(), b"bytes");
/// assert!(shared_memory("assets").stat("a").unwrap().is_none());
/// drop(writer);
/// assert!(shared_memory("shots").stat("a").unwrap().is_none());
/// ```
pub fn shared_memory(name: &str) -> Arc<dyn ObjectStore> {
    static NAMED: Mutex<BTreeMap<String, Weak<Memory>>> = Mutex::new(BTreeMap::new());
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    named.retain(|_, store| store.strong_count() > 0);
    if let Some(store) = named.get(name).and_then(Weak::upgrade) {
        return store;
    }
    let store = Arc::new(Memory::at(format!("{SCHEME}{name}")));
    named.insert(name.to_owned(), Arc::downgrade(&store));
    store
}

#[derive(Debug)]
struct Memory {
    place: String,
    objects: RwLock<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: BTreeMap<String, Object>,
    /// How often something was written.
    writes: u64,
}

#[derive(Clone, Debug)]
struct Object {
    bytes: Arc<Vec<u8>>,
    modified: u64,
    /// The number of the write.
    written: u64,
}

impl Object {
    fn entry(&self, key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            size: self.bytes.len() as u64,
            modified: self.modified,
            tag: self.written.to_string(),
        }
    }
}

impl Objects {
    fn put(&mut self, key: &str, bytes: Vec<u8>) {
        self.writes += 1;
        let object = Object {
            bytes: Arc::new(bytes),
            modified: SystemClock.now().0,
            written: self.writes,
        };
        self.by_key.insert(key.to_owned(), object);
    }
}

impl Memory {
    fn at(place: String) -> Self {
        Self {
            place,
            objects: RwLock::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self, key: &str) -> Option<Arc<Vec<u8>>> {
        self.read()
            .by_key
            .get(key)
            .map(|object| Arc::clone(&object.bytes))
    }

    fn check_key(&self, key: &str) -> Result<()> {
        if !key.is_empty() && !key.ends_with('/') {
            return Ok(());
        }
        Err(Error::Store {
            place: format!("{}/{key}", self.place),
            reason: "not a valid object key".to_owned(),
            temporary: false,
        })
    }
}

impl ObjectStore for Memory {
    fn place(&self) -> &str {
        &self.place
    }

    fn commit_by(&self) -> CommitBy {
        CommitBy::Create
    }

    fn traits(&self) -> Traits {
        Traits {
            concurrency: 8,
            gap: 1 << 20,
            lists: true,
            by_folder: false,
            exclusive: true,
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.read().by_key.get(key).map(|object| object.entry(key)))
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        let objects = self.read();
        let below = objects
            .by_key
            .range::<str, _>((Bound::Excluded(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        let mut found: Vec<Entry> = Vec::new();
        for (key, object) in below {
            match key[prefix.len()..].split_once('/') {
                Some((name, _)) if !deep => {
                    let folder = format!("{prefix}{name}/");
                    // Keys are sorted, so those of one folder follow each other.
                    if found.last().is_none_or(|last| last.key != folder) {
                        found.push(Entry {
                            key: folder,
                            size: 0,
                            modified: 0,
                            tag: String::new(),
                        });
                    }
                }
                _ => found.push(object.entry(key)),
            }
        }
        Ok(found)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.part(key, 0, limit.saturating_add(1))
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let Some(bytes) = self.bytes(key) else {
            return Ok(false);
        };
        let mut blocks = bytes.chunks(BLOCK);
        while blocks.next().is_some_and(&mut *sink) {}
        Ok(true)
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let within = |at: u64, bytes: &[u8]| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok(self.bytes(key).map(|bytes| {
            let range = within(start, &bytes)..within(start.saturating_add(length), &bytes);
            bytes[range].to_vec()
        }))
    }

    fn write(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        self.check_key(key)?;
        self.change().put(key, bytes);
        Ok(())
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        self.check_key(key)?;
        Ok(Box::new(Writer {
            store: self,
            key: key.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.write(key, bytes, "application/octet-stream")
    }

    fn create(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<Put> {
        self.check_key(key)?;
        let mut objects = self.change();
        if objects.by_key.contains_key(key) {
            return Ok(Put::Exists);
        }
        objects.put(key, bytes);
        Ok(Put::New)
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        self.check_key(to)?;
        let mut objects = self.change();
        if objects.by_key.contains_key(to) {
            return Ok(RenameOutcome::Exists);
        }
        let Some(object) = objects.by_key.remove(from) else {
            return Ok(RenameOutcome::Gone);
        };
        objects.by_key.insert(to.to_owned(), object);
        Ok(RenameOutcome::Done)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.change().by_key.remove(key);
        Ok(())
    }
}

struct Writer {
    store: Arc<Memory>,
    key: String,
    bytes: Vec<u8>,
}

impl ObjectWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.store.change().put(&self.key, self.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_shows_folders_once_and_objects_whole() {
        let store = memory();
        for key in ["a/b/1", "a/b/2", "a/b-c", "a/d", "ab"] {
            store.write(key, key.into(), "").expect("written");
        }
        let listed = |prefix: &str, deep| -> Vec<String> {
            let entries = store.list(prefix, deep).expect("listed");
            entries.into_iter().map(|entry| entry.key).collect()
        };
        assert_eq!(listed("a/", false), ["a/b-c", "a/b/", "a/d"]);
        assert_eq!(listed("a/", true), ["a/b-c", "a/b/1", "a/b/2", "a/d"]);
        assert_eq!(listed("", false), ["a/", "ab"]);
        assert!(store.write("a/", Vec::new(), "").is_err());
        assert_eq!(store.rename("a/d", "ab").expect("asked"), RenameOutcome::Exists);
        assert_eq!(store.rename("a/d", "e").expect("asked"), RenameOutcome::Done);
        assert_eq!(store.rename("a/d", "f").expect("asked"), RenameOutcome::Gone);
        assert_eq!(store.read("e", 10).expect("read").expect("there"), b"a/d");
    }
}
