//! The workspaces that use a cache: recorded in it, so that their files are kept.
//!
//! Invariant: a workspace is remembered before it relies on the cache. Deliberately absent: what they need.

use std::path::{Path, PathBuf};

use backlot_core::file;
use backlot_core::presence::{is_absence, is_folder};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::used::{FOLDER, record};
use crate::error::Result;
use crate::workspace::Opened;
use crate::workspace::config::FILE_NAME;

/// A workspace that uses a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheUser {
    /// Its folder.
    pub path: PathBuf,
    /// Whether its needs can be determined.
    pub state: CacheUserState,
}

/// Whether the needs of a workspace can be determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheUserState {
    /// It can.
    There,
    /// Its folder is missing: deleted, moved, or on a disk that is not mounted.
    Missing,
    /// It belongs to another user and is unreadable, or its disk does not respond.
    Unreadable,
    /// Its record is damaged, so the workspace is unknown; the path is that of the record.
    Damaged,
}

/// Forget that a workspace uses a cache; its next command remembers it again. A damaged record is named by its own path.
pub(super) fn forget_workspace(cache: &Path, root: &Path) -> Result<()> {
    if root.parent() == Some(cache.join(FOLDER).as_path()) {
        return Ok(file::remove(root)?);
    }
    Ok(file::remove(&record(cache, root))?)
}

/// The workspaces that are remembered, sorted.
pub(crate) fn registered(cache: &Path) -> Result<Vec<CacheUser>> {
    let folder = cache.join(FOLDER);
    let mut users = Vec::new();
    if is_folder(&folder)? {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with(file::TEMPORARY_PREFIX) {
                users.push(user_of(path)?);
            }
        }
    }
    users.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(users)
}

/// The workspace that a record names.
fn user_of(record: PathBuf) -> Result<CacheUser> {
    let text = String::from_utf8(fs::read(&record)?).unwrap_or_default();
    let path = PathBuf::from(text);
    Ok(if path.is_absolute() {
        let state = state_of(&path);
        CacheUser { path, state }
    } else {
        let (path, state) = (record, CacheUserState::Damaged);
        CacheUser { path, state }
    })
}

fn state_of(root: &Path) -> CacheUserState {
    match fs::metadata(root.join(FILE_NAME)) {
        Ok(found) if found.is_file() => CacheUserState::There,
        Ok(_) => CacheUserState::Missing,
        Err(error) if is_absence(&error) => CacheUserState::Missing,
        Err(_) => CacheUserState::Unreadable,
    }
}

impl Opened {
    /// Workspaces of a cache that are there, opened; those that other people closed are warned of.
    pub(crate) fn workspaces_of_cache(&self, cache: &Path) -> Result<Vec<Self>> {
        let mut workspaces = Vec::new();
        for CacheUser { path, state } in registered(cache)? {
            self.context().check()?;
            match state {
                CacheUserState::There => {
                    workspaces.push(Self::open(&path, self.host(), self.context())?);
                }
                CacheUserState::Missing => {}
                CacheUserState::Damaged => {
                    let message = format!(
                        "`{}` is damaged and does not name a workspace: files that only that workspace needs count as unneeded",
                        path.display()
                    );
                    self.context().warn("gc::unreadable_workspace", message);
                }
                CacheUserState::Unreadable => {
                    let message = format!(
                        "`{}` uses this cache but cannot be read: files that only it needs count as unneeded",
                        path.display()
                    );
                    self.context().warn("gc::unreadable_workspace", message);
                }
            }
        }
        Ok(workspaces)
    }
}
