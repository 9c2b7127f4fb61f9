//! Pages as they are met, good, odd and hostile.

use std::fmt::Write as _;

use backlot_pep::PackageName;
use url::Url;

use super::error::IndexError;
use super::page;

fn show(kind: &str, body: &str) -> String {
    let url = Url::parse("https://index.example/simple/chair/").unwrap();
    let name = PackageName::parse("chair").unwrap();
    let listing = page::read(Some(kind), body.as_bytes(), &url).and_then(|p| page::releases(p, &name, &url));
    let listing = match listing {
        Ok(listing) => listing,
        Err(error) => return format!("error: {error}"),
    };
    let mut text = String::new();
    for r in &listing.releases {
        writeln!(
            text,
            "{} {} sha256={} size={:?} python={:?} yanked={:?} metadata={}{} at={:?}\n  {}",
            r.package,
            r.version,
            r.sha256.map(|d| d.to_hex()[..8].to_owned()).unwrap_or_default(),
            r.size,
            r.requires_python,
            r.yanked,
            r.has_metadata,
            r.metadata_sha256
                .map(|d| format!(":{}", &d.to_hex()[..8]))
                .unwrap_or_default(),
            r.published_at.map(|at| at.to_string()),
            r.link().unwrap_or_default(),
        )
        .unwrap();
    }
    for s in &listing.sources {
        let link = s.link().unwrap_or_default();
        writeln!(text, "source {} {}\n  {link}", s.package, s.version).unwrap();
    }
    for b in &listing.broken {
        writeln!(text, "broken {}: {}", b.place, b.reason).unwrap();
    }
    for u in &listing.unsupported {
        writeln!(
            text,
            "unsupported {} {:?}",
            u.place,
            u.version.as_ref().map(ToString::to_string)
        )
        .unwrap();
    }
    text
}

#[test]
fn a_page_of_html_of_any_age_is_read() {
    let sha = "ab".repeat(32);
    let body = format!(
        r#"<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"><base href="/files/"></head><body>
<!-- <a href="chair-9.0-py3-none-any.whl">commented</a> -->
<script>var x = '<a href="chair-8.0-py3-none-any.whl">scripted</a>';</script>
<a href="chair-1.0-py3-none-any.whl#sha256={sha}" data-requires-python="&gt;=3.8,&lt;4" data-core-metadata="sha256={sha}">chair</a>
<A HREF='chair-1%212.0-py3-none-any.whl#md5=0123' DATA-YANKED='wrong &quot;scale&quot;' data-dist-info-metadata=true>x</A>
<a href=https://files.example/a/chair-2.0-py3-none-any.whl?sig=1&amp;x=2#sha256={sha} data-yanked>unquoted
<a rel="internal" href="
  chair-3.0-cp313-cp313-manylinux_2_17_x86_64.whl
">spread over lines</a>
<a href="chair-0.9.tar.gz">source</a><a>no link</a><a href="">empty</a><a href="../">up</a><p>unclosed"#
    );
    insta::assert_snapshot!(show("Text/HTML; charset=utf-8", &body));
}

#[test]
fn hostile_links_are_named_and_not_used() {
    let body = r#"
<a href="javascript:alert(1)//chair-1.0-py3-none-any.whl">a</a>
<a href="file:///etc/chair-1.1-py3-none-any.whl">b</a>
<a href="http://index.example/chair-1.2-py3-none-any.whl">unencrypted</a>
<a href="https://ana:pw@evil.example/chair-1.3-py3-none-any.whl">password</a>
<a href="table-1.0-py3-none-any.whl">another package</a>
<a href="chair-1.4-py3-none-any.whl#sha256=xyz">bad digest</a>
<a href="chair-one-py3-none-any.whl">bad version</a>
<a href="https://[/chair-1.5-py3-none-any.whl">no URL</a>
<a href="chair-1.6-py3-none-any.whl">first</a><a href="other/chair-1.6-py3-none-any.whl">second</a>
<a href="x/..%2f..%2fchair-1.7-py3-none-any.whl">path</a>"#;
    insta::assert_snapshot!(show("text/html", body));
}

#[test]
fn a_page_of_json_is_read_and_its_bad_entries_are_named() {
    let sha = "cd".repeat(32);
    let body = format!(
        r#"{{"meta": {{"api-version": "1.4"}}, "name": "Chair", "versions": ["1.0"], "files": [
{{"filename": "chair-1.0-py3-none-any.whl", "url": "../../f/chair-1.0-py3-none-any.whl", "hashes": {{"sha256": "{sha}"}}, "requires-python": "", "core-metadata": {{"sha256": "{sha}"}}, "yanked": false, "size": 1234, "upload-time": "2024-02-29T12:34:56.789Z"}},
{{"filename": "chair-1.1-py3-none-any.whl", "url": "a", "hashes": {{"md5": "00"}}, "dist-info-metadata": true, "yanked": "late\u001b[31m"}},
{{"filename": "chair-1.2-py3-none-any.whl", "url": "b", "hashes": {{}}, "yanked": true, "size": "big", "upload-time": 7, "requires-python": 3}},
{{"filename": "chair-1.3-py3-none-any.whl", "url": "c", "hashes": {{"sha256": 5}}}},
{{"filename": "chair-1.4-py3-none-any.whl", "url": "d", "size": 99999999999999}},
{{"filename": "chair-1.5-1/../../evil-py3-none-any.whl", "url": "e"}},
{{"filename": "../chair-1.6-py3-none-any.whl", "url": "f"}},
{{"filename": "chair-1.7.zip", "url": "g"}},
{{"filename": 8, "url": "h"}}, null, "x", {{"url": "i"}}
], "future": [1]}}"#
    );
    insta::assert_snapshot!(show("application/vnd.pypi.simple.v1+json", &body));
}

#[test]
fn what_is_no_page_of_this_package_is_an_error() {
    let json = "application/vnd.pypi.simple.v1+json";
    let cases = [
        (json, "{"),
        (json, "[]"),
        (json, r#"{"meta": {"api-version": "2.0"}, "files": []}"#),
        (
            json,
            r#"{"meta": {"api-version": "1.0"}, "name": "table", "files": []}"#,
        ),
        ("application/json", r#"{"error": "maintenance"}"#),
        (
            json,
            r#"{"meta": {"api-version": "1.0"}, "name": "chair", "files": null}"#,
        ),
        (
            "text/html",
            r#"<form><input type="Password"></form><a href="chair-1.0-py3-none-any.whl">x</a>"#,
        ),
        ("application/vnd.pypi.simple.v2+json", "{}"),
        (
            "text/html",
            r#"<meta name="pypi:repository-version" content="2.0">"#,
        ),
        ("image/png", "x"),
    ];
    let shown: Vec<String> = cases.iter().map(|(kind, body)| show(kind, body)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn names_on_a_root_page_come_from_either_kind() {
    let url = Url::parse("https://index.example/simple/").unwrap();
    let html = r#"<a href="/simple/chair/">Chair</a><a href="table/">table/</a><a href="x">not a name!</a>"#;
    let json = r#"{"meta": {"api-version": "1.0"}, "projects": [{"name": "Chair"}, {"name": "table"}, {"name": "not a name!"}, 7]}"#;
    for (kind, body) in [("text/html", html), ("application/vnd.pypi.simple.v1+json", json)] {
        let page = page::read(Some(kind), body.as_bytes(), &url).unwrap();
        let names: Vec<_> = page::packages(&page, &url)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["chair", "table"]);
    }
    for (kind, body) in [
        ("application/json", r#"{"error": "maintenance"}"#),
        (
            "text/html",
            r#"<input type="password"><a href="/simple/chair/">chair</a>"#,
        ),
    ] {
        let page = page::read(Some(kind), body.as_bytes(), &url).unwrap();
        let error = page::packages(&page, &url).unwrap_err();
        assert!(matches!(error, IndexError::BadPage { .. }), "{body}");
    }
    let any_bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    page::read(Some("text/html"), &any_bytes, &url).unwrap();
    let error = page::read(None, b"", &url).unwrap_err();
    assert!(matches!(error, IndexError::BadPage { .. }));
}
