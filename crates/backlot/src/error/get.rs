//! What can go wrong when an asset is fetched in one step.

use std::path::PathBuf;

use backlot_core::Class;

/// An asset that cannot be fetched in one step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// A folder with files that is not a workspace.
    #[error("`{}` is not a workspace, and there are files in it", root.display())]
    NotEmpty {
        /// The folder.
        root: PathBuf,
    },
    /// There is no repo to fetch from, and none was named.
    #[error("getting an asset needs a repo, and the workspace has none")]
    NoFrom,
    /// There is no repo at the place to fetch from.
    #[error("there is no repo at `{place}`")]
    NoRepo {
        /// Where it was looked for.
        place: String,
    },
    /// There is no remote at the place to pull from.
    #[error("there is no remote at `{place}`")]
    NoRemote {
        /// Where it was looked for.
        place: String,
    },
}

backlot_core::coded! {
    GetError {
        Self::NotEmpty { .. } => "get::not_empty", Class::Conflict,
            "run `init` to make it a workspace, or `get` in an empty folder";
        Self::NoFrom => "get::no_from", Class::Config,
            "name one with `--from PLACE`: a folder or a URL";
        Self::NoRepo { .. } => "get::no_repo", Class::NotFound,
            "check the path after `--from`, and that the disk is mounted; `repo add NAME PLACE` makes a new repo";
        Self::NoRemote { .. } => "get::no_remote", Class::NotFound,
            "check the path after `--remote`, and that the disk is mounted; `remote add NAME PLACE` makes a new remote";
    }
}
