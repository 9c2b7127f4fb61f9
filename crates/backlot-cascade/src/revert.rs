//! Undoing a cascade: what would be yanked in which order, who is still on it, and what can be published forward instead.
//!
//! Invariant: a release is yanked before any that it was built from, so that no step leaves a release with a withdrawn input
//! that was current; applying a plan twice changes nothing more; releases of people are never yanked but for the roots.
//! Deliberately absent: yanking; the facade does it, step by step.

use std::collections::{BTreeMap, BTreeSet};

use backlot_pep::{BumpStep, Version};
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, Release};
use crate::bump::prerelease_step;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::node::{CascadeId, NodeId};

/// A release to yank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertStep {
    /// The asset.
    pub node: NodeId,
    /// The release.
    pub version: Version,
    /// Whether it is yanked already.
    pub done: bool,
    /// The release that takes its place; `None` if there is none.
    pub falls_back_to: Option<Version>,
}

/// An asset that requires exactly a release that is to be yanked: nothing takes it off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PinnedUser {
    /// The asset.
    pub node: NodeId,
    /// Its release.
    pub version: Version,
    /// The requirement, as it was written.
    pub requirement: String,
}

/// A release that somebody published on top: built with what is to be yanked, or after it on the same asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnTop {
    /// The asset.
    pub node: NodeId,
    /// The release. It stays.
    pub version: Version,
    /// Who published it.
    pub author: String,
    /// Its inputs that are to be yanked. If there are any, it is dirty afterwards, and a rebuild is proposed.
    pub inputs: Vec<(NodeId, Version)>,
    /// The release of the cascade that it was made from, if it was.
    pub based_on: Option<Version>,
}

/// An old release to publish again with a higher version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Republish {
    /// The asset.
    pub node: NodeId,
    /// The release whose content it has.
    pub content_of: Version,
    /// Its version.
    pub version: Version,
}

/// How to undo a cascade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertPlan {
    /// The cascade.
    pub cascade: CascadeId,
    /// What to yank, in this order.
    pub steps: Vec<RevertStep>,
    /// Who stays on what is yanked.
    pub pinned: Vec<PinnedUser>,
    /// Who published on top of it.
    pub on_top: Vec<OnTop>,
    /// What to publish, in this order, before anything is yanked; empty unless asked for.
    pub forward: Vec<Republish>,
}

impl RevertPlan {
    /// Whether nothing is left to be done.
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| step.done)
    }
}

/// Plan to undo a cascade and its roots. With `forward`, old content is published again with higher versions, for users that
/// never go back to a lower one.
pub fn plan_revert(
    catalog: &Catalog,
    cascade: &CascadeId,
    roots: &[(NodeId, Version)],
    forward: bool,
) -> Result<RevertPlan> {
    let made: BTreeSet<(NodeId, Version)> = catalog
        .assets()
        .flat_map(|asset| {
            let of_cascade =
                |release: &&Release| release.record().and_then(|record| record.cascade()) == Some(cascade);
            let releases = asset.releases.values().filter(of_cascade);
            releases.map(|release| (asset.node.clone(), release.version.clone()))
        })
        .collect();
    if made.is_empty()
        && roots
            .iter()
            .all(|(node, version)| catalog.release(node, version).is_none())
    {
        return Err(Error::NothingToRevert {
            cascade: cascade.to_string(),
        });
    }
    let roots: BTreeSet<(NodeId, Version)> = roots.iter().cloned().collect();
    let gone: BTreeSet<(NodeId, Version)> = made.union(&roots).cloned().collect();
    let order = leaf_first(catalog, &gone, &roots);
    let steps = order.iter().filter_map(|(node, version)| {
        let asset = catalog.asset(node)?;
        Some(RevertStep {
            done: asset.releases.get(version)?.yanked.is_some(),
            falls_back_to: fallback(asset, &gone).map(|release| release.version.clone()),
            node: node.clone(),
            version: version.clone(),
        })
    });
    let mut steps: Vec<RevertStep> = steps.collect();
    let forward = if forward {
        republish(catalog, &steps, &gone)?
    } else {
        Vec::new()
    };
    for step in &mut steps {
        let higher = forward.iter().find(|higher| higher.node == step.node);
        if let Some(higher) = higher {
            step.falls_back_to = Some(higher.version.clone());
        }
    }
    Ok(RevertPlan {
        cascade: cascade.clone(),
        pinned: pinned(catalog, &gone),
        on_top: on_top(catalog, &gone),
        forward,
        steps,
    })
}

/// The release that an asset has once others are gone.
fn fallback<'a>(asset: &'a Asset, gone: &BTreeSet<(NodeId, Version)>) -> Option<&'a Release> {
    let stays = |release: &&Release| {
        release.yanked.is_none() && !gone.contains(&(asset.node.clone(), release.version.clone()))
    };
    let mut stay = asset.releases.values().rev().filter(stays);
    let current = stay.clone().find(|release| release.deprecated.is_none());
    current.or_else(|| stay.next())
}

/// Each release before those it was built from, roots last. Recorded inputs are older than what was built from them, so there
/// are no cycles; should a record lie, the rest follows in the order of names.
fn leaf_first(
    catalog: &Catalog,
    gone: &BTreeSet<(NodeId, Version)>,
    roots: &BTreeSet<(NodeId, Version)>,
) -> Vec<(NodeId, Version)> {
    type Key = (NodeId, Version);
    let mut users: BTreeMap<&Key, usize> = gone.iter().map(|release| (release, 0)).collect();
    let mut inputs: BTreeMap<&Key, Vec<&Key>> = BTreeMap::new();
    for release in gone {
        let record = catalog
            .release(&release.0, &release.1)
            .and_then(|found| found.record());
        for input in record.into_iter().flat_map(|record| &record.inputs) {
            let input = (NodeId::new(&input.repo, &input.package), input.version.clone());
            if let Some((input, count)) = gone
                .get(&input)
                .and_then(|input| Some((input, users.get_mut(input)?)))
            {
                *count += 1;
                inputs.entry(release).or_default().push(input);
            }
        }
    }
    // Later versions of an asset go first, too: what is left then is what was there before.
    let mut ready: BTreeSet<(bool, std::cmp::Reverse<&Version>, &Key)> = BTreeSet::new();
    let entry = |release: &'_ Key| roots.contains(release);
    for (release, count) in &users {
        if *count == 0 {
            ready.insert((entry(release), std::cmp::Reverse(&release.1), release));
        }
    }
    let mut order: Vec<Key> = Vec::with_capacity(gone.len());
    while let Some((_, _, release)) = ready.pop_first() {
        order.push(release.clone());
        users.remove(release);
        for input in inputs.remove(release).unwrap_or_default() {
            if let Some(count) = users.get_mut(input) {
                *count -= 1;
                if *count == 0 {
                    ready.insert((entry(input), std::cmp::Reverse(&input.1), input));
                }
            }
        }
    }
    order.extend(users.into_keys().cloned());
    order
}

fn pinned(catalog: &Catalog, gone: &BTreeSet<(NodeId, Version)>) -> Vec<PinnedUser> {
    let mut found = BTreeSet::new();
    for (node, version) in gone {
        for user in catalog.graph().users(node) {
            let Some((asset, newest)) = catalog
                .asset(user)
                .and_then(|asset| Some((asset, asset.newest()?)))
            else {
                continue;
            };
            if gone.contains(&(user.clone(), newest.version.clone())) {
                continue;
            }
            for requirement in asset.generative_requirements(newest) {
                let pins = requirement
                    .specifiers()
                    .pinned()
                    .is_some_and(|pinned| pinned == *version);
                if *requirement.name() == node.package && pins {
                    found.insert(PinnedUser {
                        node: user.clone(),
                        version: newest.version.clone(),
                        requirement: requirement.text().to_owned(),
                    });
                }
            }
        }
    }
    found.into_iter().collect()
}

fn on_top(catalog: &Catalog, gone: &BTreeSet<(NodeId, Version)>) -> Vec<OnTop> {
    let mut found = Vec::new();
    for asset in catalog.assets() {
        for release in asset.releases.values() {
            let is_gone = gone.contains(&(asset.node.clone(), release.version.clone()));
            if is_gone || release.yanked.is_some() {
                continue;
            }
            let Some(record) = release.record() else {
                continue;
            };
            let inputs = record
                .inputs
                .iter()
                .map(|input| (NodeId::new(&input.repo, &input.package), input.version.clone()));
            let inputs: Vec<_> = inputs.filter(|input| gone.contains(input)).collect();
            let based_on = record
                .based_on
                .clone()
                .filter(|base| gone.contains(&(asset.node.clone(), base.clone())));
            if !inputs.is_empty() || based_on.is_some() {
                found.push(OnTop {
                    node: asset.node.clone(),
                    version: release.version.clone(),
                    author: release.author.clone(),
                    inputs,
                    based_on,
                });
            }
        }
    }
    found
}

/// Old content with higher versions, inputs before their users. An asset that has a higher release than those that are undone is left alone: its users
/// have that. The version above a pre-release is a pre-release of the same kind, so the final version stays free for its author.
fn republish(
    catalog: &Catalog,
    steps: &[RevertStep],
    gone: &BTreeSet<(NodeId, Version)>,
) -> Result<Vec<Republish>> {
    let mut seen = BTreeSet::new();
    let mut forward = Vec::new();
    for step in steps.iter().rev() {
        let Some(asset) = catalog.asset(&step.node).filter(|_| seen.insert(&step.node)) else {
            continue;
        };
        let highest = asset.releases.keys().next_back();
        let is_ours = highest.is_some_and(|version| gone.contains(&(step.node.clone(), version.clone())));
        if let (Some(highest), Some(old), true) = (highest, fallback(asset, gone), is_ours) {
            let bump = prerelease_step(highest).unwrap_or(BumpStep::Micro);
            forward.push(Republish {
                node: step.node.clone(),
                content_of: old.version.clone(),
                version: highest.bump(&[bump]).map_err(Error::Bump)?,
            });
        }
    }
    Ok(forward)
}
