//! What a remote holds, as far as its recipe and index segments tell, mirrored in a local folder.
//!
//! Segments never change, so each is fetched once, proven, and read from the mirror from then on. Invariants: tombs are
//! read before recipes and indexes (the order of the protocol in `docs/format/remote-chunked.md`); a damaged segment is
//! passed over with a warning and remembered, so that what it held is not reported as never pushed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Context, file};
use fs_err as fs;

use super::blob::BlobStore;
use super::index::{self, Location};
use super::name::{Kind, StoredName, name_of};
use super::pack::PackFacts;
use super::recipe::{self, Recipe};
use super::table::Near;
use super::tomb::{self, Condemned, Tomb};
use super::wire::Malformed;
use crate::error::{Error, Result};
use crate::object::ObjectId;
use crate::parallel::each;

/// Files that are asked for together where what is found need not be kept: some 16 MiB.
pub(super) const TOGETHER: usize = 1 << 16;

/// Recipes and tombs of a remote at one moment.
#[derive(Debug)]
pub(super) struct Catalog {
    /// The newest first.
    pub(super) recipes: Vec<recipe::Segment>,
    pub(super) tombs: Vec<Tomb>,
    pub(super) condemned: Condemned,
    /// Keys of recipe segments that cannot be read.
    pub(super) damaged: Vec<String>,
}

/// A recipe with the segment it is in.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    pub(super) recipe: Recipe,
    pub(super) segment: &'a recipe::Segment,
}

impl Found<'_> {
    /// The packs it needs.
    pub(super) fn packs(&self) -> impl Iterator<Item = &PackFacts> {
        self.recipe
            .runs
            .iter()
            .filter_map(|run| self.segment.packs().get(run.pack as usize))
    }
}

impl Catalog {
    /// Read tombs, then recipes.
    pub(super) fn load(blobs: &dyn BlobStore, mirror: &Path, context: &Context) -> Result<Self> {
        let tombs = tomb::read_all(blobs)?;
        let (names, damaged) = sync(blobs, Kind::Recipe, mirror, recipe::check, context)?;
        let mut recipes = Vec::with_capacity(names.len());
        for name in names.into_iter().rev() {
            recipes.push(recipe::Segment::open(
                name,
                &mirrored(mirror, Kind::Recipe, name),
            )?);
        }
        Ok(Self {
            recipes,
            condemned: Condemned::by(&tombs),
            tombs,
            damaged,
        })
    }

    /// Every recipe of each file, the newest first.
    pub(super) fn find_all(&self, ids: &[ObjectId]) -> Result<Vec<Vec<Found<'_>>>> {
        let mut found = vec![Vec::new(); ids.len()];
        self.visit(ids, |n, one| {
            found[n].push(one);
            false
        })?;
        Ok(found)
    }

    /// The newest recipe of each file that somebody can use.
    pub(super) fn find_with(
        &self,
        ids: &[ObjectId],
        usable: impl Fn(usize, &Found<'_>) -> bool,
    ) -> Result<Vec<Option<Found<'_>>>> {
        let mut found = vec![None; ids.len()];
        self.visit(ids, |n, one| {
            let right = usable(n, &one);
            if right {
                found[n] = Some(one);
            }
            right
        })?;
        Ok(found)
    }

    /// The recipe of each file that a reader should use: the newest one that nobody condemned, else the newest.
    pub(super) fn find(&self, ids: &[ObjectId]) -> Result<Vec<Option<Found<'_>>>> {
        let mut found = vec![None; ids.len()];
        self.visit(ids, |n, one| {
            let right = self.is_clean(&one);
            if right || found[n].is_none() {
                found[n] = Some(one);
            }
            right
        })?;
        Ok(found)
    }

    /// Show the recipes of files, of each the newest first, until `visit` says that it was the right one. Segments are read in
    /// the order of the files' names, so each part of them once.
    fn visit<'a>(&'a self, ids: &[ObjectId], mut visit: impl FnMut(usize, Found<'a>) -> bool) -> Result<()> {
        let mut open: Vec<usize> = (0..ids.len()).collect();
        open.sort_unstable_by_key(|n| ids[*n]);
        for segment in &self.recipes {
            let mut near = Near::default();
            let mut rest = Vec::with_capacity(open.len());
            for n in open {
                let recipe = segment.find(&ids[n], &mut near)?;
                if !recipe.is_some_and(|recipe| visit(n, Found { recipe, segment })) {
                    rest.push(n);
                }
            }
            open = rest;
            if open.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Whether some pack that a recipe names is unknown to an index: then a segment of it was lost.
    pub(super) fn misses_some_of(&self, known: &HashSet<StoredName>) -> bool {
        let packs = self.recipes.iter().flat_map(recipe::Segment::packs);
        packs
            .filter(|pack| !self.condemned.packs.contains(&pack.name))
            .any(|pack| !known.contains(&pack.name))
    }

    /// Whether neither a recipe's segment nor any of its packs is condemned.
    pub(super) fn is_clean(&self, found: &Found<'_>) -> bool {
        !self.condemned.recipes.contains(&found.segment.name)
            && found
                .packs()
                .all(|pack| !self.condemned.packs.contains(&pack.name))
    }
}

/// The chunks of a remote's packs.
#[derive(Debug, Default)]
pub(super) struct Index {
    segments: Vec<(StoredName, index::Segment)>,
    /// Keys of segments that cannot be read.
    pub(super) damaged: Vec<String>,
}

/// More segments than this are merged by whoever pushes next.
const MANY: usize = 16;
/// Segments with more chunks than this are left as they are.
const LARGE: u64 = 4 << 20;

impl Index {
    pub(super) fn load(blobs: &dyn BlobStore, mirror: &Path, context: &Context) -> Result<Self> {
        let (names, damaged) = sync(blobs, Kind::Index, mirror, index::check, context)?;
        let mut segments = Vec::with_capacity(names.len());
        for name in names {
            segments.push((name, index::Segment::open(&mirrored(mirror, Kind::Index, name))?));
        }
        Ok(Self { segments, damaged })
    }

    /// Where a chunk lies, in a pack that `usable` accepts.
    pub(super) fn find(
        &self,
        id: &Blake3,
        usable: &dyn Fn(&StoredName) -> bool,
    ) -> std::io::Result<Option<Location>> {
        for (_, segment) in &self.segments {
            for location in segment.find(id)? {
                if usable(&location.container.name) {
                    return Ok(Some(location));
                }
            }
        }
        Ok(None)
    }

    /// The packs it knows.
    pub(super) fn packs(&self) -> HashSet<StoredName> {
        let packs = self.segments.iter().flat_map(|(_, segment)| segment.containers());
        packs.map(|pack| pack.name).collect()
    }

    /// Replace many small segments by one. Segments are derived, so a lost race costs no more than a look-up that finds
    /// nothing.
    pub(super) fn compact(&self, blobs: &dyn BlobStore) -> Result<()> {
        let small: Vec<_> = self.segments.iter().filter(|(_, s)| s.count() <= LARGE).collect();
        if small.len() < MANY {
            return Ok(());
        }
        Self::rewrite(blobs, &small, &|_| true)
    }

    /// Drop packs from all segments that name them.
    pub(super) fn drop_packs(&self, blobs: &dyn BlobStore, gone: &HashSet<StoredName>) -> Result<()> {
        let touched: Vec<_> = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.containers().iter().any(|pack| gone.contains(&pack.name)))
            .collect();
        Self::rewrite(blobs, &touched, &|pack| !gone.contains(&pack.name))
    }

    fn rewrite(
        blobs: &dyn BlobStore,
        old: &[&(StoredName, index::Segment)],
        keep: &dyn Fn(&PackFacts) -> bool,
    ) -> Result<()> {
        let mut builder = index::SegmentBuilder::default();
        for (_, segment) in old {
            builder.absorb(segment, keep)?;
        }
        if !builder.is_empty() {
            put(blobs, Kind::Index, &builder.finish())?;
        }
        for (name, _) in old {
            blobs.delete(&Kind::Index.key(*name))?;
        }
        Ok(())
    }
}

/// Write a new segment under a fresh name.
pub(super) fn put(blobs: &dyn BlobStore, kind: Kind, bytes: &[u8]) -> Result<StoredName> {
    let name = StoredName::fresh();
    blobs.put(&kind.key(name), bytes)?;
    Ok(name)
}

fn mirrored(mirror: &Path, kind: Kind, name: StoredName) -> PathBuf {
    let folder = match kind {
        Kind::Pack => "packs",
        Kind::Index => "index",
        Kind::Recipe => "recipes",
    };
    mirror.join(folder).join(name.to_string())
}

type Check = fn(&[u8]) -> Result<(), Malformed>;

/// Make the mirror hold what the remote lists, and nothing else. Returns the names in order, and the keys of damaged ones.
fn sync(
    blobs: &dyn BlobStore,
    kind: Kind,
    mirror: &Path,
    check: Check,
    context: &Context,
) -> Result<(Vec<StoredName>, Vec<String>)> {
    let listed: Vec<StoredName> = blobs
        .list(kind.prefix())?
        .iter()
        .filter_map(|entry| name_of(&entry.key))
        .collect();
    let folder = mirrored(mirror, kind, StoredName::from_bytes([0; 16]));
    let folder = folder.parent().unwrap_or(mirror);
    fs::create_dir_all(folder)?;
    let wanted: HashSet<String> = listed.iter().map(ToString::to_string).collect();
    let mut here = HashSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if wanted.contains(&name) {
            here.insert(name);
        } else if !name.starts_with(file::TEMPORARY_PREFIX) {
            // Another command may have removed it first.
            fs::remove_file(entry.path()).ok();
        }
    }
    let missing: Vec<StoredName> = listed
        .iter()
        .copied()
        .filter(|name| !here.contains(&name.to_string()))
        .collect();
    let state = each(blobs.concurrency(), missing.len(), context, |n| {
        fetch(blobs, kind, missing[n], mirror, check)
    })?;
    let mut gone = HashSet::new();
    let mut damaged = Vec::new();
    for (name, state) in missing.into_iter().zip(state) {
        match state {
            Fetch::Here => {}
            Fetch::Gone => {
                gone.insert(name);
            }
            Fetch::Damaged(why) => {
                let key = kind.key(name);
                context.warn(
                    "store::damaged_segment",
                    format!(
                        "`{key}` in {} cannot be read and is passed over: {why}",
                        blobs.place()
                    ),
                );
                damaged.push(key);
                gone.insert(name);
            }
        }
    }
    let mut names: Vec<StoredName> = listed.into_iter().filter(|name| !gone.contains(name)).collect();
    names.sort_unstable();
    Ok((names, damaged))
}

enum Fetch {
    Here,
    Gone,
    Damaged(Malformed),
}

fn fetch(blobs: &dyn BlobStore, kind: Kind, name: StoredName, mirror: &Path, check: Check) -> Result<Fetch> {
    let Some(bytes) = blobs.read(&kind.key(name))? else {
        return Ok(Fetch::Gone);
    };
    if let Err(why) = check(&bytes) {
        return Ok(Fetch::Damaged(why));
    }
    file::write(&mirrored(mirror, kind, name), &bytes)?;
    Ok(Fetch::Here)
}

/// What was found damaged, as an error.
pub(super) fn damaged(blobs: &dyn BlobStore, object: String, reason: impl Into<String>) -> Error {
    Error::DamagedRemote {
        place: blobs.place(),
        object,
        reason: reason.into(),
    }
}
