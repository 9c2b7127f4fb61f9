//! What the programs have in common: how they begin and end, where they run, where their figures go.
//!
//! Invariant: a program leaves nothing in the folder it measures in, unless it is killed. Deliberately absent: what is
//! measured.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use fs_err as fs;
use serde::Serialize;

use crate::measure::{self, Bench, say};
use crate::report::Report;

/// The options of every program.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Small sizes, to see that it works
    #[arg(long)]
    pub small: bool,
    /// The backlot to measure [default: beside this program]
    #[arg(long, value_name = "FILE")]
    pub backlot: Option<PathBuf>,
    /// A folder on the disk to measure; what is put below it is removed [default: the temporary folder]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Do not use memory once before each step: for machines whose memory is their own
    #[arg(long)]
    pub no_warm_memory: bool,
    /// Where the JSON goes [default: beside this program, named as it is]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// How often something is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Repeat {
    /// How often each step is repeated
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    repeat: u8,
}

impl Repeat {
    /// The number of times.
    pub fn times(self) -> usize {
        usize::from(self.repeat)
    }
}

/// Run a program: be the probe of one command if that is what is asked for, else do what the arguments say in a new folder
/// with an empty home. It ends with 1 if that returns failures.
pub fn main<A: Parser>(
    common: fn(&A) -> &Common,
    run: impl FnOnce(&A, &Path) -> io::Result<usize>,
) -> io::Result<ExitCode> {
    let raw: Vec<OsString> = std::env::args_os().collect();
    if raw.get(1).is_some_and(|first| first == measure::PROBE) {
        let success = measure::probe(&raw[2..])?;
        return Ok(u8::from(!success).into());
    }
    let arguments = A::parse();
    let folder = common(&arguments)
        .folder
        .clone()
        .unwrap_or_else(std::env::temp_dir);
    let folder = std::path::absolute(folder)?.join(format!("backlot-bench-{}", std::process::id()));
    fs::create_dir_all(folder.join("home"))?;
    let result = run(&arguments, &folder);
    fs::remove_dir_all(&folder)?;
    result.map(|failures| u8::from(failures > 0).into())
}

impl Common {
    /// A bench in a folder. Its commands have no home yet.
    pub fn bench(&self, folder: &Path) -> Bench {
        Bench {
            folder: folder.to_path_buf(),
            variables: vec![("LANG".to_owned(), "C.UTF-8".into())],
            warm: !self.no_warm_memory,
        }
    }

    /// The same whose commands share the home that [`main`] made.
    pub fn bench_with_home(&self, folder: &Path) -> Bench {
        let mut bench = self.bench(folder);
        bench
            .variables
            .push(("HOME".to_owned(), folder.join("home").into()));
        bench
    }

    /// The backlot to measure.
    pub fn backlot(&self) -> io::Result<PathBuf> {
        let beside = std::env::current_exe()?.with_file_name("backlot");
        std::path::absolute(self.backlot.clone().unwrap_or(beside))
    }

    /// Write the figures. Returns where.
    pub fn write_json(&self, figures: &impl Serialize) -> io::Result<PathBuf> {
        let default = || std::env::current_exe().map(|program| program.with_extension("json"));
        let json = self.json.clone().map_or_else(default, Ok)?;
        fs::write(&json, serde_json::to_vec_pretty(figures)?)?;
        Ok(json)
    }

    /// Write a report and show it.
    pub fn publish(&self, mut report: Report) -> io::Result<()> {
        report
            .machine
            .insert("load after".to_owned(), format!("{:.2}", measure::load()));
        let json = self.write_json(&report)?;
        say(&format!("\n{}\nJSON: {}\n", report.to_markdown(), json.display()))
    }
}
