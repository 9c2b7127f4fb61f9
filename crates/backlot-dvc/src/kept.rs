//! Digests of the members of a folder that an add did not read: those that are unchanged and perhaps not here.
//!
//! A pointer's proof is of all files, so changing one needs the BLAKE3 of the others. They are looked for where that costs
//! least: in the stat cache, on the remote, in the cache. Invariants: what a remote says is taken only if all of it together
//! is what the old pointer proves (or the old pointer proves nothing); otherwise the content itself is fetched and hashed.
//! A member that is nowhere is an error that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Context};
use backlot_store::{
    Cache, FileDigests, FileStat, KnownFile, ObjectId, Remote, StatCache, StatEntry, Transfer, hash_files,
};

use crate::content::proof_of;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, ManifestEntry};

/// Where unchanged members are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) place: &'a Path,
    /// What the folder was, and the proof of that.
    pub(crate) base: &'a Manifest,
    pub(crate) proof: Option<Blake3>,
    /// Whether the proof says what it is of. One that does not may be of what the folder was before.
    pub(crate) is_bound: bool,
    pub(crate) cache: &'a Cache,
    pub(crate) stat: &'a StatCache,
    pub(crate) remote: Option<&'a Remote>,
    pub(crate) context: &'a Context,
}

impl Kept<'_> {
    /// The digests of `kept`. In a dry run nothing is fetched, and a proof that only content could tell is left open.
    pub(crate) fn digests(&self, kept: &[ManifestEntry], dry_run: bool) -> Result<(Vec<FileDigests>, bool)> {
        let mut known: BTreeMap<ObjectId, FileDigests> = BTreeMap::new();
        self.known_to_stat(kept, &mut known)?;
        let unknown = |known: &BTreeMap<ObjectId, FileDigests>| -> Vec<ObjectId> {
            let ids: BTreeSet<ObjectId> = kept.iter().map(id_of).collect();
            ids.into_iter().filter(|id| !known.contains_key(id)).collect()
        };
        let mut sizes = BTreeMap::new();
        let todo = unknown(&known);
        if !todo.is_empty() {
            sizes = self.known_to_remote(&todo, &mut known)?;
        }
        let todo = unknown(&known);
        let here: Vec<bool> = self.cache.sizes(&todo)?.iter().map(Option::is_some).collect();
        let absent: Vec<ObjectId> = todo
            .iter()
            .zip(&here)
            .filter(|(_, here)| !**here)
            .map(|(id, _)| *id)
            .collect();
        if let Some(lost) = self.lost(kept, &absent, &sizes) {
            return Err(lost);
        }
        let mut whole = true;
        if dry_run {
            for id in &absent {
                whole = false;
                let size = sizes.get(id).copied().unwrap_or(0);
                let blake3 = Blake3::from_bytes([0; 32]);
                known.insert(
                    *id,
                    FileDigests {
                        md5: id.md5,
                        blake3,
                        size,
                    },
                );
            }
        } else if let Some(remote) = self.remote.filter(|_| !absent.is_empty()) {
            let transfers: Vec<Transfer> = absent.iter().copied().map(Transfer::of).collect();
            known.extend(remote.pull(self.cache, &transfers, self.context)?.digests);
        }
        let todo = unknown(&known);
        let paths: Vec<PathBuf> = todo.iter().map(|id| self.cache.object_path(id)).collect();
        known.extend(todo.into_iter().zip(hash_files(&paths, self.stat, self.context)?));
        let digests = kept.iter().filter_map(|entry| known.get(&id_of(entry)).copied());
        Ok((digests.collect(), whole))
    }

    /// An error if something is neither in the cache nor on the remote.
    fn lost(
        &self,
        kept: &[ManifestEntry],
        absent: &[ObjectId],
        sizes: &BTreeMap<ObjectId, u64>,
    ) -> Option<Error> {
        let lost: BTreeSet<&ObjectId> = absent.iter().filter(|id| !sizes.contains_key(id)).collect();
        let paths = kept.iter().filter(|entry| lost.contains(&id_of(entry)));
        let paths: Vec<PathBuf> = paths.map(|entry| entry.path.to_path(self.place)).collect();
        not_found(paths, self.remote)
    }

    /// What the stat cache knows of files in the workspace and objects in the cache.
    fn known_to_stat(
        &self,
        kept: &[ManifestEntry],
        known: &mut BTreeMap<ObjectId, FileDigests>,
    ) -> Result<()> {
        let places: [&dyn Fn(&ManifestEntry) -> PathBuf; 2] =
            [&|entry| entry.path.to_path(self.place), &|entry| {
                self.cache.object_path(&id_of(entry))
            }];
        for path_of in places {
            let mut entries = Vec::new();
            for entry in kept.iter().filter(|entry| !known.contains_key(&id_of(entry))) {
                let path = path_of(entry);
                if let Ok(found) = fs_err::metadata(&path) {
                    let stat = FileStat::of(&found);
                    entries.push((id_of(entry), StatEntry { path, stat }));
                }
            }
            let (ids, entries): (Vec<ObjectId>, Vec<StatEntry>) = entries.into_iter().unzip();
            for (id, digests) in ids.into_iter().zip(self.stat.lookup(&entries)?) {
                if let Some(digests) = digests.filter(|d| d.md5 == id.md5) {
                    known.insert(id, digests);
                }
            }
        }
        Ok(())
    }

    /// What the remote says of files, if it is proven by the old pointer. Returns the sizes of all that are there.
    fn known_to_remote(
        &self,
        todo: &[ObjectId],
        known: &mut BTreeMap<ObjectId, FileDigests>,
    ) -> Result<BTreeMap<ObjectId, u64>> {
        let Some(remote) = self.remote else {
            return Ok(BTreeMap::new());
        };
        let digests = |id: ObjectId, file: KnownFile| {
            let (md5, blake3, size) = (id.md5, file.blake3?, file.size);
            Some((id, FileDigests { md5, blake3, size }))
        };
        let mut asked: BTreeSet<ObjectId> = todo.iter().copied().collect();
        if self.proof.is_some() {
            let base = self.base.entries().iter().map(id_of);
            asked.extend(base.filter(|id| !known.contains_key(id)));
        }
        let asked: Vec<ObjectId> = asked.into_iter().collect();
        let there = remote.known_files(&asked, self.context)?;
        let there: BTreeMap<ObjectId, KnownFile> = asked
            .into_iter()
            .zip(there)
            .filter_map(|(id, file)| Some((id, file?)))
            .collect();
        let told: BTreeMap<ObjectId, FileDigests> = there
            .iter()
            .filter_map(|(id, file)| digests(*id, *file))
            .collect();
        // What is not proven is fetched, and hashed.
        if self.is_proven(known, &told)? {
            known.extend(todo.iter().filter_map(|id| Some((*id, *told.get(id)?))));
        }
        let sizes = there.into_iter().map(|(id, file)| (id, file.size));
        Ok(sizes.collect())
    }

    fn is_proven(
        &self,
        known: &BTreeMap<ObjectId, FileDigests>,
        told: &BTreeMap<ObjectId, FileDigests>,
    ) -> Result<bool> {
        let Some(proof) = self.proof else { return Ok(true) };
        let mut all = Vec::with_capacity(self.base.entries().len());
        for entry in self.base.entries() {
            let id = id_of(entry);
            match known.get(&id).or_else(|| told.get(&id)) {
                Some(digests) => all.push(*digests),
                None => return Ok(false),
            }
        }
        if proof_of(self.base.entries().iter().map(|e| &e.path), &all) == proof {
            Ok(true)
        } else if !self.is_bound {
            Ok(false)
        } else {
            Err(Error::ProofFailed {
                path: self.place.to_path_buf(),
            })
        }
    }
}

/// An error that names files that are neither here nor on the remote; `None` if there are none.
pub(crate) fn not_found(paths: Vec<PathBuf>, remote: Option<&Remote>) -> Option<Error> {
    if paths.is_empty() {
        return None;
    }
    Some(Error::NotOnRemote {
        count: paths.len() as u64,
        paths,
        remote: remote.map(Remote::place),
    })
}

fn id_of(entry: &ManifestEntry) -> ObjectId {
    ObjectId::file(entry.md5)
}
