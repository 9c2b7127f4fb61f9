//! Tombs: what collectors have condemned. A condemned object stays where it is, readable, until its tomb has aged by the
//! grace period; meanwhile nothing new relies on it. Removing the tomb undoes the condemnation.

use std::collections::HashSet;

use backlot_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::blob::BlobStore;
use super::name::{StoredName, TOMBS};
use crate::error::{Error, Result};

/// The reason of what cannot be read any more, and stays condemned for ever.
pub(super) const DAMAGED: &str = "damaged";

/// A tomb as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TombContent {
    pub(super) format: u32,
    /// Why: `unreferenced`, `rewritten` or [`DAMAGED`].
    pub(super) reason: String,
    #[serde(default)]
    pub(super) packs: Vec<StoredName>,
    #[serde(default)]
    pub(super) recipes: Vec<StoredName>,
}

impl TombContent {
    pub(super) fn new(reason: &str, packs: Vec<StoredName>, recipes: Vec<StoredName>) -> Self {
        Self {
            format: 1,
            reason: reason.to_owned(),
            packs,
            recipes,
        }
    }
}

/// A tomb with its place and age.
#[derive(Clone, Debug)]
pub(super) struct Tombstone {
    pub(super) name: StoredName,
    pub(super) written: Option<Timestamp>,
    pub(super) content: TombContent,
}

/// Everything that is condemned.
#[derive(Clone, Debug, Default)]
pub(super) struct Condemned {
    pub(super) packs: HashSet<StoredName>,
    pub(super) recipes: HashSet<StoredName>,
}

/// The key of a tomb.
pub(super) fn key(name: StoredName) -> String {
    format!("{TOMBS}{name}.json")
}

/// Write a tomb.
pub(super) fn put(blobs: &dyn BlobStore, content: &TombContent) -> Result<StoredName> {
    let name = StoredName::fresh();
    blobs.put(
        &key(name),
        &serde_json::to_vec_pretty(content).unwrap_or_default(),
    )?;
    Ok(name)
}

/// All existing tombs. An unreadable one stops everything: it may list objects about to be relied on.
pub(super) fn read_all(blobs: &dyn BlobStore) -> Result<Vec<Tombstone>> {
    let mut tombs = Vec::new();
    for entry in blobs.list(TOMBS)? {
        let name = entry
            .key
            .strip_prefix(TOMBS)
            .and_then(|n| n.strip_suffix(".json"));
        let Some(name) = name.and_then(|n| n.parse().ok()) else {
            continue;
        };
        // Removed since it was listed: its work is done.
        let Some(bytes) = blobs.read(&entry.key)? else {
            continue;
        };
        let content: TombContent = serde_json::from_slice(&bytes).map_err(|e| Error::DamagedRemote {
            place: blobs.place(),
            object: entry.key.clone(),
            reason: e.to_string(),
        })?;
        tombs.push(Tombstone {
            name,
            written: entry.modified,
            content,
        });
    }
    Ok(tombs)
}

impl Condemned {
    pub(super) fn by<'a>(tombs: impl IntoIterator<Item = &'a Tombstone>) -> Self {
        let mut condemned = Self::default();
        for tomb in tombs {
            condemned.packs.extend(&tomb.content.packs);
            condemned.recipes.extend(&tomb.content.recipes);
        }
        condemned
    }
}
