//! Large files: a new version only stores its changes, holes stay holes, and nothing is read twice.

use std::path::Path;
use std::process::Command;

use backlot_tests::disks::Disk;
use backlot_tests::{Studio, noise, run_command};
use fs_err as fs;

const FILE: &str = "ws/outputs/table/src/table/sim.bin";

fn publish(studio: &Studio, bytes: &[u8]) {
    studio.write(FILE, bytes);
    studio.ws(&["add", FILE]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
}

/// A workspace with a cache of its own gets the newest release.
fn receive(studio: &Studio, cache: &Path) -> Vec<u8> {
    for arguments in [&["-w", "w2", "install", "Table", "-U"][..], &["-w", "w2", "pull"]] {
        run_command(studio.command(arguments).env("BACKLOT_CACHE_DIR", cache)).ok();
    }
    let found = studio.snapshot("w2/inputs");
    let sim = found
        .into_iter()
        .find(|(path, _)| path.ends_with("table/sim.bin"));
    sim.expect("pulled").1
}

#[test]
fn a_new_version_of_a_large_file_takes_the_disk_of_a_cache_only_what_is_new_about_it() {
    let studio = Studio::new();
    let Some(disk) = Disk::with_shared_blocks(&studio.path("disk")) else {
        return;
    };
    studio.workspace("w2");
    studio.ws(&["new", "Table"]).ok();
    let mut bytes = noise(96 << 20, 7);
    publish(&studio, &bytes);
    let cache = studio.path("disk/cache");
    assert!(receive(&studio, &cache) == bytes);
    let before = disk.used();
    assert!(before > 96 << 20, "{before} bytes");
    bytes[40 << 20..41 << 20].copy_from_slice(&noise(1 << 20, 8));
    publish(&studio, &bytes);
    assert!(receive(&studio, &cache) == bytes);
    let more = disk.used() - before;
    assert!(more < 16 << 20, "{more} bytes more");
    assert!(studio.wrong_objects("disk/cache").is_empty());
}

/// Bytes that a command reads from a file.
fn bytes_read(studio: &Studio, arguments: &[&str], name: &str) -> u64 {
    let log = studio.path("reads.log");
    let command = studio.command(arguments);
    let mut traced = Command::new("strace");
    traced.args([
        "-f",
        "-qq",
        "-y",
        "-e",
        "trace=read,pread64,copy_file_range,sendfile",
        "-e",
        "signal=none",
        "-o",
    ]);
    traced
        .arg(&log)
        .arg(command.get_program())
        .args(command.get_args());
    traced
        .current_dir(command.get_current_dir().expect("a folder"))
        .env_clear();
    traced.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    run_command(&mut traced).ok();
    let text = fs::read_to_string(&log).expect("a log");
    let reads = text
        .lines()
        .filter(|line| line.contains("read") && line.contains(name));
    reads
        .filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok())
        .sum()
}

#[test]
fn a_changed_file_is_hashed_once_by_status_and_add_together() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let size = 12 << 20;
    studio.write(FILE, &noise(size, 1));
    studio.ws(&["add", FILE]).ok();
    studio.write(FILE, &noise(size, 2));
    // What changed a moment ago may change again unseen, so it is read again.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let size = size as u64;
    let status = bytes_read(&studio, &["-w", "ws", "status"], "sim.bin");
    // Some calls are told in two lines, the second without the name.
    assert!((size / 2..size + 1_000_000).contains(&status), "{status} bytes");
    // It goes into the cache by the system's copy.
    let add = bytes_read(&studio, &["-w", "ws", "add", FILE], "sim.bin");
    assert!(add < 1_000_000, "{add} bytes are read again");
    assert!(studio.wrong_objects("cache").is_empty());
    let after = bytes_read(&studio, &["-w", "ws", "status"], "sim.bin");
    assert!(after < 1_000_000, "{after} bytes");
}

#[test]
#[cfg(unix)]
fn holes_of_a_file_stay_holes_from_add_over_the_remote_to_another_workspace() {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    let studio = Studio::new();
    studio.workspace("w2");
    studio.ws(&["new", "Table"]).ok();
    let data = noise(500_000, 3);
    studio.write(FILE, &data);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(studio.path(FILE))
        .expect("open");
    file.set_len(120 << 20).expect("long");
    file.file().write_all_at(&data, 70 << 20).expect("written");
    drop(file);
    let taken = |path: &Path| fs::metadata(path).expect("there").blocks() * 512;
    let source = studio.path(FILE);
    assert!(taken(&source) < 4 << 20);
    studio.ws(&["add", FILE, "--push"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let bytes = receive(&studio, &studio.path("cache2"));
    assert!(bytes == fs::read(&source).expect("there"));
    let mut large = Vec::new();
    for place in ["cache", "cache2", "w2/inputs"] {
        for (path, bytes) in studio.snapshot(place) {
            if bytes.len() == 120 << 20 {
                large.push((taken(&studio.path(place).join(&path)), format!("{place}/{path}")));
            }
        }
    }
    assert!(large.len() >= 3, "{large:?}");
    assert!(large.iter().all(|(taken, _)| *taken < 4 << 20), "{large:?}");
}
