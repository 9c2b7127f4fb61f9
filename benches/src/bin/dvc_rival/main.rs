//! The command `backlot` against real `dvc`, in the same run, on the same disk.
//!
//! `cargo run --release -p backlot-benches --bin dvc_rival -- [--small]` prints a Markdown table and writes JSON. How it
//! stays fair is in [`contest`] and [`sides`]; how it measures in `backlot_benches::measure`.

mod contest;
mod sides;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::{self, Bench, say};
use backlot_benches::report::Report;
use backlot_benches::{FULL, SMALL};
use clap::Parser;
use fs_err as fs;

use contest::Contest;
use sides::{Backlot, Dvc, Side as _};

/// Measure `backlot` against `dvc`
#[derive(Debug, Parser)]
struct Arguments {
    /// Small sets: seconds instead of minutes, to see that it works
    #[arg(long)]
    small: bool,
    /// Only the workload of this name
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// How often each step is repeated
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    repeat: u8,
    /// The dvc to measure [default: $`BACKLOT_TEST_TOOLS/bin/dvc`, else `dvc` on PATH]
    #[arg(long, value_name = "FILE")]
    dvc: Option<PathBuf>,
    /// The backlot to measure [default: beside this program]
    #[arg(long, value_name = "FILE")]
    backlot: Option<PathBuf>,
    /// A folder on the disk to measure; about 8 GiB are used below it and removed [default: the temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Do not use memory once before each step: for machines whose memory is their own
    #[arg(long)]
    no_warm_memory: bool,
    /// Where the JSON goes [default: `dvc_rival.json` beside this program]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> io::Result<std::process::ExitCode> {
    let raw: Vec<OsString> = std::env::args_os().collect();
    if raw.get(1).is_some_and(|first| first == measure::PROBE) {
        let success = measure::probe(&raw[2..])?;
        return Ok(u8::from(!success).into());
    }
    let arguments = Arguments::parse();
    let folder = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = std::path::absolute(folder)?.join(format!("backlot-bench-{}", std::process::id()));
    fs::create_dir_all(folder.join("home"))?;
    let result = run(&arguments, &folder);
    fs::remove_dir_all(&folder)?;
    result.map(|()| 0.into())
}

fn run(arguments: &Arguments, folder: &Path) -> io::Result<()> {
    let environment = Environment::read();
    let bench = Bench {
        folder: folder.to_path_buf(),
        variables: vec![
            ("HOME".to_owned(), folder.join("home").into()),
            ("LANG".to_owned(), "C.UTF-8".into()),
        ],
        warm: !arguments.no_warm_memory,
    };
    let beside = std::env::current_exe()?.with_file_name("backlot");
    let dvc = Dvc {
        program: find_dvc(arguments, &environment)?,
        path: environment.path.clone(),
    };
    let backlot = Backlot {
        program: std::path::absolute(arguments.backlot.clone().unwrap_or(beside))?,
        path: environment.path,
    };
    let contest = Contest {
        bench: &bench,
        rival: &dvc,
        subject: &backlot,
        repetitions: usize::from(arguments.repeat),
    };
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        rival: dvc.version_text(&bench)?,
        subject: backlot.version_text(&bench)?,
        repetitions: contest.repetitions,
        ..Report::default()
    };
    let workloads = if arguments.small { SMALL } else { FULL };
    for workload in &workloads {
        if arguments
            .workload
            .as_ref()
            .is_some_and(|name| name != workload.name)
        {
            continue;
        }
        let (rows, ceilings) = contest.run(workload)?;
        report.rows.extend(rows);
        report.ceilings.extend(ceilings);
    }
    report.rows.push(contest.starts()?);
    report
        .machine
        .insert("load after".to_owned(), format!("{:.2}", measure::load()));
    let default = || std::env::current_exe().map(|program| program.with_file_name("dvc_rival.json"));
    let json = arguments.json.clone().map_or_else(default, Ok)?;
    fs::write(&json, serde_json::to_vec_pretty(&report)?)?;
    say(&format!("\n{}\nJSON: {}\n", report.to_markdown(), json.display()))
}

/// What the bench takes from its environment, read once.
struct Environment {
    path: OsString,
    tools: Option<PathBuf>,
}

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench is a program; it reads its environment here only"
    )]
    fn read() -> Self {
        Self {
            path: std::env::var_os("PATH").unwrap_or_default(),
            tools: std::env::var_os("BACKLOT_TEST_TOOLS").map(PathBuf::from),
        }
    }
}

fn find_dvc(arguments: &Arguments, environment: &Environment) -> io::Result<PathBuf> {
    let on_path = std::env::split_paths(&environment.path).map(|folder| folder.join("dvc"));
    let candidates = arguments
        .dvc
        .iter()
        .cloned()
        .chain(environment.tools.iter().map(|tools| tools.join("bin/dvc")))
        .chain(on_path);
    for candidate in candidates {
        if candidate.is_file() {
            return std::path::absolute(candidate);
        }
    }
    let help = "no dvc: run scripts/test-tools.sh and set BACKLOT_TEST_TOOLS, or pass --dvc FILE";
    Err(io::Error::new(io::ErrorKind::NotFound, help))
}

/// The machine, in words.
fn machine(folder: &Path) -> BTreeMap<String, String> {
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
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
        .unwrap_or_default()
}
