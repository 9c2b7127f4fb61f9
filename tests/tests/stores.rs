//! Repos in stores of objects, judged by real servers (moto for S3, `wsgidav` for `WebDAV`) and real installers.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backlot_tests::{Run, Studio, run_command, tool};
use fs_err as fs;

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
struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Peer {
    fn start(make: impl FnOnce(&str) -> Command) -> Self {
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

    fn python(code: &str, argument: impl AsRef<OsStr>) -> Self {
        Self::start(|port| {
            let mut python = Command::new(tool("python"));
            python.args(["-c", code, port]).arg(argument);
            python
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// A store, and how to name it as a repo.
struct Store {
    studio: Studio,
    url: String,
    endpoint: Option<String>,
    user: &'static str,
    _server: Peer,
    /// Shows it to the world as plain HTTP.
    front: Peer,
    /// Where its `simple/` is there.
    simple: String,
}

impl Store {
    fn s3() -> Self {
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
            user: "a-key-id",
            simple: format!("{}/assets/team/repo/simple/", front.url()),
            studio,
            _server: server,
            front,
        }
    }

    fn webdav() -> Self {
        let studio = Studio::empty();
        let folder = studio.path("dav");
        fs::create_dir(&folder).expect("made");
        let server = Peer::python(WEBDAV, &folder);
        let front = Peer::start(|port| {
            let mut python = Command::new(tool("python"));
            python.args(["-m", "http.server", "--bind", "127.0.0.1", port, "--directory"]);
            python.arg(&folder);
            python
        });
        Self {
            url: format!("webdav+{}/team/repo", server.url()),
            endpoint: None,
            user: "ana",
            simple: format!("{}/team/repo/simple/", front.url()),
            studio,
            _server: server,
            front,
        }
    }

    fn command(&self, workspace: &str, arguments: &[&str]) -> Command {
        let mut command = self.studio.command(&[&["-w", workspace], arguments].concat());
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("BACKLOT_REPO_FAR_USERNAME", self.user)
            .env("BACKLOT_REPO_FAR_PASSWORD", "secret");
        command
    }

    fn run(&self, workspace: &str, arguments: &[&str]) -> Run {
        run_command(&mut self.command(workspace, arguments))
    }

    /// A workspace with the repo `far`.
    fn workspace(&self, name: &str) -> Run {
        self.studio.run(&["init", name]).ok();
        let mut arguments = vec!["repo", "add", "far", &self.url, "--json"];
        if let Some(endpoint) = &self.endpoint {
            arguments.extend(["--endpoint", endpoint, "--region", "us-east-1"]);
        }
        self.run(name, &arguments).ok()
    }
}

/// The whole way, from one workspace to another and to pip and uv.
fn goes_the_whole_way(store: &Store) {
    let added = store.workspace("ws").json();
    assert_eq!(added["kind"], "store");
    let listed = store.run("ws", &["repo", "list"]).ok().stdout();
    assert!(listed.contains("store of objects"), "{listed}");
    let text = fs::read_to_string(store.studio.path("ws/backlot.toml")).expect("written");
    assert!(!text.contains("secret"), "{text}");
    for name in ["Table", "Chair"] {
        store.run("ws", &["new", name]).ok();
    }
    store.run("ws", &["input", "add", "Chair", "Table"]).ok();
    store.run("ws", &["publish", "Table"]).ok();
    store.run("ws", &["publish", "Chair"]).ok();
    let error = store.run("ws", &["publish", "Chair", "--json"]);
    error.fails(5, "repo::release_exists");
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

    let mut pip = Command::new(tool("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--index-url"]);
    pip.args([&store.simple, "chair", "--target"])
        .arg(store.studio.path("by-pip"));
    run_command(&mut pip).ok();
    let mut uv = Command::new(tool("uv"));
    uv.args([
        "pip",
        "install",
        "--no-cache",
        "--index-url",
        &store.simple,
        "chair",
    ]);
    uv.arg("--python")
        .arg(tool("python"))
        .arg("--target")
        .arg(store.studio.path("by-uv"));
    run_command(&mut uv).ok();
    for place in ["by-pip", "by-uv"] {
        let installed = fs::read_dir(store.studio.path(place)).expect("installed");
        let names: Vec<_> = installed
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        assert!(
            names.iter().any(|n| n == "table-0.1.0.dist-info"),
            "{place}: {names:?}"
        );
    }
}

/// Eight processes at once: with one version one wins, with different ones all are on the page.
fn is_raced_for(store: &Store) {
    let race = |prepare: &dyn Fn(usize, &str)| -> Vec<(Option<i32>, String)> {
        let children: Vec<Child> = (0..8)
            .map(|n| {
                let name = format!("racer{n}");
                prepare(n, &name);
                store
                    .command(&name, &["publish", "Lamp", "--json"])
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
    let one = race(&|_, _| {});
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
    let all = race(&|n, name| {
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
    is_raced_for(&store);
}

#[test]
fn a_webdav_folder_is_a_repo() {
    let store = Store::webdav();
    goes_the_whole_way(&store);
    is_raced_for(&store);
    let error = store.studio.run(&["-w", "ws", "publish", "Table", "--json"]);
    let error = error.fails(6, "repo::store");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("other credentials"),
        "{error:#}"
    );
    let sftp = store
        .studio
        .run(&["-w", "ws", "repo", "add", "x", "sftp://host/repo", "--json"]);
    sftp.fails(3, "index::bad_url");
}
