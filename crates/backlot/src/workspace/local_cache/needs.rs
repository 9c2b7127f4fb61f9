//! The needs of workspaces in a cache: the objects of their pointers, and the unpacked packages of their locks.
//!
//! Invariant: what is needed is known completely, or it is an error. Deliberately absent: what releases need that no workspace
//! has installed; it can be fetched again.

use std::collections::HashSet;

use backlot_core::{Class, Diagnostic as _, Sha256};
use backlot_dvc::TrackedPointer;
use backlot_store::{Cache, ObjectId, Transfer};

use crate::environment::lockfile::Lock;
use crate::error::{CacheError, Result};
use crate::workspace::Opened;

/// Cached files to keep.
#[derive(Debug, Default)]
pub(super) struct CacheNeeds {
    pub(super) objects: HashSet<ObjectId>,
    /// Digests of the files that unpacked wheels came out of.
    pub(super) wheels: HashSet<Sha256>,
    /// Conda packages, as `name-version-build`.
    pub(super) conda: HashSet<String>,
}

impl CacheNeeds {
    /// Add the needs of a workspace.
    pub(super) fn add(&mut self, workspace: &Opened, cache: &Cache) -> Result<()> {
        self.objects.extend(workspace.objects_set_aside()?);
        for tracked in workspace.tracked(&[], true)? {
            for (_, out) in tracked.pointers.iter().flat_map(TrackedPointer::located_outs) {
                let Some(id) = out.id() else { continue };
                self.objects.insert(id);
                if !id.tree {
                    continue;
                }
                let is_known =
                    cache.has(&id)? || !tracked.installed && workspace.bring_manifest(cache, id)?;
                if is_known {
                    let manifest = backlot_dvc::read_manifest(cache, &id)?;
                    let members = manifest.entries().iter().map(|e| ObjectId::file(e.md5));
                    self.objects.extend(members);
                } else if !tracked.installed {
                    // For an output, the cache may have the only copy, under names that only this manifest has.
                    return Err(CacheError::UnknownManifest {
                        workspace: workspace.root().to_path_buf(),
                        asset: tracked.name.clone(),
                        manifest: id,
                    }
                    .into());
                }
            }
        }
        if let Some(lock) = Lock::load(workspace.root())? {
            self.wheels
                .extend(lock.packages.iter().filter_map(|package| package.sha256));
            let conda = lock.conda.iter();
            self.conda
                .extend(conda.map(|one| format!("{}-{}-{}", one.name, one.version, one.build)));
        }
        Ok(())
    }
}

impl Opened {
    /// Fetch a manifest from the default remote, if that has it.
    fn bring_manifest(&self, cache: &Cache, id: ObjectId) -> Result<bool> {
        let Ok(entry) = self.remote_entry(None, "cleaning the cache") else {
            return Ok(false);
        };
        let pulled = self
            .open_remote(entry)
            .and_then(|remote| Ok(remote.pull(cache, &[Transfer::of(id)], self.context())?));
        match pulled {
            Ok(_) => Ok(true),
            Err(error) if error.class() == Class::Cancelled => Err(error),
            Err(_) => Ok(false),
        }
    }
}
