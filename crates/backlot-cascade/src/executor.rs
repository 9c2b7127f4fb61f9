//! Where attempts at nodes are made: in threads of this process, or in processes of their own, here or on a farm.
//!
//! Invariant: an executor decides nothing about nodes. It starts what it is given and tells when that ended; what came of it is in the journal, by the
//! lease of the attempt, whichever executor made it. Deliberately absent: processes and schedulers, which the facade has.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;
use std::time::Duration;

use backlot_core::{Cancel, Context};

use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::journal::Entry;
use crate::lease::Lease;
use crate::state::RunState;
use crate::task::{NodeTask, Services, Step};

/// Makes attempts.
pub trait Executor: fmt::Debug {
    /// Start an attempt at each of some nodes, by their indices in the plan; all of them can be built now.
    fn start(&mut self, state: &RunState, nodes: &[usize]) -> Result<()>;
    /// The nodes of attempts that were started, here or by a run of before, and have not ended.
    fn under_way(&self) -> BTreeSet<usize>;
    /// Wait until an attempt ends, no longer than a pause, and tell which ended.
    fn wait(&mut self, pause: Duration) -> Result<Vec<Ended>>;
    /// Stop, as far as that is the executor's to do. What goes on all the same is under way still.
    fn stop(&mut self, why: Stop) -> Result<()>;
    /// The run ends with an error once nothing is under way: what goes on without this process counts no more.
    fn leave(&mut self) {}
    /// Take note of an entry of the journal. Each is told once, in order, those of before this run first.
    fn heard(&mut self, _state: &RunState, _entry: &Entry) {}
}

/// Why a run stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The cascade was cancelled: attempts end before they release.
    Cascade,
    /// This run ends, and another one may continue: attempts that need it end, others go on.
    Run,
}

/// An attempt that ended.
#[derive(Debug)]
pub struct Ended {
    /// The index of its node in the plan.
    pub at: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The journal says it.
    Told,
    /// Somebody else has the node.
    Busy(backlot_core::Timestamp),
    /// The journal could not be written, or the thread panicked (`None`).
    Fault(Option<Error>),
    /// Its process is gone, and the journal does not say how it ended.
    Lost {
        /// The name of the attempt.
        attempt: String,
        /// The lease that it held, if it got so far.
        lease: Option<Lease>,
        /// What is known of its end.
        failure: Failure,
    },
}

/// The threads of this process.
#[derive(Debug)]
pub(crate) struct Pool<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    services: Services<'env>,
    owner: String,
    context: Context,
    stop: Cancel,
    sender: Sender<Ended>,
    receiver: Receiver<Ended>,
    under_way: BTreeSet<usize>,
}

impl<'scope, 'env> Pool<'scope, 'env> {
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        services: Services<'env>,
        owner: &str,
        context: &Context,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let stop = Cancel::default();
        Self {
            scope,
            services,
            owner: owner.to_owned(),
            context: context.clone().with_cancel(stop.clone()),
            stop,
            sender,
            receiver,
            under_way: BTreeSet::new(),
        }
    }
}

impl Executor for Pool<'_, '_> {
    fn start(&mut self, state: &RunState, nodes: &[usize]) -> Result<()> {
        for at in nodes.iter().copied() {
            self.under_way.insert(at);
            let mut task = NodeTask::new(state, at, &self.owner);
            let (services, context) = (self.services, self.context.clone());
            let word = LastWord {
                at,
                sender: self.sender.clone(),
                outcome: Outcome::Fault(None),
            };
            self.scope.spawn(move || word.say(task.run(&services, &context)));
        }
        Ok(())
    }

    fn under_way(&self) -> BTreeSet<usize> {
        self.under_way.clone()
    }

    fn wait(&mut self, pause: Duration) -> Result<Vec<Ended>> {
        let ended: Vec<Ended> = self.receiver.recv_timeout(pause).into_iter().collect();
        for ended in &ended {
            self.under_way.remove(&ended.at);
        }
        Ok(ended)
    }

    fn stop(&mut self, _why: Stop) -> Result<()> {
        self.stop.cancel();
        Ok(())
    }
}

/// Says that a thread died, if nothing else was said.
struct LastWord {
    at: usize,
    sender: Sender<Ended>,
    outcome: Outcome,
}

impl LastWord {
    fn say(mut self, result: Result<Step>) {
        self.outcome = match result {
            Ok(Step::Busy(until)) => Outcome::Busy(until),
            Ok(_) => Outcome::Told,
            Err(error) => Outcome::Fault(Some(error)),
        };
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Told);
        let at = self.at;
        // Nobody listens only if the run has ended.
        self.sender.send(Ended { at, outcome }).ok();
    }
}
