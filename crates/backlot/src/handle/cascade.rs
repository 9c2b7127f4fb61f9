//! Cascades: the dependents of an asset, the effects of a publish, and rebuilding them.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::PathBuf;

use backlot_cascade::render::Picture;
use backlot_cascade::{CascadeId, DirtyReport, Entry, NodeId, RepoName};
use backlot_core::Context;
use backlot_pep::{PackageName, Version};

use crate::cascade::clean::{CleanCascadesOptions, CleanCascadesReport};
use crate::cascade::control::{CascadeRequest, CascadeRow, CascadeStatus, NodeExplained};
use crate::cascade::dependents::DependentsReport;
use crate::cascade::export::{CascadeExport, JobFormat};
use crate::cascade::ledger::Watch;
use crate::cascade::revert::{RevertOptions, RevertReport};
use crate::cascade::run::{AttemptOptions, CascadeOptions, CascadeReport, NodeReport};
use crate::environment::install::InstallReport;
use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::ChangeOptions;
use crate::workspace::call::of_asset;

impl Workspace {
    /// The assets that require an asset, over all repos of the studio or one, up to a depth, by default any.
    pub fn dependents(
        &self,
        name: &str,
        depth: Option<u32>,
        repo: Option<&str>,
        context: &Context,
    ) -> Result<DependentsReport> {
        self.call("dependents", of_asset(name), context, |workspace| {
            workspace.dependents(name, depth, repo)
        })
    }

    /// The assets affected by a release, which may not exist yet (`Table==1.5.0`), or all that are not current; in all repos of the studio, or one.
    pub fn dirty(&self, what: Option<&str>, repo: Option<&str>, context: &Context) -> Result<DirtyReport> {
        self.call("dirty", what.map(of_asset), context, |workspace| {
            workspace.affected(what, repo)
        })
    }

    /// Build the assets affected by a release (`Table==1.5.0`), or all that are not current: each in its own workspace, in the order in which they
    /// are built from each other. Continues an earlier run of the same. `watch` is called with each step of this process, from any
    /// thread. The failure of an asset is not an error, but in the report.
    pub fn run_cascade(
        &self,
        what: Option<&str>,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
        context: &Context,
    ) -> Result<CascadeReport> {
        self.call("run_cascade", what.map(of_asset), context, |workspace| {
            workspace.run_cascade(what, options, watch)
        })
    }

    /// The same for a release of a repo that was just published, or that a dry run would publish.
    pub fn push_release(
        &self,
        (repo, package, version): (&str, &PackageName, &Version),
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
        context: &Context,
    ) -> Result<CascadeReport> {
        self.call("push_release", None, context, |workspace| {
            let node = NodeId::new(&RepoName::new(repo), package);
            workspace.push_release(node, version, options, watch)
        })
    }

    /// Continue a cascade by its ID or a prefix, from any machine: failed assets are retried, and those they blocked follow.
    pub fn resume_cascade(
        &self,
        id: &str,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
        context: &Context,
    ) -> Result<CascadeReport> {
        self.call("resume_cascade", None, context, |workspace| {
            workspace.resume_cascade(id, options, watch)
        })
    }

    /// Build the remaining assets of a cascade that was started with [`CascadeOptions::begin_only`], as the only background process for it on this machine;
    /// [`Self::cascade_status`] reports whether it is running or was killed.
    pub fn run_in_background(
        &self,
        id: &str,
        options: &CascadeOptions,
        watch: Option<&Watch<'_>>,
        context: &Context,
    ) -> Result<CascadeReport> {
        self.call("run_in_background", None, context, |workspace| {
            workspace.run_in_background(id, options, watch)
        })
    }

    /// The file that a process prints to that runs a cascade in the background.
    pub fn background_log(&self, id: &CascadeId, context: &Context) -> Result<PathBuf> {
        self.call("background_log", None, context, |workspace| {
            workspace.background_log(id)
        })
    }

    /// One attempt at one asset of a cascade in this process alone, for schedulers.
    pub fn run_cascade_node(
        &self,
        id: &str,
        node: &str,
        options: &AttemptOptions,
        context: &Context,
    ) -> Result<NodeReport> {
        self.call("run_cascade_node", None, context, |workspace| {
            workspace.run_cascade_node(id, node, options)
        })
    }

    /// A cascade as a job of another scheduler, a step an asset: the one with an id, else what a release affects, else all that is not current. Its
    /// plan is written into the repo, where workers find it; nothing is built or submitted.
    pub fn export_cascade(
        &self,
        (id, what): (Option<&str>, Option<&str>),
        format: JobFormat,
        options: &CascadeOptions,
        context: &Context,
    ) -> Result<CascadeExport> {
        self.call("export_cascade", what.map(of_asset), context, |workspace| {
            workspace.export_cascade((id, what), format, options)
        })
    }

    /// The cascades of all repos of the studio, newest first, at most `most`.
    pub fn cascades(&self, most: usize, context: &Context) -> Result<Vec<CascadeRow>> {
        self.call("cascades", None, context, |workspace| workspace.cascades(most))
    }

    /// The state of a cascade; without an ID, of the latest.
    pub fn cascade_status(&self, id: Option<&str>, context: &Context) -> Result<CascadeStatus> {
        self.call("cascade_status", None, context, |workspace| {
            workspace.cascade_status(id)
        })
    }

    /// The graph of a cascade, with the state of each asset; without an ID, of the latest.
    pub fn cascade_picture(&self, id: Option<&str>, context: &Context) -> Result<Picture> {
        self.call("cascade_picture", None, context, |workspace| {
            workspace.cascade_picture(id)
        })
    }

    /// Report each step of a cascade, including past ones, until nothing is running and nothing can be started, or `tell` stops it.
    pub fn follow_cascade(
        &self,
        id: Option<&str>,
        tell: &mut (dyn FnMut(&Entry) -> bool + Send),
        context: &Context,
    ) -> Result<CascadeStatus> {
        self.call("follow_cascade", None, context, |workspace| {
            workspace.follow_cascade(id, tell)
        })
    }

    /// Pause or cancel a cascade, skip an asset of it, or have one tried again. Every process that runs the cascade sees it.
    pub fn ask_cascade(&self, id: &str, ask: CascadeRequest, context: &Context) -> Result<CascadeStatus> {
        self.call("ask_cascade", None, context, |workspace| {
            workspace.ask_cascade(id, ask)
        })
    }

    /// Everything known about one asset of a cascade.
    pub fn explain_cascade(&self, id: &str, node: &str, context: &Context) -> Result<NodeExplained> {
        self.call("explain_cascade", None, context, |workspace| {
            workspace.explain_cascade(id, node)
        })
    }

    /// Yank the releases of a cascade, dependents first, the root last; with `forward`, their old content is published again with
    /// higher versions before that.
    pub fn revert_cascade(
        &self,
        id: &str,
        options: &RevertOptions,
        context: &Context,
    ) -> Result<RevertReport> {
        self.call("revert_cascade", None, context, |workspace| {
            workspace.revert_cascade(id, options)
        })
    }

    /// Remove the journals of old cascades, in all repos of the studio or in one. Their releases are kept, but these cascades can no longer be listed or
    /// reverted.
    pub fn clean_cascades(
        &self,
        options: &CleanCascadesOptions,
        context: &Context,
    ) -> Result<CleanCascadesReport> {
        self.call("clean_cascades", None, context, |workspace| {
            workspace.clean_cascades(options)
        })
    }

    /// Update the inputs that the content of an output is built from, and their requirements.
    pub fn pull_inputs(
        &self,
        asset: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<InstallReport> {
        self.call("pull_inputs", of_asset(asset), context, |workspace| {
            workspace.pull_inputs(asset, options.dry_run)
        })
    }

    /// Whether an output has stages of a pipeline.
    pub fn has_stages(&self, asset: &str, context: &Context) -> Result<bool> {
        self.call("has_stages", of_asset(asset), context, |workspace| {
            workspace.output_has_stages(asset)
        })
    }
}
