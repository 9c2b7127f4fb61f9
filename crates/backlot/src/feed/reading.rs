//! Reading the feeds of some repos from a cursor on.
//!
//! Invariant: a cursor moves past what was read, and past nothing else. Deliberately absent: keeping cursors.

use std::time::{Duration, Instant};

use backlot_core::wildcard::Wildcard;
use backlot_core::{Context, text};
use backlot_repo::{FeedEvent, Repo, TOPICS};
use serde::{Deserialize, Serialize};

use crate::error::{EventsError, Result};
use crate::feed::cursor::EventCursor;
use crate::workspace::Opened;

/// How often somebody who waits looks whether to go on.
const LOOK: Duration = Duration::from_millis(50);

/// An event of a repo, with where to read on after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepoEvent {
    /// The repo, as configured.
    pub repo: String,
    /// Where to read on after it, in all repos that are read.
    pub cursor: EventCursor,
    /// The event.
    #[serde(flatten)]
    pub event: FeedEvent,
}

/// Which events are wanted: all, or those of some topics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics(Vec<Wildcard>);

impl Topics {
    /// Patterns such as `release.created` or `release.*`; without any, all. One that no topic fits is an error.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self> {
        let mut topics = Self::default();
        for pattern in patterns {
            let wildcard = Wildcard::new(pattern);
            if !TOPICS.iter().any(|topic| wildcard.fits(topic)) {
                return Err(EventsError::UnknownTopic {
                    topic: pattern.clone(),
                    nearest: text::nearest(pattern, TOPICS).map(ToOwned::to_owned),
                }
                .into());
            }
            topics.0.push(wildcard);
        }
        Ok(topics)
    }

    pub(crate) fn want(&self, event: &RepoEvent) -> bool {
        self.0.is_empty() || self.0.iter().any(|topic| topic.fits(&event.event.topic))
    }
}

/// Some events, and where to read on.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) events: Vec<RepoEvent>,
    pub(crate) cursor: EventCursor,
    /// Whether those were all that there are now.
    pub(crate) ended: bool,
}

/// The repos whose events are read, in order of preference.
#[derive(Debug)]
pub(crate) struct Feeds(Vec<(String, Repo)>);

impl Opened {
    /// The repos that keep events: all of the studio, or those that are named, which then have to.
    pub(crate) fn feeds(&self, named: &[String]) -> Result<Feeds> {
        let mut feeds = Vec::new();
        for name in named {
            feeds.push((name.clone(), self.open_repo(self.repo_entry(name)?)?));
        }
        if !named.is_empty() {
            return Ok(Feeds(feeds));
        }
        for entry in self.repos().into_iter().filter(|entry| entry.public.is_none()) {
            let repo = self.open_repo(entry)?;
            if repo.keeps_events()? {
                feeds.push((entry.name.clone(), repo));
            }
        }
        if feeds.is_empty() {
            return Err(EventsError::NoFeeds.into());
        }
        Ok(Feeds(feeds))
    }
}

impl Feeds {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The same cursor with the ends of repos that it does not name.
    pub(crate) fn with_new(&self, mut cursor: EventCursor) -> Result<EventCursor> {
        for (name, repo) in &self.0 {
            if cursor.of(name).is_none() {
                cursor.set(name, repo.feed_end()?);
            }
        }
        Ok(cursor)
    }

    /// So many records of each repo before its end.
    pub(crate) fn before_end(&self, records: usize) -> Result<EventCursor> {
        let mut cursor = EventCursor::default();
        for (name, repo) in &self.0 {
            cursor.set(name, repo.feed_end()?.back(records as u64));
        }
        Ok(cursor)
    }

    /// Up to `most` events after a cursor, repo by repo.
    pub(crate) fn read(&self, from: &EventCursor, most: usize, context: &Context) -> Result<Batch> {
        let mut batch = Batch {
            events: Vec::new(),
            cursor: from.clone(),
            ended: true,
        };
        for (name, repo) in &self.0 {
            let left = most - batch.events.len();
            if left == 0 {
                batch.ended = false;
                break;
            }
            let feed = repo.feed(from.of(name).unwrap_or_default(), left, context)?;
            for (position, event) in feed.events {
                batch.cursor.set(name, position);
                batch.events.push(RepoEvent {
                    repo: name.clone(),
                    cursor: batch.cursor.clone(),
                    event,
                });
            }
            batch.cursor.set(name, feed.next);
            batch.ended &= feed.ended;
        }
        Ok(batch)
    }
}

/// Wait, unless the work is stopped.
pub(crate) fn rest(pause: Duration, context: &Context) -> Result<()> {
    let until = Instant::now() + pause;
    loop {
        context.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}
