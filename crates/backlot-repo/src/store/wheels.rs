//! Reading a store: releases, metadata, and whole wheels. What lies on a disk of this machine is opened where it lies, the rest is
//! fetched and kept.
//!
//! Invariant: bytes leave here only with the digest that the release has. Deliberately absent: unpacking.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_backend::each;
use backlot_core::{Context, Operation, PackageName, Sha256, Version, file, shared};
use backlot_net::{Kind, Responses};
use backlot_wheel::{Metadata, Sdist, WheelArchive, WheelName};
use sha2::Digest as _;

use super::ReleaseStore;
use super::shelf::{Shelf, fold};
use crate::error::{Error, Result};
use crate::fact::ReleaseStatus;
use crate::index::{metadata_key, parse_metadata};
use crate::listing::{BrokenRelease, Listing};
use crate::parts::{Part, Piece};
use crate::record::{METADATA_LIMIT, sha256, sha256_of_file};
use crate::release::Release;

impl ReleaseStore {
    /// The releases of a package, oldest version first: one for each version. Wheels that cannot be used are warned about
    /// once (`repo::broken_release`).
    pub fn releases(&self, name: &PackageName, context: &Context) -> Result<Vec<Release>> {
        let mut releases = self.wheels(name, context)?;
        releases.dedup_by(|next, kept| next.version == kept.version);
        Ok(releases)
    }

    /// The good wheels of a package, oldest version first. Those that cannot be used are warned about once.
    pub fn wheels(&self, name: &PackageName, context: &Context) -> Result<Vec<Release>> {
        Ok(self.listing(name, context)?.releases)
    }

    /// One release. Only the wheels of this version are looked into, so its cost does not grow with the others.
    pub fn release(&self, name: &PackageName, version: &Version, context: &Context) -> Result<Release> {
        let is_of_it = |file: &str| match WheelName::parse_likely(file.trim_end_matches(".json"), name) {
            Ok(wheel) => wheel.version == *version,
            Err(_) => false,
        };
        let mut shelf = Shelf::default();
        if self.admits(name) {
            shelf = self.shelf_of(name, &is_of_it)?;
        }
        let first = self.said_of(&shelf, context).releases.into_iter().next();
        first.ok_or_else(|| Error::NoRelease {
            package: name.clone(),
            version: version.clone(),
            repo: self.place(),
        })
    }

    /// All that the store has under a package's name, with what was said of each release; what cannot be used is warned
    /// about once.
    pub(crate) fn listing(&self, name: &PackageName, context: &Context) -> Result<Listing> {
        match self.by_page(name)? {
            Some(listing) => Ok(listing),
            None => Ok(self.said_of(&*self.next_shelf(name)?, context)),
        }
    }

    /// The same as it was a moment ago, if it was read then.
    pub(crate) fn recent_listing(&self, name: &PackageName, context: &Context) -> Result<Listing> {
        if self.is_local() {
            return self.listing(name, context);
        }
        Ok(self.said_of(&*self.recent_shelf(name)?, context))
    }

    /// The listing of a shelf, with what was said of each release.
    fn said_of(&self, shelf: &Shelf, context: &Context) -> Listing {
        let mut listing = shelf.listing.clone();
        for files in [&mut listing.releases, &mut listing.sources] {
            let said = std::mem::take(files).into_iter().map(|release| {
                let status = shelf.status(&release);
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

    /// All that the store has under a package's name: every good file, and what cannot be used with the reason.
    pub fn releases_with_problems(&self, name: &PackageName) -> Result<Listing> {
        if self.is_local() {
            return Ok(self.read_package(name, &|_| true)?.listing);
        }
        Ok(self.shelf(name)?.listing.clone())
    }

    /// The source distributions of a package, oldest version first.
    pub(crate) fn sources(&self, name: &PackageName) -> Result<Vec<Release>> {
        match self.by_page(name)? {
            Some(listing) => Ok(listing.sources),
            None => Ok(self.releases_with_problems(name)?.sources),
        }
    }

    /// What is known about a release beside its file; of a store far away, as of when its package was last read.
    pub fn status(&self, release: &Release) -> Result<ReleaseStatus> {
        if !self.is_local() {
            return Ok(self.known_shelf(&release.package)?.status(release));
        }
        let said = self.said(&release.package, &release.version)?;
        Ok(fold(said.facts(), &self.looked_at(release)))
    }

    /// The same with the time that its file has, where only a page was read so far.
    pub(super) fn looked_at(&self, release: &Release) -> Release {
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
        each(names, |name| self.shelf_ahead(name)).map(drop)
    }

    /// Read the metadata of many releases at once.
    pub(crate) fn prefetch_metadata(&self, releases: &[&Release]) -> Result<()> {
        if self.is_local() {
            return Ok(());
        }
        let mut wheels = releases.to_vec();
        wheels.retain(|release| !release.is_sdist());
        each(&wheels, |release| self.metadata_bytes(release).map(drop)).map(drop)
    }

    /// The metadata of a release: kept, from its sidecar, or from the wheel.
    pub fn metadata(&self, release: &Release) -> Result<Metadata> {
        parse_metadata(release, &self.metadata_bytes(release)?)
    }

    fn metadata_bytes(&self, release: &Release) -> Result<Vec<u8>> {
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

    /// Fetch many wheels at once; [`Self::open_wheel`] then takes them from this disk.
    pub(crate) fn prefetch_wheels(&self, releases: &[&Release]) -> Result<()> {
        if self.is_local() {
            return Ok(());
        }
        each(releases, |release| self.local_wheel(release).map(drop)).map(drop)
    }

    /// The wheel of a release, open; fetched whole and kept.
    pub(crate) fn archive(&self, release: &Release) -> Result<WheelArchive> {
        Ok(WheelArchive::open(&self.local_wheel(release)?)?)
    }

    /// The source distribution of a release; fetched whole and kept.
    pub(crate) fn source(&self, release: &Release) -> Result<Sdist> {
        Ok(Sdist::open(&self.local_wheel(release)?)?)
    }

    /// A part of a release's file.
    pub(crate) fn part(&self, release: &Release, part: Part) -> Result<Option<Piece>> {
        let Some(total) = release.size.filter(|_| self.absent(release).is_some()) else {
            // Of what is on this disk all is read.
            return Ok(None);
        };
        let (start, length) = match part {
            Part::Last(length) => (total.saturating_sub(length), length.min(total)),
            Part::At(start, length) => (start, length),
        };
        let bytes = self.0.objects.part(&self.key_of(release), start, length)?;
        let whole = bytes.filter(|bytes| bytes.len() as u64 == length);
        Ok(whole.map(|bytes| Piece { start, bytes, total }))
    }

    /// Where the file of a release will be kept, if it is not there yet.
    pub(crate) fn absent(&self, release: &Release) -> Option<PathBuf> {
        let path = self.kept_wheel(release)?;
        (!self.is_kept(&path, release)).then_some(path)
    }

    /// What was read from afar is kept there.
    pub(crate) fn kept(&self) -> Option<&Responses> {
        self.0.kept.as_ref()
    }

    /// The key of a release's file.
    pub(super) fn key_of(&self, release: &Release) -> String {
        match (release.path(), self.0.objects.root()) {
            (Some(path), Some(root)) => {
                let below = path.strip_prefix(root).unwrap_or(&path);
                below.to_string_lossy().into_owned()
            }
            _ => release.link().unwrap_or_default().to_owned(),
        }
    }

    /// Put a file in place (atomically, replacing what is there) if it has the size and digest that the release has; else
    /// nothing is written. Reads at most one byte more than the release has.
    pub fn open_wheel(&self, release: &Release, target: &Path, context: &Context) -> Result<()> {
        context.check()?;
        let size = release.size.unwrap_or(0);
        let running = context.start(Operation::Pull, 1, size);
        let kept = self
            .kept_wheel(release)
            .filter(|kept| self.is_kept(kept, release));
        let is_placed = kept.is_some_and(|kept| file::rename(&kept, target).is_ok());
        if !is_placed {
            let key = self.key_of(release);
            let found = self.download(&key, target, size, release.sha256, context, &|bytes| {
                running.advance(0, bytes);
            })?;
            if found.is_none() {
                return Err(self.no_release(release));
            }
        }
        running.advance(1, 0);
        Ok(())
    }

    fn local_wheel(&self, release: &Release) -> Result<PathBuf> {
        let key = self.key_of(release);
        if let Some(path) = self.0.objects.file(&key) {
            return Ok(path);
        }
        let path = self.kept_wheel(release).ok_or_else(|| self.no_release(release))?;
        if self.is_kept(&path, release) {
            return Ok(path);
        }
        let size = release.size.unwrap_or(0);
        let found = self.download(&key, &path, size, release.sha256, &Context::default(), &|_| {})?;
        found.map(|_| path).ok_or_else(|| self.no_release(release))
    }

    fn is_kept(&self, path: &Path, release: &Release) -> bool {
        !self.0.is_uncached && sha256_of_file(path).is_ok_and(|found| Some(found) == release.sha256)
    }

    /// Where the file of a release far away is kept.
    fn kept_wheel(&self, release: &Release) -> Option<PathBuf> {
        let key = release
            .sha256
            .map_or_else(|| release.place().to_string(), |digest| digest.to_string());
        Some(self.0.kept.as_ref()?.wheel(&key, &release.file))
    }

    /// Fetch an object of a known size to a file that appears only if it is right; `None` if it is gone. Reads little more
    /// than the size. What a site cache has wrong is read again from the store itself.
    pub(super) fn download(
        &self,
        key: &str,
        target: &Path,
        size: u64,
        expected: Option<Sha256>,
        context: &Context,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<Sha256>> {
        let once = || -> Result<Option<Sha256>> {
            let mut staged = shared::staged_beside(target)?;
            let (mut hasher, mut read) = (sha2::Sha256::new(), 0);
            let mut take = |block: &[u8]| -> Result<()> {
                context.check()?;
                read += block.len() as u64;
                hasher.update(block);
                if read > size {
                    let found = Sha256::from_bytes(hasher.clone().finalize().into());
                    return Err(match expected {
                        Some(expected) => Error::WrongBytes {
                            place: self.at(key),
                            expected,
                            found,
                        },
                        None => Error::TooLarge {
                            place: self.at(key),
                            limit: size,
                        },
                    });
                }
                progress(block.len() as u64);
                Ok(staged.write_all(block)?)
            };
            let mut refused = None;
            let found = self.0.objects.fetch(key, &mut |block| {
                refused = take(block).err();
                refused.is_none()
            })?;
            if let Some(error) = refused {
                return Err(error);
            }
            let digest = Sha256::from_bytes(hasher.finalize().into());
            if !found {
                return Ok(None);
            }
            if read != size || expected.is_some_and(|expected| expected != digest) {
                return Err(Error::WrongBytes {
                    place: self.at(key),
                    expected: expected.unwrap_or(digest),
                    found: digest,
                });
            }
            // Not synced: what a power cut takes is fetched again, and what is damaged is found out by its digest.
            staged.file().flush()?;
            file::rename(staged.path(), target)?;
            Ok(Some(digest))
        };
        match once() {
            Err(Error::WrongBytes { .. } | Error::TooLarge { .. }) if self.0.objects.forget(key) => once(),
            other => other,
        }
    }
}
