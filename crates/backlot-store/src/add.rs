//! Adding workspace files to the cache: hash and copy unknown content in one pass.
//!
//! Invariant: a digest is returned only for content that is in the cache under it. With hard or symbolic links the
//! workspace file becomes a link to the object; with clones and copies it stays as it is.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backlot_core::context::Running;
use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, LinkMode, Md5, Operation, link, shared};
use fs_err as fs;
use rayon::prelude::*;

use crate::cache::{Cache, set_read_only};
use crate::error::{Error, Result};
use crate::hash::{self, Copy, Job, Judge, Outcome, Publish};
use crate::object::{FileDigests, ObjectId};
use crate::parallel::each;
use crate::stat::{FileStat, StatCache, StatEntry};

/// A file that is in the cache now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its digests.
    pub digests: FileDigests,
    /// Whether its content was new to the cache.
    pub stored: bool,
}

/// Digests of files, from the stat cache where they did not change.
pub fn hash_files(paths: &[PathBuf], stat: &StatCache, context: &Context) -> Result<Vec<FileDigests>> {
    let entries = stat_all(paths, context)?;
    let known = stat.lookup(&entries)?;
    hash_unknown(paths, &entries, known, stat, context)
}

/// The same, and all are read, whatever is known of them.
pub fn rehash_files(paths: &[PathBuf], stat: &StatCache, context: &Context) -> Result<Vec<FileDigests>> {
    let entries = stat_all(paths, context)?;
    let none = vec![None; entries.len()];
    hash_unknown(paths, &entries, none, stat, context)
}

fn hash_unknown(
    paths: &[PathBuf],
    entries: &[StatEntry],
    mut known: Vec<Option<FileDigests>>,
    stat: &StatCache,
    context: &Context,
) -> Result<Vec<FileDigests>> {
    let unknown: Vec<usize> = (0..paths.len()).filter(|i| known[*i].is_none()).collect();
    let bytes = unknown.iter().map(|i| entries[*i].stat.size).sum();
    let running = context.start(Operation::Scan, unknown.len() as u64, bytes);
    let jobs: Vec<Job> = unknown
        .iter()
        .map(|i| Job {
            source: paths[*i].clone(),
            copy: None,
        })
        .collect();
    let results = hash::run(&jobs, &|_, _| Ok(false), &|_, _| Ok(()), &running, context);
    let mut fresh = Vec::new();
    for (index, result) in unknown.into_iter().zip(results) {
        let outcome = result?;
        known[index] = Some(outcome.digests);
        fresh.push((
            StatEntry {
                path: paths[index].clone(),
                stat: outcome.stat,
            },
            outcome.digests,
        ));
    }
    stat.store(&fresh, context)?;
    Ok(known.into_iter().flatten().collect())
}

/// One pass over files that are new or changed: each is read once, and judged and published as [`hash::run`] says.
pub(crate) struct Pass<'a> {
    pub(crate) jobs: Vec<Job>,
    pub(crate) sizes: Vec<u64>,
    pub(crate) judge: Judge<'a>,
    pub(crate) publish: Publish<'a>,
    pub(crate) running: &'a Running<'a>,
    pub(crate) context: &'a Context,
}

/// Put files into the cache. Results in the order of the paths; the first failure is returned after the others are done.
pub fn add_files(
    cache: &Cache,
    stat: &StatCache,
    paths: &[PathBuf],
    links: &[LinkMode],
    context: &Context,
) -> Result<Vec<Added>> {
    let copied = copy_known(cache, stat, paths, links, context)?;
    let mut added = add_files_by(|pass: &Pass<'_>| pass.hash(), cache, stat, paths, links, context)?;
    for n in copied {
        added[n].stored = true;
    }
    Ok(added)
}

/// Put those files into the cache whose digests are known, because something looked at them since they changed: the system
/// copies them, and they are not hashed again. Returns which. One that changes meanwhile is left to be read.
fn copy_known(
    cache: &Cache,
    stat: &StatCache,
    paths: &[PathBuf],
    links: &[LinkMode],
    context: &Context,
) -> Result<Vec<usize>> {
    if moves(links) {
        return Ok(Vec::new());
    }
    let entries = stat_all(paths, context)?;
    let known = stat.lookup(&entries)?;
    let ids: Vec<ObjectId> = known.iter().flatten().map(|d| ObjectId::file(d.md5)).collect();
    let mut there = cache.proven(&ids)?.into_iter();
    let mut seen: HashMap<Md5, (FileDigests, usize)> = HashMap::new();
    let mut todo = Vec::new();
    for (index, digests) in known.into_iter().enumerate() {
        let Some(digests) = digests else { continue };
        if let Some(there) = there.next().flatten() {
            check_same(cache, &paths[index], &digests, &there)?;
            continue;
        }
        let (first, of) = *seen.entry(digests.md5).or_insert((digests, index));
        if first != digests {
            return Err(same_md5(&paths[index], &digests, &paths[of]));
        }
        if of == index {
            todo.push((index, digests));
        }
    }
    if todo.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = todo.iter().map(|(_, digests)| digests.size).sum();
    let running = context.start(Operation::Add, todo.len() as u64, bytes);
    let temporaries = shared::temporary_folder(&cache.temporaries(), todo.len())?;
    let copied = each(context.pool().threads(), todo.len(), context, |n| {
        let (index, digests) = todo[n];
        let (path, temporary) = (&paths[index], temporaries.file(n));
        link::place_at(path, &temporary, &[LinkMode::Reflink, LinkMode::Copy], false)?;
        set_read_only(&temporary)?;
        let same = FileStat::of(&fs::metadata(path)?) == entries[index].stat;
        if !same || fs::metadata(&temporary)?.len() != digests.size {
            return Ok(None);
        }
        let id = ObjectId::file(digests.md5);
        named(cache.publish(&temporary, &id, &digests), path)?;
        running.advance(1, digests.size);
        Ok(Some((index, (id, digests))))
    })?;
    let (copied, objects): (Vec<usize>, Vec<_>) = copied.into_iter().flatten().unzip();
    cache.record(&objects);
    Ok(copied)
}

/// An error if a file has the name of an object with other bytes.
fn check_same(cache: &Cache, path: &Path, digests: &FileDigests, there: &FileDigests) -> Result<()> {
    if digests == there {
        return Ok(());
    }
    let id = ObjectId::file(digests.md5);
    Err(cache.same_md5(format!("`{}`", path.display()), &id))
}

/// The error for two files of one add.
fn same_md5(path: &Path, digests: &FileDigests, other: &Path) -> Error {
    Error::SameMd5 {
        what: format!("`{}`", path.display()),
        md5: digests.md5,
        other: format!("`{}`", other.display()),
    }
}

/// Files by their MD5, each content once. An error for two files of one MD5 that differ.
pub(crate) fn by_md5<'a>(
    paths: &'a [PathBuf],
    digests: &'a [FileDigests],
) -> Result<BTreeMap<Md5, (&'a FileDigests, &'a Path)>> {
    let mut files = BTreeMap::new();
    for (found, path) in digests.iter().zip(paths) {
        let (first, of) = *files.entry(found.md5).or_insert((found, path.as_path()));
        if first != found {
            return Err(same_md5(path, found, of));
        }
    }
    Ok(files)
}

/// Say which file it is that has the name of another.
fn named<T>(result: Result<T>, path: &Path) -> Result<T> {
    result.map_err(|error| match error {
        Error::SameMd5 { md5, other, .. } => Error::SameMd5 {
            what: format!("`{}`", path.display()),
            md5,
            other,
        },
        error => error,
    })
}

/// Whether files become links to their objects.
fn moves(links: &[LinkMode]) -> bool {
    matches!(links.first(), Some(LinkMode::Hardlink | LinkMode::Symlink))
}

impl Pass<'_> {
    /// Read the files to hash and cache them, and for nothing else.
    pub(crate) fn hash(&self) -> Vec<Result<Outcome>> {
        hash::run(&self.jobs, self.judge, self.publish, self.running, self.context)
    }
}

/// Put files into the cache by a pass that may do more with them.
pub(crate) fn add_files_by(
    run: impl FnOnce(&Pass<'_>) -> Vec<Result<Outcome>>,
    cache: &Cache,
    stat: &StatCache,
    paths: &[PathBuf],
    links: &[LinkMode],
    context: &Context,
) -> Result<Vec<Added>> {
    let entries = stat_all(paths, context)?;
    let known = stat.lookup(&entries)?;
    let mut added: Vec<Option<Added>> = vec![None; paths.len()];
    let mut todo = Vec::new();
    let hashed: Vec<ObjectId> = known.iter().flatten().map(|d| ObjectId::file(d.md5)).collect();
    let mut there = cache.proven(&hashed)?.into_iter();
    for (index, digests) in known.iter().enumerate() {
        let Some(digests) = *digests else {
            todo.push(index);
            continue;
        };
        match there.next().flatten() {
            Some(there) => {
                check_same(cache, &paths[index], &digests, &there)?;
                added[index] = Some(Added {
                    digests,
                    stored: false,
                });
            }
            None => todo.push(index),
        }
    }
    if todo.is_empty() {
        return Ok(added.into_iter().flatten().collect());
    }
    let sizes: Vec<u64> = todo.iter().map(|i| entries[*i].stat.size).collect();
    let running = context.start(Operation::Add, todo.len() as u64, sizes.iter().sum());
    let temporaries = shared::temporary_folder(&cache.temporaries(), todo.len())?;
    let clones = clones_work(
        paths.iter().zip(&todo).next().map(|(_, i)| &paths[*i]),
        links,
        &temporaries,
    );
    let moves = moves(links);
    let jobs: Vec<Job> = todo
        .iter()
        .enumerate()
        .map(|(n, i)| {
            let copy = (!moves && !clones).then(|| Copy {
                temporary: temporaries.file(n),
                mode: 0o444,
                durable: false,
            });
            Job {
                source: paths[*i].clone(),
                copy,
            }
        })
        .collect();
    let stored: Vec<Mutex<bool>> = todo.iter().map(|_| Mutex::new(false)).collect();
    let take = Taker {
        cache,
        temporaries: &temporaries,
        links,
        clones,
        moves,
        stored: &stored,
        here: Mutex::default(),
        named: Mutex::new(named_already(&known, paths)),
    };
    let results = run(&Pass {
        judge: &|n, outcome| take.judge(n, &paths[todo[n]], outcome),
        publish: &|n, outcome| take.publish(n, &paths[todo[n]], outcome),
        jobs,
        sizes,
        running: &running,
        context,
    });
    let stored = stored
        .into_iter()
        .map(|s| s.into_inner().unwrap_or_default())
        .collect::<Vec<_>>();
    let done = todo
        .into_iter()
        .zip(stored)
        .zip(results)
        .map(|((index, stored), result)| (index, stored, result));
    remember((cache, stat), paths, done, moves, &mut added, context)?;
    Ok(added.into_iter().flatten().collect())
}

/// The names of files that are not read again.
fn named_already(known: &[Option<FileDigests>], paths: &[PathBuf]) -> HashMap<Md5, (FileDigests, PathBuf)> {
    let known = known.iter().zip(paths);
    known
        .filter_map(|(digests, path)| digests.map(|digests| (digests.md5, (digests, path.clone()))))
        .collect()
}

/// Note what was added, in the results and in the stat cache. The first failure is returned after the others are kept.
fn remember(
    (cache, stat): (&Cache, &StatCache),
    paths: &[PathBuf],
    done: impl Iterator<Item = (usize, bool, Result<Outcome>)>,
    moves: bool,
    added: &mut [Option<Added>],
    context: &Context,
) -> Result<()> {
    let (mut fresh, mut new) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (index, stored, result) in done {
        match result {
            Ok(outcome) => {
                added[index] = Some(Added {
                    digests: outcome.digests,
                    stored,
                });
                if stored {
                    new.push((ObjectId::file(outcome.digests.md5), outcome.digests));
                }
                // Linking changes the inode's times; the state to remember is the one after it.
                let stat = if moves {
                    FileStat::of(&fs::metadata(&paths[index])?)
                } else {
                    outcome.stat
                };
                fresh.push((
                    StatEntry {
                        path: paths[index].clone(),
                        stat,
                    },
                    outcome.digests,
                ));
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    cache.record(&new);
    stat.store(&fresh, context)?;
    failure.map_or(Ok(()), Err)
}

/// How content gets from the workspace into the cache.
struct Taker<'a> {
    cache: &'a Cache,
    temporaries: &'a TemporaryFolder,
    links: &'a [LinkMode],
    clones: bool,
    moves: bool,
    stored: &'a [Mutex<bool>],
    /// Objects that this pass stored, or found to be there and right.
    here: Mutex<HashMap<ObjectId, FileDigests>>,
    /// The first file of each name.
    named: Mutex<HashMap<Md5, (FileDigests, PathBuf)>>,
}

impl Taker<'_> {
    /// Whether the cache has the object of a file. An error if the one that it has is other content.
    fn is_there(&self, source: &Path, digests: &FileDigests) -> Result<bool> {
        let id = ObjectId::file(digests.md5);
        if let Ok(mut named) = self.named.lock() {
            let first = named.entry(id.md5);
            let (first, of) = first.or_insert_with(|| (*digests, source.to_path_buf()));
            if first != digests {
                return Err(same_md5(source, digests, of));
            }
        }
        let known = self.here.lock().ok().and_then(|here| here.get(&id).copied());
        if let Some(there) = known {
            return check_same(self.cache, source, digests, &there).map(|()| true);
        }
        let Some(there) = self.cache.proven(&[id])?.into_iter().next().flatten() else {
            return Ok(false);
        };
        check_same(self.cache, source, digests, &there)?;
        if let Ok(mut here) = self.here.lock() {
            here.insert(id, there);
        }
        Ok(true)
    }

    /// Whether the copy of the pass is wanted. Clones and links are made here instead.
    fn judge(&self, n: usize, source: &Path, outcome: &Outcome) -> Result<bool> {
        let id = ObjectId::file(outcome.digests.md5);
        let there = self.is_there(source, &outcome.digests)?;
        if self.clones || self.moves {
            if !there {
                let temporary = self.temporaries.file(n);
                // A file with another name would give the object that name, too.
                let modes: &[LinkMode] = if self.moves && outcome.stat.names == 1 {
                    &[LinkMode::Hardlink, LinkMode::Copy]
                } else {
                    &[LinkMode::Reflink, LinkMode::Copy]
                };
                link::place_at(source, &temporary, modes, false)?;
                set_read_only(&temporary)?;
                self.publish(n, source, outcome)?;
            }
            if self.moves {
                link::place(&self.cache.object_path(&id), None, source, self.links, true)?;
            }
            return Ok(false);
        }
        Ok(!there)
    }

    fn publish(&self, n: usize, source: &Path, outcome: &Outcome) -> Result<()> {
        let temporary = self.temporaries.file(n);
        let digests = outcome.digests;
        let id = ObjectId::file(digests.md5);
        let new = if self.moves {
            self.cache.publish_as_it_is(&temporary, &id, &digests)
        } else {
            self.cache.publish(&temporary, &id, &digests)
        };
        let new = named(new, source)?;
        if let Ok(mut here) = self.here.lock() {
            here.insert(id, digests);
        }
        if let Ok(mut stored) = self.stored[n].lock() {
            *stored = new;
        }
        Ok(())
    }
}

/// Whether the disk clones blocks between the workspace and the cache: tried once, on a real file.
fn clones_work(sample: Option<&PathBuf>, links: &[LinkMode], temporaries: &TemporaryFolder) -> bool {
    let Some(sample) = sample.filter(|_| links.first() == Some(&LinkMode::Reflink)) else {
        return false;
    };
    let target = temporaries.file(usize::MAX);
    let works = link::place_at(sample, &target, &[LinkMode::Reflink], false).is_ok();
    fs::remove_file(&target).ok();
    works
}

/// The state of files now.
pub(crate) fn stat_all(paths: &[PathBuf], context: &Context) -> Result<Vec<StatEntry>> {
    let stat = |path: &PathBuf| {
        Ok(StatEntry {
            path: path.clone(),
            stat: FileStat::of(&fs::metadata(path)?),
        })
    };
    let all = || paths.par_iter().map(stat).collect();
    let entries: Vec<Result<StatEntry>> = context.pool().install(all);
    entries.into_iter().collect()
}
