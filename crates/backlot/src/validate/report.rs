//! The report of the checks of an asset.
//!
//! Invariant: a check that refuses, crashes or takes too long at level `error` blocks, unless all that it found is waived; one that could not look,
//! because files are not here, does where nobody sees what is said.

use backlot_core::{Sha256, options};
use backlot_repo::RecordedCheck;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::ValidateError;
use crate::validate::declared::{CheckLevel, Occasion};
use crate::validate::found::{CheckItem, Outcome, Waiver, WaiverState};

/// The most bytes of checks in the record of a release, which is a small file.
const MOST_RECORDED: usize = 32 << 10;
/// The most characters of a reason in it.
const LONGEST_REASON: usize = 200;

options! {
    /// How to run the checks of an asset.
    #[derive(Default)]
    pub struct ValidateOptions {
        /// As strictly as in a cascade.
        pub automatic: bool,
        /// As for a publish to this repo, instead of the workspace's target.
        pub to: Option<String>,
        /// Read files again, though what was read of the same content is known.
        pub fresh: bool,
    }
}

/// The result of a check.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckResult {
    /// Its id.
    pub check: String,
    /// The asset with the studio's checks that declares it, as `studio-checks 1.2`; otherwise the asset itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The package that provides it, as `studio-checks 1.2`, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Its level in this run.
    pub level: CheckLevel,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its findings, at most 100.
    pub items: Vec<CheckItem>,
    /// How many things it found.
    #[serde(default)]
    pub findings: u64,
    /// The waivers of it, with whether they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// Whether it did not pass, and all that it found is waived.
    #[serde(default)]
    pub waived: bool,
    /// Whether its outcome was known, and it was not run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// The results of all checks of an asset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValidateReport {
    /// The asset.
    pub asset: String,
    /// The version that it would be published as.
    pub version: backlot_pep::Version,
    /// Whether checks were as strict as they are in cascades.
    pub automatic: bool,
    /// The purpose of the checks.
    #[serde(default)]
    pub occasion: Occasion,
    /// The repo that it was checked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The assets whose checks for all were applied, as `studio-checks 1.2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studio_checks: Vec<String>,
    /// The checks: those of the asset in the order in which they are declared, then the studio's.
    pub checks: Vec<CheckResult>,
    /// Checks that the asset waives and that are not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused_waivers: Vec<String>,
}

impl ValidateReport {
    /// The error that blocks a publish, if any: crashes have their own error, since another run may end differently.
    pub fn failure(&self) -> Option<ValidateError> {
        let blocking = |outcomes: &[Outcome]| -> Vec<String> {
            let checks = self
                .checks
                .iter()
                .filter(|check| check.level == CheckLevel::Error && !check.waived);
            let checks = checks.filter(|check| outcomes.contains(&check.outcome));
            checks.map(CheckResult::in_a_line).collect()
        };
        let refusals: &[Outcome] = match self.occasion {
            Occasion::Publish => &[Outcome::Fail],
            Occasion::Automatic | Occasion::Promotion => &[Outcome::Fail, Outcome::Skip],
        };
        let (failed, crashed) = (blocking(refusals), blocking(&[Outcome::Crash, Outcome::Timeout]));
        let asset = self.asset.clone();
        if !failed.is_empty() {
            return Some(ValidateError::Failed {
                asset,
                checks: failed,
            });
        }
        (!crashed.is_empty()).then_some(ValidateError::Crashed {
            asset,
            checks: crashed,
        })
    }

    /// The results as a release records them.
    pub fn recorded(&self) -> Vec<RecordedCheck> {
        let mut left = MOST_RECORDED;
        let recorded = self.checks.iter().map(CheckResult::recorded);
        recorded
            .take_while(|check| {
                let bytes = serde_json::to_vec_pretty(check).map_or(left + 1, |bytes| bytes.len());
                let fits = bytes <= left;
                left = left.saturating_sub(bytes);
                fits
            })
            .collect()
    }
}

impl CheckResult {
    /// `frames.complete: f.0002.exr missing (and 3 more)`.
    pub fn in_a_line(&self) -> String {
        let open = self.items.iter().find(|item| !item.waived);
        let first = open.or(self.items.first()).map(|item| match &item.path {
            Some(path) => format!(": {path} {}", item.message),
            None => format!(": {}", item.message),
        });
        let more = match self.findings.saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let expired = self.waivers.iter().find(|one| one.state == WaiverState::Expired);
        let expired =
            expired.map(|one| format!(" (the waiver by {} ended on {})", one.waiver.by, one.waiver.until));
        format!(
            "{}{}{more}{}",
            self.check,
            first.unwrap_or_default(),
            expired.unwrap_or_default()
        )
    }

    fn recorded(&self) -> RecordedCheck {
        let active = self.waivers.iter().find(|one| one.state == WaiverState::Active);
        let waiver = active.filter(|_| self.outcome != Outcome::Pass);
        let short = |text: &str| text.chars().take(LONGEST_REASON).collect::<String>();
        // Without times, so that the same findings have the same digest.
        let content = serde_json::to_vec(&(&self.check, self.outcome, &self.items, self.findings));
        let digest = sha2::Sha256::digest(content.unwrap_or_default());
        RecordedCheck {
            check: short(&self.check),
            from: self.from.as_deref().map(short),
            level: self.level.as_str().to_owned(),
            outcome: self.outcome.as_str().to_owned(),
            findings: self.findings,
            waived: waiver.map(|one| {
                let mut waiver = one.waiver.clone();
                waiver.reason = short(&waiver.reason);
                waiver.by = short(&waiver.by);
                waiver
            }),
            sha256: Sha256::from_bytes(digest.into()),
        }
    }
}
