//! The planned changes to an environment, and their report.

use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::LockedPackage;

/// The contents of INSTALLER for packages installed by Backlot.
pub const INSTALLER: &str = "backlot";

/// One package that changed in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageChange {
    /// The package.
    pub name: PackageName,
    /// The version before, if it was there.
    pub from: Option<Version>,
    /// The version now, if it is there.
    pub to: Option<Version>,
    /// The repo it came from.
    pub repo: Option<String>,
    /// The URL it came from, if it did.
    pub url: Option<String>,
    /// The output folder of an editable.
    pub editable: Option<String>,
}

/// The planned changes to an environment.
#[derive(Debug, Default)]
pub(crate) struct EnvironmentPlan {
    pub(crate) put: Vec<(LockedPackage, Option<Version>)>,
    pub(crate) remove: Vec<(PackageName, Version)>,
    pub(crate) unchanged: usize,
    pub(crate) rebuild: bool,
    /// Names of `.dist-info` folders that are half removed.
    pub(crate) strays: Vec<String>,
}

impl EnvironmentPlan {
    /// To put packages into an empty tree.
    pub(crate) fn of(packages: impl IntoIterator<Item = LockedPackage>) -> Self {
        Self {
            put: packages.into_iter().map(|package| (package, None)).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty() && self.strays.is_empty() && !self.rebuild
    }

    pub(crate) fn changes(&self) -> Vec<PackageChange> {
        let put = self.put.iter().map(|(package, from)| PackageChange {
            name: package.name.clone(),
            from: from.clone(),
            to: Some(package.version.clone()),
            repo: package.repo.clone(),
            url: package.told_url(),
            editable: package.editable.clone(),
        });
        let removed = self.remove.iter().map(|(name, version)| PackageChange {
            name: name.clone(),
            from: Some(version.clone()),
            to: None,
            repo: None,
            url: None,
            editable: None,
        });
        let mut changes: Vec<PackageChange> = put.chain(removed).collect();
        changes.sort_by(|a, b| a.name.cmp(&b.name));
        changes
    }
}
