//! Arguments for where cascades run.

use std::path::PathBuf;
use std::time::Duration;

use backlot::{ExecutorKind, ExecutorOptions, JobFormat};
use clap::Args;

use super::DryRun;

/// Where assets are built, and how long builds may last.
#[derive(Debug, Args)]
pub(crate) struct ExecutorArgs {
    /// Where assets are built: pool (threads of this process), process (processes of this machine) or slurm [default: `executor` of [cascade], else pool]
    #[arg(long, value_name = "NAME")]
    pub(crate) executor: Option<ExecutorKind>,
    /// Fail a build after this time: 90s, 30m, 12h (not for pool)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wall_time: Option<Duration>,
    /// Fail a build after this time without output or data transfer: 30m (not for pool)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) quiet_time: Option<Duration>,
    /// The Slurm partition
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// The Slurm account
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// An additional argument for sbatch, as --sbatch=--mem=8G; can be given more than once
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) sbatch: Vec<String>,
}

impl ExecutorArgs {
    /// The same for the facade.
    pub(crate) fn options(&self) -> ExecutorOptions {
        ExecutorOptions::new()
            .executor(self.executor)
            .wall_time(self.wall_time)
            .quiet_time(self.quiet_time)
            .partition(self.partition.clone())
            .account(self.account.clone())
            .sbatch_arguments(self.sbatch.clone())
    }

    /// The arguments that [`Self::options`] turns into these options.
    pub(crate) fn words(options: &ExecutorOptions) -> Vec<String> {
        let seconds = |time: Option<Duration>| time.map(|time| format!("{}s", time.as_secs()));
        let named = [
            (
                "--executor",
                options.executor.map(|kind| kind.as_str().to_owned()),
            ),
            ("--wall-time", seconds(options.wall_time)),
            ("--quiet-time", seconds(options.quiet_time)),
            ("--partition", options.partition.clone()),
            ("--account", options.account.clone()),
        ];
        let named = named
            .into_iter()
            .filter_map(|(flag, value)| value.map(|value| format!("{flag}={value}")));
        let sbatch = options.sbatch_arguments.iter();
        named
            .chain(sbatch.map(|argument| format!("--sbatch={argument}")))
            .collect()
    }
}

/// Arguments of `cascade export`.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// A published release: Table==1.5.0, or Table for the newest [default: all assets that are not current]
    pub(crate) release: Option<String>,
    /// A cascade that was started, by a prefix of its ID
    #[arg(long, value_name = "ID", conflicts_with = "release")]
    pub(crate) cascade: Option<String>,
    /// The format: openjd (Open Job Description)
    #[arg(long, default_value = "openjd")]
    pub(crate) format: JobFormat,
    /// The file: JSON if its name ends in .json, else YAML [default: YAML on standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only assets of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// Fail a build after this time: 90s, 30m, 12h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wall_time: Option<Duration>,
    /// Fail a build after this time without output or data transfer: 30m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) quiet_time: Option<Duration>,
    /// Export any number of assets
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

impl JobArgs {
    /// The same for the facade.
    pub(crate) fn options(&self) -> backlot::CascadeOptions {
        let executor = ExecutorOptions::new()
            .wall_time(self.wall_time)
            .quiet_time(self.quiet_time);
        backlot::CascadeOptions::new()
            .repo(self.repo.clone())
            .confirmed(self.yes)
            .executor(executor)
            .dry_run(self.dry.dry_run)
    }
}

/// `90s`, `30m`, `12h`, `2d`.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    backlot::parse_time(text).ok_or_else(|| format!("invalid duration `{text}`; write 90s, 30m, 12h or 2d"))
}
