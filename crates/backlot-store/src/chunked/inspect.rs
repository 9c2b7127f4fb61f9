//! Verifying a chunked remote: packs are read again, chunk by chunk, and damage is reported by pack and by file.
//!
//! Memory: a step of [`super::chunks`] for each request in flight. Deliberately absent: putting it right; that is a push that relies
//! on nothing in the damaged packs.

use std::collections::{BTreeMap, HashSet};

use backlot_core::context::Running;
use backlot_core::{Blake3, Context, Operation};

use super::catalog::{Catalog, Found};
use super::mirror::Source;
use super::name::{Kind, StoredName, name_of};
use super::pack::{Entry, PackFacts};
use super::push::ChunkedRepository;
use super::relied::Relied;
use super::wire::Malformed;
use crate::cache::{DamagedPack, VerifyReport};
use crate::error::{Error, Result};
use crate::object::{FileDigests, ObjectId};
use crate::parallel::each;

/// The damage of one pack.
#[derive(Debug, Default)]
struct Health {
    /// Positions of chunks that are not what they should be; all of them if the table is lost.
    bad: HashSet<u32>,
    all: bool,
    why: Option<Malformed>,
    bytes: u64,
}

impl ChunkedRepository {
    /// Read the packs of some files again: all, or about a percentage of them. Returns also what is condemned of what they are made
    /// of.
    pub(super) fn verify(
        &self,
        expected: &[(ObjectId, Option<Blake3>)],
        sample: Option<u8>,
        context: &Context,
    ) -> Result<(VerifyReport, Relied)> {
        // The remote itself is looked at, not this machine's copy of it.
        let catalog = Catalog::load_from(Source::Remote, &*self.blobs, &self.mirror, context)?;
        let mut report = VerifyReport::default();
        let mut found: Vec<(ObjectId, Found<'_>)> = Vec::new();
        let ids: Vec<ObjectId> = expected.iter().map(|(id, _)| *id).collect();
        for ((id, proof), one) in expected.iter().zip(catalog.find(&ids)?) {
            match one {
                Some(one) if proof.is_some_and(|proof| proof != one.recipe.blake3) => {
                    report.damaged.push(*id);
                }
                Some(one) => found.push((*id, one)),
                None => report.missing.push(*id),
            }
        }
        let mut relied = Relied::default();
        let mut packs: BTreeMap<StoredName, PackFacts> = BTreeMap::new();
        for (id, one) in &found {
            if !catalog.is_clean(one) {
                relied.add_condemned(&catalog, one);
                report.condemned.push(*id);
            }
            packs.extend(one.packs().map(|pack| (pack.name, *pack)));
        }
        if let Some(percent) = sample {
            // Another sample each time; names end in chance.
            let start = StoredName::fresh().as_bytes()[15];
            let most = u32::from(percent) * 256 / 100;
            packs.retain(|name, _| u32::from(name.as_bytes()[15].wrapping_sub(start)) < most);
        }
        let health = self.read_packs(&packs, context)?;
        for (id, one) in &found {
            report.objects += 1;
            if is_hurt(one, &health) {
                report.damaged.push(*id);
                for pack in one.packs().filter(|pack| health.contains_key(&pack.name)) {
                    name_hurt(&mut report, pack, &health[&pack.name], *id);
                }
            } else {
                let (md5, blake3, size) = (id.md5, one.recipe.blake3, one.recipe.size);
                report.digests.insert(*id, FileDigests { md5, blake3, size });
            }
        }
        report.bytes = health.values().map(|h| h.bytes).sum();
        for (name, health) in health.iter().filter(|(_, h)| h.why.is_some()) {
            let key = Kind::Pack.key(*name);
            // One that is condemned already and hurts nothing asked for was repaired.
            let known =
                catalog.condemned.packs.contains(name) || report.packs.iter().any(|pack| pack.key == key);
            if !known {
                report
                    .packs
                    .push(DamagedPack::new(*name, key, health.why.unwrap_or_default()));
            }
        }
        report.segments.clone_from(&catalog.damaged);
        let index = self.segments(Kind::Index).load(Source::Remote, context)?;
        report.segments.extend(index.damaged);
        report.damaged.sort_unstable();
        report.damaged.dedup();
        Ok((report, relied))
    }

    /// Store again those damaged recipe segments that this machine has a sound copy of: all files that they named are there
    /// again, also those that no cache has. Those that a collection condemned stay what they are.
    pub(super) fn put_back(&self, catalog: &Catalog) -> Result<()> {
        let recipes = self.segments(Kind::Recipe);
        for name in catalog.damaged.iter().filter_map(|key| name_of(key)) {
            if catalog.condemned.recipes.contains(&name) {
                continue;
            }
            if let Some(bytes) = recipes.sound_copy(name)? {
                // Behind the damaged one and before what was pushed later, whose recipes are preferred to these.
                recipes.put(StoredName::after([&name]), &bytes, true)?;
            }
            recipes.drop_sound_copy(name)?;
        }
        Ok(())
    }

    /// Move damaged recipe segments out of the way, to `v1/quarantine/`. What they held is to be pushed again.
    pub(super) fn set_aside(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            if let Some(bytes) = self.blobs.read(key)? {
                let name = key.rsplit('/').next().unwrap_or(key);
                self.blobs.put(&format!("v1/quarantine/{name}"), &bytes)?;
                self.blobs.delete(key)?;
            }
        }
        Ok(())
    }

    fn read_packs(
        &self,
        packs: &BTreeMap<StoredName, PackFacts>,
        context: &Context,
    ) -> Result<BTreeMap<StoredName, Health>> {
        let list: Vec<&PackFacts> = packs.values().collect();
        let bytes = list.iter().map(|pack| pack.length).sum();
        let running = context.start(Operation::Verify, list.len() as u64, bytes);
        let health = each(self.blobs.concurrency(), list.len(), context, |n| {
            self.read_pack(list[n], &running, context)
        })?;
        Ok(list.into_iter().map(|pack| pack.name).zip(health).collect())
    }

    fn read_pack(&self, pack: &PackFacts, running: &Running<'_>, context: &Context) -> Result<Health> {
        let mut health = Health::default();
        let table = match self.pack_table(pack) {
            Ok(Some(table)) => table,
            Ok(None) => {
                health.all = true;
                health.why = Some("it does not exist");
                return Ok(health);
            }
            Err(Error::DamagedRemote { .. }) => {
                health.all = true;
                health.why = Some("its table does not match its digest");
                return Ok(health);
            }
            Err(error) => return Err(error),
        };
        context.check()?;
        let chunks: Vec<(u32, Entry)> = (0..).zip(table).collect();
        let mut bad = HashSet::new();
        health.bytes = self.each_chunk(pack, &chunks, |position, _, proven| {
            context.check()?;
            if let Err(why) = proven {
                bad.insert(position);
                health.why = Some(why);
            }
            Ok(())
        })?;
        health.bad = bad;
        running.advance(1, health.bytes);
        Ok(health)
    }
}

fn is_hurt(found: &Found<'_>, health: &BTreeMap<StoredName, Health>) -> bool {
    found.recipe.runs.iter().any(|run| {
        let pack = found.segment.packs().get(run.pack as usize);
        let health = pack.and_then(|pack| health.get(&pack.name));
        health.is_some_and(|h| h.all || (run.first..run.first + run.count).any(|n| h.bad.contains(&n)))
    })
}

fn name_hurt(report: &mut VerifyReport, pack: &PackFacts, health: &Health, id: ObjectId) {
    let Some(why) = health.why else { return };
    let key = Kind::Pack.key(pack.name);
    let position = report
        .packs
        .iter()
        .position(|known| known.key == key)
        .unwrap_or_else(|| {
            report.packs.push(DamagedPack::new(pack.name, key, why));
            report.packs.len() - 1
        });
    let objects = &mut report.packs[position].objects;
    if objects.last() != Some(&id) {
        objects.push(id);
    }
}
