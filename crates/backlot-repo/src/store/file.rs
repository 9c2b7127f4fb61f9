//! The file of one release: its location, digest and contents. A file on a local disk is opened in place, the
//! rest is fetched and kept.
//!
//! Invariant: data is returned only if it has the digest of the release. Deliberately absent: the listing of a package (`snapshot`), and unpacking.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_backend::each;
use backlot_core::{Context, Operation, Sha256, file, shared};
use backlot_wheel::{ByteRange, Piece, Sdist, WheelArchive};
use sha2::Digest as _;

use super::ReleaseStore;
use crate::error::{Error, Result};
use crate::record::sha256_of_file;
use crate::release::ReleaseFile;

impl ReleaseStore {
    /// The key of a release's file.
    pub(super) fn key_of(&self, release: &ReleaseFile) -> String {
        match (release.path(), self.0.objects.root()) {
            (Some(path), Some(root)) => {
                let below = path.strip_prefix(root).unwrap_or(&path);
                below.to_string_lossy().into_owned()
            }
            _ => release.link().unwrap_or_default().to_owned(),
        }
    }

    /// The digest of a file: of one on this disk that has no record, by reading it.
    pub(crate) fn digest_of(&self, release: &ReleaseFile) -> Result<Sha256> {
        match (release.sha256, self.0.objects.file(&self.key_of(release))) {
            (Some(known), _) => Ok(known),
            (None, Some(path)) => sha256_of_file(&path),
            (None, None) => Err(self.no_release(release)),
        }
    }

    /// A part of a release's file.
    pub(crate) fn part(&self, release: &ReleaseFile, range: ByteRange) -> Result<Option<Piece>> {
        // One that was fetched is read from where it is kept, completely.
        let is_there = self.is_local() || self.absent(release).is_some();
        let Some(total) = release.size.filter(|_| is_there) else {
            return Ok(None);
        };
        let (start, length) = match range {
            ByteRange::Last(length) => (total.saturating_sub(length), length.min(total)),
            ByteRange::At(start, length) => (start, length),
        };
        let bytes = self.0.objects.part(&self.key_of(release), start, length)?;
        let whole = bytes.filter(|bytes| bytes.len() as u64 == length);
        Ok(whole.map(|bytes| Piece { start, bytes, total }))
    }

    /// Where the file of a release will be kept, if it is not there yet.
    pub(crate) fn absent(&self, release: &ReleaseFile) -> Option<PathBuf> {
        let path = self.kept_wheel(release)?;
        (!self.is_kept(&path, release)).then_some(path)
    }

    /// Fetch many wheels at once; [`Self::open_wheel`] then takes them from this disk.
    pub(crate) fn prefetch_wheels(&self, releases: &[&ReleaseFile]) -> Result<()> {
        if self.is_local() {
            return Ok(());
        }
        each(releases, |release| self.local_wheel(release).map(drop)).map(drop)
    }

    /// The wheel of a release, open; fetched whole and kept.
    pub(crate) fn archive(&self, release: &ReleaseFile) -> Result<WheelArchive> {
        Ok(WheelArchive::open(&self.local_wheel(release)?)?)
    }

    /// The source distribution of a release; fetched whole and kept.
    pub(crate) fn source(&self, release: &ReleaseFile) -> Result<Sdist> {
        Ok(Sdist::open(&self.local_wheel(release)?)?)
    }

    /// Place a file (atomically, replacing an existing one) if it has the size and digest of the release; else
    /// nothing is written. Reads at most one byte more than the release has.
    pub fn open_wheel(&self, release: &ReleaseFile, target: &Path, context: &Context) -> Result<()> {
        context.check()?;
        let context = &context.clone().about(release.place().subject());
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

    fn local_wheel(&self, release: &ReleaseFile) -> Result<PathBuf> {
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

    fn is_kept(&self, path: &Path, release: &ReleaseFile) -> bool {
        !self.0.is_uncached && sha256_of_file(path).is_ok_and(|found| Some(found) == release.sha256)
    }

    /// Where the file of a release far away is kept.
    fn kept_wheel(&self, release: &ReleaseFile) -> Option<PathBuf> {
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
            // Not synced: a file lost in a power cut is fetched again, and a damaged one is detected by its digest.
            staged.file().flush()?;
            file::rename(staged.path(), target)?;
            Ok(Some(digest))
        };
        match once() {
            Err(Error::WrongBytes { .. } | Error::TooLarge { .. }) if self.0.objects.forget(key) => once(),
            other => other,
        }
    }

    pub(super) fn no_release(&self, release: &ReleaseFile) -> Error {
        Error::NoRelease {
            package: release.package.clone(),
            version: release.version.clone(),
            repo: self.place(),
        }
    }
}
