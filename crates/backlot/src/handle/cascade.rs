//! Cascades: who uses an asset, and what a publish affects.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_cascade::DirtyReport;
use backlot_core::Context;

use crate::cascade::dependents::DependentsReport;
use crate::error::Result;
use crate::handle::Workspace;

impl Workspace {
    /// Who requires an asset, over all repos of the studio or one, up to a depth; without one, however far.
    pub fn dependents(
        &self,
        name: &str,
        depth: Option<u32>,
        repo: Option<&str>,
        context: &Context,
    ) -> Result<DependentsReport> {
        self.now(context)?.dependents(name, depth, repo)
    }

    /// What is affected by a release, which may not exist yet (`Table==1.5.0`), or everything that is not current; in all repos of the studio, or one.
    pub fn dirty(&self, what: Option<&str>, repo: Option<&str>, context: &Context) -> Result<DirtyReport> {
        self.now(context)?.affected(what, repo)
    }
}
