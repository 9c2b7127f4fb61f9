//! Choosing a file of an index, and stopping a search: compared with pip and uv.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backlot_tests::installers::{INSTALLERS, install_by};
use backlot_tests::server::{Reply, Server};
use backlot_tests::wheels::{locked, put, sha256, wheel};
use backlot_tests::{Run, Studio, run_command, tool};
use fs_err as fs;

/// What a server does with the file of `pk` 1.0, or with its metadata.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Status(u16),
    WrongDigest,
}

/// An index with `pk` 0.9, and 1.0 with a fault in its wheel or beside it.
fn faulty(fault: Fault, in_metadata: bool) -> Server {
    let old = wheel("pk", "0.9", "", "old");
    let new = wheel("pk", "1.0", "", "new");
    let metadata = "Metadata-Version: 2.1\nName: pk\nVersion: 1.0\n";
    let right = |bytes: &[u8], is_here: bool| match fault {
        Fault::WrongDigest if is_here => sha256(b"other"),
        _ => sha256(bytes),
    };
    let core = format!(
        "data-core-metadata=\"sha256={}\"",
        right(metadata.as_bytes(), in_metadata)
    );
    let page = format!(
        r#"<a href="/f/pk-0.9-py3-none-any.whl#sha256={}">pk</a><a href="/f/pk-1.0-py3-none-any.whl#sha256={}" {}>pk</a>"#,
        sha256(&old),
        right(&new, !in_metadata),
        if in_metadata { &core } else { "" },
    );
    let (old, new) = (Arc::new(old), Arc::new(new));
    Server::start(move |request| {
        let path = request.path.split('?').next().unwrap_or_default();
        let is_hit = path.ends_with(".metadata") == in_metadata && path.starts_with("/f/pk-1.0");
        match (path, fault) {
            (_, Fault::Status(status)) if is_hit => {
                Reply::new(status, "text/plain", "\u{1b}[31mSECRET OF THE SERVER")
            }
            ("/simple/", _) => Reply::html(r#"<a href="pk/">pk</a>"#),
            ("/simple/pk/", _) => Reply::html(page.clone()),
            ("/f/pk-0.9-py3-none-any.whl", _) => Reply::bytes((*old).clone()),
            ("/f/pk-1.0-py3-none-any.whl", _) => Reply::bytes((*new).clone()),
            ("/f/pk-1.0-py3-none-any.whl.metadata", _) => Reply::bytes(metadata),
            _ => Reply::status(404),
        }
    })
}

fn install_from(studio: &Studio, server: &Server) -> Run {
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "web", &server.url("/simple/")]).ok();
    studio.ws(&["install", "pk", "--json"])
}

#[test]
fn a_file_that_fails_never_brings_back_an_older_version() {
    for in_metadata in [false, true] {
        for (fault, exit, code) in [
            (Fault::Status(401), 3, "index::denied"),
            (Fault::Status(403), 3, "index::denied"),
            (Fault::Status(500), 6, "index::refused"),
            (Fault::Status(503), 6, "index::refused"),
            (Fault::Status(418), 6, "index::refused"),
            (Fault::WrongDigest, 7, "index::wrong_digest"),
        ] {
            let (studio, server) = (Studio::empty(), faulty(fault, in_metadata));
            let run = install_from(&studio, &server);
            assert!(!run.stdout().contains("SECRET"), "{}", run.stdout());
            run.fails(exit, code);
            let lock = fs::read_to_string(studio.path("ws/backlot.lock")).unwrap_or_default();
            assert!(!lock.contains("pk"), "{fault:?}: {lock}");
            // Those that may pass are tried again for long.
            let peers = if exit == 6 { &[][..] } else { &INSTALLERS };
            for by in peers {
                let target = studio.path(&format!("by-{by}"));
                let peer = install_by(by, &target, &["--index-url", &server.url("/simple/"), "pk"]);
                assert!(!peer.output.status.success(), "{by} {fault:?} {in_metadata}");
            }
        }
    }
}

#[test]
fn a_file_that_is_gone_is_passed_over_and_said_so() {
    let (studio, server) = (Studio::empty(), faulty(Fault::Status(404), false));
    let run = install_from(&studio, &server).ok();
    assert_eq!(locked(&studio, "ws", "pk")["version"].as_str(), Some("0.9"));
    assert!(run.stderr().contains("pk 1.0 is skipped"), "{}", run.stderr());
    assert!(!run.stderr().contains("SECRET"), "{}", run.stderr());
}

#[test]
fn a_damaged_wheel_in_a_folder_never_brings_back_an_older_version() {
    let studio = Studio::empty();
    put(&studio, "drop", "pk", "0.9", "");
    put(&studio, "drop", "pk", "1.0", "");
    let path = studio.path("drop/pk-1.0-py3-none-any.whl");
    let bytes = fs::read(&path).expect("a wheel");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut");
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio
        .ws(&["install", "pk", "--json"])
        .fails(7, "repo::unreadable");
    // The way out.
    studio.ws(&["install", "pk<1", "--json"]).ok();
}

#[test]
fn an_answer_that_is_no_page_never_brings_back_an_older_version_and_is_not_kept() {
    const JSON: &str = "application/vnd.pypi.simple.v1+json";
    for (kind, body) in [
        ("application/json", r#"{"error": "maintenance"}"#),
        (JSON, r#"{"x": 1}"#),
        (
            JSON,
            r#"{"meta": {"api-version": "1.0"}, "name": "dep", "files": null}"#,
        ),
        ("text/html", r#"<form><input name="pw" type="password"></form>"#),
    ] {
        let is_well = Arc::new(AtomicBool::new(false));
        let of_server = Arc::clone(&is_well);
        let server = Server::start(move |request| match request.path.as_str() {
            "/simple/" => Reply::html(r#"<a href="pk/">pk</a>"#),
            "/simple/pk/" => Reply::html(
                r#"<a href="/f/pk-0.9-py3-none-any.whl">pk</a><a href="/f/pk-1.0-py3-none-any.whl">pk</a>"#,
            ),
            "/simple/dep/" if of_server.load(Ordering::Relaxed) => {
                Reply::html(r#"<a href="/f/dep-1.0-py3-none-any.whl">dep</a>"#)
            }
            "/simple/dep/" => Reply::new(200, kind, body).with("Cache-Control", "max-age=600"),
            "/f/pk-0.9-py3-none-any.whl" => Reply::bytes(wheel("pk", "0.9", "", "old")),
            "/f/pk-1.0-py3-none-any.whl" => Reply::bytes(wheel("pk", "1.0", "Requires-Dist: dep\n", "new")),
            "/f/dep-1.0-py3-none-any.whl" => Reply::bytes(wheel("dep", "1.0", "", "dep")),
            _ => Reply::status(404),
        });
        let studio = Studio::empty();
        let error = install_from(&studio, &server).fails(7, "index::bad_page");
        assert!(error.to_string().contains("/simple/dep/"), "{error}");
        is_well.store(true, Ordering::Relaxed);
        studio.ws(&["install", "pk", "--json"]).ok();
        assert_eq!(
            locked(&studio, "ws", "pk")["version"].as_str(),
            Some("1.0"),
            "{body}"
        );
    }
}

#[test]
fn one_wrong_answer_for_a_file_without_a_digest_is_named_by_its_url_and_not_kept() {
    for file in ["pk-1.0-py3-none-any.whl", "pk-1.0.tar.gz"] {
        let is_well = Arc::new(AtomicBool::new(false));
        let of_server = Arc::clone(&is_well);
        let right = if file.ends_with(".whl") {
            wheel("pk", "1.0", "", "new")
        } else {
            sdist("1.0")
        };
        let server = Server::start(move |request| match request.path.as_str() {
            "/simple/" => Reply::html(r#"<a href="pk/">pk</a>"#),
            "/simple/pk/" => Reply::html(format!(r#"<a href="/f/{file}">pk</a>"#)),
            _ if of_server.load(Ordering::Relaxed) => Reply::bytes(right.clone()),
            _ => Reply::bytes("<html>captive portal</html>"),
        });
        let studio = Studio::empty();
        let run = install_from(&studio, &server);
        assert!(!run.output.status.success(), "{file}: {}", run.stdout());
        if file.ends_with(".whl") {
            let error = run.fails(7, "wheel::unsound");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains(&server.url(&format!("/f/{file}"))), "{message}");
            assert!(message.contains("it is a web page"), "{message}");
        }
        is_well.store(true, Ordering::Relaxed);
        studio.ws(&["install", "pk", "--json"]).ok();
        assert_eq!(
            locked(&studio, "ws", "pk")["version"].as_str(),
            Some("1.0"),
            "{file}"
        );
    }
}

/// A page with files of `pk`, each a line of `file, attributes`; all are the same wheel under other names.
fn page_of(files: &[(&str, &str)]) -> Server {
    let mut page = String::new();
    let mut served = std::collections::BTreeMap::new();
    for (file, attributes) in files {
        let version = file
            .split('-')
            .nth(1)
            .unwrap_or_default()
            .trim_end_matches(".tar.gz");
        let bytes = if file.ends_with(".whl") {
            wheel("pk", version, "", file)
        } else {
            sdist(version)
        };
        page.push_str(&format!(
            r#"<a href="/f/{file}#sha256={}" {attributes}>{file}</a>"#,
            sha256(&bytes)
        ));
        served.insert(format!("/f/{file}"), bytes);
    }
    Server::start(move |request| match request.path.as_str() {
        "/simple/" => Reply::html(r#"<a href="pk/">pk</a>"#),
        "/simple/pk/" => Reply::html(page.clone()),
        path => served
            .get(path)
            .map_or(Reply::status(404), |bytes| Reply::bytes(bytes.clone())),
    })
}

/// A source distribution that needs no code to be run.
fn sdist(version: &str) -> Vec<u8> {
    let script = "import io, sys, tarfile
version = sys.argv[1]
out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|gz')
for name, text in [
    ('pyproject.toml', '[project]\\nname = \"pk\"\\nversion = \"%s\"\\n[build-system]\\nrequires = [\"hatchling\"]\\nbuild-backend = \"hatchling.build\"\\n' % version),
    ('PKG-INFO', 'Metadata-Version: 2.1\\nName: pk\\nVersion: %s\\n' % version),
    ('pk/__init__.py', 'SAYS = 1\\n'),
]:
    about = tarfile.TarInfo('pk-%s/%s' % (version, name))
    about.size = len(text)
    out.addfile(about, io.BytesIO(text.encode()))
out.close()";
    let mut python = Command::new(tool("python"));
    run_command(python.args(["-c", script, version]))
        .ok()
        .output
        .stdout
}

#[test]
fn a_fact_about_one_file_hides_no_other_file_of_its_version() {
    const OLD: (&str, &str) = ("pk-0.9-py3-none-any.whl", "");
    const PURE: &str = "pk-1.0-py3-none-any.whl";
    for (files, expected) in [
        (vec![("pk-1.0-cp312-cp312-win_amd64.whl", ""), (PURE, "")], PURE),
        (
            vec![("pk-1.0-py2.py3-none-any.whl", "data-yanked=x"), (PURE, "")],
            PURE,
        ),
        (
            vec![(PURE, "data-yanked=x"), ("pk-1.0-1-py3-none-any.whl", "")],
            "pk-1.0-1-py3-none-any.whl",
        ),
        (
            vec![("pk-1.0-1-py3-none-any.whl", "data-yanked=x"), (PURE, "")],
            PURE,
        ),
        (
            vec![
                ("pk-1.0-1-py3-none-any.whl", r#"data-requires-python="&gt;=3.99""#),
                (PURE, ""),
            ],
            PURE,
        ),
        (vec![(PURE, "data-yanked=x")], OLD.0),
        (vec![(PURE, r#"data-requires-python="&gt;=3.99""#)], OLD.0),
        (vec![("pk-1.0-cp39-cp39-win_amd64.whl", "")], OLD.0),
    ] {
        let studio = Studio::empty();
        let server = page_of(&[&files[..], &[OLD]].concat());
        install_from(&studio, &server).ok();
        let found = locked(&studio, "ws", "pk");
        assert_eq!(found["wheel"].as_str(), Some(expected), "{files:?}");
        // pip and uv install the same.
        let version = expected.split('-').nth(1).expect("a version");
        // But uv takes the range of one file for that of all files beside it.
        let is_range = files.len() > 1 && files[0].1.contains("python");
        for by in INSTALLERS.into_iter().filter(|by| *by == "pip" || !is_range) {
            let target = studio.path(&format!("by-{by}"));
            install_by(by, &target, &["--index-url", &server.url("/simple/"), "pk"]).ok();
            assert!(
                target.join(format!("pk-{version}.dist-info")).is_dir(),
                "{by} {files:?}"
            );
        }
    }
}

#[test]
fn a_wheel_for_another_platform_hides_no_source_distribution() {
    let studio = Studio::empty();
    let server = page_of(&[
        ("pk-1.0-cp312-cp312-win_amd64.whl", ""),
        ("pk-1.0.tar.gz", ""),
        ("pk-0.9-py3-none-any.whl", ""),
    ]);
    install_from(&studio, &server).ok();
    assert_eq!(locked(&studio, "ws", "pk")["version"].as_str(), Some("1.0"));
}

/// Requirements as packages have them, and whether pip and uv are asked too: they agree on all of these.
const REQUIREMENTS: [&str; 31] = [
    "foo >=1.*",
    "foo>=1.0<3",
    "foo ()",
    "foo (>=1.0)",
    "foo (>=1.0,<3)",
    "foo>=1.0,",
    "foo (>=1.0,)",
    "foo>=1.0;",
    "foo!=1.0*",
    "foo!=~1.0",
    "foo>='0.5'",
    "foo>=\"0.5\"",
    "foo>dev",
    "foo >= 0.5 , < 3",
    "foo==2.*",
    "foo~=2.0",
    "foo>=1.0.*,<3",
    "foo[x]>=1.*",
    "foo>=1.* ; python_version > '3'",
    "foo>=1.*; python_version < '3'",
    "foo<3.*",
    "foo<=3.*",
    "foo>1.*",
    "foo~=2.0.*",
    "foo=>1.0",
    "foo=2.0",
    "foo 2.0",
    "foo>=one",
    "foo (>=1.0",
    "foo>=1.0 or foo<1",
    "foo>=1.0 ; nonsense > '3'",
];

/// What each installer makes of `pk` 1.0 with a header, where `pk` 0.9 and `foo` 2.0 are beside it.
fn installed_with(header: &str) -> [(&'static str, Option<String>, bool); 3] {
    let studio = Studio::empty();
    // The newest pip does not read these requirements any more.
    studio.leaves_harm();
    put(&studio, "drop", "pk", "1.0", &format!("{header}\n"));
    put(&studio, "drop", "pk", "0.9", "");
    put(&studio, "drop", "foo", "2.0", "Provides-Extra: x\n");
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    let ours = studio.ws(&["install", "pk"]);
    let lock = fs::read_to_string(studio.path("ws/backlot.lock")).unwrap_or_default();
    let version_in = |text: &str| {
        ["1.0", "0.9"]
            .into_iter()
            .find(|v| text.contains(v))
            .map(ToOwned::to_owned)
    };
    let version = ours.output.status.success().then(|| {
        let found = locked(&studio, "ws", "pk");
        version_in(found["version"].as_str().unwrap_or_default())
    });
    let mut all = vec![("backlot", version.flatten(), lock.contains("name = \"foo\""))];
    for by in INSTALLERS {
        let target = studio.path(&format!("by-{by}"));
        let drop = studio.path("drop").display().to_string();
        let run = install_by(by, &target, &["--no-index", "--find-links", &drop, "pk"]);
        let has = |folder: &str| target.join(folder).is_dir();
        let version = ["1.0", "0.9"]
            .into_iter()
            .find(|v| has(&format!("pk-{v}.dist-info")));
        let version = version
            .filter(|_| run.output.status.success())
            .map(ToOwned::to_owned);
        all.push((by, version, has("foo")));
    }
    all.try_into().expect("three")
}

#[test]
fn a_requirement_of_old_metadata_is_put_right_as_uv_does_or_its_version_passed_over() {
    let mut others = Vec::new();
    for text in REQUIREMENTS {
        let [ours, pip, uv] = installed_with(&format!("Requires-Dist: {text}"));
        // Never without what it may need.
        if ours.1.as_deref() == Some("1.0") && !text.contains("< '3'") {
            assert!(ours.2, "{text}");
        }
        // uv passes these over, which say plainly enough that any `foo` will do, or from 1.0 on.
        let is_our_own = ["foo ()", "foo>=1.0;"].contains(&text);
        if !is_our_own && (&ours.1, ours.2) != (&uv.1, uv.2) {
            others.push((text, ours, pip, uv));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn a_range_of_python_versions_is_judged_in_metadata_as_on_a_page() {
    let mut others = Vec::new();
    for range in [
        ">=3.6",
        ">=3.6,",
        ">=3.6,<4",
        ">=3.6<4",
        ">=3.99",
        ">=3.99,",
        "!=3.0*",
        ">=3.6.*",
        ">=2.7.*,!=3.0.*",
        "<3",
        "<4.0",
        ">=2.7",
        "~=3.6",
        "==3.*",
        "==2.7.*",
        ">=3",
        ">='3.6'",
        "",
        ">3.99",
        "3.6",
        "python3",
        ">=three",
        ">=3.6 or 2.7",
    ] {
        let [ours, pip, uv] = installed_with(&format!("Requires-Python: {range}"));
        if ours.1 != uv.1 {
            others.push((range, ours, pip, uv));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn no_repo_is_asked_for_the_engine_unless_an_asset_needs_it() {
    let (studio, server) = (Studio::empty(), page_of(&[("pk-1.0-py3-none-any.whl", "")]));
    install_from(&studio, &server).ok();
    let asked = server.log();
    assert!(asked.iter().all(|one| !one.request.path.contains("tgzr")));
    // Where it is needed, and no repo has it, the host provides it.
    put(&studio, "drop", "table", "1.0", "Requires-Dist: tgzr-pipeline\n");
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    studio.ws(&["install", "table"]).ok();
    // Where a repo has it, it is installed.
    put(&studio, "drop", "tgzr_pipeline", "1.0", "");
    studio.ws(&["install", "table"]).ok();
    assert_eq!(
        locked(&studio, "ws", "tgzr-pipeline")["version"].as_str(),
        Some("1.0")
    );
}
