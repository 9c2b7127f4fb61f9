//! Errors of package indexes.
//!
//! Invariant: a URL in a message has neither user, password nor query: signed links are secrets. Every text that a server
//! said is cut and stripped of control characters. Deliberately absent: conflicts, which are [`crate::Error::ReleaseExists`].

use backlot_core::Class;
use backlot_pep::PackageName;

/// The source of an expected digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The requirement that names it.
    Requirement,
    /// The lock of the workspace.
    Lock,
    /// A lock file of any tool.
    LockFile,
}

impl Promise {
    fn says(self) -> &'static str {
        match self {
            Self::Requirement => "its requirement says",
            Self::Lock => "the lock says",
            Self::LockFile => "the lock file says",
        }
    }
}

/// Why talking to an index failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A response that is not a package index page.
    #[error("`{url}` is not a package index page: {reason}")]
    BadPage {
        /// The page.
        url: String,
        /// The reason.
        reason: String,
    },
    /// A page of a later API.
    #[error("`{url}` uses version {version} of the simple API; this Backlot supports version 1")]
    NewerApi {
        /// The page.
        url: String,
        /// Its version.
        version: String,
    },
    /// A file that is not what its page says.
    #[error("`{file}` from `{url}` has the {found}; its index says {expected}")]
    WrongDigest {
        /// The file.
        file: String,
        /// Where it came from.
        url: String,
        /// The expected digest.
        expected: String,
        /// The actual digest.
        found: String,
    },
    /// A file of another length than its page says.
    #[error("`{file}` from `{url}` has {found} bytes; its index says {expected}")]
    WrongSize {
        /// The file.
        file: String,
        /// Where it came from.
        url: String,
        /// The expected size.
        expected: u64,
        /// The actual size, or one more than expected.
        found: u64,
    },
    /// Metadata that is not that of the release.
    #[error("invalid metadata of `{file}` from `{url}`: {reason}")]
    WrongMetadata {
        /// The wheel.
        file: String,
        /// Where the metadata came from.
        url: String,
        /// The reason.
        reason: String,
    },
    /// Nothing like an index behind a URL.
    #[error("no package index at `{url}` (tried {})", tried.join(", "))]
    NotAnIndex {
        /// As given.
        url: String,
        /// The requests, with their responses.
        tried: Vec<String>,
    },
    /// The index does not say which packages it has.
    #[error("`{url}` does not list its packages (HTTP status {status})")]
    NoListing {
        /// The index.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An index cannot store the status of releases.
    #[error(
        "`{url}` is a package index, which does not support approvals, deprecations or yanks from Backlot"
    )]
    NoFacts {
        /// The index.
        url: String,
    },
    /// Its pages are made by the server.
    #[error("the server of `{url}` maintains this index")]
    OwnPages {
        /// The index.
        url: String,
    },
    /// An upload that was not taken.
    #[error(
        "`{url}` rejected the upload of `{file}`: HTTP status {status}{}",
        said(reason)
    )]
    UploadRefused {
        /// Where it was sent.
        url: String,
        /// The wheel.
        file: String,
        /// The HTTP status.
        status: u16,
        /// The server's message, shortened.
        reason: String,
    },
    /// An upload to an index of devpi that is not there.
    #[error("cannot upload `{file}`: no index `{index}` at `{url}`")]
    NoSuchIndex {
        /// Where it was sent.
        url: String,
        /// Its user and name.
        index: String,
        /// The file to upload.
        file: String,
    },
    /// 403 of devpi to an upload with credentials: they are right, and are not enough.
    #[error("`{user}` is not allowed to upload to `{url}`{}", said(reason))]
    MayNotUpload {
        /// Where it was sent.
        url: String,
        /// The user.
        user: String,
        /// Its user and name.
        index: String,
        /// The server's message, shortened.
        reason: String,
    },
    /// An index that a server did not make.
    #[error("cannot create `{url}`: HTTP status {status}{}", said(reason))]
    NotMade {
        /// The index.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's message, shortened.
        reason: String,
    },
    /// A file named by its URL that is not of the package, or nothing that could be installed.
    #[error("cannot use `{url}` as {package}: {reason}")]
    BadFile {
        /// The package that it should be of.
        package: PackageName,
        /// The file.
        url: String,
        /// The reason.
        reason: String,
    },
    /// A file named by its URL that has another digest than it should have.
    #[error("`{url}` has the {found}; {} {expected}", by.says())]
    WrongFile {
        /// The package that it should be of.
        package: PackageName,
        /// The file.
        url: String,
        /// The expected digest.
        expected: String,
        /// The actual digest.
        found: String,
        /// The source of the expected digest.
        by: Promise,
    },
    /// A folder named by its URL.
    #[error("`{url}` is a folder, but {package} has to be a wheel or a source distribution")]
    Folder {
        /// The package that it should be of.
        package: PackageName,
        /// The folder.
        url: String,
    },
    /// A URL that nothing can be asked for by.
    #[error(transparent)]
    Network(#[from] backlot_net::Error),
    /// A file of this machine named by its URL that is not there.
    #[error("no file at `{url}` for {package}")]
    NoFile {
        /// The package that it should be of.
        package: PackageName,
        /// The file.
        url: String,
    },
}

backlot_core::coded! {
    IndexError as Network {
        Self::BadPage { .. } => "index::bad_page", Class::Integrity,
            "check the repo's URL: it usually ends in `/simple/` or `/+simple/`";
        Self::NewerApi { .. } => "index::newer_api", Class::Config,
            "use a newer backlot";
        Self::WrongDigest { .. } => "index::wrong_digest", Class::Integrity,
            "do not use this file, and notify the administrator of the index: it is broken or served by the wrong host";
        Self::WrongSize { .. } => "index::wrong_size", Class::Integrity,
            "do not use this file, and notify the administrator of the index: it is broken or served by the wrong host";
        Self::WrongMetadata { .. } => "index::wrong_metadata", Class::Integrity,
            "do not use this file, and notify the administrator of the index: it is broken or served by the wrong host";
        Self::NotAnIndex { .. } => "index::not_an_index", Class::Config,
            "use the index URL that pip or uv uses; `--create` creates a missing devpi index";
        Self::NoListing { .. } => "index::no_listing", Class::Config,
            "specify the package name; this index cannot list its packages";
        Self::NoFacts { .. } => "index::no_facts", Class::Config,
            "yank it with the server's own tools, or publish such releases to a repo in a folder";
        Self::OwnPages { .. } => "index::own_pages", Class::Config,
            "use the server's own tools; Backlot reindexes and repairs only repos in folders and stores";
        Self::UploadRefused { status, .. } => "index::upload_refused", Class::Environment,
            "check the server's message; the upload URL can be set with `upload = \"...\"` in `[repos.NAME]`",
            retry *status >= 500 || *status == 429;
        Self::NoSuchIndex { url, index, .. } => "index::no_such_index", Class::NotFound,
            format!("create it with `repo add NAME {url} --create` (`--base USER/INDEX` for each index it inherits from), or with devpi's own client: `devpi index -c {index} volatile=False bases=USER/INDEX`");
        Self::MayNotUpload { index, user, .. } => "index::may_not_upload", Class::Config,
            format!("ask its owner to add you: `devpi index {index} acl_upload+={user}`");
        Self::NotMade { .. } => "index::not_made", Class::Config,
            "only the owner of an index can create it, and its bases must exist: run `devpi user -c USER` and `devpi index -c USER/INDEX` first";
        Self::BadFile { .. } => "direct_url::bad_file", Class::Integrity,
            "check the URL: it has to end in the file name of a wheel (`.whl`) or of a hatchling source distribution (`NAME-VERSION.tar.gz`)";
        Self::WrongFile { package, by: Promise::Lock, .. } => "direct_url::wrong_digest", Class::Integrity,
            format!("if it was replaced on purpose, accept the new file with `update {package}`");
        Self::WrongFile { .. } => "direct_url::wrong_digest", Class::Integrity,
            "do not use this file, or correct the expected digest";
        Self::Folder { .. } => "direct_url::folder", Class::User,
            "to work on it, move or clone it into `outputs/`, where it is installed as editable; or build a wheel and use its URL";
        Self::NoFile { .. } => "direct_url::no_file", Class::NotFound,
            "check that it exists, or use another URL";
    }
}

fn said(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}
