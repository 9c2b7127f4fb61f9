//! The environment: what is installed, why, and what would be newer.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::Context;

use crate::environment::export::{ExportOptions, ExportReport};
use crate::environment::get::{GetOptions, GetReport};
use crate::environment::graph::{TreeReport, WhyReport};
use crate::environment::install::{InstallReport, InstallRequest};
use crate::environment::lockfile::WrittenLock;
use crate::environment::outdated::OutdatedRow;
use crate::environment::run::RunEnvironment;
use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::{ChangeOptions, TreeOptions};
use crate::workspace::Opened;
use crate::workspace::settings::Host;

impl Workspace {
    /// Install assets with what they need and pull their files, into the workspace that `start` is in, or into a new one if that is an
    /// empty folder.
    pub fn get(
        start: &Path,
        requirements: &[String],
        options: &GetOptions,
        host: &Host,
        context: &Context,
    ) -> Result<GetReport> {
        Opened::get(start, requirements, options, host, context)
    }

    /// The exact inputs for other tools; written to a file if one is given.
    pub fn export(&self, options: &ExportOptions, context: &Context) -> Result<ExportReport> {
        self.now(context)?.export(options)
    }

    /// What needs what.
    pub fn tree(&self, options: &TreeOptions, context: &Context) -> Result<TreeReport> {
        self.now(context)?
            .tree(options.package.as_deref(), options.invert)
    }

    /// Every chain of requirements that leads from the workspace to a package.
    pub fn why(&self, name: &str, context: &Context) -> Result<WhyReport> {
        self.now(context)?.why(name)
    }

    /// Install requirements, and everything the workspace asked for before. With none given, bring `inputs/` in step.
    pub fn install(
        &self,
        requirements: &[String],
        options: &InstallRequest,
        context: &Context,
    ) -> Result<InstallReport> {
        self.now(context)?.install(requirements, options)
    }

    /// Stop asking for packages; what nothing else needs leaves the environment.
    pub fn uninstall(
        &self,
        names: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.now(context)?.uninstall(names, options.dry_run)
    }

    /// Choose again and write the lock; the environment stays.
    pub fn write_lock(&self, request: &InstallRequest, context: &Context) -> Result<WrittenLock> {
        let (lock, changed) = self.now(context)?.write_lock(request)?;
        Ok(WrittenLock { lock, changed })
    }

    /// What is behind among the inputs.
    pub fn outdated(&self, context: &Context) -> Result<Vec<OutdatedRow>> {
        self.now(context)?.outdated()
    }

    /// Take newer releases of some inputs, or of all, where they fit; the others move only if they must.
    pub fn update(
        &self,
        names: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.now(context)?.update(names, options.dry_run)
    }

    /// Make `inputs/` what a `pylock.toml` says, and the lock and the requirements of the workspace with it.
    pub fn install_from_lock(
        &self,
        path: &Path,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.now(context)?.install_from_lock(path, options.dry_run)
    }

    /// Install anew what is damaged in the environment, from the lock as it is.
    pub fn repair_inputs(&self, options: &ChangeOptions, context: &Context) -> Result<InstallReport> {
        self.now(context)?.repair_inputs(options.dry_run)
    }

    /// What to set to run a command with the inputs of this workspace. Warns of inputs that are yanked or deprecated; no host
    /// is asked for that.
    pub fn run_environment(&self, context: &Context) -> Result<RunEnvironment> {
        self.now(context)?.run_environment()
    }
}
