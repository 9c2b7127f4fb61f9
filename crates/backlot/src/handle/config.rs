//! Settings, and whether all is fit to work.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;
use backlot_pep::Version;

use crate::error::Result;
use crate::handle::Workspace;
use crate::handle::options::SettingOptions;
use crate::workspace::call::of_asset;
use crate::workspace::doctor::HealthCheck;
use crate::workspace::keys::{ConfigChange, ConfigValue};
use crate::workspace::known_names::KnownNames;

impl Workspace {
    /// Check the workspace and this machine: disks, links, modes, the clock, Python, repos, remotes, credentials.
    pub fn doctor(&self, context: &Context) -> Result<Vec<HealthCheck>> {
        self.call("doctor", None, context, |workspace| workspace.doctor())
    }

    /// The settings in force, and where each is from.
    pub fn config_values(&self, context: &Context) -> Result<Vec<ConfigValue>> {
        self.call("config_values", None, context, |workspace| {
            Ok(workspace.config_values())
        })
    }

    /// One of them.
    pub fn config_get(&self, key: &str, context: &Context) -> Result<ConfigValue> {
        self.call("config_get", None, context, |workspace| workspace.config_get(key))
    }

    /// Set one in `backlot.toml`, or in the user's file; without values, drop it from there.
    pub fn config_set(
        &self,
        key: &str,
        values: Option<&[String]>,
        options: &SettingOptions,
        context: &Context,
    ) -> Result<ConfigChange> {
        self.call("config_set", None, context, |workspace| {
            workspace.config_set(key, values, options.user, options.dry_run)
        })
    }

    /// The names known to the workspace, for completions. No network is used; unreadable files are skipped.
    pub fn known_names(&self, context: &Context) -> Result<KnownNames> {
        self.call("known_names", None, context, |workspace| {
            Ok(workspace.known_names())
        })
    }

    /// The versions of an asset in repos that are folders, newest first.
    pub fn known_versions(&self, asset: &str, context: &Context) -> Result<Vec<Version>> {
        self.call("known_versions", of_asset(asset), context, |workspace| {
            Ok(workspace.known_versions(asset))
        })
    }
}
