//! Parts of jobs, which only chunked remotes have: DVC's layout has no place for them that DVC would pass over.

use backlot_core::Context;

use super::{Backend, Remote};
use crate::chunked::{
    ChunkedRemote, DroppedPart, JobId, JobParts, JobRelease, PartChoice, PartHead, PartSource, StoredPart,
};
use crate::error::{Error, Result};

impl Remote {
    fn with_parts(&self) -> Result<&ChunkedRemote> {
        match &self.backend {
            Backend::Chunked(remote) => Ok(remote),
            Backend::Folder(_) | Backend::Service(_) => Err(Error::NoParts { place: self.place() }),
        }
    }

    /// Store files, read once and without a cache, and the part that names them. The part is there when this has
    /// succeeded, and everything it names can be pulled. The remote must be there. Chunked remotes only.
    pub fn push_part(
        &self,
        head: &PartHead,
        sources: &[PartSource],
        context: &Context,
    ) -> Result<StoredPart> {
        let remote = self.with_parts()?;
        self.check_known()?;
        remote.push_part(head, sources, context)
    }

    /// The parts of a job, or of all, in the order in which they were stored. Chunked remotes only.
    pub fn job_parts(&self, job: Option<&JobId>, context: &Context) -> Result<JobParts> {
        self.with_parts()?.job_parts(job, context)
    }

    /// Drop parts of a job; what they name is left to collections. Chunked remotes only.
    pub fn drop_parts(
        &self,
        job: &JobId,
        choice: PartChoice<'_>,
        dry_run: bool,
        context: &Context,
    ) -> Result<Vec<DroppedPart>> {
        self.with_parts()?.drop_parts(job, choice, dry_run, context)
    }

    /// Note that a release was made from parts of a job. Once is enough. Chunked remotes only.
    pub fn note_job_release(&self, release: &JobRelease, context: &Context) -> Result<()> {
        self.with_parts()?.note_job_release(release, context)
    }
}
