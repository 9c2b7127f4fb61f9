//! One file on its way into packs: read a share at a time, hashed, and, where it is read for the first time, copied into
//! the cache.
//!
//! What needs many files at once (MD5) or waits for the disk (the copy) is one batch behind what is read and cut, so that
//! no core waits between the two. Invariant: a file that changes while it is read, or is not what its name or proof says, gets no name. Deliberately
//! absent: cutting, and what becomes of chunks.

use std::io::{Read, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;

use backlot_core::file::is_sparse;
use backlot_core::{Blake3, Context};
use fs_err as fs;

use super::buffer_pool::BufferPool;
use super::chunker::Profile;
use super::copies::CopyFile;
use super::filter::Scheme;
use super::pack::PackFacts;
use super::recipe::Run;
use super::window::Window;
use crate::error::{Error, Result};
use crate::hash::md5::Md5Hasher;
use crate::hash::{self, Job, Judge, Outcome, Publish};
use crate::object::{FileDigests, ObjectId};
use crate::stat::FileStat;

/// What a large file contributes to a batch while others do too: also the shortest run of its chunks in a pack.
pub(super) const SHARE: usize = 768 << 10;
/// What is read at once: it is hashed while it is in the core's cache.
const STEP: usize = 256 << 10;

/// A file to be stored.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) content: Content,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// The known metadata of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// Its name and, if MD5 need not be computed again, its BLAKE3.
    Known(ObjectId, Option<Blake3>),
    /// It is new: the [`CacheSink`]'s job of this number.
    New(usize),
}

impl Content {
    pub(super) const fn proof(self) -> Option<Blake3> {
        match self {
            Self::Known(_, proof) => proof,
            Self::New(_) => None,
        }
    }
}

/// Where files go that are read for the first time, in the same pass.
pub(super) struct CacheSink<'a> {
    pub(super) jobs: &'a [Job],
    pub(super) judge: Judge<'a>,
    pub(super) publish: Publish<'a>,
    /// The outcome of each.
    results: Mutex<Vec<Option<Result<Outcome>>>>,
}

/// One open file.
pub(super) struct OpenFile<'a> {
    pub(super) ahead: ReadStage<'a>,
    pub(super) behind: HashStage,
}

/// What is done with a share of a file while it is near.
pub(super) struct ReadStage<'a> {
    pub(super) source: &'a Source,
    file: Option<fs::File>,
    /// Of a new file: its state on disk while it is read.
    stat: Option<FileStat>,
    /// Of a new file that is large enough to be copied while it is read.
    copy: Option<CopyFile>,
    pub(super) window: Window,
    /// How much of the window was cut.
    pub(super) cut: usize,
    /// The chunks of this batch, in order.
    pub(super) portions: Vec<ChunkBatch>,
    read: u64,
    blake3: blake3::Hasher,
    /// Whether the file is too small to be cut: then its chunk's BLAKE3 is its own.
    pub(super) single: bool,
    pub(super) runs: Vec<Run>,
    pub(super) chunks: Vec<(Blake3, u32)>,
    pub(super) failure: Option<Error>,
}

/// What is done one batch later.
#[derive(Default)]
pub(super) struct HashStage {
    /// With what was read in the batch before.
    pub(super) window: Window,
    pub(super) md5: Md5Hasher,
    pub(super) copy: Option<CopyFile>,
    /// Whether that was the last of the file.
    pub(super) last: bool,
}

/// What is to become of one chunk.
pub(super) struct EncodedChunk {
    pub(super) id: Blake3,
    pub(super) raw: usize,
    pub(super) known: Option<(PackFacts, u32)>,
    pub(super) scheme: Scheme,
    /// Where in the portion's bytes the record's place and the stored bytes are. Empty if it is stored already.
    pub(super) stored: Range<usize>,
}

/// Chunks that one core worked on, one after the other.
#[derive(Default)]
pub(super) struct ChunkBatch {
    pub(super) pieces: Vec<EncodedChunk>,
    pub(super) bytes: Vec<u8>,
}

/// The inputs for reading files.
pub(super) struct Reading<'a> {
    pub(super) profile: Profile,
    pub(super) intake: Option<&'a CacheSink<'a>>,
    pub(super) spares: BufferPool,
    /// Whether copies into the cache that are begun now go past the page cache.
    pub(super) direct: bool,
}

impl CacheSink<'_> {
    pub(super) fn new<'a>(jobs: &'a [Job], judge: Judge<'a>, publish: Publish<'a>) -> CacheSink<'a> {
        let mut results = Vec::new();
        results.resize_with(jobs.len(), || None);
        CacheSink {
            jobs,
            judge,
            publish,
            results: Mutex::new(results),
        }
    }

    /// The outcome of each file. Unprocessed ones are reported as cancelled.
    pub(super) fn into_results(self, context: &Context) -> Vec<Result<Outcome>> {
        let stopped = || Err(Error::Cancelled(context.cancel().reason()));
        let results = self.results.into_inner().unwrap_or_default();
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(stopped))
            .collect()
    }

    fn report(&self, number: usize, result: Result<Outcome>) {
        if let Ok(mut results) = self.results.lock() {
            results[number] = Some(result);
        }
    }
}

impl<'a> OpenFile<'a> {
    pub(super) fn new(source: &'a Source, single: bool) -> Self {
        Self {
            ahead: ReadStage {
                source,
                file: None,
                stat: None,
                copy: None,
                window: Window::default(),
                cut: 0,
                portions: Vec::new(),
                read: 0,
                blake3: blake3::Hasher::new(),
                single,
                runs: Vec::new(),
                chunks: Vec::new(),
                failure: None,
            },
            behind: HashStage::default(),
        }
    }

    /// Leave behind what was read, and make room for the next share.
    pub(super) fn pass_on(&mut self, share: usize, spares: &BufferPool) {
        let Self { ahead, behind } = self;
        spares.give(std::mem::take(&mut behind.window).into_memory());
        if let Some(copy) = behind.copy.take_if(|copy| copy.is_broken()) {
            let failure = copy.finish().err().map(Error::from);
            ahead.failure = ahead.failure.take().or(failure);
        }
        behind.last = ahead.is_over();
        let next = if behind.last {
            Window::default()
        } else {
            let rest = &ahead.window.bytes()[ahead.cut..];
            let size = rest.len() + ahead.share(share) + Window::SLACK;
            Window::of(spares.take(size), rest)
        };
        behind.window = std::mem::replace(&mut ahead.window, next);
        ahead.cut = 0;
        if ahead.copy.is_some() {
            behind.copy = ahead.copy.take();
        }
    }
}

impl ReadStage<'_> {
    /// How much is to be read in a batch that gives each file a share.
    pub(super) fn share(&self, share: usize) -> usize {
        usize::try_from(self.left()).map_or(share, |left| left.min(share))
    }

    pub(super) fn left(&self) -> u64 {
        self.source.size - self.read
    }

    /// Whether nothing more is read of it.
    pub(super) fn is_over(&self) -> bool {
        self.failure.is_some() || self.file.is_some() && self.left() == 0
    }

    /// Read and hash the next share of the file.
    pub(super) fn read(&mut self, share: usize, reading: &Reading<'_>) -> Result<()> {
        let wanted = self.share(share);
        if self.file.is_none() {
            self.open(reading)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let buffer = self.window.end();
        let mut rest = wanted;
        while rest > 0 {
            let start = buffer.len();
            let step = rest.min(if wanted > SHARE { wanted } else { STEP });
            Read::by_ref(file).take(step as u64).read_to_end(buffer)?;
            let fresh = &buffer[start..];
            if fresh.len() < step {
                return Err(Error::Changing {
                    path: self.source.path.clone(),
                });
            }
            if wanted > SHARE {
                self.blake3.update_rayon(fresh);
            } else if !self.single {
                self.blake3.update(fresh);
            }
            rest -= step;
        }
        self.read += wanted as u64;
        Ok(())
    }

    fn open(&mut self, reading: &Reading<'_>) -> Result<()> {
        let file = fs::File::open(&self.source.path)?;
        if let (Content::New(number), Some(intake)) = (self.source.content, reading.intake) {
            let metadata = file.metadata()?;
            let stat = FileStat::of(&metadata);
            if stat.size != self.source.size {
                return Err(self.changing());
            }
            // A small one is copied when it is known whether the copy is wanted.
            if let Some(copy) = &intake.jobs[number].copy
                && stat.size > STEP as u64
            {
                self.copy = Some(CopyFile::create(copy, reading.direct, is_sparse(&metadata))?);
            }
            self.stat = Some(stat);
        }
        self.file = Some(file);
        Ok(())
    }

    fn changing(&self) -> Error {
        Error::Changing {
            path: self.source.path.clone(),
        }
    }

    /// The BLAKE3 of the whole file, once it is read.
    pub(super) fn digest(&self) -> Blake3 {
        match self.chunks.as_slice() {
            [(id, _)] if self.single => *id,
            _ => Blake3::from_bytes(*self.blake3.finalize().as_bytes()),
        }
    }
}

impl OpenFile<'_> {
    /// The name of a file that was read; a new one is in the cache under it then. `None` if it is not what it should be,
    /// or cannot be taken in.
    pub(super) fn name(&mut self, intake: Option<&CacheSink<'_>>) -> Option<ObjectId> {
        match (self.ahead.source.content, intake) {
            (Content::Known(..), _) if self.ahead.failure.is_some() => None,
            (Content::Known(id, proof), _) => {
                let right = match proof {
                    Some(proof) => proof == self.ahead.digest(),
                    None => std::mem::take(&mut self.behind.md5).finish() == id.md5,
                };
                right.then_some(id)
            }
            (Content::New(number), Some(intake)) => {
                let taken = match self.ahead.failure.take() {
                    None => self.take_in(number, intake),
                    Some(failure) => Err(failure),
                };
                let id = taken
                    .as_ref()
                    .ok()
                    .map(|outcome| ObjectId::file(outcome.digests.md5));
                if id.is_none()
                    && let Some(target) = &intake.jobs[number].copy
                {
                    // It may not have been made yet; then there is nothing to tidy.
                    fs::remove_file(&target.temporary).ok();
                }
                intake.report(number, taken);
                id
            }
            (Content::New(_), None) => None,
        }
    }

    /// Put a new file that was read into the cache.
    fn take_in(&mut self, number: usize, intake: &CacheSink<'_>) -> Result<Outcome> {
        let job = &intake.jobs[number];
        let Self { ahead, behind } = self;
        let (Some(file), Some(stat)) = (&ahead.file, ahead.stat) else {
            return Err(ahead.changing());
        };
        if FileStat::of(&file.metadata()?) != stat {
            return Err(ahead.changing());
        }
        let outcome = Outcome {
            digests: FileDigests {
                md5: std::mem::take(&mut behind.md5).finish(),
                blake3: ahead.digest(),
                size: ahead.read,
            },
            stat,
        };
        let wanted = (intake.judge)(number, &outcome)?;
        if let Some(target) = &job.copy {
            match behind.copy.take() {
                None if wanted => hash::create(target)?.write_all(behind.window.fresh())?,
                None => {}
                Some(copy) if wanted => copy.finish()?,
                Some(_) => fs::remove_file(&target.temporary)?,
            }
            if wanted {
                (intake.publish)(number, &outcome)?;
            }
        }
        Ok(outcome)
    }
}
