//! Opening a remote by its address: a folder, or a store of objects behind a URL.
//!
//! Invariant: nothing is asked by opening; the network is set up only for what lies behind it. Deliberately absent: whether
//! it is the remote that was added (`workspace.rs`).

use std::path::Path;

use backlot_backend::{ObjectStore, StoreOptions, is_store_url};
use backlot_net::{Network, PlaceName};
use backlot_store::{Remote, RemoteConfig, RemoteLayout};

use crate::error::Result;

/// Where a remote is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    /// Its name in the workspace, by which credentials are found; may be empty.
    pub(crate) name: &'a str,
    /// A path or a URL.
    pub(crate) url: &'a str,
    /// How a store is reached.
    pub(crate) options: &'a StoreOptions,
}

impl Address<'_> {
    fn store(
        &self,
        network: impl FnOnce() -> Result<Network>,
    ) -> Result<Option<std::sync::Arc<dyn ObjectStore>>> {
        let is_web = self.url.starts_with("http://") || self.url.starts_with("https://");
        if !is_web && !is_store_url(self.url) {
            return Ok(None);
        }
        let name = PlaceName::Remote(self.name.to_owned());
        let store = backlot_backend::open(&network()?, &name, self.url, self.options);
        Ok(Some(store.map_err(backlot_store::Error::from)?))
    }

    /// Open it. `mirrors` is the folder for what is remembered of chunked remotes.
    pub(crate) fn open(
        &self,
        layout: RemoteLayout,
        mirrors: &Path,
        network: impl FnOnce() -> Result<Network>,
    ) -> Result<Remote> {
        if let Some(store) = self.store(network)? {
            return Ok(Remote::in_store(store, layout, mirrors)?);
        }
        Ok(Remote::open(&RemoteConfig {
            url: self.url.to_owned(),
            layout,
            mirrors: mirrors.to_path_buf(),
        })?)
    }

    /// The layout of what is there already, else chunked.
    pub(crate) fn layout(&self, network: impl FnOnce() -> Result<Network>) -> Result<RemoteLayout> {
        Ok(match self.store(network)? {
            Some(store) => Remote::detect_layout_in(store)?,
            None => Remote::detect_layout(self.url)?,
        })
    }
}
