//! The contestants: how each is set up, and which command is which step.
//!
//! All get the same: folders of their own on the same disk, an empty cache, a repository or remote in a local folder, no
//! network talk. Invariants: only [`Contestant::put`] and [`Contestant::get`] are measured, each as one command, so that a
//! contestant that needs two (`add`, `push`) waits for both and pays for both; where a file is got into an empty place, the
//! cache is empty, too.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::Bench;
use backlot_benches::tree::copy_without;
use fs_err as fs;

/// The module of the asset that holds the set.
const MODULE: &str = "outputs/shot/src/shot";

/// A place that a set is got into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Another workspace, for work on the files; just a folder for those that know no workspaces.
    Project,
    /// Somebody else's, who uses a release and edits nothing.
    Installed,
}

impl Place {
    pub(crate) fn folder(self, root: &Path) -> PathBuf {
        root.join(match self {
            Self::Project => "second",
            Self::Installed => "third",
        })
    }
}

/// One contestant. All paths are below `root`, the folder of one turn.
pub(crate) trait Contestant {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its version, as it says it.
    fn version(&self, bench: &Bench) -> io::Result<String>;
    /// Make the first place, without the set.
    fn prepare(&self, bench: &Bench, root: &Path) -> io::Result<()>;
    /// Where the set goes in the first place.
    fn set(&self, root: &Path) -> PathBuf {
        root.join("first/frames")
    }
    /// Where the puts go.
    fn remote(&self, root: &Path) -> PathBuf {
        root.join("remote")
    }
    /// The command that puts a version, with all that must come before it. `None`: it only takes the first.
    fn put(&self, bench: &Bench, root: &Path, version: &str, first: bool) -> Option<Command>;
    /// The places it knows.
    fn places(&self) -> &'static [Place] {
        &[Place::Project]
    }
    /// Bring a place, new or not, to where only the files of the version are missing. Returns where they will appear.
    fn prepare_get(&self, bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf>;
    /// The command that gets a version there.
    fn get(&self, bench: &Bench, root: &Path, place: Place, version: &str) -> Command;
}

/// A script of the shell with a program as `$0`, in a folder whose `.home` beside it is the home.
pub(crate) fn script(
    bench: &Bench,
    text: &str,
    (program, path): (&Path, &OsString),
    arguments: &[&Path],
    here: &Path,
) -> Command {
    let mut command = bench.command(Path::new("sh"), &["-c", text], here, path);
    command
        .arg(program)
        .args(arguments)
        .env("HOME", here.with_extension("home"));
    command
}

/// The command of this workspace.
#[derive(Debug)]
pub(crate) struct Backlot {
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
    /// Files go to the remote in one pass, and none into the cache, as from a farm's node.
    pub(crate) to_remote: bool,
}

impl Backlot {
    fn script(&self, bench: &Bench, text: &str, here: &Path) -> Command {
        let mut command = script(bench, text, (&self.program, &self.path), &[], here);
        command.env("BACKLOT_CACHE_DIR", here.with_extension("cache"));
        command
    }

    fn init(&self, bench: &Bench, root: &Path, here: &Path) -> io::Result<()> {
        fs::create_dir_all(here)?;
        let remote = self.remote(root);
        let text = format!(
            r#""$0" init --python none && "$0" remote add main '{}' --default"#,
            remote.display()
        );
        bench.run(&mut self.script(bench, &text, here)).map(|_| ())
    }
}

impl Contestant for Backlot {
    fn name(&self) -> &'static str {
        if self.to_remote {
            "backlot, no cache"
        } else {
            "backlot"
        }
    }
    fn version(&self, bench: &Bench) -> io::Result<String> {
        bench.run(&mut self.script(bench, r#""$0" --version"#, &bench.folder))
    }
    fn prepare(&self, bench: &Bench, root: &Path) -> io::Result<()> {
        let here = root.join("first");
        self.init(bench, root, &here)?;
        bench
            .run(&mut self.script(bench, r#""$0" new Shot"#, &here))
            .map(|_| ())
    }
    fn set(&self, root: &Path) -> PathBuf {
        root.join("first").join(MODULE).join("frames")
    }
    fn put(&self, bench: &Bench, root: &Path, _version: &str, _first: bool) -> Option<Command> {
        let how = if self.to_remote { "--to-remote" } else { "--push" };
        let text = format!(r#""$0" add {MODULE}/frames {how}"#);
        Some(self.script(bench, &text, &root.join("first")))
    }
    fn places(&self) -> &'static [Place] {
        if self.to_remote {
            return &[];
        }
        &[Place::Project, Place::Installed]
    }
    fn prepare_get(&self, bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf> {
        let (first, here) = (root.join("first"), place.folder(root));
        if !here.exists() {
            self.init(bench, root, &here)?;
        }
        if place == Place::Project {
            copy_without(&first.join("outputs"), &here.join("outputs"), "frames")?;
            return Ok(here.join(MODULE).join("frames"));
        }
        let repo = root.join("repo").display().to_string();
        for (here, text) in [
            (
                &first,
                format!(r#""$0" repo add review '{repo}' --publish && "$0" publish Shot"#),
            ),
            (
                &here,
                format!(r#""$0" repo add review '{repo}' && "$0" install Shot"#),
            ),
        ] {
            bench.run(&mut self.script(bench, &text, here))?;
        }
        Ok(here.join("inputs/lib/site-packages/shot/frames"))
    }
    fn get(&self, bench: &Bench, root: &Path, place: Place, _version: &str) -> Command {
        self.script(bench, r#""$0" pull"#, &place.folder(root))
    }
}

/// Real DVC, outside git.
#[derive(Debug)]
pub(crate) struct Dvc {
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
}

impl Dvc {
    fn script(&self, bench: &Bench, text: &str, here: &Path) -> Command {
        let mut command = script(bench, text, (&self.program, &self.path), &[], here);
        // By default its index of known files is shared by all its runs on a machine; here each place starts without one.
        command
            .env("DVC_SITE_CACHE_DIR", here.with_extension("site"))
            .env("DVC_NO_ANALYTICS", "1");
        command
    }

    fn init(&self, bench: &Bench, root: &Path, here: &Path) -> io::Result<()> {
        fs::create_dir_all(here)?;
        let text = format!(
            r#""$0" init --no-scm --quiet && "$0" config core.analytics false &&
            "$0" config core.check_update false && "$0" remote add --default main '{}'"#,
            self.remote(root).display()
        );
        bench.run(&mut self.script(bench, &text, here)).map(|_| ())
    }
}

impl Contestant for Dvc {
    fn name(&self) -> &'static str {
        "dvc"
    }
    fn version(&self, bench: &Bench) -> io::Result<String> {
        bench.run(&mut self.script(bench, r#"echo dvc $("$0" --version)"#, &bench.folder))
    }
    fn prepare(&self, bench: &Bench, root: &Path) -> io::Result<()> {
        self.init(bench, root, &root.join("first"))
    }
    fn put(&self, bench: &Bench, root: &Path, _version: &str, _first: bool) -> Option<Command> {
        Some(self.script(bench, r#""$0" add frames && "$0" push"#, &root.join("first")))
    }
    fn prepare_get(&self, bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf> {
        let here = place.folder(root);
        if !here.exists() {
            self.init(bench, root, &here)?;
        }
        fs::copy(root.join("first/frames.dvc"), here.join("frames.dvc"))?;
        Ok(here.join("frames"))
    }
    fn get(&self, bench: &Bench, root: &Path, place: Place, _version: &str) -> Command {
        self.script(bench, r#""$0" pull"#, &place.folder(root))
    }
}
