//! Servers of packages that others made, on loopback: devpi and pypiserver.
//!
//! Deliberately absent: stores of objects, which only one test has.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use fs_err as fs;

use crate::{Run, Studio, run_command, tool};

/// A server that ends with the test.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    /// Where it is.
    pub url: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Peer {
    /// Start a server and wait until it listens.
    pub fn start(command: &mut Command, port: u16) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut peer = Self {
            child: child.expect("the server starts"),
            url: format!("http://127.0.0.1:{port}"),
        };
        assert!(listens(&mut peer.child, port), "{command:?} does not listen");
        peer
    }

    /// A devpi server with the index `ana/dev`, which never changes a release.
    pub fn devpi(studio: &Studio) -> Self {
        let folder = studio.path("devpi");
        let mut init = Command::new(tool("devpi-init"));
        init.args(["--no-root-pypi", "--root-passwd", "other", "--serverdir"])
            .arg(&folder);
        run_command(&mut init).ok();
        let port = free_port();
        let mut serve = Command::new(tool("devpi-server"));
        serve
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--serverdir"])
            .arg(&folder);
        let peer = Self::start(&mut serve, port);
        let code = "import base64, json, sys, urllib.request as u
def call(method, path, data, **headers):
    body = json.dumps(data).encode()
    headers['Content-Type'] = 'application/json'
    return json.load(u.urlopen(u.Request(sys.argv[1] + path, body, headers, method=method)))
call('PUT', '/ana', {'password': 'secret'})
token = call('POST', '/+login', {'user': 'ana', 'password': 'secret'})['result']['password']
auth = base64.b64encode(f'ana:{token}'.encode()).decode()
call('PUT', '/ana/dev', {'type': 'stage', 'bases': [], 'volatile': False}, **{'X-Devpi-Auth': auth})";
        let mut python = Command::new(tool("python"));
        run_command(python.args(["-c", code, &peer.url])).ok();
        peer
    }

    /// A server of a flat folder of packages.
    pub fn pypiserver(studio: &Studio) -> Self {
        let folder = studio.path("packages");
        fs::create_dir_all(&folder).expect("made");
        let port = free_port();
        let mut serve = Command::new(tool("pypi-server"));
        serve.args([
            "run",
            "-i",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-P",
            ".",
            "-a",
            ".",
            "--disable-fallback",
        ]);
        Self::start(serve.arg(&folder), port)
    }
}

/// Wait until a server listens. It may take its time: one in Python or Node needs half a minute to start on a busy machine.
pub fn listens(server: &mut Child, port: u16) -> bool {
    for _ in 0..3600 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        if server.try_wait().expect("a child").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// A port that nothing listens at, and that no other test of this process is given. Not one of those that the system gives to
/// connections and to whoever asks for any port: between the asking and the server's start, that could be the same one.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Processes that run at the same time begin far from each other.
    let start = u16::try_from(std::process::id() % 60 * 200).unwrap_or(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("all ports are taken");
}

/// The command in a workspace, as somebody whom devpi knows.
pub fn known(studio: &Studio, arguments: &[&str]) -> Run {
    let mut command = studio.command(arguments);
    for repo in ["STUDIO", "BASE", "GONE", "FAR", "MIXED", "OUTSIDE"] {
        command
            .env(format!("BACKLOT_REPO_{repo}_USERNAME"), "ana")
            .env(format!("BACKLOT_REPO_{repo}_PASSWORD"), "secret");
    }
    run_command(&mut command)
}
