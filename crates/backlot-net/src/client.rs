//! The HTTP client: TLS on rustls, proxies, time limits. The one place that makes one.
//!
//! Invariants: nothing is read from the environment; the certificates are the system's and those that were named, and a
//! named file that holds none is an error. Deliberately absent: redirects, which the caller follows by its own rule.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::redirect::refused;

/// Proxies by the scheme of the request; a URL each, with user and password if need be.
///
/// ```
/// use backlot_net::{NetworkOptions, Proxies};
///
/// let mut options = NetworkOptions::new("cache");
/// options.proxies = Proxies {
///     https: Some("http://proxy.studio.example:3128".to_owned()),
///     none: Some("localhost,.studio.example".to_owned()),
///     ..Proxies::default()
/// };
/// ```
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Hosts that are asked directly, as in `NO_PROXY`.
    pub none: Option<String>,
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

/// How a client is made.
///
/// ```
/// use std::time::Duration;
///
/// use backlot_net::{ClientOptions, Proxies, build_client};
///
/// let client = build_client(ClientOptions {
///     proxies: &Proxies::default(),
///     roots: &[],
///     connect_timeout: Duration::from_secs(10),
///     read_timeout: Duration::from_secs(30),
///     encrypted: false,
///     follows: false,
/// })
/// .unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions<'a> {
    /// Which proxies to go through.
    pub proxies: &'a Proxies,
    /// PEM files of certificate authorities to trust beside the system's.
    pub roots: &'a [PathBuf],
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the next bytes.
    pub read_timeout: Duration,
    /// Whether `https` is spoken: one that never encrypts spares loading the system's certificates.
    pub encrypted: bool,
    /// Whether the client follows redirects by itself, as far as [`refused`] lets it; else the caller is given them.
    pub follows: bool,
}

/// Make a client.
pub fn build_client(options: ClientOptions<'_>) -> Result<Client> {
    let setup = |reason: String| Error::Setup { reason };
    let mut roots = RootCertStore::empty();
    if options.encrypted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in options.roots {
            // A file set by the user needs an error that names it.
            roots.add_parsable_certificates(certificates(path)?);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| setup(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let policy = if options.follows {
        Policy::custom(|attempt| match refused(attempt.previous(), attempt.url()) {
            Some(reason) => attempt.error(reason),
            None => attempt.follow(),
        })
    } else {
        Policy::none()
    };
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("backlot/", env!("CARGO_PKG_VERSION")))
        .redirect(policy)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .tcp_nodelay(true)
        .no_proxy();
    let wrong = |e: reqwest::Error| setup(reason(e));
    let proxies = options.proxies;
    let skip = || proxies.none.as_deref().and_then(NoProxy::from_string);
    if let Some(proxy) = &proxies.http {
        builder = builder.proxy(Proxy::http(proxy).map_err(wrong)?.no_proxy(skip()));
    }
    if let Some(proxy) = &proxies.https {
        builder = builder.proxy(Proxy::https(proxy).map_err(wrong)?.no_proxy(skip()));
    }
    builder.build().map_err(wrong)
}

/// The reason of a failed request, without its URL: the innermost cause is the informative one.
pub fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            "the connection timed out".to_owned()
        } else {
            "the response timed out".to_owned()
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
    let bad = |reason: String| Error::BadCertificates {
        path: path.clone(),
        reason,
    };
    let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| bad(e.to_string()))?;
    if found.is_empty() {
        return Err(bad("it contains no PEM certificate".to_owned()));
    }
    Ok(found)
}
