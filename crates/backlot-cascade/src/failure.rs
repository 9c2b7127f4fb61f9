//! Why a node was not done, and when it is tried again (rules R5, R10).
//!
//! Invariant: fault of the environment costs no attempt of a build; a build that fails by its own fault is not tried again
//! with the same key more often than the limit says, in whatever cascade. Deliberately absent: waiting.

use backlot_core::{Class, Diagnostic, Timestamp};
use serde::{Deserialize, Serialize};

use crate::plan::Limits;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The machine's, the network's, a licence's: a lost host, a full disk, files that have not arrived at this site yet.
    Environment,
    /// The build's: its command failed.
    Build,
    /// The content's: a validator refused it.
    Invalid,
    /// A validator's: it crashed or ran out of time.
    Crash,
    /// Somebody's: bytes are not what their digest says.
    Integrity,
    /// It failed too often with the same key.
    Exhausted,
}

impl FailureKind {
    /// Whether it counts against the key.
    pub fn counts(self) -> bool {
        matches!(self, Self::Build | Self::Invalid | Self::Crash | Self::Integrity)
    }
    /// Whether trying the same again can help.
    pub fn is_worth_retrying(self) -> bool {
        matches!(self, Self::Environment | Self::Build | Self::Crash)
    }
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Build => "build",
            Self::Invalid => "invalid",
            Self::Crash => "crash",
            Self::Integrity => "integrity",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A failure of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What happened, lower case, no full stop.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
    /// A failure from an error of a service: its class says whose fault it is.
    pub fn from_error(error: &dyn Diagnostic) -> Self {
        let kind = match error.class() {
            Class::Integrity => FailureKind::Integrity,
            Class::Environment => FailureKind::Environment,
            _ if error.retry() => FailureKind::Environment,
            _ => FailureKind::Build,
        };
        Self::new(kind, error.to_string())
    }
}

/// When to try again after a failure; `None` for never. `attempts` counts failures with the same key including this one, or
/// those of the environment in a row.
pub fn retry_at(kind: FailureKind, attempts: u32, limits: &Limits, now: Timestamp) -> Option<Timestamp> {
    let most = match kind {
        FailureKind::Environment => limits.environment_attempts,
        _ => limits.attempts,
    };
    if !kind.is_worth_retrying() || attempts >= most {
        return None;
    }
    let doublings = attempts.saturating_sub(1).min(6);
    let pause = limits.backoff_ms.saturating_mul(1 << doublings);
    Some(Timestamp(now.0.saturating_add(pause)))
}

#[cfg(test)]
mod tests {
    use backlot_core::Timestamp;

    use super::{FailureKind, retry_at};
    use crate::plan::Limits;

    #[test]
    fn pauses_double_and_end() {
        let limits = Limits::default();
        let at = |kind, attempts| retry_at(kind, attempts, &limits, Timestamp(1_000)).map(|at| at.0 - 1_000);
        assert_eq!(at(FailureKind::Environment, 1), Some(5_000));
        assert_eq!(at(FailureKind::Environment, 3), Some(20_000));
        assert_eq!(at(FailureKind::Environment, 8), None);
        assert_eq!(at(FailureKind::Build, 1), Some(5_000));
        assert_eq!(at(FailureKind::Build, 2), None);
        assert_eq!(at(FailureKind::Invalid, 1), None);
    }
}
