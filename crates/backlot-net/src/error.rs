//! Errors of network requests.
//!
//! Invariant: a URL in a message has neither user, password nor query: signed links are secrets. Every text that a server
//! said is cut and stripped of control characters. Deliberately absent: the meaning of a response to the caller.

use std::path::PathBuf;

use backlot_core::lock::LockError;
use backlot_core::{Cancelled, Class, FileError};

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why talking to a server failed.
///
/// ```
/// use backlot_core::Diagnostic as _;
/// use backlot_net::Error;
///
/// let error = Error::Offline {
///     what: "the page of chair".to_owned(),
///     url: "https://index.studio.example".to_owned(),
/// };
/// assert_eq!(error.code(), "index::offline");
/// assert_eq!(error.help().as_deref(), Some("run it once without `--offline`"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No answer, or one that broke off, however often it was asked.
    #[error("no response from `{url}`: {reason} (after {attempts} {})", if *attempts == 1 { "attempt" } else { "attempts" })]
    Unreachable {
        /// The requested URL.
        url: String,
        /// The last failure.
        reason: String,
        /// How often it was asked.
        attempts: u32,
    },
    /// An answer that is neither the thing nor a reason to believe it is not there.
    #[error("`{url}` answered {status}{}", said(reason))]
    Refused {
        /// The requested URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's message, shortened.
        reason: String,
    },
    /// 401 or 403.
    #[error("`{url}` {} (HTTP status {status})", if *sent { "rejected the credentials" } else { "requires credentials" })]
    Denied {
        /// The requested URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Whether credentials were sent.
        sent: bool,
        /// The prefix of the variables that could contain credentials; empty if there are none.
        variables: String,
    },
    /// A redirect that is not followed.
    #[error("`{url}` redirects to `{to}`: {reason}")]
    Redirect {
        /// The requested URL.
        url: String,
        /// Where it leads.
        to: String,
        /// Why it is not followed.
        reason: String,
    },
    /// An answer larger than anything of its kind.
    #[error("`{url}` sent more than {limit} bytes")]
    TooLarge {
        /// The requested URL.
        url: String,
        /// The most that is taken.
        limit: u64,
    },
    /// Offline, and it is not in the cache.
    #[error("{what} of `{url}` is not cached, and this run is offline")]
    Offline {
        /// The page, the metadata or the wheel of which thing.
        what: String,
        /// The server or file.
        url: String,
    },
    /// A URL that nothing can be asked for by.
    #[error("`{url}` is not a valid index URL: {reason}")]
    BadUrl {
        /// As far as it may be shown.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A file of certificates that cannot be used.
    #[error("no usable certificates in `{}`: {reason}", path.display())]
    BadCertificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client: {reason}")]
    Setup {
        /// Why: a proxy's address, the system's resources.
        reason: String,
    },
    /// A credential helper that failed, did not answer in time, or answered what makes no sense.
    #[error("the credential helper `{command}` failed for `{host}`: {reason}")]
    Helper {
        /// The command, without its options.
        command: String,
        /// The server, with its port if that is not the usual one.
        host: String,
        /// The reason, without any output of the helper.
        reason: String,
    },
    /// A file of credentials that others than its owner can read.
    #[error("`{}` contains credentials, and its mode {mode:03o} gives other users access", path.display())]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file of credentials that cannot be read.
    #[error("`{}` is not a valid credentials file: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// The reason, without any contents of the file.
        reason: String,
    },
    /// A URL that no credential can be for.
    #[error("cannot store credentials for `{url}`: {reason}")]
    BadPrefix {
        /// As far as it may be shown.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A URL to which a secret would be sent unencrypted.
    #[error("refusing to send credentials to `{url}`: the connection is not encrypted")]
    PlainHttp {
        /// As far as it may be shown.
        url: String,
    },
    /// The file of credentials is being changed by another command.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system refused a file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

backlot_core::coded! {
    Error as Lock | File | Cancelled {
        Self::Unreachable { .. } => "index::unreachable", Class::Environment,
            "check the URL, the network and the proxy, then retry; `--offline` uses only cached data",
            retry true;
        // A server that answers so is up and does not have it.
        Self::Refused { status: 404 | 410, .. } => "index::refused", Class::NotFound,
            "retry later, or ask the administrator of the server";
        Self::Refused { status, .. } => "index::refused", Class::Environment,
            "retry later, or ask the administrator of the server",
            retry *status >= 500 || *status == 429;
        Self::Denied { variables, .. } if variables.is_empty() => "index::denied", Class::Config,
            "store credentials with `auth login URL`, add the host to ~/.netrc, or add the server as a repo, whose credentials are then used for its files";
        Self::Denied { variables, sent, .. } => "index::denied", Class::Config,
            {
            let variables = format!("`{variables}_TOKEN`, or `{variables}_USERNAME` and `{variables}_PASSWORD`, with the server's name in `{variables}_HOST`, or the host's entry in ~/.netrc; none are sent over plain HTTP");
            if *sent {
                format!("run `auth test URL` to see where they come from; check {variables}")
            } else {
                format!("run `auth login URL`, or set {variables}")
            }
            };
        Self::Redirect { .. } => "index::redirect", Class::Integrity,
            "if the target is correct, use it as the repo's URL";
        Self::TooLarge { .. } => "index::too_large", Class::Integrity,
            "do not use this server until its administrator has checked it";
        Self::Offline { .. } => "index::offline", Class::NotFound,
            "run it once without `--offline`";
        Self::BadUrl { .. } => "index::bad_url", Class::Config,
            "use a URL like `https://host/path/simple/`; credentials come from the environment or ~/.netrc";
        Self::BadCertificates { .. } => "index::bad_certificates", Class::Config,
            "use a PEM file with the certificates of the authorities to trust";
        Self::Setup { .. } => "index::setup", Class::Config,
            "check `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`";
        Self::Helper { host, command, .. } => "auth::helper", Class::Environment,
            format!("run it manually: `printf 'protocol=https\\nhost={host}\\n\\n' | {command} get`; helpers are named under `[auth]` in the user's configuration");
        Self::OpenFile { path, .. } => "auth::open_file", Class::Config,
            format!("run `chmod 600 '{}'`; change the passwords in it if others may have read them", path.display());
        Self::BadFile { path, .. } => "auth::bad_file", Class::Config,
            format!("move `{}` aside and store the credentials again with `auth login URL`", path.display());
        Self::BadPrefix { .. } => "auth::bad_url", Class::User,
            "use the URL of a server or a path on it, such as `https://host/team`, without user and password";
        Self::PlainHttp { .. } => "auth::plain_http", Class::User,
            "use `https://`; plain HTTP is allowed only for this machine";
    }
}

fn said(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

/// A text from outside, fit for a message.
pub fn tame(text: &str, limit: usize) -> String {
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
