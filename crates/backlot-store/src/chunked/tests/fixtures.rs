//! Golden files: a remote as version 1 of the format writes it, which must be readable for ever.

use backlot_core::Context;
use fs_err as fs;

use super::{Place, Random, push};
use crate::object::Transfer;

/// The contents of the golden remote, in the order of `files.txt`.
fn golden_contents() -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let mut halves: Vec<u8> = Vec::new();
    for i in 0..40_000u16 {
        halves.extend_from_slice(
            &(15_000 + i / 7 + u16::try_from(random.next() % 3).unwrap_or(0)).to_le_bytes(),
        );
    }
    vec![Vec::new(), b"one chunk\n".to_vec(), random.bytes(150_000), halves]
}

fn golden() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/format/v1/remote")
}

#[test]
fn a_remote_of_version_1_is_read_for_ever() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &golden_contents());
    if std::option_env!("BACKLOT_MAKE_FIXTURES").is_some() {
        push(&place.remote(), &cache, &items).expect("pushed");
        fs::remove_dir_all(golden()).ok();
        copy(&place.path("remote"), &golden());
    }
    copy(&golden(), &place.path("remote"));
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
    let report = push(&place.remote_from("third"), &cache, &items).expect("pushed");
    assert_eq!((report.objects, report.already_there), (0, items.len() as u64));
    // The chunks are found too: the same file with more behind it costs its end only.
    let mut longer = golden_contents().pop().expect("some");
    longer.extend_from_slice(b"and more");
    let more: Vec<Transfer> = place.add(&cache, &[longer]);
    let report = place
        .remote_from("third")
        .push(&cache, &more, &Context::default())
        .expect("pushed");
    assert!(report.sent < report.bytes, "{} bytes were sent", report.sent);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
