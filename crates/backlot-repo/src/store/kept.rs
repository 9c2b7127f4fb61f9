//! Listings and small objects, and their local cache.
//!
//! Invariant: a remote object is cached under its key, size and tag, and not read again while those are unchanged; an object on a local disk
//! is kept nowhere else. Deliberately absent: whole files (`file`).

use backlot_backend::Entry;
use backlot_core::file::TemporaryFolder;
use backlot_core::shared;
use backlot_net::{Kind, ResponseMeta};
use backlot_pep::PackageName;

use super::{ReleaseStore, page_key};
use crate::error::{Error, Result};
use crate::layout::{MARKER_LIMIT, Marker, read_marker};

/// The largest page that is read.
const PAGE_LIMIT: u64 = 64 << 20;

impl ReleaseStore {
    /// A small object; an error if it has more than `limit` bytes.
    pub(super) fn bounded(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.0.objects.read(key, limit)? {
            Some(bytes) if bytes.len() as u64 > limit => Err(Error::TooLarge {
                place: self.at(key),
                limit,
            }),
            read => Ok(read),
        }
    }

    /// A small derived file of a folder; `None` if it cannot be used.
    pub(super) fn small_file(&self, key: &str, limit: u64) -> Option<Vec<u8>> {
        self.bounded(key, limit).ok().flatten()
    }

    /// The page of a package for programs; `None` also if it is too large.
    pub(super) fn page_reader(&self, name: &PackageName) -> Result<Option<Vec<u8>>> {
        let page = self.0.objects.read(&page_key(name), PAGE_LIMIT)?;
        Ok(page.filter(|page| page.len() as u64 <= PAGE_LIMIT))
    }

    /// An own folder for temporary caches.
    pub(super) fn scratch(&self, what: &str) -> Result<TemporaryFolder> {
        Ok(match &self.0.kept {
            Some(kept) => shared::temporary_folder(&kept.wheel(what, ""), 1)?,
            None => TemporaryFolder::in_folder(&std::env::temp_dir())?,
        })
    }

    /// The objects below a prefix; offline, those of the last listing.
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
        // A different length: it was replaced since it was listed.
        if !entry.tag.is_empty() && bytes.len() as u64 == entry.size {
            self.keep(&key, &entry.key, &bytes);
        }
        Ok(Some(bytes))
    }

    pub(super) fn kept_key(&self, what: &str, entry: &Entry) -> String {
        let Entry { key, size, tag, .. } = entry;
        format!("{what} {} {size} {tag}", self.at(key))
    }

    /// Cache a remote object or listing on this disk.
    pub(super) fn keep(&self, key: &str, of: &str, bytes: &[u8]) {
        if let Some(responses) = &self.0.kept {
            let place = self.at(of).to_string();
            let head = ResponseMeta::new(&place, &place, 200, bytes);
            responses.keep(Kind::Metadata, key, &head, bytes);
        }
    }

    /// The contents of the marker; `None` if it does not exist. A newer format is an error.
    pub(super) fn marker(&self) -> Result<Option<Marker>> {
        let marker = self.bounded("repo.json", MARKER_LIMIT)?;
        let read = |bytes: Vec<u8>| read_marker(&bytes, &self.at("repo.json"), &self.place());
        marker.map(read).transpose()
    }
}
