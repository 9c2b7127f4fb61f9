//! A cache that this user can read and not write to, behind one that can be written to.
//!
//! Invariant: nothing in it is changed; what is wrong in it is as if it were not there. Deliberately absent: where what is new
//! goes, which the caller says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backlot_core::file;
use fs_err as fs;

use crate::ledger::Ledger;
use crate::object::ObjectId;
use crate::stat::{FileStat, Recorded};

/// A cache that is only read.
#[derive(Debug)]
pub(crate) struct Lower {
    root: PathBuf,
    ledger: Ledger,
    /// Objects that were found to be wrong.
    wrong: Mutex<BTreeSet<ObjectId>>,
}

impl Lower {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            ledger: Ledger::new(root.join("state.db")),
            wrong: Mutex::default(),
        }
    }

    /// Where it has an object that was not found to be wrong.
    pub(crate) fn path_of(&self, id: &ObjectId) -> Option<PathBuf> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Some(self.root.join(id.key())).filter(|_| !wrong.contains(id));
        path.filter(|path| path.is_file())
    }

    /// Do without an object from now on.
    pub(crate) fn pass_over(&self, id: &ObjectId) {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(*id);
    }

    pub(crate) fn has(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// Fill in what it has recorded of objects of which nothing else is.
    pub(crate) fn add_recorded(&self, objects: &[(ObjectId, FileStat)], recorded: &mut [Recorded]) {
        for (found, below) in recorded.iter_mut().zip(self.ledger.recorded(objects)) {
            if *found == Recorded::Nothing {
                *found = below;
            }
        }
    }
}

/// Whether a cache is there that this user can read, and not write to.
pub fn is_read_only_cache(root: &Path) -> bool {
    let parts = [root.to_path_buf(), root.join("files/md5"), root.join("tmp")];
    let is_closed = |part: &PathBuf| part.is_dir() && !file::is_writable(part);
    parts.iter().any(is_closed) && fs::read_dir(root).is_ok()
}
