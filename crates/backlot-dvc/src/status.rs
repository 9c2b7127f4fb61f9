//! How tracked files differ from their pointers. Cheap: unchanged files are known by the stat cache.

use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath};
use backlot_store::{Cache, ObjectId, StatCache, hash_files};
use serde::Serialize;

use crate::content::{Content, missing};
use crate::error::Result;
use crate::ignore::Ignore;
use crate::manifest::{Manifest, ManifestEntry};
use crate::pointer::Out;
use crate::scan::{Scanned, ScannedFile, survey};
use crate::tracked::TrackedPointer;

/// How many names of each kind a status carries.
const MAX_NAMES: usize = 20;

/// The state of a tracked file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutState {
    /// Where it is.
    pub path: PathBuf,
    /// Its pointer.
    pub pointer: PathBuf,
    /// How it differs.
    pub change: Change,
}

/// How a tracked file or folder differs from its pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Change {
    /// It is what the pointer says, and the cache has it.
    Unchanged,
    /// It is something else.
    Modified {
        /// Files that the pointer does not know.
        added: u64,
        /// Files that are gone.
        removed: u64,
        /// Files with other content.
        changed: u64,
        /// Some of the files, each with `+`, `-` or `~` before it.
        names: Vec<String>,
    },
    /// It is not there.
    Missing,
    /// It is what the pointer says, but the cache does not have it: nobody could restore it.
    NotInCache,
}

/// The state of every out of some pointers.
pub fn status(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    stat: &StatCache,
    context: &Context,
) -> Result<Vec<OutState>> {
    let mut states = Vec::new();
    for pointer in pointers {
        for (path, out) in pointer.located_outs() {
            context.check()?;
            let change = out_change(&path, out, cache, stat, context)?;
            states.push(OutState {
                path,
                pointer: pointer.path.clone(),
                change,
            });
        }
    }
    Ok(states)
}

fn out_change(path: &Path, out: &Out, cache: &Cache, stat: &StatCache, context: &Context) -> Result<Change> {
    let ignore = Ignore::of_folder(path.parent().unwrap_or(path))?;
    let Some(id) = out.id() else {
        return Ok(Change::Missing);
    };
    let (found, strange) = survey(path, &ignore, context)?;
    if !strange.is_empty() {
        // What cannot be tracked is a change that `add` will name.
        let names = strange
            .iter()
            .take(MAX_NAMES)
            .map(|p| format!("~ {}", p.strip_prefix(path).unwrap_or(p).display()));
        return Ok(modified(0, 0, strange.len() as u64, names.collect()));
    }
    match found {
        Scanned::Missing => Ok(Change::Missing),
        Scanned::File { executable, .. } => {
            let digests = hash_files(&[path.to_path_buf()], stat, context)?;
            let same = digests.iter().all(|d| ObjectId::file(d.md5) == id);
            if !same {
                return Ok(modified(0, 0, 1, vec![format!("~ {}", out.path.file_name())]));
            }
            // Links into the cache cannot be executable, so a missing bit is no change.
            if executable && !out.isexec {
                return Ok(modified(
                    0,
                    0,
                    1,
                    vec![format!("~ {} (executable)", out.path.file_name())],
                ));
            }
            in_cache(cache, &Content::File(id), path, out)
        }
        Scanned::Folder(files) => {
            let now = manifest_of(path, &files, stat, context)?;
            match Content::find(out, cache)? {
                _ if !id.tree => Ok(modified(now.entries().len() as u64, 1, 0, Vec::new())),
                None if now.id() == id => Ok(Change::NotInCache),
                None => Ok(modified(0, 0, now.entries().len() as u64, Vec::new())),
                Some(content) if now.id() == id => in_cache(cache, &content, path, out),
                Some(Content::Folder(before)) => Ok(difference(&before, &now, cache, path, out)?),
                Some(Content::File(_)) => Ok(Change::Missing),
            }
        }
    }
}

/// What a folder's manifest would be now.
fn manifest_of(
    folder: &Path,
    files: &[ScannedFile],
    stat: &StatCache,
    context: &Context,
) -> Result<Manifest> {
    let paths: Vec<PathBuf> = files.iter().map(|f| f.full.clone()).collect();
    let digests = hash_files(&paths, stat, context)?;
    let entries = files.iter().zip(digests).map(|(f, d)| ManifestEntry {
        md5: d.md5,
        path: f.path.clone(),
    });
    Manifest::new(&folder.display().to_string(), entries.collect())
}

fn in_cache(cache: &Cache, content: &Content, path: &Path, out: &Out) -> Result<Change> {
    let whole = !out.cache || missing(&content.members(path), cache)?.is_empty();
    Ok(if whole {
        Change::Unchanged
    } else {
        Change::NotInCache
    })
}

fn modified(added: u64, removed: u64, changed: u64, names: Vec<String>) -> Change {
    Change::Modified {
        added,
        removed,
        changed,
        names,
    }
}

fn difference(before: &Manifest, now: &Manifest, cache: &Cache, path: &Path, out: &Out) -> Result<Change> {
    let new: Vec<&RelPath> = now
        .entries()
        .iter()
        .map(|e| &e.path)
        .filter(|p| before.get(p).is_none())
        .collect();
    let gone: Vec<&RelPath> = before
        .entries()
        .iter()
        .map(|e| &e.path)
        .filter(|p| now.get(p).is_none())
        .collect();
    let other = |e: &&ManifestEntry| before.get(&e.path).is_some_and(|md5| md5 != e.md5);
    let changed: Vec<&RelPath> = now.entries().iter().filter(other).map(|e| &e.path).collect();
    if new.is_empty() && gone.is_empty() && changed.is_empty() {
        // The same files under a manifest that somebody else wrote in another form.
        return in_cache(cache, &Content::Folder(before.clone()), path, out);
    }
    let mut names = Vec::new();
    for (sign, paths) in [('+', &new), ('-', &gone), ('~', &changed)] {
        names.extend(paths.iter().take(MAX_NAMES).map(|p| format!("{sign} {p}")));
    }
    Ok(modified(
        new.len() as u64,
        gone.len() as u64,
        changed.len() as u64,
        names,
    ))
}
