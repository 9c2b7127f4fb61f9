//! Sorted records, looked up without reading all of them: the index and recipe segments lie on this.
//!
//! In memory is only the first word of every 64th record; a look-up reads one run of 64. So a segment of a billion chunks
//! needs 125 MB, and the page cache does the rest. Deliberately absent: a memory map, which would need unsafe code and
//! turns a truncated file into a signal.

use super::segment_bytes::SegmentBytes;
use super::wire::{Malformed, Reader};

/// Records in a run.
const RUN: u64 = 64;

/// A table of records of one length, sorted by their first bytes.
#[derive(Debug)]
pub(super) struct SortedTable {
    bytes: SegmentBytes,
    start: u64,
    record: usize,
    count: u64,
    fences: Vec<u64>,
}

/// Bytes outside the records are read in blocks of at least this length.
const BLOCK: usize = 4 << 10;

/// What was read last, for look-ups in the order of the keys: they read what lies together once.
#[derive(Debug, Default)]
pub(super) struct Near {
    run: Option<u64>,
    records: Vec<u8>,
    block: Vec<u8>,
    block_at: u64,
}

/// Where a key begins.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk::<8>()
        .map_or(0, |first| u64::from_be_bytes(*first))
}

/// The fences of sorted records, as they are stored behind them.
pub(super) fn fences_of(records: &[u8], record: usize) -> Vec<u8> {
    records
        .chunks(record * 64)
        .flat_map(|run| word(run).to_le_bytes())
        .collect()
}

/// How many fences a table has.
pub(super) const fn fence_count(count: u64) -> u64 {
    count.div_ceil(RUN)
}

impl SortedTable {
    /// A table that lies at `start` of a segment; `fences` are the bytes behind it.
    pub(super) fn new(
        bytes: SegmentBytes,
        start: u64,
        record: usize,
        count: u64,
        fences: &[u8],
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(fences);
        let mut words = Vec::with_capacity(fences.len() / 8);
        while !reader.is_empty() {
            words.push(reader.u64()?);
        }
        if words.len() as u64 != fence_count(count) {
            return Err("its record count does not match its header");
        }
        Ok(Self {
            bytes,
            start,
            record,
            count,
            fences: words,
        })
    }

    #[cfg(test)]
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The whole segment.
    pub(super) const fn segment(&self) -> &SegmentBytes {
        &self.bytes
    }

    #[cfg(test)]
    pub(super) fn words_in_memory(&self) -> usize {
        self.fences.len()
    }

    /// All records that begin with `key`, in order.
    pub(super) fn find(&self, key: &[u8], near: &mut Near) -> std::io::Result<Vec<Vec<u8>>> {
        let wanted = word(key);
        // Equal words may begin in the run before the first fence that has them.
        let first = self
            .fences
            .partition_point(|fence| *fence < wanted)
            .saturating_sub(1);
        let mut found = Vec::new();
        for run in first..self.fences.len() {
            if self.fences[run] > wanted {
                break;
            }
            if near.run != Some(run as u64) {
                near.run = None;
                self.read_run(run as u64, &mut near.records)?;
                near.run = Some(run as u64);
            }
            found.extend(
                near.records
                    .chunks_exact(self.record)
                    .filter(|record| record.starts_with(key))
                    .map(<[u8]>::to_vec),
            );
        }
        Ok(found)
    }

    fn read_run(&self, run: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let count = RUN.min(self.count - run * RUN);
        bytes.resize(usize::try_from(count).unwrap_or(0) * self.record, 0);
        let at = self.start + run * RUN * self.record as u64;
        self.bytes.read_exact_at(bytes, at)
    }

    /// Visit all records in order.
    pub(super) fn each<E: From<std::io::Error>>(
        &self,
        mut visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = Vec::new();
        for run in 0..fence_count(self.count) {
            self.read_run(run, &mut bytes)?;
            for record in bytes.chunks_exact(self.record) {
                visit(record)?;
            }
        }
        Ok(())
    }

    /// Bytes of the segment outside the table.
    pub(super) fn read_at<'a>(
        &self,
        at: u64,
        length: usize,
        near: &'a mut Near,
    ) -> std::io::Result<&'a [u8]> {
        let inside = |near: &Near| {
            let start = usize::try_from(at.checked_sub(near.block_at)?).ok()?;
            let range = start..start.checked_add(length)?;
            (range.end <= near.block.len()).then_some(range)
        };
        let range = match inside(near) {
            Some(range) => range,
            None => {
                near.block.clear();
                near.block.resize(length.max(BLOCK), 0);
                near.block_at = at;
                let mut filled = 0;
                while filled < near.block.len() {
                    match self.bytes.read_at(&mut near.block[filled..], at + filled as u64) {
                        Ok(0) => break,
                        Ok(count) => filled += count,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            near.block.clear();
                            return Err(error);
                        }
                    }
                }
                near.block.truncate(filled);
                inside(near).ok_or(std::io::ErrorKind::UnexpectedEof)?
            }
        };
        Ok(&near.block[range])
    }
}
