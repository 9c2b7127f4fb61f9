//! How tracked files differ from their pointers. Cheap: unchanged files are known by the stat cache.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::Context;
use backlot_store::{Cache, FileDigests, ObjectId, StatCache, hash_files};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::error::Result;
use crate::ignore::Ignore;
use crate::manifest::{Manifest, ManifestEntry};
use crate::merge::{FileChanges, MAX_NAMES, merge};
use crate::pointer::Out;
use crate::record::Record;
use crate::scan::{HAS_MODES, Scanned, ScannedFile, is_linked, survey};
use crate::tracked::TrackedPointer;

/// The state of a tracked file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutState {
    /// Where it is.
    pub path: PathBuf,
    /// Its pointer.
    pub pointer: PathBuf,
    /// How it differs.
    pub change: Change,
    /// Whether its content is in caches and on remotes; else it is git's, or in the wheel.
    pub cached: bool,
    /// Whether its content is on remotes.
    pub pushed: bool,
    /// The stage that makes it, if no pointer stands for it.
    pub stage: Option<String>,
}

/// How a tracked file or folder differs from its pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Change {
    /// It matches its pointer, and the cache has it.
    Unchanged,
    /// Nothing of it was ever pulled here. It counts as unchanged.
    NotPulled,
    /// Some of its files were never pulled here and count as unchanged, as are the others.
    Partial {
        /// How many are not here.
        absent: u64,
    },
    /// It is something else.
    Modified {
        /// Files that the pointer does not know.
        added: u64,
        /// Files that were here and are gone.
        removed: u64,
        /// Files with other content.
        changed: u64,
        /// Files that were never pulled here and count as unchanged.
        absent: u64,
        /// Some of the files, each with `+`, `-` or `~` before it.
        names: Vec<String>,
    },
    /// It was here and is gone.
    Missing,
    /// Its pointer names no content: it was never recorded, or is only in a versioned bucket.
    NoContent,
    /// Something is there, but which files the pointer stands for is not known: its manifest is not in the cache.
    NoManifest,
    /// It matches its pointer, but the cache does not have it, so it could not be restored.
    NotInCache,
}

/// How to look at tracked files.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusOptions {
    /// Whether to record which files are here, so that one that is removed later is known to be. Files of installed releases
    /// are not edited, so there is nothing to record of them.
    pub record: bool,
}

/// The state of every out of some pointers.
pub fn status(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    stat: &StatCache,
    options: StatusOptions,
    context: &Context,
) -> Result<Vec<OutState>> {
    let looking = Looking {
        cache,
        stat,
        options,
        context,
        ignores: RefCell::default(),
        hashed: hash_plain_files(pointers, stat, context)?,
    };
    let mut states = Vec::new();
    for pointer in pointers {
        for (path, out) in pointer.located_outs() {
            context.check()?;
            let change = looking.change(&path, out)?;
            states.push(OutState {
                path,
                pointer: pointer.path.clone(),
                change,
                cached: out.cache,
                pushed: out.cache && out.push,
                stage: pointer.made_by.as_ref().map(|made_by| made_by.stage.clone()),
            });
        }
    }
    Ok(states)
}

/// Digests of the outs that are plain files, in one call: a pipeline has hundreds of them, and each call is a transaction of the
/// stat cache.
fn hash_plain_files(
    pointers: &[&TrackedPointer],
    stat: &StatCache,
    context: &Context,
) -> Result<HashMap<PathBuf, FileDigests>> {
    let outs = pointers.iter().flat_map(|pointer| pointer.located_outs());
    let files = outs.filter(|(_, out)| out.id().is_some_and(|id| !id.tree));
    let plain = |path: &PathBuf| path.symlink_metadata().is_ok_and(|about| about.is_file());
    let paths: Vec<PathBuf> = files.map(|(path, _)| path).filter(plain).collect();
    let digests = hash_files(&paths, stat, context)?;
    Ok(paths.into_iter().zip(digests).collect())
}

/// What is the same for all outs.
struct Looking<'a> {
    cache: &'a Cache,
    stat: &'a StatCache,
    options: StatusOptions,
    context: &'a Context,
    /// By folder.
    ignores: RefCell<HashMap<PathBuf, Ignore>>,
    hashed: HashMap<PathBuf, FileDigests>,
}

impl Looking<'_> {
    fn ignore(&self, folder: &Path) -> Result<Ignore> {
        if let Some(known) = self.ignores.borrow().get(folder) {
            return Ok(known.clone());
        }
        let ignore = Ignore::of_folder(folder)?;
        self.ignores
            .borrow_mut()
            .insert(folder.to_path_buf(), ignore.clone());
        Ok(ignore)
    }

    fn change(&self, path: &Path, out: &Out) -> Result<Change> {
        let ignore = self.ignore(path.parent().unwrap_or(path))?;
        let Some(id) = out.id() else {
            return Ok(Change::NoContent);
        };
        let (found, strange) = survey(path, &ignore, self.context)?;
        if !strange.is_empty() {
            // An untrackable path is a change that `add` reports.
            let names = strange
                .iter()
                .take(MAX_NAMES)
                .map(|p| format!("~ {}", p.strip_prefix(path).unwrap_or(p).display()));
            return Ok(modified(0, 0, strange.len() as u64, names.collect()));
        }
        let record = Record::load(self.stat, path)?;
        match found {
            // Uncached files are never pulled.
            Scanned::Missing if record.is_empty() && out.cache => Ok(Change::NotPulled),
            Scanned::Missing => Ok(Change::Missing),
            Scanned::File { executable, .. } => self.file(path, out, id, executable, &record),
            Scanned::Folder(files) if !id.tree => Ok(modified(files.len() as u64, 1, 0, Vec::new())),
            Scanned::Folder(files) => self.folder(path, out, id, &files, &record),
        }
    }

    fn file(
        &self,
        path: &Path,
        out: &Out,
        id: ObjectId,
        executable: bool,
        record: &Record<'_>,
    ) -> Result<Change> {
        let found = match self.hashed.get(path) {
            Some(digests) => Some(*digests),
            None => hash_files(&[path.to_path_buf()], self.stat, self.context)?.pop(),
        };
        let name = out.path.file_name();
        if found.is_some_and(|d| ObjectId::file(d.md5) != id) {
            return Ok(modified(0, 0, 1, vec![format!("~ {name}")]));
        }
        if let Some(proof) = out.blake3()
            && crate::judge(id, proof, None, &|_| found) == Some(false)
        {
            return Ok(unproven(name));
        }
        if self.options.record {
            record.note_file(id.md5)?;
        }
        if executable && !out.isexec {
            return Ok(modified(0, 0, 1, vec![format!("~ {name} (executable)")]));
        }
        // Links into the cache cannot be executable, so a missing bit alone is not a change.
        if out.isexec && !executable && HAS_MODES && !is_linked(path) {
            return Ok(modified(0, 0, 1, vec![format!("~ {name} (not executable)")]));
        }
        let whole = !out.cache || self.cache.has(&id)?;
        Ok(if whole {
            Change::Unchanged
        } else {
            Change::NotInCache
        })
    }

    fn folder(
        &self,
        path: &Path,
        out: &Out,
        id: ObjectId,
        files: &[ScannedFile],
        record: &Record<'_>,
    ) -> Result<Change> {
        let digests = self.digests_of(files)?;
        let present = entries_of(files, &digests);
        let name = path.display().to_string();
        let Some(Content::Folder(base)) = Content::find(out, self.cache)? else {
            return Ok(if Manifest::new(&name, present)?.id() == id {
                if out.cache {
                    Change::NotInCache
                } else {
                    Change::Unchanged
                }
            } else if !out.cache {
                // Its manifest is on no remote.
                modified(0, 0, 1, vec![format!("~ {}", out.path.file_name())])
            } else if files.is_empty() && record.is_empty() {
                Change::NotPulled
            } else {
                Change::NoManifest
            });
        };
        let merged = merge(&name, &base, present, &|entry| record.had(entry))?;
        let absent = merged.kept.len() as u64;
        let kept: HashSet<&str> = merged.kept.iter().map(|entry| entry.path.as_str()).collect();
        if self.options.record {
            let here = |entry: &ManifestEntry| merged.manifest.get(&entry.path) == Some(entry.md5);
            // Of an older version: a checkout may remove what is as it was placed.
            let is_still = |path: &str, md5| {
                let at = files.binary_search_by(|file| file.path.as_str().cmp(path));
                at.is_ok_and(|at| digests.get(at).is_some_and(|found| found.md5 == md5))
            };
            let is_here = |entry: &ManifestEntry| here(entry) && !kept.contains(entry.path.as_str());
            record.note(&base, &is_here, &is_still)?;
        }
        let changes = merged.changes();
        if !changes.is_empty() {
            let FileChanges {
                new,
                changed,
                gone,
                names,
            } = changes;
            return Ok(Change::Modified {
                added: new,
                removed: gone,
                changed,
                absent,
                names,
            });
        }
        if let (Some(proof), 0) = (out.blake3(), absent) {
            let of: HashMap<ObjectId, FileDigests> =
                digests.iter().map(|d| (ObjectId::file(d.md5), *d)).collect();
            if crate::judge(id, proof, Some(&base), &|id| of.get(id).copied()) == Some(false) {
                return Ok(unproven(out.path.file_name()));
            }
        }
        let entries = base.entries().iter();
        let here = entries.filter(|entry| !kept.contains(entry.path.as_str()));
        let ids: Vec<ObjectId> = here.map(|entry| ObjectId::file(entry.md5)).collect();
        let whole = !out.cache || self.cache.sizes(&ids)?.iter().all(Option::is_some);
        Ok(match (whole, absent) {
            (false, _) => Change::NotInCache,
            (true, 0) => Change::Unchanged,
            (true, _) if files.is_empty() => Change::NotPulled,
            (true, absent) => Change::Partial { absent },
        })
    }

    fn digests_of(&self, files: &[ScannedFile]) -> Result<Vec<FileDigests>> {
        let paths: Vec<PathBuf> = files.iter().map(|f| f.full.clone()).collect();
        Ok(hash_files(&paths, self.stat, self.context)?)
    }
}

/// The files of a folder with their content.
fn entries_of(files: &[ScannedFile], digests: &[FileDigests]) -> Vec<ManifestEntry> {
    let entry = |(file, digests): (&ScannedFile, &FileDigests)| ManifestEntry {
        md5: digests.md5,
        path: file.path.clone(),
    };
    files.iter().zip(digests).map(entry).collect()
}

/// Its MD5s are those of the pointer, its content is not what the pointer proves: files that were made to have the same MD5,
/// or a pointer that another program wrote while it had a proof that did not say what it was of.
fn unproven(name: &str) -> Change {
    modified(0, 0, 1, vec![format!("~ {name} (does not match its pointer)")])
}

fn modified(added: u64, removed: u64, changed: u64, names: Vec<String>) -> Change {
    Change::Modified {
        added,
        removed,
        changed,
        absent: 0,
        names,
    }
}
