//! Errors that stop a publish because a check of the asset failed, or could not be run.

use backlot_core::{Class, text};

/// Checks of an asset that did not pass, or that are declared wrongly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidateError {
    /// A declaration that cannot be read.
    #[error("`{path}`: {reason}")]
    BadCheck {
        /// The `asset.toml`.
        path: String,
        /// The reason.
        reason: String,
    },
    /// A policy that is named and not installed.
    #[error("the policy `{policy}` is not installed")]
    NoPolicy {
        /// The asset that is named.
        policy: String,
    },
    /// Checks that found something.
    #[error("{asset} failed {}: {}", text::count(checks.len() as u64, "check"), checks.join("; "))]
    Failed {
        /// The asset.
        asset: String,
        /// Each with its first finding.
        checks: Vec<String>,
    },
    /// Checks that could not be run to their end.
    #[error("{} of {asset} could not be run: {}", text::count(checks.len() as u64, "check"), checks.join("; "))]
    Crashed {
        /// The asset.
        asset: String,
        /// Each with the reason.
        checks: Vec<String>,
    },
}

backlot_core::coded! {
    ValidateError {
        Self::BadCheck { .. } => "validate::bad_check", Class::Config,
            "correct [[backlot.validate]] in it; `docs/validators.md` lists keys and checks";
        Self::NoPolicy { policy } => "validate::no_policy", Class::Config,
            format!("`install {policy}`; `[workspace] policy` or `[repos.NAME] policy` in backlot.toml names it");
        Self::Failed { .. } => "validate::failed", Class::Conflict,
            "`validate` lists all findings; correct them, or waive them in asset.toml (`docs/validators.md`)";
        Self::Crashed { .. } => "validate::crashed", Class::Environment,
            "run the command of the check manually; it has to exit with 0 (passed) or 1 (failed) before its timeout";
    }
}
