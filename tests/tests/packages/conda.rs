//! Conda packages and interpreters from local channels: installed completely or not at all, verified, locked, with explained conflicts.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backlot_tests::channel::{Channel, PLACEHOLDER, Package, platform, python};
use backlot_tests::{Random, Run, Studio, run_command};
use fs_err as fs;
use serde_json::json;

/// A run on a machine without any Python: nothing but what `backlot` itself brings is on the path.
fn bare(studio: &Studio, arguments: &[&str]) -> Run {
    let mut command = studio.command(&[&["-w", "ws"], arguments].concat());
    run_command(command.env("PATH", studio.path("nothing")))
}

/// Make a workspace that has no Python.
fn without_python(studio: &Studio, name: &str) {
    let mut command = studio.command(&["init", name, "--python", "none"]);
    run_command(command.env("PATH", "")).ok();
}

/// What the Python of `ws/inputs` prints.
fn inputs_python(studio: &Studio, code: &str) -> String {
    let mut command = Command::new(studio.path("ws/inputs/bin/python"));
    command.args(["-c", code]).env_clear();
    run_command(&mut command).ok().stdout().trim().to_owned()
}

/// A studio with a channel that has the interpreter of this machine.
fn studio_with_python() -> (Studio, Channel, String) {
    let studio = Studio::new();
    let mut channel = Channel::new(&studio.path("channel"));
    let (package, version) = python();
    channel.add(&package);
    studio.ws(&["channel", "add", "channel"]).ok();
    (studio, channel, version)
}

fn short(version: &str) -> String {
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

#[test]
fn a_machine_without_python_installs_one_and_its_plain_tree_becomes_an_environment() {
    let (studio, _channel, version) = studio_with_python();
    let wanted = short(&version);
    studio.asset("Table", 2, 1000);
    studio.ws(&["publish", "Table"]).ok();
    fs::remove_dir_all(studio.path("ws")).expect("removed");
    run_command(
        studio
            .command(&["init", "ws", "--python", &wanted])
            .env("PATH", ""),
    )
    .ok();
    bare(&studio, &["repo", "add", "review", "repos/review"]).ok();
    bare(&studio, &["install", "Table"]).ok();
    assert!(
        studio.path("ws/inputs/lib/site-packages/table").is_dir(),
        "a plain tree"
    );

    let code = "import table, sys; print(table.__name__, sys.base_prefix)";
    bare(&studio, &["--json", "run", "python", "-c", code]).fails(4, "run::cannot_start");
    let error = bare(&studio, &["python", "install", &wanted, "--json"]).fails(3, "conda::no_channel");
    assert!(
        error["help"]
            .as_str()
            .expect("help")
            .contains("backlot channel add")
    );
    bare(&studio, &["channel", "add", "channel"]).ok();
    let planned = bare(&studio, &["python", "install", &wanted, "--dry-run", "--json"])
        .ok()
        .json();
    assert!(!studio.path("home/.local/share/backlot/pythons").exists());
    let report = bare(&studio, &["python", "install", &wanted, "--json"])
        .ok()
        .json();
    assert_eq!(report["python"], planned["python"]);
    assert_eq!(report["python"]["version"], version.as_str());
    let executable = report["python"]["executable"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert!(
        executable.contains(&format!("pythons/{version}-")),
        "{executable}"
    );
    let again = bare(&studio, &["python", "install", &wanted, "--json"])
        .ok()
        .json();
    assert_eq!(again["unchanged"], true);

    bare(&studio, &["install"]).ok();
    let found = inputs_python(
        &studio,
        "import json, sys, table, importlib.metadata as m; print(sys.base_prefix, m.version('table'))",
    );
    let folder = report["python"]["folder"].as_str().expect("a folder");
    assert_eq!(found, format!("{folder} 0.1.0"));
    let said = bare(&studio, &["run", "python", "-c", code]).ok().stdout();
    assert_eq!(said.trim(), format!("table {folder}"));
    let again = bare(&studio, &["install", "--json"]).ok().json();
    assert_eq!(again["changes"], json!([]), "nothing is left to do");
    let listed = bare(&studio, &["python", "list", "--json"]).ok().json();
    assert_eq!(listed["pythons"][0]["executable"], executable.as_str());

    // The one on the path is preferred; without ours, everything goes on with a plain tree.
    let error = bare(&studio, &["python", "remove", "2.7", "--json"]).fails(4, "python::not_installed");
    assert!(error["message"].as_str().expect("text").contains(&version));
    bare(&studio, &["python", "install", "three", "--json"]).fails(2, "python::bad_version");
    bare(&studio, &["python", "remove", &wanted]).ok();
    assert!(!Path::new(&executable).exists());
    bare(&studio, &["install"]).ok();
    assert!(studio.path("ws/inputs/lib/site-packages/table").is_dir());
}

/// What a compiled file of `studio-core` holds.
fn compiled() -> String {
    format!("\0{PLACEHOLDER}/lib\0tail")
}

/// A studio whose channel also has the Python library `studio-lib`, which needs `studio-core`.
fn studio_with_library() -> (Studio, Channel, String) {
    let (studio, mut channel, version) = studio_with_python();
    channel.add(&Package::library("studio-lib", "1.0").needs("studio-core"));
    let text = format!("prefix={PLACEHOLDER}\n");
    let core = Package::new("studio-core", "2.1")
        .file("etc/core.conf", text.as_bytes())
        .file("lib/core.bin", compiled().as_bytes())
        .link("lib/core.so", "../lib/core.bin")
        .old();
    channel.add(&core);
    (studio, channel, version)
}

#[test]
fn external_packages_are_seen_by_the_inputs_and_made_for_their_place() {
    let (studio, _channel, version) = studio_with_library();
    let planned = studio
        .ws(&["external", "add", "studio-lib >=1", "--dry-run", "--json"])
        .ok()
        .json();
    assert!(!studio.path("ws/external_packages/conda").exists());
    let report = studio
        .ws(&["external", "add", "studio-lib >=1", "--json"])
        .ok()
        .json();
    assert_eq!(report["changes"], planned["changes"]);
    assert_eq!(report["changes"].as_array().expect("changes").len(), 3);

    let prefix = studio.path("ws/external_packages/conda");
    let code = "import studio_lib, sys; print(studio_lib.version, sys.base_prefix)";
    assert_eq!(inputs_python(&studio, code), format!("1.0 {}", prefix.display()));
    let conf = fs::read_to_string(prefix.join("etc/core.conf")).expect("there");
    assert_eq!(conf, format!("prefix={}\n", prefix.display()));
    let bytes = fs::read(prefix.join("lib/core.bin")).expect("there");
    assert_eq!(bytes.len(), compiled().len(), "what is compiled keeps its length");
    assert!(bytes.starts_with(format!("\0{}/lib\0", prefix.display()).as_bytes()));
    let link = fs::read_link(prefix.join("lib/core.so")).expect("a link");
    assert_eq!(link, Path::new("../lib/core.bin"));

    studio
        .ws(&["external", "remove", "numpy", "--json"])
        .fails(4, "external::unknown");
    studio.ws(&["external", "remove", "studio-lib"]).ok();
    assert!(!prefix.exists());
    let base = inputs_python(&studio, "import sys; print(sys.base_prefix)");
    assert_ne!(base, prefix.display().to_string());
    assert!(version.starts_with(&inputs_python(
        &studio,
        "import sys; print('%d.%d' % sys.version_info[:2])"
    )));
}

#[test]
fn the_lock_reproduces_external_packages_elsewhere() {
    let (studio, mut channel, _version) = studio_with_library();
    studio.ws(&["external", "add", "studio-lib >=1"]).ok();
    let lock = fs::read_to_string(studio.path("ws/backlot.lock")).expect("a lock");
    assert!(
        lock.contains("[[conda]]") && lock.contains("../channel/noarch/studio-lib-1.0-h0_0.conda"),
        "{lock}"
    );
    assert!(
        !lock.contains(&studio.root().display().to_string()),
        "no machine in it: {lock}"
    );
    // Other changes of the lock leave it alone.
    studio.ws(&["new", "Lamp"]).ok();
    studio.ws(&["lock"]).ok();
    let after = fs::read_to_string(studio.path("ws/backlot.lock")).expect("a lock");
    assert_eq!(
        lock.split_once("[[conda]]").map(|l| l.1),
        after.split_once("[[conda]]").map(|l| l.1)
    );

    // Elsewhere, with newer packages in the channel: what the lock says.
    channel.add(&Package::library("studio-lib", "1.5").needs("studio-core"));
    studio.workspace("other");
    fs::copy(studio.path("ws/backlot.toml"), studio.path("other/backlot.toml")).expect("copied");
    fs::write(studio.path("other/backlot.lock"), &lock).expect("written");
    let toml = fs::read_to_string(studio.path("other/backlot.toml")).expect("there");
    assert!(
        toml.contains("[external]") && toml.contains("studio-lib >=1"),
        "{toml}"
    );
    studio.run(&["-w", "other", "install", "--locked"]).ok();
    let listed = studio
        .run(&["-w", "other", "external", "list", "--json"])
        .ok()
        .json();
    assert_eq!(listed["in_step"], true);
    assert_eq!(listed["packages"][2]["version"], "1.0", "{listed:#}");
    studio.run(&["-w", "other", "install"]).ok();
    let listed = studio
        .run(&["-w", "other", "external", "list", "--json"])
        .ok()
        .json();
    assert_eq!(
        listed["packages"][2]["version"], "1.0",
        "an install keeps the choice"
    );

    let text = toml.replace("studio-lib >=1", "studio-lib >=1.2");
    fs::write(studio.path("other/backlot.toml"), text).expect("written");
    studio
        .run(&["-w", "other", "install", "--locked", "--json"])
        .fails(5, "lock::stale");
    studio.run(&["-w", "other", "install"]).ok();
    let listed = studio
        .run(&["-w", "other", "external", "list", "--json"])
        .ok()
        .json();
    assert_eq!(listed["packages"][2]["version"], "1.5");
}

#[test]
fn packages_that_are_not_what_was_promised_are_refused_by_name_and_leave_nothing() {
    let studio = Studio::new();
    without_python(&studio, "ws2");
    let mut channel = Channel::new(&studio.path("channel"));
    studio.run(&["-w", "ws2", "channel", "add", "channel"]).ok();
    let add = |spec: &str| studio.run(&["-w", "ws2", "external", "add", spec, "--json"]);
    for name in ["forged", "renamed", "bare"] {
        channel.add(&Package::new(name, "1.0").file("etc/x", b"x"));
    }
    channel.lie("forged-1.0-h0_0.conda", "sha256", &json!("0".repeat(64)));
    let error = add("forged").fails(7, "conda::wrong_digest");
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("forged 1.0") && message.contains("forged-1.0-h0_0.conda"),
        "{message}"
    );

    channel.lie("renamed-1.0-h0_0.conda", "version", &json!("2.0"));
    let error = add("renamed").fails(7, "conda::bad_package");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("contains renamed 1.0"),
        "{error:#}"
    );

    channel.lie("bare-1.0-h0_0.conda", "sha256", &json!(null));
    add("bare").fails(7, "conda::no_digest");

    let mut outside = Package::new("outside", "1.0").file("etc/x", b"x");
    outside.hostile = Some("../../outside.txt".to_owned());
    channel.add(&outside);
    let error = add("outside").fails(7, "conda::bad_package");
    assert!(
        error["message"].as_str().expect("text").contains("outside.txt"),
        "{error:#}"
    );

    channel.add(&Package::new("pointing", "1.0").link("etc/x", "../../outside.txt"));
    channel.add(&Package::new("winding", "1.0").link("etc/x", "y/../../../outside.txt"));
    channel.add(&Package::new("folder", "1.0").link("etc/deep/s", "../.."));
    let below = Package::new("below", "1.0").link("etc/deep/s/t", "../../..");
    channel.add(&below.needs("folder"));
    add("pointing").fails(7, "conda::bad_package");
    add("winding").fails(7, "conda::bad_package");
    let error = add("below").fails(7, "conda::bad_package");
    assert!(
        error["message"].as_str().expect("text").contains("etc/deep/s/t"),
        "{error:#}"
    );

    for (spec, exit, code) in [
        ("a=b=c=d", 2, "conda::bad_spec"),
        ("file:///etc/x.conda", 2, "conda::bad_spec"),
        ("other::thing", 2, "conda::bad_spec"),
    ] {
        add(spec).fails(exit, code);
    }
    for place in [
        "https://me:hunter2@host/c",
        "https://host/t/hunter2/c",
        "ftp://host/c",
    ] {
        let run = studio.run(&["-w", "ws2", "channel", "add", place, "--json"]);
        assert!(!run.stdout().contains("hunter2"), "{}", run.stdout());
        run.fails(2, "conda::bad_channel");
    }
    assert_eq!(studio.snapshot("ws2/external_packages").len(), 0);
    assert!(
        !studio.path("ws2/backlot.lock").exists() || {
            let lock = fs::read_to_string(studio.path("ws2/backlot.lock")).expect("there");
            !lock.contains("conda")
        }
    );

    // A folder that is somebody else's is left alone.
    studio.write("ws2/external_packages/conda/mine.txt", b"mine");
    channel.add(&Package::new("good", "1.0").file("etc/good", b"x"));
    add("good").fails(5, "conda::foreign_prefix");
    assert!(studio.path("ws2/external_packages/conda/mine.txt").is_file());
}

#[test]
fn what_cannot_be_is_explained() {
    let studio = Studio::empty();
    without_python(&studio, "ws");
    let mut channel = Channel::new(&studio.path("channel"));
    channel.add(&Package::new("renderer", "4.0").needs("imath >=3"));
    channel.add(&Package::new("plugin", "1.0").needs("imath <3"));
    channel.add(&Package::new("imath", "2.5"));
    channel.add(&Package::new("imath", "3.1"));
    studio.ws(&["channel", "add", "channel"]).ok();
    let error = studio
        .ws(&["external", "add", "renderer", "plugin", "--json"])
        .fails(5, "conda::unsolvable");
    let message = error["message"].as_str().expect("text");
    for part in ["renderer", "plugin", "imath"] {
        assert!(message.contains(part), "{message}");
    }
    let error = studio
        .ws(&["external", "add", "nowhere", "--json"])
        .fails(5, "conda::unsolvable");
    assert!(
        error["help"].as_str().expect("help").contains("../channel"),
        "{error:#}"
    );
    studio
        .ws(&["channel", "add", "channel", "--json"])
        .fails(5, "config::channel");
    studio
        .ws(&["channel", "remove", "elsewhere", "--json"])
        .fails(4, "config::channel");
    studio.ws(&["channel", "remove", "../channel"]).ok();
    studio.ws(&["channel", "add", "gone"]).ok();
    studio
        .ws(&["external", "add", "imath", "--json"])
        .fails(6, "conda::channel_unreadable");
}

#[test]
fn an_install_killed_anywhere_leaves_no_prefix_or_a_whole_one_and_a_rerun_completes() {
    let studio = Studio::empty();
    without_python(&studio, "ws");
    let mut channel = Channel::new(&studio.path("channel"));
    for number in 0..20 {
        let mut package = Package::new(&format!("part{number}"), "1.0");
        for file in 0..40 {
            let bytes = backlot_tests::noise(4000, number * 100 + file + 1);
            package = package.file(&format!("share/part{number}/{file}"), &bytes);
        }
        channel.add(&package);
    }
    let all = (0..20).fold(Package::new("whole", "1.0"), |p, n| p.needs(&format!("part{n}")));
    channel.add(&all);
    studio.ws(&["channel", "add", "channel"]).ok();
    let prefix = studio.path("ws/external_packages/conda");
    let start = std::time::Instant::now();
    studio.ws(&["external", "add", "whole"]).ok();
    let whole = start.elapsed();
    let right = studio.snapshot("ws/external_packages/conda/share");
    assert_eq!(right.len(), 800);
    let mut random = Random(77);
    for round in 0..12 {
        studio.ws(&["external", "remove", "whole"]).ok();
        if round % 2 == 0 {
            fs::remove_dir_all(studio.path("cache/conda")).expect("removed");
        }
        let mut child = studio.start(&["-w", "ws", "external", "add", "whole"]);
        let share = u32::try_from(random.next() % 1100).expect("small");
        std::thread::sleep(
            Duration::from_micros(1) * share * u32::try_from(whole.as_millis()).expect("short"),
        );
        child.kill().ok();
        child.wait().expect("it ends");
        if prefix.exists() {
            assert_eq!(
                studio.snapshot("ws/external_packages/conda/share"),
                right,
                "round {round}"
            );
        }
        studio.ws(&["external", "add", "whole"]).ok();
        assert_eq!(
            studio.snapshot("ws/external_packages/conda/share"),
            right,
            "round {round}"
        );
        let left: Vec<_> = fs::read_dir(studio.path("ws/external_packages"))
            .expect("there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, ["conda"], "round {round}");
    }
}

/// Serves a folder until the test ends; how many requests there were.
fn serve(root: &Path) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (root, count) = (root.to_path_buf(), std::sync::Arc::default());
    let counter: std::sync::Arc<std::sync::atomic::AtomicUsize> = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (root, counter) = (root.clone(), counter.clone());
            std::thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let mut words = request.split(' ');
                let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let file = fs::read(root.join(path.trim_start_matches('/')));
                let (status, body) = match file {
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).ok();
                if method != "HEAD" {
                    stream.write_all(&body).ok();
                }
            });
        }
    });
    (format!("http://{address}"), count)
}

#[test]
fn a_channel_behind_http_is_needed_once_then_the_cache_serves_offline() {
    let studio = Studio::empty();
    without_python(&studio, "ws");
    let mut channel = Channel::new(&studio.path("channel"));
    channel.add(&Package::new("imath", "3.1").file("lib/imath", b"imath"));
    channel.add(&Package::new("other", "1.0").file("lib/other", b"other"));
    let (url, count) = serve(&studio.path("channel"));
    studio.ws(&["channel", "add", &url]).ok();
    studio.ws(&["external", "add", "imath"]).ok();
    let lock = fs::read_to_string(studio.path("ws/backlot.lock")).expect("a lock");
    assert!(
        lock.contains(&format!("{url}/{}/imath-3.1-h0_0.conda", platform())),
        "{lock}"
    );
    let asked = count.load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked > 0);

    fs::remove_dir_all(studio.path("ws/external_packages/conda")).expect("removed");
    studio.ws(&["--offline", "install", "--locked"]).ok();
    assert!(studio.path("ws/external_packages/conda/lib/imath").is_file());
    let error = studio
        .ws(&["--offline", "external", "add", "other", "--json"])
        .fails(6, "conda::offline");
    assert!(
        error["message"].as_str().expect("text").contains("other 1.0"),
        "{error:#}"
    );
    assert_eq!(
        count.load(std::sync::atomic::Ordering::Relaxed),
        asked,
        "nobody was asked"
    );
    fs::remove_dir_all(studio.path("cache/conda")).expect("removed");
    studio
        .ws(&["--offline", "external", "add", "other", "--json"])
        .fails(6, "conda::offline");
}
