//! The result or plan of a push or pull.

use std::collections::HashSet;

use backlot_store::{ObjectId, Remote, Transfer, TransferReport};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;
use crate::workspace::problems::AssetProblem;

/// The result of a push or pull.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MoveReport {
    /// One entry an asset.
    pub assets: Vec<MovedFiles>,
    /// The remote.
    pub remote: Option<String>,
    /// Objects that were moved between cache and remote.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written to the remote for them (push only).
    pub sent: u64,
    /// Objects that were there already.
    pub already_there: u64,
    /// Inputs that are pulled when they are named, and were not (pull only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_demand: Vec<String>,
    /// Assets that could not be read, and were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<AssetProblem>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The part of one asset in a push or pull.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MovedFiles {
    /// The asset or package.
    pub name: String,
    /// Its tracked files.
    pub files: u64,
    /// Files placed in the workspace (pull only).
    pub placed: u64,
    /// Files that the pointers no longer name and that were removed: they were as they had been placed (pull only).
    #[serde(skip_serializing_if = "is_zero")]
    pub removed: u64,
    /// Modified files that were left alone (pull only).
    pub kept: Vec<String>,
    /// Modified files that were set aside and overwritten or removed by force (pull only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl MovedFiles {
    /// Nothing moved yet.
    pub(crate) fn of(tracked: &Tracked) -> Self {
        Self {
            files: tracked.files(),
            ..Self::none(&tracked.name)
        }
    }

    /// No files of an asset.
    pub(crate) fn none(asset: &str) -> Self {
        Self {
            name: asset.to_owned(),
            files: 0,
            placed: 0,
            removed: 0,
            kept: Vec::new(),
            set_aside: Vec::new(),
        }
    }
}

impl MoveReport {
    /// Nothing moved yet.
    pub(crate) fn of(tracked: &[Tracked]) -> Self {
        Self {
            assets: tracked.iter().map(MovedFiles::of).collect(),
            ..Self::default()
        }
    }

    /// Count what a push of objects would send.
    pub(crate) fn plan(&mut self, objects: &[Transfer], remote: &Remote, workspace: &Opened) -> Result<()> {
        let ids: Vec<ObjectId> = objects.iter().map(|t| t.id).collect();
        let there = remote.exists_many(&ids, workspace.context())?;
        let mut seen = HashSet::new();
        for (transfer, there) in objects.iter().zip(there).filter(|(t, _)| seen.insert(t.id)) {
            if there {
                self.already_there += 1;
            } else {
                self.objects += 1;
                self.bytes += transfer.size.unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Add the result for other assets.
    pub(crate) fn add(&mut self, more: Self) {
        self.assets.extend(more.assets);
        for name in more.remote.iter().flat_map(|names| names.split(", ")) {
            self.name_remote(name);
        }
        self.objects += more.objects;
        self.bytes += more.bytes;
        self.sent += more.sent;
        self.already_there += more.already_there;
    }

    pub(crate) fn take(&mut self, transfer: &TransferReport) {
        self.objects += transfer.objects;
        self.bytes += transfer.bytes;
        self.sent += transfer.sent;
        self.already_there += transfer.already_there;
    }

    /// Note that files go to or come from a remote.
    pub(crate) fn name_remote(&mut self, name: &str) {
        match &mut self.remote {
            Some(names) if names.split(", ").any(|known| known == name) => {}
            Some(names) => *names = format!("{names}, {name}"),
            None => self.remote = Some(name.to_owned()),
        }
    }
}
