//! Events about the inputs of this workspace: new versions, yanks, deprecations and approvals.
//!
//! What it uses is what its lock has from a repo. Events of other packages, and versions that are not newer than the one in use, are passed over, so what was
//! updated meanwhile is not in the inbox any more. Invariant: what is unread is by the cursor that is kept; nothing is asked but the feeds. Deliberately absent:
//! which version an update would take (`outdated` tells).

use std::collections::BTreeSet;

use backlot_core::options;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::error::Result;
use crate::feed::cursor::EventCursor;
use crate::feed::reading::RepoEvent;
use crate::workspace::Opened;

/// How many events are read at once.
const BATCH: usize = 1000;
/// The name of the file with its cursor.
const FILE: &str = "inbox";

options! {
    /// The options of the inbox.
    #[derive(Copy, Default)]
    pub struct InboxOptions {
        /// Include read entries.
        pub all: bool,
        /// Mark the shown entries as read.
        pub mark_read: bool,
    }
}

/// Something that happened to an input.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// The version of the package in use here.
    pub used: Version,
    /// The event: `new-version` (newer than the one in use), `yanked`, `unyanked`, `deprecated` or `approved` (the one in use).
    pub what: String,
    /// Whether it was not read before.
    pub unread: bool,
    /// The event.
    #[serde(flatten)]
    pub event: RepoEvent,
}

/// The inbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboxReport {
    /// The entries, for each repo in the order of its events.
    pub notices: Vec<Notice>,
    /// After all that is here.
    pub cursor: EventCursor,
    /// Whether it counts as read now.
    pub marked: bool,
}

impl Opened {
    pub(crate) fn inbox(&self, options: InboxOptions) -> Result<InboxReport> {
        let lock = Lock::load(self.root())?;
        let packages = lock.as_ref().map_or(&[][..], |lock| lock.packages.as_slice());
        let feeds = self.feeds(&[])?;
        let kept = self.kept_cursor(FILE);
        let read = kept.load()?.unwrap_or_default();
        let mut cursor = if options.all {
            EventCursor::default()
        } else {
            read.clone()
        };
        let mut notices = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let batch = feeds.read(&cursor, BATCH, self.context())?;
            for event in batch.events {
                if let Some((used, what)) = concerns(packages, &event)
                    && (what != NEW
                        || seen.insert((event.event.package.clone(), event.event.version.clone())))
                {
                    let (position, known) = (event.cursor.of(&event.repo), read.of(&event.repo));
                    notices.push(Notice {
                        used: used.clone(),
                        what: what.to_owned(),
                        unread: known.is_none() || position > known,
                        event,
                    });
                }
            }
            cursor = batch.cursor;
            if batch.ended {
                break;
            }
        }
        if options.mark_read {
            kept.save(&cursor)?;
        }
        Ok(InboxReport {
            notices,
            cursor,
            marked: options.mark_read,
        })
    }
}

/// There is a newer version.
const NEW: &str = "new-version";

/// Which version in use an event concerns, and what it says of it.
fn concerns<'a>(packages: &'a [LockedPackage], event: &RepoEvent) -> Option<(&'a Version, &'static str)> {
    let (name, version): (&PackageName, &Version) = (&event.event.package, &event.event.version);
    let used = packages.iter().find(|package| package.name == *name)?;
    let from = used.repo.as_deref()?;
    let what = match event.event.topic.as_str() {
        "release.created" => {
            let is_wanted = !version.is_prerelease() || used.version.is_prerelease();
            return (*version > used.version && is_wanted).then_some((&used.version, NEW));
        }
        "release.yanked" => "yanked",
        "release.unyanked" => "unyanked",
        "release.deprecated" => "deprecated",
        "release.approved" => "approved",
        _ => return None,
    };
    (used.version == *version && from == event.repo).then_some((&used.version, what))
}
