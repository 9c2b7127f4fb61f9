//! Where the labels are that inputs follow.
//!
//! Invariants: the lock says which label a release was chosen by, and keeps that release until an update, wherever the label is by then; the first repo, in order
//! of preference, that has the label decides. Deliberately absent: moving labels (`releases/labels.rs`).

use backlot_pep::PackageName;

use crate::environment::candidate_sources::CandidateSources;
use crate::environment::labelled::Labelled;
use crate::environment::lockfile::Lock;
use crate::error::Result;
use crate::releases::approved::LATEST_APPROVED;
use crate::workspace::Opened;

impl Opened {
    /// The version that a label of a package is at.
    pub(crate) fn find_label(
        &self,
        pool: &CandidateSources<'_>,
        package: &PackageName,
        label: &str,
    ) -> Result<Labelled> {
        for (name, repo) in pool.repos.iter().filter(|(_, repo)| repo.admits(package)) {
            let version = if label == LATEST_APPROVED {
                self.latest_approved(repo, package)?
            } else {
                let mut labels = repo.labels(package)?;
                labels.remove(label).and_then(|event| event.version)
            };
            if let Some(version) = version {
                return Ok(Labelled::At(version, name.clone()));
            }
        }
        Ok(Labelled::Nowhere)
    }

    /// Where the labels are that inputs follow: in the lock, if it is to be kept, else in the repos.
    pub(crate) fn find_labels(
        &self,
        pool: &mut CandidateSources<'_>,
        lock: Option<&Lock>,
        keeps: impl Fn(&PackageName) -> bool,
    ) -> Result<()> {
        let policies = pool.policies;
        for (package, policy) in &policies.assets {
            let Some(label) = &policy.label else { continue };
            if pool.is_own(package) {
                continue;
            }
            let locked = lock.and_then(|lock| lock.package(package));
            let locked = locked.filter(|locked| locked.label.as_ref() == Some(label) && keeps(package));
            let found = match locked {
                Some(locked) => Labelled::Locked(locked.version.clone()),
                None => self.find_label(pool, package, label)?,
            };
            pool.labelled.insert(package.clone(), (label.clone(), found));
        }
        Ok(())
    }
}
