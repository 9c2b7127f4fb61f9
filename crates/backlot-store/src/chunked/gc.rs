//! Collecting: what nothing needs is condemned first, and deleted a grace period later if still nothing needs it.
//!
//! The collector's half of the protocol in `docs/format/remote-chunked.md`. Condemning is writing a tomb; the objects stay
//! where they are, readable, and taking the tomb back restores them. Invariants: what is deleted was condemned by a tomb
//! that everybody could see for the grace period, and was not needed by any recipe listed after that; ages are differences
//! of the service's own times; a recipe segment that cannot be read stops everything; what a run writes anew it also
//! condemns in its old form, so a run never leaves more than live data, the unused part that is allowed, and what it wrote;
//! a tomb stays as long as anything that it names is there, since another collection may be acting on it.
//! Deliberately absent: the set to keep, which the caller provides.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use backlot_core::clock::Timestamp;
use backlot_core::{Context, Operation};
use serde::{Deserialize, Serialize};

use super::blob::BlobEntry;
use super::catalog::{Catalog, Found, Index, damaged};
use super::name::{Kind, StoredName, name_of};
use super::parts::KeptParts;
use super::push::ChunkedRepository;
use super::rewrite::Plan;
use super::tiers::Merger;
use super::tomb::{self, Condemned, TombContent, Tombstone};
use crate::error::{Error, Result};
use crate::object::ObjectId;

backlot_core::options! {
    /// How to collect.
    #[derive(Copy)]
    pub struct CollectOptions {
        /// How long a condemned object stays before it is deleted.
        pub grace: Duration,
        /// Objects younger than this are kept: a writer may be about to refer to them.
        pub young: Duration,
        /// No other writer is active while this runs: graces shorter than a push are then allowed.
        pub no_other_writers: bool,
        /// Parts of jobs older than this keep nothing and are dropped.
        pub parts: Duration,
        /// Unused bytes that may stay in packs, in hundredths of the bytes that are needed. Where there are more, packs are written
        /// anew without them, those with the least use first.
        pub max_unused: u8,
        /// Condemn even if it is most of the remote.
        pub allow_most: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_hours(14 * 24),
            young: Duration::from_hours(24),
            no_other_writers: false,
            parts: Duration::from_hours(30 * 24),
            max_unused: 10,
            allow_most: false,
            dry_run: false,
        }
    }
}

/// An object that is or was collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Its key on the remote.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why: `unreferenced`, `rewritten` or `damaged`.
    pub reason: String,
}

/// The result or plan of a collection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CollectReport {
    /// Files that are kept.
    pub files_kept: u64,
    /// Files that nothing needs.
    pub files_unreferenced: u64,
    /// Packs on the remote.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the packs that are needed.
    pub needed_bytes: u64,
    /// Packs that are rewritten because too little of them is needed, or because they are small.
    pub rewritten: u64,
    /// Bytes of packs and segments that were written for that.
    pub written_bytes: u64,
    /// Whether the run would take more than half of all files, which it refuses unless that is allowed (dry run only).
    pub takes_most: bool,
    /// Newly condemned objects; they are deleted by a collection after the grace period.
    pub condemned: Vec<Collected>,
    /// Previously condemned objects that are waiting.
    pub waiting: Vec<Collected>,
    /// Objects deleted by this run.
    pub deleted: Vec<Collected>,
    /// Parts of jobs whose files are kept.
    pub parts: u64,
    /// Parts, and records of their releases, that are too old and are dropped now.
    pub parts_dropped: Vec<String>,
    /// Condemned objects that are needed again. They are stored again now, or stay condemned until the next collection does so.
    pub spared: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The needs of live files at one moment.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) segments: HashSet<StoredName>,
    /// Packs, with the runs of their chunks that are needed: position and count.
    pub(super) packs: HashMap<StoredName, Vec<(u32, u32)>>,
    pub(super) files: HashSet<ObjectId>,
    /// Those of them that have no clean recipe.
    unclean: HashSet<ObjectId>,
    /// Bytes of these files.
    bytes: u64,
    /// The others, with their bytes if they can still be had.
    unreferenced: HashMap<ObjectId, u64>,
}

/// Objects of one kind by name.
pub(super) type Listed = BTreeMap<StoredName, BlobEntry>;

/// The remote as one collector sees it at one moment.
pub(super) struct View {
    pub(super) catalog: Catalog,
    pub(super) packs: Listed,
    /// Packs that are condemned because they cannot be read.
    damaged: HashSet<StoredName>,
    pub(super) needed: Needed,
    pub(super) now: Timestamp,
}

impl View {
    /// Whether a pack may be work in progress.
    pub(super) fn is_young(&self, pack: &StoredName, options: &CollectOptions) -> bool {
        self.packs
            .get(pack)
            .is_none_or(|entry| is_young(entry.modified, self.now, options))
    }

    /// Whether a needed file that has no clean recipe can be read by this one: everything is there, and none of it damaged.
    pub(super) fn is_last_way(&self, found: &Found<'_>) -> bool {
        let is_sound = |pack: &StoredName| self.packs.contains_key(pack) && !self.damaged.contains(pack);
        self.needed.unclean.contains(&found.recipe.id) && found.packs().all(|pack| is_sound(&pack.name))
    }

    /// The objects in tombs that are old enough.
    pub(super) fn doomed(&self, options: &CollectOptions) -> Condemned {
        let tombs = self.catalog.tombs.iter();
        Condemned::by(tombs.filter(|tomb| is_older(tomb.written, self.now, options.grace)))
    }

    /// Packs that nothing needs: neither young nor condemned yet.
    pub(super) fn unneeded_packs(&self, options: &CollectOptions) -> HashSet<StoredName> {
        let unneeded = |name: &&StoredName| {
            !self.needed.packs.contains_key(name)
                && !self.catalog.condemned.packs.contains(name)
                && !self.is_young(name, options)
        };
        self.packs.keys().filter(unneeded).copied().collect()
    }

    /// Recipe segments that nothing needs. What is in them is known, so their own age does not matter.
    fn unneeded_segments(&self) -> HashSet<StoredName> {
        let names = self.catalog.recipes.iter().map(|segment| segment.name);
        names
            .filter(|name| {
                !self.needed.segments.contains(name) && !self.catalog.condemned.recipes.contains(name)
            })
            .collect()
    }

    /// Bytes of files that this collection would make unreachable, if that is most of what there is.
    fn most(&self) -> Option<(u64, u64)> {
        let lost: u64 = self
            .needed
            .unreferenced
            .iter()
            .filter(|(id, _)| !self.needed.files.contains(id))
            .map(|(_, bytes)| *bytes)
            .sum();
        let all = lost + self.needed.bytes;
        (lost * 2 > all).then_some((lost, all))
    }
}

impl ChunkedRepository {
    /// Collect what `keep` does not name.
    pub(super) fn collect(
        &self,
        keep: &HashSet<ObjectId>,
        options: &CollectOptions,
        context: &Context,
    ) -> Result<CollectReport> {
        let running = context.start(Operation::Collect, 0, 0);
        let now = if options.dry_run {
            context.now()
        } else {
            self.server_time(context)?
        };
        let mut report = CollectReport {
            dry_run: options.dry_run,
            ..CollectReport::default()
        };
        let mut parts = KeptParts::default();
        let mut view = self.view((keep, &mut parts), now, options, context)?;
        if let Some((bytes, of)) = view.most().filter(|_| !options.allow_most) {
            if !options.dry_run {
                return Err(Error::CollectsMost {
                    place: self.blobs.place(),
                    bytes,
                    of,
                });
            }
            report.takes_most = true;
        }
        let plan = self.plan_rewrite(&view, options)?;
        report.rewritten = plan.packs.len() as u64;
        report.spared.extend(plan.spared.iter().cloned());
        if !options.dry_run && !plan.is_empty() {
            report.written_bytes = self.rewrite(&view, &plan, context)?;
            view = self.view((keep, &mut parts), now, options, context)?;
        }
        report.files_kept = view.needed.files.len() as u64;
        let files = &view.needed.files;
        report.files_unreferenced = view
            .needed
            .unreferenced
            .keys()
            .filter(|id| !files.contains(id))
            .count() as u64;
        self.condemn(&view, &plan, options, &mut report)?;
        running.advance(report.condemned.len() as u64, 0);
        self.sweep((keep, &mut parts), now, &plan, options, &mut report, context)?;
        report.spared.sort_unstable();
        report.spared.dedup();
        report.parts = parts.count;
        report.parts_dropped = parts.expired;
        if !options.dry_run {
            self.blobs.delete_many(&report.parts_dropped)?;
            self.blobs.tidy()?;
            self.put_in_order(context)?;
        }
        Ok(report)
    }

    /// Merge all segments that can be merged, and drop duplicates.
    pub(super) fn put_in_order(&self, context: &Context) -> Result<()> {
        let index = Index::load(&*self.blobs, &self.mirror, context)?;
        self.compact_index(index, &Merger::Upkeep, context)?;
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        self.compact_recipes(catalog, &Merger::Upkeep, context)
    }

    /// The current needs: the parts of jobs are listed each time, after the tombs.
    fn view(
        &self,
        (keep, parts): (&HashSet<ObjectId>, &mut KeptParts),
        now: Timestamp,
        options: &CollectOptions,
        context: &Context,
    ) -> Result<View> {
        let catalog = self.sound_catalog(context)?;
        let packs = self.listed(Kind::Pack)?;
        parts.refresh(self, now, options, context)?;
        let is_kept = |id: &ObjectId| keep.contains(id) || parts.files.contains(id);
        let needed = needed(&catalog, &packs, &is_kept, now, options)?;
        let damaged = catalog
            .tombs
            .iter()
            .filter(|tomb| tomb.content.reason == tomb::DAMAGED);
        Ok(View {
            damaged: Condemned::by(damaged).packs,
            catalog,
            packs,
            needed,
            now,
        })
    }

    fn sound_catalog(&self, context: &Context) -> Result<Catalog> {
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        match catalog.damaged.first() {
            Some(object) => Err(damaged(
                &*self.blobs,
                object.clone(),
                "its references cannot be determined, so nothing is collected",
            )),
            None => Ok(catalog),
        }
    }

    /// The time of the service: that of an object written now.
    fn server_time(&self, context: &Context) -> Result<Timestamp> {
        let key = format!("v1/clock/{}", StoredName::fresh());
        self.blobs.put(&key, b"now\n")?;
        let now = self.blobs.stat(&key)?.and_then(|entry| entry.modified);
        self.blobs.delete(&key)?;
        Ok(now.unwrap_or_else(|| context.now()))
    }

    fn listed(&self, kind: Kind) -> Result<Listed> {
        let entries = self.blobs.list(kind.prefix())?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| Some((name_of(&entry.key)?, entry)))
            .collect())
    }

    /// Write a tomb for everything unneeded, and for everything rewritten.
    fn condemn(
        &self,
        view: &View,
        plan: &Plan,
        options: &CollectOptions,
        report: &mut CollectReport,
    ) -> Result<()> {
        report.packs = view.packs.len() as u64;
        report.bytes = view.packs.values().map(|entry| entry.size).sum();
        let mut packs = view.unneeded_packs(options);
        let mut recipes = view.unneeded_segments();
        if options.dry_run {
            let condemned = &view.catalog.condemned;
            packs.extend(plan.packs.keys().filter(|name| !condemned.packs.contains(name)));
            recipes.extend(
                plan.segments
                    .iter()
                    .filter(|name| !condemned.recipes.contains(name)),
            );
        }
        let sizes = self.listed(Kind::Recipe)?;
        let collected = |name: &StoredName, listed: &Listed, anew: bool| {
            listed.get(name).map(|entry| Collected {
                key: entry.key.clone(),
                bytes: entry.size,
                reason: if anew { "rewritten" } else { "unreferenced" }.to_owned(),
            })
        };
        let condemned = packs
            .iter()
            .filter_map(|name| collected(name, &view.packs, plan.packs.contains_key(name)))
            .chain(
                recipes
                    .iter()
                    .filter_map(|name| collected(name, &sizes, plan.segments.contains(name))),
            );
        report.condemned.extend(condemned);
        report.condemned.sort_by(|a, b| a.key.cmp(&b.key));
        let kept = view
            .packs
            .iter()
            .filter(|(name, _)| view.needed.packs.contains_key(name));
        report.needed_bytes = kept.map(|(_, entry)| entry.size).sum();
        if !options.dry_run && !report.condemned.is_empty() {
            let sorted =
                |names: HashSet<StoredName>| names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            tomb::put(
                &*self.blobs,
                &TombContent::new("unreferenced", sorted(packs), sorted(recipes)),
            )?;
        }
        Ok(())
    }

    /// Delete the objects in old tombs that are still not needed by the current listing.
    fn sweep(
        &self,
        keep: (&HashSet<ObjectId>, &mut KeptParts),
        now: Timestamp,
        plan: &Plan,
        options: &CollectOptions,
        report: &mut CollectReport,
        context: &Context,
    ) -> Result<()> {
        // Listed anew: after the tombs, whoever wrote them, were there for all to see.
        let View {
            catalog,
            packs,
            mut needed,
            ..
        } = self.view(keep, now, options, context)?;
        if options.dry_run {
            // It would have been written anew by now.
            needed.packs.retain(|name, _| !plan.packs.contains_key(name));
            needed.segments.retain(|name| !plan.segments.contains(name));
        }
        let recipes = self.listed(Kind::Recipe)?;
        for tomb in &catalog.tombs {
            context.check()?;
            let aged = is_older(tomb.written, now, options.grace);
            let grave = TombstoneContents::of(tomb, &needed, &packs, &recipes);
            if !aged {
                let fresh = |c: &Collected| !report.condemned.iter().any(|known| known.key == c.key);
                report.waiting.extend(grave.all().filter(fresh));
                continue;
            }
            report.spared.extend(grave.spared.iter().cloned());
            if options.dry_run {
                report.deleted.extend(grave.all());
                continue;
            }
            let gone: HashSet<StoredName> = grave.packs.keys().copied().collect();
            if !gone.is_empty() {
                self.drop_packs(Index::load(&*self.blobs, &self.mirror, context)?, &gone)?;
            }
            let objects = grave.packs.values().chain(grave.recipes.values());
            let keys: Vec<String> = objects.map(|entry| entry.key.clone()).collect();
            self.blobs.delete_many(&keys)?;
            report.deleted.extend(grave.all());
            if grave.spared.is_empty() && self.all_absent(&grave, context)? {
                self.blobs.delete(&tomb::key(tomb.name))?;
            }
        }
        Ok(())
    }

    /// Whether everything that was deleted is gone: only then may its tomb go.
    fn all_absent(&self, grave: &TombstoneContents, context: &Context) -> Result<bool> {
        for (kind, objects) in [(Kind::Pack, &grave.packs), (Kind::Recipe, &grave.recipes)] {
            let names: Vec<StoredName> = objects.keys().copied().collect();
            if self.exist(kind, &names, context)?.contains(&true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The needs of kept and young files. Of a file with several recipes it is the newest clean one; of a file with
/// none that is clean, all of them.
fn needed(
    catalog: &Catalog,
    packs: &Listed,
    is_kept: &dyn Fn(&ObjectId) -> bool,
    now: Timestamp,
    options: &CollectOptions,
) -> Result<Needed> {
    let mut needed = Needed::default();
    let mut unclean: Vec<ObjectId> = Vec::new();
    for segment in &catalog.recipes {
        segment.each(|recipe| {
            let (id, size) = (recipe.id, recipe.size);
            let young = is_young(segment.stored(&recipe), now, options);
            let found = Found { recipe, segment };
            let clean = catalog.is_clean(&found) && found.packs().all(|pack| packs.contains_key(&pack.name));
            if !young && !is_kept(&id) {
                let bytes = needed.unreferenced.entry(id).or_default();
                *bytes = (*bytes).max(if clean { size } else { 0 });
            } else if !clean {
                unclean.push(id);
            } else if needed.files.insert(id) {
                needed.bytes += size;
                needed.add(&found);
            }
            Ok::<(), std::io::Error>(())
        })?;
    }
    unclean.retain(|id| !needed.files.contains(id));
    unclean.sort_unstable();
    unclean.dedup();
    for found in catalog.find_all(&unclean)?.iter().flatten() {
        needed.add(found);
    }
    needed.files.extend(&unclean);
    needed.unclean.extend(unclean);
    Ok(needed)
}

impl Needed {
    fn add(&mut self, found: &Found<'_>) {
        self.segments.insert(found.segment.name);
        for run in &found.recipe.runs {
            if let Some(pack) = found.segment.packs().get(run.pack as usize) {
                self.packs
                    .entry(pack.name)
                    .or_default()
                    .push((run.first, run.count));
            }
        }
    }

    /// How many chunks of a pack are needed.
    pub(super) fn chunks_of(&self, pack: &StoredName) -> BTreeSet<u32> {
        let runs = self.packs.get(pack).into_iter().flatten();
        runs.flat_map(|(first, count)| *first..*first + *count).collect()
    }
}

/// The existing, unneeded objects of a tomb.
#[derive(Debug)]
struct TombstoneContents {
    reason: String,
    packs: Listed,
    recipes: Listed,
    spared: Vec<String>,
}

impl TombstoneContents {
    fn of(tomb: &Tombstone, needed: &Needed, packs: &Listed, recipes: &Listed) -> Self {
        let mut grave = Self {
            reason: tomb.content.reason.clone(),
            packs: Listed::new(),
            recipes: Listed::new(),
            spared: Vec::new(),
        };
        for name in &tomb.content.packs {
            let Some(entry) = packs.get(name) else { continue };
            if needed.packs.contains_key(name) {
                grave.spared.push(entry.key.clone());
            } else {
                grave.packs.insert(*name, entry.clone());
            }
        }
        for name in &tomb.content.recipes {
            let Some(entry) = recipes.get(name) else { continue };
            if needed.segments.contains(name) {
                grave.spared.push(entry.key.clone());
            } else {
                grave.recipes.insert(*name, entry.clone());
            }
        }
        grave
    }

    fn all(&self) -> impl Iterator<Item = Collected> {
        self.packs
            .values()
            .chain(self.recipes.values())
            .map(|entry| Collected {
                key: entry.key.clone(),
                bytes: entry.size,
                reason: self.reason.clone(),
            })
    }
}

/// Whether an object of a given time may be work in progress. Without a time it always may.
fn is_young(written: Option<Timestamp>, now: Timestamp, options: &CollectOptions) -> bool {
    !is_older(written, now, options.young)
}

pub(super) fn is_older(written: Option<Timestamp>, now: Timestamp, age: Duration) -> bool {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    written.is_some_and(|written| now.0.saturating_sub(written.0) >= age)
}
