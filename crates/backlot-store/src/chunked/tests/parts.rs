//! Parts of jobs: whole or absent, kept while somebody may publish them, and safe beside collectors.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use backlot_core::clock::Timestamp;
use backlot_core::{Blake3, Context, RelPath};
use fs_err as fs;

use super::collecting::AT_ONCE;
use super::faults::{Fault, Faulty};
use super::{Files, Place, Random, push};
use crate::CollectOptions;
use crate::chunked::blob::{BlobEntry, BlobStore, BlobWriter};
use crate::chunked::part::{JobId, JobRelease, PartFile, PartHead};
use crate::chunked::parts::{JobParts, PartChoice, PartSource, StoredPart};
use crate::chunked::remote::ChunkedRemote;
use crate::error::{Error, Result};
use crate::object::{ObjectId, Transfer};

fn job() -> JobId {
    "Job-7".parse().expect("an ID")
}

fn head(node: &str) -> PartHead {
    PartHead {
        job: job(),
        folder: RelPath::parse("frames").expect("safe"),
        node: node.to_owned(),
        user: "ana".to_owned(),
        time: Timestamp(0),
        tool: "test".to_owned(),
    }
}

fn frames(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.bytes(300_000)).collect()
}

fn sources(files: &Files) -> Vec<PartSource> {
    let source = |(n, file): (usize, &std::path::PathBuf)| PartSource {
        path: RelPath::parse(&format!("f.{n:04}.exr")).expect("safe"),
        file: file.clone(),
    };
    files.paths.iter().enumerate().map(source).collect()
}

fn push_part(remote: &ChunkedRemote, node: &str, files: &Files) -> Result<StoredPart> {
    remote.push_part(&head(node), &sources(files), &Context::default())
}

fn listed(place: &Place) -> JobParts {
    let remote = place.remote_from("lister");
    remote
        .job_parts(Some(&job()), &Context::default())
        .expect("listed")
}

fn transfers(files: &[PartFile]) -> Vec<Transfer> {
    let transfer = |file: &PartFile| Transfer {
        id: file.id(),
        size: Some(file.digests.size),
        blake3: Some(file.digests.blake3),
    };
    files.iter().map(transfer).collect()
}

/// Whether everything a part names can be relied on by a publisher, and comes back whole.
fn is_whole(place: &Place, files: &[PartFile], contents: &[Vec<u8>]) -> bool {
    let remote = place.remote_from(&format!("m-{}", crate::StoredName::fresh()));
    let ids: Vec<ObjectId> = files.iter().map(PartFile::id).collect();
    let known = remote.known(&ids, &Context::default()).expect("asked");
    let original = place.cache("original");
    place.add(&original, contents);
    known.iter().all(Option::is_some) && place.broken(&remote, &transfers(files), &original).is_empty()
}

#[test]
fn a_part_is_stored_in_one_pass_without_a_cache_and_comes_back() {
    let place = Place::new();
    let contents = [frames(1, 4), vec![Vec::new()], frames(1, 1)].concat();
    place.remote().make().expect("made");
    let files = Files::of(&place, &contents);
    let stored = push_part(&place.remote(), "a", &files).expect("pushed");
    assert_eq!(
        (stored.report.objects, stored.report.already_there),
        (5, 1),
        "one frame is there twice"
    );
    assert!(is_whole(&place, &stored.files, &contents));
    let found = listed(&place);
    assert_eq!(found.parts.len(), 1);
    assert_eq!(
        (&found.parts[0].head, found.parts[0].files.as_slice()),
        (&head("a"), stored.files.as_slice())
    );
    // A retry of another node sends nothing but its part.
    let again = push_part(&place.remote_from("elsewhere"), "b", &files).expect("pushed");
    assert_eq!(again.report.objects, 0);
    assert!(again.report.sent < 5_000, "{}", again.report.sent);
    assert_eq!(listed(&place).parts.len(), 2);
}

#[test]
fn a_place_without_a_remote_gets_none_by_a_part() {
    let place = Place::new();
    let files = Files::of(&place, &frames(1, 1));
    let error = push_part(&place.remote(), "a", &files).expect_err("no remote");
    assert!(matches!(error, Error::NotThere { .. }));
    assert!(!place.path("remote").exists());
}

#[test]
fn a_push_that_dies_at_any_request_leaves_no_part_or_a_whole_one_and_another_takes_over() {
    for fault in [Fault::Dies, Fault::Refuses, Fault::LosesAnswer] {
        for after in 0.. {
            let place = Place::new();
            place.remote().make().expect("made");
            let contents = frames(2, 3);
            let files = Files::of(&place, &contents);
            let faulty = Faulty::on(&place, fault, after);
            let remote = ChunkedRemote::on(Arc::clone(&faulty) as _, &place.path("mirrors"));
            let pushed = push_part(&remote, "a", &files);
            for part in &listed(&place).parts {
                assert!(
                    is_whole(&place, &part.files, &contents),
                    "{fault:?} after {after}"
                );
            }
            let other = push_part(&place.remote_from("other"), "b", &files).expect("taken over");
            assert!(is_whole(&place, &other.files, &contents));
            if pushed.is_ok() && !faulty.was_reached() {
                break;
            }
        }
    }
}

#[test]
fn a_file_that_changes_before_it_is_read_again_is_told_and_the_part_is_taken_back() {
    let place = Place::new();
    place.remote().make().expect("made");
    let files = Files::of(&place, &frames(3, 2));
    let path = files.paths[1].clone();
    let meddled = Meddled::on(&place, "v1/parts/", {
        let (place_path, path) = (place.path("remote/v1"), path.clone());
        move || {
            // Everything that was sent is gone, and so the file is needed once more.
            fs::write(&path, Random::new(99).bytes(300_000)).expect("written");
            fs::remove_dir_all(place_path.join("packs")).expect("removed");
        }
    });
    let error = push_part(&meddled.remote(&place), "a", &files).expect_err("changed");
    assert!(matches!(error, Error::Changing { path: changed } if changed == path));
    assert!(listed(&place).parts.is_empty());
}

#[test]
fn parts_are_in_the_order_of_the_clock_of_the_store_whatever_nodes_say() {
    let place = Place::new();
    place.remote().make().expect("made");
    for (node, age) in [("late", 10), ("early", 1000), ("middle", 100)] {
        let files = Files::of(&place, &frames(age, 1));
        let stored = push_part(&place.remote(), node, &files).expect("pushed");
        let object = place
            .path("remote/v1/parts/job-7")
            .join(format!("{}.part", stored.name));
        let file = fs::OpenOptions::new().write(true).open(object).expect("there");
        #[expect(clippy::disallowed_methods, reason = "a time for a file of the test")]
        let time = SystemTime::now() - Duration::from_secs(age);
        file.file().set_modified(time).expect("set");
    }
    let order: Vec<String> = listed(&place)
        .parts
        .into_iter()
        .map(|part| part.head.node)
        .collect();
    assert_eq!(order, ["early", "middle", "late"]);
}

#[test]
fn jobs_whose_ids_differ_in_case_are_two() {
    let place = Place::new();
    place.remote().make().expect("made");
    let files = Files::of(&place, &frames(1, 1));
    let other = PartHead {
        job: "JOB-7".parse().expect("an ID"),
        ..head("b")
    };
    let context = Context::default();
    place
        .remote()
        .push_part(&other, &sources(&files), &context)
        .expect("pushed");
    push_part(&place.remote(), "a", &files).expect("pushed");
    let found = listed(&place);
    assert_eq!((found.parts.len(), found.damaged.len()), (1, 0));
    assert_eq!(
        place
            .remote()
            .job_parts(None, &context)
            .expect("listed")
            .parts
            .len(),
        2
    );
    let dropped = place
        .remote()
        .drop_parts(&job(), PartChoice::All, false, &context)
        .expect("dropped");
    assert_eq!(dropped.len(), 1);
    assert_eq!(
        place
            .remote()
            .job_parts(Some(&other.job), &context)
            .expect("listed")
            .parts
            .len(),
        1
    );
}

#[test]
fn a_collection_keeps_what_parts_name_until_they_are_dropped_or_too_old() {
    let place = Place::new();
    let context = Context::default();
    place.remote().make().expect("made");
    let contents = frames(4, 3);
    let files = Files::of(&place, &contents);
    let remote = place.remote();
    let a = push_part(&remote, "a", &files).expect("pushed");
    let report = remote
        .collect(&HashSet::new(), &AT_ONCE, &context)
        .expect("collected");
    assert_eq!(
        (report.files_kept, report.files_unreferenced, report.parts),
        (3, 0, 1)
    );
    assert!(is_whole(&place, &a.files, &contents));
    // Of a node that nobody has: nothing happens. A dry run changes nothing.
    assert!(
        remote
            .drop_parts(&job(), PartChoice::OfNode("c"), false, &context)
            .expect("asked")
            .is_empty()
    );
    assert_eq!(
        remote
            .drop_parts(&job(), PartChoice::All, true, &context)
            .expect("planned")
            .len(),
        1
    );
    assert_eq!(
        remote
            .drop_parts(&job(), PartChoice::OfNode("a"), false, &context)
            .expect("dropped")
            .len(),
        1
    );
    let report = remote
        .collect(&HashSet::new(), &AT_ONCE, &context)
        .expect("collected");
    assert_eq!(
        (report.files_kept, report.files_unreferenced, report.parts),
        (0, 3, 0)
    );
    // One that is older than stated keeps nothing, and goes.
    push_part(&remote, "a", &files).expect("pushed again");
    let options = CollectOptions {
        parts: Duration::ZERO,
        ..AT_ONCE
    };
    let dry = CollectOptions {
        dry_run: true,
        ..options
    };
    let plan = remote.collect(&HashSet::new(), &dry, &context).expect("planned");
    assert_eq!(listed(&place).parts.len(), 1);
    let report = remote
        .collect(&HashSet::new(), &options, &context)
        .expect("collected");
    assert_eq!(plan.parts_dropped, report.parts_dropped);
    assert_eq!((report.parts_dropped.len(), report.files_kept), (1, 0));
    assert!(listed(&place).parts.is_empty());
}

#[test]
fn a_released_part_keeps_its_files_until_the_release_is_seen_and_a_late_one_longer() {
    let place = Place::new();
    let context = Context::default();
    place.remote().make().expect("made");
    let remote = place.remote();
    let early = push_part(&remote, "a", &Files::of(&place, &frames(5, 2))).expect("pushed");
    assert!(early.late.is_empty());
    let release = JobRelease::new(&job(), ("table", "1.0"), "review", "ana", vec![early.name]);
    remote.note_job_release(&release, &context).expect("noted");
    remote.note_job_release(&release, &context).expect("noted once");
    let late = push_part(&remote, "b", &Files::of(&place, &frames(6, 1))).expect("pushed");
    assert_eq!(late.late, vec![release.clone()]);
    let found = listed(&place);
    assert_eq!((found.parts.len(), &found.releases), (2, &vec![release]));
    let careful = CollectOptions {
        young: Duration::from_hours(1),
        dry_run: true,
        ..AT_ONCE
    };
    let report = remote
        .collect(&HashSet::new(), &careful, &context)
        .expect("planned");
    assert_eq!(report.parts, 2);
    let report = remote
        .collect(&HashSet::new(), &AT_ONCE, &context)
        .expect("collected");
    assert_eq!(
        (report.parts, report.files_kept, report.files_unreferenced),
        (1, 1, 2)
    );
    assert_eq!(
        listed(&place).parts.len(),
        2,
        "they are told until they are too old"
    );
}

#[test]
fn what_is_not_a_part_is_listed_as_damaged_stops_a_collection_and_can_be_dropped() {
    let place = Place::new();
    let context = Context::default();
    place.remote().make().expect("made");
    let files = Files::of(&place, &frames(7, 1));
    push_part(&place.remote(), "a", &files).expect("pushed");
    let blobs = place.blobs();
    let good = blobs.read(&blobs.list("v1/parts/").expect("listed")[0].key);
    let good = good.expect("read").expect("there");
    let name = crate::StoredName::fresh();
    for (key, bytes) in [
        (format!("v1/parts/job-7/{name}.part"), b"BKLPART1{}".to_vec()),
        (format!("v1/parts/job-7/{name}.done"), good.clone()),
        ("v1/parts/job-7/x.part".to_owned(), good.clone()),
        (format!("v1/parts/other/{name}.part"), good),
    ] {
        blobs.put(&key, &bytes).expect("put");
        let of_key: JobId = key.split('/').nth(2).expect("a job").parse().expect("an ID");
        let of_key = if of_key.as_str() == "other" { of_key } else { job() };
        let found = place.remote().job_parts(Some(&of_key), &context).expect("listed");
        assert_eq!(found.damaged.len(), 1, "{key}: {:?}", found.damaged);
        assert_eq!(found.damaged[0].key, key);
        let error = place
            .remote()
            .collect(&HashSet::new(), &AT_ONCE, &context)
            .expect_err("unknown");
        assert!(matches!(error, Error::DamagedPart { object, .. } if object == key));
        place
            .remote()
            .drop_parts(&of_key, PartChoice::All, false, &context)
            .expect("dropped");
        assert!(blobs.read(&key).expect("asked").is_none(), "{key}");
        if of_key == job() {
            push_part(&place.remote(), "a", &files).expect("pushed again");
        }
    }
    // What others leave in the folder is in nobody's way.
    blobs.put("v1/parts/job-7/.DS_Store", b"x").expect("put");
    assert!(listed(&place).damaged.is_empty());
}

#[test]
fn other_content_under_the_same_md5_is_refused() {
    let place = Place::new();
    place.remote().make().expect("made");
    let stored = push_part(&place.remote(), "a", &Files::of(&place, &frames(8, 1))).expect("pushed");
    let mut file = stored.files[0].clone();
    file.digests.blake3 = Blake3::from_bytes([1; 32]);
    let site = place.remote().find().expect("read").expect("there");
    let error = site
        .require(&[file], &Context::default())
        .expect_err("another file");
    assert!(matches!(error, Error::SameMd5 { .. }));
}

#[test]
fn what_a_collector_takes_before_it_can_see_the_part_is_stored_again() {
    let place = Place::new();
    let contents = frames(9, 3);
    let cache = place.cache("cache");
    // The frames are there already, and nothing needs them.
    let items = place.add(&cache, &contents);
    push(&place.remote(), &cache, &items).expect("pushed");
    let context = Context::default();
    for grace in [Duration::from_hours(1), Duration::ZERO] {
        let collector = place.remote_from("collector");
        let meddled = Meddled::on(&place, "v1/parts/", move || {
            let options = CollectOptions { grace, ..AT_ONCE };
            let report = collector.collect(&HashSet::new(), &options, &Context::default());
            assert_eq!(report.expect("collected").files_unreferenced, 3);
        });
        let stored = push_part(&meddled.remote(&place), "a", &Files::of(&place, &contents)).expect("pushed");
        assert!(
            meddled.has_met(),
            "the collector ran between the check and the part"
        );
        assert!(is_whole(&place, &stored.files, &contents));
        let report = place
            .remote()
            .collect(&HashSet::new(), &AT_ONCE, &context)
            .expect("collected");
        assert_eq!(report.parts, 1);
        assert!(is_whole(&place, &stored.files, &contents));
        place
            .remote()
            .drop_parts(&job(), PartChoice::All, false, &context)
            .expect("dropped");
    }
}

#[test]
fn what_a_part_names_since_a_collector_looked_is_spared_by_its_second_look() {
    let place = Place::new();
    let contents = frames(10, 3);
    let cache = place.cache("cache");
    let items = place.add(&cache, &contents);
    push(&place.remote(), &cache, &items).expect("pushed");
    let node = place.remote_from("node");
    let files = Files::of(&place, &contents);
    // The part appears after the collector decided, and before its tomb does: the node cannot see what is coming.
    let meddled = Meddled::on(&place, "v1/tombs/", move || {
        push_part(&node, "a", &files).expect("pushed");
    });
    let context = Context::default();
    let report = meddled
        .remote(&place)
        .collect(&HashSet::new(), &AT_ONCE, &context)
        .expect("collected");
    assert!(meddled.has_met());
    assert!(
        report.deleted.is_empty() && !report.spared.is_empty(),
        "{report:?}"
    );
    // It can be read, and nothing new relies on it until the next collection has stored it anew.
    let files = || listed(&place).parts[0].files.clone();
    assert!(!is_whole(&place, &files(), &contents));
    let context = Context::default();
    let report = place.remote().collect(&HashSet::new(), &AT_ONCE, &context);
    let report = report.expect("collected");
    assert!(
        !report.spared.is_empty() && report.written_bytes > 0,
        "{report:?}"
    );
    assert!(is_whole(&place, &files(), &contents));
}

type Meddling = Box<dyn FnOnce() + Send>;

/// A remote at which something happens before the first object below a prefix is written.
struct Meddled {
    inner: Arc<dyn BlobStore>,
    prefix: &'static str,
    meddle: Mutex<Option<Meddling>>,
}

impl std::fmt::Debug for Meddled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meddled").finish_non_exhaustive()
    }
}

impl Meddled {
    fn on(place: &Place, prefix: &'static str, meddle: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            inner: place.blobs(),
            prefix,
            meddle: Mutex::new(Some(Box::new(meddle))),
        })
    }
    fn remote(self: &Arc<Self>, place: &Place) -> ChunkedRemote {
        ChunkedRemote::on(Arc::clone(self) as _, &place.path("meddled"))
    }
    fn has_met(&self) -> bool {
        self.meddle.lock().expect("held").is_none()
    }
}

impl BlobStore for Meddled {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.inner.read(key)
    }
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        self.inner.read_range(key, range)
    }
    fn begin(&self, key: &str) -> Result<Box<dyn BlobWriter>> {
        if key.starts_with(self.prefix) {
            let meddle = self.meddle.lock().expect("held").take();
            if let Some(meddle) = meddle {
                meddle();
            }
        }
        self.inner.begin(key)
    }
    fn stat(&self, key: &str) -> Result<Option<BlobEntry>> {
        self.inner.stat(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<BlobEntry>> {
        self.inner.list(prefix)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key)
    }
    fn sync_deleted(&self, prefix: &str) -> Result<()> {
        self.inner.sync_deleted(prefix)
    }
    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }
    fn coalesce_gap(&self) -> u32 {
        self.inner.coalesce_gap()
    }
}
