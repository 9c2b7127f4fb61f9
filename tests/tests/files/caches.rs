//! Shared caches: damage is repaired, edits do not spread through hard links, and many processes can use one at the same time.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use backlot_tests::{Studio, snapshot};
use fs_err as fs;

const FRAMES: &str = "outputs/table/src/table/frames";

/// A release `Table` with frames, and a workspace `user` that has it as an input, without its frames.
fn published(count: usize) -> Studio {
    let studio = Studio::new();
    studio.asset("Table", count, 3000);
    studio.ws(&["publish", "Table"]).ok();
    user(&studio, "user");
    studio
}

fn user(studio: &Studio, name: &str) {
    studio.workspace(name);
    studio.run(&["-w", name, "install", "Table"]).ok();
}

/// The frames of `Table` in the inputs of a workspace.
fn inputs(studio: &Studio, name: &str) -> PathBuf {
    let files = snapshot(&studio.path(&format!("{name}/inputs")));
    let info = files
        .keys()
        .find(|path| path.ends_with("table/frames.dvc"))
        .expect("a pointer");
    studio
        .path(&format!("{name}/inputs"))
        .join(info.trim_end_matches(".dvc"))
}

/// Let a workspace place tracked files by these links.
fn link_by(studio: &Studio, name: &str, links: &str) {
    let settings = format!("{name}/backlot.toml");
    let text = fs::read_to_string(studio.path(&settings)).expect("there");
    let linked = format!("[workspace]\nlinks = [\"{links}\"]");
    studio.write(&settings, text.replacen("[workspace]", &linked, 1).as_bytes());
}

#[track_caller]
fn assert_right(studio: &Studio, name: &str) {
    let ours = studio.snapshot(&format!("ws/{FRAMES}"));
    assert!(snapshot(&inputs(studio, name)) == ours, "{name}");
}

fn objects(studio: &Studio) -> Vec<PathBuf> {
    let root = studio.path("cache/files/md5");
    snapshot(&root).into_keys().map(|path| root.join(path)).collect()
}

/// Overwrite a file and keep its mode.
fn overwrite(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mode = fs::metadata(path).expect("there").permissions();
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::remove_file(path).expect("removed");
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, mode).expect("set");
}

type Damage = fn(&mut Vec<u8>);
const DAMAGES: [Damage; 3] = [|bytes| bytes[1] ^= 1, |bytes| bytes.truncate(7), Vec::clear];

#[test]
fn a_pull_mends_every_damaged_object_of_the_cache_and_names_it() {
    for damage in DAMAGES {
        for force in [false, true] {
            let studio = published(4);
            for path in objects(&studio) {
                overwrite(&path, damage);
            }
            let pull: &[&str] = if force { &["pull", "--force"] } else { &["pull"] };
            let run = studio.run(&[&["-w", "user"], pull].concat()).ok();
            assert_right(&studio, "user");
            assert!(run.stderr().contains("quarantine"), "{}", run.stderr());
            assert!(studio.wrong_objects("cache").is_empty());
            studio.run(&["-w", "user", "verify"]).ok();
        }
    }
}

#[test]
fn a_repair_mends_the_cache_too_and_an_add_does_from_the_right_bytes() {
    let studio = published(4);
    for path in objects(&studio) {
        overwrite(&path, DAMAGES[0]);
    }
    studio.ws(&["repair"]).ok();
    assert!(studio.wrong_objects("cache").is_empty());
    for path in objects(&studio) {
        overwrite(&path, DAMAGES[1]);
    }
    studio.ws(&["add", &format!("ws/{FRAMES}")]).ok();
    assert!(studio.wrong_objects("cache").is_empty());
}

#[test]
fn an_edit_of_an_input_does_not_reach_the_cache_or_another_workspace() {
    let studio = published(4);
    user(&studio, "other");
    for name in ["user", "other"] {
        studio.run(&["-w", name, "pull"]).ok();
    }
    edit(&inputs(&studio, "user").join("f.0001.exr"), |bytes| bytes[0] ^= 1);
    assert_right(&studio, "other");
    assert!(studio.wrong_objects("cache").is_empty());
    studio.run(&["-w", "other", "pull"]).ok();
    assert_right(&studio, "other");
}

#[test]
fn a_damaged_unpacked_wheel_is_unpacked_again() {
    let damages: [(&str, Damage); 4] = [
        ("RECORD", |bytes| bytes.truncate(60)),
        ("RECORD", Vec::clear),
        ("__init__.py", |bytes| bytes.extend(b"import os\n")),
        ("METADATA", |bytes| bytes.truncate(9)),
    ];
    for (name, damage) in damages {
        let studio = published(1);
        let wheels = studio.path("cache/wheels");
        let files = snapshot(&wheels);
        let path = files
            .keys()
            .find(|path| path.ends_with(name))
            .expect("in the wheel");
        edit(&wheels.join(path), damage);
        studio.workspace("next");
        studio.run(&["-w", "next", "install", "Table"]).ok();
        studio.run(&["-w", "next", "verify", "--inputs"]).ok();
        assert_eq!(snapshot(&wheels)[path], files[path], "{name}");
        // The other workspace has a link to what was edited in place.
        studio.run(&["-w", "user", "install", "--repair"]).ok();
        studio.run(&["-w", "user", "verify", "--inputs"]).ok();
    }
}

/// Bits of a file rot: nothing about it changes but its bytes.
fn rot(path: &Path) {
    let modified = fs::metadata(path)
        .expect("there")
        .modified()
        .expect("a disk with times");
    edit(path, |bytes| bytes[1] ^= 1);
    let file = fs::File::open(path).expect("opened");
    file.file().set_modified(modified).expect("set");
}

#[test]
fn what_verify_found_damaged_in_the_cache_is_mended_by_the_next_pull_in_all_names_of_it() {
    for links in ["copy", "hardlink"] {
        let studio = published(4);
        user(&studio, "other");
        for name in ["user", "other"] {
            link_by(&studio, name, links);
            studio.run(&["-w", name, "pull"]).ok();
        }
        let is_frame = |path: &&PathBuf| path.extension().is_none();
        for path in objects(&studio).iter().filter(is_frame) {
            rot(path);
        }
        // Finding it changes nothing, so it is found again.
        for _ in 0..2 {
            let verified = studio.run(&["-w", "user", "verify", "--cache"]);
            assert_eq!(verified.output.status.code(), Some(7), "{links}");
        }
        let status = studio.run(&["-w", "user", "status", "--json"]).ok().json();
        let state = &status["inputs"][0]["outs"][0]["state"];
        assert!(state.is_string() && state != "unchanged", "{links}: {status:#}");
        for name in ["user", "other"] {
            studio.run(&["-w", name, "pull"]).ok();
            assert_right(&studio, name);
            studio.run(&["-w", name, "verify"]).ok();
        }
        assert!(studio.wrong_objects("cache").is_empty(), "{links}");
    }
}

#[test]
fn a_damaged_unpacked_wheel_that_nothing_uses_leaves_the_cache_by_a_repair() {
    let studio = published(1);
    studio.run(&["-w", "user", "uninstall", "Table"]).ok();
    let wheels = studio.path("cache/wheels");
    let metadata = snapshot(&wheels)
        .into_keys()
        .find(|path| path.ends_with("METADATA"))
        .expect("in the wheel");
    rot(&wheels.join(&metadata));
    let verify = ["-w", "user", "verify", "--cache", "--json"];
    let verified = studio.run(&verify);
    assert_eq!(verified.output.status.code(), Some(7), "{}", verified.stdout());
    assert!(
        verified.stderr().contains("install --repair"),
        "{}",
        verified.stderr()
    );
    studio.run(&["-w", "user", "install", "--repair"]).ok();
    assert!(!wheels.join(&metadata).exists());
    studio.run(&verify).ok();
    studio.run(&["-w", "user", "install", "Table"]).ok();
    studio.run(&["-w", "user", "verify", "--inputs"]).ok();
}

/// Change a file in place, through all its names.
fn edit(path: &Path, change: Damage) {
    let mode = fs::metadata(path).expect("there").permissions();
    let mut writable = mode.clone();
    #[expect(clippy::permissions_set_readonly_false, reason = "a test of what people do")]
    writable.set_readonly(false);
    fs::set_permissions(path, writable).expect("set");
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, mode).expect("set");
}

#[test]
fn a_damaged_pyvenv_cfg_is_mended_by_a_repair() {
    for damage in [DAMAGES[1], DAMAGES[2]] {
        let studio = published(1);
        let config = studio.path("user/inputs/pyvenv.cfg");
        assert!(config.exists(), "the tests need a Python for environments");
        overwrite(&config, damage);
        studio.run(&["-w", "user", "install", "--repair"]).ok();
        assert!(
            fs::read_to_string(&config)
                .expect("read")
                .contains("version_info")
        );
        studio.run(&["-w", "user", "pull"]).ok();
        assert_right(&studio, "user");
    }
}

#[test]
fn processes_that_pull_into_one_cache_at_once_all_succeed() {
    let studio = published(20);
    for n in 0..6 {
        user(&studio, &format!("user{n}"));
    }
    for _ in 0..3 {
        fs::remove_dir_all(studio.path("cache/files")).expect("removed");
        let pulls: Vec<_> = (0..6)
            .map(|n| studio.start(&["-w", &format!("user{n}"), "pull", "--json"]))
            .collect();
        for pull in pulls {
            let output = pull.wait_with_output().expect("it ends");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{error}");
        }
        for n in 0..6 {
            let name = format!("user{n}");
            assert_right(&studio, &name);
            fs::remove_dir_all(inputs(&studio, &name)).expect("removed");
        }
        assert!(studio.wrong_objects("cache").is_empty());
    }
}

/// Zeros in place of the bytes of a file, which is the same otherwise: as a power cut may leave it.
fn zeroed(path: &Path) {
    let found = fs::metadata(path).expect("there");
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("set");
    let mut file = fs::OpenOptions::new().write(true).open(path).expect("opened");
    let zeros = vec![0; usize::try_from(found.len()).expect("small")];
    file.write_all(&zeros).expect("written");
    file.file()
        .set_modified(found.modified().expect("a time"))
        .expect("set");
    fs::set_permissions(path, found.permissions()).expect("set");
}

#[test]
fn damage_that_a_push_finds_is_set_aside_so_that_an_add_mends_it() {
    let studio = Studio::new();
    studio.asset("Table", 3, 20_000);
    for object in objects(&studio) {
        if object.extension().is_none() {
            zeroed(&object);
        }
    }
    studio.ws(&["push", "--json"]).fails(7, "store::corrupt_object");
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["verify"]).ok();
}

#[test]
fn what_killed_commands_left_is_swept_wherever_we_make_temporaries() {
    let studio = published(2);
    user(&studio, "other");
    let folders = [
        "cache",
        "cache/wheels",
        "cache/chunks",
        "cache/tmp",
        "cache/claims",
        "cache/quarantine",
        "ws",
        "ws/.backlot",
        "ws/.dvc",
        "ws/build",
        "ws/outputs/table/src",
        "ws/inputs",
    ];
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| studio.path(folder)).collect();
    for remote in fs::read_dir(studio.path("cache/remotes")).expect("remotes") {
        let remote = remote.expect("an entry").path();
        folders.extend(["recipes", "index"].map(|kind| remote.join(kind)));
    }
    for folder in &folders {
        fs::create_dir_all(folder).expect("made");
        let path = folder.join(".tmp-01j00000000000000000000000");
        fs::write(&path, b"left").expect("written");
        let mut touch = std::process::Command::new("touch");
        touch.args(["-d", "2 days ago"]).arg(&path);
        assert!(touch.status().expect("started").success());
    }
    for mark in ["cache/swept", "ws/.backlot/swept"] {
        fs::remove_file(studio.path(mark)).ok();
    }
    studio.ws(&["install"]).ok();
    studio.ws(&["push"]).ok();
    for folder in folders {
        assert!(
            !folder.join(".tmp-01j00000000000000000000000").exists(),
            "{}",
            folder.display()
        );
    }
}

#[test]
fn a_frame_that_rotted_in_inputs_is_found_by_verify_and_placed_anew() {
    for links in ["copy", "hardlink"] {
        let studio = published(3);
        link_by(&studio, "user", links);
        let at_user = |arguments: &[&str]| studio.run(&[&["-w", "user"], arguments].concat());
        at_user(&["pull"]).ok();
        let sound = at_user(&["verify", "--json"]).ok().json();
        assert_eq!(sound["tracked"], serde_json::json!([]), "{sound:#}");
        let before = snapshot(&inputs(&studio, "user"));
        let name = before
            .keys()
            .find(|name| name.ends_with(".exr"))
            .expect("a frame");
        let frame = inputs(&studio, "user").join(name);
        rot(&frame);
        at_user(&["status"]).ok();
        let found = at_user(&["verify", "--inputs"]);
        assert_eq!(found.output.status.code(), Some(7), "{links}");
        assert!(found.stdout().contains(name.as_str()), "{}", found.stdout());
        let told = found.stderr();
        assert!(told.contains("`backlot pull --force`"), "{told}");
        // Of a link it is the object in the cache that is told.
        let whole = at_user(&["verify"]);
        assert_eq!(whole.output.status.code(), Some(7), "{links}");
        at_user(&["pull", "--force"]).ok();
        assert!(snapshot(&inputs(&studio, "user")) == before, "{links}");
        at_user(&["verify"]).ok();
    }
}
