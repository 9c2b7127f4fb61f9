//! Repos in object stores, tested with real servers (moto for S3, `wsgidav` for `WebDAV`, OpenSSH for SFTP) and real installers.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backlot_tests::installers::{INSTALLERS, install_by};
use backlot_tests::peer::Daemon;
use backlot_tests::sshd::{Sshd, find, make_key};
use backlot_tests::stores::Store;
use backlot_tests::{rig, run_command, tool};
use fs_err as fs;

/// The whole way, from one workspace to another and to pip and uv.
fn goes_the_whole_way(store: &Store) {
    let added = store.workspace("ws").json();
    assert_eq!(added["kind"], "store");
    let listed = store.run("ws", &["repo", "list"]).ok().stdout();
    assert!(listed.contains("object store"), "{listed}");
    let text = fs::read_to_string(store.studio.path("ws/backlot.toml")).expect("written");
    assert!(!text.contains("secret"), "{text}");
    for name in ["Table", "Chair"] {
        store.run("ws", &["new", name]).ok();
    }
    store.run("ws", &["input", "add", "Chair", "Table"]).ok();
    store.run("ws", &["publish", "Table"]).ok();
    store.run("ws", &["publish", "Chair"]).ok();
    let error = store.run("ws", &["publish", "Chair", "--json"]);
    assert_eq!(error.ok().json()["already"], true);
    store.run("ws", &["bump", "Table", "minor"]).ok();
    store.run("ws", &["publish", "Table"]).ok();
    store
        .run("ws", &["yank", "Table==0.2.0", "-m", "wrong scale"])
        .ok();

    store.workspace("other");
    let settings = fs::read(store.studio.path("other/backlot.toml")).expect("written");
    let installed = store.run("other", &["install", "Chair", "--json"]).ok().json();
    assert_eq!(installed["changes"][1]["to"], "0.1.0", "{installed:#}");
    let shown = store.run("other", &["show", "Table", "--json"]).ok().stdout();
    assert!(shown.contains("\"ana\""), "{shown}");
    let found = store
        .run("other", &["search", "--type", "asset", "--json"])
        .ok()
        .json();
    assert_eq!(found["packages"].as_array().expect("packages").len(), 2);

    // What was asked once is enough for whoever asks nothing.
    store.studio.run(&["init", "afar"]).ok();
    fs::write(store.studio.path("afar/backlot.toml"), settings).expect("written");
    let again = store
        .run("afar", &["install", "Chair", "--offline", "--json"])
        .ok()
        .json();
    assert_eq!(again["changes"][1]["to"], "0.1.0", "{again:#}");
    let missing = store.run("afar", &["install", "Sofa", "--offline", "--json"]);
    missing.fails(4, "index::offline");

    for by in INSTALLERS {
        let target = store.studio.path(&format!("by-{by}"));
        install_by(by, &target, &["--index-url", &store.simple, "chair"]).ok();
        let installed = fs::read_dir(target).expect("installed");
        let names: Vec<_> = installed
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        assert!(
            names.iter().any(|n| n == "table-0.1.0.dist-info"),
            "{by}: {names:?}"
        );
    }
}

/// Releases with what they need, their files and what is said of them: from a folder to the store, and all of the store to
/// another folder.
fn is_copied_to_and_from(store: &Store) {
    store.workspace("desk");
    let desk = |arguments: &[&str]| store.run("desk", arguments).ok();
    let report = |arguments: &[&str]| desk(&[arguments, &["--json"]].concat()).json();
    let many = |report: &serde_json::Value, list: &str| report[list].as_array().expect("a list").len();
    desk(&["repo", "add", "near", "near", "--publish"]);
    desk(&["remote", "add", "main", "files"]);
    for name in ["Mat", "Rug"] {
        desk(&["new", name]);
    }
    desk(&["input", "add", "Rug", "Mat"]);
    store.studio.frames("desk/outputs/rug/src/rug/frames", 3, 3000, 7);
    desk(&["add", "desk/outputs/rug/src/rug/frames"]);
    desk(&["publish", "Mat"]);
    desk(&["publish", "Rug"]);
    desk(&["approve", "Rug==0.1.0", "--repo", "near", "-m", "seen in dailies"]);
    let copy = ["copy", "Rug", "--from", "near", "--to", "far", "--with-deps"];
    let copied = report(&copy);
    assert_eq!(
        (many(&copied, "releases"), &copied["releases"][1]["facts"]),
        (2, &1.into()),
        "{copied:#}"
    );
    assert_eq!(report(&copy)["releases"][0]["state"], "there");
    desk(&["yank", "Mat==0.1.0", "--repo", "near", "-m", "torn"]);
    let late = report(&["mirror", "near", "far"]);
    assert_eq!(
        (many(&late, "copied"), &late["facts"], &late["already_there"]),
        (0, &1.into(), &2.into()),
        "{late:#}"
    );

    desk(&["repo", "add", "back", "back"]);
    let back = report(&["mirror", "far", "back", "--files"]);
    assert_eq!(
        (many(&back, "copied"), many(&back, "conflicts")),
        (5, 0),
        "{back:#}"
    );
    let again = report(&["mirror", "far", "back", "--files"]);
    assert_eq!(
        (many(&again, "copied"), &again["facts"], &again["already_there"]),
        (0, &0.into(), &5.into()),
        "{again:#}"
    );
    let shown = report(&["show", "Mat==0.1.0"]);
    let releases = shown["releases"].as_array().expect("releases");
    assert_eq!(releases.len(), 3, "{shown:#}");
    assert!(
        releases
            .iter()
            .all(|r| r["yanked"]["reason"] == "torn" && r["yanked"]["author"] == "ana"),
        "{shown:#}"
    );

    // The same name with other bytes stays out.
    desk(&["repo", "add", "odd", "odd"]);
    store.studio.write("desk/outputs/rug/src/rug/more.py", b"x = 1\n");
    // What it needs was yanked meanwhile.
    desk(&[
        "publish",
        "Rug",
        "--to",
        "odd",
        "--force",
        "-m",
        "other bytes of a version",
    ]);
    let other = store.run("desk", &["copy", "Rug", "--from", "odd", "--to", "far", "--json"]);
    other.fails(5, "repo::release_exists");

    // Who sees only the copy has everything; the yanked one because it is asked for by name.
    store.studio.run(&["init", "home"]).ok();
    for arguments in [
        &["repo", "add", "back", "back"][..],
        &["remote", "add", "main", "files"],
        &["install", "Rug", "Mat==0.1.0"],
        &["pull"],
        &["verify", "--inputs"],
    ] {
        store.run("home", arguments).ok();
    }
}

/// Releases of many files, and of a source distribution alone: into the store, to pip, uv and us, and back into a folder.
fn takes_whole_releases(store: &Store) {
    let folder = store.studio.path("drop");
    rig::make(&folder, "0.5", "ours", &["sdist"]);
    rig::make(&folder, "1.0", "ours", &["wheels", "sdist"]);
    let names = rig::files(&folder);
    let desk = |arguments: &[&str]| store.run("desk", arguments).ok();
    desk(&["repo", "add", "drop", "drop"]);
    let mirror = |from: &str, to: &str| desk(&["mirror", from, to, "--json"]).json();
    let first = mirror("drop", "far");
    let files = |release: &serde_json::Value| release["files"].as_array().map(Vec::len);
    assert_eq!(
        (files(&first["copied"][0]), files(&first["copied"][1])),
        (Some(1), Some(5)),
        "{first:#}"
    );
    assert_eq!(mirror("drop", "far")["already_there"], 2);
    for from_source in [false, true] {
        let place = store.studio.path(&format!("rig-{from_source}"));
        for by in rig::installed_by_pip_and_uv(&store.simple, &place, "1.0", from_source) {
            assert_eq!(by == "which = 'sdist'", from_source, "{by}");
        }
    }
    store.workspace("rigger");
    store.run("rigger", &["install", "Rig==0.5"]).ok();
    let which = store.run("rigger", &["run", "python", "-c", "import rig; print(rig.which)"]);
    assert_eq!(which.ok().stdout().trim(), "sdist");
    desk(&["repo", "add", "whole", "whole"]);
    desk(&["mirror", "far", "whole", "--name", "rig"]);
    let back = store.studio.path("whole/packages/rig");
    assert_eq!(rig::files(&back), names);
    for name in names {
        let (ours, theirs) = (fs::read(folder.join(&name)), fs::read(back.join(&name)));
        assert_eq!(ours.expect("read"), theirs.expect("read"), "{name}");
    }
}

/// Eight processes at once: with one version one wins, with different ones all are on the page.
fn is_raced_for(store: &Store) {
    let race = |more: &[&str], prepare: &dyn Fn(usize, &str)| -> Vec<(Option<i32>, String)> {
        let children: Vec<Child> = (0..8)
            .map(|n| {
                let name = format!("racer{n}");
                prepare(n, &name);
                store
                    .command(&name, &[&["publish", "Lamp", "--json"], more].concat())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
            })
            .collect::<Result<_, _>>()
            .expect("started");
        let wait = |child: Child| {
            let output = child.wait_with_output().expect("ended");
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        children.into_iter().map(wait).collect()
    };
    for n in 0..8 {
        let name = format!("racer{n}");
        store.workspace(&name);
        store.run(&name, &["new", "Lamp"]).ok();
        let own = format!("{name}/outputs/lamp/src/lamp/own.py");
        store.studio.write(&own, format!("N = {n}\n").as_bytes());
    }
    let one = race(&[], &|_, _| {});
    assert_eq!(
        one.iter().filter(|(code, _)| *code == Some(0)).count(),
        1,
        "{one:#?}"
    );
    assert_eq!(
        one.iter().filter(|(code, _)| *code == Some(5)).count(),
        7,
        "{one:#?}"
    );
    // None was edited from the release of another.
    let all = race(&["--force", "-m", "race"], &|n, name| {
        let path = store
            .studio
            .path(&format!("{name}/outputs/lamp/src/lamp/__version__.py"));
        fs::write(path, format!("__version__ = \"1.{n}.0\"\n")).expect("written");
    });
    assert!(all.iter().all(|(code, _)| *code == Some(0)), "{all:#?}");
    let mut page = Command::new(tool("python"));
    page.args([
        "-c",
        "import sys, urllib.request as u; print(u.urlopen(sys.argv[1] + 'lamp/').read().decode())",
    ]);
    let page = run_command(page.arg(&store.simple)).ok().stdout();
    assert_eq!(page.matches("<a href").count(), 9, "{page}");
    assert!(store.front.port > 0);
}

#[test]
fn an_s3_bucket_is_a_repo() {
    let store = Store::s3();
    goes_the_whole_way(&store);
    is_copied_to_and_from(&store);
    takes_whole_releases(&store);
    is_raced_for(&store);
}

#[test]
fn a_bucket_of_ceph_is_a_repo() {
    let store = Store::ceph();
    goes_the_whole_way(&store);
    is_raced_for(&store);
}

#[test]
fn a_container_of_azure_is_a_repo() {
    let store = Store::azure();
    goes_the_whole_way(&store);
    is_raced_for(&store);
}

#[test]
fn a_bucket_of_google_is_a_repo() {
    let store = Store::gcs();
    goes_the_whole_way(&store);
    is_raced_for(&store);
}

#[test]
fn a_bucket_of_aliyun_is_a_repo() {
    let store = Store::oss();
    goes_the_whole_way(&store);
    is_raced_for(&store);
}

#[test]
fn google_drive_which_takes_one_name_twice_is_not_published_to() {
    let store = Store::gdrive();
    store.studio.run(&["init", "ws"]).ok();
    let endpoint = store.endpoint.as_deref().expect("an endpoint");
    let add = ["repo", "add", "far", &store.url, "--endpoint", endpoint, "--json"];
    store.run("ws", &add).fails(3, "repo::no_exclusive_create");
}

#[test]
fn a_webdav_folder_is_a_repo() {
    let store = Store::webdav();
    goes_the_whole_way(&store);
    is_copied_to_and_from(&store);
    takes_whole_releases(&store);
    is_raced_for(&store);
    let error = store.studio.run(&["-w", "ws", "publish", "Table", "--json"]);
    let error = error.fails(6, "repo::store");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("rejected the credentials"),
        "{error:#}"
    );
    let ftp = store
        .studio
        .run(&["-w", "ws", "repo", "add", "x", "ftp://host/repo", "--json"]);
    ftp.fails(3, "index::bad_url");
}

#[test]
fn a_folder_behind_sftp_is_a_repo() {
    let (store, _server) = Store::sftp();
    goes_the_whole_way(&store);
    is_raced_for(&store);
    let left = fs::read_dir(store.studio.path("far/team/repo/staged")).expect("listed");
    assert_eq!(left.count(), 0, "nothing is left of what was on its way");
    let marker = fs::read_to_string(store.studio.path("far/team/repo/repo.json")).expect("a marker");
    assert!(marker.contains("\"create\""), "{marker}");
}

#[test]
fn a_server_behind_ssh_is_trusted_and_trusts_only_by_its_keys() {
    let (store, server) = Store::sftp();
    store.workspace("ws").json();
    let home = |name: &str| store.studio.path(&format!("home/.ssh/{name}"));
    let ask = |variables: &[(&str, &Path)]| {
        let mut command = store.command("ws", &["search", "--json"]);
        run_command(command.envs(variables.iter().copied()))
    };
    ask(&[]).ok();

    // The host's key: not known, another, revoked. Nothing is learnt.
    let known = server.known();
    fs::write(home("known_hosts"), "").expect("written");
    let unknown = ask(&[]).fails(3, "repo::unknown_host_key");
    assert!(
        unknown["help"].to_string().contains("ssh-keyscan -p"),
        "{unknown:#}"
    );
    assert!(unknown["message"].to_string().contains("SHA256:"), "{unknown:#}");
    assert_eq!(fs::read_to_string(home("known_hosts")).expect("read"), "");
    make_key(&home("other"), "ed25519");
    let other = fs::read_to_string(home("other.pub")).expect("a key");
    fs::write(
        home("known_hosts"),
        format!("[127.0.0.1]:{} {other}", server.port),
    )
    .expect("written");
    ask(&[]).fails(7, "repo::changed_host_key");
    fs::write(
        home("known_hosts"),
        format!("{known}@revoked * {}", &known[known.find(' ').expect("a key")..]),
    )
    .expect("written");
    ask(&[]).fails(7, "repo::changed_host_key");
    fs::write(store.studio.path("hosts"), &known).expect("written");
    ask(&[("BACKLOT_KNOWN_HOSTS", &store.studio.path("hosts"))]).ok();
    fs::write(home("known_hosts"), &known).expect("written");

    // Ours: another, one that is named, one of the agent's.
    fs::remove_file(home("id_ed25519")).expect("removed");
    let none = ask(&[]).fails(3, "repo::sign_in");
    assert!(
        none["message"].to_string().contains("no key and no password"),
        "{none:#}"
    );
    fs::copy(home("other"), home("id_ed25519")).expect("copied");
    let wrong = ask(&[("BACKLOT_REPO_FAR_PASSWORD", Path::new("hunter2"))]);
    let wrong = wrong.fails(3, "repo::sign_in");
    assert!(wrong["message"].to_string().contains("id_ed25519"), "{wrong:#}");
    assert!(!wrong.to_string().contains("hunter2"), "{wrong:#}");
    ask(&[("BACKLOT_REPO_FAR_KEY", &server.user_key())]).ok();
    make_key(&home("rsa"), "rsa");
    ask(&[("BACKLOT_REPO_FAR_KEY", &home("rsa"))]).fails(3, "repo::sign_in");
    server.admit(&home("rsa"));
    ask(&[("BACKLOT_REPO_FAR_KEY", &home("rsa"))]).ok();
    let socket = store.studio.path("agent");
    let mut agent = Command::new(find("ssh-agent"));
    let _agent = Daemon::start(agent.arg("-D").arg("-a").arg(&socket));
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    run_command(
        Command::new(find("ssh-add"))
            .arg("-q")
            .arg(home("rsa"))
            .env("SSH_AUTH_SOCK", &socket),
    )
    .ok();
    ask(&[("SSH_AUTH_SOCK", &socket)]).ok();
}

#[test]
fn a_server_behind_ssh_that_makes_no_links_is_read_and_not_published_to() {
    let (store, _server) = Store::sftp();
    store.workspace("ws").json();
    store.run("ws", &["new", "Table"]).ok();
    store.run("ws", &["publish", "Table"]).ok();
    let weak = Sshd::start(&store.studio.path("weak"), "-P hardlink");
    let folder = store.studio.path("far/team/repo");
    fs::write(store.studio.path("hosts"), weak.known()).expect("written");
    let settings = fs::read_to_string(store.studio.path("ws/backlot.toml")).expect("read");
    store.studio.run(&["init", "other"]).ok();
    let settings = settings.replace(&store.url, &weak.url(&folder));
    fs::write(store.studio.path("other/backlot.toml"), settings).expect("written");
    let ask = |arguments: &[&str]| {
        let mut command = store.command("other", arguments);
        command
            .env("BACKLOT_KNOWN_HOSTS", store.studio.path("hosts"))
            .env("BACKLOT_REPO_FAR_KEY", weak.user_key());
        run_command(&mut command)
    };
    ask(&["install", "Table"]).ok();
    ask(&["new", "Lamp"]).ok();
    ask(&["publish", "Lamp", "--json"]).fails(3, "repo::no_exclusive_create");
}
