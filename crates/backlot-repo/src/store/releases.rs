//! Reading a store: the releases of a package with their status and metadata.
//!
//! Invariant: metadata is that which the release was published with, by its digest. Deliberately absent: the files themselves (`file`).

use backlot_backend::each;
use backlot_core::Context;
use backlot_net::Kind;
use backlot_pep::{PackageName, Version};
use backlot_wheel::{Metadata, WheelName};

use super::ReleaseStore;
use super::snapshot::{PackageSnapshot, fold};
use crate::error::{Error, Result};
use crate::index::{metadata_key, parse_metadata};
use crate::listing::{BrokenRelease, Listing};
use crate::record::{METADATA_LIMIT, sha256};
use crate::release::ReleaseFile;
use crate::release_event::ReleaseStatus;

impl ReleaseStore {
    /// The releases of a package, oldest version first: one for each version. Wheels that cannot be used are warned about
    /// once (`repo::broken_release`).
    pub fn releases(&self, name: &PackageName, context: &Context) -> Result<Vec<ReleaseFile>> {
        let mut releases = self.wheels(name, context)?;
        releases.dedup_by(|next, kept| next.version == kept.version);
        Ok(releases)
    }

    /// The good wheels of a package, oldest version first. Those that cannot be used are warned about once.
    pub fn wheels(&self, name: &PackageName, context: &Context) -> Result<Vec<ReleaseFile>> {
        Ok(self.listing(name, context)?.releases)
    }

    /// One release. Only the wheels of this version are looked into, so its cost does not grow with the others.
    pub fn release(&self, name: &PackageName, version: &Version, context: &Context) -> Result<ReleaseFile> {
        let is_of_it = |file: &str| match WheelName::parse_likely(file.trim_end_matches(".json"), name) {
            Ok(wheel) => wheel.version == *version,
            Err(_) => false,
        };
        let mut snapshot = PackageSnapshot::default();
        if self.admits(name) {
            snapshot = self.snapshot_of(name, &is_of_it)?;
        }
        let first = self.said_of(&snapshot, context).releases.into_iter().next();
        first.ok_or_else(|| Error::NoRelease {
            package: name.clone(),
            version: version.clone(),
            repo: self.place(),
        })
    }

    /// All files of a package in the store, with the status of each release; unusable ones cause
    /// about once.
    pub(crate) fn listing(&self, name: &PackageName, context: &Context) -> Result<Listing> {
        match self.by_page(name)? {
            Some(listing) => Ok(listing),
            None => Ok(self.said_of(&*self.next_snapshot(name)?, context)),
        }
    }

    /// The same as it was a moment ago, if it was read then.
    pub(crate) fn recent_listing(&self, name: &PackageName, context: &Context) -> Result<Listing> {
        if self.is_local() {
            return self.listing(name, context);
        }
        Ok(self.said_of(&*self.recent_snapshot(name)?, context))
    }

    /// The listing of a snapshot, with the status of each release.
    fn said_of(&self, snapshot: &PackageSnapshot, context: &Context) -> Listing {
        let mut listing = snapshot.listing.clone();
        for files in [&mut listing.releases, &mut listing.sources] {
            let said = std::mem::take(files).into_iter().map(|release| {
                let status = snapshot.status(&release);
                release.said(status)
            });
            *files = said.collect();
        }
        for BrokenRelease { place, reason, .. } in &listing.broken {
            if self.warned().insert(place.clone()) {
                context.warn("repo::broken_release", format!("`{place}` is not used: {reason}"));
            }
        }
        listing
    }

    /// All files of a package in the store: every good one, and unusable ones with the reason.
    pub fn releases_with_problems(&self, name: &PackageName) -> Result<Listing> {
        if self.is_local() {
            return Ok(self.read_package(name, &|_| true)?.listing);
        }
        Ok(self.snapshot(name)?.listing.clone())
    }

    /// The source distributions of a package, oldest version first.
    pub(crate) fn sources(&self, name: &PackageName) -> Result<Vec<ReleaseFile>> {
        match self.by_page(name)? {
            Some(listing) => Ok(listing.sources),
            None => Ok(self.releases_with_problems(name)?.sources),
        }
    }

    /// The status of a release; in a remote store, as of when its package was last read.
    pub fn status(&self, release: &ReleaseFile) -> Result<ReleaseStatus> {
        if !self.is_local() {
            return Ok(self.known_snapshot(&release.package)?.status(release));
        }
        let said = self.said(&release.package, &release.version)?;
        Ok(fold(said.facts(), &self.looked_at(release)))
    }

    /// The same with the time that its file has, where only a page was read so far.
    pub(super) fn looked_at(&self, release: &ReleaseFile) -> ReleaseFile {
        let mut release = release.clone();
        if release.modified == 0
            && let Ok(Some(entry)) = self.0.objects.stat(&self.key_of(&release))
        {
            release.modified = entry.modified;
        }
        release
    }

    /// Read many packages at once.
    pub(crate) fn prefetch(&self, names: &[PackageName]) -> Result<()> {
        if self.is_local() {
            return Ok(());
        }
        each(names, |name| self.snapshot_ahead(name)).map(drop)
    }

    /// Read the metadata of many releases at once.
    pub(crate) fn prefetch_metadata(&self, releases: &[&ReleaseFile]) -> Result<()> {
        if self.is_local() {
            return Ok(());
        }
        let mut wheels = releases.to_vec();
        wheels.retain(|release| !release.is_sdist());
        each(&wheels, |release| self.metadata_bytes(release).map(drop)).map(drop)
    }

    /// The metadata of a release: kept, from its sidecar, or from the wheel.
    pub fn metadata(&self, release: &ReleaseFile) -> Result<Metadata> {
        parse_metadata(release, &self.metadata_bytes(release)?)
    }

    fn metadata_bytes(&self, release: &ReleaseFile) -> Result<Vec<u8>> {
        let is_right = |bytes: &[u8]| Some(sha256(bytes)) == release.metadata_sha256;
        let key = metadata_key(release);
        if let Some(kept) = self.find_kept(Kind::Metadata, &key)
            && is_right(&kept.body)
        {
            return Ok(kept.body);
        }
        let sidecar = format!("{}.metadata", self.key_of(release));
        let beside = match self.0.objects.read(&sidecar, METADATA_LIMIT) {
            // A wheel on this disk says the same.
            Err(_) if self.is_local() => None,
            beside => beside?,
        };
        let bytes = match beside {
            Some(bytes) if is_right(&bytes) => bytes,
            _ => {
                let archive = self.archive(release)?;
                let bytes = archive.metadata_bytes().to_vec();
                if !is_right(&bytes) {
                    return Err(Error::WrongBytes {
                        place: release.place(),
                        expected: release.metadata_sha256.unwrap_or_else(|| sha256(b"")),
                        found: sha256(&bytes),
                    });
                }
                bytes
            }
        };
        self.keep(&key, &self.key_of(release), &bytes);
        Ok(bytes)
    }
}
