//! Releases whose tracked files are given to a collection because they are deprecated or yanked.
//!
//! Invariants: only releases of this workspace's repos, and none that a lock of a workspace of this cache has; the repo says so before anything is condemned,
//! so a run that is killed leaves files that nobody needs, and no release that lost its files without a word; an approval or the end of a yank calls the files back
//! until they are deleted (`backlot-repo/src/store/drops.rs`). Wheel and metadata stay. Deliberately absent: the collection (`remotes`), and
//! those who want such files (`dropped`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use backlot_core::{Timestamp, options};
use backlot_pep::{PackageName, Version};
use backlot_repo::{ReleaseFile, Repo, Withdrawn};
use backlot_store::ObjectId;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::Result;
use crate::files::references::{GivenUp, NamedRemote, Purpose};
use crate::workspace::Opened;

options! {
    /// Releases whose tracked files a collection may take; none by default.
    #[derive(Copy)]
    pub struct DropOptions {
        /// Deprecated releases.
        pub deprecated: bool,
        /// Yanked releases.
        pub yanked: bool,
        /// Only those whose status was set at least so long ago; 30 days by default.
        pub age: Duration,
    }
}

impl Default for DropOptions {
    fn default() -> Self {
        Self {
            deprecated: false,
            yanked: false,
            age: Duration::from_hours(30 * 24),
        }
    }
}

impl DropOptions {
    fn admits(&self, what: &Withdrawn, before: Timestamp) -> bool {
        let is_asked_for = match what.status.as_str() {
            "deprecated" => self.deprecated,
            "yanked" => self.yanked,
            _ => false,
        };
        is_asked_for && what.since <= before
    }
}

/// A release whose tracked files are given to a collection, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DroppedRelease {
    /// The repo.
    pub repo: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The status that it has: `deprecated` or `yanked`.
    pub status: String,
    /// Why it has it.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// The workspace of this cache whose lock has it, so that its files stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<std::path::PathBuf>,
    /// How many of its files nothing else needs.
    pub files: u64,
    /// Their bytes on the remote, as far as known.
    pub bytes: u64,
}

/// What is given to a collection.
#[derive(Default)]
pub(crate) struct Drops {
    releases: Vec<GivenRelease>,
    used: Vec<DroppedRelease>,
}

/// A release, with what it needs.
struct GivenRelease {
    repo: Repo,
    what: Withdrawn,
    told: DroppedRelease,
    objects: BTreeSet<ObjectId>,
}

impl Opened {
    /// The releases of this workspace's repos that may be given to a collection, with their files.
    pub(crate) fn plan_drops(&self, remote: NamedRemote<'_>, options: &DropOptions) -> Result<Drops> {
        let mut drops = Drops::default();
        if !options.deprecated && !options.yanked {
            return Ok(drops);
        }
        let before = self.context().now().before(options.age);
        let mut used: BTreeMap<(PackageName, Version), std::path::PathBuf> = BTreeMap::new();
        for workspace in self.workspaces_of_cache(self.cache()?.root())? {
            let root = workspace.root().to_path_buf();
            for package in Lock::load(&root)?.into_iter().flat_map(|lock| lock.packages) {
                used.insert((package.name, package.version), root.clone());
            }
        }
        for entry in self.repos() {
            let repo = self.open_repo(entry)?;
            if repo.is_public() {
                continue;
            }
            for package in repo.all_names()? {
                self.context().check()?;
                let mut found = repo.withdrawn(&package)?;
                found.retain(|what| options.admits(what, before));
                // Of one that is both, the first counts.
                found.dedup_by(|next, kept| next.version == kept.version);
                for what in found {
                    let told = DroppedRelease {
                        repo: entry.name.clone(),
                        package: package.clone(),
                        version: what.version.clone(),
                        status: what.status.clone(),
                        reason: what.reason.clone(),
                        since: what.since,
                        used_by: used.get(&(package.clone(), what.version.clone())).cloned(),
                        files: 0,
                        bytes: 0,
                    };
                    if told.used_by.is_some() {
                        drops.used.push(told);
                        continue;
                    }
                    let objects = self.objects_of(&repo, &told, remote)?;
                    // One without tracked files has nothing to give.
                    if !objects.is_empty() {
                        let repo = repo.clone();
                        drops.releases.push(GivenRelease {
                            repo,
                            what,
                            told,
                            objects,
                        });
                    }
                }
            }
        }
        Ok(drops)
    }

    fn objects_of(
        &self,
        repo: &Repo,
        release: &DroppedRelease,
        remote: NamedRemote<'_>,
    ) -> Result<BTreeSet<ObjectId>> {
        let listing = repo.releases_with_problems(&release.package)?;
        let files: Vec<&ReleaseFile> = listing
            .files()
            .filter(|file| file.version == release.version)
            .collect();
        let found = self.objects_in(repo, &files, remote, Purpose::Tell)?;
        Ok(found.into_iter().flat_map(|one| one.needs.objects).collect())
    }

    /// Say in the repos that the files of these releases are given to a collection.
    pub(crate) fn note_drops(&self, drops: &Drops) -> Result<()> {
        let by = self.publication(None);
        for one in &drops.releases {
            self.context().check()?;
            one.repo
                .drop_files(&one.told.package, &one.what, &by, self.context())?;
        }
        Ok(())
    }
}

impl Drops {
    pub(crate) fn is_empty(&self) -> bool {
        self.releases.is_empty()
    }

    /// The releases, for those who read what releases need.
    pub(crate) fn given_up(&self) -> GivenUp {
        let key = |one: &GivenRelease| {
            (
                one.repo.place().to_string(),
                one.told.package.clone(),
                one.told.version.clone(),
            )
        };
        self.releases.iter().map(key).collect()
    }

    /// What is told of them, with what comes free where all else needs `keep`, and these are the sizes on the remote.
    pub(crate) fn told(
        &self,
        keep: &HashSet<ObjectId>,
        sizes: &BTreeMap<ObjectId, u64>,
    ) -> Vec<DroppedRelease> {
        let mut told: Vec<DroppedRelease> = self
            .releases
            .iter()
            .map(|one| {
                let free: Vec<&ObjectId> = one.objects.iter().filter(|id| !keep.contains(id)).collect();
                DroppedRelease {
                    files: free.iter().filter(|id| !id.tree).count() as u64,
                    bytes: free.iter().filter_map(|id| sizes.get(id)).sum(),
                    ..one.told.clone()
                }
            })
            .collect();
        told.extend(self.used.iter().cloned());
        told
    }
}
