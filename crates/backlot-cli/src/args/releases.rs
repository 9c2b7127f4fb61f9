//! The arguments of commands about published releases.

use clap::Args;

use super::DryRun;

/// What to say of a release, and why.
#[derive(Debug, Args)]
pub(crate) struct VerdictArgs {
    /// The release, as Table==1.0.0
    pub(crate) release: String,
    /// The repo [default: the one that has it]
    #[arg(long, value_name = "REPO")]
    pub(crate) repo: Option<String>,
    /// Why; kept for ever, with who and when
    #[arg(long, short, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}
