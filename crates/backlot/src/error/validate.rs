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
    /// An asset with a studio's checks that is named and not installed.
    #[error("`{asset}`, which has the studio's checks, is not installed")]
    ChecksNotInstalled {
        /// The asset that is named.
        asset: String,
    },
    /// A check that is a function, and an environment without Python.
    #[error("`{check}` is a function, and this workspace has no Python to call it with")]
    NoPython {
        /// The check.
        check: String,
    },
    /// Checks that found something.
    #[error("{asset} failed {}: {}", text::count(checks.len() as u64, "check"), checks.join("; "))]
    Failed {
        /// The asset.
        asset: String,
        /// Each with its first finding.
        checks: Vec<String>,
    },
    /// A repair that cannot be applied.
    #[error("the repair of `{path}` cannot be applied: {reason}")]
    BadRepair {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Repairs that did not do what they are for.
    #[error("repairs of {asset} were not applied: {reason}")]
    NotRepaired {
        /// The asset.
        asset: String,
        /// Why.
        reason: String,
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
        Self::NoPython { .. } => "validate::no_python", Class::Config,
            "give the workspace a Python, as `python install 3.12` and `config set python 3.12` do, and run `install`";
        Self::Failed { .. } => "validate::failed", Class::Conflict,
            "`validate` lists all findings; correct them, or waive them in asset.toml (`docs/validators.md`)";
        Self::BadRepair { .. } => "validate::bad_repair", Class::Conflict,
            "run `validate --repair` again; a repair may only change the files of its check and files that are not tracked";
        Self::NotRepaired { .. } => "validate::not_repaired", Class::Conflict,
            "nothing was changed; run the command of the repair by hand (`docs/validators.md`)";
        Self::Crashed { .. } => "validate::crashed", Class::Environment,
            "run the command of the check manually; it has to exit with 0 (passed) or 1 (failed) before its timeout";
    }
}
