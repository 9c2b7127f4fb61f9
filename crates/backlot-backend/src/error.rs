//! Errors of object stores.
//!
//! Invariant: nothing in a message is secret, and every text from a server is cut and stripped of control characters.
//! Deliberately absent: missing objects, which are a result and not an error.

use backlot_core::{Cancelled, Class, FileError};

#[cfg(feature = "services")]
use backlot_net::Error as NetworkError;

#[cfg(not(feature = "services"))]
use self::NoNetwork as NetworkError;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a store failed.
///
/// ```
/// use backlot_backend::{Error, StoreOptions, open};
/// use backlot_core::Diagnostic as _;
/// use backlot_core::Context;
/// use backlot_net::{Network, NetworkOptions};
///
/// let folder = tempfile::tempdir().unwrap();
/// let network = Network::new(NetworkOptions::new(folder.path()), Context::default()).unwrap();
/// let place = backlot_net::PlaceName::unnamed();
/// let error = open(&network, &place, "s3://ana:secret@assets", &StoreOptions::default()).unwrap_err();
/// assert!(matches!(&error, Error::BadStore { .. }));
/// assert_eq!(error.code(), "backend::bad_store");
/// assert!(!error.to_string().contains("secret"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL or options of a store that cannot be one.
    #[error("unsupported store URL `{url}`: {reason}")]
    BadStore {
        /// The URL.
        url: String,
        /// The reason.
        reason: String,
    },
    /// It refused, or did not answer.
    #[error("`{place}`: {reason}")]
    Store {
        /// The object or folder it was asked about.
        place: String,
        /// The reason, without secrets.
        reason: String,
        /// Whether the same may work later.
        temporary: bool,
    },
    /// It cannot do what exclusive creation needs.
    #[error("cannot publish to `{place}`: {reason}")]
    NoExclusiveCreate {
        /// The store.
        place: String,
        /// The missing feature, or the result of the test.
        reason: String,
    },
    /// An SSH server whose host key is in no file of known hosts.
    #[error("unknown host key of `{host}`: {shown}")]
    UnknownHostKey {
        /// The server, as files of known hosts name it.
        host: String,
        /// The kind and the fingerprint of the key that it showed.
        shown: String,
        /// The command that makes it known.
        scan: String,
    },
    /// An SSH server that shows another key than it should, or a revoked one.
    #[error("the host key of `{host}` has changed: the server presents {shown}, and {reason}")]
    ChangedHostKey {
        /// The server.
        host: String,
        /// The kind and the fingerprint of the key that it showed.
        shown: String,
        /// The reason for the refusal.
        reason: String,
    },
    /// An SSH server that does not let us in.
    #[error("`{host}` rejected the login of `{user}`; tried: {tried}")]
    SignIn {
        /// The server.
        host: String,
        /// The user.
        user: String,
        /// The methods tried, without secrets.
        tried: String,
        /// The prefix of the variables that could contain credentials.
        variables: String,
    },
    /// The network could not be used.
    #[error(transparent)]
    Network(NetworkError),
    /// The system refused a file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stopped on request.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Stands in for network errors if no kind of service is built in.
#[cfg(not(feature = "services"))]
#[derive(Clone, Copy, Debug)]
pub enum NoNetwork {}

#[cfg(not(feature = "services"))]
impl std::fmt::Display for NoNetwork {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

#[cfg(not(feature = "services"))]
impl std::error::Error for NoNetwork {}

#[cfg(not(feature = "services"))]
impl backlot_core::Diagnostic for NoNetwork {
    fn code(&self) -> &'static str {
        match *self {}
    }
    fn class(&self) -> Class {
        match *self {}
    }
}

#[cfg(feature = "services")]
impl From<backlot_net::Error> for Error {
    fn from(error: backlot_net::Error) -> Self {
        match error {
            backlot_net::Error::File(error) => Self::File(error),
            backlot_net::Error::Cancelled(error) => Self::Cancelled(error),
            other => Self::Network(other),
        }
    }
}

impl Error {
    /// Whether it is about who we are: no credentials, wrong ones, or ones that may not do this.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::SignIn { .. } => true,
            #[cfg(feature = "services")]
            Self::Network(error) => matches!(error, NetworkError::Denied { .. }),
            // As `Service` begins what OpenDAL calls so.
            Self::Store { reason, .. } => reason.starts_with("PermissionDenied"),
            _ => false,
        }
    }
}

backlot_core::coded! {
    Error as Network | File | Cancelled {
        Self::BadStore { .. } => "backend::bad_store", Class::Config,
            "write `s3://bucket/prefix` (with `endpoint` and `region` where it is not AWS), `azure://container/prefix`, `gs://bucket/prefix`, `oss://bucket/prefix`, `gdrive://root/path`, `webdav+https://host/path` or `sftp://user@host/path`";
        Self::Store { temporary: true, .. } => "backend::store", Class::Environment,
            "check that the server is reachable, then retry",
            retry true;
        Self::Store { reason, .. } if reason.contains("TooSkewed") => "backend::store", Class::Environment,
            "correct this machine's clock: the server rejects requests whose time differs by more than a few minutes from its own";
        Self::Store { .. } => "backend::store", Class::Environment,
            "check the URL, the credentials (`auth test URL`) and their permissions, and that the bucket or folder exists";
        Self::NoExclusiveCreate { .. } => "backend::no_exclusive_create", Class::Config,
            "publish to a folder, an index, WebDAV, an SFTP server with hard links or a store with conditional writes; reading from this one works";
        Self::UnknownHostKey { scan, .. } => "backend::unknown_host_key", Class::Config,
            format!(
                "ask the administrator of the server for its fingerprint; if it matches, run `{scan}`"
            );
        Self::ChangedHostKey { .. } => "backend::changed_host_key", Class::Integrity,
            "ask the administrator of the server why its key changed; then correct the known_hosts file";
        Self::SignIn { variables, .. } => "backend::sign_in", Class::Config,
            format!(
                "set `{variables}_KEY` to a key that the server accepts, add the key to ssh-agent, or set `{variables}_PASSWORD`"
            );
    }
}
