//! What to choose from, what is wanted, and what was chosen: plain data.

use std::collections::BTreeMap;

use backlot_core::{Coded, GroupName, MarkerEnv, PackageName, Requirement, Version};
use serde::Serialize;

/// A version of a package that could be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The version.
    pub version: Version,
    /// The rank of where it comes from; lower is preferred.
    pub source: usize,
    /// Why it was withdrawn; it can still be had by asking for exactly this version.
    pub yanked: Option<String>,
    /// Why people should move away from it; chosen only where its source has no other that fits.
    pub deprecated: Option<String>,
    /// Why it cannot be used at all: `needs Python >=3.14`.
    pub excluded: Option<String>,
}

/// What a version needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Its requirements, markers included.
    pub requires: Vec<Requirement>,
    /// Its groups.
    pub groups: Vec<GroupName>,
}

/// Where candidates come from. Asked at most once for each package and version.
pub trait Candidates {
    /// All versions of a package, in any order; empty if there is no such package.
    fn candidates(&self, name: &PackageName) -> Result<Vec<Candidate>, Box<dyn Coded>>;
    /// What a version needs.
    fn dependencies(&self, name: &PackageName, version: &Version) -> Result<Dependencies, Box<dyn Coded>>;
    /// Names like this one, for messages.
    fn near(&self, _name: &PackageName) -> Vec<String> {
        Vec::new()
    }
}

/// A requirement nobody's package makes.
#[derive(Clone, Debug)]
pub struct RootRequirement {
    /// The requirement.
    pub requirement: Requirement,
    /// Who makes it: `the workspace`.
    pub asked_by: String,
}

/// When pre-releases may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrereleasePolicy {
    /// Where a requirement names one, or where no stable version will do.
    #[default]
    IfNecessary,
    /// As any other version.
    Allow,
    /// Never.
    Disallow,
}

/// Which versions are preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The newest.
    #[default]
    Highest,
    /// The oldest, to test lower bounds.
    Lowest,
}

/// What counts more: where a version comes from, or how new it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// A version of a preferred source wins over a newer one of another, if it is admitted.
    #[default]
    SourceFirst,
    /// The newest wins wherever it is.
    VersionFirst,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// The requirements to start from.
    pub requirements: Vec<RootRequirement>,
    /// The environment that markers are judged in.
    pub env: &'a MarkerEnv,
    /// Versions to keep while they are admitted (from a lock).
    pub preferences: BTreeMap<PackageName, Version>,
    /// Packages of which only this version can be had (editable outputs).
    pub fixed: BTreeMap<PackageName, Version>,
    /// When pre-releases may be chosen.
    pub prereleases: PrereleasePolicy,
    /// Which versions are preferred.
    pub preference: Preference,
    /// Source or version first.
    pub order: Order,
}

impl<'a> Problem<'a> {
    /// Nothing wanted yet, in an environment, with the usual policies.
    pub fn new(env: &'a MarkerEnv) -> Self {
        Self {
            requirements: Vec::new(),
            env,
            preferences: BTreeMap::new(),
            fixed: BTreeMap::new(),
            prereleases: PrereleasePolicy::default(),
            preference: Preference::default(),
            order: Order::default(),
        }
    }
}

/// One chosen version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The rank of where it comes from.
    pub source: usize,
    /// Its groups that were asked for, sorted.
    pub groups: Vec<GroupName>,
    /// What it needs here: package and requirement.
    pub requires: Vec<(PackageName, String)>,
    /// Whether a root requirement names it.
    pub requested: bool,
}

/// The chosen versions, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// The versions.
    pub packages: Vec<Resolved>,
}
