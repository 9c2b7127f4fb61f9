//! Files that are sent without a cache: read once, hashed, cut and packed in one pass.
//!
//! Invariant: the digests of a file are returned only when all that it is made of can be relied on. A file that changes while it
//! is read again is an error. Deliberately absent: who names the files.

use std::collections::HashSet;
use std::path::PathBuf;

use backlot_core::{Context, Operation};

use super::open_file::{CacheSink, Content, Source};
use super::push::{ChunkedRepository, Pushed, SameName, Work};
use super::remote::{ChunkedRemote, report};
use crate::add::{by_md5, stat_all};
use crate::error::{Error, Result};
use crate::hash::{Job, Outcome};
use crate::object::{FileDigests, ObjectId};
use crate::remote::TransferReport;
use crate::stat::{StatCache, StatEntry};

/// Files that were read before.
pub(super) fn seen(paths: &[PathBuf], digests: &[FileDigests]) -> Vec<Source> {
    let known = |(path, digests): (&PathBuf, &FileDigests)| Source {
        content: Content::Known(ObjectId::file(digests.md5), Some(digests.blake3)),
        path: path.clone(),
        size: digests.size,
    };
    paths.iter().zip(digests).map(known).collect()
}

impl ChunkedRemote {
    /// Store files that go into no cache. What the remote has of files that did not change since they were hashed is not read.
    pub(crate) fn store_files(
        &self,
        stat: &StatCache,
        paths: &[PathBuf],
        context: &Context,
    ) -> Result<(Vec<FileDigests>, TransferReport)> {
        let site = self.find_or_make()?;
        let entries = stat_all(paths, context)?;
        let mut known = stat.lookup(&entries)?;
        let ids: Vec<ObjectId> = known.iter().flatten().map(|d| ObjectId::file(d.md5)).collect();
        let mut there = site.known(&ids, context)?.into_iter();
        for digests in known.iter_mut().filter(|digests| digests.is_some()) {
            if there.next().flatten().is_none() {
                *digests = None;
            }
        }
        let todo: Vec<usize> = (0..paths.len()).filter(|n| known[*n].is_none()).collect();
        let new: Vec<PathBuf> = todo.iter().map(|n| paths[*n].clone()).collect();
        let (outcomes, mut pushed) = site.read_once(&new, context)?;
        let mut fresh = Vec::with_capacity(todo.len());
        for (n, outcome) in todo.into_iter().zip(outcomes) {
            known[n] = Some(outcome.digests);
            let entry = StatEntry {
                path: paths[n].clone(),
                stat: outcome.stat,
            };
            fresh.push((entry, outcome.digests));
        }
        stat.store(&fresh, context)?;
        let digests: Vec<FileDigests> = known.into_iter().flatten().collect();
        by_md5(paths, &digests)?;
        // Sees whether all that is relied on is still there, and stores again what is not.
        pushed.sent += site.push_seen(&seen(paths, &digests), context)?.sent;
        pushed.already_there = (paths.len() as u64).saturating_sub(pushed.objects);
        Ok((digests, report(&pushed)))
    }
}

impl ChunkedRepository {
    /// Read, hash, cut and send files in one pass, without a cache.
    pub(super) fn read_once(&self, paths: &[PathBuf], context: &Context) -> Result<(Vec<Outcome>, Pushed)> {
        let mut jobs = Vec::with_capacity(paths.len());
        let mut files = Vec::with_capacity(paths.len());
        for (number, path) in paths.iter().enumerate() {
            jobs.push(Job {
                source: path.clone(),
                copy: None,
            });
            files.push(Source {
                content: Content::New(number),
                path: path.clone(),
                size: fs_err::metadata(path)?.len(),
            });
        }
        let bytes = files.iter().map(|file| file.size).sum();
        let running = context.start(Operation::Push, files.len() as u64, bytes);
        let intake = CacheSink::new(&jobs, &|_, _| Ok(false), &|_, _| Ok(()));
        let work = Work {
            seeds: None,
            avoid: HashSet::new(),
            intake: Some(&intake),
            running: &running,
            context,
        };
        let pushed = self.take_in(&files, &work)?;
        drop(work);
        let outcomes: Result<Vec<Outcome>> = intake.into_results(context).into_iter().collect();
        Ok((outcomes?, pushed))
    }

    /// Push files that were read before: what is there is relied on, what a collector took is read again.
    pub(super) fn push_seen(&self, sources: &[Source], context: &Context) -> Result<Pushed> {
        match self.push(sources, None, (&HashSet::new(), SameName::Refuse), context) {
            Err(Error::Corrupt { objects, .. }) => {
                let of = |source: &&Source| matches!(source.content, Content::Known(id, _) if objects.contains(&id));
                let changed = sources.iter().find(of).or(sources.first());
                Err(Error::Changing {
                    path: changed.map(|source| source.path.clone()).unwrap_or_default(),
                })
            }
            pushed => pushed,
        }
    }
}
