//! Indexes of a real devpi server that inherit from others, and indexes created by Backlot.

use std::process::Command;

use backlot_tests::peer::{Peer, known};
use backlot_tests::server::Server;
use backlot_tests::{Run, Studio, changed, rig, run_command, tool};

/// Ask devpi something as `ana`: a method, a path and what to send.
fn devpi_asks(devpi: &Peer, requests: &[(&str, &str, &str)]) {
    let code = "import base64, sys, urllib.request as u
auth = base64.b64encode(b'ana:secret').decode()
for method, path, body in zip(*[iter(sys.argv[2:])] * 3):
    headers = {'Content-Type': 'application/json', 'Authorization': 'Basic ' + auth}
    u.urlopen(u.Request(sys.argv[1] + path, body.encode(), headers, method=method)).read()";
    let mut python = Command::new(tool("python"));
    python.args(["-c", code, &devpi.url()]);
    for (method, path, body) in requests {
        python.args([method, path, body]);
    }
    run_command(&mut python).ok();
}

/// What devpi's own page of an index has of a package.
fn devpi_page(devpi: &Peer, index: &str, package: &str) -> String {
    let code = "import sys, urllib.request as u
print(u.urlopen(u.Request(sys.argv[1], headers={'User-Agent': 'pip/26.3'})).read().decode())";
    let mut python = Command::new(tool("python"));
    python.args(["-c", code, &format!("{}/{index}/+simple/{package}/", devpi.url())]);
    run_command(&mut python).ok().stdout()
}

/// How many files on a page are of `ana/blessed`, and how many of `ana/dev`.
fn of_each(page: &str) -> (usize, usize) {
    let of = |index: &str| page.matches(&format!("{index} <a")).count();
    (of("ana/blessed"), of("ana/dev"))
}

#[test]
fn a_devpi_index_is_made_and_what_it_inherits_is_read_but_is_not_its_own() {
    let studio = Studio::new();
    let devpi = Peer::devpi(&studio);
    let ws = |arguments: &[&str]| known(&studio, &[&["-w", "ws"], arguments].concat());
    let url = |index: &str| format!("{}/{index}", devpi.url());
    // `ana/dev` is there; `ana/blessed` inherits from it and is made here.
    ws(&["repo", "add", "base", &url("ana/dev")]).ok();
    ws(&["repo", "add", "far", &url("ana/blessed"), "--json"]).fails(3, "index::not_an_index");
    let make = [
        "repo",
        "add",
        "studio",
        &url("ana/blessed"),
        "--create",
        "--base",
        "ana/dev",
        "--json",
    ];
    ws(&[&make[..], &["--dry-run"]].concat()).ok();
    let mut nobody = studio.command(&[&["-w", "ws"], &make[..]].concat());
    run_command(&mut nobody).fails(3, "index::not_made");
    let made = ws(&make).ok().json();
    assert_eq!(made["place"], format!("{}/+simple/", url("ana/blessed")));
    ws(&["repo", "remove", "studio"]).ok();
    let again = ws(&make).ok();
    assert!(again.stderr().contains("index::exists"), "{}", again.stderr());

    a_base_is_read_and_a_copy_brings_it_into_the_index(&studio, &devpi);
    a_version_of_a_base_is_in_nobodys_way(&studio, &devpi);
    uploads_that_cannot_be_say_why(&studio, &devpi);
    a_mirror_is_read_through_and_hidden_by_what_is_private(&studio, &devpi);
}

fn a_base_is_read_and_a_copy_brings_it_into_the_index(studio: &Studio, devpi: &Peer) {
    let ws = |arguments: &[&str]| known(studio, &[&["-w", "ws"], arguments].concat());
    let folder = studio.path("drop");
    rig::make(&folder, "1.0", "ours", &["wheels", "sdist"]);
    ws(&["repo", "add", "drop", "drop"]).ok();
    let copy = ["copy", "Rig==1.0", "--without-files", "--json", "--from"];
    let states = |run: Run| {
        let report = run.ok().json();
        let files = report["releases"][0]["files"].as_array().expect("files").clone();
        files
            .iter()
            .map(|file| file["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(ws(&[&copy[..], &["drop", "--to", "base"]].concat())),
        ["copied"; 5]
    );

    // Who sees the derived index alone sees what its base has: listed, resolved, installed.
    studio.run(&["init", "reader"]).ok();
    let reader = |arguments: &[&str]| studio.run(&[&["-w", "reader"], arguments].concat());
    reader(&["repo", "add", "studio", &format!("{}/ana/blessed", devpi.url())]).ok();
    let listed = reader(&["list", "--repo", "studio", "--json"]).ok().stdout();
    assert!(listed.contains("rig"), "{listed}");
    reader(&["install", "Rig"]).ok();
    reader(&["uninstall", "Rig"]).ok();
    let copied = reader(&["repo", "add", "near", "near"]);
    copied.ok();
    assert_eq!(
        states(reader(&[&copy[..], &["studio", "--to", "near"]].concat())),
        ["copied"; 5]
    );

    // What only a base has is not in the index: a copy brings it, file by file, and it stays if the base lets go of it.
    assert_eq!(
        states(ws(&[&copy[..], &["base", "--to", "studio", "--dry-run"]].concat())),
        ["copied"; 5]
    );
    assert_eq!(
        states(ws(&[&copy[..], &["base", "--to", "studio"]].concat())),
        ["copied"; 5]
    );
    assert_eq!(
        states(ws(&[&copy[..], &["base", "--to", "studio"]].concat())),
        ["there"; 5]
    );
    let page = devpi_page(devpi, "ana/blessed", "rig");
    assert_eq!(of_each(&page), (5, 0), "{page}");
    let mirrored = ws(&["mirror", "base", "studio", "--json"]).ok().json();
    assert_eq!(mirrored["already_there"], 1, "{mirrored:#}");
}

/// A version of a base is no conflict, whatever its bytes; one of the index is.
fn a_version_of_a_base_is_in_nobodys_way(studio: &Studio, devpi: &Peer) {
    let ws = |arguments: &[&str]| known(studio, &[&["-w", "ws"], arguments].concat());
    let reader = |arguments: &[&str]| studio.run(&[&["-w", "reader"], arguments].concat());
    ws(&["new", "Table"]).ok();
    ws(&["publish", "Table", "--to", "base"]).ok();
    studio.write("ws/outputs/table/src/table/extra.py", b"x = 1\n");
    let published = ws(&["publish", "Table", "--to", "studio", "--json"]).ok();
    assert!(
        published.stderr().contains("index::hides_inherited"),
        "{}",
        published.stderr()
    );
    let page = devpi_page(devpi, "ana/blessed", "table");
    assert_eq!(of_each(&page), (1, 0), "{page}");
    ws(&["publish", "Table", "--to", "studio", "--json"]).ok();
    studio.write("ws/outputs/table/src/table/extra.py", b"x = 2\n");
    ws(&["publish", "Table", "--to", "studio", "--json"]).fails(5, "repo::release_exists");
    reader(&["install", "Table"]).ok();
    let mut python = studio.command(&[
        "-w",
        "reader",
        "run",
        "python",
        "-c",
        "import table.extra as e; print(e.x)",
    ]);
    assert_eq!(
        run_command(&mut python).ok().stdout().trim(),
        "1",
        "the index hides its base"
    );
    let differs = ws(&[
        "copy",
        "Table",
        "--from",
        "base",
        "--to",
        "studio",
        "--without-files",
        "--json",
    ]);
    let differs = differs.fails(5, "repo::release_exists").to_string();
    assert!(differs.contains("table-0.1.0-py3-none-any.whl"), "{differs}");
}

fn uploads_that_cannot_be_say_why(studio: &Studio, devpi: &Peer) {
    let ws = |arguments: &[&str]| known(studio, &[&["-w", "ws"], arguments].concat());
    // An index that is gone since it was added, one of somebody else, one that is a mirror.
    devpi_asks(
        devpi,
        &[
            // Only one that is volatile can be deleted.
            ("PUT", "/ana/gone", "{\"type\": \"stage\", \"volatile\": true}"),
            (
                "PUT",
                "/ana/closed",
                "{\"type\": \"stage\", \"volatile\": false, \"acl_upload\": [\"root\"]}",
            ),
            (
                "PUT",
                "/ana/mirror",
                "{\"type\": \"mirror\", \"mirror_url\": \"http://127.0.0.1:9/simple/\"}",
            ),
        ],
    );
    ws(&["repo", "add", "gone", &format!("{}/ana/gone", devpi.url())]).ok();
    devpi_asks(devpi, &[("DELETE", "/ana/gone", "")]);
    let gone = ws(&["publish", "Table", "--to", "gone", "--json"]).fails(4, "index::no_such_index");
    let help = gone["help"].as_str().expect("help");
    assert!(
        help.contains("--create") && help.contains("devpi index -c ana/gone"),
        "{gone}"
    );
    let closed = format!("{}/ana/closed", devpi.url());
    let mut add = studio.command(&["-w", "ws", "repo", "add", "closed", &closed]);
    run_command(&mut add).ok();
    let mut publish = studio.command(&["-w", "ws", "publish", "Table", "--to", "closed", "--json"]);
    publish
        .env("BACKLOT_REPO_CLOSED_USERNAME", "ana")
        .env("BACKLOT_REPO_CLOSED_PASSWORD", "secret");
    let error = run_command(&mut publish).fails(3, "index::may_not_upload");
    assert!(error.to_string().contains("acl_upload+=ana"), "{error}");
    let mut publish = studio.command(&["-w", "ws", "publish", "Table", "--to", "closed", "--json"]);
    publish
        .env("BACKLOT_REPO_CLOSED_USERNAME", "ana")
        .env("BACKLOT_REPO_CLOSED_PASSWORD", "guessed");
    run_command(&mut publish).fails(3, "index::denied");
}

/// An index with a mirror of another server below it: what is private hides what the mirror has under its name, unless the
/// index says otherwise.
fn a_mirror_is_read_through_and_hidden_by_what_is_private(studio: &Studio, devpi: &Peer) {
    let ws = |arguments: &[&str]| known(studio, &[&["-w", "ws"], arguments].concat());
    ws(&["new", "Lamp"]).ok();
    ws(&["new", "Desk"]).ok();
    ws(&["input", "add", "Desk", "Lamp"]).ok();
    ws(&["publish", "Lamp", "--to", "review"]).ok();
    ws(&["publish", "Desk", "--to", "review"]).ok();
    let outside = Server::folder(&studio.path("repos/review"), false);
    let mirror = format!(
        "{{\"type\": \"mirror\", \"volatile\": false, \"mirror_url\": \"{}\"}}",
        outside.url("/simple/")
    );
    devpi_asks(devpi, &[("PUT", "/ana/outside", &mirror)]);
    let mixed = format!("{}/ana/mixed", devpi.url());
    ws(&[
        "repo",
        "add",
        "mixed",
        &mixed,
        "--create",
        "--base",
        "ana/outside",
    ])
    .ok();
    let versions = |reader: &str| {
        studio.run(&["init", reader]).ok();
        studio.run(&["-w", reader, "repo", "add", "mixed", &mixed]).ok();
        let shown = studio.run(&["-w", reader, "show", "Lamp", "--json"]).ok().json();
        shown["releases"][0]["versions"].to_string()
    };
    assert_eq!(versions("before"), "[\"0.1.0\"]");
    let installed = studio
        .run(&["-w", "before", "install", "Desk", "--json"])
        .ok()
        .json();
    assert_eq!(changed(&installed), ["desk", "lamp"]);
    ws(&["bump", "Lamp", "minor"]).ok();
    ws(&["publish", "Lamp", "--to", "mixed"]).ok();
    assert_eq!(versions("private"), "[\"0.2.0\"]");
    let hidden = studio.run(&["-w", "private", "install", "Lamp==0.1.0", "--json"]);
    hidden.fails(5, "resolve::conflict");
    devpi_asks(devpi, &[("PATCH", "/ana/mixed", "[\"mirror_whitelist=lamp\"]")]);
    assert_eq!(versions("listed"), "[\"0.1.0\",\"0.2.0\"]");
    // What only the mirror has is free to be published, and to be promoted into the index itself.
    let copy = [
        "copy",
        "Lamp==0.1.0",
        "--from",
        "review",
        "--to",
        "mixed",
        "--without-files",
        "--json",
    ];
    assert_eq!(ws(&copy).ok().json()["releases"][0]["state"], "copied");
    assert_eq!(ws(&copy).ok().json()["releases"][0]["state"], "there");
    // A mirror itself takes nothing.
    ws(&["repo", "add", "outside", &format!("{}/ana/outside", devpi.url())]).ok();
    let refused = ws(&["publish", "Lamp", "--to", "outside", "--json"]);
    let refused = refused.fails(6, "index::upload_refused").to_string();
    assert!(refused.contains("mirror"), "{refused}");
}
