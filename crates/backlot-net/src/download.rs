//! One large file of a web server: only if it is another one than before, and from where an earlier attempt broke off.
//!
//! Invariants: a partial download is resumed only if the server proves that the file is unchanged (a strong `ETag`, by `If-Range`, and
//! a `Content-Range` that begins and ends where it has to); any other response restarts it. A file is complete only with the length that was
//! announced. Redirects, credentials and retries are those of every request. Deliberately absent: the use of the file.

use std::path::Path;

use backlot_core::web::shown;
use reqwest::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client::reason;
use crate::credentials::Account;
use crate::error::{Error, Result};
use crate::fetch::{Failure, failure};
use crate::network::Network;
use crate::pace::{Pace, TOO_SLOW};
use crate::part_file::{PartFile, forget_part};
use crate::redirect::{MAX_REDIRECTS, follow};

/// Metadata that a server gives for a file, without the file.
///
/// ```
/// use backlot_net::WebFile;
///
/// let plate = WebFile {
///     url: "https://plates.example/a.exr".to_owned(),
///     etag: Some("W/\"17\"".to_owned()),
///     ..WebFile::default()
/// };
/// assert_eq!(plate.strong_etag(), None, "a weak one may stay when bytes change");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebFile {
    /// The final URL.
    pub url: String,
    /// Its `ETag`, as it stands in the header.
    pub etag: Option<String>,
    /// Its `Content-MD5`, in base64.
    pub content_md5: Option<String>,
    /// Its `Digest`.
    pub digest: Option<String>,
    /// Its `Last-Modified`.
    pub last_modified: Option<String>,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its bytes.
    pub length: Option<u64>,
    /// Whether the server says that it sends no parts.
    pub no_ranges: bool,
}

impl WebFile {
    /// The `ETag` that is another one whenever a byte is.
    pub fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| etag.starts_with('"'))
    }

    fn of(url: &Url, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.filter(|value| !value.is_empty()).map(ToOwned::to_owned)
        };
        Self {
            url: url.to_string(),
            etag: text(ETAG),
            content_md5: text(HeaderName::from_static("content-md5")),
            digest: text(HeaderName::from_static("digest")),
            last_modified: text(LAST_MODIFIED),
            content_type: text(CONTENT_TYPE),
            length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            no_ranges: text(ACCEPT_RANGES).as_deref() == Some("none"),
        }
    }
}

/// The outcome of a metadata request.
///
/// ```
/// use backlot_net::Downloaded;
///
/// let gone = Downloaded::Refused(404);
/// assert!(!matches!(gone, Downloaded::Known | Downloaded::Whole(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downloaded {
    /// It is the one that is known; no byte of it was taken.
    Known,
    /// It is all there.
    Whole(WebFile),
    /// The server has none, or does not give it: the HTTP status.
    Refused(u16),
}

/// The URL to download, and the target.
///
/// ```
/// use backlot_net::{Account, Download, Downloaded, Network, PlaceName};
///
/// async fn plate(network: &Network, url: &url::Url, known: &str) -> backlot_net::Result<Downloaded> {
///     let account = Account::open(network, &PlaceName::unnamed(), url)?;
///     let wanted = Download {
///         url,
///         unless: Some(known),
///         part: std::path::Path::new("plate.exr.part"),
///         is_known: &|file| file.etag.as_deref() == Some(known),
///         progress: &|_| {},
///     };
///     network.download(&account, &wanted).await
/// }
/// ```
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// The `ETag` of the one that is known.
    pub unless: Option<&'a str>,
    /// The file that it is written to: a [`PartFile`]. An earlier partial download is resumed.
    pub part: &'a Path,
    /// Whether a file is the one that is known.
    pub is_known: &'a (dyn Fn(&WebFile) -> bool + Sync),
    /// Told of each piece.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("url", &shown(self.url))
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

/// The file of a part.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    asked: String,
    file: WebFile,
}

/// A response, and its file.
enum Answered {
    /// The bytes from an offset on.
    Body(Box<reqwest::Response>, u64, WebFile),
    Known,
    Refused(u16),
}

/// The resumable state of a part: its bytes and their file.
fn begun(download: &Download<'_>) -> Result<Option<(u64, WebFile)>> {
    let begun = PartFile::<Begun>::begun(download.part)?;
    let usable = begun.filter(|(begun, here)| {
        begun.asked == download.url.as_str()
            && begun.file.strong_etag().is_some()
            && begun.file.length.is_some_and(|length| *here < length)
    });
    Ok(usable.map(|(begun, here)| (here, begun.file)))
}

fn again(reason: String) -> Failure {
    Failure::Again {
        reason,
        pause: None,
        status: None,
    }
}

/// First byte, last byte and length of a `Content-Range`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse().ok();
    Some((number(first)?, number(last)?, number(total)?))
}

impl Network {
    /// Metadata of a file; `Err` with the status if the server refuses. A server without `HEAD` is asked with `GET`, and
    /// nothing of the body is read.
    pub async fn look(&self, account: &Account, url: &Url) -> Result<Result<WebFile, u16>> {
        let (looked, _) = self
            .retried(url, async || {
                let (response, at) = self
                    .follow(account, url, &Method::HEAD, &HeaderMap::new())
                    .await?;
                let (response, at) = match response.status().as_u16() {
                    403 | 405 | 501 => self.follow(account, url, &Method::GET, &HeaderMap::new()).await?,
                    _ => (response, at),
                };
                if let Some(failure) = failure(account, &at, &response) {
                    return Err(failure);
                }
                Ok::<_, Failure>(match response.status() {
                    StatusCode::OK => Ok(WebFile::of(&at, response.headers())),
                    other => Err(other.as_u16()),
                })
            })
            .await?;
        Ok(looked)
    }

    /// Download a file, unless it is unchanged. Broken connections are resumed, as long as there is progress.
    pub async fn download(&self, account: &Account, download: &Download<'_>) -> Result<Downloaded> {
        let mut furthest = 0;
        let goes_on = |status: Option<u16>| {
            let came = fs_err::metadata(download.part).map_or(0, |found| found.len());
            let is_further = came > furthest && status.is_none();
            if is_further {
                furthest = came;
            }
            is_further
        };
        let attempt = async || self.download_once(account, download).await;
        let (done, _) = self.retried_while(download.url, attempt, goes_on).await?;
        Ok(done)
    }

    async fn download_once(&self, account: &Account, download: &Download<'_>) -> Result<Downloaded, Failure> {
        let _permit = self.permit().await?;
        let (response, from, file) = match self.answer(account, download).await? {
            Answered::Known => return Ok(Downloaded::Known),
            Answered::Refused(status) => return Ok(Downloaded::Refused(status)),
            Answered::Body(response, from, file) => (response, from, file),
        };
        let begun = Begun {
            asked: download.url.to_string(),
            file: file.clone(),
        };
        let part = PartFile::resume(download.part, begun, from)?;
        let written = self.write(*response, part, download).await?;
        match file.length {
            Some(length) if length != written => {
                forget_part(download.part)?;
                Err(again(format!("received {written} of {length} bytes")))
            }
            _ => Ok(Downloaded::Whole(WebFile {
                length: Some(written),
                ..file
            })),
        }
    }

    /// Ask for the file, or the rest of it.
    async fn answer(&self, account: &Account, download: &Download<'_>) -> Result<Answered, Failure> {
        let begun = begun(download)?;
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            // An invalid header value came from a modified file; without it the request is only more expensive.
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        match (&begun, download.unless) {
            (Some((here, file)), _) => {
                put(RANGE, &format!("bytes={here}-"));
                put(IF_RANGE, file.strong_etag().unwrap_or_default());
            }
            (None, Some(known)) => put(IF_NONE_MATCH, known),
            (None, None) => {}
        }
        let (response, at) = self.follow(account, download.url, &Method::GET, &headers).await?;
        if let Some(failure) = failure(account, &at, &response) {
            return Err(failure);
        }
        let headers = response.headers();
        match (response.status(), begun) {
            (StatusCode::NOT_MODIFIED, None) if download.unless.is_some() => Ok(Answered::Known),
            (StatusCode::OK, _) => {
                let file = WebFile::of(&at, headers);
                check_encoding(&at, headers)?;
                if (download.is_known)(&file) {
                    return Ok(Answered::Known);
                }
                Ok(Answered::Body(Box::new(response), 0, file))
            }
            (StatusCode::PARTIAL_CONTENT, Some((here, file))) => {
                let same = WebFile::of(&at, headers).etag == file.etag;
                let range = content_range(headers);
                let is_rest = file
                    .length
                    .is_some_and(|length| range == Some((here, length - 1, length)));
                if same && is_rest && check_encoding(&at, headers).is_ok() {
                    return Ok(Answered::Body(Box::new(response), here, file));
                }
                forget_part(download.part)?;
                Err(again("it sent a different range than requested".to_owned()))
            }
            (StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_MODIFIED, Some(_)) => {
                forget_part(download.part)?;
                Err(again("it cannot send the rest".to_owned()))
            }
            (other, _) => Ok(Answered::Refused(other.as_u16())),
        }
    }

    /// Append a body to the existing data. Returns the new length of the file.
    async fn write(
        &self,
        mut response: reqwest::Response,
        mut part: PartFile<Begun>,
        download: &Download<'_>,
    ) -> Result<u64, Failure> {
        let mut pace = Pace::new(self.options().read_timeout);
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(part.finish()),
                Ok(Some(chunk)) => {
                    if !pace.is_kept(chunk.len() as u64) {
                        return Err(again(TOO_SLOW.to_owned()));
                    }
                    part.write(&chunk)?;
                    (download.progress)(chunk.len() as u64);
                }
                Err(e) => {
                    let (size, reason) = (part.size(), reason(e));
                    return Err(again(format!("the response ended after {size} bytes: {reason}")));
                }
            }
        }
    }

    /// Send a request without a body along its redirects.
    async fn follow(
        &self,
        account: &Account,
        url: &Url,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(reqwest::Response, Url), Failure> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self
                .client(at.scheme())?
                .request(method.clone(), at.clone())
                .headers(headers.clone())
                .header(ACCEPT_ENCODING, "identity");
            let response = self.send(account, &at, request).await?;
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                at = follow(&at, &response)?;
                continue;
            }
            return Ok((response, at));
        }
        Err(Error::Redirect {
            url: shown(url),
            to: shown(&at),
            reason: format!("more than {MAX_REDIRECTS} redirects"),
        }
        .into())
    }
}

/// An error for bytes that are packed on the way though that was not asked for: they are not those of the file.
fn check_encoding(url: &Url, headers: &HeaderMap) -> Result<()> {
    let packed = headers
        .get(CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok());
    match packed.filter(|packed| !packed.is_empty() && !packed.eq_ignore_ascii_case("identity")) {
        None => Ok(()),
        Some(packed) => Err(Error::Refused {
            url: shown(url),
            status: 200,
            reason: format!(
                "it sent the file as `{}`, although no content encoding was requested",
                crate::error::tame(packed, 40)
            ),
        }),
    }
}

#[cfg(test)]
mod tests;
