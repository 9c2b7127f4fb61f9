//! Runs a plan: attempts at its nodes, started by an [`Executor`] when [`schedule`] says so.
//!
//! Invariant: the state is the journal's at every decision, so requests of other processes are seen, and two runners of one
//! cascade share its nodes by their leases. Stopping or dying at any point leaves what the next run continues from. An attempt whose process is gone
//! without a word is a failure of the environment, written under its own lease. Deliberately absent: where attempts are made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backlot_core::{Context, Timestamp};

use crate::batch::{attempt_in, on_behalf};
use crate::error::{Error, Result};
use crate::executor::{Ended, Executor, Outcome, Pool, Stop};
use crate::failure::{Failure, retry_at};
use crate::journal::{Entry, JournalEvent, NodeEvent};
use crate::lease::Lease;
use crate::node::NodeId;
use crate::plan::Plan;
use crate::schedule::{Ending, schedule};
use crate::state::{NodeStatus, RunState};
use crate::summary::Summary;
use crate::task::{Services, look_at_manual};

/// How long ago a lease may have ended that an attempt found held.
const JUST_ENDED_MS: u64 = 5_000;

/// Runs cascades.
#[derive(Clone, Debug)]
pub struct Runner<'a> {
    services: Services<'a>,
    owner: String,
    poll: Duration,
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

    /// Run a plan in threads of this process until nothing more can be started; continues if the journal has a part of it.
    pub fn run(&self, plan: &Plan, context: &Context) -> Result<Summary> {
        let entries = self.services.journal.load(0)?.entries;
        let begun = entries
            .iter()
            .any(|entry| matches!(entry.event, JournalEvent::Planned { .. }));
        if !begun {
            self.write(&self.owner, JournalEvent::planned(plan), context)?;
        }
        self.in_threads(Some(plan), context)
    }

    /// Continue the cascade of the journal in threads of this process: what is done is kept, and a manual step counts as done once its release is
    /// there.
    pub fn resume(&self, context: &Context) -> Result<Summary> {
        self.in_threads(None, context)
    }

    /// The same, with attempts made elsewhere.
    pub fn resume_with(&self, executor: &mut dyn Executor, context: &Context) -> Result<Summary> {
        let mut following = Following::open(self, None, executor)?;
        self.drive(&mut following, context)
    }

    fn in_threads(&self, plan: Option<&Plan>, context: &Context) -> Result<Summary> {
        std::thread::scope(|scope| {
            let mut pool = Pool::new(scope, self.services, &self.owner, context);
            let mut following = Following::open(self, plan, &mut pool)?;
            self.drive(&mut following, context)
        })
    }

    fn drive(&self, following: &mut Following<'_, '_, 'a>, context: &Context) -> Result<Summary> {
        self.look_again(following, context)?;
        let (mut fault, mut stopped) = (None, None);
        loop {
            if let Some(why) = why_stop(&following.state, context).filter(|why| stopped != Some(*why)) {
                stopped = Some(why);
                fault = fault.or(following.executor.stop(why).err());
            }
            let now = context.now();
            let next = schedule(&following.state, now, &following.executor.under_way());
            if stopped.is_none() && fault.is_none() && !next.start.is_empty() {
                fault = following.executor.start(&following.state, &next.start).err();
            }
            if fault.is_some() {
                following.executor.leave();
            }
            let under_way = following.executor.under_way();
            if under_way.is_empty() {
                if let Some(error) = fault {
                    return Err(error);
                }
                context.check()?;
                match next.ending {
                    Some(Ending::Waiting) if self.look_again(following, context)? => continue,
                    Some(ending) => return Ok(following.state.summary(Some(ending))),
                    None => {}
                }
            }
            match following.executor.wait(self.pause(next.wake, now)) {
                Ok(all) => {
                    for ended in all {
                        fault = fault.or(self.settle(following, ended, context)?);
                    }
                }
                Err(error) => fault = fault.or(Some(error)),
            }
            following.refresh()?;
            self.keep_leases(&mut following.state, &under_way, context.now());
        }
    }

    /// Take note of how an attempt ended. Returns what the run cannot go on after.
    fn settle(
        &self,
        following: &mut Following<'_, '_, 'a>,
        ended: Ended,
        context: &Context,
    ) -> Result<Option<Error>> {
        match ended.outcome {
            Outcome::Told => {}
            Outcome::Busy(until) => following.busy(ended.at, until, context.now()),
            Outcome::Fault(Some(error)) => return Ok(Some(error)),
            // The scope passes its panic on.
            Outcome::Fault(None) => return Ok(Some(Error::Cancelled(context.cancel().reason()))),
            Outcome::Lost {
                attempt,
                lease,
                failure,
            } => self.lost(following, (ended.at, &attempt), lease, failure, context)?,
        }
        Ok(None)
    }

    /// The process of an attempt is gone without reporting. Release its lease: no process extends it any more, and if this one lives on unseen, a
    /// higher token keeps it from releasing. One that never held a lease may have found the node taken.
    fn lost(
        &self,
        following: &mut Following<'_, '_, 'a>,
        (at, attempt): (usize, &str),
        lease: Option<Lease>,
        failure: Failure,
        context: &Context,
    ) -> Result<()> {
        let (now, leases) = (context.now(), self.services.leases);
        let node = following.state.plan().nodes[at].dirty.node.clone();
        // It may have been killed between taking a lease and saying so.
        let newest = leases.newest(&node)?;
        let is_its = |lease: &&Lease| attempt_in(&lease.owner) == Some(attempt);
        let own = lease.or_else(|| newest.as_ref().filter(is_its).cloned());
        let token = if let Some(mut lease) = own {
            lease.until = now;
            // If it cannot be given back, it runs out.
            leases.renew(&node, &lease).ok();
            lease.token
        } else {
            match newest {
                // It may have ended since the attempt found the node taken.
                Some(newest) if newest.until.0.saturating_add(JUST_ENDED_MS) > now.0 => {
                    following.busy(at, newest.until, now);
                    return Ok(());
                }
                newest => newest.map_or(0, |newest| newest.token),
            }
        };
        let state = &following.state;
        let is_open = match state.status(at) {
            NodeStatus::Ready | NodeStatus::Running { .. } => true,
            // It was due, and an attempt that does not begin leaves it so.
            NodeStatus::Delayed { until } => until <= now,
            _ => false,
        };
        // While it is paused, attempts end without having begun.
        if !is_open || state.paused().is_some() {
            return Ok(());
        }
        let (key, own, environment, _) = state.attempts(at);
        let before = if failure.kind.counts() { own } else { environment };
        let retry_at = retry_at(failure.kind, before + 1, &state.plan().limits, now);
        let event = JournalEvent::Node {
            node,
            token: Some(token),
            what: NodeEvent::Failed {
                failure,
                key,
                retry_at,
            },
        };
        self.write(&on_behalf(&self.owner, attempt), event, context)
    }

    /// Steps for a person may not be needed after all, now that what they follow is done. Whether one was not.
    fn look_again(&self, following: &mut Following<'_, '_, 'a>, context: &Context) -> Result<bool> {
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
    fn keep_leases(&self, state: &mut RunState, under_way: &BTreeSet<usize>, now: Timestamp) {
        let lease_ms = state.plan().limits.lease_ms;
        for at in under_way {
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

    fn write(&self, by: &str, event: JournalEvent, context: &Context) -> Result<()> {
        self.services.journal.append(&Entry {
            at: context.now(),
            by: by.to_owned(),
            event,
        })
    }
}

/// Why a run is to stop, if it is.
fn why_stop(state: &RunState, context: &Context) -> Option<Stop> {
    if state.cancelled().is_some() {
        Some(Stop::Cascade)
    } else if context.cancel().is_cancelled() {
        Some(Stop::Run)
    } else {
        None
    }
}

/// The state, how far the journal was read for it, and the executor, which hears the same.
struct Following<'r, 'e, 'a> {
    runner: &'r Runner<'a>,
    executor: &'e mut dyn Executor,
    state: RunState,
    next: u64,
}

impl<'r, 'e, 'a> Following<'r, 'e, 'a> {
    fn open(runner: &'r Runner<'a>, plan: Option<&Plan>, executor: &'e mut dyn Executor) -> Result<Self> {
        let loaded = runner.services.journal.load(0)?;
        let state = match plan {
            Some(plan) => {
                let mut state = RunState::new(Arc::new(plan.clone()));
                loaded.entries.iter().try_for_each(|entry| state.apply(entry))?;
                state
            }
            None => RunState::from_entries(&loaded.entries)?,
        };
        for entry in &loaded.entries {
            executor.heard(&state, entry);
        }
        Ok(Self {
            runner,
            executor,
            state,
            next: loaded.next,
        })
    }

    fn refresh(&mut self) -> Result<()> {
        let loaded = self.runner.services.journal.load(self.next)?;
        for entry in &loaded.entries {
            self.state.apply(entry)?;
            self.executor.heard(&self.state, entry);
        }
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
