//! Assets that are worked on: made, edited, built, their inputs and versions.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::Context;
use backlot_pep::VersionChange;

use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::{ChangeOptions, InputOptions};
use crate::project::build::BuildReport;
use crate::project::edit::EditReport;
use crate::project::inputs::{BumpReport, InputReport};
use crate::project::new_asset::{NewAsset, NewReport};
use crate::project::output::Output;
use crate::project::rebase::RebaseReport;
use crate::project::rename::RenameReport;
use crate::project::rez::{ImportRez, RezReport};
use crate::validate::repair::RepairPlan;
use crate::validate::report::{ValidateOptions, ValidateReport};
use crate::workspace::call::{of_asset, of_path};

impl Workspace {
    /// Build the wheel of an output.
    pub fn build(&self, asset: &str, options: &ChangeOptions, context: &Context) -> Result<BuildReport> {
        self.call("build", of_asset(asset), context, |workspace| {
            workspace.build(asset, options.dry_run)
        })
    }

    /// Make an asset of a rez package: its name, version and requirements, out of its `package.py` or the folder that has it. The file is read, not run.
    pub fn import_rez(&self, path: &Path, options: &ImportRez, context: &Context) -> Result<RezReport> {
        self.call("import_rez", of_path(path), context, |workspace| {
            workspace.import_rez(path, options)
        })
    }

    /// Turn an installed release into an output.
    pub fn edit(&self, name: &str, options: &ChangeOptions, context: &Context) -> Result<EditReport> {
        self.call("edit", of_asset(name), context, |workspace| {
            workspace.edit(name, options.dry_run)
        })
    }

    /// Add requirements to an output, replacing those of the same package and group. Something must satisfy them: a repo, or another output.
    pub fn add_inputs(
        &self,
        asset: &str,
        requirements: &[String],
        options: &InputOptions,
        context: &Context,
    ) -> Result<InputReport> {
        self.call("add_inputs", of_asset(asset), context, |workspace| {
            let group = options.group.as_deref();
            workspace.add_inputs(asset, requirements, group, !options.unchecked, options.dry_run)
        })
    }

    /// Remove requirements of an output by package name.
    pub fn remove_inputs(
        &self,
        asset: &str,
        names: &[String],
        options: &InputOptions,
        context: &Context,
    ) -> Result<InputReport> {
        self.call("remove_inputs", of_asset(asset), context, |workspace| {
            let group = options.group.as_deref();
            workspace.remove_inputs(asset, names, group, options.dry_run)
        })
    }

    /// Move the version of an output forwards, by steps or to a version.
    pub fn bump(
        &self,
        asset: &str,
        change: &VersionChange,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<BumpReport> {
        self.call("bump", of_asset(asset), context, |workspace| {
            workspace.bump(asset, change, options.dry_run)
        })
    }

    /// Make an asset project in `outputs/`, and show it in `inputs/` as an editable.
    pub fn new_asset(&self, name: &str, options: &NewAsset, context: &Context) -> Result<NewReport> {
        self.call("new_asset", of_asset(name), context, |workspace| {
            workspace.new_asset(name, options)
        })
    }

    /// All outputs that can be read, sorted by name; the others are warned about. A folder without `pyproject.toml` is not one.
    pub fn outputs(&self, context: &Context) -> Result<Vec<Output>> {
        self.call("outputs", None, context, |workspace| workspace.outputs())
    }

    /// The output of a name, as asset, module or package.
    pub fn output(&self, name: &str, context: &Context) -> Result<Output> {
        self.call("output", of_asset(name), context, |workspace| {
            workspace.output(name)
        })
    }

    /// The output to use if none is given: the one that contains `here`, or the only one.
    pub fn output_here(&self, here: &Path, context: &Context) -> Result<Output> {
        self.call("output_here", None, context, |workspace| {
            workspace.output_here(here)
        })
    }

    /// Run the checks that an output declares in its `asset.toml`, and those of the studio, as declared for the workspace and the target repo. A failed check is not an error, but part of the report.
    pub fn validate(
        &self,
        asset: &str,
        options: &ValidateOptions,
        context: &Context,
    ) -> Result<ValidateReport> {
        self.call("validate", of_asset(asset), context, |workspace| {
            workspace.validate(asset, options)
        })
    }

    /// Run the repairs of an output's checks on a copy, without changing the output. The copy exists as long as the plan.
    pub fn plan_repairs(
        &self,
        asset: &str,
        options: &ValidateOptions,
        context: &Context,
    ) -> Result<RepairPlan> {
        self.call("plan_repairs", of_asset(asset), context, |workspace| {
            workspace.plan_repairs(asset, options)
        })
    }

    /// Apply the changes of a repair plan, if possible ([`RepairPlan::can_be_applied`]). Replaced files are kept for a month ([`RepairPlan::kept`]).
    pub fn apply_repairs(&self, plan: RepairPlan, context: &Context) -> Result<RepairPlan> {
        self.call("apply_repairs", None, context, |workspace| {
            workspace.apply_repairs(plan)
        })
    }

    /// Rename an output: its folders, its metadata, and the requirements of the workspace and of other outputs. Releases of the old name are kept.
    pub fn rename(
        &self,
        asset: &str,
        name: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<RenameReport> {
        self.call("rename", of_asset(asset), context, |workspace| {
            workspace.rename(asset, name, options.dry_run)
        })
    }

    /// Take the changes of the newest release over into an output that was edited from an older one.
    pub fn rebase(&self, name: &str, options: &ChangeOptions, context: &Context) -> Result<RebaseReport> {
        self.call("rebase", of_asset(name), context, |workspace| {
            workspace.rebase(name, options.dry_run)
        })
    }
}
