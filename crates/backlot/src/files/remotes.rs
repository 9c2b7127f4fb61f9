//! Looking after remotes: collecting what nothing needs, copying between them.
//!
//! Invariant: the set to keep is complete before anything is condemned. Deliberately absent: how it is stored.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use backlot_pep::{PackageName, Requirement, Version};
use backlot_store::{CollectOptions, CollectReport, ObjectId, Remote, RestoreReport, Transfer};
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};
use crate::files::drops::{DropOptions, DroppedRelease};
use crate::files::references::{NamedRemote, PassedOver, Purpose, ReleaseObjects};
use crate::files::verify::VerifyOptions;
use crate::workspace::Opened;

/// The result or plan of a collection of a remote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectedRemote {
    /// The remote.
    pub remote: String,
    /// How many releases of this workspace's repos are kept.
    pub releases: usize,
    /// Repos that were not read, because nothing in them can need a remote.
    pub passed_over: Vec<PassedOver>,
    /// Repos that this workspace does not have, which were read because publishers recorded them on the remote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_read: Vec<String>,
    /// Records of repos that are dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<String>,
    /// The workspaces of this cache whose files are kept.
    pub workspaces: Vec<std::path::PathBuf>,
    /// Deprecated and yanked releases whose files were given to this collection, and those that a lock of these workspaces has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedRelease>,
    /// The report of the collection.
    #[serde(flatten)]
    pub report: CollectReport,
}

/// The result or plan of a repair.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// The remote.
    pub remote: String,
    /// Objects that were damaged or missing there, are stored again, and were read back; in a dry run, those that would be.
    pub repaired: Vec<ObjectId>,
    /// How many of them were not there at all: lost, or never pushed.
    pub absent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of the cache that were damaged; those that the remote has are fetched again.
    pub cache: Vec<ObjectId>,
    /// Damaged packs, which are no longer used.
    pub packs: Vec<String>,
    /// Damaged segments of the index and of recipes, which are stored again and set aside; in a dry run, those that would be.
    pub segments: Vec<String>,
    /// Objects that are damaged or missing still: neither the cache nor the other remotes have them, or not the content that
    /// the pointer proves.
    pub lost: Vec<LostObject>,
    /// Repos that were not read, because nothing in them can need a remote.
    pub passed_over: Vec<PassedOver>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// An object without any intact copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LostObject {
    /// The object.
    pub object: ObjectId,
    /// The assets and releases that need it.
    pub needed_by: Vec<String>,
    /// The tracked file or folder of an output that may still contain it, so that `backlot add` can restore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The result or plan of copying between remotes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyFilesReport {
    /// The remote it came from.
    pub from: String,
    /// The remote it went to.
    pub to: String,
    /// Objects that were copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written for them.
    pub sent: u64,
    /// Objects that were there already.
    pub already_there: u64,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

pub(crate) fn admits(requirement: &Requirement, package: &PackageName, version: &Version) -> bool {
    package == requirement.name() && requirement.specifiers().contains(version)
}

/// An error if no release matches a requirement.
pub(crate) fn check_known(
    requirements: &[Requirement],
    all: &[ReleaseObjects],
    packages: &BTreeSet<PackageName>,
) -> Result<()> {
    let unknown = |requirement: &&Requirement| {
        !all.iter()
            .any(|one| admits(requirement, &one.package, &one.version))
    };
    let Some(requirement) = requirements.iter().find(unknown) else {
        return Ok(());
    };
    let names = packages.iter().map(PackageName::as_str);
    let nearest = backlot_core::text::nearest(requirement.name().as_str(), names).map(ToOwned::to_owned);
    let what = format!("`{requirement}`");
    Err(WorkspaceError::NoSuchRelease { what, nearest }.into())
}

/// What a push may take from its first object to its last look: what is younger may be somebody's who is about to name it.
const LONGEST_PUSH: Duration = Duration::from_hours(1);

impl Opened {
    pub(crate) fn collect_remote(
        &self,
        remote: Option<&str>,
        options: &CollectOptions,
        forget: &[String],
        drops: &DropOptions,
    ) -> Result<CollectedRemote> {
        let entry = self.remote_entry(remote, "collecting")?.clone();
        let alone = options.no_other_writers || options.dry_run;
        for (what, age) in [("--young", options.young), ("--grace", options.grace)] {
            if age < LONGEST_PUSH && !alone {
                let remote = entry.name.clone();
                return Err(WorkspaceError::OtherWriters { what, remote }.into());
            }
        }
        let opened = self.open_remote(&entry.itself())?;
        if self.repos().iter().all(|repo| repo.public.is_some()) {
            return Err(WorkspaceError::NoneConfigured {
                what: "repo",
                action: "collecting a remote".to_owned(),
            }
            .into());
        }
        let mut keep: HashSet<ObjectId> = HashSet::new();
        let mut releases = HashSet::new();
        let named = NamedRemote::new(&entry.name, &opened);
        let others = self.other_repos(named, forget)?;
        let drops = self.plan_drops(named, drops)?;
        let given_up = drops.given_up();
        let mut take = |release: ReleaseObjects| {
            keep.extend(release.needs.objects);
            keep.extend(release.needs.optional);
            releases.insert((release.package, release.version));
            Ok(())
        };
        let passed_over = self.each_release_by(named, &|_| true, Purpose::Collect(&given_up), &mut take)?;
        // Their releases may have files on other remotes: a manifest that is not here has no files here either.
        self.each_release_in(&others.repos, named, &|_| true, Purpose::Tell, &mut take)?;
        let mut workspaces = Vec::new();
        for workspace in self.workspaces_of_cache(self.cache()?.root())? {
            let root = workspace.root().to_path_buf();
            // A workspace of another studio's remote names what is not here; its manifests are no concern of ours.
            match workspace.workspace_objects(named) {
                Ok(needs) => keep.extend(needs.objects.into_iter().chain(needs.optional)),
                Err(error) if !workspace.uses(&entry.url) => {
                    self.context().warn(
                        "gc::workspace_skipped",
                        format!(
                            "`{}` does not use this remote and was skipped: {error}",
                            root.display()
                        ),
                    );
                    continue;
                }
                Err(error) => return Err(error),
            }
            workspaces.push(root);
        }
        let dropped = if drops.is_empty() {
            drops.told(&keep, &BTreeMap::new())
        } else {
            let listed = opened.list(self.context())?.into_iter();
            drops.told(&keep, &listed.map(|one| (one.id, one.size)).collect())
        };
        if !options.dry_run {
            for id in &others.forgotten {
                opened.forget_user(id)?;
            }
            if !drops.is_empty() {
                // A collection that is refused gives nothing up.
                let planned = opened.collect(&keep, &options.dry_run(true), self.context())?;
                if options.allow_most || !planned.takes_most {
                    self.note_drops(&drops)?;
                }
            }
        }
        Ok(CollectedRemote {
            remote: entry.name,
            releases: releases.len(),
            also_read: others.repos.iter().map(|repo| repo.place().to_string()).collect(),
            forgotten: others.forgotten,
            passed_over,
            workspaces,
            dropped,
            report: opened.collect(&keep, options, self.context())?,
        })
    }

    fn uses(&self, url: &str) -> bool {
        self.config().remotes.iter().any(|remote| remote.url == url)
    }

    pub(crate) fn restore_remote(&self, remote: Option<&str>, dry_run: bool) -> Result<RestoreReport> {
        let opened = self.open_remote(self.remote_entry(remote, "restoring")?)?;
        Ok(opened.restore(dry_run, self.context())?)
    }

    pub(crate) fn copy_files(
        &self,
        from: &str,
        to: &str,
        releases: &[String],
        dry_run: bool,
    ) -> Result<CopyFilesReport> {
        let source = self.open_remote(self.remote_entry(Some(from), "copying")?)?;
        let target = self.open_remote(self.remote_entry(Some(to), "copying")?)?;
        let wanted: BTreeSet<ObjectId> = if releases.is_empty() {
            source
                .list(self.context())?
                .into_iter()
                .map(|entry| entry.id)
                .collect()
        } else {
            let named = NamedRemote::new(from, &source);
            let chosen = self.chosen_releases(named, releases)?;
            chosen
                .into_iter()
                .flat_map(|release| release.needs.objects)
                .collect()
        };
        let mut wanted = wanted;
        self.add_condemned(NamedRemote::new(from, &source), releases.is_empty(), &mut wanted)?;
        let ids: Vec<ObjectId> = wanted.into_iter().collect();
        let mut report = CopyFilesReport {
            from: from.to_owned(),
            to: to.to_owned(),
            dry_run,
            ..CopyFilesReport::default()
        };
        if !dry_run {
            self.note_own_repos(&target)?;
        }
        self.copy_objects(&source, &target, &ids, &mut report)?;
        Ok(report)
    }

    /// Add what a collection condemned and somebody needs, since it can be read as long as it is not deleted; and warn of it. What
    /// is asked for by name is among what is `wanted` already.
    fn add_condemned(
        &self,
        source: NamedRemote<'_>,
        all: bool,
        wanted: &mut BTreeSet<ObjectId>,
    ) -> Result<()> {
        let condemned = source.remote.condemned_files(self.context())?;
        if condemned.is_empty() {
            return Ok(());
        }
        if all {
            let releases = VerifyOptions {
                releases: true,
                ..VerifyOptions::default()
            };
            let mut problems = Vec::new();
            let (needed, _) = self.needed_of(source, &releases, &mut problems)?;
            self.warn_left_out(problems);
            wanted.extend(condemned.iter().filter(|id| needed.objects.contains_key(id)));
        }
        let count = |some: &[ObjectId]| backlot_core::text::count(some.len() as u64, "file");
        let (condemned, left): (Vec<ObjectId>, Vec<ObjectId>) =
            condemned.into_iter().partition(|id| wanted.contains(id));
        let (name, place) = (source.name, source.remote.place());
        let way_out =
            format!("`gc --remote {name} --restore` restores condemned objects while they still exist");
        if !condemned.is_empty() {
            let condemned = count(&condemned);
            let message = format!(
                "a collection of {place} is deleting {condemned} that are needed and being copied: {way_out}"
            );
            self.context().warn("store::condemned", message);
        }
        if all && !left.is_empty() {
            let left = count(&left);
            let message = format!(
                "a collection of {place} is deleting {left} that are not needed here and not copied: {way_out}"
            );
            self.context().warn("store::condemned", message);
        }
        Ok(())
    }

    /// Copy objects between open remotes and add what was done to a report, which says whether to do it.
    pub(crate) fn copy_objects(
        &self,
        source: &Remote,
        target: &Remote,
        ids: &[ObjectId],
        report: &mut CopyFilesReport,
    ) -> Result<()> {
        if report.dry_run {
            let there = target.exists_many(ids, self.context())?;
            let there = there.iter().filter(|there| **there).count() as u64;
            report.already_there += there;
            report.objects += ids.len() as u64 - there;
            return Ok(());
        }
        let items: Vec<Transfer> = ids.iter().copied().map(Transfer::of).collect();
        let copied = source.copy_to(target, &items, &self.state_dir(), self.context())?;
        report.objects += copied.objects;
        report.bytes += copied.bytes;
        report.sent += copied.sent;
        report.already_there += copied.already_there;
        Ok(())
    }

    /// The releases that some requirements (`Table==1.2.0`, `Table`) admit.
    fn chosen_releases(&self, remote: NamedRemote<'_>, wanted: &[String]) -> Result<Vec<ReleaseObjects>> {
        let requirements = self.parse_requirements(wanted)?;
        let names = RefCell::new(BTreeSet::new());
        let is_asked_for = |package: &PackageName| {
            names.borrow_mut().insert(package.clone());
            requirements.iter().any(|r| r.name() == package)
        };
        let mut all = self.release_objects(remote, Purpose::Decide, &is_asked_for)?;
        check_known(&requirements, &all, &names.borrow())?;
        all.retain(|one| requirements.iter().any(|r| admits(r, &one.package, &one.version)));
        Ok(all)
    }

    pub(crate) fn parse_requirements(&self, texts: &[String]) -> Result<Vec<Requirement>> {
        texts.iter().map(|text| self.parse_requirement(text)).collect()
    }

    /// The releases of wanted packages with their objects, each once.
    pub(crate) fn release_objects(
        &self,
        remote: NamedRemote<'_>,
        purpose: Purpose<'_>,
        wanted: &dyn Fn(&PackageName) -> bool,
    ) -> Result<Vec<ReleaseObjects>> {
        let mut all: BTreeMap<(PackageName, Version), ReleaseObjects> = BTreeMap::new();
        self.each_release_by(remote, wanted, purpose, &mut |release| {
            let key = (release.package.clone(), release.version.clone());
            match all.entry(key) {
                Entry::Vacant(slot) => drop(slot.insert(release)),
                Entry::Occupied(mut known) => {
                    known.get_mut().needs.objects.extend(release.needs.objects);
                    known.get_mut().unknown.extend(release.unknown);
                }
            }
            Ok(())
        })?;
        Ok(all.into_values().collect())
    }
}
