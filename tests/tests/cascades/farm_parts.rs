//! A farm renders one sequence: nodes with their own home and cache, without a workspace or a shared disk except the remote, and
//! the publisher.

use std::process::{Child, Command, Stdio};

use backlot_tests::{Run, Studio, noise, run_command, snapshot};
use fs_err as fs;
use serde_json::Value;

const MODULE: &str = "outputs/shot/src/shot";
const JOB: &str = "5f3e-91";

/// A studio whose workspace `ws` has the asset Shot without files, and nodes that know the remote only.
struct Farm {
    studio: Studio,
}

impl Farm {
    fn new() -> Self {
        let studio = Studio::new();
        studio.ws(&["new", "Shot"]).ok();
        Self { studio }
    }

    /// A command on a machine of its own: another home, another cache, another folder.
    fn on(&self, machine: &str, arguments: &[&str]) -> Command {
        let mut command = self.studio.command(arguments);
        let folder = self.studio.path(&format!("machines/{machine}"));
        fs::create_dir_all(folder.join("job")).expect("made");
        command
            .current_dir(folder.join("job"))
            .env("HOME", folder.join("home"))
            .env("BACKLOT_CACHE_DIR", folder.join("cache"));
        command
    }

    fn remote(&self) -> String {
        self.studio.path("remote").display().to_string()
    }

    /// Render frames on a node: other bytes for another seed.
    fn render(&self, node: &str, frames: impl IntoIterator<Item = u64>, seed: u64) {
        for frame in frames {
            let path = format!("machines/{node}/job/render/f.{frame:04}.exr");
            self.studio.write(&path, &content(frame, seed));
        }
    }

    /// The push of a node's frames, ready to be run.
    fn pushing(&self, node: &str, more: &[&str]) -> Command {
        let remote = self.remote();
        let push = [
            "part", "push", "render", "--job", JOB, "--as", "frames", "--remote", &remote, "--node", node,
        ];
        self.on(node, &[&push, more].concat())
    }

    fn push(&self, node: &str) -> Value {
        run_command(&mut self.pushing(node, &["--json"])).ok().json()
    }

    /// Publish in a workspace, as the user of a machine of its own.
    fn publishing(&self, workspace: &str, more: &[&str]) -> Command {
        let root = self.studio.path(workspace).display().to_string();
        let publish = ["-w", &root, "publish", "Shot", "--from-parts", JOB, "--json"];
        self.on(workspace, &[&publish, more].concat())
    }

    fn publish(&self, more: &[&str]) -> Run {
        run_command(&mut self.publishing("ws", more))
    }

    fn parts(&self) -> Value {
        let remote = self.remote();
        let list = ["part", "list", "--job", JOB, "--remote", &remote, "--json"];
        run_command(&mut self.on("lister", &list)).ok().json()
    }

    /// Node and state of each part.
    fn states(&self) -> Vec<(String, String)> {
        let parts = self.parts();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let row = |part: &Value| (text(&part["node"]), text(&part["state"]));
        parts["parts"]
            .as_array()
            .expect("parts")
            .iter()
            .map(row)
            .collect()
    }

    /// The frames of the newest release, as somebody gets them who has nothing yet.
    fn received(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let at = |arguments: &[&str]| {
            run_command(&mut self.on(name, arguments)).ok();
        };
        let (repo, remote) = (
            self.studio.path("repos/review").display().to_string(),
            self.remote(),
        );
        at(&["init", "ws"]);
        at(&["-w", "ws", "repo", "add", "review", &repo]);
        at(&["-w", "ws", "remote", "add", "main", &remote]);
        at(&["-w", "ws", "install", "Shot"]);
        at(&["-w", "ws", "edit", "Shot"]);
        at(&["-w", "ws", "pull"]);
        at(&["-w", "ws", "verify", "--remote", "--releases"]);
        let frames = self
            .studio
            .path(&format!("machines/{name}/job/ws/{MODULE}/frames"));
        snapshot(&frames).into_iter().collect()
    }

    /// A collection on the machine that publishes, which spares nothing for being young.
    fn gc(&self, more: &[&str]) -> Run {
        let root = self.studio.path("ws").display().to_string();
        let at_once = [
            "-w",
            &root,
            "gc",
            "--remote",
            "--no-other-writers",
            "--young",
            "0",
            "--grace",
            "0",
            "--allow-most",
            "--json",
        ];
        run_command(&mut self.on("ws", &[&at_once, more].concat()))
    }
}

fn content(frame: u64, seed: u64) -> Vec<u8> {
    noise(20_000, seed * 1_000 + frame)
}

/// What a release of these frames has.
fn expected(frames: impl IntoIterator<Item = u64>, seed: u64) -> Vec<(String, Vec<u8>)> {
    let frame = |n: u64| (format!("f.{n:04}.exr"), content(n, seed));
    frames.into_iter().map(frame).collect()
}

fn start(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

fn end(child: Child) -> (bool, Value) {
    let output = child.wait_with_output().expect("it ended");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    (output.status.success(), report)
}

#[test]
fn nodes_that_share_nothing_but_a_remote_make_one_release_of_all_frames_and_no_byte_is_read_for_it() {
    let farm = Farm::new();
    let nodes = [("a", 1..=10), ("b", 11..=20), ("c", 21..=30)];
    for (node, frames) in nodes.clone() {
        farm.render(node, frames, 1);
    }
    let pushes = nodes.map(|(node, _)| start(farm.pushing(node, &["--json"])));
    for push in pushes {
        let (pushed, report) = end(push);
        assert!(pushed, "{report:#}");
        assert_eq!(
            (&report["files"], &report["objects"]),
            (&10.into(), &10.into()),
            "{report:#}"
        );
    }
    for node in ["a", "b", "c"] {
        let cache = farm.studio.snapshot(&format!("machines/{node}/cache"));
        let bytes: usize = cache.values().map(Vec::len).sum();
        assert!(
            bytes < 20_000,
            "a node keeps no frame: {bytes} bytes in {:?}",
            cache.keys()
        );
    }
    let planned = farm
        .publish(&["--expect", "frames=1-30", "--dry-run"])
        .ok()
        .json();
    assert!(
        !farm.studio.path(&format!("ws/{MODULE}/frames.dvc")).exists(),
        "a dry run writes nothing"
    );
    let done = farm.publish(&["--expect", "frames=1-30"]).ok().json();
    for report in [&planned, &done] {
        assert_eq!(report["wheel"]["outs"][0]["files"], 30, "{report:#}");
        assert_eq!(report["wheel"]["outs"][0]["size"], 600_000, "{report:#}");
        assert_eq!(
            report["parts"]["nodes"],
            serde_json::json!(["a", "b", "c"]),
            "{report:#}"
        );
        assert_eq!(report["files"]["objects"], 1, "the manifest alone: {report:#}");
    }
    assert_eq!(planned["wheel"]["outs"], done["wheel"]["outs"]);
    let cache = farm.studio.snapshot("machines/ws/cache/files");
    let frames = cache.iter().filter(|(path, _)| !path.ends_with(".dir")).count();
    assert_eq!(
        frames,
        0,
        "no frame came to whoever published: {:?}",
        cache.keys()
    );
    assert_eq!(farm.received("lead"), expected(1..=30, 1));
    let released = |node: &str| (node.to_owned(), "released".to_owned());
    let mut states = farm.states();
    states.sort();
    assert_eq!(states, ["a", "b", "c"].map(released));
    assert_eq!(farm.parts()["releases"][0]["version"], "0.1.0");
    // Once more is the same, and so is everything that others see.
    let again = farm.publish(&["--expect", "frames=1-30"]).ok().json();
    assert_eq!(again["already"], true, "{again:#}");
    assert_eq!(farm.parts()["releases"].as_array().map(Vec::len), Some(1));
    farm.gc(&["--part-age", "0"]).ok();
    assert_eq!(
        farm.received("late-lead"),
        expected(1..=30, 1),
        "the release keeps its files without the parts"
    );
}

#[test]
fn frames_that_no_node_stored_are_refused_as_ranges_and_told_where_they_are_allowed_to_lack() {
    let farm = Farm::new();
    farm.render("a", 1..=10, 1);
    farm.render("b", 21..=29, 1);
    farm.push("a");
    farm.push("b");
    for more in [
        &["--expect", "frames=1-30"][..],
        &["--expect", "frames=1-30", "--dry-run"][..],
    ] {
        let error = farm.publish(more).fails(4, "parts::missing_frames");
        let message = error["message"].as_str().expect("text");
        assert!(message.contains("11-20, 30"), "{message}");
    }
    assert!(!farm.studio.path(&format!("ws/{MODULE}/frames.dvc")).exists());
    let done = farm
        .publish(&["--expect", "frames=1-30", "--allow-missing"])
        .ok()
        .json();
    let missing = serde_json::json!([{"sequence": "frames/f.#.exr", "frames": "11-20, 30", "count": 11}]);
    assert_eq!(done["parts"]["missing"], missing);
    assert_eq!(farm.received("lead"), expected((1..=10).chain(21..=29), 1));
}

#[test]
fn a_retried_frame_is_fine_with_the_same_bytes_and_a_conflict_that_names_both_nodes_with_others() {
    let farm = Farm::new();
    farm.render("a", 1..=4, 1);
    farm.render("b", 3..=6, 1);
    farm.push("a");
    farm.push("b");
    farm.publish(&["--expect", "frames=1-6", "--dry-run"]).ok();
    farm.render("c", 5..=5, 2);
    farm.push("c");
    let error = farm
        .publish(&["--expect", "frames=1-6"])
        .fails(5, "parts::conflict");
    let message = error["message"].as_str().expect("text");
    for part in ["`frames/f.0005.exr`", " b (part", " c (part"] {
        assert!(message.contains(part), "{message}");
    }
    let done = farm.publish(&["--expect", "frames=1-6", "--newest"]).ok().json();
    assert_eq!(done["parts"]["overruled"], 1, "{done:#}");
    let mut right = expected(1..=6, 1);
    right[4].1 = content(5, 2);
    assert_eq!(farm.received("lead"), right);
}

#[test]
fn a_node_that_is_killed_leaves_no_part_or_a_whole_one_and_another_takes_its_frames_over() {
    let farm = Farm::new();
    farm.render("a", 1..=60, 1);
    farm.render("b", 1..=60, 1);
    for _ in 0..3 {
        let mut child = start(farm.pushing("a", &[]));
        // Wherever it is by now.
        child.kill().expect("killed");
        child.wait().expect("gone");
        for part in farm.parts()["parts"].as_array().expect("parts") {
            assert_eq!(part["files"], 60);
        }
        assert_eq!(farm.parts()["damaged"], serde_json::json!([]));
    }
    farm.push("b");
    farm.publish(&["--expect", "frames=1-60"]).ok();
    assert_eq!(farm.received("lead"), expected(1..=60, 1));
}

#[test]
fn a_part_that_comes_after_the_release_is_told_and_kept_until_it_is_dropped() {
    let farm = Farm::new();
    farm.render("a", 1..=5, 1);
    farm.push("a");
    farm.publish(&["--expect", "frames=1-5"]).ok();
    farm.render("b", 6..=8, 1);
    let pushed = run_command(&mut farm.pushing("b", &["--json"])).ok();
    assert!(pushed.stderr().contains("parts::late"), "{}", pushed.stderr());
    let states = farm.states();
    assert_eq!(states[0], ("a".to_owned(), "released".to_owned()));
    assert_eq!(states[1], ("b".to_owned(), "late".to_owned()));
    // The release is what it was; with the late part it would be another one.
    let error = farm
        .publish(&["--expect", "frames=1-8"])
        .fails(5, "repo::release_exists");
    assert!(
        error["message"].as_str().is_some_and(|m| m.contains("0.1.0")),
        "{error:#}"
    );
    let kept = farm.gc(&[]).ok().json();
    assert_eq!(kept["parts"], 1, "{kept:#}");
    farm.studio.ws(&["bump", "Shot", "minor"]).ok();
    farm.publish(&["--expect", "frames=1-8"]).ok();
    assert_eq!(farm.received("lead"), expected(1..=8, 1));
    let remote = farm.remote();
    let drop = ["part", "drop", "--job", JOB, "--remote", &remote, "--json"];
    let planned = run_command(&mut farm.on("lister", &[&drop[..], &["--dry-run"]].concat()))
        .ok()
        .json();
    let done = run_command(&mut farm.on("lister", &drop)).ok().json();
    assert_eq!(planned["dropped"], done["dropped"]);
    assert_eq!(farm.parts()["parts"], serde_json::json!([]));
    farm.gc(&[]).ok();
    assert_eq!(farm.received("late-lead"), expected(1..=8, 1));
}

#[test]
fn a_release_that_cannot_be_noted_is_published_with_a_warning_and_noted_by_publishing_again() {
    let farm = Farm::new();
    farm.render("a", 1..=3, 1);
    farm.push("a");
    let folder = farm.studio.path(&format!("remote/v1/parts/{JOB}"));
    let Some(disk) = backlot_tests::disks::Disk::read_only(&folder) else {
        return;
    };
    let run = farm.publish(&["--expect", "frames=1-3"]).ok();
    assert!(run.stderr().contains("parts::not_noted"), "{}", run.stderr());
    assert_eq!(farm.received("lead"), expected(1..=3, 1));
    assert_eq!(farm.states(), [("a".to_owned(), "waiting".to_owned())]);
    drop(disk);
    // Its frames are kept by the part and by the release.
    assert_eq!(farm.gc(&[]).ok().json()["parts"], 1);
    let again = farm.publish(&["--expect", "frames=1-3"]).ok();
    assert!(!again.stderr().contains("parts::not_noted"), "{}", again.stderr());
    assert_eq!(again.json()["already"], true, "{:#}", again.json());
    assert_eq!(farm.states(), [("a".to_owned(), "released".to_owned())]);
    assert_eq!(farm.received("late-lead"), expected(1..=3, 1));
}

#[test]
fn two_who_publish_at_once_make_one_release() {
    let farm = Farm::new();
    farm.render("a", 1..=6, 1);
    farm.push("a");
    farm.studio.workspace("other");
    let project = farm.studio.snapshot("ws/outputs/shot");
    for (path, bytes) in project {
        farm.studio.write(&format!("other/outputs/shot/{path}"), &bytes);
    }
    let expect = ["--expect", "frames=1-6"];
    let both = ["ws", "other"].map(|workspace| start(farm.publishing(workspace, &expect)));
    let reports = both.map(end);
    assert!(reports.iter().all(|(done, _)| *done), "{reports:#?}");
    let made = reports
        .iter()
        .filter(|(_, report)| report["already"] == false)
        .count();
    assert_eq!(made, 1, "{reports:#?}");
    let wheels = farm.studio.snapshot("repos/review");
    let wheels = wheels.keys().filter(|path| path.ends_with(".whl")).count();
    assert_eq!(wheels, 1);
    assert_eq!(farm.received("lead"), expected(1..=6, 1));
    // With other frames it is a conflict.
    farm.render("b", 7..=7, 1);
    farm.push("b");
    let publish = run_command(&mut farm.publishing("other", &["--expect", "frames=1-7"]));
    publish.fails(5, "repo::release_exists");
}

#[test]
fn frames_that_are_about_to_be_collected_are_refused_and_pushing_them_again_rescues_them() {
    let farm = Farm::new();
    farm.render("a", 1..=5, 1);
    farm.push("a");
    // As a collector of an older version, which knows no parts, would do.
    let objects = farm.studio.snapshot("remote/v1/packs");
    let packs: Vec<&str> = objects
        .keys()
        .filter_map(|path| path.rsplit('/').next())
        .collect();
    let tomb = serde_json::json!({"format": 1, "reason": "unreferenced", "packs": packs, "recipes": []});
    let key = "remote/v1/tombs/0123456789abcdef0123456789abcdef.json";
    farm.studio.write(key, tomb.to_string().as_bytes());
    let error = farm
        .publish(&["--expect", "frames=1-5"])
        .fails(4, "parts::not_on_remote");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("f.0001.exr of a")),
        "{error:#}"
    );
    assert!(!farm.studio.path(&format!("ws/{MODULE}/frames.dvc")).exists());
    farm.push("a");
    farm.publish(&["--expect", "frames=1-5"]).ok();
    farm.gc(&[]).ok();
    assert_eq!(farm.received("lead"), expected(1..=5, 1));
}

#[test]
fn parts_of_another_folder_or_with_another_padding_are_refused() {
    let farm = Farm::new();
    farm.render("a", 1..=3, 1);
    farm.push("a");
    let remote = farm.remote();
    let push = |folder: &str, file: &str| {
        farm.studio
            .write(&format!("machines/b/job/{file}"), &content(4, 1));
        let arguments = [
            "part", "push", file, "--job", JOB, "--as", folder, "--remote", &remote, "--node", "b",
        ];
        run_command(&mut farm.on("b", &arguments)).ok();
    };
    let drop = || {
        let arguments = ["part", "drop", "--job", JOB, "--node", "b", "--remote", &remote];
        run_command(&mut farm.on("b", &arguments)).ok();
    };
    push("frame", "f.0004.exr");
    let error = farm
        .publish(&["--expect", "frames=1-4"])
        .fails(5, "parts::unexpected_folder");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("node b") && m.contains("`frame`")),
        "{error:#}"
    );
    drop();
    push("frames", "f.004.exr");
    let error = farm
        .publish(&["--expect", "frames=1-4"])
        .fails(5, "parts::mixed_padding");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("`frames/f.004.exr` of b")),
        "{error:#}"
    );
    drop();
    push("frames", "f.0005.exr");
    farm.publish(&["--expect", "frames=1-4", "--allow-missing"])
        .fails(5, "parts::unexpected_frames");
    farm.publish(&["--expect", "frames=one"])
        .fails(2, "parts::bad_expectation");
    assert!(!farm.studio.path(&format!("ws/{MODULE}/frames.dvc")).exists());
}

#[test]
fn frames_of_a_later_job_replace_those_of_the_release_and_the_others_stay() {
    let farm = Farm::new();
    farm.render("a", 1..=6, 1);
    farm.push("a");
    farm.publish(&["--expect", "frames=1-6"]).ok();
    let remote = farm.remote();
    run_command(&mut farm.on("a", &["part", "drop", "--job", JOB, "--remote", &remote])).ok();
    farm.render("b", 3..=4, 2);
    farm.push("b");
    let root = farm.studio.path("ws").display().to_string();
    run_command(&mut farm.on("ws", &["-w", &root, "bump", "Shot", "minor"])).ok();
    // Old frames in the workspace would be taken for new ones by the next publish.
    run_command(&mut farm.on("ws", &["-w", &root, "pull"])).ok();
    let error = farm
        .publish(&["--expect", "frames=3-4"])
        .fails(5, "parts::files_here");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("f.0003.exr, f.0004.exr")),
        "{error:#}"
    );
    let frames = farm.studio.path(&format!("ws/{MODULE}/frames"));
    #[expect(clippy::disallowed_methods, reason = "a person moves a folder away")]
    fs::rename(&frames, farm.studio.path("moved")).expect("moved");
    let done = farm.publish(&["--expect", "frames=3-4"]).ok().json();
    assert_eq!(
        (&done["changes"][0]["changed"], &done["changes"][0]["kept"]),
        (&2.into(), &4.into()),
        "{done:#}"
    );
    let mut right = expected(1..=6, 1);
    right[2..4].clone_from_slice(&expected(3..=4, 2));
    assert_eq!(farm.received("lead"), right);
    // Nothing counts as removed, though it was here once.
    let again = farm.publish(&["--expect", "frames=3-4"]).ok().json();
    assert_eq!(again["already"], true, "{again:#}");
    run_command(&mut farm.on("ws", &["-w", &root, "pull"])).ok();
    assert_eq!(snapshot(&frames).into_iter().collect::<Vec<_>>(), right);
}

#[test]
fn a_remote_is_named_by_place_variable_or_workspace_and_is_never_made_by_a_node() {
    let farm = Farm::new();
    farm.render("a", 1..=2, 1);
    let push = ["part", "push", "render", "--job", JOB, "--as", "frames", "--json"];
    run_command(&mut farm.on("a", &push)).fails(3, "parts::no_remote");
    let empty = farm.studio.path("unmounted").display().to_string();
    fs::create_dir(&empty).expect("made");
    let to_empty = [&push[..], &["--remote", &empty]].concat();
    run_command(&mut farm.on("a", &to_empty)).fails(6, "parts::remote_not_there");
    assert_eq!(fs::read_dir(&empty).expect("listed").count(), 0);
    run_command(farm.on("a", &push).env("BACKLOT_PART_REMOTE", farm.remote())).ok();
    let url = format!("file://{}", farm.remote());
    run_command(&mut farm.on("a", &[&push[..], &["--remote", &url]].concat())).ok();
    run_command(&mut farm.on("a", &[&push[..], &["--remote", "../../../remote"]].concat())).ok();
    let root = farm.studio.path("ws").display().to_string();
    let in_workspace = [&push[..], &["-w", &root]].concat();
    run_command(&mut farm.on("a", &in_workspace)).ok();
    run_command(&mut farm.on("a", &[&in_workspace[..], &["--remote", "main"]].concat())).ok();
    let unknown = [&in_workspace[..], &["--remote", "mian"]].concat();
    run_command(&mut farm.on("a", &unknown)).fails(4, "config::unknown_name");
    assert_eq!(farm.states().len(), 5);
    let planned = run_command(&mut farm.on("a", &[&in_workspace[..], &["--dry-run"]].concat()))
        .ok()
        .json();
    assert_eq!(
        (&planned["files"], &planned["bytes"]),
        (&2.into(), &40_000.into()),
        "{planned:#}"
    );
    assert_eq!(farm.states().len(), 5);
}

#[test]
fn what_cannot_be_a_part_is_refused_before_anything_is_sent() {
    let farm = Farm::new();
    farm.render("a", 1..=2, 1);
    let remote = farm.remote();
    let push = |files: &[&str], job: &str, folder: &str| {
        let more = ["--job", job, "--as", folder, "--remote", &remote, "--json"];
        run_command(&mut farm.on("a", &[&["part", "push"], files, &more].concat()))
    };
    push(&["render"], "../x", "frames").fails(2, "store::bad_job_id");
    push(&["render"], JOB, "../frames").fails(2, "parts::bad_folder");
    push(&["nothing"], JOB, "frames").fails(4, "dvc::no_such_path");
    fs::create_dir_all(farm.studio.path("machines/a/job/empty")).expect("made");
    push(&["empty"], JOB, "frames").fails(2, "parts::no_files");
    farm.studio.write("machines/a/job/other/f.0001.exr", b"other");
    push(&["render", "other"], JOB, "frames").fails(2, "parts::same_name");
    assert_eq!(farm.studio.snapshot("remote/v1").len(), 0);
    farm.publish(&["--expect", "frames=1"]).fails(4, "parts::none");
    farm.studio
        .write(&format!("remote/v1/parts/{JOB}/x.part"), b"hostile");
    farm.publish(&["--expect", "frames=1"])
        .fails(7, "store::damaged_part");
    farm.gc(&[]).fails(7, "store::damaged_part");
    let dropped = ["part", "drop", "--job", JOB, "--remote", &remote];
    run_command(&mut farm.on("a", &dropped)).ok();
    farm.gc(&[]).ok();
}

#[test]
fn a_remote_in_the_layout_of_dvc_has_no_parts_and_says_so() {
    let farm = Farm {
        studio: Studio::with_dvc_layout(),
    };
    farm.studio.ws(&["new", "Shot"]).ok();
    farm.render("a", 1..=2, 1);
    run_command(&mut farm.pushing("a", &["--json"])).fails(3, "store::no_parts");
    farm.publish(&["--expect", "frames=1-2"])
        .fails(3, "store::no_parts");
    farm.studio
        .ws(&["part", "list", "--json"])
        .fails(3, "store::no_parts");
}
