//! What is measured.
//!
//! Invariant: before a step is measured, both programs have made the same files of the same inputs, and a step that is repeated
//! starts from the same state. Deliberately absent: pushing and pulling of what stages made, which `dvc_rival` measures for files.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backlot_benches::Random;
use backlot_benches::measure::{Sample, wait_until_quiet};
use backlot_benches::report::{Ceiling, Row};
use fs_err as fs;

use crate::Found;
use crate::sides::{Side, Sides};

/// Memory that a step uses at most.
const MEMORY: u64 = 256 << 20;
/// What a stage of the second part works, in seconds.
const WORK: f64 = 0.05;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Stages with nothing to do.
    idle: usize,
    /// Stages that work.
    workers: usize,
    /// Stages that are planned: the last is the one that is expected to take less than a second.
    planned: &'static [usize],
    /// Large inputs.
    inputs: usize,
    /// Bytes of each.
    input_bytes: usize,
    /// How long to wait for the machine to be idle before a step.
    patience: Duration,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        idle: 200,
        workers: 64,
        planned: &[500, 1_000, 2_000, 5_000],
        inputs: 40,
        input_bytes: 25 << 20,
        patience: Duration::from_secs(20),
    };
    pub(crate) const SMALL: Self = Self {
        idle: 20,
        workers: 8,
        planned: &[50, 100, 200],
        inputs: 4,
        input_bytes: 1 << 20,
        patience: Duration::ZERO,
    };
}

/// The parts.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) sides: &'a Sides,
    pub(crate) sizes: Sizes,
    pub(crate) repetitions: usize,
}

/// Stages in ten columns: each reads a file of its own and what the one above made.
fn columns(count: usize) -> String {
    let mut text = "stages:\n".to_owned();
    for at in 0..count {
        let (above, read) = match at.checked_sub(10) {
            Some(above) => (format!(", out/{above}"), format!(" out/{above}")),
            None => (String::new(), String::new()),
        };
        writeln!(
            text,
            "  s{at}:\n    cmd: cat in/{at}{read} | head -c 200 > out/{at}\n    deps: [in/{at}{above}]\n    params: [gain]\n    outs: [out/{at}]"
        )
        .expect("a text");
    }
    text
}

fn fill_columns(folder: &Path, count: usize) -> io::Result<()> {
    for name in ["in", "out"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for at in 0..count {
        fs::write(folder.join(format!("in/{at}")), format!("input {at}\n"))?;
    }
    fs::write(folder.join("params.yaml"), "gain: 1\n")
}

impl Parts<'_> {
    fn measure(&self, command: &Command) -> io::Result<Sample> {
        self.sides.bench.measure(command, MEMORY)
    }

    /// A step of both, each as often as is asked for.
    fn row(
        &self,
        workload: &str,
        step: &str,
        commands: [&dyn Fn() -> io::Result<Command>; 2],
    ) -> io::Result<Row> {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..self.repetitions {
            for (side, command) in commands.iter().enumerate() {
                let command = command()?;
                wait_until_quiet(self.sizes.patience);
                samples[side].push(self.measure(&command)?);
            }
        }
        let [rival, subject] = samples;
        Ok(Row {
            workload: workload.to_owned(),
            step: step.to_owned(),
            rival,
            subject,
            ceiling: None,
        })
    }

    /// Stages that are up to date.
    pub(crate) fn idle(&self, part: &Path, found: &mut Found) -> io::Result<()> {
        let count = self.sizes.idle;
        for side in Side::BOTH {
            let fill = |folder: &Path| fill_columns(folder, count);
            self.sides.prepare(side, part, &columns(count), &fill)?;
            self.sides.run(self.sides.repro(side, part, &[]))?;
        }
        let workload = format!("{count} stages, up to date");
        let [dvc, backlot] = Side::BOTH;
        for (step, command) in [
            (
                "repro",
                &(|side| self.sides.repro(side, part, &[])) as &dyn Fn(Side) -> Command,
            ),
            ("status", &|side| self.sides.status(side, part)),
        ] {
            let row = self.row(&workload, step, [&|| Ok(command(dvc)), &|| Ok(command(backlot))])?;
            let ratio = row.ratio();
            found.expect(
                &format!("`{step}` of {workload}: 20 times as fast as dvc"),
                format!("{ratio:.1}"),
                ratio >= 20.0,
            );
            found.report.rows.push(row);
        }
        Ok(())
    }

    /// Independent stages that work, one after the other and on all cores.
    pub(crate) fn cores(&self, part: &Path, found: &mut Found) -> io::Result<()> {
        let count = self.sizes.workers;
        let bytes = bytes_of_work()?;
        let work = |at: usize| format!("(echo {at}; head -c {bytes} /dev/zero) | md5sum > w{at}");
        let mut definitions = "stages:\n".to_owned();
        for at in 0..count {
            let command = work(at);
            writeln!(definitions, "  s{at}:\n    cmd: {command}\n    outs: [w{at}]").expect("a text");
        }
        for side in Side::BOTH {
            self.sides.prepare(side, part, &definitions, &|_| Ok(()))?;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workload = format!("{count} stages of {:.0} ms, {cores} cores", WORK * 1000.0);
        let [dvc, backlot] = Side::BOTH;
        let all = || Ok(self.sides.repro(backlot, part, &["-f"]));
        let one = || Ok(self.sides.repro(backlot, part, &["-f", "-j", "1"]));
        let against_one = self.row(&workload, "repro -f, against its own -j 1", [&one, &all])?;
        let against_dvc = self.row(
            &workload,
            "repro -f",
            [&|| Ok(self.sides.repro(dvc, part, &["-f"])), &all],
        )?;
        let ratio = against_one.ratio();
        #[expect(clippy::cast_precision_loss, reason = "a handful of cores")]
        let wanted = 0.9 * cores as f64;
        found.expect(
            &format!("{workload}: {wanted:.1} times as fast as one at a time"),
            format!("{ratio:.2}"),
            ratio >= wanted,
        );
        let script: Vec<String> = (0..count).map(work).collect();
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &script.join("\n")])
            .current_dir(part)
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        found.report.ceilings.push(Ceiling {
            workload: workload.clone(),
            what: "the commands in one shell, one after the other".to_owned(),
            samples: vec![self.measure(&shell)?],
        });
        let mut xargs = Command::new("/bin/sh");
        let each = script
            .iter()
            .map(|command| format!("'{command}'"))
            .collect::<Vec<_>>();
        xargs
            .args([
                "-c",
                &format!(
                    "printf '%s\\0' {} | xargs -0 -n 1 -P {cores} sh -c",
                    each.join(" ")
                ),
            ])
            .current_dir(part)
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        found.report.ceilings.push(Ceiling {
            workload,
            what: "the commands by xargs, as many at once as there are cores".to_owned(),
            samples: vec![self.measure(&xargs)?],
        });
        found.report.rows.extend([against_one, against_dvc]);
        Ok(())
    }

    /// Plans of ever more stages: before anything was made, and when all is up to date.
    pub(crate) fn plan(&self, part: &Path, found: &mut Found) -> io::Result<()> {
        let side = Side::Backlot;
        for (at, count) in self.sizes.planned.iter().enumerate() {
            let here = part.join(count.to_string());
            let fill = |folder: &Path| fill_columns(folder, *count);
            self.sides.prepare(side, &here, &columns(*count), &fill)?;
            let is_last = at + 1 == self.sizes.planned.len();
            for state in ["nothing made", "up to date"] {
                if state == "up to date" {
                    let begun = Instant::now();
                    self.sides.run(self.sides.repro(side, &here, &[]))?;
                    let taken = begun.elapsed().as_secs_f64();
                    found
                        .figures
                        .insert(format!("{count:5} stages: all are made"), format!("{taken:.2} s"));
                }
                let plan = self.sides.repro(side, &here, &["-n"]);
                let samples: Result<Vec<Sample>, io::Error> =
                    (0..self.repetitions).map(|_| self.measure(&plan)).collect();
                let median = Sample::median(&samples?);
                let what = format!("{count:5} stages: the plan, {state}");
                found
                    .figures
                    .insert(what, format!("{:.3} s, {} MiB", median.wall, median.peak >> 20));
                if is_last {
                    let what = format!("the plan of {count} stages, {state}: below 1 s");
                    found.expect(&what, format!("{:.3} s", median.wall), median.wall < 1.0);
                }
            }
        }
        Ok(())
    }

    /// One of many large inputs has changed.
    pub(crate) fn hashing(&self, part: &Path, found: &mut Found) -> io::Result<()> {
        let Sizes {
            inputs, input_bytes, ..
        } = self.sizes;
        let mut definitions = "stages:\n".to_owned();
        for at in 0..inputs {
            writeln!(
                definitions,
                "  s{at}:\n    cmd: tail -c 100 in/{at} > o{at}\n    deps: [in/{at}]\n    outs: [o{at}]"
            )
            .expect("a text");
        }
        let fill = |folder: &Path| -> io::Result<()> {
            fs::create_dir_all(folder.join("in"))?;
            (0..inputs).try_for_each(|at| fs::write(folder.join(format!("in/{at}")), noise(input_bytes, at)))
        };
        for side in Side::BOTH {
            self.sides.prepare(side, part, &definitions, &fill)?;
            self.sides.run(self.sides.repro(side, part, &[]))?;
        }
        let versions = std::cell::Cell::new(inputs);
        let change = |side: Side| -> io::Result<Command> {
            versions.set(versions.get() + 1);
            let input = side.files(part).join("in/0");
            // A file of its own, whatever shares its content.
            fs::remove_file(&input)?;
            fs::write(&input, noise(input_bytes, versions.get()))?;
            Ok(self.sides.repro(side, part, &[]))
        };
        let [dvc, backlot] = Side::BOTH;
        let workload = format!("{inputs} inputs of {} MiB, one changed", input_bytes >> 20);
        let row = self.row(&workload, "repro", [&|| change(dvc), &|| change(backlot)])?;
        found.report.rows.push(row);
        for (side, name) in [(dvc, "dvc"), (backlot, "backlot")] {
            let read = self.sides.bytes_read(&change(side)?)?;
            let figure = format!(
                "{:.1} MiB",
                f64::from(u32::try_from(read >> 10).unwrap_or(u32::MAX)) / 1024.0
            );
            found
                .figures
                .insert(format!("{workload}: read by {name}"), figure.clone());
            if side == backlot {
                // The input, once; and what programs read to start.
                let most = input_bytes as u64 + (8 << 20);
                found.expect(
                    &format!("{workload}: only that one is read"),
                    figure,
                    read <= most,
                );
            }
        }
        Ok(())
    }
}

/// How many zeros `md5sum` works on for [`WORK`] seconds.
fn bytes_of_work() -> io::Result<u64> {
    const TRIED: u64 = 256 << 20;
    let begun = Instant::now();
    let script = format!("head -c {TRIED} /dev/zero | md5sum");
    let output = Command::new("/bin/sh").args(["-c", &script]).output()?;
    if !output.status.success() {
        return Err(io::Error::other("md5sum failed"));
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of some megabytes"
    )]
    let bytes = (TRIED as f64 * WORK / begun.elapsed().as_secs_f64()) as u64;
    Ok(bytes)
}

fn noise(bytes: usize, stream: usize) -> Vec<u8> {
    let mut random = Random::new(0x5eed, stream as u64);
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend_from_slice(&random.next().to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
