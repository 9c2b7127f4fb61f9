//! Files to packs: read, hash, cut, find new chunks, compress, pack.
//!
//! A batch of segments of up to [`LANES`] large files, or of many small ones, is worked on by all cores, a segment a core: it
//! is read, hashed and cut, and its chunks are hashed, looked up and compressed, while its bytes are in the core's cache.
//! Beside that the batch before is finished: where a file's proof is not known, by MD5 in SIMD lanes across the files, and,
//! where a file is read for the first time, by a copy into the cache ([`CacheSink`], [`super::copies`]); a writer thread writes
//! its packs, and a finisher waits for the disk. Memory: 5 batches of [`LANES`] segments, 3 of spare buffers, those of one
//! writer, 130 bytes a new chunk of the group of files; to a service half as large batches, and the packs that [`PackStream`] has in memory: with
//! what the allocator holds back below 256 MiB for groups of [`super::push::GROUP_BYTES`]. Invariant: the result names only chunks whose packs are complete on the remote, and only
//! files whose bytes were what their name or proof says.

use std::collections::HashMap;

use backlot_core::context::Running;
use backlot_core::{Blake3, Context, Pool};
use rayon::prelude::*;

use super::buffer_pool::BufferPool;
use super::choice::Choice;
use super::chunker::Profile;
use super::config::RemoteFormat;
use super::copies::append_beside;
use super::cutter::Cutter;
use super::direct::ALIGNMENT;
use super::filter::Scheme;
use super::open_file::{
    CacheSink, ChunkBatch, Content, EncodedChunk, OpenFile, ReadStage, Reading, SHARE, Source,
};
use super::pack::{PackFacts, RECORD};
use super::recipe::{Run, SegmentBuilder};
use super::wire::small;
use super::writer::PackStream;
use crate::error::{Error, Result};
use crate::hash::md5;
use crate::object::{FileDigests, ObjectId};

/// Large files that advance together, each by a segment of [`SHARE`] bytes; where packs are in memory until they are sent, half as many.
const LANES: usize = 16;
/// Files in a batch.
const MOST_FILES: usize = 256;

/// A file that was stored: its chunks by number of pack in [`Stored::packs`].
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) digests: FileDigests,
    pub(super) id: ObjectId,
    pub(super) runs: Vec<Run>,
    /// Ids and lengths of its chunks, in order.
    pub(super) chunks: Vec<(Blake3, u32)>,
}

/// The result of a run of the pipeline.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) files: Vec<StoredFile>,
    /// Every pack that a file names.
    pub(super) packs: Vec<PackFacts>,
    /// Files that do not match their name or BLAKE3.
    pub(super) damaged: Vec<ObjectId>,
    /// Bytes of the packs that were written.
    pub(super) sent: u64,
    /// The first file that could not be read; the others are stored.
    pub(super) failure: Option<Error>,
}

/// Where a chunk is on the remote already.
pub(super) type Known<'a> = &'a (dyn Fn(&Blake3) -> std::io::Result<Option<(PackFacts, u32)>> + Sync);

/// The tools that every core needs to process chunks.
struct Worker<'a> {
    reading: Reading<'a>,
    cutter: Cutter,
    known: Known<'a>,
    /// Chunks of this run: pack and position.
    seen: HashMap<Blake3, (u32, u32)>,
    choice: Choice,
}

/// The state of one run.
pub(super) struct Pipeline<'a> {
    worker: Worker<'a>,
    /// Large files that advance together.
    lanes: usize,
    stream: PackStream,
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
        intake: Option<&'a CacheSink<'a>>,
        stream: PackStream,
    ) -> Self {
        let lanes = if stream.keeps_in_memory() {
            LANES / 2
        } else {
            LANES
        };
        Self {
            lanes,
            worker: Worker {
                reading: Reading {
                    profile: format.chunker,
                    intake,
                    spares: BufferPool::of_batches(lanes * SHARE),
                    direct: true,
                },
                cutter: Cutter::new(format.chunker),
                known,
                seen: HashMap::new(),
                choice: Choice::new(),
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
        let mut slots: Vec<OpenFile<'_>> = Vec::new();
        loop {
            context.check()?;
            let reading = admit(&mut slots, &mut waiting, self.worker.reading.profile, self.lanes);
            if slots.is_empty() {
                break;
            }
            // Whole pages, so that copies can be written as they are.
            let share = (self.lanes * SHARE / reading.max(1)).max(SHARE) / ALIGNMENT * ALIGNMENT;
            while let Some(buffer) = self.stream.used() {
                self.worker.reading.spares.give(buffer);
            }
            let copied = self.worker.work(&mut slots, share, context.pool());
            let bytes = slots
                .iter()
                .map(|slot| slot.ahead.window.fresh().len() as u64)
                .sum();
            let packed = self.place_all(&mut slots)?;
            // As much past the page cache as the disk takes while the cores compute, and no more.
            self.worker.reading.direct = copied && packed;
            let done = self.finish(&mut slots, context.pool());
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

    /// Give the chunks of a batch their places, and hand over those that are new. Returns whether the writer kept up.
    fn place_all(&mut self, slots: &mut [OpenFile<'_>]) -> Result<bool> {
        for OpenFile { ahead: slot, .. } in slots {
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
    fn place(&mut self, piece: EncodedChunk, bytes: &mut [u8]) -> (u32, u32) {
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

    /// Take out the files that went through everything. Returns how many.
    fn finish(&mut self, slots: &mut Vec<OpenFile<'_>>, pool: &Pool) -> u64 {
        let mut ended: Vec<OpenFile<'_>> = slots.extract_if(.., |slot| slot.behind.last).collect();
        let intake = self.worker.reading.intake;
        let name = || ended.par_iter_mut().map(|slot| slot.name(intake)).collect();
        let names: Vec<Option<ObjectId>> = pool.install(name);
        let done = ended.len() as u64;
        for (OpenFile { ahead: slot, behind }, name) in ended.into_iter().zip(names) {
            self.worker.reading.spares.give(behind.window.into_memory());
            let blake3 = slot.digest();
            if let Some(failure) = slot.failure {
                self.stored.failure.get_or_insert(failure);
            } else if let Some(id) = name {
                self.stored.files.push(StoredFile {
                    digests: FileDigests {
                        md5: id.md5,
                        blake3,
                        size: slot.source.size,
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

/// Open what fits into the next batch. Returns how many files there are to be read.
fn admit<'a>(
    slots: &mut Vec<OpenFile<'a>>,
    waiting: &mut std::slice::Iter<'a, Source>,
    profile: Profile,
    lanes: usize,
) -> usize {
    let (mut planned, mut files, mut large) = (0, 0, 0);
    let mut count = |slot: &ReadStage<'_>| {
        planned += slot.share(SHARE);
        files += 1;
        large += usize::from(slot.source.size > SHARE as u64);
        (planned < lanes * SHARE && files < MOST_FILES, large < lanes)
    };
    let mut room = (true, true);
    for slot in slots.iter().map(|slot| &slot.ahead) {
        if !slot.is_over() {
            room = count(slot);
        }
    }
    while room.0
        && let Some(next) = waiting.as_slice().first()
        && (room.1 || next.size <= SHARE as u64)
    {
        waiting.next();
        let slot = OpenFile::new(next, next.size <= profile.min as u64);
        room = count(&slot.ahead);
        slots.push(slot);
    }
    files
}

impl Worker<'_> {
    /// Read the next share of every file and work on its chunks; hash and copy the share before. Returns whether the copies
    /// were written meanwhile.
    fn work(&self, slots: &mut [OpenFile<'_>], share: usize, pool: &Pool) -> bool {
        let (mut ahead, mut lanes, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        for slot in slots {
            slot.pass_on(share, &self.reading.spares);
            let (slot, behind) = (&mut slot.ahead, &mut slot.behind);
            let fresh = behind.window.fresh();
            if !fresh.is_empty() && slot.source.content.proof().is_none() {
                lanes.push((&mut behind.md5, fresh));
                copies.extend(behind.copy.as_mut().map(|copy| (copy, fresh)));
            }
            if !behind.last {
                ahead.push(slot);
            }
        }
        append_beside(&mut copies, || {
            pool.join(
                || md5::update_many(&mut lanes),
                || {
                    ahead.par_iter_mut().for_each(|slot| {
                        slot.failure = self.read_and_cut(slot, share).err();
                    });
                },
            );
        })
    }

    fn read_and_cut(&self, slot: &mut ReadStage<'_>, share: usize) -> Result<()> {
        slot.read(share, &self.reading)?;
        let last = slot.left() == 0;
        self.chunks(slot.window.bytes(), last, &mut slot.portions, &mut slot.cut)
    }

    /// Cut, hash, look up and compress: one chunk after the other while it is near, or, where a file has the batch for
    /// itself, as many as there are cores.
    fn chunks(
        &self,
        buffer: &[u8],
        last: bool,
        portions: &mut Vec<ChunkBatch>,
        cut: &mut usize,
    ) -> Result<()> {
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
    fn portion(&self, raw: usize) -> ChunkBatch {
        let records = RECORD * (raw / self.reading.profile.min.max(1) + 1);
        ChunkBatch {
            pieces: Vec::new(),
            bytes: self.reading.spares.take(raw + records),
        }
    }

    fn add_piece(&self, chunk: &[u8], portion: &mut ChunkBatch) -> Result<()> {
        let id = super::wire::blake3_of(chunk);
        let start = portion.bytes.len();
        let mut piece = EncodedChunk {
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
                piece.scheme = self.choice.encode(chunk, &mut portion.bytes)?;
                piece.stored.end = portion.bytes.len();
            }
        }
        portion.pieces.push(piece);
        Ok(())
    }
}
