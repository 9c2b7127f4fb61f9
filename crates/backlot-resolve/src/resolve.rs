//! Running the solver and reading its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use backlot_core::{Context, Operation};
use backlot_pep::{GroupName, PackageName};
use resolvo::conflict::Conflict;
use resolvo::{ConditionalRequirement, Problem as SolverProblem, Solver, UnsolvableOrCancelled};

use crate::candidates::CandidateCache;
use crate::error::{Cause, Error, Result};
use crate::explain::explain;
use crate::problem::{Candidates, Problem, Resolution, Resolved};
use crate::provider::{Node, Provider, SearchMode, Stop};

/// Choose a version of every package that is needed. Deterministic: the same candidates and problem give the same answer.
pub fn resolve(candidates: &dyn Candidates, problem: &Problem<'_>, context: &Context) -> Result<Resolution> {
    let running = context.start(Operation::Resolve, 0, 0);
    problem.check_urls()?;
    let candidates = CandidateCache::new(candidates);
    let deadline = Instant::now().checked_add(problem.patience);
    let search = Search {
        candidates: &candidates,
        problem,
        context,
        deadline,
        lowest: None,
    };
    let (solver, resolution) = match search.run() {
        (solver, Ok(resolution)) => (solver, resolution),
        (solver, Err(Outcome::Conflict(conflict))) => return Err(explain(&conflict, &solver, context)),
        (_, Err(Outcome::Stopped(stop))) => return Err(search.stopped(stop)),
    };
    warn_unknown_groups(solver.provider(), &resolution, context);
    candidates.warn_passed_over(&resolution, context);
    drop(running);
    Ok(resolution)
}

/// One run of the solver over the candidate cache.
pub(crate) struct Search<'a> {
    pub(crate) candidates: &'a CandidateCache<'a>,
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) context: &'a Context,
    pub(crate) deadline: Option<Instant>,
    /// Try the oldest version of this package first.
    pub(crate) lowest: Option<&'a PackageName>,
}

/// Why there is no resolution.
pub(crate) enum Outcome {
    Conflict(Conflict),
    Stopped(Stop),
}

impl<'a> Search<'a> {
    /// The easy way, and the hard one where that is not enough.
    pub(crate) fn run(&self) -> (Solver<Provider<'a>>, Result<Resolution, Outcome>) {
        match self.walk(SearchMode::Lazy) {
            (_, Err(Outcome::Stopped(Stop::Hard))) => self.walk(SearchMode::Eager),
            done => done,
        }
    }

    fn walk(&self, gait: SearchMode) -> (Solver<Provider<'a>>, Result<Resolution, Outcome>) {
        let mut provider = Provider::new(self.candidates, self.problem, self.context, gait, self.deadline);
        provider.prefer_lowest(self.lowest);
        let roots: Vec<_> = self.problem.roots().map(|(_, requirement)| requirement).collect();
        provider.announce(roots.iter().copied());
        let requirements: Vec<ConditionalRequirement> = roots
            .iter()
            .flat_map(|r| provider.version_sets(r))
            .map(ConditionalRequirement::from)
            .collect();
        let mut solver = Solver::new(provider);
        let outcome = solver.solve(SolverProblem::new().requirements(requirements));
        // A source that fails looks like one without packages.
        if self.candidates.failure.borrow().is_some() {
            return (solver, Err(Outcome::Stopped(Stop::Failed)));
        }
        let result = match outcome {
            Ok(solvables) => Ok(read(solver.provider(), solvables)),
            Err(UnsolvableOrCancelled::Unsolvable(conflict)) => Err(Outcome::Conflict(conflict)),
            Err(UnsolvableOrCancelled::Cancelled(why)) => {
                let stop = why.downcast_ref().copied().unwrap_or(Stop::Cancelled);
                Err(Outcome::Stopped(stop))
            }
        };
        (solver, result)
    }

    fn stopped(&self, stop: Stop) -> Error {
        match (stop, self.candidates.failure.take()) {
            (_, Some(failure)) => Error::Candidates(Cause(failure)),
            (Stop::Late | Stop::Hard, None) => Error::TooHard {
                seconds: self.problem.patience.as_secs(),
            },
            (Stop::Cancelled | Stop::Failed, None) => Error::Cancelled(self.context.cancel().reason()),
        }
    }
}

/// The solver's answer as a resolution.
fn read(provider: &Provider<'_>, solvables: Vec<resolvo::SolvableId>) -> Resolution {
    let mut chosen: BTreeMap<PackageName, (u32, BTreeSet<GroupName>)> = BTreeMap::new();
    for id in solvables {
        let solvable = provider.pool.resolve_solvable(id);
        let node = provider.pool.resolve_package_name(solvable.name).clone();
        let entry = chosen
            .entry(node.package)
            .or_insert_with(|| (solvable.record, BTreeSet::new()));
        entry.1.extend(node.group);
    }
    let requested: BTreeSet<&PackageName> = provider
        .problem
        .requirements
        .iter()
        .map(|r| r.requirement.name())
        .collect();
    let packages = chosen.into_iter().map(|(name, (index, groups))| {
        let requested = requested.contains(&name);
        resolved(provider, name, index, groups, requested)
    });
    Resolution {
        packages: packages.collect(),
    }
}

fn resolved(
    provider: &Provider<'_>,
    name: PackageName,
    index: u32,
    groups: BTreeSet<GroupName>,
    requested: bool,
) -> Resolved {
    let offer = provider.offer(&name);
    let candidate = &offer.candidates()[index as usize];
    let needs = provider.candidates.needs(&name, &offer, index as usize);
    let mut requires: Vec<(PackageName, String)> = Vec::new();
    if let Ok(dependencies) = needs.as_ref() {
        let base = Node::of(&name);
        let nodes = groups.iter().map(|group| Node {
            package: name.clone(),
            group: Some(group.clone()),
        });
        for node in std::iter::once(base).chain(nodes) {
            let active = provider.active(&node, dependencies);
            requires.extend(active.iter().map(|r| (r.name().clone(), r.text().to_owned())));
        }
    }
    requires.sort();
    requires.dedup();
    Resolved {
        version: candidate.version.clone(),
        source: candidate.source,
        file: candidate.file,
        groups: groups.into_iter().collect(),
        requires,
        requested,
        name,
    }
}

/// A group that the selected version does not have adds nothing, as in pip, with a warning.
fn warn_unknown_groups(provider: &Provider<'_>, resolution: &Resolution, context: &Context) {
    for package in resolution.packages.iter().filter(|p| !p.groups.is_empty()) {
        let offer = provider.offer(&package.name);
        let index = offer
            .candidates()
            .iter()
            .position(|c| c.version == package.version);
        let needs = index.map(|index| provider.candidates.needs(&package.name, &offer, index));
        let Some(needs) = needs else {
            continue;
        };
        let Ok(dependencies) = needs.as_ref() else {
            continue;
        };
        for group in package.groups.iter().filter(|g| !dependencies.groups.contains(g)) {
            context.warn(
                "resolve::unknown_group",
                format!("{} {} has no group `{group}`", package.name, package.version),
            );
        }
    }
}
