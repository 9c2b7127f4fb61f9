//! Repos: stores of immutable releases, in a folder of a local or shared disk or behind a URL, safe for many machines at once
//! ([`ReleaseStore`]), and package indexes over HTTP ([`IndexRepo`]), read and uploaded to as pip, uv and twine do; [`Repo`] is either.
//!
//! Invariants of stores: **the truth of a repo is the wheels below `packages/` and the facts below `status/`**; index pages, release
//! records and metadata sidecars are derived from them and can be made again at any time. **A release is committed by one
//! exclusive create of its wheel and is never changed after**; of any number of publishers exactly one wins. No lock
//! decides anything. The layout is in `docs/format/repo-folder.md`, the reasons in
//! `docs/decisions/0002-publishing-to-a-folder.md`.
//!
//! Deliberately absent: choosing versions, environments, where credentials come from.

// The tests' wheels are shared with the black-box tests, which name the crate.
#[cfg(test)]
extern crate self as backlot_repo;

mod allow;
mod bounded;
mod error;
mod expected;
mod fact;
mod index;
mod inside;
mod layout;
mod listing;
mod own_page;
mod pages;
mod place;
mod publish;
mod record;
mod reindex;
mod release;
mod repo;
mod search;
mod stamp;
mod store;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod upkeep;
mod verdict;
mod whole;

pub use allow::{AllowedName, Gate};
pub use error::{Error, Result};
pub use expected::ExpectedFile;
pub use fact::{Fact, FactKind, RecordedCheck, RecordedWaiver, ReleaseStatus};
pub use index::{DirectFetch, DirectFile, IndexError, IndexRepo, Promise, kept_by_digest, read_package_page};
pub use inside::{Inside, Wanted};
pub use layout::{FORMAT, RepoKind};
pub use listing::{BrokenRelease, Failure, Listing, UnsupportedRelease};
pub use place::Place;
pub use publish::{Checked, ExistingRelease, Publication, PublishPlan, Published};
pub use reindex::ReindexReport;
pub use release::{Release, ReleaseKind};
pub use repo::Repo;
pub use search::{Found, Query};
pub use stamp::Stamp;
pub use store::{ReleaseStore, StoreOptions};
pub use upkeep::Upkeep;
pub use verdict::{CarriedFact, Verdict, VerdictReport};
pub use whole::WholeRelease;
