//! The network of a program: its client, its runtime, and how it may be used.
//!
//! Invariants: no more requests are in flight than stated; every wait ends when the work is cancelled; a credential is
//! found for a place and a host together. Deliberately absent: the requests themselves.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backlot_core::{Cancelled, Context};
use reqwest::Client;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::client::{ClientOptions, Proxies, build_client};
use crate::credentials::{CredentialChain, PlaceName};
use crate::error::{Error, Result};
use crate::http_cache::HttpCache;
use crate::runtime::Runtime;

/// How long a request with a body may go without an answer: a wheel on a slow line.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(30);

/// How to reach servers, and where to cache responses.
///
/// ```
/// use backlot_core::Context;
/// use backlot_net::{Network, NetworkOptions};
///
/// let folder = tempfile::tempdir().unwrap();
/// let mut options = NetworkOptions::new(folder.path());
/// options.offline = true;
/// let network = Network::new(options, Context::default()).unwrap();
/// assert!(network.is_offline());
/// ```
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The folder for pages and metadata; made when needed, safe to delete at any time.
    pub cache: PathBuf,
    /// Use only cached responses.
    pub offline: bool,
    /// Which proxies to go through.
    pub proxies: Proxies,
    /// PEM files of certificate authorities to trust beside the system's.
    pub roots: Vec<PathBuf>,
    /// Where credentials are found.
    pub credentials: CredentialChain,
    /// How SSH servers are signed in to.
    pub ssh: SshOptions,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the next bytes.
    pub read_timeout: Duration,
    /// How long one page or one file of metadata may take in all.
    pub page_timeout: Duration,
    /// How often to ask again after a failure that may pass.
    pub retries: u32,
    /// The first pause before asking again; doubled each time, with jitter.
    pub pause: Duration,
    /// How many requests may be in flight.
    pub parallel: usize,
    /// The runtime of requests; networks with the same one share it.
    pub runtime: Runtime,
}

/// SSH keys for servers where a repo does not set one, and known hosts. Without known hosts, no server is trusted.
///
/// ```
/// use backlot_net::{NetworkOptions, SshOptions};
///
/// let mut options = NetworkOptions::new("cache");
/// options.ssh = SshOptions {
///     user: Some("ana".to_owned()),
///     known_hosts: vec!["/home/ana/.ssh/known_hosts".into()],
///     ..SshOptions::default()
/// };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// The user where a URL names none.
    pub user: Option<String>,
    /// The socket (on Windows the pipe) of an agent.
    pub agent: Option<PathBuf>,
    /// Key files to try if a repo does not set one; missing ones are skipped.
    pub keys: Vec<PathBuf>,
    /// Files with the host keys of servers, as `ssh` keeps them. New ones belong into the first; nothing is ever added.
    pub known_hosts: Vec<PathBuf>,
}

impl NetworkOptions {
    /// Straight out, keeping answers in a folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            offline: false,
            proxies: Proxies::default(),
            roots: Vec::new(),
            credentials: CredentialChain::default(),
            ssh: SshOptions::default(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            page_timeout: Duration::from_mins(5),
            retries: 3,
            pause: Duration::from_millis(250),
            parallel: 50,
            runtime: Runtime::default(),
        }
    }
}

/// The network of a program. Cheap to clone; clones share the client and the runtime.
///
/// ```
/// use backlot_core::Context;
/// use backlot_net::{Error, Network, NetworkOptions};
///
/// let folder = tempfile::tempdir().unwrap();
/// let network = Network::new(NetworkOptions::new(folder.path()), Context::default()).unwrap();
/// let answer = network.block(async { Ok::<_, Error>(6 * 7) });
/// assert_eq!(answer.unwrap(), 42);
/// ```
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
    context: Context,
}

/// The clients of a scheme, made when first needed.
#[derive(Default)]
struct Clients {
    quick: OnceLock<Client>,
    uploads: OnceLock<Client>,
}

struct Shared {
    options: NetworkOptions,
    responses: HttpCache,
    permits: Semaphore,
    plain: Clients,
    encrypted: Clients,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Set it up; nothing is asked yet.
    pub fn new(options: NetworkOptions, context: Context) -> Result<Self> {
        let shared = Arc::new(Shared {
            responses: HttpCache::new(&options.cache),
            permits: Semaphore::new(options.parallel.max(1)),
            options,
            plain: Clients::default(),
            encrypted: Clients::default(),
        });
        Ok(Self { shared, context })
    }

    /// The same network for other work: stopping one does not stop the other.
    #[must_use]
    pub fn with_context(&self, context: &Context) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            context: context.clone(),
        }
    }

    /// Run to the end, or until the work is cancelled; on any thread, also one of another asynchronous runtime, which
    /// then does nothing else meanwhile.
    pub fn block<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        E: From<Cancelled> + From<Error>,
    {
        self.context.check()?;
        let stopped = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if let Err(cancelled) = self.context.check() {
                    return Err(E::from(cancelled));
                }
            }
        };
        let work = Box::pin(futures_lite::future::or(work, stopped));
        self.shared.options.runtime.block_on(work)?
    }

    /// The client for a scheme, which follows no redirect by itself.
    pub fn client(&self, scheme: &str) -> Result<Client> {
        self.kept(scheme, self.shared.options.read_timeout, |clients| &clients.quick)
    }

    /// The client for requests that may take long until something is answered, as uploads do.
    pub fn upload_client(&self, scheme: &str) -> Result<Client> {
        self.kept(scheme, UPLOAD_PATIENCE, |clients| &clients.uploads)
    }

    fn kept(
        &self,
        scheme: &str,
        patience: Duration,
        slot: impl Fn(&Clients) -> &OnceLock<Client>,
    ) -> Result<Client> {
        let encrypted = scheme == "https";
        let slot = slot(if encrypted {
            &self.shared.encrypted
        } else {
            &self.shared.plain
        });
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let made = self.build(encrypted, patience)?;
        Ok(slot.get_or_init(|| made).clone())
    }

    fn build(&self, encrypted: bool, read_timeout: Duration) -> Result<Client> {
        build_client(ClientOptions {
            proxies: &self.shared.options.proxies,
            roots: &self.shared.options.roots,
            connect_timeout: self.shared.options.connect_timeout,
            read_timeout,
            encrypted,
            follows: false,
        })
    }

    /// The file with the SSH key that a place is used with.
    pub fn key(&self, place: &PlaceName) -> Option<PathBuf> {
        self.shared.options.credentials.key(place)
    }

    /// How it was set up.
    pub fn options(&self) -> &NetworkOptions {
        &self.shared.options
    }

    /// The work it is used for.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Where answers are kept.
    pub fn responses(&self) -> &HttpCache {
        &self.shared.responses
    }

    /// Wait until another request may be in flight.
    pub async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        self.shared.permits.acquire().await.map_err(|e| Error::Setup {
            reason: e.to_string(),
        })
    }

    /// Fine if a store at a place may be asked for an object.
    pub fn check_online(&self, key: &str, place: &str) -> Result<()> {
        if self.is_offline() {
            return Err(Error::Offline {
                what: format!("`{key}`"),
                url: place.to_owned(),
            });
        }
        Ok(())
    }

    /// Whether nothing may be asked.
    pub fn is_offline(&self) -> bool {
        self.shared.options.offline
    }
}
