//! No longer tracking files: the pointer goes, the files stay where they are, as files of their own.
//!
//! Invariant: nothing is lost. Files that are not here have to be in the release that the output was edited from, or it is refused; links into the
//! cache become copies first. The pointer goes last, so what was stopped is finished by running it again. Deliberately absent: removing files.

use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, file};
use backlot_dvc::{Change, Ignore, Pointer, Scanned};
use backlot_store::PlacedMembers;
use serde::{Deserialize, Serialize};

use crate::error::{OutsError, Result};
use crate::files::located::Located;
use crate::workspace::Opened;

/// The untracked paths.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UntrackReport {
    /// One entry a file or folder.
    pub paths: Vec<UntrackedPath>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// An untracked file or folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UntrackedPath {
    /// The asset that tracked it.
    pub asset: String,
    /// Its path, relative to the workspace.
    pub path: String,
    /// The number of its files that exist here; they are kept.
    pub files: u64,
    /// The number of its files that do not exist here; they are in the release that the output was edited from.
    pub absent: u64,
}

impl Opened {
    pub(crate) fn untrack(&self, paths: &[PathBuf], dry_run: bool) -> Result<UntrackReport> {
        let held = self.hold()?;
        let (selection, located) = held.locate(paths, None)?;
        let mut planned = Vec::new();
        for one in located {
            if !selection.has(&one.place) {
                return Err(OutsError::PartOfFolder {
                    path: held.display_path(&one.place),
                }
                .into());
            }
            let absent = held.absent_files(&one)?;
            let files = held.files_here(&one.place)?;
            let report = UntrackedPath {
                asset: one.output.name.clone(),
                path: held.display_path(&one.place),
                files: files.len() as u64,
                absent,
            };
            planned.push((one, files, report));
        }
        let mut report = UntrackReport {
            paths: Vec::new(),
            dry_run,
        };
        for (one, files, path) in planned {
            if !dry_run {
                held.drop_pointer(&one, &files)?;
            }
            report.paths.push(path);
        }
        Ok(report)
    }

    /// How many files are not here; an error unless the release that the output was edited from has them.
    fn absent_files(&self, one: &Located) -> Result<u64> {
        let tracked = self.tracked_of_output(&one.output)?;
        self.bring_manifests(&tracked, self.remote_elsewhere(None).as_ref())
            .ok();
        let states = self.out_states(&tracked)?;
        let all = one.out.nfiles.unwrap_or(1);
        let state = states.into_iter().find(|state| state.path == one.place);
        let absent = match state.map(|state| state.change) {
            Some(Change::Partial { absent } | Change::Modified { absent, .. }) => absent,
            Some(Change::NotPulled | Change::Missing | Change::NoManifest) => all,
            _ => 0,
        };
        let is_released = || -> Result<bool> {
            let released = self.released_objects(&one.output)?;
            Ok(one.out.id().is_some_and(|id| released.contains(&id)))
        };
        if absent > 0 && one.out.id().is_some() && !is_released()? {
            return Err(OutsError::NotHere {
                asset: one.output.name.clone(),
                path: self.display_path(&one.place),
                absent,
            }
            .into());
        }
        Ok(absent)
    }

    fn files_here(&self, place: &Path) -> Result<Vec<PathBuf>> {
        let ignore = Ignore::of_folder(place.parent().unwrap_or(place))?;
        Ok(match backlot_dvc::survey(place, &ignore, self.context())?.0 {
            Scanned::Missing => Vec::new(),
            Scanned::File { .. } => vec![place.to_path_buf()],
            Scanned::Folder(files) => files.into_iter().map(|file| file.full).collect(),
        })
    }

    fn drop_pointer(&self, one: &Located, files: &[PathBuf]) -> Result<()> {
        let modes = [LinkMode::Reflink, LinkMode::Copy];
        for path in files.iter().filter(|path| backlot_dvc::scan::is_linked(path)) {
            self.context().check()?;
            // Another name of an object of the cache, or a link to one, goes when the cache is cleaned.
            let own = file::temporary_in(path.parent().unwrap_or(path));
            backlot_core::link::place(path, None, &own, &modes, true)?;
            file::rename(&own, path)?;
        }
        let pointer = &one.pointer;
        let mut outs = pointer.pointer.outs.clone();
        outs.retain(|out| *out != one.out);
        if outs.is_empty() {
            file::remove(&pointer.path)?;
        } else {
            let rest = Pointer {
                outs,
                ..pointer.pointer.clone()
            };
            file::write(&pointer.path, rest.to_text().as_bytes())?;
        }
        self.stat_cache()?.set_placed(&one.place, &PlacedMembers::new())?;
        Ok(backlot_dvc::git_unignore(&one.place)?)
    }
}
