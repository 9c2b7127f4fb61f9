//! Part of a project that lies unpacked somewhere, as that of a release or of a commit: the files at or below a path, those that are there and those
//! that are tracked.
//!
//! Invariants: pointers, `dvc.yaml` and `.dvcignore` stand for others and are left out, as DVC does; of tracked folders only what is wanted is brought. Deliberately
//! absent: where tracked content comes from.

use std::path::{Path, PathBuf};

use backlot_core::RelPath;
use backlot_dvc::Out;
use backlot_dvc::ignore::IGNORE_FILE;
use backlot_dvc::pipeline::PIPELINE_FILE;
use backlot_store::{Cache, ObjectId};
use fs_err as fs;

use crate::error::Result;
use crate::imports::fetching::{Fetched, FetchedContent, FetchedFile};
use crate::imports::inquiry::KnownState;

/// The files at or below a path.
pub(crate) struct Portion<'a> {
    tree: &'a Path,
    wanted: RelPath,
    files: Vec<FetchedFile>,
    is_folder: bool,
    executable: bool,
    bytes: u64,
}

/// How tracked content gets into the cache.
pub(crate) struct Bring<'a> {
    /// The manifest of a folder.
    pub(crate) manifest: &'a dyn Fn(ObjectId) -> Result<()>,
    /// Files; returns the bytes that came.
    pub(crate) members: &'a dyn Fn(&[ObjectId]) -> Result<u64>,
}

impl<'a> Portion<'a> {
    /// Of a folder, all at or below a path.
    pub(crate) fn new(tree: &'a Path, wanted: RelPath) -> Self {
        Self {
            tree,
            wanted,
            files: Vec::new(),
            is_folder: false,
            executable: false,
            bytes: 0,
        }
    }

    /// Whether some of what lies at a path is wanted.
    pub(crate) fn touches(&self, path: &RelPath) -> bool {
        path.is_within(&self.wanted) || self.wanted.is_within(path)
    }

    /// Take the files that are there.
    pub(crate) fn take_files(&mut self) -> Result<()> {
        let mut pending = vec![self.wanted.clone()];
        while let Some(path) = pending.pop() {
            let full = path.to_path(self.tree);
            let Ok(found) = fs::symlink_metadata(&full) else {
                continue;
            };
            let name = path.file_name();
            if found.is_dir() {
                if name == ".dvc" {
                    continue;
                }
                self.is_folder = true;
                for entry in fs::read_dir(&full)? {
                    let name = entry?.file_name();
                    pending.push(RelPath::from_path(Path::new(&name))?.below(&path));
                }
            } else if found.is_file() && !stands_for_others(name) {
                self.executable |= path == self.wanted && is_executable(&found);
                self.push(&path, FetchedContent::Here(full))?;
            }
        }
        Ok(())
    }

    /// Take the wanted files of a tracked path.
    pub(crate) fn take_tracked(
        &mut self,
        (path, out): (&RelPath, &Out),
        cache: &Cache,
        bring: &Bring<'_>,
    ) -> Result<()> {
        let Some(id) = out.id() else { return Ok(()) };
        let mut members: Vec<(RelPath, ObjectId)> = Vec::new();
        if id.tree {
            (bring.manifest)(id)?;
            for entry in backlot_dvc::read_manifest(cache, &id)?.entries() {
                members.push((entry.path.clone().below(path), ObjectId::file(entry.md5)));
            }
            // Also one that is empty is a folder.
            self.is_folder |= path.is_within(&self.wanted);
        } else {
            self.executable |= *path == self.wanted && out.isexec;
            members.push((path.clone(), id));
        }
        members.retain(|(path, _)| path.is_within(&self.wanted));
        self.is_folder |= members.iter().any(|(path, _)| *path != self.wanted);
        let ids: Vec<ObjectId> = members.iter().map(|(_, id)| *id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.bytes += (bring.members)(&ids)?;
        for ((path, _), digests) in members.iter().zip(cache.proven_of_all(&ids)?) {
            self.push(path, FetchedContent::Cached(digests))?;
        }
        Ok(())
    }

    fn push(&mut self, path: &RelPath, content: FetchedContent) -> Result<()> {
        self.files.push(FetchedFile {
            name: inside_of(path, &self.wanted)?,
            tag: String::new(),
            content,
        });
        Ok(())
    }

    /// All of it; `None` if there is nothing.
    pub(crate) fn into_fetched(mut self) -> Option<Fetched> {
        if self.files.is_empty() && !self.is_folder {
            return None;
        }
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        let parts = self.files.iter().filter_map(|file| match &file.content {
            FetchedContent::Here(path) => Some(path.clone()),
            FetchedContent::Cached(_) => None,
        });
        let parts: Vec<PathBuf> = parts.collect();
        Some(Fetched {
            is_folder: self.is_folder,
            executable: self.executable,
            known: KnownState::default(),
            bytes: self.bytes,
            announced: None,
            parts,
            files: self.files,
        })
    }
}

/// Whether a file says what others are, or which are left out: DVC takes all but these.
fn stands_for_others(name: &str) -> bool {
    name.ends_with(".dvc") || [PIPELINE_FILE, IGNORE_FILE].contains(&name)
}

/// A path as seen from one above it; `None` if it is that one.
fn inside_of(path: &RelPath, above: &RelPath) -> Result<Option<RelPath>> {
    let rest = path.as_str().strip_prefix(above.as_str()).unwrap_or_default();
    match rest.trim_start_matches('/') {
        "" => Ok(None),
        rest => Ok(Some(RelPath::parse(rest)?)),
    }
}

#[cfg(unix)]
fn is_executable(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_found: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use backlot_core::RelPath;
    use fs_err as fs;

    use super::{Portion, inside_of};

    #[test]
    fn paths_are_seen_from_the_one_that_is_imported() {
        let path = |text: &str| RelPath::parse(text).expect("a path");
        let seen = inside_of(&path("a/b/c"), &path("a")).expect("safe");
        assert_eq!(seen, Some(path("b/c")));
        assert_eq!(inside_of(&path("a"), &path("a")).expect("safe"), None);
    }

    #[test]
    fn files_are_taken_without_pointers_and_links() {
        let tree = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(tree.path().join("set/.dvc")).expect("made");
        for name in [
            "set/a.txt",
            "set/b.exr.dvc",
            "set/.dvcignore",
            "set/.dvc/config",
            "other",
        ] {
            fs::write(tree.path().join(name), name).expect("written");
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/hostname", tree.path().join("set/link")).expect("linked");
        let mut set = Portion::new(tree.path(), RelPath::parse("set").expect("a path"));
        set.take_files().expect("taken");
        let set = set.into_fetched().expect("something");
        let names: Vec<String> = set
            .files
            .iter()
            .flat_map(|file| &file.name)
            .map(ToString::to_string)
            .collect();
        assert_eq!((names, set.is_folder), (vec!["a.txt".to_owned()], true));
        let mut none = Portion::new(tree.path(), RelPath::parse("none").expect("a path"));
        none.take_files().expect("taken");
        assert!(none.into_fetched().is_none());
    }
}
