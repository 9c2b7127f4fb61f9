//! Prefixes: folders with installed packages, made beside and put in place at once.
//!
//! Invariants: a prefix is made under another name with its final path written into its files, and renamed (or exchanged
//! with the one before) only when it is whole; it counts only with its marker, written last, and only where it was made
//! for: one that was moved or copied elsewhere is not one. Scripts of packages are not run.

use std::path::{Path, PathBuf};

use backlot_core::FileError;
use backlot_core::file::{self, TemporaryFolder};
use fs_err as fs;
use rattler::install::{ExternalSymlinkPolicy, Installer};
use serde::{Deserialize, Serialize};

use crate::conda::Conda;
use crate::error::{Error, Result, chain};
use crate::package::CondaPackage;
use crate::system;

/// The marker, where conda's own tools keep theirs; without `.json`, which they take for a package.
const MARKER: &str = "conda-meta/backlot";
const FORMAT: u64 = 1;

/// The contents of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixState {
    /// Format of the marker.
    pub version: u64,
    /// The path it was made for.
    pub prefix: PathBuf,
    /// The packages, sorted by name.
    pub packages: Vec<CondaPackage>,
}

/// The contents of a folder if it is a complete prefix created by Backlot for that path.
pub fn prefix_state(prefix: &Path) -> Result<Option<PrefixState>> {
    let Some(bytes) = file::read_if_exists(&prefix.join(MARKER))? else {
        return Ok(None);
    };
    let state: Option<PrefixState> = serde_json::from_slice(&bytes).ok();
    Ok(state.filter(|s| s.version == FORMAT && s.prefix == prefix))
}

/// Whether a folder is a prefix made by us, be it for another place.
pub fn is_prefix(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

impl Conda {
    /// Make `prefix` (absolute) hold exactly these packages. The caller sees to it that only one process does. Returns whether
    /// anything had to be done.
    pub fn install(&self, prefix: &Path, packages: &[CondaPackage]) -> Result<bool> {
        let mut packages = packages.to_vec();
        packages.sort();
        if prefix_state(prefix)?.is_some_and(|state| state.packages == packages) {
            return Ok(false);
        }
        let empty = || fs::read_dir(prefix).is_ok_and(|mut entries| entries.next().is_none());
        if fs::symlink_metadata(prefix).is_ok() && !is_prefix(prefix) && !empty() {
            return Err(Error::ForeignPrefix {
                prefix: prefix.to_path_buf(),
            });
        }
        let parent = prefix.parent().ok_or_else(|| Error::Setup {
            reason: format!("`{}` cannot be a prefix", prefix.display()),
        })?;
        fs::create_dir_all(parent).map_err(FileError::from)?;
        sweep(parent)?;
        let records = self.fetch(&packages)?;
        let stage = TemporaryFolder::absent_in(parent);
        let installer = Installer::new()
            .with_package_cache(self.packages.clone())
            .with_download_client(self.client(false)?)
            .with_target_platform(system::platform()?)
            .with_alternative_target_prefix(prefix)
            .with_external_symlink_policy(ExternalSymlinkPolicy::Deny)
            .with_execute_link_scripts(false);
        self.block(async {
            installer
                .install(stage.path(), records)
                .await
                .map(drop)
                .map_err(|e| Error::InstallFailed {
                    prefix: prefix.to_path_buf(),
                    reason: chain(&e),
                })
        })?;
        let state = PrefixState {
            version: FORMAT,
            prefix: prefix.to_path_buf(),
            packages,
        };
        let marker = serde_json::to_vec_pretty(&state).expect("plain data");
        file::write(&stage.path().join(MARKER), &marker)?;
        self.context.check()?;
        file::sync_disk_of(stage.path())?;
        put_in_place(stage.path(), prefix)?;
        Ok(true)
    }
}

/// Exchange with what is there; where the system cannot, the old one goes first, and a kill between leaves none.
fn put_in_place(stage: &Path, prefix: &Path) -> Result<()> {
    if fs::symlink_metadata(prefix).is_err() {
        return Ok(file::rename(stage, prefix)?);
    }
    if !file::exchange(stage, prefix)? {
        let parent = prefix.parent().unwrap_or(prefix);
        let old = TemporaryFolder::absent_in(parent);
        file::rename(prefix, old.path())?;
        file::rename(stage, prefix)?;
    }
    Ok(())
}

/// Remove what killed runs left. The caller holds the lock under which prefixes are made here.
fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).map_err(FileError::from)? {
        let entry = entry.map_err(FileError::from)?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(file::TEMPORARY_PREFIX)
        {
            file::remove(&entry.path())?;
        }
    }
    Ok(())
}
