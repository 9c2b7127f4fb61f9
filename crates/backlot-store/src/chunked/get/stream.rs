//! One file read by ranges: only the chunks that a range touches are fetched, and nothing is kept.
//!
//! Invariant: no byte is returned before its chunk is verified against the table of its pack, by BLAKE3; the recipe verifies that table. A
//! damaged pack makes way for another recipe of the same file. Memory: what was asked for, decoded and as it is stored, and 56 bytes a
//! chunk of the file. Deliberately absent: verification of the whole file, which requires reading all of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use backlot_core::{Blake3, Context};

use super::read::range_of;
use super::spans::{Blocks, coalesce};
use super::{
    ChunkedRepository, Coder, Entry, Kind, PackFacts, StoredName, WRONG_CHUNK, blake3_of, candidates,
    chunks_of,
};
use crate::chunked::catalog::{Catalog, damaged};
use crate::chunked::counted::Counted;
use crate::chunked::remote::ChunkedRemote;
use crate::chunked::wire::Malformed;
use crate::error::{Error, Result};
use crate::object::Transfer;
use crate::parallel::each;

/// Decoded bytes that one request is for, more or less.
const REQUEST: u64 = 2 << 20;

/// A file of a chunked remote, opened.
#[derive(Debug)]
pub(crate) struct FileStream {
    site: ChunkedRepository,
    counted: Arc<Counted>,
    wanted: Transfer,
    size: u64,
    blake3: Blake3,
    chunks: Vec<Chunk>,
    /// Which of the recipes of the file it is read by.
    attempt: usize,
}

/// A chunk of a file.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Where it begins in the file.
    start: u64,
    stored: (StoredName, Entry),
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + u64::from(self.stored.1.raw)
    }
}

/// The pack that is to blame, and why.
type Damage = (StoredName, Malformed);

impl ChunkedRemote {
    /// Open a file to be read by ranges.
    pub(crate) fn stream(&self, wanted: &Transfer, context: &Context) -> Result<FileStream> {
        let Some(site) = self.find()? else {
            return Err(Error::Missing {
                objects: vec![wanted.id],
                place: self.place(),
            });
        };
        let counted = Arc::new(Counted::new(Arc::clone(&site.blobs)));
        let site = ChunkedRepository {
            blobs: Arc::clone(&counted) as _,
            ..site
        };
        let mut stream = FileStream {
            site,
            counted,
            wanted: *wanted,
            size: 0,
            blake3: Blake3::from_bytes([0; 32]),
            chunks: Vec::new(),
            attempt: 0,
        };
        stream.lay_out(context)?;
        Ok(stream)
    }
}

impl FileStream {
    /// The length of the file in bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The expected size and digests of the whole file, from the recipe.
    pub(crate) const fn blake3(&self) -> Blake3 {
        self.blake3
    }

    /// Bytes of objects that were read from the remote.
    pub(crate) fn fetched(&self) -> u64 {
        self.counted.bytes()
    }

    /// The chunks that a range touches, decoded one behind the other, and where in the file the first begins.
    pub(crate) fn read(&mut self, range: Range<u64>, context: &Context) -> Result<(u64, Vec<u8>)> {
        loop {
            let (pack, why) = match self.touched(&range, context)? {
                Ok(read) => return Ok(read),
                Err(damage) => damage,
            };
            let key = Kind::Pack.key(pack);
            if self.site.blobs.forget(&key) {
                continue;
            }
            context.warn(
                "store::damaged_pack",
                format!("`{key}` in {} is damaged: {why}", self.site.blobs.place()),
            );
            self.attempt += 1;
            match self.lay_out(context) {
                Ok(()) => {}
                Err(Error::Missing { .. } | Error::Corrupt { .. }) => {
                    return Err(damaged(&*self.site.blobs, key, why));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Find where the chunks of the file lie, by its next recipe that can be used.
    fn lay_out(&mut self, context: &Context) -> Result<()> {
        let catalog = Catalog::load(&*self.site.blobs, &self.site.mirror, context)?;
        let items = [self.wanted];
        let mut is_there = false;
        loop {
            let Some((_, found)) = candidates(&catalog, &items, &[0], self.attempt)?.pop() else {
                break;
            };
            is_there = true;
            let recipe = &found.recipe;
            let is_wanted = self.wanted.blake3.is_none_or(|proof| proof == recipe.blake3)
                && self.wanted.size.is_none_or(|size| size == recipe.size);
            let packs: BTreeMap<StoredName, PackFacts> =
                found.packs().map(|pack| (pack.name, *pack)).collect();
            let tables = self.site.tables(&packs, context)?;
            if let Some(chunks) = chunks_of(&found, &tables).filter(|_| is_wanted) {
                (self.size, self.blake3) = (recipe.size, recipe.blake3);
                let mut end = 0;
                let chunk = |stored: (StoredName, Entry)| {
                    let start = end;
                    end += u64::from(stored.1.raw);
                    Chunk { start, stored }
                };
                self.chunks = chunks.into_iter().map(chunk).collect();
                return Ok(());
            }
            self.attempt += 1;
        }
        let (objects, place) = (vec![self.wanted.id], self.site.blobs.place());
        match catalog.damaged.first() {
            _ if is_there => Err(Error::Corrupt { objects, place }),
            Some(object) => Err(damaged(
                &*self.site.blobs,
                object.clone(),
                "its contents cannot be found",
            )),
            None => Err(Error::Missing { objects, place }),
        }
    }

    fn touched(
        &self,
        range: &Range<u64>,
        context: &Context,
    ) -> Result<std::result::Result<(u64, Vec<u8>), Damage>> {
        let first = self.chunks.partition_point(|chunk| chunk.end() <= range.start);
        let last = self.chunks.partition_point(|chunk| chunk.start < range.end);
        let touched = self.chunks.get(first..last).unwrap_or_default();
        let Some(chunk) = touched.first() else {
            return Ok(Ok((range.start, Vec::new())));
        };
        let start = chunk.start;
        let gap = self.site.blobs.coalesce_gap();
        let requests: Vec<(StoredName, Range<u32>)> = touched
            .chunk_by(|a, b| a.start / REQUEST == b.start / REQUEST)
            .flat_map(|some| coalesce(&some.iter().map(|one| range_of(&one.stored)).collect(), gap))
            .collect();
        let read = each(self.site.blobs.concurrency(), requests.len(), context, |n| {
            let (pack, range) = &requests[n];
            let range = u64::from(range.start)..u64::from(range.end);
            self.site.blobs.read_range(&Kind::Pack.key(*pack), range)
        })?;
        let mut blocks = Blocks::default();
        for ((pack, range), bytes) in requests.into_iter().zip(read) {
            if let Some(bytes) = bytes {
                blocks.insert(pack, range.start, Arc::new(bytes));
            }
        }
        let decoded = Coder::with(|coder| decode(touched, &blocks, coder))?;
        Ok(decoded.map(|bytes| (start, bytes)))
    }
}

/// Chunks one behind the other, each proven.
fn decode(chunks: &[Chunk], blocks: &Blocks, coder: &mut Coder) -> std::result::Result<Vec<u8>, Damage> {
    let length = chunks.iter().map(|chunk| chunk.stored.1.raw as usize).sum();
    let mut bytes = Vec::with_capacity(length);
    for (pack, entry) in chunks.iter().map(|chunk| &chunk.stored) {
        let start = bytes.len();
        let blame = |why| (*pack, why);
        blocks.raw(*pack, entry, coder, &mut bytes).map_err(blame)?;
        if blake3_of(&bytes[start..]) != entry.id {
            return Err(blame(WRONG_CHUNK));
        }
    }
    Ok(bytes)
}
