//! Outputs shown in the environment and the lock. One alone is shown without a copy of all of it: what `new` and `bump` change is a `.pth`
//! file, perhaps scripts, and a `.dist-info` folder, and their cost must not grow with what else is in `inputs/`.
//!
//! Invariants: each file, and the `.dist-info` as a whole, appears by one rename; the new `.dist-info` is there before the old one
//! leaves. After a kill between the two the package is there twice, which [`Opened::plan_environment`] takes for
//! not right. Whatever is not this simple (a release gives way, a script of another package is in the way, an entry point is
//! gone) is left to the change of the whole environment. See decision 4.

use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{RelPath, file};
use backlot_pep::{MarkerEnv, PackageName};
use backlot_wheel::{InstallOptions, InstalledDist, Layout, Owners};
use fs_err as fs;

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::plan::INSTALLER;
use crate::environment::{EnvironmentEdit, STAGE_PREFIX};
use crate::error::Result;
use crate::project::output::Output;
use crate::workspace::Opened;

impl Opened {
    /// Show an output, as it is now, in the environment and the lock. The caller holds the lock.
    pub(crate) fn sync_editable(&self, output: &Output) -> Result<()> {
        if self.sync_alone(output)? {
            return Ok(());
        }
        self.sync_editables()
    }

    /// The same where nothing else has to change; `false` if something has to.
    fn sync_alone(&self, output: &Output) -> Result<bool> {
        self.recover_environment()?;
        let (Some(old), Some(environment)) = (Lock::load(self.root())?, self.environment()?) else {
            return Ok(false);
        };
        let name = output.package();
        let env = self.marker_env()?;
        let was_released = old
            .package(&name)
            .is_some_and(|package| package.editable.is_none());
        if was_released || old.python != env.python_short() || !self.environment_fits()? {
            return Ok(false);
        }
        let shown = match dists_of(&environment.site_packages(), &name)?.as_slice() {
            [] => None,
            [one] if one.editable.is_some() && one.installer.as_deref() == Some(INSTALLER) => {
                Some(one.clone())
            }
            _ => return Ok(false),
        };
        let package = self.locked_output(output, &env);
        let stage = self
            .state_dir()
            .join(format!("{STAGE_PREFIX}{}", std::process::id()));
        let stage = TemporaryFolder::replacing(stage)?;
        let layout = environment.layout.at(&stage.path().join("tree"));
        fs::create_dir_all(layout.site_packages())?;
        let options = InstallOptions {
            links: &[],
            installer: INSTALLER,
            requested: package.requested,
            direct_url: package.direct_url_json(),
        };
        let (project, owners) = (&output.project, Owners::default());
        let placed = backlot_wheel::install_editable(project, &layout, &options, &owners, self.context())?;
        let change = Change {
            staged: &layout,
            live: &environment.layout,
            dist_info: placed.dist_info,
            shown,
        };
        let Some(files) = change.files()? else {
            return Ok(false);
        };
        old.with(package).save(self.root())?;
        change.commit(&files, stage.path())?;
        Ok(true)
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
}

/// What is installed under a name, by the names of the folders.
fn dists_of(site_packages: &Path, name: &PackageName) -> Result<Vec<InstalledDist>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(site_packages)? {
        let entry = entry?;
        let folder = entry.file_name().to_string_lossy().into_owned();
        let stem = folder
            .strip_suffix(".dist-info")
            .and_then(|stem| stem.rsplit_once('-'));
        let is_of_it = stem.is_some_and(|(stem, _)| PackageName::parse(stem).is_ok_and(|stem| stem == *name));
        if is_of_it {
            found.extend(InstalledDist::load(&entry.path())?);
        }
    }
    Ok(found)
}

/// An editable that was installed into an empty tree, and the environment it comes into.
struct Change<'a> {
    staged: &'a Layout,
    live: &'a Layout,
    /// In the staged tree.
    dist_info: PathBuf,
    /// What the environment shows now.
    shown: Option<InstalledDist>,
}

impl Change<'_> {
    /// The files to come beside the `.dist-info`; `None` if one is in the way, or a present one would have to leave.
    fn files(&self) -> Result<Option<Vec<RelPath>>> {
        let beside = |dist_info: &Path, layout: &Layout| -> Result<Vec<RelPath>> {
            let own = format!("{}/", dist_info.file_name().unwrap_or_default().to_string_lossy());
            let record = file::read_if_exists(&dist_info.join("RECORD"))?.unwrap_or_default();
            let record = backlot_wheel::parse_record(&String::from_utf8_lossy(&record));
            let paths = record.iter().filter(|entry| !entry.path.starts_with(&own));
            Ok(paths.filter_map(|entry| layout.tree_path(&entry.path)).collect())
        };
        let new = beside(&self.dist_info, self.staged)?;
        let old = match &self.shown {
            Some(shown) => beside(&shown.dist_info, self.live)?,
            None => Vec::new(),
        };
        let in_the_way = |path: &&RelPath| {
            !old.contains(path) && fs::symlink_metadata(path.to_path(&self.live.root)).is_ok()
        };
        let simple = old.iter().all(|path| new.contains(path)) && !new.iter().any(|p| in_the_way(&p));
        Ok(simple.then_some(new))
    }

    fn commit(&self, files: &[RelPath], stage: &Path) -> Result<()> {
        for path in files {
            let target = path.to_path(&self.live.root);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            file::rename(&path.to_path(&self.staged.root), &target)?;
        }
        let name = self.dist_info.file_name().unwrap_or_default();
        let target = self.live.site_packages().join(name);
        match &self.shown {
            // Its files change one by one, and RECORD says what they should be.
            Some(shown) if shown.dist_info == target => replace_files(&self.dist_info, &target),
            Some(shown) => {
                file::rename(&self.dist_info, &target)?;
                Ok(file::rename(&shown.dist_info, &stage.join("old"))?)
            }
            None => Ok(file::rename(&self.dist_info, &target)?),
        }
    }
}

/// Make the files of a folder those of another one, which loses them.
fn replace_files(from: &Path, to: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        file::rename(&from.join(&name), &to.join(&name))?;
        names.push(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            file::remove(&entry.path())?;
        }
    }
    Ok(())
}
