//! What is wrong with a part that is to be pushed.

use std::path::PathBuf;

use backlot_core::{Class, RelPath};

/// What is wrong with a part that is to be pushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// Neither a remote nor a workspace.
    #[error("no remote is named, and `{}` is not in a workspace", start.display())]
    NoRemote {
        /// Where a workspace was looked for.
        start: PathBuf,
    },
    /// A place without a remote.
    #[error("there is no remote at `{place}`")]
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
    #[error("no asset can track `{}` as a folder: {reason}", folder.escape_debug())]
    BadFolder {
        /// The folder.
        folder: String,
        /// Why.
        reason: String,
    },
    /// A text that cannot be the name of a part.
    #[error("`{}` is not the name of a part", name.escape_debug())]
    BadName {
        /// The text.
        name: String,
    },
    /// Folders without files.
    #[error("there is nothing to push: no files were found")]
    NoFiles,
}

backlot_core::coded! {
    PartError {
        Self::NoRemote { .. } => "parts::no_remote", Class::Config,
            "name it with `--remote PLACE`, or in the variable BACKLOT_PART_REMOTE";
        Self::RemoteNotThere { .. } => "parts::remote_not_there", Class::Environment,
            "check that its disk is mounted; a new remote is made in a workspace, with `remote add`";
        Self::SameName { .. } => "parts::same_name", {
                Class::User
            },
            "give the folder that has them in it, or push them with different `--as`";
        Self::BadFolder { .. } => "parts::bad_folder", {
                Class::User
            },
            "name it with `--as` as it lies in the asset's module, as in `--as frames` or `--as plates/bg`; drop a part of another folder with `part drop --job ID --part NAME`";
        Self::BadName { .. } => "parts::bad_name", {
                Class::User
            },
            "take it from `part list`: 32 hexadecimal digits";
        Self::NoFiles => "parts::no_files", {
                Class::User
            },
            "check the names of the files";
    }
}
