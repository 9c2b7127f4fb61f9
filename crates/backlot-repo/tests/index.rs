//! Reading package indexes over HTTP, good ones and bad ones.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

#[path = "support/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backlot_core::{Cancel, Context, Diagnostic};
use backlot_net::{
    Credential, CredentialChain, CredentialRequest, CredentialSource, FoundCredential, Network,
    NetworkOptions, PlaceName, SourceKind,
};
use backlot_repo::{Error, IndexError, IndexRepo, ReleaseStore, Repo};
use server::{Reply, Request, Server, ranged};
use sha2::Digest as _;
use support::{Warnings, Wheel, by, package, version};

/// A client that is quick to give up.
fn options(folder: &Path) -> NetworkOptions {
    NetworkOptions {
        pause: Duration::from_millis(1),
        read_timeout: Duration::from_millis(300),
        ..NetworkOptions::new(folder.join("cache"))
    }
}

fn open(options: NetworkOptions, context: Context, url: &str) -> Repo {
    let network = Network::new(options, context).unwrap();
    Repo::Index(IndexRepo::open(&network, "studio", url, None).unwrap())
}

fn quick(folder: &Path, url: &str) -> Repo {
    open(options(folder), Context::default(), url)
}

fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A page with one link a wheel.
fn page(links: &[&str]) -> Reply {
    let links: Vec<String> = links.iter().map(|l| format!("<a href=\"{l}\">x</a>")).collect();
    Reply::html(links.join("\n"))
}

fn chair() -> Vec<u8> {
    Wheel::new("chair", "1.0").bytes()
}

const CHAIR: &str = "chair-1.0-py3-none-any.whl";

/// An index with one chair, but for what `other` says.
fn chairs(link: &str, other: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let link = link.to_owned();
    Server::start(move |request| match (other(request), request.path.as_str()) {
        (Some(reply), _) => reply,
        (None, "/simple/chair/") => page(&[&link]),
        (None, path) if path.ends_with(CHAIR) => Reply::bytes(chair()),
        _ => Reply::status(404),
    })
}

/// The code of what a read of the chair ends in, down to its wheel.
fn read_all(repo: &Repo, folder: &Path) -> Result<(), Error> {
    let context = Context::default();
    let release = repo.release(&package("chair"), &version("1.0"), &context)?;
    repo.metadata(&release)?;
    repo.open_wheel(&release, &folder.join("got").join(CHAIR), &context)
}

fn code_of(repo: &Repo, folder: &Path) -> &'static str {
    read_all(repo, folder).unwrap_err().code()
}

fn published(root: &Path) {
    let repo = ReleaseStore::create_folder(root).unwrap();
    for version in ["1.0", "1.1", "2.0rc1"] {
        let wheel = Wheel {
            headers: "Requires-Dist: table>=1\nRequires-Python: >=3.8\n",
            ..Wheel::new("chair", version)
        };
        repo.publish(&wheel.write(&root.join("../in")), &by("ana"), &Context::default())
            .unwrap();
    }
    let table = Wheel::new("table", "1!2.0").write(&root.join("../in"));
    repo.publish(&table, &by("ana"), &Context::default()).unwrap();
}

#[test]
fn our_own_repo_is_the_same_over_http_in_json_and_in_html() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    published(&root);
    let near = Repo::open_folder(&root).unwrap();
    for json in [true, false] {
        let server = Server::folder(&root, json);
        let cache = folder.path().join(json.to_string());
        let far = quick(&cache, &server.url("/simple"));
        assert_eq!(far.packages().unwrap(), near.packages().unwrap());
        for name in near.packages().unwrap() {
            let context = Context::default();
            let (a, b) = (
                near.releases(&name, &context).unwrap(),
                far.releases(&name, &context).unwrap(),
            );
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(&b) {
                assert_eq!(
                    (&a.file, a.sha256, &a.requires_python),
                    (&b.file, b.sha256, &b.requires_python)
                );
                assert_eq!(near.metadata(a).unwrap(), far.metadata(b).unwrap());
                if json {
                    assert_eq!(a.size, b.size);
                    assert_eq!(a.published_at.unwrap().0 / 1000, b.published_at.unwrap().0 / 1000);
                }
                let target = cache.join(&b.file);
                far.open_wheel(b, &target, &context).unwrap();
                assert_eq!(
                    fs_err::read(target).unwrap(),
                    fs_err::read(a.path().unwrap()).unwrap()
                );
            }
        }
        let nothing = far.releases(&package("stool"), &Context::default()).unwrap();
        assert!(nothing.is_empty());
    }
}

#[test]
fn a_second_run_asks_only_whether_pages_changed_and_offline_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    published(&root);
    let server = Server::folder(&root, true);
    let url = server.url("/simple/");
    read_all(&quick(folder.path(), &url), folder.path()).unwrap();
    server.take_log();
    read_all(&quick(folder.path(), &url), folder.path()).unwrap();
    let asked: Vec<_> = server
        .take_log()
        .iter()
        .map(|l| (l.status, l.request.path.clone()))
        .collect();
    assert_eq!(
        asked,
        [
            (304, "/simple/chair/".to_owned()),
            (200, format!("/packages/chair/{CHAIR}"))
        ]
    );

    let offline = NetworkOptions {
        offline: true,
        ..options(folder.path())
    };
    let repo = open(offline, Context::default(), &url);
    let release = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    repo.metadata(&release).unwrap();
    let newer = repo
        .release(&package("chair"), &version("1.1"), &Context::default())
        .unwrap();
    let error = repo.metadata(&newer).unwrap_err();
    assert_eq!(error.code(), "index::offline");
    assert!(
        error
            .to_string()
            .starts_with("the metadata of chair 1.1 of `http://127.0.0.1"),
        "{error}"
    );
    let error = repo.releases(&package("table"), &Context::default()).unwrap_err();
    assert!(error.to_string().contains("the page of table"), "{error}");
    assert_eq!(server.take_log().len(), 0);
}

#[test]
fn a_page_that_says_how_long_it_holds_is_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::html("").with("Cache-Control", "public, max-age=600"));
    let url = server.url("/simple/");
    for _ in 0..2 {
        quick(folder.path(), &url)
            .releases(&package("chair"), &Context::default())
            .unwrap();
    }
    assert_eq!(server.log().len(), 1);
}

#[test]
fn metadata_is_read_from_the_end_of_a_wheel_where_it_is_not_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let content = "x".repeat(3_000_000);
    let big = Wheel {
        content: &content,
        headers: "Requires-Dist: table\n",
        ..Wheel::new("chair", "1.0")
    }
    .bytes();
    for ranges in [true, false] {
        let wheel = big.clone();
        let server = chairs(&format!("{CHAIR}#sha256={}", sha256(&big)), move |request| {
            let range = request.header("range").strip_prefix("bytes=").filter(|_| ranges);
            request.path.ends_with(CHAIR).then(|| match range {
                Some(range) => ranged(&wheel, range),
                None => Reply::bytes(wheel.clone()),
            })
        });
        let repo = quick(&folder.path().join(ranges.to_string()), &server.url("/simple/"));
        let release = repo
            .release(&package("chair"), &version("1.0"), &Context::default())
            .unwrap();
        assert_eq!(repo.metadata(&release).unwrap().requires_dist.len(), 1);
        let sent: u64 = server
            .log()
            .iter()
            .filter(|l| l.request.path.ends_with(CHAIR))
            .map(|l| l.sent)
            .sum();
        if ranges {
            assert!(
                sent < 40_000,
                "{sent} bytes of a wheel of {} were sent",
                big.len()
            );
        }
        repo.open_wheel(&release, &folder.path().join(CHAIR), &Context::default())
            .unwrap();
        assert_eq!(fs_err::read(folder.path().join(CHAIR)).unwrap(), big);
    }
}

#[test]
fn what_is_not_what_the_page_says_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "0".repeat(64);
    let good = sha256(&chair());
    let json = |fields: &str| {
        let body = format!(
            "{{\"meta\": {{\"api-version\": \"1.1\"}}, \"name\": \"chair\", \"files\": [{{\"filename\": \"{CHAIR}\", \"url\": \"{CHAIR}\", {fields}}}]}}"
        );
        Server::start(move |request| match request.path.as_str() {
            "/simple/chair/" => Reply::json(body.clone()),
            path if path.ends_with(".metadata") => {
                Reply::bytes("Metadata-Version: 2.1\nName: stool\nVersion: 1.0\n")
            }
            _ => Reply::bytes(chair()),
        })
    };
    let cases = [
        (
            json(&format!("\"hashes\": {{\"sha256\": \"{wrong}\"}}")),
            "index::wrong_digest",
        ),
        (
            json(&format!(
                "\"hashes\": {{\"sha256\": \"{good}\"}}, \"core-metadata\": {{\"sha256\": \"{wrong}\"}}"
            )),
            "index::wrong_digest",
        ),
        (
            json(&format!(
                "\"hashes\": {{\"sha256\": \"{good}\"}}, \"core-metadata\": true"
            )),
            "index::wrong_metadata",
        ),
        (json("\"hashes\": {}, \"size\": 10"), "index::wrong_size"),
        (json("\"hashes\": {}, \"size\": 999999"), "index::wrong_size"),
    ];
    for (number, (server, code)) in cases.iter().enumerate() {
        let folder = folder.path().join(number.to_string());
        let error = read_all(&quick(&folder, &server.url("/simple/")), &folder).unwrap_err();
        assert_eq!(error.code(), *code, "{number}: {error}");
        assert!(error.to_string().contains(CHAIR), "{error}");
        assert!(!folder.join("got").join(CHAIR).exists());
        // What is wrong is not kept either: it is found out again.
        assert_eq!(code_of(&quick(&folder, &server.url("/simple/")), &folder), *code);
    }
}

#[test]
fn a_wheel_without_a_digest_is_hashed_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let server = chairs(CHAIR, |_| None);
    let warnings = Warnings::default();
    let repo = open(
        options(folder.path()),
        warnings.context(),
        &server.url("/simple/"),
    );
    let release = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    assert_eq!(repo.digest(&release).unwrap().to_hex(), sha256(&chair()));
    assert_eq!(warnings.codes(), ["index::no_digest"]);
}

type Answer = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[test]
fn what_may_pass_is_tried_again_and_what_does_not_ends_in_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let link = format!("{CHAIR}#sha256={}", sha256(&chair()));
    let torn = |body: &[u8]| {
        let mut bytes =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99999\r\n\r\n".to_vec();
        bytes.extend_from_slice(body);
        Reply::Raw(bytes)
    };
    let cases: [(&str, Answer, Option<&str>); 8] = [
        (
            "500 then 200",
            Box::new(|r| (r.times == 1).then(|| Reply::status(500))),
            None,
        ),
        (
            "429 with a pause",
            Box::new(|r| (r.times == 1).then(|| Reply::status(429).with("Retry-After", "0"))),
            None,
        ),
        (
            "torn, then whole",
            Box::new(move |r| (r.times == 1).then(|| torn(b"half"))),
            None,
        ),
        (
            "closed, then open",
            Box::new(|r| (r.times < 3).then(|| Reply::Raw(Vec::new()))),
            None,
        ),
        (
            "always 503",
            Box::new(|_| Some(Reply::status(503))),
            Some("index::refused"),
        ),
        (
            "a pause without end",
            Box::new(|_| Some(Reply::status(503).with("Retry-After", "86400"))),
            Some("index::refused"),
        ),
        (
            "never",
            Box::new(|_| Some(Reply::Silence)),
            Some("index::unreachable"),
        ),
        (
            "endless",
            Box::new(|_| Some(Reply::Endless)),
            Some("index::too_large"),
        ),
    ];
    for (number, (name, answer, code)) in cases.into_iter().enumerate() {
        let server = chairs(&link, answer);
        let folder = folder.path().join(number.to_string());
        let options = NetworkOptions {
            retries: if name == "never" { 1 } else { 3 },
            ..options(&folder)
        };
        let repo = open(options, Context::default(), &server.url("/simple/"));
        let result = read_all(&repo, &folder);
        assert_eq!(
            result.as_ref().err().map(Diagnostic::code),
            code,
            "{name}: {result:?}"
        );
    }
    let refused = quick(folder.path(), "http://127.0.0.1:1/simple/");
    let error = read_all(&refused, folder.path()).unwrap_err();
    assert_eq!(error.code(), "index::unreachable");
    assert!(
        error.retry() && error.to_string().contains("127.0.0.1:1/simple/chair/"),
        "{error}"
    );
}

#[test]
fn a_wheel_whose_server_dies_midway_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let link = format!("{CHAIR}#sha256={}", sha256(&chair()));
    let server = chairs(&link, |request| {
        let whole_file = request.path.ends_with(CHAIR) && request.header("range").is_empty();
        (whole_file && request.times <= 3).then(|| {
            let body = chair();
            let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            bytes.extend_from_slice(&body[..body.len() / 2]);
            Reply::Raw(bytes)
        })
    });
    let repo = quick(folder.path(), &server.url("/simple/"));
    read_all(&repo, folder.path()).unwrap();
    assert_eq!(
        fs_err::read(folder.path().join("got").join(CHAIR)).unwrap(),
        chair()
    );
}

#[test]
fn cancelling_ends_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::Silence);
    let cancel = Cancel::default();
    let context = Context::default().with_cancel(cancel.clone());
    let slow = NetworkOptions::new(folder.path());
    let repo = open(slow, context, &server.url("/simple/"));
    let waiting = std::thread::spawn(move || repo.packages().unwrap_err().code());
    std::thread::sleep(Duration::from_millis(100));
    cancel.cancel();
    assert_eq!(waiting.join().unwrap(), "core::cancelled");
}

#[derive(Debug)]
struct Ana;

impl CredentialSource for Ana {
    fn kind(&self) -> SourceKind {
        SourceKind::Given
    }
    fn find(
        &self,
        request: &CredentialRequest<'_>,
        _: &Context,
    ) -> backlot_net::Result<Option<FoundCredential>> {
        let is_hers = *request.place == PlaceName::Repo("studio".to_owned()) && request.host() == "127.0.0.1";
        Ok(is_hers.then(|| FoundCredential {
            credential: Credential {
                user: "ana".to_owned(),
                password: "hunter2".to_owned(),
            },
            source: SourceKind::Given,
            from: "a test".to_owned(),
            expires: None,
        }))
    }
}

#[test]
fn credentials_go_to_their_host_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Arc::new(Server::start(|request| match request.path.as_str() {
        "/simple/chair/" => page(&[CHAIR]),
        _ => Reply::bytes(chair()),
    }));
    let to = elsewhere.other_url("");
    let server = Server::start(move |request| {
        if request.header("authorization") != "Basic YW5hOmh1bnRlcjI=" {
            return Reply::status(401);
        }
        Reply::status(302).with("Location", &format!("{to}{}", request.path))
    });
    let with = NetworkOptions {
        credentials: CredentialChain::default().with(Arc::new(Ana)),
        ..options(folder.path())
    };
    read_all(
        &open(with, Context::default(), &server.url("/simple/")),
        folder.path(),
    )
    .unwrap();
    assert!(elsewhere.log().len() >= 2);
    for logged in elsewhere.log() {
        assert_eq!(logged.request.header("authorization"), "", "{logged:?}");
    }
    let without = quick(&folder.path().join("b"), &server.url("/simple/"));
    let error = read_all(&without, folder.path()).unwrap_err();
    assert_eq!(error.code(), "index::denied");
    assert!(error.help().unwrap().contains("BACKLOT_REPO_STUDIO_TOKEN"));
}

/// Says another password each time.
#[derive(Debug, Default)]
struct Turning(std::sync::atomic::AtomicUsize);

impl CredentialSource for Turning {
    fn kind(&self) -> SourceKind {
        SourceKind::Helper
    }
    fn find(&self, _: &CredentialRequest<'_>, _: &Context) -> backlot_net::Result<Option<FoundCredential>> {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Some(FoundCredential {
            credential: Credential {
                user: "a".to_owned(),
                password: format!("{number}"),
            },
            source: SourceKind::Helper,
            from: "a test".to_owned(),
            expires: None,
        }))
    }
}

#[test]
fn credentials_that_end_between_two_requests_are_asked_for_again() {
    // In base64 `a:0`, `a:1`, `a:2`.
    const SENT: [&str; 3] = ["Basic YTow", "Basic YTox", "Basic YToy"];
    let folder = tempfile::tempdir().unwrap();
    let server = chairs(&format!("../../{CHAIR}"), |request| {
        // The page lets in the first, the wheel and its metadata the second.
        let good = SENT[usize::from(!request.path.ends_with('/'))];
        (request.header("authorization") != good).then(|| Reply::status(401))
    });
    let source = Arc::new(Turning::default());
    let with = NetworkOptions {
        credentials: CredentialChain::default().with(Arc::clone(&source) as _),
        ..options(folder.path())
    };
    read_all(
        &open(with, Context::default(), &server.url("/simple/")),
        folder.path(),
    )
    .unwrap();
    assert_eq!(source.0.load(std::sync::atomic::Ordering::Relaxed), 2);
    // Where none is good, it is asked once more and no oftener, and the refusal stands.
    let server = Server::start(|_| Reply::status(401));
    let source = Arc::new(Turning::default());
    let with = NetworkOptions {
        credentials: CredentialChain::default().with(Arc::clone(&source) as _),
        ..options(&folder.path().join("b"))
    };
    let repo = open(with, Context::default(), &server.url("/simple/"));
    assert_eq!(code_of(&repo, folder.path()), "index::denied");
    assert_eq!(code_of(&repo, folder.path()), "index::denied");
    assert_eq!(source.0.load(std::sync::atomic::Ordering::Relaxed), 2);
    let sent: Vec<String> = server
        .log()
        .iter()
        .map(|l| l.request.header("authorization").to_owned())
        .collect();
    assert_eq!(sent[..2], [SENT[0], SENT[1]]);
}

#[test]
fn redirects_that_lead_astray_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    for to in ["file:///etc/passwd", "javascript:alert(1)", "/simple/chair/"] {
        let server = Server::start(move |_| Reply::status(302).with("Location", to));
        let repo = quick(folder.path(), &server.url("/simple/"));
        assert_eq!(code_of(&repo, folder.path()), "index::redirect", "{to}");
    }
}

#[test]
fn an_index_is_found_below_the_address_that_was_typed_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let version = "<meta name=\"pypi:repository-version\" content=\"1.0\">";
    let server = Server::start(move |request| match request.path.as_str() {
        "/ana/dev/+simple/" | "/plain/simple/" => Reply::html("<a href=\"chair/\">chair</a>"),
        "/marked/" => Reply::html(version),
        "/web/" => Reply::html("<a href=\"/login\">log in</a>"),
        "/new/" => Reply::html("<meta name=\"pypi:repository-version\" content=\"2.0\">"),
        _ => Reply::status(404),
    });
    let network = Network::new(options(folder.path()), Context::default()).unwrap();
    let find = |path: &str| IndexRepo::find(&network, "studio", &server.url(path));
    assert_eq!(find("/ana/dev").unwrap(), server.url("/ana/dev/+simple/"));
    assert_eq!(find("/plain/").unwrap(), server.url("/plain/simple/"));
    assert_eq!(find("/plain/simple").unwrap(), server.url("/plain/simple/"));
    assert_eq!(find("/marked").unwrap(), server.url("/marked/"));
    for path in ["/web/", "/new/", "/nothing/"] {
        let error = find(path).unwrap_err();
        assert!(
            matches!(error, Error::Index(IndexError::NotAnIndex { .. })),
            "{path}: {error}"
        );
    }
    for url in [
        "ftp://h/simple/",
        "https://u:secret@h/simple/",
        "https://secret@h/",
        "https://h/?token=secret",
        "secret",
    ] {
        let error = IndexRepo::find(&network, "studio", url).unwrap_err();
        assert_eq!(error.code(), "index::bad_url");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn an_answer_that_trickles_is_given_up_be_it_a_page_or_a_wheel() {
    for what in ["/simple/chair/", CHAIR] {
        let folder = tempfile::tempdir().unwrap();
        let server = chairs(CHAIR, move |request| {
            request.path.ends_with(what).then_some(Reply::Trickle)
        });
        let patient = NetworkOptions {
            read_timeout: Duration::from_secs(1),
            retries: 0,
            ..options(folder.path())
        };
        let repo = open(patient, Context::default(), &server.url("/simple/"));
        let began = std::time::Instant::now();
        let error = read_all(&repo, folder.path()).unwrap_err();
        assert!(error.to_string().contains("too slowly"), "{what}: {error}");
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
    }
}

#[test]
fn an_upload_is_a_conflict_where_the_version_is_there_and_says_why_it_was_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = Wheel::new("chair", "1.0").write(folder.path());
    let answers = [
        (409, "index::upload_refused"),
        (400, "index::upload_refused"),
        (403, "index::denied"),
        (413, "index::upload_refused"),
        (302, "index::redirect"),
    ];
    for (status, code) in answers {
        let server = Server::start(move |request| match (request.method.as_str(), status) {
            ("GET", _) => page(&[]),
            (_, 302) => Reply::status(302).with("Location", "/elsewhere"),
            (_, status) => Reply::new(status, "text/plain", "File already exists. Or not."),
        });
        let repo = quick(&folder.path().join(status.to_string()), &server.url("/simple/"));
        let checked = backlot_repo::Checked::wheel(&wheel, &Context::default()).unwrap();
        let error = repo
            .publish(&checked, &by("ana"), &Context::default())
            .unwrap_err();
        let conflict = status == 409 || status == 400;
        let code = if conflict { "repo::release_exists" } else { code };
        assert_eq!(error.code(), code, "{status}: {error}");
        let posted = server
            .log()
            .into_iter()
            .find(|l| l.request.method == "POST")
            .unwrap()
            .request;
        assert_eq!(posted.path, "/");
        let body = String::from_utf8_lossy(&posted.body).into_owned();
        for field in [
            "name=\":action\"\r\n\r\nfile_upload",
            "name=\"sha256_digest\"",
            "name=\"requires_python\"",
            "filename=\"chair-1.0-py3-none-any.whl\"",
        ] {
            assert!(body.contains(field), "{field}");
        }
    }
}
