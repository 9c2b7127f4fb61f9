//! Who we are to a server: asked of the embedding program, never kept.
//!
//! Invariants: a credential is sent only to the scheme, host and port of its place; it does not print. Deliberately absent:
//! where credentials come from; the command line has the environment and netrc, others have a keyring.

use std::fmt;
use std::path::PathBuf;

/// A user and a password. A token is the password of a user that the index names, [`Self::TOKEN_USER`] as a rule.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceName {
    /// A repo, by its name in the workspace.
    Repo(String),
    /// A remote, by its name in the workspace.
    Remote(String),
}

impl PlaceName {
    /// What the environment variables about it begin with: `BACKLOT_REPO_BLESSED`, `BACKLOT_REMOTE_MAIN`; capitals, `-` as
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

/// Finds credentials.
pub trait Credentials: Send + Sync + fmt::Debug {
    /// The credential for a place on a host.
    fn find(&self, place: &PlaceName, host: &str) -> Option<Credential>;

    /// The file with the SSH key for a place, if one is named.
    fn key(&self, _place: &PlaceName) -> Option<PathBuf> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Credential;

    #[test]
    fn a_password_does_not_print() {
        let credential = Credential {
            user: "ana".to_owned(),
            password: "hunter2".to_owned(),
        };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }
}
