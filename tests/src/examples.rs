//! The example programs of the crates, as they were built.

use std::path::PathBuf;
use std::process::Command;

use crate::{repository, run_command};

/// The program of an example. A test of the whole workspace has built it; with features of its own it would be a second build of
/// everything it uses.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a program");
    let folder = tests
        .ancestors()
        .nth(2)
        .expect("a target folder")
        .join("examples");
    let program = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    if !program.exists() {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--offline", "--workspace", "--example", name]);
        run_command(cargo.current_dir(repository())).ok();
    }
    program
}
