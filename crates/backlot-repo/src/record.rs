//! What is derived from one wheel and kept beside it: the metadata sidecar (PEP 658) and the release record.
//!
//! Invariant: both can be made again from the wheel alone, and neither is believed unless it agrees with what it is about:
//! a record with the wheel's size and modification time, a sidecar with the record's digest of it. Deliberately absent:
//! who published and why; those are facts, not derived.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::file::Created;
use backlot_core::{FileError, Sha256, StrongDigest, StrongHasher, Timestamp, shared};
use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::bounded::{copy_blocks, read_bounded};
use crate::error::Result;
use crate::fact::{Published, may_be};
use crate::release::{FolderRelease, WheelFile};

/// The most a record may have.
pub(crate) const RECORD_LIMIT: u64 = 64 * 1024;

/// The most the metadata of a wheel may have.
pub(crate) const METADATA_LIMIT: u64 = 16 * 1024 * 1024;

/// What a record's file holds; spares readers opening and hashing the wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseRecord {
    /// The format of the file: 1.
    pub(crate) format: u32,
    /// The wheel's file name.
    pub(crate) filename: String,
    /// The wheel's digest.
    pub(crate) sha256: Sha256,
    /// The wheel's size in bytes.
    pub(crate) size: u64,
    /// The wheel's modification time in milliseconds: with the size, a sign that the wheel is still the one hashed.
    pub(crate) modified: u64,
    /// The digest of the wheel's METADATA.
    pub(crate) metadata_sha256: Sha256,
    /// The range of Python versions, as METADATA has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requires_python: Option<String>,
    /// When it was published, in milliseconds since the Unix epoch.
    pub(crate) published_at: Timestamp,
}

/// The format of records written here.
pub(crate) const RECORD_FORMAT: u32 = 1;

impl ReleaseRecord {
    /// Whether this record is about the wheel as it is now.
    pub(crate) fn agrees(&self, wheel: &WheelFile) -> bool {
        self.format == RECORD_FORMAT
            && self.filename == wheel.file
            && self.size == wheel.size
            && self.modified == wheel.modified
    }

    /// Whether the file that lies there, with the digest `found`, is not the one that this is rightly about: then the file is
    /// damaged, and nothing is made from it.
    pub(crate) fn is_of_other_bytes(&self, found: Sha256, published: &Published) -> bool {
        self.sha256 != found && may_be(published, self.sha256)
    }

    /// The bytes of its file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        text.push(b'\n');
        text
    }
}

/// The record of a wheel, if there is one that agrees with it.
pub(crate) fn find_record(wheel: &WheelFile) -> Option<ReleaseRecord> {
    let bytes = read_bounded(&record_path(&wheel.path), RECORD_LIMIT)
        .ok()
        .flatten()?;
    let record: ReleaseRecord = serde_json::from_slice(&bytes).ok()?;
    record.agrees(wheel).then_some(record)
}

/// The sidecar's bytes, if they have the digest they should have.
pub(crate) fn find_sidecar(wheel: &Path, expected: &Sha256) -> Option<Vec<u8>> {
    let bytes = read_bounded(&sidecar_path(wheel), METADATA_LIMIT)
        .ok()
        .flatten()?;
    (sha256(&bytes) == *expected).then_some(bytes)
}

/// `<wheel>.metadata`
pub(crate) fn sidecar_path(wheel: &Path) -> PathBuf {
    with_suffix(wheel, ".metadata")
}

/// `<wheel>.json`
pub(crate) fn record_path(wheel: &Path) -> PathBuf {
    with_suffix(wheel, ".json")
}

fn with_suffix(wheel: &Path, suffix: &str) -> PathBuf {
    let mut name = wheel.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The SHA-256 of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// The digest of a file of the kind of another one.
pub(crate) fn strong_of_file(path: &Path, like: &StrongDigest) -> Result<StrongDigest> {
    let mut hasher = StrongHasher::like(like);
    let mut file = fs_err::File::open(path)?;
    copy_blocks(&mut file, |block| {
        hasher.update(block);
        Ok(())
    })?;
    Ok(hasher.digest())
}

/// The digest of bytes of the kind of another one.
pub(crate) fn strong_of_bytes(bytes: &[u8], like: &StrongDigest) -> StrongDigest {
    let mut hasher = StrongHasher::like(like);
    hasher.update(bytes);
    hasher.digest()
}

/// The SHA-256 of a file.
pub(crate) fn sha256_of_file(path: &Path) -> Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut file = fs_err::File::open(path)?;
    copy_blocks(&mut file, |block| {
        hasher.update(block);
        Ok(())
    })?;
    Ok(Sha256::from_bytes(hasher.finalize().into()))
}

/// Put the metadata beside a wheel. Returns the path if it was not there.
pub(crate) fn write_sidecar(wheel: &Path, metadata: &[u8]) -> Result<Option<PathBuf>> {
    let path = sidecar_path(wheel);
    Ok(shared::write_for_now_if_changed(&path, metadata)?.then_some(path))
}

/// Write the record of a wheel. `ours` replaces what is there; a healer only fills a hole or replaces what disagrees with
/// the wheel, so that it does not take the time of publishing from the publisher's own record.
pub(crate) fn write_record(
    wheel: &WheelFile,
    release: &FolderRelease,
    at: Timestamp,
    ours: bool,
) -> Result<Option<PathBuf>> {
    let record = ReleaseRecord {
        format: RECORD_FORMAT,
        filename: wheel.file.clone(),
        sha256: release.sha256,
        size: wheel.size,
        modified: wheel.modified,
        metadata_sha256: release.metadata_sha256,
        requires_python: release.requires_python.clone(),
        published_at: at,
    };
    let path = record_path(&wheel.path);
    if ours {
        return Ok(shared::write_for_now_if_changed(&path, &record.to_bytes())?.then_some(path));
    }
    let mut staged = shared::staged_beside(&path)?;
    staged.write_all(&record.to_bytes()).map_err(FileError::from)?;
    if staged.create_for_now()? == Created::New {
        return Ok(Some(path));
    }
    if find_record(wheel).is_some() {
        return Ok(None);
    }
    shared::write_for_now(&path, &record.to_bytes())?;
    Ok(Some(path))
}
