//! Unpacking a wheel into a folder of its own, every byte proven against RECORD.
//!
//! The caller unpacks into a temporary folder and renames it: a folder under its final name is whole and right. Files are
//! made read-only, since installs may hard-link them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use backlot_core::{Context, Operation, Timestamp, file};
use fs_err as fs;

use crate::archive::WheelArchive;
use crate::error::Result;

/// Unpack all files below `folder`, which is made.
pub fn unpack(archive: &WheelArchive, folder: &Path, context: &Context) -> Result<()> {
    let entries = archive.entries();
    let running = context.start(
        Operation::Install,
        entries.len() as u64,
        entries.iter().map(|e| e.size).sum(),
    );
    fs::create_dir_all(folder)?;
    let (mut made, mut found) = (HashSet::new(), HashMap::new());
    for entry in entries {
        context.check()?;
        let target = entry.path.to_path(folder);
        if let Some(parent) = target.parent()
            && made.insert(parent.to_path_buf())
        {
            fs::create_dir_all(parent)?;
        }
        let mut written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&target)?;
        found.insert(entry.path.as_str(), archive.copy_entry(entry, &mut written)?);
        drop(written);
        set_mode(&target, if entry.executable { 0o555 } else { 0o444 })?;
        // Every edit changes the time then, see `seal`.
        let then = Timestamp(context.now().0.saturating_sub(2000));
        file::set_modified(&target, then)?;
        running.advance(1, entry.size);
    }
    archive.check_record_is_complete()?;
    if let Some(record) = archive.record_with(&found) {
        let path = folder.join(archive.dist_info()).join("RECORD");
        file::remove(&path)?;
        fs::write(&path, record)?;
        set_mode(&path, 0o444)?;
        file::set_modified(&path, Timestamp(context.now().0.saturating_sub(2000)))?;
    }
    Ok(())
}

/// Set permissions where the platform has them.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _unused = (path, mode);
    Ok(())
}
