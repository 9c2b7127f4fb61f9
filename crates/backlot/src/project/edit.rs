//! Making an installed release editable: its wheel becomes a project in `outputs/`, one micro version on.
//!
//! Invariant: the new output appears whole, and nothing of the release is lost: code, pointers, metadata. A wheel that
//! carries its `pyproject.toml` gives it back; for others one is written from the metadata.

use std::path::{Path, PathBuf};

use backlot_core::file;
use backlot_core::file::TemporaryFolder;
use backlot_dvc::TrackedPointer;
use backlot_pep::{AssetName, BumpStep, PackageName, Version};
use backlot_wheel::{EntryPoints, INFO_GROUP, Metadata};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::error::{Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::base::BaseRelease;
use crate::project::build::PROJECT_FILE;
use crate::project::output::Output;
use crate::project::provenance::{PROVENANCE_FILE, made_in};
use crate::workspace::Opened;

/// The folder of a project that has the tree of its wheel.
const SOURCE: &str = "src";

/// The report of making a release editable.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EditReport {
    /// The asset.
    pub asset: String,
    /// The package.
    pub package: PackageName,
    /// The version of the release.
    pub from: Version,
    /// The version of the output.
    pub to: Version,
    /// Its folder, relative to the workspace.
    pub path: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn edit(&self, name: &str, dry_run: bool) -> Result<EditReport> {
        self.hold()?.make_editable(name, dry_run)
    }

    fn make_editable(&self, name: &str, dry_run: bool) -> Result<EditReport> {
        let package = PackageName::of_asset(name)?;
        let lock = Lock::load(self.root())?;
        let locked = lock.as_ref().and_then(|l| l.package(&package));
        let locked = locked.ok_or_else(|| Lock::lacks(lock.as_ref(), package.clone()))?;
        if let Some(path) = &locked.editable {
            return Err(WorkspaceError::OutputExists {
                name: name.to_owned(),
                path: self.root().join(path),
            }
            .into());
        }
        self.warn_packages([locked], true)?;
        let unpacked = self.unpacked_wheel(locked)?;
        let dist_info = format!("{}-{}.dist-info", package.file_stem(), locked.version);
        let dist_info = find_dist_info(&unpacked, &dist_info)?;
        let metadata = Metadata::parse(&fs::read_to_string(dist_info.join("METADATA"))?)?;
        let entry_points = fs::read_to_string(dist_info.join("entry_points.txt")).unwrap_or_default();
        let entry_points = EntryPoints::parse(&entry_points);
        let asset = entry_points
            .group(INFO_GROUP)
            .and_then(|g| g.get("asset_name"))
            .cloned();
        let asset = asset.unwrap_or_else(|| metadata.name.clone());
        let folder = AssetName::parse(&metadata.name)?.module().to_owned();
        let root = self.outputs_dir().join(&folder);
        if root.exists() {
            return Err(WorkspaceError::OutputExists {
                name: asset,
                path: root,
            }
            .into());
        }
        let to = metadata.version.bump(&[BumpStep::Micro])?;
        let report = EditReport {
            asset,
            package,
            from: metadata.version.clone(),
            to: to.clone(),
            path: self.display_path(&root),
            dry_run,
        };
        if dry_run {
            return Ok(report);
        }
        let stage = TemporaryFolder::absent_in(&self.state_dir());
        self.write_project(&unpacked, &dist_info, &metadata, &entry_points, stage.path())?;
        if let Some(sha256) = locked.sha256 {
            // The record of where it comes from appears with it.
            let made = Output::load(stage.path())?;
            let content = self.content_of(&made, &staged_pointers(&made)?)?;
            let base = BaseRelease {
                version: locked.version.clone(),
                ..Self::as_base(&made, content, sha256)?
            };
            Self::note_base(stage.path(), base)?;
        }
        fs::create_dir_all(self.outputs_dir())?;
        file::rename(stage.path(), &root)?;
        let output = self.output(report.package.as_str())?;
        Self::write_version(&output, &to, false)?;
        self.sync_editables()?;
        Ok(report)
    }

    /// A release as a project in a folder that is not there yet. What its stages made is as the builder recorded it: its `dvc.yaml` is not read.
    pub(crate) fn unpack_project(
        &self,
        package: &LockedPackage,
        stage: &Path,
    ) -> Result<Vec<TrackedPointer>> {
        let unpacked = self.unpacked_wheel(package)?;
        let dist_info = format!("{}-{}.dist-info", package.name.file_stem(), package.version);
        let dist_info = find_dist_info(&unpacked, &dist_info)?;
        let metadata = Metadata::parse(&fs::read_to_string(dist_info.join("METADATA"))?)?;
        let entry_points = fs::read_to_string(dist_info.join("entry_points.txt")).unwrap_or_default();
        let entry_points = EntryPoints::parse(&entry_points);
        self.write_project(&unpacked, &dist_info, &metadata, &entry_points, stage)?;
        let record = file::read_if_exists(&dist_info.join(PROVENANCE_FILE))?;
        let made = record.map_or_else(Vec::new, |bytes| made_in(&bytes));
        let source = stage.join(SOURCE);
        Ok(made.into_iter().map(|made| made.below(&source)).collect())
    }

    fn write_project(
        &self,
        unpacked: &Path,
        dist_info: &Path,
        metadata: &Metadata,
        entry_points: &EntryPoints,
        stage: &Path,
    ) -> Result<()> {
        let source = stage.join(SOURCE);
        fs::create_dir_all(&source)?;
        for entry in fs::read_dir(unpacked)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if name.to_string_lossy().ends_with(".dist-info") {
                continue;
            }
            crate::files::adding::copy_tree(&path, &source.join(name), self)?;
        }
        let project = match file::read_if_exists(&dist_info.join(PROJECT_FILE))? {
            Some(bytes) => bytes,
            None => project_from_metadata(metadata, entry_points).into_bytes(),
        };
        file::write(&stage.join("pyproject.toml"), &project)?;
        let readme = metadata
            .description
            .clone()
            .unwrap_or_else(|| format!("# {}\n", metadata.name));
        Ok(file::write(&stage.join("README.md"), readme.as_bytes())?)
    }
}

/// The pointers of a project that was just made of a release, and has no tracked files yet.
pub(crate) fn staged_pointers(output: &Output) -> Result<Tracked> {
    let mut pointers = Vec::new();
    let mut pending: Vec<PathBuf> = output.module_folders().iter().map(|p| p.to_path_buf()).collect();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|ending| ending == "dvc") {
                pointers.push(TrackedPointer::load(&path)?);
            }
        }
    }
    pointers.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Tracked {
        name: output.name.clone(),
        pointers,
        installed: false,
    })
}

/// The `.dist-info` folder of an unpacked wheel, which may be spelled differently.
fn find_dist_info(unpacked: &Path, expected: &str) -> Result<PathBuf> {
    let path = unpacked.join(expected);
    if path.is_dir() {
        return Ok(path);
    }
    for entry in fs::read_dir(unpacked)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "dist-info") {
            return Ok(path);
        }
    }
    Ok(path)
}

/// A `pyproject.toml` that builds a wheel of the same metadata.
fn project_from_metadata(metadata: &Metadata, entry_points: &EntryPoints) -> String {
    let mut document = toml_edit::DocumentMut::new();
    let mut project = toml_edit::Table::new();
    let list = |items: Vec<String>| toml_edit::value(items.into_iter().collect::<toml_edit::Array>());
    project.insert("name", toml_edit::value(&metadata.name));
    project.insert("version", toml_edit::value(metadata.version.to_string()));
    if let Some(summary) = &metadata.summary {
        project.insert("description", toml_edit::value(summary));
    }
    project.insert("readme", toml_edit::value("README.md"));
    project.insert(
        "dependencies",
        list(metadata.requires_dist.iter().map(ToString::to_string).collect()),
    );
    project.insert("classifiers", list(metadata.classifiers.clone()));
    project.insert("keywords", list(metadata.keywords.clone()));
    for (group, entries) in &entry_points.0 {
        let table = match group.as_str() {
            "console_scripts" => &mut project["scripts"],
            "gui_scripts" => &mut project["gui-scripts"],
            group => &mut project["entry-points"][group],
        };
        for (name, value) in entries {
            table[name.as_str()] = toml_edit::value(value);
        }
    }
    document.insert("project", toml_edit::Item::Table(project));
    document.to_string()
}
