//! Why there is no solution, in sentences: the chain of requirements from the root to each side of the clash, the
//! versions that exist and where they were looked for, and why those that would fit cannot be had.
//!
//! Built from the solver's conflict graph: every edge is a requirement, or an excluded version.
//! Suggestions are computed in `advise`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backlot_core::Context;
use backlot_pep::{PackageName, Requirement, Specifiers, Version};
use resolvo::conflict::{Conflict, ConflictEdge, ConflictNode};
use resolvo::{Interner as _, Requirement as SolverRequirement, Solver};

use crate::advise::advise;
use crate::error::Error;
use crate::problem::Remark;
use crate::provider::{Node, Provider, Range};
use crate::ranked::Exclusion;
use crate::urls::Foreign;

/// The number of chains shown.
const CHAINS: usize = 12;

/// The origin of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// The root: `the workspace`.
    Root(String),
    /// A package, or a group of one.
    Node(Node),
}

/// A requirement in a conflict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ask {
    pub(crate) by: By,
    pub(crate) wanted: Node,
    pub(crate) text: String,
}

/// The elements of a conflict.
#[derive(Default)]
pub(crate) struct Facts {
    /// Requirements by origin, with the versions that have them.
    pub(crate) asks: BTreeMap<Ask, BTreeSet<Version>>,
    /// Versions that would fit a requirement and cannot be had.
    pub(crate) barred: BTreeMap<(PackageName, Exclusion), BTreeSet<Version>>,
    /// The same for versions whose metadata cannot be read.
    unreadable: BTreeMap<(PackageName, String), BTreeSet<Version>>,
    /// The same for versions that need a URL which the root does not name.
    pub(crate) foreign: BTreeMap<(Node, Foreign), BTreeSet<Version>>,
    /// Where it comes to blows: no version satisfies all that is asked of these.
    pub(crate) clashes: BTreeSet<PackageName>,
}

/// The error of a conflict.
pub(crate) fn explain(conflict: &Conflict, solver: &Solver<Provider<'_>>, context: &Context) -> Error {
    let provider = solver.provider();
    let facts = collect(conflict, solver);
    let unknown = facts
        .asks
        .keys()
        .find(|ask| provider.offer(&ask.wanted.package).candidates().is_empty());
    if let Some(ask) = unknown {
        let name = &ask.wanted.package;
        return Error::UnknownPackage {
            name: name.clone(),
            asked_by: unknown_asker(ask, &facts),
            looked_in: looked_in(name, provider)
                .map(|s| format!(" ({s})"))
                .unwrap_or_default(),
            near: provider.candidates.source.near(name),
            remark: remark(name, provider).map(Box::new),
        };
    }
    let mut lines = chains(&facts, provider);
    let spelled = |name: &PackageName| facts.spelled(name);
    for ((package, bar), versions) in &facts.barred {
        lines.push(format!(
            "{} {} {}",
            spelled(package),
            list(versions),
            plural(&bar.clause(), versions)
        ));
    }
    for ((package, reason), versions) in &facts.unreadable {
        lines.push(format!("{} {} {reason}", spelled(package), list(versions)));
    }
    for ((node, foreign), versions) in &facts.foreign {
        let clause = plural(&foreign.to_string(), versions);
        lines.push(format!("{node} {} {clause}", list(versions)));
    }
    for package in &facts.clashes {
        lines.push(existing(package, &facts, provider));
    }
    let explanation = lines
        .iter()
        .map(|l| format!("  {l}"))
        .collect::<Vec<_>>()
        .join("\n");
    Error::Conflict {
        explanation,
        proposals: advise(&facts, provider, context),
    }
}

/// Remarks of the sources about a missing package; if there are any, then about all missing ones.
fn remark(name: &PackageName, provider: &Provider<'_>) -> Option<Remark> {
    let source = provider.candidates.source;
    let free = |name: &PackageName| !provider.problem.pins.contains_key(name);
    let only = source.remark(std::slice::from_ref(name)).filter(|_| free(name))?;
    let all: Vec<PackageName> = missing(provider).into_iter().filter(free).collect();
    source.remark(&all).or(Some(only))
}

/// The missing packages among all that the first candidates lead to.
fn missing(provider: &Provider<'_>) -> BTreeSet<PackageName> {
    let mut missing = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut wanted: VecDeque<Requirement> = provider.problem.roots().map(|(_, r)| r.clone()).collect();
    while let Some(requirement) = wanted.pop_front() {
        let range = requirement.specifiers();
        for node in Node::all_of(&requirement) {
            let offer = provider.offer(&node.package);
            if offer.candidates().is_empty() {
                missing.insert(node.package.clone());
            }
            if !seen.insert(node.clone()) {
                continue;
            }
            let fits =
                |i: &usize| offer.bars[*i].is_none() && range.contains(&offer.candidates()[*i].version);
            let first = (0..offer.candidates().len())
                .filter(fits)
                .min_by_key(|i| offer.places[*i]);
            let Some(first) = first else { continue };
            let needs = provider.candidates.needs(&node.package, &offer, first);
            if let Ok(dependencies) = needs.as_ref() {
                wanted.extend(provider.active(&node, dependencies).into_iter().cloned());
            }
        }
    }
    missing
}

fn collect(conflict: &Conflict, solver: &Solver<Provider<'_>>) -> Facts {
    let provider = solver.provider();
    let graph = conflict.graph(solver);
    let mut facts = Facts::default();
    let mut ranges: BTreeMap<PackageName, Vec<Specifiers>> = BTreeMap::new();
    for edge in graph.graph.raw_edges() {
        let ConflictEdge::Requires(SolverRequirement::Single(set)) = edge.weight else {
            continue;
        };
        let Range::Written(specifiers, text) = provider.pool.resolve_version_set(set) else {
            continue;
        };
        let wanted = provider.pool.resolve_package_name(provider.version_set_name(set));
        facts.add_ask(provider, graph.graph[edge.source()], wanted, text);
        let known = ranges.entry(wanted.package.clone()).or_default();
        if known.contains(specifiers) {
            continue;
        }
        known.push(specifiers.clone());
        // Bars matter for every version that this requirement would admit.
        let offer = provider.offer(&wanted.package);
        for (candidate, bar) in offer.candidates().iter().zip(&offer.bars) {
            if let Some(bar) = bar
                && specifiers.contains(&candidate.version)
            {
                let key = (wanted.package.clone(), bar.clone());
                facts
                    .barred
                    .entry(key)
                    .or_default()
                    .insert(candidate.version.clone());
            }
        }
    }
    for node in graph.graph.raw_nodes() {
        if let ConflictNode::Solvable(id) = node.weight {
            facts.add_unreadable(provider, id);
        }
    }
    for (package, ranges) in &ranges {
        let offer = provider.offer(package);
        let mut open = offer
            .candidates()
            .iter()
            .zip(&offer.bars)
            .filter(|(_, bar)| bar.is_none());
        let fits = open.any(|(c, _)| ranges.iter().all(|range| range.contains(&c.version)));
        if !fits {
            facts.clashes.insert(package.clone());
        }
    }
    if facts.clashes.is_empty() {
        facts.clashes = ranges.into_keys().collect();
    }
    facts
}

impl Facts {
    /// Note who makes a requirement.
    fn add_ask(&mut self, provider: &Provider<'_>, from: ConflictNode, wanted: &Node, text: &str) {
        let mut add = |by: By, version: Option<Version>| {
            let ask = Ask {
                by,
                wanted: wanted.clone(),
                text: text.to_owned(),
            };
            self.asks.entry(ask).or_default().extend(version);
        };
        if let ConflictNode::Solvable(id) = from {
            let solvable = provider.pool.resolve_solvable(id);
            let node = provider.pool.resolve_package_name(solvable.name);
            let version = provider.offer(&node.package).candidates()[solvable.record as usize]
                .version
                .clone();
            add(By::Node(node.clone()), Some(version));
            return;
        }
        for (root, requirement) in provider.problem.roots() {
            if requirement.name() == &wanted.package && requirement.told() == text {
                add(By::Root(root.asked_by.clone()), None);
            }
        }
    }

    fn add_unreadable(&mut self, provider: &Provider<'_>, id: resolvo::SolvableId) {
        let solvable = provider.pool.resolve_solvable(id);
        let node = provider.pool.resolve_package_name(solvable.name);
        let package = &node.package;
        let (offer, index) = (provider.offer(package), solvable.record as usize);
        if offer.bars[index].is_some() {
            return;
        }
        let needs = provider.candidates.needs(package, &offer, index);
        let versions = match needs.as_ref() {
            Err(reason) => self
                .unreadable
                .entry((package.clone(), reason.clone()))
                .or_default(),
            Ok(dependencies) => match provider.problem.foreign(&provider.active(node, dependencies)) {
                Some(foreign) => self.foreign.entry((node.clone(), foreign)).or_default(),
                None => return,
            },
        };
        versions.insert(offer.candidates()[index].version.clone());
    }

    /// A package name as written.
    pub(crate) fn spelled(&self, package: &PackageName) -> String {
        let written = self.asks.keys().filter(|ask| &ask.wanted.package == package);
        let spelled = written
            .filter_map(|ask| Requirement::parse(&ask.text).ok())
            .map(|r| r.written_name().to_owned());
        spelled.min().unwrap_or_else(|| package.to_string())
    }
}

/// The chains of requirements that lead to the clashes, one a line.
fn chains(facts: &Facts, provider: &Provider<'_>) -> Vec<String> {
    // The first origin of a package, seen from the root, introduces it.
    let mut introduced: BTreeMap<&Node, &Ask> = BTreeMap::new();
    let mut queue: VecDeque<&Ask> = facts
        .asks
        .keys()
        .filter(|ask| matches!(ask.by, By::Root(_)))
        .collect();
    while let Some(ask) = queue.pop_front() {
        if introduced.contains_key(&ask.wanted) {
            continue;
        }
        introduced.insert(&ask.wanted, ask);
        queue.extend(
            facts
                .asks
                .keys()
                .filter(|next| matches!(&next.by, By::Node(node) if node == &ask.wanted)),
        );
    }
    let mut lines = Vec::new();
    let mut told: BTreeSet<&Ask> = BTreeSet::new();
    for ask in facts
        .asks
        .keys()
        .filter(|ask| facts.clashes.contains(&ask.wanted.package))
    {
        let mut chain = vec![ask];
        while let By::Node(node) = &chain[chain.len() - 1].by {
            match introduced.get(node) {
                Some(above) if !chain.contains(above) => chain.push(above),
                _ => break,
            }
        }
        chain.reverse();
        // A package and its group are asked for by one requirement.
        let same = |other: &&Ask| other.by == ask.by && other.text == ask.text;
        if told.iter().any(same) {
            continue;
        }
        told.insert(ask);
        lines.push(sentence(&chain, facts, provider));
    }
    lines.sort_by_key(|line| line.matches(',').count());
    if lines.len() > CHAINS {
        let more = lines.len() - CHAINS;
        lines.truncate(CHAINS);
        lines.push(format!("... and {more} more requirements"));
    }
    lines
}

/// `the workspace asks for Shot==1.0, which needs KitchenSet>=2, of which 2.0 and 2.1 need Table<2`
fn sentence(chain: &[&Ask], facts: &Facts, provider: &Provider<'_>) -> String {
    let mut text = String::new();
    for (position, ask) in chain.iter().enumerate() {
        let versions = &facts.asks[*ask];
        match &ask.by {
            By::Root(who) => text.push_str(&format!("{who} asks for {}", ask.text)),
            By::Node(node) if position == 0 => {
                let verb = if versions.len() == 1 { "needs" } else { "need" };
                text.push_str(&format!("{node} {} {verb} {}", list(versions), ask.text));
            }
            By::Node(node) => {
                let admitted = admitted(chain[position - 1], node, provider);
                if admitted.len() <= 1 && admitted.is_superset(versions) {
                    text.push_str(&format!(", which needs {}", ask.text));
                } else if admitted.is_subset(versions) {
                    text.push_str(&format!(", every version of which needs {}", ask.text));
                } else {
                    let verb = if versions.len() == 1 { "needs" } else { "need" };
                    text.push_str(&format!(", of which {} {verb} {}", list(versions), ask.text));
                }
            }
        }
    }
    text
}

/// The versions of a package that can be had and that a requirement admits.
fn admitted(ask: &Ask, node: &Node, provider: &Provider<'_>) -> BTreeSet<Version> {
    let range = Requirement::parse(&ask.text).map_or_else(|_| Specifiers::any(), |r| r.specifiers());
    let offer = provider.offer(&node.package);
    let open = offer
        .candidates()
        .iter()
        .zip(&offer.bars)
        .filter(|(_, bar)| bar.is_none());
    open.filter(|(c, _)| range.contains(&c.version))
        .map(|(c, _)| c.version.clone())
        .collect()
}

/// `1.0, 1.1, ... 2.0`: all of a few, the ends of many.
pub(crate) fn list(versions: &BTreeSet<Version>) -> String {
    let all: Vec<String> = versions.iter().map(ToString::to_string).collect();
    if all.len() <= 8 {
        return all.join(", ");
    }
    let (first, last) = (all[..3].join(", "), all[all.len() - 3..].join(", "));
    format!("{first}, ... {last} ({} versions)", all.len())
}

/// A clause about one version, for several where they are.
fn plural(clause: &str, versions: &BTreeSet<Version>) -> String {
    if versions.len() == 1 {
        return clause.to_owned();
    }
    for (one, many) in [
        ("is ", "are "),
        ("needs ", "need "),
        ("was ", "were "),
        ("does ", "do "),
    ] {
        if let Some(rest) = clause.strip_prefix(one) {
            let rest = rest
                .replace("when it was", "when they were")
                .replace("so it may", "so they may");
            return format!("{many}{}", rest.replace("a pre-release", "pre-releases"));
        }
    }
    clause.to_owned()
}

fn existing(package: &PackageName, facts: &Facts, provider: &Provider<'_>) -> String {
    let spelled = facts.spelled(package);
    if let Some(fixed) = provider.problem.fixed.get(package) {
        return format!("{spelled} is an editable output at {fixed}, which is never replaced");
    }
    let offer = provider.offer(package);
    if let Some(url) = provider.problem.urls.get(package) {
        let versions = offer.candidates().iter().map(|c| c.version.clone()).collect();
        return format!("{spelled} comes from {url} alone, which is {}", list(&versions));
    }
    let mut by_source: BTreeMap<usize, BTreeSet<Version>> = BTreeMap::new();
    for candidate in offer.candidates() {
        by_source
            .entry(candidate.source)
            .or_default()
            .insert(candidate.version.clone());
    }
    let places: Vec<String> = by_source
        .iter()
        .map(|(source, versions)| match source_name(*source, provider) {
            Some(name) => format!("{} in {name}", list(versions)),
            None => list(versions),
        })
        .collect();
    let where_else = looked_in(package, provider)
        .map(|s| format!(" ({s})"))
        .unwrap_or_default();
    format!("{spelled} exists as {}{where_else}", places.join("; "))
}

fn source_name<'p>(rank: usize, provider: &'p Provider<'_>) -> Option<&'p str> {
    let name = provider.problem.sources.get(rank).map(|s| s.name.as_str());
    name.filter(|name| !name.is_empty())
}

/// `looked in blessed, review; not in public, since blessed has it`.
fn looked_in(package: &PackageName, provider: &Provider<'_>) -> Option<String> {
    let stock = provider.candidates.stock(package, provider.problem);
    let names = |ranks: &[usize]| -> Vec<String> {
        ranks
            .iter()
            .filter_map(|rank| source_name(*rank, provider))
            .map(ToOwned::to_owned)
            .collect()
    };
    let asked = names(&stock.asked);
    if asked.is_empty() {
        return None;
    }
    let mut text = format!("looked in {}", asked.join(", "));
    if provider.problem.pins.contains_key(package) {
        text.push_str(" alone, as configured");
    }
    let spared = names(&stock.spared);
    if let Some(first) = stock.files.iter().map(|c| c.source).min()
        && !spared.is_empty()
    {
        let has = source_name(first, provider).unwrap_or("another source");
        text.push_str(&format!("; not in {}, since {has} has it", spared.join(", ")));
    }
    Some(text)
}

fn unknown_asker(ask: &Ask, facts: &Facts) -> String {
    match &ask.by {
        By::Root(who) => format!("{who} asks for"),
        By::Node(node) => format!("{node} {} needs", list(&facts.asks[ask])),
    }
}
