//! What to choose from, what is wanted, and what was chosen: plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use backlot_core::{Class, Diagnostic, Timestamp};
use backlot_pep::{DirectUrl, GroupName, MarkerEnv, PackageName, Requirement, Version};
use serde::Serialize;

/// A file of a package that could be chosen. Several may have one version: what speaks against a file speaks for no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The version.
    pub version: Version,
    /// The rank of where it comes from; lower is preferred.
    pub source: usize,
    /// Which file of its source it is, for [`Candidates::dependencies`].
    pub file: usize,
    /// Why it was withdrawn; it can still be had by asking for exactly this version.
    pub yanked: Option<String>,
    /// Why people should move away from it; chosen only where its source has no other that fits.
    pub deprecated: Option<String>,
    /// Why it cannot be used at all: `is for another platform`.
    pub excluded: Option<String>,
    /// The range of Python versions it says it needs; only its lower bound counts, as in uv.
    pub requires_python: Option<String>,
    /// When it was published, if that is known.
    pub published: Option<Timestamp>,
}

impl Candidate {
    /// A version nothing speaks against.
    pub fn new(version: Version, source: usize) -> Self {
        Self {
            version,
            source,
            file: 0,
            yanked: None,
            deprecated: None,
            excluded: None,
            requires_python: None,
            published: None,
        }
    }
}

/// What a version needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Its requirements, markers included.
    pub requires: Vec<Requirement>,
    /// Its groups.
    pub groups: Vec<GroupName>,
    /// The range of Python versions that its metadata says it needs: that of its page may be missing.
    pub requires_python: Option<String>,
}

/// Somewhere candidates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages; empty where there is only one.
    pub name: String,
    /// Whom it is trusted with: a package that is found in a source of a lower group is never looked for in a higher one,
    /// so that nobody can slip a newer version of an internal package in from outside. Sources of one group combine.
    pub trust: usize,
    /// Whether metadata is near, so that reading all of it is cheap.
    pub local: bool,
}

/// Something to say beside an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What is the case, as a sentence without its full stop.
    pub fact: String,
    /// What would help, in the imperative.
    pub help: String,
}

/// Where candidates come from. Asked at most once for each package and source, and for each file.
pub trait Candidates {
    /// All files of a package in a source; of each version the one to be preferred first. Empty if it has no such package.
    fn candidates(&self, name: &PackageName, source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>>;
    /// What a file needs, as its source says.
    fn dependencies(
        &self,
        name: &PackageName,
        candidate: &Candidate,
    ) -> Result<Dependencies, Box<dyn Diagnostic>>;
    /// Whether an error of [`Self::dependencies`] means that the version is not there or not for us, so that another may be
    /// chosen. Any other ends the search: a server that fails must not bring back an older version.
    fn excludes(&self, error: &dyn Diagnostic) -> bool {
        matches!(error.class(), Class::User | Class::NotFound)
    }
    /// These packages will be asked for soon: a chance to fetch several at once. Never an error: asking tells.
    fn prefetch(&self, _names: &[&PackageName]) {}
    /// A number that changes with the candidates of a package, for those whose candidates change between problems.
    fn revision(&self, _name: &PackageName) -> u64 {
        0
    }
    /// Whether a source may be asked for a package; if not, it is as if it did not have it.
    fn asks(&self, _name: &PackageName, _source: usize) -> bool {
        true
    }
    /// What is to be said beside that no source has these packages.
    fn remark(&self, _missing: &[PackageName]) -> Option<Remark> {
        None
    }
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrereleasePolicy {
    /// Where no stable version will do: uv's rule.
    #[default]
    IfNecessary,
    /// As any other version.
    Allow,
    /// Never, except where a root requirement pins one.
    Disallow,
}

/// Which versions are preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// The newest.
    #[default]
    Highest,
    /// The oldest, to test lower bounds.
    Lowest,
    /// The oldest of what a root requirement names, the newest of all else.
    LowestDirect,
}

/// What counts more: where a version comes from, or how new it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// A version of a preferred source wins over a newer one of another of its trust group, if it is admitted.
    #[default]
    SourceFirst,
    /// The newest wins wherever in its trust group it is.
    VersionFirst,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// The requirements to start from.
    pub requirements: Vec<RootRequirement>,
    /// The environment that markers are judged in.
    pub env: &'a MarkerEnv,
    /// Where to look, best first; none means one source without a name.
    pub sources: Vec<Source>,
    /// Packages that come from one source alone, by its rank.
    pub pins: BTreeMap<PackageName, usize>,
    /// Versions to keep while they are admitted (from a lock).
    pub preferences: BTreeMap<PackageName, Version>,
    /// Packages of which only this version can be had (editable outputs).
    pub fixed: BTreeMap<PackageName, Version>,
    /// Packages that come from one file alone, by its URL: see [`Problem::name_urls`].
    pub urls: BTreeMap<PackageName, DirectUrl>,
    /// Ranges that every choice must be in; they ask for nothing.
    pub constraints: Vec<Requirement>,
    /// Requirements that replace whatever anybody asks of their packages.
    pub overrides: Vec<Requirement>,
    /// Only what was published at this time or before; what has no time is unavailable then.
    pub exclude_newer: Option<Timestamp>,
    /// When pre-releases may be chosen.
    pub prereleases: PrereleasePolicy,
    /// When those of some packages may be chosen, instead.
    pub prereleases_of: BTreeMap<PackageName, PrereleasePolicy>,
    /// Which versions are preferred.
    pub preference: Preference,
    /// Source or version first.
    pub order: Order,
    /// How long to search.
    pub patience: Duration,
}

impl<'a> Problem<'a> {
    /// Nothing wanted yet, in an environment, with the usual policies.
    pub fn new(env: &'a MarkerEnv) -> Self {
        Self {
            requirements: Vec::new(),
            env,
            sources: Vec::new(),
            pins: BTreeMap::new(),
            preferences: BTreeMap::new(),
            fixed: BTreeMap::new(),
            urls: BTreeMap::new(),
            constraints: Vec::new(),
            overrides: Vec::new(),
            exclude_newer: None,
            prereleases: PrereleasePolicy::default(),
            prereleases_of: BTreeMap::new(),
            preference: Preference::default(),
            order: Order::default(),
            patience: Duration::from_mins(2),
        }
    }

    /// When pre-releases of a package may be chosen.
    pub(crate) fn prereleases_of(&self, package: &PackageName) -> PrereleasePolicy {
        let own = self.prereleases_of.get(package);
        own.copied().unwrap_or(self.prereleases)
    }

    /// The requirements that stand for one of a package: the overrides of its package, or itself.
    pub(crate) fn replaced<'r>(&'r self, requirement: &'r Requirement) -> Vec<&'r Requirement> {
        let mut overrides = self
            .overrides
            .iter()
            .filter(|o| o.name() == requirement.name())
            .peekable();
        if overrides.peek().is_none() {
            return vec![requirement];
        }
        overrides.filter(|o| o.applies(self.env, &[])).collect()
    }

    /// The requirements of the root that hold in the environment, overrides in place.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (&RootRequirement, &Requirement)> {
        self.requirements
            .iter()
            .filter(|root| root.requirement.applies(self.env, &[]))
            .flat_map(|root| {
                let own = self.replaced(&root.requirement);
                own.into_iter().map(move |requirement| (root, requirement))
            })
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
    /// Which file of its source it is.
    pub file: usize,
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
