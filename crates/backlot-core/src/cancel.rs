//! Stopping on request: a flag that long work looks at between small steps.
//!
//! Invariant: once cancelled, always cancelled. Deliberately absent: signals; the command line maps Ctrl-C to a flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Class, Coded};

/// A shared flag; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// The work stopped because it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Cancelled;

impl Cancel {
    /// Ask all holders of this flag to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether stopping was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once stopping was asked for; to be called with `?` between steps.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }
}

impl Coded for Cancelled {
    fn code(&self) -> &'static str {
        "core::cancelled"
    }
    fn class(&self) -> Class {
        Class::Cancelled
    }
    fn help(&self) -> Option<String> {
        Some("run the same command again to continue; nothing is half-written".to_owned())
    }
}
