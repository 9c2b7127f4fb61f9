//! The cache in use: what is read again, what damage does, and many users at once. Bytes are counted, not time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backlot_core::{Context, Event, EventKind, LinkMode, Observer, Operation};
use fs_err as fs;

use crate::{
    Cache, CheckoutItem, CheckoutOptions, Error, ObjectId, Remote, RemoteConfig, RemoteLayout, StatCache,
    Transfer, add_files, checkout,
};

/// Counts bytes that were hashed.
#[derive(Debug, Default)]
struct Hashed(AtomicU64);

impl Observer for Hashed {
    fn event(&self, event: &Event) {
        if let EventKind::Advanced {
            operation: Operation::Scan | Operation::Add | Operation::Verify,
            bytes,
            ..
        } = &event.kind
        {
            self.0.fetch_add(*bytes, Ordering::Relaxed);
        }
    }
}

struct Bench {
    folder: tempfile::TempDir,
    hashed: Arc<Hashed>,
    context: Context,
}

const SIZES: [usize; 3] = [70_000, 5, 1 << 20];

impl Bench {
    fn new() -> Self {
        let hashed = Arc::new(Hashed::default());
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            context: Context::default().with_observer(hashed.clone()),
            hashed,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.path("cache"))
            .expect("a cache")
            .with_context(&self.context)
    }

    fn stat(&self, name: &str) -> StatCache {
        StatCache::open(&self.path(&format!("{name}.db")))
            .expect("opened")
            .beside(&self.cache())
    }

    fn remote(&self) -> Remote {
        let url = self.path("remote").display().to_string();
        let (layout, mirrors) = (RemoteLayout::Dvc, PathBuf::new());
        Remote::open(&RemoteConfig { url, layout, mirrors }).expect("a remote")
    }

    fn sources(&self) -> Vec<PathBuf> {
        let paths: Vec<PathBuf> = (0..SIZES.len())
            .map(|n| self.path(&format!("work/f{n}")))
            .collect();
        fs::create_dir_all(self.path("work")).expect("made");
        for (n, (path, size)) in paths.iter().zip(SIZES).enumerate() {
            if !path.exists() {
                fs::write(path, vec![u8::try_from(n).unwrap_or_default(); size]).expect("written");
            }
        }
        paths
    }

    /// Files in the cache and on the remote.
    fn published(&self) -> Vec<Transfer> {
        let cache = self.cache();
        let copy = [LinkMode::Copy];
        let added = add_files(&cache, &self.stat("work"), &self.sources(), &copy, &self.context);
        let transfer = |added: crate::Added| Transfer {
            id: ObjectId::file(added.digests.md5),
            size: Some(added.digests.size),
            blake3: Some(added.digests.blake3),
        };
        let items: Vec<Transfer> = added.expect("added").into_iter().map(transfer).collect();
        self.remote().push(&cache, &items, &self.context).expect("pushed");
        items
    }

    fn items(&self, name: &str, published: &[Transfer]) -> Vec<CheckoutItem> {
        let item = |(n, transfer): (usize, &Transfer)| CheckoutItem {
            id: transfer.id,
            target: self.path(name).join(format!("f{n}")),
            executable: false,
        };
        published.iter().enumerate().map(item).collect()
    }

    /// Place files as an installed release; how many were placed.
    fn place(&self, name: &str, published: &[Transfer], mode: LinkMode) -> Result<u64, Error> {
        let options = CheckoutOptions {
            links: &[mode],
            read_only: true,
            ..CheckoutOptions::default()
        };
        let items = self.items(name, published);
        checkout(&self.cache(), &self.stat(name), &items, &options, &self.context).map(|report| report.placed)
    }

    /// As a pull does: place, and fetch what turns out to be damaged.
    fn pull(&self, name: &str, published: &[Transfer], mode: LinkMode) {
        for round in 0.. {
            self.remote()
                .pull(&self.cache(), published, &self.context)
                .expect("pulled");
            match self.place(name, published, mode) {
                Ok(_) => break,
                Err(error) => assert!(
                    round < 2
                        && matches!(&error, Error::Corrupt { place, .. } | Error::Missing { place, .. } if *place == self.cache().place()),
                    "{error}"
                ),
            }
        }
    }

    fn is_right(&self, name: &str) -> bool {
        let same = |(n, size): (usize, &usize)| {
            let bytes = fs::read(self.path(name).join(format!("f{n}"))).expect("there");
            bytes == vec![u8::try_from(n).unwrap_or_default(); *size]
        };
        SIZES.iter().enumerate().all(same)
    }

    fn hashed(&self) -> u64 {
        self.hashed.0.swap(0, Ordering::Relaxed)
    }
}

/// Make a private copy of a folder by links and swap it in, as a change of `inputs` does.
fn swap(folder: &Path) {
    let (new, old) = (folder.with_extension("new"), folder.with_extension("old"));
    fs::create_dir(&new).expect("made");
    for entry in fs::read_dir(folder).expect("listed") {
        let entry = entry.expect("listed");
        fs::hard_link(entry.path(), new.join(entry.file_name())).expect("linked");
    }
    for (from, to) in [(folder, old.as_path()), (new.as_path(), folder)] {
        backlot_core::file::rename(from, to).expect("renamed");
    }
    fs::remove_dir_all(&old).expect("removed");
}

/// Change bytes of a file without a change of its mode.
fn damage(path: &Path, bytes: &[u8]) {
    let mode = fs::metadata(path).expect("there").permissions();
    fs::remove_file(path).expect("removed");
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, mode).expect("set");
}

/// Edit a file in place, as a program that was given the right to.
fn edit(path: &Path) {
    let mode = fs::metadata(path).expect("there").permissions();
    let mut writable = mode.clone();
    #[expect(clippy::permissions_set_readonly_false, reason = "a test of what people do")]
    writable.set_readonly(false);
    fs::set_permissions(path, writable).expect("set");
    let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"edit!", 0).expect("written");
    fs::set_permissions(path, mode).expect("set");
}

#[test]
fn what_did_not_change_is_not_read_again() {
    for mode in [LinkMode::Hardlink, LinkMode::Copy] {
        let bench = Bench::new();
        let published = bench.published();
        bench.hashed();
        for name in ["a", "b"] {
            assert_eq!(bench.place(name, &published, mode).expect("placed"), 3);
        }
        assert_eq!(bench.hashed(), 0, "another workspace on the cache, {mode}");
        assert_eq!(bench.place("a", &published, mode).expect("looked"), 0);
        swap(&bench.path("a"));
        assert_eq!(bench.place("a", &published, mode).expect("looked"), 0);
        fs::remove_dir_all(bench.path("b")).expect("removed");
        assert_eq!(bench.place("a", &published, mode).expect("looked"), 0);
        assert_eq!(bench.hashed(), 0, "new and removed names, {mode}");
        assert!(bench.is_right("a"));
    }
}

#[test]
fn a_link_to_an_object_is_known_by_its_inode() {
    let bench = Bench::new();
    let published = bench.published();
    bench.place("a", &published, LinkMode::Hardlink).expect("placed");
    fs::remove_file(bench.path("a.db")).expect("removed");
    bench.hashed();
    assert_eq!(
        bench.place("a", &published, LinkMode::Hardlink).expect("looked"),
        0
    );
    assert_eq!(bench.hashed(), 0);
}

#[test]
fn an_edit_through_a_link_is_seen_and_mended_in_every_workspace() {
    let bench = Bench::new();
    let published = bench.published();
    for name in ["a", "b"] {
        bench.pull(name, &published, LinkMode::Hardlink);
    }
    edit(&bench.path("a/f0"));
    assert!(
        !bench.is_right("b"),
        "a link shares the edit until it is looked at"
    );
    for name in ["b", "c", "a"] {
        bench.pull(name, &published, LinkMode::Hardlink);
        assert!(bench.is_right(name), "{name}");
    }
    let kept: Vec<_> = fs::read_dir(bench.path("cache/quarantine"))
        .expect("listed")
        .collect();
    let kept = fs::read(kept[0].as_ref().expect("listed").path()).expect("read");
    assert_eq!(&kept[..5], b"edit!");
}

#[test]
fn a_copy_in_inputs_is_read_only_and_an_edit_of_it_reaches_nothing_else() {
    let bench = Bench::new();
    let published = bench.published();
    for name in ["a", "b"] {
        bench.pull(name, &published, LinkMode::Copy);
    }
    assert!(
        fs::metadata(bench.path("a/f0"))
            .expect("there")
            .permissions()
            .readonly()
    );
    edit(&bench.path("a/f0"));
    let refused = bench
        .place("a", &published, LinkMode::Copy)
        .expect_err("it is nowhere else");
    assert!(matches!(refused, Error::WouldOverwrite { .. }), "{refused}");
    bench.pull("c", &published, LinkMode::Copy);
    assert!(bench.is_right("b") && bench.is_right("c"));
}

#[test]
fn a_damaged_object_is_set_aside_and_fetched_again() {
    let right = vec![0; SIZES[0]];
    let mut flipped = right.clone();
    flipped[9] ^= 1;
    for mode in [LinkMode::Hardlink, LinkMode::Copy] {
        for bytes in [&flipped[..], &right[..10], b""] {
            let bench = Bench::new();
            let published = bench.published();
            damage(&bench.cache().object_path(&published[0].id), bytes);
            let error = bench.place("a", &published, mode).expect_err("damaged");
            let text = error.to_string();
            assert!(
                text.contains(&published[0].id.to_string()) && text.contains(&bench.cache().place()),
                "{text}"
            );
            bench.pull("a", &published, mode);
            assert!(bench.is_right("a"));
            assert_eq!(
                fs::read_dir(bench.path("cache/quarantine"))
                    .expect("listed")
                    .count(),
                1
            );
        }
    }
}

#[test]
fn damage_that_keeps_size_and_times_is_mended_once_a_verification_found_it() {
    let bench = Bench::new();
    let published = bench.published();
    let path = bench.cache().object_path(&published[0].id);
    let modified = fs::metadata(&path)
        .and_then(|found| found.modified())
        .expect("a time");
    edit(&path);
    fs::File::open(&path)
        .expect("opened")
        .file()
        .set_modified(modified)
        .expect("set");
    let expected: Vec<_> = published.iter().map(|item| (item.id, item.blake3)).collect();
    let report = bench.cache().verify(&expected, &bench.context).expect("read");
    assert_eq!(report.damaged, [published[0].id]);
    assert!(path.exists(), "a verification changes nothing");
    bench.pull("a", &published, LinkMode::Copy);
    assert!(bench.is_right("a"));
    let report = bench.cache().verify(&expected, &bench.context).expect("read");
    assert!(report.damaged.is_empty() && report.missing.is_empty());
}

#[test]
fn adding_the_right_bytes_mends_the_cache() {
    let bench = Bench::new();
    let published = bench.published();
    damage(&bench.cache().object_path(&published[2].id), b"cut");
    bench.published();
    assert_eq!(bench.cache().proven(&[published[2].id]).expect("read").len(), 1);
    bench.pull("a", &published, LinkMode::Hardlink);
    assert!(bench.is_right("a"));
}

/// Give a file an old modification time, as files have that were not written a moment ago.
fn age(path: &Path) {
    let hour = std::time::Duration::from_hours(1);
    let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
    let now = file
        .metadata()
        .and_then(|found| found.modified())
        .expect("a time");
    file.file().set_modified(now - hour).expect("set");
}

#[test]
fn a_file_that_was_hashed_is_not_hashed_again_to_be_added() {
    let bench = Bench::new();
    let (sources, stat) = (bench.sources(), bench.stat("work"));
    for path in &sources {
        age(path);
    }
    let mut digests = crate::hash_files(&sources, &stat, &bench.context).expect("hashed");
    // A proof that only the record can have.
    digests[0].blake3 = backlot_core::Blake3::from_bytes([7; 32]);
    let entries = crate::add::stat_all(&sources, &bench.context).expect("there");
    let rows: Vec<_> = entries.into_iter().zip(digests.clone()).collect();
    stat.store(&rows, &bench.context).expect("stored");
    let added = add_files(&bench.cache(), &stat, &sources, &[LinkMode::Copy], &bench.context).expect("added");
    assert!(added.iter().all(|added| added.stored));
    assert_eq!(added[0].digests, digests[0]);
    let again = add_files(&bench.cache(), &stat, &sources, &[LinkMode::Copy], &bench.context).expect("added");
    assert!(again.iter().all(|added| !added.stored));
}

#[test]
fn a_file_with_another_name_is_copied_into_the_cache_and_the_name_stays_its_own() {
    let bench = Bench::new();
    let sources = bench.sources();
    let other = bench.path("other");
    fs::hard_link(&sources[0], &other).expect("linked");
    let links = [LinkMode::Hardlink];
    let added = add_files(
        &bench.cache(),
        &bench.stat("work"),
        &sources,
        &links,
        &bench.context,
    )
    .expect("added");
    let object = |n: usize| bench.cache().object_path(&ObjectId::file(added[n].digests.md5));
    assert!(!backlot_core::file::is_same_file(&object(0), &other));
    assert!(!fs::metadata(&other).expect("there").permissions().readonly());
    for n in [0, 1] {
        assert!(backlot_core::file::is_same_file(&object(n), &sources[n]));
    }
}

#[test]
fn what_appears_in_a_place_during_a_checkout_is_never_replaced() {
    for mode in [LinkMode::Copy, LinkMode::Hardlink, LinkMode::Symlink] {
        let bench = Bench::new();
        let published = bench.published();
        // A disk that takes two names for one: the second file of the run finds the first in its place.
        let mut items = bench.items("place", &published[..2]);
        items[1].target = items[0].target.clone();
        let links = [mode];
        let options = CheckoutOptions {
            links: &links,
            ..CheckoutOptions::default()
        };
        let placed = checkout(
            &bench.cache(),
            &bench.stat("place"),
            &items,
            &options,
            &bench.context,
        );
        assert!(matches!(placed, Err(Error::WouldOverwrite { .. })), "{mode}");
        let names = fs::read_dir(bench.path("place")).expect("listed");
        assert_eq!(names.count(), 1, "{mode}: a temporary was left");
    }
}

#[test]
fn an_object_is_created_and_never_replaced() {
    let bench = Bench::new();
    let (cache, published) = (bench.cache(), bench.published());
    let path = cache.object_path(&published[0].id);
    let stat = |path: &Path| crate::FileStat::of(&fs::metadata(path).expect("there"));
    let size = stat(&path).size;
    for (bytes, kept) in [(vec![0; SIZES[0]], true), (b"x".to_vec(), false)] {
        if !kept {
            damage(&path, &bytes);
        }
        let temporary = cache.temporaries().join("new");
        fs::write(&temporary, vec![0; SIZES[0]]).expect("written");
        crate::cache::set_read_only(&temporary).expect("set");
        // Both are there now, so that no number of an inode is one that was used before.
        let offered = stat(&temporary).inode;
        assert_eq!(
            cache
                .publish(
                    &temporary,
                    &published[0].id,
                    &crate::digest_bytes(&vec![0; SIZES[0]])
                )
                .expect("published"),
            !kept
        );
        let after = stat(&path);
        assert_eq!(after.inode == offered, !kept);
        assert!(!temporary.exists() && after.size == size);
    }
}

#[test]
fn many_pullers_of_one_cache_fetch_what_they_need_and_none_fails() {
    let bench = Bench::new();
    let published = bench.published();
    for round in 0..12 {
        for entry in fs::read_dir(bench.path("cache/files/md5")).expect("listed") {
            fs::remove_dir_all(entry.expect("listed").path()).expect("removed");
        }
        let objects: Vec<u64> = std::thread::scope(|scope| {
            let pull = |n: usize| {
                let (bench, published) = (&bench, &published);
                move || {
                    let pulled = bench.remote().pull(&bench.cache(), published, &bench.context);
                    let name = format!("w{n}");
                    fs::remove_dir_all(bench.path(&name)).ok();
                    bench.place(&name, published, LinkMode::Hardlink).expect("placed");
                    assert!(bench.is_right(&name));
                    pulled.expect("pulled").objects
                }
            };
            let threads: Vec<_> = (0..16).map(|n| scope.spawn(pull(n))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        let fetched: u64 = objects.iter().sum();
        assert_eq!(fetched, published.len() as u64, "round {round}: {objects:?}");
    }
    assert_eq!(
        fs::read_dir(bench.path("cache/claims")).expect("listed").count(),
        0
    );
}

#[test]
fn what_killed_commands_left_is_swept_after_a_day_wherever_it_is() {
    let bench = Bench::new();
    let cache = bench.path("cache");
    let places = [
        "../swept/deep",
        "tmp",
        "wheels",
        "chunks",
        "remotes/0",
        "workspaces",
        "answers",
        "quarantine",
        "",
    ];
    let (gone, young) = (
        ".tmp-01jd0000000000000000000000",
        ".tmp-01jd0000000000000000000001",
    );
    let old = std::time::SystemTime::UNIX_EPOCH;
    for place in places {
        let folder = cache.join(place);
        for (name, stale) in [(gone, true), (young, false), (".tmp-mine", true)] {
            fs::create_dir_all(folder.join(name)).expect("made");
            fs::write(folder.join(name).join("file"), b"x").expect("written");
            if stale {
                for path in [folder.join(name).join("file"), folder.join(name)] {
                    fs::File::open(path)
                        .expect("opened")
                        .file()
                        .set_modified(old)
                        .expect("set");
                }
            }
        }
    }
    bench.cache();
    crate::sweep_tree(&bench.path("swept"));
    assert!(!bench.path("swept/deep").join(gone).exists() && bench.path("swept/deep").join(young).exists());
    for place in places {
        let there = |name: &str| cache.join(place).join(name).exists();
        assert!(!there(gone) && there(young) && there(".tmp-mine"), "{place}");
    }
}
