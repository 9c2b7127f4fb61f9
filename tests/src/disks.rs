//! Disks that a test mounts: read-only ones, and such as share blocks between files. Only root can mount; CI runs as root. A test
//! that gets no disk says why on its error output, and proves nothing then.
#![expect(clippy::print_stderr, reason = "a test that proves nothing says so")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// Something mounted, until this is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Make a folder read-only for everybody, root included.
    pub fn read_only(folder: &Path) -> Option<Self> {
        let (bind, remount) = (["--bind"].as_slice(), ["-o", "remount,bind,ro"].as_slice());
        succeeds(Command::new("mount").args(bind).arg(folder).arg(folder))?;
        let disk = Self(folder.to_path_buf());
        succeeds(Command::new("mount").args(remount).arg(folder))?;
        Some(disk)
    }

    /// An empty disk of 1 GiB in a file, on which files can share blocks: XFS, or Btrfs.
    pub fn with_shared_blocks(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("made");
        let image = folder.with_extension("image");
        let file = fs::File::create(&image).expect("made");
        file.set_len(1 << 30).expect("long");
        let make = |program: &str, options: &[&str]| {
            succeeds(Command::new(program).args(options).arg(&image))?;
            succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder))
        };
        make("mkfs.xfs", &["-q", "-f", "-m", "reflink=1"]).or_else(|| make("mkfs.btrfs", &["-q", "-f"]))?;
        Some(Self(folder.to_path_buf()))
    }

    /// A disk of so many bytes, in memory.
    pub fn small(folder: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(folder).expect("made");
        let size = format!("size={bytes}");
        succeeds(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                .arg(folder),
        )?;
        Some(Self(folder.to_path_buf()))
    }

    /// Bytes in use, once all that was written is on the disk.
    pub fn used(&self) -> u64 {
        succeeds(Command::new("sync").arg("-f").arg(&self.0)).expect("synced");
        let found = Command::new("df")
            .args(["--output=used", "-B1"])
            .arg(&self.0)
            .output()
            .expect("asked");
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let used = text.lines().nth(1).and_then(|line| line.trim().parse().ok());
        used.expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        succeeds(Command::new("umount").arg(&self.0));
    }
}

/// Run a command; if it fails, or is not there, say so.
fn succeeds(command: &mut Command) -> Option<()> {
    let failure = match command.output() {
        Ok(output) if output.status.success() => return Some(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("nothing is proven: {command:?}: {failure}");
    None
}
