//! Files to packs: read, hash, cut, find what is new, compress, pack.
//!
//! A batch of segments of up to [`LANES`] large files, or of many small ones, is worked on by all cores, a segment a core: a
//! chunk is cut, hashed, looked up and compressed while its bytes are in the core's cache. Where a file's proof is not
//! known, MD5 runs in SIMD lanes across the files beside that. Meanwhile a writer thread writes the batch before, and a
//! finisher waits for the disk. A file that is read for the first time is copied into the cache in the same pass
//! ([`Intake`]). Memory: 5 batches of [`BATCH`] bytes, the buffers of one writer, and 130 bytes a new
//! chunk of the group of files: below 160 MiB for groups of [`super::push::GROUP_BYTES`]. Invariant: the result names only
//! chunks whose packs are complete on the remote, and only files whose bytes were what their name or proof says.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use backlot_core::context::Running;
use backlot_core::{Blake3, Context};
use fs_err as fs;
use rayon::prelude::*;

use super::chunker::Profile;
use super::config::RemoteFormat;
use super::cutter::Cutter;
use super::filter::{Coder, Method, Scheme};
use super::pack::{PackFacts, RECORD};
use super::recipe::{Run, SegmentBuilder};
use super::spares::Spares;
use super::wire::small;
use super::writer::PackStream;
use crate::error::{Error, Result};
use crate::hash::md5::{self, Md5Hasher};
use crate::hash::{self, Job, Judge, Outcome, Publish};
use crate::object::{FileDigests, ObjectId};
use crate::stat::FileStat;

/// Raw bytes that go through the stages together.
const BATCH: usize = 16 << 20;
/// What a large file contributes to a batch while others do too: also the shortest run of its chunks in a pack.
const SHARE: usize = 1 << 20;
/// Large files that advance together.
const LANES: usize = BATCH / SHARE;
/// Files in a batch.
const MOST_FILES: usize = 2048;
/// What is read at once: it is hashed while it is in the core's cache.
const STEP: usize = 256 << 10;
/// Chunks between two trials of the filters.
const TRIAL_EVERY: usize = 32;

/// A file to be stored.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) content: Content,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// Its name and, where MD5 need not be computed again, its proof.
    Known(ObjectId, Option<Blake3>),
    /// It is new: the [`Intake`]'s job of this number.
    New(usize),
}

impl Content {
    const fn proof(self) -> Option<Blake3> {
        match self {
            Self::Known(_, proof) => proof,
            Self::New(_) => None,
        }
    }
}

/// Where files go that are read for the first time, in the same pass.
pub(super) struct Intake<'a> {
    pub(super) jobs: &'a [Job],
    pub(super) judge: Judge<'a>,
    pub(super) publish: Publish<'a>,
    /// What became of each.
    results: Mutex<Vec<Option<Result<Outcome>>>>,
}

/// A file that was stored: its chunks by number of pack in [`Stored::packs`].
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) digests: FileDigests,
    pub(super) id: ObjectId,
    pub(super) runs: Vec<Run>,
    /// Ids and lengths of its chunks, in order.
    pub(super) chunks: Vec<(Blake3, u32)>,
}

/// What a run of the pipeline gave.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) files: Vec<StoredFile>,
    /// Every pack that a file names.
    pub(super) packs: Vec<PackFacts>,
    /// Files whose bytes are not what their name or proof says.
    pub(super) damaged: Vec<ObjectId>,
    /// Bytes of the packs that were written.
    pub(super) sent: u64,
    /// The first file that could not be read; the others are stored.
    pub(super) failure: Option<Error>,
}

/// Where a chunk is on the remote already.
pub(super) type Known<'a> = &'a (dyn Fn(&Blake3) -> std::io::Result<Option<(PackFacts, u32)>> + Sync);

/// One open file.
struct Slot<'a> {
    source: &'a Source,
    file: Option<fs::File>,
    /// Of a new file: its state on disk while it is read, and its copy.
    new: Option<(FileStat, Option<fs::File>)>,
    /// Bytes that were read and not cut yet, then those read now.
    buffer: Vec<u8>,
    /// Where those read now begin.
    fresh: usize,
    /// How much of the buffer was cut.
    cut: usize,
    /// The chunks of this batch, in order.
    portions: Vec<Portion>,
    read: u64,
    md5: Md5Hasher,
    blake3: blake3::Hasher,
    /// Whether the file is too small to be cut: then its chunk's BLAKE3 is its own.
    single: bool,
    runs: Vec<Run>,
    chunks: Vec<(Blake3, u32)>,
    failure: Option<Error>,
}

/// What is to become of one chunk.
struct Piece {
    id: Blake3,
    raw: usize,
    known: Option<(PackFacts, u32)>,
    scheme: Scheme,
    /// Where in the portion's bytes the record's place and the stored bytes are. Empty if it is stored already.
    stored: Range<usize>,
}

/// Chunks that one core worked on, one after the other.
#[derive(Default)]
struct Portion {
    pieces: Vec<Piece>,
    bytes: Vec<u8>,
}

/// What every core needs to work on chunks.
struct Worker<'a> {
    profile: Profile,
    cutter: Cutter,
    known: Known<'a>,
    intake: Option<&'a Intake<'a>>,
    spares: Spares,
    /// Chunks of this run: pack and position.
    seen: HashMap<Blake3, (u32, u32)>,
    /// The method that won the last trial, and how many chunks there were.
    method: AtomicU8,
    tried: AtomicUsize,
}

/// The state of one run.
pub(super) struct Pipeline<'a> {
    worker: Worker<'a>,
    stream: PackStream<'a>,
    numbers: HashMap<PackFacts, u32>,
    stored: Stored,
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        format: &'a RemoteFormat,
        known: Known<'a>,
        intake: Option<&'a Intake<'a>>,
        stream: PackStream<'a>,
    ) -> Self {
        Self {
            worker: Worker {
                profile: format.chunker,
                cutter: Cutter::new(format.chunker),
                known,
                intake,
                spares: Spares::default(),
                seen: HashMap::new(),
                method: AtomicU8::new(Method::FIRST.byte()),
                tried: AtomicUsize::new(0),
            },
            stream,
            numbers: HashMap::new(),
            stored: Stored::default(),
        }
    }

    /// Store files.
    pub(super) fn run(
        mut self,
        sources: &[Source],
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Stored> {
        let mut waiting = sources.iter();
        let mut slots: Vec<Slot<'_>> = Vec::new();
        loop {
            context.check()?;
            admit(&mut slots, &mut waiting, self.worker.profile);
            if slots.is_empty() {
                break;
            }
            let share = (BATCH / slots.len()).max(SHARE);
            while let Some(buffer) = self.stream.used() {
                self.worker.spares.give(buffer);
            }
            self.worker.work(&mut slots, share);
            let bytes = slots.iter().map(|s| (s.buffer.len() - s.fresh) as u64).sum();
            self.place_all(&mut slots)?;
            let done = self.finish(&mut slots);
            running.advance(done, bytes);
        }
        let packs = self.stream.finish()?;
        self.stored.sent = packs.iter().map(|pack| pack.length).sum();
        for facts in packs {
            if let Some(slot) = self
                .stored
                .packs
                .iter_mut()
                .find(|known| known.name == facts.name)
            {
                *slot = facts;
            }
        }
        Ok(self.stored)
    }

    /// Give the chunks of a batch their places, and hand over those that are new.
    fn place_all(&mut self, slots: &mut [Slot<'_>]) -> Result<()> {
        for slot in slots {
            for mut portion in slot.portions.drain(..) {
                for piece in portion.pieces {
                    let (id, raw) = (piece.id, small(piece.raw));
                    let (pack, position) = self.place(piece, &mut portion.bytes);
                    SegmentBuilder::extend(&mut slot.runs, pack, position);
                    slot.chunks.push((id, raw));
                }
                self.stream.keep(portion.bytes);
            }
        }
        self.stream.flush()
    }

    /// Where a piece is or will be: number of the pack, position.
    fn place(&mut self, piece: Piece, bytes: &mut [u8]) -> (u32, u32) {
        if let Some((facts, position)) = piece.known {
            return (self.number(&facts), position);
        }
        if let Some(place) = self.worker.seen.get(&piece.id) {
            return *place;
        }
        let (name, position) = self
            .stream
            .push(piece.id, piece.scheme, piece.raw, bytes, piece.stored);
        // What else is to be known of the pack comes when it is complete.
        let facts = PackFacts {
            name,
            table: Blake3::from_bytes([0; 32]),
            length: 0,
            chunks: 0,
        };
        let place = (self.number(&facts), position);
        self.worker.seen.insert(piece.id, place);
        place
    }

    fn number(&mut self, facts: &PackFacts) -> u32 {
        let packs = &mut self.stored.packs;
        *self.numbers.entry(*facts).or_insert_with(|| {
            packs.push(*facts);
            small(packs.len() - 1)
        })
    }

    /// Take out the files that ended. Returns how many.
    fn finish(&mut self, slots: &mut Vec<Slot<'_>>) -> u64 {
        let mut ended = Vec::new();
        for mut slot in std::mem::take(slots) {
            if slot.failure.is_none() && slot.read < slot.source.size {
                slot.buffer.drain(..slot.cut);
                slots.push(slot);
            } else {
                ended.push(slot);
            }
        }
        let intake = self.worker.intake;
        let names: Vec<Option<ObjectId>> = ended.par_iter_mut().map(|slot| slot.name(intake)).collect();
        let done = ended.len() as u64;
        for (mut slot, name) in ended.into_iter().zip(names) {
            self.worker.spares.give(std::mem::take(&mut slot.buffer));
            let blake3 = slot.digest();
            if let Some(failure) = slot.failure {
                self.stored.failure.get_or_insert(failure);
            } else if let Some(id) = name {
                self.stored.files.push(StoredFile {
                    digests: FileDigests {
                        md5: id.md5,
                        blake3,
                        size: slot.read,
                    },
                    id,
                    runs: slot.runs,
                    chunks: slot.chunks,
                });
            } else if let Content::Known(id, _) = slot.source.content {
                self.stored.damaged.push(id);
            }
        }
        done
    }
}

impl Intake<'_> {
    pub(super) fn new<'a>(jobs: &'a [Job], judge: Judge<'a>, publish: Publish<'a>) -> Intake<'a> {
        let mut results = Vec::new();
        results.resize_with(jobs.len(), || None);
        Intake {
            jobs,
            judge,
            publish,
            results: Mutex::new(results),
        }
    }

    /// What became of each file. Those that were not come to are reported as cancelled.
    pub(super) fn into_results(self) -> Vec<Result<Outcome>> {
        let stopped = || Err(Error::Cancelled(backlot_core::Cancelled));
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

/// Open what fits into the next batch.
fn admit<'a>(slots: &mut Vec<Slot<'a>>, waiting: &mut std::slice::Iter<'a, Source>, profile: Profile) {
    let share = |source: &Source, read: u64| {
        usize::try_from(source.size - read).map_or(SHARE, |left| left.min(SHARE))
    };
    let mut planned: usize = slots.iter().map(|s| share(s.source, s.read)).sum();
    while planned < BATCH && slots.len() < MOST_FILES {
        let large = slots.iter().filter(|s| s.source.size > SHARE as u64).count();
        let Some(next) = waiting.as_slice().first() else {
            return;
        };
        if next.size > SHARE as u64 && large >= LANES {
            return;
        }
        waiting.next();
        planned += share(next, 0);
        slots.push(Slot::new(next, next.size <= profile.min as u64));
    }
}

impl<'a> Slot<'a> {
    fn new(source: &'a Source, single: bool) -> Self {
        Self {
            source,
            file: None,
            new: None,
            buffer: Vec::new(),
            fresh: 0,
            cut: 0,
            portions: Vec::new(),
            read: 0,
            md5: Md5Hasher::default(),
            blake3: blake3::Hasher::new(),
            single,
            runs: Vec::new(),
            chunks: Vec::new(),
            failure: None,
        }
    }

    /// Read and hash the next share of the file.
    fn advance(&mut self, share: usize, worker: &Worker<'_>) -> Result<()> {
        self.fresh = self.buffer.len();
        self.cut = 0;
        let left = self.source.size - self.read;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(share);
        if self.file.is_none() {
            self.open(worker)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut copy = self.new.as_mut().and_then(|(_, copy)| copy.as_mut());
        if self.buffer.capacity() == 0 {
            // What a batch leaves for the next is less than a chunk.
            let rest = if left > wanted as u64 {
                worker.profile.max
            } else {
                0
            };
            self.buffer = worker.spares.take(wanted + rest);
        }
        self.buffer.reserve_exact(wanted);
        let mut rest = wanted;
        while rest > 0 {
            let start = self.buffer.len();
            let step = rest.min(if wanted > SHARE { wanted } else { STEP });
            Read::by_ref(file)
                .take(step as u64)
                .read_to_end(&mut self.buffer)?;
            let fresh = &self.buffer[start..];
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
            if let Some(copy) = &mut copy {
                copy.write_all(fresh)?;
            }
            rest -= step;
        }
        self.read += wanted as u64;
        Ok(())
    }

    fn open(&mut self, worker: &Worker<'_>) -> Result<()> {
        let file = fs::File::open(&self.source.path)?;
        if let (Content::New(number), Some(intake)) = (self.source.content, worker.intake) {
            let stat = FileStat::of(&file.metadata()?);
            if stat.size != self.source.size {
                return Err(self.changing());
            }
            // A small one is copied when it is known whether the copy is wanted.
            let copy = intake.jobs[number]
                .copy
                .as_ref()
                .filter(|_| stat.size > STEP as u64);
            self.new = Some((stat, copy.map(hash::create).transpose()?));
        }
        self.file = Some(file);
        Ok(())
    }

    fn changing(&self) -> Error {
        Error::Changing {
            path: self.source.path.clone(),
        }
    }

    /// The name of a file that was read; a new one is in the cache under it then. `None` if it is not what it should be,
    /// or cannot be taken in.
    fn name(&mut self, intake: Option<&Intake<'_>>) -> Option<ObjectId> {
        match (self.source.content, intake) {
            (Content::Known(..), _) if self.failure.is_some() => None,
            (Content::Known(id, proof), _) => {
                let right = match proof {
                    Some(proof) => proof == self.digest(),
                    None => std::mem::take(&mut self.md5).finish() == id.md5,
                };
                right.then_some(id)
            }
            (Content::New(number), Some(intake)) => {
                let taken = match self.failure.take() {
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
    fn take_in(&mut self, number: usize, intake: &Intake<'_>) -> Result<Outcome> {
        let job = &intake.jobs[number];
        let (Some(file), Some((stat, copy))) = (&self.file, self.new.take()) else {
            return Err(self.changing());
        };
        if FileStat::of(&file.metadata()?) != stat {
            return Err(self.changing());
        }
        let outcome = Outcome {
            digests: FileDigests {
                md5: std::mem::take(&mut self.md5).finish(),
                blake3: self.digest(),
                size: self.read,
            },
            stat,
        };
        let wanted = (intake.judge)(number, &outcome)?;
        if let Some(target) = &job.copy {
            match copy {
                None if wanted => hash::create(target)?.write_all(&self.buffer[self.fresh..])?,
                Some(_) if !wanted => fs::remove_file(&target.temporary)?,
                _ => {}
            }
            if wanted {
                (intake.publish)(number, &outcome)?;
            }
        }
        Ok(outcome)
    }

    /// The BLAKE3 of the whole file, once it is read.
    fn digest(&self) -> Blake3 {
        match self.chunks.as_slice() {
            [(id, _)] if self.single => *id,
            _ => Blake3::from_bytes(*self.blake3.finalize().as_bytes()),
        }
    }
}

impl Worker<'_> {
    /// Read the next share of every file and work on its chunks.
    fn work(&self, slots: &mut [Slot<'_>], share: usize) {
        slots.par_iter_mut().for_each(|slot| {
            let done = slot.advance(share, self);
            let done = if done.is_ok() && slot.source.content.proof().is_some() {
                self.chunks(
                    &slot.buffer,
                    slot.read == slot.source.size,
                    &mut slot.portions,
                    &mut slot.cut,
                )
            } else {
                done
            };
            slot.failure = slot.failure.take().or(done.err());
        });
        let mut lanes: Vec<(&mut Md5Hasher, &[u8])> = Vec::new();
        let mut others = Vec::new();
        for slot in slots
            .iter_mut()
            .filter(|s| s.source.content.proof().is_none() && s.failure.is_none())
        {
            let buffer: &[u8] = &slot.buffer;
            lanes.push((&mut slot.md5, &buffer[slot.fresh..]));
            let last = slot.read == slot.source.size;
            others.push((buffer, last, &mut slot.portions, &mut slot.cut, &mut slot.failure));
        }
        rayon::join(
            || md5::update_many(&mut lanes),
            || {
                others
                    .par_iter_mut()
                    .for_each(|(buffer, last, portions, cut, failure)| {
                        **failure = self.chunks(buffer, *last, portions, cut).err();
                    });
            },
        );
    }

    /// Cut, hash, look up and compress: one chunk after the other while it is near, or, where a file has the batch for
    /// itself, as many as there are cores.
    fn chunks(&self, buffer: &[u8], last: bool, portions: &mut Vec<Portion>, cut: &mut usize) -> Result<()> {
        if buffer.len() <= 4 * SHARE {
            let mut portion = self.portion(buffer.len());
            *cut = self
                .cutter
                .cut(buffer, last, |chunk| self.add_piece(chunk, &mut portion))?;
            portions.push(portion);
            return Ok(());
        }
        let mut all = Vec::new();
        *cut = self.cutter.cut(buffer, last, |chunk| {
            all.push(chunk);
            Ok::<(), Error>(())
        })?;
        *portions = all
            .par_chunks(all.len().div_ceil(LANES).max(1))
            .map(|chunks| {
                let mut portion = self.portion(chunks.iter().map(|chunk| chunk.len()).sum());
                for chunk in chunks {
                    self.add_piece(chunk, &mut portion)?;
                }
                Ok(portion)
            })
            .collect::<Result<_>>()?;
        Ok(())
    }

    /// An empty portion with room for so many bytes that do not shrink.
    fn portion(&self, raw: usize) -> Portion {
        let records = RECORD * (raw / self.profile.min.max(1) + 1);
        Portion {
            pieces: Vec::new(),
            bytes: self.spares.take(raw + records),
        }
    }

    fn add_piece(&self, chunk: &[u8], portion: &mut Portion) -> Result<()> {
        let id = super::wire::blake3_of(chunk);
        let start = portion.bytes.len();
        let mut piece = Piece {
            id,
            raw: chunk.len(),
            known: None,
            scheme: Scheme::Raw,
            stored: start..start,
        };
        if !self.seen.contains_key(&id) {
            piece.known = (self.known)(&id)?;
            if piece.known.is_none() {
                portion.bytes.resize(start + RECORD, 0);
                piece.scheme = self.encode(chunk, &mut portion.bytes)?;
                piece.stored.end = portion.bytes.len();
            }
        }
        portion.pieces.push(piece);
        Ok(())
    }

    fn encode(&self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Scheme> {
        Ok(Coder::with(|coder| {
            if self
                .tried
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(TRIAL_EVERY)
                && let Some(best) = coder.best_for(chunk)
            {
                self.method.store(best.byte(), Ordering::Relaxed);
            }
            let method = Method::from_byte(self.method.load(Ordering::Relaxed));
            coder.encode(chunk, method, out)
        })?)
    }
}
