//! Errors of storing, removing or testing credentials.
//!
//! Invariant: no secret is in a message.

use std::path::PathBuf;

use backlot_core::Class;

/// Why credentials were not stored, removed or accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The server does not let us in.
    #[error("`{url}` denied access{}: {answer}", as_whom(user.as_deref(), from.as_deref()))]
    Refused {
        /// The tested URL.
        url: String,
        /// The user; `None` without credentials.
        user: Option<String>,
        /// Where the credential came from.
        from: Option<String>,
        /// The server's response.
        answer: String,
    },
    /// No credential to remove.
    #[error("no credential is stored for `{prefix}` in `{}`", file.display())]
    NotStored {
        /// The prefix.
        prefix: String,
        /// The file.
        file: PathBuf,
        /// The prefixes that there are credentials for.
        known: Vec<String>,
    },
    /// A password or token that is empty, or has control characters in it.
    #[error("the password is empty or contains control characters")]
    BadSecret,
    /// The URL has a different user.
    #[error("`{prefix}` names a different user than `{user}`")]
    OtherUser {
        /// The prefix, with a user.
        prefix: String,
        /// The user that was given.
        user: String,
    },
    /// No terminal to prompt for a password.
    #[error("cannot prompt for {what}: not a terminal")]
    NoTerminal {
        /// The missing value.
        what: &'static str,
    },
    /// The program has no file for credentials.
    #[error("no file is configured to store credentials in")]
    NoFile,
}

fn as_whom(user: Option<&str>, from: Option<&str>) -> String {
    match (user, from) {
        (Some(user), Some(from)) => format!(" as `{user}` (from {from})"),
        _ => " without credentials".to_owned(),
    }
}

backlot_core::coded! {
    AuthError {
        Self::Refused { user: None, url, .. } => "auth::refused", Class::Config,
            format!("run `auth login {url}`");
        Self::Refused { .. } => "auth::refused", Class::Config,
            "check the user, the password and their permissions; `auth list` shows all sources";
        Self::NotStored { known, .. } if known.is_empty() => "auth::not_stored", Class::NotFound,
            "no credentials are stored; `auth list` shows those from other sources";
        Self::NotStored { known, .. } => "auth::not_stored", Class::NotFound,
            format!("there are credentials for `{}`", known.join("`, `"));
        Self::BadSecret => "auth::bad_secret", Class::User,
            "give it on one line";
        Self::OtherUser { .. } => "auth::other_user", Class::User,
            "remove the user from the URL, or omit `--user`";
        Self::NoTerminal { .. } => "auth::no_terminal", Class::User,
            "give `--user NAME` and `--password-stdin`, or `--token-stdin`: `auth login URL --token-stdin < FILE`";
        Self::NoFile => "auth::no_file", Class::Config,
            "set `Host::credential_file`";
    }
}
