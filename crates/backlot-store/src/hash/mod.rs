//! One pass over many files: read, MD5, BLAKE3 and, where asked for, write a copy.
//!
//! Each worker (one a core) keeps a group of files open and advances them together, a segment each, so that MD5 runs in
//! SIMD lanes ([`lanes`]). Memory: workers x lanes x [`SEGMENT`], 4 MiB on a machine with 2 cores and AVX-512 (8 MiB
//! where a disk is waited for), whatever the file sizes. Invariant: a file that changes while it is read is never reported with a digest. Deliberately absent:
//! publishing the copies; a copy lies under a temporary name until its digest was judged.

mod lanes;
pub(crate) mod md5;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use backlot_core::context::Running;
use backlot_core::{Blake3, Context, FileError};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::object::FileDigests;
use crate::stat::FileStat;
use md5::Md5Hasher;

/// How much of a file is read before its neighbour's turn: two workers' groups stay in a core's cache.
pub(crate) const SEGMENT: usize = 64 * 1024;

/// One file to be read.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The file.
    pub(crate) source: PathBuf,
    /// Where a copy is to be written. Files of one segment are kept in memory until they are judged.
    pub(crate) copy: Option<Copy>,
}

/// A copy to be written in the same pass.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// The temporary file; it must not exist.
    pub(crate) temporary: PathBuf,
    /// Its mode on Unix.
    pub(crate) mode: u32,
    /// Whether the bytes of a file of more than one segment are brought to the disk before it counts as complete. Small
    /// ones are the caller's to sync, all at once.
    pub(crate) durable: bool,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Its digests.
    pub(crate) digests: FileDigests,
    /// Its state on disk while it was read.
    pub(crate) stat: FileStat,
}

/// Decides about a file whose digests are known: `true` if its copy is wanted. Called from several threads, before the
/// copy of a small file is written at all, and before [`run`] reports it.
pub(crate) type Judge<'a> = &'a (dyn Fn(usize, &Outcome) -> Result<bool> + Sync);
/// Called once the wanted copy of a file is complete under its temporary name.
pub(crate) type Publish<'a> = &'a (dyn Fn(usize, &Outcome) -> Result<()> + Sync);

/// Read all files; results in the order of the jobs. A job's failure does not stop the others; cancelling does.
pub(crate) fn run(
    jobs: &[Job],
    judge: Judge<'_>,
    publish: Publish<'_>,
    running: &Running<'_>,
    context: &Context,
) -> Vec<Result<Outcome>> {
    let next = AtomicUsize::new(0);
    // A worker that waits for the disk leaves its core to another.
    let waits = jobs
        .iter()
        .any(|job| job.copy.as_ref().is_some_and(|copy| copy.durable));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = (if waits { cores * 2 } else { cores }).min(jobs.len().max(1));
    let mut results: Vec<Option<Result<Outcome>>> = Vec::new();
    results.resize_with(jobs.len(), || None);
    // A worker takes no more than its share of a small batch, so that the others have some too.
    let lanes = md5::width().min(jobs.len().div_ceil(workers).max(1));
    let worker = Worker {
        jobs,
        next: &next,
        lanes,
        judge,
        publish,
        running,
        context,
    };
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..workers).map(|_| scope.spawn(|| worker.work())).collect();
        let mut done = worker.work();
        for thread in threads {
            match thread.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    for (position, result) in done {
        results[position] = Some(result);
    }
    let stopped = || Err(Error::Cancelled(backlot_core::Cancelled));
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(stopped))
        .collect()
}

struct Worker<'a> {
    jobs: &'a [Job],
    next: &'a AtomicUsize,
    lanes: usize,
    judge: Judge<'a>,
    publish: Publish<'a>,
    running: &'a Running<'a>,
    context: &'a Context,
}

/// One open file.
struct Slot {
    position: usize,
    file: fs::File,
    copy: Option<fs::File>,
    stat: FileStat,
    read: u64,
    md5: Md5Hasher,
    blake3: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Worker<'_> {
    fn work(&self) -> Vec<(usize, Result<Outcome>)> {
        let mut done = Vec::new();
        let mut slots: Vec<Slot> = Vec::new();
        let mut buffers: Vec<Vec<u8>> = Vec::new();
        loop {
            while slots.len() < self.lanes && !self.context.cancel().is_cancelled() {
                let position = self.next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = self.jobs.get(position) else { break };
                match Slot::open(position, job, buffers.pop().unwrap_or_default()) {
                    Ok(slot) => slots.push(slot),
                    Err(error) => done.push((position, Err(error))),
                }
            }
            if slots.is_empty() || self.context.cancel().is_cancelled() {
                break;
            }
            self.advance(&mut slots, &mut buffers, &mut done);
        }
        for slot in slots {
            slot.abandon(self.jobs);
        }
        done
    }

    /// Read and hash one segment of every open file, and finish those that end.
    fn advance(
        &self,
        slots: &mut Vec<Slot>,
        buffers: &mut Vec<Vec<u8>>,
        done: &mut Vec<(usize, Result<Outcome>)>,
    ) {
        let mut failed = Vec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            if let Err(error) = slot.read_segment(&self.jobs[slot.position]) {
                failed.push((index, error));
            }
        }
        for (index, error) in failed.into_iter().rev() {
            let slot = slots.swap_remove(index);
            done.push((slot.position, Err(error)));
            slot.abandon(self.jobs);
        }
        let mut bytes = 0;
        let mut group: Vec<(&mut Md5Hasher, &[u8])> = Vec::with_capacity(slots.len());
        for slot in slots.iter_mut() {
            slot.blake3.update(&slot.buffer);
            bytes += slot.buffer.len() as u64;
            group.push((&mut slot.md5, &slot.buffer));
        }
        md5::update_many(&mut group);
        let mut index = 0;
        let mut files = 0;
        while index < slots.len() {
            if slots[index].read < slots[index].stat.size && !slots[index].buffer.is_empty() {
                index += 1;
                continue;
            }
            let slot = slots.swap_remove(index);
            let position = slot.position;
            let (result, buffer) = self.finish(slot);
            buffers.push(buffer);
            done.push((position, result));
            files += 1;
        }
        self.running.advance(files, bytes);
    }

    fn finish(&self, slot: Slot) -> (Result<Outcome>, Vec<u8>) {
        let job = &self.jobs[slot.position];
        let Slot {
            position,
            file,
            copy,
            stat,
            read,
            md5,
            blake3,
            buffer,
        } = slot;
        let result = (|| {
            let now = FileStat::of(&file.metadata()?);
            if now != stat || read != stat.size {
                return Err(Error::Changing {
                    path: job.source.clone(),
                });
            }
            let blake3 = Blake3::from_bytes(*blake3.finalize().as_bytes());
            let outcome = Outcome {
                digests: FileDigests {
                    md5: md5.finish(),
                    blake3,
                    size: read,
                },
                stat,
            };
            let wanted = (self.judge)(position, &outcome)?;
            let Some(target) = &job.copy else {
                return Ok(outcome);
            };
            if wanted {
                let mut copy = match copy {
                    Some(copy) => copy,
                    None => create(target)?,
                };
                if read <= SEGMENT as u64 {
                    copy.write_all(&buffer)?;
                }
                if target.durable && read > SEGMENT as u64 {
                    copy.sync_data()?;
                }
                drop(copy);
                (self.publish)(position, &outcome)?;
            } else if copy.is_some() {
                fs::remove_file(&target.temporary)?;
            }
            Ok(outcome)
        })();
        if result.is_err()
            && let Some(target) = &job.copy
        {
            // It may not have been made yet; then there is nothing to tidy.
            fs::remove_file(&target.temporary).ok();
        }
        (result, buffer)
    }
}

impl Slot {
    fn open(position: usize, job: &Job, mut buffer: Vec<u8>) -> Result<Self> {
        let file = fs::File::open(&job.source)?;
        let metadata = file.metadata()?;
        let stat = FileStat::of(&metadata);
        let copy = match &job.copy {
            Some(copy) if stat.size > SEGMENT as u64 => Some(create(copy)?),
            _ => None,
        };
        buffer.reserve_exact(SEGMENT.saturating_sub(buffer.capacity()));
        Ok(Self {
            position,
            file,
            copy,
            stat,
            read: 0,
            md5: Md5Hasher::default(),
            blake3: blake3::Hasher::new(),
            buffer,
        })
    }

    /// Read one segment and write it to the copy, unless the whole file is one segment.
    fn read_segment(&mut self, job: &Job) -> Result<()> {
        self.buffer.clear();
        let left = usize::try_from(self.stat.size - self.read).unwrap_or(usize::MAX);
        let wanted = left.min(SEGMENT);
        if wanted > 0 {
            (&mut self.file)
                .take(wanted as u64)
                .read_to_end(&mut self.buffer)
                .map_err(FileError::from)?;
        }
        if self.buffer.len() < wanted {
            return Err(Error::Changing {
                path: job.source.clone(),
            });
        }
        self.read += self.buffer.len() as u64;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&self.buffer)?;
        }
        Ok(())
    }

    fn abandon(self, jobs: &[Job]) {
        if let (Some(_), Some(target)) = (self.copy, &jobs[self.position].copy) {
            fs::remove_file(&target.temporary).ok();
        }
    }
}

/// Make the file of a copy.
pub(crate) fn create(copy: &Copy) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        options.mode(copy.mode);
    }
    Ok(options.open(&copy.temporary)?)
}

/// Where the copies of one run go until they are published; removed with what is left in it when dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// A new folder below `root`.
    pub(crate) fn in_folder(root: &Path) -> Result<Self> {
        let path = backlot_core::file::temporary_in(root);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The path of the temporary of a job.
    pub(crate) fn file(&self, position: usize) -> PathBuf {
        self.0.join(position.to_string())
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        backlot_core::file::remove(&self.0).ok();
    }
}
