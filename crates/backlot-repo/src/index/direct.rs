//! Files named by their URL instead of an index: fetched with the same client, limits, credentials and cache.
//!
//! Invariants: a file whose digest is known, from its URL or a lock, is used only with that digest (SHA-384 and SHA-512 of a
//! URL are compared beside the SHA-256 by which files are kept and locked), and nobody is asked for
//! what is on this disk; one whose digest is not known is asked for each time, and what was there is what counts from then
//! on. Nothing is kept before it was read and is what its name says. Deliberately absent: folders, archives without the
//! name of a wheel or source distribution, and who may name a URL (`backlot-resolve`).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::file;
use backlot_core::web::shown;
use backlot_core::{Context, FileError, Operation, Sha256, StrongDigest, Subject, shared};
use backlot_net::{Account, FileSink, Kind, Network, PlaceName, Request, ResponseMeta};
use backlot_pep::{DirectUrl, PackageName};
use backlot_wheel::{Metadata, Sdist, WheelArchive, WheelName, sdist_name};
use reqwest::header::{ETAG, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use super::error::{IndexError, Promise};
use super::offline;
use super::pages::{may_keep, text};
use super::wheels::{WHEEL_LIMIT, begins_like_a_page, copy, refused};
use crate::error::{Error, Result};
use crate::record::{sha256_of_file, strong_of_file};
use crate::release::ReleaseKind;

/// A file that a URL names, as far as choosing versions needs it.
#[derive(Clone, Debug)]
pub struct DirectFile {
    /// The kind of file.
    pub kind: ReleaseKind,
    /// Its name, parsed; of a source distribution, that of the wheel it becomes.
    pub name: WheelName,
    /// Its digest.
    pub sha256: Sha256,
    /// Its metadata.
    pub metadata: Metadata,
}

/// A file to be had by its URL, and who asks for it.
#[derive(Clone, Debug)]
pub struct DirectFetch<'a> {
    /// The package that it should be of.
    pub package: &'a PackageName,
    /// Its path.
    pub url: &'a DirectUrl,
    /// The digest that it must have, if that is known, and who says so.
    pub expected: Option<(Sha256, Promise)>,
    /// The repo on the same server, by whose name there may be credentials; may be empty.
    pub repo: &'a str,
}

/// The cached state of a URL without a given digest.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    sha256: Sha256,
}

/// A file of a digest that was fetched before and is on this disk still, proven.
pub fn kept_by_digest(network: &Network, file: &str, sha256: Sha256) -> Option<PathBuf> {
    let path = network.responses().wheel(&sha256.to_hex(), file);
    let is_right = path.is_file() && sha256_of_file(&path).is_ok_and(|found| found == sha256);
    is_right.then_some(path)
}

/// The way to what URLs name.
struct Fetcher<'n>(&'n Network);

impl Fetcher<'_> {
    fn direct(&self, fetch: &DirectFetch<'_>) -> Result<DirectFile> {
        let (kind, name) = kind_of(fetch)?;
        let found = match fetch.url.path() {
            Some(path) => local(fetch, kind, &path)?,
            None => self.remote(fetch, kind)?,
        };
        let (sha256, metadata) = found;
        if &metadata.package() != fetch.package {
            return Err(fetch.bad(format!("its metadata is for {}", metadata.name)));
        }
        if metadata.version != name.version {
            return Err(fetch.bad(format!("its metadata is for version {}", metadata.version)));
        }
        Ok(DirectFile {
            kind,
            name,
            sha256,
            metadata,
        })
    }

    fn open(&self, fetch: &DirectFetch<'_>, target: &Path, context: &Context) -> Result<()> {
        let (kind, _) = kind_of(fetch)?;
        let fetching = context.clone().about(Subject::of_place(&fetch.url.to_string()));
        let running = fetching.start(Operation::Pull, 1, 0);
        if let Some(path) = fetch.url.path() {
            let _ = path_of_file(fetch, &path)?;
            copy(&path, target)?;
            fetch.check(sha256_of_file(target)?)?;
            fetch.check_file(target)?;
        } else {
            let progress = |bytes| running.advance(0, bytes);
            let expected = fetch.expected.map(|(sha256, _)| sha256);
            let kept = expected.and_then(|sha256| self.kept_file(fetch, sha256));
            let path = match kept {
                Some(path) => path,
                None => {
                    let found = self.0.block(self.download(fetch, kind, None, &progress))?;
                    let sha256 = found.map(|(sha256, _)| sha256).or(expected);
                    let path = sha256.and_then(|sha256| self.kept_file(fetch, sha256));
                    path.ok_or_else(|| fetch.bad("it disappeared while being read".to_owned()))?
                }
            };
            // It is unpacked next and kept in that form.
            if file::rename(&path, target).is_err() {
                copy(&path, target)?;
            } else if let Some(folder) = path.parent() {
                fs_err::remove_dir(folder).ok();
            }
        }
        running.advance(1, 0);
        Ok(())
    }

    /// Digest and metadata of a file on a server.
    fn remote(&self, fetch: &DirectFetch<'_>, kind: ReleaseKind) -> Result<(Sha256, Metadata)> {
        if let Some((expected, _)) = fetch.expected
            && self.is_promised(fetch, expected)
            && let Some(metadata) = self.kept(fetch, kind, expected)
        {
            return Ok((expected, metadata));
        }
        let seen = match fetch.expected {
            Some(_) => None,
            None => self.seen(fetch, kind),
        };
        if self.0.is_offline() {
            return match seen {
                Some((_, sha256, metadata)) => Ok((sha256, metadata)),
                None => Err(offline(format!("the file of {}", fetch.package), fetch.url.url())),
            };
        }
        let head = seen.as_ref().map(|(head, ..)| head);
        let found = self.0.block(self.download(fetch, kind, head, &|_| {}))?;
        match (found, seen) {
            (Some(found), _) => Ok(found),
            (None, Some((_, sha256, metadata))) => Ok((sha256, metadata)),
            (None, None) => Err(refused(fetch.url.url(), 304)),
        }
    }

    /// The last file seen at a URL, if still cached.
    fn seen(&self, fetch: &DirectFetch<'_>, kind: ReleaseKind) -> Option<(ResponseMeta, Sha256, Metadata)> {
        let kept = self.0.responses().find(Kind::Metadata, &seen_key(fetch.url))?;
        let seen: Seen = serde_json::from_slice(&kept.body).ok()?;
        if !self.is_promised(fetch, seen.sha256) {
            return None;
        }
        let metadata = self.kept(fetch, kind, seen.sha256)?;
        Some((kept.head, seen.sha256, metadata))
    }

    /// Whether a file of a SHA-256 is known to have the longer digest that its URL promises, if it promises one.
    fn is_promised(&self, fetch: &DirectFetch<'_>, sha256: Sha256) -> bool {
        let Some(strong) = fetch.url.strong() else {
            return true;
        };
        let store = self.0.responses();
        store.find(Kind::Metadata, &strong_key(sha256, strong)).is_some()
            || self
                .kept_file(fetch, sha256)
                .is_some_and(|path| fetch.check_file(&path).is_ok())
    }

    /// The metadata of a file of a digest, if it is on this disk.
    fn kept(&self, fetch: &DirectFetch<'_>, kind: ReleaseKind, sha256: Sha256) -> Option<Metadata> {
        if let Some(kept) = self
            .0
            .responses()
            .find(Kind::Metadata, &metadata_key(fetch.url, sha256))
        {
            return Metadata::parse(&String::from_utf8_lossy(&kept.body)).ok();
        }
        let path = self.kept_file(fetch, sha256)?;
        read(fetch, kind, &path).ok()
    }

    /// A local file with a digest, if it still matches.
    fn kept_file(&self, fetch: &DirectFetch<'_>, sha256: Sha256) -> Option<PathBuf> {
        kept_by_digest(self.0, fetch.url.file(), sha256)
    }

    /// Fetch and cache; `None` if unchanged.
    async fn download(
        &self,
        fetch: &DirectFetch<'_>,
        kind: ReleaseKind,
        head: Option<&ResponseMeta>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<(Sha256, Metadata)>> {
        let url = fetch.url.url();
        if self.0.is_offline() {
            return Err(offline(format!("the file of {}", fetch.package), url));
        }
        let store = self.0.responses();
        // Under its own name, since that identifies it.
        let folder = shared::temporary_folder(&store.wheel("direct", ""), 1)?;
        let arrived = folder.path().join(fetch.url.file());
        let mut staged = shared::staged_beside(&arrived)?;
        let mut ask = Request::new(url.clone(), WHEEL_LIMIT).unpacked();
        if let Some(head) = head {
            ask = ask.unless(head.etag.as_deref(), head.last_modified.as_deref());
        }
        let mut sink = FileSink::new(staged.file(), progress, fetch.url.strong());
        let answer = self.0.ask(&self.account_for(fetch)?, &ask, &mut sink).await?;
        match answer.status {
            304 if head.is_some() => return Ok(None),
            200 => {}
            status => return Err(refused(url, status)),
        }
        let (sha256, strong) = sink.digests();
        fetch.check(sha256)?;
        if let Some(strong) = strong {
            fetch.check_strong(strong)?;
            let (named, body) = (shown(url), Vec::new());
            let head = ResponseMeta::new(&named, &named, 200, &body);
            store.keep(Kind::Metadata, &strong_key(sha256, &strong), &head, &body);
        }
        // Not synced: a file lost in a power cut is fetched again, and a damaged one is detected by its digest.
        staged.file().flush().map_err(FileError::from)?;
        file::rename(staged.path(), &arrived)?;
        let metadata = read(fetch, kind, &arrived)?;
        if &metadata.package() == fetch.package {
            let target = store.wheel(&sha256.to_hex(), fetch.url.file());
            if let Some(folder) = target.parent() {
                shared::make_folder_for_now(folder)?;
            }
            file::rename(&arrived, &target)?;
            let (named, body) = (shown(url), metadata.to_text().into_bytes());
            let head = ResponseMeta::new(&named, &named, 200, &body);
            store.keep(Kind::Metadata, &metadata_key(fetch.url, sha256), &head, &body);
            if may_keep(&answer.headers) {
                let body = serde_json::to_vec(&Seen { sha256 }).expect("plain data");
                let mut head = ResponseMeta::new(&named, &named, 200, &body);
                head.etag = text(&answer.headers, &ETAG);
                head.last_modified = text(&answer.headers, &LAST_MODIFIED);
                store.keep(Kind::Metadata, &seen_key(fetch.url), &head, &body);
            }
        }
        Ok(Some((sha256, metadata)))
    }

    fn account_for(&self, fetch: &DirectFetch<'_>) -> Result<Account> {
        let place = PlaceName::Repo(fetch.repo.to_owned());
        Ok(Account::open(self.0, &place, fetch.url.url())?)
    }
}

impl DirectFetch<'_> {
    /// Read the file at the URL; fetched and cached if needed.
    pub fn read(&self, network: &Network) -> Result<DirectFile> {
        Fetcher(network).direct(self)
    }

    /// Place the file at the URL, if it has the expected digest.
    pub fn open(&self, network: &Network, target: &Path, context: &Context) -> Result<()> {
        Fetcher(network).open(self, target, context)
    }

    fn bad(&self, reason: String) -> Error {
        IndexError::BadFile {
            package: self.package.clone(),
            url: self.url.to_string(),
            reason,
        }
        .into()
    }

    fn check(&self, found: Sha256) -> Result<()> {
        match self.expected {
            Some((expected, by)) if expected != found => {
                Err(self.wrong(format!("SHA-256 {expected}"), format!("SHA-256 {found}"), by))
            }
            _ => Ok(()),
        }
    }

    /// Compare with the longer digest that the URL promises.
    fn check_strong(&self, found: StrongDigest) -> Result<()> {
        match self.url.strong() {
            Some(expected) if *expected != found => {
                Err(self.wrong(expected.to_string(), found.to_string(), Promise::Requirement))
            }
            _ => Ok(()),
        }
    }

    fn check_file(&self, path: &Path) -> Result<()> {
        match self.url.strong() {
            Some(expected) => self.check_strong(strong_of_file(path, expected)?),
            None => Ok(()),
        }
    }

    fn wrong(&self, expected: String, found: String, by: Promise) -> Error {
        IndexError::WrongFile {
            package: self.package.clone(),
            url: self.url.to_string(),
            expected,
            found,
            by,
        }
        .into()
    }
}

/// The kind of file at a URL, by its file name.
fn kind_of(fetch: &DirectFetch<'_>) -> Result<(ReleaseKind, WheelName)> {
    let file = fetch.url.file();
    if fetch.url.path().is_some_and(|path| path.is_dir()) {
        return Err(IndexError::Folder {
            package: fetch.package.clone(),
            url: fetch.url.to_string(),
        }
        .into());
    }
    let found = match file.parse::<WheelName>() {
        Ok(name) => Some((ReleaseKind::Wheel, name)),
        Err(_) => sdist_name(file)
            .map(|(package, version)| (ReleaseKind::Sdist, WheelName::pure(&package, &version))),
    };
    match found {
        Some((_, name)) if &name.package != fetch.package => {
            Err(fetch.bad(format!("its file name is for {}", name.package)))
        }
        Some(found) => Ok(found),
        None => Err(fetch.bad("its file name is not that of a wheel or source distribution".to_owned())),
    }
}

/// Digest and metadata of a file on this machine.
fn local(fetch: &DirectFetch<'_>, kind: ReleaseKind, path: &Path) -> Result<(Sha256, Metadata)> {
    let path = path_of_file(fetch, path)?;
    let sha256 = sha256_of_file(path)?;
    fetch.check(sha256)?;
    fetch.check_file(path)?;
    Ok((sha256, read(fetch, kind, path)?))
}

fn path_of_file<'p>(fetch: &DirectFetch<'_>, path: &'p Path) -> Result<&'p Path> {
    if path.is_file() {
        return Ok(path);
    }
    Err(IndexError::NoFile {
        package: fetch.package.clone(),
        url: fetch.url.to_string(),
    }
    .into())
}

/// The metadata of a file, if it is what its name says.
fn read(fetch: &DirectFetch<'_>, kind: ReleaseKind, path: &Path) -> Result<Metadata> {
    let metadata = match kind {
        ReleaseKind::Wheel => WheelArchive::open(path).map(|archive| archive.metadata().clone()),
        ReleaseKind::Sdist => Sdist::open(path).and_then(|sdist| {
            sdist.check_buildable()?;
            Ok(sdist.metadata().clone())
        }),
    };
    metadata.map_err(|error| match error {
        backlot_wheel::Error::BadWheel { reason, .. } | backlot_wheel::Error::BadSdist { reason, .. } => {
            let page = begins_like_a_page(path);
            fetch.bad(if page {
                "it is a web page".to_owned()
            } else {
                reason
            })
        }
        other => other.into(),
    })
}

fn metadata_key(url: &DirectUrl, sha256: Sha256) -> String {
    format!("direct {sha256} of {}", url.file())
}

/// That a file of one digest has another one, too, never changes.
fn strong_key(sha256: Sha256, strong: &StrongDigest) -> String {
    format!("SHA-256 {sha256} is {strong}")
}

fn seen_key(url: &DirectUrl) -> String {
    format!("direct {}", url.as_str())
}
