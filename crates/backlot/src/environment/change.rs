//! Changing `inputs/` to match a lock: the plan, and the private copy to which it is applied.
//!
//! Invariants: nothing is fetched and nothing written down here, and what is there stays as it is until the copy is swapped in. What lies
//! beside a pointer is of its release, or absent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, RelPath, file};
use backlot_dvc::{Out, Pointer};
use backlot_pep::PackageName;
use backlot_store::{Cache, Transfer};
use backlot_wheel::{InstalledDist, Metadata, Owners};

use crate::environment::EnvironmentEdit;
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::place::Placing;
use crate::environment::plan::{EnvironmentPlan, INSTALLER};
use crate::error::{Error, Result, WorkspaceError};
use crate::project::output::Output;
use crate::project::provenance::made_outs;
use crate::workspace::Opened;

/// How wheels are placed: their files are small and never edited, so a link is safe before a copy.
const WHEEL_LINKS: [LinkMode; 3] = [LinkMode::Reflink, LinkMode::Hardlink, LinkMode::Copy];

impl Opened {
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
                    "it has {} as the output in `{path}`, which does not exist",
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

/// The pointers of an installed release by their path in site-packages, `None` for one that cannot be read; of outputs of stages, where
/// a pointer would be.
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
    for made in made_outs(dist)? {
        let path = RelPath::parse(&format!("{}.dvc", made.path))?;
        found.insert(path, Some(Pointer::of(made.out)));
    }
    Ok(found)
}

/// Whether the installed packages match the lock.
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
