//! Where an import goes: a path inside the package of an output.
//!
//! Invariant: the place is free, its pointer can go into the wheel, and nothing above or below it is tracked. Deliberately absent: what is imported.

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_dvc::{ImportSource, TrackedPointer, plan_import};

use crate::error::{ImportError, Result, WorkspaceError};
use crate::files::adding::check_name;
use crate::project::output::{Output, module_folder};
use crate::workspace::{Opened, absolute};

/// The place of an import.
#[derive(Debug)]
pub(crate) struct ImportTarget {
    pub(crate) asset: String,
    pub(crate) path: PathBuf,
    pub(crate) pointer: PathBuf,
    /// The folder of the package that it is in.
    root: PathBuf,
    relative: RelPath,
    output: Output,
}

/// How a place is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenTarget<'a> {
    /// The path, if one was given.
    pub(crate) path: Option<&'a str>,
    /// The asset, in whose package a relative path then begins.
    pub(crate) asset: Option<&'a str>,
    /// Where a relative path begins otherwise.
    pub(crate) here: &'a Path,
}

impl Opened {
    /// The place that an import of something named `name` gets.
    pub(crate) fn import_target(&self, given: GivenTarget<'_>, name: &str) -> Result<ImportTarget> {
        let not_in_output = |path: &Path| WorkspaceError::NotInOutput {
            path: path.to_path_buf(),
        };
        let base = match given.asset {
            Some(asset) => {
                let output = self.output(asset)?;
                module_folder(&output).ok_or_else(|| not_in_output(given.here))?
            }
            None => given.here.to_path_buf(),
        };
        let path = match given.path {
            None => base.join(name),
            Some(path) if path.ends_with('/') || base.join(path).is_dir() => base.join(path).join(name),
            Some(path) => base.join(path),
        };
        let path = absolute(&path)?;
        let output = self.output_of(&path)?.ok_or_else(|| not_in_output(&path))?;
        output.check_inside()?;
        let root = output
            .module_folders()
            .into_iter()
            .find(|folder| path.starts_with(folder) && path != **folder)
            .map(Path::to_path_buf)
            .ok_or_else(|| not_in_output(&path))?;
        let relative = RelPath::from_path(path.strip_prefix(&root).unwrap_or(&path))?;
        check_name(&output, &path)?;
        let mut pointer = path.as_os_str().to_owned();
        pointer.push(".dvc");
        Ok(ImportTarget {
            asset: output.name.clone(),
            pointer: pointer.into(),
            path,
            root,
            relative,
            output,
        })
    }

    /// The pointer that is at a target, if it is of the same import.
    pub(crate) fn same_import(&self, target: &ImportTarget, source: &str) -> Result<Option<TrackedPointer>> {
        if backlot_core::presence::is_absent(&target.pointer)? {
            return Ok(None);
        }
        let found = TrackedPointer::load(&target.pointer)?;
        let known = ImportSource::of(&found.pointer).map(|known| known.path);
        if known.as_deref() == Some(source) {
            return Ok(Some(found));
        }
        Err(ImportError::Exists {
            path: self.display_path(&target.path),
            source_url: known.map(|known| backlot_core::web::shown_text(&known)),
        }
        .into())
    }

    /// Where a new import goes; an error if something is there.
    pub(crate) fn free_target(&self, given: GivenTarget<'_>, name: &str) -> Result<ImportTarget> {
        let target = self.import_target(given, name)?;
        if !backlot_core::presence::is_absent(&target.pointer)? {
            return Err(ImportError::Exists {
                path: self.display_path(&target.path),
                source_url: None,
            }
            .into());
        }
        self.check_free(&target, false)?;
        Ok(target)
    }

    /// An error if a target is not free.
    pub(crate) fn check_free(&self, target: &ImportTarget, is_folder: bool) -> Result<()> {
        plan_import(&target.root, &target.relative, is_folder, self.context())?;
        if fs_err::symlink_metadata(&target.path).is_ok() {
            return Err(WorkspaceError::TargetExists {
                path: target.path.clone(),
            }
            .into());
        }
        target.output.check_inside()
    }
}
