//! The report of a run.
//!
//! Invariant: the order is that of the selection, whatever ran beside what. Deliberately absent: times, which differ.

use std::path::PathBuf;

use backlot_core::Diagnostic as _;
use serde::{Deserialize, Serialize};

use super::super::{Change, PipelineError, Stage};
use super::executor::Exit;
use crate::error::Error;

/// The action taken for a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Its commands ran.
    Ran,
    /// Its outputs were put back from the cache.
    Restored,
    /// Its entry in the lock was rewritten.
    Recorded,
    /// It was up to date.
    Skipped,
    /// It failed.
    Failed,
    /// It was not (or, in a dry run, would not be) looked at, since a stage above failed.
    Dropped,
    /// It was not looked at, since another stage failed.
    NotStarted,
    /// In a dry run: it would run.
    WouldRun,
    /// In a dry run: it may run, because one above would.
    MayRun,
    /// In a dry run: it would be put back from the cache.
    WouldRestore,
    /// In a dry run: its lock would be rewritten.
    WouldRecord,
    /// In a dry run: it would fail.
    WouldFail,
}

impl Outcome {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Restored => "restored",
            Self::Recorded => "recorded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::NotStarted => "not-started",
            Self::WouldRun => "would-run",
            Self::MayRun => "may-run",
            Self::WouldRestore => "would-restore",
            Self::WouldRecord => "would-record",
            Self::WouldFail => "would-fail",
        }
    }
}

/// Why a stage failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageError {
    /// The code of the error.
    pub code: String,
    /// The failure.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// The result of a stage, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageReport {
    /// The stage, as targets name it.
    pub stage: String,
    /// The action taken.
    pub outcome: Outcome,
    /// Why, as parts of sentences: the first reason that was found.
    pub why: Vec<String>,
    /// The commands that were started.
    pub commands: Vec<String>,
    /// How the last of them ended.
    pub exit: Option<Exit>,
    /// Why it failed.
    pub error: Option<StageError>,
    /// Where the output of its commands is.
    pub log: Option<PathBuf>,
    /// The folder of partial outputs of a failed stage.
    pub half: Option<PathBuf>,
    /// The saved outputs that a user had edited.
    pub kept: Vec<PathBuf>,
    /// The same reasons, as values.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

impl StageReport {
    pub(super) fn new(stage: &Stage) -> Self {
        Self::named(stage.address(), Outcome::Skipped)
    }

    pub(super) const fn named(stage: String, outcome: Outcome) -> Self {
        Self {
            stage,
            outcome,
            why: Vec::new(),
            commands: Vec::new(),
            exit: None,
            error: None,
            log: None,
            half: None,
            kept: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn see(&mut self, changes: &[Change], force: bool) {
        if force {
            self.why = vec!["it is forced to run".to_owned()];
            return;
        }
        self.changes = changes.first().cloned().into_iter().collect();
        self.why = self.changes.iter().map(ToString::to_string).collect();
    }

    pub(super) fn fail(&mut self, error: &Error) {
        self.outcome = Outcome::Failed;
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            message.push_str(&format!(": {source}"));
            cause = source.source();
        }
        self.error = Some(StageError {
            code: error.code().to_owned(),
            message,
            help: error.help(),
        });
    }
}

/// The report of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The stages, each after those it needs.
    pub stages: Vec<StageReport>,
    /// Earlier interrupted runs, whose outputs were restored first.
    pub recovered: Vec<super::Recovered>,
}

impl Report {
    /// The stage of a name.
    pub fn get(&self, stage: &str) -> Option<&StageReport> {
        self.stages.iter().find(|report| report.stage == stage)
    }

    /// The names of the stages with an outcome, in order.
    pub fn with(&self, outcome: Outcome) -> Vec<&str> {
        let found = self.stages.iter().filter(|report| report.outcome == outcome);
        found.map(|report| report.stage.as_str()).collect()
    }

    /// An error if a stage failed. Stages whose errors were ignored count, too: the caller decides whether to ask.
    pub fn check(&self) -> Result<(), PipelineError> {
        let failed = self.with(Outcome::Failed);
        if failed.is_empty() {
            return Ok(());
        }
        Err(PipelineError::Failed {
            stages: failed.into_iter().map(|stage| format!("`{stage}`")).collect(),
        })
    }
}
