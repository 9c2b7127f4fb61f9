//! The smallest changes that would resolve a conflict: not guessed but tried, each by a search of its own.
//!
//! Invariant: a proposal that changes a requirement was solved with exactly the text it proposes. The number of tries and
//! their time are bounded; where they run out, fewer proposals are made. Smallest first: one bound of one requirement
//! moved just so far, then a rule relaxed (pre-releases, a yanked version, the cutoff, Python), then a constraint dropped,
//! then overriding a requirement of another package, then dropping a requirement of the workspace.

use std::cell::Cell;
use std::time::{Duration, Instant};

use backlot_core::{Context, Timestamp};
use backlot_pep::{MarkerEnv, Requirement, Specifiers, Version};

use crate::candidates::CandidateCache;
use crate::explain::{By, Facts};
use crate::problem::{PrereleasePolicy, Problem, Resolution};
use crate::provider::Provider;
use crate::ranked::Exclusion;
use crate::resolve::Search;

/// How many searches are made at most.
const TRIES: u32 = 48;
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many proposals are made at most.
const PROPOSALS: usize = 3;

/// Tries changes of a problem.
struct Trial<'a> {
    facts: &'a Facts,
    candidates: &'a CandidateCache<'a>,
    problem: &'a Problem<'a>,
    context: &'a Context,
    deadline: Instant,
    tries: Cell<u32>,
}

/// Sentences in the imperative, the smallest change first; none where nothing was found.
pub(crate) fn advise(facts: &Facts, provider: &Provider<'_>, context: &Context) -> Vec<String> {
    let trial = Trial {
        facts,
        candidates: provider.candidates,
        problem: provider.problem,
        context,
        deadline: Instant::now() + PATIENCE,
        tries: Cell::new(0),
    };
    let fixed = facts
        .clashes
        .iter()
        .find(|package| trial.problem.fixed.contains_key(*package));
    if let Some(package) = fixed {
        let bump = format!("bump the output `{package}` to a version that fits, or move it out of outputs");
        return vec![bump];
    }
    let mut proposals = trial.named_urls();
    proposals.extend(trial.moved_bounds());
    proposals.extend(trial.relaxed_rules());
    proposals.extend(trial.dropped_constraints());
    // Overriding another package, or dropping a requirement, is suggested only if nothing smaller helps.
    if proposals.is_empty() {
        proposals = trial.overridden();
    }
    if proposals.is_empty() {
        proposals = trial.given_up();
    }
    proposals.truncate(PROPOSALS);
    proposals
}

impl Trial<'_> {
    fn attempt(
        &self,
        problem: &Problem<'_>,
        lowest: Option<&backlot_pep::PackageName>,
    ) -> Option<Resolution> {
        let tries = self.tries.get() + 1;
        self.tries.set(tries);
        if tries > TRIES || Instant::now() > self.deadline {
            return None;
        }
        let search = Search {
            candidates: self.candidates,
            problem,
            context: self.context,
            deadline: Some(self.deadline),
            lowest,
        };
        search.run().1.ok()
    }

    /// The problem with the root requirement at an index replaced, or left out.
    fn with_root(&self, index: usize, by: Option<Requirement>) -> Problem<'_> {
        let mut problem = self.problem.clone();
        match by {
            Some(requirement) => problem.requirements[index].requirement = requirement,
            None => {
                problem.requirements.remove(index);
            }
        }
        problem
    }

    /// The root requirements that the conflict is about, by index.
    fn roots(&self) -> impl Iterator<Item = (usize, &Requirement)> {
        let involved = |requirement: &Requirement| {
            self.facts
                .asks
                .keys()
                .any(|ask| matches!(ask.by, By::Root(_)) && &ask.wanted.package == requirement.name())
        };
        self.problem
            .requirements
            .iter()
            .enumerate()
            .map(|(index, root)| (index, &root.requirement))
            .filter(move |(_, r)| involved(r) && !self.problem.fixed.contains_key(r.name()))
    }

    /// A URL that another package needs, required by the root. Not tried: that would contact a host that is not configured.
    fn named_urls(&self) -> Vec<String> {
        let good = self.facts.foreign.keys().filter(|(_, foreign)| foreign.good);
        let name = |(_, foreign): &(crate::provider::Node, crate::urls::Foreign)| {
            format!("require `{}` in the workspace, if you trust it", foreign.needed)
        };
        good.map(name).collect()
    }

    /// One bound of one requirement moved just so far that there is a solution.
    fn moved_bounds(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, requirement) in self.roots() {
            let range = requirement.specifiers();
            if requirement.url().is_some() {
                continue;
            }
            if let Some(text) = self.move_one_bound(index, requirement, &range) {
                found.push(text);
            } else if range.len() > 1 {
                found.extend(self.move_all_bounds(index, requirement));
            }
        }
        found
    }

    fn move_one_bound(&self, index: usize, requirement: &Requirement, range: &Specifiers) -> Option<String> {
        for bound in 0..range.len() {
            let open = self.with_root(index, Some(requirement.with_range(&range.without(bound))));
            // From above come down, from below go up: the nearest version that does it.
            let lowest = range.is_upper_bound(bound).then(|| requirement.name());
            let Some(version) = version_of(self.attempt(&open, lowest), requirement) else {
                continue;
            };
            let moved = requirement.with_range(&range.moved(bound, &version));
            if let Some(text) = self.prove(index, requirement, &moved) {
                return Some(text);
            }
        }
        None
    }

    fn move_all_bounds(&self, index: usize, requirement: &Requirement) -> Option<String> {
        let open = self.with_root(index, Some(requirement.with_range(&Specifiers::any())));
        let version = version_of(self.attempt(&open, None), requirement)?;
        let pinned = requirement.with_range(&Specifiers::exactly(&version));
        self.prove(index, requirement, &pinned)
    }

    fn prove(&self, index: usize, old: &Requirement, new: &Requirement) -> Option<String> {
        let problem = self.with_root(index, Some(new.clone()));
        let version = version_of(self.attempt(&problem, None), old)?;
        let name = old.written_name();
        Some(format!(
            "ask for `{new}` instead of `{old}`: that chooses {name} {version}"
        ))
    }

    /// A rule of choosing relaxed, where a version falls by it.
    fn relaxed_rules(&self) -> Vec<String> {
        let mut found = Vec::new();
        let barred = |bar: fn(&Exclusion) -> bool| self.facts.barred.keys().any(|(_, b)| bar(b));
        if barred(|bar| *bar == Exclusion::Prerelease) {
            let mut problem = self.problem.clone();
            problem.prereleases = PrereleasePolicy::IfNecessary;
            problem.prereleases_of.clear();
            if self.attempt(&problem, None).is_some() {
                found.push("admit pre-releases".to_owned());
            }
        }
        found.extend(self.yanked());
        if barred(|bar| matches!(bar, Exclusion::TooNew(_) | Exclusion::NoTime(_))) {
            found.extend(self.later_cutoff());
        }
        found.extend(self.newer_python());
        found
    }

    fn yanked(&self) -> Option<String> {
        for ((package, bar), versions) in &self.facts.barred {
            let Exclusion::Yanked(_) = bar else { continue };
            for version in versions.iter().rev() {
                let pin = Requirement::parse(&self.facts.spelled(package))
                    .ok()?
                    .with_range(&Specifiers::exactly(version));
                let mut problem = self.problem.clone();
                problem.requirements.push(crate::RootRequirement {
                    requirement: pin.clone(),
                    asked_by: String::new(),
                });
                if self.attempt(&problem, None).is_some() {
                    return Some(format!("require the yanked `{pin}` exactly, if you must use it"));
                }
            }
        }
        None
    }

    fn later_cutoff(&self) -> Option<String> {
        let mut problem = self.problem.clone();
        problem.exclude_newer = None;
        let resolution = self.attempt(&problem, None)?;
        let times: Option<Vec<Timestamp>> = resolution
            .packages
            .iter()
            .filter(|p| !self.problem.fixed.contains_key(&p.name))
            .map(|p| {
                let stock = self.candidates.stock(&p.name, self.problem);
                let chosen = stock
                    .files
                    .iter()
                    .find(|c| (c.source, c.file) == (p.source, p.file) && c.version == p.version);
                chosen.and_then(|c| c.published)
            })
            .collect();
        match times.and_then(|times| times.into_iter().max()) {
            // Up to the next full second, as printed.
            Some(latest) => {
                let latest = Timestamp(latest.0.div_ceil(1000) * 1000);
                Some(format!(
                    "allow releases up to {latest} (`--exclude-newer {latest}`)"
                ))
            }
            None => Some("omit `--exclude-newer`: not all releases have a publication date".to_owned()),
        }
    }

    fn newer_python(&self) -> Option<String> {
        let ranges = self.facts.barred.keys().filter_map(|(_, bar)| match bar {
            Exclusion::Python(range) => Specifiers::parse_repaired(range).ok()?.lower_bound(),
            _ => None,
        });
        let mut pythons: Vec<Version> = ranges.collect();
        pythons.sort();
        pythons.dedup();
        for python in pythons.iter().take(4) {
            let Ok(env) = MarkerEnv::for_python(&python.to_string()) else {
                continue;
            };
            let mut problem = self.problem.clone();
            problem.env = &env;
            if self.attempt(&problem, None).is_some() {
                return Some(format!(
                    "use Python {python} or newer (`python = \"{python}\"` in backlot.toml)"
                ));
            }
        }
        None
    }

    fn dropped_constraints(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, constraint) in self.problem.constraints.iter().enumerate() {
            let involved = self.facts.barred.keys().any(|(package, bar)| {
                package == constraint.name() && matches!(bar, Exclusion::Constraint(_))
            });
            if !involved {
                continue;
            }
            let mut problem = self.problem.clone();
            problem.constraints.remove(index);
            let Some(resolution) = self.attempt(&problem, None) else {
                continue;
            };
            let chosen = version_of(Some(resolution), constraint);
            let chosen = chosen.map(|v| format!(": that chooses {} {v}", constraint.written_name()));
            found.push(format!(
                "drop the constraint `{constraint}`{}",
                chosen.unwrap_or_default()
            ));
        }
        found
    }

    /// The requirement of another package on the conflicting one, replaced.
    fn overridden(&self) -> Vec<String> {
        let mut found = Vec::new();
        for package in &self.facts.clashes {
            let others = self
                .facts
                .asks
                .keys()
                .any(|ask| matches!(ask.by, By::Node(_)) && &ask.wanted.package == package);
            if !others || self.problem.overrides.iter().any(|o| o.name() == package) {
                continue;
            }
            // The requirements of the root, then those of one of the others: the first without which everything else has a solution.
            let wish = self.roots().map(|(_, r)| r.clone()).find(|r| r.name() == package);
            let asks = self
                .facts
                .asks
                .keys()
                .filter(|ask| &ask.wanted.package == package);
            let others = asks.filter_map(|ask| Requirement::parse(&ask.text).ok());
            for replacement in wish
                .into_iter()
                .chain(others)
                .filter(|r| !r.specifiers().is_any() || r.url().is_some())
            {
                let mut problem = self.problem.clone();
                problem.overrides.push(replacement.clone());
                if let Some(version) = version_of(self.attempt(&problem, None), &replacement) {
                    let name = replacement.written_name();
                    found.push(format!(
                        "override the requirements on {name} (`--override \"{}\"`), if you know that it works: that chooses {name} {version}",
                        replacement.told()
                    ));
                    break;
                }
            }
        }
        found
    }

    fn given_up(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, requirement) in self.roots() {
            if self.attempt(&self.with_root(index, None), None).is_some() {
                found.push(format!("do without `{}`", requirement.told()));
            }
        }
        found
    }
}

fn version_of(resolution: Option<Resolution>, requirement: &Requirement) -> Option<Version> {
    let packages = resolution?.packages;
    packages
        .into_iter()
        .find(|p| &p.name == requirement.name())
        .map(|p| p.version)
}
