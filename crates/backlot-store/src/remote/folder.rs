//! A remote in a folder, on a local or shared disk, without any service between.
//!
//! Objects are written to temporaries in `tmp/` of the remote, hashed on the way, brought to the disk (large ones
//! while others are copied, small ones by one sync a batch), and renamed: a reader sees whole objects, and a power cut after a successful push loses none. They are copies
//! (or clones), never hard links into the cache: a remote must survive damage to the cache.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_backend::ObjectStore;
use backlot_core::context::Running;
use backlot_core::file::{self, TemporaryFolder};
use backlot_core::presence::is_folder;
use backlot_core::shared::{self, Modes};
use backlot_core::{Blake3, Context, Operation};
use fs_err as fs;
use rayon::prelude::*;

use super::Fetched;
use super::origin::Origin;
use crate::cache::{self, Cache, ObjectEntry, VerifyReport};
use crate::error::{Error, Result};
use crate::hash::{self, Copy, Job, Outcome};
use crate::object::{FileDigests, ObjectId, Transfer};

/// How much is written before it is synced and named: what a killed push has to send again at most.
const BATCH_BYTES: u64 = 4 << 30;
const BATCH_OBJECTS: usize = 50_000;

#[derive(Debug)]
pub(super) struct FolderRemote {
    root: PathBuf,
}

impl FolderRemote {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn place(&self) -> String {
        format!("the remote `{}`", self.root.display())
    }

    /// The same folder as a store of objects.
    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        backlot_backend::folder(&self.root)
    }

    pub(super) fn sizes(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<u64>>> {
        context.check()?;
        let size = |id: &ObjectId| {
            fs::metadata(self.root.join(id.key()))
                .ok()
                .map(|found| found.len())
        };
        Ok(context.pool().install(|| ids.par_iter().map(size).collect()))
    }

    /// A small file of the remote's own.
    pub(super) fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(file::read_if_exists(&self.root.join(key))?)
    }

    /// Write a small file if there is none, with the folders above it.
    pub(super) fn create(&self, key: &str, bytes: &[u8]) -> Result<()> {
        shared::make_root(&self.root)?;
        shared::create(&self.root.join(key), bytes)?;
        Ok(())
    }

    /// Whether something was stored here in this layout.
    pub(super) fn is_used(&self) -> Result<bool> {
        Ok(is_folder(&self.root.join("files/md5"))?)
    }

    /// Move an object out of the way, to `quarantine/`.
    pub(super) fn quarantine(&self, id: &ObjectId) -> Result<()> {
        let from = self.root.join(id.key());
        if from.exists() {
            let folder = self.root.join("quarantine");
            shared::make_folder_for_now(&folder)?;
            file::rename(&from, &file::temporary_in(&folder).with_file_name(id.to_string()))?;
        }
        Ok(())
    }

    pub(super) fn list(&self) -> Result<Vec<ObjectEntry>> {
        cache::list_objects(&self.root.join("files/md5"))
    }

    pub(super) fn verify(
        &self,
        expected: &[(ObjectId, Option<Blake3>)],
        context: &Context,
    ) -> Result<VerifyReport> {
        cache::verify_folder(&self.root, expected, context)
    }

    /// Send objects. Returns those that are there, with what they were proven to be on the way.
    pub(super) fn push(
        &self,
        origin: Origin<'_>,
        items: &[Transfer],
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Vec<(ObjectId, FileDigests)>> {
        let mut sent = Vec::with_capacity(items.len());
        let mut rest = items;
        while !rest.is_empty() {
            let mut bytes = 0;
            let count = rest
                .iter()
                .take(BATCH_OBJECTS)
                .take_while(|item| {
                    let size = item.size.unwrap_or(0);
                    let fits = bytes == 0 || bytes + size <= BATCH_BYTES;
                    bytes += size;
                    fits
                })
                .count();
            let (batch, later) = rest.split_at(count);
            sent.extend(self.push_batch(origin, batch, running, context)?);
            rest = later;
        }
        Ok(sent)
    }

    /// What fails in a batch does not take the rest with it: whatever arrived whole is published.
    fn push_batch(
        &self,
        origin: Origin<'_>,
        items: &[Transfer],
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Vec<(ObjectId, FileDigests)>> {
        let temporaries = shared::temporary_folder(&self.root.join("tmp"), items.len())?;
        let copy = |n: usize| Copy {
            temporary: temporaries.file(n),
            mode: 0o444,
            durable: true,
        };
        let jobs: Vec<Job> = items
            .iter()
            .enumerate()
            .map(|(n, item)| Job {
                source: origin.path_of(&item.id),
                copy: Some(copy(n)),
            })
            .collect();
        let judge = |n: usize, outcome: &Outcome| Ok(items[n].is_met_by(&outcome.digests));
        let results = hash::run(&jobs, &judge, &|_, _| Ok(()), running, context);
        let mut damaged = Vec::new();
        let mut good = Vec::new();
        let mut failure = None;
        for (n, result) in results.into_iter().enumerate() {
            let item = &items[n];
            match result {
                Ok(outcome) if item.is_met_by(&outcome.digests) => good.push((n, outcome.digests)),
                Ok(outcome) if outcome.digests.md5 == item.id.md5 => {
                    failure = failure.or_else(|| Some(origin.is_other(&item.id)));
                }
                Ok(_) => damaged.push(item.id),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        self.publish(&temporaries, &good, items)?;
        if let Some(error) = failure {
            return Err(error);
        }
        if damaged.is_empty() {
            let sent = good.into_iter().map(|(n, digests)| (items[n].id, digests));
            Ok(sent.collect())
        } else {
            Err(origin.damaged(damaged)?)
        }
    }

    /// Bring small objects to the disk by one sync (large ones are there already), give all their names, and make the
    /// names last.
    fn publish(
        &self,
        temporaries: &TemporaryFolder,
        good: &[(usize, FileDigests)],
        items: &[Transfer],
    ) -> Result<()> {
        if good
            .iter()
            .any(|(_, digests)| digests.size <= hash::SEGMENT as u64)
        {
            file::sync_disk_of(&self.root)?;
        }
        let mode = Some(Modes::of(&self.root).read_only());
        let mut folders = BTreeSet::new();
        for (n, _) in good {
            shared::set_mode(&temporaries.file(*n), mode)?;
            let target = self.root.join(items[*n].id.key());
            if file::rename(&temporaries.file(*n), &target).is_err() {
                shared::make_folder_for_now(target.parent().unwrap_or(&self.root))?;
                file::rename(&temporaries.file(*n), &target)?;
            }
            folders.extend(target.parent().map(Path::to_path_buf));
        }
        for folder in folders {
            file::sync_folder(&folder)?;
        }
        file::sync_folder(&self.root.join("files/md5"))
            .or_else(|e| if e.is_not_found() { Ok(()) } else { Err(e.into()) })
    }

    pub(super) fn pull(&self, cache: &Cache, items: &[Transfer], context: &Context) -> Result<Vec<Fetched>> {
        let bytes = items.iter().filter_map(|t| t.size).sum();
        let running = context.start(Operation::Pull, items.len() as u64, bytes);
        let temporaries = shared::temporary_folder(&cache.temporaries(), items.len())?;
        let jobs: Vec<Job> = items
            .iter()
            .enumerate()
            .map(|(n, item)| Job {
                source: self.root.join(item.id.key()),
                copy: Some(Copy {
                    temporary: temporaries.file(n),
                    mode: 0o444,
                    durable: false,
                }),
            })
            .collect();
        let judge = |n: usize, outcome: &Outcome| Ok(items[n].is_met_by(&outcome.digests));
        let publish = |n: usize, outcome: &Outcome| {
            let published = cache.publish(&temporaries.file(n), &items[n].id, &outcome.digests);
            published.map(|_| ())
        };
        let results = hash::run(&jobs, &judge, &publish, &running, context);
        let mut fetched = Vec::with_capacity(items.len());
        for (item, result) in items.iter().zip(results) {
            fetched.push(match result {
                Ok(outcome) if item.is_met_by(&outcome.digests) => Fetched::Stored(outcome.digests),
                Ok(_) => Fetched::Damaged,
                Err(Error::File(e)) if e.is_not_found() => Fetched::Missing,
                Err(error) => return Err(error),
            });
        }
        Ok(fetched)
    }
}
