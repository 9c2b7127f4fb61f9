//! Bringing results of stages from remotes: entries of the run cache, and the objects they name.
//!
//! Invariants: an out is looked for on the remote it is pinned to, all others on the one that is named, or the default; an entry that is not
//! what its name says is passed over with a warning. Deliberately absent: which results are wanted, which the run knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use backlot_core::{Context, Diagnostic as _, Sha256};
use backlot_dvc::pipeline::run::{Pull, RunCache, RunCacheLayout};
use backlot_dvc::pipeline::{Output, Stage};
use backlot_store::{Cache, ObjectId, Remote, Transfer, TransferReport};

use crate::error::{OutsError, Result};
use crate::workspace::Opened;

/// The remotes that results are pulled from.
#[derive(Debug)]
pub(crate) struct PullFrom {
    /// By pin.
    remotes: BTreeMap<Option<String>, (String, Remote)>,
    cache: Cache,
    /// Whether nothing is brought, and only counted.
    dry_run: bool,
    pulled: Mutex<Pulled>,
}

/// The pulled results.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulled {
    pub(crate) results: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl PullFrom {
    /// The results pulled so far.
    pub(crate) fn pulled(&self) -> Pulled {
        *self.pulled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the remotes.
    pub(crate) fn names(&self) -> Vec<String> {
        self.remotes.values().map(|(name, _)| name.clone()).collect()
    }

    fn count(&self, results: u64, moved: &TransferReport) {
        let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        pulled.results += results;
        pulled.objects += moved.objects;
        pulled.bytes += moved.bytes;
    }

    /// The results of a key on one remote.
    fn results_of(
        &self,
        (name, remote): &(String, Remote),
        layout: RunCacheLayout,
        key: &Sha256,
        context: &Context,
    ) -> backlot_dvc::Result<u64> {
        let run_cache = RunCache::new(&self.cache, layout);
        let mut new = 0;
        for entry in remote.result_names(layout, key)? {
            context.check()?;
            let taken = match run_cache.has(&entry) {
                Ok(true) => Ok(false),
                Ok(false) if self.dry_run => Ok(true),
                Ok(false) => match remote.read_result(layout, &entry)? {
                    Some(bytes) => run_cache.insert(&entry, &bytes),
                    None => Ok(false),
                },
                Err(error) => Err(error),
            };
            match taken {
                Ok(taken) => new += u64::from(taken),
                Err(backlot_dvc::Error::Pipeline(error)) => {
                    context.warn(error.code(), format!("{error}; skipped on the remote {name}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(new)
    }
}

impl Pull for PullFrom {
    fn pull(&self, out: &Output, objects: &[ObjectId], context: &Context) -> backlot_dvc::Result<()> {
        let Some((_, remote)) = self.remotes.get(&out.remote).filter(|_| !self.dry_run) else {
            return Ok(());
        };
        let there = remote.exists_many(objects, context)?;
        let wanted = objects.iter().zip(there).filter(|(_, there)| *there);
        let wanted: Vec<Transfer> = wanted.map(|(id, _)| Transfer::of(*id)).collect();
        self.count(0, &remote.pull(&self.cache, &wanted, context)?);
        Ok(())
    }

    fn results(
        &self,
        stage: &Stage,
        layout: RunCacheLayout,
        key: &Sha256,
        context: &Context,
    ) -> backlot_dvc::Result<u64> {
        let mut pins: Vec<&Option<String>> = stage.outs.iter().map(|out| &out.remote).collect();
        pins.sort();
        pins.dedup();
        let mut new = 0;
        for remote in pins.into_iter().filter_map(|pin| self.remotes.get(pin)) {
            new += self.results_of(remote, layout, key, context)?;
        }
        self.count(new, &TransferReport::default());
        Ok(if self.dry_run { 0 } else { new })
    }
}

impl Opened {
    /// The remotes that the outputs of stages belong to, to pull results from.
    pub(crate) fn pull_from<'a>(
        &self,
        stages: impl Iterator<Item = &'a Stage>,
        remote: Option<&str>,
        dry_run: bool,
    ) -> Result<PullFrom> {
        let mut remotes = BTreeMap::new();
        for stage in stages {
            for out in &stage.outs {
                if !remotes.contains_key(&out.remote) {
                    let found = self.remote_of(stage, out.remote.as_deref(), remote)?;
                    remotes.insert(out.remote.clone(), found);
                }
            }
        }
        Ok(PullFrom {
            remotes,
            cache: self.cache()?,
            dry_run,
            pulled: Mutex::default(),
        })
    }

    /// The remote of outputs with a pin, or else the one that a command names, with its name.
    fn remote_of(&self, stage: &Stage, pin: Option<&str>, named: Option<&str>) -> Result<(String, Remote)> {
        let entry = match pin {
            None => self.remote_entry(named, "pulling results of stages")?,
            Some(pin) => {
                let entry = self.config().remotes.iter().find(|remote| remote.name == pin);
                entry.ok_or_else(|| OutsError::UnknownPin {
                    pointer: stage.file.to_string(),
                    remote: pin.to_owned(),
                })?
            }
        };
        Ok((entry.name.clone(), self.open_remote(entry)?))
    }
}
