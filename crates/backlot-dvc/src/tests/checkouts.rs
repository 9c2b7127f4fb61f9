//! Checkouts over files that were changed, renamed, copied, linked or removed.

use std::path::PathBuf;

use backlot_core::Diagnostic as _;
use fs_err as fs;

use super::{frames, modified};
use crate::Change;

#[test]
fn checkout_never_loses_what_it_did_not_place() {
    let place = frames();
    place.write("frames/mine.exr", "only here");
    place.write("frames/sub/c.exr", "edited, only here");
    place.write("frames/copy.exr", "one");
    place.write("frames/b.exr", "a");
    fs::remove_file(place.root.join("frames/a.exr")).expect("removed");
    let report = place.checkout(false).expect("checked out");
    let kept: Vec<_> = report
        .kept
        .iter()
        .map(|p| p.strip_prefix(&place.root).expect("inside").to_path_buf())
        .collect();
    // A copy of cached content under another name, or in place of another file, is somebody's work, too.
    let expected = [
        "frames/b.exr",
        "frames/sub/c.exr",
        "frames/copy.exr",
        "frames/mine.exr",
    ];
    assert_eq!(kept, expected.map(PathBuf::from));
    assert_eq!((report.placed, report.removed), (1, 0));
    for (path, text) in [
        ("frames/sub/c.exr", "edited, only here"),
        ("frames/copy.exr", "one"),
        ("frames/b.exr", "a"),
    ] {
        assert_eq!(place.read(path), text);
    }
    let report = place.checkout(true).expect("checked out");
    assert_eq!((report.placed, report.removed, report.kept.len()), (2, 2, 0));
    assert_eq!((report.lost.len(), report.returned.len()), (4, 0));
    assert_eq!(place.change("frames"), Change::Unchanged);
}

#[test]
fn members_of_an_older_version_are_removed() {
    let place = frames();
    let old = place.read("frames.dvc");
    place.write("frames/deep/er/d.exr", "d");
    place.add("frames").expect("added");
    place.write("frames/b.exr", "a newer b");
    place.add("frames").expect("added");
    place.write("frames.dvc", &old);
    // Looking at it does not make them somebody's.
    assert_eq!(
        place.change("frames"),
        modified(1, 0, 1, &["+ deep/er/d.exr", "~ b.exr"])
    );
    let report = place.checkout(false).expect("checked out");
    assert_eq!((report.placed, report.removed, report.kept.len()), (1, 1, 0));
    assert_eq!(place.read("frames/b.exr"), "b");
    assert!(!place.root.join("frames/deep").exists());
}

#[test]
fn a_file_and_a_folder_take_each_others_place_only_when_nothing_is_lost() {
    let place = frames();
    fs::remove_dir_all(place.root.join("frames")).expect("removed");
    place.write("frames", "a file, only here");
    assert_eq!(
        place.checkout(false).expect_err("refused").code(),
        "dvc::in_the_way"
    );
    assert_eq!(place.read("frames"), "a file, only here");
    place.write("frames", "one");
    assert_eq!(
        place.checkout(false).expect_err("refused").code(),
        "dvc::in_the_way",
        "nobody placed it there, though its content is in the cache"
    );
    place.checkout(true).expect("by force");
    fs::remove_file(place.root.join("one.bin")).expect("removed");
    place.write("one.bin/x", "only here");
    assert_eq!(
        place.checkout(false).expect_err("refused").code(),
        "dvc::in_the_way"
    );
    place.checkout(true).expect("by force");
    assert_eq!(place.read("one.bin"), "one");
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_linked_folder() {
    let place = frames();
    let outside = tempfile::tempdir().expect("a folder");
    fs::remove_dir_all(place.root.join("frames/sub")).expect("removed");
    fs_err::os::unix::fs::symlink(outside.path(), place.root.join("frames/sub")).expect("linked");
    assert_eq!(
        place.checkout(true).expect_err("refused").code(),
        "dvc::linked_folder"
    );
    fs::remove_dir_all(place.root.join("frames")).expect("removed");
    fs_err::os::unix::fs::symlink(outside.path(), place.root.join("frames")).expect("linked");
    assert_eq!(
        place.checkout(true).expect_err("refused").code(),
        "dvc::linked_folder"
    );
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 0);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_lost_object_is_put_right() {
    let place = frames();
    fs::remove_file(place.root.join("frames/a.exr")).expect("removed");
    fs_err::os::unix::fs::symlink("nowhere", place.root.join("frames/a.exr")).expect("linked");
    assert!(matches!(
        place.change("frames"),
        Change::Modified { changed: 1, .. }
    ));
    assert_eq!(place.refused("frames"), "dvc::untrackable");
    let report = place.checkout(false).expect("checked out");
    assert_eq!((report.placed, report.kept.len()), (1, 0));
    assert_eq!(place.change("frames"), Change::Unchanged);
}
