//! Why there is no solution, in sentences: who asks for what, which versions there are, why each will not do.
//!
//! Built from the solver's conflict graph: every edge is a requirement somebody makes, or a version that is excluded.

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::{PackageName, Version};
use resolvo::conflict::{Conflict, ConflictEdge, ConflictNode};
use resolvo::{Interner as _, Requirement, Solver};

use crate::error::Error;
use crate::problem::{Candidates, PrereleasePolicy, Problem};
use crate::provider::Provider;

/// What a conflict is made of.
#[derive(Default)]
struct Facts {
    /// What the root asks for.
    roots: BTreeSet<(String, String)>,
    /// Requirements by package and text, with the versions that make them.
    needs: BTreeMap<(String, String), BTreeSet<Version>>,
    /// Versions that cannot be used, with the reason.
    excluded: BTreeMap<(PackageName, String), BTreeSet<Version>>,
    /// The packages that are asked for.
    wanted: BTreeSet<PackageName>,
    /// Packages that do not exist, with who asks.
    unknown: Vec<(PackageName, String)>,
}

/// The error of a conflict.
pub(crate) fn explain(conflict: &Conflict, solver: &Solver<Provider<'_>>, source: &dyn Candidates) -> Error {
    let provider = solver.provider();
    let facts = collect(conflict, solver);
    if let Some((name, asked_by)) = facts.unknown.first() {
        return Error::UnknownPackage {
            name: name.clone(),
            asked_by: asked_by.clone(),
            near: source.near(name),
        };
    }
    let mut lines: Vec<String> = Vec::new();
    for (asked_by, text) in &facts.roots {
        lines.push(format!("{asked_by} asks for {text}"));
    }
    for ((node, text), versions) in &facts.needs {
        let verb = if versions.len() == 1 { "needs" } else { "need" };
        lines.push(format!("{node} {} {verb} {text}", list(versions)));
    }
    for ((package, reason), versions) in &facts.excluded {
        lines.push(format!("{package} {} {reason}", list(versions)));
    }
    for package in &facts.wanted {
        lines.push(existing(package, provider));
    }
    let explanation = lines
        .iter()
        .map(|l| format!("  {l}"))
        .collect::<Vec<_>>()
        .join("\n");
    Error::Conflict {
        explanation,
        advice: advice(&facts, provider.problem),
    }
}

fn collect(conflict: &Conflict, solver: &Solver<Provider<'_>>) -> Facts {
    let provider = solver.provider();
    let graph = conflict.graph(solver);
    let mut facts = Facts::default();
    for edge in graph.graph.raw_edges() {
        let (from, to) = (&graph.graph[edge.source()], &graph.graph[edge.target()]);
        let ConflictEdge::Requires(Requirement::Single(set)) = edge.weight else {
            continue;
        };
        let range = provider.pool.resolve_version_set(set);
        let wanted = provider
            .pool
            .resolve_package_name(provider.version_set_name(set))
            .package
            .clone();
        if !range.text.is_empty() {
            let asked_by = add_requirement(&mut facts, provider, *from, &wanted, &range.text);
            if matches!(to, ConflictNode::UnresolvedDependency) && provider.all_candidates(&wanted).is_empty()
            {
                facts.unknown.push((wanted.clone(), asked_by));
            }
        }
        // Exclusions matter for every version that this requirement would admit.
        for candidate in provider.all_candidates(&wanted) {
            if let Some(reason) = candidate.excluded
                && range.specifiers.contains(&candidate.version)
            {
                facts
                    .excluded
                    .entry((wanted.clone(), reason))
                    .or_default()
                    .insert(candidate.version);
            }
        }
        facts.wanted.insert(wanted);
    }
    for node in graph.graph.raw_nodes() {
        if let ConflictNode::Solvable(id) = node.weight {
            let solvable = provider.pool.resolve_solvable(id);
            let package = &provider.pool.resolve_package_name(solvable.name).package;
            if let Err(reason) = provider.dependencies_of(package, &solvable.record) {
                facts
                    .excluded
                    .entry((package.clone(), reason))
                    .or_default()
                    .insert(solvable.record.clone());
            }
        }
    }
    facts
}

/// Note who makes a requirement; returns it as a clause.
fn add_requirement(
    facts: &mut Facts,
    provider: &Provider<'_>,
    from: ConflictNode,
    wanted: &PackageName,
    text: &str,
) -> String {
    if let ConflictNode::Solvable(id) = from {
        let solvable = provider.pool.resolve_solvable(id);
        let node = provider.pool.resolve_package_name(solvable.name).to_string();
        let clause = format!("{node} {} needs", solvable.record);
        facts
            .needs
            .entry((node, text.to_owned()))
            .or_default()
            .insert(solvable.record.clone());
        return clause;
    }
    let mut clause = String::new();
    for root in &provider.problem.requirements {
        let own = root
            .requirement
            .text()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if root.requirement.name() == wanted && own == text {
            facts.roots.insert((root.asked_by.clone(), text.to_owned()));
            clause = format!("{} asks for", root.asked_by);
        }
    }
    clause
}

/// `1.0, 1.1, ... 2.0`: all of a few, the ends of many.
fn list(versions: &BTreeSet<Version>) -> String {
    let all: Vec<String> = versions.iter().map(ToString::to_string).collect();
    if all.len() <= 8 {
        return all.join(", ");
    }
    format!(
        "{}, ... {} ({} versions)",
        all[..3].join(", "),
        all[all.len() - 3..].join(", "),
        all.len()
    )
}

fn existing(package: &PackageName, provider: &Provider<'_>) -> String {
    let versions: BTreeSet<Version> = provider
        .all_candidates(package)
        .into_iter()
        .map(|c| c.version)
        .collect();
    if let Some(fixed) = provider.problem.fixed.get(package) {
        return format!("{package} is an editable output at {fixed}, which is never replaced");
    }
    match versions.len() {
        1 => format!("{package} exists in one version: {}", list(&versions)),
        _ => format!("{package} exists as {}", list(&versions)),
    }
}

fn advice(facts: &Facts, problem: &Problem<'_>) -> Option<String> {
    let fixed = facts
        .wanted
        .iter()
        .find(|package| problem.fixed.contains_key(*package));
    if let Some(package) = fixed {
        return Some(format!(
            "bump the output `{package}` to a version that fits, or move it out of outputs"
        ));
    }
    let reason = |word: &str| facts.excluded.keys().any(|(_, reason)| reason.contains(word));
    if problem.prereleases == PrereleasePolicy::Disallow && reason("is a pre-release") {
        return Some("allow pre-releases, or ask for the pre-release by its version".to_owned());
    }
    if reason("is yanked") {
        return Some("ask for the yanked version exactly (`==`) if you must have it".to_owned());
    }
    if reason("needs Python") {
        return Some(
            "use another Python (`python = \"...\"` in backlot.toml), or an older release".to_owned(),
        );
    }
    None
}
