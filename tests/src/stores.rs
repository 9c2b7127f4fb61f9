//! Stores of objects that tests talk to: moto for S3, `wsgidav` for `WebDAV`, OpenSSH for SFTP, each as a repo and as a remote.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fs_err as fs;

use crate::sshd::Sshd;
use crate::{Run, Studio, run_command, tool};

/// `WebDAV` over a folder, with a password.
const WEBDAV: &str = "import sys
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp
app = WsgiDAVApp({'provider_mapping': {'/': sys.argv[2]}, 'verbose': 0, 'logging': {'enable': False},
    'simple_dc': {'user_mapping': {'*': {'ana': {'password': 'secret'}}}}})
wsgi.Server(('127.0.0.1', int(sys.argv[1])), app, numthreads=20).start()";

/// What stands before a bucket that is shown to the world: a folder is its `index.html`; all else is the store's own answer.
const FRONT: &str = "import http.server, sys, urllib.request
class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path + ('index.html' if self.path.endswith('/') else '')
        try:
            # Named, as a front before a private bucket is; who it is, moto does not ask.
            signed = {'Authorization': 'AWS4-HMAC-SHA256 Credential=front/20260101/us-east-1/s3/aws4_request'}
            with urllib.request.urlopen(urllib.request.Request(sys.argv[2] + path, headers=signed)) as answer:
                body, kind = answer.read(), answer.headers['Content-Type']
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
            return
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Front).serve_forever()";

/// A server that ends with the test.
#[derive(Debug)]
pub struct Peer {
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Peer {
    /// Start what `make` makes of a port, and wait until it listens.
    pub fn start(make: impl FnOnce(&str) -> Command) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut command = make(&port.to_string());
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.expect("the server starts");
        let peer = Self { child, port };
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return peer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{command:?} does not listen");
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
}

/// A store, and how to name it as a repo.
#[derive(Debug)]
pub struct Store {
    /// The machine it is used from.
    pub studio: Studio,
    /// As a repo.
    pub url: String,
    /// The server of a bucket.
    pub endpoint: Option<String>,
    /// Who one is there.
    pub user: Option<&'static str>,
    /// Ends with the test.
    _server: Option<Peer>,
    /// Shows it to the world as plain HTTP.
    pub front: Peer,
    /// Where its `simple/` is there.
    pub simple: String,
}

impl Store {
    /// A bucket of moto.
    pub fn s3() -> Self {
        let studio = Studio::empty();
        let server = Peer::start(|port| {
            let mut moto = Command::new(tool("moto_server"));
            moto.args(["-H", "127.0.0.1", "-p", port]);
            moto
        });
        let make =
            "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1] + '/assets', method='PUT'))";
        run_command(Command::new(tool("python")).args(["-c", make, &server.url()])).ok();
        let front = Peer::python(FRONT, server.url());
        Self {
            url: "s3://assets/team/repo".to_owned(),
            endpoint: Some(server.url()),
            user: Some("a-key-id"),
            simple: format!("{}/assets/team/repo/simple/", front.url()),
            studio,
            _server: Some(server),
            front,
        }
    }

    /// A folder behind `wsgidav`.
    pub fn webdav() -> Self {
        let studio = Studio::empty();
        let folder = studio.path("dav");
        fs::create_dir(&folder).expect("made");
        let server = Peer::python(WEBDAV, &folder);
        let front = Peer::files(&folder);
        Self {
            url: format!("webdav+{}/team/repo", server.url()),
            endpoint: None,
            user: Some("ana"),
            simple: format!("{}/team/repo/simple/", front.url()),
            studio,
            _server: Some(server),
            front,
        }
    }

    /// A folder behind SFTP, with the host key and the user's key where `ssh` has them.
    pub fn sftp() -> (Self, Sshd) {
        let studio = Studio::empty();
        let server = Sshd::start(&studio.path("sshd"), "");
        let ssh = studio.path("home/.ssh");
        fs::create_dir_all(&ssh).expect("made");
        fs::write(ssh.join("known_hosts"), server.known()).expect("written");
        fs::copy(server.user_key(), ssh.join("id_ed25519")).expect("copied");
        let folder = studio.path("far");
        fs::create_dir(&folder).expect("made");
        let front = Peer::files(&folder);
        let store = Self {
            url: server.url(&folder.join("team/repo")),
            endpoint: None,
            user: None,
            simple: format!("{}/team/repo/simple/", front.url()),
            studio,
            _server: None,
            front,
        };
        (store, server)
    }

    /// A command in a workspace of the machine, as who one is there.
    pub fn command(&self, workspace: &str, arguments: &[&str]) -> Command {
        let mut command = self.studio.command(&[&["-w", workspace], arguments].concat());
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(user) = self.user {
            command
                .env("BACKLOT_REPO_FAR_USERNAME", user)
                .env("BACKLOT_REPO_FAR_PASSWORD", "secret")
                .env("BACKLOT_REMOTE_FILES_USERNAME", user)
                .env("BACKLOT_REMOTE_FILES_PASSWORD", "secret");
        }
        command
    }

    /// The same, run.
    pub fn run(&self, workspace: &str, arguments: &[&str]) -> Run {
        run_command(&mut self.command(workspace, arguments))
    }

    /// A workspace with the repo `far`.
    pub fn workspace(&self, name: &str) -> Run {
        self.studio.run(&["init", name]).ok();
        let mut arguments = vec!["repo", "add", "far", &self.url, "--json"];
        if let Some(endpoint) = &self.endpoint {
            arguments.extend(["--endpoint", endpoint, "--region", "us-east-1"]);
        }
        self.run(name, &arguments).ok()
    }

    /// The URL of a folder of it, for files.
    pub fn files(&self, folder: &str) -> String {
        let above = self.url.strip_suffix("repo").expect("as it was made");
        format!("{above}{folder}")
    }

    /// Name a folder of it as the remote `files` of a workspace.
    pub fn add_remote(&self, workspace: &str, folder: &str, layout: &str) -> Run {
        let url = self.files(folder);
        let mut arguments = vec!["remote", "add", "files", &url, "--layout", layout, "--json"];
        if let Some(endpoint) = &self.endpoint {
            arguments.extend(["--endpoint", endpoint, "--region", "us-east-1"]);
        }
        self.run(workspace, &arguments)
    }
}
