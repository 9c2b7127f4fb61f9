//! Planning an add: targets matched with the existing pointers.
//!
//! Invariant: no two outs overlap. A pointer file as a target stands for what it tracks; a path inside a tracked folder for
//! that part of the folder, as in DVC. Deliberately absent: content; nothing is read here but pointers.

use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::ignore::Ignore;
use crate::made::tracked_files;
use crate::names;
use crate::pointer::Pointer;
use crate::tracked::TrackedPointer;

/// A path to be tracked.
#[derive(Clone, Debug, PartialEq)]
pub struct AddTarget {
    /// Where it is.
    pub path: PathBuf,
    /// Its pointer file.
    pub pointer_path: PathBuf,
    /// The current contents of the pointer file, if it exists.
    pub pointer: Option<Pointer>,
    /// The path in the pointer.
    pub out_path: RelPath,
    /// The parts of a tracked folder that are looked at; `None` for all of it.
    pub parts: Option<Vec<RelPath>>,
    /// Files and folders of a tracked folder to remove.
    pub removals: Vec<RelPath>,
}

impl AddTarget {
    /// Whether a file of the folder is looked at.
    pub(crate) fn covers(&self, path: &RelPath) -> bool {
        let within = |parts: &Vec<RelPath>| parts.iter().any(|part| path.is_within(part));
        self.parts.as_ref().is_none_or(within)
    }

    /// Take over what another target of the same out is about.
    fn join(&mut self, other: Self) {
        match (&mut self.parts, other.parts) {
            (Some(mine), Some(more)) => mine.extend(more),
            (parts, _) => *parts = None,
        }
        self.removals.extend(other.removals);
    }
}

/// Match paths inside the asset folder `root`, and those to be removed from tracked folders, with its pointers.
pub fn plan_add(
    root: &Path,
    targets: &[PathBuf],
    removals: &[PathBuf],
    context: &Context,
) -> Result<Vec<AddTarget>> {
    let existing = tracked_files(root, root, context)?;
    let mut plan: Vec<AddTarget> = Vec::new();
    let resolved = targets.iter().map(|target| resolve(root, target, &existing));
    let removed = removals
        .iter()
        .map(|path| Ok(vec![removal(root, path, &existing)?]));
    for targets in resolved.chain(removed) {
        for target in targets? {
            if let Some(planned) = plan.iter_mut().find(|planned| planned.path == target.path) {
                planned.join(target);
                continue;
            }
            if let Some(other) = plan.iter().find(|p| overlap(&p.path, &target.path)) {
                return Err(Error::Overlap {
                    path: target.path,
                    tracked: other.path.clone(),
                    pointer: other.pointer_path.clone(),
                });
            }
            plan.push(target);
        }
    }
    Ok(plan)
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The meaning of one given path.
fn resolve(root: &Path, given: &Path, existing: &[TrackedPointer]) -> Result<Vec<AddTarget>> {
    let path = inside(root, given)?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if names::is_pointer(name)
        && let Some(pointer) = existing.iter().find(|p| p.path == path)
    {
        return pointer
            .located_outs()
            .map(|(place, out)| known(pointer, place, &out.path))
            .collect();
    }
    for pointer in existing {
        for (place, out) in pointer.located_outs() {
            if let Ok(part) = path.strip_prefix(&place) {
                let mut target = known(pointer, place.clone(), &out.path)?;
                let is_folder = out.id().is_some_and(|id| id.tree) && place.is_dir();
                if is_folder && !part.as_os_str().is_empty() {
                    target.parts = Some(vec![part_of(&path, part)?]);
                }
                return Ok(vec![target]);
            }
            if place.starts_with(&path) {
                return Err(Error::Overlap {
                    path,
                    tracked: place,
                    pointer: pointer.file().to_path_buf(),
                });
            }
        }
    }
    fresh(root, path, existing).map(|target| vec![target])
}

/// A path inside a tracked folder to remove.
fn removal(root: &Path, given: &Path, existing: &[TrackedPointer]) -> Result<AddTarget> {
    let path = inside(root, given)?;
    for pointer in existing {
        for (place, out) in pointer.located_outs() {
            match path.strip_prefix(&place) {
                Ok(part) if !part.as_os_str().is_empty() && out.id().is_some_and(|id| id.tree) => {
                    let mut target = known(pointer, place.clone(), &out.path)?;
                    target.parts = Some(Vec::new());
                    target.removals.push(part_of(&path, part)?);
                    return Ok(target);
                }
                _ => {}
            }
        }
    }
    Err(Error::NotAMember { path })
}

fn part_of(path: &Path, part: &Path) -> Result<RelPath> {
    RelPath::from_path(part).map_err(|_| Error::Untrackable {
        path: path.to_path_buf(),
        what: "named in a way that is not portable between platforms",
    })
}

/// An out that is tracked already.
fn known(pointer: &TrackedPointer, path: PathBuf, out_path: &RelPath) -> Result<AddTarget> {
    if let Some(made_by) = &pointer.made_by {
        return Err(Error::MadeByStage {
            path,
            stage: made_by.stage.clone(),
            lock: made_by.lock.clone(),
        });
    }
    if pointer.pointer.is_import() {
        return Err(Error::Imported {
            path,
            pointer: pointer.path.clone(),
        });
    }
    Ok(AddTarget {
        path,
        pointer_path: pointer.path.clone(),
        pointer: Some(pointer.pointer.clone()),
        out_path: out_path.clone(),
        parts: None,
        removals: Vec::new(),
    })
}

/// A folder, or a file, inside the asset folder `root` that is to be tracked and need not be here.
pub(crate) fn plan_absent(
    root: &Path,
    relative: &RelPath,
    is_folder: bool,
    context: &Context,
) -> Result<AddTarget> {
    let existing = tracked_files(root, root, context)?;
    let path = relative.to_path(root);
    check_links(root, path.strip_prefix(root).unwrap_or(&path))?;
    for pointer in &existing {
        for (place, out) in pointer.located_outs() {
            if place == path {
                return known(pointer, place, &out.path);
            }
            if overlap(&place, &path) {
                return Err(Error::Overlap {
                    path,
                    tracked: place,
                    pointer: pointer.file().to_path_buf(),
                });
            }
        }
    }
    fresh_as(root, path, is_folder, &existing)
}

/// A path that is not tracked yet.
fn fresh(root: &Path, path: PathBuf, existing: &[TrackedPointer]) -> Result<AddTarget> {
    let found = match std::fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::NoSuchPath { path }),
        Err(_) => fs::symlink_metadata(&path)?,
    };
    fresh_as(root, path, found.is_dir(), existing)
}

/// The same of a path that is, or will be, a folder or a file.
fn fresh_as(root: &Path, path: PathBuf, is_folder: bool, existing: &[TrackedPointer]) -> Result<AddTarget> {
    let untrackable = |what| Error::Untrackable {
        path: path.clone(),
        what,
    };
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or_else(|| untrackable("named in bytes that are not valid UTF-8"))?;
    if names::is_of_tracking(name) {
        return Err(untrackable("a file that tracks or ignores others"));
    }
    let out_path = RelPath::parse(name)
        .map_err(|_| untrackable("named in a way that is not portable between platforms"))?;
    if Ignore::of_folder(path.parent().unwrap_or(root))?.excludes_below(root, &path, is_folder) {
        return Err(Error::Ignored { path });
    }
    let pointer_path = path.with_file_name(format!("{name}{}", names::POINTER_SUFFIX));
    let taken = existing
        .iter()
        .find(|p| p.path == pointer_path && !p.pointer.outs.is_empty());
    if let Some((tracked, _)) = taken.and_then(|p| p.located_outs().next()) {
        return Err(Error::Overlap {
            path,
            tracked,
            pointer: pointer_path,
        });
    }
    Ok(AddTarget {
        path,
        pointer_path,
        pointer: None,
        out_path,
        parts: None,
        removals: Vec::new(),
    })
}

/// The path below `root` as `root` spells it: links in the folders above both are seen through.
fn inside(root: &Path, given: &Path) -> Result<PathBuf> {
    let outside = || Error::Outside {
        path: given.to_path_buf(),
        root: root.to_path_buf(),
    };
    let lexical = given
        .components()
        .all(|c| !matches!(c, std::path::Component::ParentDir));
    if lexical && let Ok(rest) = given.strip_prefix(root) {
        if rest.as_os_str().is_empty() {
            return Err(outside());
        }
        check_links(root, rest)?;
        return Ok(root.join(rest));
    }
    // The last name may itself be a link, which is tracked as its target.
    let (Some(folder), Some(name)) = (given.parent(), given.file_name()) else {
        return Err(outside());
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let (Ok(folder), Ok(real_root)) = (fs::canonicalize(folder), fs::canonicalize(root)) else {
        return Err(outside());
    };
    let rest = folder.strip_prefix(&real_root).map_err(|_| outside())?.join(name);
    Ok(root.join(rest))
}

/// A folder between the asset and the path must not be a link: the files would be elsewhere.
fn check_links(root: &Path, rest: &Path) -> Result<()> {
    let mut folder = root.to_path_buf();
    for part in rest.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        if folder.is_symlink() {
            return Err(Error::LinkedFolder { path: folder });
        }
    }
    Ok(())
}
