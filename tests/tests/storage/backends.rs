//! One suite for every kind of store, with real servers where available: the contract of `ObjectStore` holds on each.
//!
//! Listings have 2,300 objects, more than two pages; built with `BACKLOT_HEAVY=1` in the environment 100,000, and a large object has
//! 5 GiB instead of 80 MiB.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backlot_backend::{CommitBy, Error, How, ObjectStore, Put, RenameOutcome, each};
use backlot_core::Context;
use backlot_tests::noise;
use backlot_tests::stores::Store;

const IS_HEAVY: bool = option_env!("BACKLOT_HEAVY").is_some();
const LISTED: usize = if IS_HEAVY { 100_000 } else { 2_300 };
const LONG_BLOCKS: usize = if IS_HEAVY { 5 << 10 } else { 80 };
const KIND: &str = "application/octet-stream";
/// Writers of one name at once, each on a machine of its own, and how often.
const RACERS: usize = 16;
const ROUNDS: usize = 100;

/// Everything below a prefix with its size.
fn sizes(store: &dyn ObjectStore, prefix: &str) -> BTreeMap<String, u64> {
    let entries = store.list(prefix, true).expect("listed");
    let objects = entries.into_iter().filter(|entry| !entry.key.ends_with('/'));
    objects.map(|entry| (entry.key, entry.size)).collect()
}

fn read(store: &dyn ObjectStore, key: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let is_there = store.fetch(key, &mut |block| {
        bytes.extend_from_slice(block);
        true
    });
    is_there.expect("fetched").then_some(bytes)
}

/// Names that people give, and those that mean something to a URL, a shell or XML.
fn names_come_back_as_they_were(store: &dyn ObjectStore) {
    let names = [
        "sp ace+ü%25#&'.exr",
        "日本/フレーム.0001.exr",
        "semi;colon=1,comma@host",
        "[brackets] {braces} (parens)",
        "tilde~ dollar$ bang!",
        "a.b-c_d",
        "<tag>&amp;",
    ];
    for (number, name) in names.iter().enumerate() {
        let key = format!("names/{name}");
        let bytes = noise(100 + number, number as u64);
        store.write(&key, bytes.clone(), KIND).expect(&key);
        let found = store.stat(&key).expect(&key).expect(&key);
        assert_eq!(
            (found.key.as_str(), found.size),
            (key.as_str(), bytes.len() as u64)
        );
        assert_eq!(store.read(&key, 1000).expect(&key), Some(bytes), "{key}");
    }
    let listed: Vec<String> = sizes(store, "names/").into_keys().collect();
    let mut right: Vec<String> = names.iter().map(|name| format!("names/{name}")).collect();
    right.sort();
    assert_eq!(listed, right);
    store.delete_many(&right).expect("removed");
    assert_eq!(sizes(store, "names/"), BTreeMap::new());
    assert_eq!(store.stat(&right[0]).expect("asked"), None);
    store
        .write("folder/object", b"one".to_vec(), "text/plain")
        .expect("written");
    assert_eq!(
        store.stat("folder").expect("asked"),
        None,
        "a folder is no object"
    );
    store.delete(&right[0]).expect("removing what is gone is fine");
}

/// Bytes from the middle, past the end, of nothing, of what is not there.
fn parts_are_cut_as_asked(store: &dyn ObjectStore) {
    let bytes = noise(100_000, 7);
    store.write("parts/object", bytes.clone(), KIND).expect("written");
    for (start, length, right) in [
        (0, 10, &bytes[..10]),
        (50_000, 1000, &bytes[50_000..51_000]),
        (99_990, 1000, &bytes[99_990..]),
        (99_999, 1, &bytes[99_999..]),
        (100_000, 10, &[][..]),
        (500_000, 10, &[][..]),
    ] {
        let part = store.part("parts/object", start, length).expect("read");
        assert_eq!(part.as_deref(), Some(right), "{start}+{length}");
    }
    assert_eq!(store.part("parts/none", 0, 10).expect("asked"), None);
    assert_eq!(store.read("parts/none", 10).expect("asked"), None);
    assert!(read(store, "parts/none").is_none());
    let first = store.read("parts/object", 99).expect("read").expect("there");
    assert_eq!(first, bytes[..100], "one more than the limit, so that it is seen");
    store.write("parts/empty", Vec::new(), KIND).expect("written");
    assert_eq!(store.read("parts/empty", 10).expect("read"), Some(Vec::new()));
    assert_eq!(store.part("parts/empty", 0, 10).expect("read"), Some(Vec::new()));
    assert_eq!(store.stat("parts/empty").expect("asked").expect("there").size, 0);
    let mut blocks = 0;
    store
        .fetch("parts/object", &mut |_| {
            blocks += 1;
            false
        })
        .expect("read");
    assert_eq!(blocks, 1, "who wants no more gets no more");
}

/// The time is the store's and passes; the tag says that something is other.
fn writing_again_is_seen(store: &dyn ObjectStore) {
    store.write("again", b"one".to_vec(), KIND).expect("written");
    let first = store.stat("again").expect("asked").expect("there");
    let apart = first.modified.abs_diff(Context::default().now().0);
    assert!(
        apart < 60_000,
        "{apart} ms from this machine's, which is the server's"
    );
    // Stores that have nothing but a time tell seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    store.write("again", b"two".to_vec(), KIND).expect("written");
    let second = store.stat("again").expect("asked").expect("there");
    assert_eq!(store.read("again", 10).expect("read").expect("there"), b"two");
    assert_ne!(first.tag, second.tag);
    let listed = store.list("", false).expect("listed");
    let listed = listed.iter().find(|entry| entry.key == "again").expect("listed");
    assert_eq!(listed.size, 3);
    // Drive's list tells no times.
    let is_same = listed.tag == second.tag || listed.tag.is_empty() && !store.traits().exclusive;
    assert!(is_same, "a list says what is said of one: {listed:?} {second:?}");
}

/// More than a store tells at once, folders and objects apart, and all of it removed.
fn long_lists_are_whole(store: &dyn ObjectStore) {
    let keys: Vec<String> = (0..LISTED)
        .map(|n| format!("list/{:02}/{n:06}", n % 20))
        .collect();
    each(&keys, |key| store.write(key, key.clone().into_bytes(), KIND)).expect("written");
    let listed = sizes(store, "list/");
    assert_eq!(listed.len(), LISTED);
    assert!(
        keys.iter()
            .all(|key| listed.get(key) == Some(&(key.len() as u64)))
    );
    let entries = store.list("list/", false).expect("listed");
    let folders = backlot_backend::folders(&entries, "list/");
    assert_eq!(folders.len(), 20, "{folders:?}");
    assert_eq!(sizes(store, "list/07/").len(), LISTED / 20);
    assert!(store.list("nothing/", true).expect("listed").is_empty());
    store.delete_many(&keys).expect("removed");
    assert_eq!(sizes(store, "list/"), BTreeMap::new());
}

/// One that is longer than a request, block by block; until it is finished nothing of it is there.
fn an_object_appears_whole_or_not_at_all(store: &Arc<dyn ObjectStore>) {
    let block = |number: usize| {
        let mut block = noise(4096, number as u64);
        block.resize(1 << 20, 0);
        block
    };
    let unseen = |key: &str| {
        assert_eq!(store.stat(key).expect("asked"), None, "{key}");
        assert_eq!(sizes(&**store, "long/"), BTreeMap::new(), "{key}");
    };
    let blocks = if store.traits().exclusive { LONG_BLOCKS } else { 80 };
    for stop in [0, 1, blocks / 2, blocks] {
        let mut writer = Arc::clone(store).writer("long/given-up").expect("begun");
        for number in 0..stop {
            writer.write(&block(number)).expect("taken");
        }
        unseen("long/given-up");
        drop(writer);
        unseen("long/given-up");
    }
    let mut writer = Arc::clone(store).writer("long/object").expect("begun");
    for number in 0..blocks {
        writer.write(&block(number)).expect("taken");
    }
    unseen("long/object");
    writer.finish().expect("finished");
    assert_eq!(
        store.stat("long/object").expect("asked").expect("there").size,
        (blocks as u64) << 20
    );
    let (mut number, mut pending) = (0, Vec::new());
    store
        .fetch("long/object", &mut |bytes| {
            pending.extend_from_slice(bytes);
            while pending.len() >= 1 << 20 {
                let rest = pending.split_off(1 << 20);
                assert!(pending == block(number), "block {number}");
                (number, pending) = (number + 1, rest);
            }
            true
        })
        .expect("read");
    assert_eq!((number, pending.len()), (blocks, 0));
    let late = store
        .part("long/object", (blocks as u64 - 1) << 20, 4096)
        .expect("read");
    assert_eq!(late.as_deref(), Some(&block(blocks - 1)[..4096]));
    let empty = Arc::clone(store).writer("long/empty").expect("begun");
    empty.finish().expect("finished");
    assert_eq!(store.read("long/empty", 10).expect("read"), Some(Vec::new()));
    store
        .delete_many(&["long/object".to_owned(), "long/empty".to_owned()])
        .expect("removed");
}

/// While an object is replaced, whoever reads it has the old or the new one.
fn a_reader_never_sees_half_of_a_write(store: &dyn ObjectStore, reader: &dyn ObjectStore) {
    let contents = [noise(2 << 20, 1), noise(3 << 20, 2)];
    store
        .write("replaced", contents[0].clone(), KIND)
        .expect("written");
    let (is_done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // One that is replaced while it is read may be an error, and is never a mixture.
                let mut bytes = Vec::new();
                let whole = reader.fetch("replaced", &mut |block| {
                    bytes.extend_from_slice(block);
                    true
                });
                match whole {
                    Ok(true) => assert!(contents.contains(&bytes), "{} bytes", bytes.len()),
                    Ok(false) => panic!("it was gone for a moment"),
                    Err(Error::Store { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        // In memory it takes less time than a thread to begin.
        let mut round = 0;
        while !looking.is_finished() && (round < 20 || reads.load(Ordering::Relaxed) < 2) {
            store
                .write("replaced", contents[round % 2].clone(), KIND)
                .expect("written");
            round += 1;
        }
        is_done.store(true, Ordering::Relaxed);
        looking.join().expect("no mixture");
    });
}

/// Of many that create one object at once one succeeds, or the store says that it cannot tell.
fn one_of_many_creates(machines: &[Arc<dyn ObjectStore>]) {
    let store = &machines[0];
    if !store.traits().exclusive {
        let refused = store
            .create("race/none", b"x".to_vec(), KIND)
            .expect_err("cannot tell");
        assert!(matches!(refused, Error::NoExclusiveCreate { .. }), "{refused}");
        assert_eq!(store.stat("race/none").expect("asked"), None);
        return;
    }
    if store.commit_by() == CommitBy::Move {
        return a_move_replaces_nothing(&**store);
    }
    let mut doubled = 0;
    for round in 0..ROUNDS {
        let key = format!("race/{round}");
        let racers: Vec<usize> = (0..RACERS).collect();
        let won = each(&racers, |n| {
            let bytes = format!("racer {n}").into_bytes();
            match machines[n % machines.len()].create(&key, bytes, KIND) {
                Ok(put) => Ok(Some(put)),
                // A busy server does not always say what became of it: moto answers 500 now and then.
                Err(Error::Store { temporary: true, .. }) => Ok(None),
                Err(other) => Err(other),
            }
        });
        let won = won.expect("each has an answer");
        let with = |what: Option<Put>| {
            racers
                .iter()
                .copied()
                .filter(|n| won[*n] == what)
                .collect::<Vec<_>>()
        };
        let (winners, unanswered) = (with(Some(Put::New)), with(None));
        assert!(!winners.is_empty() || !unanswered.is_empty(), "round {round}");
        doubled += usize::from(winners.len() > 1);
        let stored = store.read(&key, 100).expect("read").expect("there");
        let mut writers = winners.iter().chain(&unanswered);
        assert!(
            writers.any(|n| stored == format!("racer {n}").into_bytes()),
            "round {round}"
        );
    }
    assert_eq!(doubled, 0, "rounds with several winners");
}

/// What publishing by moves relies on: see `docs/decisions/0008-publishing-to-object-stores.md`.
fn a_move_replaces_nothing(store: &dyn ObjectStore) {
    for name in ["one", "two"] {
        store
            .stage(&format!("staged/{name}"), name.as_bytes().to_vec())
            .expect("staged");
    }
    assert_eq!(
        store.rename("staged/one", "moved/it").expect("moved"),
        RenameOutcome::Done
    );
    assert_eq!(
        store.rename("staged/one", "moved/other").expect("asked"),
        RenameOutcome::Gone
    );
    assert_eq!(
        store.rename("staged/two", "moved/it").expect("asked"),
        RenameOutcome::Exists
    );
    assert_eq!(store.read("moved/it", 10).expect("read"), Some(b"one".to_vec()));
    assert_eq!(sizes(store, "moved/").len(), 1);
}

/// The whole suite.
fn keeps_what_is_promised(place: &Store) {
    keeps_all_but_whole_writes(place);
    let machines: Vec<Arc<dyn ObjectStore>> = (0..2).map(|n| place.open("whole", n)).collect();
    a_reader_never_sees_half_of_a_write(&*machines[0], &*machines[1]);
}

/// The suite, for a server that writes in place, which a reader may see.
fn keeps_all_but_whole_writes(place: &Store) {
    let machines: Vec<Arc<dyn ObjectStore>> = (0..4).map(|n| place.open("suite", n)).collect();
    let store = &machines[0];
    names_come_back_as_they_were(&**store);
    parts_are_cut_as_asked(&**store);
    writing_again_is_seen(&**store);
    an_object_appears_whole_or_not_at_all(store);
    one_of_many_creates(&machines);
    long_lists_are_whole(&**store);
}

#[test]
fn s3_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::s3());
}

#[test]
fn ceph_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::ceph());
}

#[test]
fn azure_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::azure());
}

#[test]
fn google_cloud_storage_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::gcs());
}

#[test]
fn aliyun_oss_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::oss());
}

#[test]
fn google_drive_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::gdrive());
}

#[test]
fn webdav_of_python_keeps_what_is_promised() {
    keeps_all_but_whole_writes(&Store::webdav());
}

#[test]
fn webdav_of_apache_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::apache());
}

#[test]
fn webdav_of_nginx_keeps_what_is_promised() {
    keeps_what_is_promised(&Store::nginx());
}

#[test]
fn sftp_keeps_what_is_promised() {
    let (store, _server) = Store::sftp();
    keeps_what_is_promised(&store);
}

#[test]
fn memory_keeps_what_is_promised() {
    let store = backlot_backend::memory();
    names_come_back_as_they_were(&*store);
    parts_are_cut_as_asked(&*store);
    an_object_appears_whole_or_not_at_all(&store);
    a_reader_never_sees_half_of_a_write(&*store, &*store);
    one_of_many_creates(&[Arc::clone(&store)]);
    a_move_replaces_nothing(&*store);
    writing_again_is_seen(&*store);
    long_lists_are_whole(&*store);
}

#[test]
fn a_folder_keeps_what_is_promised() {
    let root = tempfile::tempdir().expect("a folder");
    // As four machines that have the disk.
    let machines: Vec<Arc<dyn ObjectStore>> = (0..4).map(|_| backlot_backend::folder(root.path())).collect();
    let store = &machines[0];
    names_come_back_as_they_were(&**store);
    parts_are_cut_as_asked(&**store);
    an_object_appears_whole_or_not_at_all(store);
    a_reader_never_sees_half_of_a_write(&**store, &*machines[1]);
    one_of_many_creates(&machines);
    a_move_replaces_nothing(&**store);
    long_lists_are_whole(&**store);
    let source = noise(600_000, 3);
    for (how, put) in [
        (How::Create, Put::New),
        (How::Create, Put::Exists),
        (How::Replace, Put::New),
    ] {
        let found = store.put_from("streamed", &mut &*source, how, 1_709_210_096_123, KIND);
        assert_eq!(found.expect("put"), put);
    }
    let streamed = store.stat("streamed").expect("asked").expect("there");
    assert_eq!((streamed.size, streamed.modified), (600_000, 1_709_210_096_123));
    let before = store.revision("revised/").expect("told");
    assert_eq!(before, Some(0), "there is none");
    store.write("revised/one", b"1".to_vec(), KIND).expect("written");
    let one = store.revision("revised/").expect("told").expect("told");
    std::thread::sleep(std::time::Duration::from_millis(20));
    store.write("revised/two", b"2".to_vec(), KIND).expect("written");
    let two = store.revision("revised/").expect("told").expect("told");
    assert!(0 < one && one < two, "{one} {two}");
}
