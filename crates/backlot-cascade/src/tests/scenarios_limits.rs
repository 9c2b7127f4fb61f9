//! Scenario 25 and what else bounds a run: limits, attempts, requests of people, late words.

use std::collections::BTreeSet;
use std::sync::Arc;

use backlot_core::Timestamp;

use super::drive::{cascade, drive, journal, plan, report, run, settle, state, status};
use super::scenarios_run::studio;
use super::studio::{Life, Studio, node, version};
use crate::control::{Request, request};
use crate::{
    Ending, Entry, Failure, FailureKind, JournalEvent, Limits, NodeEvent, NodeStatus, Plan, schedule,
};

#[test]
fn scenario_25_limits_hold_and_the_longest_chain_goes_first() {
    let studio = Studio::new();
    studio.publish("a", "1.0", &[]);
    for number in 0..9 {
        let name = format!("sim{number}");
        studio.configure(&name, |settings| {
            settings.resources = [("licence".to_owned(), 2)].into();
        });
        studio.publish(&name, "1.0", &["a"]);
    }
    studio.publish("long1", "1.0", &["a"]);
    studio.publish("long2", "1.0", &["long1"]);
    studio.publish("a", "1.1", &[]);
    let limits = Limits {
        jobs: 6,
        resources: [("licence".to_owned(), 4)].into(),
        ..Limits::default()
    };
    let plan = Plan::new(&report(&studio, &[("a", "1.1")]), limits);
    assert_eq!((plan.critical_path_ms(), plan.cost_ms()), (2_000, 11_000));
    let state = crate::RunState::new(Arc::new(plan.clone()));
    let start = schedule(&state, Timestamp(0), &BTreeSet::new()).start;
    let names: Vec<&str> = start
        .iter()
        .map(|at| plan.nodes[*at].dirty.node.package.as_str())
        .collect();
    assert_eq!(names, ["long1", "sim0", "sim1"]);
    let few = Limits {
        repos: [(node("a").repo, 1)].into(),
        ..plan.limits.clone()
    };
    let few = crate::RunState::new(Arc::new(Plan {
        limits: few,
        ..plan.clone()
    }));
    assert_eq!(
        schedule(&few, Timestamp(0), &BTreeSet::new()).start.len(),
        1,
        "a repo has a limit of its own"
    );
    let in_flight: BTreeSet<usize> = start.into_iter().collect();
    assert!(schedule(&state, Timestamp(0), &in_flight).start.is_empty());
    assert!(run(&studio, &plan).ending.expect("it ended").is_success());
}

#[test]
fn scenario_25_a_key_that_failed_often_is_left_alone_until_it_changes() {
    let studio = studio();
    studio.fail("b", FailureKind::Build, 9);
    let failure = |summary: &crate::Summary| match status(summary, "b") {
        NodeStatus::Failed { failure } => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        failure(&cascade(&studio, &[("a", "1.1")])).kind,
        FailureKind::Build
    );
    assert_eq!(
        studio.inner().behaviours[&node("b").package].fails.len(),
        7,
        "two attempts"
    );
    let again: Failure = failure(&cascade(&studio, &[("a", "1.1")]));
    assert_eq!(again.kind, FailureKind::Exhausted);
    assert_eq!(
        studio.inner().behaviours[&node("b").package].fails.len(),
        7,
        "not one more"
    );
    studio.behave("b", |behaviour| behaviour.fails.clear());
    studio.publish("a", "1.2", &[]);
    settle(&studio);
    assert_eq!(studio.input("b", "a"), "1.2");
}

#[test]
fn scenario_25_many_nodes_ask_first_and_a_first_wave_goes_ahead() {
    let studio = studio();
    let report = report(&studio, &[("a", "1.1")]);
    let capped = Plan::new(
        &report,
        Limits {
            cap: 2,
            ..Limits::default()
        },
    );
    assert!(capped.check_cap().is_err());
    let log = journal();
    let life = Life::new(&studio, &log);
    let summary = drive(&life, &log, &capped, "one", &mut |_| {}).expect("alive");
    assert_eq!(summary.ending, Some(Ending::NeedsConfirmation));
    request(
        log.as_ref(),
        &state(&log),
        "ann",
        Request::Confirm,
        &studio.context(),
    )
    .expect("written");
    let summary = drive(&life, &log, &capped, "one", &mut |_| {}).expect("alive");
    assert_eq!(summary.ending, Some(Ending::Done));

    let studio = self::studio();
    studio.fail("b", FailureKind::Invalid, 1);
    let careful = Plan::new(
        &report,
        Limits {
            canary: 1,
            ..Limits::default()
        },
    );
    assert_eq!(careful.canary.len(), 1, "b: the longest chain follows it");
    let summary = run(&studio, &careful);
    assert_eq!(summary.ending, Some(Ending::Failed));
    assert_eq!(
        status(&summary, "other"),
        NodeStatus::Ready,
        "the first wave failed, the rest stays"
    );
    assert!(studio.inner().commits.is_empty());
}

#[test]
fn pause_skip_and_cancel_are_followed() {
    let studio = studio();
    let (journal, plan) = (journal(), plan(&studio, &[("a", "1.1")]));
    let life = Life::new(&studio, &journal);
    let context = studio.context();
    drive(
        &Life::of(&studio, &journal, 1),
        &journal,
        &plan,
        "one",
        &mut |_| {},
    );
    let ask = |asked: Request| request(journal.as_ref(), &state(&journal), "ann", asked, &context);
    let go = || drive(&life, &journal, &plan, "one", &mut |_| {}).expect("alive");
    ask(Request::Pause("lunch".to_owned())).expect("written");
    assert_eq!(go().ending, Some(Ending::Paused));
    ask(Request::Resume).expect("written");
    ask(Request::Skip(node("b"), "known to be right".to_owned())).expect("written");
    assert!(ask(Request::Retry(node("nobody"))).is_err());
    let summary = go();
    assert_eq!(summary.ending, Some(Ending::Done));
    assert_eq!(studio.inner().commits, [(node("other"), version("1.0.1"))]);
    ask(Request::Cancel("enough".to_owned())).expect("written");
    assert_eq!(go().ending, Some(Ending::Cancelled));
}

#[test]
fn faults_of_the_environment_cost_no_attempt_of_the_build() {
    let studio = studio();
    studio.fail("b", FailureKind::Environment, 5);
    let summary = cascade(&studio, &[("a", "1.1")]);
    assert_eq!(summary.ending, Some(Ending::Done));
    assert_eq!(studio.newest("b"), "1.0.1");
    let studio = self::studio();
    studio.fail("b", FailureKind::Environment, 99);
    assert_eq!(
        cascade(&studio, &[("a", "1.1")]).ending,
        Some(Ending::Failed),
        "it ends all the same"
    );
}

#[test]
fn what_an_overtaken_holder_still_says_is_ignored() {
    let studio = studio();
    let plan = plan(&studio, &[("a", "1.1")]);
    let mut state = crate::RunState::new(Arc::new(plan));
    let b = state.find(&node("b")).expect("planned");
    let mut say = |token: Option<u64>, what: NodeEvent| {
        let event = JournalEvent::Node {
            node: node("b"),
            token,
            what,
        };
        let entry = Entry {
            at: Timestamp(0),
            by: format!("{token:?}"),
            event,
        };
        state.apply(&entry).expect("an entry of ours");
        state.status(b).as_str()
    };
    assert_eq!(say(Some(1), NodeEvent::Leased { until: Timestamp(9) }), "running");
    assert_eq!(say(Some(2), NodeEvent::Leased { until: Timestamp(9) }), "running");
    let late = Failure::new(FailureKind::Invalid, "late");
    let failed = NodeEvent::Failed {
        failure: late,
        key: None,
        retry_at: None,
    };
    assert_eq!(say(Some(1), failed), "running");
    assert_eq!(
        say(
            Some(2),
            NodeEvent::Released {
                version: version("1.0.1")
            }
        ),
        "released"
    );
    assert_eq!(say(None, NodeEvent::Missing), "ready");
}

#[test]
fn a_run_can_be_drawn_while_it_goes_on() {
    let studio = studio();
    studio.fail("b", FailureKind::Invalid, 1);
    let (journal, plan) = (journal(), plan(&studio, &[("a", "1.1")]));
    drive(&Life::new(&studio, &journal), &journal, &plan, "one", &mut |_| {}).expect("alive");
    let text = crate::render::Picture::of_run(&state(&journal)).to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "show/a 1.1: 1 blocked, 1 failed, 1 released",
            "show/a 1.1  root",
            "  show/b 1.0 -> 1.0.1  failed: as the test wants it  (a 1.0 -> 1.1)",
            "    show/c 1.0 -> 1.0.1  blocked by show/b  (b 1.0 -> 1.0.1)",
            "  show/other 1.0 -> 1.0.1  released 1.0.1  (a 1.0 -> 1.1)",
        ]
    );
}
