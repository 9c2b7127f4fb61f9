//! Installing: choose releases, fetch and unpack their wheels, and make `inputs/` hold exactly those.
//!
//! Order, so that a kill anywhere is harmless: wheels are fetched and proven and the environment is made ready beside, then
//! the wishes and the lock are written, then the environment is swapped. A rerun continues from wherever it stopped; an
//! install that fails changes nothing.

use std::path::PathBuf;

use backlot_core::options;
use backlot_pep::{PackageName, Requirement};
use serde::{Deserialize, Serialize};

use crate::environment::EnvironmentEdit;
use crate::environment::labelled::split_label;
use crate::environment::lockfile::Lock;
use crate::environment::plan::{EnvironmentPlan, PackageChange};
use crate::environment::resolve_request::{ResolveRequest, Upgrade};
use crate::error::{Error, Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::Opened;
use crate::workspace::rules::{RuleChanges, Rules};

options! {
    /// How to install.
    #[derive(Default)]
    pub struct InstallRequest {
        /// Prefer this repo to all others.
        pub from: Option<String>,
        /// Which choices of the lock may move.
        pub upgrade: Upgrade,
        /// Keep all other versions of the lock; if that is impossible, it is a conflict.
        pub only: bool,
        /// Admit pre-releases.
        pub prereleases: bool,
        /// Changes of the rules of choosing; constraints, overrides and the cutoff are kept in `backlot.toml`.
        pub rules: RuleChanges,
        /// Use the lock unchanged, or fail if it does not fit.
        pub locked: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

impl InstallRequest {
    /// Whether to only install what is locked.
    fn asks_nothing_new(&self) -> bool {
        self.from.is_none() && self.upgrade == Upgrade::None && !self.prereleases && self.rules.is_empty()
    }
}

/// The result of an install, uninstall or lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstallReport {
    /// The changes to the environment, sorted by package.
    pub changes: Vec<PackageChange>,
    /// How many packages were right already.
    pub unchanged: usize,
    /// Whether the lock changed.
    pub lock_changed: bool,
    /// The environment, relative to the workspace.
    pub environment: String,
    /// The interpreter of the environment; `None` for a plain folder tree.
    pub python: Option<PathBuf>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn install(
        &mut self,
        requirements: &[String],
        options: &InstallRequest,
    ) -> Result<InstallReport> {
        self.change(options.dry_run, |workspace| {
            workspace.install_now(requirements, options)
        })
    }

    pub(crate) fn install_now(
        &mut self,
        requirements: &[String],
        options: &InstallRequest,
    ) -> Result<InstallReport> {
        // First, because it decides what Python everything else is chosen for.
        let replaces = options.upgrade == Upgrade::All && !options.locked;
        self.sync_external(options.locked, replaces, options.dry_run)?;
        let outputs = self.shown_outputs()?;
        if requirements.is_empty()
            && outputs.is_empty()
            && options.asks_nothing_new()
            && let Some(unchanged) = self.known_to_be_installed()?
            && let Some(lock) = Lock::load(self.root())?
            // The output of an editable is gone where there are none at all.
            && lock.packages.iter().all(|package| package.editable.is_none())
        {
            self.warn_used(&lock, false)?;
            let plan = EnvironmentPlan {
                unchanged,
                ..EnvironmentPlan::default()
            };
            return self.report(&plan, false, options.dry_run);
        }
        let mut inputs = self.config().inputs.clone();
        let mut upgrade = options.upgrade.clone();
        for text in requirements {
            let (text, label) = split_label(text).map_or((text.as_str(), None), |(t, l)| (t, Some(l)));
            let requirement = self.parse_requirement(text)?;
            self.config.follow(requirement.name(), label)?;
            refuse_replacing_editable(&requirement, &outputs)?;
            if upgrade == Upgrade::None {
                upgrade = Upgrade::Packages(Vec::new());
            }
            if let Upgrade::Packages(names) = &mut upgrade {
                names.push(requirement.name().clone());
            }
            put(&mut inputs, requirement);
        }
        let old = if replaces {
            Lock::load_to_replace(self.root(), self.context())?
        } else {
            Lock::load(self.root())?
        };
        let rules = self.changed_rules(&options.rules, &mut upgrade)?;
        let lock = if options.locked {
            self.check_labels_locked(old.as_ref())?;
            Self::locked_as_is(old.as_ref(), &inputs)?
        } else {
            let wish = ResolveRequest {
                inputs: inputs.clone(),
                prefer: options.from.clone(),
                forwards: options.upgrade != Upgrade::None,
                upgrade,
                prereleases: options.prereleases,
                rules: Some(rules.clone()),
                within_reach: false,
                frozen: options.only,
            };
            self.choose(&wish, &outputs, old.as_ref())?
        };
        if !options.dry_run {
            self.config.set_rules(&rules);
        }
        self.apply_lock(inputs, old.as_ref(), &lock, &outputs, options.dry_run)
    }

    pub(crate) fn uninstall(&mut self, names: &[String], dry_run: bool) -> Result<InstallReport> {
        self.change(dry_run, |workspace| workspace.uninstall_now(names, dry_run))
    }

    fn uninstall_now(&mut self, names: &[String], dry_run: bool) -> Result<InstallReport> {
        let outputs = self.shown_outputs()?;
        let old = Lock::load(self.root())?;
        let mut inputs = self.config().inputs.clone();
        for name in names {
            let name = PackageName::of_asset(name)?;
            let asked = inputs.iter().any(|r| r.name() == &name);
            if !asked {
                let needed_by = old.as_ref().map(|l| dependents(l, &name)).unwrap_or_default();
                return Err(match old.as_ref().and_then(|l| l.package(&name)) {
                    Some(package) if package.editable.is_some() => Self::editable_error(&name, &outputs),
                    Some(_) => WorkspaceError::StillNeeded {
                        name,
                        by: needed_by.join(", "),
                    }
                    .into(),
                    None => Lock::lacks(old.as_ref(), name).into(),
                });
            }
            inputs.retain(|r| r.name() != &name);
        }
        let wish = ResolveRequest {
            inputs: inputs.clone(),
            ..ResolveRequest::default()
        };
        let lock = self.choose(&wish, &outputs, old.as_ref())?;
        self.apply_lock(inputs, old.as_ref(), &lock, &outputs, dry_run)
    }

    fn editable_error(name: &PackageName, outputs: &[Output]) -> Error {
        match outputs.iter().find(|o| &o.package() == name) {
            Some(output) => editable_in_the_way(output, name.to_string()).into(),
            None => Lock::lacks(None, name.clone()).into(),
        }
    }

    /// The rules with changes. Another preference of versions means to choose anew.
    fn changed_rules(&self, changes: &RuleChanges, upgrade: &mut Upgrade) -> Result<Rules> {
        if changes.resolution.is_some() {
            *upgrade = Upgrade::All;
        }
        self.config().rules.changed(changes, self.root())
    }

    pub(crate) fn write_lock(&mut self, request: &InstallRequest) -> Result<(Lock, bool)> {
        self.change(request.dry_run, |workspace| workspace.lock_now(request))
    }

    fn lock_now(&mut self, request: &InstallRequest) -> Result<(Lock, bool)> {
        let mut upgrade = request.upgrade.clone();
        let rules = self.changed_rules(&request.rules, &mut upgrade)?;
        let outputs = self.shown_outputs()?;
        let old = Lock::load_to_replace(self.root(), self.context())?;
        let wish = ResolveRequest {
            inputs: self.config().inputs.clone(),
            forwards: upgrade != Upgrade::None,
            upgrade,
            prefer: request.from.clone(),
            prereleases: request.prereleases,
            rules: Some(rules.clone()),
            within_reach: false,
            frozen: false,
        };
        let lock = self.choose(&wish, &outputs, old.as_ref())?;
        let changed = old.as_ref() != Some(&lock);
        self.warn_used(&lock, true)?;
        if !request.dry_run {
            self.config.set_rules(&rules);
            self.config.save()?;
            if changed {
                lock.save(self.root())?;
            }
        }
        Ok((lock, changed))
    }

    pub(crate) fn locked_as_is(lock: Option<&Lock>, inputs: &[Requirement]) -> Result<Lock> {
        let stale = |reason: String| Error::from(WorkspaceError::StaleLock { reason });
        let lock = lock.ok_or_else(|| stale("backlot.lock does not exist".to_owned()))?;
        let mut asked: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        asked.sort();
        if asked != lock.requirements {
            return Err(stale("the requirements changed since it was written".to_owned()));
        }
        Ok(lock.clone())
    }

    /// An error if the lock was chosen by other labels than those that are followed.
    fn check_labels_locked(&self, lock: Option<&Lock>) -> Result<()> {
        for package in lock.into_iter().flat_map(|lock| &lock.packages) {
            let followed = self.config().policies.label_of(&package.name);
            if package.repo.is_some() && package.label.as_ref() != followed {
                let reason = format!(
                    "`{}` follows a different label since it was written",
                    package.name
                );
                return Err(WorkspaceError::StaleLock { reason }.into());
            }
        }
        Ok(())
    }

    /// Fetch, write down, swap in.
    pub(crate) fn apply_lock(
        &mut self,
        inputs: Vec<Requirement>,
        old: Option<&Lock>,
        lock: &Lock,
        outputs: &[Output],
        dry_run: bool,
    ) -> Result<InstallReport> {
        let plan = self.plan_environment(old, lock, outputs)?;
        let report = self.report(&plan, old != Some(lock), dry_run)?;
        self.warn_used(lock, true)?;
        if dry_run {
            return Ok(report);
        }
        let wheels = self.unpack_wheels(&plan)?;
        // Made ready before anything is written down, so that what cannot be installed is not asked for either.
        let edit = self.prepare(&plan, &wheels, outputs)?;
        let mut config = self.config.clone();
        if config.inputs != inputs {
            config.set_inputs(inputs);
        }
        config.save()?;
        lock.save(self.root())?;
        edit.map_or(Ok(()), EnvironmentEdit::commit)?;
        self.config = config;
        self.remember_installed(lock.packages.len())?;
        Ok(report)
    }

    pub(crate) fn report(
        &self,
        plan: &EnvironmentPlan,
        lock_changed: bool,
        dry_run: bool,
    ) -> Result<InstallReport> {
        Ok(InstallReport {
            changes: plan.changes(),
            unchanged: plan.unchanged,
            lock_changed,
            environment: self.display_path(&self.inputs_dir()),
            python: self.interpreter()?.map(|i| i.executable),
            dry_run,
        })
    }
}

fn put(inputs: &mut Vec<Requirement>, requirement: Requirement) {
    match inputs.iter_mut().find(|r| r.name() == requirement.name()) {
        Some(old) => *old = requirement,
        None => inputs.push(requirement),
    }
}

fn dependents(lock: &Lock, name: &PackageName) -> Vec<String> {
    lock.packages
        .iter()
        .filter(|p| p.needs.contains(name))
        .map(|p| p.name.to_string())
        .collect()
}

pub(crate) fn editable_in_the_way(output: &Output, requirement: String) -> WorkspaceError {
    WorkspaceError::EditableInTheWay {
        name: output.package(),
        version: output.project.metadata.version.clone(),
        requirement,
        path: output.project.root.clone(),
    }
}

fn refuse_replacing_editable(requirement: &Requirement, outputs: &[Output]) -> Result<()> {
    match outputs.iter().find(|o| &o.package() == requirement.name()) {
        Some(output)
            if requirement.url().is_some()
                || !requirement
                    .specifiers()
                    .contains(&output.project.metadata.version) =>
        {
            Err(editable_in_the_way(output, requirement.to_string()).into())
        }
        _ => Ok(()),
    }
}
