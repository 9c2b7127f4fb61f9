//! Assets that are worked on: made, edited, built, their inputs and versions.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::{Context, VersionChange};

use crate::error::Result;
use crate::handle::Workspace;
use crate::project::build::BuildReport;
use crate::project::edit::EditReport;
use crate::project::inputs::{BumpReport, InputReport};
use crate::project::new_asset::{NewAsset, NewReport};
use crate::project::output::Output;
use crate::project::rebase::RebaseReport;
use crate::validate::report::ValidateReport;

impl Workspace {
    /// Build the wheel of an output.
    pub fn build(&self, asset: &str, dry_run: bool, context: &Context) -> Result<BuildReport> {
        self.now(context)?.build(asset, dry_run)
    }

    /// Turn an installed release into an output.
    pub fn edit(&self, name: &str, dry_run: bool, context: &Context) -> Result<EditReport> {
        self.now(context)?.edit(name, dry_run)
    }

    /// Add requirements to an output, replacing those of the same package and group. With `check`, something must satisfy
    /// them: a repo, or another output.
    pub fn add_inputs(
        &self,
        asset: &str,
        requirements: &[String],
        group: Option<&str>,
        check: bool,
        dry_run: bool,
        context: &Context,
    ) -> Result<InputReport> {
        self.now(context)?
            .add_inputs(asset, requirements, group, check, dry_run)
    }

    /// Remove requirements of an output by package name.
    pub fn remove_inputs(
        &self,
        asset: &str,
        names: &[String],
        group: Option<&str>,
        dry_run: bool,
        context: &Context,
    ) -> Result<InputReport> {
        self.now(context)?.remove_inputs(asset, names, group, dry_run)
    }

    /// Move the version of an output forwards, by steps or to a version.
    pub fn bump(
        &self,
        asset: &str,
        change: &VersionChange,
        dry_run: bool,
        context: &Context,
    ) -> Result<BumpReport> {
        self.now(context)?.bump(asset, change, dry_run)
    }

    /// Make an asset project in `outputs/`, and show it in `inputs/` as an editable.
    pub fn new_asset(&self, name: &str, options: &NewAsset, context: &Context) -> Result<NewReport> {
        self.now(context)?.new_asset(name, options)
    }

    /// All outputs that can be read, sorted by name; the others are warned about. A folder without `pyproject.toml` is not one.
    pub fn outputs(&self, context: &Context) -> Result<Vec<Output>> {
        self.now(context)?.outputs()
    }

    /// The output of a name, as asset, module or package.
    pub fn output(&self, name: &str, context: &Context) -> Result<Output> {
        self.now(context)?.output(name)
    }

    /// The output that is meant where none is named: the one `here` lies in, or the only one.
    pub fn output_here(&self, here: &Path, context: &Context) -> Result<Output> {
        self.now(context)?.output_here(here)
    }

    /// Run the checks that an output declares in its `asset.toml`; as strictly as in a cascade if `automatic`. A check that does not pass is no error but in the
    /// report.
    pub fn validate(&self, asset: &str, automatic: bool, context: &Context) -> Result<ValidateReport> {
        self.now(context)?.validate(asset, automatic)
    }

    /// Take the changes of the newest release over into an output that was edited from an older one.
    pub fn rebase(&self, name: &str, dry_run: bool, context: &Context) -> Result<RebaseReport> {
        self.now(context)?.rebase(name, dry_run)
    }
}
