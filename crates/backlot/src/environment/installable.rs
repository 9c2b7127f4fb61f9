//! Whether a release about to be required, published or copied can be installed at all.
//!
//! Invariant: a release is for ever, so what nobody could install is refused before it is made; a person may insist, with a
//! reason that is recorded. The judgement is the solver's, the one that an install makes. Deliberately absent: groups other
//! than the one that is edited.

use backlot_core::{Class, Diagnostic as _};
use backlot_pep::{PackageName, Requirement};

use crate::environment::resolve_request::ResolveRequest;
use crate::error::{Error, Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::Opened;

impl Opened {
    /// Refuse requirements that an output is about to get if nothing satisfies them together with those it has.
    /// `in_group`: they are asked for only with a group.
    pub(crate) fn check_inputs(&self, output: &Output, added: &[Requirement], in_group: bool) -> Result<()> {
        let mut changed = output.clone();
        let requires = &mut changed.project.metadata.requires_dist;
        let mut wish = ResolveRequest::default();
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
            let reason = format!("it needs Python {range}, but this workspace has {}", env.python());
            return self.refuse_uninstallable(what, repo, reason, force);
        }
        if metadata.requires_dist.is_empty() {
            return Ok(());
        }
        let wish = ResolveRequest {
            prefer: Some(repo.to_owned()),
            within_reach: true,
            ..ResolveRequest::default()
        };
        match self.choose(&wish, std::slice::from_ref(output), None) {
            Ok(_) => Ok(()),
            Err(Error::Resolve(error)) if is_refusal(&error) => {
                self.refuse_uninstallable(what, repo, error.to_string(), force)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn refuse_uninstallable(
        &self,
        what: String,
        repo: &str,
        reason: String,
        force: bool,
    ) -> Result<()> {
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

/// Whether an error of the solver means that there is no solution.
pub(crate) fn is_refusal(error: &backlot_resolve::Error) -> bool {
    matches!(error.class(), Class::Conflict | Class::NotFound)
}
