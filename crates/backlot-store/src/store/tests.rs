//! The store alone, on every kind of remote, with and without a cache, and on a store of objects of the caller's own.

use std::io::{Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backlot_backend::{
    CommitBy, Entry, ObjectStore, ObjectWriter, Put, RenameOutcome, Traits, memory, shared_memory,
};
use backlot_core::{Cancel, Class, Context, Diagnostic as _, RelPath};
use fs_err as fs;

use super::{Snapshot, Store};
use crate::{Error, ObjectId, Remote, RemoteConfig, RemoteLayout};

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// A folder of files of awkward sizes.
    fn frames(&self, name: &str) -> PathBuf {
        for (n, size) in [0, 1, 65_536, 200_001, 3_000_000].into_iter().enumerate() {
            self.write(&format!("{name}/sub{}/f{n}.exr", n % 2), &noise(size, n as u64));
        }
        self.write(&format!("{name}/again.exr"), &noise(200_001, 3));
        self.path(name)
    }

    /// Every kind of remote, each opened by two machines.
    fn remotes(&self) -> Vec<[Remote; 2]> {
        let at = |url: String, layout| {
            [0, 1].map(|machine| {
                let mirrors = self.path(&format!("mirrors{machine}"));
                let url = url.clone();
                let config = RemoteConfig { url, layout, mirrors };
                Remote::open(&config).expect("a remote")
            })
        };
        let folder = |name: &str| self.path(name).display().to_string();
        let both = |url: String| [0, 1].map(|_| Remote::at(&url).expect("a remote"));
        let name = self.folder.path().display();
        vec![
            both(folder("chunked")),
            both(format!("memory://{name}")),
            at(folder("dvc"), RemoteLayout::Dvc),
            at(format!("memory://{name}/dvc"), RemoteLayout::Dvc),
        ]
    }
}

fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut random = seed + 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

/// Paths and contents below a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = super::folder::files_of(folder, &Context::default()).expect("listed");
    let read = |file: super::folder::Found| (file.path.to_string(), fs::read(file.full).expect("read"));
    files.into_iter().map(read).collect()
}

#[test]
fn a_folder_comes_back_from_every_kind_of_remote_with_and_without_a_cache() {
    let bench = Bench::new();
    let frames = bench.frames("frames");
    #[cfg(unix)]
    backlot_core::platform::set_mode(&frames.join("again.exr"), 0o755).expect("set");
    let context = Context::default();
    for (n, [here, there]) in bench.remotes().into_iter().enumerate() {
        let cache = bench.path(&format!("cache{n}"));
        let place = here.place();
        let here = Store::open((n % 2 == 0).then_some(cache.as_path()), here).expect("opened");
        let there = Store::open((n % 2 == 1).then_some(cache.as_path()), there).expect("opened");
        let (snapshot, report) = here.push_folder(&frames, &context).expect("pushed");
        assert_eq!(
            (snapshot.files().len(), snapshot.bytes()),
            (6, 3_465_539),
            "{place}"
        );
        assert!(
            report.sent > 3_200_000 && report.sent < 3_400_000,
            "{place}: {report:?}"
        );
        let (again, report) = here.push_folder(&frames, &context).expect("pushed again");
        assert_eq!(again, snapshot);
        assert_eq!((report.objects, report.sent), (0, 0), "{place}: {report:?}");

        let loaded = there.snapshot(&snapshot.id(), &context).expect("loaded");
        assert_eq!((loaded.id(), loaded.bytes()), (snapshot.id(), snapshot.bytes()));
        let target = bench.path(&format!("target{n}"));
        let pulled = there.pull(&snapshot, &target, &context).expect("pulled");
        assert_eq!(
            (pulled.checkout.placed, pulled.transfer.objects),
            (6, 5),
            "{place}"
        );
        assert!(contents(&target) == contents(&frames), "{place}");
        #[cfg(unix)]
        assert!(super::folder::files_of(&target, &context).expect("listed")[0].executable);
        let pulled = there.pull(&loaded, &target, &context).expect("pulled again");
        assert_eq!(
            (pulled.checkout.unchanged, pulled.transfer.objects),
            (6, 0),
            "{place}"
        );

        let mut copy = Vec::new();
        for file in snapshot.files() {
            copy.clear();
            assert_eq!(there.get(file, &mut copy, &context).expect("read"), file.size);
            assert!(
                copy == fs::read(file.path.to_path(&frames)).expect("read"),
                "{place}"
            );
        }
    }
}

#[test]
fn what_is_stored_nowhere_is_not_overwritten_and_other_files_stay() {
    let bench = Bench::new();
    let frames = bench.frames("frames");
    let context = Context::default();
    let store = Store::open(None, Remote::on(memory()).expect("a remote")).expect("opened");
    let (first, _) = store.push_folder(&frames, &context).expect("pushed");
    bench.write("frames/again.exr", b"a new version");
    bench.write("frames/sub0/f0.exr", b"no longer empty");
    let (second, _) = store.push_folder(&frames, &context).expect("pushed");
    let target = bench.path("target");
    store.pull(&first, &target, &context).expect("pulled");
    bench.write("target/mine", b"of somebody");
    // Another version of them is on the remote.
    let report = store.pull(&second, &target, &context).expect("replaced");
    assert_eq!((report.checkout.placed, report.checkout.unchanged), (2, 4));
    assert_eq!(
        fs::read(target.join("again.exr")).expect("read"),
        b"a new version"
    );
    bench.write("target/again.exr", b"work of today");
    fs::remove_file(target.join("sub1/f1.exr")).expect("removed");
    let error = store.pull(&second, &target, &context).expect_err("in the way");
    assert_eq!(error.code(), "store::would_overwrite");
    assert_eq!(
        fs::read(target.join("again.exr")).expect("read"),
        b"work of today"
    );
    assert_eq!(fs::read(target.join("mine")).expect("read"), b"of somebody");
    assert!(!target.join("sub1/f1.exr").exists(), "nothing was fetched");
    fs::remove_file(target.join("again.exr")).expect("removed");
    store.pull(&second, &target, &context).expect("pulled");
    fs::remove_file(target.join("mine")).expect("removed");
    assert!(contents(&target) == contents(&frames));
    let left = fs::read_dir(&target).expect("listed").count();
    assert_eq!(left, 3, "no temporaries are left");
}

#[test]
fn a_file_is_read_by_ranges_and_little_more_is_fetched() {
    let bench = Bench::new();
    let counting = Arc::new(Counting::new(memory()));
    let context = Context::default();
    let bytes = noise(20_000_000, 5);
    bench.write("frames/big", &bytes);
    bench.write("frames/small", b"small");
    let remote = || Remote::on(Arc::clone(&counting) as Arc<dyn ObjectStore>).expect("a remote");
    let store = Store::open(None, remote()).expect("opened");
    let (snapshot, _) = store
        .push_folder(&bench.path("frames"), &context)
        .expect("pushed");
    let big = &snapshot.files()[0];

    let cache = bench.path("cache");
    let loader = Store::open(Some(&cache), remote()).expect("opened");
    let before = counting.given.load(Ordering::Relaxed);
    let mut reader = loader.reader(big, &context).expect("opened");
    assert_eq!(reader.size(), 20_000_000);
    reader.seek(SeekFrom::Start(7_000_000)).expect("there");
    let mut pixels = [0; 16];
    reader.read_exact(&mut pixels).expect("read");
    assert_eq!(pixels, bytes[7_000_000..7_000_016]);
    let fetched = reader.fetched();
    let given = counting.given.load(Ordering::Relaxed) - before;
    assert!(
        given - fetched < 1000,
        "all but the config counts: {given} {fetched}"
    );
    assert!(fetched < 400_000, "{fetched}");
    // It is in no cache, and the next reader asks anew for chunks and tables only.
    assert_eq!(
        loader
            .cache(&context)
            .expect("one")
            .size(&big.id())
            .expect("asked"),
        None
    );

    // Any range, past the end too, in any order; and all of it, by pieces of any size.
    for (start, length) in [
        (0, 1),
        (19_999_990, 100),
        (20_000_000, 5),
        (u64::MAX - 1, 1),
        (65_000, 5_000_000),
    ] {
        let end = start.saturating_add(length);
        let index = |at: u64| usize::try_from(at.min(20_000_000)).expect("in memory");
        let wanted = bytes.get(index(start)..index(end));
        assert!(
            Some(&*reader.read_range(start..end).expect("read")) == wanted,
            "{start}+{length}"
        );
    }
    reader.seek(SeekFrom::Current(-16)).expect("there");
    reader.read_exact(&mut pixels).expect("read");
    assert_eq!(pixels, bytes[7_000_000..7_000_016], "a range moves nothing");
    reader.seek(SeekFrom::End(-20_000_000)).expect("there");
    let mut whole = Vec::new();
    reader.read_to_end(&mut whole).expect("read");
    assert!(whole == bytes);
    assert_eq!(reader.read(&mut pixels).expect("at the end"), 0);
    assert!(reader.seek(SeekFrom::Current(-30_000_000)).is_err());

    // What the cache has is read there.
    loader.get(big, std::io::sink(), &context).expect("fetched");
    let before = counting.given.load(Ordering::Relaxed);
    let mut reader = loader.reader(big, &context).expect("opened");
    assert_eq!(&*reader.read_range(100..200).expect("read"), &bytes[100..200]);
    assert_eq!(
        (reader.fetched(), counting.given.load(Ordering::Relaxed)),
        (0, before)
    );
}

#[test]
fn damage_is_an_error_and_never_other_bytes() {
    let bench = Bench::new();
    let context = Context::default();
    let bytes = noise(2_000_000, 9);
    bench.write("frames/f", &bytes);
    let root = bench.path("remote");
    let store =
        Store::open(None, Remote::at(&root.display().to_string()).expect("a remote")).expect("opened");
    let (snapshot, _) = store
        .push_folder(&bench.path("frames"), &context)
        .expect("pushed");
    let packs = super::folder::files_of(&root, &context).expect("listed");
    let pack = packs
        .iter()
        .max_by_key(|file| fs::metadata(&file.full).expect("there").len());
    let pack = pack.expect("a pack").full.clone();
    let mut damaged = fs::read(&pack).expect("read");
    damaged[1_000_000] ^= 1;
    fs::remove_file(&pack).expect("removed");
    fs::write(&pack, damaged).expect("written");
    let file = &snapshot.files()[0];
    let mut reader = store.reader(file, &context).expect("opened");
    assert!(reader.read_range(0..100_000).expect("sound") == bytes[..100_000]);
    let error = reader.read_range(0..2_000_000).expect_err("damaged");
    assert_eq!(error.code(), "store::damaged_remote", "{error}");
    assert!(reader.read_range(1_900_000..2_000_000).expect("sound") == bytes[1_900_000..]);
    reader.seek(SeekFrom::Start(0)).expect("there");
    let error = reader.read_to_end(&mut Vec::new()).expect_err("damaged");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(inner.expect("ours").class(), Class::Integrity);
    assert!(store.get(file, std::io::sink(), &context).is_err());
    let error = store
        .pull(&snapshot, &bench.path("target"), &context)
        .expect_err("damaged");
    assert_eq!(error.code(), "store::corrupt_object");
    assert!(contents(&bench.path("target")).is_empty());

    // Another file than was wanted is not opened.
    let wrong = crate::Transfer {
        size: Some(1),
        ..file.into()
    };
    assert_eq!(
        store.reader(wrong, &context).expect_err("other").code(),
        "store::corrupt_object"
    );
    let none = ObjectId::file(crate::digest_bytes(b"never stored").md5);
    assert_eq!(
        store.reader(none, &context).expect_err("none").code(),
        "store::missing_object"
    );
    assert_eq!(
        store
            .get(none, std::io::sink(), &context)
            .expect_err("none")
            .code(),
        "store::missing_object"
    );
    assert_eq!(
        store
            .snapshot(&ObjectId::tree(none.md5), &context)
            .expect_err("none")
            .code(),
        "store::missing_object"
    );
}

#[test]
fn single_files_go_by_any_reader_and_writer() {
    /// Fails after some bytes.
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(self.0);
            self.0 -= count;
            if count == 0 {
                Err(std::io::Error::other("unplugged"))
            } else {
                Ok(count)
            }
        }
    }
    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.read(&mut vec![0; bytes.len()])
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let context = Context::default();
    for (n, [here, there]) in bench.remotes().into_iter().enumerate() {
        let place = here.place();
        let cache = bench.path(&format!("cache{n}"));
        let here = Store::open((n > 1).then_some(cache.as_path()), here).expect("opened");
        let there = Store::open(None, there).expect("opened");
        let bytes = noise(5_000_000, 77);
        let digests = here.put(&*bytes, &context).expect("stored");
        assert_eq!(digests, crate::digest_bytes(&bytes));
        assert_eq!(here.put(&*bytes, &context).expect("there already"), digests);
        let mut copy = Vec::new();
        assert_eq!(
            there.get(digests, &mut copy, &context).expect("read"),
            5_000_000,
            "{place}"
        );
        assert!(copy == bytes, "{place}");
        let empty = here.put(std::io::empty(), &context).expect("stored");
        assert_eq!(there.get(empty, std::io::sink(), &context).expect("read"), 0);
        let error = here.put(Broken(100_000), &context).expect_err("broken");
        assert!(error.to_string().contains("unplugged"), "{error}");
        let error = there.get(digests, Broken(100_000), &context).expect_err("broken");
        assert!(error.to_string().contains("unplugged"), "{error}");
        let stored = here.remote().list(&context).expect("listed");
        assert_eq!(
            stored.len(),
            2,
            "{place}: what was not read to its end is not stored"
        );
        match there.reader(digests, &context) {
            Ok(mut reader) => assert!(reader.read_range(5..9).expect("read") == bytes[5..9] && n < 2),
            Err(error) => assert!(error.code() == "store::no_ranges" && n > 1, "{place}: {error}"),
        }
        if n > 1 {
            let mut reader = here.reader(digests, &context).expect("the cache has it");
            assert!(reader.read_range(5..9).expect("read") == bytes[5..9]);
        }
    }
}

#[test]
fn every_call_is_stopped_by_its_context_and_leaves_the_store_usable() {
    /// Cancels when it is read or written for the second time.
    struct Stops(Cancel, u32);
    impl Read for Stops {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            if self.1 > 1 {
                self.0.cancel();
            }
            buffer.fill(7);
            Ok(buffer.len())
        }
    }
    impl Write for Stops {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.cancel();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let frames = bench.frames("frames");
    bench.write("frames/long", &noise(30_000_000, 8));
    let context = Context::default();
    let store = Store::open(None, Remote::on(memory()).expect("a remote")).expect("opened");
    let (snapshot, _) = store.push_folder(&frames, &context).expect("pushed");
    let long = &snapshot.files()[1];
    assert_eq!(long.size, 30_000_000);
    let stopped = context.child();
    stopped.cancel().cancel();
    let is_stopped = |error: Error| assert_eq!(error.class(), Class::Cancelled, "{error}");
    is_stopped(store.push_folder(&frames, &stopped).expect_err("stopped"));
    is_stopped(
        store
            .pull(&snapshot, &bench.path("target"), &stopped)
            .expect_err("stopped"),
    );
    is_stopped(store.snapshot(&snapshot.id(), &stopped).expect_err("stopped"));
    is_stopped(store.put(&b"text"[..], &stopped).expect_err("stopped"));
    is_stopped(store.get(long, std::io::sink(), &stopped).expect_err("stopped"));
    is_stopped(store.reader(long, &stopped).expect_err("stopped"));
    // In the middle.
    let call = context.child();
    is_stopped(
        store
            .put(Stops(call.cancel().clone(), 0), &call)
            .expect_err("stopped"),
    );
    let call = context.child();
    is_stopped(
        store
            .get(long, Stops(call.cancel().clone(), 0), &call)
            .expect_err("stopped"),
    );
    let call = context.child();
    let mut reader = store.reader(long, &call).expect("opened");
    reader.read_range(0..10).expect("read");
    call.cancel().cancel();
    is_stopped(reader.read_range(20_000_000..20_000_010).expect_err("stopped"));
    // The same call again.
    store
        .pull(&snapshot, &bench.path("target"), &context)
        .expect("pulled");
    assert!(contents(&bench.path("target")) == contents(&frames));
}

#[test]
fn two_versions_share_what_they_have_in_common_on_every_thread_at_once() {
    let bench = Bench::new();
    let context = Context::default();
    let mut bytes = noise(8_000_000, 4);
    bench.write("v1/f", &bytes);
    bytes[4_000_000] ^= 1;
    bench.write("v2/f", &bytes);
    let name = bench.folder.path().display().to_string();
    let place = shared_memory(&name);
    let store = Store::open(
        Some(&bench.path("cache")),
        Remote::at(&format!("memory://{name}")).expect("a remote"),
    )
    .expect("opened");
    let (_, first) = store.push_folder(&bench.path("v1"), &context).expect("pushed");
    let (second, report) = store.push_folder(&bench.path("v2"), &context).expect("pushed");
    assert!(
        first.sent > 8_000_000 && report.sent < 400_000,
        "{first:?} {report:?}"
    );
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (bench, bytes, second, store, context) = (&bench, &bytes, &second, &store, &context);
            scope.spawn(move || {
                let target = bench.path(&format!("target{n}"));
                store.pull(second, &target, context).expect("pulled");
                assert!(fs::read(target.join("f")).expect("read") == *bytes);
                let mut reader = store.reader(&second.files()[0], context).expect("opened");
                assert!(
                    reader.read_range(3_999_000..4_001_000).expect("read") == bytes[3_999_000..4_001_000]
                );
                store
                    .put(format!("note {n}").as_bytes(), context)
                    .expect("stored");
            });
        }
    });
    // Tracked files of a workspace, or of DVC, that have this ID are these.
    let empty = bench.path("empty");
    fs::create_dir(&empty).expect("made");
    let (nothing, _) = store.push_folder(&empty, &context).expect("pushed");
    assert_eq!(nothing.manifest().to_bytes(), b"[]");
    store
        .pull(&nothing, &bench.path("nothing"), &context)
        .expect("pulled");
    assert!(bench.path("nothing").is_dir());
    drop(store);
    assert!(
        !place.list("", true).expect("listed").is_empty(),
        "as long as somebody has it"
    );
    let path = RelPath::parse("f").expect("safe");
    assert_eq!(second.find(&path).map(|file| file.size), Some(8_000_000));
    let text = serde_json::to_string(&second).expect("JSON");
    assert_eq!(serde_json::from_str::<Snapshot>(&text).expect("read"), second);
}

/// A store of the caller's own: counts the bytes that it gives.
#[derive(Debug)]
struct Counting {
    store: Arc<dyn ObjectStore>,
    given: AtomicU64,
}

impl Counting {
    fn new(store: Arc<dyn ObjectStore>) -> Self {
        let given = AtomicU64::new(0);
        Self { store, given }
    }

    fn count(&self, bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let length = bytes.as_ref().map_or(0, Vec::len) as u64;
        self.given.fetch_add(length, Ordering::Relaxed);
        bytes
    }
}

type Answer<T> = backlot_backend::Result<T>;

impl ObjectStore for Counting {
    fn place(&self) -> &'static str {
        "the caller's"
    }
    fn commit_by(&self) -> CommitBy {
        self.store.commit_by()
    }
    fn traits(&self) -> Traits {
        self.store.traits()
    }
    fn stat(&self, key: &str) -> Answer<Option<Entry>> {
        self.store.stat(key)
    }
    fn list(&self, prefix: &str, deep: bool) -> Answer<Vec<Entry>> {
        self.store.list(prefix, deep)
    }
    fn read(&self, key: &str, limit: u64) -> Answer<Option<Vec<u8>>> {
        Ok(self.count(self.store.read(key, limit)?))
    }
    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Answer<bool> {
        self.store.fetch(key, &mut |bytes| {
            self.given.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            sink(bytes)
        })
    }
    fn part(&self, key: &str, start: u64, length: u64) -> Answer<Option<Vec<u8>>> {
        Ok(self.count(self.store.part(key, start, length)?))
    }
    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Answer<()> {
        self.store.write(key, bytes, kind)
    }
    fn writer(self: Arc<Self>, key: &str) -> Answer<Box<dyn ObjectWriter>> {
        Arc::clone(&self.store).writer(key)
    }
    fn stage(&self, key: &str, bytes: Vec<u8>) -> Answer<()> {
        self.store.stage(key, bytes)
    }
    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Answer<Put> {
        self.store.create(key, bytes, kind)
    }
    fn rename(&self, from: &str, to: &str) -> Answer<RenameOutcome> {
        self.store.rename(from, to)
    }
    fn delete(&self, key: &str) -> Answer<()> {
        self.store.delete(key)
    }
}
