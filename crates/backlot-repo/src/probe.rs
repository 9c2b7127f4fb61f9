//! The steps of publishing to a folder, where a test can meet the publisher or kill it. Outside tests nothing is done here.

use std::fmt;
use std::sync::Arc;

/// The steps of the protocol, where a test can meet the publisher: each names what has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Layout,
    Staged,
    Fact,
    Committed,
    Sidecar,
    Record,
    PackageListed,
    PackageHtml,
    PackageJson,
    RootListed,
    RootHtml,
    RootJson,
}

/// Called after each step; `true` kills the publisher there. Only tests have one.
#[derive(Clone)]
pub(crate) struct Probe(pub(crate) Arc<dyn Fn(Step) -> bool + Send + Sync>);

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}
