//! The files of an index: metadata, and whole wheels.
//!
//! Invariants: a file with a digest is returned only if it matches, from the server and from this disk alike; metadata is
//! that of the release it was asked for, or an error. A file without a digest gets its name, by which it is kept, only after it
//! was opened; it is hashed when it arrives, and people are told. SHA-384 and SHA-512 are compared wherever an index has them. Deliberately absent: unpacking.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::file::{self, Staged};
use backlot_core::web::shown;
use backlot_core::{Context, FileError, Operation, Sha256, shared};
use backlot_net::{CachedResponse, FileSink, HttpCache, Kind, Request, ResponseMeta};
use backlot_wheel::{ByteRange, Metadata, Piece, Sdist, WheelArchive};
use fs_err as fs;
use url::Url;

use super::error::IndexError;
use super::{IndexRepo, offline, ranges};
use crate::bounded::copy_blocks;
use crate::error::{Error, Result};
use crate::record::{METADATA_LIMIT, sha256, sha256_of_file, strong_of_bytes, strong_of_file};
use crate::release::ReleaseFile;

/// The largest wheel without a stated size.
pub(super) const WHEEL_LIMIT: u64 = 64 << 30;

impl IndexRepo {
    /// The metadata of a release: kept, from beside the wheel, from a few reads of the wheel, or from the whole of it.
    pub(crate) fn metadata(&self, release: &ReleaseFile) -> Result<Metadata> {
        // Cached files need no asynchronous work.
        let bytes = match self.kept_metadata(release) {
            Some(kept) => kept.body,
            None => self.0.network.block(self.fetch_metadata(release))?,
        };
        parse(release, &bytes)
    }

    /// The source distribution of a release; fetched whole and kept.
    pub(crate) fn source(&self, release: &ReleaseFile) -> Result<Sdist> {
        let path = self.0.network.block(self.local_wheel(release))?;
        Sdist::open(&path).map_err(|e| named(release, &path, e))
    }

    /// A part of a release's file, if its server does that.
    pub(crate) fn part(&self, release: &ReleaseFile, range: ByteRange) -> Result<Option<Piece>> {
        if self.is_offline() || self.find_wheel(release).is_some() {
            // Local files are read completely.
            return Ok(None);
        }
        let url = link(release)?;
        let network = &self.0.network;
        network.block(ranges::part(network, &self.0.account, &url, range))
    }

    /// Where the file of a release will be kept, if it is not there yet.
    pub(crate) fn absent(&self, release: &ReleaseFile) -> Option<PathBuf> {
        let store = self.0.network.responses();
        let path = || store.wheel(&wheel_keys(release)[0], &release.file);
        self.find_wheel(release).is_none().then(path)
    }

    /// Files that were read are cached there.
    pub(crate) fn store(&self) -> &HttpCache {
        self.0.network.responses()
    }

    /// The same for many releases at once, for later; see [`Self::prefetch`] for what fails.
    pub(crate) fn prefetch_metadata(&self, releases: &[&ReleaseFile]) -> Result<()> {
        let missing: Vec<ReleaseFile> = releases
            .iter()
            .filter(|r| !r.is_sdist() && self.kept_metadata(r).is_none())
            .map(|r| (*r).clone())
            .collect();
        self.for_all(missing, |repo, release| async move {
            repo.fetch_metadata(&release).await.map(drop)
        })
    }

    /// Fetch many wheels at once; [`Self::open_wheel`] then takes them from this disk.
    pub(crate) fn prefetch_wheels(&self, releases: &[&ReleaseFile]) -> Result<()> {
        if self.is_offline() {
            return Ok(());
        }
        let missing: Vec<ReleaseFile> = releases.iter().map(|r| (*r).clone()).collect();
        self.for_all(missing, |repo, release| async move {
            repo.local_wheel(&release).await.map(drop)
        })
    }

    /// The wheel of a release, open; fetched whole and kept.
    pub(crate) fn archive(&self, release: &ReleaseFile) -> Result<WheelArchive> {
        let path = self.0.network.block(self.local_wheel(release))?;
        WheelArchive::open(&path).map_err(|e| named(release, &path, e))
    }

    /// The digest of a wheel: the index's, or that of the wheel itself where the index has none.
    pub(crate) fn digest(&self, release: &ReleaseFile) -> Result<Sha256> {
        if let Some(known) = release.sha256 {
            return Ok(known);
        }
        let path = self.0.network.block(self.local_wheel(release))?;
        sha256_of_file(&path)
    }

    /// Put a wheel in place if it has the digest that the release has.
    pub(crate) fn open_wheel(&self, release: &ReleaseFile, target: &Path, context: &Context) -> Result<()> {
        let fetching = context.clone().about(release.place().subject());
        let running = fetching.start(Operation::Pull, 1, release.size.unwrap_or(0));
        let progress = |bytes| running.advance(0, bytes);
        match self.find_wheel(release) {
            // It is unpacked next and kept in that form.
            Some(path) if file::rename(&path, target).is_ok() => {
                if let Some(folder) = path.parent() {
                    fs::remove_dir(folder).ok();
                }
            }
            Some(path) => copy(&path, target)?,
            None => self.0.network.block(self.download(release, target, &progress))?,
        }
        running.advance(1, 0);
        Ok(())
    }

    fn kept_metadata(&self, release: &ReleaseFile) -> Option<CachedResponse> {
        let kept = self
            .0
            .network
            .responses()
            .find(Kind::Metadata, &metadata_key(release))?;
        let is_right = self.check_metadata(release, &kept.body, kept.head.sha256).is_ok();
        is_right.then_some(kept)
    }

    async fn fetch_metadata(&self, release: &ReleaseFile) -> Result<Vec<u8>> {
        let url = link(release)?;
        let network = &self.0.network;
        if self.is_offline() && self.find_wheel(release).is_none() {
            return Err(offline(
                format!("the metadata of {} {}", release.package, release.version),
                &url,
            ));
        }
        let mut found = None;
        if release.has_metadata && !self.is_offline() {
            found = self.metadata_beside(&url).await?;
        }
        if found.is_none() && self.find_wheel(release).is_none() {
            found = ranges::metadata(network, &self.0.account, &url).await?;
        }
        let bytes = match found {
            Some(bytes) => bytes,
            None => {
                let path = self.local_wheel(release).await?;
                let archive = WheelArchive::open(&path).map_err(|e| named(release, &path, e))?;
                archive.metadata_bytes().to_vec()
            }
        };
        // Only verified files are cached permanently.
        self.check_metadata(release, &bytes, sha256(&bytes))?;
        parse(release, &bytes)?;
        let head = ResponseMeta::new(&shown(&url), &shown(&url), 200, &bytes);
        network
            .responses()
            .keep(Kind::Metadata, &metadata_key(release), &head, &bytes);
        Ok(bytes)
    }

    /// `<wheel>.metadata`; `None` where the index promised it and does not have it.
    async fn metadata_beside(&self, wheel: &Url) -> Result<Option<Vec<u8>>> {
        let mut url = wheel.clone();
        url.set_path(&format!("{}.metadata", wheel.path()));
        let mut ask = Request::new(url.clone(), METADATA_LIMIT);
        ask.deadline = Some(self.0.network.options().page_timeout);
        let mut bytes = Vec::new();
        let answer = self.0.network.ask(&self.0.account, &ask, &mut bytes).await?;
        match answer.status {
            200 => Ok(Some(bytes)),
            404 | 410 => {
                let message = format!("`{}` is listed by its index but missing", shown(&url));
                self.warn_once("index::no_metadata", message);
                Ok(None)
            }
            status => Err(refused(&url, status)),
        }
    }

    /// Compare METADATA, whose digest is `found`, with the digest in the index.
    fn check_metadata(&self, release: &ReleaseFile, bytes: &[u8], found: Sha256) -> Result<()> {
        let wrong = |expected: String, found: String| IndexError::WrongDigest {
            file: format!("{}.metadata", release.file),
            url: self.place().to_string(),
            expected,
            found,
        };
        if let Some(expected) = release.metadata_sha256.filter(|expected| *expected != found) {
            return Err(wrong(format!("SHA-256 {expected}"), format!("SHA-256 {found}")).into());
        }
        if let Some(expected) = release.strong.as_ref().and_then(|strong| strong.metadata) {
            let found = strong_of_bytes(bytes, &expected);
            if found != expected {
                return Err(wrong(expected.to_string(), found.to_string()).into());
            }
        }
        Ok(())
    }

    /// A wheel on this disk, fetched if it is not there.
    async fn local_wheel(&self, release: &ReleaseFile) -> Result<PathBuf> {
        if let Some(path) = self.find_wheel(release) {
            return Ok(path);
        }
        let target = self
            .0
            .network
            .responses()
            .wheel(&wheel_keys(release)[0], &release.file);
        self.download(release, &target, &|_| {}).await?;
        Ok(target)
    }

    /// A local wheel that still matches.
    fn find_wheel(&self, release: &ReleaseFile) -> Option<PathBuf> {
        for key in wheel_keys(release) {
            let path = self.0.network.responses().wheel(&key, &release.file);
            if !path.is_file() {
                continue;
            }
            let is_right = release
                .sha256
                .is_none_or(|expected| sha256_of_file(&path).is_ok_and(|found| found == expected));
            let is_promised = release
                .strong()
                .is_none_or(|expected| strong_of_file(&path, expected).is_ok_and(|found| found == *expected));
            // Without a digest, a power cut may have left anything.
            let is_sound = || release.has_digest() || check_sound(release, &path).is_ok();
            if is_right && is_promised && is_sound() {
                return Some(path);
            }
            file::remove(&path).ok();
        }
        None
    }

    async fn download(
        &self,
        release: &ReleaseFile,
        target: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let url = link(release)?;
        if self.is_offline() {
            return Err(offline(
                format!("the wheel of {} {}", release.package, release.version),
                &url,
            ));
        }
        let mut staged = shared::staged_beside(target)?;
        let ask = Request::new(url.clone(), release.size.unwrap_or(WHEEL_LIMIT)).unpacked();
        let mut sink = FileSink::new(staged.file(), progress, release.strong());
        let answer = self.0.network.ask(&self.0.account, &ask, &mut sink).await;
        let wrong_size = |expected, found| IndexError::WrongSize {
            file: release.file.clone(),
            url: shown(&url),
            expected,
            found,
        };
        let answer = match (answer, release.size) {
            (Err(backlot_net::Error::TooLarge { .. }), Some(size)) => {
                return Err(wrong_size(size, size + 1).into());
            }
            (answer, _) => answer?,
        };
        if answer.status != 200 {
            return Err(refused(&url, answer.status));
        }
        let (size, (found, strong)) = (sink.size, sink.digests());
        // A digest tells more than a length, so it is compared first.
        let wrong = |expected: String, found: String| IndexError::WrongDigest {
            file: release.file.clone(),
            url: shown(&url),
            expected,
            found,
        };
        if let Some(expected) = release.sha256.filter(|expected| *expected != found) {
            return Err(wrong(format!("SHA-256 {expected}"), format!("SHA-256 {found}")).into());
        }
        if let (Some(expected), Some(found)) = (release.strong(), strong)
            && *expected != found
        {
            return Err(wrong(expected.to_string(), found.to_string()).into());
        }
        if let Some(expected) = release.size.filter(|expected| *expected != size) {
            return Err(wrong_size(expected, size).into());
        }
        // Not synced: a file lost in a power cut is fetched again, and a damaged one is detected by its digest.
        staged.file().flush().map_err(FileError::from)?;
        if release.has_digest() {
            return Ok(file::rename(staged.path(), target)?);
        }
        // Only its contents show that it is not a web page sent in its place.
        let folder = shared::temporary_folder(target.parent().unwrap_or(Path::new(".")), 1)?;
        let arrived = folder.path().join(&release.file);
        file::rename(staged.path(), &arrived)?;
        check_sound(release, &arrived)?;
        let message = format!(
            "`{}` has no digest on its index; the downloaded file has {found}",
            shown(&url)
        );
        self.warn_once("index::no_digest", message);
        Ok(file::rename(&arrived, target)?)
    }
}

/// Succeeds if a file is of the expected kind.
fn check_sound(release: &ReleaseFile, path: &Path) -> Result<()> {
    let opened = if release.is_sdist() {
        Sdist::open(path).map(drop)
    } else {
        WheelArchive::open(path).map(drop)
    };
    opened.map_err(|error| named(release, path, error))
}

/// An error about a fetched file, with its source: its path in the cache would not help the user.
fn named(release: &ReleaseFile, path: &Path, error: backlot_wheel::Error) -> Error {
    use backlot_wheel::Error as Unsound;
    let place = PathBuf::from(release.place().to_string());
    let said = |reason: String| {
        if begins_like_a_page(path) {
            "it is a web page".to_owned()
        } else {
            reason
        }
    };
    let error = match error {
        Unsound::BadWheel { reason, .. } => Unsound::BadWheel {
            path: place,
            reason: said(reason),
        },
        Unsound::BadSdist { reason, .. } => Unsound::BadSdist {
            path: place,
            reason: said(reason),
        },
        Unsound::HostileEntry { source, .. } => Unsound::HostileEntry { path: place, source },
        other => other,
    };
    error.into()
}

/// Metadata of this release, or the reason why it is not.
pub(crate) fn parse(release: &ReleaseFile, bytes: &[u8]) -> Result<Metadata> {
    let wrong = |reason: String| IndexError::WrongMetadata {
        file: release.file.clone(),
        url: release.place().to_string(),
        reason,
    };
    let metadata = Metadata::parse(&String::from_utf8_lossy(bytes)).map_err(|e| wrong(e.to_string()))?;
    if metadata.package() != release.package || metadata.version != release.version {
        return Err(wrong(format!("it is for {} {}", metadata.name, metadata.version)).into());
    }
    Ok(metadata)
}

fn link(release: &ReleaseFile) -> Result<Url> {
    let link = release.link().unwrap_or_default();
    Url::parse(link).map_err(|e| {
        backlot_net::Error::BadUrl {
            url: release.place().to_string(),
            reason: e.to_string(),
        }
        .into()
    })
}

/// The cache key of a release's metadata: its own digest, its wheel's, or its address.
pub(crate) fn metadata_key(release: &ReleaseFile) -> String {
    match (release.metadata_sha256, release.sha256, release.strong()) {
        (Some(digest), ..) => format!("metadata {digest} of {}", release.file),
        (None, Some(digest), _) => format!("wheel {digest} of {}", release.file),
        (None, None, Some(digest)) => format!("wheel {digest} of {}", release.file),
        (None, None, None) => format!("wheel {}", release.link().unwrap_or_default()),
    }
}

/// The possible cache keys of a wheel, the most reliable first.
fn wheel_keys(release: &ReleaseFile) -> Vec<String> {
    let mut keys: Vec<String> = release.sha256.iter().map(ToString::to_string).collect();
    keys.extend(release.strong().map(ToString::to_string));
    keys.extend(release.link().map(ToOwned::to_owned));
    keys
}

pub(super) fn refused(url: &Url, status: u16) -> Error {
    backlot_net::Error::Refused {
        url: shown(url),
        status,
        reason: String::new(),
    }
    .into()
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = fs::File::open(from)?;
    let mut staged = Staged::beside(to)?;
    copy_blocks(&mut source, |block| {
        Ok(staged.write_all(block).map_err(FileError::from)?)
    })?;
    Ok(staged.replace()?)
}

/// Whether a file is HTML: servers send it in place of missing files, or for a sign-in.
pub(super) fn begins_like_a_page(path: &Path) -> bool {
    let mut start = [0; 256];
    let read = fs_err::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut start));
    let length = read.unwrap_or(0);
    String::from_utf8_lossy(&start[..length])
        .trim_start()
        .starts_with('<')
}
