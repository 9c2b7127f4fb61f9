//! Files that are complete or absent: write beside, sync, publish.
//!
//! Invariants: a reader never sees a partial file under its final name; [`create`] has exactly one winner among any
//! number of machines on a shared disk, because it ends in `link(2)`, which is exclusive (a rename is not, and an
//! exclusive open shows the file while it is being written). Temporaries begin with `.tmp-` so a crash is recognisable.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::clock::Timestamp;
pub use crate::file_error::{FileError, is_os_error};
pub use crate::plain_file::{open, read, read_if_exists, read_text};

/// The outcome of an exclusive create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The file was created by this call.
    New,
    /// Another file exists; nothing was changed.
    Exists,
}

/// Name prefix of every temporary of Backlot.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// A path for a temporary in `folder`, unique in the world.
pub fn temporary_in(folder: &Path) -> PathBuf {
    folder.join(format!(
        "{TEMPORARY_PREFIX}{}",
        ulid::Ulid::generate().to_string().to_lowercase()
    ))
}

/// A staging folder; removed with its remaining contents when dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    /// Over how many folders its files are spread.
    parts: usize,
}

impl TemporaryFolder {
    /// From how many files on they are spread over [`Self::PARTS`] folders.
    const MANY: usize = 256;
    /// Enough that threads seldom meet.
    const PARTS: usize = 16;

    /// A new, empty folder in `parent`, which is made if absent.
    pub fn in_folder(parent: &Path) -> Result<Self, FileError> {
        Self::at(temporary_in(parent))
    }

    /// A new, empty folder under a name that others rely on; a previous one is removed.
    pub fn replacing(path: PathBuf) -> Result<Self, FileError> {
        remove(&path)?;
        Self::at(path)
    }

    fn at(path: PathBuf) -> Result<Self, FileError> {
        let folder = Self { path, parts: 1 };
        fs::create_dir_all(&folder.path)?;
        Ok(folder)
    }

    /// The same for so many files: who makes a file waits for all others who make one in the same folder.
    pub fn for_files(parent: &Path, count: usize) -> Result<Self, FileError> {
        let mut folder = Self::in_folder(parent)?;
        if count >= Self::MANY {
            folder.parts = Self::PARTS;
            for part in 0..folder.parts {
                fs::create_dir(folder.path.join(part.to_string()))?;
            }
        }
        Ok(folder)
    }

    /// A path in `parent` for a folder that another program creates or moves there.
    pub fn absent_in(parent: &Path) -> Self {
        Self {
            path: temporary_in(parent),
            parts: 1,
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it for the file of a number.
    pub fn file(&self, number: usize) -> PathBuf {
        if self.parts == 1 {
            return self.path.join(number.to_string());
        }
        self.path.join(format!("{}/{number}", number % self.parts))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        remove(&self.path).ok();
    }
}

/// A temporary file beside its final place; removed when dropped unpublished.
#[derive(Debug)]
pub struct Staged {
    file: Option<fs::File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Begin a file that will be published as `target`; its folder is made if absent.
    pub fn beside(target: &Path) -> Result<Self, FileError> {
        match Self::beside_existing(target) {
            // Mostly it is there.
            Err(e) if e.is_not_found() => {
                fs::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
                Self::beside_existing(target)
            }
            staged => staged,
        }
    }

    /// The same, readable by its owner only from the start, and so when it is published: for secrets.
    pub fn private_beside(target: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
        let mut open = fs::OpenOptions::new();
        crate::platform::set_open_mode(&mut open, 0o600);
        Self::opened(target, &mut open)
    }

    /// The same in a folder that is there.
    pub(crate) fn beside_existing(target: &Path) -> Result<Self, FileError> {
        Self::opened(target, &mut fs::OpenOptions::new())
    }

    fn opened(target: &Path, open: &mut fs::OpenOptions) -> Result<Self, FileError> {
        let temporary = temporary_in(target.parent().unwrap_or(Path::new(".")));
        let file = open.write(true).create_new(true).open(&temporary)?;
        Ok(Self {
            file: Some(file),
            temporary,
            target: target.to_path_buf(),
        })
    }

    /// The open temporary.
    pub fn file(&mut self) -> &mut fs::File {
        self.file
            .as_mut()
            .expect("a staged file is open until it is published")
    }

    /// The path of the temporary.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Sync and put in place of whatever is there.
    pub fn replace(mut self) -> Result<(), FileError> {
        self.sync()?;
        rename(&self.temporary, &self.target)?;
        sync_folder_of(&self.target)
    }

    /// Publish without waiting for the disk: for files that may be lost, because they can be rebuilt or end with the process.
    pub fn replace_for_now(mut self) -> Result<(), FileError> {
        self.file = None;
        rename(&self.temporary, &self.target)
    }

    /// Sync and put in place only if nothing is there: exclusive among processes and machines.
    pub fn create(mut self) -> Result<Created, FileError> {
        self.sync()?;
        let created = link_new(&self.temporary, &self.target)?;
        fs::remove_file(&self.temporary)?;
        sync_folder_of(&self.target)?;
        Ok(created)
    }

    /// The same without waiting for the disk; see [`Self::replace_for_now`].
    pub fn create_for_now(mut self) -> Result<Created, FileError> {
        self.file = None;
        let created = link_new(&self.temporary, &self.target)?;
        fs::remove_file(&self.temporary)?;
        Ok(created)
    }

    fn sync(&mut self) -> Result<(), FileError> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.file = None;
        // After publishing, the temporary is gone and this fails; otherwise it tidies up.
        fs::remove_file(&self.temporary).ok();
    }
}

impl Write for Staged {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file().write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

/// Make a folder (and those above it) if absent, so that its entry survives a power cut.
pub fn make_folder(folder: &Path) -> Result<(), FileError> {
    let new: Vec<&Path> = folder
        .ancestors()
        .take_while(|one| !one.as_os_str().is_empty() && !one.is_dir())
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    for parent in new.into_iter().rev().filter_map(Path::parent) {
        sync_folder(if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        })?;
    }
    Ok(())
}

/// Hard-link `existing` as `new`; `Exists` if something is there. On disks without hard links, an exclusive open and
/// copy (readers may then see a partial file for a moment; such disks are not fit for a shared repo).
fn link_new(existing: &Path, new: &Path) -> Result<Created, FileError> {
    match fs::hard_link(existing, new) {
        Ok(()) => Ok(Created::New),
        // A network disk may lose the answer and ask again: then the existing name is the link created by this call.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_same_file(existing, new) => Ok(Created::New),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Exists),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            match fs::OpenOptions::new().write(true).create_new(true).open(new) {
                Ok(file) => {
                    copy_bytes(&fs::File::open(existing)?, &file)?;
                    file.sync_all()?;
                    Ok(Created::New)
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Exists),
                Err(e) => Err(e.into()),
            }
        }
        Err(e) => Err(e.into()),
    }
}

/// Put a file under a new name, in one step; where something has that name already, both stay as they are.
pub fn rename_new(from: &Path, to: &Path) -> Result<Created, FileError> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Created::New),
            Err(Errno::EXIST) => return Ok(Created::Exists),
            // Not every disk can; there it takes a link.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(errno) => {
                let (from, to) = (from.display(), to.display());
                let error = io::Error::from(errno);
                let text = format!("cannot rename `{from}` to `{to}`: {error}");
                return Err(io::Error::new(error.kind(), text).into());
            }
        }
    }
    let created = link_new(from, to)?;
    if created == Created::New {
        fs::remove_file(from)?;
    }
    Ok(created)
}

/// Set the modification time of a file; no other time changes but the inode's.
pub fn set_modified(path: &Path, time: Timestamp) -> Result<(), FileError> {
    #[cfg(unix)]
    {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: i64::try_from(time.0 / 1000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(time.0 % 1000 * 1_000_000).unwrap_or_default(),
            },
        };
        utimensat(CWD, path, &times, AtFlags::empty()).map_err(|errno| {
            let error = io::Error::from(errno);
            io::Error::new(
                error.kind(),
                format!("cannot set the time of `{}`: {error}", path.display()),
            )
        })?;
    }
    #[cfg(not(unix))]
    {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(time.0);
        fs::File::options()
            .write(true)
            .open(path)?
            .file()
            .set_modified(time)?;
    }
    Ok(())
}

/// Append all bytes of a file to an empty one, as fast as the system does it; holes stay holes. Returns how many.
pub fn copy_bytes(source: &fs::File, target: &fs::File) -> Result<u64, FileError> {
    let copied = copy_sparse(source, target);
    copied.map_err(|error| {
        let (source, target) = (source.path().display(), target.path().display());
        io::Error::new(
            error.kind(),
            format!("cannot copy `{source}` to `{target}`: {error}"),
        )
        .into()
    })
}

/// Whether a file has holes: it uses less disk space than its length. `false` if unknown.
pub fn is_sparse(found: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        found.blocks().saturating_mul(512) < found.len()
    }
    #[cfg(not(unix))]
    {
        let _unused = found;
        false
    }
}

fn copy_sparse(source: &fs::File, target: &fs::File) -> io::Result<u64> {
    // Of the files of `fs_err`, `io::copy` does not know that they are files, and would take 8 KiB at a time.
    let (mut from, mut to) = (source.file(), target.file());
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        use std::io::{Read as _, Seek as _};
        let found = source.metadata()?;
        if is_sparse(&found) {
            let mut end = 0;
            while end < found.len() {
                let start = match seek(from, SeekFrom::Data(end)) {
                    Ok(start) => start,
                    // Nothing but a hole is left.
                    Err(Errno::NXIO) => break,
                    // A disk that does not tell.
                    Err(Errno::INVAL) => end,
                    Err(errno) => return Err(errno.into()),
                };
                end = match seek(from, SeekFrom::Hole(start)) {
                    Err(Errno::INVAL) => found.len(),
                    hole => hole?,
                };
                from.seek(io::SeekFrom::Start(start))?;
                to.seek(io::SeekFrom::Start(start))?;
                let length = end - start;
                if io::copy(&mut from.take(length), &mut to)? != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            to.set_len(found.len())?;
            return Ok(found.len());
        }
    }
    io::copy(&mut from, &mut to)
}

/// Whether this user may make and remove files in a folder, as far as the system tells beforehand.
pub fn is_writable(folder: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
    #[cfg(not(unix))]
    {
        fs::metadata(folder).is_ok_and(|found| !found.permissions().readonly())
    }
}

/// Whether two paths are the same file; `false` if unknown.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::symlink_metadata(a), fs::symlink_metadata(b)) else {
        return false;
    };
    is_same(&a, &b) == Some(true)
}

/// Whether two entries are of one file, by device and inode; `None` where the system has neither.
pub fn is_same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> Option<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((a.dev(), a.ino()) == (b.dev(), b.ino()))
    }
    #[cfg(not(unix))]
    {
        let _unused = (a, b);
        None
    }
}

/// Write a whole file atomically, replacing an existing one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut staged = Staged::beside(path)?;
    staged.write_all(bytes)?;
    staged.replace()
}

/// Write a whole file atomically without waiting for the disk; see [`Staged::replace_for_now`].
pub fn write_for_now(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut staged = Staged::beside(path)?;
    staged.write_all(bytes)?;
    staged.replace_for_now()
}

/// Write a whole file atomically if nothing is there. Exclusive.
pub fn create(path: &Path, bytes: &[u8]) -> Result<Created, FileError> {
    let mut staged = Staged::beside(path)?;
    staged.write_all(bytes)?;
    staged.create()
}

/// Write a whole file atomically, unless it holds these bytes already. Returns whether it was written.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write(path, bytes).map(|()| true)
}

/// The same without waiting for the disk: for derived files, which can be rebuilt.
pub fn write_for_now_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write_for_now(path, bytes).map(|()| true)
}

/// The one rename of the product: publishes a synced temporary on the same disk.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one atomic-publish function"
    )]
    Ok(fs::rename(from, to)?)
}

/// Swap two folders in one step, so that readers see the old or the new one whole. `false` where the system cannot.
pub fn exchange(a: &Path, b: &Path) -> Result<bool, FileError> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
                Ok(false)
            }
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _unused = (a, b);
        Ok(false)
    }
}

/// Make the entries of a folder survive a power cut.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _unused = folder;
    Ok(())
}

fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

/// Flush everything written to the disk that holds `path`, in one call: one wait for many new files.
pub fn sync_disk_of(path: &Path) -> Result<(), FileError> {
    let file = fs::File::open(path)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&file).map_err(io::Error::from)?;
    #[cfg(not(target_os = "linux"))]
    file.sync_all()?;
    Ok(())
}

/// Bytes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Those that this user can still write.
    pub free: u64,
    /// All.
    pub all: u64,
}

/// The space of the disk that holds `path`.
pub fn disk_space(path: &Path) -> Result<DiskSpace, FileError> {
    let (free, all) = crate::platform::disk_space(path)?;
    Ok(DiskSpace { free, all })
}

/// Remove a file or a whole folder; succeeds if there is none.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Created, TemporaryFolder, copy_bytes, create, exchange, is_sparse, rename_new, write};
    use fs_err as fs;

    #[test]
    fn a_temporary_folder_goes_with_all_that_is_in_it_however_many_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for count in [1, 3_000] {
            let temporaries = TemporaryFolder::for_files(folder.path(), count).expect("made");
            let paths: std::collections::BTreeSet<_> = (0..count).map(|n| temporaries.file(n)).collect();
            assert_eq!(paths.len(), count);
            for path in paths {
                fs::write(path, b"").expect("its folder is there");
            }
            drop(temporaries);
            assert!(fs::read_dir(folder.path()).expect("read").next().is_none());
        }
    }

    #[test]
    fn an_exclusive_create_has_one_winner_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("release");
        let wins = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16u8)
                .map(|n| {
                    let target = &target;
                    scope.spawn(move || create(target, &[n; 1000]).expect("created or not") == Created::New)
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|t| t.join().ok())
                .filter(|won| *won)
                .count()
        });
        assert_eq!(wins, 1);
        let content = fs::read(&target).expect("readable");
        assert_eq!(content, vec![content[0]; 1000]);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_link_whose_answer_was_lost_is_known_as_our_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("release");
        let mut staged = super::Staged::beside(&target).expect("staged");
        std::io::Write::write_all(&mut staged, b"ours").expect("written");
        fs::hard_link(staged.path(), &target).expect("linked");
        assert_eq!(staged.create().expect("created or not"), Created::New);
        assert_eq!(create(&target, b"ours").expect("created or not"), Created::Exists);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_new_name_is_never_taken_from_another_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        fs::write(&a, b"1").expect("written");
        fs::write(&b, b"2").expect("written");
        assert_eq!(rename_new(&a, &b).expect("renamed or not"), Created::Exists);
        assert_eq!(fs::read(&b).expect("readable"), b"2");
        assert_eq!(rename_new(&a, &c).expect("renamed or not"), Created::New);
        assert_eq!(fs::read(&c).expect("readable"), b"1");
        assert!(!a.exists());
        assert!(rename_new(&a, &c.join("d")).is_err());
    }

    #[test]
    fn a_copy_of_a_file_with_holes_has_the_same_bytes_and_the_holes() {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let folder = tempfile::tempdir().expect("a folder");
        // Data at the beginning, in the middle, at the end; a hole at the end; nothing but a hole.
        for (n, parts) in [&[0u64, 6 << 20, 9 << 20][..], &[3 << 20], &[]]
            .into_iter()
            .enumerate()
        {
            let path = folder.path().join(n.to_string());
            let mut file = fs::File::create(&path).expect("made");
            file.set_len((9 << 20) + 70_000).expect("long");
            for start in parts {
                file.seek(SeekFrom::Start(*start)).expect("there");
                file.write_all(&vec![7; 70_000]).expect("written");
            }
            let source = fs::File::open(&path).expect("opened");
            let copy = fs::File::create(path.with_extension("copy")).expect("made");
            let copied = copy_bytes(&source, &copy).expect("copied");
            assert_eq!(copied, (9 << 20) + 70_000);
            assert!(fs::read(&path).expect("read") == fs::read(copy.path()).expect("read"));
            assert_eq!(
                is_sparse(&copy.metadata().expect("there")),
                is_sparse(&source.metadata().expect("there"))
            );
        }
    }

    #[test]
    fn folders_swap_in_one_step() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        write(&a.join("x"), b"1").expect("written");
        write(&b.join("x"), b"2").expect("written");
        if exchange(&a, &b).expect("exchanged or unsupported") {
            assert_eq!(fs::read(a.join("x")).expect("readable"), b"2");
        }
    }
}
