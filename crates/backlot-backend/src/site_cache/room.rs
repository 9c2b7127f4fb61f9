//! The disk limit of a site cache: the least recently used objects are removed first.
//!
//! The folder may have a file `site-cache.json`, `{"max_bytes": 2000000000000, "min_free_bytes": 50000000000}`; without it, a tenth of
//! the disk, at most 50 GB, stays free. Invariant: nothing but objects that this cache wrote is removed. Deliberately absent: a
//! count that several machines keep; each looks at the folder itself after it has written a gigabyte.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use backlot_core::FileError;
use backlot_core::file::{self, DiskSpace};
use fs_err as fs;
use serde::Deserialize;

/// Letters of the folder of an origin.
pub(super) const ORIGIN: usize = 16;
const SETTINGS: &str = "site-cache.json";
/// The folder is scanned again after this process wrote this much, or a tenth of the limit.
const LOOK_AFTER: u64 = 1 << 30;
/// The free space after an eviction beyond the required amount, and the limit of one object.
const SPARE: u64 = 1 << 30;
const FREE: u64 = 50_000_000_000;
/// The suffix of an object that is being written.
pub(super) const BEGUN_MARK: &str = ".filling";
/// An object that nothing was added to for so long is not being written any more.
const BEGUN: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Limits {
    max_bytes: Option<u64>,
    min_free_bytes: Option<u64>,
}

/// The room of a cache.
#[derive(Debug)]
pub(super) struct Room {
    root: PathBuf,
    written: AtomicU64,
}

/// An object that could go.
struct Candidate {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

impl Candidate {
    /// Whether it is being written, and not left behind long ago.
    fn is_begun(&self) -> bool {
        let is_old = self.used.elapsed().is_ok_and(|ago| ago >= BEGUN);
        !is_old
            && self
                .path
                .as_os_str()
                .as_encoded_bytes()
                .ends_with(BEGUN_MARK.as_bytes())
    }
}

impl Room {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            // So that the first object looks.
            written: AtomicU64::new(LOOK_AFTER),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the folder is there, and its settings can be read.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.root.is_dir() {
            return Err("it does not exist".to_owned());
        }
        self.limits().map(drop).map_err(|e| e.to_string())
    }

    fn limits(&self) -> Result<Limits, FileError> {
        let bytes = file::read_if_exists(&self.root.join(SETTINGS))?;
        let Some(bytes) = bytes else {
            return Ok(Limits::default());
        };
        Ok(serde_json::from_slice(&bytes).map_err(std::io::Error::other)?)
    }

    /// Record written data.
    pub(super) fn took(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Have room for an object, or an error.
    pub(super) fn make(&self) -> Result<(), FileError> {
        if !self.root.is_dir() {
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "it no longer exists").into());
        }
        let limits = self.limits()?;
        let DiskSpace { free, all } = file::disk_space(&self.root)?;
        let kept = limits.min_free_bytes.unwrap_or_else(|| FREE.min(all / 10));
        let is_tight = free < kept;
        let look_after = limits
            .max_bytes
            .map_or(LOOK_AFTER, |most| LOOK_AFTER.min(most / 10));
        if !is_tight && self.written.load(Ordering::Relaxed) < look_after {
            return Ok(());
        }
        self.written.store(0, Ordering::Relaxed);
        let mut candidates = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if is_of_cache(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_dir() {
                list(&entry.path(), &mut candidates)?;
            }
        }
        candidates.sort_by_key(|one| one.used);
        let mut total: u64 = candidates.iter().map(|one| one.size).sum();
        let (mut freed, wanted) = (0, if is_tight { kept - free + SPARE } else { 0 });
        let most = limits
            .max_bytes
            .map_or(u64::MAX, |most| most.saturating_sub(SPARE.min(most / 10)));
        for one in candidates.into_iter().filter(|one| !one.is_begun()) {
            if total <= most && freed >= wanted {
                break;
            }
            // Another machine may have removed it, and who reads it keeps it until it is read.
            fs::remove_file(&one.path).ok();
            total -= one.size;
            freed += one.size;
        }
        if is_tight && free + freed < kept {
            return Err(std::io::Error::new(std::io::ErrorKind::StorageFull, "its disk is full").into());
        }
        Ok(())
    }
}

/// Whether a folder holds the objects of an origin.
fn is_of_cache(name: &str) -> bool {
    name.len() == ORIGIN && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn list(folder: &Path, found: &mut Vec<Candidate>) -> Result<(), FileError> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            list(&entry.path(), found)?;
        } else if about.is_file() {
            found.push(Candidate {
                used: about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                size: about.len(),
                path: entry.path(),
            });
        }
    }
    Ok(())
}
