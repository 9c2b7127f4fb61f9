//! Pipelines: `backlot repro` against `dvc repro`, on the same stages in the same run.
//!
//! `cargo run --release -p backlot-benches --bin pipeline_rival -- [--small]` prints tables and writes JSON. Four parts: stages with
//! nothing to do, independent stages on all cores, plans of many stages, and a large input of many that changed. What is expected is
//! said with the figure; it ends with 1 if something is missed, except with `--small`.

mod parts;
mod sides;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::measure::{load, say};
use backlot_benches::program::{self, Common, Repeat};
use backlot_benches::report::Report;
use clap::Parser;
use serde::Serialize;

use parts::{Parts, Sizes};
use sides::Sides;

/// Measure pipelines of `backlot` against those of `dvc`
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this part: idle, cores, plan, hashing
    #[arg(long, value_name = "PART")]
    part: Option<String>,
    #[command(flatten)]
    repeat: Repeat,
    /// The dvc to measure [default: $`BACKLOT_TEST_TOOLS/bin/dvc`, else `dvc` on PATH]
    #[arg(long, value_name = "FILE")]
    dvc: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Everything one run found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Found {
    report: Report,
    /// Figures that no other program was measured for, by what they are of.
    figures: BTreeMap<String, String>,
    expectations: Vec<Expectation>,
}

/// What was expected, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Expectation {
    what: String,
    figure: String,
    is_held: bool,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run)
}

fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let environment = Environment::read();
    let help = "no dvc: run scripts/test-tools.sh and set BACKLOT_TEST_TOOLS, or pass --dvc FILE";
    let dvc = arguments.dvc.clone().or_else(|| environment.find("dvc"));
    let dvc = dvc.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, help))?;
    let sides = Sides {
        bench: arguments.common.bench_with_home(folder),
        backlot: arguments.common.backlot()?,
        dvc: std::path::absolute(dvc)?,
        path: environment.path,
    };
    let mut found = Found {
        report: Report {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            machine: machine(folder),
            rival: sides.version_of_dvc()?,
            subject: sides.version_of_backlot()?,
            repetitions: arguments.repeat.times(),
            ..Report::default()
        },
        ..Found::default()
    };
    let sizes = if arguments.common.small {
        Sizes::SMALL
    } else {
        Sizes::FULL
    };
    let parts = Parts {
        sides: &sides,
        sizes,
        repetitions: arguments.repeat.times(),
    };
    let wants = |part: &str| arguments.part.as_deref().is_none_or(|only| only == part);
    if wants("idle") {
        parts.idle(&folder.join("idle"), &mut found)?;
    }
    if wants("cores") {
        parts.cores(&folder.join("cores"), &mut found)?;
    }
    if wants("plan") {
        parts.plan(&folder.join("plan"), &mut found)?;
    }
    if wants("hashing") {
        parts.hashing(&folder.join("hashing"), &mut found)?;
    }
    let machine = &mut found.report.machine;
    machine.insert("load after".to_owned(), format!("{:.2}", load()));
    let json = arguments.common.write_json(&found)?;
    say(&format!("\n{}\nJSON: {}\n", found.to_markdown(), json.display()))?;
    let missed = found.expectations.iter().filter(|expected| !expected.is_held);
    Ok(if arguments.common.small { 0 } else { missed.count() })
}

impl Found {
    /// Note what was expected.
    pub(crate) fn expect(&mut self, what: &str, figure: String, is_held: bool) {
        self.expectations.push(Expectation {
            what: what.to_owned(),
            figure,
            is_held,
        });
    }

    fn to_markdown(&self) -> String {
        let mut text = self.report.to_markdown();
        text.push_str("\n| figure | |\n|---|---:|\n");
        for (what, figure) in &self.figures {
            text.push_str(&format!("| {what} | {figure} |\n"));
        }
        text.push_str("\n| expected | figure | |\n|---|---:|---|\n");
        for expected in &self.expectations {
            let word = if expected.is_held { "held" } else { "missed" };
            text.push_str(&format!("| {} | {} | {word} |\n", expected.what, expected.figure));
        }
        text
    }
}
