//! Making an operator of OpenDAL for each kind of store: the one place that a new service is added to.
//!
//! Invariant: no credential is in a URL or an error. Deliberately absent: asking anything.

use backlot_core::web::{percent_decode, shown_text};
use backlot_net::Credential;
use opendal::{Operator, services};
use url::Url;

use super::clean;
use super::long::{Way, WholePut};
use crate::error::{Error, Result};
use crate::open::{StoreOptions, unsupported};
use crate::store::{CommitBy, Traits};

/// Settings for a store with many concurrent requests.
const OBJECTS: Traits = Traits {
    concurrency: 64,
    gap: 1 << 20,
    lists: true,
    by_folder: false,
    exclusive: true,
};

/// A store, not asked yet.
pub(super) struct Connection {
    pub(super) operator: Operator,
    pub(super) commit_by: CommitBy,
    /// The scheme of its requests.
    pub(super) scheme: &'static str,
    pub(super) traits: Traits,
    pub(super) long: Way,
    /// Where its requests go instead of the service's own hosts, for a service that has no endpoint.
    pub(super) instead: Option<Url>,
}

/// The options of a store.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) url: &'a Url,
    pub(super) options: &'a StoreOptions,
    pub(super) credential: Option<&'a Credential>,
}

impl Given<'_> {
    /// The store of a URL.
    pub(super) fn connect(self) -> Result<Connection> {
        let root = percent_decode(self.url.path()).filter(|root| !root.contains(char::is_control));
        let Some(root) = root else {
            return Err(self.bad("its path is not valid UTF-8"));
        };
        match (self.url.scheme(), root.as_str()) {
            #[cfg(feature = "s3")]
            ("s3", root) => self.s3(root),
            #[cfg(feature = "azure")]
            ("azure", root) => self.azure(root),
            #[cfg(feature = "gcs")]
            ("gs", root) => self.gs(root),
            #[cfg(feature = "gdrive")]
            ("gdrive", root) => self.gdrive(root),
            #[cfg(feature = "oss")]
            ("oss", root) => self.oss(root),
            #[cfg(feature = "webdav")]
            ("webdav+http", root) => self.webdav("http", root),
            #[cfg(feature = "webdav")]
            ("webdav+https", root) => self.webdav("https", root),
            #[cfg(feature = "http")]
            ("http", root) => self.http("http", root),
            #[cfg(feature = "http")]
            ("https", root) => self.http("https", root),
            (scheme, _) => Err(self.bad(&unsupported(scheme))),
        }
    }

    fn bad(self, reason: &str) -> Error {
        Error::BadStore {
            url: shown_text(self.url.as_str()),
            reason: reason.to_owned(),
        }
    }

    fn made(self, operator: opendal::Result<Operator>) -> Result<Operator> {
        operator.map_err(|e| self.bad(&clean(e.message())))
    }

    fn bucket(self) -> Result<String> {
        if self.url.port().is_some() {
            return Err(self.bad("a bucket has no port: the server is the `endpoint`"));
        }
        Ok(self.url.host_str().unwrap_or_default().to_owned())
    }

    /// The server that was named, and the scheme of its requests.
    fn endpoint(self) -> Result<Option<(Url, &'static str)>> {
        let Some(endpoint) = &self.options.endpoint else {
            return Ok(None);
        };
        let bad = |reason: &str| Error::BadStore {
            url: shown_text(endpoint),
            reason: reason.to_owned(),
        };
        let parsed = Url::parse(endpoint).map_err(|e| bad(&e.to_string()))?;
        let scheme = match parsed.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(bad("an endpoint begins with `https://` or `http://`")),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad("it contains credentials"));
        }
        Ok(Some((parsed, scheme)))
    }

    /// An error if a region was given, which only S3 has.
    fn takes_no_region(self) -> Result<()> {
        match self.options.region {
            Some(_) => Err(self.bad("a region is for `s3://`")),
            None => Ok(()),
        }
    }

    #[cfg(feature = "s3")]
    fn s3(self, root: &str) -> Result<Connection> {
        let mut service = services::S3::default().bucket(&self.bucket()?).root(root);
        let endpoint = self.endpoint()?;
        if let Some((endpoint, _)) = &endpoint {
            service = service.endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(region) = &self.options.region {
            service = service.region(region);
        }
        if let Some(credential) = self.credential {
            service = service
                .access_key_id(&credential.user)
                .secret_access_key(&credential.password);
        } else if self.options.anonymous {
            service = service.skip_signature();
        }
        self.objects(Operator::new(service), endpoint)
    }

    #[cfg(feature = "azure")]
    fn azure(self, root: &str) -> Result<Connection> {
        self.takes_no_region()?;
        let named = self.credential.filter(|credential| !credential.is_token());
        let endpoint = match (self.endpoint()?, named) {
            (Some(endpoint), _) => endpoint,
            (None, Some(credential)) => {
                let account = format!("https://{}.blob.core.windows.net", credential.user);
                let account = Url::parse(&account).map_err(|_| self.bad("its user is not an account"))?;
                (account, "https")
            }
            (None, None) => {
                return Err(self.bad(
                    "it needs an endpoint, `https://ACCOUNT.blob.core.windows.net`, or an account as the user",
                ));
            }
        };
        let mut service = services::Azblob::default()
            .container(&self.bucket()?)
            .endpoint(endpoint.0.as_str().trim_end_matches('/'))
            .root(root);
        service = match (self.credential, named) {
            (_, Some(key)) => service.account_name(&key.user).account_key(&key.password),
            (Some(token), None) => service.sas_token(token.password.trim_start_matches('?')),
            (None, None) if self.options.anonymous => service.skip_signature(),
            (None, None) => service,
        };
        self.objects(Operator::new(service), Some(endpoint))
    }

    #[cfg(feature = "gcs")]
    fn gs(self, root: &str) -> Result<Connection> {
        self.takes_no_region()?;
        let mut service = services::Gcs::default().bucket(&self.bucket()?).root(root);
        let endpoint = self.endpoint()?;
        if let Some((endpoint, _)) = &endpoint {
            service = service.endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(credential) = self.credential {
            service = service.token(credential.password.clone());
        } else if self.options.anonymous {
            service = service
                .skip_signature()
                .disable_config_load()
                .disable_vm_metadata();
        }
        self.objects(Operator::new(service), endpoint)
    }

    #[cfg(feature = "gdrive")]
    fn gdrive(self, root: &str) -> Result<Connection> {
        self.takes_no_region()?;
        if self.url.host_str() != Some("root") {
            return Err(self
                .bad("it begins with `gdrive://root/`: the folders of an account are reached from its own"));
        }
        let service = services::Gdrive::default().root(root);
        let service = match self.credential {
            Some(token) if token.is_token() => service.access_token(&token.password),
            Some(client) => {
                let Some((secret, refresh)) = client.password.split_once(' ') else {
                    return Err(self
                        .bad("its password has to be the client's secret, a space, and the refresh token"));
                };
                service
                    .client_id(&client.user)
                    .client_secret(secret)
                    .refresh_token(refresh)
            }
            None => {
                return Err(self.bad("it needs a token, or a client ID with its secret and a refresh token"));
            }
        };
        Ok(Connection {
            operator: self.made(Operator::new(service))?,
            commit_by: CommitBy::Create,
            scheme: "https",
            traits: Traits {
                concurrency: 4,
                exclusive: false,
                ..OBJECTS
            },
            long: Way::Gathered,
            instead: self.endpoint()?.map(|(endpoint, _)| endpoint),
        })
    }

    #[cfg(feature = "oss")]
    fn oss(self, root: &str) -> Result<Connection> {
        self.takes_no_region()?;
        let Some(endpoint) = self.endpoint()? else {
            return Err(self.bad("it needs an endpoint, as `https://oss-eu-central-1.aliyuncs.com`"));
        };
        let mut service = services::Oss::default()
            .bucket(&self.bucket()?)
            .endpoint(endpoint.0.as_str().trim_end_matches('/'))
            .root(root);
        // A server that has only an address has no bucket before its name.
        if !matches!(endpoint.0.host(), Some(url::Host::Domain(_))) {
            service = service.addressing_style("path");
        }
        if let Some(credential) = self.credential {
            service = service
                .access_key_id(&credential.user)
                .access_key_secret(&credential.password);
        } else if self.options.anonymous {
            service = service.skip_signature();
        }
        self.objects(Operator::new(service), Some(endpoint))
    }

    fn objects(
        self,
        operator: opendal::Result<Operator>,
        endpoint: Option<(Url, &'static str)>,
    ) -> Result<Connection> {
        Ok(Connection {
            operator: self.made(operator)?,
            commit_by: CommitBy::Create,
            scheme: endpoint.map_or("https", |(_, scheme)| scheme),
            traits: OBJECTS,
            long: Way::Parts,
            instead: None,
        })
    }

    /// Succeeds if no bucket options are set.
    fn takes_no_options(self) -> Result<()> {
        if self.options.is_plain() {
            return Ok(());
        }
        Err(self.bad("an endpoint, a region and `anonymous` require a bucket"))
    }

    /// `scheme://host:port`
    fn server(self, scheme: &str) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        format!("{scheme}://{host}{}", port.unwrap_or_default())
    }

    #[cfg(feature = "webdav")]
    fn webdav(self, scheme: &'static str, root: &str) -> Result<Connection> {
        self.takes_no_options()?;
        let mut service = services::Webdav::default()
            .endpoint(&self.server(scheme))
            .root(root)
            // Ours are made by `folders.rs`, with fewer requests.
            .disable_create_dir(true);
        if let Some(credential) = self.credential {
            service = service.username(&credential.user).password(&credential.password);
        }
        Ok(Connection {
            operator: self.made(Operator::new(service))?,
            commit_by: CommitBy::Move,
            scheme,
            traits: Traits {
                concurrency: 16,
                by_folder: true,
                ..OBJECTS
            },
            long: Way::Streamed(WholePut::new(self.url, scheme)?),
            instead: None,
        })
    }

    /// A web server's folder, which is only read.
    #[cfg(feature = "http")]
    fn http(self, scheme: &'static str, root: &str) -> Result<Connection> {
        self.takes_no_options()?;
        let mut service = services::Http::default()
            .endpoint(&self.server(scheme))
            .root(root);
        if let Some(credential) = self.credential {
            service = if credential.is_token() {
                service.token(&credential.password)
            } else {
                service.username(&credential.user).password(&credential.password)
            };
        }
        Ok(Connection {
            operator: self.made(Operator::new(service))?,
            commit_by: CommitBy::Create,
            scheme,
            traits: Traits {
                lists: false,
                ..OBJECTS
            },
            long: Way::Parts,
            instead: None,
        })
    }
}
