//! Pipelines: the stages of outputs, and running them.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::Context;
use backlot_dvc::pipeline::run::Plan;

use crate::error::Result;
use crate::handle::Workspace;
use crate::pipelines::graph::StageNode;
use crate::pipelines::repro::{ReproOptions, ReproReport};
use crate::pipelines::stale::StageStatus;

impl Workspace {
    /// Run the stages that are not up to date. Commands get the environment of the host, with what [`Workspace::run_environment`] says, and
    /// `BACKLOT_WORKSPACE`, `BACKLOT_INPUTS`, `BACKLOT_ASSET` and `BACKLOT_VERSION`. A failure of a stage is no error but in the report.
    pub fn repro(&self, options: &ReproOptions, context: &Context) -> Result<ReproReport> {
        self.now(context)?.reproduce(options)
    }

    /// What a run would do, with all that a scheduler needs to run the stages itself, each by [`Workspace::run_stage`].
    pub fn plan_repro(&self, options: &ReproOptions, context: &Context) -> Result<Plan> {
        self.now(context)?.plan_stages(options)
    }

    /// Make one stage, whatever the state of those that it needs. Several stages may be made at a time, by any processes.
    pub fn run_stage(&self, name: &str, options: &ReproOptions, context: &Context) -> Result<ReproReport> {
        self.now(context)?.run_stage(name, options)
    }

    /// The state of all stages, each after those it needs.
    pub fn stage_states(&self, context: &Context) -> Result<Vec<StageStatus>> {
        self.now(context)?.stage_states(true)
    }

    /// The stages that targets mean with all that they need, or all stages; targets are relative to a folder.
    pub fn stages(
        &self,
        targets: &[String],
        folder: Option<&Path>,
        context: &Context,
    ) -> Result<Vec<StageNode>> {
        self.now(context)?.stages(targets, folder)
    }
}
