//! Whether something is there: **what cannot be looked at is an error, never absent**.
//!
//! `Path::exists` and its kin say no of a folder on a disk that failed, of one that may not be read, and of a link to a place
//! that is not mounted. Wherever absence matters, use this module. Deliberately absent: reading and creating files.

use std::fs::Metadata;
use std::io::{Error, ErrorKind};
use std::path::Path;

use fs_err as fs;

use crate::file::FileError;

/// The result of a call on a path, `None` if it certainly does not exist. A dangling link is an error; a file created
/// by another process just after the call does not count.
pub fn look<T>(path: &Path, call: impl FnOnce(&Path) -> Result<T, Error>) -> Result<Option<T>, FileError> {
    match call(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if !is_absence(&error) => Err(error.into()),
        Err(_) if is_dead_link(path)? => {
            let message = format!("`{}` is a dangling link", path.display());
            Err(Error::new(ErrorKind::NotFound, message).into())
        }
        Err(_) => Ok(None),
    }
}

/// Whether there surely is nothing under a path, not even a link.
pub fn is_absent(path: &Path) -> Result<bool, FileError> {
    Ok(entry(path)?.is_none())
}

/// Whether a path is a link to a place that is not there.
pub fn is_dead_link(path: &Path) -> Result<bool, FileError> {
    // The link first: without one, a file created meanwhile is not mistaken for a link.
    if !entry(path)?.is_some_and(|found| found.is_symlink()) {
        return Ok(false);
    }
    match fs::metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if is_absence(&error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether a path is a folder; not if it surely is absent, or something else. A link to a place that is not there is an error.
pub fn is_folder(path: &Path) -> Result<bool, FileError> {
    let found = look(path, |path| fs::metadata(path))?;
    Ok(found.is_some_and(|found| found.is_dir()))
}

/// The metadata of a path itself; links are not followed.
fn entry(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The entries of a folder; `None` if there surely is none, or a link to a place that is not there.
pub fn read_folder(path: &Path) -> Result<Option<fs::ReadDir>, FileError> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error means that a path does not exist.
pub fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use fs_err as fs;

    use super::{is_absent, is_dead_link, is_folder, look};

    /// What is said of a path: whether it is absent, a dead link, a folder; `None` for an error.
    fn said(path: &Path) -> [Option<bool>; 3] {
        [
            is_absent(path).ok(),
            is_dead_link(path).ok(),
            is_folder(path).ok(),
        ]
    }

    #[test]
    fn only_what_surely_is_not_there_is_absent() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("closed/inside")).expect("made");
        fs::write(at("file"), b"x").expect("written");
        fs::os::unix::fs::symlink(at("gone"), at("dead")).expect("linked");
        fs::os::unix::fs::symlink(at("closed"), at("link")).expect("linked");
        assert_eq!(said(&at("nothing")), [Some(true), Some(false), Some(false)]);
        assert_eq!(said(&at("file/below")), [Some(true), Some(false), Some(false)]);
        assert_eq!(said(&at("file")), [Some(false), Some(false), Some(false)]);
        assert_eq!(said(&at("link")), [Some(false), Some(false), Some(true)]);
        assert_eq!(said(&at("dead")), [Some(false), Some(true), None]);
        let closed = |mode| fs::set_permissions(at("closed"), std::fs::Permissions::from_mode(mode));
        closed(0o000).expect("closed");
        // A user who may read everything is never stopped.
        if fs::read_dir(at("closed")).is_err() {
            assert_eq!(said(&at("closed/inside")), [None, None, None]);
        }
        closed(0o755).expect("opened");
    }

    /// Many publishers make one folder while others look at it: found in a repo, where a folder just made was called a dead link.
    #[test]
    fn what_is_made_while_it_is_looked_at_is_never_a_dead_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made");
        let made_late = |path: &Path| {
            let found = fs::metadata(path);
            fs::create_dir(path)?;
            found
        };
        assert!(look(&path, made_late).expect("absent, or there").is_none());
        assert!(look(&path, |path| fs::metadata(path)).expect("there").is_some());
    }
}
