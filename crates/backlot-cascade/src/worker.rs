//! What a run asks of the world: an index of releases, and workers that build.
//!
//! Invariant: every call can be made twice with the same effect, as a run that continues makes those again that it cannot
//! know to have happened. Deliberately absent: what is behind the traits. A farm's job and a thread of this process run the
//! same [`NodeTask`](crate::NodeTask) over them.

use std::fmt;
use std::sync::Arc;

use backlot_core::{Cancelled, Context, Sha256};
use backlot_pep::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::asset::Asset;
use crate::error::Cause;
use crate::failure::{Failure, FailureKind};
use crate::judge::Withdrawal;
use crate::node::{CascadeId, InputsDigest, NodeId, NodeKey, RepoName};
use crate::record::{Input, ReleaseRecord};

/// What is published, as it is now; never from a cache that a publish of this machine may have outdated.
pub trait Index: Send + Sync + fmt::Debug {
    /// An asset with all its releases, yanked ones included.
    fn asset(&self, node: &NodeId) -> Result<Option<Arc<Asset>>, Cause>;
    /// A release of a package that was built with a key and not yanked, in whatever repo, the one in `preferred` first.
    fn find_key(
        &self,
        package: &PackageName,
        key: NodeKey,
        preferred: &RepoName,
    ) -> Result<Option<(NodeId, Version)>, Cause>;
    /// Record that a release is also right for other inputs. Once recorded, it stays.
    fn attest(&self, node: &NodeId, version: &Version, inputs: InputsDigest) -> Result<(), Cause>;
    /// How often builds with a key failed by their own fault, in all cascades.
    fn failures(&self, key: NodeKey) -> Result<u32, Cause>;
    /// Count one more.
    fn add_failure(&self, key: NodeKey, failure: &Failure) -> Result<(), Cause>;

    /// What became of a release that is an input.
    fn withdrawal(&self, input: &Input) -> Result<Option<Withdrawal>, Cause> {
        let asset = self.asset(&NodeId::new(&input.repo, &input.package))?;
        let release = asset
            .as_ref()
            .and_then(|asset| asset.releases.get(&input.version));
        Ok(release.and_then(Withdrawal::of))
    }
}

/// One node to build, with everything a worker needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The cascade.
    pub cascade: CascadeId,
    /// The asset.
    pub node: NodeId,
    /// Its idempotency key: names the build folder.
    pub key: NodeKey,
    /// The token of the lease: names the attempt.
    pub token: u64,
    /// The release that it starts from.
    pub base: Version,
    /// The version to release as.
    pub version: Version,
    /// What the release will say it was made of.
    pub record: ReleaseRecord,
    /// A release with the same key: its content is taken, nothing is built.
    pub copy_of: Option<(NodeId, Version)>,
}

/// What a build gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// SHA-256 of what others will read of it: manifest of its files and metadata.
    pub files: Sha256,
    /// How long it took, in milliseconds.
    pub build_ms: u64,
    /// The checks whose findings were repaired, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<String>,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The release is there.
    Released(Version),
    /// The newest release that is not yanked has this key already.
    AlreadyReleased(Version),
    /// Another release has the version.
    VersionTaken,
    /// A higher token was issued: the caller no longer holds the lease.
    Fenced,
    /// An input was yanked.
    Withdrawn {
        /// The input.
        package: PackageName,
        /// Its version.
        version: Version,
    },
}

/// Builds nodes. A worker has no state of its own between calls but the folder named by the job's key.
pub trait Worker: Send + Sync + fmt::Debug {
    /// Make what a build needs: check the machine, bring the inputs to it, make a private workspace. Files that have not
    /// arrived at this site are a failure of the environment.
    fn prepare(&self, job: &Job, context: &Context) -> Result<(), Failure>;
    /// Build, or take the content of `job.copy_of`. A complete build in the folder of the key is used again.
    fn build(&self, job: &Job, context: &Context) -> Result<Built, Failure>;
    /// Check the content, as strictly as automatic releases are.
    fn validate(&self, job: &Job, built: &Built, context: &Context) -> Result<(), Failure>;
    /// Bring the content to the remote.
    fn push(&self, job: &Job, built: &Built, context: &Context) -> Result<(), Failure>;
    /// Create the release. In one step that nothing comes between, under the lock that also a yank takes: no lease of the
    /// asset has a higher token than the job's, the newest release has another key, no input is yanked, and the version does
    /// not exist; then it is created.
    fn release(&self, job: &Job, built: &Built, context: &Context) -> Result<Committed, Failure>;
    /// The failure of an attempt that was stopped between two steps. By default one of the environment, as it is in the middle of a step.
    fn interrupted(&self, why: Cancelled) -> Failure {
        Failure::new(FailureKind::Environment, why.to_string())
    }
    /// Remove the private workspace. `keep` asks to leave it for a look, after a failure. What cannot be removed is left.
    fn discard(&self, job: &Job, keep: bool, context: &Context);
}
