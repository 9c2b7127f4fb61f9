//! Links to folders are treated alike by all commands: never followed, always reported. Loops are errors with a code.

use std::os::unix::fs::symlink;

use backlot_tests::Studio;
use fs_err as fs;

const MODULE: &str = "ws/outputs/table/src/table";

/// A workspace with Table, which tracks `frames`, and has links to folders: to `frames`, to code, to itself.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 50_000);
    studio.write(&format!("{MODULE}/code/tool.py"), b"x = 1\n");
    symlink("frames", studio.path(MODULE).join("alias")).expect("linked");
    symlink("code", studio.path(MODULE).join("tools")).expect("linked");
    symlink(".", studio.path(MODULE).join("here")).expect("linked");
    studio
}

#[test]
fn a_build_a_status_and_a_publish_see_no_file_behind_a_link_to_a_folder() {
    let studio = studio();
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(
        status["outputs"][0]["untracked"].as_array().map_or(0, Vec::len),
        0,
        "{status:#}"
    );
    let warned = studio.ws(&["build", "Table"]).ok().stderr();
    for (name, reason) in [
        ("alias", "it is a link to a folder"),
        ("tools", "it is a link to a folder"),
        ("here", "a folder that contains it"),
    ] {
        assert!(
            warned
                .lines()
                .any(|line| line.contains(&format!("/{name}`")) && line.contains(reason)),
            "{name}: {warned}"
        );
    }
    let published = studio.ws(&["publish", "Table", "--json"]).ok().json();
    let wheel =
        fs::read(studio.path("repos/review/packages/table/table-0.1.0-py3-none-any.whl")).expect("a wheel");
    let holds = |name: &str| wheel.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(
        holds("table/code/tool.py") && holds("table/frames.dvc"),
        "{published:#}"
    );
    for name in ["table/alias", "table/tools", "table/here"] {
        assert!(!holds(name), "{name}");
    }
    let usage = studio.ws(&["du", "Table", "--json"]).ok().json();
    // Three frames and their manifest.
    assert_eq!(usage["releases"][0]["files"], 4, "{usage:#}");
}

#[test]
fn an_add_in_place_and_one_from_outside_pass_over_the_same_links() {
    let studio = studio();
    // Elsewhere, and in the asset: the same tree.
    studio.write("renders/shot/f.0001.exr", b"one");
    studio.write("renders/other/f.0002.exr", b"two");
    symlink("../other", studio.path("renders/shot/linked")).expect("linked");
    symlink("..", studio.path("renders/shot/up")).expect("linked");
    symlink("f.0001.exr", studio.path("renders/shot/f.0003.exr")).expect("linked");
    let plan = studio
        .ws(&["add", "renders/shot", "--asset", "Table", "--dry-run", "--json"])
        .ok()
        .json();
    let run = studio
        .ws(&["add", "renders/shot", "--asset", "Table", "--json"])
        .ok();
    let done = run.json();
    assert_eq!(
        (&plan["outs"][0]["files"], &done["outs"][0]["files"]),
        (&2.into(), &2.into())
    );
    let warned = run.stderr();
    assert!(
        warned.contains("shot/linked` is a link to a folder") && warned.contains("shot/up`"),
        "{warned}"
    );
    let names: Vec<String> = studio.snapshot(&format!("{MODULE}/shot")).into_keys().collect();
    assert_eq!(names, ["f.0001.exr", "f.0003.exr"]);
    let again = studio
        .ws(&["add", &format!("{MODULE}/shot"), "--json"])
        .ok()
        .json();
    assert_eq!(again["outs"][0]["files"], 2);
    // A folder that is named by a link to it: its content, in a dry run and in the run.
    symlink("shot", studio.path("renders/latest")).expect("linked");
    let arguments = ["add", "renders/latest", "--asset", "Table", "--json"];
    let plan = studio.ws(&[&arguments[..], &["--dry-run"]].concat()).ok().json();
    let done = studio.ws(&arguments).ok().json();
    assert_eq!(
        (&plan["outs"][0]["files"], &done["outs"][0]["files"]),
        (&2.into(), &2.into())
    );
    assert!(!studio.path(MODULE).join("latest").is_symlink());
}

#[test]
fn what_lies_behind_a_link_in_an_asset_cannot_be_tracked_and_loops_have_a_code() {
    let studio = studio();
    studio
        .ws(&["add", &format!("{MODULE}/alias"), "--json"])
        .fails(5, "dvc::linked_folder");
    studio
        .ws(&["add", &format!("{MODULE}/tools/tool.py"), "--json"])
        .fails(5, "dvc::linked_folder");
    symlink("loop", studio.path(MODULE).join("loop")).expect("linked");
    studio
        .ws(&["add", &format!("{MODULE}/loop"), "--json"])
        .fails(2, "dvc::untrackable");
    symlink("b", studio.path(MODULE).join("frames/a")).expect("linked");
    symlink("a", studio.path(MODULE).join("frames/b")).expect("linked");
    let error = studio
        .ws(&["add", &format!("{MODULE}/frames"), "--json"])
        .fails(2, "dvc::untrackable");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("a link to itself")),
        "{error}"
    );
    studio.write("renders/x/f.exr", b"x");
    symlink("round", studio.path("renders/x/round")).expect("linked");
    for dry in [&[][..], &["--dry-run"]] {
        studio
            .ws(&[&["add", "renders/x", "--asset", "Table", "--json"], dry].concat())
            .fails(2, "dvc::untrackable");
    }
    assert!(!studio.path(MODULE).join("x").exists());
}
