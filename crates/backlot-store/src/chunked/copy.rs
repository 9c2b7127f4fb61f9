//! From one chunked remote to another: only chunks that are missing there, as they are stored here.
//!
//! A push whose chunks come from packs instead of files, with the same protocol. Each chunk is proven before it is sent; packs that a service
//! copies itself, since both remotes are in it, do not pass this machine and are not read.
//! Memory: one step of reading, one batch of writing, and 130 bytes a chunk of a group of files.

use std::collections::{BTreeMap, HashMap, HashSet};

use backlot_core::{Blake3, Context, Operation};

use super::catalog::{Catalog, Found, TOGETHER, damaged};
use super::name::{Kind, StoredName};
use super::pack::{Entry, PackFacts};
use super::push::{ChunkedRepository, Pushed};
use super::recipe::{Recipe, SegmentBuilder};
use super::relied::{Relied, Rounds};
use super::whole_index::commit_index;
use super::writer::{Journal, PackStream};
use crate::error::{Error, Result};
use crate::object::ObjectId;
use crate::parallel::each;

/// Files of one group.
const GROUP_BYTES: u64 = super::push::GROUP_BYTES;

/// Packs that a service copies at once.
const COPIED: usize = 16;

/// A file with its recipe at the source and its chunks.
struct Order<'a> {
    found: Found<'a>,
    chunks: Vec<(StoredName, u32, Entry)>,
}

impl ChunkedRepository {
    /// Bring files here from another chunked remote. Files that it does not have are returned.
    pub(super) fn copy_from(
        &self,
        source: &Self,
        ids: &[ObjectId],
        context: &Context,
    ) -> Result<(Pushed, Vec<ObjectId>)> {
        let theirs = Catalog::load(&*source.blobs, &source.mirror, context)?;
        let running = context.start(Operation::Push, ids.len() as u64, 0);
        let (mut pushed, mut missing) = (Pushed::default(), Vec::new());
        let mut group: Vec<Found<'_>> = Vec::new();
        let (mut seen, mut bytes) = (HashSet::new(), 0);
        for ids in ids.chunks(TOGETHER) {
            for (id, found) in ids.iter().zip(theirs.find(ids)?) {
                let Some(found) = found else {
                    missing.push(*id);
                    continue;
                };
                if !seen.insert(*id) {
                    continue;
                }
                bytes += found.recipe.size;
                group.push(found);
                if bytes > GROUP_BYTES {
                    running.advance(group.len() as u64, bytes);
                    self.copy_group(source, &std::mem::take(&mut group), &mut pushed, context)?;
                    bytes = 0;
                }
            }
        }
        running.advance(group.len() as u64, bytes);
        self.copy_group(source, &group, &mut pushed, context)?;
        Ok((pushed, missing))
    }

    fn copy_group(
        &self,
        source: &Self,
        group: &[Found<'_>],
        pushed: &mut Pushed,
        context: &Context,
    ) -> Result<()> {
        let mut rounds = Rounds::default();
        let ids: Vec<ObjectId> = group.iter().map(|found| found.recipe.id).collect();
        // Packs and segments that were lost in a round before, and files that count as copied.
        let (mut avoid, mut counted) = (HashSet::new(), HashSet::new());
        loop {
            let ours = Catalog::load(&*self.blobs, &self.mirror, context)?;
            let mut relied = Relied::default();
            let mut todo = Vec::new();
            let usable = |_: usize, there: &Found<'_>| {
                ours.is_clean(there)
                    && !avoid.contains(&there.segment.name)
                    && there.packs().all(|pack| !avoid.contains(&pack.name))
            };
            for (wanted, there) in group.iter().zip(ours.find_with(&ids, usable)?) {
                let Some(there) = there else {
                    todo.push(wanted.clone());
                    continue;
                };
                if wanted.recipe.blake3 != there.recipe.blake3 {
                    return Err(Error::SameMd5 {
                        what: format!("a file in {}", source.blobs.place()),
                        md5: there.recipe.id.md5,
                        other: format!("a file in {}", self.blobs.place()),
                    });
                }
                relied.rely_on_recipe(&there)?;
            }
            let new = todo.iter().filter(|found| counted.insert(found.recipe.id));
            let sizes: Vec<u64> = new.map(|found| found.recipe.size).collect();
            pushed.objects += sizes.len() as u64;
            pushed.bytes += sizes.iter().sum::<u64>();
            if rounds.is_first() {
                pushed.already_there += (group.len() - todo.len()) as u64;
            } else {
                // They seemed to be there.
                pushed.already_there = pushed.already_there.saturating_sub(sizes.len() as u64);
            }
            if !todo.is_empty() {
                let orders = source.orders(todo, context)?;
                let builder = self.copy_chunks(source, &orders, (&ours, &avoid), pushed, context)?;
                relied.rely_on(builder.packs());
                let bytes = builder.finish();
                pushed.sent += bytes.len() as u64;
                relied.recipes.insert(self.put_segment(Kind::Recipe, &bytes)?);
            }
            // The writer's last step.
            let lost = self.lost(&relied, context)?;
            if lost.is_empty() {
                return Ok(());
            }
            rounds.another(&lost, &*self.blobs)?;
            avoid.extend(lost.packs);
            avoid.extend(lost.condemned_recipes);
        }
    }

    /// The chunks of files, by the tables of their packs.
    fn orders<'a>(&self, group: Vec<Found<'a>>, context: &Context) -> Result<Vec<Order<'a>>> {
        let packs: BTreeMap<StoredName, PackFacts> = group
            .iter()
            .flat_map(|found| found.packs().map(|pack| (pack.name, *pack)))
            .collect();
        let tables = self.tables(&packs, context)?;
        let mut orders = Vec::with_capacity(group.len());
        for found in group {
            let mut chunks = Vec::new();
            for run in &found.recipe.runs {
                let Some(pack) = found.segment.packs().get(run.pack as usize) else {
                    continue;
                };
                let table = tables.get(&pack.name).and_then(Option::as_ref);
                for position in run.first..run.first + run.count {
                    let Some(entry) = table.and_then(|table| table.get(position as usize)) else {
                        let key = Kind::Pack.key(pack.name);
                        return Err(damaged(&*self.blobs, key, "its table is missing or damaged"));
                    };
                    chunks.push((pack.name, position, *entry));
                }
            }
            orders.push(Order { found, chunks });
        }
        Ok(orders)
    }

    /// Send the chunks that are not here, and lay out the recipes.
    fn copy_chunks(
        &self,
        source: &Self,
        orders: &[Order<'_>],
        (catalog, avoid): (&Catalog, &HashSet<StoredName>),
        pushed: &mut Pushed,
        context: &Context,
    ) -> Result<SegmentBuilder> {
        let index = self.whole_index(catalog, context)?;
        let usable = |name: &StoredName| !catalog.condemned.packs.contains(name) && !avoid.contains(name);
        let mut places: HashMap<Blake3, (PackFacts, u32)> = HashMap::new();
        let mut wanted: BTreeMap<StoredName, BTreeMap<u32, Entry>> = BTreeMap::new();
        let mut claimed = HashSet::new();
        for (pack, position, entry) in orders.iter().flat_map(|order| &order.chunks) {
            if places.contains_key(&entry.id) || claimed.contains(&entry.id) {
                continue;
            }
            match index.find(&entry.id, &usable)? {
                Some(at) => {
                    let position = u32::try_from(at.place).unwrap_or(u32::MAX);
                    places.insert(entry.id, (at.container, position));
                }
                None => {
                    claimed.insert(entry.id);
                    wanted.entry(*pack).or_default().insert(*position, *entry);
                }
            }
        }
        let facts: HashMap<StoredName, PackFacts> = orders
            .iter()
            .flat_map(|order| order.found.packs().map(|pack| (pack.name, *pack)))
            .collect();
        let mut stream = PackStream::start(&self.blobs, self.format.packs, &self.mirror);
        let mut sent: Vec<(Blake3, StoredName, u32)> = Vec::new();
        let of_pack = |(pack, chunks): (StoredName, BTreeMap<u32, Entry>)| {
            Some((*facts.get(&pack)?, chunks.into_iter().collect::<Vec<_>>()))
        };
        let wanted: Vec<(PackFacts, Vec<(u32, Entry)>)> = wanted.into_iter().filter_map(of_pack).collect();
        let copied = each(self.blobs.concurrency().min(COPIED), wanted.len(), context, |n| {
            self.copy_pack(source, &wanted[n].0, &wanted[n].1)
        })?;
        for ((facts, chunks), here) in wanted.iter().zip(copied) {
            context.check()?;
            if let Some(here) = here {
                places.extend(
                    chunks
                        .iter()
                        .map(|(position, entry)| (entry.id, (here, *position))),
                );
                pushed.sent += here.length;
                continue;
            }
            source.each_chunk(facts, chunks, |_, entry, proven| {
                let stored =
                    proven.map_err(|why| damaged(&*source.blobs, Kind::Pack.key(facts.name), why))?;
                let (name, position) = stream.push_one(entry.id, entry.scheme, entry.raw as usize, stored)?;
                sent.push((entry.id, name, position));
                Ok(())
            })?;
        }
        let packs: HashMap<StoredName, PackFacts> = stream
            .finish()?
            .into_iter()
            .map(|pack| (pack.name, pack))
            .collect();
        pushed.sent += packs.values().map(|pack| pack.length).sum::<u64>();
        pushed.sent += commit_index(self)?.bytes;
        for (id, name, position) in sent {
            if let Some(facts) = packs.get(&name) {
                places.insert(id, (*facts, position));
            }
        }
        Ok(recipes(orders, &places))
    }
}

impl ChunkedRepository {
    /// Have the service copy a pack of which at least half is wanted, under a name that nobody had. It is as good as it is there: what it says
    /// of its chunks is proven, and its length; each chunk is proven by who reads it.
    fn copy_pack(
        &self,
        source: &Self,
        facts: &PackFacts,
        wanted: &[(u32, Entry)],
    ) -> Result<Option<PackFacts>> {
        let bytes: u64 = wanted.iter().map(|(_, entry)| u64::from(entry.stored)).sum();
        let Some(within) = source.blobs.within().filter(|_| 2 * bytes >= facts.length) else {
            return Ok(None);
        };
        let here = PackFacts {
            name: StoredName::fresh(),
            ..*facts
        };
        let (from, to) = (Kind::Pack.key(facts.name), Kind::Pack.key(here.name));
        if !self.blobs.copy_within(&within, &from, &to)? {
            return Ok(None);
        }
        // Of the copy, as it is there now.
        let found = self.blobs.stat(&to)?;
        let is_whole = found.is_some_and(|found| found.size == facts.length);
        let entries = match self.pack_table(&here) {
            Err(Error::DamagedRemote { .. }) => None,
            read => read?.filter(|_| is_whole),
        };
        let Some(entries) = entries else {
            self.blobs.delete(&to)?;
            return Ok(None);
        };
        Journal::new(&self.mirror).note(&here, &entries)?;
        Ok(Some(here))
    }
}

fn recipes(orders: &[Order<'_>], places: &HashMap<Blake3, (PackFacts, u32)>) -> SegmentBuilder {
    let mut builder = SegmentBuilder::default();
    for order in orders {
        let mut runs = Vec::new();
        for (_, _, entry) in &order.chunks {
            if let Some((facts, position)) = places.get(&entry.id) {
                let number = builder.pack(facts);
                SegmentBuilder::extend(&mut runs, number, *position);
            }
        }
        builder.push(Recipe {
            runs,
            stored: None,
            ..order.found.recipe.clone()
        });
    }
    builder
}
