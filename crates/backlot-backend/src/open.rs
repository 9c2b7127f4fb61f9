//! Which store a URL is of, and opening it.
//!
//! Invariants: nothing is asked yet; a URL holds no secret (the user of an SSH address is part of the address); a
//! credential is looked for by the host that will get it. Deliberately absent: folders and package indexes.

#[cfg(feature = "services")]
use std::sync::Arc;

#[cfg(feature = "services")]
use backlot_core::web::shown_text;
#[cfg(feature = "services")]
use backlot_net::{Account, Network, PlaceName, server_url};
#[cfg(feature = "services")]
use url::Url;

#[cfg(feature = "services")]
use crate::error::{Error, Result};
#[cfg(feature = "services")]
use crate::service::Service;
#[cfg(feature = "services")]
use crate::store::ObjectStore;

/// The schemes of stores that can be written to, with the Cargo feature of each.
const SCHEMES: [(&str, &str); 8] = [
    ("s3", "s3"),
    ("azure", "azure"),
    ("gs", "gcs"),
    ("gdrive", "gdrive"),
    ("oss", "oss"),
    ("webdav+http", "webdav"),
    ("webdav+https", "webdav"),
    ("sftp", "sftp"),
];

backlot_core::options! {
    /// How a store is reached; nothing of it is secret.
    ///
    /// ```
    /// use backlot_backend::StoreOptions;
    ///
    /// let options = StoreOptions::new()
    ///     .endpoint("https://s3.studio.example".to_owned())
    ///     .region("us-east-1".to_owned());
    /// assert!(!options.anonymous);
    /// ```
    #[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct StoreOptions {
        /// The URL of a bucket's server, if it is not the usual one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub endpoint: Option<String>,
        /// The region of an S3 bucket.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub region: Option<String>,
        /// Ask without credentials where the place has none of its own; for public buckets.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub anonymous: bool,
        /// The folder of a site cache that it is read through; see [`crate::via`].
        #[serde(skip_serializing_if = "Option::is_none")]
        pub via: Option<String>,
    }
}

impl StoreOptions {
    /// Whether no bucket options are set.
    pub(crate) fn is_plain(&self) -> bool {
        self.endpoint.is_none() && self.region.is_none() && !self.anonymous
    }
}

/// Whether a URL is that of a store that can be written to: `s3://bucket/prefix`, `azure://container/prefix`,
/// `gs://bucket/prefix`, `oss://bucket/prefix`, `gdrive://root/path`, `webdav+https://host/path`, `webdav+http://host/path`,
/// `sftp://user@host/path`. A scheme that this program was built without is known, and refused by [`open`].
pub fn is_store_url(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    SCHEMES.iter().any(|(known, _)| Some(*known) == scheme)
}

/// Why no store can be opened by a scheme.
pub(crate) fn unsupported(scheme: &str) -> String {
    let web = [("http", "http"), ("https", "http")];
    match SCHEMES.iter().chain(&web).find(|(known, _)| *known == scheme) {
        Some((_, feature)) => format!("this program was built without the feature `{feature}`"),
        None => format!("unsupported scheme `{scheme}`"),
    }
}

/// Open a store by its URL, as `place` for credentials; with `http://` and `https://`, a folder of a web server, which is only
/// read; with `memory://name`, a [shared](crate::shared_memory) one of this process. No request is sent yet. Without configured credentials, a bucket is accessed with those of the service's own tools.
#[cfg(feature = "services")]
pub fn open(
    network: &Network,
    place: &PlaceName,
    url: &str,
    options: &StoreOptions,
) -> Result<Arc<dyn ObjectStore>> {
    let bad = |reason: &str| Error::BadStore {
        url: shown_text(url),
        reason: reason.to_owned(),
    };
    if let Some(name) = url.strip_prefix(crate::memory::SCHEME) {
        return Ok(crate::shared_memory(name));
    }
    let parsed = Url::parse(url).map_err(|e| bad(&e.to_string()))?;
    let is_sftp = parsed.scheme() == "sftp";
    // The user is part of an SSH address, as for `ssh` itself.
    if !is_sftp && !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("it contains credentials"));
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(bad("it has no bucket or host"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad("it has a query or fragment"));
    }
    if is_sftp {
        if !options.is_plain() {
            return Err(bad("an endpoint, a region and `anonymous` require a bucket"));
        }
        #[cfg(feature = "sftp")]
        return Ok(Arc::new(crate::sftp::Sftp::open(network, place, &parsed)?));
        #[cfg(not(feature = "sftp"))]
        return Err(bad(&unsupported("sftp")));
    }
    let account = Account::open(network, place, &credentials_url(&parsed, options))?;
    Ok(Arc::new(Service::open(network, &parsed, options, account)?))
}

/// The address that credentials for a store are found by: of a bucket with an endpoint, the bucket and the prefix below the
/// endpoint, as `https://s3.studio.lan/assets/team`; the server is the known part; for AWS it is not configured.
///
/// ```
/// use backlot_backend::{StoreOptions, credentials_url};
///
/// let options = StoreOptions::new().endpoint("https://s3.studio.lan".to_owned());
/// let url = credentials_url(&"s3://assets/team".parse().unwrap(), &options);
/// assert_eq!(url.as_str(), "https://s3.studio.lan/assets/team");
/// ```
#[cfg(feature = "services")]
pub fn credentials_url(url: &Url, options: &StoreOptions) -> Url {
    // A signature is made with the key, which is not sent; yet who may listen could use it again.
    let Some(mut server) = options.endpoint.as_deref().and_then(|e| Url::parse(e).ok()) else {
        return server_url(url);
    };
    let above = server.path().trim_end_matches('/').to_owned();
    server.set_path(&format!(
        "{above}/{}{}",
        url.host_str().unwrap_or_default(),
        url.path()
    ));
    server
}
