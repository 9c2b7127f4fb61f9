//! Publishing a wheel, or one file of a release that is copied: look, then do.
//!
//! The order: check the wheel, look whether the version is there, stage the bytes beside their final name, write the
//! `published` fact, **commit by one exclusive link**, then the derived files. Invariant: before the commit readers see
//! nothing, after it a complete release, wherever the publisher dies; a loser touches nothing of the winner and takes its
//! own fact and temporary away. What is exclusive is the file name; other files of the version are found by listing, before
//! and after: a publish tolerates none, a copy those of the release it copies ([`Checked`]). Deliberately absent: building
//! wheels, and pushing the files they point to.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::file::{self, Created, Staged};
use backlot_core::shared::{self, make_folder};
use backlot_core::{Cancelled, Context, Operation, PackageName, Sha256, Timestamp, Version};
use backlot_wheel::{Sdist, WheelArchive, WheelName, sdist_name};
use fs_err as fs;
use serde::Serialize;
use sha2::Digest;

use crate::allow::Gate;
use crate::bounded::copy_blocks;
use crate::error::{Error, Result};
use crate::fact::{Fact, FactKind, fact_bytes, fact_path};
use crate::folder::FolderRepo;
use crate::layout::RepoKind;
use crate::listing::{modified_of, source_in_folder};
use crate::place::Place;
use crate::probe::Step;
use crate::record::{record_path, sha256, sha256_of_file, sidecar_path, write_record, write_sidecar};
use crate::release::{FolderRelease, ReleaseKind, WheelFile};

/// The tool's name and version in facts.
pub(crate) const TOOL: &str = concat!("backlot ", env!("CARGO_PKG_VERSION"));

/// Who publishes and why; kept in the `published` fact for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Who.
    pub author: String,
    /// Why: `manual`, or in words.
    pub reason: String,
    /// From which machine.
    pub machine: String,
}

/// What a publish would do.
#[derive(Clone, Debug, Serialize)]
pub struct PublishPlan {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The wheel's file name in the repo, normalised.
    pub file: String,
    /// The repo.
    pub repo: Place,
    /// The wheel's digest.
    pub sha256: Sha256,
    /// The wheel's size in bytes.
    pub size: u64,
    /// Whether the folder becomes a repo by it.
    pub makes_repo: bool,
    /// The release in the way: with it, publishing is a conflict.
    pub existing: Option<ExistingRelease>,
    /// The files that would be written, the fact's name left open.
    pub writes: Vec<Place>,
}

/// A release of the same version that is there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExistingRelease {
    /// Its wheel.
    pub place: Place,
    /// Who published it, if known.
    pub author: Option<String>,
    /// When, if known.
    pub at: Option<Timestamp>,
    /// Whether it has the same bytes.
    pub identical: bool,
}

/// What a publish did.
#[derive(Clone, Debug, Serialize)]
pub struct Published {
    /// The release as it is in the repo.
    pub release: FolderRelease,
    /// Derived files of other releases of the package that were missing or wrong and were made again.
    pub healed: Vec<PathBuf>,
    /// Why derived files could not be written, if so: the release stands, and the next publish or a reindex writes them.
    pub unfinished: Option<String>,
}

/// A file that was checked from end to end, to become a release or one file of a release. What is published is what was checked, or nothing.
#[derive(Debug)]
pub struct Checked(pub(crate) Offer);

impl Checked {
    /// Check a wheel that is a release of its own: a repo may have nothing of its version.
    pub fn wheel(file: &Path, context: &Context) -> Result<Self> {
        Offer::check_wheel(file, context).map(Self)
    }

    /// Check a wheel or source distribution of a release that may have others. `siblings` are the digests of the files of its release: a
    /// repo that has its version must have one of them, or has another release under that version.
    pub fn part(file: &Path, siblings: &[Sha256], context: &Context) -> Result<Self> {
        let mut offer = Offer::check(file, context)?;
        offer.siblings = Some(siblings.to_vec());
        Ok(Self(offer))
    }
}

/// A checked wheel or source distribution that wants to become a release, or part of one.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) source: PathBuf,
    pub(crate) kind: ReleaseKind,
    /// The file name, parsed; of a source distribution, that of the wheel it becomes.
    pub(crate) name: WheelName,
    pub(crate) file: String,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    pub(crate) metadata: Vec<u8>,
    pub(crate) requires_python: Option<String>,
    /// The files of the release it belongs to, which may be there already; without them nothing of its version may be.
    pub(crate) siblings: Option<Vec<Sha256>>,
}

/// A file of a version, as a repo has it.
pub(crate) struct There<'a, T> {
    pub(crate) file: &'a str,
    /// `None` where it cannot be read.
    pub(crate) sha256: Option<Sha256>,
    pub(crate) of: T,
}

impl FolderRepo {
    /// What [`Self::publish`] would do now. Changes nothing.
    pub fn plan_publish(&self, wheel: &Path, context: &Context) -> Result<PublishPlan> {
        self.plan(&Offer::check_wheel(wheel, context)?)
    }

    /// The same with what was checked already.
    pub(crate) fn plan(&self, offer: &Offer) -> Result<PublishPlan> {
        let kind = self.kind()?;
        if kind == RepoKind::Flat {
            return Err(Error::FlatFolder {
                path: self.places.root.clone(),
            });
        }
        let (package, version) = (&offer.name.package, &offer.name.version);
        let target = self.places.package(package).join(&offer.file);
        let existing = self.find_version(offer)?;
        let (pages, simple) = (self.places.pages(package), self.places.simple());
        let mut writes = Vec::new();
        if existing.is_none() {
            if kind == RepoKind::Empty {
                writes.push(self.places.marker());
            }
            writes.push(self.places.status(package, version));
            writes.push(target.clone());
            writes.extend((!offer.is_sdist()).then(|| sidecar_path(&target)));
            writes.push(record_path(&target));
            for folder in [pages, simple] {
                writes.extend([folder.join("index.html"), folder.join("index.json")]);
            }
        }
        Ok(PublishPlan {
            package: package.clone(),
            version: version.clone(),
            file: offer.file.clone(),
            repo: self.places.root.clone().into(),
            sha256: offer.sha256,
            size: offer.size,
            makes_repo: kind == RepoKind::Empty,
            existing,
            writes: writes.into_iter().map(Place::from).collect(),
        })
    }

    /// Publish a wheel: exactly one of any number of publishers of a version wins, the others get
    /// [`Error::ReleaseExists`]. Derived files of the package that an earlier publisher could not write are made too, also
    /// when this publish is a conflict.
    pub fn publish(&self, wheel: &Path, publication: &Publication, context: &Context) -> Result<Published> {
        self.commit(&Offer::check_wheel(wheel, context)?, publication, context)
    }

    /// The same with what was checked already, which may be one file of several.
    pub(crate) fn commit(
        &self,
        offer: &Offer,
        publication: &Publication,
        context: &Context,
    ) -> Result<Published> {
        self.ensure(context)?;
        self.reached(Step::Layout)?;
        context.check()?;
        if let Some(existing) = self.find_version(offer)? {
            return Err(self.conflict(offer, existing, context));
        }
        let package = &offer.name.package;
        let folder = self.places.package(package);
        make_folder(&folder)?;
        let target = folder.join(&offer.file);
        let running = context.start(Operation::Push, 1, offer.size);
        let (staged, modified) = stage(offer, &target, context)?;
        let staged = self.killed_holding(Step::Staged, staged)?;
        let at = context.now();
        let fact = self.write_fact(offer, publication, at, modified)?;
        let staged = self.killed_holding(Step::Fact, staged)?;
        if staged.create()? == Created::Exists {
            file::remove(&fact)?;
            let existing = self.find_version(offer)?.unwrap_or_else(|| unknown(&target));
            return Err(self.conflict(offer, existing, context));
        }
        running.advance(1, offer.size);
        self.reached(Step::Committed)?;
        self.warn_of_siblings(offer, context);
        // From here on the release stands whatever happens, so nothing stops it any more.
        let release = offer.release(&target, at, modified);
        let (healed, unfinished) = match self.finish(offer, &release, context) {
            Ok(healed) => (healed, None),
            Err(Error::Cancelled(killed)) => return Err(killed.into()),
            Err(error) => {
                let message = format!(
                    "{package} {} is published, but its index is not: {error}",
                    release.version
                );
                context.warn("repo::unfinished_index", message);
                (Vec::new(), Some(error.to_string()))
            }
        };
        Ok(Published {
            release,
            healed,
            unfinished,
        })
    }

    /// The derived files after a commit.
    fn finish(&self, offer: &Offer, release: &FolderRelease, context: &Context) -> Result<Vec<PathBuf>> {
        if !offer.is_sdist() {
            write_sidecar(&release.path, &offer.metadata)?;
        }
        self.reached(Step::Sidecar)?;
        let wheel = WheelFile {
            name: offer.name.clone(),
            file: offer.file.clone(),
            path: release.path.clone(),
            size: release.size,
            modified: release.modified,
        };
        write_record(&wheel, release, release.published_at, true)?;
        self.reached(Step::Record)?;
        self.complete(&offer.name.package, context)
    }

    /// Make all derived files of a package right, and the root index.
    fn complete(&self, package: &PackageName, context: &Context) -> Result<Vec<PathBuf>> {
        let known = self.known_page(package)?;
        let healed = self.heal_unknown(package, &known, false)?;
        self.settle_after(package, &known, context)?;
        self.settle_root(false, context)?;
        Ok(healed)
    }

    /// The same for many, and only where a page is not proven to be current.
    pub(crate) fn complete_all(&self, names: &[PackageName], context: &Context) -> Result<()> {
        if self.kind()? != RepoKind::Backlot || names.is_empty() {
            return Ok(());
        }
        for name in names {
            context.check()?;
            if self.by_page(name)?.is_none() {
                self.heal(name, false)?;
                self.settle_package(name, context)?;
            }
        }
        self.settle_root(false, context).map(drop)
    }

    /// The error for a version that is there; completes what its publisher may have left undone.
    fn conflict(&self, offer: &Offer, existing: ExistingRelease, context: &Context) -> Error {
        let complete = self.complete(&offer.name.package, context).is_ok();
        offer.conflict(self.places.root.clone().into(), existing, complete)
    }

    /// What is in the way of an offer: as a rule any file of its version, whatever its tags and however it is spelled.
    fn find_version(&self, offer: &Offer) -> Result<Option<ExistingRelease>> {
        let (package, version) = (&offer.name.package, &offer.name.version);
        // A name that does not tell its version may be of this one.
        let wanted = |file: &str| {
            file.parse::<WheelName>()
                .map_or(true, |name| name.version == *version)
        };
        let files = self.files_named(package, &wanted)?;
        let wheels = files.wheels.iter().filter(|w| w.name.version == *version);
        let wheels = wheels.map(|wheel| (wheel.path.clone(), self.describe(wheel).ok()));
        let sources = files.sources.iter().filter(|source| source.version == *version);
        let sources = sources.filter_map(|s| Some((s.path()?, source_in_folder(s).ok())));
        let all: Vec<(PathBuf, Option<FolderRelease>)> = wheels.chain(sources).collect();
        let there = all.iter().map(|(path, release)| There {
            file: path.file_name().and_then(|f| f.to_str()).unwrap_or_default(),
            sha256: release.as_ref().map(|r| r.sha256),
            of: (path, release),
        });
        let Some((path, release)) = offer.in_the_way(there.collect()) else {
            return Ok(None);
        };
        // Broken, but in the way: a release is never replaced.
        let Some(release) = release else {
            return Ok(Some(unknown(path)));
        };
        let published = self.status(release)?.published;
        Ok(Some(ExistingRelease {
            place: path.clone().into(),
            at: Some(published.as_ref().map_or(release.published_at, |fact| fact.at)),
            author: published.map(|fact| fact.author),
            identical: release.sha256 == offer.sha256,
        }))
    }

    fn write_fact(
        &self,
        offer: &Offer,
        publication: &Publication,
        at: Timestamp,
        modified: u64,
    ) -> Result<PathBuf> {
        let (package, version) = (&offer.name.package, &offer.name.version);
        let fact = published_fact(offer, publication, at, modified);
        let folder = self.places.status(package, version);
        make_folder(&folder)?;
        let path = fact_path(&folder, at);
        shared::create(&path, &fact_bytes(&fact))?;
        Ok(path)
    }

    /// Two publishers of one version with different tags can pass each other; people must know.
    fn warn_of_siblings(&self, offer: &Offer, context: &Context) {
        if offer.siblings.is_some() {
            return;
        }
        let wheels = self.wheel_files(&offer.name.package).unwrap_or_default();
        let other = wheels
            .iter()
            .find(|w| w.name.version == offer.name.version && w.file != offer.file);
        if let Some(other) = other {
            let message = format!(
                "`{}` was published at the same moment as `{}`: the version has two wheels",
                other.file, offer.file
            );
            context.warn("repo::several_wheels", message);
        }
    }

    /// Stop here if a test says so, as a kill would: without tidying up.
    pub(crate) fn reached(&self, step: Step) -> Result<()> {
        if self.probe.as_ref().is_some_and(|probe| probe.0(step)) {
            return Err(Cancelled.into());
        }
        Ok(())
    }

    /// The same while holding the staged wheel, which a kill would leave behind.
    fn killed_holding(&self, step: Step, staged: Staged) -> Result<Staged> {
        match self.reached(step) {
            Ok(()) => Ok(staged),
            Err(killed) => {
                std::mem::forget(staged);
                Err(killed)
            }
        }
    }
}

impl Offer {
    /// The same for what can only be a wheel.
    pub(crate) fn check_wheel(wheel: &Path, context: &Context) -> Result<Self> {
        let sha256 = sha256_of_file(wheel)?;
        context.check()?;
        let archive = WheelArchive::open(wheel)?;
        archive.check()?;
        Self {
            source: wheel.to_path_buf(),
            kind: ReleaseKind::Wheel,
            file: archive.name().to_string(),
            name: archive.name().clone(),
            size: fs::metadata(wheel)?.len(),
            sha256,
            metadata: archive.metadata_bytes().to_vec(),
            requires_python: archive
                .metadata()
                .requires_python
                .as_ref()
                .map(ToString::to_string),
            siblings: None,
        }
        .of_no_local_version()
    }

    /// Check a wheel or a source distribution from end to end. Its digest is taken first and compared again while staging,
    /// so that what is checked here is what is published.
    pub(crate) fn check(file: &Path, context: &Context) -> Result<Self> {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some((package, version)) = sdist_name(name) else {
            return Self::check_wheel(file, context);
        };
        let sha256 = sha256_of_file(file)?;
        context.check()?;
        let sdist = Sdist::open(file)?;
        let metadata = sdist.metadata();
        Self {
            source: file.to_path_buf(),
            kind: ReleaseKind::Sdist,
            // As PEP 625 spells it.
            file: format!("{}-{version}.tar.gz", package.file_stem()),
            name: WheelName::pure(&package, &version),
            size: fs::metadata(file)?.len(),
            sha256,
            metadata: sdist.pkg_info().to_vec(),
            requires_python: metadata.requires_python.as_ref().map(ToString::to_string),
            siblings: None,
        }
        .of_no_local_version()
    }

    fn of_no_local_version(self) -> Result<Self> {
        if self.name.version.is_local() {
            return Err(Error::LocalVersion {
                package: self.name.package,
                version: self.name.version,
            });
        }
        Ok(self)
    }

    /// Whether a repo that takes only some packages takes it.
    pub(crate) fn check_gate(&self, gate: Option<&Gate>) -> Result<()> {
        gate.map_or(Ok(()), |gate| gate.check(&self.name.package))
    }

    pub(crate) fn is_sdist(&self) -> bool {
        self.kind == ReleaseKind::Sdist
    }

    /// Of the files of its version that a repo has, the one that is in its way. For a file of several, that is one of its
    /// own name; else any, if none of them is of the same release.
    pub(crate) fn in_the_way<T>(&self, mut there: Vec<There<'_, T>>) -> Option<T> {
        there.sort_by_key(|one| one.file != self.file);
        let own = there.first().is_some_and(|one| one.file == self.file);
        let same = |one: &There<'_, T>| match (&self.siblings, &one.sha256) {
            (Some(siblings), Some(sha256)) => siblings.contains(sha256),
            _ => false,
        };
        if !own && there.iter().any(same) {
            return None;
        }
        there.into_iter().next().map(|one| one.of)
    }

    /// The error for what is in its way.
    pub(crate) fn conflict(&self, repo: Place, existing: ExistingRelease, complete: bool) -> Error {
        let file = existing.place.file().to_owned();
        Error::ReleaseExists {
            package: self.name.package.clone(),
            version: self.name.version.clone(),
            repo,
            files: self.siblings.iter().map(|_| file.clone()).collect(),
            author: existing.author.map(Into::into),
            at: existing.at,
            identical: existing.identical,
            complete,
        }
    }

    /// The release this becomes at `target`.
    fn release(&self, target: &Path, at: Timestamp, modified: u64) -> FolderRelease {
        FolderRelease {
            name: self.name.clone(),
            file: self.file.clone(),
            package: self.name.package.clone(),
            version: self.name.version.clone(),
            path: target.to_path_buf(),
            size: self.size,
            sha256: self.sha256,
            metadata_sha256: sha256(&self.metadata),
            requires_python: self.requires_python.clone(),
            published_at: at,
            modified,
        }
    }
}

/// The fact that an offer is published.
pub(crate) fn published_fact(offer: &Offer, publication: &Publication, at: Timestamp, modified: u64) -> Fact {
    Fact {
        format: 1,
        kind: FactKind::Published,
        package: offer.name.package.clone(),
        version: offer.name.version.clone(),
        file: Some(offer.file.clone()),
        sha256: Some(offer.sha256),
        modified: Some(modified),
        author: publication.author.clone(),
        reason: publication.reason.clone(),
        machine: publication.machine.clone(),
        tool: TOOL.to_owned(),
        at,
        time: at.to_string(),
    }
}

/// Copy the offered wheel beside its final name, read-only; it is synced when it gets that. Returns also its modification time, which stays
/// when it is linked.
pub(crate) fn stage(offer: &Offer, target: &Path, context: &Context) -> Result<(Staged, u64)> {
    let mut staged = shared::staged_beside(target)?;
    let mut hasher = sha2::Sha256::new();
    let mut source = fs::File::open(&offer.source)?;
    copy_blocks(&mut source, |block| {
        context.check()?;
        hasher.update(block);
        Ok(staged.write_all(block)?)
    })?;
    if Sha256::from_bytes(hasher.finalize().into()) != offer.sha256 {
        return Err(Error::WheelChanged {
            path: offer.source.clone(),
        });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A release is never changed: say so to editors too, without opening it to more people than the folder is.
        let mode = staged.file().metadata()?.permissions().mode() & 0o444;
        fs::set_permissions(staged.path(), std::fs::Permissions::from_mode(mode))?;
    }
    let modified = modified_of(&fs::metadata(staged.path())?);
    Ok((staged, modified))
}

/// A release of which nothing can be said but that it is there.
fn unknown(path: &Path) -> ExistingRelease {
    ExistingRelease {
        place: path.into(),
        author: None,
        at: None,
        identical: false,
    }
}
