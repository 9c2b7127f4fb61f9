//! Small state files that are damaged by a crash or a disk: commands that do not need them work, others name the file and the fix.

use backlot_tests::{Run, Studio};
use fs_err as fs;

const FRAMES: &str = "ws/outputs/table/src/table/frames";
const RECORD: &str = "ws/.backlot/set-aside.json";

fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 1_000);
    studio.ws(&["publish", "Table"]).ok();
    studio
}

#[track_caller]
fn warns(run: &Run, code: &str) {
    assert!(run.stderr().contains(code), "{}", run.stderr());
}

#[test]
fn a_damaged_record_of_what_was_set_aside_stops_only_what_has_to_know_it() {
    let studio = studio();
    let frame = format!("{FRAMES}/f.0001.exr");
    studio.write(&frame, b"an edit");
    studio.ws(&["pull", "--force"]).ok();
    let mut edit = Vec::new();
    for damage in [&b""[..], b"{\"aside\": [", b"[]"] {
        edit.extend(b"and another edit");
        studio.write(RECORD, damage);
        fs::remove_file(studio.path("ws/.backlot/set-aside.damaged.json")).ok();
        studio.ws(&["pull"]).ok();
        studio.write(&format!("{FRAMES}/f.0002.exr"), damage);
        warns(&studio.ws(&["add", FRAMES]).ok(), "pull::unreadable_record");
        let error = studio
            .ws(&["pull", "--undo", "--json"])
            .fails(7, "pull::damaged_record");
        assert!(
            error["message"]
                .as_str()
                .expect("a message")
                .contains("set-aside.json")
        );
        // What it names is not known, so nothing is removed.
        let before = studio.snapshot("cache/files");
        studio
            .ws(&["cache", "clean", "--unused-for", "0", "--json"])
            .fails(7, "pull::damaged_record");
        studio
            .ws(&["gc", "--dry-run", "--json"])
            .fails(7, "pull::damaged_record");
        // Setting aside goes on in a new record, and the old one is not forgotten.
        studio.write(&frame, &edit);
        warns(&studio.ws(&["pull", "--force"]).ok(), "pull::unreadable_record");
        studio.ws(&["pull", "--undo"]).ok();
        assert_eq!(fs::read(studio.path(&frame)).expect("read"), edit);
        let error = studio
            .ws(&["cache", "clean", "--unused-for", "0", "--json"])
            .fails(7, "pull::damaged_record");
        assert!(
            error["help"]
                .as_str()
                .expect("help")
                .contains("set-aside.damaged.json"),
            "{error:#}"
        );
        let after = studio.snapshot("cache/files");
        assert!(before.keys().all(|object| after.contains_key(object)));
    }
    // The way out.
    fs::remove_file(studio.path("ws/.backlot/set-aside.damaged.json")).expect("removed");
    studio.ws(&["cache", "clean", "--unused-for", "0"]).ok();
    assert_eq!(fs::read(studio.path(&frame)).expect("read"), edit);
}

#[test]
fn a_damaged_lock_is_written_anew_by_lock_and_by_an_upgrade_as_the_others_say() {
    let studio = studio();
    studio.workspace("other");
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Table"]).ok();
    let lock = studio.path("other/backlot.lock");
    let right = fs::read(&lock).expect("a lock");
    for damage in [&b""[..], b"version = ", b"\xff"] {
        for command in [&["lock"][..], &["install", "--upgrade"]] {
            fs::write(&lock, damage).expect("written");
            for reader in [&["status", "--json"][..], &["update", "--json"]] {
                let error = other(reader).fails(3, "lock::damaged");
                let help = error["help"].as_str().expect("help");
                assert!(
                    help.contains("`backlot lock`") && help.contains("--upgrade"),
                    "{help}"
                );
            }
            warns(&other(command).ok(), "lock::rewritten");
            assert_eq!(fs::read(&lock).expect("a lock"), right, "{command:?}");
            other(&["status"]).ok();
        }
    }
}

#[test]
fn a_damaged_record_of_a_workspace_is_named_counts_as_unknown_and_is_healed_by_its_workspace() {
    let studio = studio();
    let folder = studio.path("cache/workspaces");
    let record = |studio: &Studio| {
        let entries = fs::read_dir(studio.path("cache/workspaces")).expect("listed");
        let paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(paths.len(), 1, "{paths:?}");
        paths[0].clone()
    };
    // That of a workspace that runs a command is made anew.
    let own = record(&studio);
    let right = fs::read(&own).expect("read");
    fs::write(&own, b"").expect("written");
    studio.ws(&["gc", "--dry-run"]).ok();
    assert_eq!(fs::read(&own).expect("read"), right);

    let unknown = folder.join("0".repeat(32));
    let named = unknown.display().to_string();
    for damage in [&b""[..], b"\xff\xfe", b"not/absolute"] {
        fs::write(&unknown, damage).expect("written");
        let report = studio.ws(&["gc", "--dry-run", "--json"]).ok();
        warns(&report, "gc::unreadable_workspace");
        assert_eq!(report.json()["unreadable"][0], named.as_str());
        let clean = ["cache", "clean", "--unused-for", "0", "--json"];
        let error = studio.ws(&clean).fails(6, "cache::unknown_needs");
        assert!(
            error["message"].as_str().expect("a message").contains(&named),
            "{error:#}"
        );
        let status = studio.ws(&["cache", "status", "--json"]).ok().json();
        let users = status["workspaces"].as_array().expect("workspaces");
        assert!(users.iter().any(|user| user["state"] == "damaged"), "{status:#}");
        studio
            .ws(&[&clean[..], &["--forget", named.as_str()]].concat())
            .ok();
        assert!(!unknown.exists() && own.exists());
    }
}
