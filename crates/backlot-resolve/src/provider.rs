//! Candidates and requirements in the solver's terms.
//!
//! A package is a name to the solver; a group of a package (`Table[build]`) is another, whose versions need exactly the
//! same version of the package plus the requirements of the group. Metadata is read when the solver asks, once, never
//! recursively. A version whose file is gone or not for us is excluded with the reason; any other error ends the search.
//!
//! Two modes: the first search reads only what it visits; one that turns out hard is restarted with all
//! metadata of near sources at hand, which lets the solver learn faster by far (2,000 packages of 10 versions with
//! conflicts: seconds instead of minutes).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use backlot_core::Context;
use backlot_pep::{GroupName, PackageName, Requirement, Specifiers};
use resolvo::utils::{Pool, VersionSet};
use resolvo::{
    Candidates as SolverCandidates, Condition, ConditionId, ConditionalRequirement,
    Dependencies as SolverDependencies, DependencyProvider, HintDependenciesAvailable, Interner,
    KnownDependencies, NameId, SolvableId, SolverCache, StringId, VersionSetId, VersionSetUnionId,
};

use crate::candidates::CandidateCache;
use crate::problem::{Dependencies, Problem};
use crate::ranked::{RankedCandidates, python_bar, wants_lowest};

/// How many rounds of the solver, a package, make a search a hard one. Easy ones need about 35: they look at a package
/// again for each package that requires it.
const EASY_ROUNDS: usize = 60;
/// As many are easy whatever the number of packages.
const FREE_ROUNDS: usize = 20_000;
/// How often the time is looked at, in rounds.
const ROUNDS_A_LOOK: u32 = 16;

/// A name to the solver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    pub(crate) package: PackageName,
    pub(crate) group: Option<GroupName>,
}

impl Node {
    pub(crate) fn of(package: &PackageName) -> Self {
        Self {
            package: package.clone(),
            group: None,
        }
    }

    /// The node a requirement names, and one for each of its groups.
    pub(crate) fn all_of(requirement: &Requirement) -> Vec<Self> {
        let mut nodes = vec![Self::of(requirement.name())];
        nodes.extend(requirement.groups().into_iter().map(|group| Self {
            package: requirement.name().clone(),
            group: Some(group),
        }));
        nodes
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.package)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, "[{group}]"))
    }
}

/// The versions a requirement admits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Range {
    /// Those in a range, with the requirement as it was written, for explanations.
    Written(Specifiers, String),
    /// The candidate at an index: where a group needs its own package.
    Same(u32),
}

impl VersionSet for Range {
    /// The index of a candidate among those of its package.
    type V = u32;
}

/// How a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchMode {
    /// Reads only what it visits; gives up if the search turns out hard.
    Lazy,
    /// Reads all metadata of near sources.
    Eager,
}

/// Why a search was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was requested.
    Cancelled,
    /// The source failed.
    Failed,
    /// It is a hard one.
    Hard,
    /// The time is over.
    Late,
}

/// The solver's view of a problem.
pub(crate) struct Provider<'a> {
    pub(crate) pool: Pool<Range, Node>,
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) candidates: &'a CandidateCache<'a>,
    context: &'a Context,
    gait: SearchMode,
    deadline: Option<Instant>,
    rounds: Cell<u32>,
    /// Packages of which the oldest version is tried first, whatever the preference says (for proposals).
    lowest: Option<&'a PackageName>,
    offers: RefCell<HashMap<PackageName, Rc<RankedCandidates>>>,
    sets: RefCell<HashMap<(NameId, String), VersionSetId>>,
}

impl<'a> Provider<'a> {
    pub(crate) fn new(
        candidates: &'a CandidateCache<'a>,
        problem: &'a Problem<'a>,
        context: &'a Context,
        gait: SearchMode,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            pool: Pool::new(),
            problem,
            candidates,
            context,
            gait,
            deadline,
            rounds: Cell::new(0),
            lowest: None,
            offers: RefCell::default(),
            sets: RefCell::default(),
        }
    }

    /// Try the oldest version of a package first.
    pub(crate) fn prefer_lowest(&mut self, package: Option<&'a PackageName>) {
        self.lowest = package;
    }

    /// The solver's requirements for a requirement: its package, and each requested group.
    pub(crate) fn version_sets(&self, requirement: &Requirement) -> Vec<VersionSetId> {
        let text = requirement.told();
        let mut sets = self.sets.borrow_mut();
        Node::all_of(requirement)
            .into_iter()
            .map(|node| {
                let name = self.pool.intern_package_name(node);
                *sets.entry((name, text.clone().into_owned())).or_insert_with(|| {
                    let range = Range::Written(requirement.specifiers(), text.clone().into_owned());
                    self.pool.intern_version_set(name, range)
                })
            })
            .collect()
    }

    /// The versions of a package, judged.
    pub(crate) fn offer(&self, package: &PackageName) -> Rc<RankedCandidates> {
        if let Some(known) = self.offers.borrow().get(package) {
            return Rc::clone(known);
        }
        let lowest = wants_lowest(package, self.problem) || self.lowest == Some(package);
        let stock = self.candidates.stock(package, self.problem);
        let offer = Rc::new(RankedCandidates::new(package, stock, self.problem, lowest));
        self.offers
            .borrow_mut()
            .insert(package.clone(), Rc::clone(&offer));
        offer
    }

    /// The requirements that hold for a version of a node, overrides in place.
    pub(crate) fn active<'r>(&'r self, node: &Node, dependencies: &'r Dependencies) -> Vec<&'r Requirement> {
        let plain = |r: &Requirement| r.applies(self.problem.env, &[]);
        let holds = |r: &Requirement| match &node.group {
            None => plain(r),
            Some(group) => !plain(r) && r.applies(self.problem.env, std::slice::from_ref(group)),
        };
        dependencies
            .requires
            .iter()
            .filter(|r| holds(r))
            .flat_map(|r| self.problem.replaced(r))
            .collect()
    }

    /// Tell the sources what will be asked for.
    pub(crate) fn announce<'r>(&self, requirements: impl Iterator<Item = &'r Requirement>) {
        let offers = self.offers.borrow();
        let names: Vec<&PackageName> = requirements
            .map(Requirement::name)
            .filter(|name| !offers.contains_key(*name))
            .collect();
        if !names.is_empty() {
            self.candidates.source.prefetch(&names);
        }
    }

    fn stop(&self) -> Option<Stop> {
        let round = self.rounds.get() + 1;
        self.rounds.set(round);
        if self.candidates.failure.borrow().is_some() {
            return Some(Stop::Failed);
        }
        if self.context.cancel().is_cancelled() {
            return Some(Stop::Cancelled);
        }
        let easy = || FREE_ROUNDS.max(EASY_ROUNDS * self.offers.borrow().len());
        if self.gait == SearchMode::Lazy && round as usize > easy() {
            return Some(Stop::Hard);
        }
        let late = |deadline: Instant| round.is_multiple_of(ROUNDS_A_LOOK) && Instant::now() > deadline;
        self.deadline.is_some_and(late).then_some(Stop::Late)
    }

    fn hint(&self, offer: &RankedCandidates, ids: &[SolvableId]) -> HintDependenciesAvailable<SolvableId> {
        if self.gait == SearchMode::Lazy {
            return HintDependenciesAvailable::None;
        }
        let near = |rank: usize| self.problem.sources.get(rank).is_none_or(|s| s.local);
        if offer.candidates().iter().all(|c| near(c.source)) {
            return HintDependenciesAvailable::All;
        }
        let some = offer.candidates().iter().zip(ids);
        HintDependenciesAvailable::Some(some.filter(|(c, _)| near(c.source)).map(|(_, id)| *id).collect())
    }
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl fmt::Display + '_ {
        let solvable = self.pool.resolve_solvable(solvable);
        let node = self.pool.resolve_package_name(solvable.name);
        let offer = self.offer(&node.package);
        format!("{node} {}", offer.candidates()[solvable.record as usize].version)
    }
    fn display_name(&self, name: NameId) -> impl fmt::Display + '_ {
        self.pool.resolve_package_name(name).to_string()
    }
    fn display_version_set(&self, version_set: VersionSetId) -> impl fmt::Display + '_ {
        match self.pool.resolve_version_set(version_set) {
            Range::Written(specifiers, _) => specifiers.to_string(),
            Range::Same(index) => format!("the same version (#{index})"),
        }
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
        let index = |id: &SolvableId| self.pool.resolve_solvable(*id).record;
        match self.pool.resolve_version_set(version_set) {
            Range::Same(same) => candidates
                .iter()
                .filter(|id| (index(id) == *same) != inverse)
                .copied()
                .collect(),
            Range::Written(specifiers, _) => {
                if specifiers.is_any() {
                    return if inverse { Vec::new() } else { candidates.to_vec() };
                }
                let name = self.pool.resolve_version_set_package_name(version_set);
                let offer = self.offer(&self.pool.resolve_package_name(name).package);
                let all = offer.candidates();
                candidates
                    .iter()
                    .filter(|id| specifiers.contains(&all[index(id) as usize].version) != inverse)
                    .copied()
                    .collect()
            }
        }
    }

    async fn get_candidates(&self, name: NameId) -> Option<SolverCandidates> {
        let node = self.pool.resolve_package_name(name);
        let offer = self.offer(&node.package);
        if offer.candidates().is_empty() {
            return None;
        }
        let mut found = SolverCandidates::default();
        let kept = self.problem.preferences.get(&node.package);
        for (index, candidate) in (0u32..).zip(offer.candidates()) {
            let id = self.pool.intern_solvable(name, index);
            if kept == Some(&candidate.version) {
                found.favored = Some(id);
            }
            if let Some(bar) = &offer.bars[index as usize] {
                found.excluded.push((id, self.pool.intern_string(bar.clause())));
            }
            found.candidates.push(id);
        }
        found.hint_dependencies_available = self.hint(&offer, &found.candidates);
        Some(found)
    }

    async fn sort_candidates(&self, _solver: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let Some(first) = solvables.first() else { return };
        let name = self.pool.resolve_solvable(*first).name;
        let offer = self.offer(&self.pool.resolve_package_name(name).package);
        solvables.sort_by_key(|id| offer.places[self.pool.resolve_solvable(*id).record as usize]);
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> SolverDependencies {
        let solvable = self.pool.resolve_solvable(solvable);
        let node = self.pool.resolve_package_name(solvable.name);
        let offer = self.offer(&node.package);
        let needs = self
            .candidates
            .needs(&node.package, &offer, solvable.record as usize);
        let dependencies = match needs.as_ref() {
            Ok(dependencies) => dependencies,
            Err(reason) => return SolverDependencies::Unknown(self.pool.intern_string(reason.clone())),
        };
        let range = dependencies.requires_python.as_deref();
        if let Some(bar) = range.and_then(|range| python_bar(range, self.problem)) {
            return SolverDependencies::Unknown(self.pool.intern_string(bar.clause()));
        }
        let mut known = KnownDependencies::default();
        if node.group.is_some() {
            let base = self.pool.intern_package_name(Node::of(&node.package));
            let same = self.pool.intern_version_set(base, Range::Same(solvable.record));
            known.requirements.push(same.into());
        }
        let active = self.active(node, dependencies);
        if let Some(foreign) = self.problem.foreign(&active) {
            let version = offer.candidates()[solvable.record as usize].version.clone();
            let reason = foreign.to_string();
            let id = self.pool.intern_string(reason.clone());
            let reason = format!("it {reason}");
            self.candidates
                .pass_over(&node.package, &version, "resolve::direct_url", reason);
            return SolverDependencies::Unknown(id);
        }
        self.announce(active.iter().copied());
        for requirement in active {
            let sets = self.version_sets(requirement);
            known
                .requirements
                .extend(sets.into_iter().map(ConditionalRequirement::from));
        }
        SolverDependencies::Known(known)
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        self.stop().map(|stop| Box::new(stop) as Box<dyn Any>)
    }
}
