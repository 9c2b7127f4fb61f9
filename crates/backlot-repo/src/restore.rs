//! The files that a repo has or should have, and putting those back that are damaged or gone.
//!
//! Invariants: what a file should be is told by its `published` facts; where it has none, by its record, else by its page.
//! What is put back was read from end to end and has that digest; a file that is right is never replaced. Deliberately
//! absent: where the right bytes are found, and the ways of a store (`object::upkeep`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::file::{self, Created};
use backlot_core::presence::{is_absent, is_dead_link};
use backlot_core::{Context, PackageName, Sha256, Timestamp, Version};
use backlot_wheel::{WheelName, sdist_name};
use fs_err as fs;

use crate::bounded::read_bounded;
use crate::error::{Error, Result};
use crate::fact::{Fact, Published, may_be, published_digests, read_facts};
use crate::folder::FolderRepo;
use crate::layout::{RepoKind, is_wheel};
use crate::own_page;
use crate::place::Place;
use crate::publish::{Offer, stage};
use crate::quick::PAGE_LIMIT;
use crate::record::{RECORD_LIMIT, ReleaseRecord, find_sidecar, record_path, sha256_of_file, sidecar_path};

/// A file that a repo has, or should have.
#[derive(Clone, Debug)]
pub struct ExpectedFile {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The file name.
    pub file: String,
    /// Where it lies.
    pub place: Place,
    /// Whether there is a file, or something that cannot be looked at.
    pub is_there: bool,
    /// The digests it was published with, and the modification time it had. More than one where a publisher died.
    published: Published,
    record: Option<ReleaseRecord>,
    on_page: Option<Sha256>,
}

impl ExpectedFile {
    /// The digest that the right bytes have, if that is known.
    pub fn digest(&self) -> Option<Sha256> {
        let recorded = self.record.as_ref().map(|record| record.sha256);
        let derived = recorded.into_iter().chain(self.on_page);
        if self.published.is_empty() {
            return recorded.or(self.on_page);
        }
        // Records and pages may have been made again from damaged bytes.
        let confirmed = derived
            .into_iter()
            .find(|digest| self.published.contains_key(digest));
        let only = self.published.keys().next().filter(|_| self.published.len() == 1);
        confirmed.or(only.copied())
    }

    /// Whether bytes of a digest may be this file: it was published with it, or nobody knows with which.
    pub fn admits(&self, found: Sha256) -> bool {
        may_be(&self.published, found)
    }

    /// Whether it was surely published with a digest: whatever else says otherwise is wrong.
    pub fn confirms(&self, found: Sha256) -> bool {
        self.published.contains_key(&found)
    }

    /// A copy of it, checked from end to end: an error unless it has the right bytes.
    pub(crate) fn offer(&self, from: &Path, context: &Context) -> Result<Offer> {
        let offer = Offer::check(from, context)?;
        match self.digest() {
            Some(expected) if offer.sha256 != expected => Err(Error::WrongBytes {
                place: from.into(),
                expected,
                found: offer.sha256,
            }),
            _ => Ok(offer),
        }
    }

    /// Of one in a folder, its sidecar and record, as far as they are those of the right bytes: what a repair leaves as it is.
    pub(crate) fn right_derived(&self) -> Vec<Place> {
        let right = |record: &&ReleaseRecord| Some(record.sha256) == self.digest();
        let (Some(path), Some(record)) = (self.place.path(), self.record.as_ref().filter(right)) else {
            return Vec::new();
        };
        let sidecar = find_sidecar(path, &record.metadata_sha256).map(|_| sidecar_path(path));
        let right = std::iter::once(record_path(path)).chain(sidecar);
        right.map(Place::from).collect()
    }

    fn modified(&self, digest: Sha256) -> Option<u64> {
        let recorded = self.record.as_ref().filter(|record| record.sha256 == digest);
        recorded
            .map(|record| record.modified)
            .or_else(|| self.published.get(&digest).copied().flatten())
    }
}

/// The files of a package, gathered from all that names them.
pub(crate) struct Gathered<'a> {
    name: &'a PackageName,
    /// Where a file of the package lies.
    place: &'a dyn Fn(&str) -> Place,
    files: BTreeMap<String, ExpectedFile>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(name: &'a PackageName, place: &'a dyn Fn(&str) -> Place) -> Self {
        Self {
            name,
            place,
            files: BTreeMap::new(),
        }
    }

    fn note(&mut self, file: &str, note: impl FnOnce(&mut ExpectedFile)) {
        let Some(version) = version_of(file, self.name) else {
            return;
        };
        let expected = self.files.entry(file.to_owned());
        note(expected.or_insert_with(|| ExpectedFile {
            package: self.name.clone(),
            version,
            file: file.to_owned(),
            place: (self.place)(file),
            is_there: false,
            published: Published::new(),
            record: None,
            on_page: None,
        }));
    }

    /// A file that is there.
    pub(crate) fn there(&mut self, file: &str) {
        self.note(file, |expected| expected.is_there = true);
    }

    /// What lies there as the record of a file.
    pub(crate) fn record(&mut self, of: &str, bytes: &[u8]) {
        if let Ok(record) = serde_json::from_slice::<ReleaseRecord>(bytes)
            && record.filename == of
        {
            self.note(of, |expected| expected.record = Some(record));
        }
    }

    /// The page of the package.
    pub(crate) fn page(&mut self, bytes: &[u8]) {
        for file in own_page::read(bytes).unwrap_or_default() {
            self.note(&file.filename, |expected| expected.on_page = Some(file.sha256()));
        }
    }

    /// All of them, sorted by name, with what facts say of a version.
    pub(crate) fn with_facts(
        self,
        facts: &dyn Fn(&Version) -> Result<Vec<Fact>>,
    ) -> Result<Vec<ExpectedFile>> {
        let mut files: Vec<ExpectedFile> = self.files.into_values().collect();
        for expected in &mut files {
            let facts = facts(&expected.version)?;
            expected.published = published_digests(&facts, &expected.file);
        }
        Ok(files)
    }
}

/// The files that a record or the page of a package names and that are not `there`. What is expected is read only if there
/// are such.
pub(crate) fn missing_files(
    name: &PackageName,
    there: &BTreeSet<String>,
    page: impl FnOnce() -> Result<Option<Vec<u8>>>,
    expected: impl FnOnce() -> Result<Vec<ExpectedFile>>,
) -> Result<Vec<Place>> {
    if !names_missing(name, there, page)? {
        return Ok(Vec::new());
    }
    let gone = expected()?.into_iter().filter(|expected| !expected.is_there);
    Ok(gone.map(|expected| expected.place).collect())
}

/// Whether a record or the page of a package names a file that is not among those that are there.
fn names_missing(
    name: &PackageName,
    there: &BTreeSet<String>,
    page: impl FnOnce() -> Result<Option<Vec<u8>>>,
) -> Result<bool> {
    let mut recorded = there.iter().filter_map(|file| file.strip_suffix(".json"));
    let is_gone = |file: &str| !there.contains(file) && version_of(file, name).is_some();
    if recorded.any(is_gone) {
        return Ok(true);
    }
    let page = page()?.unwrap_or_default();
    let on_page = own_page::read(&page).unwrap_or_default();
    Ok(on_page.iter().any(|file| !there.contains(&*file.filename)))
}

impl FolderRepo {
    /// The names of all packages, also of those whose files are gone.
    pub fn all_names(&self) -> Result<Vec<PackageName>> {
        let mut names: BTreeSet<PackageName> = self.packages()?.into_iter().collect();
        if self.kind()? == RepoKind::Backlot {
            names.extend(self.package_folders()?);
            names.extend(self.names_with_pages()?);
        }
        Ok(names.into_iter().collect())
    }

    /// The files of a package that are there, or that a record or a page names; sorted by name. None of a plain folder of
    /// wheels, which says nothing about them.
    pub fn expected_files(&self, name: &PackageName) -> Result<Vec<ExpectedFile>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let folder = self.places.package(name);
        let place = |file: &str| folder.join(file).into();
        let mut gathered = Gathered::new(name, &place);
        for file in self.places.package_files(name)? {
            if let Some(of) = file.strip_suffix(".json") {
                let bytes = read_bounded(&folder.join(&file), RECORD_LIMIT)?.unwrap_or_default();
                gathered.record(of, &bytes);
            } else if is_there(&folder.join(&file)) {
                gathered.there(&file);
            } else {
                gathered.note(&file, |_| {});
            }
        }
        gathered.page(&self.own_page(name)?.unwrap_or_default());
        gathered.with_facts(&|version| read_facts(&self.places.status(name, version)))
    }

    fn own_page(&self, name: &PackageName) -> Result<Option<Vec<u8>>> {
        read_bounded(&self.places.pages(name).join("index.json"), PAGE_LIMIT)
    }

    /// The files of a package that its records or its page name and that are not there; the judgement of
    /// [`Self::expected_files`], without reading what is known of those that are.
    pub fn missing_files(&self, name: &PackageName) -> Result<Vec<Place>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let there: BTreeSet<String> = self.places.package_files(name)?.into_iter().collect();
        missing_files(name, &there, || self.own_page(name), || self.expected_files(name))
    }

    /// Put a damaged or missing file back from a copy of the right bytes. Returns whether it was wrong.
    pub(crate) fn restore(&self, expected: &ExpectedFile, from: &Path, context: &Context) -> Result<bool> {
        let offer = expected.offer(from, context)?;
        self.places.ensure(false)?;
        let path: PathBuf = self.places.package(&expected.package).join(&expected.file);
        let (staged, _) = stage(&offer, &path, context)?;
        if let Some(modified) = expected.modified(offer.sha256) {
            // What its record and its fact know it by.
            file::set_modified(staged.path(), Timestamp(modified))?;
        }
        if is_absent(&path)? {
            return Ok(staged.create()? == Created::New);
        }
        // Somebody else may have been here first.
        if !is_dead_link(&path)? && sha256_of_file(&path)? == offer.sha256 {
            return Ok(false);
        }
        staged.replace()?;
        Ok(true)
    }
}

/// Whether there is a file, or something that cannot be looked at.
fn is_there(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) => found.is_file(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// The version of a file that is named as a release of a package.
fn version_of(file: &str, name: &PackageName) -> Option<Version> {
    // A page may name anything.
    if file.contains(['/', '\\']) {
        return None;
    }
    if is_wheel(file) {
        let wheel = WheelName::parse_likely(file, name).ok()?;
        return (wheel.package == *name).then_some(wheel.version);
    }
    sdist_name(file)
        .filter(|(package, _)| package == name)
        .map(|(_, version)| version)
}
