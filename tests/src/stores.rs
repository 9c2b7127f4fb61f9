//! Stores of objects that tests talk to, each as a repo and as a remote: moto and Ceph for S3, Azurite, `wsgidav`, Apache and nginx for `WebDAV`, OpenSSH for
//! SFTP, and for what has no server that can be had (Google's two and OSS) one of ours, which knows the requests only.

use std::process::Command;
use std::sync::Arc;

use backlot_backend::{ObjectStore, StoreOptions};
use backlot_core::Context;
use backlot_net::{
    Credential, CredentialChain, GivenCredential, Network, NetworkOptions, PlaceName, SshOptions,
};

use fs_err as fs;

use crate::ceph::Ceph;
use crate::dav;
use crate::peer::Peer;
use crate::sshd::Sshd;
use crate::{Run, Studio, run_command, tool};

/// `WebDAV` over a folder, with a password.
const WEBDAV: &str = "import sys
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp
app = WsgiDAVApp({'provider_mapping': {'/': sys.argv[2]}, 'verbose': 0, 'logging': {'enable': False},
    'simple_dc': {'user_mapping': {'*': {'ana': {'password': 'secret'}}}}})
wsgi.Server(('127.0.0.1', int(sys.argv[1])), app, numthreads=20).start()";

/// Moto, which looks whether an object is there and then writes it, with those two made one step, as S3 has them.
const MOTO: &str = "import sys, threading
from moto.s3 import responses
from moto.server import main
one = threading.RLock()
def alone(step):
    def run(*given, **named):
        with one:
            return step(*given, **named)
    return run
responses.S3Response.put_object = alone(responses.S3Response.put_object)
main(['-H', '127.0.0.1', '-p', sys.argv[1]])";

/// What stands before a bucket that is shown to the world: a folder is its `index.html`; all else is the store's own answer.
const FRONT: &str = "import http.server, sys, urllib.request
class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path + ('index.html' if self.path.endswith('/') else '')
        # Named where all is private, as a front is; who it is, moto and our own servers do not ask.
        named = {'Authorization': 'AWS4-HMAC-SHA256 Credential=front/20260101/us-east-1/s3/aws4_request'}
        answer = self.ask(path, {})
        if answer.status in (401, 403):
            answer = self.ask(path, named)
        if answer.status != 200:
            self.send_error(answer.status)
            return
        body = answer.read()
        self.send_response(200)
        self.send_header('Content-Type', answer.headers['Content-Type'])
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def ask(self, path, headers):
        try:
            return urllib.request.urlopen(urllib.request.Request(sys.argv[2] + path, headers=headers))
        except urllib.error.HTTPError as error:
            return error
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Front).serve_forever()";

/// Makes the container `assets`, which everybody may read, in Azurite: the account and its key are those that it comes with.
const CONTAINER: &str = "import base64, hashlib, hmac, sys, time, urllib.request as u
now = time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())
headers = {'x-ms-blob-public-access': 'blob', 'x-ms-date': now, 'x-ms-version': '2021-08-06'}
named = ''.join(f'{k}:{v}\\n' for k, v in sorted(headers.items()))
text = 'PUT' + '\\n' * 12 + named + '/devstoreaccount1/devstoreaccount1/assets\\nrestype:container'
key = hmac.new(base64.b64decode(sys.argv[2]), text.encode(), hashlib.sha256).digest()
headers['Authorization'] = 'SharedKey devstoreaccount1:' + base64.b64encode(key).decode()
headers['Content-Length'] = '0'
u.urlopen(u.Request(sys.argv[1] + '/assets?restype=container', method='PUT', headers=headers))";

/// The key that Azurite's account has in all its documentation.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Google's and Aliyun's services, as far as they are asked.
const CLOUDS: &str = include_str!("mocks/clouds.py");

/// A store, and how to name it as a repo.
#[derive(Debug)]
pub struct Store {
    /// The machine it is used from.
    pub studio: Studio,
    /// As a repo.
    pub url: String,
    /// The server of a bucket.
    pub endpoint: Option<String>,
    /// Who one is there, and how that is proven.
    pub user: Option<(&'static str, &'static str)>,
    /// Ends with the test.
    _server: Option<Peer>,
    /// What is behind the server.
    _behind: Option<Ceph>,
    /// Shows it to the world as plain HTTP.
    pub front: Peer,
    /// Where its `simple/` is there.
    pub simple: String,
}

impl Store {
    /// A bucket of moto.
    pub fn s3() -> Self {
        let studio = Studio::empty();
        let server = Peer::python(MOTO, "");
        let make =
            "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1] + '/assets', method='PUT'))";
        run_command(Command::new(tool("python")).args(["-c", make, &server.url()])).ok();
        let endpoint = server.url();
        Self::bucket(studio, server, "s3", Some(endpoint), ("a-key-id", "secret"))
    }

    /// A bucket of Ceph's gateway.
    pub fn ceph() -> Self {
        let studio = Studio::empty();
        let user = ("a-key-id", "secret");
        let (cluster, gateway) = Ceph::start(&studio.path("ceph"), user);
        let endpoint = gateway.url();
        Self {
            _behind: Some(cluster),
            ..Self::bucket(studio, gateway, "s3", Some(endpoint), user)
        }
    }

    /// A container of Azurite.
    pub fn azure() -> Self {
        let studio = Studio::empty();
        let folder = studio.path("azurite");
        let server = Peer::start(|port| {
            let mut azurite = Command::new(tool("azurite-blob"));
            azurite.args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                port,
                "--skipApiVersionCheck",
            ]);
            azurite
                .args(["--disableTelemetry", "--silent", "--location"])
                .arg(folder);
            azurite
        });
        let account = format!("{}/devstoreaccount1", server.url());
        run_command(Command::new(tool("python")).args(["-c", CONTAINER, &account, AZURITE_KEY])).ok();
        Self::bucket(
            studio,
            server,
            "azure",
            Some(account),
            ("devstoreaccount1", AZURITE_KEY),
        )
    }

    /// A bucket of what knows Google's requests.
    pub fn gcs() -> Self {
        Self::cloud("gcs", "gs", ("__token__", "secret-token"))
    }

    /// A bucket of what knows Aliyun's requests.
    pub fn oss() -> Self {
        Self::cloud("oss", "oss", ("a-key-id", "secret"))
    }

    /// An account of what knows Google Drive's requests; of a client whose token is asked for.
    pub fn gdrive() -> Self {
        let store = Self::cloud("gdrive", "gdrive", ("a-client", "secret refresh-secret"));
        Self {
            url: "gdrive://root/team/repo".to_owned(),
            ..store
        }
    }

    fn cloud(service: &str, scheme: &str, user: (&'static str, &'static str)) -> Self {
        let server = Peer::python(CLOUDS, service);
        let endpoint = server.url();
        Self::bucket(Studio::empty(), server, scheme, Some(endpoint), user)
    }

    /// The bucket `assets` of a server, which shows objects below its endpoint.
    fn bucket(
        studio: Studio,
        server: Peer,
        scheme: &str,
        endpoint: Option<String>,
        user: (&'static str, &'static str),
    ) -> Self {
        let front = Peer::python(FRONT, endpoint.clone().unwrap_or_else(|| server.url()));
        Self {
            url: format!("{scheme}://assets/team/repo"),
            endpoint,
            user: Some(user),
            simple: format!("{}/assets/team/repo/simple/", front.url()),
            studio,
            _server: Some(server),
            _behind: None,
            front,
        }
    }

    /// Where its server listens.
    pub fn port(&self) -> u16 {
        let at = self.endpoint.as_ref().unwrap_or(&self.url);
        let port = at
            .rsplit_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split('/').next());
        port.expect("a port").parse().expect("a number")
    }

    /// The same store, asked through another port of this machine.
    pub fn asked_at(mut self, port: u16) -> Self {
        let was = self.port();
        let (old, new) = (format!("127.0.0.1:{was}"), format!("127.0.0.1:{port}"));
        for at in [Some(&mut self.url), self.endpoint.as_mut()]
            .into_iter()
            .flatten()
        {
            *at = at.replace(&old, &new);
        }
        let hosts = self.studio.path("home/.ssh/known_hosts");
        if let Ok(known) = fs::read_to_string(&hosts) {
            let (old, new) = (format!("]:{was}"), format!("]:{port}"));
            fs::write(&hosts, known.replace(&old, &new)).expect("written");
        }
        self
    }

    /// A folder of it as the library has it, on a machine of its own.
    pub fn open(&self, folder: &str, machine: usize) -> Arc<dyn ObjectStore> {
        let mut options = StoreOptions::default();
        options.endpoint.clone_from(&self.endpoint);
        options.region = self.url.starts_with("s3:").then(|| "us-east-1".to_owned());
        let mut network = NetworkOptions::new(self.studio.path(&format!("network-{machine}")));
        if let Some((user, password)) = self.user {
            let known = GivenCredential(Credential {
                user: user.to_owned(),
                password: password.to_owned(),
            });
            network.credentials = CredentialChain::default().with(Arc::new(known));
        }
        network.ssh = SshOptions {
            keys: vec![self.studio.path("home/.ssh/id_ed25519")],
            known_hosts: vec![self.studio.path("home/.ssh/known_hosts")],
            ..SshOptions::default()
        };
        let network = Network::new(network, Context::default()).expect("set up");
        let place = PlaceName::Remote("files".to_owned());
        backlot_backend::open(&network, &place, &self.files(folder), &options).expect("opened")
    }

    /// What is said of it besides its URL.
    fn options(&self) -> Vec<&str> {
        let endpoint = self.endpoint.iter().flat_map(|endpoint| ["--endpoint", endpoint]);
        let region = self.url.starts_with("s3:").then_some(["--region", "us-east-1"]);
        endpoint.chain(region.into_iter().flatten()).collect()
    }

    /// A folder behind `wsgidav`.
    pub fn webdav() -> Self {
        let studio = Studio::empty();
        let folder = studio.path("dav");
        fs::create_dir(&folder).expect("made");
        let server = Peer::python(WEBDAV, &folder);
        Self::behind(studio, server)
    }

    /// A folder behind Apache.
    pub fn apache() -> Self {
        let studio = Studio::empty();
        let server = dav::apache(&studio.path("apache"), &studio.path("dav"));
        Self::behind(studio, server)
    }

    /// A folder behind nginx.
    pub fn nginx() -> Self {
        let studio = Studio::empty();
        let server = dav::nginx(&studio.path("nginx"), &studio.path("dav"));
        Self::behind(studio, server)
    }

    /// The folder `dav` behind a server of `WebDAV`.
    fn behind(studio: Studio, server: Peer) -> Self {
        let front = Peer::files(&studio.path("dav"));
        Self {
            url: format!("webdav+{}/team/repo", server.url()),
            endpoint: None,
            user: Some(("ana", "secret")),
            simple: format!("{}/team/repo/simple/", front.url()),
            studio,
            _server: Some(server),
            _behind: None,
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
            _behind: None,
            front,
        };
        (store, server)
    }

    /// A command in a workspace of the machine, as who one is there.
    pub fn command(&self, workspace: &str, arguments: &[&str]) -> Command {
        let mut command = self.studio.command(&[&["-w", workspace], arguments].concat());
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some((user, password)) = self.user {
            for place in ["REPO_FAR", "REMOTE_FILES", "REMOTE_SECOND"] {
                command
                    .env(format!("BACKLOT_{place}_USERNAME"), user)
                    .env(format!("BACKLOT_{place}_PASSWORD"), password);
            }
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
        arguments.extend(self.options());
        self.run(name, &arguments).ok()
    }

    /// The URL of a folder of it, for files.
    pub fn files(&self, folder: &str) -> String {
        let above = self.url.strip_suffix("repo").expect("as it was made");
        format!("{above}{folder}")
    }

    /// Name a folder of it as the remote `files` of a workspace.
    pub fn add_remote(&self, workspace: &str, folder: &str, layout: &str) -> Run {
        self.add_named_remote(workspace, "files", folder, layout)
    }

    /// The same under another name: `second`.
    pub fn add_named_remote(&self, workspace: &str, name: &str, folder: &str, layout: &str) -> Run {
        let url = self.files(folder);
        let mut arguments = vec!["remote", "add", name, &url, "--layout", layout, "--json"];
        arguments.extend(self.options());
        self.run(workspace, &arguments)
    }
}
