//! A store that is far away, through a folder that is near: a site cache.
//!
//! Objects whose names stand for one content for ever are fetched once into the folder, whole, by one of all the machines that
//! want them, and read from there; everything else goes to the store itself. Invariants: the folder is never needed: full, read-only,
//! damaged or missing, work continues with the store and one warning; existence is checked in the store, never in the folder; data
//! read from the folder is verified to be what was written there. Deliberately absent: writing through it, and which objects never
//! change, which the caller says.
//!
//! The process that fills an object writes `NAME.filling` and renames it. Others see it grow and wait; one that does not grow for
//! [`PATIENCE`], or whose process is gone (where locks reach that far), is removed and filled again. So no clocks are compared.

mod room;
mod slot;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backlot_core::{Context, FileError, shared};
use fs_err as fs;

use self::room::{BEGUN_MARK, Room};
use self::slot::{Filling, Slot};
use crate::error::{Error, Result};
use crate::store::{CommitBy, Entry, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits, Within};

/// Timeout for an object that another process fills and that does not grow.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// The use of an object is noted no more often than this.
const NOTED: Duration = Duration::from_hours(1);

/// Which objects never change.
///
/// ```
/// use backlot_backend::{IsFixed, memory, via};
/// use backlot_core::Context;
///
/// let folder = tempfile::tempdir().unwrap();
/// let packs: IsFixed = |key| key.ends_with(".pack");
/// let store = via(memory(), folder.path(), packs, &Context::default());
/// store.write("a.pack", b"bytes".to_vec(), "").unwrap();
/// assert_eq!(store.read("a.pack", 5).unwrap().unwrap(), b"bytes");
/// ```
pub type IsFixed = fn(&str) -> bool;

/// A store with a folder before it.
#[derive(Debug)]
struct Via {
    origin: Arc<dyn ObjectStore>,
    /// The objects of this origin.
    folder: PathBuf,
    room: Room,
    is_fixed: IsFixed,
    /// The folder cannot be filled: reported once.
    is_off: AtomicBool,
    context: Context,
}

/// Reach a store through a folder, which must be there: an absent one is not made, since it may be a disk that is not mounted.
/// `is_fixed` says of a key whether its content never changes.
pub fn via(
    origin: Arc<dyn ObjectStore>,
    folder: &Path,
    is_fixed: IsFixed,
    context: &Context,
) -> Arc<dyn ObjectStore> {
    let id = blake3::hash(origin.place().as_bytes()).to_hex();
    let via = Via {
        folder: folder.join(&id.as_str()[..room::ORIGIN]),
        room: Room::new(folder),
        origin,
        is_fixed,
        is_off: AtomicBool::new(false),
        context: context.clone(),
    };
    if let Err(reason) = via.room.check() {
        via.turn_off(&reason);
    }
    Arc::new(via)
}

/// An object that should be in the folder.
enum Found {
    Here(Slot),
    /// The store does not have it.
    Absent,
    /// The folder cannot serve.
    Elsewhere,
}

/// Why an object was not filled.
enum Unfilled {
    /// The store did not give it.
    Origin(Error),
    Absent,
    /// The folder did not take it.
    Folder(FileError),
}

impl Via {
    fn turn_off(&self, reason: &str) {
        if !self.is_off.swap(true, Ordering::Relaxed) {
            let place = self.room.root().display();
            self.context.warn(
                "backend::site_cache",
                format!(
                    "cannot write to the site cache `{place}`: {reason}; reading from `{}` directly",
                    self.origin.place()
                ),
            );
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }

    /// The cached object, if valid. An invalid one is removed.
    fn opened(&self, path: &Path) -> Option<Slot> {
        let file = fs::File::open(path).ok()?;
        let used = file.metadata().ok().and_then(|found| found.modified().ok());
        match Slot::open(file) {
            Ok(slot) => {
                if used
                    .and_then(|used| used.elapsed().ok())
                    .is_some_and(|ago| ago > NOTED)
                {
                    // This marks it as used.
                    backlot_core::file::set_modified(path, self.context.now()).ok();
                }
                Some(slot)
            }
            Err(_) => {
                self.drop_damaged(path);
                None
            }
        }
    }

    fn drop_damaged(&self, path: &Path) {
        self.context.warn(
            "backend::site_cache",
            format!("`{}` was damaged; fetching it again", path.display()),
        );
        fs::remove_file(path).ok();
    }

    fn find(&self, key: &str) -> Result<Found> {
        let path = self.path(key);
        if let Some(slot) = self.opened(&path) {
            return Ok(Found::Here(slot));
        }
        if self.is_off.load(Ordering::Relaxed) {
            return Ok(Found::Elsewhere);
        }
        match self.fill(key, &path) {
            Ok(()) => Ok(self.opened(&path).map_or(Found::Elsewhere, Found::Here)),
            Err(Unfilled::Absent) => Ok(Found::Absent),
            Err(Unfilled::Origin(error)) => Err(error),
            Err(Unfilled::Folder(error)) => {
                self.turn_off(&error.to_string());
                Ok(Found::Elsewhere)
            }
        }
    }

    /// Have an object in the folder, filled by this process or another one.
    fn fill(&self, key: &str, path: &Path) -> std::result::Result<(), Unfilled> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(BEGUN_MARK);
        let begun = path.with_file_name(name);
        loop {
            match Filling::begin(&begun) {
                Ok(filling) => return self.fill_now(key, filling, &begun, path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    self.wait(&begun)
                        .map_err(|cancelled| Unfilled::Origin(cancelled.into()))?;
                    if path.exists() {
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let made = shared::make_folder_for_now(begun.parent().unwrap_or(&self.folder));
                    made.map_err(Unfilled::Folder)?;
                }
                Err(e) => return Err(Unfilled::Folder(e.into())),
            }
        }
    }

    fn fill_now(
        &self,
        key: &str,
        mut filling: Filling,
        begun: &Path,
        path: &Path,
    ) -> std::result::Result<(), Unfilled> {
        let mut refused = self.room.make().err();
        let fetched = match &refused {
            Some(_) => Ok(true),
            None => self.origin.fetch(key, &mut |bytes| match filling.write(bytes) {
                Ok(()) => true,
                Err(error) => {
                    refused = Some(error.into());
                    false
                }
            }),
        };
        let outcome = match (fetched, refused) {
            (Err(error), _) => Err(Unfilled::Origin(error)),
            (Ok(false), _) => Err(Unfilled::Absent),
            (Ok(true), Some(error)) => Err(Unfilled::Folder(error)),
            (Ok(true), None) => match filling.finish(begun, path) {
                Ok(bytes) => {
                    self.room.took(bytes);
                    // Those that came at the same time all saw the same room.
                    self.room.make().ok();
                    return Ok(());
                }
                Err(error) => Err(Unfilled::Folder(error)),
            },
        };
        filling.give_up(begun);
        outcome
    }

    /// Wait while another process fills an object. An abandoned file is removed.
    fn wait(&self, begun: &Path) -> std::result::Result<(), backlot_core::Cancelled> {
        let (mut size, mut since) = (0, Instant::now());
        loop {
            let Ok(file) = fs::File::open(begun) else {
                return Ok(());
            };
            let grown = file.metadata().map_or(0, |found| found.len());
            if grown != size {
                (size, since) = (grown, Instant::now());
            }
            let is_dead = since.elapsed() > PAUSE * 10 && file.file().try_lock_shared().is_ok();
            if is_dead || since.elapsed() > PATIENCE {
                fs::remove_file(begun).ok();
                return Ok(());
            }
            drop(file);
            self.context.check()?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Read an object that never changes. `None` if the folder cannot serve; nothing was handed over then.
    fn read_near(
        &self,
        key: &str,
        range: (u64, u64),
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Option<bool>> {
        if !(self.is_fixed)(key) {
            return Ok(None);
        }
        let mut slot = match self.find(key)? {
            Found::Here(slot) => slot,
            Found::Absent => return Ok(Some(false)),
            Found::Elsewhere => return Ok(None),
        };
        let mut given = 0;
        let (start, length) = range;
        let read = slot.read(start, length, &mut |bytes| {
            given += bytes.len() as u64;
            sink(bytes)
        });
        if read.is_ok() {
            return Ok(Some(true));
        }
        self.drop_damaged(&self.path(key));
        // Delivered data was verified; the rest comes from the store.
        let (start, length) = (start + given, length.saturating_sub(given));
        let rest = length.min(slot.length().saturating_sub(start));
        let mut at = start;
        while at < start + rest {
            let piece = self.origin.part(key, at, PIECE.min(start + rest - at))?;
            let Some(piece) = piece.filter(|piece| !piece.is_empty()) else {
                return Ok(Some(false));
            };
            at += piece.len() as u64;
            if !sink(&piece) {
                break;
            }
        }
        Ok(Some(true))
    }

    /// The same in memory, or from the store itself if the folder cannot serve.
    fn bytes_near(
        &self,
        key: &str,
        range: (u64, u64),
        origin: impl FnOnce() -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = self.read_near(key, range, &mut |block| {
            bytes.extend_from_slice(block);
            true
        });
        match read? {
            Some(is_there) => Ok(is_there.then_some(bytes)),
            None => origin(),
        }
    }
}

/// What is read from the store at once after the folder's copy ended.
const PIECE: u64 = 4 << 20;

impl ObjectStore for Via {
    fn place(&self) -> &str {
        self.origin.place()
    }

    fn commit_by(&self) -> CommitBy {
        self.origin.commit_by()
    }

    fn traits(&self) -> Traits {
        self.origin.traits()
    }

    fn is_offline(&self) -> bool {
        self.origin.is_offline()
    }

    fn within(&self) -> Option<Within> {
        self.origin.within()
    }

    fn copy_within(&self, source: &Within, from: &str, to: &str) -> Result<bool> {
        self.origin.copy_within(source, from, to)
    }

    fn stat(&self, key: &str) -> Result<Option<Entry>> {
        self.origin.stat(key)
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        self.origin.list(prefix, deep)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let range = (0, limit.saturating_add(1));
        self.bytes_near(key, range, || self.origin.read(key, limit))
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        match self.read_near(key, (0, u64::MAX), sink)? {
            Some(is_there) => Ok(is_there),
            None => self.origin.fetch(key, sink),
        }
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        self.bytes_near(key, (start, length), || self.origin.part(key, start, length))
    }

    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.origin.write(key, bytes, kind)
    }

    fn writer(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>> {
        Arc::clone(&self.origin).writer(key)
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.origin.stage(key, bytes)
    }

    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put> {
        self.origin.create(key, bytes, kind)
    }

    fn create_or_replace(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        self.origin.create_or_replace(key, bytes, kind)
    }

    fn rename(&self, from: &str, to: &str) -> Result<RenameOutcome> {
        self.origin.rename(from, to)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.forget(key);
        self.origin.delete(key)
    }

    fn delete_many(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            self.forget(key);
        }
        self.origin.delete_many(keys)
    }

    fn forget(&self, key: &str) -> bool {
        (self.is_fixed)(key) && fs::remove_file(self.path(key)).is_ok()
    }
}
