//! The files of an output as a release would have them, with those that are tracked and not here.
//!
//! Invariant: a file is named by its path in the package, and listed once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_core::wildcard::Wildcard;
use serde::Serialize;

use crate::error::Result;
use crate::files::tracked::Tracked;
use crate::project::content::{outs_of, wheel_path};
use crate::project::output::Output;
use crate::workspace::Opened;

/// A file of an asset.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CheckedFile {
    /// Its path in the package: `frames/f.0001.exr`.
    pub(crate) path: String,
    /// The folder of the package.
    #[serde(skip)]
    pub(crate) module: String,
    /// Where it is; `None` of one that was not pulled.
    pub(crate) source: Option<PathBuf>,
    /// Its bytes, where it is here.
    pub(crate) size: Option<u64>,
}

impl Opened {
    /// The files of an output, by their path in the package.
    pub(crate) fn files_to_check(&self, output: &Output, tracked: &Tracked) -> Result<Vec<CheckedFile>> {
        let mut found: BTreeMap<RelPath, Option<PathBuf>> = BTreeMap::new();
        let packaged = self.packaged(output, &outs_of(output, tracked)?)?;
        let packaged = packaged
            .into_iter()
            .filter(|(path, _)| !path.as_str().ends_with(".dvc"));
        found.extend(packaged.map(|(path, source)| (path, Some(source))));
        let cache = self.cache()?;
        for (place, out) in tracked
            .pointers
            .iter()
            .flat_map(backlot_dvc::TrackedPointer::located_outs)
        {
            let Some(path) = wheel_path(output, &place)? else {
                continue;
            };
            let Some(id) = out.id().filter(|id| id.tree) else {
                found.insert(path, place.is_file().then_some(place));
                continue;
            };
            let manifest = backlot_dvc::peek_manifest(&cache, &id)?;
            for entry in manifest.iter().flat_map(backlot_dvc::Manifest::entries) {
                found.insert(entry.path.below(&path), None);
            }
            for file in files_below(&place)? {
                let inside = RelPath::from_path(file.strip_prefix(&place).unwrap_or(&file))?;
                found.insert(inside.below(&path), Some(file));
            }
        }
        let files = found.into_iter().map(|(path, source)| CheckedFile {
            path: in_package(&path).to_owned(),
            module: path.as_str().split('/').next().unwrap_or_default().to_owned(),
            size: source
                .as_ref()
                .and_then(|source| Some(fs_err::metadata(source).ok()?.len())),
            source,
        });
        Ok(files.collect())
    }
}

/// A path without the folder of the package.
fn in_package(path: &RelPath) -> &str {
    path.as_str()
        .split_once('/')
        .map_or(path.as_str(), |(_, inside)| inside)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Those that a pattern fits.
pub(crate) fn chosen<'a>(files: &'a [CheckedFile], pattern: Option<&str>) -> Vec<&'a CheckedFile> {
    let pattern = pattern.map(Wildcard::new);
    let fits = |file: &&CheckedFile| pattern.as_ref().is_none_or(|pattern| pattern.fits(&file.path));
    files.iter().filter(fits).collect()
}
