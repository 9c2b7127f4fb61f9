//! Arguments of `dependents`, `dirty` and `validate`, and of cascades.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::executor::{ExecutorArgs, JobArgs, parse_time};

/// Arguments of `dependents`.
#[derive(Debug, Args)]
pub(crate) struct DependentsArgs {
    /// The asset
    pub(crate) name: String,
    /// The number of levels: 2 also lists the assets that require those
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) depth: u32,
    /// List all levels
    #[arg(long, conflicts_with = "depth")]
    pub(crate) all: bool,
    /// Only releases of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    #[command(flatten)]
    pub(crate) form: super::GraphForm,
}

/// Arguments of `dirty`.
#[derive(Debug, Args)]
pub(crate) struct DirtyArgs {
    /// A release, published or not: Table==1.5.0; a bare name is the version of its output, else the newest release [default: all assets that are not current]
    pub(crate) release: Option<String>,
    /// Only assets of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    #[command(flatten)]
    pub(crate) form: super::GraphForm,
}

/// A resource class and its number of units: `licence.houdini=4`.
fn parse_limit(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("invalid limit `{text}`; write licence.houdini=4");
    let (class, units) = text
        .split_once('=')
        .filter(|(class, _)| !class.is_empty())
        .ok_or_else(wrong)?;
    // With 0 units, assets of the class would wait forever.
    let units = units.parse().ok().filter(|units| *units > 0).ok_or_else(wrong)?;
    Ok((class.to_owned(), units))
}

/// Options for what runs before and after a publish.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// First update its inputs within their requirements, and run its stages
    #[arg(long, conflicts_with = "from_parts")]
    pub(crate) pull: bool,
    /// Then rebuild and publish the assets built from it, as `backlot cascade run`
    #[arg(long)]
    pub(crate) push: bool,
    /// With --push: the number of assets to build at the same time [default: 4]
    #[arg(long, short, value_name = "N", requires = "push")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// With --push: the largest number of assets to build without --yes [default: 200]
    #[arg(long, value_name = "N", requires = "push")]
    pub(crate) max: Option<usize>,
    /// With --push: build any number of assets
    #[arg(long, short, requires = "push")]
    pub(crate) yes: bool,
    /// With --push: limit a class of the `resources` that assets declare to N units at the same time
    #[arg(long, value_name = "CLASS=N", requires = "push", value_parser = parse_limit)]
    pub(crate) limit: Vec<(String, u32)>,
    /// With --push: repair the findings of checks that declare `auto_repair`
    #[arg(long, requires = "push")]
    pub(crate) auto_repair: bool,
    /// With --push: build in a background process; follow it with `backlot cascade status -f`
    #[arg(long, requires = "push", conflicts_with = "dry_run")]
    pub(crate) background: bool,
}

impl PushArgs {
    /// The same for the facade.
    pub(crate) fn options(&self, dry_run: bool) -> backlot::CascadeOptions {
        backlot::CascadeOptions::new()
            .jobs(self.jobs.map(NonZero::get))
            .most(self.max)
            .confirmed(self.yes)
            .resources(self.limit.iter().cloned().collect::<BTreeMap<_, _>>())
            .auto_repair(self.auto_repair)
            .begin_only(self.background)
            .dry_run(dry_run)
    }
}

/// Limits and options of a cascade.
#[derive(Debug, Args)]
pub(crate) struct RunLimits {
    /// The number of assets to build at the same time [default: 4]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// The largest number of assets to build without --yes [default: 200]
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<usize>,
    /// Build any number of assets
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Build N assets first, the others only if these succeed
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) canary: usize,
    /// Limit a class of the `resources` that assets declare to N units at the same time, as licence.houdini=4
    #[arg(long, value_name = "CLASS=N", value_parser = parse_limit)]
    pub(crate) limit: Vec<(String, u32)>,
    /// Keep the workspaces of failed builds in the cache, for inspection
    #[arg(long)]
    pub(crate) keep: bool,
    /// Repair the findings of checks that declare `auto_repair`
    #[arg(long)]
    pub(crate) auto_repair: bool,
    /// Seconds without a sign of life after which other machines take over a machine's builds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) lease: Option<u64>,
    #[command(flatten)]
    pub(crate) executor: ExecutorArgs,
}

impl RunLimits {
    /// The same for the facade.
    pub(crate) fn options(&self, repo: Option<&str>, dry_run: bool) -> backlot::CascadeOptions {
        backlot::CascadeOptions::new()
            .repo(repo.map(ToOwned::to_owned))
            .jobs(self.jobs.map(NonZero::get))
            .most(self.max)
            .confirmed(self.yes)
            .canary(self.canary)
            .lease(self.lease.map(Duration::from_secs))
            .keep_failed(self.keep)
            .executor(self.executor.options())
            .auto_repair(self.auto_repair)
            .resources(self.limit.iter().cloned().collect::<BTreeMap<_, _>>())
            .dry_run(dry_run)
    }
}

/// Cascades.
#[derive(Debug, Subcommand)]
pub(crate) enum CascadeCommand {
    /// Rebuild the assets that a release affects, or all that are not current
    #[command(
        after_help = "Each asset is built in a private workspace, from its newest release with new inputs. Its stages are run, and it is published if\nits content has changed. Outputs of workspaces are not changed. If an asset fails, only the assets that depend on it are skipped;\na rerun continues. The plan is stored in the repo, so `status`, `cancel`, `resume` and the others work from any machine.\n\nExit codes: 0 done, or only manual assets remain; 5 an asset failed, the cascade was cancelled, or there are more assets than --max.\n\nExamples:\n  backlot cascade run Table==1.5.0 --dry-run     the plan\n  backlot cascade run Table==1.5.0               the assets that Table 1.5.0 affects\n  backlot cascade run --jobs 8 --yes             all assets that are not current, any number\n  backlot cascade run Table==1.5.0 --background  in the background; follow it with `backlot cascade status -f`"
    )]
    Run {
        /// A published release: Table==1.5.0, or Table for the newest [default: all assets that are not current]
        release: Option<String>,
        /// Only assets of this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
        #[command(flatten)]
        limits: RunLimits,
        /// Build in a background process, which continues after this terminal is closed
        #[arg(long, conflicts_with = "dry_run")]
        background: bool,
        #[command(flatten)]
        dry: super::DryRun,
    },
    /// Show the state of a cascade
    #[command(
        after_help = "Examples:\n  backlot cascade status             the latest cascade\n  backlot cascade status 3f9c -f     follow it until it ends, or its background process is killed\n  backlot cascade status -f --json   one line per step, then the status\n  backlot cascade status --svg > cascade.svg"
    )]
    Status {
        /// A prefix of its ID [default: the latest cascade]
        id: Option<String>,
        /// Print each step until nothing is running and nothing can be started
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        form: super::GraphForm,
    },
    /// List cascades, newest first
    List {
        /// The number of cascades to list
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        most: usize,
    },
    /// Continue a cascade: retry failed assets, then build those that depend on them
    #[command(
        after_help = "For use after a kill, a power cut or a correction, from any machine. Assets that were published manually in the meantime count as\ndone. Assets that a killed process was building are restarted when their lease expires, after a minute (`cascade run --lease`).\n\nExamples:\n  backlot cascade resume 3f9c\n  backlot cascade resume 3f9c --background"
    )]
    Resume {
        /// A prefix of its ID
        id: String,
        /// Build any number of assets
        #[arg(long, short)]
        yes: bool,
        /// Keep the workspaces of failed builds in the cache, for inspection
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        executor: ExecutorArgs,
        /// Repair the findings of checks that declare `auto_repair`
        #[arg(long)]
        auto_repair: bool,
        /// Build in a background process, which continues after this terminal is closed
        #[arg(long)]
        background: bool,
        /// Run as the background process
        #[arg(long, hide = true, conflicts_with = "background")]
        detached: bool,
    },
    /// Cancel a cascade: start nothing new, and stop running builds before they publish
    Cancel(AskArgs),
    /// Pause a cascade: start nothing new until it is resumed
    Pause(AskArgs),
    /// Retry an asset of a cascade, or all failed ones
    #[command(
        after_help = "Earlier failures with the same inputs are ignored. The process that runs the cascade retries it; if none is running, run\n`backlot cascade resume`."
    )]
    Retry {
        /// A prefix of its ID
        id: String,
        /// The asset [default: all failed ones]
        node: Option<String>,
    },
    /// Count an asset of a cascade as done, so that its dependents are built
    Skip {
        /// A prefix of its ID
        id: String,
        /// The asset
        node: String,
        /// The reason, recorded in the journal
        #[arg(long, short)]
        message: String,
    },
    /// Explain one asset of a cascade: why it is included, and what happened
    Explain {
        /// A prefix of its ID
        id: String,
        /// The asset: table, or review/table
        node: String,
    },
    /// Undo a cascade: yank its releases, the one it started from last
    #[command(
        after_help = "Installs fall back to the previous releases. A rerun yanks the remaining releases. Assets that pin a yanked release, and authors\nwho published on top of one, are listed; their releases are kept.\n\nWith --forward, the previous content is first published again with higher versions, inputs before their dependents, for repos\nwhose users are on the new versions already. Assets that have a newer release are left unchanged. A rerun continues.\n\nExamples:\n  backlot cascade revert 3f9c --dry-run\n  backlot cascade revert 3f9c -m \"wrong scale\"\n  backlot cascade revert 3f9c --keep-roots           only the rebuilt releases\n  backlot cascade revert 3f9c --forward              publish 1.5.1 with the content of 1.4.0, then yank 1.5.0\n  backlot cascade revert 3f9c --forward --no-yank    without yanking"
    )]
    Revert {
        /// A prefix of its ID
        id: String,
        /// The reason, recorded in the journal
        #[arg(long, short)]
        message: Option<String>,
        /// Keep the releases that it started from
        #[arg(long)]
        keep_roots: bool,
        /// First publish the previous content again with higher versions
        #[arg(long)]
        forward: bool,
        /// With --forward: yank nothing
        #[arg(long, requires = "forward")]
        no_yank: bool,
        #[command(flatten)]
        dry: super::DryRun,
    },
    /// Remove the journals of old cascades
    #[command(
        after_help = "Only cascades that are done or cancelled; those that can be continued are kept. Releases are kept as well, but the cascade is no\nlonger listed and cannot be reverted by its ID.\n\nExamples:\n  backlot cascade clean --dry-run\n  backlot cascade clean --older-than 30d --repo review"
    )]
    Clean {
        /// Only cascades that ended longer ago than this
        #[arg(long, value_name = "AGE", default_value = "90d", value_parser = super::parse_age)]
        older_than: Duration,
        /// Only cascades in this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
        #[command(flatten)]
        dry: super::DryRun,
    },
    /// Build one asset of a cascade once, for schedulers
    #[command(
        after_help = "Exit codes: 0 done; 65 failed, a retry would fail as well; 75 temporary (another process is building it, an input is not done, or\nthe machine failed): retry on any machine; 130 cancelled or interrupted."
    )]
    RunNode(RunNodeArgs),
    /// Export a cascade as a job for a scheduler, one step per asset
    #[command(
        after_help = "Each step runs `backlot cascade run-node`. The plan is written to the repo, so that steps run on any machine; nothing is built. The\njob contains no secrets. Manual assets, and assets that depend on them, are left out.\n\nExamples:\n  backlot cascade export Table==1.5.0 -o job.yaml     the assets that Table 1.5.0 affects, as Open Job Description\n  openjd check job.yaml\n  backlot cascade export --cascade 3f9c -o job.json   a cascade that was started"
    )]
    Export(JobArgs),
}

/// Arguments of `cascade pause` and `cascade cancel`.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// A prefix of its ID
    pub(crate) id: String,
    /// The reason, recorded in the journal
    #[arg(long, short, default_value = "by hand")]
    pub(crate) message: String,
}

/// Arguments of `cascade run-node`.
#[derive(Debug, Args)]
pub(crate) struct RunNodeArgs {
    /// A prefix of the cascade's ID
    #[arg(long, value_name = "ID")]
    pub(crate) cascade: String,
    /// The asset: table, or review/table
    #[arg(long)]
    pub(crate) node: String,
    /// The scheduler's name for the attempt, recorded in the journal
    #[arg(long)]
    pub(crate) attempt: Option<String>,
    /// Keep the workspace of a failed build, for inspection
    #[arg(long)]
    pub(crate) keep: bool,
    /// Create the private workspace in this folder instead of the cache, for example "$TMPDIR" of a job [env: `BACKLOT_SCRATCH`]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Repair the findings of checks that declare `auto_repair`
    #[arg(long)]
    pub(crate) auto_repair: bool,
    /// Fail the build after this time: 90s, 30m, 12h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wall_time: Option<Duration>,
    /// Fail the build after this time without output or data transfer: 30m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) quiet_time: Option<Duration>,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The asset
    pub(crate) asset: Option<String>,
    /// Use the levels for automatic runs
    #[arg(long)]
    pub(crate) auto: bool,
    /// Check as for a publish to this repo, including its own checks
    #[arg(long, value_name = "REPO")]
    pub(crate) to: Option<String>,
    /// Read all files again, ignoring cached results
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Run the repairs of failed checks on a copy, show their changes, and apply them after confirmation
    #[arg(long)]
    pub(crate) repair: bool,
    /// With --repair: apply the changes without confirmation
    #[arg(long, short, requires = "repair")]
    pub(crate) yes: bool,
    /// With --repair: show the changes, apply nothing
    #[arg(long, requires = "repair", conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}
