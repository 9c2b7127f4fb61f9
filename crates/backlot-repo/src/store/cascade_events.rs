//! Events of cascades: each is a record, and in the feed of events.
//!
//! Invariant: the ID of an event is derived from the cascade and its state, so that several machines that report the same state record it once, and the feed
//! has it once. Deliberately absent: what cascades are (`backlot-cascade`).

use backlot_core::Context;

use super::ReleaseStore;
use super::feed_pending::cascade_record;
use crate::error::Result;
use crate::feed::FeedEvent;

impl ReleaseStore {
    /// Record an event of a cascade and append it to the feed, unless it is recorded. Whether it was recorded here.
    pub fn record_event(&self, event: &FeedEvent, context: &Context) -> Result<bool> {
        let Some(name) = cascade_record(event) else {
            return Ok(false);
        };
        // Before it is seen that it is not there.
        let mark = self.mark()?;
        if self.read_record(&name)?.is_some() {
            return Ok(false);
        }
        let announced = self.announce(mark, vec![event.clone()], context)?;
        let bytes = serde_json::to_vec(event).expect("an event is plain data");
        let created = self.create_record(&name, &bytes)?;
        if created {
            self.tell_or_leave(announced, context);
        } else {
            // The first record is the one in the feed.
            self.withdraw(&announced);
        }
        Ok(created)
    }
}
