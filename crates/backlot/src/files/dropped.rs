//! Releases without their tracked files, which a collection took: what is told to those who want them.
//!
//! Invariant: a release is looked up only where objects are missing, or where it is to be copied. Deliberately absent: giving files up (`drops`).

use std::collections::BTreeMap;

use backlot_pep::PackageName;
use backlot_repo::{Release, ReleaseEvent, Repo};

use crate::environment::lockfile::Lock;
use crate::error::{Error, OutsError, Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::workspace::Opened;

impl Opened {
    /// The inputs among some assets whose files were given to a collection, by name, where an error is that objects are not there.
    pub(crate) fn dropped_inputs(
        &self,
        tracked: &[Tracked],
        error: &Error,
    ) -> Result<BTreeMap<String, ReleaseEvent>> {
        match Lock::load(self.root())? {
            Some(lock) => self.dropped_in(&lock, tracked, error),
            None => Ok(BTreeMap::new()),
        }
    }

    /// The same among the packages of a lock.
    fn dropped_in(
        &self,
        lock: &Lock,
        tracked: &[Tracked],
        error: &Error,
    ) -> Result<BTreeMap<String, ReleaseEvent>> {
        let mut dropped = BTreeMap::new();
        if !is_missing(error) {
            return Ok(dropped);
        }
        for one in tracked.iter().filter(|one| one.installed) {
            let package = PackageName::of_asset(&one.name)?;
            let Some(locked) = lock.package(&package) else {
                continue;
            };
            let Some(Ok(entry)) = locked.repo.as_deref().map(|repo| self.repo_entry(repo)) else {
                continue;
            };
            let mut of_package = self.open_repo(entry)?.dropped(&package)?;
            dropped.extend(
                of_package
                    .remove(&locked.version)
                    .map(|fact| (one.name.clone(), fact)),
            );
        }
        Ok(dropped)
    }

    /// The error of a pull, which says if files are not there because they were given to a collection.
    pub(crate) fn with_dropped(&self, error: Error, tracked: &[Tracked]) -> Error {
        let dropped = self.dropped_inputs(tracked, &error);
        because_dropped(error, dropped)
    }

    /// The same among the packages of a lock that is not that of the workspace.
    pub(crate) fn with_dropped_in(&self, lock: &Lock, error: Error, tracked: &[Tracked]) -> Error {
        let dropped = self.dropped_in(lock, tracked, &error);
        because_dropped(error, dropped)
    }
}

fn because_dropped(error: Error, dropped: Result<BTreeMap<String, ReleaseEvent>>) -> Error {
    // Where the repo cannot be asked, that objects are missing is the better reason.
    match dropped.ok().and_then(|dropped| dropped.into_values().next()) {
        Some(fact) => files_dropped(&fact).into(),
        None => error,
    }
}

/// An error if the files of a release were given to a collection.
pub(crate) fn refuse_dropped(repo: &Repo, release: &Release) -> Result<()> {
    let Some(file) = release.files.first() else {
        return Ok(());
    };
    match repo.dropped(&file.package)?.get(&file.version) {
        Some(fact) => Err(files_dropped(fact).into()),
        None => Ok(()),
    }
}

fn files_dropped(fact: &ReleaseEvent) -> OutsError {
    let status = fact.status.as_deref().unwrap_or_default();
    OutsError::FilesDropped {
        package: fact.package.clone(),
        release: format!("{} {}", fact.package, fact.version),
        why: format!(
            "as {} asked for on {}; {status}: {}",
            fact.author,
            fact.at.date(),
            fact.reason
        ),
    }
}

/// Whether an error is that a remote does not have objects.
fn is_missing(error: &Error) -> bool {
    use backlot_dvc::Error as DvcError;
    use backlot_store::Error as StoreError;
    matches!(
        error,
        Error::Store(StoreError::Missing { .. })
            | Error::Dvc(DvcError::Store(StoreError::Missing { .. }))
            | Error::Workspace(WorkspaceError::UnknownManifests { .. })
    )
}
