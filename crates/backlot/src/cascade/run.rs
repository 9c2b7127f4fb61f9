//! Running a cascade: the plan, its journal in the repo of its root, and an executor that builds; or one attempt at one asset of it, for executors and
//! schedulers.
//!
//! Invariants: what a dry run prints is the plan that a run follows; a run that is begun again continues, as does one of another machine; what is
//! published meanwhile is seen. Deliberately absent: building (`worker`), and requests of people (`control`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use backlot_cascade::control::{Request, request, supersede};
use backlot_cascade::{
    CascadeId, Ending, Entry, Executor, Journal as _, JournalEvent, Limits, NodeId, NodeStatus, NodeTask,
    Plan, RunState, Runner, Services, Step, Summary, dirty,
};
use backlot_core::{Timestamp, file, options};
use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::cascade::attempt::{Watchdog, Watched};
use crate::cascade::executors::kind::{ExecutorKind, ExecutorOptions};
use crate::cascade::executors::launch::{AttemptFlags, AttemptLimits};
use crate::cascade::executors::process::ProcessExecutor;
use crate::cascade::executors::slurm::SlurmExecutor;
use crate::cascade::known::ending_of;
use crate::cascade::ledger::{OpenCascades, Owner, RepoJournal, RepoLeases, Watch};
use crate::cascade::live::LiveStudio;
use crate::cascade::resolver::StudioResolver;
use crate::cascade::worker::StudioWorker;
use crate::error::{CascadeError, Result};
use crate::workspace::Opened;

/// How often the requests of others are looked for, where asking is a journey and where it is not.
const POLL_AFAR: Duration = Duration::from_secs(2);
const POLL_NEAR: Duration = Duration::from_millis(200);

options! {
    /// How to run a cascade.
    #[derive(Default)]
    pub struct CascadeOptions {
        /// Only assets of this repo.
        pub repo: Option<String>,
        /// How many assets are built at once.
        pub jobs: Option<usize>,
        /// How many may be built without a confirmation; 200 by default.
        pub most: Option<usize>,
        /// Build more than that all the same.
        pub confirmed: bool,
        /// How many assets are built first, before all others.
        pub canary: usize,
        /// How many units there are of what assets say that a rebuild takes (`licence.houdini`); what is not named has no limit.
        pub resources: BTreeMap<String, u32>,
        /// How long an asset is left to a machine that says nothing; a minute by default.
        pub lease: Option<Duration>,
        /// Leave the workspaces of failed builds in the cache.
        pub keep_failed: bool,
        /// Where assets are built, where that differs from the configuration.
        pub executor: ExecutorOptions,
        /// Repair what checks refuse, where they declare that this may be done.
        pub auto_repair: bool,
        /// Write the plan down and leave the building to another process, which continues the cascade by its id.
        pub begin_only: bool,
        /// Plan only.
        pub dry_run: bool,
    }
}

options! {
    /// How to make one attempt at one asset of a cascade.
    #[derive(Default)]
    pub struct AttemptOptions {
        /// The scheduler's name of the attempt, for the record.
        pub attempt: Option<String>,
        /// Leave the workspace of a failed build in the cache.
        pub keep_failed: bool,
        /// Repair what checks refuse, where they declare that this may be done.
        pub auto_repair: bool,
        /// The longest time for it.
        pub wall_time: Option<Duration>,
        /// The longest time that it may print nothing and move no byte.
        pub quiet_time: Option<Duration>,
        /// The folder for the private workspace, instead of the cache: a disk of the machine that builds.
        pub scratch: Option<PathBuf>,
    }
}

/// How many jobs of a scheduler there are at once, where nothing else is said: the scheduler has limits of its own.
const JOBS_OF_SCHEDULER: usize = 1_000;

impl CascadeOptions {
    /// What is asked of attempts in processes of their own.
    pub(crate) const fn flags(&self) -> AttemptFlags {
        AttemptFlags {
            keep: self.keep_failed,
            auto_repair: self.auto_repair,
        }
    }

    pub(crate) fn limits(&self, executor: ExecutorKind) -> Limits {
        let mut limits = Limits::default();
        if executor == ExecutorKind::Slurm {
            limits.jobs = JOBS_OF_SCHEDULER;
        }
        let lease_ms = self
            .lease
            .map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        Limits {
            jobs: self.jobs.unwrap_or(limits.jobs).max(1),
            cap: self.most.unwrap_or(limits.cap),
            canary: self.canary,
            resources: self.resources.clone(),
            lease_ms: lease_ms.unwrap_or(limits.lease_ms).max(1),
            ..limits
        }
    }
}

/// A cascade that was run, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CascadeReport {
    /// Its id.
    pub cascade: CascadeId,
    /// The repo that has its journal.
    pub repo: String,
    /// What it was to do.
    pub plan: Plan,
    /// What became of that; `None` of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Whether nothing was done.
    pub dry_run: bool,
}

impl CascadeReport {
    /// The error of the command that ran it, if it did not end well. A step for a person is not a failure.
    pub fn failure(&self) -> Option<CascadeError> {
        failure_of(self.summary.as_ref()?)
    }
}

/// The error that a summary amounts to.
pub(crate) fn failure_of(summary: &Summary) -> Option<CascadeError> {
    let cascade = summary.cascade.to_string();
    match summary.ending? {
        Ending::Cancelled => Some(CascadeError::Cancelled {
            cascade,
            reason: "nothing new was started".to_owned(),
        }),
        Ending::NeedsConfirmation => Some(CascadeError::Unconfirmed { cascade }),
        Ending::Failed => {
            let failed = summary.causes.iter().filter_map(|cause| match &cause.status {
                NodeStatus::Failed { failure } => {
                    let first = failure.message.lines().next().unwrap_or_default();
                    Some(format!("{}: {first}", cause.node))
                }
                _ => None,
            });
            Some(CascadeError::Failed {
                cascade,
                failed: failed.collect(),
            })
        }
        _ => None,
    }
}

/// What an attempt at one asset came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeReport {
    /// The cascade.
    pub cascade: CascadeId,
    /// The asset.
    pub node: NodeId,
    /// Where it stands now.
    #[serde(flatten)]
    pub status: NodeStatus,
    /// When it can be tried again, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Timestamp>,
}

impl NodeReport {
    /// The exit code for a scheduler: 0 done, 65 wrong (another attempt gives the same), 75 not now (another attempt may help), 130 cancelled.
    pub fn exit_code(&self) -> u8 {
        match &self.status {
            NodeStatus::Released { .. }
            | NodeStatus::Unchanged { .. }
            | NodeStatus::Held { .. }
            | NodeStatus::Skipped { .. }
            | NodeStatus::Superseded { .. } => 0,
            NodeStatus::Failed { .. } => 65,
            NodeStatus::Cancelled => 130,
            _ => 75,
        }
    }
}

/// Everything that runs a cascade from here.
struct Ready {
    journal_repo: String,
    owner: Owner,
    leases: RepoLeases,
    live: LiveStudio,
}

impl Opened {
    /// Build what a release affects, or all that is not current.
    pub(crate) fn run_cascade(
        &self,
        what: Option<&str>,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
    ) -> Result<CascadeReport> {
        let report = self.affected(what, options.repo.as_deref())?;
        if !options.dry_run
            && let Some((node, version)) = self.unpublished(&report.roots)?
        {
            return Err(CascadeError::NotPublished {
                package: node.package.to_string(),
                version: version.to_string(),
            }
            .into());
        }
        let limits = options.limits(self.executor_kind(&options.executor)?);
        self.run_plan(Plan::new(&report, limits), options, watch)
    }

    /// Build what a release of a repo affects.
    pub(crate) fn push_release(
        &self,
        node: NodeId,
        version: &Version,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
    ) -> Result<CascadeReport> {
        let studio = self.studio()?;
        let mut resolver = StudioResolver::new(&studio, self.context());
        let root = self.root_of(&studio, &mut resolver, node, version);
        let report = dirty::report(&studio.catalog, &resolver, &[root], self.context())?;
        let limits = options.limits(self.executor_kind(&options.executor)?);
        self.run_plan(Plan::new(&report, limits), options, watch)
    }

    fn run_plan(
        &self,
        plan: Plan,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
    ) -> Result<CascadeReport> {
        let home = self.home_of(&plan, options)?;
        if options.dry_run || plan.nodes.is_empty() {
            let state = RunState::new(std::sync::Arc::new(plan.clone()));
            return Ok(CascadeReport {
                cascade: plan.id.clone(),
                repo: home,
                summary: (!options.dry_run).then(|| state.summary(Some(Ending::Done))),
                plan,
                dry_run: options.dry_run,
            });
        }
        if !options.confirmed {
            plan.check_cap()?;
        }
        let (plan, journal) = self.begin(&plan, &home)?;
        let journal = journal.watched(watch);
        let ready = self.make_ready(&home, None);
        self.take_over(&plan, &ready)?;
        if options.confirmed {
            journal.append(&Entry {
                at: self.context().now(),
                by: ready.owner.name.clone(),
                event: JournalEvent::Confirmed,
            })?;
        }
        let summary = self.drive_unless_begun(&ready, &journal, &plan, options)?;
        Ok(CascadeReport {
            cascade: plan.id.clone(),
            repo: home,
            plan,
            summary: Some(summary),
            dry_run: false,
        })
    }

    /// The repo that has the journal of a plan.
    pub(crate) fn home_of(&self, plan: &Plan, options: &CascadeOptions) -> Result<String> {
        let root = plan.roots.first().map(|(node, _)| node.repo.to_string());
        match root.or_else(|| options.repo.clone()) {
            Some(repo) => Ok(repo),
            None => Ok(self.publish_target(None)?.name.clone()),
        }
    }

    /// Build, unless another process is to do that; then it says how the cascade stands.
    fn drive_unless_begun(
        &self,
        ready: &Ready,
        journal: &RepoJournal<'_>,
        plan: &Plan,
        options: &CascadeOptions,
    ) -> Result<Summary> {
        if !options.begin_only {
            return self.drive(ready, journal, plan, options);
        }
        let state = RunState::from_entries(&journal.load(0)?.entries)?;
        Ok(state.summary(ending_of(&state, self.context().now())))
    }

    /// The journal of a plan, which has the plan. Where a cascade with the plan's id was cancelled, it is another one.
    pub(crate) fn begin(&self, plan: &Plan, home: &str) -> Result<(Plan, RepoJournal<'static>)> {
        let store = self.ledger(home)?;
        let owner = Owner::new(self, None);
        for round in 0.. {
            let plan = if round == 0 {
                plan.clone()
            } else {
                plan.clone().renewed(round)
            };
            let journal = RepoJournal::new(store.clone(), &plan.id);
            let entries = journal.load(0)?.entries;
            if entries.is_empty() {
                // Before the plan is written: if the process is killed in between, later cascades still find it among the open ones.
                OpenCascades::new(&store).add(&plan.id)?;
                journal.append(&Entry {
                    at: self.context().now(),
                    by: owner.name.clone(),
                    event: JournalEvent::planned(&plan),
                })?;
                self.tell_begun(home, &plan);
                return Ok((plan, journal));
            }
            if RunState::from_entries(&entries)?.cancelled().is_none() {
                // Who wrote the plan may have been killed since.
                self.tell_begun(home, &plan);
                return Ok((plan, journal));
            }
        }
        unreachable!("one of all rounds is free")
    }

    /// What cascades that were begun before have not begun to build is left to this one, which builds it with all that was published since.
    fn take_over(&self, plan: &Plan, ready: &Ready) -> Result<()> {
        let store = self.ledger(&ready.journal_repo)?;
        let open = OpenCascades::new(&store);
        let own = open.add(&plan.id)?;
        for (_, cascade) in open.list()?.into_iter().filter(|(number, _)| *number < own) {
            let journal = RepoJournal::new(store.clone(), &cascade);
            // One that has no plan yet has nothing to leave.
            let Ok(state) = RunState::from_entries(&journal.load(0)?.entries) else {
                continue;
            };
            supersede(&journal, &state, plan, &ready.owner.name, self.context())?;
            let state = RunState::from_entries(&journal.load(0)?.entries)?;
            if is_over(self.tell_end_of(&ready.journal_repo, &state)) {
                open.remove(&cascade)?;
            }
        }
        Ok(())
    }

    fn make_ready(&self, home: &str, attempt: Option<&str>) -> Ready {
        let owner = Owner::new(self, attempt);
        Ready {
            journal_repo: home.to_owned(),
            leases: RepoLeases::new(self),
            live: LiveStudio::new(self, home, &owner),
            owner,
        }
    }

    fn drive(
        &self,
        ready: &Ready,
        journal: &RepoJournal<'_>,
        plan: &Plan,
        options: &CascadeOptions,
    ) -> Result<Summary> {
        let cascade = &plan.id;
        self.forget_killed(cascade);
        let keep = options.keep_failed;
        let worker = StudioWorker::new(self, &ready.live, &ready.leases, keep);
        let worker = worker.with_auto_repair(options.auto_repair);
        let services = Services {
            index: &ready.live,
            resolver: &ready.live,
            leases: &ready.leases,
            journal,
            worker: &worker,
        };
        let poll = self.poll_of(&ready.journal_repo)?;
        let runner = Runner::new(services, &ready.owner.name).with_poll(poll);
        let summary = self.run_with(&runner, journal, ready, cascade, options)?;
        self.tell_end(&ready.journal_repo, plan, &summary);
        let folder = self.cascade_folder(cascade);
        if summary.ending == Some(Ending::Done) && !keep {
            file::remove(&folder).ok();
        } else {
            // Empty, unless builds failed and are kept, or others build here.
            fs_err::remove_dir(&folder).ok();
        }
        if is_over(summary.ending) {
            OpenCascades::new(&self.ledger(&ready.journal_repo)?).remove(cascade)?;
        }
        Ok(summary)
    }

    /// How often requests of others are looked for in a repo.
    fn poll_of(&self, repo: &str) -> Result<Duration> {
        let is_afar = self.repo_entry(repo)?.is_remote();
        Ok(if is_afar { POLL_AFAR } else { POLL_NEAR })
    }

    /// Run a cascade where it is to be run.
    fn run_with(
        &self,
        runner: &Runner<'_>,
        journal: &RepoJournal<'_>,
        ready: &Ready,
        cascade: &CascadeId,
        options: &CascadeOptions,
    ) -> Result<Summary> {
        let (context, owner) = (self.context(), &ready.owner);
        let kind = self.executor_kind(&options.executor)?;
        if kind == ExecutorKind::Pool {
            return Ok(runner.resume(context)?);
        }
        let launch = self.launch(cascade, &options.executor, options.flags(), owner)?;
        let variables = self.host().environment.clone();
        let mut executor: Box<dyn Executor + '_> = if kind == ExecutorKind::Slurm {
            let slurm = self.slurm(&options.executor)?;
            Box::new(SlurmExecutor::new(launch, slurm, journal, &owner.name, context))
        } else {
            Box::new(ProcessExecutor::new(
                launch,
                journal,
                &owner.name,
                variables,
                context,
            ))
        };
        Ok(runner.resume_with(executor.as_mut(), context)?)
    }

    /// Continue a cascade: what failed is tried again, and what that blocked follows.
    pub(crate) fn resume_cascade(
        &self,
        id: &str,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
    ) -> Result<CascadeReport> {
        let (home, id) = self.find_cascade(Some(id))?;
        let journal = RepoJournal::new(self.ledger(&home)?, &id).watched(watch);
        let state = RunState::from_entries(&journal.load(0)?.entries)?;
        if let Some(reason) = state.cancelled() {
            return Err(CascadeError::Cancelled {
                cascade: id.to_string(),
                reason: reason.to_owned(),
            }
            .into());
        }
        let ready = self.make_ready(&home, None);
        let mut requests = vec![Request::RetryFailed];
        if state.paused().is_some() {
            requests.push(Request::Resume);
        }
        if options.confirmed {
            requests.push(Request::Confirm);
        }
        for one in requests {
            request(
                &journal,
                &state,
                &self.settings().author.value,
                one,
                self.context(),
            )?;
        }
        self.tell_begun(&home, state.plan());
        let summary = self.drive_unless_begun(&ready, &journal, state.plan(), options)?;
        Ok(report_of(id, home, &state, summary))
    }

    /// Build what a cascade that was begun has left, as the one process of this machine that does so in the background. Nothing is asked of it: what failed
    /// stays failed.
    pub(crate) fn run_in_background(
        &self,
        id: &str,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
    ) -> Result<CascadeReport> {
        let (home, id) = self.find_cascade(Some(id))?;
        let _held = self.hold_background(&id)?;
        let journal = RepoJournal::new(self.ledger(&home)?, &id).watched(watch);
        let state = RunState::from_entries(&journal.load(0)?.entries)?;
        let ready = self.make_ready(&home, None);
        let summary = self.drive(&ready, &journal, state.plan(), options)?;
        Ok(report_of(id, home, &state, summary))
    }

    /// One attempt at one asset of a cascade, in this process alone.
    pub(crate) fn run_cascade_node(
        &self,
        id: &str,
        node: &str,
        options: &AttemptOptions,
    ) -> Result<NodeReport> {
        self.check_machine()?;
        let (home, id) = self.find_cascade(Some(id))?;
        let journal = RepoJournal::new(self.ledger(&home)?, &id);
        let loaded = journal.load(0)?;
        let state = RunState::from_entries(&loaded.entries)?;
        let node = Self::node_of(&state, node)?;
        let at = state
            .find(&node)
            .ok_or_else(|| backlot_cascade::Error::UnknownNode {
                cascade: id.to_string(),
                node: node.to_string(),
            })?;
        let ready = self.make_ready(&home, options.attempt.as_deref());
        let now = self.context().now();
        let lapsed = state.lease_end(at).is_some_and(|until| until <= now);
        let stopped = state.cancelled().is_some() || state.paused().is_some();
        let can_start = match state.status(at) {
            NodeStatus::Ready => true,
            NodeStatus::Delayed { until } => until <= now,
            NodeStatus::Running { .. } => lapsed,
            _ => false,
        };
        let mut again = state.lease_end(at).filter(|_| !lapsed);
        if can_start && !stopped {
            let (wall_time, quiet_time) = (options.wall_time, options.quiet_time);
            let limits = AttemptLimits {
                wall_time,
                quiet_time,
            };
            let poll = self.poll_of(&home)?;
            let watchdog = Watchdog::new(limits, (&journal, loaded.next), poll, self.context());
            let worker = StudioWorker::new(self, &ready.live, &ready.leases, options.keep_failed)
                .with_auto_repair(options.auto_repair)
                .with_scratch(options.scratch.clone())
                .with_observer(watchdog.observer());
            let services = Services {
                index: &ready.live,
                resolver: &ready.live,
                leases: &ready.leases,
                journal: &journal,
                worker: &Watched {
                    worker: &worker,
                    watchdog: &watchdog,
                },
            };
            let mut task = NodeTask::new(&state, at, &ready.owner.name);
            let step = watchdog.watch(self.context(), |context| task.run_alone(&services, context))?;
            if let Step::Busy(until) = step {
                again = Some(until);
            }
            fs_err::remove_dir(worker.root(&id)).ok();
            self.context().check()?;
        }
        let state = RunState::from_entries(&journal.load(0)?.entries)?;
        // Who submitted it may be gone.
        self.tell_end_of(&home, &state);
        let status = state.status(at);
        if let NodeStatus::Delayed { until } = status {
            again = Some(until);
        }
        Ok(NodeReport {
            cascade: id,
            node,
            status,
            again,
        })
    }

    /// The first root that no repo has.
    fn unpublished(&self, roots: &[(NodeId, Version)]) -> Result<Option<(NodeId, Version)>> {
        for (node, version) in roots {
            let repo = self.open_repo(self.repo_entry(node.repo.as_str())?)?;
            let releases = repo.releases(&node.package, self.context())?;
            if releases.iter().all(|release| release.version != *version) {
                return Ok(Some((node.clone(), version.clone())));
            }
        }
        Ok(None)
    }
}

/// The report of a cascade that was continued.
fn report_of(cascade: CascadeId, repo: String, state: &RunState, summary: Summary) -> CascadeReport {
    CascadeReport {
        cascade,
        repo,
        plan: state.plan().as_ref().clone(),
        summary: Some(summary),
        dry_run: false,
    }
}

/// Whether nothing of a cascade can be continued.
pub(crate) const fn is_over(ending: Option<Ending>) -> bool {
    matches!(ending, Some(Ending::Done | Ending::Cancelled))
}
