//! Errors of pushing a part.

use std::path::PathBuf;

use backlot_core::{Class, RelPath};

/// Errors of pushing a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// Neither a remote nor a workspace.
    #[error("no remote was given, and `{}` is not in a workspace", start.display())]
    NoRemote {
        /// Where a workspace was looked for.
        start: PathBuf,
    },
    /// A place without a remote.
    #[error("no remote at `{place}`")]
    RemoteNotThere {
        /// The place.
        place: String,
    },
    /// Two files of one name.
    #[error("`{}` and `{}` would both be `{path}`", files[0].display(), files[1].display())]
    SameName {
        /// The name.
        path: RelPath,
        /// The files.
        files: Box<[PathBuf; 2]>,
    },
    /// A folder that an asset cannot track.
    #[error("`{}` cannot be tracked as a folder of an asset: {reason}", folder.escape_debug())]
    BadFolder {
        /// The folder.
        folder: String,
        /// Why.
        reason: String,
    },
    /// A text that cannot be the name of a part.
    #[error("invalid part name `{}`", name.escape_debug())]
    BadName {
        /// The text.
        name: String,
    },
    /// Folders without files.
    #[error("nothing to push: no files found")]
    NoFiles,
}

backlot_core::coded! {
    PartError {
        Self::NoRemote { .. } => "parts::no_remote", Class::Config,
            "specify it with `--remote PLACE` or the environment variable BACKLOT_PART_REMOTE";
        Self::RemoteNotThere { .. } => "parts::remote_not_there", Class::Environment,
            "check that its disk is mounted; to create a new remote, use `remote add` in a workspace";
        Self::SameName { .. } => "parts::same_name", {
                Class::User
            },
            "give the folder that contains them, or push them with different `--as`";
        Self::BadFolder { .. } => "parts::bad_folder", {
                Class::User
            },
            "give its path in the asset's module with `--as`, as in `--as frames` or `--as plates/bg`; drop a part of another folder with `part drop --job ID --part NAME`";
        Self::BadName { .. } => "parts::bad_name", {
                Class::User
            },
            "copy it from `part list`: 32 hexadecimal digits";
        Self::NoFiles => "parts::no_files", {
                Class::User
            },
            "check the names of the files";
    }
}
