//! The local mirror of a remote's segments: each is fetched once, proven, and read from here from then on.
//!
//! Segments never change, so a copy is as good as the original while that is sound. Invariants: a segment that compaction
//! replaced while it was being fetched is not missed, since the remote is listed again; a local copy that is torn, damaged or
//! of another length than the remote lists is fetched again; one that is damaged on the remote is passed over with a warning
//! and named, whatever is here, since nobody else could read it. The sound copy of such a one is kept aside for a repair.
//! Small copies are not synced: the mirror can be lost.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::clock::Timestamp;
use backlot_core::{Context, file, shared};
use fs_err as fs;

use super::blob::{BlobEntry, BlobStore};
use super::name::{Kind, StoredName, name_of};
use super::segment_bytes::{IN_MEMORY, SegmentBytes};
use super::wire::Malformed;
use super::{index, recipe};
use crate::error::{Error, Result};
use crate::parallel::each;

/// How often a listing is made again because what it named was replaced meanwhile.
const ROUNDS: usize = 32;
/// A folder with more entries is not listed in one step; what is renamed meanwhile could be missed.
const ONE_STEP: usize = 256;

/// A segment as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: StoredName,
    /// When it was written, by the clock of the service.
    pub(super) written: Option<Timestamp>,
    pub(super) bytes: SegmentBytes,
}

/// All segments of one kind.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// In the order of their names.
    pub(super) found: Vec<Found>,
    /// Keys of those that cannot be read.
    pub(super) damaged: Vec<String>,
}

/// Where segments are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From the mirror where it has them.
    Mirror,
    /// From the remote, to see what is there.
    Remote,
}

/// One kind of segments of a remote.
#[derive(Debug)]
pub(super) struct Mirror<'a> {
    blobs: &'a dyn BlobStore,
    kind: Kind,
    folder: PathBuf,
    /// Whether bytes are a sound segment.
    check: fn(&[u8]) -> std::result::Result<(), Malformed>,
    /// Whether the length of a segment fits its header.
    has_shape: fn(&SegmentBytes) -> bool,
}

/// A segment as the remote lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    name: StoredName,
    /// Its length in bytes.
    size: u64,
    written: Option<Timestamp>,
}

/// What became of one segment.
enum Fetch {
    Here(SegmentBytes),
    Gone,
    Damaged(Malformed),
}

impl<'a> Mirror<'a> {
    pub(super) fn of_recipes(blobs: &'a dyn BlobStore, mirror: &Path) -> Self {
        Self {
            blobs,
            kind: Kind::Recipe,
            folder: mirror.join("recipes"),
            check: recipe::check,
            has_shape: recipe::has_shape,
        }
    }

    pub(super) fn of_index(blobs: &'a dyn BlobStore, mirror: &Path) -> Self {
        Self {
            blobs,
            kind: Kind::Index,
            folder: mirror.join("index"),
            check: index::check,
            has_shape: index::has_shape,
        }
    }

    /// Everything that the remote lists. The mirror keeps that and nothing else.
    pub(super) fn load(&self, source: Source, context: &Context) -> Result<Segments> {
        shared::make_folder_for_now(&self.folder)?;
        let mut source = source;
        for _ in 0..ROUNDS {
            let listed = self.list()?;
            let here = self.tidy(&listed)?;
            let fetched = each(self.blobs.concurrency(), listed.len(), context, |n| {
                self.fetch(listed[n], here.contains(&listed[n].name), source)
            })?;
            if !fetched.iter().any(|one| matches!(one, Fetch::Gone)) {
                return Ok(self.sorted(listed, fetched, context));
            }
            // Those that were fetched now are proven.
            source = Source::Mirror;
        }
        Err(Error::Contended {
            place: self.blobs.place(),
        })
    }

    /// Write a segment to the remote, and keep it here. A new part of the index is derived, so it need not outlive a power cut;
    /// what replaces others does.
    pub(super) fn put(&self, name: StoredName, bytes: &[u8], replaces: bool) -> Result<()> {
        let key = self.kind.key(name);
        if self.kind == Kind::Index && !replaces {
            self.blobs.put_derived(&key, bytes)?;
        } else {
            self.blobs.put(&key, bytes)?;
        }
        self.keep(name, bytes).map(|_| ())
    }

    fn keep(&self, name: StoredName, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.folder.join(name.to_string());
        if bytes.len() as u64 <= IN_MEMORY {
            shared::write_for_now(&path, bytes)?;
        } else {
            // It is not read whole again to see whether a power cut tore it.
            shared::write(&path, bytes)?;
        }
        Ok(path)
    }

    /// The segments on the remote, in the order of their names.
    fn list(&self) -> Result<Vec<Listed>> {
        let list = || -> Result<HashMap<StoredName, Listed>> {
            let entry = |entry: &BlobEntry| {
                let (name, size, written) = (name_of(&entry.key)?, entry.size, entry.modified);
                Some((name, Listed { name, size, written }))
            };
            Ok(self
                .blobs
                .list(self.kind.prefix())?
                .iter()
                .filter_map(entry)
                .collect())
        };
        let mut listed = list()?;
        if listed.len() > ONE_STEP {
            for _ in 0..ROUNDS {
                let again = list()?;
                if again.len() == listed.len() && again.keys().all(|name| listed.contains_key(name)) {
                    break;
                }
                listed = again;
            }
        }
        let mut listed: Vec<Listed> = listed.into_values().collect();
        listed.sort_unstable_by_key(|one| one.name);
        Ok(listed)
    }

    /// Remove what the remote has no more. Returns what is here.
    fn tidy(&self, listed: &[Listed]) -> Result<HashSet<StoredName>> {
        let mut here = HashSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.parse::<StoredName>() {
                Ok(name) if listed.binary_search_by_key(&name, |one| one.name).is_ok() => {
                    here.insert(name);
                }
                _ if name.starts_with(file::TEMPORARY_PREFIX) => {}
                // Another command may have removed it first.
                _ => drop(fs::remove_file(entry.path()).ok()),
            }
        }
        Ok(here)
    }

    fn fetch(&self, listed: Listed, is_here: bool, source: Source) -> Result<Fetch> {
        let name = listed.name;
        let path = self.folder.join(name.to_string());
        if is_here
            && source == Source::Mirror
            && let Some(bytes) = self.read_local(&path)
            && bytes.len()? == listed.size
        {
            return Ok(Fetch::Here(bytes));
        }
        let key = self.kind.key(name);
        let mut read = self.blobs.read(&key)?;
        let is_other = |bytes: &Vec<u8>| bytes.len() as u64 != listed.size;
        if read.as_ref().is_some_and(is_other) && self.blobs.forget(&key) {
            // A site cache had it as it was.
            read = self.blobs.read(&key)?;
        }
        let Some(bytes) = read else {
            return Ok(Fetch::Gone);
        };
        if let Err(why) = (self.check)(&bytes) {
            if is_here {
                self.put_copy_aside(name)?;
            }
            return Ok(Fetch::Damaged(why));
        }
        let path = self.keep(name, &bytes)?;
        if bytes.len() as u64 <= IN_MEMORY {
            return Ok(Fetch::Here(SegmentBytes::Memory(bytes)));
        }
        // Another command, with a newer listing, may have removed it again.
        Ok(Fetch::Here(
            SegmentBytes::open(&path).unwrap_or(SegmentBytes::Memory(bytes)),
        ))
    }

    /// Take the local copy of a segment that is damaged on the remote out of use: what only this machine can read must not pass
    /// for stored. That of recipes, which are nowhere else, is kept aside for a repair.
    fn put_copy_aside(&self, name: StoredName) -> Result<()> {
        let path = self.folder.join(name.to_string());
        if self.kind == Kind::Recipe && self.read_local(&path).is_some() {
            let aside = self.aside(name);
            shared::make_folder_for_now(aside.parent().unwrap_or(&self.folder))?;
            // Another command may have done so first.
            match file::rename(&path, &aside) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => return Ok(()),
            }
        }
        Ok(file::remove(&path)?)
    }

    /// Whether the remote has a segment that can be read. If it is damaged, the local copy does not count any more either.
    pub(super) fn is_sound_remotely(&self, name: StoredName) -> Result<bool> {
        let Some(bytes) = self.blobs.read(&self.kind.key(name))? else {
            return Ok(false);
        };
        let sound = (self.check)(&bytes).is_ok();
        if !sound {
            self.put_copy_aside(name)?;
        }
        Ok(sound)
    }

    fn aside(&self, name: StoredName) -> PathBuf {
        self.folder.with_file_name("sound-copies").join(name.to_string())
    }

    /// A segment as it was before it was damaged on the remote, if this machine kept a sound copy.
    pub(super) fn sound_copy(&self, name: StoredName) -> Result<Option<Vec<u8>>> {
        let bytes = file::read_if_exists(&self.aside(name))?;
        Ok(bytes.filter(|bytes| (self.check)(bytes).is_ok()))
    }

    /// Drop the sound copy of a segment that is stored again.
    pub(super) fn drop_sound_copy(&self, name: StoredName) -> Result<()> {
        Ok(file::remove(&self.aside(name))?)
    }

    /// A local copy, unless it is gone, torn or damaged. Of large ones only the shape is looked at.
    fn read_local(&self, path: &Path) -> Option<SegmentBytes> {
        let bytes = SegmentBytes::open(path).ok()?;
        let sound = match &bytes {
            SegmentBytes::Memory(bytes) => (self.check)(bytes).is_ok(),
            SegmentBytes::File(_) => (self.has_shape)(&bytes),
        };
        sound.then_some(bytes)
    }

    fn sorted(&self, listed: Vec<Listed>, fetched: Vec<Fetch>, context: &Context) -> Segments {
        let mut segments = Segments::default();
        for (listed, one) in listed.into_iter().zip(fetched) {
            let Listed { name, written, .. } = listed;
            match one {
                Fetch::Here(bytes) => segments.found.push(Found { name, written, bytes }),
                Fetch::Gone => {}
                Fetch::Damaged(why) => {
                    let key = self.kind.key(name);
                    context.warn(
                        "store::damaged_segment",
                        format!(
                            "`{key}` in {} cannot be read and was skipped: {why}; `repair` stores its contents again",
                            self.blobs.place()
                        ),
                    );
                    segments.damaged.push(key);
                }
            }
        }
        segments
    }
}
