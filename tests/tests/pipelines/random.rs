//! Random pipelines, run by real dvc and by Backlot: the same stages run, are restored or skipped, for the same first
//! reason and with the same commands; locks and files have the same bytes; and each continues at any point with the results of the
//! other. 20 pipelines; built with `BACKLOT_HEAVY=1` in the environment 200. `BACKLOT_SEEDS=3,17` selects pipelines.
//!
//! Known differences, each a fault or a gap of dvc: a failed stage keeps its previous outputs; a result whose
//! newest files are missing, or that an edited lock does not name, is restored if the cache has it; complete outputs without a cache
//! need no run, and are not restored from a time when they had one.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use backlot_core::Context;
use backlot_dvc::Error;
use backlot_dvc::pipeline::run::{
    LocalExecutor, Outcome, Plan, Planned, PlannedStage, Project, Report, RunOptions, plan, reproduce,
};
use backlot_dvc::pipeline::{
    Change, KeyChange, Output, OutputKind, ParameterChange, PathChange, Reach, Stage,
};
use backlot_store::{Cache, StatCache};
use backlot_tests::random_pipelines::{RandomPipeline, Step};
use backlot_tests::real_dvc::{RealDvc, Said};
use fs_err as fs;

const PIPELINES: u64 = if option_env!("BACKLOT_HEAVY").is_some() {
    200
} else {
    20
};
/// Changes and runs after the first run.
const ROUNDS: usize = 4;

/// What a run of `repro` came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    failed: bool,
    ran: BTreeSet<String>,
    restored: BTreeSet<String>,
    skipped: BTreeSet<String>,
    /// Lines for a shell, of each stage that has some.
    commands: BTreeMap<String, Vec<String>>,
    /// The first reason of each stage that has one, in dvc's words.
    why: BTreeMap<String, String>,
}

/// What dvc said, read.
fn read(said: &Said) -> Seen {
    let mut seen = Seen {
        failed: said.code != 0,
        ..Seen::default()
    };
    let name = |line: &str, before: &str, after: &str| {
        let inner = line.strip_prefix(before)?.strip_suffix(after)?;
        Some(inner.to_owned())
    };
    let mut running = String::new();
    for line in said.text.lines() {
        if let Some(stage) = name(line, "Running stage '", "':") {
            running.clone_from(&stage);
            seen.ran.insert(stage);
        } else if let Some(stage) = name(
            line,
            "Stage '",
            "' is cached - skipping run, checking out outputs",
        ) {
            seen.restored.insert(stage);
        } else if let Some(stage) = name(line, "Stage '", "' didn't change, skipping") {
            seen.skipped.insert(stage);
        } else if let Some(command) = line.strip_prefix("> ") {
            let commands = seen.commands.entry(running.clone()).or_default();
            commands.push(command.to_owned());
        } else if let Some((_, reason)) = line.split_once(" DEBUG: ")
            && (reason.contains(" changed because it is '") || reason.starts_with("'cmd' of stage: '"))
            && let Some((_, stage)) = reason.split_once("stage: '")
            && let Some((stage, _)) = stage.split_once('\'')
        {
            let reason = reason.trim_end_matches('.').to_owned();
            seen.why.entry(stage.to_owned()).or_insert(reason);
        }
    }
    seen
}

/// A reason in dvc's words; `None` for those that it does not tell.
fn in_dvcs_words(stage: &str, change: &Change) -> Option<String> {
    let path = |change: &PathChange| match change {
        PathChange::Modified => "modified".to_owned(),
        PathChange::Missing => "deleted".to_owned(),
        PathChange::NotCached => "not in cache".to_owned(),
    };
    let key = |change: &KeyChange| match change {
        KeyChange::New => "new",
        KeyChange::Modified => "modified",
        KeyChange::Missing | KeyChange::Removed => "deleted",
    };
    let (kind, name, how) = match change {
        Change::Command => return Some(format!("'cmd' of stage: '{stage}' has changed")),
        Change::Callback | Change::Always => return None,
        Change::Dependency(name, change) => ("Dependency", name, path(change)),
        Change::Output(name, change) => ("Output", name, path(change)),
        Change::Parameters(name, ParameterChange::New) => ("Dependency", name, "new".to_owned()),
        Change::Parameters(name, ParameterChange::Missing) => ("Dependency", name, "deleted".to_owned()),
        Change::Parameters(name, ParameterChange::Keys(keys)) => {
            let keys = keys
                .iter()
                .map(|(name, change)| format!("'{name}': '{}'", key(change)));
            let keys: Vec<String> = keys.collect();
            ("Dependency", name, format!("{{{}}}", keys.join(", ")))
        }
    };
    Some(format!(
        "{kind} '{name}' of stage: '{stage}' changed because it is '{how}'"
    ))
}

fn options(arguments: &[String]) -> RunOptions {
    let mut options = RunOptions::default();
    let mut targets = Vec::new();
    for argument in arguments {
        options = match argument.as_str() {
            "-f" => options.force(true),
            "--force-downstream" => options.force_downstream(true),
            "-k" => options.keep_going(true),
            "--no-commit" => options.no_commit(true),
            "--no-run-cache" => options.no_run_cache(true),
            "--allow-missing" => options.allow_missing(true),
            "--glob" => options.glob(true),
            "-s" => options.reach(Reach::Only),
            "--downstream" => options.reach(Reach::Downstream),
            "-p" => options.reach(Reach::Connected),
            "-P" => options.reach(Reach::Everything),
            target => {
                targets.push(target.to_owned());
                options
            }
        };
    }
    options.targets(targets)
}

fn with_project<T>(root: &Path, act: impl FnOnce(&Project<'_>) -> T) -> T {
    let state = root.with_extension("state");
    fs::create_dir_all(&state).expect("made");
    let cache = Cache::open(&root.join(".dvc/cache")).expect("opened");
    let stat = StatCache::open(&state.join("stat.db"))
        .expect("opened")
        .beside(&cache);
    act(&Project::new(root, &state, &cache, &stat))
}

/// What we did in a project.
struct Ours {
    /// What we said before.
    planned: Plan,
    report: Report,
    /// Stages with data that does not go into the cache.
    uncached: BTreeSet<String>,
}

/// Run in a project; `Err` if the definitions are refused.
fn ours(root: &Path, options: &RunOptions) -> Result<Ours, Error> {
    let environment = [("PATH".into(), "/usr/bin:/bin".into())];
    let executor = LocalExecutor::new(environment);
    with_project(root, |project| {
        let graph = project.graph(&Context::default())?;
        let is_uncached = |out: &Output| !out.cache && out.kind == OutputKind::Data;
        let stages = graph.pipelines().stages.iter();
        let uncached = stages.filter(|stage| stage.outs.iter().any(is_uncached));
        Ok(Ours {
            uncached: uncached.map(Stage::address).collect(),
            planned: plan(project, options, &Context::default())?,
            report: reproduce(project, options, &executor, &Context::default())?,
        })
    })
}

fn seen(report: &Report) -> Seen {
    let mut seen = Seen::default();
    for stage in &report.stages {
        let name = stage.stage.clone();
        match stage.outcome {
            Outcome::Ran => drop(seen.ran.insert(name)),
            Outcome::Restored => drop(seen.restored.insert(name)),
            Outcome::Skipped => drop(seen.skipped.insert(name)),
            Outcome::Failed => {
                seen.failed = true;
                if !stage.commands.is_empty() {
                    seen.ran.insert(name);
                }
            }
            _ => {}
        }
        if !stage.commands.is_empty() {
            seen.commands.insert(stage.stage.clone(), stage.commands.clone());
        }
        if let Some(change) = stage.changes.first() {
            let why = in_dvcs_words(&stage.stage, change);
            seen.why.extend(why.map(|why| (stage.stage.clone(), why)));
        }
    }
    seen
}

/// Whether all that a stage lacks is content of its outputs in the cache.
fn is_lost(planned: &PlannedStage) -> bool {
    let mut changes = planned.changes.iter();
    changes.all(|change| matches!(change, Change::Output(_, PathChange::NotCached)))
}

/// A plan came true.
fn assert_true(planned: &Plan, report: &Report) {
    for stage in &report.stages {
        let Some(planned) = planned.get(&stage.stage) else {
            panic!("`{}` was not planned", stage.stage);
        };
        let outcome = stage.outcome;
        let is_open = !planned.because.is_empty();
        let expected = match planned.action {
            _ if outcome == Outcome::NotStarted => true,
            // What one stage lost from the cache, another one may bring back.
            Planned::Run | Planned::Record if is_lost(planned) => true,
            Planned::Run if is_open => outcome != Outcome::Skipped,
            Planned::Run => matches!(outcome, Outcome::Ran | Outcome::Failed),
            Planned::MayRun => true,
            Planned::Restore => outcome == Outcome::Restored,
            Planned::Record => outcome == Outcome::Recorded,
            Planned::Skip => outcome == Outcome::Skipped,
            Planned::Fail => outcome == Outcome::Failed,
            Planned::Drop => outcome == Outcome::Dropped,
            _ => false,
        };
        // What fails takes what was to come after it along.
        let is_dropped = outcome == Outcome::Dropped;
        assert!(expected || is_dropped, "{planned:?}\n{stage:?}");
    }
}

/// Take out what differs and is as it should be. Files and locks have to be the same all the same.
fn without_known_differences(mut theirs: Seen, seen: &mut Seen, ours: &Ours) -> Seen {
    for stage in &ours.report.stages {
        let name = &stage.stage;
        let is_output = matches!(stage.changes.first(), Some(Change::Output(..)));
        if theirs.ran.contains(name) && seen.restored.contains(name) && is_output {
            theirs.ran.remove(name);
            theirs.restored.insert(name.clone());
            theirs.commands.remove(name);
        }
        if theirs.restored.contains(name) && seen.ran.contains(name) && ours.uncached.contains(name) {
            seen.ran.remove(name);
            seen.restored.insert(name.clone());
            seen.commands.remove(name);
        }
    }
    theirs
}

/// The files of a project but for dvc's own.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = backlot_tests::snapshot(root);
    files.retain(|path, _| !path.starts_with(".dvc/"));
    files
}

fn shell(folder: &Path, command: &str) {
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .status();
    assert!(status.expect("started").success(), "{command}");
}

/// Two copies of a project.
struct Twins {
    /// Where dvc runs now, then where we run.
    roots: [PathBuf; 2],
    dvc_text: String,
    _folder: tempfile::TempDir,
}

impl Twins {
    fn new(pipeline: &RandomPipeline) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().canonicalize().expect("a path");
        let roots = ["a", "b"].map(|name| top.join(name));
        let twins = Self {
            roots,
            dvc_text: String::new(),
            _folder: folder,
        };
        for root in &twins.roots {
            RealDvc::init(root);
        }
        for (path, text) in &pipeline.files {
            twins.write(path, text);
        }
        twins
    }

    fn write(&self, path: &str, text: &str) {
        for root in &self.roots {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::remove_file(&path).ok();
            fs::write(path, text).expect("written");
        }
    }

    fn step(&mut self, step: &Step, dvc: &mut RealDvc) {
        match step {
            Step::Write(path, text) => self.write(path, text),
            Step::Shell(command) => self.roots.iter().for_each(|root| shell(root, command)),
            Step::Lock(edit) => {
                for root in &self.roots {
                    let path = root.join("dvc.lock");
                    let Ok(text) = fs::read_to_string(&path) else {
                        continue;
                    };
                    match edit.apply(&text) {
                        None => fs::remove_file(path).expect("removed"),
                        Some(text) => fs::write(path, text).expect("written"),
                    }
                }
            }
            Step::Swap => self.roots.reverse(),
            Step::Repro(arguments) => self.repro(arguments, dvc),
        }
    }

    fn repro(&mut self, arguments: &[String], dvc: &mut RealDvc) {
        let [there, here] = &self.roots;
        let before = files(here);
        let mut words = vec!["repro", "-v"];
        words.extend(arguments.iter().map(String::as_str));
        let said = dvc.call(there, &words);
        let theirs = read(&said);
        self.dvc_text = said.text;
        // One at a time where a failure stops the others, or where one stage brings content back that another one lost, too.
        let is_lost = theirs.why.values().any(|why| why.contains("not in cache"));
        let jobs = if theirs.failed || is_lost { 1 } else { 3 };
        let options = options(arguments).jobs(jobs);
        let (seen, theirs) = match ours(here, &options) {
            Err(Error::Pipeline(error)) => {
                assert!(
                    theirs.failed && theirs.commands.is_empty(),
                    "only we refuse it: {error}"
                );
                (Seen::default(), Seen::default())
            }
            Err(error) => panic!("{error:?}"),
            Ok(ours) => {
                assert_true(&ours.planned, &ours.report);
                let mut seen = seen(&ours.report);
                let mut theirs = without_known_differences(theirs, &mut seen, &ours);
                if options.force || options.force_downstream {
                    // A stage that is forced has no other reason.
                    theirs.why.retain(|stage, _| seen.why.contains_key(stage));
                    seen.why.retain(|stage, _| theirs.why.contains_key(stage));
                }
                (seen, theirs)
            }
        };
        assert_eq!(seen, theirs, "we are the first");
        let (now, then) = (files(here), files(there));
        for path in now.keys().chain(then.keys()) {
            let (ours, theirs) = (now.get(path), then.get(path));
            // What a failed stage was to make stays as it was.
            let is_kept = seen.failed && ours == before.get(path) && !path.ends_with("dvc.lock");
            assert!(
                ours == theirs || is_kept,
                "{path}: {:?}, dvc {:?}",
                ours.map(|bytes| String::from_utf8_lossy(bytes)),
                theirs.map(|bytes| String::from_utf8_lossy(bytes))
            );
        }
        if seen.failed {
            let clear = "find . -mindepth 1 -maxdepth 1 ! -name .dvc -exec rm -rf {} +";
            let copy = format!("cp -a {}/* .", there.display());
            shell(here, &format!("{clear}; {copy}"));
        }
    }

    /// dvc says the same of both, and we too.
    fn compare_states(&mut self, dvc: &mut RealDvc) {
        let said = self.roots.each_ref().map(|root| dvc.call(root, &["status"]).text);
        self.dvc_text.clone_from(&said[0]);
        assert_eq!(said[1], said[0], "`dvc status` says other things of what we made");
        let options = options(&["-P".to_owned()]);
        let plans = self.roots.each_ref().map(|root| {
            let planned = with_project(root, |project| plan(project, &options, &Context::default()));
            planned
                .map(|planned| planned.stages)
                .map_err(|error| error.to_string())
        });
        assert_eq!(plans[1], plans[0], "we say other things of what dvc made");
        if said[0].contains("up to date") {
            let stages = plans[0].as_ref().expect("a plan");
            let others: Vec<_> = stages
                .iter()
                .filter(|stage| stage.action != Planned::Skip)
                .collect();
            assert!(others.is_empty(), "dvc says that all is up to date: {others:#?}");
        }
    }
}

/// Try a pipeline. Returns whether dvc says at the end that all is up to date.
fn try_pipeline(seed: u64, dvc: &mut RealDvc) -> Result<bool, String> {
    let pipeline = RandomPipeline::new(seed, ROUNDS);
    let mut twins = Twins::new(&pipeline);
    let mut at = 0;
    let tried = catch_unwind(AssertUnwindSafe(|| {
        for step in &pipeline.steps {
            twins.step(step, dvc);
            at += 1;
        }
        twins.compare_states(dvc);
    }));
    match tried {
        Ok(()) => Ok(twins.dvc_text.contains("up to date")),
        Err(panic) => {
            let plain = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .or(plain)
                .unwrap_or_default();
            let definitions = fs::read_to_string(twins.roots[0].join("dvc.yaml")).unwrap_or_default();
            let steps: Vec<String> = pipeline.steps[..pipeline.steps.len().min(at + 1)]
                .iter()
                .filter(|step| !matches!(step, Step::Write(path, _) if path.ends_with("dvc.yaml")))
                .map(|step| format!("{step:?}"))
                .collect();
            Err(format!(
                "seed {seed}, after {at} steps: {message}\n{}\n{definitions}\ndvc said:\n{}",
                steps.join("\n"),
                twins.dvc_text
            ))
        }
    }
}

/// Try pipelines on all cores. Returns how many were up to date at the end.
fn try_all(seeds: &[u64]) -> u64 {
    let (next, current) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(seeds.len()) {
            scope.spawn(|| {
                let mut dvc = RealDvc::start();
                loop {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("small");
                    let Some(seed) = seeds.get(at) else { return };
                    match try_pipeline(*seed, &mut dvc) {
                        Ok(is_current) => drop(current.fetch_add(u64::from(is_current), Ordering::Relaxed)),
                        Err(failure) => failures.lock().expect("no panic").push((*seed, failure)),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic");
    failures.sort();
    let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).collect();
    let first = failures.first().map_or("", |(_, failure)| failure.as_str());
    assert!(failures.is_empty(), "seeds {seeds:?} differ. {first}");
    current.into_inner()
}

#[test]
fn random_pipelines_come_to_the_same_as_with_real_dvc() {
    #[expect(clippy::disallowed_methods, reason = "single seeds are tried by hand")]
    let chosen = std::env::var("BACKLOT_SEEDS").ok();
    let Some(chosen) = chosen else {
        let seeds: Vec<u64> = (1..=PIPELINES).collect();
        let current = try_all(&seeds);
        assert!(
            current > PIPELINES / 4,
            "only {current} were up to date at the end"
        );
        return;
    };
    let seeds: Vec<u64> = chosen.split(',').filter_map(|seed| seed.parse().ok()).collect();
    try_all(&seeds);
}

/// Seeds that once differed.
#[test]
fn frozen_stages_are_recorded_once_and_as_planned() {
    try_all(&[26, 35, 46]);
}
