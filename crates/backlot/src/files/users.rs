//! The repos whose releases need a remote: recorded on the remote by those who publish, read by those who collect.
//!
//! Invariants: a release gets into a repo only after the remote has a record of the repo; a collection reads all repos that
//! are recorded or stops. A record comes from other people: the folder in it is read if it has the identity that was
//! recorded, and no URL in it is asked, since nobody here configured it. Deliberately absent: remotes in DVC's layout, which
//! nothing collects.

use std::collections::BTreeSet;
use std::path::Path;

use backlot_core::Diagnostic as _;
use backlot_repo::Repo;
use backlot_store::{Remote, RemoteUser};

use crate::error::{GcError, Result};
use crate::files::pins::by_pin;
use crate::files::references::NamedRemote;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;
use crate::workspace::config::RepoEntry;

/// The repos that a collection reads besides those of its workspace.
#[derive(Debug, Default)]
pub(crate) struct OtherRepos {
    pub(crate) repos: Vec<Repo>,
    /// The records that are dropped.
    pub(crate) forgotten: Vec<String>,
}

impl Opened {
    /// Leave a record of a repo on the remotes that the outs of a release are on.
    pub(crate) fn note_user_on_all(
        &self,
        repo: &Repo,
        tracked: &[Tracked],
        remote: Option<&str>,
    ) -> Result<()> {
        let pointers: Vec<_> = tracked.iter().flat_map(|one| &one.pointers).collect();
        for (pin, pointers) in by_pin(&pointers) {
            let entry = match &pin {
                Some(pin) => self.pinned(pin, &pointers)?,
                None => self.remote_entry(remote, "publishing files")?,
            };
            self.note_user(repo, &self.open_remote(entry)?)?;
        }
        Ok(())
    }

    /// Leave records of the repos of this workspace that are there: on a remote that files were copied to, or whose collection had
    /// condemned what they need.
    pub(crate) fn note_own_repos(&self, remote: &Remote) -> Result<()> {
        for entry in self.repos() {
            let Ok(repo) = self.open_repo(entry) else {
                continue;
            };
            if !repo.is_public() {
                self.note_user(&repo, remote)?;
            }
        }
        Ok(())
    }

    /// Leave a record of a repo on a remote.
    pub(crate) fn note_user(&self, repo: &Repo, remote: &Remote) -> Result<()> {
        let place = repo.place().to_string();
        let entry = self.config().repos.iter().find(|entry| {
            let entry_place = self.resolve_place(&entry.place);
            entry_place == place || entry.place == place
        });
        let identity = repo
            .identity()?
            .and_then(|found| found.name().map(ToOwned::to_owned));
        let name = entry.map_or("", |entry: &RepoEntry| &entry.name);
        let mut user = RemoteUser::new(&place, identity.as_deref(), name);
        user.workspace = self.root().display().to_string();
        user.machine.clone_from(&self.host().machine);
        user.user.clone_from(&self.settings().author.value);
        user.seen = self.context().now();
        Ok(remote.note_user(&user)?)
    }

    /// The recorded repos that this workspace does not have. An error if one cannot be read.
    pub(crate) fn other_repos(&self, remote: NamedRemote<'_>, forget: &[String]) -> Result<OtherRepos> {
        let users = remote.remote.users()?;
        if let Some(id) = forget.iter().find(|id| users.iter().all(|user| user.id != **id)) {
            return Err(GcError::UnknownRecord {
                remote: remote.name.to_owned(),
                id: id.clone(),
                known: users.into_iter().map(|user| user.id).collect(),
            }
            .into());
        }
        let (mut identities, mut places) = (BTreeSet::new(), BTreeSet::new());
        for entry in self.repos() {
            let repo = self.open_repo(entry)?;
            places.insert(repo.place().to_string());
            if let Some(found) = repo.identity()? {
                identities.extend(found.name().map(ToOwned::to_owned));
            }
        }
        let mut others = OtherRepos {
            forgotten: forget.to_vec(),
            ..OtherRepos::default()
        };
        for found in users.into_iter().filter(|user| !forget.contains(&user.id)) {
            let not_read = |repo: String, reason: String| GcError::RepoNotRead {
                remote: remote.name.to_owned(),
                repo,
                id: found.id.clone(),
                reason,
            };
            let user = match &found.user {
                Ok(user) => user,
                Err(reason) => {
                    let repo = format!("the repo of the record `{}`", found.id);
                    return Err(not_read(repo, format!("the record cannot be read: {reason}")).into());
                }
            };
            let is_own = match &user.identity {
                Some(identity) => identities.contains(identity),
                None => places.contains(&user.repo),
            };
            if !is_own {
                let repo = find(user).map_err(|reason| not_read(describe(user), reason))?;
                others.repos.push(repo);
            }
        }
        Ok(others)
    }
}

/// A recorded repo, if it is in a folder that can be read here.
fn find(user: &RemoteUser) -> std::result::Result<Repo, String> {
    if user.repo.contains("://") {
        return Err("it is not a repo of this workspace, and recorded URLs are not contacted".to_owned());
    }
    let folder = Path::new(&user.repo);
    if !folder.is_absolute() {
        return Err("its location is not recorded".to_owned());
    }
    let text = |error: backlot_repo::Error| format!("{error} ({})", error.code());
    let repo = Repo::open_folder(folder).map_err(text)?;
    match repo.identity().map_err(text)? {
        Some(found) if found.is(user.identity.as_deref()) => Ok(repo),
        _ => Err("it does not exist".to_owned()),
    }
}

fn describe(user: &RemoteUser) -> String {
    format!("the repo `{}` of {} on {}", user.repo, user.user, user.machine)
}
