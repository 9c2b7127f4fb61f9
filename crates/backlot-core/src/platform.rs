//! Differences between operating systems: libraries above need no `cfg`.
//!
//! Each function documents its behaviour on systems without the feature. Atomic files, with the calls that some systems have for them,
//! are in [`file`](crate::file); the supervisor of pipeline stages, which is about Unix processes only, is with those.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

/// The permission bits of a file (0o7777); `None` where files have none.
///
/// ```
/// let found = std::fs::metadata(".").unwrap();
/// assert_eq!(backlot_core::platform::mode(&found).is_some(), cfg!(unix));
/// ```
pub fn mode(found: &Metadata) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Some(found.permissions().mode() & 0o7777)
    }
    #[cfg(not(unix))]
    {
        let _unused = found;
        None
    }
}

/// Whether its owner may execute a file; `false` where files have no such bit.
pub fn is_executable(found: &Metadata) -> bool {
    mode(found).is_some_and(|mode| mode & 0o100 != 0)
}

/// Leave the session of the terminal that this process was started from, so that it outlives that; nothing where there are no sessions, or if it leads one
/// already.
pub fn leave_session() {
    #[cfg(unix)]
    rustix::process::setsid().ok();
}

/// Set the permission bits of a file or folder; nothing where files have none.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _unused = (path, mode);
        Ok(())
    }
}

/// Have a new file made with permission bits, less those of the umask; nothing where files have none.
pub fn set_open_mode(options: &mut fs::OpenOptions, mode: u32) {
    #[cfg(unix)]
    {
        use fs::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _unused = (options, mode);
}

/// Bytes that a file takes on its disk, its length where the system does not say.
pub fn allocated(found: &Metadata) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        found.blocks().saturating_mul(512)
    }
    #[cfg(not(unix))]
    {
        found.len()
    }
}

/// The number of names (hard links) of a file, 1 where the system does not say.
pub fn names(found: &Metadata) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        found.nlink()
    }
    #[cfg(not(unix))]
    {
        let _unused = found;
        1
    }
}

/// When a file was last read, written or changed in any other way, in milliseconds since 1970; where the system does not
/// say, when it was last written.
pub fn last_used(found: &Metadata) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let seconds = found.atime().max(found.mtime()).max(found.ctime());
        u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
    }
    #[cfg(not(unix))]
    {
        let since = found.modified().ok();
        let since = since.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Make a symbolic link; an error of the kind `Unsupported` where that takes a privilege.
pub fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        fs::os::unix::fs::symlink(target, link)
    }
    #[cfg(not(unix))]
    {
        let _unused = (target, link);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Make a symbolic link, or a copy of the file where that is unsupported.
pub fn symlink_or_copy(target: &Path, link: &Path) -> io::Result<()> {
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fs::copy(target, link).map(drop),
        done => done,
    }
}

/// Read from an offset on, as much as one call gives. The file's own position is neither used nor kept.
pub fn read_at(file: &fs::File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_at(file.file(), into, offset)
    }
    #[cfg(windows)]
    {
        std::os::windows::fs::FileExt::seek_read(file.file(), into, offset)
    }
}

/// Fill a buffer from an offset on, as [`read_at`].
pub fn read_exact_at(file: &fs::File, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !into.is_empty() {
        match read_at(file, into, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                into = &mut into[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Write all bytes at an offset. The file's own position is neither used nor kept.
pub fn write_all_at(file: &fs::File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        #[cfg(unix)]
        let written = std::os::unix::fs::FileExt::write_at(file.file(), bytes, offset);
        #[cfg(windows)]
        let written = std::os::windows::fs::FileExt::seek_write(file.file(), bytes, offset);
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes of the disk that holds `path`: free for this user, and all. An error of the kind `Unsupported` where this program
/// cannot ask the system.
pub(crate) fn disk_space(path: &Path) -> io::Result<(u64, u64)> {
    #[cfg(unix)]
    {
        let disk = rustix::fs::statvfs(path)?;
        Ok((disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _unused = path;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The name of the account that runs this process, by the system's own answer; environment variables can say anything.
/// `None` where the system is not asked.
///
/// Accounts of a directory service are found if the C library knows them: glibc through NSS; musl, with which static
/// programs are built, through a running nscd. An account without a name, as in many containers, is `uid-` and its number.
pub fn account() -> Option<String> {
    #[cfg(unix)]
    {
        let id = nix::unistd::getuid();
        let known = nix::unistd::User::from_uid(id).ok().flatten();
        Some(known.map_or_else(|| format!("uid-{id}"), |user| user.name))
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// The name of this machine; `None` where the system is not asked.
pub fn host_name() -> Option<String> {
    #[cfg(unix)]
    {
        Some(rustix::system::uname().nodename().to_string_lossy().into_owned())
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// Let this process have as many open files as the system allows it: the soft limit is a habit of `select`, which is not
/// used. Without it, what needs more files fails and says so.
pub fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            let raised = Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            };
            setrlimit(Resource::Nofile, raised).ok();
        }
    }
}

/// The variable that names a person's shell, and the shell where it names none.
pub const SHELL: (&str, &str) = if cfg!(windows) {
    ("COMSPEC", "cmd.exe")
} else {
    ("SHELL", "/bin/sh")
};

/// Have commands that this process starts or becomes keep a file open; nothing where files are inherited in another way.
pub(crate) fn inherit(file: &std::fs::File) -> io::Result<()> {
    #[cfg(unix)]
    {
        Ok(rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())?)
    }
    #[cfg(not(unix))]
    {
        let _unused = file;
        Ok(())
    }
}

/// Have a command run in a process group of its own, so that signals of a terminal do not reach it; nothing where there are no groups.
pub fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _unused = command;
}

/// Ask a process to end (SIGTERM); where processes cannot be asked, nothing. One that has ended is left alone.
pub fn terminate(child: &std::process::Child) {
    #[cfg(unix)]
    rustix::process::kill_process(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::TERM,
    )
    .ok();
    #[cfg(not(unix))]
    let _unused = child;
}

/// Become a command: signals are its own then, and it ends as it likes; returns only if it cannot be started. Where a
/// process cannot become another, it is run, and its exit code returned.
pub fn replace_process(command: &mut Command) -> io::Result<i32> {
    #[cfg(unix)]
    {
        Err(std::os::unix::process::CommandExt::exec(command))
    }
    #[cfg(not(unix))]
    {
        Ok(command.status()?.code().unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::{is_executable, read_at, read_exact_at, set_mode, symlink_or_copy, write_all_at};
    use fs_err as fs;

    #[test]
    fn bytes_are_written_and_read_at_offsets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut open = fs::OpenOptions::new();
        let file = open
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("made");
        write_all_at(&file, b"later", 5).expect("written");
        write_all_at(&file, b"first", 0).expect("written");
        let mut bytes = [0; 6];
        read_exact_at(&file, &mut bytes, 3).expect("there");
        assert_eq!(&bytes, b"stlate");
        assert_eq!(read_at(&file, &mut bytes, 8).expect("read"), 2);
        let beyond = read_exact_at(&file, &mut bytes, 8).expect_err("too short");
        assert_eq!(beyond.kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_link_leads_to_the_file_and_modes_say_who_may_run_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "x").expect("written");
        symlink_or_copy(&file, &link).expect("made");
        assert_eq!(fs::read_to_string(&link).expect("read"), "x");
        for (mode, expected) in [(0o755, cfg!(unix)), (0o644, false)] {
            set_mode(&file, mode).expect("set");
            assert_eq!(is_executable(&fs::metadata(&file).expect("there")), expected);
        }
    }
}
