//! Digests other than SHA-256: SHA-384 and SHA-512 of an index, a URL or its metadata are verified, as by pip and uv.

use backlot_tests::Studio;
use backlot_tests::installers::{INSTALLERS, install_by};
use backlot_tests::server::{Reply, Server};
use backlot_tests::wheels::{locked, sha256, wheel};
use sha2::Digest as _;

const FILE: &str = "pk-1.0-py3-none-any.whl";
const METADATA: &str = "Metadata-Version: 2.1\nName: pk\nVersion: 1.0\n";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn digest(algorithm: &str, bytes: &[u8]) -> String {
    match algorithm {
        "sha384" => hex(&sha2::Sha384::digest(bytes)),
        "sha512" => hex(&sha2::Sha512::digest(bytes)),
        _ => sha256(bytes),
    }
}

/// An index with one wheel and what its page says of it.
fn index(page: &str, json: bool) -> Server {
    let page = page.to_owned();
    Server::start(move |request| match request.path.as_str() {
        "/simple/" => Reply::html(r#"<a href="pk/">pk</a>"#),
        "/simple/pk/" if json => Reply::new(200, "application/vnd.pypi.simple.v1+json", page.clone()),
        "/simple/pk/" => Reply::html(page.clone()),
        path if path.ends_with(".metadata") => Reply::bytes(METADATA),
        path if path.ends_with(FILE) => Reply::bytes(wheel("pk", "1.0", "", "first")),
        _ => Reply::status(404),
    })
}

#[test]
fn every_digest_of_an_index_page_is_compared_as_by_pip_and_uv() {
    let right = wheel("pk", "1.0", "", "first");
    for algorithm in ["sha256", "sha384", "sha512"] {
        for json in [false, true] {
            for (bytes, is_right) in [(&right[..], true), (b"other", false)] {
                let digest = digest(algorithm, bytes);
                let page = if json {
                    format!(
                        r#"{{"meta": {{"api-version": "1.0"}}, "name": "pk", "files": [{{"filename": "{FILE}", "url": "/f/{FILE}", "hashes": {{"{algorithm}": "{digest}"}}}}]}}"#
                    )
                } else {
                    format!(r#"<a href="/f/{FILE}#{algorithm}={digest}">{FILE}</a>"#)
                };
                let (studio, server) = (Studio::empty(), index(&page, json));
                studio.run(&["init", "ws"]).ok();
                studio.ws(&["repo", "add", "web", &server.url("/simple/")]).ok();
                let run = studio.ws(&["install", "pk", "--json"]);
                let what = format!("{algorithm} json={json} right={is_right}");
                if is_right {
                    let stderr = run.stderr();
                    run.ok();
                    assert!(!stderr.contains("no_digest"), "{what}: {stderr}");
                    assert_eq!(
                        locked(&studio, "ws", "pk")["sha256"].as_str(),
                        Some(&*sha256(&right))
                    );
                } else {
                    run.fails(7, "index::wrong_digest");
                }
                // Each kind of page once.
                let peers = if json == (algorithm == "sha512") {
                    &INSTALLERS[..]
                } else {
                    &[]
                };
                for by in peers {
                    let target = studio.path(&format!("by-{by}"));
                    let run = install_by(by, &target, &["--index-url", &server.url("/simple/"), "pk"]);
                    assert_eq!(
                        run.output.status.success(),
                        is_right,
                        "{by} {what}: {}",
                        run.stderr()
                    );
                }
            }
        }
    }
}

#[test]
fn a_page_with_a_digest_that_is_none_offers_no_file_and_one_with_two_is_held_to_both() {
    let right = wheel("pk", "1.0", "", "first");
    let (sha256, sha512) = (sha256(&right), digest("sha512", &right));
    let wrong = digest("sha512", b"other");
    for (hashes, code) in [
        (
            format!(r#""sha512": "{}""#, &sha512[1..]),
            Some((4, "resolve::unknown_package")),
        ),
        (r#""sha512": 5"#.to_owned(), Some((4, "resolve::unknown_package"))),
        (
            format!(r#""sha256": "{sha256}", "sha512": "{wrong}""#),
            Some((7, "index::wrong_digest")),
        ),
        (
            format!(r#""sha256": "{sha256}", "sha512": "{sha512}", "md5": "x""#),
            None,
        ),
    ] {
        let page = format!(
            r#"{{"meta": {{"api-version": "1.0"}}, "name": "pk", "files": [{{"filename": "{FILE}", "url": "/f/{FILE}", "hashes": {{{hashes}}}}}]}}"#
        );
        let (studio, server) = (Studio::empty(), index(&page, true));
        studio.run(&["init", "ws"]).ok();
        studio.ws(&["repo", "add", "web", &server.url("/simple/")]).ok();
        let run = studio.ws(&["install", "pk", "--json"]);
        match code {
            None => drop(run.ok()),
            Some((exit, code)) => drop(run.fails(exit, code)),
        }
    }
}

#[test]
fn metadata_beside_a_wheel_is_held_to_its_sha_512() {
    let right = wheel("pk", "1.0", "", "first");
    for (of, is_right) in [(METADATA, true), ("other", false)] {
        let page = format!(
            r#"<a href="/f/{FILE}#sha256={}" data-core-metadata="sha512={}">{FILE}</a>"#,
            sha256(&right),
            digest("sha512", of.as_bytes())
        );
        let (studio, server) = (Studio::empty(), index(&page, false));
        studio.run(&["init", "ws"]).ok();
        studio.ws(&["repo", "add", "web", &server.url("/simple/")]).ok();
        let run = studio.ws(&["install", "pk", "--json"]);
        if is_right {
            run.ok();
        } else {
            run.fails(7, "index::wrong_digest");
        }
    }
}

#[test]
fn a_url_is_held_to_its_sha_512_also_where_the_file_is_known_already() {
    let right = wheel("pk", "1.0", "", "first");
    let server = index("", false);
    let studio = Studio::empty();
    studio.write(&format!("www/{FILE}"), &right);
    let (good, bad) = (digest("sha512", &right), digest("sha512", b"other"));
    let local = format!("file://{}", studio.path("www").join(FILE).display());
    for (number, url) in [server.url(&format!("/f/{FILE}")), local].iter().enumerate() {
        let ws = format!("ws{number}");
        studio.run(&["init", &ws]).ok();
        let install = |digest: &str| {
            let requirement = format!("pk @ {url}#{digest}");
            studio.run(&["-w", &ws, "install", &requirement, "--json"])
        };
        install(&format!("sha512={bad}")).fails(7, "direct_url::wrong_digest");
        install(&format!("sha512={good}")).ok();
        assert_eq!(
            locked(&studio, &ws, "pk")["sha256"].as_str(),
            Some(&*sha256(&right))
        );
        // It is cached and locked now.
        install(&format!("sha512={bad}")).fails(7, "direct_url::wrong_digest");
        install(&format!("sha384={}", digest("sha384", &right))).ok();
        install("sha512=12").fails(2, "direct_url::invalid");
        install("md5=12").fails(2, "direct_url::invalid");
    }
}

#[test]
fn a_digest_in_the_requirement_of_a_package_is_compared() {
    let lamp = wheel("lamp", "1.0", "", "first");
    for (algorithm, is_right) in [
        ("sha256", true),
        ("sha256", false),
        ("sha512", true),
        ("sha512", false),
    ] {
        let studio = Studio::empty();
        studio.write("www/lamp-1.0-py3-none-any.whl", &lamp);
        let url = format!(
            "file://{}",
            studio.path("www/lamp-1.0-py3-none-any.whl").display()
        );
        let promised = digest(algorithm, if is_right { &lamp } else { b"other" });
        let needs = format!("Requires-Dist: lamp @ {url}#{algorithm}={promised}\n");
        backlot_tests::wheels::put(&studio, "drop", "pk", "1.0", &needs);
        studio.run(&["init", "ws"]).ok();
        studio.ws(&["repo", "add", "drop", "drop"]).ok();
        // The workspace names the URL, too, without a digest.
        let run = studio.ws(&["install", "pk", &format!("lamp @ {url}"), "--json"]);
        if is_right {
            run.ok();
        } else {
            run.fails(7, "direct_url::wrong_digest");
        }
    }
}
