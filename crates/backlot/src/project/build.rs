//! Building: an output as a wheel in `build/`, with pointers in and tracked files out.
//!
//! Invariant: the same project and lock give the same bytes on every machine; who, when and why are recorded with the
//! publication, not in the wheel. `*.dist-info/backlot.json` says what it was built from, and
//! `*.dist-info/pyproject.toml` lets an installed release be made editable again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use backlot_core::file::TemporaryFolder;
use backlot_core::{RelPath, Sha256};
use backlot_pep::{PackageName, Version};
use backlot_wheel::BuildOptions;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::tracked::Tracked;
use crate::project::content::{Content, outs_of};
use crate::project::output::Output;
use crate::project::provenance::{OutRecord, PROVENANCE_FILE, TOOL};
use crate::workspace::Opened;

/// Name of the project file kept in `*.dist-info`.
pub(crate) const PROJECT_FILE: &str = "pyproject.toml";

/// A built wheel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildReport {
    /// The asset.
    pub asset: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The wheel, relative to the workspace.
    pub wheel: String,
    /// Its digest.
    pub sha256: Option<Sha256>,
    /// Its bytes.
    pub size: u64,
    /// How many files it has.
    pub files: u64,
    /// The tracked files and folders of its pointers.
    pub outs: Vec<OutRecord>,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The wheel's absolute path.
    #[serde(skip)]
    pub path: PathBuf,
    /// Its contents.
    #[serde(skip)]
    pub(crate) content: Content,
    /// Where a dry run built it.
    #[serde(skip)]
    aside: Option<Arc<TemporaryFolder>>,
}

impl BuildReport {
    /// The path of the wheel while this report exists.
    pub(crate) fn built(&self) -> PathBuf {
        let folder = self.aside.as_ref().map(|aside| aside.path());
        folder.map_or_else(
            || self.path.clone(),
            |folder| folder.join(self.path.file_name().unwrap_or_default()),
        )
    }
}

impl Opened {
    pub(crate) fn build(&self, asset: &str, dry_run: bool) -> Result<BuildReport> {
        let held = self.hold()?;
        let output = held.output_to_change(asset)?;
        let tracked = held.tracked_of_output(&output)?;
        held.refuse_stale(&output, &tracked)?;
        held.build_tracked(&output, &tracked, BTreeMap::new(), dry_run)
    }

    /// Build the wheel of an output that tracks this. Files are packaged as they are `planned`: with the version that a publish is
    /// about to write, and, in a dry run, with pointers. It builds aside, so it tells the very digest that the run would.
    pub(crate) fn build_tracked(
        &self,
        output: &Output,
        tracked: &Tracked,
        planned: BTreeMap<PathBuf, Vec<u8>>,
        dry_run: bool,
    ) -> Result<BuildReport> {
        let metadata = &output.project.metadata;
        let folder = self
            .build_dir()
            .join(output.project.root.file_name().unwrap_or_default());
        // First: a refused file is not read.
        self.check_untracked(output, tracked, &outs_of(output, tracked)?)?;
        let (provenance, content) = self.provenance(output, tracked)?;
        let mut report = BuildReport {
            asset: output.name.clone(),
            package: output.package(),
            version: metadata.version.clone(),
            wheel: String::new(),
            sha256: None,
            size: 0,
            files: 0,
            outs: provenance.outs.clone(),
            dry_run,
            content,
            aside: None,
            path: folder
                .join(backlot_wheel::WheelName::pure(&output.package(), &metadata.version).to_string()),
        };
        report.wheel = self.display_path(&report.path);
        let aside = if dry_run {
            Some(TemporaryFolder::in_folder(&self.state_dir())?)
        } else {
            None
        };
        let folder = aside.as_ref().map_or(folder.as_path(), TemporaryFolder::path);
        let paths: Vec<RelPath> = provenance.outs.iter().map(|o| o.path.clone()).collect();
        let exclude = |path: &RelPath| paths.iter().any(|out| path.is_within(out));
        let mut extra = BTreeMap::new();
        let mut record = serde_json::to_vec_pretty(&provenance).expect("provenance is plain data");
        record.push(b'\n');
        extra.insert(PROVENANCE_FILE.to_owned(), record);
        let project = output.project.root.join("pyproject.toml");
        let project = match planned.get(&project) {
            Some(planned) => planned.clone(),
            None => fs_err::read(project)?,
        };
        extra.insert(PROJECT_FILE.to_owned(), project);
        fs_err::create_dir_all(folder)?;
        let options = BuildOptions {
            output: folder,
            exclude: &exclude,
            whole: false,
            extra_dist_info: extra,
            planned,
            generator: TOOL,
        };
        self.warn_of_own_scripts(output);
        let built = backlot_wheel::build(&output.project, &options, self.context())?;
        (report.sha256, report.size, report.files) = (Some(built.sha256), built.size, built.files);
        report.aside = aside.map(Arc::new);
        Ok(report)
    }

    /// Tell of scripts that no installer can make, or that call a module which the project should have and has not.
    fn warn_of_own_scripts(&self, output: &Output) {
        let project = &output.project;
        let folders = project.import_folders();
        let has = |module: &str| {
            let top = module.split('.').next().unwrap_or(module);
            let is_own = project.module_roots.iter().any(|root| {
                let first = root.target.parts().next().unwrap_or_default();
                first.strip_suffix(".py").unwrap_or(first) == top
            });
            !is_own
                || folders
                    .iter()
                    .any(|folder| backlot_wheel::has_module(folder, module))
        };
        for script in backlot_wheel::broken_scripts(&project.entry_points, &has) {
            let message = format!("the script `{}` is unusable: {}", script.name, script.reason);
            self.context().warn("build::broken_script", message);
        }
    }
}
