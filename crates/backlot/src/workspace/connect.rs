//! Opening a remote by its address: a folder, or a store of objects behind a URL.
//!
//! Invariant: the network is set up only for what lies behind it, and nothing is asked where the layout is known. Deliberately
//! absent: whether it is the remote that was added (`workspace.rs`).

use std::path::Path;
use std::sync::Arc;

use backlot_backend::{ObjectStore, StoreOptions, is_store_url};
use backlot_core::Context;
use backlot_net::{Network, NetworkOptions, PlaceName};
use backlot_store::{Remote, RemoteConfig, RemoteLayout};

use crate::error::Result;
use crate::workspace::config::{RemoteEntry, RepoEntry};
use crate::workspace::settings::Host;

/// What `via` says where a store is read past the site cache of the machine.
pub(crate) const NO_SITE_CACHE: &str = "none";

impl RepoEntry {
    /// The same, past any site cache: for looking at the store itself.
    pub(crate) fn itself(&self) -> Self {
        let mut itself = self.clone();
        itself.store.via = Some(NO_SITE_CACHE.to_owned());
        itself
    }
}

impl RemoteEntry {
    /// The same, past any site cache: for looking at the store itself.
    pub(crate) fn itself(&self) -> Self {
        let mut itself = self.clone();
        itself.store.via = Some(NO_SITE_CACHE.to_owned());
        itself
    }
}

/// Where a remote is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    /// Its name in the workspace, by which credentials are found.
    pub(crate) name: &'a str,
    /// A path or a URL.
    pub(crate) url: &'a str,
    /// How a store is reached.
    pub(crate) options: &'a StoreOptions,
    /// Whose movers move its large objects.
    pub(crate) host: &'a Host,
}

impl Address<'_> {
    fn store(&self, network: impl FnOnce() -> Result<Network>) -> Result<Option<Arc<dyn ObjectStore>>> {
        let is_web = self.url.starts_with("http://") || self.url.starts_with("https://");
        if !is_web && !is_store_url(self.url) {
            return Ok(None);
        }
        let name = PlaceName::Remote(self.name.to_owned());
        let network = network()?;
        let store = backlot_backend::open(&network, &name, self.url, self.options);
        let mut store = store.map_err(backlot_store::Error::from)?;
        if let Some(mover) = self.host.mover(self.url)? {
            store = backlot_backend::moved_by(store, &mover, Remote::is_fixed, &network);
        }
        Ok(Some(match &self.options.via {
            Some(via) => backlot_backend::via(store, Path::new(via), Remote::is_fixed, network.context()),
            None => store,
        }))
    }

    /// Open it; without a layout, with the one of what is there, else chunked. `mirrors` is the folder for what is remembered
    /// of chunked remotes.
    pub(crate) fn open(
        &self,
        layout: Option<RemoteLayout>,
        mirrors: &Path,
        network: impl FnOnce() -> Result<Network>,
    ) -> Result<(RemoteLayout, Remote)> {
        if let Some(store) = self.store(network)? {
            let layout = match layout {
                Some(layout) => layout,
                None => Remote::detect_layout_in(Arc::clone(&store))?,
            };
            return Ok((layout, Remote::in_store(store, layout, mirrors)?));
        }
        let layout = match layout {
            Some(layout) => layout,
            None => Remote::detect_layout(self.url)?,
        };
        let remote = Remote::open(&RemoteConfig {
            url: self.url.to_owned(),
            layout,
            mirrors: mirrors.to_path_buf(),
        })?;
        Ok((layout, remote))
    }
}

/// The network of a host, with a folder of a cache for what is answered.
pub(crate) fn network(host: &Host, cache: &Path, context: &Context) -> Result<Network> {
    let options = NetworkOptions {
        cache: cache.join("index"),
        credentials: crate::workspace::auth::helpers::chain(host)?,
        ..host.network.clone()
    };
    Ok(Network::new(options, context.clone())?)
}
