//! An output and the releases of its package: ahead, behind, diverged; refusals, and merging a newer release.

use backlot_tests::{Run, Studio};
use fs_err as fs;
use serde_json::Value;

const MODULE: &str = "outputs/table/src/table";

/// `ws` has published `Table` 0.1.0 with four frames; `one` and `two` edit it.
fn artists() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 4, 1_000);
    studio.ws(&["publish", "Table"]).ok();
    for artist in ["one", "two"] {
        studio.workspace(artist);
        at(&studio, artist, &["install", "Table"]).ok();
        at(&studio, artist, &["edit", "Table"]).ok();
        at(&studio, artist, &["pull"]).ok();
    }
    studio
}

fn at(studio: &Studio, workspace: &str, arguments: &[&str]) -> Run {
    studio.run(&[&["-w", workspace], arguments].concat())
}

/// How the only output of a workspace stands to its releases.
fn base(studio: &Studio, workspace: &str) -> Value {
    let report = at(studio, workspace, &["status", "--json"]).ok().json();
    report["outputs"][0]["base"].clone()
}

fn state(studio: &Studio, workspace: &str) -> String {
    let base = base(studio, workspace);
    base["state"]
        .as_str()
        .unwrap_or_else(|| panic!("{base:#}"))
        .to_owned()
}

fn frame(workspace: &str, number: usize) -> String {
    format!("{workspace}/{MODULE}/frames/f.{number:04}.exr")
}

/// The names of changes, with their signs.
fn changed(changes: &Value) -> Vec<&str> {
    let names = changes["names"].as_array().expect("names");
    names.iter().filter_map(Value::as_str).collect()
}

fn publish_as(studio: &Studio, workspace: &str, author: &str) -> Run {
    let mut command = studio.command(&["-w", workspace, "publish", "Table", "--json"]);
    backlot_tests::run_command(command.env("BACKLOT_AUTHOR", author))
}

#[test]
fn status_tells_what_an_output_is_ahead_of_behind_of_and_diverged_from() {
    let studio = artists();
    assert_eq!(state(&studio, "one"), "unchanged");
    studio.write(&frame("one", 9), b"a new frame");
    let seen = base(&studio, "one");
    assert_eq!(
        (&seen["state"], &seen["base"]),
        (&"ahead".into(), &"0.1.0".into()),
        "{seen:#}"
    );
    // Recording the change does not make it a part of the release.
    at(&studio, "one", &["add", &format!("one/{MODULE}/frames")]).ok();
    assert_eq!(state(&studio, "one"), "ahead");
    publish_as(&studio, "one", "ben").ok();
    assert_eq!(state(&studio, "one"), "unchanged");

    let seen = base(&studio, "two");
    assert_eq!(
        (
            &seen["state"],
            &seen["newer"]["version"],
            &seen["newer"]["author"],
            &seen["newer"]["repo"]
        ),
        (&"behind".into(), &"0.1.1".into(), &"ben".into(), &"review".into()),
        "{seen:#}"
    );
    let text = at(&studio, "two", &["status"]).ok().stdout();
    assert!(
        text.contains("behind: edited from 0.1.0, but 0.1.1 in review by ben exists"),
        "{text}"
    );
    studio.write(&frame("two", 1), b"another first frame");
    assert_eq!(state(&studio, "two"), "diverged");
    // The release that was yanked is nobody's base.
    studio.ws(&["yank", "Table==0.1.1", "-m", "broken"]).ok();
    assert_eq!(state(&studio, "two"), "ahead");
}

#[test]
fn files_that_are_added_after_a_publish_are_a_change_of_the_release() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    assert_eq!(state(&studio, "ws"), "unpublished");
    studio.ws(&["publish", "Table"]).ok();
    assert_eq!(state(&studio, "ws"), "unchanged");
    studio.frames("frames", 3, 100, 1);
    studio.ws(&["add", "frames", "--asset", "Table"]).ok();
    let seen = base(&studio, "ws");
    assert_eq!(
        (&seen["state"], &seen["changes"]["new"]),
        (&"ahead".into(), &1.into()),
        "{seen:#}"
    );
    assert_eq!(changed(&seen["changes"]), ["+ table/frames"], "{seen:#}");
    let text = studio.ws(&["status"]).ok().stdout();
    assert!(
        text.contains("`backlot bump Table micro`, then publish"),
        "{text}"
    );
    // So does code, and a requirement; the version alone is no change.
    studio.ws(&["bump", "Table", "micro"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bump", "Table", "micro"]).ok();
    assert_eq!(state(&studio, "ws"), "unchanged");
    studio.ws(&["input", "add", "Table", "Lamp", "--no-check"]).ok();
    assert_eq!(state(&studio, "ws"), "ahead");
    studio.ws(&["input", "remove", "Table", "Lamp"]).ok();
    studio.write(&format!("ws/{MODULE}/shading.py"), b"x = 1\n");
    let seen = base(&studio, "ws");
    assert_eq!(changed(&seen["changes"]), ["+ table/shading.py"], "{seen:#}");
}

#[test]
fn the_changes_of_another_are_not_left_out_by_a_bump() {
    let studio = artists();
    studio.write(&frame("one", 9), b"a new frame");
    publish_as(&studio, "one", "ben").ok();
    studio.write(&frame("two", 1), b"another first frame");
    for bumped in [false, true] {
        if bumped {
            at(&studio, "two", &["bump", "Table", "micro"]).ok();
        }
        for more in [&[][..], &["--dry-run"]] {
            let run = at(&studio, "two", &[&["publish", "Table", "--json"], more].concat());
            let error = run.fails(5, "publish::diverged");
            let message = error["message"].as_str().unwrap_or_default();
            for part in ["0.1.0", "0.1.1", "review", "by ben"] {
                assert!(message.contains(part), "{part}: {message}");
            }
            assert!(
                error["help"].as_str().unwrap_or_default().contains("--rebase"),
                "{error:#}"
            );
        }
    }
    let force = ["publish", "Table", "--force", "-m", "the new frame was wrong"];
    at(&studio, "two", &force).ok();
    assert_eq!(state(&studio, "two"), "unchanged");
    assert_eq!(state(&studio, "one"), "behind");
}

#[test]
fn a_rebase_takes_over_what_only_the_release_changed() {
    let studio = artists();
    studio.write(&frame("one", 9), b"a new frame");
    studio.write(&frame("one", 2), b"another third frame");
    fs::remove_file(studio.path(&frame("one", 3))).expect("removed");
    studio.write(&format!("one/{MODULE}/shading.py"), b"x = 1\n");
    publish_as(&studio, "one", "ben").ok();

    studio.write(&frame("two", 1), b"another second frame");
    let folder = format!("two/{MODULE}/frames");
    at(&studio, "two", &["edit", "Table", "--rebase", "--json"]).fails(5, "edit::not_added");
    at(&studio, "two", &["add", &folder]).ok();
    let before = studio.snapshot("two/outputs");
    let planned = at(
        &studio,
        "two",
        &["edit", "Table", "--rebase", "--dry-run", "--json"],
    )
    .ok()
    .json();
    assert_eq!(studio.snapshot("two/outputs"), before, "a dry run");
    let done = at(&studio, "two", &["edit", "Table", "--rebase", "--json"])
        .ok()
        .json();
    assert_eq!(planned["changes"], done["changes"]);
    assert_eq!(
        (&done["onto"], &done["version"]),
        (&"0.1.1".into(), &"0.1.2".into()),
        "{done:#}"
    );
    let mut names = changed(&done["changes"]);
    names.sort_unstable();
    let expected = [
        "+ table/frames/f.0009.exr",
        "+ table/shading.py",
        "- table/frames/f.0003.exr",
        "~ table/frames/f.0002.exr",
    ];
    assert_eq!(names, expected, "{done:#}");

    // Both artists' frames are in what is published then.
    assert_eq!(state(&studio, "two"), "ahead");
    at(&studio, "two", &["publish", "Table"]).ok();
    studio.workspace("third");
    at(&studio, "third", &["install", "Table"]).ok();
    at(&studio, "third", &["edit", "Table"]).ok();
    at(&studio, "third", &["pull"]).ok();
    let frames = studio.snapshot(&format!("third/{MODULE}/frames"));
    let names: Vec<&str> = frames.keys().map(String::as_str).collect();
    assert_eq!(names, ["f.0000.exr", "f.0001.exr", "f.0002.exr", "f.0009.exr"]);
    assert_eq!(frames["f.0001.exr"], b"another second frame");
    assert_eq!(frames["f.0002.exr"], b"another third frame");
    assert!(studio.path(&format!("third/{MODULE}/shading.py")).is_file());
}

#[test]
fn what_was_never_pulled_stays_away_in_a_rebase_and_what_is_here_follows_it() {
    let studio = artists();
    studio.write(&frame("one", 2), b"another third frame");
    studio.write(&frame("one", 9), b"a new frame");
    publish_as(&studio, "one", "ben").ok();
    studio.workspace("far");
    // The release before, of which one frame is here.
    at(&studio, "far", &["install", "Table==0.1.0"]).ok();
    at(&studio, "far", &["edit", "Table"]).ok();
    let third = fs::read(studio.path(&format!("ws/{MODULE}/frames/f.0002.exr"))).expect("read");
    studio.write(&frame("far", 2), &third);
    at(&studio, "far", &["edit", "Table", "--rebase"]).ok();
    let frames = studio.snapshot(&format!("far/{MODULE}/frames"));
    assert_eq!(frames.len(), 1, "{:?}", frames.keys());
    assert_eq!(frames["f.0002.exr"], b"another third frame");
    assert_eq!(state(&studio, "far"), "unchanged");
    at(&studio, "far", &["pull"]).ok();
    assert_eq!(studio.snapshot(&format!("far/{MODULE}/frames")).len(), 5);
    let again = at(&studio, "far", &["edit", "Table", "--rebase", "--json"])
        .ok()
        .json();
    assert_eq!(again["onto"], Value::Null, "{again:#}");
}

#[test]
fn files_that_both_changed_are_named_and_nothing_is_done() {
    let studio = artists();
    studio.write(&frame("one", 1), b"one's second frame");
    studio.write(&frame("one", 2), b"the same third frame");
    studio.write(&format!("one/{MODULE}/shading.py"), b"x = 1\n");
    publish_as(&studio, "one", "ben").ok();
    studio.write(&frame("two", 1), b"two's second frame");
    studio.write(&frame("two", 2), b"the same third frame");
    studio.write(&format!("two/{MODULE}/shading.py"), b"x = 2\n");
    at(&studio, "two", &["add", &format!("two/{MODULE}/frames")]).ok();
    let before = studio.snapshot("two/outputs");
    let error = at(&studio, "two", &["edit", "Table", "--rebase", "--json"]).fails(5, "edit::conflicts");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("table/frames/f.0001.exr, table/shading.py") && !message.contains("f.0002"),
        "{message}"
    );
    assert_eq!(studio.snapshot("two/outputs"), before);
    // Made the same, they are no conflict.
    studio.write(&frame("two", 1), b"one's second frame");
    studio.write(&format!("two/{MODULE}/shading.py"), b"x = 1\n");
    at(&studio, "two", &["add", &format!("two/{MODULE}/frames")]).ok();
    at(&studio, "two", &["edit", "Table", "--rebase"]).ok();
    assert_eq!(state(&studio, "two"), "unchanged");
}

#[test]
fn what_a_release_adds_where_something_untracked_is_is_a_conflict_and_the_dry_run_tells() {
    let studio = artists();
    for (path, bytes) in [("one.exr", b"theirs"), ("seq/a.exr", b"frames")] {
        studio.write(&format!("one/{MODULE}/{path}"), bytes);
    }
    let added = ["one.exr", "seq"].map(|path| format!("one/{MODULE}/{path}"));
    at(&studio, "one", &["add", &added[0], &added[1]]).ok();
    publish_as(&studio, "one", "ben").ok();

    let mine = |path: &str| format!("two/{MODULE}/{path}");
    let conflict = |names: &str| {
        let before = studio.snapshot("two/outputs");
        for more in [&["--dry-run"][..], &[]] {
            let rebase = ["edit", "Table", "--rebase", "--json"];
            let error = at(&studio, "two", &[&rebase[..], more].concat()).fails(5, "edit::conflicts");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.ends_with(names), "{message}");
        }
        assert_eq!(studio.snapshot("two/outputs"), before);
    };
    studio.write(&mine("one.exr"), b"mine");
    studio.write(&mine("seq"), b"a file where the folder would be");
    conflict(": table/one.exr (not tracked here), table/seq/a.exr (not tracked here)");
    fs::remove_file(studio.path(&mine("seq"))).expect("removed");
    studio.write(&mine("seq/a.exr"), b"my frame");
    studio.write(&mine("seq/b.exr"), b"another of mine");
    conflict(": table/one.exr (not tracked here), table/seq/a.exr (not tracked here)");
    // The same content, or out of the way: no conflict. What the release has not is left alone.
    studio.write(&mine("one.exr"), b"theirs");
    fs::remove_file(studio.path(&mine("seq/a.exr"))).expect("removed");
    at(&studio, "two", &["edit", "Table", "--rebase"]).ok();
    at(&studio, "two", &["pull"]).ok();
    let read = |path: &str| fs::read(studio.path(&mine(path))).expect("read");
    assert_eq!(
        (read("one.exr"), read("seq/a.exr"), read("seq/b.exr")),
        (
            b"theirs".to_vec(),
            b"frames".to_vec(),
            b"another of mine".to_vec()
        )
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_a_release_changed_is_executable_after_a_rebase_as_it_is_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let studio = artists();
    let script = |artist: &str| format!("{artist}/{MODULE}/tool.bin");
    studio.write(&script("one"), b"#!/bin/sh\n");
    let executable = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(studio.path(&script("one")), executable).expect("set");
    at(&studio, "one", &["add", &script("one")]).ok();
    publish_as(&studio, "one", "ben").ok();
    for step in [&["edit", "Table", "--rebase"][..], &["pull"]] {
        at(&studio, "two", step).ok();
    }
    studio.write(&script("one"), b"#!/bin/sh\necho newer\n");
    at(&studio, "one", &["bump", "Table", "micro"]).ok();
    publish_as(&studio, "one", "ben").ok();
    at(&studio, "two", &["edit", "Table", "--rebase"]).ok();
    let here = studio.path(&script("two"));
    assert_eq!(fs::read(&here).expect("read"), b"#!/bin/sh\necho newer\n");
    let mode = fs::metadata(&here).expect("there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "{mode:o}");
    let unchanged = || {
        let report = at(&studio, "two", &["status", "--json"]).ok().json();
        let outs = report["outputs"][0]["outs"].as_array().expect("outs");
        assert!(outs.iter().all(|out| out["state"] == "unchanged"), "{report:#}");
    };
    unchanged();
    // A release that changes nothing but the mode is followed, too, and what was changed here stays beside it.
    let plain = std::fs::Permissions::from_mode(0o644);
    fs::set_permissions(studio.path(&script("one")), plain).expect("set");
    at(&studio, "one", &["add", &script("one")]).ok();
    at(&studio, "one", &["bump", "Table", "micro"]).ok();
    publish_as(&studio, "one", "ben").ok();
    let rebase = ["edit", "Table", "--rebase", "--json"];
    let planned = at(&studio, "two", &[&rebase[..], &["--dry-run"]].concat())
        .ok()
        .json();
    let done = at(&studio, "two", &rebase).ok().json();
    assert_eq!(planned["changes"], done["changes"]);
    assert_eq!(done["changes"]["changed"], 1, "{done:#}");
    let mode = fs::metadata(&here).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "{mode:o}");
    unchanged();
    // Content from one side, the mode from the other.
    let executable = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(&here, executable).expect("set");
    at(&studio, "two", &["add", &script("two")]).ok();
    studio.write(&script("one"), b"#!/bin/sh\necho newest\n");
    at(&studio, "one", &["bump", "Table", "micro"]).ok();
    publish_as(&studio, "one", "ben").ok();
    at(&studio, "two", &["edit", "Table", "--rebase"]).ok();
    assert_eq!(fs::read(&here).expect("read"), b"#!/bin/sh\necho newest\n");
    let mode = fs::metadata(&here).expect("there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "{mode:o}");
    unchanged();
}

#[test]
fn an_asset_of_the_same_name_made_elsewhere_is_not_published_over() {
    let studio = artists();
    studio.workspace("stranger");
    at(&studio, "stranger", &["new", "Table"]).ok();
    assert_eq!(state(&studio, "stranger"), "diverged");
    at(&studio, "stranger", &["publish", "Table", "--json"]).fails(5, "repo::release_exists");
    at(&studio, "stranger", &["bump", "Table", "minor"]).ok();
    let error = at(&studio, "stranger", &["publish", "Table", "--json"]).fails(5, "publish::diverged");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("not edited from a release") && message.contains("by ana"),
        "{message}"
    );
}

#[test]
fn a_damaged_record_of_the_base_counts_as_absent_and_nobody_is_published_over() {
    let studio = artists();
    let record = "one/outputs/table/.backlot-base.json";
    for garbage in [&[0; 300][..], b"{", b"[]"] {
        studio.write(record, garbage);
        let status = at(&studio, "one", &["status"]).ok();
        assert!(
            status.stderr().contains("output::base_unreadable"),
            "{}",
            status.stderr()
        );
        assert_eq!(state(&studio, "one"), "diverged");
        let run = at(&studio, "one", &["publish", "Table", "--json"]);
        assert!(run.stderr().contains("base_unreadable") || run.stdout().contains("base_unreadable"));
        run.fails(5, "publish::diverged");
    }
    studio.write(record, b"{\"format\": 2, \"other\": 1}");
    at(&studio, "one", &["publish", "Table", "--json"]).fails(3, "lock::newer_format");
    // The way out: what is the same in both is no conflict.
    studio.write(record, b"{");
    at(&studio, "one", &["edit", "Table", "--rebase"]).ok();
    assert_eq!(state(&studio, "one"), "unchanged");
}

#[test]
fn an_identical_release_is_published_already_and_a_dry_run_says_so() {
    let studio = Studio::new();
    studio.asset("Table", 3, 1_000);
    let planned = studio
        .ws(&["publish", "Table", "--dry-run", "--json"])
        .ok()
        .json();
    let done = studio.ws(&["publish", "Table", "--json"]).ok().json();
    for key in ["sha256", "size", "files", "wheel", "outs"] {
        assert_eq!(planned["wheel"][key], done["wheel"][key], "{key}");
    }
    assert_eq!(planned["already"], false);
    for more in [&["--dry-run"][..], &[]] {
        let report = studio
            .ws(&[&["publish", "Table", "--json"], more].concat())
            .ok()
            .json();
        assert_eq!(report["already"], true, "{report:#}");
    }
    // With a change that is not added yet, the dry run tells the digests that the run will have.
    studio.write(&format!("ws/{MODULE}/frames/f.0007.exr"), b"a new frame");
    studio
        .ws(&["publish", "Table", "--dry-run", "--json"])
        .fails(5, "repo::release_exists");
    studio.ws(&["bump", "Table", "micro"]).ok();
    let planned = studio
        .ws(&["publish", "Table", "--dry-run", "--json"])
        .ok()
        .json();
    let done = studio.ws(&["publish", "Table", "--json"]).ok().json();
    for key in ["sha256", "size", "files", "outs"] {
        assert_eq!(planned["wheel"][key], done["wheel"][key], "{key}");
    }
    assert_eq!(planned["gaps"], done["gaps"]);
    assert_eq!(done["gaps"][0]["names"][0], "f.0003.exr", "{done:#}");
}

#[test]
fn a_publish_that_was_stopped_before_it_noted_the_release_is_known_to_be_ours() {
    let studio = Studio::new();
    studio.asset("Table", 3, 1_000);
    studio.ws(&["publish", "Table"]).ok();
    let record = "ws/outputs/table/.backlot-base.json";
    let noted: Value = serde_json::from_slice(&fs::read(studio.path(record)).expect("read")).expect("JSON");
    // As a kill right after the release was created leaves it.
    let stopped = serde_json::json!({ "format": 1, "base": null, "pending": noted["base"] });
    studio.write(record, stopped.to_string().as_bytes());
    assert_eq!(state(&studio, "ws"), "unchanged");
    studio.write(&format!("ws/{MODULE}/frames/f.0001.exr"), b"another frame");
    studio.ws(&["bump", "Table", "micro"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    // As a kill right before leaves it: what was about to be published is in no repo.
    let mut stopped = serde_json::json!({ "format": 1, "base": null, "pending": noted["base"] });
    stopped["pending"]["sha256"] = "0".repeat(64).into();
    studio.write(record, stopped.to_string().as_bytes());
    assert_eq!(state(&studio, "ws"), "diverged");
    // Without a record the same bytes are still the same release.
    studio.write(record, b"not a record");
    let run = studio.ws(&["publish", "Table", "--json"]).ok();
    assert_eq!(run.json()["already"], true);
    assert!(
        run.stderr().contains("output::base_unreadable"),
        "{}",
        run.stderr()
    );
}
