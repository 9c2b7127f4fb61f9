//! The user's configuration file, as it is written.
//!
//! Deliberately absent: what its sections mean (`settings`, `auth::helpers`, `movers`, `feed::hook`), and repos and remotes,
//! which `Config::of_user` reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, file};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result, WorkspaceError};
use crate::workspace::cascade_section::CascadeSection;

/// All of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UserFile {
    /// The commands that are asked for credentials.
    pub(crate) auth: Option<AuthSection>,
    /// Where and how cascades are run.
    pub(crate) cascade: Option<CascadeSection>,
    /// Whom to tell of events of repos.
    pub(crate) hook: Option<Vec<HookSection>>,
    /// The programs that move large objects of stores.
    pub(crate) mover: Option<Vec<MoverSection>>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) links: Option<Vec<LinkMode>>,
    pub(crate) python: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) channels: Option<Vec<String>>,
    /// Where releases are found without a workspace.
    #[serde(rename = "repos")]
    _repos: Option<IgnoredAny>,
    /// Where their files are.
    #[serde(rename = "remotes")]
    _remotes: Option<IgnoredAny>,
}

impl UserFile {
    pub(crate) fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let Some(bytes) = file::read_if_exists(path)? else {
            return Ok(Self::default());
        };
        Self::parse(path, &bytes)
    }

    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        toml::from_slice(bytes).map_err(|e| {
            Error::from(WorkspaceError::BadConfig {
                path: path.to_path_buf(),
                reason: e.to_string(),
            })
        })
    }
}

/// `[auth]`: the commands that are asked for credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AuthSection {
    pub(crate) helper: Option<Words>,
    #[serde(default)]
    pub(crate) helpers: BTreeMap<String, Words>,
    pub(crate) timeout: Option<f64>,
}

/// A command of a configuration.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Words {
    Text(String),
    List(Vec<String>),
}

impl Words {
    pub(crate) fn into_words(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split_whitespace().map(ToOwned::to_owned).collect(),
            Self::List(words) => words,
        }
    }
}

/// `[[hook]]`: a program or a server that receives events of repos.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HookSection {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    #[serde(default)]
    pub(crate) repos: Vec<String>,
    pub(crate) command: Option<Words>,
    pub(crate) url: Option<String>,
    pub(crate) secret_command: Option<Words>,
    pub(crate) timeout: Option<f64>,
}

/// `[[mover]]`: a program that moves large objects of stores.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct MoverSection {
    pub(crate) url: String,
    pub(crate) command: Words,
    pub(crate) min_bytes: Option<u64>,
}
