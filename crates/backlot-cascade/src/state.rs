//! Where a cascade stands: the plan and the journal, folded.
//!
//! Invariant: this is the only derivation of status; reports, the scheduler and waiting clients see the same. The state depends
//! on the plan and the entries only, not on when they are read. Entries of a node under a lower token than the highest seen
//! are ignored. Every entry costs time in proportion to the edges of its node, but for rare ones (a person's retry, a manual
//! step that is done). Deliberately absent: deciding what to start ([`crate::schedule`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backlot_core::Timestamp;
use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::batch::StartedBatch;
use crate::dirty::{Decision, Hold};
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::journal::{Entry, JOURNAL_FORMAT, JournalEvent, NodeEvent, Unchanged};
use crate::node::{CascadeId, NodeId, NodeKey};
use crate::plan::Plan;

/// How far the worker of a lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It holds the lease.
    Leased,
    /// The content is built.
    Built,
    /// Its validators passed.
    Validated,
    /// The content is in the remote.
    Pushed,
}

/// The status of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NodeStatus {
    /// A step that it follows is not done.
    Waiting,
    /// It can be started.
    Ready,
    /// It failed and is tried again, or another cascade has it, until then.
    Delayed {
        /// When it can be started.
        until: Timestamp,
    },
    /// A worker has it.
    Running {
        /// How far it has come.
        stage: Stage,
        /// The token of its lease.
        token: u64,
        /// Who.
        owner: String,
    },
    /// Released.
    Released {
        /// The release.
        version: Version,
    },
    /// Right as it was.
    Unchanged {
        /// Why.
        why: Unchanged,
        /// The release that stays.
        version: Version,
    },
    /// It keeps its release.
    Held {
        /// Why.
        hold: Hold,
    },
    /// A person counts it as done.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A person has to build it.
    Manual,
    /// Others have to build it.
    Outside,
    /// It failed and is not tried again.
    Failed {
        /// How.
        failure: Failure,
    },
    /// A step that it follows, directly or not, failed or waits for a person.
    Blocked {
        /// The step.
        by: NodeId,
        /// Whether that step failed; else it waits for a person.
        failed: bool,
    },
    /// The cascade was cancelled before it was done.
    Cancelled,
    /// Another cascade does it.
    Superseded {
        /// The other.
        by: CascadeId,
    },
}

impl NodeStatus {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Delayed { .. } => "delayed",
            Self::Running { .. } => "running",
            Self::Released { .. } => "released",
            Self::Unchanged { .. } => "unchanged",
            Self::Held { .. } => "held",
            Self::Skipped { .. } => "skipped",
            Self::Manual => "manual",
            Self::Outside => "outside",
            Self::Failed { .. } => "failed",
            Self::Blocked { .. } => "blocked",
            Self::Cancelled => "cancelled",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// What the journal says last of a node.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Open,
    Running {
        stage: Stage,
        owner: String,
        until: Timestamp,
    },
    Released(Version),
    Unchanged(Unchanged, Version),
    Held(Hold),
    Skipped(String),
    Failed(Failure),
    Superseded(CascadeId),
}

impl Mark {
    /// Whether steps that follow may start.
    fn is_good(&self) -> bool {
        matches!(
            self,
            Self::Released(_) | Self::Unchanged(..) | Self::Held(_) | Self::Skipped(_) | Self::Superseded(_)
        )
    }
}

#[derive(Clone, Debug)]
pub(crate) struct NodeRun {
    pub(crate) mark: Mark,
    token: u64,
    /// Steps it follows that are not done.
    open_parents: usize,
    /// The failed or manual step that it follows.
    blocked_by: Option<usize>,
    delayed_until: Option<Timestamp>,
    key: Option<NodeKey>,
    /// Failures with that key, and of the environment in a row.
    failures: (u32, u32),
    /// Whether a person wants it tried whatever failed before.
    insisted: bool,
    /// The checks whose findings the last build repaired.
    repaired: Vec<String>,
}

/// Nodes that need the same of everything that is limited, the best first.
pub(crate) type ReadyQueue = BTreeSet<(Reverse<u64>, usize)>;

/// Where a cascade stands.
#[derive(Clone, Debug)]
pub struct RunState {
    pub(crate) plan: Arc<Plan>,
    index: BTreeMap<NodeId, usize>,
    children: Vec<Vec<usize>>,
    pub(crate) nodes: Vec<NodeRun>,
    pub(crate) queue_of: Vec<usize>,
    pub(crate) ready: Vec<ReadyQueue>,
    pub(crate) delayed: BTreeSet<(Timestamp, usize)>,
    pub(crate) running: BTreeSet<usize>,
    pub(crate) paused: Option<String>,
    pub(crate) cancelled: Option<String>,
    pub(crate) confirmed: bool,
    batches: Vec<StartedBatch>,
    canary: BTreeSet<usize>,
    /// Members of the first wave that are not done well.
    pub(crate) canary_open: BTreeSet<usize>,
}

impl RunState {
    /// The state before the first step.
    pub fn new(plan: Arc<Plan>) -> Self {
        let count = plan.nodes.len();
        let mut children = vec![Vec::new(); count];
        let mut queues = BTreeMap::new();
        let mut queue_of = Vec::with_capacity(count);
        for (at, planned) in plan.nodes.iter().enumerate() {
            for parent in &planned.follows {
                children[*parent].push(at);
            }
            let next = queues.len();
            let limited = (&planned.dirty.node.repo, &planned.dirty.resources);
            queue_of.push(*queues.entry(limited).or_insert(next));
        }
        let ready = vec![ReadyQueue::new(); queues.len()];
        let nodes = plan.nodes.iter().map(|planned| NodeRun {
            mark: Mark::Open,
            token: 0,
            open_parents: planned.follows.len(),
            blocked_by: None,
            delayed_until: None,
            key: None,
            failures: (0, 0),
            insisted: false,
            repaired: Vec::new(),
        });
        let canary: BTreeSet<usize> = plan.canary.iter().copied().collect();
        let mut state = Self {
            index: plan
                .nodes
                .iter()
                .enumerate()
                .map(|(at, node)| (node.dirty.node.clone(), at))
                .collect(),
            nodes: nodes.collect(),
            children,
            queue_of,
            ready,
            delayed: BTreeSet::new(),
            running: BTreeSet::new(),
            paused: None,
            cancelled: None,
            confirmed: false,
            batches: Vec::new(),
            canary_open: canary.clone(),
            canary,
            plan,
        };
        state.block_again();
        state
    }

    /// The state that the entries of a journal lead to. An error if they do not begin with the plan of one cascade.
    pub fn from_entries(entries: &[Entry]) -> Result<Self> {
        let plan = entries.iter().find_map(|entry| match &entry.event {
            JournalEvent::Planned { plan, .. } => Some(plan.as_ref().clone()),
            _ => None,
        });
        let mut state = Self::new(Arc::new(plan.ok_or(Error::NoPlan)?));
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
    /// Why it is paused, if it is.
    pub fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }
    /// Why it was cancelled, if it was.
    pub fn cancelled(&self) -> Option<&str> {
        self.cancelled.as_deref()
    }
    /// The attempts that were started in processes of their own, oldest first.
    pub fn batches(&self) -> &[StartedBatch] {
        &self.batches
    }
    /// The index of a node in the plan.
    pub fn find(&self, node: &NodeId) -> Option<usize> {
        self.index.get(node).copied()
    }
    /// Failures of a node with its last key, those of the environment in a row, and whether a person insists on a try.
    pub fn attempts(&self, at: usize) -> (Option<NodeKey>, u32, u32, bool) {
        let node = &self.nodes[at];
        (node.key, node.failures.0, node.failures.1, node.insisted)
    }
    /// Whether the journal says last that a node is released, and as which version.
    pub fn released(&self, at: usize) -> Option<&Version> {
        match &self.nodes[at].mark {
            Mark::Released(version) => Some(version),
            _ => None,
        }
    }

    /// The status of a node, by its index in the plan.
    pub fn status(&self, at: usize) -> NodeStatus {
        let node = &self.nodes[at];
        match &node.mark {
            Mark::Released(version) => NodeStatus::Released {
                version: version.clone(),
            },
            Mark::Unchanged(why, version) => NodeStatus::Unchanged {
                why: *why,
                version: version.clone(),
            },
            Mark::Held(hold) => NodeStatus::Held { hold: hold.clone() },
            Mark::Skipped(reason) => NodeStatus::Skipped {
                reason: reason.clone(),
            },
            Mark::Failed(failure) => NodeStatus::Failed {
                failure: failure.clone(),
            },
            Mark::Superseded(by) => NodeStatus::Superseded { by: by.clone() },
            Mark::Running { stage, owner, .. } => NodeStatus::Running {
                stage: *stage,
                token: node.token,
                owner: owner.clone(),
            },
            Mark::Open if self.cancelled.is_some() => NodeStatus::Cancelled,
            Mark::Open => self.open_status(at),
        }
    }

    fn open_status(&self, at: usize) -> NodeStatus {
        let node = &self.nodes[at];
        match (node.blocked_by, &self.plan.nodes[at].dirty.decision) {
            (Some(by), _) => NodeStatus::Blocked {
                by: self.plan.nodes[by].dirty.node.clone(),
                failed: matches!(self.nodes[by].mark, Mark::Failed(_)),
            },
            // A manual step waits for its parents: only then is it known whether it is needed.
            (None, _) if node.open_parents > 0 => NodeStatus::Waiting,
            (None, Decision::Manual) => NodeStatus::Manual,
            (None, Decision::Outside) => NodeStatus::Outside,
            (None, _) => match node.delayed_until {
                Some(until) => NodeStatus::Delayed { until },
                None => NodeStatus::Ready,
            },
        }
    }

    /// Fold one more entry in. An error if it is of another cascade.
    pub fn apply(&mut self, entry: &Entry) -> Result<()> {
        match &entry.event {
            JournalEvent::Planned { format, .. } if *format > JOURNAL_FORMAT => {
                return Err(Error::UnknownFormat {
                    found: *format,
                    known: JOURNAL_FORMAT,
                });
            }
            JournalEvent::Planned { plan, .. } if plan.id != self.plan.id => {
                return Err(Error::OtherJournal {
                    found: plan.id.to_string(),
                    expected: self.plan.id.to_string(),
                });
            }
            JournalEvent::Planned { .. } => {}
            JournalEvent::Confirmed => self.confirmed = true,
            JournalEvent::Paused { reason } => self.paused = Some(reason.clone()),
            JournalEvent::Resumed => self.paused = None,
            JournalEvent::Cancelled { reason } => self.cancelled = Some(reason.clone()),
            JournalEvent::Submitting { batch } => self.batches.push(StartedBatch {
                batch: batch.clone(),
                at: entry.at,
                job: None,
            }),
            JournalEvent::Submitted { batch, job } => {
                let known = self.batches.iter_mut().find(|known| known.batch.id == *batch);
                if let Some(known) = known {
                    known.job = Some(job.clone());
                }
            }
            JournalEvent::Node { node, token, what } => {
                let at = self.find(node).ok_or_else(|| Error::UnknownNode {
                    cascade: self.plan.id.to_string(),
                    node: node.to_string(),
                })?;
                let highest = self.nodes[at].token;
                if token.is_none_or(|token| token >= highest) {
                    self.nodes[at].token = token.unwrap_or(highest);
                    self.apply_to_node(at, &entry.by, what);
                }
            }
        }
        Ok(())
    }

    fn apply_to_node(&mut self, at: usize, by: &str, what: &NodeEvent) {
        let mark = match what {
            NodeEvent::Leased { until } => Mark::Running {
                stage: Stage::Leased,
                owner: by.to_owned(),
                until: *until,
            },
            NodeEvent::Built { key, repaired, .. } => {
                self.set_key(at, *key);
                self.nodes[at].repaired.clone_from(repaired);
                self.at_stage(at, by, Stage::Built)
            }
            NodeEvent::Validated => self.at_stage(at, by, Stage::Validated),
            NodeEvent::Pushed => self.at_stage(at, by, Stage::Pushed),
            NodeEvent::Released { version } => Mark::Released(version.clone()),
            NodeEvent::Unchanged { why, version } => Mark::Unchanged(*why, version.clone()),
            NodeEvent::Held { hold } => Mark::Held(hold.clone()),
            NodeEvent::Skipped { reason } => Mark::Skipped(reason.clone()),
            NodeEvent::Superseded { by } if matches!(self.nodes[at].mark, Mark::Open | Mark::Failed(_)) => {
                Mark::Superseded(by.clone())
            }
            NodeEvent::Superseded { .. } => return,
            NodeEvent::Failed {
                failure,
                key,
                retry_at,
            } => {
                if let Some(key) = key {
                    self.set_key(at, *key);
                }
                let node = &mut self.nodes[at];
                if failure.kind.counts() {
                    node.failures = (node.failures.0 + 1, 0);
                } else {
                    node.failures.1 += 1;
                }
                node.insisted = false;
                match retry_at {
                    Some(until) => {
                        self.set(at, Mark::Open);
                        self.delay(at, *until);
                        return;
                    }
                    None => Mark::Failed(failure.clone()),
                }
            }
            NodeEvent::Stopped { .. } | NodeEvent::Missing => Mark::Open,
            NodeEvent::Retried => {
                let node = &mut self.nodes[at];
                if matches!(node.mark, Mark::Running { .. } | Mark::Released(_)) {
                    return;
                }
                (node.failures, node.insisted) = ((0, 0), true);
                Mark::Open
            }
        };
        self.set(at, mark);
    }

    fn set_key(&mut self, at: usize, key: NodeKey) {
        let node = &mut self.nodes[at];
        if node.key != Some(key) {
            (node.key, node.failures) = (Some(key), (0, 0));
        }
    }

    fn at_stage(&self, at: usize, by: &str, stage: Stage) -> Mark {
        let until = match &self.nodes[at].mark {
            Mark::Running { until, .. } => *until,
            _ => Timestamp(0),
        };
        Mark::Running {
            stage,
            owner: by.to_owned(),
            until,
        }
    }

    /// Do not start a node before a time: another cascade has its lease. Not in the journal, as it is no news.
    pub fn delay(&mut self, at: usize, until: Timestamp) {
        self.unqueue(at);
        self.nodes[at].delayed_until = Some(until);
        self.queue(at);
    }

    /// When the lease of a running node ends, as far as is known here.
    pub fn lease_end(&self, at: usize) -> Option<Timestamp> {
        match &self.nodes[at].mark {
            Mark::Running { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The checks whose findings the last build of a node repaired.
    pub(crate) fn repaired(&self, at: usize) -> &[String] {
        &self.nodes[at].repaired
    }

    /// The number of the last lease of a node, 0 if it had none.
    pub(crate) fn last_lease(&self, at: usize) -> u64 {
        self.nodes[at].token
    }

    /// The lease of a running node was renewed. Not in the journal, as it is no news.
    pub fn renewed(&mut self, at: usize, to: Timestamp) {
        if let Mark::Running { until, .. } = &mut self.nodes[at].mark {
            *until = to;
        }
    }

    fn set(&mut self, at: usize, mark: Mark) {
        let was_good = self.nodes[at].mark.is_good();
        let was_blocking = self.is_blocking(at);
        self.unqueue(at);
        self.nodes[at].delayed_until = None;
        self.nodes[at].mark = mark;
        let is_good = self.nodes[at].mark.is_good();
        if is_good != was_good {
            for child in self.children[at].clone() {
                self.unqueue(child);
                let open = &mut self.nodes[child].open_parents;
                *open = if is_good { *open - 1 } else { *open + 1 };
                self.queue(child);
            }
            if self.canary.contains(&at) {
                if is_good {
                    self.canary_open.remove(&at);
                } else {
                    self.canary_open.insert(at);
                }
            }
        }
        match (was_blocking, self.is_blocking(at)) {
            (false, true) => self.block_after(at),
            (true, false) => self.block_again(),
            _ => {}
        }
        self.queue(at);
    }

    /// Whether what follows a node cannot go on until a person does something.
    fn is_blocking(&self, at: usize) -> bool {
        match self.nodes[at].mark {
            Mark::Failed(_) => true,
            Mark::Open => {
                matches!(
                    self.plan.nodes[at].dirty.decision,
                    Decision::Manual | Decision::Outside
                )
            }
            _ => false,
        }
    }

    /// Block what follows a node. What is blocked already is not visited again, so all failures together cost the graph once.
    fn block_after(&mut self, by: usize) {
        let mut stack = self.children[by].clone();
        while let Some(at) = stack.pop() {
            if self.nodes[at].blocked_by.is_none() {
                self.unqueue(at);
                self.nodes[at].blocked_by = Some(by);
                stack.extend(&self.children[at]);
            }
        }
    }

    fn block_again(&mut self) {
        for at in 0..self.nodes.len() {
            self.unqueue(at);
            self.nodes[at].blocked_by = None;
        }
        for at in 0..self.nodes.len() {
            if self.is_blocking(at) {
                self.block_after(at);
            }
        }
        for at in 0..self.nodes.len() {
            self.queue(at);
        }
    }

    fn unqueue(&mut self, at: usize) {
        let entry = (Reverse(self.plan.nodes[at].priority_ms), at);
        self.ready[self.queue_of[at]].remove(&entry);
        if let Some(until) = self.nodes[at].delayed_until {
            self.delayed.remove(&(until, at));
        }
        self.running.remove(&at);
    }

    /// Put a node where the scheduler looks for it, if it can be started or runs.
    fn queue(&mut self, at: usize) {
        let node = &self.nodes[at];
        if matches!(node.mark, Mark::Running { .. }) {
            self.running.insert(at);
            return;
        }
        let by_worker = matches!(
            self.plan.nodes[at].dirty.decision,
            Decision::Build | Decision::UpToDate
        );
        let can_start =
            matches!(node.mark, Mark::Open) && node.open_parents == 0 && node.blocked_by.is_none();
        if !can_start || !by_worker {
            return;
        }
        match node.delayed_until {
            Some(until) => {
                self.delayed.insert((until, at));
            }
            None => {
                let entry = (Reverse(self.plan.nodes[at].priority_ms), at);
                self.ready[self.queue_of[at]].insert(entry);
            }
        }
    }
}
