//! Assets that cannot be read: named, while the others go on.
//!
//! Invariant: a command about all assets does what it can for those that are sound, and its exit code tells that it was not all;
//! a command about an unreadable asset fails with the reason.

use std::path::PathBuf;

use backlot_core::{Class, Diagnostic, text};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::workspace::Opened;

/// An asset that a command had to leave out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AssetProblem {
    /// The asset: its name, or its folder relative to the workspace.
    pub asset: String,
    /// The code of the error.
    pub code: String,
    /// Its message.
    pub message: String,
    /// The advice.
    pub help: Option<String>,
    /// The kind of trouble.
    pub class: Class,
}

impl AssetProblem {
    pub(crate) fn new(asset: String, error: &Error) -> Self {
        Self {
            asset,
            code: error.code().to_owned(),
            message: error.to_string(),
            help: error.help(),
            class: error.class(),
        }
    }
}

/// A folder of `outputs/` that cannot be read as a project.
#[derive(Debug)]
pub(crate) struct UnreadableOutput {
    /// The folder.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) error: Error,
}

/// Some assets were left out; the report lists them with reasons.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} could not be read: {}", text::count(assets.len() as u64, "asset"), assets.join(", "))]
pub struct AssetsLeftOut {
    /// The assets.
    pub assets: Vec<String>,
    class: Class,
}

impl AssetsLeftOut {
    /// The failure of a command that left assets out; `None` if it left out none.
    pub fn of(problems: &[AssetProblem]) -> Option<Self> {
        let first = problems.first()?;
        Some(Self {
            assets: problems.iter().map(|problem| problem.asset.clone()).collect(),
            class: first.class,
        })
    }
}

impl Diagnostic for AssetsLeftOut {
    fn code(&self) -> &'static str {
        "workspace::assets_left_out"
    }
    fn class(&self) -> Class {
        self.class
    }
    fn help(&self) -> Option<String> {
        Some("everything else was done; the report lists the problem of each".to_owned())
    }
}

/// Collects the assets that are left out.
pub(crate) fn problem_of(
    problems: &mut Vec<AssetProblem>,
) -> impl FnMut(String, Error) -> Result<()> + use<'_> {
    |asset, error| {
        problems.push(AssetProblem::new(asset, &error));
        Ok(())
    }
}

impl Opened {
    /// Warn about assets that could not be read, so that their needs are unknown.
    pub(crate) fn warn_left_out(&self, problems: Vec<AssetProblem>) {
        for one in problems {
            let message = format!("`{}` is skipped: {}", one.asset, one.message);
            self.context().warn("output::left_out", message);
        }
    }
}
