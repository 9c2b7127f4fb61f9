//! The door to conda: one cache, one HTTP client, and the runtime of the program.
//!
//! Invariant: every wait ends when the work is cancelled.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::Context;
use backlot_core::shared::{self, Modes};
use backlot_net::{ClientOptions, Proxies, Runtime, build_client};
use fs_err as fs;
use rattler::package_cache::PackageCache;
use reqwest::Client;

use crate::error::{Error, Result};

/// Where to keep packages, and how to reach channels.
#[derive(Clone, Debug)]
pub struct CondaOptions {
    /// The folder for packages and indexes; made when needed, safe to delete at any time.
    pub cache: PathBuf,
    /// The base of relative channels and packages.
    pub root: PathBuf,
    /// Use only cached data of channels with URLs.
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
    /// The runtime of requests.
    pub runtime: Runtime,
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
            runtime: Runtime::default(),
        }
    }
}

/// The folder of unpacked packages in the cache.
pub(crate) const PACKAGES: &str = "packages";
/// The folder of what channels say, in the cache.
pub(crate) const INDEXES: &str = "indexes";

/// Give the files of a folder its modes, and what is in the folders of it if it is `deep`. Of others' files they are theirs to give.
fn share(folder: &Path, deep: bool) {
    let modes = Modes::of(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_file() => drop(shared::set_mode(&entry.path(), modes.file())),
            Ok(kind) if kind.is_dir() && deep => {
                shared::set_mode(&entry.path(), modes.folder()).ok();
                share(&entry.path(), deep);
            }
            _ => {}
        }
    }
}

/// Solves, fetches and installs.
pub struct Conda {
    pub(crate) options: CondaOptions,
    pub(crate) context: Context,
    pub(crate) packages: PackageCache,
}

impl fmt::Debug for Conda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conda")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Conda {
    /// Set it up; nothing is asked yet.
    pub fn new(options: CondaOptions, context: Context) -> Result<Self> {
        Ok(Self {
            packages: PackageCache::new(options.cache.join(PACKAGES)),
            options,
            context,
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

    /// The same for work in a folder of the cache, for which rattler makes files by the umask: others may share the cache, so what lies
    /// there then has its modes. Unpacked packages, which are folders of `packages`, have them already.
    pub(crate) fn block_in<T>(&self, folder: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let path = self.options.cache.join(folder);
        shared::make_folder_for_now(&path)?;
        let done = self.block(work);
        share(&path, folder != PACKAGES);
        done
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
        let done = self.options.runtime.block_on(Box::pin(both));
        done.map_err(|e| Error::Setup {
            reason: e.to_string(),
        })?
    }
}
