//! Tracked folders that are only partly pulled: publishing, adding and removing, with consistent reports of all commands.

use std::process::Command;

use backlot_tests::{Run, Studio, noise, run_command, tool};
use fs_err as fs;
use serde_json::Value;

const MODULE: &str = "outputs/table/src/table";

/// A studio of each layout with a release of ten frames, and a workspace `other` that edits it and has none of them.
fn edited() -> [Studio; 2] {
    let studios = [Studio::new(), Studio::with_dvc_layout()];
    for studio in &studios {
        studio.asset("Table", 10, 30_000);
        studio.ws(&["publish", "Table"]).ok();
        fs::remove_dir_all(studio.path("cache")).expect("removed");
        studio.workspace("other");
        other(studio, &["install", "Table"]).ok();
        other(studio, &["edit", "Table"]).ok();
    }
    studios
}

fn other(studio: &Studio, arguments: &[&str]) -> Run {
    studio.run(&[&["-w", "other"], arguments].concat())
}

fn frame(number: usize) -> String {
    format!("other/{MODULE}/frames/f.{number:04}.exr")
}

fn state(studio: &Studio) -> Value {
    let report = other(studio, &["status", "--json"]).ok().json();
    report["outputs"][0]["outs"][0].clone()
}

/// What a dry run of `arguments` says and what the run then does, which is the same.
fn planned_and_done(studio: &Studio, arguments: &[&str]) -> Value {
    let planned = other(studio, &[arguments, &["--dry-run", "--json"]].concat())
        .ok()
        .json();
    let done = other(studio, &[arguments, &["--json"]].concat()).ok().json();
    for key in ["added", "changes", "outs"] {
        assert_eq!(planned[key], done[key], "{key}: {planned:#}\n{done:#}");
    }
    for key in ["objects", "bytes", "already_there"] {
        assert_eq!(
            planned["files"][key], done["files"][key],
            "{key}: {planned:#}\n{done:#}"
        );
    }
    for (key, plan) in planned["wheel"]["outs"][0].as_object().into_iter().flatten() {
        // A dry run fetches nothing, so it may not know the proof.
        if key != "blake3" {
            assert_eq!(
                plan, &done["wheel"]["outs"][0][key],
                "{key}: {planned:#}\n{done:#}"
            );
        }
    }
    done
}

/// What a third workspace, with a cache of its own, gets of the newest release.
fn received(studio: &Studio) -> Vec<(String, Vec<u8>)> {
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    studio.workspace("third");
    studio.run(&["-w", "third", "install", "Table"]).ok();
    studio.run(&["-w", "third", "edit", "Table"]).ok();
    studio.run(&["-w", "third", "pull"]).ok();
    studio
        .run(&["-w", "third", "verify", "--remote", "--releases"])
        .ok();
    let frames = studio.snapshot(&format!("third/{MODULE}/frames"));
    frames.into_iter().collect()
}

#[test]
fn one_frame_written_after_an_edit_gives_a_release_of_all_frames() {
    for studio in edited() {
        assert_eq!(state(&studio)["state"], "not-pulled");
        let new = noise(30_000, 77);
        studio.write(&frame(3), &new);
        let seen = state(&studio);
        assert_eq!(
            (
                &seen["state"],
                &seen["changed"],
                &seen["removed"],
                &seen["absent"]
            ),
            (&"modified".into(), &1.into(), &0.into(), &9.into()),
            "{seen:#}"
        );
        let done = planned_and_done(&studio, &["publish", "Table"]);
        assert_eq!(done["wheel"]["outs"][0]["files"], 10, "{done:#}");
        assert_eq!(done["wheel"]["outs"][0]["size"], 300_000, "{done:#}");
        assert_eq!(
            done["files"]["objects"], 2,
            "the frame and the manifest: {done:#}"
        );
        assert_eq!(
            (&done["changes"][0]["names"], &done["changes"][0]["kept"]),
            (&serde_json::json!(["~ f.0003.exr"]), &9.into())
        );
        let mut expected = studio.snapshot(&format!("ws/{MODULE}/frames"));
        expected.insert("f.0003.exr".to_owned(), new);
        assert_eq!(received(&studio), expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_release_whose_frames_nobody_pulled_or_changed_is_published_again_if_the_remote_has_them() {
    for studio in edited() {
        let done = planned_and_done(&studio, &["publish", "Table"]);
        assert_eq!(done["added"], serde_json::json!([]));
        assert_eq!(
            (&done["files"]["objects"], &done["files"]["already_there"]),
            (&0.into(), &11.into()),
            "{done:#}"
        );
        assert_eq!(received(&studio).len(), 10);
    }
}

#[test]
fn nothing_is_released_when_an_unchanged_frame_is_not_on_the_remote() {
    let [_, studio] = edited();
    let objects = studio.snapshot("remote/files/md5");
    let (lost, _) = objects
        .iter()
        .find(|(_, bytes)| bytes.len() == 30_000)
        .expect("a frame");
    fs::remove_file(studio.path("remote/files/md5").join(lost)).expect("removed");
    let before = studio.snapshot("repos");
    let refused = |arguments: &[&str]| {
        let error = other(&studio, &[arguments, &["--json"]].concat()).fails(4, "dvc::not_on_remote");
        let message = error["message"].as_str().expect("a message");
        assert_eq!(message.matches("frames/f.00").count(), 1, "{message}");
    };
    refused(&["publish", "Table", "--dry-run"]);
    refused(&["publish", "Table"]);
    studio.write(&frame(20), b"new");
    refused(&["publish", "Table", "--dry-run"]);
    refused(&["publish", "Table"]);
    assert_eq!(studio.snapshot("repos"), before);
}

#[test]
fn adding_a_member_of_a_tracked_folder_updates_that_entry() {
    for studio in edited() {
        studio.write(&frame(4), b"four");
        studio.write(&frame(11), b"eleven");
        let one = planned_and_done(&studio, &["add", &frame(4)]);
        assert_eq!(
            (
                &one["outs"][0]["files"],
                &one["outs"][0]["changed"],
                &one["outs"][0]["kept"]
            ),
            (&10.into(), &1.into(), &9.into()),
            "{one:#}"
        );
        let seen = state(&studio);
        assert_eq!(
            (&seen["added"], &seen["changed"], &seen["absent"]),
            (&1.into(), &0.into(), &9.into()),
            "{seen:#}"
        );
        let pushed = other(&studio, &["add", &frame(11), "--push", "--json"])
            .ok()
            .json();
        assert_eq!(pushed["outs"][0]["files"], 11);
        assert_eq!(
            pushed["pushed"]["objects"], 3,
            "two frames and the manifest: {pushed:#}"
        );
        other(&studio, &["pull"]).ok();
        assert_eq!(state(&studio)["state"], "unchanged");
        assert_eq!(studio.snapshot(&format!("other/{MODULE}/frames")).len(), 11);
    }
}

#[test]
fn frames_that_are_gone_are_named_and_those_that_were_never_here_have_to_be() {
    for studio in edited() {
        let gone = planned_and_done(&studio, &["publish", "Table", "--remove", &frame(0)]);
        assert_eq!(gone["changes"][0]["names"], serde_json::json!(["- f.0000.exr"]));
        assert_eq!(gone["wheel"]["outs"][0]["files"], 9);
        other(&studio, &["add", "--remove", &frame(0), "--json"]).fails(4, "dvc::not_a_member");
        other(&studio, &["add", &frame(1), "--json"]).fails(4, "dvc::no_such_path");
        other(&studio, &["pull"]).ok();
        other(&studio, &["add", "--remove", &frame(1), "--json"]).fails(5, "dvc::still_there");
        fs::remove_file(studio.path(&frame(1))).expect("removed");
        fs::remove_file(studio.path(&frame(2))).expect("removed");
        let seen = state(&studio);
        assert_eq!(
            (&seen["removed"], &seen["absent"]),
            (&2.into(), &0.into()),
            "{seen:#}"
        );
        other(&studio, &["bump", "Table", "micro"]).ok();
        let gone = planned_and_done(&studio, &["publish", "Table"]);
        assert_eq!(
            gone["changes"][0]["names"],
            serde_json::json!(["- f.0001.exr", "- f.0002.exr"])
        );
        assert_eq!(received(&studio).len(), 7);
    }
}

#[test]
fn many_changes_are_told_by_some_names_and_a_count() {
    let studio = Studio::new();
    studio.asset("Table", 60, 10);
    for number in 0..50 {
        fs::remove_file(studio.path(&format!("ws/{MODULE}/frames/f.{number:04}.exr"))).expect("removed");
    }
    let text = studio.ws(&["publish", "Table"]).ok().stdout();
    assert!(
        text.contains("0 new, 0 changed, 50 removed\n  - f.[0000-0019].exr\n  ... and 30 more\n"),
        "{text}"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person moves the folder away")]
fn what_was_pulled_into_another_folder_of_that_name_is_not_missed_in_a_new_one() {
    for studio in edited() {
        other(&studio, &["pull"]).ok();
        assert_eq!(state(&studio)["state"], "unchanged");
        let (project, old) = (studio.path("other/outputs/table"), studio.path("old"));
        fs_err::rename(&project, &old).expect("moved");
        // As a clone of a repository brings it: with pointers, without frames.
        for (path, bytes) in backlot_tests::snapshot(&old) {
            if !path.contains("/frames/") {
                studio.write(&format!("other/outputs/table/{path}"), &bytes);
            }
        }
        studio.write(&frame(3), b"three");
        let seen = state(&studio);
        assert_eq!(
            (&seen["removed"], &seen["absent"]),
            (&0.into(), &9.into()),
            "{seen:#}"
        );
    }
}

#[test]
fn the_record_can_be_deleted_and_then_nothing_is_removed_by_itself() {
    for studio in edited() {
        other(&studio, &["pull"]).ok();
        fs::remove_file(studio.path(&frame(1))).expect("removed");
        assert_eq!(state(&studio)["removed"], 1);
        fs::remove_file(studio.path("other/.backlot/state.db")).expect("removed");
        let seen = state(&studio);
        assert_eq!(
            (&seen["state"], &seen["absent"]),
            (&"partial".into(), &1.into()),
            "{seen:#}"
        );
        let done = planned_and_done(&studio, &["publish", "Table"]);
        assert_eq!(done["wheel"]["outs"][0]["files"], 10, "{done:#}");
    }
}

/// What is done to a tracked folder before a part of it is added: the name, files written, files removed, the part.
type Step = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const STEPS: &[Step] = &[
    (
        "a changed member while others are gone",
        &["f2"],
        &["f1", "sub/b"],
        "f2",
    ),
    ("a new member", &["f9"], &[], "f9"),
    ("a new member in a new folder", &["new/deep/f"], &[], "new/deep/f"),
    ("a member that is gone", &[], &["f3"], "f3"),
    (
        "a folder of which one file is gone and one is new",
        &["sub/c"],
        &["sub/a"],
        "sub",
    ),
    ("a folder that is gone", &[], &["new/deep/f"], "new"),
    ("a folder where a file was", &["f2/inside"], &["f2"], "f2"),
];

#[test]
fn adding_a_part_of_a_tracked_folder_gives_what_dvc_gives() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let ours = format!("ws/{MODULE}/data");
    let theirs = "theirs/data";
    let dvc = |arguments: &[&str]| {
        let mut dvc = Command::new(tool("dvc"));
        dvc.args(arguments)
            .current_dir(studio.path("theirs"))
            .env("HOME", studio.path("home"))
            .env("DVC_NO_ANALYTICS", "1");
        run_command(&mut dvc).ok();
    };
    let id = |pointer: &str| {
        let text = fs::read_to_string(studio.path(pointer)).expect("a pointer");
        let line = text.lines().find(|line| line.contains("md5: ")).expect("an md5");
        line.replace("outs:", "")
            .trim()
            .trim_start_matches("- ")
            .to_owned()
    };
    fs::create_dir_all(studio.path("theirs")).expect("made");
    dvc(&["init", "--no-scm", "-q"]);
    for folder in [ours.as_str(), theirs] {
        for name in ["f1", "f2", "f3", "sub/a", "sub/b"] {
            studio.write(&format!("{folder}/{name}"), name.as_bytes());
        }
    }
    dvc(&["add", "-q", "data"]);
    studio.ws(&["add", &ours]).ok();
    for (step, (name, written, removed, part)) in STEPS.iter().enumerate() {
        for folder in [ours.as_str(), theirs] {
            for path in *removed {
                let path = studio.path(&format!("{folder}/{path}"));
                fs::remove_file(&path).expect("removed");
                // A folder of which nothing is left goes, too.
                for above in path.ancestors().skip(1).take(2) {
                    if !above.ends_with("data") {
                        fs::remove_dir(above).ok();
                    }
                }
            }
            for path in *written {
                studio.write(&format!("{folder}/{path}"), format!("step {step}").as_bytes());
            }
        }
        dvc(&["add", "-q", &format!("data/{part}")]);
        studio.ws(&["add", &format!("{ours}/{part}")]).ok();
        assert_eq!(id(&format!("{ours}.dvc")), id(&format!("{theirs}.dvc")), "{name}");
    }
}
