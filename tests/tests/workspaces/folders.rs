//! Importing a tree of versions in folders and files as releases.

use std::collections::BTreeMap;

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::{Value, json};

/// A tree as shows have them: folders, single files, what nobody tidied up.
fn tree(studio: &Studio) {
    for version in 1..=3u64 {
        // Two frames are the same in all versions, one is new in each.
        for frame in [1001, 1002, 1002 + version] {
            let bytes = backlot_tests::noise(3_000, frame);
            studio.write(
                &format!("assets/table_v{version:03}/tex/diffuse.{frame}.exr"),
                &bytes,
            );
        }
    }
    for version in [2, 10, 1] {
        let text = format!("lamp {version}");
        studio.write(&format!("assets/Lamp_v{version}.abc"), text.as_bytes());
        studio.write(&format!("assets/Lamp_v{version}.ma"), b"the scene");
    }
    studio.write("assets/lamp_v3/readme.txt", b"a folder and files");
    studio.write("assets/lamp_v3.abc", b"lamp 3");
    studio.write("assets/notes.txt", b"by hand");
    studio.write("assets/table_latest/diffuse.exr", b"x");
    studio.write("assets/3d_scan_v001/scan.obj", b"x");
    studio.write("assets/json_v001/a.txt", b"x");
    studio.write("assets/lamp_v002/a.txt", b"the same version again");
    fs::create_dir_all(studio.path("assets/empty_v001/sub")).expect("made");
    std::os::unix::fs::symlink("nowhere", studio.path("assets/gone_v001")).expect("linked");
}

/// Versions and what became of them, by asset.
fn states(report: &Value) -> BTreeMap<String, Vec<String>> {
    let assets = report["assets"].as_array().expect("assets");
    let release = |release: &Value| {
        let word = |key: &str| release[key].as_str().expect("a text").to_owned();
        format!("{} {}", word("version"), word("state"))
    };
    let of = |asset: &Value| {
        asset["releases"]
            .as_array()
            .expect("releases")
            .iter()
            .map(release)
            .collect()
    };
    assets
        .iter()
        .map(|asset| (asset["name"].as_str().expect("a name").to_owned(), of(asset)))
        .collect()
}

fn expected(state: &str) -> BTreeMap<String, Vec<String>> {
    let all = |versions: &[u32]| versions.iter().map(|v| format!("{v}.0.0 {state}")).collect();
    BTreeMap::from([
        ("Lamp".to_owned(), all(&[1, 2, 3, 10])),
        ("table".to_owned(), all(&[1, 2, 3])),
    ])
}

/// The files of a release, as somebody else gets them.
fn files_of(studio: &Studio, release: &str, module: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = release.replace("==", "-");
    studio.workspace(&folder);
    studio.run(&["-w", &folder, "install", release, "--pull"]).ok();
    let part = format!("/{module}/files/");
    let all = studio.snapshot(&format!("{folder}/inputs")).into_iter();
    all.filter_map(|(path, bytes)| Some((path.split_once(&part)?.1.to_owned(), bytes)))
        .collect()
}

/// What is no version is named with the reason.
fn strangers_are_left_out(planned: &Value) {
    let left_out: BTreeMap<&str, &str> = planned["left_out"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            (
                one["path"].as_str().expect("a path"),
                one["reason"].as_str().expect("a text"),
            )
        })
        .collect();
    for (path, word) in [
        ("notes.txt", "pattern"),
        ("table_latest", "pattern"),
        ("3d_scan_v001", "identifier"),
        ("json_v001", "module of Python"),
        ("lamp_v002", "written in another way"),
        ("empty_v001", "no files"),
        ("gone_v001", "link to nothing"),
    ] {
        assert!(
            left_out.get(path).is_some_and(|reason| reason.contains(word)),
            "{path}: {left_out:#?}"
        );
    }
    assert_eq!(left_out.len(), 7, "{left_out:#?}");
}

#[test]
fn a_tree_of_versions_becomes_releases_in_their_order_as_the_dry_run_said_and_once() {
    let studio = Studio::new();
    tree(&studio);
    let before = studio.snapshot("assets");
    let import = ["import-folder", "../assets", "--type", "Prop", "--json"];
    let at = |arguments: &[&str]| {
        let mut command = studio.command(arguments);
        command.current_dir(studio.path("ws"));
        backlot_tests::run_command(&mut command)
    };
    let mut planned = at(&[&import[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(states(&planned), expected("published"), "{planned:#}");
    assert!(studio.snapshot("ws/outputs").is_empty() && !studio.path("repos/review/packages/lamp").exists());
    strangers_are_left_out(&planned);
    assert_eq!(
        (
            &planned["assets"][1]["releases"][0]["files"],
            &planned["assets"][1]["releases"][0]["bytes"]
        ),
        (&3.into(), &9_000.into())
    );

    let done = at(&import).ok().json();
    planned["dry_run"] = false.into();
    assert_eq!(planned, done, "the plan is what is done");
    assert_eq!(studio.snapshot("assets"), before, "the tree stays as it is");
    // Each release has its own files, under names without a version.
    let lamp = files_of(&studio, "lamp==10.0.0", "lamp");
    assert_eq!(lamp.keys().collect::<Vec<_>>(), ["Lamp.abc", "Lamp.ma"]);
    assert_eq!(lamp["Lamp.abc"], b"lamp 10");
    let both = files_of(&studio, "lamp==3.0.0", "lamp");
    assert_eq!(both.keys().collect::<Vec<_>>(), ["lamp.abc", "readme.txt"]);
    let table = files_of(&studio, "table==2.0.0", "table");
    let frames = [
        "tex/diffuse.1001.exr",
        "tex/diffuse.1002.exr",
        "tex/diffuse.1004.exr",
    ];
    assert_eq!(table.keys().collect::<Vec<_>>(), frames);
    let shown = at(&["show", "lamp==2.0.0", "--json"]).ok().json();
    let fact = &shown["releases"][0]["published"];
    assert_eq!(
        fact["reason"], "imported from Lamp_v2.abc, Lamp_v2.ma",
        "{shown:#}"
    );

    // The same again does nothing; a new version is the only one that is published, one that comes late is not.
    let repo = studio.snapshot("repos/review");
    let again = at(&import).ok().json();
    assert_eq!(states(&again), expected("already"), "{again:#}");
    assert_eq!(studio.snapshot("repos/review"), repo);
    studio.write("assets/table_v004/tex/diffuse.1001.exr", b"new");
    studio.write("assets/lamp_v5.abc", b"late");
    let more = states(&at(&import).ok().json());
    assert_eq!(more["table"].last().map(String::as_str), Some("4.0.0 published"));
    assert!(more["Lamp"].contains(&"5.0.0 older".to_owned()), "{more:?}");
    let newest = files_of(&studio, "table==4.0.0", "table");
    assert_eq!(
        newest,
        BTreeMap::from([("tex/diffuse.1001.exr".to_owned(), b"new".to_vec())])
    );
}

#[test]
fn what_cannot_be_published_is_told_the_others_go_on_and_it_can_be_run_again() {
    let studio = Studio::new();
    for path in [
        "a/chair/publish/v1/c.abc",
        "a/chair/publish/v2/c.abc",
        "a/desk/publish/v0/d.abc",
        "a/desk/wip/x.ma",
    ] {
        studio.write(path, path.as_bytes());
    }
    let import = [
        "import-folder",
        "a",
        "--pattern",
        "{name}/publish/v{version}",
        "--as",
        "model",
        "--json",
    ];
    // Somebody else published a chair, and there is none here.
    studio.workspace("other");
    studio.run(&["-w", "other", "new", "Chair"]).ok();
    studio.run(&["-w", "other", "publish", "Chair"]).ok();
    let planned = studio.ws(&[&import[..], &["--dry-run"]].concat());
    let done = studio.ws(&import);
    for run in [planned, done] {
        assert_eq!(run.output.status.code(), Some(4), "{}", run.stdout());
        let report = run.json();
        assert!(
            run.stderr().contains("imports::folder_incomplete"),
            "{}",
            run.stderr()
        );
        let states = states(&report);
        assert_eq!(states["chair"], ["1.0.0 not-reached", "2.0.0 not-reached"]);
        assert_eq!(
            states["desk"],
            ["0.0.0 published"],
            "0 is lower than what a new asset begins with"
        );
        assert_eq!(report["assets"][0]["problem"]["code"], "output::unknown");
    }
    assert!(studio.path("repos/review/packages/desk").is_dir());
    studio.ws(&["install", "Chair"]).ok();
    studio.ws(&["edit", "Chair"]).ok();
    let again = studio.ws(&import).ok().json();
    assert_eq!(
        states(&again)["Chair"],
        ["1.0.0 published", "2.0.0 published"],
        "{again:#}"
    );
    assert_eq!(states(&again)["desk"], ["0.0.0 already"]);
    // One asset, whose folder has the versions.
    let one = [
        "import-folder",
        "a/chair/publish",
        "--name",
        "Stool",
        "--pattern",
        "v{version}",
        "--json",
    ];
    let one = studio.ws(&one).ok().json();
    assert_eq!(states(&one)["Stool"], ["1.0.0 published", "2.0.0 published"]);
    let error = studio
        .ws(&["import-folder", "a", "--pattern", "{name}", "--json"])
        .fails(2, "imports::bad_pattern");
    assert!(
        error["help"]
            .as_str()
            .expect("help")
            .contains("{name}_v{version}")
    );
    assert_eq!(
        error["message"],
        json!(
            "`{name}` is not a pattern of versions: its last name has to have the `{version}`, and only that"
        )
    );
}
