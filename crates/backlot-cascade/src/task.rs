//! One attempt at one node, step by step: lease, look, prepare, build, validate, push, release (rules R1, R2, R4, R5).
//!
//! Invariant: each step has one effect, and its journal entry is appended after that. An attempt can end between any two
//! steps, for ever or for long; the next attempt begins with the lease and looks up existing effects. A step that finds the
//! lease overtaken does nothing more. Deliberately absent: when to start an attempt, and threads.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backlot_core::{Context, Timestamp};

use crate::dirty::{Decision, Hold};
use crate::error::{Error, Result};
use crate::failure::{Failure, FailureKind, retry_at};
use crate::journal::{Entry, Journal, JournalEvent, NodeEvent, Unchanged};
use crate::judge::{Verdict, Work, judge};
use crate::lease::{Acquired, Lease, LeaseStore, acquire, is_held};
use crate::node::NodeKey;
use crate::plan::{Limits, Plan, PlanNode};
use crate::record::{Input, Origin, ReleaseRecord};
use crate::resolve::{Expected, Resolver};
use crate::state::RunState;
use crate::worker::{Built, Committed, Index, Job, Worker};

/// Everything an attempt works with.
#[derive(Clone, Copy, Debug)]
pub struct Services<'a> {
    /// What is published.
    pub index: &'a dyn Index,
    /// Chooses inputs.
    pub resolver: &'a dyn Resolver,
    /// Leases of all cascades.
    pub leases: &'a dyn LeaseStore,
    /// The journal of this cascade.
    pub journal: &'a dyn Journal,
    /// Builds.
    pub worker: &'a dyn Worker,
}

/// What follows after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is another step.
    More,
    /// The attempt is over; the journal says how.
    Over,
    /// Somebody else has the node; not before this time again.
    Busy(Timestamp),
}

/// What the next step does.
#[derive(Debug)]
enum Next {
    Lease,
    Look,
    Prepare(Box<Job>),
    Build(Box<Job>),
    Compare(Box<Job>, Built),
    Validate(Box<Job>, Built),
    Push(Box<Job>, Built),
    Release(Box<Job>, Built),
    Nothing,
}

/// One attempt at a node.
#[derive(Debug)]
pub struct NodeTask {
    plan_id: crate::node::CascadeId,
    planned: PlanNode,
    limits: Limits,
    owner: String,
    next: Next,
    lease: Option<Lease>,
    /// Failures so far: the key they were with, by its own fault, by fault of the environment in a row.
    failed: (Option<NodeKey>, u32, u32),
    insisted: bool,
    promote: bool,
}

impl NodeTask {
    /// An attempt at the node at an index of a plan. `owner` names the runner: host and process.
    pub fn new(state: &RunState, at: usize, owner: &str) -> Self {
        let (key, own, environment, insisted) = state.attempts(at);
        let plan: &Plan = state.plan();
        Self {
            plan_id: plan.id.clone(),
            planned: plan.nodes[at].clone(),
            limits: plan.limits.clone(),
            owner: owner.to_owned(),
            next: Next::Lease,
            lease: None,
            failed: (key, own, environment),
            insisted,
            promote: false,
        }
    }

    /// The lease, while it is held.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }
    /// The node.
    pub fn node(&self) -> &crate::node::NodeId {
        &self.planned.dirty.node
    }

    /// The job, once it is known.
    pub fn job(&self) -> Option<Job> {
        self.next.job().cloned()
    }

    /// Do all steps.
    pub fn run(&mut self, services: &Services<'_>, context: &Context) -> Result<Step> {
        loop {
            match self.step(services, context)? {
                Step::More => {}
                end => return Ok(end),
            }
        }
    }

    /// Do all steps and keep the lease meanwhile, for a process that runs this node alone.
    pub fn run_alone(&mut self, services: &Services<'_>, context: &Context) -> Result<Step> {
        let (node, lease_ms) = (self.planned.dirty.node.clone(), self.limits.lease_ms);
        let held: Mutex<Option<Lease>> = Mutex::new(None);
        let (done, is_done) = mpsc::channel::<()>();
        let pause = Duration::from_millis((lease_ms / 3).max(1));
        std::thread::scope(|scope| {
            let (held, node) = (&held, &node);
            scope.spawn(move || {
                while is_done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(mut lease) = held.clone() {
                        lease.until = Timestamp(context.now().0.saturating_add(lease_ms));
                        // What cannot be renewed runs out; the attempt then finds itself overtaken.
                        services.leases.renew(node, &lease).ok();
                    }
                }
            });
            let result = loop {
                let step = self.step(services, context);
                held.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone_from(&self.lease);
                if !matches!(step, Ok(Step::More)) {
                    break step;
                }
            };
            drop(done);
            result
        })
    }

    /// Do the next step. An error is one of the journal; failures of everything else are in it.
    pub fn step(&mut self, services: &Services<'_>, context: &Context) -> Result<Step> {
        let next = std::mem::replace(&mut self.next, Next::Nothing);
        if matches!(next, Next::Nothing) {
            return Ok(Step::Over);
        }
        let job = next.job().cloned();
        if let Err(why) = context.check() {
            return match self.lease {
                Some(_) => self.fail(services, context, job.as_ref(), services.worker.interrupted(why)),
                None => Ok(Step::Over),
            };
        }
        match self.advance(next, services, context) {
            Ok(step) => Ok(step),
            Err(Trouble::Journal(error)) => Err(error),
            Err(Trouble::Failed(failure)) => self.fail(services, context, job.as_ref(), failure),
        }
    }

    fn advance(&mut self, next: Next, services: &Services<'_>, context: &Context) -> Result<Step, Trouble> {
        let worker = services.worker;
        if self.lease.is_some() && !self.renew(services, context)? {
            return Ok(self.overtaken(services, context, next.job()));
        }
        self.next = match next {
            Next::Lease => return self.take_lease(services, context),
            Next::Look => return self.look(services, context),
            Next::Prepare(job) => {
                worker.prepare(&job, context)?;
                Next::Build(job)
            }
            Next::Build(mut job) => {
                let built = worker.build(&job, context)?;
                job.record.build_ms = Some(built.build_ms);
                let built_as = NodeEvent::Built {
                    key: job.key,
                    files: built.files,
                    repaired: built.repaired.clone(),
                };
                self.write(services, context, built_as)?;
                Next::Compare(job, built)
            }
            Next::Compare(job, built) => return self.compare(services, context, job, built),
            Next::Validate(job, built) => {
                worker.validate(&job, &built, context)?;
                self.write(services, context, NodeEvent::Validated)?;
                Next::Push(job, built)
            }
            Next::Push(job, built) => {
                worker.push(&job, &built, context)?;
                self.write(services, context, NodeEvent::Pushed)?;
                Next::Release(job, built)
            }
            Next::Release(job, built) => return self.release(services, context, &job, &built),
            Next::Nothing => return Ok(Step::Over),
        };
        Ok(Step::More)
    }

    fn take_lease(&mut self, services: &Services<'_>, context: &Context) -> Result<Step, Trouble> {
        let now = context.now();
        match acquire(
            services.leases,
            self.node(),
            &self.owner,
            now,
            self.limits.lease_ms,
        )? {
            Acquired::Busy(until) => Ok(Step::Busy(until)),
            Acquired::Held(lease) => {
                let until = lease.until;
                self.lease = Some(lease);
                self.write(services, context, NodeEvent::Leased { until })?;
                self.next = Next::Look;
                Ok(Step::More)
            }
        }
    }

    /// Prolong the lease; whether it is still ours.
    fn renew(&mut self, services: &Services<'_>, context: &Context) -> Result<bool, Trouble> {
        let until = Timestamp(context.now().0.saturating_add(self.limits.lease_ms));
        let node = self.planned.dirty.node.clone();
        let Some(lease) = &mut self.lease else {
            return Ok(false);
        };
        if !is_held(services.leases, &node, lease.token)? {
            return Ok(false);
        }
        lease.until = until;
        services.leases.renew(&node, lease)?;
        Ok(true)
    }

    /// Judge the node anew: what the plan expected may have come otherwise.
    fn look(&mut self, services: &Services<'_>, context: &Context) -> Result<Step, Trouble> {
        let index = services.index;
        let node = self.planned.dirty.node.clone();
        let Some(asset) = index.asset(&node)? else {
            let message = format!("`{node}` is not in the index");
            return Err(Failure::new(FailureKind::Environment, message).into());
        };
        let withdrawn = |input: &Input| Ok(index.withdrawal(input)?);
        let verdict = judge(&asset, services.resolver, &Expected::new(), &withdrawn);
        let verdict = verdict.map_err(|error| Failure::from_error(&error))?;
        let Some(release) = asset.newest() else {
            let message = format!("`{node}` has no release to build from");
            return Err(Failure::new(FailureKind::Environment, message).into());
        };
        let newest = release.version.clone();
        match verdict {
            Verdict::Current(_) | Verdict::Absent => {
                // An earlier attempt may have released it, without a chance to say so.
                let made_it = release.record().and_then(ReleaseRecord::cascade) == Some(&self.plan_id);
                let event = if made_it {
                    NodeEvent::Released { version: newest }
                } else {
                    let why = Unchanged::Current;
                    NodeEvent::Unchanged { why, version: newest }
                };
                self.end(services, context, None, event)
            }
            Verdict::SameContent(work) => {
                index.attest(&node, &newest, work.inputs.digest(work.recipe))?;
                let why = Unchanged::SameInputs;
                self.end(
                    services,
                    context,
                    None,
                    NodeEvent::Unchanged { why, version: newest },
                )
            }
            Verdict::Conflict(conflict) => {
                let hold = Hold::Conflict(conflict);
                self.end(services, context, None, NodeEvent::Held { hold })
            }
            Verdict::Frozen(_) => self.end(services, context, None, NodeEvent::Held { hold: Hold::Frozen }),
            Verdict::Proposed(_) | Verdict::Manual(_) | Verdict::Outside(_) => {
                let hold = Hold::Person;
                self.end(services, context, None, NodeEvent::Held { hold })
            }
            Verdict::Withdrawn(_, version, withdrawal) if !self.insisted => {
                let hold = Hold::Withdrawn { version, withdrawal };
                self.end(services, context, None, NodeEvent::Held { hold })
            }
            Verdict::Build(work) | Verdict::Withdrawn(work, ..) => self.accept(services, *work),
        }
    }

    fn accept(&mut self, services: &Services<'_>, work: Work) -> Result<Step, Trouble> {
        let node = &self.planned.dirty.node;
        if self.failed.0 != Some(work.key) {
            self.failed = (Some(work.key), 0, self.failed.2);
        }
        let failures = services.index.failures(work.key)?;
        if failures >= self.limits.attempts && !self.insisted {
            let message = format!("{failures} builds with the same inputs failed before");
            return Err(Failure::new(FailureKind::Exhausted, message).into());
        }
        self.promote = work.promote;
        let copy_of = services.index.find_key(&node.package, work.key, &node.repo)?;
        let job = Job {
            cascade: self.plan_id.clone(),
            node: node.clone(),
            key: work.key,
            token: self.lease.as_ref().map_or(0, |lease| lease.token),
            copy_of,
            version: work.next,
            record: ReleaseRecord {
                inputs: work.inputs,
                recipe: work.recipe,
                bump: services
                    .index
                    .asset(node)?
                    .map_or_else(Default::default, |asset| asset.settings.bump),
                origin: Origin::Cascade(self.plan_id.clone()),
                based_on: Some(work.base.clone()),
                build_ms: None,
            },
            base: work.base,
        };
        self.next = Next::Prepare(Box::new(job));
        Ok(Step::More)
    }

    /// The second cut-off (rule R2b): content that is there already is not released again.
    fn compare(
        &mut self,
        services: &Services<'_>,
        context: &Context,
        job: Box<Job>,
        built: Built,
    ) -> Result<Step, Trouble> {
        let asset = services.index.asset(&job.node)?;
        let newest = asset.as_ref().and_then(|asset| asset.newest());
        match newest.filter(|newest| newest.files == built.files && !self.promote) {
            Some(newest) => {
                let inputs = job.record.inputs.digest(job.record.recipe);
                services.index.attest(&job.node, &newest.version, inputs)?;
                let (why, version) = (Unchanged::SameFiles, newest.version.clone());
                self.end(
                    services,
                    context,
                    Some(&job),
                    NodeEvent::Unchanged { why, version },
                )
            }
            None => {
                self.next = Next::Validate(job, built);
                Ok(Step::More)
            }
        }
    }

    fn release(
        &mut self,
        services: &Services<'_>,
        context: &Context,
        job: &Job,
        built: &Built,
    ) -> Result<Step, Trouble> {
        // The commit looks for yanks again; deprecations are advice, for which this is soon enough.
        for input in &job.record.inputs {
            if services.index.withdrawal(input)?.is_some() {
                let reason = format!("input {} {} was withdrawn", input.package, input.version);
                return Ok(self.stop(services, context, Some(job), &reason)?);
            }
        }
        match services.worker.release(job, built, context)? {
            Committed::Released(version) | Committed::AlreadyReleased(version) => {
                self.end(services, context, Some(job), NodeEvent::Released { version })
            }
            Committed::VersionTaken => {
                services.worker.discard(job, false, context);
                self.next = Next::Look;
                Ok(Step::More)
            }
            Committed::Fenced => Ok(self.overtaken(services, context, Some(job))),
            Committed::Withdrawn { package, version } => {
                let reason = format!("input {package} {version} was yanked");
                Ok(self.stop(services, context, Some(job), &reason)?)
            }
        }
    }

    /// End successfully. The lease is returned last, so that its next holder finds all effects in place.
    fn end(
        &mut self,
        services: &Services<'_>,
        context: &Context,
        job: Option<&Job>,
        event: NodeEvent,
    ) -> Result<Step, Trouble> {
        self.write(services, context, event)?;
        self.give_back(services, context, job, false);
        Ok(Step::Over)
    }

    fn stop(
        &mut self,
        services: &Services<'_>,
        context: &Context,
        job: Option<&Job>,
        reason: &str,
    ) -> Result<Step> {
        let reason = reason.to_owned();
        self.write(services, context, NodeEvent::Stopped { reason })?;
        self.give_back(services, context, job, false);
        self.next = Next::Nothing;
        Ok(Step::Over)
    }

    fn fail(
        &mut self,
        services: &Services<'_>,
        context: &Context,
        job: Option<&Job>,
        failure: Failure,
    ) -> Result<Step> {
        self.next = Next::Nothing;
        let kind = failure.kind;
        let attempts = if kind.counts() {
            self.failed.1
        } else {
            self.failed.2
        } + 1;
        let key = self.failed.0;
        if let Some(key) = key.filter(|_| kind.counts()) {
            // If it cannot be counted, it is tried once more than it should be.
            services.index.add_failure(key, &failure).ok();
        }
        let retry_at = retry_at(kind, attempts, &self.limits, context.now());
        let event = NodeEvent::Failed {
            failure,
            key,
            retry_at,
        };
        self.write(services, context, event)?;
        self.give_back(services, context, job, retry_at.is_none());
        Ok(Step::Over)
    }

    fn overtaken(&mut self, services: &Services<'_>, context: &Context, job: Option<&Job>) -> Step {
        if let Some(job) = job {
            services.worker.discard(job, false, context);
        }
        self.lease = None;
        Step::Busy(Timestamp(context.now().0.saturating_add(self.limits.lease_ms)))
    }

    fn give_back(&mut self, services: &Services<'_>, context: &Context, job: Option<&Job>, keep: bool) {
        if let Some(job) = job {
            services.worker.discard(job, keep, context);
        }
        if let Some(mut lease) = self.lease.take() {
            lease.until = context.now();
            // If it cannot be given back, it runs out.
            services.leases.renew(&self.planned.dirty.node, &lease).ok();
        }
    }

    fn write(&self, services: &Services<'_>, context: &Context, what: NodeEvent) -> Result<()> {
        services.journal.append(&Entry {
            at: context.now(),
            by: self.owner.clone(),
            event: JournalEvent::Node {
                node: self.planned.dirty.node.clone(),
                token: self.lease.as_ref().map(|lease| lease.token),
                what,
            },
        })
    }
}

impl Next {
    fn job(&self) -> Option<&Job> {
        match self {
            Self::Prepare(job)
            | Self::Build(job)
            | Self::Compare(job, _)
            | Self::Validate(job, _)
            | Self::Push(job, _)
            | Self::Release(job, _) => Some(job),
            Self::Lease | Self::Look | Self::Nothing => None,
        }
    }
}

/// Why a step did not succeed: the journal could not be written, or the node failed.
enum Trouble {
    Journal(Error),
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<crate::error::Cause> for Trouble {
    fn from(cause: crate::error::Cause) -> Self {
        Self::Failed(Failure::from_error(&cause))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Journal(error)
    }
}

/// Whether a manual step is done, by what is published: its entry if so.
pub(crate) fn look_at_manual(
    services: &Services<'_>,
    planned: &PlanNode,
    owner: &str,
    now: Timestamp,
) -> Result<Option<Entry>> {
    debug_assert!(matches!(
        planned.dirty.decision,
        Decision::Manual | Decision::Outside
    ));
    let node = &planned.dirty.node;
    let Some(asset) = services.index.asset(node)? else {
        return Ok(None);
    };
    let withdrawn = |input: &Input| Ok(services.index.withdrawal(input)?);
    let verdict = judge(&asset, services.resolver, &Expected::new(), &withdrawn)?;
    let (Verdict::Current(_), Some(newest)) = (verdict, asset.newest()) else {
        return Ok(None);
    };
    let version = newest.version.clone();
    let what = if version == planned.dirty.newest {
        NodeEvent::Unchanged {
            why: Unchanged::Current,
            version,
        }
    } else {
        NodeEvent::Released { version }
    };
    Ok(Some(Entry {
        at: now,
        by: owner.to_owned(),
        event: JournalEvent::Node {
            node: node.clone(),
            token: None,
            what,
        },
    }))
}
