//! Stores that fail, lie and are raced for. Real servers are asked in `tests/tests/storage/stores.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod crashes;
mod faults;
mod feed;
mod feed_model;
mod feed_topics;
mod hostile;
mod memory;
mod model;
mod service;
mod upkeep;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backlot_backend::CommitBy;
use backlot_core::Context;
use backlot_net::HttpCache;
use fs_err as fs;
use ulid::Ulid;

use super::{Inner, ReleaseStore};
use crate::error::{Error, Result};
use crate::feed::FeedPosition;
use crate::members::MemberFilter;
use crate::repo::Repo;
use crate::support::{Wheel, by, package};
use memory::{Line, World};

const BOTH: [CommitBy; 2] = [CommitBy::Create, CommitBy::Move];

struct Scene {
    folder: tempfile::TempDir,
    world: Arc<World>,
}

impl Scene {
    fn new(commit_by: CommitBy) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            world: Arc::new(World::new(commit_by)),
        }
    }

    /// The repo as another machine would open it, over a line of its own.
    fn repo(&self, line: Line) -> ReleaseStore {
        let kept = self.folder.path().join(Ulid::generate().to_string());
        let repo = ReleaseStore::over(Arc::new(self.world.over(line)), HttpCache::new(&kept));
        let mut inner = Arc::into_inner(repo.0).unwrap();
        inner.patience = Duration::from_millis(30);
        ReleaseStore(Arc::new(Inner { ..inner }))
    }

    fn wheel(&self, name: &str, number: &str, content: &str) -> PathBuf {
        let wheel = Wheel {
            content,
            ..Wheel::new(name, number)
        };
        wheel.write(&self.folder.path().join(format!("wheels-{content}")))
    }

    /// Publish `chair` over a line, with what the author makes of it.
    fn publish(&self, line: Line, number: &str, author: &str) -> Result<()> {
        let wheel = self.wheel("chair", number, author);
        let repo = self.repo(line);
        repo.publish(&wheel, &by(author), &Context::default()).map(drop)
    }

    /// A reader is told of all releases there are, each once, and of nothing else.
    fn assert_told(&self, what: &str) {
        let repo = self.repo(Line::good());
        let (early, next) = feed::read(&repo, FeedPosition::START, &Context::default());
        let (late, _) = feed::read(&repo, next, &feed::later());
        let events = [early, late].concat();
        feed::assert_once(&events, what);
        let mut told: Vec<String> = events.iter().map(|event| event.version.to_string()).collect();
        told.sort();
        let listing = repo.releases_with_problems(&package("chair")).unwrap();
        let versions = listing.releases.iter().map(|r| r.version.to_string());
        assert_eq!(told, versions.collect::<Vec<_>>(), "{what}");
    }

    /// What a reader sees of `chair` is whole, and so are the pages if they are to be settled. Its versions.
    fn assert_whole(&self, settled: bool) -> Vec<String> {
        let (context, repo) = (Context::default(), Repo::Store(self.repo(Line::good())));
        let listing = repo.releases_with_problems(&package("chair")).unwrap();
        assert_eq!(listing.broken, []);
        for release in &listing.releases {
            let target = self.folder.path().join("got").join(&release.file);
            repo.open_wheel(release, &target, &context).unwrap();
            let published = repo
                .status(release)
                .unwrap()
                .published
                .expect("its fact precedes it");
            let Wheel { version, .. } = Wheel::new("chair", "");
            assert_eq!(version, "");
            let number = release.version.to_string();
            let expected = Wheel {
                content: &published.author,
                ..Wheel::new("chair", &number)
            };
            assert_eq!(
                fs::read(target).unwrap(),
                expected.bytes(),
                "the author's own bytes"
            );
            assert_eq!(repo.metadata(release).unwrap().version, release.version);
        }
        let versions: Vec<String> = listing.releases.iter().map(|r| r.version.to_string()).collect();
        if settled {
            let page = self.world.get("simple/chair/index.json").expect("a page");
            let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
            let listed: Vec<&str> = page["versions"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|v| v.as_str())
                .collect();
            assert_eq!(listed, versions);
            for file in page["files"].as_array().unwrap() {
                let key = format!("packages/chair/{}.metadata", file["filename"].as_str().unwrap());
                let digest = crate::record::sha256(&self.world.get(&key).unwrap()).to_hex();
                assert_eq!(file["core-metadata"]["sha256"], digest);
            }
            let root = String::from_utf8(self.world.get("simple/index.html").unwrap()).unwrap();
            assert!(root.contains("chair"));
        }
        versions
    }
}

#[test]
fn a_few_files_of_a_large_wheel_are_read_without_the_rest_of_it() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        let wheel = Wheel {
            content: &"x = 1\n".repeat(100_000),
            entry_points: "[console_scripts]\n",
            ..Wheel::new("chair", "1.0")
        };
        let wheel = wheel.write(&scene.folder.path().join("wheels"));
        let writer = scene.repo(Line::good());
        writer.publish(&wheel, &by("ana"), &Context::default()).unwrap();
        let repo = Repo::Store(scene.repo(Line::good()));
        let listing = repo.releases_with_problems(&package("chair")).unwrap();
        let read = |end: &'static str| {
            let is = |path: &backlot_core::RelPath| path.as_str().ends_with(end);
            let wanted = MemberFilter { name: end, is: &is };
            let found = repo
                .read_inside(&[&listing.releases[0]], &wanted)
                .unwrap()
                .remove(0);
            found.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()
        };
        assert_eq!(read("entry_points.txt"), [b"[console_scripts]\n"]);
        assert_eq!(read("none.txt"), [b""; 0]);
        let Repo::Store(opened) = &repo else {
            unreachable!()
        };
        assert!(
            opened.absent(&listing.releases[0]).is_some(),
            "the wheel was not fetched"
        );
        assert_eq!(read("__init__.py")[0].len(), 600_000);
        scene.world.put("packages/chair/chair-1.0-py3-none-any.whl", b"");
        assert_eq!(
            read("entry_points.txt"),
            [b"[console_scripts]\n"],
            "kept by digest"
        );
    }
}

fn is_conflict(result: &Result<()>) -> bool {
    matches!(result, Err(Error::ReleaseExists { .. }))
}

#[test]
fn of_eight_publishers_of_one_version_one_wins() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
            let publish = |n: usize| {
                let scene = &scene;
                scope.spawn(move || scene.publish(Line::good(), "1.0", &format!("author{n}")))
            };
            let threads: Vec<_> = (0..8).map(publish).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{commit_by:?}");
        assert_eq!(
            outcomes.iter().filter(|o| is_conflict(o)).count(),
            7,
            "{outcomes:?}"
        );
        assert_eq!(scene.assert_whole(true), ["1.0"]);
        assert_eq!(
            scene.world.keys("status/").len(),
            1,
            "losers take their facts away"
        );
        assert!(scene.world.keys("staged/").is_empty());
    }
}

#[test]
fn eight_versions_at_once_are_all_on_the_page() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let scene = &scene;
                scope.spawn(move || scene.publish(Line::good(), &format!("1.{n}"), "ana").unwrap());
            }
        });
        assert_eq!(scene.assert_whole(true).len(), 8);
    }
}

#[test]
fn a_store_that_does_not_keep_its_word_is_not_published_to() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        scene.world.lie();
        let error = scene.publish(Line::good(), "1.0", "ana").unwrap_err();
        assert!(
            matches!(
                error,
                Error::Backend(backlot_backend::Error::NoExclusiveCreate { .. })
            ),
            "{error}"
        );
        assert!(scene.world.keys("").is_empty(), "{:?}", scene.world.keys(""));
    }
}

#[test]
fn a_staged_wheel_from_the_end_of_time_stops_nobody() {
    let scene = Scene::new(CommitBy::Move);
    let end = Ulid::from_parts(u64::MAX, u128::MAX);
    for id in [end, Ulid::from_parts(end.timestamp_ms() - 1, 0)] {
        let key = format!(
            "staged/chair/{}-chair-1.0-py3-none-any.whl",
            id.to_string().to_lowercase()
        );
        scene.world.put(&key, b"whose is it?");
    }
    scene.publish(Line::good(), "1.0", "ana").unwrap();
    assert_eq!(scene.assert_whole(true), ["1.0"]);
    assert!(scene.world.keys("staged/").is_empty());
}

#[test]
fn what_is_no_wheel_but_has_its_name_is_told() {
    let scene = Scene::new(CommitBy::Move);
    scene
        .world
        .put("packages/chair/chair-1.0-py3-none-any.whl/", b"a folder");
    let error = scene.publish(Line::good(), "1.0", "ana").unwrap_err();
    assert!(error.to_string().contains("not a wheel"), "{error}");
    assert!(scene.world.keys("staged/").is_empty());
}

#[test]
fn a_repo_is_published_to_in_one_way_only() {
    let scene = Scene::new(CommitBy::Move);
    scene.world.put("repo.json", b"{\"backlot-repo\": 1}\n");
    let error = scene.publish(Line::good(), "1.0", "ana").unwrap_err();
    assert!(matches!(error, Error::OtherWay { .. }), "{error}");
    let root = scene.folder.path().join("repo");
    fs::create_dir(&root).unwrap();
    fs::write(
        root.join("repo.json"),
        b"{\"backlot-repo\": 1, \"commit\": \"move\"}\n",
    )
    .unwrap();
    let folder = ReleaseStore::open_folder(&root).unwrap();
    let wheel = scene.wheel("chair", "1.0", "ana");
    let error = folder
        .publish(&wheel, &by("ana"), &Context::default())
        .unwrap_err();
    assert!(matches!(error, Error::OtherWay { .. }), "{error}");
}
