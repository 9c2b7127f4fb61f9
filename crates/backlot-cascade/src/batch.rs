//! Attempts that are started together in processes of their own, and what they are called.
//!
//! Invariants: a batch has an id that no other has, and each of its attempts a name that no other attempt has; the name is in what the attempt writes
//! into the journal, so that the journal tells how each one ended. Deliberately absent: how a process is started ([`crate::Executor`]).

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::executor::{Ended, Outcome};
use crate::failure::{Failure, FailureKind};
use crate::journal::{Entry, JournalEvent, NodeEvent};
use crate::lease::Lease;
use crate::node::NodeId;

/// Attempts that are started together, one a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptBatch {
    /// Its id: letters and digits.
    pub id: String,
    /// The executor that starts it: `process`, `slurm`.
    pub executor: String,
    /// The nodes.
    pub nodes: Vec<NodeId>,
    /// The folder of the logs of its attempts.
    pub logs: String,
}

impl AttemptBatch {
    /// The name of the attempt at the node of an index, which counts from 0; names count from 1, as the tasks of job arrays.
    pub fn attempt(&self, index: usize) -> String {
        format!("{}.{}", self.id, index + 1)
    }

    /// The log of that attempt.
    pub fn log(&self, index: usize) -> String {
        format!("{}/{}.log", self.logs, self.attempt(index))
    }

    /// Each attempt with its node.
    pub fn attempts(&self) -> impl Iterator<Item = (String, &NodeId)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (self.attempt(index), node))
    }
}

/// A batch as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedBatch {
    /// The batch.
    pub batch: AttemptBatch,
    /// When it was to be started.
    pub at: Timestamp,
    /// What the scheduler calls it, once it has it.
    pub job: Option<String>,
}

/// The name of a runner, or of an attempt that a process makes alone: machine, process and its start, which no other process has.
pub fn runner_name(machine: &str, process: u32, attempt: Option<&str>, since: Timestamp) -> String {
    let attempt = attempt
        .map(|attempt| format!(" attempt {attempt}"))
        .unwrap_or_default();
    // The time tells it from a process of before with the same number.
    format!("{machine} {process}{attempt} since {}", since.0)
}

/// The name of the attempt in the name of who wrote an entry.
pub fn attempt_in(by: &str) -> Option<&str> {
    let (_, rest) = by.split_once(" attempt ")?;
    rest.rsplit_once(" since ").map(|(attempt, _)| attempt)
}

/// The name of a runner that writes how an attempt ended which did not say so itself.
pub(crate) fn on_behalf(owner: &str, attempt: &str) -> String {
    match owner.rsplit_once(" since ") {
        Some((runner, since)) => format!("{runner} attempt {attempt} since {since}"),
        None => format!("{owner} attempt {attempt} since 0"),
    }
}

/// Attempts in processes of their own that have not ended, as far as is known; for executors to keep.
#[derive(Debug, Default)]
pub struct UnderWay(BTreeMap<String, Attempt>);

#[derive(Debug)]
struct Attempt {
    at: usize,
    lease: Option<Lease>,
    /// The journal says how it ended.
    is_over: bool,
    /// Its process is gone, as far as that is known.
    gone: Option<Failure>,
}

impl UnderWay {
    /// An attempt at the node of an index of the plan begins.
    pub fn add(&mut self, attempt: String, at: usize) {
        let new = Attempt {
            at,
            lease: None,
            is_over: false,
            gone: None,
        };
        self.0.entry(attempt).or_insert(new);
    }

    /// An attempt never began.
    pub fn forget(&mut self, attempt: &str) {
        self.0.remove(attempt);
    }

    /// Note what an entry of the journal says of an attempt.
    pub fn heard(&mut self, entry: &Entry) {
        let JournalEvent::Node { token, what, .. } = &entry.event else {
            return;
        };
        let attempt = attempt_in(&entry.by).and_then(|name| self.0.get_mut(name));
        let (Some(attempt), Some(token)) = (attempt, *token) else {
            return;
        };
        match what {
            NodeEvent::Leased { until } => {
                let (owner, until) = (entry.by.clone(), *until);
                attempt.lease = Some(Lease { token, owner, until });
            }
            NodeEvent::Built { .. } | NodeEvent::Validated | NodeEvent::Pushed => {}
            _ => attempt.is_over = true,
        }
    }

    /// Those that have not ended, by name.
    pub fn names(&self) -> Vec<String> {
        let open = self.0.iter().filter(|(_, attempt)| attempt.is_open());
        open.map(|(name, _)| name.clone()).collect()
    }

    /// Whether an attempt has not ended.
    pub fn has(&self, attempt: &str) -> bool {
        self.0.get(attempt).is_some_and(Attempt::is_open)
    }

    /// The nodes of those that have not ended, and of those of which it is not known how.
    pub fn nodes(&self) -> BTreeSet<usize> {
        let open = self.0.values().filter(|attempt| !attempt.is_over);
        open.map(|attempt| attempt.at).collect()
    }

    /// The process of an attempt is gone. What it wrote last may not be heard yet.
    pub fn gone(&mut self, name: &str, kind: FailureKind, message: impl Into<String>) {
        if let Some(attempt) = self.0.get_mut(name) {
            attempt.gone.get_or_insert_with(|| Failure::new(kind, message));
        }
    }

    /// Drop those of which the journal says how they ended, though their processes may be there still.
    pub fn take_over(&mut self) -> Vec<Ended> {
        self.take(|attempt| attempt.is_over)
    }

    /// Drop those whose processes are gone. To be called when the journal was heard since: an attempt that did not say how it ended failed by that.
    pub fn take_gone(&mut self) -> Vec<Ended> {
        self.take(|attempt| attempt.gone.is_some())
    }

    fn take(&mut self, is_meant: impl Fn(&Attempt) -> bool) -> Vec<Ended> {
        let (mut ended, attempts) = (Vec::new(), std::mem::take(&mut self.0));
        for (name, attempt) in attempts {
            if !is_meant(&attempt) {
                self.0.insert(name, attempt);
                continue;
            }
            let at = attempt.at;
            let outcome = match attempt.gone {
                Some(failure) if !attempt.is_over => Outcome::Lost {
                    attempt: name,
                    lease: attempt.lease,
                    failure,
                },
                _ => Outcome::Told,
            };
            ended.push(Ended { at, outcome });
        }
        ended
    }
}

impl Attempt {
    fn is_open(&self) -> bool {
        !self.is_over && self.gone.is_none()
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::Timestamp;

    use super::{UnderWay, attempt_in, on_behalf, runner_name};
    use crate::executor::Outcome;
    use crate::failure::FailureKind;
    use crate::journal::{Entry, JournalEvent, NodeEvent};

    #[test]
    fn the_name_of_an_attempt_is_found_in_who_wrote() {
        let runner = runner_name("host", 7, None, Timestamp(9));
        assert_eq!((runner.as_str(), attempt_in(&runner)), ("host 7 since 9", None));
        let attempt = runner_name("host", 7, Some("ab.3"), Timestamp(9));
        assert_eq!(attempt_in(&attempt), Some("ab.3"));
        assert_eq!(attempt_in(&on_behalf(&runner, "ab.3")), Some("ab.3"));
        assert_eq!(attempt_in(&on_behalf("one", "ab.3")), Some("ab.3"));
    }

    #[test]
    fn what_the_journal_says_goes_before_what_became_of_the_process() {
        let entry = |attempt: &str, what| Entry {
            at: Timestamp(1),
            by: runner_name("host", 1, Some(attempt), Timestamp(1)),
            event: JournalEvent::Node {
                node: "r/a".parse().expect("valid"),
                token: Some(4),
                what,
            },
        };
        let mut under_way = UnderWay::default();
        for (at, name) in ["x.1", "x.2", "x.3"].into_iter().enumerate() {
            under_way.add(name.to_owned(), at);
            under_way.heard(&entry(name, NodeEvent::Leased { until: Timestamp(5) }));
        }
        for name in ["x.1", "x.2"] {
            under_way.gone(name, FailureKind::Environment, "killed");
        }
        // It was on its way.
        let reason = "cancelled".to_owned();
        under_way.heard(&entry("x.1", NodeEvent::Stopped { reason }));
        assert_eq!(under_way.names(), ["x.3"]);
        let mut gone = under_way.take_gone().into_iter().map(|ended| ended.outcome);
        assert!(matches!(gone.next(), Some(Outcome::Told)));
        let lost = gone.next();
        assert!(
            matches!(&lost, Some(Outcome::Lost { lease: Some(lease), .. }) if lease.token == 4),
            "{lost:?}"
        );
        under_way.heard(&entry("x.3", NodeEvent::Missing));
        assert_eq!((under_way.nodes().len(), under_way.take_over().len()), (0, 1));
        assert!(under_way.take_gone().is_empty());
    }
}
