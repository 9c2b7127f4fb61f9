//! Cascades that meet others, are killed, lose their lease, are stopped and continued, on one machine and through stores: numbered scenarios.

use std::process::Stdio;
use std::time::Duration;

use backlot_tests::Studio;
use backlot_tests::chain::{at, decisions, dirty, release};
use backlot_tests::rebuilds::{
    cascade, chain, first, first_that, inputs, made, module, run, signal, slowly, source, stage, start,
    statuses, until, versions,
};
use backlot_tests::stores::Store;
use fs_err as fs;
use serde_json::Value;

const NONE: [&str; 0] = [];

#[test]
fn scenario_11_two_cascades_that_meet_build_an_asset_one_after_the_other() {
    let studio = Studio::empty();
    source(&studio, "a");
    source(&studio, "x");
    first_that(
        &studio,
        "d",
        "sleep 1 && ",
        &["a", "x"],
        &["a/code.py", "x/code.py"],
    );
    release(&studio, "a", "1.1");
    let mut one = start(&studio, &["-w", "a", "cascade", "run", "a==1.1", "--lease", "5"]);
    until("the lease", || {
        studio
            .path("repos/review/cascades/leases/d/00000001.json")
            .is_file()
    });
    release(&studio, "x", "1.1");
    let two = cascade(&studio, "x", &["run", "x==1.1"]).ok().json();
    assert!(one.wait().expect("it ends").success());
    let made = versions(&studio, "d");
    assert!(made.len() == 2 || made.len() == 3, "{made:?} {two:#}");
    assert_eq!(inputs(&studio, "a", "d"), ["a 1.1", "x 1.1"]);
    assert_eq!(decisions(&dirty(&studio, "a", &[])), NONE);
}

#[test]
fn scenario_12_a_later_publish_takes_over_what_cascades_of_earlier_ones_have_not_begun() {
    let studio = Studio::empty();
    source(&studio, "a");
    let before = slowly(&studio, 60);
    first_that(&studio, "b", &before, &["a"], &["a/code.py"]);
    first(&studio, "c", &["b"], &["b/made.txt"]);
    fs::write(studio.path("slow"), "").expect("written");
    let mut earlier = Vec::new();
    for number in ["1.1", "1.2", "1.3"] {
        release(&studio, "a", number);
        let root = format!("a=={number}");
        let mut runner = start(&studio, &["-w", "a", "cascade", "run", &root, "--lease", "1"]);
        let begun = || {
            let status = cascade(&studio, "c", &["status"]);
            status.output.status.success() && status.json()["roots"][0][1] == number
        };
        until("the journal", begun);
        // The power goes.
        runner.kill().ok();
        runner.wait().expect("it ends");
        earlier.push(
            cascade(&studio, "c", &["status"]).ok().json()["cascade"]
                .as_str()
                .expect("an id")
                .to_owned(),
        );
    }
    fs::remove_file(studio.path("slow")).expect("removed");
    release(&studio, "a", "1.4");
    let report = run(&studio, "a", "a==1.4");
    assert_eq!(
        statuses(&report["summary"]),
        ["b released 1.0.1", "c released 1.0.1"]
    );
    assert_eq!(
        (versions(&studio, "b").len(), versions(&studio, "c").len()),
        (2, 2),
        "once to the last"
    );
    for id in earlier {
        let status = cascade(&studio, "c", &["status", &id]).ok().json();
        let c = &status["nodes"][1];
        assert_eq!(c["status"], "superseded", "{status:#}");
    }
}

#[test]
fn scenario_14_a_root_that_is_published_again_meanwhile_is_what_the_rest_is_built_with() {
    let studio = Studio::empty();
    source(&studio, "a");
    first_that(&studio, "b", "sleep 2 && ", &["a"], &["a/code.py"]);
    first(&studio, "c", &["a", "b"], &["a/code.py", "b/made.txt"]);
    release(&studio, "a", "1.1");
    let mut runner = start(&studio, &["-w", "a", "cascade", "run", "a==1.1"]);
    until("the lease", || {
        studio
            .path("repos/review/cascades/leases/b/00000001.json")
            .is_file()
    });
    release(&studio, "a", "1.2");
    assert!(runner.wait().expect("it ends").success());
    assert_eq!(inputs(&studio, "a", "c")[0], "a 1.2");
    run(&studio, "a", "a==1.2");
    assert_eq!(inputs(&studio, "a", "b"), ["a 1.2"]);
    assert_eq!(decisions(&dirty(&studio, "a", &[])), NONE);
}

#[test]
fn scenario_07_a_root_that_is_deprecated_meanwhile_is_no_input_of_what_waits_and_what_has_it_is_rebuilt() {
    let studio = Studio::empty();
    source(&studio, "a");
    let wait = studio.path("wait");
    let before = format!("while test -e {}; do sleep 0.05; done; ", wait.display());
    first_that(&studio, "b", &before, &["a"], &["a/code.py"]);
    first(&studio, "early", &["a"], &["a/code.py"]);
    first(&studio, "late", &["a", "b"], &["a/code.py", "b/made.txt"]);
    release(&studio, "a", "1.1");
    fs::write(&wait, "").expect("written");
    let mut runner = start(&studio, &["-w", "a", "cascade", "run", "a==1.1"]);
    let lease = studio.path("repos/review/cascades/leases/b/00000001.json");
    until("one is done and one is being built", || {
        lease.is_file() && versions(&studio, "early").len() == 2
    });
    at(&studio, "a", &["deprecate", "a==1.1", "-m", "wrong scale"]).ok();
    // A runner knows of it after half a second; only of a yank does it ask once more right before a release.
    std::thread::sleep(Duration::from_secs(1));
    fs::remove_file(&wait).expect("removed");
    assert!(runner.wait().expect("it ends").success());
    let report = cascade(&studio, "a", &["status"]).ok().json();
    assert_eq!(
        statuses(&report),
        ["b unchanged 1.0", "early released 1.0.1", "late unchanged 1.0"]
    );
    assert_eq!(versions(&studio, "b"), ["1.0"]);
    // What was done before has a deprecated input: it is built again.
    assert_eq!(decisions(&dirty(&studio, "a", &[])), ["1 review/early build"]);
    cascade(&studio, "a", &["run"]).ok();
    assert_eq!(versions(&studio, "early"), ["1.0", "1.0.1", "1.0.2"]);
    assert_eq!(inputs(&studio, "a", "early"), ["a 1.0"]);
    assert_eq!(decisions(&dirty(&studio, "a", &[])), NONE);
}

#[test]
fn scenario_08_no_release_is_made_with_an_input_that_was_yanked_meanwhile() {
    let studio = Studio::empty();
    source(&studio, "a");
    first_that(&studio, "b", "sleep 2 && ", &["a"], &["a/code.py"]);
    release(&studio, "a", "1.1");
    let mut runner = start(&studio, &["-w", "a", "cascade", "run", "a==1.1"]);
    until("the lease", || {
        studio
            .path("repos/review/cascades/leases/b/00000001.json")
            .is_file()
    });
    at(&studio, "a", &["yank", "a==1.1", "-m", "wrong scale"]).ok();
    assert!(runner.wait().expect("it ends").success());
    assert_eq!(versions(&studio, "b"), ["1.0"]);
    let report = cascade(&studio, "a", &["status"]).ok().json();
    assert_eq!(statuses(&report), ["b unchanged 1.0"]);
    assert_eq!(decisions(&dirty(&studio, "a", &[])), NONE);
}

#[test]
fn scenario_18_a_run_that_is_killed_anywhere_is_continued_to_the_same_end() {
    let studio = Studio::empty();
    source(&studio, "a");
    first_that(&studio, "b", "sleep 0.3 && ", &["a"], &["a/code.py"]);
    first_that(&studio, "c", "sleep 0.3 && ", &["b"], &["b/made.txt"]);
    let mut expected = vec!["1.0".to_owned()];
    for (round, delay) in [0_u64, 300, 700, 1100, 1600, 2200].into_iter().enumerate() {
        let next = format!("1.{}", round + 1);
        let root = format!("a=={next}");
        release(&studio, "a", &next);
        let mut runner = start(&studio, &["-w", "a", "cascade", "run", &root, "--lease", "1"]);
        std::thread::sleep(Duration::from_millis(delay));
        // It may have ended already.
        runner.kill().ok();
        runner.wait().expect("it ends");
        let begun = studio.path("repos/review/cascades/runs").is_dir();
        let newest = begun.then(|| cascade(&studio, "c", &["status"]).ok().json());
        let is_of_it = |status: &Value| status["roots"][0][1] == next.as_str();
        match newest.filter(is_of_it) {
            // From another machine's workspace.
            Some(status) => {
                let id = status["cascade"].as_str().expect("an id");
                cascade(&studio, "c", &["resume", id]).ok();
            }
            // It did not come so far as to begin.
            None => drop(run(&studio, "c", &root)),
        }
        expected.push(format!("1.0.{}", round + 1));
        assert_eq!(versions(&studio, "b"), expected, "after {delay} ms");
        assert_eq!(versions(&studio, "c"), expected, "after {delay} ms");
        assert_eq!(decisions(&dirty(&studio, "c", &[])), NONE);
    }
    assert_eq!(made(&studio, "c", "1.0.6"), "MADE = \"1.6\"\n");
}

#[test]
fn scenario_19_a_runner_that_was_thought_lost_releases_nothing_more() {
    let studio = Studio::empty();
    source(&studio, "a");
    first_that(&studio, "b", "sleep 1 && ", &["a"], &["a/code.py"]);
    release(&studio, "a", "1.1");
    let mut lost = start(&studio, &["-w", "a", "cascade", "run", "a==1.1", "--lease", "1"]);
    until("the lease", || {
        studio
            .path("repos/review/cascades/leases/b/00000001.json")
            .is_file()
    });
    signal(&lost, "STOP");
    let id = cascade(&studio, "b", &["status"]).ok().json()["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    let report = cascade(&studio, "b", &["resume", &id]).ok().json();
    assert_eq!(statuses(&report["summary"]), ["b released 1.0.1"]);
    signal(&lost, "CONT");
    assert!(lost.wait().expect("it ends").success());
    assert_eq!(versions(&studio, "b"), ["1.0", "1.0.1"]);
    assert_eq!(decisions(&dirty(&studio, "b", &[])), NONE);
}

#[test]
fn a_cascade_is_paused_skipped_cancelled_and_begun_anew_through_its_repo() {
    let studio = Studio::empty();
    source(&studio, "a");
    let stop = studio.path("stop");
    first_that(
        &studio,
        "b",
        &format!("test ! -e {} && ", stop.display()),
        &["a"],
        &["a/code.py"],
    );
    first(&studio, "c", &["a", "b"], &["a/code.py", "b/made.txt"]);
    release(&studio, "a", "1.1");
    fs::write(&stop, "").expect("written");
    let id = cascade(&studio, "a", &["run"]).json()["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    let skipped = cascade(&studio, "c", &["skip", &id, "b", "-m", "its old one will do"])
        .ok()
        .json();
    assert_eq!(statuses(&skipped), ["b skipped", "c ready"]);
    let paused = cascade(&studio, "c", &["pause", &id, "-m", "lunch"]).ok().json();
    assert_eq!(
        (&paused["ending"], &paused["paused"]),
        (&"paused".into(), &"lunch".into())
    );
    let followed = at(&studio, "c", &["cascade", "status", &id, "-f"]).ok().stdout();
    assert!(followed.contains("paused by ana: lunch"), "{followed}");
    let resumed = cascade(&studio, "c", &["resume", &id]).ok().json();
    assert_eq!(statuses(&resumed["summary"]), ["b skipped", "c released 1.0.1"]);
    assert_eq!(inputs(&studio, "a", "c"), ["a 1.1", "b 1.0"]);

    release(&studio, "a", "1.2");
    fs::remove_file(&stop).expect("removed");
    let mut runner = start(
        &studio,
        &["-w", "a", "cascade", "run", "a==1.2", "--max", "0", "--dry-run"],
    );
    assert!(runner.wait().expect("it ends").success());
    fs::write(&stop, "").expect("written");
    let report = cascade(&studio, "a", &["run", "a==1.2"]).json();
    let id = report["cascade"].as_str().expect("an id").to_owned();
    cascade(&studio, "c", &["cancel", &id, "-m", "never mind"]).ok();
    cascade(&studio, "c", &["resume", &id]).fails(5, "cascade::cancelled");
    fs::remove_file(&stop).expect("removed");
    let renewed = cascade(&studio, "a", &["retry", &id]).ok().json();
    assert_eq!(renewed["cancelled"], "never mind");
}

#[test]
fn journals_of_cascades_that_ended_long_ago_are_removed_and_others_stay() {
    let studio = Studio::empty();
    source(&studio, "model");
    let stop = studio.path("stop");
    let guard = format!("test ! -e {} && ", stop.display());
    first_that(&studio, "rig", &guard, &["model"], &["model/code.py"]);
    release(&studio, "model", "1.1");
    let done = run(&studio, "model", "model==1.1");
    let done = done["cascade"].as_str().expect("an id");
    release(&studio, "model", "1.2");
    fs::write(&stop, "").expect("written");
    let open = cascade(&studio, "model", &["run"]).json();
    let open = open["cascade"].as_str().expect("an id");
    fs::remove_file(&stop).expect("removed");
    let clean = |more: &[&str]| {
        let all = [&["clean"], more].concat();
        cascade(&studio, "rig", &all).ok().json()
    };
    let removed = |report: &Value| -> Vec<String> {
        let removed = report["removed"].as_array().expect("a list").iter();
        removed
            .map(|one| one["cascade"].as_str().expect("an id").to_owned())
            .collect()
    };
    assert_eq!(removed(&clean(&[])), [""; 0], "they are young");
    let before = studio.snapshot("repos");
    let planned = clean(&["--older-than", "0", "--dry-run"]);
    assert!(before == studio.snapshot("repos"), "a dry run changes nothing");
    assert_eq!(removed(&planned), [done], "what can be continued stays");
    let cleaned = clean(&["--older-than", "0"]);
    assert_eq!(cleaned["removed"], planned["removed"]);
    assert_eq!(cleaned["kept"], 1);
    cascade(&studio, "model", &["status", done]).fails(4, "cascade::unknown");
    let listed = cascade(&studio, "rig", &["list"]).ok().json();
    let listed = listed["cascades"].as_array().expect("a list");
    assert_eq!((listed.len(), &listed[0]["cascade"]), (1, &open.into()));
    cascade(&studio, "rig", &["resume", open]).ok();
    assert_eq!(versions(&studio, "rig"), ["1.0", "1.0.1", "1.0.2"]);
    assert_eq!(removed(&clean(&["--older-than", "0"])), [open]);
}

#[test]
fn one_asset_is_built_by_a_process_of_its_own_as_schedulers_start_it() {
    let studio = chain();
    release(&studio, "model", "1.1");
    let stop = studio.path("stop");
    fs::write(&stop, "").expect("written");
    // A cascade of which nothing is built yet.
    let mut runner = start(
        &studio,
        &["-w", "model", "cascade", "run", "model==1.1", "--lease", "1"],
    );
    until("the plan", || {
        cascade(&studio, "anim", &["status"]).output.status.success()
    });
    signal(&runner, "KILL");
    runner.wait().expect("it ends");
    std::thread::sleep(Duration::from_millis(1200));
    let id = cascade(&studio, "anim", &["status"]).ok().json()["cascade"]
        .as_str()
        .expect("an id")
        .to_owned();
    let node = |name: &str| {
        cascade(
            &studio,
            "anim",
            &["run-node", "--cascade", &id, "--node", name, "--attempt", "7"],
        )
    };
    if versions(&studio, "rig").len() == 1 {
        let early = node("anim");
        assert_eq!(
            early.output.status.code(),
            Some(75),
            "what it follows is not done: {}",
            early.stdout()
        );
        let rig = node("review/rig");
        assert_eq!(
            rig.output.status.code(),
            Some(0),
            "{}{}",
            rig.stdout(),
            rig.stderr()
        );
        assert_eq!(
            (&rig.json()["status"], &rig.json()["version"]),
            (&"released".into(), &"1.0.1".into())
        );
    }
    assert_eq!(node("anim").output.status.code(), Some(0));
    assert_eq!(node("anim").output.status.code(), Some(0), "done is done");
    assert_eq!(versions(&studio, "anim"), ["1.0", "1.0.1"]);
    node("table").fails(4, "cascade::unknown_node");
    let explained = cascade(&studio, "model", &["explain", &id, "anim"]).ok().stdout();
    assert!(explained.contains("attempt 7"), "{explained}");
}

/// The same chain in a store of objects: run, killed and continued by another machine, seen, and undone.
fn runs_in_a_store(store: &Store) {
    let command =
        |workspace: &str, arguments: &[&str]| store.run(workspace, &[arguments, &["--json"]].concat());
    let publish = |name: &str, version: &str| {
        let path = format!("{}/__version__.py", module(name));
        store
            .studio
            .write(&path, format!("__version__ = \"{version}\"").as_bytes());
        store.studio.write(
            &format!("{}/code.py", module(name)),
            format!("MADE = {version:?}\n").as_bytes(),
        );
        command(name, &["install", "-U"]).ok();
        command(name, &["pull"]).ok();
        command(name, &["publish", name, "--repro"]).ok();
    };
    for (name, requires, reads) in [
        ("model", "", ""),
        ("rig", "model", "model/code.py"),
        ("anim", "rig", "rig/made.txt"),
    ] {
        store.workspace(name);
        store.add_remote(name, "files", "chunked").ok();
        command(name, &["new", name]).ok();
        if !requires.is_empty() {
            command(name, &["input", "add", name, requires]).ok();
            command(name, &["install"]).ok();
            stage(&store.studio, name, "", &[reads]);
        }
        publish(name, "1.0");
    }
    publish("model", "1.1");
    let mut runner = store.command("model", &["cascade", "run", "model==1.1", "--lease", "2"]);
    let mut runner = runner
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    until("the journal", || {
        command("anim", &["cascade", "status"]).output.status.success()
    });
    std::thread::sleep(Duration::from_millis(500));
    runner.kill().ok();
    runner.wait().expect("it ends");
    let status = command("anim", &["cascade", "status"]).ok().json();
    let id = status["cascade"].as_str().expect("an id");
    let resumed = command("anim", &["cascade", "resume", id]).ok().json();
    assert_eq!(
        statuses(&resumed["summary"]),
        ["rig released 1.0.1", "anim released 1.0.1"]
    );
    assert_eq!(decisions(&command("model", &["dirty"]).ok().json()), NONE);
    let shown = command("model", &["show", "anim"]).ok().json();
    assert_eq!(
        shown["releases"][0]["provenance"]["record"]["rebuilt_by"], id,
        "{shown:#}"
    );
    let listed = command("rig", &["cascade", "list"]).ok().json();
    assert_eq!(listed["cascades"][0]["ending"], "done", "{listed:#}");
    // The same content: attested in the store, for everybody.
    let path = format!("{}/__version__.py", module("model"));
    store.studio.write(&path, b"__version__ = \"1.2\"");
    let pushed = command("model", &["publish", "model", "--push"]).ok().json();
    assert_eq!(
        statuses(&pushed["cascade"]["summary"]),
        ["anim unchanged 1.0.1", "rig unchanged 1.0.1"],
        "{pushed:#}"
    );
    assert_eq!(decisions(&command("anim", &["dirty"]).ok().json()), NONE);
    let reverted = command("rig", &["cascade", "revert", id]).ok().json();
    assert_eq!(
        reverted["steps"].as_array().expect("steps").len(),
        3,
        "{reverted:#}"
    );
    assert_eq!(
        topics_of(store, id),
        ["cascade.started", "cascade.finished", "cascade.reverted"]
    );
}

/// The events of a cascade.
fn topics_of(store: &Store, id: &str) -> Vec<String> {
    let events = ["events", "--since", "0", "--topic", "cascade.*", "--json"];
    let events = store.run("anim", &events).ok().json();
    let events = events["events"].as_array().expect("events").iter();
    let told = events.filter(|event| event["cascade"] == id);
    told.filter_map(|event| event["topic"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// Assets in a store of objects.
struct Afar<'a>(&'a Store);

impl Afar<'_> {
    fn run(&self, workspace: &str, arguments: &[&str]) -> backlot_tests::Run {
        self.0.run(workspace, &[arguments, &["--json"]].concat())
    }

    /// An asset that is its code, or has a stage that reads its inputs, and its first release.
    fn first(&self, name: &str, before: &str, requires: &[&str], reads: &[&str]) {
        self.0.workspace(name);
        self.0.add_remote(name, "files", "chunked").ok();
        self.run(name, &["new", name]).ok();
        for requirement in requires {
            self.run(name, &["input", "add", name, requirement]).ok();
        }
        if !reads.is_empty() {
            self.run(name, &["install"]).ok();
            stage(&self.0.studio, name, before, reads);
        }
        self.publish(name, "1.0");
    }

    fn publish(&self, name: &str, version: &str) {
        let write = |file: &str, text: String| {
            let path = format!("{}/{file}", module(name));
            self.0.studio.write(&path, text.as_bytes());
        };
        write("__version__.py", format!("__version__ = \"{version}\""));
        write("code.py", format!("MADE = {version:?}\n"));
        self.run(name, &["install", "-U"]).ok();
        self.run(name, &["pull"]).ok();
        // Also over a release that a cascade made since.
        self.run(name, &["publish", name, "--repro", "--force", "-m", "over it"])
            .ok();
    }

    fn newest(&self, name: &str) -> Value {
        let shown = self.run("a", &["show", name]).ok().json();
        shown["releases"][0].clone()
    }
}

/// Scenarios by their numbers, in a store of objects: 2 to 6, 9, 10, 20 and 21.
fn scenarios_in_a_store(store: &Store) {
    let afar = Afar(store);
    let stop = store.studio.path("stop");
    afar.first("a", "", &[], &[]);
    afar.first("b", "", &["a"], &["a/code.py"]);
    let guard = format!("test ! -e {} && ", stop.display());
    afar.first("bad", &guard, &["a"], &["a/code.py"]);
    afar.first("bound", "", &["a<2"], &["a/code.py"]);
    afar.first("pinned", "", &["a==1.0"], &["a/code.py"]);
    afar.first("d", "", &["b", "bad"], &["b/made.txt", "bad/made.txt"]);
    // 6: who is pinned is listed and not built. 9: a failure blocks what follows it, and nothing else.
    afar.publish("a", "1.1");
    fs::write(&stop, "").expect("written");
    let failed = afar.run("a", &["cascade", "run", "a==1.1"]);
    assert_eq!(failed.output.status.code(), Some(5), "{}", failed.stderr());
    let failed = failed.json();
    assert_eq!(
        statuses(&failed["summary"]),
        [
            "b released 1.0.1",
            "bad failed",
            "bound released 1.0.1",
            "d blocked"
        ]
    );
    let pinned = afar.run("b", &["dirty", "a==1.1"]).ok().json();
    let mut nodes = pinned["nodes"].as_array().expect("nodes").iter();
    let pinned_node = nodes.find(|node| node["node"] == "far/pinned");
    assert_eq!(pinned_node.expect("it is listed")["hold"], "pin", "{pinned:#}");
    // 10: after a correction it is continued, by another machine; 2: the end of the diamond is built once.
    fs::remove_file(&stop).expect("removed");
    let id = failed["cascade"].as_str().expect("an id");
    let resumed = afar.run("d", &["cascade", "resume", id]).ok().json();
    assert_eq!(
        statuses(&resumed["summary"]),
        [
            "b released 1.0.1",
            "bad released 1.0.1",
            "bound released 1.0.1",
            "d released 1.0.1"
        ]
    );
    let built_with = afar.newest("d")["provenance"]["inputs"].clone();
    assert_eq!(built_with, serde_json::json!({ "b": "1.0.1", "bad": "1.0.1" }));
    // 3 and 4: a bound holds, and is told.
    afar.publish("a", "2.0");
    let major = afar
        .run("b", &["cascade", "run", "a==2.0", "--dry-run"])
        .ok()
        .json();
    let others = major["plan"]["others"].as_array().expect("others").iter();
    let held = others.filter(|other| other["hold"] == "bound");
    assert_eq!(
        held.map(|other| other["node"].clone()).collect::<Vec<_>>(),
        ["far/bound"]
    );
    a_hotfix_and_its_revert(&afar);
}

/// Scenarios 5, 20 and 21, after a 2.0 that no cascade has followed yet.
fn a_hotfix_and_its_revert(afar: &Afar<'_>) {
    // 5: those that are bound below 2 get the hotfix; the others are brought up to the newest release of the root.
    afar.publish("a", "1.1.1");
    let run = afar.run("b", &["cascade", "run", "a==1.1.1"]).ok().json();
    assert_eq!(
        statuses(&run["summary"]),
        [
            "b released 1.0.2",
            "bad released 1.0.2",
            "bound released 1.0.2",
            "d released 1.0.2"
        ]
    );
    let built_with = |name: &str| afar.newest(name)["provenance"]["inputs"]["a"].clone();
    assert_eq!(
        (built_with("bound"), built_with("b")),
        ("1.1.1".into(), "2.0".into())
    );
    // 21: somebody goes on from a release of it. 20: the revert goes leaf first, and leaves what was published on top.
    afar.publish("d", "1.1");
    let id = run["cascade"].as_str().expect("an id");
    let reverted = afar.run("bad", &["cascade", "revert", id]).ok().json();
    let steps = reverted["steps"].as_array().expect("steps");
    let place = |name: &str| {
        steps
            .iter()
            .position(|step| step["node"] == format!("far/{name}"))
    };
    assert!(
        place("d") < place("b") && place("d") < place("bad"),
        "{reverted:#}"
    );
    assert_eq!(place("a"), Some(steps.len() - 1));
    assert_eq!(reverted["on_top"][0]["node"], "far/d", "{reverted:#}");
    assert_eq!(afar.newest("b")["version"], "1.0.1");
    let again = afar.run("d", &["cascade", "revert", id]).ok().json();
    let mut steps = again["steps"].as_array().expect("steps").iter();
    assert!(steps.all(|step| step["done"] == true), "{again:#}");
    assert_eq!(afar.newest("b")["version"], "1.0.1");
}

#[test]
fn scenarios_hold_in_a_bucket() {
    scenarios_in_a_store(&Store::s3());
}

#[test]
fn scenarios_hold_behind_sftp() {
    let (store, _server) = Store::sftp();
    scenarios_in_a_store(&store);
}

#[test]
fn cascades_run_in_a_bucket() {
    runs_in_a_store(&Store::s3());
}

#[test]
fn cascades_run_behind_sftp() {
    let (store, _server) = Store::sftp();
    runs_in_a_store(&store);
}

#[test]
fn cascades_run_behind_webdav_which_commits_by_moving() {
    runs_in_a_store(&Store::webdav());
}
