//! The feed of events: whoever writes at once, however late, with whatever clock, and wherever a writer dies, each reader sees each event once, and all the
//! same order.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backlot_core::{Context, Diagnostic as _, FixedClock, Timestamp};

use super::super::ReleaseStore;
use super::memory::{Fault, Line};
use super::{BOTH, Scene};
use crate::feed::{FeedEvent, FeedPosition};
use crate::release::ReleaseFile;
use crate::status_change::StatusChange;
use crate::support::{by, package, version};

/// A clock that is so many milliseconds ahead, or behind.
pub(super) fn clock(skew: i64) -> Context {
    let now = Context::default().now().0.saturating_add_signed(skew);
    Context::default().with_clock(Arc::new(FixedClock(Timestamp(now))))
}

/// When what a dead writer announced is not left to it any more.
pub(super) fn later() -> Context {
    clock(60_000)
}

/// All that a new reader sees, some at a time.
pub(super) fn read(
    repo: &ReleaseStore,
    from: FeedPosition,
    context: &Context,
) -> (Vec<FeedEvent>, FeedPosition) {
    let (mut events, mut next) = (Vec::new(), from);
    loop {
        let feed = repo.feed(next, 3, context).unwrap();
        next = feed.next;
        if let Some((last, _)) = feed.events.last() {
            assert!(*last <= next, "the position after an event");
        }
        events.extend(feed.events.into_iter().map(|(_, event)| event));
        if feed.ended {
            return (events, next);
        }
    }
}

/// What an event says, shortly.
pub(super) fn told(events: &[FeedEvent]) -> Vec<String> {
    let shortly = |event: &FeedEvent| {
        let topic = event.topic.strip_prefix("release.").unwrap();
        format!("{topic} {} {}", event.package, event.version)
    };
    events.iter().map(shortly).collect()
}

pub(super) fn assert_once(events: &[FeedEvent], what: &str) {
    let ids: HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "none comes twice: {what}: {events:#?}");
}

fn chair(repo: &ReleaseStore, number: &str) -> ReleaseFile {
    repo.release(&package("chair"), &version(number), &Context::default())
        .unwrap()
}

#[test]
fn what_happens_to_a_release_is_told_in_order() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        scene.publish(Line::good(), "1.0", "ana").unwrap();
        let repo = scene.repo(Line::good());
        let mut why = by("ben");
        "wrong scale".clone_into(&mut why.reason);
        for verdict in [
            StatusChange::Approve,
            StatusChange::Deprecate,
            StatusChange::Yank,
            StatusChange::Yank,
            StatusChange::Unyank,
        ] {
            let report = repo.set_status(&chair(&repo, "1.0"), verdict, &why, false, &Context::default());
            report.unwrap();
        }
        let (events, end) = read(
            &scene.repo(Line::good()),
            FeedPosition::START,
            &Context::default(),
        );
        let order = ["created", "approved", "deprecated", "yanked", "unyanked"];
        assert_eq!(told(&events), order.map(|topic| format!("{topic} chair 1.0")));
        assert_eq!(events[0].author, "ana");
        assert_eq!(events[0].file.as_deref(), Some("chair-1.0-py3-none-any.whl"));
        assert_eq!(events[0].sha256, chair(&repo, "1.0").sha256);
        assert_eq!(
            (events[3].author.as_str(), events[3].reason.as_str()),
            ("ben", "wrong scale")
        );
        assert_eq!(repo.feed_end().unwrap(), end);
        assert!(scene.world.keys("events/pending/").is_empty());
        assert!(scene.world.keys("staged/").is_empty());
    }
}

#[test]
fn many_writers_at_once_and_a_reader_beside_them() {
    for commit_by in BOTH {
        let (scene, done) = (Scene::new(commit_by), AtomicBool::new(false));
        // Fewer where each has to get past the others.
        let writers: usize = if commit_by == BOTH[0] { 8 } else { 4 };
        let seen = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut all, mut next) = (Vec::new(), FeedPosition::START);
                loop {
                    let last = done.load(Ordering::SeqCst);
                    let (events, position) = read(&scene.repo(Line::good()), next, &later());
                    (all, next) = ([all, events].concat(), position);
                    if last {
                        return all;
                    }
                }
            });
            let writers: Vec<_> = (0..writers)
                .map(|n| {
                    let scene = &scene;
                    scope.spawn(move || {
                        for m in 0..3 {
                            scene.publish(Line::good(), &format!("{n}.{m}"), "ana").unwrap();
                        }
                    })
                })
                .collect();
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::SeqCst);
            reader.join().unwrap()
        });
        assert_eq!(seen.len(), writers * 3, "none is missed");
        assert_once(&seen, "by the reader beside them");
        let (all, _) = read(
            &scene.repo(Line::good()),
            FeedPosition::START,
            &Context::default(),
        );
        assert_eq!(all, seen, "a new reader sees the same order");
    }
}

#[test]
fn where_nothing_happened_a_reader_asks_three_times() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        for n in 0..20 {
            scene.publish(Line::good(), &format!("1.{n}"), "ana").unwrap();
        }
        let line = Line::good();
        let repo = scene.repo(line.clone());
        let end = repo.feed_end().unwrap();
        assert!(line.count() <= 4, "{}", line.count());
        let before = line.count();
        assert!(repo.feed(end, 100, &Context::default()).unwrap().ended);
        assert_eq!(line.count() - before, 3);
    }
}

#[test]
fn a_verdict_whose_writer_dies_is_told_if_it_was_said() {
    for commit_by in BOTH {
        for fault in [Fault::Dead, Fault::AnswerLost, Fault::Refused, Fault::Torn] {
            for n in 0.. {
                let scene = Scene::new(commit_by);
                scene.publish(Line::good(), "1.0", "ana").unwrap();
                let (line, release) = (Line::failing(n, fault), chair(&scene.repo(Line::good()), "1.0"));
                let repo = scene.repo(line.clone());
                repo.set_status(
                    &release,
                    StatusChange::Yank,
                    &by("ben"),
                    false,
                    &Context::default(),
                )
                .ok();
                let reader = scene.repo(Line::good());
                let is_yanked = chair(&reader, "1.0").yanked.is_some();
                let (early, next) = read(&reader, FeedPosition::START, &Context::default());
                let (late, _) = read(&reader, next, &later());
                let events = [early, late].concat();
                let what = format!("{commit_by:?}, {fault:?}, request {n}: {events:#?}");
                assert_once(&events, &what);
                assert_eq!(events.len(), 1 + usize::from(is_yanked), "{what}");
                if !line.has_failed() {
                    assert!(n > 8, "a writer asks more often than {n} times");
                    break;
                }
            }
        }
    }
}

#[test]
fn facts_that_are_carried_twice_are_told_once() {
    let (from, to) = (Scene::new(BOTH[0]), Scene::new(BOTH[0]));
    from.publish(Line::good(), "1.0", "ana").unwrap();
    to.publish(Line::good(), "1.0", "ana").unwrap();
    let repo = from.repo(Line::good());
    let release = chair(&repo, "1.0");
    for verdict in [StatusChange::Approve, StatusChange::Yank] {
        let said = repo.set_status(&release, verdict, &by("ben"), false, &Context::default());
        said.unwrap();
    }
    let facts = from.repo(Line::good()).events_to_import(&release).unwrap();
    for new in [2, 0] {
        let carried = to.repo(Line::good());
        let carried = carried.import_events(&release, &facts, false, &Context::default());
        assert_eq!(carried.unwrap(), new);
    }
    let (events, _) = read(&to.repo(Line::good()), FeedPosition::START, &later());
    assert_eq!(
        told(&events),
        ["created chair 1.0", "approved chair 1.0", "yanked chair 1.0"]
    );
    let position = "1.1".parse().unwrap();
    let (rest, _) = read(&to.repo(Line::good()), position, &Context::default());
    assert_eq!(rest, events[2..], "from the middle of a record");
}

#[test]
fn a_reindex_adds_what_no_record_has_and_closes_gaps() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        for n in 0..4 {
            scene.publish(Line::good(), &format!("1.{n}"), "ana").unwrap();
        }
        let repo = || scene.repo(Line::good());
        let all = read(&repo(), FeedPosition::START, &later()).0;
        let reindexed = |dry_run| repo().reindex(dry_run, &Context::default()).unwrap().events;
        assert_eq!(reindexed(false), 0);
        // As a power cut may leave it.
        scene.world.remove("events/00000002.json");
        let stuck = repo().feed(FeedPosition::START, 10, &later()).unwrap_err();
        assert_eq!(stuck.code(), "repo::events_missing");
        scene.world.put("events/00000003.json", b"{\"format\": 1, \"eve");
        assert_eq!((reindexed(true), reindexed(false), reindexed(false)), (2, 2, 0));
        let (events, _) = read(&repo(), FeedPosition::START, &later());
        assert_once(&events, "after a reindex");
        assert_eq!(events.len(), 4);
        assert_eq!(
            (&events[0], &events[1]),
            (&all[0], &all[3]),
            "what was there is where it was"
        );
        // All of it is gone, as in a copy of the releases alone.
        for key in scene.world.keys("events/") {
            scene.world.remove(&key);
        }
        let beyond = repo().feed(FeedPosition::after(4), 10, &later()).unwrap_err();
        assert_eq!(beyond.code(), "repo::no_such_events");
        assert_eq!(reindexed(false), 4);
        let (again, _) = read(&repo(), FeedPosition::START, &later());
        assert_eq!(told(&again), told(&all), "oldest first");
    }
}

#[test]
fn a_lost_head_costs_time_only() {
    let scene = Scene::new(BOTH[0]);
    scene.publish(Line::good(), "1.0", "ana").unwrap();
    scene.publish(Line::good(), "1.1", "ana").unwrap();
    scene.world.remove("events/head.json");
    assert_eq!(
        scene.repo(Line::good()).feed_end().unwrap(),
        FeedPosition::after(2)
    );
    scene.publish(Line::good(), "1.2", "ana").unwrap();
    // As two writers may leave it that finish at once.
    scene.world.put("events/head.json", b"{\"number\":1}");
    assert_eq!(
        scene.repo(Line::good()).feed_end().unwrap(),
        FeedPosition::after(3)
    );
    scene.publish(Line::good(), "1.3", "ana").unwrap();
    let (events, _) = read(&scene.repo(Line::good()), FeedPosition::START, &later());
    let numbers = ["1.0", "1.1", "1.2", "1.3"];
    assert_eq!(
        told(&events),
        numbers.map(|number| format!("created chair {number}"))
    );
}
