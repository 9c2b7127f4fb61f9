//! Repos: stores of immutable releases, in a folder of a local or shared disk or behind a URL, safe for many machines at once
//! ([`ReleaseStore`]), and package indexes over HTTP ([`IndexRepo`]), read and uploaded to as pip, uv and twine do; [`Repo`] is either.
//!
//! Invariants of stores: **the truth of a repo is the wheels below `packages/` and the facts below `status/`**; index pages, release
//! records and metadata sidecars are derived from them and can be rebuilt at any time. **A release is committed by one
//! exclusive create of its wheel and is never changed after**; of any number of publishers exactly one wins. No lock
//! decides anything. The layout is in `docs/format/repo-folder.md`, the reasons in
//! `docs/decisions/0002-publishing-to-a-folder.md`.
//!
//! ```
//! use backlot_core::Context;
//! use backlot_pep::PackageName;
//! use backlot_repo::{Error, Publication, ReleaseStore, StatusChange};
//! use backlot_wheel::{BuildOptions, Project, build};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let top = tempfile::tempdir()?;
//! # let (source, wheels, studio) = (top.path().join("table"), top.path().join("wheels"), top.path().join("review"));
//! # for made in [&source.join("src/table"), &wheels] { fs_err::create_dir_all(made)?; }
//! # fs_err::write(source.join("pyproject.toml"), "[project]\nname = \"Table\"\nversion = \"1.2.0\"\n")?;
//! # fs_err::write(source.join("src/table/__init__.py"), "")?;
//! let context = Context::default();
//! let wheel = build(&Project::load(&source)?, &BuildOptions::new(&wheels), &context)?.path;
//!
//! // A repo in a folder; `ReleaseStore::open` is for buckets and servers.
//! let repo = ReleaseStore::create_folder(&studio)?;
//! let ana = Publication { author: "ana".into(), reason: "first table".into(), machine: "ws1".into(), ..Publication::default() };
//! repo.publish(&wheel, &ana, &context)?;
//!
//! // A release is created once, even in a race.
//! let again = repo.publish(&wheel, &ana, &context);
//! assert!(matches!(again, Err(Error::ReleaseExists { .. })), "{again:?}");
//!
//! // Read it, and say something about it: facts are added, a release never changes.
//! let releases = repo.releases(&PackageName::parse("Table")?, &context)?;
//! repo.set_status(&releases[0], StatusChange::Approve, &ana, false, &context)?;
//! assert_eq!(repo.status(&releases[0])?.approved.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Threads, async, cancellation, cost
//!
//! A repo is shared by threads freely. Everything blocks; network requests run in the runtime of its
//! [`Network`](backlot_net::Network), which may be the program's own, and may be waited for on any thread. Cancelling the
//! [`Context`](backlot_core::Context) stops between two requests; a publish that was stopped has created its release or has not. Reading a package takes one or two
//! requests, publishing about ten, whatever the number of releases. A wheel that goes to a store is held in memory whole.
//!
//! Deliberately absent: choosing versions, environments, where credentials come from.

// The tests' wheels are shared with the black-box tests, which name the crate.
#[cfg(test)]
extern crate self as backlot_repo;

mod allow;
mod bounded;
mod error;
mod expected;
mod feed;
mod index;
mod layout;
mod listing;
mod location;
mod members;
mod page_reader;
mod pages;
mod publish;
mod query;
mod record;
mod reindex;
mod release;
mod release_event;
mod repo;
mod revision;
mod search;
mod status_change;
mod store;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod upkeep;
mod whole;

pub use allow::{AllowedName, Allowlist};
pub use backlot_wheel::Members;
pub use error::{Error, Result};
pub use expected::ExpectedFile;
pub use feed::{BadFeedPosition, Feed, FeedEvent, FeedPosition, TOPICS};
pub use index::{DirectFetch, DirectFile, IndexError, IndexRepo, Promise, kept_by_digest, read_package_page};
pub use layout::{FORMAT, RepoKind};
pub use listing::{BrokenRelease, Failure, Listing, UnsupportedRelease};
pub use location::Location;
pub use members::MemberFilter;
pub use publish::{Checked, ExistingRelease, Publication, PublishPlan, Published};
pub use query::{Query, QueryError};
pub use reindex::ReindexReport;
pub use release::{ReleaseFile, ReleaseKind};
pub use release_event::{
    RecordedCheck, RecordedWaiver, ReleaseEvent, ReleaseEventKind, ReleaseRemote, ReleaseStatus,
};
pub use repo::Repo;
pub use revision::Revision;
pub use search::Found;
pub use status_change::{ImportedEvent, StatusChange, StatusChangeReport};
pub use store::{LabelEvent, LabelMove, ReleaseStore, StoreOptions, Withdrawn};
pub use upkeep::Upkeep;
pub use whole::Release;
