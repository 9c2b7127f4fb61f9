//! Packs to files: plan the reads, read in few ranges, verify every chunk and every file.
//!
//! Files of up to a few MiB are put together in memory, as many at a time as MD5 has lanes; larger ones are written part
//! by part under a temporary name and hashed when all parts are there, while they are in the page cache. What waits for a network
//! holds stored bytes only; so more pieces of work are fetched than are decoded. Memory: stored bytes of [`FETCHED`] pieces of work and half as many
//! ahead, raw bytes of as many as there are cores and one more, and 48 bytes a chunk of a group of files: below 256 MiB with what a network needs. Chunks that
//! lie in the cache already are taken from there; runs of them in a large file are copied by the system, which shares their
//! blocks where the disk can, so that a new version takes the disk only what is new about it. It is read once all the same. Invariant: an object gets its name in the cache only after its MD5
//! and its BLAKE3, and with it that of each chunk, were right.

mod read;
mod spans;
mod stream;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use backlot_core::context::Running;
use backlot_core::file::TemporaryFolder;
use backlot_core::{Blake3, Context, Operation, shared};
use fs_err as fs;

use self::read::{Source, chunks_in};
use self::spans::Spans;
pub(crate) use self::stream::FileStream;
use super::catalog::{Catalog, Found};
use super::filter::Coder;
use super::name::{Kind, StoredName};
use super::pack::{Entry, PackFacts};
use super::push::{ChunkedRepository, GROUP_BYTES};
use super::put::StoredFile;
use super::recipe::Recipe;
use super::relied::Relied;
use super::seeds::{SeedReader, Seeds};
use super::wire::{Malformed, blake3_of};
use crate::cache::{Cache, set_read_only};
use crate::error::{Error, Result};
use crate::hash;
use crate::hash::md5::{Md5Hasher, update_many};
use crate::holes;
use crate::object::{FileDigests, ObjectId, Transfer};
use crate::parallel::{Budget, each, portions};
use crate::remote::Fetched;

/// Raw bytes of pieces of work that are decoded at once, at most.
const DECODED: u64 = 36 << 20;
/// The smallest and largest piece of work, in raw bytes: so large that a request for neighbouring chunks is one for megabytes.
const JOB: std::ops::RangeInclusive<u64> = 6 << 20..=12 << 20;
/// Pieces of work that are fetched at once, at most.
const FETCHED: usize = 12;
/// Files in one piece of work.
const JOB_FILES: usize = 512;
/// Bytes of large files that wait for their hash.
const WAVE: u64 = 2 << 30;

const WRONG_CHUNK: Malformed = "a chunk does not match its digest";

/// The tables of packs; `None` for one that is missing or damaged.
type Tables = HashMap<StoredName, Option<Vec<Entry>>>;

/// A file that is to be put together.
#[derive(Debug)]
pub(super) struct FilePlan {
    /// Which of the transfers it is.
    pub(super) item: usize,
    pub(super) recipe: Recipe,
    pub(super) chunks: Vec<(StoredName, Entry)>,
}

/// A part of a large file: which of the wave's, its chunks, where it begins.
type Part<'a> = (usize, &'a [(StoredName, Entry)], u64);

/// What became of a part of a large file.
#[derive(Clone, Copy, Debug)]
struct PlacedPart {
    sound: bool,
    /// Whether bytes of cache objects are in it that nothing has proven.
    copied: bool,
}

/// A large file that was put together.
#[derive(Debug)]
struct Assembled {
    item: usize,
    fetched: Fetched,
    copied: bool,
}

struct Getter<'a> {
    site: &'a ChunkedRepository,
    items: &'a [Transfer],
    cache: &'a Cache,
    seeds: SeedReader<'a>,
    temporaries: &'a TemporaryFolder,
    running: &'a Running<'a>,
    context: &'a Context,
    /// Raw bytes of one piece of work.
    job: u64,
    /// Raw bytes that are decoded at once.
    decoded: Budget,
    damaged: Mutex<BTreeMap<StoredName, &'static str>>,
}

impl ChunkedRepository {
    /// Bytes of one piece of work.
    fn job(&self) -> u64 {
        (48_u64 << 20)
            .div_ceil(self.blobs.concurrency() as u64)
            .clamp(*JOB.start(), *JOB.end())
    }

    /// How many pieces of work are in progress at once.
    pub(super) fn parallel_jobs(&self) -> usize {
        self.blobs.concurrency().min(FETCHED)
    }

    /// Fetch objects into a cache. One result for each, and the condemned objects that they consist of.
    pub(super) fn pull(
        &self,
        cache: &Cache,
        items: &[Transfer],
        context: &Context,
    ) -> Result<(Vec<Fetched>, Relied)> {
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        let bytes = items.iter().filter_map(|t| t.size).sum();
        let running = context.start(Operation::Pull, items.len() as u64, bytes);
        let temporaries = shared::temporary_folder(&cache.temporaries(), items.len())?;
        let seeds = Seeds::of(cache);
        let getter = Getter {
            site: self,
            items,
            cache,
            seeds: seeds.open()?,
            temporaries: &temporaries,
            running: &running,
            context,
            job: self.job(),
            decoded: Budget::new(DECODED.min((context.pool().threads() as u64 + 1) * self.job())),
            damaged: Mutex::default(),
        };
        let mut results = vec![Fetched::Missing; items.len()];
        let mut condemned: BTreeMap<usize, Relied> = BTreeMap::new();
        let mut stored = Vec::new();
        let mut rest: Vec<usize> = (0..items.len()).collect();
        for is_last in [false, true] {
            for attempt in 0.. {
                let found = candidates(&catalog, items, &rest, attempt)?;
                if found.is_empty() {
                    break;
                }
                for (item, found) in &found {
                    let mut relied = Relied::default();
                    relied.add_condemned(&catalog, found);
                    condemned.insert(*item, relied);
                }
                let mut failed = Vec::new();
                for group in groups(found) {
                    getter.group(group, &mut results, &mut failed, &mut stored)?;
                }
                rest = failed;
            }
            if is_last || !getter.forgets_nearer_packs() {
                break;
            }
        }
        seeds.note(&stored)?;
        getter.tell_damage();
        if let Some(object) = catalog.damaged.first()
            && results.iter().any(|r| matches!(r, Fetched::Missing))
        {
            return Err(super::catalog::damaged(
                &*self.blobs,
                object.clone(),
                "its contents cannot be found",
            ));
        }
        let mut relied = Relied::default();
        for (item, condemned) in condemned {
            if matches!(results[item], Fetched::Stored(_)) {
                relied.packs.extend(condemned.packs);
                relied.recipes.extend(condemned.recipes);
            }
        }
        Ok((results, relied))
    }

    /// The tables of some packs.
    pub(super) fn tables(
        &self,
        packs: &BTreeMap<StoredName, PackFacts>,
        context: &Context,
    ) -> Result<Tables> {
        let list: Vec<&PackFacts> = packs.values().collect();
        let tables = each(self.blobs.concurrency(), list.len(), context, |n| {
            match self.salvaged_table(list[n]) {
                Err(Error::DamagedRemote { .. }) => Ok(None),
                other => other,
            }
        })?;
        Ok(list.into_iter().map(|facts| facts.name).zip(tables).collect())
    }
}

/// The recipes to try in some attempt: first the best one, later all others there are.
fn candidates<'a>(
    catalog: &'a Catalog,
    items: &[Transfer],
    rest: &[usize],
    attempt: usize,
) -> Result<Vec<(usize, Found<'a>)>> {
    let ids: Vec<ObjectId> = rest.iter().map(|item| items[*item].id).collect();
    let recipes = if attempt == 0 {
        catalog.find(&ids)?
    } else {
        let chosen = |mut all: Vec<Found<'a>>| {
            all.sort_by_key(|found| !catalog.is_clean(found));
            (attempt < all.len()).then(|| all.swap_remove(attempt))
        };
        catalog.find_all(&ids)?.into_iter().map(chosen).collect()
    };
    let found = rest.iter().zip(recipes);
    Ok(found
        .filter_map(|(item, recipe)| Some((*item, recipe?)))
        .collect())
}

/// Groups whose tables fit into memory.
fn groups(found: Vec<(usize, Found<'_>)>) -> Vec<Vec<(usize, Found<'_>)>> {
    let mut groups = Vec::new();
    let mut bytes = u64::MAX;
    for one in found {
        if bytes.saturating_add(one.1.recipe.size) > GROUP_BYTES {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += one.1.recipe.size;
        if let Some(group) = groups.last_mut() {
            group.push(one);
        }
    }
    groups
}

/// Lay out files from the tables of their packs, in the order in which packs hold them. Those whose tables are missing or
/// do not fit are returned apart.
pub(super) fn plan(group: Vec<(usize, Found<'_>)>, tables: &Tables) -> (Vec<FilePlan>, Vec<usize>) {
    let (mut plans, mut broken) = (Vec::new(), Vec::new());
    for (item, found) in group {
        match chunks_of(&found, tables) {
            Some(chunks) => plans.push(FilePlan {
                item,
                recipe: found.recipe,
                chunks,
            }),
            None => broken.push(item),
        }
    }
    plans.sort_by_key(|plan| plan.chunks.first().map(|(pack, entry)| (*pack, entry.offset)));
    (plans, broken)
}

fn chunks_of(found: &Found<'_>, tables: &Tables) -> Option<Vec<(StoredName, Entry)>> {
    let mut chunks = Vec::new();
    for run in &found.recipe.runs {
        let name = found.segment.packs().get(run.pack as usize)?.name;
        let table = tables.get(&name)?.as_ref()?;
        let range = run.first as usize..(run.first as usize).checked_add(run.count as usize)?;
        chunks.extend(table.get(range)?.iter().map(|entry| (name, *entry)));
    }
    (raw_bytes(chunks.iter()) == found.recipe.size).then_some(chunks)
}

impl Getter<'_> {
    fn group(
        &self,
        group: Vec<(usize, Found<'_>)>,
        results: &mut [Fetched],
        failed: &mut Vec<usize>,
        stored: &mut Vec<StoredFile>,
    ) -> Result<()> {
        let packs: BTreeMap<StoredName, PackFacts> = group
            .iter()
            .flat_map(|(_, found)| found.packs().map(|pack| (pack.name, *pack)))
            .collect();
        let tables = self.site.tables(&packs, self.context)?;
        for name in packs
            .keys()
            .filter(|name| !matches!(tables.get(name), Some(Some(_))))
        {
            self.blame(*name, "its table is missing or damaged");
        }
        let (plans, broken) = plan(group, &tables);
        drop(tables);
        for item in broken {
            results[item] = Fetched::Damaged;
            failed.push(item);
        }
        let (small, large): (Vec<_>, Vec<_>) =
            plans.into_iter().partition(|plan| plan.recipe.size <= self.job);
        let jobs: Vec<&[FilePlan]> = portions(&small, self.job, JOB_FILES, size_of).collect();
        let spans = self.spans(jobs.iter().map(|plans| chunks_in(plans)));
        let mut done = each(self.site.parallel_jobs(), jobs.len(), self.context, |n| {
            self.files(jobs[n], (&spans, n))
        })?
        .concat();
        for wave in portions(&large, WAVE, usize::MAX, size_of) {
            done.extend(self.wave(&wave.iter().collect::<Vec<_>>())?);
        }
        for (item, fetched) in done {
            results[item] = fetched;
            if matches!(fetched, Fetched::Damaged) {
                failed.push(item);
            }
        }
        stored.extend(
            small
                .into_iter()
                .chain(large)
                .filter_map(|plan| match results[plan.item] {
                    Fetched::Stored(digests) => Some(plan.into_stored(digests)),
                    _ => None,
                }),
        );
        Ok(())
    }

    fn blame(&self, pack: StoredName, why: &'static str) {
        if let Ok(mut damaged) = self.damaged.lock() {
            damaged.entry(pack).or_insert(why);
        }
    }

    /// Drop a site cache's copies of damaged packs. Returns whether reading them again may help.
    fn forgets_nearer_packs(&self) -> bool {
        let Ok(mut damaged) = self.damaged.lock() else {
            return false;
        };
        let before = damaged.len();
        damaged.retain(|pack, _| !self.site.blobs.forget(&Kind::Pack.key(*pack)));
        damaged.len() < before
    }

    fn tell_damage(&self) {
        let Ok(damaged) = self.damaged.lock() else { return };
        for (pack, why) in damaged.iter() {
            let key = Kind::Pack.key(*pack);
            let place = self.site.blobs.place();
            self.context.warn(
                "store::damaged_pack",
                format!("`{key}` in {place} is damaged: {why}"),
            );
        }
    }

    /// Put whole files together in memory, prove them, and give them to the cache.
    fn files(&self, plans: &[FilePlan], spans: (&Spans, usize)) -> Result<Vec<(usize, Fetched)>> {
        let source = self.read(chunks_in(plans), spans)?;
        let _share = self.decoded.take(raw_bytes(chunks_in(plans)));
        let mut whole: Vec<Option<(Vec<u8>, Blake3)>> = Vec::with_capacity(plans.len());
        for plan in plans {
            whole.push(Coder::with(|coder| {
                self.assemble(&plan.chunks, &source, Some(&plan.recipe.blake3), coder)
            })?);
        }
        drop(source);
        let mut hashers = vec![Md5Hasher::default(); plans.len()];
        let mut lanes: Vec<(&mut Md5Hasher, &[u8])> = hashers
            .iter_mut()
            .zip(&whole)
            .filter_map(|(hasher, whole)| Some((hasher, whole.as_ref()?.0.as_slice())))
            .collect();
        update_many(&mut lanes);
        let mut done = Vec::with_capacity(plans.len());
        let mut total = 0;
        for ((plan, whole), hasher) in plans.iter().zip(whole).zip(hashers) {
            let fetched = match whole {
                Some((bytes, blake3)) => {
                    total += bytes.len() as u64;
                    let digests = FileDigests {
                        md5: hasher.finish(),
                        blake3,
                        size: bytes.len() as u64,
                    };
                    self.keep(plan, &bytes, digests)?
                }
                None => Fetched::Damaged,
            };
            done.push((plan.item, fetched));
        }
        self.running.advance(plans.len() as u64, total);
        Ok(done)
    }

    fn is_right(&self, plan: &FilePlan, digests: &FileDigests) -> bool {
        digests.blake3 == plan.recipe.blake3 && self.items[plan.item].is_met_by(digests)
    }

    fn keep(&self, plan: &FilePlan, bytes: &[u8], digests: FileDigests) -> Result<Fetched> {
        if !self.is_right(plan, &digests) {
            return Ok(Fetched::Damaged);
        }
        let temporary = self.temporaries.file(plan.item);
        let mut file = hash::create(&hash::Copy {
            temporary: temporary.clone(),
            mode: 0o444,
            durable: false,
        })?;
        holes::write_whole(&mut file, bytes)?;
        drop(file);
        self.cache
            .publish(&temporary, &self.items[plan.item].id, &digests)?;
        Ok(Fetched::Stored(digests))
    }

    /// Large files, part by part, then their hashes. Ranges of them that cache objects have are copied by the system, or shared
    /// with them where the disk can, and only the hash of the whole proves those; a file that is wrong then, or whose ranges
    /// could not be copied, is put together once more of proven chunks.
    fn wave(&self, plans: &[&FilePlan]) -> Result<Vec<(usize, Fetched)>> {
        let mut done = self.put_together(plans, holes::COPIES && !self.seeds.is_empty())?;
        let again = |one: &Assembled| one.copied && matches!(one.fetched, Fetched::Damaged);
        let wrong: BTreeSet<usize> = done
            .extract_if(.., |one| again(one))
            .map(|one| one.item)
            .collect();
        if !wrong.is_empty() {
            let plans: Vec<&FilePlan> = plans
                .iter()
                .copied()
                .filter(|p| wrong.contains(&p.item))
                .collect();
            done.extend(self.put_together(&plans, false)?);
        }
        Ok(done.into_iter().map(|one| (one.item, one.fetched)).collect())
    }

    fn put_together(&self, plans: &[&FilePlan], may_copy: bool) -> Result<Vec<Assembled>> {
        let mut files = Vec::with_capacity(plans.len());
        let mut jobs = Vec::new();
        for (number, plan) in plans.iter().enumerate() {
            let file = fs::File::create(self.temporaries.file(plan.item))?;
            file.set_len(plan.recipe.size)?;
            files.push(file);
            jobs.extend(parts(number, plan, self.job));
        }
        let spans = self.spans(jobs.iter().map(|(_, chunks, _)| chunks.iter()));
        let placed = each(self.site.parallel_jobs(), jobs.len(), self.context, |n| {
            let (number, chunks, offset) = jobs[n];
            Ok((
                number,
                self.part(&files[number], (chunks, offset), (&spans, n), may_copy)?,
            ))
        })?;
        drop(files);
        let (mut broken, mut copied) = (BTreeSet::new(), BTreeSet::new());
        for (number, part) in placed {
            let item = plans[number].item;
            broken.extend((!part.sound).then_some(item));
            copied.extend(part.copied.then_some(item));
        }
        let is_whole = |plan: &&FilePlan| !broken.contains(&plan.item);
        let whole: Vec<&FilePlan> = plans.iter().copied().filter(is_whole).collect();
        let mut done: Vec<(usize, Fetched)> = broken.iter().map(|item| (*item, Fetched::Damaged)).collect();
        done.extend(self.prove_large(&whole)?);
        let assembled = |(item, fetched)| Assembled {
            item,
            fetched,
            copied: copied.contains(&item),
        };
        Ok(done.into_iter().map(assembled).collect())
    }

    fn prove_large(&self, plans: &[&FilePlan]) -> Result<Vec<(usize, Fetched)>> {
        let jobs: Vec<hash::Job> = plans
            .iter()
            .map(|plan| hash::Job {
                source: self.temporaries.file(plan.item),
                copy: None,
            })
            .collect();
        let silent = Context::default().with_cancel(self.context.cancel().clone());
        let running = silent.start(Operation::Verify, jobs.len() as u64, 0);
        let results = hash::run(&jobs, &|_, _| Ok(false), &|_, _| Ok(()), &running, &silent);
        let mut done = Vec::with_capacity(plans.len());
        for (plan, result) in plans.iter().zip(results) {
            let digests = result?.digests;
            let temporary = self.temporaries.file(plan.item);
            let fetched = if self.is_right(plan, &digests) {
                set_read_only(&temporary)?;
                self.cache
                    .publish(&temporary, &self.items[plan.item].id, &digests)?;
                Fetched::Stored(digests)
            } else {
                Fetched::Damaged
            };
            self.running.advance(1, 0);
            done.push((plan.item, fetched));
        }
        Ok(done)
    }

    /// Put a part of a file in its place.
    fn part(
        &self,
        file: &fs::File,
        (chunks, offset): (&[(StoredName, Entry)], u64),
        spans: (&Spans, usize),
        may_copy: bool,
    ) -> Result<PlacedPart> {
        let ranges = if may_copy {
            self.seeds.ranges(chunks)
        } else {
            Vec::new()
        };
        let mut placed = PlacedPart {
            sound: true,
            copied: !ranges.is_empty(),
        };
        let mut rest = Vec::new();
        let mut next = 0;
        for range in &ranges {
            self.context.check()?;
            rest.push(next..range.chunks.start);
            next = range.chunks.end;
            if self.seeds.copy(range, file, offset).is_err() {
                placed.sound = false;
                return Ok(placed);
            }
            self.running.advance(0, range.length);
        }
        rest.push(next..chunks.len());
        let wanted = rest.iter().flat_map(|run| &chunks[run.clone()]);
        let source = self.read(wanted, spans)?;
        let _share = self.decoded.take(raw_bytes(chunks.iter()));
        for run in rest.into_iter().filter(|run| !run.is_empty()) {
            let before = raw_bytes(chunks[..run.start].iter());
            let assembled = Coder::with(|coder| self.assemble(&chunks[run], &source, None, coder))?;
            let Some((bytes, _)) = assembled else {
                placed.sound = false;
                return Ok(placed);
            };
            holes::write_at(file, &bytes, offset + before)?;
            self.running.advance(0, bytes.len() as u64);
        }
        Ok(placed)
    }

    /// Decode chunks one behind the other. Where they are a whole file, its BLAKE3 proves them all at once, and only if it
    /// is wrong each is proven to find the pack to blame; else each is proven. `None` if one is damaged.
    fn assemble(
        &self,
        chunks: &[(StoredName, Entry)],
        source: &Source,
        whole: Option<&Blake3>,
        coder: &mut Coder,
    ) -> Option<(Vec<u8>, Blake3)> {
        let length = chunks.iter().map(|(_, entry)| entry.raw as usize).sum();
        let mut bytes = Vec::with_capacity(length);
        let mut hasher = blake3::Hasher::new();
        for (pack, entry) in chunks {
            let start = bytes.len();
            if let Err(why) = source.raw(*pack, entry, coder, &mut bytes) {
                self.blame(*pack, why);
                return None;
            }
            if whole.is_some() {
                hasher.update(&bytes[start..]);
            } else if blake3_of(&bytes[start..]) != entry.id {
                self.blame(*pack, WRONG_CHUNK);
                return None;
            }
        }
        let found = Blake3::from_bytes(*hasher.finalize().as_bytes());
        if whole.is_none_or(|expected| *expected == found) {
            return Some((bytes, found));
        }
        let mut rest = bytes.as_slice();
        for (pack, entry) in chunks {
            let (chunk, later) = rest.split_at(entry.raw as usize);
            rest = later;
            if blake3_of(chunk) != entry.id {
                self.blame(*pack, WRONG_CHUNK);
            }
        }
        None
    }
}

/// How many bytes chunks are.
fn raw_bytes<'c>(chunks: impl Iterator<Item = &'c (StoredName, Entry)>) -> u64 {
    chunks.map(|(_, entry)| u64::from(entry.raw)).sum()
}

fn size_of(plan: &FilePlan) -> u64 {
    plan.recipe.size
}

/// A large file to pieces of work.
fn parts(number: usize, plan: &FilePlan, most: u64) -> Vec<Part<'_>> {
    let mut jobs = Vec::new();
    let (mut start, mut offset, mut bytes) = (0, 0, 0);
    for (n, (_, entry)) in plan.chunks.iter().enumerate() {
        if bytes + u64::from(entry.raw) > most {
            jobs.push((number, &plan.chunks[start..n], offset));
            (start, offset, bytes) = (n, offset + bytes, 0);
        }
        bytes += u64::from(entry.raw);
    }
    jobs.push((number, &plan.chunks[start..], offset));
    jobs
}

impl FilePlan {
    fn into_stored(self, digests: FileDigests) -> StoredFile {
        StoredFile {
            digests,
            id: self.recipe.id,
            runs: Vec::new(),
            chunks: self
                .chunks
                .iter()
                .map(|(_, entry)| (entry.id, entry.raw))
                .collect(),
        }
    }
}
