//! The workspace while it is held: what its files say now, not what they said when a value of it was opened.
//!
//! Invariant: a change is applied to what is on disk under the lock. So two values of one workspace, in one program or in two,
//! never write back what the other replaced, and a value that was opened long ago works with the configuration of today.
//! A change that fails, and a dry run, leave the value in memory as the disk has it.

use std::ops::Deref;
use std::path::Path;

use crate::error::{Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::{Workspace, WorkspaceLock};

/// A workspace under its lock, as its files are now.
#[derive(Debug)]
pub(crate) struct Held<'w> {
    opened: &'w Workspace,
    /// Another value, where the configuration changed since that one was opened.
    current: Option<Box<Workspace>>,
    _lock: WorkspaceLock,
}

impl Deref for Held<'_> {
    type Target = Workspace;

    fn deref(&self) -> &Workspace {
        self.current.as_deref().unwrap_or(self.opened)
    }
}

impl Workspace {
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
                // The first error is the one to be told.
                Err(error) => return done.and(Err(error)),
            }
        }
        done
    }

    /// Read the configuration again. Every change does; a program that keeps a workspace open and only looks calls it when it
    /// wants to see what others changed.
    pub fn refresh(&mut self) -> Result<()> {
        if let Some(current) = self.current(true)? {
            *self = current;
        }
        Ok(())
    }

    /// An output as its files are now. It has to be one of this workspace.
    pub(crate) fn own_output(&self, output: &Output) -> Result<Output> {
        let root = &output.project.root;
        let name = root.file_name().unwrap_or_default();
        let folder = self.outputs_dir();
        if !root
            .parent()
            .is_some_and(|parent| is_same_folder(parent, &folder))
        {
            return Err(WorkspaceError::ForeignOutput {
                name: output.name.clone(),
                path: root.clone(),
                workspace: self.root().to_path_buf(),
            }
            .into());
        }
        let path = folder.join(name);
        if !path.join("pyproject.toml").is_file() {
            return Err(WorkspaceError::UnknownOutput {
                name: output.name.clone(),
                nearest: None,
            }
            .into());
        }
        let output = Output::load(&path)?;
        output.check_inside()?;
        Ok(output)
    }
}

fn is_same_folder(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| fs_err::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
