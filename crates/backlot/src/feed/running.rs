//! A process that tells hooks of the events of this workspace's repos.
//!
//! Each hook has a cursor of its own, so one that fails holds no other up; it is moved after an event was taken, so each event is delivered at least once, in
//! order. A hook that is new is told of what happens from then on, and so is every hook of a repo that is new. Invariant: one process at a time tells the hooks of
//! a workspace on a machine. Deliberately absent: deciding that an event will never be taken; a person does that (`skip_hook`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backlot_core::{Class, Diagnostic as _, FileLock, options};
use backlot_net::Pauses;
use backlot_pep::{PackageName, Version};
use backlot_repo::FeedEvent;
use serde::{Deserialize, Serialize};

use crate::error::{EventsError, Result};
use crate::feed::cursor::EventCursor;
use crate::feed::delivery::delivery_id;
use crate::feed::hook::{Hook, hook_file};
use crate::feed::kept::KeptCursor;
use crate::feed::reading::{Batch, Feeds, RepoEvent, rest};
use crate::workspace::Opened;

/// How many events are read at once.
const BATCH: usize = 256;
/// How often repos are asked for new events.
const EVERY: Duration = Duration::from_secs(2);
/// The first pause after a hook, or a repo, failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long another process is waited for that tells the hooks of this workspace.
const PATIENCE: Duration = Duration::from_secs(2);
/// The topic of an event that is made up for a test.
const TEST: &str = "hook.test";

options! {
    /// Which hooks are run, and how long.
    #[derive(Default)]
    pub struct HookOptions {
        /// Only these; without any, all.
        pub hooks: Vec<String>,
        /// Tell of what there is now, and end.
        pub once: bool,
        /// How often repos are asked for new events (default: 2 seconds).
        pub every: Option<Duration>,
    }
}

/// An event delivered to a hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// The hook.
    pub hook: String,
    /// The ID of the event, the same on every delivery.
    pub delivery: String,
    /// The event.
    #[serde(flatten)]
    pub event: RepoEvent,
    /// Why it was not taken, if it was not: it comes again.
    pub error: Option<String>,
}

/// The deliveries to hooks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HooksReport {
    /// Each hook.
    pub hooks: Vec<HookRun>,
}

/// The deliveries to one hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HookRun {
    /// The hook.
    pub hook: String,
    /// How many events it took.
    pub delivered: u64,
    /// Its position.
    pub cursor: EventCursor,
    /// Why the event after that was not taken, if it was not.
    pub waiting: Option<String>,
}

impl HooksReport {
    /// The error for events that wait, if some do.
    pub fn failure(&self) -> Option<EventsError> {
        let waiting = self.hooks.iter().filter_map(|run| {
            let why = run.waiting.as_ref()?;
            Some(format!("{}: {why}", run.hook))
        });
        let hooks: Vec<String> = waiting.collect();
        (!hooks.is_empty()).then_some(EventsError::Waiting { hooks })
    }
}

/// A hook while it is run.
struct Running {
    hook: Hook,
    feeds: Feeds,
    kept: KeptCursor,
    run: HookRun,
    /// After a failure, until when it is left alone.
    until: Option<Instant>,
    pauses: Pauses,
}

/// What was read in one round: hooks that were told as much read the same.
type Round = BTreeMap<(Vec<String>, EventCursor), Batch>;

fn endless() -> Pauses {
    Pauses::new(u32::MAX, FIRST_PAUSE)
}

impl Opened {
    /// Tell hooks of events, and `told` of each delivery, until `told` wants no more.
    pub(crate) fn run_hooks(
        &self,
        options: &HookOptions,
        told: &mut dyn FnMut(&Delivery) -> bool,
    ) -> Result<HooksReport> {
        let hooks = self.wanted_hooks(&options.hooks)?;
        let _lock = FileLock::acquire(&self.told_folder().join("lock"), PATIENCE, self.context())?;
        let begun = hooks.into_iter().map(|hook| self.begin_hook(hook));
        let mut running: Vec<Running> = begun.collect::<Result<_>>()?;
        let mut pauses = endless();
        loop {
            let mut round = Round::new();
            let (mut ended, mut failed) = (true, None);
            for hook in running.iter_mut().filter(|hook| hook.is_due()) {
                match self.run_one(hook, &mut round, told) {
                    Ok(Told::Some { all }) => ended &= all,
                    Ok(Told::Enough) => return Ok(report(&running)),
                    // Servers come back; a process that tells of what they have waits for it.
                    Err(error) if !options.once && error.class() == Class::Environment => {
                        failed = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            if options.once && ended {
                return Ok(report(&running));
            }
            match failed {
                Some(error) => {
                    self.context()
                        .warn("hooks::repo_not_read", format!("it will be retried: {error}"));
                    rest(pauses.next(None).unwrap_or(FIRST_PAUSE), self.context())?;
                }
                None => {
                    pauses = endless();
                    if ended {
                        rest(options.every.unwrap_or(EVERY), self.context())?;
                    }
                }
            }
        }
    }

    fn begin_hook(&self, hook: Hook) -> Result<Running> {
        let feeds = self.feeds(&hook.repos)?;
        let kept = self.kept_cursor(&hook_file(&hook.name));
        let cursor = feeds.with_new(kept.load()?.unwrap_or_default())?;
        kept.save(&cursor)?;
        Ok(Running {
            run: HookRun {
                hook: hook.name.clone(),
                delivered: 0,
                cursor,
                waiting: None,
            },
            hook,
            feeds,
            kept,
            until: None,
            pauses: endless(),
        })
    }

    /// Tell one hook of the next events.
    fn run_one(
        &self,
        running: &mut Running,
        round: &mut Round,
        told: &mut dyn FnMut(&Delivery) -> bool,
    ) -> Result<Told> {
        let key = (running.hook.repos.clone(), running.run.cursor.clone());
        let batch = match round.get(&key) {
            Some(batch) => batch.clone(),
            None => {
                let batch = running.feeds.read(&key.1, BATCH, self.context())?;
                round.entry(key).or_insert(batch).clone()
            }
        };
        let hook = running.hook.clone();
        for event in batch.events.iter().filter(|event| hook.topics.want(event)) {
            let outcome = self.deliver(&hook, event);
            self.context().check()?;
            let error = outcome.err().map(|error| error.to_string());
            if error.is_none() {
                running.move_to(&event.cursor)?;
                running.run.delivered += 1;
            }
            let delivery = Delivery {
                hook: hook.name.clone(),
                delivery: delivery_id(event),
                event: event.clone(),
                error,
            };
            if !told(&delivery) {
                return Ok(Told::Enough);
            }
            if delivery.error.is_some() {
                running.run.waiting = delivery.error;
                let pause = running.pauses.next(None).unwrap_or(FIRST_PAUSE);
                running.until = Some(Instant::now() + pause);
                return Ok(Told::Some { all: true });
            }
            running.run.waiting = None;
            running.pauses = endless();
        }
        running.move_to(&batch.cursor)?;
        Ok(Told::Some { all: batch.ended })
    }

    /// Tell a hook of a made-up event.
    pub(crate) fn test_hook(&self, name: &str) -> Result<Delivery> {
        let hook = self.wanted_hooks(&[name.to_owned()])?.remove(0);
        let now = self.context().now();
        let (package, version) = (PackageName::parse("backlot-test")?, Version::parse("1.0")?);
        let event = RepoEvent {
            repo: hook.repos.first().cloned().unwrap_or_else(|| "test".to_owned()),
            cursor: EventCursor::default(),
            event: FeedEvent {
                author: self.settings().author.value.clone(),
                reason: "backlot hooks test".to_owned(),
                machine: self.host().machine.clone(),
                // Another each time, or a receiver that drops doubles would take it once.
                ..FeedEvent::new(format!("test-{}", now.0), TEST, (&package, &version), now)
            },
        };
        self.deliver(&hook, &event)?;
        Ok(Delivery {
            hook: hook.name,
            delivery: delivery_id(&event),
            event,
            error: None,
        })
    }

    /// Go past the next event of a hook without telling it. Returns that event, if there is one.
    pub(crate) fn skip_hook(&self, name: &str, dry_run: bool) -> Result<Option<RepoEvent>> {
        let hook = self.wanted_hooks(&[name.to_owned()])?.remove(0);
        let _lock = FileLock::acquire(&self.told_folder().join("lock"), PATIENCE, self.context())?;
        let feeds = self.feeds(&hook.repos)?;
        let kept = self.kept_cursor(&hook_file(&hook.name));
        let mut cursor = feeds.with_new(kept.load()?.unwrap_or_default())?;
        loop {
            let batch = feeds.read(&cursor, BATCH, self.context())?;
            let next = batch.events.into_iter().find(|event| hook.topics.want(event));
            cursor = next.as_ref().map_or(batch.cursor, |event| event.cursor.clone());
            if next.is_some() || batch.ended {
                if !dry_run {
                    kept.save(&cursor)?;
                }
                return Ok(next);
            }
        }
    }
}

/// The outcome of a delivery.
enum Told {
    /// Of some events, or of all that there are now or that it takes.
    Some { all: bool },
    /// The caller wants no more.
    Enough,
}

impl Running {
    fn is_due(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn move_to(&mut self, cursor: &EventCursor) -> Result<()> {
        if self.run.cursor != *cursor {
            self.kept.save(cursor)?;
            self.run.cursor = cursor.clone();
        }
        Ok(())
    }
}

fn report(running: &[Running]) -> HooksReport {
    HooksReport {
        hooks: running.iter().map(|hook| hook.run.clone()).collect(),
    }
}
