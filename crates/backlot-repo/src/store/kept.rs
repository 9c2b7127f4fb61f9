//! Listings and small objects, and what of them is kept on this disk.
//!
//! Invariant: what was read from afar is kept under its key, size and tag, and not read again while those stay; what lies on a disk of this machine
//! is kept nowhere else. Deliberately absent: whole wheels (`wheels`).

use backlot_backend::Entry;
use backlot_core::file::TemporaryFolder;
use backlot_core::shared;
use backlot_net::{Head, Kind};

use super::ReleaseStore;
use crate::error::Result;

impl ReleaseStore {
    /// A small derived file of a folder; `None` if it cannot be used.
    pub(super) fn small_file(&self, key: &str, limit: u64) -> Option<Vec<u8>> {
        let bytes = self.0.objects.read(key, limit).ok().flatten()?;
        (bytes.len() as u64 <= limit).then_some(bytes)
    }

    /// A folder of its own for what is looked at once.
    pub(super) fn scratch(&self, what: &str) -> Result<TemporaryFolder> {
        Ok(match &self.0.kept {
            Some(kept) => shared::temporary_folder(&kept.wheel(what, ""), 1)?,
            None => TemporaryFolder::in_folder(&std::env::temp_dir())?,
        })
    }

    /// What lies below a prefix now; offline, when it was last listed.
    pub(super) fn listed(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        if self.is_local() {
            return Ok(self.0.objects.list(prefix, deep)?);
        }
        let key = format!("listing {}", self.at(prefix));
        if self.0.objects.is_offline()
            && let Some(kept) = self.find_kept(Kind::Metadata, &key)
            && let Ok(entries) = serde_json::from_slice(&kept.body)
        {
            return Ok(entries);
        }
        let entries = self.0.objects.list(prefix, deep)?;
        let bytes = serde_json::to_vec(&entries).expect("entries are plain data");
        self.keep(&key, prefix, &bytes);
        Ok(entries)
    }

    /// A small object as it was listed; `None` if it is too large or gone.
    pub(super) fn small(&self, entry: &Entry, limit: u64) -> Result<Option<Vec<u8>>> {
        if entry.size > limit {
            return Ok(None);
        }
        let key = self.kept_key("object", entry);
        if !entry.tag.is_empty()
            && let Some(kept) = self.find_kept(Kind::Metadata, &key)
        {
            return Ok(Some(kept.body));
        }
        let Some(bytes) = self.0.objects.read(&entry.key, limit)? else {
            return Ok(None);
        };
        if bytes.len() as u64 > limit {
            return Ok(None);
        }
        // Another length: it was replaced since it was listed, and is not what the key says.
        if !entry.tag.is_empty() && bytes.len() as u64 == entry.size {
            self.keep(&key, &entry.key, &bytes);
        }
        Ok(Some(bytes))
    }

    pub(super) fn kept_key(&self, what: &str, entry: &Entry) -> String {
        let Entry { key, size, tag, .. } = entry;
        format!("{what} {} {size} {tag}", self.at(key))
    }

    /// Keep on this disk what was read of an object or a folder far away.
    pub(super) fn keep(&self, key: &str, of: &str, bytes: &[u8]) {
        if let Some(responses) = &self.0.kept {
            let place = self.at(of).to_string();
            let head = Head::new(&place, &place, 200, bytes);
            responses.keep(Kind::Metadata, key, &head, bytes);
        }
    }
}
