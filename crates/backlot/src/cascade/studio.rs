//! All releases of the studio's repos together: the catalog that cascades are planned over.
//!
//! Invariants: an input is the release that has its digest, whatever repo it was taken from; a release of another maker, which says nothing of how
//! it was made, is an input and never rebuilt; the same indexes give the same catalog. Deliberately absent: the workspace: its outputs, lock and rules
//! are one person's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use backlot_cascade::{
    Asset, Catalog, DetailSource, Details, GroupedRequirement, Input, Inputs, NodeId, Origin, RecipeDigest,
    Release, ReleaseDetails, ReleaseRecord, RepoName, Settings,
};
use backlot_core::Sha256;
use backlot_pep::{MarkerEnv, PackageName, Requirement, Version};
use sha2::Digest as _;

use crate::cascade::index::{Effort, ReleaseIndex};
use crate::cascade::index_file::IndexedRelease;
use crate::error::{Result, WorkspaceError};
use crate::project::provenance::{BuildRecord, ExactInput};
use crate::workspace::Opened;

/// The releases of the studio's repos.
#[derive(Debug)]
pub(crate) struct Studio {
    pub(crate) releases: Arc<StudioReleases>,
    pub(crate) catalog: Catalog,
}

/// What each repo has.
#[derive(Debug)]
pub(crate) struct StudioReleases {
    /// The indexes, preferred repo first.
    pub(crate) indexes: Vec<ReleaseIndex>,
    /// Their repos.
    pub(crate) names: Vec<RepoName>,
    /// The repos that the releases of each repo may take their inputs from, by rank, nearest first.
    visible: Vec<Vec<usize>>,
    pub(crate) env: MarkerEnv,
    /// The inputs that were looked up, by the rank of their user's repo and their digest: most are those of many releases.
    found: Mutex<HashMap<(usize, PackageName, Sha256), Input>>,
}

impl Studio {
    /// Which repos releases of a repo may take their inputs from: their ranks, nearest first.
    pub(crate) fn visible(&self, repo: &RepoName) -> &[usize] {
        let rank = self.releases.names.iter().position(|name| name == repo);
        rank.map_or(&[], |rank| self.releases.visible[rank].as_slice())
    }

    /// Whether one of some repos has a package.
    pub(crate) fn knows(&self, package: &PackageName, among: &[usize]) -> bool {
        let has = |rank: &usize| {
            let package = self.releases.indexes[*rank].packages.get(package);
            package.is_some_and(|package| !package.releases.is_empty())
        };
        among.iter().any(has)
    }

    /// The assets of a package that have a release.
    pub(crate) fn having(&self, package: &PackageName, version: Option<&Version>) -> Vec<NodeId> {
        let nodes = self.releases.names.iter().map(|repo| NodeId::new(repo, package));
        let has = |node: &NodeId| match (self.catalog.asset(node), version) {
            (Some(asset), Some(version)) => asset.releases.contains_key(version),
            (asset, None) => asset.is_some_and(|asset| !asset.releases.is_empty()),
            (None, Some(_)) => false,
        };
        nodes.filter(has).collect()
    }

    /// The digests of all files of a release that is an input: which of them is installed depends on the machine.
    pub(crate) fn digests(&self, input: &Input) -> Vec<Sha256> {
        let index = self
            .releases
            .indexes
            .iter()
            .find(|index| index.repo == input.repo.as_str());
        let releases = index.and_then(|index| index.packages.get(&input.package));
        let mut releases = releases.iter().flat_map(|package| &package.releases);
        let release = releases.find(|release| release.version == input.version);
        let others = release.iter().flat_map(|release| &release.others).copied();
        std::iter::once(input.wheel).chain(others).collect()
    }

    /// That no repo has a package.
    pub(crate) fn unknown(&self, requirement: &Requirement) -> WorkspaceError {
        let names = self
            .releases
            .indexes
            .iter()
            .flat_map(|index| index.packages.keys());
        let own = requirement.name().as_str();
        let names = names.map(PackageName::as_str);
        WorkspaceError::no_such_release(format!("`{requirement}`"), own, names)
    }
}

impl Opened {
    /// The releases of the studio's repos as they are now.
    pub(crate) fn studio(&self) -> Result<Studio> {
        let studio = self.studio_within(Effort::Full)?;
        Ok(studio.expect("nothing is more than the full effort"))
    }

    /// The same; `None` if that takes more than was allowed.
    pub(crate) fn studio_within(&self, effort: Effort) -> Result<Option<Studio>> {
        let Some(indexes) = self.release_indexes(effort)? else {
            return Ok(None);
        };
        let mut visible = Vec::with_capacity(indexes.len());
        for index in &indexes {
            let reach = self.reach_of(self.repo_entry(&index.repo)?);
            let rank = |name: &str| indexes.iter().position(|index| index.repo == name);
            visible.push(reach.iter().filter_map(|entry| rank(&entry.name)).collect());
        }
        let env = self.marker_env()?;
        let names: Vec<RepoName> = indexes.iter().map(|index| RepoName::new(&index.repo)).collect();
        let releases = Arc::new(StudioReleases {
            indexes,
            names,
            visible,
            env,
            found: Mutex::default(),
        });
        let catalog = catalog(&releases);
        Ok(Some(Studio { releases, catalog }))
    }
}

fn catalog(studio: &Arc<StudioReleases>) -> Catalog {
    let mut catalog = Catalog::new();
    for (rank, index) in studio.indexes.iter().enumerate() {
        let seen = studio.visible[rank]
            .iter()
            .map(|rank| studio.names[*rank].clone());
        catalog.set_visible(&studio.names[rank], seen.collect());
        let assets = index.packages.iter().map(|(package, indexed)| {
            let source: Arc<dyn DetailSource> = Arc::new(AssetDetails {
                studio: Arc::clone(studio),
                rank,
                package: package.clone(),
            });
            let mut asset = Asset::new(NodeId::new(&studio.names[rank], package));
            let attested = index.attested.get(package);
            let releases = indexed.releases.iter().zip(0..).map(|(indexed, number)| Release {
                version: indexed.version.clone(),
                wheel: indexed.sha256,
                files: indexed.content,
                details: Details::from_source(Arc::clone(&source), number),
                author: String::new(),
                yanked: indexed.yanked.clone(),
                deprecated: indexed.deprecated.clone(),
                attested: attested
                    .and_then(|all| all.get(&indexed.version))
                    .cloned()
                    .unwrap_or_default(),
            });
            asset.releases = releases
                .map(|release| (release.version.clone(), release))
                .collect();
            asset.settings = settings(&asset, &indexed.releases);
            asset
        });
        catalog.rebuild(&studio.names[rank], index.state(), assets);
    }
    catalog
}

/// How cascades treat an asset: as its newest release says.
fn settings(asset: &Asset, releases: &[IndexedRelease]) -> Settings {
    let newest = asset.newest().map(|newest| &newest.version);
    let newest = releases.iter().find(|release| Some(&release.version) == newest);
    let record = newest.and_then(|newest| newest.about().record.as_ref());
    record.map(|record| record.cascade.clone()).unwrap_or_default()
}

/// What the releases of an asset say of themselves.
#[derive(Debug)]
struct AssetDetails {
    studio: Arc<StudioReleases>,
    rank: usize,
    package: PackageName,
}

impl DetailSource for AssetDetails {
    fn details(&self, number: u64) -> ReleaseDetails {
        let indexed = self.studio.indexes[self.rank].packages.get(&self.package);
        let release = indexed.and_then(|indexed| indexed.releases.get(usize::try_from(number).ok()?));
        release.map_or_else(ReleaseDetails::default, |release| self.details_of(release))
    }
}

impl AssetDetails {
    fn details_of(&self, indexed: &IndexedRelease) -> ReleaseDetails {
        let about = indexed.about();
        let is_asset = about.asset.is_some();
        let record = match &about.record {
            Some(record) => Some(self.record(record)),
            None if is_asset => None,
            None => Some(made_elsewhere()),
        };
        ReleaseDetails {
            record,
            requirements: if is_asset {
                grouped(indexed, &self.studio.env)
            } else {
                Vec::new()
            },
        }
    }

    fn record(&self, record: &BuildRecord) -> ReleaseRecord {
        let others = record.inputs.iter().filter(|input| input.package != self.package);
        let inputs: Vec<Input> = others.map(|input| self.input(input)).collect();
        ReleaseRecord {
            inputs: Inputs::from(inputs),
            recipe: RecipeDigest(record.recipe),
            bump: record.cascade.bump,
            origin: match &record.rebuilt_by {
                Some(cascade) => Origin::Cascade(cascade.clone()),
                None => Origin::Manual,
            },
            based_on: record.based_on.clone(),
            build_ms: None,
        }
    }

    fn input(&self, exact: &ExactInput) -> Input {
        let Some(sha256) = exact.sha256 else {
            let stand_in = stand_in(&["editable", exact.package.as_str(), &exact.version.to_string()]);
            return Input {
                editable: true,
                ..self.input_in(exact, self.rank, stand_in, stand_in)
            };
        };
        let key = (self.rank, exact.package.clone(), sha256);
        let mut known = self.studio.found.lock().unwrap_or_else(PoisonError::into_inner);
        let input =
            known
                .entry(key)
                .or_insert_with(|| match self.studio.find(&exact.package, sha256, self.rank) {
                    Some((rank, release)) => self.input_in(exact, rank, release.sha256, release.content),
                    // Of a repo that this workspace does not have.
                    None => self.input_in(exact, self.rank, sha256, sha256),
                });
        input.clone()
    }

    fn input_in(&self, exact: &ExactInput, rank: usize, wheel: Sha256, files: Sha256) -> Input {
        Input {
            package: exact.package.clone(),
            version: exact.version.clone(),
            repo: self.studio.names[rank].clone(),
            wheel,
            files,
            expected: false,
            editable: false,
        }
    }
}

impl StudioReleases {
    /// The release of a package with a digest as releases of a repo see it: in the nearest repo that has it, or else in any.
    fn find(&self, package: &PackageName, sha256: Sha256, rank: usize) -> Option<(usize, &IndexedRelease)> {
        let seen = self.visible[rank].iter().copied();
        let others = (0..self.indexes.len()).filter(|other| !self.visible[rank].contains(other));
        seen.chain(others).find_map(|rank| {
            let releases = &self.indexes[rank].packages.get(package)?.releases;
            let has =
                |release: &&IndexedRelease| release.sha256 == sha256 || release.others.contains(&sha256);
            releases.iter().find(has).map(|release| (rank, release))
        })
    }
}

/// A digest that is that of no file.
pub(crate) fn stand_in(fields: &[&str]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(format!("stand-in {}", fields.join(" "))).into())
}

/// The record of a release of another maker: it is what it is.
fn made_elsewhere() -> ReleaseRecord {
    ReleaseRecord {
        inputs: Inputs::default(),
        recipe: RecipeDigest(Sha256::from_bytes([0; 32])),
        bump: backlot_cascade::BumpPolicy::default(),
        origin: Origin::Manual,
        based_on: None,
        build_ms: None,
    }
}

/// The requirements of a release that hold in an environment, each with the group that asks for it.
pub(crate) fn grouped(release: &IndexedRelease, env: &MarkerEnv) -> Vec<GroupedRequirement> {
    let requirements = release.requirements().iter();
    let found = requirements.filter_map(|requirement| {
        let group = if requirement.applies(env, &[]) {
            None
        } else {
            let mut groups = release.about().groups.iter();
            let group = groups.find(|group| requirement.applies(env, std::slice::from_ref(*group)))?;
            Some(group.clone())
        };
        Some(GroupedRequirement {
            group,
            requirement: requirement.clone(),
        })
    });
    found.collect()
}
