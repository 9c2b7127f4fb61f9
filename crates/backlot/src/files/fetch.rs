//! Bringing tracked files from their remotes into the cache.
//!
//! Invariant: of each pin, all that its pointers name is in the cache afterwards, or it is an error. Deliberately absent: placing them in the
//! workspace (`pull`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use backlot_dvc::{Out, TrackedPointer};
use backlot_store::{Cache, FileDigests, KnownFile, ObjectId, Remote, Transfer};

use crate::error::{Error, Result};
use crate::files::moved::MoveReport;
use crate::files::pins::by_pin;
use crate::files::tracked::Tracked;
use crate::workspace::Opened;

/// How often a pull begins again because objects of the cache were damaged.
pub(crate) const PULL_ROUNDS: u32 = 3;

impl Opened {
    /// Fetch missing content of some assets into the cache.
    pub(crate) fn fetch_tracked(
        &self,
        tracked: &[Tracked],
        remote: Option<&str>,
        cache: &Cache,
        (report, proven): (&mut MoveReport, &mut BTreeMap<ObjectId, FileDigests>),
    ) -> Result<()> {
        let pointers: Vec<&TrackedPointer> = tracked.iter().flat_map(|t| &t.pointers).collect();
        for (pin, pointers) in by_pin(&pointers) {
            let pointers_of_pin: Vec<&TrackedPointer> = pointers.iter().collect();
            for round in 1.. {
                if backlot_dvc::all_cached(&pointers_of_pin, cache)? {
                    break;
                }
                let entry = match &pin {
                    Some(pin) => self.pinned(pin, &pointers)?,
                    None => self
                        .remote_entry(remote, "pulling files")
                        .map_err(|error| self.with_known_remote(error, tracked))?,
                };
                report.name_remote(&entry.name);
                let opened = self.open_remote(entry)?.rescuing();
                match backlot_dvc::fetch(&pointers_of_pin, &opened, cache, self.context())
                    .map_err(Error::from)
                {
                    Err(error) if round < PULL_ROUNDS && lacks_objects(&error, cache) => {}
                    fetched => {
                        let fetched = fetched.map_err(|error| self.with_dropped(error, tracked))?;
                        report.take(&fetched);
                        if fetched.rescued {
                            self.note_own_repos(&opened)?;
                        }
                        proven.extend(fetched.digests);
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A tracked file or folder of which some members are wanted.
pub(crate) struct SomeMembers<'a> {
    pub(crate) place: &'a Path,
    pub(crate) out: &'a Out,
    /// The requested content.
    pub(crate) ids: &'a [ObjectId],
}

/// The fetched content, or the plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetched {
    /// The remote, if it was needed.
    pub(crate) remote: Option<String>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Opened {
    /// Bring into the cache what it does not have of some members of a tracked file or folder. Of a folder with a proof, what the remote says of
    /// the others is compared with it; where the remote knows no such thing (DVC's layout), the others are fetched for that.
    pub(crate) fn fetch_members(
        &self,
        members: &SomeMembers<'_>,
        remote: Option<&str>,
        cache: &Cache,
        dry_run: bool,
    ) -> Result<Fetched> {
        let lacking = lacking(members.ids, cache)?;
        if lacking.is_empty() {
            return Ok(Fetched::default());
        }
        let pin = members.out.remote.as_deref();
        let entry = self.remote_entry(pin.or(remote), "pulling files")?;
        let source = self.open_remote(entry)?.rescuing();
        let (others, mut known) = self.proven_by_remote(members, &lacking, &source, cache)?;
        let needed = [lacking, others].concat();
        let mut fetched = Fetched {
            remote: Some(entry.name.clone()),
            ..Fetched::default()
        };
        if dry_run {
            let sizes = source.known_files(&needed, self.context())?;
            fetched.objects = needed.len() as u64;
            fetched.bytes = sizes.iter().flatten().map(|known| known.size).sum();
            return Ok(fetched);
        }
        let proof = members.out.blake3().filter(|_| tree_of(members.out).is_none());
        let transfer = |id: &ObjectId| Transfer {
            blake3: proof,
            ..Transfer::of(*id)
        };
        let transfers: Vec<Transfer> = needed.iter().map(transfer).collect();
        let report = source.pull(cache, &transfers, self.context())?;
        if report.rescued {
            self.note_own_repos(&source)?;
        }
        (fetched.objects, fetched.bytes) = (report.objects, report.bytes);
        let (Some(proof), Some(tree)) = (members.out.blake3(), tree_of(members.out)) else {
            return Ok(fetched);
        };
        if members.ids == [tree] {
            return Ok(fetched);
        }
        known.extend(needed.iter().copied().zip(cache.proven_of_all(&needed)?));
        let manifest = backlot_dvc::read_manifest(cache, &tree)?;
        if backlot_dvc::judge(tree, proof, Some(&manifest), &|id| known.get(id).copied()) == Some(true) {
            return Ok(fetched);
        }
        for id in &needed {
            cache.quarantine(id)?;
        }
        Err(backlot_dvc::Error::ProofFailed {
            path: members.place.to_path_buf(),
        }
        .into())
    }

    /// The members of a folder with a proof of which neither the cache nor the remote can tell the digests, and the digests of all others but
    /// those that are `lacking`.
    fn proven_by_remote(
        &self,
        members: &SomeMembers<'_>,
        lacking: &[ObjectId],
        remote: &Remote,
        cache: &Cache,
    ) -> Result<(Vec<ObjectId>, HashMap<ObjectId, FileDigests>)> {
        let mut known = HashMap::new();
        let tree = tree_of(members.out).filter(|tree| members.ids != [*tree]);
        let (Some(_), Some(tree)) = (members.out.blake3(), tree) else {
            return Ok((Vec::new(), known));
        };
        let manifest = backlot_dvc::read_manifest(cache, &tree)?;
        let mut ids: Vec<ObjectId> = manifest.entries().iter().map(|e| ObjectId::file(e.md5)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| lacking.binary_search(id).is_err());
        let mut others = Vec::new();
        for (id, held) in ids.iter().zip(cache.proven(&ids)?) {
            match held {
                Some(digests) => drop(known.insert(*id, digests)),
                None => others.push(*id),
            }
        }
        let mut unknown = Vec::new();
        for (id, told) in others.iter().zip(remote.known_files(&others, self.context())?) {
            match told {
                Some(KnownFile {
                    size,
                    blake3: Some(blake3),
                }) => {
                    let md5 = id.md5;
                    known.insert(*id, FileDigests { md5, blake3, size });
                }
                _ => unknown.push(*id),
            }
        }
        Ok((unknown, known))
    }
}

/// The manifest of an out that is a folder.
fn tree_of(out: &Out) -> Option<ObjectId> {
    out.id().filter(|id| id.tree)
}

/// Those of some objects that the cache does not have, each once.
fn lacking(ids: &[ObjectId], cache: &Cache) -> Result<Vec<ObjectId>> {
    let sizes = cache.sizes(ids)?;
    let absent = ids.iter().zip(sizes).filter(|(_, size)| size.is_none());
    let mut absent: Vec<ObjectId> = absent.map(|(id, _)| *id).collect();
    absent.sort_unstable();
    absent.dedup();
    Ok(absent)
}

/// Whether something failed because the cache does not have objects, or set them aside.
pub(crate) fn lacks_objects(error: &Error, cache: &Cache) -> bool {
    use backlot_dvc::Error as DvcError;
    use backlot_store::Error as StoreError;
    let of_store = |error: &StoreError| match error {
        StoreError::Corrupt { place, .. } | StoreError::Missing { place, .. } => *place == cache.place(),
        _ => false,
    };
    match error {
        Error::Dvc(DvcError::NotInCache { .. }) => true,
        Error::Dvc(DvcError::Store(error)) | Error::Store(error) => of_store(error),
        _ => false,
    }
}
