//! The credential chain: one order of sources for every server, as data that an embedding program can extend or replace.
//!
//! Invariants: a credential is found for one server (scheme, host, port, path) and is bound to its host; it does not print; a
//! source that fails is an error, never "no credential". Deliberately absent: reading the environment, terminals, and the
//! chains that cloud services have of their own (used by the stores where this one has no answer).

mod account;
mod environment;
mod file;
mod helper;
mod netrc;
mod prefix;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use backlot_core::{Context, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::Result;

pub use account::Account;
pub use environment::FromVariables;
pub use file::CredentialFile;
pub use helper::{CommandHelper, CommandHelpers};
pub use netrc::Netrc;
pub use prefix::{UrlPrefix, server_url};

/// A user and a password. A token is the password of a user that the index names, [`Self::TOKEN_USER`] as a rule.
///
/// ```
/// use backlot_net::Credential;
///
/// let token = Credential {
///     user: Credential::TOKEN_USER.to_owned(),
///     password: "pypi-secret".to_owned(),
/// };
/// assert!(token.is_token());
/// assert!(!format!("{token:?}").contains("secret"), "it is never shown");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: String,
}

impl Credential {
    /// The user that a token goes with where none is named.
    pub const TOKEN_USER: &str = "__token__";

    /// Whether the password is a token, which has no user of its own.
    pub fn is_token(&self) -> bool {
        self.user == Self::TOKEN_USER
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A repo or remote of a workspace, as credentials are found for it.
///
/// ```
/// use backlot_net::PlaceName;
///
/// let repo = PlaceName::Repo("main-assets".to_owned());
/// assert_eq!(repo.variables(), "BACKLOT_REPO_MAIN_ASSETS");
/// assert_eq!(PlaceName::unnamed().variables(), "");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceName {
    /// A repo, by its name in the workspace.
    Repo(String),
    /// A remote, by its name in the workspace.
    Remote(String),
}

impl PlaceName {
    /// A place that has no name in a workspace.
    pub fn unnamed() -> Self {
        Self::Repo(String::new())
    }

    /// The prefix of its environment variables: `BACKLOT_REPO_BLESSED`, `BACKLOT_REMOTE_MAIN`; capitals, `-` as
    /// `_`. Empty for a place without a name.
    pub fn variables(&self) -> String {
        let (kind, name) = match self {
            Self::Repo(name) => ("REPO", name),
            Self::Remote(name) => ("REMOTE", name),
        };
        if name.is_empty() {
            return String::new();
        }
        format!("BACKLOT_{kind}_{}", name.to_ascii_uppercase().replace('-', "_"))
    }
}

/// Where credentials come from, in the order of the chain.
///
/// ```
/// use backlot_net::SourceKind;
///
/// assert!(SourceKind::Environment < SourceKind::Netrc, "asked in this order");
/// assert_eq!(SourceKind::Netrc.as_str(), "netrc");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SourceKind {
    /// Handed over by the caller, as a login that is tested is.
    Given,
    /// Variables of the environment.
    Environment,
    /// A command that the user's configuration names.
    Helper,
    /// The protected file that `backlot auth login` writes.
    File,
    /// A netrc file.
    Netrc,
}

impl SourceKind {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Environment => "environment",
            Self::Helper => "helper",
            Self::File => "file",
            Self::Netrc => "netrc",
        }
    }
}

/// The purpose of a credential.
///
/// ```
/// use backlot_net::{CredentialRequest, PlaceName};
///
/// let url = "https://index.studio.example/".parse().unwrap();
/// let request = CredentialRequest {
///     place: &PlaceName::unnamed(),
///     url: &url,
///     user: None,
///     instead_of: None,
/// };
/// assert_eq!(request.host(), "index.studio.example");
/// assert!(!request.is_this_machine());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CredentialRequest<'a> {
    /// The repo or remote, by whose name variables are found.
    pub place: &'a PlaceName,
    /// The server and path that will get it; see [`server_url`].
    pub url: &'a Url,
    /// The user that the address or the environment names, if any.
    pub user: Option<&'a str>,
    /// The previous credential, which has expired or was rejected: the same answer from a cache does not count.
    pub instead_of: Option<&'a Credential>,
}

impl CredentialRequest<'_> {
    /// The host that will get it; of a bucket without an endpoint, the bucket.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it stays on this machine.
    pub fn is_this_machine(&self) -> bool {
        matches!(self.url.scheme(), "http" | "https" | "sftp") && backlot_core::web::is_loopback(self.host())
    }
}

/// A credential, and where it was found.
///
/// ```
/// use std::sync::Arc;
///
/// use backlot_core::Context;
/// use backlot_net::{Credential, CredentialChain, GivenCredential, PlaceName, SourceKind};
///
/// let ana = Credential {
///     user: "ana".to_owned(),
///     password: "secret".to_owned(),
/// };
/// let chain = CredentialChain::default().with(Arc::new(GivenCredential(ana)));
/// let url = "https://index.studio.example/".parse().unwrap();
/// let found = chain.find(&PlaceName::unnamed(), &url, None, &Context::default());
/// let found = found.unwrap().unwrap();
/// assert_eq!((found.credential.user.as_str(), found.source), ("ana", SourceKind::Given));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCredential {
    /// The user and the password.
    pub credential: Credential,
    /// The kind of source that had it.
    pub source: SourceKind,
    /// Which variable, command or file; nothing of it is secret.
    pub from: String,
    /// When it stops working, if the source says so.
    pub expires: Option<Timestamp>,
}

/// A credential that a source has or may have, for people: never its secret.
///
/// ```
/// use backlot_net::{CredentialSource as _, FromVariables, ListedCredential};
///
/// let variables = [("BACKLOT_REMOTE_MAIN_USERNAME", "ana"), ("BACKLOT_REMOTE_MAIN_PASSWORD", "secret")];
/// let listed: Vec<ListedCredential> = FromVariables::new(variables).list().unwrap();
/// assert_eq!(listed[0].user.as_deref(), Some("ana"));
/// assert!(!format!("{listed:?}").contains("secret"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedCredential {
    /// The kind of source.
    pub source: SourceKind,
    /// Which variable, command or file.
    pub from: String,
    /// The addresses it is used for, where it is bound to a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The host it is bound to; `None` for a helper that is asked about every host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The user, where the source tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// One source of credentials.
///
/// ```
/// use backlot_core::Context;
/// use backlot_net::{Credential, CredentialRequest, CredentialSource, FoundCredential, SourceKind};
///
/// /// One account for a whole farm.
/// #[derive(Debug)]
/// struct Farm;
///
/// impl CredentialSource for Farm {
///     fn kind(&self) -> SourceKind {
///         SourceKind::Given
///     }
///
///     fn find(
///         &self,
///         request: &CredentialRequest<'_>,
///         _: &Context,
///     ) -> backlot_net::Result<Option<FoundCredential>> {
///         let is_ours = request.host().ends_with(".studio.example");
///         Ok(is_ours.then(|| FoundCredential {
///             credential: Credential {
///                 user: "farm".to_owned(),
///                 password: "secret".to_owned(),
///             },
///             source: self.kind(),
///             from: "the farm".to_owned(),
///             expires: None,
///         }))
///     }
/// }
/// ```
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// Its place in the order.
    fn kind(&self) -> SourceKind;

    /// The credential for a server; `None` if this source has none.
    fn find(&self, request: &CredentialRequest<'_>, context: &Context) -> Result<Option<FoundCredential>>;

    /// The user that a place is used as, where the source names one without a password.
    fn user(&self, _place: &PlaceName) -> Option<String> {
        None
    }

    /// The file with the SSH key for a place, if one is named.
    fn key(&self, _place: &PlaceName) -> Option<PathBuf> {
        None
    }

    /// All its entries, without secrets.
    fn list(&self) -> Result<Vec<ListedCredential>> {
        Ok(Vec::new())
    }
}

/// The sources in their order. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use backlot_net::{Credential, CredentialChain, FromVariables, PlaceName};
///
/// let variables = [
///     ("BACKLOT_REPO_STUDIO_HOST", "index.studio.lan"),
///     ("BACKLOT_REPO_STUDIO_TOKEN", "t0ken"),
/// ];
/// let chain = CredentialChain::default().with(Arc::new(FromVariables::new(variables)));
/// let url = "https://index.studio.lan/simple/".parse().unwrap();
/// let studio = PlaceName::Repo("studio".to_owned());
/// let found = chain.find(&studio, &url, None, &Default::default()).unwrap().unwrap();
/// assert_eq!(found.credential.user, Credential::TOKEN_USER);
/// ```
///
/// ```
/// use std::sync::Arc;
///
/// use backlot_net::{CredentialChain, CredentialFile, FromVariables, Netrc, SourceKind};
///
/// let chain = CredentialChain::default()
///     .with(Arc::new(Netrc::new("/nowhere/.netrc")))
///     .with(Arc::new(CredentialFile::new("/nowhere/credentials.json")))
///     .with(Arc::new(FromVariables::new([("BACKLOT_REPO_BLESSED_TOKEN", "secret")])));
/// assert_eq!(chain.list().unwrap()[0].source, SourceKind::Environment);
/// ```
#[derive(Clone, Debug, Default)]
pub struct CredentialChain {
    sources: Vec<Arc<dyn CredentialSource>>,
}

impl CredentialChain {
    /// The same with another source, behind those of its kind.
    #[must_use]
    pub fn with(mut self, source: Arc<dyn CredentialSource>) -> Self {
        self.sources.push(source);
        self.sources.sort_by_key(|source| source.kind());
        self
    }

    /// The first credential that a source has for a server. The server is given as [`server_url`] makes it.
    pub fn find(
        &self,
        place: &PlaceName,
        url: &Url,
        instead_of: Option<&Credential>,
        context: &Context,
    ) -> Result<Option<FoundCredential>> {
        let named = backlot_core::web::percent_decode(url.username()).filter(|user| !user.is_empty());
        let user = named.or_else(|| self.sources.iter().find_map(|source| source.user(place)));
        let request = CredentialRequest {
            place,
            url,
            user: user.as_deref(),
            instead_of,
        };
        for source in &self.sources {
            if let Some(found) = source.find(&request, context)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The file with the SSH key for a place.
    pub fn key(&self, place: &PlaceName) -> Option<PathBuf> {
        self.sources.iter().find_map(|source| source.key(place))
    }

    /// All credentials of the sources, in their order, without secrets.
    pub fn list(&self) -> Result<Vec<ListedCredential>> {
        let mut all = Vec::new();
        for source in &self.sources {
            all.extend(source.list()?);
        }
        Ok(all)
    }
}

/// A source with one credential, for any server: to test one that was just entered.
///
/// ```
/// use backlot_net::{Credential, CredentialSource as _, GivenCredential, SourceKind};
///
/// let given = GivenCredential(Credential {
///     user: "ana".to_owned(),
///     password: "secret".to_owned(),
/// });
/// assert_eq!(given.kind(), SourceKind::Given);
/// ```
#[derive(Clone, Debug)]
pub struct GivenCredential(pub Credential);

impl CredentialSource for GivenCredential {
    fn kind(&self) -> SourceKind {
        SourceKind::Given
    }

    fn find(&self, _request: &CredentialRequest<'_>, _context: &Context) -> Result<Option<FoundCredential>> {
        Ok(Some(FoundCredential {
            credential: self.0.clone(),
            source: SourceKind::Given,
            from: "this command".to_owned(),
            expires: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backlot_core::Context;

    use super::{Credential, CredentialChain, FromVariables, GivenCredential, Netrc, PlaceName, SourceKind};

    fn given(password: &str) -> GivenCredential {
        GivenCredential(Credential {
            user: "ana".to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn a_password_does_not_print() {
        let chain = CredentialChain::default().with(Arc::new(given("hunter2")));
        let url = "https://host/".parse().unwrap();
        let found = chain.find(&PlaceName::unnamed(), &url, None, &Context::default());
        assert!(!format!("{chain:?} {found:?}").contains("hunter2"));
    }

    #[test]
    fn sources_are_asked_in_their_order_however_they_were_added() {
        let folder = tempfile::tempdir().unwrap();
        let netrc = folder.path().join("netrc");
        fs_err::write(&netrc, "machine host login ana password from-netrc\n").unwrap();
        let variables = [
            ("BACKLOT_REPO_FAR_HOST", "host"),
            ("BACKLOT_REPO_FAR_TOKEN", "token"),
        ];
        let chain = CredentialChain::default()
            .with(Arc::new(Netrc::new(&netrc)))
            .with(Arc::new(FromVariables::new(variables)));
        let url = "https://host/".parse().unwrap();
        let find = |place: &PlaceName| {
            let found = chain
                .find(place, &url, None, &Context::default())
                .unwrap()
                .unwrap();
            (found.source, found.credential.password)
        };
        let far = PlaceName::Repo("far".to_owned());
        assert_eq!(find(&far), (SourceKind::Environment, "token".to_owned()));
        let other = PlaceName::Remote("far".to_owned());
        assert_eq!(find(&other), (SourceKind::Netrc, "from-netrc".to_owned()));
    }

    #[test]
    fn a_user_of_the_environment_is_not_somebody_else_of_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let netrc = folder.path().join("netrc");
        fs_err::write(&netrc, "machine host login ana password x\n").unwrap();
        let with = |user: &str| {
            CredentialChain::default()
                .with(Arc::new(FromVariables::new([(
                    "BACKLOT_REPO_FAR_USERNAME",
                    user,
                )])))
                .with(Arc::new(Netrc::new(&netrc)))
        };
        let url = "https://host/".parse().unwrap();
        let far = PlaceName::Repo("far".to_owned());
        let find = |user| with(user).find(&far, &url, None, &Context::default()).unwrap();
        assert!(find("ana").is_some());
        assert!(find("ben").is_none());
    }
}
