//! A package's page as it was before a change, so that the next page costs what changed and not all versions.
//!
//! A wheel is never replaced, so what a page says of one stays true, but for status events, which lie in a folder for each
//! version. Invariant: an entry is used again only if its version's events are older than the page it is from, by more
//! than the clocks of file systems are coarse, and so are its sidecar and its record; the page is the one found at the start, never
//! one that was written meanwhile. Deliberately absent: source distributions, which are few, and whose entries are made again, and
//! stores that do not tell when a folder changed, of which nothing is known.

use std::collections::HashMap;
use std::sync::Arc;

use backlot_pep::PackageName;

use super::by_page::release;
use super::{ReleaseStore, package_prefix, page_key, status_prefix};
use crate::error::Result;
use crate::layout::COARSE;
use crate::page_reader;
use crate::pages::PageEntry;
use crate::release::ReleaseFile;

/// What a page says of the wheels that lie there with all that belongs to them, by file name.
#[derive(Debug, Default)]
pub(super) struct KnownPage {
    /// In nanoseconds since the Unix epoch.
    written: u64,
    releases: HashMap<String, ReleaseFile>,
}

impl ReleaseStore {
    /// The page of a package as it is now; empty if there is none that can be relied on.
    pub(super) fn known_page(&self, name: &PackageName) -> Result<KnownPage> {
        let Some(root) = self.0.objects.root() else {
            return Ok(KnownPage::default());
        };
        // Before it is read: a page that replaces it meanwhile only seems older than it is.
        let Some(written) = self.0.objects.revision(&page_key(name))? else {
            return Ok(KnownPage::default());
        };
        let bytes = self.page_reader(name)?.unwrap_or_default();
        let prefix = package_prefix(name);
        let folder = Arc::from(root.join(&prefix));
        let files = page_reader::read(&bytes).unwrap_or_default().into_iter();
        let mut known = KnownPage {
            written,
            releases: HashMap::new(),
        };
        for release in files.filter_map(|file| release(file, &folder, name)) {
            let wheel = format!("{prefix}{}", release.file);
            // A derived file that was changed since is checked again.
            let beside = [format!("{wheel}.metadata"), format!("{wheel}.json")];
            if beside.iter().all(|key| known.is_newer_than(self, key)) {
                known.releases.insert(release.file.clone(), release);
            }
        }
        Ok(known)
    }
}

impl KnownPage {
    /// Whether the page was surely written after the last change of an object or folder, which is there.
    fn is_newer_than(&self, repo: &ReleaseStore, key: &str) -> bool {
        let coarse = u64::try_from(COARSE.as_nanos()).unwrap_or(u64::MAX);
        match repo.0.objects.revision(key) {
            Ok(Some(changed)) => changed > 0 && changed.saturating_add(coarse) < self.written,
            _ => false,
        }
    }

    /// Whether it knows a file.
    pub(super) fn has(&self, file: &str) -> bool {
        self.releases.contains_key(file)
    }

    /// The entries of those that still lie there, if nothing was said about them since.
    pub(super) fn entries(&self, repo: &ReleaseStore, name: &PackageName) -> Result<Vec<PageEntry>> {
        if self.releases.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for file in repo.names_of(name)? {
            let Some(release) = self.releases.get(&file) else {
                continue;
            };
            let events = status_prefix(&release.package, &release.version);
            if self.is_newer_than(repo, &events) || repo.0.objects.revision(&events)? == Some(0) {
                entries.push(PageEntry {
                    release: release.clone(),
                    sidecar: release.metadata_sha256,
                });
            }
        }
        Ok(entries)
    }
}
