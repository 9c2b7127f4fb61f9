//! Merging segments: small ones into larger ones, tier by tier, dropping duplicates.
//!
//! A merge writes the union of some segments under a name that sorts after theirs, and then deletes them. Both kinds are sets:
//! two merges of the same index segments write one object, and recipes that were merged twice are dropped by the next merge. Invariants:
//! a segment is deleted only when all it has is in one with a larger name; condemned recipe segments are left to the
//! collector; of recipes, the new segment is on the disk before the old ones go. Which segments, and whose turn it is, is decided
//! in `tiers.rs`; that it is bounded and loses nothing in any order of requests is checked in `tests/merging.rs`.

use std::collections::{HashMap, HashSet};

use backlot_core::Context;

use super::catalog::{Catalog, Index};
use super::index;
use super::name::{Kind, StoredName, name_of};
use super::pack::PackFacts;
use super::push::ChunkedRepository;
use super::recipe;
use super::segment_bytes::SegmentBytes;
use super::tiers::{LARGEST, Merger, Sized, due};
use crate::error::Result;

/// The index is put in order when it names packs more than so many times as often as needed.
const DOUBLED: usize = 2;

impl ChunkedRepository {
    /// Merge index segments as far as it is this merger's turn, and put in order what concurrent merges left.
    pub(super) fn compact_index(
        &self,
        mut index: Index,
        merger: &Merger<'_>,
        context: &Context,
    ) -> Result<()> {
        let mut own = own_of(merger);
        loop {
            context.check()?;
            self.drop_covered(&mut index)?;
            let group = match Self::doubled(&index, merger) {
                Some(group) => group,
                None => match due(
                    &sizes(index.segments.iter().map(|(n, s)| (*n, s.bytes())))?,
                    &own.merger(),
                ) {
                    Some(group) => group,
                    None => return Ok(()),
                },
            };
            let Some(merged) = self.merge_index(&mut index, &group, &|_| true)? else {
                return Ok(());
            };
            own.note(merged);
        }
    }

    /// Merge recipe segments as far as it is this merger's turn.
    pub(super) fn compact_recipes(
        &self,
        mut catalog: Catalog,
        merger: &Merger<'_>,
        context: &Context,
    ) -> Result<()> {
        let mut own = own_of(merger);
        catalog
            .recipes
            .retain(|segment| !catalog.condemned.recipes.contains(&segment.name));
        loop {
            context.check()?;
            let Some(group) = due(
                &sizes(catalog.recipes.iter().map(|s| (s.name, s.bytes())))?,
                &own.merger(),
            ) else {
                return Ok(());
            };
            let mut builder = recipe::SegmentBuilder::default();
            // The newest first: of a file with several recipes, theirs are preferred.
            for segment in catalog
                .recipes
                .iter()
                .filter(|segment| group.contains(&segment.name))
            {
                builder.absorb(segment)?;
            }
            let bytes = builder.finish();
            let known = twin(&bytes, catalog.recipes.iter().map(|s| (s.name, s.bytes())))?;
            let Some(name) = self.replace(Kind::Recipe, &group, known, &bytes)? else {
                return Ok(());
            };
            let written = catalog
                .recipes
                .iter()
                .filter(|s| group.contains(&s.name))
                .filter_map(|s| s.written)
                .max();
            catalog
                .recipes
                .retain(|segment| !group.contains(&segment.name) && segment.name != name);
            let merged = recipe::Segment::of(name, written, SegmentBytes::Memory(bytes))?;
            let at = catalog.recipes.partition_point(|segment| segment.name > name);
            catalog.recipes.insert(at, merged);
            own.note(name);
        }
    }

    /// Write index segments again without some packs.
    pub(super) fn drop_packs(&self, mut index: Index, gone: &HashSet<StoredName>) -> Result<()> {
        let names_one =
            |segment: &index::Segment| segment.containers().iter().any(|pack| gone.contains(&pack.name));
        while let Some(group) =
            within_bounds(index.segments.iter().filter(|(_, segment)| names_one(segment)))?
        {
            if self
                .merge_index(&mut index, &group, &|pack| !gone.contains(&pack.name))?
                .is_none()
            {
                // Another client rewrote them; entries of missing packs are harmless hints.
                break;
            }
        }
        Ok(())
    }

    /// Delete segments that name no pack which those with larger names do not.
    fn drop_covered(&self, index: &mut Index) -> Result<()> {
        let mut known: HashSet<StoredName> = HashSet::new();
        let mut covered = HashSet::new();
        for (name, segment) in index.segments.iter().rev() {
            let mut adds = false;
            for pack in segment.containers() {
                adds |= known.insert(pack.name);
            }
            if !adds {
                covered.insert(*name);
            }
        }
        self.blobs.delete_many(&keys_of(Kind::Index, &covered))?;
        index.segments.retain(|(name, _)| !covered.contains(name));
        Ok(())
    }

    /// Segments that name packs which others name, too, or one pack many times, if that is most of the index.
    fn doubled(index: &Index, merger: &Merger<'_>) -> Option<Vec<StoredName>> {
        let mut times: HashMap<StoredName, usize> = HashMap::new();
        for pack in index
            .segments
            .iter()
            .flat_map(|(_, segment)| segment.containers())
        {
            *times.entry(pack.name).or_default() += 1;
        }
        let all: usize = index
            .segments
            .iter()
            .map(|(_, segment)| segment.containers().len())
            .sum();
        let much = match merger {
            Merger::Push(..) => all > times.len() * DOUBLED,
            Merger::Upkeep => all > times.len(),
        };
        let twice = |segment: &index::Segment| segment.containers().iter().any(|pack| times[&pack.name] > 1);
        let group: Vec<StoredName> = index
            .segments
            .iter()
            .filter(|(_, segment)| twice(segment))
            .map(|(name, _)| *name)
            .collect();
        (much && !group.is_empty()).then_some(group)
    }

    /// Replace segments by the union of what `keep` accepts of them. `None` if somebody else replaced one of them meanwhile.
    fn merge_index(
        &self,
        index: &mut Index,
        group: &[StoredName],
        keep: &dyn Fn(&PackFacts) -> bool,
    ) -> Result<Option<StoredName>> {
        let mut builder = index::SegmentBuilder::default();
        for (_, segment) in index.segments.iter().filter(|(name, _)| group.contains(name)) {
            builder.absorb(segment, keep)?;
        }
        if builder.is_empty() {
            self.blobs.delete_many(&keys_of(Kind::Index, group))?;
            index.segments.retain(|(name, _)| !group.contains(name));
            return Ok(group.last().copied());
        }
        let bytes = builder.finish();
        let known = twin(
            &bytes,
            index
                .segments
                .iter()
                .map(|(name, segment)| (*name, segment.bytes())),
        )?;
        let Some(name) = self.replace(Kind::Index, group, known, &bytes)? else {
            return Ok(None);
        };
        index
            .segments
            .retain(|(old, _)| !group.contains(old) && *old != name);
        let at = index.segments.partition_point(|(old, _)| *old < name);
        index
            .segments
            .insert(at, (name, index::Segment::of(SegmentBytes::Memory(bytes))?));
        Ok(Some(name))
    }

    /// Put a segment in place of others. `known` is one that has the same content already. `None` if one of the others is gone:
    /// then somebody else is at the same work, and everything that they had is in what he wrote.
    fn replace(
        &self,
        kind: Kind,
        group: &[StoredName],
        known: Option<StoredName>,
        bytes: &[u8],
    ) -> Result<Option<StoredName>> {
        let listed = self.blobs.list(kind.prefix())?;
        let there: HashSet<StoredName> = listed.iter().filter_map(|entry| name_of(&entry.key)).collect();
        if !group.iter().all(|name| there.contains(name)) {
            return Ok(None);
        }
        let newest = group.iter().max();
        let name = match known.filter(|name| there.contains(name) && newest <= Some(name)) {
            Some(name) => name,
            None => {
                let name = match kind {
                    Kind::Index => StoredName::of_derived(group, bytes),
                    Kind::Recipe | Kind::Pack => StoredName::after(group),
                };
                self.segments(kind).put(name, bytes, true)?;
                name
            }
        };
        let old = group.iter().filter(|old| **old != name);
        self.blobs.delete_many(&keys_of(kind, old))?;
        Ok(Some(name))
    }
}

fn keys_of<'a>(kind: Kind, names: impl IntoIterator<Item = &'a StoredName>) -> Vec<String> {
    names.into_iter().map(|name| kind.key(*name)).collect()
}

/// The segments that this merger wrote, those of this very run too.
struct Own<'a> {
    written: HashSet<StoredName>,
    merger: &'a Merger<'a>,
}

fn own_of<'a>(merger: &'a Merger<'a>) -> Own<'a> {
    let written = match merger {
        Merger::Push(own, _) => (*own).clone(),
        Merger::Upkeep => HashSet::new(),
    };
    Own { written, merger }
}

impl Own<'_> {
    fn note(&mut self, name: StoredName) {
        self.written.insert(name);
    }
    fn merger(&self) -> Merger<'_> {
        match self.merger {
            Merger::Push(_, lot) => Merger::Push(&self.written, *lot),
            Merger::Upkeep => Merger::Upkeep,
        }
    }
}

fn sizes<'a>(segments: impl Iterator<Item = (StoredName, &'a SegmentBytes)>) -> std::io::Result<Vec<Sized>> {
    segments.map(|(name, bytes)| Ok((name, bytes.len()?))).collect()
}

/// The newest segment that has these very bytes.
fn twin<'a>(
    bytes: &[u8],
    segments: impl Iterator<Item = (StoredName, &'a SegmentBytes)>,
) -> std::io::Result<Option<StoredName>> {
    let seal = SegmentBytes::seal_of(bytes);
    let mut found = None;
    for (name, segment) in segments {
        if Some(segment.seal()?) == seal {
            found = found.max(Some(name));
        }
    }
    Ok(found)
}

/// As many segments as one may be made of.
fn within_bounds<'a>(
    segments: impl Iterator<Item = &'a (StoredName, index::Segment)>,
) -> std::io::Result<Option<Vec<StoredName>>> {
    let (mut total, mut group) = (0, Vec::new());
    for (name, segment) in segments {
        total += segment.bytes().len()?;
        if total > LARGEST && !group.is_empty() {
            break;
        }
        group.push(*name);
    }
    Ok((!group.is_empty()).then_some(group))
}
