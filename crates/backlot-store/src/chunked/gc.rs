//! Collecting: what nothing needs is condemned first, and deleted a grace period later if still nothing needs it.
//!
//! The collector's half of the protocol in `docs/format/remote-chunked.md`. Condemning is writing a tomb; the objects stay
//! where they are, readable, and taking the tomb back restores them. Invariants: what is deleted was condemned by a tomb
//! that everybody could see for the grace period, and was not needed by any recipe listed after that; ages are differences
//! of the service's own times; a recipe segment that cannot be read stops everything. Deliberately absent: what to keep;
//! the caller says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use backlot_core::clock::Timestamp;
use backlot_core::{Context, Operation};
use serde::Serialize;

use super::blob::BlobEntry;
use super::catalog::{Catalog, Found, Index, damaged};
use super::name::{Kind, StoredName, name_of};
use super::push::Site;
use super::tomb::{self, Tomb, TombContent};
use crate::error::{Error, Result};
use crate::object::ObjectId;

/// How to collect.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// How long a condemned object stays before it is deleted.
    pub grace: Duration,
    /// Objects younger than this are kept: somebody may be about to name them.
    pub young: Duration,
    /// Packs of which less than this many hundredths are needed are written anew, without the rest.
    pub rewrite_below: u8,
    /// Condemn even if it is most of what the remote holds.
    pub allow_most: bool,
    /// Change nothing.
    pub dry_run: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_hours(14 * 24),
            young: Duration::from_hours(24),
            rewrite_below: 50,
            allow_most: false,
            dry_run: false,
        }
    }
}

/// An object that is or was collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Its key on the remote.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why: `unreferenced`, `rewritten` or `damaged`.
    pub reason: String,
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CollectReport {
    /// Files that are kept.
    pub files_kept: u64,
    /// Files that nothing needs.
    pub files_unreferenced: u64,
    /// Packs on the remote.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that are written anew because too little of them is needed.
    pub rewritten: u64,
    /// What is condemned now; it is deleted by a collection after the grace period.
    pub condemned: Vec<Collected>,
    /// What was condemned before and waits.
    pub waiting: Vec<Collected>,
    /// What is deleted now.
    pub deleted: Vec<Collected>,
    /// What was condemned and is needed again.
    pub spared: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// What the live files need at one moment.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) segments: HashSet<StoredName>,
    /// Packs, with the runs of their chunks that are needed: position and count.
    pub(super) packs: HashMap<StoredName, Vec<(u32, u32)>>,
    pub(super) files: HashSet<ObjectId>,
    pub(super) unreferenced: HashSet<ObjectId>,
}

/// Objects of one kind by name.
type Listed = BTreeMap<StoredName, BlobEntry>;

impl Site {
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
        let mut catalog = self.sound_catalog(context)?;
        let mut rewritten = HashSet::new();
        let mut needed = self.needed(&catalog, keep, now, options)?;
        report.rewritten = if options.dry_run {
            self.worth_rewriting(&catalog, &needed, options)?.len() as u64
        } else {
            let packs;
            (packs, rewritten) = self.rewrite(&catalog, &needed, options, context)?;
            packs
        };
        if !rewritten.is_empty() {
            catalog = self.sound_catalog(context)?;
            needed = self.needed(&catalog, keep, now, options)?;
        }
        report.files_kept = needed.files.len() as u64;
        report.files_unreferenced = needed.unreferenced.difference(&needed.files).count() as u64;
        self.condemn(&catalog, &needed, &rewritten, now, options, &mut report)?;
        running.advance(report.condemned.len() as u64, 0);
        self.sweep(keep, now, options, &mut report, context)?;
        if !options.dry_run {
            self.blobs.tidy()?;
        }
        Ok(report)
    }

    /// Take back what was condemned and not deleted yet. Returns the keys of what is restored.
    pub(super) fn restore(&self, dry_run: bool) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for tomb in tomb::read_all(&*self.blobs)? {
            // Damaged packs stay condemned: relying on them is what the tomb prevents.
            if tomb.content.reason == "damaged" {
                continue;
            }
            keys.extend(tomb.content.packs.iter().map(|name| Kind::Pack.key(*name)));
            keys.extend(tomb.content.recipes.iter().map(|name| Kind::Recipe.key(*name)));
            if !dry_run {
                self.blobs.delete(&tomb::key(tomb.name))?;
            }
        }
        Ok(keys)
    }

    fn sound_catalog(&self, context: &Context) -> Result<Catalog> {
        let catalog = Catalog::load(&*self.blobs, &self.mirror, context)?;
        match catalog.damaged.first() {
            Some(object) => Err(damaged(
                &*self.blobs,
                object.clone(),
                "what it names cannot be known, so nothing is collected",
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

    /// What the kept files and the young segments need. Of a file with several recipes it is the newest clean one; of a
    /// file with none that is clean, all of them.
    fn needed(
        &self,
        catalog: &Catalog,
        keep: &HashSet<ObjectId>,
        now: Timestamp,
        options: &CollectOptions,
    ) -> Result<Needed> {
        let listed = self.listed(Kind::Recipe)?;
        let packs = self.listed(Kind::Pack)?;
        let mut needed = Needed::default();
        let mut unclean: Vec<ObjectId> = Vec::new();
        for segment in &catalog.recipes {
            let young = listed
                .get(&segment.name)
                .is_none_or(|entry| is_young(entry, now, options));
            segment.each(|recipe| {
                let id = recipe.id;
                if !young && !keep.contains(&id) {
                    needed.unreferenced.insert(id);
                    return Ok(());
                }
                let found = Found { recipe, segment };
                let whole = found.packs().all(|pack| packs.contains_key(&pack.name));
                if catalog.is_clean(&found) && whole {
                    if needed.files.insert(id) || young {
                        needed.add(&found);
                    }
                } else {
                    unclean.push(id);
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
        needed.files.extend(unclean);
        Ok(needed)
    }

    /// Write a tomb for everything that is not needed, not young and not condemned yet.
    fn condemn(
        &self,
        catalog: &Catalog,
        needed: &Needed,
        rewritten: &HashSet<StoredName>,
        now: Timestamp,
        options: &CollectOptions,
        report: &mut CollectReport,
    ) -> Result<()> {
        let packs = self.listed(Kind::Pack)?;
        report.packs = packs.len() as u64;
        report.bytes = packs.values().map(|entry| entry.size).sum();
        let recipes = self.listed(Kind::Recipe)?;
        let dead = |listed: &Listed, kept: &dyn Fn(&StoredName) -> bool, known: &HashSet<StoredName>| {
            let chosen = listed.iter().filter(|(name, entry)| {
                !kept(name) && !known.contains(name) && !is_young(entry, now, options)
            });
            chosen
                .map(|(name, entry)| (*name, entry.clone()))
                .collect::<Vec<_>>()
        };
        let dead_packs = dead(
            &packs,
            &|n| needed.packs.contains_key(n),
            &catalog.condemned.packs,
        );
        let dead_recipes = dead(
            &recipes,
            &|n| needed.segments.contains(n),
            &catalog.condemned.recipes,
        );
        let reason = |name: &StoredName| {
            if rewritten.contains(name) {
                "rewritten"
            } else {
                "unreferenced"
            }
        };
        for (name, entry) in dead_packs.iter().chain(&dead_recipes) {
            report.condemned.push(Collected {
                key: entry.key.clone(),
                bytes: entry.size,
                reason: reason(name).to_owned(),
            });
        }
        let lost: u64 = dead_packs
            .iter()
            .filter(|(name, _)| !rewritten.contains(name))
            .map(|(_, entry)| entry.size)
            .sum();
        if !options.dry_run && !options.allow_most && lost * 2 > report.bytes {
            return Err(Error::CollectsMost {
                place: self.blobs.place(),
                bytes: lost,
                of: report.bytes,
            });
        }
        if !options.dry_run && !report.condemned.is_empty() {
            let names = |dead: &[(StoredName, BlobEntry)]| dead.iter().map(|(name, _)| *name).collect();
            let content = TombContent::new("unreferenced", names(&dead_packs), names(&dead_recipes));
            tomb::put(&*self.blobs, &content)?;
        }
        Ok(())
    }

    /// Delete what tombs that have aged enough name, if it is still not needed by what is listed now.
    fn sweep(
        &self,
        keep: &HashSet<ObjectId>,
        now: Timestamp,
        options: &CollectOptions,
        report: &mut CollectReport,
        context: &Context,
    ) -> Result<()> {
        // Listed anew: after the tombs, whoever wrote them, were there for all to see.
        let catalog = self.sound_catalog(context)?;
        let needed = self.needed(&catalog, keep, now, options)?;
        let (packs, recipes) = (self.listed(Kind::Pack)?, self.listed(Kind::Recipe)?);
        for tomb in &catalog.tombs {
            context.check()?;
            let aged = is_older(tomb.written, now, options.grace);
            let grave = Grave::of(tomb, &needed, &packs, &recipes);
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
                Index::load(&*self.blobs, &self.mirror, context)?.drop_packs(&*self.blobs, &gone)?;
            }
            for entry in grave.packs.values().chain(grave.recipes.values()) {
                self.blobs.delete(&entry.key)?;
            }
            report.deleted.extend(grave.all());
            if self.all_absent(&grave, context)? {
                self.blobs.delete(&tomb::key(tomb.name))?;
            }
        }
        Ok(())
    }

    /// Whether everything that was deleted is gone: only then may its tomb go.
    fn all_absent(&self, grave: &Grave, context: &Context) -> Result<bool> {
        for (kind, objects) in [(Kind::Pack, &grave.packs), (Kind::Recipe, &grave.recipes)] {
            let names: Vec<StoredName> = objects.keys().copied().collect();
            if self.exist(kind, &names, context)?.contains(&true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
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

/// What of a tomb is there, and not needed.
#[derive(Debug)]
struct Grave {
    reason: String,
    packs: Listed,
    recipes: Listed,
    spared: Vec<String>,
}

impl Grave {
    fn of(tomb: &Tomb, needed: &Needed, packs: &Listed, recipes: &Listed) -> Self {
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

/// Whether an object may be somebody's work in progress. One without a time always may.
fn is_young(entry: &BlobEntry, now: Timestamp, options: &CollectOptions) -> bool {
    !is_older(entry.modified, now, options.young)
}

fn is_older(written: Option<Timestamp>, now: Timestamp, age: Duration) -> bool {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    written.is_some_and(|written| now.0.saturating_sub(written.0) >= age)
}
