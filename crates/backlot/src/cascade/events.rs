//! Events of cascades in the feed of the repo that has their journal: that one began, how it ended, and that it was undone.
//!
//! Invariants: the ID of an event is derived from the journal, so all processes that run, continue or close a cascade record the same event, and the feed has it
//! once; if a runner was killed before it recorded its event, `resume`, the next cascade in the repo and `repo reindex` do so. A cascade never fails because of its events. Deliberately
//! absent: the feed itself (`backlot-repo`), and its readers (`feed/`).

use std::collections::BTreeMap;

use backlot_cascade::{Decision, Ending, Journal as _, NodeStatus, Plan, RevertPlan, RunState, Summary};
use backlot_core::Sha256;
use backlot_pep::{PackageName, Version};
use backlot_repo::FeedEvent;
use sha2::Digest as _;

use crate::cascade::known::ending_of;
use crate::cascade::ledger::{OpenCascades, RepoJournal};
use crate::error::Result;
use crate::workspace::Opened;

/// How many failed assets an event names.
const MOST_NAMED: usize = 100;

impl Opened {
    /// Say that a cascade began.
    pub(crate) fn tell_begun(&self, home: &str, plan: &Plan) {
        let mut counts = BTreeMap::new();
        let planned = plan.nodes.iter().map(|node| &node.dirty).chain(&plan.others);
        for dirty in planned {
            *counts.entry(word(&dirty.decision).to_owned()).or_default() += 1;
        }
        let id = format!("{}-started", plan.id);
        self.tell_cascade(home, plan, (id, "cascade.started"), |event| event.counts = counts);
    }

    /// Say how a cascade ended, if it has: one that waits for a confirmation, or is paused, has not.
    pub(crate) fn tell_end(&self, home: &str, plan: &Plan, summary: &Summary) {
        let Some(ending) = summary.ending else { return };
        if matches!(ending, Ending::Paused | Ending::NeedsConfirmation) {
            return;
        }
        // A failure that was tried again is another end, and the same one is the same to all who see it.
        let mut fields = vec![ending.as_str().to_owned()];
        for node in &summary.nodes {
            fields.push(format!("{} {} {}", node.node, node.lease, node.status.as_str()));
        }
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (status, count) in &summary.counts {
            counts.insert(status.clone(), *count as u64);
        }
        for dirty in &plan.others {
            *counts.entry(word(&dirty.decision).to_owned()).or_default() += 1;
        }
        let failed = summary.nodes.iter();
        let failed = failed.filter(|node| matches!(node.status, NodeStatus::Failed { .. }));
        let mut failed: Vec<PackageName> = failed.map(|node| node.node.package.clone()).collect();
        failed.sort_unstable();
        failed.dedup();
        failed.truncate(MOST_NAMED);
        let id = format!("{}-finished-{}", plan.id, digest(&fields));
        self.tell_cascade(home, plan, (id, "cascade.finished"), |event| {
            event.ending = Some(ending.as_str().to_owned());
            event.counts = counts;
            event.failed = failed;
        });
    }

    /// Say that a cascade was undone.
    pub(crate) fn tell_reverted(&self, home: &str, plan: &Plan, revert: &RevertPlan, message: Option<&str>) {
        let fields: Vec<String> = revert
            .steps
            .iter()
            .map(|step| format!("{} {} {}", step.node, step.version, step.done))
            .collect();
        let yanked = revert.steps.iter().filter(|step| step.done).count();
        let counts = [("yanked", yanked), ("republished", revert.forward.len())];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts = counts
            .map(|(what, count)| (what.to_owned(), count as u64))
            .collect();
        let id = format!("{}-reverted-{}", plan.id, digest(&fields));
        self.tell_cascade(home, plan, (id, "cascade.reverted"), |event| {
            event.counts = counts;
            message.unwrap_or("manual").clone_into(&mut event.reason);
        });
    }

    /// Say of all cascades of a repo that are not closed how they stand, for those who were killed before they could.
    pub(crate) fn tell_open_cascades(&self, repo: &str) -> Result<()> {
        let store = self.ledger(repo)?;
        for (_, cascade) in OpenCascades::new(&store).list()? {
            self.context().check()?;
            let entries = RepoJournal::new(store.clone(), &cascade).load(0)?.entries;
            // One without a plan did not begin.
            if let Ok(state) = RunState::from_entries(&entries) {
                self.tell_begun(repo, state.plan());
                self.tell_end_of(repo, &state);
            }
        }
        Ok(())
    }

    /// Say how a cascade ended, by what its journal says, if it has. Returns how it stands.
    pub(crate) fn tell_end_of(&self, home: &str, state: &RunState) -> Option<Ending> {
        let ending = ending_of(state, self.context().now());
        if ending.is_some() {
            self.tell_end(home, state.plan(), &state.summary(ending));
        }
        ending
    }

    fn tell_cascade(
        &self,
        home: &str,
        plan: &Plan,
        (id, topic): (String, &str),
        say: impl FnOnce(&mut FeedEvent),
    ) {
        let Some((package, version)) = subject(plan) else {
            return;
        };
        let mut event = FeedEvent::new(id, topic, (package, version), self.context().now());
        event.cascade = Some(plan.id.to_string());
        event.author.clone_from(&self.settings().author.value);
        event.machine.clone_from(&self.host().machine);
        "manual".clone_into(&mut event.reason);
        say(&mut event);
        let recorded = self
            .ledger(home)
            .and_then(|store| Ok(store.record_event(&event, self.context())?));
        if let Err(error) = recorded {
            let message = format!("`{topic}` of cascade {} could not be recorded: {error}", plan.id);
            self.context().warn("cascade::late_event", message);
        }
    }
}

/// What a cascade is about, or the first asset of one that is about everything.
fn subject(plan: &Plan) -> Option<(&PackageName, &Version)> {
    let root = plan.roots.first().map(|(node, version)| (&node.package, version));
    let first = plan
        .nodes
        .iter()
        .map(|node| &node.dirty)
        .chain(&plan.others)
        .next();
    root.or_else(|| first.map(|dirty| (&dirty.node.package, &dirty.newest)))
}

/// A decision in one word, as the outcomes of assets are.
const fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Build => "build",
        Decision::UpToDate => "up-to-date",
        Decision::Held(_) => "held",
        Decision::Manual => "manual",
        Decision::Outside => "outside",
        Decision::Proposed => "proposed",
        Decision::Cycle { .. } => "cycle",
    }
}

fn digest(fields: &[String]) -> String {
    let digest = Sha256::from_bytes(sha2::Sha256::digest(fields.join("\n")).into());
    digest.to_hex()[..12].to_owned()
}
