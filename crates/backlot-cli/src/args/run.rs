//! The arguments of commands that run something in an environment.

use std::ffi::OsString;

use clap::Args;

/// Releases to use instead of the inputs of a workspace.
#[derive(Clone, Debug, Args)]
pub(crate) struct WithArgs {
    /// A release to use instead of the inputs of the workspace; can be given more than once
    #[arg(long, value_name = "NAME[==VERSION]")]
    pub(crate) with: Vec<String>,
    /// A repo of the workspace or of the user, or the folder or URL of one
    #[arg(long, value_name = "REPO|PLACE", requires = "with")]
    pub(crate) from: Option<String>,
    /// Allow pre-releases
    #[arg(long, requires = "with")]
    pub(crate) pre: bool,
    /// Pull the tracked files of the releases first
    #[arg(long, requires = "with")]
    pub(crate) pull: bool,
    /// The remote of the files, or its folder or URL
    #[arg(long, value_name = "NAME|PLACE", requires = "pull")]
    pub(crate) remote: Option<String>,
    /// Show the environment that would be used, make and run nothing
    #[arg(long, requires = "with")]
    pub(crate) dry_run: bool,
}

/// A command to run.
#[derive(Debug, Args)]
#[command(
    after_help = "PATH, VIRTUAL_ENV and, without an interpreter, PYTHONPATH are set; the exit code is the command's.\n\nWith --with, no workspace is needed: the environment is made in the cache, used again while the same releases are chosen, and\nremoved by `backlot cache clean`. Repos and remotes are those of the workspace, outside of one those in the user's file\n(`[repos.NAME]` with a `path` or `url`); --from adds one.\n\nHooks are functions of an asset's package: entries of the group `backlot.hooks`, and scripts named `tgzr.pipeline.asset.HOOK`.\n\nExamples:\n  backlot run python -c \"import table\"\n  backlot run -- pytest -q\n  backlot run --with Shot010==1.2 -- python -m shot010\n  backlot run --with Shot010 --from /studio/repos/review --with Lamp --pull -- usdview\n  backlot run --with Shot010 --dry-run -- usdview      which releases it would run with\n  backlot run --hook setup Shot010                     of the inputs or outputs\n  backlot run --hook build --group build Shot010==1.2  of a release, with what its group `build` requires"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) with: WithArgs,
    /// Run this hook of an asset: COMMAND is the asset, and arguments of the hook
    #[arg(long, value_name = "HOOK")]
    pub(crate) hook: Option<String>,
    /// Run the hook with this group of the asset, in an environment of its release
    #[arg(long, value_name = "GROUP", requires = "hook", conflicts_with = "with")]
    pub(crate) group: Vec<String>,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

/// A shell to start.
#[derive(Debug, Args)]
#[command(
    after_help = "The shell is that of the variable SHELL, else `sh` (on Windows that of COMSPEC). Leave it with `exit`. Variables are set and releases\nchosen as by `backlot run`.\n\nExamples:\n  backlot shell\n  backlot shell --with Shot010==1.2\n  backlot shell --with Shot010 --from /studio/repos/review --pull"
)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) with: WithArgs,
}

/// Variables to print.
#[derive(Debug, Args)]
#[command(
    after_help = "For a shell to read, in its own syntax. Releases are chosen as by `backlot run --with`; their environment is kept by\n`backlot cache clean` as long as it was used within `--unused-for`.\n\nExamples:\n  eval \"$(backlot env)\"\n  eval \"$(backlot env --with Shot010==1.2)\"\n  backlot env --syntax csh > setup.csh\n  backlot env --syntax fish | source\n  backlot env --json | jq .variables"
)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) with: WithArgs,
    /// The shell that reads them
    #[arg(long, value_enum, default_value = "sh", value_name = "SHELL")]
    pub(crate) syntax: ShellSyntax,
}

/// How a shell is told variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ShellSyntax {
    /// sh, bash, zsh and other POSIX shells
    Sh,
    /// csh and tcsh
    Csh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}
