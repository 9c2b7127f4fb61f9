//! What can go wrong with events and hooks.

use std::path::PathBuf;

use backlot_core::Class;

/// Events that cannot be read, or not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// No repo of the workspace keeps events.
    #[error("no repo of this workspace keeps events")]
    NoFeeds,
    /// A text that is not a cursor, or not one of these repos.
    #[error("`{text}` is not a cursor here: {reason}")]
    BadCursor {
        /// The text.
        text: String,
        /// Why.
        reason: String,
    },
    /// A topic that there is not.
    #[error("there are no events of the topic `{topic}`{}", nearest.as_ref().map(|near| format!("; is it `{near}`?")).unwrap_or_default())]
    UnknownTopic {
        /// What was asked for.
        topic: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// A kept cursor that cannot be read.
    #[error("`{}` does not say how far events were read: {reason}", path.display())]
    BadKeptCursor {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The user's configuration has no hook.
    #[error("there are no hooks{}", path.as_ref().map(|path| format!(" in `{}`", path.display())).unwrap_or_default())]
    NoHooks {
        /// The user's file.
        path: Option<PathBuf>,
    },
    /// A hook that there is not.
    #[error("there is no hook `{name}`{}", nearest.as_ref().map(|near| format!("; is it `{near}`?")).unwrap_or_default())]
    UnknownHook {
        /// What was asked for.
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
    #[error("the hook `{hook}` did not take an event: {reason}")]
    NotTaken {
        /// The hook.
        hook: String,
        /// Why.
        reason: String,
    },
    /// Hooks that did not take all events.
    #[error("events wait for {}: {}", backlot_core::text::count(hooks.len() as u64, "hook"), hooks.join("; "))]
    Waiting {
        /// Each with why.
        hooks: Vec<String>,
    },
}

backlot_core::coded! {
    EventsError {
        Self::NoFeeds => "events::no_feeds", Class::Config,
            "add a repo that is a folder or a store with `repo add`; package indexes and plain folders of packages keep no events";
        Self::BadCursor { .. } => "events::bad_cursor", Class::User,
            "give a cursor as `events --json` prints it, `REPO:POSITION`, or `0` for the beginning";
        Self::UnknownTopic { .. } => "events::unknown_topic", Class::User,
            format!("topics are {}; `*` stands for any part", backlot_repo::TOPICS.join(", "));
        Self::BadKeptCursor { path, .. } => "events::bad_kept_cursor", Class::Integrity,
            format!("restore `{}` or remove it; without it, hooks are told of events from now on, and the inbox is read from the beginning", path.display());
        Self::NoHooks { .. } => "hooks::none", Class::Config,
            "add [[hook]] with `name`, and `command` or `url`, to the user's configuration, as docs/events.md shows";
        Self::UnknownHook { .. } => "hooks::unknown", Class::NotFound,
            "list them with `hooks list`";
        Self::NoSecret { variable, .. } => "hooks::no_secret", Class::Config,
            format!("set {variable}, or name a command that prints it as `secret-command`");
        Self::NotTaken { .. } => "hooks::not_taken", Class::Environment,
            "run the command of the hook by hand with `hooks test`, or see what its server logs",
            retry true;
        Self::Waiting { .. } => "hooks::waiting", Class::Environment,
            "correct the hook; the next `hooks run` tells it the same events first. `hooks skip NAME` goes past one that it never takes",
            retry true;
    }
}
