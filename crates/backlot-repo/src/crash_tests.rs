//! Publishers that die after each step of the protocol: what readers see then, and that the next one heals.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err as fs;

use backlot_core::{Coded, Context};

use crate::probe::{Probe, Step};
use crate::support::{self, Wheel, by, package, temporaries, tree, version};
use crate::{FolderRelease, FolderRepo};

const BEFORE_COMMIT: [Step; 3] = [Step::Layout, Step::Staged, Step::Fact];
const AFTER_COMMIT: [Step; 9] = [
    Step::Committed,
    Step::Sidecar,
    Step::Record,
    Step::PackageListed,
    Step::PackageHtml,
    Step::PackageJson,
    Step::RootListed,
    Step::RootHtml,
    Step::RootJson,
];

struct Scene {
    folder: tempfile::TempDir,
    repo: FolderRepo,
}

impl Scene {
    /// A repo with `chair 1.0`, then a publisher of `chair 1.1` and one of the first `table` that die after a step.
    fn killed_after(step: Step) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repo = FolderRepo::create(&folder.path().join("repo")).unwrap();
        let scene = Self { folder, repo };
        scene.publish("chair", "1.0", "ana").unwrap();
        let mut dying = scene.repo.clone();
        dying.probe = Some(Probe(Arc::new(move |reached| reached == step)));
        for (name, number) in [("chair", "1.1"), ("table", "1.0")] {
            let error = dying.publish(&scene.wheel(name, number), &by("ben"), &Context::default());
            assert_eq!(error.unwrap_err().code(), "core::cancelled");
        }
        scene
    }

    fn wheel(&self, name: &str, number: &str) -> std::path::PathBuf {
        Wheel::new(name, number).write(self.folder.path())
    }

    fn publish(&self, name: &str, number: &str, author: &str) -> crate::Result<crate::Published> {
        // Another instance, as another machine would have.
        let repo = FolderRepo::open(self.repo.root())?;
        repo.publish(&self.wheel(name, number), &by(author), &Context::default())
    }

    fn releases(&self, name: &str) -> Vec<FolderRelease> {
        let repo = FolderRepo::open(self.repo.root()).unwrap();
        let listing = repo.releases_with_problems(&package(name)).unwrap();
        assert_eq!(listing.broken, []);
        listing.releases
    }

    /// Everything a reader may ask of a release holds.
    fn assert_complete(&self, release: &FolderRelease) {
        let repo = FolderRepo::open(self.repo.root()).unwrap();
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

    /// Pages promise only what is there; all derived files are there if `settled`.
    fn assert_pages_hold(&self, name: &str, settled: bool) {
        let root = self.repo.root();
        let Ok(page) = fs::read(root.join(format!("simple/{name}/index.json"))) else {
            assert!(!settled, "{name} has a page");
            return;
        };
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        let files = page["files"].as_array().unwrap();
        for file in files {
            let wheel = root.join(format!("packages/{name}/{}", file["filename"].as_str().unwrap()));
            let digest = |path| crate::record::sha256(&fs::read(path).unwrap()).to_hex();
            assert_eq!(file["hashes"]["sha256"], digest(wheel.clone()));
            let sidecar = &file["core-metadata"]["sha256"];
            assert!(!settled || sidecar.is_string());
            if sidecar.is_string() {
                assert_eq!(*sidecar, digest(crate::record::sidecar_path(&wheel)));
            }
        }
        if settled {
            assert_eq!(files.len(), self.releases(name).len());
            for page in ["index.html", "index.json"] {
                let text = fs::read_to_string(root.join("simple").join(page)).unwrap();
                assert!(text.contains(&format!("\"{name}")), "{name} is on the root page");
            }
        }
    }
}

#[test]
fn killed_before_the_commit_nothing_is_visible_and_the_version_is_free() {
    for step in BEFORE_COMMIT {
        let scene = Scene::killed_after(step);
        let numbers = |scene: &Scene| {
            scene
                .releases("chair")
                .iter()
                .map(|r| r.version.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&scene), [version("1.0")], "{step:?}");
        assert_eq!(scene.repo.packages().unwrap(), [package("chair")], "{step:?}");
        scene.assert_pages_hold("chair", true);
        // Somebody else publishes the very same bytes: the release is theirs, not the dead one's.
        let published = scene.publish("chair", "1.1", "cid").unwrap();
        let status = scene.repo.status(&published.release).unwrap();
        assert_eq!(status.published.unwrap().author, "cid", "{step:?}");
        scene.publish("table", "1.0", "cid").unwrap();
        assert_eq!(numbers(&scene), [version("1.0"), version("1.1")]);
        scene.assert_pages_hold("chair", true);
        scene.assert_pages_hold("table", true);
    }
}

#[test]
fn killed_after_the_commit_the_release_is_complete_and_the_next_publish_of_the_name_heals() {
    for step in AFTER_COMMIT {
        let scene = Scene::killed_after(step);
        for (name, count) in [("chair", 2), ("table", 1)] {
            let releases = scene.releases(name);
            assert_eq!(releases.len(), count, "{step:?}");
            for release in &releases {
                scene.assert_complete(release);
            }
            scene.assert_pages_hold(name, false);
            scene.publish(name, "2.0", "ana").unwrap();
            scene.assert_pages_hold(name, true);
        }
        let report = scene.repo.reindex(false, &Context::default()).unwrap();
        assert_eq!((report.releases, report.healed.len()), (5, 0), "{step:?}");
    }
}

#[test]
fn killed_after_the_commit_a_rerun_says_that_it_is_done_and_makes_it_so() {
    for step in AFTER_COMMIT {
        let scene = Scene::killed_after(step);
        for (name, number) in [("chair", "1.1"), ("table", "1.0")] {
            let error = scene.publish(name, number, "ben").unwrap_err();
            assert_eq!(error.code(), "repo::release_exists");
            assert!(error.to_string().contains("published by ben"), "{error}");
            assert!(
                error.help().unwrap().contains("same bytes and is complete"),
                "{step:?}"
            );
            scene.assert_pages_hold(name, true);
        }
    }
}

#[test]
fn reindex_heals_every_crash_too() {
    for step in AFTER_COMMIT {
        let scene = Scene::killed_after(step);
        scene.repo.reindex(false, &Context::default()).unwrap();
        for (name, expected) in [("chair", 2), ("table", 1)] {
            scene.assert_pages_hold(name, true);
            let releases = scene.releases(name);
            assert_eq!(releases.len(), expected);
            // The time of publishing is the fact's, not that of healing.
            for release in releases {
                let fact = scene.repo.status(&release).unwrap().published.unwrap();
                assert_eq!(release.published_at, fact.at);
            }
        }
    }
}

#[test]
fn a_page_written_from_an_old_listing_is_written_again() {
    for step in [Step::PackageListed, Step::RootListed] {
        let folder = tempfile::tempdir().unwrap();
        let scene = Arc::new(Scene {
            repo: FolderRepo::create(&folder.path().join("repo")).unwrap(),
            folder,
        });
        let mut slow = scene.repo.clone();
        let (others, met) = (Arc::clone(&scene), AtomicBool::new(false));
        // Between the slow publisher's listing and its writing, two others publish from beginning to end.
        slow.probe = Some(Probe(Arc::new(move |reached| {
            if reached == step && !met.swap(true, Ordering::Relaxed) {
                others.publish("chair", "1.1", "ben").unwrap();
                others.publish("table", "1.0", "ben").unwrap();
            }
            false
        })));
        let warnings = support::Warnings::default();
        slow.publish(&scene.wheel("chair", "1.0"), &by("ana"), &warnings.context())
            .unwrap();
        assert_eq!(warnings.codes(), Vec::<&str>::new());
        assert_eq!(scene.releases("chair").len(), 2);
        scene.assert_pages_hold("chair", true);
        scene.assert_pages_hold("table", true);
    }
}

#[test]
fn wheels_of_one_version_with_other_tags_that_pass_each_other_are_warned_about_and_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Arc::new(Scene {
        repo: FolderRepo::create(&folder.path().join("repo")).unwrap(),
        folder,
    });
    let mut slow = scene.repo.clone();
    let others = Arc::clone(&scene);
    slow.probe = Some(Probe(Arc::new(move |reached| {
        if reached == Step::Fact {
            others.publish("chair", "1.0", "ben").unwrap();
        }
        false
    })));
    let mut other = Wheel::new("chair", "1.0");
    other.tag = "py3-none-linux_x86_64";
    let source = other.write(scene.folder.path());
    let warnings = support::Warnings::default();
    slow.publish(&source, &by("ana"), &warnings.context()).unwrap();
    assert_eq!(warnings.codes(), ["repo::several_wheels"]);
    assert_eq!(scene.releases("chair").len(), 2);
    let one = scene
        .repo
        .releases(&package("chair"), &Context::default())
        .unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].file, "chair-1.0-py3-none-any.whl");
    scene.assert_complete(&one[0]);
}

#[test]
fn what_the_dead_left_behind_goes_after_a_day_and_not_before() {
    let scene = Scene::killed_after(Step::Staged);
    let left = temporaries(scene.repo.root());
    assert_eq!(left.len(), 2);
    let report = scene.repo.reindex(false, &Context::default()).unwrap();
    assert!(report.removed.is_empty(), "{report:?}");
    assert_eq!(temporaries(scene.repo.root()), left);
    let later = Context::default().now().0 + 25 * 60 * 60 * 1000;
    let later = Arc::new(backlot_core::FixedClock(backlot_core::Timestamp(later)));
    let report = scene
        .repo
        .reindex(false, &Context::default().with_clock(later))
        .unwrap();
    assert_eq!(report.removed.len(), 2);
    assert_eq!(temporaries(scene.repo.root()), Vec::<String>::new());
}

#[test]
fn a_disk_that_refuses_the_index_does_not_undo_the_release() {
    let folder = tempfile::tempdir().unwrap();
    let repo = FolderRepo::create(&folder.path().join("repo")).unwrap();
    // A file where the pages' folder should be.
    fs::write(repo.root().join("simple"), b"").unwrap();
    let warnings = support::Warnings::default();
    let source = Wheel::new("chair", "1.0").write(folder.path());
    let published = repo.publish(&source, &by("ana"), &warnings.context()).unwrap();
    assert!(published.unfinished.is_some());
    assert_eq!(warnings.codes(), ["repo::unfinished_index"]);
    let again = repo
        .publish(&source, &by("ana"), &Context::default())
        .unwrap_err();
    assert!(
        again.help().unwrap().contains("reindex"),
        "it is not called complete while it is not"
    );
    fs::remove_file(repo.root().join("simple")).unwrap();
    repo.reindex(false, &Context::default()).unwrap();
    assert!(tree(repo.root()).contains(&"simple/chair/index.html".to_owned()));
}
