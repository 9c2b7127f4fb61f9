//! Whether what is about to be required, published or copied can be installed at all.
//!
//! Invariant: a release is for ever, so what nobody could install is refused before it is made; a person may insist, with a
//! reason that is recorded. The judgement is the solver's, the one that an install makes. Deliberately absent: groups other
//! than the one that is edited.

use std::sync::Arc;

use backlot_core::{Class, Coded as _, PackageName, Requirement};
use backlot_repo::{Listing, WholeRelease};
use backlot_resolve::{Problem, RootRequirement};

use crate::environment::pool::Pool;
use crate::environment::resolution::Wish;
use crate::error::{Error, Result, WorkspaceError};
use crate::project::outputs::Output;
use crate::releases::copy::{CopyOptions, Ends, PlannedRelease, TARGET};
use crate::workspace::Workspace;
use crate::workspace::config::RepoEntry;

impl Workspace {
    /// Refuse requirements that an output is about to get if nothing satisfies them together with those it has.
    /// `in_group`: they are asked for only with a group.
    pub(crate) fn check_inputs(&self, output: &Output, added: &[Requirement], in_group: bool) -> Result<()> {
        let mut changed = output.clone();
        let requires = &mut changed.project.metadata.requires_dist;
        let mut wish = Wish::default();
        if in_group {
            wish.inputs = added.to_vec();
        } else {
            requires.retain(|known| added.iter().all(|one| one.name() != known.name()));
            requires.extend(added.iter().cloned());
        }
        let outputs = self.with_needed(changed, added)?;
        self.choose(&wish, &outputs, None).map(drop)
    }

    /// An output with the other outputs that it needs: those that it does not need may be broken.
    fn with_needed(&self, output: Output, added: &[Requirement]) -> Result<Vec<Output>> {
        let (all, _) = self.read_outputs()?;
        let mut needed = vec![output];
        let mut next = 0;
        while let Some(one) = needed.get(next) {
            let own = one.project.metadata.requires_dist.iter();
            let names: Vec<PackageName> = own.chain(added).map(|r| r.name().clone()).collect();
            for other in &all {
                let package = other.package();
                if names.contains(&package) && needed.iter().all(|known| known.package() != package) {
                    needed.push(other.clone());
                }
            }
            next += 1;
        }
        Ok(needed)
    }

    /// Refuse an output that could not be installed from a repo and those beside it: outputs are nobody else's.
    pub(crate) fn check_installable(&self, output: &Output, repo: &str, force: bool) -> Result<()> {
        let metadata = &output.project.metadata;
        let what = format!("{} {}", output.name, metadata.version);
        let env = self.marker_env()?;
        let python = metadata.requires_python.as_ref();
        if let Some(range) = python.filter(|range| !range.starts_at_most_at(env.python())) {
            let reason = format!("it needs Python {range}, and this workspace has {}", env.python());
            return self.refuse_uninstallable(what, repo, reason, force);
        }
        if metadata.requires_dist.is_empty() {
            return Ok(());
        }
        let wish = Wish {
            prefer: Some(repo.to_owned()),
            within_reach: true,
            ..Wish::default()
        };
        match self.choose(&wish, std::slice::from_ref(output), None) {
            Ok(_) => Ok(()),
            Err(Error::Resolve(error)) if is_refusal(&error) => {
                self.refuse_uninstallable(what, repo, error.to_string(), force)
            }
            Err(error) => Err(error),
        }
    }

    /// The same of a release that is copied, with all that comes with it: as if the target had them.
    pub(crate) fn check_copied(
        &self,
        ends: &Ends,
        root: &WholeRelease,
        plan: &[PlannedRelease],
        options: &CopyOptions,
    ) -> Result<()> {
        let env = self.marker_env()?;
        let to = self.repo_entry(&options.to)?;
        let mut reach = self.reach_of(to);
        reach.retain(|entry| *entry == to || entry.name != options.from);
        let pool = Pool::of(self, reach, &[])?;
        let mut problem = Problem::new(&env);
        problem.sources = pool.sources();
        problem.requirements.push(RootRequirement {
            requirement: Requirement::parse(&format!("{}=={}", root.package, root.version))?,
            asked_by: "the copy".to_owned(),
        });
        for planned in plan {
            let release = &planned.release;
            let best = release.best();
            let mut metadata = ends.metadata(planned)?;
            // A URL is where it is, whatever repos have.
            metadata.requires_dist.retain(|need| need.url().is_none());
            pool.take_metadata(TARGET, best, metadata);
            let mut listing = Listing::default();
            if best.is_sdist() {
                listing.sources.push(best.clone());
            } else {
                listing.releases.push(best.clone());
            }
            pool.take((release.package.clone(), TARGET), Arc::new(listing), None);
            // Also a yanked one, which was chosen because something was built with it.
            problem
                .preferences
                .insert(release.package.clone(), release.version.clone());
        }
        match backlot_resolve::resolve(&pool, &problem, self.context()) {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) => {
                let what = format!("{} {}", root.package, root.version);
                self.refuse_uninstallable(what, &options.to, error.to_string(), options.force)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The repos that people are taken to have who have this one, it first: all of the workspace but the one that its work is
    /// published to, which others need not have. Who has one from outside the studio has no repo of the studio.
    pub(crate) fn reach_of<'w>(&'w self, to: &'w RepoEntry) -> Vec<&'w RepoEntry> {
        let work = self.config().publish_to.as_deref();
        let others = self.repos().into_iter().filter(|entry| {
            let is_known = to.public.is_none() && Some(entry.name.as_str()) != work;
            entry.name != to.name && (entry.public.is_some() || is_known)
        });
        std::iter::once(to).chain(others).collect()
    }

    fn refuse_uninstallable(&self, what: String, repo: &str, reason: String, force: bool) -> Result<()> {
        let error = WorkspaceError::CannotBeInstalled {
            what,
            repo: repo.to_owned(),
            reason,
        };
        if force {
            self.context().warn(error.code(), error.to_string());
            return Ok(());
        }
        Err(error.into())
    }
}

/// Whether an error of the solver says that there is no solution.
fn is_refusal(error: &backlot_resolve::Error) -> bool {
    matches!(error.class(), Class::Conflict | Class::NotFound)
}
