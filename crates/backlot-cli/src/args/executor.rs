//! The arguments that say where cascades are run.

use std::path::PathBuf;
use std::time::Duration;

use backlot::{ExecutorKind, ExecutorOptions, JobFormat};
use clap::Args;

use super::DryRun;

/// Where assets are built.
#[derive(Debug, Args)]
pub(crate) struct ExecutorArgs {
    /// Where assets are built: pool (threads of this process), process (processes of this machine) or slurm [default: `executor` of [cascade], else pool]
    #[arg(long, value_name = "NAME")]
    pub(crate) executor: Option<ExecutorKind>,
    /// The longest time for an asset: 90s, 30m, 12h (not for pool)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wall_time: Option<Duration>,
    /// The longest time that an asset may print nothing and move no byte: 30m (not for pool)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) quiet_time: Option<Duration>,
    /// Slurm's partition
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// Slurm's account
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// One more argument of sbatch: --sbatch=--mem=8G. Repeatable
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) sbatch: Vec<String>,
}

impl ExecutorArgs {
    /// As the facade takes them.
    pub(crate) fn options(&self) -> ExecutorOptions {
        ExecutorOptions::new()
            .executor(self.executor)
            .wall_time(self.wall_time)
            .quiet_time(self.quiet_time)
            .partition(self.partition.clone())
            .account(self.account.clone())
            .sbatch_arguments(self.sbatch.clone())
    }

    /// The arguments that [`Self::options`] makes these options of.
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

/// Which cascade to write as a job, and where.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// A published release: Table==1.5.0, or Table for the newest [default: all that is not current]
    pub(crate) release: Option<String>,
    /// A cascade that was begun, by the beginning of its id
    #[arg(long, value_name = "ID", conflicts_with = "release")]
    pub(crate) cascade: Option<String>,
    /// The format: openjd (Open Job Description)
    #[arg(long, default_value = "openjd")]
    pub(crate) format: JobFormat,
    /// The file; JSON if its name ends so, else YAML [default: YAML on standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only assets of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// The longest time for an asset: 90s, 30m, 12h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wall_time: Option<Duration>,
    /// The longest time that an asset may print nothing and move no byte: 30m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) quiet_time: Option<Duration>,
    /// Export however many there are
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

impl JobArgs {
    /// As the facade takes them.
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
