//! The report of rebuilding the derived files of a repo; see [`crate::Upkeep::reindex`].

use backlot_pep::PackageName;
use serde::Serialize;

use crate::listing::BrokenRelease;
use crate::location::Location;

/// The result of a reindex.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReindexReport {
    /// How many packages the repo has.
    pub packages: u64,
    /// How many good wheels and source distributions.
    pub releases: u64,
    /// Rebuilt sidecars and records.
    pub healed: Vec<Location>,
    /// Packages whose pages were written.
    pub paged: Vec<PackageName>,
    /// Root pages that were written.
    pub root_pages: Vec<Location>,
    /// How many events were added that no record had.
    pub events: u64,
    /// Wheels that cannot be used.
    pub broken: Vec<BrokenRelease>,
    /// Left-over temporaries and pages of packages that are gone, which were removed.
    pub removed: Vec<Location>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}
