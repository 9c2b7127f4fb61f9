//! The events of repos, listed and followed.
//!
//! Deliberately absent: reactions to them.

use std::collections::VecDeque;
use std::time::Duration;

use backlot_core::options;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::feed::cursor::EventCursor;
pub use crate::feed::reading::RepoEvent;
use crate::feed::reading::{Feeds, Topics, rest};
use crate::workspace::Opened;

/// The default number of listed events.
const MOST: usize = 20;
/// How many are read at once.
const BATCH: usize = 256;
/// How often a repo is asked for new ones.
const EVERY: Duration = Duration::from_secs(2);

options! {
    /// Which events.
    #[derive(Default)]
    pub struct EventOptions {
        /// Of this repo; without one, of all of the studio that keep events.
        pub repo: Option<String>,
        /// After this cursor; without one, the last that there are.
        pub since: Option<EventCursor>,
        /// At most so many (default 20); of the last that there are, so many of each repo.
        pub limit: Option<usize>,
        /// Of these topics: names, or patterns such as `release.*`; without any, of all.
        pub topics: Vec<String>,
        /// Followed: how often a repo is asked for new ones (default: 2 seconds).
        pub every: Option<Duration>,
    }
}

/// Some events, and where to read on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventsReport {
    /// The events: of each repo in their order, repo by repo.
    pub events: Vec<RepoEvent>,
    /// Where to read on.
    pub cursor: EventCursor,
    /// Whether there may be more after them now.
    pub more: bool,
}

impl Opened {
    pub(crate) fn events(&self, options: &EventOptions) -> Result<EventsReport> {
        let feeds = self.feeds(options.repo.as_slice())?;
        let topics = Topics::parse(&options.topics)?;
        let most = options.limit.unwrap_or(MOST);
        let Some(since) = &options.since else {
            return self.last_events(&feeds, &topics, most);
        };
        let mut report = EventsReport {
            events: Vec::new(),
            cursor: since.for_repos(&feeds.names())?,
            more: true,
        };
        while report.more && report.events.len() < most {
            let left = most - report.events.len();
            let batch = feeds.read(&report.cursor, left, self.context())?;
            report
                .events
                .extend(batch.events.into_iter().filter(|event| topics.want(event)));
            report.cursor = batch.cursor;
            report.more = !batch.ended;
        }
        Ok(report)
    }

    /// The last events of each repo.
    fn last_events(&self, feeds: &Feeds, topics: &Topics, most: usize) -> Result<EventsReport> {
        let mut cursor = feeds.before_end(most)?;
        let mut last: VecDeque<RepoEvent> = VecDeque::new();
        let mut events = Vec::new();
        loop {
            let batch = feeds.read(&cursor, BATCH, self.context())?;
            for event in batch.events {
                if last.front().is_some_and(|first| first.repo != event.repo) {
                    events.extend(last.drain(..));
                }
                if topics.want(&event) {
                    last.push_back(event);
                    if last.len() > most {
                        last.pop_front();
                    }
                }
            }
            cursor = batch.cursor;
            if batch.ended {
                events.extend(last);
                return Ok(EventsReport {
                    events,
                    cursor,
                    more: false,
                });
            }
        }
    }

    /// Tell of the events and of all that come, until `tell` wants no more. Returns where to read on.
    pub(crate) fn follow_events(
        &self,
        options: &EventOptions,
        tell: &mut dyn FnMut(&RepoEvent) -> bool,
    ) -> Result<EventCursor> {
        let feeds = self.feeds(options.repo.as_slice())?;
        let topics = Topics::parse(&options.topics)?;
        let mut cursor = match &options.since {
            Some(since) => since.for_repos(&feeds.names())?,
            None => {
                let report = self.last_events(&feeds, &topics, options.limit.unwrap_or(MOST))?;
                for event in &report.events {
                    if !tell(event) {
                        return Ok(event.cursor.clone());
                    }
                }
                report.cursor
            }
        };
        loop {
            let batch = feeds.read(&cursor, BATCH, self.context())?;
            for event in batch.events.iter().filter(|event| topics.want(event)) {
                if !tell(event) {
                    return Ok(event.cursor.clone());
                }
            }
            cursor = batch.cursor;
            if batch.ended {
                rest(options.every.unwrap_or(EVERY), self.context())?;
            }
        }
    }
}
