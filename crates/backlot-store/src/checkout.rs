//! Placing cached files into a workspace: each appears whole, and nothing that exists nowhere else is overwritten.
//!
//! Copies are hashed while they are made, so a damaged cache object is found before anybody sees it, unless this very
//! call of the program has just proven it: then the system copies alone. Links trust the object's read-only mode. Targets
//! that are right already are left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backlot_core::context::Running;
use backlot_core::{Context, LinkMode, Operation, file, link};
use fs_err as fs;
use rayon::prelude::*;

use crate::add;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::hash::{self, Copy, Job, Outcome};
use crate::object::{FileDigests, ObjectId};
use crate::parallel::{cores, each};
use crate::stat::{FileStat, StatCache, StatEntry};

/// A file to be placed.
#[derive(Clone, Debug)]
pub struct CheckoutItem {
    /// The object.
    pub id: ObjectId,
    /// Where it goes, absolute.
    pub target: PathBuf,
    /// Whether it is executable (copies only).
    pub executable: bool,
}

/// How to place files.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckoutOptions<'a> {
    /// How files may share content with the cache, best first.
    pub links: &'a [LinkMode],
    /// Whether to lose what is stored nowhere else.
    pub force: bool,
    /// Objects that were fetched and proven a moment ago.
    pub proven: Option<&'a BTreeMap<ObjectId, FileDigests>>,
}

/// What a checkout did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CheckoutReport {
    /// Files placed.
    pub placed: u64,
    /// Files that were right already.
    pub unchanged: u64,
    /// Bytes placed.
    pub bytes: u64,
    /// How many were placed in which way.
    pub modes: BTreeMap<String, u64>,
}

/// Place files. With `force`, what is in the way is overwritten even if it is stored nowhere.
pub fn checkout(
    cache: &Cache,
    stat: &StatCache,
    items: &[CheckoutItem],
    options: &CheckoutOptions<'_>,
    context: &Context,
) -> Result<CheckoutReport> {
    let mut report = CheckoutReport::default();
    let todo = what_to_place(cache, stat, items, options.force, &mut report, context)?;
    let ids: Vec<ObjectId> = todo.iter().map(|item| item.id).collect();
    let sizes = cache.sizes_of_all(&ids)?;
    for folder in folders(&todo) {
        fs::create_dir_all(folder)?;
    }
    let running = context.start(Operation::Checkout, todo.len() as u64, sizes.iter().sum());
    // One with something in it: an empty file cannot be hard-linked and says nothing of the others.
    let links = match todo.iter().zip(&sizes).find(|(_, size)| **size > 0) {
        Some((sample, _)) => working(cache, sample, options.links)?,
        None => &[],
    };
    let proven = |item: &CheckoutItem| options.proven.and_then(|proven| proven.get(&item.id).copied());
    let placed = if links.is_empty() {
        if !todo.is_empty() {
            report.modes.insert(LinkMode::Copy.to_string(), todo.len() as u64);
        }
        let (trusted, others): (Vec<_>, Vec<_>) = todo.iter().partition(|item| proven(item).is_some());
        let trusted: Vec<_> = trusted
            .into_iter()
            .filter_map(|item| Some((item, proven(item)?)))
            .collect();
        let mut placed = copy_proven(cache, &trusted, &running, context)?;
        placed.extend(copy_all(cache, &others, &running, context)?);
        placed
    } else {
        let digests: Vec<_> = todo.iter().map(|item| proven(item)).collect();
        let linking = Linking {
            cache,
            items: &todo,
            sizes: &sizes,
            digests: known(cache, stat, &todo, digests)?,
            links,
        };
        linking.all(&mut report, &running, context)?
    };
    report.placed = todo.len() as u64;
    report.bytes = sizes.iter().sum();
    stat.store(&placed, context)?;
    Ok(report)
}

/// The items whose target is not what it should be. A target whose content is stored nowhere is an error.
fn what_to_place<'a>(
    cache: &Cache,
    stat: &StatCache,
    items: &'a [CheckoutItem],
    force: bool,
    report: &mut CheckoutReport,
    context: &Context,
) -> Result<Vec<&'a CheckoutItem>> {
    let is_file = |item: &CheckoutItem| fs::metadata(&item.target).map(|found| found.is_file()).ok();
    let found: Vec<Option<bool>> = items.par_iter().map(is_file).collect();
    let (mut present, mut todo) = (Vec::new(), Vec::new());
    for (item, is_file) in items.iter().zip(found) {
        match is_file {
            Some(true) => present.push(item),
            Some(false) => {
                return Err(Error::WouldOverwrite {
                    path: item.target.clone(),
                    others: 0,
                });
            }
            None => todo.push(item),
        }
    }
    let paths: Vec<PathBuf> = present.iter().map(|item| item.target.clone()).collect();
    let digests = add::hash_files(&paths, stat, context)?;
    let mut in_the_way = Vec::new();
    for (item, digests) in present.into_iter().zip(digests) {
        if digests.md5 == item.id.md5 {
            report.unchanged += 1;
        } else if force || cache.has(&ObjectId::file(digests.md5))? {
            todo.push(item);
        } else {
            in_the_way.push(item.target.clone());
        }
    }
    match in_the_way.first() {
        Some(path) => Err(Error::WouldOverwrite {
            path: path.clone(),
            others: in_the_way.len() - 1,
        }),
        None => Ok(todo),
    }
}

fn folders<'a>(items: &[&'a CheckoutItem]) -> Vec<&'a Path> {
    let mut folders: Vec<&Path> = items.iter().filter_map(|item| item.target.parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// The modes from the first on that works between the cache and the workspace, tried once, on a real file. None if that is
/// copying.
fn working<'a>(cache: &Cache, sample: &CheckoutItem, links: &'a [LinkMode]) -> Result<&'a [LinkMode]> {
    let folder = sample.target.parent().unwrap_or(Path::new("."));
    let probe = file::temporary_in(folder);
    let object = cache.object_path(&sample.id);
    for (n, mode) in links.iter().enumerate() {
        if *mode == LinkMode::Copy {
            break;
        }
        let result = link::place_at(&object, &probe, &[*mode], true);
        file::remove(&probe)?;
        match result {
            Ok(_) => return Ok(&links[n..]),
            Err(error) if error.is_not_found() => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(&[])
}

/// The digests of the items' objects: those that are given, those that the stat cache knows, `None` for the others.
fn known(
    cache: &Cache,
    stat: &StatCache,
    items: &[&CheckoutItem],
    mut digests: Vec<Option<FileDigests>>,
) -> Result<Vec<Option<FileDigests>>> {
    let unknown: Vec<usize> = (0..items.len()).filter(|n| digests[*n].is_none()).collect();
    let objects: Vec<PathBuf> = unknown.iter().map(|n| cache.object_path(&items[*n].id)).collect();
    for (n, found) in unknown.into_iter().zip(stat.lookup(&add::stat_all(&objects)?)?) {
        digests[n] = found;
    }
    Ok(digests)
}

/// Placing by clones or links.
struct Linking<'a> {
    cache: &'a Cache,
    items: &'a [&'a CheckoutItem],
    sizes: &'a [u64],
    digests: Vec<Option<FileDigests>>,
    links: &'a [LinkMode],
}

impl Linking<'_> {
    /// Place all. Returns what is now known of targets and objects.
    fn all(
        &self,
        report: &mut CheckoutReport,
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Vec<(StatEntry, FileDigests)>> {
        let done = each(cores(), self.items.len(), context, |n| {
            let placed = self.one(n)?;
            running.advance(1, self.sizes[n]);
            Ok(placed)
        })?;
        let mut known = Vec::with_capacity(2 * done.len());
        for ((mode, states), digests) in done.into_iter().zip(&self.digests) {
            *report.modes.entry(mode.to_string()).or_default() += 1;
            known.extend(
                digests
                    .iter()
                    .flat_map(|d| states.clone().map(|state| (state, *d))),
            );
        }
        Ok(known)
    }

    /// Place one, and look at its target and its object. A hard link changes the state of the object, which is its target.
    fn one(&self, n: usize) -> Result<(LinkMode, [StatEntry; 2])> {
        let target = &self.items[n].target;
        let object = self.cache.object_path(&self.items[n].id);
        // As in DVC, an empty file is nobody's link: there is nothing to share.
        let links = if self.sizes[n] == 0 {
            &[LinkMode::Copy]
        } else {
            self.links
        };
        let mode = link::place(&object, Some(self.sizes[n]), target, links, true)?;
        let placed = FileStat::of(&fs::metadata(target)?);
        let cached = if mode == LinkMode::Hardlink {
            placed
        } else {
            FileStat::of(&fs::metadata(&object)?)
        };
        let entry = |path, stat| StatEntry { path, stat };
        Ok((mode, [entry(target.clone(), placed), entry(object, cached)]))
    }
}

/// Copy what was proven a moment ago: by the system, which need not show us the bytes. Returns what is now known of targets
/// and objects.
fn copy_proven(
    cache: &Cache,
    items: &[(&CheckoutItem, FileDigests)],
    running: &Running<'_>,
    context: &Context,
) -> Result<Vec<(StatEntry, FileDigests)>> {
    let copied = each(cores(), items.len(), context, |n| {
        let (item, digests) = items[n];
        let (object, copy) = job(cache, item);
        let done = (|| {
            let target = hash::create(&copy)?;
            let source = fs::File::open(&object)?;
            let copied = file::copy_bytes(&source, &target)?;
            if copied != digests.size {
                return Err(Error::Corrupt {
                    objects: vec![item.id],
                    place: cache.place(),
                });
            }
            drop(target);
            file::rename(&copy.temporary, &item.target)?;
            // The rename changed the inode's times.
            let placed = FileStat::of(&fs::metadata(&item.target)?);
            running.advance(1, copied);
            let entry = |path, stat| (StatEntry { path, stat }, digests);
            let cached = FileStat::of(&source.metadata()?);
            Ok([entry(item.target.clone(), placed), entry(object, cached)])
        })();
        if done.is_err() {
            fs::remove_file(&copy.temporary).ok();
        }
        done
    })?;
    Ok(copied.into_iter().flatten().collect())
}

/// The object of an item, and its copy.
fn job(cache: &Cache, item: &CheckoutItem) -> (PathBuf, Copy) {
    let copy = Copy {
        temporary: file::temporary_in(item.target.parent().unwrap_or(Path::new("."))),
        mode: if item.executable { 0o755 } else { 0o644 },
        durable: false,
    };
    (cache.object_path(&item.id), copy)
}

/// Copy and prove in one pass.
fn copy_all(
    cache: &Cache,
    items: &[&CheckoutItem],
    running: &Running<'_>,
    context: &Context,
) -> Result<Vec<(StatEntry, FileDigests)>> {
    let jobs: Vec<Job> = items
        .iter()
        .map(|item| {
            let (source, copy) = job(cache, item);
            Job {
                source,
                copy: Some(copy),
            }
        })
        .collect();
    let stats: Vec<Mutex<Option<FileStat>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let judge = |n: usize, outcome: &Outcome| {
        if outcome.digests.md5 == items[n].id.md5 {
            Ok(true)
        } else {
            Err(Error::Corrupt {
                objects: vec![items[n].id],
                place: cache.place(),
            })
        }
    };
    let publish = |n: usize, _: &Outcome| {
        let Some(copy) = &jobs[n].copy else { return Ok(()) };
        file::rename(&copy.temporary, &items[n].target)?;
        if let Ok(mut stat) = stats[n].lock() {
            *stat = Some(FileStat::of(&fs::metadata(&items[n].target)?));
        }
        Ok(())
    };
    let results = hash::run(&jobs, &judge, &publish, running, context);
    let mut placed = Vec::with_capacity(items.len());
    let mut damaged = Vec::new();
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(outcome) => {
                let stat = stats[n].lock().ok().and_then(|s| *s);
                if let Some(stat) = stat {
                    let path = items[n].target.clone();
                    placed.push((StatEntry { path, stat }, outcome.digests));
                }
            }
            Err(Error::Corrupt { objects, .. }) => damaged.extend(objects),
            Err(error) => return Err(error),
        }
    }
    if damaged.is_empty() {
        Ok(placed)
    } else {
        Err(Error::Corrupt {
            objects: damaged,
            place: cache.place(),
        })
    }
}
