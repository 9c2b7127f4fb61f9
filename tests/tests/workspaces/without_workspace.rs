//! Releases without a workspace: environments in the cache that are created once, reused and cleaned; and a new workspace that
//! reads the location of files from a release.

use std::process::Command;

use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;
use serde_json::Value;

/// A studio in which Table 0.1.0 with 4 frames and Lamp, which requires it, are published; and a user's file that names its repo and remote.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 4, 2_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["new", "Lamp"]).ok();
    studio.ws(&["input", "add", "Lamp", "Table"]).ok();
    studio.ws(&["publish", "Lamp"]).ok();
    studio.write(
        "home/.config/backlot/config.toml",
        b"[repos.review]\npath = \"../../../repos/review\"\n\n[remotes.main]\nurl = \"../../../remote\"\nlayout = \"chunked\"\n",
    );
    studio
}

/// The command in a folder that is in no workspace.
fn outside(studio: &Studio, arguments: &[&str]) -> Command {
    fs::create_dir_all(studio.path("elsewhere")).expect("made");
    let mut command = studio.command(arguments);
    command.current_dir(studio.path("elsewhere"));
    command
}

fn run(studio: &Studio, arguments: &[&str]) -> Run {
    run_command(&mut outside(studio, arguments))
}

/// The environments in the cache, by name.
fn environments(studio: &Studio) -> Vec<String> {
    let Ok(entries) = fs::read_dir(studio.path("cache/environments")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

const VERSIONS: &str = "import importlib.metadata as m; print(*(m.version(n) for n in ('table', 'lamp')))";

#[test]
fn a_release_runs_without_a_workspace_in_an_environment_that_is_made_once() {
    let studio = studio();
    let with = ["run", "--with", "Lamp", "--dry-run", "--json", "--", "python"];
    let planned = run(&studio, &with).ok().json();
    assert_eq!(planned["made"], true, "{planned:#}");
    let packages: Vec<&Value> = planned["packages"].as_array().expect("packages").iter().collect();
    let names: Vec<&str> = packages
        .iter()
        .filter_map(|one| one["package"].as_str())
        .collect();
    assert_eq!(names, ["lamp", "table"], "{planned:#}");
    assert!(environments(&studio).is_empty(), "a dry run made something");
    assert!(studio.snapshot("elsewhere").is_empty());

    let versions = ["run", "--with", "Lamp", "--", "python3", "-c", VERSIONS];
    assert_eq!(run(&studio, &versions).ok().stdout().trim(), "0.1.0 0.1.0");
    let made = environments(&studio);
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(
        planned["root"]
            .as_str()
            .is_some_and(|root| root.ends_with(&made[0])),
        "{planned:#}"
    );
    // Again: the same, untouched.
    let pyvenv = studio.path(&format!("cache/environments/{}/inputs/pyvenv.cfg", made[0]));
    let before = fs::metadata(&pyvenv)
        .expect("an environment")
        .modified()
        .expect("a time");
    run(&studio, &versions).ok();
    let again = run(&studio, &with).ok().json();
    assert_eq!(again["made"], false, "{again:#}");
    let after = fs::metadata(&pyvenv)
        .expect("an environment")
        .modified()
        .expect("a time");
    assert_eq!((environments(&studio), after), (made, before));
    // Exit codes are the command's.
    let failed = run(&studio, &["run", "--with", "Lamp", "--", "sh", "-c", "exit 7"]);
    assert_eq!(failed.output.status.code(), Some(7));

    // A new release is another environment; who pins the old one has the old one.
    studio.ws(&["publish", "Table", "--bump", "minor"]).ok();
    assert_eq!(run(&studio, &versions).ok().stdout().trim(), "0.2.0 0.1.0");
    let pinned = [
        "run",
        "--with",
        "Lamp",
        "--with",
        "Table==0.1.0",
        "--",
        "python3",
        "-c",
        VERSIONS,
    ];
    assert_eq!(run(&studio, &pinned).ok().stdout().trim(), "0.1.0 0.1.0");
    assert_eq!(environments(&studio).len(), 3);
}

#[test]
fn files_are_pulled_if_that_is_asked_for_and_variables_and_shells_are_given() {
    let studio = studio();
    let count =
        "import pathlib, table; print(len(list(pathlib.Path(table.__file__).parent.glob('frames/*.exr'))))";
    let frames = |more: &[&str]| {
        let arguments = [
            &["run", "--with", "Table"][..],
            more,
            &["--", "python3", "-c", count],
        ]
        .concat();
        run(&studio, &arguments).ok().stdout().trim().to_owned()
    };
    assert_eq!(frames(&[]), "0");
    assert_eq!(frames(&["--pull"]), "4");

    let script = format!(
        "eval \"$('{}' env --with Table)\"; python3 -c \"{count}\"",
        backlot_tests::binary().display()
    );
    let mut shell = Command::new("sh");
    let told = outside(&studio, &[]);
    shell
        .args(["-c", &script])
        .current_dir(studio.path("elsewhere"))
        .env_clear();
    shell.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(run_command(&mut shell).ok().stdout().trim(), "4");
    let json = run(&studio, &["env", "--with", "Table", "--json"]).ok().json();
    let environment = json["variables"]["VIRTUAL_ENV"].as_str().expect("an environment");
    assert!(environment.contains("/cache/environments/"), "{json:#}");

    studio.write(
        "elsewhere/my-shell",
        b"#!/bin/sh\nexec python3 -c 'import table; print(\"in it\")'\n",
    );
    backlot_core::platform::set_mode(&studio.path("elsewhere/my-shell"), 0o755).expect("set");
    let mut shell = outside(&studio, &["shell", "--with", "Table"]);
    shell.env("SHELL", studio.path("elsewhere/my-shell"));
    assert_eq!(run_command(&mut shell).ok().stdout().trim(), "in it");
}

#[test]
fn a_workspace_gives_its_repos_and_nothing_else_and_a_place_can_be_named() {
    let studio = studio();
    // An output of the workspace is no release.
    studio.ws(&["bump", "Table", "major"]).ok();
    let versions = ["run", "--with", "Lamp", "--", "python3", "-c", VERSIONS];
    assert_eq!(studio.ws(&versions).ok().stdout().trim(), "0.1.0 0.1.0");
    studio.write("home/.config/backlot/config.toml", b"author = \"ana\"\n");
    let with = ["run", "--json", "--with", "Lamp"];
    let python = ["--", "python3", "-c", VERSIONS];
    run(&studio, &[&with[..], &python].concat()).fails(3, "get::no_known_repo");
    for (from, exit, code) in [
        ("../repos/revew", 4, "get::no_repo"),
        ("revew", 4, "config::unknown_name"),
    ] {
        run(&studio, &[&with[..], &["--from", from], &python].concat()).fails(exit, code);
    }
    let there = run(
        &studio,
        &[&with[..], &["--from", "../repos/review"], &python].concat(),
    );
    assert_eq!(there.ok().stdout().trim(), "0.1.0 0.1.0");
    run(
        &studio,
        &[
            "run",
            "--json",
            "--with",
            "Lamp==9",
            "--from",
            "../repos/review",
            "--",
            "true",
        ],
    )
    .fails(5, "resolve::conflict");
    studio.write("home/.config/backlot/config.toml", b"[repos.x]\nplace = \"y\"\n");
    run(&studio, &[&with[..], &python].concat()).fails(3, "config::invalid");
    assert!(studio.snapshot("elsewhere").is_empty());
    let config = fs::read_to_string(studio.path("home/.config/backlot/config.toml")).expect("read");
    assert_eq!(config, "[repos.x]\nplace = \"y\"\n");
}

#[test]
fn many_that_ask_for_the_same_at_once_make_it_once_and_all_run() {
    let studio = studio();
    let arguments = ["run", "--with", "Lamp", "--", "python3", "-c", VERSIONS];
    let started: Vec<_> = (0..6)
        .map(|_| {
            let mut command = outside(&studio, &arguments);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().expect("the command starts")
        })
        .collect();
    for child in started {
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "0.1.0 0.1.0",
            "{told}"
        );
    }
    assert_eq!(environments(&studio).len(), 1);
}

#[test]
fn a_cleaning_takes_what_was_not_used_lately_and_never_what_something_runs_in() {
    let studio = studio();
    run(&studio, &["run", "--with", "Table==0.1.0", "--", "true"]).ok();
    // The command says that it began, and ends when it is told to, in a child that outlives the first process.
    let script = "touch began; while [ ! -e end ]; do sleep 0.05; done";
    let mut long = outside(&studio, &["run", "--with", "Lamp", "--", "sh", "-c", script]);
    let mut child = long.spawn().expect("the command starts");
    while !studio.path("elsewhere/began").exists() {
        assert!(child.try_wait().expect("asked").is_none(), "it ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(environments(&studio).len(), 2);
    let clean = ["cache", "clean", "--json", "--unused-for"];
    // Used just now.
    let kept = studio.ws(&[&clean[..], &["1h"]].concat()).ok().json();
    assert_eq!(kept["environments"], 0, "{kept:#}");
    let planned = studio.ws(&[&clean[..], &["0", "--dry-run"]].concat()).ok().json();
    assert_eq!(environments(&studio).len(), 2);
    let done = studio.ws(&[&clean[..], &["0"]].concat()).ok().json();
    assert_eq!(planned["environments"], done["environments"]);
    assert_eq!(done["environments"], 1, "{done:#}");
    assert_eq!(environments(&studio).len(), 1);
    studio.write("elsewhere/end", b"");
    assert!(child.wait().expect("it ends").success());
    let done = studio.ws(&[&clean[..], &["0"]].concat()).ok().json();
    assert_eq!(done["environments"], 1, "{done:#}");
    assert!(environments(&studio).is_empty());
    // No workspace is missed afterwards, also if one is deleted by hand.
    run(&studio, &["run", "--with", "Lamp", "--", "true"]).ok();
    fs::remove_dir_all(studio.path("cache/environments")).expect("removed");
    studio.ws(&clean[..3]).ok();
    let status = studio.ws(&["cache", "status", "--json"]).ok().json();
    let users = status["workspaces"].as_array().expect("a list").len();
    assert_eq!(users, 1, "{status:#}");
}

#[test]
fn a_workspace_without_a_remote_is_told_which_one_a_release_names_and_adds_it_only_if_asked() {
    let studio = studio();
    let get = ["get", "Table", "--from", "../repos/review", "--json"];
    let error = studio.run_afresh("new", &get).fails(3, "get::remote_not_added");
    let place = studio.path("remote").display().to_string();
    let command = format!("backlot remote add main {place} --layout chunked");
    let help = error["help"].as_str().expect("help");
    assert!(help.contains(&command), "{help}");
    let remotes = studio
        .run_afresh("new", &["remote", "list", "--json"])
        .ok()
        .json();
    assert_eq!(
        remotes["remotes"],
        Value::Array(Vec::new()),
        "nothing is added unasked"
    );
    studio
        .run_afresh("new", &["pull", "--dry-run", "--json"])
        .fails(3, "get::remote_not_added");
    // The command that it gives, as it stands.
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    studio.run_afresh("new", &words).ok();
    studio.run_afresh("new", &["pull"]).ok();
    assert_eq!(studio.pulled_frames("new"), 4);

    // Or by its name, in one step; a dry run adds nothing.
    let named = [&get[..], &["--remote", "main"]].concat();
    let planned = studio
        .run_afresh("named", &[&named[..], &["--dry-run"]].concat())
        .ok()
        .json();
    assert_eq!(planned["remote"]["url"], place.as_str(), "{planned:#}");
    assert!(studio.snapshot("named").is_empty());
    let done = studio.run_afresh("named", &named).ok().json();
    assert_eq!(
        (&done["remote"]["url"], studio.pulled_frames("named")),
        (&place.as_str().into(), 4)
    );
    studio
        .run_afresh("other", &[&get[..], &["--remote", "mian"]].concat())
        .fails(4, "config::unknown_name");
    // The release says it, also of its copy in another repo, and a place that is gone is not made.
    studio
        .ws(&["copy", "Table", "--from", "review", "--to", "blessed"])
        .ok();
    for repo in ["review", "blessed"] {
        let shown = studio.ws(&["show", "Table", "--json"]).ok().json();
        assert_eq!(
            shown["releases"][0]["published"]["remotes"][0]["name"], "main",
            "{repo} {shown:#}"
        );
        studio.ws(&["config", "set", "blessed", "review"]).ok();
    }
    backlot_core::file::rename(&studio.path("remote"), &studio.path("away")).expect("moved");
    studio.run_afresh("gone", &named).fails(4, "get::no_remote");
    assert!(!studio.path("remote").exists());
}

#[test]
fn hooks_of_an_asset_run_in_its_environment_with_its_groups() {
    let studio = studio();
    let project = studio.path("ws/outputs/lamp/pyproject.toml");
    let text = fs::read_to_string(&project).expect("read");
    let scripts = "\n[project.scripts]\n\"tgzr.pipeline.asset.build\" = \"lamp:build\"\n\n[project.entry-points.\"backlot.hooks\"]\nsetup = \"lamp:setup\"\n";
    fs::write(&project, format!("{text}{scripts}")).expect("written");
    studio
        .ws(&["input", "add", "Lamp", "Table", "--group", "build"])
        .ok();
    let module = "ws/outputs/lamp/src/lamp/__init__.py";
    let code = fs::read_to_string(studio.path(module)).expect("read");
    let hooks = "\n\ndef build():\n    import sys, table\n    print('built', table.__name__, *sys.argv[1:])\n    return 3\n\n\ndef setup():\n    print('set up')\n";
    studio.write(module, format!("{code}{hooks}").as_bytes());

    // Of an output.
    studio.ws(&["install"]).ok();
    let run_hook = studio.ws(&["run", "--hook", "setup", "Lamp"]).ok();
    assert_eq!(run_hook.stdout().trim(), "set up");
    let error = studio
        .ws(&["run", "--json", "--hook", "process", "Lamp"])
        .fails(4, "run::no_hook");
    assert!(
        error["help"].as_str().is_some_and(|help| help.contains("setup")),
        "{error:#}"
    );
    studio
        .ws(&["run", "--json", "--hook", "setup", "Lmap"])
        .fails(4, "input::not_installed");
    // Of a release, with a group.
    studio.ws(&["publish", "Lamp", "--bump", "minor"]).ok();
    let built = run(
        &studio,
        &[
            "run",
            "--hook",
            "build",
            "--group",
            "build",
            "Lamp==0.2.0",
            "fast",
            "--now",
        ],
    );
    assert_eq!(built.output.status.code(), Some(3), "{}", built.stderr());
    assert_eq!(built.stdout().trim(), "built table fast --now");
}

#[test]
fn a_rez_package_becomes_an_asset_without_being_run() {
    let studio = studio();
    let text = "name = 'rig'\nversion = '1.2.0'\nrequires = ['table-0.1+<2', '~lamp-1']\nbuild_requires = ['lamp']\nopen('ran', 'w')\n\ndef commands():\n    pass\n";
    studio.write("rez/rig/1.2.0/package.py", text.as_bytes());
    let import = ["import-rez", "rez/rig/1.2.0", "--json"];
    let planned = studio.ws(&[&import[..], &["--dry-run"]].concat()).ok().json();
    assert!(!studio.path("ws/outputs/rig").exists());
    let done = studio.ws(&import).ok().json();
    for key in ["version", "inputs", "left_out"] {
        assert_eq!(planned[key], done[key], "{key}");
    }
    assert_eq!(done["version"], "1.2.0", "{done:#}");
    let left_out = done["left_out"].to_string();
    assert!(
        left_out.contains("~lamp-1") && left_out.contains("commands"),
        "{done:#}"
    );
    assert!(!studio.path("ran").exists());
    let status = studio.ws(&["status", "--json"]).ok().json();
    let outputs = status["outputs"].as_array().expect("outputs");
    let rig = outputs
        .iter()
        .find(|one| one["name"] == "rig")
        .expect("the asset");
    assert_eq!(rig["version"], "1.2.0");
    let project = fs::read_to_string(studio.path("ws/outputs/rig/pyproject.toml")).expect("read");
    assert!(
        project.contains("table<2,>=0.1") || project.contains("table>=0.1,<2"),
        "{project}"
    );
    studio.ws(&["publish", "rig"]).ok();
    studio
        .ws(&[&import[..], &["--name", "rig"]].concat())
        .fails(5, "output::exists");
}
