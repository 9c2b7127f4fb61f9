//! The repos and remotes of a workspace.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;
use backlot_repo::ReindexReport;

use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::ChangeOptions;
use crate::workspace::call::of_address;
use crate::workspace::places::{AddRemote, AddRepo, RemoteStatus, RepoStatus};

impl Workspace {
    /// Add a folder, an index or a store as a repo; the pages of an index are looked up at the URL and below it. The name `blessed` becomes
    /// the preferred source and `review` the publish target unless others are; the first of all becomes both.
    pub fn add_repo(
        &self,
        name: &str,
        place: &str,
        options: &AddRepo,
        context: &Context,
    ) -> Result<RepoStatus> {
        self.call("add_repo", of_address(place), context, |workspace| {
            workspace.add_repo(name, place, options)
        })
    }

    /// Make the index of a repo in a folder or store again from its releases, for instance after wheels were laid there by
    /// hand or its pages were lost.
    pub fn reindex_repo(
        &self,
        name: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ReindexReport> {
        self.call("reindex_repo", None, context, |workspace| {
            if !options.dry_run {
                // A repo that keeps no cascades has none to close.
                workspace.tell_open_cascades(name).ok();
            }
            workspace.reindex_repo(name, options.dry_run)
        })
    }

    /// Remove a repo from the workspace; its content is kept.
    pub fn remove_repo(&self, name: &str, options: &ChangeOptions, context: &Context) -> Result<RepoStatus> {
        self.call("remove_repo", None, context, |workspace| {
            workspace.remove_repo(name, options.dry_run)
        })
    }

    /// The repos in order of preference.
    pub fn list_repos(&self, context: &Context) -> Result<Vec<RepoStatus>> {
        self.call(
            "list_repos",
            None,
            context,
            |workspace| Ok(workspace.list_repos()),
        )
    }

    /// Name a place as a remote; the first one becomes the default. Without a layout, it is the one that the place has
    /// already, else chunked.
    pub fn add_remote(
        &self,
        name: &str,
        url: &str,
        options: &AddRemote,
        context: &Context,
    ) -> Result<RemoteStatus> {
        self.call("add_remote", of_address(url), context, |workspace| {
            workspace.add_remote(name, url, options)
        })
    }

    /// Remove a remote from the workspace; its content is kept.
    pub fn remove_remote(
        &self,
        name: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<RemoteStatus> {
        self.call("remove_remote", None, context, |workspace| {
            workspace.remove_remote(name, options.dry_run)
        })
    }

    /// Choose the remote that push and pull use.
    pub fn default_remote(
        &self,
        name: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<RemoteStatus> {
        self.call("default_remote", None, context, |workspace| {
            workspace.default_remote(name, options.dry_run)
        })
    }

    /// The remotes.
    pub fn list_remotes(&self, context: &Context) -> Result<Vec<RemoteStatus>> {
        self.call("list_remotes", None, context, |workspace| {
            Ok(workspace.list_remotes())
        })
    }
}
