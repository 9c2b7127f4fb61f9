//! Checks as `asset.toml` declares them: `[[backlot.validate]]` for an asset itself, `[[backlot.studio-check]]` in the asset with a studio's checks for all that it applies to.
//!
//! Invariant: a key that nobody knows, and a check that is not there, are errors: a check that silently does nothing is worse than none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::text;
use backlot_core::wildcard::Wildcard;
use backlot_wheel::AssetToml;
use serde::{Deserialize, Serialize};

use crate::error::{Result, ValidateError};
use crate::project::output::Output;
use crate::validate::built_in::{self, BUILT_IN};
use crate::validate::provided::{Providers, Target};
use crate::validate::studio_checks::StudioChecks;

/// How long a command may take where nothing is said.
const PATIENCE: Duration = Duration::from_mins(1);

/// The consequence of a failed check.
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

impl CheckLevel {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// When checks run, which decides their levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Occasion {
    /// A publish by a person, who sees the output.
    #[default]
    Publish,
    /// A cascade built it.
    Automatic,
    /// A release is copied into a repo that has checks.
    Promotion,
}

/// A declared check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) id: String,
    /// The asset with the studio's checks that asks for it, with the folder of its package; the asset itself otherwise.
    pub(crate) from: Option<(String, PathBuf)>,
    /// The built-in check, if there is no command.
    pub(crate) built_in: String,
    /// A program with its arguments.
    pub(crate) command: Option<Vec<String>>,
    /// The package that provides it, with the folder of its programs.
    pub(crate) provider: Option<(String, PathBuf)>,
    /// The files that it is about, by their path in the package; all of them otherwise.
    pub(crate) files: Option<String>,
    pub(crate) level: CheckLevel,
    pub(crate) params: toml::Table,
    pub(crate) timeout: Duration,
    /// Values that a command has to report.
    pub(crate) expect: toml::Table,
    /// The version of a command whose result depends on files and parameters alone.
    pub(crate) revision: Option<String>,
    /// A program with its arguments that corrects what it finds.
    pub(crate) repair: Option<Vec<String>>,
    /// Whether this is allowed in automatic runs, if these are run with that option.
    pub(crate) auto_repair: bool,
    /// Whether an asset may waive it.
    pub(crate) waivable: bool,
}

/// A check in a file.
#[derive(Clone, Deserialize)]
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
    /// The level at promotions, which may be stricter.
    #[serde(default)]
    promote: Option<CheckLevel>,
    #[serde(default)]
    params: toml::Table,
    /// In seconds.
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default)]
    expect: toml::Table,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    repair: Option<Vec<String>>,
    #[serde(default)]
    auto_repair: bool,
    /// Only of a studio's check.
    #[serde(default)]
    applies: Option<Applies>,
    /// Only of a studio's check.
    #[serde(default)]
    waivable: Option<bool>,
}

/// The assets that a studio's check is for: all conditions hold, of each list one entry.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Applies {
    #[serde(default, rename = "type")]
    types: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
}

impl Applies {
    fn fits(&self, output: &Output) -> bool {
        let asset = output.project.asset.as_ref();
        let own_type = asset.map_or("", |asset| asset.asset_type.as_str());
        let own_tags = asset.map_or(&[][..], |asset| &asset.tags);
        let package = output.package();
        let types = self.types.is_empty() || self.types.iter().any(|one| one == own_type);
        let tags = self.tags.is_empty() || self.tags.iter().any(|one| own_tags.contains(one));
        let named = |pattern: &String| Wildcard::new(pattern).fits(package.as_str());
        types && tags && (self.names.is_empty() || self.names.iter().any(named))
    }
}

/// The checks of a section of an `asset.toml`.
fn entries(path: &Path, section: &str) -> Result<Vec<Entry>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let Some(declared) = AssetToml::load(path)?.backlot.remove(section) else {
        return Ok(Vec::new());
    };
    declared
        .try_into()
        .map_err(|e: toml::de::Error| bad(path, format!("[[backlot.{section}]]: {}", e.message())).into())
}

fn bad(path: &Path, reason: String) -> ValidateError {
    ValidateError::BadCheck {
        path: path.display().to_string(),
        reason,
    }
}

impl Check {
    /// The checks of an output: those that it declares, then the studio's that apply to it. One that both ask for in the same words runs once, at the
    /// stricter level.
    pub(crate) fn of(
        output: &Output,
        studio: &[StudioChecks],
        providers: &Providers<'_>,
        occasion: Occasion,
    ) -> Result<Vec<Self>> {
        let mut checks: Vec<Self> = Vec::new();
        for folder in output.module_folders() {
            let path = folder.join("asset.toml");
            for entry in entries(&path, "validate")? {
                let only = [
                    ("applies", entry.applies.is_some()),
                    ("waivable", entry.waivable.is_some()),
                ];
                if let Some((key, _)) = only.iter().find(|(_, given)| *given) {
                    let reason = format!(
                        "`{key}` of the check `{}` is for [[backlot.studio-check]]",
                        entry.id
                    );
                    return Err(bad(&path, reason).into());
                }
                checks.push(Self::new(entry, providers, occasion).map_err(|reason| bad(&path, reason))?);
            }
        }
        check_ids(&checks, &output.name)?;
        for shared in studio {
            let path = shared.folder.join("asset.toml");
            let mut own = Vec::new();
            for entry in entries(&path, "studio-check")? {
                let applies = entry.applies.clone().unwrap_or_default();
                let waivable = entry.waivable.unwrap_or(true);
                let check = Self::new(entry, providers, occasion);
                let mut check = check.map_err(|reason| bad(&path, reason))?;
                check.waivable = waivable;
                check.from = Some((shared.label(), shared.folder.clone()));
                own.push((check, applies.fits(output)));
            }
            let (own, applied): (Vec<_>, Vec<bool>) = own.into_iter().unzip();
            check_ids(&own, shared.package.as_str())?;
            let own = own.into_iter().zip(applied);
            for check in own.filter_map(|(check, applies)| applies.then_some(check)) {
                match checks.iter_mut().find(|one| one.is_same(&check)) {
                    Some(same) => {
                        same.level = same.level.max(check.level);
                        same.waivable &= check.waivable;
                        if same.repair.is_none() {
                            same.repair = check.repair;
                            same.auto_repair = check.auto_repair;
                        }
                        same.from = same.from.take().or(check.from);
                    }
                    None => checks.push(check),
                }
            }
        }
        Ok(checks)
    }

    /// Whether both look at the same in the same way. A command of the studio is another one than that of an asset, but for one that a package provides.
    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.command == other.command
            && (self.command.is_none() || (self.provider.is_some() && self.provider == other.provider))
            && self.files == other.files
            && self.params == other.params
            && (self.repair == other.repair || self.repair.is_none() || other.repair.is_none())
    }

    fn new(mut entry: Entry, providers: &Providers<'_>, occasion: Occasion) -> Result<Self, String> {
        let mut built_in = entry.id.clone();
        let mut provider = None;
        let is_own = entry.command.is_some() || BUILT_IN.iter().any(|(id, _)| *id == entry.id);
        if !is_own && let Some(provided) = providers.find(&entry.id)? {
            provider = Some((provided.label.clone(), provided.folder.clone()));
            match &provided.target {
                Target::BuiltIn(id) => built_in.clone_from(id),
                Target::Command(argv) => entry.command = Some(argv.clone()),
            }
        }
        let id = &entry.id;
        if entry.command.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("the command of `{id}` is empty"));
        }
        if entry.repair.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("the repair of `{id}` is empty"));
        }
        if entry.auto_repair && entry.repair.is_none() {
            return Err(format!("`auto_repair` of `{id}` is for checks with a `repair`"));
        }
        if entry.command.is_none() {
            let ids = BUILT_IN.iter().map(|(id, _)| *id);
            if !ids.clone().any(|known| known == built_in) {
                let near =
                    text::nearest(id, ids.chain(providers.ids())).map(|near| format!("; is it `{near}`?"));
                let near = near.unwrap_or_else(|| "; one with a `command` may have any id".to_owned());
                return Err(format!(
                    "no check `{id}` is built in or provided by an installed package{near}"
                ));
            }
            let only = [
                ("expect", !entry.expect.is_empty()),
                ("revision", entry.revision.is_some()),
            ];
            if let Some((key, _)) = only.iter().find(|(_, given)| *given) {
                return Err(format!("`{key}` of `{id}` is for checks with a `command`"));
            }
            built_in::check_params(&built_in, &entry.params)?;
        }
        let at = match occasion {
            Occasion::Publish => None,
            Occasion::Automatic => entry.auto,
            Occasion::Promotion => entry.promote.or(entry.auto),
        };
        Ok(Self {
            level: at.unwrap_or(entry.level).max(entry.level),
            timeout: entry.timeout.map_or(PATIENCE, Duration::from_secs),
            id: entry.id,
            built_in,
            provider,
            from: None,
            command: entry.command,
            files: entry.files,
            params: entry.params,
            expect: entry.expect,
            revision: entry.revision,
            repair: entry.repair,
            auto_repair: entry.auto_repair,
            waivable: true,
        })
    }
}

fn check_ids(checks: &[Check], owner: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    match checks.iter().find(|check| !seen.insert(check.id.as_str())) {
        Some(twice) => {
            let reason = format!("the check `{}` is declared twice", twice.id);
            Err(bad(Path::new(owner), reason).into())
        }
        None => Ok(()),
    }
}
