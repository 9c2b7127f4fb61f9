//! Case-insensitive disks: NTFS through FUSE, like the defaults of Windows and macOS.
//!
//! Needs root and ntfs-3g; otherwise the test reports why it is skipped. Linux has no disk that normalises names: for that,
//! the same check uses a simulated disk in `backlot-dvc/src/tests/modes.rs`.

#![expect(clippy::print_stderr, reason = "what is skipped is said")]

use std::path::PathBuf;
use std::process::Command;

use backlot_tests::{Studio, run_command};
use fs_err as fs;

/// A mounted image, unmounted when dropped.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

/// Mount a folding disk at `disk` of the studio, if that can be done here.
fn mount(studio: &Studio) -> Option<Mount> {
    let (image, place) = (studio.path("image"), studio.path("disk"));
    fs::File::create(&image)
        .expect("made")
        .set_len(64 << 20)
        .expect("long");
    fs::create_dir(&place).expect("made");
    let made = Command::new("mkntfs")
        .args(["-F", "-q", "-Q"])
        .arg(&image)
        .output();
    let mounted = Command::new("lowntfs-3g")
        .args(["-o", "ignore_case,umask=000"])
        .arg(&image)
        .arg(&place)
        .output();
    for (what, done) in [("mkntfs", made), ("lowntfs-3g", mounted)] {
        match done {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                eprintln!("skipped: {what} cannot be used here: {said}");
                return None;
            }
            Err(error) => {
                eprintln!("skipped: no {what}: {error}");
                return None;
            }
        }
    }
    let mount = Mount(place);
    fs::write(mount.0.join("Try"), b"").expect("written");
    assert!(mount.0.join("try").exists(), "the disk folds names");
    fs::remove_file(mount.0.join("Try")).expect("removed");
    Some(mount)
}

#[test]
fn twins_are_told_at_add_and_a_pull_onto_a_disk_that_takes_them_for_one_places_nothing() {
    let studio = Studio::new();
    let Some(mount) = mount(&studio) else { return };
    let frames = "ws/outputs/table/src/table/frames";
    studio.ws(&["new", "Table"]).ok();
    studio.write(&format!("{frames}/Frame.exr"), b"upper");
    studio.write(&format!("{frames}/frame.exr"), b"lower");
    studio.write(&format!("{frames}/other.exr"), b"other");
    let added = studio.ws(&["add", frames]).ok();
    for name in ["Frame.exr", "frame.exr"] {
        assert!(added.stderr().contains(name), "{}", added.stderr());
    }
    studio.ws(&["publish", "Table"]).ok();
    studio.asset("Chair", 3, 2000);
    studio.ws(&["publish", "Chair"]).ok();
    // A workspace on the disk: what has no twins is pulled.
    let on_disk =
        |arguments: &[&str]| run_command(&mut studio.command(&[&["-w", "disk/other"], arguments].concat()));
    studio.run(&["init", "disk/other"]).ok();
    on_disk(&["repo", "add", "review", "repos/review"]).ok();
    on_disk(&["remote", "add", "main", "remote"]).ok();
    on_disk(&["install", "Chair"]).ok();
    on_disk(&["pull"]).ok();
    let files = studio.snapshot("disk/other/inputs");
    assert_eq!(
        files
            .keys()
            .filter(|path| path.contains("/chair/frames/"))
            .count(),
        3
    );
    on_disk(&["install", "Table"]).ok();
    let run = on_disk(&["pull", "--json"]);
    let problem = &run.json()["problems"][0];
    assert_eq!(
        (&problem["asset"], &problem["code"]),
        (&"Table".into(), &"dvc::one_name".into())
    );
    assert_eq!(
        run.output.status.code(),
        Some(5),
        "the other asset was pulled, and this one not"
    );
    let error = on_disk(&["pull", "Table", "--json"]).fails(5, "dvc::one_name");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("Frame.exr") && message.contains("frame.exr"),
        "{message}"
    );
    let files = studio.snapshot("disk/other/inputs");
    assert!(
        !files.keys().any(|path| path.contains("/table/frames/")),
        "nothing of it is placed"
    );
    // On the disk it came from both are there, with their own bytes.
    studio.workspace("reader");
    studio.run(&["-w", "reader", "install", "Table"]).ok();
    studio.run(&["-w", "reader", "pull"]).ok();
    let files = studio.snapshot("reader/inputs");
    let bytes_of = |name: &str| {
        let found = files.iter().find(|(path, _)| path.ends_with(name));
        found.map(|(_, bytes)| bytes.clone())
    };
    assert_eq!(bytes_of("/frames/Frame.exr"), Some(b"upper".to_vec()));
    assert_eq!(bytes_of("/frames/frame.exr"), Some(b"lower".to_vec()));
    studio.leaves_harm();
    drop(mount);
}

#[test]
fn names_of_two_packages_in_one_folder_that_the_disk_takes_for_one_are_refused() {
    let studio = Studio::new();
    let Some(mount) = mount(&studio) else { return };
    for (name, file) in [("Table", "Frame.exr"), ("Chair", "frame.exr")] {
        studio.ws(&["new", name]).ok();
        let module = name.to_lowercase();
        let folder = format!("ws/outputs/{module}/src/shared");
        // Both have files in a folder of modules that has no `__init__.py` (PEP 420).
        studio.write(&format!("{folder}/{module}.py"), b"");
        let project = studio.path(&format!("ws/outputs/{module}/pyproject.toml"));
        let text = fs::read_to_string(&project).expect("a project");
        let packages =
            format!("[tool.hatch.build.targets.wheel]\npackages = [\"src/{module}\", \"src/shared\"]\n");
        fs::write(&project, format!("{text}\n{packages}")).expect("written");
        // As another tool would track it: `add` takes files in the asset's own module only.
        let own = format!("ws/outputs/{module}/src/{module}/{file}");
        studio.write(&own, name.as_bytes());
        studio.ws(&["add", &own]).ok();
        let pointer = fs::read(studio.path(&format!("{own}.dvc"))).expect("a pointer");
        studio.write(&format!("{folder}/{module}.dvc"), &pointer);
        studio.ws(&["publish", name]).ok();
    }
    let on_disk =
        |arguments: &[&str]| run_command(&mut studio.command(&[&["-w", "disk/other"], arguments].concat()));
    studio.run(&["init", "disk/other"]).ok();
    on_disk(&["repo", "add", "review", "repos/review"]).ok();
    on_disk(&["remote", "add", "main", "remote"]).ok();
    on_disk(&["install", "Table", "Chair"]).ok();
    let error = on_disk(&["pull", "--json"]).fails(5, "dvc::one_name");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("Frame.exr") && message.contains("frame.exr"),
        "{message}"
    );
    studio.leaves_harm();
    drop(mount);
}
