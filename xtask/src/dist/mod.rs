//! `cargo xtask dist`: what is shipped. A static binary for Linux, an archive of it with completions and man pages, a wheel
//! that carries it, and SHA-256 checksums of both.
//!
//! The same binary gives the same bytes: times are fixed and entries sorted. Nothing is uploaded or signed here.

mod archive;
mod build;
mod elf;
mod wheel;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use sha2::{Digest as _, Sha256};

pub(crate) use build::target_dir;
pub use build::{DEFAULT_TARGET, build};
pub use elf::Linkage;

/// A file of the archive, by its path in it.
#[derive(Debug)]
pub(crate) struct Entry {
    path: String,
    bytes: Vec<u8>,
    executable: bool,
}

impl Entry {
    fn new(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            path: path.into(),
            bytes,
            executable: false,
        }
    }
}

/// Files that go beside the binary, from the root of the repository.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Shells and the names that their completions have where they are looked for.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "completions/bash/backlot"),
    ("zsh", "completions/zsh/_backlot"),
    ("fish", "completions/fish/backlot.fish"),
];

/// Put a binary into an archive and a wheel in the folder `out`, with `SHA256SUMS`. The binary is run for its completions
/// and man pages. Returns what was written.
pub fn package(root: &Path, binary: &Path, target: &str, out: &Path) -> io::Result<Vec<PathBuf>> {
    let bytes = fs::read(binary)?;
    let linkage = elf::linkage(&bytes)?;
    // The name of a target for zig may end in a version of glibc.
    let platform = target.split('.').next().unwrap_or(target);
    let version = version(binary)?;
    let name = format!("backlot-{version}-{platform}");
    let mut entries = vec![Entry {
        executable: true,
        ..Entry::new("backlot", bytes)
    }];
    for document in DOCUMENTS {
        entries.push(Entry::new(document, fs::read(root.join(document))?));
    }
    for (shell, path) in COMPLETIONS {
        entries.push(Entry::new(
            path,
            output(Command::new(binary).args(["completions", shell]))?,
        ));
    }
    entries.extend(man_pages(binary, out)?);
    entries.sort_by(|a, b| a.path.cmp(&b.path));

    fs::create_dir_all(out)?;
    let written = vec![
        archive::write(&entries, &name, out)?,
        wheel::write(root, &entries, &version, linkage, platform, out)?,
    ];
    let sums = out.join("SHA256SUMS");
    fs::write(&sums, checksums(&written)?)?;
    Ok([written, vec![sums]].concat())
}

/// `0.1.0`.
fn version(binary: &Path) -> io::Result<String> {
    let printed = output(Command::new(binary).arg("--version"))?;
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    printed
        .strip_prefix("backlot ")
        .map(ToOwned::to_owned)
        .ok_or_else(|| {
            io::Error::other(format!(
                "`{}` prints `{printed}` as its version",
                binary.display()
            ))
        })
}

fn man_pages(binary: &Path, out: &Path) -> io::Result<Vec<Entry>> {
    let folder = out.join("man.tmp");
    output(Command::new(binary).args(["self", "pages", "man"]).arg(&folder))?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        pages.push(Entry::new(format!("man/man1/{name}"), fs::read(entry.path())?));
    }
    fs::remove_dir_all(&folder)?;
    Ok(pages)
}

/// As `sha256sum` writes and checks them.
fn checksums(files: &[PathBuf]) -> io::Result<String> {
    let mut text = String::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{}  {name}\n", hex(&Sha256::digest(fs::read(path)?))));
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a command prints; its failure is an error that shows what it complained of.
fn output(command: &mut Command) -> io::Result<Vec<u8>> {
    let run = command.output()?;
    if run.status.success() {
        return Ok(run.stdout);
    }
    let complaint = String::from_utf8_lossy(&run.stderr);
    Err(io::Error::other(format!("{command:?} failed: {complaint}")))
}

/// Run a command that speaks for itself.
fn run(command: &mut Command) -> io::Result<()> {
    let status = command
        .status()
        .map_err(|error| io::Error::other(format!("{command:?}: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{command:?} failed ({status})")))
    }
}
