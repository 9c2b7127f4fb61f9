//! The status of a cascade for people and programs.
//!
//! Invariant: derived from [`RunState`] alone; a failure is named once as a cause, with the number of nodes it blocks.
//! Deliberately absent: rendering.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::node::{CascadeId, NodeId};
use crate::schedule::Ending;
use crate::state::{NodeStatus, RunState};

/// A node and its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSummary {
    /// The node.
    pub node: NodeId,
    /// Its level.
    pub level: u32,
    /// Its status.
    #[serde(flatten)]
    pub status: NodeStatus,
    /// The number of its last lease, 0 if it had none: tells a failure from one of an earlier attempt. Not serialised.
    #[serde(skip)]
    pub lease: u64,
    /// The checks whose findings its last build repaired, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<String>,
}

/// A node that others wait for in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The node.
    pub node: NodeId,
    /// Its status: failed, manual or outside.
    #[serde(flatten)]
    pub status: NodeStatus,
    /// How many nodes it blocks.
    pub blocks: usize,
}

/// How a cascade stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The cascade.
    pub cascade: CascadeId,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// How many nodes have each status.
    pub counts: BTreeMap<String, usize>,
    /// What failed, or waits for a person.
    pub causes: Vec<Cause>,
    /// All nodes, in the order of the plan.
    pub nodes: Vec<NodeSummary>,
}

impl RunState {
    /// How the cascade stands.
    pub fn summary(&self, ending: Option<Ending>) -> Summary {
        let planned = self.plan().nodes.iter().enumerate();
        let nodes: Vec<NodeSummary> = planned
            .map(|(at, planned)| NodeSummary {
                node: planned.dirty.node.clone(),
                level: planned.dirty.level,
                status: self.status(at),
                lease: self.last_lease(at),
                repaired: self.repaired(at).to_vec(),
            })
            .collect();
        let (mut counts, mut blocks) = (BTreeMap::new(), BTreeMap::new());
        for node in &nodes {
            *counts.entry(node.status.as_str().to_owned()).or_default() += 1;
            if let NodeStatus::Blocked { by, .. } = &node.status {
                *blocks.entry(by.clone()).or_default() += 1;
            }
        }
        let is_cause = |status: &NodeStatus| {
            matches!(
                status,
                NodeStatus::Failed { .. } | NodeStatus::Manual | NodeStatus::Outside
            )
        };
        let causes = nodes
            .iter()
            .filter(|node| is_cause(&node.status))
            .map(|node| Cause {
                blocks: blocks.get(&node.node).copied().unwrap_or(0),
                node: node.node.clone(),
                status: node.status.clone(),
            });
        Summary {
            cascade: self.plan().id.clone(),
            ending,
            counts,
            causes: causes.collect(),
            nodes,
        }
    }
}
