//! Cascades in the background: they outlive their shell, can be followed to their end, and a killed one is detected and continued.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_tests::chain::{at, release};
use backlot_tests::rebuilds::{cascade, chain, first_that, source, statuses, until, versions};
use backlot_tests::{Studio, run_command};
use fs_err as fs;
use serde_json::Value;

/// model, and a rig whose stage waits as long as a file is there.
fn waiting() -> (Studio, std::path::PathBuf) {
    let studio = Studio::empty();
    source(&studio, "model");
    let wait = studio.path("wait");
    let before = format!("while test -e {}; do sleep 0.05; done; ", wait.display());
    first_that(&studio, "rig", &before, &["model"], &["model/code.py"]);
    release(&studio, "model", "1.1");
    fs::write(&wait, "").expect("written");
    (studio, wait)
}

fn process(report: &Value) -> u32 {
    let number = report["background"]["process"].as_u64();
    u32::try_from(number.unwrap_or_else(|| panic!("{report:#}"))).expect("a number")
}

fn kill(target: &str) {
    run_command(Command::new("kill").args(["-KILL", "--", target])).ok();
}

/// Wait until its first asset is being built.
fn until_building(studio: &Studio) {
    until("a build", || {
        let status = cascade(studio, "model", &["status"]).ok().json();
        statuses(&status) == ["rig running"]
    });
}

#[test]
fn a_cascade_in_the_background_outlives_its_shell_and_is_followed_to_its_end() {
    let (studio, wait) = waiting();
    // A shell with a process group of its own, which is killed with all that is in it.
    let own = studio.command(&[]);
    let program = own.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.env_clear();
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
        .args([
            "-c",
            "\"$0\" -w model cascade run model==1.1 --background --lease 2 --json > begun.json; sleep 60",
        ])
        .arg(program)
        .current_dir(studio.path("."))
        .stdin(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    let mut shell = shell.spawn().expect("it starts");
    let begun = || fs::read_to_string(studio.path("begun.json")).unwrap_or_default();
    until("the command returned", || {
        serde_json::from_str::<Value>(&begun()).is_ok()
    });
    let report: Value = serde_json::from_str(&begun()).expect("JSON");
    kill(&format!("-{}", shell.id()));
    shell.wait().expect("it ended");

    until_building(&studio);
    let status = cascade(&studio, "rig", &["status"]).ok().json();
    assert_eq!(status["background"]["process"], report["background"]["process"]);
    assert_eq!(status["background"]["alive"], true, "{status:#}");
    let text = at(&studio, "rig", &["cascade", "status"]).ok().stdout();
    assert!(text.contains("running in the background"), "{text}");
    // It leads a session of its own.
    let stat = fs::read_to_string(format!("/proc/{}/stat", process(&report))).expect("it runs");
    let after = stat.rsplit(')').next().expect("fields");
    let session = after.split_whitespace().nth(3).expect("a session");
    assert_eq!(session, process(&report).to_string());
    let id = report["cascade"].as_str().expect("an id");
    cascade(&studio, "model", &["resume", id, "--background"]).fails(5, "cascade::in_background");

    fs::remove_file(&wait).expect("removed");
    let followed = at(&studio, "rig", &["cascade", "status", "-f"]).ok().stdout();
    assert!(followed.contains("review/rig: released 1.0.1"), "{followed}");
    assert_eq!(versions(&studio, "rig"), ["1.0", "1.0.1"]);
    until("its end", || {
        let status = cascade(&studio, "rig", &["status"]).ok().json();
        status["background"].is_null()
    });
    let log = fs::read_to_string(report["background"]["log"].as_str().expect("a path")).expect("a log");
    assert!(log.contains("review/rig: released 1.0.1"), "{log}");
}

#[test]
fn one_that_was_killed_is_seen_to_be_and_is_continued() {
    let (studio, wait) = waiting();
    let report = cascade(
        &studio,
        "model",
        &["run", "model==1.1", "--background", "--lease", "2"],
    )
    .ok()
    .json();
    until_building(&studio);
    kill(&process(&report).to_string());
    until("the end of the process", || {
        cascade(&studio, "model", &["status"]).ok().json()["background"]["alive"] == false
    });
    let begun = Instant::now();
    let followed = at(&studio, "model", &["cascade", "status", "-f"]).ok().stdout();
    assert!(begun.elapsed() < Duration::from_secs(20), "nobody is waited for");
    assert!(
        followed.contains("was killed") && followed.contains("to continue"),
        "{followed}"
    );
    fs::remove_file(&wait).expect("removed");
    let id = report["cascade"].as_str().expect("an id");
    let again = cascade(&studio, "model", &["resume", id, "--background"])
        .ok()
        .json();
    assert_ne!(process(&again), process(&report));
    at(&studio, "rig", &["cascade", "status", "-f"]).ok();
    let status = cascade(&studio, "model", &["status"]).ok().json();
    assert_eq!(statuses(&status), ["rig released 1.0.1"]);
    assert_eq!(versions(&studio, "rig"), ["1.0", "1.0.1"]);
}

#[test]
fn the_process_in_the_background_builds_where_the_command_was_told_to() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let run = ["run", "model==1.1", "--background", "--executor", "process"];
    let report = cascade(&studio, "model", &run).ok().json();
    assert!(process(&report) > 0);
    at(&studio, "anim", &["cascade", "status", "-f"]).ok();
    let status = cascade(&studio, "model", &["status"]).ok().json();
    let attempts = status["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), statuses(&status).len(), "{status:#}");
    assert!(attempts.iter().all(|attempt| attempt["executor"] == "process"));
    assert_eq!(versions(&studio, "anim"), ["1.0", "1.0.1"]);
}

#[test]
fn a_publish_leaves_what_it_affects_to_the_background() {
    let studio = chain();
    backlot_tests::chain::version(&studio, "model", "1.1");
    let report = at(
        &studio,
        "model",
        &["publish", "model", "--push", "--background", "--json"],
    )
    .ok()
    .json();
    assert_eq!(report["version"], "1.1");
    assert!(process(&report["cascade"]) > 0);
    at(&studio, "anim", &["cascade", "status", "-f"]).ok();
    assert_eq!(versions(&studio, "anim"), ["1.0", "1.0.1"]);
    // What needs no building needs no process, and what is refused begins none.
    let nothing = cascade(&studio, "model", &["run", "model==1.1", "--background"])
        .ok()
        .json();
    assert!(nothing["background"].is_null(), "{nothing:#}");
    release(&studio, "model", "1.2");
    cascade(&studio, "model", &["run", "--background", "--max", "1"]).fails(5, "cascade::needs_confirmation");
    at(&studio, "model", &["publish", "model", "--background", "--json"]).fails(2, "command::usage");
    cascade(&studio, "model", &["run", "--background", "--dry-run"]).fails(2, "command::usage");
}
