//! Servers that others made, on loopback, each ending with its test: how they are started, and those of packages (devpi and pypiserver).
//!
//! Deliberately absent: stores of objects (`stores`), an SSH server (`sshd`).

use std::ffi::OsStr;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use fs_err as fs;

use crate::{Run, Studio, run_command, tool};

/// A process that ends with the test.
#[derive(Debug)]
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Daemon {
    /// Start one that is not read and not written to.
    pub fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("it is installed and starts"))
    }

    /// Ask it to end, as a system that is shut down does, and wait until it has.
    pub fn end(mut self) {
        run_command(Command::new("kill").args(["-TERM", &self.0.id().to_string()])).ok();
        self.0.wait().expect("a child");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }

    /// Wait until it listens. It may take its time: one in Python or Node needs half a minute to start on a busy machine.
    pub fn listens(&mut self, port: u16) -> bool {
        for _ in 0..7200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            if self.has_ended() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

/// A server on this machine.
#[derive(Debug)]
pub struct Peer {
    _process: Daemon,
    /// Where it listens.
    pub port: u16,
}

impl Peer {
    /// Start what `make` makes of a port, and wait until it listens.
    pub fn start(make: impl FnOnce(&str) -> Command) -> Self {
        let port = free_port();
        Self::start_at(port, make(&port.to_string()))
    }

    /// Start what listens at a port, and wait until it does.
    pub fn start_at(port: u16, mut command: Command) -> Self {
        let mut process = Daemon::start(&mut command);
        assert!(
            process.listens(port),
            "{command:?} does not listen: it ended with {:?}",
            process.0.try_wait()
        );
        Self {
            _process: process,
            port,
        }
    }

    /// Start a program of Python with a port and one argument.
    pub fn python(code: &str, argument: impl AsRef<OsStr>) -> Self {
        Self::start(|port| {
            let mut python = Command::new(tool("python"));
            python.args(["-c", code, port]).arg(argument);
            python
        })
    }

    /// A folder as plain HTTP.
    pub fn files(folder: &Path) -> Self {
        Self::start(|port| {
            let mut python = Command::new(tool("python"));
            python.args(["-m", "http.server", "--bind", "127.0.0.1", port, "--directory"]);
            python.arg(folder);
            python
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A devpi server with the index `ana/dev`, which never changes a release.
    pub fn devpi(studio: &Studio) -> Self {
        let folder = studio.path("devpi");
        let mut init = Command::new(tool("devpi-init"));
        init.args(["--no-root-pypi", "--root-passwd", "other", "--serverdir"])
            .arg(&folder);
        run_command(&mut init).ok();
        let peer = Self::start(|port| {
            let mut serve = Command::new(tool("devpi-server"));
            serve.args(["--host", "127.0.0.1", "--port", port, "--serverdir"]);
            serve.arg(&folder);
            serve
        });
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
        run_command(python.args(["-c", code, &peer.url()])).ok();
        peer
    }

    /// A server of a flat folder of packages.
    pub fn pypiserver(studio: &Studio) -> Self {
        let folder = studio.path("packages");
        fs::create_dir_all(&folder).expect("made");
        Self::start(|port| {
            let mut serve = Command::new(tool("pypi-server"));
            serve.args([
                "run",
                "-i",
                "127.0.0.1",
                "-p",
                port,
                "-P",
                ".",
                "-a",
                ".",
                "--disable-fallback",
            ]);
            serve.arg(&folder);
            serve
        })
    }
}

/// A port that nothing listens at, and that no other test of this process is given. It is below those that the system gives to connections
/// and to programs that ask for any port: one of them could be taken before the server starts. It is found by connecting: a listener
/// here, however short, would be inherited by a program that another test starts at that moment, which then seems to be the server.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Processes that run at the same time begin far from each other.
    let start = u16::try_from(std::process::id() % 60 * 200).unwrap_or(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % COUNT) % COUNT;
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
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
