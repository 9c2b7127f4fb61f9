//! Arguments of commands for published releases.

use std::time::Duration;

use backlot::{LabelOptions, PolicyChange, PrereleasePolicy, RequiredStatus};
use clap::{Args, Subcommand};

use super::DryRun;
use super::values::parse_age;

/// Arguments of `approve`, `yank` and `unyank`.
#[derive(Debug, Args)]
pub(crate) struct VerdictArgs {
    /// The release, as Table==1.0.0
    pub(crate) release: String,
    /// The repo [default: the one that has it]
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// The reason, recorded with author and time
    #[arg(long, short, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `deprecate`.
#[derive(Debug, Args)]
pub(crate) struct DeprecateArgs {
    /// The release, as Table==1.0.0; with --below or --unused-for an asset, as Table
    #[arg(required_unless_present = "unused_for")]
    pub(crate) release: Option<String>,
    /// All releases of the asset below this version, as `<2.0` in a requirement
    #[arg(long, value_name = "VERSION", requires = "release")]
    pub(crate) below: Option<String>,
    /// All unused releases older than this; without --yes, they are only listed
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) unused_for: Option<Duration>,
    /// With --unused-for: deprecate the listed releases
    #[arg(long, short, requires = "unused_for")]
    pub(crate) yes: bool,
    /// The repo [default: the one that has it; with --below or --unused-for, all]
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// The reason, recorded with author and time
    #[arg(long, short, required_unless_present = "unused_for", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The release: a name, or a requirement
    pub(crate) release: String,
    /// The repo to copy from
    #[arg(long, value_name = "REPO")]
    pub(crate) from: String,
    /// The repo to copy to
    #[arg(long, value_name = "REPO")]
    pub(crate) to: String,
    /// Copy required releases as well: those it was built with, else the newest that fit
    #[arg(long)]
    pub(crate) with_deps: bool,
    #[command(flatten)]
    pub(crate) ends: FileEnds,
    /// Neither copy files nor check that they exist
    #[arg(long, conflicts_with_all = ["from_remote", "to_remote"])]
    pub(crate) without_files: bool,
    /// The reason, recorded with the release
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    /// Copy a release that cannot be installed from there; needs a reason (-m)
    #[arg(long, requires = "message")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `mirror`.
#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    /// The repo to read
    pub(crate) from: String,
    /// The repo to fill
    pub(crate) to: String,
    /// Only packages with a matching name: `*` is any text, `?` any character
    #[arg(long, value_name = "GLOB")]
    pub(crate) name: Option<String>,
    /// Only the N newest releases of each package
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) newest: Option<u32>,
    /// Copy the files as well, before the releases
    #[arg(long)]
    pub(crate) files: bool,
    #[command(flatten)]
    pub(crate) ends: FileEnds,
    /// The reason, recorded with the release
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Source and target of files.
#[derive(Debug, Args)]
pub(crate) struct FileEnds {
    /// The remote to copy files from [default: the default one]
    #[arg(long, value_name = "NAME")]
    pub(crate) from_remote: Option<String>,
    /// The remote to copy files to, if it is a different one
    #[arg(long, value_name = "NAME")]
    pub(crate) to_remote: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Label {
    /// Create a label, or move it to another release
    #[command(
        after_help = "Inputs that follow the label get the release with the next `backlot update`. Releases are neither copied nor changed, and every move\nis recorded in the repo. `latest-approved` always points to the newest approved release, and cannot be moved.\n\nExamples:\n  backlot label set Table==1.2.0 hero\n  backlot label set Table==1.3.0 hero --repo blessed -m \"new scale\"\n  backlot install Table@hero                follow it"
    )]
    Set {
        /// The release, as Table==1.0.0
        release: String,
        /// The label: lower-case letters, digits, `-`, `_` and `.`
        label: String,
        #[command(flatten)]
        how: LabelArgs,
    },
    /// List the labels of an asset
    #[command(
        after_help = "Examples:\n  backlot label list Table\n  backlot label list Table --repo blessed --json"
    )]
    List {
        /// The asset
        asset: String,
        /// Only this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
    },
    /// Remove a label of an asset
    #[command(
        after_help = "Examples:\n  backlot label remove Table hero\n  backlot label remove Table hero --repo blessed"
    )]
    Remove {
        /// The asset
        asset: String,
        /// The label
        label: String,
        #[command(flatten)]
        how: LabelArgs,
    },
}

/// Repo of a label, and the reason for moving it.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The repo [default: the one that has the release, or the first that has the label]
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// The reason, recorded with author and time
    #[arg(long, short, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

impl LabelArgs {
    pub(crate) fn options(&self) -> LabelOptions {
        LabelOptions::new()
            .repo(self.repo.clone())
            .message(self.message.clone())
            .dry_run(self.dry.dry_run)
    }
}

/// Arguments of `policy`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without options, lists the policies. Saved in `[policy]` of backlot.toml. The policy of an asset takes precedence over that of a\nrepo, and that over the policy of the workspace. It applies from the next `backlot install` or `backlot update` on; outputs and\nrequirements by URL are not affected.\n\nExamples:\n  backlot policy\n  backlot policy --status approved                     only approved releases\n  backlot policy --repo review --status any            but any release of this repo\n  backlot policy --asset Table --prereleases disallow\n  backlot policy --asset Table --label hero            follow the label `hero`, as `backlot install Table@hero`\n  backlot policy --asset Table --reset                 like all other assets"
)]
pub(crate) struct PolicyArgs {
    /// Only for releases of this asset
    #[arg(long, value_name = "NAME", conflicts_with = "repo")]
    pub(crate) asset: Option<String>,
    /// Only for releases in this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// The status that releases must have
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<StatusArg>,
    /// Whether pre-releases may be chosen
    #[arg(long, value_enum, value_name = "WHEN", conflicts_with = "repo")]
    pub(crate) prereleases: Option<PrereleaseArg>,
    /// The label that the asset follows, see `backlot label`
    #[arg(long, value_name = "LABEL", requires = "asset")]
    pub(crate) label: Option<String>,
    /// Remove the policy
    #[arg(long)]
    pub(crate) reset: bool,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

impl PolicyArgs {
    /// The requested change; `None` lists.
    pub(crate) fn change(&self) -> Option<PolicyChange> {
        let says = self.status.is_some() || self.prereleases.is_some() || self.label.is_some();
        let changes = says || self.reset;
        changes.then(|| {
            PolicyChange::new()
                .asset(self.asset.clone())
                .repo(self.repo.clone())
                .status(self.status.map(RequiredStatus::from))
                .prereleases(self.prereleases.map(PrereleasePolicy::from))
                .label(self.label.clone())
                .reset(self.reset)
                .dry_run(self.dry.dry_run)
        })
    }
}

/// The status that releases must have.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum StatusArg {
    /// Any status except yanked
    Any,
    /// Approved, see `backlot approve`
    Approved,
}

impl From<StatusArg> for RequiredStatus {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Any => Self::Any,
            StatusArg::Approved => Self::Approved,
        }
    }
}

/// Whether pre-releases may be chosen.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum PrereleaseArg {
    /// Like any other release
    Allow,
    /// Only if no other release fits
    IfNecessary,
    /// Only by a pin, as Table==2.0rc1
    Disallow,
}

impl From<PrereleaseArg> for PrereleasePolicy {
    fn from(when: PrereleaseArg) -> Self {
        match when {
            PrereleaseArg::Allow => Self::Allow,
            PrereleaseArg::IfNecessary => Self::IfNecessary,
            PrereleaseArg::Disallow => Self::Disallow,
        }
    }
}
