//! A folder behind `WebDAV` whose passwords a test decides, and changes while it serves; and a server that only listens.

use fs_err as fs;

use crate::Studio;
use crate::peer::Peer;

/// `WebDAV` over `dav/`; a line `user:password` or `user:password N` (good for N requests) in `accepted` lets in, each request is
/// a line in `log`.
const DOOR: &str = "import sys, threading
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp
from wsgidav.dc.base_dc import BaseDomainController
root, used, lock = sys.argv[2], {}, threading.Lock()
class Door(BaseDomainController):
    def get_domain_realm(self, path_info, environ):
        return 'studio'
    def require_authentication(self, realm, environ):
        return True
    def supports_http_digest_auth(self):
        return False
    def basic_auth_user(self, realm, user, password, environ):
        who = user + ':' + password
        with lock:
            lines = open(root + '/accepted').read().splitlines()
            accepted = dict((line.split(' ') + ['1000000000'])[:2] for line in lines)
            used[who] = used.get(who, 0) + 1
            good = who in accepted and used[who] <= int(accepted[who])
            with open(root + '/log', 'a') as log:
                log.write('%s %s %s\\n' % (who, 'in' if good else 'out', environ['REQUEST_METHOD']))
        return good
app = WsgiDAVApp({'provider_mapping': {'/': root + '/dav'}, 'verbose': 0, 'logging': {'enable': False},
    'http_authenticator': {'domain_controller': Door, 'accept_basic': True, 'accept_digest': False, 'default_to_digest': False}})
wsgi.Server(('127.0.0.1', int(sys.argv[1])), app, numthreads=20).start()";

/// Writes down each request with its headers, and has nothing.
const EAR: &str = "import http.server, sys
class Ear(http.server.BaseHTTPRequestHandler):
    def heard(self):
        with open(sys.argv[2], 'a') as log:
            log.write(self.requestline + '\\n' + str(self.headers))
        self.send_error(404)
    do_GET = do_HEAD = do_PROPFIND = do_OPTIONS = do_PUT = heard
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Ear).serve_forever()";

/// A `WebDAV` server of a studio.
#[derive(Debug)]
pub struct Door {
    /// The machine it is used from.
    pub studio: Studio,
    server: Peer,
}

impl Door {
    /// One that lets in those of the lines.
    pub fn new(accepted: &[&str]) -> Self {
        let studio = Studio::empty();
        fs::create_dir_all(studio.path("door/dav")).expect("made");
        studio.write("door/accepted", accepted.join("\n").as_bytes());
        let server = Peer::python(DOOR, studio.path("door"));
        Self { studio, server }
    }

    /// An address below it, as plain HTTP.
    pub fn http(&self, path: &str) -> String {
        format!("{}/{path}", self.server.url())
    }

    /// The same as a store.
    pub fn dav(&self, path: &str) -> String {
        format!("webdav+{}", self.http(path))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Who asked: `user:password in` or `out`, and the method.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.studio.path("door/log")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

/// A server that only listens.
#[derive(Debug)]
pub struct Ear {
    server: Peer,
    log: std::path::PathBuf,
}

impl Ear {
    /// One that writes what it hears into a file of a studio.
    pub fn new(studio: &Studio) -> Self {
        let log = studio.path("heard");
        let server = Peer::python(EAR, &log);
        Self { server, log }
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// All that was said to it.
    pub fn heard(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
