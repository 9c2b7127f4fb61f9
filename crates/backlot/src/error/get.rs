//! Errors of fetching an asset in one step.

use std::path::PathBuf;

use backlot_core::Class;

/// An asset that cannot be fetched in one step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// A folder with files that is not a workspace.
    #[error("`{}` is not a workspace and not empty", root.display())]
    NotEmpty {
        /// The folder.
        root: PathBuf,
    },
    /// No repo is configured, and none was given.
    #[error("getting an asset needs a repo, and the workspace has none")]
    NoFrom,
    /// No repo to run releases from: no workspace, none in the user's configuration, and none was given.
    #[error("running a release needs a repo, and neither a workspace here nor `{}` has one", user_config.display())]
    NoKnownRepo {
        /// The user's file.
        user_config: PathBuf,
    },
    /// No repo at the given location.
    #[error("no repo at `{place}`")]
    NoRepo {
        /// Where it was looked for.
        place: String,
    },
    /// Files are to be pulled, no remote is known here, and a release says where its files are.
    #[error(
        "pulling files needs a remote, and the workspace has none; the files of {release} are recorded on `{remote}`: {url}"
    )]
    RemoteNotAdded {
        /// The release.
        release: String,
        /// The name of the remote where it was published.
        remote: String,
        /// Its folder or URL.
        url: String,
        /// The command that adds it.
        command: String,
    },
    /// No remote at the given location.
    #[error("no remote at `{place}`")]
    NoRemote {
        /// Where it was looked for.
        place: String,
    },
}

backlot_core::coded! {
    GetError {
        Self::NotEmpty { .. } => "get::not_empty", Class::Conflict,
            "run `init` to make it a workspace, or run `get` in an empty folder";
        Self::NoFrom => "get::no_from", Class::Config,
            "specify one with `--from PLACE`: a folder or a URL";
        Self::NoKnownRepo { user_config } => "get::no_known_repo", Class::Config,
            format!("specify one with `--from PLACE`, or add `[repos.NAME]` with a `path` or `url` to `{}`", user_config.display());
        Self::NoRepo { .. } => "get::no_repo", Class::NotFound,
            "check the path after `--from`, and that the disk is mounted; `repo add NAME PLACE` creates a new repo";
        Self::RemoteNotAdded { command, .. } => "get::remote_not_added", Class::Config,
            format!("if you trust this location, add it, then pull again: `{command}`");
        Self::NoRemote { .. } => "get::no_remote", Class::NotFound,
            "check the path after `--remote`, and that the disk is mounted; `remote add NAME PLACE` creates a new remote";
    }
}
