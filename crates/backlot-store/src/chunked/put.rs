//! Files to packs: read, hash, cut, find what is new, compress, pack.
//!
//! A batch of segments of up to [`LANES`] large files, or of many small ones, goes through each stage on all cores (MD5
//! in SIMD lanes across the files, everything else a file or chunk a core), while a writer thread writes the batch before
//! and a finisher waits for the disk. Memory: 5 batches of [`BATCH`] bytes, the buffers of one writer, and 130 bytes a new
//! chunk of the group of files: below 160 MiB for groups of [`super::push::GROUP_BYTES`]. Invariant: the result names only
//! chunks whose packs are complete on the remote, and only files whose bytes were what their name or proof says.

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::PathBuf;

use backlot_core::context::Running;
use backlot_core::{Blake3, Context};
use fs_err as fs;
use rayon::prelude::*;

use super::config::RemoteFormat;
use super::filter::{Coder, Scheme};
use super::pack::{PackFacts, RECORD};
use super::recipe::{Run, SegmentBuilder};
use super::wire::small;
use super::writer::PackStream;
use crate::error::{Error, Result};
use crate::hash::md5::{self, Md5Hasher};
use crate::object::{FileDigests, ObjectId};

/// Raw bytes that go through the stages together.
const BATCH: usize = 16 << 20;
/// What a large file contributes to a batch while others do too: also the shortest run of its chunks in a pack.
const SHARE: usize = 1 << 20;
/// Large files that advance together.
const LANES: usize = BATCH / SHARE;
/// Files in a batch.
const MOST_FILES: usize = 2048;
/// Chunks between two trials of the filters.
const TRIAL_EVERY: usize = 32;

/// A file to be stored.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) id: ObjectId,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// Its proof; where it is known, MD5 is not computed again.
    pub(super) blake3: Option<Blake3>,
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
    /// Bytes that were read and not cut yet, then those read now.
    buffer: Vec<u8>,
    /// Where those read now begin.
    fresh: usize,
    cuts: Vec<Range<usize>>,
    read: u64,
    md5: Md5Hasher,
    blake3: blake3::Hasher,
    runs: Vec<Run>,
    chunks: Vec<(Blake3, u32)>,
    failure: Option<Error>,
}

/// What is to become of one chunk.
struct Piece<'a> {
    slot: usize,
    bytes: &'a [u8],
    id: Blake3,
    known: Option<(PackFacts, u32)>,
    new: bool,
    scheme: Scheme,
    /// The record's place, then the stored bytes.
    stored: Vec<u8>,
}

/// The state of one run.
pub(super) struct Pipeline<'a> {
    format: &'a RemoteFormat,
    known: Known<'a>,
    stream: PackStream<'a>,
    /// Chunks of this run: pack and position.
    seen: HashMap<Blake3, (u32, u32)>,
    numbers: HashMap<PackFacts, u32>,
    since_trial: usize,
    scheme: Scheme,
    stored: Stored,
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(format: &'a RemoteFormat, known: Known<'a>, stream: PackStream<'a>) -> Self {
        Self {
            format,
            known,
            stream,
            seen: HashMap::new(),
            numbers: HashMap::new(),
            since_trial: TRIAL_EVERY,
            scheme: Scheme::Zstd,
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
            admit(&mut slots, &mut waiting);
            if slots.is_empty() {
                break;
            }
            let share = (BATCH / slots.len()).max(SHARE);
            let profile = self.format.chunker;
            slots.par_iter_mut().for_each(|slot| {
                if let Err(error) = slot.advance(share, profile) {
                    slot.failure = Some(error);
                }
            });
            let bytes = slots.iter().map(|s| (s.buffer.len() - s.fresh) as u64).sum();
            self.store_batch(&mut slots)?;
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

    /// Hash, look up, encode and hand over the chunks of a batch.
    fn store_batch(&mut self, slots: &mut [Slot<'_>]) -> Result<()> {
        let mut lanes: Vec<(&mut Md5Hasher, &[u8])> = Vec::with_capacity(slots.len());
        let mut pieces = Vec::new();
        for (number, slot) in slots.iter_mut().enumerate() {
            let buffer: &[u8] = &slot.buffer;
            if slot.source.blake3.is_none() {
                lanes.push((&mut slot.md5, &buffer[slot.fresh..]));
            }
            pieces.extend(
                slot.cuts
                    .iter()
                    .map(|cut| Piece::new(number, &buffer[cut.clone()])),
            );
        }
        let ((), encoded) = rayon::join(|| md5::update_many(&mut lanes), || self.encode(&mut pieces));
        encoded?;
        let mut placed: Vec<(usize, Blake3, u32, (u32, u32))> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let raw = small(piece.bytes.len());
            let (slot, id) = (piece.slot, piece.id);
            placed.push((slot, id, raw, self.place(piece)?));
        }
        self.stream.flush()?;
        for (slot, id, raw, (pack, position)) in placed {
            SegmentBuilder::extend(&mut slots[slot].runs, pack, position);
            slots[slot].chunks.push((id, raw));
        }
        Ok(())
    }

    /// Give every piece its id, and those that are new their stored form.
    fn encode(&mut self, pieces: &mut [Piece<'_>]) -> Result<()> {
        let (known, seen) = (self.known, &self.seen);
        pieces.par_iter_mut().with_min_len(4).try_for_each(|piece| {
            piece.id = super::wire::blake3_of(piece.bytes);
            if !seen.contains_key(&piece.id) {
                piece.known = known(&piece.id)?;
                piece.new = piece.known.is_none();
            }
            Ok::<(), Error>(())
        })?;
        let mut first = std::collections::HashSet::new();
        for piece in pieces.iter_mut().filter(|piece| piece.new) {
            piece.new = first.insert(piece.id);
        }
        let mut coder = Coder::new()?;
        for piece in pieces.iter_mut().filter(|piece| piece.new) {
            if self.since_trial >= TRIAL_EVERY {
                self.since_trial = 0;
                if let Some(best) = coder.best_for(piece.bytes) {
                    self.scheme = best;
                }
            }
            self.since_trial += 1;
            piece.scheme = self.scheme;
        }
        pieces
            .par_iter_mut()
            .filter(|piece| piece.new)
            .try_for_each_init(Coder::new, |coder, piece| {
                let coder = coder
                    .as_mut()
                    .map_err(|e| std::io::Error::new(e.kind(), e.to_string()))?;
                piece.stored.reserve_exact(RECORD + piece.bytes.len());
                piece.stored.resize(RECORD, 0);
                piece.scheme = coder.encode(piece.bytes, piece.scheme, &mut piece.stored);
                Ok::<(), Error>(())
            })
    }

    /// Where a piece is or will be: number of the pack, position.
    fn place(&mut self, piece: Piece<'_>) -> Result<(u32, u32)> {
        if let Some((facts, position)) = piece.known {
            return Ok((self.number(&facts), position));
        }
        if let Some(place) = self.seen.get(&piece.id) {
            return Ok(*place);
        }
        let (name, position) = self
            .stream
            .push(piece.id, piece.scheme, piece.bytes.len(), piece.stored)?;
        // What else is to be known of the pack comes when it is complete.
        let facts = PackFacts {
            name,
            table: Blake3::from_bytes([0; 32]),
            length: 0,
            chunks: 0,
        };
        let place = (self.number(&facts), position);
        self.seen.insert(piece.id, place);
        Ok(place)
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
        let mut done = 0;
        let mut kept = Vec::with_capacity(slots.len());
        for mut slot in slots.drain(..) {
            let cut = slot.cuts.last().map_or(0, |cut| cut.end);
            if slot.failure.is_none() && slot.read < slot.source.size {
                slot.buffer.drain(..cut);
                kept.push(slot);
                continue;
            }
            done += 1;
            if let Some(failure) = slot.failure {
                self.stored.failure.get_or_insert(failure);
                continue;
            }
            let blake3 = Blake3::from_bytes(*slot.blake3.finalize().as_bytes());
            let right = match slot.source.blake3 {
                Some(proof) => proof == blake3,
                None => slot.md5.finish() == slot.source.id.md5,
            };
            if !right {
                self.stored.damaged.push(slot.source.id);
                continue;
            }
            self.stored.files.push(StoredFile {
                digests: FileDigests {
                    md5: slot.source.id.md5,
                    blake3,
                    size: slot.read,
                },
                id: slot.source.id,
                runs: slot.runs,
                chunks: slot.chunks,
            });
        }
        *slots = kept;
        done
    }
}

/// Open what fits into the next batch.
fn admit<'a>(slots: &mut Vec<Slot<'a>>, waiting: &mut std::slice::Iter<'a, Source>) {
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
        slots.push(Slot::new(next));
    }
}

impl<'a> Slot<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            file: None,
            buffer: Vec::new(),
            fresh: 0,
            cuts: Vec::new(),
            read: 0,
            md5: Md5Hasher::default(),
            blake3: blake3::Hasher::new(),
            runs: Vec::new(),
            chunks: Vec::new(),
            failure: None,
        }
    }

    /// Read the next share of the file, and cut what is certain.
    fn advance(&mut self, share: usize, profile: super::chunker::Profile) -> Result<()> {
        self.fresh = self.buffer.len();
        self.cuts.clear();
        let left = self.source.size - self.read;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(share);
        if self.file.is_none() {
            self.file = Some(fs::File::open(&self.source.path)?);
        }
        let file = self.file.as_mut().map(std::io::Read::by_ref);
        self.buffer.reserve_exact(wanted);
        if let Some(file) = file {
            file.take(wanted as u64).read_to_end(&mut self.buffer)?;
        }
        let fresh = &self.buffer[self.fresh..];
        if fresh.len() < wanted {
            return Err(Error::Changing {
                path: self.source.path.clone(),
            });
        }
        if fresh.len() > SHARE {
            self.blake3.update_rayon(fresh);
        } else {
            self.blake3.update(fresh);
        }
        self.read += fresh.len() as u64;
        self.cuts = profile.cut(&self.buffer, self.read == self.source.size);
        Ok(())
    }
}

impl<'a> Piece<'a> {
    fn new(slot: usize, bytes: &'a [u8]) -> Self {
        Self {
            slot,
            bytes,
            id: Blake3::from_bytes([0; 32]),
            known: None,
            new: false,
            scheme: Scheme::Raw,
            stored: Vec::new(),
        }
    }
}
