//! Repos in a store of objects, on S3, `WebDAV` and SFTP, with no server of ours.
//!
//! The layout is a folder repo's (`docs/format/repo-folder.md`). Invariants: **a release is committed by one request that
//! at most one publisher can win** (`commit`), which the store is seen to honour before the first publish of each process;
//! what is derived is believed only where it agrees with a listing or has the digest it should have; nothing that lies in
//! the store makes reading fail. Deliberately absent: stores that can neither create exclusively nor move atomically
//! (reading them works), plain folders ([`crate::FolderRepo`] is better at them), and plain HTTP ([`crate::IndexRepo`]
//! reads the pages).

mod commit;
mod facts;
mod offer;
mod pages;
mod probe;
mod rehearsal;
mod shelf;
#[cfg(test)]
mod tests;
mod upkeep;
mod verdicts;
mod wheels;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use backlot_backend::{CommitBy, Moved, ObjectStore, each, folders};
use backlot_core::{PackageName, PlaceIdentity, Version};
use backlot_net::{Kept, Kind, Network, PlaceName, Responses};
use backlot_wheel::sdist_name;

pub use backlot_backend::StoreOptions;

use crate::allow::Gate;
use crate::error::{Error, Result};
use crate::layout::{Marker, is_wheel, read_marker};
use crate::place::Place;
use shelf::Known;

/// The largest wheel that is sent in one request, or fetched to see what it is.
const WHEEL_LIMIT: u64 = 4 << 30;
/// The most a marker may have.
const MARKER_LIMIT: u64 = 64 * 1024;

/// A repo in a store of objects. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct ObjectRepo(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    /// What was read is kept on this disk.
    kept: Responses,
    shelves: Mutex<HashMap<PackageName, Known>>,
    warned: Mutex<BTreeSet<Place>>,
    /// The store honours what a commit relies on: seen in this process.
    proven: OnceLock<()>,
    /// How long another publisher may take between staging and moving before it is taken for dead. Nothing but haste
    /// depends on it.
    patience: Duration,
    /// What it may be asked for; anything, if it has none.
    gate: OnceLock<Gate>,
    /// Set for a repo that must be there, with the identity it must have, if one is known.
    known: OnceLock<Option<String>>,
    /// Nothing that is kept on this disk is believed.
    is_uncached: bool,
}

impl fmt::Debug for ObjectRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectRepo")
            .field(&self.0.objects.place())
            .finish()
    }
}

impl ObjectRepo {
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

    /// Whether the content of an object never changes while it has its name: that of a release's files.
    fn is_fixed(key: &str) -> bool {
        let file = key.rsplit('/').next().unwrap_or_default();
        key.starts_with("packages/") && (is_wheel(file) || sdist_name(file).is_some())
    }

    pub(crate) fn over(objects: Arc<dyn ObjectStore>, kept: Responses) -> Self {
        Self(Arc::new(Inner {
            objects,
            kept,
            shelves: Mutex::default(),
            warned: Mutex::default(),
            proven: OnceLock::new(),
            patience: Duration::from_secs(5),
            gate: OnceLock::new(),
            known: OnceLock::new(),
            is_uncached: false,
        }))
    }

    /// The same repo, of which nothing is believed that was kept on this disk, over its own store or another way to it.
    fn uncached_over(&self, objects: Arc<dyn ObjectStore>, proven: OnceLock<()>) -> Self {
        Self(Arc::new(Inner {
            objects,
            kept: self.0.kept.clone(),
            shelves: Mutex::default(),
            warned: Mutex::default(),
            proven,
            patience: self.0.patience,
            gate: self.0.gate.clone(),
            known: self.0.known.clone(),
            is_uncached: true,
        }))
    }

    /// The same repo, of which nothing is believed that was kept on this disk.
    #[must_use]
    pub(crate) fn without_cache(&self) -> Self {
        self.uncached_over(self.0.objects.clone(), self.0.proven.clone())
    }

    /// What was kept on this disk, where it may be believed.
    fn find_kept(&self, kind: Kind, key: &str) -> Option<Kept> {
        if self.0.is_uncached {
            return None;
        }
        self.0.kept.find(kind, key)
    }

    /// From now on ask only for what the gate admits. Once: a second gate changes nothing.
    #[must_use]
    pub fn gated(self, gate: Gate) -> Self {
        self.0.gate.get_or_init(|| gate);
        self
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.0.gate.get()
    }

    /// From now on publish only to this very repo; see [`crate::FolderRepo::known`]. Once: a second call changes nothing.
    #[must_use]
    pub fn known(self, identity: Option<&str>) -> Self {
        self.0.known.get_or_init(|| identity.map(ToOwned::to_owned));
        self
    }

    /// Which repo is there now; `None` where it may not be asked.
    pub fn identity(&self) -> Result<Option<PlaceIdentity>> {
        if self.0.objects.is_offline() {
            return Ok(None);
        }
        Ok(Some(match self.marker()? {
            Some(marker) => marker.identity(),
            // The objects are the truth: a copy of `packages/` without the marker is the same repo.
            None if self.package_folders()?.is_empty() => PlaceIdentity::Absent,
            None => PlaceIdentity::Unnamed,
        }))
    }

    /// The store's URL.
    pub fn place(&self) -> Place {
        Place::Url(self.0.objects.place().to_owned())
    }

    /// Whether there is a repo.
    pub fn is_made(&self) -> Result<bool> {
        Ok(self.marker()?.is_some())
    }

    /// Make the repo if there is none, having seen that the store honours what publishing needs. Fine if it is one.
    pub fn make(&self) -> Result<bool> {
        let by = self.0.objects.commit_by();
        let found = self.marker()?;
        if let Some(marker) = &found
            && marker.commit != Some(by)
        {
            return Err(Error::OtherWay { place: self.place() });
        }
        if let Some(known) = self.0.known.get()
            && !self.identity()?.is_none_or(|found| found.is(known.as_deref()))
        {
            return Err(Error::NotThere { place: self.place() });
        }
        self.prove()?;
        if found.is_some() {
            return Ok(false);
        }
        // Of several that make it at once, the first gives it its identity.
        let marker = Marker::fresh(Some(by)).to_bytes();
        match by {
            CommitBy::Create => drop(self.0.objects.create("repo.json", marker, JSON)?),
            CommitBy::Move => {
                let staged = format!("staged/repo-{}", ulid::Ulid::new().to_string().to_lowercase());
                self.0.objects.stage(&staged, marker)?;
                if self.0.objects.rename(&staged, "repo.json")? == Moved::Exists {
                    self.0.objects.delete(&staged)?;
                }
            }
        }
        Ok(true)
    }

    /// The packages that have at least one wheel or source distribution (by its file name), sorted.
    pub fn packages(&self) -> Result<Vec<PackageName>> {
        self.marker()?;
        let mut names = self.package_folders()?;
        names.retain(|name| self.gate().is_none_or(|gate| gate.admits(name)));
        let have = each(&names, |name| self.has_files(name))?;
        let both = names.into_iter().zip(have);
        Ok(both.filter_map(|(name, has)| has.then_some(name)).collect())
    }

    /// What the marker says; `None` if there is none. A format of a later version is an error.
    fn marker(&self) -> Result<Option<Marker>> {
        let place = self.at("repo.json");
        match self.0.objects.read("repo.json", MARKER_LIMIT)? {
            Some(bytes) if bytes.len() as u64 > MARKER_LIMIT => Err(Error::TooLarge {
                place,
                limit: MARKER_LIMIT,
            }),
            Some(bytes) => read_marker(&bytes, &place, &self.place()).map(Some),
            None => Ok(None),
        }
    }

    /// The folders below `packages/` that are named as packages are.
    fn package_folders(&self) -> Result<Vec<PackageName>> {
        let entries = self.0.objects.list("packages/", false)?;
        let names = folders(&entries, "packages/").into_iter();
        Ok(names
            .filter_map(|n| PackageName::parse(&n).ok().filter(|p| p.as_str() == n))
            .collect())
    }

    /// Where an object lies, for people.
    fn at(&self, key: &str) -> Place {
        Place::Url(format!("{}/{key}", self.0.objects.place()))
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<PackageName, Known>> {
        self.0.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warned(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.0.warned.lock().unwrap_or_else(PoisonError::into_inner)
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

fn status_prefix(name: &PackageName, version: &Version) -> String {
    format!("status/{name}/{version}/")
}
