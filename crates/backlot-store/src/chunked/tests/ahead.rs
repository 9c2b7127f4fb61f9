//! Adding and sending in one pass comes to the same as adding, then pushing.

use backlot_core::Context;
use fs_err as fs;

use super::{Files, Place, Random, contents, push};
use crate::digest_bytes;

/// Files of all sizes, among them one that is read in many batches.
fn files() -> Vec<Vec<u8>> {
    let mut all = contents(1);
    all.push(Random::new(9).bytes(21_000_001));
    all
}

#[test]
fn what_is_added_ahead_is_in_the_cache_and_comes_back_from_the_remote() {
    let place = Place::new();
    let cache = place.cache("cache");
    let (items, sent) = Files::of(&place, &files())
        .add_ahead(&place.remote(), &cache)
        .expect("added");
    for (item, bytes) in items.iter().zip(files()) {
        let digests = digest_bytes(&bytes);
        assert_eq!((item.id.md5, item.blake3), (digests.md5, Some(digests.blake3)));
        assert!(fs::read(cache.object_path(&item.id)).expect("there") == bytes);
        assert!(
            cache.has(&item.id).expect("asked"),
            "it is read-only, so it is trusted"
        );
    }
    assert_eq!(sent.objects, items.len() as u64);
    let objects = place.stored();
    // The push that follows has nothing left to send.
    let report = push(&place.remote(), &cache, &items).expect("pushed");
    assert_eq!(
        (report.objects, report.sent, report.already_there),
        (0, 0, sent.objects)
    );
    assert_eq!(place.stored(), objects);
    let broken = place.broken(&place.remote_from("elsewhere"), &items, &cache);
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn it_stores_what_adding_and_then_pushing_stores() {
    let (one, two) = (Place::new(), Place::new());
    Files::of(&one, &files())
        .add_ahead(&one.remote(), &one.cache("cache"))
        .expect("added");
    let cache = two.cache("cache");
    let items = two.add(&cache, &files());
    push(&two.remote(), &cache, &items).expect("pushed");
    assert_eq!(one.stored().len(), two.stored().len());
    // Which chunk is the sample for the next ones depends on which core is first.
    let (ahead, apart) = (one.stored_bytes(), two.stored_bytes());
    assert!(ahead.abs_diff(apart) * 100 < apart, "{ahead} and {apart}");
}

#[test]
#[cfg(unix)]
fn holes_stay_holes_in_the_cache_and_in_what_comes_back_from_the_remote() {
    use backlot_core::file::is_sparse;
    let place = Place::new();
    for (name, size) in [("cache", 90 << 20), ("small", 3 << 20)] {
        let files = Files::of(&place, &[Vec::new()]);
        let file = fs::File::create(&files.paths[0]).expect("made");
        let data = Random::new(size).bytes(700_000);
        for offset in [0, size / 2 + 12_345] {
            std::os::unix::fs::FileExt::write_all_at(file.file(), &data, offset).expect("written");
        }
        file.set_len(size).expect("long");
        assert!(is_sparse(&file.metadata().expect("there")));
        let cache = place.cache(name);
        let (items, _) = files.add_ahead(&place.remote(), &cache).expect("added");
        let elsewhere = place.cache(&format!("{name} elsewhere"));
        place
            .remote_from("elsewhere")
            .pull(&elsewhere, &items, &Context::default())
            .expect("pulled");
        for cache in [&cache, &elsewhere] {
            let object = cache.object_path(&items[0].id);
            assert!(fs::read(&object).expect("there") == fs::read(&files.paths[0]).expect("there"));
            let found = fs::metadata(&object).expect("there");
            assert!(is_sparse(&found), "{name}: {} blocks", found_blocks(&found));
            assert!(found_blocks(&found) * 512 < 3 << 20, "{}", found_blocks(&found));
        }
    }
}

#[cfg(unix)]
fn found_blocks(found: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(found)
}

#[test]
fn the_same_content_is_stored_once_whoever_had_it_first() {
    let place = Place::new();
    let frame = Random::new(4).bytes(3_000_000);
    let here = place.cache("here");
    push(
        &place.remote(),
        &here,
        &place.add(&here, std::slice::from_ref(&frame)),
    )
    .expect("pushed");
    let before = place.stored();
    let again = Files::of(&place, &[frame.clone(), frame]);
    let (items, sent) = again
        .add_ahead(&place.remote_from("elsewhere"), &place.cache("there"))
        .expect("added");
    assert_eq!(items[0], items[1]);
    assert_eq!((sent.objects, sent.sent), (0, 0));
    assert_eq!(place.stored(), before);
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_kept() {
    let place = Place::new();
    let cache = place.cache("cache");
    let files = Files::of(&place, &files());
    let lost = &files.paths[3];
    fs::remove_file(lost).expect("removed");
    fs::create_dir(lost).expect("made");
    let error = files
        .add_ahead(&place.remote(), &cache)
        .expect_err("it is no file");
    assert!(error.to_string().contains(&lost.display().to_string()), "{error}");
    assert_eq!(cache.list().expect("listed").len(), files.paths.len() - 1);
    assert_eq!(fs::read_dir(cache.root().join("tmp")).expect("listed").count(), 0);
    let context = Context::default();
    assert_eq!(
        place.remote().list(&context).expect("listed").len(),
        files.paths.len() - 1
    );
}
