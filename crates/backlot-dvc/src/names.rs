//! Names with a meaning of their own: pointers, temporaries, version control.
//!
//! Deliberately absent: patterns, which are in [`crate::ignore`].

pub use backlot_store::{is_reserved_name as is_reserved, is_temporary_name as is_temporary};

use crate::ignore::IGNORE_FILE;

/// The ending of pointer files.
pub const POINTER_SUFFIX: &str = ".dvc";

/// Whether a name is that of a file which tracks or ignores others, so that no tracked content may have it.
pub fn is_of_tracking(name: &str) -> bool {
    is_pointer(name) || matches!(name, IGNORE_FILE | ".gitignore" | "dvc.yaml" | "dvc.lock")
}

/// Whether a name is that of a pointer (not of the folder `.dvc`).
pub fn is_pointer(name: &str) -> bool {
    name.len() > POINTER_SUFFIX.len() && name.ends_with(POINTER_SUFFIX)
}
