//! Cascades against themselves and the machine: plans over many releases, what an asset of a run costs, and frames that are decoded.
//!
//! `cargo run --release -p backlot-benches --bin cascade -- [--small] [--part plan|run|frames]` prints tables and writes JSON. No other program plans
//! cascades, so expectations are figures; frames are decoded beside `exrcheck` and `oiiotool`, where those are installed. It ends with 1 if something
//! is missed, except with `--small`.

mod frames;
mod plan;
mod release;
mod run;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::measure::{Bench, Sample, load, say};
use backlot_benches::program::{self, Common, Repeat};
use clap::Parser;
use serde::Serialize;

/// Measure cascades: plans, runs, and the check of frames
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this part: plan, run, frames
    #[arg(long, value_name = "PART")]
    part: Option<String>,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    common: Common,
}

/// How the backlot that is measured is run, and what came of it.
#[derive(Debug)]
pub(crate) struct Bed {
    bench: Bench,
    program: PathBuf,
    pub(crate) environment: Environment,
    repetitions: usize,
    found: Found,
}

/// Everything one run found.
#[derive(Debug, Default, Serialize)]
struct Found {
    date: String,
    machine: BTreeMap<String, String>,
    version: String,
    rows: Vec<Row>,
}

/// A figure, with what was expected of it.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    samples: Vec<Sample>,
    expected: Option<(String, bool)>,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run_parts)
}

fn run_parts(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let mut bed = Bed {
        bench: arguments.common.bench_with_home(folder),
        program: arguments.common.backlot()?,
        environment: Environment::read(),
        repetitions: arguments.repeat.times(),
        found: Found {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            machine: machine(folder),
            ..Found::default()
        },
    };
    let version = bed.run(folder, &["--version"])?;
    version.trim().clone_into(&mut bed.found.version);
    let wants = |part: &str| arguments.part.as_deref().is_none_or(|only| only == part);
    if wants("plan") {
        plan::measure(&mut bed, &folder.join("plan"), arguments.common.small)?;
    }
    if wants("run") {
        run::measure(&mut bed, &folder.join("run"), arguments.common.small)?;
    }
    if wants("frames") {
        frames::measure(&mut bed, &folder.join("frames"), arguments.common.small)?;
    }
    let after = format!("{:.2}", load());
    bed.found.machine.insert("load after".to_owned(), after);
    let json = arguments.common.write_json(&bed.found)?;
    say(&format!(
        "\n{}\nJSON: {}\n",
        bed.found.to_markdown(),
        json.display()
    ))?;
    let missed = bed.found.rows.iter().filter_map(|row| row.expected.as_ref());
    let missed = missed.filter(|(_, is_held)| !is_held).count();
    Ok(if arguments.common.small { 0 } else { missed })
}

impl Bed {
    pub(crate) fn command(&self, here: &Path, arguments: &[&str]) -> Command {
        let path: &OsString = &self.environment.path;
        self.bench.command(&self.program, arguments, here, path)
    }

    pub(crate) fn run(&self, here: &Path, arguments: &[&str]) -> io::Result<String> {
        self.bench.run(&mut self.command(here, arguments))
    }

    /// Measure a command as often as was asked for, with something done before each time.
    pub(crate) fn samples(
        &self,
        command: &Command,
        mut before: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Vec<Sample>> {
        let each = (0..self.repetitions).map(|_| {
            before()?;
            self.bench.measure(command, 256 << 20)
        });
        each.collect()
    }

    /// Measure a command that cannot be repeated.
    pub(crate) fn once(&self, command: &Command) -> io::Result<Sample> {
        self.bench.measure(command, 256 << 20)
    }

    /// Note a figure; `is_held` says whether the median is as expected.
    pub(crate) fn note(
        &mut self,
        what: &str,
        samples: Vec<Sample>,
        expected: Option<(&str, &dyn Fn(Sample) -> bool)>,
    ) {
        let median = Sample::median(&samples);
        let expected = expected.map(|(words, is_held)| (words.to_owned(), is_held(median)));
        say(&format!(
            "{what}: {:.3} s, {:.3} s of CPU, {} MiB\n",
            median.wall,
            median.cpu(),
            median.peak >> 20
        ))
        .ok();
        self.found.rows.push(Row {
            what: what.to_owned(),
            samples,
            expected,
        });
    }
}

impl Found {
    fn to_markdown(&self) -> String {
        let mut text = format!("{}, {}\n\n", self.date, self.version);
        for (name, value) in &self.machine {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        text.push_str("\n| what | wall | CPU | peak | expected |\n|---|---:|---:|---:|---|\n");
        for row in &self.rows {
            let median = Sample::median(&row.samples);
            let expected = row
                .expected
                .as_ref()
                .map_or_else(String::new, |(words, is_held)| {
                    format!("{words}: {}", if *is_held { "held" } else { "**missed**" })
                });
            text.push_str(&format!(
                "| {} | {:.3} s | {:.3} s | {} MiB | {expected} |\n",
                row.what,
                median.wall,
                median.cpu(),
                median.peak >> 20
            ));
        }
        text
    }
}
