//! Remotes: where file content is stored for others, behind one type.
//!
//! A remote has a layout: [`RemoteLayout::Chunked`] stores chunks in packs (see `chunked`), [`RemoteLayout::Dvc`] stores each
//! object whole under its MD5, as DVC does. Invariants: content that is fetched is proven
//! before it gets its name in the cache; an object that is sent appears whole; members are sent before the manifest that
//! names them (the caller's order); what was moved before an interruption is not moved again.

mod folder;
mod identity;
mod origin;
mod parts;
mod place;
mod proven;
mod results;
pub(crate) mod service;
mod users;

pub use results::RunCacheLayout;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{Blake3, Context, LinkMode, Operation, Subject};
use serde::{Deserialize, Serialize};

use self::origin::Origin;
use self::proven::Proven;
use crate::add::{Added, add_files, by_md5, hash_files};
use crate::cache::{Cache, ObjectEntry, VerifyReport};
use crate::chunked::{AHEAD_FROM, ChunkedRemote, CollectOptions, CollectReport, RestoreReport, StoredName};
use crate::claims::{self, Claim};
use crate::error::{Error, Result};
use crate::object::{FileDigests, KnownFile, ObjectId, Transfer};
use crate::stat::StatCache;
use crate::usage::{self, FileParts, Part, Usage};

/// The layout of content in a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RemoteLayout {
    /// Content-defined chunks in packs; the default.
    Chunked,
    /// One object a file, exactly as DVC lays them out.
    Dvc,
}

impl RemoteLayout {
    /// The word for it in configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chunked => "chunked",
            Self::Dvc => "dvc",
        }
    }
}

impl std::fmt::Display for RemoteLayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RemoteLayout {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "chunked" => Ok(Self::Chunked),
            "dvc" => Ok(Self::Dvc),
            _ => Err(Error::UnknownLayout {
                text: text.to_owned(),
            }),
        }
    }
}

/// The address of a remote, for [`Remote::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// A folder, as a path or with `file://`, or `memory://name`. Stores are opened with [`Remote::in_store`].
    pub url: String,
    /// Its layout.
    pub layout: RemoteLayout,
    /// A local folder for records about remotes; it can be removed at any time.
    pub mirrors: PathBuf,
}

/// The result of a push or pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferReport {
    /// Objects that were moved.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub already_there: u64,
    /// Bytes that were written to the remote (push only).
    pub sent: u64,
    /// The digests of fetched objects (pull only).
    pub digests: BTreeMap<ObjectId, FileDigests>,
    /// Whether some of it was condemned by a collection and is taken back (pull only; see [`Remote::rescuing`]).
    pub rescued: bool,
}

/// Those of some transfers whose objects the cache does not have.
fn absent(cache: &Cache, mut items: Vec<Transfer>) -> Result<Vec<Transfer>> {
    let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
    let mut here = cache.sizes(&ids)?.into_iter();
    items.retain(|_| here.next().flatten().is_none());
    Ok(items)
}

/// An open remote: content that others can reach, in a folder, in memory, or in a store of objects.
///
/// [`Remote::at`] and [`Remote::on`] open one for [`Store`](crate::Store). All methods take `&self` and may be called from any thread at
/// once, and wait until they are done; in async code, call them where waiting is fine. Nothing is locked: any number of processes and
/// machines may push to and pull from one remote.
#[derive(Debug)]
pub struct Remote {
    backend: Backend,
    /// What is sent to it and fetched from it is about.
    subject: Subject,
    /// Set for a remote that must be there, with the identity it must have, if one is known.
    known: Option<backlot_core::ExpectedIdentity>,
    /// Condemned objects that are read are restored.
    rescues: bool,
    /// The recorded content of its objects, in DVC's layout.
    proven: Proven,
    /// The folder for what is remembered, where the caller named none.
    mirrors: Option<TemporaryFolder>,
}

#[derive(Debug)]
enum Backend {
    Folder(folder::FolderRemote),
    Service(service::ServiceRemote),
    Chunked(Box<ChunkedRemote>),
}

impl Remote {
    /// Whether the content of an object of a remote never changes while it has its name: packs, and files in DVC's layout.
    pub fn is_fixed(key: &str) -> bool {
        ChunkedRemote::is_pack(key) || key.starts_with(service::OBJECTS)
    }

    /// Put files into the cache as [`add_files`] does and, where the layout is ours, send much
    /// new content in the same pass. This only comes before a push: what was sent is there for others when that has succeeded.
    pub fn add_files(
        &self,
        cache: &Cache,
        stat: &StatCache,
        paths: &[PathBuf],
        links: &[LinkMode],
        context: &Context,
    ) -> Result<(Vec<Added>, TransferReport)> {
        self.check_known()?;
        match &self.backend {
            Backend::Chunked(remote) => remote.add_files(cache, stat, paths, links, AHEAD_FROM, context),
            _ => Ok((
                add_files(cache, stat, paths, links, context)?,
                TransferReport::default(),
            )),
        }
    }

    /// Store files that go into no cache. Their digests, in the order of the paths, are returned when all of them can be pulled. What
    /// the remote has of files that did not change since they were hashed is not read.
    pub fn store_files(
        &self,
        stat: &StatCache,
        paths: &[PathBuf],
        context: &Context,
    ) -> Result<(Vec<FileDigests>, TransferReport)> {
        self.check_known()?;
        if let Backend::Chunked(remote) = &self.backend {
            return remote.store_files(stat, paths, context);
        }
        let digests = hash_files(paths, stat, context)?;
        let (mut files, mut items) = (HashMap::new(), Vec::new());
        for (md5, (found, path)) in by_md5(paths, &digests)? {
            let id = ObjectId::file(md5);
            items.push(Transfer::proven(id, found));
            files.insert(id, path.to_path_buf());
        }
        let report = self.push_group(Origin::Files(&files), &items, context)?;
        Ok((digests, report))
    }

    /// How this remote is called in messages.
    pub fn place(&self) -> String {
        match &self.backend {
            Backend::Folder(remote) => remote.place(),
            Backend::Service(remote) => remote.place(),
            Backend::Chunked(remote) => remote.place(),
        }
    }

    /// Send objects from the cache, in order: those before a manifest are there before it.
    pub fn push(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<TransferReport> {
        let context = &context.clone().about(self.subject.clone());
        self.check_known()?;
        if let Backend::Chunked(remote) = &self.backend {
            return remote.push(cache, items, context);
        }
        // Members first: everything up to the first manifest may go in any order, then the manifests.
        let (members, trees): (Vec<Transfer>, Vec<Transfer>) = items.iter().partition(|t| !t.id.tree);
        let origin = Origin::Cache(cache);
        let mut report = self.push_group(origin, &members, context)?;
        report.add(self.push_group(origin, &trees, context)?);
        Ok(report)
    }

    fn push_group(
        &self,
        origin: Origin<'_>,
        items: &[Transfer],
        context: &Context,
    ) -> Result<TransferReport> {
        let mut report = TransferReport::default();
        if items.is_empty() {
            return Ok(report);
        }
        let there = self.has_content(items, context);
        let there = there.map_err(|error| origin.named(error))?;
        let wanted = items.iter().zip(&there).filter(|(_, there)| !**there);
        let mut todo: Vec<Transfer> = wanted.map(|(item, _)| *item).collect();
        report.already_there = (items.len() - todo.len()) as u64;
        let ids: Vec<ObjectId> = todo.iter().map(|item| item.id).collect();
        for (item, size) in todo.iter_mut().zip(origin.sizes(&ids)?) {
            item.size = Some(size);
        }
        report.objects = todo.len() as u64;
        report.bytes = todo.iter().filter_map(|item| item.size).sum();
        report.sent = report.bytes;
        let running = context.start(Operation::Push, report.objects, report.bytes);
        let sent = match &self.backend {
            Backend::Folder(remote) => remote.push(origin, &todo, &running, context)?,
            Backend::Service(remote) => remote.push(origin, &todo, &running, context)?,
            // It has its own order and never comes here.
            Backend::Chunked(_) => Vec::new(),
        };
        self.proven.record(&sent, context);
        Ok(report)
    }

    /// Fetch objects into the cache. Those that are damaged or absent are named together at the end; the others are kept.
    /// What another pull of this machine is fetching right now is waited for.
    pub fn pull(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<TransferReport> {
        let context = &context.clone().about(self.subject.clone());
        let mut report = TransferReport::default();
        let mut todo = items.to_vec();
        let mut seen = HashSet::new();
        todo.retain(|item| seen.insert(item.id));
        let count = todo.len();
        let mut todo = absent(cache, todo)?;
        while !todo.is_empty() {
            let ids: Vec<ObjectId> = todo.iter().map(|item| item.id).collect();
            let (claim, taken) = Claim::of(cache, &ids);
            let (theirs, ours): (Vec<Transfer>, Vec<Transfer>) =
                todo.iter().partition(|item| taken.contains(&item.id));
            // Who had an object claimed before may have brought it by now.
            let ours = absent(cache, ours)?;
            self.fetch(cache, &ours, &mut report, context)?;
            drop(claim);
            let theirs = theirs.iter().map(|item| item.id).collect();
            let left: HashSet<ObjectId> = claims::wait(cache, theirs, context)?.into_iter().collect();
            todo.retain(|item| left.contains(&item.id));
        }
        report.already_there = count as u64 - report.objects;
        Ok(report)
    }

    /// Fetch objects that the cache does not have.
    fn fetch(
        &self,
        cache: &Cache,
        todo: &[Transfer],
        report: &mut TransferReport,
        context: &Context,
    ) -> Result<()> {
        if todo.is_empty() {
            return Ok(());
        }
        let fetched = match &self.backend {
            Backend::Folder(remote) => remote.pull(cache, todo, context)?,
            Backend::Service(remote) => remote.pull(cache, todo, context)?,
            Backend::Chunked(remote) => {
                let (fetched, condemned) = remote.pull(cache, todo, context)?;
                if self.rescues {
                    report.rescued |= remote.rescue(&condemned, context)?;
                }
                fetched
            }
        };
        let (mut damaged, mut missing, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        for (item, fetched) in todo.iter().zip(fetched) {
            match fetched {
                Fetched::Stored(digests) => {
                    report.objects += 1;
                    report.bytes += digests.size;
                    report.digests.insert(item.id, digests);
                    stored.push((item.id, digests));
                }
                Fetched::Damaged => damaged.push(item.id),
                Fetched::Missing => missing.push(item.id),
            }
        }
        cache.record(&stored);
        self.proven.record(&stored, context);
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
        Ok(())
    }

    /// The sizes of objects; `None` for those that are not there.
    fn sizes(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<u64>>> {
        match &self.backend {
            Backend::Folder(remote) => remote.sizes(ids, context),
            Backend::Service(remote) => remote.sizes(ids, context),
            Backend::Chunked(remote) => remote.sizes(ids, context),
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

    /// Sizes and proofs of objects that are there and that a release may rely on: not condemned, and all they are made of is
    /// there. `None` for the others. DVC's layout keeps no proofs: there, what this machine remembers is told.
    pub fn known_files(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<KnownFile>>> {
        if let Backend::Chunked(remote) = &self.backend {
            return remote.known(ids, context);
        }
        Ok(self.proven.known(ids, &self.sizes(ids, context)?))
    }

    /// All objects, sorted.
    pub fn list(&self, context: &Context) -> Result<Vec<ObjectEntry>> {
        match &self.backend {
            Backend::Folder(remote) => remote.list(),
            Backend::Service(remote) => remote.list(context),
            Backend::Chunked(remote) => remote.list(context),
        }
    }

    /// Read objects again and compare them with their names, and with a BLAKE3 where known. With a sample, only
    /// about this percentage of packs or objects is read; whether the others exist is reported either way.
    pub fn verify(
        &self,
        expected: &[(ObjectId, Option<Blake3>)],
        sample: Option<u8>,
        context: &Context,
    ) -> Result<VerifyReport> {
        let context = &context.clone().about(self.subject.clone());
        let whole = |expected: &[(ObjectId, Option<Blake3>)]| match &self.backend {
            Backend::Folder(remote) => remote.verify(expected, context),
            Backend::Service(remote) => remote.verify(expected, context),
            Backend::Chunked(remote) => {
                let (mut report, condemned) = remote.verify(expected, sample, context)?;
                if self.rescues {
                    report.rescued = remote.rescue(&condemned, context)?;
                }
                Ok(report)
            }
        };
        let (Some(percent), Backend::Folder(_) | Backend::Service(_)) = (sample, &self.backend) else {
            return whole(expected);
        };
        // Another sample each time; MD5s are as good as chance.
        let start = StoredName::fresh().as_bytes()[15];
        let most = u32::from(percent) * 256 / 100;
        let (chosen, others): (Vec<_>, Vec<_>) = expected
            .iter()
            .partition(|(id, _)| u32::from(id.md5.as_bytes()[0].wrapping_sub(start)) < most);
        let mut report = whole(&chosen)?;
        let ids: Vec<ObjectId> = others.iter().map(|(id, _)| *id).collect();
        let there = self.exists_many(&ids, context)?;
        let absent = ids.iter().zip(there).filter(|(_, there)| !there);
        report.missing.extend(absent.map(|(id, _)| *id));
        Ok(report)
    }

    /// What groups of files (versions of an asset, in their order) take on this remote: of those that are asked about, the
    /// others are only compared with.
    pub fn usage(&self, groups: &[(Vec<ObjectId>, bool)], context: &Context) -> Result<Vec<Option<Usage>>> {
        let sorted = |wanted: &dyn Fn(bool) -> bool| -> Vec<ObjectId> {
            let groups = groups.iter().filter(|(_, asked)| wanted(*asked));
            let ids: BTreeSet<ObjectId> = groups.flat_map(|(ids, _)| ids).copied().collect();
            ids.into_iter().collect()
        };
        let asked = sorted(&|asked| asked);
        let mut others = sorted(&|asked| !asked);
        others.retain(|id| asked.binary_search(id).is_err());
        let mut parts: HashMap<ObjectId, Option<FileParts>> = HashMap::new();
        match &self.backend {
            Backend::Chunked(remote) => {
                let found = remote.parts(&asked, &others, context)?;
                parts.extend(asked.into_iter().chain(others).zip(found));
            }
            Backend::Folder(_) | Backend::Service(_) => {
                let sizes = self.sizes(&asked, context)?;
                let sized = asked.into_iter().zip(sizes);
                parts.extend(sized.map(|(id, size)| (id, size.map(|size| whole_file(&id, size)))));
                parts.extend(others.into_iter().map(|id| (id, Some(whole_file(&id, 0)))));
            }
        }
        let groups: Vec<usage::Group<'_>> = groups
            .iter()
            .map(|(group, asked)| usage::Group {
                files: group.iter().map(|id| parts.get(id)?.as_ref()).collect(),
                asked: *asked,
            })
            .collect();
        Ok(usage::account(&groups))
    }

    /// Send objects from this remote to another, of whatever layout. Between chunked remotes only missing chunks go, as
    /// they are stored; else files go through a folder below `scratch`, which is removed, a bounded number at a time.
    pub fn copy_to(
        &self,
        target: &Self,
        items: &[Transfer],
        scratch: &Path,
        context: &Context,
    ) -> Result<TransferReport> {
        let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
        let (report, missing) = match (&self.backend, &target.backend) {
            (Backend::Chunked(from), Backend::Chunked(to)) => to.copy_from(from, &ids, context)?,
            _ => (self.copy_through(target, items, scratch, context)?, Vec::new()),
        };
        if missing.is_empty() {
            Ok(report)
        } else {
            Err(Error::Missing {
                objects: missing,
                place: self.place(),
            })
        }
    }

    fn copy_through(
        &self,
        target: &Self,
        items: &[Transfer],
        scratch: &Path,
        context: &Context,
    ) -> Result<TransferReport> {
        const BATCH_BYTES: u64 = 1 << 30;
        const BATCH_OBJECTS: usize = 20_000;
        let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
        let there = target.has_content(items, context)?;
        let sizes = self.sizes(&ids, context)?;
        let mut report = TransferReport::default();
        let mut batch = Vec::new();
        let mut bytes = 0;
        // Members before manifests, also from one batch to the next.
        let mut order: Vec<usize> = (0..items.len()).filter(|n| !there[*n]).collect();
        order.sort_by_key(|n| items[*n].id.tree);
        report.already_there = (items.len() - order.len()) as u64;
        for (position, n) in order.iter().enumerate() {
            batch.push(items[*n]);
            bytes += sizes[*n].unwrap_or(0);
            if bytes >= BATCH_BYTES || batch.len() >= BATCH_OBJECTS || position + 1 == order.len() {
                let folder = backlot_core::file::temporary_in(scratch);
                let moved = Cache::open(&folder).and_then(|cache| {
                    self.pull(&cache, &batch, context)?;
                    target.push(&cache, &batch, context)
                });
                backlot_core::file::remove(&folder)?;
                report.add(moved?);
                batch.clear();
                bytes = 0;
            }
        }
        Ok(report)
    }

    /// Condemn objects that `keep` does not list, and delete those condemned long enough ago. Chunked remotes only.
    pub fn collect(
        &self,
        keep: &HashSet<ObjectId>,
        options: &CollectOptions,
        context: &Context,
    ) -> Result<CollectReport> {
        let context = &context.clone().about(self.subject.clone());
        match &self.backend {
            Backend::Chunked(remote) => remote.collect(keep, options, context),
            Backend::Folder(_) | Backend::Service(_) => Err(Error::NotChunked { place: self.place() }),
        }
    }

    /// Files that can be read only until a collection deletes what it condemned. Only chunked remotes have such.
    pub fn condemned_files(&self, context: &Context) -> Result<Vec<ObjectId>> {
        match &self.backend {
            Backend::Chunked(remote) => remote.condemned_files(context),
            Backend::Folder(_) | Backend::Service(_) => Ok(Vec::new()),
        }
    }

    /// Restore condemned objects that are not deleted yet. Returns the keys. Chunked remotes only.
    pub fn restore(&self, dry_run: bool, context: &Context) -> Result<RestoreReport> {
        match &self.backend {
            Backend::Chunked(remote) => remote.restore(dry_run, context),
            Backend::Folder(_) | Backend::Service(_) => Err(Error::NotChunked { place: self.place() }),
        }
    }

    /// Store objects from the cache again in place of damaged ones. `packs` are the damaged packs of a chunked remote.
    pub fn repair(
        &self,
        cache: &Cache,
        items: &[Transfer],
        packs: &[StoredName],
        context: &Context,
    ) -> Result<TransferReport> {
        match &self.backend {
            Backend::Chunked(remote) => remote.repair(cache, items, packs, context),
            Backend::Folder(remote) => {
                for item in items {
                    remote.quarantine(&item.id)?;
                }
                self.push(cache, items, context)
            }
            Backend::Service(remote) => {
                for item in items {
                    remote.remove(&item.id)?;
                }
                self.push(cache, items, context)
            }
        }
    }
}

impl TransferReport {
    pub(crate) fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.already_there += other.already_there;
        self.sent += other.sent;
        self.digests.extend(other.digests);
        self.rescued |= other.rescued;
    }
}

/// The outcome of fetching an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fetched {
    /// Proven, and in the cache.
    Stored(FileDigests),
    /// It does not match its name or BLAKE3.
    Damaged,
    /// Not there.
    Missing,
}

/// A file that is stored as it is.
fn whole_file(id: &ObjectId, size: u64) -> FileParts {
    FileParts {
        size,
        parts: vec![Part {
            unit: (*id.md5.as_bytes(), u32::from(id.tree)),
            stored: size,
            raw: size,
        }],
    }
}

#[cfg(test)]
mod tests;
