//! What every longer operation is given: who watches, what stops it, what time it is.
//!
//! Cheap to clone. Deliberately absent: configuration and credentials; those are arguments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cancel::{Cancel, Cancelled};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::{Event, Observer, Operation, Silent, Warning};

/// Observer, cancellation and clock of one run.
#[derive(Clone, Debug)]
pub struct Context {
    observer: Arc<dyn Observer>,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    warnings: Arc<AtomicU64>,
}

impl Default for Context {
    /// Nobody watches, nothing stops it, the machine's clock.
    fn default() -> Self {
        Self {
            observer: Arc::new(Silent),
            cancel: Cancel::default(),
            clock: Arc::new(SystemClock),
            warnings: Arc::default(),
        }
    }
}

impl Context {
    /// The same context, watched by `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
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
    /// The same context, watched by nobody; what it warns of counts no more either.
    #[must_use]
    pub fn silent(mut self) -> Self {
        (self.observer, self.warnings) = (Arc::new(Silent), Arc::default());
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
    /// Tell the observer.
    pub fn emit(&self, event: &Event) {
        self.observer.event(event);
    }
    /// Tell the observer something a person should know. The code is listed in `docs/errors.md`.
    pub fn warn(&self, code: &'static str, message: impl Into<String>) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.emit(&Event::Warned(Warning {
            code,
            message: message.into(),
        }));
    }
    /// How many warnings were given so far, through this context and those it was made from or for.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }
    /// Announce work; it is announced as finished when the returned guard is dropped.
    pub fn start(&self, operation: Operation, items: u64, bytes: u64) -> Running<'_> {
        self.emit(&Event::Started {
            operation,
            items,
            bytes,
        });
        Running {
            context: self,
            operation,
        }
    }
}

/// Announced work. Dropping it announces the end.
#[derive(Debug)]
#[must_use = "dropping this at once announces the end of the work"]
pub struct Running<'a> {
    context: &'a Context,
    operation: Operation,
}

impl Running<'_> {
    /// Some of the work is done.
    pub fn advance(&self, items: u64, bytes: u64) {
        self.context.emit(&Event::Advanced {
            operation: self.operation,
            items,
            bytes,
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.context.emit(&Event::Finished {
            operation: self.operation,
        });
    }
}
