//! Publishers to a folder that die after each change they make: what readers see then, and that the next one heals.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use backlot_backend::{
    CommitBy, Entry, Error as BackendError, How, ObjectStore, ObjectWriter, Put, RenameOutcome,
    Result as Asked, Traits,
};
use backlot_core::{Context, Diagnostic as _};
use fs_err as fs;

use super::super::ReleaseStore;
use super::feed::{assert_once, clock, later, read, told};
use crate::feed::FeedPosition;
use crate::publish::Published;
use crate::release::ReleaseFile;
use crate::support::{Warnings, Wheel, by, package, temporaries, tree, version};

/// A folder with somebody between it and who uses it.
struct Watched {
    store: Arc<dyn ObjectStore>,
    /// How many changes are made before nothing is done any more.
    life: AtomicUsize,
    /// Called with the key before each change.
    before: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl Watched {
    fn alive(&self) -> Asked<&dyn ObjectStore> {
        match self.life.load(Ordering::Relaxed) {
            0 => Err(BackendError::Store {
                place: "the folder".to_owned(),
                reason: "killed".to_owned(),
                temporary: false,
            }),
            _ => Ok(&*self.store),
        }
    }

    /// Make a change; the last one is made, and nobody hears of it.
    fn change<T>(&self, key: &str, work: impl FnOnce(&dyn ObjectStore) -> Asked<T>) -> Asked<T> {
        (self.before)(key);
        let done = work(self.alive()?);
        self.life.fetch_sub(1, Ordering::Relaxed);
        self.alive()?;
        done
    }
}

impl ObjectStore for Watched {
    fn place(&self) -> &str {
        self.store.place()
    }
    fn commit_by(&self) -> CommitBy {
        self.store.commit_by()
    }
    fn traits(&self) -> Traits {
        self.store.traits()
    }
    fn root(&self) -> Option<&Path> {
        self.store.root()
    }
    fn file(&self, key: &str) -> Option<PathBuf> {
        self.store.file(key)
    }
    fn stat(&self, key: &str) -> Asked<Option<Entry>> {
        self.alive()?.stat(key)
    }
    fn list(&self, prefix: &str, deep: bool) -> Asked<Vec<Entry>> {
        self.alive()?.list(prefix, deep)
    }
    fn names(&self, prefix: &str) -> Asked<Vec<String>> {
        self.alive()?.names(prefix)
    }
    fn revision(&self, key: &str) -> Asked<Option<u64>> {
        self.alive()?.revision(key)
    }
    fn read(&self, key: &str, limit: u64) -> Asked<Option<Vec<u8>>> {
        self.alive()?.read(key, limit)
    }
    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Asked<bool> {
        self.alive()?.fetch(key, sink)
    }
    fn part(&self, key: &str, start: u64, length: u64) -> Asked<Option<Vec<u8>>> {
        self.alive()?.part(key, start, length)
    }
    fn write(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Asked<()> {
        self.change(key, |store| store.write(key, bytes, kind))
    }
    fn write_for_now(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Asked<()> {
        self.change(key, |store| store.write_for_now(key, bytes, kind))
    }
    fn put_from(
        &self,
        key: &str,
        source: &mut dyn Read,
        how: How,
        modified: u64,
        kind: &'static str,
    ) -> Asked<Put> {
        self.change(key, |store| store.put_from(key, source, how, modified, kind))
    }
    fn writer(self: Arc<Self>, _key: &str) -> Asked<Box<dyn ObjectWriter>> {
        unreachable!("a repo writes its objects whole")
    }
    fn stage(&self, key: &str, bytes: Vec<u8>) -> Asked<()> {
        self.change(key, |store| store.stage(key, bytes))
    }
    fn create(&self, key: &str, bytes: Vec<u8>, kind: &'static str) -> Asked<Put> {
        self.change(key, |store| store.create(key, bytes, kind))
    }
    fn rename(&self, from: &str, to: &str) -> Asked<RenameOutcome> {
        self.change(to, |store| store.rename(from, to))
    }
    fn delete(&self, key: &str) -> Asked<()> {
        self.change(key, |store| store.delete(key))
    }
}

struct Scene {
    folder: tempfile::TempDir,
    root: PathBuf,
}

/// What became of a publisher that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Died {
    Before,
    After,
    NotAtAll,
}

impl Scene {
    /// An empty repo.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        ReleaseStore::create_folder(&root).unwrap();
        Self { folder, root }
    }

    /// A repo with `chair 1.0`, then a publisher of a version that dies after so many changes.
    fn killed_after(changes: usize, name: &str, number: &str) -> (Self, Died) {
        let scene = Self::new();
        scene.publish("chair", "1.0", "ana").unwrap();
        let dying = scene.watched(changes, |_| {});
        let done = dying.publish(&scene.wheel(name, number), &by("ben"), &Context::default());
        let is_there = scene
            .root
            .join(format!("packages/{name}/{name}-{number}-py3-none-any.whl"))
            .exists();
        let died = match done {
            Ok(Published { unfinished: None, .. }) => Died::NotAtAll,
            _ if is_there => Died::After,
            _ => Died::Before,
        };
        (scene, died)
    }

    fn watched(&self, life: usize, before: impl Fn(&str) + Send + Sync + 'static) -> ReleaseStore {
        let watched = Watched {
            store: backlot_backend::folder(&self.root),
            life: AtomicUsize::new(life),
            before: Box::new(before),
        };
        ReleaseStore::new(Arc::new(watched), None)
    }

    /// Another instance, as another machine would have.
    fn repo(&self) -> ReleaseStore {
        ReleaseStore::open_folder(&self.root).unwrap()
    }

    fn wheel(&self, name: &str, number: &str) -> PathBuf {
        Wheel::new(name, number).write(self.folder.path())
    }

    fn publish(&self, name: &str, number: &str, author: &str) -> crate::Result<Published> {
        let repo = self.repo();
        repo.publish(&self.wheel(name, number), &by(author), &Context::default())
    }

    fn releases(&self, name: &str) -> Vec<ReleaseFile> {
        let listing = self.repo().releases_with_problems(&package(name)).unwrap();
        assert_eq!(listing.broken, []);
        listing.releases
    }

    fn numbers(&self, name: &str) -> Vec<String> {
        let releases = self.releases(name).into_iter();
        releases.map(|release| release.version.to_string()).collect()
    }

    /// Everything a reader may ask of a release holds.
    fn assert_complete(&self, release: &ReleaseFile) {
        let repo = self.repo();
        assert_eq!(repo.metadata(release).unwrap().version, release.version);
        let fact = repo
            .status(release)
            .unwrap()
            .published
            .expect("the fact precedes the commit");
        assert!(["ana", "ben"].contains(&fact.author.as_str()));
        let target = self.folder.path().join("got");
        repo.open_wheel(release, &target, &Context::default()).unwrap();
        assert_eq!(
            fs::read(target).unwrap(),
            Wheel::new(release.package.as_str(), &release.version.to_string()).bytes()
        );
    }

    /// A reader is told of all releases there are, each once; `more` than the first one.
    fn assert_told(&self, more: bool) {
        let repo = self.repo();
        let (early, next) = read(&repo, FeedPosition::START, &Context::default());
        let (late, _) = read(&repo, next, &later());
        let events = [early, late].concat();
        assert_once(&events, "after a death");
        let there = self.releases("chair").len() + self.releases("table").len();
        assert_eq!(events.len(), there);
        assert_eq!(there > 1, more);
    }

    /// What the pages say is there as they say it; all releases are there if `settled`.
    fn assert_pages_hold(&self, name: &str, settled: bool) {
        let Ok(page) = fs::read(self.root.join(format!("simple/{name}/index.json"))) else {
            assert!(!settled, "{name} has a page");
            return;
        };
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        let files = page["files"].as_array().unwrap();
        for file in files {
            let wheel = format!("packages/{name}/{}", file["filename"].as_str().unwrap());
            let digest =
                |path: String| crate::record::sha256(&fs::read(self.root.join(path)).unwrap()).to_hex();
            assert_eq!(file["hashes"]["sha256"], digest(wheel.clone()));
            let sidecar = &file["core-metadata"]["sha256"];
            assert!(!settled || sidecar.is_string());
            if sidecar.is_string() {
                assert_eq!(*sidecar, digest(format!("{wheel}.metadata")));
            }
        }
        if settled {
            assert_eq!(files.len(), self.releases(name).len());
            for page in ["index.html", "index.json"] {
                let text = fs::read_to_string(self.root.join("simple").join(page)).unwrap();
                assert!(text.contains(&format!("\"{name}")), "{name} is on the root page");
            }
        }
    }
}

/// A publisher killed after each change that it makes, of a package that is there and of one that is new; how often it died
/// before and after its commit.
fn each_death(mut check: impl FnMut(&Scene, Died, &str, &str)) -> (usize, usize) {
    let (mut before, mut after) = (0, 0);
    for (name, number) in [("chair", "1.1"), ("table", "1.0")] {
        for changes in 1.. {
            let (scene, died) = Scene::killed_after(changes, name, number);
            match died {
                Died::Before => before += 1,
                Died::After => after += 1,
                Died::NotAtAll => break,
            }
            check(&scene, died, name, number);
        }
    }
    (before, after)
}

#[test]
fn killed_anywhere_the_release_is_there_whole_or_not_at_all_and_the_next_publish_heals() {
    let (before, after) = each_death(|scene, died, name, number| {
        scene.assert_pages_hold("chair", name == "table" || died == Died::Before);
        for release in scene.releases(name) {
            scene.assert_complete(&release);
        }
        scene.assert_told(died == Died::After);
        let was_there: &[&str] = if name == "chair" { &["1.0"] } else { &[] };
        if died == Died::Before {
            assert_eq!(scene.numbers(name), was_there);
            // Somebody else publishes the very same bytes: the release is theirs, not the dead one's.
            scene.publish(name, number, "cid").unwrap();
            let release = scene.releases(name).pop().unwrap();
            let status = scene.repo().status(&release).unwrap();
            assert_eq!(status.published.unwrap().author, "cid");
        } else {
            assert_eq!(scene.numbers(name).len(), was_there.len() + 1);
            scene.publish(name, "2.0", "ana").unwrap();
        }
        scene.assert_pages_hold(name, true);
        scene.assert_told(true);
        let report = scene.repo().reindex(false, &Context::default()).unwrap();
        assert_eq!((report.healed.len(), report.events), (0, 0));
    });
    // What is announced and the fact; then the wheel, its sidecar and record, and both pages of the package and of the repo, and
    // the event.
    assert_eq!((before, after), (2 * 2, 2 * 7), "all were met");
}

#[test]
fn killed_after_the_commit_a_rerun_says_that_it_is_done_and_makes_it_so() {
    each_death(|scene, died, name, number| {
        if died == Died::After {
            let error = scene.publish(name, number, "ben").unwrap_err();
            assert_eq!(error.code(), "repo::release_exists");
            assert!(error.to_string().contains("published by ben"), "{error}");
            assert!(
                error
                    .help()
                    .unwrap()
                    .contains("already published with identical contents")
            );
            scene.assert_pages_hold(name, true);
        }
    });
}

#[test]
fn reindex_heals_every_crash_too() {
    each_death(|scene, died, name, _| {
        if died == Died::After {
            let planned = scene.repo().reindex(true, &Context::default()).unwrap();
            let done = scene.repo().reindex(false, &Context::default()).unwrap();
            assert_eq!(planned.healed, done.healed);
            assert_eq!(
                (planned.paged, planned.root_pages),
                (done.paged, done.root_pages),
                "a dry run is the run"
            );
            scene.assert_pages_hold(name, true);
            // The time of publishing is the fact's, not that of healing.
            for release in scene.releases(name) {
                let fact = scene.repo().status(&release).unwrap().published.unwrap();
                assert_eq!(release.published_at, Some(fact.at));
            }
        }
    });
}

#[test]
fn a_page_written_from_an_old_listing_is_written_again() {
    for page in ["simple/chair/index.html", "simple/index.html"] {
        let scene = Arc::new(Scene::new());
        let (others, met) = (Arc::clone(&scene), AtomicBool::new(false));
        // Between the slow publisher's listing and its writing, two others publish from beginning to end.
        let slow = scene.watched(usize::MAX, move |key| {
            if key == page && !met.swap(true, Ordering::Relaxed) {
                others.publish("chair", "1.1", "ben").unwrap();
                others.publish("table", "1.0", "ben").unwrap();
            }
        });
        let warnings = Warnings::default();
        slow.publish(&scene.wheel("chair", "1.0"), &by("ana"), &warnings.context())
            .unwrap();
        assert_eq!(warnings.codes(), Vec::<&str>::new());
        assert_eq!(scene.releases("chair").len(), 2);
        scene.assert_pages_hold("chair", true);
        scene.assert_pages_hold("table", true);
    }
}

#[test]
fn a_slow_writer_with_a_late_clock_is_told_after_what_was_read_meanwhile() {
    // An hour late, an hour ahead, and as slow as can be: between any two changes that it makes, others publish and are read.
    for skew in [-3_600_000, 3_600_000] {
        for step in [
            "events/pending/",
            "status/",
            "packages/",
            "simple/index.json",
            "events/00000001.json",
        ] {
            let scene = Arc::new(Scene::new());
            let (others, met) = (Arc::clone(&scene), AtomicBool::new(false));
            let cursor = Arc::new(Mutex::new((Vec::new(), FeedPosition::START)));
            let reader = Arc::clone(&cursor);
            let slow = scene.watched(usize::MAX, move |key| {
                if key.starts_with(step) && !met.swap(true, Ordering::Relaxed) {
                    others.publish("table", "1.0", "ben").unwrap();
                    *reader.lock().unwrap() = read(&others.repo(), FeedPosition::START, &Context::default());
                }
            });
            slow.publish(&scene.wheel("chair", "1.0"), &by("ana"), &clock(skew))
                .unwrap();
            let (before, position) = cursor.lock().unwrap().clone();
            let (after, _) = read(&scene.repo(), position, &later());
            let events = [before.clone(), after].concat();
            assert_once(&events, step);
            let mut all = told(&events);
            all.sort();
            assert_eq!(all, ["created chair 1.0", "created table 1.0"], "{skew} {step}");
            assert!(
                told(&before).contains(&"created table 1.0".to_owned()),
                "{skew} {step}"
            );
            let (again, _) = read(&scene.repo(), FeedPosition::START, &later());
            assert_eq!(again, events, "a new reader sees the same order: {skew} {step}");
        }
    }
}

#[test]
fn wheels_of_one_version_with_other_tags_that_pass_each_other_are_warned_about_and_read_alike() {
    let scene = Arc::new(Scene::new());
    let others = Arc::clone(&scene);
    let slow = scene.watched(usize::MAX, move |key| {
        if key.ends_with("linux_x86_64.whl") {
            others.publish("chair", "1.0", "ben").unwrap();
        }
    });
    let mut other = Wheel::new("chair", "1.0");
    other.tag = "py3-none-linux_x86_64";
    let source = other.write(scene.folder.path());
    let warnings = Warnings::default();
    slow.publish(&source, &by("ana"), &warnings.context()).unwrap();
    assert_eq!(warnings.codes(), ["repo::several_wheels"]);
    assert_eq!(scene.releases("chair").len(), 2);
    let one = scene
        .repo()
        .releases(&package("chair"), &Context::default())
        .unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].file, "chair-1.0-py3-none-any.whl");
    assert_eq!(one[0].version, version("1.0"));
    scene.assert_complete(&one[0]);
}

#[test]
fn what_the_dead_left_behind_goes_after_a_day_and_not_before() {
    let scene = Scene::new();
    scene.publish("chair", "1.0", "ana").unwrap();
    for folder in ["", "packages/", "packages/chair/", "simple/chair/"] {
        fs::write(scene.root.join(format!("{folder}.tmp-01jd")), b"half").unwrap();
    }
    fs::write(scene.root.join("simple/chair/.pending-01jd"), b"").unwrap();
    let left = temporaries(&scene.root);
    assert_eq!(left.len(), 4);
    let report = scene.repo().reindex(false, &Context::default()).unwrap();
    assert!(report.removed.is_empty(), "{report:?}");
    assert_eq!(temporaries(&scene.root), left);
    let later = Context::default().now().0 + 25 * 60 * 60 * 1000;
    let later = Arc::new(backlot_core::FixedClock(backlot_core::Timestamp(later)));
    let later = Context::default().with_clock(later);
    let planned = scene.repo().reindex(true, &later).unwrap();
    let report = scene.repo().reindex(false, &later).unwrap();
    assert_eq!(report.removed.len(), 5);
    assert_eq!(planned.removed, report.removed);
    assert_eq!(temporaries(&scene.root), Vec::<String>::new());
}

#[test]
fn a_disk_that_refuses_the_index_does_not_undo_the_release() {
    let scene = Scene::new();
    // A file where the pages' folder should be.
    fs::write(scene.root.join("simple"), b"").unwrap();
    let warnings = Warnings::default();
    let source = scene.wheel("chair", "1.0");
    let published = scene
        .repo()
        .publish(&source, &by("ana"), &warnings.context())
        .unwrap();
    assert!(published.unfinished.is_some());
    assert_eq!(warnings.codes(), ["repo::unfinished_index"]);
    let again = scene.publish("chair", "1.0", "ana").unwrap_err();
    assert!(
        again.help().unwrap().contains("reindex"),
        "it is not called complete while it is not"
    );
    fs::remove_file(scene.root.join("simple")).unwrap();
    scene.repo().reindex(false, &Context::default()).unwrap();
    assert!(tree(&scene.root).contains(&"simple/chair/index.html".to_owned()));
}
