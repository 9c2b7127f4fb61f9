//! Installing: choose releases, fetch and unpack their wheels, and make `inputs/` hold exactly those.
//!
//! Order, so that a kill anywhere is harmless: wheels are fetched and proven and the environment is made ready beside, then
//! the wishes and the lock are written, then the environment is swapped. A rerun continues from wherever it stopped; an
//! install that fails changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, MarkerEnv, PackageName, RelPath, Requirement, file};
use backlot_dvc::{Out, Pointer};
use backlot_store::{Cache, Transfer};
use backlot_wheel::{InstalledDist, Metadata, Owners};
use serde::Serialize;

use crate::environment::EnvironmentEdit;
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::place::Placing;
use crate::environment::plan::{EnvironmentPlan, INSTALLER, PackageChange};
use crate::environment::resolution::{Upgrade, Wish};
use crate::error::{Error, Result, WorkspaceError};
use crate::project::outputs::Output;
use crate::workspace::Workspace;
use crate::workspace::rules::{RuleChanges, Rules};

/// How wheels are placed: their files are small and never edited, so a link is safe before a copy.
const WHEEL_LINKS: [LinkMode; 3] = [LinkMode::Reflink, LinkMode::Hardlink, LinkMode::Copy];

/// How to install.
#[derive(Clone, Debug, Default)]
pub struct InstallRequest {
    /// Prefer this repo to all others.
    pub from: Option<String>,
    /// Which choices of the lock may move.
    pub upgrade: Upgrade,
    /// Admit pre-releases.
    pub prereleases: bool,
    /// Changes of the rules of choosing; constraints, overrides and the cutoff are kept in `backlot.toml`.
    pub rules: RuleChanges,
    /// Take the lock as it is; fail where it does not fit.
    pub locked: bool,
    /// Change nothing.
    pub dry_run: bool,
}

impl InstallRequest {
    /// Whether it only wants what is locked to be installed.
    fn asks_nothing_new(&self) -> bool {
        self.from.is_none() && self.upgrade == Upgrade::None && !self.prereleases && self.rules.is_empty()
    }
}

/// What an install, uninstall or lock did.
#[derive(Clone, Debug, Serialize)]
pub struct InstallReport {
    /// What changed in the environment, sorted by package.
    pub changes: Vec<PackageChange>,
    /// How many packages were right already.
    pub unchanged: usize,
    /// Whether the lock changed.
    pub lock_changed: bool,
    /// The environment, relative to the workspace.
    pub environment: String,
    /// The interpreter of the environment; none in a plain tree.
    pub python: Option<PathBuf>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Workspace {
    /// Install requirements, and everything the workspace asked for before. With none given, bring `inputs/` in step.
    pub fn install(&mut self, requirements: &[String], options: &InstallRequest) -> Result<InstallReport> {
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
            let requirement = self.parse_requirement(text)?;
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
            Self::locked_as_is(old.as_ref(), &inputs)?
        } else {
            let wish = Wish {
                inputs: inputs.clone(),
                prefer: options.from.clone(),
                forwards: options.upgrade != Upgrade::None,
                upgrade,
                prereleases: options.prereleases,
                rules: Some(rules.clone()),
                within_reach: false,
            };
            self.choose(&wish, &outputs, old.as_ref())?
        };
        if !options.dry_run {
            self.config.set_rules(&rules);
        }
        self.realise(inputs, old.as_ref(), &lock, &outputs, options.dry_run)
    }

    /// Stop asking for packages; what nothing else needs leaves the environment.
    pub fn uninstall(&mut self, names: &[String], dry_run: bool) -> Result<InstallReport> {
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
                    None => WorkspaceError::NotInstalled { name }.into(),
                });
            }
            inputs.retain(|r| r.name() != &name);
        }
        let wish = Wish {
            inputs: inputs.clone(),
            ..Wish::default()
        };
        let lock = self.choose(&wish, &outputs, old.as_ref())?;
        self.realise(inputs, old.as_ref(), &lock, &outputs, dry_run)
    }

    fn editable_error(name: &PackageName, outputs: &[Output]) -> Error {
        match outputs.iter().find(|o| &o.package() == name) {
            Some(output) => editable_in_the_way(output, name.to_string()).into(),
            None => WorkspaceError::NotInstalled { name: name.clone() }.into(),
        }
    }

    /// The rules with changes. Another preference of versions means to choose anew.
    fn changed_rules(&self, changes: &RuleChanges, upgrade: &mut Upgrade) -> Result<Rules> {
        if changes.resolution.is_some() {
            *upgrade = Upgrade::All;
        }
        self.config().rules.changed(changes, self.root())
    }

    /// Choose again and write the lock; the environment stays.
    pub fn write_lock(&mut self, request: &InstallRequest) -> Result<(Lock, bool)> {
        self.change(request.dry_run, |workspace| workspace.lock_now(request))
    }

    fn lock_now(&mut self, request: &InstallRequest) -> Result<(Lock, bool)> {
        let mut upgrade = request.upgrade.clone();
        let rules = self.changed_rules(&request.rules, &mut upgrade)?;
        let outputs = self.shown_outputs()?;
        let old = Lock::load_to_replace(self.root(), self.context())?;
        let wish = Wish {
            inputs: self.config().inputs.clone(),
            forwards: upgrade != Upgrade::None,
            upgrade,
            prefer: request.from.clone(),
            prereleases: request.prereleases,
            rules: Some(rules.clone()),
            within_reach: false,
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
        let lock = lock.ok_or_else(|| stale("there is no backlot.lock".to_owned()))?;
        let mut asked: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        asked.sort();
        if asked != lock.requirements {
            return Err(stale("the requirements changed since it was written".to_owned()));
        }
        Ok(lock.clone())
    }

    /// Fetch, write down, swap in.
    pub(crate) fn realise(
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

    /// Show the outputs as they are now in the environment and the lock. The caller holds the lock.
    pub(crate) fn sync_editables(&self) -> Result<()> {
        let outputs = self.shown_outputs()?;
        let old = Lock::load(self.root())?;
        let env = self.marker_env()?;
        let mut packages: Vec<LockedPackage> = old.iter().flat_map(|l| l.packages.clone()).collect();
        packages.retain(|p| p.editable.is_none() && !outputs.iter().any(|o| o.package() == p.name));
        packages.extend(outputs.iter().map(|output| self.locked_output(output, &env)));
        let requirements = self.config().inputs.iter().map(ToString::to_string).collect();
        let lock = Lock::new(env.python_short(), requirements, packages).with_conda_of(old.as_ref());
        let plan = self.plan_environment(old.as_ref(), &lock, &outputs)?;
        let wheels = self.unpack_wheels(&plan)?;
        let edit = self.prepare(&plan, &wheels, &outputs)?;
        lock.save(self.root())?;
        edit.map_or(Ok(()), EnvironmentEdit::commit)
    }

    /// An output as a lock has it.
    pub(crate) fn locked_output(&self, output: &Output, env: &MarkerEnv) -> LockedPackage {
        let name = output.package();
        let requires = output.project.metadata.requires_dist.iter();
        let active = requires.filter(|r| r.applies(env, &[]));
        let mut needs: Vec<PackageName> = active.map(|r| r.name().clone()).collect();
        needs.sort();
        needs.dedup();
        LockedPackage {
            editable: Some(self.display_path(&output.project.root)),
            requested: self.config().inputs.iter().any(|r| r.name() == &name),
            needs,
            ..LockedPackage::new(name, output.project.metadata.version.clone())
        }
    }

    /// Compare the environment with a lock.
    pub(crate) fn plan_environment(
        &self,
        old: Option<&Lock>,
        lock: &Lock,
        outputs: &[Output],
    ) -> Result<EnvironmentPlan> {
        let current = match self.environment()? {
            Some(environment) => environment.installed()?,
            None => Vec::new(),
        };
        let rebuild = !self.environment_fits()?;
        let mut plan = EnvironmentPlan {
            rebuild,
            ..EnvironmentPlan::default()
        };
        let names: Vec<PackageName> = current.iter().map(|d| d.metadata.package()).collect();
        let by_name: HashMap<&PackageName, &InstalledDist> = names.iter().zip(&current).collect();
        for (dist, name) in current.iter().zip(&names) {
            let ours = dist.installer.as_deref() == Some(INSTALLER);
            match lock.package(name) {
                None if ours => plan.remove.push((name.clone(), dist.metadata.version.clone())),
                Some(package) if !ours && package.editable.is_none() && dist.editable.is_some() => {
                    return Err(foreign_editable(dist, package));
                }
                _ => {}
            }
        }
        // A change that was killed left the old and the new one.
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&PackageName> = names.iter().filter(|name| !seen.insert(*name)).collect();
        for package in &lock.packages {
            if let Some(path) = &package.editable
                && outputs.iter().all(|output| output.package() != package.name)
            {
                let reason = format!(
                    "it has {} as the output in `{path}`, which is not there",
                    package.name
                );
                return Err(WorkspaceError::StaleLock { reason }.into());
            }
            let dist = by_name.get(&package.name).copied();
            let from = dist.map(|d| d.metadata.version.clone());
            let right = dist.is_some_and(|d| is_right(d, package, old, outputs));
            if right && !rebuild && !twice.contains(&package.name) {
                plan.unchanged += 1;
            } else {
                plan.put.push((package.clone(), from));
            }
        }
        Ok(plan)
    }

    /// A private copy of the environment as the plan says, to be swapped in; `None` if nothing changes.
    pub(crate) fn prepare(
        &self,
        plan: &EnvironmentPlan,
        wheels: &BTreeMap<PackageName, PathBuf>,
        outputs: &[Output],
    ) -> Result<Option<EnvironmentEdit<'_>>> {
        if plan.is_empty() {
            return Ok(None);
        }
        let edit = self.edit_environment()?;
        let before = edit.environment.installed()?;
        let leaving: BTreeSet<&PackageName> = plan
            .remove
            .iter()
            .map(|(n, _)| n)
            .chain(plan.put.iter().map(|(p, _)| &p.name))
            .collect();
        let layout = &edit.environment.layout;
        let owners = if leaving.is_empty() {
            Owners::default()
        } else {
            let stays = before.iter().filter(|d| !leaving.contains(&d.metadata.package()));
            Owners::of(stays.map(|d| d.dist_info.as_path()))?
        };
        for stray in &plan.strays {
            file::remove(&edit.environment.site_packages().join(stray))?;
        }
        let mut old_files = BTreeMap::new();
        for dist in before.iter().filter(|d| leaving.contains(&d.metadata.package())) {
            old_files.insert(dist.metadata.package(), tracked_files(dist, &edit)?);
            backlot_wheel::uninstall(&dist.dist_info, layout, &owners, self.context())?;
        }
        // A collection of the cache spares what this workspace uses from now on.
        crate::workspace::local_cache::used::register_workspace(self.cache_dir(), self.root())?;
        let links = usable_links(wheels, &edit);
        let placing = Placing {
            layout,
            owners: &owners,
            links: &links,
        };
        self.place_all(plan, wheels, outputs, &placing)?;
        if !old_files.is_empty() {
            self.drop_stale_files(old_files, &edit)?;
        }
        Ok(Some(edit))
    }

    /// Remove pulled files of replaced releases that are not, byte for byte, files of the new ones: what lies beside a
    /// pointer is of its release, or absent.
    fn drop_stale_files(
        &self,
        old: BTreeMap<PackageName, BTreeMap<RelPath, Option<Pointer>>>,
        edit: &EnvironmentEdit<'_>,
    ) -> Result<()> {
        let new = edit.environment.installed()?;
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let recorded = crate::files::foreign::Recorded::of(&new)?;
        let site_packages = edit.environment.site_packages();
        let original = self.environment()?;
        let original = original.map_or_else(|| site_packages.clone(), |live| live.site_packages());
        for (package, pointers) in old {
            let now = match new.iter().find(|d| d.metadata.package() == package) {
                Some(dist) => tracked_files(dist, edit)?,
                None => BTreeMap::new(),
            };
            for (path, pointer) in pointers {
                let replacement = now.get(&path).and_then(Option::as_ref);
                if let Some(pointer) = &pointer
                    && replacement != Some(pointer)
                {
                    let folder_in = |root: &Path| {
                        path.parent()
                            .map_or_else(|| root.to_path_buf(), |parent| parent.to_path(root))
                    };
                    let folders = (&*folder_in(&site_packages), &*folder_in(&original));
                    if let Some(replacement) = replacement {
                        self.fetch_manifests(replacement, &cache)?;
                    }
                    let pointer = &recorded.without_recorded(pointer, path.parent().as_ref());
                    backlot_dvc::remove_stale(folders, pointer, replacement, &cache, &stat, self.context())?;
                }
            }
        }
        Ok(())
    }

    /// Bring the manifests of a pointer into the cache, if a remote has them: they tell which of the files that were
    /// pulled before are files of the new release too. Without them all are only placed again by the next pull.
    fn fetch_manifests(&self, pointer: &Pointer, cache: &Cache) -> Result<()> {
        let mut wanted = Vec::new();
        for id in pointer.outs.iter().filter_map(Out::id) {
            if id.tree && !cache.has(&id)? {
                wanted.push(Transfer::of(id));
            }
        }
        if !wanted.is_empty()
            && let Ok(entry) = self.remote_entry(None, "")
            && let Ok(remote) = self.open_remote(entry)
        {
            // A remote that does not answer now is the pull's to report.
            remote.pull(cache, &wanted, self.context()).ok();
        }
        Ok(())
    }
}

/// The ways to place wheels that work here.
fn usable_links(wheels: &BTreeMap<PackageName, PathBuf>, edit: &EnvironmentEdit<'_>) -> Vec<LinkMode> {
    let root = &edit.environment.layout.root;
    let sample = wheels.values().next().and_then(|folder| {
        let mut entries = fs_err::read_dir(folder).ok()?.filter_map(std::result::Result::ok);
        let dist_info = entries.find(|e| e.file_name().to_string_lossy().ends_with(".dist-info"))?;
        Some(dist_info.path().join("METADATA"))
    });
    let usable = sample.map(|sample| backlot_core::link::usable(&sample, root, &WHEEL_LINKS));
    usable
        .filter(|usable| !usable.is_empty())
        .unwrap_or_else(|| WHEEL_LINKS.to_vec())
}

/// The pointers of an installed release by their path in site-packages; `None` for one that cannot be read.
fn tracked_files(
    dist: &InstalledDist,
    edit: &EnvironmentEdit<'_>,
) -> Result<BTreeMap<RelPath, Option<Pointer>>> {
    let site_packages = edit.environment.site_packages();
    let mut found = BTreeMap::new();
    if dist.editable.is_some() {
        return Ok(found);
    }
    for path in dist.pointer_paths()? {
        let text = file::read_if_exists(&path.to_path(&site_packages))?;
        let pointer = text
            .and_then(|t| Pointer::parse(&path.to_path(&site_packages), &String::from_utf8_lossy(&t)).ok());
        found.insert(path, pointer);
    }
    Ok(found)
}

/// Whether what is installed is what the lock says.
fn is_right(dist: &InstalledDist, package: &LockedPackage, old: Option<&Lock>, outputs: &[Output]) -> bool {
    if dist.metadata.version != package.version || dist.installer.as_deref() != Some(INSTALLER) {
        return false;
    }
    match &package.editable {
        Some(_) => outputs
            .iter()
            .find(|o| o.package() == package.name)
            .is_some_and(|output| {
                dist.editable.is_some()
                    && is_written(&output.project.metadata, &dist.metadata)
                    && dist.entry_points == output.project.entry_points
            }),
        None => {
            let before = old.and_then(|l| l.package(&package.name));
            let same_wheel =
                before.is_none_or(|b| b.sha256 == package.sha256 || b.version != package.version);
            dist.direct_url == package.direct_url_json() && same_wheel
        }
    }
}

/// Whether metadata that was read is what is written of other metadata, with names and markers in their normal form.
fn is_written(of: &Metadata, read: &Metadata) -> bool {
    of == read || Metadata::parse(&of.to_text()).is_ok_and(|written| written == *read)
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

/// An editable that another tool put into the environment.
fn foreign_editable(dist: &InstalledDist, package: &LockedPackage) -> Error {
    WorkspaceError::EditableInTheWay {
        name: package.name.clone(),
        version: dist.metadata.version.clone(),
        requirement: format!("{}=={}", package.name, package.version),
        path: Path::new(dist.editable.as_deref().unwrap_or_default()).to_path_buf(),
    }
    .into()
}
