//! Records of interrupted runs: whatever was moved when the kill came, the old outputs are back, or the new ones are whole.
//! Kills of whole processes are in `tests/kills.rs` of the crate.

use std::time::Duration;

use backlot_core::{Diagnostic as _, FileLock, RelPath};
use fs_err as fs;

use super::super::aside::{Aside, OldOut};
use super::super::{LocalExecutor, Outcome, recover, run_stage};
use super::{Bench, environment, options, outcomes};
use crate::pipeline::{Lock, Stage};

const STAGE: &str = "stages:
  s:
    cmd: mkdir d; cat in > d/x; cat in > f
    deps: [in]
    outs: [d, f, new]
";

fn stage(bench: &Bench) -> Stage {
    let graph = bench.project().graph(&bench.context).expect("read");
    graph.stage(0).expect("a stage").clone()
}

fn old(paths: &[&str]) -> Vec<OldOut> {
    paths
        .iter()
        .map(|path| OldOut {
            place: RelPath::parse(path).expect("a path"),
            edited: false,
        })
        .collect()
}

/// A project with old outputs, which were set aside by a run that is gone.
fn interrupted(then: impl FnOnce(&Bench, &mut Aside)) -> Bench {
    let bench = Bench::new(&[
        ("dvc.yaml", STAGE),
        ("in", "1\n"),
        ("d/x", "old\n"),
        ("f", "old\n"),
    ]);
    let mut aside =
        Aside::set(&bench.project(), &stage(&bench), &old(&["d", "f", "new"])).expect("set aside");
    assert_eq!((bench.read("d/x"), bench.read("f")), (None, None));
    then(&bench, &mut aside);
    bench
}

fn put_in_order(bench: &Bench) -> bool {
    let recovered = recover(&bench.project(), &bench.context).expect("recovered");
    assert_eq!(recovered.len(), 1);
    bench.assert_nothing_aside();
    let again = recover(&bench.project(), &bench.context).expect("recovered");
    assert_eq!(again, []);
    recovered[0].put_back
}

fn assert_old(bench: &Bench) {
    assert_eq!(bench.read("d/x").as_deref(), Some("old\n"));
    assert_eq!(bench.read("f").as_deref(), Some("old\n"));
    assert!(!bench.root.join("new").exists());
}

#[test]
fn outputs_of_before_are_back_and_half_ones_are_out_of_the_way() {
    let bench = interrupted(|bench, _| {
        bench.write("d/y", "half\n");
        bench.write("new", "half\n");
    });
    assert!(put_in_order(&bench));
    assert_old(&bench);
    assert!(!bench.root.join("d/y").exists());
    let half = bench.state.join("half/s");
    assert_eq!(fs::read_to_string(half.join("d/y")).expect("read"), "half\n");
    assert_eq!(fs::read_to_string(half.join("new")).expect("read"), "half\n");
}

#[test]
fn a_kill_between_any_two_moves_loses_nothing() {
    // The second output was not moved yet, or is back already: both look alike.
    let bench = interrupted(|bench, _| {
        let folder = fs::read_dir(bench.state.join("aside")).expect("listed").next();
        let aside = folder.expect("one").expect("listed").path().join("1");
        backlot_core::file::rename(&aside, &bench.root.join("f")).expect("moved");
    });
    assert!(put_in_order(&bench));
    assert_old(&bench);
}

#[test]
fn new_outputs_stay_only_if_the_lock_has_their_entry() {
    let text = "schema: '2.0'\nstages:\n  s:\n    cmd: new\n";
    let entry = || {
        Lock::parse("dvc.lock", text)
            .expect("read")
            .get("s")
            .expect("an entry")
            .clone()
    };
    let make = |bench: &Bench| {
        for path in ["d/x", "f", "new"] {
            bench.write(path, "made\n");
        }
    };
    let bench = interrupted(|bench, aside| {
        make(bench);
        aside.becomes(&entry()).expect("noted");
    });
    assert!(put_in_order(&bench), "the lock was not written");
    assert_old(&bench);
    let bench = interrupted(|bench, aside| {
        make(bench);
        aside.becomes(&entry()).expect("noted");
        bench.write("dvc.lock", text);
    });
    assert!(!put_in_order(&bench), "all was done");
    assert_eq!(bench.read("d/x").as_deref(), Some("made\n"));
    assert_eq!(bench.read("new").as_deref(), Some("made\n"));
}

#[test]
fn the_next_run_recovers_first() {
    let bench = interrupted(|_, _| {});
    bench.write(
        "dvc.yaml",
        "stages:\n  t:\n    cmd: cat f > g\n    deps: [f]\n    outs: [g]\n",
    );
    let report = bench.repro();
    assert_eq!(report.recovered.len(), 1);
    assert_eq!(outcomes(&report), ["t: ran"]);
    assert_eq!(bench.read("g").as_deref(), Some("old\n"));
}

#[test]
fn a_stage_that_another_process_makes_is_left_alone() {
    let bench = interrupted(|_, _| {});
    bench.write(
        "dvc.yaml",
        "stages:\n  t:\n    cmd: echo t > g\n    outs: [g]\n  u:\n    cmd: cat f > h\n    deps: [f]\n    outs: [h]\n",
    );
    let executor = LocalExecutor::new(environment());
    let make = |name: &str| run_stage(&bench.project(), name, &options(), &executor, &bench.context);
    let lock = bench.project().lock_file_of("s");
    let held = FileLock::acquire(&lock, Duration::ZERO, &bench.context).expect("held");
    assert_eq!(make("t").expect("made").outcome, Outcome::Ran);
    assert_eq!(bench.read("f"), None);
    assert_eq!(
        make("u").expect("made").outcome,
        Outcome::Failed,
        "its input is aside"
    );
    drop(held);
    assert_eq!(make("u").expect("made").outcome, Outcome::Ran);
    assert_old(&bench);
}

#[test]
fn a_record_that_cannot_be_read_stops_the_run_and_keeps_what_is_aside() {
    let bench = interrupted(|bench, _| {
        let folder = fs::read_dir(bench.state.join("aside")).expect("listed").next();
        fs::write(
            folder.expect("one").expect("listed").path().join("record.json"),
            "{",
        )
        .expect("damaged");
    });
    let error = bench.run(&options()).expect_err("refused");
    assert_eq!(error.code(), "pipeline::run_record");
    let folder = fs::read_dir(bench.state.join("aside")).expect("listed").next();
    assert!(folder.expect("one").expect("listed").path().join("0/x").exists());
}

#[test]
fn a_hostile_record_places_nothing_outside() {
    let bench = interrupted(|_, _| {});
    let folder = fs::read_dir(bench.state.join("aside")).expect("listed").next();
    let record = folder.expect("one").expect("listed").path().join("record.json");
    let text = fs::read_to_string(&record).expect("read");
    for (from, to) in [
        ("\"path\": \"f\"", "\"path\": \"../f\""),
        ("\"beside\": \".tmp-", "\"beside\": \"../x-"),
    ] {
        fs::write(&record, text.replace(from, to)).expect("written");
        let error = recover(&bench.project(), &bench.context).expect_err("refused");
        assert_eq!(error.code(), "pipeline::run_record");
    }
}
