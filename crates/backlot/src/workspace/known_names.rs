//! The names that a workspace knows, as a shell offers them to who types a command.
//!
//! Invariants: nothing is asked over a network, and nothing is written; what cannot be read is left out, since this is asked while somebody types.
//! Deliberately absent: which of the names a command takes.

use std::collections::BTreeSet;

use backlot_pep::{PackageName, Version};
use backlot_repo::Repo;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::workspace::Opened;

/// Names, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KnownNames {
    /// The outputs, as they are called.
    pub outputs: Vec<String>,
    /// The installed packages.
    pub inputs: Vec<String>,
    /// The packages in repos that are folders.
    pub packages: Vec<String>,
    /// The repos.
    pub repos: Vec<String>,
    /// The remotes.
    pub remotes: Vec<String>,
}

impl Opened {
    pub(crate) fn known_names(&self) -> KnownNames {
        let outputs = self.read_outputs().map(|(outputs, _)| outputs);
        let outputs = outputs.unwrap_or_default().into_iter();
        let lock = Lock::load(self.root()).ok().flatten();
        let inputs = lock.iter().flat_map(|lock| &lock.packages);
        let packages = self
            .near_repos()
            .flat_map(|repo| repo.packages().unwrap_or_default());
        KnownNames {
            outputs: sorted(outputs.map(|output| output.name)),
            inputs: sorted(inputs.map(|package| package.name.to_string())),
            packages: sorted(packages.map(|name| name.to_string())),
            repos: sorted(self.config().repos.iter().map(|repo| repo.name.clone())),
            remotes: sorted(self.config().remotes.iter().map(|remote| remote.name.clone())),
        }
    }

    /// The versions of an asset in repos that are folders, newest first.
    pub(crate) fn known_versions(&self, asset: &str) -> Vec<Version> {
        let Ok(package) = PackageName::of_asset(asset) else {
            return Vec::new();
        };
        let quiet = self.context().clone().silent();
        let listings = self
            .near_repos()
            .filter_map(|repo| repo.offered(&package, &quiet).ok());
        let versions: BTreeSet<Version> = listings.flatten().map(|release| release.version).collect();
        versions.into_iter().rev().collect()
    }

    fn near_repos(&self) -> impl Iterator<Item = Repo> {
        let near = self.repos().into_iter().filter(|entry| !entry.is_remote());
        near.filter_map(|entry| self.open_repo(entry).ok())
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: BTreeSet<String> = names.collect();
    names.into_iter().collect()
}
