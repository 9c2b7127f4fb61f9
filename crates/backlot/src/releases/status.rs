//! Status changes of a release: approve, deprecate, yank, unyank.
//!
//! Invariant: exactly one release in one repo is meant, or it is an error. Deliberately absent: how it is kept
//! (`backlot-repo`), and its effect on resolution (`resolution`).

use std::collections::BTreeMap;

use backlot_core::text;
use backlot_pep::{PackageName, Version};
use backlot_repo::{Publication, ReleaseFile, ReleaseStatus, Repo, StatusChange, StatusChangeReport};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;

/// The status of a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JudgeReport {
    /// The repo.
    pub repo: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The fact, whether it held already, and the status after it.
    #[serde(flatten)]
    pub report: StatusChangeReport,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn set_status(
        &self,
        what: &str,
        repo: Option<&str>,
        verdict: StatusChange,
        reason: &str,
        dry_run: bool,
    ) -> Result<JudgeReport> {
        let (entry, opened, release) = self.one_release(what, repo)?;
        let by = Publication {
            author: self.settings().author.value.clone(),
            machine: self.host().machine.clone(),
            reason: reason.trim().to_owned(),
            ..Publication::default()
        };
        Ok(JudgeReport {
            repo: entry.name.clone(),
            report: opened.set_status(&release, verdict, &by, dry_run, self.context())?,
            package: release.package,
            version: release.version,
            dry_run,
        })
    }

    /// The one release that a text like `Table==1.0.0` names.
    pub(crate) fn parse_release(&self, what: &str) -> Result<(PackageName, Version)> {
        let requirement = self.parse_requirement(what)?;
        match requirement.specifiers().pinned() {
            Some(version) => Ok((requirement.name().clone(), version)),
            None => Err(WorkspaceError::NotOneRelease {
                what: requirement.to_string(),
            }
            .into()),
        }
    }

    /// Warn of releases of a lock that are yanked or deprecated, with author and reason. Those that cannot be looked up are
    /// skipped: the lock is still valid. Without `ask`, repos behind URLs are not contacted.
    pub(crate) fn warn_used(&self, lock: &Lock, ask: bool) -> Result<()> {
        self.warn_packages(&lock.packages, ask)
    }

    /// The same of some of its packages.
    pub(crate) fn warn_packages<'p>(
        &self,
        packages: impl IntoIterator<Item = &'p LockedPackage>,
        ask: bool,
    ) -> Result<()> {
        let quiet = self.context().clone().silent();
        let mut repos: BTreeMap<&str, Option<Repo>> = BTreeMap::new();
        let mut used = Vec::new();
        for package in packages {
            let Some(name) = package.repo.as_deref() else {
                continue;
            };
            repos.entry(name).or_insert_with(|| {
                let entry = self.repo_entry(name).ok();
                let entry = entry.filter(|entry| ask || !entry.is_remote())?;
                self.open_repo(entry).ok()
            });
            used.push((package, name));
        }
        // Thousands of packages are as many reads of a folder that may be remote: on all cores, and reported in order.
        let look = |(package, name): &(&LockedPackage, &str)| {
            self.context().check()?;
            let Some(Some(repo)) = repos.get(name) else {
                return Ok(None);
            };
            let Ok(listing) = repo.recent_listing(&package.name, &quiet) else {
                return Ok(None);
            };
            let locked = |release: &&ReleaseFile| Some(&release.file) == package.file();
            Ok(listing.files().find(locked).cloned())
        };
        let all = || used.par_iter().map(look).collect::<Result<_>>();
        let found: Vec<Option<ReleaseFile>> = self.context().pool().install(all)?;
        for ((_, name), found) in used.iter().zip(found) {
            if let (Some(release), Some(Some(repo))) = (found, repos.get(name)) {
                self.warn_judged(&release, name, || Ok(repo.status(&release)?))?;
            }
        }
        Ok(())
    }

    /// The one release that is meant, and its repo.
    pub(crate) fn one_release(
        &self,
        what: &str,
        repo: Option<&str>,
    ) -> Result<(&RepoEntry, Repo, ReleaseFile)> {
        let (name, version) = self.parse_release(what)?;
        let entries = match repo {
            Some(name) => vec![self.repo_entry(name)?],
            None => self.repos(),
        };
        let mut found = Vec::new();
        for entry in entries {
            let opened = self.open_repo(entry)?;
            let releases = opened.offered(&name, self.context())?;
            let release = releases.into_iter().find(|r| r.version == version);
            found.extend(release.map(|release| (entry, opened, release)));
        }
        match found.len() {
            0 => {
                let what = format!("{name} {version}");
                // A whole index is too much to ask for only because of a typing error.
                let near = self.repos().into_iter().filter(|entry| !entry.is_remote());
                let near = near.filter_map(|entry| self.open_repo(entry).ok()?.packages().ok());
                let known: Vec<String> = near.flatten().map(|name| name.to_string()).collect();
                let known = known.iter().map(String::as_str);
                Err(WorkspaceError::no_such_release(what, name.as_str(), known).into())
            }
            1 => Ok(found.remove(0)),
            _ => {
                let repos: Vec<&str> = found.iter().map(|(entry, ..)| entry.name.as_str()).collect();
                Err(WorkspaceError::AmbiguousRepo {
                    name,
                    version,
                    repos: repos.join(", "),
                }
                .into())
            }
        }
    }

    /// Warn of a release if it is yanked or deprecated.
    pub(crate) fn warn_judged(
        &self,
        release: &ReleaseFile,
        repo: &str,
        status: impl FnOnce() -> Result<ReleaseStatus>,
    ) -> Result<()> {
        if release.yanked.is_none() && release.deprecated.is_none() {
            return Ok(());
        }
        let status = status()?;
        for (code, what, fact) in [
            ("resolve::yanked", "yanked", status.yanked),
            ("resolve::deprecated", "deprecated", status.deprecated),
        ] {
            let Some(fact) = fact else { continue };
            // An index does not say who.
            let by = match fact.author.as_str() {
                "" => String::new(),
                author => format!(" by {}", text::printable(author)),
            };
            let message = format!(
                "{} {} in {repo} is {what}{by}: {}",
                release.package,
                release.version,
                text::printable(&fact.reason)
            );
            self.context().warn(code, message);
        }
        Ok(())
    }
}
