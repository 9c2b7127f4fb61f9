//! Tracking files: those inside an output where they are, others after copying them into one, or sent to a remote.
//!
//! Invariant: all paths are looked at before the first is copied or sent. Deliberately absent: how a path from outside is copied (`adding`) or
//! sent (`to_remote`), and how it is recorded (`additions`).

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_dvc::{AddedOut, Destination, SentAhead};
use serde::Serialize;

use crate::error::{Result, WorkspaceError};
use crate::files::adding::{self, Preview};
use crate::files::additions::{Additions, additions_of};
use crate::files::moved::MoveReport;
use crate::files::tracked::{AddedFiles, Tracked};
use crate::project::output::{Output, module_folder};
use crate::workspace::{Opened, absolute};

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
    /// [`crate::Workspace::add`].
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
