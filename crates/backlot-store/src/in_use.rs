//! That a cache is in use: held by who reads or writes it, taken alone by a cleaning.
//!
//! Deliberately absent: cleaning, and locks between machines beyond what the disk gives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::lock::LockError;
use backlot_core::{Context, FileLock, shared};

/// Timeout for the lock of a cache, of those who use it and of those who clean it.
pub const CACHE_PATIENCE: Duration = Duration::from_mins(1);

/// The lock of a cache: shared by those who use it, exclusive for a cleaning.
pub fn cache_lock(cache: &Path) -> PathBuf {
    cache.join("lock")
}

/// Keep a cache from being cleaned while it is used. One that is not there, or on a disk without locks, is not held.
pub fn hold_cache(cache: &Path, context: &Context) -> Result<Option<FileLock>, LockError> {
    let lock = cache_lock(cache);
    if !lock.is_file() && (!cache.is_dir() || shared::create(&lock, b"").is_err()) {
        return Ok(None);
    }
    match FileLock::acquire_shared(&lock, CACHE_PATIENCE, context) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::File(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
