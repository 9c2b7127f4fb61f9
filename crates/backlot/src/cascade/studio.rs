//! All releases of the studio's repos together: the catalog that cascades are planned over.
//!
//! Invariants: an input is the release that has its digest, whatever repo it was taken from; a release of another maker, which says nothing of how
//! it was made, is an input and never rebuilt; the same indexes give the same catalog. Deliberately absent: the workspace: its outputs, lock and rules
//! are one person's.

use std::collections::HashMap;

use backlot_cascade::{
    Asset, Catalog, GroupedRequirement, Input, Inputs, NodeId, Origin, RecipeDigest, Release, ReleaseRecord,
    RepoName, Settings,
};
use backlot_core::Sha256;
use backlot_pep::{MarkerEnv, PackageName, Requirement, Version};
use sha2::Digest as _;

use crate::cascade::index::{Effort, IndexedRelease, ReleaseIndex};
use crate::cascade::ledger::Attestations;
use crate::error::{Result, WorkspaceError};
use crate::project::provenance::{BuildRecord, ExactInput};
use crate::workspace::Opened;

/// The releases of the studio's repos.
#[derive(Debug)]
pub(crate) struct Studio {
    /// The indexes, preferred repo first.
    pub(crate) indexes: Vec<ReleaseIndex>,
    /// The repos that the releases of each repo may take their inputs from, by rank, nearest first.
    visible: Vec<Vec<usize>>,
    pub(crate) env: MarkerEnv,
    pub(crate) catalog: Catalog,
}

impl Studio {
    /// Which repos releases of a repo may take their inputs from: their ranks, nearest first.
    pub(crate) fn visible(&self, repo: &RepoName) -> &[usize] {
        let rank = self.indexes.iter().position(|index| index.repo == repo.as_str());
        rank.map_or(&[], |rank| self.visible[rank].as_slice())
    }

    /// Whether one of some repos has a package.
    pub(crate) fn knows(&self, package: &PackageName, among: &[usize]) -> bool {
        let has = |rank: &usize| {
            let package = self.indexes[*rank].packages.get(package);
            package.is_some_and(|package| !package.releases.is_empty())
        };
        among.iter().any(has)
    }

    /// The assets of a package that have a release.
    pub(crate) fn having(&self, package: &PackageName, version: Option<&Version>) -> Vec<NodeId> {
        let nodes = self
            .indexes
            .iter()
            .map(|index| NodeId::new(&RepoName::new(&index.repo), package));
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
        let names = self.indexes.iter().flat_map(|index| index.packages.keys());
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
        let catalog = catalog(&indexes, &visible, &env);
        Ok(Some(Studio {
            indexes,
            visible,
            env,
            catalog,
        }))
    }
}

fn catalog(indexes: &[ReleaseIndex], visible: &[Vec<usize>], env: &MarkerEnv) -> Catalog {
    let names: Vec<RepoName> = indexes.iter().map(|index| RepoName::new(&index.repo)).collect();
    let found = Digests::of(indexes);
    let mut catalog = Catalog::new();
    for (rank, index) in indexes.iter().enumerate() {
        let seen = visible[rank].iter().map(|rank| names[*rank].clone());
        catalog.set_visible(&names[rank], seen.collect());
        let view = View {
            names: &names,
            found: &found,
            among: &visible[rank],
            own: rank,
            attested: &index.attested,
        };
        let assets = index.packages.iter().map(|(package, indexed)| {
            let mut asset = Asset::new(NodeId::new(&names[rank], package));
            let releases = indexed.releases.iter();
            asset.releases = releases
                .map(|release| (release.version.clone(), view.release(package, release, env)))
                .collect();
            asset.settings = settings(&asset, &indexed.releases);
            asset
        });
        catalog.rebuild(&names[rank], index.state(), assets);
    }
    catalog
}

/// How cascades treat an asset: as its newest release says.
fn settings(asset: &Asset, releases: &[IndexedRelease]) -> Settings {
    let newest = asset.newest().map(|newest| &newest.version);
    let newest = releases.iter().find(|release| Some(&release.version) == newest);
    let record = newest.and_then(|newest| newest.about.record.as_ref());
    record.map(|record| record.cascade.clone()).unwrap_or_default()
}

/// The releases that have a digest, with the rank of their repo.
struct Digests<'a>(HashMap<Sha256, Vec<(usize, &'a PackageName, &'a IndexedRelease)>>);

impl<'a> Digests<'a> {
    fn of(indexes: &'a [ReleaseIndex]) -> Self {
        let mut all: HashMap<Sha256, Vec<_>> = HashMap::new();
        for (rank, index) in indexes.iter().enumerate() {
            for (package, indexed) in &index.packages {
                for release in &indexed.releases {
                    for digest in std::iter::once(&release.sha256).chain(&release.others) {
                        all.entry(*digest).or_default().push((rank, package, release));
                    }
                }
            }
        }
        Self(all)
    }

    /// The release of a package with a digest, in the nearest repo that has it, or else in any.
    fn find(
        &self,
        package: &PackageName,
        sha256: Sha256,
        among: &[usize],
    ) -> Option<(usize, &'a IndexedRelease)> {
        let known = self.0.get(&sha256)?;
        let nearness = |rank: usize| among.iter().position(|seen| *seen == rank).unwrap_or(usize::MAX);
        let of_it = known.iter().filter(|(_, name, _)| *name == package);
        let nearest = of_it.min_by_key(|(rank, ..)| nearness(*rank))?;
        Some((nearest.0, nearest.2))
    }
}

/// The releases as those of one repo see them.
struct View<'a> {
    names: &'a [RepoName],
    found: &'a Digests<'a>,
    /// The repos that it sees, nearest first.
    among: &'a [usize],
    own: usize,
    attested: &'a Attestations,
}

impl View<'_> {
    fn release(&self, package: &PackageName, indexed: &IndexedRelease, env: &MarkerEnv) -> Release {
        let about = &indexed.about;
        let attested = self
            .attested
            .get(package)
            .and_then(|all| all.get(&indexed.version));
        let is_asset = about.asset.is_some();
        let record = match &about.record {
            Some(record) => Some(self.record(package, record)),
            None if is_asset => None,
            None => Some(made_elsewhere()),
        };
        Release {
            version: indexed.version.clone(),
            wheel: indexed.sha256,
            files: indexed.content(),
            record,
            requirements: if is_asset {
                grouped(indexed, env)
            } else {
                Vec::new()
            },
            author: String::new(),
            yanked: indexed.yanked.clone(),
            deprecated: indexed.deprecated.clone(),
            attested: attested.cloned().unwrap_or_default(),
        }
    }

    fn record(&self, package: &PackageName, record: &BuildRecord) -> ReleaseRecord {
        let others = record.inputs.iter().filter(|input| input.package != *package);
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
        let found = exact
            .sha256
            .and_then(|sha256| self.found.find(&exact.package, sha256, self.among));
        let (rank, wheel, files) = match (found, exact.sha256) {
            (Some((rank, release)), _) => (rank, release.sha256, release.content()),
            // Of a repo that this workspace does not have.
            (None, Some(sha256)) => (self.own, sha256, sha256),
            (None, None) => {
                let stand_in = stand_in(&["editable", exact.package.as_str(), &exact.version.to_string()]);
                (self.own, stand_in, stand_in)
            }
        };
        Input {
            package: exact.package.clone(),
            version: exact.version.clone(),
            repo: self.names[rank].clone(),
            wheel,
            files,
            expected: false,
            editable: exact.sha256.is_none(),
        }
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
            let mut groups = release.about.groups.iter();
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
