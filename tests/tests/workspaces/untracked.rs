//! Files in a wheel: code and small texts, never content that was not tracked by mistake, and no files from outside the
//! asset.

use std::os::unix::fs::symlink;
use std::process::Command;

use backlot_tests::Studio;
use fs_err as fs;

const MODULE: &str = "ws/outputs/table/src/table";

fn with_table() -> Studio {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio
}

#[test]
fn frames_that_nobody_tracked_are_shown_and_never_published() {
    let studio = with_table();
    studio.frames(&format!("{MODULE}/frames"), 5, 1000, 1);
    let status = studio.ws(&["status", "--json"]).ok().json();
    let row = &status["outputs"][0]["untracked"][0];
    assert_eq!(row["path"], "outputs/table/src/table/frames", "{status:#}");
    assert_eq!((&row["files"], &row["refused"]), (&5.into(), &true.into()));
    let shown = studio.ws(&["status"]).ok().stdout();
    assert!(
        shown.contains("untracked: outputs/table/src/table/frames"),
        "{shown}"
    );
    for command in [
        &["build", "Table", "--json"][..],
        &["publish", "Table", "--json"],
        &["publish", "Table", "--dry-run", "--json"],
    ] {
        let error = studio.ws(command).fails(2, "publish::untracked_files");
        let help = error["help"].as_str().expect("help");
        assert!(
            help.contains("backlot add outputs/table/src/table/frames"),
            "{help}"
        );
    }
    // The way out works.
    studio.ws(&["add", "ws/outputs/table/src/table/frames"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(status["outputs"][0]["untracked"], serde_json::json!([]));
}

#[test]
fn content_is_refused_however_small_it_is_and_icons_and_code_are_not() {
    for name in [
        "plate.jpg",
        "f.0001.png",
        "f.exr.0001",
        "f.exr.gz",
        "scan.heic",
        "raw.dng",
        "set.usda",
        "set.gltf",
        "clip.mpg",
        "voice.m4a",
        "scene.ma",
        "asset.uasset",
        "deep/er/tex.dds",
    ] {
        let studio = with_table();
        studio.write(&format!("{MODULE}/{name}"), b"abc");
        let error = studio
            .ws(&["publish", "Table", "--dry-run", "--json"])
            .fails(2, "publish::untracked_files");
        let help = error["help"].as_str().expect("help");
        // What it says is what works.
        let path = help
            .split('`')
            .nth(1)
            .and_then(|command| command.strip_prefix("backlot add "));
        studio
            .ws(&["add", &format!("ws/{}", path.expect("a command"))])
            .ok();
        studio.ws(&["publish", "Table", "--dry-run"]).ok();
    }
    let studio = with_table();
    for number in 0..20 {
        studio.write(&format!("{MODULE}/looks/look{number}.png"), &vec![7; 40_000]);
    }
    studio
        .ws(&["publish", "Table", "--dry-run", "--json"])
        .fails(2, "publish::untracked_files");
    let studio = with_table();
    for name in [
        "icons/add.png",
        "icons/icon_512.png",
        "tool.js",
        "LICENSE",
        "shader.glsl",
    ] {
        studio.write(&format!("{MODULE}/{name}"), b"text");
    }
    studio.ws(&["publish", "Table", "--dry-run"]).ok();
    // Something of no known kind is shown.
    studio.write(&format!("{MODULE}/model"), b"\0binary");
    let status = studio.ws(&["status", "--json"]).ok().json();
    let rows = &status["outputs"][0]["untracked"];
    assert_eq!(rows[0]["path"], "outputs/table/src/table/model", "{status:#}");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{status:#}");
}

#[test]
fn a_large_file_is_refused_before_it_is_read_and_the_limits_can_be_set() {
    let studio = with_table();
    let sparse = fs::File::create(studio.path(&format!("{MODULE}/data.bin"))).expect("made");
    sparse.set_len(600 << 20).expect("sparse");
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(2, "publish::untracked_files");
    sparse.set_len(2 << 20).expect("smaller");
    studio
        .ws(&["build", "Table", "--json"])
        .fails(2, "publish::untracked_files");
    let config = studio.path("ws/backlot.toml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, format!("{text}\n[publish]\nlargest-file = 4194304\n")).expect("written");
    studio.ws(&["build", "Table"]).ok();
    // Many small files are too much together.
    for number in 0..11 {
        studio.write(&format!("{MODULE}/tables/{number}.json"), &vec![b' '; 900 << 10]);
    }
    studio
        .ws(&["build", "Table", "--json"])
        .fails(2, "publish::untracked_files");
    fs::write(&config, format!("{text}\n[publish]\nlargest-file = \"much\"\n")).expect("written");
    studio.ws(&["status", "--json"]).fails(3, "config::invalid");
}

#[test]
fn only_files_of_the_asset_are_packaged_and_a_pipe_does_not_hang_the_build() {
    let studio = with_table();
    studio.write("elsewhere/secret.txt", b"secret");
    let module = studio.path(MODULE);
    symlink(studio.path("elsewhere/secret.txt"), module.join("leaves.txt")).expect("linked");
    symlink(studio.path("elsewhere"), module.join("folder")).expect("linked");
    symlink("nowhere.txt", module.join("dangling.txt")).expect("linked");
    symlink("itself.txt", module.join("itself.txt")).expect("linked");
    symlink("__init__.py", module.join("stays.py")).expect("linked");
    fs::create_dir(module.join("sub")).expect("made");
    symlink("..", module.join("sub/up")).expect("linked");
    for name in [".DS_Store", "Thumbs.db", "desktop.ini", "._stays.py"] {
        fs::write(module.join(name), b"x").expect("written");
    }
    let made = Command::new("mkfifo").arg(module.join("pipe.txt")).status();
    assert!(made.expect("mkfifo runs").success());
    let built = studio.ws(&["build", "Table"]).ok();
    let warned = built.stderr();
    for (name, reason) in [
        ("leaves.txt", "points outside the asset"),
        ("folder", "points outside the asset"),
        ("dangling.txt", "is dangling"),
        ("itself.txt", "is dangling"),
        ("sub/up", "a folder that contains it"),
        ("pipe.txt", "not a file or folder"),
    ] {
        assert!(
            warned
                .lines()
                .any(|line| line.contains(name) && line.contains(reason)),
            "{name}: {warned}"
        );
    }
    let wheel = fs::read(studio.path("ws/build/table/table-0.1.0-py3-none-any.whl")).expect("built");
    let holds = |name: &str| wheel.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(holds("table/stays.py"));
    for name in [
        "leaves.txt",
        "table/folder",
        "dangling",
        "itself",
        "sub/up",
        "pipe.txt",
        ".DS_Store",
        "Thumbs",
        "desktop.ini",
        "._stays",
    ] {
        assert!(!holds(name), "{name}");
    }
}

#[test]
fn a_name_that_readers_refuse_is_refused_when_it_is_built() {
    let studio = with_table();
    studio.write(&format!("{MODULE}/two\nlines.txt"), b"x");
    let error = studio
        .ws(&["build", "Table", "--json"])
        .fails(2, "project::invalid");
    assert!(
        error["message"].as_str().expect("text").contains("line break"),
        "{error:#}"
    );
    studio
        .ws(&["publish", "Table", "--json"])
        .fails(2, "project::invalid");
    assert!(!studio.path("repos/review/packages/table").exists());
}

#[test]
fn a_requirement_is_published_as_it_was_written_or_refused() {
    let studio = with_table();
    for marker in [
        "python_version in '3.11,3.12'",
        "sys_platform > 'a'",
        "os_name == sys_platform",
    ] {
        let requirement = format!("Lamp ; {marker}");
        let error = studio.ws(&["input", "add", "Table", &requirement, "--json"]);
        error.fails(2, "requirement::invalid");
    }
    let project = studio.path("ws/outputs/table/pyproject.toml");
    let text = fs::read_to_string(&project).expect("read");
    let with = |requirement: &str| {
        let list = format!("dependencies = [\"{requirement}\"]");
        fs::write(&project, text.replace("dependencies = []", &list)).expect("written");
    };
    with("foo ; python_version in '3.11,3.12'");
    studio
        .ws(&["build", "Table", "--json"])
        .fails(2, "project::invalid");
    studio.ws(&["status"]).ok();
    with("Foo >= 1.0 ; python_version<'4' and platform_machine in 'x86_64 arm64'");
    studio.ws(&["build", "Table"]).ok();
    let unzip = Command::new("python3")
        .args(["-c", "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).read('table-0.1.0.dist-info/METADATA').decode())"])
        .arg(studio.path("ws/build/table/table-0.1.0-py3-none-any.whl"))
        .output()
        .expect("python runs");
    let metadata = String::from_utf8_lossy(&unzip.stdout).into_owned();
    let line = "Requires-Dist: foo>=1.0 ; python_version<'4' and platform_machine in 'x86_64 arm64'";
    assert!(metadata.lines().any(|found| found == line), "{metadata}");
}

#[test]
fn an_add_from_outside_that_was_killed_is_finished_by_running_it_again() {
    let studio = with_table();
    studio.frames("renders/turn", 40, 200_000, 1);
    let add = ["-w", "ws", "add", "renders/turn", "--asset", "Table"];
    let undone = || {
        fs::remove_dir_all(studio.path(&format!("{MODULE}/turn"))).expect("removed");
        fs::remove_file(studio.path(&format!("{MODULE}/turn.dvc"))).expect("removed");
        fs::remove_dir_all(studio.path("cache")).ok();
    };
    // The kills spread over what an unkilled run takes on this machine.
    let start = std::time::Instant::now();
    studio.run(&add).ok();
    let whole = start.elapsed();
    undone();
    let (mut stopped, mut after_copy) = (0, 0);
    for part in 0..40 {
        let mut child = studio.start(&add);
        std::thread::sleep(whole * part / 40);
        child.kill().expect("killed");
        if !child.wait().expect("waited").success() {
            stopped += 1;
            after_copy += u32::from(studio.path(&format!("{MODULE}/turn")).exists());
        }
        if studio.path(&format!("{MODULE}/turn.dvc")).exists() {
            break;
        }
        studio.run(&add).ok();
        assert_eq!(
            studio.snapshot("renders/turn"),
            studio.snapshot(&format!("{MODULE}/turn"))
        );
        undone();
    }
    assert!(
        stopped > 0 && after_copy > 0,
        "{stopped} stopped, {after_copy} of them after copying"
    );
    // Whether the last kill came after the end of its run or not, from here on the folder is tracked.
    if !studio.path(&format!("{MODULE}/turn.dvc")).exists() {
        studio.run(&add).ok();
    }
    // What lies there for another reason is not taken for it.
    studio.write(&format!("{MODULE}/other/x.txt"), b"x");
    studio.write("renders/other/x.txt", b"y");
    studio
        .ws(&["add", "renders/other", "--asset", "Table", "--json"])
        .fails(5, "output::target_exists");
    // The same files again, as by the retry of a farm job, are no change; others update what is there.
    let add = ["add", "renders/turn", "--asset", "Table", "--json"];
    for mode in [&["--dry-run"][..], &[]] {
        let again = studio.ws(&[&add[..], mode].concat()).ok().json();
        assert_eq!(again["outs"][0]["changed"], 0, "{again:#}");
    }
    studio.write("renders/turn/f.0001.exr", b"another");
    let updated = studio.ws(&add).ok().json();
    assert_eq!(updated["outs"][0]["changed"], 1, "{updated:#}");
    assert_eq!(
        studio.snapshot("renders/turn"),
        studio.snapshot(&format!("{MODULE}/turn"))
    );
}
