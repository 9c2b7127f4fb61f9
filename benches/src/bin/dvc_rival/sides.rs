//! The two sides of the contest: how each is set up, and which command is which step.
//!
//! Both get the same: their own folder on the same disk, an empty cache, a remote in a local folder, their default way to
//! place files, and no network talk. Invariant: only [`Side::add`], [`Side::push`], [`Side::pull`] and [`Side::version`]
//! are measured.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::Bench;
use backlot_benches::tree::copy_without;
use fs_err as fs;

/// The module of the asset that holds the set.
const MODULE: &str = "outputs/shot/src/shot";

/// A place that files are pulled into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A copy of the project, for work on the files.
    Project,
    /// Somebody else's, who uses a release and edits nothing. DVC knows no such thing: there it is a project again.
    Installed,
}

impl Place {
    fn folder(self, root: &Path) -> PathBuf {
        root.join(match self {
            Self::Project => "second",
            Self::Installed => "third",
        })
    }
}

/// One contestant.
pub(crate) trait Side {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its version, as it says it.
    fn version_text(&self, bench: &Bench) -> io::Result<String>;
    /// Make the first place below `root`, with a remote, without the set.
    fn prepare(&self, bench: &Bench, root: &Path) -> io::Result<()>;
    /// Where the set goes in the first place.
    fn set(&self, root: &Path) -> PathBuf;
    /// The command that tracks the set.
    fn add(&self, bench: &Bench, root: &Path) -> Command;
    /// The command that sends it to the remote.
    fn push(&self, bench: &Bench, root: &Path) -> Command;
    /// Make another place: the same remote and pointers, an empty cache, no files. Returns where the set will appear.
    fn prepare_place(&self, bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf>;
    /// The command that brings it there.
    fn pull(&self, bench: &Bench, root: &Path, place: Place) -> Command;
    /// The command that only says its version.
    fn version(&self, bench: &Bench, root: &Path) -> Command;
}

/// Real DVC.
#[derive(Debug)]
pub(crate) struct Dvc {
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
}

impl Dvc {
    fn command(&self, bench: &Bench, arguments: &[&str], here: &Path) -> Command {
        let mut command = bench.command(&self.program, arguments, here, &self.path);
        // By default its index of known files is shared by all its runs on a machine; here each run starts without one.
        command
            .env("DVC_SITE_CACHE_DIR", here.with_extension("site"))
            .env("DVC_NO_ANALYTICS", "1");
        command
    }

    fn init(&self, bench: &Bench, here: &Path, remote: &Path) -> io::Result<()> {
        fs::create_dir_all(here)?;
        let remote = remote.display().to_string();
        for arguments in [
            ["init", "--no-scm", "--quiet"].as_slice(),
            &["config", "core.analytics", "false"],
            &["config", "core.check_update", "false"],
            &["remote", "add", "--default", "main", &remote],
        ] {
            bench.run(&mut self.command(bench, arguments, here))?;
        }
        Ok(())
    }
}

impl Side for Dvc {
    fn name(&self) -> &'static str {
        "dvc"
    }
    fn version_text(&self, bench: &Bench) -> io::Result<String> {
        let text = bench.run(&mut self.command(bench, &["--version"], &bench.folder))?;
        Ok(format!("dvc {}", text.trim()))
    }
    fn prepare(&self, bench: &Bench, root: &Path) -> io::Result<()> {
        self.init(bench, &root.join("first"), &root.join("remote"))
    }
    fn set(&self, root: &Path) -> PathBuf {
        root.join("first/frames")
    }
    fn add(&self, bench: &Bench, root: &Path) -> Command {
        self.command(bench, &["add", "frames"], &root.join("first"))
    }
    fn push(&self, bench: &Bench, root: &Path) -> Command {
        self.command(bench, &["push"], &root.join("first"))
    }
    fn prepare_place(&self, bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf> {
        let here = place.folder(root);
        self.init(bench, &here, &root.join("remote"))?;
        fs::copy(root.join("first/frames.dvc"), here.join("frames.dvc"))?;
        Ok(here.join("frames"))
    }
    fn pull(&self, bench: &Bench, root: &Path, place: Place) -> Command {
        self.command(bench, &["pull"], &place.folder(root))
    }
    fn version(&self, bench: &Bench, root: &Path) -> Command {
        self.command(bench, &["version"], &root.join("first"))
    }
}

/// The command of this workspace.
#[derive(Debug)]
pub(crate) struct Backlot {
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
}

impl Backlot {
    fn command(&self, bench: &Bench, arguments: &[&str], here: &Path) -> Command {
        let mut command = bench.command(&self.program, arguments, here, &self.path);
        command.env("BACKLOT_CACHE_DIR", here.with_extension("cache"));
        command
    }

    fn init(&self, bench: &Bench, here: &Path, remote: &Path) -> io::Result<()> {
        fs::create_dir_all(here)?;
        let remote = remote.display().to_string();
        for arguments in [
            ["init", "--python", "none"].as_slice(),
            &["remote", "add", "main", &remote, "--default"],
        ] {
            bench.run(&mut self.command(bench, arguments, here))?;
        }
        Ok(())
    }
}

impl Side for Backlot {
    fn name(&self) -> &'static str {
        "backlot"
    }
    fn version_text(&self, bench: &Bench) -> io::Result<String> {
        let text = bench.run(&mut self.command(bench, &["--version"], &bench.folder))?;
        Ok(text.trim().to_owned())
    }
    fn prepare(&self, bench: &Bench, root: &Path) -> io::Result<()> {
        let here = root.join("first");
        self.init(bench, &here, &root.join("remote"))?;
        bench
            .run(&mut self.command(bench, &["new", "Shot"], &here))
            .map(|_| ())
    }
    fn set(&self, root: &Path) -> PathBuf {
        root.join("first").join(MODULE).join("frames")
    }
    fn add(&self, bench: &Bench, root: &Path) -> Command {
        let frames = format!("{MODULE}/frames");
        self.command(bench, &["add", &frames], &root.join("first"))
    }
    fn push(&self, bench: &Bench, root: &Path) -> Command {
        self.command(bench, &["push"], &root.join("first"))
    }
    fn prepare_place(&self, bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf> {
        let (first, here) = (root.join("first"), place.folder(root));
        self.init(bench, &here, &root.join("remote"))?;
        if place == Place::Project {
            copy_without(&first.join("outputs"), &here.join("outputs"), "frames")?;
            return Ok(here.join(MODULE).join("frames"));
        }
        let repo = root.join("repo").display().to_string();
        for (here, arguments) in [
            (&first, ["repo", "add", "review", &repo, "--publish"].as_slice()),
            (&first, &["publish", "Shot"]),
            (&here, &["repo", "add", "review", &repo]),
            (&here, &["install", "Shot"]),
        ] {
            bench.run(&mut self.command(bench, arguments, here))?;
        }
        Ok(here.join("inputs/lib/site-packages/shot/frames"))
    }
    fn pull(&self, bench: &Bench, root: &Path, place: Place) -> Command {
        self.command(bench, &["pull"], &place.folder(root))
    }
    fn version(&self, bench: &Bench, root: &Path) -> Command {
        self.command(bench, &["--version"], &root.join("first"))
    }
}
