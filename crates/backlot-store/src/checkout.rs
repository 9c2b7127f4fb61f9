//! Placing cached files into a workspace: each appears whole, and nothing that exists nowhere else is overwritten.
//!
//! Placed content is verified: by the cache's record of unchanged objects, else by hashing, which a copy does while
//! it is made. A damaged object is set aside before anybody sees it. Targets that are right already are left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backlot_core::context::Running;
use backlot_core::file::Created;
use backlot_core::{Context, LinkMode, Operation, file, link, platform};
use fs_err as fs;
use rayon::prelude::*;

use crate::add;
use crate::cache::{self, Cache};
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
    /// Whether it is executable. Such a file is cloned or copied, never linked: a link has the mode of the object.
    pub executable: bool,
}

/// How to place files.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckoutOptions<'a> {
    /// How files may share content with the cache, best first.
    pub links: &'a [LinkMode],
    /// Whether to overwrite files that are not stored anywhere else.
    pub force: bool,
    /// Objects that were fetched and proven a moment ago.
    pub proven: Option<&'a BTreeMap<ObjectId, FileDigests>>,
    /// Whether placed files are not meant to be edited: then clones and copies are read-only, like links.
    pub read_only: bool,
}

/// The result of a checkout.
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

/// Place files. With `force`, existing files are overwritten even if they are not stored anywhere.
pub fn checkout(
    cache: &Cache,
    stat: &StatCache,
    items: &[CheckoutItem],
    options: &CheckoutOptions<'_>,
    context: &Context,
) -> Result<CheckoutReport> {
    let mut report = CheckoutReport::default();
    let (todo, absent) = what_to_place(cache, stat, items, options.force, &mut report, context)?;
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
        for (n, (item, digests)) in todo.iter().zip(&digests).enumerate() {
            match digests {
                Some(digests) => trusted.push((*item, *digests, n < absent)),
                None => others.push((*item, n < absent)),
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
            absent,
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

/// The items whose target is not what it should be: first those where nothing is, and how many these are. A target whose
/// content is stored nowhere is an error.
fn what_to_place<'a>(
    cache: &Cache,
    stat: &StatCache,
    items: &'a [CheckoutItem],
    force: bool,
    report: &mut CheckoutReport,
    context: &Context,
) -> Result<(Vec<&'a CheckoutItem>, usize)> {
    let is_file = |item: &CheckoutItem| fs::metadata(&item.target).map(|found| found.is_file()).ok();
    let found: Vec<Option<bool>> = context.pool().install(|| items.par_iter().map(is_file).collect());
    let (mut present, mut todo, mut dangling) = (Vec::new(), Vec::new(), Vec::new());
    for (item, is_file) in items.iter().zip(found) {
        match is_file {
            Some(true) => present.push(item),
            Some(false) => {
                return Err(Error::WouldOverwrite {
                    path: item.target.clone(),
                    others: 0,
                });
            }
            // A link to nothing, as to an object that was collected.
            None if item.target.is_symlink() => dangling.push(item),
            None => todo.push(item),
        }
    }
    let absent = todo.len();
    todo.extend(dangling);
    let paths: Vec<PathBuf> = present.iter().map(|item| item.target.clone()).collect();
    let digests = add::hash_files(&paths, stat, context)?;
    let mut in_the_way = Vec::new();
    for (item, digests) in present.into_iter().zip(digests) {
        if digests.md5 == item.id.md5 {
            report.unchanged += 1;
        } else if force || cache.keeps(&item.target, &digests, &item.id)? {
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
        None => Ok((todo, absent)),
    }
}

/// Put a complete file in its place. Where nothing was when we looked, nothing is replaced: what is there now is somebody's,
/// or, on a disk that takes two names for one, another file of this checkout.
fn publish_as(temporary: &Path, target: &Path, exclusive: bool) -> Result<()> {
    if !exclusive {
        return Ok(file::rename(temporary, target)?);
    }
    match file::rename_new(temporary, target)? {
        Created::New => Ok(()),
        Created::Exists => Err(appeared(target)),
    }
}

fn appeared(target: &Path) -> Error {
    Error::WouldOverwrite {
        path: target.to_path_buf(),
        others: 0,
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
    /// How many of the first have nothing in their place.
    absent: usize,
    sizes: &'a [u64],
    digests: Vec<FileDigests>,
    links: &'a [LinkMode],
    writable: bool,
}

impl Linking<'_> {
    /// Place all. Returns the new states of the targets.
    fn all(
        &self,
        report: &mut CheckoutReport,
        running: &Running<'_>,
        context: &Context,
    ) -> Result<Vec<(StatEntry, FileDigests)>> {
        let done = each(context.pool().threads(), self.items.len(), context, |n| {
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
        let links: &[LinkMode] = if self.sizes[n] == 0 {
            &[LinkMode::Copy]
        } else if self.items[n].executable {
            &[LinkMode::Reflink, LinkMode::Copy]
        } else {
            self.links
        };
        let mode = self.link(&object, n, links, context)?;
        let stat = FileStat::of(&fs::metadata(target)?);
        let path = target.clone();
        Ok((mode, StatEntry { path, stat }))
    }
}

impl Linking<'_> {
    /// Place one in the first way that works.
    fn link(&self, object: &Path, n: usize, links: &[LinkMode], context: &Context) -> Result<LinkMode> {
        let (item, size) = (self.items[n], Some(self.sizes[n]));
        let (target, exclusive) = (item.target.as_path(), n < self.absent);
        // A link appears whole by itself, so where nothing is in its way it needs no temporary.
        if let [first @ (LinkMode::Hardlink | LinkMode::Symlink), ..] = links
            && exclusive
        {
            match link::place_sized(object, size, target, &[*first], self.writable) {
                Ok(mode) => return Ok(mode),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(appeared(target));
                }
                Err(_) => {}
            }
        }
        let temporary = file::temporary_in(target.parent().unwrap_or(Path::new(".")));
        let placed = || -> Result<LinkMode> {
            let mode = link::place_sized(object, size, &temporary, links, self.writable)?;
            if matches!(mode, LinkMode::Reflink | LinkMode::Copy) {
                if item.executable {
                    set_executable(&temporary, true)?;
                }
                cache::backdate(&temporary, context)?;
            }
            publish_as(&temporary, target, exclusive)?;
            Ok(mode)
        };
        let placed = placed();
        // Renaming a hard link onto another name of the same file does nothing and leaves the temporary.
        if !matches!(placed, Ok(LinkMode::Reflink | LinkMode::Copy | LinkMode::Symlink)) {
            file::remove(&temporary).ok();
        }
        placed
    }
}

/// Make a file executable for all who may read it, or for none. No effect without mode bits.
pub fn set_executable(path: &Path, executable: bool) -> Result<()> {
    let Some(mode) = platform::mode(&fs::metadata(path)?) else {
        return Ok(());
    };
    let readers = (mode & 0o444) >> 2;
    let new = if executable { mode | readers } else { mode & !0o111 };
    if new != mode {
        platform::set_mode(path, new)?;
    }
    Ok(())
}

/// Placing by copies. Each returns the new states of the targets.
struct Copying<'a> {
    cache: &'a Cache,
    read_only: bool,
    running: &'a Running<'a>,
    context: &'a Context,
}

impl Copying<'_> {
    /// Copy what is proven: by the system, which need not show us the bytes.
    fn proven(&self, items: &[(&CheckoutItem, FileDigests, bool)]) -> Result<Vec<(StatEntry, FileDigests)>> {
        each(self.context.pool().threads(), items.len(), self.context, |n| {
            let (item, digests, exclusive) = items[n];
            let (object, copy) = self.job(item);
            let done = (|| {
                let target = hash::create(&copy)?;
                let copied = file::copy_bytes(&fs::File::open(&object)?, &target)?;
                if copied != digests.size {
                    return Err(self.corrupt(vec![item.id]));
                }
                drop(target);
                let entry = self.publish(&copy, item, exclusive)?;
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
    fn publish(&self, copy: &Copy, item: &CheckoutItem, exclusive: bool) -> Result<StatEntry> {
        cache::backdate(&copy.temporary, self.context)?;
        publish_as(&copy.temporary, &item.target, exclusive)?;
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
    fn others(&self, items: &[(&CheckoutItem, bool)]) -> Result<Vec<(StatEntry, FileDigests)>> {
        let jobs: Vec<Job> = items
            .iter()
            .map(|(item, _)| {
                let (source, copy) = self.job(item);
                Job {
                    source,
                    copy: Some(copy),
                }
            })
            .collect();
        let entries: Vec<Mutex<Option<StatEntry>>> = items.iter().map(|_| Mutex::new(None)).collect();
        let judge = |n: usize, outcome: &Outcome| {
            let id = items[n].0.id;
            if outcome.digests.md5 == id.md5 {
                return Ok(true);
            }
            self.cache.set_aside(&id, Some(outcome.stat.inode))?;
            Err(self.corrupt(vec![id]))
        };
        let publish = |n: usize, _: &Outcome| {
            let Some(copy) = &jobs[n].copy else { return Ok(()) };
            let (item, exclusive) = items[n];
            let published = self.publish(copy, item, exclusive);
            if published.is_err() {
                fs::remove_file(&copy.temporary).ok();
            }
            let entry = published?;
            if let Ok(mut slot) = entries[n].lock() {
                *slot = Some(entry);
            }
            Ok(())
        };
        let results = hash::run(&jobs, &judge, &publish, self.running, self.context);
        let (mut placed, mut right) = (Vec::with_capacity(items.len()), Vec::new());
        let (mut damaged, mut failure) = (Vec::new(), None);
        for (((item, _), entry), result) in items.iter().zip(entries).zip(results) {
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
