//! A private copy of an output for repairs: what a repair may change is copied, all else is only looked at.
//!
//! Invariants: nothing in the copy is another name of a file of the output while a program may write to it, so whatever that does stays in the copy; a file
//! that is no plain file is refused. Deliberately absent: what is changed there, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use backlot_core::file::TemporaryFolder;
use backlot_core::{LinkMode, link};
use serde::{Deserialize, Serialize};

use crate::error::{Result, ValidateError};

/// Folders that no release has: wherever they are, and at the top of a project.
const NOWHERE: [&str; 2] = [".git", "__pycache__"];
const NOT_AT_THE_TOP: [&str; 3] = [".venv", "build", "dist"];
/// The longest text file whose changes are shown by lines.
const LONGEST_TEXT: u64 = 256 << 10;
/// The most lines of a file that are shown.
const MOST_LINES: usize = 60;

/// How a file differs in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RepairKind {
    /// It is new.
    Added,
    /// It has other content.
    Changed,
    /// It was removed.
    Removed,
}

/// A file that a repair would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepairChange {
    /// Its path in the project of the output.
    pub path: String,
    /// How it differs.
    pub kind: RepairKind,
    /// Its bytes before, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Its bytes after, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The removed (`-`) and added (`+`) lines of a small text file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// The copy.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    folder: TemporaryFolder,
    /// The project of the output.
    from: PathBuf,
    /// What was copied, and what was not, relative to the project.
    copied: BTreeSet<PathBuf>,
    left: BTreeSet<PathBuf>,
}

impl PrivateCopy {
    /// Copy a project into a new folder below `scratch`, but for files that `leave` keeps out, which may be large and are not to be changed.
    pub(crate) fn make(scratch: &Path, from: &Path, leave: &dyn Fn(&Path) -> bool) -> Result<Self> {
        let mut copy = Self {
            folder: TemporaryFolder::in_folder(scratch)?,
            from: from.to_path_buf(),
            copied: BTreeSet::new(),
            left: BTreeSet::new(),
        };
        for path in files_below(from, false)? {
            let source = from.join(&path);
            if leave(&source) {
                copy.left.insert(path);
                continue;
            }
            let target = copy.root().join(&path);
            if let Some(folder) = target.parent() {
                fs_err::create_dir_all(folder)?;
            }
            // A name in the cache may stand for many: its content is copied, not the name.
            let source = fs_err::canonicalize(&source)?;
            link::place_at(&source, &target, &[LinkMode::Reflink, LinkMode::Copy], true)?;
            copy.copied.insert(path);
        }
        Ok(copy)
    }

    /// What was copied, relative to the project.
    pub(crate) fn copied(&self) -> &BTreeSet<PathBuf> {
        &self.copied
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Put what was left out beside it, for those who only read: no program that writes is started after that.
    pub(crate) fn complete(&self) -> Result<()> {
        for path in &self.left {
            let target = self.root().join(path);
            if target.exists() {
                continue;
            }
            if let Some(folder) = target.parent() {
                fs_err::create_dir_all(folder)?;
            }
            let source = fs_err::canonicalize(self.from.join(path))?;
            backlot_core::platform::symlink_or_copy(&source, &target)?;
        }
        Ok(())
    }

    /// What is other in the copy; before [`Self::complete`].
    pub(crate) fn changes(&self) -> Result<BTreeMap<PathBuf, RepairChange>> {
        let there: BTreeSet<PathBuf> = files_below(self.root(), true)?.into_iter().collect();
        let mut changes = BTreeMap::new();
        for path in there.union(&self.copied) {
            let (old, new) = (self.from.join(path), self.root().join(path));
            let found = fs_err::symlink_metadata(&new).ok();
            if found.as_ref().is_some_and(|found| !found.is_file()) || self.left.contains(path) {
                return Err(ValidateError::BadRepair {
                    path: shown(path),
                    reason: if self.left.contains(path) {
                        "it is none of the files that the check is about".to_owned()
                    } else {
                        "a repair may only make plain files".to_owned()
                    },
                }
                .into());
            }
            let before = fs_err::metadata(&old).ok().as_ref().map(Metadata::len);
            let after = found.as_ref().map(Metadata::len);
            let kind = match (before, after) {
                (None, _) => RepairKind::Added,
                (_, None) => RepairKind::Removed,
                (before, after) if before == after && same_bytes(&old, &new)? => continue,
                _ => RepairKind::Changed,
            };
            let change = RepairChange {
                path: shown(path),
                kind,
                before,
                after,
                lines: lines_of(before.map(|_| old.as_path()), after.map(|_| new.as_path())),
            };
            changes.insert(path.clone(), change);
        }
        Ok(changes)
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// The files of a folder and below, relative to it, and links to files; with `all_links` also those to nothing and to folders.
fn files_below(root: &Path, all_links: bool) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            let name = entry.file_name();
            let is_one = |names: &[&str]| names.iter().any(|one| name == *one);
            if kind.is_dir() {
                let is_top = folder.as_os_str().is_empty();
                let left_out = is_one(&NOWHERE) || is_top && is_one(&NOT_AT_THE_TOP);
                if !left_out {
                    folders.push(path);
                }
            } else if kind.is_file() || (kind.is_symlink() && (all_links || entry.path().is_file())) {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Whether two files of the same length have the same bytes.
fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let (mut a, mut b) = (fs_err::File::open(a)?, fs_err::File::open(b)?);
    let (mut from_a, mut from_b) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    loop {
        let read = a.read(&mut from_a)?;
        if read == 0 {
            return Ok(b.read(&mut from_b)? == 0);
        }
        if b.read_exact(&mut from_b[..read]).is_err() || from_a[..read] != from_b[..read] {
            return Ok(false);
        }
    }
}

/// The lines that go and come between the first and the last that differ; none of what is no text, or large.
fn lines_of(old: Option<&Path>, new: Option<&Path>) -> Vec<String> {
    let text = |path: Option<&Path>| match path {
        None => Some(String::new()),
        Some(path) => {
            let is_small = fs_err::metadata(path).is_ok_and(|found| found.len() <= LONGEST_TEXT);
            let bytes = is_small.then(|| fs_err::read(path).ok()).flatten()?;
            String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
        }
    };
    let (Some(old), Some(new)) = (text(old), text(new)) else {
        return Vec::new();
    };
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let ends = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[..old.len() - ends], &new[..new.len() - ends]);
    let place = format!("@@ line {} @@", same + 1);
    let gone = old.iter().map(|line| format!("-{line}"));
    let come = new.iter().map(|line| format!("+{line}"));
    let mut lines: Vec<String> = std::iter::once(place).chain(gone).chain(come).collect();
    if lines.len() > MOST_LINES {
        let more = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(format!("and {more} more lines"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{PrivateCopy, RepairKind};

    #[test]
    fn what_is_done_in_a_copy_is_told_and_stays_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let from = folder.path().join("table");
        fs_err::create_dir_all(from.join("src")).expect("made");
        let write = |name: &str, text: &str| fs_err::write(from.join(name), text).expect("written");
        write("a.txt", "one\ntwo\nthree\n");
        write("src/gone.txt", "gone\n");
        write("same.bin", "same");
        write("large.exr", "left");
        let leave = |path: &std::path::Path| path.ends_with("large.exr");
        let copy = PrivateCopy::make(&folder.path().join("scratch"), &from, &leave).expect("copied");
        assert!(copy.changes().expect("compared").is_empty());
        fs_err::write(copy.root().join("a.txt"), "one\n2\nthree\n").expect("written");
        fs_err::remove_file(copy.root().join("src/gone.txt")).expect("removed");
        fs_err::write(copy.root().join("src/new.txt"), "new\n").expect("written");
        let changes = copy.changes().expect("compared");
        let told: Vec<(String, RepairKind)> = changes
            .values()
            .map(|change| (change.path.clone(), change.kind))
            .collect();
        assert_eq!(
            told,
            [
                ("a.txt".to_owned(), RepairKind::Changed),
                ("src/gone.txt".to_owned(), RepairKind::Removed),
                ("src/new.txt".to_owned(), RepairKind::Added)
            ]
        );
        let lines = &changes[std::path::Path::new("a.txt")].lines;
        assert_eq!(lines, &["@@ line 2 @@", "-two", "+2"]);
        let own = fs_err::read_to_string(from.join("a.txt")).expect("readable");
        assert_eq!(own, "one\ntwo\nthree\n");
        copy.complete().expect("completed");
        let large = fs_err::read_to_string(copy.root().join("large.exr")).expect("it is seen");
        assert_eq!(large, "left");
    }

    #[test]
    fn a_file_that_a_repair_must_not_have_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let from = folder.path().join("table");
        fs_err::create_dir_all(&from).expect("made");
        fs_err::write(from.join("large.exr"), "left").expect("written");
        let leave = |_: &std::path::Path| true;
        let copy = PrivateCopy::make(&folder.path().join("scratch"), &from, &leave).expect("copied");
        fs_err::write(copy.root().join("large.exr"), "other").expect("written");
        assert!(copy.changes().is_err());
    }
}
