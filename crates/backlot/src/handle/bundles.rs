//! Bundles: releases with all they need, for a site without a network.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use std::path::Path;

use backlot_core::Context;

use crate::bundle::{BundleOptions, BundleReport, UnbundleOptions, UnbundleReport};
use crate::error::Result;
use crate::handle::Workspace;
use crate::workspace::call::{of_one_asset, of_path};

impl Workspace {
    /// Pack releases with all their requirements into a folder or file that runs without Backlot; without requirements, those in the lock of
    /// this workspace has. Changes nothing in the workspace.
    pub fn bundle(
        &self,
        requirements: &[String],
        options: &BundleOptions,
        context: &Context,
    ) -> Result<BundleReport> {
        self.call("bundle", of_one_asset(requirements), context, |workspace| {
            workspace.bundle(requirements, options)
        })
    }

    /// Import a bundle: into a repo or a remote, or else into this workspace, whose `inputs` is then installed from the bundle.
    pub fn unbundle(
        &self,
        bundle: &Path,
        options: &UnbundleOptions,
        context: &Context,
    ) -> Result<UnbundleReport> {
        self.call("unbundle", of_path(bundle), context, |workspace| {
            workspace.unbundle(bundle, options)
        })
    }
}
