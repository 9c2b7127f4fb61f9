//! One conformance suite for every kind of remote.

use std::sync::Arc;

use backlot_core::{Context, FixedClock, LinkMode, Timestamp};
use fs_err as fs;

use super::{Remote, RemoteConfig, RemoteLayout};
use crate::add::stat_all;
use crate::cache::digest_bytes;
use crate::{
    Cache, CheckoutItem, CheckoutOptions, Error, ObjectId, StatCache, Transfer, add_files, checkout,
};

struct Bench {
    folder: tempfile::TempDir,
    cache: Cache,
    stat: StatCache,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&folder.path().join("cache")).expect("a cache");
        let stat = StatCache::open(&folder.path().join("state.db")).expect("a stat cache");
        Self { folder, cache, stat }
    }

    fn remote(url: &str) -> Remote {
        Remote::open(&RemoteConfig {
            url: url.to_owned(),
            layout: RemoteLayout::Dvc,
            mirrors: std::path::PathBuf::new(),
        })
        .expect("a remote")
    }

    fn chunked(&self, url: &str) -> Remote {
        Remote::open(&RemoteConfig {
            url: url.to_owned(),
            layout: RemoteLayout::Chunked,
            mirrors: self.folder.path().join("mirrors"),
        })
        .expect("a remote")
    }

    fn in_memory(&self, layout: RemoteLayout) -> Remote {
        let store = backlot_backend::memory();
        Remote::in_store(store, layout, &self.folder.path().join("mirrors")).expect("a remote")
    }

    fn remotes(&self) -> Vec<Remote> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            self.chunked(&path("chunked")),
            self.in_memory(RemoteLayout::Chunked),
            Self::remote(&path("folder")),
            Self::remote(&format!("file://{}", path("file"))),
            self.in_memory(RemoteLayout::Dvc),
        ]
    }

    /// Files of all awkward sizes, added to the cache, as transfers with proofs.
    fn add(&self, sizes: &[usize]) -> Vec<Transfer> {
        let work = self.folder.path().join("work");
        fs::create_dir_all(&work).expect("made");
        let mut paths = Vec::new();
        for (n, size) in sizes.iter().enumerate() {
            let path = work.join(format!("f{n}"));
            let data: Vec<u8> = (0..*size)
                .map(|i| ((i * 31 + n) % 251).to_le_bytes()[0])
                .collect();
            fs::write(&path, data).expect("written");
            paths.push(path);
        }
        let added = add_files(
            &self.cache,
            &self.stat,
            &paths,
            &[LinkMode::Copy],
            &Context::default(),
        )
        .expect("added");
        let transfer = |d: crate::FileDigests| Transfer {
            id: ObjectId::file(d.md5),
            size: Some(d.size),
            blake3: Some(d.blake3),
        };
        added.into_iter().map(|a| transfer(a.digests)).collect()
    }

    fn other_cache(&self, name: &str) -> Cache {
        Cache::open(&self.folder.path().join(name)).expect("a cache")
    }
}

const SIZES: [usize; 8] = [0, 1, 63, 64, 65_535, 65_536, 65_537, 5_000_000];

#[test]
fn what_is_pushed_is_pulled_bit_for_bit_from_every_kind_of_remote() {
    let bench = Bench::new();
    let items = bench.add(&SIZES);
    for (n, remote) in bench.remotes().into_iter().enumerate() {
        let context = Context::default();
        let report = remote.push(&bench.cache, &items, &context).expect("pushed");
        assert_eq!(
            (report.objects, report.already_there),
            (8, 0),
            "{}",
            remote.place()
        );
        let again = remote.push(&bench.cache, &items, &context).expect("pushed again");
        assert_eq!((again.objects, again.already_there), (0, 8), "{}", remote.place());
        assert_eq!(remote.list(&context).expect("listed").len(), 8);
        let cache = bench.other_cache(&format!("other{n}"));
        let pulled = remote.pull(&cache, &items, &context).expect("pulled");
        assert_eq!(pulled.objects, 8);
        for item in &items {
            assert_eq!(
                fs::read(cache.object_path(&item.id)).expect("there"),
                fs::read(bench.cache.object_path(&item.id)).expect("there")
            );
        }
        let expected: Vec<_> = items.iter().map(|t| (t.id, t.blake3)).collect();
        let verified = remote.verify(&expected, None, &context).expect("verified");
        assert!(verified.damaged.is_empty() && verified.missing.is_empty());
    }
}

/// What a service is sent is in memory until it has it: three packs at most, none of them large.
#[test]
fn packs_of_a_service_are_no_larger_than_memory_allows() {
    let bench = Bench::new();
    let mut random = 1_u64;
    let mut noise = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()[3]
    };
    let path = bench.folder.path().join("noise");
    fs::write(&path, (0..40 << 20).map(|_| noise()).collect::<Vec<u8>>()).expect("written");
    let context = Context::default();
    let added = add_files(&bench.cache, &bench.stat, &[path], &[LinkMode::Copy], &context).expect("added");
    let id = ObjectId::file(added[0].digests.md5);
    let store = backlot_backend::memory();
    let mirrors = bench.folder.path().join("mirrors");
    let remote = Remote::in_store(Arc::clone(&store), RemoteLayout::Chunked, &mirrors).expect("a remote");
    remote
        .push(&bench.cache, &[Transfer::of(id)], &context)
        .expect("pushed");
    let sizes: Vec<u64> = store
        .list("", true)
        .expect("listed")
        .iter()
        .map(|entry| entry.size)
        .collect();
    assert!(sizes.iter().sum::<u64>() > 40 << 20, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 16 << 20), "{sizes:?}");
}

#[test]
fn what_another_machine_sent_to_a_remote_of_dvc_is_read_once_and_mended_if_it_is_damaged() {
    let bench = Bench::new();
    let items = bench.add(&[1_000, 300_000]);
    let root = bench.folder.path().join("folder");
    let context = Context::default();
    let machine = |name: &str| {
        let config = RemoteConfig {
            url: root.display().to_string(),
            layout: RemoteLayout::Dvc,
            mirrors: bench.folder.path().join(name),
        };
        Remote::open(&config).expect("a remote")
    };
    let push = |name: &str| {
        let report = machine(name)
            .push(&bench.cache, &items, &context)
            .expect("pushed");
        (report.objects, report.already_there)
    };
    assert_eq!(push("one"), (2, 0));
    let object = root.join(items[1].id.key());
    let right = fs::read(&object).expect("read");
    let damage = || {
        fs::remove_file(&object).expect("removed");
        fs::write(&object, vec![7; right.len()]).expect("written");
    };
    damage();
    // The one that sent it remembers that it was right; another looks.
    assert_eq!(push("one"), (0, 2));
    assert_eq!(push("two"), (1, 1));
    assert_eq!(fs::read(&object).expect("read"), right);
    damage();
    assert_eq!(push("two"), (0, 2));
    // What was pulled was proven, too.
    fs::write(&object, &right).expect("written");
    let cache = bench.other_cache("other");
    machine("three").pull(&cache, &items, &context).expect("pulled");
    damage();
    assert_eq!(push("three"), (0, 2));
}

#[test]
fn a_damaged_object_is_named_and_the_others_arrive() {
    let bench = Bench::new();
    let items = bench.add(&[10, 20, 300_000]);
    let root = bench.folder.path().join("folder");
    let remote = Bench::remote(&root.display().to_string());
    let context = Context::default();
    remote.push(&bench.cache, &items, &context).expect("pushed");
    for damaged in [&items[1], &items[2]] {
        let path = root.join(damaged.id.key());
        let mut bytes = fs::read(&path).expect("there");
        bytes[5] ^= 1;
        fs::remove_file(&path).expect("removed");
        fs::write(&path, bytes).expect("damaged");
    }
    let cache = bench.other_cache("other");
    let error = remote
        .pull(&cache, &items, &context)
        .expect_err("two are damaged");
    let Error::Corrupt { objects, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(objects, [items[1].id, items[2].id]);
    assert!(cache.has(&items[0].id).expect("asked"));
    assert!(!cache.has(&items[1].id).expect("asked") && !cache.has(&items[2].id).expect("asked"));
    fs::remove_file(root.join(items[1].id.key())).expect("removed");
    fs::remove_file(root.join(items[2].id.key())).expect("removed");
    let error = remote
        .pull(&cache, &items, &context)
        .expect_err("two are missing");
    assert!(matches!(error, Error::Missing { objects, .. } if objects.len() == 2));
}

#[test]
fn a_truncated_cache_object_is_never_pushed_and_never_placed() {
    let bench = Bench::new();
    let items = bench.add(&[300_000, 7]);
    let path = bench.cache.object_path(&items[0].id);
    fs::remove_file(&path).expect("removed");
    fs::write(&path, b"short").expect("written");
    let mut permissions = fs::metadata(&path).expect("there").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).expect("read-only");
    for remote in bench.remotes() {
        let error = remote
            .push(&bench.cache, &items, &Context::default())
            .expect_err("damaged");
        // It was set aside, so it counts as missing.
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        let there = remote
            .exists_many(&[items[0].id], &Context::default())
            .expect("asked");
        assert_eq!(there, [false], "{}", remote.place());
    }
    let target = bench.folder.path().join("placed");
    let item = CheckoutItem {
        id: items[0].id,
        target: target.clone(),
        executable: false,
    };
    let error = checkout(
        &bench.cache,
        &bench.stat,
        &[item],
        &CheckoutOptions {
            links: &[LinkMode::Copy],
            ..CheckoutOptions::default()
        },
        &Context::default(),
    );
    assert!(matches!(error, Err(Error::Missing { .. })));
    assert!(!target.exists() && !path.exists());
}

#[test]
fn a_file_that_is_stored_nowhere_is_not_overwritten() {
    let bench = Bench::new();
    let items = bench.add(&[100]);
    let target = bench.folder.path().join("mine");
    fs::write(&target, b"precious").expect("written");
    let item = CheckoutItem {
        id: items[0].id,
        target: target.clone(),
        executable: false,
    };
    for links in [
        &[LinkMode::Copy][..],
        &[LinkMode::Hardlink, LinkMode::Copy],
        &[LinkMode::Symlink],
    ] {
        let run = |force| {
            checkout(
                &bench.cache,
                &bench.stat,
                std::slice::from_ref(&item),
                &CheckoutOptions {
                    links,
                    force,
                    ..CheckoutOptions::default()
                },
                &Context::default(),
            )
        };
        assert!(matches!(run(false), Err(Error::WouldOverwrite { .. })));
        assert_eq!(fs::read(&target).expect("there"), b"precious");
        assert_eq!(run(true).expect("forced").placed, 1);
        assert_eq!(fs::read(&target).expect("there").len(), 100);
        assert_eq!(run(false).expect("nothing to do").unchanged, 1);
        fs::remove_file(&target).expect("removed");
        fs::write(&target, b"precious").expect("written");
    }
}

#[test]
fn every_way_of_placing_survives_adding_again() {
    for links in [
        &[LinkMode::Reflink, LinkMode::Copy][..],
        &[LinkMode::Hardlink],
        &[LinkMode::Symlink],
        &[LinkMode::Copy],
    ] {
        let bench = Bench::new();
        let path = bench.folder.path().join("frame");
        fs::write(&path, vec![7u8; 200_000]).expect("written");
        let context = Context::default();
        let paths = [path.clone()];
        let first = add_files(&bench.cache, &bench.stat, &paths, links, &context).expect("added");
        assert!(first[0].stored);
        let again = add_files(&bench.cache, &bench.stat, &paths, links, &context).expect("added again");
        assert_eq!((again[0].digests, again[0].stored), (first[0].digests, false));
        assert_eq!(fs::read(&path).expect("there"), vec![7u8; 200_000]);
    }
}

#[test]
fn links_are_made_where_they_work_and_what_is_linked_stays_known() {
    let bench = Bench::new();
    let items = bench.add(&[0, 100, 5000]);
    let targets: Vec<_> = ["a", "sub/b", "sub/c"]
        .map(|name| bench.folder.path().join(name))
        .into();
    let wanted: Vec<CheckoutItem> = items
        .iter()
        .zip(&targets)
        .map(|(item, target)| CheckoutItem {
            id: item.id,
            target: target.clone(),
            executable: false,
        })
        .collect();
    // One of them has something in its way.
    fs::create_dir_all(targets[1].parent().expect("a folder")).expect("made");
    fs::write(&targets[1], b"in the way").expect("written");
    let digests = |item: &Transfer| {
        let bytes = fs::read(bench.cache.object_path(&item.id)).expect("cached");
        (item.id, digest_bytes(&bytes))
    };
    let proven = items.iter().map(digests).collect();
    let options = CheckoutOptions {
        links: &[LinkMode::Hardlink],
        force: true,
        proven: Some(&proven),
        read_only: false,
    };
    // What changed a moment ago is not remembered, so this happens a minute later.
    let later = Timestamp(Context::default().now().0 + 60_000);
    let context = Context::default().with_clock(Arc::new(FixedClock(later)));
    let report = checkout(&bench.cache, &bench.stat, &wanted, &options, &context).expect("placed");
    let modes: Vec<(&str, u64)> = report.modes.iter().map(|(mode, n)| (mode.as_str(), *n)).collect();
    assert_eq!(modes, [("copy", 1), ("hardlink", 2)]);
    let known = bench
        .stat
        .lookup(&stat_all(&targets, &Context::default()).expect("there"))
        .expect("read");
    for (n, digests) in known.iter().enumerate() {
        let item = items[n % items.len()];
        assert_eq!(
            digests.map(|d| (d.md5, Some(d.size))),
            Some((item.id.md5, item.size)),
            "{n}"
        );
    }
    let names = fs::read_dir(targets[1].parent().expect("a folder")).expect("listed");
    assert_eq!(names.count(), 2, "nothing is left beside them");
}
