//! Files sent in one pass without a copy: `add --to-remote` and `publish --no-cache`, in both layouts, in folders
//! and in stores.

use std::collections::BTreeMap;

use backlot_tests::stores::Store;
use backlot_tests::{Studio, noise, run_command};
use fs_err as fs;
use serde_json::Value;

const FRAMES: &str = "ws/outputs/table/src/table/frames";

/// Studios with a remote in each layout.
fn studios() -> [Studio; 2] {
    [Studio::new(), Studio::with_dvc_layout()]
}

/// What of the cache are files, not manifests.
fn cached_files(studio: &Studio) -> Vec<String> {
    let all = studio.snapshot("cache/files/md5").into_keys();
    all.filter(|name| !name.ends_with(".dir")).collect()
}

/// Another workspace with a cache of its own gets what was published.
fn pulled(studio: &Studio, name: &str, version: &str) -> BTreeMap<String, Vec<u8>> {
    studio.workspace(name);
    let cache = studio.path(&format!("{name}-cache"));
    for arguments in [&["install", version][..], &["pull"], &["verify", "--inputs"]] {
        let mut command = studio.command(&[&["-w", name], arguments].concat());
        run_command(command.env("BACKLOT_CACHE_DIR", &cache)).ok();
    }
    let mut found = BTreeMap::new();
    for (path, bytes) in studio.snapshot(&format!("{name}/inputs")) {
        if let Some((_, inside)) = path
            .split_once("site-packages/table/")
            .or(path.split_once("lib/table/"))
            && !inside.ends_with(".dvc")
            && (inside.starts_with("frames/") || inside.starts_with("model"))
        {
            found.insert(inside.to_owned(), bytes);
        }
    }
    found
}

fn planned_and_done(studio: &Studio, arguments: &[&str]) -> Value {
    let before = (studio.snapshot("ws/outputs"), studio.snapshot("remote"));
    let planned = studio
        .ws(&[arguments, &["--dry-run", "--json"]].concat())
        .ok()
        .json();
    assert_eq!((studio.snapshot("ws/outputs"), studio.snapshot("remote")), before);
    let done = studio.ws(&[arguments, &["--json"]].concat()).ok().json();
    let moved = if planned["pushed"].is_null() {
        "files"
    } else {
        "pushed"
    };
    for key in ["outs", "changes"] {
        assert_eq!(planned[key], done[key], "{key}: {planned:#}\n{done:#}");
    }
    for key in ["objects", "bytes", "already_there"] {
        assert_eq!(
            planned[moved][key], done[moved][key],
            "{key}: {planned:#}\n{done:#}"
        );
    }
    done
}

#[test]
fn frames_from_outside_go_to_the_remote_and_leave_only_a_pointer() {
    for studio in studios() {
        studio.ws(&["new", "Table"]).ok();
        studio.frames("scratch/frames", 6, 70_000, 3);
        studio.write("scratch/v7.abc", &noise(90_000, 9));
        let add = ["add", "scratch/frames", "--asset", "Table", "--to-remote"];
        let report = planned_and_done(&studio, &add);
        assert_eq!(
            (&report["outs"][0]["files"], &report["outs"][0]["stored_files"]),
            (&6.into(), &0.into())
        );
        let add = [
            "add",
            "scratch/v7.abc",
            "--asset",
            "Table",
            "--as",
            "model.abc",
            "--to-remote",
        ];
        planned_and_done(&studio, &add);
        assert!(studio.path("ws/outputs/table/src/table/frames.dvc").is_file());
        assert!(!studio.path(FRAMES).exists());
        assert!(!studio.path("ws/outputs/table/src/table/model.abc").exists());
        assert_eq!(cached_files(&studio), [] as [String; 0]);
        studio.ws(&["verify", "--remote"]).ok();

        let published = planned_and_done(&studio, &["publish", "Table"]);
        assert_eq!(published["files"]["objects"], 0, "{published:#}");
        assert_eq!(cached_files(&studio), [] as [String; 0]);
        let mut right = studio.snapshot("scratch/frames");
        right = right
            .into_iter()
            .map(|(name, bytes)| (format!("frames/{name}"), bytes))
            .collect();
        right.insert("model.abc".to_owned(), noise(90_000, 9));
        assert_eq!(pulled(&studio, "reader", "Table"), right);
    }
}

#[test]
fn a_retry_is_no_change_new_frames_join_the_others_and_what_is_here_is_not_passed_over() {
    for studio in studios() {
        studio.ws(&["new", "Table"]).ok();
        studio.frames("scratch/frames", 6, 30_000, 3);
        let add = [
            "add",
            "scratch/frames",
            "--asset",
            "Table",
            "--to-remote",
            "--json",
        ];
        studio.ws(&add).ok();
        let pointer = fs::read(studio.path("ws/outputs/table/src/table/frames.dvc")).expect("the pointer");
        let again = studio.ws(&add).ok().json();
        assert_eq!(
            (&again["outs"][0]["changed"], &again["pushed"]["sent"]),
            (&0.into(), &0.into()),
            "{again:#}"
        );
        assert_eq!(
            fs::read(studio.path("ws/outputs/table/src/table/frames.dvc")).expect("the pointer"),
            pointer
        );

        // A second node has other frames: all are in the folder then.
        fs::remove_dir_all(studio.path("scratch/frames")).expect("removed");
        studio.write("scratch/frames/f.0002.exr", b"rendered again");
        studio.write("scratch/frames/f.0007.exr", b"one more");
        let more = planned_and_done(&studio, &add[..5]);
        assert_eq!(more["outs"][0]["changes"]["new"], 1, "{more:#}");
        assert_eq!(more["outs"][0]["changes"]["changed"], 1, "{more:#}");
        studio.ws(&["publish", "Table"]).ok();
        let found = pulled(&studio, "reader", "Table");
        assert_eq!(found.len(), 7);
        assert_eq!(found["frames/f.0002.exr"], b"rendered again");
        assert_eq!(found["frames/f.0007.exr"], b"one more");

        // What is here and differs is somebody's work.
        studio.ws(&["pull"]).ok();
        studio.write(&format!("{FRAMES}/f.0001.exr"), b"painted over");
        let before = studio.snapshot(FRAMES);
        studio.write("scratch/frames/f.0001.exr", b"and rendered");
        studio.ws(&add).fails(5, "parts::files_here");
        assert_eq!(studio.snapshot(FRAMES), before);
    }
}

#[test]
fn a_publish_without_the_cache_sends_what_changed_and_copies_nothing() {
    for studio in studios() {
        studio.ws(&["new", "Table"]).ok();
        studio.frames(FRAMES, 5, 60_000, 4);
        studio.write("ws/outputs/table/src/table/model.abc", &noise(80_000, 5));
        studio
            .ws(&[
                "add",
                FRAMES,
                "ws/outputs/table/src/table/model.abc",
                "--to-remote",
            ])
            .ok();
        assert_eq!(cached_files(&studio), [] as [String; 0]);
        studio.ws(&["publish", "Table", "--no-cache"]).ok();
        studio.write(&format!("{FRAMES}/f.0003.exr"), &noise(60_000, 77));
        studio.ws(&["bump", "Table", "minor"]).ok();
        let report = planned_and_done(&studio, &["publish", "Table", "--no-cache"]);
        assert_eq!(report["files"]["objects"], 2, "{report:#}");
        assert_eq!(cached_files(&studio), [] as [String; 0]);
        let found = pulled(&studio, "reader", "Table");
        assert_eq!(found["frames/f.0003.exr"], noise(60_000, 77));
        assert_eq!(found["model.abc"], noise(80_000, 5));
        assert_eq!(found.len(), 6);
        // And the first release is what it was.
        assert_eq!(pulled(&studio, "second", "Table==0.1.0").len(), 6);
        studio.ws(&["verify", "--remote", "--releases"]).ok();
    }
}

#[test]
fn what_belongs_elsewhere_needs_the_cache_and_a_remote_is_needed() {
    let studio = Studio::new();
    studio.asset("Table", 2, 2_000);
    let pointer = studio.path("ws/outputs/table/src/table/frames.dvc");
    let text = fs::read_to_string(&pointer).expect("the pointer");
    fs::write(
        &pointer,
        text.replace("  path: frames", "  path: frames\n  push: false"),
    )
    .expect("written");
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"changed");
    studio
        .ws(&["add", FRAMES, "--to-remote", "--json"])
        .fails(5, "files::needs_cache");
    studio.write("scratch/one.exr", b"one");
    studio
        .ws(&[
            "add",
            "scratch/one.exr",
            "--asset",
            "Table",
            "--to-remote",
            "--json",
        ])
        .fails(5, "files::needs_cache");
    fs::write(&pointer, text).expect("written");
    studio.ws(&["remote", "remove", "main"]).ok();
    for arguments in [
        &["add", FRAMES, "--to-remote", "--json"][..],
        &["publish", "Table", "--no-cache", "--json"],
    ] {
        studio.ws(arguments).fails(3, "config::none_configured");
    }
    assert_eq!(
        fs::read(studio.path(&format!("{FRAMES}/f.0001.exr"))).expect("read"),
        b"changed"
    );
}

#[test]
fn killed_at_any_time_it_leaves_the_old_pointer_or_the_new_one_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    for round in 0..10_u64 {
        studio.frames("scratch/frames", 40, 90_000, 100 + round);
        let add = [
            "-w",
            "ws",
            "add",
            "scratch/frames",
            "--asset",
            "Table",
            "--to-remote",
        ];
        let pointer = studio.path("ws/outputs/table/src/table/frames.dvc");
        let before = fs::read(&pointer).ok();
        let mut child = studio.start(&add);
        std::thread::sleep(std::time::Duration::from_millis(20 + 30 * round));
        child.kill().ok();
        child.wait().expect("ended");
        let now = fs::read(&pointer).ok();
        if now != before {
            // What the pointer names can be pulled.
            studio.ws(&["verify", "--remote"]).ok();
        }
        studio.run(&add).ok();
        studio.ws(&["verify", "--remote"]).ok();
    }
    studio.ws(&["publish", "Table"]).ok();
    let right = studio.snapshot("scratch/frames");
    assert_eq!(pulled(&studio, "reader", "Table").len(), right.len());
}

#[test]
fn a_bucket_takes_them_too() {
    let store = Store::s3();
    store.workspace("ws");
    store.add_remote("ws", "files", "chunked").ok();
    store.run("ws", &["new", "Table"]).ok();
    store.studio.frames("scratch", 5, 40_000, 8);
    let add = [
        "add",
        "scratch",
        "--asset",
        "Table",
        "--as",
        "frames",
        "--to-remote",
    ];
    store.run("ws", &add).ok();
    store.run("ws", &["publish", "Table", "--no-cache"]).ok();
    assert_eq!(cached_files(&store.studio), [] as [String; 0]);
    store.run("ws", &["verify", "--remote", "--releases"]).ok();
    store.run("ws", &["pull"]).ok();
    assert_eq!(store.studio.snapshot(FRAMES), store.studio.snapshot("scratch"));
}
