//! Pages of an index: kept, asked again, remembered.
//!
//! Invariants: a kept page is used without asking only as long as its server said; otherwise the server is asked whether it
//! changed. A package that is not there is remembered as such, so that an offline run knows it too. Deliberately absent:
//! reading pages; see [`super::page`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_core::Timestamp;
use backlot_core::web::shown;
use backlot_net::{CachedResponse, HttpCache, Kind, Network, Request, ResponseMeta};
use backlot_pep::PackageName;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use tokio::task::JoinSet;
use url::Url;

use super::error::IndexError;
use super::raw::RawPage;
use super::{IndexRepo, offline, page};
use crate::allow::Allowlist;
use crate::error::{Error, Result};
use crate::listing::Listing;
use crate::release::ReleaseFile;

/// The accepted types, best first.
const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// The most the page of a package may have: three times the largest that is known.
const PAGE_LIMIT: u64 = 32 << 20;
/// The most the list of all packages may have.
const ROOT_LIMIT: u64 = 128 << 20;
/// The longest that a page is used without asking, whatever the server says.
const MAX_FRESH: Duration = Duration::from_mins(10);
/// How long a process sees the same page.
const REMEMBERED: Duration = Duration::from_mins(1);

impl IndexRepo {
    /// Look for an index at an address that a person typed: itself, or what devpi and others have below it. Returns the
    /// URL of the index.
    pub fn find(network: &Network, name: &str, url: &str) -> Result<String> {
        let given = Self::open(network, name, url, None)?;
        let base = &given.0.url;
        if given.is_offline() {
            return Ok(base.to_string());
        }
        let is_simple = base
            .path_segments()
            .is_some_and(|mut s| s.any(|s| s == "simple" || s == "+simple"));
        let below: &[&str] = if is_simple {
            &[""]
        } else {
            &["+simple/", "simple/", ""]
        };
        let mut tried = Vec::new();
        for path in below {
            let candidate = base.join(path).map_err(|e| backlot_net::Error::BadUrl {
                url: shown(base),
                reason: e.to_string(),
            })?;
            let kept = match network.block(given.page(&candidate, ROOT_LIMIT)) {
                // Some servers answer oddly where they have nothing.
                Err(
                    error @ Error::Network(
                        backlot_net::Error::Refused { .. }
                        | backlot_net::Error::Redirect { .. }
                        | backlot_net::Error::TooLarge { .. },
                    ),
                ) if below.len() > 1 => {
                    tried.push(format!("`{}`: {error}", shown(&candidate)));
                    continue;
                }
                kept => kept?,
            };
            let outcome = match kept.head.status {
                200 => match read(&kept) {
                    // A page for people has links too; an index says so in its type or its address.
                    Ok(page) => match page::packages(&page, &candidate) {
                        Ok(_) if !path.is_empty() || is_simple || is_index(&kept) => {
                            return Ok(candidate.into());
                        }
                        Ok(_) => "a page of a different kind".to_owned(),
                        Err(error) => error.to_string(),
                    },
                    Err(error) => error.to_string(),
                },
                // Some answer only for names.
                status if is_simple => {
                    let message = format!(
                        "`{}` does not list its packages (it answered {status})",
                        shown(base)
                    );
                    network.context().warn("index::no_listing", message);
                    return Ok(candidate.into());
                }
                status => status.to_string(),
            };
            tried.push(format!("`{}`: {outcome}", shown(&candidate)));
        }
        Err(IndexError::NotAnIndex {
            url: shown(base),
            tried,
        }
        .into())
    }

    /// The packages of the index, sorted.
    pub fn packages(&self) -> Result<Vec<PackageName>> {
        let network = &self.0.network;
        if let Some(mut names) = self.gate().and_then(Allowlist::names) {
            self.prefetch(&names)?;
            let mut failure = None;
            names.retain(|name| match self.releases_with_problems(name) {
                Ok(listing) => !(listing.releases.is_empty() && listing.sources.is_empty()),
                Err(error) => {
                    failure.get_or_insert(error);
                    false
                }
            });
            return failure.map_or(Ok(names), Err);
        }
        let kept = network.block(self.page(&self.0.url, ROOT_LIMIT))?;
        if kept.head.status != 200 {
            return Err(IndexError::NoListing {
                url: shown(&self.0.url),
                status: kept.head.status,
            }
            .into());
        }
        let names = read(&kept).and_then(|page| Ok(page::packages(&page, &self.0.url)?));
        let mut names = names.inspect_err(|_| self.refuse_page(&self.0.url))?;
        if let Some(gate) = self.gate() {
            names.retain(|name| gate.admits(name));
        }
        Ok(names)
    }

    /// All files of the index under a package's name.
    pub fn releases_with_problems(&self, name: &PackageName) -> Result<Arc<Listing>> {
        if let Some(known) = self.remembered(name) {
            return Ok(known);
        }
        self.0.network.block(self.listing(name))
    }

    /// Read the pages of many packages, many at once. A page that cannot be read is the later reader's to report, unless
    /// the server does not answer at all.
    pub fn prefetch(&self, names: &[PackageName]) -> Result<()> {
        let missing: Vec<_> = names
            .iter()
            .filter(|n| self.remembered(n).is_none())
            .cloned()
            .collect();
        self.for_all(missing, |repo, name| async move {
            repo.listing(&name).await.map(drop)
        })
    }

    /// Where the page of a package is kept, and until when it holds; `None` if it is not kept.
    pub(crate) fn kept_page(&self, name: &PackageName) -> Option<(PathBuf, u64)> {
        let path = self.kept_page_path(name)?;
        let head = HttpCache::head(&path)?;
        Some((path, head.fresh_until))
    }

    /// Where the page of a package is kept if it is.
    pub(crate) fn kept_page_path(&self, name: &PackageName) -> Option<PathBuf> {
        let url = self.page_url(name).ok()?;
        Some(self.0.network.responses().path(Kind::Page, url.as_str()))
    }

    /// Whether a page that holds until a time may be used without asking.
    pub(crate) fn is_fresh(&self, until: u64, now: Timestamp) -> bool {
        let longest = u64::try_from(MAX_FRESH.as_millis()).unwrap_or(0);
        self.is_offline() || (now.0..=now.0 + longest).contains(&until)
    }

    /// Do something with many things, as many at once as the network allows.
    pub(super) fn for_all<T, F>(&self, things: Vec<T>, each: impl Fn(Self, T) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        if things.is_empty() {
            return Ok(());
        }
        self.0.network.block(async {
            let mut tasks = JoinSet::new();
            for thing in things {
                tasks.spawn(each(self.clone(), thing));
            }
            while let Some(done) = tasks.join_next().await {
                match done {
                    Ok(Err(error @ Error::Network(backlot_net::Error::Unreachable { .. }))) => {
                        return Err(error);
                    }
                    Ok(_) => {}
                    Err(failed) => {
                        if let Ok(panic) = failed.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// Forget the cached state of a package, because it just changed.
    pub(super) fn forget(&self, name: &PackageName) {
        self.memory().pages.remove(name);
        if let Ok(url) = self.page_url(name) {
            self.0.network.responses().forget(Kind::Page, url.as_str());
        }
    }

    /// A response that is not a page is requested again, whatever its freshness.
    fn refuse_page(&self, url: &Url) {
        if !self.is_offline() {
            self.0.network.responses().forget(Kind::Page, url.as_str());
        }
    }

    fn remembered(&self, name: &PackageName) -> Option<Arc<Listing>> {
        let memory = self.memory();
        let (at, listing) = memory.pages.get(name)?;
        (at.elapsed() < REMEMBERED).then(|| Arc::clone(listing))
    }

    fn page_url(&self, name: &PackageName) -> Result<Url> {
        let joined = self.0.url.join(&format!("{name}/"));
        joined.map_err(|e| {
            backlot_net::Error::BadUrl {
                url: shown(&self.0.url),
                reason: e.to_string(),
            }
            .into()
        })
    }

    async fn listing(&self, name: &PackageName) -> Result<Arc<Listing>> {
        if self.gate().is_some_and(|gate| !gate.admits(name)) {
            return Ok(Arc::default());
        }
        let url = self.page_url(name)?;
        let kept = self.page(&url, PAGE_LIMIT).await.map_err(|error| match error {
            Error::Network(backlot_net::Error::Offline { .. }) => {
                offline(format!("the page of {name}"), &self.0.url)
            }
            other => other,
        })?;
        let listing = if kept.head.status == 200 {
            let base = Url::parse(&kept.head.base).unwrap_or_else(|_| url.clone());
            let listing = read(&kept).and_then(|page| Ok(page::releases(page, name, &base)?));
            listing.inspect_err(|_| self.refuse_page(&url))?
        } else {
            Listing::default()
        };
        let listing = Arc::new(listing);
        self.memory()
            .pages
            .insert(name.clone(), (Instant::now(), Arc::clone(&listing)));
        Ok(listing)
    }

    /// A page, or that it is not there (404), as it is now.
    async fn page(&self, url: &Url, limit: u64) -> Result<CachedResponse> {
        let network = &self.0.network;
        let (store, now) = (&network.responses(), network.context().now().0);
        let kept = store.find(Kind::Page, url.as_str());
        if self.is_offline() {
            return kept.ok_or_else(|| offline("the page", url));
        }
        if let Some(kept) = &kept
            && self.is_fresh(kept.head.fresh_until, Timestamp(now))
        {
            return Ok(kept.clone());
        }
        let mut ask = Request::new(url.clone(), limit).accept(ACCEPT);
        ask.deadline = Some(network.options().page_timeout);
        if let Some(kept) = &kept {
            ask = ask.unless(kept.head.etag.as_deref(), kept.head.last_modified.as_deref());
        }
        let mut body = Vec::new();
        let answer = network.ask(&self.0.account, &ask, &mut body).await?;
        let (fresh, may_keep) = freshness(&answer.headers);
        let fresh_until = if fresh.is_zero() {
            0
        } else {
            now + u64::try_from(fresh.as_millis()).unwrap_or(0)
        };
        if answer.status == 304
            && let Some(mut kept) = kept
        {
            if fresh_until > 0 {
                kept.head.fresh_until = fresh_until;
                store.keep(Kind::Page, url.as_str(), &kept.head, &kept.body);
            }
            return Ok(kept);
        }
        let status = match answer.status {
            200 => 200,
            404 | 410 => 404,
            status => {
                return Err(backlot_net::Error::Refused {
                    url: shown(url),
                    status,
                    reason: String::new(),
                }
                .into());
            }
        };
        let mut head = ResponseMeta::new(url.as_str(), answer.url.as_str(), status, &body);
        head.etag = text(&answer.headers, &ETAG);
        head.last_modified = text(&answer.headers, &LAST_MODIFIED);
        head.content_type = text(&answer.headers, &CONTENT_TYPE);
        head.fresh_until = if status == 200 { fresh_until } else { 0 };
        if may_keep {
            store.keep(Kind::Page, url.as_str(), &head, &body);
        }
        Ok(CachedResponse { head, body })
    }

    /// The good wheels of a package; the others are warned about once.
    pub(crate) fn wheels(&self, name: &PackageName) -> Result<Vec<ReleaseFile>> {
        Ok(self.listed(name)?.releases.clone())
    }

    /// All files of the index under a package's name; unusable ones cause one warning each.
    pub(crate) fn listed(&self, name: &PackageName) -> Result<Arc<Listing>> {
        let listing = self.releases_with_problems(name)?;
        for broken in &listing.broken {
            let message = format!("`{}` is not used: {}", broken.place, broken.reason);
            self.warn_once("repo::broken_release", message);
        }
        Ok(listing)
    }
}

fn read(kept: &CachedResponse) -> Result<RawPage> {
    let base = Url::parse(&kept.head.base).map_err(|e| backlot_net::Error::BadUrl {
        url: "…".to_owned(),
        reason: e.to_string(),
    })?;
    Ok(page::read(kept.head.content_type.as_deref(), &kept.body, &base)?)
}

/// Whether a page is one of an index beyond doubt.
fn is_index(kept: &CachedResponse) -> bool {
    let marked = kept
        .head
        .content_type
        .as_deref()
        .is_some_and(|t| t.contains("vnd.pypi.simple"));
    marked || read(kept).is_ok_and(|page| page.version.is_some())
}

/// How long an answer holds without asking, and whether it may be kept (RFC 9111, for a cache of one person).
fn freshness(headers: &HeaderMap) -> (Duration, bool) {
    let Some(control) = text(headers, &CACHE_CONTROL) else {
        return (Duration::ZERO, true);
    };
    let control = control.to_ascii_lowercase();
    let mut fresh = Duration::ZERO;
    for word in control.split(',').map(str::trim) {
        match word.split_once('=') {
            Some(("max-age", seconds)) => {
                let seconds = seconds.trim_matches('"').parse().unwrap_or(0);
                fresh = Duration::from_secs(seconds).min(MAX_FRESH);
            }
            None if word == "no-cache" => return (Duration::ZERO, true),
            None if word == "no-store" => return (Duration::ZERO, false),
            _ => {}
        }
    }
    (fresh, true)
}

/// Whether an answer may be kept.
pub(super) fn may_keep(headers: &HeaderMap) -> bool {
    freshness(headers).1
}

pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}
