//! All assets of all repos, kept current one event at a time.
//!
//! Invariant: applying the events of a repo in order gives the same catalog as building it from the repo's contents, an event
//! that was applied before changes nothing, and one that comes too early is refused, so that none is lost. Deliberately
//! absent: reading events; the facade brings them from a repo, and keeps the catalog between runs as it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, Release, Settings};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::node::{InputsDigest, NodeId, NodeKey, RepoName};

/// A change of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AssetEvent {
    /// A release appeared.
    Published {
        /// The release.
        release: Box<Release>,
    },
    /// A release was yanked: nothing chooses it any more.
    Yanked {
        /// The release.
        version: Version,
        /// Why.
        reason: String,
    },
    /// A yank was undone.
    Unyanked {
        /// The release.
        version: Version,
    },
    /// A release was deprecated: automatic updates avoid it.
    Deprecated {
        /// The release.
        version: Version,
        /// Why.
        reason: String,
    },
    /// A deprecation was undone.
    Undeprecated {
        /// The release.
        version: Version,
    },
    /// A release is also right for other inputs.
    Attested {
        /// The release.
        version: Version,
        /// The inputs.
        inputs: InputsDigest,
    },
    /// How cascades treat the asset was changed.
    Configured {
        /// The new settings.
        settings: Settings,
    },
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed the catalog.
    New,
    /// It was applied before.
    Known,
}

/// All assets of all repos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    assets: BTreeMap<NodeId, Arc<Asset>>,
    graph: Graph,
    repos: BTreeSet<RepoName>,
    cursors: BTreeMap<RepoName, u64>,
}

impl Catalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replace everything known of a repo by its contents, which include all events up to `cursor`.
    pub fn rebuild(&mut self, repo: &RepoName, cursor: u64, assets: impl IntoIterator<Item = Asset>) {
        let old: Vec<NodeId> = self
            .assets
            .keys()
            .filter(|node| node.repo == *repo)
            .cloned()
            .collect();
        for node in old {
            self.remove(&node);
        }
        for asset in assets {
            self.insert(asset);
        }
        self.cursors.insert(repo.clone(), cursor);
    }

    /// Add or replace one asset, outside of the order of events.
    pub fn insert(&mut self, asset: Asset) {
        self.remove(&asset.node);
        self.graph.set(&asset.node, asset.needs().iter());
        self.repos.insert(asset.node.repo.clone());
        self.assets.insert(asset.node.clone(), Arc::new(asset));
    }

    fn remove(&mut self, node: &NodeId) {
        if self.assets.remove(node).is_some() {
            self.graph.remove(node);
        }
    }

    /// Set the repos that releases of a repo may take their inputs from, nearest first.
    pub fn set_visible(&mut self, repo: &RepoName, visible: Vec<RepoName>) {
        self.graph.set_visible(repo, visible);
    }

    /// Apply an event of a repo. Sequence numbers of a repo begin with 1 and have no gaps; an error if events before it are
    /// missing, or if it is about a release that is not known.
    pub fn apply(&mut self, node: &NodeId, sequence: u64, event: AssetEvent) -> Result<Applied> {
        let cursor = self.cursors.get(&node.repo).copied().unwrap_or(0);
        if sequence <= cursor {
            return Ok(Applied::Known);
        }
        if sequence > cursor + 1 {
            return Err(Error::MissingEvents {
                repo: node.repo.to_string(),
                from: cursor + 1,
                to: sequence - 1,
            });
        }
        self.change(node, event)?;
        self.cursors.insert(node.repo.clone(), sequence);
        Ok(Applied::New)
    }

    fn change(&mut self, node: &NodeId, event: AssetEvent) -> Result<()> {
        self.repos.insert(node.repo.clone());
        let asset = self.assets.entry(node.clone());
        let asset = Arc::make_mut(asset.or_insert_with(|| Arc::new(Asset::new(node.clone()))));
        match event {
            AssetEvent::Published { release } => {
                asset.releases.insert(release.version.clone(), *release);
            }
            AssetEvent::Yanked { version, reason } => release_mut(asset, &version)?.yanked = Some(reason),
            AssetEvent::Unyanked { version } => release_mut(asset, &version)?.yanked = None,
            AssetEvent::Deprecated { version, reason } => {
                release_mut(asset, &version)?.deprecated = Some(reason);
            }
            AssetEvent::Undeprecated { version } => release_mut(asset, &version)?.deprecated = None,
            AssetEvent::Attested { version, inputs } => {
                release_mut(asset, &version)?.attested.insert(inputs);
            }
            AssetEvent::Configured { settings } => asset.settings = settings,
        }
        let needs = asset.needs();
        self.graph.set(node, needs.iter());
        Ok(())
    }

    /// An asset.
    pub fn asset(&self, node: &NodeId) -> Option<&Arc<Asset>> {
        self.assets.get(node)
    }
    /// A release.
    pub fn release(&self, node: &NodeId, version: &Version) -> Option<&Release> {
        self.assets.get(node)?.releases.get(version)
    }
    /// All assets, in order of their names.
    pub fn assets(&self) -> impl Iterator<Item = &Arc<Asset>> {
        self.assets.values()
    }
    /// Who is built from whom.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// The sequence number of the last event of each repo.
    pub fn cursors(&self) -> &BTreeMap<RepoName, u64> {
        &self.cursors
    }

    /// A release of a package that was built with a key and not yanked, in whatever repo; the one in `preferred` if there is
    /// one.
    pub fn find_key(
        &self,
        package: &PackageName,
        key: NodeKey,
        preferred: &RepoName,
    ) -> Option<(NodeId, Version)> {
        let built_with_it = |repo: &RepoName| -> Vec<(NodeId, Version)> {
            let node = NodeId::new(repo, package);
            let releases = self
                .assets
                .get(&node)
                .into_iter()
                .flat_map(|asset| asset.releases.values());
            let usable = releases.filter(|release| release.yanked.is_none());
            let found =
                usable.filter(|release| release.record().is_some_and(|record| record.key(package) == key));
            found
                .map(|release| (node.clone(), release.version.clone()))
                .collect()
        };
        let near = built_with_it(preferred).pop();
        near.or_else(|| self.repos.iter().flat_map(built_with_it).next())
    }
}

fn release_mut<'a>(asset: &'a mut Asset, version: &Version) -> Result<&'a mut Release> {
    let node = &asset.node;
    asset
        .releases
        .get_mut(version)
        .ok_or_else(|| Error::UnknownRelease {
            repo: node.repo.to_string(),
            package: node.package.to_string(),
            version: version.to_string(),
        })
}
