//! Removing the journals of cascades that ended long ago.
//!
//! Invariants: only of one that is done or was cancelled, so nothing that can be continued goes; its entries go from the last to the first, so one that was
//! stopped in between is a journal all the same, and the next run goes on. What its releases say of themselves stays. Deliberately absent: leases, which are
//! what numbers of attempts are counted by, and attestations, which releases are current by.

use std::time::Duration;

use backlot_cascade::{CascadeId, Journal as _, NodeId, RunState};
use backlot_core::{Timestamp, options};
use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::cascade::known::ending_of;
use crate::cascade::ledger::{OpenCascades, RepoJournal};
use crate::cascade::run::is_over;
use crate::error::Result;
use crate::workspace::Opened;

options! {
    /// Which journals of cascades to remove.
    pub struct CleanCascadesOptions {
        /// Only those that ended before this time ago.
        pub older_than: Duration,
        /// Only those in this repo.
        pub repo: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

impl Default for CleanCascadesOptions {
    /// Those of before 90 days.
    fn default() -> Self {
        Self {
            older_than: Duration::from_hours(90 * 24),
            repo: None,
            dry_run: false,
        }
    }
}

/// A cascade whose journal was removed, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanedCascade {
    /// Its id.
    pub cascade: CascadeId,
    /// The repo.
    pub repo: String,
    /// What it was about; empty if about everything.
    pub roots: Vec<(NodeId, Version)>,
    /// When its last entry was written.
    pub ended: Timestamp,
    /// How many entries it has.
    pub entries: u64,
}

/// The journals that were removed, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanCascadesReport {
    /// Each, newest first.
    pub removed: Vec<CleanedCascade>,
    /// How many stay, because they are younger or can be continued.
    pub kept: u64,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn clean_cascades(&self, options: &CleanCascadesOptions) -> Result<CleanCascadesReport> {
        if let Some(repo) = &options.repo {
            self.ledger(repo)?;
        }
        let before = self.context().now().before(options.older_than);
        let mut report = CleanCascadesReport {
            removed: Vec::new(),
            kept: 0,
            dry_run: options.dry_run,
        };
        for (repo, cascade, _) in self.begun()? {
            if options.repo.as_ref().is_some_and(|only| *only != repo) {
                continue;
            }
            self.context().check()?;
            let store = self.ledger(&repo)?;
            let journal = RepoJournal::new(store.clone(), &cascade);
            let entries = journal.load(0)?.entries;
            let ended = entries.iter().map(|entry| entry.at).max().unwrap_or(Timestamp(0));
            let state = RunState::from_entries(&entries)?;
            if ended > before || !is_over(ending_of(&state, self.context().now())) {
                report.kept += 1;
                continue;
            }
            if !options.dry_run {
                OpenCascades::new(&store).remove(&cascade)?;
                journal.remove()?;
            }
            report.removed.push(CleanedCascade {
                cascade,
                repo,
                roots: state.plan().roots.clone(),
                ended,
                entries: entries.len() as u64,
            });
        }
        Ok(report)
    }
}
