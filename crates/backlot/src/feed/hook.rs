//! `[[hook]]` of the user's configuration: programs and servers that receive events of repos.
//!
//! `command` is a text, split at blanks, or a list of words; `url` a server that gets a signed message. `topics` and `repos` choose events. Deliberately absent:
//! this section in `backlot.toml`, where it would let a project start programs, and send what happens in a studio elsewhere.

use std::path::Path;
use std::time::Duration;

use backlot_core::web::shown;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, EventsError, Result, WorkspaceError};
use crate::feed::cursor::EventCursor;
use crate::feed::reading::Topics;
use crate::workspace::Opened;
use crate::workspace::user_file::{HookSection, UserFile};

/// How long one attempt at a hook may take where it does not say so.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that it may say, in seconds.
const MAX_TIMEOUT: f64 = 3600.0;

/// A hook.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) topics: Topics,
    /// Without any, all that keep events.
    pub(crate) repos: Vec<String>,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    patterns: Vec<String>,
}

/// The receiver.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A program, as words.
    Command(Vec<String>),
    /// A server, and the program that prints the secret, if one does.
    Webhook(Url, Option<Vec<String>>),
}

/// A hook, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HookRow {
    /// Its name.
    pub name: String,
    /// `command` or `webhook`.
    pub kind: String,
    /// The program with its arguments, or the URL without a password.
    pub target: String,
    /// The topics it receives; all, if empty.
    pub topics: Vec<String>,
    /// Of which repos; of all, if there are none.
    pub repos: Vec<String>,
    /// Its position in the events of this workspace's repos; nothing, if it never ran.
    pub cursor: Option<EventCursor>,
}

impl Hook {
    fn of(section: HookSection) -> Result<Self, String> {
        let name = section.name;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!(
                "the name `{name}` has characters other than letters, digits, `-` and `_`"
            ));
        }
        let target = match (section.command, section.url) {
            (Some(command), None) => Target::Command(own_program(command.into_words(), &name)?),
            (None, Some(url)) => {
                let url = Url::parse(&url).map_err(|error| format!("`url` of `{name}`: {error}"))?;
                if !matches!(url.scheme(), "http" | "https") || url.password().is_some() {
                    return Err(format!("`url` of `{name}` is not an HTTP URL without a password"));
                }
                let secret = section
                    .secret_command
                    .map(|words| own_program(words.into_words(), &name));
                Target::Webhook(url, secret.transpose()?)
            }
            _ => return Err(format!("`{name}` needs either `command` or `url`")),
        };
        let timeout = match section.timeout {
            None => TIMEOUT,
            Some(seconds) if seconds > 0.0 && seconds <= MAX_TIMEOUT => Duration::from_secs_f64(seconds),
            Some(_) => {
                return Err(format!(
                    "`timeout` of `{name}` has to be a number of seconds, up to 3600"
                ));
            }
        };
        Ok(Self {
            name,
            topics: Topics::parse(&section.topics).map_err(|error| error.to_string())?,
            patterns: section.topics,
            repos: section.repos,
            target,
            timeout,
        })
    }

    /// The variable that has its secret.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        format!("BACKLOT_HOOK_{name}_SECRET")
    }

    fn row(&self, cursor: Option<EventCursor>) -> HookRow {
        let (kind, target) = match &self.target {
            Target::Command(words) => ("command", words.join(" ")),
            Target::Webhook(url, _) => ("webhook", shown(url)),
        };
        HookRow {
            name: self.name.clone(),
            kind: kind.to_owned(),
            target,
            topics: self.patterns.clone(),
            repos: self.repos.clone(),
            cursor,
        }
    }
}

/// The words of a program of this machine: one that is relative would be one of the workspace, which is not the user's alone.
fn own_program(words: Vec<String>, hook: &str) -> Result<Vec<String>, String> {
    match words.first() {
        None => Err(format!("a command of `{hook}` has no program")),
        Some(program) if program.contains('/') && !Path::new(program).is_absolute() => Err(format!(
            "the program `{program}` of `{hook}` is not an absolute path or a name on PATH"
        )),
        Some(_) => Ok(words),
    }
}

impl Opened {
    /// The hooks of the user.
    pub(crate) fn hook_list(&self) -> Result<Vec<Hook>> {
        let path = self.host().user_config.clone();
        let bad = |reason: String| {
            Error::from(WorkspaceError::BadConfig {
                path: path.clone().unwrap_or_default(),
                reason: format!("[[hook]]: {reason}"),
            })
        };
        let mut hooks: Vec<Hook> = Vec::new();
        for section in UserFile::load(path.as_deref())?.hook.unwrap_or_default() {
            let hook = Hook::of(section).map_err(bad)?;
            if hooks.iter().any(|known| known.name == hook.name) {
                return Err(bad(format!("duplicate name `{}`", hook.name)));
            }
            hooks.push(hook);
        }
        Ok(hooks)
    }

    /// Those that are named, or all; an error if there are none.
    pub(crate) fn wanted_hooks(&self, names: &[String]) -> Result<Vec<Hook>> {
        let mut hooks = self.hook_list()?;
        if hooks.is_empty() {
            let path = self.host().user_config.clone();
            return Err(EventsError::NoHooks { path }.into());
        }
        if let Some(unknown) = names
            .iter()
            .find(|name| hooks.iter().all(|hook| hook.name != **name))
        {
            let known = hooks.iter().map(|hook| hook.name.as_str());
            return Err(EventsError::UnknownHook {
                name: unknown.clone(),
                nearest: backlot_core::text::nearest(unknown, known).map(ToOwned::to_owned),
            }
            .into());
        }
        hooks.retain(|hook| names.is_empty() || names.contains(&hook.name));
        Ok(hooks)
    }

    pub(crate) fn hooks(&self) -> Result<Vec<HookRow>> {
        let row = |hook: Hook| Ok(hook.row(self.kept_cursor(&hook_file(&hook.name)).load()?));
        self.hook_list()?.into_iter().map(row).collect()
    }
}

/// The name of the file with its cursor.
pub(crate) fn hook_file(name: &str) -> String {
    format!("hook-{name}")
}
