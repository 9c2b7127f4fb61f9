//! `.dvc` pointers: one small YAML file beside the files it stands for.
//!
//! Invariants: a pointer that parsed is one DVC accepts too, its outs are 3.x objects, and their paths stay inside the
//! pointer's folder; keys we give no meaning to are kept as YAML values and written back in DVC's order. Deliberately
//! absent: `dvc.yaml` stages, and what imports say of their sources (`import`).

use std::path::{Path, PathBuf};

use backlot_core::{Blake3, RelPath};
use backlot_store::ObjectId;
use serde_yaml_ng::{Mapping, Value};

use crate::yaml;

/// Key of our table in an out's `meta`.
pub(crate) const META_TABLE: &str = "backlot";
/// Key of the BLAKE3 in Backlot's table.
const META_BLAKE3: &str = "blake3";
/// Key of the content that the BLAKE3 belongs to.
const META_MD5: &str = "md5";

/// A parsed pointer file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pointer {
    /// Free text about the whole file.
    pub desc: Option<String>,
    /// DVC's checksum of an import's definition.
    pub md5: Option<String>,
    /// The folder that out paths are relative to, itself relative to the pointer's.
    pub wdir: Option<RelPath>,
    /// Whether an import is not to be updated.
    pub frozen: bool,
    /// Where an import comes from, as DVC's values.
    pub deps: Vec<Mapping>,
    /// Its tracked output; one in all files that `add` writes.
    pub outs: Vec<Out>,
    /// DVC's flag of stages that always run.
    pub always_changed: bool,
    /// Anything, kept.
    pub meta: Option<Value>,
}

/// A tracked file or folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Out {
    /// The content: a file, or the manifest of a folder. `None` if it was never downloaded.
    pub md5: Option<ObjectId>,
    /// Bytes; of a folder, of all its files.
    pub size: Option<u64>,
    /// Files, if it is a folder.
    pub nfiles: Option<u64>,
    /// Whether a file is executable.
    pub isexec: bool,
    /// Version of an object in a versioned bucket.
    pub version_id: Option<String>,
    /// Checksum of an object in a bucket.
    pub etag: Option<String>,
    /// Checksum of a file in HDFS.
    pub checksum: Option<String>,
    /// DVC's data on versioned buckets.
    pub cloud: Option<Value>,
    /// Where it is, relative to the pointer's folder (and `wdir`).
    pub path: RelPath,
    /// DVC's settings of the file system it is on.
    pub fs_config: Option<Value>,
    /// Free text.
    pub desc: Option<String>,
    /// Free text: what kind of thing it is.
    pub kind: Option<String>,
    /// Free words.
    pub labels: Vec<String>,
    /// Anything; Backlot uses the table `backlot`.
    pub meta: Option<Value>,
    /// Whether its content is in the cache.
    pub cache: bool,
    /// Whether DVC keeps it while a stage runs.
    pub persist: bool,
    /// The remote it is pinned to.
    pub remote: Option<String>,
    /// Whether it may be pushed.
    pub push: bool,
    /// The files of a folder in a versioned bucket.
    pub files: Option<Value>,
}

impl Out {
    /// An out with nothing but a path.
    pub fn new(path: RelPath) -> Self {
        Self {
            md5: None,
            size: None,
            nfiles: None,
            isexec: false,
            version_id: None,
            etag: None,
            checksum: None,
            cloud: None,
            path,
            fs_config: None,
            desc: None,
            kind: None,
            labels: Vec::new(),
            meta: None,
            cache: true,
            persist: false,
            remote: None,
            push: true,
            files: None,
        }
    }

    /// The content, if it has any.
    pub fn id(&self) -> Option<ObjectId> {
        self.md5
    }

    /// The BLAKE3 of the content: of the file, or of the list of the folder's files ([`crate::proof`]). `None` in
    /// pointers written by DVC, and in those whose content another program changed, since DVC keeps `meta`: the proof that
    /// is left there names other content.
    pub fn blake3(&self) -> Option<Blake3> {
        let table = self.proof_table()?;
        let proof = table.get(META_BLAKE3)?.as_str()?.parse().ok()?;
        match table.get(META_MD5) {
            None => Some(proof),
            Some(of) => (of.as_str()?.parse().ok() == Some(self.md5?)).then_some(proof),
        }
    }

    /// Whether the proof says which content it is of. Those that were written before it did count, but content with the
    /// right MD5 that contradicts one may as well mean that another program wrote the pointer after it.
    pub fn is_proof_bound(&self) -> bool {
        self.blake3().is_some()
            && self
                .proof_table()
                .is_some_and(|table| table.contains_key(META_MD5))
    }

    fn proof_table(&self) -> Option<&Mapping> {
        self.meta.as_ref()?.as_mapping()?.get(META_TABLE)?.as_mapping()
    }

    /// Put the proof of the content that the out has now into `meta`; whatever else is there is kept. A `meta` that is no
    /// mapping stays as it is.
    pub fn set_blake3(&mut self, proof: Blake3) {
        let of = self.md5;
        let meta = self.meta.get_or_insert_with(|| Value::Mapping(Mapping::new()));
        let Some(meta) = meta.as_mapping_mut() else { return };
        let table = meta
            .entry(META_TABLE.into())
            .or_insert_with(|| Value::Mapping(Mapping::new()));
        if !table.is_mapping() {
            *table = Value::Mapping(Mapping::new());
        }
        if let Some(table) = table.as_mapping_mut() {
            table.insert(META_BLAKE3.into(), proof.to_hex().into());
            if let Some(of) = of {
                table.insert(META_MD5.into(), of.to_string().into());
            }
        }
    }

    /// The out as DVC orders its keys.
    fn to_yaml(&self) -> Mapping {
        let mut map = Entries::default();
        map.put("md5", self.md5.map(|id| id.to_string()));
        map.put("size", self.size);
        map.put("nfiles", self.nfiles);
        map.put("isexec", self.isexec.then_some(true));
        map.put("version_id", self.version_id.clone());
        map.put("etag", self.etag.clone());
        map.put("checksum", self.checksum.clone());
        map.put("cloud", self.cloud.clone());
        map.put("hash", Some("md5"));
        map.put("path", Some(self.path.as_str()));
        map.put("fs_config", self.fs_config.clone());
        map.put("desc", self.desc.clone());
        map.put("type", self.kind.clone());
        map.put("labels", (!self.labels.is_empty()).then(|| self.labels.clone()));
        map.put("meta", self.meta.clone());
        map.put("cache", (!self.cache).then_some(false));
        map.put("persist", self.persist.then_some(true));
        map.put("remote", self.remote.clone());
        map.put("push", (!self.push).then_some(false));
        map.put("files", self.files.clone());
        map.0
    }
}

impl Pointer {
    /// A pointer to one file or folder.
    pub fn of(out: Out) -> Self {
        Self {
            outs: vec![out],
            ..Self::default()
        }
    }

    /// The file's text, as DVC writes it.
    pub fn to_text(&self) -> String {
        let mut map = Entries::default();
        map.put("desc", self.desc.clone());
        map.put("md5", self.md5.clone());
        map.put("wdir", self.wdir.as_ref().map(RelPath::as_str));
        map.put("frozen", self.frozen.then_some(true));
        let list = |items: Vec<Mapping>| {
            let items: Vec<Value> = items.into_iter().map(Value::Mapping).collect();
            (!items.is_empty()).then_some(items)
        };
        map.put("deps", list(self.deps.clone()));
        map.put("outs", list(self.outs.iter().map(Out::to_yaml).collect()));
        map.put("always_changed", self.always_changed.then_some(true));
        map.put("meta", self.meta.clone());
        yaml::to_text(&map.0)
    }

    /// Whether it is an import, whose content comes from elsewhere.
    pub fn is_import(&self) -> bool {
        !self.deps.is_empty() || crate::import::is_of_release(self)
    }

    /// The folder that the out paths of a pointer in `folder` are relative to.
    pub fn base(&self, folder: &Path) -> PathBuf {
        self.wdir
            .as_ref()
            .map_or_else(|| folder.to_path_buf(), |wdir| wdir.to_path(folder))
    }
}

/// A mapping under construction that leaves out what is absent.
#[derive(Default)]
struct Entries(Mapping);

impl Entries {
    fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(key.into(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backlot_core::{Blake3, Diagnostic as _, RelPath};
    use fs_err as fs;
    use proptest::prelude::*;

    use super::{Out, Pointer};

    fn parse(text: &str) -> crate::Result<Pointer> {
        Pointer::parse(Path::new("x/frames.dvc"), text)
    }

    #[test]
    fn every_pointer_of_real_dvc_is_read_and_written_alike() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/pointers");
        let mut seen = 0;
        for file in fs::read_dir(folder).expect("listed") {
            let path = file.expect("listed").path();
            let text = fs::read_to_string(&path).expect("read");
            let pointer = Pointer::parse(&path, &text).expect("parsed");
            seen += 1;
            if path.to_string_lossy().contains("annotated") {
                // Comments and a changed order: the values survive.
                assert_eq!(parse(&pointer.to_text()).expect("parsed"), pointer);
            } else {
                assert_eq!(pointer.to_text(), text, "{}", path.display());
            }
        }
        assert!(seen >= 11);
    }

    #[test]
    fn merge_keys_and_a_byte_order_mark_are_read_as_dvc_reads_them() {
        let md5 = "0123456789abcdef0123456789abcdef";
        let plain = parse(&format!(
            "outs:\n- hash: md5\n  md5: {md5}\n  size: 3\n  path: x\n"
        ))
        .expect("parsed");
        for text in [
            format!("\u{feff}outs:\n- hash: md5\n  md5: {md5}\n  size: 3\n  path: x\n"),
            format!("outs:\n- <<: {{hash: md5, size: 3}}\n  md5: {md5}\n  path: x\n"),
            format!("outs:\n- <<: [{{hash: md5}}, {{hash: other, size: 3}}]\n  md5: {md5}\n  path: x\n"),
            format!("outs:\n- md5: {md5}\n  path: x\n  <<: {{path: z, size: 3, hash: md5}}\n"),
            format!("meta: &m\n  hash: md5\n  size: 3\nouts:\n- <<: *m\n  md5: {md5}\n  path: x\n"),
        ] {
            assert_eq!(parse(&text).expect(&text).outs, plain.outs, "{text}");
        }
        assert!(parse("outs:\n- <<: 3\n  path: x\n").is_err());
    }

    #[test]
    fn an_annotated_pointer_keeps_its_values() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/pointers");
        let text = fs::read_to_string(format!("{folder}/annotated-after.dvc")).expect("read");
        let pointer = parse(&text).expect("parsed");
        let out = &pointer.outs[0];
        assert_eq!(
            (out.remote.as_deref(), out.push, out.kind.as_deref()),
            (Some("far"), false, Some("frames"))
        );
        assert_eq!(out.labels, ["heavy", "yes"]);
        assert_eq!(out.id().map(|id| id.tree), Some(true));
        assert_eq!(pointer.desc.as_deref(), Some("top"));
        let expected = "desc: top\nouts:\n- md5: 830dfc5d3b33706a89864a3fc66517ba.dir\n  size: 71\n  nfiles: 10\n  hash: md5\n  path: frames\n  desc: 'frames: of the pack'\n  type: frames\n  labels:\n  - heavy\n  - yes\n  meta:\n    backlot:\n      blake3: '00'\n    list:\n    - 1\n    - z:\n    none:\n  remote: far\n  push: false\nmeta:\n  x: 1.5\n";
        assert_eq!(pointer.to_text(), expected);
    }

    #[test]
    fn what_dvc_refuses_is_refused_and_named() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for (text, code, named) in [
            (
                "outs:\n- path: a\n  hash: md5\n  sha256: x\n",
                "dvc::unknown_key",
                "outs[0].sha256",
            ),
            ("outs: []\nx-mine: 1\n", "dvc::unknown_key", "x-mine"),
            ("outs: []\ncmd: rm\n", "dvc::unknown_key", "cmd"),
            (
                "deps:\n- path: a\n  metric: true\n",
                "dvc::unknown_key",
                "deps[0].metric",
            ),
            ("outs:\n- path: a\n  path: b\n", "dvc::bad_pointer", "duplicate"),
            (
                "outs:\n- path: a\n  hash: md5\n  md5: 12345678901234567890123456789012\n",
                "dvc::bad_pointer",
                "md5",
            ),
            ("outs:\n- path: a\n  hash: blake3\n", "dvc::bad_pointer", "blake3"),
            ("outs:\n- hash: md5\n", "dvc::bad_pointer", "path"),
            (
                "outs:\n- path: a\n  hash: md5\n  size: -1\n",
                "dvc::bad_pointer",
                "size",
            ),
            (
                "outs:\n- path: a\n  hash: md5\n- path: a/b\n  hash: md5\n",
                "dvc::bad_pointer",
                "overlap",
            ),
            ("- a\n", "dvc::bad_pointer", "mapping"),
            ("outs: [\n", "dvc::bad_pointer", "line"),
            (
                "outs:\n- path: ../a\n  hash: md5\n",
                "dvc::hostile_pointer",
                "../a",
            ),
            ("outs:\n- path: /a\n  hash: md5\n", "dvc::hostile_pointer", "/a"),
            (
                "outs:\n- path: .git/hooks\n  hash: md5\n",
                "dvc::hostile_pointer",
                ".git",
            ),
            ("wdir: ../..\nouts: []\n", "dvc::hostile_pointer", "../.."),
        ] {
            let error = parse(text).expect_err(text);
            let message = error.to_string();
            assert_eq!(error.code(), code, "{text}: {message}");
            assert!(
                message.contains(named) && message.contains("x/frames.dvc"),
                "{message}"
            );
        }
        let legacy = parse(&format!("outs:\n- md5: {md5}\n  path: a\n")).expect_err("refused");
        assert_eq!(legacy.code(), "dvc::legacy_pointer");
        assert!(
            legacy
                .help()
                .is_some_and(|help| help.contains("dvc cache migrate"))
        );
    }

    #[test]
    fn the_proof_lives_beside_what_else_is_in_meta() {
        let mut out = Out::new(RelPath::parse("a").expect("safe"));
        assert_eq!(out.blake3(), None);
        out.meta = Some(serde_yaml_ng::from_str("{mine: 1, backlot: {other: 2}}").expect("YAML"));
        let proof = Blake3::from_bytes([7; 32]);
        out.set_blake3(proof);
        let text = Pointer::of(out).to_text();
        assert!(
            text.contains("    mine: 1\n    backlot:\n      other: 2\n      blake3: '0707"),
            "{text}"
        );
        assert_eq!(parse(&text).expect("parsed").outs[0].blake3(), Some(proof));
    }

    #[test]
    fn a_proof_counts_only_with_the_content_it_was_made_for() {
        let id = |text: &str| Some(text.parse().expect("an id"));
        let proof = Blake3::from_bytes([7; 32]);
        for (made_for, other) in [
            (
                "00000000000000000000000000000001",
                "00000000000000000000000000000002",
            ),
            (
                "00000000000000000000000000000001",
                "00000000000000000000000000000001.dir",
            ),
            (
                "00000000000000000000000000000001.dir",
                "00000000000000000000000000000002.dir",
            ),
        ] {
            let mut out = Out::new(RelPath::parse("a").expect("safe"));
            out.md5 = id(made_for);
            out.set_blake3(proof);
            let text = Pointer::of(out.clone()).to_text();
            let mut read = parse(&text).expect("parsed").outs.remove(0);
            assert_eq!(
                (read.blake3(), read.is_proof_bound()),
                (Some(proof), true),
                "{text}"
            );
            read.md5 = id(other);
            assert_eq!((read.blake3(), read.is_proof_bound()), (None, false), "{text}");
            read.md5 = None;
            assert_eq!(read.blake3(), None);
        }
        // Of before it said so.
        let mut old = Out::new(RelPath::parse("a").expect("safe"));
        old.set_blake3(proof);
        old.md5 = id("00000000000000000000000000000001");
        assert_eq!((old.blake3(), old.is_proof_bound()), (Some(proof), false));
        // Whatever stands there that we cannot read names other content.
        let meta = format!("{{backlot: {{blake3: '{proof}', md5: [1]}}}}");
        old.meta = Some(serde_yaml_ng::from_str(&meta).expect("YAML"));
        assert_eq!(old.blake3(), None);
    }

    proptest! {
        #[test]
        fn any_path_and_text_round_trips(path in "[^/\\\\\0]{1,60}", desc in any::<String>(), words in prop::collection::vec(".{0,100}", 0..4), size in any::<u64>()) {
            let Ok(path) = RelPath::parse(&path) else { return Ok(()) };
            prop_assume!(!crate::names::is_pointer(path.as_str()) && !crate::names::is_reserved(path.as_str()));
            let mut out = Out::new(path);
            out.md5 = Some("d41d8cd98f00b204e9800998ecf8427e.dir".parse().expect("an id"));
            out.size = Some(size);
            out.desc = Some(desc);
            out.labels = words;
            out.set_blake3(Blake3::from_bytes([3; 32]));
            let pointer = Pointer::of(out);
            let text = pointer.to_text();
            prop_assert_eq!(parse(&text).expect("parsed"), pointer, "{}", text);
        }

        #[test]
        fn garbage_never_panics(text in any::<String>()) {
            parse(&text).ok();
        }
    }
}
