//! Settings by name: effective values and their origin, and changing one in `backlot.toml` or in the user's file.
//!
//! Invariants: a value that its file would be refused with is not written; comments and order survive; nothing of an environment variable is
//! changed, and what one hides is said. Deliberately absent: repos, remotes and rules, which have commands of their own, and every secret.

use std::path::PathBuf;

use backlot_core::{LinkMode, file, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml_edit::DocumentMut;

use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;
use crate::workspace::config::FILE_NAME;
use crate::workspace::settings::{Origin, Setting};
use crate::workspace::user_file::UserFile;

/// A setting, and the files that may have it.
struct Key {
    name: &'static str,
    is_list: bool,
    of_workspace: bool,
    of_user: bool,
}

const fn key(name: &'static str, is_list: bool, of_workspace: bool, of_user: bool) -> Key {
    Key {
        name,
        is_list,
        of_workspace,
        of_user,
    }
}

static KEYS: [Key; 8] = [
    key("author", false, false, true),
    key("blessed", false, true, false),
    key("cache", false, true, true),
    key("channels", true, true, true),
    key("links", true, true, true),
    key("publish-to", false, true, false),
    key("python", false, true, true),
    key("remote", false, true, false),
];

/// The names of all settings, sorted.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfigValue {
    /// Its name.
    pub key: String,
    /// A text, a list of texts, or null.
    pub value: Value,
    /// Where it is from.
    pub origin: Origin,
}

/// A setting that was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfigChange {
    /// Its name.
    pub key: String,
    /// The previous effective value.
    pub before: ConfigValue,
    /// The effective value, which may have another origin.
    pub after: ConfigValue,
    /// The file that was changed.
    pub file: PathBuf,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn config_values(&self) -> Vec<ConfigValue> {
        KEYS.iter().map(|key| self.config_value(key)).collect()
    }

    pub(crate) fn config_get(&self, name: &str) -> Result<ConfigValue> {
        Ok(self.config_value(find(name)?))
    }

    /// Set one, or, without values, drop it from the file.
    pub(crate) fn config_set(
        &mut self,
        name: &str,
        values: Option<&[String]>,
        user: bool,
        dry_run: bool,
    ) -> Result<ConfigChange> {
        let key = find(name)?;
        let before = self.config_value(key);
        if user && !key.of_user || !user && !key.of_workspace {
            return Err(WorkspaceError::NotInThisFile { key: key.name, user }.into());
        }
        if values.is_some_and(|values| values.is_empty() || values.len() > 1 && !key.is_list) {
            return Err(WorkspaceError::BadSetting {
                key: key.name,
                reason: "it takes one value".to_owned(),
            }
            .into());
        }
        let file = if user {
            self.set_of_user(key, values, dry_run)?
        } else {
            self.change(dry_run, |workspace| {
                workspace.set_of_workspace(key, values, dry_run)
            })?;
            self.root().join(FILE_NAME)
        };
        let after = if dry_run {
            planned(key, values, &before, user, self)
        } else {
            self.refresh_settings()?;
            self.config_value(key)
        };
        Ok(ConfigChange {
            key: key.name.to_owned(),
            before,
            after,
            file,
            dry_run,
        })
    }

    fn config_value(&self, key: &Key) -> ConfigValue {
        let (settings, config) = (self.settings(), self.config());
        let own = |value: &Option<String>| {
            let origin = if value.is_some() {
                Origin::Workspace
            } else {
                Origin::BuiltIn
            };
            (value.clone().into(), origin)
        };
        let (value, origin): (Value, Origin) = match key.name {
            "author" => of(&settings.author, |author| author.clone().into()),
            "blessed" => own(&config.blessed),
            "cache" => of(&settings.cache, |cache| cache.display().to_string().into()),
            "channels" => of(&settings.channels, |channels| channels.clone().into()),
            "links" => of(&settings.links, |links| {
                links.iter().map(ToString::to_string).collect::<Vec<_>>().into()
            }),
            "publish-to" => own(&config.publish_to),
            "python" => of(&settings.python, |python| python.clone().into()),
            _ => own(&config.default_remote),
        };
        ConfigValue {
            key: key.name.to_owned(),
            value,
            origin,
        }
    }

    fn set_of_workspace(&mut self, key: &Key, values: Option<&[String]>, dry_run: bool) -> Result<()> {
        let first = values.and_then(<[String]>::first).map(String::as_str);
        match key.name {
            "blessed" | "publish-to" => {
                if let Some(name) = first {
                    self.repo_entry(name)?;
                }
                if key.name == "blessed" {
                    self.config.set_blessed(first);
                } else {
                    self.config.set_publish_to(first);
                }
            }
            "remote" => {
                if first.is_some() {
                    self.remote_entry(first, "")?;
                }
                self.config.set_default_remote(first);
            }
            "cache" => self.config.set_cache(first),
            "python" => self.config.set_python(first),
            "channels" => self.config.set_channels(values.unwrap_or_default().to_vec()),
            _ => self.config.set_links(parse_links(values)?),
        }
        // As the next command will read it.
        self.refresh_settings()?;
        if key.name == "python" {
            self.check_python()?;
        }
        if dry_run {
            return Ok(());
        }
        self.config.save()?;
        self.write_dvc_config()
    }

    fn set_of_user(&mut self, key: &Key, values: Option<&[String]>, dry_run: bool) -> Result<PathBuf> {
        let Some(path) = self.host().user_config.clone() else {
            return Err(WorkspaceError::NotInThisFile {
                key: key.name,
                user: true,
            }
            .into());
        };
        parse_links(values.filter(|_| key.name == "links"))?;
        let bytes = file::read_if_exists(&path)?.unwrap_or_default();
        let bad = |reason: String| WorkspaceError::BadConfig {
            path: path.clone(),
            reason,
        };
        let text = String::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
        let mut document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| bad(error.to_string()))?;
        match values {
            None => drop(document.remove(key.name)),
            Some(values) if key.is_list => {
                let list: toml_edit::Array = values.iter().collect();
                document[key.name] = toml_edit::value(list);
            }
            Some(values) => document[key.name] = toml_edit::value(values.concat()),
        }
        let text = document.to_string();
        UserFile::parse(&path, text.as_bytes())?;
        if !dry_run {
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder)?;
            }
            file::write(&path, text.as_bytes())?;
        }
        Ok(path)
    }
}

/// The effective value after a change: layers above the file hide it.
fn planned(
    key: &Key,
    values: Option<&[String]>,
    before: &ConfigValue,
    user: bool,
    now: &Opened,
) -> ConfigValue {
    let hides = before.origin == Origin::Override || before.origin == Origin::Workspace && user;
    let Some(values) = values.filter(|_| !hides) else {
        return if hides {
            before.clone()
        } else {
            now.config_value(key)
        };
    };
    let value = match (key.name, values) {
        _ if key.is_list => values.to_vec().into(),
        ("cache", [cache]) => now.root().join(cache).display().to_string().into(),
        (_, values) => values.concat().into(),
    };
    let user_file = now.host().user_config.clone().unwrap_or_default();
    ConfigValue {
        key: key.name.to_owned(),
        value,
        origin: if user {
            Origin::User(user_file)
        } else {
            Origin::Workspace
        },
    }
}

fn of<T>(setting: &Setting<T>, value: impl Fn(&T) -> Value) -> (Value, Origin) {
    (value(&setting.value), setting.origin.clone())
}

fn find(name: &str) -> Result<&'static Key> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        let nearest = text::nearest(name, KEYS.iter().map(|key| key.name));
        WorkspaceError::NoSuchKey {
            key: name.to_owned(),
            nearest: nearest.map(ToOwned::to_owned),
        }
        .into()
    })
}

/// Ways to place files, as words, with commas or not.
fn parse_links(values: Option<&[String]>) -> Result<Option<Vec<LinkMode>>> {
    let words = values.into_iter().flatten().flat_map(|value| value.split(','));
    let modes: std::result::Result<Vec<LinkMode>, _> = words.map(|word| word.trim().parse()).collect();
    let modes = modes.map_err(
        |error: backlot_core::link::LinkModeError| WorkspaceError::BadSetting {
            key: "links",
            reason: error.to_string(),
        },
    )?;
    Ok(values.map(|_| modes))
}
