//! Bundles: releases with all they need in one file or folder, run where there is no Backlot, and imported where there is.
#![expect(clippy::disallowed_methods, reason = "a test moves folders")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use backlot_tests::wheels::{put, sha256, wheel_with};
use backlot_tests::{Random, Run, Studio, rig, run_command, snapshot, tool};
use fs_err as fs;
use serde_json::{Value, json};

/// A workspace `ws` with the releases `Table` 0.1.0, and `Shot` 0.1.0 that needs it, each with frames.
fn shots() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 5000);
    studio.ws(&["publish", "Table"]).ok();
    studio.asset("Shot", 5, 20_000);
    studio.ws(&["input", "add", "Shot", "Table>=0.1"]).ok();
    studio.ws(&["publish", "Shot"]).ok();
    studio
}

/// What Shot and Table of [`shots`] say of themselves when they are run.
const LOOK: &str = "import os, pathlib, shot, table
for module in (shot, table):
    frames = pathlib.Path(module.__file__).parent / 'frames'
    print(module.__name__, sum(len(f.read_bytes()) for f in sorted(frames.iterdir())))
print(os.path.samefile(os.environ['BACKLOT_ASSET_SHOT'], pathlib.Path(shot.__file__).parent))";
const SEEN: &str = "shot 100000\ntable 15000\nTrue\n";

fn bundle(studio: &Studio, output: &str) -> Value {
    studio
        .ws(&["bundle", "Shot==0.1.0", "-o", output, "--json"])
        .ok()
        .json()
}

/// A command of a machine that has a Python, a shell, and neither Backlot nor anything of the studio in its environment.
fn elsewhere(program: &str) -> Command {
    let mut command = Command::new(program);
    let python = tool("python");
    let python = python.parent().expect("a folder").display();
    command
        .env_clear()
        .env("PATH", format!("{python}:/usr/bin:/bin"))
        .current_dir("/");
    command
}

/// Unpack an archive as `tar` does.
fn unpack(archive: &Path, folder: &Path) {
    let file = zstd::Decoder::new(fs::File::open(archive).expect("opened")).expect("zstd");
    tar::Archive::new(file).unpack(folder).expect("unpacked");
}

fn activate(bundle: &Path, arguments: &[&str]) -> Run {
    run_command(elsewhere("sh").arg(bundle.join("activate")).args(arguments))
}

/// Lose everything a bundle was made of.
fn lose(studio: &Studio) {
    for folder in ["ws", "repos", "remote", "cache"] {
        fs::remove_dir_all(studio.path(folder)).expect("removed");
    }
}

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

/// A workspace `name` of another site, with its own cache, repo `site` and remote `far`, that knows nothing of the first.
fn other_site(studio: &Studio, name: &str) -> impl Fn(&[&str]) -> Run {
    let (root, cache) = (studio.root().to_path_buf(), studio.path(&format!("cache-{name}")));
    let (name, site) = (name.to_owned(), name.to_owned());
    let run = move |arguments: &[&str]| {
        let mut command = Command::new(backlot_tests::binary());
        command
            .args(arguments)
            .current_dir(&root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a PATH"))
            .env("HOME", root.join("home of ben"))
            .env("BACKLOT_WORKSPACE", &name)
            .env("BACKLOT_CACHE_DIR", &cache)
            .env("BACKLOT_AUTHOR", "ben");
        run_command(&mut command)
    };
    run(&["init", &site]).ok();
    run
}

/// The frames of Shot and Table in the inputs of a workspace.
fn frames(studio: &Studio, workspace: &str) -> BTreeMap<String, Vec<u8>> {
    let files = studio.snapshot(&format!("{workspace}/inputs"));
    let frames = files.into_iter().filter(|(path, _)| path.ends_with(".exr"));
    frames
        .map(|(path, bytes)| {
            let (_, inside) = path.split_once("site-packages/").expect("installed");
            (inside.to_owned(), bytes)
        })
        .collect()
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
        + "\n[repos.studio]\nurl = \"https://index.studio.lan/simple\"\n[remotes.cloud]\nurl = \"s3://planted-bucket/files\"\n";
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
            "--offline",
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

/// An archive of these entries: kind, path, bytes.
fn pack(studio: &Studio, name: &str, entries: &[(tar::EntryType, &str, &[u8])]) {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // As it is: the crate would refuse paths that lead outside.
        let field = &mut header.as_old_mut().name;
        field[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").expect("short");
        }
        header.set_cksum();
        builder.append(&header, *bytes).expect("packed");
    }
    let bytes = builder.into_inner().expect("packed");
    studio.write(name, &zstd::encode_all(&bytes[..], 1).expect("packed"));
}

/// The manifest of files, with a wheel of `lamp` among them.
fn manifest_of(files: &[(&str, &[u8])], wheel: &[u8]) -> Vec<u8> {
    let mut listed: Vec<Value> = files
        .iter()
        .map(|(path, bytes)| json!({ "path": path, "size": bytes.len(), "sha256": sha256(bytes) }))
        .collect();
    listed.sort_by_key(|file| file["path"].as_str().map(ToOwned::to_owned));
    let manifest = json!({
        "format": 1, "requirements": ["lamp"], "python": "3.11", "requires_python": [],
        "packages": [{
            "name": "lamp", "version": "1.0", "wheel": "lamp-1.0-py3-none-any.whl",
            "sha256": sha256(wheel), "size": wheel.len(),
        }],
        "files": listed,
    });
    serde_json::to_vec(&manifest).expect("JSON")
}

#[test]
#[expect(clippy::too_many_lines, reason = "one block a case")]
fn bundles_that_are_damaged_or_made_to_harm_are_refused_and_leave_nothing() {
    use tar::EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    let studio = shots();
    bundle(&studio, "good.tar.zst");
    bundle(&studio, "good");
    let site = other_site(&studio, "ben");
    site(&["repo", "add", "site", "far/repo"]).ok();
    site(&["remote", "add", "far", "far/files"]).ok();
    let good = fs::read(studio.path("good.tar.zst")).expect("read");

    // Damaged on the way: cut off anywhere, a bit turned anywhere, something behind it, another thing.
    let mut random = Random(7);
    let mut cases: Vec<(String, Vec<&str>)> = Vec::new();
    for round in 0..12 {
        let at = usize::try_from(random.next() % good.len() as u64).expect("small");
        let name = format!("cut-{round}.tar.zst");
        studio.write(&name, &good[..at]);
        cases.push((name, vec!["bundle::damaged", "bundle::invalid"]));
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (round % 8);
        let name = format!("turned-{round}.tar.zst");
        studio.write(&name, &bytes);
        cases.push((name, vec!["bundle::damaged", "bundle::invalid"]));
    }
    studio.write("longer.tar.zst", &[&good[..], b"more"].concat());
    cases.push(("longer.tar.zst".to_owned(), vec!["bundle::damaged"]));
    studio.write("text.tar.zst", b"a text");
    cases.push(("text.tar.zst".to_owned(), vec!["bundle::damaged"]));
    cases.push(("repos".to_owned(), vec!["bundle::invalid"]));

    // Made to harm.
    put(&studio, "drop", "lamp", "1.0", "");
    let wheel = fs::read(studio.path("drop/lamp-1.0-py3-none-any.whl")).expect("read");
    let lock: &[u8] = b"lock-version = \"1.0\"\ncreated-by = \"test\"\npackages = []\n";
    let path = "wheels/lamp-1.0-py3-none-any.whl";
    let plain = manifest_of(&[("pylock.toml", lock), (path, &wheel)], &wheel);
    let start = [
        (Regular, "bundle.json", &plain[..]),
        (Regular, "pylock.toml", lock),
    ];
    let mut pack_case = |name: &str, entries: &[(tar::EntryType, &str, &[u8])], code: &'static str| {
        let name = format!("{name}.tar.zst");
        pack(&studio, &name, entries);
        cases.push((name, vec![code]));
    };
    let whole = [&start[..], &[(Regular, path, &wheel)]].concat();
    for (name, kind, where_to) in [
        ("outside", Regular, "../outside"),
        ("absolute", Regular, "/tmp/backlot-outside"),
        ("link", Symlink, path),
        ("hard-link", Link, path),
        ("device", Char, path),
        ("pipe", Fifo, path),
        ("a-folder", Directory, "wheels"),
    ] {
        pack_case(
            name,
            &[&start[..], &[(kind, where_to, b"")]].concat(),
            "bundle::invalid",
        );
    }
    pack_case(
        "more",
        &[&whole[..], &[(Regular, "more", b"x")]].concat(),
        "bundle::invalid",
    );
    pack_case(
        "twice",
        &[&whole[..], &[(Regular, path, &wheel)]].concat(),
        "bundle::invalid",
    );
    pack_case("missing", &start, "bundle::damaged");
    pack_case("no-manifest", &start[1..], "bundle::invalid");
    pack_case("empty", &[], "bundle::invalid");
    pack_case(
        "short",
        &[&start[..], &[(Regular, path, &wheel[1..])]].concat(),
        "bundle::damaged",
    );
    let mut other = wheel.clone();
    other[40] ^= 1;
    pack_case(
        "other-bytes",
        &[&start[..], &[(Regular, path, &other)]].concat(),
        "bundle::damaged",
    );
    let huge = String::from_utf8(plain.clone()).expect("UTF-8");
    let huge = huge.replace(&format!("\"size\":{}", lock.len()), "\"size\":900000000000000");
    pack_case(
        "bomb",
        &[(Regular, "bundle.json", huge.as_bytes())],
        "bundle::expands",
    );
    let newer = String::from_utf8(plain.clone())
        .expect("UTF-8")
        .replace("\"format\":1", "\"format\":9");
    pack_case(
        "newer",
        &[(Regular, "bundle.json", newer.as_bytes())],
        "bundle::newer_format",
    );
    // Its manifest fits; its wheel is none.
    let broken = manifest_of(&[("pylock.toml", lock), (path, b"no wheel")], b"no wheel");
    let entries: [(tar::EntryType, &str, &[u8]); 3] = [
        (Regular, "bundle.json", &broken),
        (Regular, "pylock.toml", lock),
        (Regular, path, b"no wheel"),
    ];
    pack_case("no-wheel", &entries, "wheel::bad_wheel");

    // Folders: a file changed, gone, or a link to one with the same bytes.
    let folder_case = |name: &str, change: &dyn Fn(&Path)| {
        unpack(&studio.path("good.tar.zst"), &studio.path(name));
        change(&studio.path(name));
    };
    folder_case("changed", &|folder| {
        let path = folder.join("env.json");
        fs::write(path, "{}").expect("written");
    });
    folder_case("gone", &|folder| {
        fs::remove_file(folder.join("pylock.toml")).expect("removed")
    });
    folder_case("linked", &|folder| {
        fs::rename(folder.join("env.json"), studio.path("env.json")).expect("moved");
        std::os::unix::fs::symlink(studio.path("env.json"), folder.join("env.json")).expect("linked");
    });
    folder_case("linked-folder", &|folder| {
        fs::rename(folder.join("wheels"), studio.path("wheels")).expect("moved");
        std::os::unix::fs::symlink(studio.path("wheels"), folder.join("wheels")).expect("linked");
    });
    for name in ["changed", "gone", "linked", "linked-folder"] {
        cases.push((name.to_owned(), vec!["bundle::damaged"]));
    }

    let state = || {
        let folders = ["ben", "far", "cache-ben"].map(|folder| studio.snapshot(folder));
        folders.map(|mut files| {
            // The cache's own books, of which nothing is read here.
            files.retain(|path, _| !path.ends_with("state.db") && !path.contains("workspaces/"));
            files
        })
    };
    // What only opening a workspace makes is there.
    site(&["unbundle", "good", "--dry-run"]).ok();
    let before = state();
    for (name, codes) in &cases {
        for more in [&["--into-repo", "site"][..], &[]] {
            let run = site(&[&["unbundle", name.as_str(), "--json"], more].concat());
            let report = run.json();
            let code = report["error"]["code"].as_str().unwrap_or_default();
            assert!(codes.contains(&code), "{name}: {report:#}");
            assert!(report["error"]["help"].is_string(), "{name}: {report:#}");
        }
        assert!(state() == before, "{name} left something");
    }
    assert!(!Path::new("/tmp/backlot-outside").exists() && !studio.path("outside").exists());
    // The good ones are good.
    site(&["unbundle", "good.tar.zst", "--into-repo", "site"]).ok();
}

#[test]
fn an_archive_that_unpacks_to_more_than_it_says_is_stopped() {
    let studio = Studio::new();
    // A small archive whose first file claims far more than a manifest can have.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("begun");
    let mut header = tar::Header::new_gnu();
    header.set_size(8 << 30);
    header.set_path("bundle.json").expect("short");
    header.set_cksum();
    encoder.write_all(header.as_bytes()).expect("packed");
    for _ in 0..64 {
        encoder.write_all(&[0; 1 << 20]).expect("packed");
    }
    studio.write("bomb.tar.zst", &encoder.finish().expect("packed"));
    studio
        .ws(&["unbundle", "bomb.tar.zst", "--json"])
        .fails(7, "bundle::invalid");
    // A name that claims to be endless.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("begun");
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).expect("packed");
    encoder.write_all(&[b'x'; 1 << 20]).expect("packed");
    studio.write("name.tar.zst", &encoder.finish().expect("packed"));
    studio
        .ws(&["unbundle", "name.tar.zst", "--json"])
        .fails(7, "bundle::invalid");
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
fn a_bundle_killed_anywhere_is_not_there_and_a_rerun_makes_it() {
    let studio = shots();
    let start = Instant::now();
    bundle(&studio, "whole.tar.zst");
    let whole = start.elapsed().max(Duration::from_millis(20));
    bundle(&studio, "whole");
    let (archive, folder) = (
        fs::read(studio.path("whole.tar.zst")).expect("read"),
        studio.snapshot("whole"),
    );
    let mut random = Random(31);
    fs::create_dir(studio.path("out")).expect("made");
    for round in 0..20 {
        let output = if round % 2 == 0 {
            "out/shot.tar.zst"
        } else {
            "out/shot"
        };
        let mut child = studio.start(&["-w", "ws", "bundle", "Shot==0.1.0", "-o", output]);
        let share = u32::try_from(random.next() % 1100).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        for entry in fs::read_dir(studio.path("out")).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(name.starts_with(".tmp-") || output.ends_with(&name), "{name}");
        }
        if !studio.path(output).exists() {
            bundle(&studio, output);
        }
        if round % 2 == 0 {
            assert!(
                fs::read(studio.path(output)).expect("read") == archive,
                "round {round}"
            );
            fs::remove_file(studio.path(output)).expect("removed");
        } else {
            assert!(studio.snapshot(output) == folder, "round {round}");
            fs::remove_dir_all(studio.path(output)).expect("removed");
        }
    }
}

#[test]
fn an_import_killed_anywhere_shows_no_release_without_its_files_and_a_rerun_completes() {
    let studio = shots();
    bundle(&studio, "shot.tar.zst");
    let whole = {
        let site = other_site(&studio, "probe");
        site(&["repo", "add", "site", "probe-repo"]).ok();
        site(&["remote", "add", "far", "probe-files"]).ok();
        let start = Instant::now();
        site(&["unbundle", "shot.tar.zst", "--into-repo", "site"]).ok();
        start.elapsed()
    };
    let mut random = Random(41);
    for round in 0..8 {
        let name = format!("site{round}");
        let site = other_site(&studio, &name);
        let (repo, files) = (format!("{name}-repo"), format!("{name}-files"));
        site(&["repo", "add", "site", &repo]).ok();
        site(&["remote", "add", "far", &files]).ok();
        let mut command = studio.command(&["-w", &name, "unbundle", "shot.tar.zst", "--into-repo", "site"]);
        command.env("BACKLOT_CACHE_DIR", studio.path(&format!("cache-{name}")));
        let mut child = command.spawn().expect("started");
        let share = u32::try_from(random.next() % 1000).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        // Whatever is in the repo can be pulled.
        site(&["verify", "--remote", "--releases"]).ok();
        site(&["unbundle", "shot.tar.zst", "--into-repo", "site"]).ok();
        site(&["install", "Shot"]).ok();
        site(&["pull"]).ok();
        assert_eq!(frames(&studio, &name).len(), 8, "round {round}");
    }
}

#[test]
fn a_release_whose_files_are_nowhere_is_refused_by_its_name() {
    let studio = shots();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let packs = studio
        .snapshot("remote")
        .into_keys()
        .filter(|path| path.contains("packs/"));
    for path in packs {
        fs::remove_file(studio.path("remote").join(path)).expect("removed");
    }
    let command = ["bundle", "Shot==0.1.0", "-o", "shot.tar.zst", "--json"];
    let run = studio.ws(&command);
    let report = run.json();
    assert!(!run.output.status.success(), "{report:#}");
    assert!(!studio.path("shot.tar.zst").exists());
    // Of a remote in DVC's layout the object itself is gone.
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 5000);
    studio.ws(&["publish", "Table"]).ok();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let frame = studio
        .snapshot("remote/files/md5")
        .into_iter()
        .find(|(_, bytes)| bytes.len() == 5000);
    let frame = studio.path("remote/files/md5").join(frame.expect("a frame").0);
    fs::remove_file(&frame).expect("removed");
    for more in [&["--dry-run"][..], &[]] {
        let command = [&["bundle", "Table==0.1.0", "-o", "out/table", "--json"], more].concat();
        let error = studio.ws(&command).fails(4, "bundle::files_missing");
        assert!(
            error["message"]
                .as_str()
                .expect("a text")
                .contains("Table==0.1.0"),
            "{error}"
        );
        assert_eq!(studio.snapshot("out"), BTreeMap::new());
    }
    // Without a remote at all it is said, too.
    studio.ws(&["remote", "remove", "main"]).ok();
    let error = studio
        .ws(&["bundle", "Table==0.1.0", "-o", "table", "--json"])
        .fails(4, "bundle::files_missing");
    assert!(error["causes"].to_string().contains("remote"), "{error}");
}

#[test]
fn outputs_taken_places_and_other_endings_are_refused() {
    let studio = shots();
    let run = |arguments: &[&str]| studio.ws(&[&["bundle", "--json"], arguments].concat());
    run(&["Shot", "-o", "x"]).fails(5, "bundle::editable");
    run(&["-o", "x"]).fails(5, "bundle::editable");
    run(&["Shot==0.1.0", "-o", "x.zip"]).fails(2, "bundle::unknown_kind");
    run(&["Shot==9.0", "-o", "x"]).fails(4, "resolve::no_version");
    studio.write("taken/file", b"");
    studio.write("taken.tar.zst", b"");
    run(&["Shot==0.1.0", "-o", "taken"]).fails(5, "bundle::exists");
    run(&["Shot==0.1.0", "-o", "taken.tar.zst"]).fails(5, "bundle::exists");
    assert_eq!(fs::read(studio.path("taken.tar.zst")).expect("read"), b"");
    fs::create_dir(studio.path("free")).expect("made");
    run(&["Shot==0.1.0", "-o", "free"]).ok();
    studio.workspace("empty");
    studio
        .run(&["-w", "empty", "bundle", "-o", "x", "--json"])
        .fails(2, "bundle::nothing");
    // The release of an output that another one needs is bundled, and it is said.
    let warned = run(&["Shot==0.1.0", "-o", "y"]).ok().stderr();
    assert!(warned.contains("bundle::output_left_out"), "{warned}");
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
    assert_eq!(
        (&planned["fetched"]["objects"], &planned["fetched"]["bytes"]),
        (&json!(8), &json!(115_000))
    );
    assert!(!studio.path("out").exists());
    assert_eq!(studio.snapshot("cache/files"), BTreeMap::new());
    let made = bundle(&studio, "out/shot");
    for key in ["packages", "files", "file_bytes", "python", "platform"] {
        assert_eq!(made[key], planned[key], "{key}");
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
fn an_import_takes_nothing_away_and_replaces_nothing() {
    let studio = shots();
    bundle(&studio, "shot");
    put(&studio, "drop", "lamp", "1.0", "");
    let site = other_site(&studio, "ben");
    site(&["repo", "add", "drop", "drop"]).ok();
    site(&["install", "lamp"]).ok();
    let error = site(&["unbundle", "shot", "--json"]).fails(5, "bundle::other_inputs");
    assert!(error["message"].as_str().expect("a text").contains("lamp"));
    site(&["uninstall", "lamp"]).ok();
    // An output of its package.
    site(&["new", "Shot"]).ok();
    site(&["unbundle", "shot", "--json"]).fails(5, "resolve::editable_in_the_way");
    // Another release of its version.
    put(&studio, "far/flat", "shot", "0.1.0", "");
    site(&["repo", "add", "site", "far/repo"]).ok();
    site(&["repo", "add", "flat", "far/flat"]).ok();
    site(&["copy", "shot==0.1.0", "--from", "flat", "--to", "site"]).ok();
    site(&["remote", "add", "far", "far/files"]).ok();
    let before = studio.snapshot("far");
    site(&["unbundle", "shot", "--into-repo", "site", "--json"]).fails(5, "repo::release_exists");
    assert!(studio.snapshot("far") == before);
    assert!(!studio.path("ben/bundles").exists());
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
    let mut text = String::new();
    let lock = fs::File::open(studio.path("two/pylock.toml")).expect("a lock");
    { lock }.read_to_string(&mut text).expect("read");
    assert!(
        text.contains("wheels/rig-2.0-py3-none-any.whl") && text.contains("rig==2.0"),
        "{text}"
    );
}
