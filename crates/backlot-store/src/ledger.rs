//! A record of objects that were right: those of a cache, by the state of their files, or of a remote, by their size.
//!
//! One database a place, shared by all its users, so that a second workspace reads nothing again. Invariants: only what was
//! hashed, or written by us and proven, is recorded; losing the record costs time, never correctness, so a database that
//! cannot be used (a read-only cache, a disk without locks) is the same as an empty one. Deliberately absent: what becomes of
//! an object that is not what it was.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use backlot_core::{Blake3, Context};

use crate::object::{FileDigests, ObjectId};
use crate::stat::{FileStat, Recorded, StatCache, StatEntry};

/// The record, opened on first use.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    database: OnceLock<Option<StatCache>>,
}

impl Ledger {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            database: OnceLock::new(),
        }
    }

    fn database(&self) -> Option<&StatCache> {
        self.database
            .get_or_init(|| {
                let database = StatCache::open_shared(&self.path);
                database.and_then(StatCache::with_inodes).ok()
            })
            .as_ref()
    }

    /// The recorded states of objects.
    pub(crate) fn recorded(&self, objects: &[(ObjectId, FileStat)]) -> Vec<Recorded> {
        if objects.is_empty() {
            return Vec::new();
        }
        let entries: Vec<StatEntry> = objects.iter().map(|(id, stat)| entry(id, *stat)).collect();
        self.database()
            .and_then(|database| database.recorded(&entries).ok())
            .unwrap_or_else(|| vec![Recorded::Nothing; objects.len()])
    }

    /// Remember objects.
    pub(crate) fn record(&self, objects: &[(ObjectId, FileStat, FileDigests)], context: &Context) {
        let rows: Vec<_> = objects
            .iter()
            .map(|(id, stat, digests)| (entry(id, *stat), *digests))
            .collect();
        if let Some(database) = self.database().filter(|_| !rows.is_empty()) {
            database.store(&rows, context).ok();
        }
    }

    /// Remove records of objects: they are hashed before further use.
    pub(crate) fn forget(&self, ids: &[ObjectId]) {
        let paths: Vec<PathBuf> = ids.iter().map(|id| PathBuf::from(id.key())).collect();
        if let Some(database) = self.database().filter(|_| !paths.is_empty()) {
            database.forget(&paths).ok();
        }
    }

    /// Note that objects are doubtful: each is hashed before it counts, also where one of which nothing is recorded would not be.
    pub(crate) fn doubt(&self, ids: &[ObjectId], context: &Context) {
        // A state that no file is in.
        let never = FileStat {
            inode: 0,
            size: 0,
            modified: 0,
            changed: 0,
            read_only: false,
            names: 0,
        };
        let none = |id: &ObjectId| FileDigests {
            md5: id.md5,
            blake3: Blake3::from_bytes([0; 32]),
            size: 0,
        };
        let rows: Vec<_> = ids.iter().map(|id| (*id, never, none(id))).collect();
        self.record(&rows, context);
    }

    /// The objects whose recorded files have an inode of this number.
    pub(crate) fn with_inode(&self, inode: u64) -> Vec<ObjectId> {
        let paths = self
            .database()
            .and_then(|database| database.by_inode(inode).ok())
            .unwrap_or_default();
        paths.iter().filter_map(|path| object(path)).collect()
    }
}

fn entry(id: &ObjectId, stat: FileStat) -> StatEntry {
    StatEntry {
        path: id.key().into(),
        stat,
    }
}

fn object(key: &Path) -> Option<ObjectId> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    ObjectId::from_parts(&name(key.parent()?)?, &name(key)?)
}
