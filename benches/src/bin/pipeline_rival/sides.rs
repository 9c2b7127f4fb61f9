//! The two programs: a project for each with the same stages and files, and their commands.
//!
//! Invariant: both have an empty cache of their own, their defaults, and no network. Deliberately absent: what is measured.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::Bench;
use fs_err as fs;

/// The module of the asset that the stages are of.
const MODULE: &str = "outputs/shot/src/shot";

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dvc,
    Backlot,
}

/// Both programs.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) bench: Bench,
    pub(crate) backlot: PathBuf,
    pub(crate) dvc: PathBuf,
    pub(crate) path: OsString,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Dvc, Self::Backlot];

    /// The project's folder below that of a part.
    fn project(self, part: &Path) -> PathBuf {
        part.join(match self {
            Self::Dvc => "dvc",
            Self::Backlot => "backlot",
        })
    }

    /// Where the `dvc.yaml` and its files are.
    pub(crate) fn files(self, part: &Path) -> PathBuf {
        match self {
            Self::Dvc => self.project(part),
            Self::Backlot => self.project(part).join(MODULE),
        }
    }
}

impl Sides {
    /// A command of a program in its project.
    pub(crate) fn command(&self, side: Side, part: &Path, arguments: &[&str]) -> Command {
        let here = side.project(part);
        let program = match side {
            Side::Dvc => &self.dvc,
            Side::Backlot => &self.backlot,
        };
        let mut command = self.bench.command(program, arguments, &here, &self.path);
        match side {
            Side::Dvc => {
                command.env("DVC_SITE_CACHE_DIR", here.with_extension("site"));
                command.env("DVC_NO_ANALYTICS", "1");
            }
            Side::Backlot => drop(command.env("BACKLOT_CACHE_DIR", here.with_extension("cache"))),
        }
        command
    }

    /// Make what is not up to date.
    pub(crate) fn repro(&self, side: Side, part: &Path, more: &[&str]) -> Command {
        let target: &[&str] = if side == Side::Dvc { &[] } else { &["Shot"] };
        self.command(side, part, &[&["repro"], target, more].concat())
    }

    /// Say what is not up to date.
    pub(crate) fn status(&self, side: Side, part: &Path) -> Command {
        self.command(side, part, &["status"])
    }

    pub(crate) fn run(&self, mut command: Command) -> io::Result<String> {
        self.bench.run(&mut command)
    }

    /// Make a project with a `dvc.yaml`; `fill` writes its files.
    pub(crate) fn prepare(
        &self,
        side: Side,
        part: &Path,
        definitions: &str,
        fill: &dyn Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        fs::create_dir_all(side.project(part))?;
        let commands: &[&[&str]] = match side {
            Side::Dvc => &[
                &["init", "--no-scm", "--quiet"],
                &["config", "core.check_update", "false"],
            ],
            Side::Backlot => &[&["init", "--python", "none"], &["new", "Shot"]],
        };
        for arguments in commands {
            self.run(self.command(side, part, arguments))?;
        }
        let files = side.files(part);
        fill(&files)?;
        fs::write(files.join("dvc.yaml"), definitions)
    }

    /// Bytes that a command reads of files, with what it starts and waits for; as Linux counts them.
    pub(crate) fn bytes_read(&self, command: &Command) -> io::Result<u64> {
        const COUNT: &str = "\"$@\" >&2 || exit; sed -n 's/^rchar: //p' /proc/$$/io";
        let mut counted = Command::new("/bin/sh");
        counted
            .args(["-c", COUNT, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        if let Some(here) = command.get_current_dir() {
            counted.current_dir(here);
        }
        let text = self.run(counted)?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::other("the system does not count what is read"))
    }

    pub(crate) fn version_of_dvc(&self) -> io::Result<String> {
        let folder = &self.bench.folder;
        let command = self.bench.command(&self.dvc, &["--version"], folder, &self.path);
        Ok(format!("dvc {}", self.run(command)?.trim()))
    }

    pub(crate) fn version_of_backlot(&self) -> io::Result<String> {
        let folder = &self.bench.folder;
        let command = self
            .bench
            .command(&self.backlot, &["--version"], folder, &self.path);
        Ok(self.run(command)?.trim().to_owned())
    }
}
