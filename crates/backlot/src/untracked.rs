//! Files of an asset that would become part of its wheel though they look like content that should be tracked.
//!
//! Invariants: code and small texts are packaged without a word; media and large files are shown by `status`, and refused
//! by `build` and `publish` with the command that tracks them. So an `add` that was forgotten, or interrupted, never makes
//! a wheel of frames, and building holds no more in memory than the largest file that is allowed. Deliberately absent:
//! tracking them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath};
use backlot_dvc::TrackedPointer;
use backlot_wheel::BuildOptions;
use fs_err as fs;
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table};

use crate::build::{OutRecord, TOOL};
use crate::error::{OutsError, Result, WorkspaceError};
use crate::files::Tracked;
use crate::outputs::Output;
use crate::workspace::Workspace;

/// What may become part of a wheel: `[publish]` of `backlot.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLimits {
    /// The largest file, in bytes.
    pub largest_file: u64,
    /// All files together, in bytes.
    pub largest_wheel: u64,
    /// Whether images, caches, scenes, sound and film may, too.
    pub media: bool,
}

impl Default for PublishLimits {
    fn default() -> Self {
        Self {
            largest_file: 1 << 20,
            largest_wheel: 10 << 20,
            media: false,
        }
    }
}

/// The keys of `[publish]`.
pub(crate) const PUBLISH_KEYS: [&str; 3] = ["largest-file", "largest-wheel", "media"];

impl PublishLimits {
    /// What `[publish]` says; the error is a reason for people.
    pub(crate) fn read(document: &DocumentMut) -> Result<Self, String> {
        let mut limits = Self::default();
        let Some(table) = document.get("publish").and_then(Item::as_table) else {
            return Ok(limits);
        };
        let bytes = |table: &Table, key: &str, fallback: u64| match table.get(key) {
            None => Ok(fallback),
            Some(item) => item
                .as_integer()
                .and_then(|bytes| u64::try_from(bytes).ok())
                .ok_or_else(|| format!("`publish.{key}` is a number of bytes")),
        };
        limits.largest_file = bytes(table, "largest-file", limits.largest_file)?;
        limits.largest_wheel = bytes(table, "largest-wheel", limits.largest_wheel)?;
        if let Some(item) = table.get("media") {
            limits.media = item
                .as_bool()
                .ok_or_else(|| "`publish.media` is true or false".to_owned())?;
        }
        Ok(limits)
    }
}

/// Untracked files of one folder, or one such file directly in the asset's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UntrackedFiles {
    /// The folder or file, relative to the workspace: what `backlot add` takes.
    pub path: String,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether publishing is refused because of them.
    pub refused: bool,
}

/// What an asset has that is not tracked.
#[derive(Debug, Default)]
pub(crate) struct Untracked {
    /// What is neither code nor small text, by path.
    pub(crate) files: Vec<UntrackedFiles>,
    /// The same of what is tracked with `cache: false`, by the path that is tracked.
    uncached: Vec<UntrackedFiles>,
    /// The bytes of all that would be packaged.
    pub(crate) bytes: u64,
    /// The largest files, for a message where no single one is to blame.
    largest: Vec<(u64, PathBuf)>,
}

/// File endings of code and of texts that belong to it.
const CODE: [&str; 29] = [
    "py", "pyi", "toml", "dvc", "md", "txt", "rst", "json", "yaml", "yml", "cfg", "ini", "lock", "typed",
    "sh", "bat", "ps1", "css", "html", "js", "svg", "ui", "qss", "glsl", "vert", "frag", "osl", "mel", "pem",
];

/// File endings of content, however small: images, film, sound, geometry, caches and scenes of content tools.
const MEDIA: [&str; 62] = [
    "exr", "dpx", "cin", "tif", "tiff", "tx", "tex", "rat", "hdr", "psd", "psb", "kra", "xcf", "iff", "sgi",
    "tga", "mov", "mp4", "m4v", "mxf", "avi", "mkv", "webm", "braw", "r3d", "ari", "wav", "aif", "aiff",
    "flac", "mp3", "ogg", "vdb", "abc", "usd", "usdc", "usdz", "fbx", "obj", "ply", "stl", "glb", "bgeo",
    "geo", "sc", "ass", "rib", "ptc", "bif", "blend", "mb", "max", "c4d", "hip", "hiplc", "hipnc", "ztl",
    "zpr", "spp", "sbsar", "mra", "nkc",
];

fn ending(path: &Path) -> String {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.unwrap_or_default().to_ascii_lowercase()
}

impl Workspace {
    /// What an output has that is not tracked, with what of it is refused.
    pub(crate) fn untracked(
        &self,
        output: &Output,
        tracked: &Tracked,
        outs: &[OutRecord],
    ) -> Result<Untracked> {
        let all = tracked.pointers.iter().flat_map(TrackedPointer::located_outs);
        let uncached: Vec<PathBuf> = all.filter(|(_, out)| !out.cache).map(|(path, _)| path).collect();
        let limits = self.config().publish;
        let packaged = self.packaged(output, outs)?;
        let modules = output.module_folders();
        let mut found = Untracked::default();
        let mut rows: BTreeMap<PathBuf, UntrackedFiles> = BTreeMap::new();
        for source in packaged.into_values() {
            let bytes = fs::metadata(&source)?.len();
            found.bytes += bytes;
            let ending = ending(&source);
            let large = bytes > limits.largest_file;
            let is_code = ending.is_empty() || CODE.contains(&ending.as_str());
            if is_code && !large {
                found.largest.push((bytes, source));
                continue;
            }
            let folder = source.parent().filter(|folder| !modules.contains(folder));
            let out = uncached.iter().find(|out| source.starts_with(out));
            let path = out
                .map_or_else(|| folder.unwrap_or(&source), PathBuf::as_path)
                .to_path_buf();
            let row = rows.entry(path.clone()).or_insert_with(|| UntrackedFiles {
                path: self.display_path(&path),
                files: 0,
                bytes: 0,
                refused: false,
            });
            row.files += 1;
            row.bytes += bytes;
            row.refused |= large || (MEDIA.contains(&ending.as_str()) && !limits.media);
        }
        let too_much = found.bytes > limits.largest_wheel;
        for (path, mut row) in rows {
            row.refused |= too_much;
            if uncached.contains(&path) {
                found.uncached.push(row);
            } else {
                found.files.push(row);
            }
        }
        found.largest.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        found.largest.truncate(3);
        Ok(found)
    }

    /// The files of an output that become part of its wheel, by their path in it.
    pub(crate) fn packaged(&self, output: &Output, outs: &[OutRecord]) -> Result<BTreeMap<RelPath, PathBuf>> {
        let exclude = |path: &RelPath| outs.iter().any(|out| path.is_within(&out.path));
        let options = BuildOptions {
            output: &output.project.root,
            exclude: &exclude,
            whole: false,
            extra_dist_info: BTreeMap::new(),
            planned: BTreeMap::new(),
            generator: TOOL,
        };
        // What is left out is told when it is built.
        let silent = Context::default().with_cancel(self.context().cancel().clone());
        Ok(backlot_wheel::packaged_files(&output.project, &options, &silent)?)
    }

    /// Refuse a wheel that would hold content.
    pub(crate) fn check_untracked(
        &self,
        output: &Output,
        tracked: &Tracked,
        outs: &[OutRecord],
    ) -> Result<()> {
        let found = self.untracked(output, tracked, outs)?;
        let limits = self.config().publish;
        let refused = |rows: &[UntrackedFiles]| -> Vec<String> {
            let refused = rows.iter().filter(|row| row.refused);
            refused.map(|row| row.path.clone()).collect()
        };
        let mut paths = refused(&found.files);
        let uncached = refused(&found.uncached);
        if paths.is_empty() && !uncached.is_empty() {
            return Err(OutsError::NotCached {
                asset: output.name.clone(),
                paths: uncached,
            }
            .into());
        }
        if paths.is_empty() && found.bytes > limits.largest_wheel {
            let largest = found.largest.iter();
            paths = largest.map(|(_, path)| self.display_path(path)).collect();
        }
        if paths.is_empty() {
            return Ok(());
        }
        Err(WorkspaceError::UntrackedFiles {
            asset: output.name.clone(),
            bytes: found.bytes,
            paths,
        }
        .into())
    }
}
