//! Running the solver and reading its answer.

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::{Context, Operation, PackageName, Version};
use resolvo::{ConditionalRequirement, Problem as SolverProblem, Solver, UnsolvableOrCancelled};

use crate::error::{Cause, Error, Result};
use crate::explain::explain;
use crate::problem::{Candidates, Problem, Resolution, Resolved};
use crate::provider::Provider;

/// How often the search is begun again because a requirement that was found on the way names a pre-release.
const ROUNDS: usize = 8;

/// Choose a version of every package that is needed. Deterministic: the same candidates and problem give the same answer.
pub fn resolve(candidates: &dyn Candidates, problem: &Problem<'_>, context: &Context) -> Result<Resolution> {
    let running = context.start(Operation::Resolve, 0, 0);
    for root in &problem.requirements {
        if root.requirement.url().is_some() && !problem.fixed.contains_key(root.requirement.name()) {
            return Err(Error::DirectUrl {
                requirement: root.requirement.to_string(),
            });
        }
    }
    let mut named = BTreeSet::new();
    for round in 0.. {
        let (resolution, now_named) = solve(candidates, problem, named.clone(), context)?;
        if now_named == named || round == ROUNDS {
            warn_unknown_groups(candidates, &resolution, context);
            drop(running);
            return Ok(resolution);
        }
        named = now_named;
    }
    unreachable!("the loop above is without end")
}

fn solve(
    candidates: &dyn Candidates,
    problem: &Problem<'_>,
    named: BTreeSet<PackageName>,
    context: &Context,
) -> Result<(Resolution, BTreeSet<PackageName>)> {
    let provider = Provider::new(candidates, problem, named, context);
    let mut requirements = Vec::new();
    for root in problem
        .requirements
        .iter()
        .filter(|r| r.requirement.applies(problem.env, &[]))
    {
        requirements.extend(
            provider
                .version_sets(&root.requirement)
                .into_iter()
                .map(ConditionalRequirement::from),
        );
    }
    let mut solver = Solver::new(provider);
    let outcome = solver.solve(SolverProblem::new().requirements(requirements));
    if let Some(failure) = solver.provider().failure.take() {
        return Err(Error::Candidates(Cause(failure)));
    }
    match outcome {
        Ok(solvables) => {
            let provider = solver.provider();
            let chosen = solvables.into_iter().map(|id| {
                let solvable = provider.pool.resolve_solvable(id);
                (
                    provider.pool.resolve_package_name(solvable.name).clone(),
                    solvable.record.clone(),
                )
            });
            let mut versions: BTreeMap<PackageName, (Version, BTreeSet<_>)> = BTreeMap::new();
            for (node, version) in chosen {
                let entry = versions
                    .entry(node.package)
                    .or_insert_with(|| (version, BTreeSet::new()));
                entry.1.extend(node.group);
            }
            let packages = versions
                .into_iter()
                .map(|(name, (version, groups))| resolved(provider, name, version, groups));
            let resolution = Resolution {
                packages: packages.collect(),
            };
            let named = provider.named.borrow().clone();
            Ok((resolution, named))
        }
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => Err(explain(&conflict, &solver, candidates)),
        Err(UnsolvableOrCancelled::Cancelled(_)) => Err(Error::Cancelled(backlot_core::Cancelled)),
    }
}

fn resolved(
    provider: &Provider<'_>,
    name: PackageName,
    version: Version,
    groups: BTreeSet<backlot_core::GroupName>,
) -> Resolved {
    use crate::provider::Node;
    let dependencies = provider.dependencies_of(&name, &version).unwrap_or_default();
    let mut nodes = vec![Node {
        package: name.clone(),
        group: None,
    }];
    nodes.extend(groups.iter().map(|g| Node {
        package: name.clone(),
        group: Some(g.clone()),
    }));
    let mut requires: Vec<(PackageName, String)> = nodes
        .iter()
        .flat_map(|node| provider.active(node, &dependencies))
        .map(|r| (r.name().clone(), r.text().to_owned()))
        .collect();
    requires.sort();
    requires.dedup();
    let source = provider
        .all_candidates(&name)
        .iter()
        .find(|c| c.version == version)
        .map_or(0, |c| c.source);
    let requested = provider
        .problem
        .requirements
        .iter()
        .any(|r| r.requirement.name() == &name);
    Resolved {
        name,
        version,
        source,
        groups: groups.into_iter().collect(),
        requires,
        requested,
    }
}

/// A group that the chosen version does not have adds nothing, as in pip; the person is told.
fn warn_unknown_groups(candidates: &dyn Candidates, resolution: &Resolution, context: &Context) {
    for package in resolution.packages.iter().filter(|p| !p.groups.is_empty()) {
        let Ok(dependencies) = candidates.dependencies(&package.name, &package.version) else {
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
