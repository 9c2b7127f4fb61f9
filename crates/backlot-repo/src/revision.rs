//! Whether the state of a package in a repo is unchanged: determined by a few modification times, without reading it again.
//!
//! Invariant: as long as a [`Revision`] holds, reading the package gives the same result as when it was taken. A folder
//! changes its own time when a wheel comes or goes, and that of the pages when the status of a release changes (see
//! `store::by_page`). A change less than two seconds ago cannot be distinguished from the next one, so there is no revision then.
//! Deliberately absent: stores without folder times, which are listed each time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use backlot_core::{Context, Timestamp};
use backlot_pep::PackageName;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::layout::COARSE;
use crate::listing::Listing;
use crate::repo::Repo;

/// The revision of a package in a repo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Times of change in nanoseconds, and what else tells one state from another.
    state: Vec<u64>,
    /// Until when an index need not be asked, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl Repo {
    /// The result of [`Self::listing`], with its revision; `None` if changes could not be detected.
    pub fn stamped_listing(
        &self,
        name: &PackageName,
        context: &Context,
    ) -> Result<(Arc<Listing>, Option<Revision>)> {
        // A folder may change while it is read; of a page there is something to look at only after it was.
        if self.is_remote() {
            let listing = self.listing(name, context)?;
            return Ok((listing, self.stamp(name, context.now())));
        }
        let stamp = self.stamp(name, context.now());
        Ok((self.listing(name, context)?, stamp))
    }

    /// The current revision of a package.
    fn stamp(&self, name: &PackageName, now: Timestamp) -> Option<Revision> {
        match self {
            Self::Store(repo) => {
                let state = repo.state(name)?;
                let last = Duration::from_nanos(state.iter().max().copied().unwrap_or(0));
                (last + COARSE < Duration::from_millis(now.0)).then_some(Revision { state, until: None })
            }
            Self::Index(repo) => {
                let (page, until) = repo.kept_page(name)?;
                let state = vec![changed(&page)?];
                (until > now.0).then_some(Revision {
                    state,
                    until: Some(until),
                })
            }
        }
    }

    /// Whether a stamp still holds.
    pub fn holds(&self, stamp: &Revision, name: &PackageName, now: Timestamp) -> bool {
        match self {
            Self::Store(repo) => repo.state(name).is_some_and(|state| state == stamp.state),
            Self::Index(repo) => {
                let fresh = stamp.until.is_some_and(|until| repo.is_fresh(until, now));
                let page = repo.kept_page_path(name);
                fresh
                    && page
                        .and_then(|page| changed(&page))
                        .is_some_and(|at| stamp.state == [at])
            }
        }
    }
}

/// When a file or folder changed, in nanoseconds since the Unix epoch.
fn changed(path: &Path) -> Option<u64> {
    let modified = fs_err::metadata(path).ok()?.modified().ok()?;
    u64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use backlot_core::{Context, Timestamp};
    use backlot_pep::PackageName;
    use fs_err as fs;

    use crate::repo::Repo;

    #[test]
    fn a_stamp_holds_until_something_of_the_package_changes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        fs::create_dir_all(root.join("packages/chair")).unwrap();
        let repo = Repo::open_folder(&root).unwrap();
        let chair = PackageName::parse("chair").unwrap();
        let now = Context::default().now();
        assert_eq!(repo.stamp(&chair, now), None, "it may change again unseen");
        let later = Timestamp(now.0 + 10_000);
        let stamp = repo.stamp(&chair, later).unwrap();
        assert!(repo.holds(&stamp, &chair, later));
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::create_dir_all(root.join("simple/chair")).unwrap();
        assert!(!repo.holds(&stamp, &chair, later));
        let stamp = repo.stamp(&chair, later).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(root.join("packages/chair/chair-1.0-py3-none-any.whl"), b"").unwrap();
        assert!(!repo.holds(&stamp, &chair, later));
        let table = PackageName::parse("table").unwrap();
        let absent = repo.stamp(&table, later).unwrap();
        fs::create_dir_all(root.join("packages/table")).unwrap();
        assert!(!repo.holds(&absent, &table, later));
    }
}
