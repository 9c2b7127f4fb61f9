//! Files and folders of each kind of store as sources of imports.

use backlot_tests::stores::Store;
use backlot_tests::{run_command, snapshot};

use crate::imports::{MODULE, bytes, outcomes, place};

/// A store whose files are imported, by the name `files`.
fn follows(store: &Store) {
    let studio = &store.studio;
    studio.run(&["init", "ws"]).ok();
    store.add_remote("ws", "kept", "dvc").ok();
    store.run("ws", &["new", "Table"]).ok();
    let far = store.open("plates", 1);
    let put = |key: &str, text: &str| far.write(key, text.into(), "text/plain").expect("written");
    put("shot/a 1.exr", "one");
    put("shot/deep/b.exr", "two");
    let folder = store.files("plates/shot");
    let run = |arguments: &[&str]| {
        let mut command = store.command("ws", arguments);
        command.arg("--json");
        run_command(&mut command)
    };
    let report = run(&["import-url", "--asset", "Table", &folder]).ok().json();
    assert_eq!(report["imports"][0]["files"], 2, "{report:#}");
    let file = format!("{folder}/deep/b.exr");
    run(&["import-url", "--asset", "Table", &file]).ok();
    assert_eq!(
        (bytes(studio, "shot/a 1.exr"), bytes(studio, "b.exr")),
        (b"one".to_vec(), b"two".to_vec())
    );
    let pointers = ["shot", "b.exr"].map(|name| format!("{MODULE}/{name}.dvc"));
    let both = || run(&["update", &pointers[0], &pointers[1]]).ok().json();
    let states = || {
        let told = run(&["status", "--imports"]).ok().json();
        let all = told["imports"].as_array().expect("a list").iter();
        all.map(|import| import["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["up_to_date", "up_to_date"]);
    assert_eq!(outcomes(&both()), ["unchanged", "unchanged"]);
    put("shot/deep/b.exr", "two, and longer");
    put("shot/c.exr", "three");
    far.delete("shot/a 1.exr").expect("deleted");
    assert_eq!(states(), ["changed", "changed"]);
    let report = both();
    assert_eq!(outcomes(&report), ["updated", "updated"]);
    // What did not change is not fetched again.
    assert_eq!(report["imports"][0]["fetched_bytes"], 20, "{report:#}");
    let there = snapshot(&place(studio, "shot"));
    assert_eq!(there.keys().collect::<Vec<_>>(), ["c.exr", "deep/b.exr"]);
    assert_eq!(bytes(studio, "b.exr"), b"two, and longer");
    // All of it goes: nothing here does.
    for key in ["shot/deep/b.exr", "shot/c.exr"] {
        far.delete(key).expect("deleted");
    }
    run(&["update", &pointers[0]]).fails(4, "imports::gone");
    assert_eq!(states(), ["gone", "gone"]);
    assert!(snapshot(&place(studio, "shot")) == there);
}

#[test]
fn folders_and_files_of_s3_are_followed() {
    follows(&Store::s3());
}

#[test]
fn folders_and_files_behind_webdav_are_followed() {
    follows(&Store::webdav());
}

#[test]
fn folders_and_files_behind_ssh_are_followed() {
    let (store, _server) = Store::sftp();
    follows(&store);
}

#[test]
fn folders_and_files_of_azure_are_followed() {
    follows(&Store::azure());
}

#[test]
fn folders_and_files_of_google_cloud_storage_are_followed() {
    follows(&Store::gcs());
}

#[test]
fn folders_and_files_of_google_drive_are_followed() {
    follows(&Store::gdrive());
}

#[test]
fn folders_and_files_of_oss_are_followed() {
    follows(&Store::oss());
}
