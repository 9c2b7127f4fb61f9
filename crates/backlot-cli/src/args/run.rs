//! Arguments of `run`, `shell` and `env`.

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
    /// Show the environment that would be used; create and run nothing
    #[arg(long, requires = "with")]
    pub(crate) dry_run: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "PATH, VIRTUAL_ENV and, without an interpreter, PYTHONPATH are set; the exit code is the command's.\n\nWith --with, no workspace is needed: the environment is created in the cache, reused as long as the same releases are chosen, and\nremoved by `backlot cache clean`. Repos and remotes are those of the workspace, or else those in the user's configuration\n(`[repos.NAME]` with a `path` or `url`); --from adds one.\n\nHooks are functions of an asset's package: entries of the group `backlot.hooks`, and scripts named `tgzr.pipeline.asset.HOOK`.\n\nExamples:\n  backlot run python -c \"import table\"\n  backlot run -- pytest -q\n  backlot run --with Shot010==1.2 -- python -m shot010\n  backlot run --with Shot010 --from /studio/repos/review --with Lamp --pull -- usdview\n  backlot run --with Shot010 --dry-run -- usdview      show the releases it would run with\n  backlot run --hook setup Shot010                     a hook of an input or output\n  backlot run --hook build --group build Shot010==1.2  a hook of a release, with the requirements of its group `build`"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) with: WithArgs,
    /// Run this hook of an asset: COMMAND is the asset and the arguments of the hook
    #[arg(long, value_name = "HOOK")]
    pub(crate) hook: Option<String>,
    /// Run the hook in an environment of its release, with the requirements of this group
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

/// Arguments of `shell`.
#[derive(Debug, Args)]
#[command(
    after_help = "Starts $SHELL, else `sh` (on Windows %COMSPEC%). Leave it with `exit`. Variables are set and releases are chosen as for\n`backlot run`.\n\nExamples:\n  backlot shell\n  backlot shell --with Shot010==1.2\n  backlot shell --with Shot010 --from /studio/repos/review --pull"
)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) with: WithArgs,
}

/// Arguments of `env`.
#[derive(Debug, Args)]
#[command(
    after_help = "Printed in the syntax of a shell. Releases are chosen as for `backlot run --with`; `backlot cache clean` keeps their environment\nif it was used within `--unused-for`.\n\nExamples:\n  eval \"$(backlot env)\"\n  eval \"$(backlot env --with Shot010==1.2)\"\n  backlot env --syntax csh > setup.csh\n  backlot env --syntax fish | source\n  backlot env --json | jq .variables"
)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) with: WithArgs,
    /// The shell syntax
    #[arg(long, value_enum, default_value = "sh", value_name = "SHELL")]
    pub(crate) syntax: ShellSyntax,
}

/// The syntax of a shell for setting variables.
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
