//! Candidates and requirements in the solver's terms.
//!
//! A package is a name to the solver; a group of a package (`Table[build]`) is another, whose versions need exactly the
//! same version of the package plus the requirements of the group. Metadata is read when the solver asks, once, never
//! recursively. A version whose metadata cannot be read is excluded with the reason; it does not end the search.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use backlot_core::{Coded, Context, GroupName, PackageName, Requirement, Specifiers, Version};
use resolvo::utils::{Pool, VersionSet};
use resolvo::{
    Candidates as SolverCandidates, Condition, ConditionId, ConditionalRequirement,
    Dependencies as SolverDependencies, DependencyProvider, HintDependenciesAvailable, Interner,
    KnownDependencies, NameId, SolvableId, SolverCache, StringId, VersionSetId, VersionSetUnionId,
};

use crate::problem::{Candidate, Candidates, Dependencies, Order, Preference, PrereleasePolicy, Problem};

/// A name to the solver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    pub(crate) package: PackageName,
    pub(crate) group: Option<GroupName>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.package)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, "[{group}]"))
    }
}

/// The versions a requirement admits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    pub(crate) specifiers: Specifiers,
    /// As it was written, for explanations; empty where a group needs its own package.
    pub(crate) text: String,
}

impl VersionSet for Range {
    type V = Version;
}

/// The solver's view of a problem.
pub(crate) struct Provider<'a> {
    pub(crate) pool: Pool<Range, Node>,
    pub(crate) problem: &'a Problem<'a>,
    source: &'a dyn Candidates,
    context: &'a Context,
    candidates: RefCell<HashMap<PackageName, Vec<Candidate>>>,
    dependencies: RefCell<HashMap<(PackageName, Version), Result<Dependencies, String>>>,
    /// Packages of which a requirement names a pre-release.
    pub(crate) named: RefCell<BTreeSet<PackageName>>,
    /// The same as they were known when this search began.
    known_named: BTreeSet<PackageName>,
    pub(crate) failure: RefCell<Option<Box<dyn Coded>>>,
    pinned: BTreeMap<PackageName, Version>,
}

impl<'a> Provider<'a> {
    pub(crate) fn new(
        source: &'a dyn Candidates,
        problem: &'a Problem<'a>,
        named: BTreeSet<PackageName>,
        context: &'a Context,
    ) -> Self {
        let pins = problem.requirements.iter().filter_map(|root| {
            Some((
                root.requirement.name().clone(),
                root.requirement.specifiers().pinned()?,
            ))
        });
        Self {
            pool: Pool::new(),
            problem,
            source,
            context,
            candidates: RefCell::default(),
            dependencies: RefCell::default(),
            named: RefCell::new(named.clone()),
            known_named: named,
            failure: RefCell::default(),
            pinned: pins.collect(),
        }
    }

    /// The solver's requirements for one of ours: its package, and each group asked for.
    pub(crate) fn version_sets(&self, requirement: &Requirement) -> Vec<VersionSetId> {
        let specifiers = requirement.specifiers();
        if specifiers.names_prerelease() {
            self.named.borrow_mut().insert(requirement.name().clone());
        }
        let range = Range {
            specifiers,
            text: requirement_text(requirement),
        };
        let mut nodes = vec![Node {
            package: requirement.name().clone(),
            group: None,
        }];
        nodes.extend(requirement.groups().into_iter().map(|g| Node {
            package: requirement.name().clone(),
            group: Some(g),
        }));
        nodes
            .into_iter()
            .map(|node| {
                let name = self.pool.intern_package_name(node);
                self.pool.intern_version_set(name, range.clone())
            })
            .collect()
    }

    /// All versions of a package, each once, from its best source.
    pub(crate) fn all_candidates(&self, package: &PackageName) -> Vec<Candidate> {
        if let Some(known) = self.candidates.borrow().get(package) {
            return known.clone();
        }
        let mut all = match self.source.candidates(package) {
            Ok(all) => all,
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Vec::new()
            }
        };
        all.sort_by(|a, b| a.version.cmp(&b.version).then(a.source.cmp(&b.source)));
        all.dedup_by(|later, first| later.version == first.version);
        for candidate in &mut all {
            candidate.excluded = self.exclusion(package, candidate);
        }
        self.candidates.borrow_mut().insert(package.clone(), all.clone());
        all
    }

    /// Why a candidate cannot be used, if it cannot.
    fn exclusion(&self, package: &PackageName, candidate: &Candidate) -> Option<String> {
        if let Some(fixed) = self.problem.fixed.get(package)
            && fixed != &candidate.version
        {
            return Some(format!("is not the editable output's version, {fixed}"));
        }
        let asked_for = self.pinned.get(package) == Some(&candidate.version)
            || self.problem.preferences.get(package) == Some(&candidate.version);
        let yanked = candidate
            .yanked
            .as_ref()
            .filter(|_| !asked_for)
            .map(|reason| format!("is yanked ({reason})"));
        let forbidden =
            self.problem.prereleases == PrereleasePolicy::Disallow && candidate.version.is_prerelease();
        let prerelease =
            (forbidden && !self.pinned.contains_key(package)).then(|| "is a pre-release".to_owned());
        candidate.excluded.clone().or(yanked).or(prerelease)
    }

    /// What a version needs, or why that cannot be read.
    pub(crate) fn dependencies_of(
        &self,
        package: &PackageName,
        version: &Version,
    ) -> Result<Dependencies, String> {
        let key = (package.clone(), version.clone());
        if let Some(known) = self.dependencies.borrow().get(&key) {
            return known.clone();
        }
        let read = self
            .source
            .dependencies(package, version)
            .map_err(|e| format!("cannot be read: {e}"));
        self.dependencies.borrow_mut().insert(key, read.clone());
        read
    }

    /// The requirements that hold for a version of a node.
    pub(crate) fn active(&self, node: &Node, dependencies: &Dependencies) -> Vec<Requirement> {
        let plain = |r: &Requirement| r.applies(self.problem.env, &[]);
        let Some(group) = &node.group else {
            return dependencies
                .requires
                .iter()
                .filter(|r| plain(r))
                .cloned()
                .collect();
        };
        let groups = std::slice::from_ref(group);
        dependencies
            .requires
            .iter()
            .filter(|r| !plain(r) && r.applies(self.problem.env, groups))
            .cloned()
            .collect()
    }

    fn prefers(&self, name: &PackageName, a: &Version, b: &Version) -> std::cmp::Ordering {
        let candidates = self.candidates.borrow();
        let candidate = |v: &Version| {
            let all = candidates.get(name)?;
            all.iter().find(|c| &c.version == v)
        };
        let rank = |v: &Version| candidate(v).map_or(usize::MAX, |c| c.source);
        let deprecated = |v: &Version| candidate(v).is_some_and(|c| c.deprecated.is_some());
        let stable_first =
            self.problem.prereleases == PrereleasePolicy::IfNecessary && !self.known_named.contains(name);
        let by_stability = if stable_first {
            a.is_prerelease().cmp(&b.is_prerelease())
        } else {
            std::cmp::Ordering::Equal
        };
        let by_version = match self.problem.preference {
            Preference::Highest => b.cmp(a),
            Preference::Lowest => a.cmp(b),
        };
        let by_source = match self.problem.order {
            Order::SourceFirst => rank(a).cmp(&rank(b)),
            Order::VersionFirst => std::cmp::Ordering::Equal,
        };
        let by_deprecation = deprecated(a).cmp(&deprecated(b));
        by_stability.then(by_source).then(by_deprecation).then(by_version)
    }
}

/// A requirement without its marker, in the case it was written.
fn requirement_text(requirement: &Requirement) -> String {
    requirement
        .text()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl fmt::Display + '_ {
        let solvable = self.pool.resolve_solvable(solvable);
        format!(
            "{} {}",
            self.pool.resolve_package_name(solvable.name),
            solvable.record
        )
    }
    fn display_name(&self, name: NameId) -> impl fmt::Display + '_ {
        self.pool.resolve_package_name(name).to_string()
    }
    fn display_version_set(&self, version_set: VersionSetId) -> impl fmt::Display + '_ {
        self.pool.resolve_version_set(version_set).specifiers.to_string()
    }
    fn display_string(&self, string_id: StringId) -> impl fmt::Display + '_ {
        self.pool.resolve_string(string_id).to_owned()
    }
    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.pool.resolve_version_set_package_name(version_set)
    }
    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.pool.resolve_solvable(solvable).name
    }
    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.pool.resolve_version_set_union(union)
    }
    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        self.pool.resolve_condition(condition).clone()
    }
}

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let range = self.pool.resolve_version_set(version_set);
        let admits = |id: &&SolvableId| {
            range
                .specifiers
                .contains(&self.pool.resolve_solvable(**id).record)
                != inverse
        };
        candidates.iter().filter(admits).copied().collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<SolverCandidates> {
        let node = self.pool.resolve_package_name(name);
        let all = self.all_candidates(&node.package);
        if all.is_empty() {
            return None;
        }
        let mut found = SolverCandidates {
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Default::default()
        };
        for candidate in all {
            let id = self.pool.intern_solvable(name, candidate.version.clone());
            if self.problem.preferences.get(&node.package) == Some(&candidate.version) {
                found.favored = Some(id);
            }
            if let Some(reason) = candidate.excluded {
                found.excluded.push((id, self.pool.intern_string(reason)));
            }
            found.candidates.push(id);
        }
        Some(found)
    }

    async fn sort_candidates(&self, _solver: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        solvables.sort_by(|a, b| {
            let (a, b) = (self.pool.resolve_solvable(*a), self.pool.resolve_solvable(*b));
            self.prefers(
                &self.pool.resolve_package_name(a.name).package,
                &a.record,
                &b.record,
            )
        });
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> SolverDependencies {
        let solvable = self.pool.resolve_solvable(solvable);
        let node = self.pool.resolve_package_name(solvable.name);
        let dependencies = match self.dependencies_of(&node.package, &solvable.record) {
            Ok(dependencies) => dependencies,
            Err(reason) => return SolverDependencies::Unknown(self.pool.intern_string(reason)),
        };
        let mut known = KnownDependencies::default();
        if node.group.is_some() {
            let base = self.pool.intern_package_name(Node {
                package: node.package.clone(),
                group: None,
            });
            let range = Range {
                specifiers: Specifiers::exactly(&solvable.record),
                text: String::new(),
            };
            known
                .requirements
                .push(self.pool.intern_version_set(base, range).into());
        }
        for requirement in self.active(node, &dependencies) {
            known.requirements.extend(
                self.version_sets(&requirement)
                    .into_iter()
                    .map(ConditionalRequirement::from),
            );
        }
        SolverDependencies::Known(known)
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        let failed = self.failure.borrow().is_some();
        (failed || self.context.cancel().is_cancelled()).then(|| Box::new(()) as Box<dyn Any>)
    }
}
