//! The feed of events: records `events/<number>.json` from 1 without gaps, each created once.
//!
//! A reader's cursor is the number of the last record that it has read. Names by time would lose events: a writer whose clock is late, or who is slow
//! between choosing a name and writing it, adds a record before those that a reader has passed. Here a record gets its number from the store, by the
//! request that also makes releases, of which one of any number of writers wins; so it is after all records that anybody has read.
//!
//! Invariants: **record n + 1 is created only after record n**, so all that is there is before the first number that is not, and no clock orders anything.
//! **No event is in two records**: who appends one knows a *mark*, a number so low that no record up to it can have the event, and has read all records
//! after the mark when it creates the next one; whoever was first with that number made it known to the others, which read it before they try again.
//! **No event is lost**: it is announced in `events/pending/` before its effect (`feed_pending`). `events/head.json` is a number that was the last one a
//! while ago, so that nobody has to list or count; it may be late, and never ahead. Deliberately absent: removing records.

use std::time::Instant;

use backlot_backend::{CommitBy, Error as BackendError, Put, RenameOutcome};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::commit::{LostAnswers, after_all, pause};
use super::{JSON, ReleaseStore};
use crate::error::{Error, Result};
use crate::feed::FeedEvent;

/// Below which the records lie.
pub(super) const FEED: &str = "events/";
const HEAD: &str = "events/head.json";
/// Where records are staged that are moved to their names. No package is called so.
const STAGED: &str = "staged/_events/";
/// The most that a record may have.
const RECORD_LIMIT: u64 = 16 << 20;
/// The most events of a record.
pub(super) const MOST: usize = 1000;
/// The most records that are asked for at once.
pub(super) const BATCH: u64 = 64;
const FORMAT: u32 = 1;

/// A record as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    events: Vec<FeedEvent>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    number: u64,
}

pub(super) fn record_key(number: u64) -> String {
    format!("{FEED}{number:08}.json")
}

/// The number that a record is named by.
fn number_of(file: &str) -> Option<u64> {
    let number = file.strip_suffix(".json")?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number)
}

impl ReleaseStore {
    /// A number of records that are surely there, without asking for them; less than there are, if others add some.
    pub(super) fn head(&self) -> Result<u64> {
        let bytes = self.0.objects.read(HEAD, 1000)?;
        let head = bytes.and_then(|bytes| serde_json::from_slice::<Head>(&bytes).ok());
        Ok(head.map_or(0, |head| head.number))
    }

    pub(super) fn write_head(&self, number: u64) -> Result<()> {
        let bytes = serde_json::to_vec(&Head { number }).expect("a number");
        Ok(self.0.objects.write_for_now(HEAD, bytes, JSON)?)
    }

    /// The numbers of all records, sorted.
    pub(super) fn record_numbers(&self) -> Result<Vec<u64>> {
        let names = self.0.objects.names(FEED)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The events of up to `most` records from a number on, up to the first that is not there.
    pub(super) fn read_from(&self, first: u64, most: u64) -> Result<Vec<Vec<FeedEvent>>> {
        let numbers: Vec<u64> = (first..first.saturating_add(most)).collect();
        let records = self.each(&numbers, |number| self.read_record_of(*number))?;
        let there = records
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |last| last + 1);
        let mut found = Vec::with_capacity(there);
        for (number, record) in numbers.into_iter().zip(records).take(there) {
            // They were asked for at once: it may have come before the one after it, and after the question.
            let record = record.map_or_else(|| self.read_record_of(number), |record| Ok(Some(record)))?;
            found.push(record.ok_or_else(|| Error::EventsMissing {
                place: self.at(&record_key(number)),
            })?);
        }
        Ok(found)
    }

    /// The events of a record; none of one that cannot be read as such, which a reindex adds again.
    pub(super) fn read_record_of(&self, number: u64) -> Result<Option<Vec<FeedEvent>>> {
        let bytes = self.0.objects.read(&record_key(number), RECORD_LIMIT)?;
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Record>(&bytes);
        Ok(bytes.map(|bytes| read(bytes).map(|record| record.events).unwrap_or_default()))
    }

    /// Read all records after a number that is there, and see each event. Returns the number of the last.
    pub(super) fn read_past(&self, last: u64, mut see: impl FnMut(FeedEvent)) -> Result<u64> {
        // With the one that has to be there.
        let (mut first, mut batch) = if last == 0 { (1, 1) } else { (last, 2) };
        loop {
            let records = self.read_from(first, batch)?;
            let found = records.len() as u64;
            if found == 0 && first == last {
                return Err(Error::EventsMissing {
                    place: self.at(&record_key(last)),
                });
            }
            records.into_iter().flatten().for_each(&mut see);
            first += found;
            if found < batch {
                return Ok(first - 1);
            }
            batch = (batch * 2).min(BATCH);
        }
    }

    /// Append those of some events that are not there yet. None of them is in a record up to `mark`, which is there. Returns how many were
    /// appended here.
    pub(super) fn append(&self, mark: u64, mut events: Vec<FeedEvent>) -> Result<usize> {
        let (mut last, mut lost) = (mark, LostAnswers::default());
        loop {
            last = self.read_past(last, |known| events.retain(|event| event.id != known.id))?;
            if events.is_empty() {
                return Ok(0);
            }
            let record = Record {
                format: FORMAT,
                events,
            };
            let bytes = serde_json::to_vec(&record).expect("an event is plain data");
            Record { events, .. } = record;
            match self.create_numbered(last + 1, &bytes) {
                Ok(Put::New) => {
                    // A reader finds the rest from an older one.
                    self.write_head(last + 1).ok();
                    return Ok(events.len());
                }
                // It may be ours, if an answer was lost: the next look tells.
                Ok(Put::Exists) => {}
                Err(error) => lost.another(error)?,
            }
        }
    }

    /// Create a record if there is none of its number.
    pub(super) fn create_numbered(&self, number: u64, bytes: &[u8]) -> Result<Put, BackendError> {
        match self.0.objects.commit_by() {
            CommitBy::Create => self.0.objects.create(&record_key(number), bytes.to_vec(), JSON),
            CommitBy::Move => self.move_numbered(number, bytes),
        }
    }

    /// The same where a move commits, by the protocol of [`super::commit`]: of any number of moves to one name at most one succeeds.
    fn move_numbered(&self, number: u64, bytes: &[u8]) -> Result<Put, BackendError> {
        let (objects, target) = (&self.0.objects, record_key(number));
        let mut last = Ulid::nil();
        loop {
            let id = after_all(last);
            let staged = format!("{STAGED}{}-{number}", id.to_string().to_lowercase());
            let outcome = objects
                .stage(&staged, bytes.to_vec())
                .and_then(|()| self.move_staged(id, &staged, &target, number, &mut last));
            match outcome {
                Ok(RenameOutcome::Done) => return Ok(Put::New),
                // Removed by a publisher that is now first.
                Ok(RenameOutcome::Gone) => pause(20),
                Ok(RenameOutcome::Exists) => {
                    objects.delete(&staged).ok();
                    return Ok(Put::Exists);
                }
                Err(error) => {
                    // It may have arrived, and must not be moved by a request that arrives late.
                    objects.delete(&staged).ok();
                    return Err(error);
                }
            }
        }
    }

    fn move_staged(
        &self,
        id: Ulid,
        staged: &str,
        target: &str,
        number: u64,
        last: &mut Ulid,
    ) -> Result<RenameOutcome, BackendError> {
        let (objects, begun) = (&self.0.objects, Instant::now());
        loop {
            let mut waits = false;
            for entry in objects.list(STAGED, false)? {
                let Some(rival) = rival_for(&entry.key, number).filter(|rival| *rival != id) else {
                    continue;
                };
                *last = (*last).max(rival);
                // The first to stage goes first; one that does not proceed counts as dead.
                if rival < id && begun.elapsed() < self.0.patience {
                    waits = true;
                } else {
                    objects.delete(&entry.key)?;
                }
            }
            if objects.stat(target)?.is_some() {
                return Ok(RenameOutcome::Exists);
            }
            if !waits {
                return objects.rename(staged, target);
            }
            pause(20);
        }
    }
}

/// The id of a record that is staged for a number.
fn rival_for(key: &str, number: u64) -> Option<Ulid> {
    let (id, of) = key.strip_prefix(STAGED)?.split_once('-')?;
    if of.parse() != Ok(number) {
        return None;
    }
    Ulid::from_string(id).ok()
}
