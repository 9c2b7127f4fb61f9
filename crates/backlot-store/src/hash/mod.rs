//! One pass over many files: read, MD5, BLAKE3 and, where asked for, write a copy.
//!
//! Each worker (one a core) keeps a group of files open and advances them together, a segment each, so that MD5 runs in
//! SIMD lanes ([`lanes`]). A large file that has no company is read, hashed and copied ahead by one core while another
//! does its MD5, which nothing can make parallel. Memory: workers x lanes x [`SEGMENT`], 4 MiB on a machine with 2 cores
//! and AVX-512 (8 MiB where a disk is waited for), whatever the file sizes. Invariant: a file that changes while it is read is never reported with a digest. Deliberately absent:
//! publishing the copies; a copy lies under a temporary name until its digest was judged.

mod lanes;
pub(crate) mod md5;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use backlot_core::context::Running;
use backlot_core::{Blake3, Context, FileError, file, platform};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::holes;
use crate::object::FileDigests;
use crate::stat::FileStat;
use md5::Md5Hasher;

/// How much of a file is read before its neighbour's turn: two workers' groups stay in a core's cache.
pub(crate) const SEGMENT: usize = 64 * 1024;

/// How much of a file without company is read ahead of its MD5.
const AHEAD: usize = 1 << 20;
/// What must be left of a file for that to pay.
const ALONE: u64 = 8 << 20;

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

/// The digests of one stream of bytes.
#[derive(Default)]
pub(crate) struct Hasher {
    md5: Md5Hasher,
    blake3: blake3::Hasher,
    size: u64,
}

impl Hasher {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        md5::update_many(&mut [(&mut self.md5, piece)]);
        self.blake3.update(piece);
        self.size += piece.len() as u64;
    }

    pub(crate) fn finish(self) -> FileDigests {
        FileDigests {
            md5: self.md5.finish(),
            blake3: Blake3::from_bytes(*self.blake3.finalize().as_bytes()),
            size: self.size,
        }
    }
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
    let threads = context.pool().threads();
    let workers = (if waits { threads * 2 } else { threads }).min(jobs.len().max(1));
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
    let stopped = || Err(Error::Cancelled(context.cancel().reason()));
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
struct OpenFile {
    position: usize,
    file: fs::File,
    copy: Option<fs::File>,
    /// Whether the file has holes, which its copy gets, too.
    sparse: bool,
    stat: FileStat,
    read: u64,
    md5: Md5Hasher,
    blake3: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Worker<'_> {
    fn work(&self) -> Vec<(usize, Result<Outcome>)> {
        let mut done = Vec::new();
        let mut slots: Vec<OpenFile> = Vec::new();
        let mut buffers: Vec<Vec<u8>> = Vec::new();
        loop {
            while slots.len() < self.lanes && !self.context.cancel().is_cancelled() {
                let position = self.next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = self.jobs.get(position) else { break };
                match OpenFile::open(position, job, buffers.pop().unwrap_or_default()) {
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
        slots: &mut Vec<OpenFile>,
        buffers: &mut Vec<Vec<u8>>,
        done: &mut Vec<(usize, Result<Outcome>)>,
    ) {
        let mut failed = Vec::new();
        let ahead = match slots.as_mut_slice() {
            [slot] if slot.stat.size - slot.read >= ALONE => self.run_ahead(slot),
            _ => Ok(()),
        };
        if let Err(error) = ahead {
            failed.push((0, error));
        } else {
            for (index, slot) in slots.iter_mut().enumerate() {
                if let Err(error) = slot.read_segment(&self.jobs[slot.position]) {
                    failed.push((index, error));
                }
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

    /// Read nearly all that is left of a file, with MD5 on another core.
    fn run_ahead(&self, slot: &mut OpenFile) -> Result<()> {
        let job = &self.jobs[slot.position];
        let OpenFile {
            file,
            copy,
            read,
            md5,
            blake3,
            stat,
            sparse,
            ..
        } = slot;
        let (mut now, mut next) = (Vec::new(), Vec::new());
        // The last segment is left to the caller, which finishes the file.
        while stat.size - *read > (AHEAD + SEGMENT) as u64 {
            self.context.check()?;
            let ((), ahead) = self.context.pool().join(
                || md5::update_many(&mut [(&mut *md5, now.as_slice())]),
                || {
                    read_exactly(file, &mut next, AHEAD, job)?;
                    blake3.update(&next);
                    if let Some(copy) = copy {
                        append(copy, &next, *sparse)?;
                    }
                    Ok::<(), Error>(())
                },
            );
            ahead?;
            *read += AHEAD as u64;
            self.running.advance(0, AHEAD as u64);
            std::mem::swap(&mut now, &mut next);
        }
        md5::update_many(&mut [(&mut *md5, now.as_slice())]);
        Ok(())
    }

    fn finish(&self, slot: OpenFile) -> (Result<Outcome>, Vec<u8>) {
        let job = &self.jobs[slot.position];
        let OpenFile {
            position,
            file,
            copy,
            stat,
            read,
            md5,
            blake3,
            buffer,
            sparse,
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
                } else if sparse {
                    copy.set_len(read)?;
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

impl OpenFile {
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
            sparse: file::is_sparse(&metadata),
            stat,
            read: 0,
            md5: Md5Hasher::default(),
            blake3: blake3::Hasher::new(),
            buffer,
        })
    }

    /// Read one segment and write it to the copy, unless the whole file is one segment.
    fn read_segment(&mut self, job: &Job) -> Result<()> {
        let left = usize::try_from(self.stat.size - self.read).unwrap_or(usize::MAX);
        read_exactly(&mut self.file, &mut self.buffer, left.min(SEGMENT), job)?;
        self.read += self.buffer.len() as u64;
        if let Some(copy) = &mut self.copy {
            append(copy, &self.buffer, self.sparse)?;
        }
        Ok(())
    }

    fn abandon(self, jobs: &[Job]) {
        if let (Some(_), Some(target)) = (self.copy, &jobs[self.position].copy) {
            fs::remove_file(&target.temporary).ok();
        }
    }
}

fn append(copy: &mut fs::File, bytes: &[u8], sparse: bool) -> std::io::Result<()> {
    if sparse {
        holes::append(copy, bytes)
    } else {
        copy.write_all(bytes)
    }
}

/// Replace the content of a buffer by the next bytes of a file, which must be there.
fn read_exactly(file: &mut fs::File, buffer: &mut Vec<u8>, wanted: usize, job: &Job) -> Result<()> {
    buffer.clear();
    buffer.reserve_exact(wanted);
    if wanted > 0 {
        file.take(wanted as u64)
            .read_to_end(buffer)
            .map_err(FileError::from)?;
    }
    if buffer.len() < wanted {
        return Err(Error::Changing {
            path: job.source.clone(),
        });
    }
    Ok(())
}

/// Make the file of a copy.
pub(crate) fn create(copy: &Copy) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    platform::set_open_mode(&mut options, copy.mode);
    Ok(options.open(&copy.temporary)?)
}

#[cfg(test)]
mod tests {
    use super::{ALONE, Copy, Job, run};
    use crate::cache::digest_bytes;
    use backlot_core::{Context, Operation};
    use fs_err as fs;

    #[test]
    fn a_large_file_without_company_has_the_digests_and_the_copy_of_its_bytes() {
        const { assert!(11_598_731 > ALONE) };
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..11_598_731_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let copy = Copy {
            temporary: folder.path().join("copy"),
            mode: 0o644,
            durable: false,
        };
        let jobs = [("large", Some(copy)), ("small", None)].map(|(name, copy)| Job {
            source: folder.path().join(name),
            copy,
        });
        fs::write(&jobs[0].source, &bytes).unwrap();
        fs::write(&jobs[1].source, b"small").unwrap();
        let context = Context::default();
        let running = context.start(Operation::Add, 2, 0);
        let mut results = run(&jobs, &|_, _| Ok(true), &|_, _| Ok(()), &running, &context);
        assert_eq!(results.remove(0).unwrap().digests, digest_bytes(&bytes));
        assert_eq!(results.remove(0).unwrap().digests, digest_bytes(b"small"));
        assert!(fs::read(folder.path().join("copy")).unwrap() == bytes);
    }

    #[test]
    #[cfg(unix)]
    fn a_copy_of_a_sparse_file_is_sparse() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = ["large", "small"].map(|name| Job {
            source: folder.path().join(name),
            copy: Some(Copy {
                temporary: folder.path().join(format!("{name}.copy")),
                mode: 0o644,
                durable: false,
            }),
        });
        for (job, size) in jobs.iter().zip([40 << 20, 300_000]) {
            let file = fs::File::create(&job.source).unwrap();
            std::os::unix::fs::FileExt::write_all_at(file.file(), &vec![7; 70_000], 100_000).unwrap();
            file.set_len(size).unwrap();
        }
        let context = Context::default();
        let running = context.start(Operation::Add, 2, 0);
        let results = run(&jobs, &|_, _| Ok(true), &|_, _| Ok(()), &running, &context);
        for (job, result) in jobs.iter().zip(results) {
            let copy = &job.copy.as_ref().unwrap().temporary;
            let bytes = fs::read(&job.source).unwrap();
            assert_eq!(result.unwrap().digests, digest_bytes(&bytes));
            assert!(fs::read(copy).unwrap() == bytes);
            assert!(backlot_core::file::is_sparse(&fs::metadata(copy).unwrap()));
        }
    }
}
