//! Interpreters and conda packages.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;

use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::ChangeOptions;
use crate::toolchain::external::{ChannelStatus, ExternalReport, ExternalStatus};
use crate::toolchain::python::PythonReport;
use crate::workspace::call::of_address;

impl Workspace {
    /// The channels, in order of preference.
    pub fn list_channels(&self, context: &Context) -> Result<Vec<ChannelStatus>> {
        self.call("list_channels", None, context, |workspace| {
            Ok(workspace.list_channels())
        })
    }

    /// Name a channel, last in preference. From then on only the workspace's own channels count, not the user's.
    pub fn add_channel(
        &self,
        channel: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ChannelStatus> {
        self.call("add_channel", of_address(channel), context, |workspace| {
            workspace.add_channel(channel, options.dry_run)
        })
    }

    /// Remove a channel of the workspace; packages installed from it remain.
    pub fn remove_channel(
        &self,
        channel: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ChannelStatus> {
        self.call("remove_channel", of_address(channel), context, |workspace| {
            workspace.remove_channel(channel, options.dry_run)
        })
    }

    /// The required packages, and the installed ones.
    pub fn external(&self, context: &Context) -> Result<ExternalStatus> {
        self.call("external", None, context, |workspace| workspace.external())
    }

    /// Add requirements for conda packages; a requirement for the same package is replaced.
    pub fn add_external(
        &self,
        specs: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ExternalReport> {
        self.call("add_external", None, context, |workspace| {
            workspace.add_external(specs, options.dry_run)
        })
    }

    /// Stop asking for conda packages; what nothing else needs leaves the prefix.
    pub fn remove_external(
        &self,
        names: &[String],
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<ExternalReport> {
        self.call("remove_external", None, context, |workspace| {
            workspace.remove_external(names, options.dry_run)
        })
    }

    /// Install the newest interpreter of a version from this workspace's channels, for all workspaces of the user.
    pub fn install_python(
        &self,
        version: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<PythonReport> {
        self.call("install_python", None, context, |workspace| {
            workspace.install_python(version, options.dry_run)
        })
    }
}
