//! Importing a bundle: its files into the cache, and its releases into this workspace or a repo.
//!
//! Order, so that a kill anywhere is harmless and a rerun goes on: the bundle is copied and checked, then its files go into the
//! cache, then to a remote, then its wheels into a repo, what is needed first. Invariants: nothing of a bundle is used before
//! all of it is checked; a release gets into a repo after its files are on a remote, as in a publish; what a wheel needs is
//! learnt from the wheel, not from what the bundle says of it. No repo but the one that is written to is asked for anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::options;
use backlot_core::{LinkMode, Sha256, shared};
use backlot_dvc::{Manifest, TrackedPointer};
use backlot_pep::{PackageName, Version};
use backlot_repo::{Checked, ReleaseFile, Repo};
use backlot_store::{Cache, ObjectId, StatCache, add_files};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::manifest::BundleFile;
use super::open::OpenBundle;
use super::promised;
use super::tree::Tree;
use crate::environment::install::{InstallReport, editable_in_the_way};
use crate::error::{BundleError, Result, WorkspaceError};
use crate::files::moved::MoveReport;
use crate::files::references::files_in_public;
use crate::files::tracked::Tracked;
use crate::releases::copy::{dependencies_first, other_bytes};
use crate::workspace::config::RepoEntry;
use crate::workspace::{Opened, absolute};

/// The repo of a workspace that holds what was imported into it, and its folder.
const OWN_REPO: &str = "bundles";

/// The most bytes of a manifest of a tracked folder.
const MAX_FOLDER: u64 = 1 << 30;

options! {
    /// How to import a bundle.
    #[derive(Default)]
    pub struct UnbundleOptions {
        /// Publish its releases to this repo, instead of installing them in this workspace.
        pub into_repo: Option<String>,
        /// Send its files to this remote. With a repo and without a name, to the default one.
        pub push: Option<String>,
        /// Why, for the record of the repo.
        pub message: Option<String>,
        /// Check the bundle and report, without changing anything.
        pub dry_run: bool,
    }
}

/// The outcome of a release of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnbundledState {
    /// It was imported, or would be.
    Imported,
    /// It was there already, with the same bytes.
    There,
    /// Only its files were requested.
    Left,
}

/// A release of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnbundledPackage {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The wheel's file name.
    pub wheel: String,
    /// Its digest.
    pub sha256: Sha256,
    /// The outcome.
    pub state: UnbundledState,
}

/// Objects that were imported.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnbundledFiles {
    /// How many the bundle has: contents, and manifests of folders.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were new to the cache, or would be.
    pub new: u64,
}

/// A bundle that was imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnbundleReport {
    /// The bundle.
    pub bundle: PathBuf,
    /// Its releases, sorted by name.
    pub packages: Vec<UnbundledPackage>,
    /// The repo they went to.
    pub repo: Option<String>,
    /// Its files.
    pub files: UnbundledFiles,
    /// The files sent to a remote.
    pub pushed: Option<MoveReport>,
    /// The installed packages.
    pub installed: Option<InstallReport>,
    /// The placed files.
    pub pulled: Option<MoveReport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A bundle being imported: checked, with what its wheels need.
struct Import<'a> {
    bundle: OpenBundle,
    tree: Tree,
    options: &'a UnbundleOptions,
}

impl Opened {
    pub(crate) fn unbundle(&mut self, bundle: &Path, options: &UnbundleOptions) -> Result<UnbundleReport> {
        let path = absolute(bundle)?;
        let stage = shared::temporary_folder(&self.work_folder(), 1)?;
        let bundle = OpenBundle::copy(&path, &stage.path().join("bundle"), self.context())?;
        let (root, aside) = (stage.path().join("tree"), stage.path().join("unpacked"));
        let tree = self.install_tree(&bundle.wheels(), &root, &aside)?;
        let import = Import {
            bundle,
            tree,
            options,
        };
        let mut report = UnbundleReport {
            bundle: path,
            packages: Vec::new(),
            repo: None,
            files: import.files(&self.cache()?)?,
            pushed: None,
            installed: None,
            pulled: None,
            dry_run: options.dry_run,
        };
        self.warn_of_bundled(&import)?;
        let state = stage.path().join("state.db");
        match (&options.into_repo, &options.push) {
            (Some(name), _) => self.unbundle_into_repo(&import, name, &state, &mut report)?,
            (None, Some(_)) => {
                report.packages = import.packages(&BTreeMap::new(), UnbundledState::Left);
                self.import_files(&import, &state)?;
                report.pushed = self.push_unbundled(&import)?;
            }
            (None, None) => self.unbundle_here(&import, &state, &mut report)?,
        }
        Ok(report)
    }

    /// Warn of releases of a bundle that a repo of this workspace knows to be yanked or deprecated: the bundle itself says
    /// nothing of that. What cannot be looked up is passed over; behind a URL only the repo is asked that it goes to.
    fn warn_of_bundled(&self, import: &Import<'_>) -> Result<()> {
        let quiet = self.context().clone().silent();
        let into = import.options.into_repo.as_deref();
        for entry in self.repos() {
            let is_target = into == Some(entry.name.as_str());
            // What was imported before is installed from there, and warned about then.
            let is_asked = !entry.is_remote() && entry.name != OWN_REPO;
            let Some(repo) = self.open_repo(entry).ok().filter(|_| is_target || is_asked) else {
                continue;
            };
            for package in &import.bundle.manifest.packages {
                self.context().check()?;
                let Ok(listing) = repo.listing(&package.name, &quiet) else {
                    continue;
                };
                let same = |file: &&ReleaseFile| {
                    file.version == package.version && file.sha256 == Some(package.sha256)
                };
                if let Some(release) = listing.files().find(same) {
                    self.warn_judged(release, &entry.name, || Ok(repo.status(release)?))?;
                }
            }
        }
        Ok(())
    }

    fn unbundle_into_repo(
        &self,
        import: &Import<'_>,
        name: &str,
        state: &Path,
        report: &mut UnbundleReport,
    ) -> Result<()> {
        let repo = self.open_repo(self.repo_entry(name)?)?;
        if let Some(release) = import.tree.tracked.first().filter(|_| repo.is_public()) {
            let packages = &import.bundle.manifest.packages;
            let found = packages.iter().find(|package| package.name == release.package);
            if let Some(package) = found {
                return Err(files_in_public(&package.name, &package.version, &repo));
            }
        }
        let states = self.plan_releases(import, &repo)?;
        report.packages = import.packages(&states, UnbundledState::Imported);
        report.repo = Some(name.to_owned());
        self.import_files(import, state)?;
        report.pushed = self.push_unbundled(import)?;
        if import.options.dry_run {
            return Ok(());
        }
        let tracked = import.tracked();
        if !tracked.is_empty() {
            self.note_user_on_all(&repo, &tracked, import.options.push.as_deref())?;
        }
        self.publish_unbundled(import, &repo, &states)
    }

    /// Put the releases into a repo of this workspace's own, and install them as the bundle's lock says.
    fn unbundle_here(
        &mut self,
        import: &Import<'_>,
        state: &Path,
        report: &mut UnbundleReport,
    ) -> Result<()> {
        self.refresh()?;
        let has = |name: &PackageName| import.bundle.manifest.packages.iter().any(|p| p.name == *name);
        let inputs = self.config().inputs.iter().map(|r| r.name().clone());
        let others: Vec<PackageName> = inputs.filter(|name| !has(name)).collect();
        if !others.is_empty() {
            return Err(BundleError::OtherInputs {
                names: others,
                bundle: import.bundle.path.clone(),
            }
            .into());
        }
        for output in &self.shown_outputs()? {
            let mut packages = import.bundle.manifest.packages.iter();
            if let Some(package) = packages.find(|package| package.name == output.package()) {
                let requirement = format!("{}=={}", package.name, package.version);
                return Err(editable_in_the_way(output, requirement).into());
            }
        }
        self.check_pylock(&import.bundle.lock())?;
        self.check_own_repo()?;
        if import.options.dry_run {
            let states = match self.repo_entry(OWN_REPO) {
                Ok(entry) => self.plan_releases(import, &self.open_repo(entry)?)?,
                Err(_) => BTreeMap::new(),
            };
            report.packages = import.packages(&states, UnbundledState::Imported);
            return Ok(());
        }
        self.import_files(import, state)?;
        self.make_own_repo()?;
        let repo = self.open_repo(self.repo_entry(OWN_REPO)?)?;
        let states = self.plan_releases(import, &repo)?;
        report.packages = import.packages(&states, UnbundledState::Imported);
        report.repo = Some(OWN_REPO.to_owned());
        self.publish_unbundled(import, &repo, &states)?;
        let lock = import.bundle.lock();
        let install = |workspace: &mut Self| workspace.install_pylock(&lock, Some(OWN_REPO), false);
        report.installed = Some(self.change(false, install)?);
        let names = import
            .tree
            .tracked
            .iter()
            .map(|release| release.files.name.clone());
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            report.pulled = Some(self.pull(&names, None, false, false)?);
        }
        Ok(())
    }

    /// Whether each release is in a repo already. An error if one is there with other bytes.
    fn plan_releases(
        &self,
        import: &Import<'_>,
        repo: &Repo,
    ) -> Result<BTreeMap<PackageName, UnbundledState>> {
        let mut states = BTreeMap::new();
        for package in &import.bundle.manifest.packages {
            self.context().check()?;
            repo.check_admits(&package.name)?;
            let mut there = repo.own_files(&package.name, self.context())?;
            there.retain(|file| file.version == package.version);
            let mut state = UnbundledState::Imported;
            for file in &there {
                if repo.digest(file)? == package.sha256 {
                    state = UnbundledState::There;
                }
            }
            if state == UnbundledState::Imported && !there.is_empty() {
                return Err(other_bytes(repo, &package.name, &package.version, &there)?);
            }
            states.insert(package.name.clone(), state);
        }
        Ok(states)
    }

    /// Add the releases that a repo does not have, requirements first.
    fn publish_unbundled(
        &self,
        import: &Import<'_>,
        repo: &Repo,
        states: &BTreeMap<PackageName, UnbundledState>,
    ) -> Result<()> {
        let reason = import
            .options
            .message
            .as_deref()
            .unwrap_or("imported from a bundle");
        let by = self.publication(Some(reason));
        let wheels: BTreeMap<PackageName, (Sha256, PathBuf)> = import
            .bundle
            .wheels()
            .into_iter()
            .filter_map(|(package, path)| Some((package.name, (package.sha256?, path))))
            .collect();
        let needs = import.needs();
        let mut there = Vec::new();
        for name in dependencies_first(&needs, needs.keys()) {
            self.context().check()?;
            let Some((sha256, wheel)) = wheels.get(&name) else {
                continue;
            };
            if states.get(&name) == Some(&UnbundledState::There) {
                there.push(name);
                continue;
            }
            let checked = Checked::part(wheel, std::slice::from_ref(sha256), self.context())?;
            match repo.publish(&checked, &by, self.context()) {
                // Another process imported the same at the same time.
                Ok(()) | Err(backlot_repo::Error::ReleaseExists { identical: true, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(repo.complete(&there, self.context())?)
    }

    /// Put the files of a bundle into the cache. An error if they are not what their names say, or if a wheel needs others.
    fn import_files(&self, import: &Import<'_>, state: &Path) -> Result<()> {
        if import.options.dry_run {
            return Ok(());
        }
        let (cache, context) = (self.cache()?, self.context());
        let wrong = |file: &BundleFile| BundleError::Damaged {
            path: import.bundle.path.clone(),
            file: file.path.to_string(),
            reason: "does not match its manifest".to_owned(),
        };
        let objects = import.bundle.manifest.objects();
        let (trees, files): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(id, _)| id.tree);
        let paths: Vec<PathBuf> = files.iter().map(|(_, file)| import.bundle.file(file)).collect();
        let stat = StatCache::open(state)?;
        // The copy is ours and goes away: what is new to the cache is moved there.
        let links = [LinkMode::Hardlink, LinkMode::Copy];
        let added = add_files(&cache, &stat, &paths, &links, context)?;
        for ((id, file), added) in files.iter().zip(&added) {
            if added.digests.md5 != id.md5 || Some(added.digests.blake3) != file.blake3 {
                return Err(wrong(file).into());
            }
        }
        for (id, file) in trees {
            if file.size > MAX_FOLDER {
                return Err(wrong(file).into());
            }
            let bytes = fs::read(import.bundle.file(file))?;
            let digests = backlot_store::digest_bytes(&bytes);
            if digests.md5 != id.md5 || Some(digests.blake3) != file.blake3 {
                return Err(wrong(file).into());
            }
            Manifest::parse(&id.to_string(), &bytes)?;
            cache.insert_bytes(&bytes, true)?;
        }
        for release in &import.tree.tracked {
            let pointers: Vec<TrackedPointer> = release.files.pointers.iter().map(promised).collect();
            if !backlot_dvc::all_cached(&pointers.iter().collect::<Vec<_>>(), &cache)? {
                let reason = format!("files of {} are missing", release.label);
                return Err(import.bundle.invalid(reason));
            }
        }
        Ok(())
    }

    /// Send the files that the wheels need to a remote; `None` if they need none.
    fn push_unbundled(&self, import: &Import<'_>) -> Result<Option<MoveReport>> {
        let tracked = import.tracked();
        if tracked.is_empty() {
            return Ok(None);
        }
        let remote = import.options.push.as_deref();
        if !import.options.dry_run {
            let pushed = self.push_tracked(&tracked, remote, backlot_dvc::EarlyUpload::default(), false)?;
            return Ok(Some(pushed));
        }
        let entry = self.remote_entry(remote, "importing files")?;
        let objects = import.bundle.manifest.objects();
        let ids: Vec<ObjectId> = objects.keys().copied().collect();
        let there = self.open_remote(entry)?.exists_many(&ids, self.context())?;
        let mut report = MoveReport::of(&tracked);
        report.dry_run = true;
        report.name_remote(&entry.name);
        for (file, there) in objects.values().zip(there) {
            if there {
                report.already_there += 1;
            } else {
                report.objects += 1;
                report.bytes += file.size;
            }
        }
        Ok(Some(report))
    }

    /// An error if another repo has the name of the one for bundles.
    fn check_own_repo(&self) -> Result<()> {
        match self.config().repos.iter().find(|repo| repo.name == OWN_REPO) {
            Some(entry) if entry.place != OWN_REPO => Err(WorkspaceError::NameTaken {
                what: "repo",
                name: OWN_REPO.to_owned(),
                existing: entry.place.clone(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Make the repo for bundles. It is neither preferred nor published to.
    fn make_own_repo(&mut self) -> Result<()> {
        self.change(false, |workspace| {
            workspace.check_own_repo()?;
            if workspace.repo_entry(OWN_REPO).is_ok() {
                return Ok(());
            }
            let mut entry = RepoEntry {
                name: OWN_REPO.to_owned(),
                place: OWN_REPO.to_owned(),
                upload: None,
                store: backlot_backend::StoreOptions::default(),
                public: None,
                id: None,
                checks: None,
            };
            entry.id = workspace.make_repo(&entry, false)?.1;
            workspace.config.add_repo(entry);
            workspace.config.save()
        })
    }
}

impl Import<'_> {
    fn tracked(&self) -> Vec<Tracked> {
        let releases = self.tree.tracked.iter();
        let tracked = releases.map(|release| Tracked {
            name: release.files.name.clone(),
            pointers: release.files.pointers.clone(),
            installed: true,
        });
        tracked.collect()
    }

    fn packages(
        &self,
        states: &BTreeMap<PackageName, UnbundledState>,
        otherwise: UnbundledState,
    ) -> Vec<UnbundledPackage> {
        let packages = self.bundle.manifest.packages.iter();
        let packages = packages.map(|package| UnbundledPackage {
            state: states.get(&package.name).copied().unwrap_or(otherwise),
            name: package.name.clone(),
            version: package.version.clone(),
            wheel: package.wheel.clone(),
            sha256: package.sha256,
        });
        packages.collect()
    }

    /// The requirements of each release among the others.
    fn needs(&self) -> BTreeMap<PackageName, Vec<PackageName>> {
        let needs = self.tree.dists.iter().map(|dist| {
            let needs = dist.metadata.requires_dist.iter();
            (
                dist.metadata.package(),
                needs.map(|need| need.name().clone()).collect(),
            )
        });
        needs.collect()
    }

    /// What the bundle has, and how much of it the cache does not have.
    fn files(&self, cache: &Cache) -> Result<UnbundledFiles> {
        let objects = self.bundle.manifest.objects();
        let ids: Vec<ObjectId> = objects.keys().copied().collect();
        let there = cache.sizes(&ids)?;
        Ok(UnbundledFiles {
            objects: ids.len() as u64,
            bytes: objects.values().map(|file| file.size).sum(),
            new: there.iter().filter(|size| size.is_none()).count() as u64,
        })
    }
}
