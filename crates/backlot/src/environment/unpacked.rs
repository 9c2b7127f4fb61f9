//! Wheels unpacked in the cache, each under the digest of the file it came out of: what environments are made of.
//!
//! Invariants: a folder appears whole, out of a file that was proven against the lock; one that was there is used only if it
//! still is what was unpacked. Deliberately absent: choosing files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::file::{self, TemporaryFolder};
use backlot_core::shared::{self, Modes};
use backlot_core::{Operation, Sha256};
use backlot_pep::PackageName;
use backlot_repo::ReleaseFile;
use backlot_wheel::{Sdist, WheelArchive};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::LockedPackage;
use crate::environment::plan::EnvironmentPlan;
use crate::error::{Error, Result, WorkspaceError};
use crate::project::provenance::TOOL;
use crate::workspace::Opened;

/// Unpacked wheels of the cache that were read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnpackedReport {
    /// How many.
    pub wheels: u64,
    /// Packages that differ from their RECORD, as `name-version (digest)`. `install --repair` removes them.
    pub damaged: Vec<String>,
}

impl Opened {
    /// Compare every unpacked wheel of the cache with its RECORD. One that is damaged loses its seal, by which it would be
    /// trusted unread.
    pub(crate) fn verify_unpacked_wheels(&self) -> Result<UnpackedReport> {
        let folders = unpacked_in(&self.settings().cache.value.join("wheels"))?;
        let running = self.context().start(Operation::Verify, folders.len() as u64, 0);
        let check = |folder: &PathBuf| -> Result<Option<String>> {
            self.context().check()?;
            let intact = backlot_wheel::verify_unpacked(folder)?;
            running.advance(1, 0);
            // One that went meanwhile was collected.
            if intact || !folder.is_dir() {
                return Ok(None);
            }
            // Who can only read the cache can tell all the same.
            backlot_wheel::unseal(folder).ok();
            Ok(Some(name_of(folder)))
        };
        let all = || folders.par_iter().map(check).collect::<Result<_>>();
        let found: Vec<Option<String>> = self.context().pool().install(all)?;
        Ok(UnpackedReport {
            wheels: folders.len() as u64,
            damaged: found.into_iter().flatten().collect(),
        })
    }

    /// Remove unpacked wheels of the cache that are damaged, whether or not anything is about to use them. Those that still have
    /// the seal of what was unpacked are not read; a verification takes it from those that it finds damaged.
    pub(crate) fn remove_damaged_wheels(&self) -> Result<()> {
        let wheels = self.cache_dir().join("wheels");
        let check = |folder: &PathBuf| -> Result<()> {
            self.context().check()?;
            // An unreadable one belongs to another user, and must not stop the cleaning of the others.
            if backlot_wheel::is_intact(folder).unwrap_or(true) || !folder.is_dir() {
                return Ok(());
            }
            let name = name_of(folder);
            match move_aside(folder, &wheels) {
                // Another process did so first.
                Err(Error::File(error)) if error.is_not_found() => return Ok(()),
                moved => moved?,
            }
            let message = format!(
                "{name} in the cache was damaged and has been removed; it is unpacked again when needed"
            );
            self.context().warn("install::damaged_wheel", message);
            Ok(())
        };
        let folders = unpacked_in(&wheels)?;
        self.context()
            .pool()
            .install(|| folders.par_iter().try_for_each(check))
    }

    /// The unpacked wheel of every package to be put, fetched and proven.
    pub(crate) fn unpack_wheels(&self, plan: &EnvironmentPlan) -> Result<BTreeMap<PackageName, PathBuf>> {
        let published: Vec<&LockedPackage> = plan
            .put
            .iter()
            .map(|(package, _)| package)
            .filter(|p| p.editable.is_none())
            .collect();
        let running = self
            .context()
            .start(Operation::Install, published.len() as u64, 0);
        self.prefetch_wheels(&published)?;
        let unpack = |package: &LockedPackage| {
            self.context().check()?;
            let folder = self.unpacked_wheel(package)?;
            running.advance(1, 0);
            Ok((package.name.clone(), folder))
        };
        let all = || published.into_par_iter().map(unpack).collect();
        self.context().pool().install(all)
    }

    /// The folder of an unpacked wheel in the cache; fetched, checked against the lock and unpacked if absent. The wheel
    /// of a source distribution is built first, and lies under the digest of that.
    pub(crate) fn unpacked_wheel(&self, package: &LockedPackage) -> Result<PathBuf> {
        let sha256: Sha256 = package.sha256.ok_or_else(|| no_release(package))?;
        let wheels = self.cache_dir().join("wheels");
        let folder = wheels.join(sha256.to_hex());
        for cache in self.caches().skip(1) {
            let folder = cache.join("wheels").join(sha256.to_hex());
            if folder.is_dir() && backlot_wheel::is_intact(&folder).unwrap_or(false) {
                return Ok(folder);
            }
        }
        if folder.is_dir() {
            if backlot_wheel::is_intact(&folder)? {
                return Ok(folder);
            }
            let message = format!("`{}` was damaged; unpacking it again", folder.display());
            self.context().warn("install::damaged_wheel", message);
            move_aside(&folder, &wheels)?;
        }
        let stage = shared::temporary_folder(&wheels, 1)?;
        let wheel = self.fetch_wheel(package, stage.path())?;
        let unpacked = stage.path().join("tree");
        backlot_wheel::unpack(&WheelArchive::open(&wheel)?, &unpacked, self.context())?;
        shared::follow(&unpacked, Modes::of(&wheels))?;
        // Another process may have been first; its folder holds the same bytes.
        if let Err(error) = file::rename(&unpacked, &folder)
            && !folder.is_dir()
        {
            return Err(error.into());
        }
        backlot_wheel::seal(&folder)?;
        Ok(folder)
    }

    /// Bring the wheel of a package into a folder, checked against the lock. That of a source distribution is built there.
    pub(crate) fn fetch_wheel(&self, package: &LockedPackage, folder: &Path) -> Result<PathBuf> {
        let no_release = || no_release(package);
        let sha256: Sha256 = package.sha256.ok_or_else(no_release)?;
        let local = folder.join(package.file().ok_or_else(no_release)?);
        if let Some(url) = package.direct_url()? {
            self.fetch_direct(&package.name, &url, &local)?;
        } else {
            let repo = self.open_repo(self.repo_entry(package.repo.as_deref().ok_or_else(no_release)?)?)?;
            repo.check_admits(&package.name)?;
            let releases = package.of_its_kind(&repo, self.context())?;
            let is_it = |release: &ReleaseFile| match release.sha256 {
                Some(known) => known == sha256,
                None => Some(&release.file) == package.file(),
            };
            let mut release = releases.into_iter().find(is_it).ok_or_else(no_release)?;
            // What was chosen is what is fetched, also where the repo itself promises no digest.
            release.sha256 = Some(sha256);
            repo.open_wheel(&release, &local, self.context())?;
        }
        if package.sdist.is_some() {
            return Ok(Sdist::open(&local)?.build(folder, TOOL, self.context())?.path);
        }
        Ok(local)
    }
}

/// The folders of unpacked wheels, sorted.
fn unpacked_in(wheels: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    let is_digest = |name: &str| name.parse::<Sha256>().is_ok();
    if !wheels.is_dir() {
        return Ok(folders);
    }
    for entry in fs_err::read_dir(wheels)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_str().is_some_and(is_digest) && path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Take a folder away in one step, then remove it.
fn move_aside(folder: &Path, wheels: &Path) -> Result<()> {
    let aside = TemporaryFolder::absent_in(wheels);
    Ok(file::rename(folder, aside.path())?)
}

fn no_release(package: &LockedPackage) -> Error {
    let what = format!("{} {} with the locked digest", package.name, package.version);
    WorkspaceError::NoSuchRelease { what, nearest: None }.into()
}

/// The name of an unpacked wheel for display.
fn name_of(folder: &Path) -> String {
    let digest = folder.file_name().unwrap_or_default().to_string_lossy();
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let name = names.find_map(|name| name.strip_suffix(".dist-info").map(ToOwned::to_owned));
    format!("{} ({digest})", name.unwrap_or_else(|| "a wheel".to_owned()))
}
