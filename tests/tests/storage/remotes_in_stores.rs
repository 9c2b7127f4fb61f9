//! Remotes in object stores, in both layouts, tested with real servers (moto for S3, Azurite, `wsgidav` for `WebDAV`,
//! OpenSSH for SFTP) and with test servers where there are none (Google, OSS): files pushed by one machine can be pulled by another.

use std::collections::BTreeMap;
use std::process::Command;

use backlot_tests::dav;
use backlot_tests::installers::site_packages;
use backlot_tests::stores::Store;
use backlot_tests::{Run, Studio, run_command, snapshot};
use fs_err as fs;
use serde_json::Value;

/// Both layouts, and the folder of each on the store.
const LAYOUTS: [&str; 2] = ["chunked", "dvc"];

/// A machine with a cache of its own.
struct Machine<'s> {
    store: &'s Store,
    workspace: String,
    cache: String,
}

impl<'s> Machine<'s> {
    /// A machine whose workspace has the shared repo, and a folder of the store as its remote.
    fn new(store: &'s Store, name: &str, layout: &str) -> Self {
        let machine = Self {
            store,
            workspace: format!("{name}-{layout}"),
            cache: store
                .studio
                .path(&format!("cache-{name}-{layout}"))
                .display()
                .to_string(),
        };
        store.studio.run(&["init", &machine.workspace]).ok();
        machine
            .run(&["repo", "add", "review", &format!("review-{layout}")])
            .ok();
        store.add_remote(&machine.workspace, layout, layout).ok();
        machine
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.store.command(&self.workspace, arguments);
        command.env("BACKLOT_CACHE_DIR", &self.cache);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run_command(&mut self.command(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).ok().json()
    }

    fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.workspace)
    }

    /// Make an asset with some frames, and add them.
    fn shot(&self) {
        self.run(&["new", "Shot"]).ok();
        let frames = self.path("outputs/shot/src/shot/frames");
        self.store.studio.frames(&frames, 6, 300_000, 11);
        self.store.studio.write(&format!("{frames}/empty.txt"), b"");
        // Longer than what goes in one request.
        self.store
            .studio
            .write(&format!("{frames}/long.bin"), &backlot_tests::noise(40 << 20, 5));
        self.run(&["add", &frames]).ok();
    }

    /// The frames of the output, as they are on this machine.
    fn made(&self) -> BTreeMap<String, Vec<u8>> {
        snapshot(&self.store.studio.path(&self.path("outputs/shot/src/shot/frames")))
    }

    /// Those of the installed release.
    fn had(&self) -> BTreeMap<String, Vec<u8>> {
        snapshot(&site_packages(&self.store.studio, &self.workspace).join("shot/frames"))
    }
}

/// What one machine publishes, another one pulls, in two versions; the remote is verified, told, copied and looked after.
fn files_go_the_whole_way(store: &Store) {
    for layout in LAYOUTS {
        let here = Machine::new(store, "here", layout);
        here.shot();
        let pushed = here.json(&["push"]);
        assert!(pushed["objects"].as_u64() >= Some(8), "{layout}: {pushed:#}");
        here.run(&["publish", "Shot"]).ok();
        // A second push looks, and sends nothing.
        assert_eq!(here.json(&["push"])["sent"], 0, "{layout}");

        let there = Machine::new(store, "there", layout);
        there.run(&["install", "Shot"]).ok();
        there.run(&["pull"]).ok();
        assert!(
            there.had() == here.made(),
            "{layout}: other bytes came than were sent"
        );

        here.run(&["bump", "Shot", "minor"]).ok();
        let frame = here.path("outputs/shot/src/shot/frames/f.0003.exr");
        store.studio.write(&frame, &backlot_tests::noise(300_000, 99));
        here.run(&["add", &here.path("outputs/shot/src/shot/frames"), "--push"])
            .ok();
        here.run(&["publish", "Shot"]).ok();
        there.run(&["update", "Shot"]).ok();
        there.run(&["pull"]).ok();
        assert!(
            there.had() == here.made(),
            "{layout}: other bytes came than were sent"
        );

        let verified = there.run(&["verify", "--remote", "--releases"]).ok().stdout();
        assert!(verified.contains("no damage"), "{layout}: {verified}");
        there.run(&["du", "Shot"]).ok();
        there.run(&["status"]).ok();
        if layout == "chunked" {
            let collected = here.json(&["gc", "--remote", "--young", "0", "--no-other-writers"]);
            assert!(collected.is_object(), "{collected:#}");
            there.run(&["verify", "--remote"]).ok();
        }
    }
    let here = Machine::new(store, "copies", "chunked");
    let other = store.studio.path("copied-files").display().to_string();
    here.run(&["remote", "add", "local", &other]).ok();
    let copied = here.json(&["remote", "copy", "files", "local"]);
    assert!(copied["objects"].as_u64() > Some(7), "{copied:#}");
    here.run(&["install", "Shot"]).ok();
    here.run(&["pull", "--remote", "local"]).ok();
    // Within the store, where it can copy by itself.
    store
        .add_named_remote(&here.workspace, "second", "second", "chunked")
        .ok();
    let within = here.json(&["remote", "copy", "files", "second"]);
    assert_eq!(within["objects"], copied["objects"], "{within:#}");
    here.run(&["verify", "--remote", "second"]).ok();
    let again = here.json(&["remote", "copy", "files", "second"]);
    assert_eq!(
        (&again["objects"], &again["sent"]),
        (&0.into(), &0.into()),
        "{again:#}"
    );
}

#[test]
fn files_go_to_a_bucket_and_come_back() {
    let store = Store::s3();
    files_go_the_whole_way(&store);
    let text = fs::read_to_string(store.studio.path("here-chunked/backlot.toml")).expect("written");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn files_go_to_ceph_and_come_back() {
    files_go_the_whole_way(&Store::ceph());
}

#[test]
fn files_go_to_azure_and_come_back() {
    files_go_the_whole_way(&Store::azure());
}

#[test]
fn files_go_to_google_cloud_storage_and_come_back() {
    files_go_the_whole_way(&Store::gcs());
}

#[test]
fn files_go_to_aliyun_oss_and_come_back() {
    files_go_the_whole_way(&Store::oss());
}

#[test]
fn files_go_to_google_drive_and_come_back() {
    files_go_the_whole_way(&Store::gdrive());
}

#[test]
fn files_go_to_a_webdav_folder_and_come_back() {
    files_go_the_whole_way(&Store::webdav());
}

#[test]
fn files_go_to_an_sftp_folder_and_come_back() {
    let (store, _server) = Store::sftp();
    files_go_the_whole_way(&store);
}

#[test]
fn files_in_the_layout_of_dvc_are_pulled_from_a_plain_web_server_which_is_only_read() {
    let studio = Studio::with_dvc_layout();
    studio.asset("Table", 3, 2000);
    studio.ws(&["publish", "Table"]).ok();
    let server = dav::nginx_files(&studio.path("nginx"), &studio.path("remote"));
    studio.run(&["init", "far"]).ok();
    let far = |arguments: &[&str]| {
        let mut command = studio.command(&[&["-w", "far"], arguments].concat());
        command.env("BACKLOT_CACHE_DIR", studio.path("far-cache"));
        run_command(&mut command)
    };
    far(&["repo", "add", "review", "repos/review"]).ok();
    let added = far(&["remote", "add", "web", &server.url(), "--json"])
        .ok()
        .json();
    assert_eq!(added["layout"], "dvc", "{added:#}");
    far(&["install", "Table"]).ok();
    far(&["pull"]).ok();
    let made = snapshot(&studio.path("ws/outputs/table/src/table/frames"));
    assert!(snapshot(&site_packages(&studio, "far").join("table/frames")) == made);
    far(&["verify", "--remote"]).ok();
    // Nothing can be sent there, and that is said.
    far(&["new", "Lamp"]).ok();
    studio.frames("far/outputs/lamp/src/lamp/frames", 1, 100, 3);
    far(&["add", "far/outputs/lamp/src/lamp/frames"]).ok();
    far(&["push", "--json"]).fails(6, "store::service");
    let chunked = [
        "remote",
        "add",
        "other",
        &server.url(),
        "--layout",
        "chunked",
        "--json",
    ];
    far(&chunked).fails(3, "store::bad_remote");
}
