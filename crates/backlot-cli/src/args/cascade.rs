//! The arguments of commands about who is built from whom.

use clap::Args;

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
}

/// What to report on, and how.
#[derive(Debug, Args)]
pub(crate) struct DirtyArgs {
    /// A release, published or not: Table==1.5.0, or Table for the version of its output, else the newest [default: all assets that are not current]
    pub(crate) release: Option<String>,
    /// Only assets of this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// Print a graph for Graphviz
    #[arg(long, conflicts_with_all = ["svg", "json"])]
    pub(crate) dot: bool,
    /// Print the graph as an SVG picture
    #[arg(long, conflicts_with = "json")]
    pub(crate) svg: bool,
}
