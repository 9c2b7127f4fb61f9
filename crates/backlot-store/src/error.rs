//! Errors of stored files.
//!
//! Invariant: an error names the object or file it is about. Deliberately absent: the words of the asset above it.

use std::path::PathBuf;

use backlot_core::lock::LockError;
use backlot_core::{Cancelled, Class, FileError, Md5};

use crate::object::ObjectId;

/// Result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A cache that is being cleaned.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// An object whose bytes are not what its name says.
    #[error("{} in {place} {} not match the checksum: {}", plural(objects.len(), "object"), if objects.len() == 1 { "does" } else { "do" }, some(objects))]
    Corrupt {
        /// The objects.
        objects: Vec<ObjectId>,
        /// The cache or remote.
        place: String,
    },
    /// Content with the MD5 of other content: one name for two files.
    #[error("{what} has the same MD5 {md5} as {other}, but different content")]
    SameMd5 {
        /// The content to store.
        what: String,
        /// The name that both would have.
        md5: Md5,
        /// The existing content of that name.
        other: String,
    },
    /// Objects that are not there.
    #[error("{} not in {place}: {}", if objects.len() == 1 { "an object is".to_owned() } else { format!("{} objects are", objects.len()) }, some(objects))]
    Missing {
        /// The objects.
        objects: Vec<ObjectId>,
        /// The cache or remote.
        place: String,
    },
    /// A file modified while it was read.
    #[error("`{}` changed while it was read", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// A file in the way that exists nowhere else.
    #[error("`{}` would be overwritten and its content is not stored anywhere{}", path.display(), if *others == 0 { String::new() } else { format!(" (and {others} more)") })]
    WouldOverwrite {
        /// The first such file.
        path: PathBuf,
        /// How many more there are.
        others: usize,
    },
    /// A manifest that cannot be read.
    #[error("cannot read the manifest {manifest}: {reason}")]
    BadManifest {
        /// The object.
        manifest: String,
        /// Why.
        reason: String,
    },
    /// A manifest with a path it may not have.
    #[error("the manifest {manifest} lists the path `{}`, which {reason}", path.escape_debug())]
    HostileManifest {
        /// The object.
        manifest: String,
        /// The path.
        path: String,
        /// The reason.
        reason: &'static str,
    },
    /// Something in a folder that cannot be stored.
    #[error("cannot store `{}`: it is {what}", path.display())]
    NotStorable {
        /// The path.
        path: PathBuf,
        /// Its type.
        what: &'static str,
    },
    /// A range of a file on a remote that proves whole files only.
    #[error("{place} has DVC's layout, which can only verify whole files")]
    NoRanges {
        /// The remote.
        place: String,
    },
    /// A remote that was there before is gone, or another one is in its place.
    #[error("{place} no longer exists")]
    NotThere {
        /// The remote.
        place: String,
    },
    /// A remote address we cannot use.
    #[error("unsupported remote URL `{url}`: {reason}")]
    BadRemote {
        /// The address, without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// Something that only chunked remotes can do.
    #[error("{place} has DVC's layout, which Backlot does not collect")]
    NotChunked {
        /// The remote.
        place: String,
    },
    /// Parts of jobs on a remote that cannot have them.
    #[error("{place} has DVC's layout, which does not support parts of jobs")]
    NoParts {
        /// The remote.
        place: String,
    },
    /// A text that cannot be the ID of a job.
    #[error("invalid job ID `{}`: expected up to 100 letters, digits, `.`, `-` and `_`, starting with a letter or digit", id.escape_debug())]
    BadJobId {
        /// The given text.
        id: String,
    },
    /// A part of a job that cannot be read.
    #[error("`{object}` in {place} is not a readable part of a job: {reason}")]
    DamagedPart {
        /// The remote.
        place: String,
        /// Its key.
        object: String,
        /// The reason.
        reason: String,
    },
    /// A part with more files than one part can have.
    #[error("{} are too many for one part of a job", plural(usize::try_from(*files).unwrap_or(usize::MAX), "file"))]
    PartTooLarge {
        /// How many.
        files: u64,
    },
    /// A word that names no layout.
    #[error("unknown remote layout `{text}`")]
    UnknownLayout {
        /// The given text.
        text: String,
    },
    /// A store of objects refused, or did not answer.
    #[error(transparent)]
    Backend(#[from] backlot_backend::Error),
    /// An object of a remote that is not a file's content: a segment, a tomb, a pack's table.
    #[error("`{object}` in {place} is damaged: {reason}")]
    DamagedRemote {
        /// The remote.
        place: String,
        /// Its key.
        object: String,
        /// The reason.
        reason: String,
    },
    /// Collections removed pushed objects faster than they could be pushed again.
    #[error("a collection of {place} keeps overtaking this push")]
    Contended {
        /// The remote.
        place: String,
    },
    /// A collection that would remove most of a remote.
    #[error("{bytes} of {of} bytes of files in {place} are not referenced by any given repo or workspace")]
    CollectsMost {
        /// The remote.
        place: String,
        /// Bytes of the files that would be lost.
        bytes: u64,
        /// Bytes of all files.
        of: u64,
    },
    /// The stat cache cannot be used or recreated.
    #[error("cannot use the state database `{}`", path.display())]
    State {
        /// The database.
        path: PathBuf,
        /// The message of SQLite.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn plural(count: usize, noun: &str) -> String {
    backlot_core::text::count(count as u64, noun)
}

fn some(objects: &[ObjectId]) -> String {
    let mut text = objects
        .iter()
        .take(3)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if objects.len() > 3 {
        text.push_str(", ...");
    }
    text
}

backlot_core::coded! {
    Error as File | Cancelled | Backend | Locked {
        Self::Corrupt { .. } => "store::corrupt_object", Class::Integrity,
            "run `verify --remote` to list all damage; `repair` replaces damaged objects on a remote (a push does not overwrite), `pull` replaces those in the cache, `add PATH` stores those that only an output has";
        Self::SameMd5 { .. } => "store::same_md5", Class::Conflict,
            "files are stored by their MD5, as in DVC, so only one of the two can be stored; such a collision is deliberate: find out where the files come from, then change a byte of one";
        Self::Missing { .. } => "store::missing_object", Class::NotFound,
            "push them from a workspace that has the files (where its cache lost them, `add` on the files first), or name another remote";
        Self::Changing { .. } => "store::file_changing", Class::Conflict,
            "wait until the writing program has finished, then retry",
            retry true;
        Self::WouldOverwrite { .. } => "store::would_overwrite", Class::Conflict,
            "run `add` to store it, move it aside, or use `--force` to discard it";
        Self::BadManifest { .. } => "dvc::bad_manifest", Class::Integrity,
            "pull it again, or run `add` on the folder where its files exist";
        Self::HostileManifest { .. } => "dvc::hostile_manifest", Class::Integrity,
            "do not use these files; ask their author for files without such paths";
        Self::NotStorable { .. } => "store::not_storable", Class::User,
            "remove or rename it, or store the files beside it only";
        Self::NoRanges { .. } => "store::no_ranges", Class::Config,
            "fetch the whole file, or read it from a chunked remote or a cache that contains it";
        Self::NotThere { .. } => "store::not_there", Class::Environment,
            "check that its disk is mounted, then retry; nothing was sent";
        Self::BadRemote { .. } => "store::bad_remote", Class::Config,
            "use a folder, or a URL such as `s3://bucket/prefix`, `webdav+https://host/path` or `sftp://user@host/path`";
        Self::Backend(e @ backlot_backend::Error::BadStore { .. }) => "store::bad_remote", e.class(),
            e.help(),
            retry e.retry();
        Self::Backend(e @ backlot_backend::Error::Store { .. }) => "store::service", e.class(),
            e.help(),
            retry e.retry();
        Self::NotChunked { .. } => "store::not_chunked", Class::Config,
            "use `dvc gc --cloud`, or copy to a chunked remote with `remote copy`";
        Self::UnknownLayout { .. } => "store::unknown_layout", Class::Config,
            "use `chunked` or `dvc`";
        Self::DamagedRemote { .. } => "store::damaged_remote", Class::Integrity,
            "run `verify --remote` to see what is affected, then `repair` where the files are cached";
        Self::Contended { .. } => "store::contended", Class::Conflict,
            "retry the push, and run only one `gc` at a time",
            retry true;
        Self::CollectsMost { .. } => "store::collects_most", Class::Conflict,
            "add every repo and workspace that uses the remote, or pass `--allow-most` if this is intended";
        Self::State { .. } => "store::state_database", Class::Environment,
            "remove the file; it is recreated";
        Self::NoParts { .. } => "store::no_parts", Class::Config,
            "use a chunked remote: `remote add` creates one in an empty folder, `remote copy` copies files to it";
        Self::BadJobId { .. } => "store::bad_job_id", Class::User,
            "use the job ID that the farm assigned, without spaces and slashes";
        Self::DamagedPart { .. } => "store::damaged_part", Class::Integrity,
            "drop the job's parts with `part drop --job ID` (ID is the folder that contains the object) and push the frames again";
        Self::PartTooLarge { .. } => "store::part_too_large", Class::User,
            "push them as several parts, with the same `--job` and `--as`";
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.into())
    }
}
