//! What happens when stages fail, are stopped, or run side by side.

use std::time::Duration;

use backlot_core::{Cancel, Diagnostic as _, Event, EventKind};

use super::super::{Exit, LocalExecutor, Outcome, reproduce, run_stage};
use super::{Bench, environment, options, outcomes};
use crate::error::Error;
use crate::pipeline::Lock;

const TWO: &str = "stages:
  a:
    cmd: cat in > a.out; test \"$(cat in)\" != bad
    deps: [in]
    outs: [a.out]
  b:
    cmd: mkdir -p b.out; cat a.out > b.out/x
    deps: [a.out]
    outs: [b.out]
  c:
    cmd: echo c > c.out
    outs: [c.out]
";

#[test]
fn a_failed_stage_leaves_its_old_outputs_byte_for_byte() {
    let bench = Bench::new(&[("dvc.yaml", TWO), ("in", "one\n")]);
    bench.repro();
    let lock = bench.read("dvc.lock");
    bench.write("in", "bad\n");
    let report = bench.run(&options().keep_going(true)).expect("reproduced");
    assert_eq!(outcomes(&report), ["a: failed", "b: dropped", "c: skipped"]);
    assert_eq!(bench.read("a.out").as_deref(), Some("one\n"));
    assert_eq!(bench.read("b.out/x").as_deref(), Some("one\n"));
    assert_eq!(bench.read("dvc.lock"), lock);
    let failed = report.get("a").expect("a stage");
    assert_eq!(failed.exit, Some(Exit::Code(1)));
    let error = failed.error.as_ref().expect("an error");
    assert_eq!(error.code, "pipeline::command_failed");
    let half = failed.half.as_ref().expect("what it left");
    assert_eq!(fs_err::read_to_string(half.join("a.out")).expect("read"), "bad\n");
    assert_eq!(report.check().expect_err("failed").code(), "pipeline::failed");
    bench.assert_nothing_aside();
    bench.write("in", "two\n");
    assert_eq!(outcomes(&bench.repro()), ["a: ran", "b: ran", "c: skipped"]);
    assert!(!half.exists(), "the half result goes when there is a whole one");
}

#[test]
fn a_missing_dependency_or_output_fails_before_or_without_losing_anything() {
    let text = "stages:\n  s:\n    cmd: test -e no || cat in > out\n    deps: [in]\n    outs: [out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "one\n")]);
    bench.repro();
    fs_err::remove_file(bench.root.join("in")).expect("removed");
    let report = bench.repro();
    let error = report.stages[0].error.as_ref().expect("an error");
    assert_eq!(error.code, "pipeline::missing_inputs");
    assert_eq!(error.message, "`s` cannot run: dependency `in` is missing");
    assert_eq!(bench.read("out").as_deref(), Some("one\n"));
    bench.write("in", "two\n");
    bench.write("no", "");
    let report = bench.repro();
    let error = report.stages[0].error.as_ref().expect("an error");
    assert_eq!(error.code, "pipeline::not_made");
    assert_eq!(bench.read("out").as_deref(), Some("one\n"));
    bench.assert_nothing_aside();
}

#[test]
fn an_output_that_is_a_link_to_nothing_is_made_again() {
    let bench = Bench::new(&[("dvc.yaml", TWO), ("in", "one\n")]);
    bench.repro();
    for out in ["c.out", "b.out"] {
        let path = bench.root.join(out);
        backlot_core::file::remove(&path).expect("removed");
        fs_err::os::unix::fs::symlink("nowhere", path).expect("linked");
    }
    assert_eq!(outcomes(&bench.repro()), ["a: skipped", "b: restored", "c: ran"]);
    assert_eq!(bench.read("b.out/x").as_deref(), Some("one\n"));
    assert_eq!(bench.read("c.out").as_deref(), Some("c\n"));
}

#[test]
fn persistent_outputs_stay_in_place() {
    let text = "stages:\n  s:\n    cmd: cat in >> log\n    deps: [in]\n    outs:\n    - log:\n        persist: true\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "one\n")]);
    bench.repro();
    bench.write("in", "two\n");
    bench.repro();
    assert_eq!(bench.read("log").as_deref(), Some("one\ntwo\n"));
}

#[test]
fn an_edited_output_is_kept_when_it_is_made_again() {
    let bench = Bench::new(&[("dvc.yaml", TWO), ("in", "one\n")]);
    bench.repro();
    bench.write("c.out", "by hand\n");
    let report = bench.repro();
    let kept = &report.get("c").expect("a stage").kept;
    assert_eq!(kept.len(), 1);
    assert_eq!(fs_err::read_to_string(&kept[0]).expect("read"), "by hand\n");
    assert_eq!(bench.read("c.out").as_deref(), Some("c\n"));
    let warned = bench.events.take();
    let is_warning =
        |event: &Event| matches!(&event.kind, EventKind::Warned(w) if w.code == "pipeline::edited_output");
    assert!(warned.iter().any(is_warning));
}

#[test]
fn output_goes_to_the_observer_by_stage_and_into_a_log() {
    let text = "stages:\n  s:\n    cmd:\n    - echo one; echo two >&2\n    - printf three; exit 7\n    - echo never\n    outs: [o]\n";
    let bench = Bench::new(&[("dvc.yaml", text)]);
    let report = bench.repro();
    let stage = &report.stages[0];
    assert_eq!(stage.exit, Some(Exit::Code(7)));
    assert_eq!(stage.commands, ["echo one; echo two >&2", "printf three; exit 7"]);
    let log = fs_err::read_to_string(stage.log.as_ref().expect("a log")).expect("read");
    let mut lines: Vec<&str> = log.lines().collect();
    lines[1..3].sort_unstable();
    assert_eq!(
        lines,
        [
            "$ echo one; echo two >&2",
            "one",
            "two",
            "$ printf three; exit 7",
            "three"
        ]
    );
    let mut seen: Vec<(String, bool)> = bench
        .events
        .take()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::StageOutput { stage, line, error } => {
                assert_eq!(stage, "s");
                Some((line, error))
            }
            _ => None,
        })
        .collect();
    seen.sort();
    let expected = [("one", false), ("three", false), ("two", true)];
    assert_eq!(seen, expected.map(|(line, error)| (line.to_owned(), error)));
}

#[test]
fn commands_get_the_environment_of_the_caller_and_of_dvc() {
    let text = "stages:\n  s:\n    cmd: tool > out; echo \"$BACKLOT_ASSET $DVC_STAGE $HOME\" >> out\n    outs: [out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("bin/tool", "#!/bin/sh\necho tool\n")]);
    let tool = bench.root.join("bin/tool");
    backlot_store::set_executable(&tool, true).expect("set");
    let options = options()
        .variables(vec![("BACKLOT_ASSET".to_owned(), "Table".into())])
        .path(vec![bench.root.join("bin")]);
    let report = bench.run(&options).expect("reproduced");
    report.check().expect("it succeeded");
    assert_eq!(bench.read("out").as_deref(), Some("tool\nTable s \n"));
}

#[test]
fn foreign_shells_are_named_and_not_used() {
    let bench = Bench::new(&[("dvc.yaml", TWO), ("in", "one\n")]);
    for shell in ["/usr/bin/fish", "C:\\Windows\\cmd.exe", "/usr/bin/nu"] {
        let executor = LocalExecutor::new(environment()).with_shell(shell);
        let report = reproduce(&bench.project(), &options(), &executor, &bench.context).expect("ended");
        let failed = report.stages.iter().find_map(|stage| stage.error.as_ref());
        assert_eq!(failed.expect("an error").code, "pipeline::unsupported_shell");
    }
}

#[test]
fn a_time_limit_ends_the_whole_group_and_the_old_outputs_are_back() {
    let text = "stages:\n  s:\n    cmd: echo half > out; if test -e slow; then sleep 1000 & sleep 1000; fi\n    deps: [in]\n    outs: [out]\n    meta: {backlot: {time_limit: 1}}\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "one\n")]);
    bench.repro();
    bench.write("slow", "");
    bench.write("in", "two\n");
    let executor = LocalExecutor::new(environment()).with_grace(Duration::from_millis(100));
    let report = reproduce(&bench.project(), &options(), &executor, &bench.context).expect("ended");
    assert_eq!(report.stages[0].exit, Some(Exit::TimeLimit));
    assert_eq!(bench.read("out").as_deref(), Some("half\n"));
    bench.assert_nothing_aside();
}

#[test]
fn a_stop_ends_the_commands_and_the_old_outputs_are_back() {
    let text = "stages:\n  s:\n    cmd: cat in > out; if test -e slow; then touch ../started; sleep 1000; fi\n    deps: [in]\n    outs: [out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "one\n")]);
    bench.repro();
    bench.write("slow", "");
    bench.write("in", "two\n");
    let cancel = Cancel::default();
    let context = bench.context.clone().with_cancel(cancel.clone());
    let started = bench.root.with_file_name("started");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !started.exists() {
                std::thread::sleep(Duration::from_millis(2));
            }
            cancel.cancel();
        });
        let executor = LocalExecutor::new(environment()).with_grace(Duration::from_millis(100));
        let error = reproduce(&bench.project(), &options(), &executor, &context).expect_err("stopped");
        assert!(matches!(error, Error::Cancelled(_)), "{error:?}");
    });
    assert_eq!(bench.read("out").as_deref(), Some("one\n"));
    bench.assert_nothing_aside();
    fs_err::remove_file(bench.root.join("slow")).expect("removed");
    assert_eq!(outcomes(&bench.repro()), ["s: ran"]);
}

#[test]
fn stages_run_side_by_side_but_for_those_of_a_group() {
    // Each waits for the other: one after the other they would never end.
    let meet = |one: &str, other: &str| {
        format!(
            "touch ../{one}; n=0; until test -e ../{other}; do sleep 0.02; n=$((n+1)); test $n -lt 3000 || exit 9; done; echo {one} > {one}"
        )
    };
    let text = format!(
        "stages:\n  a:\n    cmd: {}\n    outs: [x]\n  b:\n    cmd: {}\n    outs: [y]\n",
        meet("x", "y"),
        meet("y", "x")
    );
    let bench = Bench::new(&[("dvc.yaml", &text)]);
    assert_eq!(
        outcomes(&bench.run(&options().jobs(2)).expect("ended")),
        ["a: ran", "b: ran"]
    );
    // In a group, one that finds the other's mark fails.
    let alone = |out: &str| format!("mkdir ../mark || exit 9; sleep 0.05; rmdir ../mark; echo {out} > {out}");
    let mut text = "stages:\n".to_owned();
    for at in 0..6 {
        let out = format!("o{at}");
        text.push_str(&format!(
            "  s{at}:\n    cmd: {}\n    outs: [{out}]\n    meta: {{backlot: {{mutex: gpu}}}}\n",
            alone(&out)
        ));
    }
    let bench = Bench::new(&[("dvc.yaml", &text)]);
    let report = bench.run(&options().jobs(6)).expect("ended");
    report.check().expect("none met another");
}

#[test]
fn a_frozen_stage_is_recorded_when_what_it_reads_is_whole() {
    let text = "stages:\n  a:\n    cmd: sleep 0.3; cat in > a.out\n    deps: [in]\n    outs: [a.out]\n  b:\n    cmd: cat a.out > b.out\n    deps: [a.out]\n    outs: [b.out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "1\n")]);
    assert_eq!(outcomes(&bench.repro()), ["a: ran", "b: ran"]);
    bench.write("in", "2\n");
    bench.write(
        "dvc.yaml",
        &(text.replace("> b.out", ">  b.out") + "    frozen: true\n"),
    );
    assert_eq!(outcomes(&bench.repro()), ["a: ran", "b: recorded"]);
    let lock = bench.read("dvc.lock").expect("a lock");
    let lock = Lock::parse("dvc.lock", &lock).expect("read");
    let made = lock
        .get("a")
        .and_then(|entry| entry.out("a.out"))
        .expect("recorded");
    let read = lock
        .get("b")
        .and_then(|entry| entry.dep("a.out"))
        .expect("recorded");
    assert_eq!(made.id, read.id);
    // Its output is in the cache then, as those of stages that ran.
    bench.write("b.out", "by hand\n");
    assert_eq!(outcomes(&bench.repro()), ["a: skipped", "b: recorded"]);
    assert_eq!(outcomes(&bench.repro()), ["a: skipped", "b: skipped"]);
    assert_eq!(bench.read("b.out").as_deref(), Some("by hand\n"));
}

#[test]
fn a_single_stage_is_made_whatever_is_above_it() {
    let bench = Bench::new(&[("dvc.yaml", TWO), ("in", "one\n"), ("a.out", "given\n")]);
    let executor = LocalExecutor::new(environment());
    let run = |name: &str| run_stage(&bench.project(), name, &options(), &executor, &bench.context);
    assert_eq!(run("b").expect("made").outcome, Outcome::Ran);
    assert_eq!(bench.read("b.out/x").as_deref(), Some("given\n"));
    assert_eq!(run("b").expect("made").outcome, Outcome::Skipped);
    assert_eq!(run("no").expect_err("refused").code(), "pipeline::unknown_target");
    assert_eq!(
        run("dvc.yaml").expect_err("refused").code(),
        "pipeline::unknown_target"
    );
}

#[test]
fn a_scheduler_may_make_several_stages_of_a_project_at_a_time() {
    let meet = |one: &str, other: &str| {
        format!(
            "touch ../{one}; n=0; until test -e ../{other}; do sleep 0.02; n=$((n+1)); test $n -lt 3000 || exit 9; done; echo {one} > {one}"
        )
    };
    let text = format!(
        "stages:\n  a:\n    cmd: {}\n    outs: [x]\n  b:\n    cmd: {}\n    outs: [y]\n  c:\n    cmd: cat x y > z\n    deps: [x, y]\n    outs: [z]\n",
        meet("x", "y"),
        meet("y", "x")
    );
    let bench = Bench::new(&[("dvc.yaml", &text)]);
    let executor = LocalExecutor::new(environment());
    let run = |name: &str| {
        let report = run_stage(&bench.project(), name, &options(), &executor, &bench.context);
        report.expect("made").outcome
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run("a"));
        assert_eq!(run("b"), Outcome::Ran);
        assert_eq!(other.join().expect("no panic"), Outcome::Ran);
    });
    assert_eq!(run("c"), Outcome::Ran);
    assert_eq!(
        outcomes(&bench.repro()),
        ["a: skipped", "b: skipped", "c: skipped"]
    );
    bench.assert_nothing_aside();
}

#[test]
fn nothing_runs_if_an_output_is_outside_of_the_project() {
    let text =
        "stages:\n  s:\n    cmd: touch ran\n    outs: [ok]\n  t:\n    cmd: touch ran\n    outs: [../o]\n";
    let bench = Bench::new(&[("dvc.yaml", text)]);
    assert_eq!(
        bench.run(&options()).expect_err("refused").code(),
        "pipeline::hostile_output"
    );
    assert_eq!(bench.read("ran"), None);
}

#[test]
fn a_lock_that_another_program_edits_meanwhile_keeps_the_edit() {
    let edit = "printf \"  other:\\n    cmd: x\\n\" >> dvc.lock";
    let text = format!(
        "stages:\n  a:\n    cmd: echo a > a.out\n    outs: [a.out]\n  b:\n    cmd: '{edit}; echo b > b.out'\n    deps: [a.out]\n    outs: [b.out]\n"
    );
    let bench = Bench::new(&[("dvc.yaml", &text)]);
    bench.repro().check().expect("it succeeded");
    let lock = bench.read("dvc.lock").expect("a lock");
    let names: Vec<&str> = lock
        .lines()
        .filter(|line| line.starts_with("  ") && line.ends_with(':'))
        .filter(|line| !line.starts_with("   "))
        .collect();
    assert_eq!(names, ["  a:", "  other:", "  b:"]);
}

#[test]
fn nothing_is_moved_through_a_link_to_elsewhere() {
    let text = "stages:\n  s:\n    cmd: echo new > link/o\n    outs: [link/o]\n";
    let bench = Bench::new(&[("dvc.yaml", text)]);
    let elsewhere = bench.root.with_file_name("elsewhere");
    fs_err::create_dir_all(&elsewhere).expect("made");
    fs_err::write(elsewhere.join("o"), "mine").expect("written");
    fs_err::os::unix::fs::symlink(&elsewhere, bench.root.join("link")).expect("linked");
    let report = bench.repro();
    let error = report.stages[0].error.as_ref().expect("an error");
    assert_eq!(error.code, "dvc::linked_folder");
    assert_eq!(fs_err::read_to_string(elsewhere.join("o")).expect("read"), "mine");
}

#[test]
fn a_second_run_waits_for_the_first_and_says_so() {
    let bench = Bench::new(&[("dvc.yaml", TWO), ("in", "one\n")]);
    let lock = bench.state.join("lock");
    let held = backlot_core::FileLock::acquire(&lock, Duration::ZERO, &bench.context).expect("held");
    let error = bench.run(&options().patience(Duration::ZERO)).expect_err("busy");
    assert_eq!(error.code(), "core::locked");
    drop(held);
    bench.repro().check().expect("it succeeded");
}

#[test]
fn cached_outputs_are_kept_out_of_git_by_each_stage_that_succeeds() {
    let mut text = "stages:\n".to_owned();
    for at in 0..20 {
        text.push_str(&format!(
            "  s{at:02}:\n    cmd: echo {at} > o{at:02}\n    outs: [o{at:02}]\n"
        ));
    }
    text.push_str("  fails:\n    cmd: exit 1\n    outs: [no]\n");
    text.push_str("  small:\n    cmd: echo > m\n    outs:\n    - m:\n        cache: false\n");
    let bench = Bench::new(&[("dvc.yaml", &text)]);
    let project = bench.project().with_git_ignore(true);
    let executor = LocalExecutor::new(environment());
    let options = options().jobs(6).keep_going(true);
    reproduce(&project, &options, &executor, &bench.context).expect("ended");
    let text = bench.read(".gitignore").expect("an ignore file");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let expected: Vec<String> = (0..20).map(|at| format!("/o{at:02}")).collect();
    assert_eq!(lines, expected);
}
