//! Arguments of `params`, `metrics` and `plots`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `params diff` and `metrics diff`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// From: a release, or an asset of this workspace
    #[arg(value_name = "NAME[==VERSION]")]
    pub(crate) from: Option<String>,
    /// To [default: the asset in this workspace]
    #[arg(value_name = "NAME[==VERSION]")]
    pub(crate) to: Option<String>,
    /// Only releases of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Params {
    /// Compare the parameters of an asset with those of a release
    #[command(
        after_help = "Examples:\n  backlot params diff Shot010                         since the release it was edited from\n  backlot params diff Shot010==1.0.0                  since that release\n  backlot params diff Shot010==1.0.0 Shot010==1.1.0   between two releases"
    )]
    Diff(CompareArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Metrics {
    /// Show the metrics of an asset or a release
    #[command(
        after_help = "Examples:\n  backlot metrics show Shot010\n  backlot metrics show Shot010==1.0.0 --json"
    )]
    Show {
        /// A release, or an asset of this workspace [default: the asset here]
        #[arg(value_name = "NAME[==VERSION]")]
        what: Option<String>,
        /// Only releases of this repo
        #[arg(long, value_name = "REPO")]
        repo: Option<String>,
    },
    /// Compare the metrics of an asset with those of a release
    #[command(
        after_help = "Examples:\n  backlot metrics diff Shot010                         since the release it was edited from\n  backlot metrics diff Shot010==1.0.0                  since that release\n  backlot metrics diff Shot010==1.0.0 Shot010==1.1.0   between two releases"
    )]
    Diff(CompareArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plots {
    /// Draw the plots of assets and releases into a file
    #[command(
        after_help = "One chart per plot, with one line per asset or release and field. Supported data: CSV, TSV, JSON and YAML.\n\nExamples:\n  backlot plots show Shot010 -o plots.svg\n  backlot plots show Shot010==1.0.0 Shot010 -o plots.html"
    )]
    Show(PlotArgs),
}

/// Arguments of `plots show`.
#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// Releases, or assets of this workspace [default: the asset here]
    #[arg(value_name = "NAME[==VERSION]")]
    pub(crate) ends: Vec<String>,
    /// The file, .svg or .html
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Only releases of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
}
