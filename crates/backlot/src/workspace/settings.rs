//! Settings by layers: built-in, user file, workspace file, then what the embedding program says. Each value keeps where
//! it came from.
//!
//! Invariant: nothing here reads an environment variable; [`Host::from_env`] turns them into [`Overrides`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use backlot_core::{LinkMode, Pool};
use backlot_net::NetworkOptions;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WorkspaceError};
use crate::workspace::config::{Config, FILE_NAME};
use crate::workspace::user_file::UserFile;

/// Environment variables of commands. They may contain secrets, which are never shown.
#[derive(Clone, Default)]
pub struct CommandVariables(pub Vec<(OsString, OsString)>);

impl std::fmt::Debug for CommandVariables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

/// The machine and user of a workspace, as set by the embedding program.
#[derive(Clone, Debug)]
pub struct Host {
    /// The default cache folder, shared by all workspaces of this user.
    pub default_cache: PathBuf,
    /// The folder for shared data that no cache may lose: installed interpreters.
    pub data: PathBuf,
    /// The user's configuration file, read if it exists.
    pub user_config: Option<PathBuf>,
    /// Where interpreters are searched, as in `PATH`; `None` disables the search.
    pub path: Option<OsString>,
    /// The variables that commands of stages get, beside those that are set for them; `SHELL` is their shell.
    pub environment: CommandVariables,
    /// The program, which is absolute, and first arguments that start a process which calls [`crate::supervise`]: then commands of stages
    /// end even if this process is killed.
    pub supervisor: Option<(PathBuf, Vec<OsString>)>,
    /// The command `backlot`, which is absolute: processes and jobs that build assets of cascades are started with it.
    pub program: Option<PathBuf>,
    /// The default author.
    pub author: String,
    /// The name of this machine, for the record of a publication.
    pub machine: String,
    /// The settings from the environment or flags, above every file.
    pub overrides: Overrides,
    /// The folder of a site cache that stores of objects are read through where a workspace names no other.
    pub site_cache: Option<PathBuf>,
    /// The protected file that logins are stored in, read if it exists.
    pub credential_file: Option<PathBuf>,
    /// How servers are reached, and the sources of credentials beside the user's helpers and the file. Its cache is set to be
    /// below the workspace's. Its runtime is the one of all storage and network.
    pub network: NetworkOptions,
    /// The threads for computations; waiting for disks and servers uses other threads. By default one per core.
    pub pool: Pool,
}

impl Host {
    /// A host with only a cache folder (and `data` in it): no interpreter, no author.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        let cache = cache.into();
        Self {
            network: NetworkOptions::new(&cache),
            data: cache.join("data"),
            default_cache: cache,
            user_config: None,
            credential_file: None,
            path: None,
            environment: CommandVariables::default(),
            supervisor: None,
            program: None,
            author: "unknown".to_owned(),
            machine: "unknown".to_owned(),
            site_cache: None,
            overrides: Overrides::default(),
            pool: Pool::default(),
        }
    }

    /// A variable that commands of stages get.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        let found = self.environment.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }
}

/// The topmost layer: environment variables and flags.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Cache folder.
    pub cache: Option<PathBuf>,
    /// How files are placed.
    pub links: Option<Vec<LinkMode>>,
    /// Python version, interpreter or `none`.
    pub python: Option<String>,
    /// The author of publishes.
    pub author: Option<String>,
}

/// Where a value came from, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "layer", content = "file", rename_all = "kebab-case")]
pub enum Origin {
    /// Unset.
    BuiltIn,
    /// The user's file.
    User(PathBuf),
    /// `backlot.toml`.
    Workspace,
    /// An environment variable or flag.
    Override,
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// The settings in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// The cache folder, absolute.
    pub cache: Setting<PathBuf>,
    /// How tracked files are placed from the cache into the workspace, in order of preference.
    pub links: Setting<Vec<LinkMode>>,
    /// Python version (`3.11`), interpreter (a path), or `none`; by default the interpreter on the path.
    pub python: Setting<Option<String>>,
    /// The author of publishes.
    pub author: Setting<String>,
    /// The conda channels, in order of preference.
    pub channels: Setting<Vec<String>>,
}

/// A place of a file: a URL, or a folder relative to that of the file.
fn beside(folder: &Path, place: &str) -> String {
    if place.contains("://") {
        return place.to_owned();
    }
    folder.join(place).display().to_string()
}

/// A workspace is not its own cache, as it would be by an empty path, which joined to a folder is that folder.
fn check_caches(root: &Path, config: &Config, user: &UserFile, user_path: &Path) -> Result<()> {
    let bad = |path: &Path, reason: &str| {
        Error::from(WorkspaceError::BadConfig {
            path: path.to_path_buf(),
            reason: reason.to_owned(),
        })
    };
    let is_root = |cache: &String| root.join(cache.trim()).components().eq(root.components());
    if config.cache.as_ref().is_some_and(is_root) {
        let reason = "`cache` is the workspace itself; name another folder, or leave it out";
        return Err(bad(&root.join(FILE_NAME), reason));
    }
    if user
        .cache
        .as_ref()
        .is_some_and(|cache| cache.as_os_str().is_empty())
    {
        return Err(bad(user_path, "`cache` is empty; set a folder, or omit it"));
    }
    Ok(())
}

/// The topmost of the layers that says something.
fn pick<T>(layers: [(Option<T>, Origin); 3], built_in: T) -> Setting<T> {
    for (value, origin) in layers {
        if let Some(value) = value {
            return Setting { value, origin };
        }
    }
    Setting {
        value: built_in,
        origin: Origin::BuiltIn,
    }
}

impl Settings {
    /// Fold the layers for a workspace. Relative folders are relative to the file that names them.
    pub fn layered(root: &Path, config: &Config, host: &Host) -> Result<Self> {
        let user = UserFile::load(host.user_config.as_deref())?;
        let user_path = host.user_config.clone().unwrap_or_default();
        check_caches(root, config, &user, &user_path)?;
        let user_folder = user_path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let from_user = || Origin::User(user_path.clone());
        let over = &host.overrides;
        Ok(Self {
            cache: pick(
                [
                    (over.cache.clone(), Origin::Override),
                    (config.cache.as_ref().map(|c| root.join(c)), Origin::Workspace),
                    (user.cache.map(|c| user_folder.join(c)), from_user()),
                ],
                host.default_cache.clone(),
            ),
            links: pick(
                [
                    (over.links.clone(), Origin::Override),
                    (config.links.clone(), Origin::Workspace),
                    (user.links, from_user()),
                ],
                vec![LinkMode::Reflink, LinkMode::Copy],
            ),
            python: pick(
                [
                    (over.python.clone().map(Some), Origin::Override),
                    (config.python.clone().map(Some), Origin::Workspace),
                    (user.python.map(Some), from_user()),
                ],
                None,
            ),
            author: pick(
                [
                    (over.author.clone(), Origin::Override),
                    (None, Origin::Workspace),
                    (user.author, from_user()),
                ],
                host.author.clone(),
            ),
            channels: pick(
                [
                    (None, Origin::Override),
                    (
                        Some(config.channels.clone()).filter(|c| !c.is_empty()),
                        Origin::Workspace,
                    ),
                    (
                        user.channels
                            .map(|all| all.iter().map(|c| beside(&user_folder, c)).collect()),
                        from_user(),
                    ),
                ],
                Vec::new(),
            ),
        })
    }
}
