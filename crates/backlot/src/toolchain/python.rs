//! Interpreters for machines that have none: installed from conda channels, found by every workspace of the user.
//!
//! Invariants: an interpreter's folder is named by its version and what is in it, made whole or not at all, and never
//! changed afterwards. Where a fitting interpreter is on the path, that one is used; ours are looked at after it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::{Context, FileLock, file};
use backlot_pep::Version;
use backlot_wheel::Interpreter;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::LockedConda;
use crate::error::{Result, WorkspaceError};
use crate::toolchain::conda;
use crate::workspace::Opened;
use crate::workspace::settings::Host;

/// How long to wait for another process that installs or removes an interpreter.
const PATIENCE: Duration = Duration::from_mins(10);

/// An interpreter that was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstalledPython {
    /// Its version, `3.12.4`.
    pub version: String,
    /// The executable.
    pub executable: PathBuf,
    /// The folder it is in, which is all of it.
    pub folder: PathBuf,
    /// The number of its conda packages.
    pub packages: usize,
}

/// The installed interpreter, or that of a dry run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PythonReport {
    /// The interpreter.
    pub python: InstalledPython,
    /// Its conda packages.
    pub packages: Vec<LockedConda>,
    /// Whether it was there already.
    pub unchanged: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The removed interpreters, or those of a dry run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RemovedPythons {
    /// The interpreters.
    pub removed: Vec<InstalledPython>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

fn folder(host: &Host) -> PathBuf {
    host.data.join("pythons")
}

fn hold(host: &Host, context: &Context) -> Result<FileLock> {
    Ok(FileLock::acquire(
        &host.data.join("pythons.lock"),
        PATIENCE,
        context,
    )?)
}

/// The interpreters that were installed for this user, newest first.
pub fn installed_pythons(host: &Host) -> Result<Vec<InstalledPython>> {
    let root = folder(host);
    let mut all = Vec::new();
    if !root.is_dir() {
        return Ok(all);
    }
    for entry in fs::read_dir(&root)? {
        let prefix = entry?.path();
        if let Some(packages) = conda::installed(&prefix)?
            && let Some((version, executable)) = conda::python_of(&prefix, &packages)
        {
            all.push(InstalledPython {
                version,
                executable,
                folder: prefix,
                packages: packages.len(),
            });
        }
    }
    let order = |python: &InstalledPython| Version::parse(&python.version).ok();
    all.sort_by(|a, b| order(b).cmp(&order(a)).then_with(|| a.folder.cmp(&b.folder)));
    Ok(all)
}

/// The newest of them that fits.
pub(crate) fn find(host: &Host, wanted: Option<&str>, context: &Context) -> Result<Option<Interpreter>> {
    context.check()?;
    for python in installed_pythons(host)? {
        // One that does not run is skipped, as on the path.
        if wanted.is_none_or(|w| is_of(&python.version, w))
            && let Ok(interpreter) = backlot_wheel::read_interpreter(&python.executable, context)
        {
            return Ok(Some(interpreter));
        }
    }
    Ok(None)
}

fn is_of(version: &str, wanted: &str) -> bool {
    version == wanted || version.starts_with(&format!("{wanted}."))
}

/// One to three numbers.
fn check_version(version: &str) -> Result<()> {
    let parts: Vec<&str> = version.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.len() < 6 && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() <= 3 && parts.iter().all(number) {
        return Ok(());
    }
    Err(WorkspaceError::BadPythonVersion {
        version: version.to_owned(),
    }
    .into())
}

/// The newest minor version of Python 3 that exists, if only as an alpha.
const NEWEST_MINOR: u64 = 16;

/// Whether a version of Python is one that could be installed: a later one is a typing error, or newer than this program.
pub(crate) fn may_exist(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    numbers.next() == Some(Ok(3)) && numbers.next().is_none_or(|n| n.is_ok_and(|n| n <= NEWEST_MINOR))
}

/// The conda requirement for a version of Python.
pub(crate) fn spec(version: &str) -> Result<String> {
    check_version(version)?;
    Ok(if version.matches('.').count() == 2 {
        format!("python =={version}")
    } else {
        format!("python {version}.*")
    })
}

/// Remove all of one version. Environments made with them are made again by the next `install`.
pub fn remove_python(version: &str, dry_run: bool, host: &Host, context: &Context) -> Result<RemovedPythons> {
    check_version(version)?;
    let _held = hold(host, context)?;
    let (removed, kept): (Vec<_>, Vec<_>) = installed_pythons(host)?
        .into_iter()
        .partition(|python| is_of(&python.version, version));
    if removed.is_empty() {
        return Err(WorkspaceError::NoSuchPython {
            version: version.to_owned(),
            have: kept.into_iter().map(|python| python.version).collect(),
        }
        .into());
    }
    if !dry_run {
        for python in &removed {
            // Out of sight at once: half of an interpreter would still be found.
            let gone = file::temporary_in(&folder(host));
            file::rename(&python.folder, &gone)?;
            file::remove(&gone)?;
        }
    }
    Ok(RemovedPythons { removed, dry_run })
}

impl Opened {
    pub(crate) fn install_python(&self, version: &str, dry_run: bool) -> Result<PythonReport> {
        let _held = hold(self.host(), self.context())?;
        let packages = conda::solve(self, &[spec(version)?], &[])?;
        let python = self.python_for(version, &packages)?;
        let unchanged = conda::installed(&python.folder)?.as_ref() == Some(&packages);
        if !dry_run {
            conda::install(self, &python.folder, &packages)?;
        }
        Ok(PythonReport {
            python,
            packages,
            unchanged,
            dry_run,
        })
    }

    fn python_for(&self, version: &str, packages: &[LockedConda]) -> Result<InstalledPython> {
        let all: String = packages.iter().map(|p| format!("{}\n", p.sha256)).collect();
        let digest = backlot_store::digest_bytes(all.as_bytes()).blake3.to_hex();
        let root = folder(self.host());
        // The channel chose the words of its version; only harmless ones become a folder's name.
        let exact = conda::python_of(Path::new(""), packages).map_or_else(String::new, |(v, _)| v);
        let name = if Version::parse(&exact).is_ok() {
            exact
        } else {
            version.to_owned()
        };
        let folder = root.join(format!("{name}-{}", &digest[..10]));
        let (version, executable) =
            conda::python_of(&folder, packages).ok_or_else(|| WorkspaceError::BadPythonVersion {
                version: version.to_owned(),
            })?;
        Ok(InstalledPython {
            version,
            executable,
            folder,
            packages: packages.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{is_of, may_exist, spec};

    #[test]
    fn versions_are_one_to_three_numbers() {
        assert_eq!(spec("3.12").expect("valid"), "python 3.12.*");
        assert_eq!(spec("3.12.4").expect("valid"), "python ==3.12.4");
        for bad in ["", "3.", "3.12.4.1", "three", "3.12; rm", ">=3.12", "../3"] {
            assert!(spec(bad).is_err(), "{bad}");
        }
        assert!(is_of("3.12.4", "3.12") && !is_of("3.12.4", "3.1"));
        assert!(may_exist("3.12.4") && may_exist("3") && !may_exist("3.99") && !may_exist("2.7"));
    }
}
