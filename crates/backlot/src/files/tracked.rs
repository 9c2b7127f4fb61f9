//! Tracked files of assets: the pointers of outputs and of installed releases, their state, and the results of adding to them.
//!
//! Invariant: an asset that was named and cannot be read is an error; of one that was not, the caller says what happens. Deliberately absent:
//! the files that the pointers name.

use backlot_dvc::{AddedOut, FileChanges, OutState, StatusOptions, TrackedPointer};
use backlot_wheel::InstalledDist;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::project::named_output::same_name;
use crate::project::output::Output;
use crate::project::provenance::made_outs;
use crate::workspace::Opened;

/// A folder that has pointers, under the name of its asset.
#[derive(PartialEq)]
pub(crate) struct Tracked {
    pub(crate) name: String,
    pub(crate) pointers: Vec<TrackedPointer>,
    /// Whether it is an installed release, whose files are not edited.
    pub(crate) installed: bool,
}

impl Tracked {
    pub(crate) fn files(&self) -> u64 {
        self.pointers
            .iter()
            .flat_map(|p| &p.pointer.outs)
            .filter(|o| o.cache && o.id().is_some())
            .map(|o| o.nfiles.unwrap_or(1))
            .sum()
    }
}

/// A tracked file or folder after adding.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddedFiles {
    /// The asset that tracks it.
    pub asset: String,
    /// Its path, relative to the workspace.
    pub path: String,
    /// Its files.
    pub files: u64,
    /// Its bytes.
    pub bytes: u64,
    /// How many files are new or changed since it was last added.
    pub changed: u64,
    /// The changes, with names.
    pub changes: FileChanges,
    /// Files that were kept without being checked: they are not here, or were not requested.
    pub kept: u64,
    /// How many files were new to the cache.
    pub stored_files: u64,
    /// How many bytes were new to the cache.
    pub stored_bytes: u64,
}

impl Opened {
    /// The tracked paths of an output: by pointers, and as outputs of its stages.
    pub(crate) fn tracked_of_output(&self, output: &Output) -> Result<Tracked> {
        output.check_inside()?;
        let mut pointers = Vec::new();
        for folder in output.module_folders() {
            pointers.extend(backlot_dvc::tracked_files(self.root(), folder, self.context())?);
        }
        Ok(Tracked {
            name: output.name.clone(),
            pointers,
            installed: false,
        })
    }

    /// What an installed release tracks. Of its stages only what the builder recorded is taken: its `dvc.yaml` is not read.
    pub(crate) fn tracked_of_dist(environment: &Environment, dist: &InstalledDist) -> Result<Tracked> {
        let site_packages = environment.site_packages();
        let mut pointers = Vec::new();
        for path in dist.pointer_paths()? {
            pointers.push(TrackedPointer::load(&path.to_path(&site_packages))?);
        }
        let made = made_outs(dist)?.into_iter();
        pointers.extend(made.map(|made| made.below(&site_packages)));
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

    /// The tracked paths of the output once its changes are recorded; after a dry run, the planned ones.
    pub(crate) fn tracked_after(
        &self,
        output: &Output,
        recorded: &[AddedOut],
        dry_run: bool,
    ) -> Result<Tracked> {
        let mut tracked = self.tracked_of_output(output)?;
        if !dry_run {
            return Ok(tracked);
        }
        for planned in recorded {
            let mut is_new = true;
            for pointer in &mut tracked.pointers {
                let base = pointer.pointer.base(pointer.folder());
                for out in &mut pointer.pointer.outs {
                    if out.path.to_path(&base) == planned.path {
                        *out = planned.out.clone();
                        is_new = false;
                    }
                }
            }
            if is_new {
                tracked.pointers.push(TrackedPointer::planned(planned));
            }
        }
        Ok(tracked)
    }
}
