//! Cases that real DVC 3.67.1 was driven through (`fixtures/pipelines`), step by step: the same stages run, are restored or
//! skipped, for the same first reason, and the lock has the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value as Json;

use super::bench::{Bench, Options, Report};
use crate::pipeline::{
    Change, KeyChange, Lock, LockEntry, ParameterChange, PathChange, PipelineError, run_cache,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pipelines")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("listed").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

fn texts(value: &Json) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut texts: Vec<String> = items
        .iter()
        .filter_map(|item| item.as_str().map(ToOwned::to_owned))
        .collect();
    texts.sort();
    texts
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort();
    texts
}

/// A reason in DVC's words; `None` for those that DVC does not tell.
fn in_dvcs_words((stage, change): &(String, Change)) -> Option<String> {
    let path = |change: &PathChange| match change {
        PathChange::Modified => "modified",
        PathChange::Missing => "deleted",
        PathChange::NotCached => "not in cache",
    };
    let key = |change: &KeyChange| match change {
        KeyChange::New => "new",
        KeyChange::Modified => "modified",
        KeyChange::Missing | KeyChange::Removed => "deleted",
    };
    let (kind, name, how) = match change {
        Change::Command => return Some(format!("'cmd' of stage: '{stage}' has changed")),
        Change::Callback | Change::Always => return None,
        Change::Dependency(name, change) => ("Dependency", name, path(change).to_owned()),
        Change::Output(name, change) => ("Output", name, path(change).to_owned()),
        Change::Parameters(name, ParameterChange::New) => ("Dependency", name, "new".to_owned()),
        Change::Parameters(name, ParameterChange::Missing) => ("Dependency", name, "deleted".to_owned()),
        Change::Parameters(name, ParameterChange::Keys(keys)) => {
            let keys = keys
                .iter()
                .map(|(name, change)| format!("'{name}': '{}'", key(change)));
            (
                "Dependency",
                name,
                format!("{{{}}}", keys.collect::<Vec<_>>().join(", ")),
            )
        }
    };
    Some(format!(
        "{kind} '{name}' of stage: '{stage}' changed because it is '{how}'"
    ))
}

/// What a case is run with.
pub(in crate::pipeline) trait Engine {
    /// Reproduce with the arguments of `dvc repro`. Stages may run side by side if none fails.
    fn repro(&self, arguments: &[String], shell: &str, side_by_side: bool) -> Report;
}

impl Engine for Bench {
    fn repro(&self, arguments: &[String], shell: &str, _side_by_side: bool) -> Report {
        Self::repro(self, &Options::parse(arguments), shell)
    }
}

struct Case {
    folder: PathBuf,
    root: PathBuf,
    engine: Box<dyn Engine>,
    /// The bytes that the lock had last.
    lock: Option<String>,
    name: String,
}

impl Case {
    fn step(&mut self, at: usize, step: &Json) {
        let root = self.root.clone();
        if let Some(path) = step["write"].as_str() {
            let path = root.join(path);
            fs::remove_file(&path).ok();
            fs::write(path, step["text"].as_str().expect("text")).expect("written");
        } else if let Some(path) = step["rm"].as_str() {
            let path = root.join(path);
            if path.is_dir() {
                fs::remove_dir_all(path).expect("removed");
            } else {
                fs::remove_file(path).expect("removed");
            }
        } else if let Some(command) = step["sh"].as_str() {
            let status = Command::new("sh")
                .args(["-c", command])
                .current_dir(&root)
                .status();
            assert!(status.expect("started").success(), "{command}");
        } else {
            self.dvc(at, step);
        }
    }

    fn dvc(&mut self, at: usize, step: &Json) {
        let arguments: Vec<String> = step["dvc"]
            .as_array()
            .expect("arguments")
            .iter()
            .filter_map(|argument| argument.as_str().map(ToOwned::to_owned))
            .collect();
        let place = format!("{}, step {at}: {arguments:?}", self.name);
        if arguments[0] != "repro" {
            return;
        }
        let shell = match step["env"]["SHELL"].as_str() {
            None | Some("") => "/bin/sh",
            Some(shell) => shell,
        };
        let report = self
            .engine
            .repro(&arguments[1..], shell, step["expect"]["rc"] == 0);
        self.check(&place, &arguments, &step["expect"], &report);
    }

    fn check(&mut self, place: &str, arguments: &[String], expect: &Json, report: &Report) {
        let place = format!("{place}\n{report:?}");
        assert_eq!(report.failed, expect["rc"] != 0, "{place}");
        assert_eq!(sorted(&report.ran), texts(&expect["ran"]), "{place}");
        assert_eq!(sorted(&report.skipped), texts(&expect["skipped"]), "{place}");
        // A dry run of DVC names what it would run as restored, too, and prints its command.
        if !arguments.iter().any(|argument| argument == "--dry") {
            assert_eq!(sorted(&report.restored), texts(&expect["restored"]), "{place}");
            assert_eq!(sorted(&report.commands), texts(&expect["commands"]), "{place}");
        }
        // A set is refused when it is read, before there is a verdict.
        if !matches!(report.error, Some(PipelineError::ForeignParameter { .. })) {
            let mut why: Vec<String> = report.why.iter().filter_map(in_dvcs_words).collect();
            why.sort();
            assert_eq!(why, texts(&expect["why"]), "{place}");
        }
        let lock = fs::read_to_string(self.root.join("dvc.lock")).ok();
        match expect["lock"].as_str() {
            None => assert_eq!(lock, None, "{place}"),
            Some("unchanged") => assert_eq!(lock, self.lock, "{place}"),
            Some(file) => {
                let bytes = fs::read_to_string(self.folder.join(file)).expect("read");
                assert_eq!(lock.as_deref(), Some(bytes.as_str()), "{place}");
            }
        }
        self.lock = lock;
    }
}

fn run(name: &str) {
    run_with(name, |root| Box::new(Bench::new(root)));
}

/// Run a case with an engine for the project in a folder.
pub(in crate::pipeline) fn run_with(name: &str, engine: impl Fn(&Path) -> Box<dyn Engine>) {
    let folder = fixtures().join(name);
    let temporary = tempfile::tempdir().expect("a folder");
    let root = temporary.path().join("project");
    copy(&folder.join("before"), &root);
    let case: Json =
        serde_json::from_str(&fs::read_to_string(folder.join("case.json")).expect("read")).expect("JSON");
    let mut state = Case {
        engine: engine(&root),
        root: root.clone(),
        lock: None,
        name: name.to_owned(),
        folder: folder.clone(),
    };
    for (at, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
        // A lock that a step removes or edits is what the next command finds.
        state.step(at, step);
        if step["dvc"].is_null() && name == "23-lock-damage" && step["rm"].is_null() {
            state.lock = fs::read_to_string(root.join("dvc.lock")).ok();
        }
    }
    for entry in fs::read_dir(&folder).expect("listed") {
        let path = entry.expect("listed").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if let Some(inner) = name
            .strip_prefix("end.")
            .and_then(|n| n.strip_suffix(".dvc.lock"))
        {
            let ours = fs::read_to_string(root.join(inner).join("dvc.lock")).expect("read");
            assert_eq!(ours, fs::read_to_string(&path).expect("read"), "{name}");
        }
    }
}

macro_rules! cases {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            run($name);
        })*

        #[test]
        fn every_case_of_the_fixtures_is_run() {
            let listed = fs::read_dir(fixtures()).expect("listed");
            let mut names: Vec<String> = listed
                .map(|entry| entry.expect("listed").path())
                .filter(|path| path.is_dir())
                .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
                .collect();
            names.sort();
            // It shows a fault of DVC and has a test of its own.
            names.retain(|name| name != "26-size-param");
            assert_eq!(names, [$($name),*]);
        }

        /// The same cases with the engine that people use.
        mod really {
            use crate::pipeline::run::tests::golden::engine;

            $(#[test]
            fn $test() {
                super::run_with($name, engine);
            })*
        }
    };
}

cases! {
    content_decides_and_an_equal_result_stops_the_chain "01-chain"
    any_difference_of_the_command_counts "02-cmd-text"
    parameters_are_equal_as_in_python "03-param-types"
    parameters_come_from_four_kinds_of_files "04-param-files"
    lost_outputs_are_restored_while_the_cache_has_them "05-outs-lost"
    outputs_without_cache_are_made_again "06-cache-false"
    persistent_outputs_are_continued "07-persist"
    some_stages_run_always "08-always-changed"
    frozen_stages_are_cut_off "09-frozen"
    paths_are_relative_to_the_working_folder "10-wdir"
    items_have_their_own_stages "12-foreach"
    combinations_have_their_own_stages "13-matrix"
    expressions_are_part_of_the_command "14-template"
    failures_stop_what_is_below "15-keep-going"
    flags_choose_stages "16-flags"
    results_that_were_not_committed_are_made_again "17-no-commit"
    folders_are_dependencies_and_outputs "19-dirs"
    several_files_are_one_graph "20-multi-yaml"
    a_list_of_commands_stops_at_the_first_failure "21-cmd-list-fail"
    a_damaged_lock_is_refused_and_a_lost_one_made_again "23-lock-damage"
    commands_run_in_their_folder_and_shell "25-env"
    paths_texts_and_numbers_keep_their_spelling "28-spelling"
    more_expressions_are_replaced_as_in_dvc "29-template-more"
    random_pipeline_1 "r01"
    random_pipeline_2 "r02"
    random_pipeline_3 "r03"
    random_pipeline_4 "r04"
    random_pipeline_5 "r05"
    random_pipeline_6 "r06"
    random_pipeline_7 "r07"
    random_pipeline_8 "r08"
    random_pipeline_9 "r09"
    random_pipeline_10 "r10"
    random_pipeline_11 "r11"
    random_pipeline_12 "r12"
    random_pipeline_13 "r13"
    random_pipeline_14 "r14"
}

#[test]
fn every_lock_of_dvc_is_read_and_written_alike() {
    let mut seen = 0;
    for case in fs::read_dir(fixtures()).expect("listed") {
        let case = case.expect("listed").path();
        if !case.is_dir() {
            continue;
        }
        for file in fs::read_dir(&case).expect("listed") {
            let path = file.expect("listed").path();
            if path.extension().is_none_or(|ending| ending != "lock") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("read");
            seen += 1;
            match Lock::parse("dvc.lock", &text) {
                Ok(lock) => assert_eq!(lock.to_text(), text, "{}", path.display()),
                Err(error) => {
                    assert!(path.ends_with("23-lock-damage/after-05.lock"), "{error}");
                    assert!(matches!(error, PipelineError::LockConflict { ref spot } if spot.line == 3));
                }
            }
        }
    }
    assert!(seen >= 45, "{seen}");
}

#[test]
fn the_fault_of_dvcs_keys_is_known_and_not_copied() {
    let entry = |file: &str, stage: &str| -> LockEntry {
        let text = fs::read_to_string(fixtures().join("26-size-param").join(file)).expect("read");
        Lock::parse("dvc.lock", &text)
            .expect("read")
            .get(stage)
            .expect("a stage")
            .clone()
    };
    for stage in ["a", "n"] {
        let (one, two) = (entry("after-01.lock", stage), entry("after-02.lock", stage));
        assert_ne!(one, two);
        assert_eq!(run_cache::key(&one), run_cache::key(&two), "{stage}");
        assert!(
            !run_cache::is_sound(&one) && !run_cache::is_sound(&two),
            "{stage}"
        );
    }
    let (first, second) = (entry("after-01.lock", "w1"), entry("after-01.lock", "w2"));
    assert_eq!(run_cache::key(&first), run_cache::key(&second));
    assert!(run_cache::is_sound(&first));
}
