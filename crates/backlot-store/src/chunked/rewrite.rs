//! Writing packs anew that hold little of what is needed.
//!
//! Their needed chunks go, as they are stored, into new packs, and the files that use them get new recipes; after that the
//! old packs and recipes are needed by nobody, and are condemned like anything else. Invariant: this is a push, with its
//! protocol; whatever stops it leaves at worst packs that nothing names. Each chunk is proven before it is written again.

use std::collections::{BTreeMap, HashMap, HashSet};

use backlot_core::Context;

use super::catalog::{Catalog, Found, damaged, put};
use super::gc::{CollectOptions, Needed};
use super::name::{Kind, StoredName, name_of};
use super::pack::{Entry, PackFacts};
use super::push::{Site, commit_index};
use super::recipe::{Recipe, SegmentBuilder};
use super::writer::PackStream;
use crate::error::{Error, Result};

/// More recipe segments than this are made one.
const MANY_SEGMENTS: usize = 64;
/// Packs smaller than this part of the limit are joined, if there are several.
const SMALL_PART: u64 = 8;
const MANY_SMALL: usize = 32;

/// Where chunks of old packs are now.
type Moved = HashMap<(StoredName, u32), (StoredName, u32)>;

impl Site {
    /// The packs that should be written anew.
    pub(super) fn worth_rewriting(
        &self,
        catalog: &Catalog,
        needed: &Needed,
        options: &CollectOptions,
    ) -> Result<BTreeMap<StoredName, PackFacts>> {
        // A push that is not finished may name a pack that is gone; it will see to that itself.
        let there: HashSet<StoredName> = self
            .blobs
            .list(Kind::Pack.prefix())?
            .iter()
            .filter_map(|entry| name_of(&entry.key))
            .collect();
        let mut chosen = BTreeMap::new();
        let mut small = BTreeMap::new();
        let limit = u64::from(self.format.packs.bytes) / SMALL_PART;
        for segment in &catalog.recipes {
            for pack in segment.packs() {
                let wanted = needed.packs.contains_key(&pack.name) && there.contains(&pack.name);
                if !wanted || catalog.condemned.packs.contains(&pack.name) {
                    continue;
                }
                let used = needed.chunks_of(&pack.name).len() as u64;
                if used * 100 < u64::from(pack.chunks) * u64::from(options.rewrite_below) {
                    chosen.insert(pack.name, *pack);
                } else if pack.length < limit {
                    small.insert(pack.name, *pack);
                }
            }
        }
        if small.len() >= MANY_SMALL {
            chosen.append(&mut small);
        }
        Ok(chosen)
    }

    /// Write them anew. Returns how many packs that were, and the names of packs and segments that are needed no more.
    pub(super) fn rewrite(
        &self,
        catalog: &Catalog,
        needed: &Needed,
        options: &CollectOptions,
        context: &Context,
    ) -> Result<(u64, HashSet<StoredName>)> {
        let old = self.worth_rewriting(catalog, needed, options)?;
        let join_segments = catalog.recipes.len() > MANY_SEGMENTS;
        if old.is_empty() && !join_segments {
            return Ok((0, HashSet::new()));
        }
        let (moved, packs) = self.move_chunks(&old, needed, context)?;
        let mut builder = SegmentBuilder::default();
        let mut done = HashSet::new();
        let mut replaced: HashSet<StoredName> = old.keys().copied().collect();
        for segment in &catalog.recipes {
            segment.each(|recipe| {
                let found = Found { recipe, segment };
                let touched = found.packs().any(|pack| old.contains_key(&pack.name));
                let id = found.recipe.id;
                let wanted = needed.files.contains(&id) && catalog.is_clean(&found) && done.insert(id);
                if wanted && (touched || join_segments) {
                    let recipe = moved_recipe(&found, &moved, &packs, &mut builder);
                    builder.push(recipe);
                    replaced.insert(segment.name);
                }
                Ok::<(), std::io::Error>(())
            })?;
        }
        let relied: Vec<StoredName> = builder.packs().iter().map(|pack| pack.name).collect();
        if !builder.is_empty() {
            put(&*self.blobs, Kind::Recipe, &builder.finish())?;
        }
        // The writer's last step. What was lost meanwhile is whole in the old recipes, which nobody has condemned yet.
        let condemned = super::tomb::Condemned::by(&super::tomb::read_all(&*self.blobs)?);
        let there = self.exist(Kind::Pack, &relied, context)?;
        if there.contains(&false) || relied.iter().any(|name| condemned.packs.contains(name)) {
            return Err(Error::Contended {
                place: self.blobs.place(),
            });
        }
        Ok((old.len() as u64, replaced))
    }

    /// Copy the needed chunks of packs into new ones.
    fn move_chunks(
        &self,
        old: &BTreeMap<StoredName, PackFacts>,
        needed: &Needed,
        context: &Context,
    ) -> Result<(Moved, HashMap<StoredName, PackFacts>)> {
        let mut moved = Moved::new();
        let mut stream = PackStream::start(&self.blobs, &self.format.packs, &self.mirror);
        for (name, facts) in old {
            context.check()?;
            // Gone since it was listed: another collector is at work.
            let table = self.pack_table(facts)?.ok_or_else(|| Error::Contended {
                place: self.blobs.place(),
            })?;
            let chunks: Vec<(u32, Entry)> = needed
                .chunks_of(name)
                .into_iter()
                .filter_map(|position| Some((position, *table.get(position as usize)?)))
                .collect();
            self.each_chunk(facts, &chunks, |position, entry, proven| {
                let stored = proven.map_err(|why| damaged(&*self.blobs, Kind::Pack.key(*name), why))?;
                let place = stream.push_one(entry.id, entry.scheme, entry.raw as usize, stored)?;
                moved.insert((*name, position), place);
                Ok(())
            })?;
        }
        let packs = stream.finish()?;
        commit_index(self)?;
        Ok((moved, packs.into_iter().map(|pack| (pack.name, pack)).collect()))
    }
}

/// The recipe of a file with its chunks where they are now.
fn moved_recipe(
    found: &Found<'_>,
    moved: &Moved,
    packs: &HashMap<StoredName, PackFacts>,
    builder: &mut SegmentBuilder,
) -> Recipe {
    let mut runs = Vec::new();
    for run in &found.recipe.runs {
        let Some(pack) = found.segment.packs().get(run.pack as usize) else {
            continue;
        };
        for position in run.first..run.first + run.count {
            let (facts, position) = match moved.get(&(pack.name, position)) {
                Some((name, position)) => (packs.get(name).unwrap_or(pack), *position),
                None => (pack, position),
            };
            let number = builder.pack(facts);
            SegmentBuilder::extend(&mut runs, number, position);
        }
    }
    Recipe {
        runs,
        ..found.recipe.clone()
    }
}
