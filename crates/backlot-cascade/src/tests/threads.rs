//! The runner of this process, with threads and the machine's clock.

use std::sync::Arc;
use std::time::Duration;

use backlot_core::{Cancel, Context};

use super::drive::{journal, report, state};
use super::studio::{Life, Studio, node};
use crate::control::{Request, request};
use crate::{
    Built, Committed, Ending, Failure, FailureKind, FileJournal, Job, Journal as _, LeaseStore as _, Limits,
    NodeStatus, NodeTask, Plan, RunState, Runner, Services, Step, Worker,
};

fn wide() -> Arc<Studio> {
    let studio = Studio::new();
    studio.publish("a", "1.0", &[]);
    for number in 0..12 {
        studio.publish(&format!("b{number}"), "1.0", &["a"]);
    }
    let all: Vec<String> = (0..12).map(|number| format!("b{number}")).collect();
    studio.publish("c", "1.0", &all.iter().map(String::as_str).collect::<Vec<_>>());
    studio.publish("a", "1.1", &[]);
    studio
}

fn quick(studio: &Arc<Studio>) -> Plan {
    let limits = Limits {
        backoff_ms: 1,
        ..Limits::default()
    };
    Plan::new(&report(studio, &[("a", "1.1")]), limits)
}

fn runner<'a>(services: Services<'a>, owner: &str) -> Runner<'a> {
    Runner::new(services, owner).with_poll(Duration::from_millis(5))
}

#[test]
fn threads_do_what_the_plan_says_and_the_journal_is_a_file() {
    let studio = wide();
    studio.fail("b3", FailureKind::Environment, 2);
    let (life, plan) = (Life::new(&studio, &journal()), quick(&studio));
    let folder = tempfile::tempdir().expect("a folder");
    let file = FileJournal::open(&folder.path().join("cascade.jsonl")).expect("a journal");
    let services = Services {
        journal: &file,
        ..life.services()
    };
    let summary = runner(services, "one")
        .run(&plan, &Context::default())
        .expect("it runs");
    assert_eq!(summary.ending, Some(Ending::Done));
    assert_eq!(summary.counts, [("released".to_owned(), 13)].into());
    assert_eq!(
        studio.inner().commits.last().map(|(at, _)| at.clone()),
        Some(node("c"))
    );
    let again = runner(services, "two")
        .resume(&Context::default())
        .expect("it runs");
    assert_eq!((again.counts, studio.inner().commits.len()), (summary.counts, 13));
}

#[test]
fn two_runners_share_one_cascade_by_its_leases() {
    let studio = wide();
    let (log, plan) = (journal(), quick(&studio));
    let life = Life::new(&studio, &log);
    std::thread::scope(|scope| {
        for owner in ["one", "two", "three"] {
            let (life, plan) = (&life, &plan);
            scope.spawn(move || {
                let summary = runner(life.services(), owner).run(plan, &Context::default());
                assert_eq!(summary.expect("it runs").ending, Some(Ending::Done));
            });
        }
    });
    assert_eq!(studio.inner().commits.len(), 13);
    assert_eq!(studio.inner().builds.len(), 13);
}

#[test]
fn a_cancelled_run_releases_nothing_more() {
    let studio = wide();
    let (log, plan) = (journal(), quick(&studio));
    let life = Life::new(&studio, &log);
    let cancel = Cancel::default();
    cancel.cancel();
    let stopped = runner(life.services(), "one").run(&plan, &Context::default().with_cancel(cancel));
    assert!(matches!(stopped, Err(crate::Error::Cancelled(_))));
    request(
        log.as_ref(),
        &state(&log),
        "ann",
        Request::Cancel("wrong".into()),
        &Context::default(),
    )
    .expect("written");
    let summary = runner(life.services(), "two")
        .resume(&Context::default())
        .expect("it runs");
    assert_eq!(
        (summary.ending, summary.counts),
        (Some(Ending::Cancelled), [("cancelled".to_owned(), 13)].into())
    );
    assert!(studio.inner().commits.is_empty());
}

#[test]
fn an_attempt_that_is_asked_to_end_between_two_steps_comes_later_as_if_in_one() {
    let studio = wide();
    let (log, plan) = (journal(), quick(&studio));
    let life = Life::new(&studio, &log);
    let mut state = RunState::new(Arc::new(plan.clone()));
    let at = state.find(&node("b7")).expect("planned");
    let context = Context::default();
    let mut task = NodeTask::new(&state, at, "farm");
    // The lease, and what it is built from.
    for _ in 0..2 {
        assert_eq!(
            task.step(&life.services(), &context).expect("a journal"),
            Step::More
        );
    }
    let asked = context.clone().with_cancel(Cancel::default());
    asked.cancel().cancel();
    assert_eq!(
        task.step(&life.services(), &asked).expect("a journal"),
        Step::Over
    );
    for entry in log.load(0).expect("memory").entries {
        state.apply(&entry).expect("of this cascade");
    }
    assert!(matches!(state.status(at), NodeStatus::Delayed { .. }));
    let lease = studio.leases.newest(&node("b7")).expect("memory");
    assert!(lease.is_some_and(|lease| lease.until <= context.now()));
    assert!(studio.inner().builds.is_empty());
}

/// A worker whose builds end only once the lease was renewed.
#[derive(Debug)]
struct Slow(Life);

impl Worker for Slow {
    fn prepare(&self, job: &Job, context: &Context) -> Result<(), Failure> {
        self.0.prepare(job, context)
    }
    fn build(&self, job: &Job, context: &Context) -> Result<Built, Failure> {
        let until = || {
            self.0
                .studio
                .leases
                .newest(&job.node)
                .expect("memory")
                .map(|lease| lease.until)
        };
        let before = until();
        while until() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.build(job, context)
    }
    fn validate(&self, job: &Job, built: &Built, context: &Context) -> Result<(), Failure> {
        self.0.validate(job, built, context)
    }
    fn push(&self, job: &Job, built: &Built, context: &Context) -> Result<(), Failure> {
        self.0.push(job, built, context)
    }
    fn release(&self, job: &Job, built: &Built, context: &Context) -> Result<Committed, Failure> {
        self.0.release(job, built, context)
    }
    fn discard(&self, job: &Job, keep: bool, context: &Context) {
        self.0.discard(job, keep, context);
    }
}

#[test]
fn leases_are_kept_while_a_build_goes_on() {
    let studio = wide();
    let limits = Limits {
        lease_ms: 60,
        ..Limits::default()
    };
    let plan = Plan::new(&report(&studio, &[("a", "1.1")]), limits);
    let slow = Slow(Life::new(&studio, &journal()));
    let services = Services {
        worker: &slow,
        ..slow.0.services()
    };
    let state = RunState::new(Arc::new(plan.clone()));
    let at = state.find(&node("b7")).expect("planned");
    let alone = NodeTask::new(&state, at, "farm").run_alone(&services, &Context::default());
    assert_eq!(alone.expect("a journal"), Step::Over);
    assert_eq!(studio.newest("b7"), "1.0.1");
    let summary = runner(services, "one")
        .run(&plan, &Context::default())
        .expect("it runs");
    assert_eq!(
        (summary.ending, studio.inner().commits.len()),
        (Some(Ending::Done), 13)
    );
}
