//! What can go wrong with tracked files.
//!
//! Invariant: an error names the file, and inside it the key or path, that it is about.

use std::path::PathBuf;

use backlot_core::{Cancelled, Class, FileError, text};

/// Result of an operation on tracked files.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on tracked files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Cache, remote or state.
    #[error(transparent)]
    Store(#[from] backlot_store::Error),
    /// Parts of a job that make no release.
    #[error(transparent)]
    Parts(#[from] crate::parts::PartsError),
    /// A defect of a pipeline.
    #[error(transparent)]
    Pipeline(#[from] crate::pipeline::PipelineError),
    /// Another run in the same project.
    #[error(transparent)]
    Busy(backlot_core::lock::LockError),
    /// A pointer with a key that DVC does not know.
    #[error("`{}` has the unknown key `{key}`", pointer.display())]
    UnknownKey {
        /// The pointer file.
        pointer: PathBuf,
        /// The key and where it is.
        key: String,
    },
    /// A pointer that cannot be read.
    #[error("`{}` is not a valid pointer: {reason}", pointer.display())]
    BadPointer {
        /// The pointer file.
        pointer: PathBuf,
        /// Why.
        reason: String,
    },
    /// A pointer to a place it may not point to.
    #[error("`{}` has the path `{}`, which {reason}", pointer.display(), path.escape_debug())]
    HostilePointer {
        /// The pointer file.
        pointer: PathBuf,
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pointer of DVC 2.
    #[error("`{}` was written by DVC 2, which hashed `{out}` differently", pointer.display())]
    LegacyPointer {
        /// The pointer file.
        pointer: PathBuf,
        /// The out.
        out: String,
    },
    /// Something in a tracked folder that cannot be tracked.
    #[error("`{}` cannot be tracked: it is {what}", path.display())]
    Untrackable {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A path that is not inside the asset's folder.
    #[error("`{}` is not inside `{}`", path.display(), root.display())]
    Outside {
        /// The path.
        path: PathBuf,
        /// The folder.
        root: PathBuf,
    },
    /// A path that does not exist.
    #[error("`{}` does not exist", path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// A path that `.dvcignore` excludes.
    #[error("`{}` is excluded by a .dvcignore file", path.display())]
    Ignored {
        /// The path.
        path: PathBuf,
    },
    /// An ignore file that cannot be read.
    #[error("invalid pattern in `{}`: {reason}", path.display())]
    BadIgnore {
        /// The ignore file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// Two tracked paths of which one contains the other.
    #[error("`{}` overlaps with `{}`, which is tracked by `{}`", path.display(), tracked.display(), pointer.display())]
    Overlap {
        /// The path.
        path: PathBuf,
        /// The tracked path.
        tracked: PathBuf,
        /// Its pointer.
        pointer: PathBuf,
    },
    /// A path whose content is imported from elsewhere.
    #[error("`{}` is imported from elsewhere by `{}`", path.display(), pointer.display())]
    Imported {
        /// The path.
        path: PathBuf,
        /// Its pointer.
        pointer: PathBuf,
    },
    /// A path that a stage of a pipeline makes.
    #[error("`{}` is an output of the stage `{stage}` (`{}`)", path.display(), lock.display())]
    MadeByStage {
        /// The path.
        path: PathBuf,
        /// The stage.
        stage: String,
        /// The lock that has it.
        lock: PathBuf,
    },
    /// Content that is not in the cache.
    #[error("the content of {} is not in the cache: `{}`{}", text::count(*count, "file"), path.display(), if *count > 1 { ", ..." } else { "" })]
    NotInCache {
        /// The first file.
        path: PathBuf,
        /// How many files.
        count: u64,
    },
    /// Unchanged files that are neither here nor on the remote.
    #[error("{} {} neither in the cache nor {}: {}", text::count(*count, "unchanged file"), if *count == 1 { "is" } else { "are" }, match remote { Some(place) => format!("in {place}"), None => "on a remote, as none is configured".to_owned() }, some_paths(paths))]
    NotOnRemote {
        /// The files.
        paths: Vec<PathBuf>,
        /// How many.
        count: u64,
        /// The remote that was asked, if there is one.
        remote: Option<String>,
    },
    /// A folder whose list of files is nowhere.
    #[error("cannot determine the previous files of `{}`: its manifest {manifest} is not in the cache", path.display())]
    NoManifest {
        /// The folder.
        path: PathBuf,
        /// The object.
        manifest: String,
    },
    /// A path to be removed that is not a file of a tracked folder.
    #[error("`{}` is not a file of a tracked folder", path.display())]
    NotAMember {
        /// The path.
        path: PathBuf,
    },
    /// A path to be removed that is there.
    #[error("`{}` cannot be removed from its tracked folder while it is there", path.display())]
    StillThere {
        /// The path.
        path: PathBuf,
    },
    /// Content that is not what was published.
    #[error("the content of `{}` does not match its pointer", path.display())]
    ProofFailed {
        /// The out.
        path: PathBuf,
    },
    /// Two names that are one on a disk.
    #[error("`{}` and `{}` are the same name on this disk, so only one of them can exist", path.display(), other.display())]
    OneName {
        /// One.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Something that has to be moved away by a person.
    #[error("`{}` is in the way of tracked files", path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// A folder on the way to tracked files that is a link to elsewhere.
    #[error("`{}` is a symbolic link; tracked files are not written through it", path.display())]
    LinkedFolder {
        /// The link.
        path: PathBuf,
    },
    /// A configuration of DVC that cannot be read.
    #[error("`{}`, line {line}: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: &'static str,
    },
}

backlot_core::coded! {
    Error as File | Cancelled | Store | Parts | Pipeline | Busy {
        Self::UnknownKey { .. } => "dvc::unknown_key", Class::Config,
            "remove the key; DVC allows custom data only under `meta`";
        Self::BadPointer { .. } => "dvc::bad_pointer", Class::Integrity,
            "restore the file from its last good version, or remove it and add the files again";
        Self::HostilePointer { .. } => "dvc::hostile_pointer", Class::Integrity,
            "do not use these files; ask their author for files without such paths";
        Self::LegacyPointer { .. } => "dvc::legacy_pointer", Class::Config,
            "run `dvc cache migrate --dvc-files` with DVC 3 where the cache is, then retry";
        Self::Untrackable { .. } => "dvc::untrackable", Class::User,
            "remove or rename it, or put its name in .dvcignore";
        Self::Outside { .. } => "dvc::outside", Class::User,
            "move it into the asset, then add it there";
        Self::NoSuchPath { .. } => "dvc::no_such_path", Class::NotFound,
            "check the spelling; to remove a file that was never pulled from a tracked folder, use `--remove`";
        Self::Ignored { .. } => "dvc::ignored", Class::User,
            "remove the pattern from .dvcignore, or leave the file untracked";
        Self::BadIgnore { .. } => "dvc::bad_ignore", Class::Config,
            "correct the pattern";
        Self::Overlap { .. } => "dvc::overlap", Class::Conflict,
            "add the tracked path itself, or remove its pointer first";
        Self::Imported { .. } => "dvc::imported", Class::Conflict,
            "`update PATH.dvc` updates it from its source; copy it to another name to change it";
        Self::MadeByStage { .. } => "dvc::made_by_stage", Class::Conflict,
            "run `repro` to produce and record it, or remove it from the outputs of the stage to track it separately";
        Self::NotInCache { .. } => "dvc::not_in_cache", Class::NotFound,
            "run `pull` to fetch it, or `add` where the files exist";
        Self::NotOnRemote { .. } => "dvc::not_on_remote", Class::NotFound,
            "run `add` on them where they are, push them from the workspace that has them, name the remote that \
            has them with --remote, or use --remove to publish without them";
        Self::NoManifest { .. } => "dvc::no_manifest", Class::NotFound,
            "run `pull` to fetch it; if it is lost, remove the pointer and `add` the whole folder where its files exist";
        Self::NotAMember { .. } => "dvc::not_a_member", Class::NotFound,
            "check the spelling; to stop tracking a whole file or folder, remove its pointer";
        Self::StillThere { .. } => "dvc::still_there", Class::Conflict,
            "delete the file, then retry";
        Self::ProofFailed { .. } => "dvc::proof_failed", Class::Integrity,
            "do not use the files; pull again from a remote you trust, or ask who published them. Where the files are right, \
            as after `dvc add`, run `add` on them";
        Self::OneName { .. } => "dvc::one_name", Class::Conflict,
            "pull them to a disk that distinguishes such names, or have one of them renamed at the source";
        Self::InTheWay { .. } => "dvc::in_the_way", Class::Conflict,
            "move it aside, `add` it, or use `--force` to discard it";
        Self::LinkedFolder { .. } => "dvc::linked_folder", Class::Conflict,
            "replace the link with a folder";
        Self::BadConfig { .. } => "dvc::bad_config", Class::Config,
            "correct the line; the format is that of `dvc config`";
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.into())
    }
}

/// Some paths of a list, for a message.
fn some_paths(paths: &[PathBuf]) -> String {
    let shown = paths
        .iter()
        .take(crate::merge::MAX_NAMES)
        .map(|p| format!("`{}`", p.display()));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(crate::merge::MAX_NAMES);
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}
