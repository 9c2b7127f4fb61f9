//! Cache eviction: the removable objects, and their removal.
//!
//! Invariants: what goes is out of its place by one rename each, and deleted after; a removal that is killed leaves temporaries,
//! which are swept. Deliberately absent: the needed objects, which the caller knows.

use std::path::{Path, PathBuf};

use backlot_core::{Context, Operation, Timestamp, file, platform, shared};
use fs_err as fs;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::object::ObjectId;

/// Something in a cache that can be had again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evictable {
    /// The object, if it is one.
    pub object: Option<ObjectId>,
    /// Its file or folder.
    pub path: PathBuf,
    /// Bytes on the disk; holes take none.
    pub bytes: u64,
    /// Those that its removal frees: none of a file that has another name, as in a workspace.
    pub frees: u64,
    /// When it was last read, linked or written, as far as the disk tells; reading is told within a day, if at all.
    pub used: Timestamp,
}

impl Evictable {
    /// A file, or a folder with all that is in it.
    pub fn at(path: &Path) -> Result<Self> {
        let found = fs::symlink_metadata(path)?;
        let mut one = Self {
            object: None,
            path: path.to_path_buf(),
            bytes: platform::allocated(&found),
            frees: if is_only_name(&found) {
                platform::allocated(&found)
            } else {
                0
            },
            used: Timestamp(platform::last_used(&found)),
        };
        if found.is_dir() {
            for entry in fs::read_dir(path)? {
                let inner = Self::at(&entry?.path())?;
                one.bytes += inner.bytes;
                one.frees += inner.frees;
                one.used = one.used.max(inner.used);
            }
        }
        Ok(one)
    }
}

impl Cache {
    /// Every object, as what may go.
    pub fn evictable_objects(&self) -> Result<Vec<Evictable>> {
        let mut all = Vec::new();
        for entry in self.list()? {
            match Evictable::at(&self.root().join(entry.id.key())) {
                Ok(one) => all.push(Evictable {
                    object: Some(entry.id),
                    ..one
                }),
                Err(Error::File(e)) if e.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Take things out of their places, into a temporary folder of the cache. Deleting that makes the room. What is gone
    /// already is passed over.
    pub fn take_out(&self, what: &[Evictable]) -> Result<file::TemporaryFolder> {
        let aside = shared::temporary_folder(&self.temporaries(), 0)?;
        let objects: Vec<ObjectId> = what.iter().filter_map(|one| one.object).collect();
        for (number, one) in what.iter().enumerate() {
            match file::rename(&one.path, &aside.path().join(number.to_string())) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        self.forget(&objects);
        Ok(aside)
    }
}

/// Delete evicted objects, with progress.
pub fn delete_taken_out(aside: file::TemporaryFolder, context: &Context) -> Result<()> {
    let entries: Vec<PathBuf> = fs::read_dir(aside.path())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let running = context.start(Operation::Collect, entries.len() as u64, 0);
    for path in entries {
        file::remove(&path)?;
        running.advance(1, 0);
    }
    drop(aside);
    Ok(())
}

fn is_only_name(found: &std::fs::Metadata) -> bool {
    found.is_dir() || platform::names(found) == 1
}
