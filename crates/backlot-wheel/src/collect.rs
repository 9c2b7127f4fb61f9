//! The packaged files of a project.
//!
//! Invariant: only regular files are opened, and only those inside the project: a link that leaves it would package what
//! lies on one machine, and a pipe would block forever. Links to folders are not followed, as by all that looks for tracked
//! files: else a folder would be tracked under one name and packaged under the other. Excluded files cause a warning. Deliberately absent: tracked files,
//! which the caller excludes, and patterns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::file::TEMPORARY_PREFIX;
use backlot_core::{Context, RelPath};
use fs_err as fs;

use crate::build::BuildOptions;
use crate::error::{Error, Result};
use crate::project::Project;

/// The type of a path for the builder.
enum Found {
    Folder,
    File,
    /// Not packaged, for a reason.
    Left(&'static str),
}

/// A folder or file to be looked at.
struct Pending {
    source: PathBuf,
    target: RelPath,
}

/// The files that are packaged: wheel paths with their files, sorted. Excluded files cause a warning.
pub fn packaged_files(
    project: &Project,
    options: &BuildOptions<'_>,
    context: &Context,
) -> Result<BTreeMap<RelPath, PathBuf>> {
    let inside = fs::canonicalize(&project.root)?;
    let mut found = BTreeMap::new();
    for root in &project.module_roots {
        let mut pending = vec![Pending {
            source: root.source.clone(),
            target: root.target.clone(),
        }];
        while let Some(next) = pending.pop() {
            context.check()?;
            if (options.exclude)(&next.target) {
                continue;
            }
            match look(&next, &inside)? {
                Found::File => {
                    found.insert(next.target, next.source);
                }
                Found::Folder => enter(&next, options, &mut pending)?,
                Found::Left(reason) if next.source == root.source => {
                    return Err(Error::BadProject {
                        path: next.source,
                        reason: reason.to_owned(),
                    });
                }
                Found::Left(reason) => context.warn(
                    "build::left_out",
                    format!("`{}` is not packaged: {reason}", next.source.display()),
                ),
            }
        }
    }
    Ok(found)
}

fn look(pending: &Pending, inside: &Path) -> Result<Found> {
    let mut metadata = fs::symlink_metadata(&pending.source)?;
    if metadata.is_symlink() {
        // Also a link to itself.
        let Ok(target) = fs::canonicalize(&pending.source) else {
            return Ok(Found::Left("the link is dangling"));
        };
        if !target.starts_with(inside) {
            return Ok(Found::Left("the link points outside the asset"));
        }
        metadata = fs::metadata(&target)?;
        if metadata.is_dir() {
            let folder = pending.source.parent().map(fs::canonicalize).transpose()?;
            let above = folder.is_some_and(|folder| folder.starts_with(&target));
            return Ok(Found::Left(if above {
                "the link points to a folder that contains it"
            } else {
                "it is a link to a folder"
            }));
        }
    }
    Ok(if metadata.is_dir() {
        Found::Folder
    } else if metadata.is_file() {
        Found::File
    } else {
        Found::Left("it is not a file or folder")
    })
}

fn enter(folder: &Pending, options: &BuildOptions<'_>, pending: &mut Vec<Pending>) -> Result<()> {
    for entry in fs::read_dir(&folder.source)? {
        let path = entry?.path();
        let bad = |reason: String| Error::BadProject {
            path: path.clone(),
            reason,
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| bad("its name is not valid UTF-8".to_owned()))?;
        let packaged = if options.whole {
            crate::hatchling::packages(name)
        } else {
            is_packaged(name)
        };
        if !packaged {
            continue;
        }
        let child = carried_name(name).map_err(bad)?;
        pending.push(Pending {
            target: child.below(&folder.target),
            source: path,
        });
    }
    Ok(())
}

/// A name as a part of a path in a wheel; the error is a reason for people.
fn carried_name(name: &str) -> std::result::Result<RelPath, String> {
    // A line break would end a row of RECORD, for every reader.
    if name.contains(char::is_control) {
        return Err("its name contains a line break or another control character".to_owned());
    }
    RelPath::parse(name).map_err(|e| e.to_string())
}

/// Whether a wheel of an asset would have a file or folder of this name; the error is a reason for people. By the same rule as
/// a build.
pub fn check_packaged_name(name: &std::ffi::OsStr) -> std::result::Result<(), String> {
    let name = name
        .to_str()
        .ok_or_else(|| "its name is not valid UTF-8".to_owned())?;
    carried_name(name)?;
    if is_packaged(name) {
        Ok(())
    } else {
        Err(format!("`{name}` is excluded from wheels"))
    }
}

/// Leavings of interpreters, editors, desktops, network disks and version control are not packaged, nor secrets of a shell, nor the
/// original engine's logs.
fn is_packaged(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_leaving = matches!(
        lower.as_str(),
        "__pycache__"
            | ".mypy_cache"
            | ".pytest_cache"
            | ".ruff_cache"
            | ".git"
            | ".hg"
            | ".svn"
            | ".gitignore"
            | ".env"
            | ".ds_store"
            | ".localized"
            | ".directory"
            | ".spotlight-v100"
            | ".fseventsd"
            | ".trashes"
            | "@eadir"
            | "icon\r"
            | "thumbs.db"
            | "ehthumbs.db"
            | "desktop.ini"
            | "execution_log.txt"
            | "execution_log.svg"
    );
    let is_backup = lower.ends_with('~')
        || lower.starts_with('.') && [".swp", ".swo", ".swx"].iter().any(|end| lower.ends_with(end))
        || is_numbered_backup(&lower);
    let starts = ["._", ".nfs", ".fuse_hidden", ".trash-", TEMPORARY_PREFIX];
    !is_leaving
        && !is_backup
        && !lower.ends_with(".pyc")
        && !lower.ends_with(".pyo")
        && !starts.iter().any(|start| lower.starts_with(start))
}

/// Backups of earlier versions by Blender: `scene.blend1`.
fn is_numbered_backup(name: &str) -> bool {
    let number = name.rsplit_once(".blend").map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::is_packaged;

    #[test]
    fn leavings_are_not_packaged_and_files_of_the_asset_are() {
        for name in [
            ".DS_Store",
            "._frame.exr",
            "Icon\r",
            "thumbs.db",
            "THUMBS.DB",
            "Desktop.ini",
            ".directory",
            ".Trash-1000",
            "@eaDir",
            ".nfs000000000001",
            ".fuse_hidden0001",
            "scene.blend1",
            ".scene.py.swp",
            "scene.py~",
            ".env",
            "__pycache__",
            "mod.pyc",
            ".tmp-01arz3ndektsv4rrffq69g5fav",
        ] {
            assert!(!is_packaged(name), "{name:?} is packaged");
        }
        for name in [
            "scene.blend",
            "icon",
            "env.py",
            "nfs.py",
            "a.swp",
            "py.typed",
            ".hidden",
            "scene.blend1x",
        ] {
            assert!(is_packaged(name), "{name:?} is not packaged");
        }
    }
}
