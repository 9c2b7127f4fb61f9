//! Pushing: what is missing is stored, then committed, then looked after once more.
//!
//! The writer's half of the protocol in `docs/format/remote-chunked.md`: read tombs, then recipes and index; never rely on
//! what is condemned; packs, then index, then recipes (the commit point); then read tombs again and see that every pack
//! and segment relied on is still there. What is not is stored again under new names. Only then success is reported. So
//! no lock is needed, and no condition on any request.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use backlot_core::context::Running;
use backlot_core::{Context, Operation};

use super::blob::BlobStore;
use super::catalog::{Catalog, Found, Index};
use super::config::RemoteFormat;
use super::index;
use super::mirror::Mirror;
use super::name::{Kind, StoredName};
use super::pack::PackFacts;
use super::put::{Pipeline, Stored, StoredFile};
use super::recipe::{self, Recipe, Run};
use super::seeds::Seeds;
use super::slot::{Content, Intake, Source};
use super::tiers::Merger;
use super::tomb::{self, Condemned};
use super::writer::{GonePacks, Journal, PackStream, add_pack};
use crate::error::{Error, Result};
use crate::object::ObjectId;
use crate::parallel::each;

/// Files are stored and committed in groups of about so many bytes, and no more than so many files.
pub(super) const GROUP_BYTES: u64 = 32 << 30;
const GROUP_FILES: usize = 200_000;
/// How often a push stores again what collectors took from under it.
const ROUNDS: usize = 8;
/// How often it looks again for recipes that were merged into other segments meanwhile: that is cheap, and its turn comes.
const MERGE_ROUNDS: usize = 1000;

/// An open remote with its local folder.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) format: RemoteFormat,
    /// Segments that were fetched, and the journal of pushes.
    pub(super) mirror: std::path::PathBuf,
}

/// What a push did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) already_there: u64,
    /// Bytes of the packs and segments that were written.
    pub(super) sent: u64,
}

/// What a group of files relies on.
#[derive(Debug, Default)]
pub(super) struct Relied {
    pub(super) packs: BTreeSet<StoredName>,
    pub(super) recipes: BTreeSet<StoredName>,
}

/// What of it cannot be relied on any more.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Packs that are condemned or gone.
    packs: Vec<StoredName>,
    condemned_recipes: Vec<StoredName>,
    /// Recipe segments that are gone: what they had is in others now, or a collector deleted it.
    merged_recipes: Vec<StoredName>,
}

impl Lost {
    pub(super) const fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.condemned_recipes.is_empty() && self.merged_recipes.is_empty()
    }
}

/// How often a writer went through its protocol again.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    collected: usize,
    merged: usize,
}

impl Rounds {
    const fn is_first(&self) -> bool {
        self.collected == 0 && self.merged == 0
    }

    /// Begin another one, if there were not too many.
    pub(super) fn another(&mut self, lost: &Lost, blobs: &dyn BlobStore) -> Result<()> {
        if lost.packs.is_empty() && lost.condemned_recipes.is_empty() {
            self.merged += 1;
        } else {
            self.collected += 1;
        }
        if self.collected < ROUNDS && self.merged < MERGE_ROUNDS {
            return Ok(());
        }
        Err(Error::Contended { place: blobs.place() })
    }
}

/// Segments that a push wrote.
#[derive(Debug, Default)]
struct Written {
    index: HashSet<StoredName>,
    recipes: HashSet<StoredName>,
}

/// What a push goes by.
pub(super) struct Work<'a> {
    /// Where chunks of files in the cache are remembered.
    pub(super) seeds: Option<&'a Seeds>,
    /// Packs that nothing relies on: damaged ones, and those that collectors took.
    pub(super) avoid: HashSet<StoredName>,
    /// Where files go that are read for the first time.
    pub(super) intake: Option<&'a Intake<'a>>,
    pub(super) running: &'a Running<'a>,
    pub(super) context: &'a Context,
}

impl Site {
    /// Store files. With `avoid`, nothing in these packs is relied on (they are damaged).
    pub(super) fn push(
        &self,
        sources: &[Source],
        seeds: Option<&Seeds>,
        avoid: &HashSet<StoredName>,
        context: &Context,
    ) -> Result<Pushed> {
        let bytes = sources.iter().map(|s| s.size).sum();
        let running = context.start(Operation::Push, sources.len() as u64, bytes);
        let mut pushed = Pushed::default();
        for group in groups(sources) {
            let work = Work {
                seeds,
                avoid: avoid.clone(),
                intake: None,
                running: &running,
                context,
            };
            self.push_group(group, work, &mut pushed)?;
        }
        Ok(pushed)
    }

    /// Store files that are read for the first time, and put them into the cache in the same pass. What became of each is
    /// in the intake. A [push](Self::push) has to follow: only that sees whether what was relied on is still there.
    pub(super) fn take_in(&self, sources: &[Source], work: &Work<'_>) -> Result<Pushed> {
        let mut pushed = Pushed::default();
        for group in groups(sources) {
            let catalog = Catalog::load(&*self.blobs, &self.mirror, work.context)?;
            let own = self.store(group, &catalog, work, &mut Relied::default(), &mut pushed)?;
            self.compact_recipes_of_push(catalog, &own, work.context)?;
        }
        Ok(pushed)
    }

    fn push_group(&self, group: &[Source], mut work: Work<'_>, pushed: &mut Pushed) -> Result<()> {
        let mut rounds = Rounds::default();
        let mut own = HashSet::new();
        loop {
            let catalog = Catalog::load(&*self.blobs, &self.mirror, work.context)?;
            let mut relied = Relied::default();
            let todo = missing(&catalog, group, &work.avoid, &mut relied)?;
            let first = rounds.is_first();
            if first {
                pushed.already_there += (group.len() - todo.len()) as u64;
            }
            if !todo.is_empty() {
                // What is stored again was counted already.
                let mut again = Pushed::default();
                let counted = if first { &mut *pushed } else { &mut again };
                own.extend(self.store(&todo, &catalog, &work, &mut relied, counted)?);
                pushed.sent += again.sent;
            }
            let lost = self.lost(&relied, work.context)?;
            if lost.is_empty() {
                return self.compact_recipes_of_push(catalog, &own, work.context);
            }
            rounds.another(&lost, &*self.blobs)?;
            work.avoid.extend(lost.packs);
            work.avoid.extend(lost.condemned_recipes);
        }
    }

    /// Merge what is due. What was pushed is safe by now, so a failure here is no failure of the push.
    fn compact_recipes_of_push(
        &self,
        catalog: Catalog,
        own: &HashSet<StoredName>,
        context: &Context,
    ) -> Result<()> {
        // A view that lacks what was just written is as good: it is merged in its turn.
        let catalog = if own.is_empty() {
            catalog
        } else {
            Catalog::load(&*self.blobs, &self.mirror, context)?
        };
        self.compact_recipes(catalog, &Merger::Push(own, fastrand::f64()), context)
    }

    /// Store and commit files. Returns the recipe segments that were written.
    fn store(
        &self,
        todo: &[Source],
        catalog: &Catalog,
        work: &Work<'_>,
        relied: &mut Relied,
        pushed: &mut Pushed,
    ) -> Result<HashSet<StoredName>> {
        let index = self.whole_index(catalog, work.context)?;
        let journal = Journal::new(&self.mirror);
        let noted = self.resumable(&journal, &index, work.context)?;
        let usable =
            |name: &StoredName| !catalog.condemned.packs.contains(name) && !work.avoid.contains(name);
        let known = |id: &backlot_core::Blake3| {
            for (name, segment) in &noted {
                if usable(name)
                    && let Some(location) = segment.find(id)?.first()
                {
                    return Ok(Some((
                        location.container,
                        u32::try_from(location.place).unwrap_or(u32::MAX),
                    )));
                }
            }
            let found = index.find(id, &usable)?;
            Ok(found.map(|location| {
                (
                    location.container,
                    u32::try_from(location.place).unwrap_or(u32::MAX),
                )
            }))
        };
        let stream = PackStream::start(&self.blobs, &self.format.packs, &self.mirror);
        let pipeline = Pipeline::new(&self.format, &known, work.intake, stream);
        let mut stored = pipeline.run(todo, work.running, work.context)?;
        if work.intake.is_some() {
            leave_out_known(&mut stored.files, catalog, &work.avoid)?;
        }
        pushed.objects += stored.files.len() as u64;
        pushed.bytes += stored.files.iter().map(|file| file.digests.size).sum::<u64>();
        let own = self.commit(&stored, relied, pushed)?;
        drop(index);
        if !own.index.is_empty() {
            let index = Index::load(&*self.blobs, &self.mirror, work.context)?;
            self.compact_index(index, &Merger::Push(&own.index, fastrand::f64()), work.context)?;
        }
        if let Some(seeds) = work.seeds {
            seeds.note(&stored.files)?;
        }
        if let Some(failure) = stored.failure {
            return Err(failure);
        }
        if stored.damaged.is_empty() {
            Ok(own.recipes)
        } else {
            Err(Error::Corrupt {
                objects: stored.damaged,
                place: "the cache".to_owned(),
            })
        }
    }

    /// Packs of an interrupted push that are complete on the remote and not in its index.
    fn resumable(
        &self,
        journal: &Journal,
        index: &Index,
        context: &Context,
    ) -> Result<Vec<(StoredName, index::Segment)>> {
        let mut noted = journal.open()?;
        if noted.is_empty() {
            return Ok(noted);
        }
        let indexed = index.packs();
        let names: Vec<StoredName> = noted.iter().map(|(name, _)| *name).collect();
        let there = self.exist(Kind::Pack, &names, context)?;
        for (name, there) in names.iter().zip(&there) {
            if !there || indexed.contains(name) {
                journal.forget(*name)?;
            }
        }
        let there: HashMap<StoredName, bool> = names.into_iter().zip(there).collect();
        noted.retain(|(name, _)| there.get(name) == Some(&true) && !indexed.contains(name));
        Ok(noted)
    }

    /// Make what was stored findable: index first, then the recipes, which are the commit point.
    fn commit(&self, stored: &Stored, relied: &mut Relied, pushed: &mut Pushed) -> Result<Written> {
        let mut written = Written::default();
        let index = commit_index(self)?;
        pushed.sent += stored.sent + index.bytes;
        written.index.extend(index.name);
        let builder = recipes_of(stored);
        relied.packs.extend(builder.packs().iter().map(|pack| pack.name));
        if !builder.is_empty() {
            let bytes = builder.finish();
            pushed.sent += bytes.len() as u64;
            let name = self.put_segment(Kind::Recipe, &bytes)?;
            written.recipes.insert(name);
            relied.recipes.insert(name);
        }
        Ok(written)
    }

    /// What of the things relied on is condemned or gone by now.
    pub(super) fn lost(&self, relied: &Relied, context: &Context) -> Result<Lost> {
        let condemned = Condemned::by(&tomb::read_all(&*self.blobs)?);
        let gone = |kind, names: &BTreeSet<StoredName>| -> Result<Vec<StoredName>> {
            let names: Vec<StoredName> = names.iter().copied().collect();
            let there = self.exist(kind, &names, context)?;
            Ok(names
                .into_iter()
                .zip(there)
                .filter_map(|(name, there)| (!there).then_some(name))
                .collect())
        };
        let mut packs = gone(Kind::Pack, &relied.packs)?;
        packs.extend(
            relied
                .packs
                .intersection(&condemned.packs.iter().copied().collect()),
        );
        Ok(Lost {
            packs,
            condemned_recipes: relied
                .recipes
                .iter()
                .filter(|name| condemned.recipes.contains(name))
                .copied()
                .collect(),
            merged_recipes: gone(Kind::Recipe, &relied.recipes)?,
        })
    }

    /// The segments of one kind, which is not that of packs.
    pub(super) fn segments(&self, kind: Kind) -> Mirror<'_> {
        match kind {
            Kind::Index => Mirror::of_index(&*self.blobs, &self.mirror),
            Kind::Recipe | Kind::Pack => Mirror::of_recipes(&*self.blobs, &self.mirror),
        }
    }

    /// Write a new segment under a fresh name.
    pub(super) fn put_segment(&self, kind: Kind, bytes: &[u8]) -> Result<StoredName> {
        let name = StoredName::fresh();
        self.segments(kind).put(name, bytes, false)?;
        Ok(name)
    }

    /// Which objects are there.
    pub(super) fn exist(&self, kind: Kind, names: &[StoredName], context: &Context) -> Result<Vec<bool>> {
        each(self.blobs.concurrency(), names.len(), context, |n| {
            Ok(self.blobs.stat(&kind.key(names[n]))?.is_some())
        })
    }

    /// The index, made anew from the packs where a segment of it is lost or damaged.
    pub(super) fn whole_index(&self, catalog: &Catalog, context: &Context) -> Result<Index> {
        let index = Index::load(&*self.blobs, &self.mirror, context)?;
        let mut added = 0;
        if !index.damaged.is_empty() {
            added += self.rebuild_index(context)?;
            // Derived, and derived anew by now.
            for key in &index.damaged {
                self.blobs.delete(key)?;
            }
        }
        added += self.index_packs(&catalog.unknown_to(&index), context)?;
        if added == 0 && index.damaged.is_empty() {
            return Ok(index);
        }
        Index::load(&*self.blobs, &self.mirror, context)
    }

    /// Add packs that recipes name to the index, and remember those that are gone. Returns how many were added.
    fn index_packs(&self, packs: &[PackFacts], context: &Context) -> Result<u64> {
        let gone = GonePacks::load(&self.mirror);
        let packs: Vec<&PackFacts> = packs.iter().filter(|pack| !gone.has(pack.name)).collect();
        let tables = each(self.blobs.concurrency(), packs.len(), context, |n| {
            match self.pack_table(packs[n]) {
                // What is damaged is named when it is read; here it is passed over.
                Err(Error::DamagedRemote { .. }) => Ok(Some(Vec::new())),
                other => other,
            }
        })?;
        let mut builder = index::SegmentBuilder::default();
        let (mut count, mut absent) = (0, Vec::new());
        for (facts, table) in packs.into_iter().zip(tables) {
            match table {
                Some(entries) if !entries.is_empty() => {
                    add_pack(&mut builder, facts, &entries);
                    count += 1;
                }
                Some(_) => {}
                None => absent.push(facts.name),
            }
        }
        gone.note(&absent)?;
        if count > 0 {
            self.put_segment(Kind::Index, &builder.finish())?;
        }
        Ok(count)
    }

    /// The chunks of a pack, by its table; `None` if the pack is not there.
    pub(super) fn pack_table(&self, facts: &PackFacts) -> Result<Option<Vec<super::pack::Entry>>> {
        let key = Kind::Pack.key(facts.name);
        let Some(bytes) = self.blobs.read_range(&key, facts.table_range())? else {
            return Ok(None);
        };
        match super::pack::parse_table(&bytes, facts) {
            Ok(entries) => Ok(Some(entries)),
            Err(why) => Err(super::catalog::damaged(&*self.blobs, key, why)),
        }
    }

    /// The chunks of a pack, by its table or, if that is damaged, by the records before the chunks.
    pub(super) fn salvaged_table(&self, facts: &PackFacts) -> Result<Option<Vec<super::pack::Entry>>> {
        let damage = match self.pack_table(facts) {
            Err(damage @ Error::DamagedRemote { .. }) => damage,
            other => return other,
        };
        let whole = self.blobs.read(&Kind::Pack.key(facts.name))?.unwrap_or_default();
        let entries = super::pack::scan(&whole);
        if entries.len() == facts.chunks as usize {
            Ok(Some(entries))
        } else {
            Err(damage)
        }
    }

    /// Make the index anew from the packs that no segment knows. Returns how many packs that were.
    pub(super) fn rebuild_index(&self, context: &Context) -> Result<u64> {
        let known = Index::load(&*self.blobs, &self.mirror, context)?.packs();
        let listed = self.blobs.list(Kind::Pack.prefix())?;
        let unknown: Vec<_> = listed
            .iter()
            .filter_map(|entry| Some((super::name::name_of(&entry.key)?, entry)))
            .filter(|(name, _)| !known.contains(name))
            .collect();
        let tables = each(self.blobs.concurrency(), unknown.len(), context, |n| {
            let (name, entry) = unknown[n];
            let trailer = entry.size.saturating_sub(super::pack::TRAILER as u64)..entry.size;
            let Some(bytes) = self.blobs.read_range(&entry.key, trailer)? else {
                return Ok(None);
            };
            let Ok(facts) = super::pack::parse_trailer(name, &bytes, entry.size) else {
                context.warn(
                    "store::damaged_pack",
                    format!(
                        "`{}` in {} is damaged and is passed over",
                        entry.key,
                        self.blobs.place()
                    ),
                );
                return Ok(None);
            };
            Ok(self.pack_table(&facts)?.map(|entries| (facts, entries)))
        })?;
        let mut builder = index::SegmentBuilder::default();
        let mut count = 0;
        for (facts, entries) in tables.into_iter().flatten() {
            add_pack(&mut builder, &facts, &entries);
            count += 1;
        }
        if count > 0 {
            self.put_segment(Kind::Index, &builder.finish())?;
        }
        Ok(count)
    }
}

/// An index segment that was written, if one was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IndexWritten {
    name: Option<StoredName>,
    pub(super) bytes: u64,
}

/// Write an index segment of all packs that are noted as complete.
pub(super) fn commit_index(site: &Site) -> Result<IndexWritten> {
    let journal = Journal::new(&site.mirror);
    let noted = journal.open()?;
    if noted.is_empty() {
        return Ok(IndexWritten::default());
    }
    let mut builder = index::SegmentBuilder::default();
    for (_, segment) in &noted {
        builder.absorb(segment, &|_| true)?;
    }
    let bytes = builder.finish();
    let name = site.put_segment(Kind::Index, &bytes)?;
    for (name, _) in &noted {
        journal.forget(*name)?;
    }
    Ok(IndexWritten {
        name: Some(name),
        bytes: bytes.len() as u64,
    })
}

/// The files in portions that are stored and committed together.
fn groups(mut rest: &[Source]) -> impl Iterator<Item = &[Source]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let count = rest
            .iter()
            .take(GROUP_FILES)
            .take_while(|source| {
                let fits = bytes == 0 || bytes + source.size <= GROUP_BYTES;
                bytes += source.size;
                fits
            })
            .count();
        let (group, later) = rest.split_at(count);
        rest = later;
        (!group.is_empty()).then_some(group)
    })
}

/// The recipes of files of known sizes that we may rely on.
fn usable<'a>(
    catalog: &'a Catalog,
    files: &[(ObjectId, u64)],
    avoid: &HashSet<StoredName>,
) -> Result<Vec<Option<Found<'a>>>> {
    let ids: Vec<ObjectId> = files.iter().map(|(id, _)| *id).collect();
    catalog.find_with(&ids, |n, found| {
        catalog.is_clean(found)
            && found.recipe.size == files[n].1
            && !avoid.contains(&found.segment.name)
            && found.packs().all(|pack| !avoid.contains(&pack.name))
    })
}

/// The files that have no recipe we may rely on. What the others rely on is noted.
fn missing(
    catalog: &Catalog,
    group: &[Source],
    avoid: &HashSet<StoredName>,
    relied: &mut Relied,
) -> Result<Vec<Source>> {
    let mut seen = HashSet::new();
    let known = group.iter().filter_map(|source| match source.content {
        Content::Known(id, _) => seen.insert(id).then_some((source, (id, source.size))),
        Content::New(_) => None,
    });
    let (sources, files): (Vec<&Source>, Vec<_>) = known.unzip();
    let mut todo = Vec::new();
    for (source, found) in sources.into_iter().zip(usable(catalog, &files, avoid)?) {
        match found {
            Some(found) => {
                relied.recipes.insert(found.segment.name);
                relied.packs.extend(found.packs().map(|pack| pack.name));
            }
            None => todo.push(source.clone()),
        }
    }
    Ok(todo)
}

/// Of files whose names were not known before, leave out what has a recipe already, and all but one of the same.
fn leave_out_known(
    files: &mut Vec<StoredFile>,
    catalog: &Catalog,
    avoid: &HashSet<StoredName>,
) -> Result<()> {
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.id));
    let asked: Vec<_> = files.iter().map(|file| (file.id, file.digests.size)).collect();
    let mut found = usable(catalog, &asked, avoid)?.into_iter();
    files.retain(|_| found.next().flatten().is_none());
    Ok(())
}

/// The recipes of what was stored, with only the packs they name.
fn recipes_of(stored: &Stored) -> recipe::SegmentBuilder {
    let mut builder = recipe::SegmentBuilder::default();
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for file in &stored.files {
        let runs = file.runs.iter().map(|run| {
            let number = *numbers
                .entry(run.pack)
                .or_insert_with(|| builder.pack(&stored.packs[run.pack as usize]));
            Run { pack: number, ..*run }
        });
        let runs = runs.collect();
        builder.push(Recipe {
            id: file.id,
            size: file.digests.size,
            blake3: file.digests.blake3,
            stored: None,
            runs,
        });
    }
    builder
}

/// The local folder of a remote's mirror below a cache.
pub(super) fn mirror_of(folder: &Path, format: &RemoteFormat) -> std::path::PathBuf {
    folder.join(format.id.to_string())
}
