//! Events that are about to happen, so that one whose writer is killed is not lost; and events made from what a repo has.
//!
//! The order of a writer: read the head of the feed (the *mark*), see what is there, announce the events as `events/pending/<ulid>.json` with the mark, do what
//! they are about, append them, remove the announcement. Invariants: the mark is read **before** the writer sees that its effect is not there yet, so no record
//! up to the mark can have its event; an announcement means nothing by itself: whether it happened is seen in the repo, as every fact of a release is; so anybody may
//! append what another one announced, at the same time as its writer, and it is in the feed once. Readers leave a writer some time; that is by clocks, and
//! decides nothing. What has no announcement (releases of older versions, or copied in by hand; a power cut) a reindex adds from releases, facts, labels and records of cascades.
//! Deliberately absent: how records are kept (`feed_log`).

use std::collections::HashSet;
use std::time::Duration;

use backlot_core::Context;
use backlot_pep::PackageName;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::feed_log::{FEED, MOST};
use super::release_events::{Said, new_id};
use super::snapshot::fold;
use super::{JSON, ReleaseStore, package_prefix, status_prefix};
use crate::error::Result;
use crate::feed::{CASCADE, CREATED, FeedEvent, LABEL};
use crate::listing::Listing;
use crate::release::ReleaseFile;
use crate::release_event::{FACT_LIMIT, ReleaseEvent, fact_name, may_be, published_digests};

/// How long an announcement is left to its writer.
const GRACE: Duration = Duration::from_secs(30);
/// The most that an announcement may have.
const LIMIT: u64 = 16 << 20;
const FORMAT: u32 = 1;
/// The most records that are missing in a row.
const MOST_OF_A_GAP: u64 = 1000;

/// A number of records of the feed, none of which can have an event that is not there yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

/// An announcement as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Announcement {
    format: u32,
    mark: u64,
    events: Vec<FeedEvent>,
}

/// Events that were announced by this writer.
#[derive(Debug)]
#[must_use]
pub(super) struct Announced {
    mark: u64,
    key: String,
    events: Vec<FeedEvent>,
}

/// What became of an announcement.
enum Happened {
    /// All of it, as these events.
    All(Vec<FeedEvent>),
    NotYet,
    /// What is there is something else, which never changes.
    Never,
}

/// Below which, among the records of cascades, their events are.
const CASCADE_EVENTS: &str = "events/";

/// The name of the record of an event of a cascade; `None` of an event of another kind.
pub(super) fn cascade_record(event: &FeedEvent) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_name = !event.id.is_empty() && event.id.chars().all(is_plain);
    (event.topic.starts_with(CASCADE) && is_name).then(|| format!("{CASCADE_EVENTS}{}.json", event.id))
}

pub(super) fn pending_prefix() -> String {
    format!("{FEED}pending/")
}

impl ReleaseStore {
    /// To be read before it is seen that something is not there yet.
    pub(super) fn mark(&self) -> Result<Mark> {
        self.head().map(Mark)
    }

    /// Announce events before they happen.
    pub(super) fn announce(
        &self,
        mark: Mark,
        events: Vec<FeedEvent>,
        context: &Context,
    ) -> Result<Announced> {
        let id = new_id(context.now());
        let key = format!("{}{}", pending_prefix(), fact_name(id));
        let announcement = Announcement {
            format: FORMAT,
            mark: mark.0,
            events,
        };
        let bytes = serde_json::to_vec(&announcement).expect("an event is plain data");
        self.0.objects.write_for_now(&key, bytes, JSON)?;
        Ok(Announced {
            mark: mark.0,
            key,
            events: announcement.events,
        })
    }

    /// They did not happen, and never will.
    pub(super) fn withdraw(&self, announced: &Announced) {
        // Left behind, it is seen to mean nothing.
        self.0.objects.delete(&announced.key).ok();
    }

    /// They happened: append them.
    pub(super) fn tell(&self, announced: Announced) -> Result<()> {
        self.append(announced.mark, announced.events)?;
        // Left behind, it is seen to be in the feed.
        self.0.objects.delete(&announced.key).ok();
        Ok(())
    }

    /// The same after what cannot be undone: whoever reads the feed next does it where this fails. Returns why it failed, if so.
    pub(super) fn tell_or_leave(&self, announced: Announced, context: &Context) -> Option<String> {
        let error = self.tell(announced).err()?.to_string();
        let message = format!("an event of `{}` could not be added yet: {error}", self.place());
        context.warn("repo::late_event", message);
        Some(error)
    }

    /// Append what writers announced, did, and were killed before they could append. Nobody reads less where this fails.
    pub(super) fn settle_pending(&self, context: &Context) -> Result<()> {
        let names = self.0.objects.names(&pending_prefix())?;
        let now = context.now().0;
        for name in names {
            let Some(id) = name
                .strip_suffix(".json")
                .and_then(|id| Ulid::from_string(id).ok())
            else {
                continue;
            };
            let age = Duration::from_millis(now.abs_diff(id.timestamp_ms()));
            if age > GRACE {
                context.check()?;
                // A reader with write access does it.
                self.settle_one(&format!("{}{name}", pending_prefix())).ok();
            }
        }
        Ok(())
    }

    fn settle_one(&self, key: &str) -> Result<()> {
        let Some(bytes) = self.0.objects.read(key, LIMIT)? else {
            return Ok(());
        };
        let Ok(announcement) = serde_json::from_slice::<Announcement>(&bytes) else {
            return Ok(());
        };
        match self.happened(announcement.events)? {
            Happened::All(events) => drop(self.append(announcement.mark, events)?),
            Happened::Never => {}
            Happened::NotYet => return Ok(()),
        }
        Ok(self.0.objects.delete(key)?)
    }

    /// Whether all of some events happened, by what is in the repo.
    fn happened(&self, announced: Vec<FeedEvent>) -> Result<Happened> {
        let mut events = Vec::with_capacity(announced.len());
        for event in announced {
            if event.topic == CREATED {
                match self.created(&event)? {
                    Happened::All(created) => events.extend(created),
                    other => return Ok(other),
                }
                continue;
            }
            let is_there = if event.topic.starts_with(LABEL) {
                self.has_move(&event.package, &event.id)?
            } else if event.topic.starts_with(CASCADE) {
                // Of several who knew of it, the record is by the first.
                match self.recorded(&event)? {
                    Some(recorded) if recorded == event => true,
                    Some(_) => return Ok(Happened::Never),
                    None => false,
                }
            } else {
                self.has_fact(&event)?
            };
            if !is_there {
                return Ok(Happened::NotYet);
            }
            events.push(event);
        }
        Ok(Happened::All(events))
    }

    fn has_fact(&self, event: &FeedEvent) -> Result<bool> {
        let folder = status_prefix(&event.package, &event.version);
        let fact = self
            .0
            .objects
            .read(&format!("{folder}{}.json", event.id), FACT_LIMIT)?;
        let fact = fact.and_then(|bytes| serde_json::from_slice::<ReleaseEvent>(&bytes).ok());
        Ok(fact.is_some())
    }

    /// The record of an event of a cascade.
    fn recorded(&self, event: &FeedEvent) -> Result<Option<FeedEvent>> {
        let Some(name) = cascade_record(event) else {
            return Ok(None);
        };
        let bytes = self.read_record(&name)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// All events of cascades that are recorded.
    pub(super) fn events_of_cascades(&self) -> Result<Vec<FeedEvent>> {
        let below = self.records_below(CASCADE_EVENTS)?;
        let names: Vec<String> = below
            .iter()
            .map(|name| format!("{CASCADE_EVENTS}{name}"))
            .collect();
        let read = self.read_records(&names)?;
        let events = names.iter().zip(read).filter_map(|(name, bytes)| {
            let event = serde_json::from_slice::<FeedEvent>(&bytes?).ok()?;
            (cascade_record(&event).as_ref() == Some(name)).then_some(event)
        });
        Ok(events.collect())
    }

    /// Whether the file of an event is there with its bytes; the event as the facts say it, as several may have offered those bytes.
    fn created(&self, event: &FeedEvent) -> Result<Happened> {
        let file = event.file.as_deref().unwrap_or_default();
        let key = format!("{}{file}", package_prefix(&event.package));
        if self.0.objects.stat(&key)?.is_none() {
            return Ok(Happened::NotYet);
        }
        let snapshot = self.snapshot_of(&event.package, &|name| name.trim_end_matches(".json") == file)?;
        let Some(release) = snapshot.files().find(|release| release.file == file) else {
            return Ok(Happened::NotYet);
        };
        let sha256 = self.digest_of(release)?;
        if Some(sha256) != event.sha256 {
            return Ok(Happened::Never);
        }
        let published = self.published_of(release, snapshot.facts(&release.version));
        Ok(Happened::All(vec![FeedEvent::of_file(
            release,
            sha256,
            published.as_ref(),
        )]))
    }

    fn published_of<'a>(
        &self,
        release: &ReleaseFile,
        facts: impl Iterator<Item = &'a ReleaseEvent>,
    ) -> Option<ReleaseEvent> {
        let sha256 = self.digest_of(release).ok();
        let release = ReleaseFile {
            sha256,
            ..release.clone()
        };
        fold(facts, &release).published
    }

    /// All events that the files, facts and labels of a package amount to.
    pub(super) fn events_of(&self, name: &PackageName, listing: &Listing) -> Result<Vec<FeedEvent>> {
        let said = self.read_facts(name)?;
        let mut events = Vec::new();
        for release in listing.files() {
            // Gone since it was listed.
            let Ok(sha256) = self.digest_of(release) else {
                continue;
            };
            let of_version = said.get(&release.version.to_string()).into_iter();
            let facts: Vec<&ReleaseEvent> = of_version.flat_map(Said::facts).collect();
            // A file in place of the published one is damage, not an event.
            if may_be(&published_digests(facts.iter().copied(), &release.file), sha256) {
                let published = self.published_of(release, facts.into_iter());
                events.push(FeedEvent::of_file(release, sha256, published.as_ref()));
            }
        }
        let facts = said.values().flat_map(|said| &said.named);
        let about = facts.filter(|(_, fact)| fact.package == *name);
        events.extend(about.filter_map(|(id, fact)| FeedEvent::of_fact(*id, fact)));
        events.extend(self.events_of_labels(name)?);
        Ok(events)
    }

    /// Append all events that are in no record, oldest first, and close gaps. `events` are all that the repo amounts to. Returns how many were appended.
    pub(super) fn reconcile_feed(&self, mut events: Vec<FeedEvent>, context: &Context) -> Result<u64> {
        let (mut known, mut number) = (HashSet::new(), 0);
        for there in self.record_numbers()? {
            context.check()?;
            // Lost in a power cut; a reader stops before it. A wide gap is a stray file.
            if there - number > MOST_OF_A_GAP {
                break;
            }
            for gap in number + 1..there {
                self.create_numbered(gap, EMPTY)?;
            }
            number = there;
            let record = self.read_record_of(number)?.unwrap_or_default();
            known.extend(record.into_iter().map(|event| event.id));
        }
        events.retain(|event| !known.contains(&event.id));
        events.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        let mut appended = 0;
        for some in events.chunks(MOST) {
            context.check()?;
            appended += self.append(number, some.to_vec())? as u64;
        }
        if self.head()? < number {
            self.write_head(number)?;
        }
        Ok(appended)
    }
}

/// A record of no event.
const EMPTY: &[u8] = b"{\"format\": 1, \"events\": []}";
