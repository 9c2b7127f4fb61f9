//! Proving again: that the cache, the remote and the installed files are what they are said to be.
//!
//! Reads everything that this workspace names; changes nothing. Damage is reported with the assets it hurts.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use backlot_core::{Blake3, Class, Coded};
use backlot_store::{DamagedPack, ObjectId, Remote, VerifyReport as StoreReport};
use backlot_wheel::Damage;
use serde::Serialize;

use crate::error::Result;
use crate::files::{Tracked, problem_of};
use crate::holdings::PassedOver;
use crate::problems::AssetProblem;
use crate::workspace::Workspace;

/// How many of those that need an object are named.
const NAMED: usize = 20;

/// What to verify.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The cache.
    pub cache: bool,
    /// The remote.
    pub remote: bool,
    /// Which remote, instead of the default one.
    pub remote_name: Option<String>,
    /// On the remote also what any release of this workspace's repos needs.
    pub releases: bool,
    /// Of the remote read only about so many of a hundred packs or objects.
    pub sample: Option<u8>,
    /// The installed files.
    pub inputs: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The cache.
    pub cache: Option<ObjectReport>,
    /// The remote.
    pub remote: Option<ObjectReport>,
    /// The installed packages with damage.
    pub inputs: Option<Vec<PackageDamage>>,
    /// Repos of which no release was read, because nothing in them can need a remote.
    pub passed_over: Vec<PassedOver>,
    /// Files of outputs that were added and not pushed or published yet, so that only the cache has them.
    pub not_pushed: u64,
    /// Assets that could not be read, and were left out.
    pub problems: Vec<AssetProblem>,
    /// Whether all is well.
    pub sound: bool,
}

/// Objects that were read.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectReport {
    /// The cache or remote.
    pub place: String,
    /// How many were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are not what their name says.
    pub damaged: Vec<ObjectDamage>,
    /// Those that are not there.
    pub missing: Vec<ObjectDamage>,
    /// Damaged packs of a chunked remote, with the objects they hurt.
    pub packs: Vec<DamagedPack>,
    /// Recipe segments of a chunked remote that cannot be read.
    pub segments: Vec<String>,
}

/// A damaged or missing object.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectDamage {
    /// The object.
    pub object: ObjectId,
    /// The assets that need it, at most twenty releases.
    pub needed_by: Vec<String>,
}

/// An installed package with damaged files.
#[derive(Clone, Debug, Serialize)]
pub struct PackageDamage {
    /// The package.
    pub package: String,
    /// Its damaged files.
    pub files: Vec<Damage>,
}

/// Damage was found; the report tells which.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("verification found {count} damaged or missing {}", if *count == 1 { "thing" } else { "things" })]
pub struct DamageFound {
    /// How many.
    pub count: usize,
}

impl Coded for DamageFound {
    fn code(&self) -> &'static str {
        "verify::damage_found"
    }
    fn class(&self) -> Class {
        Class::Integrity
    }
    fn help(&self) -> Option<String> {
        Some("`backlot pull` fetches what is damaged in the cache or missing from it, `backlot repair` stores again what is wrong on the remote, `backlot install --repair` mends inputs".to_owned())
    }
}

impl VerifyReport {
    /// How many things are damaged or missing.
    pub fn damage(&self) -> usize {
        let objects = [&self.cache, &self.remote].into_iter().flatten();
        let objects: usize = objects
            .map(|r| r.damaged.len() + r.missing.len() + r.packs.len() + r.segments.len())
            .sum();
        objects + self.inputs.iter().flatten().map(|p| p.files.len()).sum::<usize>()
    }
}

/// Objects with their proof and the assets that need them.
pub(crate) type Expected = BTreeMap<ObjectId, (Option<Blake3>, BTreeSet<String>)>;

impl Workspace {
    /// Verify parts of what this workspace uses.
    pub fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let cache = self.cache()?;
        if options.cache {
            // All of the cache is read; what is only expected counts as missing where the workspace needs it now.
            let needed = self.expected(&mut report.problems)?;
            let mut all: Vec<(ObjectId, Option<Blake3>)> = Vec::new();
            for entry in cache.list()? {
                all.push((entry.id, needed.get(&entry.id).and_then(|(proof, _)| *proof)));
            }
            let found = cache.verify(&all, self.context())?;
            report.cache = Some(object_report(cache.place(), &found, &needed));
        }
        if options.remote && (options.remote_name.is_some() || !self.config().remotes.is_empty()) {
            let entry = self.remote_entry(options.remote_name.as_deref(), "verifying")?;
            let remote = self.open_remote(entry)?;
            report.problems.clear();
            let (needed, passed_over) = self.needed_of(&remote, options, &mut report.problems)?;
            report.passed_over = passed_over;
            let all: Vec<(ObjectId, Option<Blake3>)> =
                needed.iter().map(|(id, (proof, _))| (*id, *proof)).collect();
            let mut found = remote.verify(&all, options.sample, self.context())?;
            report.not_pushed = self.split_not_pushed(&mut found, &needed)?;
            report.remote = Some(object_report(remote.place(), &found, &needed));
        }
        if options.inputs {
            report.inputs = Some(self.damaged_inputs()?);
        }
        report.sound = report.damage() == 0 && report.problems.is_empty();
        Ok(report)
    }

    /// What should be on a remote: what this workspace names and, where asked for, what releases name.
    pub(crate) fn needed_of(
        &self,
        remote: &Remote,
        options: &VerifyOptions,
        problems: &mut Vec<AssetProblem>,
    ) -> Result<(Expected, Vec<PassedOver>)> {
        let mut needed = self.expected(problems)?;
        let mut passed_over = Vec::new();
        if options.releases {
            passed_over = self.each_release(remote, &|_| true, &mut |release| {
                let label = release.label();
                for (id, proof) in release.objects {
                    let slot = needed.entry(id).or_insert_with(|| (proof, BTreeSet::new()));
                    slot.0 = slot.0.or(proof);
                    // A frame that never changes is in every version: enough to know where to look.
                    if slot.1.len() < NAMED {
                        slot.1.insert(label.clone());
                    }
                }
                Ok(())
            })?;
        }
        Ok((needed, passed_over))
    }

    /// Every object that pointers of outputs and inputs name, as far as manifests are at hand.
    fn expected(&self, problems: &mut Vec<AssetProblem>) -> Result<Expected> {
        let tracked = self.tracked_or(&[], true, &mut problem_of(problems))?;
        self.expected_of(&tracked)
    }

    /// Take from what is missing on a remote what was never promised to be there: content of outputs that is in the cache, and
    /// in no release that an output was edited from. Returns how much.
    fn split_not_pushed(&self, found: &mut StoreReport, needed: &Expected) -> Result<u64> {
        if found.missing.is_empty() {
            return Ok(0);
        }
        let cache = self.cache()?;
        let all = self.tracked_or(&[], true, &mut |_, _| Ok(()))?;
        let (installed, own): (Vec<Tracked>, Vec<Tracked>) = all.into_iter().partition(|one| one.installed);
        let (installed, own) = (self.expected_of(&installed)?, self.expected_of(&own)?);
        let mut promised = HashSet::new();
        for output in self.read_outputs()?.0 {
            for id in Self::released_objects(&output)? {
                promised.insert(id);
                if id.tree
                    && let Some(manifest) = backlot_dvc::peek_manifest(&cache, &id)?
                {
                    promised.extend(manifest.entries().iter().map(|entry| ObjectId::file(entry.md5)));
                }
            }
        }
        let mut not_pushed = 0;
        let mut lost = Vec::new();
        for id in found.missing.drain(..) {
            let by_releases = needed.get(&id).zip(own.get(&id));
            let of_outputs = by_releases.is_some_and(|(all, own)| all.1.is_subset(&own.1));
            if of_outputs && !installed.contains_key(&id) && !promised.contains(&id) && cache.has(&id)? {
                not_pushed += 1;
            } else {
                lost.push(id);
            }
        }
        found.missing = lost;
        Ok(not_pushed)
    }

    fn expected_of(&self, all: &[Tracked]) -> Result<Expected> {
        let cache = self.cache()?;
        let mut expected = Expected::new();
        for tracked in all {
            for pointer in &tracked.pointers {
                for (_, out) in pointer.located_outs() {
                    let Some(id) = out.id() else { continue };
                    let proof = if id.tree { None } else { out.blake3() };
                    expected
                        .entry(id)
                        .or_insert_with(|| (proof, BTreeSet::new()))
                        .1
                        .insert(tracked.name.clone());
                    if id.tree
                        && let Some(manifest) = backlot_dvc::peek_manifest(&cache, &id)?
                    {
                        for entry in manifest.entries() {
                            let member = expected
                                .entry(ObjectId::file(entry.md5))
                                .or_insert_with(|| (None, BTreeSet::new()));
                            member.1.insert(tracked.name.clone());
                        }
                    }
                }
            }
        }
        Ok(expected)
    }
}

fn object_report(place: String, found: &StoreReport, needed: &Expected) -> ObjectReport {
    let name = |ids: &[ObjectId]| {
        ids.iter()
            .map(|id| ObjectDamage {
                object: *id,
                needed_by: needed
                    .get(id)
                    .map(|(_, assets)| assets.iter().cloned().collect())
                    .unwrap_or_default(),
            })
            .collect()
    };
    ObjectReport {
        place,
        objects: found.objects,
        bytes: found.bytes,
        damaged: name(&found.damaged),
        missing: name(&found.missing),
        packs: found.packs.clone(),
        segments: found.segments.clone(),
    }
}
