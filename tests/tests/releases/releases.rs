//! Status changes of releases, and their effect on installs, with real clients.

use std::process::Command;

use backlot_tests::installers::install_by;
use backlot_tests::{Studio, run_command, tool};

/// A studio with these versions of `Table` in the repo `review`.
fn tables(versions: &[&str]) -> Studio {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    for version in versions {
        let text = format!("__version__ = \"{version}\"\n");
        studio.write("ws/outputs/table/src/table/__version__.py", text.as_bytes());
        studio.ws(&["publish", "Table"]).ok();
    }
    studio.workspace("other");
    studio
}

/// The version of `table` that a client puts into a folder.
fn installed_by(studio: &Studio, by: &str, requirement: &str, folder: &str) -> String {
    let index = format!("file://{}", studio.path("repos/review/simple").display());
    let arguments = ["--no-deps", "--index-url", &index, requirement];
    install_by(by, &studio.path(folder), &arguments).ok();
    let mut python = Command::new(tool("python"));
    python
        .args(["-c", "import table; print(table.__version__)"])
        .env("PYTHONPATH", studio.path(folder));
    run_command(&mut python).ok().stdout().trim().to_owned()
}

/// The version of `table` in the environment of `other` after an install.
fn installed(studio: &Studio, arguments: &[&str]) -> String {
    studio
        .run(&[&["-w", "other", "install"], arguments].concat())
        .ok();
    let status = studio.run(&["-w", "other", "status", "--json"]).ok().json();
    status["inputs"][0]["version"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_yanked_release_is_skipped_unless_pinned_by_us_by_pip_and_by_uv() {
    let studio = tables(&["1.0.0", "2.0.0"]);
    let yank = ["yank", "Table==2.0.0", "-m", "wrong scale", "--json"];
    let planned = studio.ws(&[&yank[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(planned["status"]["yanked"]["author"], "ana");
    let done = studio.ws(&yank).ok().json();
    assert_eq!(
        (&done["fact"]["reason"], &done["repo"]),
        (&"wrong scale".into(), &"review".into())
    );
    assert!(!done["fact"]["machine"].as_str().unwrap_or_default().is_empty());
    assert_eq!(installed_by(&studio, "pip", "table", "pip"), "1.0.0");
    assert_eq!(installed_by(&studio, "uv", "table", "uv"), "1.0.0");
    assert_eq!(installed_by(&studio, "pip", "table==2.0.0", "pip2"), "2.0.0");
    assert_eq!(installed_by(&studio, "uv", "table==2.0.0", "uv2"), "2.0.0");
    assert_eq!(installed(&studio, &["Table"]), "1.0.0");
    assert_eq!(installed(&studio, &["Table==2.0.0"]), "2.0.0");

    let listed = studio.ws(&["list", "--json"]).ok().json();
    assert_eq!(listed["packages"][0]["latest"], "1.0.0");
    assert_eq!(listed["packages"][0]["yanked"][0], "2.0.0");
    let shown = studio.ws(&["show", "Table==2.0.0"]).ok().stdout();
    assert!(
        shown.contains("yanked") && shown.contains("wrong scale"),
        "{shown}"
    );

    studio.ws(&["unyank", "Table==2.0.0", "-m", "it was right"]).ok();
    assert_eq!(installed_by(&studio, "pip", "table", "pip3"), "2.0.0");
    assert_eq!(installed_by(&studio, "uv", "table", "uv3"), "2.0.0");
}

#[test]
fn a_deprecated_release_is_chosen_only_where_nothing_else_fits_and_with_a_warning() {
    let studio = tables(&["1.0.0", "2.0.0"]);
    studio.ws(&["deprecate", "Table==2.0.0", "-m", "use 1"]).ok();
    assert_eq!(installed(&studio, &["Table"]), "1.0.0");
    let run = studio.run(&["-w", "other", "install", "Table>=2", "--json"]).ok();
    assert_eq!(run.json()["changes"][0]["to"], "2.0.0");
    assert!(
        run.stderr().contains("resolve::deprecated") && run.stderr().contains("use 1"),
        "{}",
        run.stderr()
    );
    let text = studio.ws(&["search", "table"]).ok().stdout();
    assert!(text.contains("deprecated"), "{text}");
}

#[test]
fn of_people_who_speak_at_once_all_are_heard_and_wrong_names_are_refused() {
    let studio = tables(&["1.0.0"]);
    let children: Vec<_> = (0..8)
        .map(|number| {
            let verb = if number == 0 { "yank" } else { "approve" };
            let message = format!("reason {number}");
            studio.start(&["-w", "ws", verb, "Table==1.0.0", "-m", &message])
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let shown = studio.ws(&["show", "Table==1.0.0", "--json"]).ok().json();
    let release = &shown["releases"][0];
    assert_eq!(release["approved"].as_array().map(Vec::len), Some(7));
    assert_eq!(release["yanked"]["reason"], "reason 0");
    let again = ["approve", "Table==1.0.0", "-m", "reason 1", "--json"];
    assert_eq!(studio.ws(&again).ok().json()["already"], true);

    let refused = |what: &str, exit, code| {
        studio
            .ws(&["yank", what, "-m", "why", "--json"])
            .fails(exit, code);
    };
    refused("Table>=1", 2, "release::not_one");
    refused("Table==9.0", 4, "release::unknown");
    studio
        .ws(&["copy", "Table==1.0.0", "--from", "review", "--to", "blessed"])
        .ok();
    refused("Table==1.0.0", 2, "release::ambiguous_repo");
    studio
        .ws(&["yank", "Table==1.0.0", "--repo", "blessed", "-m", "why"])
        .ok();
}

/// Make all folders of a repo look as if nothing had changed for long: what changed just now may change again unseen.
fn age(folder: &std::path::Path, day: u64) {
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + day * 86_400);
    for entry in fs_err::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            age(&path, day);
        }
    }
    let opened = fs_err::File::open(folder).expect("opened");
    opened.file().set_modified(past).expect("set");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a folder is moved out of the way and back"
)]
fn an_answer_is_used_again_while_nothing_changed_and_never_after() {
    let studio = tables(&["0.1.0", "0.2.0"]);
    let repo = studio.path("repos/review");
    let chosen = |name: &str| {
        studio.workspace(name);
        let args = ["-w", name, "install", "Table", "--dry-run", "--json"];
        let report = studio.run(&args).ok().json();
        report["changes"][0]["to"].as_str().unwrap_or_default().to_owned()
    };
    let answers = || fs_err::read_dir(studio.path("cache/answers")).map_or(0, Iterator::count);
    // As if it changed just now, however slow the machine is.
    age(&repo, 20_000);
    assert_eq!(
        (chosen("a").as_str(), answers()),
        ("0.2.0", 0),
        "it was too young to tell"
    );
    for place in [&repo, &studio.path("repos/blessed")] {
        age(place, 0);
    }
    assert_eq!((chosen("b").as_str(), answers()), ("0.2.0", 1));
    // Nothing but the times of two folders is looked at: what is in them does not matter now.
    let (packages, hidden) = (repo.join("packages/table"), studio.path("hidden"));
    fs_err::rename(&packages, &hidden).expect("hidden");
    fs_err::create_dir(&packages).expect("made");
    age(&packages, 0);
    assert_eq!(chosen("c"), "0.2.0");
    fs_err::remove_dir(&packages).expect("removed");
    fs_err::rename(&hidden, &packages).expect("back");
    studio
        .run(&["-w", "ws", "yank", "Table==0.2.0", "-m", "wrong"])
        .ok();
    assert_eq!(chosen("d"), "0.1.0");
    age(&repo, 1);
    assert_eq!(chosen("e"), "0.1.0");
    let text = b"__version__ = \"0.3.0\"\n";
    studio.write("ws/outputs/table/src/table/__version__.py", text);
    studio.ws(&["publish", "Table"]).ok();
    assert_eq!(chosen("f"), "0.3.0");
}

#[test]
fn what_nobody_could_install_is_neither_required_nor_published_nor_copied() {
    let studio = Studio::new();
    for name in ["Json", "os", "Site"] {
        studio
            .ws(&["new", name, "--json"])
            .fails(2, "output::standard_library");
    }
    for name in ["Tab", "Set1", "Table"] {
        studio.ws(&["new", name]).ok();
    }
    let add = |asset: &str, requirement: &str| studio.ws(&["input", "add", asset, requirement, "--json"]);
    add("Tab", "Tab").fails(2, "input::itself");
    add("Set1", "Tabel>=1").fails(4, "resolve::unknown_package");
    add("Set1", "Table>=1").fails(5, "resolve::conflict");
    // Another output is enough to require it, and not enough to publish.
    add("Set1", "Table").ok();
    let publish = ["publish", "Set1", "--json"];
    studio.ws(&publish).fails(5, "publish::cannot_be_installed");
    studio
        .ws(&["publish", "Set1", "--force", "--json"])
        .fails(2, "command::usage");
    assert!(!studio.path("repos/review/packages/set1").exists());
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&publish).ok();
    // A copy without what it needs, to a repo that lacks it, for those who see that repo alone.
    studio.run(&["init", "other"]).ok();
    for repo in ["blessed", "review"] {
        let place = format!("repos/{repo}");
        studio.run(&["-w", "other", "repo", "add", repo, &place]).ok();
    }
    let copy = [
        "-w",
        "other",
        "copy",
        "Set1",
        "--from",
        "review",
        "--to",
        "blessed",
        "--without-files",
    ];
    let refused = studio.run(&[&copy[..], &["--json"]].concat());
    refused.fails(5, "publish::cannot_be_installed");
    assert!(!studio.path("repos/blessed/packages/set1").exists());
    studio
        .run(&[&copy[..], &["--force", "-m", "Table follows today"]].concat())
        .ok();
    let shown = studio.run(&["-w", "other", "show", "Set1", "--json"]).ok().json();
    assert!(shown.to_string().contains("Table follows today"), "{shown:#}");
}

#[test]
fn a_new_asset_whose_folder_windows_cannot_hold_is_warned_about() {
    let studio = Studio::new();
    for name in ["CON", "nul", "aux", "com1"] {
        let told = studio.ws(&["new", name]).ok().stderr();
        assert_eq!(told.matches("dvc::unportable_name").count(), 1, "{name}: {told}");
    }
    let told = studio.ws(&["new", "Console"]).ok().stderr();
    assert!(!told.contains("dvc::unportable_name"), "{told}");
}
