//! Paths from outside: what adding them would do, and those that are copied into an asset and not tracked yet.
//!
//! Invariants: all paths are looked at before the first is copied, and a copy that is refused after all is removed again. An
//! `add` that was stopped between the two is finished by running it again, and only that one: what else lies at its target is not
//! taken for it, and a source that changed since is copied anew. Kept in `.backlot/adding.json`, which can be deleted.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::{Class, Context, Diagnostic as _, LinkMode, RelPath, file};
use backlot_dvc::{AddedOut, FileChanges, Ignore, Manifest, ManifestEntry, Scanned, TrackedPointer};
use backlot_store::{FileDigests, FileStat, ObjectId, Transfer};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{Error, OutsError, Result, WorkspaceError};
use crate::files::tracked::{AddedFiles, Tracked};
use crate::project::output::Output;
use crate::workspace::Opened;

/// A copy that is not tracked yet.
#[derive(Debug, Serialize, Deserialize)]
struct BegunCopy {
    /// The copied files.
    from: PathBuf,
    /// Its [`state_of`] right before.
    source: String,
    /// That of the copy.
    copy: String,
}

/// Copies by their targets.
type Begun = BTreeMap<PathBuf, BegunCopy>;

/// The state of the target of an external path.
enum Copied {
    /// Its current copy.
    Current,
    /// Its copy, as it was.
    Stale,
    /// Something else, or a copy that was modified.
    Other,
}

fn place(workspace: &Opened) -> PathBuf {
    workspace.state_dir().join("adding.json")
}

fn load(workspace: &Opened) -> Result<Begun> {
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

/// Note that a path is copied to a target. What was finished or given up since is forgotten.
fn begin(workspace: &Opened, target: &Path, copy: BegunCopy) -> Result<()> {
    let mut begun = load(workspace)?;
    begun.retain(|target, _| target.exists() && !is_tracked(target));
    begun.insert(target.to_path_buf(), copy);
    let bytes = serde_json::to_vec_pretty(&begun).unwrap_or_default();
    file::write_if_changed(&place(workspace), &bytes)?;
    Ok(())
}

/// What tells one state of a file or folder from another without reading it: the names, sizes and times of its files.
fn state_of(path: &Path) -> Result<String> {
    let mut lines = Vec::new();
    let mut pending = vec![path.to_path_buf()];
    while let Some(next) = pending.pop() {
        let Ok(found) = fs::metadata(&next) else {
            // A link to nothing; the scan of the source names it.
            lines.push(format!("{}", next.strip_prefix(path).unwrap_or(&next).display()));
            continue;
        };
        if !found.is_dir() {
            let stat = FileStat::of(&found);
            let inside = next.strip_prefix(path).unwrap_or(&next).display();
            lines.push(format!("{inside} {} {}", stat.size, stat.modified));
        } else if next == path || !next.is_symlink() {
            for entry in fs::read_dir(&next)? {
                pending.push(entry?.path());
            }
        }
    }
    lines.sort_unstable();
    Ok(backlot_store::digest_bytes(lines.join("\n").as_bytes())
        .blake3
        .to_hex())
}

/// Copy a file or folder from outside into an output, through a temporary beside it.
fn copy_in(source: &Path, target: &Path, workspace: &Opened) -> Result<()> {
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder)?;
    let stage = file::temporary_in(folder);
    let copied = || -> Result<()> {
        let before = state_of(source)?;
        copy_tree(source, &stage, workspace)?;
        let copy = BegunCopy {
            from: source.to_path_buf(),
            source: before,
            copy: state_of(&stage)?,
        };
        begin(workspace, target, copy)?;
        Ok(file::rename(&stage, target)?)
    };
    copied().inspect_err(|_| {
        file::remove(&stage).ok();
    })
}

/// Copy a file or folder. Of a folder that is named by a link the content is copied; links to folders inside are passed over, as
/// in a folder that is tracked where it lies.
pub(crate) fn copy_tree(source: &Path, target: &Path, workspace: &Opened) -> Result<()> {
    let modes = [LinkMode::Reflink, LinkMode::Copy];
    let mut pending = vec![(source.to_path_buf(), target.to_path_buf())];
    while let Some((from, to)) = pending.pop() {
        workspace.context().check()?;
        if !backlot_dvc::kind_of(&from)?.is_dir() {
            backlot_core::link::place(&from, None, &to, &modes, true)?;
        } else if from != source && from.is_symlink() {
            let message = format!("`{}` is a link to a folder and was skipped", from.display());
            workspace.context().warn("dvc::skipped_link", message);
        } else {
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(&from)? {
                let entry = entry?;
                pending.push((entry.path(), to.join(entry.file_name())));
            }
        }
    }
    Ok(())
}

/// Remove the copies of paths whose adding was refused, so that nothing is left that the next build trips over. The paths
/// themselves are as they were; where one is gone, its copy may be all there is.
pub(crate) fn remove_refused(copies: &[(PathBuf, PathBuf)]) {
    for (source, target) in copies {
        if source.exists() && !is_tracked(target) {
            file::remove(target).ok();
        }
    }
}

/// Whether an error says that something cannot be added, and not only that it did not work out now.
pub(crate) fn is_refusal(error: &Error) -> bool {
    !matches!(
        error.class(),
        Class::Cancelled | Class::Environment | Class::Internal
    )
}

/// An error if the pointer of what is added as `target` could not go into the wheel: the release would be without it, or would not
/// be built at all. What lies in a tracked folder has no pointer of its own.
pub(crate) fn check_name(output: &Output, target: &Path) -> Result<()> {
    let modules = output.module_folders();
    let Some(module) = modules.iter().find(|folder| target.starts_with(folder)) else {
        return Ok(());
    };
    let mut inside = target.ancestors().take_while(|path| path != module);
    if inside.any(is_tracked) {
        return Ok(());
    }
    let names = target.strip_prefix(module).unwrap_or(target).iter();
    let mut names: Vec<std::ffi::OsString> = names.map(ToOwned::to_owned).collect();
    if let Some(last) = names.last_mut() {
        last.push(".dvc");
    }
    for name in &names {
        if let Err(reason) = backlot_wheel::check_packaged_name(name) {
            return Err(OutsError::NotPackaged {
                path: target.to_path_buf(),
                reason,
            }
            .into());
        }
    }
    Ok(())
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

impl Opened {
    /// Look at a path before anything is copied, stored or sent: it is there, all of it can be tracked, and its pointer can go
    /// into the wheel.
    pub(crate) fn check_addable(&self, output: &Output, path: &Path, target: &Path) -> Result<()> {
        check_name(output, target)?;
        if path == target || (!path.exists() && target.exists()) {
            return Ok(());
        }
        fs::metadata(path)?;
        let files = self.files_of(path)?;
        for file in files.names.iter().flatten().zip(&files.sources) {
            // Until the folder is tracked it is looked at as a pointer.
            if file.0.file_name().ends_with(".dvc") {
                TrackedPointer::load(file.1)?;
            }
        }
        Ok(())
    }

    /// Copy a path from outside to its place. A run that was stopped after copying goes on from there. Returns whether there is a
    /// copy that is not tracked yet.
    pub(crate) fn bring_in(&self, path: &Path, target: &Path, dry_run: bool) -> Result<bool> {
        if target.exists() {
            if self.is_added(path, target)? {
                return Ok(false);
            }
            match self.copied(path, target)? {
                Copied::Current => return Ok(true),
                Copied::Stale if dry_run => return Ok(true),
                Copied::Stale => file::remove(target)?,
                Copied::Other => {
                    let path = target.to_path_buf();
                    return Err(WorkspaceError::TargetExists { path }.into());
                }
            }
        }
        fs::metadata(path)?;
        if !dry_run {
            copy_in(path, target, self)?;
        }
        Ok(true)
    }

    /// The contents of an untracked target.
    fn copied(&self, path: &Path, target: &Path) -> Result<Copied> {
        if is_tracked(target) {
            return Ok(Copied::Other);
        }
        let begun = load(self)?.remove(target).filter(|begun| begun.from == path);
        let Some(begun) = begun else {
            return Ok(Copied::Other);
        };
        let is_untouched = state_of(target)? == begun.copy;
        if !path.exists() {
            return Ok(if is_untouched {
                Copied::Current
            } else {
                Copied::Other
            });
        }
        let is_same = state_of(path)? == begun.source;
        Ok(match (is_untouched, is_same) {
            (true, true) => Copied::Current,
            (true, false) => Copied::Stale,
            // Adding may have put links to the cache in the place of its files.
            (false, _) if self.is_alike(path, target)? => Copied::Current,
            (false, _) => Copied::Other,
        })
    }

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
        self.is_alike(path, target)
    }

    /// Whether two paths have the same files.
    fn is_alike(&self, path: &Path, target: &Path) -> Result<bool> {
        let (new, old) = (self.files_of(path)?, self.files_of(target)?);
        Ok(new.names == old.names && self.digests_of(&new)? == self.digests_of(&old)?)
    }

    /// The plan of adding an external path, and the objects it would consist of.
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
