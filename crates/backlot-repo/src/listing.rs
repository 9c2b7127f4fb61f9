//! What a repo has, by listing its folders: never from the derived pages.
//!
//! Invariant: nothing that lies in a folder makes listing fail; what is not a good release is named with the reason beside
//! the good ones. Deliberately absent: choosing by platform; where a version has several wheels, one that runs everywhere
//! comes first.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use backlot_core::presence::{is_absent, is_dead_link};
use backlot_core::{Class, Coded as _, Context, PackageName, Timestamp, Version};
use backlot_wheel::{WheelArchive, WheelName, sdist_name};
use fs_err as fs;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::folder::FolderRepo;
use crate::layout::{RepoKind, is_wheel, names_in, source_suffix};
use crate::place::Place;
use crate::record::{find_record, sha256, sha256_of_file};
use crate::release::{FolderRelease, Lies, Release, WheelFile};

/// A wheel that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenRelease {
    /// Where it lies.
    pub place: Place,
    /// Why not.
    pub reason: String,
    /// If it could not be read, or is damaged: then no older version may silently take its place.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// What is known of a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The version its file name says it has.
    pub version: Version,
    /// Whether the file is damaged, or could not be read.
    pub class: Class,
}

impl BrokenRelease {
    /// One that is not used for what it is, with the reason.
    pub(crate) fn new(place: Place, reason: impl Into<String>) -> Self {
        Self {
            place,
            reason: reason.into(),
            failure: None,
        }
    }

    /// One that could not be read. Metadata that is not right makes it one that is not for us, as for pip and uv.
    pub(crate) fn failed(place: Place, version: &Version, error: &Error) -> Self {
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
    /// Where it lies.
    pub place: Place,
    /// The version its file name says it has.
    pub version: Option<Version>,
    /// Why not.
    pub reason: String,
}

/// All that lies in a repo under one package's name.
#[derive(Clone, Debug, Serialize)]
pub struct Listing<R> {
    /// The good wheels: by version, then the one that runs everywhere first.
    pub releases: Vec<R>,
    /// Source distributions, by version. Whether one can be built is seen inside it.
    pub sources: Vec<Release>,
    /// Wheels that cannot be used.
    pub broken: Vec<BrokenRelease>,
    /// Packages of older kinds.
    pub unsupported: Vec<UnsupportedRelease>,
}

impl<R> Default for Listing<R> {
    fn default() -> Self {
        Self {
            releases: Vec::new(),
            sources: Vec::new(),
            broken: Vec::new(),
            unsupported: Vec::new(),
        }
    }
}

impl Listing<Release> {
    /// All good files: wheels, then source distributions.
    pub fn files(&self) -> impl Iterator<Item = &Release> {
        self.releases.iter().chain(&self.sources)
    }

    /// What can be installed: the good wheels, and source distributions of versions that have none; oldest version first.
    pub fn offered(&self) -> Vec<&Release> {
        let mut all: Vec<&Release> = self.releases.iter().collect();
        if self.sources.is_empty() {
            return all;
        }
        let wheels: BTreeSet<&Version> = self.releases.iter().map(|r| &r.version).collect();
        let mut sources: Vec<&Release> = self.sources.iter().collect();
        sources.retain(|source| !wheels.contains(&source.version));
        sources.dedup_by(|next, kept| next.version == kept.version);
        all.extend(sources);
        // Stable, so the wheels of a version stay in their order.
        all.sort_by(|a, b| a.version.cmp(&b.version));
        all
    }
}

#[derive(Default)]
pub(crate) struct Files {
    pub(crate) wheels: Vec<WheelFile>,
    pub(crate) sources: Vec<Release>,
    broken: Vec<BrokenRelease>,
    unsupported: Vec<UnsupportedRelease>,
}

impl From<Listing<FolderRelease>> for Listing<Release> {
    fn from(listing: Listing<FolderRelease>) -> Self {
        Self {
            releases: listing.releases.into_iter().map(Release::from).collect(),
            sources: listing.sources,
            broken: listing.broken,
            unsupported: listing.unsupported,
        }
    }
}

impl Release {
    /// The same as its folder knows it; `None` for one of an index, and for what cannot be read.
    pub(crate) fn in_folder(&self) -> Option<FolderRelease> {
        let path = self.path()?;
        if self.is_sdist() {
            return source_in_folder(self).ok();
        }
        let modified = match self.modified {
            0 => modified_of(&fs_err::metadata(&path).ok()?),
            known => known,
        };
        Some(FolderRelease {
            name: self.name.clone(),
            file: self.file.clone(),
            package: self.package.clone(),
            version: self.version.clone(),
            path,
            size: self.size?,
            sha256: self.sha256?,
            metadata_sha256: self.metadata_sha256?,
            requires_python: self.requires_python.clone(),
            published_at: self.published_at?,
            modified,
        })
    }
}

impl FolderRepo {
    /// The packages that have at least one wheel or source distribution (by its file name), sorted.
    pub fn packages(&self) -> Result<Vec<PackageName>> {
        let mut names = BTreeSet::new();
        match self.kind()? {
            RepoKind::Empty => {}
            RepoKind::Flat => {
                for file in names_in(&self.places.root)?.unwrap_or_default() {
                    if let Some(name) = package_of(&file) {
                        names.insert(name);
                    }
                }
            }
            RepoKind::Backlot => {
                for name in self.package_folders()? {
                    let files = self.places.package_files(&name)?;
                    if files.iter().any(|f| package_of(f).as_ref() == Some(&name)) {
                        names.insert(name);
                    }
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The releases of a package, oldest version first: one for each version. Wheels that cannot be used are warned about
    /// once (`repo::broken_release`).
    pub fn releases(&self, name: &PackageName, context: &Context) -> Result<Vec<FolderRelease>> {
        let mut releases = self.wheels(name, context)?;
        releases.dedup_by(|next, kept| next.version == kept.version);
        Ok(releases)
    }

    /// The same with all wheels of each version.
    pub fn wheels(&self, name: &PackageName, context: &Context) -> Result<Vec<FolderRelease>> {
        Ok(self.good(name, context)?.releases)
    }

    /// All that lies under a package's name; what cannot be used is warned about once.
    pub(crate) fn good(&self, name: &PackageName, context: &Context) -> Result<Listing<FolderRelease>> {
        let listing = self.releases_with_problems(name)?;
        self.warn_of_broken(&listing.broken, context);
        Ok(listing)
    }

    /// Warn once about each file that cannot be used.
    fn warn_of_broken(&self, broken: &[BrokenRelease], context: &Context) {
        for BrokenRelease { place, reason, .. } in broken {
            if self.warned().insert(place.clone()) {
                context.warn("repo::broken_release", format!("`{place}` is not used: {reason}"));
            }
        }
    }

    /// One release.
    pub fn release(&self, name: &PackageName, version: &Version, context: &Context) -> Result<FolderRelease> {
        // Only the wheels of this version are looked into: its cost does not grow with the others.
        let is_of_it = |file: &str| match WheelName::parse_likely(file, name) {
            Ok(wheel) => wheel.version == *version,
            Err(_) => false,
        };
        let found = self.described(self.files_named(name, &is_of_it)?);
        self.warn_of_broken(&found.broken, context);
        let first = found.releases.into_iter().next();
        first.ok_or_else(|| Error::NoRelease {
            package: name.clone(),
            version: version.clone(),
            repo: self.places.root.clone().into(),
        })
    }

    /// All that lies under a package's name: every good wheel, and what cannot be used with the reason.
    pub fn releases_with_problems(&self, name: &PackageName) -> Result<Listing<FolderRelease>> {
        Ok(self.described(self.files(name)?))
    }

    /// Look inside files.
    pub(crate) fn described(&self, files: Files) -> Listing<FolderRelease> {
        let mut listing = Listing {
            releases: Vec::with_capacity(files.wheels.len()),
            sources: files.sources,
            broken: files.broken,
            unsupported: files.unsupported,
        };
        for wheel in &files.wheels {
            match self.describe(wheel) {
                Ok(release) => listing.releases.push(release),
                // Gone between listing and reading: as if it had never been listed.
                Err(_) if is_absent(&wheel.path).is_ok_and(|absent| absent) => {}
                Err(error) => {
                    let place = wheel.path.clone().into();
                    let broken = BrokenRelease::failed(place, &wheel.name.version, &error);
                    listing.broken.push(broken);
                }
            }
        }
        sort(&mut listing.releases);
        sort(&mut listing.sources);
        listing
    }

    /// The wheels of a package by their names, without looking inside.
    pub(crate) fn wheel_files(&self, name: &PackageName) -> Result<Vec<WheelFile>> {
        Ok(self.files(name)?.wheels)
    }

    /// What lies under a package's name, without looking inside.
    pub(crate) fn files(&self, name: &PackageName) -> Result<Files> {
        self.files_named(name, &|_| true)
    }

    /// The same of those files whose names are wanted; the others are not looked at.
    pub(crate) fn files_named(&self, name: &PackageName, wanted: &dyn Fn(&str) -> bool) -> Result<Files> {
        let mut found = Files::default();
        let (folder, files, shared) = match self.kind()? {
            RepoKind::Empty => return Ok(found),
            RepoKind::Flat => {
                let files = names_in(&self.places.root)?.unwrap_or_default();
                (self.places.root.clone(), files, true)
            }
            RepoKind::Backlot => (self.places.package(name), self.places.package_files(name)?, false),
        };
        let here: Arc<Path> = folder.as_path().into();
        for file in files.into_iter().filter(|file| wanted(file)) {
            let path = folder.join(&file);
            if is_wheel(&file) {
                match look_at(&path, &file, name, shared) {
                    Ok(Some(wheel)) => found.wheels.push(wheel),
                    Ok(None) => {}
                    Err(broken) => found.broken.push(broken),
                }
            } else if let Some((package, version)) = sdist_name(&file) {
                if package != *name {
                    continue;
                }
                match look_at_source(&here, file, package, version) {
                    Ok(source) => found.sources.extend(source),
                    Err(broken) => found.broken.push(broken),
                }
            } else if let Some((package, version)) = source_name(&file)
                && package == *name
            {
                found.unsupported.push(UnsupportedRelease {
                    place: path.into(),
                    version,
                    reason: UNSUPPORTED.to_owned(),
                });
            }
        }
        Ok(found)
    }

    /// Everything about a wheel: from its record where that agrees, else by opening and hashing it (remembered).
    pub(crate) fn describe(&self, wheel: &WheelFile) -> Result<FolderRelease> {
        if let Some(record) = find_record(wheel) {
            return Ok(FolderRelease {
                name: wheel.name.clone(),
                file: wheel.file.clone(),
                package: wheel.name.package.clone(),
                version: wheel.name.version.clone(),
                path: wheel.path.clone(),
                size: wheel.size,
                sha256: record.sha256,
                metadata_sha256: record.metadata_sha256,
                requires_python: record.requires_python,
                published_at: record.published_at,
                modified: wheel.modified,
            });
        }
        let key = (wheel.path.clone(), wheel.size, wheel.modified);
        if let Some(known) = self.inspected().get(&key) {
            return Ok(known.clone());
        }
        let release = inspect(wheel)?;
        self.inspected().insert(key, release.clone());
        Ok(release)
    }

    /// The folders below `packages/` that are named as packages are.
    pub(crate) fn package_folders(&self) -> Result<Vec<PackageName>> {
        let Some(names) = names_in(&self.places.packages())? else {
            return self.places.check_packages().map(|()| Vec::new());
        };
        let mut names: Vec<_> = names
            .iter()
            .filter_map(|n| PackageName::parse(n).ok().filter(|p| p.as_str() == n))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Whether a package's folder has a file that is named as one of its wheels or source distributions.
    pub(crate) fn has_files(&self, name: &PackageName) -> Result<bool> {
        let files = self.places.package_files(name)?;
        Ok(files.iter().any(|f| package_of(f).as_ref() == Some(name)))
    }
}

/// What is said of packages of other kinds.
pub(crate) const UNSUPPORTED: &str = "it is neither a wheel nor a source distribution in `.tar.gz`";

/// What the file system says of a file of a version; `None` if it is gone since it was listed. One that cannot be reached, or
/// is a link to nothing, is there: no older version may take its place.
fn stat(path: &Path, version: &Version) -> Result<Option<std::fs::Metadata>, BrokenRelease> {
    let error = match fs::metadata(path) {
        Ok(found) => return Ok(Some(found)),
        Err(error) => error,
    };
    if error.kind() == std::io::ErrorKind::NotFound && matches!(is_dead_link(path), Ok(false)) {
        return Ok(None);
    }
    let mut broken = BrokenRelease::failed(path.into(), version, &error.into());
    if let Some(failure) = &mut broken.failure {
        // Not that of a file that was not found: the name is there.
        failure.class = Class::Environment;
    }
    Err(broken)
}

/// A source distribution as the folder shows it; `None` if it is no file, or gone since.
fn look_at_source(
    folder: &Arc<Path>,
    file: String,
    package: PackageName,
    version: Version,
) -> Result<Option<Release>, BrokenRelease> {
    let path = folder.join(&file);
    let Some(found) = stat(&path, &version)?.filter(std::fs::Metadata::is_file) else {
        return Ok(None);
    };
    let seen = WheelFile {
        name: WheelName::pure(&package, &version),
        file: file.clone(),
        path,
        size: found.len(),
        modified: modified_of(&found),
    };
    let source = Release {
        size: Some(seen.size),
        published_at: Some(Timestamp(seen.modified)),
        modified: seen.modified,
        ..Release::sdist(file, package, version, Lies::In(Arc::clone(folder)))
    };
    Ok(Some(match find_record(&seen) {
        Some(record) => Release {
            sha256: Some(record.sha256),
            metadata_sha256: Some(record.metadata_sha256),
            strong: None,
            requires_python: record.requires_python,
            published_at: Some(record.published_at),
            ..source
        },
        None => source,
    }))
}

/// Open a wheel without a usable record and read off what a record would say. Opening refuses a wheel whose metadata is
/// of another name or version than its file name.
pub(crate) fn inspect(wheel: &WheelFile) -> Result<FolderRelease> {
    let archive = WheelArchive::open(&wheel.path)?;
    Ok(FolderRelease {
        name: wheel.name.clone(),
        file: wheel.file.clone(),
        package: wheel.name.package.clone(),
        version: wheel.name.version.clone(),
        path: wheel.path.clone(),
        size: wheel.size,
        sha256: sha256_of_file(&wheel.path)?,
        metadata_sha256: sha256(archive.metadata_bytes()),
        requires_python: archive
            .metadata()
            .requires_python
            .as_ref()
            .map(ToString::to_string),
        published_at: Timestamp(wheel.modified),
        modified: wheel.modified,
    })
}

/// Whether a file named as a wheel is one of this package; the reason if it cannot be used.
fn look_at(
    path: &Path,
    file: &str,
    package: &PackageName,
    shared: bool,
) -> Result<Option<WheelFile>, BrokenRelease> {
    let broken = |reason: String| BrokenRelease::new(path.into(), reason);
    let Some(name) = named(file, package, shared).map_err(broken)? else {
        return Ok(None);
    };
    let Some(found) = stat(path, &name.version)? else {
        return Ok(None);
    };
    if !found.is_file() {
        return Err(broken("it is not a file".to_owned()));
    }
    Ok(Some(WheelFile {
        name,
        file: file.to_owned(),
        path: path.to_path_buf(),
        size: found.len(),
        modified: modified_of(&found),
    }))
}

/// The name of a wheel of this package; the reason if it is not one. In a shared place the wheels of others are passed over.
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

/// A file's modification time in milliseconds since the Unix epoch; 0 where there is none.
pub(crate) fn modified_of(metadata: &std::fs::Metadata) -> u64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|m| m.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |s| u64::try_from(s.as_millis()).unwrap_or(u64::MAX))
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

/// Wheels in the order of a listing.
pub(crate) fn sort<R: Named>(wheels: &mut [R]) {
    wheels.sort_by(by_name);
}

/// The order of files of a package.
pub(crate) fn by_name<R: Named>(a: &R, b: &R) -> std::cmp::Ordering {
    let ((a, a_file), (b, b_file)) = (a.named(), b.named());
    in_order(a, a_file).cmp(&in_order(b, b_file))
}

/// A wheel that has its name.
pub(crate) trait Named {
    /// As it was read, and as it is written.
    fn named(&self) -> (&WheelName, &str);
}

impl Named for FolderRelease {
    fn named(&self) -> (&WheelName, &str) {
        (&self.name, &self.file)
    }
}

impl Named for Release {
    fn named(&self) -> (&WheelName, &str) {
        (&self.name, &self.file)
    }
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

/// A source distribution as its folder knows it; hashed where it has no record.
pub(crate) fn source_in_folder(source: &Release) -> Result<FolderRelease> {
    let path = source.path().unwrap_or_default();
    let sha256 = source.sha256.map_or_else(|| sha256_of_file(&path), Ok)?;
    Ok(FolderRelease {
        name: source.name.clone(),
        file: source.file.clone(),
        package: source.package.clone(),
        version: source.version.clone(),
        path,
        size: source.size.unwrap_or(0),
        sha256,
        metadata_sha256: source.metadata_sha256.unwrap_or(sha256),
        requires_python: source.requires_python.clone(),
        published_at: source.published_at.unwrap_or(Timestamp(source.modified)),
        modified: source.modified,
    })
}
