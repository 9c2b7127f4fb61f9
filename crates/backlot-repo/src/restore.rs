//! What a folder says of files that are damaged or gone, and putting them back.
//!
//! Invariants: what a file should be is told by its `published` facts; where it has none, by its record, else by its page.
//! What is put back was read from end to end and has that digest; a file that is right is never replaced. Deliberately
//! absent: where the right bytes are found, and stores of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use backlot_core::file::{self, Created};
use backlot_core::presence::{is_absent, is_dead_link};
use backlot_core::{Context, PackageName, Sha256, Timestamp, Version};
use backlot_wheel::{WheelName, sdist_name};
use fs_err as fs;

use crate::FolderRepo;
use crate::error::{Error, Result};
use crate::fact::{FactKind, read_facts};
use crate::layout::{RepoKind, is_wheel};
use crate::own_page;
use crate::publish::{Offer, stage};
use crate::quick::PAGE_LIMIT;
use crate::read_bounded;
use crate::record::{RECORD_LIMIT, ReleaseRecord, find_sidecar, record_path, sha256_of_file, sidecar_path};

/// A file that a folder has, or should have.
#[derive(Clone, Debug)]
pub struct ExpectedFile {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The file name.
    pub file: String,
    /// Where it lies.
    pub path: PathBuf,
    /// The digests it was published with, and the modification time it had. More than one where a publisher died.
    published: BTreeMap<Sha256, Option<u64>>,
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
        self.published.is_empty() || self.published.contains_key(&found)
    }

    /// Whether there is a file, or something that cannot be looked at.
    pub fn is_there(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(found) => found.is_file(),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }

    /// Its sidecar and record, as far as they are those of the right bytes: what a repair leaves as it is.
    pub fn right_derived(&self) -> Vec<PathBuf> {
        let Some(record) = self
            .record
            .as_ref()
            .filter(|record| Some(record.sha256) == self.digest())
        else {
            return Vec::new();
        };
        let sidecar = find_sidecar(&self.path, &record.metadata_sha256);
        let sidecar = sidecar.map(|_| sidecar_path(&self.path));
        std::iter::once(record_path(&self.path)).chain(sidecar).collect()
    }

    fn modified(&self, digest: Sha256) -> Option<u64> {
        let recorded = self.record.as_ref().filter(|record| record.sha256 == digest);
        recorded
            .map(|record| record.modified)
            .or_else(|| self.published.get(&digest).copied().flatten())
    }
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
        let mut files: BTreeMap<String, ExpectedFile> = BTreeMap::new();
        let mut add = |file: &str, note: &dyn Fn(&mut ExpectedFile)| {
            let Some(version) = version_of(file, name) else {
                return;
            };
            let expected = files.entry(file.to_owned()).or_insert_with(|| ExpectedFile {
                package: name.clone(),
                version,
                file: file.to_owned(),
                path: folder.join(file),
                published: BTreeMap::new(),
                record: None,
                on_page: None,
            });
            note(expected);
        };
        for file in self.places.package_files(name)? {
            if let Some(of) = file.strip_suffix(".json") {
                let bytes = read_bounded(&folder.join(&file), RECORD_LIMIT)?.unwrap_or_default();
                if let Ok(record) = serde_json::from_slice::<ReleaseRecord>(&bytes)
                    && record.filename == of
                {
                    add(of, &|expected| expected.record = Some(record.clone()));
                }
            } else {
                add(&file, &|_| {});
            }
        }
        let page = read_bounded(&self.places.pages(name).join("index.json"), PAGE_LIMIT)?.unwrap_or_default();
        for file in own_page::read(&page).unwrap_or_default() {
            add(&file.filename, &|expected| expected.on_page = Some(file.sha256()));
        }
        let mut files: Vec<ExpectedFile> = files.into_values().collect();
        for expected in &mut files {
            let facts = read_facts(&self.places.status(name, &expected.version))?;
            for fact in facts {
                if fact.kind == FactKind::Published
                    && fact.file.as_ref() == Some(&expected.file)
                    && let Some(sha256) = fact.sha256
                {
                    expected.published.insert(sha256, fact.modified);
                }
            }
        }
        Ok(files)
    }

    /// The files of a package that its records or its page name and that are not there; the judgement of
    /// [`Self::expected_files`], without reading what is known of those that are.
    pub fn missing_files(&self, name: &PackageName) -> Result<Vec<PathBuf>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let there: BTreeSet<String> = self.places.package_files(name)?.into_iter().collect();
        let mut recorded = there.iter().filter_map(|file| file.strip_suffix(".json"));
        let is_gone = |file: &str| !there.contains(file) && version_of(file, name).is_some();
        if !recorded.any(is_gone) {
            let page = self.places.pages(name).join("index.json");
            let page = read_bounded(&page, PAGE_LIMIT)?.unwrap_or_default();
            let on_page = own_page::read(&page).unwrap_or_default();
            if on_page.iter().all(|file| there.contains(&*file.filename)) {
                return Ok(Vec::new());
            }
        }
        let mut gone = self.expected_files(name)?;
        gone.retain(|expected| !expected.is_there());
        Ok(gone.into_iter().map(|expected| expected.path).collect())
    }

    /// Put a damaged or missing file back from a copy of the right bytes. Returns whether it was wrong.
    pub fn restore(
        &self,
        expected: &ExpectedFile,
        from: &std::path::Path,
        context: &Context,
    ) -> Result<bool> {
        let offer = Offer::check(from, context)?;
        let digest = expected.digest().unwrap_or(offer.sha256);
        if offer.sha256 != digest {
            return Err(Error::WrongBytes {
                place: from.to_path_buf().into(),
                expected: digest,
                found: offer.sha256,
            });
        }
        self.places.ensure(false)?;
        let (staged, _) = stage(&offer, &expected.path, context)?;
        if let Some(modified) = expected.modified(digest) {
            // What its record and its fact know it by.
            file::set_modified(staged.path(), Timestamp(modified))?;
        }
        if is_absent(&expected.path)? {
            return Ok(staged.create()? == Created::New);
        }
        // Somebody else may have been here first.
        if !is_dead_link(&expected.path)? && sha256_of_file(&expected.path)? == digest {
            return Ok(false);
        }
        staged.replace()?;
        Ok(true)
    }

    /// Make the root pages again where they do not agree with the packages. Returns what was wrong; a dry run changes nothing.
    pub fn mend_root(&self, dry_run: bool, context: &Context) -> Result<Vec<PathBuf>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let stale = self.stale_root_pages()?;
        if !dry_run && !stale.is_empty() {
            self.settle_root(true, context)?;
        }
        Ok(stale)
    }

    /// Make the sidecars, records and pages of a package again where they do not agree with its files. Returns what was wrong;
    /// a dry run changes nothing.
    pub fn mend(&self, name: &PackageName, dry_run: bool, context: &Context) -> Result<Vec<PathBuf>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(Vec::new());
        }
        let mut wrong = self.heal(name, dry_run)?;
        let stale = if dry_run {
            !wrong.is_empty() || self.has_stale_pages(name)?
        } else {
            self.settle_package(name, context)?
        };
        if stale {
            wrong.push(self.places.pages(name).join("index.json"));
        }
        Ok(wrong)
    }
}

/// The version of a file that is named as a release of a package.
fn version_of(file: &str, name: &PackageName) -> Option<Version> {
    if is_wheel(file) {
        let wheel = WheelName::parse_likely(file, name).ok()?;
        return (wheel.package == *name).then_some(wheel.version);
    }
    sdist_name(file)
        .filter(|(package, _)| package == name)
        .map(|(_, version)| version)
}
