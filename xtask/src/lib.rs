//! Chores as functions, so that the command and the tests use the same.

mod circles;
pub mod dist;
mod methods;
mod module;
mod paths;
mod tokens;
mod types;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

pub use circles::{Circle, circles};

/// The crates' sources, sorted.
pub fn sources(root: &Path) -> io::Result<Vec<PathBuf>> {
    let folders = [
        "crates",
        "tests",
        "benches",
        "xtask",
        "fuzz/checks",
        "fuzz/fuzz_targets",
    ];
    rust_files(folders.iter().map(|folder| root.join(folder)).collect())
}

/// The Rust files in and below folders, sorted.
fn rust_files(mut folders: Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Every `"area::snake_case"` in the product crates: the codes of errors and warnings.
pub fn codes_in_source(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut codes = BTreeSet::new();
    for path in sources(root)?
        .iter()
        .filter(|p| p.starts_with(root.join("crates")))
    {
        let text = fs::read_to_string(path)?;
        codes.extend(
            text.split('"')
                .filter(|part| is_code(part))
                .map(ToOwned::to_owned),
        );
    }
    Ok(codes)
}

/// Every code in the tables of `docs/errors.md`.
pub fn codes_in_docs(root: &Path) -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string(root.join("docs/errors.md"))?;
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    Ok(rows.filter(|code| is_code(code)).map(ToOwned::to_owned).collect())
}

fn is_code(text: &str) -> bool {
    text.split_once("::").is_some_and(|(area, name)| {
        !area.is_empty()
            && area.chars().all(|c| c.is_ascii_lowercase())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

/// Write `docs/commands` anew from the help of the command, which is built for that.
pub fn write_pages(root: &Path) -> io::Result<()> {
    let folder = root.join("docs/commands");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut cargo = Command::new("cargo");
    cargo.args([
        "run",
        "--quiet",
        "-p",
        "backlot-cli",
        "--",
        "self",
        "pages",
        "markdown",
    ]);
    let status = cargo.arg(&folder).current_dir(root).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("the command could not write its pages"))
    }
}
