//! Parts of a farm job that cannot form a release are refused before a pointer is written, and a dry run reports the same.

use std::collections::BTreeMap;

use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;
use serde_json::Value;

const MODULE: &str = "ws/outputs/seq/src/seq";
const JOB: &str = "5f3e-92";

/// A studio with the asset Seq, whose nodes push to the remote `main`.
struct Farm {
    studio: Studio,
}

impl Farm {
    fn new() -> Self {
        let studio = Studio::new();
        studio.ws(&["new", "Seq"]).ok();
        Self { studio }
    }

    /// Push files, by name and content, as a part of a folder.
    fn push(&self, node: &str, folder: &str, files: &[(&str, &str)]) -> Run {
        let rendered = self.studio.path("render");
        if rendered.exists() {
            fs::remove_dir_all(&rendered).expect("removed");
        }
        for (name, content) in files {
            self.studio.write(&format!("render/{name}"), content.as_bytes());
        }
        self.studio.ws(&[
            "part", "push", "render", "--job", JOB, "--as", folder, "--node", node, "--remote", "main",
            "--json",
        ])
    }

    fn publish(&self, more: &[&str]) -> Run {
        let publish = [
            "publish",
            "Seq",
            "--from-parts",
            JOB,
            "--remote",
            "main",
            "--json",
        ];
        self.studio.ws(&[&publish, more].concat())
    }

    /// The run and its dry run are refused alike, and the asset is as it was.
    fn refused(&self, expect: &[&str], exit: i32, code: &str) -> Value {
        let before = self.studio.snapshot("ws/outputs");
        let planned = self.publish(&[expect, &["--dry-run"]].concat()).fails(exit, code);
        let done = self.publish(expect).fails(exit, code);
        assert_eq!(planned["message"], done["message"]);
        assert_eq!(self.studio.snapshot("ws/outputs"), before);
        done
    }

    fn drop_parts(&self, more: &[&str]) -> Run {
        let drop = ["part", "drop", "--job", JOB, "--remote", "main", "--json"];
        self.studio.ws(&[&drop, more].concat())
    }

    fn parts(&self) -> Vec<Value> {
        let list = ["part", "list", "--job", JOB, "--remote", "main", "--json"];
        let list = self.studio.ws(&list).ok().json();
        list["parts"].as_array().expect("parts").clone()
    }

    /// Track a frame that is here, say more of it in its pointer, publish, and take the frame away.
    fn published_with(&self, line: &str, more: &[&str]) {
        let frames = format!("{MODULE}/frames");
        self.studio.write(&format!("{frames}/f.0001.exr"), b"one");
        self.studio.ws(&["add", &frames]).ok();
        let pointer = self.studio.path(&format!("{frames}.dvc"));
        let text = fs::read_to_string(&pointer).expect("a pointer");
        let changed = text.replace("  path: frames", &format!("  path: frames\n  {line}"));
        assert_ne!(changed, text);
        fs::write(&pointer, changed).expect("written");
        self.studio.ws(&[&["publish", "Seq"], more].concat()).ok();
        self.studio.ws(&["bump", "Seq", "minor"]).ok();
        fs::remove_dir_all(self.studio.path(&frames)).expect("removed");
    }
}

fn message(error: &Value) -> &str {
    error["message"].as_str().expect("text")
}

#[test]
fn a_folder_in_another_one_of_its_job_is_refused_before_either_is_written() {
    let farm = Farm::new();
    farm.push("n1", "frames", &[("f.0001.exr", "1")]).ok();
    farm.push("n2", "frames/crypto", &[("c.0001.exr", "2")]).ok();
    let expect = ["--expect", "frames=1", "--expect", "frames/crypto=1"];
    let error = farm.refused(&expect, 5, "parts::overlap");
    assert!(
        message(&error).contains("`frames/crypto` of n2") && message(&error).contains("`frames` of n1"),
        "{error:#}"
    );
    farm.drop_parts(&["--node", "n2"]).ok();
    farm.push("n2", "crypto/deep", &[("c.0001.exr", "2")]).ok();
    let expect = ["--expect", "frames=1", "--expect", "crypto/deep=1"];
    farm.publish(&[&expect[..], &["--dry-run"]].concat()).ok();
    farm.publish(&expect).ok();
    for pointer in ["frames.dvc", "crypto/deep.dvc"] {
        assert!(
            farm.studio.path(&format!("{MODULE}/{pointer}")).exists(),
            "{pointer}"
        );
    }
}

#[test]
fn a_release_that_cannot_be_built_leaves_no_pointer_to_parts() {
    let farm = Farm::new();
    farm.push("n1", "frames", &[("f.0001.exr", "1")]).ok();
    let forgotten = format!("{MODULE}/plate.0001.exr");
    farm.studio.write(&forgotten, &[0; 1000]);
    farm.refused(&["--expect", "frames=1"], 2, "publish::untracked_files");
    fs::remove_file(farm.studio.path(&forgotten)).expect("removed");
    farm.publish(&["--expect", "frames=1"]).ok();
}

#[test]
fn a_version_that_is_published_already_is_refused_before_a_pointer_is_written() {
    let farm = Farm::new();
    farm.push("n1", "frames", &[("f.0001.exr", "1")]).ok();
    farm.publish(&["--expect", "frames=1"]).ok();
    farm.push("n2", "frames", &[("f.0002.exr", "2")]).ok();
    farm.refused(&["--expect", "frames=1-2"], 5, "repo::release_exists");
    farm.studio.ws(&["bump", "Seq", "micro"]).ok();
    farm.publish(&["--expect", "frames=1-2"]).ok();
}

#[test]
fn a_folder_that_no_asset_can_track_is_refused_when_its_part_is_pushed() {
    let farm = Farm::new();
    for folder in [
        ".git",
        "plates/.git",
        ".dvc/frames",
        "frames.dvc",
        "frames.dvc/deep",
        "__pycache__/frames",
        "._frames",
        "a\nb",
        "a\u{1b}b/frames",
        "../frames",
        "/frames",
        "a//b",
        "",
    ] {
        let error = farm
            .push("n1", folder, &[("f.0001.exr", "1")])
            .fails(2, "parts::bad_folder");
        let help = error["help"].as_str().expect("help");
        assert!(help.contains("--as"), "{error:#}");
        assert!(!message(&error).contains('\n'), "{error:#}");
    }
    assert_eq!(farm.parts(), Vec::<Value>::new());
    let pushed = farm.push("n1", "frames/", &[("f.0001.exr", "1")]).ok().json();
    assert_eq!(pushed["folder"], "frames");
    farm.publish(&["--expect", "frames/=1"]).ok();
}

#[test]
fn files_of_parts_that_a_pointer_pins_to_another_remote_are_copied_there() {
    let farm = Farm::new();
    farm.studio.ws(&["remote", "add", "other", "other"]).ok();
    farm.published_with("remote: other", &["--remote", "main"]);
    farm.push("n1", "frames", &[("f.0002.exr", "two"), ("f.0003.exr", "three")])
        .ok();
    let expect = ["--expect", "frames=2-3"];
    let before = (farm.studio.snapshot("ws/outputs"), farm.studio.snapshot("other"));
    farm.publish(&[&expect[..], &["--dry-run"]].concat()).ok();
    let after = (farm.studio.snapshot("ws/outputs"), farm.studio.snapshot("other"));
    assert!(before == after, "a dry run changes nothing");
    farm.publish(&expect).ok();
    // Whoever has nothing but the other remote gets all of it.
    fs::remove_dir_all(farm.studio.path("remote")).expect("removed");
    let reader = |arguments: &[&str]| {
        let mut command = farm.studio.command(arguments);
        run_command(command.env("BACKLOT_CACHE_DIR", farm.studio.path("reader-cache"))).ok();
    };
    reader(&["init", "reader"]);
    reader(&["-w", "reader", "repo", "add", "review", "repos/review"]);
    reader(&["-w", "reader", "remote", "add", "other", "other"]);
    reader(&["-w", "reader", "install", "Seq"]);
    reader(&["-w", "reader", "edit", "Seq"]);
    reader(&["-w", "reader", "pull"]);
    let right = [
        ("f.0001.exr", "one"),
        ("f.0002.exr", "two"),
        ("f.0003.exr", "three"),
    ];
    let right: BTreeMap<String, Vec<u8>> = right
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.as_bytes().to_vec()))
        .collect();
    assert_eq!(farm.studio.snapshot("reader/outputs/seq/src/seq/frames"), right);
}

#[test]
fn a_pointer_whose_files_go_to_no_remote_is_refused_before_it_is_written() {
    let farm = Farm::new();
    farm.published_with("push: false", &["--allow-unpushed"]);
    farm.push("n1", "frames", &[("f.0002.exr", "two")]).ok();
    farm.refused(&["--expect", "frames=2"], 5, "publish::not_pushed");
    let pointer = farm.studio.path(&format!("{MODULE}/frames.dvc"));
    let text = fs::read_to_string(&pointer).expect("a pointer");
    fs::write(&pointer, text.replace("push: false", "cache: false")).expect("written");
    let error = farm.refused(&["--expect", "frames=2"], 5, "parts::not_cached");
    let help = error["help"].as_str().expect("help");
    assert!(
        help.contains("cache: false") && help.contains("frames.dvc"),
        "{help}"
    );
}

#[test]
fn a_part_is_dropped_by_the_name_that_a_list_and_a_conflict_give_it() {
    let farm = Farm::new();
    farm.push("n1", "frames", &[("f.0001.exr", "right")]).ok();
    farm.push("n1", "frames", &[("f.0001.exr", "wrong")]).ok();
    let error = farm.refused(&["--expect", "frames=1"], 5, "parts::conflict");
    assert!(
        error["help"]
            .as_str()
            .is_some_and(|help| help.contains("--part NAME")),
        "{error:#}"
    );
    let list = farm
        .studio
        .ws(&["part", "list", "--remote", "main"])
        .ok()
        .stdout();
    let names: Vec<String> = farm
        .parts()
        .iter()
        .map(|part| part["part"].as_str().expect("a name").to_owned())
        .collect();
    for name in &names {
        assert!(
            message(&error).contains(name) && list.contains(name),
            "{error:#}\n{list}"
        );
    }
    farm.drop_parts(&["--part", "render12"])
        .fails(2, "parts::bad_name");
    farm.drop_parts(&["--part", &names[1], "--node", "n1"])
        .fails(2, "command::usage");
    let planned = farm.drop_parts(&["--part", &names[1], "--dry-run"]).ok().json();
    assert_eq!(farm.parts().len(), 2);
    let done = farm.drop_parts(&["--part", &names[1]]).ok().json();
    assert_eq!(
        (&planned["dropped"], done["dropped"].as_array().map(Vec::len)),
        (&done["dropped"], Some(1))
    );
    assert_eq!(farm.parts().len(), 1);
    assert_eq!(farm.parts()[0]["part"], names[0].as_str());
    farm.publish(&["--expect", "frames=1"]).ok();
}

#[test]
fn names_that_other_systems_take_for_one_are_refused_of_two_nodes_and_told_of_one() {
    let farm = Farm::new();
    farm.push("n1", "frames", &[("f.0001.exr", "1")]).ok();
    farm.push("n2", "frames", &[("F.0001.exr", "2")]).ok();
    let error = farm.refused(&["--expect", "frames=1"], 5, "parts::twin_names");
    for told in ["`frames/F.0001.exr` of n2", "`frames/f.0001.exr` of n1"] {
        assert!(message(&error).contains(told), "{error:#}");
    }
    farm.drop_parts(&["--node", "n2"]).ok();
    farm.push("n2", "Frames", &[("f.0001.exr", "2")]).ok();
    let expect = ["--expect", "frames=1", "--expect", "Frames=1"];
    farm.refused(&expect, 5, "parts::twin_names");
    farm.drop_parts(&[]).ok();
    farm.push("n1", "con/aux", &[("F.0001.exr", "2"), ("f.0001.exr", "1")])
        .ok();
    let expect = ["--expect", "con/aux=1"];
    for more in [&["--dry-run"][..], &[]] {
        let run = farm.publish(&[&expect[..], more].concat()).ok();
        for (code, times) in [("dvc::twin_names", 1), ("dvc::unportable_name", 2)] {
            assert_eq!(
                run.stderr().matches(code).count(),
                times,
                "{code}: {}",
                run.stderr()
            );
        }
    }
}

#[test]
fn files_that_go_to_a_remote_only_are_told_of_their_names_too() {
    let farm = Farm::new();
    farm.studio.write("render/F.0001.exr", b"upper");
    farm.studio.write("render/f.0001.exr", b"lower");
    farm.studio.write("aux.usd", b"a scene");
    for (path, code) in [("render", "dvc::twin_names"), ("aux.usd", "dvc::unportable_name")] {
        let add = ["add", path, "--asset", "Seq", "--to-remote", "--json"];
        let run = farm.studio.ws(&add).ok();
        assert!(run.stderr().contains(code), "{}", run.stderr());
    }
}

#[cfg(unix)]
#[test]
fn a_folder_of_frames_may_be_named_by_a_link() {
    let farm = Farm::new();
    farm.studio.write("v001/f.0001.exr", b"1");
    fs::os::unix::fs::symlink("v001", farm.studio.path("latest")).expect("linked");
    let push = |what: &[&str]| {
        let more = ["--job", JOB, "--as", "frames", "--remote", "main", "--json"];
        farm.studio.ws(&[&["part", "push"], what, &more].concat())
    };
    let pushed = push(&["latest"]).ok().json();
    assert_eq!(pushed["files"], 1);
    // It is the very folder.
    assert_eq!(push(&["latest", "v001"]).ok().json()["files"], 1);
    farm.publish(&["--expect", "frames=1"]).ok();
    // A link in a folder is not followed.
    farm.studio.write("tree/f.0002.exr", b"2");
    fs::os::unix::fs::symlink("../v001", farm.studio.path("tree/more")).expect("linked");
    let tree = push(&["tree"]).ok();
    assert_eq!(tree.json()["files"], 1);
    assert!(tree.stderr().contains("dvc::skipped_link"), "{}", tree.stderr());
}

#[test]
fn a_repair_tells_what_was_damaged_from_what_was_not_there_yet() {
    let studio = Studio::new();
    studio.asset("Table", 2, 3000);
    studio.ws(&["publish", "Table"]).ok();
    studio.asset("Chair", 2, 4000);
    let planned = studio.ws(&["repair", "--dry-run"]).ok().stdout();
    assert!(planned.contains("would have stored"), "{planned}");
    let done = studio.ws(&["repair", "--json"]).ok().json();
    let stored = done["repaired"].as_array().map_or(0, Vec::len);
    assert!(stored > 0, "{done:#}");
    assert_eq!(done["absent"], stored, "{done:#}");
    let again = studio.ws(&["repair"]).ok().stdout();
    assert!(again.contains("repaired 0 objects"), "{again}");
}
