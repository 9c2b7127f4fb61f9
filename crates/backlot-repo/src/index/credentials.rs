//! Who we are to an index: asked of the embedding program, never kept.
//!
//! Invariants: a credential is sent only to the scheme, host and port of its repo; it does not print. Deliberately absent:
//! where credentials come from; the command line has the environment and netrc, others have a keyring.

use std::fmt;
use std::path::PathBuf;

/// A user and a password. A token is the password of a user that the index names, `__token__` as a rule.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Finds credentials.
pub trait Credentials: Send + Sync + fmt::Debug {
    /// The credential for a repo, by its name in the workspace and its host.
    fn find(&self, repo: &str, host: &str) -> Option<Credential>;

    /// The file with the SSH key for a repo, if one is named.
    fn key(&self, _repo: &str) -> Option<PathBuf> {
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
