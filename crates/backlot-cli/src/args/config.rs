//! Arguments of `config` and `self`.

use std::path::PathBuf;

use clap::Subcommand;

use super::DryRun;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// List all effective settings
    #[command(
        after_help = "Examples:\n  backlot config list\n  backlot config list --origin    and the file or variable each comes from"
    )]
    List {
        /// Show the origin of each setting
        #[arg(long)]
        origin: bool,
    },
    /// Show one setting
    #[command(after_help = "Examples:\n  backlot config get cache\n  backlot config get python --origin")]
    Get {
        /// Its name
        key: String,
        /// Show its origin
        #[arg(long)]
        origin: bool,
    },
    /// Change a setting of this workspace, or of all workspaces of this user
    #[command(
        after_help = "author: the name recorded with releases (--user). blessed: the repo that installs prefer. cache: the folder of the cache.\nchannels: the channels of conda packages. links: how files are placed, of reflink, hardlink, symlink and copy, in order of\npreference. publish-to: the repo to publish to. python: a version, an interpreter, or `none`. remote: the remote that push and\npull use.\n\nExamples:\n  backlot config set python 3.11\n  backlot config set links reflink hardlink copy --user\n  backlot config set cache /fast/cache --user --dry-run"
    )]
    Set {
        /// Its name
        key: String,
        /// Its value; several for a list
        #[arg(required = true)]
        values: Vec<String>,
        /// Set it in the user's file, for all workspaces
        #[arg(long)]
        user: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove a setting from its file
    #[command(after_help = "Examples:\n  backlot config unset python\n  backlot config unset links --user")]
    Unset {
        /// Its name
        key: String,
        /// Remove it from the user's file
        #[arg(long)]
        user: bool,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SelfCommand {
    /// Show the version and platform of this program
    #[command(
        after_help = "Examples:\n  backlot self version\n  backlot self version --json | jq -r .version"
    )]
    Version,
    /// Write a page for each command into a folder
    #[command(hide = true)]
    Pages {
        /// The format
        format: PageFormat,
        /// The folder, which is created if absent
        dir: PathBuf,
    },
}

/// A format of command pages.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum PageFormat {
    /// Markdown, with an index
    Markdown,
    /// Man pages of section 1
    Man,
}
