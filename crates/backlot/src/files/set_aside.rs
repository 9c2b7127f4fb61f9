//! User files that `pull --force` overwrote or removed: edits, renames, duplicates. Kept in the cache,
//! and brought back; so is the removal of those that it placed again.
//!
//! Invariant: the content is in the cache and the record is on disk before a file is touched. The record lies in
//! `.backlot/set-aside.json`; without it the content stays in the cache under its digest. One that cannot be read is unknown to
//! what needs to know it (bringing back, collecting), and is put away and begun anew by what only adds to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::{Md5, Timestamp, file, platform};
use backlot_dvc::{AddedOut, TrackedPointer};
use backlot_store::{Cache, CheckoutItem, CheckoutOptions, ObjectId, StatCache};
use serde::{Deserialize, Serialize};

use crate::error::{EditError, Error, Result};
use crate::workspace::Opened;

/// The record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// The files set aside, the newest last.
    aside: Vec<SetAside>,
    /// What was brought back and is named by nothing but this: a collection of the cache spares it.
    brought_back: BTreeSet<Md5>,
}

/// The files set aside by one pull.
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
    /// Whether the user had removed it, and the pull placed it again with that content.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

/// The restored files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UndoReport {
    /// When the files were set aside.
    pub at: Timestamp,
    /// The files that are as they were before the pull, relative to the workspace.
    pub restored: Vec<String>,
    /// Files that were changed since: they are left unchanged, and their previous content stays set aside.
    pub kept: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn undo_pull(&self, dry_run: bool) -> Result<UndoReport> {
        self.hold()?.bring_back(dry_run)
    }

    fn bring_back(&self, dry_run: bool) -> Result<UndoReport> {
        let mut record = load(&place(self))?;
        let last = record.aside.pop().ok_or(EditError::NothingSetAside)?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        // What cannot be read now is not known to be as it was placed, so what is there of it is kept.
        let tracked = self.tracked_or(&[], true, &mut |_, _| Ok(()))?;
        let pointers: Vec<&TrackedPointer> = tracked.iter().flat_map(|t| &t.pointers).collect();
        let placed = backlot_dvc::placed_content(&pointers, &cache, &stat)?;
        let (mut items, mut removals) = (Vec::new(), Vec::new());
        let (mut kept, mut restored) = (Vec::new(), Vec::new());
        for one in &last.files {
            let target = self.root().join(&one.path);
            if !self.is_nobodys(&target, one.md5, placed.get(&target), &cache, &stat)? {
                kept.push(one.path.clone());
                continue;
            }
            restored.push(one.path.clone());
            if one.removed {
                removals.push(target);
            } else {
                items.push(CheckoutItem {
                    id: ObjectId::file(one.md5),
                    target,
                    executable: one.executable,
                });
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
        // Noted before, so that no collection takes what is there from now on.
        let brought_back = items.iter().map(|item| item.id.md5);
        record.brought_back.extend(brought_back);
        record.aside.push(last);
        save(&place(self), &record)?;
        backlot_store::checkout(&cache, &stat, &items, &options, self.context())?;
        for path in &removals {
            file::remove(path)?;
        }
        if let Some(mut last) = record.aside.pop() {
            last.files.retain(|one| report.kept.contains(&one.path));
            record.aside.extend((!last.files.is_empty()).then_some(last));
        }
        save(&place(self), &record)?;
        Ok(report)
    }

    /// Whether nothing is lost when a path is overwritten with `md5` or removed: it is that, or one of what was `placed`.
    fn is_nobodys(
        &self,
        path: &Path,
        md5: Md5,
        placed: Option<&BTreeSet<Md5>>,
        cache: &Cache,
        stat: &StatCache,
    ) -> Result<bool> {
        let Ok(found) = fs_err::symlink_metadata(path) else {
            return Ok(true);
        };
        if !found.is_file() {
            return Ok(false);
        }
        let digests = backlot_store::hash_files(&[path.to_path_buf()], stat, self.context())?;
        let mut known = true;
        for one in digests {
            let is_placed = one.md5 == md5 || placed.is_some_and(|placed| placed.contains(&one.md5));
            known &= is_placed && cache.holds(&one)?;
        }
        Ok(known)
    }

    /// Put files into the cache and note it, before they are overwritten; note, too, which files that somebody removed are about
    /// to be `returned`. Returns what was set aside, with its content.
    pub(crate) fn set_aside(
        &self,
        paths: &[PathBuf],
        returned: &[(PathBuf, Md5)],
        cache: &Cache,
        stat: &StatCache,
    ) -> Result<BTreeMap<PathBuf, Md5>> {
        let mut aside = BTreeMap::new();
        if paths.is_empty() && returned.is_empty() {
            return Ok(aside);
        }
        let links = &self.settings().links.value;
        let added = backlot_store::add_files(cache, stat, paths, links, self.context())?;
        let mut files = Vec::new();
        for (path, added) in paths.iter().zip(added) {
            files.push(AsideFile {
                path: self.display_path(path),
                md5: added.digests.md5,
                executable: is_executable(path)?,
                removed: false,
            });
            aside.insert(path.clone(), added.digests.md5);
        }
        let mut record = self.load_or_begin()?;
        for one in &files {
            record.brought_back.remove(&one.md5);
        }
        files.extend(returned.iter().map(|(path, md5)| AsideFile {
            path: self.display_path(path),
            md5: *md5,
            executable: false,
            removed: true,
        }));
        record.aside.push(SetAside {
            at: self.context().now(),
            files,
        });
        save(&place(self), &record)?;
        Ok(aside)
    }

    /// The record, to add to it. One that cannot be read is put away: what it names is not known, and a collection of the cache
    /// waits until somebody deletes it.
    fn load_or_begin(&self) -> Result<Record> {
        let path = place(self);
        match load(&path) {
            Err(Error::Edit(EditError::DamagedRecord { reason, .. })) => {
                let damaged = damaged_place(self);
                let message = format!(
                    "`{}` cannot be read ({reason}) and was renamed to `{}`: files set aside by earlier pulls remain in the cache, but only this record has their names",
                    path.display(),
                    damaged.display()
                );
                self.context().warn("pull::unreadable_record", message);
                if !damaged.exists() {
                    file::rename(&path, &damaged)?;
                }
                Ok(Record::default())
            }
            loaded => loaded,
        }
    }

    /// Forget what was brought back and is named by a pointer now.
    pub(crate) fn forget_brought_back(&self, added: &[AddedOut]) -> Result<()> {
        let mut record = match load(&place(self)) {
            // It can name more than is needed, so nothing is lost when nothing is forgotten.
            Err(error @ Error::Edit(EditError::DamagedRecord { .. })) => {
                self.context().warn("pull::unreadable_record", error.to_string());
                return Ok(());
            }
            loaded => loaded?,
        };
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
        let damaged = damaged_place(self);
        if damaged.exists() {
            let reason = "it was put away because it could not be read".to_owned();
            let path = damaged;
            return Err(EditError::DamagedRecord { path, reason }.into());
        }
        let record = load(&place(self))?;
        let files = record.aside.iter().flat_map(|one| &one.files);
        let all = files
            .map(|one| one.md5)
            .chain(record.brought_back.iter().copied());
        Ok(all.map(ObjectId::file).collect())
    }
}

fn place(workspace: &Opened) -> PathBuf {
    workspace.state_dir().join("set-aside.json")
}

/// Where a record is put that cannot be read.
fn damaged_place(workspace: &Opened) -> PathBuf {
    workspace.state_dir().join("set-aside.damaged.json")
}

fn load(path: &Path) -> Result<Record> {
    let Some(bytes) = file::read_if_exists(path)? else {
        return Ok(Record::default());
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        EditError::DamagedRecord {
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

fn is_executable(path: &Path) -> Result<bool> {
    Ok(platform::is_executable(&fs_err::metadata(path)?))
}
