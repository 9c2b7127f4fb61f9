//! The binary that is shipped, built with the profile `dist` by Cargo with zig as the C compiler and linker.
//!
//! zig brings the C library of the target, so no cross compiler has to be installed. It and `cargo-zigbuild` come from
//! PyPI into a folder of the target directory, at pinned versions.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{output, run};

/// The target of what is shipped: static, so it starts on any Linux.
pub const DEFAULT_TARGET: &str = "x86_64-unknown-linux-musl";

const TOOLS: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];

/// Build the command for a target, which may end in a version of glibc (`x86_64-unknown-linux-gnu.2.17`). Returns the path
/// of the binary.
pub fn build(root: &Path, target: &str) -> io::Result<PathBuf> {
    let target_dir = target_dir(root)?;
    let tools = tools(&target_dir)?;
    let platform = target.split('.').next().unwrap_or(target);
    // Without rustup, Cargo says itself that the target is not installed.
    if Command::new("rustup").arg("--version").output().is_ok() {
        run(Command::new("rustup")
            .args(["target", "add", platform])
            .current_dir(root))?;
    }
    let path =
        std::env::join_paths(std::iter::once(tools.clone()).chain(searched())).map_err(io::Error::other)?;
    run(Command::new(tools.join("cargo-zigbuild"))
        .args([
            "zigbuild",
            "--locked",
            "--profile",
            "dist",
            "-p",
            "backlot-cli",
            "--target",
            target,
        ])
        .env("PATH", path)
        .current_dir(root))?;
    Ok(target_dir.join(platform).join("dist/backlot"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tools are put before what the shell finds"
)]
fn searched() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Where cargo builds.
pub(crate) fn target_dir(root: &Path) -> io::Result<PathBuf> {
    let metadata = output(
        Command::new("cargo")
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(root),
    )?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata)?;
    let dir = metadata["target_directory"].as_str();
    dir.map(PathBuf::from)
        .ok_or_else(|| io::Error::other("cargo metadata names no target directory"))
}

/// The folder of the tools' programs.
fn tools(target_dir: &Path) -> io::Result<PathBuf> {
    let home = target_dir.join("dist-tools");
    let (stamp, wanted) = (home.join(".installed"), TOOLS.join(" "));
    if fs_err::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        run(Command::new(home.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(TOOLS))?;
        fs_err::write(&stamp, wanted)?;
    }
    Ok(home.join("bin"))
}
