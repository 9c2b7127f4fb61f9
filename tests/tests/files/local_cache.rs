//! Cleaning the cache of a machine: files that no workspace needs are removed, all others are kept, also during concurrent changes.
#![expect(
    clippy::disallowed_methods,
    reason = "a disk that is not mounted is played by renaming a folder"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use backlot_tests::{Studio, run_command};
use fs_err as fs;
use serde_json::Value;

/// A studio with two releases of `Table`: the workspace `other` has the first, `ws` has the second as its output.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 4, 20_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Table"]).ok();
    studio.run(&["-w", "other", "pull"]).ok();
    studio.frames("ws/outputs/table/src/table/frames", 4, 20_000, 2);
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio
}

fn objects(studio: &Studio) -> BTreeSet<String> {
    studio.snapshot("cache/files/md5").into_keys().collect()
}

fn wheels(studio: &Studio) -> usize {
    let entries = fs::read_dir(studio.path("cache/wheels")).expect("wheels");
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .count()
}

/// A dry run, then the run, which does what that said.
fn clean(studio: &Studio, arguments: &[&str]) -> Value {
    let arguments = [&["cache", "clean", "--json"], arguments].concat();
    let before = studio.snapshot("cache");
    let planned = studio.ws(&[&arguments[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(studio.snapshot("cache"), before, "a dry run changed the cache");
    let done = studio.ws(&arguments).ok().json();
    for key in [
        "objects",
        "packages",
        "freed",
        "kept_bytes",
        "unneeded_bytes",
        "forgotten",
    ] {
        assert_eq!(planned[key], done[key], "{key}: {planned:#}\n{done:#}");
    }
    done
}

#[test]
fn what_a_workspace_needs_stays_and_what_none_needs_goes() {
    let studio = studio();
    // Added, and pushed nowhere.
    studio.write("ws/outputs/table/src/table/notes.bin", b"only here");
    studio.ws(&["add", "ws/outputs/table/src/table/notes.bin"]).ok();
    let all = objects(&studio);
    let report = clean(&studio, &["--unused-for", "0"]);
    assert_eq!(
        (&report["objects"], &report["packages"]),
        (&0.into(), &0.into()),
        "{report:#}"
    );
    assert_eq!(objects(&studio), all);

    // The other workspace takes the new release: the frames and the wheel of the old one are needed by nobody.
    studio.run(&["-w", "other", "update"]).ok();
    studio.run(&["-w", "other", "pull"]).ok();
    assert_eq!(wheels(&studio), 2);
    let report = clean(&studio, &["--unused-for", "0"]);
    assert_eq!(
        (&report["objects"], &report["packages"]),
        (&5.into(), &1.into()),
        "{report:#}"
    );
    assert!(report["freed"].as_u64() > Some(4 * 20_000), "{report:#}");
    assert_eq!((objects(&studio).len(), wheels(&studio)), (all.len() - 5, 1));

    // What stayed is what was needed, and what went comes back.
    studio.ws(&["verify", "--cache"]).ok();
    studio.ws(&["push"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.run(&["-w", "other", "install", "Table==0.1.0"]).ok();
    studio.run(&["-w", "other", "pull"]).ok();
    studio.run(&["-w", "other", "verify"]).ok();
}

#[test]
fn what_was_used_recently_stays_unless_it_is_said_otherwise() {
    let studio = studio();
    fs::remove_dir_all(studio.path("other")).expect("removed");
    let report = clean(&studio, &["--forget-missing"]);
    assert_eq!(report["objects"], 0, "{report:#}");
    assert!(report["unneeded_bytes"].as_u64() > Some(4 * 20_000), "{report:#}");
    assert_eq!(clean(&studio, &["--unused-for", "0"])["objects"], 5);
}

#[test]
fn nothing_goes_while_a_workspace_cannot_be_asked() {
    let studio = studio();
    let all = objects(&studio);
    let other = studio.path("other");
    // A disk that is not mounted looks just so.
    fs::rename(&other, studio.path("elsewhere")).expect("renamed");
    let clean_all = ["cache", "clean", "--unused-for", "0", "--json"];
    let error = studio.ws(&clean_all).fails(6, "cache::unknown_needs");
    let said = error["message"].as_str().expect("a message");
    assert!(said.contains(other.to_str().expect("text")), "{said}");
    assert_eq!(objects(&studio), all);
    let status = studio.ws(&["cache", "status", "--json"]).ok().json();
    let states: Vec<&str> = status["workspaces"]
        .as_array()
        .expect("workspaces")
        .iter()
        .filter_map(|one| one["state"].as_str())
        .collect();
    assert_eq!(states, ["missing", "there"]);

    // It is there again.
    fs::rename(studio.path("elsewhere"), &other).expect("renamed");
    assert_eq!(clean(&studio, &["--unused-for", "0"])["objects"], 0);
    studio
        .ws(&[&clean_all[..], &["--forget", "nowhere"]].concat())
        .fails(4, "cache::unknown_workspace");
    // It is done without by its name, and remembered again by its next command.
    let report = clean(
        &studio,
        &["--unused-for", "0", "--forget", other.to_str().expect("text")],
    );
    assert_eq!(report["objects"], 5, "{report:#}");
    studio.run(&["-w", "other", "pull"]).ok();
    studio.run(&["-w", "other", "verify"]).ok();
    assert_eq!(clean(&studio, &["--unused-for", "0"])["objects"], 0);
}

#[test]
fn an_output_whose_manifest_is_nowhere_stops_a_cleaning() {
    let studio = Studio::new();
    studio.asset("Table", 4, 20_000);
    let manifests: Vec<PathBuf> = objects(&studio)
        .into_iter()
        .filter(|name| name.ends_with(".dir"))
        .map(|name| studio.path("cache/files/md5").join(name))
        .collect();
    assert_eq!(manifests.len(), 1);
    fs::remove_file(&manifests[0]).expect("removed");
    let all = objects(&studio);
    studio
        .ws(&["cache", "clean", "--unused-for", "0", "--json"])
        .fails(7, "cache::unknown_manifest");
    assert_eq!(objects(&studio), all);
    // Adding the files again is the way out that it tells.
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    assert_eq!(clean(&studio, &["--unused-for", "0"])["objects"], 0);
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn bounds_are_met_by_what_was_not_used_for_the_longest_time_and_needs_come_before_them() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    let mut steps = Vec::new();
    for seed in 1..=3 {
        let before = objects(&studio);
        studio.frames(frames, 4, 100_000, seed);
        studio.ws(&["add", frames]).ok();
        steps.push(&objects(&studio) - &before);
        // The disk tells the time in seconds here.
        std::thread::sleep(Duration::from_millis(1_100));
    }
    let size = 4 * 102_400;
    let report = clean(
        &studio,
        &[
            "--unused-for",
            "0",
            "--max-size",
            &(2 * size + 50_000).to_string(),
        ],
    );
    assert_eq!(report["within_bounds"], true, "{report:#}");
    let left = objects(&studio);
    assert!(
        steps[0].is_disjoint(&left) || report["objects"] == 4,
        "{report:#}"
    );
    assert!(
        steps[1].is_subset(&left) && steps[2].is_subset(&left),
        "the newer ones went"
    );

    // What is needed stays, whatever the bounds.
    let report = clean(&studio, &["--unused-for", "0", "--max-size", "1kB"]);
    assert_eq!(report["within_bounds"], false, "{report:#}");
    assert!(steps[2].is_subset(&objects(&studio)));
    let free = report["free"].as_u64().expect("bytes");
    let report = clean(
        &studio,
        &["--unused-for", "0", "--min-free", &(free * 1000).to_string()],
    );
    assert_eq!(report["within_bounds"], false, "{report:#}");
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn a_cleaning_waits_for_commands_that_change_a_workspace_and_they_for_it() {
    let studio = studio();
    fs::remove_dir_all(studio.path("other")).expect("removed");
    let all = objects(&studio);
    let clean_all = [
        "-w",
        "ws",
        "cache",
        "clean",
        "--unused-for",
        "0",
        "--forget-missing",
    ];
    let lock = fs::File::open(studio.path("cache/lock")).expect("the lock of the cache");
    let lock = lock.file();
    lock.lock_shared().expect("held, as by a command");
    let mut cleaning = studio.start(&clean_all);
    std::thread::sleep(Duration::from_millis(700));
    assert!(cleaning.try_wait().expect("asked").is_none(), "it did not wait");
    assert_eq!(objects(&studio), all);
    // Commands do not wait for each other.
    studio.ws(&["bump", "Table", "minor"]).ok();
    lock.unlock().expect("given up");
    assert!(cleaning.wait().expect("ended").success());
    assert_eq!(objects(&studio).len(), all.len() - 5);

    lock.lock().expect("held, as by a cleaning");
    let mut bump = studio.start(&["-w", "ws", "bump", "Table", "minor"]);
    std::thread::sleep(Duration::from_millis(700));
    assert!(bump.try_wait().expect("asked").is_none(), "it did not wait");
    lock.unlock().expect("given up");
    assert!(bump.wait().expect("ended").success());
}

#[test]
fn a_cleaning_that_is_killed_leaves_a_cache_that_serves() {
    let studio = Studio::new();
    for seed in 0..8_u64 {
        let count = 150;
        if seed == 0 {
            studio.asset("Table", count, 600);
        } else {
            studio.frames("ws/outputs/table/src/table/frames", count, 600, seed + 1);
            studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
        }
    }
    let needed = studio.snapshot("ws/outputs/table/src/table/frames");
    let mut killed = 0;
    for round in 0..12_u64 {
        let mut cleaning = studio.start(&["-w", "ws", "cache", "clean", "--unused-for", "0"]);
        std::thread::sleep(Duration::from_millis(10 + 12 * round));
        killed += usize::from(cleaning.try_wait().expect("asked").is_none());
        cleaning.kill().ok();
        cleaning.wait().expect("ended");
        assert!(studio.wrong_objects("cache").is_empty());
    }
    assert!(killed > 2, "only {killed} were killed");
    clean(&studio, &["--unused-for", "0"]);
    assert_eq!(objects(&studio).len(), needed.len() + 1);
    fs::remove_dir_all(studio.path("ws/outputs/table/src/table/frames")).expect("removed");
    studio.ws(&["pull", "--force"]).ok();
    assert_eq!(studio.snapshot("ws/outputs/table/src/table/frames"), needed);
}

#[test]
fn the_status_tells_what_each_kind_takes_and_who_uses_the_cache() {
    let studio = studio();
    let status = studio.ws(&["cache", "status", "--json"]).ok().json();
    let part = |kind: &str| {
        let parts = status["parts"].as_array().expect("parts");
        parts
            .iter()
            .find(|part| part["kind"] == kind)
            .expect("the kind")
            .clone()
    };
    assert_eq!(part("objects")["count"], objects(&studio).len(), "{status:#}");
    assert_eq!(part("wheels")["count"], wheels(&studio), "{status:#}");
    assert!(
        part("objects")["bytes"].as_u64() >= Some(8 * 20_000),
        "{status:#}"
    );
    let sum: u64 = status["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .filter_map(|part| part["bytes"].as_u64())
        .sum();
    assert_eq!(status["bytes"], sum);
    // Beside what `du` counts, whose own blocks of folders are the difference.
    let du = run_command(
        std::process::Command::new("du")
            .args(["-s", "-B1"])
            .arg(studio.path("cache")),
    )
    .ok();
    let du: u64 = du
        .stdout()
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!(sum <= du && sum * 10 > du * 3, "{sum} beside {du}");
    let text = studio.ws(&["cache", "status"]).ok().stdout();
    assert!(text.contains("objects") && text.contains("/other"), "{text}");
}
