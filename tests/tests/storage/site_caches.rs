//! Site caches: the machines of a site fetch remote data once, and commands succeed in any state of the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use backlot_tests::disks::Disk;
use backlot_tests::faults::{Between, Fault};
use backlot_tests::installers::site_packages;
use backlot_tests::stores::Store;
use backlot_tests::{Run, noise, run_command, snapshot};
use fs_err as fs;

const SETTINGS: &str = "site-cache.json";
const ANY_ROOM: &[u8] = b"{\"min_free_bytes\": 0}";
const FRAMES: &str = "here/outputs/shot/src/shot/frames";

/// A store far away with a published shot, and a folder for the site cache.
struct Site {
    store: Store,
    line: Between,
    folder: PathBuf,
    layout: &'static str,
}

impl Site {
    fn new(layout: &'static str) -> Self {
        let store = Store::s3();
        let line = Between::before(store.port(), |_, _| Fault::None);
        let store = store.asked_at(line.port);
        let folder = store.studio.path("site");
        fs::create_dir(&folder).expect("made");
        // The disk of a machine that runs tests may be rather full.
        fs::write(folder.join(SETTINGS), ANY_ROOM).expect("written");
        store.workspace("here");
        store.add_remote("here", "files", layout).ok();
        store.run("here", &["new", "Shot"]).ok();
        store.studio.frames(FRAMES, 6, 400_000, 1);
        store.run("here", &["add", FRAMES]).ok();
        store.run("here", &["publish", "Shot"]).ok();
        line.count();
        Self {
            store,
            line,
            folder,
            layout,
        }
    }

    /// Another version, with one other frame.
    fn release(&self) {
        let frame = format!("{FRAMES}/f.0001.exr");
        self.store.studio.write(&frame, &noise(400_000, 77));
        for step in [
            &["add", FRAMES][..],
            &["bump", "Shot", "minor"],
            &["publish", "Shot"],
        ] {
            self.store.run("here", step).ok();
        }
    }

    /// A machine of the site with a cache of its own, whose environment names the site cache.
    fn machine(&self, name: &str) -> Machine<'_> {
        self.store.workspace(name);
        self.store.add_remote(name, "files", self.layout).ok();
        Machine {
            site: self,
            name: name.to_owned(),
        }
    }

    /// How often objects that never change were fetched since this was asked.
    fn fetched(&self) -> usize {
        let seen = std::mem::take(&mut *self.line.seen.lock().expect("no panic"));
        let is_fixed = |line: &&String| {
            let object = line.split('?').next().unwrap_or_default();
            let is_object = object.contains("/packs/") || object.contains("/files/md5/");
            line.starts_with("GET") && (is_object || object.ends_with(".whl"))
        };
        seen.iter().filter(is_fixed).count()
    }

    /// The slots in the folder.
    fn slots(&self) -> Vec<PathBuf> {
        let files = snapshot(&self.folder);
        let slots = files.keys().filter(|key| key.contains('/'));
        slots.map(|key| self.folder.join(key)).collect()
    }
}

struct Machine<'s> {
    site: &'s Site,
    name: String,
}

impl Machine<'_> {
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.site.store.command(&self.name, arguments);
        command
            .env(
                "BACKLOT_CACHE_DIR",
                self.site.store.studio.path(&format!("cache-{}", self.name)),
            )
            .env("BACKLOT_SITE_CACHE", &self.site.folder);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run_command(&mut self.command(arguments))
    }

    fn frames(&self) -> BTreeMap<String, Vec<u8>> {
        snapshot(&site_packages(&self.site.store.studio, &self.name).join("shot/frames"))
    }

    /// Install and pull, and have what was made. Returns what was warned of.
    fn has_it_all(&self) -> String {
        let installed = self.run(&["install", "Shot"]).ok().stderr();
        let pulled = self.run(&["pull"]).ok().stderr();
        let made = snapshot(&self.site.store.studio.path(FRAMES));
        assert!(self.frames() == made, "{}: {installed}{pulled}", self.name);
        installed + &pulled
    }
}

fn far_objects_are_fetched_once(layout: &'static str) {
    let site = Site::new(layout);
    let machines: Vec<Machine<'_>> = ["one", "two", "three"].map(|name| site.machine(name)).into();
    site.fetched();
    for step in [&["install", "Shot"][..], &["pull"]] {
        let started: Vec<Child> = machines
            .iter()
            .map(|machine| {
                machine
                    .command(step)
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
            })
            .collect::<Result<_, _>>()
            .expect("started");
        for child in started {
            let output = child.wait_with_output().expect("ended");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    let slots = site.slots();
    assert!(
        slots
            .iter()
            .all(|slot| slot.extension().is_none_or(|end| end != "filling")),
        "{slots:?}"
    );
    assert_eq!(
        site.fetched(),
        slots.len(),
        "one request for each object that the site has"
    );
    for machine in &machines {
        machine.has_it_all();
    }
    let late = site.machine("late");
    late.has_it_all();
    assert_eq!(site.fetched(), 0, "the site has it");
}

#[test]
fn three_machines_at_once_fetch_a_pack_and_a_wheel_once() {
    far_objects_are_fetched_once("chunked");
}

#[test]
fn three_machines_at_once_fetch_a_file_in_the_layout_of_dvc_once() {
    far_objects_are_fetched_once("dvc");
}

#[test]
fn what_is_damaged_in_a_site_cache_is_fetched_again_and_said() {
    for layout in ["chunked", "dvc"] {
        let site = Site::new(layout);
        site.machine("first").has_it_all();
        let slots = site.slots();
        for (number, slot) in slots.iter().enumerate() {
            let mut bytes = fs::read(slot).expect("read");
            match number % 3 {
                // A flipped bit, a torn file, nothing.
                0 => bytes[100] ^= 4,
                1 => bytes.truncate(bytes.len() / 2),
                _ => bytes.clear(),
            }
            fs::write(slot, bytes).expect("written");
        }
        let warned = site.machine("second").has_it_all();
        assert!(
            warned.contains("was damaged; fetching it again"),
            "{layout}: {warned}"
        );
        let warned = site.machine("third").has_it_all();
        assert!(!warned.contains("damaged"), "{layout}: {warned}");
    }
}

#[test]
fn what_was_wrong_when_it_came_is_asked_for_again() {
    for (layout, place) in [("chunked", "/packs/"), ("dvc", "/files/md5/")] {
        let site = Site::new(layout);
        site.release();
        site.machine("first").has_it_all();
        // The slots of two objects change places: each is sound, and not what is wanted.
        let slots = site.slots();
        let mut of_files = slots
            .iter()
            .filter(|slot| slot.display().to_string().contains(place));
        let (one, two) = (of_files.next().expect("one"), of_files.next().expect("two"));
        let (first, second) = (fs::read(one).expect("read"), fs::read(two).expect("read"));
        fs::write(one, second).expect("written");
        fs::write(two, first).expect("written");
        site.machine("second").has_it_all();
    }
}

#[test]
fn without_its_site_cache_work_goes_on() {
    let site = Site::new("chunked");
    fs::remove_dir_all(&site.folder).expect("removed");
    let warned = site.machine("one").has_it_all();
    assert!(warned.contains("it does not exist"), "{warned}");
    assert!(
        !site.folder.exists(),
        "a disk that is not mounted is not taken for an empty one"
    );
    fs::create_dir(&site.folder).expect("made");
    fs::write(site.folder.join(SETTINGS), b"{ not json").expect("written");
    let warned = site.machine("two").has_it_all();
    assert!(warned.contains("cannot write to the site cache"), "{warned}");
    fs::write(site.folder.join(SETTINGS), ANY_ROOM).expect("written");
    site.machine("three").has_it_all();
    assert!(!site.slots().is_empty());
}

#[test]
fn a_full_site_cache_and_a_full_machine_stop_nobody_else() {
    let mut site = Site::new("chunked");
    let small = site.store.studio.path("small");
    let Some(_disk) = Disk::small(&small, 1 << 20) else {
        return;
    };
    let own = std::mem::replace(&mut site.folder, small.clone());
    let warned = site.machine("one").has_it_all();
    assert!(warned.contains("cannot write to the site cache"), "{warned}");
    // A machine whose own disk is full says so, and the others have what they want.
    site.folder = own;
    let full = site.machine("full");
    full.run(&["install", "Shot"]).ok();
    let mut pull = full.command(&["pull", "--json"]);
    let failed = run_command(pull.env("BACKLOT_CACHE_DIR", small.join("cache")));
    assert!(!failed.output.status.success());
    site.machine("two").has_it_all();
    assert!(!site.slots().is_empty());
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_when_the_room_is_used_up() {
    let site = Site::new("dvc");
    site.machine("one").has_it_all();
    let before = site.slots();
    let total: u64 = before
        .iter()
        .map(|slot| fs::metadata(slot).expect("there").len())
        .sum();
    let foreign = site.folder.join("somebody-elses.txt");
    fs::write(&foreign, b"not ours").expect("written");
    let settings = format!("{{\"max_bytes\": {}, \"min_free_bytes\": 0}}", total / 2);
    fs::write(site.folder.join(SETTINGS), settings).expect("written");
    // What is new makes room for itself.
    site.release();
    site.machine("two").has_it_all();
    let sizes = |slots: Vec<PathBuf>| -> u64 {
        slots
            .iter()
            .map(|slot| fs::metadata(slot).expect("there").len())
            .sum()
    };
    assert!(sizes(site.slots()) < total, "{} of {total}", sizes(site.slots()));
    assert!(foreign.exists(), "nothing but its own objects is removed");
}

#[test]
fn verifying_looks_at_the_store_and_not_at_the_site_cache() {
    let site = Site::new("dvc");
    let machine = site.machine("one");
    machine.has_it_all();
    site.fetched();
    machine.run(&["verify", "--remote", "--releases"]).ok();
    assert!(site.fetched() >= 6, "each file was read from the store");
}
