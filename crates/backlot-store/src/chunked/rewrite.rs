//! Writing packs and recipe segments anew that hold much of what is not needed, or are small, or are about to be deleted and
//! needed again.
//!
//! The needed chunks of packs go, as they are stored, into new packs, and the files that use them get new recipes; after that
//! the old packs and recipes are needed by nobody, and are condemned like anything else. Invariants: this is a push, with its
//! protocol; whatever stops it leaves at worst packs that nothing names; only packs that can be condemned at once are chosen,
//! so that no run leaves two forms of the same; a second run finds nothing to do. Each chunk is proven before it is written again.

use std::collections::{BTreeMap, HashMap, HashSet};

use backlot_core::Context;

use super::catalog::{Catalog, Found, damaged};
use super::gc::{CollectOptions, Needed, View};
use super::name::{Kind, StoredName};
use super::pack::{Entry, PackFacts};
use super::push::ChunkedRepository;
use super::recipe::{Recipe, SegmentBuilder};
use super::tomb::{self, Condemned};
use super::whole_index::commit_index;
use super::writer::PackStream;
use crate::error::{Error, Result};
use crate::object::ObjectId;

/// Packs smaller than this part of the limit are joined, if there are several.
const SMALL_PART: u64 = 8;
const MANY_SMALL: usize = 32;
/// A segment of which more than one recipe in so many is not needed is written anew.
const UNNEEDED_PART: u64 = 4;
/// Recipes of one new segment.
const RECIPES: usize = 1 << 20;

/// Where chunks of old packs are now.
type Moved = HashMap<(StoredName, u32), (StoredName, u32)>;

/// Objects to rewrite.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) packs: BTreeMap<StoredName, PackFacts>,
    pub(super) segments: HashSet<StoredName>,
    /// Keys of what is condemned, about to be deleted, and needed again. Taking the tomb away would be faster, but another
    /// collection may be acting on it.
    pub(super) spared: Vec<String>,
    /// The files that need it.
    files: HashSet<ObjectId>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.segments.is_empty()
    }

    /// Note what is about to be deleted and needed again.
    fn spare(&mut self, view: &View, doomed: &Condemned) -> Result<()> {
        let condemned = &view.catalog.condemned;
        for segment in &view.catalog.recipes {
            let is_doomed = doomed.recipes.contains(&segment.name);
            segment.each(|recipe| {
                let found = Found { recipe, segment };
                if !view.is_last_way(&found)
                    || !(is_doomed || found.packs().any(|pack| doomed.packs.contains(&pack.name)))
                    || !self.files.insert(found.recipe.id)
                {
                    return Ok(());
                }
                if condemned.recipes.contains(&segment.name) && self.segments.insert(segment.name) {
                    self.spared.push(Kind::Recipe.key(segment.name));
                }
                // All of them: what is new relies on nothing that is condemned.
                for pack in found.packs().filter(|pack| condemned.packs.contains(&pack.name)) {
                    if self.packs.insert(pack.name, *pack).is_none() {
                        self.spared.push(Kind::Pack.key(pack.name));
                    }
                }
                Ok::<(), std::io::Error>(())
            })?;
        }
        Ok(())
    }
}

/// A pack with the part of it that is needed.
struct Use {
    facts: PackFacts,
    chunks: u64,
}

impl Use {
    /// Bytes that are needed, as far as the number of chunks tells.
    fn needed(&self) -> u64 {
        let all = u64::from(self.facts.chunks).max(1);
        self.facts.length * self.chunks.min(all) / all
    }
    fn unused(&self) -> u64 {
        self.facts.length - self.needed()
    }
}

impl ChunkedRepository {
    /// The packs and segments to rewrite.
    pub(super) fn plan_rewrite(&self, view: &View, options: &CollectOptions) -> Result<Plan> {
        let mut plan = Plan {
            packs: self.packs_to_rewrite(view, options),
            ..Plan::default()
        };
        plan.spare(view, &view.doomed(options))?;
        let mut dead = view.unneeded_packs(options);
        dead.extend(plan.packs.keys());
        let mut wanted = Wanted::of(view, &plan.files);
        for segment in &view.catalog.recipes {
            let (mut touched, mut leads_nowhere) = (false, false);
            let (mut all, mut needed) = (0, 0);
            segment.each(|recipe| {
                let found = Found { recipe, segment };
                let names_dead = found.packs().any(|pack| dead.contains(&pack.name));
                all += 1;
                if wanted.takes(&found) {
                    needed += 1;
                    touched |= names_dead;
                } else {
                    leads_nowhere |= names_dead;
                }
                Ok::<(), std::io::Error>(())
            })?;
            let mostly_unneeded = (all - needed) * UNNEEDED_PART > all;
            if needed > 0 && (touched || leads_nowhere || mostly_unneeded) {
                plan.segments.insert(segment.name);
            }
        }
        Ok(plan)
    }

    fn packs_to_rewrite(&self, view: &View, options: &CollectOptions) -> BTreeMap<StoredName, PackFacts> {
        let mut seen = HashSet::new();
        let (mut needed, mut unused, mut old) = (0, 0, Vec::new());
        for pack in view
            .catalog
            .recipes
            .iter()
            .flat_map(super::recipe::Segment::packs)
        {
            let usable = view.needed.packs.contains_key(&pack.name)
                && view.packs.contains_key(&pack.name)
                && !view.catalog.condemned.packs.contains(&pack.name);
            if !usable || !seen.insert(pack.name) {
                continue;
            }
            let one = Use {
                facts: *pack,
                chunks: view.needed.chunks_of(&pack.name).len() as u64,
            };
            needed += one.needed();
            // A young pack stays: what was written for it could not be condemned.
            if !view.is_young(&pack.name, options) {
                unused += one.unused();
                old.push(one);
            }
        }
        let allowed = needed / 100 * u64::from(options.max_unused);
        old.sort_by_key(|one| (one.needed() * 1000 / one.facts.length.max(1), one.facts.name));
        let mut chosen = BTreeMap::new();
        let mut small = BTreeMap::new();
        let limit = u64::from(self.format.packs.bytes) / SMALL_PART;
        for one in old {
            if unused > allowed && one.unused() > 0 {
                unused -= one.unused();
                chosen.insert(one.facts.name, one.facts);
            } else if one.facts.length < limit {
                small.insert(one.facts.name, one.facts);
            }
        }
        if small.len() >= MANY_SMALL {
            chosen.append(&mut small);
        }
        chosen
    }

    /// Rewrite them. Returns the written bytes.
    pub(super) fn rewrite(&self, view: &View, plan: &Plan, context: &Context) -> Result<u64> {
        let (moved, packs, mut written) = self.move_chunks(&plan.packs, &view.needed, context)?;
        let mut wanted = Wanted::of(view, &plan.files);
        let mut builder = SegmentBuilder::default();
        let mut relied = HashSet::new();
        for segment in &view.catalog.recipes {
            segment.each(|recipe| {
                let found = Found { recipe, segment };
                if wanted.takes(&found) && plan.segments.contains(&segment.name) {
                    let recipe = moved_recipe(&found, &moved, &packs, &mut builder);
                    builder.push(recipe);
                }
                Ok::<(), std::io::Error>(())
            })?;
            if builder.count() >= RECIPES {
                written += self.put_anew(std::mem::take(&mut builder), &view.catalog, &mut relied)?;
            }
        }
        written += self.put_anew(builder, &view.catalog, &mut relied)?;
        // The writer's last step. What was lost meanwhile is whole in the old recipes, which nobody has condemned yet.
        let relied: Vec<StoredName> = relied.into_iter().collect();
        let condemned = Condemned::by(&tomb::read_all(&*self.blobs)?);
        let there = self.exist(Kind::Pack, &relied, context)?;
        if there.contains(&false) || relied.iter().any(|name| condemned.packs.contains(name)) {
            return Err(Error::Contended {
                place: self.blobs.place(),
            });
        }
        Ok(written)
    }

    /// Write a segment that everybody prefers to those it was made from.
    fn put_anew(
        &self,
        builder: SegmentBuilder,
        catalog: &Catalog,
        relied: &mut HashSet<StoredName>,
    ) -> Result<u64> {
        if builder.is_empty() {
            return Ok(0);
        }
        relied.extend(builder.packs().iter().map(|pack| pack.name));
        let bytes = builder.finish();
        let name = StoredName::after(catalog.recipes.iter().map(|segment| &segment.name));
        self.segments(Kind::Recipe).put(name, &bytes, true)?;
        Ok(bytes.len() as u64)
    }

    /// Copy the needed chunks of packs into new ones.
    fn move_chunks(
        &self,
        old: &BTreeMap<StoredName, PackFacts>,
        needed: &Needed,
        context: &Context,
    ) -> Result<(Moved, HashMap<StoredName, PackFacts>, u64)> {
        let mut moved = Moved::new();
        let mut stream = PackStream::start(&self.blobs, self.format.packs, &self.mirror);
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
        let written = packs.iter().map(|pack| pack.length).sum::<u64>() + commit_index(self)?.bytes;
        Ok((
            moved,
            packs.into_iter().map(|pack| (pack.name, pack)).collect(),
            written,
        ))
    }
}

/// Picks, of recipes that are shown with the newest first, the one of each needed file that is needed. Of a file that is spared
/// it is the first that can be read.
struct Wanted<'a> {
    view: &'a View,
    spared: &'a HashSet<ObjectId>,
    done: HashSet<ObjectId>,
}

impl<'a> Wanted<'a> {
    fn of(view: &'a View, spared: &'a HashSet<ObjectId>) -> Self {
        Self {
            view,
            spared,
            done: HashSet::new(),
        }
    }

    fn takes(&mut self, found: &Found<'_>) -> bool {
        let View { catalog, needed, .. } = self.view;
        let id = found.recipe.id;
        let is_way =
            catalog.is_clean(found) && found.packs().all(|pack| needed.packs.contains_key(&pack.name));
        needed.files.contains(&id) && (is_way || self.is_spared(found)) && self.done.insert(id)
    }

    fn is_spared(&self, found: &Found<'_>) -> bool {
        self.spared.contains(&found.recipe.id) && self.view.is_last_way(found)
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
        stored: found.segment.stored(&found.recipe),
        ..found.recipe.clone()
    }
}
