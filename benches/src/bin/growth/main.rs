//! What commands cost when a remote gets old, a studio gets wide, and many publish at once.
//!
//! `cargo run --release -p backlot-benches --bin growth -- [--small]` prints Markdown tables and writes JSON. Three parts:
//! [`age`], [`width`] and [`throughput`]; how a cost grows with a size is the exponent of [`growth::Growth`].

mod age;
mod growth;
mod studio;
mod throughput;
mod width;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::measure::{load, say};
use backlot_benches::program::{self, Common};
use clap::Parser;
use serde::Serialize;

use growth::Growth;
use studio::Studio;
use throughput::Throughput;

/// Measure how the costs of `backlot` grow with age, width and publishers
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this part: age, width, throughput
    #[arg(long, value_name = "PART")]
    part: Option<String>,
    /// An earlier backlot, measured in the same run
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// strace, which counts system calls [default: the one on PATH; without one they are not counted]
    #[arg(long, value_name = "FILE")]
    strace: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// What was found of one backlot.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// What `backlot --version` says, and whether it is the earlier one.
    subject: String,
    growths: Vec<Growth>,
    /// Bytes and objects of the remote at each age.
    remotes: Vec<age::RemoteSize>,
    throughputs: Vec<Throughput>,
}

#[derive(Debug, Serialize)]
struct Report {
    date: String,
    machine: BTreeMap<String, String>,
    found: Vec<Found>,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run)
}

fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let environment = Environment::read();
    let now = arguments.common.backlot()?;
    let before = arguments.before.as_ref().map(std::path::absolute).transpose()?;
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        found: Vec::new(),
    };
    for (name, program) in before.iter().map(|b| ("before", b)).chain([("now", &now)]) {
        let place = folder.join(name);
        let studio = Studio {
            bench: arguments.common.bench_with_home(folder),
            program: program.clone(),
            path: environment.path.clone(),
            strace: arguments.strace.clone().or_else(|| environment.find("strace")),
        };
        let mut found = Found {
            subject: format!("{name}: {}", studio.version(folder)?),
            ..Found::default()
        };
        measure(arguments, &studio, &place, &mut found)?;
        report.found.push(found);
    }
    report
        .machine
        .insert("load after".to_owned(), format!("{:.2}", load()));
    let json = arguments.common.write_json(&report)?;
    say(&format!("\n{}\nJSON: {}\n", report.to_markdown(), json.display()))?;
    Ok(report.misses())
}

fn measure(arguments: &Arguments, studio: &Studio, place: &Path, found: &mut Found) -> io::Result<()> {
    let wants = |part: &str| arguments.part.as_deref().is_none_or(|only| only == part);
    if wants("age") {
        let sizes = if arguments.common.small {
            age::SMALL
        } else {
            age::FULL
        };
        let (growths, remotes) = age::measure(studio, &place.join("age"), &sizes)?;
        found.growths.extend(growths);
        found.remotes = remotes;
    }
    if wants("width") {
        let sizes = if arguments.common.small {
            width::SMALL
        } else {
            width::FULL
        };
        found
            .growths
            .extend(width::measure(studio, &place.join("width"), &sizes)?);
    }
    if wants("throughput") {
        let load = if arguments.common.small {
            throughput::SMALL
        } else {
            throughput::FULL
        };
        found.throughputs = throughput::measure(studio, &place.join("throughput"), &load)?;
    }
    Ok(())
}

impl Report {
    fn to_markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.date);
        for (name, value) in &self.machine {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        for found in &self.found {
            text.push_str(&format!("\n{}\n", found.subject));
            text.push_str(&growth::to_markdown(&found.growths));
            text.push_str(&age::to_markdown(&found.remotes));
            text.push_str(&throughput::to_markdown(&found.throughputs));
        }
        text
    }

    /// How many expectations of the present backlot do not hold.
    fn misses(&self) -> usize {
        let Some(now) = self.found.last() else {
            return 0;
        };
        let growths = now.growths.iter().filter(|growth| !growth.holds()).count();
        growths + usize::from(!throughput::holds(&now.throughputs))
    }
}
