//! Sections of `backlot.toml` that stand for themselves: `[localize]`, `[publish]`, `[resolution]` with `[sources]`.

use std::collections::BTreeMap;

use backlot_core::Timestamp;
use backlot_pep::{PackageName, Requirement};
use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table};

use super::entries::{string, strings};
use crate::workspace::rules::{Rules, preference};

/// When the tracked files of an input are pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Localize {
    /// By every pull, and before an install that waits for them is done.
    Always,
    /// When their asset is named.
    OnDemand,
}

impl Localize {
    /// The word for it in `backlot.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnDemand => "on-demand",
        }
    }
}

/// The `[localize]` of a document.
pub(super) fn read_localize(document: &DocumentMut) -> Result<BTreeMap<PackageName, Localize>, String> {
    let table = document.get("localize").and_then(Item::as_table_like);
    let entries = table.into_iter().flat_map(toml_edit::TableLike::iter);
    entries
        .map(|(name, item)| {
            let package = PackageName::of_asset(name).map_err(|e| format!("`localize.{name}`: {e}"))?;
            match item.as_str() {
                Some("always") => Ok((package, Localize::Always)),
                Some("on-demand") => Ok((package, Localize::OnDemand)),
                _ => Err(format!("`localize.{name}` is not \"always\" or \"on-demand\"")),
            }
        })
        .collect()
}

/// Limits for files in a wheel: `[publish]` of `backlot.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLimits {
    /// The largest file, in bytes.
    pub largest_file: u64,
    /// All files together, in bytes.
    pub largest_wheel: u64,
    /// Whether images, caches, scenes, sound and film are allowed as well.
    pub media: bool,
}

impl Default for PublishLimits {
    fn default() -> Self {
        Self {
            largest_file: 1 << 20,
            largest_wheel: 10 << 20,
            media: false,
        }
    }
}

/// The keys of `[publish]`.
pub(super) const PUBLISH_KEYS: [&str; 3] = ["largest-file", "largest-wheel", "media"];

impl PublishLimits {
    /// The settings in `[publish]`; the error is a readable reason.
    pub(super) fn read(document: &DocumentMut) -> Result<Self, String> {
        let mut limits = Self::default();
        let Some(table) = document.get("publish").and_then(Item::as_table) else {
            return Ok(limits);
        };
        let bytes = |table: &Table, key: &str, fallback: u64| match table.get(key) {
            None => Ok(fallback),
            Some(item) => item
                .as_integer()
                .and_then(|bytes| u64::try_from(bytes).ok())
                .ok_or_else(|| format!("`publish.{key}` has to be a number of bytes")),
        };
        limits.largest_file = bytes(table, "largest-file", limits.largest_file)?;
        limits.largest_wheel = bytes(table, "largest-wheel", limits.largest_wheel)?;
        if let Some(item) = table.get("media") {
            limits.media = item
                .as_bool()
                .ok_or_else(|| "`publish.media` has to be true or false".to_owned())?;
        }
        Ok(limits)
    }
}

/// `[resolution]` and `[sources]`.
pub(super) fn rules(document: &DocumentMut) -> Result<Rules, String> {
    let empty = Table::new();
    let table = |name: &str| document.get(name).and_then(Item::as_table).unwrap_or(&empty);
    let resolution = table("resolution");
    let mut rules = Rules::default();
    for (key, list) in [
        ("constraints", &mut rules.constraints),
        ("overrides", &mut rules.overrides),
    ] {
        for text in strings(resolution, key) {
            let requirement = Requirement::parse(&text).map_err(|e| format!("`resolution.{key}`: {e}"))?;
            list.push(requirement);
        }
    }
    if let Some(text) = string(resolution, "exclude-newer") {
        let cutoff = Timestamp::parse(&text).map_err(|e| format!("`resolution.exclude-newer`: {e}"))?;
        rules.exclude_newer = Some(cutoff);
    }
    if let Some(text) = string(resolution, "resolution") {
        rules.resolution = preference(&text).ok_or_else(|| {
            format!("`resolution.resolution` is `{text}`, not `highest`, `lowest` or `lowest-direct`")
        })?;
    }
    for (name, item) in table("sources") {
        let package = PackageName::of_asset(name).map_err(|e| format!("`sources`: {e}"))?;
        let repo = item
            .as_str()
            .ok_or_else(|| format!("`sources.{name}` is not a repo name"))?;
        rules.sources.insert(package, repo.to_owned());
    }
    Ok(rules)
}
