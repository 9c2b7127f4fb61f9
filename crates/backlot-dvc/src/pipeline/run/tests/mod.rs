//! Tests of runs: DVC's cases, many quick stages, failures, stops, and what is known from before.

mod behaviour;
pub(in crate::pipeline) mod golden;
mod many;
mod planning;
mod recovery;
mod results;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use backlot_core::{Context, Event, Observer};
use backlot_store::{Cache, StatCache};
use fs_err as fs;

use super::{LocalExecutor, Outcome, Plan, Project, Report, RunOptions};
use crate::error::Result;

/// A project in a temporary folder.
pub(super) struct Bench {
    _temporary: tempfile::TempDir,
    pub(super) root: PathBuf,
    pub(super) state: PathBuf,
    pub(super) cache: Cache,
    pub(super) stat: StatCache,
    pub(super) context: Context,
    pub(super) events: Arc<Events>,
}

/// What was observed.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn event(&self, event: &Event) {
        self.0.lock().expect("no panic").push(event.clone());
    }
}

impl Events {
    /// What is observed from now on, and what was until now.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

/// The environment of commands in tests.
pub(super) fn environment() -> Vec<(OsString, OsString)> {
    vec![("PATH".into(), "/usr/bin:/bin".into())]
}

impl Bench {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        let top = temporary.path().canonicalize().expect("a path");
        let (root, state) = (top.join("project"), top.join("state"));
        fs::create_dir_all(&root).expect("made");
        fs::create_dir_all(&state).expect("made");
        let cache = Cache::open(&top.join("cache")).expect("opened");
        let events = Arc::<Events>::default();
        let bench = Self {
            stat: StatCache::open(&state.join("stat.db"))
                .expect("opened")
                .beside(&cache),
            context: Context::default().with_observer(events.clone()),
            _temporary: temporary,
            root,
            state,
            cache,
            events,
        };
        for (path, text) in files {
            bench.write(path, text);
        }
        bench
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    pub(super) fn project(&self) -> Project<'_> {
        Project::new(&self.root, &self.state, &self.cache, &self.stat)
    }

    pub(super) fn run(&self, options: &RunOptions) -> Result<Report> {
        super::reproduce(
            &self.project(),
            options,
            &LocalExecutor::new(environment()),
            &self.context,
        )
    }

    pub(super) fn repro(&self) -> Report {
        self.run(&options()).expect("reproduced")
    }

    pub(super) fn known_results(&self) -> Vec<super::KnownResult> {
        super::known_results(&self.project(), &options(), &self.context).expect("looked for")
    }

    pub(super) fn plan(&self, options: &RunOptions) -> Plan {
        super::plan(&self.project(), options, &self.context).expect("planned")
    }

    /// The state folder has nothing that only an interrupted run leaves.
    pub(super) fn assert_nothing_aside(&self) {
        let aside = fs::read_dir(self.state.join("aside"));
        assert_eq!(aside.map_or(0, Iterator::count), 0);
        assert_no_temporaries(&self.root);
    }
}

fn assert_no_temporaries(folder: &Path) {
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(!name.starts_with(".tmp-"), "{}", path.display());
        if path.is_dir() {
            assert_no_temporaries(&path);
        }
    }
}

/// Two at a time, so that orders differ from run to run.
pub(super) fn options() -> RunOptions {
    RunOptions::default().jobs(2)
}

/// Stages with their outcomes, as `name: outcome`.
pub(super) fn outcomes(report: &Report) -> Vec<String> {
    let stages = report.stages.iter();
    stages
        .map(|stage| format!("{}: {}", stage.stage, stage.outcome.as_str()))
        .collect()
}

/// All stages had this outcome.
#[track_caller]
pub(super) fn assert_all(report: &Report, outcome: Outcome) {
    let others: Vec<_> = report
        .stages
        .iter()
        .filter(|stage| stage.outcome != outcome)
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}
