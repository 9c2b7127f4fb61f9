//! Answers that need no search: where every requirement's favourite version of its package is the same one, they are the resolution.
//!
//! Why that is what the solver finds: it begins with the roots and always takes the version of a package that it prefers among those that the
//! requirements met so far admit. If each single requirement on a package prefers the same version, then so does every set of them, and the solver
//! never has to take one back. Anything else (two favourites, groups, URLs, a version that is barred) is left to the solver: [`DirectChoice::choose`]
//! gives `None`. Versions are judged without what a root pins, which only bars more.
//!
//! Deliberately absent: reading several sources at once, and explanations.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use backlot_core::Diagnostic;
use backlot_pep::{PackageName, Requirement, Specifiers, Version};

use crate::candidates::CandidateCache;
use crate::error::{Cause, Error, Result};
use crate::problem::{Candidate, Candidates, Preference, Problem, Resolved};
use crate::ranked::{RankedCandidates, python_bar, wants_lowest};

/// What many problems have in common that differ in their roots alone: the versions of each package, judged once.
#[derive(Debug, Default)]
pub struct DirectChoice {
    /// By package, at a revision of its candidates.
    packages: HashMap<PackageName, (u64, Arc<Judged>)>,
}

/// A version that was chosen without a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The rank of the source it comes from.
    pub source: usize,
    /// Its file, by the number that the source gave it.
    pub file: usize,
}

impl From<Resolved> for Choice {
    fn from(resolved: Resolved) -> Self {
        Self {
            name: resolved.name,
            version: resolved.version,
            source: resolved.source,
            file: resolved.file,
        }
    }
}

/// A package: the versions that can be had, in the order in which they are tried, each with what it requires in turn, once that was asked for. `None`
/// where only the solver can tell.
#[derive(Debug)]
struct Judged(Vec<(Candidate, OnceLock<Option<Vec<Edge>>>)>);

/// A requirement on a package, by its range.
#[derive(Clone, Debug)]
struct Edge {
    package: PackageName,
    range: Specifiers,
}

impl DirectChoice {
    /// Nothing judged yet. All problems that it is used with have to have the same environment, sources and policies.
    pub fn new() -> Self {
        Self::default()
    }

    /// The resolution of some root requirements, sorted by name; `None` where it takes a search to find it. Markers of the roots are not looked at.
    /// `problem` has the policies; its own requirements do not count.
    ///
    /// # Errors
    /// Those of the source.
    pub fn choose<'r>(
        &mut self,
        candidates: &dyn Candidates,
        problem: &Problem<'_>,
        roots: impl IntoIterator<Item = &'r Requirement>,
    ) -> Result<Option<Vec<Choice>>> {
        if !is_plain(problem) {
            return Ok(None);
        }
        let mut open = Vec::new();
        for root in roots {
            let Some(edge) = Edge::of(root) else {
                return Ok(None);
            };
            open.push(edge);
        }
        let mut chosen: HashMap<PackageName, (usize, Arc<Judged>)> = HashMap::new();
        while let Some(edge) = open.pop() {
            let judged = self
                .judged(&edge.package, candidates, problem)
                .map_err(|error| Error::Candidates(Cause(error)))?;
            let Some(favourite) = judged.favourite(&edge.range) else {
                return Ok(None);
            };
            match chosen.entry(edge.package) {
                Entry::Occupied(known) if known.get().0 == favourite => {}
                Entry::Occupied(_) => return Ok(None),
                Entry::Vacant(free) => {
                    let requires = judged.requires(free.key(), favourite, candidates, problem);
                    let Some(requires) = requires else {
                        return Ok(None);
                    };
                    open.extend(requires.iter().cloned());
                    free.insert((favourite, judged));
                }
            }
        }
        let choices = chosen.into_iter().map(|(name, (at, judged))| {
            let (candidate, _) = &judged.0[at];
            Choice {
                name,
                version: candidate.version.clone(),
                source: candidate.source,
                file: candidate.file,
            }
        });
        let mut choices: Vec<Choice> = choices.collect();
        choices.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(choices))
    }

    fn judged(
        &mut self,
        package: &PackageName,
        candidates: &dyn Candidates,
        problem: &Problem<'_>,
    ) -> std::result::Result<Arc<Judged>, Box<dyn Diagnostic>> {
        let revision = candidates.revision(package);
        match self.packages.get(package) {
            Some((known, judged)) if *known == revision => return Ok(Arc::clone(judged)),
            _ => {}
        }
        let judged = Arc::new(Judged::new(package, candidates, problem)?);
        self.packages
            .insert(package.clone(), (revision, Arc::clone(&judged)));
        Ok(judged)
    }
}

impl Edge {
    fn of(requirement: &Requirement) -> Option<Self> {
        let is_plain = requirement.groups().is_empty() && requirement.url().is_none();
        is_plain.then(|| Self {
            package: requirement.name().clone(),
            range: requirement.specifiers(),
        })
    }
}

impl Judged {
    fn new(
        package: &PackageName,
        candidates: &dyn Candidates,
        problem: &Problem<'_>,
    ) -> std::result::Result<Self, Box<dyn Diagnostic>> {
        let stock = CandidateCache::new(candidates).read_stock(package, problem)?;
        let lowest = wants_lowest(package, problem);
        let ranked = RankedCandidates::new(package, Rc::new(stock), problem, lowest);
        let all = ranked.candidates().iter().zip(&ranked.bars).zip(&ranked.places);
        let free = all.filter(|((_, bar), _)| bar.is_none());
        let mut free: Vec<(u32, &Candidate)> = free.map(|((one, _), place)| (*place, one)).collect();
        free.sort_by_key(|(place, _)| *place);
        let in_order = free.into_iter().map(|(_, one)| (one.clone(), OnceLock::new()));
        Ok(Self(in_order.collect()))
    }

    /// The version that a range prefers.
    fn favourite(&self, range: &Specifiers) -> Option<usize> {
        let mut candidates = self.0.iter();
        candidates.position(|(one, _)| range.is_any() || range.contains(&one.version))
    }

    fn requires(
        &self,
        package: &PackageName,
        at: usize,
        candidates: &dyn Candidates,
        problem: &Problem<'_>,
    ) -> Option<&[Edge]> {
        let (candidate, requires) = &self.0[at];
        let read = || {
            // A file that cannot be read is the solver's to judge.
            let needs = candidates.dependencies(package, candidate).ok()?;
            let range = needs.requires_python.as_deref();
            if range.is_some_and(|range| python_bar(range, problem).is_some()) {
                return None;
            }
            let active = needs.requires.iter().filter(|one| one.applies(problem.env, &[]));
            active.map(Edge::of).collect()
        };
        requires.get_or_init(read).as_deref()
    }
}

/// Whether a problem has none of what makes one package depend on more than its versions and ranges.
fn is_plain(problem: &Problem<'_>) -> bool {
    let no_rules = problem.pins.is_empty()
        && problem.preferences.is_empty()
        && problem.fixed.is_empty()
        && problem.urls.is_empty()
        && problem.constraints.is_empty()
        && problem.overrides.is_empty();
    no_rules && problem.exclude_newer.is_none() && problem.preference == Preference::Highest
}
