//! The main workflow, end to end, through the command.

use std::collections::BTreeMap;

use backlot_tests::{Studio, noise, run_command};
use fs_err as fs;

#[test]
fn a_sequence_is_published_installed_and_pulled_and_a_change_of_three_frames_stores_three() {
    let studio = Studio::new();
    studio.frames("renders/turntable", 40, 70_000, 1);
    studio
        .ws(&["new", "Table", "--type", "Prop", "--tag", "hero"])
        .ok();
    studio.ws(&["add", "renders/turntable", "--asset", "Table"]).ok();
    studio.ws(&["bump", "Table", "major"]).ok();
    let published = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(published["files"]["objects"], 41);
    studio.ws(&["new", "KitchenSet"]).ok();
    studio.ws(&["input", "add", "KitchenSet", "Table>=1.0,<2.0"]).ok();
    studio.ws(&["publish", "KitchenSet"]).ok();
    for release in ["Table==1.0.0", "KitchenSet"] {
        studio
            .ws(&["copy", release, "--from", "review", "--to", "blessed"])
            .ok();
    }

    studio.run(&["init", "other", "--cache", "cache"]).ok();
    studio
        .run(&["-w", "other", "repo", "add", "blessed", "repos/blessed"])
        .ok();
    studio
        .run(&["-w", "other", "remote", "add", "main", "remote"])
        .ok();
    let other = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "other"], arguments].concat());
        command.env_remove("BACKLOT_CACHE_DIR");
        run_command(&mut command)
    };
    let installed = other(&["install", "KitchenSet", "--json"]).ok().json();
    assert_eq!(installed["changes"].as_array().map(Vec::len), Some(2));
    other(&["pull"]).ok();
    let site_packages = site_packages(&studio, "other");
    let pulled = studio.snapshot(&format!("{site_packages}/table/turntable"));
    assert_eq!(pulled, studio.snapshot("renders/turntable"));
    other(&["verify"]).ok();

    let before = studio.snapshot("remote");
    for number in [3, 5, 7] {
        let frame = format!("ws/outputs/table/src/table/turntable/f.{number:04}.exr");
        studio.write(&frame, &noise(70_000, 99_000 + number));
    }
    let status = studio.ws(&["status", "--json"]).ok().json();
    let table = &status["outputs"].as_array().expect("outputs")[1];
    assert_eq!(
        (&table["name"], &table["outs"][0]["changed"]),
        (&"Table".into(), &3.into()),
        "{table:#}"
    );
    studio.ws(&["bump", "Table", "minor"]).ok();
    let again = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(again["files"]["objects"], 4, "three frames and the manifest");
    assert_eq!(again["files"]["sent"], grown_by_three_frames(&before, &studio));
    studio
        .ws(&["copy", "Table", "--from", "review", "--to", "blessed"])
        .ok();

    other(&["install", "--upgrade"]).ok();
    let fetched = other(&["pull", "--json"]).ok().json();
    // The manifest came with the install, to tell which of the old files stay.
    assert_eq!(
        (&fetched["objects"], &fetched["assets"][0]["placed"]),
        (&3.into(), &3.into()),
        "{fetched:#}"
    );
    assert_eq!(
        studio.snapshot(&format!("{site_packages}/table/turntable")),
        studio.snapshot("ws/outputs/table/src/table/turntable")
    );

    // An installed release becomes an output, with its files, one micro version on.
    let edited = other(&["edit", "Table", "--json"]).ok().json();
    assert_eq!(
        (&edited["from"], &edited["to"]),
        (&"1.1.0".into(), &"1.1.1".into())
    );
    other(&["pull"]).ok();
    assert_eq!(
        studio.snapshot("other/outputs/table/src/table/turntable"),
        studio.snapshot("ws/outputs/table/src/table/turntable")
    );
    // The editable is not replaced by the published one.
    other(&["install", "Table==1.0.0", "--json"]).fails(5, "input::editable_in_the_way");
    other(&["uninstall", "KitchenSet"]).ok();
    assert!(!studio.path(&site_packages).join("kitchenset").exists());
}

/// What a remote grew by, for three frames of 70,000 bytes.
fn grown_by_three_frames(before: &BTreeMap<String, Vec<u8>>, studio: &Studio) -> usize {
    let after = studio.snapshot("remote");
    assert_eq!(
        after.len() - before.len(),
        3,
        "a pack, an index segment, a recipe segment"
    );
    let size = |all: &BTreeMap<String, Vec<u8>>| all.values().map(Vec::len).sum::<usize>();
    let grown = size(&after) - size(before);
    assert!(
        grown < 3 * 70_000 + 20_000,
        "{grown} bytes for three frames of 70,000"
    );
    grown
}

fn site_packages(studio: &Studio, workspace: &str) -> String {
    let lib = studio.path(&format!("{workspace}/inputs/lib"));
    let python = fs::read_dir(lib)
        .expect("an environment")
        .next()
        .expect("a python")
        .expect("an entry");
    format!(
        "{workspace}/inputs/lib/{}/site-packages",
        python.file_name().to_string_lossy()
    )
}

/// Every command that can be shown instead of done.
const DRY_RUNS: &[&[&str]] = &[
    &["init", "third", "--dry-run"],
    &["-w", "ws", "repo", "add", "wip", "wip", "--dry-run"],
    &["-w", "ws", "repo", "remove", "review", "--dry-run"],
    &["-w", "ws", "remote", "add", "site", "site", "--dry-run"],
    &["-w", "ws", "remote", "default", "main", "--dry-run"],
    &["-w", "ws", "remote", "remove", "main", "--dry-run"],
    &["-w", "ws", "new", "Chair", "--dry-run"],
    &["-w", "ws", "add", "loose", "--asset", "Table", "--dry-run"],
    &[
        "-w",
        "ws",
        "input",
        "add",
        "Table",
        "Lamp",
        "--no-check",
        "--dry-run",
    ],
    &["-w", "ws", "bump", "Table", "major", "--dry-run"],
    &["-w", "ws", "build", "Table", "--dry-run"],
    &["-w", "ws", "publish", "Table", "--dry-run"],
    &[
        "-w",
        "ws",
        "copy",
        "Table",
        "--from",
        "review",
        "--to",
        "blessed",
        "--dry-run",
    ],
    &["-w", "ws", "mirror", "review", "blessed", "--files", "--dry-run"],
    &[
        "-w",
        "ws",
        "bundle",
        "Table==0.1.0",
        "-o",
        "table.tar.zst",
        "--dry-run",
    ],
    &["-w", "ws", "approve", "Table==0.1.0", "-m", "good", "--dry-run"],
    &["-w", "ws", "push", "--dry-run"],
    &["-w", "other", "install", "Table", "--upgrade", "--dry-run"],
    &["-w", "other", "update", "--dry-run"],
    &["-w", "other", "uninstall", "Table", "--dry-run"],
    &["-w", "other", "lock", "--upgrade", "--dry-run"],
    &["-w", "other", "export", "-o", "requirements.txt", "--dry-run"],
    &["-w", "other", "pull", "--dry-run"],
    &["-w", "other", "edit", "Table", "--dry-run"],
    &["-w", "ws", "gc", "--dry-run"],
    &["-w", "ws", "gc", "--remote", "--young", "0", "--dry-run"],
    &["-w", "ws", "gc", "--remote", "--restore", "--dry-run"],
    &["-w", "ws", "repair", "--dry-run"],
    &["-w", "ws", "repo", "reindex", "review", "--dry-run"],
    &["-w", "ws", "remote", "copy", "main", "main", "--dry-run"],
];

#[test]
fn a_dry_run_of_every_command_changes_nothing_and_every_report_is_json() {
    let studio = Studio::new();
    studio.asset("Table", 3, 1000);
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Table"]).ok();
    studio.frames("loose", 2, 500, 7);
    studio.ws(&["bump", "Table", "minor"]).ok();
    let state = || {
        let mut all = studio.snapshot(".");
        // Caches of facts about files are not state.
        all.retain(|path, _| {
            !path.contains("/.backlot/")
                && !path.starts_with("cache/remotes/")
                && !path.starts_with("cache/answers/")
                && !matches!(path.as_str(), "cache/state.db" | "cache/swept")
        });
        all
    };
    let before = state();
    for command in DRY_RUNS {
        let report = studio.run(&[*command, &["--json"]].concat()).ok().json();
        assert_ne!(report["dry_run"], false, "{command:?}");
        let after = state();
        let changed: Vec<&String> = before
            .keys()
            .chain(after.keys())
            .filter(|k| before.get(*k) != after.get(*k))
            .collect();
        assert!(changed.is_empty(), "{command:?} changed {changed:?}");
    }
    for command in [
        &["status"][..],
        &["list"],
        &["search", "tab"],
        &["show", "Table"],
        &["repo", "list"],
        &["remote", "list"],
        &["verify"],
        &["verify", "--remote", "--releases", "--sample", "50"],
        &["du"],
    ] {
        assert!(
            studio
                .ws(&[command, &["--json"]].concat())
                .ok()
                .json()
                .is_object()
        );
    }
}

#[test]
fn without_python_the_environment_is_a_plain_tree_and_becomes_a_real_one_later() {
    let studio = Studio::new();
    studio.asset("Table", 2, 1000);
    studio.ws(&["publish", "Table"]).ok();
    studio.run(&["init", "bare", "--python", "none"]).ok();
    studio
        .run(&["-w", "bare", "repo", "add", "review", "repos/review"])
        .ok();
    studio
        .run(&["-w", "bare", "remote", "add", "main", "remote"])
        .ok();
    studio.run(&["-w", "bare", "install", "Table"]).ok();
    studio.run(&["-w", "bare", "pull"]).ok();
    assert!(
        studio
            .path("bare/inputs/lib/site-packages/table/frames/f.0001.exr")
            .is_file()
    );
    assert!(!studio.path("bare/inputs/bin").exists());
    let config = fs::read_to_string(studio.path("bare/backlot.toml")).expect("read");
    fs::write(
        studio.path("bare/backlot.toml"),
        config.replace("python = \"none\"\n", ""),
    )
    .expect("written");
    studio.run(&["-w", "bare", "install"]).ok();
    let script = "import table, importlib.metadata as m; print(m.version('table'), len(list((table.ROOT / 'frames').iterdir())))";
    let mut python = std::process::Command::new(studio.path("bare/inputs/bin/python"));
    assert_eq!(
        run_command(python.args(["-c", script])).ok().stdout().trim(),
        "0.1.0 2"
    );
}

#[test]
fn completions_and_help_are_there_for_every_command() {
    let studio = Studio::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            studio
                .run(&["completions", shell])
                .ok()
                .stdout()
                .contains("backlot")
        );
    }
    let help = studio.run(&["--help"]).ok().stdout();
    let commands = help
        .lines()
        .skip_while(|l| !l.starts_with("Commands:"))
        .skip(1)
        .take_while(|l| !l.is_empty());
    let mut count = 0;
    for command in commands
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
    {
        let text = studio.run(&[command, "--help"]).ok().stdout();
        assert!(
            text.contains("Examples:") || text.contains("Commands:"),
            "{command} teaches nothing"
        );
        count += 1;
    }
    assert!(count >= 26, "{count} commands");
}

#[test]
fn files_go_between_remotes_of_both_layouts_and_each_version_says_what_it_cost() {
    let studio = Studio::new();
    studio.asset("Table", 4, 300_000);
    studio.ws(&["publish", "Table"]).ok();
    let frame = studio.path("ws/outputs/table/src/table/frames/f.0001.exr");
    let mut bytes = fs::read(&frame).expect("read");
    bytes[150_000] ^= 1;
    fs::write(&frame, bytes).expect("written");
    studio.ws(&["bump", "Table", "micro"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let usage = studio.ws(&["du", "Table", "--json"]).ok().json();
    let releases = usage["releases"].as_array().expect("a list");
    assert_eq!(releases.len(), 2);
    let number = |n: usize, key: &str| releases[n][key].as_u64().expect("a number");
    assert_eq!(number(0, "logical"), number(1, "logical"));
    assert!(
        number(1, "added") < 300_000 && number(0, "added") > 1_100_000,
        "{usage:#}"
    );
    for (name, layout) in [("site", "chunked"), ("old", "dvc"), ("back", "chunked")] {
        studio.ws(&["remote", "add", name, name, "--layout", layout]).ok();
    }
    for (from, to) in [("main", "site"), ("site", "old"), ("old", "back")] {
        let copied = studio
            .ws(&["remote", "copy", from, to, "Table", "--json"])
            .ok()
            .json();
        assert_eq!(copied["objects"], 7, "five frames and two manifests: {copied:#}");
        let again = studio.ws(&["remote", "copy", from, to, "--json"]).ok().json();
        assert_eq!(
            (&again["objects"], &again["already_there"]),
            (&0.into(), &7.into())
        );
        studio.ws(&["verify", "--remote", to, "--releases"]).ok();
    }
    assert!(studio.wrong_objects("old").is_empty());
    assert_eq!(studio.snapshot("old/files/md5").len(), 7);
}

#[test]
fn the_demo_does_the_main_job() {
    let studio = Studio::empty();
    let report = studio
        .run(&["demo", "there", "--frames", "8", "--json"])
        .ok()
        .json();
    assert_eq!(report["new_objects"], 4);
    studio.run(&["-w", "there/lighter", "verify"]).ok();
    // The cascade: a set and two shots follow the table, one of them repaired; the third keeps what it has. Then all is undone.
    let summary = &report["cascade"]["summary"];
    let nodes = summary["nodes"].as_array().expect("assets").iter();
    let followed: Vec<_> = nodes
        .map(|node| {
            (
                node["node"].as_str(),
                node["status"].as_str(),
                node["repaired"][0].as_str(),
            )
        })
        .collect();
    let released = |name, repaired| (Some(name), Some("released"), repaired);
    let expected = [
        released("review/kitchenset", None),
        released("review/shot010", None),
        released("review/shot020", Some("table.below-camera")),
    ];
    assert_eq!(followed, expected, "{summary:#}");
    let held = report["cascade"]["affected"]["nodes"].as_array().expect("assets");
    let held = held
        .iter()
        .find(|node| node["node"] == "review/shot030")
        .expect("listed");
    assert_eq!(held["decision"], "held", "{held:#}");
    let reverted = report["cascade"]["reverted"]["steps"]
        .as_array()
        .expect("releases");
    assert_eq!(reverted.len(), 4, "{reverted:#?}");
    // Where there is no shell, all else is shown.
    let mut bare = studio.command(&["demo", "bare", "--frames", "8", "--json"]);
    bare.env("PATH", studio.path("nothing"));
    assert_eq!(
        run_command(&mut bare).ok().json()["cascade"],
        serde_json::Value::Null
    );
    let again = studio.run(&["demo", "there", "--json"]);
    again.fails(5, "output::target_exists");
}
