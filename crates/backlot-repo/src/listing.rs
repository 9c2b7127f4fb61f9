//! The releases of a repo, by listing its folders: never from the derived pages.
//!
//! Invariant: no file in a folder makes listing fail; invalid releases are reported with the reason beside
//! the good ones. Deliberately absent: choosing by platform; where a version has several wheels, one that runs everywhere
//! comes first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use backlot_core::{Class, Diagnostic as _};
use backlot_pep::{PackageName, Version};
use backlot_wheel::{WheelName, sdist_name};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::layout::source_suffix;
use crate::location::Location;
use crate::release::ReleaseFile;

/// A wheel that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenRelease {
    /// Its path.
    pub place: Location,
    /// Why not.
    pub reason: String,
    /// If it could not be read, or is damaged: then no older version may silently take its place.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// The known metadata of an unreadable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The version its file name says it has.
    pub version: Version,
    /// Whether the file is damaged, or could not be read.
    pub class: Class,
}

impl BrokenRelease {
    /// An unusable release, with the reason.
    pub(crate) fn new(place: Location, reason: impl Into<String>) -> Self {
        Self {
            place,
            reason: reason.into(),
            failure: None,
        }
    }

    /// One that could not be read. Metadata that is not right makes it one that is not for us, as for pip and uv.
    pub(crate) fn failed(place: Location, version: &Version, error: &Error) -> Self {
        let is_failure = error.code() != "wheel::bad_metadata";
        Self {
            failure: is_failure.then(|| Failure {
                version: version.clone(),
                class: error.class(),
            }),
            ..Self::new(place, reason_of(error))
        }
    }

    /// That it cannot be read, as an error; `None` for one that is merely not for us.
    pub fn error(&self) -> Option<Error> {
        let failure = self.failure.as_ref()?;
        Some(Error::Unreadable {
            place: self.place.clone(),
            reason: self.reason.clone(),
            class: failure.class,
        })
    }
}

/// A package of a kind that Backlot does not install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnsupportedRelease {
    /// Its path.
    pub place: Location,
    /// The version its file name says it has.
    pub version: Option<Version>,
    /// Why not.
    pub reason: String,
}

/// All files in a repo under one package's name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listing {
    /// The good wheels: by version, then the one that runs everywhere first.
    pub releases: Vec<ReleaseFile>,
    /// Source distributions, by version. Whether one can be built is seen inside it.
    pub sources: Vec<ReleaseFile>,
    /// Wheels that cannot be used.
    pub broken: Vec<BrokenRelease>,
    /// Packages of older kinds.
    pub unsupported: Vec<UnsupportedRelease>,
}

impl Listing {
    /// All good files: wheels, then source distributions.
    pub fn files(&self) -> impl Iterator<Item = &ReleaseFile> {
        self.releases.iter().chain(&self.sources)
    }

    /// Installable releases: the good wheels, and source distributions of versions that have none; oldest version first.
    pub fn offered(&self) -> Vec<&ReleaseFile> {
        let mut all: Vec<&ReleaseFile> = self.releases.iter().collect();
        if self.sources.is_empty() {
            return all;
        }
        let wheels: BTreeSet<&Version> = self.releases.iter().map(|r| &r.version).collect();
        let mut sources: Vec<&ReleaseFile> = self.sources.iter().collect();
        sources.retain(|source| !wheels.contains(&source.version));
        sources.dedup_by(|next, kept| next.version == kept.version);
        all.extend(sources);
        // Stable, so the wheels of a version stay in their order.
        all.sort_by(|a, b| a.version.cmp(&b.version));
        all
    }
}

/// The reason for packages of other kinds.
pub(crate) const UNSUPPORTED: &str = "it is not a wheel or a `.tar.gz` source distribution";

/// The name of a wheel of this package; the reason if it is not one. In a shared folder the wheels of other packages are skipped.
pub(crate) fn named(file: &str, package: &PackageName, shared: bool) -> Result<Option<WheelName>, String> {
    let name = match file.parse::<WheelName>() {
        Ok(name) => name,
        // In a flat folder, only a file that is about this package is this package's problem.
        Err(_) if shared && package_of(file).as_ref() != Some(package) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match name.package == *package {
        true => Ok(Some(name)),
        false if shared => Ok(None),
        false => Err(format!("it is a release of {}, not of {package}", name.package)),
    }
}

/// The package a wheel's file name begins with, without looking at the rest of the name; that of a source distribution.
pub(crate) fn package_of(file: &str) -> Option<PackageName> {
    match file.strip_suffix(".whl") {
        Some(stem) => PackageName::parse(stem.split_once('-')?.0).ok(),
        None => sdist_name(file).map(|(package, _)| package),
    }
}

/// Package and version of a source distribution, from its file name.
pub(crate) fn source_name(file: &str) -> Option<(PackageName, Option<Version>)> {
    let stem = file.strip_suffix(source_suffix(file)?)?;
    let (package, version) = stem.rsplit_once('-')?;
    Some((PackageName::parse(package).ok()?, Version::parse(version).ok()))
}

/// Files in the order of a listing.
pub(crate) fn sort(files: &mut [ReleaseFile]) {
    files.sort_by(by_name);
}

/// The order of files of a package.
pub(crate) fn by_name(a: &ReleaseFile, b: &ReleaseFile) -> std::cmp::Ordering {
    in_order(&a.name, &a.file).cmp(&in_order(&b.name, &b.file))
}

/// The order of a listing: by version, then the wheel that runs everywhere, then the latest build.
fn in_order<'a>(name: &'a WheelName, file: &'a str) -> impl Ord + use<'a> {
    (&name.version, !name.is_pure(), Reverse(name.build_number()), file)
}

/// An error and its causes on one line.
pub(crate) fn reason_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
