//! Plans: true, deterministic, and nothing is changed by them.

use super::super::{Outcome, Plan, Planned};
use super::{Bench, options, outcomes};

const CHAIN: &str = "stages:
  a:
    cmd: head -c 1 in > a.out
    deps: [in]
    outs: [a.out]
  b:
    cmd: cat a.out > b.out
    deps: [a.out]
    outs: [b.out]
  c:
    cmd: cat b.out > c.out
    deps: [b.out]
    outs: [c.out]
  d:
    cmd: echo d > d.out
    outs: [d.out]
";

fn actions(plan: &Plan) -> Vec<(String, Planned)> {
    let stages = plan.stages.iter();
    stages.map(|stage| (stage.stage.clone(), stage.action)).collect()
}

fn named(expected: [Planned; 4]) -> Vec<(String, Planned)> {
    let names = ["a", "b", "c", "d"].map(ToOwned::to_owned);
    names.into_iter().zip(expected).collect()
}

#[test]
fn what_is_below_a_stage_that_would_run_may_run() {
    use Planned::{MayRun, Restore, Run, Skip};

    let bench = Bench::new(&[("dvc.yaml", CHAIN), ("in", "1x\n")]);
    let plan = bench.plan(&options());
    assert_eq!(
        actions(&plan),
        named([Run, Run, Run, Run]),
        "nothing was ever made"
    );
    assert_eq!(bench.read("dvc.lock"), None);
    bench.repro();
    assert_eq!(actions(&bench.plan(&options())), named([Skip, Skip, Skip, Skip]));
    bench.write("in", "1y\n");
    let plan = bench.plan(&options());
    assert_eq!(actions(&plan), named([Run, MayRun, MayRun, Skip]));
    assert_eq!(plan.get("a").expect("a stage").why, ["dependency `in` changed"]);
    assert_eq!(plan.get("b").expect("a stage").because, ["a"]);
    assert_eq!(plan.get("c").expect("a stage").because, ["b"]);
    assert_eq!(plan, bench.plan(&options()));
    // What `a` makes is the same, so nothing below runs.
    let report = bench.repro();
    assert_eq!(
        outcomes(&report),
        ["a: ran", "b: skipped", "c: skipped", "d: skipped"]
    );
    bench.write("in", "2\n");
    bench.repro();
    bench.write("in", "1x\n");
    // All of it is known: what is put back above is taken into account below.
    assert_eq!(
        actions(&bench.plan(&options())),
        named([Restore, Restore, Restore, Skip])
    );
    assert_eq!(
        bench.read("c.out").as_deref(),
        Some("2"),
        "nothing is changed by a plan"
    );
    let report = bench.repro();
    assert_eq!(
        outcomes(&report),
        ["a: restored", "b: restored", "c: restored", "d: skipped"]
    );
    assert_eq!(bench.read("c.out").as_deref(), Some("1"));
}

#[test]
fn missing_files_fail_and_what_is_made_above_is_not_missing() {
    use Planned::{Drop, Fail, MayRun, Run, Skip};

    let bench = Bench::new(&[("dvc.yaml", CHAIN), ("in", "1\n")]);
    bench.repro();
    fs_err::remove_file(bench.root.join("in")).expect("removed");
    let plan = bench.plan(&options());
    assert_eq!(actions(&plan), named([Fail, Drop, Drop, Skip]));
    assert_eq!(plan.stages[0].why, ["dependency `in` is missing"]);
    bench.write("in", "3\n");
    fs_err::remove_file(bench.root.join("a.out")).expect("removed");
    assert_eq!(
        actions(&bench.plan(&options())),
        named([Run, MayRun, MayRun, Skip])
    );
}

#[test]
fn a_dry_run_is_the_plan_as_a_report() {
    let bench = Bench::new(&[("dvc.yaml", CHAIN), ("in", "1\n")]);
    bench.repro();
    bench.write("in", "4\n");
    let report = bench.run(&options().dry(true)).expect("planned");
    assert_eq!(
        outcomes(&report),
        ["a: would-run", "b: may-run", "c: may-run", "d: skipped"]
    );
    let forced = bench.run(&options().dry(true).force(true)).expect("planned");
    assert_eq!(forced.with(Outcome::WouldRun).len(), 4);
}

#[test]
fn a_plan_as_json_has_all_that_a_scheduler_needs() {
    let text = "stages:\n  s@x:\n    cmd: [echo 1, 'echo 2 > o']\n    wdir: sub\n    outs: [o]\n    meta: {backlot: {mutex: [gpu, disk]}}\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("sub/in", "")]);
    let json = serde_json::to_value(bench.plan(&options())).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({"stages": [{
            "stage": "s@x", "action": "run", "why": ["output `sub/o` is missing"], "because": [], "needs": [],
            "mutex": ["disk", "gpu"], "commands": ["echo 1", "echo 2 > o"], "folder": "sub", "outs": ["sub/o"],
        }]})
    );
}

#[test]
fn five_thousand_stages_are_planned() {
    let mut text = "stages:\n  s:\n    foreach:\n".to_owned();
    for at in 0..5000 {
        text.push_str(&format!("    - i{at}\n"));
    }
    text.push_str("    do:\n      cmd: cat in > ${item}\n      deps: [in]\n      outs: ['${item}']\n");
    let bench = Bench::new(&[("dvc.yaml", &text), ("in", "1\n")]);
    assert_eq!(bench.plan(&options()).count(Planned::Run), 5000);
}
