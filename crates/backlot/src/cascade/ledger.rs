//! What cascades keep in repos: journals, leases, attestations, and builds that failed. The layout is in `docs/format/cascade-journal.md`.
//!
//! Invariants: all of it lies in repos, so that a cascade is seen, continued and stopped from any machine; the lease of an asset lies in the asset's own
//! repo, whatever cascade asks for it. Deliberately absent: what the records mean (`backlot-cascade`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlot_cascade::{
    CascadeId, Cause, Entry, Failure, InputsDigest, Journal, Lease, LeaseStore, Loaded, NodeId, NodeKey,
    runner_name,
};
use backlot_core::{Context, Sha256};
use backlot_pep::{PackageName, Version};
use backlot_repo::{ReleaseStore, Repo};

use crate::error::{CascadeError, Result};
use crate::workspace::config::RepoEntry;
use crate::workspace::{Opened, Shared};

/// What is told of each entry that this process appends.
pub type Watch<'a> = dyn Fn(&Entry) + Send + Sync + 'a;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Opened {
    /// The repo that keeps the records of cascades for its assets. A package index keeps none.
    pub(crate) fn ledger(&self, repo: &str) -> Result<ReleaseStore> {
        let entry = self.repo_entry(repo)?;
        match self.open_repo(entry)? {
            Repo::Store(store) if entry.public.is_none() => Ok(store),
            _ => Err(CascadeError::NoRecords {
                repo: repo.to_owned(),
            }
            .into()),
        }
    }

    /// All that can, in order of preference. One that cannot be reached is warned of.
    pub(crate) fn ledgers(&self) -> Vec<(String, ReleaseStore)> {
        let mut found = Vec::new();
        for entry in self.repos().into_iter().filter(|entry| entry.public.is_none()) {
            match self.open_repo(entry) {
                Ok(Repo::Store(store)) => found.push((entry.name.clone(), store)),
                Ok(_) => {}
                Err(error) => {
                    let message = format!("the cascades of `{}` are not known: {error}", entry.name);
                    self.context().warn("cascade::repo_passed_over", message);
                }
            }
        }
        found
    }

    /// The attestations of a repo: by package and version, the inputs that a release is also right for.
    pub(crate) fn attestations(&self, entry: &RepoEntry) -> Result<Attestations> {
        let Repo::Store(store) = self.open_repo(entry)? else {
            return Ok(Attestations::new());
        };
        let mut all = Attestations::new();
        for name in store.records_below("attested/")? {
            if let Some((package, version, inputs)) = parse_attestation(&name) {
                let of_package: &mut BTreeMap<Version, BTreeSet<InputsDigest>> =
                    all.entry(package).or_default();
                of_package.entry(version).or_default().insert(inputs);
            }
        }
        Ok(all)
    }
}

/// By package and version, the inputs that a release is also right for.
pub(crate) type Attestations = BTreeMap<PackageName, BTreeMap<Version, BTreeSet<InputsDigest>>>;

/// What the name of an attestation says; it is all there.
fn parse_attestation(name: &str) -> Option<(PackageName, Version, InputsDigest)> {
    let mut parts = name.strip_suffix(".json")?.split('/');
    let package = PackageName::parse(parts.next()?).ok()?;
    let version = Version::parse(parts.next()?).ok()?;
    let digest: Sha256 = parts.next()?.parse().ok()?;
    Some((package, version, InputsDigest(digest)))
}

/// Record that a release is also right for other inputs.
pub(crate) fn attest(
    store: &ReleaseStore,
    node: &NodeId,
    version: &Version,
    inputs: InputsDigest,
) -> Result<()> {
    let name = format!("attested/{}/{version}/{inputs}.json", node.package);
    Ok(store.write_record(&name, b"{\"format\": 1}\n")?)
}

/// How often builds with a key failed by their own fault.
pub(crate) fn failures(store: &ReleaseStore, key: NodeKey) -> Result<u32> {
    let names = store.record_names(&format!("failures/{key}/"))?;
    Ok(u32::try_from(names.len()).unwrap_or(u32::MAX))
}

/// Count one more.
pub(crate) fn add_failure(
    store: &ReleaseStore,
    key: NodeKey,
    failure: &Failure,
    owner: &Owner,
) -> Result<()> {
    let at = owner.context.now().0;
    let name = format!("failures/{key}/{at:013}-{}.json", owner.process);
    let bytes = serde_json::to_vec(&serde_json::json!({ "format": 1, "by": owner.name, "failure": failure }));
    Ok(store.write_record(&name, &bytes.expect("a failure is plain data"))?)
}

/// A process that runs something, by machine, number and start, which no other process has.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) name: String,
    process: u32,
    context: Context,
}

impl Owner {
    pub(crate) fn new(opened: &Opened, attempt: Option<&str>) -> Self {
        let process = std::process::id();
        Self {
            name: runner_name(&opened.host().machine, process, attempt, opened.context().now()),
            process,
            context: opened.context().clone(),
        }
    }
}

/// The cascades of a repo that are not finished, in the order in which they were begun, which their numbers tell.
#[derive(Debug)]
pub(crate) struct OpenCascades(ReleaseStore);

impl OpenCascades {
    pub(crate) fn new(store: &ReleaseStore) -> Self {
        Self(store.clone())
    }

    /// Those that are open, by their numbers.
    pub(crate) fn list(&self) -> Result<Vec<(u64, CascadeId)>> {
        let mut open = Vec::new();
        for name in self.0.record_names("open/")? {
            let bytes = self.0.read_record(&format!("open/{name}"))?.unwrap_or_default();
            let id = serde_json::from_slice::<CascadeId>(&bytes).ok();
            open.extend(number_of(&name).zip(id));
        }
        Ok(open)
    }

    /// Add one, after all that are there. Returns its number.
    pub(crate) fn add(&self, cascade: &CascadeId) -> Result<u64> {
        let open = self.list()?;
        if let Some((number, _)) = open.iter().find(|(_, known)| known == cascade) {
            return Ok(*number);
        }
        let bytes = serde_json::to_vec(cascade).expect("an id is a text");
        let mut number = open.last().map_or(0, |(number, _)| *number);
        loop {
            number += 1;
            if self.0.create_record(&format!("open/{number:08}.json"), &bytes)? {
                return Ok(number);
            }
        }
    }

    /// One is finished.
    pub(crate) fn remove(&self, cascade: &CascadeId) -> Result<()> {
        for (number, _) in self.list()?.iter().filter(|(_, known)| known == cascade) {
            self.0.remove_record(&format!("open/{number:08}.json"))?;
        }
        Ok(())
    }
}

/// The journal of a cascade: one record an entry, numbered from 1.
pub(crate) struct RepoJournal<'a> {
    store: ReleaseStore,
    prefix: String,
    /// The number of the last entry that is known to be there.
    last: Mutex<u64>,
    watch: Option<&'a Watch<'a>>,
}

impl fmt::Debug for RepoJournal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepoJournal")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl<'a> RepoJournal<'a> {
    pub(crate) fn new(store: ReleaseStore, cascade: &CascadeId) -> Self {
        Self {
            store,
            prefix: format!("runs/{cascade}/"),
            last: Mutex::new(0),
            watch: None,
        }
    }

    /// The same, telling of each entry that is appended.
    pub(crate) fn watched(mut self, watch: Option<&'a Watch<'a>>) -> Self {
        self.watch = watch;
        self
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number:08}.json", self.prefix)
    }

    /// The first entry, which is the plan.
    pub(crate) fn first(&self) -> Result<Option<Entry>> {
        let bytes = self.store.read_record(&self.name(1))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Remove it, the last entry first, so that what is left of one that was stopped is a journal.
    pub(crate) fn remove(&self) -> Result<()> {
        let names = self.store.record_names(&self.prefix)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            self.store.remove_record(&self.name(number))?;
        }
        Ok(())
    }

    /// The entries that a listing shows, up to the first gap, many at once.
    fn load_listed(&self) -> Result<Vec<Option<Vec<u8>>>, backlot_repo::Error> {
        let names = self.store.record_names(&self.prefix)?;
        let there: BTreeSet<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        let whole = (1..).take_while(|number| there.contains(number));
        let names: Vec<String> = whole.map(|number| self.name(number)).collect();
        self.store.read_records(&names)
    }
}

/// The number that a record is named by.
fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

impl Journal for RepoJournal<'_> {
    fn append(&self, entry: &Entry) -> backlot_cascade::Result<()> {
        let bytes = serde_json::to_vec(entry).expect("an entry has no keys but texts");
        {
            let mut last = lock(&self.last);
            loop {
                let next = self.name(*last + 1);
                let created = self.store.create_record(&next, &bytes).map_err(Cause::new)?;
                *last += 1;
                if created {
                    break;
                }
            }
        }
        if let Some(watch) = self.watch {
            watch(entry);
        }
        Ok(())
    }

    fn load(&self, from: u64) -> backlot_cascade::Result<Loaded> {
        let mut loaded = Loaded {
            next: from,
            ..Loaded::default()
        };
        let add = |loaded: &mut Loaded, bytes: Option<Vec<u8>>| {
            let Some(bytes) = bytes else { return false };
            match serde_json::from_slice(&bytes) {
                Ok(entry) => loaded.entries.push(entry),
                Err(_) => loaded.unreadable += 1,
            }
            loaded.next += 1;
            true
        };
        if from == 0 {
            for bytes in self.load_listed().map_err(Cause::new)? {
                if !add(&mut loaded, bytes) {
                    break;
                }
            }
        }
        loop {
            let next = self.store.read_record(&self.name(loaded.next + 1));
            if !add(&mut loaded, next.map_err(Cause::new)?) {
                break;
            }
        }
        let mut last = lock(&self.last);
        *last = (*last).max(loaded.next);
        Ok(loaded)
    }
}

/// Leases of assets, each in the repo of its asset.
#[derive(Debug)]
pub(crate) struct RepoLeases {
    shared: Arc<Shared>,
    context: Context,
    stores: Mutex<BTreeMap<String, ReleaseStore>>,
}

impl RepoLeases {
    pub(crate) fn new(opened: &Opened) -> Self {
        Self {
            shared: opened.shared(),
            context: opened.context().clone().silent(),
            stores: Mutex::default(),
        }
    }

    fn store(&self, node: &NodeId) -> Result<ReleaseStore> {
        let mut stores = lock(&self.stores);
        if let Some(store) = stores.get(node.repo.as_str()) {
            return Ok(store.clone());
        }
        let store = Opened::now(&self.shared, &self.context)?.ledger(node.repo.as_str())?;
        stores.insert(node.repo.as_str().to_owned(), store.clone());
        Ok(store)
    }

    fn find(&self, node: &NodeId) -> Result<Option<Lease>> {
        let store = self.store(node)?;
        let prefix = format!("leases/{}/", node.package);
        loop {
            let names = store.record_names(&prefix)?;
            let newest = names.iter().filter_map(|name| number_of(name)).max();
            let Some(token) = newest else { return Ok(None) };
            if let Some(bytes) = store.read_record(&lease_name(node, token))? {
                // One that cannot be read is held by nobody, and its number is taken.
                let lost = Lease {
                    token,
                    owner: String::new(),
                    until: backlot_core::Timestamp(0),
                };
                return Ok(Some(serde_json::from_slice(&bytes).unwrap_or(lost)));
            }
            // Overtaken twice and removed since the listing.
        }
    }

    fn put(&self, node: &NodeId, lease: &Lease) -> Result<bool> {
        let store = self.store(node)?;
        let created = store.create_record(&lease_name(node, lease.token), &lease_bytes(lease))?;
        if created && lease.token > 2 {
            // The one before stays, for whoever listed it a moment ago.
            store.remove_record(&lease_name(node, lease.token - 2)).ok();
        }
        Ok(created)
    }
}

fn lease_name(node: &NodeId, token: u64) -> String {
    format!("leases/{}/{token:08}.json", node.package)
}

fn lease_bytes(lease: &Lease) -> Vec<u8> {
    serde_json::to_vec(lease).expect("a lease is plain data")
}

impl LeaseStore for RepoLeases {
    fn newest(&self, node: &NodeId) -> Result<Option<Lease>, Cause> {
        self.find(node).map_err(Cause::new)
    }

    fn create(&self, node: &NodeId, lease: &Lease) -> Result<bool, Cause> {
        self.put(node, lease).map_err(Cause::new)
    }

    fn renew(&self, node: &NodeId, lease: &Lease) -> Result<(), Cause> {
        let store = self.store(node).map_err(Cause::new)?;
        let written = store.write_record(&lease_name(node, lease.token), &lease_bytes(lease));
        written.map_err(Cause::new)
    }
}
