//! The machine's cache of file content.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;

use crate::error::Result;
use crate::handle::Workspace;
use crate::workspace::local_cache::{CacheStatus, CleanOptions, CleanReport, GcReport};

impl Workspace {
    /// Remove from the cache what no workspace needs, what was not used for the longest time first.
    pub fn clean_cache(&self, options: &CleanOptions, context: &Context) -> Result<CleanReport> {
        self.call("clean_cache", None, context, |workspace| {
            workspace.clean_cache(options)
        })
    }

    /// What nothing in any workspace of this cache names. Workspaces that are gone from disk do not count.
    pub fn plan_gc(&self, context: &Context) -> Result<GcReport> {
        self.call("plan_gc", None, context, |workspace| workspace.plan_gc())
    }

    /// What is in the cache, by kind, and which workspaces use it.
    pub fn cache_status(&self, context: &Context) -> Result<CacheStatus> {
        self.call("cache_status", None, context, |workspace| {
            workspace.cache_status()
        })
    }
}
