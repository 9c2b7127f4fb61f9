//! Many quick stages, in a chain and side by side: each runs exactly once, is up to date at once, and sees each change of its
//! inputs, however soon after the last run it comes.

use std::fmt::Write as _;

use super::super::{Outcome, Planned};
use super::{Bench, assert_all, options};

const COUNT: usize = 60;

/// Each stage reads what the one before made.
fn chain() -> String {
    let mut text = "stages:\n".to_owned();
    for at in 0..COUNT {
        let dep = if at == 0 {
            "in".to_owned()
        } else {
            format!("out{}", at - 1)
        };
        writeln!(
            text,
            "  s{at}:\n    cmd: cat {dep} > out{at}; echo s{at} >> ../ran\n    deps: [{dep}]\n    outs: [out{at}]"
        )
        .expect("a text");
    }
    text
}

fn beside() -> String {
    let mut text = "stages:\n".to_owned();
    for at in 0..COUNT {
        writeln!(
            text,
            "  s{at}:\n    cmd: cat in > out{at}; echo s{at} >> ../ran\n    deps: [in]\n    outs: [out{at}]"
        )
        .expect("a text");
    }
    text
}

/// The stages that really ran, by what they wrote.
fn ran(bench: &Bench) -> usize {
    let path = bench.root.with_file_name("ran");
    let text = fs_err::read_to_string(&path).unwrap_or_default();
    fs_err::remove_file(path).ok();
    text.lines().count()
}

fn check(definitions: &str, jobs: usize) {
    let bench = Bench::new(&[("dvc.yaml", definitions), ("in", "a\n")]);
    let options = options().jobs(jobs);
    let run = || bench.run(&options).expect("reproduced");
    assert_all(&run(), Outcome::Ran);
    assert_eq!(ran(&bench), COUNT);
    assert_all(&run(), Outcome::Skipped);
    assert_eq!(bench.plan(&options).count(Planned::Skip), COUNT);
    // The same length, within the same tick of the clock.
    for text in ["b\n", "c\n", "d\n"] {
        bench.write("in", text);
        assert_all(&run(), Outcome::Ran);
        assert_eq!(ran(&bench), COUNT);
        assert_eq!(bench.read(&format!("out{}", COUNT - 1)).as_deref(), Some(text));
    }
    // What is known is put back, and an edit right after is seen.
    bench.write("in", "b\n");
    assert_all(&run(), Outcome::Restored);
    bench.write("in", "e\n");
    assert_all(&run(), Outcome::Ran);
    assert_eq!(ran(&bench), COUNT);
    bench.assert_nothing_aside();
}

#[test]
fn each_of_many_quick_stages_in_a_chain_runs_once_a_change() {
    check(&chain(), 4);
}

#[test]
fn each_of_many_quick_stages_side_by_side_runs_once_a_change() {
    check(&beside(), 8);
}

#[test]
fn the_lock_is_the_same_whichever_stage_is_done_first() {
    let mut text = "stages:\n".to_owned();
    for at in 0..20 {
        // The first take longest.
        let wait = f64::from(20 - at) / 100.0;
        writeln!(
            text,
            "  s{at}:\n    cmd: sleep {wait}; echo {at} > o{at}\n    outs: [o{at}]"
        )
        .expect("a text");
    }
    let run = |jobs| {
        let bench = Bench::new(&[("dvc.yaml", &text)]);
        bench.run(&options().jobs(jobs)).expect("reproduced");
        bench.read("dvc.lock").expect("a lock")
    };
    assert_eq!(run(20), run(1));
}

#[test]
fn one_at_a_time_they_run_in_the_order_of_the_file() {
    let bench = Bench::new(&[("dvc.yaml", &beside()), ("in", "a\n")]);
    let report = bench.run(&options().jobs(1)).expect("reproduced");
    let names: Vec<String> = (0..COUNT).map(|at| format!("s{at}")).collect();
    assert_eq!(report.with(Outcome::Ran), names);
    let ran = fs_err::read_to_string(bench.root.with_file_name("ran")).expect("read");
    assert_eq!(ran.lines().collect::<Vec<_>>(), names);
}

#[test]
fn a_file_that_is_edited_many_times_in_a_tick_is_never_taken_for_unchanged() {
    let definitions = "stages:\n  s:\n    cmd: cat in > out\n    deps: [in]\n    outs: [out]\n";
    let bench = Bench::new(&[("dvc.yaml", definitions)]);
    for round in 0..40 {
        let text = format!("{round:04}\n");
        bench.write("in", &text);
        assert_all(&bench.repro(), Outcome::Ran);
        assert_eq!(bench.read("out").as_deref(), Some(text.as_str()));
    }
}
