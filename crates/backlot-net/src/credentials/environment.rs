//! Credentials in variables: `BACKLOT_REPO_<NAME>_TOKEN` and what belongs to it.
//!
//! Invariants: a secret belongs to the host in `_HOST`, since a name in a project file proves nothing (a project may come from
//! anywhere); a server on this machine needs no such variable. The variables are given, never read here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use backlot_core::Context;

use super::{
    Credential, CredentialRequest, CredentialSource, FoundCredential, ListedCredential, PlaceName, SourceKind,
};
use crate::error::Result;

/// The variables that begin with `BACKLOT_REPO_` or `BACKLOT_REMOTE_`.
///
/// ```
/// use backlot_net::{CredentialSource as _, FromVariables};
///
/// let variables = FromVariables::new([
///     ("BACKLOT_REPO_BLESSED_TOKEN", "secret"),
///     ("BACKLOT_REPO_BLESSED_HOST", "index.studio.example"),
///     ("HOME", "/home/ana"),
/// ]);
/// let listed = variables.list().unwrap();
/// assert_eq!(listed.len(), 1);
/// assert_eq!(listed[0].host.as_deref(), Some("index.studio.example"));
/// ```
#[derive(Clone, Default)]
pub struct FromVariables(BTreeMap<String, String>);

impl fmt::Debug for FromVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromVariables").finish_non_exhaustive()
    }
}

impl FromVariables {
    /// Take those that are about repos and remotes.
    pub fn new<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let all = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self(
            all.filter(|(name, _): &(String, String)| {
                name.starts_with("BACKLOT_REPO_") || name.starts_with("BACKLOT_REMOTE_")
            })
            .collect(),
        )
    }

    fn variable(&self, start: &str, what: &str) -> Option<(String, String)> {
        let name = format!("{start}_{what}");
        let value = self.0.get(&name).filter(|value| !value.is_empty())?.clone();
        Some((name, value))
    }

    fn value(&self, place: &PlaceName, what: &str) -> Option<String> {
        self.variable(&place.variables(), what).map(|(_, value)| value)
    }
}

impl CredentialSource for FromVariables {
    fn kind(&self) -> SourceKind {
        SourceKind::Environment
    }

    fn find(&self, request: &CredentialRequest<'_>, _context: &Context) -> Result<Option<FoundCredential>> {
        let start = request.place.variables();
        let host = request.host();
        let is_bound = request.is_this_machine()
            || self
                .value(request.place, "HOST")
                .is_some_and(|bound| bound.eq_ignore_ascii_case(host));
        let secret = self
            .variable(&start, "TOKEN")
            .or_else(|| self.variable(&start, "PASSWORD"))
            .filter(|_| is_bound);
        Ok(secret.map(|(name, password)| FoundCredential {
            credential: Credential {
                user: self
                    .value(request.place, "USERNAME")
                    .unwrap_or_else(|| Credential::TOKEN_USER.to_owned()),
                password,
            },
            source: SourceKind::Environment,
            from: name,
            expires: None,
        }))
    }

    fn user(&self, place: &PlaceName) -> Option<String> {
        self.value(place, "USERNAME")
    }

    fn key(&self, place: &PlaceName) -> Option<PathBuf> {
        self.value(place, "KEY").map(PathBuf::from)
    }

    fn list(&self) -> Result<Vec<ListedCredential>> {
        let secrets = self.0.iter().filter(|(_, value)| !value.is_empty());
        let listed = secrets.filter_map(|(name, _)| {
            let start = name
                .strip_suffix("_TOKEN")
                .or_else(|| name.strip_suffix("_PASSWORD"))?;
            let host = self.variable(start, "HOST").map(|(_, host)| host);
            Some(ListedCredential {
                source: SourceKind::Environment,
                from: name.clone(),
                prefix: None,
                // Without a host it is used on this machine only.
                host: Some(host.unwrap_or_else(|| "localhost".to_owned())),
                user: self.variable(start, "USERNAME").map(|(_, user)| user),
            })
        });
        Ok(listed.collect())
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::Context;

    use super::super::{Credential, CredentialRequest, CredentialSource as _, PlaceName};
    use super::FromVariables;

    fn repo(name: &str) -> PlaceName {
        PlaceName::Repo(name.to_owned())
    }

    fn pair(user: &str, password: &str) -> Credential {
        Credential {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn source() -> FromVariables {
        FromVariables::new([
            ("BACKLOT_REPO_MY_INDEX_HOST", "h"),
            ("BACKLOT_REPO_MY_INDEX_TOKEN", "t"),
            ("BACKLOT_REPO_OTHER_HOST", "H"),
            ("BACKLOT_REPO_OTHER_USERNAME", "u"),
            ("BACKLOT_REPO_OTHER_PASSWORD", "p"),
            ("BACKLOT_REPO_OTHER_KEY", "/keys/studio"),
            ("BACKLOT_REMOTE_OTHER_HOST", "h"),
            ("BACKLOT_REMOTE_OTHER_TOKEN", "files"),
            ("ELSE", "x"),
        ])
    }

    fn find(place: &PlaceName, url: &str) -> Option<Credential> {
        let url = url.parse().unwrap();
        let request = CredentialRequest {
            place,
            url: &url,
            user: None,
            instead_of: None,
        };
        let found = source().find(&request, &Context::default()).unwrap();
        found.map(|found| found.credential)
    }

    #[test]
    fn the_environment_goes_by_the_name_of_the_repo_or_remote() {
        assert_eq!(
            find(&repo("my-index"), "https://h/"),
            Some(pair("__token__", "t"))
        );
        assert_eq!(find(&repo("other"), "https://h/x"), Some(pair("u", "p")));
        let remote = PlaceName::Remote("other".to_owned());
        assert_eq!(find(&remote, "https://h/"), Some(pair("__token__", "files")));
        assert_eq!(source().key(&remote), None);
        assert_eq!(find(&repo("third"), "https://h/"), None);
        assert_eq!(find(&PlaceName::unnamed(), "https://h/"), None);
        assert_eq!(source().key(&repo("other")), Some("/keys/studio".into()));
        assert_eq!(source().key(&repo("third")), None);
    }

    #[test]
    fn another_server_is_not_sent_it_whatever_a_project_names_it() {
        assert_eq!(find(&repo("my-index"), "https://evil/"), None);
        assert_eq!(
            find(&repo("my-index"), "http://127.0.0.1:1/"),
            Some(pair("__token__", "t"))
        );
        // A bucket of that name is not this machine.
        assert_eq!(find(&repo("my-index"), "s3://localhost/x"), None);
    }

    #[test]
    fn what_is_there_is_listed_without_secrets() {
        let listed = source().list().unwrap();
        assert_eq!(listed.len(), 3);
        let text = format!("{listed:?} {:?}", source());
        assert!(!text.contains("\"p\"") && !text.contains("files"), "{text}");
    }
}
