//! Collections of a remote that several projects share: files of releases in all their repos are kept, or nothing is collected.

use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;
use serde_json::Value;

pub(crate) const GC: [&str; 8] = [
    "gc",
    "--remote",
    "main",
    "--young",
    "0",
    "--no-other-writers",
    "--allow-most",
    "--json",
];

/// Two projects with a repo, a cache and an asset each, and one remote.
fn projects() -> Studio {
    let studio = Studio::empty();
    for (project, asset) in [("one", "Table"), ("two", "Chair")] {
        run(&studio, project, &[], &["init", project]).ok();
        let repo = format!("repos/{project}");
        ws(&studio, project, &["repo", "add", project, &repo]).ok();
        ws(&studio, project, &["remote", "add", "main", "remote"]).ok();
        ws(&studio, project, &["new", asset]).ok();
        let module = asset.to_lowercase();
        let frames = format!("{project}/outputs/{module}/src/{module}/frames");
        studio.frames(&frames, 3, 5000, if project == "one" { 1 } else { 2 });
        ws(&studio, project, &["add", &frames]).ok();
        ws(&studio, project, &["publish", asset]).ok();
    }
    studio
}

/// The command with the cache of a project.
fn run(studio: &Studio, cache: &str, first: &[&str], arguments: &[&str]) -> Run {
    let mut command = studio.command(&[first, arguments].concat());
    command.env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{cache}")));
    run_command(&mut command)
}

fn ws(studio: &Studio, project: &str, arguments: &[&str]) -> Run {
    run(studio, project, &["-w", project], arguments)
}

/// A new user of the first project pulls what it published.
fn pull_table(studio: &Studio, user: &str) -> Run {
    if !studio.path(user).exists() {
        run(studio, user, &[], &["init", user]).ok();
        ws(studio, user, &["repo", "add", "one", "repos/one"]).ok();
        ws(studio, user, &["remote", "add", "main", "remote"]).ok();
    }
    ws(studio, user, &["install", "Table"]).ok();
    ws(studio, user, &["pull"])
}

fn count(report: &Value, list: &str) -> usize {
    report[list].as_array().map_or(0, Vec::len)
}

#[test]
fn a_collection_keeps_what_the_releases_of_another_project_need() {
    let studio = projects();
    let report = ws(&studio, "two", &GC).ok().json();
    assert_eq!(count(&report, "condemned"), 0, "{report:#}");
    assert_eq!(report["releases"], 2, "{report:#}");
    let read = report["also_read"][0].as_str().expect("a repo");
    assert!(read.ends_with("repos/one"), "{read}");
    pull_table(&studio, "reader").ok();
    ws(&studio, "reader", &["verify", "--remote", "--releases"]).ok();
}

#[test]
fn a_record_is_written_once_and_copying_a_release_leaves_one_for_the_target() {
    let studio = projects();
    let records = || -> Vec<(String, Vec<u8>)> { studio.snapshot("remote/v1/users").into_iter().collect() };
    let before = records();
    assert_eq!(before.len(), 2);
    studio.frames("one/outputs/table/src/table/frames", 3, 5000, 3);
    ws(&studio, "one", &["bump", "Table", "minor"]).ok();
    ws(&studio, "one", &["publish", "Table"]).ok();
    assert_eq!(records(), before);
    ws(&studio, "one", &["repo", "add", "blessed", "repos/blessed"]).ok();
    ws(
        &studio,
        "one",
        &["copy", "Table", "--from", "one", "--to", "blessed", "--dry-run"],
    )
    .ok();
    assert_eq!(records(), before);
    ws(
        &studio,
        "one",
        &["copy", "Table", "--from", "one", "--to", "blessed"],
    )
    .ok();
    assert_eq!(records().len(), 3);
}

#[test]
fn a_collection_that_cannot_read_a_recorded_repo_refuses_and_both_ways_out_work() {
    let studio = projects();
    // Mounted elsewhere, as on another machine.
    let moved = |from: &str, to: &str| {
        let copied = run_command(std::process::Command::new("mv").args([studio.path(from), studio.path(to)]));
        copied.ok();
    };
    moved("repos/one", "repos/far");
    for more in [&[][..], &["--dry-run"]] {
        let error = ws(&studio, "two", &[&GC, more].concat()).fails(6, "gc::repo_not_read");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("repos/one"), "{message}");
    }
    ws(&studio, "two", &["repo", "add", "far", "repos/far"]).ok();
    let report = ws(&studio, "two", &GC).ok().json();
    assert_eq!(count(&report, "condemned"), 0, "{report:#}");
    // Gone for good.
    ws(&studio, "two", &["repo", "remove", "far"]).ok();
    let error = ws(&studio, "two", &GC).fails(6, "gc::repo_not_read");
    let help = error["help"].as_str().expect("help");
    let way_out = help.rsplit('`').nth(1).expect("a command");
    let arguments: Vec<&str> = way_out.split(' ').skip(1).collect();
    ws(
        &studio,
        "two",
        &["gc", "--remote", "main", "--forget-user", "x", "--json"],
    )
    .fails(4, "gc::unknown_record");
    let short = ["--young", "0", "--no-other-writers", "--json"];
    let planned = ws(&studio, "two", &[&arguments[..], &short, &["--dry-run"]].concat())
        .ok()
        .json();
    assert_eq!(count(&planned, "forgotten"), 1, "{planned:#}");
    assert_eq!(
        studio.snapshot("remote/v1/users").len(),
        2,
        "a dry run drops nothing"
    );
    let report = ws(
        &studio,
        "two",
        &[&arguments[..], &short, &["--allow-most"]].concat(),
    )
    .ok()
    .json();
    assert_eq!(report["condemned"], planned["condemned"]);
    assert!(count(&report, "condemned") > 0, "{report:#}");
    assert_eq!(studio.snapshot("remote/v1/users").len(), 1);
    ws(&studio, "two", &GC).ok();
}

#[test]
fn a_record_that_cannot_be_read_stops_a_collection_and_can_be_forgotten() {
    let studio = projects();
    studio.write(
        "remote/v1/users/00000000000000000000000000000001.json",
        b"{\"format\": 9}",
    );
    let error = ws(&studio, "two", &GC).fails(6, "gc::repo_not_read");
    assert!(
        error["help"]
            .as_str()
            .expect("help")
            .contains("--forget-user 00000000000000000000000000000001")
    );
    let forget = ["--forget-user", "00000000000000000000000000000001"];
    ws(&studio, "two", &[&GC[..], &forget].concat()).ok();
    // A URL in a record is never asked.
    let url = r#"{"format": 1, "repo": "http://127.0.0.1:9/simple/", "identity": null, "name": "x", "workspace": "", "machine": "m", "user": "u", "seen": 0}"#;
    studio.write(
        "remote/v1/users/00000000000000000000000000000002.json",
        url.as_bytes(),
    );
    let error = ws(&studio, "two", &GC).fails(6, "gc::repo_not_read");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("recorded URLs are not contacted")
    );
}

/// The records are lost, as if a version that knows none had published, and the second project condemns what the first needs.
fn condemned() -> Studio {
    let studio = projects();
    fs::remove_dir_all(studio.path("remote/v1/users")).expect("removed");
    let report = ws(&studio, "two", &GC).ok().json();
    assert!(count(&report, "condemned") > 0, "{report:#}");
    studio
}

/// A later collection, without any grace.
fn sweep(studio: &Studio) -> Value {
    let now = [&GC[..], &["--grace", "0"]].concat();
    ws(studio, "two", &now).ok();
    ws(studio, "two", &now).ok().json()
}

#[test]
fn a_pull_of_what_is_condemned_warns_and_takes_it_back_for_good() {
    let studio = condemned();
    let pulled = pull_table(&studio, "reader").ok();
    assert!(pulled.stderr().contains("condemned"), "{}", pulled.stderr());
    sweep(&studio);
    let pulled = pull_table(&studio, "later").ok();
    assert!(!pulled.stderr().contains("condemned"), "{}", pulled.stderr());
}

#[test]
fn verify_warns_of_what_is_condemned_and_takes_it_back_for_good() {
    let studio = condemned();
    let verify = ["verify", "--remote", "--releases", "--json"];
    let report = ws(&studio, "one", &verify).ok();
    assert!(report.stderr().contains("condemned"), "{}", report.stderr());
    assert_eq!(
        count(&report.json()["remote"], "condemned"),
        4,
        "{:#}",
        report.json()
    );
    let again = ws(&studio, "one", &verify).ok().json();
    assert_eq!(count(&again["remote"], "condemned"), 0, "{again:#}");
    sweep(&studio);
    pull_table(&studio, "reader").ok();
}

#[test]
fn what_else_a_tomb_names_stays_condemned_when_some_of_it_is_taken_back() {
    let studio = projects();
    ws(&studio, "one", &["new", "Lamp"]).ok();
    studio.frames("one/outputs/lamp/src/lamp/frames", 3, 5000, 9);
    ws(
        &studio,
        "one",
        &["add", "one/outputs/lamp/src/lamp/frames", "--push"],
    )
    .ok();
    fs::remove_dir_all(studio.path("remote/v1/users")).expect("removed");
    let report = ws(&studio, "two", &GC).ok().json();
    let all = count(&report, "condemned");
    pull_table(&studio, "reader").ok();
    let left = ws(&studio, "two", &[&GC[..], &["--dry-run"]].concat())
        .ok()
        .json();
    let waiting = count(&left, "waiting");
    assert!(0 < waiting && waiting < all, "{waiting} of {all}: {left:#}");
}

#[test]
fn what_is_condemned_and_needed_is_copied_to_another_remote_with_a_warning() {
    let studio = condemned();
    ws(&studio, "one", &["remote", "add", "site", "site"]).ok();
    let copy = ws(&studio, "one", &["remote", "copy", "main", "site", "--json"]).ok();
    assert!(copy.stderr().contains("4 files"), "{}", copy.stderr());
    assert!(copy.stderr().contains("condemned"), "{}", copy.stderr());
    // Those of the other project, which nobody condemned, and ours.
    assert_eq!(copy.json()["objects"], 8, "{:#}", copy.json());
    ws(&studio, "one", &["verify", "--remote", "site", "--releases"]).ok();
}

#[test]
fn restore_says_what_can_be_read_again_and_what_is_gone() {
    let studio = condemned();
    let restore = ["gc", "--remote", "main", "--restore", "--json"];
    let planned = ws(&studio, "two", &[&restore[..], &["--dry-run"]].concat())
        .ok()
        .json();
    assert_eq!(planned["files"], 4, "{planned:#}");
    // One of the packs was deleted by a collection that was killed then.
    let keys = planned["restored"].as_array().expect("keys");
    let pack = keys
        .iter()
        .find_map(|key| key.as_str().filter(|key| key.contains("packs")))
        .expect("a pack");
    fs::remove_file(studio.path("remote").join(pack)).expect("removed");
    let restored = ws(&studio, "two", &restore).ok().json();
    assert_eq!(restored["gone"], serde_json::json!([pack]), "{restored:#}");
    assert!(restored["files"].as_u64().expect("a number") < 4, "{restored:#}");
    let again = ws(&studio, "two", &restore).ok().json();
    assert_eq!(count(&again, "restored"), 0, "{again:#}");
}

#[test]
fn verify_without_a_name_looks_at_what_is_pinned_to_the_other_remotes() {
    let studio = projects();
    ws(&studio, "one", &["remote", "add", "far", "far-remote"]).ok();
    let module = "one/outputs/table/src/table";
    studio.write(&format!("{module}/rig.bin"), &[7; 4000]);
    ws(&studio, "one", &["add", &format!("{module}/rig.bin")]).ok();
    let pointer = studio.path(&format!("{module}/rig.bin.dvc"));
    let text = fs::read_to_string(&pointer).expect("a pointer");
    fs::write(&pointer, format!("{text}  remote: far\n")).expect("pinned");
    ws(&studio, "one", &["bump", "Table", "minor"]).ok();
    ws(&studio, "one", &["publish", "Table"]).ok();
    let verify = ["verify", "--remote", "--releases", "--json"];
    let report = ws(&studio, "one", &verify).ok().json();
    assert_eq!(report["other_remotes"][0]["name"], "far", "{report:#}");
    assert_eq!(report["other_remotes"][0]["objects"], 1, "{report:#}");
    fs::remove_dir_all(studio.path("far-remote/v1/recipes")).expect("lost");
    let report = ws(&studio, "one", &verify);
    assert_eq!(report.output.status.code(), Some(7), "{}", report.stdout());
    assert_eq!(
        count(&report.json()["other_remotes"][0], "missing"),
        1,
        "{}",
        report.stdout()
    );
    ws(&studio, "one", &["repair", "--remote", "far"]).ok();
    ws(&studio, "one", &verify).ok();
}

#[test]
fn a_release_whose_wheel_is_gone_stops_a_collection_until_it_is_given_up() {
    for whole in [false, true] {
        let studio = projects();
        let folder = studio.path("repos/one/packages/table");
        let wheel = "table-0.1.0-py3-none-any.whl";
        if whole {
            fs::remove_dir_all(&folder).expect("removed");
        } else {
            fs::remove_file(folder.join(wheel)).expect("removed");
        }
        let verify = ["verify", "--remote", "main", "--releases", "--json"];
        let planned = [&GC[..], &["--dry-run"]].concat();
        for (project, arguments) in [("two", &GC[..]), ("two", &planned[..]), ("one", &verify[..])] {
            let error = ws(&studio, project, arguments).fails(7, "workspace::unreadable_release");
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains(wheel), "{arguments:?}: {message}");
            let help = error["help"].as_str().expect("help");
            assert!(
                help.contains("backlot repo reindex") && help.contains(".json"),
                "{help}"
            );
        }
        // What the help says, for somebody who removed it on purpose.
        for derived in [".json", ".metadata"] {
            let path = folder.join(format!("{wheel}{derived}"));
            assert_eq!(path.exists(), !whole);
            fs::remove_file(path).ok();
        }
        ws(&studio, "one", &["repo", "reindex", "one"]).ok();
        let report = ws(&studio, "two", &GC).ok().json();
        assert!(count(&report, "condemned") > 0, "{whole}: {report:#}");
    }
}
