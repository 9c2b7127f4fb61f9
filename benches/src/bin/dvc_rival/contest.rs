//! The steps of the contest, repeated from a fresh state, in alternating order.
//!
//! Invariants: both sides start each repetition from a fresh copy of one generated set, in a warm page cache, with nothing
//! dirty; nothing is deleted until the end, since that slows down what comes after; what a side pulled is compared byte for
//! byte with the set, so a figure never stands for wrong work.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backlot_benches::measure::{self, Bench, Sample, say};
use backlot_benches::report::{Ceiling, Row};
use backlot_benches::{Workload, tree};

use fs_err as fs;

use crate::sides::{Place, Side};

/// The steps, in order.
const STEPS: [&str; 6] = [
    "add",
    "push",
    "push, nothing new",
    "add + push, 3 files changed",
    "pull, another project",
    "pull, an installed release",
];
/// How often a start is measured in each repetition: it is short.
const STARTS: usize = 10;
/// How long to wait for other work on the machine to end before a side's turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// Memory that a start uses at most.
const START_MEMORY: u64 = 128 << 20;

/// One bench with its two sides.
pub(crate) struct Contest<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) rival: &'a dyn Side,
    pub(crate) subject: &'a dyn Side,
    pub(crate) repetitions: usize,
}

impl Contest<'_> {
    /// All steps on one workload, and what bounds them.
    pub(crate) fn run(&self, workload: &Workload) -> io::Result<(Vec<Row>, Vec<Ceiling>)> {
        let golden = self.bench.folder.join(workload.name);
        workload.generate(&golden)?;
        let ceilings = self.ceilings(workload, &golden)?;
        let mut samples: [Vec<Vec<Sample>>; 2] = [Vec::new(), Vec::new()];
        for repetition in 0..self.repetitions {
            // Whoever goes first may find the machine in another state; it is not always the same one.
            for turn in 0..2 {
                let who = (repetition + turn) % 2;
                let side = [self.rival, self.subject][who];
                let busy = measure::wait_until_quiet(PATIENCE);
                let steps = self.turn(side, workload, repetition, &golden)?;
                let walls: Vec<String> = steps.iter().map(|s| format!("{:.3}", s.wall)).collect();
                say(&format!(
                    "# {} {} {}: {} s (others used {:.0} % before)\n",
                    workload.name,
                    repetition + 1,
                    side.name(),
                    walls.join(" "),
                    busy * 100.0
                ))?;
                samples[who].push(steps);
            }
        }
        measure::empty_files(&golden)?;
        let rows = STEPS
            .iter()
            .enumerate()
            .map(|(n, step)| Row {
                workload: workload.name.to_owned(),
                step: (*step).to_owned(),
                rival: samples[0].iter().map(|steps| steps[n]).collect(),
                subject: samples[1].iter().map(|steps| steps[n]).collect(),
                ceiling: bound(n, &ceilings),
            })
            .collect();
        Ok((rows, ceilings))
    }

    /// Start-up, without any workload.
    pub(crate) fn starts(&self) -> io::Result<Row> {
        let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
        for (who, side) in [self.rival, self.subject].into_iter().enumerate() {
            let root = self.bench.folder.join(format!("start-{}", side.name()));
            side.prepare(self.bench, &root)?;
            for _ in 0..self.repetitions * STARTS {
                samples[who].push(
                    self.bench
                        .measure(&side.version(self.bench, &root), START_MEMORY)?,
                );
            }
        }
        let [rival, subject] = samples;
        Ok(Row {
            workload: String::new(),
            step: "start-up".to_owned(),
            rival,
            subject,
            ceiling: None,
        })
    }

    /// All steps of one side, from nothing.
    fn turn(
        &self,
        side: &dyn Side,
        workload: &Workload,
        repetition: usize,
        golden: &Path,
    ) -> io::Result<Vec<Sample>> {
        let (bench, memory) = (self.bench, memory_for(workload));
        let root = bench
            .folder
            .join(format!("{}-{}-{repetition}", side.name(), workload.name));
        side.prepare(bench, &root)?;
        let set = side.set(&root);
        tree::copy(golden, &set)?;
        let mut samples = vec![
            bench.measure(&side.add(bench, &root), memory)?,
            bench.measure(&side.push(bench, &root), memory)?,
            bench.measure(&side.push(bench, &root), memory)?,
        ];
        workload.change(&set)?;
        let added = bench.measure(&side.add(bench, &root), memory)?;
        samples.push(added.then(bench.measure(&side.push(bench, &root), memory)?));
        for place in [Place::Project, Place::Installed] {
            let set = side.prepare_place(bench, &root, place)?;
            samples.push(bench.measure(&side.pull(bench, &root, place), memory)?);
            compare(workload, &side.set(&root), &set)?;
        }
        measure::empty_files(&root)?;
        measure::sync()?;
        Ok(samples)
    }

    fn ceilings(&self, workload: &Workload, golden: &Path) -> io::Result<Vec<Ceiling>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let from = golden.display();
        let md5 = format!("find '{from}' -type f -print0 | xargs -0 -n 16 -P {cores} md5sum >/dev/null");
        let all = [
            (format!("md5sum, {cores} processes"), md5),
            ("cp -r".to_owned(), format!("cp -r '{from}' \"$0\"")),
            (
                "cp -r + sync".to_owned(),
                format!("cp -r '{from}' \"$0\" && sync -f \"$0\""),
            ),
        ];
        let mut ceilings = Vec::new();
        for (what, script) in all {
            measure::wait_until_quiet(PATIENCE);
            let mut samples = Vec::new();
            for repetition in 0..self.repetitions {
                let name = format!("copy-{}-{}-{repetition}", workload.name, ceilings.len());
                let copy = self.bench.folder.join(name);
                let mut command = Command::new("sh");
                command
                    .args(["-c", &script])
                    .arg(&copy)
                    .current_dir(&self.bench.folder)
                    .env("PATH", "/usr/bin:/bin");
                samples.push(self.bench.measure(&command, memory_for(workload))?);
                if copy.exists() {
                    measure::empty_files(&copy)?;
                }
            }
            ceilings.push(Ceiling {
                workload: workload.name.to_owned(),
                what,
                samples,
            });
        }
        Ok(ceilings)
    }
}

/// Memory that a step uses at most, the page cache of two copies of the set included.
fn memory_for(workload: &Workload) -> u64 {
    2 * workload.bytes() + (1 << 30)
}

/// What bounds a step: hashing or copying for an add, a copy on the disk for a push, two copies (cache and workspace) for
/// a pull that can be edited, one for a pull that shares the cache's.
fn bound(step: usize, ceilings: &[Ceiling]) -> Option<(String, f64)> {
    let [md5, copy, durable] = ceilings else {
        return None;
    };
    let wall = |ceiling: &Ceiling| Sample::median(&ceiling.samples).wall;
    match step {
        0 if wall(md5) > wall(copy) => Some((md5.what.clone(), wall(md5))),
        0 | 5 => Some((copy.what.clone(), wall(copy))),
        1 => Some((durable.what.clone(), wall(durable))),
        4 => Some((format!("2 x {}", copy.what), 2.0 * wall(copy))),
        _ => None,
    }
}

/// What was pulled is what was added, byte for byte.
fn compare(workload: &Workload, added: &Path, pulled: &Path) -> io::Result<()> {
    for file in 0..workload.files {
        let (a, b) = (workload.path(added, file), workload.path(pulled, file));
        if !tree::same_bytes(&a, &b)? {
            return Err(io::Error::other(format!(
                "`{}` is not what was added",
                b.display()
            )));
        }
    }
    let count = fs::read_dir(pulled)?.count();
    if count == workload.files {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{count} files were pulled, not {}",
            workload.files
        )))
    }
}
