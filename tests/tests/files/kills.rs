//! `kill -9` at random points: afterwards nothing incomplete is visible, and a rerun completes.
//!
//! The delays are spread over the time of an unkilled run, so that every phase is hit. `BACKLOT_KILL_ROUNDS` sets the
//! number of kills of each kind (50 by default).
#![expect(
    clippy::disallowed_methods,
    reason = "the number of rounds comes from the environment; a test moves folders and time"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use backlot_tests::{Random, Studio, noise, run_command};
use fs_err as fs;

const FILES: usize = 60;
const SIZE: usize = 65_536;

fn rounds() -> u64 {
    std::env::var("BACKLOT_KILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(50)
}

/// How long an unkilled run takes.
fn measure(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Start a command and kill it after a random part of `whole` (a little beyond, so that some runs end by themselves).
fn kill(studio: &Studio, arguments: &[&str], whole: Duration, random: &mut Random) {
    let mut child = studio.start(arguments);
    let share = random.next() % 1100;
    std::thread::sleep(whole * u32::try_from(share).expect("small") / 1000);
    // It may have ended already; then there is nothing to kill.
    child.kill().ok();
    child.wait().expect("it ends");
}

#[test]
fn add_killed_anywhere_leaves_whole_objects_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    studio.frames(frames, FILES, SIZE, 1);
    let whole = measure(|| drop(studio.ws(&["add", frames]).ok()));
    let mut random = Random(11);
    for round in 0..rounds() {
        // Half of the frames are new each time.
        for number in 0..FILES / 2 {
            studio.write(
                &format!("{frames}/f.{number:04}.exr"),
                &noise(SIZE, 10_000 + round * 100 + number as u64),
            );
        }
        kill(&studio, &["-w", "ws", "add", frames], whole, &mut random);
        assert_eq!(
            studio.wrong_objects("cache"),
            [] as [std::path::PathBuf; 0],
            "round {round}"
        );
        // The pointer is the old one or the new one; either way a rerun makes it right.
        studio.ws(&["add", frames]).ok();
        let status = studio.ws(&["status", "--json"]).ok().json();
        assert_eq!(
            status["outputs"][0]["outs"][0]["state"], "unchanged",
            "round {round}"
        );
    }
    studio.ws(&["verify", "--cache"]).ok();
}

#[test]
fn publish_killed_anywhere_leaves_no_release_or_a_whole_one_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.asset("Table", FILES, SIZE);
    let frames = "ws/outputs/table/src/table/frames";
    let whole = measure(|| drop(studio.ws(&["publish", "Table"]).ok()));
    studio.workspace("reader");
    let mut random = Random(22);
    let mut minor = 1;
    for round in 0..rounds() {
        for number in 0..FILES / 3 {
            studio.write(
                &format!("{frames}/f.{number:04}.exr"),
                &noise(SIZE, 50_000 + round * 100 + number as u64),
            );
        }
        studio.ws(&["bump", "Table", "minor"]).ok();
        minor += 1;
        // What a kill leaves under a temporary name stays until it is old; here for all rounds.
        let left = || -> BTreeSet<String> {
            let torn = |path: &String| path.contains(".tmp-") && !path.contains("/packs/");
            studio.snapshot("remote").into_keys().filter(torn).collect()
        };
        let before = left();
        kill(&studio, &["-w", "ws", "publish", "Table"], whole, &mut random);
        let fresh: Vec<String> = left().difference(&before).cloned().collect();
        assert!(fresh.len() < 2, "round {round}: {fresh:?}");
        // Readers see whole releases only, and their files are there.
        let listed = studio.run(&["-w", "reader", "list", "--json"]).ok().json();
        let seen = listed["packages"][0]["latest"]
            .as_str()
            .expect("a version")
            .to_owned();
        if round % 5 == 0 {
            studio
                .run(&[
                    "-w",
                    "reader",
                    "install",
                    "--from",
                    "review",
                    &format!("Table=={seen}"),
                ])
                .ok();
            studio.run(&["-w", "reader", "pull"]).ok();
            studio.run(&["-w", "reader", "verify", "--inputs"]).ok();
        }
        let again = studio.ws(&["publish", "Table", "--json"]);
        if seen == format!("0.{minor}.0") {
            assert_eq!(again.ok().json()["already"], true);
        } else {
            again.ok();
        }
        let page = fs::read_to_string(studio.path("repos/review/simple/table/index.html")).expect("an index");
        assert_eq!(page.matches("</a>").count(), minor, "round {round}");
    }
    let leavings: Vec<String> = studio
        .snapshot("repos/review/packages")
        .into_keys()
        .filter(|p| p.contains(".tmp-"))
        .collect();
    assert!(
        leavings.len() < usize::try_from(rounds()).expect("small"),
        "{leavings:?}"
    );
}

#[test]
fn adding_and_sending_at_once_killed_anywhere_is_completed_by_a_rerun() {
    // Enough for one pass over the files.
    const LARGE: usize = 7 << 20;
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    let fill = |seed: u64| studio.frames(frames, 5, LARGE, seed);
    fill(1);
    let put = ["-w", "ws", "add", frames, "--push"];
    let whole = measure(|| drop(studio.run(&put).ok()));
    let mut random = Random(55);
    for round in 0..rounds() / 5 {
        fill(2 + round);
        kill(&studio, &put, whole, &mut random);
        assert_eq!(
            studio.wrong_objects("cache"),
            [] as [std::path::PathBuf; 0],
            "round {round}"
        );
        studio.run(&put).ok();
        let right = studio.snapshot(frames);
        for place in [frames, "cache"] {
            fs::remove_dir_all(studio.path(place)).expect("removed");
        }
        studio.ws(&["pull"]).ok();
        assert!(studio.snapshot(frames) == right, "round {round}");
    }
}

#[test]
fn pull_killed_anywhere_leaves_whole_files_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.asset("Table", FILES, SIZE);
    studio.ws(&["publish", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    let right = studio.snapshot(frames);
    let clear = || {
        for place in [frames, "cache"] {
            fs::remove_dir_all(studio.path(place)).ok();
        }
    };
    clear();
    let whole = measure(|| drop(studio.ws(&["pull"]).ok()));
    let mut random = Random(33);
    for round in 0..rounds() {
        clear();
        kill(&studio, &["-w", "ws", "pull"], whole, &mut random);
        assert_eq!(
            studio.wrong_objects("cache"),
            [] as [std::path::PathBuf; 0],
            "round {round}"
        );
        for (name, bytes) in studio.snapshot(frames) {
            let temporary = name.starts_with(".tmp-");
            assert!(
                temporary || right.get(&name) == Some(&bytes),
                "round {round}: {name}"
            );
        }
        studio.ws(&["pull"]).ok();
        let mut now = studio.snapshot(frames);
        now.retain(|name, _| !name.starts_with(".tmp-"));
        assert_eq!(now, right, "round {round}");
        let status = studio.ws(&["status", "--json"]).ok().json();
        assert_eq!(
            status["outputs"][0]["outs"][0]["state"], "unchanged",
            "round {round}"
        );
    }
}

#[test]
fn gc_and_copy_killed_anywhere_lose_nothing_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.asset("Table", FILES / 3, SIZE);
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["remote", "add", "site", "site"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    let right = studio.snapshot(frames);
    let dirty = |round: u64| {
        // A version that is pushed and then given up: garbage.
        for number in 0..FILES / 4 {
            let path = format!("{frames}/f.{number:04}.exr");
            studio.write(&path, &noise(SIZE, 70_000 + round * 100 + number as u64));
        }
        studio.ws(&["add", frames]).ok();
        studio.ws(&["push"]).ok();
        for (name, bytes) in &right {
            studio.write(&format!("{frames}/{name}"), bytes);
        }
        studio.ws(&["add", frames]).ok();
    };
    let gc = [
        "-w",
        "ws",
        "gc",
        "--remote",
        "--grace",
        "0",
        "--no-other-writers",
        "--young",
        "0",
        "--allow-most",
    ];
    let copy = ["-w", "ws", "remote", "copy", "main", "site"];
    dirty(0);
    let whole_copy = measure(|| drop(studio.run(&copy).ok()));
    let whole_gc = measure(|| drop(studio.run(&gc).ok()));
    let mut random = Random(44);
    for round in 1..=rounds() {
        if round % 5 == 1 {
            dirty(round);
        }
        kill(&studio, &copy, whole_copy, &mut random);
        kill(&studio, &gc, whole_gc, &mut random);
        studio.ws(&["verify", "--remote", "main", "--releases"]).ok();
        if round % 10 == 0 {
            studio.run(&copy).ok();
            studio.run(&gc).ok();
            studio.ws(&["verify", "--remote", "site", "--releases"]).ok();
        }
    }
    studio.run(&gc).ok();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    fs::remove_dir_all(studio.path(frames)).expect("removed");
    studio.ws(&["pull"]).ok();
    assert_eq!(studio.snapshot(frames), right);
}

#[test]
fn ctrl_c_stops_with_130_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let frames = "ws/outputs/table/src/table/frames";
    studio.frames(frames, 400, 2_000_000, 1);
    let mut stopped = 0;
    for delay in [60, 120, 200, 300] {
        let child = studio.start(&["-w", "ws", "add", frames, "--json"]);
        std::thread::sleep(Duration::from_millis(delay));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).ok();
        let output = child.wait_with_output().expect("it ends");
        if output.status.code() == Some(130) {
            stopped += 1;
            assert!(String::from_utf8_lossy(&output.stdout).contains("core::cancelled"));
            assert_eq!(
                fs::read_dir(studio.path("cache/tmp")).expect("there").count(),
                0,
                "temporaries are tidied"
            );
        }
        assert_eq!(studio.wrong_objects("cache"), [] as [std::path::PathBuf; 0]);
    }
    assert!(stopped > 0, "no run was stopped");
    run_command(&mut studio.command(&["-w", "ws", "add", frames])).ok();
}

/// The versions of a package that an environment shows, by its `.dist-info` folders with metadata.
fn shown(studio: &Studio, package: &str) -> Vec<String> {
    let prefix = format!("{package}-");
    let metadata = |path: &String| {
        let folder = path.strip_suffix(".dist-info/METADATA")?;
        let name = folder.rsplit('/').next()?;
        Some(name.strip_prefix(&prefix)?.to_owned())
    };
    let files = studio.snapshot("ws/inputs");
    files.keys().filter_map(metadata).collect()
}

#[test]
fn bump_killed_anywhere_shows_the_old_or_the_new_version_and_the_next_install_shows_one() {
    let studio = Studio::new();
    studio.asset("Table", 1, 10);
    studio.asset("Chair", 1, 10);
    let whole = measure(|| drop(studio.ws(&["bump", "Table", "minor"]).ok()));
    let mut random = Random(15);
    for round in 0..rounds() {
        kill(
            &studio,
            &["-w", "ws", "bump", "Table", "minor"],
            whole,
            &mut random,
        );
        assert!(!shown(&studio, "table").is_empty(), "round {round}");
        studio.ws(&["install"]).ok();
        let status = studio.ws(&["status", "--json"]).ok().json();
        let outputs = status["outputs"].as_array().expect("outputs");
        let table = outputs.iter().find(|output| output["name"] == "Table");
        let version = table.expect("Table")["version"].as_str().expect("a version");
        assert_eq!(shown(&studio, "table"), [version], "round {round}");
        assert_eq!(shown(&studio, "chair"), ["0.1.0"], "round {round}");
    }
}

/// The temporaries in the workspace and the cache, with what is directly in the state folder under a name of its own.
fn leftovers(studio: &Studio) -> Vec<String> {
    let folders = ["ws", "cache"];
    let all = folders.iter().flat_map(|folder| {
        let names = temporaries(&studio.path(folder));
        names.into_iter().map(|path| path.display().to_string())
    });
    all.collect()
}

fn temporaries(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(".tmp-") {
            found.push(path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(temporaries(&path));
        }
    }
    found
}

/// Two days pass for everything that killed runs left, and for the marks of the last sweep.
fn two_days_pass(studio: &Studio) {
    // A link itself, never what it leads to.
    let age = |path: &std::path::Path| {
        let mut touch = std::process::Command::new("touch");
        let aged = touch.args(["-h", "-d", "2 days ago"]).arg(path).status();
        assert!(aged.expect("started").success(), "{}", path.display());
    };
    for top in leftovers(studio) {
        let mut pending = vec![std::path::PathBuf::from(top)];
        while let Some(path) = pending.pop() {
            if path.is_dir() && !path.is_symlink() {
                let entries = fs::read_dir(&path).expect("listed").flatten();
                pending.extend(entries.map(|entry| entry.path()));
            }
            age(&path);
        }
    }
    for mark in ["ws/.backlot/swept", "cache/swept"] {
        if studio.path(mark).exists() {
            age(&studio.path(mark));
        }
    }
}

#[test]
fn add_from_outside_killed_anywhere_leaves_nothing_untracked_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.frames("renders", FILES, SIZE, 1);
    let right = studio.snapshot("renders");
    let add = ["-w", "ws", "add", "renders", "--asset", "Table"];
    let inside = "ws/outputs/table/src/table";
    let clear = || {
        for place in ["renders", "renders.dvc", ".gitignore"] {
            let path = studio.path(&format!("{inside}/{place}"));
            if path.is_dir() {
                fs::remove_dir_all(path).expect("removed");
            } else {
                fs::remove_file(path).ok();
            }
        }
        fs::remove_dir_all(studio.path("cache")).ok();
    };
    let whole = measure(|| drop(studio.run(&add).ok()));
    let mut random = Random(66);
    for round in 0..rounds() {
        clear();
        kill(&studio, &add, whole, &mut random);
        assert_eq!(
            studio.wrong_objects("cache"),
            [] as [std::path::PathBuf; 0],
            "round {round}"
        );
        // What is there under its own name is tracked, or said to be waiting for the rerun.
        let status = studio.ws(&["status", "--json"]).ok().json();
        let output = &status["outputs"][0];
        let tracked = output["outs"].as_array().map_or(0, Vec::len);
        let untracked = output["untracked"].to_string();
        let there = studio.path(&format!("{inside}/renders")).exists();
        assert!(
            tracked == 1 || !there || untracked.contains("renders"),
            "round {round}: {status:#}"
        );
        // One that was killed when all was done has nothing left to do.
        studio.run(&add).ok();
        assert!(
            studio.snapshot(&format!("{inside}/renders")) == right,
            "round {round}"
        );
        let status = studio.ws(&["status", "--json"]).ok().json();
        let output = &status["outputs"][0];
        assert_eq!(
            output["outs"][0]["state"], "unchanged",
            "round {round}: {status:#}"
        );
        assert_eq!(
            output["untracked"].as_array().map_or(0, Vec::len),
            0,
            "round {round}: {status:#}"
        );
    }
    two_days_pass(&studio);
    studio.ws(&["add", &format!("{inside}/renders")]).ok();
    assert_eq!(leftovers(&studio), [] as [String; 0]);
}

#[test]
fn install_killed_anywhere_shows_the_old_or_the_new_environment_and_a_rerun_completes() {
    let studio = Studio::new();
    for name in ["Table", "Chair", "Lamp"] {
        studio.asset(name, 2, 100);
        studio.ws(&["publish", name]).ok();
    }
    studio.workspace("reader");
    let names = ["Table", "Chair", "Lamp"];
    let install = [&["-w", "reader", "install"], &names[..]].concat();
    let whole = measure(|| drop(studio.run(&install).ok()));
    let right: BTreeSet<String> = studio.snapshot("reader/inputs").into_keys().collect();
    let mut random = Random(77);
    for round in 0..rounds() {
        studio
            .run(&["-w", "reader", "uninstall", "Table", "Chair", "Lamp"])
            .ok();
        let none: BTreeSet<String> = studio.snapshot("reader/inputs").into_keys().collect();
        if round % 2 == 0 {
            fs::remove_dir_all(studio.path("cache")).ok();
        }
        kill(&studio, &install, whole, &mut random);
        let now: BTreeSet<String> = studio.snapshot("reader/inputs").into_keys().collect();
        assert!(
            now == none || now == right,
            "round {round}: {:?}",
            now.symmetric_difference(&right)
        );
        studio.run(&["-w", "reader", "status"]).ok();
        studio.run(&install).ok();
        let now: BTreeSet<String> = studio.snapshot("reader/inputs").into_keys().collect();
        assert!(
            now == right,
            "round {round}: {:?}",
            now.symmetric_difference(&right)
        );
        studio.run(&["-w", "reader", "verify", "--inputs"]).ok();
    }
    fs::rename(studio.path("ws"), studio.path("maker")).expect("moved");
    fs::rename(studio.path("reader"), studio.path("ws")).expect("moved");
    two_days_pass(&studio);
    studio.ws(&["install"]).ok();
    assert_eq!(leftovers(&studio), [] as [String; 0]);
}
