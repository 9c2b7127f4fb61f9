//! Placing cached files into a workspace: each appears whole, and nothing that exists nowhere else is overwritten.
//!
//! What is placed is proven: by the cache's record of objects that are as they were, else by hashing, which a copy does while
//! it is made. A damaged object is set aside before anybody sees it. Targets that are right already are left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backlot_core::context::Running;
use backlot_core::{Context, LinkMode, Operation, file, link};
use fs_err as fs;
use rayon::prelude::*;

use crate::add;
use crate::cache::{self, Cache};
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
    /// Whether nobody is meant to edit what is placed: then clones and copies are read-only, as links are.
    pub read_only: bool,
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
    let held = cache.held_all(&ids)?;
    let sizes: Vec<u64> = held.iter().map(|held| held.size).collect();
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
    let digests: Vec<Option<FileDigests>> = todo
        .iter()
        .zip(&held)
        .map(|(item, held)| proven(item).or(held.digests))
        .collect();
    let placed = if links.is_empty() {
        if !todo.is_empty() {
            report.modes.insert(LinkMode::Copy.to_string(), todo.len() as u64);
        }
        let (mut trusted, mut others) = (Vec::new(), Vec::new());
        for (item, digests) in todo.iter().zip(&digests) {
            match digests {
                Some(digests) => trusted.push((*item, *digests)),
                None => others.push(*item),
            }
        }
        let copying = Copying {
            cache,
            read_only: options.read_only,
            running: &running,
            context,
        };
        let mut placed = copying.proven(&trusted)?;
        placed.extend(copying.others(&others)?);
        placed
    } else {
        let linking = Linking {
            cache,
            items: &todo,
            sizes: &sizes,
            digests: prove_all(cache, &ids, digests)?,
            links,
            writable: !options.read_only,
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
        } else if force || cache.keeps(&item.target, digests.md5, &item.id)? {
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

/// The digests of objects, of which those that are not known yet are hashed.
fn prove_all(cache: &Cache, ids: &[ObjectId], digests: Vec<Option<FileDigests>>) -> Result<Vec<FileDigests>> {
    let unknown = ids.iter().zip(&digests).filter(|(_, digests)| digests.is_none());
    let unknown: Vec<ObjectId> = unknown.map(|(id, _)| *id).collect();
    let mut found = cache.proven_of_all(&unknown)?.into_iter();
    let digests = digests
        .into_iter()
        .map(|digests| digests.or_else(|| found.next()));
    Ok(digests.flatten().collect())
}

/// Placing by clones or links.
struct Linking<'a> {
    cache: &'a Cache,
    items: &'a [&'a CheckoutItem],
    sizes: &'a [u64],
    digests: Vec<FileDigests>,
    links: &'a [LinkMode],
    writable: bool,
}

impl Linking<'_> {
    /// Place all. Returns what is now known of targets.
    fn all(
        &self,
        report: &mut CheckoutReport,
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Vec<(StatEntry, FileDigests)>> {
        let done = each(cores(), self.items.len(), context, |n| {
            let placed = self.one(n, context)?;
            running.advance(1, self.sizes[n]);
            Ok(placed)
        })?;
        let mut known = Vec::with_capacity(done.len());
        for ((mode, entry), digests) in done.into_iter().zip(&self.digests) {
            *report.modes.entry(mode.to_string()).or_default() += 1;
            known.push((entry, *digests));
        }
        Ok(known)
    }

    /// Place one, and look at its target.
    fn one(&self, n: usize, context: &Context) -> Result<(LinkMode, StatEntry)> {
        let target = &self.items[n].target;
        let object = self.cache.object_path(&self.items[n].id);
        // As in DVC, an empty file is nobody's link: there is nothing to share.
        let links = if self.sizes[n] == 0 {
            &[LinkMode::Copy]
        } else {
            self.links
        };
        let mode = link::place(&object, Some(self.sizes[n]), target, links, self.writable)?;
        if matches!(mode, LinkMode::Reflink | LinkMode::Copy) {
            cache::backdate(target, context)?;
        }
        let stat = FileStat::of(&fs::metadata(target)?);
        let path = target.clone();
        Ok((mode, StatEntry { path, stat }))
    }
}

/// Placing by copies. Each returns what is now known of targets.
struct Copying<'a> {
    cache: &'a Cache,
    read_only: bool,
    running: &'a Running<'a>,
    context: &'a Context,
}

impl Copying<'_> {
    /// Copy what is proven: by the system, which need not show us the bytes.
    fn proven(&self, items: &[(&CheckoutItem, FileDigests)]) -> Result<Vec<(StatEntry, FileDigests)>> {
        each(cores(), items.len(), self.context, |n| {
            let (item, digests) = items[n];
            let (object, copy) = self.job(item);
            let done = (|| {
                let target = hash::create(&copy)?;
                let copied = file::copy_bytes(&fs::File::open(&object)?, &target)?;
                if copied != digests.size {
                    return Err(self.corrupt(vec![item.id]));
                }
                drop(target);
                let entry = self.publish(&copy, item)?;
                self.running.advance(1, copied);
                Ok((entry, digests))
            })();
            if done.is_err() {
                fs::remove_file(&copy.temporary).ok();
            }
            done
        })
    }

    /// The object of an item, and its copy.
    fn job(&self, item: &CheckoutItem) -> (PathBuf, Copy) {
        let copy = Copy {
            temporary: file::temporary_in(item.target.parent().unwrap_or(Path::new("."))),
            mode: if self.read_only { 0o444 } else { 0o644 } | if item.executable { 0o111 } else { 0 },
            durable: false,
        };
        (self.cache.object_path(&item.id), copy)
    }

    /// Put a complete copy in its place.
    fn publish(&self, copy: &Copy, item: &CheckoutItem) -> Result<StatEntry> {
        cache::backdate(&copy.temporary, self.context)?;
        file::rename(&copy.temporary, &item.target)?;
        // The rename changed the inode's times.
        let stat = FileStat::of(&fs::metadata(&item.target)?);
        let path = item.target.clone();
        Ok(StatEntry { path, stat })
    }

    fn corrupt(&self, objects: Vec<ObjectId>) -> Error {
        Error::Corrupt {
            objects,
            place: self.cache.place(),
        }
    }

    /// Copy and prove in one pass. Objects that are wrong are set aside and named together at the end.
    fn others(&self, items: &[&CheckoutItem]) -> Result<Vec<(StatEntry, FileDigests)>> {
        let jobs: Vec<Job> = items
            .iter()
            .map(|item| {
                let (source, copy) = self.job(item);
                Job {
                    source,
                    copy: Some(copy),
                }
            })
            .collect();
        let entries: Vec<Mutex<Option<StatEntry>>> = items.iter().map(|_| Mutex::new(None)).collect();
        let judge = |n: usize, outcome: &Outcome| {
            let id = items[n].id;
            if outcome.digests.md5 == id.md5 {
                return Ok(true);
            }
            self.cache.set_aside(&id, Some(outcome.stat.inode))?;
            Err(self.corrupt(vec![id]))
        };
        let publish = |n: usize, _: &Outcome| {
            let Some(copy) = &jobs[n].copy else { return Ok(()) };
            let entry = self.publish(copy, items[n])?;
            if let Ok(mut slot) = entries[n].lock() {
                *slot = Some(entry);
            }
            Ok(())
        };
        let results = hash::run(&jobs, &judge, &publish, self.running, self.context);
        let (mut placed, mut right) = (Vec::with_capacity(items.len()), Vec::new());
        let (mut damaged, mut failure) = (Vec::new(), None);
        for ((item, entry), result) in items.iter().zip(entries).zip(results) {
            match result {
                Ok(outcome) => {
                    right.push((item.id, outcome.digests));
                    let entry = entry.into_inner().unwrap_or_default();
                    placed.extend(entry.map(|entry| (entry, outcome.digests)));
                }
                Err(Error::Corrupt { objects, .. }) => damaged.extend(objects),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        self.cache.record(&right);
        match failure {
            Some(error) => Err(error),
            None if damaged.is_empty() => Ok(placed),
            None => Err(self.corrupt(damaged)),
        }
    }
}
