//! Files of an asset that would become part of its wheel though they look like content that should be tracked.
//!
//! Invariants: code and small texts are packaged without a word; media and large files are shown by `status`, and refused
//! by `build` and `publish` with the command that tracks them. So an `add` that was forgotten, or interrupted, never makes
//! a wheel of frames, and building holds no more in memory than the largest file that is allowed. Deliberately absent:
//! tracking them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath};
use backlot_dvc::TrackedPointer;
use backlot_wheel::BuildOptions;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{OutsError, Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::output::Output;
use crate::project::provenance::{OutRecord, TOOL};
use crate::workspace::Opened;

/// Untracked files of one folder, or one such file directly in the asset's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UntrackedFiles {
    /// The folder or file, relative to the workspace, as an argument for `backlot add`.
    pub path: String,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether publishing is refused because of them.
    pub refused: bool,
}

/// The untracked files of an asset.
#[derive(Debug, Default)]
pub(crate) struct Untracked {
    /// Files that are neither code nor small text, by path.
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
const MEDIA: [&str; 101] = [
    "exr",
    "dpx",
    "cin",
    "tif",
    "tiff",
    "tx",
    "tex",
    "rat",
    "hdr",
    "psd",
    "psb",
    "kra",
    "xcf",
    "iff",
    "sgi",
    "tga",
    "jpg",
    "jpeg",
    "jp2",
    "jxl",
    "heic",
    "heif",
    "avif",
    "dng",
    "cr2",
    "cr3",
    "nef",
    "arw",
    "raf",
    "dds",
    "pic",
    "mov",
    "mp4",
    "m4v",
    "mxf",
    "avi",
    "mkv",
    "webm",
    "mpg",
    "mpeg",
    "wmv",
    "braw",
    "r3d",
    "ari",
    "wav",
    "aif",
    "aiff",
    "flac",
    "mp3",
    "m4a",
    "aac",
    "ogg",
    "vdb",
    "abc",
    "usd",
    "usda",
    "usdc",
    "usdz",
    "fbx",
    "obj",
    "ply",
    "stl",
    "glb",
    "gltf",
    "dae",
    "3ds",
    "lwo",
    "bgeo",
    "geo",
    "sc",
    "ass",
    "rib",
    "ptc",
    "bif",
    "mdd",
    "pc2",
    "prt",
    "blend",
    "ma",
    "mb",
    "max",
    "c4d",
    "hip",
    "hiplc",
    "hipnc",
    "nk",
    "nkc",
    "ztl",
    "zpr",
    "zprj",
    "spp",
    "sbsar",
    "mra",
    "uasset",
    "umap",
    "unitypackage",
    "aep",
    "prproj",
    "drp",
    "otio",
    "kfx",
];

/// File endings of images that code has, too, for its buttons. A few small ones are code, more or larger ones are content.
const ICONS: [&str; 6] = ["png", "gif", "ico", "webp", "bmp", "icns"];
/// How large an icon may be, and how many a folder may have.
const ICON_BYTES: u64 = 64 << 10;
const ICON_COUNT: u64 = 16;

/// Endings of packed files, behind the one that tells what they are.
const PACKED: [&str; 5] = ["gz", "bz2", "xz", "zst", "lz4"];

/// What a file is by its name: that of a packed or numbered one (`f.exr.gz`, `f.exr.0001`) is before the last dot.
fn ending(path: &Path) -> String {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let mut endings = name.rsplit('.');
    let mut left = name.split('.').count() - 1;
    while left > 0 {
        let ending = endings.next().unwrap_or_default();
        let is_number = !ending.is_empty() && ending.bytes().all(|byte| byte.is_ascii_digit());
        if left == 1 || !(is_number || PACKED.contains(&ending)) {
            return ending.to_owned();
        }
        left -= 1;
    }
    String::new()
}

/// Whether a name has a number as those of frames have, `f.0001.png`; `icon_512.png` has none.
fn is_frame(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let digits = stem.len() - stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = &stem[stem.len() - digits..];
    digits >= 4 || digits > 1 && number.starts_with('0')
}

/// Whether a file begins as no text does.
fn is_binary(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    fs::File::open(path)?.take(4096).read_to_end(&mut start)?;
    Ok(start.contains(&0))
}

/// What a file is to a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Icon,
    Media,
    Other,
}

impl Kind {
    fn of(path: &Path, bytes: u64) -> Result<Self> {
        let ending = ending(path);
        let ending = ending.as_str();
        Ok(if MEDIA.contains(&ending) {
            Self::Media
        } else if ICONS.contains(&ending) {
            let is_small = bytes <= ICON_BYTES && !is_frame(path);
            if is_small { Self::Icon } else { Self::Media }
        } else if CODE.contains(&ending) || ending.is_empty() && !is_binary(path)? {
            Self::Code
        } else {
            Self::Other
        })
    }
}

impl Opened {
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
        let mut icons: BTreeMap<PathBuf, Vec<(u64, PathBuf)>> = BTreeMap::new();
        for source in packaged.into_values() {
            let bytes = fs::metadata(&source)?.len();
            found.bytes += bytes;
            let large = bytes > limits.largest_file;
            let kind = Kind::of(&source, bytes)?;
            if kind == Kind::Code && !large {
                found.largest.push((bytes, source));
                continue;
            }
            if kind == Kind::Icon && !large {
                let folder = source.parent().unwrap_or(&source).to_path_buf();
                icons.entry(folder).or_default().push((bytes, source));
                continue;
            }
            let folder = source.parent().filter(|folder| !modules.contains(folder));
            let out = uncached.iter().find(|out| source.starts_with(out));
            let path = out
                .map_or_else(|| folder.unwrap_or(&source), PathBuf::as_path)
                .to_path_buf();
            let row = self.row_of(&mut rows, path);
            row.files += 1;
            row.bytes += bytes;
            row.refused |= large || (kind == Kind::Media && !limits.media);
        }
        for (folder, icons) in icons {
            if icons.len() as u64 <= ICON_COUNT {
                found.largest.extend(icons);
                continue;
            }
            let row = self.row_of(&mut rows, folder);
            row.files += icons.len() as u64;
            row.bytes += icons.iter().map(|(bytes, _)| bytes).sum::<u64>();
            row.refused |= !limits.media;
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

    fn row_of<'a>(
        &self,
        rows: &'a mut BTreeMap<PathBuf, UntrackedFiles>,
        path: PathBuf,
    ) -> &'a mut UntrackedFiles {
        rows.entry(path).or_insert_with_key(|path| UntrackedFiles {
            path: self.display_path(path),
            files: 0,
            bytes: 0,
            refused: false,
        })
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
        // Excluded files are reported by the build.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Kind, ending, is_frame};

    #[test]
    fn content_is_known_by_its_ending_also_where_that_is_not_the_last() {
        for (name, right) in [
            ("f.exr", "exr"),
            ("F.EXR", "exr"),
            ("f.exr.0001", "exr"),
            ("f.exr.gz", "exr"),
            ("f.0001.exr", "exr"),
            ("cache.tar.gz", "tar"),
            ("data.gz", "gz"),
            ("page.1", "1"),
            ("README", ""),
            (".hidden", "hidden"),
        ] {
            assert_eq!(ending(Path::new(name)), right, "{name}");
        }
    }

    #[test]
    fn a_few_small_images_are_icons_and_frames_are_not() {
        for name in ["icon.png", "icon_16.png", "icon_512.png", "v2.gif"] {
            assert!(!is_frame(Path::new(name)), "{name}");
            assert_eq!(Kind::of(Path::new(name), 2_000).ok(), Some(Kind::Icon), "{name}");
        }
        for name in ["f.0001.png", "f_01.png", "turn1001.png"] {
            assert_eq!(Kind::of(Path::new(name), 2_000).ok(), Some(Kind::Media), "{name}");
        }
        assert_eq!(Kind::of(Path::new("icon.png"), 200_000).ok(), Some(Kind::Media));
        assert_eq!(Kind::of(Path::new("a.jpg"), 3).ok(), Some(Kind::Media));
    }
}
