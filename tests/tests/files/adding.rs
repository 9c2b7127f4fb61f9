//! Adding paths from outside: a refused add leaves nothing behind, an interrupted one continues with the current source; and
//! adding in every module folder.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use backlot_tests::Studio;
use fs_err as fs;

const MODULE: &str = "ws/outputs/table/src/table";

fn with_table() -> Studio {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio
}

#[test]
fn an_add_that_was_stopped_goes_on_with_the_source_as_it_is_and_not_over_what_somebody_changed() {
    let studio = with_table();
    studio.frames("big", 6, 1_000, 1);
    let (copy, pointer) = (format!("{MODULE}/big"), studio.path(&format!("{MODULE}/big.dvc")));
    let add = ["add", "big", "--asset", "Table", "--json"];
    studio.ws(&add).ok();
    // As a kill leaves it: all of it is copied, and no pointer is there yet.
    let stop = || fs::remove_file(&pointer).expect("removed");
    stop();
    let again = studio.ws(&add).ok().json();
    assert_eq!(again["outs"][0]["files"], 6, "{again:#}");

    stop();
    studio.write("big/f.0001.exr", b"rendered again");
    studio.write("big/f.0006.exr", b"one more");
    fs::remove_file(studio.path("big/f.0002.exr")).expect("removed");
    let again = studio.ws(&add).ok().json();
    assert_eq!(again["outs"][0]["files"], 6, "{again:#}");
    assert_eq!(studio.snapshot(&copy), studio.snapshot("big"));

    // A copy that somebody worked in is not taken for the source, and not copied over.
    for changes_source in [false, true] {
        if pointer.exists() {
            stop();
        }
        studio.write(&format!("{copy}/f.0000.exr"), b"painted over");
        if changes_source {
            studio.write("big/f.0003.exr", b"and rendered");
        }
        let before = studio.snapshot(MODULE);
        studio.ws(&add).fails(5, "output::target_exists");
        assert_eq!(studio.snapshot(MODULE), before);
    }
    // Out of the way, the source is copied.
    fs::remove_dir_all(studio.path(&copy)).expect("removed");
    studio.ws(&add).ok();
    assert_eq!(studio.snapshot(&copy), studio.snapshot("big"));
}

/// Two contents with one MD5 (Wang, Feng, Lai and Yu, 2004).
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
fn a_refused_add_leaves_nothing_in_the_asset_and_the_next_one_takes_what_was_put_right() {
    let studio = with_table();
    let [one, other] = twins();
    studio.write("drive/f:0001.exr", b"x");
    studio.write("slash/b\\s", b"x");
    studio.write("pointer/bad.dvc", b"outs: [");
    studio.write("pair/a.exr", &one);
    studio.write("pair/b.exr", &other);
    studio.write("good.exr", b"x");
    fs::create_dir_all(studio.path("bytes")).expect("made");
    let name = std::ffi::OsStr::from_bytes(b"no\xfftext.exr");
    fs::write(studio.path("bytes").join(name), b"x").expect("written");
    let before = studio.snapshot(MODULE);
    let cases: [(&[&str], i32, &str); 6] = [
        (&["drive"], 2, "dvc::untrackable"),
        (&["slash"], 2, "dvc::untrackable"),
        (&["bytes"], 2, "dvc::untrackable"),
        (&["pointer"], 7, "dvc::bad_pointer"),
        (&["pair"], 5, "store::same_md5"),
        (&["good.exr", "typo.exr"], 4, "file::not_found"),
    ];
    for (paths, exit, code) in cases {
        let arguments = [&["add"], paths, &["--asset", "Table", "--json"]].concat();
        studio.ws(&arguments).fails(exit, code);
        assert_eq!(studio.snapshot(MODULE), before, "{paths:?}");
        assert!(!studio.path(MODULE).join(paths[0]).exists(), "{paths:?}");
        studio.ws(&["build", "Table"]).ok();
    }
    fs::remove_file(studio.path("drive/f:0001.exr")).expect("removed");
    studio.write("drive/f.0001.exr", b"x");
    studio.ws(&["add", "drive", "--asset", "Table"]).ok();
    assert_eq!(
        studio.snapshot(&format!("{MODULE}/drive")),
        studio.snapshot("drive")
    );
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn a_name_that_a_wheel_does_not_carry_is_refused_by_the_add() {
    let studio = with_table();
    studio.write("new\nline.exr", b"x");
    studio.write("._frames/a.exr", b"x");
    let before = studio.snapshot(MODULE);
    for path in ["new\nline.exr", "._frames"] {
        for more in [&["--dry-run"][..], &[]] {
            let arguments = [&["add", path, "--asset", "Table", "--json"], more].concat();
            let error = studio.ws(&arguments).fails(2, "files::not_packaged");
            assert!(
                error["help"].as_str().expect("help").contains("--as"),
                "{error:#}"
            );
        }
    }
    assert_eq!(studio.snapshot(MODULE), before);
    studio
        .ws(&["add", "new\nline.exr", "--asset", "Table", "--as", "line.exr"])
        .ok();
    // The same where it lies in the asset; in a tracked folder, only the folder has a pointer.
    for path in ["in\nside.exr", "__pycache__/a.exr"] {
        let path = format!("{MODULE}/{path}");
        studio.write(&path, b"x");
        studio
            .ws(&["add", &path, "--json"])
            .fails(2, "files::not_packaged");
        fs::remove_file(studio.path(&path)).expect("removed");
    }
    studio.write(&format!("{MODULE}/frames/in\nside.exr"), b"x");
    studio.ws(&["add", &format!("{MODULE}/frames")]).ok();
    studio.write(&format!("{MODULE}/frames/in\nside.exr"), b"another");
    studio.ws(&["add", &format!("{MODULE}/frames/in\nside.exr")]).ok();
    studio.ws(&["publish", "Table"]).ok();
}

#[test]
fn paths_are_added_in_the_module_folder_that_they_are_in() {
    let studio = with_table();
    let project = studio.path("ws/outputs/table/pyproject.toml");
    let text = fs::read_to_string(&project).expect("read");
    let packages = "[tool.hatch.build.targets.wheel]\npackages = [\"src/table\", \"src/extra\"]\n";
    fs::write(&project, format!("{text}\n{packages}")).expect("written");
    let extra = "ws/outputs/table/src/extra";
    studio.write(&format!("{extra}/__init__.py"), b"");
    studio.write(&format!("{extra}/a.exr"), b"a");
    studio.frames(&format!("{extra}/seq"), 3, 100, 1);
    studio.write(&format!("{MODULE}/b.exr"), b"b");
    let error = studio
        .ws(&["publish", "Table", "--json"])
        .fails(2, "publish::untracked_files");
    assert!(
        error["help"].as_str().expect("help").contains("src/extra"),
        "{error:#}"
    );
    let paths = [
        format!("{extra}/a.exr"),
        format!("{MODULE}/b.exr"),
        format!("{extra}/seq"),
    ];
    studio
        .ws(&["add", paths[0].as_str(), paths[1].as_str(), paths[2].as_str()])
        .ok();
    for path in &paths {
        assert!(
            PathBuf::from(format!("{}.dvc", studio.path(path).display())).is_file(),
            "{path}"
        );
    }
    let gone = format!("{extra}/seq/f.0002.exr");
    fs::remove_file(studio.path(&gone)).expect("removed");
    studio.ws(&["add", "--remove", &gone]).ok();
    let done = studio.ws(&["publish", "Table", "--json"]).ok().json();
    assert_eq!(
        done["wheel"]["outs"].as_array().map(Vec::len),
        Some(3),
        "{done:#}"
    );
}
