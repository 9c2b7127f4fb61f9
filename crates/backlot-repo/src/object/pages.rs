//! Making what is derived agree with what is there: sidecars, records and index pages of a store.
//!
//! Invariant: a page is written, then the store is listed again, until a fresh listing gives the page that is there; so the
//! last writer of a page has listed after writing it (why that converges is in decision 2). Deliberately absent: removing
//! the pages of a package that is gone.

use std::collections::BTreeSet;

use backlot_backend::{ObjectStore, each};
use backlot_core::{Context, PackageName, Timestamp};
use backlot_wheel::WheelArchive;

use super::{HTML, JSON, METADATA, ObjectRepo, PAGE};
use crate::error::{Error, Result};
use crate::pages::{self, PageEntry};
use crate::record::{RECORD_FORMAT, ReleaseRecord, sha256};
use crate::release::Release;
use crate::settle::{ROOT_PAGE_LIMIT, ROUNDS};

impl ObjectRepo {
    /// Make all that is derived of a package right, and the root index.
    pub(super) fn complete(&self, package: &PackageName, context: &Context) -> Result<()> {
        self.heal(package)?;
        self.settle_package(package, context)?;
        self.settle_root(context)
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
        self.settle_root(context)
    }

    /// Make the missing or wrong sidecars and records of a package's files.
    fn heal(&self, package: &PackageName) -> Result<()> {
        let shelf = self.shelf(package)?;
        let files: Vec<&Release> = shelf.files().collect();
        each(&files, |release| {
            let key = release.link().unwrap_or_default().to_owned();
            let unrecorded = shelf.unrecorded.contains(&key);
            // A source distribution has none.
            let has_sidecar = release.is_sdist() || self.has_sidecar(&shelf, release)?;
            if has_sidecar && !unrecorded {
                return Ok(());
            }
            let objects = &*self.0.objects;
            if !has_sidecar {
                let archive: WheelArchive = self.archive(release)?;
                let metadata = archive.metadata_bytes().to_vec();
                if Some(sha256(&metadata)) == release.metadata_sha256 {
                    objects.write(&format!("{key}.metadata"), metadata, METADATA)?;
                }
            }
            if unrecorded && let Some(record) = record_of(release) {
                let published = shelf.status(release).published;
                let modified = published.as_ref().and_then(|fact| fact.modified);
                let record = ReleaseRecord {
                    published_at: published.map_or(record.published_at, |fact| fact.at),
                    modified: modified.unwrap_or(record.modified),
                    ..record
                };
                objects.write(&format!("{key}.json"), record.to_bytes(), JSON)?;
            }
            Ok(())
        })
        .map(drop)
    }

    /// Write the pages of a package until they agree with a listing made after writing them.
    pub(super) fn settle_package(&self, name: &PackageName, context: &Context) -> Result<()> {
        for _ in 0..ROUNDS {
            let entries = self.page_entries(name)?;
            if entries.is_empty() {
                return Ok(());
            }
            let objects = &*self.0.objects;
            let html = pages::package_html(name, &entries).into_bytes();
            let json = pages::package_json(name, &entries).into_bytes();
            let html = write_if_changed(objects, &format!("simple/{name}/index.html"), html, HTML)?;
            let json = write_if_changed(objects, &format!("simple/{name}/index.json"), json, PAGE)?;
            if !html && !json {
                return Ok(());
            }
        }
        let message = format!("the index of {name} was still changing; those who change it will finish it");
        context.warn("repo::busy_index", message);
        Ok(())
    }

    /// The same for the root pages. Names on the page are believed as long as their folder is there.
    fn settle_root(&self, context: &Context) -> Result<()> {
        let objects = &*self.0.objects;
        for _ in 0..ROUNDS {
            let page = objects
                .read("simple/index.json", ROOT_PAGE_LIMIT)?
                .unwrap_or_default();
            let known: BTreeSet<PackageName> = pages::names_in_root_json(&page).into_iter().collect();
            let folders = self.package_folders()?;
            let have = each(&folders, |name| {
                Ok::<_, Error>(known.contains(name) || self.has_files(name)?)
            })?;
            let both = folders.into_iter().zip(have);
            let names: Vec<PackageName> = both.filter_map(|(name, has)| has.then_some(name)).collect();
            let html = pages::root_html(&names).into_bytes();
            let json = pages::root_json(&names).into_bytes();
            let html = write_if_changed(objects, "simple/index.html", html, HTML)?;
            let json = write_if_changed(objects, "simple/index.json", json, PAGE)?;
            if !html && !json {
                return Ok(());
            }
        }
        let message = "the root index was still changing; those who change it will finish it";
        context.warn("repo::busy_index", message);
        Ok(())
    }

    fn page_entries(&self, name: &PackageName) -> Result<Vec<PageEntry>> {
        let shelf = self.shelf(name)?;
        let mut files: Vec<&Release> = shelf.files().collect();
        // Stable: of a version the wheels come first.
        files.sort_by(|a, b| a.version.cmp(&b.version));
        each(&files, |release| {
            let has_sidecar = !release.is_sdist() && self.has_sidecar(&shelf, release)?;
            Ok(PageEntry {
                sidecar: release.metadata_sha256.filter(|_| has_sidecar),
                release: (*release).clone().said(shelf.status(release)),
            })
        })
    }
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
