//! Cascades built by separate processes, locally or as started by schedulers: logs, kills, cancellation, time limits, fencing, and Open Job
//! Description jobs, checked and run by its own command.

use std::process::Command;

use backlot_tests::Studio;
use backlot_tests::chain::{at, decisions, dirty, release};
use backlot_tests::rebuilds::{
    cascade, chain, first, first_that, holder, made, signal, slowly, source, start, statuses, until, versions,
};
use backlot_tests::{run_command, tool};
use fs_err as fs;
use serde_json::Value;

const NONE: [&str; 0] = [];

/// a, b made of it, which takes some seconds from now on, and c made of b; a is published once more.
fn slow(seconds: u32) -> Studio {
    let studio = Studio::empty();
    source(&studio, "a");
    let before = slowly(&studio, seconds);
    first_that(&studio, "b", &before, &["a"], &["a/code.py"]);
    first(&studio, "c", &["b"], &["b/made.txt"]);
    release(&studio, "a", "1.1");
    fs::write(studio.path("slow"), "").expect("written");
    studio
}

fn last_cascade(studio: &Studio) -> String {
    let status = cascade(studio, "a", &["status"]).ok().json();
    status["cascade"].as_str().expect("an id").to_owned()
}

/// Send a signal to a process by its number.
fn signal_to(process: &str, name: &str) {
    run_command(Command::new("kill").args([&format!("-{name}"), process])).ok();
}

fn text(path: &Value) -> String {
    fs::read_to_string(path.as_str().expect("a path")).expect("a log")
}

#[test]
fn processes_build_what_threads_build_and_each_has_a_log() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let report = cascade(&studio, "model", &["run", "model==1.1", "--executor", "process"])
        .ok()
        .json();
    assert_eq!(
        statuses(&report["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
    assert_eq!(made(&studio, "anim", "1.0.1"), "MADE = \"1.1\"\n");
    assert_eq!(decisions(&dirty(&studio, "model", &[])), NONE);
    let status = cascade(&studio, "anim", &["status"]).ok().json();
    let attempts = status["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "{status:#}");
    for attempt in attempts {
        assert_eq!(attempt["executor"], "process");
        let log = text(&attempt["log"]);
        assert!(
            log.contains("made.txt") && log.contains("released 1.0.1"),
            "{log}"
        );
    }
    let id = status["cascade"].as_str().expect("an id");
    let explained = at(&studio, "rig", &["cascade", "explain", id, "rig"])
        .ok()
        .stdout();
    let log = attempts[0]["log"].as_str().expect("a path");
    assert!(explained.contains(log), "{explained}");
    assert!(studio.snapshot("cache/cascades").is_empty());
}

#[test]
fn the_configuration_says_where_cascades_run_and_a_run_prints_its_logs() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let path = studio.path("model/backlot.toml");
    let config = fs::read_to_string(&path).expect("readable");
    let section = "\n[cascade]\nexecutor = \"process\"\nlogs = \"logs\"\n";
    fs::write(&path, config.clone() + section).expect("written");
    let run = at(&studio, "model", &["cascade", "run", "model==1.1"]).ok();
    assert!(run.stderr().contains("review/rig: attempt "), "{}", run.stderr());
    let logs = studio.snapshot("model/logs");
    assert_eq!(
        logs.keys().filter(|name| name.ends_with(".1.log")).count(),
        2,
        "{logs:?}"
    );
    fs::write(&path, config + "\n[cascade]\nexecuter = \"process\"\n").expect("written");
    at(&studio, "model", &["cascade", "list", "--json"]).fails(3, "config::invalid");
}

#[test]
fn an_asset_whose_process_was_killed_is_built_by_another_at_once() {
    let studio = slow(2);
    let run = [
        "-w",
        "a",
        "cascade",
        "run",
        "a==1.1",
        "--executor",
        "process",
        "--lease",
        "600",
    ];
    let mut runner = start(&studio, &run);
    signal_to(&holder(&studio, "b", 1), "KILL");
    // Nobody waits for the lease of a process that is known to be dead.
    assert!(runner.wait().expect("it ends").success());
    assert_eq!(
        (versions(&studio, "b").len(), versions(&studio, "c").len()),
        (2, 2)
    );
    let id = last_cascade(&studio);
    let explained = at(&studio, "c", &["cascade", "explain", &id, "b"]).ok().stdout();
    assert!(
        explained.contains("failed (environment)") && explained.contains("signal: 9"),
        "{explained}"
    );
}

#[test]
fn a_killed_runner_leaves_its_processes_and_a_resumed_one_waits_for_them() {
    let studio = slow(3);
    let run = ["-w", "a", "cascade", "run", "a==1.1", "--executor", "process"];
    let mut runner = start(&studio, &run);
    let process = holder(&studio, "b", 1);
    signal(&runner, "KILL");
    runner.wait().expect("it ends");
    let id = last_cascade(&studio);
    let report = cascade(&studio, "c", &["resume", &id, "--executor", "process"])
        .ok()
        .json();
    assert_eq!(
        statuses(&report["summary"]),
        ["b released 1.0.1", "c released 1.0.1"]
    );
    assert_eq!(
        (versions(&studio, "b").len(), versions(&studio, "c").len()),
        (2, 2)
    );
    assert!(
        !studio
            .path("repos/review/cascades/leases/b/00000002.json")
            .exists(),
        "{process} made it"
    );
}

#[test]
fn an_attempt_that_lost_its_lease_publishes_nothing() {
    let studio = slow(1);
    let run = [
        "-w",
        "a",
        "cascade",
        "run",
        "a==1.1",
        "--executor",
        "process",
        "--lease",
        "1",
    ];
    let mut runner = start(&studio, &run);
    let lost = holder(&studio, "b", 1);
    signal_to(&lost, "STOP");
    let id = last_cascade(&studio);
    let report = cascade(&studio, "b", &["resume", &id, "--executor", "process"])
        .ok()
        .json();
    assert_eq!(
        statuses(&report["summary"]),
        ["b released 1.0.1", "c released 1.0.1"]
    );
    signal_to(&lost, "CONT");
    assert!(runner.wait().expect("it ends").success());
    assert_eq!(
        (versions(&studio, "b").len(), versions(&studio, "c").len()),
        (2, 2)
    );
    assert_eq!(decisions(&dirty(&studio, "c", &[])), NONE);
}

#[test]
fn a_cancelled_cascade_ends_its_processes_before_they_release() {
    let studio = slow(300);
    let run = ["-w", "a", "cascade", "run", "a==1.1", "--executor", "process"];
    let mut runner = start(&studio, &run);
    let process = holder(&studio, "b", 1);
    cascade(&studio, "c", &["cancel", &last_cascade(&studio), "-m", "wrong"]).ok();
    assert_eq!(runner.wait().expect("it ends").code(), Some(5));
    assert_eq!(versions(&studio, "b"), ["1.0"]);
    let alive = run_command(Command::new("kill").args(["-0", &process]));
    assert!(!alive.output.status.success(), "{process} has ended");
}

#[test]
fn a_process_that_is_silent_for_too_long_fails_as_a_build() {
    let studio = slow(300);
    let run = ["run", "a==1.1", "--executor", "process", "--quiet-time", "2s"];
    let report = cascade(&studio, "a", &run);
    assert_eq!(report.output.status.code(), Some(5), "{}", report.stderr());
    let failed = &report.json()["summary"]["causes"][0];
    assert_eq!(failed["failure"]["kind"], "build", "{failed:#}");
    let message = failed["failure"]["message"].as_str().expect("a message");
    assert!(message.contains("printed nothing"), "{message}");
    let status = cascade(&studio, "a", &["status"]).ok().json();
    assert_eq!(status["attempts"].as_array().map(Vec::len), Some(2), "{status:#}");
}

#[test]
fn an_attempt_that_is_asked_to_end_says_so_and_gives_its_asset_back() {
    // The second is how a scheduler announces that it will end a job.
    for name in ["TERM", "USR1"] {
        ends_at(name);
    }
}

fn ends_at(name: &str) {
    let studio = slow(300);
    let job = cascade(&studio, "a", &["export", "a==1.1"]).ok().json();
    let id = job["cascade"].as_str().expect("an id");
    let node = [
        "-w",
        "c",
        "cascade",
        "run-node",
        "--cascade",
        id,
        "--node",
        "b",
        "--attempt",
        "7",
        "--scratch",
        "scratch",
    ];
    let mut attempt = start(&studio, &node);
    holder(&studio, "b", 1);
    let scratch = studio.path("scratch").join(format!("bl-{id}"));
    until("a private workspace on the disk of the job", || {
        scratch.join("review-b-1").is_dir()
    });
    signal(&attempt, name);
    assert_eq!(attempt.wait().expect("it ends").code(), Some(130));
    assert!(!scratch.exists(), "it is removed with all that was in it");
    let status = cascade(&studio, "a", &["status"]).ok().json();
    assert_eq!(statuses(&status), ["b delayed", "c waiting"], "{status:#}");
    let lease = fs::read_to_string(studio.path("repos/review/cascades/leases/b/00000001.json"));
    let lease: Value = serde_json::from_str(&lease.expect("a lease")).expect("JSON");
    let explained = cascade(&studio, "a", &["explain", id, "b"]).ok().json();
    let stopped = explained["history"]
        .as_array()
        .expect("entries")
        .last()
        .expect("one");
    let (until, at) = (lease["until"].as_u64(), stopped["at"].as_u64());
    assert!(until <= at.map(|at| at + 5_000), "{lease} {stopped:#}");
}

#[test]
fn a_job_of_open_job_description_is_checked_and_run_by_its_own_command() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let mut export = studio.command(&["-w", "model", "cascade", "export", "model==1.1"]);
    export
        .args(["-o", "job.yaml", "--wall-time", "10m"])
        .env("BACKLOT_REPO_REVIEW_TOKEN", "hunter2")
        .env("BACKLOT_REPO_REVIEW_HOST", "nowhere.example");
    run_command(&mut export).ok();
    let job = fs::read_to_string(studio.path("job.yaml")).expect("a job");
    assert!(
        !job.contains("hunter2") && job.contains("dependsOn: review/rig"),
        "{job}"
    );
    assert_eq!(versions(&studio, "rig"), ["1.0"], "nothing is built");
    let openjd = |arguments: &[&str]| {
        let mut command = Command::new(tool("openjd"));
        command.args(arguments).arg("job.yaml").current_dir(studio.root());
        command
            .env("BACKLOT_CACHE_DIR", studio.path("cache"))
            .env("HOME", studio.path("home"))
            .env("BACKLOT_AUTHOR", "ana");
        run_command(&mut command)
    };
    openjd(&["check"]).ok();
    openjd(&["run"]).ok();
    assert_eq!(versions(&studio, "anim"), ["1.0", "1.0.1"]);
    let status = cascade(&studio, "anim", &["status"]).ok().json();
    assert_eq!(status["ending"], "done", "{status:#}");
    // The same plan again, from its journal, as JSON.
    let id = status["cascade"].as_str().expect("an id");
    at(
        &studio,
        "rig",
        &["cascade", "export", "--cascade", id, "-o", "again.json"],
    )
    .ok();
    let again: Value =
        serde_json::from_slice(&fs::read(studio.path("again.json")).expect("a job")).expect("JSON");
    assert_eq!(again["steps"].as_array().map(Vec::len), Some(2), "{again:#}");
    until("the end", || decisions(&dirty(&studio, "model", &[])) == NONE);
}
