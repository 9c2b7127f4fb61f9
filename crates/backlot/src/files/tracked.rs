//! What an asset tracks: its pointers, and what adding to them did.

use backlot_dvc::{FileChanges, TrackedPointer};
use serde::Serialize;

/// A folder that has pointers, under the name of its asset.
#[derive(PartialEq)]
pub(crate) struct Tracked {
    pub(crate) name: String,
    pub(crate) pointers: Vec<TrackedPointer>,
    /// Whether it is an installed release, whose files nobody edits.
    pub(crate) installed: bool,
}

impl Tracked {
    pub(crate) fn files(&self) -> u64 {
        self.pointers
            .iter()
            .flat_map(|p| &p.pointer.outs)
            .filter(|o| o.cache && o.id().is_some())
            .map(|o| o.nfiles.unwrap_or(1))
            .sum()
    }
}

/// A tracked file or folder after adding.
#[derive(Clone, Debug, Serialize)]
pub struct AddedFiles {
    /// The asset that tracks it.
    pub asset: String,
    /// Its path, relative to the workspace.
    pub path: String,
    /// Its files.
    pub files: u64,
    /// Its bytes.
    pub bytes: u64,
    /// How many files are new or changed since it was last added.
    pub changed: u64,
    /// What changed, with names.
    pub changes: FileChanges,
    /// Files that stay as they are and were not looked at: they are not here, or were not asked for.
    pub kept: u64,
    /// How many files were new to the cache.
    pub stored_files: u64,
    /// How many bytes were new to the cache.
    pub stored_bytes: u64,
}
