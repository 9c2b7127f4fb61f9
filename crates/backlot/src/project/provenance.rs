//! What a release was built from, as its wheel says.

use std::collections::BTreeMap;

use backlot_core::{Blake3, PackageName, RelPath, Version};
use backlot_wheel::WheelArchive;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Name of the provenance file in `*.dist-info`.
pub(crate) const PROVENANCE_FILE: &str = "backlot.json";

/// This program, as wheels and publications name it.
pub const TOOL: &str = concat!("backlot ", env!("CARGO_PKG_VERSION"));

/// What a release was built from. Format in `docs/format/provenance.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Format of this record.
    pub format: u32,
    /// The program that built it.
    pub tool: String,
    /// The exact versions of its inputs that the workspace had.
    pub inputs: BTreeMap<PackageName, Version>,
    /// Its tracked files and folders.
    pub outs: Vec<OutRecord>,
}

impl Provenance {
    /// What a wheel says it was built from; `None` for one of another builder.
    pub(crate) fn of(archive: &WheelArchive) -> Result<Option<Self>> {
        let record = archive.read_dist_info(PROVENANCE_FILE)?;
        Ok(record.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// A tracked file or folder of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutRecord {
    /// Where it lies in the wheel's tree.
    pub path: RelPath,
    /// Its DVC identity: MD5, with `.dir` for a folder.
    pub md5: String,
    /// Its proof, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Blake3>,
    /// Its bytes.
    pub size: u64,
    /// Its files.
    pub files: u64,
}
