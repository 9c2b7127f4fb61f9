//! Where a bench runs: its environment, the programs it finds, the machine in words.
//!
//! Invariant: this is the only place that reads the environment. Deliberately absent: anything that installs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::measure;

/// What a bench takes from its environment, read once.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Where programs are looked for.
    pub path: OsString,
    /// Folders that scripts/test-tools.sh and scripts/bench-tools.sh have filled; they come before `path`.
    pub tools: Vec<PathBuf>,
}

impl Environment {
    /// Read it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench is a program; it reads its environment here only"
    )]
    pub fn read() -> Self {
        let tools = ["BACKLOT_TEST_TOOLS", "BACKLOT_BENCH_TOOLS"];
        Self {
            path: std::env::var_os("PATH").unwrap_or_default(),
            tools: tools
                .iter()
                .filter_map(std::env::var_os)
                .map(PathBuf::from)
                .collect(),
        }
    }

    /// The file of a program, if it is installed.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let tools = self.tools.iter().map(|tools| tools.join("bin"));
        tools
            .chain(std::env::split_paths(&self.path))
            .map(|folder| folder.join(program))
            .find(|candidate| candidate.is_file())
    }
}

/// The machine, in words; `folder` is on the disk that is measured.
pub fn machine(folder: &Path) -> BTreeMap<String, String> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let gib = measure::available_memory() >> 30;
    let place = folder.display().to_string();
    BTreeMap::from([
        (
            "processors".to_owned(),
            format!("{cores} x {}", model.trim_start_matches([' ', '\t', ':'])),
        ),
        ("memory free".to_owned(), format!("{gib} GiB")),
        ("disk".to_owned(), said("stat", &["-f", "-c", "%T", &place])),
        ("system".to_owned(), said("uname", &["-sr"])),
        ("load before".to_owned(), format!("{:.2}", measure::load())),
    ])
}

/// What a small program of the system says; empty if it is not there.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
        .unwrap_or_default()
}
