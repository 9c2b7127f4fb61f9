//! Arguments of `python`, `channel` and `external`: interpreters, and libraries from conda.

use clap::Subcommand;

use super::DryRun;

#[derive(Debug, Subcommand)]
pub(crate) enum Python {
    /// List the installed interpreters, newest first
    List,
    /// Install an interpreter from the workspace's channels, for all your workspaces
    #[command(
        after_help = "The newest release of that version is installed. A suitable interpreter on the PATH is preferred to it.\n\nExamples:\n  backlot channel add /studio/conda\n  backlot python install 3.12\n  backlot python install 3.12.4 --dry-run"
    )]
    Install {
        /// Its version: 3.12 or 3.12.4
        version: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove all interpreters of a version
    #[command(
        after_help = "`backlot install` gives workspaces that used it another one.\n\nExamples:\n  backlot python remove 3.11"
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
    /// Add a channel, last in order of preference
    #[command(
        after_help = "There is no default channel: packages are only fetched from channels that you add.\n\nExamples:\n  backlot channel add /studio/conda\n  backlot channel add ../channel\n  backlot channel add https://conda.studio.example/main"
    )]
    Add {
        /// A folder, or a URL
        channel: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the channels in order of preference
    List,
    /// Remove a channel; packages installed from it stay
    Remove {
        /// The channel as `list` shows it
        channel: String,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum External {
    /// Add conda packages and install them
    #[command(
        after_help = "They are installed into external_packages/conda with the Python version of the workspace; inputs becomes an environment of that\nPython and can import them.\n\nExamples:\n  backlot external add \"numpy >=1.26\"\n  backlot external add openimageio imath --dry-run"
    )]
    Add {
        /// Requirements in conda's syntax
        #[arg(required = true)]
        requirements: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the required and the installed conda packages
    List,
    /// Remove conda packages
    #[command(
        after_help = "Packages that nothing else requires are removed; after the last one, the whole folder.\n\nExamples:\n  backlot external remove numpy"
    )]
    Remove {
        /// Package names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
}
