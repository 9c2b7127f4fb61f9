//! What is shared is stored once, wherever it comes from, and taken from where it is near.

use backlot_core::Context;
use fs_err as fs;

use super::{Place, Random, contents, push};
use crate::remote::{Remote, RemoteConfig, RemoteLayout};

#[test]
fn files_of_all_sizes_come_back_to_a_machine_that_never_saw_the_remote() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(1));
    let report = push(&place.remote(), &cache, &items).expect("pushed");
    assert_eq!(report.objects, items.len() as u64);
    assert!(report.sent < report.bytes);
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
    // One pack, one index segment, one recipe segment.
    assert_eq!(place.stored().len(), 3);
    let again = push(&place.remote_from("elsewhere"), &cache, &items).expect("pushed");
    assert_eq!((again.objects, again.sent), (0, 0));
    assert_eq!(place.stored().len(), 3);
}

#[test]
fn a_changed_place_in_a_large_file_costs_a_few_chunks_to_send_and_to_fetch() {
    let place = Place::new();
    let cache = place.cache("cache");
    let mut bytes = Random::new(5).bytes(20 << 20);
    let first = place.add(&cache, &[bytes.clone()]);
    push(&place.remote(), &cache, &first).expect("pushed");
    let before = place.stored_bytes();
    bytes.splice(7_000_000..7_000_000, *b"a few bytes more");
    bytes[15_000_000] ^= 1;
    let second = place.add(&cache, &[bytes]);
    let report = push(&place.remote(), &cache, &second).expect("pushed");
    assert!(report.sent < 1 << 20, "{} bytes were sent", report.sent);
    assert!(place.stored_bytes() - before < 1 << 20);
    // Who has the first version takes from it what did not change: all packs but the new one may be gone.
    let other = place.cache("other");
    let remote = place.remote_from("elsewhere");
    remote.pull(&other, &first, &Context::default()).expect("pulled");
    let packs: Vec<_> = place
        .stored()
        .into_iter()
        .filter(|(key, _)| key.contains("/packs/"))
        .collect();
    let (large, _) = packs.iter().max_by_key(|(_, size)| *size).expect("a pack");
    let path = place.path("remote").join(large);
    let table = fs::read(&path).expect("there");
    let mut wiped = table.clone();
    wiped[16..15 << 20].fill(0);
    fs::write(&path, wiped).expect("wiped");
    let (results, _) = remote.pull(&other, &second, &Context::default()).expect("pulled");
    assert!(matches!(results[0], crate::remote::Fetched::Stored(_)));
    assert_eq!(
        fs::read(other.object_path(&second[0].id)).expect("there"),
        fs::read(cache.object_path(&second[0].id)).expect("there")
    );
}

#[test]
fn chunks_are_found_by_pushers_who_never_met() {
    let place = Place::new();
    let (here, there) = (place.cache("here"), place.cache("there"));
    let mut bytes = Random::new(8).bytes(3 << 20);
    push(&place.remote(), &here, &place.add(&here, &[bytes.clone()])).expect("pushed");
    bytes.extend_from_slice(b"more at the end");
    let items = place.add(&there, &[bytes]);
    let report = push(&place.remote_from("elsewhere"), &there, &items).expect("pushed");
    assert!(report.sent < 600_000, "{} bytes were sent", report.sent);
    assert!(place.broken(&place.remote(), &items, &there).is_empty());
}

fn remote(place: &Place, name: &str, layout: RemoteLayout) -> Remote {
    Remote::open(&RemoteConfig {
        url: place.path(name).display().to_string(),
        layout,
        mirrors: place.path("mirrors"),
    })
    .expect("a remote")
}

#[test]
fn files_are_copied_between_remotes_of_both_layouts_and_back() {
    let place = Place::new();
    let context = Context::default();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(3));
    let scratch = place.path("scratch");
    let chunked = remote(&place, "one", RemoteLayout::Chunked);
    chunked.push(&cache, &items, &context).expect("pushed");
    let mut last = chunked;
    for (name, layout) in [
        ("two", RemoteLayout::Chunked),
        ("three", RemoteLayout::Dvc),
        ("four", RemoteLayout::Dvc),
        ("five", RemoteLayout::Chunked),
    ] {
        let next = remote(&place, name, layout);
        let report = last.copy_to(&next, &items, &scratch, &context).expect("copied");
        assert_eq!(report.objects, items.len() as u64, "{name}");
        let again = last
            .copy_to(&next, &items, &scratch, &context)
            .expect("copied again");
        assert_eq!(
            (again.objects, again.already_there),
            (0, items.len() as u64),
            "{name}"
        );
        let pulled = place.cache(&format!("pulled-{name}"));
        next.pull(&pulled, &items, &context).expect("pulled");
        for item in &items {
            assert!(
                fs::read(pulled.object_path(&item.id)).expect("there")
                    == fs::read(cache.object_path(&item.id)).expect("there")
            );
        }
        last = next;
    }
    assert!(!scratch.exists() || fs::read_dir(&scratch).expect("listed").count() == 0);
    // A later version sends only its own chunks from one chunked remote to another.
    let mut bytes = contents(3).pop().expect("some");
    bytes[5_000_000] ^= 1;
    let later = place.add(&cache, &[bytes]);
    let one = remote(&place, "one", RemoteLayout::Chunked);
    one.push(&cache, &later, &context).expect("pushed");
    let two = remote(&place, "two", RemoteLayout::Chunked);
    let report = one.copy_to(&two, &later, &scratch, &context).expect("copied");
    assert!(report.sent < 600_000, "{} bytes were sent", report.sent);
}

/// What becomes of a cache.
type Harm<'a> = &'a dyn Fn(&crate::Cache);

/// Write over a place of a cache object as a damaged disk would.
fn damage(cache: &crate::Cache, item: &crate::object::Transfer, at: usize) {
    let path = cache.object_path(&item.id);
    let mut bytes = fs::read(&path).expect("there");
    bytes[at] ^= 1;
    fs::remove_file(&path).expect("removed");
    fs::write(&path, bytes).expect("written");
}

#[test]
fn a_large_file_is_right_whatever_the_cache_objects_that_ranges_of_it_are_copied_from_have_become() {
    let place = Place::new();
    let cache = place.cache("cache");
    let context = Context::default();
    let mut bytes = Random::new(6).bytes(80 << 20);
    // Zeros that a copy leaves out are zeros all the same.
    bytes[20 << 20..24 << 20].fill(0);
    let first = place.add(&cache, &[bytes.clone()]);
    bytes.splice(30 << 20..30 << 20, *b"a few bytes more");
    bytes[70 << 20] ^= 1;
    let second = place.add(&cache, &[bytes]);
    let remote = remote(&place, "one", RemoteLayout::Chunked);
    remote.push(&cache, &first, &context).expect("pushed");
    remote.push(&cache, &second, &context).expect("pushed");
    let harms: [(&str, Harm<'_>); 4] = [
        ("sound", &|_| ()),
        ("flipped", &|cache| damage(cache, &first[0], 50 << 20)),
        ("cut", &|cache| {
            let path = cache.object_path(&first[0].id);
            let bytes = fs::read(&path).expect("there");
            fs::remove_file(&path).expect("removed");
            fs::write(&path, &bytes[..40 << 20]).expect("written");
        }),
        ("gone", &|cache| {
            fs::remove_file(cache.object_path(&first[0].id)).expect("removed");
        }),
    ];
    for (name, harm) in harms {
        let near = place.cache(name);
        remote.pull(&near, &first, &context).expect("pulled");
        harm(&near);
        remote.pull(&near, &second, &context).expect("pulled");
        let object = fs::read(near.object_path(&second[0].id)).expect("there");
        assert!(
            object == fs::read(cache.object_path(&second[0].id)).expect("there"),
            "{name}"
        );
    }
}

#[test]
fn a_version_is_told_what_it_cost() {
    let place = Place::new();
    let cache = place.cache("cache");
    let context = Context::default();
    let mut bytes = Random::new(11).bytes(8 << 20);
    let first = place.add(&cache, &[bytes.clone()]);
    bytes[4_000_000] ^= 1;
    let second = place.add(&cache, &[bytes]);
    for layout in [RemoteLayout::Chunked, RemoteLayout::Dvc] {
        let remote = remote(&place, layout.as_str(), layout);
        remote.push(&cache, &first, &context).expect("pushed");
        remote.push(&cache, &second, &context).expect("pushed");
        let usage = remote
            .usage(&[(vec![first[0].id], true), (vec![second[0].id], true)], &context)
            .expect("told");
        // What is not asked about is compared with all the same.
        let alone = remote
            .usage(
                &[(vec![first[0].id], false), (vec![second[0].id], true)],
                &context,
            )
            .expect("told");
        assert_eq!(alone, [None, usage[1]]);
        let usage: Vec<_> = usage.into_iter().flatten().collect();
        assert_eq!((usage[0].logical, usage[1].logical), (8 << 20, 8 << 20));
        assert_eq!(usage[0].stored, usage[0].added);
        if layout == RemoteLayout::Chunked {
            assert!(usage[1].added < 600_000 && usage[1].exclusive == usage[1].added);
        } else {
            assert_eq!(usage[1].added, 8 << 20);
        }
    }
}

#[test]
fn a_place_that_dvc_uses_is_not_taken_for_ours() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &[b"frame".to_vec()]);
    remote(&place, "used", RemoteLayout::Dvc)
        .push(&cache, &items, &Context::default())
        .expect("pushed");
    let url = place.path("used").display().to_string();
    assert_eq!(Remote::detect_layout(&url).expect("told"), RemoteLayout::Dvc);
    let error = remote(&place, "used", RemoteLayout::Chunked)
        .push(&cache, &items, &Context::default())
        .expect_err("refused");
    assert!(matches!(error, crate::Error::BadRemote { .. }), "{error}");
    let url = place.path("new").display().to_string();
    assert_eq!(Remote::detect_layout(&url).expect("told"), RemoteLayout::Chunked);
}
