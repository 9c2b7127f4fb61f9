//! Events of labels and of cascades in the feed: each exactly once, with writers that are killed and writers that race.

use backlot_core::{Context, Timestamp};

use super::super::ReleaseStore;
use super::feed::{assert_once, later, read};
use super::memory::{Fault, Line};
use super::{BOTH, Scene};
use crate::error::Result;
use crate::feed::{FeedEvent, FeedPosition};
use crate::support::{by, package, version};

const FAULTS: [Fault; 4] = [Fault::Dead, Fault::AnswerLost, Fault::Refused, Fault::Torn];

/// Move the label `hero` of `chair`, or remove it.
fn move_hero(repo: &ReleaseStore, to: Option<&str>) -> Result<()> {
    let (chair, to) = (package("chair"), to.map(version));
    repo.move_label(
        (&chair, "hero"),
        to.as_ref(),
        &by("ben"),
        false,
        &Context::default(),
    )
    .map(drop)
}

/// That the cascade `c0ffee` began, as a runner says it.
fn begun(by: &str) -> FeedEvent {
    let about = (&package("chair"), &version("1.0"));
    FeedEvent {
        cascade: Some("c0ffee".to_owned()),
        author: by.to_owned(),
        counts: [("build".to_owned(), 2)].into(),
        ..FeedEvent::new(
            "c0ffee-started".to_owned(),
            "cascade.started",
            about,
            Timestamp(1),
        )
    }
}

/// All that a new reader sees, also of writers that died.
fn all(scene: &Scene) -> Vec<FeedEvent> {
    let reader = scene.repo(Line::good());
    let (early, next) = read(&reader, FeedPosition::START, &Context::default());
    let (late, _) = read(&reader, next, &later());
    [early, late].concat()
}

fn topics(events: &[FeedEvent]) -> Vec<String> {
    let from = |event: &FeedEvent| {
        event
            .from
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string)
    };
    let shortly = |event: &FeedEvent| format!("{} {} {}", event.topic, from(event), event.version);
    events.iter().map(shortly).collect()
}

#[test]
fn moves_of_a_label_are_told_in_order_with_where_it_was() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        scene.publish(Line::good(), "1.0", "ana").unwrap();
        scene.publish(Line::good(), "2.0", "ana").unwrap();
        let repo = scene.repo(Line::good());
        for to in [Some("1.0"), Some("2.0"), Some("2.0"), Some("1.0"), None, None] {
            move_hero(&repo, to).unwrap();
        }
        let events = all(&scene);
        let moves = [
            "label.moved - 1.0",
            "label.moved 1.0 2.0",
            "label.moved 2.0 1.0",
            "label.removed 1.0 1.0",
        ];
        assert_eq!(topics(&events[2..]), moves);
        assert_eq!(
            (events[2].label.as_deref(), events[2].author.as_str()),
            (Some("hero"), "ben")
        );
        assert!(scene.world.keys("events/pending/").is_empty());
        // Without its feed, the same events come from the moves.
        for key in scene.world.keys("events/") {
            scene.world.remove(&key);
        }
        let added = repo.reindex(false, &Context::default()).unwrap().events;
        assert_eq!(added, 6);
        let mut again = all(&scene);
        again.retain(|event| event.label.is_some());
        assert_eq!(again, events[2..]);
        assert_eq!(repo.reindex(false, &Context::default()).unwrap().events, 0);
    }
}

/// What a writer does that dies, and how many events of it there are if it had its effect.
fn is_told_if_it_happened(what: fn(&ReleaseStore) -> Result<()>, happened: fn(&ReleaseStore) -> bool) {
    for commit_by in BOTH {
        for fault in FAULTS {
            for n in 0.. {
                let scene = Scene::new(commit_by);
                scene.publish(Line::good(), "1.0", "ana").unwrap();
                let line = Line::failing(n, fault);
                what(&scene.repo(line.clone())).ok();
                let happened = happened(&scene.repo(Line::good()));
                let events = all(&scene);
                let case = format!("{commit_by:?}, {fault:?}, request {n}: {events:#?}");
                assert_once(&events, &case);
                assert_eq!(events.len(), 1 + usize::from(happened), "{case}");
                if !line.has_failed() {
                    assert!(happened && n > 5, "a writer asks more often than {n} times");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_label_whose_writer_dies_is_told_if_it_moved() {
    is_told_if_it_happened(
        |repo| move_hero(repo, Some("1.0")),
        |repo| repo.labels(&package("chair")).unwrap().contains_key("hero"),
    );
}

#[test]
fn an_event_of_a_cascade_whose_writer_dies_is_told_if_it_is_recorded() {
    is_told_if_it_happened(
        |repo| repo.record_event(&begun("ana"), &Context::default()).map(drop),
        |repo| repo.read_record("events/c0ffee-started.json").unwrap().is_some(),
    );
}

#[test]
fn an_event_of_a_cascade_that_many_know_of_is_told_once_in_the_words_of_the_first() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        scene.publish(Line::good(), "1.0", "ana").unwrap();
        let recorded = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|n| {
                    let repo = scene.repo(Line::good());
                    scope
                        .spawn(move || repo.record_event(&begun(&format!("writer {n}")), &Context::default()))
                })
                .collect();
            let recorded = writers.into_iter().map(|writer| writer.join().unwrap().unwrap());
            recorded.filter(|recorded| *recorded).count()
        });
        // Where a store commits by moving, two may believe that they were first.
        assert!(recorded >= 1, "{commit_by:?}");
        // And one was killed between announcing and recording, while another was faster.
        let late = serde_json::json!({ "format": 1, "mark": 0, "events": [begun("late")] });
        let pending = "events/pending/01jd0000000000000000000000.json";
        scene.world.put(pending, late.to_string().as_bytes());
        let events = all(&scene);
        assert_once(&events, "of a cascade");
        assert_eq!(events.len(), 2, "{events:#?}");
        assert_eq!(events[1].counts["build"], 2);
        assert!(scene.world.keys("events/pending/").is_empty(), "{commit_by:?}");
        // Its record outlives the feed.
        for key in scene.world.keys("events/") {
            scene.world.remove(&key);
        }
        let reindexed = scene.repo(Line::good()).reindex(false, &Context::default());
        assert_eq!(reindexed.unwrap().events, 2);
        let again = all(&scene);
        assert_eq!(
            again.iter().find(|event| event.cascade.is_some()),
            Some(&events[1])
        );
    }
}

#[test]
fn events_of_unknown_topics_are_passed_on_and_leave_no_others_out() {
    let scene = Scene::new(BOTH[0]);
    scene.publish(Line::good(), "1.0", "ana").unwrap();
    // As a later Backlot may write it, with keys and a topic that this one does not know.
    let other = r#"{"id": "x1", "topic": "review.opened", "package": "chair", "version": "1.0", "author": "ben", "reason": "manual",
        "machine": "ws1", "at": 1, "time": "1970-01-01T00:00:00.001Z", "notes": ["scale"]}"#;
    let record = format!("{{\"format\": 1, \"events\": [{other}]}}");
    scene.world.put("events/00000002.json", record.as_bytes());
    let pending = format!("{{\"format\": 1, \"mark\": 0, \"events\": [{other}]}}");
    scene.world.put(
        "events/pending/01jd0000000000000000000000.json",
        pending.as_bytes(),
    );
    // A path is no name of a record.
    let sly = other
        .replace("x1", "../../packages/x")
        .replace("review.opened", "cascade.started");
    let pending = format!("{{\"format\": 1, \"mark\": 0, \"events\": [{sly}]}}");
    scene.world.put(
        "events/pending/01jd0000000000000000000001.json",
        pending.as_bytes(),
    );
    scene.publish(Line::good(), "1.1", "ana").unwrap();
    move_hero(&scene.repo(Line::good()), Some("1.0")).unwrap();
    let expected = [
        "release.created - 1.0",
        "review.opened - 1.0",
        "release.created - 1.1",
        "label.moved - 1.0",
    ];
    assert_eq!(topics(&all(&scene)), expected);
    assert_eq!(
        scene
            .repo(Line::good())
            .reindex(false, &Context::default())
            .unwrap()
            .events,
        0
    );
}

/// An event as Backlot read it before there were topics of labels and cascades.
#[derive(serde::Deserialize)]
struct OldEvent {
    topic: String,
    #[serde(rename = "package")]
    _package: backlot_pep::PackageName,
    #[serde(rename = "version")]
    _version: backlot_pep::Version,
}

#[test]
fn what_is_written_now_is_read_by_earlier_versions() {
    #[derive(serde::Deserialize)]
    struct OldRecord {
        events: Vec<OldEvent>,
    }
    let scene = Scene::new(BOTH[0]);
    scene.publish(Line::good(), "1.0", "ana").unwrap();
    let repo = scene.repo(Line::good());
    move_hero(&repo, Some("1.0")).unwrap();
    move_hero(&repo, None).unwrap();
    repo.record_event(&begun("ana"), &Context::default()).unwrap();
    let mut read = Vec::new();
    for number in 1..=4 {
        let bytes = scene.world.get(&format!("events/{number:08}.json")).unwrap();
        let record: OldRecord = serde_json::from_slice(&bytes).unwrap();
        read.extend(record.events.into_iter().map(|event| event.topic));
    }
    assert_eq!(
        read,
        [
            "release.created",
            "label.moved",
            "label.removed",
            "cascade.started"
        ]
    );
}
