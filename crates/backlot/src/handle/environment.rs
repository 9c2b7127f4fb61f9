//! The environment: installed packages, the reasons for them, and available updates.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::{Context, Subject};

use crate::environment::cached::{CachedEnvironment, EnvironmentOptions};
use crate::environment::export::{ExportOptions, ExportReport};
use crate::environment::get::{GetOptions, GetReport};
use crate::environment::graph::{TreeReport, WhyReport};
use crate::environment::hooks::Hook;
use crate::environment::input_table::InputRow;
use crate::environment::install::{InstallReport, InstallRequest};
use crate::environment::lockfile::WrittenLock;
use crate::environment::outdated::OutdatedRow;
use crate::environment::run::RunEnvironment;
use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::{ChangeOptions, TreeOptions, UpdateOptions};
use crate::workspace::Opened;
use crate::workspace::call::{call, of_asset, of_one_asset, of_path};
use crate::workspace::set_policy::{PolicyChange, PolicyRow};
use crate::workspace::settings::Host;

/// The asset that a call is about, if it is one; else the folder that it begins from.
fn asset_or_folder(requirements: &[String], start: &Path) -> Subject {
    of_one_asset(requirements).unwrap_or_else(|| Subject::File(start.to_path_buf()))
}

impl Workspace {
    /// Install assets with their requirements and pull their files, into the workspace that `start` is in, or into a new one if that is an
    /// empty folder.
    pub fn get(
        start: &Path,
        requirements: &[String],
        options: &GetOptions,
        host: &Host,
        context: &Context,
    ) -> Result<GetReport> {
        call(
            ("get", asset_or_folder(requirements, start)),
            host,
            context,
            |context| Opened::get(start, requirements, options, host, context),
        )
    }

    /// An environment of releases and their requirements, without a workspace: created in the cache, or reused if nothing changed since. Repos, remotes
    /// and settings are those of the workspace that `start` is in, or of the user's file.
    pub fn cached_environment(
        start: &Path,
        requirements: &[String],
        options: &EnvironmentOptions,
        host: &Host,
        context: &Context,
    ) -> Result<CachedEnvironment> {
        let about = asset_or_folder(requirements, start);
        call(("cached_environment", about), host, context, |context| {
            Opened::cached_environment(start, requirements, options, host, context)
        })
    }

    /// The exact inputs for other tools; written to a file if one is given.
    pub fn export(&self, options: &ExportOptions, context: &Context) -> Result<ExportReport> {
        self.call("export", None, context, |workspace| workspace.export(options))
    }

    /// The dependency graph.
    pub fn tree(&self, options: &TreeOptions, context: &Context) -> Result<TreeReport> {
        self.call("tree", None, context, |workspace| {
            workspace.tree(options.package.as_deref(), options.invert)
        })
    }

    /// Every chain of requirements that leads from the workspace to a package.
    pub fn why(&self, name: &str, context: &Context) -> Result<WhyReport> {
        self.call("why", of_asset(name), context, |workspace| workspace.why(name))
    }

    /// Install requirements, in addition to the existing requirements of the workspace. Without new ones, update `inputs/` to match them.
    pub fn install(
        &self,
        requirements: &[String],
        options: &InstallRequest,
        context: &Context,
    ) -> Result<InstallReport> {
        self.call("install", of_one_asset(requirements), context, |workspace| {
            workspace.install(requirements, options)
        })
    }

    /// Stop asking for packages; what nothing else needs leaves the environment.
    pub fn uninstall(
        &self,
        names: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.call("uninstall", of_one_asset(names), context, |workspace| {
            workspace.uninstall(names, options.dry_run)
        })
    }

    /// Resolve again and write the lock, without changing the environment.
    pub fn write_lock(&self, request: &InstallRequest, context: &Context) -> Result<WrittenLock> {
        self.call("write_lock", None, context, |workspace| {
            let (lock, changed) = workspace.write_lock(request)?;
            Ok(WrittenLock { lock, changed })
        })
    }

    /// Outdated inputs.
    pub fn outdated(&self, context: &Context) -> Result<Vec<OutdatedRow>> {
        self.call("outdated", None, context, |workspace| workspace.outdated())
    }

    /// Each input: the version in use, available releases, status, and the recommended action.
    pub fn input_table(&self, context: &Context) -> Result<Vec<InputRow>> {
        self.call("input_table", None, context, |workspace| workspace.input_table())
    }

    /// Take newer releases of some inputs, or of all, where they fit; the others move only if they must.
    pub fn update(
        &self,
        names: &[String],
        options: &UpdateOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.call("update", of_one_asset(names), context, |workspace| {
            workspace.update(names, *options)
        })
    }

    /// Install `inputs/` from a `pylock.toml`, and update the lock and the requirements of the workspace with it.
    pub fn install_from_lock(
        &self,
        path: &Path,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.call("install_from_lock", of_path(path), context, |workspace| {
            workspace.install_from_lock(path, options.dry_run)
        })
    }

    /// Reinstall damaged packages of the environment, from the current lock.
    pub fn repair_inputs(&self, options: &ChangeOptions, context: &Context) -> Result<InstallReport> {
        self.call("repair_inputs", None, context, |workspace| {
            workspace.repair_inputs(options.dry_run)
        })
    }

    /// The environment variables for running a command with the inputs of this workspace. Warns of inputs that are yanked or deprecated, without
    /// contacting any host.
    pub fn run_environment(&self, context: &Context) -> Result<RunEnvironment> {
        self.call("run_environment", None, context, |workspace| {
            workspace.run_environment()
        })
    }

    /// The functions of an asset's package that are run by name; the asset is installed, or an output.
    pub fn asset_hooks(&self, asset: &str, context: &Context) -> Result<Vec<Hook>> {
        self.call("asset_hooks", of_asset(asset), context, |workspace| {
            workspace.asset_hooks(asset)
        })
    }

    /// Which releases may be chosen: of all, of repos, of assets.
    pub fn policies(&self, context: &Context) -> Result<Vec<PolicyRow>> {
        self.call("policies", None, context, |workspace| Ok(workspace.policy_rows()))
    }

    /// Change a policy for choosing releases; it applies from the next install on. Returns the resulting policies.
    pub fn set_policy(&self, change: &PolicyChange, context: &Context) -> Result<Vec<PolicyRow>> {
        let about = change.asset.as_deref().map(of_asset);
        self.call("set_policy", about, context, |workspace| {
            workspace.set_policy(change)
        })
    }
}
