//! Labels: names that are moved from release to release of a package, as `hero`. The layout is in `docs/format/repo-folder.md`.
//!
//! Invariants: a move is an event that is only ever added, under a name nobody else has; its name sorts after every event its writer saw, so a clock that
//! is late undoes no move by accident; no byte of a release moves. Labels are each repo's own: a copy of a release takes none along. Deliberately
//! absent: who may move what, and following a label (`backlot`).

use std::collections::BTreeMap;

use backlot_core::{Context, Timestamp};
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::release_events::new_id;
use super::{JSON, ReleaseStore};
use crate::error::Result;
use crate::layout::RepoKind;
use crate::publish::{Publication, TOOL};
use crate::release_event::{FACT_LIMIT, fact_name};
use crate::status_change::time_after;

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

/// The result of moving a label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabelMove {
    /// The event, as it was or would be written.
    pub event: LabelEvent,
    /// The version that the label was at before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Version>,
    /// Whether it was there already, so that nothing was added.
    pub already: bool,
}

impl ReleaseStore {
    /// The labels of a package that are at a release, each with its last move.
    pub fn labels(&self, package: &PackageName) -> Result<BTreeMap<String, LabelEvent>> {
        Ok(fold(self.label_events(package)?))
    }

    /// Move a label to a version, or remove it.
    pub fn move_label(
        &self,
        (package, label): (&PackageName, &str),
        to: Option<&Version>,
        by: &Publication,
        dry_run: bool,
        context: &Context,
    ) -> Result<LabelMove> {
        self.check_layout()?;
        let events = self.label_events(package)?;
        let last = events.keys().next_back().map(Ulid::timestamp_ms);
        let before = fold(events).remove(label).and_then(|event| event.version);
        let at = time_after(last, context.now());
        let moved = LabelMove {
            event: LabelEvent {
                format: 1,
                label: label.to_owned(),
                package: package.clone(),
                version: to.cloned(),
                author: by.author.clone(),
                reason: by.reason.clone(),
                machine: by.machine.clone(),
                tool: TOOL.to_owned(),
                at,
                time: at.to_string(),
            },
            already: before.as_ref() == to,
            before,
        };
        if !dry_run && !moved.already {
            self.ensure(context)?;
            let id = new_id(at);
            let mut bytes = serde_json::to_vec_pretty(&moved.event).expect("an event is plain data");
            bytes.push(b'\n');
            let key = format!("{}{}", folder(package), fact_name(id));
            self.0.objects.write(&key, bytes, JSON)?;
        }
        Ok(moved)
    }

    /// All moves of labels of a package, in order. Invalid files are skipped.
    fn label_events(&self, package: &PackageName) -> Result<BTreeMap<Ulid, LabelEvent>> {
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
}

fn folder(package: &PackageName) -> String {
    format!("labels/{package}/")
}

/// The last move of each label that is at a release.
fn fold(events: BTreeMap<Ulid, LabelEvent>) -> BTreeMap<String, LabelEvent> {
    let mut labels: BTreeMap<String, LabelEvent> = BTreeMap::new();
    for event in events.into_values() {
        labels.insert(event.label.clone(), event);
    }
    labels.retain(|_, event| event.version.is_some());
    labels
}
