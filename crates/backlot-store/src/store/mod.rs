//! The crate's way in for other programs: folders and files to a remote and back, by one type.
//!
//! Invariant: everything here goes through what tracked files go through ([`Remote`], [`Cache`], [`checkout`](crate::checkout)), so it can be
//! read by the rest of Backlot, and the other way round. Deliberately absent: names for snapshots and what to keep of them, which the
//! caller knows.

mod folder;
mod reader;
mod snapshot;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, Read, Write};
use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, FileLock, LinkMode, Operation};
use fs_err as fs;

pub use self::reader::FileReader;
use self::reader::MOST_AHEAD;
pub use self::snapshot::{Snapshot, SnapshotFile};
use crate::add::hash_files;
use crate::cache::{Cache, set_read_only};
use crate::checkout::{CheckoutItem, CheckoutOptions, CheckoutReport, checkout};
use crate::error::{Error, Result};
use crate::hash::Hasher;
use crate::in_use::hold_cache;
use crate::manifest::Manifest;
use crate::object::{FileDigests, ObjectId, Transfer};
use crate::parallel::portions;
use crate::remote::{Remote, TransferReport};
use crate::stat::StatCache;

/// Files that are placed are their owner's: they share blocks with the cache where the disk can, and nothing else.
const LINKS: &[LinkMode] = &[LinkMode::Reflink, LinkMode::Copy];
/// Bytes that are on their way at once where there is no cache.
const BATCH_BYTES: u64 = 1 << 30;
const BATCH_FILES: usize = 20_000;
const PIECE: usize = 1 << 20;

/// Content in a [`Remote`], with or without a local cache: push a folder, pull it elsewhere, put and get single files, read a part of one.
///
/// Files are cut into chunks by their content, and chunks that the remote has are not sent again, whatever file, folder or version they were
/// part of. With a cache, files that are pushed or pulled are kept whole on this machine too, so that none is fetched twice; several
/// stores, workspaces and DVC may share the folder. Without one nothing is kept.
///
/// **Threads, async**: `Send` and `Sync`, all methods take `&self` and may run at once. Each waits until it is done, with threads of its own
/// while it works; in async code call it where waiting is fine (`spawn_blocking`). **Cancelling**: the [`Context`] of a call stops that call
/// between pieces of at most some MiB, with an error of the class `cancelled`; what is complete by then stays, so calling again
/// goes on there. **Locks**: any number of processes and machines may use the remote and the cache at the same time; a cache that is being
/// cleaned is waited for, a minute at most (`core::locked`).
/// **Errors** have a code ([`Diagnostic`](backlot_core::Diagnostic)) and name the file, the object or the remote.
#[derive(Debug)]
pub struct Store {
    remote: Remote,
    local: Option<Local>,
}

/// The local cache.
#[derive(Debug)]
struct Local {
    cache: Cache,
    stat: StatCache,
}

/// The result of a [`Store::pull`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullReport {
    /// Objects (files, each content once) that were fetched into the cache, or past it.
    pub transfer: TransferReport,
    /// Files that were placed, and that were right already.
    pub checkout: CheckoutReport,
}

/// A cache for the time of one call.
struct Scratch {
    cache: Cache,
    _folder: TemporaryFolder,
}

impl Scratch {
    fn in_folder(parent: &Path, context: &Context) -> Result<Self> {
        let folder = TemporaryFolder::in_folder(parent)?;
        let cache = Cache::open(folder.path())?.with_context(context);
        Ok(Self {
            cache,
            _folder: folder,
        })
    }

    fn new(context: &Context) -> Result<Self> {
        Self::in_folder(&std::env::temp_dir(), context)
    }
}

impl Store {
    /// A store on a remote, with a cache in a folder (made if absent) or without one. The remote is not asked.
    ///
    /// Errors: the folder cannot be made or written to.
    pub fn open(cache: Option<&Path>, remote: Remote) -> Result<Self> {
        let Some(root) = cache else {
            return Ok(Self { remote, local: None });
        };
        let cache = Cache::open(root)?;
        let stat = StatCache::open_shared(&root.join("files.db")).or_else(|_| StatCache::forgetful())?;
        Ok(Self {
            remote: remote.mirrored_in(&root.join("remotes")),
            local: Some(Local {
                stat: stat.beside(&cache),
                cache,
            }),
        })
    }

    /// The remote, for what goes beyond folders and files: verifying, collecting, copying to another remote.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Keep the cache from being cleaned meanwhile.
    fn hold(&self, context: &Context) -> Result<Option<FileLock>> {
        context.check()?;
        match &self.local {
            Some(local) => Ok(hold_cache(local.cache.root(), context)?),
            None => Ok(None),
        }
    }

    fn cache(&self, context: &Context) -> Option<Cache> {
        let local = self.local.as_ref()?;
        Some(local.cache.clone().with_context(context))
    }

    /// Store the files of a folder, and the manifest that names them. When this returns, all of it is on the remote and can be pulled
    /// anywhere. Reports `Add` (with a cache) and `Push`.
    ///
    /// Every file below counts, hidden ones too, links to files as the files; folders of version control (`.git`, `.hg`, `.dvc`) are left
    /// out, links to folders as well, with the warning `dvc::skipped_link`; empty folders are nothing. What is on the remote already is
    /// read, to be hashed, and not sent: with a cache, files that did not change since the last push are not even read.
    ///
    /// Cost: one pass over new and changed files; requests for what is new only. Memory is bounded: some 100 MiB, and 500 bytes a file.
    ///
    /// Errors: `store::not_storable` (a link to nothing, a pipe, a name that is not portable), `store::file_changing` (retry),
    /// `store::same_md5`, `store::bad_remote` (the place has DVC's layout), and those of the store of objects.
    pub fn push_folder(&self, folder: &Path, context: &Context) -> Result<(Snapshot, TransferReport)> {
        let _held = self.hold(context)?;
        let found = folder::files_of(&std::path::absolute(folder)?, context)?;
        let paths: Vec<PathBuf> = found.iter().map(|file| file.full.clone()).collect();
        let cache = self.cache(context);
        let (digests, sent) = match (&cache, &self.local) {
            (Some(cache), Some(local)) => {
                let (added, sent) = self
                    .remote
                    .add_files(cache, &local.stat, &paths, LINKS, context)?;
                (added.into_iter().map(|added| added.digests).collect(), sent)
            }
            _ => self
                .remote
                .store_files(&StatCache::forgetful()?, &paths, context)?,
        };
        let file = |(found, digests): (folder::Found, &FileDigests)| SnapshotFile {
            executable: found.executable,
            ..SnapshotFile::new(found.path, digests)
        };
        let snapshot = Snapshot::new(found.into_iter().zip(&digests).map(file).collect())?;
        let manifest = snapshot.manifest().to_bytes();
        let scratch;
        let (cache, members) = match &cache {
            Some(cache) => (cache, once(snapshot.files())),
            None => {
                scratch = Scratch::new(context)?;
                // They are there.
                (&scratch.cache, Vec::new())
            }
        };
        let (id, digests) = cache.insert_bytes(&manifest, true)?;
        let mut items = members;
        items.push(Transfer::proven(id, &digests));
        let mut report = self.remote.push(cache, &items, context)?;
        // What was sent ahead was found there.
        report.already_there = report.already_there.saturating_sub(sent.objects);
        report.add(sent);
        Ok((snapshot, report))
    }

    /// Load a snapshot by its [ID](Snapshot::id): its manifest, and what the remote knows of its files. Whether files are executable is in
    /// the snapshot that the push returned only.
    ///
    /// Errors: `store::missing_object` if the remote lacks the manifest or a file, `dvc::bad_manifest`, `dvc::hostile_manifest`.
    pub fn snapshot(&self, id: &ObjectId, context: &Context) -> Result<Snapshot> {
        let _held = self.hold(context)?;
        let (cache, _scratch) = self.some_cache(context)?;
        self.remote.pull(&cache, &[Transfer::of(*id)], context)?;
        let manifest = Manifest::parse(&id.to_string(), &cache.read(id)?)?;
        let ids: HashSet<ObjectId> = manifest
            .entries()
            .iter()
            .map(|entry| ObjectId::file(entry.md5))
            .collect();
        let mut ids: Vec<ObjectId> = ids.into_iter().collect();
        ids.sort_unstable();
        let found = self.remote.known_files(&ids, context)?;
        let (mut known, mut missing) = (HashMap::new(), Vec::new());
        for (id, found) in ids.into_iter().zip(found) {
            match found {
                Some(found) => drop(known.insert(id.md5, found)),
                None => missing.push(id),
            }
        }
        if !missing.is_empty() {
            return Err(Error::Missing {
                objects: missing,
                place: self.remote.place(),
            });
        }
        let files = manifest.entries().iter().filter_map(|entry| {
            let known = known.get(&entry.md5)?;
            Some(SnapshotFile {
                path: entry.path.clone(),
                md5: entry.md5,
                blake3: known.blake3,
                size: known.size,
                executable: false,
            })
        });
        Snapshot::new(files.collect())
    }

    /// Place the files of a snapshot in a folder, which is made if absent. Files that are right already are left alone, as are files that the
    /// snapshot does not name; each other one appears whole. A file in the way is replaced only if its content is kept in the cache or on the
    /// remote. Reports `Scan`, `Pull` and `Checkout`.
    ///
    /// Cost: what the cache does not have is fetched, in few large requests, and proven by MD5 and BLAKE3. Without a cache it is written below
    /// the folder first, up to 1 GiB (or one file) at a time, and placed by a clone or a copy.
    ///
    /// Errors: `store::would_overwrite`, before anything is fetched; `store::missing_object` and `store::corrupt_object`, which name all such
    /// objects after the others were fetched; those of the store of objects.
    pub fn pull(&self, snapshot: &Snapshot, folder: &Path, context: &Context) -> Result<PullReport> {
        let _held = self.hold(context)?;
        let folder = std::path::absolute(folder)?;
        let own;
        let stat = match &self.local {
            Some(local) => &local.stat,
            None => {
                own = StatCache::forgetful()?;
                &own
            }
        };
        let cache = self.cache(context);
        let (absent, replaced) = self.to_place(snapshot, &folder, (cache.as_ref(), stat), context)?;
        let mut report = PullReport::default();
        report.checkout.unchanged = (snapshot.files().len() - absent.len() - replaced.len()) as u64;
        fs::create_dir_all(&folder)?;
        for (files, force) in [(absent, false), (replaced, true)] {
            for batch in self.batches(&files) {
                let scratch = match &cache {
                    Some(_) => None,
                    None => Some(Scratch::in_folder(&folder, context)?),
                };
                let Some(cache) = scratch.as_ref().map(|scratch| &scratch.cache).or(cache.as_ref()) else {
                    continue;
                };
                let fetched = self.remote.pull(cache, &once(batch.iter().copied()), context)?;
                let items: Vec<CheckoutItem> = batch.iter().map(|file| item(file, &folder)).collect();
                let options = CheckoutOptions {
                    links: LINKS,
                    force,
                    proven: Some(&fetched.digests),
                    read_only: false,
                };
                let placed = checkout(cache, stat, &items, &options, context)?;
                report.transfer.add(fetched);
                report.checkout.placed += placed.placed;
                report.checkout.unchanged += placed.unchanged;
                report.checkout.bytes += placed.bytes;
                for (mode, count) in placed.modes {
                    *report.checkout.modes.entry(mode).or_default() += count;
                }
            }
        }
        Ok(report)
    }

    /// The files that are not in the folder as they should be: where nothing is, and where something is that may go.
    fn to_place<'a>(
        &self,
        snapshot: &'a Snapshot,
        folder: &Path,
        (cache, stat): (Option<&Cache>, &StatCache),
        context: &Context,
    ) -> Result<(Vec<&'a SnapshotFile>, Vec<&'a SnapshotFile>)> {
        let (mut present, mut absent) = (Vec::new(), Vec::new());
        for file in snapshot.files() {
            let target = file.path.to_path(folder);
            match fs::metadata(&target) {
                Ok(found) if found.is_file() => present.push((file, target)),
                Ok(_) => {
                    return Err(Error::WouldOverwrite {
                        path: target,
                        others: 0,
                    });
                }
                // Nothing, or a link to nothing.
                Err(_) => absent.push(file),
            }
        }
        let paths: Vec<PathBuf> = present.iter().map(|(_, target)| target.clone()).collect();
        let digests = hash_files(&paths, stat, context)?;
        let mut other = Vec::new();
        for ((file, target), digests) in present.into_iter().zip(digests) {
            if digests.md5 != file.md5 || file.blake3.is_some_and(|proof| proof != digests.blake3) {
                other.push((file, target, digests));
            }
        }
        if other.is_empty() {
            return Ok((absent, Vec::new()));
        }
        let ids: Vec<ObjectId> = other
            .iter()
            .map(|(.., there)| ObjectId::file(there.md5))
            .collect();
        let known = self.remote.known_files(&ids, context)?;
        let mut in_the_way = Vec::new();
        for ((file, target, digests), known) in other.iter().zip(known) {
            let is_stored = known.is_some_and(|known| known.blake3 == Some(digests.blake3));
            let is_kept = match cache {
                Some(cache) if !is_stored => cache.keeps(target, digests, &file.id())?,
                _ => is_stored,
            };
            if !is_kept {
                in_the_way.push(target);
            }
        }
        match in_the_way.first() {
            Some(path) => Err(Error::WouldOverwrite {
                path: (*path).clone(),
                others: in_the_way.len() - 1,
            }),
            None => Ok((absent, other.into_iter().map(|(file, ..)| file).collect())),
        }
    }

    /// All at once into a cache; without one, as much as may lie there twice for a while.
    fn batches<'a, 'f>(&self, files: &'a [&'f SnapshotFile]) -> Vec<&'a [&'f SnapshotFile]> {
        if self.local.is_some() {
            return if files.is_empty() { Vec::new() } else { vec![files] };
        }
        portions(files, BATCH_BYTES, BATCH_FILES, |file| file.size).collect()
    }

    /// The cache, or one for the time of a call.
    fn some_cache(&self, context: &Context) -> Result<(Cache, Option<Scratch>)> {
        if let Some(cache) = self.cache(context) {
            return Ok((cache, None));
        }
        let scratch = Scratch::new(context)?;
        Ok((scratch.cache.clone(), Some(scratch)))
    }

    /// Store what a reader gives, to its end. Its digests: the MD5 is the address ([`ObjectId::file`]), the BLAKE3 the proof, the size in
    /// bytes. Give all of them to [`Store::get`] and [`Store::reader`], and they prove what they read. Reports `Push`.
    ///
    /// Cost: the bytes are written to a temporary file of the cache (or of the system) first, since a file is stored only when all of it is
    /// there; memory does not grow with it.
    ///
    /// Errors: those of the reader, of the disk, of the store of objects; `store::same_md5`. Nothing is stored then.
    pub fn put(&self, mut source: impl Read, context: &Context) -> Result<FileDigests> {
        let _held = self.hold(context)?;
        let (cache, _scratch) = self.some_cache(context)?;
        let folder = backlot_core::shared::temporary_folder(&cache.temporaries(), 1)?;
        let temporary = folder.file(0);
        let mut file = fs::File::create(&temporary)?;
        let mut hasher = Hasher::default();
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            context.check()?;
            piece.clear();
            source.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            file.write_all(&piece)?;
        }
        drop(file);
        let digests = hasher.finish();
        let id = ObjectId::file(digests.md5);
        set_read_only(&temporary)?;
        cache.publish(&temporary, &id, &digests)?;
        cache.record(&[(id, digests)]);
        self.remote
            .push(&cache, &[Transfer::proven(id, &digests)], context)?;
        Ok(digests)
    }

    /// Write a stored file to a writer: an [`ObjectId`], or more that is known of it (the digests of a put, a [`SnapshotFile`]), which is proven
    /// then. Returns its bytes. Reports `Pull`.
    ///
    /// With a cache it is fetched there, and written when it is proven. Without one, chunks are written as they come, each proven: if the
    /// file as a whole turns out to be wrong at its end, that is the error `store::corrupt_object`, and what was written is not to be
    /// used. From a remote in DVC's layout, it goes through a temporary file.
    ///
    /// Errors: `store::missing_object`, `store::corrupt_object`, `store::damaged_remote`; those of the writer and of the store of objects.
    pub fn get(&self, file: impl Into<Transfer>, mut target: impl Write, context: &Context) -> Result<u64> {
        let _held = self.hold(context)?;
        let wanted = file.into();
        if self.local.is_none()
            && let Some(stream) = self.remote.stream(&wanted, context)?
        {
            let fetching = context.clone().about(self.remote.subject());
            let running = fetching.start(Operation::Pull, 1, stream.size());
            let mut reader = FileReader::of_stream(stream, context);
            let mut hasher = Hasher::default();
            let expected = reader.expected();
            copy(&mut reader, context, |piece| {
                hasher.update(piece);
                target.write_all(piece)?;
                running.advance(0, piece.len() as u64);
                Ok(())
            })?;
            let digests = hasher.finish();
            if !wanted.is_met_by(&digests) || expected != Some(digests.blake3) {
                return Err(Error::Corrupt {
                    objects: vec![wanted.id],
                    place: self.remote.place(),
                });
            }
            target.flush()?;
            running.advance(1, 0);
            return Ok(digests.size);
        }
        let (cache, _scratch) = self.some_cache(context)?;
        self.remote.pull(&cache, &[wanted], context)?;
        let mut reader = Self::of_cache(&cache, &wanted, context)?.ok_or_else(|| Error::Corrupt {
            objects: vec![wanted.id],
            place: self.remote.place(),
        })?;
        copy(&mut reader, context, |piece| Ok(target.write_all(piece)?))?;
        target.flush()?;
        Ok(reader.size())
    }

    /// Open a stored file for reading and seeking, without a copy of it in the cache or anywhere: a loader reads one frame, or the part of it
    /// that it shows. The file is named as for [`Store::get`].
    ///
    /// What the cache has already is read there. Else only the chunks that are read are fetched, each proven by its BLAKE3; the proof of the file
    /// as a whole needs all of it, which [`Store::get`] and [`Store::pull`] read. Opening asks what the remote has (a few listings; small
    /// objects that are new since the last time) and fetches the tables of the packs that have the file, 48 bytes for each of its chunks
    /// of 64 KiB, and for those that lie beside them.
    ///
    /// Errors: `store::missing_object`; `store::corrupt_object` if the remote has other content under the name than is wanted, or cannot say where
    /// its chunks are; `store::no_ranges` in DVC's layout; those of the store of objects.
    pub fn reader(&self, file: impl Into<Transfer>, context: &Context) -> Result<FileReader> {
        let _held = self.hold(context)?;
        let wanted = file.into();
        if let Some(cache) = self.cache(context)
            && let Some(reader) = Self::of_cache(&cache, &wanted, context)?
        {
            return Ok(reader);
        }
        match self.remote.stream(&wanted, context)? {
            Some(stream) => Ok(FileReader::of_stream(stream, context)),
            None => Err(Error::NoRanges {
                place: self.remote.place(),
            }),
        }
    }

    /// The object of a cache, if it is there and what is wanted.
    fn of_cache(cache: &Cache, wanted: &Transfer, context: &Context) -> Result<Option<FileReader>> {
        let held = cache.proven(&[wanted.id])?.into_iter().next().flatten();
        if !held.is_some_and(|digests| wanted.is_met_by(&digests)) {
            return Ok(None);
        }
        let file = match fs::File::open(cache.object_path(&wanted.id)) {
            // Somebody made room since.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        FileReader::of_file(file, context).map(Some)
    }
}

/// Files to be fetched or sent, each content once.
fn once<'a>(files: impl IntoIterator<Item = &'a SnapshotFile>) -> Vec<Transfer> {
    let mut seen = HashSet::new();
    let files = files.into_iter().filter(|file| seen.insert(file.md5));
    files.map(Transfer::from).collect()
}

fn item(file: &SnapshotFile, folder: &Path) -> CheckoutItem {
    CheckoutItem {
        id: file.id(),
        target: file.path.to_path(folder),
        executable: file.executable,
    }
}

/// All of a file, piece by piece.
fn copy(reader: &mut FileReader, context: &Context, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    loop {
        context.check()?;
        let block = reader.fill(MOST_AHEAD)?;
        if block.is_empty() {
            return Ok(());
        }
        take(block)?;
        let length = block.len();
        reader.consume(length);
    }
}
