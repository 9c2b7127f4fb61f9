//! Placing cached files into a workspace: each appears whole, and nothing that exists nowhere else is overwritten.
//!
//! Copies are hashed while they are made, so a damaged cache object is found before anybody sees it, unless this very
//! call of the program has just proven it: then the system copies alone. Links trust the object's read-only mode. Targets
//! that are right already are left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backlot_core::{Context, LinkMode, Operation, file, link};
use fs_err as fs;

use crate::add;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::hash::{self, Copy, Job, Outcome};
use crate::object::{FileDigests, ObjectId};
use crate::parallel::each;
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
    let links = options.links;
    let mut report = CheckoutReport::default();
    let todo = what_to_place(cache, stat, items, options.force, &mut report, context)?;
    let ids: Vec<ObjectId> = todo.iter().map(|item| item.id).collect();
    let sizes = cache.sizes(&ids)?;
    for folder in folders(&todo) {
        fs::create_dir_all(folder)?;
    }
    let running = context.start(Operation::Checkout, todo.len() as u64, sizes.iter().sum());
    let by_copy = match todo.first() {
        Some(sample) => first_working_mode(cache, sample, links)? == LinkMode::Copy,
        None => true,
    };
    let placed = if by_copy {
        if !todo.is_empty() {
            report.modes.insert(LinkMode::Copy.to_string(), todo.len() as u64);
        }
        let digests = |item: &CheckoutItem| options.proven.and_then(|proven| proven.get(&item.id).copied());
        let (proven, others): (Vec<_>, Vec<_>) = todo.iter().partition(|item| digests(item).is_some());
        let proven: Vec<_> = proven
            .into_iter()
            .filter_map(|item| Some((item, digests(item)?)))
            .collect();
        let mut placed = copy_proven(cache, &proven, &running, context)?;
        placed.extend(copy_all(cache, &others, &running, context)?);
        placed
    } else {
        link_all(cache, stat, &todo, links, &running, &mut report, context)?
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
    let mut present = Vec::new();
    let mut todo = Vec::new();
    for item in items {
        match fs::metadata(&item.target) {
            Ok(found) if found.is_file() => present.push(item),
            Ok(_) => {
                return Err(Error::WouldOverwrite {
                    path: item.target.clone(),
                    others: 0,
                });
            }
            Err(_) => todo.push(item),
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

/// Which of the modes works between the cache and the workspace: tried once, on a real file.
fn first_working_mode(cache: &Cache, sample: &CheckoutItem, links: &[LinkMode]) -> Result<LinkMode> {
    let folder = sample.target.parent().unwrap_or(Path::new("."));
    let probe = file::temporary_in(folder);
    let object = cache.object_path(&sample.id);
    for mode in links {
        if *mode == LinkMode::Copy {
            return Ok(LinkMode::Copy);
        }
        let result = link::place_at(&object, &probe, &[*mode], true);
        file::remove(&probe)?;
        match result {
            Ok(mode) => return Ok(mode),
            Err(error) if error.is_not_found() => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(LinkMode::Copy)
}

/// Place by clones or links. What is known of an object becomes known of its target; a hard link also changes the
/// object's own state on disk, so that is noted anew.
fn link_all(
    cache: &Cache,
    stat: &StatCache,
    items: &[&CheckoutItem],
    links: &[LinkMode],
    running: &backlot_core::context::Running<'_>,
    report: &mut CheckoutReport,
    context: &Context,
) -> Result<Vec<(StatEntry, FileDigests)>> {
    let objects: Vec<PathBuf> = items.iter().map(|item| cache.object_path(&item.id)).collect();
    let known = stat.lookup(&add::stat_all(&objects)?)?;
    let mut placed = Vec::with_capacity(items.len());
    for ((item, object), digests) in items.iter().zip(objects).zip(known) {
        context.check()?;
        let mode = link::place(&object, &item.target, links, true)?;
        *report.modes.entry(mode.to_string()).or_default() += 1;
        running.advance(1, digests.map_or(0, |d| d.size));
        if let Some(digests) = digests {
            for path in [item.target.clone(), object] {
                let stat = FileStat::of(&fs::metadata(&path)?);
                placed.push((StatEntry { path, stat }, digests));
            }
        }
    }
    Ok(placed)
}

/// Copy what was proven a moment ago: by the system, which need not show us the bytes.
fn copy_proven(
    cache: &Cache,
    items: &[(&CheckoutItem, FileDigests)],
    running: &backlot_core::context::Running<'_>,
    context: &Context,
) -> Result<Vec<(StatEntry, FileDigests)>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    each(cores, items.len(), context, |n| {
        let (item, digests) = items[n];
        let copy = job(cache, item).1;
        let done = (|| {
            let target = hash::create(&copy)?;
            let copied = file::copy_bytes(&fs::File::open(cache.object_path(&item.id))?, &target)?;
            if copied != digests.size {
                return Err(Error::Corrupt {
                    objects: vec![item.id],
                    place: cache.place(),
                });
            }
            drop(target);
            file::rename(&copy.temporary, &item.target)?;
            // The rename changed the inode's times.
            let stat = FileStat::of(&fs::metadata(&item.target)?);
            running.advance(1, copied);
            let path = item.target.clone();
            Ok((StatEntry { path, stat }, digests))
        })();
        if done.is_err() {
            fs::remove_file(&copy.temporary).ok();
        }
        done
    })
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
    running: &backlot_core::context::Running<'_>,
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
