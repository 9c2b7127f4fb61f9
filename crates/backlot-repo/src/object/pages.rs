//! Making what is derived agree with what is there: sidecars, records and index pages of a store.
//!
//! Invariant: a page is written, then the store is listed again, until a fresh listing gives the page that is there; so the
//! last writer of a page has listed after writing it (why that converges is in decision 2). Deliberately absent: wheels and
//! facts, which nothing here changes.

use std::collections::BTreeSet;

use backlot_backend::{ObjectStore, each};
use backlot_core::{Context, PackageName, Timestamp};

use super::shelf::Shelf;
use super::wheels::object_key;
use super::{HTML, JSON, METADATA, ObjectRepo, PAGE};
use crate::error::{Error, Result};
use crate::fact::{may_be, published_digests};
use crate::index::parse_metadata;
use crate::pages::{self, PageEntry};
use crate::record::{RECORD_FORMAT, ReleaseRecord};
use crate::release::Release;
use crate::settle::{ROOT_PAGE_LIMIT, ROUNDS};

impl ObjectRepo {
    /// Make all that is derived of a package right, and the root index.
    pub(super) fn complete(&self, package: &PackageName, context: &Context) -> Result<()> {
        self.heal(package)?;
        self.settle_package(package, context)?;
        self.settle_root(false, context).map(drop)
    }

    /// The same for many, and only where the page does not name all files.
    pub(crate) fn complete_all(&self, names: &[PackageName], context: &Context) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            context.check()?;
            let page = self
                .0
                .objects
                .read(&format!("simple/{name}/index.json"), ROOT_PAGE_LIMIT)?;
            let page = String::from_utf8_lossy(&page.unwrap_or_default()).into_owned();
            let shelf = self.known_shelf(name)?;
            let is_named = |file: &Release| page.contains(&format!("\"filename\":\"{}\"", file.file));
            if !shelf.files().all(is_named) {
                self.heal(name)?;
                self.settle_package(name, context)?;
            }
        }
        self.settle_root(false, context).map(drop)
    }

    /// Make the missing or wrong sidecars and records of a package's files. Returns what was written.
    pub(super) fn heal(&self, package: &PackageName) -> Result<Vec<String>> {
        let shelf = self.shelf(package)?;
        let files: Vec<&Release> = shelf.files().collect();
        let healed = each(&files, |release| self.heal_file(&shelf, release))?;
        Ok(healed.into_iter().flatten().collect())
    }

    /// The same of one file. One that is damaged, or cannot be described, is passed over: nothing is made from it.
    fn heal_file(&self, shelf: &Shelf, release: &Release) -> Result<Vec<String>> {
        let mut healed = Vec::new();
        let key = object_key(release);
        let facts = shelf.facts(&release.version).iter().map(|(_, fact)| fact);
        let published = published_digests(facts, &release.file);
        let recorded = record_of(release).filter(|_| !shelf.unrecorded.contains(&key));
        let sidecar = self.sidecar(shelf, release)?;
        if let Some(record) = &recorded
            && may_be(&published, record.sha256)
            && timed(shelf, release, record.clone()) == *record
            && (release.is_sdist() || sidecar.is_some_and(|bytes| is_described(release, &bytes)))
        {
            return Ok(healed);
        }
        let Some(entry) = shelf.entries.get(&key) else {
            return Ok(healed);
        };
        let (found, metadata) = match self.read_off(release.kind, &release.file, entry) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(healed),
            Err(error) if self.is_about_file(&error) => return Ok(healed),
            Err(error) => return Err(error),
        };
        if let Some(record) = &recorded
            && record.is_of_other_bytes(found.sha256, &published)
        {
            return Ok(healed);
        }
        let objects = &*self.0.objects;
        let beside = format!("{key}.metadata");
        if !release.is_sdist() && write_if_changed(objects, &beside, metadata, METADATA)? {
            healed.push(beside);
        }
        let known = recorded.as_ref().unwrap_or(&found);
        let record = timed(
            shelf,
            release,
            ReleaseRecord {
                modified: known.modified,
                published_at: known.published_at,
                ..found.clone()
            },
        );
        if recorded.as_ref() != Some(&record) {
            let beside = format!("{key}.json");
            objects.write(&beside, record.to_bytes(), JSON)?;
            healed.push(beside);
        }
        Ok(healed)
    }

    /// Write the pages of a package until they agree with a listing made after writing them. A package without files has
    /// none. Returns whether one changed.
    pub(super) fn settle_package(&self, name: &PackageName, context: &Context) -> Result<bool> {
        let mut any = false;
        let keys = [
            format!("simple/{name}/index.html"),
            format!("simple/{name}/index.json"),
        ];
        for _ in 0..ROUNDS {
            let entries = self.page_entries(name)?;
            let objects = &*self.0.objects;
            let changed = if entries.is_empty() {
                self.remove_pages(name, &keys)?
            } else {
                let html = pages::package_html(name, &entries).into_bytes();
                let json = pages::package_json(name, &entries).into_bytes();
                let html = write_if_changed(objects, &keys[0], html, HTML)?;
                let json = write_if_changed(objects, &keys[1], json, PAGE)?;
                html || json
            };
            if !changed {
                return Ok(any);
            }
            any = true;
        }
        let message = format!("the index of {name} was still changing; those who change it will finish it");
        context.warn("repo::busy_index", message);
        Ok(any)
    }

    /// Remove the pages of a package that has no files; whether there were any.
    fn remove_pages(&self, name: &PackageName, keys: &[String]) -> Result<bool> {
        // One that may not be asked for seems empty.
        if self.gate().is_some_and(|gate| !gate.admits(name)) {
            return Ok(false);
        }
        let mut removed = false;
        for key in keys {
            if self.0.objects.stat(key)?.is_some() {
                self.0.objects.delete(key)?;
                removed = true;
            }
        }
        Ok(removed)
    }

    /// The same for the root pages; returns those that changed. Names on the page are believed as long as their folder is
    /// there, unless `all` is given.
    pub(super) fn settle_root(&self, all: bool, context: &Context) -> Result<Vec<String>> {
        let objects = &*self.0.objects;
        let keys = ["simple/index.html", "simple/index.json"];
        let mut changed = BTreeSet::new();
        for _ in 0..ROUNDS {
            let page = objects.read(keys[1], ROOT_PAGE_LIMIT)?;
            let known: BTreeSet<PackageName> = match &page {
                Some(page) if !all => pages::names_in_root_json(page).into_iter().collect(),
                _ => BTreeSet::new(),
            };
            let folders = self.package_folders()?;
            let have = each(&folders, |name| {
                Ok::<_, Error>(known.contains(name) || self.has_files(name)?)
            })?;
            let both = folders.into_iter().zip(have);
            let names: Vec<PackageName> = both.filter_map(|(name, has)| has.then_some(name)).collect();
            if all && names.is_empty() && page.is_none() && objects.stat(keys[0])?.is_none() {
                // A repo without packages needs none.
                return Ok(Vec::new());
            }
            let html = pages::root_html(&names).into_bytes();
            let json = pages::root_json(&names).into_bytes();
            let html = write_if_changed(objects, keys[0], html, HTML)?;
            let json = write_if_changed(objects, keys[1], json, PAGE)?;
            changed.extend(html.then(|| keys[0].to_owned()));
            changed.extend(json.then(|| keys[1].to_owned()));
            if !html && !json {
                return Ok(changed.into_iter().collect());
            }
        }
        let message = "the root index was still changing; those who change it will finish it";
        context.warn("repo::busy_index", message);
        Ok(changed.into_iter().collect())
    }

    fn page_entries(&self, name: &PackageName) -> Result<Vec<PageEntry>> {
        let shelf = self.shelf(name)?;
        let mut files: Vec<&Release> = shelf.files().collect();
        // Stable: of a version the wheels come first.
        files.sort_by(|a, b| a.version.cmp(&b.version));
        each(&files, |release| {
            let has_sidecar = self.sidecar(&shelf, release)?.is_some();
            Ok(PageEntry {
                sidecar: release.metadata_sha256.filter(|_| has_sidecar),
                release: (*release).clone().said(shelf.status(release)),
            })
        })
    }
}

/// A record with the times of the `published` fact, where there is one.
fn timed(shelf: &Shelf, release: &Release, record: ReleaseRecord) -> ReleaseRecord {
    let file = Release {
        sha256: Some(record.sha256),
        modified: record.modified,
        ..release.clone()
    };
    match shelf.status(&file).published {
        Some(fact) => ReleaseRecord {
            published_at: fact.at,
            modified: fact.modified.unwrap_or(record.modified),
            ..record
        },
        None => record,
    }
}

/// Whether a sidecar says of a release what its record says.
fn is_described(release: &Release, sidecar: &[u8]) -> bool {
    // One that cannot be parsed was good enough to publish.
    parse_metadata(release, sidecar).map_or(true, |metadata| {
        metadata.requires_python.as_ref().map(ToString::to_string) == release.requires_python
    })
}

fn record_of(release: &Release) -> Option<ReleaseRecord> {
    Some(ReleaseRecord {
        format: RECORD_FORMAT,
        filename: release.file.clone(),
        sha256: release.sha256?,
        size: release.size?,
        modified: release.modified,
        metadata_sha256: release.metadata_sha256?,
        requires_python: release.requires_python.clone(),
        published_at: release.published_at.unwrap_or(Timestamp(release.modified)),
    })
}

/// Write an object unless it has these bytes; whether it was written.
fn write_if_changed(
    objects: &dyn ObjectStore,
    key: &str,
    bytes: Vec<u8>,
    kind: &'static str,
) -> Result<bool> {
    if objects.read(key, bytes.len() as u64)?.as_ref() == Some(&bytes) {
        return Ok(false);
    }
    objects.write(key, bytes, kind)?;
    Ok(true)
}
