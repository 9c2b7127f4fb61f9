//! The first signal ends the command, even while it waits.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backlot_tests::Studio;
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

/// How long it may take: the command gives running work three seconds, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(studio: &Studio, arguments: &[&str]) -> Child {
    let mut command = studio.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// Send a signal once and wait; the exit code, or 128 and the signal that ended it.
fn ends(mut child: Child, signal: Signal, what: &str) -> (i32, String) {
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().expect("asked").is_none(), "{what} does not wait");
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).expect("sent");
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("asked") {
            let mut text = String::new();
            for stream in [
                child.stdout.take().map(|mut s| s.read_to_string(&mut text)),
                child.stderr.take().map(|mut s| s.read_to_string(&mut text)),
            ] {
                stream.expect("piped").expect("text");
            }
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            return (status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0)), text);
        }
        if began.elapsed() > PATIENCE {
            child.kill().ok();
            child.wait().ok();
            panic!("{what} goes on after {signal:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pipe(path: &std::path::Path) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
}

/// A server that takes connections and says nothing.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
        }
    });
    format!("http://{address}")
}

#[test]
fn waiting_for_a_server_ends_at_the_first_signal() {
    let (index, store) = (
        format!("{}/simple/", silent()),
        format!("webdav+{}/repo", silent()),
    );
    for (signal, url) in [
        (Signal::TERM, &index),
        (Signal::INT, &index),
        (Signal::TERM, &store),
    ] {
        let studio = Studio::new();
        let config = studio.path("ws/backlot.toml");
        let text = fs::read_to_string(&config).expect("read");
        fs::write(&config, format!("{text}\n[repos.web]\nurl = \"{url}\"\n")).expect("written");
        let (code, text) = ends(
            start(&studio, &["-w", "ws", "install", "nothing", "--json"]),
            signal,
            url,
        );
        assert_eq!(code, 130, "{text}");
        assert!(text.contains("core::cancelled"), "{text}");
    }
}

#[test]
fn waiting_for_the_lock_of_the_workspace_ends_at_the_first_signal() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let found = fs::read_dir(studio.path("ws/.backlot")).expect("a folder");
    let names: Vec<_> = found.map(|entry| entry.expect("an entry").path()).collect();
    let locks = names
        .iter()
        .filter(|path| path.to_string_lossy().contains("lock"));
    let held: Vec<fs::File> = locks.map(|path| fs::File::open(path).expect("opened")).collect();
    assert!(!held.is_empty(), "{names:?}");
    for file in &held {
        file.file().lock().expect("locked");
    }
    let (code, text) = ends(
        start(&studio, &["-w", "ws", "bump", "Table", "minor", "--json"]),
        Signal::TERM,
        "a lock",
    );
    assert_eq!(code, 130, "{text}");
}

#[test]
fn waiting_for_an_interpreter_that_does_not_answer_ends_at_the_first_signal() {
    let studio = Studio::empty();
    studio.write("bin/python3", b"#!/bin/sh\nexec sleep 1000\n");
    let python = studio.path("bin/python3");
    fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let mut command = studio.command(&["init", "ws", "--json"]);
    let path = format!("{}:/usr/bin:/bin", studio.path("bin").display());
    command
        .env("PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (code, text) = ends(
        command.spawn().expect("it starts"),
        Signal::TERM,
        "an interpreter",
    );
    assert_eq!(code, 130, "{text}");
    assert!(!studio.path("ws/backlot.toml").exists());
}

#[test]
fn a_command_that_is_run_gets_the_signal_itself() {
    let studio = Studio::new();
    studio.ws(&["install"]).ok();
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let (code, _) = ends(
            start(&studio, &["-w", "ws", "run", "sleep", "1000"]),
            signal,
            "a program",
        );
        assert_eq!(code, 128 + number);
    }
    // One that goes on does so, and its own exit code counts.
    let script = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
    let (code, _) = ends(
        start(&studio, &["-w", "ws", "run", "sh", "-c", script]),
        Signal::TERM,
        "a script",
    );
    assert_eq!(code, 7);
}

/// Run a command in `ws`; how it ended.
fn comes_to_an_end(studio: &Studio, arguments: &[&str]) -> std::process::ExitStatus {
    let mut child = start(studio, &[&["-w", "ws"], arguments].concat());
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("asked") {
            return status;
        }
        if began.elapsed() > Duration::from_secs(30) {
            child.kill().ok();
            child.wait().ok();
            panic!("{arguments:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_pipe_in_the_place_of_a_lock_or_bundle_is_refused_and_waited_for_by_nobody() {
    let studio = Studio::new();
    let (lock, bundle) = (studio.path("pylock.x.toml"), studio.path("x.tar.zst"));
    pipe(&lock);
    pipe(&bundle);
    for arguments in [
        &["install", "--from-lock", &*lock.to_string_lossy()][..],
        &["unbundle", &*bundle.to_string_lossy()],
    ] {
        assert!(!comes_to_an_end(&studio, arguments).success(), "{arguments:?}");
    }
    let held = studio.path("ws/.backlot/lock");
    fs::remove_file(&held).ok();
    pipe(&held);
    assert!(!comes_to_an_end(&studio, &["new", "Table"]).success());
    assert!(!studio.path("ws/outputs/table").exists());
    studio.leaves_harm();
}

#[test]
fn pipes_in_an_asset_hang_nothing() {
    let studio = Studio::new();
    studio.asset("Table", 2, 1000);
    let module = "ws/outputs/table/src/table";
    pipe(&studio.path(&format!("{module}/pipe.py")));
    pipe(&studio.path(&format!("{module}/frames/f.9999.exr")));
    pipe(&studio.path(&format!("{module}/other.dvc")));
    studio.ws(&["new", "Chair"]).ok();
    let project = studio.path("ws/outputs/chair/pyproject.toml");
    fs::remove_file(&project).expect("removed");
    pipe(&project);
    studio.ws(&["new", "Lamp"]).ok();
    let asset = studio.path("ws/outputs/lamp/src/lamp/asset.toml");
    fs::remove_file(&asset).ok();
    pipe(&asset);
    studio.ws(&["new", "Rug"]).ok();
    let readme = studio.path("ws/outputs/rug/README.md");
    fs::remove_file(&readme).ok();
    pipe(&readme);
    let source = studio.path("renders/pipe.exr");
    pipe(&source);
    for arguments in [
        &["status"][..],
        &["build", "Table"],
        &["build", "Lamp"],
        &["build", "Rug"],
        &["publish", "Table"],
        &["add", "ws/outputs/table/src/table/frames"],
        &["add", "renders", "--asset", "Table"],
        &["push"],
        &["verify", "--cache"],
        &["bump", "Chair", "minor"],
        &["bump", "Rug", "minor"],
        &["install"],
    ] {
        comes_to_an_end(&studio, arguments);
    }
    // It still says what is wrong.
    let error = studio
        .ws(&["add", "renders", "--asset", "Table", "--json"])
        .fails(2, "dvc::untrackable");
    assert!(
        error["message"].as_str().is_some_and(|m| m.contains("pipe")),
        "{error}"
    );
    studio.leaves_harm();
}
