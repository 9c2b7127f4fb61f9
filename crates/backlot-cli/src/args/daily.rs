//! Arguments of the daily commands: `new`, `get`, `restore`, `discard`, `untrack`, `diff`, `log`.

use std::path::PathBuf;

use clap::Args;

use super::DryRun;

/// Arguments of `get`.
#[derive(Debug, Args)]
#[command(
    after_help = "In an empty folder, a workspace is created first, as by `backlot init`; a folder or URL after --from or --remote is added to\nthe workspace. So is a remote that is recorded in the release, if --remote gives its name. Repos and remotes are not created.\n\nExamples:\n  backlot get Shot010 --from ../repos/review --remote ../files     in an empty folder\n  backlot get Shot010                                  in a workspace that has a repo and a remote\n  backlot get Shot010 --remote main                    the remote recorded in the release, see `backlot show`\n  backlot get \"Table>=1.2,<2\" Lamp==1.0 --from review  prefer a repo of the workspace\n  backlot get Shot010 --no-pull                        without its files\n  backlot get Shot010 --from ../repos/review --dry-run"
)]
pub(crate) struct GetArgs {
    /// Assets or requirements
    #[arg(required = true, value_name = "NAME[==VERSION]")]
    pub(crate) requirements: Vec<String>,
    /// A repo of the workspace, or the folder or URL of one
    #[arg(long, value_name = "REPO|PLACE")]
    pub(crate) from: Option<String>,
    /// The remote of the files, or its folder or URL
    #[arg(long, value_name = "NAME|PLACE")]
    pub(crate) remote: Option<String>,
    /// Allow pre-releases
    #[arg(long)]
    pub(crate) pre: bool,
    /// Pull the tracked files (the default)
    #[arg(long, overrides_with = "no_pull")]
    pub(crate) pull: bool,
    /// Do not pull the tracked files
    #[arg(long)]
    pub(crate) no_pull: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `untrack`.
#[derive(Debug, Args)]
#[command(
    after_help = "Removes the pointer. If files are missing here and are not in a release, the command fails.\n\nExamples:\n  backlot untrack outputs/table/src/table/tests\n  backlot untrack outputs/table/src/table/model.abc --dry-run\nTo remove it completely, delete the files afterwards."
)]
pub(crate) struct UntrackArgs {
    /// Tracked files or folders
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Files that were changed here are copied to the cache first; `backlot pull --undo` restores them.\nFiles restored from another release are a local change, which `backlot publish` records.\n\nExamples:\n  backlot restore outputs/table/src/table/frames/f.0004.exr\n  backlot restore outputs/table/src/table/frames@1.2.0             the whole folder, as in that release\n  backlot restore \"outputs/table/src/table/frames/f.[1-10].exr@1.2.0\"\n  backlot restore outputs/table/src/table/frames --frames 1-10x2 --dry-run"
)]
pub(crate) struct RestoreArgs {
    /// Files, folders or patterns, optionally with `@VERSION`
    #[arg(required = true, value_name = "PATH[@VERSION]")]
    pub(crate) paths: Vec<String>,
    /// Only these frames, as 1001-1010 or 1001-1010x2
    #[arg(long, value_name = "FRAMES")]
    pub(crate) frames: Option<String>,
    /// The repo of the release [default: the first that has it]
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// The remote to fetch the files from
    #[arg(long, value_name = "NAME")]
    pub(crate) remote: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `discard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Changed files are restored, new ones removed, deleted ones restored; files that were never pulled are not fetched. Code is not\ntouched. A copy of each discarded file is kept in the cache; `backlot pull --undo` restores them.\n\nExamples:\n  backlot discard Table                                     all tracked files of the asset\n  backlot discard outputs/table/src/table/frames\n  backlot discard \"outputs/table/src/table/frames/f.[1-10].exr\" --dry-run"
)]
pub(crate) struct DiscardArgs {
    /// Assets, files, folders or patterns
    #[arg(required = true, value_name = "ASSET|PATH")]
    pub(crate) paths: Vec<String>,
    /// Only these frames, as 1001-1010 or 1001-1010x2
    #[arg(long, value_name = "FRAMES")]
    pub(crate) frames: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Compares tracked files by name (numbered ones as sequences), packaged files, requirements and metadata. A added, M modified,\nD deleted.\n\nExamples:\n  backlot diff Table                          since the release it was edited from\n  backlot diff Table==1.0.0                   since that release\n  backlot diff Table==1.0.0 Table==1.1.0      between two releases\n  cd outputs/table && backlot diff\n  backlot diff Table --json | jq .files[].changed"
)]
pub(crate) struct DiffArgs {
    /// From: a release, or an asset of this workspace
    #[arg(value_name = "NAME[==VERSION]")]
    pub(crate) from: Option<String>,
    /// To [default: the asset in this workspace]
    #[arg(value_name = "NAME[==VERSION]")]
    pub(crate) to: Option<String>,
    /// Only releases of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
}

/// Arguments of `log`.
#[derive(Debug, Args)]
#[command(
    after_help = "Newest first, with approvals, deprecations and yanks, and the size of the tracked files. `backlot du` shows the cost on a remote.\n\nExamples:\n  backlot log Table\n  backlot log Table -n 5\n  backlot log \"Table>=1.0,<2\" --repo blessed\n  backlot log Table --json | jq .releases[].author"
)]
pub(crate) struct LogArgs {
    /// A name, or a requirement
    #[arg(value_name = "NAME")]
    pub(crate) release: String,
    /// Only this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// Show the newest N releases only
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// Arguments of `new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Its name; the Python module is the name in lower case, with `_` for `-` and spaces
    pub(crate) name: String,
    /// Its type, free text
    #[arg(long = "type", default_value = "Asset", value_name = "TYPE")]
    pub(crate) asset_type: String,
    /// A tag; can be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// A one-line summary
    #[arg(long)]
    pub(crate) summary: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}
