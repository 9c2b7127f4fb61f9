//! One attempt at an asset in a process of its own, under watch: of its time, of its silence, and of the cascade, which may be cancelled meanwhile.
//!
//! Invariants: an attempt whose time is over fails as a build, so that it is not repeated for ever; what its stages print is passed on as it comes.
//! Deliberately absent: the steps of an attempt (`backlot-cascade`), and signals, which the command turns into a cancellation.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backlot_cascade::{Built, Committed, Failure, FailureKind, Job, Journal, JournalEvent, Worker};
use backlot_core::{Cancelled, Context, Event, EventKind, Observer, file};

use crate::cascade::executors::launch::AttemptLimits;
use crate::error::{CascadeError, Result};
use crate::workspace::Opened;

/// How often an attempt is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How much space a machine needs that begins one.
const LEAST_FREE: u64 = 256 << 20;

/// Notes that something happens, and passes on what stages do.
#[derive(Debug)]
struct Life {
    last: Mutex<Instant>,
    outer: Context,
}

impl Observer for Life {
    fn event(&self, event: &Event) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let is_of_stage = matches!(
            event.kind,
            EventKind::StageStarted { .. } | EventKind::StageOutput { .. } | EventKind::StageEnded { .. }
        );
        if is_of_stage {
            self.outer.emit(event.kind.clone());
        }
    }
}

/// What watches an attempt.
#[derive(Debug)]
pub(crate) struct Watchdog<'a> {
    limits: AttemptLimits,
    journal: &'a dyn Journal,
    /// How far the journal was read.
    next: u64,
    /// How often it is read.
    poll: Duration,
    life: Arc<Life>,
    /// Why the attempt took too long.
    over: OnceLock<String>,
}

impl<'a> Watchdog<'a> {
    pub(crate) fn new(
        limits: AttemptLimits,
        (journal, next): (&'a dyn Journal, u64),
        poll: Duration,
        context: &Context,
    ) -> Self {
        let life = Life {
            last: Mutex::new(Instant::now()),
            outer: context.clone(),
        };
        Self {
            limits,
            journal,
            next,
            poll,
            life: Arc::new(life),
            over: OnceLock::new(),
        }
    }

    /// What is to be told of all that the attempt does.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.life) as _
    }

    /// Do work with a context that is cancelled when its time is over, or the cascade is cancelled.
    pub(crate) fn watch<T>(&self, context: &Context, work: impl FnOnce(&Context) -> T) -> T {
        let context = context.child();
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let watched = &context;
            scope.spawn(move || {
                let (begun, mut next, mut read) = (Instant::now(), self.next, Instant::now());
                while is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if let Some(reason) = self.too_long(begun) {
                        self.over.get_or_init(|| reason);
                        watched.cancel().cancel();
                    }
                    if read.elapsed() >= self.poll {
                        read = Instant::now();
                        // If it cannot be read, the lease decides.
                        let Ok(loaded) = self.journal.load(next) else {
                            continue;
                        };
                        next = loaded.next;
                        let is_end = |event: &JournalEvent| matches!(event, JournalEvent::Cancelled { .. });
                        if loaded.entries.iter().any(|entry| is_end(&entry.event)) {
                            watched.cancel().cancel();
                        }
                    }
                }
            });
            let result = work(watched);
            drop(done);
            result
        })
    }

    fn too_long(&self, begun: Instant) -> Option<String> {
        let quiet = self
            .life
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed();
        let told = |time: Duration| format!("{} s", time.as_secs());
        match self.limits {
            AttemptLimits {
                wall_time: Some(most),
                ..
            } if begun.elapsed() > most => Some(format!("it took longer than {}", told(most))),
            AttemptLimits {
                quiet_time: Some(most),
                ..
            } if quiet > most => Some(format!("it printed nothing and moved no byte for {}", told(most))),
            _ => None,
        }
    }

    /// A step that was stopped because its time was over failed by that.
    fn judge<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        self.overtime().map_or(result, Err)
    }

    fn overtime(&self) -> Option<Failure> {
        let reason = self.over.get()?;
        Some(Failure::new(FailureKind::Build, reason.clone()))
    }
}

/// A worker whose attempt is watched.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) worker: &'a dyn Worker,
    pub(crate) watchdog: &'a Watchdog<'a>,
}

impl Worker for Watched<'_> {
    fn prepare(&self, job: &Job, context: &Context) -> Result<(), Failure> {
        self.watchdog.judge(self.worker.prepare(job, context))
    }
    fn build(&self, job: &Job, context: &Context) -> Result<Built, Failure> {
        self.watchdog.judge(self.worker.build(job, context))
    }
    fn validate(&self, job: &Job, built: &Built, context: &Context) -> Result<(), Failure> {
        self.watchdog.judge(self.worker.validate(job, built, context))
    }
    fn push(&self, job: &Job, built: &Built, context: &Context) -> Result<(), Failure> {
        self.watchdog.judge(self.worker.push(job, built, context))
    }
    fn release(&self, job: &Job, built: &Built, context: &Context) -> Result<Committed, Failure> {
        // What is released is released.
        self.worker.release(job, built, context)
    }
    fn interrupted(&self, why: Cancelled) -> Failure {
        self.watchdog
            .overtime()
            .unwrap_or_else(|| self.worker.interrupted(why))
    }
    fn discard(&self, job: &Job, keep: bool, context: &Context) {
        self.worker.discard(job, keep, context);
    }
}

impl Opened {
    /// An error if this machine cannot build now, seen before it takes anything from others.
    pub(crate) fn check_machine(&self) -> Result<()> {
        let cache = self.cache_dir();
        file::make_folder(cache)?;
        // Where the system does not say, the build will tell.
        match file::disk_space(cache) {
            Ok(space) if space.free < LEAST_FREE => Err(CascadeError::NoSpace {
                folder: cache.to_path_buf(),
                free: space.free,
            }
            .into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use backlot_cascade::{Entry, Journal as _, JournalEvent, MemoryJournal};
    use backlot_core::{Context, EventKind, Timestamp, Warning};

    use super::Watchdog;
    use crate::cascade::executors::launch::AttemptLimits;

    fn wait_until_stopped(context: &Context) -> bool {
        for _ in 0..400 {
            if context.cancel().is_cancelled() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn watchdog(journal: &MemoryJournal, wall_ms: Option<u64>, quiet_ms: Option<u64>) -> Watchdog<'_> {
        let limits = AttemptLimits {
            wall_time: wall_ms.map(Duration::from_millis),
            quiet_time: quiet_ms.map(Duration::from_millis),
        };
        Watchdog::new(limits, (journal, 0), Duration::ZERO, &Context::default())
    }

    #[test]
    fn an_attempt_is_stopped_when_its_time_is_over_or_it_is_silent() {
        let journal = MemoryJournal::default();
        for (wall, quiet, word) in [(Some(300), None, "longer"), (None, Some(300), "printed nothing")] {
            let watchdog = watchdog(&journal, wall, quiet);
            assert!(watchdog.watch(&Context::default(), wait_until_stopped));
            let failure = watchdog.judge(Ok(())).expect_err("its time is over");
            assert!(
                failure.message.contains(word) && failure.kind.counts(),
                "{failure:?}"
            );
            assert_eq!(watchdog.overtime(), Some(failure), "the same between two steps");
        }
    }

    #[test]
    fn a_sign_of_life_is_enough_and_a_cancelled_cascade_stops_it() {
        let journal = Arc::new(MemoryJournal::default());
        let watchdog = watchdog(&journal, None, Some(1_000));
        let context = Context::default();
        watchdog.watch(&context, |watched| {
            let seen = watched.clone().with_observer(watchdog.observer());
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(100));
                seen.emit(EventKind::Warned(Warning {
                    code: "config::unknown_key",
                    message: "a sign of life".to_owned(),
                }));
            }
            assert!(!watched.cancel().is_cancelled());
            let reason = "wrong".to_owned();
            let (at, by) = (Timestamp(1), "ana".to_owned());
            let event = JournalEvent::Cancelled { reason };
            journal.append(&Entry { at, by, event }).expect("memory");
            assert!(wait_until_stopped(watched));
        });
        assert!(watchdog.judge(Ok(())).is_ok() && !context.cancel().is_cancelled());
    }
}
