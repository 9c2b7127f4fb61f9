//! The events of a repo: what happened to its releases, labels and cascades, in an order that all readers see alike.
//!
//! Invariant: every event names a package and a version, whatever its topic, as readers of all versions need both to read the record that it is in.
//!
//! Deliberately absent: how they are stored (`store::feed`), and their receivers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use backlot_core::{Sha256, Timestamp};
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::publish::PublishCandidate;
use crate::release::ReleaseFile;
use crate::release_event::{ReleaseEvent, ReleaseEventKind};

/// Topic of an event: a file of a release was created.
pub(crate) const CREATED: &str = "release.created";

/// Topics of events of labels: one is at another release now, or was removed.
pub(crate) const LABEL_MOVED: &str = "label.moved";
pub(crate) const LABEL_REMOVED: &str = "label.removed";
/// What topics of events of labels, and of cascades, begin with.
pub(crate) const LABEL: &str = "label.";
pub(crate) const CASCADE: &str = "cascade.";

/// The topics of events that this Backlot records.
pub const TOPICS: [&str; 10] = [
    CREATED,
    "release.approved",
    "release.deprecated",
    "release.yanked",
    "release.unyanked",
    LABEL_MOVED,
    LABEL_REMOVED,
    "cascade.started",
    "cascade.finished",
    "cascade.reverted",
];

/// Something that happened to a release, a label or a cascade.
///
/// ```
/// let text = r#"{"id": "01kb", "topic": "release.yanked", "package": "table", "version": "1.0", "author": "ana",
///     "reason": "wrong scale", "machine": "ws7", "at": 1764500000000, "time": "2025-11-30T10:53:20.000Z"}"#;
/// let event: backlot_repo::FeedEvent = serde_json::from_str(text).unwrap();
/// assert_eq!(event.topic, "release.yanked");
/// assert_eq!(event.file, None, "only of a release that was created");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedEvent {
    /// Unique in the repo: the name of the fact or of the move of a label, the digest of the file, or what a cascade came to.
    pub id: String,
    /// `release.created`, `release.yanked` and so on: one of [`TOPICS`], or one that a later Backlot knows.
    pub topic: String,
    /// The package; of a cascade, that of the first release that it began with, or of the first asset of its plan.
    pub package: PackageName,
    /// The version; of a label the one that it is at, or was at when it was removed.
    pub version: Version,
    /// The file that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The version that the label was at before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The id of the cascade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade: Option<String>,
    /// How the cascade ended: `done`, `failed`, `waiting` (for a person) or `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    /// How many assets of the cascade are to be built, or have each outcome; how many releases were yanked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// The assets that failed, the first 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<PackageName>,
    /// The author; empty if unknown.
    pub author: String,
    /// Why: `manual`, or in words.
    pub reason: String,
    /// On which machine.
    pub machine: String,
    /// When, by the clock of that machine, in milliseconds since the Unix epoch. For people: nothing is ordered by it.
    pub at: Timestamp,
    /// The same for people, RFC 3339 in UTC.
    pub time: String,
}

impl FeedEvent {
    /// An event about a release, with an empty author, reason and machine.
    pub fn new(id: String, topic: &str, (package, version): (&PackageName, &Version), at: Timestamp) -> Self {
        Self {
            id,
            topic: topic.to_owned(),
            package: package.clone(),
            version: version.clone(),
            file: None,
            sha256: None,
            label: None,
            from: None,
            cascade: None,
            ending: None,
            counts: BTreeMap::new(),
            failed: Vec::new(),
            author: String::new(),
            reason: String::new(),
            machine: String::new(),
            at,
            time: at.to_string(),
        }
    }

    /// The event of a status fact; `None` for one without an effect.
    pub(crate) fn of_fact(id: Ulid, fact: &ReleaseEvent) -> Option<Self> {
        let topic = match fact.kind {
            ReleaseEventKind::Yanked => "release.yanked",
            ReleaseEventKind::Unyanked => "release.unyanked",
            ReleaseEventKind::Deprecated => "release.deprecated",
            ReleaseEventKind::Approved => "release.approved",
            // A published fact is written before its file, which may never come.
            ReleaseEventKind::Published | ReleaseEventKind::Dropped | ReleaseEventKind::Unknown => {
                return None;
            }
        };
        Some(Self::by_fact(id.to_string().to_lowercase(), topic, fact))
    }

    /// That a file will have been created.
    pub(crate) fn of_offer(offer: &PublishCandidate, fact: &ReleaseEvent) -> Self {
        Self {
            file: Some(offer.file.clone()),
            sha256: Some(offer.sha256),
            ..Self::by_fact(offer.sha256.to_hex(), CREATED, fact)
        }
    }

    /// With the package, person and time of a fact.
    fn by_fact(id: String, topic: &str, fact: &ReleaseEvent) -> Self {
        Self {
            author: fact.author.clone(),
            reason: fact.reason.clone(),
            machine: fact.machine.clone(),
            ..Self::new(id, topic, (&fact.package, &fact.version), fact.at)
        }
    }

    /// That a file was created, with the published fact about it, if there is one.
    pub(crate) fn of_file(release: &ReleaseFile, sha256: Sha256, published: Option<&ReleaseEvent>) -> Self {
        let at = published.map_or(Timestamp(release.modified), |fact| fact.at);
        let text = |of: fn(&ReleaseEvent) -> &String| published.map(of).cloned().unwrap_or_default();
        // The file, however often its publishers began.
        let id = sha256.to_hex();
        Self {
            file: Some(release.file.clone()),
            sha256: Some(sha256),
            author: text(|fact| &fact.author),
            reason: text(|fact| &fact.reason),
            machine: text(|fact| &fact.machine),
            ..Self::new(id, CREATED, (&release.package, &release.version), at)
        }
    }
}

/// A position in the feed of a repo: how many of its records are read, and how many events of the next one.
///
/// ```
/// use backlot_repo::FeedPosition;
///
/// assert_eq!("12".parse(), Ok(FeedPosition::after(12)));
/// assert_eq!("12.3".parse::<FeedPosition>().unwrap().to_string(), "12.3");
/// assert!("12".parse::<FeedPosition>().unwrap() < "12.3".parse().unwrap());
/// assert!("twelve".parse::<FeedPosition>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPosition {
    pub(crate) records: u64,
    pub(crate) events: u64,
}

impl FeedPosition {
    /// The beginning.
    pub const START: Self = Self::after(0);

    /// After this many records.
    pub const fn after(records: u64) -> Self {
        Self { records, events: 0 }
    }

    /// This many records before it, or the beginning.
    #[must_use]
    pub const fn back(self, records: u64) -> Self {
        Self::after(self.records.saturating_sub(records))
    }
}

impl fmt::Display for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.events {
            0 => write!(f, "{}", self.records),
            events => write!(f, "{}.{events}", self.records),
        }
    }
}

/// A text that is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position in a feed of events")]
pub struct BadFeedPosition(pub String);

impl FromStr for FeedPosition {
    type Err = BadFeedPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (records, events) = text.split_once('.').unwrap_or((text, "0"));
        let number = |text: &str| text.parse().map_err(|_| BadFeedPosition(text.to_owned()));
        Ok(Self {
            records: number(records)?,
            events: number(events)?,
        })
    }
}

impl Serialize for FeedPosition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FeedPosition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Some events of a repo.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// The events, each with the position after it.
    pub events: Vec<(FeedPosition, FeedEvent)>,
    /// Where to read on.
    pub next: FeedPosition,
    /// Whether those were all that there are now.
    pub ended: bool,
}

impl Feed {
    /// Take the unread events of the next record, up to `most` in all; whether there is room for more.
    pub(crate) fn take(&mut self, number: u64, events: Vec<FeedEvent>, most: usize) -> bool {
        let count = events.len() as u64;
        let read = usize::try_from(self.next.events).unwrap_or(usize::MAX);
        for (at, event) in (1..=count).zip(events).skip(read) {
            if self.events.len() == most {
                return false;
            }
            self.next = FeedPosition {
                records: number - 1,
                events: at,
            };
            if at == count {
                self.next = FeedPosition::after(number);
            }
            self.events.push((self.next, event));
        }
        self.next = FeedPosition::after(number);
        self.events.len() < most
    }
}
