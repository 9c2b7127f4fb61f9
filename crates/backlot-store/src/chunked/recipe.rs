//! Recipe segments: which chunks make which file. They are what a remote holds; packs without them are nobody's.
//!
//! A file is runs of chunks of packs, in order. Invariants: a segment is written once, whole, after the packs it names;
//! the newest segment that has a file counts. Format in `docs/format/remote-chunked.md`.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use backlot_core::{Blake3, Md5};
use fs_err as fs;

use super::name::StoredName;
use super::pack::{FACTS, PackFacts};
use super::table::{Near, SortedTable, fence_count, fences_of};
use super::wire::{Malformed, Reader, SEAL, seal, small, unseal};
use crate::object::ObjectId;

const MAGIC: [u8; 8] = *b"BKLRCPE1";
const HEADER: usize = 24;
const FILE: usize = 80;
const RUN: usize = 12;

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
    pub(super) runs: Vec<Run>,
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

    /// The bytes of the segment.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.files.sort_unstable_by_key(|file| file.id);
        self.files.dedup_by_key(|file| file.id);
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
            bytes.extend_from_slice(&[u8::from(file.id.tree), 0, 0, 0, 0, 0, 0, 0]);
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
            return Err("its length does not fit its header");
        }
        Ok(Self { packs, files, runs })
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
        Err("its length does not fit its header")
    }
}

/// A segment in a local file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: StoredName,
    header: Header,
    packs: Vec<PackFacts>,
    table: SortedTable,
}

fn malformed(why: Malformed) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}

impl Segment {
    /// Open a segment that was checked when it got here.
    pub(super) fn open(name: StoredName, path: &Path) -> std::io::Result<Self> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; HEADER];
        file.read_exact(&mut head)?;
        let header = Header::read(&mut Reader::new(&head)).map_err(malformed)?;
        if header.length() != length {
            return Err(malformed("its length does not fit its header"));
        }
        let mut bytes = vec![0; usize::try_from(header.packs).unwrap_or(0) * FACTS];
        file.read_exact(&mut bytes)?;
        let packs = parse_packs(&bytes).map_err(malformed)?;
        let mut words = vec![0; usize::try_from(fence_count(header.files)).unwrap_or(0) * 8];
        std::os::unix::fs::FileExt::read_exact_at(file.file(), &mut words, header.fences())?;
        let table = SortedTable::new(file, header.table(), FILE, header.files, &words).map_err(malformed)?;
        Ok(Self {
            name,
            header,
            packs,
            table,
        })
    }

    pub(super) fn packs(&self) -> &[PackFacts] {
        &self.packs
    }

    /// The recipe of a file, if this segment has it.
    pub(super) fn find(&self, id: &ObjectId, near: &mut Near) -> std::io::Result<Option<Recipe>> {
        for record in self.table.find(id.md5.as_bytes(), near)? {
            let recipe = self.parse(&record, near)?;
            if recipe.id == *id {
                return Ok(Some(recipe));
            }
        }
        Ok(None)
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
            .ok_or_else(|| malformed("a file has chunks that are not there"))?;
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
                return Err("a file has chunks that are not there");
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
    reader.take(7)?;
    let size = reader.u64()?;
    let blake3 = Blake3::from_bytes(reader.array()?);
    let recipe = Recipe {
        id: ObjectId { md5, tree },
        size,
        blake3,
        runs: Vec::new(),
    };
    Ok((recipe, reader.u64()?, reader.u64()?))
}

fn parse_packs(bytes: &[u8]) -> Result<Vec<PackFacts>, Malformed> {
    let packs = PackFacts::read_all(bytes)?;
    if packs.iter().all(PackFacts::is_possible) {
        Ok(packs)
    } else {
        Err("it names a pack that cannot be")
    }
}

#[cfg(test)]
mod tests {
    use super::{Recipe, Run, Segment, SegmentBuilder, check};
    use crate::chunked::name::StoredName;
    use crate::chunked::pack::PackFacts;
    use crate::chunked::table::Near;
    use crate::chunked::wire::blake3_of;
    use crate::object::ObjectId;
    use backlot_core::Md5;
    use fs_err as fs;
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
            let mut recipes = std::collections::BTreeMap::new();
            let mut twice = std::collections::BTreeSet::new();
            for (md5, tree, runs) in files {
                let id = ObjectId { md5: Md5::from_bytes(md5), tree };
                let runs = runs.into_iter().map(|(pack, first, count)| Run { pack: builder.pack(&facts(pack)), first, count });
                let recipe = Recipe { id, size: 7, blake3: blake3_of(&md5), runs: runs.collect() };
                if recipes.insert(id, recipe.clone()).is_none() {
                    builder.push(recipe);
                } else {
                    builder.push(recipe);
                    twice.insert(id);
                }
            }
            let bytes = builder.finish();
            check(&bytes).expect("sound");
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("segment");
            fs::write(&path, &bytes).expect("written");
            let segment = Segment::open(StoredName::fresh(), &path).expect("opened");
            let mut seen = 0;
            segment.each(|recipe| {
                assert!(recipes.contains_key(&recipe.id));
                seen += 1;
                Ok::<(), std::io::Error>(())
            }).expect("read");
            assert_eq!(seen, recipes.len());
            // In order, and against it.
            let mut near = Near::default();
            for (id, recipe) in recipes.iter().chain(recipes.iter().rev()) {
                let found = segment.find(id, &mut near).expect("read").expect("there");
                assert!(found == *recipe || found.id == *id && twice.contains(id));
            }
            let absent = ObjectId::file(Md5::from_bytes([0xfe; 16]));
            assert_eq!(segment.find(&absent, &mut near).expect("read").is_some(), recipes.contains_key(&absent));
            let mut torn = bytes.clone();
            let at = flip.index(torn.len());
            torn[at] ^= 4;
            assert!(check(&torn).is_err());
            assert!(check(&bytes[..at]).is_err());
        }
    }
}
