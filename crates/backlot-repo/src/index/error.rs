//! What can go wrong between us and an index.
//!
//! Invariant: a URL in a message has neither user, password nor query: signed links are secrets. Every text that a server
//! said is cut and stripped of control characters. Deliberately absent: conflicts, which are [`crate::Error::ReleaseExists`].

use std::path::PathBuf;

use backlot_core::{Class, Coded, PackageName};

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
    /// No answer, or one that broke off, however often it was asked.
    #[error("`{url}` does not answer: {reason} (asked {attempts} {})", if *attempts == 1 { "time" } else { "times" })]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened last.
        reason: String,
        /// How often it was asked.
        attempts: u32,
    },
    /// An answer that is neither the thing nor a reason to believe it is not there.
    #[error("`{url}` answered {status}{}", said(reason))]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said, shortened.
        reason: String,
    },
    /// 401 or 403.
    #[error("`{url}` {} (it answered {status})", if *sent { "does not accept the credentials" } else { "wants credentials" })]
    Denied {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Whether credentials were sent.
        sent: bool,
        /// The repo's name in the variables that could hold credentials.
        repo: String,
    },
    /// A redirect that is not followed.
    #[error("`{url}` redirects to `{to}`: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where it leads.
        to: String,
        /// Why it is not followed.
        reason: String,
    },
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
    /// An answer larger than anything of its kind.
    #[error("`{url}` sent more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The most that is taken.
        limit: u64,
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
    /// Offline, and it is not in the cache.
    #[error("{what} of `{url}` is not in the cache, and this run is offline")]
    Offline {
        /// The page, the metadata or the wheel of which thing.
        what: String,
        /// The index or file.
        url: String,
    },
    /// A URL that cannot be an index.
    #[error("`{url}` cannot be the URL of an index: {reason}")]
    BadUrl {
        /// As far as it may be shown.
        url: String,
        /// Why not.
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
    #[error("the pages of `{url}` are not made from here")]
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
    /// A file of this machine named by its URL that is not there.
    #[error("there is no file `{url}` for {package}")]
    NoFile {
        /// The package that it should be of.
        package: PackageName,
        /// The file.
        url: String,
    },
    /// A file of certificates that cannot be used.
    #[error("`{}` holds no usable certificates: {reason}", path.display())]
    BadCertificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {reason}")]
    Setup {
        /// Why: a proxy's address, the system's resources.
        reason: String,
    },
}

impl Coded for IndexError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "index::unreachable",
            Self::Refused { .. } => "index::refused",
            Self::Denied { .. } => "index::denied",
            Self::Redirect { .. } => "index::redirect",
            Self::BadPage { .. } => "index::bad_page",
            Self::NewerApi { .. } => "index::newer_api",
            Self::TooLarge { .. } => "index::too_large",
            Self::WrongDigest { .. } => "index::wrong_digest",
            Self::WrongSize { .. } => "index::wrong_size",
            Self::WrongMetadata { .. } => "index::wrong_metadata",
            Self::Offline { .. } => "index::offline",
            Self::BadUrl { .. } => "index::bad_url",
            Self::NotAnIndex { .. } => "index::not_an_index",
            Self::NoListing { .. } => "index::no_listing",
            Self::NoFacts { .. } => "index::no_facts",
            Self::OwnPages { .. } => "index::own_pages",
            Self::UploadRefused { .. } => "index::upload_refused",
            Self::NoSuchIndex { .. } => "index::no_such_index",
            Self::MayNotUpload { .. } => "index::may_not_upload",
            Self::NotMade { .. } => "index::not_made",
            Self::BadFile { .. } => "direct_url::bad_file",
            Self::WrongFile { .. } => "direct_url::wrong_digest",
            Self::Folder { .. } => "direct_url::folder",
            Self::NoFile { .. } => "direct_url::no_file",
            Self::BadCertificates { .. } => "index::bad_certificates",
            Self::Setup { .. } => "index::setup",
        }
    }

    fn class(&self) -> Class {
        match self {
            // A server that answers so is up and does not have it.
            Self::Refused {
                status: 404 | 410, ..
            }
            | Self::Offline { .. }
            | Self::NoSuchIndex { .. }
            | Self::NoFile { .. } => Class::NotFound,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::UploadRefused { .. } => {
                Class::Environment
            }
            Self::Denied { .. }
            | Self::MayNotUpload { .. }
            | Self::NotMade { .. }
            | Self::NewerApi { .. }
            | Self::BadUrl { .. }
            | Self::NotAnIndex { .. }
            | Self::NoListing { .. }
            | Self::NoFacts { .. }
            | Self::OwnPages { .. }
            | Self::BadCertificates { .. }
            | Self::Setup { .. } => Class::Config,
            Self::Redirect { .. }
            | Self::BadPage { .. }
            | Self::TooLarge { .. }
            | Self::WrongDigest { .. }
            | Self::WrongSize { .. }
            | Self::WrongMetadata { .. }
            | Self::BadFile { .. }
            | Self::WrongFile { .. } => Class::Integrity,
            Self::Folder { .. } => Class::User,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => "check the address, the network and the proxy, and run it again; with `--offline` only what is cached is used".to_owned(),
            Self::Refused { .. } => "run it again later, or ask whoever runs the server".to_owned(),
            Self::Denied { repo, .. } if repo.is_empty() => "put the host into ~/.netrc, or name the server as a repo: the credentials of that are used for its files".to_owned(),
            Self::Denied { repo, sent, .. } => {
                let variables = format!("`BACKLOT_REPO_{0}_TOKEN`, or `BACKLOT_REPO_{0}_USERNAME` and `BACKLOT_REPO_{0}_PASSWORD`, with the server's name in `BACKLOT_REPO_{0}_HOST`, or the host's entry in ~/.netrc; none is sent over plain http", variable(repo));
                if *sent { format!("check what is in {variables}") } else { format!("set {variables}") }
            }
            Self::Redirect { .. } => "name the address it leads to as the repo's URL, if that is the right one".to_owned(),
            Self::BadPage { .. } => "check the repo's URL: it ends in `/simple/` or `/+simple/` as a rule".to_owned(),
            Self::NewerApi { .. } => "use a newer backlot".to_owned(),
            Self::TooLarge { .. } => "do not trust this server until somebody has looked at it".to_owned(),
            Self::WrongDigest { .. } | Self::WrongSize { .. } | Self::WrongMetadata { .. } => "do not use this file: tell whoever runs the index, which is broken or not who it should be".to_owned(),
            Self::Offline { .. } => "run it once without `--offline`".to_owned(),
            Self::BadUrl { .. } => "give an address like `https://host/path/simple/`; credentials come from the environment or ~/.netrc".to_owned(),
            Self::NotAnIndex { .. } => "give the address that pip or uv would be given as the index URL; one of devpi that is not there yet is made with `--create`".to_owned(),
            Self::NoListing { .. } => "name the package; this index answers only for names".to_owned(),
            Self::NoFacts { .. } => "yank it with the server's own tools, or keep such releases in a repo in a folder".to_owned(),
            Self::OwnPages { .. } => "only repos in folders are reindexed from here".to_owned(),
            Self::UploadRefused { .. } => "see what the server says; the address for uploads can be set as `upload = \"...\"` in `[repos.NAME]`".to_owned(),
            Self::NoSuchIndex { url, index, .. } => format!("make it with `backlot repo add NAME {url} --create` (`--base USER/INDEX` for each index it inherits from), or with devpi's own client: `devpi index -c {index} volatile=False bases=USER/INDEX`"),
            Self::MayNotUpload { index, user, .. } => format!("let its owner add you: `devpi index {index} acl_upload+={user}`"),
            Self::NotMade { .. } => "only the user of an index may make it, and its bases have to be there: `devpi user -c USER` and `devpi index -c USER/INDEX` come first".to_owned(),
            Self::BadFile { .. } => "check the URL: it leads to a wheel (`.whl`), or to a source distribution (`NAME-VERSION.tar.gz`) of hatchling, by its own name".to_owned(),
            Self::WrongFile { package, by: Promise::Lock, .. } => format!("if it was replaced on purpose, take what is there now with `backlot update {package}`"),
            Self::WrongFile { .. } => "do not use this file, or correct the digest that it should have".to_owned(),
            Self::Folder { .. } => "to work on it, move or clone it into `outputs/`, where it is installed as an editable; or build a wheel of it and name that".to_owned(),
            Self::NoFile { .. } => "see that it is there, or name another".to_owned(),
            Self::BadCertificates { .. } => "give a PEM file with the certificates of the authorities to trust".to_owned(),
            Self::Setup { .. } => "check `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`".to_owned(),
        })
    }

    fn retry(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
            || matches!(self, Self::Refused { status, .. } | Self::UploadRefused { status, .. } if *status >= 500 || *status == 429)
    }
}

/// A repo's name as it stands in the names of environment variables: capitals, `-` as `_`.
pub fn variable(repo: &str) -> String {
    repo.to_ascii_uppercase().replace('-', "_")
}

fn said(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

/// A text from outside, fit for a message.
pub(crate) fn tame(text: &str, limit: usize) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    let mut tame = String::new();
    for word in words.filter(|w| !w.is_empty()) {
        if !tame.is_empty() {
            tame.push(' ');
        }
        tame.push_str(word);
        if tame.len() > limit {
            let end = tame
                .char_indices()
                .map(|(at, _)| at)
                .take_while(|at| *at <= limit)
                .last();
            tame.truncate(end.unwrap_or(0));
            tame.push('…');
            break;
        }
    }
    tame
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn control_characters_do_not_reach_messages() {
        assert_eq!(tame("a\u{1b}[31m b\n\tc", 100), "a [31m b c");
        assert_eq!(tame("äääää", 4), "ää…");
    }
}
