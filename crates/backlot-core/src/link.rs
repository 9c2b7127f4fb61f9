//! Placing a file from a store into a tree: reflink, hard link, symbolic link or copy, whichever works first.
//!
//! Invariant: the target appears atomically (a temporary beside it, then a rename) and replaces an existing file. An empty file
//! is never hard-linked, as in DVC: all empty files of a disk would become one.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{Class, Diagnostic};
use crate::file::{self, FileError};
use crate::platform;

/// How a file is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkMode {
    /// A copy-on-write clone: own file, shared blocks.
    Reflink,
    /// Another name of the same file; read-only, since an edit would change the store.
    Hardlink,
    /// A pointer to the file in the store; read-only.
    Symlink,
    /// A copy.
    Copy,
}

/// An unknown link mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown link mode `{word}`")]
pub struct LinkModeError {
    /// The given text.
    pub word: String,
}

impl Diagnostic for LinkModeError {
    fn code(&self) -> &'static str {
        "core::bad_link_mode"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        Some("use reflink, hardlink, symlink or copy".to_owned())
    }
}

impl fmt::Display for LinkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reflink => "reflink",
            Self::Hardlink => "hardlink",
            Self::Symlink => "symlink",
            Self::Copy => "copy",
        })
    }
}

impl FromStr for LinkMode {
    type Err = LinkModeError;
    fn from_str(word: &str) -> Result<Self, LinkModeError> {
        match word.trim() {
            "reflink" | "clone" => Ok(Self::Reflink),
            "hardlink" => Ok(Self::Hardlink),
            "symlink" => Ok(Self::Symlink),
            "copy" => Ok(Self::Copy),
            other => Err(LinkModeError {
                word: other.to_owned(),
            }),
        }
    }
}

/// Place `source` as `target`, trying `modes` in order; unsupported modes are skipped. Clones and copies
/// are writable by their owner if `writable`; the executable bit is kept. `size` is the source's length in bytes, or `None` where
/// it is not known. Returns the mode that worked.
pub fn place(
    source: &Path,
    size: Option<u64>,
    target: &Path,
    modes: &[LinkMode],
    writable: bool,
) -> Result<LinkMode, FileError> {
    // A link appears whole by itself, so where nothing is in its way it needs no temporary.
    if let [first @ (LinkMode::Hardlink | LinkMode::Symlink), ..] = modes
        && place_sized(source, size, target, std::slice::from_ref(first), writable).is_ok()
    {
        return Ok(*first);
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    let temporary = file::temporary_in(folder);
    let placed = place_sized(source, size, &temporary, modes, writable);
    match placed.and_then(|mode| file::rename(&temporary, target).map(|()| mode)) {
        Ok(mode) => {
            // Renaming a hard link onto another name of the same file does nothing and leaves the temporary.
            if mode == LinkMode::Hardlink {
                file::remove(&temporary)?;
            }
            Ok(mode)
        }
        Err(error) => {
            file::remove(&temporary).ok();
            Err(error)
        }
    }
}

/// As [`place`], onto a new name that no other process reads yet.
pub fn place_at(
    source: &Path,
    target: &Path,
    modes: &[LinkMode],
    writable: bool,
) -> Result<LinkMode, FileError> {
    place_sized(source, None, target, modes, writable)
}

/// As [`place_at`], of a file whose length in bytes is known or `None`.
pub fn place_sized(
    source: &Path,
    size: Option<u64>,
    target: &Path,
    modes: &[LinkMode],
    writable: bool,
) -> Result<LinkMode, FileError> {
    let mut last = None;
    for mode in modes {
        let result = match mode {
            LinkMode::Reflink => reflink(source, target, writable),
            LinkMode::Hardlink => hard_link(source, size, target),
            LinkMode::Symlink => symlink(source, target),
            LinkMode::Copy => copy(source, target, writable),
        };
        match result {
            Ok(()) => return Ok(*mode),
            Err(error) if is_fatal(&error) => return Err(error.into()),
            Err(error) => last = Some(error),
        }
    }
    let none = || {
        io::Error::new(
            io::ErrorKind::Unsupported,
            format!("no link mode works for `{}`", target.display()),
        )
    };
    Err(last.unwrap_or_else(none).into())
}

/// Those of `modes` that work between the disk of `sample`, a file with something in it, and `folder`; asked once before many
/// files are placed, so that none pays for a mode the disk does not offer.
pub fn usable(sample: &Path, folder: &Path, modes: &[LinkMode]) -> Vec<LinkMode> {
    let works = |mode: &LinkMode| {
        let target = file::temporary_in(folder);
        let placed = place_at(sample, &target, std::slice::from_ref(mode), true).is_ok();
        file::remove(&target).ok();
        placed
    };
    modes.iter().filter(|mode| works(mode)).copied().collect()
}

/// Whether trying another mode is pointless.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::StorageFull | io::ErrorKind::AlreadyExists
    )
}

fn reflink(source: &Path, target: &Path, writable: bool) -> io::Result<()> {
    reflink_copy::reflink(source, target)?;
    set_mode(source, target, writable)
}

fn hard_link(source: &Path, size: Option<u64>, target: &Path) -> io::Result<()> {
    let size = size.map_or_else(|| fs::metadata(source).map(|found| found.len()), Ok)?;
    if size == 0 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "empty files are not hard-linked",
        ));
    }
    fs::hard_link(source, target)
}

fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    platform::symlink(&std::path::absolute(source)?, target)
}

fn copy(source: &Path, target: &Path, writable: bool) -> io::Result<()> {
    let (from, to) = (fs::File::open(source)?, fs::File::create(target)?);
    file::copy_bytes(&from, &to).map_err(|error| io::Error::new(error.kind(), error))?;
    set_mode(source, target, writable)
}

#[cfg(unix)]
fn set_mode(source: &Path, target: &Path, writable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = fs::metadata(source)?.permissions().mode() & 0o111;
    let mode = if writable { 0o644 } else { 0o444 } | executable;
    fs::set_permissions(target, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_source: &Path, target: &Path, writable: bool) -> io::Result<()> {
    let mut permissions = fs::metadata(target)?.permissions();
    permissions.set_readonly(!writable);
    fs::set_permissions(target, permissions)
}

#[cfg(test)]
mod tests {
    use super::{LinkMode, place, usable};
    use fs_err as fs;

    #[test]
    fn a_probe_tells_what_works_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let sample = folder.path().join("a");
        fs::write(&sample, b"x").expect("written");
        let modes = usable(&sample, folder.path(), &[LinkMode::Hardlink, LinkMode::Copy]);
        assert_eq!(modes, [LinkMode::Hardlink, LinkMode::Copy]);
        fs::write(&sample, b"").expect("written");
        assert_eq!(usable(&sample, folder.path(), &modes), [LinkMode::Copy]);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_mode_that_does_not_work_falls_through_and_no_temporary_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&source, b"").expect("written");
        fs::write(&target, b"old").expect("written");
        let mode = place(
            &source,
            None,
            &target,
            &[LinkMode::Hardlink, LinkMode::Copy],
            true,
        )
        .expect("placed");
        assert_eq!(mode, LinkMode::Copy);
        assert_eq!(fs::read(&target).expect("read"), b"");
        fs::write(&source, b"x").expect("written");
        for _ in 0..2 {
            let mode = place(&source, None, &target, &[LinkMode::Hardlink], true).expect("placed");
            assert_eq!(mode, LinkMode::Hardlink);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
    }

    #[test]
    fn a_new_link_replaces_what_is_in_its_way_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&source, b"x").expect("written");
        for before in [None, Some(b"old")] {
            if let Some(before) = before {
                fs::remove_file(&target).expect("removed");
                fs::write(&target, before).expect("written");
            }
            let mode = place(&source, Some(1), &target, &[LinkMode::Hardlink], true).expect("placed");
            assert_eq!(mode, LinkMode::Hardlink);
            assert_eq!(fs::read(&target).expect("read"), b"x");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
    }
}
