//! With what a release would be built now: the solver of installs over the releases of the studio's repos.
//!
//! Invariants: a release of a repo is built with what people have who have that repo; the rules, outputs and lock of a workspace are one person's and
//! do not count, so everybody gets the same answer. What no repo of the studio has, or what a URL names, is taken to be what it was. Deliberately
//! absent: reading repos.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use backlot_cascade::{
    Cause, Conflict, Expected, Fresh, Input, Inputs, NodeId, RecipeDigest, RepoName, Resolution,
    ResolveRequest, Resolver,
};
use backlot_core::{Class, Context, Diagnostic, Sha256};
use backlot_pep::{PackageName, Requirement, Version};
use backlot_resolve::{
    Candidate, Candidates, Choice, Dependencies, DirectChoice, PrereleasePolicy, Problem, RootRequirement,
    Source,
};

use crate::cascade::index_file::IndexedRelease;
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
    /// Answers that need no search, by repo and whether pre-releases are wanted: what its assets have in common is judged once.
    direct: Mutex<HashMap<(RepoName, bool), DirectChoice>>,
}

impl<'a> StudioResolver<'a> {
    pub(crate) fn new(studio: &'a Studio, context: &Context) -> Self {
        Self {
            studio,
            // Warnings are for releases that are going to be installed; these are not.
            context: context.clone().silent(),
            requires: BTreeMap::new(),
            direct: Mutex::default(),
        }
    }

    /// Say what an expected release will require.
    pub(crate) fn expect(&mut self, node: NodeId, requires: Vec<Requirement>) {
        self.requires.insert(node, requires);
    }
}

impl StudioResolver<'_> {
    /// Versions of all that the studio has of what is required, or why there are none.
    fn choose(
        &self,
        stock: &RepoCandidates<'_>,
        request: &ResolveRequest<'_>,
    ) -> Result<Result<Vec<Choice>, Conflict>, Cause> {
        let node = &request.asset.node;
        let required = request.requirements.iter().copied();
        let required: Vec<&Requirement> = required.filter(|one| stock.is_chosen(one)).collect();
        if required.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let prereleases = request.asset.settings.prereleases;
        let mut problem = Problem {
            sources: stock.sources(),
            prereleases: if prereleases {
                PrereleasePolicy::Allow
            } else {
                PrereleasePolicy::default()
            },
            ..Problem::new(&self.studio.releases.env)
        };
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        let direct = direct.entry((node.repo.clone(), prereleases)).or_default();
        let found = direct.choose(stock, &problem, required.iter().copied());
        if let Some(chosen) = found.map_err(Cause::new)? {
            return Ok(Ok(chosen));
        }
        let roots = required.iter().filter_map(|requirement| {
            // Without its marker, which was judged with the group.
            Some(RootRequirement {
                requirement: Requirement::parse(&requirement.told()).ok()?,
                asked_by: format!("{} {}", node.package, request.release.version),
            })
        });
        problem.requirements = roots.collect();
        match backlot_resolve::resolve(stock, &problem, &self.context) {
            Ok(resolution) => Ok(Ok(resolution.packages.into_iter().map(Choice::from).collect())),
            Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {
                let explanation = match error {
                    backlot_resolve::Error::Conflict { explanation, .. } => explanation,
                    other => other.to_string(),
                };
                let lines: Vec<&str> = explanation.lines().map(str::trim).collect();
                let (explanation, chains) = (lines.join("\n"), Vec::new());
                Ok(Err(Conflict { explanation, chains }))
            }
            Err(error) => Err(Cause::new(error)),
        }
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
        let record = request.release.record();
        let recipe = record.map_or(RecipeDigest(Sha256::from_bytes([0; 32])), |record| record.recipe);
        let chosen = match self.choose(&stock, request)? {
            Ok(chosen) => chosen,
            Err(conflict) => return Ok(Resolution::Conflict(conflict)),
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
        let kept = record
            .into_iter()
            .flat_map(|record| &record.inputs)
            .filter(|input| {
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
            .map(|rank| self.studio.releases.indexes[*rank].repo.clone());
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
        NodeId::new(&self.studio.releases.names[self.ranks[source]], package)
    }

    fn releases(&self, package: &PackageName, source: usize) -> &[IndexedRelease] {
        let index = &self.studio.releases.indexes[self.ranks[source]];
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
            (release.sha256, release.content)
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
                    .unclear
                    .then(|| "has a requirement that cannot be read".to_owned()),
                requires_python: release.requires_python.clone(),
                ..Candidate::new(release.version.clone(), source)
            })
            .collect();
        candidates.extend(expected.map(|expected| Candidate {
            file: EXPECTED,
            ..Candidate::new(expected.version.clone(), source)
        }));
        Ok(candidates)
    }

    fn revision(&self, name: &PackageName) -> u64 {
        if self.expected.is_empty() {
            return 0;
        }
        let mut expected =
            (0..self.ranks.len()).filter_map(|source| self.expected.get(&self.node(name, source)));
        expected.next().map_or(0, |release| {
            let digest = release.stand_in.as_bytes();
            u64::from_le_bytes([
                digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
            ])
        })
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
                groups: release.about().groups.clone(),
                requires_python: release.requires_python.clone(),
            }),
        )
    }
}
