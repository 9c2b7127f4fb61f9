//! Restoring tracked files of outputs: to the state of their pointers or of a release, and discarding local changes.
//!
//! Invariants: modified files that are overwritten or removed are stored in the cache and recorded first (`set_aside`), so `pull --undo`
//! restores them; files changed in the meantime are left alone. Files that were never pulled here stay away unless they are restored by
//! name. What a release had is a local change like any other: no pointer is written. Deliberately absent: code, which is not tracked.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::options;
use backlot_core::{Md5, RelPath};
use backlot_dvc::{Ignore, Out, Scanned, TrackedPointer};
use backlot_pep::Version;
use backlot_store::{Cache, CheckoutItem, CheckoutOptions, FileDigests, ObjectId, PlacedMembers, StatCache};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::{OutsError, Result, WorkspaceError};
use crate::files::fetch::SomeMembers;
use crate::files::located::{Located, Selection, member_path};
use crate::project::output::Output;
use crate::project::provenance::Provenance;
use crate::workspace::{Opened, absolute};

options! {
    /// The files to restore, and their source.
    #[derive(Default)]
    pub struct RestoreOptions {
        /// As this release had them, instead of as the pointers say.
        pub version: Option<Version>,
        /// The repo that has the release, instead of the first one that does.
        pub repo: Option<String>,
        /// The remote that has the files, instead of the default one.
        pub remote: Option<String>,
        /// Only these frames of sequences: `1001-1010x2`.
        pub frames: Option<String>,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The restored files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PutBackReport {
    /// One entry a tracked file or folder.
    pub paths: Vec<PutBackPath>,
    /// The repo of the release, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Objects that were fetched for it.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// The remote that they are from.
    #[serde(skip)]
    pub(crate) remote: Option<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A tracked file or folder that was put back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PutBackPath {
    /// The asset that tracks it.
    pub asset: String,
    /// Its path, relative to the workspace.
    pub path: String,
    /// Files placed.
    pub placed: u64,
    /// Files removed.
    pub removed: u64,
    /// Files that are as they should be.
    pub unchanged: u64,
    /// User files, with the location of their content now.
    pub set_aside: Vec<KeptCopy>,
    /// Untrackable files, which were left alone.
    pub kept: Vec<String>,
}

/// A copy of a file that was overwritten or removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeptCopy {
    /// Its path, relative to the workspace.
    pub path: String,
    /// The copy in the cache.
    pub copy: PathBuf,
}

/// A tracked file or folder, and what some of its files shall be.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) asset: String,
    pub(crate) place: PathBuf,
    pub(crate) out: Out,
    /// Whether files that were never here are placed, too.
    pub(crate) brings_absent: bool,
    /// Whether it matches the pointer.
    pub(crate) is_pointed: bool,
    /// Whether modified files are left alone.
    pub(crate) keeps_changes: bool,
    /// Whether placed files are not meant to be edited: those of installed releases.
    pub(crate) read_only: bool,
}

/// The action at one path.
struct Plan {
    target: Target,
    items: Vec<CheckoutItem>,
    removals: Vec<(PathBuf, FileDigests)>,
    /// The files to set aside, with their content.
    aside: Vec<(PathBuf, Md5)>,
    returned: Vec<(PathBuf, Md5)>,
    unchanged: Vec<(PathBuf, Md5)>,
    /// Whether the file becomes executable, or stops being so, and nothing else.
    executable: Option<bool>,
    /// Files that were never here, and stay away.
    absent: u64,
    kept: Vec<PathBuf>,
}

impl Opened {
    pub(crate) fn restore(&self, paths: &[PathBuf], options: &RestoreOptions) -> Result<PutBackReport> {
        self.hold()?.restore_held(paths, options)
    }

    fn restore_held(&self, paths: &[PathBuf], options: &RestoreOptions) -> Result<PutBackReport> {
        let Some(version) = &options.version else {
            let (selection, located) = self.locate(paths, options.frames.as_deref())?;
            let targets = located.into_iter().map(|one| Target::pointed(one, true));
            let targets: Vec<Target> = targets.collect();
            return self.put_back(paths, &targets, &selection, options);
        };
        let paths = &paths
            .iter()
            .map(|path| absolute(path))
            .collect::<Result<Vec<_>>>()?;
        let selection = Selection::of(paths, options.frames.as_deref())?;
        let (mut targets, mut repo) = (Vec::<Target>::new(), None);
        for path in paths {
            let output = self.output_around(path)?;
            let (of, provenance) = self.released(&output, version, options.repo.as_deref())?;
            let one = Selection::of(std::slice::from_ref(path), None)?;
            let before = targets.len();
            for target in self.released_targets(&output, &provenance)? {
                if one.touches(&target.place) && targets.iter().all(|known| known.place != target.place) {
                    targets.push(target);
                }
            }
            if targets.len() == before {
                return Err(OutsError::NotInRelease {
                    path: self.display_path(path),
                    release: format!("{} {version}", output.name),
                }
                .into());
            }
            repo = Some(of);
        }
        let report = self.put_back(paths, &targets, &selection, options)?;
        Ok(PutBackReport { repo, ..report })
    }

    pub(crate) fn discard(
        &self,
        paths: &[PathBuf],
        frames: Option<&str>,
        dry_run: bool,
    ) -> Result<PutBackReport> {
        let held = self.hold()?;
        let (selection, located) = held.locate(paths, frames)?;
        let targets = located.into_iter().map(|one| Target::pointed(one, false));
        let targets: Vec<Target> = targets.collect();
        let options = RestoreOptions {
            dry_run,
            ..RestoreOptions::default()
        };
        held.put_back(paths, &targets, &selection, &options)
    }

    /// What a release of an output was built from, and the repo that has it.
    fn released(
        &self,
        output: &Output,
        version: &Version,
        repo: Option<&str>,
    ) -> Result<(String, Provenance)> {
        let entries = match repo {
            Some(name) => vec![self.repo_entry(name)?],
            None => self
                .repos()
                .into_iter()
                .filter(|repo| repo.public.is_none())
                .collect(),
        };
        let mut versions = Vec::new();
        for entry in entries {
            let opened = self.open_repo(entry)?;
            for release in opened.wheels(&output.package(), self.context())? {
                if release.version == *version
                    && let Some(provenance) = Provenance::of(&opened.archive(&release)?)?
                {
                    return Ok((entry.name.clone(), provenance));
                }
                versions.push(format!("{} {}", output.name, release.version));
            }
        }
        let what = format!("{} {version}", output.name);
        let versions = versions.iter().map(String::as_str);
        Err(WorkspaceError::no_such_release(what.clone(), &what, versions).into())
    }

    /// The tracked files of a release, at their paths in the output.
    fn released_targets(&self, output: &Output, provenance: &Provenance) -> Result<Vec<Target>> {
        let tracked = self.tracked_of_output(output)?;
        let mut targets = Vec::new();
        for record in &provenance.outs {
            let (Some(place), Some(name)) = (place_of(output, &record.path), record.path.parts().last())
            else {
                continue;
            };
            let mut here = tracked.pointers.iter().flat_map(TrackedPointer::located_outs);
            let here = here.find(|(known, _)| *known == place);
            let mut out = Out::new(RelPath::parse(name)?);
            out.md5 = Some(
                record
                    .md5
                    .parse()
                    .map_err(|_| WorkspaceError::UnreadableRelease {
                        place: PathBuf::from(&output.name).into(),
                        reason: format!("invalid object name `{}`", record.md5),
                    })?,
            );
            out.size = Some(record.size);
            if let Some(proof) = record.blake3 {
                out.set_blake3(proof);
            }
            if let Some((_, here)) = here {
                out.isexec = here.isexec;
                out.remote.clone_from(&here.remote);
            }
            targets.push(Target {
                asset: output.name.clone(),
                place,
                out,
                brings_absent: true,
                is_pointed: false,
                keeps_changes: false,
                read_only: false,
            });
        }
        Ok(targets)
    }

    /// Put the selected files of some targets back. The caller holds the workspace.
    pub(crate) fn put_back(
        &self,
        paths: &[PathBuf],
        targets: &[Target],
        selection: &Selection,
        options: &RestoreOptions,
    ) -> Result<PutBackReport> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let remote = options.remote.as_deref();
        let mut plans = Vec::new();
        for target in targets {
            self.context().check()?;
            let plan = self.plan_put_back(target, selection, remote, &cache, &stat)?;
            plans.extend(plan.is_about_something().then_some(plan));
        }
        if plans.is_empty() {
            let path = paths
                .iter()
                .map(|path| self.display_path(path))
                .collect::<Vec<_>>();
            return Err(OutsError::NotTracked {
                path: path.join(", "),
                nearest: None,
            }
            .into());
        }
        let mut report = PutBackReport {
            paths: plans.iter().map(|plan| self.restored(plan, &cache)).collect(),
            repo: None,
            fetched: 0,
            fetched_bytes: 0,
            remote: None,
            dry_run: options.dry_run,
        };
        for plan in &plans {
            let ids: Vec<ObjectId> = plan.items.iter().map(|item| item.id).collect();
            let members = SomeMembers {
                place: &plan.target.place,
                out: &plan.target.out,
                ids: &ids,
            };
            let fetched = self.fetch_members(&members, remote, &cache, options.dry_run)?;
            report.fetched += fetched.objects;
            report.fetched_bytes += fetched.bytes;
            report.remote = fetched.remote.or(report.remote);
        }
        if options.dry_run {
            return Ok(report);
        }
        let aside = plans.iter().flat_map(|plan| &plan.aside);
        let aside: Vec<PathBuf> = aside.map(|(path, _)| path.clone()).collect();
        let returned = plans.iter().flat_map(|plan| plan.returned.iter().cloned());
        let returned: Vec<(PathBuf, Md5)> = returned.collect();
        self.set_aside(&aside, &returned, &cache, &stat)?;
        for (plan, done) in plans.iter().zip(&mut report.paths) {
            let left = self.apply_put_back(plan, &cache, &stat)?;
            done.removed -= left.len() as u64;
            done.kept.extend(left.iter().map(|path| self.display_path(path)));
        }
        Ok(report)
    }

    fn plan_put_back(
        &self,
        target: &Target,
        selection: &Selection,
        remote: Option<&str>,
        cache: &Cache,
        stat: &StatCache,
    ) -> Result<Plan> {
        let place = target.place.clone();
        let wanted = self.wanted(target, selection, remote, cache)?;
        let ignore = Ignore::of_folder(place.parent().unwrap_or(&place))?;
        let (found, strange) = backlot_dvc::survey(&place, &ignore, self.context())?;
        let (files, executable) = match found {
            Scanned::Missing => (Vec::new(), None),
            Scanned::File { executable, .. } => (vec![place.clone()], Some(executable)),
            Scanned::Folder(files) => (files.into_iter().map(|file| file.full).collect(), None),
        };
        let files: Vec<PathBuf> = files.into_iter().filter(|path| selection.has(path)).collect();
        let digests = backlot_store::hash_files(&files, stat, self.context())?;
        let placed = stat.placed(&place)?;
        let was_placed = |path: &Path, md5: Md5| placed.get(&inside(&place, path)) == Some(&md5);
        let item = |path: &PathBuf, md5: Md5| CheckoutItem {
            id: ObjectId::file(md5),
            target: path.clone(),
            executable: *path == place && target.out.isexec,
        };
        let mut plan = Plan::nothing(target.clone());
        let here: HashSet<&PathBuf> = files.iter().collect();
        for (path, found) in files.iter().zip(&digests) {
            let becomes = wanted.get(path);
            if becomes == Some(&found.md5) {
                plan.unchanged.push((path.clone(), found.md5));
                let is_other = executable.is_some_and(|is| is != target.out.isexec);
                if is_other && !backlot_dvc::scan::is_linked(path) {
                    plan.executable = Some(target.out.isexec);
                }
                continue;
            }
            if !(was_placed(path, found.md5) && cache.holds(found)?) {
                if target.keeps_changes {
                    plan.kept.push(path.clone());
                    continue;
                }
                plan.aside.push((path.clone(), found.md5));
            }
            match becomes {
                Some(md5) => plan.items.push(item(path, *md5)),
                None => plan.removals.push((path.clone(), *found)),
            }
        }
        for (path, md5) in wanted.iter().filter(|(path, _)| !here.contains(path)) {
            let was_here = was_placed(path, *md5);
            if was_here || target.brings_absent {
                plan.items.push(item(path, *md5));
            }
            if was_here && !target.keeps_changes {
                plan.returned.push((path.clone(), *md5));
            }
            plan.absent += u64::from(!was_here && !target.brings_absent);
        }
        let strange = strange.into_iter().filter(|path| selection.has(path));
        plan.kept
            .extend(strange.filter(|path| !wanted.contains_key(path)));
        check_ways(&place, &plan)?;
        Ok(plan)
    }

    /// The target state of the selected files.
    fn wanted(
        &self,
        target: &Target,
        selection: &Selection,
        remote: Option<&str>,
        cache: &Cache,
    ) -> Result<BTreeMap<PathBuf, Md5>> {
        let Some(id) = target.out.id() else {
            return Err(backlot_dvc::Error::NotInCache {
                path: target.place.clone(),
                count: 1,
            }
            .into());
        };
        if !id.tree {
            let path = target.place.clone();
            return Ok(selection
                .has(&path)
                .then_some((path, id.md5))
                .into_iter()
                .collect());
        }
        if !cache.has(&id)? {
            let members = SomeMembers {
                place: &target.place,
                out: &target.out,
                ids: &[id],
            };
            self.fetch_members(&members, remote, cache, false)?;
        }
        let manifest = backlot_dvc::read_manifest(cache, &id)?;
        let entries = manifest.entries().iter();
        let members = entries.map(|entry| (member_path(&target.place, Some(&entry.path)), entry.md5));
        Ok(members.filter(|(path, _)| selection.has(path)).collect())
    }

    /// Apply the plan for a path. Returns files that were not removed, because they were changed in the meantime.
    fn apply_put_back(&self, plan: &Plan, cache: &Cache, stat: &StatCache) -> Result<Vec<PathBuf>> {
        let place = &plan.target.place;
        let mut left = Vec::new();
        for (path, planned) in &plan.removals {
            self.context().check()?;
            let now = backlot_store::hash_files(std::slice::from_ref(path), stat, self.context())?;
            if now.first() == Some(planned) && cache.holds(planned)? {
                fs::remove_file(path)?;
                backlot_dvc::remove_empty_folders(path, place);
            } else {
                left.push(path.clone());
            }
        }
        let options = CheckoutOptions {
            links: &self.settings().links.value,
            read_only: plan.target.read_only,
            ..CheckoutOptions::default()
        };
        // Without force: what is not in the cache by now was changed since.
        backlot_store::checkout(cache, stat, &plan.items, &options, self.context())?;
        if let Some(executable) = plan.executable {
            backlot_store::set_executable(place, executable)?;
        }
        if plan.target.is_pointed && !plan.target.read_only {
            let mut placed: PlacedMembers = stat.placed(place)?;
            let items = plan.items.iter().map(|item| (&item.target, item.id.md5));
            let unchanged = plan.unchanged.iter().map(|(path, md5)| (path, *md5));
            placed.extend(
                items
                    .chain(unchanged)
                    .map(|(path, md5)| (inside(place, path), md5)),
            );
            for (path, _) in &plan.removals {
                placed.remove(&inside(place, path));
            }
            stat.set_placed(place, &placed)?;
        }
        Ok(left)
    }

    fn restored(&self, plan: &Plan, cache: &Cache) -> PutBackPath {
        let copy = |(path, md5): &(PathBuf, Md5)| KeptCopy {
            path: self.display_path(path),
            copy: cache.object_path(&ObjectId::file(*md5)),
        };
        PutBackPath {
            asset: plan.target.asset.clone(),
            path: self.display_path(&plan.target.place),
            placed: plan.items.len() as u64 + u64::from(plan.executable.is_some()),
            removed: plan.removals.len() as u64,
            unchanged: plan.unchanged.len() as u64 - u64::from(plan.executable.is_some()),
            set_aside: plan.aside.iter().map(copy).collect(),
            kept: plan.kept.iter().map(|path| self.display_path(path)).collect(),
        }
    }
}

impl Target {
    /// To what its pointer says.
    fn pointed(one: Located, brings_absent: bool) -> Self {
        Self {
            asset: one.output.name,
            place: one.place,
            out: one.out,
            brings_absent,
            is_pointed: true,
            keeps_changes: false,
            read_only: false,
        }
    }
}

impl Plan {
    fn nothing(target: Target) -> Self {
        Self {
            target,
            items: Vec::new(),
            removals: Vec::new(),
            aside: Vec::new(),
            returned: Vec::new(),
            unchanged: Vec::new(),
            executable: None,
            absent: 0,
            kept: Vec::new(),
        }
    }

    /// Whether any file of the place was meant.
    fn is_about_something(&self) -> bool {
        self.items.len() + self.removals.len() + self.unchanged.len() + self.kept.len() > 0 || self.absent > 0
    }
}

/// The path of a member inside its place; empty for a single file.
fn inside(place: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(place).unwrap_or(path);
    RelPath::from_path(inside).map_or_else(|_| String::new(), |inside| inside.to_string())
}

/// Where a path of the package lies in the project.
fn place_of(output: &Output, path: &RelPath) -> Option<PathBuf> {
    output.project.module_roots.iter().find_map(|root| {
        let rest = path
            .as_str()
            .strip_prefix(root.target.as_str())?
            .strip_prefix('/')?;
        Some(root.source.join(rest))
    })
}

/// No folder of a tracked folder may be a link: what is behind it is somebody else's.
fn check_ways(place: &Path, plan: &Plan) -> Result<()> {
    let mut seen = HashSet::new();
    let paths = plan.items.iter().map(|item| item.target.as_path());
    for path in paths.chain(plan.removals.iter().map(|(path, _)| path.as_path())) {
        let above = path
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(place));
        for folder in above {
            if !seen.insert(folder.to_path_buf()) {
                break;
            }
            if folder.is_symlink() {
                let path = folder.to_path_buf();
                return Err(backlot_dvc::Error::LinkedFolder { path }.into());
            }
        }
    }
    Ok(())
}
