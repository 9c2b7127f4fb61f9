//! A power cut after a command: files that were not synced are truncated, empty or missing, and commands recover.
//!
//! Of a cache only the files named by the format are synced, so all others that a command wrote are damaged in turn: truncated to nothing or
//! at a page, or removed; with and without the databases about verified files. Modes and modification times are kept, as by a
//! file system journal. Synced files (pointers, manifests of releases, remotes, repos) are not changed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use backlot_tests::{Studio, snapshot};
use fs_err as fs;

const FRAMES: &str = "ws/outputs/table/src/table/frames";

/// What a file is after the cut.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    Pages,
    NoName,
}

const LEFT: [Left; 3] = [Left::Nothing, Left::Pages, Left::NoName];

/// Harm two of three files.
fn cut(files: &[PathBuf], left: Left) -> usize {
    let mut count = 0;
    for (n, path) in files.iter().enumerate() {
        if n % 3 == 1 {
            continue;
        }
        let found = fs::metadata(path).expect("there");
        let modified: SystemTime = found.modified().expect("a time");
        let length = match left {
            Left::Nothing => 0,
            Left::Pages => found.len() / 2 / 4096 * 4096,
            Left::NoName => {
                fs::remove_file(path).expect("removed");
                count += 1;
                continue;
            }
        };
        let mode = found.permissions();
        fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("opened");
        let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
        file.set_len(length).expect("cut");
        file.file().set_modified(modified).expect("set back");
        fs::set_permissions(path, mode).expect("closed");
        count += 1;
    }
    count
}

/// The files below a folder that were not there before.
fn new_files(root: &Path, before: &[PathBuf]) -> Vec<PathBuf> {
    let all = snapshot(root).into_keys().map(|path| root.join(path));
    all.filter(|path| !before.contains(path)).collect()
}

/// The databases that remember what was right: lost, or as they were.
fn lose_databases(studio: &Studio, lost: bool) {
    if lost {
        for database in ["cache/state.db", "ws/.backlot/state.db"] {
            fs::write(studio.path(database), b"SQLite format 3\0torn").expect("torn");
        }
    }
}

fn studio() -> Studio {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.frames(FRAMES, 8, 30_000, 1);
    studio
}

/// All of it is right, for those who made it and for others.
fn check(studio: &Studio, right: &std::collections::BTreeMap<String, Vec<u8>>, what: &str) {
    assert!(studio.snapshot(FRAMES) == *right, "{what}: the frames");
    studio.ws(&["verify"]).ok();
    let status = studio.ws(&["status", "--json"]).ok().json();
    assert_eq!(
        status["outputs"][0]["outs"][0]["state"], "unchanged",
        "{what}: {status:#}"
    );
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("other");
    let mut command = studio.command(&["-w", "other", "install", "Table"]);
    backlot_tests::run_command(command.env("BACKLOT_CACHE_DIR", studio.path("fresh"))).ok();
    let mut command = studio.command(&["-w", "other", "pull"]);
    backlot_tests::run_command(command.env("BACKLOT_CACHE_DIR", studio.path("fresh"))).ok();
    let pulled = studio.snapshot("other/inputs");
    let pulled = pulled.iter().filter(|(path, _)| path.contains("/table/frames/"));
    assert!(
        pulled.map(|(_, bytes)| bytes).eq(right.values()),
        "{what}: what others pull"
    );
}

#[test]
fn a_power_cut_after_add_is_mended_by_adding_again() {
    for left in LEFT {
        for lost in [false, true] {
            for publishes in [false, true] {
                let studio = studio();
                let right = studio.snapshot(FRAMES);
                studio.ws(&["add", FRAMES]).ok();
                let objects = new_files(&studio.path("cache/files"), &[]);
                assert!(cut(&objects, left) > 1);
                lose_databases(&studio, lost);
                if publishes {
                    // Files that did not change are not read again: it says that their content is nowhere, and what to do.
                    let published = studio.ws(&["publish", "Table", "--json"]);
                    if !published.output.status.success() {
                        let error = published.fails(4, "dvc::not_on_remote");
                        assert!(error["help"].as_str().expect("help").contains("`backlot add`"));
                        studio.ws(&["add", FRAMES]).ok();
                    }
                } else {
                    studio.ws(&["add", FRAMES]).ok();
                }
                check(&studio, &right, &format!("{left:?} {lost} {publishes}"));
            }
        }
    }
}

#[test]
fn a_power_cut_after_pull_is_mended_by_pulling_again() {
    for left in LEFT {
        for lost in [false, true] {
            let studio = studio();
            let right = studio.snapshot(FRAMES);
            studio.ws(&["add", FRAMES]).ok();
            studio.ws(&["publish", "Table"]).ok();
            for place in ["cache", FRAMES] {
                fs::remove_dir_all(studio.path(place)).expect("removed");
            }
            studio.ws(&["pull"]).ok();
            // Objects, chunk hints and copies of the remote's indexes; not which workspaces there are, which is synced.
            let mut files = new_files(&studio.path("cache"), &[]);
            files.retain(|path| {
                !path.to_string_lossy().contains("/workspaces/") && !path.ends_with("state.db")
            });
            assert!(cut(&files, left) > 4);
            lose_databases(&studio, lost);
            let what = format!("{left:?} {lost}");
            // The frames in place are whole; then some of them are harmed, too.
            studio.ws(&["pull"]).ok();
            check(&studio, &right, &what);
            let placed = new_files(&studio.path(FRAMES), &[]);
            cut(&placed, left);
            lose_databases(&studio, lost);
            let again = studio.ws(&["pull", "--json"]).ok().json();
            let kept = again["assets"][0]["kept"].as_array().map_or(0, Vec::len);
            if kept > 0 {
                // A file with other bytes may be somebody's work: it is kept until it is said to go.
                studio.ws(&["pull", "--force"]).ok();
            }
            assert!(studio.snapshot(FRAMES) == right, "{what}: {again:#}");
        }
    }
}

#[test]
fn a_power_cut_after_install_is_mended_by_a_repair() {
    for left in LEFT {
        let studio = studio();
        studio.ws(&["add", FRAMES]).ok();
        studio.ws(&["publish", "Table"]).ok();
        studio.run(&["init", "other"]).ok();
        studio
            .run(&["-w", "other", "repo", "add", "review", "repos/review"])
            .ok();
        studio
            .run(&["-w", "other", "remote", "add", "main", "remote"])
            .ok();
        studio.run(&["-w", "other", "install", "Table"]).ok();
        studio.run(&["-w", "other", "pull"]).ok();
        let right = studio.snapshot("other/inputs");
        let mut files = new_files(&studio.path("cache"), &[]);
        files.retain(|path| !path.to_string_lossy().contains("/workspaces/"));
        files.extend(new_files(&studio.path("other/inputs/lib"), &[]));
        assert!(cut(&files, left) > 4);
        studio.run(&["-w", "other", "install", "--repair"]).ok();
        studio.run(&["-w", "other", "pull"]);
        studio.run(&["-w", "other", "pull", "--force"]).ok();
        let now = studio.snapshot("other/inputs");
        let differs: Vec<&String> = right
            .iter()
            .filter(|(path, bytes)| now.get(*path) != Some(bytes))
            .map(|(path, _)| path)
            .collect();
        assert!(differs.is_empty(), "{left:?}: {differs:?}");
        studio.run(&["-w", "other", "verify"]).ok();
        studio.run(&["-w", "other", "status"]).ok();
    }
}
