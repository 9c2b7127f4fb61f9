//! The machine's cache of file content.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;

use crate::error::Result;
use crate::handle::Workspace;
use crate::workspace::local_cache::{CacheStatus, CleanOptions, CleanReport, GcReport};

impl Workspace {
    /// Remove cached files that no workspace needs, the least recently used first.
    pub fn clean_cache(&self, options: &CleanOptions, context: &Context) -> Result<CleanReport> {
        self.call("clean_cache", None, context, |workspace| {
            workspace.clean_cache(options)
        })
    }

    /// Cached files that no workspace of this cache refers to. Deleted workspaces do not count.
    pub fn plan_gc(&self, context: &Context) -> Result<GcReport> {
        self.call("plan_gc", None, context, |workspace| workspace.plan_gc())
    }

    /// The contents of the cache, by kind, and the workspaces that use it.
    pub fn cache_status(&self, context: &Context) -> Result<CacheStatus> {
        self.call("cache_status", None, context, |workspace| {
            workspace.cache_status()
        })
    }
}
