//! Failed file operations, with their paths.
//!
//! Invariant: a message names no temporary, which no longer exists when it is read. Deliberately absent: the operations.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::{Class, Diagnostic};
use crate::text::without_temporaries;

/// A file operation the system refused. The message names the path and the operation, and no temporary.
#[derive(Debug)]
pub struct FileError(io::Error);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_temporaries(&self.0.to_string()))
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl FileError {
    /// The kind of refusal.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }
    /// Whether this process, or the machine, has as many open files as it may.
    pub fn is_too_many_open(&self) -> bool {
        // EMFILE and ENFILE, the same on all systems that have them.
        [24, 23].iter().any(|number| is_os_error(&self.0, *number))
    }
    /// Whether the file was not there.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }
}

/// Whether an error is of a number of the system's. Errors that name their path keep it in their text alone.
pub fn is_os_error(error: &io::Error, number: i32) -> bool {
    error.raw_os_error() == Some(number) || error.to_string().ends_with(&format!("(os error {number})"))
}

impl Diagnostic for FileError {
    fn code(&self) -> &'static str {
        match self.kind() {
            _ if self.is_too_many_open() => "file::too_many_open",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "file::disk_full",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "file::permission_denied",
            io::ErrorKind::NotFound => "file::not_found",
            _ => "file::io",
        }
    }
    fn class(&self) -> Class {
        match self.kind() {
            io::ErrorKind::NotFound => Class::NotFound,
            _ => Class::Environment,
        }
    }
    fn help(&self) -> Option<String> {
        match self.code() {
            "file::disk_full" => Some(
                "free some space (`gc --dry-run` shows what the cache could drop), then retry"
                    .to_owned(),
            ),
            "file::too_many_open" => Some(
                "raise the limit of open files (`ulimit -n 4096`), or close programs that have many files open, then retry"
                    .to_owned(),
            ),
            "file::permission_denied" => {
                Some("give this user access to the path, then retry".to_owned())
            }
            "file::not_found" => Some("check the spelling of the path".to_owned()),
            _ => None,
        }
    }
}
