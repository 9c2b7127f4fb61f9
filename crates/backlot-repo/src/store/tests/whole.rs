//! Releases of several files, copied by several at once, and raced for by somebody who publishes the version.

use std::path::PathBuf;

use backlot_core::{Context, Sha256};

use super::memory::Line;
use super::{BOTH, Scene};
use crate::error::{Error, Result};
use crate::publish::Checked;
use crate::record::sha256_of_file;
use crate::repo::Repo;
use crate::support::{Wheel, by, package};
use backlot_backend::CommitBy;

const TAGS: [&str; 3] = [
    "cp311-cp311-linux_x86_64",
    "cp311-cp311-win_amd64",
    "py3-none-any",
];

impl Scene {
    /// The files of a release of `chair`, as somebody else has them.
    fn release(&self, number: &str, content: &str) -> Vec<PathBuf> {
        let folder = self.folder.path().join(format!("release-{content}"));
        let wheel = |tag| Wheel {
            tag,
            content,
            ..Wheel::new("chair", number)
        };
        TAGS.iter().map(|tag| wheel(tag).write(&folder)).collect()
    }

    /// Copy them, as one of several.
    fn copy(&self, files: &[PathBuf], line: &Line) -> Result<()> {
        self.copy_of(files, files, line)
    }

    /// Copy some files of a release.
    fn copy_of(&self, files: &[PathBuf], all: &[PathBuf], line: &Line) -> Result<()> {
        let digests: Vec<Sha256> = all.iter().map(|file| sha256_of_file(file).unwrap()).collect();
        let (repo, context) = (self.repo(line.clone()), Context::default());
        for file in files {
            let checked = Checked::part(file, &digests, &context)?;
            match repo.offer(&checked.0, &by("copier"), &context) {
                Ok(_) | Err(Error::ReleaseExists { identical: true, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is there of `chair`, by what wrote it.
    fn contents(&self) -> Vec<(String, String)> {
        let listing = self
            .repo(Line::good())
            .releases_with_problems(&package("chair"))
            .unwrap();
        assert_eq!(listing.broken, []);
        let mut files = Vec::new();
        for release in &listing.releases {
            let key = format!("packages/chair/{}", release.file);
            let bytes = String::from_utf8_lossy(&self.world.get(&key).unwrap()).into_owned();
            let content = ["ours", "theirs"]
                .into_iter()
                .find(|content| bytes.contains(&format!("{content}!")));
            files.push((release.file.clone(), content.unwrap().to_owned()));
        }
        files
    }
}

#[test]
fn of_many_who_copy_one_release_at_once_all_see_it_whole() {
    for commit_by in BOTH {
        let scene = Scene::new(commit_by);
        let files = scene.release("1.0", "ours!");
        std::thread::scope(|scope| {
            for n in 0..4 {
                // Each begins with another file.
                let mut files = files.clone();
                files.rotate_left(n % 3);
                let scene = &scene;
                scope.spawn(move || scene.copy(&files, &Line::good()).unwrap());
            }
        });
        assert_eq!(scene.contents().len(), 3, "{commit_by:?}");
        let page = String::from_utf8(scene.world.get("simple/chair/index.html").unwrap()).unwrap();
        assert_eq!(page.matches("<a href").count(), 3, "{page}");
    }
}

#[test]
fn who_publishes_a_version_while_another_copies_it_has_all_of_it_or_nothing() {
    // A store with a conditional create knows names of files only, as a folder does.
    for round in 0..8 {
        let scene = Scene::new(CommitBy::Move);
        let files = scene.release("1.0", "ours!");
        let wheel = Wheel {
            tag: "py2.py3-none-any",
            content: "theirs!",
            ..Wheel::new("chair", "1.0")
        };
        let wheel = wheel.write(&scene.folder.path().join("other"));
        let (copied, published) = std::thread::scope(|scope| {
            let copied = scope.spawn(|| scene.copy(&files, &Line::good()));
            let published = scope.spawn(|| {
                let repo = scene.repo(Line::good());
                repo.publish(&wheel, &by("publisher"), &Context::default())
            });
            (copied.join().unwrap(), published.join().unwrap())
        });
        assert!(
            copied.is_ok() != published.is_ok(),
            "{round}: {copied:?} {published:?}"
        );
        let contents = scene.contents();
        if copied.is_ok() {
            assert!(
                contents.len() == 3 && contents.iter().all(|(_, by)| by == "ours"),
                "{contents:?}"
            );
        } else {
            assert!(contents.len() == 1 && contents[0].1 == "theirs", "{contents:?}");
        }
    }
}

#[test]
fn a_copy_that_breaks_off_anywhere_is_completed_by_the_next() {
    use super::memory::Fault;
    for commit_by in BOTH {
        for at in (0..400).step_by(3) {
            let scene = Scene::new(commit_by);
            let files = scene.release("1.0", "ours!");
            let line = Line::failing(at, Fault::Dead);
            let first = scene.copy(&files, &line);
            assert!(
                first.is_err() || scene.contents().len() == 3,
                "{commit_by:?} {at}"
            );
            let there = scene.contents();
            let is_there = |file: &PathBuf| there.iter().any(|(name, _)| file.ends_with(name));
            let missing: Vec<PathBuf> = files.iter().filter(|file| !is_there(file)).cloned().collect();
            scene.copy_of(&missing, &files, &Line::good()).unwrap();
            assert_eq!(scene.contents().len(), 3, "{commit_by:?} {at}");
            let repo = Repo::Store(scene.repo(Line::good()));
            repo.complete(&[package("chair")], &Context::default()).unwrap();
            let page = String::from_utf8(scene.world.get("simple/chair/index.json").unwrap()).unwrap();
            assert_eq!(
                page.matches("\"filename\"").count(),
                3,
                "{commit_by:?} {at}: {page}"
            );
            assert!(scene.world.get("simple/index.json").is_some());
            if !line.has_failed() {
                break;
            }
        }
    }
}
