//! The input and result of a publish.
//!
//! Invariant: exactly the checked file is published, or nothing. Deliberately absent: how it is added to a repo (`store::offer`, `index`).

use std::path::{Path, PathBuf};

use backlot_core::{Context, Sha256, Timestamp};
use backlot_pep::{PackageName, Version};
use backlot_wheel::{Sdist, WheelArchive, WheelName, sdist_name};
use fs_err as fs;
use serde::Serialize;

use crate::allow::Allowlist;
use crate::error::{Error, Result};
use crate::location::Location;
use crate::record::sha256_of_file;
use crate::release::ReleaseKind;
use crate::release_event::{RecordedCheck, ReleaseEvent, ReleaseEventKind, ReleaseRemote};

/// The tool's name and version in facts.
pub(crate) const TOOL: &str = concat!("backlot ", env!("CARGO_PKG_VERSION"));

/// The author and reason of a publish; kept in the `published` fact forever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The author.
    pub author: String,
    /// Why: `manual`, or in words.
    pub reason: String,
    /// From which machine.
    pub machine: String,
    /// The remotes that have the files.
    pub remotes: Vec<ReleaseRemote>,
    /// The checks that were run before.
    pub checks: Vec<RecordedCheck>,
}

/// The plan of a publish.
#[derive(Clone, Debug, Serialize)]
pub struct PublishPlan {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The wheel's file name in the repo, normalised.
    pub file: String,
    /// The repo.
    pub repo: Location,
    /// The wheel's digest.
    pub sha256: Sha256,
    /// The wheel's size in bytes.
    pub size: u64,
    /// Whether the folder becomes a repo by it.
    pub makes_repo: bool,
    /// The release in the way: with it, publishing is a conflict.
    pub existing: Option<ExistingRelease>,
    /// The files that would be written, the fact's name left open.
    pub writes: Vec<Location>,
}

/// A release of the same version that is there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExistingRelease {
    /// Its wheel.
    pub place: Location,
    /// Its author, if known.
    pub author: Option<String>,
    /// When, if known.
    pub at: Option<Timestamp>,
    /// Whether it has the same bytes.
    pub identical: bool,
}

/// The result of a publish.
#[derive(Clone, Debug, Serialize)]
pub struct Published {
    /// The path of the release.
    pub place: Location,
    /// Missing or wrong derived files of other releases of the package that were rebuilt.
    pub healed: Vec<Location>,
    /// Why derived files could not be written, if so: the release stands, and the next publish or a reindex writes them.
    pub unfinished: Option<String>,
}

/// A file that was checked from end to end, to become a release or one file of a release. Exactly the checked file is published, or nothing.
#[derive(Debug)]
pub struct Checked(pub(crate) PublishCandidate);

impl Checked {
    /// Check a wheel that is a release of its own: a repo may have nothing of its version.
    pub fn wheel(file: &Path, context: &Context) -> Result<Self> {
        PublishCandidate::check_wheel(file, context).map(Self)
    }

    /// Check a wheel or source distribution of a release that may have others. `siblings` are the digests of the files of its release: a
    /// repo that has its version must have one of them, or has another release under that version.
    pub fn part(file: &Path, siblings: &[Sha256], context: &Context) -> Result<Self> {
        let mut offer = PublishCandidate::check(file, context)?;
        offer.siblings = Some(siblings.to_vec());
        Ok(Self(offer))
    }
}

/// A checked wheel or source distribution that wants to become a release, or part of one.
#[derive(Debug)]
pub(crate) struct PublishCandidate {
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

impl PublishCandidate {
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
    /// so that the checked file is the published one.
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
    pub(crate) fn check_gate(&self, gate: Option<&Allowlist>) -> Result<()> {
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

    /// The error for a conflicting release.
    pub(crate) fn conflict(&self, repo: Location, existing: ExistingRelease, complete: bool) -> Error {
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
}

/// The fact that an offer is published.
pub(crate) fn published_fact(
    offer: &PublishCandidate,
    publication: &Publication,
    at: Timestamp,
) -> ReleaseEvent {
    ReleaseEvent {
        format: 1,
        kind: ReleaseEventKind::Published,
        package: offer.name.package.clone(),
        version: offer.name.version.clone(),
        file: Some(offer.file.clone()),
        sha256: Some(offer.sha256),
        // The time that its file gets.
        modified: Some(at.0),
        remotes: publication.remotes.clone(),
        checks: publication.checks.clone(),
        status: None,
        since: None,
        author: publication.author.clone(),
        reason: publication.reason.clone(),
        machine: publication.machine.clone(),
        tool: TOOL.to_owned(),
        at,
        time: at.to_string(),
    }
}

/// A release of which only the existence is known.
pub(crate) fn unknown(place: Location) -> ExistingRelease {
    ExistingRelease {
        place,
        author: None,
        at: None,
        identical: false,
    }
}
