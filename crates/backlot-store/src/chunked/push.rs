//! Pushing: store missing content, commit it, then check it again.
//!
//! The writer's half of the protocol in `docs/format/remote-chunked.md`: read tombs, then recipes and index; never rely on
//! what is condemned; packs, then index, then recipes (the commit point); then read tombs again and see that every pack
//! and segment relied on is still there. What is not is stored again under new names. Only then success is reported. So
//! no lock is needed, and no condition on any request.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use backlot_core::context::Running;
use backlot_core::{Blake3, Context, Operation};

use super::blob::BlobStore;
use super::catalog::{Catalog, Found, Index};
use super::config::RemoteFormat;
use super::index;
use super::mirror::Mirror;
use super::name::{Kind, StoredName};
use super::open_file::{CacheSink, Content, Source};
use super::put::{Pipeline, Stored, StoredFile};
use super::recipe::{self, Recipe, Run};
use super::relied::{Relied, Rounds};
use super::seeds::Seeds;
use super::tiers::Merger;
use super::whole_index::commit_index;
use super::writer::{Journal, PackStream};
use crate::error::{Error, Result};
use crate::object::ObjectId;
use crate::parallel::portions;

/// Files are stored and committed in groups of about this many bytes and at most this many files.
pub(super) const GROUP_BYTES: u64 = 32 << 30;
const GROUP_FILES: usize = 200_000;
/// An open remote with its local folder.
#[derive(Debug)]
pub(super) struct ChunkedRepository {
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) format: RemoteFormat,
    /// Segments that were fetched, and the journal of pushes.
    pub(super) mirror: std::path::PathBuf,
}

/// The result of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) already_there: u64,
    /// Bytes of the packs and segments that were written.
    pub(super) sent: u64,
}

/// Segments that a push wrote.
#[derive(Debug, Default)]
struct Written {
    index: HashSet<StoredName>,
    recipes: HashSet<StoredName>,
}

/// What to do with a file if the remote has different content under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameName {
    /// An error, before anything is sent: readers would get either.
    Refuse,
    /// Replace it. The existing object was found to be damaged.
    Replace,
}

/// The rules of a push.
pub(super) struct Work<'a> {
    /// Where chunks of files in the cache are remembered.
    pub(super) seeds: Option<&'a Seeds>,
    /// Packs that nothing relies on: damaged ones, and those that collectors took.
    pub(super) avoid: HashSet<StoredName>,
    /// Where files go that are read for the first time.
    pub(super) intake: Option<&'a CacheSink<'a>>,
    pub(super) running: &'a Running<'a>,
    pub(super) context: &'a Context,
}

impl ChunkedRepository {
    /// Store files. With `avoid`, nothing in these packs is relied on (they are damaged).
    pub(super) fn push(
        &self,
        sources: &[Source],
        seeds: Option<&Seeds>,
        (avoid, same_name): (&HashSet<StoredName>, SameName),
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
            self.push_group(group, work, same_name, &mut pushed)?;
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
            // A view that lacks what was just written is as good: it is merged in its turn.
            let seen = if own.is_empty() {
                Ok(catalog)
            } else {
                Catalog::load(&*self.blobs, &self.mirror, work.context)
            };
            self.merge_recipes(seen, &own, work.context)?;
        }
        Ok(pushed)
    }

    fn push_group(
        &self,
        group: &[Source],
        mut work: Work<'_>,
        same_name: SameName,
        pushed: &mut Pushed,
    ) -> Result<()> {
        let mut rounds = Rounds::default();
        let (mut own, mut counted) = (HashSet::new(), HashSet::new());
        loop {
            let catalog = Catalog::load(&*self.blobs, &self.mirror, work.context)?;
            let mut relied = Relied::default();
            let todo = missing(&catalog, group, &work.avoid, &mut relied)?;
            if same_name == SameName::Refuse {
                self.refuse_same_name(&catalog, &todo)?;
            }
            let first = rounds.is_first();
            if first {
                pushed.already_there += (group.len() - todo.len()) as u64;
            }
            // What is stored again was counted already, but for what seemed to be there and was lost meanwhile.
            let new: Vec<&Source> = todo
                .iter()
                .filter(|source| counted.insert(source.path.clone()))
                .collect();
            if !todo.is_empty() {
                let mut again = Pushed::default();
                let stored = if first { &mut *pushed } else { &mut again };
                own.extend(self.store(&todo, &catalog, &work, &mut relied, stored)?);
                pushed.sent += again.sent;
            }
            if !first {
                pushed.objects += new.len() as u64;
                pushed.bytes += new.iter().map(|source| source.size).sum::<u64>();
                pushed.already_there = pushed.already_there.saturating_sub(new.len() as u64);
            }
            let lost = self.lost(&relied, work.context)?;
            if lost.is_empty() {
                let seen = if own.is_empty() {
                    Ok(catalog)
                } else {
                    let from = super::mirror::Source::Mirror;
                    Catalog::load_after(lost.tombs, from, &*self.blobs, &self.mirror, work.context)
                };
                return self.merge_recipes(seen, &own, work.context);
            }
            rounds.another(&lost, &*self.blobs)?;
            work.avoid.extend(lost.packs);
            work.avoid.extend(lost.condemned_recipes);
        }
    }

    /// An error if there are recipes of other content under the names of files that are to be stored.
    fn refuse_same_name(&self, catalog: &Catalog, todo: &[Source]) -> Result<()> {
        let known = todo.iter().filter_map(|source| match source.content {
            Content::Known(id, Some(proof)) => Some((source, id, proof)),
            Content::Known(..) | Content::New(_) => None,
        });
        let known: Vec<_> = known.collect();
        let ids: Vec<ObjectId> = known.iter().map(|(_, id, _)| *id).collect();
        let is_other = |n: usize, found: &Found<'_>| {
            let (source, _, proof) = known[n];
            catalog.is_clean(found) && (found.recipe.blake3, found.recipe.size) != (proof, source.size)
        };
        let found = catalog.find_with(&ids, is_other)?;
        match known.iter().zip(found).find(|(_, found)| found.is_some()) {
            None => Ok(()),
            Some(((source, id, _), _)) => Err(Error::SameMd5 {
                what: format!("`{}`", source.path.display()),
                md5: id.md5,
                other: format!("a file in {}", self.blobs.place()),
            }),
        }
    }

    /// Merge recipe segments, if it is the turn of this push.
    fn merge_recipes(
        &self,
        seen: Result<Catalog>,
        own: &HashSet<StoredName>,
        context: &Context,
    ) -> Result<()> {
        let merger = Merger::Push(own, fastrand::f64());
        let merged = seen.and_then(|catalog| self.compact_recipes(catalog, &merger, context));
        self.unless_cancelled(merged, context)
    }

    /// Merge index segments, if it is the turn of this push.
    fn merge_index_of(&self, own: &HashSet<StoredName>, context: &Context) -> Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        let merger = Merger::Push(own, fastrand::f64());
        let index = Index::load(&*self.blobs, &self.mirror, context);
        let merged = index.and_then(|index| self.compact_index(index, &merger, context));
        self.unless_cancelled(merged, context)
    }

    /// What is pushed is stored whether or not its segments could be merged: a remote where nothing may be deleted is as good.
    fn unless_cancelled(&self, merged: Result<()>, context: &Context) -> Result<()> {
        match merged {
            Err(error) if !matches!(error, Error::Cancelled(_)) => {
                let place = self.blobs.place();
                let message =
                    format!("the files are stored in {place}, but its segments could not be merged: {error}");
                context.warn("store::not_merged", message);
                Ok(())
            }
            merged => merged,
        }
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
        let known = |id: &Blake3| {
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
        let stream = PackStream::start(&self.blobs, self.format.packs, &self.mirror);
        let pipeline = Pipeline::new(&self.format, &known, work.intake, stream);
        let mut stored = pipeline.run(todo, work.running, work.context)?;
        if work.intake.is_some() {
            leave_out_known(&mut stored.files, catalog, &work.avoid)?;
        }
        pushed.objects += stored.files.len() as u64;
        pushed.bytes += stored.files.iter().map(|file| file.digests.size).sum::<u64>();
        let own = self.commit(&stored, relied, pushed)?;
        drop(index);
        self.merge_index_of(&own.index, work.context)?;
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
        let length = |(name, segment): &(StoredName, index::Segment)| {
            let mut packs = segment.containers().iter();
            (
                *name,
                packs.find(|pack| pack.name == *name).map(|pack| pack.length),
            )
        };
        let packs: Vec<_> = noted.iter().map(length).collect();
        let there = self.are_whole(&packs, context)?;
        for ((name, _), there) in packs.iter().zip(&there) {
            if !there || indexed.contains(name) {
                journal.forget(*name)?;
            }
        }
        let names = packs.into_iter().map(|(name, _)| name);
        let there: HashMap<StoredName, bool> = names.zip(there).collect();
        noted.retain(|(name, _)| there.get(name) == Some(&true) && !indexed.contains(name));
        Ok(noted)
    }

    /// Make stored content findable: index first, then the recipes, which are the commit point.
    fn commit(&self, stored: &Stored, relied: &mut Relied, pushed: &mut Pushed) -> Result<Written> {
        let mut written = Written::default();
        let index = commit_index(self)?;
        pushed.sent += stored.sent + index.bytes;
        written.index.extend(index.name);
        let builder = recipes_of(stored);
        relied.rely_on(builder.packs());
        if !builder.is_empty() {
            let bytes = builder.finish();
            pushed.sent += bytes.len() as u64;
            let name = self.put_segment(Kind::Recipe, &bytes)?;
            written.recipes.insert(name);
            relied.recipes.insert(name);
        }
        Ok(written)
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
}

/// The files in portions that are stored and committed together.
fn groups(files: &[Source]) -> impl Iterator<Item = &[Source]> {
    portions(files, GROUP_BYTES, GROUP_FILES, |file| file.size)
}

/// The recipes of files of known sizes, and proofs where they are known, that we may rely on.
fn usable<'a>(
    catalog: &'a Catalog,
    files: &[(ObjectId, u64, Option<Blake3>)],
    avoid: &HashSet<StoredName>,
) -> Result<Vec<Option<Found<'a>>>> {
    let ids: Vec<ObjectId> = files.iter().map(|(id, ..)| *id).collect();
    catalog.find_with(&ids, |n, found| {
        let (_, size, proof) = files[n];
        catalog.is_clean(found)
            && found.recipe.size == size
            && proof.is_none_or(|proof| proof == found.recipe.blake3)
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
        Content::Known(id, proof) => seen.insert(id).then_some((source, (id, source.size, proof))),
        Content::New(_) => None,
    });
    let (sources, files): (Vec<&Source>, Vec<_>) = known.unzip();
    let mut todo = Vec::new();
    for (source, found) in sources.into_iter().zip(usable(catalog, &files, avoid)?) {
        match found {
            Some(found) => {
                relied.rely_on_recipe(&found)?;
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
    let asked: Vec<_> = files
        .iter()
        .map(|file| (file.id, file.digests.size, None))
        .collect();
    let mut found = usable(catalog, &asked, avoid)?.into_iter();
    files.retain(|_| found.next().flatten().is_none());
    Ok(())
}

/// The recipes of stored files, with only the packs they refer to.
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
