//! The run cache: what decides, what is shared, what serves when the newest is gone.

use std::sync::Arc;

use backlot_core::{Context, Diagnostic as _, Sha256};
use backlot_store::{Cache, ObjectId};
use fs_err as fs;

use super::super::super::{Output, Stage};
use super::super::{Outcome, Pull, RunCache, RunCacheLayout};
use super::{Bench, assert_all, options, outcomes};
use crate::error::Result;

const STAGE: &str = "stages:\n  s:\n    cmd: cat in > out; echo ran >> ../ran\n    deps: [in]\n    params: [size]\n    outs: [out]\n";

fn object(bench: &Bench, bytes: &str) -> std::path::PathBuf {
    let id = ObjectId::file(backlot_store::digest_bytes(bytes.as_bytes()).md5);
    bench.cache.object_path(&id)
}

#[test]
fn a_parameter_named_size_decides_too() {
    let text = STAGE.replace("cat in > out", "grep size params.yaml > out");
    let bench = Bench::new(&[("dvc.yaml", &text), ("in", "x\n"), ("params.yaml", "size: 1\n")]);
    assert_all(&bench.repro(), Outcome::Ran);
    bench.write("params.yaml", "size: 2\n");
    assert_all(&bench.repro(), Outcome::Ran);
    assert_eq!(bench.read("out").as_deref(), Some("size: 2\n"));
    bench.write("params.yaml", "size: 1\n");
    assert_all(&bench.repro(), Outcome::Restored);
    assert_eq!(bench.read("out").as_deref(), Some("size: 1\n"));
    let dvc = RunCache::new(&bench.cache, RunCacheLayout::Dvc);
    assert_eq!(
        dvc.names().expect("listed"),
        [""; 0],
        "DVC would restore them wrongly"
    );
}

#[test]
fn the_working_folder_decides_too() {
    let text = "stages:\n  a:\n    cmd: pwd > out\n    wdir: one\n    deps: [in]\n    outs: [out]\n  b:\n    cmd: pwd > out\n    wdir: two\n    deps: [in]\n    outs: [out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("one/in", "x\n"), ("two/in", "x\n")]);
    assert_all(&bench.run(&options().jobs(1)).expect("reproduced"), Outcome::Ran);
    assert_ne!(bench.read("one/out"), bench.read("two/out"));
    let dvc = RunCache::new(&bench.cache, RunCacheLayout::Dvc);
    assert_eq!(dvc.names().expect("listed"), [""; 0]);
}

#[test]
fn what_the_caller_says_to_decide_decides() {
    let bench = Bench::new(&[("dvc.yaml", STAGE), ("in", "x\n"), ("params.yaml", "size: 1\n")]);
    let with = |version: &str| options().decides([("tool".to_owned(), version.to_owned())].into());
    assert_all(&bench.run(&with("1")).expect("reproduced"), Outcome::Ran);
    fs::remove_file(bench.root.join("dvc.lock")).expect("removed");
    assert_all(&bench.run(&with("2")).expect("reproduced"), Outcome::Ran);
    fs::remove_file(bench.root.join("dvc.lock")).expect("removed");
    assert_all(&bench.run(&with("1")).expect("reproduced"), Outcome::Restored);
}

#[test]
fn an_older_complete_result_serves_when_the_newest_is_gone() {
    let text = "stages:\n  s:\n    cmd: cat in ../state-of-world > out\n    deps: [in]\n    outs: [out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "x\n")]);
    let world = bench.root.with_file_name("state-of-world");
    for state in ["1\n", "2\n"] {
        fs::write(&world, state).expect("written");
        let report = bench.run(&options().force(true)).expect("reproduced");
        assert_all(&report, Outcome::Ran);
    }
    assert_eq!(bench.read("out").as_deref(), Some("x\n2\n"));
    let lose = |bytes: &str| fs::remove_file(object(&bench, bytes)).expect("removed");
    lose("x\n2\n");
    fs::remove_file(bench.root.join("out")).expect("removed");
    assert_all(&bench.repro(), Outcome::Restored);
    assert_eq!(bench.read("out").as_deref(), Some("x\n1\n"));
}

#[test]
fn a_second_machine_takes_entries_and_objects_and_runs_nothing() {
    let text = "stages:\n  s:\n    cmd: mkdir out; cat in > out/a; cat in > b; chmod +x b\n    deps: [in]\n    outs: [out, b]\n";
    let files = [("dvc.yaml", text), ("in", "x\n")];
    for layout in [RunCacheLayout::Backlot, RunCacheLayout::Dvc] {
        let (one, two) = (Bench::new(&files), Bench::new(&files));
        assert_all(&one.repro(), Outcome::Ran);
        let (from, to) = (
            RunCache::new(&one.cache, layout),
            RunCache::new(&two.cache, layout),
        );
        let names = from.names().expect("listed");
        assert_eq!(names.len(), 1);
        for name in &names {
            let bytes = from.read(name).expect("read").expect("there");
            assert!(to.insert(name, &bytes).expect("taken"));
            assert!(!to.insert(name, &bytes).expect("known"));
            let objects = from.objects(name).expect("listed");
            assert_eq!(objects.len(), 2, "a manifest, and a file that both have");
            for id in objects {
                let bytes = fs::read(one.cache.object_path(&id)).expect("read");
                two.cache.insert_bytes(&bytes, id.tree).expect("stored");
            }
        }
        assert_all(&two.repro(), Outcome::Restored);
        assert_eq!(two.read("out/a").as_deref(), Some("x\n"));
        assert_eq!(one.read("dvc.lock"), two.read("dvc.lock"));
    }
}

#[test]
fn hostile_entries_are_refused_and_damaged_ones_passed_over() {
    let bench = Bench::new(&[("dvc.yaml", STAGE), ("in", "x\n"), ("params.yaml", "size: 1\n")]);
    assert_all(&bench.repro(), Outcome::Ran);
    let own = RunCache::new(&bench.cache, RunCacheLayout::Backlot);
    let name = own.names().expect("listed").remove(0);
    let bytes = own.read(&name).expect("read").expect("there");
    let digit = if name.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{digit}", &name[..name.len() - 1]);
    for (name, bytes) in [
        ("../../x", bytes.as_slice()),
        ("ab/cd/ef", &bytes),
        (other.as_str(), &bytes),
        (name.as_str(), b"{}"),
        (name.as_str(), b"{\"version\":1,\"made\":1,\"outs\":[]}\n"),
    ] {
        let error = own.insert(name, bytes).expect_err(name);
        assert_eq!(error.code(), "pipeline::run_cache_entry", "{name}");
    }
    fs::write(bench.cache.root().join("run-results").join(&name), "{").expect("damaged");
    fs::remove_file(bench.root.join("dvc.lock")).expect("removed");
    assert_eq!(outcomes(&bench.repro()), ["s: ran"]);
    assert!(
        own.read(&name).expect("read").expect("there").len() > 1,
        "it is whole again"
    );
}

#[test]
fn entries_that_dvc_wrote_are_used() {
    let text = STAGE.replace("    params: [size]\n", "");
    let files = [("dvc.yaml", text.as_str()), ("in", "x\n")];
    let bench = Bench::new(&files);
    assert_all(&bench.repro(), Outcome::Ran);
    fs::remove_dir_all(bench.cache.root().join("run-results")).expect("removed");
    fs::remove_file(bench.root.join("dvc.lock")).expect("removed");
    fs::remove_file(bench.root.join("out")).expect("removed");
    assert_all(&bench.repro(), Outcome::Restored);
    let report = bench
        .run(&options().force(true).dvc_run_cache(false))
        .expect("reproduced");
    assert_all(&report, Outcome::Ran);
}

/// Another machine's cache.
#[derive(Debug)]
struct Other(Cache);

impl Pull for Other {
    fn pull(&self, _out: &Output, objects: &[ObjectId], _context: &Context) -> Result<()> {
        for id in objects.iter().filter(|id| self.0.has(id).expect("looked at")) {
            let bytes = fs::read(self.0.object_path(id)).expect("read");
            // The cache of the test is beside this one.
            let target = Cache::open(&self.0.root().with_file_name("cache")).expect("opened");
            target.insert_bytes(&bytes, id.tree)?;
        }
        Ok(())
    }

    fn results(&self, _: &Stage, layout: RunCacheLayout, key: &Sha256, _: &Context) -> Result<u64> {
        let target = Cache::open(&self.0.root().with_file_name("cache")).expect("opened");
        let (from, to) = (RunCache::new(&self.0, layout), RunCache::new(&target, layout));
        let mut new = 0;
        for name in from.names_of(key)? {
            let bytes = from.read(&name)?.expect("there");
            new += u64::from(to.insert(&name, &bytes)?);
        }
        Ok(new)
    }
}

#[test]
fn missing_results_are_fetched_and_nothing_runs() {
    let text = "stages:\n  s:\n    cmd: mkdir out; cat in > out/a; cat in > out/b\n    deps: [in]\n    outs: [out]\n  t:\n    cmd: cat out/a > t.out\n    deps: [out]\n    outs: [t.out]\n";
    let bench = Bench::new(&[("dvc.yaml", text), ("in", "x\n")]);
    assert_all(&bench.repro(), Outcome::Ran);
    let lose = |lock: bool| {
        let other = bench.root.with_file_name("other");
        fs::create_dir_all(other.join("files")).expect("made");
        backlot_core::file::remove(&other.join("files/md5")).expect("removed");
        let from = bench.cache.root().join("files/md5");
        backlot_core::file::rename(&from, &other.join("files/md5")).expect("moved");
        fs::create_dir_all(&from).expect("made");
        fs::remove_dir_all(bench.root.join("out")).expect("removed");
        fs::remove_file(bench.root.join("t.out")).expect("removed");
        if lock {
            fs::remove_file(bench.root.join("dvc.lock")).expect("removed");
        }
        Cache::open(&other).expect("opened")
    };
    for lock in [false, true] {
        let other = lose(lock);
        let options = options().pull(Some(Arc::new(Other(other))));
        assert_all(&bench.run(&options).expect("reproduced"), Outcome::Restored);
        assert_eq!(bench.read("out/b").as_deref(), Some("x\n"));
        assert_eq!(bench.read("t.out").as_deref(), Some("x\n"));
    }
    lose(false);
    let allowed = bench.run(&options().allow_missing(true)).expect("reproduced");
    assert_all(&allowed, Outcome::Skipped);
    assert!(!bench.root.join("out").exists());
}

#[test]
fn entries_have_the_modes_of_a_shared_cache() {
    use std::os::unix::fs::PermissionsExt as _;

    let text = STAGE.replace("    params: [size]\n", "");
    let bench = Bench::new(&[("dvc.yaml", &text), ("in", "x\n")]);
    let root = bench.cache.root();
    fs::set_permissions(root, std::fs::Permissions::from_mode(0o2775)).expect("shared");
    assert_all(&bench.repro(), Outcome::Ran);
    for (layout, folder) in [
        (RunCacheLayout::Backlot, "run-results"),
        (RunCacheLayout::Dvc, "runs"),
    ] {
        let names = RunCache::new(&bench.cache, layout).names().expect("listed");
        let entry = root.join(folder).join(names.first().expect("an entry"));
        for path in entry.ancestors().take_while(|path| *path != root) {
            let mode = fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o020, 0o020, "{}: {mode:o}", path.display());
        }
    }
}

#[test]
fn results_of_another_machine_are_asked_for_by_key_and_only_whole_ones_are_named_for_others() {
    let bench = Bench::new(&[("dvc.yaml", STAGE), ("in", "x\n"), ("params.yaml", "size: 1\n")]);
    assert_all(&bench.repro(), Outcome::Ran);
    bench.write("params.yaml", "size: 2\n");
    assert_all(&bench.repro(), Outcome::Ran);
    let results = bench.known_results();
    let [result] = results.as_slice() else {
        panic!("one result, of the present inputs: {results:?}");
    };
    assert_eq!(result.layout, RunCacheLayout::Backlot, "DVC's key lacks `size`");
    assert_eq!(result.objects.values().map(Vec::len).sum::<usize>(), 1);

    // The cache becomes that of another machine, and this one has nothing.
    let other = bench.root.with_file_name("other");
    fs::create_dir_all(&other).expect("made");
    for folder in ["files", "run-results"] {
        backlot_core::file::rename(&bench.cache.root().join(folder), &other.join(folder)).expect("moved");
    }
    fs::create_dir_all(bench.cache.root().join("files/md5")).expect("made");
    for gone in ["out", "dvc.lock"] {
        fs::remove_file(bench.root.join(gone)).expect("removed");
    }
    assert!(bench.known_results().is_empty());
    let options = options().pull(Some(Arc::new(Other(Cache::open(&other).expect("opened")))));
    assert_all(&bench.run(&options).expect("reproduced"), Outcome::Restored);
    let own = RunCache::new(&bench.cache, RunCacheLayout::Backlot);
    assert_eq!(
        own.names().expect("listed").len(),
        1,
        "only the one that was asked for"
    );
    let name = own.names().expect("listed").remove(0);
    fs::remove_file(object(&bench, "x\n")).expect("removed");
    assert!(bench.known_results().is_empty(), "{name} lacks an object");
}
