//! Distribution: the archive, its checksums, and the wheel as installed by pip and uv. Built with `BACKLOT_HEAVY=1` in the
//! environment, `cargo xtask dist` builds the binary first (20 minutes of one core), and it has to run in an empty root.
//! `BACKLOT_DIST_BINARY` names an existing binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_tests::{Studio, binary, repository, run_command, tool};
use backlot_xtask::dist;
use fs_err as fs;

/// The wheel among the packages.
fn wheel(packages: &[PathBuf]) -> &Path {
    let wheel = packages
        .iter()
        .find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.expect("a wheel")
}

/// The packages of the command under test, without its debug information.
fn packages(studio: &Studio) -> Vec<PathBuf> {
    let small = studio.path("backlot");
    let mut strip = Command::new("strip");
    run_command(strip.arg("-o").arg(&small).arg(binary())).ok();
    dist::package(
        &repository(),
        &small,
        "x86_64-unknown-linux-gnu",
        &studio.path("out"),
    )
    .expect("packed")
}

/// A command with nothing of this machine's Python.
fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_remove("PYTHONPATH")
        .env_remove("VIRTUAL_ENV")
        .env_remove("PYTHONHOME");
    command
}

#[test]
fn what_is_packed_is_complete_checked_and_installed_by_pip_and_uv() {
    let studio = Studio::empty();
    let packages = packages(&studio);
    the_archive_is_complete(&studio);
    the_wheel_installs(&studio, wheel(&packages));
}

fn the_archive_is_complete(studio: &Studio) {
    let out = studio.path("out");
    let mut check = Command::new("sha256sum");
    let checked = run_command(
        check
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&out),
    )
    .ok();
    assert_eq!(
        checked
            .stdout()
            .lines()
            .filter(|line| line.ends_with(": OK"))
            .count(),
        2
    );
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("backlot-{version}-x86_64-unknown-linux-gnu");
    let mut tar = Command::new("tar");
    run_command(
        tar.arg("-xf")
            .arg(out.join(format!("{name}.tar.gz")))
            .arg("-C")
            .arg(studio.root()),
    )
    .ok();
    let unpacked = studio.path(&name);
    for file in [
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "completions/bash/backlot",
        "completions/zsh/_backlot",
        "completions/fish/backlot.fish",
        "man/man1/backlot.1",
        "man/man1/backlot-repo-add.1",
    ] {
        assert!(
            fs::metadata(unpacked.join(file)).expect("there").len() > 200,
            "{file}"
        );
    }
    let said = run_command(Command::new(unpacked.join("backlot")).arg("--version")).ok();
    assert_eq!(said.stdout().trim(), format!("backlot {version}"));
    // The same binary gives the same bytes.
    let again = studio.path("again");
    dist::package(
        &repository(),
        &studio.path("backlot"),
        "x86_64-unknown-linux-gnu",
        &again,
    )
    .expect("packed");
    assert_eq!(
        fs::read_to_string(again.join("SHA256SUMS")).expect("read"),
        fs::read_to_string(out.join("SHA256SUMS")).expect("read")
    );
}

fn the_wheel_installs(studio: &Studio, wheel: &Path) {
    let said = format!("backlot {}", env!("CARGO_PKG_VERSION"));
    let venv = studio.path("venv");
    run_command(clean(tool("python")).args(["-m", "venv"]).arg(&venv)).ok();
    let python = venv.join("bin/python");
    run_command(
        clean(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-index",
                "--disable-pip-version-check",
            ])
            .arg(wheel),
    )
    .ok();
    for mut command in [clean(venv.join("bin/backlot")), {
        let mut module = clean(&python);
        module.args(["-m", "backlot"]);
        module
    }] {
        assert_eq!(run_command(command.arg("--version")).ok().stdout().trim(), said);
    }
    run_command(clean(&python).args(["-m", "pip", "check"])).ok();

    let (home, bin) = (studio.path("uv"), studio.path("uv-bin"));
    let mut uv = clean(tool("uv"));
    uv.args([
        "tool",
        "install",
        "--quiet",
        "--offline",
        "--no-cache",
        "--python",
    ])
    .arg(tool("python"))
    .arg(wheel)
    .env("UV_TOOL_DIR", &home)
    .env("UV_TOOL_BIN_DIR", &bin)
    .env("HOME", studio.path("home"));
    run_command(&mut uv).ok();
    let run = run_command(clean(bin.join("backlot")).arg("--version")).ok();
    assert_eq!(run.stdout().trim(), said);
}

/// The binary that is shipped, if this run has one: built in the heavy tier.
fn shipped() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test reads its environment")]
    let given = std::env::var_os("BACKLOT_DIST_BINARY").map(PathBuf::from);
    given.or_else(|| {
        option_env!("BACKLOT_HEAVY").map(|_| dist::build(&repository(), dist::DEFAULT_TARGET).expect("built"))
    })
}

#[test]
fn what_is_shipped_runs_in_an_empty_root() {
    let Some(binary) = shipped() else {
        // Static or not is decided by the C library, which only the heavy tier builds with.
        return;
    };
    let studio = Studio::empty();
    let packages =
        dist::package(&repository(), &binary, dist::DEFAULT_TARGET, &studio.path("out")).expect("packed");
    assert!(
        wheel(&packages).to_string_lossy().contains("musllinux_1_1"),
        "it is static"
    );
    the_wheel_installs(&studio, wheel(&packages));
    let root = studio.path("root");
    fs::create_dir_all(root.join("tmp")).expect("made");
    fs::copy(&binary, root.join("backlot")).expect("copied");
    studio.frames("root/render", 3, 10_000, 1);
    let inside = |arguments: &[&str]| {
        // A user may make a root of his own in a name space of his own.
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--root"])
            .arg(&root)
            .arg("/backlot")
            .args(arguments)
            .env_clear()
            .env("BACKLOT_CACHE_DIR", "/cache")
            .env("BACKLOT_AUTHOR", "ana");
        run_command(&mut command)
    };
    let said = inside(&["--version"]).ok();
    assert_eq!(
        said.stdout().trim(),
        format!("backlot {}", env!("CARGO_PKG_VERSION"))
    );
    inside(&["init", "/ws", "--python", "none"]).ok();
    inside(&["-w", "/ws", "repo", "add", "review", "/repo"]).ok();
    inside(&["-w", "/ws", "remote", "add", "main", "/files"]).ok();
    inside(&["-w", "/ws", "new", "Table"]).ok();
    inside(&["-w", "/ws", "add", "/render", "--asset", "Table"]).ok();
    inside(&["-w", "/ws", "publish", "Table"]).ok();
    inside(&["init", "/other", "--python", "none"]).ok();
    inside(&[
        "-w", "/other", "get", "Table", "--from", "/repo", "--remote", "/files",
    ])
    .ok();
    assert_eq!(
        studio.snapshot("root/other/inputs/lib/site-packages/table/render"),
        studio.snapshot("root/render")
    );
    inside(&["demo", "/demo", "--frames", "8"]).ok();
}
