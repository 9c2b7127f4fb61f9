//! The contestants that are plain programs, as data: backup tools, casync, and `cp` as the ceiling of all.
//!
//! Each is a few lines of shell: `$0` the program, `$1` the repository, `$2` the version. Invariants: the least encryption
//! that a tool offers and its default compression; making the repository is part of the first put. Deliberately absent:
//! tuning.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::Bench;
use fs_err as fs;

use crate::contestants::{Contestant, Place, script};

/// What a program is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// The name of the contestant.
    pub(crate) name: &'static str,
    /// The file to look for.
    pub(crate) program: &'static str,
    /// Whether it is a bound of the others and not a rival.
    pub(crate) ceiling: bool,
    version: &'static str,
    /// Put the first version of `frames`.
    first: &'static str,
    /// Put a later one. Empty: it does not take later ones.
    later: &'static str,
    /// Get a version as `frames`.
    get: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

/// The programs, in the order of the tables.
pub(crate) const RECIPES: [Recipe; 6] = [
    Recipe {
        name: "restic",
        program: "restic",
        ceiling: false,
        version: r#""$0" version"#,
        first: r#""$0" -r "$1" init && "$0" -r "$1" backup frames"#,
        later: r#""$0" -r "$1" backup frames"#,
        get: r#""$0" -r "$1" restore latest --target ."#,
        variables: &[("RESTIC_PASSWORD", "bench")],
    },
    Recipe {
        name: "rustic",
        program: "rustic",
        ceiling: false,
        version: r#""$0" --version"#,
        first: r#""$0" -r "$1" init && "$0" -r "$1" backup frames"#,
        later: r#""$0" -r "$1" backup frames"#,
        get: r#""$0" -r "$1" restore latest ."#,
        variables: &[("RUSTIC_PASSWORD", "bench"), ("RUSTIC_NO_PROGRESS", "true")],
    },
    Recipe {
        name: "borg",
        program: "borg",
        ceiling: false,
        version: r#""$0" --version"#,
        first: r#""$0" init --encryption none "$1" && "$0" create "$1::$2" frames"#,
        later: r#""$0" create "$1::$2" frames"#,
        get: r#""$0" extract "$1::$2""#,
        variables: &[
            ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes"),
            ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes"),
        ],
    },
    Recipe {
        name: "casync",
        program: "casync",
        ceiling: false,
        version: r#""$0" --version | head -n 1"#,
        first: CASYNC_MAKE,
        later: CASYNC_MAKE,
        get: r#""$0" extract --store="$1/store.castr" "$1/$2.caidx" frames"#,
        variables: &[],
    },
    Recipe {
        name: "cp -r",
        program: "cp",
        ceiling: true,
        version: r#""$0" --version | head -n 1"#,
        first: r#""$0" -r frames "$1/$2""#,
        later: "",
        get: r#""$0" -r "$1/$2" frames"#,
        variables: &[],
    },
    Recipe {
        name: "cp -r + sync",
        program: "cp",
        ceiling: true,
        version: r#""$0" --version | head -n 1"#,
        first: r#""$0" -r frames "$1/$2" && sync -f "$1/$2""#,
        later: "",
        get: r#""$0" -r "$1/$2" frames && sync -f frames"#,
        variables: &[],
    },
];

const CASYNC_MAKE: &str = r#""$0" make --store="$1/store.castr" "$1/$2.caidx" frames"#;

/// A program that is installed, with its recipe.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) recipe: Recipe,
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
}

impl Peer {
    fn script(&self, bench: &Bench, text: &str, arguments: &[&Path], here: &Path) -> Command {
        let mut command = script(bench, text, (&self.program, &self.path), arguments, here);
        command.envs(self.recipe.variables.iter().copied());
        command
    }

    /// The recipe for this version of the program: newer restics can do without a password.
    pub(crate) fn fit(mut self, bench: &Bench) -> io::Result<Self> {
        if self.recipe.name == "restic" {
            let help = bench.run(&mut self.script(bench, r#""$0" help"#, &[], &bench.folder))?;
            if help.contains("--insecure-no-password") {
                self.recipe.first = r#""$0" -r "$1" --insecure-no-password init && "$0" -r "$1" --insecure-no-password backup frames"#;
                self.recipe.later = r#""$0" -r "$1" --insecure-no-password backup frames"#;
                self.recipe.get = r#""$0" -r "$1" --insecure-no-password restore latest --target ."#;
                self.recipe.variables = &[];
            }
        }
        Ok(self)
    }
}

impl Contestant for Peer {
    fn name(&self) -> &'static str {
        self.recipe.name
    }
    fn version(&self, bench: &Bench) -> io::Result<String> {
        bench.run(&mut self.script(bench, self.recipe.version, &[], &bench.folder))
    }
    fn prepare(&self, _bench: &Bench, root: &Path) -> io::Result<()> {
        fs::create_dir_all(root.join("first"))?;
        fs::create_dir_all(self.remote(root))
    }
    fn put(&self, bench: &Bench, root: &Path, version: &str, first: bool) -> Option<Command> {
        let text = if first {
            self.recipe.first
        } else {
            self.recipe.later
        };
        let arguments = [&*self.remote(root), Path::new(version)];
        (!text.is_empty()).then(|| self.script(bench, text, &arguments, &root.join("first")))
    }
    fn prepare_get(&self, _bench: &Bench, root: &Path, place: Place) -> io::Result<PathBuf> {
        let here = place.folder(root);
        fs::create_dir_all(&here)?;
        Ok(here.join("frames"))
    }
    fn get(&self, bench: &Bench, root: &Path, place: Place, version: &str) -> Command {
        let arguments = [&*self.remote(root), Path::new(version)];
        self.script(bench, self.recipe.get, &arguments, &place.folder(root))
    }
}
