//! Repos that are looked after from here, on every kind of store: a folder of a disk, S3, Azure, Google, `WebDAV`, SFTP.
//!
//! The layout is in `docs/format/repo-folder.md`. Invariants: **the truth is the files below `packages/` and the facts below `status/`**, and
//! derived files are used only if they agree with a listing or have the expected digest; **a release is committed by
//! one request that at most one publisher can win** (`commit`: of a folder a hard link), which a store is seen to honour before the first publish
//! of each process; no object makes reading fail. No lock decides anything. Objects on a local disk are read in place, and
//! nothing of it is kept elsewhere. Deliberately absent: stores that can neither create exclusively nor move atomically (reading them
//! works), and plain HTTP ([`crate::IndexRepo`] reads the pages).

mod by_page;
mod cascade_events;
mod commit;
mod drops;
mod existing;
mod feed;
mod feed_log;
mod feed_pending;
mod file;
mod kept;
mod known_page;
mod label_events;
mod labels;
mod making;
mod names;
mod offer;
mod pages;
mod probe;
mod records;
mod rehearsal;
mod release_events;
mod releases;
mod snapshot;
mod status_changes;
#[cfg(test)]
mod tests;
mod upkeep;

pub use drops::Withdrawn;
pub use label_events::LabelEvent;
pub use labels::LabelMove;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use backlot_backend::ObjectStore;
use backlot_core::ExpectedIdentity;
use backlot_net::{CachedResponse, HttpCache, Kind, Network, PlaceName};
use backlot_pep::{PackageName, Version};
use backlot_wheel::sdist_name;

pub use backlot_backend::StoreOptions;

use crate::allow::Allowlist;
use crate::error::{Error, Result};
use crate::layout::{Places, RepoKind, is_wheel};
use crate::location::Location;
use crate::record::ReleaseRecord;
use snapshot::Known;

/// The largest wheel that is sent in one request, or fetched to inspect it.
const WHEEL_LIMIT: u64 = 4 << 30;

/// A repo maintained by Backlot. Cheap to clone; clones share their caches.
#[derive(Clone)]
pub struct ReleaseStore(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    /// Of a folder on this machine, its paths.
    places: Option<Places>,
    /// Remote objects are cached on this disk.
    kept: Option<HttpCache>,
    shelves: Mutex<HashMap<PackageName, Known>>,
    /// The contents of files without a record, by key, size and time.
    inspected: Mutex<HashMap<(String, u64, u64), ReleaseRecord>>,
    warned: Mutex<BTreeSet<Location>>,
    /// The store passed its test in this process.
    proven: OnceLock<()>,
    /// How long another publisher may take between staging and moving before it counts as dead. Nothing but haste
    /// depends on it.
    patience: Duration,
    /// Its allowlist; everything is allowed without one.
    gate: OnceLock<Allowlist>,
    /// Set for a repo that must be there, with the identity it must have, if one is known.
    known: OnceLock<ExpectedIdentity>,
    /// Nothing that is kept on this disk is believed.
    is_uncached: bool,
    /// Set once a folder has our layout, which it keeps: a marker is never removed.
    is_ours: AtomicBool,
}

impl fmt::Debug for ReleaseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReleaseStore")
            .field(&self.0.objects.place())
            .finish()
    }
}

impl ReleaseStore {
    /// Whether a URL is that of a store: `s3://bucket/prefix`, `webdav+https://host/path`, `webdav+http://host/path`,
    /// `sftp://user@host/path`.
    pub fn knows(url: &str) -> bool {
        backlot_backend::is_store_url(url)
    }

    /// Open a store by its URL, as `name` in messages and for credentials. Nothing is asked yet. Without a credential of
    /// its own, S3 is asked with what AWS's own tools would use.
    pub fn open(network: &Network, name: &str, url: &str, options: &StoreOptions) -> Result<Self> {
        let mut objects = backlot_backend::open(network, &PlaceName::Repo(name.to_owned()), url, options)?;
        if let Some(via) = &options.via {
            objects = backlot_backend::via(objects, Path::new(via), Self::is_fixed, network.context());
        }
        Ok(Self::over(objects, network.responses().clone()))
    }

    /// Open a repo by its folder. A folder that is absent or empty is an empty repo, which the first publish makes real;
    /// see [`Self::kind`].
    pub fn open_folder(root: &Path) -> Result<Self> {
        let repo = Self::new(backlot_backend::folder(root), None);
        repo.kind()?;
        Ok(repo)
    }

    /// Make a repo in a folder, with the folders above it. Fine if it is one already.
    pub fn create_folder(root: &Path) -> Result<Self> {
        let repo = Self::open_folder(root)?;
        Places::new(root).ensure(true)?;
        Ok(repo)
    }

    /// Whether the content of an object never changes while it has its name: that of a release's files.
    fn is_fixed(key: &str) -> bool {
        let file = key.rsplit('/').next().unwrap_or_default();
        key.starts_with("packages/") && (is_wheel(file) || sdist_name(file).is_some())
    }

    pub(crate) fn over(objects: Arc<dyn ObjectStore>, kept: HttpCache) -> Self {
        Self::new(objects, Some(kept))
    }

    fn new(objects: Arc<dyn ObjectStore>, kept: Option<HttpCache>) -> Self {
        Self(Arc::new(Inner {
            places: objects.root().map(Places::new),
            objects,
            kept,
            shelves: Mutex::default(),
            inspected: Mutex::default(),
            warned: Mutex::default(),
            proven: OnceLock::new(),
            patience: Duration::from_secs(5),
            gate: OnceLock::new(),
            known: OnceLock::new(),
            is_uncached: false,
            is_ours: AtomicBool::new(false),
        }))
    }

    /// The same repo, of which nothing is believed that was kept on this disk, over its own store or another way to it.
    fn uncached_over(&self, objects: Arc<dyn ObjectStore>, proven: OnceLock<()>) -> Self {
        let fresh = Self::new(objects, self.0.kept.clone());
        let mut inner = Arc::into_inner(fresh.0).expect("nobody else has it yet");
        inner.proven = proven;
        inner.patience = self.0.patience;
        inner.gate = self.0.gate.clone();
        inner.known = self.0.known.clone();
        inner.is_uncached = true;
        Self(Arc::new(inner))
    }

    /// The same repo, of which nothing is believed that was kept on this disk.
    #[must_use]
    pub(crate) fn without_cache(&self) -> Self {
        self.uncached_over(self.0.objects.clone(), self.0.proven.clone())
    }

    /// The local cache, where it may be used.
    fn find_kept(&self, kind: Kind, key: &str) -> Option<CachedResponse> {
        if self.0.is_uncached {
            return None;
        }
        self.0.kept.as_ref()?.find(kind, key)
    }

    /// Restrict requests to the allowlist from now on. Once: a second one has no effect.
    #[must_use]
    pub fn gated(self, gate: Allowlist) -> Self {
        self.0.gate.get_or_init(|| gate);
        self
    }

    pub(crate) fn gate(&self) -> Option<&Allowlist> {
        self.0.gate.get()
    }

    fn admits(&self, name: &PackageName) -> bool {
        self.gate().is_none_or(|gate| gate.admits(name))
    }

    /// From now on publish only to this very repo, with the identity that was remembered, if any: where it is gone, a
    /// publish is an error and makes nothing. Once: a second call changes nothing.
    #[must_use]
    pub fn known(self, identity: Option<&str>) -> Self {
        self.0.known.get_or_init(|| ExpectedIdentity::new(identity));
        self
    }

    /// Whether it is on a local disk.
    pub(crate) fn is_local(&self) -> bool {
        self.0.places.is_some()
    }

    /// The current kind of folder. A remote store has only Backlot's layout.
    pub fn kind(&self) -> Result<RepoKind> {
        let Some(places) = &self.0.places else {
            return Ok(RepoKind::Backlot);
        };
        if self.0.is_ours.load(Ordering::Relaxed) {
            return Ok(RepoKind::Backlot);
        }
        let kind = places.kind()?;
        self.0.is_ours.store(kind == RepoKind::Backlot, Ordering::Relaxed);
        Ok(kind)
    }

    /// An error if it is a plain folder of packages, which is only read.
    fn check_layout(&self) -> Result<()> {
        match (&self.0.places, self.kind()?) {
            (Some(places), RepoKind::Flat) => Err(Error::FlatFolder {
                path: places.root.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn place(&self) -> Location {
        match self.0.objects.root() {
            Some(root) => root.into(),
            None => Location::Url(self.0.objects.place().to_owned()),
        }
    }

    /// The location of an object, for display.
    fn at(&self, key: &str) -> Location {
        match self.0.objects.root() {
            Some(root) => root.join(key).into(),
            None => Location::Url(format!("{}/{key}", self.0.objects.place())),
        }
    }

    /// Do something with each of many: many at once where each is a journey.
    fn each<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
        if self.is_local() {
            return items.iter().map(work).collect();
        }
        backlot_backend::each(items, work)
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<PackageName, Known>> {
        self.0.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inspected(&self) -> MutexGuard<'_, HashMap<(String, u64, u64), ReleaseRecord>> {
        self.0.inspected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warned(&self) -> MutexGuard<'_, BTreeSet<Location>> {
        self.0.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remote objects are cached there.
    pub(crate) fn kept(&self) -> Option<&HttpCache> {
        self.0.kept.as_ref()
    }
}

/// What an object is, for those who fetch it: without it a store says `binary/octet-stream`, and installers take that for
/// no page at all.
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PAGE: &str = "application/vnd.pypi.simple.v1+json";
const WHEEL: &str = "application/zip";
const SDIST: &str = "application/gzip";
const METADATA: &str = "text/plain; charset=utf-8";

fn package_prefix(name: &PackageName) -> String {
    format!("packages/{name}/")
}

fn pages_prefix(name: &PackageName) -> String {
    format!("simple/{name}/")
}

/// The page of a package for programs.
fn page_key(name: &PackageName) -> String {
    format!("simple/{name}/index.json")
}

fn status_prefix(name: &PackageName, version: &Version) -> String {
    format!("status/{name}/{version}/")
}
