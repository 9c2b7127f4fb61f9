//! Files of a release can be pulled: records left by other programs, contents with the same MD5, outs that are not
//! pushed, pointers to files of other packages, modes.

use std::path::Path;
use std::process::Command;

use backlot_tests::{Studio, noise, run_command, tool};
use fs_err as fs;
use serde_json::Value;

/// Real DVC.
fn dvc(studio: &Studio, folder: &str, arguments: &[&str]) {
    let mut dvc = Command::new(tool("dvc"));
    dvc.args(arguments)
        .current_dir(studio.path(folder))
        .env("HOME", studio.path("home"))
        .env("DVC_NO_ANALYTICS", "1");
    run_command(&mut dvc).ok();
}

/// A workspace that has nothing of the others but repos and remote, with the asset installed and pulled.
fn consumer(studio: &Studio, name: &str) {
    studio.workspace(name);
    let mut install = studio.command(&["-w", name, "install", "Table"]);
    run_command(install.env("BACKLOT_CACHE_DIR", studio.path("other-cache"))).ok();
}

fn other_cache(studio: &Studio, arguments: &[&str]) -> backlot_tests::Run {
    let mut command = studio.command(arguments);
    run_command(command.env("BACKLOT_CACHE_DIR", studio.path("other-cache")))
}

/// The states of the outs of the installed packages of a workspace.
fn states(studio: &Studio, name: &str) -> Vec<Value> {
    let report = other_cache(studio, &["-w", name, "status", "--json"]).ok().json();
    let inputs = report["inputs"].as_array().expect("inputs");
    let outs = inputs.iter().filter_map(|input| input["outs"].as_array());
    outs.flatten().map(|out| out["state"].clone()).collect()
}

/// The asset `Table` with a tracked folder and a tracked file.
fn table(studio: &Studio) {
    studio.asset("Table", 3, 20_000);
    studio.write(&format!("{MODULE}/rig.bin"), b"one file");
    studio.ws(&["add", &format!("{MODULE}/rig.bin")]).ok();
}

const MODULE: &str = "ws/outputs/table/src/table";

fn site_packages(studio: &Studio, name: &str) -> std::path::PathBuf {
    let mut pending = vec![studio.path(name).join("inputs")];
    while let Some(folder) = pending.pop() {
        if folder.ends_with("site-packages") {
            return folder;
        }
        for entry in fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                pending.push(path);
            }
        }
    }
    panic!("no site-packages")
}

#[test]
fn what_dvc_added_over_our_pointer_is_published_and_pulled() {
    for (path, changed) in [("frames", "frames/f.0001.exr"), ("rig.bin", "rig.bin")] {
        for command in [&["add"][..], &["commit", "-f"]] {
            let studio = Studio::with_dvc_layout();
            table(&studio);
            studio.write(&format!("{MODULE}/{changed}"), &noise(15_000, 77));
            let target = if command == ["add"] {
                path.to_owned()
            } else {
                format!("{path}.dvc")
            };
            dvc(&studio, MODULE, &[command, &[target.as_str()]].concat());
            let pointer = fs::read_to_string(studio.path(MODULE).join(format!("{path}.dvc"))).expect("read");
            assert!(pointer.contains("blake3:"), "DVC keeps our proof: {pointer}");
            let state = studio.ws(&["status", "--json"]).ok().json();
            for out in state["outputs"][0]["outs"].as_array().expect("outs") {
                assert_eq!(out["state"], "unchanged");
            }
            studio.ws(&["publish", "Table"]).ok();
            let sound = studio
                .ws(&["verify", "--remote", "--releases", "--json"])
                .ok()
                .json();
            assert_eq!(sound["sound"], true, "{sound:#}");
            consumer(&studio, "other");
            other_cache(&studio, &["-w", "other", "pull"]).ok();
            let there = site_packages(&studio, "other").join("table").join(changed);
            assert_eq!(fs::read(there).expect("pulled"), noise(15_000, 77));
            assert_eq!(states(&studio, "other"), ["unchanged", "unchanged"]);
        }
    }
}

#[test]
fn a_release_with_a_wrong_proof_is_refused_by_publish_verify_and_pull_alike() {
    let studio = Studio::new();
    table(&studio);
    let path = studio.path(MODULE).join("rig.bin.dvc");
    let text = fs::read_to_string(&path).expect("read");
    let at = text.find("blake3: ").expect("a proof") + "blake3: ".len();
    let wrong = format!("{}{}{}", &text[..at], "0".repeat(64), &text[at + 64..]);
    // Published while it is right, then the wheel in the repo is changed: whoever made it had another publish.
    studio.ws(&["push"]).ok();
    fs::write(&path, wrong).expect("written");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(5, "store::same_md5");
    fs::write(&path, text).expect("written");
    studio.ws(&["publish", "Table"]).ok();
}

fn twins() -> [Vec<u8>; 2] {
    let hex = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    let one: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut other = one.clone();
    for at in [19, 45, 59, 83, 109, 123] {
        other[at] ^= 0x80;
    }
    [one, other]
}

#[test]
fn a_file_with_the_md5_of_another_is_refused_before_anything_says_done() {
    refuses_a_twin(&Studio::new());
    refuses_a_twin(&Studio::with_dvc_layout());
}

fn refuses_a_twin(studio: &Studio) {
    let [one, other] = twins();
    studio.ws(&["new", "Table"]).ok();
    let set = format!("{MODULE}/set");
    studio.write(&format!("{set}/one.bin"), &one);
    studio.write(&format!("{set}/other.bin"), &other);
    for more in [&["--dry-run"][..], &[]] {
        let error = studio
            .ws(&[&["add", &set, "--json"], more].concat())
            .fails(5, "store::same_md5");
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.contains("one.bin") && message.contains("79054025"),
            "{message}"
        );
    }
    fs::remove_file(studio.path(&set).join("other.bin")).expect("removed");
    // Which of the two came first into the cache is chance.
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    studio.ws(&["add", &set, "--push"]).ok();
    // Another machine, which has never seen the first.
    studio.workspace("far");
    let far = "far/outputs/chair/src/chair";
    other_cache(studio, &["-w", "far", "new", "Chair"]).ok();
    studio.write(&format!("{far}/other.bin"), &other);
    let error = other_cache(
        studio,
        &[
            "-w",
            "far",
            "add",
            &format!("{far}/other.bin"),
            "--push",
            "--json",
        ],
    )
    .fails(5, "store::same_md5");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("other.bin"),
        "{error:#}"
    );
    other_cache(studio, &["-w", "far", "publish", "Chair", "--json"]).fails(5, "store::same_md5");
    // In one pass to the remote.
    studio.write("renders/direct.bin", &other);
    let direct = [
        "-w",
        "far",
        "add",
        "renders/direct.bin",
        "--asset",
        "Chair",
        "--to-remote",
        "--json",
    ];
    let error = other_cache(studio, &direct).fails(5, "store::same_md5");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("direct.bin"), "{message}");
    // The right content is there already, for a third machine.
    studio.workspace("near");
    let third = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "near"], arguments].concat());
        run_command(command.env("BACKLOT_CACHE_DIR", studio.path("third-cache")))
    };
    third(&["new", "Lamp"]).ok();
    let same = "near/outputs/lamp/src/lamp/same.bin";
    studio.write(same, &one);
    third(&["add", same, "--push"]).ok();
    let pushed = third(&["push", "--json"]).ok().json();
    assert_eq!(pushed["bytes"], 0, "{pushed:#}");
    third(&["publish", "Lamp"]).ok();
}

#[test]
fn a_repair_counts_what_it_read_back_and_names_what_it_cannot_mend() {
    let [one, other] = twins();
    let studio = Studio::with_dvc_layout();
    studio.ws(&["new", "Table"]).ok();
    let file = format!("{MODULE}/rig.bin");
    studio.write(&file, &one);
    studio.ws(&["add", &file, "--push"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    // Somebody replaces it on the remote by the content that was made to go under its name.
    let object = "files/md5/79/054025255fb1a26e4bc422aef54eb4";
    let stored = studio.path("remote").join(object);
    let replace = |bytes: &[u8]| {
        fs::remove_file(&stored).expect("removed");
        fs::write(&stored, bytes).expect("written");
    };
    replace(&other);
    studio
        .ws(&["verify", "--remote", "--releases", "--json"])
        .fails_or_reports_damage();
    let report = studio.ws(&["repair", "--json"]).ok().json();
    assert_eq!(report["repaired"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(fs::read(&stored).expect("read"), one);
    studio.ws(&["verify", "--remote", "--releases"]).ok();
    // Without a copy that is right, nothing is repaired, however often it is tried.
    replace(&other);
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    fs::remove_file(studio.path(&file)).expect("removed");
    for _ in 0..2 {
        let report = studio.ws(&["repair", "--json"]).json();
        assert_eq!(report["repaired"].as_array().map(Vec::len), Some(0), "{report:#}");
        assert_eq!(report["lost"].as_array().map(Vec::len), Some(1), "{report:#}");
    }
}

trait Damaged {
    fn fails_or_reports_damage(self);
}

impl Damaged for backlot_tests::Run {
    /// A verification that found damage says so, in the report and by its exit code.
    fn fails_or_reports_damage(self) {
        assert!(!self.output.status.success(), "{}", self.stdout());
    }
}

/// Put lines at the end of the out of a pointer.
fn extend(studio: &Studio, pointer: &str, lines: &str) {
    let path = studio.path(MODULE).join(pointer);
    let text = fs::read_to_string(&path).expect("read");
    fs::write(path, format!("{text}{lines}")).expect("written");
}

#[test]
fn an_out_that_is_not_cached_goes_into_the_wheel_or_nothing_is_published() {
    let studio = Studio::new();
    table(&studio);
    extend(&studio, "rig.bin.dvc", "  cache: false\n");
    let file = studio.path(MODULE).join("rig.bin");
    fs::remove_file(&file).expect("removed");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(4, "publish::missing_files");
    fs::write(&file, b"one file").expect("written");
    studio.ws(&["publish", "Table"]).ok();
    consumer(&studio, "other");
    let there = site_packages(&studio, "other").join("table/rig.bin");
    assert_eq!(fs::read(there).expect("in the wheel"), b"one file");
    other_cache(&studio, &["-w", "other", "pull"]).ok();
    assert_eq!(states(&studio, "other"), ["unchanged", "unchanged"]);
    studio.ws(&["verify", "--remote", "--releases"]).ok();
}

#[test]
fn media_that_are_tracked_and_not_cached_are_told_as_that_and_both_ways_out_work() {
    for path in ["rig.exr", "frames"] {
        for cached in [true, false] {
            let studio = Studio::new();
            studio.asset("Table", 3, 1_000);
            studio.write(&format!("{MODULE}/rig.exr"), b"one file");
            studio.ws(&["add", &format!("{MODULE}/rig.exr")]).ok();
            extend(&studio, &format!("{path}.dvc"), "  cache: false\n");
            let report = studio.ws(&["status", "--json"]).ok().json();
            let output = &report["outputs"][0];
            assert_eq!(output["untracked"], serde_json::json!([]), "{report:#}");
            let outs = output["outs"].as_array().expect("outs");
            let uncached: Vec<&Value> = outs.iter().filter(|out| out["cached"] == false).collect();
            assert!(
                uncached.len() == 1 && uncached[0]["path"].as_str().is_some_and(|p| p.ends_with(path)),
                "{report:#}"
            );
            for command in [&["build", "Table", "--json"][..], &["publish", "Table", "--json"]] {
                let error = studio.ws(command).fails(5, "publish::not_cached");
                let help = error["help"].as_str().expect("help");
                assert!(
                    help.contains(&format!("backlot add outputs/table/src/table/{path}")),
                    "{help}"
                );
            }
            if cached {
                let pointer = studio.path(MODULE).join(format!("{path}.dvc"));
                let text = fs::read_to_string(&pointer).expect("read");
                fs::write(&pointer, text.replace("  cache: false\n", "")).expect("written");
                studio.ws(&["add", &format!("{MODULE}/{path}")]).ok();
            } else {
                let config = studio.path("ws/backlot.toml");
                let text = fs::read_to_string(&config).expect("read");
                fs::write(&config, format!("{text}\n[publish]\nmedia = true\n")).expect("written");
            }
            studio.ws(&["publish", "Table"]).ok();
            // Whoever installs it has it, and is told nothing else.
            consumer(&studio, "other");
            other_cache(&studio, &["-w", "other", "pull"]).ok();
            assert!(site_packages(&studio, "other").join("table").join(path).exists());
            assert_eq!(states(&studio, "other"), ["unchanged", "unchanged"]);
        }
    }
}

#[test]
fn an_out_that_is_never_pushed_is_published_only_if_that_is_meant() {
    for path in ["rig.bin", "frames"] {
        let studio = Studio::new();
        table(&studio);
        extend(&studio, &format!("{path}.dvc"), "  push: false\n");
        for more in [&["--dry-run"][..], &[]] {
            let error = studio
                .ws(&[&["publish", "Table", "--json"], more].concat())
                .fails(5, "publish::not_pushed");
            assert!(error["message"].as_str().expect("a message").contains(path));
        }
        studio.ws(&["publish", "Table", "--allow-unpushed"]).ok();
        consumer(&studio, "other");
        let pulled = other_cache(&studio, &["-w", "other", "pull"]).ok();
        assert!(pulled.stderr().contains("push: false"), "{}", pulled.stderr());
        let mut seen: Vec<String> = states(&studio, "other").iter().map(ToString::to_string).collect();
        seen.sort();
        assert_eq!(seen, ["\"not-pulled\"", "\"unchanged\""]);
        // The status promises no more than the pull keeps.
        let status = other_cache(&studio, &["-w", "other", "status"]).ok().stdout();
        let line = status.lines().find(|line| line.contains("push: false"));
        let line = line.unwrap_or_else(|| panic!("{status}"));
        assert!(
            line.contains(path) && !line.contains("run `backlot pull` to fetch it"),
            "{line}"
        );
        // Nothing on the remote is missing, and nothing stops a collection.
        studio.ws(&["verify", "--remote", "--releases"]).ok();
        other_cache(&studio, &["-w", "other", "gc", "--remote", "main", "--dry-run"]).ok();
    }
}

#[test]
fn a_pointer_without_content_is_not_published_and_says_so_everywhere() {
    let studio = Studio::new();
    table(&studio);
    let empty = "outs:\n- hash: md5\n  path: empty.bin\n";
    let versioned = "outs:\n- hash: md5\n  path: empty.bin\n  files:\n  - relpath: a\n    md5: b026324c6904b2a9cb4b88d6d61c81d1\n    size: 2\n    cloud:\n      far:\n        etag: x\n        version_id: y\n";
    for text in [empty, versioned] {
        studio.write(&format!("{MODULE}/empty.bin.dvc"), text.as_bytes());
        let error = studio
            .ws(&["publish", "Table", "--json"])
            .fails(4, "publish::no_content");
        assert!(
            error["message"]
                .as_str()
                .expect("a message")
                .contains("empty.bin")
        );
        let state = studio.ws(&["status", "--json"]).ok().json();
        let outs = state["outputs"][0]["outs"].as_array().expect("outs");
        assert!(outs.iter().any(|out| out["state"] == "no-content"), "{state:#}");
        assert!(studio.ws(&["pull"]).ok().stderr().contains("without content"));
    }
    // With the file in place it is recorded, and published.
    studio.write(&format!("{MODULE}/empty.bin.dvc"), empty.as_bytes());
    studio.write(&format!("{MODULE}/empty.bin"), b"here");
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn a_pinned_out_is_pushed_to_and_pulled_from_its_own_remote() {
    for path in ["rig.bin", "frames"] {
        let studio = Studio::new();
        table(&studio);
        extend(&studio, &format!("{path}.dvc"), "  remote: far\n");
        studio
            .ws(&["publish", "Table", "--json"])
            .fails(4, "config::unknown_pin");
        studio.ws(&["remote", "add", "far", "far-remote"]).ok();
        studio.ws(&["publish", "Table", "--remote", "main"]).ok();
        for remote in ["main", "far"] {
            studio.ws(&["verify", "--remote", "--releases"]).ok();
            studio.ws(&["gc", "--remote", remote, "--dry-run"]).ok();
        }
        studio.workspace("other");
        studio
            .run(&["-w", "other", "remote", "add", "far", "far-remote"])
            .ok();
        run_command(
            studio
                .command(&["-w", "other", "install", "Table"])
                .env("BACKLOT_CACHE_DIR", studio.path("other-cache")),
        )
        .ok();
        other_cache(&studio, &["-w", "other", "pull", "--remote", "main"]).ok();
        assert_eq!(states(&studio, "other"), ["unchanged", "unchanged"]);
        // A workspace without the pinned remote is told so, not that a file is lost.
        studio.run(&["-w", "other", "remote", "remove", "far"]).ok();
        fs::remove_dir_all(studio.path("other-cache")).expect("removed");
        other_cache(&studio, &["-w", "other", "pull", "--json"]).fails(4, "config::unknown_pin");
    }
}

/// Put a wheel with a pointer of these lines into the folder `drop`, which is a repo of `ws`.
fn pointing_wheel(studio: &Studio, name: &str, pointer: &str, lines: &str) {
    let more = [(pointer, lines)];
    let bytes = backlot_tests::wheels::wheel_with(name, "1.0", "", "x", &more);
    studio.write(&format!("drop/{name}-1.0-py3-none-any.whl"), &bytes);
}

#[test]
fn a_file_that_is_only_on_the_remote_is_compared_with_its_pointer_before_it_is_published() {
    for studio in [Studio::new(), Studio::with_dvc_layout()] {
        table(&studio);
        studio.ws(&["publish", "Table"]).ok();
        consumer(&studio, "other");
        other_cache(&studio, &["-w", "other", "edit", "Table"]).ok();
        let pointer = studio.path("other/outputs/table/src/table/rig.bin.dvc");
        let text = fs::read_to_string(&pointer).expect("the pointer");
        let at = text.find("blake3: ").expect("a proof") + "blake3: ".len();
        let wrong_proof = text.replace(&text[at..at + 64], &"0".repeat(64));
        let wrong_size = text.replace("size: 8", "size: 9");
        assert!(wrong_size != text);
        let keeps_proofs = studio.path("remote/v1").is_dir();
        for wrong in [Some(&wrong_size), keeps_proofs.then_some(&wrong_proof)]
            .into_iter()
            .flatten()
        {
            fs::write(&pointer, wrong).expect("written");
            other_cache(&studio, &["-w", "other", "publish", "Table", "--json"])
                .fails(7, "dvc::proof_failed");
        }
        fs::write(&pointer, &text).expect("written");
        other_cache(&studio, &["-w", "other", "publish", "Table"]).ok();
    }
}

/// A studio with a pushed file, the lines of its pointer but for the path, and a victim in the repo `drop`.
fn with_victim() -> (Studio, String) {
    let studio = Studio::new();
    table(&studio);
    studio.ws(&["push"]).ok();
    let text = fs::read_to_string(studio.path(MODULE).join("rig.bin.dvc")).expect("read");
    backlot_tests::wheels::put(&studio, "drop", "vic", "1.0", "");
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    (studio, text)
}

#[test]
fn a_pointer_of_a_wheel_places_nothing_outside_its_own_package() {
    for (pointer, path) in [
        ("vic.dvc", "vic/__init__.py"),
        ("vic.dvc", "vic/new.bin"),
        ("vic.dvc", "vic"),
        ("loose.dvc", "loose.bin"),
        ("vic/more.dvc", "__init__.py"),
        ("vic/new.dvc", "new.bin"),
        ("vic/zz/deep.dvc", "deep.py"),
        ("vic/m.dvc", "__init__/mod.py"),
        ("vic-1.0.dist-info/x.dvc", "METADATA"),
    ] {
        let (studio, text) = with_victim();
        studio.leaves_harm();
        pointing_wheel(
            &studio,
            "evil",
            pointer,
            &text.replace("path: rig.bin", &format!("path: {path}")),
        );
        studio.ws(&["install", "vic", "evil"]).ok();
        let victim = site_packages(&studio, "ws").join("vic/__init__.py");
        let before = fs::read(&victim).expect("installed");
        let error = studio
            .ws(&["pull", "--json"])
            .fails(7, "workspace::foreign_files");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("evil") && message.contains(pointer), "{message}");
        assert_eq!(fs::read(&victim).expect("read"), before);
        studio.ws(&["uninstall", "evil"]).ok();
        assert_eq!(fs::read(&victim).expect("kept"), before);
        studio.ws(&["pull"]).ok();
    }
}

#[test]
fn a_pointer_of_a_wheel_at_a_place_of_its_own_is_pulled() {
    let (studio, text) = with_victim();
    pointing_wheel(&studio, "good", "good/deep/rig.bin.dvc", &text);
    pointing_wheel(
        &studio,
        "top",
        "top.dvc",
        &text.replace("path: rig.bin", "path: top/rig.bin"),
    );
    studio.ws(&["install", "vic", "good", "top"]).ok();
    studio.ws(&["pull"]).ok();
    let there = site_packages(&studio, "ws");
    for path in ["good/deep/rig.bin", "top/rig.bin"] {
        assert_eq!(fs::read(there.join(path)).expect("pulled"), b"one file");
    }
}

#[test]
fn verify_and_pull_judge_a_proof_alike() {
    let (studio, text) = with_victim();
    let at = text.find("blake3: ").expect("a proof") + "blake3: ".len();
    let hex = &text[at..at + 64];
    // One that is wrong, and one that is of other content and so none.
    let wrong = text.replace(hex, &"0".repeat(64));
    let of = text.rfind("md5: ").expect("bound") + "md5: ".len();
    let other = format!("{}{}{}", &wrong[..of], "1".repeat(31) + "a", &wrong[of + 32..]);
    pointing_wheel(&studio, "good", "good/rig.bin.dvc", &other);
    studio.ws(&["verify", "--remote", "--releases"]).ok();
    studio.ws(&["install", "good"]).ok();
    studio.ws(&["pull", "good"]).ok();
    pointing_wheel(&studio, "bad", "bad/rig.bin.dvc", &wrong);
    let report = studio.ws(&["verify", "--remote", "--releases", "--json"]);
    assert!(!report.output.status.success(), "{}", report.stdout());
    let damaged = &report.json()["remote"]["damaged"];
    assert_eq!(damaged[0]["needed_by"][0], "bad==1.0", "{damaged:#}");
    studio.ws(&["install", "bad"]).ok();
    studio
        .ws(&["pull", "bad", "--json"])
        .fails(7, "dvc::proof_failed");
}

#[cfg(unix)]
#[test]
fn an_executable_file_is_executable_where_it_is_pulled_by_us_and_by_dvc() {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o111 != 0;
    let chmod = |path: &Path, mode: u32| {
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let studio = Studio::with_dvc_layout();
    table(&studio);
    let tool = studio.path(MODULE).join("rig.bin");
    chmod(&tool, 0o755);
    studio.ws(&["publish", "Table"]).ok();
    assert!(executable(&tool));
    consumer(&studio, "other");
    other_cache(&studio, &["-w", "other", "pull"]).ok();
    let there = site_packages(&studio, "other").join("table/rig.bin");
    assert!(executable(&there));
    assert_eq!(states(&studio, "other"), ["unchanged", "unchanged"]);
    // Real DVC agrees with the pointer, and brings the bit back.
    fs::remove_file(&tool).expect("removed");
    dvc(&studio, "ws", &["pull"]);
    assert!(executable(&tool));
    // Taken away: that is a change, and the next release has none.
    chmod(&tool, 0o644);
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let pointer = fs::read_to_string(studio.path(MODULE).join("rig.bin.dvc")).expect("read");
    assert!(!pointer.contains("isexec"), "{pointer}");
    other_cache(&studio, &["-w", "other", "update"]).ok();
    other_cache(&studio, &["-w", "other", "pull"]).ok();
    let mode = fs::metadata(&there).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o444, "{mode:o}");
}
