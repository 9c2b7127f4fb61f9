//! Errors of events and hooks.

use std::path::PathBuf;

use backlot_core::Class;

/// Events that cannot be read or delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// No repo of the workspace keeps events.
    #[error("no repo of this workspace records events")]
    NoFeeds,
    /// A text that is not a cursor, or not one of these repos.
    #[error("invalid cursor `{text}`: {reason}")]
    BadCursor {
        /// The text.
        text: String,
        /// Why.
        reason: String,
    },
    /// An unknown topic.
    #[error("unknown event topic `{topic}`{}", nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    UnknownTopic {
        /// The given topic.
        topic: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// A kept cursor that cannot be read.
    #[error("cannot read the event position from `{}`: {reason}", path.display())]
    BadKeptCursor {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The user's configuration has no hook.
    #[error("no hooks are configured{}", path.as_ref().map(|path| format!(" in `{}`", path.display())).unwrap_or_default())]
    NoHooks {
        /// The user's file.
        path: Option<PathBuf>,
    },
    /// An unknown hook.
    #[error("unknown hook `{name}`{}", nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    UnknownHook {
        /// The given name.
        name: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// A webhook without the secret that it is signed with.
    #[error("the hook `{hook}` has no secret: {reason}")]
    NoSecret {
        /// The hook.
        hook: String,
        /// Why.
        reason: String,
        /// The variable that would have it.
        variable: String,
    },
    /// An event that a hook did not take.
    #[error("the hook `{hook}` failed on an event: {reason}")]
    NotTaken {
        /// The hook.
        hook: String,
        /// Why.
        reason: String,
    },
    /// Hooks that did not take all events.
    #[error("undelivered events for {}: {}", backlot_core::text::count(hooks.len() as u64, "hook"), hooks.join("; "))]
    Waiting {
        /// Each with why.
        hooks: Vec<String>,
    },
}

backlot_core::coded! {
    EventsError {
        Self::NoFeeds => "events::no_feeds", Class::Config,
            "add a repo that is a folder or a store with `repo add`; package indexes and plain folders of packages do not record events";
        Self::BadCursor { .. } => "events::bad_cursor", Class::User,
            "use a cursor as printed by `events --json`, `REPO:POSITION`, or `0` for the beginning";
        Self::UnknownTopic { .. } => "events::unknown_topic", Class::User,
            format!("topics are {}; `*` matches any part", backlot_repo::TOPICS.join(", "));
        Self::BadKeptCursor { path, .. } => "events::bad_kept_cursor", Class::Integrity,
            format!("restore `{}` or remove it; without it, hooks receive only new events, and the inbox starts from the beginning", path.display());
        Self::NoHooks { .. } => "hooks::none", Class::Config,
            "add [[hook]] with `name`, and `command` or `url`, to the user's configuration, as docs/events.md shows";
        Self::UnknownHook { .. } => "hooks::unknown", Class::NotFound,
            "list them with `hooks list`";
        Self::NoSecret { variable, .. } => "hooks::no_secret", Class::Config,
            format!("set {variable}, or set `secret-command` to a command that prints it");
        Self::NotTaken { .. } => "hooks::not_taken", Class::Environment,
            "run the hook's command with `hooks test`, or check the log of its server",
            retry true;
        Self::Waiting { .. } => "hooks::waiting", Class::Environment,
            "correct the hook; the next `hooks run` retries these events first. `hooks skip NAME` skips an event that keeps failing",
            retry true;
    }
}
