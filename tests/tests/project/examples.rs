//! The example programs of the facade, run as by a user.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use backlot_core::{Context, FileLock};
use backlot_tests::examples::example;
use backlot_tests::{Studio, noise, run_command};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn the_embedding_example_publishes_and_installs() {
    let studio = Studio::empty();
    studio.frames("frames", 5, 1000, 1);
    let mut program = Command::new(example("embed"));
    program.arg(studio.path("frames")).arg(studio.path("embedded"));
    assert_eq!(
        run_command(&mut program).ok().stdout(),
        "Turntable 0.1.0: 5 files\n"
    );
}

#[test]
fn four_workspaces_of_a_farm_worker_get_an_asset_at_once_and_fetch_it_once() {
    let studio = Studio::empty();
    studio.frames("frames", 6, 5000, 2);
    let mut artist = Command::new(example("embed"));
    artist.arg(studio.path("frames")).arg(studio.path("studio"));
    run_command(&mut artist).ok();
    let mut worker = Command::new(example("farm_worker"));
    worker
        .arg("studio/review")
        .args(["studio/files", "Turntable", "farm"]);
    let run = run_command(worker.current_dir(studio.root())).ok();
    let fetched = run
        .stdout()
        .strip_prefix("files: [6, 6, 6, 6]; fetched: ")
        .and_then(|rest| rest.trim_end().parse::<u64>().ok())
        .unwrap_or_else(|| panic!("{}", run.stdout()));
    // The files and the manifest of their folder.
    assert_eq!(fetched, 7, "the cache is shared");
    for n in 0..4 {
        let frame = studio.path(&format!(
            "farm/job{n}/inputs/lib/site-packages/turntable/frames/f.0003.exr"
        ));
        assert!(frame.is_file(), "{}", frame.display());
    }
}

/// A program that goes on, line by line.
struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    /// What it prints next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it prints");
        line.trim_end().to_owned()
    }

    /// The next line that begins in one of some ways.
    fn until(&mut self, beginnings: &[&str]) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended before {beginnings:?}");
            if beginnings.iter().any(|beginning| line.starts_with(beginning)) {
                return line;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Hold a workspace, so that what changes it waits.
fn hold(workspace: &Path) -> FileLock {
    FileLock::acquire(&workspace.join(".backlot/lock"), PATIENCE, &Context::default()).expect("free")
}

#[test]
fn a_job_is_watched_stopped_and_started_again() {
    let studio = Studio::empty();
    studio.frames("frames", 20, 5000, 3);
    let mut command = Command::new(example("job"));
    command
        .arg(studio.path("frames"))
        .arg(studio.path("work"))
        .arg("stop");
    let mut job = Program::start(command);
    assert_eq!(job.line(), "ready");
    // Whether or not the first attempt is so quick that it is done before the button is pressed, the second one has an end.
    let first = job.until(&["stopped: ", "done: "]);
    if first.starts_with("stopped: ") {
        assert_eq!(first, "stopped: stopped on request");
    }
    assert_eq!(job.until(&["done: "]), "done: Turntable 0.1.0");
    assert!(job.child.wait().expect("it ends").success());
}

/// Send a frame to the service. The answer is read as it comes.
fn send(address: &str, asset: &str, file: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let body = noise(20_000, 4);
    let head = format!(
        "POST /publish/{asset}/{file} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&body).expect("sent");
    BufReader::new(stream)
}

/// Read an answer until an event of a kind. Returns its data.
fn event(answer: &mut BufReader<TcpStream>, kind: &str) -> Value {
    let (mut line, mut is_it, mut seen) = (String::new(), false, String::new());
    loop {
        line.clear();
        assert!(
            answer.read_line(&mut line).expect("it comes") > 0,
            "no `{kind}`: {seen}"
        );
        seen.push_str(&line);
        if let Some(name) = line.strip_prefix("event: ") {
            is_it = name.trim_end() == kind;
        } else if let Some(data) = line.strip_prefix("data: ").filter(|_| is_it) {
            return serde_json::from_str(data).expect("JSON");
        }
    }
}

#[test]
fn a_service_publishes_uploads_and_stops_when_the_client_goes() {
    let studio = Studio::empty();
    let mut command = Command::new(example("service"));
    command.arg(studio.path("work"));
    let mut service = Program::start(command);
    let address = service.line();
    let address = address.strip_prefix("listening on ").expect("an address");

    let mut answer = send(address, "Turntable", "f.0001.exr");
    let done = event(&mut answer, "done");
    assert_eq!(done["version"], "0.1.1");
    assert_eq!(service.line(), "Turntable 0.1.1");

    // While the workspace is held, a publish waits, and says so.
    let held = hold(&studio.path("work/service"));
    let mut answer = send(address, "Turntable", "f.0002.exr");
    let progress = event(&mut answer, "progress");
    assert!(
        progress["done_items"].as_u64() <= progress["items"].as_u64(),
        "{progress}"
    );
    drop(answer);
    assert_eq!(service.line(), "Turntable: stopped on request");
    drop(held);

    // The service goes on, and the upload that was stopped is published with the next.
    let mut answer = send(address, "Turntable", "f.0003.exr");
    assert_eq!(event(&mut answer, "done")["version"], "0.1.2");
    let mut rest = String::new();
    answer.read_to_string(&mut rest).expect("it ends");
    assert_eq!(service.line(), "Turntable 0.1.2");

    let mut refused = send(address, "Turntable", "..");
    let failed = event(&mut refused, "failed");
    assert!(failed["code"].is_string(), "{failed}");
}
