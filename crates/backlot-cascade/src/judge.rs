//! The verdict on one asset: is it dirty, and what follows (rules R1, R2a, R8).
//!
//! Invariant: the report before a cascade and the worker that holds the lease ask the same function, so that what is shown is
//! what is done. Level-triggered: only the present resolution and the record are compared, never events. Deliberately absent:
//! other assets; what they are expected to become is an argument.

use backlot_pep::{PackageName, Requirement, Version};
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, Handling, Release};
use crate::bump::{BumpRequest, ChangeLevel, next_version};
use crate::error::{Error, Result};
use crate::node::{NodeId, NodeKey, RecipeDigest};
use crate::record::{Input, Inputs};
use crate::resolve::{Conflict, Expected, Fresh, Resolution, ResolveRequest, Resolver};

/// Why a release is no longer a good input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "reason", rename_all = "kebab-case")]
pub enum Withdrawal {
    /// It was yanked.
    Yanked(String),
    /// It was deprecated.
    Deprecated(String),
}

impl Withdrawal {
    /// What was said of a release.
    pub fn of(release: &Release) -> Option<Self> {
        let yanked = release.yanked.clone().map(Self::Yanked);
        yanked.or_else(|| release.deprecated.clone().map(Self::Deprecated))
    }
}

/// One difference between what a release records and a fresh resolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The input.
    pub package: PackageName,
    /// The version recorded; `None` of a new input.
    pub old: Option<Version>,
    /// The version it would be built with; `None` of an input that is not needed any more.
    pub new: Option<Version>,
    /// The asset that the new version is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NodeId>,
    /// Whether the new version does not exist yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expected: bool,
    /// Whether a build would read the same bytes of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_content: bool,
    /// Whether the old version was that of an editable project, so that nothing tells what was in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub editable: bool,
    /// Why the old version is avoided, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
}

/// What an asset would be rebuilt with, and as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The release it starts from.
    pub base: Version,
    /// Exact inputs.
    pub inputs: Inputs,
    /// The recipe.
    pub recipe: RecipeDigest,
    /// The idempotency key.
    pub key: NodeKey,
    /// The version of the new release, if it is the next one.
    pub next: Version,
    /// What differs from the record.
    pub changes: Vec<Change>,
    /// Whether the base has no record, so that its inputs are not known.
    pub unknown_inputs: bool,
    /// Whether the recipe differs from the record.
    pub recipe_changed: bool,
    /// Whether a pre-release becomes final, which is a release also if its bytes are the same.
    pub promote: bool,
}

/// What follows for an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No release to start from.
    Absent,
    /// It is what a fresh build would make.
    Current(Fresh),
    /// Its inputs have other versions with the same content: an attestation will do.
    SameContent(Box<Work>),
    /// A worker builds it.
    Build(Box<Work>),
    /// A person builds it.
    Manual(Box<Work>),
    /// Others build it.
    Outside(Box<Work>),
    /// It is a person's release whose input was withdrawn: a rebuild is proposed only.
    Proposed(Box<Work>),
    /// It was built with the same inputs before, and that release was withdrawn: building it again would give the same.
    Withdrawn(Box<Work>, Version, Withdrawal),
    /// It is dirty and keeps its release because it is frozen.
    Frozen(Box<Work>),
    /// Its requirements exclude each other.
    Conflict(Conflict),
}

/// Judge an asset by its newest release. `withdrawn` says what became of a release that was an input.
pub fn judge(
    asset: &Asset,
    resolver: &dyn Resolver,
    expected: &Expected,
    withdrawn: &dyn Fn(&Input) -> Result<Option<Withdrawal>>,
) -> Result<Verdict> {
    let Some(newest) = asset.newest() else {
        return Ok(Verdict::Absent);
    };
    let requirements: Vec<&Requirement> = asset.generative_requirements(newest).collect();
    let request = ResolveRequest {
        asset,
        release: newest,
        requirements: &requirements,
        expected,
    };
    let fresh = match resolver.resolve(&request)? {
        Resolution::Chosen(fresh) => fresh,
        Resolution::Conflict(conflict) => return Ok(Verdict::Conflict(conflict)),
    };
    if newest.is_valid_for(&fresh.inputs, fresh.recipe) {
        return Ok(Verdict::Current(fresh));
    }
    let work = Box::new(work(asset, newest, fresh, withdrawn)?);
    if asset.settings.frozen {
        return Ok(Verdict::Frozen(work));
    }
    let same_content = newest.record().is_some_and(|record| {
        record.recipe == work.recipe && record.inputs.same_content(&work.inputs) && !work.promote
    });
    let is_withdrawn = work.changes.iter().any(|change| change.withdrawn.is_some());
    Ok(match asset.settings.handling {
        _ if same_content => Verdict::SameContent(work),
        Handling::Outside => Verdict::Outside(work),
        Handling::Manual => Verdict::Manual(work),
        Handling::Automatic if is_withdrawn && !newest.is_automatic() => Verdict::Proposed(work),
        Handling::Automatic => match withdrawn_before(asset, work.key) {
            Some((version, withdrawal)) => Verdict::Withdrawn(work, version, withdrawal),
            None => Verdict::Build(work),
        },
    })
}

/// The last release of an asset with a key that was withdrawn.
fn withdrawn_before(asset: &Asset, key: NodeKey) -> Option<(Version, Withdrawal)> {
    asset.releases.values().rev().find_map(|release| {
        let withdrawal = Withdrawal::of(release)?;
        let record = release.record()?;
        (record.key(&asset.node.package) == key).then(|| (release.version.clone(), withdrawal))
    })
}

fn work(
    asset: &Asset,
    newest: &Release,
    fresh: Fresh,
    withdrawn: &dyn Fn(&Input) -> Result<Option<Withdrawal>>,
) -> Result<Work> {
    let record = newest.record();
    let none = Inputs::default();
    let old = record.map_or(&none, |record| &record.inputs);
    let changes = match record {
        Some(_) => changes(old, &fresh.inputs, withdrawn)?,
        None => Vec::new(),
    };
    let prerelease = fresh.inputs.has_prerelease();
    let promote =
        newest.version.is_prerelease() && newest.is_automatic() && old.has_prerelease() && !prerelease;
    let level = |change: &Change| {
        let old = change.old.as_ref().filter(|_| !change.editable)?;
        Some(ChangeLevel::between(old, change.new.as_ref()?))
    };
    let taken = asset.releases.keys().cloned().collect();
    let next = next_version(&BumpRequest {
        newest: &newest.version,
        taken: &taken,
        trigger: changes.iter().filter_map(level).max(),
        policy: asset.settings.bump,
        prerelease,
        promote,
    })
    .map_err(Error::Bump)?;
    Ok(Work {
        base: newest.version.clone(),
        key: fresh
            .inputs
            .key(&asset.node.package, fresh.recipe, asset.settings.bump),
        next,
        changes,
        unknown_inputs: record.is_none(),
        recipe_changed: record.is_some_and(|record| record.recipe != fresh.recipe),
        promote,
        inputs: fresh.inputs,
        recipe: fresh.recipe,
    })
}

/// The differences between two lists of inputs, in order of their packages.
fn changes(
    old: &Inputs,
    new: &Inputs,
    withdrawn: &dyn Fn(&Input) -> Result<Option<Withdrawal>>,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for input in new {
        let before = old.get(&input.package);
        if before.is_some_and(|before| before.version == input.version && before.wheel == input.wheel) {
            continue;
        }
        changes.push(Change {
            package: input.package.clone(),
            old: before.map(|before| before.version.clone()),
            new: Some(input.version.clone()),
            from: Some(NodeId::new(&input.repo, &input.package)),
            expected: input.expected,
            same_content: !input.expected && before.is_some_and(|before| before.files == input.files),
            editable: before.is_some_and(|before| before.editable),
            withdrawn: before.map(withdrawn).transpose()?.flatten(),
        });
    }
    for gone in old.iter().filter(|input| new.get(&input.package).is_none()) {
        changes.push(Change {
            package: gone.package.clone(),
            old: Some(gone.version.clone()),
            new: None,
            from: None,
            expected: false,
            same_content: false,
            editable: gone.editable,
            withdrawn: withdrawn(gone)?,
        });
    }
    changes.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(changes)
}
