//! What an output consists of, told apart from its version: the content that is compared with releases, and the digests of it that a release
//! records.
//!
//! Invariant: what is read of a project is what its wheel is built from, so the same project gives the same digests on every machine. A pointer
//! stands for what it tracks. Deliberately absent: releases and inputs.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::{RelPath, Sha256, file};
use backlot_store::ObjectId;
use sha2::Digest as _;
use toml_edit::{DocumentMut, Item};

use crate::error::{Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::output::Output;
use crate::project::provenance::{ImportRecord, MadeRecord, OutRecord};
use crate::workspace::Opened;

/// What an output or a release consists of: paths of its wheel with what tells their content apart. Pointers stand for what
/// they track, and the version is left out.
pub(crate) type Content = BTreeMap<String, String>;

/// The mark behind the object of an executable file.
const EXECUTABLE: &str = "+x";

/// Files of a pipeline that lie beside the packaged folders and say how content is made.
const PIPELINE_FILES: [&str; 2] = ["dvc.yaml", "params.yaml"];
/// The file that records the last run of a pipeline.
const PIPELINE_LOCK: &str = "dvc.lock";

/// The object that stands for what a pointer of one out tracks, and whether it is an executable file.
pub(crate) fn out_of(content: &str) -> Option<(ObjectId, bool)> {
    let (id, executable) = match content.strip_suffix(EXECUTABLE) {
        Some(id) => (id, true),
        None => (content, false),
    };
    Some((id.parse().ok()?, executable))
}

/// The path of a project file in its wheel.
pub(crate) fn wheel_path(output: &Output, path: &Path) -> Result<Option<RelPath>> {
    for root in &output.project.module_roots {
        if let Ok(inside) = path.strip_prefix(&root.source) {
            return Ok(Some(RelPath::from_path(inside)?.below(&root.target)));
        }
    }
    Ok(None)
}

/// The tracked files and folders of an output, by their path in the wheel.
pub(crate) fn outs_of(output: &Output, tracked: &Tracked) -> Result<Vec<OutRecord>> {
    let mut outs = Vec::new();
    for pointer in &tracked.pointers {
        for (path, out) in pointer.located_outs() {
            // What is not cached is on no remote, so it goes into the wheel like any other file.
            let id = out.id().filter(|_| out.cache);
            let (Some(id), Some(path)) = (id, wheel_path(output, &path)?) else {
                continue;
            };
            let made_by = match &pointer.made_by {
                None => None,
                Some(made_by) => wheel_path(output, &made_by.lock)?.map(|lock| MadeRecord {
                    lock,
                    stage: made_by.stage.clone(),
                    isexec: out.isexec,
                    not_pushed: !out.push,
                    remote: out.remote.clone(),
                }),
            };
            outs.push(OutRecord {
                path,
                md5: id.to_string(),
                blake3: out.blake3(),
                size: out.size.unwrap_or(0),
                files: out.nfiles.unwrap_or(1),
                made_by,
                imported: ImportRecord::of(&pointer.pointer),
            });
        }
    }
    outs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(outs)
}

/// SHA-256 of all of a content.
pub(crate) fn content_digest(content: &Content) -> Sha256 {
    digest_of("content", content.iter())
}

/// SHA-256 of what a build reads beside its inputs: all of the content but what a pipeline made last, and the pipeline's own files.
pub(crate) fn recipe_digest(output: &Output, content: &Content) -> Result<Sha256> {
    let mut beside = Content::new();
    for name in PIPELINE_FILES {
        if let Some(bytes) = file::read_if_exists(&output.project.root.join(name))? {
            beside.insert(name.to_owned(), digest(&bytes));
        }
    }
    let is_lock = |path: &str| path == PIPELINE_LOCK || path.ends_with(&format!("/{PIPELINE_LOCK}"));
    let read = content.iter().filter(|(path, _)| !is_lock(path));
    Ok(digest_of("recipe", read.chain(&beside)))
}

/// The digest of fields with their lengths, so that no two lists of fields have the same bytes.
fn digest_of<'a>(kind: &str, fields: impl Iterator<Item = (&'a String, &'a String)>) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    let mut field = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    field(kind);
    for (path, content) in fields {
        field(path);
        field(content);
    }
    Sha256::from_bytes(hasher.finalize().into())
}

impl Opened {
    /// The contents of an output.
    pub(crate) fn content_of(&self, output: &Output, tracked: &Tracked) -> Result<Content> {
        let mut content = Content::new();
        let outs = outs_of(output, tracked)?;
        let mut pointers: HashSet<&Path> = HashSet::new();
        // Of what stages make, their locks tell.
        let own = tracked.pointers.iter().filter(|one| one.made_by.is_none());
        for pointer in own {
            pointers.insert(&pointer.path);
            let ids: Vec<String> = pointer
                .pointer
                .outs
                .iter()
                .filter_map(|out| Some((out.id()?, out.isexec)))
                .map(|(id, executable)| format!("{id}{}", if executable { EXECUTABLE } else { "" }))
                .collect();
            if let Some(path) = wheel_path(output, &pointer.path)? {
                content.insert(path.to_string(), ids.join(","));
            }
        }
        let project = output.project.root.join("pyproject.toml");
        let mut document = fs_err::read_to_string(&project)?
            .parse::<DocumentMut>()
            .map_err(|e| WorkspaceError::BadConfig {
                path: project,
                reason: e.to_string(),
            })?;
        let version_file = version_file(output, &document);
        if let Some(table) = document.get_mut("project").and_then(Item::as_table_like_mut) {
            table.remove("version");
        }
        content.insert("pyproject.toml".to_owned(), digest(document.to_string().trim()));
        let readme = output.project.metadata.description.as_deref().unwrap_or_default();
        content.insert("README.md".to_owned(), digest(readme.trim()));
        let packaged: Vec<(RelPath, PathBuf)> = self.packaged(output, &outs)?.into_iter().collect();
        let (mut names, mut paths) = (Vec::new(), Vec::new());
        for (path, source) in packaged {
            if pointers.contains(source.as_path()) {
                continue;
            }
            if Some(&source) == version_file.as_ref() {
                let text = fs_err::read_to_string(&source)?;
                let text = crate::project::inputs::replace_version(&text, "").unwrap_or(text);
                content.insert(path.to_string(), digest(text.trim()));
                continue;
            }
            let size = fs_err::metadata(&source)?.len();
            if size > self.config().publish.largest_file {
                // It will be refused, so it is not read.
                content.insert(path.to_string(), format!("{size} bytes"));
                continue;
            }
            names.push(path.to_string());
            paths.push(source);
        }
        let digests = backlot_store::hash_files(&paths, &*self.stat_cache()?, self.context())?;
        content.extend(
            names
                .into_iter()
                .zip(digests)
                .map(|(name, found)| (name, found.md5.to_string())),
        );
        Ok(content)
    }
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into()).to_hex()
}

/// The file that has the version, where `pyproject.toml` has it not.
fn version_file(output: &Output, project: &DocumentMut) -> Option<PathBuf> {
    let path = project.get("tool")?.get("hatch")?.get("version")?.get("path")?;
    Some(output.project.root.join(path.as_str()?))
}
