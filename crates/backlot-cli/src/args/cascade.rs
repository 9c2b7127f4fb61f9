//! The arguments of commands about who is built from whom, and of cascades.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::executor::{ExecutorArgs, JobArgs, parse_time};

/// Whose dependents to list, and how far.
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

/// What to report on, and how.
#[derive(Debug, Args)]
pub(crate) struct DirtyArgs {
    /// A release, published or not: Table==1.5.0, or Table for the version of its output, else the newest [default: all assets that are not current]
    pub(crate) release: Option<String>,
    /// Only assets of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    #[command(flatten)]
    pub(crate) form: super::GraphForm,
}

/// A class of resources and how many units there are of it: `licence.houdini=4`.
fn parse_limit(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("invalid limit `{text}`; write licence.houdini=4");
    let (class, units) = text
        .split_once('=')
        .filter(|(class, _)| !class.is_empty())
        .ok_or_else(wrong)?;
    // None at all would hold its assets back for ever.
    let units = units.parse().ok().filter(|units| *units > 0).ok_or_else(wrong)?;
    Ok((class.to_owned(), units))
}

/// Before and after a publish.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Update its inputs first, as far as it admits, and run its stages
    #[arg(long, conflicts_with = "from_parts")]
    pub(crate) pull: bool,
    /// Then build again and publish what is built from it, as `backlot cascade run`
    #[arg(long)]
    pub(crate) push: bool,
    /// With --push: how many assets to build at once [default: 4]
    #[arg(long, short, value_name = "N", requires = "push")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// With --push: how many assets may be built without --yes [default: 200]
    #[arg(long, value_name = "N", requires = "push")]
    pub(crate) max: Option<usize>,
    /// With --push: build however many there are
    #[arg(long, short, requires = "push")]
    pub(crate) yes: bool,
    /// With --push: at most this many at once of what assets declare as `resources`
    #[arg(long, value_name = "CLASS=N", requires = "push", value_parser = parse_limit)]
    pub(crate) limit: Vec<(String, u32)>,
    /// With --push: repair what checks refuse, where they declare `auto_repair`
    #[arg(long, requires = "push")]
    pub(crate) auto_repair: bool,
    /// With --push: leave the building to a process of its own, which `cascade status -f` follows
    #[arg(long, requires = "push", conflicts_with = "dry_run")]
    pub(crate) background: bool,
}

impl PushArgs {
    /// As the facade takes them.
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

/// How much a cascade does.
#[derive(Debug, Args)]
pub(crate) struct RunLimits {
    /// How many assets to build at once [default: 4]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// How many assets may be built without --yes [default: 200]
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<usize>,
    /// Build however many there are
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Build this many first, and the others only if those end well
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) canary: usize,
    /// At most this many at once of what assets declare as `resources`, as licence.houdini=4
    #[arg(long, value_name = "CLASS=N", value_parser = parse_limit)]
    pub(crate) limit: Vec<(String, u32)>,
    /// Leave the workspaces of failed builds in the cache, for a look
    #[arg(long)]
    pub(crate) keep: bool,
    /// Repair what checks refuse, where they declare `auto_repair`
    #[arg(long)]
    pub(crate) auto_repair: bool,
    /// After how many seconds of silence of a machine others take over what it builds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) lease: Option<u64>,
    #[command(flatten)]
    pub(crate) executor: ExecutorArgs,
}

impl RunLimits {
    /// As the facade takes them.
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
    /// Build again what a release affects, or all that is not current
    #[command(
        after_help = "Each asset is built in a workspace of its own: its newest release with new inputs, its stages run, and published if that\ngave other content. Nobody's outputs are touched. What does not follow a failed asset is built all the same. Run again,\nit continues. The plan is kept in the repo, so `status`, `cancel`, `resume` and the rest work from any machine.\n\nExit codes: 0 done, or the rest is for people (manual); 5 an asset failed, it was cancelled, or there are more than --max.\n\nExamples:\n  backlot cascade run Table==1.5.0 --dry-run     the plan\n  backlot cascade run Table==1.5.0               what Table 1.5.0 affects\n  backlot cascade run --jobs 8 --yes             all that is not current, however many\n  backlot cascade run Table==1.5.0 --background  in a process of its own; follow it with `backlot cascade status -f`"
    )]
    Run {
        /// A published release: Table==1.5.0, or Table for the newest [default: all that is not current]
        release: Option<String>,
        /// Only assets of this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
        #[command(flatten)]
        limits: RunLimits,
        /// Leave the building to a process of its own, which outlives this terminal
        #[arg(long, conflicts_with = "dry_run")]
        background: bool,
        #[command(flatten)]
        dry: super::DryRun,
    },
    /// Show where a cascade stands
    #[command(
        after_help = "Examples:\n  backlot cascade status             the last one\n  backlot cascade status 3f9c -f     follow it to its end, or until the process that runs it in the background is killed\n  backlot cascade status -f --json   one line a step, then the status"
    )]
    Status {
        /// The beginning of its id [default: the last one]
        id: Option<String>,
        /// Tell of each step until nothing runs and nothing can be started
        #[arg(long, short)]
        follow: bool,
    },
    /// List cascades, newest first
    List {
        /// How many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        most: usize,
    },
    /// Continue a cascade: what failed is tried again, and what that blocked follows
    #[command(
        after_help = "After a kill, a power cut, or a correction; from any machine. What was published meanwhile by hand counts as done. What a process\nthat was killed was building is begun again when it has been silent for a minute (`cascade run --lease`).\n\nExamples:\n  backlot cascade resume 3f9c\n  backlot cascade resume 3f9c --background"
    )]
    Resume {
        /// The beginning of its id
        id: String,
        /// Build however many there are
        #[arg(long, short)]
        yes: bool,
        /// Leave the workspaces of failed builds in the cache, for a look
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        executor: ExecutorArgs,
        /// Repair what checks refuse, where they declare `auto_repair`
        #[arg(long)]
        auto_repair: bool,
        /// Leave the building to a process of its own, which outlives this terminal
        #[arg(long)]
        background: bool,
        /// Be that process
        #[arg(long, hide = true, conflicts_with = "background")]
        detached: bool,
    },
    /// Start nothing new of a cascade, and stop what is being built before it is published
    Cancel(AskArgs),
    /// Start nothing new of a cascade until it is resumed
    Pause(AskArgs),
    /// Have an asset of a cascade tried again, or all that failed, whatever failed before
    #[command(
        after_help = "The process that runs the cascade tries it again; if none is running, `backlot cascade resume` does."
    )]
    Retry {
        /// The beginning of its id
        id: String,
        /// The asset [default: all that failed]
        node: Option<String>,
    },
    /// Count an asset of a cascade as done, so that what follows it is built
    Skip {
        /// The beginning of its id
        id: String,
        /// The asset
        node: String,
        /// Why, for the record
        #[arg(long, short)]
        message: String,
    },
    /// Tell all about one asset of a cascade: why it is in it, and what happened
    Explain {
        /// The beginning of its id
        id: String,
        /// The asset: table, or review/table
        node: String,
    },
    /// Undo a cascade: yank its releases, and what it began with last
    #[command(
        after_help = "Resolvers fall back to the releases of before. Run again, it yanks what is left. Those are named who pin a yanked release,\nand people who published on top of one; their releases stay.\n\nWith --forward, the content of before is published again with higher versions first, inputs before their users, for repos where\npeople are on the new versions already. An asset that has a higher release by now is left as it is. If it is stopped, run it again.\n\nExamples:\n  backlot cascade revert 3f9c --dry-run\n  backlot cascade revert 3f9c -m \"wrong scale\"\n  backlot cascade revert 3f9c --keep-roots           only what was built again\n  backlot cascade revert 3f9c --forward              1.5.1 has the content of 1.4.0, then 1.5.0 is yanked\n  backlot cascade revert 3f9c --forward --no-yank    nothing is yanked"
    )]
    Revert {
        /// The beginning of its id
        id: String,
        /// Why, for the record
        #[arg(long, short)]
        message: Option<String>,
        /// Leave the releases that it began with
        #[arg(long)]
        keep_roots: bool,
        /// Publish the content of before again with higher versions first
        #[arg(long)]
        forward: bool,
        /// With --forward: yank nothing
        #[arg(long, requires = "forward")]
        no_yank: bool,
        #[command(flatten)]
        dry: super::DryRun,
    },
    /// Remove the journals of cascades that ended long ago
    #[command(
        after_help = "Of those that are done or were cancelled; what can be continued stays. The releases stay, too, but such a cascade is not listed\nany more, and cannot be reverted by its id.\n\nExamples:\n  backlot cascade clean --dry-run\n  backlot cascade clean --older-than 30d --repo review"
    )]
    Clean {
        /// Only those that ended before this time ago
        #[arg(long, value_name = "AGE", default_value = "90d", value_parser = super::parse_age)]
        older_than: Duration,
        /// Only those in this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
        #[command(flatten)]
        dry: super::DryRun,
    },
    /// One attempt at one asset of a cascade, for schedulers
    #[command(
        after_help = "Exit codes: 0 done; 65 it is wrong, another attempt gives the same; 75 not now (somebody else has it, what it follows is not\ndone, or the machine failed): try again, here or elsewhere; 130 cancelled or interrupted."
    )]
    RunNode(RunNodeArgs),
    /// Write a cascade as a job for a scheduler, a step an asset, each one `backlot cascade run-node`
    #[command(
        after_help = "The plan is written into the repo, where `run-node` finds it from any machine; nothing is built. No secret is in the job. Assets\nthat need a person, and what follows those, are no steps.\n\nExamples:\n  backlot cascade export Table==1.5.0 -o job.yaml     what Table 1.5.0 affects, for Open Job Description\n  openjd check job.yaml\n  backlot cascade export --cascade 3f9c -o job.json   a cascade that was begun"
    )]
    Export(JobArgs),
}

/// A request to a cascade.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The beginning of its id
    pub(crate) id: String,
    /// Why, for the record
    #[arg(long, short, default_value = "by hand")]
    pub(crate) message: String,
}

/// Which asset of which cascade.
#[derive(Debug, Args)]
pub(crate) struct RunNodeArgs {
    /// The beginning of the cascade's id
    #[arg(long, value_name = "ID")]
    pub(crate) cascade: String,
    /// The asset: table, or review/table
    #[arg(long)]
    pub(crate) node: String,
    /// The scheduler's name of the attempt, for the record
    #[arg(long)]
    pub(crate) attempt: Option<String>,
    /// Leave the workspace of a failed build in the cache, for a look
    #[arg(long)]
    pub(crate) keep: bool,
    /// Repair what checks refuse, where they declare `auto_repair`
    #[arg(long)]
    pub(crate) auto_repair: bool,
    /// The longest time for it: 90s, 30m, 12h. Then it failed
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wall_time: Option<Duration>,
    /// The longest time that it may print nothing and move no byte: 30m. Then it failed
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) quiet_time: Option<Duration>,
}

/// Whose checks to run.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The asset
    pub(crate) asset: Option<String>,
    /// With the levels of automatic runs
    #[arg(long)]
    pub(crate) auto: bool,
    /// As for a publish to this repo, with its checks
    #[arg(long, value_name = "REPO")]
    pub(crate) to: Option<String>,
    /// Read files again, though what is in them is known from before
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Run the repairs of checks that do not pass in a copy, show what they changed, and take that over if you agree
    #[arg(long)]
    pub(crate) repair: bool,
    /// With --repair: take it over without a question
    #[arg(long, short, requires = "repair")]
    pub(crate) yes: bool,
    /// With --repair: show what would be changed, change nothing
    #[arg(long, requires = "repair", conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}
