//! The contents of a remote, from its recipe and index segments.
//!
//! Invariants: tombs are read before recipes and indexes (the order of the protocol in `docs/format/remote-chunked.md`); a
//! damaged segment is skipped with a warning and remembered, so that its files are not reported as never pushed.

use std::collections::HashSet;
use std::path::Path;

use backlot_core::{Blake3, Context};

use super::blob::BlobStore;
use super::index::{self, Location};
use super::mirror::{Mirror, Source};
use super::name::StoredName;
use super::pack::PackFacts;
use super::recipe::{self, Recipe};
use super::table::Near;
use super::tomb::{self, Condemned, Tombstone};
use crate::error::{Error, Result};
use crate::object::ObjectId;

/// Files that are asked for together where what is found need not be kept: some 16 MiB.
pub(super) const TOGETHER: usize = 1 << 16;

/// Recipes and tombs of a remote at one moment.
#[derive(Debug)]
pub(super) struct Catalog {
    /// The newest first.
    pub(super) recipes: Vec<recipe::Segment>,
    pub(super) tombs: Vec<Tombstone>,
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
        Self::load_from(Source::Mirror, blobs, mirror, context)
    }

    /// The same, with the recipes from where one wants to see them.
    pub(super) fn load_from(
        source: Source,
        blobs: &dyn BlobStore,
        mirror: &Path,
        context: &Context,
    ) -> Result<Self> {
        Self::load_after(tomb::read_all(blobs)?, source, blobs, mirror, context)
    }

    /// The same, with tombs that were read just now.
    pub(super) fn load_after(
        tombs: Vec<Tombstone>,
        source: Source,
        blobs: &dyn BlobStore,
        mirror: &Path,
        context: &Context,
    ) -> Result<Self> {
        let segments = Mirror::of_recipes(blobs, mirror).load(source, context)?;
        let open = |one: super::mirror::Found| recipe::Segment::of(one.name, one.written, one.bytes);
        let recipes: std::io::Result<Vec<_>> = segments.found.into_iter().rev().map(open).collect();
        Ok(Self {
            recipes: recipes?,
            condemned: Condemned::by(&tombs),
            tombs,
            damaged: segments.damaged,
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

    /// The newest usable recipe of each file.
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

    /// The recipe of each file for readers: the newest uncondemned one, else the newest.
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
                let mut recipes = segment.find(&ids[n], &mut near)?.into_iter();
                if !recipes.any(|recipe| visit(n, Found { recipe, segment })) {
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

    /// The packs that recipes name and an index does not: a segment of it was lost, or they are gone.
    pub(super) fn unknown_to(&self, index: &Index) -> Vec<PackFacts> {
        let known = index.packs();
        let packs = self.recipes.iter().flat_map(recipe::Segment::packs);
        let mut unknown: Vec<PackFacts> = packs
            .filter(|pack| !self.condemned.packs.contains(&pack.name) && !known.contains(&pack.name))
            .copied()
            .collect();
        unknown.sort_unstable_by_key(|pack| pack.name);
        unknown.dedup_by_key(|pack| pack.name);
        unknown
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
    /// In the order of their names.
    pub(super) segments: Vec<(StoredName, index::Segment)>,
    /// Keys of segments that cannot be read.
    pub(super) damaged: Vec<String>,
}

impl Index {
    pub(super) fn load(blobs: &dyn BlobStore, mirror: &Path, context: &Context) -> Result<Self> {
        let loaded = Mirror::of_index(blobs, mirror).load(Source::Mirror, context)?;
        let open = |one: super::mirror::Found| Ok((one.name, index::Segment::of(one.bytes)?));
        let segments: std::io::Result<Vec<_>> = loaded.found.into_iter().map(open).collect();
        Ok(Self {
            segments: segments?,
            damaged: loaded.damaged,
        })
    }

    /// The location of a chunk, in a pack that `usable` accepts.
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
}

/// Damage found so far, as an error.
pub(super) fn damaged(blobs: &dyn BlobStore, object: String, reason: impl Into<String>) -> Error {
    Error::DamagedRemote {
        place: blobs.place(),
        object,
        reason: reason.into(),
    }
}
