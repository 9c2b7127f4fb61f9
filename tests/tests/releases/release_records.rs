//! Build records of releases, and dependents of an asset: read from repos of every kind, cached, and the same for everybody.

use backlot_tests::Studio;
use backlot_tests::chain::{at, chain, changes, decisions, dirty, first, node, release, version};
use backlot_tests::stores::Store;
use backlot_tests::wheels::put;
use fs_err as fs;
use serde_json::Value;

const NONE: [&str; 0] = [];

#[test]
fn a_release_without_a_record_is_dirty_with_unknown_inputs() {
    let studio = Studio::empty();
    first(&studio, "a", &[]);
    let entry = "[tgzr.pipeline.asset_info_trick]\nasset_name = Old\nasset_type = Prop\n";
    let old = backlot_tests::wheels::wheel_with(
        "old",
        "1.0",
        "Requires-Dist: a\n",
        "first",
        &[("old-1.0.dist-info/entry_points.txt", entry)],
    );
    studio.write("repos/review/packages/old/old-1.0-py3-none-any.whl", &old);
    // What is no asset is an input and nothing that anybody rebuilds.
    put(
        &studio,
        "repos/review/packages/lib",
        "lib",
        "1.0",
        "Requires-Dist: a\n",
    );
    let report = dirty(&studio, "a", &[]);
    assert_eq!(decisions(&report), ["1 review/old build"]);
    assert_eq!(node(&report, "old")["unknown_inputs"], true);
    let text = at(&studio, "a", &["dirty"]).ok().stdout();
    assert!(
        text.contains("review/old 1.0 -> 1.0.1  build  (unknown inputs)"),
        "{text}"
    );
}

#[test]
fn an_input_that_was_an_output_is_unknown_and_the_release_says_so() {
    let studio = Studio::empty();
    first(&studio, "table", &[]);
    // The set is made where the table is edited.
    at(&studio, "table", &["new", "set"]).ok();
    at(&studio, "table", &["input", "add", "set", "table"]).ok();
    at(&studio, "table", &["install"]).ok();
    at(&studio, "table", &["publish", "set"]).ok();
    let shown = at(&studio, "table", &["show", "set", "--json"]).ok().json();
    assert_eq!(
        shown["releases"][0]["provenance"]["record"]["inputs"],
        serde_json::json!([{ "package": "table", "version": "1.0", "editable": true }])
    );
    let report = dirty(&studio, "table", &[]);
    let set = node(&report, "set");
    assert_eq!(
        (&set["decision"], &set["changes"][0]["editable"]),
        (&"build".into(), &true.into()),
        "{report:#}"
    );
    let text = at(&studio, "table", &["dirty"]).ok().stdout();
    assert!(
        text.contains("table 1.0 (editable, content unknown) -> 1.0"),
        "{text}"
    );
}

#[test]
fn the_same_project_and_lock_give_the_same_wheel_and_other_inputs_another() {
    let studio = chain();
    let again = at(&studio, "rig", &["publish", "rig", "--json"]).ok().json();
    assert_eq!(again["already"], true);
    // Another workspace, which has a repo of another name.
    fs::create_dir_all(studio.path("other")).expect("made");
    studio.run(&["init", "other", "--python", "none"]).ok();
    at(&studio, "other", &["repo", "add", "dailies", "repos/review"]).ok();
    let copied = std::process::Command::new("cp")
        .args(["-r", "rig/outputs", "other/"])
        .current_dir(studio.root())
        .status();
    assert!(copied.expect("copied").success());
    at(&studio, "other", &["install"]).ok();
    let build =
        |workspace: &str| at(&studio, workspace, &["build", "rig", "--json"]).ok().json()["sha256"].clone();
    assert_eq!(build("other"), build("rig"));
    assert_eq!(build("rig"), again["wheel"]["sha256"]);

    release(&studio, "model", "1.1");
    at(&studio, "rig", &["install", "-U"]).ok();
    assert_ne!(build("other"), build("rig"));
    let error = at(&studio, "rig", &["publish", "rig", "--json"]).fails(5, "publish::other_inputs");
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("model 1.0 -> 1.1"), "{message}");
    at(&studio, "rig", &["bump", "rig", "micro"]).ok();
    at(&studio, "rig", &["publish", "rig"]).ok();
}

#[test]
fn dependents_are_listed_over_whole_repos_as_far_as_is_asked() {
    let studio = chain();
    let names = |arguments: &[&str]| -> Vec<String> {
        let report = at(
            &studio,
            "model",
            &[&["dependents", "model", "--json"], arguments].concat(),
        );
        let report = report.ok().json();
        let all = report["dependents"].as_array().expect("a list").iter();
        all.map(|one| format!("{} {}", one["depth"], one["package"].as_str().unwrap_or_default()))
            .collect()
    };
    assert_eq!(names(&[]), ["1 rig"]);
    assert_eq!(names(&["--depth", "2"]), ["1 rig", "2 anim"]);
    assert_eq!(names(&["--all", "--repo", "review"]), ["1 rig", "2 anim"]);
    let text = at(&studio, "model", &["dependents", "rig"]).ok().stdout();
    let row: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row, ["anim", "1.0", "review", "rig", "build", "1.0"]);
    let text = at(&studio, "model", &["dependents", "anim"]).ok().stdout();
    assert_eq!(text.trim(), "no asset in review requires anim");
    at(&studio, "model", &["dependents", "nothing", "--json"]).fails(4, "release::unknown");
    at(
        &studio,
        "model",
        &["dependents", "rig", "--repo", "revue", "--json"],
    )
    .fails(4, "config::unknown_name");
    // A release that does not require it any more is no dependent, whatever older ones do.
    at(&studio, "rig", &["input", "remove", "rig", "model"]).ok();
    release(&studio, "rig", "1.1");
    assert_eq!(names(&["--all"]), NONE);
}

#[test]
fn the_index_of_a_repo_follows_it_and_can_be_lost() {
    let studio = chain();
    let all = || decisions(&dirty(&studio, "anim", &[]));
    assert_eq!(all(), NONE);
    release(&studio, "model", "1.1");
    let expected = ["1 review/rig build", "2 review/anim build"];
    assert_eq!(all(), expected);
    let folder = studio.path("cache/releases");
    let kept: Vec<_> = fs::read_dir(&folder).expect("kept").collect();
    assert_eq!(kept.len(), 1);
    let kept = kept[0].as_ref().expect("an entry").path();
    for damage in [&b"{\"format\":1,"[..], b"", b"{\"format\":99,\"packages\":{}}"] {
        fs::write(&kept, damage).expect("damaged");
        assert_eq!(all(), expected);
    }
    fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(all(), expected);
    // What was withdrawn since counts at once, and what is gone is gone.
    at(&studio, "model", &["yank", "model==1.1", "-m", "no"]).ok();
    assert_eq!(all(), NONE);
    fs::remove_dir_all(studio.path("repos/review/packages/anim")).expect("removed");
    let users = at(&studio, "model", &["dependents", "rig", "--json"]).ok().json();
    assert_eq!(users["dependents"], serde_json::json!([]));
}

/// A chain of two in a store of objects, seen by its workspaces and through the pages that the store shows to the world.
fn is_followed_in_a_store(store: &Store) {
    let publish = |name: &str, number: &str| {
        version(&store.studio, name, number);
        store.run(name, &["install", "-U"]).ok();
        store.run(name, &["publish", name, "--json"]).ok().json()
    };
    for name in ["model", "rig"] {
        store.workspace(name);
        store.run(name, &["new", name]).ok();
    }
    publish("model", "1.0");
    store.run("rig", &["input", "add", "rig", "model"]).ok();
    publish("rig", "1.0");
    let report = |workspace: &str| store.run(workspace, &["dirty", "model", "--json"]).ok().json();
    assert_eq!(decisions(&report("model")), NONE);
    let published = publish("model", "1.1");
    assert_eq!(
        published["dirtied"],
        Value::Null,
        "asking a server is not done beside a publish"
    );
    let affected = report("model");
    assert_eq!(decisions(&affected), ["1 far/rig build"]);
    assert_eq!(changes(&affected["nodes"][0]), ["model 1.0 -> 1.1"]);
    assert_eq!(report("rig")["id"], affected["id"]);

    store.studio.run(&["init", "web"]).ok();
    store.run("web", &["repo", "add", "web", &store.simple]).ok();
    let read = report("web");
    assert_eq!(decisions(&read), ["1 web/rig build"]);
    assert_eq!(
        read["nodes"][0]["changes"],
        serde_json::json!([{
            "package": "model",
            "old": "1.0",
            "new": "1.1",
            "from": "web/model",
        }])
    );
}

#[test]
fn releases_in_a_bucket_and_behind_http_say_what_they_were_built_with() {
    is_followed_in_a_store(&Store::s3());
}

#[test]
fn releases_behind_sftp_say_what_they_were_built_with() {
    let (store, _server) = Store::sftp();
    is_followed_in_a_store(&store);
}
