//! Making an operator of OpenDAL for each kind of store.
//!
//! Invariant: no credential is in a URL or an error. Deliberately absent: asking anything.

use backlot_core::web::shown_text;
use backlot_net::Credential;
use opendal::{Operator, services};
use url::Url;

use crate::error::{Error, Result};
use crate::open::StoreOptions;

/// The bucket, and by what scheme it is reached.
pub(super) fn s3(
    url: &Url,
    root: &str,
    options: &StoreOptions,
    credential: Option<Credential>,
) -> Result<(opendal::Result<Operator>, &'static str)> {
    let bad = |url: &str, reason: &str| Error::BadStore {
        url: shown_text(url),
        reason: reason.to_owned(),
    };
    if url.port().is_some() {
        return Err(bad(
            url.as_str(),
            "a bucket has no port: the server is the `endpoint`",
        ));
    }
    let mut service = services::S3::default()
        .bucket(url.host_str().unwrap_or_default())
        .root(root);
    let mut scheme = "https";
    if let Some(endpoint) = &options.endpoint {
        let parsed = Url::parse(endpoint).map_err(|e| bad(endpoint, &e.to_string()))?;
        scheme = match parsed.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(bad(endpoint, "an endpoint begins with `https://` or `http://`")),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad(endpoint, "credentials do not belong in a URL"));
        }
        service = service.endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        service = service.region(region);
    }
    if let Some(credential) = credential {
        service = service
            .access_key_id(&credential.user)
            .secret_access_key(&credential.password);
    } else if options.anonymous {
        service = service.skip_signature();
    }
    Ok((Operator::new(service), scheme))
}

pub(super) fn webdav(
    url: &Url,
    scheme: &str,
    root: &str,
    credential: Option<Credential>,
) -> opendal::Result<Operator> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut service = services::Webdav::default()
        .endpoint(&format!("{scheme}://{host}{port}"))
        .root(root);
    if let Some(credential) = credential {
        service = service.username(&credential.user).password(&credential.password);
    }
    Operator::new(service)
}
