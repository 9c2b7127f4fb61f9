//! The door to conda: one cache, one runtime, one HTTP client.
//!
//! Invariant: every wait ends when the work is cancelled.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use backlot_core::Context;
use backlot_net::{ClientOptions, Proxies, build_client};
use rattler::package_cache::PackageCache;
use reqwest::Client;
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

/// Where to keep packages, and how to reach channels.
#[derive(Clone, Debug)]
pub struct CondaOptions {
    /// The folder for packages and indexes; made when needed, safe to delete at any time.
    pub cache: PathBuf,
    /// What relative channels and packages are relative to.
    pub root: PathBuf,
    /// Use only what is cached of channels behind URLs.
    pub offline: bool,
    /// Which proxies to go through.
    pub proxies: Proxies,
    /// PEM files of certificate authorities to trust beside the system's.
    pub roots: Vec<PathBuf>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the next bytes.
    pub read_timeout: Duration,
    /// How often to ask again after a failure that may pass.
    pub retries: u32,
}

impl CondaOptions {
    /// Straight out, with a cache, and a folder that relative places are relative to.
    pub fn new(cache: impl Into<PathBuf>, root: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            root: root.into(),
            offline: false,
            proxies: Proxies::default(),
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            retries: 3,
        }
    }
}

/// Solves, fetches and installs.
pub struct Conda {
    pub(crate) options: CondaOptions,
    pub(crate) context: Context,
    pub(crate) packages: PackageCache,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Conda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conda")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Drop for Conda {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting here would be wrong inside somebody's own runtime, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}

impl Conda {
    /// Set it up; nothing is asked yet.
    pub fn new(options: CondaOptions, context: Context) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("backlot-conda")
            .enable_all()
            .build()
            .map_err(|e| Error::Setup {
                reason: e.to_string(),
            })?;
        Ok(Self {
            packages: PackageCache::new(options.cache.join("packages")),
            options,
            context,
            runtime: Some(runtime),
        })
    }

    pub(crate) fn client(&self, encrypted: bool) -> Result<Client> {
        let made = build_client(ClientOptions {
            proxies: &self.options.proxies,
            roots: &self.options.roots,
            connect_timeout: self.options.connect_timeout,
            read_timeout: self.options.read_timeout,
            encrypted,
            follows: true,
        });
        made.map_err(|e| Error::Setup {
            reason: e.to_string(),
        })
    }

    /// Run to the end, or until the work is cancelled.
    pub(crate) fn block<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.context.check()?;
        let stopped = async {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if let Err(cancelled) = self.context.check() {
                    return Error::from(cancelled);
                }
            }
        };
        let both = async {
            tokio::select! {
                biased;
                done = work => done,
                cancelled = stopped => Err(cancelled),
            }
        };
        let runtime = self.runtime.as_ref().expect("taken only when dropped");
        runtime.block_on(Box::pin(both))
    }
}
