//! Leases: at most one worker builds an asset at a time, and one that was thought lost does no harm (rules R4, R5).
//!
//! A lease is a record under (asset, token) that is created if absent; the highest token holds. Invariant: tokens of an asset
//! only rise, each is given once, and a release is committed only with the highest, which the index checks in the same step
//! as it creates the release. Clocks decide only how soon somebody else may try, never who may commit. Deliberately absent:
//! where records are stored.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use backlot_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Cause;
use crate::node::NodeId;

/// The record of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number among the leases of the asset, beginning with 1: the fencing token.
    pub token: u64,
    /// Who holds it.
    pub owner: String,
    /// When others may take the asset, unless it is renewed.
    pub until: Timestamp,
}

/// Where leases are kept, for all cascades together.
pub trait LeaseStore: Send + Sync + fmt::Debug {
    /// The lease of an asset with the highest token.
    fn newest(&self, node: &NodeId) -> Result<Option<Lease>, Cause>;
    /// Create the record of a token unless there is one; whether it was created. Never retried by the store.
    fn create(&self, node: &NodeId, lease: &Lease) -> Result<bool, Cause>;
    /// Write the end of a lease anew. Only its holder does.
    fn renew(&self, node: &NodeId, lease: &Lease) -> Result<(), Cause>;
}

/// What became of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// We hold it.
    Held(Lease),
    /// Somebody else holds it until then at least.
    Busy(Timestamp),
}

/// Ask for the lease of an asset, for `duration_ms`.
pub fn acquire(
    store: &dyn LeaseStore,
    node: &NodeId,
    owner: &str,
    now: Timestamp,
    duration_ms: u64,
) -> Result<Acquired, Cause> {
    let newest = store.newest(node)?;
    if let Some(lease) = newest.as_ref().filter(|lease| lease.until > now) {
        return Ok(Acquired::Busy(lease.until));
    }
    let until = Timestamp(now.0.saturating_add(duration_ms));
    let lease = Lease {
        token: newest.map_or(0, |lease| lease.token) + 1,
        owner: owner.to_owned(),
        until,
    };
    if store.create(node, &lease)? {
        Ok(Acquired::Held(lease))
    } else {
        Ok(Acquired::Busy(until))
    }
}

/// Whether a token is still the highest of an asset.
pub fn is_held(store: &dyn LeaseStore, node: &NodeId, token: u64) -> Result<bool, Cause> {
    Ok(store.newest(node)?.is_some_and(|lease| lease.token == token))
}

/// Leases in memory, for cascades of one process.
#[derive(Debug, Default)]
pub struct MemoryLeases(Mutex<BTreeMap<NodeId, Lease>>);

impl LeaseStore for MemoryLeases {
    fn newest(&self, node: &NodeId) -> Result<Option<Lease>, Cause> {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(leases.get(node).cloned())
    }

    fn create(&self, node: &NodeId, lease: &Lease) -> Result<bool, Cause> {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = leases.get(node).is_none_or(|newest| newest.token < lease.token);
        if is_new {
            leases.insert(node.clone(), lease.clone());
        }
        Ok(is_new)
    }

    fn renew(&self, node: &NodeId, lease: &Lease) -> Result<(), Cause> {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = leases.get_mut(node).filter(|newest| newest.token == lease.token) {
            newest.until = lease.until;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::Timestamp;

    use super::{Acquired, LeaseStore as _, MemoryLeases, acquire, is_held};

    #[test]
    fn a_lease_is_held_by_one_until_it_ends() {
        let (store, node) = (MemoryLeases::default(), "r/a".parse().expect("valid"));
        let ask = |owner: &str, now| acquire(&store, &node, owner, Timestamp(now), 10).expect("memory");
        let Acquired::Held(mut first) = ask("one", 0) else {
            panic!("it is free");
        };
        assert_eq!(ask("two", 9), Acquired::Busy(Timestamp(10)));
        first.until = Timestamp(20);
        store.renew(&node, &first).expect("memory");
        assert_eq!(ask("two", 10), Acquired::Busy(Timestamp(20)));
        let Acquired::Held(second) = ask("two", 20) else {
            panic!("it has ended");
        };
        assert_eq!((first.token, second.token), (1, 2));
        assert!(!is_held(&store, &node, first.token).expect("memory"));
        first.until = Timestamp(99);
        store.renew(&node, &first).expect("memory");
        assert!(
            matches!(ask("one", 30), Acquired::Held(_)),
            "a late renewal holds nothing"
        );
    }
}
