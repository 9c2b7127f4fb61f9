//! Checks as `asset.toml` declares them: `[[backlot.validate]]`.
//!
//! Invariant: a key that nobody knows, and a check that is not there, are errors: a check that silently does nothing is worse than none.

use std::collections::BTreeSet;
use std::time::Duration;

use backlot_core::text;
use backlot_wheel::AssetToml;
use serde::{Deserialize, Serialize};

use crate::error::{Result, ValidateError};
use crate::project::output::Output;

/// The ids of the checks that are built in.
const BUILT_IN: [&str; 4] = [
    "frames.complete",
    "inputs.released",
    "names.portable",
    "size.budget",
];

/// How long a command may take where nothing is said.
const PATIENCE: Duration = Duration::from_mins(1);

/// What follows from a check that does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// It is listed.
    Info,
    /// A publish warns.
    Warn,
    /// A publish is refused.
    #[default]
    Error,
}

/// A declared check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) id: String,
    /// A program with its arguments; a check that is built in otherwise.
    pub(crate) command: Option<Vec<String>>,
    /// The files that it is about, by their path in the package; all of them otherwise.
    pub(crate) files: Option<String>,
    pub(crate) level: CheckLevel,
    pub(crate) params: toml::Table,
    pub(crate) timeout: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    files: Option<String>,
    #[serde(default)]
    level: CheckLevel,
    /// The level in automatic runs, which may be stricter.
    #[serde(default)]
    auto: Option<CheckLevel>,
    #[serde(default)]
    params: toml::Table,
    /// In seconds.
    #[serde(default)]
    timeout: Option<u64>,
}

impl Check {
    /// The checks of an output; at their stricter levels in an automatic run.
    pub(crate) fn of(output: &Output, automatic: bool) -> Result<Vec<Self>> {
        let mut checks = Vec::new();
        for folder in output.module_folders() {
            let path = folder.join("asset.toml");
            if !path.is_file() {
                continue;
            }
            let bad = |reason: String| ValidateError::BadCheck {
                path: path.display().to_string(),
                reason,
            };
            let Some(declared) = AssetToml::load(&path)?.backlot.remove("validate") else {
                continue;
            };
            let entries: Vec<Entry> = declared
                .try_into()
                .map_err(|e: toml::de::Error| bad(format!("[[backlot.validate]]: {}", e.message())))?;
            for entry in entries {
                checks.push(Self::new(entry, automatic).map_err(&bad)?);
            }
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = checks.iter().find(|check| !seen.insert(check.id.as_str())) {
            let (path, reason) = (
                output.name.clone(),
                format!("the check `{}` is declared twice", twice.id),
            );
            return Err(ValidateError::BadCheck { path, reason }.into());
        }
        Ok(checks)
    }

    fn new(entry: Entry, automatic: bool) -> Result<Self, String> {
        if entry.command.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("the command of `{}` is empty", entry.id));
        }
        if entry.command.is_none() && !BUILT_IN.contains(&entry.id.as_str()) {
            let near = text::nearest(&entry.id, BUILT_IN).map(|near| format!("; is it `{near}`?"));
            let near = near.unwrap_or_else(|| "; one with a `command` may have any id".to_owned());
            return Err(format!("no check `{}` is built in{near}", entry.id));
        }
        let auto = entry.auto.unwrap_or(entry.level).max(entry.level);
        Ok(Self {
            level: if automatic { auto } else { entry.level },
            timeout: entry.timeout.map_or(PATIENCE, Duration::from_secs),
            id: entry.id,
            command: entry.command,
            files: entry.files,
            params: entry.params,
        })
    }
}
