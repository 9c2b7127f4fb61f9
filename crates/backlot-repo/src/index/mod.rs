//! Repos behind HTTP: package indexes as pip and uv know them.
//!
//! Invariants: responses are validated before use (see [`page`]); a file that has a digest is used only
//! with that digest; pages are asked for again when they may have changed, metadata never. Deliberately absent: choosing
//! versions, facts about releases other than a yank, and anything that an index cannot do (reindexing, deprecating).

mod create;
mod direct;
pub(crate) mod error;
mod html;
mod json;
mod page;
mod pages;
mod ranges;
mod raw;
mod upload;
mod wheels;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use backlot_core::web::shown;
use backlot_net::{Account, Failure, Network, PlaceName};
use backlot_pep::PackageName;
use ulid::Ulid;
use url::Url;

pub use direct::{DirectFetch, DirectFile, kept_by_digest};
pub use error::{IndexError, Promise};
pub use page::read_package_page;
pub(crate) use wheels::{metadata_key, parse as parse_metadata};

use crate::allow::Allowlist;
use crate::error::{Error, Result};
use crate::listing::Listing;
use crate::location::Location;
use crate::publish::TOOL;
use crate::record::sha256;
use crate::release::ReleaseFile;
use crate::release_event::{ReleaseEvent, ReleaseEventKind, ReleaseStatus};
use crate::status_change::ImportedEvent;
use crate::whole::Release;

/// An index. Cheap to clone; clones share their caches.
#[derive(Clone)]
pub struct IndexRepo(Arc<Inner>);

struct Inner {
    network: Network,
    /// Ends with `/`.
    url: Url,
    upload: Option<Url>,
    account: Account,
    /// The credential for uploads.
    uploader: Account,
    memory: Mutex<Memory>,
    /// Its allowlist; everything is allowed without one.
    gate: OnceLock<Allowlist>,
}

/// Pages read in this process: one run of a command sees one state of a page.
#[derive(Default)]
struct Memory {
    pages: HashMap<PackageName, (Instant, Arc<Listing>)>,
    warned: BTreeSet<String>,
}

impl fmt::Debug for IndexRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IndexRepo").field(&shown(&self.0.url)).finish()
    }
}

impl IndexRepo {
    /// Open an index by its URL, as `name` in messages and for credentials. Nothing is asked yet. `upload` is where
    /// releases are sent, if that is not found from the URL.
    pub fn open(network: &Network, name: &str, url: &str, upload: Option<&str>) -> Result<Self> {
        let url = index_url(url)?;
        let upload = upload.map(index_url).transpose()?;
        let place = PlaceName::Repo(name.to_owned());
        let account = Account::open(network, &place, &url)?;
        let uploader = upload.as_ref().map(|url| Account::open(network, &place, url));
        let uploader = uploader.transpose()?;
        Ok(Self(Arc::new(Inner {
            network: network.clone(),
            url,
            upload,
            uploader: uploader.unwrap_or_else(|| account.clone()),
            account,
            memory: Mutex::default(),
            gate: OnceLock::new(),
        })))
    }

    /// Restrict requests to the allowlist from now on. Once: a second one has no effect.
    #[must_use]
    pub fn gated(self, gate: Allowlist) -> Self {
        self.0.gate.get_or_init(|| gate);
        self
    }

    pub(crate) fn gate(&self) -> Option<&Allowlist> {
        self.0.gate.get()
    }

    /// The index's URL.
    pub fn place(&self) -> Location {
        Location::Url(shown(&self.0.url))
    }

    /// User and name of the index, where its address is that of one of devpi: `…/ana/dev/+simple/`.
    pub(crate) fn devpi_index(&self) -> Option<(&str, &str)> {
        let path = self.0.url.path().strip_suffix("/+simple/")?;
        let (above, index) = path.rsplit_once('/')?;
        let user = above.rsplit('/').next()?;
        (!user.is_empty() && !index.is_empty()).then_some((user, index))
    }

    /// Whether a file on its pages belongs to another index: a devpi index also lists files of its bases, and takes a
    /// release whatever they have.
    pub(crate) fn inherits(&self, file: &ReleaseFile) -> bool {
        let Some((user, index)) = self.devpi_index() else {
            return false;
        };
        let link = file.link().unwrap_or_default();
        let own = ["+f", "+e"].map(|kind| format!("/{user}/{index}/{kind}/"));
        !own.iter().any(|own| link.contains(own))
    }

    /// The status of a release: whether it is yanked. An index does not give the author and time:
    /// there the facts are empty.
    pub(crate) fn status(release: &ReleaseFile) -> ReleaseStatus {
        let fact = |kind: ReleaseEventKind, reason: &String| ReleaseEvent {
            format: 1,
            kind,
            package: release.package.clone(),
            version: release.version.clone(),
            file: None,
            sha256: None,
            modified: None,
            remotes: Vec::new(),
            checks: Vec::new(),
            status: None,
            since: None,
            author: String::new(),
            reason: reason.clone(),
            machine: String::new(),
            tool: String::new(),
            at: backlot_core::Timestamp(0),
            time: String::new(),
        };
        let said = |kind, reason: &Option<String>| reason.as_ref().map(|reason| fact(kind, reason));
        ReleaseStatus {
            yanked: said(ReleaseEventKind::Yanked, &release.yanked),
            deprecated: said(ReleaseEventKind::Deprecated, &release.deprecated),
            ..ReleaseStatus::default()
        }
    }

    /// The status of a release, as facts for another repo: that it is yanked, if all its files are, and deprecated.
    /// The same status gives the same fact, so importing it again adds nothing. An index does not give author and
    /// time: they count as by the index, when the release was published.
    pub(crate) fn events_to_import(&self, release: &Release, file: &ReleaseFile) -> Vec<ImportedEvent> {
        let status = Self::status(file);
        let yanked = status.yanked.filter(|_| release.is_yanked());
        let said = yanked.into_iter().chain(status.deprecated);
        let at = file.published_at.unwrap_or(backlot_core::Timestamp(0));
        let carried = said.map(|fact| {
            let words = format!(
                "{:?} {} {} {}",
                fact.kind, fact.package, fact.version, fact.reason
            );
            let digest = sha256(words.as_bytes()).to_hex();
            let chance = u128::from_str_radix(&digest[..20], 16).unwrap_or_default();
            ImportedEvent {
                id: Ulid::from_parts(at.0, chance),
                fact: ReleaseEvent {
                    author: self.place().to_string(),
                    tool: TOOL.to_owned(),
                    at,
                    time: at.to_string(),
                    ..fact
                },
            }
        });
        carried.collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warn, once about each thing.
    fn warn_once(&self, code: &'static str, message: String) {
        if self.memory().warned.insert(message.clone()) {
            self.0.network.context().warn(code, message);
        }
    }

    fn is_offline(&self) -> bool {
        self.0.network.options().offline
    }
}

/// Permanent failures.
fn final_error(error: impl Into<Error>) -> Failure<Error> {
    Failure::Final(error.into())
}

fn offline(what: impl Into<String>, url: &Url) -> Error {
    backlot_net::Error::Offline {
        what: what.into(),
        url: shown(url),
    }
    .into()
}

/// A URL that can be an index, with `/` at its end.
fn index_url(text: &str) -> Result<Url> {
    let bad = |url: String, reason: &str| backlot_net::Error::BadUrl {
        url,
        reason: reason.to_owned(),
    };
    // A text that is not a URL may still contain a password, so it is not repeated.
    let mut url = Url::parse(text).map_err(|e| bad("…".to_owned(), &e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad(shown(&url), "only http and https are supported").into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(shown(&url), "it contains a user or password").into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad(shown(&url), "it contains `?` or `#`").into());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
