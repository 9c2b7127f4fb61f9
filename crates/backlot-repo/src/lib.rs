//! Repos: folders of immutable releases on local or shared disks, safe for many machines at once, and package indexes
//! over HTTP ([`IndexRepo`]), read and uploaded to as pip, uv and twine do; [`Repo`] is either.
//!
//! Invariants of folders: **the truth of a repo is the wheels below `packages/` and the facts below `status/`**; index pages, release
//! records and metadata sidecars are derived from them and can be made again at any time. **A release is committed by one
//! exclusive create of its wheel and is never changed after**; of any number of publishers exactly one wins. No lock
//! decides anything. The layout is in `docs/format/repo-folder.md`, the reasons in
//! `docs/decisions/0002-publishing-to-a-folder.md`.
//!
//! Deliberately absent: choosing versions, environments, where credentials come from.

// The tests' wheels are shared with the black-box tests, which name the crate.
#[cfg(test)]
extern crate self as backlot_repo;

mod allow;
#[cfg(test)]
mod crash_tests;
mod error;
mod fact;
mod index;
mod inside;
mod known_page;
mod layout;
mod listing;
mod object;
mod own_page;
mod pages;
mod parts;
mod place;
mod publish;
mod quick;
mod read;
mod record;
mod release;
mod repo;
mod restore;
mod search;
mod settle;
mod stamp;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod upkeep;
mod verdict;
mod whole;

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlot_core::{Context, FileError, PlaceIdentity};
use fs_err as fs;

pub use allow::{AllowedName, Gate};
pub use error::{Error, Result};
pub use fact::{Fact, FactKind, ReleaseStatus};
pub use index::{DirectFetch, DirectFile, IndexError, IndexRepo, Promise, kept_by_digest, read_package_page};
pub use inside::{Inside, Wanted};
pub use layout::{FORMAT, RepoKind};
pub use listing::{BrokenRelease, Failure, FolderRelease, Listing, UnsupportedRelease};
pub use object::{ObjectRepo, StoreOptions};
pub use place::Place;
pub use publish::{Checked, ExistingRelease, Publication, PublishPlan, Published};
pub use release::{Release, ReleaseKind};
pub use repo::Repo;
pub use restore::ExpectedFile;
pub use search::{Found, Query};
pub use stamp::Stamp;
pub use upkeep::{ReindexReport, Upkeep};
pub use verdict::{CarriedFact, Verdict, VerdictReport};
pub use whole::WholeRelease;

use layout::Places;
use publish::Probe;

/// A repo in a folder. Cheap to clone; clones share what they remember.
#[derive(Clone, Debug)]
pub struct FolderRepo {
    places: Places,
    memory: Arc<Memory>,
    /// How a test meets a publisher between two steps.
    probe: Option<Probe>,
}

/// What was read once and need not be read again while the file stays as it is.
#[derive(Debug, Default)]
struct Memory {
    inspected: Mutex<HashMap<(PathBuf, u64, u64), FolderRelease>>,
    warned: Mutex<BTreeSet<Place>>,
    /// Once laid out by Backlot, always: nobody takes a marker away.
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
    fn ensure(&self, context: &Context) -> Result<()> {
        if self.places.ensure(false)? {
            let message = format!("made a new repo in `{}`", self.places.root.display());
            context.warn("repo::created", message);
        }
        Ok(())
    }

    fn inspected(&self) -> MutexGuard<'_, HashMap<(PathBuf, u64, u64), FolderRelease>> {
        self.memory
            .inspected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn warned(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.memory.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Read a whole small file; `None` if there is none, an error if it has more than `limit` bytes.
fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // Room for all of it, so that it takes one read.
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge {
            place: path.into(),
            limit,
        });
    }
    Ok(Some(bytes))
}

/// Read to the end in blocks, handing each on.
fn copy_blocks(from: &mut impl Read, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut block = vec![0; 256 * 1024];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&block[..length])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(FileError::from(e).into()),
        }
    }
}
