//! The context of longer operations: observer, cancellation, clock and threads.
//!
//! Cheap to clone. Deliberately absent: configuration and credentials; those are arguments.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cancel::{Cancel, Cancelled};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::{Event, EventKind, Observer, Operation, OperationId, Subject, Warning};
use crate::pool::Pool;

/// Observer, cancellation, clock and threads of one run.
#[derive(Clone, Debug)]
pub struct Context {
    observer: Option<Arc<dyn Observer>>,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    warnings: Arc<AtomicU64>,
    pool: Pool,
    /// The timeout for locks, if set.
    patience: Option<Duration>,
    /// The operation that this is a part of.
    within: Option<Arc<Work>>,
    subject: Option<Arc<Subject>>,
}

/// Announced work.
#[derive(Debug)]
struct Work {
    id: OperationId,
    operation: Operation,
    parent: Option<Arc<Self>>,
    counts: Mutex<[Count; 2]>,
}

/// How much there is and how much of it is done, of items or bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: u64,
    done: u64,
}

impl Count {
    /// There is more, and more is done. Returns by how much the total grew.
    fn advance(&mut self, more: u64, done: u64) -> u64 {
        let before = self.total;
        self.done = self.done.saturating_add(done);
        self.total = self.total.saturating_add(more).max(self.done);
        self.total - before
    }
}

impl Default for Context {
    /// No observer, no cancellation, the machine's clock, the threads of the process.
    fn default() -> Self {
        Self {
            observer: None,
            cancel: Cancel::default(),
            clock: Arc::new(SystemClock),
            warnings: Arc::default(),
            pool: Pool::of_process(),
            patience: None,
            within: None,
            subject: None,
        }
    }
}

impl Context {
    /// The same context, watched by `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }
    /// The same context, stopped by `cancel`.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }
    /// The same context with a flag of its own: cancelling that stops only the work that is given the new context.
    #[must_use]
    pub fn child(&self) -> Self {
        self.clone().with_cancel(self.cancel.child())
    }
    /// The same, which is cancelled by itself after some time.
    #[must_use]
    pub fn child_for(&self, time: Duration) -> Self {
        self.clone().with_cancel(self.cancel.child_for(time))
    }
    /// The same context, with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
    /// The same context, with other threads for computing.
    #[must_use]
    pub fn with_pool(mut self, pool: Pool) -> Self {
        self.pool = pool;
        self
    }
    /// The same context, with a timeout for locks held by another call or process: zero fails immediately. The default is a minute for a
    /// workspace or a cache.
    #[must_use]
    pub fn with_lock_timeout(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }
    /// The same context for work that is about something, which its events say.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(Arc::new(subject));
        self
    }
    /// The same context without an observer; its warnings are not counted either.
    #[must_use]
    pub fn silent(mut self) -> Self {
        (self.observer, self.within, self.warnings) = (None, None, Arc::default());
        self
    }
    /// The flag that stops the work.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
    /// An error once stopping was asked for.
    pub fn check(&self) -> Result<(), Cancelled> {
        self.cancel.check()
    }
    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
    /// The timeout for locks, if set.
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.patience
    }
    /// The threads for computing.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
    /// Tell the observer.
    pub fn emit(&self, kind: EventKind) {
        self.tell(self.within.as_deref(), kind);
    }
    /// Tell the observer something a person should know. The code is listed in `docs/errors.md`.
    pub fn warn(&self, code: &'static str, message: impl Into<String>) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.emit(EventKind::Warned(Warning {
            code,
            message: message.into(),
        }));
    }
    /// How many warnings were given so far, through this context and those it was made from or for.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }
    /// Announce work; it is announced as finished when the returned guard is dropped. The work that it is a part of grows by it.
    pub fn start(&self, operation: Operation, items: u64, bytes: u64) -> Running<'_> {
        let work = self.observer.is_some().then(|| {
            let total = |total| Count { total, done: 0 };
            Arc::new(Work {
                id: OperationId::next(),
                operation,
                parent: self.within.clone(),
                counts: Mutex::new([total(items), total(bytes)]),
            })
        });
        if let Some(work) = &work {
            let started = EventKind::Started {
                operation,
                items,
                bytes,
            };
            self.tell(Some(work), started);
            self.count(work.parent.as_deref(), [items, bytes], [0, 0]);
        }
        Running { context: self, work }
    }

    fn tell(&self, work: Option<&Work>, kind: EventKind) {
        if let Some(observer) = &self.observer {
            observer.event(&Event {
                id: work.map(|work| work.id).unwrap_or_default(),
                parent: work.and_then(|work| work.parent.as_deref()).map(|work| work.id),
                subject: self.subject.clone(),
                kind,
            });
        }
    }

    /// There is more of some work, and more of it is done; and so of all that it is a part of.
    fn count(&self, work: Option<&Work>, more: [u64; 2], done: [u64; 2]) {
        let (mut next, mut more) = (work, more);
        while let Some(work) = next {
            {
                let mut counts = work.counts.lock().unwrap_or_else(PoisonError::into_inner);
                more = [
                    counts[0].advance(more[0], done[0]),
                    counts[1].advance(more[1], done[1]),
                ];
            }
            let operation = work.operation;
            if more != [0, 0] {
                let [items, bytes] = more;
                let grew = EventKind::Grew {
                    operation,
                    items,
                    bytes,
                };
                self.tell(Some(work), grew);
            }
            if done != [0, 0] {
                let [items, bytes] = done;
                let advanced = EventKind::Advanced {
                    operation,
                    items,
                    bytes,
                };
                self.tell(Some(work), advanced);
            }
            next = work.parent.as_deref();
        }
    }
}

/// Announced work. Dropping it announces the end.
#[derive(Debug)]
#[must_use = "dropping this at once announces the end of the work"]
pub struct Running<'a> {
    context: &'a Context,
    /// `None` without an observer.
    work: Option<Arc<Work>>,
}

impl Running<'_> {
    /// Some of the work is done. It grows if that is more than there was.
    pub fn advance(&self, items: u64, bytes: u64) {
        self.context.count(self.work.as_deref(), [0, 0], [items, bytes]);
    }

    /// The context for parts of this work.
    pub fn context(&self) -> Context {
        Context {
            within: self.work.clone(),
            ..self.context.clone()
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            let operation = work.operation;
            self.context.tell(Some(work), EventKind::Finished { operation });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::Context;
    use crate::event::{Event, EventKind, Observer, Operation, Subject};

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Event>>);

    impl Observer for Kept {
        fn event(&self, event: &Event) {
            self.0.lock().expect("whole").push(event.clone());
        }
    }

    /// The progress and total of the operation of an event, after that event.
    fn counted(events: &[Event], id: u64) -> Vec<(u64, u64)> {
        let (mut done, mut total, mut all) = (0, 0, Vec::new());
        for event in events.iter().filter(|event| event.id.get() == id) {
            match event.kind {
                EventKind::Started { items, .. } | EventKind::Grew { items, .. } => total += items,
                EventKind::Advanced { items, .. } => done += items,
                _ => {}
            }
            all.push((done, total));
        }
        all
    }

    #[test]
    fn parts_are_counted_into_the_whole_and_no_total_is_passed() {
        let kept = Arc::new(Kept::default());
        let context = Context::default().with_observer(Arc::clone(&kept) as _);
        let outer = context.start(Operation::Call("pull"), 0, 0);
        let inside = outer.context().about(Subject::Asset("Table".to_owned()));
        let known = inside.start(Operation::Pull, 2, 0);
        known.advance(2, 0);
        let unknown = inside.start(Operation::Checkout, 0, 0);
        unknown.advance(3, 0);
        inside.warn("install::damaged_wheel", "so it is");
        drop((known, unknown));
        drop(outer);
        let events = kept.0.lock().expect("whole");
        let id = events[0].id.get();
        assert_eq!(counted(&events, id).last(), Some(&(5, 5)));
        for event in events.iter() {
            let own = event.id.get() == id;
            assert_eq!(
                event.parent.map(crate::event::OperationId::get),
                (!own).then_some(id)
            );
            for (done, total) in counted(&events, event.id.get()) {
                assert!(done <= total, "{event:?}");
            }
        }
        let warned = events
            .iter()
            .find(|event| matches!(event.kind, EventKind::Warned(_)));
        let warned = warned.expect("told");
        assert_eq!(warned.id.get(), id);
        let json = serde_json::to_value(warned).expect("serialised");
        assert_eq!(
            json["subject"],
            serde_json::json!({ "kind": "asset", "name": "Table" })
        );
        assert_eq!(
            (json["event"].as_str(), json["code"].as_str()),
            (Some("warned"), Some("install::damaged_wheel"))
        );
    }

    #[test]
    fn what_is_done_silently_does_not_count() {
        let kept = Arc::new(Kept::default());
        let context = Context::default().with_observer(Arc::clone(&kept) as _);
        let outer = context.start(Operation::Call("publish"), 0, 0);
        let silent = outer.context().silent();
        silent.start(Operation::Push, 5, 0).advance(5, 0);
        drop(outer);
        assert_eq!(kept.0.lock().expect("whole").len(), 2);
    }
}
