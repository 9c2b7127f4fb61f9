//! Package indexes over HTTP, with real servers and real clients.

use std::path::Path;
use std::process::Command;

use backlot_tests::installers::{INSTALLERS, install_by};
use backlot_tests::peer::{Peer, free_port, known};
use backlot_tests::server::Server;
use backlot_tests::{Studio, changed, rig, run_command, tool};
use fs_err as fs;

fn wheel_of(studio: &Studio, name: &str) -> std::path::PathBuf {
    studio.ws(&["build", name]).ok();
    let folder = studio.path(&format!("ws/build/{}", name.to_lowercase()));
    let found = fs::read_dir(folder)
        .expect("built")
        .filter_map(Result::ok)
        .map(|e| e.path());
    found
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .expect("a wheel")
}

fn pip_and_uv_install(studio: &Studio, index: &str, name: &str, module: &str) {
    for by in INSTALLERS {
        let target = studio.path(&format!("by-{by}"));
        install_by(by, &target, &["--index-url", index, name]).ok();
        assert!(target.join(module).join("__init__.py").is_file());
    }
}

fn twine_uploads(studio: &Studio, url: &str, wheel: &Path) {
    let mut twine = Command::new(tool("twine"));
    twine
        .args([
            "upload",
            "--non-interactive",
            "--disable-progress-bar",
            "-u",
            "ana",
            "-p",
            "secret",
            "--repository-url",
            url,
        ])
        .arg(wheel)
        .env("HOME", studio.path("home"));
    run_command(&mut twine).ok();
}

#[test]
fn what_we_publish_to_devpi_others_install_and_what_twine_uploads_we_install() {
    let studio = Studio::new();
    let devpi = Peer::devpi(&studio);
    let added = known(
        &studio,
        &[
            "-w",
            "ws",
            "repo",
            "add",
            "studio",
            &format!("{}/ana/dev", devpi.url()),
            "--json",
        ],
    );
    assert_eq!(
        added.ok().json()["place"],
        format!("{}/ana/dev/+simple/", devpi.url())
    );

    studio.asset("Table", 2, 2000);
    studio
        .ws(&["publish", "Table", "--to", "studio", "--json"])
        .fails(3, "index::denied");
    known(&studio, &["-w", "ws", "publish", "Table", "--to", "studio"]).ok();
    let again = known(
        &studio,
        &["-w", "ws", "publish", "Table", "--to", "studio", "--json"],
    );
    assert_eq!(again.ok().json()["already"], true);
    // The same version with other bytes is a conflict too.
    studio.write("ws/outputs/table/src/table/extra.py", b"x = 1\n");
    let error = known(
        &studio,
        &["-w", "ws", "publish", "Table", "--to", "studio", "--json"],
    );
    error.fails(5, "repo::release_exists");
    pip_and_uv_install(
        &studio,
        &format!("{}/ana/dev/+simple/", devpi.url()),
        "table",
        "table",
    );

    what_others_upload_is_installed(&studio, &devpi);
    drop(devpi);
    fs::remove_dir_all(studio.path("other/inputs")).expect("removed");
    studio.run(&["-w", "other", "--offline", "install"]).ok();
    let error = studio
        .run(&["-w", "other", "--offline", "install", "Stool", "--json"])
        .fails(4, "index::offline");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("the page of stool"),
        "{error}"
    );
}

fn what_others_upload_is_installed(studio: &Studio, devpi: &Peer) {
    studio.ws(&["new", "Chair"]).ok();
    studio.ws(&["input", "add", "Chair", "Table>=0.1"]).ok();
    twine_uploads(
        studio,
        &format!("{}/ana/dev/", devpi.url()),
        &wheel_of(studio, "Chair"),
    );
    studio.run(&["init", "other"]).ok();
    studio
        .run(&[
            "-w",
            "other",
            "repo",
            "add",
            "studio",
            &format!("{}/ana/dev/+simple", devpi.url()),
        ])
        .ok();
    let installed = studio
        .run(&["-w", "other", "install", "Chair", "--json"])
        .ok()
        .json();
    assert_eq!(changed(&installed), ["chair", "table"]);
    let mut pip = Command::new(tool("python"));
    pip.args(["-m", "pip", "--python"])
        .arg(studio.path("other/inputs/bin/python"))
        .arg("check");
    run_command(&mut pip).ok();
    // Files lie on the remote, whatever kind of repo the release is in.
    studio
        .run(&["-w", "other", "remote", "add", "main", "remote"])
        .ok();
    studio.run(&["-w", "other", "pull"]).ok();
    studio.run(&["-w", "other", "show", "Table", "--json"]).ok();
    let found = studio
        .run(&["-w", "other", "search", "--type", "asset", "--json"])
        .ok()
        .json();
    assert_eq!(found["packages"].as_array().expect("packages").len(), 2);

    // From here into a repo in a folder.
    known(
        studio,
        &[
            "-w",
            "ws",
            "copy",
            "Chair",
            "--from",
            "studio",
            "--to",
            "blessed",
            "--with-deps",
        ],
    )
    .ok();
    assert!(
        studio
            .path("repos/blessed/packages/chair/chair-0.1.0-py3-none-any.whl")
            .is_file()
    );
}

#[test]
fn a_server_of_a_flat_folder_is_read_and_published_to() {
    let studio = Studio::new();
    let peer = Peer::pypiserver(&studio);
    studio.ws(&["repo", "add", "studio", &peer.url()]).ok();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table", "--to", "studio"]).ok();
    let again = studio.ws(&["publish", "Table", "--to", "studio", "--json"]);
    assert_eq!(again.ok().json()["already"], true);
    studio.ws(&["new", "Chair"]).ok();
    studio.ws(&["input", "add", "Chair", "Table"]).ok();
    twine_uploads(&studio, &peer.url(), &wheel_of(&studio, "Chair"));
    pip_and_uv_install(&studio, &format!("{}/simple/", peer.url()), "chair", "chair");
    studio.run(&["init", "other"]).ok();
    studio
        .run(&[
            "-w",
            "other",
            "repo",
            "add",
            "studio",
            &format!("{}/simple/", peer.url()),
        ])
        .ok();
    studio.run(&["-w", "other", "install", "Chair"]).ok();
    assert!(studio.path("other/inputs").is_dir());
    let lock = fs::read_to_string(studio.path("other/backlot.lock")).expect("locked");
    assert_eq!(lock.matches("sha256").count(), 2, "{lock}");

    // All files of a release: from a folder to the index, where pip and uv take what they want, and on into a folder.
    let folder = studio.path("drop");
    rig::make(&folder, "1.0", "ours", &["wheels", "sdist"]);
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio.ws(&["mirror", "drop", "studio"]).ok();
    for from_source in [false, true] {
        let (index, place) = (format!("{}/simple/", peer.url()), format!("rig-{from_source}"));
        for by in rig::installed_by_pip_and_uv(&index, &studio.path(&place), "1.0", from_source) {
            assert_eq!(by == "which = 'sdist'", from_source, "{by}");
        }
    }
    let copy = [
        "copy",
        "Rig",
        "--from",
        "studio",
        "--to",
        "blessed",
        "--without-files",
        "--json",
    ];
    let copied = studio.ws(&copy).ok().json();
    assert_eq!(copied["releases"][0]["files"].as_array().map(Vec::len), Some(5));
    let there = studio.path("repos/blessed/packages/rig");
    assert_eq!(rig::files(&there), rig::files(&folder));
    assert_eq!(studio.ws(&copy).ok().json()["releases"][0]["state"], "there");
}

#[test]
fn a_folder_repo_behind_a_static_host_is_installed_from_and_its_yanks_hold() {
    let studio = Studio::new();
    for name in ["Table", "Chair"] {
        studio.ws(&["new", name]).ok();
    }
    studio.ws(&["input", "add", "Chair", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["publish", "Chair"]).ok();
    studio.ws(&["bump", "Table", "minor"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["yank", "Table==0.2.0", "-m", "wrong scale"]).ok();
    for json in [true, false] {
        let server = Server::folder(&studio.path("repos/review"), json);
        let name = if json { "by-json" } else { "by-html" };
        studio.run(&["init", name]).ok();
        studio
            .run(&["-w", name, "repo", "add", "far", &server.url("/")])
            .ok();
        let report = studio
            .run(&["-w", name, "install", "Chair", "--json"])
            .ok()
            .json();
        assert_eq!(report["changes"][1]["to"], "0.1.0");
        server.take_log();
        let mut first = studio.command(&["-w", name, "lock"]);
        run_command(&mut first).ok();
        let asked = server.take_log();
        assert!(
            asked.iter().all(|l| l.status == 304 || l.status == 404),
            "{asked:#?}"
        );
        let error = studio.run(&["-w", name, "publish", "Chair", "--json"]);
        error.fails(4, "output::unknown");
        // What the index says of a release goes with it, once.
        let copy = ["-w", name, "mirror", "far", "near", "--name", "table", "--json"];
        studio
            .run(&["-w", name, "repo", "add", "near", &format!("near-{name}")])
            .ok();
        for facts in [1, 0] {
            let mirrored = studio.run(&copy).ok().json();
            assert_eq!(mirrored["facts"], facts, "{mirrored:#}");
        }
        let page = studio.path(&format!("near-{name}/simple/table/index.html"));
        let page = fs::read_to_string(page).expect("a page");
        assert_eq!(page.matches("data-yanked=\"wrong scale\"").count(), 1, "{page}");
        // A static host takes no uploads, and says so.
        let error = studio.ws(&["repo", "add", name, &server.url("/simple/")]);
        error.ok();
        studio.ws(&["bump", "Chair", "micro"]).ok();
        studio
            .ws(&["publish", "Chair", "--to", name, "--json"])
            .fails(6, "index::upload_refused");
    }
}

#[test]
fn no_secret_is_taken_into_the_workspace() {
    let studio = Studio::new();
    let error = studio.ws(&[
        "repo",
        "add",
        "studio",
        "https://ana:hunter2@index.example/simple/",
        "--json",
    ]);
    let error = error.fails(3, "index::bad_url");
    assert!(!error.to_string().contains("hunter2"));
    let text = fs::read_to_string(studio.path("ws/backlot.toml")).expect("readable");
    assert!(!text.contains("hunter2"));
}

/// Serves a folder encrypted, by a certificate of an authority of its own, whose certificate it leaves beside.
const ENCRYPTED: &str = "import datetime, functools, http.server, ipaddress, ssl, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
folder, place, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
name = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
now = datetime.datetime.now(datetime.timezone.utc)
def certificate(subject, key, issuer, signer, authority):
    alt = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))])
    return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(alt, False).sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
open(place + '/ca.pem', 'wb').write(certificate('studio', root, 'studio', root, True))
open(place + '/server.pem', 'wb').write(certificate('index', leaf, 'studio', root, False) + leaf.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith('/down/'):
            self.send_response(302)
            self.send_header('Location', 'http://127.0.0.1:1/simple/')
            self.end_headers()
        else:
            super().do_GET()
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(place + '/server.pem')
server = http.server.ThreadingHTTPServer(('127.0.0.1', port), functools.partial(Handler, directory=folder))
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()";

#[test]
fn an_authority_of_the_studios_own_is_trusted_where_it_is_named_and_encryption_is_not_dropped() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let port = free_port();
    let mut python = Command::new(tool("python"));
    python
        .args(["-c", ENCRYPTED])
        .arg(studio.path("repos/review"))
        .arg(studio.root())
        .arg(port.to_string());
    let _peer = Peer::start_at(port, python);
    let trusting = |arguments: &[&str]| {
        let mut command = studio.command(arguments);
        run_command(command.env("SSL_CERT_FILE", studio.path("ca.pem")))
    };
    let url = format!("https://127.0.0.1:{port}/simple/");
    studio.run(&["init", "other"]).ok();
    trusting(&["-w", "other", "repo", "add", "far", &url]).ok();
    trusting(&["-w", "other", "install", "Table"]).ok();
    fs::remove_dir_all(studio.path("cache")).expect("removed");
    let error = studio.run(&["-w", "other", "install", "Table", "--upgrade", "--json"]);
    let error = error.fails(6, "index::unreachable");
    assert!(error.to_string().contains("certificate"), "{error}");
    let down = format!("https://127.0.0.1:{port}/down/simple/");
    trusting(&["-w", "other", "repo", "add", "down", &down, "--json"]).fails(7, "index::redirect");
    studio.write("broken.pem", b"no certificate");
    let mut command = studio.command(&["-w", "other", "repo", "add", "x", &url, "--json"]);
    run_command(command.env("SSL_CERT_FILE", studio.path("broken.pem"))).fails(3, "index::bad_certificates");
}

#[test]
fn proxies_of_the_environment_are_used_but_for_the_hosts_that_are_excepted() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    studio.ws(&["publish", "Table"]).ok();
    let root = studio.path("repos/review");
    let server = Server::start(move |request| {
        let mut direct = request.clone();
        direct.path = request.path.replace("http://index.studio.example", "");
        backlot_tests::server::file(&root, true, &direct)
    });
    let run = |arguments: &[&str], proxy: &str, except: &str| {
        let mut command = studio.command(arguments);
        run_command(command.env("HTTP_PROXY", proxy).env("NO_PROXY", except))
    };
    studio.run(&["init", "other"]).ok();
    let far = "http://index.studio.example/simple/";
    run(&["-w", "other", "repo", "add", "far", far], &server.url(""), "").ok();
    run(
        &["-w", "other", "install", "Table"],
        &server.url(""),
        "other.example",
    )
    .ok();
    assert!(
        server
            .log()
            .iter()
            .all(|l| l.request.path.starts_with("http://index.studio.example/"))
    );
    let near = server.url("/simple/");
    run(
        &["-w", "ws", "repo", "add", "near", &near],
        "http://127.0.0.1:1",
        "127.0.0.1",
    )
    .ok();
}
