//! A remote on any OpenDAL service, in the same layout as a folder.
//!
//! Transfers run on a small runtime of the remote's own, a bounded number at a time, streamed in bounded pieces and
//! retried with back-off. Whole appearance is the service's: object stores and `atomic_write_dir` give it.

use std::future::IntoFuture as _;

use backlot_core::context::Running;
use backlot_core::{Blake3, Context, Operation, shared};
use fs_err as fs;
use opendal::layers::RetryLayer;
use opendal::{ErrorKind, Operator, services};
use std::io::{Read as _, Write as _};

use super::Fetched;
use crate::cache::{Cache, ObjectEntry, VerifyReport, set_read_only};
use crate::error::{Error, Result};
use crate::hash::md5::{Md5Hasher, update_many};
use crate::object::{FileDigests, ObjectId, Transfer};
use crate::parallel::each;

/// Transfers at a time.
const CONCURRENCY: usize = 8;
/// Bytes of one piece; memory is at most twice this a transfer.
const PIECE: usize = 4 << 20;
/// From this many objects on, one listing is cheaper than a request for each.
const LIST_FROM: usize = 200;

#[derive(Debug)]
pub(crate) struct ServiceRemote {
    operator: Operator,
    runtime: tokio::runtime::Runtime,
    place: String,
}

impl ServiceRemote {
    /// A folder through OpenDAL's own file system service.
    pub(crate) fn folder(path: &str) -> Result<Self> {
        let temporaries = format!("{}/tmp", path.trim_end_matches('/'));
        let builder = services::Fs::default().root(path).atomic_write_dir(&temporaries);
        Self::new(Operator::new(builder), &format!("opendal+fs://{path}"))
    }

    /// Objects in this process only, for tests and dry runs.
    pub(crate) fn memory() -> Result<Self> {
        Self::new(Operator::new(services::Memory::default()), "memory://")
    }

    fn new(operator: opendal::Result<Operator>, url: &str) -> Result<Self> {
        let bad = |e: opendal::Error| Error::BadRemote {
            url: url.to_owned(),
            reason: e.to_string(),
        };
        let operator = operator
            .map_err(bad)?
            .layer(RetryLayer::new().with_jitter().with_max_times(4));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        Ok(Self {
            operator,
            runtime,
            place: format!("the remote `{url}`"),
        })
    }

    pub(crate) fn place(&self) -> String {
        self.place.clone()
    }

    pub(crate) const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Wait for a request.
    pub(crate) fn wait<F: Future>(&self, request: F) -> F::Output {
        self.runtime.block_on(request)
    }

    /// For waiting after this value is out of reach.
    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    pub(crate) fn failed(&self, source: opendal::Error) -> Error {
        Error::Service {
            place: self.place.clone(),
            source: Box::new(source),
        }
    }

    pub(super) fn sizes(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<u64>>> {
        if ids.len() >= LIST_FROM {
            let all: std::collections::HashMap<ObjectId, u64> = self
                .list(context)?
                .into_iter()
                .map(|entry| (entry.id, entry.size))
                .collect();
            return Ok(ids.iter().map(|id| all.get(id).copied()).collect());
        }
        each(CONCURRENCY, ids.len(), context, |n| {
            match self.runtime.block_on(self.operator.stat(&ids[n].key())) {
                Ok(found) => Ok(Some(found.content_length())),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(self.failed(e)),
            }
        })
    }

    /// A small object of the remote's own.
    pub(super) fn read_small(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.wait(self.operator.read(key)) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Write a small object if there is none.
    pub(super) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        if self.operator.info().capability().write_with_if_not_exists {
            let write = self.operator.write_with(key, bytes).if_not_exists(true);
            return match self.wait(write.into_future()) {
                Err(e) if e.kind() != ErrorKind::ConditionNotMatch => Err(self.failed(e)),
                _ => Ok(()),
            };
        }
        let write = self.wait(self.operator.write(key, bytes));
        write.map(drop).map_err(|e| self.failed(e))
    }

    /// Whether something was stored here in this layout.
    pub(super) fn is_used(&self) -> Result<bool> {
        match self.wait(self.operator.list("files/md5/")) {
            Ok(entries) => Ok(entries.iter().any(|entry| entry.path() != "files/md5/")),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Remove an object that is damaged and about to be sent again.
    pub(super) fn remove(&self, id: &ObjectId) -> Result<()> {
        self.wait(self.operator.delete(&id.key()))
            .map_err(|e| self.failed(e))
    }

    pub(super) fn list(&self, context: &Context) -> Result<Vec<ObjectEntry>> {
        context.check()?;
        let listed = self.runtime.block_on(
            self.operator
                .list_with("files/md5/")
                .recursive(true)
                .into_future(),
        );
        let entries = match listed {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(self.failed(e)),
        };
        let mut objects = Vec::new();
        for entry in entries {
            let mut parts = entry.path().rsplit('/');
            let (Some(name), Some(folder)) = (parts.next(), parts.next()) else {
                continue;
            };
            let Some(id) = ObjectId::from_parts(folder, name) else {
                continue;
            };
            let mut size = entry.metadata().content_length();
            if size == 0 {
                // Some services list without sizes.
                let found = self
                    .runtime
                    .block_on(self.operator.stat(entry.path()))
                    .map_err(|e| self.failed(e))?;
                size = found.content_length();
            }
            objects.push(ObjectEntry { id, size });
        }
        objects.sort_by_key(|entry| entry.id);
        Ok(objects)
    }

    pub(super) fn push(&self, cache: &Cache, items: &[(ObjectId, u64)], context: &Context) -> Result<()> {
        let running = context.start(
            Operation::Push,
            items.len() as u64,
            items.iter().map(|(_, size)| size).sum(),
        );
        let damaged = each(CONCURRENCY, items.len(), context, |n| {
            self.put(cache, items[n].0, &running, context)
        })?;
        let damaged: Vec<ObjectId> = damaged.into_iter().flatten().collect();
        if damaged.is_empty() {
            Ok(())
        } else {
            cache.set_aside_damaged(&damaged)?;
            Err(Error::Corrupt {
                objects: damaged,
                place: cache.place(),
            })
        }
    }

    /// Stream one object, proving it on the way; a damaged one is given up before it becomes visible.
    fn put(
        &self,
        cache: &Cache,
        id: ObjectId,
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Option<ObjectId>> {
        let mut file = fs::File::open(cache.object_path(&id))?;
        let mut writer = self
            .runtime
            .block_on(self.operator.writer(&id.key()))
            .map_err(|e| self.failed(e))?;
        let mut md5 = Md5Hasher::default();
        loop {
            context.check()?;
            let mut piece = Vec::with_capacity(PIECE);
            (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            update_many(&mut [(&mut md5, &piece)]);
            running.advance(0, piece.len() as u64);
            self.runtime
                .block_on(writer.write(piece))
                .map_err(|e| self.failed(e))?;
        }
        if md5.finish() != id.md5 {
            // Not every service can give up an upload; dropping the writer does where it cannot.
            self.runtime.block_on(writer.abort()).ok();
            return Ok(Some(id));
        }
        self.runtime
            .block_on(writer.close())
            .map_err(|e| self.failed(e))?;
        running.advance(1, 0);
        Ok(None)
    }

    pub(super) fn pull(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<Vec<Fetched>> {
        let bytes = items.iter().filter_map(|t| t.size).sum();
        let running = context.start(Operation::Pull, items.len() as u64, bytes);
        let temporaries = shared::temporary_folder(&cache.temporaries(), items.len())?;
        each(CONCURRENCY, items.len(), context, |n| {
            let item = &items[n];
            let temporary = temporaries.file(n);
            let mut copy = fs::File::create(&temporary)?;
            let read = self.read(item.id, &running, context, |piece| Ok(copy.write_all(piece)?))?;
            running.advance(1, 0);
            let Some(digests) = read else {
                return Ok(Fetched::Missing);
            };
            if !Fetched::is_right(item, &digests) {
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
        let key = id.key();
        let size = match self.runtime.block_on(self.operator.stat(&key)) {
            Ok(found) => found.content_length(),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.failed(e)),
        };
        let (mut md5, mut blake3) = (Md5Hasher::default(), blake3::Hasher::new());
        let mut offset = 0;
        while offset < size {
            context.check()?;
            let end = (offset + PIECE as u64).min(size);
            let piece = self
                .runtime
                .block_on(self.operator.read_with(&key).range(offset..end).into_future());
            let piece = piece.map_err(|e| self.failed(e))?.to_vec();
            update_many(&mut [(&mut md5, &piece)]);
            blake3.update(&piece);
            take(&piece)?;
            running.advance(0, piece.len() as u64);
            offset = end;
        }
        let blake3 = Blake3::from_bytes(*blake3.finalize().as_bytes());
        Ok(Some(FileDigests {
            md5: md5.finish(),
            blake3,
            size,
        }))
    }

    pub(super) fn verify(
        &self,
        expected: &[(ObjectId, Option<Blake3>)],
        context: &Context,
    ) -> Result<VerifyReport> {
        let running = context.start(Operation::Verify, expected.len() as u64, 0);
        let found = each(CONCURRENCY, expected.len(), context, |n| {
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
