//! Dependencies among the inputs: the tree, and every chain that leads to a package.
//!
//! Read from the lock; the words of requirements come from what is installed. Nothing here recurses: a chain of
//! requirements may be longer than a stack. Deliberately absent: drawing.

use std::collections::{BTreeMap, BTreeSet};

use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;

/// The limits on chains, and on the steps to find them: a lattice has too many to read.
const CHAINS: usize = 100;
const STEPS: usize = 20_000;

/// One end of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TreeEdge {
    /// The package at the other end.
    pub name: PackageName,
    /// The requirement between the two.
    pub requirement: String,
}

/// A package of the lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TreeNode {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// Its repo.
    pub repo: Option<String>,
    /// Its URL, if it was required by URL.
    pub url: Option<String>,
    /// The output's folder, if it is editable.
    pub editable: Option<String>,
    /// Whether the workspace requires it directly.
    pub requested: bool,
    /// Its requirements.
    pub needs: Vec<TreeEdge>,
    /// The packages that require it.
    pub needed_by: Vec<TreeEdge>,
}

/// The packages of the lock and where to begin reading.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TreeReport {
    /// The roots of the graph: the requirements of the workspace, or the named package; inverted, packages without requirements.
    pub roots: Vec<PackageName>,
    /// All packages, by name.
    pub packages: BTreeMap<PackageName, TreeNode>,
}

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainLink {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The requirement of the previous link, or of the workspace, for it.
    pub requirement: String,
}

/// Why a package is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WhyReport {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The chains from the workspace to it, shortest first.
    pub chains: Vec<Vec<ChainLink>>,
    /// Whether the list is incomplete.
    pub more: bool,
}

impl Opened {
    pub(crate) fn tree(&self, name: Option<&str>, invert: bool) -> Result<TreeReport> {
        let lock = Lock::load(self.root())?.ok_or_else(|| WorkspaceError::StaleLock {
            reason: "backlot.lock does not exist".to_owned(),
        })?;
        let packages = self.nodes(&lock)?;
        self.warn_used(&lock, true)?;
        let roots = match name {
            Some(name) => vec![known(&packages, name)?],
            None => packages
                .values()
                .filter(|node| {
                    let top = node.requested || node.editable.is_some() || node.needed_by.is_empty();
                    if invert { node.needs.is_empty() } else { top }
                })
                .map(|node| node.name.clone())
                .collect(),
        };
        Ok(TreeReport { roots, packages })
    }

    pub(crate) fn why(&self, name: &str) -> Result<WhyReport> {
        let TreeReport { packages, roots } = self.tree(Some(name), true)?;
        let name = roots[0].clone();
        let asked = |node: &TreeNode| {
            let requirement = self.config().inputs.iter().find(|r| r.name() == &node.name);
            match (requirement, &node.editable) {
                (Some(requirement), _) => Some(requirement.told().into_owned()),
                (None, Some(path)) => Some(format!("the output in {path}")),
                (None, None) => None,
            }
        };
        let (mut chains, mut more) = (Vec::new(), false);
        let mut steps = 0;
        // From the package upwards; each step remembers the way by an index into those taken.
        let mut way: Vec<(PackageName, usize)> = vec![(name.clone(), 0)];
        while let Some((current, next)) = way.last().cloned() {
            steps += 1;
            if steps > STEPS || chains.len() == CHAINS {
                more = true;
                break;
            }
            let node = &packages[&current];
            if next == 0
                && let Some(requirement) = asked(node)
            {
                chains.push(chain(&packages, &way, requirement));
            }
            match node.needed_by.get(next) {
                Some(edge) => {
                    way.last_mut().expect("not empty").1 += 1;
                    if !way.iter().any(|(seen, _)| *seen == edge.name) {
                        way.push((edge.name.clone(), 0));
                    }
                }
                None => drop(way.pop()),
            }
        }
        chains.sort_by_key(Vec::len);
        Ok(WhyReport {
            version: packages[&name].version.clone(),
            name,
            chains,
            more,
        })
    }

    fn nodes(&self, lock: &Lock) -> Result<BTreeMap<PackageName, TreeNode>> {
        let env = self.marker_env()?;
        let installed = match self.environment()? {
            Some(environment) => environment.installed()?,
            None => Vec::new(),
        };
        let words: BTreeMap<PackageName, &backlot_wheel::InstalledDist> =
            installed.iter().map(|d| (d.metadata.package(), d)).collect();
        let mut nodes = BTreeMap::new();
        let mut backwards: BTreeMap<PackageName, Vec<TreeEdge>> = BTreeMap::new();
        let locked: BTreeSet<&PackageName> = lock.packages.iter().map(|p| &p.name).collect();
        for package in &lock.packages {
            let mut needs = Vec::new();
            for name in package.needs.iter().filter(|n| locked.contains(n)) {
                let requires = words.get(&package.name).map(|d| &d.metadata.requires_dist);
                let texts = requires.into_iter().flatten().filter(|r| r.name() == name);
                let text = texts
                    .filter(|r| r.applies(&env, &package.groups))
                    .map(|r| r.told().into_owned())
                    .next();
                let requirement = text.unwrap_or_else(|| name.to_string());
                backwards.entry(name.clone()).or_default().push(TreeEdge {
                    name: package.name.clone(),
                    requirement: requirement.clone(),
                });
                needs.push(TreeEdge {
                    name: name.clone(),
                    requirement,
                });
            }
            let node = TreeNode {
                name: package.name.clone(),
                version: package.version.clone(),
                repo: package.repo.clone(),
                url: package.told_url(),
                editable: package.editable.clone(),
                requested: package.requested,
                needs,
                needed_by: Vec::new(),
            };
            nodes.insert(package.name.clone(), node);
        }
        for (name, edges) in backwards {
            if let Some(node) = nodes.get_mut(&name) {
                node.needed_by = edges;
            }
        }
        Ok(nodes)
    }
}

/// A way from the package upwards as a chain from the top down.
fn chain(
    packages: &BTreeMap<PackageName, TreeNode>,
    way: &[(PackageName, usize)],
    asked: String,
) -> Vec<ChainLink> {
    let mut links = Vec::with_capacity(way.len());
    let mut requirement = Some(asked);
    for (name, _) in way.iter().rev() {
        let above: Option<&ChainLink> = links.last();
        let by_above = above.and_then(|above| {
            let needs = &packages[&above.name].needs;
            needs.iter().find(|edge| edge.name == *name)
        });
        let text = requirement.take().or_else(|| Some(by_above?.requirement.clone()));
        links.push(ChainLink {
            name: name.clone(),
            version: packages[name].version.clone(),
            requirement: text.unwrap_or_default(),
        });
    }
    links
}

/// The package of the lock that a person means.
fn known(packages: &BTreeMap<PackageName, TreeNode>, name: &str) -> Result<PackageName> {
    let name = PackageName::of_asset(name)?;
    if packages.contains_key(&name) {
        return Ok(name);
    }
    let known = packages.keys().map(PackageName::as_str);
    let nearest = backlot_core::text::nearest(name.as_str(), known).map(ToOwned::to_owned);
    Err(WorkspaceError::NotInstalled { name, nearest }.into())
}
