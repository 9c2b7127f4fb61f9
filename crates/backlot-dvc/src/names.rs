//! Names with a meaning of their own: pointers, temporaries, version control.
//!
//! Deliberately absent: patterns, which are in [`crate::ignore`].

use backlot_core::file::TEMPORARY_PREFIX;

use crate::ignore::IGNORE_FILE;

/// The ending of pointer files.
pub const POINTER_SUFFIX: &str = ".dvc";

/// Names that DVC ignores everywhere and that no tracked content may have.
pub fn is_reserved(name: &str) -> bool {
    [".git", ".hg", ".dvc"]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Whether a name is that of an unfinished file of ours.
pub fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX).is_some_and(|rest| {
        rest.len() == 26 && rest.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    })
}

/// Whether a name is that of a file which tracks or ignores others, so that no tracked content may have it.
pub fn is_of_tracking(name: &str) -> bool {
    is_pointer(name) || matches!(name, IGNORE_FILE | ".gitignore" | "dvc.yaml" | "dvc.lock")
}

/// Whether a name is that of a pointer (not of the folder `.dvc`).
pub fn is_pointer(name: &str) -> bool {
    name.len() > POINTER_SUFFIX.len() && name.ends_with(POINTER_SUFFIX)
}
