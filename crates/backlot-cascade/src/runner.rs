//! Runs a plan in this process: threads over [`NodeTask`], driven by [`schedule`].
//!
//! Invariant: the state is the journal's at every decision, so requests of other processes are seen, and two runners of one
//! cascade share its nodes by their leases. Stopping or dying at any point leaves what the next run continues from.
//! Deliberately absent: farms; they start one process a node over the same steps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use backlot_core::{Cancel, Context, Timestamp};

use crate::error::{Error, Result};
use crate::journal::{Entry, JournalEvent, NodeEvent};
use crate::lease::Lease;
use crate::node::NodeId;
use crate::plan::Plan;
use crate::schedule::{Ending, schedule};
use crate::state::{NodeStatus, RunState};
use crate::summary::Summary;
use crate::task::{NodeTask, Services, Step, look_at_manual};

/// Runs cascades.
#[derive(Clone, Debug)]
pub struct Runner<'a> {
    services: Services<'a>,
    owner: String,
    poll: Duration,
}

/// A thread's last word.
struct Message {
    at: usize,
    /// `None` if it died.
    result: Option<Result<Step>>,
}

/// Says that a thread died, if nothing else was said.
struct LastWord {
    at: usize,
    sender: Sender<Message>,
    result: Option<Result<Step>>,
}

impl LastWord {
    fn say(mut self, result: Result<Step>) {
        self.result = Some(result);
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        let message = Message {
            at: self.at,
            result: self.result.take(),
        };
        // Nobody listens only if the run has ended.
        self.sender.send(message).ok();
    }
}

impl<'a> Runner<'a> {
    /// A runner with a name of its own: host and process, for example.
    pub fn new(services: Services<'a>, owner: &str) -> Self {
        Self {
            services,
            owner: owner.to_owned(),
            poll: Duration::from_millis(500),
        }
    }

    /// The same, looking for requests of others so often.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Run a plan until nothing more can be started; continues if the journal has a part of it.
    pub fn run(&self, plan: &Plan, context: &Context) -> Result<Summary> {
        let entries = self.services.journal.load(0)?.entries;
        let begun = entries
            .iter()
            .any(|entry| matches!(entry.event, JournalEvent::Planned { .. }));
        if !begun {
            self.write(JournalEvent::planned(plan), context)?;
        }
        let mut following = Following::open(self, Some(plan))?;
        self.drive(&mut following, context)
    }

    /// Continue the cascade of the journal: what is done is kept, and a manual step counts as done once its release is there.
    pub fn resume(&self, context: &Context) -> Result<Summary> {
        let mut following = Following::open(self, None)?;
        self.drive(&mut following, context)
    }

    fn drive(&self, following: &mut Following<'_, 'a>, context: &Context) -> Result<Summary> {
        self.look_again(following, context)?;
        let stop = Cancel::default();
        let ending = std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let mut in_flight = BTreeSet::new();
            let mut fault = None;
            loop {
                if context.cancel().is_cancelled() || following.state.cancelled().is_some() {
                    stop.cancel();
                }
                let now = context.now();
                let next = schedule(&following.state, now, &in_flight);
                let may_start = !stop.is_cancelled() && fault.is_none();
                for at in next.start.iter().copied().filter(|_| may_start) {
                    in_flight.insert(at);
                    let mut task = NodeTask::new(&following.state, at, &self.owner);
                    let (services, context) = (self.services, context.clone().with_cancel(stop.clone()));
                    let word = LastWord {
                        at,
                        sender: sender.clone(),
                        result: None,
                    };
                    scope.spawn(move || word.say(task.run(&services, &context)));
                }
                if in_flight.is_empty() {
                    if let Some(error) = fault {
                        return Err(error);
                    }
                    context.check()?;
                    match next.ending {
                        Some(Ending::Waiting) if self.look_again(following, context)? => continue,
                        Some(ending) => return Ok(ending),
                        None => {}
                    }
                }
                match receiver.recv_timeout(self.pause(next.wake, now)) {
                    Ok(message) => {
                        in_flight.remove(&message.at);
                        match message.result {
                            Some(Ok(Step::Busy(until))) => following.busy(message.at, until, context.now()),
                            Some(Ok(_)) => {}
                            Some(Err(error)) => fault = Some(error),
                            // The scope passes its panic on.
                            None => fault = Some(Error::Cancelled(context.cancel().reason())),
                        }
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
                following.refresh()?;
                self.keep_leases(&mut following.state, &in_flight, context.now());
            }
        })?;
        Ok(following.state.summary(Some(ending)))
    }

    /// Steps for a person may not be needed after all, now that what they follow is done. Whether one was not.
    fn look_again(&self, following: &mut Following<'_, 'a>, context: &Context) -> Result<bool> {
        let news = reconcile(&self.services, &following.state, &self.owner, context)?;
        following.refresh()?;
        Ok(news > 0)
    }

    fn pause(&self, wake: Option<Timestamp>, now: Timestamp) -> Duration {
        let until = wake.map(|wake| Duration::from_millis(wake.0.saturating_sub(now.0)));
        until
            .map_or(self.poll, |until| until.min(self.poll))
            .max(Duration::from_millis(1))
    }

    /// Prolong the leases of what this process runs, once half of their time is over.
    fn keep_leases(&self, state: &mut RunState, in_flight: &BTreeSet<usize>, now: Timestamp) {
        let lease_ms = state.plan().limits.lease_ms;
        for at in in_flight {
            let NodeStatus::Running { token, owner, .. } = state.status(*at) else {
                continue;
            };
            let ends_soon = state
                .lease_end(*at)
                .is_some_and(|until| until.0 < now.0.saturating_add(lease_ms / 2));
            if owner != self.owner || !ends_soon {
                continue;
            }
            let until = Timestamp(now.0.saturating_add(lease_ms));
            let node = state.plan().nodes[*at].dirty.node.clone();
            let lease = Lease { token, owner, until };
            // What cannot be renewed runs out; the attempt then finds itself overtaken.
            if self.services.leases.renew(&node, &lease).is_ok() {
                state.renewed(*at, until);
            }
        }
    }

    fn write(&self, event: JournalEvent, context: &Context) -> Result<()> {
        self.services.journal.append(&Entry {
            at: context.now(),
            by: self.owner.clone(),
            event,
        })
    }
}

/// The state, and how far the journal was read for it.
struct Following<'r, 'a> {
    runner: &'r Runner<'a>,
    state: RunState,
    next: u64,
}

impl<'r, 'a> Following<'r, 'a> {
    fn open(runner: &'r Runner<'a>, plan: Option<&Plan>) -> Result<Self> {
        let loaded = runner.services.journal.load(0)?;
        let state = match plan {
            Some(plan) => {
                let mut state = RunState::new(Arc::new(plan.clone()));
                loaded.entries.iter().try_for_each(|entry| state.apply(entry))?;
                state
            }
            None => RunState::from_entries(&loaded.entries)?,
        };
        Ok(Self {
            runner,
            state,
            next: loaded.next,
        })
    }

    fn refresh(&mut self) -> Result<()> {
        let loaded = self.runner.services.journal.load(self.next)?;
        loaded
            .entries
            .iter()
            .try_for_each(|entry| self.state.apply(entry))?;
        self.next = loaded.next;
        Ok(())
    }

    /// Somebody else has a node: another runner of this cascade, whose entries will tell, or another cascade. Looked at again
    /// when its lease may have ended, or with the next poll if it is given back earlier.
    fn busy(&mut self, at: usize, until: Timestamp, now: Timestamp) {
        let poll = u64::try_from(self.runner.poll.as_millis()).unwrap_or(u64::MAX);
        let soon = Timestamp(now.0.saturating_add(poll).min(until.0.max(now.0 + 1)));
        self.state.delay(at, soon);
    }
}

/// Compare the journal with what is published: a release that it names and that is not there is made again, and a step for a
/// person is done if its asset is current now. Returns how many entries that made.
pub fn reconcile(services: &Services<'_>, state: &RunState, owner: &str, context: &Context) -> Result<usize> {
    let mut news = 0;
    for (at, planned) in state.plan().nodes.iter().enumerate() {
        let node: &NodeId = &planned.dirty.node;
        let entry = match state.status(at) {
            NodeStatus::Released { version } => {
                let asset = services.index.asset(node)?;
                if asset.is_some_and(|asset| asset.releases.contains_key(&version)) {
                    continue;
                }
                let what = NodeEvent::Missing;
                let (node, token) = (node.clone(), None);
                Entry {
                    at: context.now(),
                    by: owner.to_owned(),
                    event: JournalEvent::Node { node, token, what },
                }
            }
            NodeStatus::Manual | NodeStatus::Outside => {
                match look_at_manual(services, planned, owner, context.now())? {
                    Some(entry) => entry,
                    None => continue,
                }
            }
            _ => continue,
        };
        services.journal.append(&entry)?;
        news += 1;
    }
    Ok(news)
}

impl Ending {
    /// Whether the command that ran it ends well: nothing failed and nothing was stopped. A step for a person is not a
    /// failure.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Done | Self::Waiting | Self::Paused)
    }
}
