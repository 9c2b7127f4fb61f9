//! Whether an unpacked wheel is unchanged, mostly without reading it.
//!
//! Next to the folder is a seal: inode, size, modification time and mode of every file as they were when all of them had been
//! compared with RECORD. Change time does not count, since each installation by hard links changes it. Invariant: a folder
//! whose seal is missing or does not fit is read as a whole before it is used. Deliberately absent: fetching another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::{file, shared};
use fs_err as fs;

use crate::error::Result;
use crate::installed::verify_unpacked;

/// Note that a folder that [`crate::unpack`] just made, or that was just compared with RECORD, is right.
pub fn seal(folder: &Path) -> Result<()> {
    Ok(shared::write_for_now(
        &seal_of(folder),
        state(folder)?.as_bytes(),
    )?)
}

/// Forget the seal of a folder, so that it is read before it is used.
pub fn unseal(folder: &Path) -> Result<()> {
    Ok(file::remove(&seal_of(folder))?)
}

/// Whether a folder made by [`crate::unpack`] is as it was: by its seal, else by reading it.
pub fn is_intact(folder: &Path) -> Result<bool> {
    let sealed = file::read_if_exists(&seal_of(folder))?;
    if sealed.is_some_and(|sealed| state(folder).is_ok_and(|state| state.as_bytes() == sealed)) {
        return Ok(true);
    }
    let intact = verify_unpacked(folder)?;
    if intact {
        // Without a seal it is only read again.
        seal(folder).ok();
    }
    Ok(intact)
}

fn seal_of(folder: &Path) -> PathBuf {
    folder.with_extension("seal")
}

/// A line a file, sorted.
fn state(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for path in files(folder)? {
        let found = fs::symlink_metadata(&path)?;
        let mut line = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let time = (found.mtime(), found.mtime_nsec());
            write!(
                line,
                "\t{}\t{}\t{time:?}\t{:o}",
                found.ino(),
                found.len(),
                found.mode()
            )
            .ok();
        }
        #[cfg(not(unix))]
        write!(line, "\t{}\t{:?}", found.len(), found.modified().ok()).ok();
        lines.push(line);
    }
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// All files below a folder; links count as files.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut pending) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
