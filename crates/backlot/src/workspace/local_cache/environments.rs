//! Environments of releases that no workspace installed, in the cache: where they lie, which are used, and which may go.
//!
//! Invariant: one that a command runs in is held by a lock that the command keeps, so no cleaning takes it, however long it runs (where the disk has
//! locks). Deliberately absent: making one (`environment/cached.rs`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::lock::LockError;
use backlot_core::{Context, FileLock, Timestamp, file, platform};
use backlot_store::Evictable;
use fs_err as fs;

use super::used::PATIENCE;
use crate::error::Result;

/// The folder of a cache with its environments.
pub(crate) const FOLDER: &str = "environments";
/// Empty, as old as the last use.
const USED: &str = ".backlot/used";
/// Empty; commands that run in the environment hold a shared lock on it.
const IN_USE: &str = ".backlot/in-use";

/// The path of the environment of a name.
pub(crate) fn root_of(cache: &Path, name: &str) -> PathBuf {
    cache.join(FOLDER).join(name)
}

/// Whether a workspace is an environment of a cache.
pub(super) fn is_one(cache: &Path, root: &Path) -> bool {
    root.parent() == Some(cache.join(FOLDER).as_path())
}

/// Hold an environment that is used from now on. The caller keeps the cache from being cleaned meanwhile. On a disk without locks nothing is
/// held, and its age alone protects it.
pub(crate) fn hold(root: &Path, context: &Context) -> Result<Option<FileLock>> {
    let lock = root.join(IN_USE);
    file::create(&lock, b"")?;
    file::write_for_now(&root.join(USED), b"")?;
    match FileLock::acquire_shared(&lock, PATIENCE, context) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::File(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The environments that were last used before a time, and in which nothing runs.
pub(super) fn unused(cache: &Path, before: Timestamp, context: &Context) -> Result<Vec<Evictable>> {
    let folder = cache.join(FOLDER);
    let mut unused = Vec::new();
    if !folder.is_dir() {
        return Ok(unused);
    }
    for entry in fs::read_dir(folder)? {
        let root = entry?.path();
        if last_used(&root)? <= before && !is_held(&root, context)? {
            unused.push(Evictable::at(&root)?);
        }
    }
    unused.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(unused)
}

/// When a command last began to run in it; of one that was never finished, when it was begun.
fn last_used(root: &Path) -> Result<Timestamp> {
    let found = match fs::metadata(root.join(USED)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fs::metadata(root)?,
        found => found?,
    };
    Ok(Timestamp(platform::last_used(&found)))
}

fn is_held(root: &Path, context: &Context) -> Result<bool> {
    let lock = root.join(IN_USE);
    if !lock.is_file() {
        return Ok(false);
    }
    // Whatever the caller says of other locks.
    let at_once = context.clone().with_lock_timeout(Duration::ZERO);
    match FileLock::acquire(&lock, Duration::ZERO, &at_once) {
        Ok(_) | Err(LockError::File(_)) => Ok(false),
        Err(LockError::Busy { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
