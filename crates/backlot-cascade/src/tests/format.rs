//! The journal's format on disk (`docs/format/cascade-journal.md`).
//!
//! Invariant: the golden file was written by the first version that wrote journals, is never written anew, and is read for
//! ever. Deliberately absent: a way to make it again.

use fs_err as fs;

use crate::{Decision, Error, FileJournal, Journal as _, JournalEvent, RunState};

const GOLDEN: &str = include_str!("../../../../fixtures/format/v1/cascade-journal.jsonl");

#[test]
fn a_journal_of_format_1_is_read_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cascade-journal.jsonl");
    fs::write(&path, GOLDEN).expect("written");
    let loaded = FileJournal::open(&path)
        .expect("a journal")
        .load(0)
        .expect("readable");
    assert_eq!(
        (loaded.entries.len(), loaded.unreadable),
        (GOLDEN.lines().count(), 0)
    );
    let state = RunState::from_entries(&loaded.entries).expect("a plan");
    assert!(
        state
            .plan()
            .nodes
            .iter()
            .any(|planned| planned.dirty.decision == Decision::Manual)
    );
    let counts = state.summary(None).counts;
    let expected = [
        ("blocked", 2),
        ("failed", 1),
        ("manual", 1),
        ("released", 1),
        ("skipped", 1),
        ("unchanged", 1),
    ];
    assert_eq!(
        counts,
        expected.map(|(status, count)| (status.to_owned(), count)).into()
    );
    // What is written today is what was written then.
    let again: Vec<String> = loaded
        .entries
        .iter()
        .map(|entry| serde_json::to_string(entry).expect("JSON"))
        .collect();
    assert_eq!(again, GOLDEN.lines().collect::<Vec<_>>());
}

#[test]
fn a_journal_of_a_later_format_and_one_of_another_plan_are_refused() {
    let lines: Vec<crate::Entry> = GOLDEN
        .lines()
        .map(|line| serde_json::from_str(line).expect("an entry"))
        .collect();
    let mut later = lines.clone();
    if let JournalEvent::Planned { format, .. } = &mut later[0].event {
        *format = 2;
    }
    assert!(matches!(
        RunState::from_entries(&later),
        Err(Error::UnknownFormat { found: 2, known: 1 })
    ));
    assert!(matches!(RunState::from_entries(&lines[1..]), Err(Error::NoPlan)));
    let mut mixed = lines.clone();
    mixed.push(lines[0].clone());
    if let JournalEvent::Planned { plan, .. } = &mut mixed[16].event {
        plan.id = crate::CascadeId("another".to_owned());
    }
    assert!(matches!(
        RunState::from_entries(&mixed),
        Err(Error::OtherJournal { .. })
    ));
}
