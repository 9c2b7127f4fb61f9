//! Tracked folders of which only a part is here: what absent members mean.

use std::path::Path;

use backlot_core::{Blake3, Diagnostic as _};
use backlot_store::{Remote, RemoteConfig, RemoteLayout, StatCache};
use fs_err as fs;

use super::{PLAIN, Place, folder_remote, frames, modified};
use crate::{AddOptions, Change, fetch_manifests};

fn chunked_remote(folder: &Path) -> Remote {
    let url = folder.join("remote").to_str().expect("text").to_owned();
    Remote::open(&RemoteConfig {
        url,
        layout: RemoteLayout::Chunked,
        mirrors: folder.join("mirrors"),
    })
    .expect("a remote")
}

/// A place that has the pointers of [`frames`], whose content is on a remote of each layout, and nothing else.
fn for_each_layout(check: impl Fn(&Place, &Place, &Remote)) {
    for open in [folder_remote, chunked_remote] {
        let (here, there) = (frames(), Place::new());
        let shared = tempfile::tempdir().expect("a folder");
        let remote = open(shared.path());
        here.push(&remote).expect("pushed");
        there.take_pointers(&here);
        let found = there.pointers();
        fetch_manifests(
            &found.iter().collect::<Vec<_>>(),
            &remote,
            &there.cache,
            &there.context,
        )
        .expect("fetched");
        check(&here, &there, &remote);
    }
}

#[test]
fn a_partial_folder_stands_for_the_whole_with_what_changed() {
    for_each_layout(|here, there, remote| {
        assert_eq!(there.change("frames"), Change::NotPulled);
        assert_eq!(there.change("one.bin"), Change::NotPulled);
        there.write("frames/b.exr", "B, longer");
        let absent = Change::Modified {
            added: 0,
            removed: 0,
            changed: 1,
            absent: 2,
            names: vec!["~ b.exr".to_owned()],
        };
        assert_eq!(there.change("frames"), absent);
        let added = there.add_from(&["frames"], &[], remote).expect("added");
        assert_eq!((added.files, added.bytes, added.kept), (3, 11, 2));
        assert_eq!(there.change("frames"), Change::Partial { absent: 2 });
        // It is what it would be if all of it had been there.
        here.write("frames/b.exr", "B, longer");
        here.add("frames").expect("added");
        assert_eq!(there.read("frames.dvc"), here.read("frames.dvc"));
        // One frame and the manifest are sent; the others are there.
        assert_eq!(there.push(remote).expect("pushed"), 2);
        there.fetch(remote).expect("fetched");
        there.checkout(false).expect("checked out");
        assert_eq!(there.files(), here.files());
    });
}

#[test]
fn adding_a_member_updates_that_entry_alone() {
    for_each_layout(|_, there, remote| {
        there.write("frames/sub/d.exr", "d");
        there.write("frames/not_asked.exr", "n");
        let added = there.add_from(&["frames/sub/d.exr"], &[], remote).expect("added");
        assert_eq!(
            (added.files, added.kept, &added.changes.names[..]),
            (4, 3, &["+ sub/d.exr".to_owned()][..])
        );
        // A file that was never here is not removed by its name alone, one that was here is.
        for absent in ["frames/a.exr", "frames/nothing", "frames/nothing/x"] {
            let error = there.add_by(&[absent], &PLAIN).expect_err("refused");
            assert_eq!(error.code(), "dvc::no_such_path", "{absent}");
        }
        fs::remove_file(there.root.join("frames/sub/d.exr")).expect("removed");
        let added = there.add_from(&["frames/sub/d.exr"], &[], remote).expect("added");
        assert_eq!(
            (added.files, &added.changes.names[..]),
            (3, &["- sub/d.exr".to_owned()][..])
        );
    });
}

#[test]
fn a_member_that_was_here_and_is_gone_is_removed_and_one_that_was_not_has_to_be_named() {
    for_each_layout(|_, there, remote| {
        let refused = |path: &str| {
            let path = [there.root.join(path)];
            let options = AddOptions {
                removals: &path,
                ..PLAIN
            };
            there.add_by(&[], &options).expect_err("refused").code()
        };
        assert_eq!(refused("frames/x.exr"), "dvc::not_a_member");
        assert_eq!(refused("frames"), "dvc::not_a_member");
        assert_eq!(refused("one.bin"), "dvc::not_a_member");
        let added = there.add_from(&[], &["frames/sub"], remote).expect("removed");
        assert_eq!(
            (added.files, &added.changes.names[..]),
            (2, &["- sub/c.exr".to_owned()][..])
        );
        there.fetch(remote).expect("fetched");
        there.checkout(false).expect("checked out");
        there.note_placed();
        assert_eq!(refused("frames/a.exr"), "dvc::still_there");
        fs::remove_file(there.root.join("frames/a.exr")).expect("removed");
        assert_eq!(there.change("frames"), modified(0, 1, 0, &["- a.exr"]));
        let added = there.add_from(&["frames"], &[], remote).expect("added");
        assert_eq!((added.files, added.removed), (1, 1));
        // Somebody else's next version has it again: nothing of that was here, so nothing is removed.
        there.write("frames/a.exr", "a");
        there.add("frames").expect("added");
        let again = there.read("frames.dvc");
        fs::remove_file(there.root.join("frames/a.exr")).expect("removed");
        there.add("frames").expect("added");
        there.write("frames.dvc", &again);
        assert_eq!(there.change("frames"), Change::Partial { absent: 1 });
    });
}

#[test]
fn without_a_record_nothing_counts_as_removed() {
    let mut place = frames();
    fs::remove_file(place.root.join("frames/a.exr")).expect("removed");
    place.stat = StatCache::open(&place.root.with_file_name("other.db")).expect("a state");
    assert_eq!(place.change("frames"), Change::Partial { absent: 1 });
    let added = place.add("frames").expect("added");
    assert_eq!((added.files, added.kept, added.written), (3, 1, false));
}

#[test]
fn unchanged_members_that_are_nowhere_or_not_what_was_proven_are_refused() {
    let (here, there) = (frames(), Place::new());
    let shared = tempfile::tempdir().expect("a folder");
    let remote = folder_remote(shared.path());
    here.push(&remote).expect("pushed");
    there.take_pointers(&here);
    there.write("frames/b.exr", "new");
    let refused = |options: &AddOptions<'_>| there.add_by(&["frames"], options).expect_err("refused");
    let from = AddOptions {
        elsewhere: Some(&remote),
        ..PLAIN
    };
    assert_eq!(there.change("frames"), Change::NoManifest);
    assert_eq!(refused(&from).code(), "dvc::no_manifest");
    let found = there.pointers();
    fetch_manifests(
        &found.iter().collect::<Vec<_>>(),
        &remote,
        &there.cache,
        &there.context,
    )
    .expect("fetched");
    assert_eq!(refused(&PLAIN).code(), "dvc::not_on_remote");
    let a = backlot_store::ObjectId::file("0cc175b9c0f1b6a831c399e269772661".parse().expect("md5 of a"));
    fs::remove_file(shared.path().join(a.key())).expect("removed");
    let error = refused(&from);
    assert_eq!(error.code(), "dvc::not_on_remote");
    assert!(error.to_string().contains("frames/a.exr"), "{error}");
    assert!(!error.to_string().contains("frames/sub/c.exr"), "{error}");
    // The proof of a chunked remote's recipes is the pointer's.
    let other = tempfile::tempdir().expect("a folder");
    let remote = chunked_remote(other.path());
    here.push(&remote).expect("pushed");
    let text = there.read("frames.dvc");
    let (head, rest) = text.split_once("blake3: ").expect("a proof");
    let wrong = Blake3::from_bytes([0xab; 32]);
    there.write("frames.dvc", &format!("{head}blake3: {wrong}{}", &rest[64..]));
    let from = AddOptions {
        elsewhere: Some(&remote),
        ..PLAIN
    };
    assert_eq!(refused(&from).code(), "dvc::proof_failed");
}
