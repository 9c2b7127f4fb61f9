//! Files: added, pushed, pulled, verified, and remotes looked after.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::PathBuf;

use backlot_core::Context;
use backlot_store::{CollectOptions, RestoreReport};

use crate::error::Result;
use crate::files::add::{AddFiles, AddReport};
use crate::files::drops::DropOptions;
use crate::files::localize::LocalizedAsset;
use crate::files::moved::MoveReport;
use crate::files::put_back::{PutBackReport, RestoreOptions};
use crate::files::remotes::{CollectedRemote, CopyFilesReport, RepairReport};
use crate::files::set_aside::UndoReport;
use crate::files::untrack::UntrackReport;
use crate::files::usage::ReleaseUsage;
use crate::files::verify::{VerifyOptions, VerifyReport};
use crate::handle::Workspace;
use crate::handle::options::{ChangeOptions, DiscardOptions, PullOptions, PushOptions, RepairOptions};
use crate::workspace::call::{of_asset, of_one_asset, of_one_path};
use crate::workspace::config::Localize;

impl Workspace {
    /// Track files or folders: those inside an output in place, others after copying them into one. With `to_remote` they
    /// are read once and sent; for paths from outside only a pointer is written (DVC's `--to-remote`), and files of an already
    /// tracked folder are kept in addition to the given ones.
    pub fn add(&self, paths: &[PathBuf], options: &AddFiles, context: &Context) -> Result<AddReport> {
        self.call("add", of_one_path(paths), context, |workspace| {
            workspace.add(paths, options)
        })
    }

    /// Restore tracked files of outputs to the state of their pointers, or of a release. Overwritten user files are set
    /// aside; [`Self::undo_pull`] restores them. A path may be a file, a folder, or a pattern such as `frames/beauty.[1001-1010].exr`.
    pub fn restore(
        &self,
        paths: &[PathBuf],
        options: &RestoreOptions,
        context: &Context,
    ) -> Result<PutBackReport> {
        self.call("restore", of_one_path(paths), context, |workspace| {
            workspace.restore(paths, options)
        })
    }

    /// Discard local changes of tracked files: those changed, created or removed since they were added or pulled. A copy of each file is
    /// kept, and [`Self::undo_pull`] restores them. Files that were never pulled stay absent.
    pub fn discard(
        &self,
        paths: &[PathBuf],
        options: &DiscardOptions,
        context: &Context,
    ) -> Result<PutBackReport> {
        self.call("discard", of_one_path(paths), context, |workspace| {
            let frames = options.frames.as_deref();
            workspace.discard(paths, frames, options.dry_run)
        })
    }

    /// Stop tracking files or folders of outputs, without deleting them.
    pub fn untrack(
        &self,
        paths: &[PathBuf],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<UntrackReport> {
        self.call("untrack", of_one_path(paths), context, |workspace| {
            workspace.untrack(paths, options.dry_run)
        })
    }

    /// Choose when the tracked files of an input are pulled. Nothing is fetched or removed.
    pub fn localize(
        &self,
        asset: &str,
        localize: Localize,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<Vec<LocalizedAsset>> {
        self.call("localize", of_asset(asset), context, |workspace| {
            workspace.localize(asset, localize, options.dry_run)
        })
    }

    /// When the files of each input are pulled: of those with tracked files, and of those that were named.
    pub fn localized(&self, context: &Context) -> Result<Vec<LocalizedAsset>> {
        self.call("localized", None, context, |workspace| workspace.localized())
    }

    /// Bring the tracked files of outputs and inputs into the cache and into place.
    pub fn pull(&self, names: &[String], options: &PullOptions, context: &Context) -> Result<MoveReport> {
        self.call("pull", of_one_asset(names), context, |workspace| {
            let (some, remote) = (&options.some, options.remote.as_deref());
            if some.is_all() {
                return workspace.pull(names, remote, options.force, options.dry_run);
            }
            workspace.pull_some(names, some, remote, options.force, options.dry_run)
        })
    }

    /// Pull the tracked files of all inputs that are not on demand, and of nothing else. Whatever of them cannot be had is an error.
    pub fn pull_local(&self, options: &ChangeOptions, context: &Context) -> Result<MoveReport> {
        self.call("pull_local", None, context, |workspace| {
            workspace.pull_local(&[], None, options.dry_run)
        })
    }

    /// Send the tracked files of outputs to a remote.
    pub fn push(&self, names: &[String], options: &PushOptions, context: &Context) -> Result<MoveReport> {
        self.call("push", of_one_asset(names), context, |workspace| {
            let (some, remote) = (&options.some, options.remote.as_deref());
            if some.is_all() {
                return workspace.push(names, remote, options.dry_run);
            }
            workspace.push_some(names, some, remote, options.dry_run)
        })
    }

    /// Collect what neither a release of this workspace's repos nor a workspace of this cache needs.
    /// Repos that publishers recorded on the remote are read as well; `forget` drops records. Releases that `drops` admits keep their wheels
    /// and count as needing no files, which their repos then say.
    pub fn collect_remote(
        &self,
        remote: Option<&str>,
        options: &CollectOptions,
        forget: &[String],
        drops: &DropOptions,
        context: &Context,
    ) -> Result<CollectedRemote> {
        self.call("collect_remote", None, context, |workspace| {
            workspace.collect_remote(remote, options, forget, drops)
        })
    }

    /// Take back what collections condemned and did not delete yet.
    pub fn restore_remote(
        &self,
        remote: Option<&str>,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<RestoreReport> {
        self.call("restore_remote", None, context, |workspace| {
            workspace.restore_remote(remote, options.dry_run)
        })
    }

    /// Copy files between remotes of any layout: all files, or those of some releases.
    pub fn copy_files(
        &self,
        from: &str,
        to: &str,
        releases: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<CopyFilesReport> {
        self.call("copy_files", of_one_asset(releases), context, |workspace| {
            workspace.copy_files(from, to, releases, options.dry_run)
        })
    }

    /// Verify a remote and replace damaged or missing objects, from the cache or from other remotes.
    pub fn repair_remote(
        &self,
        remote: Option<&str>,
        options: &RepairOptions,
        context: &Context,
    ) -> Result<RepairReport> {
        self.call("repair_remote", None, context, |workspace| {
            workspace.repair_remote(remote, options.from.as_deref(), options.dry_run)
        })
    }

    /// Restore the files that the last `pull --force` set aside. Earlier ones follow with the next call.
    pub fn undo_pull(&self, options: &ChangeOptions, context: &Context) -> Result<UndoReport> {
        self.call("undo_pull", None, context, |workspace| {
            workspace.undo_pull(options.dry_run)
        })
    }

    /// The disk usage of releases on a remote, by package and in the order of their versions: those that some requirements
    /// (`Table==1.2.0`, `Table`) admit, or all.
    pub fn usage(
        &self,
        names: &[String],
        remote: Option<&str>,
        context: &Context,
    ) -> Result<Vec<ReleaseUsage>> {
        self.call("usage", of_one_asset(names), context, |workspace| {
            workspace.usage(names, remote)
        })
    }

    /// Verify parts of this workspace, its cache and remotes.
    pub fn verify(&self, options: &VerifyOptions, context: &Context) -> Result<VerifyReport> {
        self.call("verify", None, context, |workspace| workspace.verify(options))
    }
}
