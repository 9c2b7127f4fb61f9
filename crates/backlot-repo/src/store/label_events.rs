//! Moves of labels, as files of a repo, and the events that they amount to. The layout is in `docs/format/repo-folder.md`.
//!
//! Invariant: moves are folded in the order of their names, so everybody sees a label at the same release. Deliberately absent: moving one (`labels`).

use std::collections::BTreeMap;

use backlot_core::Timestamp;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::ReleaseStore;
use crate::error::Result;
use crate::feed::{FeedEvent, LABEL_MOVED, LABEL_REMOVED};
use crate::layout::RepoKind;
use crate::release_event::{FACT_LIMIT, fact_name};

/// A move of a label, as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelEvent {
    /// The format of the file: 1.
    pub format: u32,
    /// The label.
    pub label: String,
    /// Of which package.
    pub package: PackageName,
    /// The version that it is moved to; none if it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The author.
    pub author: String,
    /// Why: `manual`, or in words.
    pub reason: String,
    /// On which machine.
    pub machine: String,
    /// With which tool: `backlot 0.1.0`.
    pub tool: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// The same for people, RFC 3339 in UTC.
    pub time: String,
}

impl LabelEvent {
    /// As an event of the feed, of a label that was at a release before; `None` of the removal of one that was not there.
    pub(super) fn in_feed(&self, id: Ulid, before: Option<&Version>) -> Option<FeedEvent> {
        let topic = if self.version.is_some() {
            LABEL_MOVED
        } else {
            LABEL_REMOVED
        };
        let version = self.version.as_ref().or(before)?;
        let id = id.to_string().to_lowercase();
        Some(FeedEvent {
            label: Some(self.label.clone()),
            from: before.cloned(),
            author: self.author.clone(),
            reason: self.reason.clone(),
            machine: self.machine.clone(),
            ..FeedEvent::new(id, topic, (&self.package, version), self.at)
        })
    }
}

impl ReleaseStore {
    /// All moves of labels of a package, in order. Invalid files are skipped.
    pub(super) fn label_events(&self, package: &PackageName) -> Result<BTreeMap<Ulid, LabelEvent>> {
        if self.kind()? != RepoKind::Backlot {
            return Ok(BTreeMap::new());
        }
        let folder = folder(package);
        let names = self.0.objects.names(&folder)?;
        let id = |name: &String| Ulid::from_string(name.strip_suffix(".json")?).ok();
        let ids: Vec<Ulid> = names.iter().filter_map(id).collect();
        let read = self.each(&ids, |id| {
            let bytes = self
                .0
                .objects
                .read(&format!("{folder}{}", fact_name(*id)), FACT_LIMIT)?;
            Ok(bytes.and_then(|bytes| serde_json::from_slice::<LabelEvent>(&bytes).ok()))
        })?;
        let events = ids.into_iter().zip(read);
        Ok(events
            .filter_map(|(id, event)| Some((id, event.filter(|event| event.package == *package)?)))
            .collect())
    }

    /// Whether a move is there.
    pub(super) fn has_move(&self, package: &PackageName, id: &str) -> Result<bool> {
        let bytes = self
            .0
            .objects
            .read(&format!("{}{id}.json", folder(package)), FACT_LIMIT)?;
        Ok(bytes.is_some_and(|bytes| serde_json::from_slice::<LabelEvent>(&bytes).is_ok()))
    }

    /// The events that all moves of labels of a package amount to.
    pub(super) fn events_of_labels(&self, package: &PackageName) -> Result<Vec<FeedEvent>> {
        let mut at: BTreeMap<String, Version> = BTreeMap::new();
        let moves = self.label_events(package)?.into_iter();
        let events = moves.filter_map(|(id, event)| {
            let before = match &event.version {
                Some(version) => at.insert(event.label.clone(), version.clone()),
                None => at.remove(&event.label),
            };
            event.in_feed(id, before.as_ref())
        });
        Ok(events.collect())
    }
}

pub(super) fn folder(package: &PackageName) -> String {
    format!("labels/{package}/")
}

/// The last move of each label that is at a release.
pub(super) fn fold(events: BTreeMap<Ulid, LabelEvent>) -> BTreeMap<String, LabelEvent> {
    let mut labels: BTreeMap<String, LabelEvent> = BTreeMap::new();
    for event in events.into_values() {
        labels.insert(event.label.clone(), event);
    }
    labels.retain(|_, event| event.version.is_some());
    labels
}
