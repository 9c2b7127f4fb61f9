//! The journal of a cascade: what was done, appended after it was done, and what people asked for.
//!
//! Invariant: an entry about an effect is written only after the effect is durable, so the journal may say too little and
//! never too much; a run that continues looks effects up. Entries of a lease that was overtaken are ignored. Deliberately
//! absent: what the entries mean together ([`crate::RunState`]).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use backlot_core::{Sha256, Timestamp};
use backlot_pep::Version;
use serde::{Deserialize, Serialize};

use crate::batch::AttemptBatch;
use crate::dirty::Hold;
use crate::error::Result;
use crate::failure::Failure;
use crate::node::{CascadeId, NodeId, NodeKey};
use crate::plan::Plan;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written, by the writer's clock. For people; nothing is ordered by it.
    pub at: Timestamp,
    /// Who wrote it: a runner or a person.
    pub by: String,
    /// What happened.
    #[serde(flatten)]
    pub event: JournalEvent,
}

/// What happened to a cascade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JournalEvent {
    /// It begins. The first entry of a journal; later ones for the same plan mean nothing.
    Planned {
        /// The format of the journal.
        format: u32,
        /// The plan.
        plan: Box<Plan>,
    },
    /// Somebody confirmed that more nodes than the cap may be built.
    Confirmed,
    /// Nothing new is started from now on.
    Paused {
        /// Why.
        reason: String,
    },
    /// A pause ends.
    Resumed,
    /// Nothing new is started any more, and what runs stops before it releases.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// Attempts are about to be started in processes of their own. Written before, so that none is started unseen.
    Submitting {
        /// The attempts.
        batch: AttemptBatch,
    },
    /// A scheduler has the attempts of a batch.
    Submitted {
        /// The id of the batch.
        batch: String,
        /// What the scheduler calls it.
        job: String,
    },
    /// Something happened to a node.
    Node {
        /// The node.
        node: NodeId,
        /// The token of the lease that it happened under; `None` of what people asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<u64>,
        /// What.
        what: NodeEvent,
    },
}

/// The format of journals written here: `docs/format/cascade-journal.md`.
pub const JOURNAL_FORMAT: u32 = 1;

impl JournalEvent {
    /// The first entry of the journal of a plan.
    pub fn planned(plan: &Plan) -> Self {
        Self::Planned {
            format: JOURNAL_FORMAT,
            plan: Box::new(plan.clone()),
        }
    }
}

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "node_event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NodeEvent {
    /// A worker holds its lease.
    Leased {
        /// When others may take it, unless it was renewed.
        until: Timestamp,
    },
    /// Its content is built, in the folder of its key.
    Built {
        /// The key, now of inputs that exist.
        key: NodeKey,
        /// The digest of what others will read of it.
        files: Sha256,
        /// The checks whose findings were repaired, by their ids.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        repaired: Vec<String>,
    },
    /// Its validators passed.
    Validated,
    /// Its content is in the remote.
    Pushed,
    /// Its release is in the repo.
    Released {
        /// The release.
        version: Version,
    },
    /// It is right as it is.
    Unchanged {
        /// Why.
        why: Unchanged,
        /// The release that stays.
        version: Version,
    },
    /// It keeps its release: it cannot be built with what there is.
    Held {
        /// Why.
        hold: Hold,
    },
    /// An attempt failed.
    Failed {
        /// How.
        failure: Failure,
        /// The key it failed with, where it got so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<NodeKey>,
        /// When to try again; `None` for never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// An attempt was given up before it released, by no fault: an input was withdrawn.
    Stopped {
        /// Why.
        reason: String,
    },
    /// A release that the journal names is not in the repo.
    Missing,
    /// A person has it counted as done.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A person wants it tried again.
    Retried,
    /// Another cascade does it.
    Superseded {
        /// The other.
        by: CascadeId,
    },
}

/// Why no release was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unchanged {
    /// A fresh resolution gives what its newest release records.
    Current,
    /// Its inputs have the same content as those recorded; an attestation says so.
    SameInputs,
    /// The build gave the same content as its newest release has; an attestation says so.
    SameFiles,
}

/// What was read of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where to continue reading.
    pub next: u64,
    /// Complete lines that are not entries: torn by a crash and closed by a later writer, or damaged.
    pub unreadable: u64,
}

/// A journal of one cascade, shared by all who run it.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Append an entry; it is durable on return.
    fn append(&self, entry: &Entry) -> Result<()>;
    /// The entries from a position on, 0 for all.
    fn load(&self, from: u64) -> Result<Loaded>;
}

/// A journal in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Vec<Entry>>);

impl Journal for MemoryJournal {
    fn append(&self, entry: &Entry) -> Result<()> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry.clone());
        Ok(())
    }

    fn load(&self, from: u64) -> Result<Loaded> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(entries.len());
        Ok(Loaded {
            entries: entries[start..].to_vec(),
            next: entries.len() as u64,
            unreadable: 0,
        })
    }
}
