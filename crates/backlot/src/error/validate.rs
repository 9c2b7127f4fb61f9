//! What stops a publish because a validator of the asset refused it, or could not be run.

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
        /// What is wrong.
        reason: String,
    },
    /// An asset with a studio's checks that is named and not installed.
    #[error("`{asset}`, which has the studio's checks, is not installed")]
    ChecksNotInstalled {
        /// The asset that is named.
        asset: String,
    },
    /// Checks that found something.
    #[error("{asset} failed {}: {}", text::count(checks.len() as u64, "check"), checks.join("; "))]
    Failed {
        /// The asset.
        asset: String,
        /// Each with what it found first.
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
        Self::ChecksNotInstalled { asset } => "validate::checks_not_installed", Class::Config,
            format!("`install {asset}`; `[workspace] checks` or `[repos.NAME] checks` in backlot.toml names it");
        Self::Failed { .. } => "validate::failed", Class::Conflict,
            "`validate` lists all that was found; correct it, or waive it in asset.toml (`docs/validators.md`)";
        Self::Crashed { .. } => "validate::crashed", Class::Environment,
            "run the command of the check by hand; it has to end with 0 (fine) or 1 (refused), within its time";
    }
}
