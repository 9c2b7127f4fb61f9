//! Pointers on disk: finding those of an asset, and their tracked paths.
//!
//! Deliberately absent: content. A tracked folder is never entered here, so a pointer inside one is data, not a pointer. Outputs of stages, which
//! no pointer stands for, are found by `made`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use backlot_core::presence::is_folder;
use backlot_core::{Context, RelPath};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::ignore::{IGNORE_FILE, Ignore};
use crate::names;
use crate::pipeline::PIPELINE_FILE;
use crate::pointer::{Out, Pointer};
use crate::scan;

/// The stage that makes an output, which its lock stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy {
    /// The `dvc.lock`.
    pub lock: PathBuf,
    /// The name of the stage in it.
    pub stage: String,
}

/// A pointer with the file it was read from, or an output of a stage as if it had one.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackedPointer {
    /// The pointer file; of an output of a stage, where one would be.
    pub path: PathBuf,
    /// Its contents.
    pub pointer: Pointer,
    /// The stage, if there is no pointer file: then only a run of the stage changes it.
    pub made_by: Option<MadeBy>,
}

impl TrackedPointer {
    /// Read a pointer file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::BadPointer {
            pointer: path.to_path_buf(),
            reason: "not valid UTF-8".to_owned(),
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            pointer: Pointer::parse(path, &text)?,
            made_by: None,
        })
    }

    /// An output of a stage at a path.
    pub fn made(path: &Path, out: Out, made_by: MadeBy) -> Self {
        let mut pointer_path = path.as_os_str().to_owned();
        pointer_path.push(names::POINTER_SUFFIX);
        Self {
            path: pointer_path.into(),
            pointer: Pointer::of(out),
            made_by: Some(made_by),
        }
    }

    /// The file that says it: the pointer, or the lock of the stage.
    pub fn file(&self) -> &Path {
        self.made_by.as_ref().map_or(&self.path, |made_by| &made_by.lock)
    }

    /// The pointer file that an add would make.
    pub fn planned(added: &crate::add::AddedOut) -> Self {
        Self {
            path: added.pointer.clone(),
            pointer: Pointer {
                outs: vec![added.out.clone()],
                ..Pointer::default()
            },
            made_by: None,
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Its outs, with where they are on disk.
    pub fn located_outs(&self) -> impl Iterator<Item = (PathBuf, &Out)> {
        let base = self.pointer.base(self.folder());
        self.pointer
            .outs
            .iter()
            .map(move |out| (out.path.to_path(&base), out))
    }
}

/// All pointers in a folder and below, sorted by path. Not those in tracked or ignored folders, nor behind links.
pub fn pointers(root: &Path, context: &Context) -> Result<Vec<TrackedPointer>> {
    Ok(Definitions::find(&[root.to_path_buf()], &[], context)?.pointers)
}

/// The files below some folders that define tracked paths.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Pointers, sorted by path.
    pub(crate) pointers: Vec<TrackedPointer>,
    /// `dvc.yaml` files, those of outer folders first.
    pub(crate) pipelines: Vec<PathBuf>,
}

impl Definitions {
    /// Find them, except those in tracked or ignored folders, behind links, and in excluded ones.
    pub(crate) fn find(roots: &[PathBuf], left_out: &[PathBuf], context: &Context) -> Result<Self> {
        let mut found = Self::default();
        let mut entered = HashSet::new();
        for root in roots {
            if is_folder(root)? {
                let above = root
                    .parent()
                    .map_or_else(|| Ok(Ignore::default()), Ignore::of_folder)?;
                found.walk(root, above, left_out, &mut entered, context)?;
            }
        }
        found.pointers.sort_by(|a, b| a.path.cmp(&b.path));
        found
            .pipelines
            .sort_by_cached_key(|path| (path.components().count(), path.clone()));
        Ok(found)
    }

    fn walk(
        &mut self,
        root: &Path,
        above: Ignore,
        left_out: &[PathBuf],
        entered: &mut HashSet<PathBuf>,
        context: &Context,
    ) -> Result<()> {
        let mut pending = vec![(root.to_path_buf(), above)];
        let mut tracked: Vec<PathBuf> = Vec::new();
        while let Some((folder, mut ignore)) = pending.pop() {
            context.check()?;
            if !entered.insert(folder.clone()) {
                continue;
            }
            let entries = scan::list(&folder)?;
            if folder != root && entries.iter().any(scan::Found::is_repository) {
                continue;
            }
            if entries.iter().any(|e| e.name == IGNORE_FILE && e.kind.is_file()) {
                ignore = ignore.with_file_of(&folder)?;
            }
            for entry in entries.iter().filter(|entry| !entry.kind.is_dir()) {
                let is_pointer = names::is_pointer(&entry.name) && entry.kind.is_file();
                if !is_pointer && entry.name != PIPELINE_FILE || ignore.excludes(&entry.full, false) {
                    continue;
                }
                if is_pointer {
                    let pointer = TrackedPointer::load(&entry.full)?;
                    tracked.extend(pointer.located_outs().map(|(path, _)| path));
                    self.pointers.push(pointer);
                } else {
                    self.pipelines.push(entry.full.clone());
                }
            }
            for entry in entries {
                let enter = entry.kind.is_dir()
                    && !tracked.contains(&entry.full)
                    && !left_out.contains(&entry.full)
                    && !ignore.excludes(&entry.full, true);
                if enter {
                    pending.push((entry.full, ignore.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Which paths below a folder are tracked content: they stay out of a wheel, their pointers go in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackedPaths {
    /// Tracked files and folders, relative to the folder, sorted.
    pub outs: Vec<RelPath>,
}

impl TrackedPaths {
    /// Whether a path is tracked content.
    pub fn contains(&self, path: &RelPath) -> bool {
        self.outs.iter().any(|out| path.is_within(out))
    }
}

/// The tracked paths below a folder.
pub fn tracked_paths(root: &Path, context: &Context) -> Result<TrackedPaths> {
    let mut outs = Vec::new();
    for pointer in pointers(root, context)? {
        for (path, _) in pointer.located_outs() {
            let outside = || Error::Outside {
                path: path.clone(),
                root: root.to_path_buf(),
            };
            let inside = path.strip_prefix(root).map_err(|_| outside())?;
            outs.push(RelPath::from_path(inside).map_err(|_| outside())?);
        }
    }
    outs.sort();
    Ok(TrackedPaths { outs })
}
