//! The way out of the machine: one HTTP client for all indexes of a program, with its limits.
//!
//! Invariants: proxies, certificates and credentials are given, never looked up here (the system's own store of
//! certificates excepted); no more requests are in flight than stated; every wait ends when the work is cancelled.
//! Deliberately absent: what is asked for.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backlot_core::Context;
use backlot_core::web::may_carry_secret;
use fs_err as fs;
use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use url::Url;

use super::credentials::{Credential, Credentials};
use super::error::IndexError;
use super::store::Store;
use crate::error::{Error, Result};

/// How to reach indexes, and where to keep what they say.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The folder for pages and metadata; made when needed, safe to delete at any time.
    pub cache: PathBuf,
    /// Use only what is kept.
    pub offline: bool,
    /// Which proxies to go through.
    pub proxies: Proxies,
    /// PEM files of certificate authorities to trust beside the system's.
    pub roots: Vec<PathBuf>,
    /// Finds credentials.
    pub credentials: Option<Arc<dyn Credentials>>,
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
}

/// Proxies by the scheme of what is asked for; a URL each, with user and password if need be.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Hosts that are asked directly, as in `NO_PROXY`.
    pub none: Option<String>,
}

/// Who we are to SSH servers where a repo does not say it, and which of them we know. Without known hosts, none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// The user where a URL names none.
    pub user: Option<String>,
    /// The socket (on Windows the pipe) of an agent.
    pub agent: Option<PathBuf>,
    /// Files with keys to try where a repo has none of its own; those that are not there are passed over.
    pub keys: Vec<PathBuf>,
    /// Files with the host keys of servers, as `ssh` keeps them. New ones belong into the first; nothing is ever added.
    pub known_hosts: Vec<PathBuf>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may hold passwords.
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("none", &self.none)
            .finish()
    }
}

impl NetworkOptions {
    /// Straight out, keeping answers in a folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            offline: false,
            proxies: Proxies::default(),
            roots: Vec::new(),
            credentials: None,
            ssh: SshOptions::default(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            page_timeout: Duration::from_mins(5),
            retries: 3,
            pause: Duration::from_millis(250),
            parallel: 50,
        }
    }
}

/// The HTTP client of a program. Cheap to clone.
#[derive(Clone)]
pub struct Network(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) options: NetworkOptions,
    pub(crate) context: Context,
    pub(crate) store: Store,
    pub(crate) permits: Semaphore,
    runtime: Option<Runtime>,
    plain: OnceLock<Result<Client, String>>,
    encrypted: OnceLock<Result<Client, String>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting here would be wrong inside somebody's own runtime, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}

impl Network {
    /// Set it up; nothing is asked yet.
    pub fn new(options: NetworkOptions, context: Context) -> Result<Self> {
        // On the thread that asks: where one answer leads to the next question, each hop between threads costs as much as
        // the question. What is asked from several threads at once takes turns.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| IndexError::Setup {
                reason: e.to_string(),
            })?;
        Ok(Self(Arc::new(Shared {
            store: Store::new(&options.cache),
            permits: Semaphore::new(options.parallel.max(1)),
            options,
            context,
            runtime: Some(runtime),
            plain: OnceLock::new(),
            encrypted: OnceLock::new(),
        })))
    }

    /// Run to the end, or until the work is cancelled. Not to be called on a thread of an asynchronous runtime.
    pub(crate) fn block<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.context.check()?;
        let stopped = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if let Err(cancelled) = self.0.context.check() {
                    return Err(Error::from(cancelled));
                }
            }
        };
        let runtime = self.0.runtime.as_ref().expect("taken only when dropped");
        runtime.block_on(Box::pin(futures_lite::future::or(work, stopped)))
    }

    /// The client for a scheme. The one that never encrypts spares loading the system's certificates.
    pub(crate) fn client(&self, scheme: &str) -> Result<Client> {
        let encrypted = scheme == "https";
        let slot = if encrypted {
            &self.0.encrypted
        } else {
            &self.0.plain
        };
        if encrypted {
            // A file the person named is worth an error that names it.
            for path in &self.0.options.roots {
                certificates(path)?;
            }
        }
        let made = slot.get_or_init(|| build(&self.0.options, encrypted));
        made.clone().map_err(|reason| IndexError::Setup { reason }.into())
    }
}

impl Network {
    /// A client for requests that may take long until something is answered, as uploads do.
    pub(crate) fn patient_client(&self, scheme: &str, patience: Duration) -> Result<Client> {
        let options = NetworkOptions {
            read_timeout: patience,
            ..self.0.options.clone()
        };
        let made = build(&options, scheme == "https");
        made.map_err(|reason| IndexError::Setup { reason }.into())
    }

    /// Who we are to a repo.
    pub(crate) fn credential(&self, repo: &str, host: &str) -> Option<Credential> {
        self.0.options.credentials.as_ref()?.find(repo, host)
    }

    /// Who we are to a repo at a URL; nobody where that would be said unencrypted.
    pub(crate) fn credential_at(&self, repo: &str, url: &Url) -> Option<Credential> {
        let host = url.host_str().unwrap_or_default();
        may_carry_secret(url)
            .then(|| self.credential(repo, host))
            .flatten()
    }

    /// The file with the SSH key that a repo is used with.
    pub(crate) fn key(&self, repo: &str) -> Option<PathBuf> {
        self.0.options.credentials.as_ref()?.key(repo)
    }

    /// How SSH servers are signed in to.
    pub(crate) fn ssh(&self) -> &SshOptions {
        &self.0.options.ssh
    }

    /// How long to wait for a connection.
    pub(crate) fn connect_patience(&self) -> Duration {
        self.0.options.connect_timeout
    }

    /// Fine if a store at a place may be asked for an object.
    pub(crate) fn check_online(&self, key: &str, place: &str) -> Result<()> {
        if self.is_offline() {
            return Err(IndexError::Offline {
                what: format!("`{key}`"),
                url: place.to_owned(),
            }
            .into());
        }
        Ok(())
    }

    /// Whether nothing may be asked.
    pub(crate) fn is_offline(&self) -> bool {
        self.0.options.offline
    }

    /// Where answers are kept.
    pub(crate) fn store(&self) -> Store {
        self.0.store.clone()
    }
}

fn build(options: &NetworkOptions, encrypted: bool) -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    if encrypted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in &options.roots {
            roots.add_parsable_certificates(certificates(path).map_err(|e| e.to_string())?);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("backlot/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .tcp_nodelay(true)
        .no_proxy();
    let skip = || options.proxies.none.as_deref().and_then(NoProxy::from_string);
    if let Some(proxy) = &options.proxies.http {
        builder = builder.proxy(Proxy::http(proxy).map_err(reason)?.no_proxy(skip()));
    }
    if let Some(proxy) = &options.proxies.https {
        builder = builder.proxy(Proxy::https(proxy).map_err(reason)?.no_proxy(skip()));
    }
    builder.build().map_err(reason)
}

/// What a failed request says, without its URL: the innermost cause is the one that tells.
pub(crate) fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            "no connection in time".to_owned()
        } else {
            "nothing came in time".to_owned()
        };
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = next.to_string();
        cause = next.source();
    }
    text
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>> {
    let bad = |reason: String| IndexError::BadCertificates {
        path: path.clone(),
        reason,
    };
    let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| bad(e.to_string()))?;
    if found.is_empty() {
        return Err(bad("it has no certificate in PEM".to_owned()).into());
    }
    Ok(found)
}
