//! Real DVC with the same S3, `WebDAV`, HTTP and SFTP remotes in its layout, with the configuration that Backlot writes and its own credentials:
//! each pulls what the other pushed.

use std::process::Command;

use backlot_tests::stores::Store;
use backlot_tests::{run_command, snapshot, tool};
use fs_err as fs;

const MODULE: &str = "ws/outputs/table/src/table";

/// A command of DVC in a folder of the machine.
fn dvc(store: &Store, folder: &str, arguments: &[&str]) -> String {
    let mut dvc = Command::new(tool("dvc"));
    dvc.args(arguments)
        .current_dir(store.studio.path(folder))
        .env("HOME", store.studio.path("home"))
        .env("DVC_NO_ANALYTICS", "1");
    for (name, value) in [
        ("ACCESS_KEY_ID", "a-key-id"),
        ("SECRET_ACCESS_KEY", "secret"),
        ("DEFAULT_REGION", "us-east-1"),
    ] {
        dvc.env(format!("AWS_{name}"), value);
    }
    run_command(&mut dvc).ok().stdout()
}

/// Both ways; `options` are DVC's own about the remote, which it keeps outside of what is shared.
fn is_shared_with_dvc(store: &Store, options: &[(&str, &str)]) {
    let studio = &store.studio;
    store.workspace("ws");
    store.add_remote("ws", "shared", "dvc").ok();
    let local: String = options
        .iter()
        .map(|(name, value)| format!("    {name} = {value}\n"))
        .collect();
    fs::write(
        studio.path("ws/.dvc/config.local"),
        format!("['remote \"files\"']\n{local}"),
    )
    .expect("written");
    store.run("ws", &["new", "Table"]).ok();
    studio.frames(&format!("{MODULE}/frames"), 4, 50_000, 3);
    store
        .run("ws", &["add", &format!("{MODULE}/frames"), "--push"])
        .ok();
    assert!(dvc(store, "ws", &["status", "--cloud"]).contains("in sync"));
    let ours = snapshot(&studio.path(&format!("{MODULE}/frames")));
    let forget = |name: &str| {
        fs::remove_dir_all(studio.path(MODULE).join(name)).expect("removed");
        fs::remove_dir_all(studio.path("cache/files")).expect("removed");
    };
    forget("frames");
    dvc(store, "ws", &["pull"]);
    assert!(
        snapshot(&studio.path(&format!("{MODULE}/frames"))) == ours,
        "DVC has other bytes"
    );

    studio.frames(&format!("{MODULE}/more"), 3, 40_000, 9);
    dvc(store, MODULE, &["add", "more"]);
    dvc(store, "ws", &["push"]);
    let theirs = snapshot(&studio.path(&format!("{MODULE}/more")));
    forget("more");
    store.run("ws", &["pull"]).ok();
    assert!(
        snapshot(&studio.path(&format!("{MODULE}/more"))) == theirs,
        "we have other bytes"
    );
    store.run("ws", &["verify", "--remote"]).ok();
    assert!(dvc(store, "ws", &["status"]).contains("up to date"));

    // What went there in one pass, without a copy here, is what DVC pulls.
    studio.frames("scratch", 3, 30_000, 11);
    let add = [
        "add",
        "scratch",
        "--asset",
        "Table",
        "--as",
        "sent",
        "--to-remote",
    ];
    store.run("ws", &add).ok();
    assert!(!studio.path(MODULE).join("sent").exists());
    dvc(store, "ws", &["pull"]);
    assert!(studio.snapshot(&format!("{MODULE}/sent")) == studio.snapshot("scratch"));
}

#[test]
fn a_bucket_is_shared_with_dvc() {
    is_shared_with_dvc(&Store::s3(), &[]);
}

#[test]
fn a_webdav_folder_is_shared_with_dvc() {
    is_shared_with_dvc(&Store::webdav(), &[("user", "ana"), ("password", "secret")]);
}

/// DVC's `http` has no listing and no `MKCOL`: it puts and gets objects where we look after a folder of `WebDAV`.
#[test]
fn a_folder_behind_nginx_is_shared_with_dvc_by_http() {
    let store = Store::nginx();
    let url = store.files("shared").replace("webdav+", "");
    let options = [
        ("url", &*url),
        ("method", "PUT"),
        ("auth", "basic"),
        ("user", "ana"),
        ("password", "secret"),
    ];
    is_shared_with_dvc(&store, &options);
}

#[test]
fn a_webdav_folder_behind_apache_is_shared_with_dvc() {
    is_shared_with_dvc(&Store::apache(), &[("user", "ana"), ("password", "secret")]);
}

#[test]
fn a_folder_behind_sftp_is_shared_with_dvc() {
    let (store, _server) = Store::sftp();
    let key = store.studio.path("home/.ssh/id_ed25519");
    is_shared_with_dvc(&store, &[("keyfile", key.to_str().expect("text"))]);
}
