//! That a cache is in use: by a command right now, and by workspaces that are remembered in it.

use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Context, FileLock, file, shared};
pub(super) use backlot_store::{CACHE_PATIENCE as PATIENCE, cache_lock as lock_of};

use crate::error::Result;

/// The folder of a cache in which its workspaces are remembered.
pub(super) const FOLDER: &str = "workspaces";

/// Keep a cache from being cleaned while a command changes a workspace. One that is not there, or on a disk without locks, is
/// not held.
pub(crate) fn hold(cache: &Path, context: &Context) -> Result<Option<FileLock>> {
    Ok(backlot_store::hold_cache(cache, context)?)
}

/// Remember that a workspace uses a cache.
pub(crate) fn register_workspace(cache: &Path, root: &Path) -> Result<()> {
    let (path, text) = (record(cache, root), root.display().to_string());
    // A damaged one is recreated, too.
    if file::read_if_exists(&path)?.as_deref() != Some(text.as_bytes()) {
        shared::write(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Forget a workspace that is gone. Left behind, its record only says that it is missing.
pub(crate) fn forget(cache: &Path, root: &Path) {
    file::remove(&record(cache, root)).ok();
}

pub(super) fn record(cache: &Path, root: &Path) -> PathBuf {
    let text = root.display().to_string();
    let name: Blake3 = backlot_store::digest_bytes(text.as_bytes()).blake3;
    cache.join(FOLDER).join(&name.to_hex()[..32])
}
