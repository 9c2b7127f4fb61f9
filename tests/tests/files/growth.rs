//! A remote and a repo stay small and cheap with age and many publishes. Counts objects, descriptors and system calls,
//! not times, which the bench `growth` measures.

use std::process::Command;

use backlot_tests::{Run, Studio, repository, run_command};
use fs_err as fs;

/// The same command under another program, which gets it as its last arguments.
fn under(command: &Command, program: &str, arguments: &[&str]) -> Run {
    let mut wrapped = Command::new(program);
    wrapped
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    run_command(&mut wrapped)
}

/// Run a command that may have 64 files open.
fn with_64_descriptors(studio: &Studio, arguments: &[&str]) -> Run {
    let script = "ulimit -n 64 && exec \"$@\"";
    under(&studio.command(arguments), "/bin/sh", &["-c", script, "sh"])
}

/// Put the remote that the version before left, with 160 recipe segments, where the studio's remote is.
fn grow(studio: &Studio) {
    let archive = repository().join("fixtures/format/v1/grown.tar.zst");
    let packed = fs::read(archive).expect("a fixture");
    let bytes = zstd::stream::decode_all(&packed[..]).expect("unpacked");
    let remote = studio.path("remote");
    fs::create_dir_all(&remote).expect("made");
    tar::Archive::new(&bytes[..]).unpack(&remote).expect("unpacked");
}

#[test]
fn an_old_remote_is_used_with_64_descriptors() {
    let studio = Studio::empty();
    grow(&studio);
    studio.workspace("ws");
    studio.asset("Table", 5, 20_000);
    with_64_descriptors(&studio, &["-w", "ws", "publish", "Table"]).ok();
    for arguments in [
        vec!["-w", "ws", "verify", "--remote"],
        vec!["-w", "ws", "du", "Table"],
        vec![
            "-w",
            "ws",
            "gc",
            "--remote",
            "--no-other-writers",
            "--young",
            "0s",
            "--grace",
            "0s",
            "--allow-most",
        ],
        vec!["-w", "ws", "push"],
    ] {
        with_64_descriptors(&studio, &arguments).ok();
    }
    studio.workspace("other");
    with_64_descriptors(&studio, &["-w", "other", "install", "Table"]).ok();
    with_64_descriptors(&studio, &["-w", "other", "pull"]).ok();
    assert_eq!(studio.wrong_objects("cache"), Vec::<std::path::PathBuf>::new());
}

/// System calls of a command by name.
fn calls(studio: &Studio, names: &str, arguments: &[&str]) -> String {
    let log = studio.path("calls.log");
    let (log, names) = (log.display().to_string(), format!("trace={names}"));
    let arguments_of_strace = ["-f", "-qq", "-e", &names, "-e", "signal=none", "-o", &log];
    under(&studio.command(arguments), "strace", &arguments_of_strace).ok();
    fs::read_to_string(&log).expect("a log")
}

fn count(log: &str, name: &str) -> usize {
    let call = format!("{name}(");
    log.lines().filter(|line| line.contains(&call)).count()
}

/// Change two of five files and publish the next version; the calls of the publish.
fn publish_next(studio: &Studio, seed: u64, traced: bool) -> String {
    for frame in ["f.0001.exr", "f.0002.exr"] {
        let path = format!("ws/outputs/table/src/table/frames/{frame}");
        studio.write(
            &path,
            &backlot_tests::noise(20_000, seed + u64::from(frame.as_bytes()[5])),
        );
    }
    studio.ws(&["bump", "Table", "minor"]).ok();
    if traced {
        return calls(
            studio,
            "fsync,fdatasync,openat",
            &["-w", "ws", "publish", "Table"],
        );
    }
    studio.ws(&["publish", "Table"]).ok();
    String::new()
}

#[test]
fn a_publish_waits_for_the_disk_only_for_what_a_promise_rests_on_and_costs_the_same_after_many_versions() {
    let studio = Studio::new();
    studio.asset("Table", 5, 20_000);
    studio.ws(&["publish", "Table"]).ok();
    publish_next(&studio, 100, false);
    let young = publish_next(&studio, 200, true);
    // Pack, recipe, manifest, pointer, wheel, fact and the record of its event, each with the folders that name it.
    let syncs = count(&young, "fsync") + count(&young, "fdatasync");
    assert!(syncs <= 18, "{syncs} syncs:\n{young}");
    for version in 0..30 {
        publish_next(&studio, 1000 + version * 100, false);
    }
    // Events of the last two seconds are read again, whatever they are of.
    std::thread::sleep(std::time::Duration::from_secs(3));
    publish_next(&studio, 9000, false);
    let old = publish_next(&studio, 9100, true);
    let (before, after) = (count(&young, "openat"), count(&old, "openat"));
    assert!(
        after <= before + 60,
        "{before} files were opened at 3 versions, {after} at 35"
    );
}

/// How many calls a command makes that touch files.
fn touches(studio: &Studio, arguments: &[&str]) -> usize {
    let names = "openat,statx,newfstatat,read,pread64,linkat,mkdir,rename,unlink";
    let log = calls(studio, names, arguments);
    names.split(',').map(|name| count(&log, name)).sum()
}

/// A studio of published assets of three files, and a consumer `w2` that has them all. Without an interpreter, so that none is
/// asked what it is.
fn wide(assets: usize) -> Studio {
    let studio = Studio::empty();
    for workspace in ["ws", "w2"] {
        studio.run(&["init", workspace, "--python", "none"]).ok();
        for place in [
            ["repo", "add", "review", "review"],
            ["remote", "add", "main", "remote"],
        ] {
            studio.run(&[&["-w", workspace], &place[..]].concat()).ok();
        }
    }
    let names: Vec<String> = (0..assets).map(|asset| format!("A{asset}")).collect();
    for name in &names {
        studio.asset(name, 3, 2_000);
        studio.ws(&["publish", name]).ok();
    }
    let mut install = vec!["-w", "w2", "install"];
    install.extend(names.iter().map(String::as_str));
    studio.run(&install).ok();
    studio.run(&["-w", "w2", "pull"]).ok();
    // A change of a moment ago is looked at again.
    std::thread::sleep(std::time::Duration::from_secs(3));
    studio.ws(&["status"]).ok();
    studio.ws(&["dirty"]).ok();
    studio.run(&["-w", "w2", "pull"]).ok();
    studio
}

#[test]
fn a_command_costs_what_it_is_asked_for_and_a_bounded_number_of_calls_for_each_asset_it_looks_at() {
    let (few, many) = (4, 16);
    let studios = [(wide(few), few), (wide(many), many)];
    let folders: Vec<String> = (0..many)
        .map(|asset| format!("ws/outputs/a{asset}/src/a{asset}/frames"))
        .collect();
    // A command, and the calls that one more asset of three files may cost it.
    let bounds: [(&[&str], usize); 11] = [
        (&["-w", "ws", "new", "Extra"], 2),
        (&["-w", "ws", "bump", "A1", "minor"], 6),
        // Four of them look whether a package changed, for the report of what the publish affects.
        (&["-w", "ws", "publish", "A1"], 13),
        (&["-w", "ws", "push", "A1"], 6),
        (&["-w", "ws", "status"], 270),
        (&["-w", "ws", "push"], 100),
        (&["-w", "ws", "add"], 250),
        (&["-w", "w2", "pull"], 185),
        (&["-w", "w2", "install", "A1"], 150),
        (&["-w", "w2", "install"], 40),
        (&["-w", "w2", "status"], 120),
    ];
    let mut found = Vec::new();
    for (command, bound) in bounds {
        let [at_few, at_many] = studios.each_ref().map(|(studio, count)| {
            let mut arguments = command.to_vec();
            if command.contains(&"add") {
                arguments.extend(folders[..*count].iter().map(String::as_str));
            }
            touches(studio, &arguments)
        });
        let each = at_many.saturating_sub(at_few) / (many - few);
        found.push((
            each <= bound,
            format!("{command:?}: {at_few} and {at_many}, {each} each, at most {bound}"),
        ));
    }
    assert!(found.iter().all(|(holds, _)| *holds), "{found:#?}");
}

/// Publish some versions of an asset, one frame of each new.
fn publish_versions(studio: &Studio, name: &str, versions: std::ops::Range<u64>) {
    let module = name.to_lowercase();
    for version in versions {
        let path = format!("ws/outputs/{module}/src/{module}/frames/f.0001.exr");
        studio.write(&path, &backlot_tests::noise(20_000, 500 + version));
        studio.ws(&["bump", name, "minor"]).ok();
        studio.ws(&["publish", name]).ok();
    }
}

#[test]
fn du_of_one_asset_reads_the_releases_of_others_once() {
    let studio = Studio::new();
    for name in ["Table", "Chair"] {
        studio.asset(name, 5, 20_000);
        // A frame that no other asset has.
        let folder = format!("ws/outputs/{0}/src/{0}/frames", name.to_lowercase());
        let seed = name.len() as u64 + u64::from(name.as_bytes()[0]);
        studio.write(
            &format!("{folder}/f.0002.exr"),
            &backlot_tests::noise(20_000, seed),
        );
        studio.ws(&["add", &folder]).ok();
        studio.ws(&["publish", name]).ok();
    }
    publish_versions(&studio, "Chair", 0..6);
    let du = ["-w", "ws", "du", "Table", "--json"];
    let opens = || count(&calls(&studio, "openat", &du), "openat");
    let told = || studio.run(&du).ok().json();
    let reading = opens();
    let few = opens();
    assert!(few + 6 <= reading, "{reading} files were opened, then {few}");
    publish_versions(&studio, "Chair", 6..30);
    // Frames that another asset has, too, are not only this one's.
    let first = told()["releases"][0]["exclusive"].clone();
    studio.asset("Twin", 1, 100);
    let bytes = fs::read(studio.path("ws/outputs/table/src/table/frames/f.0002.exr")).expect("there");
    studio.write("ws/outputs/twin/src/twin/frames/f.0001.exr", &bytes);
    studio.ws(&["publish", "Twin"]).ok();
    let shared = told();
    assert!(
        shared["releases"][0]["exclusive"].as_u64() < first.as_u64(),
        "{shared:#}"
    );
    let many = opens();
    // Of how many segments the remote is at the time is chance; a release that was read again would be an open at least.
    assert!(
        many <= few + 20,
        "{few} files are opened at 8 releases, {many} at 33"
    );
    // It is what somebody is told who remembers nothing, or something damaged.
    let needs = studio.path("cache/needs");
    let mut bytes = fs::read(&needs).expect("remembered");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&needs, bytes).expect("written");
    assert_eq!(told(), shared);
    assert_eq!(told(), shared);
    fs::remove_file(&needs).expect("removed");
    assert_eq!(told(), shared);
    assert!(needs.is_file());
}

#[test]
fn an_update_looks_at_no_frame_that_stays_and_its_pull_reads_none() {
    let studio = Studio::new();
    studio.asset("Table", 60, 2_000);
    studio.ws(&["publish", "Table"]).ok();
    studio.workspace("user");
    studio.run(&["-w", "user", "install", "Table"]).ok();
    studio.run(&["-w", "user", "pull"]).ok();
    publish_next(&studio, 300, false);
    // Of each of the two frames that change.
    for (step, looks, most) in [("update", "openat,statx,newfstatat", 4), ("pull", "openat", 2)] {
        let log = calls(&studio, looks, &["-w", "user", step]);
        let frames: Vec<&str> = log.lines().filter(|line| line.contains(".exr")).collect();
        assert!(frames.len() <= 2 * most, "{step}: {frames:#?}");
    }
    let ours = studio.snapshot("ws/outputs/table/src/table/frames");
    let theirs = studio.snapshot("user/inputs");
    let is_frame = |path: &&String| path.ends_with(".exr");
    assert_eq!(theirs.keys().filter(is_frame).count(), ours.len());
    studio.run(&["-w", "user", "verify", "--inputs"]).ok();
}
