//! Reading a release: its metadata, and the wheel itself, verified.
//!
//! Invariant: bytes leave here only if they have the digest the release has. Deliberately absent: unpacking.

use std::io::{Read, Write as _};
use std::path::Path;

use backlot_core::file::Staged;
use backlot_core::{Context, Operation, Sha256};
use backlot_wheel::{Metadata, WheelArchive};
use fs_err as fs;
use sha2::Digest;

use crate::bounded::copy_blocks;
use crate::error::{Error, Result};
use crate::folder::FolderRepo;
use crate::record::{find_sidecar, sha256};
use crate::release::FolderRelease;

impl FolderRepo {
    /// The metadata of a release: from its sidecar where that has the right digest, else from the wheel.
    pub fn metadata(&self, release: &FolderRelease) -> Result<Metadata> {
        Self::metadata_of(&release.path, release.metadata_sha256)
    }

    /// The same by where the wheel lies, and the digest of its metadata.
    pub(crate) fn metadata_of(wheel: &Path, metadata_sha256: Sha256) -> Result<Metadata> {
        if let Some(bytes) = find_sidecar(wheel, &metadata_sha256)
            && let Ok(text) = std::str::from_utf8(&bytes)
        {
            return Ok(Metadata::parse(text)?);
        }
        let archive = WheelArchive::open(wheel)?;
        let found = sha256(archive.metadata_bytes());
        if found != metadata_sha256 {
            return Err(Error::WrongBytes {
                place: wheel.into(),
                expected: metadata_sha256,
                found,
            });
        }
        Ok(archive.metadata().clone())
    }

    /// Copy a release's wheel to `target` (atomically, replacing what is there) if it has the right size and digest; else
    /// nothing is written. Reads at most one byte more than the release has.
    #[allow(
        clippy::unused_self,
        reason = "a release is asked for at the repo it came from"
    )]
    pub fn open_wheel(&self, release: &FolderRelease, target: &Path, context: &Context) -> Result<()> {
        copy_proven(&release.path, release.size, release.sha256, target, context)
    }
}

/// Copy a file (atomically, replacing what is there) if it has a size and a digest; else nothing is written.
pub(crate) fn copy_proven(
    path: &Path,
    expected_size: u64,
    expected: Sha256,
    target: &Path,
    context: &Context,
) -> Result<()> {
    context.check()?;
    let running = context.start(Operation::Pull, 1, expected_size);
    let mut source = fs::File::open(path)?.take(expected_size.saturating_add(1));
    let mut staged = Staged::beside(target)?;
    let mut hasher = sha2::Sha256::new();
    let mut size = 0;
    copy_blocks(&mut source, |block| {
        context.check()?;
        hasher.update(block);
        size += block.len() as u64;
        running.advance(0, block.len() as u64);
        Ok(staged.write_all(block)?)
    })?;
    let found = Sha256::from_bytes(hasher.finalize().into());
    if found != expected || size != expected_size {
        return Err(Error::WrongBytes {
            place: path.to_path_buf().into(),
            expected,
            found,
        });
    }
    staged.replace_for_now()?;
    running.advance(1, 0);
    Ok(())
}
