//! Cascades on a real Slurm: arrays, kills of a node's process, of the controller and of the runner, lost responses, cancellation and rejections.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use backlot_tests::chain::release;
use backlot_tests::rebuilds::{
    chain, first, first_that, holder, signal, slowly, source, statuses, until, versions,
};
use backlot_tests::slurm::Slurm;
use backlot_tests::{Studio, run_command, wide};
use fs_err as fs;
use serde_json::Value;

/// Have cascades of a workspace run on Slurm, which is asked every second.
fn configure(studio: &Studio, workspace: &str) {
    let path = studio.path(&format!("{workspace}/backlot.toml"));
    let config = fs::read_to_string(&path).expect("readable");
    let section = "\n[cascade]\nexecutor = \"slurm\"\nslurm = { partition = \"farm\", poll = \"1s\" }\n";
    fs::write(&path, config + section).expect("written");
}

fn start(mut command: Command) -> Child {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// A command of Slurm's that is found first and is this script; `{real}` is the real one.
fn disguise(studio: &Studio, command: &mut Command, script: &str) {
    let real = run_command(Command::new("sh").args(["-c", "command -v sbatch"]))
        .ok()
        .stdout();
    studio.write("bin/sbatch", script.replace("{real}", real.trim()).as_bytes());
    let path = studio.path("bin/sbatch");
    fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    let first = studio.path("bin");
    backlot_tests::slurm::before_others(command, &first);
}

fn id_of(status: &Value) -> String {
    status["cascade"].as_str().expect("an id").to_owned()
}

#[test]
fn forty_assets_survive_a_killed_process_a_restarted_controller_and_a_killed_runner() {
    let levels = [("low", 20), ("mid", 14), ("top", 6)];
    let studio = wide::studio(&levels, 1);
    fs::write(studio.path("slow"), "").expect("written");
    let mut slurm = Slurm::start(&studio.path("slurm"), 9);
    wide::publish_root(&studio, "1.1");
    configure(&studio, "root");
    let mut runner = start(slurm.command(&studio, "root", &["cascade", "run", "root==1.1"]));
    // A node's process.
    let killed = holder(&studio, "low05", 1);
    run_command(Command::new("kill").args(["-KILL", &killed])).ok();
    // The controller, while jobs run.
    slurm.stop_controller();
    std::thread::sleep(std::time::Duration::from_secs(3));
    slurm.start_controller();
    // The runner, once the second level has begun.
    holder(&studio, "mid01", 1);
    signal(&runner, "KILL");
    runner.wait().expect("it ends");
    let id = id_of(&slurm.cascade(&studio, "top", &["status"]).ok().json());
    configure(&studio, "top");
    let report = slurm.cascade(&studio, "top", &["resume", &id]).ok().json();
    assert_eq!(report["summary"]["ending"], "done", "{report:#}");
    assert_eq!(report["summary"]["counts"]["released"], 40, "{report:#}");
    wide::built_once(&studio, 40);
    let status = slurm.cascade(&studio, "mid", &["status", &id]).ok().json();
    let attempts = status["attempts"].as_array().expect("attempts");
    let mut arrays: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in attempts {
        let job = attempt["job"].as_str().expect("each was submitted");
        *arrays
            .entry(job.split('_').next().expect("a number"))
            .or_default() += 1;
    }
    assert!(
        arrays.values().all(|tasks| *tasks <= 8),
        "below MaxArraySize: {arrays:?}"
    );
    assert!(
        arrays.values().any(|tasks| *tasks == 8),
        "not one by one: {arrays:?}"
    );
    // The killed one, and nothing else, twice.
    assert!(attempts.len() <= 42, "{arrays:?}");
    let explained = slurm
        .cascade(&studio, "low", &["explain", &id, "low05"])
        .ok()
        .stdout();
    assert!(explained.contains("ended without a word"), "{explained}");
    assert_eq!(
        backlot_tests::chain::dirty(&studio, "root", &[])["nodes"],
        serde_json::json!([])
    );
}

/// model, rig that takes some seconds, and anim; model is published once more.
fn slow_chain(seconds: u32) -> Studio {
    let studio = Studio::empty();
    source(&studio, "model");
    let before = slowly(&studio, seconds);
    first_that(&studio, "rig", &before, &["model"], &["model/code.py"]);
    first(&studio, "anim", &["build:rig"], &["rig/made.txt"]);
    release(&studio, "model", "1.1");
    fs::write(studio.path("slow"), "").expect("written");
    configure(&studio, "model");
    configure(&studio, "anim");
    studio
}

/// The arrays that Slurm knows.
fn arrays(slurm: &Slurm) -> Vec<String> {
    let rows = slurm.queue().into_iter();
    let mut arrays: Vec<String> = rows.map(|row| row["array_job_id"].to_string()).collect();
    arrays.sort();
    arrays.dedup();
    arrays
}

#[test]
fn a_job_whose_number_was_never_written_down_is_adopted() {
    let studio = slow_chain(2);
    let slurm = Slurm::start(&studio.path("slurm"), 100);
    let mut run = slurm.command(&studio, "model", &["cascade", "run", "model==1.1"]);
    // The runner dies when Slurm has the job, and before it can say so.
    disguise(
        &studio,
        &mut run,
        "#!/bin/sh\n{real} \"$@\" >/dev/null\nkill -KILL $PPID\n",
    );
    assert!(!start(run).wait().expect("it ends").success());
    assert_eq!(arrays(&slurm).len(), 1);
    let status = slurm.cascade(&studio, "anim", &["status"]).ok().json();
    assert_eq!(status["attempts"][0]["job"], Value::Null, "{status:#}");
    let report = slurm
        .cascade(&studio, "anim", &["resume", &id_of(&status)])
        .ok()
        .json();
    assert_eq!(
        statuses(&report["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
    assert_eq!(arrays(&slurm).len(), 2, "one an asset");
    let status = slurm.cascade(&studio, "anim", &["status"]).ok().json();
    assert!(status["attempts"][0]["job"].is_string(), "{status:#}");
    assert_eq!(
        (versions(&studio, "rig").len(), versions(&studio, "anim").len()),
        (2, 2)
    );
}

#[test]
fn a_submission_whose_answer_was_lost_is_not_made_twice() {
    let studio = slow_chain(1);
    let slurm = Slurm::start(&studio.path("slurm"), 100);
    let mut run = slurm.command(&studio, "model", &["cascade", "run", "model==1.1", "--json"]);
    disguise(
        &studio,
        &mut run,
        "#!/bin/sh\n{real} \"$@\" || exit\nif [ ! -e lost ]; then touch lost; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1; fi\n",
    );
    let report = run_command(&mut run).ok().json();
    assert_eq!(
        statuses(&report["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
    assert!(studio.path("lost").exists());
    assert_eq!(arrays(&slurm).len(), 2, "one an asset");
}

#[test]
fn a_cancelled_cascade_ends_its_jobs_though_its_runner_is_gone() {
    let studio = slow_chain(300);
    let slurm = Slurm::start(&studio.path("slurm"), 100);
    let mut runner = start(slurm.command(&studio, "model", &["cascade", "run", "model==1.1"]));
    holder(&studio, "rig", 1);
    until("the number of the job", || {
        let status = slurm.cascade(&studio, "anim", &["status"]).ok().json();
        status["attempts"][0]["job"].is_string()
    });
    signal(&runner, "KILL");
    runner.wait().expect("it ends");
    let status = slurm.cascade(&studio, "anim", &["status"]).ok().json();
    slurm
        .cascade(&studio, "anim", &["cancel", &id_of(&status), "-m", "wrong"])
        .ok();
    until("an empty queue", || {
        slurm.run("squeue", &["-h"]).stdout().trim().is_empty()
    });
    assert_eq!(versions(&studio, "rig"), ["1.0"]);
    let log = status["attempts"][0]["log"].as_str().expect("a path");
    assert!(
        fs::read_to_string(log).is_ok(),
        "the log is where it was said to be: {log}"
    );
}

#[test]
fn resources_of_an_asset_become_arguments_and_a_refusal_says_why() {
    let studio = chain();
    backlot_tests::chain::treat(&studio, "rig", "resources = { ram = 2, gpu = 1 }");
    backlot_tests::rebuilds::publish(&studio, "rig", "1.1");
    release(&studio, "model", "1.1");
    let slurm = Slurm::start(&studio.path("slurm"), 100);
    let path = studio.path("model/backlot.toml");
    let config = fs::read_to_string(&path).expect("readable");
    let section = "\n[cascade]\nexecutor = \"slurm\"\nslurm.poll = \"1s\"\nslurm.resources = { ram = \"--mem={n}00M\" }\n";
    fs::write(&path, config + section).expect("written");
    let refused = ["run", "model==1.1", "--partition", "nowhere"];
    let error = slurm
        .cascade(&studio, "model", &refused)
        .fails(6, "cascade::scheduler");
    assert!(
        error["message"].as_str().expect("text").contains("nowhere"),
        "{error:#}"
    );
    let status = slurm.cascade(&studio, "model", &["status"]).ok().json();
    let run = [
        "resume",
        &id_of(&status),
        "--sbatch=--nice=50",
        "--wall-time",
        "10m",
    ];
    let report = slurm.cascade(&studio, "model", &run).ok().json();
    assert_eq!(report["summary"]["ending"], "done", "{report:#}");
    let queue = slurm.queue();
    let job = |name: &str| {
        let found = queue
            .iter()
            .find(|row| row["name"].as_str().is_some_and(|given| given.contains(name)));
        found.unwrap_or_else(|| panic!("no {name} in {queue:#?}")).clone()
    };
    let rig = job(".L1.");
    assert_eq!(
        (&rig["memory_per_node"], &rig["time_limit"]),
        (&200.into(), &12.into()),
        "{rig:#}"
    );
    assert!(
        rig["name"].as_str().expect("a name").starts_with("bl.model-1.1."),
        "{rig:#}"
    );
}
