//! Status changes of an existing release: approve, deprecate, yank, unyank.
//!
//! Deliberately absent: adding facts to a repo (`store::verdicts`).

use backlot_core::Timestamp;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::publish::{Publication, TOOL};
use crate::release_event::{ReleaseEvent, ReleaseEventKind, ReleaseStatus};

/// The last time that the name of a fact can hold (48 bits).
const LAST_TIME: u64 = (1 << 48) - 1;

/// A status change of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusChange {
    /// It is approved.
    Approve,
    /// It works but should be moved away from.
    Deprecate,
    /// It should not be chosen any more, unless pinned.
    Yank,
    /// A yank is taken back.
    Unyank,
}

impl StatusChange {
    /// The kind of fact it becomes.
    pub fn kind(self) -> ReleaseEventKind {
        match self {
            Self::Approve => ReleaseEventKind::Approved,
            Self::Deprecate => ReleaseEventKind::Deprecated,
            Self::Yank => ReleaseEventKind::Yanked,
            Self::Unyank => ReleaseEventKind::Unyanked,
        }
    }

    /// Whether it holds already, in the same words of the same person.
    pub(crate) fn holds(self, status: &ReleaseStatus, by: &Publication) -> bool {
        let same = |fact: &ReleaseEvent| fact.author == by.author && fact.reason == by.reason;
        match self {
            // It is what calls dropped files back.
            Self::Approve => status.dropped.is_none() && status.approved.iter().any(same),
            Self::Deprecate => status.deprecated.as_ref().is_some_and(same),
            Self::Yank => status.yanked.as_ref().is_some_and(same),
            Self::Unyank => status.dropped.is_none() && status.yanked.is_none(),
        }
    }
}

/// The recorded change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusChangeReport {
    /// The fact, as it was or would be written.
    pub fact: ReleaseEvent,
    /// Whether it held already, so that nothing was added.
    pub already: bool,
    /// The status after it.
    pub status: ReleaseStatus,
}

/// A fact with the name it has in its repo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedEvent {
    pub(crate) id: Ulid,
    pub(crate) fact: ReleaseEvent,
}

/// Now, or just after the last existing event, if the clock that wrote that one is ahead.
pub(crate) fn time_after(last: Option<u64>, now: Timestamp) -> Timestamp {
    Timestamp(last.map_or(now.0, |last| now.0.max(last + 1)).min(LAST_TIME))
}

/// The fact that a verdict becomes, after the last fact that is there.
pub(crate) fn verdict_fact(
    (package, version): (&PackageName, &Version),
    verdict: StatusChange,
    by: &Publication,
    now: Timestamp,
    last: Option<u64>,
) -> ReleaseEvent {
    let at = time_after(last, now);
    ReleaseEvent {
        format: 1,
        kind: verdict.kind(),
        package: package.clone(),
        version: version.clone(),
        file: None,
        sha256: None,
        modified: None,
        remotes: Vec::new(),
        checks: Vec::new(),
        status: None,
        since: None,
        author: by.author.clone(),
        reason: by.reason.clone(),
        machine: by.machine.clone(),
        tool: TOOL.to_owned(),
        at,
        time: at.to_string(),
    }
}

/// Those of a release's facts that go with it to another repo.
pub(crate) fn carried(
    facts: impl IntoIterator<Item = (Ulid, ReleaseEvent)>,
    package: &PackageName,
    version: &Version,
) -> Vec<ImportedEvent> {
    // Whether the other repo needs the files is its own matter.
    let said = |fact: &ReleaseEvent| {
        !matches!(
            fact.kind,
            ReleaseEventKind::Published | ReleaseEventKind::Dropped | ReleaseEventKind::Unknown
        )
    };
    let about = |fact: &ReleaseEvent| fact.package == *package && fact.version == *version;
    let carried = facts.into_iter().filter(|(_, fact)| said(fact) && about(fact));
    carried.map(|(id, fact)| ImportedEvent { id, fact }).collect()
}
