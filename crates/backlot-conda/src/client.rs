//! The HTTP client for channels behind URLs.
//!
//! Invariant: proxies and certificates are given, never looked up here (the system's own store of certificates excepted).

use std::sync::Arc;

use fs_err as fs;
use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::conda::CondaOptions;
use crate::error::{Error, Result};

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
