//! `external_packages/`: conda packages of a workspace, and the channels they come from.
//!
//! Invariants: one prefix a workspace, `external_packages/conda`, with the Python that `inputs/` is then made of, which sees
//! what is installed there; the lock says exactly what is in it; it changes at once. No channel is known that nobody
//! configured. Callers hold the workspace lock while they change any of it.

use backlot_core::{file, text};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::{Lock, LockedConda};
use crate::error::{Result, WorkspaceError};
use crate::toolchain::conda;
use crate::toolchain::python;
use crate::workspace::Opened;
use crate::workspace::settings::Origin;

/// A channel as listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelStatus {
    /// Folder or URL, as written.
    pub channel: String,
    /// The origin of the setting.
    #[serde(flatten)]
    pub origin: Origin,
}

/// One conda package that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CondaChange {
    /// The package.
    pub name: String,
    /// Version and build before, if it was there.
    pub from: Option<String>,
    /// Version and build now, if it is there.
    pub to: Option<String>,
    /// Its URL.
    pub url: Option<String>,
}

/// The report of a change of the external packages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExternalReport {
    /// The requirements.
    pub requirements: Vec<String>,
    /// The changes of the prefix, sorted by package.
    pub changes: Vec<CondaChange>,
    /// How many packages were right already.
    pub unchanged: usize,
    /// Whether the lock changed.
    pub lock_changed: bool,
    /// The prefix, relative to the workspace.
    pub prefix: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The required and the installed external packages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExternalStatus {
    /// The requirements.
    pub requirements: Vec<String>,
    /// The packages in the prefix, sorted by name.
    pub packages: Vec<LockedConda>,
    /// The prefix, relative to the workspace.
    pub prefix: String,
    /// Whether the prefix matches the lock.
    pub in_step: bool,
}

impl Opened {
    pub(crate) fn list_channels(&self) -> Vec<ChannelStatus> {
        let setting = &self.settings().channels;
        let status = |channel: &String| ChannelStatus {
            channel: channel.clone(),
            origin: setting.origin.clone(),
        };
        setting.value.iter().map(status).collect()
    }

    pub(crate) fn add_channel(&mut self, channel: &str, dry_run: bool) -> Result<ChannelStatus> {
        self.change(dry_run, |workspace| workspace.put_channel(channel, dry_run))
    }

    fn put_channel(&mut self, channel: &str, dry_run: bool) -> Result<ChannelStatus> {
        let channel = conda::channel(channel, self.root())?;
        let mut channels = self.config.channels.clone();
        if channels.contains(&channel) {
            return Err(WorkspaceError::Channel { channel, known: true }.into());
        }
        channels.push(channel.clone());
        self.keep_channels(channels, dry_run)?;
        Ok(ChannelStatus {
            channel,
            origin: Origin::Workspace,
        })
    }

    pub(crate) fn remove_channel(&mut self, channel: &str, dry_run: bool) -> Result<ChannelStatus> {
        self.change(dry_run, |workspace| workspace.drop_channel(channel, dry_run))
    }

    fn drop_channel(&mut self, channel: &str, dry_run: bool) -> Result<ChannelStatus> {
        let channel = channel.trim_end_matches('/').to_owned();
        let mut channels = self.config.channels.clone();
        let before = channels.len();
        channels.retain(|c| c.trim_end_matches('/') != channel);
        if channels.len() == before {
            return Err(WorkspaceError::Channel {
                channel,
                known: false,
            }
            .into());
        }
        self.keep_channels(channels, dry_run)?;
        Ok(ChannelStatus {
            channel,
            origin: Origin::Workspace,
        })
    }

    fn keep_channels(&mut self, channels: Vec<String>, dry_run: bool) -> Result<()> {
        if !dry_run {
            self.config.set_channels(channels);
            self.config.save()?;
            self.refresh_settings()?;
        }
        Ok(())
    }

    pub(crate) fn external(&self) -> Result<ExternalStatus> {
        let packages = conda::installed(&self.conda_prefix())?.unwrap_or_default();
        let locked = Lock::load(self.root())?.map(|l| l.conda).unwrap_or_default();
        Ok(ExternalStatus {
            requirements: self.config.external_conda.clone(),
            in_step: packages == locked,
            packages,
            prefix: self.display_path(&self.conda_prefix()),
        })
    }

    pub(crate) fn add_external(&mut self, specs: &[String], dry_run: bool) -> Result<ExternalReport> {
        self.change(dry_run, |workspace| workspace.put_external(specs, dry_run))
    }

    fn put_external(&mut self, specs: &[String], dry_run: bool) -> Result<ExternalReport> {
        let mut wanted = self.config.external_conda.clone();
        for text in specs {
            let (name, text) = conda::spec(text)?;
            let same = |old: &&mut String| conda::spec(old).is_ok_and(|(n, _)| n == name);
            match wanted.iter_mut().find(same) {
                Some(old) => *old = text,
                None => wanted.push(text),
            }
        }
        self.change_external(wanted, dry_run)
    }

    pub(crate) fn remove_external(&mut self, names: &[String], dry_run: bool) -> Result<ExternalReport> {
        self.change(dry_run, |workspace| workspace.drop_external(names, dry_run))
    }

    fn drop_external(&mut self, names: &[String], dry_run: bool) -> Result<ExternalReport> {
        let mut wanted = self.config.external_conda.clone();
        for name in names {
            let known: Vec<String> = wanted
                .iter()
                .filter_map(|w| conda::spec(w).ok().map(|(n, _)| n))
                .collect();
            let lower = name.to_ascii_lowercase();
            let before = wanted.len();
            wanted.retain(|w| conda::spec(w).map_or(true, |(n, _)| n != lower));
            if wanted.len() == before {
                let nearest = text::nearest(&lower, known.iter().map(String::as_str)).map(ToOwned::to_owned);
                return Err(WorkspaceError::NotExternal {
                    name: name.clone(),
                    nearest,
                }
                .into());
            }
        }
        self.change_external(wanted, dry_run)
    }

    fn change_external(&mut self, wanted: Vec<String>, dry_run: bool) -> Result<ExternalReport> {
        let old = Lock::load(self.root())?;
        let specs = self.with_python(&wanted)?;
        let chosen = self.choose_external(&specs, old.as_ref())?;
        let report = self.report_external(&wanted, &specs, &chosen, old.as_ref(), dry_run)?;
        if dry_run {
            return Ok(report);
        }
        self.place_external(&chosen)?;
        if self.config.external_conda != wanted {
            self.config.set_external_conda(wanted);
            self.config.save()?;
        }
        self.lock_external(old, specs, chosen)?;
        // The interpreter may be another one now.
        self.sync_editables()?;
        Ok(report)
    }

    /// Bring the prefix in step with what is asked for: by the lock where it fits, by choosing again where it does not and may. One
    /// that is about to be replaced may be damaged.
    pub(crate) fn sync_external(&self, locked: bool, replaces: bool, dry_run: bool) -> Result<()> {
        let asked = &self.config.external_conda;
        if asked.is_empty() && !conda::is_prefix(&self.conda_prefix()) && !Lock::may_have_conda(self.root())?
        {
            return Ok(());
        }
        let old = if replaces {
            Lock::load_to_replace(self.root(), self.context())?
        } else {
            Lock::load(self.root())?
        };
        let specs = self.with_python(asked)?;
        let fits = old.as_ref().is_some_and(|l| fits(l, &specs));
        let chosen = match &old {
            Some(lock) if fits => lock.conda.clone(),
            _ if locked => {
                return Err(WorkspaceError::StaleLock {
                    reason:
                        "the external packages changed since it was written, or it is for another platform"
                            .to_owned(),
                }
                .into());
            }
            _ => self.choose_external(&specs, old.as_ref())?,
        };
        if dry_run {
            return Ok(());
        }
        self.place_external(&chosen)?;
        if fits {
            return Ok(());
        }
        self.lock_external(old, specs, chosen)
    }

    /// The packages for requirements: what the lock has, where that still fits.
    fn choose_external(&self, specs: &[String], old: Option<&Lock>) -> Result<Vec<LockedConda>> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        conda::solve(self, specs, old.map_or(&[][..], |l| &l.conda))
    }

    /// What is asked for, sorted, with the Python that the settings want unless a requirement says which.
    fn with_python(&self, wanted: &[String]) -> Result<Vec<String>> {
        let mut specs = Vec::new();
        let mut python_asked = false;
        for text in wanted {
            let (name, text) = conda::spec(text)?;
            python_asked |= name == "python";
            specs.push(text);
        }
        let setting = self.settings().python.value.as_deref();
        match setting {
            _ if specs.is_empty() || python_asked => {}
            None => specs.push("python".to_owned()),
            Some("none") => {}
            Some(path) if path.contains(std::path::MAIN_SEPARATOR) => {
                return Err(WorkspaceError::PythonByPath {
                    python: path.to_owned(),
                }
                .into());
            }
            Some(version) => specs.push(python::spec(version)?),
        }
        specs.sort();
        Ok(specs)
    }

    fn place_external(&self, packages: &[LockedConda]) -> Result<()> {
        let prefix = self.conda_prefix();
        if !packages.is_empty() {
            conda::install(self, &prefix, packages)?;
        } else if conda::is_prefix(&prefix) {
            // Out of sight at once; what a kill leaves is swept by the next install.
            let gone = file::temporary_in(&self.root().join("external_packages"));
            file::rename(&prefix, &gone)?;
            file::remove(&gone)?;
        }
        Ok(())
    }

    fn lock_external(&self, old: Option<Lock>, specs: Vec<String>, chosen: Vec<LockedConda>) -> Result<()> {
        let mut lock = match old {
            Some(lock) => lock,
            None => Lock::new(self.marker_env()?.python_short(), Vec::new(), Vec::new()),
        };
        lock.conda_requirements = specs;
        lock.conda = chosen;
        lock.save(self.root())?;
        Ok(())
    }

    fn report_external(
        &self,
        wanted: &[String],
        specs: &[String],
        chosen: &[LockedConda],
        old: Option<&Lock>,
        dry_run: bool,
    ) -> Result<ExternalReport> {
        let prefix = self.conda_prefix();
        let before = conda::installed(&prefix)?.unwrap_or_default();
        let (changes, unchanged) = changes(&before, chosen);
        let locked = old.map(|l| (l.conda_requirements.as_slice(), l.conda.as_slice()));
        Ok(ExternalReport {
            requirements: wanted.to_vec(),
            changes,
            unchanged,
            lock_changed: locked.unwrap_or_default() != (specs, chosen),
            prefix: self.display_path(&prefix),
            dry_run,
        })
    }
}

/// Whether a lock was made for these requirements and this kind of machine.
fn fits(lock: &Lock, specs: &[String]) -> bool {
    lock.conda_requirements == specs && conda::fits_machine(&lock.conda)
}

fn changes(before: &[LockedConda], after: &[LockedConda]) -> (Vec<CondaChange>, usize) {
    let exact = |p: &LockedConda| format!("{} {}", p.version, p.build);
    let mut changes = Vec::new();
    let mut unchanged = 0;
    for package in after {
        let old = before.iter().find(|b| b.name == package.name);
        if old == Some(package) {
            unchanged += 1;
            continue;
        }
        changes.push(CondaChange {
            name: package.name.clone(),
            from: old.map(exact),
            to: Some(exact(package)),
            url: Some(package.url.clone()),
        });
    }
    let gone = before.iter().filter(|b| after.iter().all(|a| a.name != b.name));
    changes.extend(gone.map(|package| CondaChange {
        name: package.name.clone(),
        from: Some(exact(package)),
        to: None,
        url: None,
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    (changes, unchanged)
}
