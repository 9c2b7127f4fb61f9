//! What a check found.

use serde::{Deserialize, Serialize};

/// What became of a check.
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
    /// It took too long.
    Timeout,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckItem {
    /// The file, by its path in the package, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl CheckItem {
    /// The most that one check tells.
    pub(crate) const MOST: usize = 100;

    pub(crate) fn of(path: &str, message: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            message: message.to_owned(),
        }
    }

    pub(crate) fn of_all(message: &str) -> Self {
        Self {
            path: None,
            message: message.to_owned(),
        }
    }
}
