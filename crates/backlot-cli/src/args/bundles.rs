//! Arguments of `bundle` and `unbundle`.

use std::path::PathBuf;

use clap::Args;

use super::DryRun;

/// Arguments of `bundle`.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// Releases, as requirements [default: all that are installed in this workspace]
    pub(crate) releases: Vec<String>,
    /// The bundle: NAME.tar.zst, or a new folder
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// Prefer this repo to all others
    #[arg(long, value_name = "REPO")]
    pub(crate) from: Option<String>,
    /// The remote to fetch the files from [default: the default one]
    #[arg(long, value_name = "NAME")]
    pub(crate) remote: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

/// Arguments of `unbundle`.
#[derive(Debug, Args)]
pub(crate) struct UnbundleArgs {
    /// The bundle: a .tar.zst file, or a folder
    pub(crate) bundle: PathBuf,
    /// Publish its releases to this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) into_repo: Option<String>,
    /// Push its files to this remote [default with --into-repo: the default one]
    #[arg(long, value_name = "REMOTE")]
    pub(crate) push: Option<String>,
    /// The reason, recorded with the releases
    #[arg(long, short, requires = "into_repo")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}
