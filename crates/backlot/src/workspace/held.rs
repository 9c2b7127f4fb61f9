//! The workspace while it is locked: the current contents of its files, not those at the start of the call.
//!
//! Invariant: a change is applied to what is on disk under the lock. So two calls, in one program or in two, never write back what the
//! other replaced. A change that fails, and a dry run, leave the value in memory as the disk has it.

use std::ops::Deref;

use crate::error::Result;
use crate::project::output::Output;
use crate::workspace::{Opened, WorkspaceLock};

/// A workspace under its lock, as its files are now.
#[derive(Debug)]
pub(crate) struct Held<'w> {
    opened: &'w Opened,
    /// Another value, where the configuration changed since the call began.
    current: Option<Box<Opened>>,
    _lock: WorkspaceLock,
}

impl Deref for Held<'_> {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        self.current.as_deref().unwrap_or(self.opened)
    }
}

impl Opened {
    /// Hold the workspace for a change that leaves the configuration as it is.
    pub(crate) fn hold(&self) -> Result<Held<'_>> {
        let lock = self.lock()?;
        Ok(Held {
            opened: self,
            current: self.current(true)?.map(Box::new),
            _lock: lock,
        })
    }

    /// Hold the workspace for a change that may write the configuration.
    pub(crate) fn change<T>(
        &mut self,
        dry_run: bool,
        change: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let _lock = self.lock()?;
        self.refresh()?;
        let done = change(self);
        if dry_run || done.is_err() {
            match self.current(false) {
                Ok(Some(current)) => *self = current,
                Ok(None) => {}
                // Report the first error.
                Err(error) => return done.and(Err(error)),
            }
        }
        done
    }

    pub(crate) fn refresh(&mut self) -> Result<()> {
        if let Some(current) = self.current(true)? {
            *self = current;
        }
        Ok(())
    }

    /// An output that is about to be changed, as its files are now.
    pub(crate) fn output_to_change(&self, asset: &str) -> Result<Output> {
        let output = self.output(asset)?;
        output.check_inside()?;
        Ok(output)
    }
}
