//! Running all checks of an output, and what they amount to.
//!
//! Invariant: a check that refuses, crashes or takes too long at level `error` blocks; one that could not look, because files are not here, does in an
//! automatic run.

use std::time::Instant;

use backlot_core::options;
use serde::{Deserialize, Serialize};

use crate::error::{Result, ValidateError};
use crate::project::output::Output;
use crate::validate::built_in::{self, Subject};
use crate::validate::command::{self, Program};
use crate::validate::declared::{Check, CheckLevel};
use crate::validate::files::{CheckedFile, chosen};
use crate::validate::found::{CheckItem, Outcome};
use crate::workspace::Opened;

options! {
    /// How to run the checks of an asset.
    #[derive(Default)]
    pub struct ValidateOptions {
        /// As strictly as in a cascade.
        pub automatic: bool,
    }
}

/// The result of a check.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckResult {
    /// Its id.
    pub check: String,
    /// Its level in this run.
    pub level: CheckLevel,
    /// What became of it.
    pub outcome: Outcome,
    /// What it found, at most a hundred things.
    pub items: Vec<CheckItem>,
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
    /// The checks, in the order in which they are declared.
    pub checks: Vec<CheckResult>,
}

impl ValidateReport {
    /// The error that stops a publish, if one does: crashes are told apart, as another run may end otherwise.
    pub fn failure(&self) -> Option<ValidateError> {
        let blocking = |outcomes: &[Outcome]| -> Vec<String> {
            let checks = self
                .checks
                .iter()
                .filter(|check| check.level == CheckLevel::Error);
            let checks = checks.filter(|check| outcomes.contains(&check.outcome));
            checks.map(CheckResult::in_a_line).collect()
        };
        let refusals: &[Outcome] = if self.automatic {
            &[Outcome::Fail, Outcome::Skip]
        } else {
            &[Outcome::Fail]
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
}

impl CheckResult {
    /// `frames.complete: f.0002.exr missing (and 3 more)`.
    pub fn in_a_line(&self) -> String {
        let first = self.items.first().map(|item| match &item.path {
            Some(path) => format!(": {path} {}", item.message),
            None => format!(": {}", item.message),
        });
        let more = match self.items.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}{}{more}", self.check, first.unwrap_or_default())
    }
}

impl Opened {
    /// Run the checks that an output declares.
    pub(crate) fn validate(&self, asset: &str, automatic: bool) -> Result<ValidateReport> {
        let output = self.output(asset)?;
        let mut report = ValidateReport {
            asset: output.name.clone(),
            version: output.project.metadata.version.clone(),
            automatic,
            checks: Vec::new(),
        };
        let checks = Check::of(&output, automatic)?;
        if checks.is_empty() {
            return Ok(report);
        }
        let tracked = self.tracked_of_output(&output)?;
        let files = self.files_to_check(&output, &tracked)?;
        let (provenance, _) = self.provenance(&output, &tracked)?;
        for check in &checks {
            self.context().check()?;
            let begun = Instant::now();
            let some = chosen(&files, check.files.as_deref());
            let (outcome, items) = match &check.command {
                Some(argv) => self.run_program(&output, check, argv, &some, automatic)?,
                None => {
                    let subject = Subject {
                        files: &some,
                        record: provenance.record.as_ref(),
                        is_prerelease: report.version.is_prerelease(),
                    };
                    let bad = |reason: String| ValidateError::BadCheck {
                        path: output.name.clone(),
                        reason,
                    };
                    built_in::run(check, &subject).map_err(bad)?
                }
            };
            report.checks.push(CheckResult {
                check: check.id.clone(),
                level: check.level,
                outcome,
                items: items.into_iter().take(CheckItem::MOST).collect(),
                ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        Ok(report)
    }

    /// Whether an output declares checks.
    pub(crate) fn has_checks(output: &Output) -> Result<bool> {
        Ok(!Check::of(output, true)?.is_empty())
    }

    fn run_program(
        &self,
        output: &Output,
        check: &Check,
        argv: &[String],
        files: &[&CheckedFile],
        automatic: bool,
    ) -> Result<(Outcome, Vec<CheckItem>)> {
        if let Some(absent) = files.iter().find(|file| file.source.is_none()) {
            return Ok((
                Outcome::Skip,
                vec![CheckItem::of(&absent.path, "not pulled, so it cannot be checked")],
            ));
        }
        let folders = output.module_folders();
        let folder = folders.first().copied().unwrap_or(output.project.root.as_path());
        let request = serde_json::json!({
            "format": 1,
            "check": check.id,
            "asset": output.name,
            "package": output.package(),
            "version": output.project.metadata.version,
            "level": check.level,
            "automatic": automatic,
            "folder": folder,
            "files": files,
            "params": check.params,
        });
        let own = self.command_environment()?;
        let mut variables = self.host().environment.0.clone();
        let before = self.host().variable("PATH").or_else(|| self.host().path.clone());
        let before: Vec<_> = before.iter().flat_map(std::env::split_paths).collect();
        if let Ok(path) = std::env::join_paths(own.path.into_iter().chain(before)) {
            variables.push(("PATH".into(), path));
        }
        variables.extend(
            own.variables
                .into_iter()
                .map(|(name, value)| (name.into(), value)),
        );
        let program = Program {
            argv,
            folder,
            variables,
            request: serde_json::to_vec(&request).expect("a request is plain data"),
            timeout: check.timeout,
        };
        Ok(command::run(&program, self.context()))
    }

    /// Refuse what the checks of an output refuse; warn of what they only warn of. What a cascade built was checked more strictly before.
    pub(crate) fn pass_checks(&self, asset: &str) -> Result<()> {
        if self.cascade().is_some() {
            return Ok(());
        }
        let report = self.validate(asset, false)?;
        for check in &report.checks {
            let is_fine = matches!(check.outcome, Outcome::Pass) || check.level == CheckLevel::Info;
            let stops = check.level == CheckLevel::Error && check.outcome != Outcome::Skip;
            if !is_fine && !stops {
                self.context().warn(
                    "validate::not_passed",
                    format!("{}: {}", report.asset, check.in_a_line()),
                );
            }
        }
        report.failure().map_or(Ok(()), |failure| Err(failure.into()))
    }
}
