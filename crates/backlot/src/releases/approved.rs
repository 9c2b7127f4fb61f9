//! The newest approved release of an asset, which is where the label `latest-approved` is.
//!
//! Deliberately absent: labels that people move (`labels.rs`).

use backlot_pep::{PackageName, Version};
use backlot_repo::Repo;

use crate::error::Result;
use crate::workspace::Opened;

/// The label of the newest approved release.
pub(crate) const LATEST_APPROVED: &str = "latest-approved";

impl Opened {
    /// The newest release of a package in a repo that is approved and not yanked.
    pub(crate) fn latest_approved(&self, repo: &Repo, package: &PackageName) -> Result<Option<Version>> {
        let mut releases = repo.offered(package, self.context())?;
        releases.sort_by(|a, b| b.version.cmp(&a.version));
        for release in releases.iter().filter(|release| release.yanked.is_none()) {
            if !repo.status(release)?.approved.is_empty() {
                return Ok(Some(release.version.clone()));
            }
        }
        Ok(None)
    }
}
