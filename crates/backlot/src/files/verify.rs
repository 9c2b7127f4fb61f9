//! Checking the cache, the remote and installed files against their checksums.
//!
//! Reads everything that this workspace names; changes nothing, but takes back what a collection of a remote condemned
//! of it, and believes nothing any more that is recorded of what it found damaged: the next command that needs that looks at it,
//! and mends it. Damage is reported with the assets it hurts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use backlot_core::options;
use backlot_core::{Blake3, Class, Diagnostic};
use backlot_store::{Cache, DamagedPack, FileDigests, ObjectId, VerifyReport as StoreReport};
use backlot_wheel::{Damage, DamageKind};
use serde::{Deserialize, Serialize};

use crate::environment::damage::PackageDamage;
use crate::environment::unpacked::UnpackedReport;
use crate::error::{Error, Result};
use crate::files::references::{NamedRemote, Needs, PassedOver, Purpose, ReleaseObjects, is_damage};
use crate::files::tracked::Tracked;
use crate::releases::verify_repo::RepoReport;
use crate::workspace::Opened;
use crate::workspace::problems::{AssetProblem, problem_of};

/// How many of those that need an object are named.
const NAMED: usize = 20;

options! {
    /// The parts to verify.
    #[derive(Default)]
    pub struct VerifyOptions {
        /// The cache.
        pub cache: bool,
        /// The remote.
        pub remote: bool,
        /// Which remote, instead of all: the default one, and of the others what is pinned to them.
        pub remote_name: Option<String>,
        /// On the remote also what any release of this workspace's repos needs.
        pub releases: bool,
        /// Of the remote, read only about this percentage of packs or objects.
        pub sample: Option<u8>,
        /// The installed files.
        pub inputs: bool,
        /// The releases in repos.
        pub repos: bool,
        /// Which repo, instead of all.
        pub repo_name: Option<String>,
    }
}

/// The findings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The cache.
    pub cache: Option<ObjectReport>,
    /// The unpacked wheels in the cache.
    pub unpacked: Option<UnpackedReport>,
    /// The remote.
    pub remote: Option<ObjectReport>,
    /// The other remotes, if none was named: for each, the files that are pinned to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_remotes: Vec<ObjectReport>,
    /// The installed packages with damage.
    pub inputs: Option<Vec<PackageDamage>>,
    /// Of the installed packages, those whose tracked files have other bytes than were placed.
    pub tracked: Option<Vec<PackageDamage>>,
    /// The number of tracked files of installed packages that were checked.
    pub tracked_files: u64,
    /// The repos whose releases were read.
    pub repos: Vec<RepoReport>,
    /// Repos of which no release was read, with the reason.
    pub passed_over: Vec<PassedOver>,
    /// Files of outputs that were added and not pushed or published yet, so that only the cache has them.
    pub not_pushed: u64,
    /// Assets that could not be read, and were left out.
    pub problems: Vec<AssetProblem>,
    /// Whether all is well.
    pub sound: bool,
}

/// Objects that were read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectReport {
    /// The name of the remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The cache or remote.
    pub place: String,
    /// How many were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that do not match their name, or the BLAKE3 of a pointer.
    pub damaged: Vec<ObjectDamage>,
    /// Those that are not there.
    pub missing: Vec<ObjectDamage>,
    /// Damaged packs of a chunked remote, with the objects they hurt.
    pub packs: Vec<DamagedPack>,
    /// Recipe segments of a chunked remote that cannot be read.
    pub segments: Vec<String>,
    /// Objects that are condemned by a collection of the remote. They are readable, and were restored if a warning says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<ObjectDamage>,
}

impl ObjectReport {
    fn damage(&self) -> usize {
        self.damaged.len() + self.missing.len() + self.packs.len() + self.segments.len()
    }

    fn has_damage(&self) -> bool {
        self.damage() > 0
    }
}

/// A damaged or missing object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectDamage {
    /// The object.
    pub object: ObjectId,
    /// The assets that need it, at most twenty releases.
    pub needed_by: Vec<String>,
}

/// Damage was found; the report lists it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{count} damaged or missing {} found", if *count == 1 { "thing was" } else { "things were" })]
pub struct DamageFound {
    /// How many.
    pub count: usize,
    /// The commands that repair the findings.
    pub ways_out: Vec<String>,
}

impl Diagnostic for DamageFound {
    fn code(&self) -> &'static str {
        "verify::damage_found"
    }
    fn class(&self) -> Class {
        Class::Integrity
    }
    fn help(&self) -> Option<String> {
        Some(self.ways_out.join("; "))
    }
}

impl VerifyReport {
    /// How many things are damaged or missing.
    pub fn damage(&self) -> usize {
        let objects = [&self.cache, &self.remote]
            .into_iter()
            .flatten()
            .chain(&self.other_remotes);
        let objects: usize = objects.map(ObjectReport::damage).sum();
        let repos = self.repos.iter().map(|r| r.damaged.len() + r.stale.len());
        let unpacked = self.unpacked.iter().map(|r| r.damaged.len());
        objects
            + repos.sum::<usize>()
            + unpacked.sum::<usize>()
            + files_of(self.inputs.as_ref())
            + files_of(self.tracked.as_ref())
    }

    /// The commands that repair damaged or missing parts.
    pub fn ways_out(&self) -> Vec<String> {
        let mut ways = Vec::new();
        if self.cache.iter().any(ObjectReport::has_damage) {
            ways.push(
                "run `pull` to fetch files missing in the cache again, or `add` to store those of outputs again".to_owned(),
            );
        }
        for remote in self
            .remote
            .iter()
            .chain(&self.other_remotes)
            .filter(|r| r.has_damage())
        {
            let named = remote.name.iter().map(|name| format!(" --remote {name}"));
            ways.push(format!(
                "run `repair{}` to replace damaged or missing objects on the remote",
                named.collect::<String>()
            ));
        }
        if files_of(self.inputs.as_ref()) > 0 {
            ways.push("`install --repair` mends inputs".to_owned());
        }
        if files_of(self.tracked.as_ref()) > 0 {
            ways.push("run `pull --force` to replace the tracked files of inputs".to_owned());
        }
        for repo in &self.repos {
            if !repo.damaged.is_empty() {
                ways.push(format!("run `repair --repo {}` to restore its files", repo.repo));
            }
            if !repo.stale.is_empty() {
                ways.push(format!(
                    "run `repo reindex {}` to rebuild its pages and sidecars",
                    repo.repo
                ));
            }
        }
        if self.unpacked.iter().any(|unpacked| !unpacked.damaged.is_empty()) {
            ways.push(
                "run `install --repair` to remove damaged unpacked wheels from the cache; they are unpacked again when needed"
                    .to_owned(),
            );
        }
        ways
    }
}

fn files_of(packages: Option<&Vec<PackageDamage>>) -> usize {
    packages
        .into_iter()
        .flatten()
        .map(|package| package.files.len())
        .sum()
}

/// The expected objects.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Objects with the assets that need them.
    pub(crate) objects: BTreeMap<ObjectId, BTreeSet<String>>,
    /// What pointers prove of files and folders, one a use: of two that name the same MD5 with different proofs, one is
    /// wrong.
    pub(crate) proofs: BTreeMap<(ObjectId, Blake3), BTreeSet<String>>,
}

impl Expected {
    fn add(&mut self, id: ObjectId, by: &str) {
        insert_some(self.objects.entry(id).or_default(), by);
    }

    fn add_needs(&mut self, needs: Needs, by: &str) {
        for id in needs.objects {
            self.add(id, by);
        }
        for use_of in needs.proofs {
            insert_some(self.proofs.entry(use_of).or_default(), by);
        }
    }

    /// The objects, each to be compared with its name.
    pub(crate) fn ids(&self) -> Vec<(ObjectId, Option<Blake3>)> {
        self.objects.keys().map(|id| (*id, None)).collect()
    }

    /// Files and folders that are not what a pointer proves, by what was read. As a pull judges them.
    pub(crate) fn unproven(
        &self,
        cache: &Cache,
        digests: &BTreeMap<ObjectId, FileDigests>,
    ) -> Result<Vec<(ObjectId, Blake3)>> {
        let mut wrong = Vec::new();
        for (id, proof) in self.proofs.keys() {
            if judge(cache, *id, *proof, digests)? == Some(false) {
                wrong.push((*id, *proof));
            }
        }
        Ok(wrong)
    }
}

/// Whether a file or folder is what a proof says; `None` where what was read does not tell.
pub(crate) fn judge(
    cache: &Cache,
    id: ObjectId,
    proof: Blake3,
    digests: &BTreeMap<ObjectId, FileDigests>,
) -> Result<Option<bool>> {
    let manifest = if id.tree {
        let manifest = backlot_dvc::peek_manifest(cache, &id)?;
        if manifest.is_none() {
            return Ok(None);
        }
        manifest
    } else {
        None
    };
    let known = |id: &ObjectId| digests.get(id).copied();
    Ok(backlot_dvc::judge(id, proof, manifest.as_ref(), &known))
}

/// A frame that never changes is in every version: some are enough to know where to look.
fn insert_some(names: &mut BTreeSet<String>, name: &str) {
    if names.len() < NAMED {
        names.insert(name.to_owned());
    }
}

impl Opened {
    pub(crate) fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let cache = self.cache()?;
        if options.cache {
            // All of the cache is read; what is only expected counts as missing where the workspace needs it now.
            let needed = self.expected(None, &mut report.problems)?;
            let all: Vec<(ObjectId, Option<Blake3>)> =
                cache.list()?.into_iter().map(|entry| (entry.id, None)).collect();
            let found = cache.verify(&all, self.context())?;
            if !found.damaged.is_empty()
                && let Ok(stat) = self.stat_cache()
            {
                // A file of this workspace may be another name of it. A record that cannot be changed is not used either.
                let md5s = found.damaged.iter().map(|id| id.md5).collect();
                stat.forget_content(&md5s)?;
            }
            report.cache = Some(object_report(cache.place(), &found, &needed, &cache)?);
            report.unpacked = Some(self.verify_unpacked_wheels()?);
        }
        if options.remote && (options.remote_name.is_some() || !self.config().remotes.is_empty()) {
            self.verify_remotes(options, &cache, &mut report)?;
        }
        if options.repos {
            let (repos, passed_over) = self.verify_repos(options.repo_name.as_deref())?;
            report.repos = repos;
            report.passed_over.extend(passed_over);
        }
        if options.inputs {
            report.inputs = Some(self.damaged_inputs()?);
            self.verify_tracked(options.cache, &mut report)?;
        }
        report.sound = report.damage() == 0 && report.problems.is_empty();
        Ok(report)
    }

    /// Read the tracked files of inputs. Where all of the cache was just read, other names of its objects are not read again.
    fn verify_tracked(&self, cache_is_proven: bool, report: &mut VerifyReport) -> Result<()> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let mut damaged = Vec::new();
        for (package, tracked) in self.tracked_inputs(&|_| true)? {
            let found = tracked.and_then(|one| {
                let found =
                    backlot_dvc::verify_files(&one.pointers, &cache, cache_is_proven, &stat, self.context());
                Ok(found?)
            });
            let found = match found {
                Ok(found) => found,
                Err(error) if error.class() == Class::Cancelled => return Err(error),
                Err(error) => {
                    let told = |one: &AssetProblem| one.asset == package && one.code == error.code();
                    if !report.problems.iter().any(told) {
                        problem_of(&mut report.problems)(package, error)?;
                    }
                    continue;
                }
            };
            report.tracked_files += found.there;
            let damage = |path: &PathBuf| Damage {
                path: self.display_path(path),
                kind: DamageKind::Changed,
            };
            if !found.damaged.is_empty() {
                damaged.push(PackageDamage {
                    package,
                    files: found.damaged.iter().map(damage).collect(),
                });
            }
        }
        report.tracked = Some(damaged);
        Ok(())
    }

    /// Verify a remote that is named or, without a name, the default one and, of the others, what is pinned to them.
    fn verify_remotes(
        &self,
        options: &VerifyOptions,
        cache: &Cache,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let first = self.remote_entry(options.remote_name.as_deref(), "verifying")?;
        let all = options.remote_name.is_none();
        let others = self
            .config()
            .remotes
            .iter()
            .filter(|entry| all && entry.name != first.name);
        for entry in std::iter::once(first).chain(others) {
            let remote = self.open_remote(&entry.itself())?.rescuing();
            let named = NamedRemote {
                pinned_only: entry.name != first.name,
                ..NamedRemote::new(&entry.name, &remote)
            };
            report.problems.clear();
            let (needed, passed_over) = self.needed_of(named, options, &mut report.problems)?;
            report.passed_over = passed_over;
            let mut found = remote.verify(&needed.ids(), options.sample, self.context())?;
            if found.rescued {
                self.note_own_repos(&remote)?;
            }
            report.not_pushed += self.split_not_pushed(&mut found, &needed)?;
            let mut one = object_report(remote.place(), &found, &needed, cache)?;
            one.name = Some(entry.name.clone());
            if named.pinned_only {
                report.other_remotes.push(one);
            } else {
                report.remote = Some(one);
            }
        }
        Ok(())
    }

    /// What should be on a remote: what this workspace names and, where asked for, what releases name.
    pub(crate) fn needed_of(
        &self,
        remote: NamedRemote<'_>,
        options: &VerifyOptions,
        problems: &mut Vec<AssetProblem>,
    ) -> Result<(Expected, Vec<PassedOver>)> {
        let mut needed = self.expected(Some(remote), problems)?;
        let mut passed_over = Vec::new();
        if options.releases {
            let mut take = |release: ReleaseObjects| {
                let label = release.label();
                needed.add_needs(release.needs, &label);
                // It is missing or damaged; what it names is not known.
                release.unknown.into_iter().for_each(|id| needed.add(id, &label));
                Ok(())
            };
            passed_over = self.each_release_by(remote, &|_| true, Purpose::Check, &mut take)?;
        }
        Ok((needed, passed_over))
    }

    /// Every object that pointers of outputs and inputs name, or that they need of a remote; as far as manifests are at hand
    /// or there.
    fn expected(
        &self,
        remote: Option<NamedRemote<'_>>,
        problems: &mut Vec<AssetProblem>,
    ) -> Result<Expected> {
        let tracked = self.tracked_or(&[], true, &mut problem_of(problems))?;
        self.expected_of(&tracked, remote)
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
        let (installed, own) = (self.expected_of(&installed, None)?, self.expected_of(&own, None)?);
        let mut promised = HashSet::new();
        for output in self.read_outputs()?.0 {
            for id in self.released_objects(&output)? {
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
            // Of many that need it, not all are named.
            let by = needed.objects.get(&id).filter(|by| by.len() < NAMED);
            let of_outputs = by
                .zip(own.objects.get(&id))
                .is_some_and(|(all, own)| all.is_subset(own));
            let is_promised = installed.objects.contains_key(&id) || promised.contains(&id);
            if of_outputs && !is_promised && cache.has(&id)? {
                not_pushed += 1;
            } else {
                lost.push(id);
            }
        }
        found.missing = lost;
        Ok(not_pushed)
    }

    fn expected_of(&self, all: &[Tracked], remote: Option<NamedRemote<'_>>) -> Result<Expected> {
        let cache = self.cache()?;
        let mut expected = Expected::default();
        for tracked in all {
            if let Some(named) = remote {
                // Those that it does not have are reported with what else is missing there.
                match self.bring_manifests(tracked, Some(named.remote)) {
                    Err(Error::Dvc(backlot_dvc::Error::Store(error))) if is_damage(&error) => {}
                    brought => brought?,
                }
            }
            for out in tracked.pointers.iter().flat_map(|p| &p.pointer.outs) {
                let Some(id) = out.id() else { continue };
                if remote.is_some_and(|named| !self.is_needed_on(out, named)) {
                    continue;
                }
                let mut needs = Needs::default();
                needs.objects.insert(id);
                needs.proofs.extend(out.blake3().map(|proof| (id, proof)));
                if id.tree
                    && let Some(manifest) = backlot_dvc::peek_manifest(&cache, &id)?
                {
                    let members = manifest.entries().iter();
                    needs
                        .objects
                        .extend(members.map(|entry| ObjectId::file(entry.md5)));
                }
                expected.add_needs(needs, &tracked.name);
            }
        }
        Ok(expected)
    }
}

fn object_report(
    place: String,
    found: &StoreReport,
    needed: &Expected,
    cache: &Cache,
) -> Result<ObjectReport> {
    let names = |assets: Option<&BTreeSet<String>>| assets.into_iter().flatten().cloned().collect();
    let name = |ids: &[ObjectId]| -> Vec<ObjectDamage> {
        ids.iter()
            .map(|id| ObjectDamage {
                object: *id,
                needed_by: names(needed.objects.get(id)),
            })
            .collect()
    };
    let mut damaged = name(&found.damaged);
    for (id, proof) in needed.unproven(cache, &found.digests)? {
        damaged.push(ObjectDamage {
            object: id,
            needed_by: names(needed.proofs.get(&(id, proof))),
        });
    }
    Ok(ObjectReport {
        name: None,
        place,
        objects: found.objects,
        bytes: found.bytes,
        damaged,
        missing: name(&found.missing),
        packs: found.packs.clone(),
        segments: found.segments.clone(),
        condemned: name(&found.condemned),
    })
}
