//! Publishing: record what changed, push the files, build the wheel, create the release. In this order.
//!
//! Invariants: a release is created last, by one exclusive create, when its files are on the remote already; a version
//! that exists is a conflict, whoever was first. A kill anywhere leaves no release or a whole one.

use backlot_core::{PackageName, Version};
use backlot_dvc::OutState;
use backlot_repo::Publication;
use serde::Serialize;

use crate::build::{BuildReport, TOOL};
use crate::error::{Result, WorkspaceError};
use crate::files::MoveReport;
use crate::outputs::Output;
use crate::workspace::Workspace;

/// How to publish.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// The repo, instead of the workspace's target.
    pub to: Option<String>,
    /// The remote for the files, instead of the default one.
    pub remote: Option<String>,
    /// Why, for the record.
    pub message: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// A published release.
#[derive(Clone, Debug, Serialize)]
pub struct PublishReport {
    /// The asset.
    pub asset: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The repo.
    pub repo: String,
    /// Tracked paths whose changes were recorded first.
    pub added: Vec<String>,
    /// What was pushed.
    pub files: MoveReport,
    /// The wheel.
    pub wheel: BuildReport,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A release copied from one repo to another.
#[derive(Clone, Debug, Serialize)]
pub struct CopyReport {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The repo it came from.
    pub from: String,
    /// The repo it went to.
    pub to: String,
    /// The wheel's file name.
    pub wheel: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Workspace {
    /// Publish an output.
    pub fn publish(&self, output: &Output, options: &PublishOptions) -> Result<PublishReport> {
        let _lock = self.lock()?;
        let entry = self.publish_target(options.to.as_deref())?.clone();
        let repo = self.open_repo(&entry)?;
        let version = output.project.metadata.version.clone();
        // Cheap and early; the exclusive create at the end is what decides.
        repo.check_free(&output.package(), &version)?;
        let added = self.record_changes(output, options.dry_run)?;
        let tracked = self.tracked_of_output(output)?;
        let files = if options.dry_run && !added.is_empty() {
            MoveReport { dry_run: true, ..MoveReport::default() }
        } else {
            self.push_tracked(&[tracked], options.remote.as_deref(), options.dry_run)?
        };
        let tracked = self.tracked_of_output(output)?;
        let wheel = self.build_tracked(output, &tracked, options.dry_run)?;
        if !options.dry_run {
            self.context().check()?;
            repo.publish(&wheel.path, &self.publication(options.message.as_deref()), self.context())?;
        }
        Ok(PublishReport {
            asset: output.name.clone(),
            package: output.package(),
            version,
            repo: entry.name,
            added,
            files,
            wheel,
            dry_run: options.dry_run,
        })
    }

    /// Add what changed in tracked files since they were last added. Returns the paths.
    fn record_changes(&self, output: &Output, dry_run: bool) -> Result<Vec<String>> {
        let tracked = self.tracked_of_output(output)?;
        let mut changed = Vec::new();
        let mut missing = Vec::new();
        for state in self.out_states(&tracked)? {
            match state {
                OutState { path, change: backlot_dvc::Change::Missing, .. } => missing.push(self.display_path(&path)),
                OutState { path, change: backlot_dvc::Change::Modified { .. } | backlot_dvc::Change::NotInCache, .. } => {
                    changed.push(path);
                }
                _ => {}
            }
        }
        if !missing.is_empty() {
            return Err(WorkspaceError::MissingFiles { asset: output.name.clone(), missing }.into());
        }
        if !dry_run && !changed.is_empty() {
            self.add_in_place(output, &changed, false)?;
        }
        Ok(changed.iter().map(|p| self.display_path(p)).collect())
    }

    fn publication(&self, message: Option<&str>) -> Publication {
        Publication {
            author: self.settings().author.value.clone(),
            machine: self.host().machine.clone(),
            reason: message.unwrap_or("manual").to_owned(),
            tool: TOOL.to_owned(),
        }
    }

    /// Copy a release, byte for byte, from one repo to another (a promotion from review to blessed).
    pub fn copy_release(&self, what: &str, from: &str, to: &str, message: Option<&str>, dry_run: bool) -> Result<CopyReport> {
        let requirement = self.parse_requirement(what)?;
        let source = self.open_repo(self.repo_entry(from)?)?;
        let target = self.open_repo(self.repo_entry(to)?)?;
        let mut releases = source.releases(requirement.name())?;
        releases.retain(|r| requirement.specifiers().contains(&r.version));
        releases.sort_by(|a, b| a.version.cmp(&b.version));
        let Some(release) = releases.pop() else {
            let what = format!("`{requirement}` (looked in `{from}`)");
            return Err(WorkspaceError::NoSuchRelease { what, nearest: None }.into());
        };
        target.check_free(requirement.name(), &release.version)?;
        if !dry_run {
            let stage = backlot_core::file::temporary_in(&self.state_dir());
            fs_err::create_dir_all(&stage)?;
            let local = stage.join(release.file_name());
            let message = message.map_or_else(|| format!("copied from {from}"), ToOwned::to_owned);
            let done = source
                .fetch(&release, None, &local, self.context())
                .and_then(|()| target.publish(&local, &self.publication(Some(&message)), self.context()));
            backlot_core::file::remove(&stage)?;
            done?;
        }
        Ok(CopyReport {
            package: requirement.name().clone(),
            version: release.version.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
            wheel: release.file_name(),
            dry_run,
        })
    }
}
