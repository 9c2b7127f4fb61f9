//! `diff`, `log`, `status --short`; files by path and frame; settings, `doctor` and other small commands.

use std::os::unix::fs::PermissionsExt as _;

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::{Value, json};

const MODULE: &str = "ws/outputs/table/src/table";
const FRAMES: &str = "ws/outputs/table/src/table/frames";

/// Table 0.1.0 and 0.2.0, with a changed, a new and a gone frame, and a changed output.
fn studio() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 12, 2_000);
    studio.ws(&["publish", "Table", "-m", "first look"]).ok();
    for number in 2..5 {
        studio.write(&format!("{FRAMES}/f.{number:04}.exr"), b"rendered again");
    }
    studio.write(&format!("{FRAMES}/f.0020.exr"), b"new");
    fs::remove_file(studio.path(&format!("{FRAMES}/f.0011.exr"))).expect("removed");
    studio.write(&format!("{MODULE}/rig.py"), b"RIG = 1\n");
    studio.ws(&["new", "Lamp"]).ok();
    studio.ws(&["publish", "Lamp"]).ok();
    studio.ws(&["input", "add", "Table", "Lamp>=0.1"]).ok();
    studio.ws(&["publish", "Table", "--bump", "minor"]).ok();
    studio
}

#[test]
fn a_diff_tells_files_by_name_requirements_and_metadata() {
    let studio = studio();
    let between = ["diff", "Table==0.1.0", "Table==0.2.0", "--json"];
    let report = studio.ws(&between).ok().json();
    let files = &report["files"][0];
    assert_eq!(report["files"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(files["path"], "table/frames");
    assert_eq!(
        files["changed"],
        json!(["f.0002.exr", "f.0003.exr", "f.0004.exr"])
    );
    assert_eq!(
        (&files["new"], &files["gone"]),
        (&json!(["f.0020.exr"]), &json!(["f.0011.exr"]))
    );
    assert_eq!(
        (&files["bytes_from"], &files["bytes_to"]),
        (&24_000.into(), &16_045.into())
    );
    let named = |list: &Value, name: &str| list.as_array().expect("a list").iter().any(|one| one == name);
    assert!(named(&report["package"]["new"], "table/rig.py"), "{report:#}");
    assert_eq!(
        report["requirements"],
        json!([{ "name": "lamp", "from": null, "to": "Lamp>=0.1" }])
    );
    assert_eq!(
        (&report["from"]["repo"], &report["to"]["version"]),
        (&"review".into(), &"0.2.0".into())
    );
    let told = studio.ws(&between[..3]).ok().stdout();
    assert!(
        told.contains("M f.[0002-0004].exr  3 files") && told.contains("A lamp: Lamp>=0.1"),
        "{told}"
    );
}

#[test]
fn local_changes_count_before_they_are_added_and_the_base_is_what_it_was_published_as() {
    let studio = studio();
    assert!(
        studio
            .ws(&["diff", "Table"])
            .ok()
            .stdout()
            .contains("no differences")
    );
    studio.write(&format!("{FRAMES}/f.0000.exr"), b"painted over");
    fs::remove_file(studio.path(&format!("{FRAMES}/f.0001.exr"))).expect("removed");
    let project = "ws/outputs/table/pyproject.toml";
    let text = fs::read_to_string(studio.path(project)).expect("read");
    let described = text.replace("description = \"Table, an asset\"", "description = \"a table\"");
    assert_ne!(text, described);
    studio.write(project, described.as_bytes());
    let before = studio.snapshot("ws/outputs");
    let report = studio.ws(&["diff", "Table", "--json"]).ok().json();
    assert_eq!(
        (&report["from"]["version"], &report["to"]["repo"]),
        (&"0.2.0".into(), &Value::Null)
    );
    let files = &report["files"][0];
    assert_eq!(
        (&files["changed"], &files["gone"]),
        (&json!(["f.0000.exr"]), &json!(["f.0001.exr"]))
    );
    assert_eq!(
        report["metadata"],
        json!([{ "name": "summary", "from": "Table, an asset", "to": "a table" }])
    );
    let since = studio.ws(&["diff", "Table==0.1.0", "--json"]).ok().json();
    assert_eq!(
        since["files"][0]["changed"].as_array().map(Vec::len),
        Some(4),
        "{since:#}"
    );
    assert_eq!(studio.snapshot("ws/outputs"), before);

    studio
        .ws(&["diff", "Table==0.3.0", "--json"])
        .fails(4, "release::unknown");
    studio
        .ws(&["diff", "Table>=0.1", "--json"])
        .fails(2, "release::not_one");
    studio
        .ws(&["diff", "Tabel", "--json"])
        .fails(4, "output::unknown");
    studio
        .ws(&["diff", "Table", "--repo", "revew", "--json"])
        .fails(4, "config::unknown_name");
}

#[test]
fn frames_that_were_never_pulled_differ_from_nothing() {
    let studio = studio();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Table==0.1.0"]).ok();
    studio.run(&["-w", "other", "edit", "Table"]).ok();
    let report = studio
        .run(&["-w", "other", "diff", "Table", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&report["files"], &report["from"]["version"]),
        (&json!([]), &"0.1.0".into()),
        "{report:#}"
    );
    studio.write("other/outputs/table/src/table/frames/f.0003.exr", b"mine");
    let report = studio
        .run(&["-w", "other", "diff", "Table", "--json"])
        .ok()
        .json();
    assert_eq!(report["files"][0]["changed"], json!(["f.0003.exr"]));
    assert_eq!(
        (&report["files"][0]["gone"], &report["files"][0]["bytes_to"]),
        (&json!([]), &Value::Null)
    );
}

#[test]
fn a_log_tells_who_why_from_what_and_what_was_said_since() {
    let studio = studio();
    studio
        .ws(&["approve", "Table==0.1.0", "-m", "seen by the lead"])
        .ok();
    studio.ws(&["deprecate", "Table==0.1.0", "-m", "use 0.2"]).ok();
    studio.ws(&["yank", "Table==0.1.0", "-m", "wrong scale"]).ok();
    let report = studio.ws(&["log", "Table", "--json"]).ok().json();
    let releases = report["releases"].as_array().expect("releases");
    let versions: Vec<&Value> = releases.iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, ["0.2.0", "0.1.0"]);
    let (second, first) = (&releases[0], &releases[1]);
    assert_eq!(
        (&first["author"], &first["reason"], &first["repo"]),
        (&"ana".into(), &"first look".into(), &"review".into())
    );
    assert_eq!((&first["files"], &first["bytes"]), (&12.into(), &24_000.into()));
    assert!(second["reason"].is_null() && second["at"].is_u64(), "{second:#}");
    assert_eq!(second["inputs"]["lamp"], "0.1.0", "{second:#}");
    let kinds: Vec<&Value> = first["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|e| &e["kind"])
        .collect();
    assert_eq!(kinds, ["approved", "deprecated", "yanked"]);
    let told = studio.ws(&["log", "Table"]).ok().stdout();
    assert!(
        told.contains("first look") && told.contains("wrong scale") && told.contains("built with lamp 0.1.0"),
        "{told}"
    );
    let newest = studio.ws(&["log", "Table", "-n", "1", "--json"]).ok().json();
    assert_eq!(newest["releases"].as_array().map(Vec::len), Some(1));
    let old = studio.ws(&["log", "Table<0.2", "--json"]).ok().json();
    assert_eq!(old["releases"][0]["version"], "0.1.0");
    studio.ws(&["new", "Kitchen Set"]).ok();
    studio.ws(&["publish", "Kitchen Set"]).ok();
    let spaced = studio.ws(&["log", "Kitchen Set", "--json"]).ok().json();
    assert_eq!(spaced["releases"][0]["package"], "kitchen-set");
    let error = studio
        .ws(&["log", "Tabel", "--json"])
        .fails(4, "release::unknown");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("did you mean `table`?"),
        "{error:#}"
    );
    studio
        .ws(&["log", "Table>5", "--json"])
        .fails(4, "release::unknown");
}

#[test]
fn a_short_status_is_a_line_a_change() {
    let studio = studio();
    let clean = studio.ws(&["status", "--short"]).ok().stdout();
    assert_eq!(
        clean,
        "## Lamp 0.1.0...0.1.0 [unchanged]\n## Table 0.2.0...0.2.0 [unchanged]\n"
    );
    for number in 5..8 {
        studio.write(&format!("{FRAMES}/f.{number:04}.exr"), b"painted over");
    }
    studio.write(&format!("{FRAMES}/notes.txt"), b"new");
    fs::remove_file(studio.path(&format!("{FRAMES}/f.0001.exr"))).expect("removed");
    studio.write(&format!("{MODULE}/forgotten/a.exr"), b"x");
    let told = studio.ws(&["status", "-s"]).ok().stdout();
    let inside = "outputs/table/src/table";
    for line in [
        "## Table 0.2.0...0.2.0 [ahead]".to_owned(),
        format!(" M  {inside}/frames/f.[0005-0007].exr  3 files"),
        format!(" A  {inside}/frames/notes.txt"),
        format!(" D  {inside}/frames/f.0001.exr"),
        format!("??  {inside}/forgotten                  1 file"),
    ] {
        assert!(
            told.lines()
                .any(|one| one == line || one.split_whitespace().eq(line.split_whitespace())),
            "{line}\n{told}"
        );
    }
}

#[test]
fn frames_of_a_sequence_are_pulled_and_pushed_by_path_pattern_and_range() {
    for dvc in [false, true] {
        let studio = if dvc {
            Studio::with_dvc_layout()
        } else {
            Studio::new()
        };
        studio.asset("Table", 12, 2_000);
        studio.ws(&["publish", "Table"]).ok();
        let all = studio.snapshot(FRAMES);
        for workspace in ["node", "edited"] {
            studio.workspace(workspace);
            studio.run(&["-w", workspace, "install", "Table"]).ok();
        }
        studio.run(&["-w", "edited", "edit", "Table"]).ok();
        fs::remove_dir_all(studio.path("cache/files")).expect("removed");
        let node = |arguments: &[&str]| studio.run(&[&["-w", "node"], arguments].concat());
        let here = || -> Vec<String> {
            let files = studio.snapshot("node/inputs");
            let names = files.keys().filter_map(|path| path.rsplit_once("/frames/"));
            names
                .map(|(_, name)| name.to_owned())
                .filter(|name| name.ends_with(".exr"))
                .collect()
        };
        let pull = ["pull", "Table", "--frames", "2-6x2", "--json"];
        let planned = node(&[&pull[..], &["--dry-run"]].concat()).ok().json();
        assert!(here().is_empty());
        let done = node(&pull).ok().json();
        for key in ["assets", "objects", "bytes"] {
            assert_eq!(planned[key], done[key], "{key}: {planned:#}\n{done:#}");
        }
        assert_eq!(here(), ["f.0002.exr", "f.0004.exr", "f.0006.exr"]);
        // A pattern from the asset's own folder; what is there is left as it is.
        let done = node(&["pull", "frames/f.[0005-0007].exr", "--json"]).ok().json();
        assert_eq!(done["assets"][0]["placed"], 2, "{done:#}");
        assert_eq!(here().len(), 5);
        node(&["verify", "--inputs"]).ok();
        node(&["pull", "frames/g.*", "--json"]).fails(4, "files::not_tracked");
        node(&["pull", "Table", "--frames", "90-99", "--json"]).fails(4, "files::not_tracked");
        node(&["pull", "Tabel", "--frames", "1-2", "--json"]).fails(4, "output::unknown");
        node(&["pull", "Table"]).ok();
        assert_eq!(here().len(), 12);

        // In an output: a path from here; what somebody changed stays, or is set aside.
        let frames = "edited/outputs/table/src/table/frames";
        let edited = |arguments: &[&str]| studio.run(&[&["-w", "edited"], arguments].concat());
        edited(&[
            "pull",
            &format!("{frames}/f.000[1-3].exr"),
            &format!("{frames}/f.0007.exr"),
            "--json",
        ])
        .ok();
        assert_eq!(studio.snapshot(frames).len(), 4);
        studio.write(&format!("{frames}/f.0007.exr"), b"mine");
        let kept = edited(&["pull", &format!("{frames}/f.0007.exr"), "--json"])
            .ok()
            .json();
        assert_eq!(
            kept["assets"][0]["kept"].as_array().map(Vec::len),
            Some(1),
            "{kept:#}"
        );
        edited(&["pull", &format!("{frames}/f.0007.exr"), "--force"]).ok();
        assert_eq!(studio.snapshot(frames).get("f.0007.exr"), all.get("f.0007.exr"));
        edited(&["pull", "--undo"]).ok();
        assert_eq!(studio.snapshot(frames)["f.0007.exr"], b"mine");

        // Two new frames are added, one of them is sent.
        studio.write(&format!("{FRAMES}/f.0100.exr"), b"one hundred");
        studio.write(&format!("{FRAMES}/f.0101.exr"), b"one hundred and one");
        studio.ws(&["add", FRAMES]).ok();
        let push = ["push", "Table", "--frames", "100", "--json"];
        let planned = studio.ws(&[&push[..], &["--dry-run"]].concat()).ok().json();
        let pushed = studio.ws(&push).ok().json();
        for key in ["objects", "bytes", "already_there", "assets"] {
            assert_eq!(planned[key], pushed[key], "{key}: {planned:#}\n{pushed:#}");
        }
        assert_eq!((&pushed["objects"], &pushed["bytes"]), (&1.into(), &11.into()));
        let rest = studio.ws(&["push", "Table", "--json"]).ok().json();
        assert_eq!(rest["objects"], 2, "the other frame and the folder: {rest:#}");
    }
}

#[test]
fn settings_are_shown_with_their_origin_and_changed_in_either_file() {
    let studio = Studio::new();
    let origin = |key: &str| studio.ws(&["config", "get", key, "--json"]).ok().json();
    let cache = origin("cache");
    assert_eq!(cache["origin"]["layer"], "override", "{cache:#}");
    assert_eq!(origin("links")["origin"]["layer"], "built-in");
    let before = studio.snapshot("ws");
    studio
        .ws(&["config", "set", "links", "hardlink", "copy", "--dry-run"])
        .ok();
    assert_eq!(studio.snapshot("ws"), before);
    studio.ws(&["config", "set", "links", "hardlink", "copy"]).ok();
    let links = origin("links");
    assert_eq!(
        (&links["value"], &links["origin"]["layer"]),
        (&json!(["hardlink", "copy"]), &"workspace".into())
    );
    let told = studio
        .ws(&["config", "set", "links", "symlink", "--user"])
        .ok()
        .stdout();
    assert!(told.contains("still hardlink copy, from backlot.toml"), "{told}");
    studio.ws(&["config", "unset", "links"]).ok();
    let links = origin("links");
    assert_eq!(
        (&links["value"], &links["origin"]["layer"]),
        (&json!(["symlink"]), &"user".into())
    );
    let file = "home/.config/backlot/config.toml";
    let text = fs::read_to_string(studio.path(file)).expect("written");
    studio.write(file, format!("# mine\n{text}").as_bytes());
    studio.ws(&["config", "set", "author", "bea", "--user"]).ok();
    assert!(
        fs::read_to_string(studio.path(file))
            .expect("read")
            .starts_with("# mine\n")
    );
    studio.ws(&["config", "set", "remote", "main"]).ok();
    studio.ws(&["config", "set", "blessed", "review"]).ok();
    let listed = studio.ws(&["config", "list", "--origin"]).ok().stdout();
    assert!(
        listed.contains("blessed") && listed.contains("config.toml"),
        "{listed}"
    );
    for (arguments, exit, code) in [
        (&["get", "cahce"][..], 4, "config::no_such_key"),
        (&["set", "remote", "mian"], 4, "config::unknown_name"),
        (&["set", "links", "teleport"], 2, "config::bad_setting"),
        (&["set", "links", "teleport", "--user"], 2, "config::bad_setting"),
        (&["set", "author", "bea"], 2, "config::not_in_this_file"),
        (
            &["set", "blessed", "review", "--user"],
            2,
            "config::not_in_this_file",
        ),
        (&["set", "python", "3.11", "3.12"], 2, "config::bad_setting"),
    ] {
        let before = (studio.snapshot("ws"), studio.snapshot("home/.config"));
        studio
            .ws(&[&["config"], arguments, &["--json"]].concat())
            .fails(exit, code);
        assert_eq!(
            (studio.snapshot("ws"), studio.snapshot("home/.config")),
            before,
            "{arguments:?}"
        );
    }
    let nearest = studio.ws(&["config", "get", "cahce", "--json"]).json();
    assert!(
        nearest["error"]["message"]
            .as_str()
            .expect("text")
            .contains("did you mean `cache`?")
    );
}

#[test]
fn a_doctor_says_what_is_wrong_and_what_to_do() {
    let studio = Studio::new();
    studio.asset("Table", 2, 100);
    let sound = studio.ws(&["doctor", "--json"]).ok().json();
    let check = |report: &Value, name: &str| -> Value {
        let checks = report["checks"].as_array().expect("checks").iter();
        checks
            .clone()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {report:#}"))
            .clone()
    };
    for name in [
        "version",
        "outputs",
        "repo review",
        "remote main",
        "clock",
        "disk of the cache",
    ] {
        assert_eq!(check(&sound, name)["state"], "ok", "{sound:#}");
    }
    let before = studio.snapshot("ws/.backlot");
    studio.ws(&["doctor"]).ok();
    assert!(
        studio.snapshot("ws/.backlot").keys().eq(before.keys()),
        "nothing is left behind"
    );

    let mode = std::fs::Permissions::from_mode(0o775);
    fs::set_permissions(studio.path("repos/review"), mode).expect("set");
    studio.write("ws/outputs/bad/pyproject.toml", b"[project");
    backlot_core::file::rename(&studio.path("remote"), &studio.path("away")).expect("moved");
    let run = studio.ws(&["doctor", "--json"]);
    assert_eq!(run.output.status.code(), Some(6));
    let report = run.json();
    let gone = check(&report, "remote main");
    assert_eq!(gone["state"], "problem", "{report:#}");
    assert!(
        gone["help"].as_str().expect("help").contains("mounted"),
        "{gone:#}"
    );
    assert_eq!(check(&report, "output outputs/bad")["state"], "problem");
    let checks = report["checks"].as_array().expect("checks");
    let warned = checks.iter().any(|check| {
        check["help"]
            .as_str()
            .is_some_and(|help| help.contains("chmod g+s"))
    });
    assert!(warned, "{report:#}");
    assert!(
        run.stderr().contains("doctor::problems_found"),
        "{}",
        run.stderr()
    );
    studio.leaves_harm();
}

#[test]
fn the_folder_of_the_cache_and_the_version_are_told_without_a_workspace() {
    let studio = Studio::new();
    let cache = studio.path("cache").display().to_string();
    assert_eq!(studio.ws(&["cache", "dir"]).ok().stdout().trim(), cache);
    assert_eq!(studio.run(&["cache", "dir"]).ok().stdout().trim(), cache);
    let version = studio.run(&["self", "version", "--json"]).ok().json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["command"], "self version");
    assert!(
        studio
            .run(&["self", "version"])
            .ok()
            .stdout()
            .starts_with("backlot ")
    );
}

#[test]
fn every_new_command_fits_into_the_help() {
    let studio = Studio::empty();
    let help = studio.run(&["--help"]).ok().stdout();
    for name in [
        "get", "untrack", "restore", "discard", "diff", "log", "config", "doctor", "self",
    ] {
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the help"));
        assert!(line.chars().count() <= 100, "{line}");
        let own = studio.run(&[name, "--help"]).ok().stdout();
        assert!(own.contains("Examples:") || own.contains("Commands:"), "{own}");
    }
}
