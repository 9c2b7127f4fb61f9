//! A bundle that was opened: a private copy of its files, each proven against the manifest before any is used.
//!
//! Invariant: nothing is used out of the bundle itself, so whoever can write to it changes nothing after it was checked. What
//! a folder has beside the files of its manifest (byte code, for one) is not looked at.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use backlot_core::{Context, Operation};
use fs_err as fs;
use rayon::prelude::*;

use super::archive::{self, target_of, write_checked};
use super::manifest::{BundleFile, BundleManifest, FILE_NAME, LOCK, MAX_MANIFEST};
use crate::environment::lockfile::LockedPackage;
use crate::error::{BundleError, Error, Result};

/// The checked copy of a bundle.
pub(crate) struct OpenBundle {
    /// Where the bundle is, for messages.
    pub(crate) path: PathBuf,
    /// The copy.
    folder: PathBuf,
    /// Its contents.
    pub(crate) manifest: BundleManifest,
}

impl OpenBundle {
    /// Copy a bundle into a folder that does not exist, and check it.
    pub(crate) fn copy(path: &Path, folder: &Path, context: &Context) -> Result<Self> {
        let manifest = if fs::metadata(path)?.is_dir() {
            copy_folder(path, folder, context)?
        } else {
            archive::unpack(path, folder, context)?
        };
        Ok(Self {
            path: path.to_path_buf(),
            folder: folder.to_path_buf(),
            manifest,
        })
    }

    /// The copy of a file.
    pub(crate) fn file(&self, file: &BundleFile) -> PathBuf {
        file.path.to_path(&self.folder)
    }

    /// The copy of the lock.
    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.join(LOCK)
    }

    /// The releases with their wheels.
    pub(crate) fn wheels(&self) -> Vec<(LockedPackage, PathBuf)> {
        let packages = self.manifest.packages.iter();
        packages
            .map(|package| (package.locked(), self.folder.join(package.path())))
            .collect()
    }

    pub(crate) fn invalid(&self, reason: String) -> Error {
        BundleError::Invalid {
            path: self.path.clone(),
            reason,
        }
        .into()
    }
}

fn copy_folder(bundle: &Path, folder: &Path, context: &Context) -> Result<BundleManifest> {
    let invalid = |reason: &str| BundleError::Invalid {
        path: bundle.to_path_buf(),
        reason: reason.to_owned(),
    };
    let path = bundle.join(FILE_NAME);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(invalid("its bundle.json is not a regular file").into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(invalid("it has no bundle.json").into());
        }
        Err(error) => return Err(error.into()),
    }
    let mut text = Vec::new();
    fs::File::open(&path)?
        .take(MAX_MANIFEST + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(invalid("its bundle.json is too large").into());
    }
    let manifest = BundleManifest::parse(bundle, &text)?;
    let running = context.start(Operation::Verify, manifest.files.len() as u64, manifest.total());
    let copy = |file: &BundleFile| -> Result<()> {
        let wrong = |reason: &str| BundleError::Damaged {
            path: bundle.to_path_buf(),
            file: file.path.to_string(),
            reason: reason.to_owned(),
        };
        let Some(mut source) = open_plain(bundle, file)? else {
            return Err(wrong("is missing, or not a regular file").into());
        };
        let read = |buffer: &mut [u8]| Ok(source.read(buffer)?);
        let advance = |bytes| running.advance(0, bytes);
        if !write_checked(read, file, &target_of(folder, &file.path)?, &advance, context)? {
            return Err(wrong("does not match its manifest").into());
        }
        running.advance(1, 0);
        Ok(())
    };
    context
        .pool()
        .install(|| manifest.files.par_iter().try_for_each(copy))?;
    Ok(manifest)
}

/// Open a file of a folder; `None` if it, or a folder above it in the bundle, is a link, a device, or not there. A size that
/// does not fit is seen when it is read.
fn open_plain(bundle: &Path, file: &BundleFile) -> Result<Option<fs::File>> {
    let mut path = bundle.to_path_buf();
    let mut parts = file.path.parts().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let fits = if parts.peek().is_some() {
            found.is_dir()
        } else {
            found.is_file()
        };
        if !fits {
            return Ok(None);
        }
    }
    Ok(Some(fs::File::open(path)?))
}
