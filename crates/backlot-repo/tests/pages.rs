//! A page stands for a listing only where it is current: whatever happened to it, choosing sees what lies in the folder.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::path::Path;

use backlot_core::Context;
use backlot_repo::{ReleaseStore, Repo, StatusChange};
use fs_err as fs;
use support::{Wheel, by, package, version};

fn publish(root: &Path, number: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut wheel = Wheel::new("chair", number);
    wheel.headers = "Requires-Python: >=3.9\n";
    let wheel = wheel.write(folder.path());
    ReleaseStore::create_folder(root)
        .unwrap()
        .publish(&wheel, &by("ana"), &Context::default())
        .unwrap();
}

fn set_status(root: &Path, number: &str, verdict: StatusChange) {
    let (repo, context) = (ReleaseStore::open_folder(root).unwrap(), Context::default());
    let release = repo
        .release(&package("chair"), &version(number), &context)
        .unwrap();
    repo.set_status(&release, verdict, &by("bo"), false, &context)
        .unwrap();
}

/// What choosing sees: version, digest, range, and what was said.
fn seen(root: &Path) -> Vec<String> {
    let listing = Repo::open_folder(root)
        .unwrap()
        .listing(&package("chair"), &Context::default())
        .unwrap();
    let releases = listing.releases.iter();
    let lines = releases.map(|r| {
        format!(
            "{} {} {} {:?} {:?} {:?}",
            r.version,
            r.file,
            r.sha256.unwrap().to_hex(),
            r.requires_python,
            r.yanked,
            r.deprecated
        )
    });
    lines.collect()
}

/// What looking at each wheel and fact gives: there is no page.
fn truth(root: &Path) -> Vec<String> {
    let copy = tempfile::tempdir().unwrap();
    for part in ["packages/chair", "status/chair"] {
        copy_all(&root.join(part), &copy.path().join(part));
    }
    seen(copy.path())
}

fn copy_all(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_page_says_what_the_folder_says_or_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let page = root.join("simple/chair/index.json");
    publish(root, "1.0");
    publish(root, "2.0");
    set_status(root, "2.0", StatusChange::Yank);
    set_status(root, "1.0", StatusChange::Deprecate);
    assert_eq!(seen(root), truth(root));
    assert!(seen(root)[0].contains("manual") && seen(root)[1].contains("manual"));
    // That it is the page which was read: it may say of a current one what nothing else says.
    let right = fs::read_to_string(&page).unwrap();
    fs::write(&page, right.replace(">=3.9", ">=3.8")).unwrap();
    assert!(seen(root)[0].contains(">=3.8"), "{:?}", seen(root));
    // Torn, of another package, without a wheel, with one too many: the folder is looked at.
    for wrong in [
        right[..right.len() / 2].to_owned(),
        right.replace("chair-", "table-"),
        right.replace("chair-2.0-py3-none-any.whl", "chair-3.0-py3-none-any.whl"),
        "{\"files\": []}".to_owned(),
        String::new(),
    ] {
        fs::write(&page, wrong.replace(">=3.9", ">=3.8")).unwrap();
        assert_eq!(seen(root), truth(root), "{wrong}");
    }
    // Written before the last change of the folder.
    fs::write(&page, right.replace(">=3.9", ">=3.8")).unwrap();
    let past = std::time::UNIX_EPOCH;
    let file = fs::OpenOptions::new().write(true).open(&page).unwrap();
    file.file().set_modified(past).unwrap();
    assert_eq!(seen(root), truth(root));
    fs::remove_file(&page).unwrap();
    assert_eq!(seen(root), truth(root));
}

#[test]
fn a_marker_of_somebody_who_died_keeps_the_page_from_being_believed_until_a_reindex() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    publish(root, "1.0");
    let old = fs::read(root.join("simple/chair/index.json")).unwrap();
    set_status(root, "1.0", StatusChange::Yank);
    // As if the one who yanked had died before the page.
    fs::write(root.join("simple/chair/index.json"), old).unwrap();
    let marker = root.join("simple/chair/.pending-01m7yqbjanmfe282tzj70qwfka");
    fs::write(&marker, b"").unwrap();
    assert_eq!(seen(root), truth(root));
    assert!(seen(root)[0].contains("manual"));
    let repo = ReleaseStore::open_folder(root).unwrap();
    repo.reindex(false, &Context::default()).unwrap();
    assert!(marker.exists(), "whoever it is may still be at it");
    let past = std::time::UNIX_EPOCH;
    let file = fs::OpenOptions::new().write(true).open(&marker).unwrap();
    file.file().set_modified(past).unwrap();
    let report = repo.reindex(false, &Context::default()).unwrap();
    assert_eq!(report.removed, [marker.into()]);
    assert_eq!(seen(root), truth(root));
}
