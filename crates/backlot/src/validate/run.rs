//! Running all checks of an output.

use std::path::PathBuf;
use std::time::Instant;

use backlot_pep::Version;
use backlot_repo::RecordedCheck;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{Result, ValidateError};
use crate::project::output::Output;
use crate::project::provenance::{BuildRecord, OutRecord};
use crate::validate::built_in::{self, Subject};
use crate::validate::command::{self, Program};
use crate::validate::declared::{Check, CheckLevel, Occasion};
use crate::validate::files::{CheckedFile, chosen};
use crate::validate::found::{CheckItem, NotRun, Outcome, WaiverState};
use crate::validate::known::Readings;
use crate::validate::provided::{PROVIDER_FOLDER, PYTHON};
use crate::validate::report::{CheckResult, ValidateOptions, ValidateReport};
use crate::validate::studio_checks::StudioChecks;
use crate::validate::waivers::{DeclaredWaiver, waive, waivers_of};
use crate::workspace::Opened;

/// The reader of results of commands.
const COMMANDS: &str = "commands";
/// Stands for the folder of the package with a studio's checks in arguments of its commands.
const CHECKS_FOLDER: &str = "{checks}";

/// What checks are run for.
#[derive(Debug, Default)]
pub(crate) struct Purpose {
    pub(crate) occasion: Occasion,
    /// The repo that it goes into.
    pub(crate) target: Option<String>,
    /// The version that it will have, where that is not what the project says.
    pub(crate) version: Option<Version>,
    /// What a release says that it was built from, instead of what the workspace has.
    pub(crate) record: Option<BuildRecord>,
    /// Read all again.
    pub(crate) fresh: bool,
}

/// What became of a command, as it is kept.
#[derive(Serialize, Deserialize)]
struct KnownResult {
    outcome: Outcome,
    items: Vec<CheckItem>,
}

/// A run of the checks of an output.
struct Run<'a> {
    opened: &'a Opened,
    output: &'a Output,
    purpose: &'a Purpose,
    version: &'a Version,
    files: &'a [CheckedFile],
    outs: &'a [OutRecord],
    record: Option<&'a BuildRecord>,
    readings: &'a Readings<'a>,
}

impl Opened {
    /// Run the checks that an output declares, and the studio's.
    pub(crate) fn validate(&self, asset: &str, options: &ValidateOptions) -> Result<ValidateReport> {
        let purpose = self.purpose_of(options)?;
        self.run_checks(&self.output(asset)?, &purpose)
    }

    /// What somebody who asks for checks has them run for.
    pub(crate) fn purpose_of(&self, options: &ValidateOptions) -> Result<Purpose> {
        if let Some(to) = &options.to {
            self.repo_entry(to)?;
        }
        let occasion = if options.automatic {
            Occasion::Automatic
        } else {
            Occasion::Publish
        };
        Ok(Purpose {
            occasion,
            target: options.to.clone().or_else(|| self.config().publish_to.clone()),
            fresh: options.fresh,
            ..Purpose::default()
        })
    }

    /// Run the repair of a check on a copy of an output.
    pub(crate) fn run_repair(
        &self,
        output: &Output,
        purpose: &Purpose,
        check: &Check,
        items: &[CheckItem],
    ) -> Result<(Outcome, Vec<CheckItem>)> {
        let tracked = self.tracked_of_output(output)?;
        let files = self.files_to_check(output, &tracked)?;
        let readings = Readings::of(self, output.package().as_str(), false);
        let run = Run {
            opened: self,
            output,
            purpose,
            version: &output.project.metadata.version,
            files: &files,
            outs: &[],
            record: None,
            readings: &readings,
        };
        let about = chosen(&files, check.files.as_deref());
        let argv = check.repair.as_deref().unwrap_or_default();
        run.start(check, argv, &about, Some(items))
    }

    /// Run all checks of an output.
    pub(crate) fn run_checks(&self, output: &Output, purpose: &Purpose) -> Result<ValidateReport> {
        let version = purpose
            .version
            .as_ref()
            .unwrap_or(&output.project.metadata.version);
        let studio = self.studio_checks(purpose.target.as_deref())?;
        let mut report = ValidateReport {
            asset: output.name.clone(),
            version: version.clone(),
            automatic: purpose.occasion != Occasion::Publish,
            occasion: purpose.occasion,
            to: purpose.target.clone(),
            studio_checks: studio.iter().map(StudioChecks::label).collect(),
            checks: Vec::new(),
            unused_waivers: Vec::new(),
        };
        let checks = Check::of(output, &studio, &self.providers(), purpose.occasion)?;
        let waivers = waivers_of(output)?;
        let unused = waivers.iter().map(|waiver| &waiver.check);
        let unused = unused.filter(|id| !checks.iter().any(|check| check.id == **id));
        report.unused_waivers = unused.cloned().collect();
        if checks.is_empty() {
            return Ok(report);
        }
        let tracked = self.tracked_of_output(output)?;
        let files = self.files_to_check(output, &tracked)?;
        let (provenance, _) = self.provenance(output, &tracked)?;
        let readings = Readings::of(self, output.package().as_str(), purpose.fresh);
        let run = Run {
            opened: self,
            output,
            purpose,
            version,
            files: &files,
            outs: &provenance.outs,
            record: purpose.record.as_ref().or(provenance.record.as_ref()),
            readings: &readings,
        };
        for check in &checks {
            self.context().check()?;
            report.checks.push(run.check(check, &waivers)?);
        }
        readings.save();
        Ok(report)
    }

    /// Whether checks of an output read files.
    pub(crate) fn has_checks_of_files(&self, output: &Output, purpose: &Purpose) -> Result<bool> {
        let studio = self.studio_checks(purpose.target.as_deref())?;
        let checks = Check::of(output, &studio, &self.providers(), purpose.occasion)?;
        let reads = |check: &Check| check.command.is_some() || built_in::reads_files(&check.built_in);
        Ok(checks.iter().any(reads))
    }

    /// Refuse what the checks of an output refuse; warn of what they only warn of, and of waivers. Returns what is to be recorded. What a cascade built was
    /// checked more strictly before.
    pub(crate) fn pass_checks(
        &self,
        output: &Output,
        target: Option<&str>,
        version: Option<Version>,
    ) -> Result<Vec<RecordedCheck>> {
        if self.cascade().is_some() {
            return Ok(self.checks_of_cascade());
        }
        let purpose = Purpose {
            target: target
                .map(ToOwned::to_owned)
                .or_else(|| self.config().publish_to.clone()),
            version,
            ..Purpose::default()
        };
        let report = self.run_checks(output, &purpose)?;
        self.warn_of_checks(&report);
        match report.failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(report.recorded()),
        }
    }

    /// Say what did not pass and does not stop, what is waived by whom, and what is waived no longer.
    pub(crate) fn warn_of_checks(&self, report: &ValidateReport) {
        let warn = |code: &'static str, message: String| {
            self.context().warn(code, format!("{}: {message}", report.asset));
        };
        for check in &report.checks {
            if check.outcome == Outcome::Pass {
                continue;
            }
            let active = check.waivers.iter().find(|one| one.state == WaiverState::Active);
            if let Some(one) = active {
                let (line, by, until) = (check.in_a_line(), &one.waiver.by, &one.waiver.until);
                let how = if check.waived { "waived" } else { "waived in part" };
                let reason = &one.waiver.reason;
                warn(
                    "validate::waived",
                    format!("{line}: {how} by {by} until {until}: {reason}"),
                );
            }
            let skips = check.outcome == Outcome::Skip && report.occasion == Occasion::Publish;
            let stops = check.level == CheckLevel::Error && !skips;
            if check.level != CheckLevel::Info && !stops && !check.waived {
                warn("validate::not_passed", check.in_a_line());
            }
        }
        for id in &report.unused_waivers {
            warn(
                "validate::unused_waiver",
                format!("unused waiver: no check `{id}` was run"),
            );
        }
    }
}

impl Run<'_> {
    /// Run one, and apply waivers to what it found.
    fn check(&self, check: &Check, waivers: &[DeclaredWaiver]) -> Result<CheckResult> {
        let begun = Instant::now();
        let files = chosen(self.files, check.files.as_deref());
        let (outcome, mut items, known) = match &check.command {
            Some(argv) => self.program(check, argv, &files)?,
            None => {
                let (outcome, items) = self.built_in(check, &files)?;
                (outcome, items, false)
            }
        };
        let now = (self.version, self.opened.context().now());
        let of = (check.id.as_str(), check.waivable);
        let (waivers, waived) = waive(waivers, of, now, (outcome, &mut items));
        let findings = items.len() as u64;
        // What is not waived first: the rest may be cut off.
        items.sort_by_key(|item| item.waived);
        items.truncate(CheckItem::MOST);
        Ok(CheckResult {
            check: check.id.clone(),
            from: check.from.as_ref().map(|(label, _)| label.clone()),
            provider: check.provider.as_ref().map(|(label, _)| label.clone()),
            level: check.level,
            outcome,
            items,
            findings,
            waivers,
            waived,
            known,
            ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn built_in(&self, check: &Check, files: &[&CheckedFile]) -> Result<(Outcome, Vec<CheckItem>)> {
        let metadata = &self.output.project.metadata;
        let subject = Subject {
            opened: self.opened,
            files,
            all: self.files,
            readings: self.readings,
            record: self.record,
            outs: self.outs,
            requires: &metadata.requires_dist,
            licence: metadata.license.as_deref(),
            version: self.version,
            target: self.purpose.target.as_deref(),
        };
        match built_in::run(&check.built_in, &check.params, &subject) {
            Ok(findings) => Ok(findings.outcome()),
            Err(NotRun::Crash(reason)) => Ok((Outcome::Crash, vec![CheckItem::of_all(reason)])),
            Err(NotRun::Stop(error)) => Err(error),
            Err(NotRun::BadParams(reason)) => {
                let owner = match &check.from {
                    Some((label, _)) => label.clone(),
                    None => self.output.name.clone(),
                };
                Err(ValidateError::BadCheck { path: owner, reason }.into())
            }
        }
    }

    /// Run a command, unless its result is known.
    fn program(
        &self,
        check: &Check,
        argv: &[String],
        files: &[&CheckedFile],
    ) -> Result<(Outcome, Vec<CheckItem>, bool)> {
        if let Some(absent) = files.iter().find(|file| file.source.is_none()) {
            let item = CheckItem::of(&absent.path, "not pulled, so it cannot be checked");
            return Ok((Outcome::Skip, vec![item], false));
        }
        let key = match &check.revision {
            Some(revision) => Some(self.key(check, argv, revision, files)?),
            None => None,
        };
        let known = key.as_ref();
        let known = known.and_then(|key| self.readings.find::<KnownResult>(COMMANDS, key));
        if let Some(KnownResult { outcome, items }) = known {
            return Ok((outcome, items, true));
        }
        let (outcome, items) = self.start(check, argv, files, None)?;
        if let Some(key) = key
            && matches!(outcome, Outcome::Pass | Outcome::Fail)
        {
            let result = KnownResult {
                outcome,
                items: items.clone(),
            };
            self.readings.keep(COMMANDS, &key, &result);
        }
        Ok((outcome, items, false))
    }

    /// What the result of a command depends on, as its declaration says: itself, its parameters, the content of its files.
    fn key(&self, check: &Check, argv: &[String], revision: &str, files: &[&CheckedFile]) -> Result<String> {
        let paths: Vec<PathBuf> = files.iter().filter_map(|file| file.source.clone()).collect();
        self.readings.hash(&paths)?;
        let digests: Vec<_> = files
            .iter()
            .map(|file| {
                let source = file.source.as_ref();
                (&file.path, source.and_then(|path| self.readings.digest(path)))
            })
            .collect();
        let label = |of: Option<&(String, PathBuf)>| of.map(|(label, _)| label.clone());
        let all = (
            &check.id,
            (label(check.from.as_ref()), label(check.provider.as_ref())),
            argv,
            revision,
            &check.params,
            &check.expect,
            digests,
        );
        let all = serde_json::to_vec(&all).expect("a key is plain data");
        let digest = backlot_core::Sha256::from_bytes(sha2::Sha256::digest(all).into());
        Ok(digest.to_hex())
    }

    /// Start the program of a check, or, with what that found, that of its repair.
    fn start(
        &self,
        check: &Check,
        argv: &[String],
        files: &[&CheckedFile],
        found: Option<&[CheckItem]>,
    ) -> Result<(Outcome, Vec<CheckItem>)> {
        let (opened, output) = (self.opened, self.output);
        let folders = output.module_folders();
        let folder = folders.first().copied().unwrap_or(output.project.root.as_path());
        let checks = check.from.as_ref().map(|(_, folder)| folder.as_path());
        let mut request = serde_json::json!({
            "format": 1,
            "check": check.id,
            "asset": output.name,
            "package": output.package(),
            "version": self.version,
            "level": check.level,
            "automatic": self.purpose.occasion != Occasion::Publish,
            "occasion": self.purpose.occasion,
            "to": self.purpose.target,
            "folder": folder,
            "checks_folder": checks,
            "files": files,
            "params": check.params,
        });
        if let Some(found) = found {
            request["repair"] = true.into();
            request["items"] = serde_json::json!(found);
        }
        let own = opened.command_environment()?;
        let mut variables = opened.host().environment.0.clone();
        let before = opened
            .host()
            .variable("PATH")
            .or_else(|| opened.host().path.clone());
        let before: Vec<_> = before.iter().flat_map(std::env::split_paths).collect();
        if let Ok(path) = std::env::join_paths(own.path.into_iter().chain(before)) {
            variables.push(("PATH".into(), path));
        }
        variables.extend(
            own.variables
                .into_iter()
                .map(|(name, value)| (name.into(), value)),
        );
        let shown = checks.map(|folder| folder.display().to_string());
        let provided = check
            .provider
            .as_ref()
            .map(|(_, folder)| folder.display().to_string());
        let filled = |argument: &str, name: &str, folder: Option<&String>| match folder {
            Some(folder) => argument.replace(name, folder),
            None => argument.to_owned(),
        };
        let argv = argv
            .iter()
            .map(|argument| filled(argument, CHECKS_FOLDER, shown.as_ref()));
        let mut argv: Vec<String> = argv
            .map(|argument| filled(&argument, PROVIDER_FOLDER, provided.as_ref()))
            .collect();
        if argv.first().is_some_and(|program| program == PYTHON) {
            argv[0] = opened.python_of_check(&check.id)?;
        }
        // A repair is declared where the check is, and the check's own program may be elsewhere.
        let provider = check.provider.as_ref().filter(|_| found.is_none());
        let programs = provider.map(|(_, folder)| folder.as_path()).or(checks);
        let program = Program {
            argv: &argv,
            folder,
            programs: programs.unwrap_or(folder),
            expect: found.is_none().then_some(&check.expect),
            variables,
            request: serde_json::to_vec(&request).expect("a request is plain data"),
            timeout: check.timeout,
        };
        Ok(command::run(&program, opened.context()))
    }
}
