//! The objects that releases and workspaces need from a remote: those their pointers refer to, down to the last frame.
//!
//! Invariants: a list of needed objects is complete or it is an error: a repo that cannot be read, a pointer that cannot be
//! parsed, a manifest that is nowhere, a file of a release that its repo names and does not have each stop a collection, since
//! their objects would count as garbage. **Only
//! public repos are skipped, and a release with tracked files is never published to one** ([`Opened::refuse_public_files`]).
//! Memory: the pointers of a batch of releases, and the objects of one of them; of wheels on servers only their pointers
//! are fetched.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use backlot_core::{Blake3, RelPath, Sha256};
use backlot_dvc::pipeline::LOCK_FILE;
use backlot_dvc::{Out, Pointer};
use backlot_pep::{PackageName, Version};
use backlot_repo::{Listing, MemberFilter, Members, Release, ReleaseFile, Repo};
use backlot_store::{Cache, Error as StoreError, ObjectId, Remote, Transfer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WorkspaceError};
use crate::files::known_outs::{KnownOut, KnownOuts};
use crate::files::tracked::Tracked;
use crate::project::provenance::{PROVENANCE_FILE, made_pointers};
use crate::workspace::Opened;

/// What is wrong with a file that a record or a page names and that is gone.
pub(crate) const NOT_THERE: &str = "it is missing, although the repo lists it";

/// How many releases are asked for their pointers at once.
const RELEASES: usize = 64;
/// How many outs are held before what they name is looked up.
const OUTS: usize = 20_000;

/// The files of a release that say what it needs.
const TRACKED: MemberFilter<'static> = MemberFilter {
    name: "tracked",
    is: &says_what_is_tracked,
};
/// The record of the builder, which says more of outputs of stages than their lock.
const PROVENANCE: MemberFilter<'static> = MemberFilter {
    name: "provenance",
    is: &is_provenance,
};

/// A release with the objects of its tracked files. One that several repos have with other bytes comes several times.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseObjects {
    pub(crate) package: PackageName,
    pub(crate) version: Version,
    pub(crate) needs: Needs,
    /// Manifests of folders that are neither in the cache nor on the remote, so that the files of the folder are not among the
    /// objects. None where what is needed has to be known completely.
    pub(crate) unknown: Vec<ObjectId>,
}

/// The objects that pointers need from a remote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// Required objects, including manifests.
    pub(crate) objects: BTreeSet<ObjectId>,
    /// What may be there, and is kept then: of outs that are not pushed, or that are pinned to another remote.
    pub(crate) optional: BTreeSet<ObjectId>,
    /// What pointers prove of the files and folders that have to be there, one a use.
    pub(crate) proofs: BTreeSet<(ObjectId, Blake3)>,
}

/// A remote under the name that it has in this workspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedRemote<'a> {
    pub(crate) name: &'a str,
    pub(crate) remote: &'a Remote,
    /// Only what is pinned to it counts: what is not is on another remote, the default one.
    pub(crate) pinned_only: bool,
}

impl<'a> NamedRemote<'a> {
    /// A remote that what is not pinned goes to.
    pub(crate) const fn new(name: &'a str, remote: &'a Remote) -> Self {
        Self {
            name,
            remote,
            pinned_only: false,
        }
    }
}

impl ReleaseObjects {
    /// How it is called in messages.
    pub(crate) fn label(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// A repo of which nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PassedOver {
    /// The repo.
    pub repo: String,
    /// Why nothing in it can need a remote.
    pub reason: String,
}

/// Pointers of releases that were not looked up yet.
#[derive(Default)]
struct Batch {
    pointers: BTreeMap<(PackageName, Version, Option<Sha256>), Vec<Pointer>>,
    outs: usize,
}

/// The purpose of reading the needs of releases.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// To decide what is kept: a missing manifest is an error.
    Decide,
    /// The same for a collection that these releases are given to.
    Collect(&'a GivenUp),
    /// For reports: a missing manifest is an unknown of its release, a damaged one an error.
    Tell,
    /// For checks and repairs: a missing or damaged manifest is an unknown of its release.
    Check,
    /// For reports with cached needs; a damaged manifest is an unknown as well. Each file of a release is reported separately.
    TellKnown(&'a KnownOuts<'a>),
}

impl<'a> Purpose<'a> {
    const fn known(self) -> Option<&'a KnownOuts<'a>> {
        match self {
            Self::TellKnown(known) => Some(known),
            Self::Decide | Self::Collect(_) | Self::Tell | Self::Check => None,
        }
    }

    /// Whether the files of a release of a repo count as needed by it.
    fn counts(self, repo: &str, file: &ReleaseFile) -> bool {
        let Self::Collect(given_up) = self else {
            return true;
        };
        !given_up.contains(&(repo.to_owned(), file.package.clone(), file.version.clone()))
    }

    /// Whether a manifest that is damaged counts as one that is nowhere. Not for a collection: what that cannot read it would take
    /// for garbage.
    const fn bears_damage(self) -> bool {
        matches!(self, Self::Check | Self::TellKnown(_))
    }
}

/// Releases whose files are given to a collection now: the place of their repo, and what they are.
pub(crate) type GivenUp = BTreeSet<(String, PackageName, Version)>;

/// Whether the releases of a package are wanted.
type IsWanted<'a> = &'a dyn Fn(&PackageName) -> bool;

impl Opened {
    /// Hand out the releases of all repos of this workspace but public ones with their objects, for a purpose. Manifests that are not in
    /// the cache are fetched from `remote`. Returns what was passed over.
    pub(crate) fn each_release_by(
        &self,
        remote: NamedRemote<'_>,
        wanted: IsWanted<'_>,
        purpose: Purpose<'_>,
        take: &mut dyn FnMut(ReleaseObjects) -> Result<()>,
    ) -> Result<Vec<PassedOver>> {
        let (mut repos, mut passed_over) = (Vec::new(), Vec::new());
        for entry in self.repos() {
            let repo = self.open_repo(entry)?;
            if repo.is_public() {
                passed_over.push(PassedOver {
                    repo: entry.name.clone(),
                    reason: "it is public, and cannot have releases with tracked files".to_owned(),
                });
            } else {
                repos.push(repo);
            }
        }
        self.each_release_in(&repos, remote, wanted, purpose, take)?;
        Ok(passed_over)
    }

    /// The same of given repos.
    pub(crate) fn each_release_in(
        &self,
        repos: &[Repo],
        remote: NamedRemote<'_>,
        wanted: IsWanted<'_>,
        purpose: Purpose<'_>,
        take: &mut dyn FnMut(ReleaseObjects) -> Result<()>,
    ) -> Result<()> {
        let known = purpose.known();
        let cache = self.cache()?;
        let (mut batch, mut seen) = (Batch::default(), HashSet::new());
        for repo in repos {
            let place = repo.place().to_string();
            let mut packages = match purpose {
                Purpose::TellKnown(_) => repo.packages()?,
                _ => repo.all_names()?,
            };
            packages.retain(|package| wanted(package));
            for some in packages.chunks(RELEASES) {
                if matches!(repo, Repo::Index(_)) {
                    repo.prefetch(some)?;
                }
                for package in some {
                    let listing = match purpose {
                        // A page that is proven to be current is enough to tell.
                        Purpose::TellKnown(_) => sound(repo.listing(package, self.context())?)?,
                        _ => {
                            refuse_missing(repo, package)?;
                            sound(Arc::new(repo.releases_with_problems(package)?))?
                        }
                    };
                    if let Some(known) = known {
                        listing.files().for_each(|file| known.note_time(file));
                    }
                    let dropped = match purpose {
                        // What is there is told.
                        Purpose::TellKnown(_) => BTreeMap::new(),
                        _ => repo.dropped(package)?,
                    };
                    // Another repo that has the same file may need what this one gave up. Without a digest it is read, however often it is there.
                    let files = listing
                        .files()
                        .filter(|file| !dropped.contains_key(&file.version) && purpose.counts(&place, file))
                        .filter(|file| file.sha256.is_none_or(|digest| seen.insert(digest)));
                    let mut files: Vec<&ReleaseFile> = files.collect();
                    if let Some(known) = known {
                        files = self.take_known(files, known, remote, take)?;
                    }
                    for files in files.chunks(RELEASES) {
                        self.context().check()?;
                        batch.add(repo, files, known.is_some())?;
                        if batch.outs >= OUTS {
                            self.flush(std::mem::take(&mut batch), &cache, remote, purpose, take)?;
                        }
                    }
                }
            }
        }
        self.flush(batch, &cache, remote, purpose, take)
    }

    /// The releases of a repo that have these files, with their objects; manifests that are not in the cache are fetched
    /// from `remote`.
    pub(crate) fn objects_in(
        &self,
        repo: &Repo,
        files: &[&ReleaseFile],
        remote: NamedRemote<'_>,
        purpose: Purpose<'_>,
    ) -> Result<Vec<ReleaseObjects>> {
        let mut batch = Batch::default();
        for files in files.chunks(RELEASES) {
            self.context().check()?;
            batch.add(repo, files, false)?;
        }
        let mut found = Vec::new();
        self.flush(batch, &self.cache()?, remote, purpose, &mut |release| {
            found.push(release);
            Ok(())
        })?;
        Ok(found)
    }

    /// An error if a release with tracked files would get into a public repo, where no collection looks.
    pub(crate) fn refuse_public_files(&self, target: &Repo, source: &Repo, release: &Release) -> Result<()> {
        if !target.is_public() {
            return Ok(());
        }
        let files: Vec<&ReleaseFile> = release.files.iter().collect();
        for files in files.chunks(RELEASES) {
            self.context().check()?;
            let found = pointers_of(source, files)?;
            if let Some((file, _)) = files.iter().zip(found).find(|(_, found)| !found.is_empty()) {
                return Err(files_in_public(&file.package, &file.version, target));
            }
        }
        Ok(())
    }

    /// Hand out those files of releases of which it is known what they need; returns the others.
    fn take_known<'f>(
        &self,
        files: Vec<&'f ReleaseFile>,
        known: &KnownOuts<'_>,
        remote: NamedRemote<'_>,
        take: &mut dyn FnMut(ReleaseObjects) -> Result<()>,
    ) -> Result<Vec<&'f ReleaseFile>> {
        let mut others = Vec::new();
        for file in files {
            let Some(outs) = known.get(file) else {
                others.push(file);
                continue;
            };
            let mut needs = Needs::default();
            let here = |out: &&KnownOut| self.is_needed(out.cache, out.push, out.remote.as_deref(), remote);
            for out in outs.iter().filter(here) {
                needs.objects.insert(out.id);
                needs
                    .objects
                    .extend(out.members.iter().copied().map(ObjectId::file));
            }
            take(ReleaseObjects {
                package: file.package.clone(),
                version: file.version.clone(),
                needs,
                unknown: Vec::new(),
            })?;
        }
        Ok(others)
    }

    fn flush(
        &self,
        batch: Batch,
        cache: &Cache,
        remote: NamedRemote<'_>,
        purpose: Purpose<'_>,
        take: &mut dyn FnMut(ReleaseObjects) -> Result<()>,
    ) -> Result<()> {
        let known = purpose.known();
        let all: Vec<&Pointer> = batch.pointers.values().flatten().collect();
        let found = self.need_manifests(&all, cache, remote);
        let some_are_lacking = match (&found, purpose) {
            (Err(_), Purpose::Decide | Purpose::Collect(_)) | (Ok(()), _) => false,
            (Err(Error::Workspace(WorkspaceError::UnknownManifests { .. })), _) => true,
            (Err(Error::Store(error)), _) => purpose.bears_damage() && is_damage(error),
            (Err(_), _) => false,
        };
        if !some_are_lacking {
            found?;
        }
        for ((package, version, file), pointers) in batch.pointers {
            let (mut needs, mut unknown) = (Needs::default(), Vec::new());
            for pointer in &pointers {
                let mut there = pointer.clone();
                if some_are_lacking {
                    unknown.extend(self.take_unknown(&mut there, cache, remote, purpose)?);
                }
                self.add_needs(&there, cache, remote, &mut needs)?;
            }
            if let Some((known, file)) = known.zip(file) {
                known.note(file, &pointers, cache)?;
            }
            take(ReleaseObjects {
                package,
                version,
                needs,
                unknown,
            })?;
        }
        Ok(())
    }

    /// Take the outs from a pointer whose manifests are nowhere, or damaged.
    fn take_unknown(
        &self,
        pointer: &mut Pointer,
        cache: &Cache,
        remote: NamedRemote<'_>,
        purpose: Purpose<'_>,
    ) -> Result<Vec<ObjectId>> {
        let mut unknown = Vec::new();
        for out in &pointer.outs {
            let Some(id) = out.id().filter(|id| id.tree && self.is_needed_on(out, remote)) else {
                continue;
            };
            if cache.has(&id)? {
                continue;
            }
            let is_there = if purpose.bears_damage() {
                match remote.remote.pull(cache, &[Transfer::of(id)], self.context()) {
                    Err(error) if is_damage(&error) => false,
                    brought => brought.map(|_| true)?,
                }
            } else {
                remote.remote.exists_many(&[id], self.context())?.contains(&true)
            };
            if !is_there {
                unknown.push(id);
            }
        }
        pointer
            .outs
            .retain(|out| out.id().is_none_or(|id| !unknown.contains(&id)));
        if !purpose.bears_damage() {
            self.need_manifests(&[pointer], cache, remote)?;
        }
        Ok(unknown)
    }

    /// The objects that the pointers of this workspace's outputs and inputs need from a remote.
    pub(crate) fn workspace_objects(&self, remote: NamedRemote<'_>) -> Result<Needs> {
        let cache = self.cache()?;
        let mut tracked = self.tracked(&[], true)?;
        if let Err(error) = self.need_manifests(&pointers_in(&tracked), &cache, remote) {
            // Nobody has the files of a release that were given to a collection.
            let dropped = self.dropped_inputs(&tracked, &error)?;
            if dropped.is_empty() {
                return Err(error);
            }
            tracked.retain(|one| !dropped.contains_key(&one.name));
            self.need_manifests(&pointers_in(&tracked), &cache, remote)?;
        }
        let pointers = pointers_in(&tracked);
        let mut needs = Needs::default();
        for pointer in pointers {
            self.add_needs(pointer, &cache, remote, &mut needs)?;
        }
        Ok(needs)
    }

    /// Whether the content of an out has to be on the remote of a name for others to pull it. A pin to a remote that has no
    /// such name here cannot be honoured, so everything else that is read for the release has to be enough.
    pub(crate) fn is_needed_on(&self, out: &Out, remote: NamedRemote<'_>) -> bool {
        self.is_needed(out.cache, out.push, out.remote.as_deref(), remote)
    }

    fn is_needed(&self, cache: bool, push: bool, pin: Option<&str>, remote: NamedRemote<'_>) -> bool {
        let elsewhere = |pin: &str| pin != remote.name && self.config().remotes.iter().any(|r| r.name == pin);
        let is_here = match pin {
            Some(pin) if remote.pinned_only => pin == remote.name,
            Some(pin) => !elsewhere(pin),
            None => !remote.pinned_only,
        };
        cache && push && is_here
    }

    /// The objects of a pointer; its manifests are in the cache.
    fn add_needs(
        &self,
        pointer: &Pointer,
        cache: &Cache,
        remote: NamedRemote<'_>,
        needs: &mut Needs,
    ) -> Result<()> {
        for out in &pointer.outs {
            let Some(id) = out.id() else { continue };
            if !self.is_needed_on(out, remote) {
                needs.optional.insert(id);
                let manifest = if id.tree {
                    backlot_dvc::peek_manifest(cache, &id)?
                } else {
                    None
                };
                let members = manifest.iter().flat_map(backlot_dvc::Manifest::entries);
                needs
                    .optional
                    .extend(members.map(|entry| ObjectId::file(entry.md5)));
                continue;
            }
            needs.objects.insert(id);
            needs.proofs.extend(out.blake3().map(|proof| (id, proof)));
            if id.tree {
                for entry in backlot_dvc::read_manifest(cache, &id)?.entries() {
                    needs.objects.insert(ObjectId::file(entry.md5));
                }
            }
        }
        Ok(())
    }

    /// Bring the manifests that pointers name into the cache.
    fn need_manifests(&self, pointers: &[&Pointer], cache: &Cache, remote: NamedRemote<'_>) -> Result<()> {
        let (mut wanted, mut optional) = (Vec::new(), Vec::new());
        for out in pointers.iter().flat_map(|p| &p.outs) {
            let Some(id) = out.id().filter(|id| id.tree) else {
                continue;
            };
            if !cache.has(&id)? {
                let list = if self.is_needed_on(out, remote) {
                    &mut wanted
                } else {
                    &mut optional
                };
                list.push(Transfer::of(id));
            }
        }
        let NamedRemote { remote, .. } = remote;
        match remote.pull(cache, &optional, self.context()) {
            Ok(_) | Err(StoreError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match remote.pull(cache, &wanted, self.context()) {
            Ok(_) => Ok(()),
            Err(StoreError::Missing { objects, place }) => Err(WorkspaceError::UnknownManifests {
                manifests: objects.iter().map(ToString::to_string).collect(),
                place,
            }
            .into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Batch {
    /// Read the pointers of some files of a repo; those of a release together, or of each file with a digest `apart`.
    fn add(&mut self, repo: &Repo, files: &[&ReleaseFile], apart: bool) -> Result<()> {
        for (file, found) in files.iter().zip(pointers_of(repo, files)?) {
            let digest = file.sha256.filter(|_| apart);
            let key = (file.package.clone(), file.version.clone(), digest);
            self.outs += found.iter().map(|pointer| pointer.outs.len()).sum::<usize>();
            self.pointers.entry(key).or_default().extend(found);
        }
        Ok(())
    }
}

fn pointers_in(tracked: &[Tracked]) -> Vec<&Pointer> {
    let pointers = tracked.iter().flat_map(|one| &one.pointers);
    pointers.map(|one| &one.pointer).collect()
}

/// What some files of a repo say of tracked files: their pointers, and, of outputs of stages, what the builder recorded. Of another builder
/// only the lock is there, which does not tell what was pushed: what it names is kept where it is.
fn pointers_of(repo: &Repo, files: &[&ReleaseFile]) -> Result<Vec<Vec<Pointer>>> {
    let inside = read(repo, files, &TRACKED)?;
    let has_lock = |found: &Members| found.iter().any(|(path, _)| is_lock(path));
    let locked = files.iter().zip(&inside).filter(|(_, found)| has_lock(found));
    let locked: Vec<&ReleaseFile> = locked.map(|(file, _)| *file).collect();
    let mut records = if locked.is_empty() {
        Vec::new()
    } else {
        read(repo, &locked, &PROVENANCE)?
    }
    .into_iter();
    let mut all = Vec::with_capacity(files.len());
    for (file, found) in files.iter().zip(inside) {
        let path = Path::new(&file.file);
        let record = if has_lock(&found) { records.next() } else { None };
        let record = record.and_then(|record| record.into_iter().next());
        let mut pointers = record
            .as_ref()
            .map_or_else(Vec::new, |(_, bytes)| made_pointers(bytes));
        for (inner, bytes) in found {
            let path = path.join(inner.as_str());
            if !is_lock(&inner) {
                pointers.push(pointer(&path, bytes)?);
            } else if record.is_none() {
                pointers.extend(backlot_dvc::locked_content(&path.display().to_string(), &bytes)?);
            }
        }
        all.push(pointers);
    }
    Ok(all)
}

/// Some files out of releases; the error names the one that cannot be read.
fn read(repo: &Repo, files: &[&ReleaseFile], wanted: &MemberFilter<'_>) -> Result<Vec<Members>> {
    match repo.read_inside(files, wanted) {
        Ok(inside) => Ok(inside),
        // Reading them one by one shows which.
        Err(error) => one_by_one(repo, files, wanted).and(Err(error.into())),
    }
}

/// Whether an object is not on a remote, or nobody can read it there.
pub(crate) const fn is_damage(error: &backlot_store::Error) -> bool {
    use backlot_store::Error;
    matches!(
        error,
        Error::Missing { .. } | Error::Corrupt { .. } | Error::DamagedRemote { .. }
    )
}

/// All that a repo has of a package; an error if any of it cannot be read.
fn sound(listing: Arc<Listing>) -> Result<Arc<Listing>> {
    match listing.broken.first() {
        None => Ok(listing),
        Some(broken) => Err(WorkspaceError::UnreadableRelease {
            place: broken.place.clone(),
            reason: broken.reason.clone(),
        }
        .into()),
    }
}

/// An error if a repo names a file of a package that is not there: it had a release whose needs nobody can tell.
fn refuse_missing(repo: &Repo, package: &PackageName) -> Result<()> {
    match repo.missing_files(package)?.into_iter().next() {
        None => Ok(()),
        Some(place) => Err(WorkspaceError::UnreadableRelease {
            place,
            reason: NOT_THERE.to_owned(),
        }
        .into()),
    }
}

/// The error of the first file that cannot be read.
fn one_by_one(repo: &Repo, files: &[&ReleaseFile], wanted: &MemberFilter<'_>) -> Result<()> {
    for file in files {
        repo.read_inside(&[file], wanted).map_err(|error| match error {
            damaged @ backlot_repo::Error::Wheel(_) => Error::from(WorkspaceError::UnreadableRelease {
                place: file.place(),
                reason: damaged.to_string(),
            }),
            other => other.into(),
        })?;
    }
    Ok(())
}

/// The error for tracked files that would get into a public repo.
pub(crate) fn files_in_public(package: &PackageName, version: &Version, repo: &Repo) -> Error {
    WorkspaceError::FilesInPublic {
        package: package.clone(),
        version: version.clone(),
        repo: repo.place(),
    }
    .into()
}

fn says_what_is_tracked(path: &RelPath) -> bool {
    is_lock(path) || (path.as_str().ends_with(".dvc") && !path.as_str().ends_with("/.dvc"))
}

fn is_lock(path: &RelPath) -> bool {
    path.file_name() == LOCK_FILE
}

fn is_provenance(path: &RelPath) -> bool {
    path.file_name() == PROVENANCE_FILE
        && path
            .parent()
            .is_some_and(|folder| folder.as_str().ends_with(".dist-info"))
}

fn pointer(path: &Path, bytes: Vec<u8>) -> Result<Pointer> {
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::from(backlot_dvc::Error::BadPointer {
            pointer: path.to_path_buf(),
            reason: "not valid UTF-8".to_owned(),
        })
    })?;
    Ok(Pointer::parse(path, &text)?)
}
