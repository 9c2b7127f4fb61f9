//! The environment variables, read in this one place.
//!
//! `BACKLOT_CACHE_DIR`, `BACKLOT_AUTHOR`, `BACKLOT_PYTHON`, `BACKLOT_LINKS`, `BACKLOT_CONFIG`, `BACKLOT_WORKSPACE`, and
//! what the platform says of folders and names.
#![expect(
    clippy::disallowed_methods,
    reason = "only the command line reads the environment, here"
)]

use std::path::PathBuf;

use backlot::{Host, Overrides};

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn folder(name: &str, fallback: &str) -> PathBuf {
    let home = || {
        text("HOME")
            .or_else(|| text("USERPROFILE"))
            .map(|home| PathBuf::from(home).join(fallback))
    };
    text(name)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
}

/// The folder to look for the workspace from, if the environment names one.
pub(crate) fn workspace() -> Option<PathBuf> {
    text("BACKLOT_WORKSPACE").map(PathBuf::from)
}

/// Whether colours are not wanted.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || text("TERM").as_deref() == Some("dumb")
}

/// Who and where this command runs.
pub(crate) fn host() -> Host {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let config = text("BACKLOT_CONFIG").map(PathBuf::from);
    Host {
        default_cache: folder("XDG_CACHE_HOME", ".cache").join("backlot"),
        user_config: Some(
            config.unwrap_or_else(|| folder("XDG_CONFIG_HOME", ".config").join("backlot/config.toml")),
        ),
        path: std::env::var_os("PATH"),
        author: text("USER")
            .or_else(|| text("LOGNAME"))
            .unwrap_or_else(|| "unknown".to_owned()),
        machine,
        overrides: Overrides {
            cache: text("BACKLOT_CACHE_DIR")
                .map(|c| std::path::absolute(&c).unwrap_or_else(|_| PathBuf::from(c))),
            links: text("BACKLOT_LINKS").and_then(|l| l.split(',').map(|m| m.parse().ok()).collect()),
            python: text("BACKLOT_PYTHON"),
            author: text("BACKLOT_AUTHOR"),
        },
    }
}
