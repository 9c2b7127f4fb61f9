//! The steps of the contest, repeated from a fresh state, in alternating order.
//!
//! Invariants: each repetition of a side starts in a new place; a cold step has an empty cache of the tool (the page cache
//! of the system is warm for both), a warm one the cache that the cold one left; what is chosen and installed is checked,
//! so a figure never stands for wrong work. Nothing is deleted until the end.

use std::io;
use std::path::Path;
use std::time::Duration;

use backlot_benches::measure::{self, Bench, Sample, say};
use backlot_benches::report::Row;
use fs_err as fs;

use crate::assets::Studio;
use crate::sides::{Side, Source};

const RESOLVES: [&str; 2] = ["resolve, cold", "resolve, warm"];
const INSTALLS: [&str; 3] = [
    "install, cold",
    "install, warm, hard links",
    "install, nothing to do",
];
/// Memory that a step uses at most.
const MEMORY: u64 = 512 << 20;
/// How often a short step is repeated in each repetition.
const SHORT: usize = 5;

/// One bench with its two sides.
pub(crate) struct Contest<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) sides: [&'a dyn Side; 2],
    pub(crate) repetitions: usize,
    /// How long to wait for other work on the machine to end before a side's turn.
    pub(crate) patience: Duration,
}

impl Contest<'_> {
    /// All steps on one studio found one way.
    pub(crate) fn run(&self, studio: &Studio, source: &Source, install: bool) -> io::Result<Vec<Row>> {
        let way = match source {
            Source::Folder(_) => "folder",
            Source::Http(_) => "HTTP",
        };
        let workload = format!("{} of {}, {way}", studio.name, studio.releases());
        let steps: Vec<&str> = if install {
            RESOLVES.into_iter().chain(INSTALLS).collect()
        } else {
            RESOLVES.to_vec()
        };
        let mut samples: [Vec<Vec<Sample>>; 2] = Default::default();
        for who in &mut samples {
            who.resize(steps.len(), Vec::new());
        }
        for repetition in 0..self.repetitions {
            // Whoever goes first may find the machine in another state; it is not always the same one.
            for turn in 0..2 {
                let who = (repetition + turn) % 2;
                measure::wait_until_quiet(self.patience);
                let side = self.sides[who];
                let root =
                    self.bench
                        .folder
                        .join(format!("{}-{}-{way}-{repetition}", side.name(), studio.name));
                let found = self.turn(side, &root, studio, source, install)?;
                say(&format!(
                    "# {workload} {} {}: {}\n",
                    repetition + 1,
                    side.name(),
                    walls(&found)
                ))?;
                for (all, some) in samples[who].iter_mut().zip(found) {
                    all.extend(some);
                }
            }
        }
        let [rival, subject] = samples;
        let rows = steps.iter().zip(rival.into_iter().zip(subject));
        Ok(rows
            .map(|(step, (rival, subject))| Row {
                workload: workload.clone(),
                step: (*step).to_owned(),
                rival,
                subject,
                ceiling: None,
            })
            .collect())
    }

    /// All steps of one side, from nothing; the samples of each step.
    fn turn(
        &self,
        side: &dyn Side,
        root: &Path,
        studio: &Studio,
        source: &Source,
        install: bool,
    ) -> io::Result<Vec<Vec<Sample>>> {
        let bench = self.bench;
        let (cache, place) = (root.join("cache"), root.join("place"));
        // Whoever meets a file first after it was written waits for the system, not for the tool.
        let before = root.join("before");
        side.prepare(bench, &before, source)?;
        bench.run(&mut side.resolve(bench, &before, &root.join("before-cache"), source))?;
        side.prepare(bench, &place, source)?;
        let cold = bench.measure(&side.resolve(bench, &place, &cache, source), MEMORY)?;
        let mut warm = Vec::new();
        for n in 0..SHORT {
            let place = root.join(format!("place-{n}"));
            side.prepare(bench, &place, source)?;
            warm.push(bench.measure(&side.resolve(bench, &place, &cache, source), MEMORY)?);
            check(&side.chosen(&place)?, studio)?;
        }
        let mut all = vec![vec![cold], warm];
        if install {
            let cache = root.join("wheels");
            for place in [root.join("first"), root.join("second")] {
                side.prepare(bench, &place, source)?;
                let install = side.install(bench, &place, &cache, source);
                all.push(vec![bench.measure(&install, MEMORY)?]);
                check_installed(&side.site_packages(&place)?, studio)?;
            }
            let place = root.join("second");
            let again = || bench.measure(&side.install(bench, &place, &cache, source), MEMORY);
            all.push((0..SHORT).map(|_| again()).collect::<io::Result<_>>()?);
        }
        Ok(all)
    }
}

fn walls(steps: &[Vec<Sample>]) -> String {
    let wall = |samples: &Vec<Sample>| format!("{:.3}", Sample::median(samples).wall);
    steps.iter().map(wall).collect::<Vec<_>>().join(" ")
}

/// Every package is chosen, once.
fn check(chosen: &[String], studio: &Studio) -> io::Result<()> {
    let expected = studio.packages + 1;
    if chosen.len() == expected {
        return Ok(());
    }
    let count = chosen.len();
    Err(io::Error::other(format!(
        "{count} packages were chosen, not {expected}"
    )))
}

fn check_installed(site_packages: &Path, studio: &Studio) -> io::Result<()> {
    let mut modules = 0;
    for entry in fs::read_dir(site_packages)? {
        modules += usize::from(entry?.path().join("__init__.py").is_file());
    }
    if modules > studio.packages {
        return Ok(());
    }
    Err(io::Error::other(format!("{modules} modules were installed")))
}
