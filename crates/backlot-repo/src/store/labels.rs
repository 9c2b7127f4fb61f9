//! Labels: names that are moved from release to release of a package, as `hero`. The layout is in `docs/format/repo-folder.md`.
//!
//! Invariants: a move is an event that is only ever added, under a name nobody else has; its name sorts after every event its writer saw, so a clock that
//! is late undoes no move by accident; no byte of a release moves; a move is in the feed of events as a status is (`feed_pending`). Labels are each repo's own: a copy of a release takes none along. Deliberately
//! absent: who may move what, and following a label (`backlot`).

use std::collections::BTreeMap;

use backlot_core::Context;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::label_events::{LabelEvent, fold, folder};
use super::release_events::new_id;
use super::{JSON, ReleaseStore};
use crate::error::Result;
use crate::publish::{Publication, TOOL};
use crate::release_event::fact_name;
use crate::status_change::time_after;

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
            let events = moved
                .event
                .in_feed(id, moved.before.as_ref())
                .into_iter()
                .collect();
            let announced = self.announce(self.mark()?, events, context)?;
            self.0.objects.write(&key, bytes, JSON)?;
            self.tell_or_leave(announced, context);
        }
        Ok(moved)
    }
}
