//! The example assets, run as in a studio: their hooks work on other assets through the command.

use std::path::Path;

use backlot_tests::{Run, Studio, binary, repository, run_command, snapshot};
use fs_err as fs;
use serde_json::Value;

/// Put an example into the outputs of a workspace.
fn put(studio: &Studio, workspace: &str, name: &str) {
    let source = repository().join("examples").join(name);
    for (path, bytes) in snapshot(&source) {
        if !path.contains("__pycache__") {
            studio.write(&format!("{workspace}/outputs/{name}/{path}"), &bytes);
        }
    }
}

/// Run a hook in a workspace.
fn hook(studio: &Studio, workspace: &str, arguments: &[&str]) -> Run {
    let mut command = studio.command(&[&["run", "--hook"], arguments].concat());
    command
        .current_dir(studio.path(workspace))
        .env("BACKLOT_PROGRAM", binary());
    run_command(&mut command)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn versions(studio: &Studio, asset: &str) -> Vec<String> {
    let log = studio.run(&["-w", "td", "log", asset, "--json"]).ok().json();
    let releases = log["releases"].as_array().expect("releases").clone();
    releases
        .iter()
        .map(|release| release["version"].as_str().expect("a version").to_owned())
        .collect()
}

/// A clone is built, published by hand, and installed with its files by somebody else.
fn clone_is_published(studio: &Studio, clone: &[&str]) {
    studio.workspace("layout");
    studio.run(&["-w", "layout", "install", "shot_creator"]).ok();
    hook(studio, "layout", &[clone, &["--build-only"]].concat()).ok();
    assert!(!studio.path("repos/review/packages/shot020").exists());
    assert_eq!(snapshot(&studio.path("layout/build")).len(), 1);
    studio.run(&["-w", "layout", "publish", "Shot020"]).ok();
    studio.workspace("other");
    studio.run(&["-w", "other", "install", "Shot020", "--pull"]).ok();
    let files = studio.snapshot("other/inputs");
    let of_clone = |path: &&String| path.contains("/shot020/plates/f.");
    assert_eq!(files.keys().filter(of_clone).count(), 4, "the files came along");
    let shot = files
        .keys()
        .find(|path| path.ends_with("/shot020/shot.json"))
        .expect("a shot");
    let shot: Value = serde_json::from_slice(&files[shot]).expect("JSON");
    assert_eq!(
        (&shot["first"], &shot["cloned_from"]),
        (&2001.into(), &"shot010".into())
    );
}

#[test]
fn the_shot_creator_creates_edits_builds_and_clones_shots() {
    let studio = Studio::new();
    studio.asset("Kitchen", 3, 1_000);
    studio.ws(&["publish", "Kitchen"]).ok();
    studio.workspace("td");
    put(&studio, "td", "shot_creator");
    studio.run(&["-w", "td", "publish", "shot_creator"]).ok();
    // An artist has the release.
    studio.workspace("artist");
    studio.run(&["-w", "artist", "install", "shot_creator"]).ok();
    let create = [
        "create",
        "shot_creator",
        "Shot010",
        "--requires",
        "Kitchen>=0.1",
        "--last",
        "1048",
    ];
    let made = hook(&studio, "artist", &create).ok();
    assert_eq!(made.stdout().trim(), "published Shot010 0.1.0 to review");
    let shown = studio
        .run(&["-w", "artist", "show", "Shot010", "--json"])
        .ok()
        .json();
    assert!(
        shown["releases"][0]["requires"]
            .to_string()
            .contains("kitchen>=0.1"),
        "{shown:#}"
    );
    // What is wrong is said as the command says it.
    let again = hook(&studio, "artist", &create);
    assert_eq!(again.output.status.code(), Some(1));
    assert!(again.stderr().contains("already exists"), "{}", again.stderr());

    // Somebody else edits it, with its files, and clones it.
    let frames = "artist/outputs/shot010/src/shot010/plates";
    studio.frames(frames, 4, 1_000, 7);
    studio.run(&["-w", "artist", "add", frames]).ok();
    studio
        .run(&["-w", "artist", "publish", "Shot010", "--bump", "minor"])
        .ok();
    let edit = ["edit", "shot_creator", "Shot010", "--last", "1060"];
    studio.run(&["-w", "td", "install", "shot_creator"]).ok();
    hook(&studio, "td", &edit).ok();
    assert_eq!(versions(&studio, "Shot010"), ["0.3.0", "0.2.0", "0.1.0"]);
    let shot = json(&studio.path("td/outputs/shot010/src/shot010/shot.json"));
    assert_eq!((&shot["first"], &shot["last"]), (&1001.into(), &1060.into()));
    let clone = [
        "clone",
        "shot_creator",
        "Shot010",
        "Shot020",
        "--first",
        "2001",
        "--last",
        "2024",
    ];
    let refused = hook(&studio, "td", &clone);
    assert!(
        refused.stderr().contains("is edited here"),
        "{}",
        refused.stderr()
    );
    clone_is_published(&studio, &clone);
    assert_eq!(
        versions(&studio, "Shot010").len(),
        3,
        "what it was cloned from is as it was"
    );
    // What they require now is for who installs them; here, they are among the outputs.
    for workspace in ["artist", "td", "layout"] {
        studio.run(&["-w", workspace, "install"]).ok();
    }
}

#[test]
fn todays_reviews_collects_the_last_release_of_each_asset_once() {
    let studio = Studio::new();
    studio.workspace("td");
    put(&studio, "td", "todays_reviews");
    studio.run(&["-w", "td", "install"]).ok();
    let collect = |more: &[&str]| {
        let run = hook(
            &studio,
            "td",
            &[&["collect", "todays_reviews", "review"], more].concat(),
        );
        run.ok().stdout().trim().to_owned()
    };
    assert!(collect(&[]).starts_with("nothing was published"));
    for (name, asset_type) in [("Lamp", "Prop"), ("Shot010", "Shot"), ("Wrong", "Shot")] {
        studio.ws(&["new", name, "--type", asset_type]).ok();
        studio.ws(&["publish", name]).ok();
    }
    studio.ws(&["publish", "Lamp", "--bump", "minor"]).ok();
    studio
        .ws(&["yank", "Wrong==0.1.0", "--repo", "review", "-m", "wrong"])
        .ok();
    let first = collect(&[]);
    assert!(
        first.starts_with("published todays_reviews 20") && first.ends_with("2 releases"),
        "{first}"
    );
    assert!(collect(&[]).contains("has all 2 releases already"));
    studio.workspace("lead");
    studio.run(&["-w", "lead", "install", "todays_reviews"]).ok();
    let lock = fs::read_to_string(studio.path("lead/backlot.lock")).expect("a lock");
    for (package, version) in [("lamp", "0.2.0"), ("shot010", "0.1.0")] {
        assert!(
            lock.contains(&format!("name = \"{package}\"\nversion = \"{version}\"")),
            "{lock}"
        );
    }
    assert!(!lock.contains("wrong"), "{lock}");
    // More on the same day; and one kind only.
    studio.ws(&["publish", "Shot010", "--bump", "minor"]).ok();
    let next = collect(&[]);
    assert!(next.contains(".post1 with 2 releases"), "{next}");
    let shots = collect(&["--type", "Shot"]);
    assert!(shots.contains(".post2 with 1 releases"), "{shots}");
    assert!(collect(&["--day", "2020-01-31"]).starts_with("nothing was published"));
    // What it requires now is for who installs it; here, it is among the outputs.
    studio.run(&["-w", "td", "install"]).ok();
}
