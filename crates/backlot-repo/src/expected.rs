//! The files that a repo has or should have.
//!
//! Invariants: the expected digest of a file comes from its `published` facts; without one, from its record, else from its page.
//! A restored file was read from end to end and has that digest. Deliberately absent: where the right bytes are
//! found, and how they are put back (`store::upkeep`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_core::{Context, Sha256};
use backlot_pep::{PackageName, Version};
use backlot_wheel::{WheelName, sdist_name};

use crate::error::{Error, Result};
use crate::layout::is_wheel;
use crate::location::Location;
use crate::page_reader;
use crate::publish::PublishCandidate;
use crate::record::ReleaseRecord;
use crate::release_event::{Published, ReleaseEvent, may_be, published_digests};

/// A file that a repo has, or should have.
#[derive(Clone, Debug)]
pub struct ExpectedFile {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The file name.
    pub file: String,
    /// Its path.
    pub place: Location,
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
        // Records and pages may have been rebuilt from damaged files.
        let confirmed = derived
            .into_iter()
            .find(|digest| self.published.contains_key(digest));
        let only = self.published.keys().next().filter(|_| self.published.len() == 1);
        confirmed.or(only.copied())
    }

    /// Whether a digest may be that of this file: it was published with it, or its published digest is unknown.
    pub fn admits(&self, found: Sha256) -> bool {
        may_be(&self.published, found)
    }

    /// Whether it was surely published with a digest: whatever else says otherwise is wrong.
    pub fn confirms(&self, found: Sha256) -> bool {
        self.published.contains_key(&found)
    }

    /// A copy of it, checked from end to end: an error unless it has the right bytes.
    pub(crate) fn offer(&self, from: &Path, context: &Context) -> Result<PublishCandidate> {
        let offer = PublishCandidate::check(from, context)?;
        match self.digest() {
            Some(expected) if offer.sha256 != expected => Err(Error::WrongBytes {
                place: from.into(),
                expected,
                found: offer.sha256,
            }),
            _ => Ok(offer),
        }
    }

    /// The modification time that its record or fact knows it by.
    pub(crate) fn modified(&self, digest: Sha256) -> Option<u64> {
        let recorded = self.record.as_ref().filter(|record| record.sha256 == digest);
        recorded
            .map(|record| record.modified)
            .or_else(|| self.published.get(&digest).copied().flatten())
    }
}

/// The files of a package, gathered from all that names them.
pub(crate) struct Gathered<'a> {
    name: &'a PackageName,
    /// The path of a file of the package.
    place: &'a dyn Fn(&str) -> Location,
    files: BTreeMap<String, ExpectedFile>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(name: &'a PackageName, place: &'a dyn Fn(&str) -> Location) -> Self {
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

    /// A name that stands there, of nothing that can be used.
    pub(crate) fn named(&mut self, file: &str) {
        self.note(file, |_| {});
    }

    /// A file that is there.
    pub(crate) fn there(&mut self, file: &str) {
        self.note(file, |expected| expected.is_there = true);
    }

    /// The record of a file.
    pub(crate) fn record(&mut self, of: &str, bytes: &[u8]) {
        if let Ok(record) = serde_json::from_slice::<ReleaseRecord>(bytes)
            && record.filename == of
        {
            self.note(of, |expected| expected.record = Some(record));
        }
    }

    /// The page of the package.
    pub(crate) fn page(&mut self, bytes: &[u8]) {
        for file in page_reader::read(bytes).unwrap_or_default() {
            self.note(&file.filename, |expected| expected.on_page = Some(file.sha256()));
        }
    }

    /// All of them, sorted by name, with what facts say of a version.
    pub(crate) fn with_facts(
        self,
        facts: &dyn Fn(&Version) -> Result<Vec<ReleaseEvent>>,
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
) -> Result<Vec<Location>> {
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
    let on_page = page_reader::read(&page).unwrap_or_default();
    Ok(on_page.iter().any(|file| !there.contains(&*file.filename)))
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
