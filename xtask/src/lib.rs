//! Chores as functions, so that the command and the tests use the same.

mod circles;
pub mod dist;
pub mod error_texts;
mod methods;
mod module;
mod paths;
pub mod pictures;
pub mod surface;
mod tokens;
mod types;

use std::collections::{BTreeMap, BTreeSet};
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

/// The constants of all codes, which are generated.
const CODES: &str = "crates/backlot/src/codes.rs";

/// Every `"area::snake_case"` in the product crates: the codes of errors and warnings.
pub fn codes_in_source(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut codes = BTreeSet::new();
    for path in sources(root)?
        .iter()
        .filter(|p| p.starts_with(root.join("crates")) && !p.ends_with(CODES))
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

/// The file of the constants of all codes, as `docs/errors.md` has them.
pub fn constants_of_codes(root: &Path) -> io::Result<String> {
    let text = fs::read_to_string(root.join("docs/errors.md"))?;
    let mut constants = BTreeMap::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        if let Some((code, rest)) = row.split_once('`')
            && is_code(code)
        {
            let columns: Vec<&str> = rest.trim_matches([' ', '|']).split(" | ").collect();
            // Of an error the class, when it is met, and the way out; of a warning only when.
            let about = match columns.as_slice() {
                [class, when, ..] => format!("An error, {class}: {when}."),
                [when] => format!("A warning: {when}."),
                [] => continue,
            };
            // One may be both; the error comes first.
            constants.entry(code).or_insert(about);
        }
    }
    let mut file = String::from(
        "//! The codes of all errors and warnings as constants, so that a program that matches one is checked when it is compiled.\n//!\n\
         //! Generated from `docs/errors.md` by `cargo xtask codes`. An error tells its code by [`Diagnostic::code`](crate::Diagnostic::code); a code never changes.\n//!\n\
         //! ```\n//! use backlot::{Diagnostic as _, Error, codes};\n//!\n//! fn is_published(error: &Error) -> bool {\n\
         //!     error.code() == codes::REPO_RELEASE_EXISTS\n//! }\n//! ```\n\n\
         macro_rules! codes {\n    ($($name:ident = $code:literal, $about:literal;)*) => {\n        $(\n            #[doc = $about]\n            \
         pub const $name: &str = $code;\n        )*\n\n        /// All of them, in their order.\n        \
         pub const ALL: &[&str] = &[$($name,)*];\n    };\n}\n\ncodes! {\n",
    );
    for (code, about) in constants {
        let name = code.replace("::", "_").to_uppercase();
        file.push_str(&format!("    {name} = \"{code}\", {about:?};\n"));
    }
    file.push_str("}\n");
    Ok(file)
}

/// Write that file.
pub fn write_codes(root: &Path) -> io::Result<()> {
    fs::write(root.join(CODES), constants_of_codes(root)?)
}

/// Make the pictures of the guide anew with the command, which is built for that. Returns their files.
pub fn write_pictures(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "-p", "backlot-cli"]);
    if !cargo.current_dir(root).status()?.success() {
        return Err(io::Error::other("the command could not be built"));
    }
    pictures::write(root, &dist::target_dir(root)?.join("debug/backlot"))
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
