//! Imports of paths of git repositories and of files that DVC tracks there: same as by real DVC, and readable and updatable by both.

use std::process::Command;

use backlot_core::file::{remove, rename};
use backlot_tests::{Run, Studio, run_command, snapshot, tool};
use fs_err as fs;

const MODULE: &str = "ws/outputs/table/src/table";

/// A command in a folder of the studio, as somebody with a name.
fn run(studio: &Studio, program: &str, folder: &str, arguments: &[&str]) -> Run {
    let mut command = if program == "git" {
        Command::new("git")
    } else {
        Command::new(tool(program))
    };
    command
        .args(arguments)
        .current_dir(studio.path(folder))
        .env("HOME", studio.path("home"))
        .env("DVC_NO_ANALYTICS", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "ana")
            .env(format!("GIT_{who}_EMAIL"), "ana@studio.example");
    }
    run_command(&mut command).ok()
}

/// A repository with a file of git, a folder that DVC tracks, and one with both, under the tag `v1`; and the workspace with the asset `Table`.
fn repository() -> Studio {
    let studio = Studio::with_dvc_layout();
    studio.ws(&["new", "Table"]).ok();
    fs::create_dir_all(studio.path("lib")).expect("made");
    fs::create_dir_all(studio.path("home")).expect("made");
    run(&studio, "git", "lib", &["init", "-q", "-b", "main"]);
    run(&studio, "dvc", "lib", &["init", "-q"]);
    run(
        &studio,
        "dvc",
        "lib",
        &["remote", "add", "-q", "-d", "far", "../far"],
    );
    studio.write("lib/notes.txt", b"notes");
    studio.write("lib/trees/oak.abc", b"oak");
    studio.write("lib/trees/old/elm.abc", b"elm");
    studio.write("lib/set/plain.txt", b"plain");
    studio.write("lib/set/big.exr", b"big");
    run(&studio, "dvc", "lib", &["add", "-q", "trees", "set/big.exr"]);
    commit(&studio, "one");
    run(&studio, "git", "lib", &["tag", "-a", "v1", "-m", "first"]);
    studio
}

fn commit(studio: &Studio, message: &str) {
    run(studio, "dvc", "lib", &["push", "-q"]);
    run(studio, "git", "lib", &["add", "-A"]);
    run(studio, "git", "lib", &["commit", "-q", "-m", message]);
}

/// A pointer without our table in its out.
fn dvc_part(studio: &Studio, name: &str) -> String {
    let text = fs::read_to_string(studio.path(&format!("{MODULE}/{name}.dvc"))).expect("a pointer");
    text.split("  meta:\n").next().unwrap_or_default().to_owned()
}

fn outcome(run: Run) -> String {
    let report = run.ok().json();
    report["imports"][0]["outcome"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn import(studio: &Studio, arguments: &[&str]) -> Run {
    studio.ws(&[&["import", "--git", "--asset", "Table", "--json"], arguments].concat())
}

fn update(studio: &Studio, name: &str) -> Run {
    studio.ws(&["update", "--json", &format!("{MODULE}/{name}.dvc")])
}

#[test]
fn paths_of_git_repositories_are_imported_as_real_dvc_does() {
    let studio = repository();
    let lib = studio.path("lib").display().to_string();
    assert_eq!(
        outcome(import(&studio, &[&lib, "trees", "--dry-run"])),
        "would_import"
    );
    let cases = [
        ("notes.txt", vec![]),
        ("trees", vec!["--rev", "v1"]),
        ("set", vec![]),
    ];
    for (name, more) in &cases {
        assert_eq!(
            outcome(import(
                &studio,
                &[&[lib.as_str(), name], more.as_slice()].concat()
            )),
            "imported"
        );
        let ours = (dvc_part(&studio, name), snapshot(&studio.path(MODULE)));
        let aside = ["", ".dvc"].map(|end| {
            let place = studio.path(&format!("{MODULE}/{name}{end}"));
            let aside = studio.path(&format!("aside{end}"));
            rename(&place, &aside).expect("moved");
            (place, aside)
        });
        // DVC makes the same of it.
        let given = [&["import", "-q", "-o", name, &lib, name], more.as_slice()].concat();
        run(&studio, "dvc", MODULE, &given);
        assert_eq!(ours.0, dvc_part(&studio, name), "{name}");
        for (place, aside) in &aside {
            if aside.extension().is_some_and(|end| end == "dvc") {
                rename(aside, place).expect("moved");
            } else {
                remove(aside).expect("removed");
            }
        }
        assert!(
            snapshot(&studio.path(MODULE)) == ours.1,
            "{name}: DVC has other bytes"
        );
    }
    let trees = snapshot(&studio.path(&format!("{MODULE}/trees")));
    assert_eq!(trees.keys().collect::<Vec<_>>(), ["oak.abc", "old/elm.abc"]);
    let set = snapshot(&studio.path(&format!("{MODULE}/set")));
    assert_eq!(
        set.keys().collect::<Vec<_>>(),
        [".gitignore", "big.exr", "plain.txt"]
    );
    let status = run(&studio, "dvc", MODULE, &["status"]).stdout();
    assert!(status.contains("up to date"), "{status}");
    import(&studio, &[&lib, "trees/old/elm.abc"]).ok();
    assert_eq!(
        fs::read(studio.path(&format!("{MODULE}/elm.abc"))).expect("read"),
        b"elm"
    );
    import(&studio, &[&lib, "none"]).fails(4, "imports::not_in_repository");
    import(&studio, &[&lib, "trees", "x", "--rev", "v9"]).fails(6, "imports::git");
    import(&studio, &["/nowhere/at/all", "trees", "x"]).fails(6, "imports::git");
    import(&studio, &["https://ana:secret@git.example/x", "trees", "x"]).fails(2, "imports::bad_source");
}

#[test]
fn imports_follow_their_branch_and_not_a_tag_and_stay_when_it_is_away() {
    let studio = repository();
    let lib = studio.path("lib").display().to_string();
    import(&studio, &[&lib, "trees"]).ok();
    import(&studio, &[&lib, "trees", "pinned", "--rev", "v1"]).ok();
    // One that DVC made.
    run(
        &studio,
        "dvc",
        MODULE,
        &["import", "-q", "-o", "theirs", &lib, "trees"],
    );
    let states = || {
        let told = studio.ws(&["status", "--imports", "--json"]).ok().json();
        let all = told["imports"].as_array().expect("a list").iter();
        all.map(|import| import["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["up_to_date"; 3]);
    assert_eq!(outcome(update(&studio, "trees")), "unchanged");
    studio.write("lib/trees/new.abc", b"new");
    fs::remove_dir_all(studio.path("lib/trees/old")).expect("removed");
    run(&studio, "dvc", "lib", &["add", "-q", "trees"]);
    commit(&studio, "two");
    assert_eq!(states(), ["up_to_date", "changed", "changed"]);
    for (name, expected) in [
        ("trees", "updated"),
        ("theirs", "updated"),
        ("pinned", "unchanged"),
    ] {
        assert_eq!(outcome(update(&studio, name)), expected, "{name}");
    }
    let there = |name: &str| snapshot(&studio.path(&format!("{MODULE}/{name}")));
    assert!(there("trees") == snapshot(&studio.path("lib/trees")) && there("theirs") == there("trees"));
    assert!(there("pinned").contains_key("old/elm.abc"));
    let status = run(&studio, "dvc", MODULE, &["status"]).stdout();
    assert!(status.contains("up to date"), "{status}");
    // A commit that changes nothing of it: only the pointer follows, also by DVC.
    studio.write("lib/notes.txt", b"other notes");
    commit(&studio, "three");
    run(&studio, "dvc", MODULE, &["update", "-q", "trees.dvc"]);
    assert_eq!(outcome(update(&studio, "trees")), "unchanged");
    // The release says where it is from.
    studio.ws(&["push"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let told = studio.ws(&["show", "Table", "--json"]).ok().json().to_string();
    assert!(told.contains(&format!("\"source\":\"{lib}\"")), "{told}");
    // It is away.
    let before = snapshot(&studio.path(MODULE));
    rename(&studio.path("lib"), &studio.path("away")).expect("moved");
    update(&studio, "trees").fails(6, "imports::git");
    assert!(states().contains(&"unreachable".to_owned()));
    assert!(snapshot(&studio.path(MODULE)) == before);
}
