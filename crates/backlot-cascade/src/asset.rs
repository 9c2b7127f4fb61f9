//! An asset in a repo with its releases, as the planner sees it.
//!
//! Invariant: order is by version and by the index's sequence, never by time of day. Deliberately absent: files, wheels and
//! where they are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use backlot_core::Sha256;
use backlot_pep::{GroupName, PackageName, Requirement, Version};
use serde::{Deserialize, Serialize};

use crate::bump::BumpPolicy;
use crate::node::{InputsDigest, NodeId, RecipeDigest};
use crate::record::{Inputs, Origin, ReleaseRecord};

/// A requirement and the group of the asset that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupedRequirement {
    /// The group; `None` for what every use of the asset needs, which always counts as an input of its build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The requirement.
    pub requirement: Requirement,
}

/// What a release was made of, and what it requires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDetails {
    /// What it was made of; `None` for releases from before records were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<ReleaseRecord>,
    /// What it requires, by group.
    #[serde(default)]
    pub requirements: Vec<GroupedRequirement>,
}

/// A source of release details, which are read on first use; those of most releases are never needed.
pub trait DetailSource: Send + Sync + fmt::Debug {
    /// The details of a release, by the number that the source assigned to it.
    fn details(&self, number: u64) -> ReleaseDetails;
}

/// The details of a release: known, or read from their source on first use.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "ReleaseDetails", into = "ReleaseDetails")]
pub struct Details {
    known: OnceLock<Box<ReleaseDetails>>,
    source: Option<(Arc<dyn DetailSource>, u64)>,
}

impl Details {
    /// The details that a source has under a number.
    pub fn from_source(source: Arc<dyn DetailSource>, number: u64) -> Self {
        Self {
            known: OnceLock::new(),
            source: Some((source, number)),
        }
    }

    /// The details.
    pub fn get(&self) -> &ReleaseDetails {
        self.known.get_or_init(|| {
            let read = |(source, number): &(Arc<dyn DetailSource>, u64)| source.details(*number);
            Box::new(self.source.as_ref().map(read).unwrap_or_default())
        })
    }

    /// The details, for changing them.
    pub fn get_mut(&mut self) -> &mut ReleaseDetails {
        self.get();
        self.source = None;
        self.known.get_mut().expect("they were read")
    }
}

impl From<ReleaseDetails> for Details {
    fn from(details: ReleaseDetails) -> Self {
        Self {
            known: OnceLock::from(Box::new(details)),
            source: None,
        }
    }
}

impl From<Details> for ReleaseDetails {
    fn from(details: Details) -> Self {
        details.get().clone()
    }
}

impl PartialEq for Details {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Details {}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A release of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// SHA-256 of its wheel.
    pub wheel: Sha256,
    /// SHA-256 of what recipes read of it: manifest of its files and metadata.
    pub files: Sha256,
    /// What it was made of, and what it requires.
    #[serde(flatten)]
    pub details: Details,
    /// Who published it.
    #[serde(default)]
    pub author: String,
    /// Why it was yanked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    /// Why it was deprecated, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Other inputs that are known to give the same content (rule R2b).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attested: BTreeSet<InputsDigest>,
}

impl Release {
    /// What it was made of; `None` for releases from before records were kept.
    pub fn record(&self) -> Option<&ReleaseRecord> {
        self.details.get().record.as_ref()
    }
    /// What it requires, by group.
    pub fn requirements(&self) -> &[GroupedRequirement] {
        &self.details.get().requirements
    }
    /// Whether a cascade made it.
    pub fn is_automatic(&self) -> bool {
        let origin = self.record().map(|record| &record.origin);
        matches!(origin, Some(Origin::Cascade(_)))
    }
    /// Whether it is known to be right for inputs and a recipe, by its record or an attestation.
    pub fn is_valid_for(&self, inputs: &Inputs, recipe: RecipeDigest) -> bool {
        let record = self.record();
        record.is_some_and(|record| record.recipe == recipe && record.inputs.same_releases(inputs))
            || (!self.attested.is_empty() && self.attested.contains(&inputs.digest(recipe)))
    }
}

/// Who rebuilds an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handling {
    /// A worker.
    #[default]
    Automatic,
    /// A person: an animation scene, for example.
    Manual,
    /// Others: another project, or a repo that this user may not publish to.
    Outside,
}

/// How cascades treat an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Who rebuilds it.
    pub handling: Handling,
    /// Whether it keeps its last release whatever happens to its inputs.
    pub frozen: bool,
    /// Whether pre-releases may be its inputs though no requirement names one.
    pub prereleases: bool,
    /// The highest step of an automatic release.
    pub bump: BumpPolicy,
    /// The groups that its build uses: `build` and `export` unless said otherwise.
    pub generative: BTreeSet<GroupName>,
    /// What its build takes of each resource class: `licence.houdini = 1`.
    pub resources: BTreeMap<String, u32>,
}

impl Default for Settings {
    fn default() -> Self {
        let generative = ["build", "export"].map(|name| GroupName::parse(name).expect("a valid group name"));
        Self {
            handling: Handling::Automatic,
            frozen: false,
            prereleases: false,
            bump: BumpPolicy::default(),
            generative: BTreeSet::from(generative),
            resources: BTreeMap::new(),
        }
    }
}

/// An asset in a repo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Where and what it is.
    pub node: NodeId,
    /// Its releases.
    pub releases: BTreeMap<Version, Release>,
    /// How cascades treat it.
    #[serde(default)]
    pub settings: Settings,
}

impl Asset {
    /// An asset without releases.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            releases: BTreeMap::new(),
            settings: Settings::default(),
        }
    }

    /// The release that a rebuild starts from: the highest version that is neither yanked nor deprecated, or else the highest
    /// that is not yanked.
    pub fn newest(&self) -> Option<&Release> {
        let mut usable = self
            .releases
            .values()
            .rev()
            .filter(|release| release.yanked.is_none());
        let current = usable.clone().find(|release| release.deprecated.is_none());
        current.or_else(|| usable.next())
    }

    /// The requirements of a release that count for its build.
    pub fn generative_requirements<'a>(
        &'a self,
        release: &'a Release,
    ) -> impl Iterator<Item = &'a Requirement> {
        let counts = |group: &Option<GroupName>| {
            group
                .as_ref()
                .is_none_or(|group| self.settings.generative.contains(group))
        };
        release
            .requirements()
            .iter()
            .filter(move |grouped| counts(&grouped.group))
            .map(|grouped| &grouped.requirement)
    }

    /// The packages that the newest release is built from, in order of their names: those it requires in generative groups and those it records.
    pub fn needs(&self) -> Vec<PackageName> {
        let Some(newest) = self.newest() else {
            return Vec::new();
        };
        let recorded = newest.record().into_iter().flat_map(|record| &record.inputs);
        let mut needs: Vec<PackageName> = self
            .generative_requirements(newest)
            .map(|requirement| requirement.name().clone())
            .chain(recorded.map(|input| input.package.clone()))
            .filter(|package| *package != self.node.package)
            .collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}
