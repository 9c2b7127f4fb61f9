//! Errors of repos, each with its code, class and help.
//!
//! Invariant: a conflict never means that anything of the winner was touched. Deliberately absent: broken releases found
//! while listing; those are reported with the good ones and do not block anything.

use std::path::{Path, PathBuf};

use backlot_core::{Cancelled, Class, Diagnostic as _, FileError, Sha256, Timestamp};
use backlot_pep::{PackageName, Version};

use crate::location::Location;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a repo failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid search query.
    #[error(transparent)]
    Query(#[from] crate::query::QueryError),
    /// The version is already published, or another publisher was first in a race.
    #[error("{package} {version} is already in the repo `{repo}`{}{}", published(author.as_deref(), *at), other(files, *identical))]
    ReleaseExists {
        /// The package.
        package: PackageName,
        /// The version that is there.
        version: Version,
        /// The repo.
        repo: Location,
        /// Of a release that was copied, the files there that are not those of the source.
        files: Box<[String]>,
        /// Its author, if recorded.
        author: Option<Box<str>>,
        /// When it was published, if its fact says so.
        at: Option<Timestamp>,
        /// Whether the existing release has the same contents as the one to publish.
        identical: bool,
        /// Whether its derived files are all right now.
        complete: bool,
    },
    /// The version has a local part (`+studio.1`), which no published release may have.
    #[error("cannot publish {package} {version}: local versions are not allowed")]
    LocalVersion {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Version,
    },
    /// The folder holds files of its own and is not laid out by Backlot: it is only read.
    #[error("`{}` is a plain folder of packages, which Backlot can only read", path.display())]
    FlatFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The folder that should hold the repo is not there.
    #[error("cannot create the repo: the folder `{}` does not exist", path.display())]
    NoPlace {
        /// The missing parent folder.
        path: PathBuf,
    },
    /// A repo that was there before is gone, or another one is in its place.
    #[error("the repo at `{place}` no longer exists")]
    NotThere {
        /// Where it was.
        place: Location,
    },
    /// The repo's path leads to something that is not a folder.
    #[error("`{}` is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// `repo.json` is not a format marker.
    #[error("`{place}` is not a valid marker of a Backlot repo: {reason}")]
    BadMarker {
        /// The marker.
        place: Location,
        /// The reason.
        reason: String,
    },
    /// The repo was made by a later Backlot with a layout this one does not know.
    #[error("the repo `{place}` has format {found}; this Backlot supports format {known}")]
    NewerFormat {
        /// The root of the repo.
        place: Location,
        /// The format it says it has.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// The wheel was modified while being published.
    #[error("`{}` changed while it was being published", path.display())]
    WheelChanged {
        /// The wheel.
        path: PathBuf,
    },
    /// The folder with the releases of a repo, or of one of its packages, is gone.
    #[error("`{place}` is missing, although the repo had releases")]
    NoPackages {
        /// The folder.
        place: Location,
    },
    /// A release is not what its digest says.
    #[error("`{}` has the digest {found}, not {expected}", place)]
    WrongBytes {
        /// The wheel in the repo.
        place: Location,
        /// The digest it should have.
        expected: Sha256,
        /// The digest it has (of as many bytes as it should have, if it has more).
        found: Sha256,
    },
    /// A file of a repo that could not be read, or is damaged.
    #[error("cannot use `{place}`: {reason}")]
    Unreadable {
        /// The file.
        place: Location,
        /// Why not.
        reason: String,
        /// Whether it is damaged, or could not be read.
        class: Class,
    },
    /// No such release.
    #[error("{package} {version} is not in the repo `{repo}`")]
    NoRelease {
        /// The package.
        package: PackageName,
        /// The version asked for.
        version: Version,
        /// The repo.
        repo: Location,
    },
    /// A repo outside the studio that may not be asked for a package, nor given it.
    #[error("{package} is not on the allowlist of `{repo}`")]
    NotAllowed {
        /// The package.
        package: PackageName,
        /// The repo's name in the workspace.
        repo: String,
    },
    /// Something on such a list that stands for no package.
    #[error("invalid allowlist entry `{text}`: {reason}")]
    BadAllowedName {
        /// Its path.
        text: String,
        /// The reason.
        reason: String,
    },
    /// A file that is read whole is too large for its kind.
    #[error("`{place}` is larger than {limit} bytes, too large for a file of its kind")]
    TooLarge {
        /// The file or object.
        place: Location,
        /// The most it may have.
        limit: u64,
    },
    /// The URL or options of a store that cannot be one.
    #[error("unsupported repo URL `{url}`: {reason}")]
    BadStore {
        /// The URL.
        url: String,
        /// The reason.
        reason: String,
    },
    /// A repo whose releases are committed in another way than this one would.
    #[error("`{place}` is also published to by another route: directly as a folder, or through its server")]
    OtherWay {
        /// The repo.
        place: Location,
    },
    /// A package index, or a plain folder of packages, keeps no events.
    #[error("`{place}` does not record events")]
    NoEvents {
        /// Where it is.
        place: Location,
    },
    /// A record of events is not there, though later ones are.
    #[error("`{place}` is missing, although later event records exist")]
    EventsMissing {
        /// The record.
        place: Location,
    },
    /// A position that the feed of events never reached.
    #[error("the events of `{place}` end at {last}, before the position {position}")]
    NoSuchEvents {
        /// The repo.
        place: Location,
        /// The position.
        position: String,
        /// The last record.
        last: u64,
    },
    /// Talking to an index failed.
    #[error(transparent)]
    Index(#[from] crate::index::error::IndexError),
    /// A store of objects refused, did not answer, or does not keep two publishers apart.
    #[error(transparent)]
    Backend(backlot_backend::Error),
    /// Talking to a server failed.
    #[error(transparent)]
    Network(backlot_net::Error),
    /// The wheel itself is not right.
    #[error(transparent)]
    Wheel(#[from] backlot_wheel::Error),
    /// The system refused a file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<backlot_net::Error> for Error {
    fn from(error: backlot_net::Error) -> Self {
        match error {
            backlot_net::Error::File(error) => Self::File(error),
            backlot_net::Error::Cancelled(error) => Self::Cancelled(error),
            other => Self::Network(other),
        }
    }
}

impl From<backlot_backend::Error> for Error {
    fn from(error: backlot_backend::Error) -> Self {
        use backlot_backend::Error as Backend;
        match error {
            Backend::BadStore { url, reason } => Self::BadStore { url, reason },
            Backend::Network(error) => error.into(),
            Backend::File(error) => Self::File(error),
            Backend::Cancelled(error) => Self::Cancelled(error),
            other => Self::Backend(other),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(FileError::from(error))
    }
}

/// `, published by ana at 2026-11-20T23:48:00Z`, as far as it is known.
fn published(author: Option<&str>, at: Option<Timestamp>) -> String {
    // The name comes from a file that anybody may have written: nothing in it may steer a terminal.
    let author = author.map(|a| {
        a.chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect::<String>()
    });
    match (author, at) {
        (Some(author), Some(at)) => format!(", published by {author} at {at}"),
        (Some(author), None) => format!(", published by {author}"),
        (None, Some(at)) => format!(", published at {at}"),
        (None, None) => String::new(),
    }
}

/// `, with other bytes: chair-1.0-py3-none-any.whl`
fn other(files: &[String], identical: bool) -> String {
    match files {
        [] => String::new(),
        _ if identical => String::new(),
        files => format!(", with different contents: {}", files.join(", ")),
    }
}

fn parent_help(path: &Path) -> String {
    format!(
        "check that the disk is mounted and the path is correct, or create `{}` first",
        path.display()
    )
}

/// Errors of stores have codes of their own where the store is a repo.
fn code_of_store(error: &backlot_backend::Error) -> &'static str {
    match error.code() {
        "backend::store" => "repo::store",
        "backend::no_exclusive_create" => "repo::no_exclusive_create",
        "backend::unknown_host_key" => "repo::unknown_host_key",
        "backend::changed_host_key" => "repo::changed_host_key",
        "backend::sign_in" => "repo::sign_in",
        other => other,
    }
}

backlot_core::coded! {
    Error as Query | Index | Network | Wheel | File | Cancelled {
        Self::ReleaseExists { identical: true, complete: true, .. } => "repo::release_exists", Class::Conflict,
            "already published with identical contents";
        Self::ReleaseExists { identical: true, .. } => "repo::release_exists", Class::Conflict,
            "already published with identical contents, but its index is incomplete: run `repo reindex`";
        Self::ReleaseExists { .. } => "repo::release_exists", Class::Conflict,
            "bump the version and publish again; a release is never replaced";
        Self::LocalVersion { .. } => "repo::local_version", Class::User,
            "publish a version without the part after `+`";
        Self::FlatFolder { .. } => "repo::flat_folder", Class::Config,
            "publish to an empty or new folder, and use this one as a second repo to install from";
        Self::NoPlace { path } => "repo::no_place", Class::Environment,
            parent_help(path);
        Self::NotThere { .. } => "repo::not_there", Class::Environment,
            "check that its disk is mounted, then retry; nothing was published";
        Self::NotAFolder { .. } => "repo::not_a_folder", Class::Config,
            "use a folder as the repo's path";
        Self::NoPackages { place: Location::Url(_) } => "repo::no_packages", Class::Environment,
            "check the store's address and credentials, or run `repair --repo NAME`; if its releases were removed on purpose, also remove `simple/` and `status/`";
        Self::NoPackages { place } => "repo::no_packages", Class::Environment,
            format!("mount or restore `{place}`; if its releases were removed on purpose, recreate the folder, empty");
        Self::BadMarker { .. } => "repo::bad_marker", Class::Config,
            "point the repo at another folder, or move this file aside if it does not belong to Backlot";
        Self::NewerFormat { .. } => "repo::newer_format", Class::Config,
            "upgrade Backlot to use this repo";
        Self::WheelChanged { .. } => "repo::wheel_changed", Class::Environment,
            "publish again once nothing writes to the wheel",
            retry true;
        Self::WrongBytes { .. } => "repo::wrong_bytes", Class::Integrity,
            "do not use this file; restore it from a backup, or publish the work under a new version";
        Self::Unreadable { class, place, .. } => "repo::unreadable", *class,
            format!(
                "restore `{place}`, or exclude its version with a constraint"
            );
        Self::NoRelease { .. } => "repo::no_release", Class::NotFound,
            "list the releases of the repo, or specify another repo";
        Self::NotAllowed { package, repo } => "repo::not_allowed", Class::Config,
            format!("to allow it, run `repo allow {repo} {package}`, which adds it to `allow` in `[repos.{repo}]`");
        Self::BadAllowedName { .. } => "repo::bad_allowed_name", Class::User,
            "use a package name, a prefix followed by `*`, or `*` for everything";
        Self::TooLarge { .. } => "repo::too_large", Class::Integrity,
            "inspect the file, and move it aside if it does not belong to the repo";
        Self::BadStore { .. } => "repo::bad_store", Class::Config,
            "write `s3://bucket/prefix` (with `endpoint` and `region` where it is not AWS), `webdav+https://host/path` or `sftp://user@host/path`";
        Self::OtherWay { .. } => "repo::other_way", Class::Config,
            "publish the way the repo was created, through its folder or its URL: concurrent writers on the two routes cannot detect each other";
        Self::NoEvents { .. } => "repo::no_events", Class::Config,
            "use a repo that is a folder or a store: only those record an event for each publish and status change";
        Self::EventsMissing { .. } => "repo::events_missing", Class::Integrity,
            "run `repo reindex NAME`, which closes the gap and adds the lost events";
        Self::NoSuchEvents { .. } => "repo::no_such_events", Class::NotFound,
            "the repo was replaced or restored: read from the beginning with `--since 0`, or only new events without `--since`";
        Self::Backend(e) => code_of_store(e), e.class(),
            e.help(),
            retry e.retry();
    }
}
