//! What to start next: a pure function of the state, the time and what is starting already (rules R6, R10).
//!
//! Invariant: limits hold, a node is started only after all steps that it follows, and of what can be started the longest
//! chain goes first. A lease that ran out makes its node startable. Deliberately absent: starting, and any clock.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use backlot_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::node::RepoName;
use crate::state::{Mark, NodeStatus, RunState};

/// How a cascade stands when nothing of it runs and nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every step is done.
    Done,
    /// A step failed; all that does not follow it is done.
    Failed,
    /// A step is for a person or for others; all that does not follow it is done.
    Waiting,
    /// Somebody paused it.
    Paused,
    /// Somebody cancelled it.
    Cancelled,
    /// It has more nodes than may be built without a confirmation.
    NeedsConfirmation,
}

impl Ending {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::NeedsConfirmation => "needs-confirmation",
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Indices of the nodes to start, the most urgent first.
    pub start: Vec<usize>,
    /// When to ask again at the latest, if nothing happens before.
    pub wake: Option<Timestamp>,
    /// Set if there is nothing to start and nothing to wait for.
    pub ending: Option<Ending>,
}

/// What is in use of what is limited.
#[derive(Default)]
struct Usage<'a> {
    jobs: usize,
    repos: BTreeMap<&'a RepoName, usize>,
    resources: BTreeMap<&'a str, u32>,
}

impl<'a> Usage<'a> {
    fn fits(&self, state: &'a RunState, at: usize) -> bool {
        let (limits, dirty) = (&state.plan.limits, &state.plan.nodes[at].dirty);
        let repo = limits.repos.get(&dirty.node.repo);
        let in_repo = self.repos.get(&dirty.node.repo).copied().unwrap_or(0);
        self.jobs < limits.jobs
            && repo.is_none_or(|most| in_repo < *most)
            && dirty.resources.iter().all(|(class, units)| {
                let used = self.resources.get(class.as_str()).copied().unwrap_or(0);
                let most = limits.resources.get(class);
                most.is_none_or(|most| used.saturating_add(*units) <= *most)
            })
    }

    fn take(&mut self, state: &'a RunState, at: usize) {
        let dirty = &state.plan.nodes[at].dirty;
        self.jobs += 1;
        *self.repos.entry(&dirty.node.repo).or_default() += 1;
        for (class, units) in &dirty.resources {
            let used = self.resources.entry(class).or_default();
            *used = used.saturating_add(*units);
        }
    }
}

/// Decide what to start. `in_flight` are nodes that the caller has started and not heard of since.
pub fn schedule(state: &RunState, now: Timestamp, in_flight: &BTreeSet<usize>) -> Schedule {
    let mut usage = Usage::default();
    let (mut lapsed, mut wake) = (Vec::new(), None::<Timestamp>);
    let mut earlier = |time: Timestamp| wake = Some(wake.map_or(time, |wake| wake.min(time)));
    for at in &state.running {
        match &state.nodes[*at].mark {
            Mark::Running { until, .. } if *until <= now && !in_flight.contains(at) => lapsed.push(*at),
            Mark::Running { until, .. } => {
                usage.take(state, *at);
                if !in_flight.contains(at) {
                    earlier(*until);
                }
            }
            _ => {}
        }
    }
    for at in in_flight.difference(&state.running) {
        usage.take(state, *at);
    }
    let busy = usage.jobs > 0;
    if let Some(ending) = stopped(state) {
        return Schedule {
            ending: (!busy).then_some(ending),
            wake,
            start: Vec::new(),
        };
    }
    let due = state.delayed.range(..=(now, usize::MAX)).map(|(_, at)| *at);
    let candidates: Vec<usize> = lapsed.into_iter().chain(due).collect();
    if let Some((until, _)) = state
        .delayed
        .range((now, usize::MAX)..)
        .find(|(until, _)| *until > now)
    {
        earlier(*until);
    }
    let start = choose(state, &mut usage, candidates, in_flight);
    let ending = (start.is_empty() && !busy && wake.is_none()).then(|| ending(state));
    Schedule { start, wake, ending }
}

/// Why nothing may be started, if nothing may.
fn stopped(state: &RunState) -> Option<Ending> {
    if state.cancelled.is_some() {
        Some(Ending::Cancelled)
    } else if state.paused.is_some() {
        Some(Ending::Paused)
    } else if !state.confirmed && state.plan.check_cap().is_err() {
        Some(Ending::NeedsConfirmation)
    } else {
        None
    }
}

/// The best of all queues, one after the other, as far as the limits go. Where the first of a queue does not fit, none of it
/// does, as its members need the same.
fn choose<'a>(
    state: &'a RunState,
    usage: &mut Usage<'a>,
    candidates: Vec<usize>,
    in_flight: &BTreeSet<usize>,
) -> Vec<usize> {
    let mut queues: Vec<Box<dyn Iterator<Item = usize> + 'a>> = Vec::new();
    for at in candidates {
        queues.push(Box::new(std::iter::once(at)));
    }
    for queue in &state.ready {
        queues.push(Box::new(queue.iter().map(|(_, at)| *at)));
    }
    let may_start = |at: &usize| {
        !in_flight.contains(at) && (state.canary_open.is_empty() || state.canary_open.contains(at))
    };
    let priority = |at: usize| (state.plan.nodes[at].priority_ms, std::cmp::Reverse(at));
    let mut heads = BinaryHeap::new();
    for (number, queue) in queues.iter_mut().enumerate() {
        heads.extend(queue.find(may_start).map(|at| (priority(at), at, number)));
    }
    let mut start = Vec::new();
    while let Some((_, at, number)) = heads.pop() {
        if usage.jobs >= state.plan.limits.jobs {
            break;
        }
        if usage.fits(state, at) {
            usage.take(state, at);
            start.push(at);
            let next = queues[number].find(may_start);
            heads.extend(next.map(|at| (priority(at), at, number)));
        }
    }
    start
}

fn ending(state: &RunState) -> Ending {
    let mut ending = Ending::Done;
    for at in 0..state.nodes.len() {
        match state.status(at) {
            NodeStatus::Failed { .. } => return Ending::Failed,
            NodeStatus::Manual | NodeStatus::Outside => ending = Ending::Waiting,
            _ => {}
        }
    }
    ending
}
