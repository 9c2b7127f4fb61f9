//! Finding the files of a tracked path.
//!
//! Inside a tracked folder every file counts, hidden ones too, except what `.dvcignore` excludes and unfinished files of
//! ours. A link to a file counts as the file; a link to a folder is skipped with a warning, as in DVC. Invariant: what
//! cannot be tracked (broken links, pipes, names that are no text) is an error that names it, never a silent hole.
//! One look at the disk per file. Deliberately absent: reading content.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::ignore::{IGNORE_FILE, Ignore};
use crate::names;

/// A file found in a tracked folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedFile {
    /// Its path inside the folder.
    pub path: RelPath,
    /// Where it is.
    pub full: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// The state of a tracked path on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// Nothing is there.
    Missing,
    /// A file, or a link to one.
    File {
        /// Its bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A folder with these files, sorted by path.
    Folder(Vec<ScannedFile>),
}

/// Look at a tracked path. Warns with `dvc::skipped_link` and `dvc::skipped_repository`.
pub fn scan_out(path: &Path, ignore: &Ignore, context: &Context) -> Result<Scanned> {
    Scan {
        context,
        strange: None,
    }
    .out(path, ignore)
}

/// As [`scan_out`], but what cannot be tracked inside a folder (or a link to nothing in its place) is listed, not refused.
pub fn survey(path: &Path, ignore: &Ignore, context: &Context) -> Result<(Scanned, Vec<PathBuf>)> {
    let mut scan = Scan {
        context,
        strange: Some(Vec::new()),
    };
    let found = scan.out(path, ignore)?;
    Ok((found, scan.strange.unwrap_or_default()))
}

struct Scan<'a> {
    context: &'a Context,
    /// Where to list what cannot be tracked; `None` to refuse it.
    strange: Option<Vec<PathBuf>>,
}

impl Scan<'_> {
    fn out(&mut self, path: &Path, ignore: &Ignore) -> Result<Scanned> {
        let found = match std::fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Scanned::Missing);
            }
            Err(_) => fs::symlink_metadata(path)?,
        };
        if found.is_dir() {
            return self.folder(path, ignore).map(Scanned::Folder);
        }
        let found = if found.is_symlink() {
            follow(path)
        } else {
            Ok(found)
        };
        let Some(found) = self.tolerate(path, found)? else {
            return Ok(Scanned::Missing);
        };
        if found.is_dir() {
            return Err(Error::LinkedFolder {
                path: path.to_path_buf(),
            });
        }
        if !found.is_file() {
            return Err(untrackable(path, "not a file or folder"));
        }
        Ok(Scanned::File {
            size: found.len(),
            executable: is_executable(&found),
        })
    }

    /// The files of a folder, sorted by path.
    fn folder(&mut self, folder: &Path, ignore: &Ignore) -> Result<Vec<ScannedFile>> {
        let mut files = Vec::new();
        let mut pending = vec![(folder.to_path_buf(), None)];
        while let Some((folder, inside)) = pending.pop() {
            self.context.check()?;
            let entries = list(&folder)?;
            if inside.is_some() && entries.iter().any(Found::is_repository) {
                let message = format!(
                    "`{}` is a separate DVC repository and was skipped",
                    folder.display()
                );
                self.context.warn("dvc::skipped_repository", message);
                continue;
            }
            for found in entries {
                if names::is_temporary(&found.name) || ignore.excludes(&found.full, found.kind.is_dir()) {
                    continue;
                }
                let path = below(inside.as_ref(), &found);
                let Some(path) = self.tolerate(&found.full, path)? else {
                    continue;
                };
                if found.kind.is_dir() {
                    pending.push((found.full, Some(path)));
                    continue;
                }
                let size = self.size_of(&found);
                if let Some(Some((size, executable))) = self.tolerate(&found.full, size)? {
                    files.push(ScannedFile {
                        path,
                        full: found.full,
                        size,
                        executable,
                    });
                }
            }
        }
        files.sort_unstable_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        Ok(files)
    }

    /// `None` for what cannot be tracked, if that is to be listed only.
    fn tolerate<T>(&mut self, path: &Path, result: Result<T>) -> Result<Option<T>> {
        match (result, &mut self.strange) {
            (Err(Error::Untrackable { .. }), Some(strange)) => {
                strange.push(path.to_path_buf());
                Ok(None)
            }
            (result, _) => result.map(Some),
        }
    }

    /// The size of a file or of the file a link points to, and whether it can be executed; `None` for a link to a folder.
    fn size_of(&self, found: &Found) -> Result<Option<(u64, bool)>> {
        let full = &found.full;
        if found.name == IGNORE_FILE {
            return Err(untrackable(full, "an ignore file inside a tracked folder"));
        }
        let metadata = if found.kind.is_file() {
            found.entry.metadata()?
        } else if found.kind.is_symlink() {
            follow(full)?
        } else {
            return Err(untrackable(full, "a pipe, socket or device"));
        };
        if metadata.is_dir() {
            let message = format!("`{}` is a link to a folder and was skipped", full.display());
            self.context.warn("dvc::skipped_link", message);
            return Ok(None);
        }
        if !metadata.is_file() {
            return Err(untrackable(full, "a link to a pipe, socket or device"));
        }
        Ok(Some((metadata.len(), is_executable(&metadata))))
    }
}

/// An entry of a folder.
pub(crate) struct Found {
    pub(crate) full: PathBuf,
    /// Its name; an approximation if not valid UTF-8.
    pub(crate) name: String,
    is_text: bool,
    pub(crate) kind: std::fs::FileType,
    entry: fs::DirEntry,
}

impl Found {
    /// Whether this makes its folder a DVC repository.
    pub(crate) fn is_repository(&self) -> bool {
        self.name == ".dvc" && self.kind.is_dir()
    }
}

/// The entries of a folder, in no order.
pub(crate) fn list(folder: &Path) -> Result<Vec<Found>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, is_text) = match entry.file_name().into_string() {
            Ok(name) => (name, true),
            Err(name) => (name.to_string_lossy().into_owned(), false),
        };
        entries.push(Found {
            full: entry.path(),
            name,
            is_text,
            kind: entry.file_type()?,
            entry,
        });
    }
    Ok(entries)
}

fn below(inside: Option<&RelPath>, found: &Found) -> Result<RelPath> {
    if !found.is_text {
        return Err(untrackable(
            &found.full,
            "named in bytes that are not valid UTF-8",
        ));
    }
    let path = match inside {
        Some(inside) => RelPath::parse(&format!("{inside}/{}", found.name)),
        None => RelPath::parse(&found.name),
    };
    path.map_err(|_| {
        untrackable(
            &found.full,
            "named in a way that is not portable between platforms",
        )
    })
}

fn follow(link: &Path) -> Result<std::fs::Metadata> {
    match fs::metadata(link) {
        Ok(found) => Ok(found),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(untrackable(link, "a link to nothing")),
        Err(e) if is_loop(&e) => Err(untrackable(link, "a link to itself")),
        Err(e) => Err(e.into()),
    }
}

/// Whether an error is that of a link to itself; its kind is not stable yet.
fn is_loop(error: &std::io::Error) -> bool {
    // ELOOP; elsewhere than on Linux as BSD has it.
    const LOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
    backlot_core::file::is_os_error(error, LOOP)
}

/// What lies at a path that may be a link: a folder, or a file that can be read. A link to nothing or to itself, a pipe, a
/// socket or a device cannot be tracked.
pub fn kind_of(path: &Path) -> Result<std::fs::FileType> {
    let found = follow(path)?;
    if found.is_dir() || found.is_file() {
        return Ok(found.file_type());
    }
    Err(untrackable(path, "a pipe, socket or device"))
}

fn untrackable(path: &Path, what: &'static str) -> Error {
    Error::Untrackable {
        path: path.to_path_buf(),
        what,
    }
}

/// Whether files have a bit that says who may execute them.
pub(crate) const HAS_MODES: bool = cfg!(unix);

/// Whether a path is a link, or has other names: then it may be an object of the cache, whose mode says nothing.
pub fn is_linked(path: &Path) -> bool {
    let names = |found: std::fs::Metadata| backlot_store::FileStat::of(&found).names;
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink() || names(found) > 1)
}

pub(crate) use backlot_core::platform::is_executable;

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    use backlot_core::{Context, Diagnostic as _};
    use fs_err as fs;
    use fs_err::os::unix::fs::symlink;

    use super::{Scanned, scan_out};
    use crate::ignore::Ignore;

    fn names(folder: &Path) -> Vec<String> {
        let ignore = Ignore::of_folder(folder).expect("read");
        match scan_out(folder, &ignore, &Context::default()).expect("scanned") {
            Scanned::Folder(files) => files.iter().map(|f| format!("{} {}", f.path, f.size)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_file_counts_and_links_to_files_are_followed() {
        let top = tempfile::tempdir().expect("a folder");
        let folder = top.path().join("frames");
        fs::create_dir_all(folder.join("sub/.git")).expect("made");
        fs::create_dir_all(folder.join("other/.dvc")).expect("made");
        fs::create_dir_all(folder.join("empty")).expect("made");
        for (path, text) in [
            ("sub/z", "1"),
            ("sub-a", "22"),
            (".hidden", "333"),
            ("sub/.git/x", "no"),
            ("other/x", "no"),
            (".tmp-01jd0000000000000000000000", "no"),
            (".tmp-mine", "yes"),
        ] {
            fs::write(folder.join(path), text).expect("written");
        }
        symlink(folder.join("sub-a"), folder.join("link")).expect("linked");
        symlink(folder.join("sub"), folder.join("folder_link")).expect("linked");
        assert_eq!(
            names(&folder),
            [".hidden 3", ".tmp-mine 3", "link 2", "sub-a 2", "sub/z 1"]
        );
    }

    #[test]
    fn what_cannot_be_tracked_is_named() {
        type Make = fn(&Path);
        let cases: [(&str, Make); 4] = [
            ("broken", |f| {
                symlink("nowhere", f.join("broken")).expect("linked");
            }),
            ("pipe", |f| {
                let made = std::process::Command::new("mkfifo")
                    .arg(f.join("pipe"))
                    .status()
                    .expect("run");
                assert!(made.success());
            }),
            ("back\\slash", |f| {
                fs::write(f.join("back\\slash"), "").expect("written");
            }),
            ("no\u{fffd}text", |f| {
                fs::write(f.join(std::ffi::OsStr::from_bytes(b"no\xfftext")), "").expect("written");
            }),
        ];
        for (name, make) in cases {
            let folder = tempfile::tempdir().expect("a folder");
            make(folder.path());
            let error =
                scan_out(folder.path(), &Ignore::default(), &Context::default()).expect_err("refused");
            assert_eq!(error.code(), "dvc::untrackable", "{name}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn many_files_are_found_quickly() {
        let folder = tempfile::tempdir().expect("a folder");
        for n in 0..2000 {
            fs::write(folder.path().join(format!("f{n:05}")), "").expect("written");
        }
        let start = std::time::Instant::now();
        assert_eq!(names(folder.path()).len(), 2000);
        assert!(
            start.elapsed() < std::time::Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    }
}
