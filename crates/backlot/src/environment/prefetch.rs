//! Reading ahead, so that solving does not wait for one answer at a time of a repo far away, nor reads with one core alone
//! from one that is near.
//!
//! Breadth first from what is asked for: all pages of a level at once, then the metadata of the releases that will be looked
//! at first, which name the next level. Invariant: it changes what is known early, never what is chosen. What fails here is
//! the solver's to meet, if it needs it at all; only a server that does not answer ends it. Deliberately absent: guessing
//! beyond the newest release that fits.

use std::collections::{BTreeMap, BTreeSet};

use backlot_pep::{PackageName, Requirement};
use backlot_repo::ReleaseFile;
use backlot_resolve::Problem;
use rayon::prelude::*;

use crate::environment::candidate_sources::CandidateSources;
use crate::environment::lockfile::LockedPackage;
use crate::error::Result;
use crate::workspace::Opened;

impl CandidateSources<'_> {
    /// Read what resolving a request will need.
    pub(crate) fn prefetch(&self, problem: &Problem<'_>) -> Result<()> {
        let mut level: Vec<Requirement> = problem
            .requirements
            .iter()
            .map(|r| r.requirement.clone())
            .collect();
        let mut seen = BTreeSet::new();
        while !level.is_empty() {
            self.context.check()?;
            level.retain(|r| seen.insert((r.name().clone(), r.groups())));
            let (ours, theirs): (Vec<_>, Vec<_>) = level.drain(..).partition(|r| self.is_own(r.name()));
            let names: BTreeSet<PackageName> = theirs.iter().map(|r| r.name().clone()).collect();
            let names: Vec<PackageName> = names.into_iter().collect();
            self.prefetch_pages(names, problem)?;
            let likely: Vec<(usize, ReleaseFile, Requirement)> = theirs
                .into_iter()
                .filter_map(|r| self.likely(&r, problem).map(|(rank, release)| (rank, release, r)))
                .collect();
            self.prefetch_metadata(&likely)?;
            let mut needs = |metadata: &backlot_wheel::Metadata, requirement: &Requirement| {
                let groups = requirement.groups();
                let all = self.dependencies_of(metadata).map(|all| all.requires);
                level.extend(
                    all.into_iter()
                        .flatten()
                        .filter(|r| r.applies(problem.env, &groups)),
                );
            };
            for requirement in &ours {
                if let Ok(Some(metadata)) = self.own_metadata(requirement.name()) {
                    needs(metadata, requirement);
                }
            }
            for (rank, release, requirement) in &likely {
                if let Ok(metadata) = self.metadata(*rank, release) {
                    needs(&metadata, requirement);
                }
            }
        }
        Ok(())
    }

    /// Read the pages of packages wherever the solver would look: of a public index only what nobody nearer has.
    fn prefetch_pages(&self, names: Vec<PackageName>, problem: &Problem<'_>) -> Result<()> {
        let mut names = names;
        let mut found = BTreeSet::new();
        for group in groups(problem) {
            names.retain(|name| !found.contains(name));
            for rank in group {
                let may_ask = |n: &&PackageName| problem.pins.get(*n).is_none_or(|pin| *pin == rank);
                let asked: Vec<PackageName> = names.iter().filter(may_ask).cloned().collect();
                self.repos[rank].1.prefetch(&asked)?;
                self.take_all(rank, &asked);
                found.extend(
                    asked
                        .into_iter()
                        .filter(|n| self.releases_in(n, rank).is_ok_and(|r| !r.is_empty())),
                );
            }
        }
        Ok(())
    }

    /// Read packages of the repo of a rank, on all cores.
    fn take_all(&self, rank: usize, names: &[PackageName]) {
        let (repo, context) = (self.repo(rank).1, self.context);
        let missing: Vec<&PackageName> = names.iter().filter(|name| !self.knows(name, rank)).collect();
        let look = |name: &PackageName| Some((name.clone(), repo.stamped_listing(name, context).ok()?));
        let all = || missing.into_par_iter().filter_map(look).collect();
        let found: Vec<_> = context.pool().install(all);
        for (name, (listing, stamp)) in found {
            self.take((name, rank), listing, stamp);
        }
    }

    fn prefetch_metadata(&self, likely: &[(usize, ReleaseFile, Requirement)]) -> Result<()> {
        for (rank, (_, repo)) in self.repos.iter().enumerate() {
            let of_this: Vec<&ReleaseFile> = likely.iter().filter(|l| l.0 == rank).map(|l| &l.1).collect();
            repo.prefetch_metadata(&of_this)?;
            let wheels = of_this.into_par_iter().filter(|release| !release.is_sdist());
            let read = |release| Some((release, repo.metadata(release).ok()?));
            let found: Vec<_> = self.context.pool().install(|| wheels.filter_map(read).collect());
            for (release, metadata) in found {
                self.take_metadata(rank, release, metadata);
            }
        }
        Ok(())
    }

    /// The release that a solver will try first for a requirement.
    fn likely(&self, requirement: &Requirement, problem: &Problem<'_>) -> Option<(usize, ReleaseFile)> {
        let (name, specifiers) = (requirement.name(), requirement.specifiers());
        let preferred = problem.preferences.get(name);
        for rank in groups(problem).into_iter().flatten() {
            if problem.pins.get(name).is_some_and(|pin| *pin != rank) {
                continue;
            }
            let releases = self.releases_in(name, rank).ok()?;
            let fitting = releases.iter().filter(|r| {
                specifiers.contains(&r.version)
                    && r.yanked.is_none()
                    && self.fit(&r.name).is_some()
                    && !self.is_foreign_source(r, rank)
            });
            let best = fitting.max_by_key(|r| {
                (
                    Some(&r.version) == preferred,
                    !r.version.is_prerelease(),
                    &r.version,
                )
            });
            if let Some(best) = best {
                return Some((rank, best.clone()));
            }
        }
        None
    }
}

/// The ranks of the sources, those that combine together, the most trusted first.
fn groups(problem: &Problem<'_>) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (rank, source) in problem.sources.iter().enumerate() {
        groups.entry(source.trust).or_default().push(rank);
    }
    groups.into_values().collect()
}

impl Opened {
    /// Fetch the wheels of locked packages that lie far away, many at once. What fails is met again one by one.
    pub(crate) fn prefetch_wheels(&self, packages: &[&LockedPackage]) -> Result<()> {
        for entry in self.repos().into_iter().filter(|e| e.is_remote()) {
            let missing: Vec<&&LockedPackage> = packages
                .iter()
                .filter(|p| p.repo.as_deref() == Some(&entry.name))
                .filter(|p| {
                    p.sha256.is_some_and(|digest| {
                        let mut caches = self.caches();
                        !caches.any(|cache| cache.join("wheels").join(digest.to_hex()).is_dir())
                    })
                })
                .collect();
            if missing.is_empty() {
                continue;
            }
            let repo = self.open_repo(entry)?;
            repo.prefetch(&missing.iter().map(|p| p.name.clone()).collect::<Vec<_>>())?;
            let mut releases = Vec::new();
            for package in missing {
                let files = package.of_its_kind(&repo, self.context()).unwrap_or_default();
                let is_it = |r: &ReleaseFile| match r.sha256 {
                    Some(sha256) => package.sha256 == Some(sha256),
                    None => package.file() == Some(&r.file),
                };
                releases.extend(files.into_iter().filter(is_it));
            }
            repo.prefetch_wheels(&releases.iter().collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
