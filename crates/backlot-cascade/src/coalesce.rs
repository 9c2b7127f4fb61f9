//! Many publishes, few cascades: when to plan, and for which roots (rule R7).
//!
//! Invariant: every publish offered is in exactly one batch, as a root or as superseded by a later one of its asset; a batch
//! is due after a quiet time and never later than the longest wait. Losing all of this loses nothing: what is dirty is seen
//! from the releases. Deliberately absent: a timer; the caller asks with its clock.

use std::collections::BTreeMap;

use backlot_core::Timestamp;
use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::node::NodeId;

/// How long to wait, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Debounce {
    /// Without a publish, before a cascade begins.
    pub quiet_ms: u64,
    /// Since the first publish, at the longest.
    pub longest_ms: u64,
}

impl Default for Debounce {
    /// 30 seconds, 10 minutes.
    fn default() -> Self {
        Self {
            quiet_ms: 30_000,
            longest_ms: 600_000,
        }
    }
}

/// What a cascade is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The newest publish of each asset.
    pub roots: BTreeMap<NodeId, Version>,
    /// Publishes that a later one of the same asset replaced, in the order they came, and which one it was.
    pub superseded: Vec<(NodeId, Version, Version)>,
}

/// Collects publishes.
#[derive(Clone, Debug, Default)]
pub struct Coalescer {
    debounce: Debounce,
    waiting: BTreeMap<NodeId, Vec<Version>>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Coalescer {
    /// With these times.
    pub fn new(debounce: Debounce) -> Self {
        Self {
            debounce,
            ..Self::default()
        }
    }

    /// A release was published, in the order of the index. Offering one twice in a row changes nothing but the quiet time.
    pub fn offer(&mut self, node: &NodeId, version: &Version, now: Timestamp) {
        let versions = self.waiting.entry(node.clone()).or_default();
        if versions.last() != Some(version) {
            versions.push(version.clone());
        }
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// When the next batch is due, if there is one.
    pub fn due_at(&self) -> Option<Timestamp> {
        let (first, last) = (self.first?, self.last?);
        let quiet = last.0.saturating_add(self.debounce.quiet_ms);
        let longest = first.0.saturating_add(self.debounce.longest_ms);
        Some(Timestamp(quiet.min(longest)))
    }

    /// The batch, if it is due.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Batch> {
        if self.due_at()? > now {
            return None;
        }
        (self.first, self.last) = (None, None);
        let mut batch = Batch::default();
        for (node, mut versions) in std::mem::take(&mut self.waiting) {
            let Some(newest) = versions.pop() else {
                continue;
            };
            let replaced = versions
                .into_iter()
                .map(|version| (node.clone(), version, newest.clone()));
            batch.superseded.extend(replaced);
            batch.roots.insert(node, newest);
        }
        Some(batch)
    }
}
