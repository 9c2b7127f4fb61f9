//! Space of deprecated and yanked releases: `gc --drop` takes their files, the repo says so, and nothing else is touched.

use std::process::Stdio;
use std::time::Instant;

use backlot_tests::stores::Store;
use backlot_tests::{Random, Run, Studio, run_command};
use fs_err as fs;
use serde_json::Value;

use crate::collections::GC;

const DROP: [&str; 4] = ["--drop", "deprecated,yanked", "--drop-age", "0"];

/// The command in a workspace, with the cache of a person.
fn with(studio: &Studio, cache: &str, workspace: &str, arguments: &[&str]) -> Run {
    let mut command = studio.command(&[&["-w", workspace], arguments].concat());
    command.env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{cache}")));
    run_command(&mut command)
}

fn ana(studio: &Studio, arguments: &[&str]) -> Run {
    with(studio, "ana", "ws", arguments)
}

/// Table 0.1.0 and 0.2.0, with a frame that both have and others that only one has; and 0.3.0, which ana has in outputs.
fn three_releases() -> Studio {
    let studio = Studio::empty();
    let mut init = studio.command(&["init", "ws", "--python", "none"]);
    init.env("BACKLOT_CACHE_DIR", studio.path("cache-ana"));
    run_command(&mut init).ok();
    for arguments in [
        &["repo", "add", "review", "repos/review"][..],
        &["remote", "add", "main", "remote"],
        &["new", "Table"],
    ] {
        ana(&studio, arguments).ok();
    }
    let frames = "ws/outputs/table/src/table/frames";
    studio.frames(frames, 3, 50_000, 1);
    ana(&studio, &["add", frames]).ok();
    ana(&studio, &["publish", "Table"]).ok();
    let shared = format!("{frames}/f.0000.exr");
    let kept = fs::read(studio.path(&shared)).expect("a frame");
    studio.frames(frames, 3, 50_000, 2);
    studio.write(&shared, &kept);
    ana(&studio, &["add", frames]).ok();
    ana(&studio, &["publish", "Table", "--bump", "minor"]).ok();
    // What ana has here is another one.
    studio.frames(frames, 1, 50_000, 3);
    ana(&studio, &["add", frames]).ok();
    ana(&studio, &["publish", "Table", "--bump", "minor"]).ok();
    studio
}

/// Another person, with a cache of their own, gets a release and its files.
fn pull(studio: &Studio, person: &str, release: &str) -> Run {
    if !studio.path(person).exists() {
        let mut init = studio.command(&["init", person, "--python", "none"]);
        init.env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{person}")));
        run_command(&mut init).ok();
        with(studio, person, person, &["repo", "add", "review", "repos/review"]).ok();
        with(studio, person, person, &["remote", "add", "main", "remote"]).ok();
    }
    with(studio, person, person, &["install", release]).ok();
    with(studio, person, person, &["pull", "--json"])
}

fn collect(studio: &Studio, more: &[&str]) -> Value {
    ana(studio, &[&GC, more].concat()).ok().json()
}

/// Later collections, without any grace.
fn sweep(studio: &Studio) {
    for _ in 0..2 {
        collect(studio, &["--grace", "0"]);
    }
}

fn dropped(report: &Value) -> Vec<String> {
    let releases = report["dropped"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |one: &Value, key: &str| one[key].as_str().expect("a text").to_owned();
    let told = releases.iter().map(|one| {
        let used = if one["used_by"].is_null() { "" } else { " used" };
        format!(
            "{} {} {}{used}",
            text(one, "package"),
            text(one, "version"),
            text(one, "status")
        )
    });
    told.collect()
}

fn condemned(report: &Value) -> usize {
    report["condemned"].as_array().map_or(0, Vec::len)
}

#[test]
fn files_of_a_deprecated_release_are_collected_and_a_pull_of_it_says_why() {
    let studio = three_releases();
    ana(&studio, &["deprecate", "Table==0.1.0", "-m", "scale is wrong"]).ok();
    assert_eq!(condemned(&collect(&studio, &[])), 0, "only if that is asked for");
    let young = collect(&studio, &["--drop", "deprecated"]);
    assert_eq!(dropped(&young), [""; 0], "not before 30 days");
    assert_eq!(
        dropped(&collect(&studio, &["--drop", "yanked", "--drop-age", "0"])),
        [""; 0]
    );
    let before = studio.snapshot("repos");
    let planned = collect(&studio, &[&DROP[..], &["--dry-run"]].concat());
    assert_eq!(dropped(&planned), ["table 0.1.0 deprecated"], "{planned:#}");
    assert!(before == studio.snapshot("repos"), "a dry run changes nothing");
    let one = &planned["dropped"][0];
    assert_eq!(one["files"], 2, "the other one is in 0.2.0, too: {one:#}");
    assert!(one["bytes"].as_u64() >= Some(100_000), "{one:#}");

    let report = collect(&studio, &DROP);
    assert_eq!(report["dropped"], planned["dropped"]);
    assert!(condemned(&report) > 0, "{report:#}");
    assert_eq!(dropped(&collect(&studio, &DROP)), [""; 0], "once");
    // Until they are deleted, they can be had.
    pull(&studio, "early", "Table==0.1.0").ok();
    sweep(&studio);
    let failed = pull(&studio, "late", "Table==0.1.0").fails(4, "files::dropped");
    let message = failed["message"].as_str().expect("a message");
    assert!(
        message.contains("table 0.1.0") && message.contains("deprecated: scale is wrong"),
        "{message}"
    );
    assert!(
        message.contains("by ana") || message.contains("as ana"),
        "{message}"
    );
    let bundle = ["bundle", "Table==0.1.0", "-o", "table.tar.zst", "--json"];
    for more in [&["--dry-run"][..], &[]] {
        with(&studio, "late", "late", &[&bundle[..], more].concat()).fails(4, "files::dropped");
    }
    // All else is as it was, for everybody who looks.
    pull(&studio, "other", "Table==0.2.0").ok();
    ana(&studio, &["verify", "--remote", "--releases"]).ok();
    ana(&studio, &["verify", "--repo", "review"]).ok();
    let shown = ana(&studio, &["show", "Table==0.1.0"]).ok().stdout();
    assert!(
        shown.contains("no files") && shown.contains("scale is wrong"),
        "{shown}"
    );
    let cache = with(&studio, "late", "late", &[&GC[..], &["--dry-run"]].concat());
    assert_eq!(
        condemned(&cache.ok().json()),
        0,
        "nor is the collection of its user stopped"
    );
    ana(&studio, &["repo", "add", "blessed", "repos/blessed"]).ok();
    ana(
        &studio,
        &[
            "copy",
            "Table==0.1.0",
            "--from",
            "review",
            "--to",
            "blessed",
            "--json",
        ],
    )
    .fails(4, "files::dropped");
}

#[test]
fn an_approval_or_the_end_of_a_yank_calls_files_back_before_they_are_deleted() {
    let studio = three_releases();
    ana(&studio, &["deprecate", "Table==0.1.0", "-m", "old"]).ok();
    ana(&studio, &["yank", "Table==0.2.0", "-m", "torn"]).ok();
    let report = collect(&studio, &DROP);
    assert_eq!(dropped(&report), ["table 0.1.0 deprecated", "table 0.2.0 yanked"]);
    ana(&studio, &["approve", "Table==0.1.0", "-m", "needed again"]).ok();
    ana(&studio, &["unyank", "Table==0.2.0", "-m", "it was fine"]).ok();
    assert_eq!(
        dropped(&collect(&studio, &[&DROP[..], &["--dry-run"]].concat())),
        [""; 0]
    );
    sweep(&studio);
    pull(&studio, "one", "Table==0.1.0").ok();
    pull(&studio, "two", "Table==0.2.0").ok();
    ana(&studio, &["verify", "--remote", "--releases"]).ok();
}

#[test]
fn a_collection_that_is_killed_anywhere_drops_a_release_whole_or_not_at_all() {
    let studio = three_releases();
    let yank = || ana(&studio, &["yank", "Table==0.1.0", "-m", "torn"]).ok();
    let start = || {
        let mut command = studio.command(&[&["-w", "ws"], &GC[..], &DROP].concat());
        command.env("BACKLOT_CACHE_DIR", studio.path("cache-ana"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("started")
    };
    yank();
    let begun = Instant::now();
    assert!(start().wait().expect("it ends").success());
    let whole = begun.elapsed();
    let mut random = Random(19);
    for round in 0..12 {
        ana(&studio, &["unyank", "Table==0.1.0", "-m", "fine"]).ok();
        collect(&studio, &[]);
        yank();
        let mut child = start();
        let share = u32::try_from(random.next() % 1100).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        ana(&studio, &["verify", "--remote", "--releases"]).ok();
        // Nothing is deleted yet, whatever was said by then; and what was not said is said by a rerun.
        let person = format!("person-{round}");
        pull(&studio, &person, "Table==0.1.0").ok();
        collect(&studio, &DROP);
        assert_eq!(dropped(&collect(&studio, &DROP)), [""; 0], "round {round}");
    }
    sweep(&studio);
    pull(&studio, "late", "Table==0.1.0").fails(4, "files::dropped");
    pull(&studio, "other", "Table==0.2.0").ok();
    ana(&studio, &["verify", "--remote", "--releases"]).ok();
}

#[test]
fn what_a_lock_or_another_repo_needs_stays() {
    let studio = three_releases();
    ana(&studio, &["repo", "add", "blessed", "repos/blessed"]).ok();
    ana(
        &studio,
        &["copy", "Table==0.2.0", "--from", "review", "--to", "blessed"],
    )
    .ok();
    // A workspace of the same cache has the first in its lock.
    pull(&studio, "ana", "Table==0.1.0").ok();
    for release in ["Table==0.1.0", "Table==0.2.0"] {
        ana(&studio, &["yank", release, "--repo", "review", "-m", "torn"]).ok();
    }
    let text = ana(&studio, &[&GC[..7], &DROP, &["--dry-run"]].concat())
        .ok()
        .stdout();
    assert!(
        text.contains("kept the files of table 0.1.0 in review (yanked: torn): used by"),
        "{text}"
    );
    let report = collect(&studio, &DROP);
    assert_eq!(
        dropped(&report),
        ["table 0.2.0 yanked", "table 0.1.0 yanked used"]
    );
    assert_eq!(report["dropped"][0]["files"], 0, "the other repo needs them");
    sweep(&studio);
    pull(&studio, "one", "Table==0.1.0").ok();
    let mut reader = studio.command(&["init", "reader", "--python", "none"]);
    reader.env("BACKLOT_CACHE_DIR", studio.path("cache-reader"));
    run_command(&mut reader).ok();
    let reader = |arguments: &[&str]| with(&studio, "reader", "reader", arguments);
    reader(&["repo", "add", "blessed", "repos/blessed"]).ok();
    reader(&["remote", "add", "main", "remote"]).ok();
    reader(&["install", "Table==0.2.0"]).ok();
    reader(&["pull"]).ok();
}

#[test]
fn files_of_a_yanked_release_in_a_bucket_are_collected() {
    let store = Store::s3();
    store.workspace("ws");
    store.add_remote("ws", "files", "chunked").ok();
    store.run("ws", &["new", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    for seed in [1, 2] {
        store.studio.frames(frames, 2, 40_000, seed);
        store.run("ws", &["add", frames]).ok();
        store.run("ws", &["publish", "Table", "--bump", "minor"]).ok();
    }
    store.run("ws", &["yank", "Table==0.2.0", "-m", "torn"]).ok();
    let gc = |more: &[&str]| {
        let alone = [
            "gc",
            "--remote",
            "--young",
            "0",
            "--no-other-writers",
            "--allow-most",
            "--json",
        ];
        store.run("ws", &[&alone, more].concat()).ok().json()
    };
    assert_eq!(dropped(&gc(&DROP)), ["table 0.2.0 yanked"]);
    for _ in 0..2 {
        gc(&["--grace", "0"]);
    }
    fs::remove_dir_all(store.studio.path("cache")).expect("removed");
    store.workspace("reader");
    store.add_remote("reader", "files", "chunked").ok();
    store.run("reader", &["install", "Table==0.2.0"]).ok();
    store
        .run("reader", &["pull", "--json"])
        .fails(4, "files::dropped");
    store.run("reader", &["install", "Table==0.3.0"]).ok();
    store.run("reader", &["pull"]).ok();
}
