//! What a release says it was made of: exact inputs, recipe, bump policy, and who made it.
//!
//! Invariant: inputs are sorted by package and have each package once, so equal inputs have equal digests. Deliberately
//! absent: where a record is stored; the facade reads it from the release's metadata.

use backlot_core::Sha256;
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::bump::BumpPolicy;
use crate::node::{CascadeId, FieldHasher, InputsDigest, NodeKey, RecipeDigest, RepoName};

/// One exact input of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The repo it was taken from. Not part of any digest: the same wheel may be in many repos.
    pub repo: RepoName,
    /// SHA-256 of its wheel. Of a release that is only expected, the key of the node that will make it.
    pub wheel: Sha256,
    /// SHA-256 of what a recipe reads of it: manifest of its files and metadata. Equal digests permit an early cut-off.
    pub files: Sha256,
    /// Whether the release does not exist yet and is expected from the same plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expected: bool,
    /// Whether it was an editable project, and no release: nothing tells what was in it, and its digests, which are those of no release, stand
    /// for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub editable: bool,
}

/// The exact inputs of a build, sorted by package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Input>")]
pub struct Inputs(Vec<Input>);

impl From<Vec<Input>> for Inputs {
    fn from(mut inputs: Vec<Input>) -> Self {
        inputs.sort_by(|a, b| a.package.cmp(&b.package));
        inputs.dedup_by(|a, b| a.package == b.package);
        Self(inputs)
    }
}

impl Inputs {
    /// The inputs in order of their packages.
    pub fn iter(&self) -> std::slice::Iter<'_, Input> {
        self.0.iter()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The input of a package.
    pub fn get(&self, package: &PackageName) -> Option<&Input> {
        let at = self.0.binary_search_by(|input| input.package.cmp(package)).ok()?;
        self.0.get(at)
    }
    /// Whether one of them is only expected.
    pub fn has_expected(&self) -> bool {
        self.0.iter().any(|input| input.expected)
    }
    /// Whether one of them is a pre-release.
    pub fn has_prerelease(&self) -> bool {
        self.0.iter().any(|input| input.version.is_prerelease())
    }
    /// Whether they are the same releases, from whatever repos: then their digests are equal, too.
    pub fn same_releases(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&Input, &Input)| a.package == b.package && a.wheel == b.wheel && a.version == b.version;
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
    /// Whether a build would read the same bytes: the same packages with the same files, whatever their versions (rule R2a).
    pub fn same_content(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|(a, b)| a.package == b.package && a.files == b.files && !a.expected && !b.expected)
    }
    /// The digest of these inputs and a recipe.
    pub fn digest(&self, recipe: RecipeDigest) -> InputsDigest {
        let mut hasher = FieldHasher::new("inputs");
        self.hash(recipe, &mut hasher);
        InputsDigest(hasher.finish())
    }
    /// The idempotency key of building a package with these inputs (rule R4).
    pub fn key(&self, package: &PackageName, recipe: RecipeDigest, bump: BumpPolicy) -> NodeKey {
        let mut hasher = FieldHasher::new("node");
        hasher.field(package.as_str());
        hasher.field(bump.as_str());
        self.hash(recipe, &mut hasher);
        NodeKey(hasher.finish())
    }

    fn hash(&self, recipe: RecipeDigest, hasher: &mut FieldHasher) {
        hasher.field(recipe.0.as_bytes());
        for input in &self.0 {
            hasher.field(input.package.as_str());
            hasher.field(input.version.to_string());
            hasher.field(input.wheel.as_bytes());
        }
    }
}

impl<'a> IntoIterator for &'a Inputs {
    type Item = &'a Input;
    type IntoIter = std::slice::Iter<'a, Input>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Who made a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A person published it.
    Manual,
    /// A cascade made it.
    Cascade(CascadeId),
}

/// What a release says it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// Its exact inputs.
    pub inputs: Inputs,
    /// Everything else its build read.
    pub recipe: RecipeDigest,
    /// How an automatic rebuild of it chooses a version.
    #[serde(default)]
    pub bump: BumpPolicy,
    /// Who made it.
    pub origin: Origin,
    /// The version it was edited or rebuilt from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<Version>,
    /// How long its build took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_ms: Option<u64>,
}

impl ReleaseRecord {
    /// The key of the build that made it.
    pub fn key(&self, package: &PackageName) -> NodeKey {
        self.inputs.key(package, self.recipe, self.bump)
    }
    /// The digest of its inputs and recipe.
    pub fn digest(&self) -> InputsDigest {
        self.inputs.digest(self.recipe)
    }
    /// The cascade that made it, if one did.
    pub fn cascade(&self) -> Option<&CascadeId> {
        match &self.origin {
            Origin::Cascade(cascade) => Some(cascade),
            Origin::Manual => None,
        }
    }
}
