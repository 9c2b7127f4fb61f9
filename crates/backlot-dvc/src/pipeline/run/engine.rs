//! The order of a run: stages side by side where nothing says otherwise.
//!
//! Invariants: a stage is looked at only when all it needs is done; of those that could be, the first in the order of the
//! selection goes first, so that one at a time gives DVC's order; after a failure nothing new is started (or, if the run is
//! to go on, nothing that needs the failed stage), and what runs is waited for. Deliberately absent: what is done with a
//! stage ([`super::stage`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use backlot_core::lock::LockError;
use backlot_core::{Context, EventKind, FileLock, Operation, file};

use super::super::{Graph, PipelineError, Reach};
use super::aside::{self, Hold, Recovered};
use super::executor::Executor;
use super::options::RunOptions;
use super::plan::{Planned, PlannedStage, plan_of};
use super::project::{Locks, Project, makers};
use super::report::{Outcome, Report, StageReport};
use super::stage::{Known, Maker, Settings};
use super::world::World;
use crate::error::{Error, Result};

/// The lock of a project while stages run, and the repairs after interrupted runs.
fn hold(project: &Project<'_>, patience: Duration, context: &Context) -> Result<(FileLock, Vec<Recovered>)> {
    let held = FileLock::acquire(&project.lock_file(), patience, context)?;
    let recovered = aside::recover(project, true, &|_| Ok(Hold::Free(None)), context)?;
    tell(&recovered, context);
    Ok((held, recovered))
}

fn tell(recovered: &[Recovered], context: &Context) {
    for stage in recovered.iter().filter(|stage| stage.put_back) {
        let message = format!(
            "a run of `{}` was interrupted; its previous outputs were restored",
            stage.stage
        );
        context.warn("pipeline::recovered", message);
    }
}

/// Put outputs of interrupted runs back, as each run does first. Waits for runs that are active.
pub fn recover(project: &Project<'_>, context: &Context) -> Result<Vec<Recovered>> {
    let (_held, recovered) = hold(project, RunOptions::default().patience, context)?;
    Ok(recovered)
}

/// Reproduce stages. Failures of stages are in the report; see [`Report::check`].
pub fn reproduce(
    project: &Project<'_>,
    options: &RunOptions,
    executor: &dyn Executor,
    context: &Context,
) -> Result<Report> {
    if options.dry {
        return dry(project, options, context);
    }
    let (_held, recovered) = hold(project, options.patience, context)?;
    let graph = project.graph(context)?;
    let order = graph.select(&options.selection())?;
    let mut stages = run(project, &graph, &order, options, executor, context)?;
    let stages = order
        .iter()
        .enumerate()
        .filter(|(_, node)| graph.stage(**node).is_some())
        .map(|(at, node)| {
            let report = stages.remove(&at);
            report.unwrap_or_else(|| StageReport::named(graph.name(*node), Outcome::NotStarted))
        });
    Ok(Report {
        stages: stages.collect(),
        recovered,
    })
}

/// Reproduce one stage, whatever the state of those above it: for a scheduler that runs a plan itself. Several
/// stages of a project may be made so at a time, in processes of their own; a [`reproduce`] waits for them.
pub fn run_stage(
    project: &Project<'_>,
    name: &str,
    options: &RunOptions,
    executor: &dyn Executor,
    context: &Context,
) -> Result<StageReport> {
    let options = options
        .clone()
        .targets(vec![name.to_owned()])
        .reach(Reach::Only)
        .recursive(false)
        .glob(false);
    let lock = project.lock_file();
    file::create(&lock, b"")?;
    let _shared = FileLock::acquire_shared(&lock, options.patience, context)?;
    let graph = project.graph(context)?;
    let order = graph.select(&options.selection())?;
    let stage = match order.as_slice() {
        [node] => graph.stage(*node),
        _ => None,
    };
    let stage = stage.ok_or_else(|| PipelineError::UnknownTarget {
        target: name.to_owned(),
        file: None,
        nearest: None,
    })?;
    let own = stage.address();
    let _held = FileLock::acquire(&project.lock_file_of(&own), options.patience, context)?;
    let hold = |address: &str| {
        if address == own {
            return Ok(Hold::Free(None));
        }
        match FileLock::acquire(&project.lock_file_of(address), Duration::ZERO, context) {
            Ok(held) => Ok(Hold::Free(Some(held))),
            Err(LockError::Busy { .. }) => Ok(Hold::Busy),
            Err(error) => Err(error.into()),
        }
    };
    tell(&aside::recover(project, false, &hold, context)?, context);
    if options.dry {
        let plan = plan_of(project, &graph, &order, &options, context)?;
        let planned = plan.stages.into_iter().map(of_plan).next();
        return Ok(planned.unwrap_or_else(|| StageReport::named(own, Outcome::NotStarted)));
    }
    let mut reports = run(project, &graph, &order, &options, executor, context)?;
    let report = reports.remove(&0);
    Ok(report.unwrap_or_else(|| StageReport::named(own, Outcome::NotStarted)))
}

fn dry(project: &Project<'_>, options: &RunOptions, context: &Context) -> Result<Report> {
    let graph = project.graph(context)?;
    let order = graph.select(&options.selection())?;
    let plan = plan_of(project, &graph, &order, options, context)?;
    Ok(Report {
        stages: plan.stages.into_iter().map(of_plan).collect(),
        recovered: Vec::new(),
    })
}

/// A planned stage as a dry run reports it.
fn of_plan(planned: PlannedStage) -> StageReport {
    let outcome = match planned.action {
        Planned::Run => Outcome::WouldRun,
        Planned::MayRun => Outcome::MayRun,
        Planned::Restore => Outcome::WouldRestore,
        Planned::Record => Outcome::WouldRecord,
        Planned::Skip => Outcome::Skipped,
        Planned::Fail => Outcome::WouldFail,
        Planned::Drop => Outcome::Dropped,
    };
    StageReport {
        why: planned.why,
        changes: planned.changes,
        ..StageReport::named(planned.stage, outcome)
    }
}

/// Run nodes in their order; reports by their places in it.
fn run(
    project: &Project<'_>,
    graph: &Graph,
    order: &[usize],
    options: &RunOptions,
    executor: &dyn Executor,
    context: &Context,
) -> Result<BTreeMap<usize, StageReport>> {
    let world = World::new(project, context);
    let stages = order.iter().filter_map(|node| graph.stage(*node));
    let locks = Locks::load(project, context, graph.pipelines().stages.iter())?.in_order_of(stages);
    let known = Known::new(graph, options);
    let makers = makers(graph);
    let maker = Maker {
        graph,
        options,
        executor,
        locks: &locks,
        world: &world,
        known: &known,
        makers: &makers,
    };
    let mut schedule = Schedule::new(graph, order, options)?;
    let count = order.iter().filter(|node| graph.stage(**node).is_some()).count();
    let running = context.start(Operation::Reproduce, count as u64, 0);
    let (sender, receiver) = channel();
    let mut failure = None;
    std::thread::scope(|scope| {
        loop {
            while failure.is_none() && !context.cancel().is_cancelled() {
                let Some((at, force)) = schedule.next() else { break };
                let (maker, sender): (&Maker<'_>, Sender<_>) = (&maker, sender.clone());
                let stage = graph.stage(order[at]);
                scope.spawn(move || {
                    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        stage.map(|stage| maker.make(stage, force)).transpose()
                    }));
                    // The other end waits for all that were started.
                    sender.send((at, made)).ok();
                });
            }
            if schedule.is_idle() {
                break;
            }
            let Ok((at, made)) = receiver.recv() else { break };
            running.advance(1, 0);
            match made {
                Err(panic) => {
                    schedule.ended(at, None);
                    failure = Some(Err(panic));
                }
                Ok(Err(error)) => {
                    schedule.ended(at, None);
                    failure.get_or_insert(Ok(error));
                }
                Ok(Ok(report)) => {
                    if let Some(report) = &report {
                        context.emit(EventKind::StageEnded {
                            stage: report.stage.clone(),
                            outcome: report.outcome.as_str(),
                        });
                    }
                    schedule.ended(at, report);
                }
            }
        }
    });
    match failure {
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        Some(Ok(error)) => Err(error),
        None => {
            context.check()?;
            Ok(schedule.reports)
        }
    }
}

/// What can be started, what waits, and what came of the others. Positions are those of the order.
struct Schedule<'a> {
    graph: &'a Graph,
    options: &'a RunOptions,
    /// The nodes of the positions.
    order: &'a [usize],
    /// How many others each waits for.
    waits: Vec<usize>,
    /// Those that wait for each.
    waiting: Vec<Vec<usize>>,
    /// Those that each needs by the graph.
    needs: Vec<Vec<usize>>,
    groups: Vec<Vec<String>>,
    ready: BTreeSet<usize>,
    running: usize,
    /// How many of each group run.
    taken: BTreeMap<String, usize>,
    /// Those that ran or were restored.
    made: BTreeSet<usize>,
    /// Those that failed, or need one that did.
    broken: BTreeSet<usize>,
    stopped: bool,
    reports: BTreeMap<usize, StageReport>,
}

impl<'a> Schedule<'a> {
    fn new(graph: &'a Graph, order: &'a [usize], options: &'a RunOptions) -> Result<Self> {
        let positions: BTreeMap<usize, usize> = order.iter().enumerate().map(|(at, n)| (*n, at)).collect();
        let count = order.len();
        let mut schedule = Self {
            graph,
            options,
            order,
            waits: vec![0; count],
            waiting: vec![Vec::new(); count],
            needs: Vec::with_capacity(count),
            groups: Vec::with_capacity(count),
            ready: BTreeSet::new(),
            running: 0,
            taken: BTreeMap::new(),
            made: BTreeSet::new(),
            broken: BTreeSet::new(),
            stopped: false,
            reports: BTreeMap::new(),
        };
        for (at, node) in order.iter().enumerate() {
            let above = graph.needs(*node).iter();
            let mut needs: Vec<usize> = above.filter_map(|need| positions.get(need).copied()).collect();
            let mut after = needs.clone();
            if graph.is_frozen(*node) {
                // It needs none of them, but what it reads is not to be replaced while it is recorded.
                after.retain(|other| *other < at);
                needs.clear();
            }
            // Single stages are made in the order in which they were named.
            if options.reach == Reach::Only {
                after = at.checked_sub(1).into_iter().collect();
            }
            schedule.waits[at] = after.len();
            for other in after {
                schedule.waiting[other].push(at);
            }
            if schedule.waits[at] == 0 {
                schedule.ready.insert(at);
            }
            schedule.needs.push(needs);
            let settings = graph.stage(*node).map(Settings::of).transpose()?;
            schedule.groups.push(settings.unwrap_or_default().mutex);
        }
        Ok(schedule)
    }

    fn is_idle(&self) -> bool {
        self.running == 0
    }

    fn is_free(&self, group: &String) -> bool {
        let capacity = self.options.capacities.get(group).copied().unwrap_or(1).max(1);
        self.taken.get(group).copied().unwrap_or(0) < capacity
    }

    /// The next to be started, and whether it is forced to run.
    fn next(&mut self) -> Option<(usize, bool)> {
        loop {
            if self.stopped || self.running >= self.options.jobs.max(1) {
                return None;
            }
            let at = *self
                .ready
                .iter()
                .find(|at| self.groups[**at].iter().all(|g| self.is_free(g)))?;
            self.ready.remove(&at);
            let node = self.order[at];
            if self.graph.stage(node).is_none() {
                // A pointer: its files are not changed.
                self.done(at);
                continue;
            }
            if self.needs[at].iter().any(|need| self.broken.contains(need)) {
                self.broken.insert(at);
                let report = StageReport::named(self.graph.name(node), Outcome::Dropped);
                self.reports.insert(at, report);
                self.done(at);
                continue;
            }
            for group in &self.groups[at] {
                *self.taken.entry(group.clone()).or_default() += 1;
            }
            self.running += 1;
            let below = || self.needs[at].iter().any(|need| self.made.contains(need));
            let force = self.options.force || (self.options.force_downstream && below());
            return Some((at, force));
        }
    }

    fn done(&mut self, at: usize) {
        for other in std::mem::take(&mut self.waiting[at]) {
            self.waits[other] -= 1;
            if self.waits[other] == 0 {
                self.ready.insert(other);
            }
        }
    }

    /// One that was started has ended; without a report, all is to stop.
    fn ended(&mut self, at: usize, report: Option<StageReport>) {
        self.running -= 1;
        for group in &self.groups[at] {
            if let Some(taken) = self.taken.get_mut(group) {
                *taken -= 1;
            }
        }
        let Some(report) = report else {
            self.stopped = true;
            return;
        };
        match report.outcome {
            Outcome::Ran | Outcome::Restored => drop(self.made.insert(at)),
            Outcome::Failed if self.options.ignore_errors => drop(self.made.insert(at)),
            Outcome::Failed => {
                self.broken.insert(at);
                self.stopped |= !self.options.keep_going;
            }
            _ => {}
        }
        self.reports.insert(at, report);
        self.done(at);
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::File(error) => Self::File(error),
            LockError::Cancelled(cancelled) => Self::Cancelled(cancelled),
            busy => Self::Busy(busy),
        }
    }
}
