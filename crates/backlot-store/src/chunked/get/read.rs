//! Bringing here what pieces of work need: ranges of packs, chunks of cache objects.
//!
//! Invariant: what is not there is missed by who needs it, and blamed then. Deliberately absent: proving.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use backlot_core::Blake3;

use super::spans::{Blocks, Limits, Spans, coalesce};
use super::{Coder, Entry, FilePlan, Getter, Kind, Malformed, StoredName};
use crate::error::Result;

impl Getter<'_> {
    /// How ranges are joined for pieces of work: a request is as large as a piece.
    fn limits(&self) -> Limits {
        Limits {
            gap: self.site.blobs.coalesce_gap(),
            most: u32::try_from(self.job).unwrap_or(u32::MAX),
            ahead: self.site.parallel_jobs() / 2,
        }
    }

    /// The ranges of packs to read: those that the cache does not have.
    pub(super) fn spans<'c, C>(&self, work: impl Iterator<Item = C>) -> Spans
    where
        C: Iterator<Item = &'c (StoredName, Entry)>,
    {
        let mut there = HashMap::new();
        let wanted = work.map(|chunks| {
            chunks
                .filter(|(_, entry)| !self.seeds.knows(entry, &mut there))
                .map(range_of)
                .collect()
        });
        Spans::plan(wanted, self.limits())
    }

    /// Bring the stored bytes of chunks here: what the spans of their piece of work have, and the rest from the cache.
    pub(super) fn read<'c>(
        &self,
        chunks: impl Iterator<Item = &'c (StoredName, Entry)>,
        (spans, work): (&Spans, usize),
    ) -> Result<Source> {
        let read = |pack, range: Range<u32>| {
            self.context.check()?;
            let range = u64::from(range.start)..u64::from(range.end);
            // A pack that is gone is damage like any other; the chunks in it are missed later.
            self.site.blobs.read_range(&Kind::Pack.key(pack), range)
        };
        let mut source = Source {
            blocks: spans.take(work, self.context, &read)?,
            seeds: HashMap::new(),
        };
        let mut rest = BTreeSet::new();
        let mut there = HashMap::new();
        for chunk in chunks {
            let entry = &chunk.1;
            if source.seeds.contains_key(&entry.id) || !self.seeds.knows(entry, &mut there) {
                continue;
            }
            match self.seeds.read(&entry.id, entry.raw) {
                Some(bytes) => drop(source.seeds.insert(entry.id, bytes)),
                // It is not what it was, so that no span has it.
                None => drop(rest.insert(range_of(chunk))),
            }
        }
        for (pack, range) in coalesce(&rest, self.site.blobs.coalesce_gap()) {
            let start = range.start;
            if let Some(bytes) = read(pack, range)? {
                source.blocks.insert(pack, start, Arc::new(bytes));
            }
        }
        Ok(source)
    }
}

/// The chunks of files.
pub(super) fn chunks_in(plans: &[FilePlan]) -> impl Iterator<Item = &(StoredName, Entry)> {
    plans.iter().flat_map(|plan| &plan.chunks)
}

/// Where the stored bytes of a chunk lie.
pub(super) fn range_of((pack, entry): &(StoredName, Entry)) -> (StoredName, u32, u32) {
    (*pack, entry.offset, entry.offset.saturating_add(entry.stored))
}

/// Stored bytes that were brought here.
#[derive(Debug)]
pub(super) struct Source {
    blocks: Blocks,
    seeds: HashMap<Blake3, Vec<u8>>,
}

impl Source {
    /// Append the bytes of a chunk.
    pub(super) fn raw(
        &self,
        pack: StoredName,
        entry: &Entry,
        coder: &mut Coder,
        bytes: &mut Vec<u8>,
    ) -> std::result::Result<(), Malformed> {
        if let Some(seed) = self.seeds.get(&entry.id) {
            bytes.extend_from_slice(seed);
            return Ok(());
        }
        self.blocks.raw(pack, entry, coder, bytes)
    }
}
