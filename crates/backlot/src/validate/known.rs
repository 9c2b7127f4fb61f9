//! What was read of files, by their content: what is known is not read again, whichever check asks, and in whichever version of an asset a file is.
//!
//! Kept in the cache of the machine, `checks/PACKAGE/READER.json`, a file for each asset and reader; without it, all is read again. Invariants: a reading is
//! used for the same BLAKE3 only, and not by another version of this program; what is kept is bounded by what the asset has. Deliberately absent: outcomes of
//! checks but of commands that say that they depend on nothing else.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use backlot_core::{file, shared};
use backlot_media::{FrameRead, KnownFrames};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::project::provenance::TOOL;
use crate::workspace::Opened;

/// The format of the files. Raised also where a reader learns to see more.
const FORMAT: u32 = 1;
/// Readings that are kept of one reader beyond those of the files that it was asked for.
const SPARE: usize = 20_000;
/// The largest file that is read.
const LARGEST: u64 = 256 << 20;
/// A file that was not written for so long goes.
const UNUSED: Duration = Duration::from_hours(24 * 90);

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    tool: String,
    /// By BLAKE3, or what else names content.
    readings: BTreeMap<String, Value>,
}

/// The readings of one reader.
#[derive(Debug, Default)]
struct Book {
    before: BTreeMap<String, Value>,
    now: BTreeMap<String, Value>,
    changed: bool,
}

/// What is known of the files of one asset, and what is learnt.
pub(crate) struct Readings<'a> {
    opened: &'a Opened,
    folder: PathBuf,
    /// Read all again.
    fresh: bool,
    digests: Mutex<HashMap<PathBuf, String>>,
    books: Mutex<BTreeMap<&'static str, Book>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Readings<'a> {
    pub(crate) fn of(opened: &'a Opened, package: &str, fresh: bool) -> Self {
        Self {
            opened,
            folder: opened.cache_dir().join("checks").join(package),
            fresh,
            digests: Mutex::default(),
            books: Mutex::default(),
        }
    }

    /// Learn the digests of files. Those that are known from before are not read.
    pub(crate) fn hash(&self, paths: &[PathBuf]) -> Result<()> {
        let missing: Vec<PathBuf> = {
            let known = locked(&self.digests);
            paths
                .iter()
                .filter(|path| !known.contains_key(*path))
                .cloned()
                .collect()
        };
        let stat = self.opened.stat_cache()?;
        let found = backlot_store::hash_files(&missing, &stat, self.opened.context())?;
        let found = found.into_iter().map(|digests| digests.blake3.to_hex());
        locked(&self.digests).extend(missing.into_iter().zip(found));
        Ok(())
    }

    /// The digest of a file, once it was learnt.
    pub(crate) fn digest(&self, path: &Path) -> Option<String> {
        locked(&self.digests).get(path).cloned()
    }

    /// What a reader read of some content.
    pub(crate) fn find<T: DeserializeOwned>(&self, reader: &'static str, digest: &str) -> Option<T> {
        let mut books = locked(&self.books);
        let book = books.entry(reader).or_insert_with(|| self.load(reader));
        if let Some(value) = book.before.remove(digest) {
            book.now.insert(digest.to_owned(), value);
        }
        T::deserialize(book.now.get(digest)?).ok()
    }

    /// Take note of what a reader read.
    pub(crate) fn keep<T: Serialize>(&self, reader: &'static str, digest: &str, reading: &T) {
        let Ok(value) = serde_json::to_value(reading) else {
            return;
        };
        let mut books = locked(&self.books);
        let book = books.entry(reader).or_insert_with(|| self.load(reader));
        book.now.insert(digest.to_owned(), value);
        book.changed = true;
    }

    fn path(&self, reader: &str) -> PathBuf {
        self.folder.join(format!("{reader}.json"))
    }

    fn load(&self, reader: &str) -> Book {
        let path = self.path(reader);
        let is_small = fs_err::metadata(&path).is_ok_and(|found| found.len() <= LARGEST);
        let bytes = (is_small && !self.fresh)
            .then(|| fs_err::read(&path).ok())
            .flatten();
        let stored = bytes.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let stored = stored.filter(|stored| stored.format == FORMAT && stored.tool == TOOL);
        Book {
            before: stored.map(|stored| stored.readings).unwrap_or_default(),
            ..Book::default()
        }
    }

    /// Write what was learnt. A cache that cannot be written to is no reason to fail.
    pub(crate) fn save(&self) {
        let mut books = locked(&self.books);
        for (reader, book) in books.iter_mut().filter(|(_, book)| book.changed) {
            let spare = std::mem::take(&mut book.before).into_iter().take(SPARE);
            let mut readings = book.now.clone();
            readings.extend(spare);
            let stored = Stored {
                format: FORMAT,
                tool: TOOL.to_owned(),
                readings,
            };
            let path = self.path(reader);
            let bytes = serde_json::to_vec(&stored).unwrap_or_default();
            if shared::make_folder_for_now(&self.folder).is_ok() {
                shared::write_for_now(&path, &bytes).ok();
            }
            book.changed = false;
        }
        drop(books);
        self.remove_unused();
    }

    /// Remove what was not written for a long time, now and then.
    fn remove_unused(&self) {
        let Some(root) = self.folder.parent() else { return };
        if !root.is_dir() || !backlot_store::is_sweep_due(&root.join("swept")) {
            return;
        }
        for folder in fs_err::read_dir(root).into_iter().flatten().flatten() {
            for entry in fs_err::read_dir(folder.path()).into_iter().flatten().flatten() {
                let written = entry.metadata().and_then(|found| found.modified());
                let age = written.ok().and_then(|at| self.age(at));
                if age.is_some_and(|age| age > UNUSED) {
                    file::remove(&entry.path()).ok();
                }
            }
        }
    }

    fn age(&self, at: SystemTime) -> Option<Duration> {
        let at = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Duration::from_millis(self.opened.context().now().0).checked_sub(at)
    }
}

/// The reader of frames.
const FRAMES: &str = "frames";

impl KnownFrames for Readings<'_> {
    fn find(&self, path: &Path) -> Option<FrameRead> {
        Readings::find(self, FRAMES, &self.digest(path)?)
    }

    fn keep(&self, path: &Path, read: &FrameRead) {
        if let Some(digest) = self.digest(path) {
            Readings::keep(self, FRAMES, &digest, read);
        }
    }
}
