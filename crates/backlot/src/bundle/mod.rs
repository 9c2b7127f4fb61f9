//! Bundles: releases with all they need in one folder or file, for places that no repo and no remote reaches.
//!
//! A bundle is made of what an install and a pull would give (the same choice, the same wheels, the same checkout), and it is
//! used in two ways: where there is no Backlot, `./activate` runs it as it lies; where there is, [`crate::Workspace::unbundle`] imports
//! its wheels and files.
//!
//! **Each file is stored once, in its place in the tree.** Objects in DVC's cache layout beside it would double a bundle, which
//! is mostly frames; links from the tree to them do not survive every disk and archive. The manifest says which content each
//! file of the tree is, and that is all that an import needs. Only the manifests of tracked folders, which are no file of
//! the tree, lie in `files/md5`. Wheels are there twice, packed and installed: the packed ones are what a repo takes, and small.
//!
//! Invariants: only releases are bundled; a bundle appears whole or not at all, with all files of its releases, each proven;
//! the same releases on the same platform give the same bytes. So it does not say who made it or when, and it has no setting,
//! address or path of this machine. Deliberately absent: conda packages and interpreters; approvals and yanks of repos.

mod archive;
mod launch;
mod manifest;
mod open;
mod tree;
mod unbundle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::file::{self, TemporaryFolder};
use backlot_core::options;
use backlot_core::{Class, Diagnostic as _, LinkMode, Operation, RelPath, platform};
use backlot_dvc::{CheckoutOptions, TrackedPointer};
use backlot_pep::{PackageName, Requirement};
use backlot_store::{Cache, FileDigests, ObjectId, StatCache};
use backlot_wheel::WheelName;
use fs_err as fs;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use manifest::{BundleFile, BundleManifest, BundlePlatform, BundledPackage};
pub use unbundle::{UnbundleOptions, UnbundleReport, UnbundledFiles, UnbundledPackage, UnbundledState};

use self::manifest::{FILE_NAME, LOCK};
use self::tree::{TREE, TrackedRelease, Tree};
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::pylock::Pylock;
use crate::environment::resolve_request::{ResolveRequest, Upgrade};
use crate::error::{BundleError, Error, OutsError, Result};
use crate::files::moved::MoveReport;
use crate::files::pins::by_pin;
use crate::workspace::{Opened, absolute};

/// Endings of archives that a bundle is not.
const OTHER_ENDINGS: [&str; 6] = [".tar", ".zip", ".gz", ".tgz", ".xz", ".zst"];

options! {
    /// How to make a bundle.
    #[derive(Default)]
    pub struct BundleOptions {
        /// The bundle: a file that ends in `.tar.zst`, or a folder, which must be new or empty.
        pub output: PathBuf,
        /// Prefer this repo to all others.
        pub from: Option<String>,
        /// Where the files are, instead of the default remote.
        pub remote: Option<String>,
        /// Make nothing.
        pub dry_run: bool,
    }
}

/// A bundle that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleReport {
    /// Where it is.
    pub output: PathBuf,
    /// Whether it is one file.
    pub archive: bool,
    /// The releases in it, sorted by name.
    pub packages: Vec<BundledPackage>,
    /// The Python that versions were chosen for.
    pub python: String,
    /// Where it runs, if not everywhere.
    pub platform: Option<BundlePlatform>,
    /// How many tracked files it has.
    pub files: u64,
    /// Their bytes, as far as a dry run knows.
    pub file_bytes: u64,
    /// The fetched files.
    pub fetched: MoveReport,
    /// Bytes of the bundle: of the file, or of all files in the folder. None in a dry run.
    pub size: Option<u64>,
    /// Whether nothing was made.
    pub dry_run: bool,
}

/// Where a bundle goes.
enum Target {
    Archive(PathBuf),
    Folder(PathBuf),
}

impl Target {
    fn of(path: PathBuf) -> Result<Self> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(archive::ENDING) {
            if fs::symlink_metadata(&path).is_ok() {
                return Err(BundleError::Exists { path, folder: false }.into());
            }
            return Ok(Self::Archive(path));
        }
        if let Some(ending) = OTHER_ENDINGS.into_iter().find(|ending| name.ends_with(ending)) {
            return Err(BundleError::UnknownKind { path, ending }.into());
        }
        let is_free = match fs::symlink_metadata(&path) {
            Ok(found) => found.is_dir() && fs::read_dir(&path)?.next().is_none(),
            Err(_) => true,
        };
        if is_free {
            Ok(Self::Folder(path))
        } else {
            Err(BundleError::Exists { path, folder: true }.into())
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Archive(path) | Self::Folder(path) => path,
        }
    }
}

impl Opened {
    pub(crate) fn bundle(&self, requirements: &[String], options: &BundleOptions) -> Result<BundleReport> {
        let target = Target::of(absolute(&options.output)?)?;
        let lock = self.lock_of_bundle(requirements, options)?;
        let parent = match &target {
            // On the disk of the cache, so that its files are linked and not copied.
            Target::Archive(_) => self.work_folder(),
            Target::Folder(_) if options.dry_run => self.work_folder(),
            // Beside its place, so that it gets there by a rename.
            Target::Folder(path) => path.parent().unwrap_or(Path::new(".")).to_path_buf(),
        };
        let stage = TemporaryFolder::in_folder(&parent)?;
        let folder = stage.path().join("bundle");
        let wheels = self.fetch_bundled(&lock, &folder, stage.path())?;
        let tree = self.install_tree(&wheels, &folder.join(TREE), &stage.path().join("unpacked"))?;
        let mut report = report_of(&lock, &tree, &wheels, &target)?;
        if options.dry_run {
            self.plan_bundled_files(
                &lock,
                &tree,
                options.remote.as_deref(),
                (stage.path(), &mut report),
            )?;
            report.dry_run = true;
            return Ok(report);
        }
        let cache = self.cache()?;
        let remote = options.remote.as_deref();
        self.fetch_bundled_files(&lock, &tree, remote, (&cache, &mut report.fetched))?;
        let links: &[LinkMode] = match target {
            Target::Archive(_) => &[LinkMode::Reflink, LinkMode::Hardlink, LinkMode::Copy],
            // Edits must never reach the cache.
            Target::Folder(_) => &[LinkMode::Reflink, LinkMode::Copy],
        };
        let stat = StatCache::open(&stage.path().join("state.db"))?.beside(&cache);
        let checkout = CheckoutOptions {
            links,
            ..CheckoutOptions::default()
        };
        backlot_dvc::checkout(&tree.pointers(), &cache, &stat, &checkout, self.context())?;
        launch::write(&folder, &tree, &lock.python, report.platform.is_some())?;
        let manifest = self.describe_bundle(&lock, &tree, &cache, &folder, &mut report)?;
        let text = manifest.to_bytes()?;
        report.size = Some(match &target {
            Target::Archive(path) => archive::write(&folder, &manifest, &text, path, self.context())?,
            Target::Folder(path) => {
                fs::write(folder.join(FILE_NAME), &text)?;
                file::sync_disk_of(&folder)?;
                self.context().check()?;
                file::rename(&folder, path)?;
                file::sync_folder(&parent)?;
                manifest.total() + text.len() as u64
            }
        });
        Ok(report)
    }

    /// The folder for work in progress on the disk of the cache.
    fn work_folder(&self) -> PathBuf {
        self.cache_dir().join("tmp")
    }

    /// The releases of a bundle: chosen as an install would, or those of the lock.
    fn lock_of_bundle(&self, requirements: &[String], options: &BundleOptions) -> Result<Lock> {
        let old = Lock::load(self.root())?;
        if requirements.is_empty() {
            if old.as_ref().is_none_or(|lock| lock.packages.is_empty()) {
                return Err(BundleError::Nothing.into());
            }
            let lock = Self::locked_as_is(old.as_ref(), &self.config().inputs)?;
            if let Some(package) = lock.packages.iter().find(|p| p.editable.is_some()) {
                return Err(BundleError::Editable {
                    name: package.name.clone(),
                    path: package.editable.clone().unwrap_or_default(),
                }
                .into());
            }
            if !lock.conda.is_empty() {
                self.context().warn(
                    "bundle::without_conda",
                    "conda packages of this workspace are not in the bundle and have to be installed separately",
                );
            }
            self.warn_used(&lock, true)?;
            return Ok(lock);
        }
        let outputs = self.shown_outputs()?;
        let mut inputs: Vec<Requirement> = Vec::new();
        for text in requirements {
            let requirement = self.parse_requirement(text)?;
            let output = outputs.iter().find(|o| o.package() == *requirement.name());
            let is_pinned = requirement.specifiers().pinned().is_some() || requirement.url().is_some();
            if let Some(output) = output.filter(|_| !is_pinned) {
                return Err(BundleError::Editable {
                    name: output.package(),
                    path: self.display_path(&output.project.root),
                }
                .into());
            }
            inputs.retain(|other| other.name() != requirement.name());
            inputs.push(requirement);
        }
        let wish = ResolveRequest {
            inputs,
            prefer: options.from.clone(),
            upgrade: Upgrade::Packages(Vec::new()),
            ..ResolveRequest::default()
        };
        let lock = self.choose(&wish, &[], old.as_ref())?;
        for package in lock.packages.iter().filter(|package| !package.requested) {
            if let Some(output) = outputs.iter().find(|output| output.package() == package.name) {
                let (name, version) = (&package.name, &package.version);
                let message = format!(
                    "{name} is the output `{}` here; the bundle contains its release {version}",
                    self.display_path(&output.project.root)
                );
                self.context().warn("bundle::output_left_out", message);
            }
        }
        self.warn_used(&lock, true)?;
        Ok(lock)
    }

    /// Bring the wheels of a lock into the folder of a bundle. Returned with packages that name no repo and no URL.
    fn fetch_bundled(
        &self,
        lock: &Lock,
        folder: &Path,
        stage: &Path,
    ) -> Result<Vec<(LockedPackage, PathBuf)>> {
        let wheels = folder.join("wheels");
        fs::create_dir_all(&wheels)?;
        let running = self
            .context()
            .start(Operation::Pull, lock.packages.len() as u64, 0);
        self.prefetch_wheels(&lock.packages.iter().collect::<Vec<_>>())?;
        let fetch = |(number, package): (usize, &LockedPackage)| {
            self.context().check()?;
            let aside = stage.join(format!("fetched-{number}"));
            fs::create_dir(&aside)?;
            let fetched = self.fetch_wheel(package, &aside)?;
            let name = fetched.file_name().unwrap_or_default();
            let wheel = wheels.join(name);
            file::rename(&fetched, &wheel)?;
            let bundled = LockedPackage {
                wheel: Some(name.to_string_lossy().into_owned()),
                sdist: None,
                sha256: Some(backlot_wheel::wheel_sha256(&wheel)?.0),
                repo: None,
                url: None,
                ..package.clone()
            };
            running.advance(1, 0);
            Ok((bundled, wheel))
        };
        let all = || lock.packages.par_iter().enumerate().map(fetch).collect();
        self.context().pool().install(all)
    }

    /// Bring the tracked files of a tree into the cache. An error names the release that lacks some.
    fn fetch_bundled_files(
        &self,
        lock: &Lock,
        tree: &Tree,
        remote: Option<&str>,
        (cache, report): (&Cache, &mut MoveReport),
    ) -> Result<()> {
        for release in &tree.tracked {
            let files = std::slice::from_ref(&release.files);
            let mut proven = BTreeMap::new();
            self.fetch_tracked(files, remote, cache, (&mut *report, &mut proven))
                .map_err(|error| missing(release, self.with_dropped_in(lock, error, files)))?;
        }
        Ok(())
    }

    /// Count what would be fetched, and see that all of it is there.
    fn plan_bundled_files(
        &self,
        lock: &Lock,
        tree: &Tree,
        remote: Option<&str>,
        (stage, report): (&Path, &mut BundleReport),
    ) -> Result<()> {
        let (cache, context) = (self.cache()?, self.context());
        let aside = Cache::open(&stage.join("manifests"))?;
        report.fetched.dry_run = true;
        for release in &tree.tracked {
            let planned = || -> Result<(u64, u64)> {
                let mut counts = (0, 0);
                let pointers: Vec<TrackedPointer> = release.files.pointers.iter().map(promised).collect();
                for (pin, pointers) in by_pin(&pointers.iter().collect::<Vec<_>>()) {
                    let of_pin: Vec<&TrackedPointer> = pointers.iter().collect();
                    if backlot_dvc::all_cached(&of_pin, &cache)? {
                        continue;
                    }
                    let entry = match &pin {
                        Some(pin) => self.pinned(pin, &pointers)?,
                        None => self.remote_entry(remote, "bundling files")?,
                    };
                    let opened = self.open_remote(entry)?;
                    let (lacking, _) = backlot_dvc::lacking_manifests(&of_pin, &cache)?;
                    let manifests = opened.pull(&aside, &lacking, context)?;
                    counts.0 += manifests.objects;
                    counts.1 += manifests.bytes;
                    let (wanted, _) = backlot_dvc::plan_fetch(&of_pin, &cache, &aside)?;
                    let known = opened.known_files(&wanted, context)?;
                    let lost = wanted.iter().zip(&known).filter(|(_, known)| known.is_none());
                    let lost: Vec<ObjectId> = lost.map(|(id, _)| *id).collect();
                    if !lost.is_empty() {
                        return Err(backlot_store::Error::Missing {
                            objects: lost,
                            place: opened.place(),
                        }
                        .into());
                    }
                    counts.0 += wanted.len() as u64;
                    counts.1 += known.iter().flatten().map(|known| known.size).sum::<u64>();
                }
                Ok(counts)
            };
            let (objects, bytes) = planned().map_err(|error| {
                let files = std::slice::from_ref(&release.files);
                missing(release, self.with_dropped_in(lock, error, files))
            })?;
            report.fetched.objects += objects;
            report.fetched.bytes += bytes;
        }
        Ok(())
    }

    /// Write the lock and the manifests of folders, and list all that the folder of a bundle has.
    fn describe_bundle(
        &self,
        lock: &Lock,
        tree: &Tree,
        cache: &Cache,
        folder: &Path,
        report: &mut BundleReport,
    ) -> Result<BundleManifest> {
        let (contents, manifests) = tree.contents(cache)?;
        for id in &manifests {
            let path = folder.join(id.key());
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, cache.read(id)?)?;
        }
        let requirements = requirements_of(lock)?;
        let mut manifest = BundleManifest::new(lock.python.clone(), requirements.clone());
        let packages = report.packages.iter().zip(&lock.packages);
        let packages = packages.map(|(bundled, locked)| LockedPackage {
            groups: locked.groups.clone(),
            needs: locked.needs.clone(),
            ..bundled.locked()
        });
        let bundled = Lock::new(lock.python.clone(), requirements, packages.collect());
        let sizes = report.packages.iter().map(|p| (p.name.clone(), p.size)).collect();
        let text = format!(
            "# The exact releases of this bundle (PEP 751), written by `backlot bundle`.\n{}",
            Pylock::of_bundle(&bundled, &sizes).to_text()
        );
        fs::write(folder.join(LOCK), text)?;
        let mut objects: BTreeMap<PathBuf, ObjectId> = contents.clone();
        objects.extend(manifests.into_iter().map(|id| (folder.join(id.key()), id)));
        let digests = tree::digests_of(cache, objects.values().copied().collect())?;
        let objects = objects.into_iter().map(|(path, id)| (path, (id, digests[&id])));
        manifest.files = self.list_files(folder, &objects.collect())?;
        report.files = contents.len() as u64;
        report.file_bytes = contents.values().map(|id| digests[id].size).sum();
        let ranges = tree
            .dists
            .iter()
            .filter_map(|dist| dist.metadata.requires_python.as_ref());
        let ranges: BTreeSet<String> = ranges.map(ToString::to_string).collect();
        manifest.requires_python = ranges.into_iter().collect();
        manifest.platform.clone_from(&report.platform);
        manifest.packages.clone_from(&report.packages);
        Ok(manifest)
    }

    /// All files of a folder with their digests, sorted by path.
    fn list_files(
        &self,
        folder: &Path,
        objects: &BTreeMap<PathBuf, (ObjectId, FileDigests)>,
    ) -> Result<Vec<BundleFile>> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(next) = folders.pop() {
            self.context().check()?;
            for entry in fs::read_dir(&next)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        let running = self.context().start(Operation::Verify, found.len() as u64, 0);
        let list = |path: &PathBuf| -> Result<BundleFile> {
            self.context().check()?;
            let (sha256, size) = backlot_wheel::wheel_sha256(path)?;
            let object = objects.get(path);
            if object.is_some_and(|(_, digests)| digests.size != size) {
                return Err(backlot_store::Error::Changing { path: path.clone() }.into());
            }
            let inside = path.strip_prefix(folder).unwrap_or(path);
            running.advance(1, size);
            Ok(BundleFile {
                path: RelPath::from_path(inside)?,
                size,
                sha256,
                executable: is_executable(path)?,
                md5: object.map(|(id, _)| *id),
                blake3: object.map(|(_, digests)| digests.blake3),
            })
        };
        let all = || found.par_iter().map(list).collect::<Result<_>>();
        let mut files: Vec<BundleFile> = self.context().pool().install(all)?;
        files.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        Ok(files)
    }
}

/// A pointer with only what its publisher promised to be on a remote.
fn promised(pointer: &TrackedPointer) -> TrackedPointer {
    let mut pointer = pointer.clone();
    pointer.pointer.outs.retain(|out| out.push);
    pointer
}

/// The error for a release whose files are nowhere; what is not known to be missing stays what it is.
fn missing(release: &TrackedRelease, error: Error) -> Error {
    let is_dropped = matches!(error, Error::Outs(OutsError::FilesDropped { .. }));
    if is_dropped || !matches!(error.class(), Class::NotFound | Class::Config) {
        return error;
    }
    BundleError::FilesMissing {
        release: release.label.clone(),
        source: Box::new(error),
    }
    .into()
}

/// What was asked for, where a URL is of no use: the wheel is in the bundle.
fn requirements_of(lock: &Lock) -> Result<Vec<String>> {
    let mut requirements = Vec::new();
    for text in &lock.requirements {
        let requirement = Requirement::parse(text)?;
        let version = lock.package(requirement.name()).map(|package| &package.version);
        requirements.push(match (requirement.url(), version) {
            (Some(_), Some(version)) => format!("{}=={version}", requirement.name()),
            _ => text.clone(),
        });
    }
    requirements.sort();
    Ok(requirements)
}

/// What is known before files are fetched.
fn report_of(
    lock: &Lock,
    tree: &Tree,
    wheels: &[(LockedPackage, PathBuf)],
    target: &Target,
) -> Result<BundleReport> {
    let mut tags = BTreeSet::new();
    let assets: BTreeMap<PackageName, &str> = tree
        .dists
        .iter()
        .filter_map(|dist| Some((dist.metadata.package(), dist.asset.as_ref()?.name.as_str())))
        .collect();
    let mut packages = Vec::new();
    for (package, path) in wheels {
        let (sha256, size) = backlot_wheel::wheel_sha256(path)?;
        let wheel = package.wheel.clone().unwrap_or_default();
        let name: WheelName = wheel.parse()?;
        if !name.is_pure() {
            tags.insert(format!("{}-{}-{}", name.python(), name.abi(), name.platform()));
        }
        packages.push(BundledPackage {
            asset: assets.get(&package.name).map(|name| (*name).to_owned()),
            name: package.name.clone(),
            version: package.version.clone(),
            wheel,
            sha256,
            size,
            requested: package.requested,
        });
    }
    let outs = tree
        .pointers()
        .into_iter()
        .flat_map(|pointer| &pointer.pointer.outs);
    Ok(BundleReport {
        output: target.path().to_path_buf(),
        archive: matches!(target, Target::Archive(_)),
        packages,
        python: lock.python.clone(),
        platform: (!tags.is_empty()).then(|| BundlePlatform {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            tags: tags.into_iter().collect(),
        }),
        files: tree.tracked.iter().map(|release| release.files.files()).sum(),
        file_bytes: outs.filter(|out| out.cache).filter_map(|out| out.size).sum(),
        fetched: MoveReport::default(),
        size: None,
        dry_run: false,
    })
}

fn is_executable(path: &Path) -> Result<bool> {
    Ok(platform::is_executable(&fs::metadata(path)?))
}

#[cfg(test)]
mod tests {
    use super::{PackageName, requirements_of};
    use crate::environment::lockfile::{Lock, LockedPackage};

    #[test]
    fn a_url_becomes_the_version_that_it_had() {
        let name = PackageName::parse("rug").expect("a name");
        let version = "1.0".parse().expect("a version");
        let lock = Lock::new(
            "3.11".to_owned(),
            vec![
                "rug @ https://host/rug-1.0-py3-none-any.whl".to_owned(),
                "table<2".to_owned(),
            ],
            vec![LockedPackage::new(name, version)],
        );
        assert_eq!(requirements_of(&lock).expect("read"), ["rug==1.0", "table<2"]);
    }
}
