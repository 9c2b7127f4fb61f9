//! Files that `pull --force` overwrote or removed though they were stored nowhere: kept in the cache, and brought back.
//!
//! Invariant: the content is in the cache and the record is on disk before a file is touched. The record lies in
//! `.backlot/set-aside.json`; without it the content stays in the cache under its digest.

use std::path::{Path, PathBuf};

use backlot_core::{Md5, Timestamp, file};
use backlot_store::{Cache, CheckoutItem, CheckoutOptions, ObjectId, StatCache};
use serde::{Deserialize, Serialize};

use crate::edit_error::EditError;
use crate::error::{Result, WorkspaceError};
use crate::workspace::Workspace;

/// What one pull set aside.
#[derive(Debug, Serialize, Deserialize)]
struct SetAside {
    at: Timestamp,
    files: Vec<AsideFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AsideFile {
    /// Relative to the workspace.
    path: String,
    md5: Md5,
    executable: bool,
}

/// What was brought back.
#[derive(Clone, Debug, Serialize)]
pub struct UndoReport {
    /// When the files were set aside.
    pub at: Timestamp,
    /// The files that are as they were before the pull, relative to the workspace.
    pub restored: Vec<String>,
    /// Files that have other content by now, which is stored nowhere: they were left alone, and stay set aside.
    pub kept: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Workspace {
    /// Bring back what the last `pull --force` set aside. What it set aside before that is next.
    pub fn undo_pull(&self, dry_run: bool) -> Result<UndoReport> {
        self.hold()?.bring_back(dry_run)
    }

    fn bring_back(&self, dry_run: bool) -> Result<UndoReport> {
        let mut all = load(&record(self))?;
        let mut last = all.pop().ok_or(EditError::NothingSetAside)?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let (mut items, mut kept, mut restored) = (Vec::new(), Vec::new(), Vec::new());
        for one in &last.files {
            let target = self.root().join(&one.path);
            if self.is_stored(&target, &cache, &stat)? {
                restored.push(one.path.clone());
                items.push(CheckoutItem {
                    id: ObjectId::file(one.md5),
                    target,
                    executable: one.executable,
                });
            } else {
                kept.push(one.path.clone());
            }
        }
        let report = UndoReport {
            at: last.at,
            restored,
            kept,
            dry_run,
        };
        if dry_run {
            return Ok(report);
        }
        for folder in items.iter().filter_map(|item| item.target.parent()) {
            fs_err::create_dir_all(folder)?;
        }
        let options = CheckoutOptions {
            links: &self.settings().links.value,
            force: true,
            ..CheckoutOptions::default()
        };
        backlot_store::checkout(&cache, &stat, &items, &options, self.context())?;
        last.files.retain(|one| report.kept.contains(&one.path));
        if !last.files.is_empty() {
            all.push(last);
        }
        save(&record(self), &all)?;
        Ok(report)
    }

    /// Whether nothing is lost when a path is overwritten.
    fn is_stored(&self, path: &Path, cache: &Cache, stat: &StatCache) -> Result<bool> {
        let Ok(found) = fs_err::symlink_metadata(path) else {
            return Ok(true);
        };
        if !found.is_file() {
            return Ok(false);
        }
        let digests = backlot_store::hash_files(&[path.to_path_buf()], stat, self.context())?;
        let mut stored = true;
        for one in digests {
            stored &= cache.has(&ObjectId::file(one.md5))?;
        }
        Ok(stored)
    }

    /// Put files into the cache and note it, before they are overwritten.
    pub(crate) fn set_aside(&self, paths: &[PathBuf], cache: &Cache, stat: &StatCache) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let links = &self.settings().links.value;
        let added = backlot_store::add_files(cache, stat, paths, links, self.context())?;
        let mut files = Vec::new();
        for (path, added) in paths.iter().zip(added) {
            files.push(AsideFile {
                path: self.display_path(path),
                md5: added.digests.md5,
                executable: is_executable(path)?,
            });
        }
        let mut all = load(&record(self))?;
        all.push(SetAside {
            at: self.context().now(),
            files,
        });
        save(&record(self), &all)
    }

    /// The objects that were set aside, which a collection of the cache spares.
    pub(crate) fn objects_set_aside(&self) -> Result<Vec<ObjectId>> {
        let all = load(&record(self))?;
        let files = all.iter().flat_map(|one| &one.files);
        Ok(files.map(|one| ObjectId::file(one.md5)).collect())
    }
}

fn record(workspace: &Workspace) -> PathBuf {
    workspace.state_dir().join("set-aside.json")
}

fn load(path: &Path) -> Result<Vec<SetAside>> {
    let Some(bytes) = file::read_if_exists(path)? else {
        return Ok(Vec::new());
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        WorkspaceError::BadConfig {
            path: path.to_path_buf(),
            reason: error.to_string(),
        }
        .into()
    })
}

fn save(path: &Path, all: &[SetAside]) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(all).expect("a record is plain data");
    Ok(file::write(path, &bytes)?)
}

#[cfg(unix)]
fn is_executable(path: &Path) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs_err::metadata(path)?.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> Result<bool> {
    Ok(false)
}
