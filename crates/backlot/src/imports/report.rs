//! The reports of imports and updates, and of the state of their sources.
//!
//! Deliberately absent: how it is found out.

use backlot_core::Diagnostic as _;
use backlot_dvc::FileChanges;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::moved::MoveReport;

/// The outcome of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImportOutcome {
    /// It is new.
    Imported,
    /// Its source had changed.
    Updated,
    /// Its source is as it was.
    Unchanged,
    /// It would be new.
    WouldImport,
    /// Its source has changed.
    WouldUpdate,
    /// Only a download can determine whether its source has changed.
    MayUpdate,
}

/// One import.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportedPath {
    /// The asset that tracks it.
    pub asset: String,
    /// Its path, relative to the workspace.
    pub path: String,
    /// Its pointer, relative to the workspace.
    pub pointer: String,
    /// Where it is from, as far as it may be shown.
    pub source: String,
    /// The outcome.
    pub outcome: ImportOutcome,
    /// How the source differs from the imported state, if it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its files, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Its bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that were fetched.
    pub fetched_bytes: u64,
    /// The changes, with names.
    pub changes: FileChanges,
    /// Why a change of the source may go unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Locally changed files that were set aside and replaced by force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<String>,
}

impl ImportedPath {
    /// One that nothing is known of yet.
    pub(crate) fn new(
        (asset, source): (&str, String),
        path: String,
        pointer: String,
        outcome: ImportOutcome,
        license: Option<String>,
    ) -> Self {
        Self {
            asset: asset.to_owned(),
            path,
            pointer,
            source,
            outcome,
            reason: None,
            files: None,
            bytes: None,
            fetched_bytes: 0,
            changes: FileChanges::default(),
            weak: None,
            license,
            set_aside: Vec::new(),
        }
    }
}

/// An import that could not be updated, and is as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportProblem {
    /// Its pointer, as it was named.
    pub pointer: String,
    /// The code of the error.
    pub code: String,
    /// The failure.
    pub message: String,
}

impl ImportProblem {
    pub(crate) fn new(pointer: String, error: &Error) -> Self {
        Self {
            pointer,
            code: error.code().to_owned(),
            message: error.to_string(),
        }
    }
}

/// The result of importing or updating.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// One entry an import.
    pub imports: Vec<ImportedPath>,
    /// The pushed files, with `to_remote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<MoveReport>,
    /// Imports that could not be updated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ImportProblem>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The state of the source of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImportState {
    /// It is as it was.
    UpToDate,
    /// It has changed.
    Changed,
    /// Only a download can determine it.
    Unsure,
    /// It is not there any more.
    Gone,
    /// It could not be reached.
    Unreachable,
    /// Only DVC can check it.
    NotAsked,
}

/// An import, and the state of its source.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportStatus {
    /// The asset that tracks it.
    pub asset: String,
    /// Its path, relative to the workspace.
    pub path: String,
    /// Its pointer, relative to the workspace.
    pub pointer: String,
    /// Where it is from, as far as it may be shown.
    pub source: String,
    /// The state.
    pub state: ImportState,
    /// The difference, or why it could not be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its content was never fetched (`--no-download`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_downloaded: bool,
    /// Why a change of the source may go unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}
