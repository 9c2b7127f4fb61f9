//! Repos in object stores are verified, reindexed and repaired like those in folders, tested with real servers (moto for S3,
//! `wsgidav` for `WebDAV`, OpenSSH for SFTP).

use std::collections::BTreeMap;
use std::sync::Arc;

use backlot_backend::ObjectStore;
use backlot_tests::Run;
use backlot_tests::installers::{INSTALLERS, install_by, site_packages};
use backlot_tests::stores::Store;
use fs_err as fs;
use serde_json::Value;

const WHEEL: &str = "packages/table/table-0.1.0-py3-none-any.whl";

/// A repo with releases of Table and Chair in a store, copied to the folder `near`.
struct Scene<'s> {
    store: &'s Store,
    objects: Arc<dyn ObjectStore>,
}

impl<'s> Scene<'s> {
    fn new(store: &'s Store) -> Self {
        let scene = Self {
            store,
            objects: store.open("repo", 0),
        };
        store.workspace("ws").ok();
        for name in ["Table", "Chair"] {
            scene.run(&["new", name]).ok();
        }
        scene.run(&["input", "add", "Chair", "Table"]).ok();
        scene.run(&["publish", "Table"]).ok();
        scene.run(&["publish", "Chair"]).ok();
        scene.run(&["bump", "Table", "minor"]).ok();
        scene.run(&["publish", "Table"]).ok();
        scene.run(&["repo", "add", "near", "near"]).ok();
        scene.run(&["mirror", "far", "near"]).ok();
        // The workspace that built it is one of the places that are asked.
        fs::remove_dir_all(store.studio.path("ws/build")).expect("removed");
        scene
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.store.run("ws", arguments)
    }

    /// All that is stored, but for what is on its way.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut contents = BTreeMap::new();
        for prefix in ["packages/", "simple/", "status/"] {
            for entry in self.objects.list(prefix, true).expect("listed") {
                if !entry.key.ends_with('/') {
                    let bytes = self.objects.read(&entry.key, 1 << 20).expect("read");
                    contents.insert(entry.key, bytes.expect("there"));
                }
            }
        }
        contents
    }

    fn read(&self, key: &str) -> Vec<u8> {
        self.objects.read(key, 1 << 20).expect("read").expect("there")
    }

    /// Overwrite an object, or remove it.
    fn harm(&self, key: &str, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => self.objects.write(key, bytes, "application/octet-stream"),
            None => self.objects.delete(key),
        }
        .expect("done");
    }

    /// What `verify` says of it: the files that are damaged, and what is derived and wrong.
    fn verified(&self) -> (Vec<String>, Vec<String>) {
        let run = self.run(&["verify", "--repo", "far", "--json"]);
        let report = run.json();
        let repo = &report["repos"][0];
        let texts = |list: &Value, of: &dyn Fn(&Value) -> String| -> Vec<String> {
            list.as_array().expect("a list").iter().map(of).collect()
        };
        let damaged = texts(&repo["damaged"], &|one| {
            one["file"].as_str().expect("a file").to_owned()
        });
        let stale = texts(&repo["stale"], &|one| one.as_str().expect("a text").to_owned());
        let is_sound = damaged.is_empty() && stale.is_empty();
        assert_eq!(report["sound"], is_sound, "{report:#}");
        assert_eq!(run.output.status.code(), Some(if is_sound { 0 } else { 7 }));
        (damaged, stale)
    }

    /// A command as a dry run, which changes nothing, and for real. What both say.
    fn mended(&self, command: &[&str]) -> Value {
        let harmed = self.contents();
        let dry = [command, &["--dry-run", "--json"]].concat();
        let mut planned = self.run(&dry).ok().json();
        assert_eq!(self.contents(), harmed, "{command:?}: a dry run changes nothing");
        assert_eq!(planned["dry_run"], true, "{planned:#}");
        planned["dry_run"] = false.into();
        let done = self.run(&[command, &["--json"]].concat()).ok().json();
        assert_eq!(done, planned, "{command:?}: as it was said");
        done
    }
}

fn repair() -> [&'static str; 3] {
    ["repair", "--repo", "far"]
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    bytes
}

fn many(report: &Value, list: &str) -> usize {
    report[list].as_array().expect("a list").len()
}

/// A wheel that was damaged, cut, replaced or lost comes back from another repo.
fn wheels_come_back(scene: &Scene<'_>) {
    let before = scene.contents();
    assert_eq!(scene.verified(), (Vec::new(), Vec::new()));
    let other = backlot_tests::wheels::wheel("table", "0.1.0", "", "somebody else's");
    let harms = [
        ("flipped", Some(flipped(&before[WHEEL]))),
        ("cut", Some(before[WHEEL][..300].to_vec())),
        ("another", Some(other)),
        ("gone", None),
    ];
    for (what, harm) in harms {
        for is_reindexed in [false, true] {
            scene.harm(WHEEL, harm.clone());
            if is_reindexed {
                // Pages and records are made of what is there then.
                scene.run(&["repo", "reindex", "far"]).ok();
            }
            let (damaged, _) = scene.verified();
            assert_eq!(damaged.len(), 1, "{what}: {damaged:?}");
            assert!(damaged[0].ends_with(WHEEL), "{what}: {damaged:?}");
            let done = scene.mended(&repair());
            assert_eq!(done["restored"][0]["from"], "near", "{what}: {done:#}");
            assert_eq!(many(&done, "restored"), 1, "{what}: {done:#}");
            assert_eq!(scene.contents(), before, "{what}, reindexed: {is_reindexed}");
            assert_eq!(scene.verified(), (Vec::new(), Vec::new()), "{what}");
            let again = scene.mended(&repair());
            assert_eq!(
                (many(&again, "restored"), many(&again, "mended")),
                (0, 0),
                "{again:#}"
            );
        }
    }
}

/// Sidecars, records and pages that are wrong or lost are named, and made again by reindex and by repair.
fn derived_files_are_made_again(scene: &Scene<'_>) {
    let before = scene.contents();
    let reindex = ["repo", "reindex", "far"];
    for (number, (key, named)) in [
        (
            format!("{WHEEL}.metadata"),
            "table-0.1.0-py3-none-any.whl.metadata",
        ),
        (format!("{WHEEL}.json"), "table-0.1.0-py3-none-any.whl.json"),
        ("simple/table/index.html".to_owned(), "the page of table"),
        ("simple/table/index.json".to_owned(), "the page of table"),
        ("simple/index.html".to_owned(), "simple/index.html"),
        ("simple/index.json".to_owned(), "simple/index.json"),
    ]
    .into_iter()
    .enumerate()
    {
        for (turn, harm) in [Some(flipped(&before[&key])), None].into_iter().enumerate() {
            scene.harm(&key, harm);
            let (damaged, stale) = scene.verified();
            assert_eq!(damaged, [""; 0], "{key}");
            assert!(stale.iter().any(|one| one.ends_with(named)), "{key}: {stale:?}");
            if (number + turn) % 2 == 0 {
                scene.mended(&reindex);
            } else {
                let done = scene.mended(&repair());
                assert!(many(&done, "mended") > 0, "{key}: {done:#}");
            }
            assert_eq!(scene.contents(), before, "{key}");
        }
    }
    // All of it at once, as in a copy of `packages/` alone.
    for key in before.keys() {
        if !key.ends_with(".whl") && !key.starts_with("status/") {
            scene.harm(key, None);
        }
    }
    let done = scene.mended(&reindex);
    assert_eq!(
        (
            many(&done, "healed"),
            many(&done, "paged"),
            many(&done, "root_pages")
        ),
        (6, 2, 2),
        "{done:#}"
    );
    assert_eq!(scene.contents(), before);
    assert_eq!(scene.verified(), (Vec::new(), Vec::new()));
}

/// What is nowhere is lost, its page stays, and all else is mended; what comes to be somewhere is brought back.
fn what_is_nowhere_is_lost(scene: &Scene<'_>) {
    let before = scene.contents();
    scene.run(&["repo", "remove", "near"]).ok();
    scene.harm(WHEEL, None);
    scene.harm("simple/chair/index.html", None);
    let harmed = scene.contents();
    for dry in [&["--dry-run", "--json"][..], &["--json"]] {
        assert_eq!(scene.contents(), harmed);
        let run = scene.run(&[&repair()[..], dry].concat());
        assert_eq!(run.output.status.code(), Some(7), "{}", run.stdout());
        let report = run.json();
        assert_eq!(many(&report, "lost"), 1, "{report:#}");
        let lost = &report["lost"][0];
        assert!(
            lost["file"].as_str().is_some_and(|file| file.ends_with(WHEEL)),
            "{lost:#}"
        );
        assert!(
            lost["reason"]
                .as_str()
                .is_some_and(|why| why.contains("no other copy")),
            "{lost:#}"
        );
        assert_eq!(many(&report, "mended"), 1, "{report:#}");
    }
    let mut expected = before.clone();
    expected.remove(WHEEL);
    assert_eq!(scene.contents(), expected, "the page still names what is lost");
    scene.run(&["repo", "add", "near", "near"]).ok();
    scene.run(&["repo", "add", "third", "third"]).ok();
    let third = scene.run(&[&repair()[..], &["--from", "third"]].concat());
    assert_eq!(third.output.status.code(), Some(7), "only the one that was named");
    let done = scene.mended(&[&repair()[..], &["--from", "near"]].concat());
    assert_eq!(many(&done, "restored"), 1, "{done:#}");
    assert_eq!(scene.contents(), before);
    scene.run(&["repo", "remove", "third"]).ok();
}

/// All wheels are gone, and so are their folders.
fn all_of_it_comes_back(scene: &Scene<'_>) {
    let before = scene.contents();
    for key in before.keys().filter(|key| key.starts_with("packages/")) {
        scene.harm(key, None);
    }
    let (damaged, _) = scene.verified();
    assert_eq!(damaged.len(), 3, "{damaged:?}");
    let done = scene.mended(&repair());
    assert_eq!(many(&done, "restored"), 3, "{done:#}");
    assert_eq!(scene.contents(), before);
}

/// What this machine read of a release before is one of the places that are asked.
fn the_cache_has_it_too(scene: &Scene<'_>) {
    let before = scene.contents();
    scene.run(&["repo", "remove", "near"]).ok();
    scene.run(&["show", "Table==0.1.0"]).ok();
    scene.harm(WHEEL, Some(b"nothing".to_vec()));
    let done = scene.mended(&repair());
    assert_eq!(done["restored"][0]["from"], "cache", "{done:#}");
    assert_eq!(scene.contents(), before);
}

/// Who installs from it has it all.
fn it_is_installed(scene: &Scene<'_>) {
    let store = scene.store;
    store.workspace("user").ok();
    store.run("user", &["install", "Chair"]).ok();
    assert!(
        site_packages(&store.studio, "user")
            .join("table/__init__.py")
            .exists()
    );
    for by in INSTALLERS {
        let target = store.studio.path(&format!("by-{by}"));
        install_by(
            by,
            &target,
            &["--index-url", &store.simple, "chair", "table==0.1.0"],
        )
        .ok();
        assert!(target.join("table-0.1.0.dist-info").exists(), "{by}");
    }
}

fn is_looked_after(store: &Store) {
    let scene = Scene::new(store);
    wheels_come_back(&scene);
    derived_files_are_made_again(&scene);
    what_is_nowhere_is_lost(&scene);
    all_of_it_comes_back(&scene);
    it_is_installed(&scene);
    the_cache_has_it_too(&scene);
}

#[test]
fn a_bucket_is_verified_reindexed_and_repaired() {
    let store = Store::s3();
    is_looked_after(&store);
    // The pages of an index are its server's, also where that is a front before this very bucket.
    let scene = Scene {
        store: &store,
        objects: store.open("repo", 0),
    };
    scene.run(&["repo", "add", "web", &store.simple]).ok();
    for command in [&["repo", "reindex", "web"][..], &["repair", "--repo", "web"]] {
        scene
            .run(&[command, &["--json"]].concat())
            .fails(3, "index::own_pages");
    }
}

#[test]
fn a_container_of_azure_is_verified_reindexed_and_repaired() {
    is_looked_after(&Store::azure());
}

#[test]
fn a_webdav_folder_is_verified_reindexed_and_repaired() {
    is_looked_after(&Store::webdav());
}

#[test]
fn a_folder_behind_sftp_is_verified_reindexed_and_repaired() {
    let (store, _server) = Store::sftp();
    is_looked_after(&store);
    let left = fs::read_dir(store.studio.path("far/team/repo/staged")).expect("listed");
    assert_eq!(left.count(), 0, "nothing is left of what was on its way");
}

#[test]
fn what_rotted_on_the_server_is_found_though_it_seems_unchanged_and_a_copy_is_kept_here() {
    let (store, _server) = Store::sftp();
    let scene = Scene::new(&store);
    let before = scene.contents();
    // Everything is kept on this machine.
    scene.run(&["show", "Table==0.1.0"]).ok();
    for key in [
        WHEEL.to_owned(),
        format!("{WHEEL}.metadata"),
        format!("{WHEEL}.json"),
    ] {
        let path = store.studio.path(&format!("far/team/repo/{key}"));
        let time = fs::metadata(&path).expect("there").modified().expect("a time");
        fs::write(&path, flipped(&scene.read(&key))).expect("written");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
        file.file().set_modified(time).expect("set");
        let (damaged, stale) = scene.verified();
        assert_eq!(damaged.len() + stale.len(), 1, "{key}: {damaged:?} {stale:?}");
        scene.mended(&repair());
        assert_eq!(scene.contents(), before, "{key}");
    }
}

#[test]
fn nothing_is_collected_while_a_repo_in_a_store_names_a_release_that_is_gone() {
    let store = Store::s3();
    let scene = Scene::new(&store);
    scene.run(&["remote", "add", "files", "files"]).ok();
    scene.harm(WHEEL, None);
    let collect = ["gc", "--remote", "--dry-run", "--json"];
    scene.run(&collect).fails(7, "workspace::unreadable_release");
    scene.run(&repair()).ok();
    scene.run(&collect).ok();
}
