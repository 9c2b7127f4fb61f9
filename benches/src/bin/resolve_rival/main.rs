//! The command `backlot` against real `uv`: resolving and installing packages, from the same repo, in the same run.
//!
//! `cargo run --release -p backlot-benches --bin resolve_rival -- [--small]` prints a Markdown table and writes JSON. What
//! is resolved is in [`assets`], how it stays fair in [`contest`] and [`sides`], how it measures in
//! `backlot_benches::measure`.

mod assets;
mod contest;
mod serve;
mod sides;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::program::{self, Common, Repeat};
use backlot_benches::report::Report;
use clap::Parser;

use contest::Contest;
use sides::{Backlot, Side as _, Source, Uv};

/// Measure `backlot` against `uv`; about 2 GiB are used below the folder
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the studio of this name: diamond, chain, web
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    #[command(flatten)]
    repeat: Repeat,
    /// The uv to measure [default: $`BACKLOT_TEST_TOOLS/bin/uv`, else `uv` on PATH]
    #[arg(long, value_name = "FILE")]
    uv: Option<PathBuf>,
    /// The interpreter to install for [default: `python3` on PATH]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run)
}

fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let environment = Environment::read();
    let bench = arguments.common.bench_with_home(folder);
    let find = |given: &Option<PathBuf>, program: &str| {
        let found = given.clone().or_else(|| environment.find(program));
        let help =
            format!("no {program}: run scripts/test-tools.sh and set BACKLOT_TEST_TOOLS, or name the file");
        std::path::absolute(found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, help))?)
    };
    let python = find(&arguments.python, "python3")?;
    let uv = Uv {
        program: find(&arguments.uv, "uv")?,
        python: python.clone(),
        path: environment.path.clone(),
    };
    let backlot = Backlot {
        program: arguments.common.backlot()?,
        python,
        path: environment.path.clone(),
    };
    let contest = Contest {
        bench: &bench,
        sides: [&uv, &backlot],
        repetitions: arguments.repeat.times(),
        patience: Duration::from_secs(if arguments.common.small { 0 } else { 30 }),
    };
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        rival: uv.version_text(&bench)?,
        subject: backlot.version_text(&bench)?,
        repetitions: contest.repetitions,
        ..Report::default()
    };
    let studios = if arguments.common.small {
        assets::SMALL
    } else {
        assets::FULL
    };
    let wanted = |name: &str| arguments.workload.as_ref().is_none_or(|only| only == name);
    for studio in studios.iter().filter(|studio| wanted(studio.name)) {
        let repo = folder.join("repos").join(studio.name);
        studio.write(&repo)?;
        backlot.reindex(&bench, &repo)?;
        let installs = studio.name == "diamond";
        let in_folder = Source::Folder(repo.clone());
        report.rows.extend(contest.run(studio, &in_folder, installs)?);
        let served = Source::Http(serve::serve(&repo)?);
        report.rows.extend(contest.run(studio, &served, installs)?);
    }
    arguments.common.publish(report)?;
    Ok(0)
}
