//! Removing what killed processes left: temporaries older than a day, wherever a cache or a workspace has them.
//!
//! Invariant: only names as we give them to temporaries are removed, and only when neither they nor, for a folder, what is
//! directly in it changed for a day. Once a day is enough, so a mark is all that most commands look at. Deliberately absent:
//! following links.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::{file, shared};
use fs_err as fs;

/// The age after which a temporary counts as abandoned.
const STALE: Duration = Duration::from_hours(24);
const MARK: &str = "swept";
/// Folders of a cache that have temporaries directly in them; `*` stands for each of its folders.
const FOLDERS: [&str; 16] = [
    "",
    "files",
    "files/md5",
    "tmp",
    "wheels",
    "chunks",
    "remotes",
    "remotes/*",
    "remotes/*/*",
    "index",
    "index/*",
    "index/*/*",
    "workspaces",
    "answers",
    "quarantine",
    "claims",
];

/// Whether to sweep now: at most once a day, by a file that is made for it. A place that cannot be written to is not swept.
pub fn is_sweep_due(mark: &Path) -> bool {
    let fresh = std::fs::symlink_metadata(mark).is_ok_and(|found| !is_stale(&found));
    // The mark comes first, so that of many commands one sweeps.
    !fresh && shared::write_for_now(mark, b"").is_ok()
}

/// Sweep a folder and all that is in it.
pub fn sweep_tree(folder: &Path) {
    sweep_folder(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep_tree(&entry.path());
        }
    }
}

/// Sweep a cache, at most once a day.
pub(crate) fn cache(root: &Path) {
    if !is_sweep_due(&root.join(MARK)) {
        return;
    }
    for folder in FOLDERS {
        for folder in folders_like(root, folder) {
            sweep_folder(&folder);
        }
    }
}

/// The folders below a root that a pattern stands for.
fn folders_like(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut folders = vec![root.to_path_buf()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        folders = match part {
            "*" => {
                let entries = folders.iter().flat_map(fs::read_dir).flatten().flatten();
                let inside = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                inside.map(|entry| entry.path()).collect()
            }
            part => folders.into_iter().map(|folder| folder.join(part)).collect(),
        };
    }
    folders
}

/// Remove the stale temporaries directly in a folder. Those that cannot be removed are left for the next time.
pub fn sweep_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ulid = name
            .to_str()
            .and_then(|name| name.strip_prefix(file::TEMPORARY_PREFIX));
        let is_ours = ulid.is_some_and(|ulid| ulid::Ulid::from_string(ulid).is_ok());
        if is_ours && entry.metadata().is_ok_and(|found| is_stale(&found)) && is_quiet(&entry.path()) {
            file::remove(&entry.path()).ok();
        }
    }
}

fn is_stale(found: &std::fs::Metadata) -> bool {
    let age = found.modified().ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > STALE)
}

/// Whether nothing that is directly in a folder changed for a day.
fn is_quiet(path: &Path) -> bool {
    let mut entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.all(|entry| entry.metadata().is_ok_and(|found| is_stale(&found)))
}
