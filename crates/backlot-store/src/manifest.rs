//! `.dir` manifests: the list of a folder's files, byte for byte as DVC writes it.
//!
//! Invariants: the bytes are Python's `json.dumps(list, sort_keys=True)`, sorted by the whole path; what was read is safe
//! to place: no path leaves the folder, comes twice, or is a file and a folder at once. Reading tolerates order, spacing
//! and extra keys (DVC itself crashes on those); they are never written. Deliberately absent: sizes, modes, links and
//! empty sub-folders, which the format does not have.

use backlot_core::text::push_python_json;
use backlot_core::{Md5, RelPath};
use serde::Deserialize;

use crate::cache::digest_bytes;
use crate::error::{Error, Result};
use crate::names::is_reserved_name;
use crate::object::ObjectId;

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Where its content is.
    pub md5: Md5,
    /// Its path inside the folder.
    pub path: RelPath,
}

/// The files of a folder, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ManifestEntry>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow)]
    md5: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    relpath: std::borrow::Cow<'a, str>,
}

impl Manifest {
    /// From entries in any order. `name` is what errors call it.
    pub fn new(name: &str, mut entries: Vec<ManifestEntry>) -> Result<Self> {
        // Strings compare by UTF-8 bytes, which is the order of code points, as in Python.
        entries.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        let refuse = |path: &RelPath, reason| {
            let (manifest, path) = (name.to_owned(), path.as_str().to_owned());
            Err(Error::HostileManifest {
                manifest,
                path,
                reason,
            })
        };
        for pair in entries.windows(2) {
            if pair[0].path == pair[1].path {
                return refuse(&pair[1].path, "is listed twice");
            }
        }
        for entry in &entries {
            if entry.path.parts().any(is_reserved_name) {
                return refuse(&entry.path, "goes into a folder of a version control system");
            }
            let mut folder = entry.path.parent();
            while let Some(path) = folder {
                if find(&entries, path.as_str()).is_some() {
                    return refuse(&path, "is a file and a folder at once");
                }
                folder = path.parent();
            }
        }
        Ok(Self { entries })
    }

    /// Read a manifest. `name` is what errors call it (its object id or file).
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let raw: Vec<RawEntry<'_>> = serde_json::from_slice(bytes).map_err(|source| Error::BadManifest {
            manifest: name.to_owned(),
            reason: source.to_string(),
        })?;
        let mut entries = Vec::with_capacity(raw.len());
        for entry in raw {
            let path = RelPath::parse(&entry.relpath).map_err(|hostile| Error::HostileManifest {
                manifest: name.to_owned(),
                path: hostile.path,
                reason: hostile.reason,
            })?;
            let md5 = entry.md5.parse().map_err(|_| Error::BadManifest {
                manifest: name.to_owned(),
                reason: format!("`{path}` has no md5"),
            })?;
            entries.push(ManifestEntry { md5, path });
        }
        Self::new(name, entries)
    }

    /// The entries, sorted by path.
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// The content of a path, if it is listed.
    pub fn get(&self, path: &RelPath) -> Option<Md5> {
        find(&self.entries, path.as_str()).map(|at| self.entries[at].md5)
    }

    /// The exact bytes of the object.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(2 + self.entries.len() * 90);
        text.push('[');
        for (position, entry) in self.entries.iter().enumerate() {
            if position > 0 {
                text.push_str(", ");
            }
            text.push_str("{\"md5\": \"");
            text.push_str(&entry.md5.to_hex());
            text.push_str("\", \"relpath\": ");
            push_python_json(&mut text, entry.path.as_str());
            text.push('}');
        }
        text.push(']');
        text.into_bytes()
    }

    /// The name of the object.
    pub fn id(&self) -> ObjectId {
        ObjectId::tree(digest_bytes(&self.to_bytes()).md5)
    }
}

fn find(entries: &[ManifestEntry], path: &str) -> Option<usize> {
    entries
        .binary_search_by(|entry| entry.path.as_str().cmp(path))
        .ok()
}

#[cfg(test)]
mod tests {
    use backlot_core::{Diagnostic as _, RelPath};
    use fs_err as fs;
    use proptest::prelude::*;

    use super::{Manifest, ManifestEntry};

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc");

    fn entry(md5: &str, path: &str) -> ManifestEntry {
        ManifestEntry {
            md5: md5.parse().expect("md5"),
            path: RelPath::parse(path).expect("safe"),
        }
    }

    #[test]
    fn bytes_and_names_equal_those_of_dvc() {
        let text = fs::read_to_string(format!("{FIXTURES}/manifests.jsonl")).expect("readable");
        let mut seen = 0;
        for row in text.lines() {
            let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
            let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
            let pairs = row["entries"].as_array().expect("a list");
            let entries = pairs
                .iter()
                .map(|pair| entry(&text(&pair[1]), &text(&pair[0])))
                .collect();
            let manifest = Manifest::new("m", entries).expect("safe");
            assert_eq!(
                String::from_utf8(manifest.to_bytes()).expect("ASCII"),
                text(&row["bytes"])
            );
            assert_eq!(manifest.id().to_string(), text(&row["oid"]));
            seen += pairs.len();
        }
        assert!(seen > 100);
    }

    #[test]
    fn objects_of_a_real_cache_round_trip() {
        for file in fs::read_dir(format!("{FIXTURES}/manifests")).expect("listed") {
            let path = file.expect("listed").path();
            let bytes = fs::read(&path).expect("read");
            let manifest = Manifest::parse("m", &bytes).expect("parsed");
            assert_eq!(manifest.to_bytes(), bytes);
            assert_eq!(
                Some(manifest.id().to_string().as_str()),
                path.file_name().and_then(|n| n.to_str())
            );
        }
    }

    #[test]
    fn python_escapes_hold_for_hand_made_vectors() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for (path, json) in [
            ("a\u{7f}b", r"a\u007fb"),
            ("q\"\u{8}\u{c}\n\r\t", r#"q\"\b\f\n\r\t"#),
            ("\u{1}/<>&'", r"\u0001/<>&'"),
            ("\u{fc}\u{1f600}", r"\u00fc\ud83d\ude00"),
        ] {
            let bytes = Manifest::new("m", vec![entry(md5, path)])
                .expect("safe")
                .to_bytes();
            assert_eq!(
                String::from_utf8(bytes).expect("ASCII"),
                format!("[{{\"md5\": \"{md5}\", \"relpath\": \"{json}\"}}]")
            );
        }
    }

    #[test]
    fn sloppy_manifests_are_read_and_hostile_ones_refused() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let list = |paths: &[&str]| {
            let rows = paths
                .iter()
                .map(|p| serde_json::json!({"relpath": p, "md5": md5, "size": 3}));
            serde_json::to_vec(&rows.collect::<Vec<_>>()).expect("JSON")
        };
        let sloppy = Manifest::parse("m", &list(&["sub/z", "sub-a"])).expect("read");
        assert_eq!(sloppy.entries()[0].path.as_str(), "sub-a");
        for hostile in [
            &["../../evil"][..],
            &["/etc/passwd"],
            &["a", "a"],
            &["a", "a-b", "a/b"],
            &[""],
            &["C:/x"],
            &["sub/.git/hooks/x"],
            &["a\0b"],
        ] {
            let error = Manifest::parse("abc.dir", &list(hostile)).expect_err("refused");
            assert_eq!(error.code(), "dvc::hostile_manifest", "{hostile:?}");
            assert!(error.to_string().contains("abc.dir"));
        }
        for bad in [
            &b"{}"[..],
            b"[{\"md5\": 1}]",
            b"[",
            b"[{\"md5\": \"x\", \"relpath\": \"a\"}]",
            b"\xff",
        ] {
            assert_eq!(
                Manifest::parse("m", bad).expect_err("refused").code(),
                "dvc::bad_manifest"
            );
        }
    }

    proptest! {
        #[test]
        fn any_names_round_trip_and_equal_serde_jsons_reading(names in prop::collection::btree_set("[^/\\\\\0]{1,8}", 0..8)) {
            let md5 = "d41d8cd98f00b204e9800998ecf8427e";
            let safe = names.iter().filter(|n| RelPath::parse(n).is_ok() && !crate::is_reserved_name(n));
            let manifest = Manifest::new("m", safe.map(|n| entry(md5, n)).collect()).expect("safe");
            let bytes = manifest.to_bytes();
            prop_assert!(bytes.iter().all(|b| (b' '..=b'~').contains(b)));
            prop_assert_eq!(Manifest::parse("m", &bytes).expect("read"), manifest);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Manifest::parse("m", &bytes).ok();
        }
    }
}
