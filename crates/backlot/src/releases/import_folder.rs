//! A tree of `table_v001`, `table_v002` taken over: each version a release, in its order, with its files tracked.
//!
//! Invariants: the plan is what a dry run shows and what is done; what is released already is passed over, so that the same again does nothing and what was
//! stopped goes on; a version is never published under a newer one. What cannot be taken over is told. Deliberately absent: how files are added and published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{LinkMode, link, options};
use backlot_pep::{AssetName, PackageName, Version, VersionChange};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ImportError, Result};
use crate::files::add::AddFiles;
use crate::imports::folder_pattern::{Captured, FolderPattern};
use crate::project::new_asset::NewAsset;
use crate::project::output::Output;
use crate::releases::publish::PublishOptions;
use crate::workspace::problems::AssetProblem;
use crate::workspace::{Opened, absolute};

/// The tracked folder that files go to.
const FILES: &str = "files";

options! {
    /// Options for importing a tree of versions.
    #[derive(Default)]
    pub struct ImportFolder {
        /// The name of the asset, where the pattern has no `{name}`.
        pub name: Option<String>,
        /// The type of assets that are made.
        pub asset_type: Option<String>,
        /// The name of the tracked folder, `files` by default.
        pub folder: Option<String>,
        /// The repo, instead of the workspace's target.
        pub to: Option<String>,
        /// The remote for the files, instead of the default one.
        pub remote: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The report of an import.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FolderReport {
    /// The repo.
    pub repo: String,
    /// The assets, by name.
    pub assets: Vec<FolderAsset>,
    /// Paths that match no version.
    pub left_out: Vec<NotImported>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// An asset, and its versions in the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FolderAsset {
    /// Its name.
    pub name: String,
    /// Its package.
    pub package: PackageName,
    /// Whether it was made.
    pub made: bool,
    /// The versions, oldest first.
    pub releases: Vec<FolderRelease>,
    /// The problem that stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<AssetProblem>,
}

/// A version of the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FolderRelease {
    /// The version of the release.
    pub version: Version,
    /// The folders and files that it is of, relative to the tree.
    pub from: Vec<String>,
    /// Their files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its result.
    pub state: FolderReleaseState,
}

/// The result for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FolderReleaseState {
    /// It was published.
    Published,
    /// The repo had it.
    Already,
    /// A newer one is released, so it was left out.
    Older,
    /// It could not be published.
    Failed,
    /// One before it failed.
    NotReached,
}

/// A path that was not imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotImported {
    /// Relative to the tree.
    pub path: String,
    /// Why not, without a full stop.
    pub reason: String,
}

impl FolderReport {
    /// The failure of an import that could not publish everything; `None` if it could.
    pub fn failure(&self) -> Option<ImportError> {
        let problems: Vec<&AssetProblem> = self
            .assets
            .iter()
            .filter_map(|asset| asset.problem.as_ref())
            .collect();
        Some(ImportError::FolderIncomplete {
            class: problems.first()?.class,
            failed: problems
                .iter()
                .map(|problem| format!("{}: {}", problem.asset, problem.message))
                .collect(),
        })
    }
}

/// A version as it was found.
#[derive(Debug)]
struct Found {
    /// As the names have it.
    written: String,
    entries: Vec<Entry>,
}

/// A folder or file of a version.
#[derive(Debug)]
struct Entry {
    /// Relative to the tree.
    relative: String,
    path: PathBuf,
    /// What a file is called in the asset; a folder gives its content.
    file: Option<String>,
}

/// The versions of an asset.
#[derive(Debug)]
struct FoundAsset {
    name: AssetName,
    versions: BTreeMap<Version, Found>,
}

/// What is in a tree.
#[derive(Debug, Default)]
struct Tree {
    assets: BTreeMap<PackageName, FoundAsset>,
    left_out: Vec<NotImported>,
}

impl Opened {
    pub(crate) fn import_folder(
        &self,
        path: &Path,
        pattern: &str,
        options: &ImportFolder,
    ) -> Result<FolderReport> {
        let bad = |reason: String| ImportError::BadPattern {
            pattern: pattern.to_owned(),
            reason,
        };
        let read = FolderPattern::parse(pattern, options.name.is_some()).map_err(bad)?;
        let mut tree = Tree::default();
        let path = absolute(path)?;
        self.find_versions(&read, options, (&path, ""), (0, None), &mut tree)?;
        tree.left_out.sort_by(|a, b| a.path.cmp(&b.path));
        let mut report = FolderReport {
            repo: self.publish_target(options.to.as_deref())?.name.clone(),
            assets: Vec::new(),
            left_out: tree.left_out,
            dry_run: options.dry_run,
        };
        for found in tree.assets.values() {
            self.context().check()?;
            let mut asset = self.planned_asset(found, &report.repo)?;
            if !options.dry_run
                && asset.problem.is_none()
                && let Err(error) = self.publish_versions(found, &mut asset, options)
            {
                asset.note_failure(&error);
            }
            report.assets.push(asset);
        }
        Ok(report)
    }

    /// Find what fits in a folder: below it at `level`, with the name that was found above.
    fn find_versions(
        &self,
        pattern: &FolderPattern,
        options: &ImportFolder,
        (folder, relative): (&Path, &str),
        (level, name): (usize, Option<&str>),
        tree: &mut Tree,
    ) -> Result<()> {
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder)? {
            entries.push(entry?.path());
        }
        entries.sort();
        for path in entries {
            self.context().check()?;
            let file_name = path.file_name().unwrap_or_default();
            let inside = Path::new(relative).join(file_name);
            let inside = inside.display().to_string();
            let mut leave = |reason: &str| {
                tree.left_out.push(NotImported {
                    path: inside.clone(),
                    reason: reason.to_owned(),
                });
            };
            let Some(text) = file_name.to_str() else {
                leave("its name is not valid UTF-8");
                continue;
            };
            let Ok(found) = fs::metadata(&path) else {
                leave("a link to nothing");
                continue;
            };
            let Some(captured) = pattern.fit(level, text, found.is_file()) else {
                leave("its name does not fit the pattern");
                continue;
            };
            let name = captured.name.as_deref().or(name);
            if level + 1 < pattern.depth() {
                if found.is_dir() {
                    self.find_versions(pattern, options, (&path, &inside), (level + 1, name), tree)?;
                } else {
                    leave("not a folder");
                }
            } else {
                let name = name.or(options.name.as_deref()).unwrap_or_default();
                if let Err(reason) = tree.take_version(name, &captured, &path, &inside, text, &found) {
                    tree.left_out.push(NotImported { path: inside, reason });
                }
            }
        }
        Ok(())
    }

    /// What is to be done with an asset.
    fn planned_asset(&self, found: &FoundAsset, repo: &str) -> Result<FolderAsset> {
        let package = found.name.package();
        let output = self.output_if_any(&found.name)?;
        let known = self.known_releases(package, &mut BTreeSet::new());
        let released: BTreeSet<Version> = known
            .iter()
            .flat_map(|known| known.listing.files().map(|release| release.version.clone()))
            .collect();
        let here = known.iter().filter(|known| known.repo == repo);
        let here: BTreeSet<Version> = here
            .flat_map(|known| known.listing.files().map(|release| release.version.clone()))
            .collect();
        let mut releases = Vec::new();
        for (version, found) in &found.versions {
            let (files, bytes) = found.measure(self)?;
            let is_older = released.last().is_some_and(|newest| version <= newest);
            releases.push(FolderRelease {
                version: version.clone(),
                from: found.entries.iter().map(|entry| entry.relative.clone()).collect(),
                files,
                bytes,
                state: if here.contains(version) {
                    FolderReleaseState::Already
                } else if is_older {
                    FolderReleaseState::Older
                } else {
                    FolderReleaseState::Published
                },
            });
        }
        let is_to_do = releases
            .iter()
            .any(|one| one.state == FolderReleaseState::Published);
        let mut asset = FolderAsset {
            name: output
                .as_ref()
                .map_or_else(|| found.name.to_string(), |output| output.name.clone()),
            package: package.clone(),
            made: is_to_do && output.is_none(),
            releases,
            problem: None,
        };
        if asset.made && !released.is_empty() {
            // Its newest release is not here, so a next one would leave out what that has.
            asset.made = false;
            let unknown = self.output(asset.name.as_str()).err();
            if let Some(error) = unknown {
                asset.note_failure(&error);
            }
        }
        Ok(asset)
    }

    /// The output of a name, if there is one; an error if it cannot be read.
    fn output_if_any(&self, name: &AssetName) -> Result<Option<Output>> {
        let (outputs, unreadable) = self.read_outputs()?;
        let package = name.package();
        if let Some(output) = outputs.into_iter().find(|output| output.package() == *package) {
            return Ok(Some(output));
        }
        let folder = self.outputs_dir().join(name.module());
        match unreadable.into_iter().find(|one| one.path == folder) {
            Some(one) => Err(one.error),
            None => Ok(None),
        }
    }

    fn publish_versions(
        &self,
        found: &FoundAsset,
        asset: &mut FolderAsset,
        options: &ImportFolder,
    ) -> Result<()> {
        let to_do = |one: &FolderRelease| one.state == FolderReleaseState::Published;
        let Some(first) = asset
            .releases
            .iter()
            .find(|one| to_do(one))
            .map(|one| one.version.clone())
        else {
            return Ok(());
        };
        if asset.made {
            let new = NewAsset::default();
            let new = match &options.asset_type {
                Some(asset_type) => new.asset_type(asset_type.clone()),
                None => new,
            };
            self.new_asset(&asset.name, &new)?;
        }
        let known = self.known_releases(&asset.package, &mut BTreeSet::new());
        if known.iter().all(|known| known.listing.files().next().is_none()) {
            self.begin_at(&asset.name, &first)?;
        }
        for release in asset.releases.iter_mut().filter(|one| to_do(one)) {
            let Some(version) = found.versions.get(&release.version) else {
                continue;
            };
            self.context().check()?;
            self.publish_version(&asset.name, &release.version, version, options)
                .inspect_err(|_| release.state = FolderReleaseState::Failed)?;
        }
        Ok(())
    }

    /// Give an asset that was never released the version that it begins with, which may be lower than that of a new one.
    fn begin_at(&self, name: &str, version: &Version) -> Result<()> {
        let held = self.hold()?;
        let output = held.output_to_change(name)?;
        if output.project.metadata.version <= *version {
            return Ok(());
        }
        Self::write_version(&output, version, false)?;
        held.sync_editable(&Output::load(&output.project.root)?)
    }

    fn publish_version(
        &self,
        asset: &str,
        version: &Version,
        found: &Found,
        options: &ImportFolder,
    ) -> Result<()> {
        let stage = TemporaryFolder::absent_in(&self.state_dir());
        let source = match found.entries.as_slice() {
            [Entry { path, file: None, .. }] => path.clone(),
            entries => {
                stage_entries(entries, stage.path(), self)?;
                stage.path().to_path_buf()
            }
        };
        let folder = options.folder.clone().unwrap_or_else(|| FILES.to_owned());
        let add = AddFiles {
            asset: Some(asset.to_owned()),
            rename: Some(folder),
            ..AddFiles::default()
        };
        self.add(&[source], &add)?;
        let from: Vec<&str> = found
            .entries
            .iter()
            .map(|entry| entry.relative.as_str())
            .collect();
        let more = if from.len() > 3 { " and others" } else { "" };
        let from = from.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let publish = PublishOptions {
            to: options.to.clone(),
            remote: options.remote.clone(),
            message: Some(format!("imported from {from}{more}")),
            bump: Some(VersionChange::Exact(version.clone())),
            skip_existing: true,
            no_dirty: true,
            ..PublishOptions::default()
        };
        self.publish(asset, &publish)?;
        Ok(())
    }
}

impl FolderAsset {
    /// Note what stopped it.
    fn note_failure(&mut self, error: &Error) {
        self.problem = Some(AssetProblem::new(self.name.clone(), error));
        let has_failed = |one: &FolderRelease| one.state == FolderReleaseState::Failed;
        let from = self
            .releases
            .iter()
            .position(has_failed)
            .map_or(0, |failed| failed + 1);
        for release in self.releases.iter_mut().skip(from) {
            if release.state == FolderReleaseState::Published {
                release.state = FolderReleaseState::NotReached;
            }
        }
    }
}

impl Tree {
    /// Take a folder or file of a version; the error is why not.
    fn take_version(
        &mut self,
        name: &str,
        captured: &Captured,
        path: &Path,
        relative: &str,
        text: &str,
        metadata: &std::fs::Metadata,
    ) -> Result<(), String> {
        let name = AssetName::parse(name).map_err(|error| error.to_string())?;
        if crate::project::standard_library::has(name.module()) {
            return Err(format!(
                "`{}` is a module of Python, so no asset can be called so",
                name.module()
            ));
        }
        let version = captured.version()?;
        let file = metadata
            .is_file()
            .then(|| captured.without_version(text, name.as_str()));
        if file.is_none() && !has_files(path) {
            return Err("it has no files".to_owned());
        }
        let asset = self
            .assets
            .entry(name.package().clone())
            .or_insert_with(|| FoundAsset {
                name: name.clone(),
                versions: BTreeMap::new(),
            });
        let found = asset.versions.entry(version).or_insert_with(|| Found {
            written: captured.written(),
            entries: Vec::new(),
        });
        if found.written != captured.written() {
            let other = found
                .entries
                .first()
                .map_or("another", |entry| entry.relative.as_str());
            return Err(format!("the same version as {other}, written in another way"));
        }
        if let Some(same) = found.entries.iter().find(|entry| entry.file == file) {
            return Err(match &file {
                Some(file) => format!("it would be `{file}`, as {}", same.relative),
                None => format!("a second folder of the version, beside {}", same.relative),
            });
        }
        found.entries.push(Entry {
            relative: relative.to_owned(),
            path: path.to_path_buf(),
            file,
        });
        Ok(())
    }
}

impl Found {
    /// Its files and their bytes.
    fn measure(&self, opened: &Opened) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        let mut pending: Vec<PathBuf> = self.entries.iter().map(|entry| entry.path.clone()).collect();
        while let Some(path) = pending.pop() {
            opened.context().check()?;
            let found = fs::metadata(&path)?;
            if !found.is_dir() {
                files += 1;
                bytes += found.len();
                continue;
            }
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                // Links to folders inside are passed over by `add`.
                if !(entry.file_type()?.is_symlink() && entry.path().is_dir()) {
                    pending.push(entry.path());
                }
            }
        }
        Ok((files, bytes))
    }
}

/// Whether there is a file in or below a folder.
fn has_files(folder: &Path) -> bool {
    let mut pending = vec![folder.to_path_buf()];
    while let Some(folder) = pending.pop() {
        // What cannot be read is told by the `add`.
        let Ok(entries) = fs::read_dir(&folder) else {
            return true;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                _ => return true,
            }
        }
    }
    false
}

/// Put the files of a version, and the content of its folder, beside each other.
fn stage_entries(entries: &[Entry], stage: &Path, opened: &Opened) -> Result<()> {
    fs::create_dir_all(stage)?;
    // The folder first, so that a file of its name is an error and not lost.
    for entry in entries.iter().filter(|entry| entry.file.is_none()) {
        crate::files::adding::copy_tree(&entry.path, stage, opened)?;
    }
    let modes = [LinkMode::Reflink, LinkMode::Hardlink, LinkMode::Copy];
    for entry in entries {
        let Some(file) = &entry.file else { continue };
        let target = stage.join(file);
        if fs::symlink_metadata(&target).is_ok() {
            return Err(ImportError::BadSource {
                source_url: entry.path.display().to_string(),
                reason: format!("the folder of its version has a file `{file}`, too"),
            }
            .into());
        }
        let source = fs::canonicalize(&entry.path)?;
        link::place(&source, None, &target, &modes, true)?;
    }
    Ok(())
}
