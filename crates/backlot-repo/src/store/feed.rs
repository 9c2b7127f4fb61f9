//! Reading the feed of events from a position on.
//!
//! Invariant: a reader that continues from its cursor sees each event once, in the order of the records (`feed_log`). Deliberately absent: keeping positions.

use backlot_core::Context;

use super::ReleaseStore;
use super::feed_log::{BATCH, record_key};
use crate::error::{Error, Result};
use crate::feed::{Feed, FeedPosition};
use crate::layout::RepoKind;

impl ReleaseStore {
    /// Up to `most` events after a position, in their order. Events whose writers were killed before they could add them are added first, if this may
    /// be written to. Where nothing happened, that is a listing of a folder that is mostly empty, and two reads.
    pub fn feed(&self, from: FeedPosition, most: usize, context: &Context) -> Result<Feed> {
        self.check_feed()?;
        self.settle_pending(context)?;
        let mut feed = Feed {
            next: from,
            ..Feed::default()
        };
        let mut batch = 1;
        while feed.events.len() < most {
            context.check()?;
            let first = feed.next.records + 1;
            let records = self.read_from(first, batch)?;
            let found = records.len() as u64;
            for (number, events) in (first..).zip(records) {
                if !feed.take(number, events, most) {
                    return Ok(feed);
                }
            }
            if found < batch {
                self.check_end(feed.next)?;
                feed.ended = true;
                break;
            }
            batch = (batch * 2).min(BATCH);
        }
        Ok(feed)
    }

    /// The position after the last event.
    pub fn feed_end(&self) -> Result<FeedPosition> {
        self.check_feed()?;
        let mut last = self.head()?;
        if last == 0 {
            // The head may have been lost.
            last = self.record_numbers()?.last().copied().unwrap_or(0);
        }
        let last = self.read_past(last, |_| {})?;
        Ok(FeedPosition::after(last))
    }

    /// An error if it keeps no events.
    fn check_feed(&self) -> Result<()> {
        if self.is_local() && self.kind()? == RepoKind::Flat {
            return Err(Error::NoEvents { place: self.place() });
        }
        Ok(())
    }

    /// At what seems to be the end: an error if there is more behind a gap, or if so much was never there.
    fn check_end(&self, end: FeedPosition) -> Result<()> {
        let head = self.head()?;
        let is_there =
            |number: u64| Ok::<_, Error>(number == 0 || self.0.objects.stat(&record_key(number))?.is_some());
        if head > end.records && !is_there(end.records + 1)? {
            return Err(Error::EventsMissing {
                place: self.at(&record_key(end.records + 1)),
            });
        }
        if head < end.records && !is_there(end.records)? || end.events > 0 && !is_there(end.records + 1)? {
            return Err(Error::NoSuchEvents {
                place: self.place(),
                position: end.to_string(),
                last: head,
            });
        }
        Ok(())
    }
}
