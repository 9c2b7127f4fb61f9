//! With what a release would be built now: the solver of installs over the releases of the studio's repos.
//!
//! Invariants: a release of a repo is built with what people have who have that repo; the rules, outputs and lock of a workspace are one person's and
//! do not count, so everybody gets the same answer. What no repo of the studio has, or what a URL names, is taken to be what it was. Deliberately
//! absent: reading repos.

use std::collections::{BTreeMap, BTreeSet};

use backlot_cascade::{
    Cause, Conflict, Expected, Fresh, Input, Inputs, NodeId, RecipeDigest, RepoName, Resolution,
    ResolveRequest, Resolver,
};
use backlot_core::{Class, Context, Diagnostic, Sha256};
use backlot_pep::{PackageName, Requirement, Version};
use backlot_resolve::{
    Candidate, Candidates, Dependencies, PrereleasePolicy, Problem, RootRequirement, Source,
};

use crate::cascade::index::IndexedRelease;
use crate::cascade::studio::Studio;

/// The file of a release that is expected.
const EXPECTED: usize = usize::MAX;

/// Chooses from the releases of the studio's repos.
#[derive(Debug)]
pub(crate) struct StudioResolver<'a> {
    studio: &'a Studio,
    context: Context,
    /// What releases require that are expected and are not like the one before.
    requires: BTreeMap<NodeId, Vec<Requirement>>,
}

impl<'a> StudioResolver<'a> {
    pub(crate) fn new(studio: &'a Studio, context: &Context) -> Self {
        Self {
            studio,
            // Warnings are for releases that are going to be installed; these are not.
            context: context.clone().silent(),
            requires: BTreeMap::new(),
        }
    }

    /// Say what an expected release will require.
    pub(crate) fn expect(&mut self, node: NodeId, requires: Vec<Requirement>) {
        self.requires.insert(node, requires);
    }
}

impl Resolver for StudioResolver<'_> {
    fn resolve(&self, request: &ResolveRequest<'_>) -> Result<Resolution, Cause> {
        let node = &request.asset.node;
        let stock = RepoCandidates {
            studio: self.studio,
            ranks: self.studio.visible(&node.repo),
            expected: request.expected,
            requires: &self.requires,
        };
        let record = request.release.record.as_ref();
        let recipe = record.map_or(RecipeDigest(Sha256::from_bytes([0; 32])), |record| record.recipe);
        let requirements: Vec<RootRequirement> = request
            .requirements
            .iter()
            .filter(|requirement| stock.is_chosen(requirement))
            .filter_map(|requirement| {
                // Without its marker, which was judged with the group.
                Some(RootRequirement {
                    requirement: Requirement::parse(&requirement.told()).ok()?,
                    asked_by: format!("{} {}", node.package, request.release.version),
                })
            })
            .collect();
        let chosen = if requirements.is_empty() {
            Vec::new()
        } else {
            let problem = Problem {
                requirements,
                sources: stock.sources(),
                prereleases: if request.asset.settings.prereleases {
                    PrereleasePolicy::Allow
                } else {
                    PrereleasePolicy::default()
                },
                ..Problem::new(&self.studio.env)
            };
            match backlot_resolve::resolve(&stock, &problem, &self.context) {
                Ok(resolution) => resolution.packages,
                Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {
                    let explanation = match error {
                        backlot_resolve::Error::Conflict { explanation, .. } => explanation,
                        other => other.to_string(),
                    };
                    let lines: Vec<&str> = explanation.lines().map(str::trim).collect();
                    let (explanation, chains) = (lines.join("\n"), Vec::new());
                    return Ok(Resolution::Conflict(Conflict { explanation, chains }));
                }
                Err(error) => return Err(Cause::new(error)),
            }
        };
        let others = chosen.iter().filter(|one| one.name != node.package);
        let mut inputs: Vec<Input> = others
            .filter_map(|one| stock.input(&one.name, &one.version, one.source, one.file))
            .collect();
        let there: BTreeSet<PackageName> = inputs.iter().map(|input| input.package.clone()).collect();
        let named = |package: &PackageName| {
            let mut requirements = request.requirements.iter();
            requirements.any(|requirement| requirement.name() == package && requirement.url().is_some())
        };
        let kept = record.iter().flat_map(|record| &record.inputs).filter(|input| {
            let is_elsewhere = named(&input.package) || !self.studio.knows(&input.package, stock.ranks);
            is_elsewhere && !there.contains(&input.package)
        });
        inputs.extend(kept.cloned());
        Ok(Resolution::Chosen(Fresh {
            inputs: Inputs::from(inputs),
            recipe,
        }))
    }
}

/// What can be chosen for the releases of one repo.
struct RepoCandidates<'a> {
    studio: &'a Studio,
    /// The repos, nearest first: the sources of the solver.
    ranks: &'a [usize],
    expected: &'a Expected,
    requires: &'a BTreeMap<NodeId, Vec<Requirement>>,
}

impl RepoCandidates<'_> {
    fn sources(&self) -> Vec<Source> {
        let names = self
            .ranks
            .iter()
            .map(|rank| self.studio.indexes[*rank].repo.clone());
        let sources = names.map(|name| Source {
            name,
            trust: 0,
            local: true,
        });
        sources.collect()
    }

    /// Whether a requirement is one that a release of the studio satisfies.
    fn is_chosen(&self, requirement: &Requirement) -> bool {
        let is_known = || {
            self.studio.knows(requirement.name(), self.ranks)
                || (0..self.ranks.len())
                    .any(|source| self.expected.contains_key(&self.node(requirement.name(), source)))
        };
        requirement.url().is_none() && is_known()
    }

    fn node(&self, package: &PackageName, source: usize) -> NodeId {
        let index = &self.studio.indexes[self.ranks[source]];
        NodeId::new(&RepoName::new(&index.repo), package)
    }

    fn releases(&self, package: &PackageName, source: usize) -> &[IndexedRelease] {
        let index = &self.studio.indexes[self.ranks[source]];
        let indexed = index.packages.get(package);
        indexed.map_or(&[], |indexed| indexed.releases.as_slice())
    }

    fn input(&self, package: &PackageName, version: &Version, source: usize, file: usize) -> Option<Input> {
        let node = self.node(package, source);
        let (wheel, files) = if file == EXPECTED {
            let expected = self.expected.get(&node)?;
            (expected.stand_in, expected.stand_in)
        } else {
            let release = self.releases(package, source).get(file)?;
            (release.sha256, release.content())
        };
        Some(Input {
            package: package.clone(),
            version: version.clone(),
            repo: node.repo,
            wheel,
            files,
            expected: file == EXPECTED,
            editable: false,
        })
    }

    /// What a release needs of what the studio has.
    fn needs(&self, requirements: &[Requirement]) -> Vec<Requirement> {
        let chosen = requirements
            .iter()
            .filter(|requirement| self.is_chosen(requirement));
        chosen.cloned().collect()
    }
}

impl Candidates for RepoCandidates<'_> {
    fn candidates(&self, name: &PackageName, source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>> {
        let expected = self.expected.get(&self.node(name, source));
        let releases = self.releases(name, source).iter().enumerate();
        let mut candidates: Vec<Candidate> = releases
            .filter(|(_, release)| expected.is_none_or(|expected| expected.version != release.version))
            .map(|(file, release)| Candidate {
                file,
                yanked: release.yanked.clone(),
                deprecated: release.deprecated.clone(),
                excluded: release
                    .about
                    .unclear
                    .then(|| "has a requirement that cannot be read".to_owned()),
                requires_python: release.about.requires_python.clone(),
                ..Candidate::new(release.version.clone(), source)
            })
            .collect();
        candidates.extend(expected.map(|expected| Candidate {
            file: EXPECTED,
            ..Candidate::new(expected.version.clone(), source)
        }));
        Ok(candidates)
    }

    fn dependencies(
        &self,
        name: &PackageName,
        candidate: &Candidate,
    ) -> Result<Dependencies, Box<dyn Diagnostic>> {
        let releases = self.releases(name, candidate.source);
        let release = if candidate.file == EXPECTED {
            let node = self.node(name, candidate.source);
            if let Some(requires) = self.requires.get(&node) {
                return Ok(Dependencies {
                    requires: self.needs(requires),
                    ..Dependencies::default()
                });
            }
            let base = self
                .expected
                .get(&node)
                .and_then(|expected| expected.base.as_ref());
            releases.iter().find(|release| Some(&release.version) == base)
        } else {
            releases.get(candidate.file)
        };
        Ok(
            release.map_or_else(Dependencies::default, |release| Dependencies {
                requires: self.needs(release.requirements()),
                groups: release.about.groups.clone(),
                requires_python: release.about.requires_python.clone(),
            }),
        )
    }
}
