//! The whole way of tracked files: add, status, push, fetch, checkout, between two workspaces and a folder remote.

mod checkouts;
mod modes;
mod partial;
mod proofs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{Blake3, Context, Diagnostic as _, LinkMode};
use backlot_store::{Cache, Remote, RemoteConfig, RemoteLayout, StatCache};
use fs_err as fs;

use crate::{
    AddOptions, AddedOut, Change, CheckoutOptions, CheckoutReport, Result, StatusOptions, TrackedPointer,
    add, all_cached, check_elsewhere, checkout, fetch, lacking_manifests, plan_push, pointers, remove_stale,
    status, tracked_paths,
};

const PLAIN: AddOptions<'static> = AddOptions {
    links: &[LinkMode::Copy],
    git_ignore: false,
    dry_run: false,
    to: crate::Destination::Cache,
    elsewhere: None,
    removals: &[],
};

/// An asset folder with a cache of its own.
struct Place {
    _folder: tempfile::TempDir,
    root: PathBuf,
    cache: Cache,
    stat: StatCache,
    context: Context,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let top = fs::canonicalize(folder.path()).expect("real");
        let root = top.join("asset");
        fs::create_dir(&root).expect("made");
        let cache = Cache::open(&top.join("cache")).expect("a cache");
        let stat = StatCache::open(&top.join("state.db")).expect("a state");
        Self {
            _folder: folder,
            root,
            cache,
            stat,
            context: Context::default(),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).expect(path)
    }

    fn add_with(&self, targets: &[&str], git_ignore: bool, dry_run: bool) -> Result<Vec<AddedOut>> {
        let options = AddOptions {
            git_ignore,
            dry_run,
            ..PLAIN
        };
        self.add_by(targets, &options)
    }

    fn add_by(&self, targets: &[&str], options: &AddOptions<'_>) -> Result<Vec<AddedOut>> {
        let targets: Vec<PathBuf> = targets.iter().map(|t| self.root.join(t)).collect();
        add(
            &self.root,
            &targets,
            &self.cache,
            &self.stat,
            options,
            &self.context,
        )
    }

    /// What adding `targets` does, in a dry run and then indeed: both say the same.
    fn add_from(&self, targets: &[&str], removals: &[&str], remote: &Remote) -> Result<AddedOut> {
        let removals: Vec<PathBuf> = removals.iter().map(|t| self.root.join(t)).collect();
        let options = AddOptions {
            elsewhere: Some(remote),
            removals: &removals,
            ..PLAIN
        };
        let dry = AddOptions {
            dry_run: true,
            ..options
        };
        let (files, planned) = (self.files(), self.add_by(targets, &dry));
        assert_eq!(self.files(), files);
        let mut done = self.add_by(targets, &options)?.remove(0);
        let mut planned = planned.expect("planned").remove(0);
        assert_eq!(
            (
                planned.id,
                planned.files,
                planned.bytes,
                planned.kept,
                &planned.changes,
                planned.written
            ),
            (
                done.id,
                done.files,
                done.bytes,
                done.kept,
                &done.changes,
                done.written
            )
        );
        planned
            .objects
            .iter_mut()
            .chain(&mut done.objects)
            .for_each(|o| o.blake3 = None);
        assert_eq!(planned.objects, done.objects);
        Ok(done)
    }

    fn note_placed(&self) {
        let found = self.pointers();
        crate::note_placed(&found.iter().collect::<Vec<_>>(), &[], &self.cache, &self.stat).expect("noted");
    }

    fn add(&self, target: &str) -> Result<AddedOut> {
        self.add_with(&[target], false, false)
            .map(|mut outs| outs.remove(0))
    }

    fn refused(&self, target: &str) -> &'static str {
        self.add(target).expect_err(target).code()
    }

    fn pointers(&self) -> Vec<TrackedPointer> {
        pointers(&self.root, &self.context).expect("pointers")
    }

    fn change(&self, path: &str) -> Change {
        let found = self.pointers();
        let states = status(
            &found.iter().collect::<Vec<_>>(),
            &self.cache,
            &self.stat,
            StatusOptions { record: true },
            &self.context,
        )
        .expect("status");
        states
            .into_iter()
            .find(|s| s.path == self.root.join(path))
            .expect(path)
            .change
    }

    fn checkout(&self, force: bool) -> Result<CheckoutReport> {
        let found = self.pointers();
        let options = CheckoutOptions {
            links: &[LinkMode::Copy],
            force,
            ..CheckoutOptions::default()
        };
        checkout(
            &found.iter().collect::<Vec<_>>(),
            &self.cache,
            &self.stat,
            &options,
            &self.context,
        )
    }

    fn push(&self, remote: &Remote) -> Result<u64> {
        let found = self.pointers();
        let pointers: Vec<_> = found.iter().collect();
        let plan = plan_push(&pointers, &self.cache, &self.context)?;
        check_elsewhere(&plan, remote, &self.context)?;
        Ok(remote
            .push(&self.cache, &plan.transfers, &self.context)
            .expect("pushed")
            .objects)
    }

    fn fetch(&self, remote: &Remote) -> Result<u64> {
        let found = self.pointers();
        let pointers: Vec<_> = found.iter().collect();
        Ok(fetch(&pointers, remote, &self.cache, &self.context)?.objects)
    }

    /// Take over the pointers of another place, as a wheel would bring them.
    fn take_pointers(&self, other: &Self) {
        for pointer in other.pointers() {
            let inside = pointer.path.strip_prefix(&other.root).expect("inside");
            self.write(
                inside.to_str().expect("text"),
                &fs::read_to_string(&pointer.path).expect("read"),
            );
        }
    }

    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut pending = vec![self.root.clone()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).expect("listed") {
                let path = entry.expect("listed").path();
                if path.is_dir() {
                    pending.push(path);
                } else {
                    let name = path
                        .strip_prefix(&self.root)
                        .expect("inside")
                        .to_str()
                        .expect("text")
                        .to_owned();
                    files.insert(name, fs::read_to_string(&path).expect("read"));
                }
            }
        }
        files
    }
}

fn folder_remote(folder: &Path) -> Remote {
    let url = folder.to_str().expect("text").to_owned();
    Remote::open(&RemoteConfig {
        url,
        layout: RemoteLayout::Dvc,
        mirrors: PathBuf::new(),
    })
    .expect("a remote")
}

fn frames() -> Place {
    let place = Place::new();
    for (path, text) in [
        ("frames/a.exr", "a"),
        ("frames/b.exr", "b"),
        ("frames/sub/c.exr", "c"),
        ("one.bin", "one"),
    ] {
        place.write(path, text);
    }
    place.add("frames").expect("added");
    place.add("one.bin").expect("added");
    place
}

fn modified(added: u64, removed: u64, changed: u64, names: &[&str]) -> Change {
    Change::Modified {
        added,
        removed,
        changed,
        absent: 0,
        names: names.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn adding_the_files_of_the_golden_folder_gives_the_pointer_of_dvc() {
    let place = Place::new();
    let names = [
        "a.exr",
        ".hidden",
        "sub/z",
        "sub-a",
        "\u{fc}n\u{ef}code \"q\".txt",
        "back\u{7f}del",
        "tab\there",
        "\u{1f600}.txt",
        "z\u{301}",
        "\u{ffee}",
    ];
    for name in names {
        place.write(&format!("frames/{name}"), name);
    }
    let added = place.add("frames").expect("added");
    assert_eq!(
        (added.files, added.changed, added.stored_files, added.written),
        (10, 10, 10, true)
    );
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/dvc/pointers/frames.dvc"
    );
    let golden = fs::read_to_string(golden).expect("read");
    let text = place.read("frames.dvc");
    assert_eq!(
        text,
        format!(
            "{golden}  meta:\n    backlot:\n      blake3: {}\n      md5: {}\n",
            added.blake3.expect("a proof"),
            added.id
        )
    );
}

#[test]
fn adding_again_writes_nothing_and_a_change_is_counted() {
    let place = frames();
    let before = place.files();
    let again = place.add("frames").expect("added");
    assert_eq!((again.written, again.changed, again.stored_files), (false, 0, 0));
    assert_eq!(place.files(), before);
    place.write("frames/b.exr", "B, longer");
    place.write("frames/new.exr", "new");
    fs::remove_file(place.root.join("frames/sub/c.exr")).expect("removed");
    let changed = place.add("frames").expect("added");
    assert_eq!(
        (changed.path.as_path(), changed.changed, changed.removed),
        (place.root.join("frames").as_path(), 2, 1)
    );
    assert_eq!((changed.stored_files, changed.stored_bytes), (2, 12));
    assert_eq!(changed.changes.names, ["+ new.exr", "- sub/c.exr", "~ b.exr"]);
    assert!(
        place.read("frames.dvc").contains("  size: 13\n  nfiles: 3\n"),
        "{}",
        place.read("frames.dvc")
    );
    assert_eq!(
        place
            .add("frames.dvc")
            .expect("the pointer stands for the folder")
            .path,
        place.root.join("frames")
    );
}

#[test]
fn a_dry_run_reports_and_writes_nothing() {
    let place = Place::new();
    place.write("frames/a", "1");
    place.write("frames/b", "1");
    let outs = place.add_with(&["frames"], true, true).expect("planned");
    assert_eq!(
        (outs[0].files, outs[0].stored_files, outs[0].written),
        (2, 1, true)
    );
    assert_eq!(place.files().len(), 2);
    assert_eq!(place.cache.list().expect("listed").len(), 0);
}

#[test]
fn tracked_paths_are_kept_out_of_git_once() {
    let place = Place::new();
    place.write("fr[1] ames", "1");
    place.write(".gitignore", "/other");
    for _ in 0..2 {
        place.add_with(&["fr[1] ames"], true, false).expect("added");
    }
    assert_eq!(place.read(".gitignore"), "/other\n/fr\\[1\\] ames\n");
}

#[test]
fn what_cannot_be_added_is_refused_and_nothing_is_written() {
    let place = frames();
    place.write("plates/inner/x", "x");
    place.write("plates/y", "y");
    place.add("plates/inner").expect("added");
    place.write(
        "imported.dvc",
        "deps:\n- path: x\nouts:\n- hash: md5\n  path: imported\n",
    );
    place.write("imported", "i");
    place.write(".dvcignore", "*.bak\n");
    place.write("x.bak", "x");
    let before = place.files();
    for (target, code) in [
        ("plates", "dvc::overlap"),
        ("imported", "dvc::imported"),
        ("x.bak", "dvc::ignored"),
        ("nothing", "dvc::no_such_path"),
        ("../elsewhere", "dvc::outside"),
        ("", "dvc::outside"),
        (".dvcignore", "dvc::untrackable"),
    ] {
        assert_eq!(place.refused(target), code, "{target}");
    }
    let both = place
        .add_with(&["plates/y", "plates"], false, false)
        .expect_err("refused");
    assert_eq!(both.code(), "dvc::overlap");
    assert_eq!(place.files(), before);
}

#[test]
fn status_tells_what_changed() {
    let place = frames();
    assert_eq!(place.change("frames"), Change::Unchanged);
    assert_eq!(place.change("one.bin"), Change::Unchanged);
    place.write("frames/b.exr", "other");
    place.write("frames/new.exr", "new");
    fs::remove_file(place.root.join("frames/a.exr")).expect("removed");
    assert_eq!(
        place.change("frames"),
        modified(1, 1, 1, &["+ new.exr", "- a.exr", "~ b.exr"])
    );
    place.write("one.bin", "two");
    assert_eq!(place.change("one.bin"), modified(0, 0, 1, &["~ one.bin"]));
    fs::remove_file(place.root.join("one.bin")).expect("removed");
    assert_eq!(place.change("one.bin"), Change::Missing);
    let other = frames();
    let id = backlot_store::ObjectId::file("0cc175b9c0f1b6a831c399e269772661".parse().expect("md5 of a"));
    other.cache.quarantine(&id).expect("gone");
    assert_eq!(other.change("frames"), Change::NotInCache);
    other.add("frames").expect("added");
    assert_eq!(other.change("frames"), Change::Unchanged);
}

#[test]
fn files_travel_from_one_workspace_to_another() {
    let (here, there) = (frames(), Place::new());
    let shared = tempfile::tempdir().expect("a folder");
    let remote = folder_remote(shared.path());
    assert_eq!(here.push(&remote).expect("pushed"), 5);
    assert_eq!(here.push(&remote).expect("pushed"), 0);
    there.take_pointers(&here);
    let found = there.pointers();
    let pointers: Vec<_> = found.iter().collect();
    assert!(!all_cached(&pointers, &there.cache).expect("known"));
    let (manifests, _) = lacking_manifests(&pointers, &there.cache).expect("counted");
    assert_eq!(
        (manifests.len(), there.cache.list().expect("listed").len()),
        (1, 0)
    );
    assert_eq!(
        there.checkout(false).expect_err("not fetched").code(),
        "dvc::not_in_cache"
    );
    assert_eq!(there.fetch(&remote).expect("fetched"), 5);
    assert!(all_cached(&pointers, &there.cache).expect("known"));
    let report = there.checkout(false).expect("checked out");
    assert_eq!((report.placed, report.bytes), (4, 6));
    assert_eq!(there.files(), here.files());
    assert_eq!(there.change("frames"), Change::Unchanged);
    let again = there.checkout(false).expect("checked out");
    assert_eq!((again.placed, again.unchanged, again.removed), (0, 4, 0));
}

#[test]
fn what_may_not_be_pushed_is_not_and_what_is_missing_is_named() {
    let place = frames();
    let text = place.read("one.bin.dvc");
    place.write("one.bin.dvc", &format!("{text}  push: false\n"));
    let found = place.pointers();
    let pointers: Vec<_> = found.iter().collect();
    let plan = plan_push(&pointers, &place.cache, &place.context).expect("planned");
    assert_eq!(
        plan.transfers.iter().map(|t| t.id.tree).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    place.cache.quarantine(&plan.transfers[1].id).expect("gone");
    let shared = tempfile::tempdir().expect("a folder");
    let error = place.push(&folder_remote(shared.path())).expect_err("refused");
    assert_eq!(error.code(), "dvc::not_on_remote");
    assert!(error.to_string().contains("frames/b.exr"), "{error}");
    place.cache.quarantine(&plan.transfers[3].id).expect("gone");
    let error = place.push(&folder_remote(shared.path())).expect_err("refused");
    assert_eq!(error.code(), "dvc::not_in_cache");
}

#[test]
fn content_that_is_not_what_the_pointer_proves_is_never_placed() {
    let (here, there) = (frames(), Place::new());
    let shared = tempfile::tempdir().expect("a folder");
    let remote = folder_remote(shared.path());
    here.push(&remote).expect("pushed");
    there.take_pointers(&here);
    let forge = |name: &str| {
        let text = there.read(name);
        let (head, _) = text.split_once("blake3: ").expect("a proof");
        there.write(
            name,
            &format!("{head}blake3: {}\n", Blake3::from_bytes([0xab; 32])),
        );
    };
    let honest = there.read("frames.dvc");
    forge("frames.dvc");
    assert_eq!(
        there.fetch(&remote).expect_err("refused").code(),
        "dvc::proof_failed"
    );
    // Nothing of it stays in the cache; what was proven by itself does.
    assert_eq!(there.cache.list().expect("listed").len(), 1);
    there.write("frames.dvc", &honest);
    there.fetch(&remote).expect("fetched");
    forge("frames.dvc");
    assert_eq!(
        there.checkout(false).expect_err("refused").code(),
        "dvc::proof_failed"
    );
    assert!(!there.root.join("frames").exists());
    there.write("frames.dvc", &honest);
    let other = Place::new();
    forge("one.bin.dvc");
    other.take_pointers(&there);
    assert_eq!(
        other.fetch(&remote).expect_err("refused").code(),
        "store::corrupt_object"
    );
}

#[test]
fn a_pointer_without_a_proof_is_served_and_gets_one_when_added() {
    let place = frames();
    let plain = place
        .read("frames.dvc")
        .split("  meta:")
        .next()
        .map(str::to_owned)
        .expect("text");
    place.write("frames.dvc", &plain);
    fs::remove_dir_all(place.root.join("frames")).expect("removed");
    assert_eq!(place.checkout(false).expect("checked out").placed, 3);
    let added = place.add("frames").expect("added");
    assert_eq!((added.written, added.changed), (true, 0));
    let proof = format!("blake3: {}\n", added.blake3.expect("a proof"));
    assert!(place.read("frames.dvc").contains(&proof));
}

#[test]
fn comments_of_a_person_survive_adding() {
    let place = frames();
    let text = format!("# the beauty pass\n{}", place.read("frames.dvc"));
    place.write("frames.dvc", &text);
    place.write("frames/a.exr", "changed");
    place.add("frames").expect("added");
    let after = place.read("frames.dvc");
    assert!(
        after.starts_with("# the beauty pass\nouts:\n- md5: ") && after != text,
        "{after}"
    );
    assert_eq!(place.change("frames"), Change::Unchanged);
}

#[test]
fn tracked_content_is_told_from_the_rest() {
    let place = frames();
    place.write("frames/inner.dvc", "not a pointer, content");
    place.write("code/deep/plate", "p");
    place.add("code/deep/plate").expect("added");
    place.add("frames").expect("added");
    let tracked = tracked_paths(&place.root, &place.context).expect("paths");
    let outs: Vec<_> = tracked.outs.iter().map(backlot_core::RelPath::as_str).collect();
    assert_eq!(outs, ["code/deep/plate", "frames", "one.bin"]);
    for (path, expected) in [
        ("frames/a.exr", true),
        ("frames.dvc", false),
        ("code/deep/plate", true),
        ("code/x", false),
    ] {
        assert_eq!(
            tracked.contains(&backlot_core::RelPath::parse(path).expect("safe")),
            expected,
            "{path}"
        );
    }
}

#[test]
fn files_of_a_replaced_release_go_unless_they_were_changed() {
    let place = frames();
    let old = place.pointers();
    place.write("frames/a.exr", "new a");
    place.write("frames/sub/c.exr", "new c");
    place.add("frames").expect("added");
    let new = place.pointers();
    place.write("frames/a.exr", "a");
    place.write("frames/b.exr", "mine, and both releases have b");
    place.write("frames/sub/c.exr", "mine, only here");
    let stale = |old: &TrackedPointer, new: Option<&TrackedPointer>| {
        let new = new.map(|p| &p.pointer);
        remove_stale(
            (&place.root, &place.root),
            &old.pointer,
            new,
            &place.cache,
            &place.stat,
            &place.context,
        )
        .expect("removed")
    };
    let kept = stale(&old[0], Some(&new[0]));
    assert_eq!(kept, [place.root.join("frames/sub/c.exr")]);
    assert!(!place.root.join("frames/a.exr").exists() && place.root.join("frames/b.exr").exists());
    assert_eq!(stale(&old[1], None), Vec::<PathBuf>::new());
    assert!(!place.root.join("one.bin").exists());
}
