//! What a repo needs of a store of objects: a handful of verbs, so that tests can stand between.
//!
//! Invariant: an object that is written in one request appears whole or not at all. Deliberately absent: anything a plain
//! store does not have, such as locks or appending.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How a release is committed, as `repo.json` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CommitBy {
    /// By a create that fails if the object is there.
    Create,
    /// By moving a staged object, which fails if that is gone.
    Move,
}

/// An object or a folder as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The whole key; that of a folder ends in `/`.
    pub(crate) key: String,
    pub(crate) size: u64,
    /// When it was written, by the store's clock, in milliseconds; 0 where that is not told.
    pub(crate) modified: u64,
    /// Changes when the bytes do; empty where nothing tells.
    pub(crate) tag: String,
}

/// What became of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    New,
    Exists,
}

/// What became of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Done,
    /// The source is gone.
    Gone,
    /// The target is there.
    Exists,
}

/// A store of objects. Every verb but [`Objects::stage`], [`Objects::create`] and [`Objects::rename`] may be asked again
/// by the store itself after a failure that may pass.
pub(crate) trait Objects: Send + Sync + fmt::Debug {
    /// How this store commits.
    fn commit_by(&self) -> CommitBy;
    /// Whether nothing may be asked.
    fn is_offline(&self) -> bool {
        false
    }
    /// What lies below a prefix that ends in `/`, in any order; all of it, or folders with a name of one part.
    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>>;
    /// A whole small object, or its first `limit + 1` bytes.
    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>>;
    /// An object block by block; `false` if there is none.
    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool>;
    /// So many bytes of an object from somewhere on, or fewer if it ends before.
    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>>;
    /// Write an object, replacing what is there.
    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()>;
    /// Write an object of a name that nobody else has, in one request that is never sent twice.
    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()>;
    /// Write an object if there is none, in one request that is never sent twice.
    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put>;
    /// Give an object another name if that is free, by one request that is never sent twice.
    fn rename(&self, from: &str, to: &str) -> Result<Moved>;
    /// Remove an object; fine if there is none.
    fn delete(&self, key: &str) -> Result<()>;
}

/// Requests at once.
const PARALLEL: usize = 16;

/// Do something with each of many, a bounded number at once, in order; the first error ends it.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    if let [only] = items {
        return Ok(vec![work(only)?]);
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(n) else { return };
                    let result = work(item);
                    if result.is_err() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((n, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(n, _)| *n);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The names of one part below a prefix: of objects, or of folders.
pub(crate) fn folders(entries: &[Entry], prefix: &str) -> BTreeSet<String> {
    let below = entries.iter().filter_map(|e| e.key.strip_prefix(prefix));
    below
        .filter_map(|rest| rest.strip_suffix('/'))
        .filter(|name| !name.is_empty() && !name.contains('/'))
        .map(ToOwned::to_owned)
        .collect()
}
