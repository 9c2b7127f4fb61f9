//! Cascades as others see them: which there are, where they stand, and what is asked of them. All of it is read from, and written to, their journals.
//!
//! Invariant: whoever has the repo sees the same, on whatever machine, and a request reaches whoever runs the cascade, now or when it is continued.
//! Deliberately absent: running.

use std::time::Duration;

use backlot_cascade::control::{Request, request};
use backlot_cascade::render::Picture;
use backlot_cascade::{
    CascadeId, DirtyNode, Ending, Entry, Journal as _, JournalEvent, NodeId, NodeStatus, Plan, RunState,
    Summary,
};
use backlot_core::Timestamp;
use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::cascade::background::BackgroundRunner;
use crate::cascade::executors::launch::{AttemptRow, attempts};
use crate::cascade::known::ending_of;
use crate::cascade::ledger::RepoJournal;
use crate::error::Result;
use crate::workspace::Opened;

/// How often a followed cascade is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A cascade in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CascadeRow {
    /// Its id.
    pub cascade: CascadeId,
    /// The repo that has its journal.
    pub repo: String,
    /// When it began.
    pub at: Timestamp,
    /// Who began it.
    pub by: String,
    /// What it is about; empty if about everything.
    pub roots: Vec<(NodeId, Version)>,
    /// How it stands; `None` while something runs or can be started.
    pub ending: Option<Ending>,
    /// How many assets have each status.
    pub counts: std::collections::BTreeMap<String, usize>,
}

/// Where a cascade stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CascadeStatus {
    /// The repo that has its journal.
    pub repo: String,
    /// When it began.
    pub at: Timestamp,
    /// Who began it.
    pub by: String,
    /// What it is about; empty if about everything.
    pub roots: Vec<(NodeId, Version)>,
    /// Why it is paused, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Why it was cancelled, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
    /// The process of this machine that runs it in the background, or that was killed while it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<BackgroundRunner>,
    /// Its assets.
    #[serde(flatten)]
    pub summary: Summary,
    /// The attempts at them in processes of their own, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRow>,
}

impl CascadeStatus {
    /// Whether the process that ran it in the background was killed before its end.
    pub fn was_killed(&self) -> bool {
        let runner = self.background.as_ref();
        self.summary.ending.is_none() && runner.is_some_and(|runner| !runner.alive)
    }
}

/// All that is known of one asset of a cascade.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeExplained {
    /// The cascade.
    pub cascade: CascadeId,
    /// What the plan says of it.
    pub planned: DirtyNode,
    /// The chain of reasons, from what began it down to the asset.
    pub chain: Vec<NodeId>,
    /// Where it stands; `None` of one without a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<NodeStatus>,
    /// What happened to it, oldest first.
    pub history: Vec<Entry>,
    /// The attempts at it in processes of their own, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRow>,
}

/// What is asked of a cascade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CascadeRequest {
    /// Start nothing new until it is resumed.
    Pause(String),
    /// Start nothing new ever, and stop what runs before it releases.
    Cancel(String),
    /// Count an asset as done.
    Skip(String, String),
    /// Try an asset again, or all that failed, whatever failed before.
    Retry(Option<String>),
}

impl Opened {
    /// The cascades of all repos, newest first, at most so many.
    pub(crate) fn cascades(&self, most: usize) -> Result<Vec<CascadeRow>> {
        let mut rows = Vec::new();
        for (repo, cascade, first) in self.begun()?.into_iter().take(most) {
            let entries = RepoJournal::new(self.ledger(&repo)?, &cascade).load(0)?.entries;
            let state = RunState::from_entries(&entries)?;
            let summary = state.summary(ending_of(&state, self.context().now()));
            rows.push(CascadeRow {
                cascade,
                repo,
                at: first.at,
                by: first.by,
                roots: state.plan().roots.clone(),
                ending: summary.ending,
                counts: summary.counts,
            });
        }
        Ok(rows)
    }

    /// Where a cascade stands.
    pub(crate) fn cascade_status(&self, id: Option<&str>) -> Result<CascadeStatus> {
        let (repo, id) = self.find_cascade(id)?;
        let entries = RepoJournal::new(self.ledger(&repo)?, &id).load(0)?.entries;
        self.cascade_status_of(repo, &id, &entries)
    }

    /// The graph of a cascade, with what became of each asset.
    pub(crate) fn cascade_picture(&self, id: Option<&str>) -> Result<Picture> {
        let (repo, id) = self.find_cascade(id)?;
        let entries = RepoJournal::new(self.ledger(&repo)?, &id).load(0)?.entries;
        Ok(Picture::of_run(&RunState::from_entries(&entries)?))
    }

    fn cascade_status_of(&self, repo: String, id: &CascadeId, entries: &[Entry]) -> Result<CascadeStatus> {
        let mut status = status_of(repo, entries, self.context().now())?;
        status.background = self.background_runner(id);
        Ok(status)
    }

    /// Report each entry of a cascade, past ones included, until nothing runs and nothing can start, `tell` wants no more, or the process of this
    /// machine that ran it in the background is seen to be no more.
    pub(crate) fn follow_cascade(
        &self,
        id: Option<&str>,
        tell: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<CascadeStatus> {
        let (repo, id) = self.find_cascade(id)?;
        let journal = RepoJournal::new(self.ledger(&repo)?, &id);
        let (mut entries, mut next) = (Vec::new(), 0);
        loop {
            let loaded = journal.load(next)?;
            next = loaded.next;
            let wanted = loaded.entries.iter().all(&mut *tell);
            entries.extend(loaded.entries);
            let status = self.cascade_status_of(repo.clone(), &id, &entries)?;
            if !wanted || status.summary.ending.is_some() || status.was_killed() {
                return Ok(status);
            }
            self.context().check()?;
            std::thread::sleep(LOOK);
        }
    }

    /// Ask something of a cascade, and see where it stands.
    pub(crate) fn ask_cascade(&self, id: &str, ask: CascadeRequest) -> Result<CascadeStatus> {
        let (repo, id) = self.find_cascade(Some(id))?;
        let journal = RepoJournal::new(self.ledger(&repo)?, &id);
        let state = RunState::from_entries(&journal.load(0)?.entries)?;
        let ask = match ask {
            CascadeRequest::Pause(reason) => Request::Pause(reason),
            CascadeRequest::Cancel(reason) => Request::Cancel(reason),
            CascadeRequest::Skip(node, reason) => Request::Skip(Self::node_of(&state, &node)?, reason),
            CascadeRequest::Retry(Some(node)) => Request::Retry(Self::node_of(&state, &node)?),
            CascadeRequest::Retry(None) => Request::RetryFailed,
        };
        request(
            &journal,
            &state,
            &self.settings().author.value,
            ask,
            self.context(),
        )?;
        let entries = journal.load(0)?.entries;
        let state = RunState::from_entries(&entries)?;
        self.cancel_jobs(&state);
        // Without a runner, the end has to be recorded here.
        self.tell_end_of(&repo, &state);
        self.cascade_status_of(repo, &id, &entries)
    }

    /// All that is known of one asset of a cascade.
    pub(crate) fn explain_cascade(&self, id: &str, node: &str) -> Result<NodeExplained> {
        let (repo, id) = self.find_cascade(Some(id))?;
        let entries = RepoJournal::new(self.ledger(&repo)?, &id).load(0)?.entries;
        let state = RunState::from_entries(&entries)?;
        let node = Self::node_of(&state, node)?;
        let plan = state.plan();
        let mut all = plan
            .nodes
            .iter()
            .map(|planned| &planned.dirty)
            .chain(&plan.others);
        let planned = all
            .find(|dirty| dirty.node == node)
            .expect("it was found there")
            .clone();
        let is_about =
            |entry: &Entry| matches!(&entry.event, JournalEvent::Node { node: about, .. } if *about == node);
        let mut attempts = attempts(&state);
        attempts.retain(|attempt| attempt.node == node);
        Ok(NodeExplained {
            cascade: id,
            chain: chain(plan, &planned),
            planned,
            status: state.find(&node).map(|at| state.status(at)),
            history: entries.into_iter().filter(is_about).collect(),
            attempts,
        })
    }
}

/// From an asset that begins it down to one, by the first that each follows.
fn chain(plan: &Plan, planned: &DirtyNode) -> Vec<NodeId> {
    let mut chain = vec![planned.node.clone()];
    let mut next = planned.parents.first();
    while let Some(parent) = next {
        chain.push(parent.clone());
        let mut nodes = plan.nodes.iter();
        let found = nodes.find(|planned| planned.dirty.node == *parent);
        next = found.and_then(|planned| planned.dirty.parents.first());
    }
    chain.reverse();
    chain
}

fn status_of(repo: String, entries: &[Entry], now: Timestamp) -> Result<CascadeStatus> {
    let state = RunState::from_entries(entries)?;
    let first = entries.first();
    Ok(CascadeStatus {
        repo,
        at: first.map_or(Timestamp(0), |entry| entry.at),
        by: first.map(|entry| entry.by.clone()).unwrap_or_default(),
        roots: state.plan().roots.clone(),
        paused: state.paused().map(ToOwned::to_owned),
        cancelled: state.cancelled().map(ToOwned::to_owned),
        background: None,
        summary: state.summary(ending_of(&state, now)),
        attempts: attempts(&state),
    })
}
