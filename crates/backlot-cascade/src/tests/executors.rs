//! A run whose attempts are made elsewhere, and are lost: with and without a lease, once and for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backlot_core::{Context, Timestamp};

use super::drive::{journal, report, status};
use super::studio::{Life, Studio, node};
use crate::lease::{Acquired, acquire};
use crate::{
    Ended, Ending, Entry, Executor, FailureKind, Journal as _, JournalEvent, Lease, LeaseStore as _, Limits,
    MemoryJournal, NodeEvent, NodeStatus, NodeTask, Plan, Result, RunState, Runner, Services, Step, Stop,
    UnderWay, runner_name,
};

/// How attempts at a node are lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Killed when it holds the lease, so often.
    Leased(u32),
    /// Killed right after it took the lease, before it could say so, so often.
    Unsaid(u32),
    /// Gone before it began, so often.
    NotBegun(u32),
}

/// Makes attempts one after the other, and loses some.
#[derive(Debug)]
struct Farm<'a> {
    services: Services<'a>,
    losses: BTreeMap<String, Loss>,
    under_way: UnderWay,
    /// Processes that will be seen to be gone.
    ended: Vec<String>,
    attempts: u32,
}

impl<'a> Farm<'a> {
    fn new(services: Services<'a>, losses: &[(&str, Loss)]) -> Self {
        let losses = losses.iter().map(|(name, loss)| ((*name).to_owned(), *loss));
        Self {
            services,
            losses: losses.collect(),
            under_way: UnderWay::default(),
            ended: Vec::new(),
            attempts: 0,
        }
    }

    fn attempt(&mut self, state: &RunState, at: usize) -> Result<()> {
        self.attempts += 1;
        let name = format!("x.{}", self.attempts);
        self.under_way.add(name.clone(), at);
        let by = runner_name("farm", self.attempts, Some(&name), Timestamp(1));
        self.ended.push(name);
        let (mut task, context) = (NodeTask::new(state, at, &by), Context::default());
        let package = state.plan().nodes[at].dirty.node.package.to_string();
        match self.losses.get_mut(&package) {
            Some(Loss::Leased(left)) if *left > 0 => {
                *left -= 1;
                while task.lease().is_none() {
                    if let Step::Busy(_) = task.step(&self.services, &context)? {
                        break;
                    }
                }
            }
            Some(Loss::Unsaid(left)) if *left > 0 => {
                *left -= 1;
                let node = &state.plan().nodes[at].dirty.node;
                let taken = acquire(self.services.leases, node, &by, context.now(), 3_600_000)?;
                assert!(matches!(taken, Acquired::Held(_)), "{taken:?}");
            }
            Some(Loss::NotBegun(left)) if *left > 0 => *left -= 1,
            _ => {
                task.run(&self.services, &context)?;
            }
        }
        Ok(())
    }
}

impl Executor for Farm<'_> {
    fn start(&mut self, state: &RunState, nodes: &[usize]) -> Result<()> {
        nodes.iter().try_for_each(|at| self.attempt(state, *at))
    }
    fn under_way(&self) -> BTreeSet<usize> {
        self.under_way.nodes()
    }
    fn wait(&mut self, pause: Duration) -> Result<Vec<Ended>> {
        let ended = self.under_way.take_gone();
        for name in self.ended.drain(..) {
            self.under_way
                .gone(&name, FailureKind::Environment, "it was killed");
        }
        std::thread::sleep(pause.min(Duration::from_millis(1)));
        Ok(ended)
    }
    fn stop(&mut self, _why: Stop) -> Result<()> {
        Ok(())
    }
    fn heard(&mut self, _state: &RunState, entry: &Entry) {
        self.under_way.heard(entry);
    }
}

/// a, b0 to b3 made of it, and c made of those; a is published once more.
fn diamond() -> (Arc<Studio>, Plan) {
    let studio = Studio::new();
    studio.publish("a", "1.0", &[]);
    for number in 0..4 {
        studio.publish(&format!("b{number}"), "1.0", &["a"]);
    }
    studio.publish("c", "1.0", &["b0", "b1", "b2", "b3"]);
    studio.publish("a", "1.1", &[]);
    let limits = Limits {
        backoff_ms: 1,
        // Nobody can wait for one that is not given back.
        lease_ms: 3_600_000,
        ..Limits::default()
    };
    let plan = Plan::new(&report(&studio, &[("a", "1.1")]), limits);
    (studio, plan)
}

fn failures(journal: &MemoryJournal) -> Vec<Entry> {
    let entries = journal.load(0).expect("memory").entries.into_iter();
    let is_failure = |entry: &Entry| {
        let JournalEvent::Node { what, .. } = &entry.event else {
            return false;
        };
        matches!(what, NodeEvent::Failed { .. })
    };
    entries.filter(is_failure).collect()
}

fn run(
    studio: &Arc<Studio>,
    log: &Arc<MemoryJournal>,
    plan: &Plan,
    losses: &[(&str, Loss)],
) -> (crate::Summary, u32) {
    let life = Life::new(studio, log);
    let context = Context::default();
    let event = JournalEvent::planned(plan);
    let (at, by) = (context.now(), "one".to_owned());
    log.append(&Entry { at, by, event }).expect("memory");
    let runner = Runner::new(life.services(), "one 1 since 2").with_poll(Duration::from_millis(1));
    let mut farm = Farm::new(life.services(), losses);
    let summary = runner.resume_with(&mut farm, &context).expect("it runs");
    (summary, farm.attempts)
}

#[test]
fn a_lost_attempt_gives_its_lease_back_and_is_made_again_under_another() {
    let (studio, plan) = diamond();
    let log = journal();
    let (summary, attempts) = run(
        &studio,
        &log,
        &plan,
        &[
            ("b1", Loss::Leased(2)),
            ("b3", Loss::Unsaid(1)),
            ("c", Loss::Leased(1)),
        ],
    );
    assert_eq!(summary.ending, Some(Ending::Done));
    assert_eq!((studio.inner().commits.len(), attempts), (5, 9), "none twice");
    let failures = failures(&log);
    assert_eq!(failures.len(), 4);
    assert!(
        failures
            .iter()
            .all(|entry| entry.by.starts_with("one 1 attempt x.")),
        "{failures:#?}"
    );
    let newest = studio.leases.newest(&node("b1")).expect("memory").expect("one");
    assert_eq!(newest.token, 3);
}

#[test]
fn an_attempt_that_never_begins_is_given_up_in_the_end_and_blocks_what_follows() {
    let (studio, plan) = diamond();
    let log = journal();
    let (summary, _) = run(&studio, &log, &plan, &[("b2", Loss::NotBegun(u32::MAX))]);
    assert_eq!(summary.ending, Some(Ending::Failed));
    let NodeStatus::Failed { failure } = status(&summary, "b2") else {
        panic!("{summary:#?}");
    };
    assert_eq!(failure.kind, FailureKind::Environment);
    assert_eq!(failures(&log).len(), 8, "as often as the environment may fail");
    assert!(matches!(
        status(&summary, "c"),
        NodeStatus::Blocked { failed: true, .. }
    ));
    assert_eq!(studio.inner().commits.len(), 3);
}

#[test]
fn an_attempt_that_found_its_node_taken_is_no_failure() {
    let (studio, plan) = diamond();
    let log = journal();
    let until = Timestamp(Context::default().now().0 + 200);
    let (token, owner) = (1, "another cascade".to_owned());
    let taken = Lease { token, owner, until };
    assert!(studio.leases.create(&node("b0"), &taken).expect("memory"));
    let (summary, attempts) = run(&studio, &log, &plan, &[("b0", Loss::Leased(1))]);
    assert_eq!(summary.ending, Some(Ending::Done));
    assert_eq!(failures(&log), []);
    assert!(attempts > 5 && studio.inner().commits.len() == 5, "{attempts}");
}
