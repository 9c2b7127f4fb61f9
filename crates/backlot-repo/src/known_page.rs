//! A package's page as it was before a change, so that the next page costs what changed and not all versions.
//!
//! A wheel is never replaced, so what a page says of one stays true, but for status events, which lie in a folder for each
//! version. Invariant: an entry is used again only if its version's events are older than the page it is from, by more
//! than the clocks of file systems are coarse, and so are its sidecar and its record; the page is the one found at the start, never
//! one that was written meanwhile. Deliberately absent: source distributions, which are few, and whose entries are made again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use backlot_core::PackageName;
use backlot_core::presence::is_absent;

use crate::bounded::read_bounded;
use crate::error::Result;
use crate::folder::FolderRepo;
use crate::layout::COARSE;
use crate::own_page;
use crate::pages::PageEntry;
use crate::quick::{PAGE_LIMIT, modified, release};
use crate::record::{record_path, sidecar_path};
use crate::release::Release;

/// What a page says of the wheels that lie there with all that belongs to them, by file name.
#[derive(Debug, Default)]
pub(crate) struct KnownPage {
    written: Option<SystemTime>,
    releases: HashMap<String, Release>,
}

impl FolderRepo {
    /// The page of a package as it is now; empty if there is none that can be read.
    pub(crate) fn known_page(&self, name: &PackageName) -> Result<KnownPage> {
        let path = self.places.pages(name).join("index.json");
        // Before it is read: a page that replaces it meanwhile only seems older than it is.
        let written = modified(&path);
        let bytes = read_bounded(&path, PAGE_LIMIT)?.unwrap_or_default();
        let package = self.places.package(name);
        let folder = Arc::from(&*package);
        let files = own_page::read(&bytes).unwrap_or_default().into_iter();
        let mut known = KnownPage {
            written,
            releases: HashMap::new(),
        };
        for release in files.filter_map(|file| release(file, &folder, name)) {
            let wheel = package.join(&release.file);
            // A derived file that somebody changed since is looked at again.
            if known.is_newer_than(&sidecar_path(&wheel)) && known.is_newer_than(&record_path(&wheel)) {
                known.releases.insert(release.file.clone(), release);
            }
        }
        Ok(known)
    }
}

impl KnownPage {
    /// Whether the page was surely written after the last change of a file or folder.
    fn is_newer_than(&self, path: &Path) -> bool {
        matches!((modified(path), self.written), (Some(changed), Some(written)) if changed + COARSE < written)
    }

    /// Whether it knows a file.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.releases.contains_key(file)
    }

    /// The entries of those that still lie there, if nothing was said about them since.
    pub(crate) fn entries(&self, repo: &FolderRepo, name: &PackageName) -> Result<Vec<PageEntry>> {
        if self.releases.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for file in repo.places.package_files(name)? {
            let Some(release) = self.releases.get(&file) else {
                continue;
            };
            let events = repo.places.status(&release.package, &release.version);
            if self.is_newer_than(&events) || is_absent(&events)? {
                entries.push(PageEntry {
                    release: release.clone(),
                    sidecar: release.metadata_sha256,
                });
            }
        }
        Ok(entries)
    }
}
