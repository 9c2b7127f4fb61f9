//! Every request of a publisher fails once, in every way: the repo stays whole, and whoever comes next completes it.

use super::memory::{Fault, Line};
use super::{BOTH, Scene, is_conflict};

/// Let the nth request of a publisher of `chair 1.1` fail, for every n. Returns how many there are.
fn every_request(fault: Fault, then: impl Fn(&Scene, &crate::Result<()>, &str)) {
    for commit_by in BOTH {
        for n in 0.. {
            let scene = Scene::new(commit_by);
            scene.publish(Line::good(), "1.0", "ana").unwrap();
            let line = Line::failing(n, fault);
            let outcome = scene.publish(line.clone(), "1.1", "ben");
            then(
                &scene,
                &outcome,
                &format!("{commit_by:?}, request {n}: {outcome:?}"),
            );
            if !line.has_failed() {
                assert!(n > 15, "a publisher asks more often than {n} times");
                break;
            }
        }
    }
}

#[test]
fn a_request_that_fails_once_leaves_a_whole_repo_that_a_rerun_completes() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Torn] {
        every_request(fault, |scene, outcome, what| {
            let versions = scene.assert_whole(false);
            if outcome.is_ok() {
                assert_eq!(versions, ["1.0", "1.1"], "{fault:?}, {what}");
            }
            assert!(!is_conflict(outcome), "nobody else was there: {fault:?}, {what}");
            scene.assert_told(what);
            let again = scene.publish(Line::good(), "1.1", "ben");
            assert!(
                again.is_ok() || is_conflict(&again),
                "{fault:?}, {what}, then {again:?}"
            );
            assert_eq!(scene.assert_whole(true), ["1.0", "1.1"], "{fault:?}, {what}");
            scene.assert_told(what);
        });
    }
}

#[test]
fn what_a_dead_publisher_leaves_stops_nobody_and_is_completed() {
    every_request(Fault::Dead, |scene, _, what| {
        let before = scene.assert_whole(false);
        scene.assert_told(what);
        let next = scene.publish(Line::good(), "1.1", "eve");
        let was_committed = before.len() == 2;
        assert_eq!(is_conflict(&next), was_committed, "{what}, then {next:?}");
        assert_eq!(next.is_ok(), !was_committed, "{what}, then {next:?}");
        assert_eq!(scene.assert_whole(true), ["1.0", "1.1"], "{what}");
        assert!(scene.world.keys("staged/chair/").is_empty(), "{what}");
        scene.assert_told(what);
    });
}
