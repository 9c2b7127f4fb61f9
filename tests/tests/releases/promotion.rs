//! Copying releases between repos: with requirements, with files, whole repos, and killed copies.

use std::time::{Duration, Instant};

use backlot_tests::wheels::put;
use backlot_tests::{Random, Studio};
use fs_err as fs;
use serde_json::Value;

/// Two versions of `Table` in `review`, and a `KitchenSet` that was built with the older one; files on `main`.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 3000);
    studio.ws(&["bump", "Table", "major"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bump", "Table", "major"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("set");
    let set = |arguments: &[&str]| studio.run(&[&["-w", "set"], arguments].concat()).ok();
    set(&["install", "Table==1.0.0"]);
    set(&["new", "KitchenSet"]);
    set(&["input", "add", "KitchenSet", "Table"]);
    set(&["publish", "KitchenSet"]);
    studio
}

fn names(report: &Value, list: &str) -> Vec<String> {
    let one = |r: &Value| {
        format!(
            "{} {}",
            r["package"].as_str().unwrap_or_default(),
            r["version"].as_str().unwrap_or_default()
        )
    };
    report[list].as_array().expect("a list").iter().map(one).collect()
}

/// A new workspace that sees only `blessed` and one remote installs and pulls.
fn reader_gets(studio: &Studio, name: &str, remote: &str, what: &str) {
    let reader = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", name], arguments].concat());
        // With a cache of its own, or it would have the files already.
        command.env("BACKLOT_CACHE_DIR", studio.path(name).join("cache"));
        backlot_tests::run_command(&mut command).ok()
    };
    studio.run(&["init", name]).ok();
    reader(&["repo", "add", "blessed", "repos/blessed"]);
    reader(&["remote", "add", remote, remote]);
    reader(&["install", what]);
    reader(&["pull"]);
    reader(&["verify"]);
}

#[test]
fn a_copy_brings_what_the_release_was_built_with_and_the_files_first() {
    let studio = studio();
    studio.run(&["-w", "set", "remote", "add", "site", "site"]).ok();
    let copy = |more: &[&str]| {
        let head = [
            "-w",
            "set",
            "copy",
            "KitchenSet",
            "--from",
            "review",
            "--to",
            "blessed",
            "--json",
        ];
        studio.run(&[&head[..], more].concat())
    };
    let elsewhere = ["--with-deps", "--from-remote", "site"];
    copy(&elsewhere).fails(4, "copy::files_missing");
    copy(&[]).fails(5, "publish::cannot_be_installed");
    let alone = copy(&["--dry-run", "--force", "-m", "Table follows"]).ok();
    assert!(
        alone.stderr().contains("publish::cannot_be_installed"),
        "{}",
        alone.stderr()
    );
    studio
        .ws(&["approve", "Table==1.0.0", "-m", "seen in dailies"])
        .ok();
    let ends = ["--with-deps", "--from-remote", "main", "--to-remote", "site"];
    let planned = copy(&[&ends[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(names(&planned, "releases"), ["table 1.0.0", "kitchenset 0.1.0"]);
    assert!(!studio.path("repos/blessed/packages/table").exists());
    let done = copy(&ends).ok().json();
    assert_eq!(names(&done, "releases"), ["table 1.0.0", "kitchenset 0.1.0"]);
    assert_eq!(
        (&done["files"]["objects"], &done["files"]["to"]),
        (&4.into(), &"site".into())
    );
    assert_eq!(done["releases"][0]["facts"], 1);
    let again = copy(&ends).ok().json();
    assert_eq!(
        (&again["releases"][0]["state"], &again["files"]["already_there"]),
        (&"there".into(), &4.into())
    );
    let shown = studio.ws(&["show", "Table==1.0.0", "--json"]).ok().json();
    let blessed = &shown["releases"][0];
    assert_eq!(
        (&blessed["repo"], &blessed["approved"][0]["reason"]),
        (&"blessed".into(), &"seen in dailies".into())
    );
    reader_gets(&studio, "reader", "site", "KitchenSet");

    // A promoted release whose files are nowhere that others look is refused; other bytes under its name are, too.
    fs::remove_dir_all(studio.path("remote/v1")).expect("removed");
    let table = [
        "-w",
        "ws",
        "copy",
        "Table==2.0.0",
        "--from",
        "review",
        "--to",
        "blessed",
        "--json",
    ];
    studio.run(&table).fails(4, "copy::files_missing");
    studio.run(&[&table[..], &["--without-files"]].concat()).ok();
    studio.ws(&["new", "Lamp"]).ok();
    studio.ws(&["publish", "Lamp"]).ok();
    studio.write("ws/outputs/lamp/src/lamp/more.py", b"x = 1\n");
    studio.ws(&["publish", "Lamp", "--to", "blessed"]).ok();
    let lamp = ["copy", "Lamp", "--from", "review", "--to", "blessed", "--json"];
    studio.ws(&lamp).fails(5, "repo::release_exists");
    let mirrored = studio.ws(&["mirror", "review", "blessed", "--json"]);
    assert_eq!(mirrored.output.status.code(), Some(5));
    assert_eq!(names(&mirrored.json(), "conflicts"), ["lamp 0.1.0"]);
}

#[test]
fn a_mirror_takes_what_fits_what_was_said_of_it_and_only_once() {
    let studio = studio();
    studio.ws(&["yank", "Table==2.0.0", "-m", "wrong"]).ok();
    studio.ws(&["repo", "add", "far", "repos/far"]).ok();
    let mirror = |more: &[&str]| {
        studio
            .ws(&[&["mirror", "review", "far", "--json"], more].concat())
            .ok()
            .json()
    };
    let newest = mirror(&["--name", "ta?l*", "--newest", "1", "--dry-run"]);
    assert_eq!(
        names(&newest, "copied"),
        ["table 1.0.0"],
        "a yanked one does not count"
    );
    assert_eq!(
        names(&mirror(&["--name", "kit*", "--files"]), "copied"),
        ["kitchenset 0.1.0"]
    );
    let rest = mirror(&["--files"]);
    assert_eq!(names(&rest, "copied"), ["table 1.0.0", "table 2.0.0"]);
    assert_eq!((&rest["facts"], &rest["already_there"]), (&1.into(), &1.into()));
    let before = studio.snapshot("repos/far");
    let again = mirror(&["--files"]);
    assert_eq!(
        (
            &again["facts"],
            &again["already_there"],
            names(&again, "copied").len()
        ),
        (&0.into(), &3.into(), 0)
    );
    assert_eq!(studio.snapshot("repos/far"), before);
    // What is said later comes with the next run.
    studio
        .ws(&["unyank", "Table==2.0.0", "--repo", "review", "-m", "right"])
        .ok();
    assert_eq!(mirror(&[])["facts"], 1);
    let page = fs::read_to_string(studio.path("repos/far/simple/table/index.html")).expect("a page");
    assert!(!page.contains("yanked"), "{page}");
}

#[test]
fn a_promotion_killed_anywhere_shows_nothing_without_its_files_and_needs_and_a_rerun_completes() {
    let studio = studio();
    studio.run(&["-w", "set", "remote", "add", "site", "site"]).ok();
    let copy = [
        "-w",
        "set",
        "copy",
        "KitchenSet",
        "--from",
        "review",
        "--to",
        "blessed",
        "--with-deps",
        "--from-remote",
        "main",
        "--to-remote",
        "site",
    ];
    let clean = || {
        // Emptied, but still the same places.
        for (folder, identity) in [("repos/blessed", "repo.json"), ("site", "backlot-remote.json")] {
            let kept = fs::read(studio.path(folder).join(identity)).expect("an identity");
            fs::remove_dir_all(studio.path(folder)).expect("removed");
            studio.write(&format!("{folder}/{identity}"), &kept);
        }
    };
    let start = Instant::now();
    studio.run(&copy).ok();
    let whole = start.elapsed();
    let mut random = Random(55);
    for round in 0..12 {
        clean();
        let mut child = studio.start(&copy);
        let share = u32::try_from(random.next() % 1000).expect("small");
        std::thread::sleep(Duration::min(whole, Duration::from_secs(2)) * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        let there = |name: &str| {
            let folder = studio.path("repos/blessed/packages").join(name);
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .filter(|e| e.file_name().to_string_lossy().ends_with(".whl"))
                .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
                .count()
        };
        assert!(
            there("kitchenset") <= there("table"),
            "round {round}: a set without its table"
        );
        if there("table") > 0 {
            let what = if there("kitchenset") > 0 {
                "KitchenSet"
            } else {
                "Table"
            };
            reader_gets(&studio, &format!("reader{round}"), "site", what);
        }
    }
    studio.run(&copy).ok();
    reader_gets(&studio, "last", "site", "KitchenSet");
}

#[test]
fn a_copy_is_judged_with_all_that_is_needed_in_turn() {
    let studio = Studio::new();
    for name in ["Tab", "Mid", "Shot"] {
        studio.ws(&["new", name]).ok();
    }
    studio.ws(&["input", "add", "Mid", "Tab"]).ok();
    studio.ws(&["input", "add", "Shot", "Mid"]).ok();
    for name in ["Tab", "Mid", "Shot"] {
        studio.ws(&["publish", name]).ok();
    }
    let copy = |name: &str, more: &[&str]| {
        let copy = ["copy", name, "--from", "review", "--to", "blessed", "--json"];
        studio.ws(&[&copy[..], more].concat())
    };
    copy("Mid", &["--force", "-m", "Tab follows"]).ok();
    // Its own need is there, and what that needs is not.
    let error = copy("Shot", &[]).fails(5, "publish::cannot_be_installed");
    assert!(
        error["message"].as_str().expect("a message").contains("tab"),
        "{error}"
    );
    assert!(!studio.path("repos/blessed/packages/shot").exists());
    copy("Shot", &["--with-deps"]).ok();

    // What excludes each other in what is needed.
    put(
        &studio,
        "drop",
        "clash",
        "1.0",
        "Requires-Dist: bb\nRequires-Dist: cc\n",
    );
    put(&studio, "good", "bb", "1.0", "Requires-Dist: dd<0.5\n");
    put(&studio, "good", "cc", "1.0", "Requires-Dist: dd>=1\n");
    put(&studio, "good", "dd", "0.4", "");
    put(&studio, "good", "dd", "1.0", "");
    for folder in ["drop", "good"] {
        studio.ws(&["repo", "add", folder, folder]).ok();
    }
    studio.ws(&["mirror", "good", "blessed"]).ok();
    let clash = [
        "copy",
        "clash",
        "--from",
        "drop",
        "--to",
        "blessed",
        "--without-files",
        "--json",
    ];
    studio.ws(&clash).fails(5, "publish::cannot_be_installed");
    let insisted = studio
        .ws(&[&clash[..], &["--force", "-m", "a new bb follows"]].concat())
        .ok();
    assert!(
        insisted.stderr().contains("publish::cannot_be_installed"),
        "{}",
        insisted.stderr()
    );
}

#[test]
fn what_needs_another_python_is_neither_published_nor_copied_without_a_reason() {
    let studio = Studio::new();
    studio.ws(&["new", "Lamp"]).ok();
    let project = "ws/outputs/lamp/pyproject.toml";
    let text = fs::read_to_string(studio.path(project)).expect("a project");
    assert!(!text.contains("requires-python"), "{text}");
    let text = text.replacen("[project]\n", "[project]\nrequires-python = \">=3.99\"\n", 1);
    studio.write(project, text.as_bytes());
    let copy = ["copy", "Lamp", "--from", "review", "--to", "blessed", "--json"];
    for arguments in [&["publish", "Lamp", "--json"][..], &copy] {
        let error = studio.ws(arguments).fails(5, "publish::cannot_be_installed");
        assert!(
            error["message"].as_str().expect("a message").contains("3.99"),
            "{error}"
        );
        let insisted = studio
            .ws(&[arguments, &["--force", "-m", "for the next Python"]].concat())
            .ok();
        assert!(
            insisted.stderr().contains("publish::cannot_be_installed"),
            "{}",
            insisted.stderr()
        );
    }
}

#[test]
fn what_goes_past_the_repo_of_the_work_may_not_need_what_only_that_has() {
    let studio = Studio::new();
    for name in ["Table", "Set1", "Base", "Top"] {
        studio.ws(&["new", name]).ok();
    }
    studio.ws(&["input", "add", "Set1", "Table"]).ok();
    studio.ws(&["input", "add", "Top", "Base"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio
        .ws(&["publish", "Set1", "--to", "blessed", "--json"])
        .fails(5, "publish::cannot_be_installed");
    studio.ws(&["publish", "Set1"]).ok();
    // Whoever has what is under review has what is blessed, too.
    studio.ws(&["publish", "Base", "--to", "blessed"]).ok();
    studio.ws(&["publish", "Top"]).ok();
}
