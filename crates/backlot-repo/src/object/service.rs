//! The verbs on an OpenDAL service.
//!
//! Invariants: what decides a race (`create`, `rename`, `stage`) is sent once, so that its answer is about the one request;
//! all else is asked again after a failure that may pass. Requests go through the program's HTTP client, with its proxies
//! and certificates; what is answered is bounded, and no answer makes us panic. Deliberately absent: parts of an upload
//! (stores that honour a condition on a whole object have been measured to ignore it on the last part of one), and
//! OpenDAL's layer for asking again: behind it, a failure that may pass looks like one that stays.

use std::fmt;
use std::future::{Future, IntoFuture as _};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use backlot_core::web::{percent_decode, shown_text};
use futures_lite::{FutureExt as _, StreamExt as _};
use opendal::{Buffer, ErrorKind, HttpTransporter, Operator, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use url::Url;

use super::StoreOptions;
use super::verbs::{CommitBy, Entry, Moved, Objects, Put};
use crate::error::{Error, Result};
use crate::index::{Credential, Network};

/// How long a request with a body may go without an answer: a wheel on a slow line.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(30);

/// How often something is asked again.
const RETRIES: u32 = 4;

/// The most objects that one listing may have.
const ENTRIES_LIMIT: usize = 1_000_000;

/// The most of one answer that OpenDAL may hold in memory.
const ANSWER_LIMIT: usize = 64 << 20;

/// An OpenDAL service.
pub(crate) struct Service {
    operator: Operator,
    network: Network,
    commit_by: CommitBy,
    place: String,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.place).finish()
    }
}

impl Service {
    /// Open the store behind a URL: `s3://bucket/prefix`, `webdav+https://host/path`.
    pub(crate) fn open(
        network: &Network,
        url: &Url,
        options: &StoreOptions,
        credential: Option<Credential>,
    ) -> Result<Self> {
        let bad = |reason: String| Error::BadStore {
            url: url.to_string(),
            reason,
        };
        let failed = |e: opendal::Error| bad(clean(e.message()));
        let root = percent_decode(url.path()).filter(|root| !root.contains(char::is_control));
        let Some(root) = root else {
            return Err(bad("its path is not text".to_owned()));
        };
        let (operator, commit_by, scheme) = match url.scheme() {
            "s3" => {
                let (operator, scheme) = s3(url, &root, options, credential)?;
                (operator.map_err(failed)?, CommitBy::Create, scheme)
            }
            "webdav+http" | "webdav+https" => {
                if *options != StoreOptions::default() {
                    return Err(bad(
                        "an endpoint, a region and `anonymous` are for `s3://`".to_owned()
                    ));
                }
                let scheme = url.scheme().trim_start_matches("webdav+");
                let operator = webdav(url, scheme, &root, credential);
                (operator.map_err(failed)?, CommitBy::Move, scheme)
            }
            other => {
                return Err(bad(format!(
                    "`{other}` is not a kind of store that is known here"
                )));
            }
        };
        let transport = HttpTransporter::new(Transport {
            quick: ReqwestTransport::new(network.client(scheme)?),
            uploads: ReqwestTransport::new(network.patient_client(scheme, UPLOAD_PATIENCE)?),
        });
        let context = operator.base_context().with_http_transport(transport);
        Ok(Self {
            operator: operator.with_context(context),
            network: network.clone(),
            commit_by,
            place: url.to_string(),
        })
    }

    fn failed(&self, key: &str, error: &opendal::Error) -> Error {
        let mut reason = format!("{}: {}", error.kind(), clean(error.message()));
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            cause = inner.source();
            if cause.is_none() {
                reason = format!("{reason}: {}", clean(&inner.to_string()));
            }
        }
        Error::Store {
            place: self.at(key),
            reason,
            temporary: error.is_temporary(),
        }
    }

    fn gone(&self, key: &str) -> Error {
        Error::Store {
            place: self.at(key),
            reason: "it is not there".to_owned(),
            temporary: false,
        }
    }

    fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.place.trim_end_matches('/'))
    }

    /// Ask once.
    fn once<T>(
        &self,
        key: &str,
        request: impl Future<Output = opendal::Result<T>>,
    ) -> Result<opendal::Result<T>> {
        self.network.check_online(key, &self.place)?;
        self.network.block(async { Ok(guarded(request).await) })
    }

    /// Ask, and again after a failure that may pass; `None` if what it is about is not there.
    fn ask<T>(&self, key: &str, mut request: impl AsyncFnMut() -> opendal::Result<T>) -> Result<Option<T>> {
        self.network.check_online(key, &self.place)?;
        self.network.block(async {
            let mut failures = 0;
            loop {
                match guarded(request()).await {
                    Ok(value) => return Ok(Some(value)),
                    Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(e) if e.is_temporary() && failures < RETRIES => {
                        let pause = 100 << failures;
                        let pause = Duration::from_millis(pause / 2 + fastrand::u64(0..=pause));
                        tokio::time::sleep(pause).await;
                        failures += 1;
                    }
                    Err(e) => return Err(self.failed(key, &e)),
                }
            }
        })
    }
}

impl Objects for Service {
    fn commit_by(&self) -> CommitBy {
        self.commit_by
    }

    fn is_offline(&self) -> bool {
        self.network.is_offline()
    }

    fn list(&self, prefix: &str, deep: bool) -> Result<Vec<Entry>> {
        let found = self.ask(prefix, async || {
            let mut lister = self.operator.lister_with(prefix).recursive(deep).await?;
            let mut found = Vec::new();
            while let Some(entry) = lister.next().await {
                found.push(entry?);
                if found.len() > ENTRIES_LIMIT {
                    return Err(unexpected("it lists without end"));
                }
            }
            Ok(found)
        })?;
        let entries = found
            .unwrap_or_default()
            .into_iter()
            .filter(|e| e.path() != prefix)
            .map(|e| {
                let about = e.metadata();
                let modified = about.last_modified().map(|at| at.into_inner().as_millisecond());
                let modified = modified.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
                let tag = about.etag().map_or_else(
                    || {
                        if modified == 0 {
                            String::new()
                        } else {
                            modified.to_string()
                        }
                    },
                    ToOwned::to_owned,
                );
                Entry {
                    key: e.path().to_owned(),
                    size: about.content_length(),
                    modified,
                    tag,
                }
            });
        Ok(entries.collect())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.ask(key, async || {
            let reader = self.operator.reader(key).await?;
            let mut blocks = reader.into_bytes_stream(..).await?;
            let mut bytes = Vec::new();
            while let Some(block) = blocks.next().await {
                bytes.extend_from_slice(&block.map_err(unwrapped)?);
                if bytes.len() as u64 > limit {
                    bytes.truncate(usize::try_from(limit + 1).unwrap_or(usize::MAX));
                    break;
                }
            }
            Ok(bytes)
        })
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let (mut refused, mut at) = (None, 0);
        let read = self.ask(key, async || {
            let reader = self.operator.reader(key).await?;
            let mut blocks = reader.into_bytes_stream(at..).await?;
            while let Some(block) = blocks.next().await {
                let block = block.map_err(unwrapped)?;
                at += block.len() as u64;
                if let Err(error) = sink(&block) {
                    refused = Some(error);
                    break;
                }
            }
            Ok(())
        })?;
        refused.map_or(Ok(read.is_some()), Err)
    }

    fn part(&self, key: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>> {
        self.ask(key, async || {
            let reader = self.operator.reader(key).await?;
            let mut blocks = reader.into_bytes_stream(start..start + length).await?;
            let mut bytes = Vec::new();
            while let Some(block) = blocks.next().await {
                bytes.extend_from_slice(&block.map_err(unwrapped)?);
                // A server that does not do parts sends all of it.
                if bytes.len() as u64 > length {
                    break;
                }
            }
            Ok(bytes)
        })
    }

    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<()> {
        let bytes = Buffer::from(bytes);
        let written = self.ask(key, async || {
            let write = self.operator.write_with(key, bytes.clone());
            write.content_type(kind).await
        })?;
        written.map(drop).ok_or_else(|| self.gone(key))
    }

    fn stage(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let outcome = self.once(key, self.operator.write(key, Buffer::from(bytes)))?;
        outcome.map(drop).map_err(|e| self.failed(key, &e))
    }

    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Result<Put> {
        let write = self.operator.write_with(key, Buffer::from(bytes));
        let write = write.content_type(kind).if_not_exists(true).into_future();
        match self.once(key, write)? {
            Ok(_) => Ok(Put::New),
            Err(e) if matches!(e.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists) => {
                Ok(Put::Exists)
            }
            Err(e) => Err(self.failed(key, &e)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<Moved> {
        match self.once(to, self.operator.rename(from, to))? {
            Ok(()) => Ok(Moved::Done),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Moved::Gone),
            Err(e) if e.kind() == ErrorKind::ConditionNotMatch => Ok(Moved::Exists),
            Err(e) => Err(self.failed(to, &e)),
        }
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.ask(key, async || self.operator.delete(key).await).map(drop)
    }
}

/// The bucket, and by what scheme it is reached.
fn s3(
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

fn webdav(url: &Url, scheme: &str, root: &str, credential: Option<Credential>) -> opendal::Result<Operator> {
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

/// OpenDAL takes a listing of a shape that it does not expect for an error of its own, and panics; it is the store's.
async fn guarded<T>(request: impl Future<Output = opendal::Result<T>>) -> opendal::Result<T> {
    let outcome = AssertUnwindSafe(request).catch_unwind().await;
    let nonsense = |_| Err(unexpected("it answers what makes no sense"));
    outcome.unwrap_or_else(nonsense)
}

fn unexpected(message: &str) -> opendal::Error {
    opendal::Error::new(ErrorKind::Unexpected, message)
}

/// An error of a stream is OpenDAL's own in an envelope of the standard library.
fn unwrapped(error: std::io::Error) -> opendal::Error {
    let text = error.to_string();
    match error
        .into_inner()
        .map(<dyn std::error::Error + Send + Sync>::downcast::<opendal::Error>)
    {
        Some(Ok(inner)) => *inner,
        _ => opendal::Error::new(ErrorKind::Unexpected, text).set_temporary(),
    }
}

/// What a server said, without control characters and cut.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The program's HTTP client under OpenDAL. Uploads may take their time; a move does not replace anything, which OpenDAL's
/// service would; and what is read whole into memory has a limit.
struct Transport {
    quick: ReqwestTransport,
    uploads: ReqwestTransport,
}

impl opendal::HttpTransport for Transport {
    async fn fetch(
        &self,
        mut request: http::Request<Buffer>,
    ) -> opendal::Result<http::Response<opendal::HttpBody>> {
        let method = request.method().clone();
        if method.as_str() == "MOVE" {
            let never = http::HeaderValue::from_static("F");
            request.headers_mut().insert("Overwrite", never);
        }
        let is_listing = request.uri().query().is_some_and(|q| q.contains("list-type="));
        let response = if matches!(method.as_str(), "PUT" | "MOVE") {
            self.uploads.fetch(request).await?
        } else {
            self.quick.fetch(request).await?
        };
        if response.status() == http::StatusCode::UNAUTHORIZED {
            let message = "the server wants other credentials (401)";
            return Err(opendal::Error::new(ErrorKind::PermissionDenied, message));
        }
        if method == http::Method::GET && response.status().is_success() && !is_listing {
            // An object: whoever reads it counts.
            return Ok(response);
        }
        Ok(response.map(|body| body.map_inner(bounded)))
    }
}

type Blocks = Box<dyn futures_lite::Stream<Item = opendal::Result<Buffer>> + Send + Sync + Unpin>;

fn bounded(blocks: Blocks) -> Blocks {
    let mut read = 0;
    Box::new(blocks.map(move |block| {
        let block = block?;
        read += block.len();
        if read > ANSWER_LIMIT {
            return Err(unexpected("it answers without end"));
        }
        Ok(block)
    }))
}
