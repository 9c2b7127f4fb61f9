//! Files derived from one wheel and stored beside it: the metadata sidecar (PEP 658) and the release record.
//!
//! Invariant: both can be rebuilt from the wheel alone, and neither is used unless it agrees with its wheel:
//! a record with the wheel's size and modification time, a sidecar with the record's digest of it. Deliberately absent:
//! who published and why; those are facts, not derived.

use std::path::Path;

use backlot_core::{Sha256, StrongDigest, StrongHasher, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::bounded::copy_blocks;
use crate::error::Result;
use crate::release_event::{Published, may_be};

/// The most a record may have.
pub(crate) const RECORD_LIMIT: u64 = 64 * 1024;

/// The most the metadata of a wheel may have.
pub(crate) const METADATA_LIMIT: u64 = 16 * 1024 * 1024;

/// The contents of a record; spares readers opening and hashing the wheel.
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
    /// Whether the existing file, with the digest `found`, is not the one that this record describes: then the file is
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
