//! Proofs of pointers that another program wrote, and contents that were made to have one MD5.

use backlot_core::Diagnostic as _;
use backlot_store::{Remote, RemoteConfig, RemoteLayout};
use fs_err as fs;

use super::{PLAIN, Place, folder_remote};
use crate::{Change, Pointer};

/// The blocks of Wang, Feng, Lai and Yu (2004): they differ in six bits, and have one MD5.
fn twins() -> [Vec<u8>; 2] {
    let hex = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    let one: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut other = one.clone();
    for at in [19, 45, 59, 83, 109, 123] {
        other[at] ^= 0x80;
    }
    let md5 = |bytes: &[u8]| backlot_store::digest_bytes(bytes).md5;
    assert!(one != other && md5(&one) == md5(&other));
    [one, other]
}

fn chunked_remote(top: &std::path::Path) -> Remote {
    let config = RemoteConfig {
        url: top.join("remote").display().to_string(),
        layout: RemoteLayout::Chunked,
        mirrors: top.join("mirrors"),
    };
    Remote::open(&config).expect("a remote")
}

impl Place {
    fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn add_one(&self, path: &str) -> crate::Result<()> {
        self.add_by(&[path], &PLAIN).map(drop)
    }

    /// Change the content that a pointer names, as DVC does: `meta` stays.
    fn repoint(&self, path: &str, to: &str) {
        let place = self.root.join(path);
        let mut pointer = Pointer::parse(&place, &self.read(path)).expect("parsed");
        let other = Pointer::parse(&place, &self.read(to)).expect("parsed");
        let (out, new) = (&mut pointer.outs[0], &other.outs[0]);
        (out.md5, out.size, out.nfiles) = (new.md5, new.size, new.nfiles);
        self.write(path, &pointer.to_text());
    }

    /// A pointer as it was before it said what its proof is of.
    fn unbind(&self, path: &str) {
        let text = self.read(path);
        let kept = text.lines().filter(|line| !line.starts_with("      md5: "));
        self.write(path, &(kept.collect::<Vec<_>>().join("\n") + "\n"));
    }
}

/// A file and a folder, and the same with other content under other names.
fn two_of_each() -> Place {
    let place = Place::new();
    for (name, text) in [("one", "1"), ("two", "2")] {
        place.write(name, text);
        place.write(&format!("{name}s/a"), text);
        place.write(&format!("{name}s/b"), "same");
    }
    place
        .add_with(&["one", "ones", "two", "twos"], false, false)
        .expect("added");
    place
}

#[test]
fn a_pointer_that_another_program_wrote_has_no_proof_and_is_pulled_by_its_md5() {
    for (path, other) in [("one", "two"), ("ones", "twos")] {
        let place = two_of_each();
        place.repoint(&format!("{path}.dvc"), &format!("{other}.dvc"));
        let pointers = place.pointers();
        let stale = pointers
            .iter()
            .find(|p| p.path == place.root.join(format!("{path}.dvc")));
        assert_eq!(stale.expect("there").pointer.outs[0].blake3(), None);
        let shared = tempfile::tempdir().expect("a folder");
        for remote in [folder_remote(shared.path()), chunked_remote(shared.path())] {
            place.push(&remote).expect("pushed");
            let there = Place::new();
            there.take_pointers(&place);
            there.fetch(&remote).expect("fetched");
            there.checkout(false).expect("checked out");
            assert_eq!(there.change(path), Change::Unchanged);
        }
        // Adding it again proves what it is now.
        fs::remove_dir_all(place.root.join(path))
            .or_else(|_| fs::remove_file(place.root.join(path)))
            .expect("removed");
        place.checkout(true).expect("checked out");
        place.add_one(path).expect("added");
        let pointers = place.pointers();
        assert!(pointers.iter().all(|p| p.pointer.outs[0].is_proof_bound()));
    }
}

#[test]
fn a_proof_of_before_it_said_what_it_is_of_counts_where_it_is_right() {
    let place = two_of_each();
    for path in ["one", "ones"] {
        place.unbind(&format!("{path}.dvc"));
        assert_eq!(place.change(path), Change::Unchanged);
    }
    let shared = tempfile::tempdir().expect("a folder");
    let remote = folder_remote(shared.path());
    place.push(&remote).expect("pushed");
    let there = Place::new();
    there.take_pointers(&place);
    there.fetch(&remote).expect("fetched");
    assert_eq!(there.checkout(false).expect("checked out").placed, 6);
}

#[test]
fn a_stale_proof_that_does_not_say_what_it_is_of_is_a_change_and_is_never_pushed() {
    for (path, other) in [("one", "two"), ("ones", "twos")] {
        let place = two_of_each();
        let (pointer, to) = (format!("{path}.dvc"), format!("{other}.dvc"));
        place.repoint(&pointer, &to);
        place.unbind(&pointer);
        // DVC's add: the file has the new content.
        if path == "one" {
            place.write("one", "2");
        } else {
            place.write("ones/a", "2");
        }
        let Change::Modified { names, .. } = place.change(path) else {
            panic!("{path} is unchanged")
        };
        assert!(names[0].contains("does not match its pointer"), "{names:?}");
        let shared = tempfile::tempdir().expect("a folder");
        let remote = folder_remote(shared.path());
        let error = place.push(&remote).expect_err("refused");
        assert_eq!(error.code(), "dvc::proof_failed");
        place.add_one(path).expect("added");
        assert_eq!(place.change(path), Change::Unchanged);
        place.push(&remote).expect("pushed");
    }
}

#[test]
fn a_push_proves_what_it_sends() {
    let place = two_of_each();
    for (path, size) in [("one.dvc", "size: 1"), ("two.dvc", "size: 1")] {
        let text = place.read(path);
        assert!(text.contains(size), "{text}");
        place.write(path, &text.replace(size, "size: 7"));
        let shared = tempfile::tempdir().expect("a folder");
        let error = place.push(&folder_remote(shared.path())).expect_err("refused");
        assert_eq!(error.code(), "dvc::proof_failed");
        place.write(path, &text);
    }
}

#[test]
fn of_two_files_with_one_md5_the_second_is_refused_wherever_the_first_is() {
    let [one, other] = twins();
    let code = |result: crate::Result<()>| result.expect_err("refused").code();
    // In one folder, in a dry run too.
    let place = Place::new();
    place.write_bytes("pair/a", &one);
    place.write_bytes("pair/b", &other);
    let dry = crate::AddOptions {
        dry_run: true,
        ..PLAIN
    };
    for options in [dry, PLAIN] {
        let error = place.add_by(&["pair"], &options).expect_err("refused");
        assert_eq!(error.code(), "store::same_md5");
        assert!(error.to_string().contains("pair/"), "{error}");
    }
    assert!(!place.root.join("pair.dvc").exists());
    // One after the other, under another name or in its place.
    for links in [backlot_core::LinkMode::Copy, backlot_core::LinkMode::Hardlink] {
        let place = Place::new();
        let links = [links];
        let options = crate::AddOptions {
            links: &links,
            ..PLAIN
        };
        place.write_bytes("x", &one);
        place.add_by(&["x"], &options).expect("added");
        place.write_bytes("y", &other);
        assert_eq!(code(place.add_by(&["y"], &options).map(drop)), "store::same_md5");
        fs::remove_file(place.root.join("x")).expect("removed");
        place.write_bytes("x", &other);
        assert!(matches!(place.change("x"), Change::Modified { .. }));
        assert_eq!(code(place.add_by(&["x"], &options).map(drop)), "store::same_md5");
        // Also where the cache was emptied: the pointer proves the first.
        let id = place.pointers()[0].pointer.outs[0].id().expect("content");
        place.cache.quarantine(&id).expect("gone");
        assert_eq!(code(place.add_by(&["x"], &options).map(drop)), "store::same_md5");
        assert!(!place.cache.has(&id).expect("looked"));
    }
}

#[test]
fn content_whose_md5_the_remote_has_other_content_under_is_not_pushed() {
    let [one, other] = twins();
    let shared = tempfile::tempdir().expect("a folder");
    let remote = chunked_remote(shared.path());
    let first = Place::new();
    first.write_bytes("x", &one);
    first.add_one("x").expect("added");
    first.push(&remote).expect("pushed");
    let second = Place::new();
    second.write_bytes("set/y", &other);
    second.add_one("set").expect("added");
    let found = second.pointers();
    let pointers: Vec<_> = found.iter().collect();
    let plan = crate::plan_push(&pointers, &second.cache, &second.context).expect("planned");
    let error = remote
        .push(&second.cache, &plan.transfers, &second.context)
        .expect_err("refused");
    let error = crate::with_path_of_same_md5(error.into(), &pointers, &second.cache);
    assert_eq!(error.code(), "store::same_md5");
    assert!(error.to_string().contains("set/y"), "{error}");
    // The first is as it was.
    let there = Place::new();
    there.take_pointers(&first);
    there.fetch(&remote).expect("fetched");
    there.checkout(false).expect("checked out");
    assert_eq!(fs::read(there.root.join("x")).expect("read"), one);
}

#[test]
fn a_repair_stores_the_right_content_over_a_twin_of_it() {
    let [one, other] = twins();
    let shared = tempfile::tempdir().expect("a folder");
    let remote = chunked_remote(shared.path());
    let (wrong, right) = (Place::new(), Place::new());
    for (place, bytes) in [(&wrong, &one), (&right, &other)] {
        place.write_bytes("x", bytes);
        place.add_one("x").expect("added");
    }
    wrong.push(&remote).expect("pushed");
    let found = right.pointers();
    let pointers: Vec<_> = found.iter().collect();
    let plan = crate::plan_push(&pointers, &right.cache, &right.context).expect("planned");
    remote
        .repair(&right.cache, &plan.transfers, &[], &right.context)
        .expect("repaired");
    let id = plan.transfers[0].id;
    let report = remote
        .verify(&[(id, None)], None, &right.context)
        .expect("verified");
    assert_eq!(report.digests[&id], backlot_store::digest_bytes(&other));
    let there = Place::new();
    there.take_pointers(&right);
    there.fetch(&remote).expect("fetched");
    there.checkout(false).expect("checked out");
    assert_eq!(fs::read(there.root.join("x")).expect("read"), other);
}

#[test]
fn a_checkout_keeps_a_file_that_only_has_the_md5_of_the_wanted_one() {
    let [one, other] = twins();
    let place = Place::new();
    place.write_bytes("x", &one);
    place.add_one("x").expect("added");
    place.write_bytes("x", &other);
    let report = place.checkout(false).expect("checked out");
    assert_eq!((report.placed, report.kept.len()), (0, 1));
    assert_eq!(fs::read(place.root.join("x")).expect("read"), other);
    assert_eq!(place.checkout(true).expect("by force").placed, 1);
    assert_eq!(fs::read(place.root.join("x")).expect("read"), one);
    // A file beside those of a folder, which DVC would remove.
    let place = Place::new();
    place.write_bytes("set/x", &one);
    place.add_one("set").expect("added");
    place.write_bytes("set/y", &other);
    let report = place.checkout(false).expect("checked out");
    assert_eq!((report.removed, report.kept.len()), (0, 1));
}
