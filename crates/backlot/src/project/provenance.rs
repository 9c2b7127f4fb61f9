//! The provenance of a release, as recorded in its wheel.

use std::collections::BTreeMap;
use std::path::Path;

use backlot_cascade::{CascadeId, Settings};
use backlot_core::web::shown_text;
use backlot_core::{Blake3, RelPath, Sha256};
use backlot_dvc::{ImportNotes, MadeBy, Out, Pointer, TrackedPointer, import_address};
use backlot_pep::{PackageName, Version};
use backlot_store::ObjectId;
use backlot_wheel::{InstalledDist, WheelArchive};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Name of the provenance file in `*.dist-info`.
pub(crate) const PROVENANCE_FILE: &str = "backlot.json";

/// This program, as wheels and publications name it.
pub const TOOL: &str = concat!("backlot ", env!("CARGO_PKG_VERSION"));

/// The provenance of a release. Format in `docs/format/provenance.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Format of this record.
    pub format: u32,
    /// The program that built it.
    pub tool: String,
    /// The exact versions of its inputs that the workspace had.
    pub inputs: BTreeMap<PackageName, Version>,
    /// Its tracked files and folders.
    pub outs: Vec<OutRecord>,
    /// The exact inputs of its build; `None` for releases from before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<BuildRecord>,
}

impl Provenance {
    /// The provenance recorded in a wheel; `None` for one of another builder.
    pub(crate) fn of(archive: &WheelArchive) -> Result<Option<Self>> {
        let record = archive.read_dist_info(PROVENANCE_FILE)?;
        Ok(record.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// The exact inputs of the build of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildRecord {
    /// Its inputs and theirs, sorted by package.
    pub inputs: Vec<ExactInput>,
    /// Requirements for which the workspace had nothing, as they were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// SHA-256 of its sources apart from the inputs: code, its own files, and how a pipeline produces the others.
    pub recipe: Sha256,
    /// SHA-256 of all that the release consists of, but for its version: equal in two releases that have the same files.
    pub content: Sha256,
    /// The version that it was edited from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<Version>,
    /// How cascades treat the asset, by `[tool.backlot.cascade]` of its `pyproject.toml`.
    pub cascade: Settings,
    /// The cascade that built it; `None` if a user published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt_by: Option<CascadeId>,
}

/// One input of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExactInput {
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The digest of its file; `None` for an output, which has no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Whether it was an output of the workspace rather than a release: then its contents are unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub editable: bool,
}

/// A tracked file or folder of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutRecord {
    /// Its path in the wheel's tree.
    pub path: RelPath,
    /// Its DVC identity: MD5, with `.dir` for a folder.
    pub md5: String,
    /// Its BLAKE3, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Blake3>,
    /// Its bytes.
    pub size: u64,
    /// Its files.
    pub files: u64,
    /// The stage that produces it, if it has no pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeRecord>,
    /// Where it was imported from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportRecord>,
}

/// Where a tracked file or folder was imported from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportRecord {
    /// The path or URL, or the address of a repo.
    pub source: String,
    /// The release of that repo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Its licence, from the importer or the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

impl ImportRecord {
    /// The source of the content in a pointer; `None` if it was added.
    pub(crate) fn of(pointer: &Pointer) -> Option<Self> {
        let notes = ImportNotes::of(pointer);
        let (source, release) = match notes.release {
            Some(of) => {
                let (name, version) = (requirement_name(&of.requirement), of.version);
                (of.repo, Some(format!("{name}=={version}")))
            }
            None => (import_address(pointer)?, None),
        };
        Some(Self {
            source: shown_text(&source),
            release,
            license: notes.license,
        })
    }
}

/// The package of a requirement, as it was written.
fn requirement_name(requirement: &str) -> &str {
    let end = requirement.find(['=', '<', '>', '~', '!', ' ']);
    &requirement[..end.unwrap_or(requirement.len())]
}

/// The stage of a pipeline that produces a tracked file or folder, and the equivalent of its pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MadeRecord {
    /// The `dvc.lock` that has the stage, in the wheel's tree.
    pub lock: RelPath,
    /// The stage's name.
    pub stage: String,
    /// Whether it can be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub isexec: bool,
    /// Whether no push sends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_pushed: bool,
    /// The remote it is pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// An output of a stage of a release.
pub(crate) struct MadeOut {
    /// Its path in the wheel's tree.
    pub(crate) path: RelPath,
    /// The equivalent of its pointer.
    pub(crate) out: Out,
    /// The `dvc.lock` that has the stage.
    pub(crate) lock: RelPath,
    /// The stage.
    pub(crate) stage: String,
}

impl OutRecord {
    /// The output of a stage, if it is one that the stage's asset may have: in the folder of modules that the lock is in.
    fn made(self) -> Option<MadeOut> {
        let record = self.made_by?;
        let is_own = self.path.parts().next() == record.lock.parts().next() && self.path.parts().count() > 1;
        let id: ObjectId = self.md5.parse().ok().filter(|_| is_own)?;
        let mut out = Out::new(RelPath::parse(self.path.file_name()).ok()?);
        out.md5 = Some(id);
        out.size = Some(self.size);
        out.nfiles = id.tree.then_some(self.files);
        out.isexec = record.isexec;
        out.push = !record.not_pushed;
        out.remote = record.remote;
        if let Some(proof) = self.blake3 {
            out.set_blake3(proof);
        }
        Some(MadeOut {
            path: self.path,
            out,
            lock: record.lock,
            stage: record.stage,
        })
    }
}

impl MadeOut {
    /// It, in a folder that has the wheel's tree.
    pub(crate) fn below(self, root: &Path) -> TrackedPointer {
        let made_by = MadeBy {
            lock: self.lock.to_path(root),
            stage: self.stage,
        };
        TrackedPointer::made(&self.path.to_path(root), self.out, made_by)
    }
}

/// The outputs of stages that a provenance file names. One that cannot be read names none.
pub(crate) fn made_in(bytes: &[u8]) -> Vec<MadeOut> {
    let Ok(record) = serde_json::from_slice::<Provenance>(bytes) else {
        return Vec::new();
    };
    record.outs.into_iter().filter_map(OutRecord::made).collect()
}

/// The equivalents of pointers for outputs of stages, from a provenance file.
pub(crate) fn made_pointers(bytes: &[u8]) -> Vec<Pointer> {
    made_in(bytes)
        .into_iter()
        .map(|made| Pointer::of(made.out))
        .collect()
}

/// The outputs of stages of an installed release.
pub(crate) fn made_outs(dist: &InstalledDist) -> Result<Vec<MadeOut>> {
    let record = dist.read_dist_info(PROVENANCE_FILE)?;
    Ok(record.map_or_else(Vec::new, |bytes| made_in(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::Provenance;

    const GOLDEN: &str = include_str!("../../../../fixtures/format/v1/backlot.json");

    #[test]
    fn the_file_of_version_1_is_read_and_written_the_same() {
        let read: Provenance = serde_json::from_str(GOLDEN).expect("it is read");
        let record = read.record.as_ref().expect("a record");
        assert_eq!(record.inputs[1].sha256, None);
        assert!(record.inputs[1].editable && !record.inputs[0].editable);
        assert_eq!(
            serde_json::to_string_pretty(&read).expect("written") + "\n",
            GOLDEN
        );
    }

    #[test]
    fn what_was_written_before_there_were_records_is_read() {
        let old = r#"{"format": 1, "tool": "backlot 0.1.0", "inputs": {"table": "1.4.0"}, "outs": []}"#;
        let read: Provenance = serde_json::from_str(old).expect("it is read");
        assert_eq!((read.inputs.len(), read.record), (1, None));
    }
}
