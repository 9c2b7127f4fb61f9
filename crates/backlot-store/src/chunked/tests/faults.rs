//! A remote that refuses, dies or tears, at every single request; and pushers and a collector at the same time.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backlot_core::Context;

use super::collecting::AT_ONCE;
use super::{Files, Place, Random, contents, push};
use crate::chunked::blob::{BlobEntry, BlobStore, BlobWriter};
use crate::chunked::remote::ChunkedRemote;
use crate::error::{Error, Result};
use crate::object::{ObjectId, Transfer};
use crate::{Cache, CollectOptions};

/// How a remote misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// From some request on, every request fails.
    Dies,
    /// One request fails, the next ones work.
    Refuses,
    /// One upload appears torn under its name, and every request after it fails. Services whose objects appear whole do
    /// not do this; a disk that lost power may.
    Tears,
    /// One request is done, and its answer is lost.
    LosesAnswer,
}

/// A remote that misbehaves at one request.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn BlobStore>,
    fault: Fault,
    left: Arc<AtomicI64>,
    uploaded: Arc<AtomicU64>,
}

fn refused() -> Error {
    Error::from(std::io::Error::new(
        std::io::ErrorKind::ConnectionReset,
        "the remote is gone",
    ))
}

impl Faulty {
    pub(super) fn on(place: &Place, fault: Fault, after: i64) -> Arc<Self> {
        Arc::new(Self {
            inner: place.blobs(),
            fault,
            left: Arc::new(AtomicI64::new(after)),
            uploaded: Arc::default(),
        })
    }

    /// Count a request and do it, or not.
    fn attempt<T>(&self, request: impl FnOnce() -> Result<T>) -> Result<T> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        match self.fault {
            Fault::Refuses if left == 0 => Err(refused()),
            Fault::LosesAnswer if left == 0 => request().and_then(|_| Err(refused())),
            Fault::Dies | Fault::Tears if left <= 0 => Err(refused()),
            _ => request(),
        }
    }

    pub(super) fn was_reached(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

struct FaultyWriter {
    inner: Option<Box<dyn BlobWriter>>,
    bytes: u64,
    fault: Fault,
    left: Arc<AtomicI64>,
    uploaded: Arc<AtomicU64>,
}

impl BlobStore for Faulty {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.attempt(|| self.inner.read(key))
    }
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        self.attempt(|| self.inner.read_range(key, range))
    }
    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        let inner = self.attempt(|| self.inner.begin(key))?;
        Ok(Box::new(FaultyWriter {
            inner: Some(inner),
            bytes: 0,
            fault: self.fault,
            left: Arc::clone(&self.left),
            uploaded: Arc::clone(&self.uploaded),
        }))
    }
    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        self.attempt(|| self.inner.stat(key))
    }
    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        self.attempt(|| self.inner.list(prefix))
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.attempt(|| self.inner.delete(key))
    }
    fn sync_deleted(&self, prefix: &str) -> Result<()> {
        self.attempt(|| self.inner.sync_deleted(prefix))
    }
    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }
    fn coalesce_gap(&self) -> u32 {
        self.inner.coalesce_gap()
    }
}

impl BlobWriter for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let inner = self.inner.as_mut().expect("not finished");
        if self.fault == Fault::Tears && self.left.load(Ordering::SeqCst) == 1 {
            return inner.write(&bytes[..bytes.len() / 2]);
        }
        inner.write(bytes)
    }
    fn flush(&mut self) -> Result<()> {
        self.inner.as_mut().expect("not finished").flush()
    }
    fn finish(mut self: Box<Self>) -> Result<()> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let inner = self.inner.take().expect("not finished");
        let fails = match self.fault {
            Fault::Refuses => left == 0,
            Fault::Dies => left <= 0,
            Fault::Tears | Fault::LosesAnswer => {
                if left == 0 || left == 1 && self.fault == Fault::Tears {
                    inner.finish()?;
                    return Err(refused());
                }
                left < 0 && self.fault == Fault::Tears
            }
        };
        if fails {
            return Err(refused());
        }
        inner.finish()?;
        self.uploaded.fetch_add(self.bytes, Ordering::SeqCst);
        Ok(())
    }
}

/// Break each request in turn, until the work gets through.
fn at_every_request(fault: Fault, mut work: impl FnMut(i64) -> bool) -> i64 {
    for after in 0..10_000 {
        if !work(after) {
            return after;
        }
    }
    panic!("{fault:?}: it never got through");
}

#[test]
fn a_push_that_breaks_anywhere_loses_nothing_and_is_completed_by_the_next() {
    for fault in [Fault::Dies, Fault::Refuses, Fault::LosesAnswer] {
        let broke = at_every_request(fault, |after| {
            let place = Place::new();
            let cache = place.cache("cache");
            let first = place.add(&cache, &contents(1)[..10]);
            push(&place.remote(), &cache, &first).expect("pushed");
            let items = place.add(&cache, &contents(2)[..10]);
            let faulty = Faulty::on(&place, fault, after);
            let result = push(
                &ChunkedRemote::on(faulty.clone(), &place.path("mirrors")),
                &cache,
                &items,
            );
            assert!(result.is_ok() || faulty.was_reached(), "{fault:?} {after}");
            // A push that only could not merge segments any more is complete.
            let stored = if result.is_ok() {
                [&*first, &*items].concat()
            } else {
                first
            };
            assert!(
                place
                    .broken(&place.remote_from("elsewhere"), &stored, &cache)
                    .is_empty(),
                "{fault:?} {after}"
            );
            push(&place.remote(), &cache, &items).expect("pushed");
            assert!(
                place
                    .broken(&place.remote_from("third"), &items, &cache)
                    .is_empty(),
                "{fault:?} {after}"
            );
            faulty.was_reached()
        });
        assert!(broke > 8, "{fault:?}: only {broke} requests");
    }
}

#[test]
fn adding_ahead_of_a_push_may_break_anywhere_and_is_completed_by_the_next() {
    for fault in [Fault::Dies, Fault::Refuses, Fault::LosesAnswer] {
        let broke = at_every_request(fault, |after| {
            let place = Place::new();
            let cache = place.cache("cache");
            let files = Files::of(&place, &contents(2)[..10]);
            let faulty = Faulty::on(&place, fault, after);
            let remote = ChunkedRemote::on(faulty.clone(), &place.path("mirrors"));
            let result = files.add_ahead(&remote, &cache);
            assert!(result.is_ok() || faulty.was_reached(), "{fault:?} {after}");
            // Whatever came of it, what is in the cache is whole, and a rerun and a push make all of it so.
            let damaged = cache.list().expect("listed").iter().any(|entry| {
                let bytes = fs_err::read(cache.object_path(&entry.id)).expect("there");
                crate::digest_bytes(&bytes).md5 != entry.id.md5
            });
            assert!(!damaged, "{fault:?} {after}");
            let (items, _) = files.add_ahead(&place.remote(), &cache).expect("added");
            push(&place.remote(), &cache, &items).expect("pushed");
            let broken = place.broken(&place.remote_from("elsewhere"), &items, &cache);
            assert!(broken.is_empty(), "{fault:?} {after}");
            faulty.was_reached()
        });
        assert!(broke > 3, "{fault:?}: only {broke} requests");
    }
}

#[test]
fn a_torn_upload_is_told_or_harmless_and_the_next_push_makes_it_whole() {
    at_every_request(Fault::Tears, |after| {
        let place = Place::new();
        let cache = place.cache("cache");
        let first = place.add(&cache, &contents(1)[..9]);
        push(&place.remote(), &cache, &first).expect("pushed");
        let items = place.add(&cache, &contents(2)[..9]);
        let faulty = Faulty::on(&place, Fault::Tears, after);
        push(
            &ChunkedRemote::on(faulty.clone(), &place.path("mirrors")),
            &cache,
            &items,
        )
        .ok();
        let remote = place.remote_from("elsewhere");
        // What was there stays whole, and a torn segment is passed over.
        assert!(place.broken(&remote, &first, &cache).is_empty(), "{after}");
        push(&remote, &cache, &items).expect("pushed");
        assert!(
            place
                .broken(&place.remote_from("third"), &items, &cache)
                .is_empty(),
            "{after}"
        );
        faulty.was_reached()
    });
}

#[test]
fn an_interrupted_push_sends_nothing_twice() {
    let place = Place::new();
    let cache = place.cache("cache");
    // Five packs of random bytes.
    let mut random = Random::new(3);
    let contents: Vec<Vec<u8>> = (0..40).map(|_| random.bytes(4 << 20)).collect();
    let total: u64 = contents.iter().map(|bytes| bytes.len() as u64).sum();
    let items = place.add(&cache, &contents);
    drop(contents);
    // Config read and written, listings, then pack by pack.
    let mut uploaded = 0;
    for after in [14, 16, 18, 20] {
        let faulty = Faulty::on(&place, Fault::Dies, after);
        let result = push(
            &ChunkedRemote::on(faulty.clone(), &place.path("mirrors")),
            &cache,
            &items,
        );
        assert_eq!(
            Arc::strong_count(&faulty.uploaded),
            1,
            "nothing goes on when a push has ended"
        );
        uploaded += faulty.uploaded.load(Ordering::SeqCst);
        if result.is_ok() {
            break;
        }
    }
    let healthy = Faulty::on(&place, Fault::Dies, i64::MAX);
    push(
        &ChunkedRemote::on(healthy.clone(), &place.path("mirrors")),
        &cache,
        &items,
    )
    .expect("pushed");
    let last = healthy.uploaded.load(Ordering::SeqCst);
    assert!(
        uploaded > 20 << 20,
        "the interrupted pushes sent {uploaded} bytes"
    );
    assert!(
        uploaded + last < total + (1 << 20),
        "{uploaded} + {last} bytes for {total}"
    );
    assert!(
        place
            .broken(&place.remote_from("elsewhere"), &items, &cache)
            .is_empty()
    );
}

#[test]
fn a_pull_that_breaks_anywhere_keeps_what_it_has_and_is_completed_by_the_next() {
    let place = Place::new();
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents(5));
    push(&place.remote(), &cache, &items).expect("pushed");
    for fault in [Fault::Dies, Fault::Refuses, Fault::LosesAnswer] {
        at_every_request(fault, |after| {
            let name = format!("{fault:?}-{after}");
            let other = place.cache(&name);
            let faulty = Faulty::on(&place, fault, after);
            let remote = ChunkedRemote::on(faulty.clone(), &place.path(&format!("mirrors-{name}")));
            let result = remote.pull(&other, &items, &Context::default());
            assert_eq!(result.is_err(), faulty.was_reached(), "{name}");
            for entry in other.list().expect("listed") {
                let bytes = fs_err::read(other.object_path(&entry.id)).expect("there");
                assert_eq!(crate::digest_bytes(&bytes).md5, entry.id.md5, "{name}");
            }
            let missing: Vec<Transfer> = items
                .iter()
                .filter(|item| !other.has(&item.id).expect("asked"))
                .copied()
                .collect();
            place
                .remote()
                .pull(&other, &missing, &Context::default())
                .expect("pulled");
            assert!(
                items.iter().all(|item| other.has(&item.id).expect("asked")),
                "{name}"
            );
            faulty.was_reached()
        });
    }
}

#[test]
fn a_collection_that_breaks_anywhere_loses_nothing_and_is_completed_by_the_next() {
    for fault in [Fault::Dies, Fault::Refuses, Fault::LosesAnswer] {
        at_every_request(fault, |after| {
            let place = Place::new();
            let cache = place.cache("cache");
            let mut random = Random::new(9);
            let contents: Vec<Vec<u8>> = (0..6).map(|_| random.bytes(100_000)).collect();
            let items = place.add(&cache, &contents);
            push(&place.remote(), &cache, &items[..4]).expect("pushed");
            push(&place.remote(), &cache, &items[4..]).expect("pushed");
            let kept = [items[0], items[5]];
            let keep: HashSet<ObjectId> = kept.iter().map(|item| item.id).collect();
            let faulty = Faulty::on(&place, fault, after);
            let remote = ChunkedRemote::on(faulty.clone(), &place.path("mirrors"));
            remote.collect(&keep, &AT_ONCE, &Context::default()).ok();
            assert!(
                place
                    .broken(&place.remote_from("elsewhere"), &kept, &cache)
                    .is_empty(),
                "{fault:?} {after}"
            );
            // What the broken one condemned is no part of all that is there.
            let all = place
                .remote_from("copied")
                .list(&Context::default())
                .expect("listed");
            let all: Vec<ObjectId> = all.into_iter().map(|entry| entry.id).collect();
            assert!(
                kept.iter().all(|item| all.contains(&item.id)),
                "{fault:?} {after}"
            );
            Place::new()
                .remote()
                .copy_from(&place.remote_from("copied"), &all, &Context::default())
                .expect("copied");
            place
                .remote()
                .collect(&keep, &AT_ONCE, &Context::default())
                .expect("collected");
            assert!(
                place
                    .broken(&place.remote_from("elsewhere"), &kept, &cache)
                    .is_empty(),
                "{fault:?} {after}"
            );
            push(&place.remote(), &cache, &items).expect("pushed");
            assert!(
                place
                    .broken(&place.remote_from("third"), &items, &cache)
                    .is_empty(),
                "{fault:?} {after}"
            );
            faulty.was_reached()
        });
    }
}

#[test]
fn a_copy_that_breaks_anywhere_is_completed_by_the_next() {
    for fault in [Fault::Dies, Fault::LosesAnswer] {
        at_every_request(fault, |after| {
            let (place, target) = (Place::new(), Place::new());
            let cache = place.cache("cache");
            let items = place.add(&cache, &contents(4)[..9]);
            push(&place.remote(), &cache, &items).expect("pushed");
            let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
            let faulty = Faulty::on(&target, fault, after);
            let broken = ChunkedRemote::on(faulty.clone(), &target.path("mirrors"));
            let result = broken.copy_from(&place.remote(), &ids, &Context::default());
            assert_eq!(result.is_err(), faulty.was_reached(), "{fault:?} {after}");
            target
                .remote()
                .copy_from(&place.remote(), &ids, &Context::default())
                .expect("copied");
            assert!(
                target
                    .broken(&target.remote_from("third"), &items, &cache)
                    .is_empty()
            );
            faulty.was_reached()
        });
    }
}

/// A remote whose every request takes its time.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn BlobStore>,
    random: Mutex<u64>,
}

impl Slow {
    fn on(place: &Place, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: place.blobs(),
            random: Mutex::new(seed),
        })
    }
    fn wait(&self) {
        let mut state = self.random.lock().expect("not poisoned");
        let mut random = Random::new(*state);
        *state = random.next();
        let pause = Duration::from_micros(random.next() % 4000);
        drop(state);
        std::thread::sleep(pause);
    }
}

impl BlobStore for Slow {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.wait();
        self.inner.read(key)
    }
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        self.wait();
        self.inner.read_range(key, range)
    }
    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        self.wait();
        self.inner.begin(key)
    }
    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        self.wait();
        self.inner.stat(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        self.wait();
        self.inner.list(prefix)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.wait();
        self.inner.delete(key)
    }
    fn sync_deleted(&self, prefix: &str) -> Result<()> {
        self.wait();
        self.inner.sync_deleted(prefix)
    }
    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }
    fn coalesce_gap(&self) -> u32 {
        self.inner.coalesce_gap()
    }
}

/// What is to be kept: shared by pushers, who add before they push, and the collector.
type Keep = Mutex<HashSet<ObjectId>>;

fn push_and_check(place: &Place, who: u64, until: Instant, keep: &Keep) -> u64 {
    let name = format!("pusher-{who}");
    let cache = place.cache(&name);
    let mut random = Random::new(who + 1000);
    let mut live: Vec<Transfer> = Vec::new();
    let mut rounds = 0;
    while Instant::now() < until {
        // Much is shared with what both pushers stored and dropped before, so that condemned packs tempt.
        let contents: Vec<Vec<u8>> = (0..3)
            .map(|_| {
                let mut bytes = Random::new(random.next() % 6).bytes(300_000);
                bytes.extend_from_slice(&random.next().to_le_bytes());
                bytes
            })
            .collect();
        let items = place.add(&cache, &contents);
        keep.lock()
            .expect("not poisoned")
            .extend(items.iter().map(|item| item.id));
        let remote = ChunkedRemote::on(Slow::on(place, random.next()), &place.path(&name).join("mirrors"));
        match push(&remote, &cache, &items) {
            Ok(_) => live.extend(items),
            Err(Error::Contended { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let remote = place.remote_from(&format!("{name}/reader"));
        assert!(
            place.broken(&remote, &live, &cache).is_empty(),
            "after {rounds} rounds"
        );
        if live.len() > 6 {
            let mut keep = keep.lock().expect("not poisoned");
            for item in live.drain(..3) {
                keep.remove(&item.id);
            }
        }
        rounds += 1;
    }
    rounds
}

#[test]
fn two_pushers_and_a_collector_at_once_lose_nothing() {
    let seconds = option_env!("BACKLOT_HEAVY").map_or(15, |_| 240);
    let place = Place::new();
    let keep = Keep::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let stop = AtomicBool::new(false);
    let deleted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let options = CollectOptions {
                // A second protects what was committed after the collector read what to keep.
                young: Duration::from_secs(1),
                ..AT_ONCE
            };
            let mut seed = 5;
            while !stop.load(Ordering::SeqCst) {
                seed += 1;
                let kept = keep.lock().expect("not poisoned").clone();
                let remote = ChunkedRemote::on(Slow::on(&place, seed), &place.path("collector"));
                match remote.collect(&kept, &options, &Context::default()) {
                    Ok(report) => {
                        deleted.fetch_add(report.deleted.len() as u64, Ordering::SeqCst);
                    }
                    Err(Error::Contended { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let pushers = [0, 1].map(|who| {
            let (place, keep) = (&place, &keep);
            scope.spawn(move || push_and_check(place, who, until, keep))
        });
        let ended = pushers.map(std::thread::ScopedJoinHandle::join);
        // Before anything is judged, or the collector would go on for ever.
        stop.store(true, Ordering::SeqCst);
        let rounds = ended.map(|rounds| rounds.expect("it lost nothing"));
        collector.join().expect("it collected");
        assert!(rounds.iter().all(|n| *n > 3), "{rounds:?} rounds");
    });
    assert!(deleted.load(Ordering::SeqCst) > 0, "something was collected");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_written() {
    // The last request of a push to a disk that is full fails like any other; what it left is only temporaries.
    let place = Place::new();
    let cache: Cache = place.cache("cache");
    let items = place.add(&cache, &contents(8)[..9]);
    let faulty = Faulty::on(&place, Fault::Dies, 9);
    push(&ChunkedRemote::on(faulty, &place.path("mirrors")), &cache, &items).expect_err("full");
    for (key, _) in place.stored() {
        assert!(!key.contains(".tmp-"), "{key}");
    }
}
