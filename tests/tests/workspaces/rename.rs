//! Renaming an output: updated references, conflicts, and an interrupted rename.

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::Value;

/// `ws` with Table 0.1.0 published and installed, its frames, and two assets that require it.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 6, 2_000);
    let text = "\"\"\"Builds the table.\"\"\"\nimport table\n";
    studio.write("ws/outputs/table/src/table/build.py", text.as_bytes());
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["install", "Table"]).ok();
    for name in ["Kitchen", "Shot"] {
        studio.ws(&["new", name]).ok();
    }
    studio.ws(&["input", "add", "Kitchen", "Table>=0.1,<2"]).ok();
    studio
        .ws(&["input", "add", "Shot", "table", "--group", "build"])
        .ok();
    studio
}

fn text(studio: &Studio, path: &str) -> String {
    fs::read_to_string(studio.path(path)).expect("a text")
}

/// What `status` says of an output.
fn status(studio: &Studio, name: &str) -> Value {
    let status = studio.ws(&["status", "--json"]).ok().json();
    let outputs = status["outputs"].as_array().expect("outputs").clone();
    let found = outputs.into_iter().find(|output| output["name"] == name);
    found.unwrap_or_else(|| panic!("{status:#}"))
}

#[test]
fn all_that_names_the_asset_follows_and_its_files_stay_tracked() {
    let studio = studio();
    let before = studio.snapshot("ws");
    let planned = studio
        .ws(&["rename", "Table", "Work Desk", "--dry-run", "--json"])
        .ok()
        .json();
    let unchanged = |path: &&String| !path.starts_with(".backlot");
    let after = studio.snapshot("ws");
    assert!(
        before.keys().filter(unchanged).eq(after.keys().filter(unchanged)),
        "a dry run changes nothing"
    );
    let mut done = studio.ws(&["rename", "Table", "Work Desk", "--json"]).ok().json();
    done["dry_run"] = true.into();
    assert_eq!(planned, done, "the plan is what is done");
    assert_eq!(done["package"], "work-desk");
    assert_eq!(done["path"], "outputs/work_desk");
    let required: Vec<_> = done["requirements"].as_array().expect("a list").iter().collect();
    assert_eq!(required.len(), 3, "{done:#}");
    assert_eq!(
        done["mentions"],
        serde_json::json!(["outputs/work_desk/src/work_desk/build.py"])
    );

    assert!(!studio.path("ws/outputs/table").exists());
    assert!(text(&studio, "ws/outputs/kitchen/pyproject.toml").contains("\"Work-Desk>=0.1,<2\""));
    assert!(text(&studio, "ws/outputs/kitchen/src/kitchen/asset.toml").contains("Work-Desk>=0.1,<2"));
    assert!(text(&studio, "ws/outputs/shot/pyproject.toml").contains("build = [\"Work-Desk\"]"));
    assert!(text(&studio, "ws/backlot.toml").contains("\"Work-Desk\""));
    let desk = "ws/outputs/work_desk";
    assert!(text(&studio, &format!("{desk}/README.md")).starts_with("# Work Desk\n"));
    assert!(
        text(&studio, &format!("{desk}/src/work_desk/asset.toml")).contains("asset_name = \"Work Desk\"")
    );
    // Its files are tracked and as they were, one that is removed now is seen, and it stands on no release.
    let found = status(&studio, "Work Desk");
    assert_eq!(found["outs"][0]["state"], "unchanged", "{found:#}");
    fs::remove_file(studio.path(&format!("{desk}/src/work_desk/frames/f.0002.exr"))).expect("removed");
    let found = status(&studio, "Work Desk");
    assert_eq!(found["outs"][0]["removed"], 1, "{found:#}");
    studio
        .ws(&["restore", &format!("{desk}/src/work_desk/frames")])
        .ok();

    // The environment shows it under the new name only, and a publish has no bytes to send.
    let lock = text(&studio, "ws/backlot.lock");
    assert!(
        lock.contains("outputs/work_desk") && !lock.contains("outputs/table"),
        "{lock}"
    );
    let published = studio.ws(&["publish", "Work Desk", "--json"]).ok().json();
    assert_eq!(published["files"]["objects"], 0, "{published:#}");
    studio.ws(&["show", "Table==0.1.0"]).ok();
    studio.workspace("other");
    studio
        .run(&["-w", "other", "install", "Work-Desk", "--pull"])
        .ok();
    let frames = studio.snapshot("other/inputs");
    let count = frames
        .keys()
        .filter(|path| path.contains("/work_desk/frames/f."))
        .count();
    assert_eq!(count, 6);
}

#[test]
fn a_name_that_something_else_has_is_refused_and_going_back_is_not() {
    let studio = studio();
    let refused = |name: &str, code: &str, exit: i32, word: &str| {
        let error = studio.ws(&["rename", "Table", name, "--json"]).fails(exit, code);
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(word), "{message}");
    };
    refused("kitchen", "rename::name_in_use", 5, "outputs/kitchen");
    refused("json", "output::standard_library", 2, "json");
    refused("3d", "name::no_identifier", 2, "3d");
    // A release of that name, here or not; and an installed one.
    studio.workspace("other");
    studio.run(&["-w", "other", "new", "Lamp"]).ok();
    studio.run(&["-w", "other", "publish", "Lamp"]).ok();
    refused(
        "Lamp",
        "rename::name_in_use",
        5,
        "lamp 0.1.0 in the repo `review`",
    );
    studio.ws(&["install", "Lamp"]).ok();
    refused("Lamp", "rename::name_in_use", 5, "the input lamp 0.1.0");
    // Something that is no asset, in the folder that it would have.
    studio.write("ws/outputs/desk/notes.txt", b"mine");
    refused("Desk", "rename::name_in_use", 5, "outputs/desk");
    studio
        .ws(&["rename", "Tabel", "Chair", "--json"])
        .fails(4, "output::unknown");
    assert!(studio.path("ws/outputs/table").is_dir());
    studio.ws(&["rename", "Table", "Chair"]).ok();
    studio.ws(&["rename", "Chair", "Table"]).ok();
    let found = status(&studio, "Table");
    assert_eq!(found["base"]["base"], "0.1.0", "{found:#}");
    // Only in its spelling.
    studio.ws(&["rename", "Table", "TABLE"]).ok();
    assert_eq!(status(&studio, "TABLE")["package"], "table");
}

#[test]
fn a_rename_that_was_stopped_is_finished_by_the_next_change() {
    let studio = studio();
    let renamed = |path: &str| {
        let text = text(&studio, &format!("ws/outputs/table/{path}"));
        text.replace("table", "desk").replace("Table", "Desk")
    };
    // As after a kill between the two moves.
    let journal = serde_json::json!({
        "format": 1, "from": "Table", "to": "Desk",
        "moves": [
            ["outputs/table/src/table", "outputs/table/src/desk"],
            ["outputs/table", "outputs/desk"],
        ],
        "files": [
            ["outputs/desk/pyproject.toml", renamed("pyproject.toml")],
            ["outputs/desk/src/desk/asset.toml", renamed("src/table/asset.toml")],
        ],
    });
    let moved = ["ws/outputs/table/src/table", "ws/outputs/table/src/desk"].map(|path| studio.path(path));
    #[expect(clippy::disallowed_methods, reason = "a test stops in between")]
    fs::rename(&moved[0], &moved[1]).expect("moved");
    studio.write("ws/.backlot/rename.json", journal.to_string().as_bytes());
    let next = studio.ws(&["install"]).ok();
    assert!(next.stderr().contains("is finished"), "{}", next.stderr());
    assert!(!studio.path("ws/.backlot/rename.json").exists());
    assert!(!studio.path("ws/outputs/table").exists());
    let found = status(&studio, "Desk");
    assert_eq!(found["package"], "desk", "{found:#}");
    assert_eq!(found["outs"][0]["state"], "unchanged", "{found:#}");
}
