//! The command `backlot` against real `dvc`, in the same run, on the same disk.
//!
//! `cargo run --release -p backlot-benches --bin dvc_rival -- [--small]` prints a Markdown table and writes JSON. How it
//! stays fair is in [`contest`] and [`sides`]; how it measures in `backlot_benches::measure`.

mod contest;
mod sides;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use backlot_benches::machine::{Environment, machine, said};
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

fn find_dvc(arguments: &Arguments, environment: &Environment) -> io::Result<PathBuf> {
    let found = arguments.dvc.clone().or_else(|| environment.find("dvc"));
    let help = "no dvc: run scripts/test-tools.sh and set BACKLOT_TEST_TOOLS, or pass --dvc FILE";
    std::path::absolute(found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, help))?)
}
