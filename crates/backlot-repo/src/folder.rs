//! A repo in a folder: which it is, and what this process remembers of it. What can be done with it is in the modules that do it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlot_core::{Context, PlaceIdentity};

use crate::error::Result;
use crate::layout::{Places, RepoKind};
use crate::place::Place;
use crate::probe::Probe;
use crate::release::FolderRelease;

/// A repo in a folder. Cheap to clone; clones share what they remember.
#[derive(Clone, Debug)]
pub struct FolderRepo {
    pub(crate) places: Places,
    pub(crate) memory: Arc<Memory>,
    /// How a test meets a publisher between two steps.
    pub(crate) probe: Option<Probe>,
}

/// What was read once and need not be read again while the file stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    inspected: Mutex<HashMap<(PathBuf, u64, u64), FolderRelease>>,
    warned: Mutex<BTreeSet<Place>>,
    /// Set once the folder has our layout, which it keeps: a marker is never removed.
    is_ours: AtomicBool,
}

impl FolderRepo {
    /// Open a repo by its folder. A folder that is absent or empty is an empty repo, which the first publish makes real;
    /// see [`Self::kind`].
    pub fn open(root: &Path) -> Result<Self> {
        let repo = Self {
            places: Places {
                root: root.to_path_buf(),
                known: None,
            },
            memory: Arc::default(),
            probe: None,
        };
        repo.kind()?;
        Ok(repo)
    }

    /// Make a repo, with the folders above it. Fine if it is one already.
    pub fn create(root: &Path) -> Result<Self> {
        let repo = Self::open(root)?;
        repo.places.ensure(true)?;
        Ok(repo)
    }

    /// From now on publish only to this very repo, with the identity that was remembered, if any: where it is gone, a
    /// publish is an error and makes nothing.
    #[must_use]
    pub fn known(mut self, identity: Option<&str>) -> Self {
        self.places.known = Some(backlot_core::ExpectedIdentity::new(identity));
        self
    }

    /// Which repo the folder is now.
    pub fn identity(&self) -> Result<PlaceIdentity> {
        self.places.identity()
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.places.root
    }

    /// What kind of folder it is now.
    pub fn kind(&self) -> Result<RepoKind> {
        if self.memory.is_ours.load(Ordering::Relaxed) {
            return Ok(RepoKind::Backlot);
        }
        let kind = self.places.kind()?;
        self.memory
            .is_ours
            .store(kind == RepoKind::Backlot, Ordering::Relaxed);
        Ok(kind)
    }

    /// Make the repo real for a publish, telling people if it was not.
    pub(crate) fn ensure(&self, context: &Context) -> Result<()> {
        if self.places.ensure(false)? {
            let message = format!("made a new repo in `{}`", self.places.root.display());
            context.warn("repo::created", message);
        }
        Ok(())
    }

    pub(crate) fn inspected(&self) -> MutexGuard<'_, HashMap<(PathBuf, u64, u64), FolderRelease>> {
        self.memory
            .inspected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn warned(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.memory.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
