//! What a check found.

use backlot_repo::RecordedWaiver;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Fine.
    Pass,
    /// Refused.
    Fail,
    /// It could not look.
    Skip,
    /// It did not run to its end.
    Crash,
    /// It exceeded its time limit.
    Timeout,
}

impl Outcome {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Crash => "crash",
            Self::Timeout => "timeout",
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckItem {
    /// The file, by its path in the package, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The problem.
    pub message: String,
    /// The expected value, if it is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The actual value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Whether a waiver holds for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waived: bool,
}

/// Whether a waiver holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WaiverState {
    /// It holds.
    Active,
    /// Its last day is over.
    Expired,
    /// It is for other versions.
    OtherVersion,
    /// The studio does not allow waivers of this check.
    NotAllowed,
}

/// A waiver of a check, as the asset declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Waiver {
    /// Author, reason and last day.
    #[serde(flatten)]
    pub waiver: RecordedWaiver,
    /// The files whose findings are waived; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// The versions of the asset for which they are; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
    /// Whether it holds.
    pub state: WaiverState,
}

impl CheckItem {
    /// The most that one check tells.
    pub(crate) const MOST: usize = 100;

    pub(crate) fn of(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: Some(path.to_owned()),
            message: message.into(),
            ..Self::default()
        }
    }

    pub(crate) fn of_all(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// With what was expected and what is there.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers give numbers and texts alike"
    )]
    pub(crate) fn compared(self, expected: impl ToString, found: impl ToString) -> Self {
        Self {
            expected: Some(expected.to_string()),
            found: Some(found.to_string()),
            ..self
        }
    }
}

/// What a check found, and what it could not look at.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) refused: Vec<CheckItem>,
    pub(crate) skipped: Vec<CheckItem>,
}

impl Findings {
    pub(crate) fn skip(item: CheckItem) -> Self {
        Self {
            refused: Vec::new(),
            skipped: vec![item],
        }
    }

    /// What it amounts to: one finding refuses, whatever could not be looked at.
    pub(crate) fn outcome(self) -> (Outcome, Vec<CheckItem>) {
        let outcome = match (self.refused.is_empty(), self.skipped.is_empty()) {
            (false, _) => Outcome::Fail,
            (true, false) => Outcome::Skip,
            (true, true) => Outcome::Pass,
        };
        let mut items = self.refused;
        items.extend(self.skipped);
        (outcome, items)
    }
}

impl From<Vec<CheckItem>> for Findings {
    fn from(refused: Vec<CheckItem>) -> Self {
        Self {
            refused,
            skipped: Vec::new(),
        }
    }
}

/// Why a check that is built in did not run.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// It is declared wrongly.
    BadParams(String),
    /// Something that it needs failed, and perhaps not the next time.
    Crash(String),
    /// Nothing more is to be done.
    Stop(Error),
}

impl From<String> for NotRun {
    fn from(reason: String) -> Self {
        Self::BadParams(reason)
    }
}

impl From<Error> for NotRun {
    fn from(error: Error) -> Self {
        use backlot_core::Diagnostic as _;
        match error.class() {
            backlot_core::Class::Cancelled => Self::Stop(error),
            _ => Self::Crash(error.to_string()),
        }
    }
}
