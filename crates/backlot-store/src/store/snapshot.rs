//! The contents of a pushed folder: paths, sizes and digests of its files.
//!
//! Invariant: the paths are those of a [`Manifest`], so a snapshot that was read from anywhere is safe to place: none leaves the folder,
//! comes twice, or is a file and a folder at once. Deliberately absent: times, owners, links and empty folders.

use backlot_core::{Blake3, Md5, RelPath};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manifest::{Manifest, ManifestEntry};
use crate::object::{FileDigests, ObjectId, Transfer};

/// The format version.
const FORMAT: u32 = 1;

/// The files of a folder as it was pushed, sorted by path: all that [`Store::pull`](crate::Store::pull) needs.
///
/// It serialises both ways; as JSON it is `{"format": 1, "files": [{"path", "md5", "blake3", "size", "executable"}]}`, with sizes in bytes and
/// digests in hexadecimal. Reading one checks it: an error names the path that may not be there. A plain value: cheap to share, 150 bytes a file
/// and its path.
///
/// ```
/// use backlot_store::Snapshot;
///
/// let hostile = r#"{"format": 1, "files": [{"path": "../.ssh/id", "md5": "d41d8cd98f00b204e9800998ecf8427e", "size": 0}]}"#;
/// assert!(serde_json::from_str::<Snapshot>(hostile).is_err());
/// let empty: Snapshot = serde_json::from_str(r#"{"format": 1, "files": []}"#).unwrap();
/// assert_eq!(empty.bytes(), 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Snapshot {
    files: Vec<SnapshotFile>,
    manifest: Manifest,
}

/// A file of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SnapshotFile {
    /// Its path in the folder.
    pub path: RelPath,
    /// The MD5 of its bytes: its address.
    pub md5: Md5,
    /// The BLAKE3 of its bytes: verifies it. `None` if only a manifest and a remote in DVC's layout have the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blake3: Option<Blake3>,
    /// Its length in bytes.
    pub size: u64,
    /// Whether its owner may execute it. A snapshot that was loaded by its ID does not know.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub executable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u32,
    files: Vec<SnapshotFile>,
}

impl TryFrom<Raw> for Snapshot {
    type Error = Error;
    fn try_from(raw: Raw) -> Result<Self> {
        if raw.format == FORMAT {
            return Self::new(raw.files);
        }
        Err(Error::BadManifest {
            manifest: "of a snapshot".to_owned(),
            reason: format!("unsupported format {}; expected {FORMAT}", raw.format),
        })
    }
}

impl From<Snapshot> for Raw {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            format: FORMAT,
            files: snapshot.files,
        }
    }
}

impl Snapshot {
    /// Of files in any order. Errors: `dvc::hostile_manifest` for paths that cannot be placed beside each other.
    pub fn new(mut files: Vec<SnapshotFile>) -> Result<Self> {
        let entry = |file: &SnapshotFile| ManifestEntry {
            md5: file.md5,
            path: file.path.clone(),
        };
        let manifest = Manifest::new("of a snapshot", files.iter().map(entry).collect())?;
        files.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        Ok(Self { files, manifest })
    }

    /// The name of its manifest: `.dir` object of DVC's, the same for a folder that `backlot add` or DVC tracks.
    pub fn id(&self) -> ObjectId {
        self.manifest.id()
    }

    /// Its manifest, which is on the remote as well.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// The file at a path.
    pub fn find(&self, path: &RelPath) -> Option<&SnapshotFile> {
        let at = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path.as_str()));
        at.ok().map(|at| &self.files[at])
    }

    /// Bytes of its files, each as often as it is there.
    pub fn bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|file| file.size);
        sizes.fold(0, u64::saturating_add)
    }
}

impl SnapshotFile {
    /// A file with the result of one pass over it.
    pub fn new(path: RelPath, digests: &FileDigests) -> Self {
        Self {
            path,
            md5: digests.md5,
            blake3: Some(digests.blake3),
            size: digests.size,
            executable: false,
        }
    }

    /// The object that it is on the remote.
    pub const fn id(&self) -> ObjectId {
        ObjectId::file(self.md5)
    }
}

impl From<&SnapshotFile> for Transfer {
    fn from(file: &SnapshotFile) -> Self {
        Self {
            id: file.id(),
            size: Some(file.size),
            blake3: file.blake3,
        }
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::{Diagnostic as _, RelPath};

    use super::{Snapshot, SnapshotFile};
    use crate::digest_bytes;

    fn file(path: &str) -> SnapshotFile {
        SnapshotFile::new(
            RelPath::parse(path).expect("safe"),
            &digest_bytes(path.as_bytes()),
        )
    }

    #[test]
    fn a_snapshot_is_read_back_sorted_and_hostile_ones_are_refused() {
        let mut files = vec![file("b"), file("a/z"), file("a-b")];
        files[1].executable = true;
        let snapshot = Snapshot::new(files).expect("safe");
        let paths: Vec<&str> = snapshot.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a-b", "a/z", "b"]);
        assert!(
            snapshot
                .find(&RelPath::parse("a/z").expect("safe"))
                .expect("there")
                .executable
        );
        assert_eq!(snapshot.find(&RelPath::parse("a").expect("safe")), None);
        let text = serde_json::to_string(&snapshot).expect("JSON");
        assert_eq!(serde_json::from_str::<Snapshot>(&text).expect("read"), snapshot);
        let refused = Snapshot::new(vec![file("a"), file("a/z")]).expect_err("a file and a folder");
        assert_eq!(refused.code(), "dvc::hostile_manifest");
        for (right, wrong) in [
            ("\"format\":1", "\"format\":2"),
            ("\"path\":\"b\"", "\"path\":\"../b\""),
            ("\"path\":\"b\"", "\"path\":\"a-b\""),
            ("\"path\":\"b\"", "\"path\":\".git/hooks/x\""),
            ("\"size\"", "\"sizes\""),
        ] {
            let wrong = text.replacen(right, wrong, 1);
            assert!(wrong != text, "{right}");
            assert!(serde_json::from_str::<Snapshot>(&wrong).is_err(), "{wrong}");
        }
    }
}
