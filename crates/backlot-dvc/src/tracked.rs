//! Pointers on disk: finding those of an asset, and what they stand for.
//!
//! Deliberately absent: content. A tracked folder is never entered here, so a pointer inside one is data, not a pointer.

use std::path::{Path, PathBuf};

use backlot_core::presence::is_folder;
use backlot_core::{Context, RelPath};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::ignore::{IGNORE_FILE, Ignore};
use crate::names;
use crate::pointer::{Out, Pointer};
use crate::scan;

/// A pointer with the file it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackedPointer {
    /// The pointer file.
    pub path: PathBuf,
    /// What it says.
    pub pointer: Pointer,
}

impl TrackedPointer {
    /// Read a pointer file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::BadPointer {
            pointer: path.to_path_buf(),
            reason: "it is no UTF-8 text".to_owned(),
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            pointer: Pointer::parse(path, &text)?,
        })
    }

    /// The pointer file that an add would make.
    pub fn planned(added: &crate::add::AddedOut) -> Self {
        Self {
            path: added.pointer.clone(),
            pointer: Pointer {
                outs: vec![added.out.clone()],
                ..Pointer::default()
            },
        }
    }

    /// The folder it lies in.
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
    let mut found = Vec::new();
    if !is_folder(root)? {
        return Ok(found);
    }
    let above = root
        .parent()
        .map_or_else(|| Ok(Ignore::default()), Ignore::of_folder)?;
    let mut pending = vec![(root.to_path_buf(), above)];
    let mut tracked: Vec<PathBuf> = Vec::new();
    while let Some((folder, mut ignore)) = pending.pop() {
        context.check()?;
        let entries = scan::list(&folder)?;
        if folder != root && entries.iter().any(scan::Found::is_repository) {
            continue;
        }
        if entries.iter().any(|e| e.name == IGNORE_FILE && e.kind.is_file()) {
            ignore = ignore.with_file_of(&folder)?;
        }
        for entry in &entries {
            if names::is_pointer(&entry.name) && entry.kind.is_file() && !ignore.excludes(&entry.full, false)
            {
                let pointer = TrackedPointer::load(&entry.full)?;
                tracked.extend(pointer.located_outs().map(|(path, _)| path));
                found.push(pointer);
            }
        }
        for entry in entries {
            let enter =
                entry.kind.is_dir() && !tracked.contains(&entry.full) && !ignore.excludes(&entry.full, true);
            if enter {
                pending.push((entry.full, ignore.clone()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
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
