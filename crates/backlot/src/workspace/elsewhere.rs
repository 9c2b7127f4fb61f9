//! A configuration for another folder, which finds releases and files where this workspace does.
//!
//! Invariant: all places in it are whole, so it means the same wherever the folder lies. Deliberately absent: what a workspace asks for and makes; rules,
//! inputs, channels and outputs stay behind.

use std::path::Path;

use backlot_backend::StoreOptions;

use crate::error::Result;
use crate::workspace::Opened;
use crate::workspace::config::{Config, RemoteEntry, RepoEntry};
use crate::workspace::connect::NO_SITE_CACHE;

impl Opened {
    /// These repos, the remotes of this workspace, and its Python, cache and way of placing files.
    pub(crate) fn config_elsewhere(&self, root: &Path, repos: Vec<&RepoEntry>) -> Result<Config> {
        let mut config = Config::new(root)?;
        for entry in repos {
            config.add_repo(RepoEntry {
                place: self.resolve_place(&entry.place),
                store: self.whole_store(&entry.store),
                ..entry.clone()
            });
        }
        for entry in &self.config().remotes {
            config.add_remote(RemoteEntry {
                url: self.resolve_place(&entry.url),
                store: self.whole_store(&entry.store),
                ..entry.clone()
            });
        }
        config.set_default_remote(self.config().default_remote.as_deref());
        let settings = self.settings();
        let python = settings.python.value.as_deref().map(|python| {
            let is_path = python.contains(std::path::is_separator);
            if is_path {
                self.resolve_place(python)
            } else {
                python.to_owned()
            }
        });
        config.set_python(python.as_deref());
        config.set_cache(Some(&self.cache_dir().display().to_string()));
        config.set_links(Some(settings.links.value.clone()));
        Ok(config)
    }

    fn whole_store(&self, store: &StoreOptions) -> StoreOptions {
        let via = store.via.as_deref().map(|via| match via {
            NO_SITE_CACHE => via.to_owned(),
            folder => self.resolve_place(folder),
        });
        store.clone().via(via)
    }
}
