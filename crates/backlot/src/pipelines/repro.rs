//! Running stages: options and report.
//!
//! Invariants: what is refused is refused before anything runs; the workspace is not locked while commands run, so that they may use it, and
//! only one run at a time is in it. Deliberately absent: how a stage is run (`backlot_dvc::pipeline::run`).

use backlot_core::options;
use std::path::PathBuf;
use std::sync::Arc;

use backlot_dvc::pipeline::run::{self, Plan, Recovered, Report, RunOptions, StageReport};
use backlot_dvc::pipeline::{PipelineError, Reach};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pipelines::found::Found;
use crate::workspace::{Opened, local_cache};

options! {
    /// Which stages are made, and how.
    #[derive(Default)]
    pub struct ReproOptions {
        /// Names of outputs, `OUTPUT:STAGE`, or targets of DVC; by default the `dvc.yaml` of the folder, else the output that
        /// contains the folder, else all outputs.
        pub targets: Vec<String>,
        /// The folder that targets are relative to; the workspace's by default.
        pub folder: Option<PathBuf>,
        /// Run all of them, even if they are up to date.
        pub force: bool,
        /// Only the named stages, not those that they need.
        pub single: bool,
        /// The named stages and all that need them.
        pub downstream: bool,
        /// After a failure, go on with all that does not need the failed stage.
        pub keep_going: bool,
        /// Fetch missing results, and those that other machines have, from the remotes that outputs belong to.
        pub pull: bool,
        /// The remote, instead of the default one.
        pub remote: Option<String>,
        /// Take missing files as unchanged.
        pub allow_missing: bool,
        /// How many stages may run at a time; as many as the machine has processors by default.
        pub jobs: Option<usize>,
        /// Take changed outputs of a stage of which nothing else changed as what it makes, as `dvc commit` does, and do not run it.
        pub record: bool,
        /// Report what would be done, without running anything.
        pub dry_run: bool,
    }
}

/// The result of running stages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReproReport {
    /// The stages, each after those it needs.
    pub stages: Vec<StageReport>,
    /// Earlier interrupted runs, whose outputs were restored first.
    pub recovered: Vec<Recovered>,
    /// Whether nothing was run.
    pub dry_run: bool,
}

impl ReproReport {
    /// The error if a stage failed, or, in a dry run, would.
    pub fn failure(&self) -> Option<PipelineError> {
        let failed =
            |one: &&StageReport| matches!(one.outcome, run::Outcome::Failed | run::Outcome::WouldFail);
        let stages = self.stages.iter().filter(failed);
        let stages: Vec<String> = stages.map(|one| format!("`{}`", one.stage)).collect();
        (!stages.is_empty()).then_some(PipelineError::Failed { stages })
    }
}

/// How stages are run in a workspace.
struct Ready {
    options: RunOptions,
    executor: crate::pipelines::commands::AssetExecutor,
    found: Found,
    /// Whether there is nothing to be made, because nothing has a `dvc.yaml`.
    is_empty: bool,
}

impl Opened {
    /// Reproduce stages. Failures of stages are in the report.
    pub(crate) fn reproduce(&self, options: &ReproOptions) -> Result<ReproReport> {
        let ready = self.ready(options)?;
        let report = if ready.is_empty {
            Report::default()
        } else {
            let (cache, stat) = (self.cache()?, self.stat_cache()?);
            let project = ready.found.project(&self.state_dir(), &cache, &stat);
            let project = project.with_links(&self.settings().links.value);
            let _held = local_cache::used::hold(self.cache_dir(), self.context())?;
            run::reproduce(&project, &ready.options, &ready.executor, self.context())?
        };
        Ok(ReproReport {
            stages: report.stages,
            recovered: report.recovered,
            dry_run: options.dry_run,
        })
    }

    /// The plan of a run, with everything that a scheduler needs to run it itself.
    pub(crate) fn plan_stages(&self, options: &ReproOptions) -> Result<Plan> {
        let ready = self.ready(options)?;
        if ready.is_empty {
            return Ok(Plan::default());
        }
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let project = ready.found.project(&self.state_dir(), &cache, &stat);
        Ok(run::plan(&project, &ready.options, self.context())?)
    }

    /// Make one stage, whatever the state of those above it.
    pub(crate) fn run_stage(&self, name: &str, options: &ReproOptions) -> Result<ReproReport> {
        let options = ReproOptions {
            targets: vec![name.to_owned()],
            single: true,
            ..options.clone()
        };
        let ready = self.ready(&options)?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let project = ready.found.project(&self.state_dir(), &cache, &stat);
        let project = project.with_links(&self.settings().links.value);
        let unknown = || {
            backlot_dvc::Error::from(PipelineError::UnknownTarget {
                target: name.to_owned(),
                file: None,
                nearest: None,
            })
        };
        let [name] = ready.options.targets.as_slice() else {
            return Err(unknown().into());
        };
        let _held = local_cache::used::hold(self.cache_dir(), self.context())?;
        let stage = run::run_stage(&project, name, &ready.options, &ready.executor, self.context())?;
        Ok(ReproReport {
            stages: vec![stage],
            recovered: Vec::new(),
            dry_run: options.dry_run,
        })
    }

    /// All checks before anything runs.
    fn ready(&self, options: &ReproOptions) -> Result<Ready> {
        let found = self.pipelines()?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let graph = found
            .project(&self.state_dir(), &cache, &stat)
            .graph(self.context())?;
        let folder = options.folder.as_deref().unwrap_or(self.root());
        let (found, targets) = found.targets(&graph, &options.targets, folder)?;
        let reach = match (options.single, options.downstream) {
            (true, _) => Reach::Only,
            (false, true) => Reach::Downstream,
            (false, false) => Reach::Needed,
        };
        let is_empty = targets.are_none(&found);
        let mut nodes = Vec::new();
        if !is_empty {
            nodes = targets.select(&graph, reach)?;
            found.check(&graph, &nodes, &self.outputs_dir())?;
        }
        let environment = self.command_environment()?;
        let mut run = RunOptions::default()
            .targets(targets.names)
            .folder(targets.folder)
            .reach(reach)
            .force(options.force)
            .keep_going(options.keep_going)
            .allow_missing(options.allow_missing)
            .record(options.record)
            .dry(options.dry_run)
            .variables(environment.variables)
            .path(environment.path)
            .jobs(options.jobs.unwrap_or_else(|| self.context().pool().threads()));
        if options.pull && !options.dry_run {
            let stages = nodes.iter().filter_map(|node| graph.stage(*node));
            let from = self.pull_from(stages, options.remote.as_deref(), false)?;
            run = run.pull(Some(Arc::new(from)));
        }
        let executor = self.executor(found.variables(&graph));
        Ok(Ready {
            options: run,
            executor,
            found,
            is_empty,
        })
    }
}

/// The error of a failed run, for callers that need all stages to succeed.
pub(crate) fn check(report: &ReproReport) -> Result<()> {
    match report.failure() {
        None => Ok(()),
        Some(failure) => Err(backlot_dvc::Error::from(failure).into()),
    }
}
