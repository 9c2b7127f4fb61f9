//! One large file: added, sent and fetched within the documented memory limits.
//!
//! It has 64 MiB; built with `BACKLOT_HEAVY=1` in the environment 20 GiB, which needs 23 GiB of disk below `TMPDIR` and some
//! minutes. Each MiB of the file begins with distinct bytes; the rest is a hole, which uses no disk space and is read like
//! any data.

use std::io::{Read, Seek as _, SeekFrom, Write as _};

use backlot_tests::memory::watched;
use backlot_tests::{Studio, noise};
use fs_err as fs;

const BLOCKS: u64 = if option_env!("BACKLOT_HEAVY").is_some() {
    20 << 10
} else {
    64
};
const BLOCK: usize = 1 << 20;
const OWN: usize = 64 << 10;
/// What is promised, in KiB.
const MOST_KIB: u64 = 256 << 10;

/// The bytes of a block that are not zero.
fn own(block: u64) -> Vec<u8> {
    noise(OWN, 1 + block)
}

/// The peak of the command's memory in KiB.
fn peak(studio: &Studio, arguments: &[&str]) -> u64 {
    let (run, peak) = watched(studio, arguments);
    run.ok();
    peak
}

#[test]
fn a_large_file_is_put_and_got_in_less_than_256_mib_of_memory() {
    let studio = Studio::new();
    let settings = "ws/backlot.toml";
    let text = fs::read_to_string(studio.path(settings)).expect("there");
    // No second copy of it: the disk is to be filled once.
    let text = text.replacen("[workspace]", "[workspace]\nlinks = [\"hardlink\"]", 1);
    studio.write(settings, text.as_bytes());
    studio.ws(&["new", "Sim"]).ok();
    let cache = "ws/outputs/sim/src/sim/sim.cache";
    let mut file = fs::File::create(studio.path(cache)).expect("made");
    for block in 0..BLOCKS {
        file.seek(SeekFrom::Start(block * BLOCK as u64)).expect("moved");
        file.write_all(&own(block)).expect("written");
    }
    file.set_len(BLOCKS * BLOCK as u64).expect("made longer");
    drop(file);

    let put = peak(&studio, &["-w", "ws", "add", cache, "--push"]);
    for old in [cache, "cache"] {
        let old = studio.path(old);
        if old.is_dir() {
            fs::remove_dir_all(old).expect("removed");
        } else {
            fs::remove_file(old).expect("removed");
        }
    }
    let get = peak(&studio, &["-w", "ws", "pull"]);

    let mut file = fs::File::open(studio.path(cache)).expect("it is back");
    let mut bytes = vec![0; BLOCK];
    for block in 0..BLOCKS {
        file.read_exact(&mut bytes).expect("long enough");
        assert!(bytes[..OWN] == own(block), "block {block}");
        assert!(bytes[OWN..].iter().all(|byte| *byte == 0), "block {block}");
    }
    assert_eq!(Read::read(&mut file, &mut bytes).expect("read"), 0);
    assert!(put < MOST_KIB && get < MOST_KIB, "put {put} KiB, get {get} KiB");
}
