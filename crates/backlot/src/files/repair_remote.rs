//! Repairing a remote: damaged or missing objects are stored again, from the cache or from other remotes.
//!
//! Invariant: an object counts as repaired only when it was read back, and is what each pointer proves that it was repaired
//! for. Deliberately absent: inputs, which `backlot install --repair` mends.

use std::collections::{BTreeMap, BTreeSet};

use backlot_core::Blake3;
use backlot_dvc::TrackedPointer;
use backlot_store::{Cache, FileDigests, ObjectId, Transfer, VerifyReport as StoreReport};

use crate::error::Result;
use crate::files::references::{NamedRemote, is_damage};
use crate::files::remotes::{LostObject, RepairReport};
use crate::files::verify::{Expected, VerifyOptions, judge};
use crate::workspace::Opened;

/// The damage of a remote.
#[derive(Debug, Default)]
struct Broken {
    /// Objects to store again, with their BLAKE3.
    objects: BTreeMap<ObjectId, Option<Blake3>>,
    /// Files and folders that are not what a pointer proves, there or here.
    lost: BTreeSet<(ObjectId, Blake3)>,
    /// Those that will be, if it goes well.
    mended: BTreeSet<(ObjectId, Blake3)>,
}

impl Opened {
    pub(crate) fn repair_remote(
        &self,
        remote: Option<&str>,
        from: Option<&str>,
        dry_run: bool,
    ) -> Result<RepairReport> {
        let entry = self.remote_entry(remote, "repairing")?.clone();
        let opened = self.open_remote(&entry.itself())?;
        let named = NamedRemote::new(&entry.name, &opened);
        let everything = VerifyOptions {
            releases: true,
            ..VerifyOptions::default()
        };
        let mut problems = Vec::new();
        let (needed, passed_over) = self.needed_of(named, &everything, &mut problems)?;
        self.warn_left_out(problems);
        let all = needed.ids();
        let cache = self.cache()?;
        let here = cache.verify(&all, self.context())?;
        if !dry_run {
            cache.set_aside_damaged(&here.damaged)?;
        }
        let found = opened.verify(&all, None, self.context())?;
        let mut broken = Broken::of(&needed, &found, &here.digests, &cache)?;
        let (items, nowhere) = self.find_elsewhere(&broken.objects, &entry.name, from)?;
        let packs: Vec<_> = found.packs.iter().map(|pack| pack.name).collect();
        let mut report = RepairReport {
            remote: entry.name.clone(),
            packs: found.packs.iter().map(|pack| pack.key.clone()).collect(),
            segments: found.segments.clone(),
            passed_over,
            cache: here.damaged.clone(),
            dry_run,
            ..RepairReport::default()
        };
        let mut lost: BTreeSet<ObjectId> = nowhere.into_iter().collect();
        if dry_run {
            report.repaired = items.iter().map(|item| item.id).collect();
        } else {
            opened.repair(&cache, &items, &packs, self.context())?;
            let stored: Vec<_> = items.iter().map(|item| (item.id, None)).collect();
            let back = opened.verify(&stored, None, self.context())?;
            report.segments.retain(|key| !back.segments.contains(key));
            let wrong = broken.wrong_still(&found, &back, &cache)?;
            for item in &items {
                let right = back.digests.contains_key(&item.id) && !wrong.contains(&item.id);
                if right {
                    report.repaired.push(item.id);
                } else {
                    lost.insert(item.id);
                }
            }
            let sound = here.damaged.iter();
            let sound = sound.filter(|id| !broken.objects.contains_key(id));
            let sound: Vec<Transfer> = sound.map(|id| Transfer::of(*id)).collect();
            opened.pull(&cache, &sound, self.context())?;
        }
        let absent: BTreeSet<&ObjectId> = found.missing.iter().collect();
        report.absent = report.repaired.iter().filter(|id| absent.contains(id)).count() as u64;
        for id in &report.repaired {
            report.bytes += cache.size(id)?.unwrap_or(0);
        }
        report.lost = lost_objects(&needed, lost, &broken.lost);
        self.find_in_outputs(&mut report.lost)?;
        Ok(report)
    }

    /// Note where outputs may have what is lost: their files are there, and the object is one of those that they were added as.
    fn find_in_outputs(&self, lost: &mut [LostObject]) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let cache = self.cache()?;
        let tracked = self.tracked_or(&[], false, &mut |_, _| Ok(()))?;
        let pointers = tracked.iter().flat_map(|one| &one.pointers);
        for (place, out) in pointers.flat_map(TrackedPointer::located_outs) {
            let Some(id) = out.id().filter(|_| place.exists()) else {
                continue;
            };
            let mut objects = BTreeSet::from([id]);
            if id.tree
                && let Some(manifest) = backlot_dvc::peek_manifest(&cache, &id)?
            {
                let members = manifest.entries().iter();
                objects.extend(members.map(|entry| ObjectId::file(entry.md5)));
            }
            for one in lost.iter_mut().filter(|one| objects.contains(&one.object)) {
                one.path.get_or_insert_with(|| self.display_path(&place));
            }
        }
        Ok(())
    }

    /// Bring what is broken on one remote into the cache, from the others. Returns what is in the cache then, and what is
    /// nowhere.
    fn find_elsewhere(
        &self,
        broken: &BTreeMap<ObjectId, Option<Blake3>>,
        broken_on: &str,
        from: Option<&str>,
    ) -> Result<(Vec<Transfer>, Vec<ObjectId>)> {
        let cache = self.cache()?;
        let mut absent = Vec::new();
        for (id, blake3) in broken {
            if !cache.has(id)? {
                absent.push(Transfer {
                    id: *id,
                    size: None,
                    blake3: *blake3,
                });
            }
        }
        let others: Vec<_> = match from {
            Some(name) => vec![self.remote_entry(Some(name), "repairing")?],
            None => self
                .config()
                .remotes
                .iter()
                .filter(|r| r.name != broken_on)
                .collect(),
        };
        for other in others {
            if absent.is_empty() {
                break;
            }
            let other = self.open_remote(other)?;
            match other.pull(&cache, &absent, self.context()) {
                Ok(_) => {}
                // What it does not have, or has damaged, another may have.
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error.into()),
            }
            let mut still = Vec::new();
            for item in absent {
                if !cache.has(&item.id)? {
                    still.push(item);
                }
            }
            absent = still;
        }
        let lost: Vec<ObjectId> = absent.into_iter().map(|item| item.id).collect();
        let mut items = Vec::new();
        for (id, _) in broken.iter().filter(|(id, _)| !lost.contains(id)) {
            // The remote may have other content under the name, which is replaced only by what is known to be right.
            let digests = cache.proven(&[*id])?.into_iter().next().flatten();
            items.push(Transfer {
                blake3: digests.map(|digests| digests.blake3),
                ..Transfer::of(*id)
            });
        }
        Ok((items, lost))
    }
}

impl Broken {
    fn of(
        needed: &Expected,
        found: &StoreReport,
        here: &BTreeMap<ObjectId, FileDigests>,
        cache: &Cache,
    ) -> Result<Self> {
        let mut broken = Self::default();
        for id in found.damaged.iter().chain(&found.missing) {
            let mut proofs = needed.proofs.keys().filter(|(of, _)| of == id && !id.tree);
            broken.objects.insert(*id, proofs.next().map(|(_, proof)| *proof));
        }
        let wrong: BTreeSet<(ObjectId, Blake3)> =
            needed.unproven(cache, &found.digests)?.into_iter().collect();
        for (id, proof) in &wrong {
            // Of two uses that prove different things, the one that the remote has the content of stays right.
            let used = needed.proofs.keys().filter(|(of, _)| of == id);
            let is_right_for_other = used.clone().any(|one| !wrong.contains(one));
            if is_right_for_other || judge(cache, *id, *proof, here)? != Some(true) {
                broken.lost.insert((*id, *proof));
                continue;
            }
            broken.mended.insert((*id, *proof));
            let mut members = vec![*id];
            if id.tree {
                let manifest = backlot_dvc::peek_manifest(cache, id)?;
                let entries = manifest.iter().flat_map(backlot_dvc::Manifest::entries);
                members = entries.map(|entry| ObjectId::file(entry.md5)).collect();
            }
            for member in members {
                if found.digests.get(&member) != here.get(&member) {
                    let proof = here.get(&member).map(|digests| digests.blake3);
                    broken.objects.insert(member, proof);
                }
            }
        }
        Ok(broken)
    }

    /// The files and folders that are not what was to be achieved, by what was read back. They are lost then.
    fn wrong_still(
        &mut self,
        found: &StoreReport,
        back: &StoreReport,
        cache: &Cache,
    ) -> Result<BTreeSet<ObjectId>> {
        let mut now = found.digests.clone();
        now.extend(&back.digests);
        let mut wrong = BTreeSet::new();
        for (id, proof) in &self.mended {
            if judge(cache, *id, *proof, &now)? != Some(true) {
                wrong.insert(*id);
                self.lost.insert((*id, *proof));
            }
        }
        Ok(wrong)
    }
}

fn lost_objects(
    needed: &Expected,
    nowhere: BTreeSet<ObjectId>,
    unproven: &BTreeSet<(ObjectId, Blake3)>,
) -> Vec<LostObject> {
    let names = |assets: Option<&BTreeSet<String>>| assets.into_iter().flatten().cloned().collect();
    let nowhere = nowhere.into_iter().map(|object| LostObject {
        object,
        needed_by: names(needed.objects.get(&object)),
        path: None,
    });
    let unproven = unproven.iter().map(|use_of| LostObject {
        object: use_of.0,
        needed_by: names(needed.proofs.get(use_of)),
        path: None,
    });
    nowhere.chain(unproven).collect()
}
