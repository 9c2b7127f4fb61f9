//! The versions of one package under one problem: which of them can be had, why not the others, and which is tried first.
//!
//! A version can be had if one of its files can; the first such file stands for it, one that is not yanked before one that is.
//! Judged once for each package and search. Rules: a yanked version only where the root pins it or the lock has it (pip,
//! uv); pre-releases last (uv); of `Requires-Python` only the lower bound counts (uv); constraints narrow.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use backlot_pep::{PackageName, Specifiers};

use crate::candidates::PackageVersions;
use crate::problem::{Candidate, Order, Preference, PrereleasePolicy, Problem};

/// Why a version cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exclusion {
    /// The source says so, in words.
    Source(String),
    /// Another version is an editable output.
    Fixed(String),
    /// Withdrawn, with the reason.
    Yanked(String),
    /// A pre-release where none is wanted.
    Prerelease,
    /// Needs another Python.
    Python(String),
    /// Published after the cutoff.
    TooNew(String),
    /// The publication time is unknown.
    NoTime(String),
    /// A constraint does not admit it.
    Constraint(String),
}

impl Exclusion {
    /// As the end of a sentence that begins with the version.
    pub(crate) fn clause(&self) -> String {
        match self {
            Self::Source(reason) => reason.clone(),
            Self::Fixed(version) => format!("is not the editable output's version, {version}"),
            Self::Yanked(reason) if reason.is_empty() => "is yanked".to_owned(),
            Self::Yanked(reason) => format!("is yanked ({reason})"),
            Self::Prerelease => "is a pre-release".to_owned(),
            Self::Python(range) => format!("needs Python {range}"),
            Self::TooNew(cutoff) => format!("was published after {cutoff}"),
            Self::NoTime(cutoff) => {
                format!("does not say when it was published, so it may be newer than {cutoff}")
            }
            Self::Constraint(text) => format!("is outside the constraint {text}"),
        }
    }
}

/// The versions of a package, judged.
#[derive(Debug)]
pub(crate) struct RankedCandidates {
    pub(crate) stock: Rc<PackageVersions>,
    /// Beside each version of the stock: the file that stands for it.
    pub(crate) files: Vec<usize>,
    /// Those files.
    candidates: Vec<Candidate>,
    /// Beside each candidate: why it cannot be had.
    pub(crate) bars: Vec<Option<Exclusion>>,
    /// Beside each candidate: its place among all, first tried first.
    pub(crate) places: Vec<u32>,
}

impl RankedCandidates {
    /// Judge.
    pub(crate) fn new(
        package: &PackageName,
        stock: Rc<PackageVersions>,
        problem: &Problem<'_>,
        lowest: bool,
    ) -> Self {
        let pinned: Vec<_> = problem
            .roots()
            .map(|(_, requirement)| requirement)
            .chain(&problem.constraints)
            .filter(|r| r.name() == package)
            .filter_map(|r| r.specifiers().pinned())
            .collect();
        let constraints: Vec<(Specifiers, String)> = problem
            .constraints
            .iter()
            .filter(|c| c.name() == package && c.applies(problem.env, &[]))
            .map(|c| (c.specifiers(), c.text().to_owned()))
            .collect();
        let mut pythons = HashMap::new();
        let mut judge = |file: usize| {
            let candidate = &stock.files[file];
            let asked_for = pinned.contains(&candidate.version);
            bar(package, candidate, problem, asked_for, &mut pythons).or_else(|| {
                constraints
                    .iter()
                    .find(|(range, _)| !range.contains(&candidate.version))
                    .map(|(_, text)| Exclusion::Constraint(text.clone()))
            })
        };
        let mut files = Vec::with_capacity(stock.versions.len());
        let mut bars = Vec::with_capacity(stock.versions.len());
        for version in &stock.versions {
            let judged = version.clone().map(|file| (file, judge(file)));
            let best = judged.min_by_key(|(file, bar)| {
                (
                    bar.is_some(),
                    bar.is_none() && stock.files[*file].yanked.is_some(),
                )
            });
            let (file, bar) = best.expect("a version has a file");
            files.push(file);
            bars.push(bar);
        }
        let candidates: Vec<Candidate> = files.iter().map(|file| stock.files[*file].clone()).collect();
        let mut by_preference: Vec<usize> = (0..candidates.len()).collect();
        let all_alike = problem.prereleases_of(package) == PrereleasePolicy::Allow;
        by_preference.sort_by(|a, b| prefers(&candidates[*a], &candidates[*b], problem, (lowest, all_alike)));
        let mut places = vec![0; by_preference.len()];
        for (place, index) in by_preference.into_iter().enumerate() {
            places[index] = u32::try_from(place).unwrap_or(u32::MAX);
        }
        Self {
            stock,
            files,
            candidates,
            bars,
            places,
        }
    }

    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// The result for a range of Python versions. Most versions of a package have the same.
type Pythons<'s> = HashMap<&'s str, Option<Exclusion>>;

fn bar<'s>(
    package: &PackageName,
    candidate: &'s Candidate,
    problem: &Problem<'_>,
    asked_for: bool,
    pythons: &mut Pythons<'s>,
) -> Option<Exclusion> {
    if let Some(fixed) = problem.fixed.get(package) {
        return (fixed != &candidate.version).then(|| Exclusion::Fixed(fixed.to_string()));
    }
    if let Some(reason) = &candidate.excluded {
        return Some(Exclusion::Source(reason.clone()));
    }
    if let Some(range) = &candidate.requires_python {
        let judged = pythons.entry(range).or_insert_with(|| python_bar(range, problem));
        if let Some(bar) = judged {
            return Some(bar.clone());
        }
    }
    // A requirement on a file by URL means that file, whatever the rules on versions.
    if problem.urls.contains_key(package) {
        return None;
    }
    if let Some(cutoff) = problem.exclude_newer {
        match candidate.published {
            Some(published) if published <= cutoff => {}
            Some(_) => return Some(Exclusion::TooNew(cutoff.to_string())),
            None => return Some(Exclusion::NoTime(cutoff.to_string())),
        }
    }
    let kept = problem.preferences.get(package) == Some(&candidate.version);
    if let Some(reason) = &candidate.yanked
        && !asked_for
        && !kept
    {
        return Some(Exclusion::Yanked(reason.clone()));
    }
    let policy = problem.prereleases_of(package);
    let forbidden = policy == PrereleasePolicy::Disallow && !asked_for;
    (forbidden && candidate.version.is_prerelease()).then_some(Exclusion::Prerelease)
}

pub(crate) fn python_bar(range: &str, problem: &Problem<'_>) -> Option<Exclusion> {
    match Specifiers::parse_repaired(range) {
        Ok(parsed) if parsed.starts_at_most_at(problem.env.python()) => None,
        Ok(_) => Some(Exclusion::Python(range.to_owned())),
        Err(_) => Some(Exclusion::Source(format!(
            "needs an unknown Python version: `{range}`"
        ))),
    }
}

/// Whether the oldest version of a package is tried first.
pub(crate) fn wants_lowest(package: &PackageName, problem: &Problem<'_>) -> bool {
    match problem.preference {
        Preference::Highest => false,
        Preference::Lowest => true,
        Preference::LowestDirect => problem.roots().any(|(_, r)| r.name() == package),
    }
}

/// Whether the lowest version is preferred, and pre-releases are like all others.
fn prefers(
    a: &Candidate,
    b: &Candidate,
    problem: &Problem<'_>,
    (lowest, all_alike): (bool, bool),
) -> Ordering {
    let by_stability = if all_alike {
        Ordering::Equal
    } else {
        a.version.is_prerelease().cmp(&b.version.is_prerelease())
    };
    let by_source = match problem.order {
        Order::SourceFirst => a.source.cmp(&b.source),
        Order::VersionFirst => Ordering::Equal,
    };
    let by_deprecation = a.deprecated.is_some().cmp(&b.deprecated.is_some());
    let by_version = if lowest {
        a.version.cmp(&b.version)
    } else {
        b.version.cmp(&a.version)
    };
    by_stability.then(by_source).then(by_deprecation).then(by_version)
}
