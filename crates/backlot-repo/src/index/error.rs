//! What can go wrong between us and an index.
//!
//! Invariant: a URL in a message has neither user, password nor query: signed links are secrets. Every text that a server
//! said is cut and stripped of control characters. Deliberately absent: conflicts, which are [`crate::Error::ReleaseExists`].

use backlot_core::Class;
use backlot_pep::PackageName;

/// Who says which digest a file should have.
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
    /// A page that is not one of a package index.
    #[error("`{url}` is not a page of a package index: {reason}")]
    BadPage {
        /// The page.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A page of a later API.
    #[error("`{url}` speaks version {version} of the simple API; this Backlot knows version 1")]
    NewerApi {
        /// The page.
        url: String,
        /// What it says.
        version: String,
    },
    /// A file that is not what its page says.
    #[error("`{file}` from `{url}` has the {found}; its index says {expected}")]
    WrongDigest {
        /// The file.
        file: String,
        /// Where it came from.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file of another length than its page says.
    #[error("`{file}` from `{url}` has {found} bytes; its index says {expected}")]
    WrongSize {
        /// The file.
        file: String,
        /// Where it came from.
        url: String,
        /// What it should have.
        expected: u64,
        /// What it has, or one more than it should have.
        found: u64,
    },
    /// Metadata that is not that of the release.
    #[error("the metadata of `{file}` from `{url}` is not right: {reason}")]
    WrongMetadata {
        /// The wheel.
        file: String,
        /// Where the metadata came from.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing like an index behind a URL.
    #[error("there is no package index at `{url}` (asked {})", tried.join(", "))]
    NotAnIndex {
        /// As given.
        url: String,
        /// What was asked, with the answer.
        tried: Vec<String>,
    },
    /// The index does not say which packages it has.
    #[error("`{url}` does not list its packages (it answered {status})")]
    NoListing {
        /// The index.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An index has no place for what we say of releases.
    #[error("`{url}` is a package index, which keeps no approvals, deprecations or yanks from here")]
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
    #[error("`{url}` did not take `{file}`: it answered {status}{}", said(reason))]
    UploadRefused {
        /// Where it was sent.
        url: String,
        /// The wheel.
        file: String,
        /// The HTTP status.
        status: u16,
        /// What the server said, shortened.
        reason: String,
    },
    /// An upload to an index of devpi that is not there.
    #[error("there is no index `{index}` at `{url}` to upload `{file}` to")]
    NoSuchIndex {
        /// Where it was sent.
        url: String,
        /// Its user and name.
        index: String,
        /// What was to be uploaded.
        file: String,
    },
    /// 403 of devpi to an upload with credentials: they are right, and are not enough.
    #[error("`{url}` does not let `{user}` upload{}", said(reason))]
    MayNotUpload {
        /// Where it was sent.
        url: String,
        /// Who we are there.
        user: String,
        /// Its user and name.
        index: String,
        /// What the server said, shortened.
        reason: String,
    },
    /// An index that a server did not make.
    #[error("`{url}` was not made: the server answered {status}{}", said(reason))]
    NotMade {
        /// The index.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said, shortened.
        reason: String,
    },
    /// A file named by its URL that is not of the package, or nothing that could be installed.
    #[error("`{url}` cannot be used as {package}: {reason}")]
    BadFile {
        /// The package that it should be of.
        package: PackageName,
        /// The file.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A file named by its URL that has another digest than it should have.
    #[error("`{url}` has the {found}; {} {expected}", by.says())]
    WrongFile {
        /// The package that it should be of.
        package: PackageName,
        /// The file.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
        /// Who says what it should be.
        by: Promise,
    },
    /// A folder named by its URL.
    #[error("`{url}` is a folder, and {package} is to be a wheel or a source distribution")]
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
    #[error("there is no file `{url}` for {package}")]
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
            "check the repo's URL: it ends in `/simple/` or `/+simple/` as a rule";
        Self::NewerApi { .. } => "index::newer_api", Class::Config,
            "use a newer backlot";
        Self::WrongDigest { .. } => "index::wrong_digest", Class::Integrity,
            "do not use this file; tell the administrator of the index, which is broken or not the server it should be";
        Self::WrongSize { .. } => "index::wrong_size", Class::Integrity,
            "do not use this file; tell the administrator of the index, which is broken or not the server it should be";
        Self::WrongMetadata { .. } => "index::wrong_metadata", Class::Integrity,
            "do not use this file; tell the administrator of the index, which is broken or not the server it should be";
        Self::NotAnIndex { .. } => "index::not_an_index", Class::Config,
            "give the address that pip or uv would be given as the index URL; one of devpi that is not there yet is made with `--create`";
        Self::NoListing { .. } => "index::no_listing", Class::Config,
            "name the package; this index answers only for names";
        Self::NoFacts { .. } => "index::no_facts", Class::Config,
            "yank it with the server's own tools, or keep such releases in a repo in a folder";
        Self::OwnPages { .. } => "index::own_pages", Class::Config,
            "use the tools of its server; repos in folders and stores are reindexed and repaired from here";
        Self::UploadRefused { status, .. } => "index::upload_refused", Class::Environment,
            "see what the server says; the address for uploads can be set as `upload = \"...\"` in `[repos.NAME]`",
            retry *status >= 500 || *status == 429;
        Self::NoSuchIndex { url, index, .. } => "index::no_such_index", Class::NotFound,
            format!("make it with `repo add NAME {url} --create` (`--base USER/INDEX` for each index it inherits from), or with devpi's own client: `devpi index -c {index} volatile=False bases=USER/INDEX`");
        Self::MayNotUpload { index, user, .. } => "index::may_not_upload", Class::Config,
            format!("let its owner add you: `devpi index {index} acl_upload+={user}`");
        Self::NotMade { .. } => "index::not_made", Class::Config,
            "only the user of an index may make it, and its bases have to be there: `devpi user -c USER` and `devpi index -c USER/INDEX` come first";
        Self::BadFile { .. } => "direct_url::bad_file", Class::Integrity,
            "check the URL: it leads to a wheel (`.whl`), or to a source distribution (`NAME-VERSION.tar.gz`) of hatchling, by its own name";
        Self::WrongFile { package, by: Promise::Lock, .. } => "direct_url::wrong_digest", Class::Integrity,
            format!("if it was replaced on purpose, take what is there now with `update {package}`");
        Self::WrongFile { .. } => "direct_url::wrong_digest", Class::Integrity,
            "do not use this file, or correct the digest that it should have";
        Self::Folder { .. } => "direct_url::folder", Class::User,
            "to work on it, move or clone it into `outputs/`, where it is installed as an editable; or build a wheel of it and name that";
        Self::NoFile { .. } => "direct_url::no_file", Class::NotFound,
            "see that it is there, or name another";
    }
}

fn said(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}
