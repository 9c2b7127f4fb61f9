//! Repos whose releases need a remote, and what is condemned that they need. Only chunked remotes have collections, so the others
//! have no records.

use super::{Backend, Remote};
use crate::chunked::{FoundUser, RemoteUser};
use crate::error::Result;

impl Remote {
    /// The same remote: what is pulled or verified from it and was condemned by a collection is taken back, with a warning.
    #[must_use]
    pub fn rescuing(mut self) -> Self {
        self.rescues = true;
        self
    }

    /// Leave the record of a repo whose releases need this remote, so that collections read it.
    pub fn note_user(&self, user: &RemoteUser) -> Result<()> {
        self.check_known()?;
        match &self.backend {
            Backend::Chunked(remote) => remote.note_user(user),
            Backend::Folder(_) | Backend::Service(_) => Ok(()),
        }
    }

    /// The repos whose releases need this remote, as publishers recorded them.
    pub fn users(&self) -> Result<Vec<FoundUser>> {
        match &self.backend {
            Backend::Chunked(remote) => remote.users(),
            Backend::Folder(_) | Backend::Service(_) => Ok(Vec::new()),
        }
    }

    /// Drop the record of a repo: collections do without it.
    pub fn forget_user(&self, id: &str) -> Result<()> {
        self.check_known()?;
        match &self.backend {
            Backend::Chunked(remote) => remote.forget_user(id),
            Backend::Folder(_) | Backend::Service(_) => Ok(()),
        }
    }
}
