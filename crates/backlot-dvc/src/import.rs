//! Pointers of imports: where content was taken from, as `dvc import-url` writes it.
//!
//! Invariants: the text of a pointer that is made here is byte for byte DVC's, its MD5 included, but for our table in `meta`, which DVC keeps and
//! leaves out of the MD5; an update compares what the pointer says of the source. What DVC has no way to write (a release as the source) stands
//! only in that table: to DVC such a pointer is one of added files. Deliberately absent: asking sources, and moving content.

mod git;
mod web;

use std::path::{Path, PathBuf};

use backlot_core::{Context, Md5, RelPath, file};
use backlot_store::{ObjectId, digest_bytes};
use serde_yaml_ng::{Mapping, Value};

use crate::error::{Error, Result};
use crate::git_ignore::git_ignore;
use crate::manifest::push_python_json;
use crate::patch::updated_text;
use crate::pipeline::{self, yaml_read};
use crate::plan::plan_absent;
use crate::pointer::{META_TABLE, Pointer};

pub use git::GitSource;
pub use web::WebInfo;

/// Keys that DVC leaves out of the MD5 of an import, at any depth.
const DROPPED: &[&str] = &[
    "desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles",
];

/// Key of imports in our table of a pointer's `meta`.
const META_IMPORT: &str = "import";

/// What tells whether a source has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Its content: of a local file or folder. Of a folder in a bucket, the list of its tags.
    Content {
        /// The content.
        id: ObjectId,
        /// How many files it has, if it is a folder.
        nfiles: Option<u64>,
    },
    /// The `ETag` of a web server as it stands in the header, else its `Content-MD5`, else DVC's number for what the server says of the file.
    Checksum(String),
    /// The tag of an object in a bucket, as DVC spells it.
    Etag(String),
}

impl SourceState {
    /// Why the state may stay the same though the source changed; `None` if it does not.
    pub fn weakness(&self) -> Option<&'static str> {
        match self {
            Self::Checksum(text) | Self::Etag(text) if text.starts_with("W/") => {
                Some("the server sends a weak ETag, which may not change when the content does")
            }
            Self::Checksum(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some("the server sends no ETag or checksum, so only size, date and type are compared")
            }
            Self::Content { .. } | Self::Checksum(_) | Self::Etag(_) => None,
        }
    }
}

/// Where content was taken from.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportSource {
    /// The path, relative to the pointer's folder, or the URL.
    pub path: String,
    /// Its state when it was taken.
    pub state: SourceState,
    /// Its bytes, if they are known.
    pub size: Option<u64>,
    /// Whether it is a file that can be executed.
    pub isexec: bool,
    /// How its store is reached.
    pub fs_config: Option<FsConfig>,
}

/// How a store is reached, as DVC's `fs_config` says it; what we give no meaning to stays.
#[derive(Clone, Debug, PartialEq)]
pub struct FsConfig(Value);

impl FsConfig {
    /// A server, a region, and whether it is asked without credentials; `None` if there is nothing to say.
    pub fn new(endpoint: Option<&str>, region: Option<&str>, anonymous: bool) -> Option<Self> {
        let mut config = Mapping::new();
        for (key, value) in [("endpointurl", endpoint), ("region", region)] {
            if let Some(value) = value {
                config.insert(key.into(), value.into());
            }
        }
        if anonymous {
            config.insert("allow_anonymous_login".into(), true.into());
        }
        (!config.is_empty()).then(|| Self(config.into()))
    }

    /// The URL of the server.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.get("endpointurl").and_then(Value::as_str)
    }

    /// The region.
    pub fn region(&self) -> Option<&str> {
        self.0.get("region").and_then(Value::as_str)
    }

    /// Whether it is asked without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.0.get("allow_anonymous_login").and_then(Value::as_bool) == Some(true)
    }
}

impl ImportSource {
    /// As the dependency of a pointer.
    fn to_dep(&self) -> Mapping {
        let mut dep = Mapping::new();
        let mut put = |key: &str, value: Value| drop(dep.insert(key.into(), value));
        match &self.state {
            SourceState::Content { id, .. } => put("md5", id.to_string().into()),
            SourceState::Checksum(checksum) => put("checksum", checksum.as_str().into()),
            SourceState::Etag(etag) => put("etag", etag.as_str().into()),
        }
        if let Some(size) = self.size {
            put("size", size.into());
        }
        if let SourceState::Content {
            nfiles: Some(nfiles), ..
        } = &self.state
        {
            put("nfiles", (*nfiles).into());
        }
        if self.isexec {
            put("isexec", true.into());
        }
        put("hash", "md5".into());
        put("path", self.path.as_str().into());
        if let Some(config) = &self.fs_config {
            put("fs_config", config.0.clone());
        }
        dep
    }

    /// The source of a pointer; `None` if it is not one of these, as an import of a git repository.
    pub fn of(pointer: &Pointer) -> Option<Self> {
        let [dep] = pointer.deps.as_slice() else {
            return None;
        };
        let text = |key: &str| dep.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let others = ["repo", "db", "params", "dataset", "version_id", "files", "cloud"];
        if others.iter().any(|key| dep.contains_key(*key)) {
            return None;
        }
        let state = if let Some(md5) = text("md5") {
            SourceState::Content {
                id: md5.parse().ok()?,
                nfiles: dep.get("nfiles").and_then(Value::as_u64),
            }
        } else if let Some(checksum) = text("checksum") {
            SourceState::Checksum(checksum)
        } else {
            SourceState::Etag(text("etag")?)
        };
        Some(Self {
            path: text("path")?,
            state,
            size: dep.get("size").and_then(Value::as_u64),
            isexec: dep.get("isexec").and_then(Value::as_bool).unwrap_or(false),
            fs_config: dep.get("fs_config").cloned().map(FsConfig),
        })
    }

    /// Make a pointer that of an import from here, with what is noted of it; what else it says stays.
    pub fn put_into(&self, pointer: &mut Pointer, notes: &ImportNotes) {
        pointer.deps = vec![self.to_dep()];
        notes.put_into(pointer);
        pointer.md5 = stage_md5(pointer).map(|md5| md5.to_hex());
    }
}

/// What we note of an import in the `meta` of its pointer, beside what DVC writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportNotes {
    /// The licence of what was imported.
    pub license: Option<String>,
    /// When the source was last changed, by its own clock, or the digest of a list of such times: where it gives nothing better.
    pub seen: Option<String>,
    /// The release that it is of.
    pub release: Option<ReleaseSource>,
}

/// A path of a release of another repo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSource {
    /// The address of the repo.
    pub repo: String,
    /// What was asked for: `Table==1.2.0`, or a range that updates stay in.
    pub requirement: String,
    /// The version it was taken from.
    pub version: String,
    /// SHA-256 of the wheel.
    pub sha256: String,
    /// The path inside of the asset's package.
    pub path: String,
}

impl ImportNotes {
    /// What is noted in a pointer.
    pub fn of(pointer: &Pointer) -> Self {
        let Some(table) = import_table(pointer) else {
            return Self::default();
        };
        let text = |table: &Mapping, key: &str| table.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let release = table.get("release").and_then(Value::as_mapping).and_then(|of| {
            Some(ReleaseSource {
                repo: text(of, "repo")?,
                requirement: text(of, "requirement")?,
                version: text(of, "version")?,
                sha256: text(of, "sha256")?,
                path: text(of, "path")?,
            })
        });
        Self {
            license: text(table, "license"),
            seen: text(table, "seen"),
            release,
        }
    }

    /// Put them into a pointer, in place of those that are there.
    pub fn put_into(&self, pointer: &mut Pointer) {
        let mut table = Mapping::new();
        for (key, value) in [("license", &self.license), ("seen", &self.seen)] {
            if let Some(value) = value {
                table.insert(key.into(), value.as_str().into());
            }
        }
        if let Some(release) = &self.release {
            let mut of = Mapping::new();
            for (key, value) in [
                ("repo", &release.repo),
                ("requirement", &release.requirement),
                ("version", &release.version),
                ("sha256", &release.sha256),
                ("path", &release.path),
            ] {
                of.insert(key.into(), value.as_str().into());
            }
            table.insert("release".into(), of.into());
        }
        let empty = || Value::Mapping(Mapping::new());
        let meta = pointer.meta.get_or_insert_with(empty);
        let Some(meta) = meta.as_mapping_mut() else { return };
        if let Some(ours) = meta
            .entry(META_TABLE.into())
            .or_insert_with(empty)
            .as_mapping_mut()
        {
            if table.is_empty() {
                ours.remove(META_IMPORT);
            } else {
                ours.insert(META_IMPORT.into(), table.into());
            }
            if ours.is_empty() {
                meta.remove(META_TABLE);
            }
        }
        if meta.is_empty() {
            pointer.meta = None;
        }
    }
}

fn import_table(pointer: &Pointer) -> Option<&Mapping> {
    let table = pointer.meta.as_ref()?.as_mapping()?.get(META_TABLE)?;
    table.as_mapping()?.get(META_IMPORT)?.as_mapping()
}

/// Where a pointer says that its content is from: a path, a URL, or a git repository. `None` if it was added.
pub fn import_address(pointer: &Pointer) -> Option<String> {
    let dep = pointer.deps.first()?;
    let repo = dep.get("repo").and_then(|repo| repo.get("url"));
    let address = repo.or_else(|| dep.get("path")).and_then(Value::as_str);
    address.map(ToOwned::to_owned)
}

/// Whether a pointer is that of a release of another repo.
pub(crate) fn is_of_release(pointer: &Pointer) -> bool {
    import_table(pointer).is_some_and(|table| table.contains_key("release"))
}

/// DVC's MD5 of the definition of an import.
fn stage_md5(pointer: &Pointer) -> Option<Md5> {
    let bare = Pointer {
        desc: None,
        md5: None,
        meta: None,
        ..pointer.clone()
    };
    let value: pipeline::Value = yaml_read::read(&bare.to_text()).ok()?;
    let json = value.to_python_json(DROPPED)?;
    Some(digest_bytes(json.as_bytes()).md5)
}

/// The state of a folder in a bucket, as DVC has it: the digest of a manifest that has tags in the place of MD5s.
pub fn tag_list_id(files: &[(RelPath, String)]) -> ObjectId {
    let mut files: Vec<&(RelPath, String)> = files.iter().collect();
    files.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    let mut text = String::from("[");
    for (position, (path, tag)) in files.into_iter().enumerate() {
        text.push_str(if position > 0 { ", " } else { "" });
        text.push_str("{\"etag\": ");
        push_python_json(&mut text, tag);
        text.push_str(", \"relpath\": ");
        push_python_json(&mut text, path.as_str());
        text.push('}');
    }
    text.push(']');
    ObjectId::tree(digest_bytes(text.as_bytes()).md5)
}

/// Where the pointer of an import into `relative`, inside the asset folder `root`, goes. An error if something there, above or below is
/// tracked, or ignored.
pub fn plan_import(root: &Path, relative: &RelPath, is_folder: bool, context: &Context) -> Result<PathBuf> {
    let target = plan_absent(root, relative, is_folder, context)?;
    match target.pointer {
        None => Ok(target.pointer_path),
        Some(_) => Err(Error::Overlap {
            path: target.path.clone(),
            tracked: target.path,
            pointer: target.pointer_path,
        }),
    }
}

/// Write the pointer of an import, and with `in_git` the line of what it stands for in the `.gitignore` beside it. Layout and comments of the
/// pointer that is there stay. Returns whether it changed.
pub fn write_import(path: &Path, pointer: &Pointer, in_git: bool) -> Result<bool> {
    let text = match file::read_if_exists(path)?.map(String::from_utf8) {
        Some(Ok(old)) => updated_text(path, &old, pointer),
        _ => pointer.to_text(),
    };
    let written = file::write_if_changed(path, text.as_bytes())?;
    if in_git && let Some(folder) = path.parent() {
        let base = pointer.base(folder);
        for out in pointer.outs.iter().filter(|out| out.cache) {
            git_ignore(&out.path.to_path(&base))?;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backlot_core::RelPath;

    use super::{
        FsConfig, ImportNotes, ImportSource, ReleaseSource, SourceState, is_of_release, tag_list_id,
    };
    use crate::{Out, Pointer};

    fn import(source: &ImportSource, out: Out) -> Pointer {
        let mut pointer = Pointer {
            frozen: true,
            ..Pointer::of(out)
        };
        source.put_into(&mut pointer, &ImportNotes::default());
        pointer
    }

    fn out() -> Out {
        Out::new(RelPath::parse("a.exr").expect("a path"))
    }

    #[test]
    fn pointers_of_dvc_are_made_again_byte_for_byte() {
        for text in [
            include_str!("../../../fixtures/dvc/pointers/import-url.dvc"),
            include_str!("../../../fixtures/dvc/pointers/no-download.dvc"),
        ] {
            let known = Pointer::parse(Path::new("x.dvc"), text).expect("a pointer");
            let source = ImportSource::of(&known).expect("a source");
            assert!(matches!(source.state, SourceState::Content { nfiles: None, .. }));
            assert_eq!(import(&source, known.outs[0].clone()).to_text(), text);
        }
    }

    #[test]
    fn sources_are_read_back() {
        for state in [
            SourceState::Checksum("\"abc-1\"".to_owned()),
            SourceState::Checksum("W/\"wk\"".to_owned()),
            SourceState::Checksum("123456789012345678901234567890".to_owned()),
            SourceState::Etag("0a1b".to_owned()),
        ] {
            let source = ImportSource {
                path: "https://studio.lan/a.exr".to_owned(),
                state,
                size: Some(3),
                isexec: false,
                fs_config: FsConfig::new(Some("https://s3.studio.lan"), Some("here"), true),
            };
            let text = import(&source, out()).to_text();
            let read = Pointer::parse(Path::new("a.exr.dvc"), &text).expect(&text);
            assert_eq!(ImportSource::of(&read), Some(source), "{text}");
        }
    }

    #[test]
    fn notes_are_kept_beside_what_others_wrote_and_do_not_change_the_md5() {
        let source = ImportSource {
            path: "/plates/a.exr".to_owned(),
            state: SourceState::Etag("1".to_owned()),
            size: None,
            isexec: false,
            fs_config: None,
        };
        let mut pointer = import(&source, out());
        let bare = pointer.md5.clone();
        pointer.meta = serde_yaml_ng::from_str("{mine: 1}").expect("YAML");
        let notes = ImportNotes {
            license: Some("CC-BY-4.0".to_owned()),
            seen: Some("17".to_owned()),
            release: Some(ReleaseSource {
                repo: "/repos/library".to_owned(),
                requirement: "Table>=1".to_owned(),
                version: "1.2.0".to_owned(),
                sha256: "00".to_owned(),
                path: "frames".to_owned(),
            }),
        };
        source.put_into(&mut pointer, &notes);
        let text = pointer.to_text();
        let read = Pointer::parse(Path::new("a.exr.dvc"), &text).expect(&text);
        assert_eq!((ImportNotes::of(&read), &read.md5), (notes, &bare), "{text}");
        assert!(text.contains("  mine: 1\n") && is_of_release(&read), "{text}");
        ImportNotes::default().put_into(&mut pointer);
        assert_eq!(pointer.meta, serde_yaml_ng::from_str("{mine: 1}").expect("YAML"));
    }

    #[test]
    fn a_list_of_tags_is_named_as_python_names_it() {
        let file = |path: &str, tag: &str| (RelPath::parse(path).expect("a path"), tag.to_owned());
        // python3 -c 'import hashlib, json; print(hashlib.md5(json.dumps([{"etag": "2", "relpath": "a"}, {"etag": "1", "relpath": "b/\u00fc"}], sort_keys=True).encode()).hexdigest())'
        let id = tag_list_id(&[file("b/\u{fc}", "1"), file("a", "2")]);
        assert_eq!(id.to_string(), "a7af30b5dc23e12f51b06afe5dd5ad54.dir");
    }

    #[test]
    fn weak_states_are_said_to_be_weak() {
        for (state, weak) in [
            (SourceState::Checksum("\"1\"".to_owned()), false),
            (
                SourceState::Checksum("1B2M2Y8AsgTpgAmY7PhCfg==".to_owned()),
                false,
            ),
            (SourceState::Checksum("W/\"1\"".to_owned()), true),
            (SourceState::Checksum("1234".to_owned()), true),
            (SourceState::Etag("W/\"1\"".to_owned()), true),
            (SourceState::Etag("1234".to_owned()), false),
        ] {
            assert_eq!(state.weakness().is_some(), weak, "{state:?}");
        }
    }
}
