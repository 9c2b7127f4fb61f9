//! Making an operator of OpenDAL for each kind of store: the one place that a new service is added to.
//!
//! Invariant: no credential is in a URL or an error. Deliberately absent: asking anything.

use backlot_core::web::{percent_decode, shown_text};
use backlot_net::Credential;
use opendal::{Operator, services};
use url::Url;

use super::clean;
use crate::error::{Error, Result};
use crate::open::StoreOptions;
use crate::store::{CommitBy, Traits};

/// What is good for a store that answers many at once.
const OBJECTS: Traits = Traits {
    concurrency: 16,
    gap: 1 << 20,
    lists: true,
};

/// A store, not asked yet.
pub(super) struct Connection {
    pub(super) operator: Operator,
    pub(super) commit_by: CommitBy,
    /// The scheme of its requests.
    pub(super) scheme: &'static str,
    pub(super) traits: Traits,
    /// It takes an object in one request only, however long.
    pub(super) is_one_shot: bool,
}

/// What was given to reach a store.
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
            return Err(self.bad("its path is not text"));
        };
        match self.url.scheme() {
            "s3" => self.s3(&root),
            "webdav+http" => self.webdav("http", &root),
            "webdav+https" => self.webdav("https", &root),
            "http" => self.http("http", &root),
            "https" => self.http("https", &root),
            other => Err(self.bad(&format!("`{other}` is not a kind of store that is known here"))),
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
            return Err(bad("credentials do not belong in a URL"));
        }
        Ok(Some((parsed, scheme)))
    }

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
            is_one_shot: false,
        })
    }

    /// Fine if nothing was said that only buckets have.
    fn takes_no_options(self) -> Result<()> {
        if *self.options == StoreOptions::default() {
            return Ok(());
        }
        Err(self.bad("an endpoint, a region and `anonymous` are for buckets"))
    }

    /// `scheme://host:port`
    fn server(self, scheme: &str) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        format!("{scheme}://{host}{}", port.unwrap_or_default())
    }

    fn webdav(self, scheme: &'static str, root: &str) -> Result<Connection> {
        self.takes_no_options()?;
        let mut service = services::Webdav::default()
            .endpoint(&self.server(scheme))
            .root(root);
        if let Some(credential) = self.credential {
            service = service.username(&credential.user).password(&credential.password);
        }
        Ok(Connection {
            operator: self.made(Operator::new(service))?,
            commit_by: CommitBy::Move,
            scheme,
            traits: Traits {
                concurrency: 8,
                ..OBJECTS
            },
            is_one_shot: true,
        })
    }

    /// A web server's folder, which is only read.
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
            is_one_shot: false,
        })
    }
}
