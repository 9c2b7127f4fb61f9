//! The interface of all errors: a stable code, a class, help.
//!
//! Messages are lower case without a full stop and do not repeat their cause; the command line renders the chain.
//! Deliberately absent: one error type for everything. Each crate has its own enum.

use std::error::Error;

/// The class of an error; also the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// A defect of Backlot: a broken invariant. Exit code 1.
    Internal,
    /// Invalid input. Exit code 2.
    User,
    /// A configuration file or setting is wrong. Exit code 3.
    Config,
    /// A named thing does not exist. Exit code 4.
    NotFound,
    /// It already exists, another writer was first, or requirements conflict. Exit code 5.
    Conflict,
    /// The machine, the disk or the network refused. Exit code 6.
    Environment,
    /// Bytes are not what their digest says, or an archive is hostile. Exit code 7.
    Integrity,
    /// Stopped on request. Exit code 130, as shells report an interrupt.
    Cancelled,
}

impl Class {
    /// The exit code of a command that ends with an error of this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::User => 2,
            Self::Config => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::Environment => 6,
            Self::Integrity => 7,
            Self::Cancelled => 130,
        }
    }

    /// The word for this class in `--json` output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::User => "user",
            Self::Config => "config",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Environment => "environment",
            Self::Integrity => "integrity",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An error with a stable code, a class and a hint. Implemented by the error enum of every crate.
pub trait Diagnostic: Error + Send + Sync + 'static {
    /// `area::snake_case`, stable for ever, listed in `docs/errors.md`.
    fn code(&self) -> &'static str;
    /// The class of the error.
    fn class(&self) -> Class;
    /// Advice in the imperative; `None` if the message is sufficient. Operations are named in backticks as the command
    /// has them, without its name (`pull --force`): a program may put its own words for them.
    fn help(&self) -> Option<String> {
        None
    }
    /// Whether the same call may succeed later without anything being changed by a person.
    fn retry(&self) -> bool {
        false
    }
}

/// The help of an error in a table of [`coded!`](crate::coded!): a text, or an optional one.
pub trait Help {
    /// As [`Diagnostic::help`] has it.
    fn into_help(self) -> Option<String>;
}

impl Help for &str {
    fn into_help(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Help for String {
    fn into_help(self) -> Option<String> {
        Some(self)
    }
}

impl Help for Option<String> {
    fn into_help(self) -> Option<String> {
        self
    }
}

/// [`Diagnostic`] of an enum of errors, as a table: for each variant its code, class and help, and whether a retry may help. Names
/// after `as` are variants that wrap another error and forward to it; a row for one of them takes precedence.
///
/// ```
/// use backlot_core::{Cancelled, Class, Diagnostic, coded};
///
/// #[derive(Debug, thiserror::Error)]
/// enum Error {
///     #[error("the {what} is busy")]
///     Busy { what: String },
///     #[error(transparent)]
///     Cancelled(Cancelled),
/// }
///
/// coded! {
///     Error as Cancelled {
///         Self::Busy { what } => "core::locked", Class::Conflict,
///             format!("wait for the {what}"),
///             retry true;
///     }
/// }
///
/// let error = Error::Busy { what: "printer".to_owned() };
/// assert_eq!((error.code(), error.class(), error.retry()), ("core::locked", Class::Conflict, true));
/// assert_eq!(error.help().as_deref(), Some("wait for the printer"));
/// assert_eq!(Error::Cancelled(Cancelled::Asked).class(), Class::Cancelled);
/// ```
#[macro_export]
macro_rules! coded {
    (@retry) => {
        false
    };
    (@retry $retry:expr) => {
        $retry
    };
    ($error:ident $(as $($inner:ident)|+)? {
        $($pattern:pat $(if $guard:expr)? => $code:expr, $class:expr, $help:expr $(, retry $retry:expr)?;)*
    }) => {
        #[allow(unused_variables, clippy::match_same_arms, reason = "a row is for all four")]
        impl $crate::Diagnostic for $error {
            fn code(&self) -> &'static str {
                match self {
                    $($pattern $(if $guard)? => $code,)*
                    $($(Self::$inner(inner) => $crate::Diagnostic::code(inner),)+)?
                }
            }

            fn class(&self) -> $crate::Class {
                match self {
                    $($pattern $(if $guard)? => $class,)*
                    $($(Self::$inner(inner) => $crate::Diagnostic::class(inner),)+)?
                }
            }

            fn help(&self) -> Option<String> {
                match self {
                    $($pattern $(if $guard)? => $crate::error::Help::into_help($help),)*
                    $($(Self::$inner(inner) => $crate::Diagnostic::help(inner),)+)?
                }
            }

            fn retry(&self) -> bool {
                match self {
                    $($pattern $(if $guard)? => $crate::coded!(@retry $($retry)?),)*
                    $($(Self::$inner(inner) => $crate::Diagnostic::retry(inner),)+)?
                }
            }
        }
    };
}
