//! Errors that stop a collection of a remote because the needed objects are unknown.

use backlot_core::Class;

/// A collection that cannot determine what is needed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GcError {
    /// A repo whose releases need the remote cannot be read.
    #[error(
        "nothing is collected: releases of {repo} need the remote `{remote}` but cannot be read: {reason}"
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

backlot_core::coded! {
    GcError {
        Self::RepoNotRead { remote, id, .. } => "gc::repo_not_read", Class::Environment,
            format!(
                "add it from where it is readable with `repo add NAME PLACE`, and collect again; if it is permanently gone, run `gc --remote {remote} --forget-user {id}`"
            );
        Self::UnknownRecord { known, .. } if known.is_empty() => "gc::unknown_record", Class::NotFound,
            "omit `--forget-user`: there are no records";
        Self::UnknownRecord { known, .. } => "gc::unknown_record", Class::NotFound,
            format!("the records are {}", known.join(", "));
    }
}
