//! Runs cascades of a studio on one thread, with its clock.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::studio::{Life, Studio, node, version};
use crate::{
    DirtyReport, Ending, Entry, Journal as _, JournalEvent, Limits, MemoryJournal, NodeStatus, NodeTask,
    Plan, Root, RunState, Step, Summary, dirty, reconcile, schedule,
};

pub(super) fn journal() -> Arc<MemoryJournal> {
    Arc::default()
}

pub(super) fn report(studio: &Arc<Studio>, roots: &[(&str, &str)]) -> DirtyReport {
    let roots: Vec<Root> = roots
        .iter()
        .map(|(name, text)| Root::Published {
            node: node(name),
            version: version(text),
        })
        .collect();
    let life = Life::new(studio, &journal());
    let catalog = studio.inner().catalog.clone();
    dirty::report(&catalog, &life, &roots, &studio.context()).expect("a report")
}

pub(super) fn plan(studio: &Arc<Studio>, roots: &[(&str, &str)]) -> Plan {
    Plan::new(&report(studio, roots), Limits::default())
}

pub(super) fn state(journal: &Arc<MemoryJournal>) -> RunState {
    RunState::from_entries(&journal.load(0).expect("memory").entries).expect("a plan")
}

/// A life that goes on with a cascade; `None` if it was killed. Between nodes, `between` may do what others do.
pub(super) fn drive(
    life: &Life,
    journal: &Arc<MemoryJournal>,
    plan: &Plan,
    owner: &str,
    between: &mut dyn FnMut(&str),
) -> Option<Summary> {
    let context = life.studio.context();
    if journal.load(0).ok()?.entries.is_empty() {
        let event = JournalEvent::planned(plan);
        let entry = Entry {
            at: context.now(),
            by: owner.to_owned(),
            event,
        };
        life.services().journal.append(&entry).ok()?;
    }
    reconcile(&life.services(), &state(journal), owner, &context).ok()?;
    let mut state = state(journal);
    let mut next = journal.load(0).ok()?.next;
    loop {
        let scheduled = schedule(&state, context.now(), &BTreeSet::new());
        if let Some(ending) = scheduled.ending {
            if ending == Ending::Waiting && reconcile(&life.services(), &state, owner, &context).ok()? > 0 {
                next = refresh(journal, &mut state, next);
                continue;
            }
            return Some(state.summary(Some(ending)));
        }
        if scheduled.start.is_empty() {
            life.studio
                .clock
                .advance_to(scheduled.wake.expect("something to wait for"));
        }
        for at in scheduled.start {
            let step = NodeTask::new(&state, at, owner)
                .run(&life.services(), &context)
                .ok()?;
            if let Step::Busy(until) = step {
                state.delay(at, until);
            }
            between(plan.nodes[at].dirty.node.package.as_str());
        }
        next = refresh(journal, &mut state, next);
    }
}

fn refresh(journal: &MemoryJournal, state: &mut RunState, from: u64) -> u64 {
    let loaded = journal.load(from).expect("memory");
    for entry in &loaded.entries {
        state.apply(entry).expect("an entry of ours");
    }
    loaded.next
}

/// Plan for roots and run it.
pub(super) fn cascade(studio: &Arc<Studio>, roots: &[(&str, &str)]) -> Summary {
    run(studio, &plan(studio, roots))
}

pub(super) fn run(studio: &Arc<Studio>, plan: &Plan) -> Summary {
    let journal = journal();
    drive(&Life::new(studio, &journal), &journal, plan, "one", &mut |_| {}).expect("it is not killed")
}

/// Plan and run for everything, until there is nothing to do or nothing changes.
pub(super) fn settle(studio: &Arc<Studio>) -> DirtyReport {
    settle_with_summary(studio).0
}

/// The same, with how the last cascade ended.
pub(super) fn settle_with_summary(studio: &Arc<Studio>) -> (DirtyReport, Summary) {
    for _ in 0..50 {
        let report = report(studio, &[]);
        let before = studio.inner().catalog.cursors().clone();
        let summary = run(
            studio,
            &Plan::new(
                &report,
                Limits {
                    cap: usize::MAX,
                    ..Limits::default()
                },
            ),
        );
        let is_quiet = studio.inner().catalog.cursors() == &before;
        if report.is_clean() || (is_quiet && summary.ending != Some(Ending::Paused)) {
            return (report, summary);
        }
    }
    panic!("it does not settle");
}

pub(super) fn decision(report: &DirtyReport, name: &str) -> &'static str {
    report
        .node(&node(name))
        .map_or("current", |dirty| dirty.decision.as_str())
}

pub(super) fn status(summary: &Summary, name: &str) -> NodeStatus {
    let found = summary.nodes.iter().find(|summary| summary.node == node(name));
    found.expect("a node of the plan").status.clone()
}
