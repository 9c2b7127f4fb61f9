//! Tracked files: adding them, seeing what changed, pushing and pulling, for outputs and for installed inputs.
//!
//! Invariant: a pointer names only content that is in the cache; a file appears complete and verified. Deliberately
//! absent: DVC's formats (`backlot-dvc`) and the moving of bytes (`backlot-store`).

pub(crate) mod adding;
pub(crate) mod apart;
pub(crate) mod foreign;
pub(crate) mod holdings;
pub(crate) mod known_outs;
pub(crate) mod localize;
pub(crate) mod pins;
pub(crate) mod pull;
pub(crate) mod remotes;
pub(crate) mod repair_remote;
pub(crate) mod sequences;
pub(crate) mod set_aside;
pub(crate) mod to_remote;
pub(crate) mod tracked;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod verify;

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_dvc::{AddOptions, AddedOut, Destination, OutState, SentAhead, StatusOptions, TrackedPointer};
use backlot_store::{ObjectId, Remote, Transfer, TransferReport};
use backlot_wheel::InstalledDist;
use serde::Serialize;

use crate::environment::Environment;
use crate::error::{Error, Result, WorkspaceError};
use crate::files::adding::Preview;
use crate::files::apart::each_apart;
use crate::files::tracked::{AddedFiles, Tracked};
use crate::project::outputs::Output;
use crate::workspace::problems::AssetProblem;
use crate::workspace::{Workspace, absolute};

/// Where files to be tracked come from and go to.
#[derive(Clone, Debug, Default)]
pub struct AddFiles {
    /// The output that tracks paths from outside the workspace.
    pub asset: Option<String>,
    /// The name a path from outside gets in the asset; its own by default.
    pub rename: Option<String>,
    /// Files and folders to be removed from tracked folders of outputs, though they may never have been here.
    pub remove: Vec<PathBuf>,
    /// Whether the outputs' files are pushed, too: what is new is sent while it is read.
    pub push: bool,
    /// Whether files are sent in one pass, and kept neither in the cache nor, from outside, in the output; see
    /// [`Workspace::add`].
    pub to_remote: bool,
    /// The remote to push to, instead of the default one.
    pub remote: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// What adding did.
#[derive(Clone, Debug, Serialize)]
pub struct AddReport {
    /// One entry a tracked file or folder.
    pub outs: Vec<AddedFiles>,
    /// What was pushed, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<MoveReport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// What is to be recorded of an output.
#[derive(Debug)]
pub(crate) struct Additions {
    pub(crate) output: Output,
    /// Paths to be added.
    pub(crate) targets: Vec<PathBuf>,
    /// Paths to be removed from tracked folders.
    pub(crate) removals: Vec<PathBuf>,
}

/// What a push or pull moved.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MoveReport {
    /// One entry an asset.
    pub assets: Vec<MovedFiles>,
    /// The remote.
    pub remote: Option<String>,
    /// Objects that were moved between cache and remote.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written to the remote for them (push only).
    pub sent: u64,
    /// Objects that were there already.
    pub already_there: u64,
    /// Inputs that are pulled when they are named, and were not (pull only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_demand: Vec<String>,
    /// Assets that could not be read, and were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<AssetProblem>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The part of one asset in a push or pull.
#[derive(Clone, Debug, Serialize)]
pub struct MovedFiles {
    /// The asset or package.
    pub name: String,
    /// Its tracked files.
    pub files: u64,
    /// Files placed in the workspace (pull only).
    pub placed: u64,
    /// Files that the pointers no longer name and that were removed: they were as they had been placed (pull only).
    #[serde(skip_serializing_if = "is_zero")]
    pub removed: u64,
    /// Files that are not what was placed there, and were left alone (pull only).
    pub kept: Vec<String>,
    /// Files that were not what was placed there, and were set aside and overwritten or removed by force (pull only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl MovedFiles {
    /// Nothing moved yet.
    pub(crate) fn of(tracked: &Tracked) -> Self {
        Self {
            name: tracked.name.clone(),
            files: tracked.files(),
            placed: 0,
            removed: 0,
            kept: Vec::new(),
            set_aside: Vec::new(),
        }
    }
}

impl Workspace {
    /// Track files or folders: those inside an output where they are, others after copying them into one. With `to_remote` they
    /// are read once and sent; of paths from outside only a pointer gets here (DVC's `--to-remote`), and the files of a folder
    /// that is tracked already stay in it beside those that are given.
    pub fn add(&self, paths: &[PathBuf], options: &AddFiles) -> Result<AddReport> {
        self.hold()?.add_all(paths, options)
    }

    fn add_all(&self, paths: &[PathBuf], options: &AddFiles) -> Result<AddReport> {
        let mut placed = Vec::new();
        for path in paths {
            let path = absolute(path)?;
            let (output, target) = self.place_target(&path, options)?;
            self.check_addable(&output, &path, &target)?;
            placed.push((path, output, target));
        }
        let mut copies = Vec::new();
        self.add_placed(placed, options, &mut copies)
            .inspect_err(|error| {
                if adding::is_refusal(error) {
                    adding::remove_refused(&copies);
                }
            })
    }

    /// Add paths whose places are known. Those that are copied are noted in `copies`, with their targets.
    fn add_placed(
        &self,
        placed: Vec<(PathBuf, Output, PathBuf)>,
        options: &AddFiles,
        copies: &mut Vec<(PathBuf, PathBuf)>,
    ) -> Result<AddReport> {
        let sends = options.push || options.to_remote;
        let remote = if options.to_remote || sends && !options.dry_run {
            Some(self.open_remote(self.remote_entry(options.remote.as_deref(), "pushing files")?)?)
        } else {
            None
        };
        let to = Destination::of(remote.as_ref(), options.to_remote);
        let (mut outs, mut previewed, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        let mut all: Vec<Additions> = Vec::new();
        for (path, output, target) in placed {
            if target == path {
                additions_of(&mut all, output).targets.push(target);
            } else if let Destination::Remote(remote) = to {
                let out = self.add_sent(&output, (&path, &target), remote, options.dry_run)?;
                sent.push((output.name.clone(), out));
                additions_of(&mut all, output);
            } else if options.dry_run && !adding::is_tracked(&target) {
                self.bring_in(&path, &target, true)?;
                let (added, preview) = self.preview(&output, &path, &target)?;
                outs.push(added);
                previewed.push(preview);
                additions_of(&mut all, output);
            } else {
                if self.bring_in(&path, &target, options.dry_run)? && !options.dry_run {
                    copies.push((path, target.clone()));
                }
                additions_of(&mut all, output).targets.push(target);
            }
        }
        for path in &options.remove {
            let path = absolute(path)?;
            let not_in_output = || WorkspaceError::NotInOutput { path: path.clone() };
            let output = self.output_of(&path)?.ok_or_else(not_in_output)?;
            additions_of(&mut all, output).removals.push(path);
        }
        let mut ahead = SentAhead::default();
        let elsewhere = self.remote_elsewhere(options.remote.as_deref());
        let (mut tracked_then, mut planned) = (Vec::new(), Vec::new());
        for additions in &all {
            let before = self.tracked_of_output(&additions.output)?;
            self.bring_manifests(&before, elsewhere.as_ref()).ok();
            let to = before.destination(to)?;
            let mut recorded = self.add_in_place(additions, options.dry_run, to, elsewhere.as_ref())?;
            let sent = sent.extract_if(.., |(name, _)| *name == additions.output.name);
            recorded.extend(sent.map(|(_, out)| out));
            for out in &recorded {
                outs.push(self.added(&additions.output, out));
                ahead += out.ahead;
            }
            if sends && options.dry_run {
                let tracked = self.tracked_after(&additions.output, &recorded, true)?;
                previewed.extend(recorded.iter().filter_map(|out| Preview::of_new(&tracked, out)));
                tracked_then.push(tracked);
                planned.extend(recorded);
            }
        }
        let mut pushed = None;
        if sends && options.dry_run {
            pushed = Some(self.plan_files(&tracked_then, &planned, &previewed, options.remote.as_deref())?);
        } else if sends {
            let tracked: Result<Vec<Tracked>> = all
                .iter()
                .map(|one| self.tracked_of_output(&one.output))
                .collect();
            pushed = Some(self.push_tracked(&tracked?, options.remote.as_deref(), ahead, false)?);
        }
        Ok(AddReport {
            outs,
            pushed,
            dry_run: options.dry_run,
        })
    }

    /// The remote where files that are not here are looked for, if there is one.
    pub(crate) fn remote_elsewhere(&self, name: Option<&str>) -> Option<Remote> {
        let entry = self.remote_entry(name, "looking for files").ok()?;
        self.open_remote(entry).ok()
    }

    fn added(&self, output: &Output, out: &AddedOut) -> AddedFiles {
        AddedFiles {
            asset: output.name.clone(),
            path: self.display_path(&out.path),
            files: out.files,
            bytes: out.bytes,
            changed: out.changed,
            changes: out.changes.clone(),
            kept: out.kept,
            stored_files: out.stored_files,
            stored_bytes: out.stored_bytes,
        }
    }

    /// How this workspace tracks files.
    pub(crate) fn add_options<'a>(
        &'a self,
        dry_run: bool,
        to: Destination<'a>,
        elsewhere: Option<&'a Remote>,
    ) -> AddOptions<'a> {
        AddOptions {
            links: &self.settings().links.value,
            git_ignore: self.in_git(),
            dry_run,
            to,
            elsewhere,
            removals: &[],
        }
    }

    /// Add paths that lie in module folders of an output. What is unchanged and not here is looked for in `elsewhere`.
    pub(crate) fn add_in_place(
        &self,
        additions: &Additions,
        dry_run: bool,
        to: Destination<'_>,
        elsewhere: Option<&Remote>,
    ) -> Result<Vec<AddedOut>> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let mut added = Vec::new();
        for part in by_module(additions) {
            let options = AddOptions {
                removals: &part.removals,
                ..self.add_options(dry_run, to, elsewhere)
            };
            let (root, targets) = (&part.module, &part.targets);
            added.extend(backlot_dvc::add(
                root,
                targets,
                &cache,
                &stat,
                &options,
                self.context(),
            )?);
        }
        if !dry_run {
            self.forget_brought_back(&added)?;
        }
        Ok(added)
    }

    /// The output and place of a path; of one from outside, the place that it gets.
    fn place_target(&self, path: &Path, options: &AddFiles) -> Result<(Output, PathBuf)> {
        let not_in_output = || WorkspaceError::NotInOutput {
            path: path.to_path_buf(),
        };
        if let Some(output) = self.output_of(path)? {
            output.check_inside()?;
            let inside = output
                .module_folders()
                .iter()
                .any(|folder| path.starts_with(folder) && path != *folder);
            return if inside {
                Ok((output, path.to_path_buf()))
            } else {
                Err(not_in_output().into())
            };
        }
        let output = self.output(options.asset.as_deref().ok_or_else(not_in_output)?)?;
        output.check_inside()?;
        let name = match &options.rename {
            Some(name) => RelPath::parse(name)?,
            None => RelPath::from_path(Path::new(path.file_name().ok_or_else(not_in_output)?))?,
        };
        let folder = crate::project::outputs::module_folder(&output).ok_or_else(not_in_output)?;
        Ok((output, name.to_path(&folder)))
    }

    /// Whether the workspace lies in a git repository, whose ignore files we then keep.
    pub(crate) fn in_git(&self) -> bool {
        self.root().ancestors().any(|folder| folder.join(".git").exists())
    }

    /// The pointers of an output.
    pub(crate) fn tracked_of_output(&self, output: &Output) -> Result<Tracked> {
        output.check_inside()?;
        let mut pointers = Vec::new();
        for folder in output.module_folders() {
            pointers.extend(backlot_dvc::pointers(folder, self.context())?);
        }
        Ok(Tracked {
            name: output.name.clone(),
            pointers,
            installed: false,
        })
    }

    /// The pointers of an installed release.
    pub(crate) fn tracked_of_dist(environment: &Environment, dist: &InstalledDist) -> Result<Tracked> {
        let site_packages = environment.site_packages();
        let mut pointers = Vec::new();
        for path in dist.pointer_paths()? {
            pointers.push(TrackedPointer::load(&path.to_path(&site_packages))?);
        }
        let name = dist
            .asset
            .as_ref()
            .map_or_else(|| dist.metadata.name.clone(), |a| a.name.clone());
        Ok(Tracked {
            name,
            pointers,
            installed: true,
        })
    }

    /// The installed releases that are wanted by name and no editables, each with its pointers, or why they cannot be read.
    pub(crate) fn tracked_inputs(
        &self,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<(String, Result<Tracked>)>> {
        let mut found = Vec::new();
        let Some(environment) = self.environment()? else {
            return Ok(found);
        };
        for dist in environment.installed()? {
            let asset = dist.asset.as_ref().map(|asset| asset.name.as_str());
            let name = asset.unwrap_or(&dist.metadata.name).to_owned();
            if dist.editable.is_none() && is_wanted(&name) {
                let tracked = Self::tracked_of_dist(&environment, &dist);
                found.push((name, tracked));
            }
        }
        Ok(found)
    }

    /// Outputs and inputs with tracked files, only those named if names are given.
    pub(crate) fn tracked(&self, names: &[String], inputs: bool) -> Result<Vec<Tracked>> {
        self.tracked_or(names, inputs, &mut |_, error| Err(error))
    }

    /// The same; of one that was not named and cannot be read, `left_out` says what happens.
    pub(crate) fn tracked_or(
        &self,
        names: &[String],
        inputs: bool,
        left_out: &mut dyn FnMut(String, Error) -> Result<()>,
    ) -> Result<Vec<Tracked>> {
        let is_wanted = |of: &str| names.is_empty() || names.iter().any(|name| same_name(of, name));
        let mut all = Vec::new();
        let mut take = |asset: &str, found: Result<Tracked>| match found {
            Ok(tracked) => {
                all.push(tracked);
                Ok(())
            }
            Err(error) if names.is_empty() => left_out(asset.to_owned(), error),
            Err(error) => Err(error),
        };
        let (outputs, unreadable) = match self.outputs_in_own_folders(names)? {
            Some(outputs) => (outputs, Vec::new()),
            None => self.read_outputs()?,
        };
        for one in unreadable.into_iter().filter(|_| names.is_empty()) {
            take(&self.display_path(&one.path), Err(one.error))?;
        }
        for output in outputs.iter().filter(|output| is_wanted(&output.name)) {
            take(&output.name, self.tracked_of_output(output))?;
        }
        if inputs {
            for (name, found) in self.tracked_inputs(&is_wanted)? {
                take(&name, found)?;
            }
        }
        if names.is_empty() {
            all.retain(|t| !t.pointers.is_empty());
            return Ok(all);
        }
        for name in names {
            if !all.iter().any(|t| same_name(&t.name, name)) && !self.is_installed(name)? {
                self.output(name)?;
            }
        }
        all.retain(|t| !t.installed || !t.pointers.is_empty());
        Ok(all)
    }

    fn is_installed(&self, name: &str) -> Result<bool> {
        let Some(environment) = self.environment()? else {
            return Ok(false);
        };
        Ok(environment
            .installed()?
            .iter()
            .any(|d| d.editable.is_none() && same_name(&d.metadata.name, name)))
    }

    /// Send the tracked files of outputs to a remote.
    pub fn push(&self, names: &[String], remote: Option<&str>, dry_run: bool) -> Result<MoveReport> {
        let mut problems = Vec::new();
        let tracked = self.tracked_or(names, false, &mut problem_of(&mut problems))?;
        let report = match self.push_tracked(&tracked, remote, SentAhead::default(), dry_run) {
            Err(error) if names.is_empty() => {
                let mut report = MoveReport {
                    dry_run,
                    ..MoveReport::default()
                };
                each_apart(tracked, error, &mut problems, |one| {
                    let one = std::slice::from_ref(one);
                    report.add(self.push_tracked(one, remote, SentAhead::default(), dry_run)?);
                    Ok(())
                })?;
                report
            }
            pushed => pushed?,
        };
        Ok(MoveReport { problems, ..report })
    }

    /// The state of every tracked file or folder of some assets.
    pub(crate) fn out_states(&self, tracked: &Tracked) -> Result<Vec<OutState>> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let pointers: Vec<&TrackedPointer> = tracked.pointers.iter().collect();
        let options = StatusOptions {
            record: !tracked.installed,
        };
        Ok(backlot_dvc::status(
            &pointers,
            &cache,
            &stat,
            options,
            self.context(),
        )?)
    }
}

impl MoveReport {
    /// Nothing moved yet.
    pub(crate) fn of(tracked: &[Tracked]) -> Self {
        Self {
            assets: tracked.iter().map(MovedFiles::of).collect(),
            ..Self::default()
        }
    }

    /// Count what a push of objects would send.
    pub(crate) fn plan(
        &mut self,
        objects: &[Transfer],
        remote: &Remote,
        workspace: &Workspace,
    ) -> Result<()> {
        let ids: Vec<ObjectId> = objects.iter().map(|t| t.id).collect();
        let there = remote.exists_many(&ids, workspace.context())?;
        let mut seen = std::collections::HashSet::new();
        for (transfer, there) in objects.iter().zip(there).filter(|(t, _)| seen.insert(t.id)) {
            if there {
                self.already_there += 1;
            } else {
                self.objects += 1;
                self.bytes += transfer.size.unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Add what was moved for other assets.
    fn add(&mut self, more: Self) {
        self.assets.extend(more.assets);
        for name in more.remote.iter().flat_map(|names| names.split(", ")) {
            self.name_remote(name);
        }
        self.objects += more.objects;
        self.bytes += more.bytes;
        self.sent += more.sent;
        self.already_there += more.already_there;
    }

    pub(crate) fn take(&mut self, transfer: &TransferReport) {
        self.objects += transfer.objects;
        self.bytes += transfer.bytes;
        self.sent += transfer.sent;
        self.already_there += transfer.already_there;
    }
}

/// Collects the assets that are left out.
pub(crate) fn problem_of(
    problems: &mut Vec<AssetProblem>,
) -> impl FnMut(String, Error) -> Result<()> + use<'_> {
    |asset, error| {
        problems.push(AssetProblem::new(asset, &error));
        Ok(())
    }
}

/// What is to be recorded of an output, among those of others.
fn additions_of(all: &mut Vec<Additions>, output: Output) -> &mut Additions {
    let known = all.iter().position(|one| one.output.name == output.name);
    let at = known.unwrap_or_else(|| {
        all.push(Additions {
            output,
            targets: Vec::new(),
            removals: Vec::new(),
        });
        all.len() - 1
    });
    &mut all[at]
}

/// Additions to one module folder.
struct ModuleAdditions {
    module: PathBuf,
    targets: Vec<PathBuf>,
    removals: Vec<PathBuf>,
}

/// Additions by the module folders that they lie in; of nested ones, the outermost.
fn by_module(additions: &Additions) -> Vec<ModuleAdditions> {
    let output = &additions.output;
    let folders = output.module_folders();
    let module_of = |path: &Path| {
        let mut around: Vec<&Path> = folders.iter().copied().filter(|f| path.starts_with(f)).collect();
        around.sort_unstable_by_key(|folder| folder.components().count());
        let first = around.first().or(folders.first());
        first.map_or_else(|| output.project.root.clone(), |folder| folder.to_path_buf())
    };
    let mut parts = Vec::new();
    for path in &additions.targets {
        part_of(&mut parts, module_of(path)).targets.push(path.clone());
    }
    for path in &additions.removals {
        part_of(&mut parts, module_of(path)).removals.push(path.clone());
    }
    parts
}

fn part_of(parts: &mut Vec<ModuleAdditions>, module: PathBuf) -> &mut ModuleAdditions {
    let known = parts.iter().position(|part| part.module == module);
    let at = known.unwrap_or_else(|| {
        parts.push(ModuleAdditions {
            module,
            targets: Vec::new(),
            removals: Vec::new(),
        });
        parts.len() - 1
    });
    &mut parts[at]
}

/// Whether two names mean the same asset: as written or as packages.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    let package = |name: &str| backlot_core::PackageName::of_asset(name).ok();
    a == b || package(a).is_some_and(|p| Some(p) == package(b))
}
