//! Tracking files: those inside an output where they are, others after copying them into one, or sent to a remote. What is tracked already is
//! updated (`updating`).
//!
//! Invariant: all paths are looked at before the first is copied or sent. Deliberately absent: how a path from outside is copied (`adding`) or
//! sent (`to_remote`), and how it is recorded (`additions`).

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_core::options;
use backlot_dvc::{AddedOut, Destination, EarlyUpload};
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};
use crate::files::adding::{self, Preview};
use crate::files::additions::{Additions, additions_of};
use crate::files::moved::MoveReport;
use crate::files::tracked::{AddedFiles, Tracked};
use crate::files::updating::Update;
use crate::project::output::{Output, module_folder};
use crate::workspace::{Opened, absolute};

options! {
    /// Options for tracking files.
    #[derive(Default)]
    pub struct AddFiles {
        /// The output that tracks paths from outside the workspace.
        pub asset: Option<String>,
        /// The name a path from outside gets in the asset; its own by default.
        pub rename: Option<String>,
        /// Files and folders to remove from tracked folders of outputs, even if they were never pulled.
        pub remove: Vec<PathBuf>,
        /// Whether the outputs' files are pushed as well: new content is sent while it is read.
        pub push: bool,
        /// Whether files are sent in one pass, and kept neither in the cache nor, from outside, in the output; see
        /// [`crate::Workspace::add`].
        pub to_remote: bool,
        /// The remote to push to, instead of the default one.
        pub remote: Option<String>,
        /// Whether files that no longer exist in a path from outside are kept in the tracked folder.
        pub keep_gone: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The result of an add.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddReport {
    /// One entry a tracked file or folder.
    pub outs: Vec<AddedFiles>,
    /// The pushed files, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<MoveReport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The actions for paths, and the remaining work.
#[derive(Default)]
struct Work {
    outs: Vec<AddedFiles>,
    previewed: Vec<Preview>,
    /// Recorded already, or, in a dry run, as they would be, by asset.
    sent: Vec<(String, AddedOut)>,
    /// Tracked paths that were updated and are not recorded yet.
    updated: Vec<PathBuf>,
    all: Vec<Additions>,
}

impl Opened {
    pub(crate) fn add(&self, paths: &[PathBuf], options: &AddFiles) -> Result<AddReport> {
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
        let mut work = Work::default();
        for one in placed {
            self.place_given(one, options, to, copies, &mut work)?;
        }
        let Work {
            mut outs,
            mut previewed,
            mut sent,
            updated,
            mut all,
        } = work;
        for path in &options.remove {
            let path = absolute(path)?;
            let not_in_output = || WorkspaceError::NotInOutput { path: path.clone() };
            let output = self.output_of(&path)?.ok_or_else(not_in_output)?;
            additions_of(&mut all, output).removals.push(path);
        }
        let mut ahead = EarlyUpload::default();
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
        for target in &updated {
            self.end_update(target)?;
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

    /// Bring a path to its place, or look at what that would do.
    fn place_given(
        &self,
        (path, output, target): (PathBuf, Output, PathBuf),
        options: &AddFiles,
        to: Destination<'_>,
        copies: &mut Vec<(PathBuf, PathBuf)>,
        work: &mut Work,
    ) -> Result<()> {
        if target == path {
            additions_of(&mut work.all, output).targets.push(target);
            return Ok(());
        }
        if let Destination::Remote(remote) = to {
            let out = self.add_sent(&output, (&path, &target), remote, options.dry_run)?;
            work.sent.push((output.name.clone(), out));
            additions_of(&mut work.all, output);
            return Ok(());
        }
        if let Some(update) = self.update_of(&output, (&path, &target), options)? {
            if update.is_nothing() {
                additions_of(&mut work.all, output).targets.push(target);
                return Ok(());
            }
            if options.dry_run {
                let elsewhere = self.remote_elsewhere(options.remote.as_deref());
                let out = self.planned_update(&update, elsewhere.as_ref())?;
                work.sent.push((output.name.clone(), out));
                additions_of(&mut work.all, output);
                return Ok(());
            }
            self.apply_update(&update)?;
            let additions = additions_of(&mut work.all, output);
            additions.targets.push(target.clone());
            additions.removals.extend(update.gone);
            work.updated.push(target);
            return Ok(());
        }
        if options.dry_run && !adding::is_tracked(&target) {
            self.bring_in(&path, &target, true)?;
            let (added, preview) = self.preview(&output, &path, &target)?;
            work.outs.push(added);
            work.previewed.push(preview);
            additions_of(&mut work.all, output);
            return Ok(());
        }
        if self.bring_in(&path, &target, options.dry_run)? && !options.dry_run {
            copies.push((path, target.clone()));
        }
        additions_of(&mut work.all, output).targets.push(target);
        Ok(())
    }

    /// What a path from outside changes of the one that is tracked in its place; `None` if none is.
    fn update_of(
        &self,
        output: &Output,
        (path, target): (&Path, &Path),
        options: &AddFiles,
    ) -> Result<Option<Update>> {
        if !adding::is_tracked(target) {
            return Ok(None);
        }
        let tracked = self.tracked_of_output(output)?;
        self.plan_update(&tracked, (path, target), options.keep_gone)
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
        let folder = module_folder(&output).ok_or_else(not_in_output)?;
        Ok((output, name.to_path(&folder)))
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
}
