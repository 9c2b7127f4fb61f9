//! The one question about versions: with what would a release be built if it were built now?
//!
//! Invariant: the answer depends on the releases there are, those expected, and nothing else; asking twice gives the same.
//! Deliberately absent: how versions are chosen. The facade answers with `backlot-resolve`.

use std::collections::BTreeMap;
use std::fmt;

use backlot_pep::{Requirement, Version};
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, Release};
use crate::error::Cause;
use crate::node::{NodeId, RecipeDigest};
use crate::record::{Inputs, ReleaseRecord};

/// A release that does not exist yet and is treated as though it did: a root before its publish, or what a plan will make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedRelease {
    /// The asset.
    pub node: NodeId,
    /// Its version.
    pub version: Version,
    /// The release whose requirements it has; `None` where it is the first of its asset.
    pub base: Option<Version>,
    /// What it will be built with.
    pub inputs: Inputs,
    /// Stands for its digests: the key of the node that will make it.
    pub stand_in: backlot_core::Sha256,
}

impl ExpectedRelease {
    /// A release before its publish, with the record it will have.
    pub fn of_record(node: NodeId, version: Version, record: &ReleaseRecord) -> Self {
        Self {
            base: record.based_on.clone(),
            inputs: record.inputs.clone(),
            stand_in: record.key(&node.package).0,
            node,
            version,
        }
    }
}

/// Expected releases by their asset.
pub type Expected = BTreeMap<NodeId, ExpectedRelease>;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct ResolveRequest<'a> {
    /// The asset, with its settings: `prereleases` is of interest.
    pub asset: &'a Asset,
    /// The release that would be built again.
    pub release: &'a Release,
    /// Its requirements that count for a build.
    pub requirements: &'a [&'a Requirement],
    /// Releases to be treated as though they existed.
    pub expected: &'a Expected,
}

/// What it would be built with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Exact inputs, those of inputs included where the build reads them.
    pub inputs: Inputs,
    /// The recipe as it is now: with today's tools.
    pub recipe: RecipeDigest,
}

/// Requirements that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Sentences, one a line.
    pub explanation: String,
    /// Who asks for what, from the asset down to the requirement that excludes the others; one a contradicting chain.
    pub chains: Vec<Vec<String>>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It can be built.
    Chosen(Fresh),
    /// It cannot.
    Conflict(Conflict),
}

/// Answers the question.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// Choose the inputs of a build. Yanked releases are never chosen, deprecated ones only where nothing else satisfies;
    /// pre-releases only where a requirement names one or the asset's settings permit them. An error is one of reading
    /// candidates, never a conflict.
    fn resolve(&self, request: &ResolveRequest<'_>) -> Result<Resolution, Cause>;
}
