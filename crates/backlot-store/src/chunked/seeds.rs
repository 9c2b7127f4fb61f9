//! Which chunks lie in objects of the local cache: what need not come over the network.
//!
//! Index segments beside the cache, of the same format as a remote's. Invariant: an entry is a hint. A chunk that is read
//! from a cache object is proven like one from a remote; objects that are gone are passed over.

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Md5, file, shared};
use fs_err as fs;

use super::index::{self, Segment, SegmentBuilder};
use super::name::{StoredName, name_of};
use super::pack::{Entry, PackFacts};
use super::put::StoredFile;
use super::tiers::{Merger, Sized, due};
use super::wire::{blake3_of, small};
use crate::cache::Cache;
use crate::error::Result;
use crate::holes;
use crate::object::ObjectId;

/// The chunk index of a cache.
#[derive(Debug)]
pub(super) struct Seeds {
    cache: Cache,
    folder: PathBuf,
}

/// An open index.
#[derive(Debug)]
pub(super) struct SeedReader<'a> {
    cache: &'a Cache,
    segments: Vec<Segment>,
}

/// Chunks that follow each other in a file and in a cache object.
#[derive(Debug)]
pub(super) struct SeedRange {
    object: ObjectId,
    /// Where they begin in the object, and among the chunks that were asked about.
    from: u64,
    to: u64,
    pub(super) length: u64,
    pub(super) chunks: Range<usize>,
}

impl Seeds {
    pub(super) fn of(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
            folder: cache.root().join("chunks"),
        }
    }

    /// Remember the chunks of files that are in the cache. Only a hint, so nothing waits for the disk.
    pub(super) fn note(&self, files: &[StoredFile]) -> Result<()> {
        let mut builder = SegmentBuilder::default();
        // A file of one chunk can only be a seed for itself, and then the cache has it whole.
        for stored in files.iter().filter(|f| !f.id.tree && f.chunks.len() > 1) {
            add_file(&mut builder, stored);
        }
        if builder.is_empty() {
            return Ok(());
        }
        self.write(StoredName::fresh(), &builder.finish())?;
        self.merge()
    }

    fn write(&self, name: StoredName, bytes: &[u8]) -> Result<()> {
        Ok(shared::write_for_now(&self.folder.join(name.to_string()), bytes)?)
    }

    fn paths(&self) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        if self.folder.is_dir() {
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if name_of(&path.to_string_lossy()).is_some() {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Make larger segments of small ones, tier by tier, without objects that have left the cache.
    fn merge(&self) -> Result<()> {
        let there = |object: &PackFacts| {
            let id = ObjectId::file(Md5::from_bytes(*object.name.as_bytes()));
            self.cache.object_path(&id).is_file()
        };
        loop {
            let sized =
                |path: &PathBuf| Some((name_of(&path.to_string_lossy())?, fs::metadata(path).ok()?.len()));
            let segments: Vec<Sized> = self.paths()?.iter().filter_map(sized).collect();
            let Some(group) = due(&segments, &Merger::Upkeep) else {
                return Ok(());
            };
            let mut builder = SegmentBuilder::default();
            for name in &group {
                if let Some(segment) = open(&self.folder.join(name.to_string())) {
                    builder.absorb(&segment, &there)?;
                }
            }
            if !builder.is_empty() {
                self.write(StoredName::after(&group), &builder.finish())?;
            }
            for name in &group {
                file::remove(&self.folder.join(name.to_string()))?;
            }
        }
    }

    pub(super) fn open(&self) -> Result<SeedReader<'_>> {
        Ok(SeedReader {
            cache: &self.cache,
            segments: self.paths()?.iter().filter_map(|path| open(path)).collect(),
        })
    }
}

/// A torn or foreign file here is no loss.
fn open(path: &Path) -> Option<Segment> {
    Segment::open(path).ok()
}

fn add_file(builder: &mut SegmentBuilder, stored: &StoredFile) {
    builder.container(PackFacts {
        name: StoredName::from_bytes(*stored.id.md5.as_bytes()),
        table: stored.digests.blake3,
        length: stored.digests.size,
        chunks: small(stored.chunks.len()),
    });
    let mut offset = 0;
    for (id, raw) in &stored.chunks {
        builder.push(id, *raw, offset);
        offset += u64::from(*raw);
    }
}

impl SeedReader<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// A chunk from a cache object, proven.
    pub(super) fn read(&self, id: &Blake3, raw: u32) -> Option<Vec<u8>> {
        for segment in &self.segments {
            for location in segment.find(id).ok()? {
                if location.raw == raw
                    && let Some(bytes) = self.read_at(&location)
                    && blake3_of(&bytes) == *id
                {
                    return Some(bytes);
                }
            }
        }
        None
    }

    /// Whether a chunk lies in a cache object, as far as the index knows. `there`: which objects are in the cache, as far as it was asked.
    pub(super) fn knows(&self, entry: &Entry, there: &mut HashMap<ObjectId, bool>) -> bool {
        !self.segments.is_empty() && !self.locations(entry, there).is_empty()
    }

    /// Which of the chunks that follow each other in a file lie in cache objects, as far as the index knows: no object is
    /// read and no chunk proven.
    pub(super) fn ranges(&self, chunks: &[(StoredName, Entry)]) -> Vec<SeedRange> {
        let mut ranges: Vec<SeedRange> = Vec::new();
        let (mut there, mut offset) = (HashMap::new(), 0);
        for (number, (_, entry)) in chunks.iter().enumerate() {
            let before = ranges.last_mut().filter(|range| range.chunks.end == number);
            let locations = self.locations(entry, &mut there);
            let goes_on = before.as_ref().is_some_and(|range| {
                let next = (range.object, range.from + range.length);
                locations.contains(&next)
            });
            match (before, locations.first()) {
                (Some(range), _) if goes_on => {
                    range.chunks.end += 1;
                    range.length += u64::from(entry.raw);
                }
                (_, Some((object, from))) => ranges.push(SeedRange {
                    object: *object,
                    from: *from,
                    to: offset,
                    length: u64::from(entry.raw),
                    chunks: number..number + 1,
                }),
                (_, None) => {}
            }
            offset += u64::from(entry.raw);
        }
        ranges
    }

    /// The objects that have a chunk, and where. `there`: which are in the cache, as far as it was asked.
    fn locations(&self, entry: &Entry, there: &mut HashMap<ObjectId, bool>) -> Vec<(ObjectId, u64)> {
        let found = self
            .segments
            .iter()
            .filter_map(|s| s.find(&entry.id).ok())
            .flatten();
        let right = found.filter(|location| location.raw == entry.raw);
        right
            .map(|one| {
                (
                    ObjectId::file(Md5::from_bytes(*one.container.name.as_bytes())),
                    one.place,
                )
            })
            .filter(|(object, _)| {
                let is_there = || self.cache.object_path(object).is_file();
                *there.entry(*object).or_insert_with(is_there)
            })
            .collect()
    }

    /// Copy a range to its place in a part of a file that begins at `offset`, where nothing is yet.
    pub(super) fn copy(&self, range: &SeedRange, file: &fs::File, offset: u64) -> std::io::Result<()> {
        let source = fs::File::open(self.cache.object_path(&range.object))?;
        holes::copy_range((&source, range.from), (file, offset + range.to), range.length)
    }

    fn read_at(&self, location: &index::Location) -> Option<Vec<u8>> {
        use std::io::{Seek as _, SeekFrom};
        let object = ObjectId::file(Md5::from_bytes(*location.container.name.as_bytes()));
        let mut file = fs::File::open(self.cache.object_path(&object)).ok()?;
        file.seek(SeekFrom::Start(location.place)).ok()?;
        let mut bytes = vec![0; location.raw as usize];
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}
