//! The daily commands: getting an asset, publishing the next version.

use backlot_tests::Studio;
use fs_err as fs;
use serde_json::Value;

const FRAMES: &str = "ws/outputs/table/src/table/frames";

/// A studio in which Table 0.1.0 with 4 frames is published.
fn published() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 4, 2_000);
    studio.ws(&["publish", "Table"]).ok();
    studio
}

fn version(studio: &Studio) -> String {
    let status = studio.ws(&["status", "--json"]).ok().json();
    status["outputs"][0]["version"]
        .as_str()
        .expect("a version")
        .to_owned()
}

#[test]
fn an_asset_is_fetched_in_an_empty_folder_with_one_command_and_a_dry_run_makes_nothing() {
    let studio = published();
    let get = [
        "get",
        "Table",
        "--from",
        "../repos/review",
        "--remote",
        "../remote",
        "--json",
    ];
    let planned = studio
        .run_afresh("new", &[&get[..], &["--dry-run"]].concat())
        .ok()
        .json();
    assert_eq!(planned["changes"][0]["to"], "0.1.0", "{planned:#}");
    assert_eq!(
        (&planned["made"], &planned["dry_run"]),
        (&true.into(), &true.into())
    );
    assert!(studio.snapshot("new").is_empty());
    assert!(!studio.path("fresh-cache").exists(), "a dry run needs no cache");

    let done = studio.run_afresh("new", &get).ok().json();
    for key in ["changes", "made", "root", "environment"] {
        assert_eq!(planned[key], done[key], "{key}: {done:#}");
    }
    assert_eq!(planned["repo"]["name"], done["repo"]["name"]);
    assert_eq!(done["files"]["assets"][0]["placed"], 4, "{done:#}");
    assert_eq!(studio.pulled_frames("new"), 4);
    // The same again has nothing to do, and adds nothing twice.
    let again = studio.run_afresh("new", &get).ok().json();
    assert_eq!(again["changes"], Value::Array(Vec::new()), "{again:#}");
    assert_eq!((&again["repo"], &again["remote"]), (&Value::Null, &Value::Null));
    // The place of a repo of the workspace is that repo, and so is its name; a folder inside is in the workspace.
    studio
        .run_afresh(
            "new/sub",
            &["get", "Table==0.1.0", "--from", "review", "--no-pull"],
        )
        .ok();
    studio
        .run_afresh("new/sub", &["get", "Table", "--from", "../../repos/review"])
        .ok();
    let repos = studio.run_afresh("new", &["repo", "list", "--json"]).ok().json();
    assert_eq!(repos["repos"].as_array().map(Vec::len), Some(1), "{repos:#}");
}

#[test]
fn what_cannot_be_fetched_leaves_the_folder_as_it_was_and_makes_no_repo() {
    let studio = published();
    for (arguments, exit, code) in [
        (&["get", "Table"][..], 3, "get::no_from"),
        (&["get", "Table", "--from", "../repos/revew"], 4, "get::no_repo"),
        (&["get", "Table", "--from", "review"], 4, "config::unknown_name"),
        (
            &[
                "get",
                "Table",
                "--from",
                "../repos/review",
                "--remote",
                "../remoet",
            ],
            4,
            "get::no_remote",
        ),
        (
            &["get", "Tabel", "--from", "../repos/review"],
            4,
            "resolve::unknown_package",
        ),
        (
            &["get", "Table==9", "--from", "../repos/review"],
            5,
            "resolve::conflict",
        ),
    ] {
        for more in [&["--json"][..], &["--json", "--dry-run"]] {
            studio
                .run_afresh("new", &[arguments, more].concat())
                .fails(exit, code);
            assert!(
                studio.snapshot("new").is_empty(),
                "{arguments:?} {:?}",
                studio.snapshot("new").keys()
            );
            assert!(studio.path("new").is_dir(), "the folder itself was there before");
        }
    }
    assert!(!studio.path("repos/revew").exists() && !studio.path("remoet").exists());
    // And the cache knows of no workspace that is not there, for which it could not be cleaned.
    let used = fs::read_dir(studio.path("fresh-cache/workspaces"));
    assert_eq!(used.map_or(0, Iterator::count), 0);
    studio.write("used/notes.txt", b"mine");
    let get = ["get", "Table", "--from", "../repos/review", "--json"];
    studio.run_afresh("used", &get).fails(5, "get::not_empty");
    assert_eq!(studio.snapshot("used").len(), 1);
    // A pull that fails leaves what is installed, and the same command goes on.
    studio.run_afresh("later", &get).fails(3, "get::remote_not_added");
    assert_eq!(studio.pulled_frames("later"), 0);
    studio
        .run_afresh("later", &[&get[..], &["--remote", "../remote"]].concat())
        .ok();
    assert_eq!(studio.pulled_frames("later"), 4);
}

#[test]
fn install_pulls_too_if_that_is_asked_for_and_get_brings_what_is_on_demand_when_it_is_named() {
    let studio = published();
    studio.workspace("node");
    let node = |arguments: &[&str]| studio.run(&[&["-w", "node"], arguments].concat());
    node(&["localize", "Table", "on-demand"]).ok();
    node(&["install", "Table", "--pull"]).ok();
    assert_eq!(studio.pulled_frames("node"), 0);
    node(&["get", "Table", "--no-pull"]).ok();
    assert_eq!(studio.pulled_frames("node"), 0);
    node(&["get", "Table"]).ok();
    assert_eq!(studio.pulled_frames("node"), 4);
}

#[test]
fn publishing_a_next_version_writes_it_down_when_the_release_is_there_and_not_before() {
    let studio = published();
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"rendered again");
    let publish = ["publish", "Table", "--bump", "minor", "--json"];
    let planned = studio.ws(&[&publish[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(
        (&planned["version"], version(&studio).as_str()),
        (&"0.2.0".into(), "0.1.0")
    );

    // Nothing is bumped by a publish that fails.
    backlot_core::file::rename(&studio.path("remote"), &studio.path("away")).expect("moved");
    studio.ws(&publish).fails(6, "workspace::remote_not_there");
    assert_eq!(version(&studio), "0.1.0");
    backlot_core::file::rename(&studio.path("away"), &studio.path("remote")).expect("moved");

    let done = studio.ws(&publish).ok().json();
    assert_eq!(done["wheel"]["sha256"], planned["wheel"]["sha256"], "{done:#}");
    assert_eq!(
        (&done["version"], version(&studio).as_str()),
        (&"0.2.0".into(), "0.2.0")
    );
    // The same bytes as of a bump and a publish.
    let built = studio.ws(&["build", "Table", "--json"]).ok().json();
    assert_eq!(built["sha256"], done["wheel"]["sha256"]);

    // As a kill leaves it: the release is there, and the version is not written down.
    let project = "ws/outputs/table/src/table/__version__.py";
    let text = fs::read_to_string(studio.path(project)).expect("read");
    assert!(text.contains("0.2.0"), "{text}");
    studio.write(project, text.replace("0.2.0", "0.1.0").as_bytes());
    let again = studio.ws(&publish).ok().json();
    assert_eq!(
        (&again["version"], &again["already"]),
        (&"0.2.0".into(), &true.into()),
        "{again:#}"
    );
    assert_eq!(version(&studio), "0.2.0");
    // With changes since, it goes on from that release.
    studio.write(project, text.replace("0.2.0", "0.1.0").as_bytes());
    studio.write(&format!("{FRAMES}/f.0002.exr"), b"and again");
    assert_eq!(studio.ws(&publish).ok().json()["version"], "0.3.0");

    studio.ws(&["publish", "Table", "--bump", "2.0.0", "--json"]).ok();
    assert_eq!(version(&studio), "2.0.0");
    studio
        .ws(&["publish", "Table", "--bump", "1.9", "--json"])
        .fails(2, "version::lower");
    studio
        .ws(&["bump", "Table", "1.9", "--json"])
        .fails(2, "version::lower");
    studio
        .ws(&["bump", "Table", "2.x", "--json"])
        .fails(2, "version::unknown_step");
    let bumped = studio.ws(&["bump", "Table", "3.0.0rc1", "--json"]).ok().json();
    assert_eq!(
        (&bumped["from"], &bumped["to"]),
        (&"2.0.0".into(), &"3.0.0rc1".into())
    );
    let before = studio.snapshot("ws/outputs");
    studio.ws(&["bump", "Table", "3.0.0rc1"]).ok();
    assert_eq!(studio.snapshot("ws/outputs"), before);
}

#[test]
fn a_version_that_the_project_says_itself_is_in_the_wheel_as_it_will_be() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let project = "ws/outputs/table/pyproject.toml";
    let text = fs::read_to_string(studio.path(project)).expect("read");
    // Made with the version in a file of the module, as the original engine does.
    let own = text.replace("dynamic = [\"version\"]", "version = \"0.1.0\" # by hand");
    assert_ne!(text, own);
    studio.write(project, own.as_bytes());
    let publish = ["publish", "Table", "--bump", "patch", "--json"];
    let planned = studio.ws(&[&publish[..], &["--dry-run"]].concat()).ok().json();
    let done = studio.ws(&publish).ok().json();
    let built = studio.ws(&["build", "Table", "--json"]).ok().json();
    for one in [&planned, &done] {
        assert_eq!(
            (&built["version"], &built["sha256"]),
            (&one["version"], &one["wheel"]["sha256"])
        );
    }
    let text = fs::read_to_string(studio.path(project)).expect("read");
    assert!(text.contains("version = \"0.1.1\""), "{text}");
}

#[test]
fn a_version_that_is_published_is_skipped_where_that_is_wanted() {
    let studio = published();
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"rendered again");
    studio
        .ws(&["publish", "Table", "--json", "--dry-run"])
        .fails(5, "repo::release_exists");
    let before = (
        studio.snapshot("repos"),
        studio.snapshot("ws/outputs"),
        studio.snapshot("remote"),
    );
    for more in [&["--dry-run"][..], &[]] {
        let arguments = [&["publish", "Table", "--skip-existing", "--json"], more].concat();
        let skipped = studio.ws(&arguments).ok().json();
        assert_eq!(
            (&skipped["skipped"], &skipped["wheel"]),
            (&true.into(), &Value::Null),
            "{skipped:#}"
        );
    }
    let told = studio.ws(&["publish", "Table", "--skip-existing"]).ok().stdout();
    assert!(told.contains("skipped: review already has Table 0.1.0"), "{told}");
    let after = (
        studio.snapshot("repos"),
        studio.snapshot("ws/outputs"),
        studio.snapshot("remote"),
    );
    assert_eq!(before, after);
    let next = ["publish", "Table", "--skip-existing", "--bump", "minor", "--json"];
    let next = studio.ws(&next).ok().json();
    assert_eq!(
        (&next["skipped"], &next["version"]),
        (&false.into(), &"0.2.0".into())
    );
}

/// The names of the files in a tracked folder, with their bytes.
fn table_frames(studio: &Studio) -> std::collections::BTreeMap<String, Vec<u8>> {
    studio.snapshot(FRAMES)
}

#[test]
fn a_render_that_is_added_again_updates_the_folder_and_tells_what_is_new_changed_and_gone() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.frames("render/frames", 6, 2_000, 1);
    let add = ["add", "render/frames", "--asset", "Table", "--json"];
    studio.ws(&add).ok();
    studio.ws(&["publish", "Table"]).ok();

    studio.write("render/frames/f.0001.exr", b"rendered again");
    studio.write("render/frames/f.0006.exr", b"one more");
    fs::remove_file(studio.path("render/frames/f.0003.exr")).expect("removed");
    let before = studio.snapshot("ws");
    for more in [
        &["--dry-run"][..],
        &["--dry-run", "--push"],
        &["--dry-run", "--keep-gone"],
    ] {
        studio.ws(&[&add[..], more].concat()).ok();
    }
    assert_eq!(
        studio.snapshot("ws/outputs"),
        before
            .iter()
            .filter_map(|(path, bytes)| Some((path.strip_prefix("outputs/")?.to_owned(), bytes.clone())))
            .collect()
    );
    let kept = studio
        .ws(&[&add[..], &["--dry-run", "--keep-gone"]].concat())
        .ok()
        .json();
    assert_eq!(
        (&kept["outs"][0]["files"], &kept["outs"][0]["changes"]["gone"]),
        (&7.into(), &0.into())
    );

    let planned = studio
        .ws(&[&add[..], &["--push", "--dry-run"]].concat())
        .ok()
        .json();
    let done = studio.ws(&[&add[..], &["--push"]].concat()).ok().json();
    assert_eq!(planned["outs"], done["outs"], "{planned:#}\n{done:#}");
    for key in ["objects", "already_there"] {
        assert_eq!(
            planned["pushed"][key], done["pushed"][key],
            "{key}: {planned:#}\n{done:#}"
        );
    }
    let changes = &done["outs"][0]["changes"];
    assert_eq!(
        (&changes["new"], &changes["changed"], &changes["gone"]),
        (&1.into(), &1.into(), &1.into()),
        "{changes:#}"
    );
    assert_eq!(table_frames(&studio), studio.snapshot("render/frames"));
    assert!(!studio.path("ws/.backlot/updating.json").exists());
    // The same again has nothing to do.
    let again = studio.ws(&add).ok().json();
    assert_eq!(again["outs"][0]["changed"], 0, "{again:#}");

    // What is gone stays if that is wanted, and the next add without that takes it out.
    fs::remove_file(studio.path("render/frames/f.0000.exr")).expect("removed");
    let kept = studio.ws(&[&add[..], &["--keep-gone"]].concat()).ok().json();
    assert_eq!(
        (&kept["outs"][0]["files"], &kept["outs"][0]["changes"]["gone"]),
        (&6.into(), &0.into())
    );
    assert_eq!(table_frames(&studio).len(), 6);
    let told = studio.ws(&add[..4]).ok().stdout();
    assert!(told.contains("0 new, 0 changed, 1 removed"), "{told}");
    assert_eq!(table_frames(&studio), studio.snapshot("render/frames"));
    studio.ws(&["publish", "Table", "--bump", "minor"]).ok();
    studio.ws(&["verify", "--remote", "--releases"]).ok();
}

#[test]
fn a_render_is_not_copied_over_what_was_changed_here_and_goes_on_where_it_was_stopped() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.frames("render/frames", 4, 2_000, 1);
    let add = ["add", "render/frames", "--asset", "Table", "--json"];
    studio.ws(&add).ok();
    let first = studio.snapshot("render/frames");
    studio.frames("render/frames", 4, 2_000, 2);
    studio.write(&format!("{FRAMES}/f.0002.exr"), b"painted over");
    let before = studio.snapshot("ws/outputs");
    for more in [&[][..], &["--dry-run"]] {
        let error = studio
            .ws(&[&add[..], more].concat())
            .fails(5, "files::changed_here");
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.contains("f.0002.exr") && !message.contains("f.0001.exr"),
            "{message}"
        );
    }
    assert_eq!(studio.snapshot("ws/outputs"), before);
    // The way out that it tells.
    studio.ws(&["discard", FRAMES]).ok();
    assert_eq!(table_frames(&studio), first);

    // As a kill leaves it: some frames are copied, the pointer is the old one, and by now there is a third render.
    studio.write(
        "ws/.backlot/updating.json",
        serde_json::json!({ studio.path(FRAMES).display().to_string(): {
            "f.0000.exr": [md5_of(&studio.snapshot("render/frames")["f.0000.exr"])],
        }})
        .to_string()
        .as_bytes(),
    );
    fs::copy(
        studio.path("render/frames/f.0000.exr"),
        studio.path(&format!("{FRAMES}/f.0000.exr")),
    )
    .expect("copied");
    studio.frames("render/frames", 4, 2_000, 3);
    let done = studio.ws(&add).ok().json();
    assert_eq!(done["outs"][0]["changes"]["changed"], 4, "{done:#}");
    assert_eq!(table_frames(&studio), studio.snapshot("render/frames"));

    // What is replaced is in the cache, whatever was cleaned away before.
    studio.ws(&["publish", "Table"]).ok();
    // A folder is not replaced by a file.
    fs::remove_dir_all(studio.path("render/frames")).expect("removed");
    studio.write("render/frames", b"a file");
    studio.ws(&add).fails(5, "output::target_exists");
    assert_eq!(table_frames(&studio).len(), 4);
}

fn md5_of(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn a_single_file_and_a_folder_that_was_never_pulled_are_updated_too() {
    let studio = published();
    studio.write("model.abc", b"first");
    let add = ["add", "model.abc", "--asset", "Table", "--json"];
    studio.ws(&add).ok();
    studio.write("model.abc", b"second");
    let planned = studio.ws(&[&add[..], &["--dry-run"]].concat()).ok().json();
    let done = studio.ws(&add).ok().json();
    assert_eq!(planned["outs"], done["outs"]);
    assert_eq!(done["outs"][0]["changes"]["names"][0], "~ model.abc");
    assert_eq!(
        fs::read(studio.path("ws/outputs/table/src/table/model.abc")).expect("read"),
        b"second"
    );

    studio.workspace("other");
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Table"]).ok();
    other(&["edit", "Table"]).ok();
    studio.frames("render/frames", 2, 2_000, 5);
    let add = ["add", "render/frames", "--asset", "Table", "--json"];
    let planned = other(&[&add[..], &["--dry-run"]].concat()).ok().json();
    let done = other(&add).ok().json();
    assert_eq!(planned["outs"], done["outs"], "{planned:#}\n{done:#}");
    assert_eq!(
        (&done["outs"][0]["files"], &done["outs"][0]["changes"]["gone"]),
        (&2.into(), &2.into())
    );
    assert_eq!(
        studio.snapshot("other/outputs/table/src/table/frames"),
        studio.snapshot("render/frames")
    );
}

#[test]
fn local_changes_are_discarded_and_a_copy_of_each_file_is_kept() {
    let studio = published();
    let released = table_frames(&studio);
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"painted over");
    studio.write(&format!("{FRAMES}/sub/new.exr"), b"new");
    fs::remove_file(studio.path(&format!("{FRAMES}/f.0002.exr"))).expect("removed");
    let mine = table_frames(&studio);
    let planned = studio
        .ws(&["discard", "Table", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(table_frames(&studio), mine);
    // A part first: the rest stays.
    studio.ws(&["discard", &format!("{FRAMES}/f.[1-1].exr")]).ok();
    assert_eq!(table_frames(&studio).get("sub/new.exr"), mine.get("sub/new.exr"));
    assert_eq!(
        table_frames(&studio).get("f.0001.exr"),
        released.get("f.0001.exr")
    );
    studio.ws(&["pull", "--undo"]).ok();
    assert_eq!(table_frames(&studio), mine);

    let done = studio.ws(&["discard", "Table", "--json"]).ok().json();
    assert_eq!(planned["paths"], done["paths"], "{planned:#}\n{done:#}");
    assert_eq!(table_frames(&studio), released);
    assert!(!studio.path(&format!("{FRAMES}/sub")).exists());
    let path = &done["paths"][0];
    assert_eq!(
        (&path["placed"], &path["removed"], &path["unchanged"]),
        (&2.into(), &1.into(), &2.into())
    );
    let copies = path["set_aside"].as_array().expect("copies");
    assert_eq!(copies.len(), 2, "{path:#}");
    for copy in copies {
        let at = copy["copy"].as_str().expect("a path");
        let inside = copy["path"]
            .as_str()
            .expect("a path")
            .rsplit_once("/frames/")
            .expect("in frames")
            .1;
        assert_eq!(Some(&fs::read(at).expect("a copy")), mine.get(inside));
    }
    let told = studio.ws(&["discard", "Table"]).ok().stdout();
    assert!(told.contains("nothing to do"), "{told}");
    // All of it comes back.
    studio.ws(&["pull", "--undo"]).ok();
    assert_eq!(table_frames(&studio), mine);
    studio
        .ws(&["discard", "Tabel", "--json"])
        .fails(4, "output::unknown");
    studio
        .ws(&["discard", "ws/outputs/table/src/table/frmaes", "--json"])
        .fails(4, "files::not_tracked");
    studio
        .ws(&["discard", "render", "--json"])
        .fails(4, "output::unknown");
    studio
        .ws(&["discard", FRAMES, "--frames", "3-1", "--json"])
        .fails(2, "files::bad_frames");
}

#[test]
fn files_are_restored_as_they_were_added_or_as_a_release_has_them() {
    let studio = published();
    let first = table_frames(&studio);
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"second");
    studio.write(&format!("{FRAMES}/f.0009.exr"), b"new");
    studio.ws(&["publish", "Table", "--bump", "minor"]).ok();
    let second = table_frames(&studio);
    studio.write(&format!("{FRAMES}/f.0001.exr"), b"third");
    let frame = format!("{FRAMES}/f.0001.exr");

    studio.ws(&["restore", &frame]).ok();
    assert_eq!(table_frames(&studio), second);
    studio.write(&frame, b"third");
    let pointer = fs::read(studio.path(&format!("{FRAMES}.dvc"))).expect("read");
    let planned = studio
        .ws(&["restore", &format!("{FRAMES}@0.1.0"), "--dry-run", "--json"])
        .ok()
        .json();
    let done = studio
        .ws(&["restore", &format!("{FRAMES}@0.1.0"), "--json"])
        .ok()
        .json();
    assert_eq!(
        planned["restored"][0]["paths"], done["restored"][0]["paths"],
        "{planned:#}\n{done:#}"
    );
    assert_eq!(done["restored"][0]["repo"], "review");
    assert_eq!(table_frames(&studio), first);
    assert_eq!(
        fs::read(studio.path(&format!("{FRAMES}.dvc"))).expect("read"),
        pointer,
        "no pointer is written"
    );
    let status = studio.ws(&["status", "--json"]).ok().json();
    let out = &status["outputs"][0]["outs"][0];
    assert_eq!(
        (&out["state"], &out["changed"], &out["removed"]),
        (&"modified".into(), &1.into(), &1.into())
    );
    // What somebody had made is kept, and a pull does not undo what was restored.
    studio.ws(&["pull"]).ok();
    assert_eq!(table_frames(&studio).get("f.0001.exr"), first.get("f.0001.exr"));
    studio.ws(&["publish", "Table", "--bump", "minor"]).ok();

    // Where nothing was pulled, only what is named comes, and it is proven.
    for workspace in ["other", "third"] {
        fs::remove_dir_all(studio.path("cache")).expect("removed");
        studio.workspace(workspace);
        studio.run(&["-w", workspace, "install", "Table==0.2.0"]).ok();
        studio.run(&["-w", workspace, "edit", "Table"]).ok();
    }
    let other = "other/outputs/table/src/table/frames";
    studio
        .run(&["-w", "other", "restore", &format!("{other}/f.[1-2].exr")])
        .ok();
    let here = studio.snapshot(other);
    assert_eq!(here.keys().collect::<Vec<_>>(), ["f.0001.exr", "f.0002.exr"]);
    assert_eq!(here.get("f.0001.exr"), second.get("f.0001.exr"));
    studio
        .run(&["-w", "other", "restore", other, "--frames", "0-9x9"])
        .ok();
    assert_eq!(studio.snapshot(other).len(), 4);
    let third = "third/outputs/table/src/table/frames";
    studio
        .run(&["-w", "third", "restore", &format!("{third}/f.0001.exr@0.1.0")])
        .ok();
    assert_eq!(studio.snapshot(third).len(), 1);
    assert_eq!(studio.snapshot(third).get("f.0001.exr"), first.get("f.0001.exr"));

    for (path, code) in [
        (format!("{FRAMES}@9.0"), "release::unknown"),
        (format!("{FRAMES}/nothing.exr@0.1.0"), "files::not_tracked"),
        (
            "ws/outputs/table/src/table/other@0.1.0".to_owned(),
            "files::not_in_release",
        ),
        (format!("{FRAMES}/nothing.exr"), "files::not_tracked"),
        ("ws/backlot.toml".to_owned(), "output::not_in_output"),
    ] {
        let run = studio.ws(&["restore", &path, "--json"]);
        assert_eq!(run.json()["error"]["code"], code, "{path}: {}", run.stdout());
    }
}

#[test]
fn what_is_untracked_stays_and_is_nobody_elses() {
    let studio = Studio::new();
    studio.write("ws/backlot.toml.keep", b"");
    fs::create_dir_all(studio.path("ws/.git")).expect("made");
    let text = fs::read_to_string(studio.path("ws/backlot.toml")).expect("read");
    studio.write(
        "ws/backlot.toml",
        format!("links = [\"symlink\"]\n{text}").as_bytes(),
    );
    studio.asset("Table", 4, 2_000);
    let (before, pointer) = (table_frames(&studio), studio.path(&format!("{FRAMES}.dvc")));
    let ignore = studio.path("ws/outputs/table/src/table/.gitignore");
    assert!(fs::read_to_string(&ignore).expect("read").contains("/frames"));
    studio
        .ws(&["untrack", &format!("{FRAMES}/f.0001.exr"), "--json"])
        .fails(2, "files::part_of_folder");
    let planned = studio.ws(&["untrack", FRAMES, "--dry-run", "--json"]).ok().json();
    assert!(pointer.is_file());
    let done = studio.ws(&["untrack", FRAMES, "--json"]).ok().json();
    assert_eq!(planned["paths"], done["paths"]);
    assert_eq!(done["paths"][0]["files"], 4);
    assert!(!pointer.exists() && !ignore.exists());
    // Files of their own: the cache can go.
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    assert!(table_frames(&studio).keys().eq(before.keys()));
    for name in before.keys() {
        assert!(!studio.path(&format!("{FRAMES}/{name}")).is_symlink(), "{name}");
    }
    studio
        .ws(&["untrack", FRAMES, "--json"])
        .fails(4, "files::not_tracked");
    studio.ws(&["add", FRAMES]).ok();
    studio.ws(&["publish", "Table"]).ok();

    // Files that are not here are not lost: a release has them, or they have to be pulled first.
    studio.workspace("other");
    let other = |arguments: &[&str]| studio.run(&[&["-w", "other"], arguments].concat());
    other(&["install", "Table"]).ok();
    other(&["edit", "Table"]).ok();
    let frames = "other/outputs/table/src/table/frames";
    studio.write(&format!("{frames}/f.0001.exr"), b"new");
    other(&["add", &format!("{frames}/f.0001.exr")]).ok();
    let error = other(&["untrack", frames, "--json"]).fails(5, "files::not_here");
    assert!(
        error["help"]
            .as_str()
            .expect("help")
            .contains("backlot pull Table"),
        "{error:#}"
    );
    other(&["pull", "Table"]).ok();
    other(&["untrack", frames]).ok();
    assert_eq!(studio.snapshot(frames).len(), 4);
}
