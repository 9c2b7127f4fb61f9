//! Stopping on request, or when time is up: a flag that long work looks at between small steps.
//!
//! Invariants: once cancelled, always cancelled; what stops a flag stops its children, never the other way round. Deliberately
//! absent: signals; the command line maps Ctrl-C to a flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Class, Diagnostic};

/// A shared flag; clones are the same flag, a [child](Self::child) is one of its own that its parent stops, too.
///
/// ```
/// use backlot_core::Cancel;
///
/// let program = Cancel::default();
/// let one_call = program.child();
/// one_call.cancel();
/// assert!(one_call.is_cancelled() && !program.is_cancelled());
/// program.cancel();
/// assert!(program.child().is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    asked: AtomicBool,
    deadline: Option<Instant>,
    parent: Option<Cancel>,
}

/// Why the work stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cancelled {
    /// It was asked to.
    #[error("stopped on request")]
    Asked,
    /// The time that the caller gave it is over.
    #[error("stopped: the time limit was reached")]
    TimeOver,
}

/// Asks its flag to stop when it is dropped, and so when the work around it is given up, returns early or panics.
#[derive(Debug)]
#[must_use = "dropping this at once cancels at once"]
pub struct CancelOnDrop(Option<Cancel>);

impl Cancel {
    /// Ask all holders of this flag, and of its children, to stop.
    pub fn cancel(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Whether stopping was asked for, or the time is over.
    pub fn is_cancelled(&self) -> bool {
        self.why().is_some()
    }

    /// An error once it is to stop; to be called with `?` between steps.
    pub fn check(&self) -> Result<(), Cancelled> {
        self.why().map_or(Ok(()), Err)
    }

    /// Why the work is to stop; [`Cancelled::Asked`] if the flag does not say.
    pub fn reason(&self) -> Cancelled {
        self.why().unwrap_or(Cancelled::Asked)
    }

    fn why(&self) -> Option<Cancelled> {
        let mut flag = Some(self);
        while let Some(Self(this)) = flag {
            if this.asked.load(Ordering::Relaxed) {
                return Some(Cancelled::Asked);
            }
            if this.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Some(Cancelled::TimeOver);
            }
            flag = this.parent.as_ref();
        }
        None
    }

    /// A flag of its own, for a part of the work: it is cancelled with this one, and cancelling it leaves this one alone.
    #[must_use]
    pub fn child(&self) -> Self {
        self.below(None)
    }

    /// A child that is cancelled by itself after some time. A time that no clock can tell is none.
    #[must_use]
    pub fn child_for(&self, time: Duration) -> Self {
        self.below(Instant::now().checked_add(time))
    }

    fn below(&self, deadline: Option<Instant>) -> Self {
        Self(Arc::new(Flag {
            asked: AtomicBool::default(),
            deadline,
            parent: Some(self.clone()),
        }))
    }

    /// A guard that cancels this flag when it is dropped.
    ///
    /// ```
    /// use backlot_core::Cancel;
    ///
    /// let call = Cancel::default().child();
    /// drop(call.on_drop());
    /// assert!(call.is_cancelled());
    /// ```
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(Some(self.clone()))
    }
}

impl CancelOnDrop {
    /// The work is done: dropping this cancels nothing any more.
    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(flag) = &self.0 {
            flag.cancel();
        }
    }
}

impl Diagnostic for Cancelled {
    fn code(&self) -> &'static str {
        match self {
            Self::Asked => "core::cancelled",
            Self::TimeOver => "core::time_over",
        }
    }
    fn class(&self) -> Class {
        Class::Cancelled
    }
    fn help(&self) -> Option<String> {
        let again = match self {
            Self::Asked => "rerun the same command to continue",
            Self::TimeOver => "rerun it with a longer timeout to continue",
        };
        Some(format!("{again}; nothing is half-written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let parent = Cancel::default();
        let (one, other) = (parent.child(), parent.child().child());
        one.cancel();
        assert_eq!(one.check(), Err(Cancelled::Asked));
        assert_eq!((parent.check(), other.check()), (Ok(()), Ok(())));
        parent.cancel();
        assert_eq!(other.check(), Err(Cancelled::Asked));
    }

    #[test]
    fn time_is_over_for_a_child_only() {
        let parent = Cancel::default();
        assert_eq!(parent.child_for(Duration::MAX).check(), Ok(()));
        let late = parent.child_for(Duration::ZERO);
        assert_eq!(late.child().check(), Err(Cancelled::TimeOver));
        assert_eq!(late.check().map_err(|e| e.code()), Err("core::time_over"));
        assert!(!parent.is_cancelled());
    }

    #[test]
    fn a_guard_cancels_unless_the_work_was_done() {
        let flag = Cancel::default();
        flag.on_drop().disarm();
        assert!(!flag.is_cancelled());
        let guard = flag.on_drop();
        let panicked = std::panic::catch_unwind(move || {
            let _guard = guard;
            panic!("the work fails");
        });
        assert!(panicked.is_err() && flag.is_cancelled());
    }
}
