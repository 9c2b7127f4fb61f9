//! Scenarios about running: 7 to 14, 18 and 19.

use std::sync::Arc;

use backlot_core::Timestamp;

use super::drive::{cascade, decision, drive, journal, plan, report, run, settle, state, status};
use super::studio::{Life, Studio, node, version};
use crate::control::{Request, request, supersede};
use crate::{Coalescer, Debounce, Ending, FailureKind, NodeStatus, NodeTask, Step};

/// b built from a, c from b, and other from a.
pub(super) fn studio() -> Arc<Studio> {
    let studio = Studio::new();
    studio.publish("a", "1.0", &[]);
    studio.publish("b", "1.0", &["a"]);
    studio.publish("c", "1.0", &["b"]);
    studio.publish("other", "1.0", &["a"]);
    studio.publish("a", "1.1", &[]);
    studio
}

/// Run the plan for `a` 1.1 with something that happens after each node.
fn run_with(studio: &Arc<Studio>, mut between: impl FnMut(&str)) -> crate::Summary {
    let (journal, plan) = (journal(), plan(studio, &[("a", "1.1")]));
    drive(&Life::new(studio, &journal), &journal, &plan, "one", &mut between).expect("it is not killed")
}

/// An attempt at a node of a plan, up to before its step number `steps`.
fn attempt(life: &Life, state: &crate::RunState, name: &str, owner: &str, steps: usize) -> NodeTask {
    let mut task = NodeTask::new(state, state.find(&node(name)).expect("planned"), owner);
    for _ in 0..steps {
        assert_eq!(
            task.step(&life.services(), &life.studio.context())
                .expect("a journal"),
            Step::More
        );
    }
    task
}

/// Lease, look, prepare, build, compare, validate, push; the next step releases.
const BEFORE_RELEASE: usize = 7;

#[test]
fn scenario_07_a_root_deprecated_on_the_way_stops_what_runs_and_is_no_input_of_what_waits() {
    let studio = studio();
    let (journal, plan) = (journal(), plan(&studio, &[("a", "1.1")]));
    let life = Life::new(&studio, &journal);
    let summary = drive(&life, &journal, &plan, "one", &mut |name| {
        if name == "b" {
            studio.deprecate("a", "1.1");
        }
    });
    // b was done before, other and c after: they resolve to the older release.
    assert_eq!(studio.newest("b"), "1.0.1");
    assert!(matches!(
        status(&summary.expect("alive"), "other"),
        NodeStatus::Unchanged { .. }
    ));
    let repair = report(&studio, &[]);
    assert_eq!(
        decision(&repair, "b"),
        "build",
        "built with a deprecated input: a repair is proposed"
    );
    assert!(
        repair.node(&node("b")).expect("in it").changes[0]
            .withdrawn
            .is_some()
    );
    settle(&studio);
    assert_eq!(
        (studio.newest("b"), studio.input("b", "a")),
        ("1.0.2".into(), "1.0".into())
    );
}

#[test]
fn scenario_07_a_leased_node_stops_before_its_release() {
    let studio = studio();
    let journal = journal();
    let life = Life::new(&studio, &journal);
    let state = crate::RunState::new(Arc::new(plan(&studio, &[("a", "1.1")])));
    let mut task = attempt(&life, &state, "b", "one", BEFORE_RELEASE);
    studio.deprecate("a", "1.1");
    assert_eq!(
        task.step(&life.services(), &studio.context()).expect("a journal"),
        Step::Over
    );
    assert!(studio.inner().commits.is_empty());
    assert!(report(&studio, &[]).is_clean());
}

#[test]
fn scenario_08_no_release_with_a_yanked_input_appears_after_the_yank() {
    let studio = studio();
    let journal = journal();
    let plan = plan(&studio, &[("a", "1.1")]);
    // Into the commit itself: the yank comes after the look at the inputs and before the release.
    let life = Life::new(&studio, &journal);
    let state = crate::RunState::new(Arc::new(plan.clone()));
    let mut task = attempt(&life, &state, "b", "one", BEFORE_RELEASE);
    studio.yank_before_commit("a", "1.1");
    assert_eq!(
        task.step(&life.services(), &studio.context()).expect("a journal"),
        Step::Over
    );
    assert!(studio.inner().commits.is_empty());
    let summary = run(&studio, &plan);
    assert_eq!(summary.ending, Some(Ending::Done));
    assert!(
        studio.inner().commits.is_empty(),
        "what waited resolves to the older release"
    );
    assert!(report(&studio, &[]).is_clean());
}

#[test]
fn scenario_09_a_failure_blocks_what_follows_it_and_nothing_else() {
    let studio = studio();
    studio.fail("b", FailureKind::Invalid, 1);
    let summary = cascade(&studio, &[("a", "1.1")]);
    assert!(matches!(status(&summary, "b"), NodeStatus::Failed { .. }));
    assert_eq!(
        status(&summary, "c"),
        NodeStatus::Blocked {
            by: node("b"),
            failed: true
        }
    );
    assert_eq!(studio.newest("other"), "1.0.1");
    assert_eq!(summary.ending, Some(Ending::Failed));
    assert!(!Ending::Failed.is_success());
    assert_eq!(
        (summary.causes.len(), summary.causes[0].blocks),
        (1, 1),
        "the cause is shown once"
    );
}

#[test]
fn scenario_10_a_partial_run_goes_on_with_what_failed_and_takes_what_was_done_by_hand() {
    let studio = studio();
    studio.fail("b", FailureKind::Invalid, 1);
    let (journal, plan) = (journal(), plan(&studio, &[("a", "1.1")]));
    let life = Life::new(&studio, &journal);
    drive(&life, &journal, &plan, "one", &mut |_| {}).expect("alive");
    let before = studio.inner().commits.len();
    request(
        journal.as_ref(),
        &state(&journal),
        "ann",
        Request::RetryFailed,
        &studio.context(),
    )
    .expect("written");
    studio.publish("b", "1.5", &["a"]);
    let summary = drive(&life, &journal, &plan, "two", &mut |_| {}).expect("alive");
    assert_eq!(summary.ending, Some(Ending::Done));
    assert!(matches!(status(&summary, "b"), NodeStatus::Unchanged { .. }));
    assert_eq!(studio.inner().commits.len(), before + 1, "only c was left");
    assert_eq!(studio.input("c", "b"), "1.5");
}

#[test]
fn scenario_11_two_cascades_that_reach_one_node_never_have_it_at_once() {
    let studio = studio();
    studio.publish("x", "1.0", &[]);
    studio.publish("d", "1.0", &["a", "x"]);
    studio.publish("x", "1.1", &[]);
    let (first, second) = (plan(&studio, &[("a", "1.1")]), plan(&studio, &[("x", "1.1")]));
    let (one, two) = (journal(), journal());
    let (life, other) = (Life::new(&studio, &one), Life::new(&studio, &two));
    let state = crate::RunState::new(Arc::new(first));
    let mut task = attempt(&life, &state, "d", "one", BEFORE_RELEASE);
    let later = crate::RunState::new(Arc::new(second.clone()));
    let mut meets = attempt(&other, &later, "d", "two", 0);
    let busy = meets
        .step(&other.services(), &studio.context())
        .expect("a journal");
    assert!(matches!(busy, Step::Busy(_)), "{busy:?}");
    task.run(&life.services(), &studio.context()).expect("a journal");
    let summary = drive(&other, &two, &second, "two", &mut |_| {}).expect("alive");
    assert_eq!(summary.ending, Some(Ending::Done));
    let inner = studio.inner();
    let of_d: Vec<_> = inner.commits.iter().filter(|(at, _)| *at == node("d")).collect();
    assert_eq!(
        of_d.len(),
        1,
        "the inputs of the second were there when the first looked"
    );
}

#[test]
fn scenario_11_whoever_loses_a_version_resolves_anew_and_takes_the_next() {
    let studio = studio();
    let journal = journal();
    let life = Life::new(&studio, &journal);
    let state = crate::RunState::new(Arc::new(plan(&studio, &[("a", "1.1")])));
    let mut task = attempt(&life, &state, "b", "one", BEFORE_RELEASE);
    studio.publish_as(
        "b",
        "1.0.1",
        &["a"],
        Some(&|release| release.details.get_mut().record = None),
    );
    assert_eq!(
        task.run(&life.services(), &studio.context()).expect("a journal"),
        Step::Over
    );
    assert_eq!(studio.inner().commits, [(node("b"), version("1.0.2"))]);

    let studio = self::studio();
    let life = Life::new(&studio, &journal);
    let mut task = attempt(&life, &state, "b", "one", BEFORE_RELEASE);
    studio.publish("b", "1.0.1", &["a"]);
    assert_eq!(
        task.run(&life.services(), &studio.context()).expect("a journal"),
        Step::Over
    );
    assert!(
        studio.inner().commits.is_empty(),
        "the release of the person is right"
    );
}

#[test]
fn scenario_12_many_publishes_of_one_asset_are_one_cascade_to_the_last() {
    let mut coalescer = Coalescer::new(Debounce::default());
    for number in 1..=20u64 {
        coalescer.offer(
            &node("a"),
            &version(&format!("1.{number}")),
            Timestamp(number * 3_000),
        );
        assert_eq!(coalescer.take_due(Timestamp(number * 3_000)), None);
    }
    assert_eq!(coalescer.due_at(), Some(Timestamp(90_000)));
    let batch = coalescer.take_due(Timestamp(90_000)).expect("due");
    assert_eq!(batch.roots, [(node("a"), version("1.20"))].into());
    assert_eq!(batch.superseded.len(), 19);
    assert!(batch.superseded.iter().all(|(_, _, by)| *by == version("1.20")));
    assert_eq!(coalescer.take_due(Timestamp(999_000)), None);
    // Whoever forgets all this still finds what is dirty.
    let studio = studio();
    studio.publish("a", "1.2", &[]);
    settle(&studio);
    assert_eq!(
        (studio.input("b", "a"), studio.newest("b")),
        ("1.2".into(), "1.0.1".into())
    );
}

#[test]
fn scenario_13_many_assets_with_one_common_user_build_it_once_within_the_longest_wait() {
    let studio = Studio::new();
    let names: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    for name in &names {
        studio.publish(name, "1.0", &[]);
    }
    studio.publish("d", "1.0", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut coalescer = Coalescer::new(Debounce::default());
    let mut due = None;
    for (number, name) in (0u64..).zip(&names) {
        studio.publish(name, "1.1", &[]);
        coalescer.offer(&node(name), &version("1.1"), Timestamp(number * 29_000));
        due = due.or_else(|| coalescer.take_due(Timestamp(number * 29_000)));
    }
    assert_eq!(due, None);
    // A steady stream is cut by the longest wait.
    coalescer.offer(&node("a0"), &version("1.1"), Timestamp(590_000));
    assert_eq!(coalescer.due_at(), Some(Timestamp(600_000)));
    let roots = coalescer.take_due(Timestamp(600_000)).expect("due").roots;
    assert_eq!(roots.len(), 20);
    let roots: Vec<(String, String)> = roots
        .iter()
        .map(|(node, version)| (node.package.to_string(), version.to_string()))
        .collect();
    let roots: Vec<(&str, &str)> = roots
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    cascade(&studio, &roots);
    assert_eq!(studio.inner().commits, [(node("d"), version("1.0.1"))]);
}

#[test]
fn scenario_14_a_root_published_again_reaches_what_waits_runs_and_is_done() {
    let studio = studio();
    run_with(&studio, |name| {
        if name == "b" && studio.newest("a") == "1.1" {
            studio.publish("a", "1.2", &[]);
        }
    });
    // other waited and took the newer one; b was done and is dirty again.
    assert_eq!(
        (studio.input("other", "a"), studio.input("b", "a")),
        ("1.2".into(), "1.1".into())
    );
    assert_eq!(decision(&report(&studio, &[]), "b"), "build");
    settle(&studio);
    assert_eq!(
        (studio.input("b", "a"), studio.newest("b")),
        ("1.2".into(), "1.0.2".into())
    );
    assert_eq!(studio.input("c", "b"), "1.0.2");
}

#[test]
fn scenario_14_a_newer_plan_takes_what_the_older_has_not_begun() {
    let studio = studio();
    let (one, older) = (journal(), plan(&studio, &[("a", "1.1")]));
    let life = Life::new(&studio, &one);
    let context = studio.context();
    drive(&Life::of(&studio, &one, 1), &one, &older, "one", &mut |_| {});
    let mut task = attempt(&life, &state(&one), "b", "one", 3);
    studio.publish("a", "1.2", &[]);
    let newer = plan(&studio, &[("a", "1.2")]);
    let taken = supersede(one.as_ref(), &state(&one), &newer, "planner", &context).expect("written");
    assert_eq!(taken, 2);
    task.run(&life.services(), &context).expect("a journal");
    let summary = drive(&life, &one, &older, "one", &mut |_| {}).expect("alive");
    assert!(matches!(status(&summary, "c"), NodeStatus::Superseded { .. }));
    assert_eq!(summary.ending, Some(Ending::Done));
    run(&studio, &newer);
    assert_eq!(
        (studio.input("b", "a"), studio.input("other", "a")),
        ("1.2".into(), "1.2".into())
    );
    assert!(settle(&studio).is_clean());
}

#[test]
fn scenario_18_killed_after_any_effect_it_ends_as_though_it_was_not() {
    let expected = {
        let studio = studio();
        cascade(&studio, &[("a", "1.1")]);
        studio.inner().catalog.clone()
    };
    let mut survived = false;
    for effects in 1..200 {
        let studio = studio();
        let (journal, plan) = (journal(), plan(&studio, &[("a", "1.1")]));
        let done = drive(
            &Life::of(&studio, &journal, effects),
            &journal,
            &plan,
            "one",
            &mut |_| {},
        );
        survived = done.is_some();
        let summary =
            drive(&Life::new(&studio, &journal), &journal, &plan, "two", &mut |_| {}).expect("alive");
        assert_eq!(summary.ending, Some(Ending::Done), "killed after {effects}");
        let inner = studio.inner();
        assert_eq!(inner.commits.len(), 3, "killed after {effects}");
        assert_eq!(inner.builds.len(), 3, "a complete build is used again");
        assert!(
            inner.catalog.assets().eq(expected.assets()),
            "killed after {effects}"
        );
        if survived {
            break;
        }
    }
    assert!(survived, "all effects were tried");
}

#[test]
fn scenario_18_a_release_that_only_the_journal_knows_is_made() {
    let studio = studio();
    let (one, two) = (journal(), Studio::new());
    let plan = plan(&studio, &[("a", "1.1")]);
    drive(&Life::new(&studio, &one), &one, &plan, "one", &mut |_| {}).expect("alive");
    for (name, text, requirements) in [
        ("a", "1.0", vec![]),
        ("b", "1.0", vec!["a"]),
        ("c", "1.0", vec!["b"]),
        ("other", "1.0", vec!["a"]),
        ("a", "1.1", vec![]),
    ] {
        two.publish(name, text, &requirements);
    }
    drive(&Life::new(&two, &one), &one, &plan, "two", &mut |_| {}).expect("alive");
    assert_eq!(two.inner().commits.len(), 3);
}

#[test]
fn scenario_19_a_worker_that_was_thought_lost_cannot_commit() {
    let studio = studio();
    let (journal, plan) = (journal(), plan(&studio, &[("a", "1.1")]));
    let life = Life::new(&studio, &journal);
    drive(
        &Life::of(&studio, &journal, 1),
        &journal,
        &plan,
        "one",
        &mut |_| {},
    );
    let mut lost = attempt(&life, &state(&journal), "b", "one", BEFORE_RELEASE);
    studio.clock.advance_to(Timestamp(60_000));
    let mut second = attempt(&life, &state(&journal), "b", "two", 3);
    // Past its own look at the lease, into the commit.
    let job = lost.job().expect("it has one");
    let built = crate::Built {
        files: job.key.0,
        build_ms: 0,
        repaired: Vec::new(),
    };
    let committed = life.services().worker.release(&job, &built, &studio.context());
    assert_eq!(committed, Ok(crate::Committed::Fenced));
    assert!(matches!(
        lost.step(&life.services(), &studio.context()).expect("a journal"),
        Step::Busy(_)
    ));
    second
        .run(&life.services(), &studio.context())
        .expect("a journal");
    drive(&life, &journal, &plan, "two", &mut |_| {}).expect("alive");
    assert_eq!(
        studio
            .inner()
            .commits
            .iter()
            .filter(|(at, _)| *at == node("b"))
            .count(),
        1
    );
}
