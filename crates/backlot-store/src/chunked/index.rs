//! Index segments: the location of each chunk. Derived from packs (or from cache objects) and rebuilt from them when lost.
//!
//! One format serves the remote (chunk to pack and position) and the cache (chunk to object and offset). Invariant: an
//! entry is a hint; who follows it proves the chunk or looks after the pack. Format in `docs/format/remote-chunked.md`.

use std::collections::HashSet;
use std::path::Path;

use backlot_core::Blake3;

use super::name::StoredName;
use super::pack::{FACTS, PackFacts};
use super::segment_bytes::SegmentBytes;
use super::table::{Near, SortedTable, fence_count, fences_of};
use super::wire::{Malformed, Reader, SEAL, seal, small, unseal};

const MAGIC: [u8; 8] = *b"BKLINDX1";
const HEADER: usize = 24;
const ENTRY: usize = 48;
/// The size of a container summary.
const CONTAINER: usize = FACTS;

/// The object that holds chunks: a pack, or a cache object (its MD5 as the name, its BLAKE3 in place of the table's).
pub(super) type Container = PackFacts;

/// The location of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) container: Container,
    /// The chunk's length.
    pub(super) raw: u32,
    /// In a pack its position; in a cache object its offset.
    pub(super) place: u64,
}

/// A segment that is being made.
#[derive(Debug, Default)]
pub(super) struct SegmentBuilder {
    containers: Vec<Container>,
    /// Those that were taken over from other segments.
    absorbed: HashSet<StoredName>,
    entries: Vec<[u8; ENTRY]>,
}

impl SegmentBuilder {
    /// A container; the chunks that follow are its.
    pub(super) fn container(&mut self, container: Container) {
        self.containers.push(container);
    }

    /// A chunk of the last container.
    pub(super) fn push(&mut self, id: &Blake3, raw: u32, place: u64) {
        let container = small(self.containers.len().saturating_sub(1));
        let mut entry = [0; ENTRY];
        entry[..32].copy_from_slice(id.as_bytes());
        entry[32..36].copy_from_slice(&container.to_le_bytes());
        entry[36..40].copy_from_slice(&raw.to_le_bytes());
        entry[40..].copy_from_slice(&place.to_le_bytes());
        self.entries.push(entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// Take over the containers of another segment that `keep` accepts, with their chunks. What was taken over before is not
    /// taken again: a segment names all chunks of a container or none, so the first is as good as any.
    pub(super) fn absorb(
        &mut self,
        segment: &Segment,
        keep: &dyn Fn(&Container) -> bool,
    ) -> std::io::Result<()> {
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(segment.containers.len());
        for container in &segment.containers {
            let wanted = keep(container) && self.absorbed.insert(container.name);
            moved.push(wanted.then(|| {
                self.containers.push(*container);
                small(self.containers.len() - 1)
            }));
        }
        segment.table.each(|record| {
            let mut entry = [0; ENTRY];
            entry.copy_from_slice(record);
            let old = u32::from_le_bytes([entry[32], entry[33], entry[34], entry[35]]);
            if let Some(Some(new)) = moved.get(old as usize) {
                entry[32..36].copy_from_slice(&new.to_le_bytes());
                self.entries.push(entry);
            }
            Ok::<(), std::io::Error>(())
        })
    }

    /// The bytes of the segment.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entries.sort_unstable();
        let mut bytes =
            Vec::with_capacity(HEADER + self.containers.len() * CONTAINER + self.entries.len() * 49 + SEAL);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&small(self.containers.len()).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for container in &self.containers {
            container.write_to(&mut bytes);
        }
        let start = bytes.len();
        for entry in &self.entries {
            bytes.extend_from_slice(entry);
        }
        let fences = fences_of(&bytes[start..], ENTRY);
        bytes.extend_from_slice(&fences);
        seal(&mut bytes);
        bytes
    }
}

/// A segment that can be looked up.
#[derive(Debug)]
pub(super) struct Segment {
    containers: Vec<Container>,
    table: SortedTable,
}

/// Whether bytes are a sound segment; asked once, when they arrive.
pub(super) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let content = unseal(bytes)?;
    let mut reader = Reader::new(content);
    let (containers, entries) = header(&mut reader)?;
    if content.len() as u64
        == HEADER as u64 + containers * CONTAINER as u64 + entries * ENTRY as u64 + fence_count(entries) * 8
    {
        Ok(())
    } else {
        Err("its length does not match its header")
    }
}

/// Whether a segment's length fits its header.
pub(super) fn has_shape(bytes: &SegmentBytes) -> bool {
    Segment::shape(bytes).is_ok()
}

fn header(reader: &mut Reader<'_>) -> Result<(u64, u64), Malformed> {
    reader.magic(MAGIC)?;
    let containers = u64::from(reader.u32()?);
    reader.take(4)?;
    let entries = reader.u64()?;
    if entries > 1 << 40 {
        return Err("its length does not match its header");
    }
    Ok((containers, entries))
}

fn malformed(why: Malformed) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}

impl Segment {
    /// Open a local file that was checked when it got here.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        Self::of(SegmentBytes::open(path)?)
    }

    /// How many containers and entries a segment has.
    fn shape(bytes: &SegmentBytes) -> std::io::Result<(u64, u64)> {
        let head = bytes.part(0, HEADER as u64)?;
        let (containers, entries) = header(&mut Reader::new(&head)).map_err(malformed)?;
        let records = HEADER as u64 + containers * CONTAINER as u64 + entries * ENTRY as u64;
        if bytes.len()? == records + fence_count(entries) * 8 + SEAL as u64 {
            Ok((containers, entries))
        } else {
            Err(malformed("its length does not match its header"))
        }
    }

    /// A segment of bytes that were checked when they got here.
    pub(super) fn of(bytes: SegmentBytes) -> std::io::Result<Self> {
        let (containers, entries) = Self::shape(&bytes)?;
        let table = HEADER as u64 + containers * CONTAINER as u64;
        let fences = table + entries * ENTRY as u64;
        let names = bytes.part(HEADER as u64, containers * CONTAINER as u64)?;
        let words = bytes.part(fences, fence_count(entries) * 8)?;
        Ok(Self {
            containers: PackFacts::read_all(&names).map_err(malformed)?,
            table: SortedTable::new(bytes, table, ENTRY, entries, &words).map_err(malformed)?,
        })
    }

    /// All locations of a chunk.
    pub(super) fn find(&self, id: &Blake3) -> std::io::Result<Vec<Location>> {
        let found = self.table.find(id.as_bytes(), &mut Near::default())?;
        Ok(found.iter().filter_map(|record| self.location(record)).collect())
    }

    fn location(&self, record: &[u8]) -> Option<Location> {
        let mut reader = Reader::new(record.get(32..)?);
        let container = *self.containers.get(reader.u32().ok()? as usize)?;
        Some(Location {
            container,
            raw: reader.u32().ok()?,
            place: reader.u64().ok()?,
        })
    }

    pub(super) fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// Its bytes.
    pub(super) const fn bytes(&self) -> &SegmentBytes {
        self.table.segment()
    }

    #[cfg(test)]
    pub(super) const fn count(&self) -> u64 {
        self.table.count()
    }
}

#[cfg(test)]
mod tests {
    use super::{Segment, SegmentBuilder, check};
    use crate::chunked::name::StoredName;
    use crate::chunked::pack::PackFacts;
    use crate::chunked::wire::blake3_of;
    use fs_err as fs;

    #[test]
    fn at_scale_a_segment_holds_one_word_in_memory_for_64_chunks_and_finds_each() {
        const PACKS: u64 = 250;
        const CHUNKS: u64 = 1000;
        let id = |n: u64| blake3_of(&n.to_le_bytes());
        let mut builder = SegmentBuilder::default();
        for pack in 0..PACKS {
            builder.container(PackFacts {
                name: StoredName::from_bytes(u128::from(pack).to_le_bytes()),
                table: id(pack),
                length: 64 << 20,
                chunks: 1000,
            });
            for chunk in 0..CHUNKS {
                builder.push(&id(pack * CHUNKS + chunk), 65_536, chunk);
            }
        }
        let bytes = builder.finish();
        check(&bytes).expect("sound");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("segment");
        fs::write(&path, &bytes).expect("written");
        let segment = Segment::open(&path).expect("opened");
        assert_eq!(segment.count(), PACKS * CHUNKS);
        assert_eq!(
            segment.table.words_in_memory() as u64,
            (PACKS * CHUNKS).div_ceil(64)
        );
        for n in (0..PACKS * CHUNKS).step_by(997) {
            let found = segment.find(&id(n)).expect("read");
            assert_eq!(found.len(), 1);
            assert_eq!(
                (found[0].place, found[0].container.table),
                (n % CHUNKS, id(n / CHUNKS))
            );
        }
        for n in PACKS * CHUNKS..PACKS * CHUNKS + 1000 {
            assert!(segment.find(&id(n)).expect("read").is_empty());
        }
    }
}
