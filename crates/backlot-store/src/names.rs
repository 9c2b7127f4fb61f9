//! Names that are not those of content: version control's, and our own files on their way.

use backlot_core::file::TEMPORARY_PREFIX;

/// Names that DVC ignores everywhere and that no file of a folder may have.
pub fn is_reserved_name(name: &str) -> bool {
    [".git", ".hg", ".dvc"]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Whether a name is that of an unfinished file of ours.
pub fn is_temporary_name(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX).is_some_and(|rest| {
        rest.len() == 26 && rest.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    })
}
