//! Who requires an asset, over whole repos: by what the newest release of each asset says.
//!
//! Invariant: every requirement counts, also of groups that only some use; the group is named, and so is what it was built with. Deliberately absent:
//! what would have to be rebuilt (`affected`), and the inputs of a workspace (`backlot tree --invert`).

use std::collections::{BTreeMap, BTreeSet};

use backlot_pep::{GroupName, PackageName, Requirement, RequirementKind, Version};
use serde::{Deserialize, Serialize};

use crate::cascade::index::ReleaseIndex;
use crate::cascade::index_file::IndexedRelease;
use crate::cascade::studio::{Studio, grouped};
use crate::error::Result;
use crate::workspace::Opened;

/// Who requires an asset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DependentsReport {
    /// The asset's package.
    pub package: PackageName,
    /// The repos that were read.
    pub repos: Vec<String>,
    /// Those that require it, and those that require them, as far as was asked: by distance, then by name.
    pub dependents: Vec<Dependent>,
}

/// An asset that requires another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dependent {
    /// 1 for one that requires the asset itself.
    pub depth: u32,
    /// The repo that has it.
    pub repo: String,
    /// Its package.
    pub package: PackageName,
    /// Its name as an asset, else the package's.
    pub name: String,
    /// Its newest release.
    pub version: Version,
    /// What of the level before it requires: the asset itself at depth 1.
    pub requires: PackageName,
    /// The requirement, as it was written.
    pub requirement: String,
    /// How tightly it binds.
    pub kind: RequirementKind,
    /// The group that has the requirement, if not every use of the asset needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The version of it that the release was built with, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_with: Option<Version>,
}

/// A release that requires a package.
struct User<'a> {
    index: &'a ReleaseIndex,
    package: &'a PackageName,
    release: &'a IndexedRelease,
}

impl Opened {
    /// Who requires an asset, up to a depth; without one, however far. With `repo`, only releases of that one.
    pub(crate) fn dependents(
        &self,
        name: &str,
        depth: Option<u32>,
        repo: Option<&str>,
    ) -> Result<DependentsReport> {
        if let Some(repo) = repo {
            self.repo_entry(repo)?;
        }
        let requirement = self.parse_requirement(name)?;
        let studio = self.studio()?;
        let package = requirement.name().clone();
        let dependents = walk(&studio, &package, depth.unwrap_or(u32::MAX), repo);
        if dependents.is_empty() && studio.having(&package, None).is_empty() {
            return Err(studio.unknown(&requirement).into());
        }
        let read = studio.releases.indexes.iter().map(|index| index.repo.clone());
        Ok(DependentsReport {
            package,
            repos: read.filter(|name| repo.is_none_or(|repo| repo == name)).collect(),
            dependents,
        })
    }
}

fn walk(studio: &Studio, package: &PackageName, depth: u32, repo: Option<&str>) -> Vec<Dependent> {
    let users = users(studio, repo);
    let mut found = Vec::new();
    let mut seen: BTreeSet<PackageName> = BTreeSet::from([package.clone()]);
    let mut level: Vec<PackageName> = vec![package.clone()];
    let mut distance = 0;
    while !level.is_empty() && distance < depth {
        distance += 1;
        let mut next = BTreeSet::new();
        for required in &level {
            for user in users.get(required).into_iter().flatten() {
                if seen.contains(user.package) {
                    continue;
                }
                next.insert(user.package.clone());
                found.extend(requirements_on(studio, user, required, distance));
            }
        }
        seen.extend(next.iter().cloned());
        level = next.into_iter().collect();
    }
    found.sort_by(|a, b| {
        (a.depth, &a.package, &a.repo, &a.requires).cmp(&(b.depth, &b.package, &b.repo, &b.requires))
    });
    found
}

/// The newest releases of all assets, by what they require.
fn users<'a>(studio: &'a Studio, repo: Option<&str>) -> BTreeMap<PackageName, Vec<User<'a>>> {
    let mut users: BTreeMap<PackageName, Vec<User<'a>>> = BTreeMap::new();
    let indexes = studio.releases.indexes.iter();
    for index in indexes.filter(|index| repo.is_none_or(|repo| repo == index.repo)) {
        for (package, indexed) in &index.packages {
            let Some(release) = indexed.newest().filter(|newest| newest.yanked.is_none()) else {
                continue;
            };
            let names = release.requirements().iter().map(Requirement::name);
            let names: BTreeSet<&PackageName> = names.collect();
            for name in names {
                let user = User {
                    index,
                    package,
                    release,
                };
                users.entry(name.clone()).or_default().push(user);
            }
        }
    }
    users
}

fn requirements_on(studio: &Studio, user: &User<'_>, required: &PackageName, depth: u32) -> Vec<Dependent> {
    let about = user.release.about();
    let inputs = about.record.iter().flat_map(|record| &record.inputs);
    let built_with = inputs.clone().find(|input| input.package == *required);
    let grouped = grouped(user.release, &studio.releases.env).into_iter();
    let of_it = grouped.filter(|one| one.requirement.name() == required);
    of_it
        .map(|one| Dependent {
            depth,
            repo: user.index.repo.clone(),
            package: user.package.clone(),
            name: about.asset.clone().unwrap_or_else(|| user.package.to_string()),
            version: user.release.version.clone(),
            requires: required.clone(),
            requirement: one.requirement.told().into_owned(),
            kind: one.requirement.kind(),
            group: one.group,
            built_with: built_with.map(|input| input.version.clone()),
        })
        .collect()
}
