//! Errors that stop a cleaning of the local cache because the needs of workspaces are unknown.

use std::path::PathBuf;

use backlot_core::Class;
use backlot_store::ObjectId;

use crate::workspace::local_cache::{CacheUser, CacheUserState};

/// A cleaning that cannot determine what is needed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The needs of workspaces cannot be determined.
    #[error("nothing is removed from `{}`: the needs of workspaces that use it cannot be determined: {}", .cache.display(), listed(.workspaces))]
    UnknownNeeds {
        /// The cache.
        cache: PathBuf,
        /// The workspaces.
        workspaces: Vec<CacheUser>,
    },
    /// The manifest of a folder of an output is missing, so the files of the folder are unknown.
    #[error("nothing is removed: the manifest {manifest} of `{asset}` in `{}` is neither in the cache nor on the default remote", .workspace.display())]
    UnknownManifest {
        /// The workspace.
        workspace: PathBuf,
        /// The output.
        asset: String,
        /// The manifest.
        manifest: ObjectId,
    },
    /// A workspace that is to be forgotten is not remembered.
    #[error("`{}` has no record of a workspace `{}`", .cache.display(), .workspace.display())]
    UnknownWorkspace {
        /// The cache.
        cache: PathBuf,
        /// The workspace.
        workspace: PathBuf,
    },
}

fn listed(workspaces: &[CacheUser]) -> String {
    let one = |user: &CacheUser| {
        let why = match user.state {
            CacheUserState::Unreadable => "cannot be read by this user",
            CacheUserState::Damaged => "is a damaged record, which names no workspace",
            _ => "is not there",
        };
        format!("`{}` {why}", user.path.display())
    };
    workspaces.iter().map(one).collect::<Vec<_>>().join(", ")
}

backlot_core::coded! {
    CacheError {
        Self::UnknownNeeds { workspaces, .. } => "cache::unknown_needs", Class::Environment,
            {
        let is_missing = |user: &&CacheUser| user.state == CacheUserState::Missing;
        if workspaces.iter().all(|user| is_missing(&user)) {
            "mount the disk they are on; if they were deleted or moved, run `cache clean --forget-missing`"
                .to_owned()
        } else if let Some(user) = workspaces
            .iter()
            .find(|user| user.state == CacheUserState::Damaged)
        {
            format!(
                "run any command, such as `install`, in the workspace it belongs to, which rewrites it; or run `cache clean --forget {}`",
                user.path.display()
            )
                } else {
                    let path = workspaces.iter().find(|user| !is_missing(user));
                    let path = path.map_or_else(String::new, |user| user.path.display().to_string());
                    format!(
                        "ask the owner of the workspace to clean the cache; to ignore the needs of that workspace, run `cache clean --forget {path}`"
                    )
                }
            };
        Self::UnknownManifest { workspace, asset, .. } => "cache::unknown_manifest", Class::Integrity,
            format!(
                "in the workspace {}, `add` the files of `{asset}` again, or pull them; to ignore the needs of that workspace, run `cache clean --forget {}`",
                workspace.display(),
                workspace.display()
            );
        Self::UnknownWorkspace { .. } => "cache::unknown_workspace", Class::NotFound,
            "`cache status` lists the workspaces that use it";
    }
}
