//! The input of a resolution.

use backlot_pep::{PackageName, Requirement};
use serde::{Deserialize, Serialize};

use crate::workspace::rules::Rules;

/// The requirements and options of a resolution.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolveRequest {
    /// The requirements of the workspace.
    pub(crate) inputs: Vec<Requirement>,
    /// A repo to prefer to all others.
    pub(crate) prefer: Option<String>,
    /// Ask only repos that people have who have the preferred one.
    pub(crate) within_reach: bool,
    /// Forget these choices of the lock.
    pub(crate) upgrade: Upgrade,
    /// Admit pre-releases.
    pub(crate) prereleases: bool,
    /// Constraints, overrides, the cutoff and pins to repos; those of `backlot.toml` by default.
    pub(crate) rules: Option<Rules>,
    /// Rather keep a choice of the lock than move to a deprecated or to a lower release.
    pub(crate) forwards: bool,
    /// All other choices of the lock stay, or it is a conflict.
    pub(crate) frozen: bool,
}

/// Which choices of the lock may move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upgrade {
    /// Only those that must.
    #[default]
    None,
    /// Those of these packages.
    Packages(Vec<PackageName>),
    /// All.
    All,
}
