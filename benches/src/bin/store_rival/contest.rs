//! The steps of the contest, repeated from a fresh state, each repetition in another order.
//!
//! Invariants: all contestants start from a fresh copy of one generated set, in a warm page cache, with nothing dirty;
//! nothing is deleted until the end, since that slows down what comes after; what was got is compared byte for byte, so a
//! figure never stands for wrong work. A contestant that fails is left out of the rest of its turn and named in the report.

use std::io;
use std::path::Path;
use std::time::Duration;

use backlot_benches::measure::{self, Bench, say};
use backlot_benches::tree::Inventory;

use crate::contestants::{Contestant, Place};
use crate::report::{Figures, Report, Row, SetSummary};
use crate::sets::{Made, Set};

/// One bench with its contestants.
pub(crate) struct Contest<'a> {
    pub(crate) bench: &'a Bench,
    /// In the order of the tables.
    pub(crate) contestants: &'a [Box<dyn Contestant>],
    pub(crate) repetitions: usize,
    /// How long to wait for other work on the machine to end before a turn.
    pub(crate) patience: Duration,
    /// Memory to warm before a step beside what the set takes.
    pub(crate) spare_memory: u64,
}

/// A step's place in the tables, its name, whose it is and what it cost.
type Step = (usize, String, String, Figures);

impl Contest<'_> {
    /// All steps of all contestants on one set.
    pub(crate) fn run(&self, set: &Set, report: &mut Report) -> io::Result<()> {
        let golden = self.bench.folder.join(set.name);
        let made = set.make(&golden)?;
        report.sets.push(SetSummary {
            name: set.name.to_owned(),
            stands_for: set.stands_for.to_owned(),
            files: made.files,
            bytes: made.bytes,
        });
        let mut rows: Vec<((usize, usize), Row)> = Vec::new();
        for repetition in 0..self.repetitions {
            for turn in 0..self.contestants.len() {
                // Whoever goes first may find the machine in another state; it is not always the same one.
                let who = (repetition * 3 + turn) % self.contestants.len();
                let contestant = &*self.contestants[who];
                let mut steps = Vec::new();
                let busy = self.wait();
                let result = self.turn(contestant, &made, repetition, &mut steps);
                let walls: Vec<String> = steps
                    .iter()
                    .map(|(_, _, _, figures)| format!("{:.3}", figures.sample.wall))
                    .collect();
                say(&format!(
                    "# {} {} {}: {} s{busy}\n",
                    set.name,
                    repetition + 1,
                    contestant.name(),
                    walls.join(" "),
                ))?;
                if let Err(error) = result {
                    let failure = format!("{} on {}: {error}", contestant.name(), set.name);
                    say(&format!("# failed: {failure}\n"))?;
                    report.failures.push(failure);
                }
                for (order, step, name, figures) in steps {
                    let place = (order, who);
                    let found = rows
                        .iter_mut()
                        .find(|(at, row)| *at == place && row.contestant == name);
                    if let Some((_, row)) = found {
                        row.figures.push(figures);
                    } else {
                        let row = Row {
                            workload: set.name.to_owned(),
                            step,
                            contestant: name,
                            figures: vec![figures],
                        };
                        rows.push((place, row));
                    }
                }
            }
        }
        measure::empty_files(&golden)?;
        rows.sort_by_key(|(place, _)| *place);
        report.rows.extend(rows.into_iter().map(|(_, row)| row));
        Ok(())
    }

    /// Wait for a quiet machine; how quiet it became, in words.
    fn wait(&self) -> String {
        if self.patience.is_zero() {
            return String::new();
        }
        let busy = measure::wait_until_quiet(self.patience);
        format!(" (others used {:.0} % before)", busy * 100.0)
    }

    /// All steps of one contestant, from nothing.
    fn turn(
        &self,
        contestant: &dyn Contestant,
        made: &Made<'_>,
        repetition: usize,
        steps: &mut Vec<Step>,
    ) -> io::Result<()> {
        let folder = format!(
            "{}-{}-{repetition}",
            contestant.name().replace([' ', '+'], ""),
            made.set.name
        );
        let root = self.bench.folder.join(folder);
        contestant.prepare(self.bench, &root)?;
        let result = self.steps(contestant, made, &root, steps);
        measure::empty_files(&root)?;
        measure::sync()?;
        result
    }

    fn steps(
        &self,
        contestant: &dyn Contestant,
        made: &Made<'_>,
        root: &Path,
        steps: &mut Vec<Step>,
    ) -> io::Result<()> {
        // A step fills the page cache with up to two copies of the set; with no more than that warm, it still meets cold
        // pages, and a put took half as long again.
        let memory = 4 * made.bytes + self.spare_memory;
        let (remote, set) = (contestant.remote(root), contestant.set(root));
        for (version, (name, _)) in made.set.versions.iter().enumerate() {
            made.apply(version, &set)?;
            let Some(put) = contestant.put(self.bench, root, name, version == 0) else {
                break;
            };
            let before = Inventory::of(&remote)?;
            let sample = self.bench.measure(&put, memory)?;
            let after = Inventory::of(&remote)?;
            let figures = Figures {
                sample,
                stored: after.bytes(),
                sent: after.written_since(&before),
                objects: after.files(),
            };
            let who = contestant.name().to_owned();
            steps.push((2 * version, format!("put {name}"), who, figures));
            if !made.set.gets {
                continue;
            }
            for place in contestant.places() {
                // Who uses a release gets the first version only.
                if version > 0 && *place == Place::Installed {
                    continue;
                }
                let got = contestant.prepare_get(self.bench, root, *place)?;
                let get = contestant.get(self.bench, root, *place, name);
                let figures = Figures {
                    sample: self.bench.measure(&get, memory)?,
                    ..Figures::default()
                };
                made.compare(version, &got)?;
                let (who, state) = (
                    match place {
                        Place::Project => contestant.name().to_owned(),
                        Place::Installed => format!("{}, a release", contestant.name()),
                    },
                    if version == 0 {
                        "empty place"
                    } else {
                        "v1 is there"
                    },
                );
                steps.push((2 * version + 1, format!("get {name}, {state}"), who, figures));
            }
        }
        Ok(())
    }
}
