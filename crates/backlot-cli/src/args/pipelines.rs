//! The arguments of commands about pipelines: running stages, and looking at them.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};

/// Where missing results come from, and what is taken as unchanged.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Run the stages though they are up to date
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Fetch missing files and known results from the remote
    #[arg(long)]
    pub(crate) pull: bool,
    /// The remote to fetch from [default: the default one]
    #[arg(long, value_name = "NAME", requires = "pull")]
    pub(crate) remote: Option<String>,
    /// Count files that are not here as unchanged
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Show what would be done, run nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReproArgs {
    /// Stages, assets, ASSET:STAGE, or dvc.yaml files [default: the dvc.yaml here, else this asset's, else all assets']
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
    /// Only the named stages, not those they need
    #[arg(long, short, requires = "targets")]
    pub(crate) single_item: bool,
    /// The named stages and all that need them
    #[arg(long, requires = "targets", conflicts_with = "single_item")]
    pub(crate) downstream: bool,
    /// After a failure, go on with the stages that do not need the failed one
    #[arg(long, short)]
    pub(crate) keep_going: bool,
    /// Stages that run at the same time [default: the number of cores]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Print the plan as JSON, for a scheduler that runs each stage with `backlot run-stage`
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) plan_json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunStageArgs {
    /// The stage, as `backlot repro --plan-json` names it
    pub(crate) stage: String,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DagArgs {
    /// Stages, assets or dvc.yaml files [default: all]
    pub(crate) targets: Vec<String>,
    /// As DOT, for Graphviz
    #[arg(long, conflicts_with = "mermaid")]
    pub(crate) dot: bool,
    /// As a Mermaid flowchart
    #[arg(long)]
    pub(crate) mermaid: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Stage {
    /// List the stages with what they read and make
    #[command(
        after_help = "Examples:\n  backlot stage list\n  backlot stage list Shot010\n  backlot stage list --json | jq .stages[].outs"
    )]
    List {
        /// Stages, assets or dvc.yaml files [default: all]
        targets: Vec<String>,
    },
}
