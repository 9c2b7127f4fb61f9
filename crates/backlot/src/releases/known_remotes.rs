//! The remotes that releases say their files are on, for a workspace that has none.
//!
//! Invariant: data in a release is untrusted. It is reported, and added only if a user gives its name (`get --remote NAME`); until then
//! it is not contacted. Deliberately absent: credentials and site caches, which are specific to each machine.

use backlot_backend::StoreOptions;
use backlot_core::text::printable;
use backlot_core::{Class, Diagnostic as _};
use backlot_pep::Requirement;
use backlot_repo::{ReleaseFile, ReleaseRemote, ReleaseStatus};
use backlot_store::RemoteLayout;

use crate::environment::lockfile::{Lock, LockedPackage};
use crate::error::{Error, GetError, Result, WorkspaceError};
use crate::files::pins::by_pin;
use crate::files::tracked::Tracked;
use crate::project::named_output::same_name;
use crate::workspace::Opened;
use crate::workspace::config::RemoteEntry;
use crate::workspace::places::AddRemote;

/// A remote that a release names.
pub(crate) struct NamedByRelease {
    /// The release, for messages.
    pub(crate) release: String,
    pub(crate) remote: ReleaseRemote,
}

impl NamedByRelease {
    fn all_of(release: &ReleaseFile, status: ReleaseStatus) -> impl Iterator<Item = Self> + use<> {
        let told = format!("{} {}", release.package, release.version);
        let remotes = status.published.map(|fact| fact.remotes).unwrap_or_default();
        remotes.into_iter().map(move |remote| Self {
            release: told.clone(),
            remote,
        })
    }

    /// How it is added; `None` if this version does not know its layout.
    pub(crate) fn how(&self) -> Option<AddRemote> {
        let layout: RemoteLayout = self.remote.layout.parse().ok()?;
        let store = StoreOptions::new()
            .endpoint(self.remote.endpoint.clone())
            .region(self.remote.region.clone());
        Some(AddRemote::new().layout(layout).store(store))
    }

    /// The command that adds it.
    fn command(&self) -> String {
        let remote = &self.remote;
        let mut words = vec![
            "remote add".to_owned(),
            word(&remote.name),
            word(&remote.url),
            format!("--layout {}", word(&remote.layout)),
        ];
        for (option, value) in [("--endpoint", &remote.endpoint), ("--region", &remote.region)] {
            words.extend(value.as_ref().map(|value| format!("{option} {}", word(value))));
        }
        words.join(" ")
    }
}

/// A text as one word of a shell, which it cannot leave.
fn word(text: &str) -> String {
    let text = printable(text);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Opened {
    /// The remotes that the outs of a release are on, as its record names them.
    pub(crate) fn remotes_to_record(
        &self,
        tracked: &[Tracked],
        remote: Option<&str>,
    ) -> Result<Vec<ReleaseRemote>> {
        let pointers: Vec<_> = tracked.iter().flat_map(|one| &one.pointers).collect();
        let mut records: Vec<ReleaseRemote> = Vec::new();
        for (pin, pointers) in by_pin(&pointers) {
            let entry = match &pin {
                Some(pin) => self.pinned(pin, &pointers)?,
                None => self.remote_entry(remote, "publishing files")?,
            };
            let record = self.remote_record(entry);
            if !records.contains(&record) {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// A remote as reported to others.
    pub(crate) fn remote_record(&self, entry: &RemoteEntry) -> ReleaseRemote {
        ReleaseRemote {
            name: entry.name.clone(),
            url: self.resolve_place(&entry.url),
            layout: entry.layout.as_str().to_owned(),
            endpoint: entry.store.endpoint.clone(),
            region: entry.store.region.clone(),
        }
    }

    /// The remote of a name that the newest release of one of these requirements names.
    pub(crate) fn remote_of_releases(
        &self,
        name: &str,
        requirements: &[String],
    ) -> Result<Option<NamedByRelease>> {
        for text in requirements {
            let requirement = self.parse_requirement(text)?;
            for found in self.named_by_newest(&requirement)? {
                if found.remote.name == name {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn named_by_newest(&self, requirement: &Requirement) -> Result<Vec<NamedByRelease>> {
        let range = requirement.specifiers();
        for entry in self.repos() {
            let repo = self.open_repo(entry)?;
            let releases = repo.offered(requirement.name(), self.context())?;
            let admitted = releases.iter().filter(|release| range.contains(&release.version));
            if let Some(release) = admitted.max_by(|a, b| a.version.cmp(&b.version)) {
                return Ok(NamedByRelease::all_of(release, repo.status(release)?).collect());
            }
        }
        Ok(Vec::new())
    }

    /// An error that a remote is missing, with the remote that an installed release names, if one does.
    pub(crate) fn with_known_remote(&self, error: Error, tracked: &[Tracked]) -> Error {
        let is_missing = matches!(
            error,
            Error::Workspace(WorkspaceError::NoneConfigured { what: "remote", .. })
        );
        if !is_missing || !self.config().remotes.is_empty() {
            return error;
        }
        match self.named_by_installed(tracked) {
            Ok(Some(found)) => GetError::RemoteNotAdded {
                command: found.command(),
                release: found.release,
                remote: found.remote.name,
                url: found.remote.url,
            }
            .into(),
            Err(other) if other.class() == Class::Cancelled => other,
            // The missing remote is what has to be reported.
            Ok(None) | Err(_) => error,
        }
    }

    fn named_by_installed(&self, tracked: &[Tracked]) -> Result<Option<NamedByRelease>> {
        let Some(lock) = Lock::load(self.root())? else {
            return Ok(None);
        };
        for package in &lock.packages {
            let is_meant = |one: &Tracked| same_name(&one.name, package.name.as_str());
            if tracked.iter().any(is_meant)
                && let Some(found) = self.named_by_locked(package)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn named_by_locked(&self, package: &LockedPackage) -> Result<Option<NamedByRelease>> {
        let Some(name) = &package.repo else {
            return Ok(None);
        };
        let repo = self.open_repo(self.repo_entry(name)?)?;
        let releases = repo.offered(&package.name, self.context())?;
        let locked = releases
            .iter()
            .find(|release| Some(&release.file) == package.file());
        let Some(release) = locked else {
            return Ok(None);
        };
        Ok(NamedByRelease::all_of(release, repo.status(release)?).next())
    }
}

#[cfg(test)]
mod tests {
    use backlot_repo::ReleaseRemote;

    use super::NamedByRelease;

    #[test]
    fn the_command_that_adds_a_remote_cannot_be_made_to_run_another() {
        let named = |url: &str| NamedByRelease {
            release: "table 1.0".to_owned(),
            remote: ReleaseRemote {
                name: "main".to_owned(),
                url: url.to_owned(),
                layout: "chunked".to_owned(),
                endpoint: None,
                region: Some("eu-west-1".to_owned()),
            },
        };
        assert_eq!(
            named("s3://assets/files").command(),
            "remote add main s3://assets/files --layout chunked --region eu-west-1"
        );
        let hostile = named("/x; rm -rf '$HOME'\n").command();
        assert_eq!(
            hostile,
            r"remote add main '/x; rm -rf '\''$HOME'\'' ' --layout chunked --region eu-west-1"
        );
    }
}
