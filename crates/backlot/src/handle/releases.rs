//! Releases: published, found, judged, copied, and repos looked after.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;
use backlot_repo::{Query, StatusChange};

use crate::error::{Error, Result};
use crate::handle::Workspace;
use crate::handle::options::{ChangeOptions, JudgeOptions, RepairOptions};
use crate::releases::allow::AllowReport;
use crate::releases::browse::{PackageRow, ReleaseDetail, StatusReport};
use crate::releases::copy::{CopyOptions, CopyReport};
use crate::releases::deprecate::{DeprecateOptions, DeprecateReport};
use crate::releases::diff::DiffReport;
use crate::releases::labels::{LabelOptions, LabelReport, LabelRow};
use crate::releases::log::{LogEntry, LogOptions};
use crate::releases::mirror::{MirrorOptions, MirrorReport};
use crate::releases::parts::Parts;
use crate::releases::publish::{PublishOptions, PublishReport};
use crate::releases::repair_repo::RepoRepairReport;
use crate::releases::status::JudgeReport;
use crate::workspace::call::of_asset;

impl Workspace {
    /// Put names on the list of a public repo.
    pub fn allow(
        &self,
        repo: &str,
        names: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<AllowReport> {
        self.call("allow", None, context, |workspace| {
            workspace.allow(repo, names, false, options.dry_run)
        })
    }

    /// Take names off the list of a public repo.
    pub fn disallow(
        &self,
        repo: &str,
        names: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<AllowReport> {
        self.call("disallow", None, context, |workspace| {
            workspace.allow(repo, names, true, options.dry_run)
        })
    }

    /// Packages in all repos (or one) that a query finds.
    pub fn search(&self, query: &Query, repo: Option<&str>, context: &Context) -> Result<Vec<PackageRow>> {
        self.call("search", None, context, |workspace| workspace.search(query, repo))
    }

    /// The newest release that a requirement admits, in every repo that has one.
    pub fn show(&self, what: &str, context: &Context) -> Result<Vec<ReleaseDetail>> {
        self.call("show", of_asset(what), context, |workspace| workspace.show(what))
    }

    /// The releases that satisfy a requirement, newest first, with author, reason and later status changes.
    pub fn log(&self, what: &str, options: &LogOptions, context: &Context) -> Result<Vec<LogEntry>> {
        self.call("log", of_asset(what), context, |workspace| {
            workspace.log(what, options)
        })
    }

    /// The differences from a release (`Table==1.0.0`), or the one that an output was edited from (`Table`), to the output; or between two
    /// releases.
    pub fn diff(
        &self,
        from: &str,
        to: Option<&str>,
        repo: Option<&str>,
        context: &Context,
    ) -> Result<DiffReport> {
        self.call("diff", of_asset(from), context, |workspace| {
            workspace.diff(from, to, repo)
        })
    }

    /// Files, versions and inputs at a glance.
    pub fn status(&self, context: &Context) -> Result<StatusReport> {
        self.call("status", None, context, |workspace| workspace.status())
    }

    /// Copy a release, byte for byte, from one repo to another.
    pub fn copy_release(&self, what: &str, options: &CopyOptions, context: &Context) -> Result<CopyReport> {
        self.call("copy_release", of_asset(what), context, |workspace| {
            workspace.copy_release(what, options)
        })
    }

    /// Bring the releases of one repo into another.
    pub fn mirror(&self, options: &MirrorOptions, context: &Context) -> Result<MirrorReport> {
        self.call("mirror", None, context, |workspace| workspace.mirror(options))
    }

    /// The parts of a remote of this workspace, or of the default one.
    pub fn parts(&self, remote: Option<&str>) -> Parts {
        Parts::of(&self.shared, remote)
    }

    /// Publish an output.
    pub fn publish(&self, asset: &str, options: &PublishOptions, context: &Context) -> Result<PublishReport> {
        self.call("publish", of_asset(asset), context, |workspace| {
            let published = workspace.publish(asset, options).map_err(|error| {
                if !matches!(error, Error::Repo(backlot_repo::Error::ReleaseExists { .. })) {
                    return error;
                }
                // The contents differ; why is reported where known.
                let why = workspace.other_inputs(asset, options.to.as_deref());
                why.ok().flatten().unwrap_or(error)
            });
            let mut report = published?;
            if !options.no_dirty && !report.skipped {
                let (package, version) = (&report.package, &report.version);
                report.dirtied =
                    workspace.affected_by_publish(package, version, &report.repo, options.dry_run);
            }
            Ok(report)
        })
    }

    /// Restore damaged or missing files of a repo, from another one, or from any repo of this workspace that has them.
    pub fn repair_repo(
        &self,
        name: &str,
        options: &RepairOptions,
        context: &Context,
    ) -> Result<RepoRepairReport> {
        self.call("repair_repo", None, context, |workspace| {
            workspace.repair_repo(name, options.from.as_deref(), options.dry_run)
        })
    }

    /// Say something of one release (`Table==1.0.0`), in the one repo that has it or the one that is named.
    pub fn set_status(
        &self,
        what: &str,
        verdict: StatusChange,
        reason: &str,
        options: &JudgeOptions,
        context: &Context,
    ) -> Result<JudgeReport> {
        self.call("set_status", of_asset(what), context, |workspace| {
            let repo = options.repo.as_deref();
            workspace.set_status(what, repo, verdict, reason, options.dry_run)
        })
    }

    /// Deprecate all releases of an asset below a version, or those that nothing was built with for some time. A dry run lists the same.
    pub fn deprecate(
        &self,
        options: &DeprecateOptions,
        reason: Option<&str>,
        context: &Context,
    ) -> Result<DeprecateReport> {
        let asset = options.asset.as_deref().map(of_asset);
        self.call("deprecate", asset, context, |workspace| {
            workspace.deprecate(options, reason)
        })
    }

    /// The labels of an asset, in one repo or in all, with the releases that they are at.
    pub fn labels(&self, asset: &str, repo: Option<&str>, context: &Context) -> Result<Vec<LabelRow>> {
        self.call("labels", of_asset(asset), context, |workspace| {
            workspace.labels(asset, repo)
        })
    }

    /// Move a label to a release, given as `Table==1.0.0`. Inputs that follow it get that release with the next update.
    pub fn set_label(
        &self,
        release: &str,
        label: &str,
        options: &LabelOptions,
        context: &Context,
    ) -> Result<LabelReport> {
        self.call("set_label", of_asset(release), context, |workspace| {
            workspace.set_label(release, label, options)
        })
    }

    /// Remove a label of an asset.
    pub fn remove_label(
        &self,
        asset: &str,
        label: &str,
        options: &LabelOptions,
        context: &Context,
    ) -> Result<LabelReport> {
        self.call("remove_label", of_asset(asset), context, |workspace| {
            workspace.remove_label(asset, label, options)
        })
    }
}
