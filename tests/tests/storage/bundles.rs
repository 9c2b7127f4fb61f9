//! Bundles: releases with all requirements and files in one file or folder, run without Backlot, or imported with it.
#![expect(clippy::disallowed_methods, reason = "a test moves folders")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_tests::bundles::{
    LOOK, SEEN, activate, bundle, elsewhere, frames, lose, other_site, shots, unpack,
};
use backlot_tests::wheels::{put, sha256, wheel_with};
use backlot_tests::{Studio, rig, run_command, snapshot, tool};
use fs_err as fs;
use serde_json::{Value, json};

#[test]
fn a_bundle_runs_without_backlot_when_all_it_was_made_of_is_gone() {
    let studio = shots();
    let report = bundle(&studio, "made");
    assert_eq!((&report["files"], &report["archive"]), (&json!(8), &json!(false)));
    assert_eq!(report["packages"][0]["name"], "shot");
    assert_eq!(report["packages"][1]["version"], "0.1.0");
    assert_eq!(report["platform"], Value::Null);
    let report = bundle(&studio, "made.tar.zst");
    let size = fs::metadata(studio.path("made.tar.zst")).expect("made").len();
    assert_eq!(
        (&report["size"], &report["archive"]),
        (&json!(size), &json!(true))
    );
    lose(&studio);
    let [folder, unpacked] = ["else where/a folder", "else where/unpacked"].map(|path| studio.path(path));
    fs::create_dir(studio.path("else where")).expect("made");
    fs::rename(studio.path("made"), &folder).expect("moved");
    unpack(&studio.path("made.tar.zst"), &unpacked);
    for bundle in [&folder, &unpacked] {
        let run = activate(bundle, &["python", "-c", LOOK]).ok();
        assert_eq!(run.stdout(), SEEN);
        // A link to it, and it as a program.
        let link = studio.path("link");
        std::os::unix::fs::symlink(bundle.join("activate"), &link).expect("linked");
        let mut linked = elsewhere(link.to_str().expect("UTF-8"));
        assert_eq!(
            run_command(linked.args(["python3", "-c", LOOK])).ok().stdout(),
            SEEN
        );
        fs::remove_file(&link).expect("removed");
    }
    assert_eq!(
        activate(&folder, &["sh", "-c", "exit 7"]).output.status.code(),
        Some(7)
    );
}

#[test]
fn a_bundle_is_set_in_a_shell_and_by_launchers_and_brings_its_scripts() {
    let studio = shots();
    bundle(&studio, "made");
    let made = studio.path("made");
    let source = |shell: &str, script: &str| {
        let mut command = elsewhere(shell);
        command.args(["-c", script, "-"]).arg(&made).arg(LOOK);
        run_command(&mut command)
    };
    let here = source(
        "sh",
        "cd \"$1\" && . ./activate && cd / && python -c \"$2\" && python3 -c \"$2\"",
    );
    assert_eq!(here.ok().stdout(), format!("{SEEN}{SEEN}"));
    let strict = "set -eu; . \"$1/activate\"; python -c \"$2\"";
    assert_eq!(source("bash", strict).ok().stdout(), SEEN);
    let lost = source("sh", ". \"$1/activate\" || echo lost");
    assert!(lost.stdout().ends_with("lost\n") && lost.stderr().contains("cd to its folder"));

    // A launcher puts the root where env.json has it.
    let text = fs::read_to_string(made.join("env.json")).expect("read");
    assert!(!text.contains(studio.root().to_str().expect("UTF-8")));
    let text = text.replace("{root}", made.to_str().expect("UTF-8"));
    let environment: Value = serde_json::from_str(&text).expect("JSON");
    let mut python = elsewhere(tool("python").to_str().expect("UTF-8"));
    for (name, value) in environment["set"].as_object().expect("variables") {
        python.env(name, value.as_str().expect("a text"));
    }
    python.env(
        "PYTHONPATH",
        environment["prepend"]["PYTHONPATH"][0].as_str().expect("a path"),
    );
    assert_eq!(run_command(python.args(["-c", LOOK])).ok().stdout(), SEEN);

    // Scripts of packages run by their own path, too.
    let more = [
        ("lamp_code.py", "def hello():\n    print('lit')\n"),
        (
            "lamp-1.0.dist-info/entry_points.txt",
            "[console_scripts]\nhello = lamp_code:hello\n",
        ),
    ];
    studio.write(
        "drop/lamp-1.0-py3-none-any.whl",
        &wheel_with("lamp", "1.0", "", "lamp", &more),
    );
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio.ws(&["bundle", "lamp", "-o", "lamp"]).ok();
    let script = studio.path("lamp/tree/bin/hello");
    assert_eq!(
        run_command(&mut elsewhere(script.to_str().expect("UTF-8")))
            .ok()
            .stdout(),
        "lit\n"
    );
    assert_eq!(activate(&studio.path("lamp"), &["hello"]).ok().stdout(), "lit\n");
}

#[test]
fn the_same_releases_give_the_same_bytes_whoever_bundles_them_and_where() {
    let studio = shots();
    bundle(&studio, "a.tar.zst");
    bundle(&studio, "a");
    // Another person with another cache, in another workspace, at another time.
    studio.workspace("other");
    let mut command = studio.command(&["-w", "other", "bundle", "Shot==0.1.0", "-o", "b.tar.zst"]);
    command
        .env("BACKLOT_CACHE_DIR", studio.path("cache of ben"))
        .env("BACKLOT_AUTHOR", "ben");
    run_command(&mut command).ok();
    studio
        .run(&["-w", "other", "bundle", "Shot==0.1.0", "-o", "b"])
        .ok();
    let bytes = |name: &str| fs::read(studio.path(name)).expect("read");
    assert!(bytes("a.tar.zst") == bytes("b.tar.zst"));
    assert!(studio.snapshot("a") == studio.snapshot("b"));
    unpack(&studio.path("a.tar.zst"), &studio.path("c"));
    assert!(studio.snapshot("a") == studio.snapshot("c"));

    // All of it is in the manifest, and nothing twice.
    let manifest: Value = serde_json::from_slice(&bytes("a/bundle.json")).expect("JSON");
    let mut files = studio.snapshot("a");
    files.remove("bundle.json");
    let listed = manifest["files"].as_array().expect("files");
    assert_eq!(listed.len(), files.len());
    for file in listed {
        let content = &files[file["path"].as_str().expect("a path")];
        assert_eq!(file["sha256"], sha256(content));
        assert_eq!(file["size"], content.len());
    }
    let frames = files.values().filter(|content| content.len() == 20_000).count();
    assert_eq!(frames, 5, "frames are stored once");
    assert_eq!(manifest["python"], json!(bundle(&studio, "d")["python"]));
}

#[test]
fn a_fresh_workspace_installs_a_bundle_and_has_its_files_and_asks_nobody() {
    let studio = shots();
    bundle(&studio, "shot.tar.zst");
    bundle(&studio, "shot");
    studio.workspace("reader");
    studio.run(&["-w", "reader", "install", "Shot==0.1.0"]).ok();
    studio.run(&["-w", "reader", "pull"]).ok();
    let expected = frames(&studio, "reader");
    assert_eq!(expected.len(), 8);
    fs::remove_dir_all(studio.path("reader")).expect("removed");
    lose(&studio);
    for (name, bundle) in [("one", "shot.tar.zst"), ("two", "shot")] {
        let site = other_site(&studio, name);
        // One that would be an error if it were asked.
        let config = studio.path(name).join("backlot.toml");
        let text = fs::read_to_string(&config).expect("read");
        fs::write(
            &config,
            text + "\n[repos.dead]\nurl = \"http://127.0.0.1:9/simple\"\n",
        )
        .expect("written");
        let report = site(&["unbundle", bundle, "--json"]).ok().json();
        assert_eq!(
            report["files"],
            json!({ "objects": 10, "bytes": report["files"]["bytes"], "new": 10 })
        );
        assert_eq!(report["packages"][0]["state"], "imported");
        assert!(frames(&studio, name) == expected);
        assert_eq!(studio.wrong_objects(&format!("cache-{name}")), [] as [PathBuf; 0]);
        site(&["install", "--locked"]).ok();
        site(&["verify", "--inputs"]).ok();
        let again = site(&["unbundle", bundle, "--json"]).ok().json();
        assert_eq!(
            (&again["files"]["new"], &again["packages"][1]["state"]),
            (&json!(0), &json!("there"))
        );
        assert_eq!(again["installed"]["changes"], json!([]));
        // Publishing does not go to the repo for bundles by itself.
        let repos = site(&["repo", "list", "--json"]).ok().json();
        let own = repos["repos"]
            .as_array()
            .expect("repos")
            .iter()
            .find(|repo| repo["name"] == "bundles");
        let own = own.expect("named");
        assert_eq!(
            (&own["blessed"], &own["publish_to"]),
            (&json!(false), &json!(false))
        );
    }
}

#[test]
fn another_site_publishes_a_bundle_to_its_repo_and_remote_and_everybody_there_pulls() {
    let studio = shots();
    bundle(&studio, "shot.tar.zst");
    let wheel = |folder: &str| {
        let files = studio.snapshot(folder).into_iter();
        let mut wheels: Vec<(String, Vec<u8>)> = files
            .filter(|(path, _)| path.ends_with(".whl"))
            .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes))
            .collect();
        wheels.sort();
        wheels
    };
    let published = wheel("repos/review");
    lose(&studio);
    let site = other_site(&studio, "ben");
    site(&["repo", "add", "site", "far/repo"]).ok();
    site(&["remote", "add", "far", "far/files"]).ok();
    let import = [
        "unbundle",
        "shot.tar.zst",
        "--into-repo",
        "site",
        "-m",
        "by courier",
        "--json",
    ];
    let planned = site(&[&import[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(
        (&planned["pushed"]["objects"], &planned["dry_run"]),
        (&json!(10), &json!(true))
    );
    assert_eq!(wheel("far/repo"), []);
    assert_eq!(snapshot(&studio.path("cache-ben/files")), BTreeMap::new());
    let report = site(&import).ok().json();
    assert_eq!(
        (&report["repo"], &report["pushed"]["objects"]),
        (&json!("site"), &json!(10))
    );
    assert_eq!(wheel("far/repo"), published);
    let shown = site(&["show", "Shot", "--json"]).ok().json();
    assert!(shown.to_string().contains("by courier"), "{shown}");
    // Twice is as good as once.
    let again = site(&import).ok().json();
    let states: Vec<&Value> = again["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| &p["state"])
        .collect();
    assert_eq!(states, ["there", "there"]);
    assert_eq!(again["pushed"]["objects"], 0);
    // Somebody else there, without the bundle.
    fs::remove_file(studio.path("shot.tar.zst")).expect("removed");
    let reader = other_site(&studio, "cleo");
    reader(&["repo", "add", "site", "far/repo"]).ok();
    reader(&["remote", "add", "far", "far/files"]).ok();
    reader(&["install", "Shot"]).ok();
    reader(&["pull"]).ok();
    assert_eq!(frames(&studio, "cleo").len(), 8);
    reader(&["verify", "--remote", "--releases"]).ok();
    // A collection there knows who needs the files.
    let kept = reader(&["gc", "--remote", "--dry-run", "--json"]).ok().json();
    assert!(kept.to_string().contains("\"dry_run\":true"), "{kept}");
}

#[test]
fn files_alone_go_to_a_remote() {
    let studio = shots();
    bundle(&studio, "shot");
    lose(&studio);
    let site = other_site(&studio, "ben");
    site(&["remote", "add", "far", "far/files", "--layout", "dvc"]).ok();
    let report = site(&["unbundle", "shot", "--push", "far", "--json"]).ok().json();
    assert_eq!(report["packages"][0]["state"], "left");
    assert_eq!(studio.snapshot("far/files/files/md5").len(), 10);
    assert_eq!(studio.wrong_objects("far/files"), [] as [PathBuf; 0]);
    assert!(!studio.path("ben/bundles").exists());
}

#[test]
fn secrets_of_the_machine_and_its_paths_are_nowhere_in_a_bundle() {
    let studio = shots();
    studio.write(
        "home/.netrc",
        b"machine index.studio.lan login ana password planted-netrc\n",
    );
    let config = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&config).expect("read")
        + "\n[repos.studio]\nurl = \"https://index.studio.lan/simple\"\npublic = true\nallow = [\"numpy\"]\n[remotes.cloud]\nurl = \"s3://planted-bucket/files\"\n";
    fs::write(&config, text).expect("written");
    // A wheel named by a path of this machine.
    put(&studio, "private", "lamp", "1.0", "");
    let url = format!(
        "lamp @ file://{}/lamp-1.0-py3-none-any.whl",
        studio.path("private").display()
    );
    for output in ["made", "made.tar.zst"] {
        let mut command = studio.command(&[
            "-w",
            "ws",
            "bundle",
            "Shot==0.1.0",
            &url,
            "-o",
            output,
            "--from",
            "review",
        ]);
        for (name, value) in [
            ("BACKLOT_REPO_STUDIO_TOKEN", "planted-token"),
            ("BACKLOT_REPO_STUDIO_HOST", "index.studio.lan"),
            ("BACKLOT_REPO_X_PASSWORD", "planted-password"),
            ("BACKLOT_REMOTE_CLOUD_USERNAME", "planted-key"),
            ("AWS_SECRET_ACCESS_KEY", "planted-aws"),
            ("HTTPS_PROXY", "http://ana:planted-proxy@127.0.0.1:9"),
        ] {
            command.env(name, value);
        }
        let run = run_command(&mut command).ok();
        assert!(!run.stdout().contains("planted") && !run.stderr().contains("planted"));
    }
    unpack(&studio.path("made.tar.zst"), &studio.path("unpacked"));
    let root = studio.root().to_str().expect("UTF-8").to_owned();
    for folder in ["made", "unpacked"] {
        let files = studio.snapshot(folder);
        assert!(files.len() > 20, "{folder}");
        for (path, bytes) in files {
            let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            for word in ["planted", "studio.lan", root.as_str()] {
                assert!(!holds(word) && !path.contains(word), "{folder}/{path} has {word}");
            }
        }
    }
}

#[test]
fn long_names_and_programs_survive_an_archive() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let long = format!("deep/{}/{}", "d".repeat(90), "f".repeat(90));
    let folder = "ws/outputs/table/src/table/data";
    studio.write(&format!("{folder}/{long}"), b"deep");
    studio.write(&format!("{folder}/größe.txt"), b"wide");
    studio.ws(&["add", folder]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bundle", "Table==0.1.0", "-o", "t.tar.zst"]).ok();
    lose(&studio);
    let site = other_site(&studio, "ben");
    site(&["unbundle", "t.tar.zst"]).ok();
    let files = studio.snapshot("ben/inputs");
    let ends = |end: &str| {
        files
            .iter()
            .any(|(path, bytes)| path.ends_with(end) && bytes.len() == 4)
    };
    assert!(ends(&long) && ends("größe.txt"));
}

#[test]
fn an_install_is_bundled_as_it_is_locked() {
    let studio = shots();
    studio.workspace("reader");
    studio.run(&["-w", "reader", "install", "Table"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let report = studio
        .run(&["-w", "reader", "bundle", "-o", "t", "--json"])
        .ok()
        .json();
    assert_eq!(report["packages"][0]["version"], "0.1.0");
    assert_eq!(report["packages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn dry_runs_change_nothing_and_tell_what_would_be() {
    let studio = shots();
    // The files have to be fetched.
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let planned = studio
        .ws(&["bundle", "Shot==0.1.0", "-o", "out/shot", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&planned["files"], &planned["file_bytes"]),
        (&json!(8), &json!(115_000))
    );
    assert_eq!(planned["fetched"]["objects"], 10);
    assert!(!studio.path("out").exists());
    assert_eq!(studio.snapshot("cache/files"), BTreeMap::new());
    let made = bundle(&studio, "out/shot");
    for key in ["packages", "files", "file_bytes", "python", "platform"] {
        assert_eq!(made[key], planned[key], "{key}");
    }
    for key in ["objects", "bytes"] {
        assert_eq!(made["fetched"][key], planned["fetched"][key], "{key}");
    }
    let site = other_site(&studio, "ben");
    let before = studio.snapshot("ben");
    let planned = site(&["unbundle", "out/shot", "--dry-run", "--json"]).ok().json();
    assert_eq!(planned["files"]["new"], 10);
    assert_eq!(planned["packages"][0]["state"], "imported");
    let mut after = studio.snapshot("ben");
    after.retain(|path, _| before.contains_key(path) || !path.starts_with(".backlot/"));
    assert!(before == after);
}

#[test]
fn wheels_of_a_platform_and_source_distributions_are_bundled_for_what_they_run_on() {
    let studio = Studio::new();
    rig::make(&studio.path("drop"), "1.0", "first", &["wheels"]);
    rig::make(&studio.path("drop"), "2.0", "second", &["sdist"]);
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    let compiled = studio
        .ws(&["bundle", "rig==1.0", "-o", "one", "--json"])
        .ok()
        .json();
    let tags = compiled["platform"]["tags"][0].as_str().expect("a tag");
    assert!(tags.contains("manylinux"), "{compiled}");
    let built = studio
        .ws(&["bundle", "rig==2.0", "-o", "two", "--json"])
        .ok()
        .json();
    assert_eq!(built["platform"], Value::Null);
    assert_eq!(built["packages"][0]["wheel"], "rig-2.0-py3-none-any.whl");
    let say = ["python", "-c", "import rig; print(rig.which, rig.note)"];
    assert_eq!(
        activate(&studio.path("two"), &say).ok().stdout(),
        "sdist second\n"
    );
    let site = other_site(&studio, "ben");
    site(&["unbundle", "two"]).ok();
    site(&["run", "python", "-c", "import rig"]).ok();
    let text = fs::read_to_string(studio.path("two/pylock.toml")).expect("a lock");
    assert!(
        text.contains("wheels/rig-2.0-py3-none-any.whl") && text.contains("rig==2.0"),
        "{text}"
    );
}
