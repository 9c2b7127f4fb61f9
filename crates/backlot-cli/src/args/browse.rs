//! Arguments of `search` and `du`.

use std::path::PathBuf;

use backlot::{Query, QueryError};
use clap::Args;

/// Arguments of `search`.
#[derive(Debug, Args)]
#[command(
    after_help = "The newest release of an asset must match all terms. `-` before a term negates it, a comma separates alternative values, * and ? are\nwildcards, and quotes group words with spaces or make a term literal. In package indexes, only names are searched.\n\nTerms:\n  WORD                part of a name, summary, type, tag, keyword or author\n  name:WORD           part of the name\n  summary:WORD        part of the summary\n  type:Rig, tag:hero  the type, or a tag\n  by:ana              the author\n  needs:Table>=1      requires Table, in a range that overlaps this one\n  file:*.abc          part of the path of a packaged or tracked file or folder, or a pattern for it\n  age:<7d, age:>12h   published within this time, or before it; in m, h, d or w\n  approved, deprecated, yanked\n\nExamples:\n  backlot search kitchen\n  backlot search \"type:Rig tag:hero needs:Table>=1 by:ana age:<7d -yanked\"\n  backlot search type:Shot,Sequence -- -approved\n  backlot search file:*.exr --repo review\n  backlot search 'by:\"Ana Lee\"' --json | jq -r .packages[].name"
)]
pub(crate) struct SearchArgs {
    /// Words and `key:value` terms
    #[arg(value_name = "QUERY")]
    pub(crate) words: Vec<String>,
    /// The asset's type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) asset_type: Option<String>,
    /// A tag
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Only this repo
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
}

impl SearchArgs {
    /// The query that the words and options describe.
    pub(crate) fn query(&self) -> Result<Query, QueryError> {
        let mut query = Query::parse(&self.words.join(" "))?;
        if let Some(asset_type) = &self.asset_type {
            query = query.of_type(asset_type);
        }
        if let Some(tag) = &self.tag {
            query = query.with_tag(tag);
        }
        Ok(query)
    }
}

/// Arguments of `du`.
#[derive(Debug, Args)]
#[command(
    after_help = "logical: bytes of its files; stored: bytes on the remote that hold them; cost: stored bytes that were new when it was\npublished; exclusive: stored bytes that only this release needs.\n\nExamples:\n  backlot du\n  backlot du Shot010 --plot                  the cost of each release as a bar, by date\n  backlot du Shot010 -o shot010.svg          the same as a chart over time\n  backlot du Shot010 --plot --by version     in the order of versions\n  backlot du Shot010 --remote site\n  backlot du \"Shot010==1.2.0\""
)]
pub(crate) struct DuArgs {
    /// Packages or releases [default: all in this workspace's repos]
    pub(crate) names: Vec<String>,
    /// The remote [default: the default one]
    #[arg(long, value_name = "NAME")]
    pub(crate) remote: Option<String>,
    /// Show the cost of each release as a bar
    #[arg(long)]
    pub(crate) plot: bool,
    /// Write a chart of the costs to this file, as SVG
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Order and axis: date of publication, or version [default: date for --plot and -o, else version]
    #[arg(long, value_enum, value_name = "ORDER")]
    by: Option<UsageOrder>,
}

impl DuArgs {
    /// The order of the releases.
    pub(crate) fn order(&self) -> UsageOrder {
        self.by.unwrap_or(if self.plot || self.output.is_some() {
            UsageOrder::Date
        } else {
            UsageOrder::Version
        })
    }
}

/// The order of releases in a usage report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum UsageOrder {
    /// Date of publication, oldest first, over all packages
    Date,
    /// Package and version
    Version,
}
