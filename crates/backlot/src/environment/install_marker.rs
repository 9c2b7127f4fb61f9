//! The marker that `inputs/` matches the lock, written by the command that installed it: checking again costs a few reads.
//!
//! Invariant: the sign names everything that decides: the configuration, the lock, the interpreter, and the folder that
//! any installer changes when it puts or removes a package. If one of them is another, there is no sign. It lies in
//! `.backlot/` and can be deleted. Deliberately absent: damage inside packages; `backlot verify --inputs` looks for that; and
//! conda packages, which an install compares with the lock before it looks for the sign.

use std::time::UNIX_EPOCH;

use backlot_core::{Sha256, file};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::Result;
use crate::workspace::Opened;

const FILE: &str = "installed.json";

/// The contents of the file.
#[derive(Debug, Serialize, Deserialize)]
struct InstallMarker {
    /// The digest of all that decides.
    state: Sha256,
    /// How many packages the lock has.
    packages: usize,
}

impl Opened {
    /// How many packages are installed, all of them right; `None` where that is not known without looking.
    pub(crate) fn known_to_be_installed(&self) -> Result<Option<usize>> {
        let bytes = file::read_if_exists(&self.state_dir().join(FILE))?;
        let stamp = bytes.and_then(|bytes| serde_json::from_slice::<InstallMarker>(&bytes).ok());
        let Some(stamp) = stamp else { return Ok(None) };
        Ok((self.installed_state()? == Some(stamp.state)).then_some(stamp.packages))
    }

    /// Leave the sign. The caller has just made `inputs/` what the lock says.
    pub(crate) fn remember_installed(&self, packages: usize) -> Result<()> {
        if let Some(state) = self.installed_state()? {
            let stamp =
                serde_json::to_vec(&InstallMarker { state, packages }).expect("a stamp is plain data");
            file::write_for_now(&self.state_dir().join(FILE), &stamp)?;
        }
        Ok(())
    }

    fn installed_state(&self) -> Result<Option<Sha256>> {
        let Some(environment) = self.environment()? else {
            return Ok(None);
        };
        if !self.environment_fits()? {
            return Ok(None);
        }
        let site_packages = fs_err::metadata(environment.site_packages())?;
        let changed = site_packages
            .modified()
            .ok()
            .and_then(|m| m.duration_since(UNIX_EPOCH).ok());
        let Some(changed) = changed else { return Ok(None) };
        let mut hasher = sha2::Sha256::new();
        for name in ["backlot.toml", "backlot.lock"] {
            let Some(bytes) = file::read_if_exists(&self.root().join(name))? else {
                return Ok(None);
            };
            hasher.update(bytes.len().to_le_bytes());
            hasher.update(bytes);
        }
        hasher.update(changed.as_nanos().to_le_bytes());
        let python = self
            .interpreter()?
            .map(|i| format!("{} {}", i.executable.display(), i.version));
        hasher.update(python.unwrap_or_default());
        Ok(Some(Sha256::from_bytes(hasher.finalize().into())))
    }
}
