//! Files that `pull --force` overwrote or removed though they were stored nowhere: kept in the cache, and brought back.
//!
//! Invariant: the content is in the cache and the record is on disk before a file is touched. The record lies in
//! `.backlot/set-aside.json`; without it the content stays in the cache under its digest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use backlot_core::{Md5, Timestamp, file};
use backlot_dvc::AddedOut;
use backlot_store::{Cache, CheckoutItem, CheckoutOptions, ObjectId, StatCache};
use serde::{Deserialize, Serialize};

use crate::error::{EditError, Result, WorkspaceError};
use crate::workspace::Workspace;

/// The record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// What was set aside, the newest last.
    aside: Vec<SetAside>,
    /// What was brought back and is named by nothing but this: a pull does not overwrite it.
    brought_back: BTreeSet<Md5>,
}

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
        let mut record = load(&place(self))?;
        let last = record.aside.pop().ok_or(EditError::NothingSetAside)?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let (mut items, mut kept, mut restored) = (Vec::new(), Vec::new(), Vec::new());
        for one in &last.files {
            let target = self.root().join(&one.path);
            if self.is_stored(&target, &cache, &stat, &record.brought_back)? {
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
        // Noted before, so that no pull overwrites what is there from now on.
        let brought_back = items.iter().map(|item| item.id.md5);
        record.brought_back.extend(brought_back);
        record.aside.push(last);
        save(&place(self), &record)?;
        backlot_store::checkout(&cache, &stat, &items, &options, self.context())?;
        if let Some(mut last) = record.aside.pop() {
            last.files.retain(|one| report.kept.contains(&one.path));
            record.aside.extend((!last.files.is_empty()).then_some(last));
        }
        save(&place(self), &record)?;
        Ok(report)
    }

    /// Whether nothing is lost when a path is overwritten.
    fn is_stored(
        &self,
        path: &Path,
        cache: &Cache,
        stat: &StatCache,
        brought_back: &BTreeSet<Md5>,
    ) -> Result<bool> {
        let Ok(found) = fs_err::symlink_metadata(path) else {
            return Ok(true);
        };
        if !found.is_file() {
            return Ok(false);
        }
        let digests = backlot_store::hash_files(&[path.to_path_buf()], stat, self.context())?;
        let mut stored = true;
        for one in digests {
            stored &= !brought_back.contains(&one.md5) && cache.has(&ObjectId::file(one.md5))?;
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
        let mut record = load(&place(self))?;
        for one in &files {
            record.brought_back.remove(&one.md5);
        }
        record.aside.push(SetAside {
            at: self.context().now(),
            files,
        });
        save(&place(self), &record)
    }

    /// Content that was brought back, and that nothing else names.
    pub(crate) fn brought_back(&self) -> Result<BTreeSet<ObjectId>> {
        let record = load(&place(self))?;
        Ok(record.brought_back.into_iter().map(ObjectId::file).collect())
    }

    /// Forget what was brought back and is named by a pointer now.
    pub(crate) fn forget_brought_back(&self, added: &[AddedOut]) -> Result<()> {
        let mut record = load(&place(self))?;
        let before = record.brought_back.len();
        for object in added.iter().flat_map(|out| &out.objects) {
            record.brought_back.remove(&object.id.md5);
        }
        if record.brought_back.len() < before {
            save(&place(self), &record)?;
        }
        Ok(())
    }

    /// The objects that were set aside, which a collection of the cache spares.
    pub(crate) fn objects_set_aside(&self) -> Result<Vec<ObjectId>> {
        let record = load(&place(self))?;
        let files = record.aside.iter().flat_map(|one| &one.files);
        let all = files
            .map(|one| one.md5)
            .chain(record.brought_back.iter().copied());
        Ok(all.map(ObjectId::file).collect())
    }
}

fn place(workspace: &Workspace) -> PathBuf {
    workspace.state_dir().join("set-aside.json")
}

fn load(path: &Path) -> Result<Record> {
    let Some(bytes) = file::read_if_exists(path)? else {
        return Ok(Record::default());
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        WorkspaceError::BadConfig {
            path: path.to_path_buf(),
            reason: error.to_string(),
        }
        .into()
    })
}

fn save(path: &Path, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(record).expect("a record is plain data");
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
