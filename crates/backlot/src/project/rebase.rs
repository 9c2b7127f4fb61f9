//! Taking the changes of a newer release over into an output that was edited from an older one.
//!
//! Merged file by file, tracked folders included: what only the release changed is taken, what only the output changed stays,
//! what both changed is a conflict unless they agree, and so is what the release adds where something untracked is. Nothing is
//! written while there is one. Invariant: the record of the base
//! is written last, and what was taken over already agrees with the release, so a rebase that was stopped goes on when it is
//! run again. Deliberately absent: merging inside a file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use backlot_core::file::{self, TemporaryFolder};
use backlot_core::{LinkMode, Md5, RelPath};
use backlot_dvc::{Change, Destination, FileChanges, Manifest, TrackedPointer};
use backlot_pep::{BumpStep, PackageName, Version};
use backlot_store::{Cache, CheckoutItem, CheckoutOptions, FileDigests, ObjectId, StatCache, Transfer};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::LockedPackage;
use crate::error::{EditError, Error, Result, WorkspaceError};
use crate::files::additions::Additions;
use crate::files::tracked::Tracked;
use crate::project::base::{BaseRelease, Newer};
use crate::project::content::{Content, out_of, wheel_path};
use crate::project::edit::staged_pointers;
use crate::project::output::Output;
use crate::workspace::Opened;

/// How many names of changes are carried.
const MAX_NAMES: usize = 20;

/// The result of a rebase.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RebaseReport {
    /// The asset.
    pub asset: String,
    /// The package.
    pub package: PackageName,
    /// The release it was edited from.
    pub from: Option<Version>,
    /// The release it is edited from now.
    pub onto: Option<Version>,
    /// Its version now.
    pub version: Version,
    /// The applied changes, by path in the package.
    pub changes: FileChanges,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The changes to an output.
#[derive(Debug, Default)]
struct Plan {
    /// Files of the package to take from the release, with their content there; `None` for those it removed.
    files: Vec<(String, Option<PathBuf>)>,
    /// The changes to tracked content.
    outs: Vec<OutPlan>,
    conflicts: Vec<String>,
    changes: FileChanges,
}

/// One pointer of the release.
#[derive(Debug)]
struct OutPlan {
    /// The path of the pointer in the output.
    pointer: PathBuf,
    /// The path of the tracked file or folder.
    place: PathBuf,
    /// The pointer of the release, if it is taken as it is; without it the changes are added to what is here.
    taken: Option<PathBuf>,
    /// Whether the release has no such pointer any more.
    gone: bool,
    /// Files that the release has and the base has not, or with other content.
    changed: Vec<(Option<RelPath>, Md5)>,
    /// Files that the release removed.
    removed: Vec<Option<RelPath>>,
    /// Whether the tracked file becomes executable.
    executable: bool,
    /// Whether nothing but that changes of it.
    mode_only: bool,
}

/// The three sides of a merge.
struct Sides<'a> {
    base: &'a Content,
    ours: Content,
    theirs: Content,
    output: &'a Output,
    release: &'a Output,
    tracked: &'a Tracked,
    released: Tracked,
}

impl Opened {
    pub(crate) fn rebase(&self, name: &str, dry_run: bool) -> Result<RebaseReport> {
        self.hold()?.rebase_held(name, dry_run)
    }

    fn rebase_held(&self, name: &str, dry_run: bool) -> Result<RebaseReport> {
        let output = self.output(name)?;
        output.check_inside()?;
        let mut unread = BTreeSet::new();
        let mut known = self.known_releases(&output.package(), &mut unread);
        if !unread.is_empty() {
            // What is newest is not known without them.
            for repo in &unread {
                self.open_repo(self.repo_entry(repo)?)?
                    .listing(&output.package(), self.context())?;
            }
            known = self.known_releases(&output.package(), &mut BTreeSet::new());
        }
        let base = self.base_of(&output, &known)?;
        let newer = Self::newer_release(base.as_ref(), &known)?;
        let mut report = RebaseReport {
            asset: output.name.clone(),
            package: output.package(),
            from: base.as_ref().map(|base| base.version.clone()),
            onto: None,
            version: output.project.metadata.version.clone(),
            changes: FileChanges::default(),
            dry_run,
        };
        let Some(newer) = newer else {
            return Ok(report);
        };
        let tracked = self.tracked_of_output(&output)?;
        self.check_added(&output, &tracked)?;
        let stage = TemporaryFolder::absent_in(&self.state_dir());
        let (release, released, onto) = self.unpack_newer(&newer, stage.path())?;
        let none = Content::new();
        let sides = Sides {
            base: base.as_ref().map_or(&none, |base| &base.content),
            ours: self.content_of(&output, &tracked)?,
            theirs: onto.content.clone(),
            output: &output,
            release: &release,
            tracked: &tracked,
            released,
        };
        let plan = self.plan_rebase(&sides)?;
        if !plan.conflicts.is_empty() {
            return Err(EditError::Conflicts {
                asset: output.name.clone(),
                newer: onto.version,
                files: plan.conflicts,
            }
            .into());
        }
        report.changes = plan.changes.clone();
        if report.version <= onto.version {
            report.version = onto.version.bump(&[BumpStep::Micro])?;
        }
        report.onto = Some(onto.version.clone());
        if !dry_run {
            self.apply_rebase(&plan, &output, &report.version)?;
            Self::note_base(&output.project.root, onto)?;
            self.sync_editables()?;
        }
        Ok(report)
    }

    /// A newer release as a project in `stage`, with its pointers and contents.
    pub(crate) fn unpack_newer(
        &self,
        newer: &Newer<'_>,
        stage: &Path,
    ) -> Result<(Output, Tracked, BaseRelease)> {
        let sha256 = newer.known.opened.digest(&newer.release)?;
        let mut package = LockedPackage::new(newer.release.package.clone(), newer.release.version.clone());
        package.take(&newer.known.repo, &newer.release, sha256);
        let made = self.unpack_project(&package, stage)?;
        let release = Output::load(stage)?;
        let mut released = staged_pointers(&release)?;
        released.pointers.extend(made);
        let onto = BaseRelease {
            version: package.version.clone(),
            ..Self::as_base(&release, self.content_of(&release, &released)?, sha256)?
        };
        Ok((release, released, onto))
    }

    /// Every change of a tracked file has to be in a pointer: then all that is replaced is in the cache.
    fn check_added(&self, output: &Output, tracked: &Tracked) -> Result<()> {
        let remote = self.remote_elsewhere(None);
        self.bring_manifests(tracked, remote.as_ref())?;
        let mut paths = Vec::new();
        for state in self.out_states(tracked)? {
            match state.change {
                Change::Unchanged | Change::NotPulled | Change::Partial { .. } => {}
                // It is left alone: only a run of the stage, or a pull, changes it.
                _ if state.stage.is_some() => {}
                _ => paths.push(self.display_path(&state.path)),
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        Err(EditError::NotAdded {
            asset: output.name.clone(),
            paths,
        }
        .into())
    }

    fn plan_rebase(&self, sides: &Sides<'_>) -> Result<Plan> {
        let mut plan = Plan::default();
        let names: BTreeSet<&String> = sides.base.keys().chain(sides.theirs.keys()).collect();
        for name in names {
            let (base, ours, theirs) = (sides.base.get(name), sides.ours.get(name), sides.theirs.get(name));
            if ours == theirs || base == theirs {
                continue;
            }
            if name.ends_with(".dvc") {
                self.plan_out(name, sides, &mut plan)?;
            } else if base == ours {
                let source = theirs.map(|_| sides.source(name)).transpose()?;
                let target = sides.target(name)?;
                check_way(sides.output, &target)?;
                if let (None, Some(source)) = (ours, &source) {
                    // Files that do not go into the wheel are user files as well.
                    let digests = self.digests_at(source)?;
                    if self.is_something_else(&target, &[digests.md5])? {
                        plan.conflicts.push(untracked(name));
                        continue;
                    }
                }
                plan.note(base.is_some(), theirs.is_some(), name);
                plan.files.push((name.clone(), source));
            } else {
                plan.conflicts.push(name.clone());
            }
        }
        Ok(plan)
    }

    /// The changes to one pointer, by the files of its folder.
    fn plan_out(&self, name: &str, sides: &Sides<'_>, plan: &mut Plan) -> Result<()> {
        let tracked_name = name.trim_end_matches(".dvc").to_owned();
        let (base, ours, theirs) = (sides.base.get(name), sides.ours.get(name), sides.theirs.get(name));
        let untouched = base == ours;
        let released = find_pointer(sides.release, &sides.released, name)?;
        let here = find_pointer(sides.output, sides.tracked, name)?;
        let one_out = |pointer: Option<&TrackedPointer>| pointer.is_none_or(|p| p.pointer.outs.len() == 1);
        if !one_out(released) || !one_out(here) || (!untouched && (ours.is_none() || theirs.is_none())) {
            plan.conflicts.push(tracked_name);
            return Ok(());
        }
        let pointer = sides.target(name)?;
        let place = match (here, released) {
            (Some(here), _) => here.located_outs().next().map(|(place, _)| place),
            (None, Some(released)) => {
                let base = released.pointer.base(pointer.parent().unwrap_or(&pointer));
                released.pointer.outs.first().map(|out| out.path.to_path(&base))
            }
            (None, None) => None,
        };
        let Some(place) = place else {
            return Ok(());
        };
        check_way(sides.output, &pointer)?;
        check_way(sides.output, &place)?;
        let before = self.members(base)?;
        let after = self.members(theirs)?;
        let mine = self.members(ours)?;
        let is_executable =
            |side: Option<&String>| side.and_then(|side| out_of(side)).is_some_and(|(_, is)| is);
        let [was, is, becomes] = [base, ours, theirs].map(is_executable);
        let mut out = OutPlan {
            pointer,
            place,
            taken: released
                .filter(|_| untouched)
                .map(|released| released.path.clone()),
            gone: released.is_none(),
            changed: Vec::new(),
            removed: Vec::new(),
            executable: if was == is { becomes } else { is },
            mode_only: false,
        };
        if let (Some(before), Some(after)) = (before.get(&None), after.get(&None))
            && before == after
            && was == is
            && was != becomes
        {
            out.mode_only = true;
            plan.note(true, true, &tracked_name);
        }
        let all: BTreeSet<&Option<String>> = before.keys().chain(after.keys()).collect();
        for path in all {
            let (base, ours, theirs) = (before.get(path), mine.get(path), after.get(path));
            let shown = path
                .as_ref()
                .map_or_else(|| tracked_name.clone(), |path| format!("{tracked_name}/{path}"));
            if ours == theirs || base == theirs {
                continue;
            }
            if base != ours {
                plan.conflicts.push(shown);
                continue;
            }
            let inside = path.as_deref().map(RelPath::parse).transpose()?;
            let known: Vec<Md5> = ours.into_iter().chain(theirs).copied().collect();
            if theirs.is_some() && self.is_something_else(&out.target(inside.as_ref()), &known)? {
                plan.conflicts.push(untracked(&shown));
                continue;
            }
            plan.note(base.is_some(), theirs.is_some(), &shown);
            match theirs {
                Some(md5) => out.changed.push((inside, *md5)),
                None => out.removed.push(inside),
            }
        }
        plan.outs.push(out);
        Ok(())
    }

    /// Whether something is at a place (or in the way to it) that has none of the `known` contents: no pointer names it, so it may
    /// be stored nowhere.
    fn is_something_else(&self, place: &Path, known: &[Md5]) -> Result<bool> {
        match fs_err::symlink_metadata(place) {
            Ok(_) if fs_err::metadata(place).is_ok_and(|found| found.is_file()) => {
                Ok(!known.contains(&self.digests_at(place)?.md5))
            }
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) if e.kind() == ErrorKind::NotADirectory => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    fn digests_at(&self, path: &Path) -> Result<FileDigests> {
        let paths = [path.to_path_buf()];
        let digests = backlot_store::hash_files(&paths, &*self.stat_cache()?, self.context())?;
        let missing = || backlot_dvc::Error::NoSuchPath {
            path: path.to_path_buf(),
        };
        Ok(digests.first().copied().ok_or_else(missing)?)
    }

    /// The files that an out stands for, by their path inside it.
    fn members(&self, out: Option<&String>) -> Result<BTreeMap<Option<String>, Md5>> {
        let Some((id, _)) = out.and_then(|out| out_of(out)) else {
            return Ok(BTreeMap::new());
        };
        if !id.tree {
            return Ok(BTreeMap::from([(None, id.md5)]));
        }
        let cache = self.cache()?;
        self.fetch_objects(&[id], &cache)?;
        let manifest: Manifest = backlot_dvc::read_manifest(&cache, &id)?;
        let entries = manifest.entries().iter();
        Ok(entries
            .map(|entry| (Some(entry.path.to_string()), entry.md5))
            .collect())
    }

    fn fetch_objects(&self, ids: &[ObjectId], cache: &Cache) -> Result<()> {
        let mut lacking = Vec::new();
        for id in ids {
            if !cache.has(id)? {
                lacking.push(Transfer::of(*id));
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let remote = self.open_remote(self.remote_entry(None, "fetching files")?)?;
        remote.pull(cache, &lacking, self.context())?;
        Ok(())
    }

    fn apply_rebase(&self, plan: &Plan, output: &Output, version: &Version) -> Result<()> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        for out in &plan.outs {
            self.context().check()?;
            self.apply_out(out, output, &cache, &stat)?;
        }
        for (name, source) in &plan.files {
            let target = target_of(output, name)?;
            match source {
                Some(source) => {
                    let modes = [LinkMode::Reflink, LinkMode::Copy];
                    if let Some(folder) = target.parent() {
                        fs_err::create_dir_all(folder)?;
                    }
                    backlot_core::link::place(source, None, &target, &modes, true)?;
                }
                None => file::remove(&target)?,
            }
        }
        Self::write_version(&Output::load(&output.project.root)?, version, false)?;
        Ok(())
    }

    /// Take over what the release changed of one tracked file or folder. What was never pulled here stays away, unless the
    /// changes have to be joined with others.
    fn apply_out(&self, out: &OutPlan, output: &Output, cache: &Cache, stat: &StatCache) -> Result<()> {
        if out.mode_only && out.place.exists() {
            set_executable(&out.place, out.executable)?;
        }
        let join = out.taken.is_none() && !out.gone;
        let target = |inside: &Option<RelPath>| out.target(inside.as_ref());
        let mut items = Vec::new();
        for (inside, md5) in &out.changed {
            let target = target(inside);
            if join || target.exists() {
                items.push(CheckoutItem {
                    id: ObjectId::file(*md5),
                    target,
                    executable: inside.is_none() && out.executable,
                });
            }
        }
        for folder in items.iter().filter_map(|item| item.target.parent()) {
            fs_err::create_dir_all(folder)?;
        }
        let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
        self.fetch_objects(&ids, cache)?;
        let options = CheckoutOptions {
            links: &self.settings().links.value,
            force: true,
            ..CheckoutOptions::default()
        };
        backlot_store::checkout(cache, stat, &items, &options, self.context())?;
        for inside in &out.removed {
            file::remove(&target(inside))?;
        }
        if join {
            let additions = Additions {
                output: output.clone(),
                targets: items
                    .into_iter()
                    .map(|item| item.target)
                    .chain(out.mode_only.then(|| out.place.clone()))
                    .collect(),
                removals: out.removed.iter().map(target).collect(),
            };
            self.add_in_place(
                &additions,
                false,
                Destination::Cache,
                self.remote_elsewhere(None).as_ref(),
            )?;
        } else if let Some(taken) = &out.taken {
            file::write(&out.pointer, &fs_err::read(taken)?)?;
            // What is here of it is known to have been here, so that removing it later is a change.
            let pointer = TrackedPointer::load(&out.pointer)?;
            let here = Tracked {
                name: output.name.clone(),
                pointers: vec![pointer],
                installed: false,
            };
            self.out_states(&here)?;
        } else {
            file::remove(&out.pointer)?;
        }
        Ok(())
    }
}

impl OutPlan {
    /// The path of a member; of a single file, the file.
    fn target(&self, inside: Option<&RelPath>) -> PathBuf {
        inside.map_or_else(|| self.place.clone(), |inside| inside.to_path(&self.place))
    }
}

/// Make a file executable, or not; another name of an object of the cache becomes a file of its own.
fn set_executable(path: &Path, executable: bool) -> Result<()> {
    if !backlot_dvc::scan::is_linked(path) {
        return Ok(backlot_store::set_executable(path, executable)?);
    }
    let own = file::temporary_in(path.parent().unwrap_or(path));
    let modes = [LinkMode::Reflink, LinkMode::Copy];
    backlot_core::link::place(path, None, &own, &modes, true)?;
    backlot_store::set_executable(&own, executable)?;
    Ok(file::rename(&own, path)?)
}

/// The display of a conflict with an untracked file.
fn untracked(name: &str) -> String {
    format!("{name} (not tracked here)")
}

impl Plan {
    fn note(&mut self, before: bool, after: bool, name: &str) {
        let (count, sign) = match (before, after) {
            (false, _) => (&mut self.changes.new, '+'),
            (true, false) => (&mut self.changes.gone, '-'),
            (true, true) => (&mut self.changes.changed, '~'),
        };
        *count += 1;
        if self.changes.names.len() < MAX_NAMES {
            self.changes.names.push(format!("{sign} {name}"));
        }
    }
}

impl Sides<'_> {
    /// A file of the release.
    fn source(&self, name: &str) -> Result<PathBuf> {
        target_of(self.release, name)
    }

    /// The path of a package file in the output.
    fn target(&self, name: &str) -> Result<PathBuf> {
        target_of(self.output, name)
    }
}

/// An error if a link on the way to a path leaves the project: it is not written through.
fn check_way(output: &Output, path: &Path) -> Result<()> {
    let inside = fs_err::canonicalize(&output.project.root)?;
    let mut above = path.ancestors().skip(1);
    let found = above.find_map(|folder| fs_err::canonicalize(folder).ok());
    match found {
        Some(target) if !target.starts_with(&inside) => Err(EditError::LinkedModule {
            asset: output.name.clone(),
            path: path.to_path_buf(),
            target,
        }
        .into()),
        _ => Ok(()),
    }
}

/// The path of a package file in a project.
fn target_of(output: &Output, name: &str) -> Result<PathBuf> {
    let root = &output.project.root;
    if matches!(name, "pyproject.toml" | "README.md") {
        return Ok(root.join(name));
    }
    let path = RelPath::parse(name)?;
    for module in &output.project.module_roots {
        if path.is_within(&module.target) {
            let inside = Path::new(name)
                .strip_prefix(module.target.as_str())
                .unwrap_or(Path::new(""));
            return Ok(module.source.join(inside));
        }
    }
    Err(Error::from(WorkspaceError::NotInOutput {
        path: root.join(name),
    }))
}

/// The pointer at a path of the package.
fn find_pointer<'t>(output: &Output, tracked: &'t Tracked, name: &str) -> Result<Option<&'t TrackedPointer>> {
    for pointer in &tracked.pointers {
        if wheel_path(output, &pointer.path)?.is_some_and(|path| path.as_str() == name) {
            return Ok(Some(pointer));
        }
    }
    Ok(None)
}
