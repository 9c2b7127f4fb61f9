//! Environment variables that only the command reads; the rest is `Host::from_env`, as in any program.
//!
//! `BACKLOT_WORKSPACE`, `BACKLOT_LOCK_TIMEOUT`, `BACKLOT_PART_REMOTE`, `_ENDPOINT` and `_REGION`, `SHELL`, `NO_COLOR`, `TERM`.
#![expect(
    clippy::disallowed_methods,
    reason = "only the command line reads the environment, here"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot::{Host, StoreOptions};

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder to look for the workspace from, if the environment names one.
pub(crate) fn workspace() -> Option<PathBuf> {
    text("BACKLOT_WORKSPACE").map(PathBuf::from)
}

/// The remote that parts of farm jobs go to, if the environment names one, and how it is reached where that was not said.
pub(crate) fn part_remote(mut options: StoreOptions) -> (Option<String>, StoreOptions) {
    options.endpoint = options.endpoint.or_else(|| text("BACKLOT_PART_ENDPOINT"));
    options.region = options.region.or_else(|| text("BACKLOT_PART_REGION"));
    (text("BACKLOT_PART_REMOTE"), options)
}

/// A search path (`PATH`, `PYTHONPATH`) with a folder before what it has.
pub(crate) fn search_path(name: &str, first: &Path) -> OsString {
    let rest = std::env::var_os(name).unwrap_or_default();
    let rest = std::env::split_paths(&rest).filter(|p| !p.as_os_str().is_empty());
    std::env::join_paths(std::iter::once(first.to_path_buf()).chain(rest))
        .unwrap_or_else(|_| first.as_os_str().to_owned())
}

/// The folder for private workspaces of attempts, if the environment names one.
pub(crate) fn scratch() -> Option<PathBuf> {
    text("BACKLOT_SCRATCH").map(PathBuf::from)
}

/// The shell of the person.
pub(crate) fn shell() -> OsString {
    let (variable, other) = backlot::platform::SHELL;
    let named = std::env::var_os(variable).filter(|shell| !shell.is_empty());
    named.unwrap_or_else(|| other.into())
}

/// How long locks are waited for, if the environment says so.
pub(crate) fn lock_timeout() -> Option<Duration> {
    let seconds = text("BACKLOT_LOCK_TIMEOUT")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Whether colours are not wanted.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || text("TERM").as_deref() == Some("dumb")
}

/// The hidden command that starts the supervisor of a stage's command.
const SUPERVISE: &str = "supervise-stage";

/// Be the supervisor of a stage's command, if this process was started as one.
pub(crate) fn supervised() -> Option<std::process::ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let is_meant = arguments.next().is_some_and(|first| first == SUPERVISE);
    is_meant.then(|| {
        let code = backlot::supervise(arguments);
        std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
    })
}

/// The user and machine of this command.
pub(crate) fn host() -> Host {
    let itself = std::env::current_exe().ok();
    Host {
        program: itself.clone(),
        supervisor: itself.map(|program| (program, vec![SUPERVISE.into()])),
        ..Host::from_env()
    }
}
