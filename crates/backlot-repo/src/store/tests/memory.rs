//! A store in memory, reached over lines that fail as they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use backlot_backend::{
    CommitBy, Entry, Error, ObjectStore, ObjectWriter, Put, RenameOutcome, Result, Traits,
};

/// What is stored.
#[derive(Debug)]
pub(super) struct World {
    commit_by: CommitBy,
    objects: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    clock: AtomicU64,
    lies: AtomicBool,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It never arrives.
    Refused,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// Half of what is written arrives. What is written whole or not at all does not arrive.
    Torn,
    /// This one and all after it never arrive.
    Dead,
}

/// A way to the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    fault: Option<(usize, Fault)>,
    requests: Arc<AtomicUsize>,
}

impl Line {
    pub(super) fn good() -> Self {
        Self::default()
    }
    /// The request of this number (from 0) meets a fault.
    pub(super) fn failing(at: usize, fault: Fault) -> Self {
        Self {
            fault: Some((at, fault)),
            ..Self::default()
        }
    }
    /// How many requests there were.
    pub(super) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
    /// Whether the fault was met.
    pub(super) fn has_failed(&self) -> bool {
        self.fault
            .is_some_and(|(at, _)| self.requests.load(Ordering::SeqCst) > at)
    }

    /// The fault of the next request.
    fn next(&self) -> Option<Fault> {
        let n = self.requests.fetch_add(1, Ordering::SeqCst);
        let (at, fault) = self.fault?;
        (n == at || n > at && fault == Fault::Dead).then_some(fault)
    }
}

impl World {
    pub(super) fn new(commit_by: CommitBy) -> Self {
        Self {
            commit_by,
            objects: Mutex::default(),
            clock: AtomicU64::new(1_700_000_000_000),
            lies: AtomicBool::new(false),
        }
    }
    pub(super) fn over(self: &Arc<Self>, line: Line) -> Reached {
        Reached {
            world: self.clone(),
            line,
        }
    }
    /// From now on it creates and moves over what is there, as some servers do.
    pub(super) fn lie(&self) {
        self.lies.store(true, Ordering::SeqCst);
    }
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.objects
            .lock()
            .unwrap()
            .get(key)
            .map(|(bytes, _)| bytes.clone())
    }
    pub(super) fn put(&self, key: &str, bytes: &[u8]) {
        let at = self.clock.fetch_add(1000, Ordering::SeqCst);
        self.objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), (bytes.to_vec(), at));
    }
    pub(super) fn remove(&self, key: &str) {
        self.objects.lock().unwrap().remove(key);
    }
    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }
}

/// The store over a line.
#[derive(Debug)]
pub(super) struct Reached {
    world: Arc<World>,
    line: Line,
}

impl Reached {
    /// Do something under the fault that is due.
    fn ask<T>(&self, work: impl FnOnce(bool) -> Option<T>) -> Result<T> {
        let fault = self.line.next();
        let done = match fault {
            Some(Fault::Refused | Fault::Dead) => None,
            other => work(other == Some(Fault::Torn)),
        };
        match (fault, done) {
            (None, Some(value)) => Ok(value),
            _ => Err(Error::Store {
                place: "memory://repo".to_owned(),
                reason: format!("{fault:?}"),
                temporary: fault != Some(Fault::Dead),
            }),
        }
    }
}

impl ObjectStore for Reached {
    fn place(&self) -> &'static str {
        "memory://repo"
    }

    fn traits(&self) -> Traits {
        Traits {
            concurrency: 1,
            gap: 0,
            lists: true,
            by_folder: false,
            exclusive: true,
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        let folder = key
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let entries = self.list(&folder, false)?;
        Ok(entries.into_iter().find(|entry| entry.key == key))
    }

    fn writer(self: Arc<Self>, _key: &str) -> Result<Box<dyn ObjectWriter>> {
        unreachable!("a repo writes its objects in one request")
    }

    fn commit_by(&self) -> CommitBy {
        self.world.commit_by
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        self.ask(|_| {
            let mut entries = BTreeMap::new();
            for (key, (bytes, modified)) in &*self.world.objects.lock().unwrap() {
                let Some(rest) = key.strip_prefix(prefix) else {
                    continue;
                };
                let entry = match rest.split_once('/') {
                    Some((folder, _)) if !deep => Entry {
                        key: format!("{prefix}{folder}/"),
                        size: 0,
                        modified: 0,
                        tag: String::new(),
                    },
                    _ => Entry {
                        key: key.clone(),
                        size: bytes.len() as u64,
                        modified: *modified,
                        tag: modified.to_string(),
                    },
                };
                entries.insert(entry.key.clone(), entry);
            }
            Some(entries.into_values().collect())
        })
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.ask(|_| {
            let mut bytes = self.world.get(key);
            if let Some(bytes) = &mut bytes {
                bytes.truncate(usize::try_from(limit + 1).unwrap());
            }
            Some(bytes)
        })
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let Some(bytes) = self.ask(|_| Some(self.world.get(key)))? else {
            return Ok(false);
        };
        for block in bytes.chunks(1000) {
            if !sink(block) {
                break;
            }
        }
        Ok(true)
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let whole = self.ask(|_| Some(self.world.get(key)))?;
        Ok(whole.map(|bytes| {
            let from = usize::try_from(start).unwrap().min(bytes.len());
            let to = usize::try_from(start + length).unwrap().min(bytes.len());
            bytes[from..to].to_vec()
        }))
    }

    fn write(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<()> {
        self.ask(|torn| {
            let length = if torn { bytes.len() / 2 } else { bytes.len() };
            self.world.put(key, &bytes[..length]);
            Some(())
        })
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.write(key, bytes, "")
    }

    fn create(&self, key: &str, bytes: Vec<u8>, _kind: &'static str) -> Result<Put> {
        self.ask(|torn| {
            let mut objects = self.world.objects.lock().unwrap();
            if torn {
                return None;
            }
            if objects.contains_key(key) && !self.world.lies.load(Ordering::SeqCst) {
                return Some(Put::Exists);
            }
            let at = self.world.clock.fetch_add(1000, Ordering::SeqCst);
            objects.insert(key.to_owned(), (bytes, at));
            Some(Put::New)
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        self.ask(|torn| {
            let mut objects = self.world.objects.lock().unwrap();
            if torn {
                return None;
            }
            let folder = format!("{to}/");
            let is_there = objects.keys().any(|key| key == to || key.starts_with(&folder));
            if is_there && !self.world.lies.load(Ordering::SeqCst) {
                return Some(RenameOutcome::Exists);
            }
            let Some(object) = objects.remove(from) else {
                return Some(RenameOutcome::Gone);
            };
            objects.insert(to.to_owned(), object);
            Some(RenameOutcome::Done)
        })
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.ask(|_| {
            self.world.objects.lock().unwrap().remove(key);
            Some(())
        })
    }
}
