//! Repairing `inputs/`: damaged packages are reinstalled, the rest is unchanged.
//!
//! Invariant: what is put back comes from bytes that were proven again, so damage that reached the cache through a hard link
//! is not put back with it. Damaged unpacked wheels leave the cache, also those that nothing here uses. Deliberately absent: tracked files, which `pull` brings.

use std::collections::BTreeSet;

use backlot_core::file;
use backlot_pep::PackageName;

use crate::environment::install::InstallReport;
use crate::environment::lockfile::Lock;
use crate::environment::plan::EnvironmentPlan;
use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;

impl Opened {
    pub(crate) fn repair_inputs(&mut self, dry_run: bool) -> Result<InstallReport> {
        self.change(dry_run, |workspace| workspace.repair_now(dry_run))
    }

    fn repair_now(&self, dry_run: bool) -> Result<InstallReport> {
        if !dry_run {
            self.remove_damaged_wheels()?;
        }
        let outputs = self.shown_outputs()?;
        let lock = Lock::load(self.root())?;
        if lock.is_none() && outputs.is_empty() && self.config().inputs.is_empty() {
            // Nothing was ever installed.
            return self.report(&EnvironmentPlan::default(), false, dry_run);
        }
        let lock = lock.ok_or_else(|| WorkspaceError::StaleLock {
            reason: "backlot.lock does not exist".to_owned(),
        })?;
        self.warn_used(&lock, true)?;
        let mut plan = self.plan_environment(Some(&lock), &lock, &outputs)?;
        let mut damaged = BTreeSet::new();
        for package in self.damaged_inputs()? {
            damaged.extend(PackageName::parse(&package.package).ok());
        }
        if let Some(environment) = self.environment()? {
            for stray in backlot_wheel::strays(&environment.site_packages())? {
                let name = stray.file_name().unwrap_or_default().to_string_lossy();
                plan.strays.push(name.into_owned());
            }
        }
        for package in &lock.packages {
            let planned = plan.put.iter().any(|(put, _)| put.name == package.name);
            if damaged.contains(&package.name) && !planned {
                plan.unchanged -= 1;
                plan.put.push((package.clone(), Some(package.version.clone())));
            }
        }
        let report = self.report(&plan, false, dry_run)?;
        if !dry_run {
            for (package, _) in &plan.put {
                let Some(sha256) = package.sha256 else { continue };
                let folder = self.cache_dir().join("wheels").join(sha256.to_hex());
                if folder.is_dir() && !backlot_wheel::verify_unpacked(&folder)? {
                    file::remove(&folder)?;
                }
            }
            let wheels = self.unpack_wheels(&plan)?;
            if let Some(edit) = self.prepare(&plan, &wheels, &outputs)? {
                edit.commit()?;
            }
        }
        Ok(report)
    }
}
