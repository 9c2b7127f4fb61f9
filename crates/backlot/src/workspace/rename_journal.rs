//! What is left to do of a rename of an output, so that one that was stopped in between is finished by the next change of the workspace.
//!
//! Invariants: all of it can be done again from the beginning; the record goes last. Deliberately absent: what a rename changes (`project/rename.rs`).

use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath, file};
use backlot_store::StatCache;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};

const FORMAT: u64 = 1;

/// Renames of folders and new texts of files, in their order; paths are relative to the workspace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RenameJournal {
    format: u64,
    /// The old name of the asset.
    pub(crate) from: String,
    /// The new one.
    pub(crate) to: String,
    /// Folders or files, with where they go; what is there already was moved.
    pub(crate) moves: Vec<(RelPath, RelPath)>,
    /// Files where they are in the end, with what is in them.
    pub(crate) files: Vec<(RelPath, String)>,
}

impl RenameJournal {
    pub(crate) const fn new(from: String, to: String) -> Self {
        Self {
            format: FORMAT,
            from,
            to,
            moves: Vec::new(),
            files: Vec::new(),
        }
    }

    fn path(root: &Path) -> PathBuf {
        root.join(".backlot/rename.json")
    }

    /// Note it in a workspace, then do it. The caller holds the lock.
    pub(crate) fn carry_out(&self, root: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        file::write(&Self::path(root), &text)?;
        self.finish(root)
    }

    fn finish(&self, root: &Path) -> Result<()> {
        let state = root.join(".backlot/state.db");
        let stat = state.is_file().then(|| StatCache::open(&state)).transpose()?;
        for (from, to) in &self.moves {
            let (from, to) = (from.to_path(root), to.to_path(root));
            if fs::symlink_metadata(&from).is_ok() && fs::symlink_metadata(&to).is_err() {
                if let Some(folder) = to.parent() {
                    fs::create_dir_all(folder)?;
                }
                file::rename(&from, &to)?;
            }
            // What was nested leaves an empty folder.
            if let Some(folder) = from.parent() {
                fs::remove_dir(folder).ok();
            }
            if let Some(stat) = &stat {
                stat.follow_rename(&from, &to)?;
            }
        }
        for (path, text) in &self.files {
            file::write_if_changed(&path.to_path(root), text.as_bytes())?;
        }
        Ok(file::remove(&Self::path(root))?)
    }
}

/// Finish a rename that was stopped in between, if there is one. The caller holds the lock.
pub(crate) fn finish_rename(root: &Path, context: &Context) -> Result<()> {
    let path = RenameJournal::path(root);
    let Some(bytes) = file::read_if_exists(&path)? else {
        return Ok(());
    };
    let journal: RenameJournal =
        serde_json::from_slice(&bytes).map_err(|error| WorkspaceError::BadConfig {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    if journal.format > FORMAT {
        return Err(WorkspaceError::NewerFormat {
            path,
            found: journal.format,
            known: FORMAT,
        }
        .into());
    }
    journal.finish(root)?;
    let message = format!(
        "the rename of {} to {}, which was interrupted, is finished; `install` shows it in `inputs`",
        journal.from, journal.to
    );
    context.warn("rename::finished", message);
    Ok(())
}
