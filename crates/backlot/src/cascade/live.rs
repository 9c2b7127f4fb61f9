//! What is published, as a cascade sees it while it runs: the releases of the studio, looked at again all the time.
//!
//! Invariant: what this process released or recorded is seen at once, and what others did after a moment; the commit of a release looks anew.
//! Deliberately absent: leases and journals (`ledger`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backlot_cascade::{
    Asset, Cause, Failure, Index, InputsDigest, NodeId, NodeKey, RepoName, Resolution, ResolveRequest,
    Resolver,
};
use backlot_core::Context;
use backlot_pep::{PackageName, Version};

use crate::cascade::ledger::{self, Owner};
use crate::cascade::resolver::StudioResolver;
use crate::cascade::studio::Studio;
use crate::error::Result;
use crate::workspace::{Opened, Shared};

/// How old what is known may be for a decision that is made again before a release is created.
const MOMENT: Duration = Duration::from_millis(500);

/// The releases of the studio, kept current.
#[derive(Debug)]
pub(crate) struct LiveStudio {
    shared: Arc<Shared>,
    context: Context,
    owner: Owner,
    /// The repo that keeps what is recorded of the cascade.
    home: String,
    known: Mutex<Option<(Instant, Arc<Studio>)>>,
}

impl LiveStudio {
    pub(crate) fn new(opened: &Opened, home: &str, owner: &Owner) -> Self {
        Self {
            shared: opened.shared(),
            context: opened.context().clone().silent(),
            owner: owner.clone(),
            home: home.to_owned(),
            known: Mutex::default(),
        }
    }

    /// A fresh look at the workspace, which remembers nothing of repos.
    fn opened(&self) -> Result<Opened> {
        Opened::now(&self.shared, &self.context)
    }

    /// The studio as it was a moment ago at the earliest.
    pub(crate) fn recent(&self) -> Result<Arc<Studio>> {
        self.within(MOMENT)
    }

    /// The studio as it is now.
    pub(crate) fn now(&self) -> Result<Arc<Studio>> {
        self.within(Duration::ZERO)
    }

    fn within(&self, age: Duration) -> Result<Arc<Studio>> {
        let asked = Instant::now();
        // One looks, the others wait for what it sees.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, studio)) = known.as_ref()
            && (*at >= asked || at.elapsed() < age)
        {
            return Ok(Arc::clone(studio));
        }
        let begun = Instant::now();
        let studio = Arc::new(self.opened()?.studio()?);
        *known = Some((begun, Arc::clone(&studio)));
        Ok(studio)
    }

    /// Look anew the next time: something was released or recorded.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Index for LiveStudio {
    fn asset(&self, node: &NodeId) -> Result<Option<Arc<Asset>>, Cause> {
        let studio = self.recent().map_err(Cause::new)?;
        Ok(studio.catalog.asset(node).cloned())
    }

    fn find_key(
        &self,
        package: &PackageName,
        key: NodeKey,
        preferred: &RepoName,
    ) -> Result<Option<(NodeId, Version)>, Cause> {
        let studio = self.recent().map_err(Cause::new)?;
        Ok(studio.catalog.find_key(package, key, preferred))
    }

    fn attest(&self, node: &NodeId, version: &Version, inputs: InputsDigest) -> Result<(), Cause> {
        let store = self.opened().and_then(|opened| opened.ledger(node.repo.as_str()));
        let attested = store.and_then(|store| ledger::attest(&store, node, version, inputs));
        self.forget();
        attested.map_err(Cause::new)
    }

    fn failures(&self, key: NodeKey) -> Result<u32, Cause> {
        let store = self.opened().and_then(|opened| opened.ledger(&self.home));
        store
            .and_then(|store| ledger::failures(&store, key))
            .map_err(Cause::new)
    }

    fn add_failure(&self, key: NodeKey, failure: &Failure) -> Result<(), Cause> {
        let store = self.opened().and_then(|opened| opened.ledger(&self.home));
        let added = store.and_then(|store| ledger::add_failure(&store, key, failure, &self.owner));
        added.map_err(Cause::new)
    }
}

impl Resolver for LiveStudio {
    fn resolve(&self, request: &ResolveRequest<'_>) -> Result<Resolution, Cause> {
        let studio = self.recent().map_err(Cause::new)?;
        StudioResolver::new(&studio, &self.context).resolve(request)
    }
}
