//! A remote in a store of objects, in DVC's layout, the same as in a folder.
//!
//! Transfers run on a bounded number of threads, streamed in bounded pieces. Invariants: what is sent is proven on the way,
//! and given up before it appears if it is not what its name says; what is fetched gets its name in the cache only when
//! it is proven. Deliberately absent: asking again, which the store does.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use backlot_backend::ObjectStore;
use backlot_core::context::Running;
use backlot_core::{Blake3, Context, Operation, shared};
use fs_err as fs;

use super::Fetched;
use super::origin::Origin;
use crate::cache::{Cache, ObjectEntry, VerifyReport, set_read_only};
use crate::error::Result;
use crate::hash::Hasher;
use crate::object::{FileDigests, ObjectId, Transfer};
use crate::parallel::{Budget, each};

/// Bytes of one piece; memory is at most twice this a transfer.
const PIECE: usize = 4 << 20;
/// From this many objects on, one listing is cheaper than a request for each.
const LIST_FROM: usize = 200;
/// The most a small object of the remote's own may have.
const SMALL: u64 = 1 << 20;
/// Where objects lie.
pub(super) const OBJECTS: &str = "files/md5/";
/// What objects under way hold in memory together.
const IN_MEMORY: u64 = 96 << 20;
/// What a store holds of an object before it sends parts of it.
const MOST_HELD: u64 = 36 << 20;
/// What a store is told that an object is.
const TYPE: &str = "application/octet-stream";

#[derive(Debug)]
pub(crate) struct ServiceRemote {
    store: Arc<dyn ObjectStore>,
}

impl ServiceRemote {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    pub(crate) fn place(&self) -> String {
        format!("the remote `{}`", self.store.place())
    }

    /// The store it is in.
    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    fn width(&self) -> usize {
        self.store.traits().concurrency
    }

    pub(super) fn sizes(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<u64>>> {
        if ids.len() >= LIST_FROM && self.store.traits().lists {
            let all: std::collections::HashMap<ObjectId, u64> = self
                .list(context)?
                .into_iter()
                .map(|entry| (entry.id, entry.size))
                .collect();
            return Ok(ids.iter().map(|id| all.get(id).copied()).collect());
        }
        each(self.width(), ids.len(), context, |n| {
            Ok(self.store.stat(&ids[n].key())?.map(|found| found.size))
        })
    }

    /// A small object of the remote's own.
    pub(super) fn read_small(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.store.read(key, SMALL)?)
    }

    /// Write a small object if there is none, where the store can tell; else it is replaced.
    pub(super) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        Ok(self.store.create_or_replace(key, bytes, TYPE)?)
    }

    /// Whether something was stored here in this layout.
    pub(super) fn is_used(&self) -> Result<bool> {
        // What does not tell what it has was put there by somebody.
        Ok(!self.store.traits().lists || !self.store.list(OBJECTS, false)?.is_empty())
    }

    /// Remove an object that is damaged and about to be sent again.
    pub(super) fn remove(&self, id: &ObjectId) -> Result<()> {
        Ok(self.store.delete(&id.key())?)
    }

    pub(super) fn list(&self, context: &Context) -> Result<Vec<ObjectEntry>> {
        context.check()?;
        let mut objects = Vec::new();
        for entry in self.store.list(OBJECTS, true)? {
            let mut parts = entry.key.rsplit('/');
            let (Some(name), Some(folder)) = (parts.next(), parts.next()) else {
                continue;
            };
            let Some(id) = ObjectId::from_parts(folder, name) else {
                continue;
            };
            let mut size = entry.size;
            if size == 0 {
                // Some services list without sizes.
                let Some(found) = self.store.stat(&entry.key)? else {
                    continue;
                };
                size = found.size;
            }
            objects.push(ObjectEntry { id, size });
        }
        objects.sort_by_key(|entry| entry.id);
        Ok(objects)
    }

    /// Send objects. Returns those that are there, with what they were proven to be on the way.
    pub(super) fn push(
        &self,
        origin: Origin<'_>,
        items: &[Transfer],
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Vec<(ObjectId, FileDigests)>> {
        let memory = Budget::new(IN_MEMORY);
        let results = each(self.width(), items.len(), context, |n| {
            self.put(origin, &items[n], &memory, running, context)
        })?;
        let (mut sent, mut damaged) = (Vec::with_capacity(items.len()), Vec::new());
        for (item, digests) in items.iter().zip(results) {
            match digests {
                Some(digests) => sent.push((item.id, digests)),
                None => damaged.push(item.id),
            }
        }
        if damaged.is_empty() {
            Ok(sent)
        } else {
            Err(origin.damaged(damaged)?)
        }
    }

    /// Stream one object, proving it on the way; `None` for a damaged one, which is given up before it becomes visible.
    fn put(
        &self,
        origin: Origin<'_>,
        item: &Transfer,
        memory: &Budget,
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Option<FileDigests>> {
        let mut file = fs::File::open(origin.path_of(&item.id))?;
        let _held = memory.take(file.metadata()?.len().min(MOST_HELD));
        // Dropped unfinished, the object never appears.
        let mut writer = Arc::clone(&self.store).writer(&item.id.key())?;
        let mut hasher = Hasher::default();
        loop {
            context.check()?;
            let mut piece = Vec::with_capacity(PIECE);
            (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            running.advance(0, piece.len() as u64);
            writer.write(&piece)?;
        }
        let digests = hasher.finish();
        if !item.is_met_by(&digests) {
            return if digests.md5 == item.id.md5 {
                Err(origin.is_other(&item.id))
            } else {
                Ok(None)
            };
        }
        writer.finish()?;
        running.advance(1, 0);
        Ok(Some(digests))
    }

    pub(super) fn pull(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<Vec<Fetched>> {
        let bytes = items.iter().filter_map(|t| t.size).sum();
        let running = context.start(Operation::Pull, items.len() as u64, bytes);
        let temporaries = shared::temporary_folder(&cache.temporaries(), items.len())?;
        each(self.width(), items.len(), context, |n| {
            let item = &items[n];
            let temporary = temporaries.file(n);
            let copy = || -> Result<Option<FileDigests>> {
                let mut copy = fs::File::create(&temporary)?;
                self.read(item.id, &running, context, |piece| Ok(copy.write_all(piece)?))
            };
            let is_wrong = |read: &Option<FileDigests>| read.is_some_and(|found| !item.is_met_by(&found));
            let mut read = copy()?;
            if is_wrong(&read) && self.store.forget(&item.id.key()) {
                read = copy()?;
            }
            running.advance(1, 0);
            let Some(digests) = read else {
                return Ok(Fetched::Missing);
            };
            if is_wrong(&read) {
                return Ok(Fetched::Damaged);
            }
            set_read_only(&temporary)?;
            cache.publish(&temporary, &item.id, &digests)?;
            Ok(Fetched::Stored(digests))
        })
    }

    /// Stream one object through `take`; its digests, or `None` if it is not there.
    fn read(
        &self,
        id: ObjectId,
        running: &Running<'_>,
        context: &Context,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<FileDigests>> {
        let (mut hasher, mut refused) = (Hasher::default(), None);
        let mut each_piece = |piece: &[u8]| -> Result<()> {
            context.check()?;
            hasher.update(piece);
            take(piece)?;
            running.advance(0, piece.len() as u64);
            Ok(())
        };
        let found = self.store.fetch(&id.key(), &mut |piece| {
            refused = each_piece(piece).err();
            refused.is_none()
        })?;
        match refused {
            Some(error) => return Err(error),
            None if !found => return Ok(None),
            None => {}
        }
        Ok(Some(hasher.finish()))
    }

    pub(super) fn verify(
        &self,
        expected: &[(ObjectId, Option<Blake3>)],
        context: &Context,
    ) -> Result<VerifyReport> {
        let running = context.start(Operation::Verify, expected.len() as u64, 0);
        let found = each(self.width(), expected.len(), context, |n| {
            self.read(expected[n].0, &running, context, |_| Ok(()))
        })?;
        let mut report = VerifyReport::default();
        for ((id, proof), digests) in expected.iter().zip(found) {
            let Some(digests) = digests else {
                report.missing.push(*id);
                continue;
            };
            report.objects += 1;
            report.bytes += digests.size;
            report.judge(*id, *proof, digests);
        }
        Ok(report)
    }
}
