//! What can go wrong when credentials are stored, removed or tested.
//!
//! Invariant: no secret is in a message.

use std::path::PathBuf;

use backlot_core::{Class, Coded};

/// Why credentials were not stored, removed or accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The server does not let us in.
    #[error("`{url}` does not let us in{}: {answer}", as_whom(user.as_deref(), from.as_deref()))]
    Refused {
        /// What was asked.
        url: String,
        /// Who we said to be; `None` without credentials.
        user: Option<String>,
        /// Where the credential came from.
        from: Option<String>,
        /// What it answered.
        answer: String,
    },
    /// There is no credential to remove.
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
    #[error("the password is empty, or has control characters in it")]
    BadSecret,
    /// The address is that of another user.
    #[error("`{prefix}` names another user than `{user}`")]
    OtherUser {
        /// The prefix, with a user.
        prefix: String,
        /// The user that was given.
        user: String,
    },
    /// There is nobody to ask for a password.
    #[error("there is no terminal to ask for {what} on")]
    NoTerminal {
        /// What is missing.
        what: &'static str,
    },
    /// The program has no file for credentials.
    #[error("this program has no file to store credentials in")]
    NoFile,
}

fn as_whom(user: Option<&str>, from: Option<&str>) -> String {
    match (user, from) {
        (Some(user), Some(from)) => format!(" as `{user}` (from {from})"),
        _ => " without credentials".to_owned(),
    }
}

impl Coded for AuthError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "auth::refused",
            Self::NotStored { .. } => "auth::not_stored",
            Self::BadSecret => "auth::bad_secret",
            Self::OtherUser { .. } => "auth::other_user",
            Self::NoTerminal { .. } => "auth::no_terminal",
            Self::NoFile => "auth::no_file",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::NoFile => Class::Config,
            Self::NotStored { .. } => Class::NotFound,
            Self::BadSecret | Self::OtherUser { .. } | Self::NoTerminal { .. } => Class::User,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Refused { user: None, url, .. } => format!("run `backlot auth login {url}`"),
            Self::Refused { .. } => {
                "check the user and the password, and what they may do; `backlot auth list` shows all sources".to_owned()
            }
            Self::NotStored { known, .. } if known.is_empty() => {
                "nothing is stored; `backlot auth list` shows credentials of other sources".to_owned()
            }
            Self::NotStored { known, .. } => format!("there are credentials for `{}`", known.join("`, `")),
            Self::BadSecret => "give it on one line".to_owned(),
            Self::OtherUser { .. } => "leave the user out of the address, or out of `--user`".to_owned(),
            Self::NoTerminal { .. } => {
                "give `--user NAME` and `--password-stdin`, or `--token-stdin`: `backlot auth login URL --token-stdin < FILE`"
                    .to_owned()
            }
            Self::NoFile => "set `Host::credential_file`".to_owned(),
        })
    }
}
