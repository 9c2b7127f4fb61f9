//! Releases with many files are copied completely: the wheels of every platform and build, and the source distribution. Here
//! with folders; stores and indexes have their own tests.

use std::time::{Duration, Instant};

use backlot_tests::server::Server;
use backlot_tests::{Random, Studio, rig};
use fs_err as fs;
use serde_json::Value;

const COPY: [&str; 8] = [
    "copy",
    "Rig==1.0",
    "--from",
    "drop",
    "--to",
    "blessed",
    "--without-files",
    "--json",
];

/// A studio that reads `rig` 1.0 in a plain folder.
fn studio() -> Studio {
    let studio = Studio::new();
    rig::make(&studio.path("drop"), "1.0", "ours", &["wheels", "sdist"]);
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio
}

fn states(release: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let files = release["files"].as_array().expect("files");
    files
        .iter()
        .map(|file| (text(&file["file"]), text(&file["state"])))
        .collect()
}

fn all(names: &[String], state: &str) -> Vec<(String, String)> {
    names
        .iter()
        .map(|name| (name.clone(), state.to_owned()))
        .collect()
}

#[test]
fn a_copy_brings_every_wheel_and_the_sdist_and_pip_and_uv_install_each() {
    let studio = studio();
    let names = rig::files(&studio.path("drop"));
    assert_eq!(names.len(), 5);
    let planned = studio.ws(&[&COPY[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(states(&planned["releases"][0]), all(&names, "copied"));
    assert!(!studio.path("repos/blessed/packages/rig").exists());
    let done = studio.ws(&COPY).ok().json();
    assert_eq!(states(&done["releases"][0]), all(&names, "copied"), "{done:#}");
    let there = studio.path("repos/blessed/packages/rig");
    assert_eq!(rig::files(&there), names);
    for name in &names {
        let (from, to) = (studio.path("drop").join(name), there.join(name));
        assert_eq!(
            fs::read(from).expect("read"),
            fs::read(to).expect("read"),
            "{name}"
        );
        assert_eq!(
            there.join(format!("{name}.metadata")).exists(),
            !name.ends_with(".tar.gz")
        );
        assert!(there.join(format!("{name}.json")).is_file());
    }
    // Somebody was killed before the pages: whoever comes next makes them, before it says that all is there.
    let pages = studio.snapshot("repos/blessed/simple");
    fs::remove_dir_all(studio.path("repos/blessed/simple/rig")).expect("removed");
    studio.write("repos/blessed/simple/index.json", b"{}");
    let again = studio.ws(&COPY).ok().json();
    assert_eq!(again["releases"][0]["state"], "there");
    assert_eq!(studio.snapshot("repos/blessed/simple"), pages);
    assert_eq!(states(&again["releases"][0]), all(&names, "there"));

    let served = Server::folder(&studio.path("repos/blessed"), true);
    let by_file = format!("file://{}", studio.path("repos/blessed/simple").display());
    for (n, index) in [served.url("/simple/"), by_file].iter().enumerate() {
        let folder = studio.path(&format!("by{n}"));
        for by in rig::installed_by_pip_and_uv(index, &folder, "1.0", false) {
            assert!(by.contains("manylinux"), "{index}: {by}");
        }
        let folder = studio.path(&format!("from-source{n}"));
        for by in rig::installed_by_pip_and_uv(index, &folder, "1.0", true) {
            assert_eq!(by, "which = 'sdist'", "{index}");
        }
    }
    studio.ws(&["repo", "remove", "drop"]).ok();
    studio.ws(&["install", "Rig"]).ok();
    let mut python = studio.command(&["-w", "ws", "run", "python", "-c", "import rig; print(rig.which)"]);
    let which = backlot_tests::run_command(&mut python).ok().stdout();
    assert!(which.contains("manylinux"), "{which}");

    // What is said of the release goes with it, and holds for all its files.
    studio.ws(&["yank", "Rig==1.0", "-m", "no spine"]).ok();
    studio.ws(&["repo", "add", "far", "repos/far"]).ok();
    let mirrored = studio.ws(&["mirror", "blessed", "far", "--json"]).ok().json();
    assert_eq!(states(&mirrored["copied"][0]), all(&names, "copied"));
    assert_eq!(mirrored["facts"], 1);
    let page = fs::read_to_string(studio.path("repos/far/simple/rig/index.html")).expect("a page");
    assert_eq!(page.matches("data-yanked=\"no spine\"").count(), 5, "{page}");
}

#[test]
fn an_sdist_without_wheels_is_a_release_too_and_nobody_publishes_over_it() {
    let studio = Studio::new();
    rig::make(&studio.path("drop"), "0.1.0", "theirs", &["sdist"]);
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    let copied = studio
        .ws(&["mirror", "drop", "blessed", "--files", "--json"])
        .ok()
        .json();
    assert_eq!(copied["copied"][0]["wheel"], "rig-0.1.0.tar.gz");
    studio.ws(&["repo", "remove", "drop"]).ok();
    studio.ws(&["install", "Rig"]).ok();
    studio.ws(&["uninstall", "Rig"]).ok();
    studio.ws(&["approve", "Rig==0.1.0", "-m", "it bends"]).ok();
    let shown = studio.ws(&["show", "Rig", "--json"]).ok().json();
    let status = &shown["releases"][0];
    assert_eq!(status["approved"][0]["reason"], "it bends", "{shown:#}");
    assert_eq!(status["published"]["author"], "ana", "{shown:#}");
    studio.ws(&["new", "Rig"]).ok();
    let publish = ["publish", "Rig", "--to", "blessed", "--json"];
    studio.ws(&publish).fails(5, "repo::release_exists");
    let before = studio.snapshot("repos/blessed");
    studio.ws(&["repo", "reindex", "blessed"]).ok();
    assert_eq!(
        studio.snapshot("repos/blessed"),
        before,
        "a reindex finds nothing to do"
    );
    for derived in ["simple", "packages/rig/rig-0.1.0.tar.gz.json"] {
        let path = studio.path("repos/blessed").join(derived);
        fs::remove_dir_all(&path)
            .or_else(|_| fs::remove_file(&path))
            .expect("removed");
    }
    studio.ws(&["repo", "reindex", "blessed"]).ok();
    assert_eq!(studio.snapshot("repos/blessed"), before, "and makes it again");
}

#[test]
fn a_file_with_other_bytes_is_named_and_nothing_of_the_release_is_touched() {
    let studio = studio();
    let names = rig::files(&studio.path("drop"));
    rig::make(&studio.path("odd"), "1.0", "theirs", &["wheels"]);
    // One that the other has as well, one of its own.
    for name in [&names[2], &names[4]] {
        fs::copy(studio.path("drop").join(name), studio.path("odd").join(name)).expect("copied");
    }
    studio.ws(&COPY).ok();
    let before = studio.snapshot("repos/blessed");
    studio.ws(&["repo", "add", "odd", "odd"]).ok();
    let odd = [
        "copy",
        "Rig",
        "--from",
        "odd",
        "--to",
        "blessed",
        "--without-files",
        "--json",
    ];
    for more in [&["--dry-run"][..], &[]] {
        let error = studio.ws(&[&odd[..], more].concat());
        let error = error.fails(5, "repo::release_exists").to_string();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(error.contains(name), [0, 1, 3].contains(&n), "{name}: {error}");
        }
    }
    let mirrored = studio.ws(&["mirror", "odd", "blessed", "--json"]);
    assert_eq!(mirrored.output.status.code(), Some(5));
    assert_eq!(
        mirrored.json()["conflicts"][0]["files"].as_array().map(Vec::len),
        Some(3)
    );
    // Other files under the version, none in common: another release.
    fs::remove_dir_all(studio.path("odd")).expect("removed");
    rig::make(&studio.path("odd"), "1.0", "theirs", &["wheels"]);
    for name in [&names[2], &names[3]] {
        fs::remove_file(studio.path("odd").join(name)).expect("removed");
    }
    studio.ws(&["repo", "add", "pure", "repos/pure"]).ok();
    fs::create_dir(studio.path("few")).expect("made");
    fs::copy(
        studio.path("drop").join(&names[3]),
        studio.path("few").join(&names[3]),
    )
    .expect("copied");
    studio.ws(&["repo", "add", "few", "few"]).ok();
    studio.ws(&["mirror", "few", "pure"]).ok();
    let error = studio.ws(&[
        "copy",
        "Rig",
        "--from",
        "odd",
        "--to",
        "pure",
        "--without-files",
        "--json",
    ]);
    let error = error.fails(5, "repo::release_exists").to_string();
    assert!(error.contains(&names[3]), "{error}");
    assert_eq!(studio.snapshot("repos/blessed"), before);
    // What the target has of the same release, and more of it, is no conflict.
    let whole = studio.ws(&["mirror", "drop", "pure", "--json"]).ok().json();
    assert_eq!(
        states(&whole["copied"][0])[3],
        (names[3].clone(), "there".to_owned())
    );
    let back = studio.ws(&["mirror", "few", "pure", "--json"]).ok().json();
    assert_eq!(back["already_there"], 1);
}

#[test]
fn of_four_who_copy_at_once_all_succeed_and_every_file_is_there() {
    let studio = studio();
    let arguments = [&["-w", "ws"], &COPY[..]].concat();
    let children: Vec<_> = (0..4).map(|_| studio.start(&arguments)).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let there = studio.path("repos/blessed/packages/rig");
    assert_eq!(rig::files(&there), rig::files(&studio.path("drop")));
    let page = fs::read_to_string(studio.path("repos/blessed/simple/rig/index.html")).expect("a page");
    assert_eq!(page.matches("<a href").count(), 5, "{page}");
}

#[test]
fn a_copy_killed_between_two_files_never_says_that_it_is_done_and_is_completed_by_the_next() {
    let studio = studio();
    let names = rig::files(&studio.path("drop"));
    let there = studio.path("repos/blessed/packages/rig");
    let arguments = [&["-w", "ws"], &COPY[..]].concat();
    let start = Instant::now();
    studio.run(&arguments).ok();
    let whole = Duration::min(start.elapsed(), Duration::from_secs(2));
    let mut random = Random(7);
    for round in 0..10 {
        // Emptied, but still the same repo.
        let identity = fs::read(studio.path("repos/blessed/repo.json")).expect("an identity");
        fs::remove_dir_all(studio.path("repos/blessed")).expect("removed");
        studio.write("repos/blessed/repo.json", &identity);
        let mut child = studio.start(&arguments);
        // The files come last.
        let share = 500 + u32::try_from(random.next() % 500).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        let ended = child.wait().expect("it ends");
        let present = if there.is_dir() {
            rig::files(&there)
        } else {
            Vec::new()
        };
        assert_eq!(present, names[..present.len()], "round {round}");
        assert!(!ended.success() || present == names, "round {round}");
        let rest = studio.run(&arguments).ok().json();
        let mut expected = all(&names[..present.len()], "there");
        expected.extend(all(&names[present.len()..], "copied"));
        assert_eq!(states(&rest["releases"][0]), expected, "round {round}");
        assert_eq!(rig::files(&there), names);
    }
}
