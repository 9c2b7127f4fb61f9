//! The arguments of `python`, `channel` and `external`: interpreters and libraries that are no assets.

use clap::Subcommand;

use super::DryRun;

#[derive(Debug, Subcommand)]
pub(crate) enum Python {
    /// The interpreters that were installed, newest first
    List,
    /// Install an interpreter from the workspace's channels, for all your workspaces
    #[command(
        after_help = "The newest of that version is taken. A fitting interpreter on the path is preferred to it.\n\nExamples:\n  backlot channel add /studio/conda\n  backlot python install 3.12\n  backlot python install 3.12.4 --dry-run"
    )]
    Install {
        /// Its version: 3.12 or 3.12.4
        version: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove all interpreters of a version
    #[command(
        after_help = "Workspaces that used it are given another one by `backlot install`.\n\nExamples:\n  backlot python remove 3.11"
    )]
    Remove {
        /// Its version: 3.12 or 3.12.4
        version: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// Name a channel, last in preference
    #[command(
        after_help = "None is named by default: nothing is fetched from anywhere unless you say so.\n\nExamples:\n  backlot channel add /studio/conda\n  backlot channel add ../channel\n  backlot channel add https://conda.studio.example/main"
    )]
    Add {
        /// A folder, or a URL
        channel: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// The channels in order of preference
    List,
    /// Forget a channel; what was installed from it stays
    Remove {
        /// The channel as `list` shows it
        channel: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum External {
    /// Ask for conda packages and install them
    #[command(
        after_help = "They lie in external_packages/conda with a Python of the version that the workspace asks for; inputs is then an\nenvironment of that Python and sees them.\n\nExamples:\n  backlot external add \"numpy >=1.26\"\n  backlot external add openimageio imath --dry-run"
    )]
    Add {
        /// Requirements in conda's words
        #[arg(required = true)]
        requirements: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// What is asked for and what is there
    List,
    /// Stop asking for conda packages
    #[command(
        after_help = "What nothing else needs leaves; without any, the whole folder does.\n\nExamples:\n  backlot external remove numpy"
    )]
    Remove {
        /// Package names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
}
