//! Doing something with each of many, a bounded number at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::store::Entry;

/// Requests at once.
const PARALLEL: usize = 16;

/// Do something with each of many, a bounded number at once, in order; the first error ends it.
pub fn each<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> std::result::Result<R, E> + Sync,
) -> std::result::Result<Vec<R>, E> {
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

/// How many folders deep a listing goes.
pub(crate) const DEPTH: usize = 8;

/// The most objects and folders that one listing may have.
pub(crate) const ENTRIES_LIMIT: usize = 1_000_000;

/// All objects below a prefix of a store that lists a folder at a time: the folders of a level are listed together.
pub(crate) fn by_level(
    prefix: &str,
    place: &str,
    list: impl Fn(&str) -> Result<Vec<Entry>> + Sync,
) -> Result<Vec<Entry>> {
    let (mut level, mut found) = (vec![prefix.to_owned()], Vec::new());
    for _ in 0..DEPTH {
        if level.is_empty() {
            break;
        }
        let listed = each(&level, |folder| list(folder))?;
        level.clear();
        for entry in listed.into_iter().flatten() {
            if entry.key.ends_with('/') {
                level.push(entry.key);
            } else {
                found.push(entry);
            }
        }
        if found.len() + level.len() > ENTRIES_LIMIT {
            return Err(Error::Store {
                place: format!("{place}/{prefix}"),
                reason: "its listing does not end".to_owned(),
                temporary: false,
            });
        }
    }
    Ok(found)
}
