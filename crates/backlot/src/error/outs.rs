//! What can be wrong with the tracked files of a package as a whole: with where they belong, and with what is published of them.

use std::path::PathBuf;

use backlot_core::{Class, PackageName, text};

/// Tracked files that cannot be published, pushed or placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutsError {
    /// A pointer without content: there is nothing to publish.
    #[error("`{asset}` cannot be published: {} {} no content: {}", text::count(paths.len() as u64, "pointer"), if paths.len() == 1 { "names" } else { "name" }, paths.join(", "))]
    NoContent {
        /// The asset.
        asset: String,
        /// Their paths.
        paths: Vec<String>,
    },
    /// Tracked files that no push sends.
    #[error("`{asset}` cannot be published: {} not pushed (`push: false`), so nobody could pull {}: {}", if paths.len() == 1 { "a tracked path is" } else { "some tracked paths are" }, if paths.len() == 1 { "it" } else { "them" }, paths.join(", "))]
    NotPushed {
        /// The asset.
        asset: String,
        /// Their paths.
        paths: Vec<String>,
    },
    /// An out is pinned to a remote that is not configured.
    #[error("`{pointer}` says that its files are on the remote `{remote}`, and there is none of that name")]
    UnknownPin {
        /// The pointer.
        pointer: String,
        /// The remote.
        remote: String,
    },
    /// A path whose pointer cannot go into a wheel.
    #[error("`{}` cannot be tracked under this name: its pointer goes into the wheel, and {reason}", path.display())]
    NotPackaged {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Tracked files that are not cached, and would become part of the wheel itself.
    #[error("`{asset}` cannot be built: {} not cached (`cache: false`), so the content would go into the wheel itself: {}", if paths.len() == 1 { "a tracked path is" } else { "some tracked paths are" }, paths.join(", "))]
    NotCached {
        /// The asset.
        asset: String,
        /// The paths, relative to the workspace.
        paths: Vec<String>,
    },
    /// Files that are not pushed to the remote of a command, and would be kept nowhere.
    #[error(
        "`{asset}` has tracked files that do not go to this remote (`push: false`, `cache: false` or a remote of their own), so they need the cache"
    )]
    NeedsCache {
        /// The asset.
        asset: String,
    },
    /// A pointer of an installed release names files outside its package.
    #[error("{package} has the pointer `{pointer}` to `{path}`, which it may not place: {reason}")]
    Foreign {
        /// The package.
        package: PackageName,
        /// The pointer, in site-packages.
        pointer: String,
        /// The path, in site-packages.
        path: String,
        /// Why.
        reason: String,
    },
}

backlot_core::coded! {
    OutsError {
        Self::NoContent { .. } => "publish::no_content", Class::NotFound,
            "put the files in place and run `backlot add` on them, or remove the pointers; files that are only in a versioned bucket are pulled by DVC first";
        Self::NotPushed { .. } => "publish::not_pushed", Class::Conflict,
            "remove `push: false` from the pointers, or publish without these files with `--allow-unpushed`";
        Self::UnknownPin { remote, .. } => "config::unknown_pin", Class::NotFound,
            format!("`backlot remote add {remote} URL`, or remove `remote:` from the pointer");
        Self::NotPackaged { .. } => "files::not_packaged", Class::User,
            "rename it; from outside, `--as NAME` gives it another name in the asset";
        Self::NotCached { paths, .. } => "publish::not_cached", Class::Conflict,
            format!(
                "remove `cache: false` from the pointers, then run `backlot add {}`; or let them go into the wheel by `largest-file`, `largest-wheel` or `media` in `[publish]` of backlot.toml",
                paths.join(" ")
            );
        Self::NeedsCache { .. } => "files::needs_cache", Class::Conflict,
            "leave out `--to-remote` or `--no-cache`, or change the pointers";
        Self::Foreign { .. } => "workspace::foreign_files", Class::Integrity,
            "do not use the release, and tell its publisher; `backlot uninstall` removes it";
    }
}
