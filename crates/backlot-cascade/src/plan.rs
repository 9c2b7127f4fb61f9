//! The plan of a cascade: data that is shown before anything is done, and that a run follows (rules R3, R4, R10).
//!
//! Invariant: a plan depends on its report and limits only, its id on all of both, and a node comes after the nodes it
//! follows. What the worker that holds the lease finds when it resolves anew goes before what the plan says. Deliberately
//! absent: progress; that is the run's.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::dirty::{Decision, DirtyNode, DirtyReport};
use crate::error::{Error, Result};
use crate::node::{CascadeId, FieldHasher, NodeId, RepoName};

/// How much a cascade may do at once, and how often it tries. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Nodes that are built at once.
    pub jobs: usize,
    /// The same by repo, where a repo has a limit of its own.
    pub repos: BTreeMap<RepoName, usize>,
    /// Units there are of each resource class: `licence.houdini = 4`. A class that is not named has no limit.
    pub resources: BTreeMap<String, u32>,
    /// How many nodes may be built without a confirmation.
    pub cap: usize,
    /// How many nodes are built first, before all others; 0 for none.
    pub canary: usize,
    /// How often a build with the same key may fail by its own fault.
    pub attempts: u32,
    /// How often in a row a node may fail by fault of the environment.
    pub environment_attempts: u32,
    /// The pause before the second attempt; it doubles from then on, up to 64 times this.
    pub backoff_ms: u64,
    /// How long a lease holds without a sign of life.
    pub lease_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 4,
            repos: BTreeMap::new(),
            resources: BTreeMap::new(),
            cap: 200,
            canary: 0,
            attempts: 2,
            environment_attempts: 8,
            backoff_ms: 5_000,
            lease_ms: 60_000,
        }
    }
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanNode {
    /// What the report says of it.
    #[serde(flatten)]
    pub dirty: DirtyNode,
    /// Indices of the steps that come before it.
    pub follows: Vec<usize>,
    /// Estimated time from its start to the end of the longest chain that follows it, in milliseconds: the longest is first.
    pub priority_ms: u64,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id, and that of the cascade that runs it.
    pub id: CascadeId,
    /// The id of its report.
    pub report: String,
    /// What it is about; empty if about everything.
    pub roots: Vec<(NodeId, Version)>,
    /// Its steps, by level and name.
    pub nodes: Vec<PlanNode>,
    /// Assets of the report without a step: held, proposed, in a cycle.
    pub others: Vec<DirtyNode>,
    /// Its limits.
    pub limits: Limits,
    /// Indices of the first wave, which has to end well before others begin.
    pub canary: Vec<usize>,
}

/// What an asset without an earlier build is taken to cost where no other has one either, in milliseconds.
const UNKNOWN_COST_MS: u64 = 60_000;

impl Plan {
    /// Plan what a report says.
    pub fn new(report: &DirtyReport, limits: Limits) -> Self {
        let (steps, others): (Vec<_>, Vec<_>) = report
            .nodes
            .iter()
            .cloned()
            .partition(|dirty| dirty.decision.is_step());
        let index: BTreeMap<NodeId, usize> = steps
            .iter()
            .enumerate()
            .map(|(at, dirty)| (dirty.node.clone(), at))
            .collect();
        let mut nodes: Vec<PlanNode> = steps
            .into_iter()
            .map(|dirty| PlanNode {
                follows: dirty
                    .parents
                    .iter()
                    .filter_map(|parent| index.get(parent).copied())
                    .collect(),
                dirty,
                priority_ms: 0,
            })
            .collect();
        set_priorities(&mut nodes);
        let mut plan = Self {
            id: CascadeId(String::new()),
            report: report.id.clone(),
            roots: report.roots.clone(),
            canary: canary(&nodes, limits.canary),
            nodes,
            others,
            limits,
        };
        plan.id = plan.make_id();
        plan
    }

    /// The same plan under another id, for running it again though a cascade with this id was given up.
    #[must_use]
    pub fn renewed(mut self, round: u32) -> Self {
        let mut hasher = FieldHasher::new("plan again");
        hasher.field(&self.id.0);
        hasher.field(round.to_be_bytes());
        self.id = CascadeId(hasher.finish().to_hex()[..16].to_owned());
        self
    }

    fn make_id(&self) -> CascadeId {
        let mut hasher = FieldHasher::new("plan");
        hasher.field(&self.report);
        // Limits are numbers and names, which JSON can always hold.
        hasher.field(serde_json::to_vec(&self.limits).unwrap_or_default());
        CascadeId(hasher.finish().to_hex()[..16].to_owned())
    }

    /// How many nodes will be built by workers.
    pub fn builds(&self) -> usize {
        let builds = self
            .nodes
            .iter()
            .filter(|node| node.dirty.decision == Decision::Build);
        builds.count()
    }
    /// An error if it may not run before somebody confirms it.
    pub fn check_cap(&self) -> Result<()> {
        let nodes = self.builds();
        if nodes <= self.limits.cap {
            return Ok(());
        }
        Err(Error::NeedsConfirmation {
            cascade: self.id.to_string(),
            nodes,
            cap: self.limits.cap,
        })
    }
    /// Estimated time of all builds together, in milliseconds; those without an earlier build count as the median.
    pub fn cost_ms(&self) -> u64 {
        let unknown = median_cost(&self.nodes);
        self.nodes
            .iter()
            .map(|node| node.dirty.estimated_ms.unwrap_or(unknown))
            .sum()
    }
    /// Estimated time of the longest chain, in milliseconds: it takes at least so long, with however many jobs.
    pub fn critical_path_ms(&self) -> u64 {
        self.nodes.iter().map(|node| node.priority_ms).max().unwrap_or(0)
    }
    /// The index of a node.
    pub fn find(&self, node: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|planned| planned.dirty.node == *node)
    }
}

fn median_cost(nodes: &[PlanNode]) -> u64 {
    let mut known: Vec<u64> = nodes.iter().filter_map(|node| node.dirty.estimated_ms).collect();
    known.sort_unstable();
    known.get(known.len() / 2).copied().unwrap_or(UNKNOWN_COST_MS)
}

/// Nodes come after those they follow, so one pass backwards is enough.
fn set_priorities(nodes: &mut [PlanNode]) {
    let unknown = median_cost(nodes);
    for at in (0..nodes.len()).rev() {
        let own = match nodes[at].dirty.decision {
            Decision::UpToDate => 0,
            _ => nodes[at].dirty.estimated_ms.unwrap_or(unknown),
        };
        nodes[at].priority_ms = nodes[at].priority_ms.saturating_add(own);
        let priority = nodes[at].priority_ms;
        for parent in nodes[at].follows.clone() {
            nodes[parent].priority_ms = nodes[parent].priority_ms.max(priority);
        }
    }
}

/// The builds that can start at once, those before the longest chains first.
fn canary(nodes: &[PlanNode], size: usize) -> Vec<usize> {
    let can_start =
        |at: &usize| nodes[*at].follows.is_empty() && nodes[*at].dirty.decision == Decision::Build;
    let mut wave: Vec<usize> = (0..nodes.len()).filter(can_start).collect();
    wave.sort_by_key(|at| (Reverse(nodes[*at].priority_ms), *at));
    wave.truncate(size);
    wave
}
