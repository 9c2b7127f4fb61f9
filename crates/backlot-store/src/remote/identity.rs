//! Which remote is at a place: read, made once with the remote, and looked at again before anything is sent.
//!
//! Invariant: the identity is created exclusively where the service can, so that of several who make a remote at once all
//! remember the same. A chunked remote has it in its config object; one in DVC's layout in an object of the same name,
//! which DVC passes over. Deliberately absent: remembering it, which the workspace does.

use backlot_core::PlaceIdentity;
use serde::{Deserialize, Serialize};

use super::{Backend, Remote, RemoteLayout};
use crate::chunked::CONFIG_KEY;
use crate::error::{Error, Result};

/// The identity of a remote in DVC's layout, as `backlot-remote.json` has it.
#[derive(Debug, Serialize, Deserialize)]
struct DvcIdentity {
    format: u32,
    layout: String,
    id: String,
}

/// What every version says of the layout.
#[derive(Deserialize)]
struct LayoutOnly {
    layout: RemoteLayout,
}

/// The layout that an identity object names.
pub(super) fn layout_of(bytes: &[u8]) -> Option<RemoteLayout> {
    let parsed: LayoutOnly = serde_json::from_slice(bytes).ok()?;
    Some(parsed.layout)
}

impl Remote {
    /// Which remote is there now.
    pub fn identity(&self) -> Result<PlaceIdentity> {
        if let Backend::Chunked(remote) = &self.backend {
            return remote.identity();
        }
        let Some(bytes) = self.read_identity()? else {
            return Ok(if self.is_used()? {
                PlaceIdentity::Unnamed
            } else {
                PlaceIdentity::Absent
            });
        };
        let bad = |reason: String| Error::BadRemote {
            url: self.place(),
            reason,
        };
        if layout_of(&bytes) == Some(RemoteLayout::Chunked) {
            return Err(bad("it is chunked; add it with `--layout chunked`".to_owned()));
        }
        let found: DvcIdentity =
            serde_json::from_slice(&bytes).map_err(|e| bad(format!("`{CONFIG_KEY}` cannot be read: {e}")))?;
        Ok(PlaceIdentity::Named(found.id))
    }

    /// Make the remote if there is none. Returns whether it was made. One that DVC made, or an older version, gets an
    /// identity where it can be written; where not, it can still be read.
    pub fn make(&self) -> Result<bool> {
        let found = self.identity()?;
        if let Backend::Chunked(remote) = &self.backend {
            if found == PlaceIdentity::Absent {
                remote.make()?;
            }
            return Ok(found == PlaceIdentity::Absent);
        }
        if found.name().is_some() {
            return Ok(false);
        }
        let identity = DvcIdentity {
            format: 1,
            layout: RemoteLayout::Dvc.to_string(),
            id: PlaceIdentity::fresh(),
        };
        let mut bytes = serde_json::to_vec_pretty(&identity).unwrap_or_default();
        bytes.push(b'\n');
        let written = match &self.backend {
            Backend::Folder(remote) => remote.create(CONFIG_KEY, &bytes),
            Backend::Service(remote) => remote.create(CONFIG_KEY, bytes),
            Backend::Chunked(_) => Ok(()),
        };
        match written {
            Err(_) if found == PlaceIdentity::Unnamed => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Ok(found == PlaceIdentity::Absent),
        }
    }

    /// From now on send only to this very remote, with the identity that was remembered, if any: where it is gone, a push
    /// is an error and makes nothing.
    #[must_use]
    pub fn known(mut self, identity: Option<&str>) -> Self {
        self.known = Some(backlot_core::ExpectedIdentity::new(identity));
        if let Some(identity) = identity {
            self.proven = self.proven.of_identity(identity);
        }
        self
    }

    /// Look again before sending: the disk may have gone since the remote was opened.
    pub(super) fn check_known(&self) -> Result<()> {
        match &self.known {
            Some(known) if !known.is_of(&self.identity()?) => Err(Error::NotThere { place: self.place() }),
            _ => Ok(()),
        }
    }

    /// Whether something was stored here in DVC's layout.
    pub(super) fn is_used(&self) -> Result<bool> {
        match &self.backend {
            Backend::Folder(remote) => remote.is_used(),
            Backend::Service(remote) => remote.is_used(),
            Backend::Chunked(_) => Ok(true),
        }
    }

    /// The object that says which remote in DVC's layout this is, or what layout it has.
    pub(super) fn read_identity(&self) -> Result<Option<Vec<u8>>> {
        match &self.backend {
            Backend::Folder(remote) => remote.read(CONFIG_KEY),
            Backend::Service(remote) => remote.read_small(CONFIG_KEY),
            Backend::Chunked(_) => Ok(None),
        }
    }
}
