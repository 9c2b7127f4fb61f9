//! Bringing results of stages from a remote.
//!
//! Deliberately absent: remotes that single outputs are pinned to; `backlot pull` asks those.

use backlot_core::Context;
use backlot_dvc::pipeline::run::Pull;
use backlot_store::{Cache, ObjectId, Remote, Transfer};

use crate::error::Result;
use crate::workspace::Opened;

/// A remote that results are pulled from.
#[derive(Debug)]
pub(crate) struct PullFrom {
    remote: Remote,
    cache: Cache,
}

impl Pull for PullFrom {
    fn pull(&self, objects: &[ObjectId], context: &Context) -> backlot_dvc::Result<()> {
        let there = self.remote.exists_many(objects, context)?;
        let wanted = objects.iter().zip(there).filter(|(_, there)| *there);
        let wanted: Vec<Transfer> = wanted.map(|(id, _)| Transfer::of(*id)).collect();
        self.remote.pull(&self.cache, &wanted, context)?;
        Ok(())
    }
}

impl Opened {
    /// A remote by its name, or the default one, to pull results from.
    pub(crate) fn pull_from(&self, remote: Option<&str>) -> Result<PullFrom> {
        let entry = self.remote_entry(remote, "pulling results of stages")?;
        Ok(PullFrom {
            remote: self.open_remote(entry)?,
            cache: self.cache()?,
        })
    }
}
