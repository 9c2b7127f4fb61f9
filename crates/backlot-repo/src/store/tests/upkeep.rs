//! A store that is damaged, looked after: a dry run says what the run does, and what the run leaves is as it was.

use std::collections::BTreeMap;

use backlot_core::{Context, Diagnostic as _};
use fs_err as fs;

use super::memory::Line;
use super::{BOTH, Scene};
use crate::repo::Repo;
use crate::support::package;

const WHEEL: &str = "packages/chair/chair-1.0-py3-none-any.whl";

fn scene(commit_by: backlot_backend::CommitBy) -> Scene {
    let scene = Scene::new(commit_by);
    for number in ["1.0", "1.1"] {
        scene.publish(Line::good(), number, "ana").unwrap();
    }
    scene
}

impl Scene {
    fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let keys = self.world.keys("").into_iter();
        keys.map(|key| (key.clone(), self.world.get(&key).unwrap()))
            .collect()
    }

    fn harm(&self, key: &str, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.world.put(key, bytes),
            None => self.world.remove(key),
        }
    }

    /// Reindex as a dry run and for real. Whether there was something to do.
    fn is_reindexed(&self) -> bool {
        let (harmed, context) = (self.stored(), Context::default());
        let repo = Repo::Store(self.repo(Line::good()));
        let mut planned = repo.reindex(true, &context).unwrap();
        assert_eq!(self.stored(), harmed, "a dry run changes nothing");
        planned.dry_run = false;
        let done = repo.reindex(false, &context).unwrap();
        assert_eq!(
            serde_json::to_value(&planned).unwrap(),
            serde_json::to_value(&done).unwrap()
        );
        !(done.healed.is_empty() && done.paged.is_empty() && done.root_pages.is_empty())
    }
}

#[test]
fn whatever_byte_of_a_derived_file_is_wrong_a_reindex_finds_it_and_all_is_as_it_was() {
    for commit_by in BOTH {
        let scene = scene(commit_by);
        let before = scene.stored();
        assert!(!scene.is_reindexed(), "what is right is left alone");
        let beside = [format!("{WHEEL}.json"), format!("{WHEEL}.metadata")];
        let pages = ["simple/", "simple/chair/"];
        let pages = pages
            .iter()
            .flat_map(|at| [format!("{at}index.html"), format!("{at}index.json")]);
        for key in beside.into_iter().chain(pages) {
            let right = &before[&key];
            let mut harms: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new()), Some(right[..9].to_vec())];
            harms.extend((0..right.len()).step_by(31).map(|at| {
                let mut bytes = right.clone();
                bytes[at] ^= 1;
                Some(bytes)
            }));
            for harm in harms {
                scene.harm(&key, harm.as_deref());
                let said = harm.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                assert!(scene.is_reindexed(), "{key}: {said:?}");
                assert_eq!(scene.stored(), before, "{key}: {said:?}");
            }
        }
    }
}

#[test]
fn a_file_comes_back_whole_and_nothing_is_made_from_a_damaged_one() {
    for commit_by in BOTH {
        let scene = scene(commit_by);
        let before = scene.stored();
        let copy = scene.folder.path().join("chair-1.0-py3-none-any.whl");
        fs::write(&copy, &before[WHEEL]).unwrap();
        let context = Context::default();
        let mut flipped = before[WHEEL].clone();
        let at = flipped.len() / 2;
        flipped[at] ^= 1;
        for (harm, sidecar) in [
            (Some(&flipped[..]), true),
            (Some(&flipped[..]), false),
            (None, true),
        ] {
            scene.harm(WHEEL, harm);
            if !sidecar {
                scene.harm(&format!("{WHEEL}.metadata"), None);
                scene.is_reindexed();
                assert_eq!(scene.world.get(&format!("{WHEEL}.metadata")), None);
                assert_eq!(
                    scene.world.get(&format!("{WHEEL}.json")).as_ref(),
                    before.get(&format!("{WHEEL}.json")),
                    "the record says what it should be"
                );
            }
            let harmed = scene.stored();
            let repo = Repo::Store(scene.repo(Line::good())).without_cache();
            let expected = repo.expected_files(&package("chair")).unwrap().remove(0);
            assert_eq!(expected.is_there, harm.is_some());
            assert_eq!(expected.digest().unwrap(), crate::record::sha256(&before[WHEEL]));
            let mut reports = Vec::new();
            for dry_run in [true, false] {
                let upkeep = repo.upkeep(dry_run).unwrap();
                assert!(upkeep.restore(&expected, &copy, &context).unwrap());
                assert!(!dry_run || scene.stored() == harmed);
                let mended = upkeep.mend(&package("chair"), &context).unwrap();
                reports.push((mended, upkeep.mend_root(&context).unwrap()));
                assert!(!dry_run || scene.stored() == harmed, "a dry run changes nothing");
            }
            assert_eq!(reports[0], reports[1]);
            assert_eq!(scene.stored(), before, "{commit_by:?}");
            let upkeep = repo.upkeep(false).unwrap();
            assert!(
                !upkeep.restore(&expected, &copy, &context).unwrap(),
                "it is right"
            );
        }
        // Other bytes are never put there.
        fs::write(&copy, &before["packages/chair/chair-1.1-py3-none-any.whl"]).unwrap();
        let repo = Repo::Store(scene.repo(Line::good()));
        let expected = repo.expected_files(&package("chair")).unwrap().remove(0);
        scene.harm(WHEEL, None);
        let upkeep = repo.upkeep(false).unwrap();
        upkeep.restore(&expected, &copy, &context).unwrap_err();
        assert_eq!(scene.world.get(WHEEL), None);
    }
}

#[test]
fn killed_anywhere_a_repair_leaves_the_damaged_file_or_none_or_the_right_one() {
    use super::memory::Fault;
    for commit_by in BOTH {
        for fault in [Fault::Dead, Fault::AnswerLost] {
            for at in 0.. {
                let scene = scene(commit_by);
                let right = scene.world.get(WHEEL).unwrap();
                let copy = scene.folder.path().join("chair-1.0-py3-none-any.whl");
                fs::write(&copy, &right).unwrap();
                scene.world.put(WHEEL, b"wrong");
                let context = Context::default();
                let good = Repo::Store(scene.repo(Line::good()));
                let expected = good.expected_files(&package("chair")).unwrap().remove(0);
                let line = Line::failing(at, fault);
                let repo = Repo::Store(scene.repo(line.clone()));
                let restored = repo
                    .upkeep(false)
                    .and_then(|upkeep| upkeep.restore(&expected, &copy, &context));
                let left = scene.world.get(WHEEL);
                assert!(
                    left.as_ref()
                        .is_none_or(|left| *left == right || left == b"wrong"),
                    "{commit_by:?} {fault:?} {at}"
                );
                let upkeep = good.upkeep(false).unwrap();
                upkeep.restore(&expected, &copy, &context).unwrap();
                assert_eq!(scene.world.get(WHEEL), Some(right));
                if !line.has_failed() {
                    restored.unwrap();
                    break;
                }
            }
        }
    }
}

#[test]
fn a_store_that_lost_all_its_releases_keeps_its_pages() {
    let scene = scene(backlot_backend::CommitBy::Create);
    for key in scene.world.keys("packages/") {
        scene.harm(&key, None);
    }
    let lost = scene.stored();
    let repo = Repo::Store(scene.repo(Line::good()));
    for dry_run in [true, false] {
        let error = repo.reindex(dry_run, &Context::default()).unwrap_err();
        assert_eq!(error.code(), "repo::no_packages");
    }
    assert_eq!(scene.stored(), lost);
    assert_eq!(repo.missing_files(&package("chair")).unwrap().len(), 2);
}

#[test]
fn the_pages_of_a_package_that_was_given_up_go_and_so_does_what_was_staged_long_ago() {
    for commit_by in BOTH {
        let scene = scene(commit_by);
        for key in [
            "simple/gone/index.html",
            "simple/gone/index.json",
            "staged/chair/left",
        ] {
            scene.world.put(key, b"{}");
        }
        assert_eq!(
            scene.repo(Line::good()).all_names().unwrap(),
            [package("chair"), package("gone")]
        );
        scene.is_reindexed();
        assert_eq!(scene.world.keys("simple/gone/"), [""; 0]);
        assert_eq!(scene.world.keys("staged/"), [""; 0]);
    }
}
