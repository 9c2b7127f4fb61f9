//! Paths from outside: what adding them would do, and those that are copied into an asset and not tracked yet.
//!
//! Invariant: an `add` that was stopped between the two is finished by running it again, and only that one: what else lies
//! at its target is not taken for it. Kept in `.backlot/adding.json`, which can be deleted.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath, file};
use backlot_dvc::{AddedOut, FileChanges, Ignore, Manifest, ManifestEntry, Scanned, TrackedPointer};
use backlot_store::{FileDigests, ObjectId, Transfer};

use crate::error::Result;
use crate::files::{AddedFiles, Tracked};
use crate::outputs::Output;
use crate::workspace::Workspace;

/// Targets with the paths that are copied there.
type Begun = BTreeMap<PathBuf, PathBuf>;

fn place(workspace: &Workspace) -> PathBuf {
    workspace.state_dir().join("adding.json")
}

fn load(workspace: &Workspace) -> Result<Begun> {
    let bytes = file::read_if_exists(&place(workspace))?;
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default())
}

/// Whether a pointer beside a path tracks it.
pub(crate) fn is_tracked(target: &Path) -> bool {
    let mut pointer = target.as_os_str().to_owned();
    pointer.push(".dvc");
    PathBuf::from(pointer).exists()
}

/// Note that a path is about to be copied to a target. What was finished or given up since is forgotten.
pub(crate) fn begin(workspace: &Workspace, source: &Path, target: &Path) -> Result<()> {
    let mut begun = load(workspace)?;
    begun.retain(|target, _| target.exists() && !is_tracked(target));
    begun.insert(target.to_path_buf(), source.to_path_buf());
    let bytes = serde_json::to_vec_pretty(&begun).unwrap_or_default();
    file::write_if_changed(&place(workspace), &bytes)?;
    Ok(())
}

/// Whether what lies at a target is the copy of a path whose adding was stopped.
pub(crate) fn is_begun(workspace: &Workspace, source: &Path, target: &Path) -> Result<bool> {
    Ok(!is_tracked(target) && load(workspace)?.get(target).is_some_and(|from| from == source))
}

/// A path with its files. A single file has no names.
pub(crate) struct Files {
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) names: Option<Vec<RelPath>>,
    /// Of a single file.
    pub(crate) executable: bool,
}

/// What a path from outside would be in an asset.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) asset: String,
    pub(crate) files: u64,
    pub(crate) objects: Vec<Transfer>,
}

impl Preview {
    /// A path inside an asset that has no pointer yet.
    pub(crate) fn of_new(tracked: &Tracked, out: &AddedOut) -> Option<Self> {
        let mut known = tracked.pointers.iter().flat_map(TrackedPointer::located_outs);
        let is_new = !known.any(|(place, _)| place == out.path);
        is_new.then(|| Self {
            asset: tracked.name.clone(),
            files: out.files,
            objects: Vec::new(),
        })
    }
}

/// Look at a path that somebody named and that is read, not tracked where it is: a folder may be named by a link to it.
pub(crate) fn scan_given(path: &Path, context: &Context) -> Result<Scanned> {
    let real = if path.is_dir() {
        fs_err::canonicalize(path)?
    } else {
        path.to_path_buf()
    };
    let ignore = Ignore::of_folder(real.parent().unwrap_or(&real))?;
    Ok(backlot_dvc::scan_out(&real, &ignore, context)?)
}

impl Workspace {
    /// The files of a path from outside.
    pub(crate) fn files_of(&self, path: &Path) -> Result<Files> {
        let mut found = Files {
            sources: Vec::new(),
            names: None,
            executable: false,
        };
        match scan_given(path, self.context())? {
            Scanned::Missing => {}
            Scanned::File { executable, .. } => {
                found.sources.push(path.to_path_buf());
                found.executable = executable;
            }
            Scanned::Folder(files) => {
                found.names = Some(files.iter().map(|f| f.path.clone()).collect());
                found.sources = files.into_iter().map(|f| f.full).collect();
            }
        }
        Ok(found)
    }

    fn digests_of(&self, files: &Files) -> Result<Vec<FileDigests>> {
        Ok(backlot_store::hash_files(
            &files.sources,
            &*self.stat_cache()?,
            self.context(),
        )?)
    }

    /// Whether a target is tracked and has what a path has: it was added before, as by the retry of a farm job.
    pub(crate) fn is_added(&self, path: &Path, target: &Path) -> Result<bool> {
        if !is_tracked(target) {
            return Ok(false);
        }
        let (new, old) = (self.files_of(path)?, self.files_of(target)?);
        Ok(new.names == old.names && self.digests_of(&new)? == self.digests_of(&old)?)
    }

    /// What adding a path from outside would do, and the objects it would consist of.
    pub(crate) fn preview(
        &self,
        output: &Output,
        path: &Path,
        target: &Path,
    ) -> Result<(AddedFiles, Preview)> {
        let files = self.files_of(path)?;
        let digests = self.digests_of(&files)?;
        let Files { sources, names, .. } = files;
        let transfer = |digests: &FileDigests| Transfer::proven(ObjectId::file(digests.md5), digests);
        let mut objects: Vec<Transfer> = digests.iter().map(transfer).collect();
        let (cache, mut seen) = (self.cache()?, HashSet::new());
        let (mut stored_files, mut stored_bytes) = (0, 0);
        for found in &digests {
            if seen.insert(found.md5) && !cache.has(&ObjectId::file(found.md5))? {
                stored_files += 1;
                stored_bytes += found.size;
            }
        }
        let shown: Vec<String> = match &names {
            Some(names) => names.iter().map(ToString::to_string).collect(),
            None => vec![
                target
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
            ],
        };
        if let Some(names) = names {
            let entries = names
                .into_iter()
                .zip(&digests)
                .map(|(path, found)| ManifestEntry { md5: found.md5, path });
            let manifest = Manifest::new(&target.display().to_string(), entries.collect())?;
            objects.push(Transfer {
                size: Some(manifest.to_bytes().len() as u64),
                ..Transfer::of(manifest.id())
            });
        }
        let files = sources.len() as u64;
        let added = AddedFiles {
            asset: output.name.clone(),
            path: self.display_path(target),
            files,
            bytes: digests.iter().map(|found| found.size).sum(),
            changed: files,
            changes: FileChanges {
                new: files,
                names: shown.iter().take(20).map(|name| format!("+ {name}")).collect(),
                ..FileChanges::default()
            },
            kept: 0,
            stored_files,
            stored_bytes,
        };
        let preview = Preview {
            asset: output.name.clone(),
            files,
            objects,
        };
        Ok((added, preview))
    }
}
