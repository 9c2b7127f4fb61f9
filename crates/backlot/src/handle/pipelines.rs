//! Pipelines: the stages of outputs, and running them.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::Context;
use backlot_dvc::pipeline::run::Plan;

use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::ChangeOptions;
use crate::pipelines::edited::{NewStage, StageEditReport};
use crate::pipelines::figures::{FigureKind, FiguresDiff, FiguresReport, PlotsReport};
use crate::pipelines::graph::StageNode;
use crate::pipelines::repro::{ReproOptions, ReproReport};
use crate::pipelines::shared::ResultsReport;
use crate::pipelines::stale::StageStatus;
use crate::workspace::call::{of_asset, of_one_asset, of_path};

impl Workspace {
    /// Run the stages that are not up to date. Commands get the environment of the host, the variables of [`Workspace::run_environment`], and
    /// `BACKLOT_WORKSPACE`, `BACKLOT_INPUTS`, `BACKLOT_ASSET` and `BACKLOT_VERSION`. A failed stage is not an error, but part of the report.
    pub fn repro(&self, options: &ReproOptions, context: &Context) -> Result<ReproReport> {
        self.call("repro", None, context, |workspace| workspace.reproduce(options))
    }

    /// The plan of a run, with everything that a scheduler needs to run the stages itself, each by [`Workspace::run_stage`].
    pub fn plan_repro(&self, options: &ReproOptions, context: &Context) -> Result<Plan> {
        self.call("plan_repro", None, context, |workspace| {
            workspace.plan_stages(options)
        })
    }

    /// Run one stage, without checking the stages it depends on. Several processes may run stages at the same time.
    pub fn run_stage(&self, name: &str, options: &ReproOptions, context: &Context) -> Result<ReproReport> {
        self.call("run_stage", of_asset(name), context, |workspace| {
            workspace.run_stage(name, options)
        })
    }

    /// Push the results of stages for their current inputs, with their objects, so that other machines need not run them. Names are
    /// outputs, or targets relative to the workspace; without names, all stages.
    pub fn push_results(
        &self,
        names: &[String],
        remote: Option<&str>,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ResultsReport> {
        self.call("push_results", of_one_asset(names), context, |workspace| {
            workspace.push_results(names, remote, options.dry_run)
        })
    }

    /// Fetch the results that other machines sent for the present inputs of stages, so that a run can put them back without the remotes.
    pub fn pull_results(
        &self,
        names: &[String],
        remote: Option<&str>,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ResultsReport> {
        self.call("pull_results", of_one_asset(names), context, |workspace| {
            workspace.pull_results(names, remote, options.dry_run)
        })
    }

    /// Add a stage to the `dvc.yaml` of a folder, or of an asset. Comments and the order of existing entries are preserved.
    pub fn add_stage(
        &self,
        new: &NewStage,
        folder: &Path,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<StageEditReport> {
        self.call("add_stage", None, context, |workspace| {
            workspace.add_stage(new, folder, options.dry_run)
        })
    }

    /// Remove stages from their `dvc.yaml` and `dvc.lock`; their files are kept. Targets are relative to a folder.
    pub fn remove_stages(
        &self,
        targets: &[String],
        folder: &Path,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<StageEditReport> {
        self.call("remove_stages", None, context, |workspace| {
            workspace.remove_stages(targets, folder, options.dry_run)
        })
    }

    /// Freeze stages, so that no run makes them.
    pub fn freeze_stages(
        &self,
        targets: &[String],
        folder: &Path,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<StageEditReport> {
        self.call("freeze_stages", None, context, |workspace| {
            workspace.freeze_stages(targets, folder, true, options.dry_run)
        })
    }

    /// Let runs make frozen stages again.
    pub fn unfreeze_stages(
        &self,
        targets: &[String],
        folder: &Path,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<StageEditReport> {
        self.call("unfreeze_stages", None, context, |workspace| {
            workspace.freeze_stages(targets, folder, false, options.dry_run)
        })
    }

    /// The parameters or metrics of an asset of this workspace (`Table`), or of a release (`Table==1.0`).
    pub fn figures(
        &self,
        kind: FigureKind,
        what: &str,
        repo: Option<&str>,
        context: &Context,
    ) -> Result<FiguresReport> {
        self.call("figures", of_asset(what), context, |workspace| {
            workspace.figures(kind, what, repo)
        })
    }

    /// The differences in them between two assets or releases; without `to`, between a release and the workspace.
    pub fn compare_figures(
        &self,
        kind: FigureKind,
        from: &str,
        to: Option<&str>,
        repo: Option<&str>,
        context: &Context,
    ) -> Result<FiguresDiff> {
        self.call("compare_figures", of_asset(from), context, |workspace| {
            workspace.compare_figures(kind, from, to, repo)
        })
    }

    /// Draw the plots of assets and releases into a file, `.svg` or `.html`. Plots in common are drawn into one chart.
    pub fn plots(
        &self,
        ends: &[String],
        repo: Option<&str>,
        path: &Path,
        context: &Context,
    ) -> Result<PlotsReport> {
        self.call("plots", of_path(path), context, |workspace| {
            workspace.plots(ends, repo, path)
        })
    }

    /// The state of all stages, each after those it needs.
    pub fn stage_states(&self, context: &Context) -> Result<Vec<StageStatus>> {
        self.call("stage_states", None, context, |workspace| {
            workspace.stage_states(true)
        })
    }

    /// The stages that targets mean with all that they need, or all stages; targets are relative to a folder.
    pub fn stages(
        &self,
        targets: &[String],
        folder: Option<&Path>,
        context: &Context,
    ) -> Result<Vec<StageNode>> {
        self.call("stages", None, context, |workspace| {
            workspace.stages(targets, folder)
        })
    }
}
