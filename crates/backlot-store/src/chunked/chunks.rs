//! Reading chunks of one pack as they are stored, in few requests, each proven on the way.
//!
//! Memory: [`STEP`] and one chunk. Used by whatever moves or verifies chunks without making files of them.

use super::filter::Coder;
use super::name::Kind;
use super::pack::{Entry, PackFacts};
use super::push::ChunkedRepository;
use super::wire::{Malformed, blake3_of};
use crate::error::Result;

/// Stored bytes that are read at once.
const STEP: u32 = 4 << 20;

/// A chunk as stored, or why it cannot be believed.
pub(super) type Proven<'a> = std::result::Result<&'a [u8], Malformed>;

impl ChunkedRepository {
    /// Visit chunks of a pack, given with their positions and in the order in which they lie. Returns how many bytes were
    /// read.
    pub(super) fn each_chunk(
        &self,
        pack: &PackFacts,
        chunks: &[(u32, Entry)],
        mut visit: impl FnMut(u32, &Entry, Proven<'_>) -> Result<()>,
    ) -> Result<u64> {
        let key = Kind::Pack.key(pack.name);
        let mut coder = Coder::new()?;
        let mut raw = Vec::new();
        let (mut rest, mut read) = (chunks, 0);
        while let Some((_, head)) = rest.first() {
            let count = step(rest, self.blobs.coalesce_gap());
            let (now, later) = rest.split_at(count);
            rest = later;
            let end = now
                .last()
                .map_or(0, |(_, entry)| u64::from(entry.offset) + u64::from(entry.stored));
            let bytes = self
                .blobs
                .read_range(&key, u64::from(head.offset)..end)?
                .unwrap_or_default();
            read += bytes.len() as u64;
            for (position, entry) in now {
                let from = (entry.offset - head.offset) as usize;
                raw.clear();
                let proven = bytes
                    .get(from..from + entry.stored as usize)
                    .ok_or("it is truncated")
                    .and_then(|stored| {
                        coder.decode(stored, entry.scheme, entry.raw as usize, &mut raw)?;
                        if blake3_of(&raw) == entry.id {
                            Ok(stored)
                        } else {
                            Err("a chunk does not match its digest")
                        }
                    });
                visit(*position, entry, proven)?;
            }
        }
        Ok(read)
    }
}

/// How many of the next chunks come with one request.
fn step(chunks: &[(u32, Entry)], gap: u32) -> usize {
    let Some((_, head)) = chunks.first() else { return 0 };
    let mut end = head.offset;
    let count = chunks.iter().take_while(|(_, entry)| {
        let near = entry.offset <= end.saturating_add(gap);
        let next = entry.offset.saturating_add(entry.stored);
        let fits = end == head.offset || next - head.offset <= STEP;
        end = next;
        near && fits
    });
    count.count().max(1)
}
