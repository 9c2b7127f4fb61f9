//! Packs: many chunks in one object. Format in `docs/format/remote-chunked.md`.
//!
//! A pack is a header, chunk records (each with its own header, so that a torn pack can be read from the front) and a
//! table of all chunks at its end, which is sealed. Invariant: a pack is written once, whole, under a name that is never
//! used again. Deliberately absent: which file a chunk is of; recipes know that.

use backlot_core::Blake3;

use super::chunker::LARGEST_CHUNK;
use super::filter::Scheme;
use super::name::StoredName;
use super::wire::{Malformed, Reader, small};

const MAGIC: [u8; 8] = *b"BKLPACK1";
const END_MAGIC: [u8; 8] = *b"BKLPEND1";
const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"CHNK");
/// Bytes of the header of a pack.
pub(super) const HEADER: usize = 16;
/// Bytes of the header of a chunk in a pack.
pub(super) const RECORD: usize = 48;
/// Bytes of one entry of the table.
pub(super) const ENTRY: usize = 48;
/// Bytes behind the table.
pub(super) const TRAILER: usize = 48;
/// No pack holds more chunks: its table stays small beside it.
pub(super) const MOST_CHUNKS: u32 = 1 << 16;

/// A chunk in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The BLAKE3 of the chunk.
    pub(super) id: Blake3,
    /// Where its stored bytes begin.
    pub(super) offset: u32,
    /// How many there are.
    pub(super) stored: u32,
    /// Its own length.
    pub(super) raw: u32,
    /// How it is stored.
    pub(super) scheme: Scheme,
}

/// Bytes of [`PackFacts`] where they are stored.
pub(super) const FACTS: usize = 64;

/// The summary of a pack, with which its table is read and verified in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PackFacts {
    pub(super) name: StoredName,
    /// The BLAKE3 of its table.
    pub(super) table: Blake3,
    /// Its length in bytes.
    pub(super) length: u64,
    /// How many chunks it holds.
    pub(super) chunks: u32,
}

impl PackFacts {
    /// The bytes of the pack that hold its table.
    pub(super) const fn table_range(&self) -> std::ops::Range<u64> {
        let end = self.length.saturating_sub(TRAILER as u64);
        end.saturating_sub(self.chunks as u64 * ENTRY as u64)..end
    }

    /// As index and recipe segments store them.
    pub(super) fn write_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(self.table.as_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.chunks.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }

    /// Read a list of them.
    pub(super) fn read_all(bytes: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::with_capacity(bytes.len() / FACTS);
        while !reader.is_empty() {
            let name = StoredName::from_bytes(reader.array()?);
            let table = Blake3::from_bytes(reader.array()?);
            let (length, chunks) = (reader.u64()?, reader.u32()?);
            reader.take(4)?;
            all.push(Self {
                name,
                table,
                length,
                chunks,
            });
        }
        Ok(all)
    }

    /// Whether a pack can be so: a bound for readers of hostile remotes.
    pub(super) const fn is_possible(&self) -> bool {
        let least = HEADER as u64 + TRAILER as u64 + self.chunks as u64 * (ENTRY + RECORD) as u64;
        self.chunks <= MOST_CHUNKS && self.length <= u32::MAX as u64 && self.length >= least
    }
}

/// A pack that is being laid out. The bytes are the caller's to write, in order.
#[derive(Debug)]
pub(super) struct PackLayout {
    pub(super) name: StoredName,
    entries: Vec<Entry>,
    length: usize,
}

impl PackLayout {
    /// A new pack, with the bytes it begins with.
    pub(super) fn begin() -> (Self, [u8; HEADER]) {
        let layout = Self {
            name: StoredName::fresh(),
            entries: Vec::new(),
            length: HEADER,
        };
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        (layout, header)
    }

    /// The next chunk. Returns its position and the record that is written before its stored bytes.
    pub(super) fn push(
        &mut self,
        id: Blake3,
        scheme: Scheme,
        raw: usize,
        stored: usize,
    ) -> (u32, [u8; RECORD]) {
        let position = small(self.entries.len());
        let entry = Entry {
            id,
            offset: small(self.length + RECORD),
            stored: small(stored),
            raw: small(raw),
            scheme,
        };
        let mut record = [0; RECORD];
        record[..4].copy_from_slice(&CHUNK_MAGIC.to_le_bytes());
        record[4] = scheme.byte();
        record[8..12].copy_from_slice(&entry.raw.to_le_bytes());
        record[12..16].copy_from_slice(&entry.stored.to_le_bytes());
        record[16..].copy_from_slice(id.as_bytes());
        self.length += RECORD + stored;
        self.entries.push(entry);
        (position, record)
    }

    /// Bytes so far.
    pub(super) const fn length(&self) -> usize {
        self.length
    }
    /// Chunks so far.
    pub(super) fn chunks(&self) -> u32 {
        small(self.entries.len())
    }

    /// The trailing bytes of the pack, its summary, and its table.
    pub(super) fn finish(self) -> (Vec<u8>, PackFacts, Vec<Entry>) {
        let mut end = table_bytes(&self.entries);
        let table = super::wire::blake3_of(&end);
        end.extend_from_slice(&self.chunks().to_le_bytes());
        end.extend_from_slice(&small(self.length).to_le_bytes());
        end.extend_from_slice(table.as_bytes());
        end.extend_from_slice(&END_MAGIC);
        let facts = PackFacts {
            name: self.name,
            table,
            length: (self.length + end.len()) as u64,
            chunks: self.chunks(),
        };
        (end, facts, self.entries)
    }
}

fn table_bytes(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY + TRAILER);
    for entry in entries {
        bytes.extend_from_slice(entry.id.as_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.stored.to_le_bytes());
        bytes.extend_from_slice(&entry.raw.to_le_bytes());
        bytes.extend_from_slice(&[entry.scheme.byte(), 0, 0, 0]);
    }
    bytes
}

/// Read a table whose digest is known.
pub(super) fn parse_table(bytes: &[u8], facts: &PackFacts) -> Result<Vec<Entry>, Malformed> {
    if super::wire::blake3_of(bytes) != facts.table {
        return Err("its table does not match its digest");
    }
    parse_entries(bytes, facts.length)
}

fn parse_entries(bytes: &[u8], length: u64) -> Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::with_capacity(bytes.len() / ENTRY);
    while !reader.is_empty() {
        let id = Blake3::from_bytes(reader.array()?);
        let (offset, stored, raw) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let scheme = Scheme::from_byte(reader.byte()?)?;
        reader.take(3)?;
        let fits = u64::from(offset) + u64::from(stored) <= length && stored <= raw;
        if raw as usize > LARGEST_CHUNK || !fits {
            return Err("its table lists an impossible chunk");
        }
        entries.push(Entry {
            id,
            offset,
            stored,
            raw,
            scheme,
        });
    }
    Ok(entries)
}

/// The contents of the last [`TRAILER`] bytes of a pack. Used if there is no recipe or index.
pub(super) fn parse_trailer(name: StoredName, trailer: &[u8], length: u64) -> Result<PackFacts, Malformed> {
    let mut reader = Reader::new(trailer);
    let (chunks, at) = (reader.u32()?, reader.u32()?);
    let table = Blake3::from_bytes(reader.array()?);
    reader.magic(END_MAGIC).map_err(|_| "it has no valid trailer")?;
    let facts = PackFacts {
        name,
        table,
        length,
        chunks,
    };
    if chunks > MOST_CHUNKS || facts.table_range().start != u64::from(at) {
        return Err("its trailer does not match its length");
    }
    Ok(facts)
}

/// Read the records of a pack from the front, as far as they go: for packs whose table is lost.
pub(super) fn scan(bytes: &[u8]) -> Vec<Entry> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    if reader.magic(MAGIC).is_err() || reader.take(HEADER - 8).is_err() {
        return entries;
    }
    let mut offset = HEADER;
    while let Ok(entry) = scan_record(&mut reader, offset) {
        offset += RECORD + entry.stored as usize;
        entries.push(entry);
    }
    entries
}

fn scan_record(reader: &mut Reader<'_>, at: usize) -> Result<Entry, Malformed> {
    if reader.u32()? != CHUNK_MAGIC {
        return Err("there is no chunk");
    }
    let scheme = Scheme::from_byte(reader.byte()?)?;
    reader.take(3)?;
    let (raw, stored) = (reader.u32()?, reader.u32()?);
    let id = Blake3::from_bytes(reader.array()?);
    if raw as usize > LARGEST_CHUNK || stored > raw {
        return Err("a chunk is too large");
    }
    reader.take(stored as usize)?;
    Ok(Entry {
        id,
        offset: small(at + RECORD),
        stored,
        raw,
        scheme,
    })
}

#[cfg(test)]
mod tests {
    use super::{Entry, PackFacts, PackLayout, TRAILER, parse_table, parse_trailer, scan};
    use crate::chunked::filter::Scheme;
    use crate::chunked::wire::blake3_of;
    use proptest::prelude::{any, prop, proptest};

    fn pack_of(chunks: &[Vec<u8>]) -> (Vec<u8>, PackFacts, Vec<Entry>) {
        let (mut layout, header) = PackLayout::begin();
        let mut bytes = header.to_vec();
        for chunk in chunks {
            let (_, record) = layout.push(blake3_of(chunk), Scheme::Raw, chunk.len(), chunk.len());
            bytes.extend_from_slice(&record);
            bytes.extend_from_slice(chunk);
        }
        let (end, facts, entries) = layout.finish();
        bytes.extend_from_slice(&end);
        (bytes, facts, entries)
    }

    proptest! {
        #[test]
        fn a_pack_is_read_by_its_table_and_from_the_front(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            torn in 0usize..1000,
        ) {
            let (bytes, facts, entries) = pack_of(&chunks);
            assert_eq!(facts.length, bytes.len() as u64);
            let trailer = &bytes[bytes.len() - TRAILER..];
            assert_eq!(parse_trailer(facts.name, trailer, facts.length), Ok(facts));
            let range = facts.table_range();
            let table = &bytes[usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")];
            assert_eq!(parse_table(table, &facts).expect("sound"), entries);
            for (entry, chunk) in entries.iter().zip(&chunks) {
                assert_eq!(&bytes[entry.offset as usize..][..entry.stored as usize], &chunk[..]);
            }
            assert_eq!(scan(&bytes), entries);
            let torn = torn.min(bytes.len());
            let found = scan(&bytes[..torn]);
            assert_eq!(found, entries[..found.len()]);
        }

        #[test]
        fn a_flipped_bit_in_a_table_is_seen(bit in 0usize..48 * 8 * 3) {
            let chunks: Vec<Vec<u8>> = (0..3u8).map(|n| vec![n; 100]).collect();
            let (bytes, facts, _) = pack_of(&chunks);
            let range = facts.table_range();
            let mut table =
                bytes[usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")].to_vec();
            table[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_table(&table, &facts).is_err());
        }
    }
}
