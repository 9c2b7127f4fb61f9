//! Files and folders of places that several people share: repos, remotes, caches.
//!
//! Invariant: new files have the mode of their folder, so everything follows the root, whatever the umask
//! of the writer (git's `core.sharedRepository`): below a root of mode 2775 folders get 2775, files 0664 and read-only ones
//! 0444; below one of 0700 no other user can read. A file has its mode before it has its name, and a folder that others may
//! write to, too. The root itself follows the umask, or the folder that it is made in if that has the setgid bit: the sign of a
//! folder of a group. A sticky bit is not inherited: a writer can replace files of another. Deliberately absent: owners and
//! groups (the setgid bit passes the group on), and changing existing files.

use std::io::Write as _;
use std::path::Path;

use fs_err as fs;

use crate::file::{
    Created, FileError, Staged, TemporaryFolder, remove, rename_new, sync_folder, temporary_in,
};
use crate::platform;

/// Modes of new files in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes(Option<u32>);

impl Modes {
    /// Those of a folder, or of the nearest one above it that is there.
    pub fn of(folder: &Path) -> Self {
        let mode = folder.ancestors().find_map(|folder| {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            mode_of(folder)
        });
        // A folder like `/tmp` is shared by all users, and its mode is not inherited.
        Self(mode.filter(|mode| mode & 0o1002 != 0o1002))
    }

    /// Of a folder: with the setgid bit, without the sticky bit. `None` where the disk has no modes.
    pub fn folder(self) -> Option<u32> {
        self.0.map(|mode| mode & 0o2777 | 0o700)
    }

    /// Of a file that can be written to.
    pub fn file(self) -> Option<u32> {
        self.0.map(|mode| mode & 0o666 | 0o600)
    }

    /// Of a read-only file.
    pub fn read_only(self) -> u32 {
        self.0.map_or(0o444, |mode| mode & 0o444 | 0o400)
    }

    /// Whether others than the owner may make files in the folder.
    fn has_other_writers(self) -> bool {
        self.0.is_some_and(|mode| mode & 0o022 != 0)
    }
}

fn mode_of(folder: &Path) -> Option<u32> {
    platform::mode(&fs::metadata(folder).ok()?)
}

/// Set the mode of a file or folder. On disks without modes this changes nothing.
pub fn set_mode(path: &Path, mode: Option<u32>) -> Result<(), FileError> {
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::PermissionsExt as _;
        return accept_no_modes(fs::set_permissions(path, std::fs::Permissions::from_mode(mode)));
    }
    #[cfg(not(unix))]
    let _unused = (path, mode);
    Ok(())
}

/// Set the mode of an open file, as [`set_mode`].
pub fn set_mode_of(file: &fs::File, mode: Option<u32>) -> Result<(), FileError> {
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::PermissionsExt as _;
        return accept_no_modes(file.set_permissions(std::fs::Permissions::from_mode(mode)));
    }
    #[cfg(not(unix))]
    let _unused = (file, mode);
    Ok(())
}

#[cfg(unix)]
fn accept_no_modes(set: std::io::Result<()>) -> Result<(), FileError> {
    match set {
        Err(e)
            if !matches!(
                e.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported
            ) =>
        {
            Err(e.into())
        }
        _ => Ok(()),
    }
}

/// Make the root of a place, with the folders above it, if it is absent. Its name survives a power cut.
pub fn make_root(root: &Path) -> Result<(), FileError> {
    if root.is_dir() {
        return Ok(());
    }
    let above = root.ancestors().skip(1).find(|folder| folder.is_dir());
    let is_of_group = above.and_then(mode_of).is_some_and(|mode| mode & 0o2000 != 0);
    if is_of_group {
        make_folder(root)
    } else {
        crate::file::make_folder(root)
    }
}

/// Make a folder (and those above it) if absent, each with the mode of the one it is in, so that its name survives a power cut.
pub fn make_folder(folder: &Path) -> Result<(), FileError> {
    make(folder, true)
}

/// The same without waiting for the disk.
pub fn make_folder_for_now(folder: &Path) -> Result<(), FileError> {
    make(folder, false)
}

fn make(folder: &Path, durable: bool) -> Result<(), FileError> {
    let new: Vec<&Path> = folder
        .ancestors()
        .take_while(|one| !one.as_os_str().is_empty() && !one.is_dir())
        .collect();
    for folder in new.into_iter().rev() {
        let above = match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        make_one(folder, above)?;
        if durable {
            sync_folder(above)?;
        }
    }
    Ok(())
}

fn make_one(folder: &Path, above: &Path) -> Result<(), FileError> {
    let modes = Modes::of(above);
    if !modes.has_other_writers() {
        return match fs::create_dir(folder) {
            Ok(()) => set_mode(folder, modes.folder()),
            Err(_) if folder.is_dir() => Ok(()),
            Err(e) => Err(e.into()),
        };
    }
    // Another writer must not find it before it has its mode.
    let temporary = temporary_in(above);
    fs::create_dir(&temporary)?;
    let made = set_mode(&temporary, modes.folder()).and_then(|()| name_folder(&temporary, folder));
    if !matches!(made, Ok(Created::New)) {
        remove(&temporary)?;
    }
    made.map(|_| ())
}

fn name_folder(temporary: &Path, folder: &Path) -> Result<Created, FileError> {
    match rename_new(temporary, folder) {
        // A disk without exclusive renames has no hard links of folders either.
        Err(_) if !folder.exists() => match fs::create_dir(folder) {
            Ok(()) => set_mode(folder, Modes::of(temporary).folder()).map(|()| Created::Exists),
            Err(_) if folder.is_dir() => Ok(Created::Exists),
            Err(e) => Err(e.into()),
        },
        Err(_) if folder.is_dir() => Ok(Created::Exists),
        named => named,
    }
}

/// Begin a file that will be published as `target`, with the mode of its folder, which is made if absent.
pub fn staged_beside(target: &Path) -> Result<Staged, FileError> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let mut staged = match Staged::beside_existing(target) {
        Err(e) if e.is_not_found() => {
            make_folder_for_now(folder)?;
            Staged::beside_existing(target)?
        }
        staged => staged?,
    };
    set_mode_of(staged.file(), Modes::of(folder).file())?;
    Ok(staged)
}

/// A staging folder, in a folder of a repo, remote or cache that is created if absent.
pub fn temporary_folder(parent: &Path, count: usize) -> Result<TemporaryFolder, FileError> {
    make_folder_for_now(parent)?;
    let folder = TemporaryFolder::for_files(parent, count)?;
    set_mode(folder.path(), Modes::of(parent).folder())?;
    Ok(folder)
}

/// Write a whole file atomically, replacing an existing one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    filled(path, bytes)?.replace()
}

/// The same without waiting for the disk; see [`Staged::replace_for_now`].
pub fn write_for_now(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    filled(path, bytes)?.replace_for_now()
}

/// The same, unless it holds these bytes already. Returns whether it was written.
pub fn write_for_now_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write_for_now(path, bytes).map(|()| true)
}

/// Write a whole file atomically if nothing is there. Exclusive.
pub fn create(path: &Path, bytes: &[u8]) -> Result<Created, FileError> {
    filled(path, bytes)?.create()
}

fn filled(path: &Path, bytes: &[u8]) -> Result<Staged, FileError> {
    let mut staged = staged_beside(path)?;
    staged.write_all(bytes)?;
    Ok(staged)
}

/// Give all that is in a new folder the modes of the folder that it is going to lie in; who may run a file stays.
pub fn follow(folder: &Path, modes: Modes) -> Result<(), FileError> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            follow(&entry.path(), modes)?;
        } else if kind.is_file() {
            let (Some(old), Some(file)) = (platform::mode(&entry.metadata()?), modes.file()) else {
                continue;
            };
            let readable = modes.read_only();
            let runs = if old & 0o100 == 0 { 0 } else { readable >> 2 };
            let new = (if old & 0o200 == 0 { readable } else { file }) | runs;
            if new != old {
                set_mode(&entry.path(), Some(new))?;
            }
        }
    }
    set_mode(folder, modes.folder())
}

#[cfg(all(test, unix))]
mod tests {
    use super::{Modes, create, follow, make_folder, make_root, set_mode, staged_beside, write};
    use crate::file::Created;
    use fs_err as fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn all_of_a_place_has_the_mode_of_its_root() {
        for (root_mode, file, read_only) in [
            (0o2775, 0o664, 0o444),
            (0o700, 0o600, 0o400),
            (0o755, 0o644, 0o444),
            (0o2770, 0o660, 0o440),
            (0o777, 0o666, 0o444),
        ] {
            let above = tempfile::tempdir().expect("a folder");
            let root = above.path().join("place");
            fs::create_dir(&root).expect("made");
            set_mode(&root, Some(root_mode)).expect("set");
            make_folder(&root.join("a/b")).expect("made");
            write(&root.join("c/d/e"), b"1").expect("written");
            assert_eq!(create(&root.join("c/d/e"), b"2").expect("tried"), Created::Exists);
            for folder in ["a", "a/b", "c", "c/d"] {
                assert_eq!(mode(&root.join(folder)), root_mode, "{folder} in {root_mode:o}");
            }
            assert_eq!(mode(&root.join("c/d/e")), file);
            assert_eq!(Modes::of(&root.join("not/there")).read_only(), read_only);
            // Its temporaries, too.
            let staged = staged_beside(&root.join("c/f")).expect("staged");
            assert_eq!(mode(staged.path()), file);
            drop(staged);
            let left = fs::read_dir(root.join("c")).expect("listed").count();
            assert_eq!(left, 1, "no temporary stays");
        }
    }

    #[test]
    fn a_sticky_bit_is_not_handed_on() {
        let root = tempfile::tempdir().expect("a folder");
        set_mode(root.path(), Some(0o3775)).expect("set");
        make_folder(&root.path().join("a")).expect("made");
        assert_eq!(mode(&root.path().join("a")), 0o2775);
    }

    #[test]
    fn what_is_made_in_a_folder_for_everybody_s_temporaries_follows_the_umask() {
        let folder = tempfile::tempdir().expect("a folder");
        set_mode(folder.path(), Some(0o1777)).expect("set");
        write(&folder.path().join("a"), b"1").expect("written");
        make_folder(&folder.path().join("b")).expect("made");
        for name in ["a", "b"] {
            assert_eq!(
                mode(&folder.path().join(name)) & 0o022,
                0,
                "the umask of the tests"
            );
        }
    }

    #[test]
    fn a_root_made_in_a_folder_of_a_group_is_of_the_group() {
        let above = tempfile::tempdir().expect("a folder");
        set_mode(above.path(), Some(0o2775)).expect("set");
        make_root(&above.path().join("studio/review")).expect("made");
        assert_eq!(mode(&above.path().join("studio/review")), 0o2775);
        set_mode(above.path(), Some(0o777)).expect("set");
        make_root(&above.path().join("mine")).expect("made");
        assert_eq!(
            mode(&above.path().join("mine")) & 0o022,
            0,
            "the umask of the tests"
        );
    }

    #[test]
    fn what_was_unpacked_beside_follows_its_new_folder_and_can_still_be_run() {
        let tree = tempfile::tempdir().expect("a folder");
        for (name, old) in [("module.py", 0o600), ("bin/tool", 0o700), ("object", 0o400)] {
            let path = tree.path().join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            fs::write(&path, b"").expect("written");
            set_mode(&path, Some(old)).expect("set");
        }
        follow(tree.path(), Modes(Some(0o2775))).expect("followed");
        assert_eq!(mode(&tree.path().join("module.py")), 0o664);
        assert_eq!(mode(&tree.path().join("bin/tool")), 0o775);
        assert_eq!(mode(&tree.path().join("object")), 0o444);
        assert_eq!(mode(&tree.path().join("bin")), 0o2775);
        assert_eq!(mode(tree.path()), 0o2775);
    }
}
