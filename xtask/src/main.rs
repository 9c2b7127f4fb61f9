//! `cargo xtask errors|codes|texts|pages|pictures|surface|dist`: chores of the repository.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backlot_xtask::dist;

const USAGE: &str =
    "usage: cargo xtask errors                        compare the codes in the source with docs/errors.md
       cargo xtask codes                         write the constants of codes from docs/errors.md
       cargo xtask texts                         write docs/error-texts.txt from the messages and helps in the source
       cargo xtask pages                         write docs/commands from the help of the command
       cargo xtask pictures                      make docs/guide/pictures from a demo
       cargo xtask surface [--check] [FEATURE...] write docs/api from what the libraries offer, or compare
       cargo xtask dist [--target T] [--out DIR] build what is shipped: binary, archive, wheel, checksums";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["errors"] => errors(root),
        ["codes"] => backlot_xtask::write_codes(root).map(|()| ExitCode::SUCCESS),
        ["texts"] => backlot_xtask::error_texts::write(root).map(|()| ExitCode::SUCCESS),
        ["pages"] => backlot_xtask::write_pages(root).map(|()| ExitCode::SUCCESS),
        ["pictures"] => pictures(root),
        ["surface", "--check", features @ ..] => surface(root, features, false),
        ["surface", features @ ..] => surface(root, features, true),
        ["dist", options @ ..] => match dist_options(options) {
            Some((target, out)) => make_dist(root, target, out),
            None => usage(),
        },
        _ => usage(),
    };
    result.unwrap_or_else(|error| {
        drop(writeln!(io::stderr(), "error: {error}"));
        ExitCode::FAILURE
    })
}

fn pictures(root: &Path) -> io::Result<ExitCode> {
    for path in backlot_xtask::write_pictures(root)? {
        writeln!(io::stdout(), "{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> io::Result<ExitCode> {
    writeln!(io::stderr(), "{USAGE}")?;
    Ok(ExitCode::from(2))
}

/// The target, and the folder if there is one.
fn dist_options<'a>(mut words: &[&'a str]) -> Option<(&'a str, Option<PathBuf>)> {
    let (mut target, mut out) = (dist::DEFAULT_TARGET, None);
    loop {
        words = match words {
            [] => return Some((target, out)),
            ["--target", value, rest @ ..] => {
                target = value;
                rest
            }
            ["--out", value, rest @ ..] => {
                out = Some(PathBuf::from(value));
                rest
            }
            _ => return None,
        }
    }
}

fn make_dist(root: &Path, target: &str, out: Option<PathBuf>) -> io::Result<ExitCode> {
    let binary = dist::build(root, target)?;
    // The folder of a profile is in the folder of a platform, and that in the target directory.
    let out = match (out, binary.ancestors().nth(3)) {
        (Some(out), _) => out,
        (None, Some(target_dir)) => target_dir.join("packages"),
        (None, None) => root.join("target/packages"),
    };
    for path in dist::package(root, &binary, target, &out)? {
        writeln!(io::stdout(), "{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn surface(root: &Path, features: &[&str], write: bool) -> io::Result<ExitCode> {
    let found = backlot_xtask::surface::surface(root, features, write)?;
    let mut out = io::stdout();
    for line in found.changes.iter().chain(&found.foreign) {
        writeln!(out, "{line}")?;
    }
    if found.changes.is_empty() && found.foreign.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !found.changes.is_empty() {
        writeln!(
            out,
            "what the libraries offer has changed: if that is wanted, run `cargo xtask surface`"
        )?;
    }
    Ok(ExitCode::FAILURE)
}

fn errors(root: &Path) -> io::Result<ExitCode> {
    let source = backlot_xtask::codes_in_source(root)?;
    let docs = backlot_xtask::codes_in_docs(root)?;
    let mut out = io::stdout();
    let missing = |from: &BTreeSet<String>, of: &BTreeSet<String>| -> Vec<String> {
        from.difference(of).cloned().collect()
    };
    for code in missing(&source, &docs) {
        writeln!(out, "{code} is not in docs/errors.md")?;
    }
    for code in missing(&docs, &source) {
        writeln!(out, "{code} is in docs/errors.md only")?;
    }
    writeln!(out, "{} codes", source.len())?;
    Ok(if source == docs {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
