//! Remotes: where file content is stored for others, behind one type.
//!
//! A remote has a layout. [`RemoteLayout::Dvc`] stores each object whole under its MD5, as DVC does; the chunked layout
//! of the design is a second variant beside it, with its own module here. Invariants: content that is fetched is proven
//! before it gets its name in the cache; an object that is sent appears whole; members are sent before the manifest that
//! names them (the caller's order); what was moved before an interruption is not moved again.

mod folder;
mod service;

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_core::{Blake3, Context};

use crate::cache::{Cache, ObjectEntry, VerifyReport};
use crate::error::{Error, Result};
use crate::object::{FileDigests, ObjectId, Transfer};

/// How content lies in a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteLayout {
    /// One object a file, exactly as DVC lays them out.
    Dvc,
}

/// The address of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// A folder, or `file://`, `opendal+fs://` (a folder through OpenDAL) or `memory://`.
    pub url: String,
    /// Its layout.
    pub layout: RemoteLayout,
}

/// What a push or pull moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferReport {
    /// Objects that were moved.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub already_there: u64,
    /// The digests of fetched objects (pull only).
    pub digests: BTreeMap<ObjectId, FileDigests>,
}

/// An open remote.
#[derive(Debug)]
pub struct Remote {
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Folder(folder::FolderRemote),
    Service(service::ServiceRemote),
}

impl Remote {
    /// Open a remote; nothing is made until something is pushed.
    pub fn open(config: &RemoteConfig) -> Result<Self> {
        let url = config.url.as_str();
        let bad = |reason: &str| Error::BadRemote {
            url: redacted(url),
            reason: reason.to_owned(),
        };
        let RemoteLayout::Dvc = config.layout;
        let backend = match url.split_once("://") {
            None => Backend::Folder(folder::FolderRemote::new(PathBuf::from(url))),
            Some(("file", path)) => Backend::Folder(folder::FolderRemote::new(PathBuf::from(path))),
            Some(("opendal+fs", path)) => Backend::Service(service::ServiceRemote::folder(path)?),
            Some(("memory", _)) => Backend::Service(service::ServiceRemote::memory()?),
            Some(("", _)) => return Err(bad("it has no scheme")),
            Some((scheme, _)) => return Err(bad(&format!("the scheme `{scheme}` is not known"))),
        };
        Ok(Self { backend })
    }

    /// How this remote is called in messages.
    pub fn place(&self) -> String {
        match &self.backend {
            Backend::Folder(remote) => remote.place(),
            Backend::Service(remote) => remote.place(),
        }
    }

    /// Send objects from the cache, in order: those before a manifest are there before it.
    pub fn push(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<TransferReport> {
        // Members first: everything up to the first manifest may go in any order, then the manifests.
        let (members, trees): (Vec<Transfer>, Vec<Transfer>) = items.iter().partition(|t| !t.id.tree);
        let mut report = self.push_group(cache, &members, context)?;
        report.add(self.push_group(cache, &trees, context)?);
        Ok(report)
    }

    fn push_group(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<TransferReport> {
        let mut report = TransferReport::default();
        if items.is_empty() {
            return Ok(report);
        }
        let mut todo = Vec::new();
        let mut missing = Vec::new();
        let ids: Vec<ObjectId> = items.iter().map(|t| t.id).collect();
        let there = self.sizes(&ids, context)?;
        for (item, there) in items.iter().zip(there) {
            // The size of the cached copy is not asked for where the remote's fits what the caller knows.
            if there.is_some() && (item.size.is_none() || there == item.size) {
                report.already_there += 1;
                continue;
            }
            match cache.size(&item.id)? {
                Some(size) => todo.push((item.id, size)),
                None => missing.push(item.id),
            }
        }
        if !missing.is_empty() {
            return Err(Error::Missing {
                objects: missing,
                place: cache.place(),
            });
        }
        report.objects = todo.len() as u64;
        report.bytes = todo.iter().map(|(_, size)| size).sum();
        match &self.backend {
            Backend::Folder(remote) => remote.push(cache, &todo, context)?,
            Backend::Service(remote) => remote.push(cache, &todo, context)?,
        }
        Ok(report)
    }

    /// Fetch objects into the cache. Those that are damaged or absent are named together at the end; the others are kept.
    pub fn pull(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<TransferReport> {
        let mut report = TransferReport::default();
        let mut todo = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for item in items {
            if !seen.insert(item.id) {
                continue;
            }
            if cache.has(&item.id)? {
                report.already_there += 1;
            } else {
                todo.push(*item);
            }
        }
        if todo.is_empty() {
            return Ok(report);
        }
        let fetched = match &self.backend {
            Backend::Folder(remote) => remote.pull(cache, &todo, context)?,
            Backend::Service(remote) => remote.pull(cache, &todo, context)?,
        };
        let (mut damaged, mut missing) = (Vec::new(), Vec::new());
        for (item, fetched) in todo.iter().zip(fetched) {
            match fetched {
                Fetched::Stored(digests) => {
                    report.objects += 1;
                    report.bytes += digests.size;
                    report.digests.insert(item.id, digests);
                }
                Fetched::Damaged => damaged.push(item.id),
                Fetched::Missing => missing.push(item.id),
            }
        }
        if !damaged.is_empty() {
            return Err(Error::Corrupt {
                objects: damaged,
                place: self.place(),
            });
        }
        if !missing.is_empty() {
            return Err(Error::Missing {
                objects: missing,
                place: self.place(),
            });
        }
        Ok(report)
    }

    /// The sizes of objects; `None` for those that are not there.
    fn sizes(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<u64>>> {
        match &self.backend {
            Backend::Folder(remote) => remote.sizes(ids, context),
            Backend::Service(remote) => remote.sizes(ids, context),
        }
    }

    /// Which of the objects are there.
    pub fn exists_many(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<bool>> {
        Ok(self
            .sizes(ids, context)?
            .into_iter()
            .map(|size| size.is_some())
            .collect())
    }

    /// All objects, sorted.
    pub fn list(&self, context: &Context) -> Result<Vec<ObjectEntry>> {
        match &self.backend {
            Backend::Folder(remote) => remote.list(),
            Backend::Service(remote) => remote.list(context),
        }
    }

    /// Read objects again and compare them with their names, and with a proof where one is known.
    pub fn verify(&self, expected: &[(ObjectId, Option<Blake3>)], context: &Context) -> Result<VerifyReport> {
        match &self.backend {
            Backend::Folder(remote) => remote.verify(expected, context),
            Backend::Service(remote) => remote.verify(expected, context),
        }
    }
}

impl TransferReport {
    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.already_there += other.already_there;
        self.digests.extend(other.digests);
    }
}

/// What became of an object that was to be fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fetched {
    /// Proven, and in the cache.
    Stored(FileDigests),
    /// Not what its name or proof says.
    Damaged,
    /// Not there.
    Missing,
}

impl Fetched {
    fn is_right(item: &Transfer, digests: &FileDigests) -> bool {
        digests.md5 == item.id.md5
            && item.blake3.is_none_or(|proof| proof == digests.blake3)
            && item.size.is_none_or(|size| size == digests.size)
    }
}

/// A URL without the part before `@`, which may hold a secret.
fn redacted(url: &str) -> String {
    match url
        .split_once("://")
        .and_then(|(scheme, rest)| rest.split_once('@').map(|(_, host)| (scheme, host)))
    {
        Some((scheme, host)) => format!("{scheme}://***@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
