//! Updating derived files: sidecars, records and index pages.
//!
//! Invariant: a page is written, then the store is listed again, until a fresh listing gives the page that is there. So the last writer of
//! a page has listed after writing it: whoever committed before that listing is on the page, and whoever committed after it will write the page
//! again (why that converges is in decision 2). Killed in between, a page may be old but never torn, and the next publish of that name or a
//! reindex settles it. Deliberately absent: locks, and any change to a wheel or a fact.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use backlot_backend::ObjectStore;
use backlot_core::{Context, Timestamp};
use backlot_pep::PackageName;

use super::known_page::KnownPage;
use super::snapshot::{PackageSnapshot, fold};
use super::{HTML, JSON, METADATA, PAGE, ReleaseStore, package_prefix, page_key, pages_prefix};
use crate::error::Result;
use crate::index::parse_metadata;
use crate::layout::RepoKind;
use crate::listing::by_name;
use crate::pages::{self, PageEntry};
use crate::record::{RECORD_FORMAT, ReleaseRecord};
use crate::release::ReleaseFile;
use crate::release_event::{ReleaseEvent, may_be, published_digests};

/// How often a page is written again because the listing changed meanwhile, before it is left to the others.
const ROUNDS: usize = 100;

/// The most a root page may have.
const ROOT_PAGE_LIMIT: u64 = 256 * 1024 * 1024;

/// The pages of a package or of the whole repo: for people, then for programs.
fn keys(prefix: &str) -> [String; 2] {
    [format!("{prefix}index.html"), format!("{prefix}index.json")]
}

impl ReleaseStore {
    /// Make all that is derived of a package right, and the root index. Returns the sidecars and records that were wrong.
    pub(super) fn complete(&self, package: &PackageName, context: &Context) -> Result<Vec<String>> {
        let known = self.known_page(package)?;
        let healed = self.repair_derived(package, &known)?;
        self.settle_package(package, &known, context)?;
        self.settle_root(false, context)?;
        Ok(healed)
    }

    /// The same for many, and only where the page does not name all files.
    pub(crate) fn complete_all(&self, names: &[PackageName], context: &Context) -> Result<()> {
        if names.is_empty() || self.kind()? != RepoKind::Backlot {
            return Ok(());
        }
        let none = KnownPage::default();
        for name in names {
            context.check()?;
            if !self.is_complete(name)? {
                self.repair_derived(name, &none)?;
                self.settle_package(name, &none, context)?;
            }
        }
        self.settle_root(false, context).map(drop)
    }

    /// Whether the page of a package names all its files.
    fn is_complete(&self, name: &PackageName) -> Result<bool> {
        if self.is_local() {
            return Ok(self.by_page(name)?.is_some());
        }
        let page = self.0.objects.read(&page_key(name), ROOT_PAGE_LIMIT)?;
        let page = String::from_utf8_lossy(&page.unwrap_or_default()).into_owned();
        let snapshot = self.known_snapshot(name)?;
        let is_named = |file: &ReleaseFile| page.contains(&format!("\"filename\":\"{}\"", file.file));
        Ok(snapshot.files().all(is_named))
    }

    /// Make the missing or wrong sidecars and records of a package's files, but for those of which a page of before says all. Returns what
    /// was written.
    pub(super) fn repair_derived(&self, package: &PackageName, known: &KnownPage) -> Result<Vec<String>> {
        let snapshot = self.snapshot_without(package, &|file| known.has(file))?;
        let files: Vec<&ReleaseFile> = snapshot.files().collect();
        let healed = self.each(&files, |release| self.heal_file(&snapshot, release))?;
        Ok(healed.into_iter().flatten().collect())
    }

    /// A package without some of its files, where those cost more than they tell.
    fn snapshot_without(
        &self,
        package: &PackageName,
        unwanted: &dyn Fn(&str) -> bool,
    ) -> Result<Arc<PackageSnapshot>> {
        if self.is_local() {
            return self.snapshot_of(package, &|file| !unwanted(file)).map(Arc::new);
        }
        self.snapshot(package)
    }

    /// The same of one file. One that is damaged, or cannot be described, is passed over: nothing is made from it.
    fn heal_file(&self, snapshot: &PackageSnapshot, release: &ReleaseFile) -> Result<Vec<String>> {
        let mut healed = Vec::new();
        let key = self.key_of(release);
        let facts: Vec<&ReleaseEvent> = snapshot.facts(&release.version).collect();
        let published = published_digests(facts.iter().copied(), &release.file);
        let recorded = record_of(release).filter(|_| !snapshot.unrecorded.contains(&key));
        let sidecar = self.sidecar(snapshot, release)?;
        if let Some(record) = &recorded
            && may_be(&published, record.sha256)
            && self.timed(&facts, release, record.clone()) == *record
            && (release.is_sdist() || sidecar.is_some_and(|bytes| is_described(release, &bytes)))
        {
            return Ok(healed);
        }
        let Some(entry) = snapshot.entries.get(&key) else {
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
        let record = self.timed(
            &facts,
            release,
            ReleaseRecord {
                modified: known.modified,
                published_at: known.published_at,
                ..found.clone()
            },
        );
        if recorded.as_ref() != Some(&record) {
            let beside = format!("{key}.json");
            objects.write_for_now(&beside, record.to_bytes(), JSON)?;
            healed.push(beside);
        }
        Ok(healed)
    }

    /// A record with the times of the `published` fact, where there is one. A file on a disk has a time of its own.
    fn timed(&self, facts: &[&ReleaseEvent], release: &ReleaseFile, record: ReleaseRecord) -> ReleaseRecord {
        let file = ReleaseFile {
            sha256: Some(record.sha256),
            modified: record.modified,
            ..release.clone()
        };
        match fold(facts.iter().copied(), &file).published {
            Some(fact) => ReleaseRecord {
                published_at: fact.at,
                modified: match fact.modified {
                    Some(modified) if !self.is_local() => modified,
                    _ => record.modified,
                },
                ..record
            },
            None => record,
        }
    }

    /// Write the pages of a package until they agree with a listing made after writing them, by a page of before where that tells. A package
    /// without files has none. Returns whether one changed.
    pub(super) fn settle_package(
        &self,
        name: &PackageName,
        known: &KnownPage,
        context: &Context,
    ) -> Result<bool> {
        let mut any = false;
        let prefix = pages_prefix(name);
        let [html_key, json_key] = keys(&prefix);
        for _ in 0..ROUNDS {
            let entries = self.page_entries(name, known)?;
            let objects = &*self.0.objects;
            let changed = if entries.is_empty() {
                self.remove_pages(name, &prefix)?
            } else {
                let html = pages::package_html(name, &entries).into_bytes();
                let json = pages::package_json(name, &entries).into_bytes();
                let html = write_if_changed(objects, &html_key, html, HTML)?;
                // Written again, too, where it is older than the last change: only then it counts as current.
                let json = if self.is_older(&json_key, &package_prefix(name))? {
                    objects.write_for_now(&json_key, json, PAGE)?;
                    true
                } else {
                    write_if_changed(objects, &json_key, json, PAGE)?
                };
                html || json
            };
            if !changed {
                return Ok(any);
            }
            any = true;
        }
        let message = format!("the index of {name} is being changed by other writers, who will complete it");
        context.warn("repo::busy_index", message);
        Ok(any)
    }

    /// Whether a page was written before the last change of a folder, where the store tells.
    fn is_older(&self, page: &str, folder: &str) -> Result<bool> {
        let (page, folder) = (self.0.objects.revision(page)?, self.0.objects.revision(folder)?);
        Ok(matches!((page, folder), (Some(page), Some(folder)) if 0 < page && page < folder))
    }

    /// Remove the pages of a package that has no files; whether there were any.
    fn remove_pages(&self, name: &PackageName, prefix: &str) -> Result<bool> {
        // One that may not be asked for seems empty.
        if !self.admits(name) {
            return Ok(false);
        }
        let mut removed = false;
        for key in keys(prefix) {
            if self.0.objects.stat(&key)?.is_some() {
                self.0.objects.delete(&key)?;
                removed = true;
            }
        }
        if removed {
            self.0.objects.tidy(prefix);
        }
        Ok(removed)
    }

    /// The same for the root pages; returns those that changed. Names on the page are believed as long as their folder is
    /// there, unless `all` is given: so a publish costs one listing however many packages there are.
    pub(super) fn settle_root(&self, all: bool, context: &Context) -> Result<Vec<String>> {
        let objects = &*self.0.objects;
        let [html_key, json_key] = keys("simple/");
        let mut changed = BTreeSet::new();
        for _ in 0..ROUNDS {
            let page = objects.read(&json_key, ROOT_PAGE_LIMIT)?;
            let known: BTreeSet<PackageName> = match &page {
                Some(page) if !all => pages::names_in_root_json(page).into_iter().collect(),
                _ => BTreeSet::new(),
            };
            let folders = self.package_folders()?;
            let have = self.each(&folders, |name| Ok(known.contains(name) || self.has_files(name)?))?;
            let both = folders.into_iter().zip(have);
            let names: Vec<PackageName> = both.filter_map(|(name, has)| has.then_some(name)).collect();
            if all && names.is_empty() && page.is_none() && objects.stat(&html_key)?.is_none() {
                // A repo without packages needs none.
                return Ok(Vec::new());
            }
            let html = pages::root_html(&names).into_bytes();
            let json = pages::root_json(&names).into_bytes();
            let html = write_if_changed(objects, &html_key, html, HTML)?;
            let json = write_if_changed(objects, &json_key, json, PAGE)?;
            changed.extend(html.then(|| html_key.clone()));
            changed.extend(json.then(|| json_key.clone()));
            if !html && !json {
                return Ok(changed.into_iter().collect());
            }
        }
        let message = "the root index is being changed by other writers, who will complete it";
        context.warn("repo::busy_index", message);
        Ok(changed.into_iter().collect())
    }

    fn page_entries(&self, name: &PackageName, known: &KnownPage) -> Result<Vec<PageEntry>> {
        let mut entries = known.entries(self, name)?;
        let snapshot = {
            let known: HashSet<&str> = entries.iter().map(|entry| &*entry.release.file).collect();
            self.snapshot_without(name, &|file| known.contains(file))?
        };
        let files: Vec<&ReleaseFile> = snapshot.files().collect();
        let new = self.each(&files, |release| {
            // Deleted since it was listed, or unreadable: it cannot be fetched.
            let Ok(sha256) = self.digest_of(release) else {
                return Ok(None);
            };
            let release = ReleaseFile {
                sha256: Some(sha256),
                ..(*release).clone()
            };
            let has_sidecar = self.sidecar(&snapshot, &release)?.is_some();
            let status = snapshot.status(&release);
            Ok(Some(PageEntry {
                sidecar: release.metadata_sha256.filter(|_| has_sidecar),
                release: release.said(status),
            }))
        })?;
        entries.extend(new.into_iter().flatten());
        // Of a version the wheels come first.
        entries.sort_by(|PageEntry { release: a, .. }, PageEntry { release: b, .. }| {
            let versions = (&a.version, a.is_sdist()).cmp(&(&b.version, b.is_sdist()));
            versions.then_with(|| by_name(a, b))
        });
        Ok(entries)
    }
}

/// Whether a sidecar says of a release what its record says.
fn is_described(release: &ReleaseFile, sidecar: &[u8]) -> bool {
    // One that cannot be parsed was good enough to publish.
    parse_metadata(release, sidecar).map_or(true, |metadata| {
        metadata.requires_python.as_ref().map(ToString::to_string) == release.requires_python
    })
}

fn record_of(release: &ReleaseFile) -> Option<ReleaseRecord> {
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
    objects.write_for_now(key, bytes, kind)?;
    Ok(true)
}
