//! Results of pipelines beside the objects they name: small files `<2 hex digits>/<key>/<value>`, in our layout or in DVC's.
//!
//! Invariants: a result is written after its objects were sent, and never replaced; what is read is not trusted, the caller checks that it
//! is what its name says. Collections do not count results as users of objects: one whose objects are gone is as good as absent.
//! Deliberately absent: what is in them (`backlot-dvc`).

use std::sync::Arc;

use backlot_backend::ObjectStore;
use backlot_core::Sha256;

use super::{Backend, Remote};
use crate::error::Result;

/// Largest result that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;
/// What a store is told that a result is.
const TYPE: &str = "application/octet-stream";

/// How entries of the run cache are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunCacheLayout {
    /// Our own.
    Backlot,
    /// DVC's, below `runs`.
    Dvc,
}

impl Remote {
    /// Where results lie; `None` where the remote has no place for them: DVC does not read chunked remotes.
    const fn results_prefix(&self, layout: RunCacheLayout) -> Option<&'static str> {
        match (&self.backend, layout) {
            (Backend::Chunked(_), RunCacheLayout::Backlot) => Some("v1/results/"),
            (Backend::Chunked(_), RunCacheLayout::Dvc) => None,
            (Backend::Folder(_) | Backend::Service(_), RunCacheLayout::Backlot) => Some("run-results/"),
            (Backend::Folder(_) | Backend::Service(_), RunCacheLayout::Dvc) => Some("runs/"),
        }
    }

    /// Whether it has a place for results.
    pub const fn has_results(&self, layout: RunCacheLayout) -> bool {
        self.results_prefix(layout).is_some()
    }

    /// The store of a remote in DVC's layout.
    fn plain_store(&self) -> Option<Arc<dyn ObjectStore>> {
        match &self.backend {
            Backend::Folder(remote) => Some(remote.store()),
            Backend::Service(remote) => Some(remote.store()),
            Backend::Chunked(_) => None,
        }
    }

    /// The names of the results of a key, sorted. None are found on a server that cannot be listed.
    pub fn result_names(&self, layout: RunCacheLayout, key: &Sha256) -> Result<Vec<String>> {
        let Some(prefix) = self.results_prefix(layout) else {
            return Ok(Vec::new());
        };
        let hex = key.to_hex();
        let below = format!("{prefix}{}/{hex}/", &hex[..2]);
        let keys: Vec<String> = match (&self.backend, self.plain_store()) {
            (Backend::Chunked(remote), _) => remote.small_keys(&below)?,
            (_, Some(store)) if store.traits().lists => store
                .list(&below, false)?
                .into_iter()
                .map(|entry| entry.key)
                .collect(),
            _ => Vec::new(),
        };
        let names = keys.iter().filter_map(|key| key.strip_prefix(prefix));
        let mut names: Vec<String> = names
            .filter(|name| !name.ends_with('/'))
            .map(ToOwned::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    /// The bytes of a result, or of one that is too large the first of them; `None` if there is none.
    pub fn read_result(&self, layout: RunCacheLayout, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(prefix) = self.results_prefix(layout) else {
            return Ok(None);
        };
        let key = format!("{prefix}{name}");
        match (&self.backend, self.plain_store()) {
            (Backend::Chunked(remote), _) => remote.read_small(&key, MOST_BYTES),
            (_, Some(store)) => Ok(store.read(&key, MOST_BYTES)?),
            _ => Ok(None),
        }
    }

    /// Store a result, whose objects must be there. Returns whether the remote has a place for it.
    pub fn write_result(&self, layout: RunCacheLayout, name: &str, bytes: &[u8]) -> Result<bool> {
        self.check_known()?;
        let Some(prefix) = self.results_prefix(layout) else {
            return Ok(false);
        };
        let key = format!("{prefix}{name}");
        match (&self.backend, self.plain_store()) {
            (Backend::Chunked(remote), _) => remote.write_small(&key, bytes)?,
            (_, Some(store)) => store.write(&key, bytes.to_vec(), TYPE)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
