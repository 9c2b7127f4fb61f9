//! The command `backlot` against dvc, restic, rustic, borg, casync and plain `cp`, in the same run, on the same disk.
//!
//! `cargo run --release -p backlot-benches --bin store_rival -- [--small]` prints a Markdown table a workload, then what is
//! expected and whether it held, and writes JSON. What is put and got is in [`sets`], who does it in [`contestants`] and
//! [`peers`], how it stays fair in [`contest`], how it measures in `backlot_benches::measure`.

mod contest;
mod contestants;
mod expectations;
mod peers;
mod render;
mod report;
mod sets;

use std::io;
use std::path::Path;
use std::time::Duration;

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::measure::{self, Bench, say};
use backlot_benches::program::{self, Common};
use clap::Parser;

use contest::Contest;
use contestants::{Backlot, Contestant, Dvc};
use peers::{Peer, RECIPES};
use report::Report;

/// Measure `backlot` against those who store files, too; about 12 GiB are used below the folder
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the workloads whose names start so: frames, insertions, small-files, exr-none, exr-zip, exr-piz
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Only these contestants beside cp: backlot, dvc, restic, rustic, borg, casync
    #[arg(long, value_name = "TOOL", value_delimiter = ',')]
    only: Vec<String>,
    /// How often each step is repeated [default: 3; 1 with --small]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    repeat: Option<u8>,
    #[command(flatten)]
    common: Common,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run)
}

/// Returns how many turns failed.
fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let bench = arguments.common.bench(folder);
    let (contestants, missing) = find_contestants(arguments, &bench)?;
    let contest = Contest {
        bench: &bench,
        contestants: &contestants,
        repetitions: usize::from(
            arguments
                .repeat
                .unwrap_or(if arguments.common.small { 1 } else { 3 }),
        ),
        patience: Duration::from_secs(if arguments.common.small { 0 } else { 30 }),
        spare_memory: if arguments.common.small {
            128 << 20
        } else {
            1 << 30
        },
    };
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        missing,
        repetitions: contest.repetitions,
        small: arguments.common.small,
        ..Report::default()
    };
    for contestant in &contestants {
        let version = contestant.version(&bench)?.trim().to_owned();
        report.contestants.push((contestant.name().to_owned(), version));
    }
    let prefix = arguments.workload.as_deref().unwrap_or_default();
    let sets = sets::all(arguments.common.small);
    if !sets.iter().any(|set| set.name.starts_with(prefix)) {
        return Err(io::Error::other(format!("no workload starts with `{prefix}`")));
    }
    for set in sets.iter().filter(|set| set.name.starts_with(prefix)) {
        contest.run(set, &mut report)?;
    }
    report
        .machine
        .insert("load after".to_owned(), format!("{:.2}", measure::load()));
    print(arguments, &report)?;
    Ok(report.failures.len())
}

/// The tables, the expectations, the JSON.
fn print(arguments: &Arguments, report: &Report) -> io::Result<()> {
    let expectations = expectations::all(report);
    let all = serde_json::json!({ "report": report, "expectations": expectations });
    let json = arguments.common.write_json(&all)?;
    say(&format!("\n{}\n### Expected\n\n", report.to_markdown()))?;
    if report.small {
        say("These sets are small: the bounds are for the full ones.\n\n")?;
    }
    for expectation in &expectations {
        say(&expectation.line())?;
    }
    say(&format!("\nJSON: {}\n", json.display()))
}

/// Contestants in the order of the tables.
type Contestants = Vec<Box<dyn Contestant>>;

/// Those that are asked for and installed, and the names of those that are asked for only.
fn find_contestants(arguments: &Arguments, bench: &Bench) -> io::Result<(Contestants, Vec<String>)> {
    let environment = Environment::read();
    let path = &environment.path;
    let (mut found, mut missing): (Contestants, Vec<String>) = (Vec::new(), Vec::new());
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    if let Some(unknown) = arguments
        .only
        .iter()
        .find(|name| *name != "backlot" && !expectations::PEERS.contains(&name.as_str()))
    {
        return Err(io::Error::other(format!("no contestant is called `{unknown}`")));
    }
    if wanted("backlot") {
        for to_remote in [false, true] {
            found.push(Box::new(Backlot {
                program: arguments.common.backlot()?,
                path: path.clone(),
                to_remote,
            }));
        }
    }
    if wanted("dvc") {
        match environment.find("dvc") {
            Some(program) => found.push(Box::new(Dvc {
                program: std::path::absolute(program)?,
                path: path.clone(),
            })),
            None => missing.push("dvc".to_owned()),
        }
    }
    for recipe in RECIPES
        .into_iter()
        .filter(|recipe| recipe.ceiling || wanted(recipe.name))
    {
        match environment.find(recipe.program) {
            Some(program) => {
                let peer = Peer {
                    recipe,
                    program: std::path::absolute(program)?,
                    path: path.clone(),
                };
                found.push(Box::new(peer.fit(bench)?));
            }
            None => missing.push(recipe.name.to_owned()),
        }
    }
    Ok((found, missing))
}
