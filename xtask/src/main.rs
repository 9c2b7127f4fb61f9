//! `cargo xtask errors`: compare the error codes in the source with `docs/errors.md`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let mut out = std::io::stdout();
    if std::env::args().nth(1).as_deref() != Some("errors") {
        drop(writeln!(out, "usage: cargo xtask errors"));
        return ExitCode::from(2);
    }
    let (Ok(source), Ok(docs)) = (
        backlot_xtask::codes_in_source(root),
        backlot_xtask::codes_in_docs(root),
    ) else {
        drop(writeln!(out, "the sources or docs/errors.md cannot be read"));
        return ExitCode::FAILURE;
    };
    for code in source.difference(&docs) {
        drop(writeln!(out, "{code} is not in docs/errors.md"));
    }
    for code in docs.difference(&source) {
        drop(writeln!(out, "{code} is in docs/errors.md only"));
    }
    drop(writeln!(out, "{} codes", source.len()));
    if source == docs {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
