//! Recipe segments: the chunks of each file. They are the contents of a remote; packs without them are garbage.
//!
//! A file is runs of chunks of packs, in order. Invariants: a segment is written once, whole, after the packs it names;
//! the newest segment that has a file counts. Format in `docs/format/remote-chunked.md`.

use std::collections::HashMap;

use backlot_core::clock::Timestamp;
use backlot_core::{Blake3, Md5};

use super::name::StoredName;
use super::pack::{FACTS, PackFacts};
use super::segment_bytes::SegmentBytes;
use super::table::{Near, SortedTable, fence_count, fences_of};
use super::wire::{Malformed, Reader, SEAL, seal, small, unseal};
use crate::object::ObjectId;

const MAGIC: [u8; 8] = *b"BKLRCPE1";
const HEADER: usize = 24;
const FILE: usize = 80;
const RUN: usize = 12;
/// Bytes of a time in milliseconds: enough for 8,900 years.
const TIME: usize = 6;

/// Neighbouring chunks of one pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Which pack, by its position in the segment's list.
    pub(super) pack: u32,
    /// The position of the first chunk.
    pub(super) first: u32,
    /// How many.
    pub(super) count: u32,
}

/// A file of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) id: ObjectId,
    pub(super) size: u64,
    pub(super) blake3: Blake3,
    /// When it was stored, by the clock of the service; `None` as long as the time of its segment tells.
    pub(super) stored: Option<Timestamp>,
    pub(super) runs: Vec<Run>,
}

impl Recipe {
    /// Whether two recipes make the same file of the same chunks, by the numbers of one segment.
    fn is_same(&self, other: &Self) -> bool {
        (self.id, self.size, self.blake3) == (other.id, other.size, other.blake3) && self.runs == other.runs
    }
}

/// A segment that is being made.
#[derive(Debug, Default)]
pub(super) struct SegmentBuilder {
    packs: Vec<PackFacts>,
    numbers: HashMap<StoredName, u32>,
    files: Vec<Recipe>,
}

impl SegmentBuilder {
    /// The number of a pack in this segment.
    pub(super) fn pack(&mut self, facts: &PackFacts) -> u32 {
        *self.numbers.entry(facts.name).or_insert_with(|| {
            self.packs.push(*facts);
            small(self.packs.len() - 1)
        })
    }

    /// Append a chunk to a list of runs.
    pub(super) fn extend(runs: &mut Vec<Run>, pack: u32, position: u32) {
        match runs.last_mut() {
            Some(run) if run.pack == pack && run.first + run.count == position => run.count += 1,
            _ => runs.push(Run {
                pack,
                first: position,
                count: 1,
            }),
        }
    }

    pub(super) fn push(&mut self, recipe: Recipe) {
        self.files.push(recipe);
    }
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
    pub(super) fn packs(&self) -> &[PackFacts] {
        &self.packs
    }

    /// Take over all recipes of another segment. The result is their union: of a file with several recipes, each that
    /// names other chunks stays, those of the segments that were taken over first before the others.
    pub(super) fn absorb(&mut self, segment: &Segment) -> std::io::Result<()> {
        segment.each(|recipe| {
            let moved = self.moved(&recipe, segment);
            self.push(moved);
            Ok(())
        })
    }

    /// A recipe of another segment as it is in this one.
    pub(super) fn moved(&mut self, recipe: &Recipe, from: &Segment) -> Recipe {
        let run = |run: &Run| {
            from.packs().get(run.pack as usize).map(|facts| Run {
                pack: self.pack(facts),
                ..*run
            })
        };
        Recipe {
            runs: recipe.runs.iter().filter_map(run).collect(),
            stored: from.stored(recipe),
            ..*recipe
        }
    }

    /// How many recipes it has so far.
    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    /// Make it a set: in order, nothing twice.
    fn settle(&mut self) {
        self.files.sort_by_key(|file| file.id);
        let mut kept: Vec<Recipe> = Vec::with_capacity(self.files.len());
        for file in self.files.drain(..) {
            let twin = kept
                .iter_mut()
                .rev()
                .take_while(|known| known.id == file.id)
                .find(|known| known.is_same(&file));
            match twin {
                // It was stored when it was stored first.
                Some(twin) => twin.stored = twin.stored.min(file.stored).or(twin.stored).or(file.stored),
                None => kept.push(file),
            }
        }
        self.files = kept;
    }

    /// The bytes of the segment.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.settle();
        let runs: usize = self.files.iter().map(|f| f.runs.len()).sum();
        let mut bytes =
            Vec::with_capacity(HEADER + self.packs.len() * FACTS + self.files.len() * 81 + runs * RUN + SEAL);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&small(self.packs.len()).to_le_bytes());
        bytes.extend_from_slice(&small(self.files.len()).to_le_bytes());
        bytes.extend_from_slice(&(runs as u64).to_le_bytes());
        for pack in &self.packs {
            pack.write_to(&mut bytes);
        }
        let start = bytes.len();
        let mut first = 0u64;
        for file in &self.files {
            bytes.extend_from_slice(file.id.md5.as_bytes());
            bytes.push(u8::from(file.id.tree));
            bytes.extend_from_slice(&file.stored.map_or(0, |time| time.0).to_le_bytes()[..TIME]);
            bytes.push(0);
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.extend_from_slice(file.blake3.as_bytes());
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&(file.runs.len() as u64).to_le_bytes());
            first += file.runs.len() as u64;
        }
        let fences = fences_of(&bytes[start..], FILE);
        bytes.extend_from_slice(&fences);
        for run in self.files.iter().flat_map(|f| &f.runs) {
            bytes.extend_from_slice(&run.pack.to_le_bytes());
            bytes.extend_from_slice(&run.first.to_le_bytes());
            bytes.extend_from_slice(&run.count.to_le_bytes());
        }
        seal(&mut bytes);
        bytes
    }
}

#[derive(Clone, Copy, Debug)]
struct Header {
    packs: u64,
    files: u64,
    runs: u64,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.magic(MAGIC)?;
        let (packs, files) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
        let runs = reader.u64()?;
        if runs > 1 << 40 {
            return Err("its length does not match its header");
        }
        Ok(Self { packs, files, runs })
    }
    /// That of a segment, if its length is what it says.
    fn of(bytes: &SegmentBytes) -> std::io::Result<Self> {
        let head = bytes.part(0, HEADER as u64)?;
        let header = Self::read(&mut Reader::new(&head)).map_err(malformed)?;
        if header.length() == bytes.len()? {
            Ok(header)
        } else {
            Err(malformed("its length does not match its header"))
        }
    }
    const fn table(&self) -> u64 {
        HEADER as u64 + self.packs * FACTS as u64
    }
    const fn fences(&self) -> u64 {
        self.table() + self.files * FILE as u64
    }
    const fn runs(&self) -> u64 {
        self.fences() + fence_count(self.files) * 8
    }
    const fn length(&self) -> u64 {
        self.runs() + self.runs * RUN as u64 + SEAL as u64
    }
}

/// Whether bytes are a sound segment; asked once, when they arrive.
pub(super) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    unseal(bytes)?;
    if Header::read(&mut Reader::new(bytes))?.length() == bytes.len() as u64 {
        Ok(())
    } else {
        Err("its length does not match its header")
    }
}

/// Whether a segment's length fits its header.
pub(super) fn has_shape(bytes: &SegmentBytes) -> bool {
    Header::of(bytes).is_ok()
}

/// A segment that can be looked up.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: StoredName,
    /// When it was written, by the clock of the service.
    pub(super) written: Option<Timestamp>,
    header: Header,
    packs: Vec<PackFacts>,
    table: SortedTable,
}

fn malformed(why: Malformed) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}

impl Segment {
    /// A segment of bytes that were checked when they got here.
    pub(super) fn of(
        name: StoredName,
        written: Option<Timestamp>,
        bytes: SegmentBytes,
    ) -> std::io::Result<Self> {
        let header = Header::of(&bytes)?;
        let packs = bytes.part(HEADER as u64, header.packs * FACTS as u64)?;
        let packs = parse_packs(&packs).map_err(malformed)?;
        let words = bytes.part(header.fences(), fence_count(header.files) * 8)?;
        let table = SortedTable::new(bytes, header.table(), FILE, header.files, &words).map_err(malformed)?;
        Ok(Self {
            name,
            written,
            header,
            packs,
            table,
        })
    }

    /// Its bytes.
    pub(super) const fn bytes(&self) -> &SegmentBytes {
        self.table.segment()
    }

    /// When a recipe of it was stored, by the clock of the service.
    pub(super) fn stored(&self, recipe: &Recipe) -> Option<Timestamp> {
        recipe.stored.or(self.written)
    }

    pub(super) fn packs(&self) -> &[PackFacts] {
        &self.packs
    }

    /// The recipes of a file in this segment, the preferred one first.
    pub(super) fn find(&self, id: &ObjectId, near: &mut Near) -> std::io::Result<Vec<Recipe>> {
        let records = self.table.find(id.md5.as_bytes(), near)?;
        let recipes = records.iter().map(|record| self.parse(record, near));
        recipes
            .filter(|recipe| recipe.as_ref().map_or(true, |recipe| recipe.id == *id))
            .collect()
    }

    /// Visit every recipe, in order of names.
    pub(super) fn each<E: From<std::io::Error>>(
        &self,
        mut visit: impl FnMut(Recipe) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut near = Near::default();
        self.table.each(|record| visit(self.parse(record, &mut near)?))
    }

    fn parse(&self, record: &[u8], near: &mut Near) -> std::io::Result<Recipe> {
        let (mut recipe, first, count) = parse_file(record).map_err(malformed)?;
        let end = first.checked_add(count).filter(|end| *end <= self.header.runs);
        let count = end
            .and_then(|_| usize::try_from(count).ok())
            .ok_or_else(|| malformed("a file refers to missing chunks"))?;
        if count > 0 {
            let bytes = self
                .table
                .read_at(self.header.runs() + first * RUN as u64, count * RUN, near)?;
            recipe.runs = self.parse_runs(bytes).map_err(malformed)?;
        }
        Ok(recipe)
    }

    fn parse_runs(&self, bytes: &[u8]) -> Result<Vec<Run>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut runs = Vec::with_capacity(bytes.len() / RUN);
        while !reader.is_empty() {
            let run = Run {
                pack: reader.u32()?,
                first: reader.u32()?,
                count: reader.u32()?,
            };
            let chunks = self.packs.get(run.pack as usize).map_or(0, |pack| pack.chunks);
            if run.first.checked_add(run.count).is_none_or(|end| end > chunks) {
                return Err("a file refers to missing chunks");
            }
            runs.push(run);
        }
        Ok(runs)
    }
}

fn parse_file(record: &[u8]) -> Result<(Recipe, u64, u64), Malformed> {
    let mut reader = Reader::new(record);
    let md5 = Md5::from_bytes(reader.array()?);
    let tree = reader.byte()? != 0;
    let mut time = [0; 8];
    time[..TIME].copy_from_slice(reader.take(TIME)?);
    reader.take(1)?;
    let time = u64::from_le_bytes(time);
    let size = reader.u64()?;
    let blake3 = Blake3::from_bytes(reader.array()?);
    let recipe = Recipe {
        id: ObjectId { md5, tree },
        size,
        blake3,
        stored: (time > 0).then_some(Timestamp(time)),
        runs: Vec::new(),
    };
    Ok((recipe, reader.u64()?, reader.u64()?))
}

fn parse_packs(bytes: &[u8]) -> Result<Vec<PackFacts>, Malformed> {
    let packs = PackFacts::read_all(bytes)?;
    if packs.iter().all(PackFacts::is_possible) {
        Ok(packs)
    } else {
        Err("it refers to an impossible pack")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Recipe, Run, Segment, SegmentBuilder, check};
    use crate::chunked::name::StoredName;
    use crate::chunked::pack::PackFacts;
    use crate::chunked::segment_bytes::SegmentBytes;
    use crate::chunked::table::Near;
    use crate::chunked::wire::blake3_of;
    use crate::object::ObjectId;
    use backlot_core::Md5;
    use backlot_core::clock::Timestamp;
    use proptest::prelude::{any, prop, proptest};

    fn facts(n: u8) -> PackFacts {
        PackFacts {
            name: StoredName::from_bytes([n; 16]),
            table: blake3_of(&[n]),
            length: 100_000,
            chunks: 500,
        }
    }

    proptest! {
        #[test]
        fn a_recipe_is_found_as_it_was_written(
            files in prop::collection::vec((any::<[u8; 16]>(), any::<bool>(), prop::collection::vec((0u8..5, 0u32..400, 1u32..100), 0..6)), 0..300),
            flip in any::<prop::sample::Index>(),
        ) {
            let mut builder = SegmentBuilder::default();
            let mut recipes: BTreeMap<ObjectId, Vec<Recipe>> = BTreeMap::new();
            for (n, (md5, tree, runs)) in files.into_iter().enumerate() {
                let id = ObjectId { md5: Md5::from_bytes(md5), tree };
                let runs = runs.into_iter().map(|(pack, first, count)| Run { pack: builder.pack(&facts(pack)), first, count });
                let stored = (n % 3 > 0).then_some(Timestamp(1_700_000_000_000 + n as u64));
                let recipe = Recipe { id, size: 7, blake3: blake3_of(&md5), stored, runs: runs.collect() };
                builder.push(recipe.clone());
                let known = recipes.entry(id).or_default();
                if !known.iter().any(|one| one.runs == recipe.runs) {
                    known.push(recipe);
                }
            }
            let bytes = builder.finish();
            check(&bytes).expect("sound");
            let segment = Segment::of(StoredName::fresh(), None, SegmentBytes::Memory(bytes.clone())).expect("opened");
            let mut seen = 0;
            segment.each(|recipe| {
                assert!(recipes.contains_key(&recipe.id));
                seen += 1;
                Ok::<(), std::io::Error>(())
            }).expect("read");
            assert_eq!(seen, recipes.values().map(Vec::len).sum::<usize>());
            // In order, and against it.
            let mut near = Near::default();
            for (id, known) in recipes.iter().chain(recipes.iter().rev()) {
                let found = segment.find(id, &mut near).expect("read");
                assert_eq!(found.iter().map(|one| &one.runs).collect::<Vec<_>>(), known.iter().map(|one| &one.runs).collect::<Vec<_>>());
                assert!(found.iter().zip(known).all(|(found, known)| found.stored == known.stored || found.stored.is_some()));
            }
            let absent = ObjectId::file(Md5::from_bytes([0xfe; 16]));
            assert_eq!(segment.find(&absent, &mut near).expect("read").is_empty(), !recipes.contains_key(&absent));
            // Merging it with itself gives the same.
            let mut union = SegmentBuilder::default();
            for _ in 0..2 {
                union.absorb(&segment).expect("read");
            }
            let union = Segment::of(StoredName::fresh(), None, SegmentBytes::Memory(union.finish())).expect("opened");
            let mut again = 0;
            union.each(|_| { again += 1; Ok::<(), std::io::Error>(()) }).expect("read");
            assert_eq!(again, seen);
            let mut torn = bytes.clone();
            let at = flip.index(torn.len());
            torn[at] ^= 4;
            assert!(check(&torn).is_err());
            assert!(check(&bytes[..at]).is_err());
        }
    }
}
