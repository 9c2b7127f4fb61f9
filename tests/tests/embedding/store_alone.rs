//! `backlot-store` on its own: its examples, run against a folder and real servers (moto for S3, OpenSSH for SFTP).

use std::process::Command;

use backlot_tests::examples::example;
use backlot_tests::stores::Store;
use backlot_tests::{Run, Studio, noise, run_command};
use fs_err as fs;

const FRAME: usize = 8_000_000;

/// An example, in the folder of a studio, told of a bucket as AWS's tools are.
fn program(name: &str, studio: &Studio, bucket: Option<&Store>, arguments: &[&str]) -> Command {
    let mut command = Command::new(example(name));
    command
        .args(arguments)
        .current_dir(studio.root())
        .env_clear()
        .env("HOME", studio.path("home"))
        .env("TMPDIR", studio.root())
        .env("AWS_EC2_METADATA_DISABLED", "true");
    if let Some(bucket) = bucket {
        let (user, password) = bucket.user.expect("a bucket has a user");
        command
            .env(
                "AWS_ENDPOINT_URL",
                bucket.endpoint.as_ref().expect("a bucket has a server"),
            )
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", user)
            .env("AWS_SECRET_ACCESS_KEY", password);
    }
    command
}

/// The last number of a line.
fn last_number(line: &str) -> usize {
    let mut numbers = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|n| !n.is_empty());
    numbers.next_back().expect("a number").parse().expect("a number")
}

/// Two versions of a folder are stored, the second for what differs; they come back; and a loader reads parts of a frame.
fn goes_the_whole_way(studio: &Studio, bucket: Option<&Store>, url: &str) {
    let run = |name: &str, arguments: &[&str]| -> Run {
        run_command(&mut program(name, studio, bucket, arguments)).ok()
    };
    for version in ["v1", "v2"] {
        studio.frames(&format!("{version}/left"), 3, 100_000, 1);
        let mut frame = noise(FRAME, 7);
        if version == "v2" {
            frame[FRAME / 2] ^= 1;
        }
        studio.write(&format!("{version}/big.exr"), &frame);
    }
    let pushed = run("dedup", &["v1", "v2", url]).stdout();
    let lines: Vec<&str> = pushed.lines().collect();
    assert!(
        lines[0].contains(".dir v1: 4 files, 8300000 bytes, 8"),
        "{pushed}"
    );
    assert!(last_number(lines[1]) < 500_000, "{pushed}");
    let again = run("dedup", &["v2", url]).stdout();
    assert!(last_number(&again) == 0, "{again}");
    for (line, version) in lines.iter().zip(["v1", "v2"]) {
        let id = line.split(' ').next().expect("an ID");
        let target = format!("back/{version}");
        let pulled = run("dedup", &["pull", id, &target, url]).stdout();
        assert_eq!(pulled, "4 files placed, 0 unchanged, 8300000 bytes fetched\n");
        assert!(studio.snapshot(&target) == studio.snapshot(version), "{version}");
        let pulled = run("dedup", &["pull", id, &target, url]).stdout();
        assert_eq!(pulled, "0 files placed, 4 unchanged, 0 bytes fetched\n");
    }

    let id = lines[1].split(' ').next().expect("an ID");
    let frame = fs::read(studio.path("v2/big.exr")).expect("read");
    for start in [0, FRAME / 2 - 100, FRAME - 4096] {
        let part = run("frame", &[id, "big.exr", url, &start.to_string(), "4096"]);
        assert!(
            part.output.stdout == frame[start..start + 4096],
            "from {start} on"
        );
        let fetched = last_number(&part.stderr());
        assert!(fetched > 4096 && fetched < FRAME / 8, "{}", part.stderr());
        assert!(
            part.stderr().starts_with("read 4096 of 8000000 bytes"),
            "{}",
            part.stderr()
        );
    }
    let whole = run("frame", &[id, "left/f.0001.exr", url]);
    assert!(whole.output.stdout == fs::read(studio.path("v2/left/f.0001.exr")).expect("read"));
    // Nothing of the large file in the same pack.
    assert!(last_number(&whole.stderr()) < 1_000_000, "{}", whole.stderr());

    let none = "0123456789abcdef0123456789abcdef.dir";
    let refused = run_command(&mut program("frame", studio, bucket, &[none, "big.exr", url]));
    assert!(!refused.output.status.success() && refused.output.stdout.is_empty());
    let left = fs::read_dir(studio.root()).expect("listed");
    let left = left.filter(|entry| {
        let name = entry.as_ref().expect("listed").file_name();
        name.to_string_lossy().starts_with(".tmp-")
    });
    assert_eq!(left.count(), 0, "temporaries are removed");
}

#[test]
fn folders_and_frames_go_to_a_bucket_and_back() {
    let store = Store::s3();
    goes_the_whole_way(&store.studio, Some(&store), &store.files("alone"));
}

#[test]
fn folders_and_frames_go_to_a_folder_and_back() {
    goes_the_whole_way(&Studio::empty(), None, "far/remote");
}

#[test]
fn folders_and_frames_go_over_sftp_and_back() {
    let (store, _server) = Store::sftp();
    goes_the_whole_way(&store.studio, None, &store.files("alone"));
}

/// One ID, and one remote, for a workspace and for a program with the store alone.
#[test]
fn a_workspace_and_the_store_alone_have_the_same_folders() {
    let studio = Studio::new();
    studio.asset("Chair", 4, 50_000);
    studio.ws(&["push"]).ok();
    let frames = "ws/outputs/chair/src/chair/frames";
    let pointer = fs::read_to_string(studio.path(&format!("{frames}.dvc"))).expect("a pointer");
    let pushed = run_command(&mut program("dedup", &studio, None, &[frames, "remote"])).ok();
    let id = pushed.stdout().split(' ').next().expect("an ID").to_owned();
    assert!(pointer.contains(&format!("md5: {id}")), "{pointer}");
    assert_eq!(last_number(&pushed.stdout()), 0, "the workspace has pushed it");
    run_command(&mut program(
        "dedup",
        &studio,
        None,
        &["pull", &id, "back", "remote"],
    ))
    .ok();
    assert!(studio.snapshot("back") == studio.snapshot(frames));
}

#[test]
fn what_cannot_be_done_says_so() {
    let studio = Studio::empty();
    studio.frames("v1", 1, 1000, 1);
    let said = |name: &str, arguments: &[&str]| {
        let run = run_command(&mut program(name, &studio, None, arguments));
        assert!(!run.output.status.success(), "{}", run.stdout());
        run.stderr()
    };
    assert!(said("dedup", &["v1"]).contains("usage"));
    assert!(said("frame", &["v1"]).contains("usage"));
    assert!(said("dedup", &["v1", "ftp://host/x"]).contains("BadRemote"));
    assert!(said("dedup", &["nowhere", "remote"]).contains("nowhere"));
    fs::create_dir_all(studio.path("dvc/files/md5/ab")).expect("made");
    studio.write("dvc/files/md5/ab/c", b"");
    assert!(said("dedup", &["v1", "dvc"]).contains("DVC's layout"));
}
