//! Cursors that are kept from one run to the next, in the data folder of the user, one file each.
//!
//! Invariant: the file has the cursor of before or the new one, whatever stops a run. One that cannot be read is an error: to begin anew would tell of old
//! events again, or of none. Deliberately absent: deciding when a cursor moves.

use std::path::PathBuf;

use backlot_core::{Sha256, file};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{EventsError, Result};
use crate::feed::cursor::EventCursor;
use crate::workspace::Opened;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// The workspace, for people.
    workspace: String,
    cursor: EventCursor,
}

/// A file with a cursor.
#[derive(Debug)]
pub(crate) struct KeptCursor {
    path: PathBuf,
    workspace: String,
}

impl Opened {
    /// The folder with the event positions for this workspace's repos. Unlike a cache or `.backlot/`, it may not be emptied.
    pub(crate) fn told_folder(&self) -> PathBuf {
        let root = sha2::Sha256::digest(self.root().as_os_str().as_encoded_bytes());
        let name = Sha256::from_bytes(root.into()).to_hex();
        self.host().data.join("events").join(&name[..16])
    }

    /// The cursor of a name.
    pub(crate) fn kept_cursor(&self, name: &str) -> KeptCursor {
        KeptCursor {
            path: self.told_folder().join(format!("{name}.json")),
            workspace: self.root().display().to_string(),
        }
    }
}

impl KeptCursor {
    pub(crate) fn load(&self) -> Result<Option<EventCursor>> {
        let Some(bytes) = file::read_if_exists(&self.path)? else {
            return Ok(None);
        };
        match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) if kept.format == FORMAT => Ok(Some(kept.cursor)),
            Ok(kept) => Err(self.bad(format!("it has format {}", kept.format))),
            Err(error) => Err(self.bad(error.to_string())),
        }
    }

    fn bad(&self, reason: String) -> crate::error::Error {
        EventsError::BadKeptCursor {
            path: self.path.clone(),
            reason,
        }
        .into()
    }

    pub(crate) fn save(&self, cursor: &EventCursor) -> Result<()> {
        let kept = Kept {
            format: FORMAT,
            workspace: self.workspace.clone(),
            cursor: cursor.clone(),
        };
        let bytes = serde_json::to_vec(&kept).expect("a cursor is plain data");
        if let Some(folder) = self.path.parent() {
            file::make_folder(folder)?;
        }
        file::write_if_changed(&self.path, &bytes)?;
        Ok(())
    }
}
