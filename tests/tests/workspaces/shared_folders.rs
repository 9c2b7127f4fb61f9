//! Folders shared by several users: modes follow the root folder, with any umask, and a read-only cache works.
//!
//! The users are two with the umasks 022 and 077, and a third one outside their group. Only root can switch users;
//! otherwise these tests report why they are skipped.
#![expect(clippy::disallowed_methods, reason = "a test hides what somebody else would")]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_tests::channel::{Channel, Package, python};
use backlot_tests::{Run, Studio, binary, noise, run_command, snapshot, tool};
use fs_err as fs;

const GROUP: &str = "3900";

/// Somebody with a home, in the group or not.
struct Person<'a> {
    studio: &'a Studio,
    uid: &'static str,
    umask: &'static str,
    in_group: bool,
}

impl Person<'_> {
    /// A program run as this person, in the home.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", self.uid, "--regid", self.uid]);
        if self.in_group {
            command.args(["--groups", GROUP]);
        } else {
            command.arg("--clear-groups");
        }
        let script = format!("umask {}; exec \"$@\"", self.umask);
        command
            .args(["--", "sh", "-c", &script, "sh"])
            .arg(program)
            .args(arguments);
        command.current_dir(self.home()).env_clear();
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .env("BACKLOT_CACHE_DIR", self.studio.path("shared/cache"))
            .env("BACKLOT_AUTHOR", self.uid);
        command
    }

    fn home(&self) -> PathBuf {
        self.studio.path(self.uid)
    }

    /// The command under test, in the person's workspace.
    fn run(&self, arguments: &[&str]) -> Run {
        let ws = self.home().join("ws");
        let ws = ws.to_str().expect("text");
        run_command(&mut self.command(
            &self.studio.path("bin/backlot"),
            &[&["-w", ws], arguments].concat(),
        ))
    }

    /// Returns what making it warned of.
    fn make_workspace(&self) -> String {
        let backlot = self.studio.path("bin/backlot");
        let made = run_command(&mut self.command(&backlot, &["init", "ws"])).ok();
        self.run(&[
            "repo",
            "add",
            "review",
            self.shared("review").to_str().expect("text"),
        ])
        .ok();
        for (name, layout) in [("main", "chunked"), ("plain", "dvc")] {
            let place = self.shared(name);
            let place = place.to_str().expect("text");
            self.run(&["remote", "add", name, place, "--layout", layout]).ok();
        }
        made.stderr()
    }

    fn shared(&self, name: &str) -> PathBuf {
        self.studio.path("shared").join(name)
    }

    /// An asset with frames, published, its files on both remotes.
    fn publish(&self, name: &str, seed: u64) {
        self.run(&["new", name]).ok();
        let module = name.to_lowercase();
        let frames = self
            .home()
            .join(format!("ws/outputs/{module}/src/{module}/frames"));
        for (number, size) in [(1, 5_000), (2, 5_000), (3, 200_000)] {
            self.write(
                &frames.join(format!("f.{number:04}.exr")),
                &noise(size, seed + number),
            );
        }
        let frames = frames.to_str().expect("text");
        self.run(&["add", frames]).ok();
        self.run(&["publish", name]).ok();
        self.run(&["push", "--remote", "plain", name]).ok();
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        let above = self.studio.path(&format!("in-{}", self.uid));
        fs::write(&above, bytes).expect("written");
        fs::set_permissions(&above, std::fs::Permissions::from_mode(0o644)).expect("set");
        let script = "mkdir -p \"$(dirname \"$2\")\" && cp \"$1\" \"$2\"";
        let (from, to) = (above.to_str().expect("text"), path.to_str().expect("text"));
        run_command(&mut self.command(Path::new("sh"), &["-c", script, "sh", from, to])).ok();
    }

    /// What the pulled files of an installed asset are.
    fn installed(&self, module: &str) -> Vec<Vec<u8>> {
        let files = snapshot(&self.home().join("ws/inputs"));
        let frames = files
            .into_iter()
            .filter(|(path, _)| path.contains(&format!("/{module}/frames/f.")));
        frames.map(|(_, bytes)| bytes).collect()
    }
}

/// A studio that others may enter, with the folder `shared` of a mode, and the command where they can run it.
fn studio(mode: u32) -> Option<Studio> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be two users");
        return None;
    }
    let studio = Studio::empty();
    fs::set_permissions(studio.root(), std::fs::Permissions::from_mode(0o755)).expect("set");
    fs::create_dir(studio.path("bin")).expect("made");
    fs::copy(binary(), studio.path("bin/backlot")).expect("copied");
    fs::create_dir(studio.path("shared")).expect("made");
    let group = GROUP.parse().expect("a number");
    std::os::unix::fs::chown(studio.path("shared"), None, Some(group)).expect("given");
    fs::set_permissions(studio.path("shared"), std::fs::Permissions::from_mode(mode)).expect("set");
    Some(studio)
}

fn person<'a>(studio: &'a Studio, uid: &'static str, umask: &'static str, in_group: bool) -> Person<'a> {
    let person = Person {
        studio,
        uid,
        umask,
        in_group,
    };
    fs::create_dir(person.home()).expect("made");
    let number = uid.parse().expect("a number");
    std::os::unix::fs::chown(person.home(), Some(number), Some(number)).expect("given");
    person
}

/// What below a folder has another mode than it should: relative path and mode.
fn wrong_modes(root: &Path, folders: u32, files: &[u32]) -> Vec<String> {
    let (mut wrong, mut pending) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let found = fs::symlink_metadata(&path).expect("there");
            let mode = found.mode() & 0o7777;
            let right = if found.is_dir() {
                pending.push(path.clone());
                mode == folders
            } else {
                found.is_symlink() || files.contains(&mode)
            };
            if !right {
                wrong.push(format!(
                    "{} {mode:o}",
                    path.strip_prefix(root).expect("inside").display()
                ));
            }
        }
    }
    wrong
}

/// All that two people do beside each other; the first makes the places.
fn work_beside(first: &Person<'_>, second: &Person<'_>) {
    for one in [first, second] {
        one.make_workspace();
    }
    first.publish("Table", 100);
    second.publish("Chair", 200);
    let theirs = [(first, "Chair", "chair"), (second, "Table", "table")];
    for (one, name, module) in theirs {
        let listed = one.run(&["list", "--json"]).ok().json();
        assert_eq!(
            listed["packages"].as_array().expect("packages").len(),
            2,
            "{listed:#}"
        );
        one.run(&["install", name]).ok();
        one.run(&["pull"]).ok();
        assert_eq!(one.installed(module).len(), 3);
    }
    // A release each of what the other one began, which writes into folders and pages that the other made.
    for (one, name) in [(second, "Table"), (first, "Chair")] {
        one.run(&["edit", name]).ok();
        one.run(&["bump", name, "minor"]).ok();
        one.run(&["publish", name]).ok();
        one.run(&["deprecate", &format!("{name}==0.1.0"), "-m", "old"])
            .ok();
    }
    for one in [first, second] {
        one.run(&["install", "--upgrade"]).ok();
        one.run(&["pull"]).ok();
        one.run(&["gc", "--dry-run"]).ok();
        one.run(&["gc", "--remote", "main"]).ok();
        one.run(&["repo", "reindex", "review"]).ok();
        one.run(&["verify", "--remote", "--releases"]).ok();
    }
}

#[test]
fn two_people_work_beside_each_other_in_a_folder_of_their_group_whatever_their_umasks() {
    for private_first in [false, true] {
        let Some(studio) = studio(0o2775) else { return };
        let open = person(&studio, "2901", "022", true);
        let private = person(&studio, "2902", "077", true);
        if private_first {
            work_beside(&private, &open);
        } else {
            work_beside(&open, &private);
        }
        let wrong = wrong_modes(&studio.path("shared"), 0o2775, &[0o664, 0o444, 0o775, 0o555]);
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Somebody outside the group reads all of it, with the tools that read indexes.
        let guest = person(&studio, "2903", "022", false);
        let read = "find \"$1\" -type f -exec cat {} + >/dev/null";
        let shared = studio.path("shared");
        let shared = shared.to_str().expect("text");
        run_command(&mut guest.command(Path::new("sh"), &["-c", read, "sh", shared])).ok();
        fs::copy(tool("uv"), studio.path("bin/uv")).expect("copied");
        let index = format!("file://{shared}/review/simple");
        let install = [
            "pip",
            "install",
            "--no-deps",
            "--target",
            "got",
            "--index-url",
            &index,
            "Table",
        ];
        run_command(&mut guest.command(&studio.path("bin/uv"), &install)).ok();
        assert!(guest.home().join("got/table/__init__.py").is_file());
        studio.leaves_harm();
    }
}

#[test]
fn two_people_install_conda_packages_through_one_cache_whatever_their_umasks() {
    let Some(studio) = studio(0o2775) else { return };
    let mut channel = Channel::new(&studio.path("channel"));
    channel.add(&python().0);
    channel.add(&Package::new("toy", "1.0").file("etc/toy.conf", b"toy"));
    let channel = studio.path("channel").display().to_string();
    let private = person(&studio, "2902", "077", true);
    let open = person(&studio, "2901", "022", true);
    for one in [&private, &open] {
        one.make_workspace();
        one.run(&["channel", "add", &channel]).ok();
        one.run(&["external", "add", "toy"]).ok();
        assert!(
            one.home()
                .join("ws/external_packages/conda/etc/toy.conf")
                .is_file()
        );
    }
    // Who came first goes on with what the other one wrote since.
    private.run(&["external", "remove", "toy"]).ok();
    private.run(&["external", "add", "toy"]).ok();
    let wrong = wrong_modes(&studio.path("shared"), 0o2775, &[0o664, 0o444, 0o775, 0o555]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_a_private_umask_publishes_to_an_open_place_can_be_read_and_a_private_place_stays_private() {
    for (mode, files, objects, programs) in [(0o755, 0o644, 0o444, 0o755), (0o700, 0o600, 0o400, 0o700)] {
        let Some(studio) = studio(0o755) else { return };
        // The places are there before, made by their owner.
        let one = person(&studio, "2901", if mode == 0o755 { "077" } else { "022" }, false);
        for place in ["review", "main", "plain", "cache"] {
            let path = studio.path("shared").join(place);
            fs::create_dir(&path).expect("made");
            std::os::unix::fs::chown(&path, Some(2901), Some(2901)).expect("given");
            fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        }
        one.make_workspace();
        one.publish("Table", 1);
        one.run(&["publish", "Table"]).ok();
        one.run(&["gc", "--remote", "main"]).ok();
        for place in ["review", "main", "plain", "cache"] {
            let root = studio.path("shared").join(place);
            let wrong = wrong_modes(&root, mode, &[files, objects, programs]);
            assert!(wrong.is_empty(), "{place} of mode {mode:o}: {wrong:#?}");
        }
        studio.leaves_harm();
    }
}

#[test]
fn a_cache_that_can_only_be_read_serves_and_what_is_new_goes_to_the_workspace() {
    let Some(studio) = studio(0o2775) else { return };
    let owner = person(&studio, "2901", "022", true);
    owner.make_workspace();
    owner.publish("Table", 100);
    owner.run(&["install", "Table"]).ok();
    let before = studio.snapshot("shared/cache");
    let guest = person(&studio, "2903", "077", false);
    let warned = guest.make_workspace();
    assert!(warned.contains("is not writable"), "{warned}");
    // Nothing of the remote is left but its identity and records: what is pulled comes from the cache.
    let hidden = studio.path("packs");
    std::fs::rename(studio.path("shared/main/v1/packs"), &hidden).expect("hidden");
    guest.run(&["install", "Table"]).ok();
    let second = guest.run(&["pull"]).ok();
    assert!(
        !second.stderr().contains("is not writable"),
        "{}",
        second.stderr()
    );
    assert_eq!(guest.installed("table").len(), 3);
    std::fs::rename(&hidden, studio.path("shared/main/v1/packs")).expect("back");
    // What the cache does not have, and what is damaged in it, comes from the remote.
    owner.publish("Chair", 200);
    let after = studio.snapshot("shared/cache");
    let objects = studio.path("shared/cache/files/md5");
    let mut new = after
        .keys()
        .filter(|path| path.starts_with("files/md5/") && !before.contains_key(*path));
    let damaged = studio
        .path("shared/cache")
        .join(new.next_back().expect("an object"));
    fs::set_permissions(&damaged, std::fs::Permissions::from_mode(0o644)).expect("set");
    fs::write(&damaged, b"other").expect("damaged");
    fs::set_permissions(&damaged, std::fs::Permissions::from_mode(0o444)).expect("set");
    let right = studio.snapshot("shared/cache");
    guest.run(&["install", "Chair"]).ok();
    guest.run(&["pull"]).ok();
    assert_eq!(guest.installed("chair").len(), 3);
    let status = guest.run(&["status", "--json"]).ok().json();
    for input in status["inputs"].as_array().expect("inputs") {
        assert_eq!(input["outs"][0]["state"], "unchanged", "{status:#}");
    }
    guest.run(&["gc", "--dry-run"]).ok();
    assert!(
        studio.snapshot("shared/cache") == right,
        "nothing of it was changed"
    );
    assert!(objects.is_dir());
    // Damage is told to who cannot mend it, too.
    let (backlot, review) = (studio.path("bin/backlot"), owner.shared("review"));
    let review = review.to_str().expect("text");
    for arguments in [
        &["init", "second"][..],
        &["-w", "second", "repo", "add", "review", review],
        &["-w", "second", "install", "Table"],
    ] {
        run_command(&mut owner.command(&backlot, arguments)).ok();
    }
    let wheels = studio.path("shared/cache/wheels");
    let metadata = snapshot(&wheels)
        .into_keys()
        .find(|path| path.ends_with("METADATA"))
        .expect("in the wheel");
    fs::write(wheels.join(metadata), b"other").expect("damaged");
    let verified = guest.run(&["verify", "--cache", "--json"]);
    assert_eq!(verified.output.status.code(), Some(7), "{}", verified.stderr());
    let report = verified.json();
    assert_eq!(
        report["unpacked"]["damaged"].as_array().map(Vec::len),
        Some(1),
        "{report:#}"
    );
    studio.leaves_harm();
}

#[test]
fn who_may_only_read_a_remote_pulls_what_a_collection_condemned_and_is_told_that_it_could_not_take_it_back() {
    let Some(studio) = studio(0o2775) else { return };
    let owner = person(&studio, "2901", "022", true);
    owner.make_workspace();
    owner.publish("Table", 100);
    // Nobody knows any more who needs the remote, and somebody without the repo collects it.
    fs::remove_dir_all(studio.path("shared/main/v1/users")).expect("removed");
    let main = owner.shared("main");
    let main = main.to_str().expect("text");
    let at_home = |one: &Person<'_>, arguments: &[&str]| {
        let ws = one.home().join("ws");
        let all = [&["-w", ws.to_str().expect("text")], arguments].concat();
        let mut command = one.command(&studio.path("bin/backlot"), &all);
        run_command(command.env("BACKLOT_CACHE_DIR", one.home().join("cache")))
    };
    let other = person(&studio, "2902", "022", true);
    let backlot = studio.path("bin/backlot");
    let mut init = other.command(&backlot, &["init", "ws"]);
    run_command(init.env("BACKLOT_CACHE_DIR", other.home().join("cache"))).ok();
    at_home(&other, &["repo", "add", "own", "own"]).ok();
    at_home(&other, &["remote", "add", "main", main]).ok();
    let collect = [
        "gc",
        "--remote",
        "main",
        "--young",
        "0",
        "--allow-most",
        "--no-other-writers",
    ];
    at_home(&other, &collect).ok();
    let tombs = studio.snapshot("shared/main/v1/tombs");
    assert_eq!(tombs.len(), 1);
    fs::remove_dir_all(studio.path("shared/cache")).expect("removed");
    let guest = person(&studio, "2903", "022", false);
    let reader = |arguments: &[&str]| at_home(&guest, arguments);
    let mut init = guest.command(&backlot, &["init", "ws"]);
    run_command(init.env("BACKLOT_CACHE_DIR", guest.home().join("cache"))).ok();
    let review = guest.shared("review");
    reader(&["repo", "add", "review", review.to_str().expect("text")]).ok();
    reader(&["remote", "add", "main", main]).ok();
    reader(&["install", "Table"]).ok();
    let pulled = reader(&["pull"]).ok();
    assert!(
        pulled.stderr().contains("cannot be restored from here"),
        "{}",
        pulled.stderr()
    );
    assert_eq!(guest.installed("table").len(), 3);
    assert_eq!(studio.snapshot("shared/main/v1/tombs"), tombs);
}
