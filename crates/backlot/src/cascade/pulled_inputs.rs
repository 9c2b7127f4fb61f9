//! The inputs of an output brought up to date before it is published.
//!
//! Invariant: only what the output's content is made from moves, as far as requirements and rules of the workspace admit. Deliberately absent: the publish.

use std::collections::BTreeSet;

use backlot_pep::PackageName;

use crate::environment::install::{InstallReport, InstallRequest};
use crate::environment::lockfile::Lock;
use crate::environment::resolve_request::Upgrade;
use crate::error::Result;
use crate::project::build_record::cascade_settings;
use crate::workspace::Opened;

impl Opened {
    /// Update the inputs of an output, and what they need in turn. What is installed beside stays.
    pub(crate) fn pull_inputs(&mut self, asset: &str, dry_run: bool) -> Result<InstallReport> {
        let output = self.output(asset)?;
        let settings = cascade_settings(&output)?;
        let groups: Vec<_> = settings.generative.iter().cloned().collect();
        let env = self.marker_env()?;
        let requires = output.project.metadata.requires_dist.iter();
        let mut pending: Vec<PackageName> = requires
            .filter(|requirement| requirement.applies(&env, &groups))
            .map(|requirement| requirement.name().clone())
            .collect();
        let lock = Lock::load(self.root())?;
        let mut names: BTreeSet<PackageName> = BTreeSet::new();
        while let Some(name) = pending.pop() {
            if names.insert(name.clone())
                && let Some(package) = lock.as_ref().and_then(|lock| lock.package(&name))
            {
                pending.extend(package.needs.iter().cloned());
            }
        }
        let request = InstallRequest {
            upgrade: Upgrade::Packages(names.into_iter().collect()),
            dry_run,
            ..InstallRequest::default()
        };
        let mut report = self.install(&[], &request)?;
        // The output itself is shown with its version, too.
        report.changes.retain(|change| change.editable.is_none());
        Ok(report)
    }

    /// Whether an output has stages, which have to run again when its inputs have moved.
    pub(crate) fn output_has_stages(&self, asset: &str) -> Result<bool> {
        Ok(Self::has_stages(&self.output(asset)?))
    }
}
