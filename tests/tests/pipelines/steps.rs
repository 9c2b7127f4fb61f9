//! Built-in pipeline steps: proxies, contact sheets, frame checks, checksums; without a workspace or other programs.

use std::path::Path;
use std::process::Command;

use backlot_tests::{Studio, binary, repository, run_command, tool};
use exr::prelude::{f16, write_rgb_file};
use fs_err as fs;

/// A small EXR frame of one grey, with a dark corner.
fn frame(path: &Path, value: f32) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let pixel = |x: usize, y: usize| if x + y == 0 { 0.0 } else { value };
    write_rgb_file(path, 64, 36, |x, y| {
        let grey = f16::from_f32(pixel(x, y));
        (grey, grey, grey)
    })
    .expect("written");
}

/// A studio without a workspace that has frames 1001 and on.
fn studio(count: u16) -> Studio {
    let studio = Studio::empty();
    for number in 0..count {
        let path = studio.path(&format!("frames/beauty.{}.exr", 1001 + number));
        frame(&path, f32::from(number) / 8.0);
    }
    studio
}

fn names(studio: &Studio, folder: &str) -> Vec<String> {
    studio.snapshot(folder).into_keys().collect()
}

#[test]
fn proxies_are_made_once_and_a_dry_run_makes_none() {
    let studio = studio(5);
    let proxy = [
        "step",
        "proxy",
        "frames",
        "-o",
        "out/proxies",
        "--width",
        "32",
        "--exposure",
        "-0.5",
    ];
    let dry = studio
        .run(&[&proxy[..], &["--dry-run", "--json"]].concat())
        .ok()
        .json();
    assert_eq!((&dry["written"], &dry["dry_run"]), (&5.into(), &true.into()));
    assert!(!studio.path("out").exists());
    let made = studio.run(&[&proxy[..], &["--json"]].concat()).ok().json();
    assert_eq!((&made["written"], &made["unchanged"]), (&5.into(), &0.into()));
    assert_eq!((&made["size"][0], &made["size"][1]), (&32.into(), &18.into()));
    assert_eq!(
        (&made["schema"], &made["command"]),
        (&1.into(), &"step proxy".into())
    );
    assert_eq!(made["sequences"][0]["name"], "beauty.####.exr");
    assert_eq!(
        names(&studio, "out/proxies"),
        (1001..1006)
            .map(|n| format!("beauty.{n}.jpg"))
            .collect::<Vec<_>>()
    );
    let before = studio.snapshot("out");
    let again = studio.run(&[&proxy[..], &["-j", "1"]].concat()).ok().stdout();
    assert!(again.starts_with("written 0 proxies of 32 x 18 to "), "{again}");
    assert!(again.contains("5 unchanged"), "{again}");
    assert_eq!(studio.snapshot("out"), before);
}

#[test]
fn patterns_formats_and_sizes_are_taken_from_the_command_line() {
    let studio = studio(4);
    let run = |more: &[&str]| studio.run(&[&["step", "proxy"], more, &["--json"]].concat());
    let within = [
        "frames/beauty.####.exr",
        "-o",
        "a",
        "--width",
        "100",
        "--height",
        "18",
        "--format",
        "png",
    ];
    assert_eq!(run(&within).ok().json()["size"][0], 32);
    assert_eq!(names(&studio, "a").len(), 4);
    let ranged = [
        "frames/beauty.1002-1003.exr",
        "-o",
        "b",
        "--scale",
        "0.5",
        "--quality",
        "40",
    ];
    assert_eq!(run(&ranged).ok().json()["written"], 2);
    run(&["frames/beauty.1002-1009.exr", "-o", "c"]).fails(4, "media::missing_frames");
    run(&["frames/nothing.####.exr", "-o", "c"]).fails(4, "media::no_frames");
    run(&["frames", "-o", "c", "--alpha", "keep"]).fails(2, "media::bad_option");
    run(&["frames", "-o", "c", "--layer", "diffuse"]).fails(4, "media::no_layer");
    run(&["frames", "-o", "c", "--scale", "2", "--width", "3"]).fails(2, "command::usage");
    assert!(!studio.path("c").exists());
}

#[test]
fn a_damaged_frame_is_named_and_nothing_is_half_written() {
    let studio = studio(5);
    let damaged = studio.path("frames/beauty.1003.exr");
    let bytes = fs::read(&damaged).expect("read");
    fs::write(&damaged, &bytes[..bytes.len() / 2]).expect("written");
    let error = studio
        .run(&["step", "proxy", "frames", "-o", "out", "--json"])
        .fails(7, "media::damaged");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("beauty.1003.exr")
    );
    assert_eq!(
        names(&studio, "out"),
        [1001, 1002, 1004, 1005].map(|n| format!("beauty.{n}.jpg"))
    );
    studio
        .run(&["step", "contact-sheet", "frames", "-o", "sheet.jpg", "--json"])
        .fails(7, "media::damaged");
    assert!(!studio.path("sheet.jpg").exists());
}

#[test]
fn a_check_lists_what_is_wrong_and_its_exit_code_stops_a_pipeline() {
    let studio = studio(6);
    let clean = studio
        .run(&["step", "frames-check", "frames", "--json"])
        .ok()
        .json();
    assert_eq!((&clean["errors"], &clean["frames"]), (&0.into(), &6.into()));
    assert_eq!(clean["sequences"][0]["facts"]["display"]["width"], 64);
    fs::remove_file(studio.path("frames/beauty.1002.exr")).expect("removed");
    frame(&studio.path("frames/beauty.1004.exr"), f32::NAN);
    let damaged = studio.path("frames/beauty.1005.exr");
    let bytes = fs::read(&damaged).expect("read");
    fs::write(&damaged, &bytes[..bytes.len() - 9]).expect("written");
    let run = studio.run(&[
        "step",
        "frames-check",
        "frames",
        "--expect",
        "1001-1006",
        "--json",
    ]);
    assert_eq!(run.output.status.code(), Some(7));
    assert!(run.stderr().contains("frames::not_clean"), "{}", run.stderr());
    let report = run.json();
    let findings = report["findings"].as_array().expect("findings");
    let codes: Vec<&str> = findings.iter().filter_map(|f| f["code"].as_str()).collect();
    let not_finite = "frames::not_finite";
    assert_eq!(
        codes,
        [
            "frames::missing",
            not_finite,
            not_finite,
            not_finite,
            "frames::damaged"
        ]
    );
    assert_eq!(
        (&findings[0]["message"], &findings[4]["frame"]),
        (&"1 frame missing: 1002".into(), &1005.into())
    );
    assert_eq!(
        (&findings[1]["values"]["nan"], &findings[1]["values"]["first"][0]),
        (&2303.into(), &1.into())
    );
    let told = studio.run(&["step", "frames-check", "frames"]);
    assert_eq!(told.output.status.code(), Some(7));
    assert!(
        told.stdout()
            .contains("error: beauty.1005.exr: it is truncated [frames::damaged]"),
        "{}",
        told.stdout()
    );
    studio
        .run(&["step", "frames-check", "frames", "--expect", "5-1", "--json"])
        .fails(2, "media::bad_range");
}

#[test]
fn a_contact_sheet_says_which_frames_are_on_it() {
    let studio = studio(9);
    let sheet = [
        "step",
        "contact-sheet",
        "frames",
        "-o",
        "sheet.png",
        "--count",
        "3",
        "--width",
        "48",
        "--json",
    ];
    let made = studio.run(&sheet).ok().json();
    assert_eq!(made["frames"], serde_json::json!([1001, 1005, 1009]));
    assert!(
        fs::read(studio.path("sheet.png"))
            .expect("read")
            .starts_with(b"\x89PNG")
    );
    assert_eq!(studio.run(&sheet).ok().json()["written"], false);
    studio
        .run(&["step", "contact-sheet", "frames", "-o", "sheet.gif", "--json"])
        .fails(2, "media::bad_option");
}

#[test]
fn manifests_are_checked_by_md5sum_and_by_us() {
    let studio = studio(3);
    let sums = [
        "step",
        "checksum",
        "frames",
        "--format",
        "md5sum",
        "-o",
        "frames/MD5SUMS",
    ];
    studio.run(&sums).ok();
    let md5sum = |studio: &Studio| {
        let mut md5sum = Command::new("md5sum");
        run_command(
            md5sum
                .args(["--check", "MD5SUMS"])
                .current_dir(studio.path("frames")),
        )
    };
    assert_eq!(md5sum(&studio).ok().stdout().lines().count(), 3);
    // What md5sum writes is read here, too.
    let mut theirs = Command::new("sh");
    theirs
        .args(["-c", "md5sum *.exr > theirs"])
        .current_dir(studio.path("frames"));
    run_command(&mut theirs).ok();
    for manifest in ["frames/MD5SUMS", "frames/theirs"] {
        let checked = studio
            .run(&["step", "checksum", "--check", manifest, "--json"])
            .ok()
            .json();
        assert_eq!(checked["files"], 3);
    }
    let told = studio
        .run(&["step", "checksum", "frames/beauty.1001.exr", "--format", "b3sum"])
        .ok()
        .stdout();
    assert!(
        told.trim_end().ends_with("  frames/beauty.1001.exr") && told.len() > 64,
        "{told}"
    );
    frame(&studio.path("frames/beauty.1002.exr"), 0.9);
    assert!(!md5sum(&studio).output.status.success());
    let run = studio.run(&["step", "checksum", "--check", "frames/MD5SUMS", "--json"]);
    assert_eq!(run.output.status.code(), Some(7));
    assert!(run.stderr().contains("media::checksum_mismatch"));
    assert_eq!(
        run.json()["wrong"],
        serde_json::json!([{ "path": "beauty.1002.exr", "problem": "changed" }])
    );
}

#[test]
fn the_pipeline_of_the_documentation_runs_with_dvc() {
    let studio = studio(12);
    let page = fs::read_to_string(repository().join("docs/steps.md")).expect("the page");
    let (_, rest) = page.split_once("```yaml\n").expect("a pipeline");
    let (pipeline, _) = rest.split_once("```").expect("its end");
    let pipeline = pipeline.replace("1001-1100", "1001-1012");
    studio.write("dvc.yaml", pipeline.as_bytes());
    let bin = binary().parent().expect("a folder").to_path_buf();
    let dvc = |arguments: &[&str]| {
        let mut dvc = Command::new(tool("dvc"));
        let ours = studio.command(&[]);
        dvc.args(arguments).current_dir(studio.root()).env_clear();
        dvc.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let path = ours
            .get_envs()
            .find_map(|(name, value)| value.filter(|_| name == "PATH"));
        let mut folders = vec![bin.clone()];
        folders.extend(std::env::split_paths(path.unwrap_or_default()));
        dvc.env("PATH", std::env::join_paths(folders).expect("a path"));
        run_command(&mut dvc).ok().stdout()
    };
    dvc(&["init", "--no-scm", "--quiet"]);
    dvc(&["repro"]);
    assert_eq!(names(&studio, "proxies").len(), 12);
    let check: serde_json::Value =
        serde_json::from_slice(&fs::read(studio.path("check.json")).expect("read")).expect("JSON");
    assert_eq!((&check["errors"], &check["frames"]), (&0.into(), &12.into()));
    let sums = fs::read_to_string(studio.path("MD5SUMS")).expect("read");
    assert_eq!(sums.lines().count(), 12);
    let lock = fs::read(studio.path("dvc.lock")).expect("read");
    // Made again from nothing, every output has the same digest.
    dvc(&["repro", "--force"]);
    assert_eq!(fs::read(studio.path("dvc.lock")).expect("read"), lock);
}
