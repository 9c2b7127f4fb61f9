//! Errors of the tracked files of a package as a whole: their remotes and their publishing.

use std::path::PathBuf;

use backlot_core::{Class, text};
use backlot_pep::PackageName;

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
    #[error("`{asset}` cannot be published: {} not pushed (`push: false`), so {} could not be pulled: {}", if paths.len() == 1 { "a tracked path is" } else { "some tracked paths are" }, if paths.len() == 1 { "it" } else { "them" }, paths.join(", "))]
    NotPushed {
        /// The asset.
        asset: String,
        /// Their paths.
        paths: Vec<String>,
    },
    /// An out is pinned to a remote that is not configured.
    #[error("`{pointer}` puts its files on the remote `{remote}`, which is not configured")]
    UnknownPin {
        /// The pointer.
        pointer: String,
        /// The remote.
        remote: String,
    },
    /// A path whose pointer cannot go into a wheel.
    #[error("cannot track `{}` under this name: its pointer is stored in the wheel, and {reason}", path.display())]
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
    /// Files that are not pushed to the remote of a command, and would be kept nowhere else.
    #[error(
        "`{asset}` has tracked files that do not go to this remote (`push: false`, `cache: false` or a remote of their own), so they need the cache"
    )]
    NeedsCache {
        /// The asset.
        asset: String,
    },
    /// The files of a release were given to a collection, and are gone.
    #[error("the files of {release} were removed by `gc`, {}", text::printable(why))]
    FilesDropped {
        /// The package.
        package: PackageName,
        /// The release, for people.
        release: String,
        /// Who asked for it, when, and the status of the release with its reason.
        why: String,
    },
    /// A path without tracked files.
    #[error("`{path}` is not tracked{}", nearest.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default())]
    NotTracked {
        /// The path, relative to the workspace.
        path: String,
        /// A tracked path like it.
        nearest: Option<String>,
    },
    /// Frames that are not.
    #[error("invalid frame range `{text}`")]
    BadFrames {
        /// The given text.
        text: String,
    },
    /// A tracked path that a release does not have.
    #[error("{release} has no tracked file or folder at `{path}`")]
    NotInRelease {
        /// The path, relative to the workspace.
        path: String,
        /// The release.
        release: String,
    },
    /// Files that are here, were changed since they were added, and would be replaced.
    #[error("`{path}` has local changes that are not in `{source_path}`: {}", some(files))]
    ChangedHere {
        /// The tracked file or folder, relative to the workspace.
        path: String,
        /// Its intended result.
        source_path: String,
        /// The files, relative to the folder.
        files: Vec<String>,
    },
    /// Part of a tracked folder where only all of it can be meant.
    #[error("`{path}` is tracked as a whole")]
    PartOfFolder {
        /// The tracked folder, relative to the workspace.
        path: String,
    },
    /// Files of a folder to untrack are not here.
    #[error("{} of `{path}` {} not here, and no release has {}", text::count(*absent, "file"), if *absent == 1 { "is" } else { "are" }, if *absent == 1 { "it" } else { "them" })]
    NotHere {
        /// The asset.
        asset: String,
        /// The tracked file or folder, relative to the workspace.
        path: String,
        /// How many.
        absent: u64,
    },
    /// A pointer of an installed release names files outside its package.
    #[error("{package} has the pointer `{pointer}` to `{path}`, which is not allowed: {reason}")]
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

/// Some names of files, and how many more there are.
fn some(files: &[String]) -> String {
    let more = match files.len().saturating_sub(10) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let some: Vec<&str> = files.iter().take(10).map(String::as_str).collect();
    some.join(", ") + &more
}

backlot_core::coded! {
    OutsError {
        Self::NoContent { .. } => "publish::no_content", Class::NotFound,
            "put the files in place and run `add` on them, or remove the pointers; files that are only in a versioned bucket have to be pulled with DVC first";
        Self::NotPushed { .. } => "publish::not_pushed", Class::Conflict,
            "remove `push: false` from the pointers, or publish without these files with `--allow-unpushed`";
        Self::UnknownPin { remote, .. } => "config::unknown_pin", Class::NotFound,
            format!("`remote add {remote} URL`, or remove `remote:` from the pointer");
        Self::NotPackaged { .. } => "files::not_packaged", Class::User,
            "rename it, or add it under another name with `--as NAME`";
        Self::NotCached { paths, .. } => "publish::not_cached", Class::Conflict,
            format!(
                "remove `cache: false` from the pointers, then run `add {}`; or allow them in the wheel with `largest-file`, `largest-wheel` or `media` in `[publish]` of backlot.toml",
                paths.join(" ")
            );
        Self::NeedsCache { .. } => "files::needs_cache", Class::Conflict,
            "omit `--to-remote` or `--no-cache`, or change the pointers";
        Self::FilesDropped { package, .. } => "files::dropped", Class::NotFound,
            format!("its wheel and metadata are still there; install another version: `show {package}` lists them");
        Self::NotTracked { .. } => "files::not_tracked", Class::NotFound,
            "`status` lists tracked files; `add PATH` tracks it";
        Self::BadFrames { .. } => "files::bad_frames", Class::User,
            "use `1001-1010`, `1001-1010x2` for every second frame, or several separated by commas";
        Self::NotInRelease { .. } => "files::not_in_release", Class::NotFound,
            "`show NAME==VERSION` lists its tracked files";
        Self::ChangedHere { path, .. } => "files::changed_here", Class::Conflict,
            format!(
                "run `add {path}` to record the changes first, or `discard {path}` to discard them"
            );
        Self::PartOfFolder { path } => "files::part_of_folder", Class::User,
            format!("use `{path}` itself; to remove single files from it, delete them and run `add {path}`");
        Self::NotHere { asset, .. } => "files::not_here", Class::Conflict,
            format!("run `pull {asset}` first");
        Self::Foreign { .. } => "workspace::foreign_files", Class::Integrity,
            "do not use the release, and notify its publisher; `uninstall` removes it";
    }
}
