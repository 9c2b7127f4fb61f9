//! An unreadable asset does not block commands for others: it is reported, and the exit code shows it.

use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;
use serde_json::Value;

/// `ws` has the outputs Chair and Table, both published with frames.
fn studio() -> Studio {
    let studio = Studio::new();
    for name in ["Chair", "Table"] {
        studio.asset(name, 3, 500);
        studio.ws(&["publish", name]).ok();
    }
    studio
}

/// Ways to break Table, with the exit code and the code of the error.
fn breakages() -> Vec<(&'static str, &'static [u8], i32, &'static str)> {
    vec![
        ("pyproject.toml", b"[project\nname = ", 2, "project::invalid"),
        ("pyproject.toml", b"\xff\xfe", 2, "project::invalid"),
        ("src/table/frames.dvc", b"outs: [", 7, "dvc::bad_pointer"),
    ]
}

fn names(report: &Value, list: &str) -> Vec<String> {
    let rows = report[list].as_array().expect("a list");
    rows.iter()
        .filter_map(|row| row["name"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// The run ended as one that left assets out, and named Table.
fn leaves_table_out(run: &Run) -> Value {
    let report: Value = serde_json::from_slice(&run.output.stdout).expect("JSON");
    let problem = &report["problems"][0];
    let asset = problem["asset"].as_str().unwrap_or_default().to_lowercase();
    assert!(asset.contains("table"), "{report:#}");
    assert_ne!(run.output.status.code(), Some(0), "{report:#}");
    report
}

#[test]
fn others_are_shown_pushed_pulled_verified_and_published_and_the_bad_one_is_named() {
    for (file, bytes, ..) in breakages() {
        let studio = studio();
        studio.write(&format!("ws/outputs/table/{file}"), bytes);
        let report = leaves_table_out(&studio.ws(&["status", "--json"]));
        assert_eq!(names(&report, "outputs"), ["Chair"], "{file}: {report:#}");
        let text = studio.ws(&["status"]).stdout();
        assert!(
            text.contains("Chair 0.1.0") && text.contains("left out"),
            "{text}"
        );
        for command in ["push", "pull", "verify"] {
            let report = leaves_table_out(&studio.ws(&[command, "--json"]));
            assert!(
                !report.to_string().contains("damaged\":[{"),
                "{command}: {report:#}"
            );
        }
        // Commands about others do all of their work, and end well.
        let frames = "ws/outputs/chair/src/chair/frames";
        studio.write(&format!("{frames}/f.0001.exr"), b"another frame");
        studio.ws(&["add", frames]).ok();
        studio.ws(&["push", "Chair"]).ok();
        studio.ws(&["pull", "Chair"]).ok();
        studio.ws(&["bump", "Chair", "micro"]).ok();
        studio.ws(&["publish", "Chair"]).ok();
        studio.ws(&["input", "add", "Chair", "Lamp", "--no-check"]).ok();
        studio.ws(&["new", "Lamp"]).ok();
        studio.ws(&["install"]).ok();
    }
}

#[test]
fn commands_about_the_bad_asset_fail_with_the_reason() {
    for (file, bytes, exit, code) in breakages() {
        let studio = studio();
        studio.write(&format!("ws/outputs/table/{file}"), bytes);
        for command in ["publish", "build"] {
            studio.ws(&[command, "Table", "--json"]).fails(exit, code);
        }
        for command in ["push", "pull"] {
            studio.ws(&[command, "Table", "--json"]).fails(exit, code);
        }
        studio
            .ws(&["add", "ws/outputs/table/src/table/frames", "--json"])
            .fails(exit, code);
    }
}

#[test]
fn an_editable_that_cannot_be_read_now_stays_in_the_environment() {
    let studio = studio();
    let before = studio.snapshot("ws/inputs");
    let pyproject = studio.path("ws/outputs/table/pyproject.toml");
    let text = fs::read(&pyproject).expect("read");
    fs::write(&pyproject, b"[project\n").expect("written");
    for arguments in [
        &["install"][..],
        &["bump", "Chair", "micro"],
        &["install", "Chair>=0.1"],
    ] {
        studio.ws(arguments).ok();
    }
    let lock = fs::read_to_string(studio.path("ws/backlot.lock")).expect("read");
    assert!(lock.contains("outputs/table"), "{lock}");
    fs::write(&pyproject, text).expect("written");
    studio.ws(&["bump", "Chair", "micro"]).ok();
    let report = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(names(&report, "outputs"), ["Chair", "Table"]);
    let after = studio.snapshot("ws/inputs");
    let editables = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        let table = files.keys().filter(|path| path.contains("table"));
        table.cloned().collect::<Vec<_>>()
    };
    assert_eq!(editables(&before), editables(&after));
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test moves a folder as a person would"
)]
fn two_outputs_of_one_package_are_named_and_others_go_on() {
    let studio = studio();
    for (path, bytes) in studio.snapshot("ws/outputs/table") {
        studio.write(&format!("ws/outputs/table2/{path}"), &bytes);
    }
    let report = leaves_table_out(&studio.ws(&["status", "--json"]));
    assert_eq!(names(&report, "outputs"), ["Chair"]);
    let error = studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "output::same_package");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("outputs/table`") && message.contains("outputs/table2`"),
        "{message}"
    );
    studio.ws(&["bump", "Chair", "micro"]).ok();
    studio.ws(&["publish", "Chair"]).ok();
    // Renamed, it is an output of its own, and not edited from the releases of the other.
    let pyproject = studio.path("ws/outputs/table2/pyproject.toml");
    let text = fs::read_to_string(&pyproject).expect("read");
    let text = text
        .replace("\"table\"", "\"desk\"")
        .replace("src/table", "src/desk");
    fs::write(&pyproject, text).expect("written");
    let source = studio.path("ws/outputs/table2/src");
    fs::rename(source.join("table"), source.join("desk")).expect("moved");
    let report = studio.ws(&["status", "--json"]).ok().json();
    let desk = report["outputs"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|o| o["package"] == "desk");
    assert_eq!(
        desk.map(|desk| &desk["base"]["state"]),
        Some(&"unpublished".into()),
        "{report:#}"
    );
}

#[test]
fn a_folder_that_is_no_project_is_no_problem() {
    let studio = studio();
    fs::create_dir_all(studio.path("ws/outputs/notes")).expect("made");
    studio.write("ws/outputs/readme.txt", b"x");
    studio.ws(&["status"]).ok();
    // A link to nothing in the place of a project file is one.
    #[cfg(unix)]
    {
        fs_err::os::unix::fs::symlink("nowhere", studio.path("ws/outputs/notes/pyproject.toml"))
            .expect("linked");
        let run = studio.ws(&["status", "--json"]);
        assert_ne!(run.output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&run.output.stdout).contains("outputs/notes"));
    }
}

#[test]
fn files_that_were_added_and_not_pushed_are_no_damage() {
    let studio = studio();
    let frames = "ws/outputs/chair/src/chair/frames";
    studio.write(&format!("{frames}/f.0009.exr"), b"a new frame");
    studio.ws(&["add", frames]).ok();
    let report = studio.ws(&["verify", "--remote", "--json"]).ok().json();
    assert_eq!(
        (&report["not_pushed"], &report["sound"]),
        (&2.into(), &true.into()),
        "{report:#}"
    );
    assert!(
        studio
            .ws(&["verify", "--remote"])
            .ok()
            .stdout()
            .contains("2 objects of outputs not pushed yet")
    );
    studio.ws(&["push"]).ok();
    let report = studio.ws(&["verify", "--remote", "--json"]).ok().json();
    assert_eq!(report["not_pushed"], 0);
}

#[test]
fn files_of_a_release_that_the_remote_lost_are_damage() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 500);
    studio.ws(&["publish", "Table"]).ok();
    fs::remove_dir_all(studio.path("remote/files/md5")).expect("removed");
    fs::create_dir_all(studio.path("remote/files/md5")).expect("made");
    let run = studio.ws(&["verify", "--remote", "--json"]);
    assert_eq!(run.output.status.code(), Some(7));
    assert_eq!(run.json()["not_pushed"], 0);
    assert!(run.stderr().contains("verify::damage_found"), "{}", run.stderr());
}

#[cfg(unix)]
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test moves a folder as a person would"
)]
fn a_module_that_is_a_link_to_elsewhere_is_not_written_through() {
    let studio = studio();
    let module = studio.path("ws/outputs/table/src/table");
    let elsewhere = studio.path("elsewhere");
    fs::rename(&module, &elsewhere).expect("moved");
    fs_err::os::unix::fs::symlink(&elsewhere, &module).expect("linked");
    let before = studio.snapshot("elsewhere");
    studio.write("plate.exr", b"a plate");
    let frames = "ws/outputs/table/src/table/frames";
    for arguments in [
        &["bump", "Table", "micro", "--json"][..],
        &["input", "add", "Table", "Lamp", "--no-check", "--json"],
        &["input", "remove", "Table", "Lamp", "--json"],
        &["add", frames, "--json"],
        &["add", "plate.exr", "--asset", "Table", "--json"],
        &["pull", "Table", "--json"],
        &["publish", "Table", "--json"],
        &["edit", "Table", "--rebase", "--json"],
    ] {
        studio.ws(arguments).fails(2, "output::linked");
        assert_eq!(studio.snapshot("elsewhere"), before, "{arguments:?}");
    }
    studio.ws(&["bump", "Chair", "micro"]).ok();
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let studio = Studio::empty();
    let before = studio.snapshot("");
    let wrong = ["init", "new/deep/ws", "--python", "3.99", "--json"];
    let error = studio.run(&wrong).fails(4, "python::not_installed");
    assert!(
        error["message"].as_str().unwrap_or_default().contains("3.99"),
        "{error:#}"
    );
    assert!(!studio.path("new").exists());
    // On a machine without any Python, too.
    run_command(studio.command(&wrong).env("PATH", "")).fails(4, "python::not_installed");
    assert!(!studio.path("new").exists());
    studio
        .run(&["init", "new/ws", "--python", "three", "--json"])
        .fails(3, "version::bad_python");
    // What fails later leaves nothing either.
    studio.write("taken/inputs", b"a file");
    let kept = studio.snapshot("taken");
    let run = studio.run(&["init", "taken", "--json"]);
    assert_ne!(run.output.status.code(), Some(0), "{}", run.stdout());
    assert_eq!(studio.snapshot("taken"), kept);
    assert!(!studio.path("taken/outputs").exists() && !studio.path("taken/.dvc").exists());
    // In a folder that is there, what is there stays.
    studio.write("used/notes.txt", b"x");
    studio.write("used/outputs/mine.txt", b"y");
    let kept = studio.snapshot("used");
    studio
        .run(&["init", "used", "--python", "3.99", "--json"])
        .fails(4, "python::not_installed");
    assert_eq!(studio.snapshot("used"), kept);
    assert!(!studio.path("used/inputs").exists() && !studio.path("used/.backlot").exists());
    studio.run(&["init", "used"]).ok();
    studio
        .run(&["init", "used", "--json"])
        .fails(5, "workspace::exists");
    assert!(before.len() < studio.snapshot("").len());
}

#[test]
fn an_asset_whose_content_is_nowhere_does_not_stop_the_push_and_pull_of_others() {
    let studio = studio();
    let chair = "ws/outputs/chair/src/chair/frames";
    studio.write(&format!("{chair}/f.0001.exr"), b"a new frame");
    studio.ws(&["add", chair]).ok();
    let pointer = studio.path("ws/outputs/table/src/table/frames.dvc");
    let text = fs::read_to_string(&pointer).expect("the pointer");
    let at = text.find("md5: ").expect("a digest") + "md5: ".len();
    fs::write(&pointer, text.replace(&text[at..at + 32], &"0".repeat(32))).expect("written");
    let planned = leaves_table_out(&studio.ws(&["push", "--dry-run", "--json"]));
    let pushed = leaves_table_out(&studio.ws(&["push", "--json"]));
    assert_eq!(names(&pushed, "assets"), ["Chair"]);
    assert_eq!(
        (&planned["objects"], &pushed["objects"]),
        (&2.into(), &2.into()),
        "{planned:#}\n{pushed:#}"
    );
    let right = studio.snapshot(chair);
    fs::remove_dir_all(studio.path(chair)).expect("removed");
    let pulled = leaves_table_out(&studio.ws(&["pull", "--json"]));
    assert_eq!(names(&pulled, "assets"), ["Chair"]);
    assert_eq!(pulled["assets"][0]["placed"], 3, "{pulled:#}");
    assert_eq!(studio.snapshot(chair), right);
    // Asked about the one, the reason is the error.
    studio
        .ws(&["push", "Table", "--json"])
        .fails(4, "store::missing_object");
    // What fails for all is the failure of the command.
    fs::remove_dir_all(studio.path("remote")).expect("removed");
    studio
        .ws(&["push", "--json"])
        .fails(6, "workspace::remote_not_there");
}
