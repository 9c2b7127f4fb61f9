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

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::measure::{self, Bench, say};
use clap::Parser;
use fs_err as fs;

use contest::Contest;
use contestants::{Backlot, Contestant, Dvc};
use peers::{Peer, RECIPES};
use report::Report;

/// Measure `backlot` against those who store files, too
#[derive(Debug, Parser)]
struct Arguments {
    /// Small sets: two minutes instead of an hour or two, to see that it works
    #[arg(long)]
    small: bool,
    /// Only the workloads whose names start so: frames, insertions, small-files, exr-none, exr-zip, exr-piz
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Only these contestants beside cp: backlot, dvc, restic, rustic, borg, casync
    #[arg(long, value_name = "TOOL", value_delimiter = ',')]
    only: Vec<String>,
    /// How often each step is repeated [default: 3; 1 with --small]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    repeat: Option<u8>,
    /// The backlot to measure [default: beside this program]
    #[arg(long, value_name = "FILE")]
    backlot: Option<PathBuf>,
    /// A folder on the disk to measure; about 12 GiB are used below it and removed [default: the temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Do not use memory once before each step: for machines whose memory is their own
    #[arg(long)]
    no_warm_memory: bool,
    /// Where the JSON goes [default: `store_rival.json` beside this program]
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
    result.map(|failures| u8::from(failures > 0).into())
}

/// Returns how many turns failed.
fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let bench = Bench {
        folder: folder.to_path_buf(),
        variables: vec![("LANG".to_owned(), "C.UTF-8".into())],
        warm: !arguments.no_warm_memory,
    };
    let (contestants, missing) = find_contestants(arguments, &bench)?;
    let contest = Contest {
        bench: &bench,
        contestants: &contestants,
        repetitions: usize::from(arguments.repeat.unwrap_or(if arguments.small { 1 } else { 3 })),
        patience: Duration::from_secs(if arguments.small { 0 } else { 30 }),
        spare_memory: if arguments.small { 128 << 20 } else { 1 << 30 },
    };
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        missing,
        repetitions: contest.repetitions,
        small: arguments.small,
        ..Report::default()
    };
    for contestant in &contestants {
        let version = contestant.version(&bench)?.trim().to_owned();
        report.contestants.push((contestant.name().to_owned(), version));
    }
    let prefix = arguments.workload.as_deref().unwrap_or_default();
    let sets = sets::all(arguments.small);
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
    let default = || std::env::current_exe().map(|program| program.with_file_name("store_rival.json"));
    let json = arguments.json.clone().map_or_else(default, Ok)?;
    let all = serde_json::json!({ "report": report, "expectations": expectations });
    fs::write(&json, serde_json::to_vec_pretty(&all)?)?;
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
        let beside = std::env::current_exe()?.with_file_name("backlot");
        found.push(Box::new(Backlot {
            program: std::path::absolute(arguments.backlot.clone().unwrap_or(beside))?,
            path: path.clone(),
        }));
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
