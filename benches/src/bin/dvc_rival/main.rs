//! The command `backlot` against real `dvc`, in the same run, on the same disk.
//!
//! `cargo run --release -p backlot-benches --bin dvc_rival -- [--small]` prints a Markdown table and writes JSON. How it
//! stays fair is in [`contest`] and [`sides`]; how it measures in `backlot_benches::measure`.

mod contest;
mod sides;

use std::io;
use std::path::{Path, PathBuf};

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::program::{self, Common, Repeat};
use backlot_benches::report::Report;
use backlot_benches::{FULL, SMALL};
use clap::Parser;

use contest::Contest;
use sides::{Backlot, Dvc, Side as _};

/// Measure `backlot` against `dvc`; about 8 GiB are used below the folder
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the workload of this name
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    #[command(flatten)]
    repeat: Repeat,
    /// The dvc to measure [default: $`BACKLOT_TEST_TOOLS/bin/dvc`, else `dvc` on PATH]
    #[arg(long, value_name = "FILE")]
    dvc: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run)
}

fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let environment = Environment::read();
    let bench = arguments.common.bench_with_home(folder);
    let dvc = Dvc {
        program: find_dvc(arguments, &environment)?,
        path: environment.path.clone(),
    };
    let backlot = Backlot {
        program: arguments.common.backlot()?,
        path: environment.path,
    };
    let contest = Contest {
        bench: &bench,
        rival: &dvc,
        subject: &backlot,
        repetitions: arguments.repeat.times(),
    };
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        rival: dvc.version_text(&bench)?,
        subject: backlot.version_text(&bench)?,
        repetitions: contest.repetitions,
        ..Report::default()
    };
    let workloads = if arguments.common.small { SMALL } else { FULL };
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
    arguments.common.publish(report)?;
    Ok(0)
}

fn find_dvc(arguments: &Arguments, environment: &Environment) -> io::Result<PathBuf> {
    let found = arguments.dvc.clone().or_else(|| environment.find("dvc"));
    let help = "no dvc: run scripts/test-tools.sh and set BACKLOT_TEST_TOOLS, or pass --dvc FILE";
    std::path::absolute(found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, help))?)
}
