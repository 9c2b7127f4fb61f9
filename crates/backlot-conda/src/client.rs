//! The HTTP client for channels behind URLs.
//!
//! Invariants: proxies and certificates are given, never looked up here (the system's own store of certificates excepted); an
//! encrypted request never continues unencrypted.

use std::sync::Arc;

use fs_err as fs;
use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::conda::CondaOptions;
use crate::error::{Error, Result};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;

/// Why a redirect is not followed, after the addresses that were asked; `None` if it is.
fn refused(previous: &[Url], next: &Url) -> Option<&'static str> {
    let was_encrypted = previous.iter().any(|url| url.scheme() == "https");
    match next.scheme() {
        "https" => {}
        "http" if !was_encrypted => {}
        "http" => return Some("it is redirected from https to http, which is not encrypted any more"),
        _ => return Some("it is redirected to what is neither http nor https"),
    }
    (previous.len() > MAX_REDIRECTS).then_some("it is redirected too often")
}

/// A client; one that never encrypts spares loading the system's certificates.
pub(crate) fn build(options: &CondaOptions, encrypted: bool) -> Result<Client> {
    let setup = |reason: String| Error::Setup { reason };
    let mut roots = RootCertStore::empty();
    if encrypted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in &options.roots {
            let pem = fs::read(path).map_err(backlot_core::FileError::from)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate =
                    certificate.map_err(|e| setup(format!("`{}` is not PEM: {e}", path.display())))?;
                roots.add_parsable_certificates([certificate]);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| setup(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("backlot/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .redirect(Policy::custom(|attempt| {
            match refused(attempt.previous(), attempt.url()) {
                Some(reason) => attempt.error(reason),
                None => attempt.follow(),
            }
        }))
        .no_proxy();
    let wrong = |e: reqwest::Error| setup(e.without_url().to_string());
    let skip = || options.proxies.none.as_deref().and_then(NoProxy::from_string);
    if let Some(proxy) = &options.proxies.http {
        builder = builder.proxy(Proxy::http(proxy).map_err(wrong)?.no_proxy(skip()));
    }
    if let Some(proxy) = &options.proxies.https {
        builder = builder.proxy(Proxy::https(proxy).map_err(wrong)?.no_proxy(skip()));
    }
    builder.build().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::refused;

    #[test]
    fn a_redirect_from_https_to_http_is_not_followed() {
        let url = |text: &str| Url::parse(text).expect("valid");
        let asked = |texts: &[&str]| texts.iter().map(|text| url(text)).collect::<Vec<_>>();
        assert_eq!(refused(&asked(&["https://a/x"]), &url("https://b/x")), None);
        assert_eq!(refused(&asked(&["http://a/x"]), &url("http://b/x")), None);
        assert_eq!(refused(&asked(&["http://a/x"]), &url("https://b/x")), None);
        assert!(refused(&asked(&["https://a/x"]), &url("http://a/x")).is_some());
        // Nor in two steps.
        assert!(refused(&asked(&["https://a/x", "https://b/x"]), &url("http://c/x")).is_some());
        assert!(refused(&asked(&["https://a/x"]), &url("file:///etc/passwd")).is_some());
        assert!(refused(&asked(&["https://a/x"; 11]), &url("https://b/x")).is_some());
    }
}
