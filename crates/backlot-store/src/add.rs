//! Putting workspace files into the cache: hash and copy in one pass, only what is not known already.
//!
//! Invariant: a digest is returned only for content that is in the cache under it. With hard or symbolic links the
//! workspace file becomes a link to the object; with clones and copies it stays as it is.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backlot_core::context::Running;
use backlot_core::file::TemporaryFolder;
use backlot_core::{Context, LinkMode, Operation, link};
use fs_err as fs;
use rayon::prelude::*;

use crate::cache::{Cache, set_read_only};
use crate::error::Result;
use crate::hash::{self, Copy, Job, Judge, Outcome, Publish};
use crate::object::{FileDigests, ObjectId};
use crate::parallel::{cores, each};
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
    let entries = stat_all(paths)?;
    let mut known = stat.lookup(&entries)?;
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
    let entries = stat_all(paths)?;
    let known = stat.lookup(&entries)?;
    let ids: Vec<ObjectId> = known.iter().flatten().map(|d| ObjectId::file(d.md5)).collect();
    let mut there = cache.proven(&ids)?.into_iter();
    let mut seen = HashSet::new();
    let mut todo = Vec::new();
    for (index, digests) in known.into_iter().enumerate() {
        if let Some(digests) = digests
            && there.next().flatten().is_none()
            && seen.insert(digests.md5)
        {
            todo.push((index, digests));
        }
    }
    if todo.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = todo.iter().map(|(_, digests)| digests.size).sum();
    let running = context.start(Operation::Add, todo.len() as u64, bytes);
    let temporaries = TemporaryFolder::for_files(&cache.temporaries(), todo.len())?;
    let copied = each(cores(), todo.len(), context, |n| {
        let (index, digests) = todo[n];
        let (path, temporary) = (&paths[index], temporaries.file(n));
        link::place_at(path, &temporary, &[LinkMode::Reflink, LinkMode::Copy], false)?;
        set_read_only(&temporary)?;
        let same = FileStat::of(&fs::metadata(path)?) == entries[index].stat;
        if !same || fs::metadata(&temporary)?.len() != digests.size {
            return Ok(None);
        }
        let id = ObjectId::file(digests.md5);
        cache.publish(&temporary, &id)?;
        running.advance(1, digests.size);
        Ok(Some((index, (id, digests))))
    })?;
    let (copied, objects): (Vec<usize>, Vec<_>) = copied.into_iter().flatten().unzip();
    cache.record(&objects);
    Ok(copied)
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
    let entries = stat_all(paths)?;
    let known = stat.lookup(&entries)?;
    let mut added: Vec<Option<Added>> = vec![None; paths.len()];
    let mut todo = Vec::new();
    let hashed: Vec<ObjectId> = known.iter().flatten().map(|d| ObjectId::file(d.md5)).collect();
    let mut there = cache.proven(&hashed)?.into_iter();
    for (index, digests) in known.iter().enumerate() {
        match digests.filter(|_| there.next().flatten().is_some()) {
            Some(digests) => {
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
    let temporaries = TemporaryFolder::for_files(&cache.temporaries(), todo.len())?;
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
    };
    let results = run(&Pass {
        judge: &|n, outcome| take.judge(n, &paths[todo[n]], outcome),
        publish: &|n, outcome| take.publish(n, outcome),
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
    here: Mutex<HashSet<ObjectId>>,
}

impl Taker<'_> {
    /// Whether the cache has the object, with the bytes that its name says.
    fn is_there(&self, id: ObjectId) -> Result<bool> {
        if self.here.lock().is_ok_and(|here| here.contains(&id)) {
            return Ok(true);
        }
        let there = self.cache.proven(&[id])? != [None];
        if there && let Ok(mut here) = self.here.lock() {
            here.insert(id);
        }
        Ok(there)
    }

    /// Whether the copy of the pass is wanted. Clones and links are made here instead.
    fn judge(&self, n: usize, source: &Path, outcome: &Outcome) -> Result<bool> {
        let id = ObjectId::file(outcome.digests.md5);
        let there = self.is_there(id)?;
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
                self.publish_as(n, &id)?;
            }
            if self.moves {
                link::place(&self.cache.object_path(&id), None, source, self.links, true)?;
            }
            return Ok(false);
        }
        Ok(!there)
    }

    fn publish(&self, n: usize, outcome: &Outcome) -> Result<()> {
        self.publish_as(n, &ObjectId::file(outcome.digests.md5))
    }

    fn publish_as(&self, n: usize, id: &ObjectId) -> Result<()> {
        let temporary = self.temporaries.file(n);
        let new = if self.moves {
            self.cache.publish_as_it_is(&temporary, id)?
        } else {
            self.cache.publish(&temporary, id)?
        };
        if let Ok(mut here) = self.here.lock() {
            here.insert(*id);
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
pub(crate) fn stat_all(paths: &[PathBuf]) -> Result<Vec<StatEntry>> {
    let entries: Vec<Result<StatEntry>> = paths
        .par_iter()
        .map(|path| {
            Ok(StatEntry {
                path: path.clone(),
                stat: FileStat::of(&fs::metadata(path)?),
            })
        })
        .collect();
    entries.into_iter().collect()
}
