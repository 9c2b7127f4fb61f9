//! What stops a collection of a remote because it is not known what is needed.

use backlot_core::{Class, Coded};

/// A collection that cannot know what is needed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GcError {
    /// A repo whose releases need the remote cannot be read.
    #[error(
        "nothing is collected: releases of {repo} need the remote `{remote}`, and they cannot be read: {reason}"
    )]
    RepoNotRead {
        /// The remote.
        remote: String,
        /// The repo, and who recorded it.
        repo: String,
        /// The record.
        id: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// No record has this name.
    #[error("the remote `{remote}` has no record `{id}` of a repo that needs it")]
    UnknownRecord {
        /// The remote.
        remote: String,
        /// The record that was asked for.
        id: String,
        /// Those that are there.
        known: Vec<String>,
    },
}

impl Coded for GcError {
    fn code(&self) -> &'static str {
        match self {
            Self::RepoNotRead { .. } => "gc::repo_not_read",
            Self::UnknownRecord { .. } => "gc::unknown_record",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::RepoNotRead { .. } => Class::Environment,
            Self::UnknownRecord { .. } => Class::NotFound,
        }
    }
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::RepoNotRead { remote, id, .. } => format!(
                "name it where it can be read from here with `backlot repo add NAME PLACE`, and collect again; if it is gone for good, `backlot gc --remote {remote} --forget-user {id}`"
            ),
            Self::UnknownRecord { known, .. } if known.is_empty() => {
                "leave out `--forget-user`: there are no records".to_owned()
            }
            Self::UnknownRecord { known, .. } => format!("the records are {}", known.join(", ")),
        })
    }
}
