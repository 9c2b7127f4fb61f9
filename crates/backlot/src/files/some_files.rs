//! Pulling and pushing some files: those at paths, of patterns, or of frames.
//!
//! Invariants: as for a pull of all: what somebody changed is left alone, or set aside by force; what is placed is proven. A push of some files sends
//! no manifest, so a release is as pushed as it was before. A pattern is meant from the folder that it was written in, or from the asset's own.
//! Deliberately absent: choosing whole assets (`pull`, `push`).

use backlot_core::options;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use backlot_dvc::TrackedPointer;
use backlot_store::{ObjectId, Remote};

use crate::error::{OutsError, Result};
use crate::files::located::{Selection, member_path};
use crate::files::moved::{MoveReport, MovedFiles};
use crate::files::pins::by_pin;
use crate::files::put_back::{RestoreOptions, Target};
use crate::files::tracked::Tracked;
use crate::project::output::Output;
use crate::workspace::Opened;

options! {
    /// Which files of tracked ones are meant. Without paths and frames, all are.
    #[derive(Default)]
    pub struct SomeFiles {
        /// Files, folders and patterns, absolute or relative to [`Self::here`] or to the folder of an asset's module.
        pub paths: Vec<PathBuf>,
        /// Only these frames of sequences: `1001-1010x2`.
        pub frames: Option<String>,
        /// The folder that relative paths are meant from.
        pub here: PathBuf,
    }
}

impl SomeFiles {
    /// Whether all files are meant.
    pub(crate) fn is_all(&self) -> bool {
        self.paths.is_empty() && self.frames.is_none()
    }

    /// The files that are meant of some assets, of which these are the folders of their modules.
    fn selection(&self, modules: &BTreeSet<PathBuf>) -> Result<Selection> {
        let mut paths: Vec<PathBuf> = self.paths.iter().map(|path| self.here.join(path)).collect();
        for path in self.paths.iter().filter(|path| path.is_relative()) {
            paths.extend(modules.iter().map(|module| module.join(path)));
        }
        if self.paths.is_empty() {
            paths.extend(modules.iter().cloned());
        }
        Selection::of(&paths, self.frames.as_deref())
    }

    /// As they were written.
    fn shown(&self) -> String {
        let mut all: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        all.extend(self.frames.iter().map(|frames| format!("--frames {frames}")));
        all.join(" ")
    }
}

impl Opened {
    /// Pull some files of outputs and inputs.
    pub(crate) fn pull_some(
        &self,
        names: &[String],
        some: &SomeFiles,
        remote: Option<&str>,
        force: bool,
        dry_run: bool,
    ) -> Result<MoveReport> {
        let held = self.hold()?;
        let tracked = held.tracked(names, true)?;
        held.refuse_foreign_outs(&tracked)?;
        let selection = some.selection(&held.modules_of(&tracked)?)?;
        let mut targets = Vec::new();
        for one in &tracked {
            for (place, out) in one.pointers.iter().flat_map(TrackedPointer::located_outs) {
                if out.cache && out.id().is_some() && selection.touches(&place) {
                    targets.push(Target {
                        asset: one.name.clone(),
                        place,
                        out: out.clone(),
                        brings_absent: true,
                        is_pointed: true,
                        keeps_changes: !force,
                        read_only: one.installed,
                    });
                }
            }
        }
        if targets.is_empty() {
            return Err(held.nothing_of(some, &tracked));
        }
        let options = RestoreOptions {
            remote: remote.map(ToOwned::to_owned),
            dry_run,
            ..RestoreOptions::default()
        };
        let done = held.put_back(&[PathBuf::from(some.shown())], &targets, &selection, &options)?;
        let mut report = MoveReport {
            remote: done.remote,
            objects: done.fetched,
            bytes: done.fetched_bytes,
            dry_run,
            ..MoveReport::default()
        };
        for path in done.paths {
            let files = path.placed + path.unchanged + path.kept.len() as u64;
            let known = report.assets.iter().position(|one| one.name == path.asset);
            let at = known.unwrap_or_else(|| {
                report.assets.push(MovedFiles::none(&path.asset));
                report.assets.len() - 1
            });
            let moved = &mut report.assets[at];
            moved.files += files;
            moved.placed += path.placed;
            moved.removed += path.removed;
            moved.kept.extend(path.kept);
            moved
                .set_aside
                .extend(path.set_aside.into_iter().map(|copy| copy.path));
        }
        Ok(report)
    }

    /// Send some files of outputs.
    pub(crate) fn push_some(
        &self,
        names: &[String],
        some: &SomeFiles,
        remote: Option<&str>,
        dry_run: bool,
    ) -> Result<MoveReport> {
        let tracked = self.tracked(names, false)?;
        let selection = some.selection(&self.modules_of(&tracked)?)?;
        let mut report = MoveReport {
            dry_run,
            ..MoveReport::default()
        };
        let pointers: Vec<&TrackedPointer> = tracked.iter().flat_map(|one| &one.pointers).collect();
        let mut found = false;
        for (pin, pointers) in by_pin(&pointers) {
            let is_meant = |pointer: &&TrackedPointer| {
                let mut places = pointer.located_outs();
                places.any(|(place, out)| out.cache && out.push && selection.touches(&place))
            };
            let some: Vec<&TrackedPointer> = pointers.iter().filter(is_meant).collect();
            if some.is_empty() {
                continue;
            }
            let entry = match &pin {
                Some(pin) => self.pinned(pin, &pointers)?,
                None => self.remote_entry(remote, "pushing files")?,
            };
            let opened = self.open_remote(entry)?;
            for one in &tracked {
                self.bring_manifests(one, pin.is_none().then_some(&opened))?;
            }
            if self.push_members(&opened, &some, &selection, &mut report)? {
                report.name_remote(&entry.name);
                found = true;
            }
        }
        for one in &tracked {
            let files = self.selected(&one.pointers.iter().collect::<Vec<_>>(), &selection)?;
            if !files.is_empty() {
                let files = files.len() as u64;
                report.assets.push(MovedFiles {
                    files,
                    ..MovedFiles::none(&one.name)
                });
            }
        }
        if found {
            Ok(report)
        } else {
            Err(self.nothing_of(some, &tracked))
        }
    }

    /// Whether any file of some pointers is meant, which is sent.
    fn push_members(
        &self,
        remote: &Remote,
        pointers: &[&TrackedPointer],
        selection: &Selection,
        report: &mut MoveReport,
    ) -> Result<bool> {
        let (cache, context) = (self.cache()?, self.context());
        let wanted: HashSet<ObjectId> = self
            .selected(pointers, selection)?
            .into_iter()
            .map(|(_, id)| id)
            .collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let mut plan = backlot_dvc::plan_push(pointers, &cache, context)?;
        plan.transfers.retain(|transfer| wanted.contains(&transfer.id));
        plan.elsewhere.retain(|(id, _)| wanted.contains(id));
        backlot_dvc::check_elsewhere(&plan, remote, context)?;
        report.already_there += plan.elsewhere.len() as u64;
        if report.dry_run {
            report.plan(&plan.transfers, remote, self)?;
        } else {
            report.take(&remote.push(&cache, &plan.transfers, context)?);
        }
        Ok(true)
    }

    /// The files of some pointers that are meant, with their content.
    fn selected(
        &self,
        pointers: &[&TrackedPointer],
        selection: &Selection,
    ) -> Result<Vec<(PathBuf, ObjectId)>> {
        let cache = self.cache()?;
        let mut files = Vec::new();
        for (place, out) in pointers.iter().flat_map(|pointer| pointer.located_outs()) {
            let Some(id) = out
                .id()
                .filter(|_| out.cache && out.push && selection.touches(&place))
            else {
                continue;
            };
            if !id.tree {
                files.push((place, id));
                continue;
            }
            let manifest = backlot_dvc::read_manifest(&cache, &id)?;
            let entries = manifest.entries().iter();
            files.extend(entries.map(|e| (member_path(&place, Some(&e.path)), ObjectId::file(e.md5))));
        }
        files.retain(|(path, _)| selection.has(path));
        Ok(files)
    }

    /// The folders of the modules that tracked files lie in.
    fn modules_of(&self, tracked: &[Tracked]) -> Result<BTreeSet<PathBuf>> {
        let mut modules = BTreeSet::new();
        let site_packages = self.environment()?.map(|environment| environment.site_packages());
        for one in tracked {
            if one.installed {
                let inside = |pointer: &TrackedPointer| -> Option<PathBuf> {
                    let root = site_packages.as_deref()?;
                    let first = pointer.path.strip_prefix(root).ok()?.iter().next()?;
                    Some(root.join(first))
                };
                modules.extend(one.pointers.iter().filter_map(inside));
            } else {
                let output: Output = self.output(&one.name)?;
                modules.extend(output.module_folders().into_iter().map(Path::to_path_buf));
            }
        }
        Ok(modules)
    }

    fn nothing_of(&self, some: &SomeFiles, tracked: &[Tracked]) -> crate::error::Error {
        let known = tracked
            .iter()
            .flat_map(|one| one.pointers.iter().flat_map(TrackedPointer::located_outs));
        let known: Vec<String> = known.map(|(place, _)| self.display_path(&place)).collect();
        let first = some
            .paths
            .first()
            .map(|path| self.display_path(&some.here.join(path)));
        let nearest = first.and_then(|first| {
            let nearest = backlot_core::text::nearest(&first, known.iter().map(String::as_str));
            nearest.map(ToOwned::to_owned)
        });
        OutsError::NotTracked {
            path: some.shown(),
            nearest,
        }
        .into()
    }
}
