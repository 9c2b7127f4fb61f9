//! One request: redirects, credentials, limits, and asking again.
//!
//! Invariants: credentials go to the repo's own scheme, host and port and nowhere else, redirected or not; an encrypted
//! request never continues unencrypted; no answer is read beyond its limit, nor one that only trickles; a body counts only when it is
//! whole.
//! Deliberately absent: the meaning of responses.

use std::fmt;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use backlot_core::web::shown;
use backlot_core::{FileError, Sha256, StrongDigest, StrongHasher};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE, RETRY_AFTER,
};
use reqwest::{RequestBuilder, StatusCode};
use sha2::Digest as _;
use url::Url;

use crate::client::reason;
use crate::credentials::Account;
use crate::error::{Error, Result, tame};
use crate::network::Network;
use crate::pace::{Pace, TOO_SLOW};
use crate::pauses::Pauses;
use crate::redirect::{MAX_REDIRECTS, follow};

/// How much of an error's text is read.
const MAX_ERROR_TEXT: usize = 8 * 1024;
/// How long an error's text is waited for.
const ERROR_TEXT_PATIENCE: Duration = Duration::from_secs(30);

/// The URL to request.
///
/// ```
/// use backlot_net::Request;
///
/// let url = "https://index.studio.example/chair-1.0-py3-none-any.whl".parse().unwrap();
/// let tail = Request::new(url, 64 << 10).unpacked().range("-65536");
/// assert_eq!(tail.headers["range"], "bytes=-65536");
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    /// Where.
    pub url: Url,
    /// Additional headers.
    pub headers: HeaderMap,
    /// The most bytes that are taken.
    pub limit: u64,
    /// The longest it may take in all.
    pub deadline: Option<Duration>,
}

/// The head of an answer; its body went to the sink.
///
/// ```
/// use backlot_net::{Account, Response, Request, Network, PlaceName};
///
/// async fn page(network: &Network, url: &str) -> backlot_net::Result<(Response, Vec<u8>)> {
///     let url: url::Url = url.parse().expect("an address");
///     let account = Account::open(network, &PlaceName::unnamed(), &url)?;
///     let mut body = Vec::new();
///     let answer = network.ask(&account, &Request::new(url, 1 << 20), &mut body).await?;
///     Ok((answer, body))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The final URL.
    pub url: Url,
    /// The headers of the response.
    pub headers: HeaderMap,
}

/// The sink of a body; restarted for each attempt.
///
/// ```
/// use backlot_net::Sink;
///
/// let mut page = Vec::new();
/// page.take(b"half of an ans").unwrap();
/// page.reset().unwrap(); // the connection broke
/// page.take(b"all of it").unwrap();
/// assert_eq!(page, b"all of it");
/// ```
pub trait Sink: Send {
    /// Forget what came so far.
    fn reset(&mut self) -> Result<()>;
    /// The next bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()>;
}

impl Sink for Vec<u8> {
    fn reset(&mut self) -> Result<()> {
        self.clear();
        Ok(())
    }
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A file that is hashed while it is written.
///
/// ```
/// use backlot_net::{FileSink, Sink as _};
///
/// let folder = tempfile::tempdir().unwrap();
/// let mut file = fs_err::File::create(folder.path().join("a.whl")).unwrap();
/// let mut sink = FileSink::new(&mut file, &|bytes| assert_eq!(bytes, 5), None);
/// sink.take(b"wheel").unwrap();
/// assert_eq!(sink.size, 5);
/// let (sha256, _) = sink.digests();
/// assert!(sha256.to_string().starts_with("ba599261"));
/// ```
pub struct FileSink<'a> {
    file: &'a mut fs_err::File,
    hasher: sha2::Sha256,
    /// Where a longer digest is promised.
    strong: Option<(StrongDigest, StrongHasher)>,
    /// The bytes so far.
    pub size: u64,
    /// Told of each piece.
    progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a> FileSink<'a> {
    /// Write to a file from its beginning, telling of each piece. `strong` is a digest of the kind to be computed beside SHA-256.
    pub fn new(
        file: &'a mut fs_err::File,
        progress: &'a (dyn Fn(u64) + Sync),
        strong: Option<&StrongDigest>,
    ) -> Self {
        Self {
            file,
            hasher: sha2::Sha256::new(),
            strong: strong.map(|digest| (*digest, StrongHasher::like(digest))),
            size: 0,
            progress,
        }
    }

    /// The digests of what came.
    pub fn digests(self) -> (Sha256, Option<StrongDigest>) {
        let strong = self.strong.map(|(_, hasher)| hasher.digest());
        (Sha256::from_bytes(self.hasher.finalize().into()), strong)
    }
}

impl fmt::Debug for FileSink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSink")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Sink for FileSink<'_> {
    fn reset(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(FileError::from)?;
        self.file.set_len(0).map_err(FileError::from)?;
        self.hasher = sha2::Sha256::new();
        if let Some((digest, hasher)) = &mut self.strong {
            *hasher = StrongHasher::like(digest);
        }
        self.size = 0;
        Ok(())
    }
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(FileError::from)?;
        self.hasher.update(bytes);
        if let Some((_, hasher)) = &mut self.strong {
            hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        (self.progress)(bytes.len() as u64);
        Ok(())
    }
}

/// Why an attempt failed.
///
/// ```
/// use backlot_net::{Error, Failure, Network};
///
/// async fn upload(network: &Network, url: &url::Url) -> Result<(), Error> {
///     let attempt = async || {
///         Err::<(), Failure>(Failure::Again {
///             reason: "the connection broke".to_owned(),
///             pause: None,
///             status: None,
///         })
///     };
///     network.retried(url, attempt).await.map(|(done, _attempts)| done)
/// }
/// ```
#[derive(Debug)]
pub enum Failure<E = Error> {
    /// It may pass.
    Again {
        /// The reason.
        reason: String,
        /// How long the server wants to be left alone.
        pause: Option<Duration>,
        /// The HTTP status, if there was an answer.
        status: Option<u16>,
    },
    /// It will not.
    Final(E),
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Final(error)
    }
}

impl Failure {
    /// The same with a final error of another kind.
    pub fn into_other<E: From<Error>>(self) -> Failure<E> {
        match self {
            Self::Again {
                reason,
                pause,
                status,
            } => Failure::Again {
                reason,
                pause,
                status,
            },
            Self::Final(error) => Failure::Final(error.into()),
        }
    }
}

impl Request {
    /// Request a URL.
    pub fn new(url: Url, limit: u64) -> Self {
        Self {
            url,
            headers: HeaderMap::new(),
            limit,
            deadline: None,
        }
    }

    /// The accepted content types.
    #[must_use]
    pub fn accept(self, what: &'static str) -> Self {
        self.header(ACCEPT, what)
    }

    /// Byte for byte: a wheel that is compressed again on the way has other ranges and another length.
    #[must_use]
    pub fn unpacked(self) -> Self {
        self.header(ACCEPT_ENCODING, "identity")
    }

    /// A part of it: `0-99`, or `-100` for the last.
    #[must_use]
    pub fn range(self, range: &str) -> Self {
        self.header(RANGE, &format!("bytes={range}")).unpacked()
    }

    /// Only if it has changed.
    #[must_use]
    pub fn unless(self, etag: Option<&str>, modified: Option<&str>) -> Self {
        let this = match etag {
            Some(etag) => self.header(IF_NONE_MATCH, etag),
            None => self,
        };
        match modified {
            Some(modified) => this.header(IF_MODIFIED_SINCE, modified),
            None => this,
        }
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        // An invalid header value came from a modified cache; without it the request is only more expensive.
        if let Ok(value) = value.parse() {
            self.headers.insert(name, value);
        }
        self
    }
}

/// The error after the last attempt.
pub(crate) fn given_up(url: &Url, attempts: u32, reason: String, status: Option<u16>) -> Error {
    let url = shown(url);
    match status {
        Some(status) => Error::Refused { url, status, reason },
        None => Error::Unreachable {
            url,
            reason,
            attempts,
        },
    }
}

impl Network {
    /// Ask until there is an answer: 200, 206, 304, 404, 416 and other refusals as they are; what may pass is tried again.
    pub async fn ask(&self, account: &Account, ask: &Request, sink: &mut dyn Sink) -> Result<Response> {
        let (mut attempts, mut pauses) = (0, self.pauses());
        loop {
            attempts += 1;
            let attempt = self.attempt(account, ask, sink);
            let outcome = match ask.deadline {
                Some(deadline) => tokio::time::timeout(deadline, attempt).await.unwrap_or_else(|_| {
                    Err(Failure::Again {
                        reason: format!("not finished after {} seconds", deadline.as_secs()),
                        pause: None,
                        status: None,
                    })
                }),
                None => attempt.await,
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again {
                    reason,
                    pause,
                    status,
                }) => {
                    if !pauses.wait(pause).await {
                        return Err(given_up(&ask.url, attempts, reason, status));
                    }
                }
            }
        }
    }

    /// Try until it is done, or was tried too often. Returns how often, too.
    pub async fn retried<T, E: From<Error>>(
        &self,
        url: &Url,
        attempt: impl AsyncFn() -> Result<T, Failure<E>>,
    ) -> Result<(T, u32), E> {
        self.retried_while(url, attempt, |_| false).await
    }

    /// The same; after a failure that `goes_on`, by the status of the answer if there was one, it is tried as often, and after as short a pause, as at first.
    pub(crate) async fn retried_while<T, E: From<Error>>(
        &self,
        url: &Url,
        attempt: impl AsyncFn() -> Result<T, Failure<E>>,
        mut goes_on: impl FnMut(Option<u16>) -> bool,
    ) -> Result<(T, u32), E> {
        let (mut attempts, mut pauses) = (0, self.pauses());
        loop {
            attempts += 1;
            match attempt().await {
                Ok(done) => return Ok((done, attempts)),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again {
                    reason,
                    pause,
                    status,
                }) => {
                    if goes_on(status) {
                        pauses = self.pauses();
                    }
                    if !pauses.wait(pause).await {
                        return Err(given_up(url, attempts, reason, status).into());
                    }
                }
            }
        }
    }

    /// How often something that failed is tried again here, and after which pauses.
    pub fn pauses(&self) -> Pauses {
        Pauses::new(self.options().retries, self.options().pause)
    }

    async fn attempt(
        &self,
        account: &Account,
        ask: &Request,
        sink: &mut dyn Sink,
    ) -> Result<Response, Failure> {
        sink.reset()?;
        let _permit = self.permit().await?;
        let mut url = ask.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self
                .client(url.scheme())?
                .get(url.clone())
                .headers(ask.headers.clone());
            let mut response = self.send(account, &url, request).await?;
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                url = follow(&url, &response)?;
                continue;
            }
            if let Some(failure) = failure(account, &url, &response) {
                return Err(failure);
            }
            // All of a file where a part was asked for: a server that does not do parts. It is not read here.
            let unasked = status == StatusCode::OK && ask.headers.contains_key(RANGE);
            if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) && !unasked {
                read(&mut response, ask, sink, Pace::new(self.options().read_timeout)).await?;
            }
            return Ok(Response {
                status: status.as_u16(),
                url,
                headers: response.headers().clone(),
            });
        }
        Err(Error::Redirect {
            url: shown(&ask.url),
            to: shown(&url),
            reason: format!("more than {MAX_REDIRECTS} redirects"),
        }
        .into())
    }

    /// Send one request, with the credential if it goes where that belongs. One that is refused is asked for again, once; a
    /// request whose body is streamed is then a temporary failure, since the caller has to recreate it.
    pub async fn send(
        &self,
        account: &Account,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<reqwest::Response, Failure> {
        let credential = if url.origin() == account.origin() {
            account.current().await?
        } else {
            None
        };
        let Some(credential) = credential else {
            return self.execute(url, request).await;
        };
        let again = request.try_clone();
        let signed = request.basic_auth(&credential.user, Some(&credential.password));
        let response = self.execute(url, signed).await?;
        if !matches!(response.status().as_u16(), 401 | 403) {
            account.worked();
            return Ok(response);
        }
        if !account.renew(&credential).await? {
            return Ok(response);
        }
        let (Some(again), Some(credential)) = (again, account.current().await?) else {
            return Err(Failure::Again {
                reason: "the credentials had expired".to_owned(),
                pause: Some(Duration::ZERO),
                status: Some(response.status().as_u16()),
            });
        };
        drop(response);
        let signed = again.basic_auth(&credential.user, Some(&credential.password));
        let response = self.execute(url, signed).await?;
        if !matches!(response.status().as_u16(), 401 | 403) {
            account.worked();
        }
        Ok(response)
    }

    pub(crate) async fn execute(
        &self,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<reqwest::Response, Failure> {
        let request: reqwest::Request = request.build().map_err(|e| Error::BadUrl {
            url: shown(url),
            reason: reason(e),
        })?;
        let again = |e: reqwest::Error| Failure::Again {
            reason: reason(e),
            pause: None,
            status: None,
        };
        self.client(url.scheme())?.execute(request).await.map_err(again)
    }
}

/// Whether a status is of a failure that may pass.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How long the server wants to be left alone.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let after = headers.get(RETRY_AFTER)?.to_str().ok()?;
    after.trim().parse().ok().map(Duration::from_secs)
}

/// The outcome of a failure: retry, or permanent.
pub fn failure(account: &Account, url: &Url, response: &reqwest::Response) -> Option<Failure> {
    let status = response.status();
    match status.as_u16() {
        _ if is_passing(status) => {
            let pause = retry_after(response.headers());
            Some(Failure::Again {
                // The body may be any page: the status decides whether to retry.
                reason: response
                    .status()
                    .canonical_reason()
                    .unwrap_or_default()
                    .to_owned(),
                pause,
                status: Some(status.as_u16()),
            })
        }
        401 | 403 => Some(Failure::Final(Error::Denied {
            url: shown(url),
            status: status.as_u16(),
            sent: account.found().is_some() && url.origin() == account.origin(),
            variables: account.place().variables(),
        })),
        _ => None,
    }
}

/// The server's message about its refusal, shortened.
pub async fn error_text(response: &mut reqwest::Response) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ERROR_TEXT {
                bytes.truncate(MAX_ERROR_TEXT);
                break;
            }
        }
    };
    // The data received so far is enough: the status matters most.
    tokio::time::timeout(ERROR_TEXT_PATIENCE, read).await.ok();
    let text = String::from_utf8_lossy(&bytes);
    // Of an HTML page, the title has the essential part.
    if text.trim_start().starts_with('<') {
        return title(&text).map(|title| tame(title, 300)).unwrap_or_default();
    }
    // devpi and others put it into an object.
    let told = serde_json::from_str::<serde_json::Value>(&text).ok();
    match told.as_ref().and_then(|told| told["message"].as_str()) {
        Some(message) => tame(message, 300),
        None => tame(&text, 300),
    }
}

/// The title of a page of HTML.
fn title(page: &str) -> Option<&str> {
    let lower = page.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = from + lower[from..].find("</title>")?;
    page.get(from..to)
}

async fn read(
    response: &mut reqwest::Response,
    ask: &Request,
    sink: &mut dyn Sink,
    mut pace: Pace,
) -> Result<(), Failure> {
    let too_large = || Error::TooLarge {
        url: shown(&ask.url),
        limit: ask.limit,
    };
    if response.content_length().is_some_and(|length| length > ask.limit) {
        return Err(too_large().into());
    }
    let mut size = 0;
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(()),
            Ok(Some(chunk)) => {
                size += chunk.len() as u64;
                if size > ask.limit {
                    return Err(too_large().into());
                }
                if !pace.is_kept(chunk.len() as u64) {
                    return Err(Failure::Again {
                        reason: TOO_SLOW.to_owned(),
                        pause: None,
                        status: None,
                    });
                }
                sink.take(&chunk)?;
            }
            Err(e) => {
                return Err(Failure::Again {
                    reason: format!("the response ended after {size} bytes: {}", reason(e)),
                    pause: None,
                    status: None,
                });
            }
        }
    }
}
