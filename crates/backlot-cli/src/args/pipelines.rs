//! The arguments of commands about pipelines: running stages, and looking at them.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};

use super::DryRun;

/// Where missing results come from, and what is taken as unchanged.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Run the stages though they are up to date
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Fetch missing files and known results from the remotes that outputs belong to
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
    /// Add a stage to the dvc.yaml here, or of an asset
    #[command(
        after_help = "Comments and the order of the file stay. Paths are relative to the dvc.yaml, or to --wdir.\n\nExamples:\n  backlot stage add Shot010:proxies -d frames -o proxies -- backlot step proxy frames -o proxies\n  backlot stage add movie -d proxies -o movie.mp4 -p fps \"ffmpeg -i proxies/%04d.jpg movie.mp4\""
    )]
    Add(Box<StageAddArgs>),
    /// Take stages out of their dvc.yaml and dvc.lock; files stay
    #[command(after_help = "Examples:\n  backlot stage remove movie\n  backlot stage remove Shot010:movie")]
    Remove(StageTargets),
    /// Never run stages, until they are unfrozen
    #[command(after_help = "Examples:\n  backlot stage freeze Shot010:movie")]
    Freeze(StageTargets),
    /// Run frozen stages again
    #[command(after_help = "Examples:\n  backlot stage unfreeze Shot010:movie")]
    Unfreeze(StageTargets),
}

/// Which stages to edit.
#[derive(Debug, Args)]
pub(crate) struct StageTargets {
    /// Stages: STAGE, ASSET:STAGE, or path/dvc.yaml:STAGE
    #[arg(required = true, value_name = "STAGE")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// A stage, as `dvc stage add` has it.
#[derive(Debug, Args)]
pub(crate) struct StageAddArgs {
    /// Its name; ASSET:NAME puts it into the package of an asset
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Its command, in one word or several
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// A file or folder that it reads
    #[arg(long, short, value_name = "PATH")]
    pub(crate) deps: Vec<String>,
    /// Parameters that it reads: `KEY,KEY` of params.yaml, or `FILE:KEY,KEY`
    #[arg(long, short, value_name = "[FILE:]KEY")]
    pub(crate) params: Vec<String>,
    /// A file or folder that it makes
    #[arg(long, short, value_name = "PATH")]
    pub(crate) outs: Vec<String>,
    /// The same, which goes into the wheel and not into the cache
    #[arg(long, short = 'O', value_name = "PATH")]
    pub(crate) outs_no_cache: Vec<String>,
    /// A file of metrics that it makes
    #[arg(long, short, value_name = "PATH")]
    pub(crate) metrics: Vec<String>,
    /// The same, which goes into the wheel and not into the cache
    #[arg(long, short = 'M', value_name = "PATH")]
    pub(crate) metrics_no_cache: Vec<String>,
    /// A file of rows to draw that it makes
    #[arg(long, value_name = "PATH")]
    pub(crate) plots: Vec<String>,
    /// The same, which goes into the wheel and not into the cache
    #[arg(long, value_name = "PATH")]
    pub(crate) plots_no_cache: Vec<String>,
    /// Its working folder
    #[arg(long, short = 'C', value_name = "FOLDER")]
    pub(crate) wdir: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) desc: Option<String>,
    /// Run it each time
    #[arg(long)]
    pub(crate) always_changed: bool,
    /// Replace a stage of the same name
    #[arg(long, short)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}
