//! Arguments of pipeline commands: running, listing and editing stages.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};

use super::DryRun;

/// Sources of missing results, and what counts as unchanged.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Run stages that are up to date as well
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Fetch missing files and known results from the remotes that outputs belong to
    #[arg(long)]
    pub(crate) pull: bool,
    /// The remote to fetch from [default: the default one]
    #[arg(long, value_name = "NAME", requires = "pull")]
    pub(crate) remote: Option<String>,
    /// Treat files that are not here as unchanged
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
    /// Run only the named stages, not those they depend on
    #[arg(long, short, requires = "targets")]
    pub(crate) single_item: bool,
    /// Run the named stages and all that depend on them
    #[arg(long, requires = "targets", conflicts_with = "single_item")]
    pub(crate) downstream: bool,
    /// After a failure, continue with stages that do not depend on the failed one
    #[arg(long, short)]
    pub(crate) keep_going: bool,
    /// The number of stages to run at the same time [default: the number of cores]
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
    #[command(flatten)]
    pub(crate) form: super::GraphForm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Stage {
    /// List the stages with their dependencies and outputs
    #[command(
        after_help = "Examples:\n  backlot stage list\n  backlot stage list Shot010\n  backlot stage list --json | jq .stages[].outs"
    )]
    List {
        /// Stages, assets or dvc.yaml files [default: all]
        targets: Vec<String>,
    },
    /// Add a stage to the dvc.yaml here, or of an asset
    #[command(
        after_help = "Comments and the order of the file are kept. Paths are relative to the dvc.yaml, or to --wdir.\n\nExamples:\n  backlot stage add Shot010:proxies -d frames -o proxies -- backlot step proxy frames -o proxies\n  backlot stage add movie -d proxies -o movie.mp4 -p fps \"ffmpeg -i proxies/%04d.jpg movie.mp4\""
    )]
    Add(Box<StageAddArgs>),
    /// Remove stages from their dvc.yaml and dvc.lock; files stay
    #[command(after_help = "Examples:\n  backlot stage remove movie\n  backlot stage remove Shot010:movie")]
    Remove(StageTargets),
    /// Freeze stages, so that they do not run
    #[command(after_help = "Examples:\n  backlot stage freeze Shot010:movie")]
    Freeze(StageTargets),
    /// Unfreeze stages
    #[command(after_help = "Examples:\n  backlot stage unfreeze Shot010:movie")]
    Unfreeze(StageTargets),
}

/// Arguments of commands that edit stages.
#[derive(Debug, Args)]
pub(crate) struct StageTargets {
    /// Stages: STAGE, ASSET:STAGE, or path/dvc.yaml:STAGE
    #[arg(required = true, value_name = "STAGE")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `stage add`, as for `dvc stage add`.
#[derive(Debug, Args)]
pub(crate) struct StageAddArgs {
    /// The name of the stage; ASSET:NAME adds it to the package of an asset
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The command, as one argument or several
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// A file or folder that the stage depends on
    #[arg(long, short, value_name = "PATH")]
    pub(crate) deps: Vec<String>,
    /// Parameters that the stage depends on: `KEY,KEY` of params.yaml, or `FILE:KEY,KEY`
    #[arg(long, short, value_name = "[FILE:]KEY")]
    pub(crate) params: Vec<String>,
    /// An output, a file or folder
    #[arg(long, short, value_name = "PATH")]
    pub(crate) outs: Vec<String>,
    /// The same, stored in the wheel instead of the cache
    #[arg(long, short = 'O', value_name = "PATH")]
    pub(crate) outs_no_cache: Vec<String>,
    /// An output with metrics
    #[arg(long, short, value_name = "PATH")]
    pub(crate) metrics: Vec<String>,
    /// The same, stored in the wheel instead of the cache
    #[arg(long, short = 'M', value_name = "PATH")]
    pub(crate) metrics_no_cache: Vec<String>,
    /// An output with data to plot
    #[arg(long, value_name = "PATH")]
    pub(crate) plots: Vec<String>,
    /// The same, stored in the wheel instead of the cache
    #[arg(long, value_name = "PATH")]
    pub(crate) plots_no_cache: Vec<String>,
    /// The working folder of the stage
    #[arg(long, short = 'C', value_name = "FOLDER")]
    pub(crate) wdir: Option<String>,
    /// A description
    #[arg(long, value_name = "TEXT")]
    pub(crate) desc: Option<String>,
    /// Run the stage each time
    #[arg(long)]
    pub(crate) always_changed: bool,
    /// Replace a stage of the same name
    #[arg(long, short)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}
