//! The environment variables for running a command in a workspace.
//!
//! Deliberately absent: starting it, and the variables that are set already; both are the caller's.

use std::path::PathBuf;

use crate::environment::lockfile::Lock;
use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;

/// How a command is run in an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnvironment {
    /// The environment: the value of `VIRTUAL_ENV`, if it has an interpreter.
    pub environment: Option<PathBuf>,
    /// Goes before what `PATH` has.
    pub scripts: Option<PathBuf>,
    /// Goes before what `PYTHONPATH` has: the packages of a plain tree.
    pub packages: Option<PathBuf>,
}

impl Opened {
    pub(crate) fn run_environment(&self) -> Result<RunEnvironment> {
        let run = self.run_variables()?;
        if let Some(lock) = Lock::load(self.root())? {
            self.warn_used(&lock, false)?;
        }
        Ok(run)
    }

    /// The same without checking installed packages.
    pub(crate) fn run_variables(&self) -> Result<RunEnvironment> {
        let environment = self.environment()?.ok_or_else(|| WorkspaceError::NoEnvironment {
            path: self.inputs_dir(),
        })?;
        let root = self.inputs_dir();
        Ok(if environment.layout.python.is_some() {
            RunEnvironment {
                scripts: Some(root.join("bin")),
                environment: Some(root),
                packages: None,
            }
        } else {
            RunEnvironment {
                environment: None,
                scripts: None,
                packages: Some(environment.site_packages()),
            }
        })
    }
}
