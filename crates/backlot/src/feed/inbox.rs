//! Events about the inputs of this workspace: new versions, yanks, deprecations and approvals, moves of labels that are followed; and cascades in which its
//! outputs failed.
//!
//! What it uses is what its lock has from a repo. Events of other packages, and versions that are not newer than the one in use, are passed over, so what was
//! updated meanwhile is not in the inbox any more; nor is a version that was yanked since, the move of a label that was moved again, or the failure of a cascade that ended otherwise since. Invariant: what is unread is by the cursor that is kept; nothing is asked but the feeds. Deliberately absent:
//! which version an update would take (`outdated` tells).

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::options;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::error::Result;
use crate::feed::cursor::EventCursor;
use crate::feed::reading::RepoEvent;
use crate::releases::approved::LATEST_APPROVED;
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

/// Something that happened to an input or an output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// The input, or the output that failed.
    pub asset: PackageName,
    /// The version of it in use here.
    pub used: Version,
    /// The event: `new-version` (newer than the one in use), `yanked`, `unyanked`, `deprecated` or `approved` (the one in use), `label-moved` or
    /// `label-removed` (the label that is followed), `cascade-failed` (an output could not be built).
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
        let concern = self.concern()?;
        let feeds = self.feeds(&[])?;
        let kept = self.kept_cursor(FILE);
        let read = kept.load()?.unwrap_or_default();
        let mut cursor = if options.all {
            EventCursor::default()
        } else {
            read.clone()
        };
        let mut notices: Vec<Notice> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let batch = feeds.read(&cursor, BATCH, self.context())?;
            for event in batch.events {
                notices.retain(|notice| !replaces(&event, notice));
                if event.event.topic == YANKED {
                    // It may be in another repo, too, or come back.
                    seen.remove(&release_of(&event));
                }
                for (asset, used, what) in concern.of(&event) {
                    if what == NEW && !seen.insert(release_of(&event)) {
                        continue;
                    }
                    let (position, known) = (event.cursor.of(&event.repo), read.of(&event.repo));
                    notices.push(Notice {
                        asset: asset.clone(),
                        used: used.clone(),
                        what: what.to_owned(),
                        unread: known.is_none() || position > known,
                        event: event.clone(),
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

/// The topic of a yank.
const YANKED: &str = "release.yanked";
/// There is a newer version.
const NEW: &str = "new-version";
/// The label that is followed is at another release.
const MOVED: &str = "label-moved";
/// It was removed.
const REMOVED: &str = "label-removed";
/// An output could not be built.
const FAILED: &str = "cascade-failed";

/// What a workspace uses and makes.
struct Concern {
    /// The inputs.
    packages: Vec<LockedPackage>,
    /// The outputs with their versions.
    outputs: BTreeMap<PackageName, Version>,
}

impl Opened {
    fn concern(&self) -> Result<Concern> {
        let outputs = self.outputs()?.into_iter();
        Ok(Concern {
            packages: Lock::load(self.root())?.map_or_else(Vec::new, |lock| lock.packages),
            outputs: outputs
                .map(|output| (output.package(), output.project.metadata.version.clone()))
                .collect(),
        })
    }
}

impl Concern {
    /// What an event concerns, the version of it in use, and what it says of it.
    fn of<'a>(&'a self, event: &'a RepoEvent) -> Vec<(&'a PackageName, &'a Version, &'static str)> {
        if event.event.topic == "cascade.finished" {
            let failed = event.event.failed.iter();
            return failed
                .filter_map(|name| self.outputs.get_key_value(name))
                .map(|(name, version)| (name, version, FAILED))
                .collect();
        }
        let about = self.input(event);
        about
            .map(|(input, what)| (&input.name, &input.version, what))
            .into_iter()
            .collect()
    }

    /// The input that an event concerns, and what it says of it.
    fn input(&self, event: &RepoEvent) -> Option<(&LockedPackage, &'static str)> {
        let version = &event.event.version;
        let mut inputs = self.packages.iter();
        let used = inputs.find(|package| package.name == event.event.package)?;
        let from = used.repo.as_deref()?;
        let follows = |label: &str| from == event.repo && used.label.as_deref() == Some(label);
        let follows_event = event.event.label.as_deref().is_some_and(follows);
        let is_used = used.version == *version && from == event.repo;
        let what = match event.event.topic.as_str() {
            "release.created" | "release.unyanked" if *version > used.version => {
                let is_wanted = !version.is_prerelease() || used.version.is_prerelease();
                return is_wanted.then_some((used, NEW));
            }
            "label.moved" => return (follows_event && used.version != *version).then_some((used, MOVED)),
            "label.removed" => return follows_event.then_some((used, REMOVED)),
            // This label is nobody's to move: the approval moved it.
            "release.approved" if follows(LATEST_APPROVED) && *version > used.version => {
                return Some((used, MOVED));
            }
            YANKED => "yanked",
            "release.unyanked" => "unyanked",
            "release.deprecated" => "deprecated",
            "release.approved" => "approved",
            _ => return None,
        };
        is_used.then_some((used, what))
    }
}

fn release_of(event: &RepoEvent) -> (PackageName, Version) {
    (event.event.package.clone(), event.event.version.clone())
}

/// Whether what an earlier notice says does not hold any more after an event.
fn replaces(event: &RepoEvent, notice: &Notice) -> bool {
    let (new, old) = (&event.event, &notice.event.event);
    let is_label = new.label.is_some() && new.label == old.label && new.package == old.package;
    let is_cascade = new.topic == old.topic && new.cascade.is_some() && new.cascade == old.cascade;
    let is_withdrawn =
        new.topic == YANKED && notice.what == NEW && release_of(event) == release_of(&notice.event);
    event.repo == notice.event.repo && (is_label || is_cascade || is_withdrawn)
}
