//! pip and uv as others call them: into a folder of their own, with no cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Run, Studio, run_command, tool};

/// Those who install besides us.
pub const INSTALLERS: [&str; 2] = ["pip", "uv"];

/// `pip install` or `uv pip install` into a folder.
pub fn install_by(by: &str, target: &Path, arguments: &[&str]) -> Run {
    let python = tool("python");
    let mut command = if by == "uv" {
        let mut uv = Command::new(tool("uv"));
        uv.args(["pip", "install", "--quiet", "--no-cache", "--python"])
            .arg(python);
        uv
    } else {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir"]);
        pip
    };
    run_command(command.arg("--target").arg(target).args(arguments))
}

/// Any command of pip, in the studio's folder.
pub fn pip(studio: &Studio, arguments: &[&str]) -> Run {
    let mut pip = Command::new(tool("python"));
    pip.current_dir(studio.root())
        .args(["-m", "pip", "--no-cache-dir", "--disable-pip-version-check"])
        .args(arguments);
    run_command(&mut pip)
}

/// Make a source distribution of a project with its own builder, which has to be there already.
pub fn build_sdist(project: &Path, target: &Path) {
    let mut build = Command::new(tool("python"));
    build
        .args([
            "-m",
            "build",
            "--sdist",
            "--no-isolation",
            "--skip-dependency-check",
            "--outdir",
        ])
        .arg(target)
        .arg(project);
    run_command(&mut build).ok();
}

/// Where the packages of a workspace's environment lie.
pub fn site_packages(studio: &Studio, workspace: &str) -> PathBuf {
    let lib = studio.path(workspace).join("inputs/lib");
    let mut lib = fs_err::read_dir(lib).expect("an environment");
    let python = lib.next().expect("a Python").expect("readable");
    python.path().join("site-packages")
}
