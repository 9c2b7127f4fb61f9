//! Random studios, random publishes, random faults, a virtual clock: whatever happens, it ends clean. Processes die at any effect, stores refuse requests or lose
//! answers, builds fail, releases are withdrawn, cascades undone. A thousand small studios and a large one; built with `BACKLOT_HEAVY=1` in the environment
//! many more, and one of ten thousand assets.
//!
//! All is decided by a seed, so a failing one can be run again alone. Invariants: no release of a cascade twice in a row with
//! the same key, no asset is lost (each is current, or the report says why not), and every journal folds. Deliberately
//! absent: threads; attempts advance one step at a time, in any order.

use std::collections::BTreeSet;
use std::sync::Arc;

use backlot_core::Timestamp;
use backlot_pep::Requirement;
use fastrand::Rng;

use super::drive::{plan, settle_with_summary, state};
use super::studio::{Life, Studio, node};
use crate::{
    Decision, Entry, Expected, FailureKind, Handling, Journal as _, JournalEvent, MemoryJournal, NodeStatus,
    NodeTask, Resolution, ResolveRequest, RunState, Step, plan_revert, schedule,
};

const HEAVY: bool = option_env!("BACKLOT_HEAVY").is_some();
const SEEDS: u64 = if HEAVY { 10_000 } else { 1_000 };
/// How many assets and publishes the large studio has.
const LARGE: (usize, usize) = if HEAVY { (10_000, 1_000) } else { (1_000, 100) };

/// A process that runs a cascade.
struct SimulatedRunner {
    life: Life,
    owner: String,
    state: RunState,
    next: u64,
    tasks: Vec<(usize, NodeTask)>,
}

struct Simulation {
    assets: usize,
    studio: Arc<Studio>,
    random: Rng,
    journals: Vec<Arc<MemoryJournal>>,
    runners: Vec<SimulatedRunner>,
    versions: Vec<(u64, u64)>,
    names: u64,
}

fn name(at: usize) -> String {
    format!("a{at}")
}

impl Simulation {
    fn new(seed: u64, assets: usize) -> Self {
        let (studio, mut random) = (Studio::new(), Rng::with_seed(seed));
        for at in 0..assets {
            studio.behave(&name(at), |behaviour| {
                behaviour.constant = random.u8(..) < 25;
                behaviour.forces = random.u8(..) < 25;
            });
            studio.configure(&name(at), |settings| {
                settings.frozen = random.u8(..) < 8;
                settings.prereleases = random.u8(..) < 60;
                settings.handling = match random.u8(..) {
                    0..8 => Handling::Manual,
                    8..12 => Handling::Outside,
                    _ => Handling::Automatic,
                };
            });
        }
        let mut simulation = Self {
            assets,
            studio,
            random,
            journals: Vec::new(),
            runners: Vec::new(),
            versions: vec![(1, 0); assets],
            names: 0,
        };
        for at in 0..assets {
            simulation.publish(at);
        }
        simulation
    }

    /// A person publishes the next version of an asset, with inputs among those before it.
    fn publish(&mut self, at: usize) {
        let random = &mut self.random;
        let (major, minor) = &mut self.versions[at];
        match random.u8(..) {
            0..20 => (*major, *minor) = (*major + 1, 0),
            _ => *minor += 1,
        }
        let suffix = if random.u8(..) < 10 { "rc1" } else { "" };
        let version = format!("{major}.{minor}.0{suffix}");
        let mut needs = BTreeSet::new();
        if at > 0 {
            needs.extend((0..random.usize(0..4)).map(|_| random.usize(at.saturating_sub(12)..at)));
        }
        let requirements: Vec<String> = needs
            .into_iter()
            .map(|need| match random.u8(..) {
                0..20 => format!("{}<2", name(need)),
                20..30 => format!("{}=={}", name(need), self.studio.newest(&name(need))),
                30..40 => format!("edit:{}", name(need)),
                _ => name(need),
            })
            .collect();
        let requirements: Vec<&str> = requirements.iter().map(String::as_str).collect();
        self.studio.publish(&name(at), &version, &requirements);
    }

    /// Somebody withdraws a release that is not the first of its asset.
    fn withdraw(&mut self) {
        let name = name(self.random.usize(0..self.assets));
        let asset = self.studio.asset(&name).expect("published");
        let versions: Vec<String> = asset.releases.keys().skip(1).map(ToString::to_string).collect();
        if let Some(version) = self.random.choice(versions) {
            if self.random.bool() {
                self.studio.yank(&name, &version);
            } else {
                self.studio.deprecate(&name, &version);
            }
        }
    }

    /// Somebody undoes a cascade, which may still run.
    fn revert(&mut self) {
        let Some(journal) = self.random.choice(&self.journals) else {
            return;
        };
        let plan = state(journal).plan().clone();
        let catalog = self.studio.inner().catalog.clone();
        let Ok(revert) = plan_revert(&catalog, &plan.id, &plan.roots, false) else {
            return;
        };
        for step in revert.steps.iter().filter(|step| !step.done) {
            self.studio
                .yank(step.node.package.as_str(), &step.version.to_string());
        }
        let again = plan_revert(&self.studio.inner().catalog, &plan.id, &plan.roots, false);
        assert!(again.is_ok_and(|again| again.is_done()), "twice is once");
    }

    fn fault(&mut self) {
        let kinds = [FailureKind::Environment, FailureKind::Build, FailureKind::Invalid];
        let (kind, times) = (kinds[self.random.usize(0..3)], self.random.usize(1..4));
        self.studio
            .fail(&name(self.random.usize(0..self.assets)), kind, times);
    }

    /// A new cascade for all that is dirty.
    fn begin(&mut self) {
        let plan = plan(&self.studio, &[]);
        let journal: Arc<MemoryJournal> = Arc::default();
        let event = JournalEvent::planned(&plan);
        let (at, by) = (self.studio.context().now(), "planner".to_owned());
        journal.append(&Entry { at, by, event }).expect("memory");
        self.journals.push(journal);
    }

    /// A process more, for any cascade; it lives for a while.
    fn start_runner(&mut self) {
        let Some(journal) = self.random.choice(&self.journals).cloned() else {
            return;
        };
        let effects = if self.random.bool() {
            self.random.u64(1..60)
        } else {
            u64::MAX
        };
        self.names += 1;
        let mut life = Life::of(&self.studio, &journal, effects);
        if self.random.bool() {
            life = life.with_faults(self.random.u64(..));
        }
        self.runners.push(SimulatedRunner {
            life,
            owner: format!("runner {}", self.names),
            state: state(&journal),
            next: 0,
            tasks: Vec::new(),
        });
    }

    /// One step of one attempt of one process, or a look at what to start.
    fn advance(&mut self) {
        let context = self.studio.context();
        if self.runners.is_empty() {
            return;
        }
        let at = self.random.usize(0..self.runners.len());
        let runner = &mut self.runners[at];
        let mut ended = false;
        if runner.tasks.is_empty() || self.random.u8(..) < 60 {
            runner.look(context.now());
        }
        if !runner.tasks.is_empty() {
            let chosen = self.random.usize(0..runner.tasks.len());
            let (node, task) = &mut runner.tasks[chosen];
            let node = *node;
            match task.step(&runner.life.services(), &context) {
                Ok(Step::More) => {}
                Ok(Step::Over) => drop(runner.tasks.swap_remove(chosen)),
                Ok(Step::Busy(until)) => {
                    drop(runner.tasks.swap_remove(chosen));
                    runner.state.delay(node, until);
                }
                // A process that cannot write its journal ends.
                Err(_) => ended = true,
            }
        }
        if ended || self.runners[at].life.is_dead() {
            self.runners.swap_remove(at);
        }
    }

    fn tick(&mut self) {
        match self.random.u8(..) {
            0..3 => {
                let at = self.random.usize(0..self.assets);
                self.publish(at);
            }
            3 if self.random.bool() => self.revert(),
            3 => self.withdraw(),
            4..7 => self.fault(),
            7..10 => self.begin(),
            10..16 => self.start_runner(),
            // Long enough for leases to run out under attempts that go on afterwards.
            16..24 => {
                let now = self.studio.context().now();
                self.studio
                    .clock
                    .advance_to(Timestamp(now.0 + self.random.u64(0..90_000)));
            }
            _ => (0..4).for_each(|_| self.advance()),
        }
    }
}

impl SimulatedRunner {
    fn look(&mut self, now: Timestamp) {
        let Ok(loaded) = self.life.services().journal.load(self.next) else {
            return;
        };
        for entry in &loaded.entries {
            self.state.apply(entry).expect("an entry of ours");
        }
        self.next = loaded.next;
        let in_flight: BTreeSet<usize> = self.tasks.iter().map(|(at, _)| *at).collect();
        for at in schedule(&self.state, now, &in_flight).start {
            self.tasks.push((at, NodeTask::new(&self.state, at, &self.owner)));
        }
        assert!(self.tasks.len() <= self.state.plan().limits.jobs, "limits hold");
    }
}

/// No two releases of a cascade in a row have the same key, whatever happened to them since.
fn check_releases(studio: &Studio, seed: u64) {
    for asset in studio.inner().catalog.assets() {
        let keys = asset.releases.values().map(|release| {
            let record = release.record()?;
            Some((record.key(&asset.node.package), release.is_automatic()))
        });
        let keys: Vec<_> = keys.collect();
        for pair in keys.windows(2) {
            let twice =
                pair[0].is_some() && pair[0] == pair[1] && pair[1].is_some_and(|(_, automatic)| automatic);
            assert!(!twice, "seed {seed}: a double release of {}", asset.node);
        }
    }
}

/// Each asset that the report does not name is what a fresh build would make.
fn check_nothing_is_lost(studio: &Studio, named: &BTreeSet<crate::NodeId>, seed: u64) {
    let inner = studio.inner();
    for asset in inner
        .catalog
        .assets()
        .filter(|asset| !named.contains(&asset.node))
    {
        let Some(release) = asset.newest() else {
            continue;
        };
        let requirements: Vec<&Requirement> = asset.generative_requirements(release).collect();
        let request = ResolveRequest {
            asset,
            release,
            requirements: &requirements,
            expected: &Expected::new(),
        };
        let Resolution::Chosen(fresh) = inner.resolve(&request) else {
            panic!(
                "seed {seed}: {} has a conflict that the report does not name",
                asset.node
            );
        };
        assert!(
            release.is_valid_for(&fresh.inputs, fresh.recipe),
            "seed {seed}: {} was lost",
            asset.node
        );
    }
}

/// A small studio, of a size of its own.
fn simulate(seed: u64) -> usize {
    let mut simulation = Simulation::new(seed, 8 + usize::try_from(seed % 53).expect("small"));
    for _ in 0..250 {
        simulation.tick();
    }
    simulation.end(seed)
}

impl Simulation {
    /// All processes die; later runners find everything from published state.
    fn end(&mut self, seed: u64) -> usize {
        for journal in &self.journals {
            state(journal);
        }
        self.runners.clear();
        let studio = &self.studio;
        let now = studio.context().now();
        studio.clock.advance_to(Timestamp(now.0 + 120_000));
        let (report, summary) = settle_with_summary(studio);
        check_releases(studio, seed);
        for dirty in report.steps() {
            let status = summary
                .nodes
                .iter()
                .find(|node| node.node == dirty.node)
                .map(|node| &node.status);
            let explained = match dirty.decision {
                Decision::Manual | Decision::Outside => true,
                _ => matches!(
                    status,
                    Some(NodeStatus::Failed { .. } | NodeStatus::Blocked { .. } | NodeStatus::Held { .. })
                ),
            };
            assert!(
                explained,
                "seed {seed}: {} is dirty without a reason: {status:?}",
                dirty.node
            );
        }
        let named = report.nodes.iter().map(|dirty| dirty.node.clone()).collect();
        check_nothing_is_lost(studio, &named, seed);
        studio.inner().commits.len()
    }
}

#[test]
fn whatever_happens_it_ends_clean() {
    let releases: usize = (0..SEEDS).map(simulate).sum();
    assert!(releases > 1_000, "{releases} releases");
}

#[test]
fn a_large_studio_ends_clean() {
    const ROUNDS: usize = 5;
    let (assets, publishes) = LARGE;
    let mut simulation = Simulation::new(1, assets);
    for _ in 0..ROUNDS {
        for _ in 0..publishes / ROUNDS {
            let at = simulation.random.usize(0..assets);
            simulation.publish(at);
        }
        simulation.withdraw();
        simulation.fault();
        simulation.begin();
        for _ in 0..4 {
            simulation.start_runner();
        }
        for _ in 0..assets {
            simulation.advance();
        }
        let now = simulation.studio.context().now();
        simulation.studio.clock.advance_to(Timestamp(now.0 + 90_000));
    }
    simulation.revert();
    let releases = simulation.end(1);
    assert!(releases > publishes, "{releases} releases");
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(simulate(7), simulate(7));
    assert_eq!(node("a1"), node("show/a1"));
}
