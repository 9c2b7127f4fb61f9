//! A repo or remote that is missing or was replaced is an error: it is never treated as empty and never created again.
#![expect(
    clippy::disallowed_methods,
    reason = "a disk is unmounted by moving its folder away"
)]

use backlot_tests::{Studio, run_command, tool};
use fs_err as fs;

/// A workspace whose repo and remote are on a disk `mnt`, with a published asset that has an unpublished change.
fn on_a_disk(layout: &str) -> Studio {
    let studio = Studio::empty();
    studio.run(&["init", "ws"]).ok();
    let repo = studio.ws(&["repo", "add", "review", "mnt/review"]).ok();
    assert!(repo.stdout().contains("created"), "{}", repo.stdout());
    let remote = studio.ws(&["remote", "add", "main", "mnt/files", "--layout", layout]);
    assert!(remote.ok().stdout().contains("created"));
    studio.asset("Table", 3, 2000);
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.frames("ws/outputs/table/src/table/frames", 3, 2000, 9);
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    studio.ws(&["new", "Chair"]).ok();
    studio
}

/// Every command that reads or writes a repo, and every one that reads or writes a remote.
const OF_REPOS: [&[&str]; 17] = [
    &["list"],
    &["search", "table"],
    &["show", "Table"],
    &["outdated"],
    &["install", "Table"],
    &["install", "Table", "--dry-run"],
    &["lock"],
    &["update"],
    &["publish", "Table"],
    &["publish", "Table", "--dry-run"],
    &["copy", "Table==0.1.0", "--from", "review", "--to", "review"],
    &["yank", "Table==0.1.0", "-m", "wrong"],
    &["approve", "Table==0.1.0", "-m", "seen"],
    &["repo", "reindex", "review"],
    &["gc", "--remote", "main"],
    &["verify", "--remote", "main", "--releases"],
    &["du"],
];
const OF_REMOTES: [&[&str]; 4] = [
    &["push"],
    &["verify", "--remote", "main"],
    &["repair"],
    // The last: it needs the remote only for what is not cached.
    &["pull", "--force"],
];

#[test]
fn every_command_says_that_a_repo_or_remote_is_gone_and_none_makes_it_again() {
    for (layout, leave_empty) in [
        ("chunked", false),
        ("chunked", true),
        ("dvc", false),
        ("dvc", true),
    ] {
        let studio = on_a_disk(layout);
        fs::rename(studio.path("mnt"), studio.path("away")).expect("unmounted");
        let left = if leave_empty {
            vec!["mnt", "mnt/review", "mnt/files"]
        } else {
            Vec::new()
        };
        for folder in &left {
            fs::create_dir_all(studio.path(folder)).expect("made");
        }
        let code_of = |arguments: &[&str]| {
            let run = studio.ws(&[arguments, &["--json"]].concat());
            assert_eq!(
                run.output.status.code(),
                Some(6),
                "{arguments:?} {}{}",
                run.stdout(),
                run.stderr()
            );
            let code = run.json()["error"]["code"].clone();
            code.as_str().expect("a code").to_owned()
        };
        for arguments in OF_REPOS {
            // Some look at the remote first.
            let code = code_of(arguments);
            assert!(
                code == "workspace::repo_not_there" || code == "workspace::remote_not_there",
                "{arguments:?}: {code}"
            );
        }
        for arguments in OF_REMOTES {
            if arguments[0] == "pull" {
                fs::remove_dir_all(studio.path("cache")).expect("emptied");
                fs::remove_dir_all(studio.path("ws/outputs/table/src/table/frames")).expect("removed");
            }
            assert_eq!(code_of(arguments), "workspace::remote_not_there", "{arguments:?}");
        }
        let listed = studio.ws(&["repo", "list", "--json"]).ok().json();
        assert_eq!(listed["repos"][0]["problem"]["code"], "workspace::repo_not_there");
        let listed = studio.ws(&["remote", "list", "--json"]).ok().json();
        assert_eq!(
            listed["remotes"][0]["problem"]["code"],
            "workspace::remote_not_there"
        );
        assert_eq!(studio.path("mnt").exists(), leave_empty);
        assert!(
            studio.snapshot("mnt").is_empty(),
            "{:?}",
            studio.snapshot("mnt").keys()
        );

        // Mounted again, the work goes on.
        fs::remove_dir_all(studio.path("mnt")).ok();
        fs::rename(studio.path("away"), studio.path("mnt")).expect("mounted");
        studio.ws(&["publish", "Chair"]).ok();
    }
}

#[test]
fn another_repo_or_remote_at_the_place_is_an_error_and_a_copy_of_the_right_one_is_not() {
    for layout in ["chunked", "dvc"] {
        let studio = on_a_disk(layout);
        fs::rename(studio.path("mnt"), studio.path("right")).expect("moved");
        studio.run(&["init", "other"]).ok();
        studio
            .run(&["-w", "other", "repo", "add", "review", "mnt/review"])
            .ok();
        let add = [
            "-w",
            "other",
            "remote",
            "add",
            "main",
            "mnt/files",
            "--layout",
            layout,
        ];
        studio.run(&add).ok();
        let before = studio.snapshot("mnt");
        studio.ws(&["list", "--json"]).fails(6, "workspace::other_repo");
        studio
            .ws(&["publish", "Chair", "--json"])
            .fails(6, "workspace::other_repo");
        let error = studio.ws(&["push", "--json"]).fails(6, "workspace::other_remote");
        assert_eq!(studio.snapshot("mnt"), before, "nothing was written");

        // What the help says works.
        let help = error["help"].as_str().expect("help");
        assert!(
            help.contains("backlot remote remove main") && help.contains("backlot remote add main "),
            "{help}"
        );
        studio.ws(&["remote", "remove", "main"]).ok();
        let again = studio.ws(&["remote", "add", "main", "mnt/files"]).ok().stdout();
        assert!(!again.contains("created") && again.contains(layout), "{again}");
        studio.ws(&["push"]).ok();

        // A copy of the right one, on another disk, is the right one.
        let copy = std::process::Command::new("cp")
            .arg("-a")
            .arg(studio.path("right"))
            .arg(studio.path("disk2"))
            .status();
        assert!(copy.expect("cp runs").success());
        fs::remove_dir_all(studio.path("mnt")).expect("gone");
        fs::rename(studio.path("disk2"), studio.path("mnt")).expect("moved");
        studio.ws(&["list"]).ok();
        studio.ws(&["push", "--json"]).fails(6, "workspace::other_remote");
    }
}

#[test]
fn places_that_older_versions_or_dvc_made_are_known_by_what_lies_there() {
    let studio = on_a_disk("dvc");
    // As an older version left them: no identity anywhere.
    fs::write(studio.path("mnt/review/repo.json"), "{\"backlot-repo\": 1}\n").expect("written");
    fs::remove_file(studio.path("mnt/files/backlot-remote.json")).expect("removed");
    let config = fs::read_to_string(studio.path("ws/backlot.toml")).expect("read");
    assert_eq!(config.matches("\nid = ").count(), 2, "{config}");
    let old: String = config
        .lines()
        .filter(|line| !line.starts_with("id = "))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(studio.path("ws/backlot.toml"), old).expect("written");
    studio.ws(&["publish", "Table"]).ok();
    fs::rename(studio.path("mnt"), studio.path("away")).expect("unmounted");
    studio
        .ws(&["list", "--json"])
        .fails(6, "workspace::repo_not_there");
    studio
        .ws(&["push", "--json"])
        .fails(6, "workspace::remote_not_there");
    fs::rename(studio.path("away"), studio.path("mnt")).expect("mounted");

    // Added by a newer one, the remote gets an identity; dvc goes on with it.
    studio.run(&["init", "new"]).ok();
    studio
        .run(&["-w", "new", "repo", "add", "review", "mnt/review"])
        .ok();
    studio
        .run(&["-w", "new", "remote", "add", "main", "mnt/files"])
        .ok();
    assert!(studio.path("mnt/files/backlot-remote.json").is_file());
    studio.ws(&["push"]).ok();
    let mut dvc = std::process::Command::new(tool("dvc"));
    dvc.env("HOME", studio.path("home"));
    fs::remove_dir_all(studio.path("cache/files")).expect("emptied");
    dvc.current_dir(studio.path("ws"))
        .args(["fetch", "-R", "outputs"]);
    run_command(&mut dvc).ok();
}

#[test]
fn a_dry_run_of_adding_says_what_it_would_create_and_creates_nothing() {
    let studio = Studio::empty();
    studio.run(&["init", "ws"]).ok();
    let repo = studio
        .ws(&["repo", "add", "review", "mnt/review", "--dry-run"])
        .ok();
    assert!(repo.stdout().contains("would create it"), "{}", repo.stdout());
    let remote = studio.ws(&["remote", "add", "main", "mnt/files", "--dry-run", "--json"]);
    assert_eq!(remote.ok().json()["created"], true);
    assert!(!studio.path("mnt").exists());
}

#[test]
fn a_repo_that_lost_its_packages_is_empty_for_no_command_and_gets_no_new_ones() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table", "--to", "blessed"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.workspace("reader");
    studio.run(&["-w", "reader", "install", "Table"]).ok();
    studio.workspace("other");
    let (packages, away) = (studio.path("repos/blessed/packages"), studio.path("away"));
    let commands: [&[&str]; 13] = [
        &["-w", "other", "list"],
        &["-w", "other", "search", "table"],
        &["-w", "other", "show", "Table"],
        &["-w", "other", "install", "Table"],
        &["-w", "other", "install", "Table", "--dry-run"],
        &["-w", "reader", "outdated"],
        &["-w", "reader", "update"],
        &["-w", "reader", "lock", "--upgrade"],
        &["-w", "reader", "repo", "reindex", "blessed"],
        &["-w", "reader", "verify", "--repo", "blessed"],
        &["-w", "reader", "repair", "--repo", "blessed"],
        &[
            "-w", "reader", "copy", "Table", "--from", "review", "--to", "blessed",
        ],
        &[
            "-w",
            "reader",
            "yank",
            "Table==0.2.0",
            "--repo",
            "blessed",
            "-m",
            "no",
        ],
    ];
    for dead_link in [false, true] {
        fs::rename(&packages, &away).expect("lost");
        if dead_link {
            fs::os::unix::fs::symlink(studio.path("nowhere"), &packages).expect("linked");
        }
        let before = studio.snapshot("repos/blessed");
        for arguments in commands {
            let error = studio.run(&[arguments, &["--json"]].concat());
            let error = error.fails(6, "repo::no_packages");
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains("blessed/packages"), "{arguments:?}: {message}");
        }
        let publish = studio.ws(&["publish", "Table", "--to", "blessed", "--json"]);
        assert_eq!(publish.output.status.code(), Some(6), "{}", publish.stdout());
        assert_eq!(studio.snapshot("repos/blessed"), before, "nothing was written");
        if dead_link {
            fs::remove_file(&packages).expect("unlinked");
        }
        fs::rename(&away, &packages).expect("back");
    }
    let installed = studio
        .run(&["-w", "other", "install", "Table", "--json"])
        .ok()
        .json();
    assert_eq!(installed["changes"][0]["to"], "0.2.0");
    // The folder of a package that is a link to nothing; an absent one is a package that the repo does not have.
    studio.workspace("third");
    fs::rename(packages.join("table"), &away).expect("lost");
    fs::os::unix::fs::symlink(studio.path("nowhere"), packages.join("table")).expect("linked");
    studio
        .run(&["-w", "third", "install", "Table", "--json"])
        .fails(6, "repo::no_packages");
    studio
        .run(&["-w", "third", "install", "Chair", "--json"])
        .fails(4, "resolve::unknown_package");
}

#[test]
fn a_wheel_that_is_a_link_to_nothing_brings_no_older_version_back() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let wheel = studio.path("repos/review/packages/table/table-0.2.0-py3-none-any.whl");
    fs::remove_file(&wheel).expect("removed");
    fs::os::unix::fs::symlink(studio.path("nowhere"), &wheel).expect("linked");
    studio.workspace("other");
    studio
        .run(&["-w", "other", "install", "Table", "--json"])
        .fails(6, "repo::unreadable");
    // What the workspace built is put in its place.
    studio.ws(&["repair", "--repo", "review"]).ok();
    let installed = studio
        .run(&["-w", "other", "install", "Table", "--json"])
        .ok()
        .json();
    assert_eq!(installed["changes"][0]["to"], "0.2.0");
}

#[test]
fn a_repo_that_was_never_published_to_works_without_its_packages_folder() {
    let studio = Studio::new();
    fs::remove_dir_all(studio.path("repos/blessed/packages")).expect("removed");
    studio.ws(&["list"]).ok();
    studio.ws(&["verify", "--repo", "blessed"]).ok();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table", "--to", "blessed"]).ok();
    assert!(studio.path("repos/blessed/packages/table").is_dir());
}
