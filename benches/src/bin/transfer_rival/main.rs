//! Remotes behind a network: `backlot` against real `dvc` and `rclone`, on the same servers, in the same run.
//!
//! `cargo run --release -p backlot-benches --bin transfer_rival -- [--small] [--delay 50]` prints Markdown tables and writes JSON. The ceiling is
//! the same bytes sent raw, in objects of 16 MiB over 16 connections, by rclone. How it stays fair is in [`sides`]; the
//! servers are in [`servers`]. What each brought back is compared byte for byte.

mod line;
mod servers;
mod sides;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use backlot_benches::Workload;
use backlot_benches::machine::{Environment, machine, said};
use backlot_benches::measure::{Bench, Sample, load, say};
use backlot_benches::program::{self, Common};
use backlot_benches::tree::same_bytes;
use clap::Parser;
use fs_err as fs;
use serde::Serialize;

use servers::{Kind, Server};
use sides::{Backlot, Dvc, Rclone, Side};

/// Measure `backlot` against `dvc` and `rclone` through SFTP, Apache and S3
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this server: sftp, webdav, s3
    #[arg(long, value_name = "SERVER")]
    server: Option<Kind>,
    /// Leave somebody out: `dvc`, or only of some files, `rclone:20000x16KiB`
    #[arg(long, value_name = "NAME[:FILES]")]
    without: Vec<String>,
    /// Milliseconds that each way to a server takes, more than loopback's
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn is_without(&self, name: &str, workload: &str) -> bool {
        let is_it = |without: &String| match without.split_once(':') {
            Some((of, files)) => of == name && files == workload,
            None => without == name,
        };
        self.without.iter().any(is_it)
    }
}

const FULL: [Workload; 2] = [
    Workload {
        name: "512x2MiB",
        files: 512,
        ..backlot_benches::FULL[0]
    },
    backlot_benches::FULL[1],
];
const SMALL: [Workload; 2] = [
    Workload {
        name: "64x2MiB",
        files: 64,
        ..FULL[0]
    },
    backlot_benches::SMALL[1],
];
/// The rest of the ceiling of a pull.
const PROVE_AND_COPY: &str = "md5sum + cp -r";
/// The objects that the ceiling sends.
const RAW: Workload = Workload {
    name: "raw",
    stands_for: "raw objects",
    files: 0,
    file_bytes: 16 << 20,
    changed_files: 0,
};

/// One step of one contestant.
#[derive(Clone, Debug, Serialize)]
struct Row {
    server: Kind,
    workload: &'static str,
    step: &'static str,
    who: &'static str,
    sample: Sample,
    /// Bytes that the server has more than before.
    stored: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    date: String,
    machine: BTreeMap<String, String>,
    versions: Vec<String>,
    /// Milliseconds that each way to a server took, more than loopback's.
    delay: u64,
    rows: Vec<Row>,
    /// What a contestant could not do.
    failures: Vec<String>,
}

fn main() -> io::Result<std::process::ExitCode> {
    program::main(|arguments: &Arguments| &arguments.common, run)
}

fn run(arguments: &Arguments, folder: &Path) -> io::Result<usize> {
    let environment = Environment::read();
    let bench = arguments.common.bench_with_home(folder);
    let need = |name: &str| {
        let missing = format!("no {name}: run scripts/bench-tools.sh");
        environment.find(name).ok_or_else(|| io::Error::other(missing))
    };
    let path = environment.path.clone();
    let backlot = Backlot::new(arguments.common.backlot()?, path.clone());
    let rclone = Rclone::new(need("rclone")?, path.clone());
    let mut sides: Vec<Box<dyn Side>> = vec![Box::new(backlot), Box::new(rclone.clone())];
    if !arguments.without.iter().any(|without| without == "dvc") {
        sides.push(Box::new(Dvc::new(need("dvc")?, path)));
    }
    let mut report = Report {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine: machine(folder),
        versions: Vec::new(),
        delay: arguments.delay,
        rows: Vec::new(),
        failures: Vec::new(),
    };
    for side in &sides {
        report.versions.push(side.version(&bench, folder)?);
    }
    for kind in Kind::ALL {
        if arguments.server.is_some_and(|only| only != kind) {
            continue;
        }
        for workload in if arguments.common.small { &SMALL } else { &FULL } {
            say(&format!("{kind:?} {}\n", workload.name))?;
            let place = folder.join(format!("{kind:?}-{}", workload.name).to_lowercase());
            let contest = Contest {
                bench: &bench,
                server: Server::start(
                    kind,
                    &place.join("server"),
                    &folder.join("home"),
                    &environment,
                    Duration::from_millis(arguments.delay),
                )?,
                workload,
            };
            contest.ceiling(&rclone, &place.join("raw"), &mut report.rows)?;
            for side in &sides {
                if arguments.is_without(side.name(), workload.name) {
                    continue;
                }
                let ran = contest.run(&**side, &place.join(side.name()), &mut report.rows);
                if let Err(error) = ran {
                    // A peer that cannot do it is part of what was found; what it did before counts.
                    let failure = format!("{} on {kind:?}, {}: {error}", side.name(), workload.name);
                    say(&format!("  {failure}\n"))?;
                    report.failures.push(failure);
                }
            }
            drop(contest);
            fs::remove_dir_all(&place)?;
        }
    }
    report
        .machine
        .insert("load after".to_owned(), format!("{:.2}", load()));
    let json = arguments.common.write_json(&report)?;
    say(&format!("\n{}\nJSON: {}\n", report.to_markdown(), json.display()))?;
    let own = report
        .failures
        .iter()
        .filter(|failure| failure.starts_with("backlot "));
    Ok(own.count())
}

/// One workload on one server.
struct Contest<'a> {
    bench: &'a Bench,
    server: Server,
    workload: &'a Workload,
}

impl Contest<'_> {
    /// Measure a step.
    fn step(
        &self,
        (who, step): (&'static str, &'static str),
        command: &std::process::Command,
        rows: &mut Vec<Row>,
    ) -> io::Result<()> {
        let before = self.server.stored()?;
        let sample = self.bench.measure(command, 2 * self.workload.bytes())?;
        rows.push(Row {
            server: self.server.kind,
            workload: self.workload.name,
            step,
            who,
            sample,
            stored: self.server.stored()?.saturating_sub(before),
        });
        say(&format!("  {who} {step}: {:.2} s\n", sample.wall))
    }

    /// The same bytes in large objects; and, with the files as they are, what a pull does besides that brings a proven copy for the cache and one for
    /// the workspace.
    fn ceiling(&self, rclone: &Rclone, place: &Path, rows: &mut Vec<Row>) -> io::Result<()> {
        let bytes = self.workload.bytes();
        let raw = Workload {
            files: usize::try_from(bytes.div_ceil(RAW.file_bytes as u64)).unwrap_or(1),
            ..RAW
        };
        rclone.prepare(self.bench, &self.server, place)?;
        raw.generate(&place.join("set"))?;
        let steps = [
            ("push", place.join("set"), None),
            ("pull", place.join("back"), Some(())),
        ];
        for (step, folder, back) in steps {
            let command = rclone.copy(self.bench, &self.server, "raw", &folder, back.is_some());
            self.step(("raw", step), &command, rows)?;
        }
        let files = place.join("files");
        self.workload.generate(&files)?;
        let script =
            "find files -type f -print0 | xargs -0 -n 16 -P $(nproc) md5sum >/dev/null && cp -r files copy";
        let shell = Path::new("/bin/sh");
        let command = self.bench.command(shell, &["-c", script], place, &rclone.path);
        self.step((PROVE_AND_COPY, "pull"), &command, rows)
    }

    fn run(&self, side: &dyn Side, place: &Path, rows: &mut Vec<Row>) -> io::Result<()> {
        let who = side.name();
        fs::create_dir_all(place)?;
        side.prepare(self.bench, &self.server, place)?;
        let set = side.set(place);
        self.workload.generate(&set)?;
        side.add(self.bench, place)?;
        self.step((who, "push"), &side.push(self.bench, &self.server, place), rows)?;
        let back = side.prepare_other(self.bench, &self.server, place)?;
        self.step((who, "pull"), &side.pull(self.bench, &self.server, place), rows)?;
        self.compare(who, &set, &back)?;
        if let Some((back, pull)) = side.linked(self.bench, &self.server, place)? {
            self.step((who, "pull, hard links"), &pull, rows)?;
            self.compare(who, &set, &back)?;
        }
        self.workload.change(&set)?;
        side.add(self.bench, place)?;
        self.step(
            (who, "push v2"),
            &side.push(self.bench, &self.server, place),
            rows,
        )
    }

    /// Every file is there with its bytes.
    fn compare(&self, who: &str, set: &Path, back: &Path) -> io::Result<()> {
        for file in 0..self.workload.files {
            let (ours, theirs) = (self.workload.path(set, file), self.workload.path(back, file));
            if !same_bytes(&ours, &theirs)? {
                return Err(io::Error::other(format!(
                    "{who} brought other bytes of file {file}"
                )));
            }
        }
        Ok(())
    }
}

impl Report {
    fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}; {}; {} ms each way\n\n",
            self.date,
            self.versions.join("; "),
            self.delay
        );
        for (name, value) in &self.machine {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        text.push_str(
            "\n| server | workload | step | backlot | rclone | dvc | raw | raw + md5sum + cp -r | dvc/backlot | rclone/backlot | backlot/raw | stored by backlot | peak |\n\
             |---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in self.rows.iter().filter(|row| row.who == "backlot") {
            // Who copies without a cache writes once.
            let theirs = row.step.split(',').next().unwrap_or(row.step);
            let of = |who: &str| {
                let same = |other: &&Row| {
                    (other.server, other.workload, other.step, other.who)
                        == (row.server, row.workload, theirs, who)
                };
                self.rows.iter().find(same).map(|other| other.sample.wall)
            };
            let own = row.sample.wall;
            let shown = |wall: Option<f64>| wall.map_or_else(String::new, |wall| format!("{wall:.2} s"));
            let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}"));
            text.push_str(&format!(
                "| {:?} | {} | {} | {own:.2} s | {} | {} | {} | {} | **{}** | {} | {} | {:.1} MiB | {} MiB |\n",
                row.server,
                row.workload,
                row.step,
                shown(of("rclone")),
                shown(of("dvc")),
                shown(of("raw")),
                shown(of(PROVE_AND_COPY).and_then(|rest| Some(rest + of("raw")?))),
                ratio(of("dvc").map(|wall| wall / own)),
                ratio(of("rclone").map(|wall| wall / own)),
                ratio(of("raw").map(|wall| own / wall)),
                mib(row.stored),
                row.sample.peak >> 20,
            ));
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes, for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
