//! Pages of indexes: of what is kept, nothing leads elsewhere than it says, and nothing can upset a terminal.

use backlot_pep::PackageName;
use backlot_repo::{Listing, Location, read_package_page};

const URL: &str = "https://index.example/simple/chair/";

/// Words of HTML pages.
pub(crate) const HTML_WORDS: &[&str] = &[
    "<a href=\"",
    "\">",
    "</a>",
    "<base href=\"",
    "<meta name=\"pypi:repository-version\" content=\"",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "chair-1.0-py3-none-any.whl",
    "chair-1.0.tar.gz",
    "#sha256=",
    "&amp;",
    "&#x2f;",
    "%2f",
    "%00",
    "../",
    "//",
    "http://",
    "https://u:p@",
    "javascript:",
    "file:///",
    " data-yanked=\"",
    " data-requires-python=\"",
    " data-core-metadata=\"sha256=",
    "\u{1b}[31m",
    "\n",
];
/// Words of JSON pages.
pub(crate) const JSON_WORDS: &[&str] = &[
    "{\"meta\":{\"api-version\":\"1.1\"},\"files\":[",
    "]}",
    "{\"filename\":\"",
    "\",\"url\":\"",
    "\"hashes\":{\"sha256\":\"",
    "\"yanked\":",
    "\"size\":",
    "\"upload-time\":\"2024-01-01T00:00:00Z\"",
    "\"requires-python\":\"",
    "\"core-metadata\":",
    "true",
    "false",
    "null",
    "18446744073709551616",
    "-1",
    "1e999",
    "\\u0000",
    "\\u001b",
    "\\ud800",
    "chair-1.0-py3-none-any.whl",
    "chair-1.0.tar.gz",
    "https://u:p@",
    "../",
    ",",
    "}",
    "[[[[",
];

/// A page of HTML.
pub(crate) fn html(input: &[u8]) {
    check("text/html", input);
}

/// A page of JSON.
pub(crate) fn json(input: &[u8]) {
    check("application/vnd.pypi.simple.v1+json", input);
}

fn check(kind: &str, input: &[u8]) {
    let chair = PackageName::parse("chair").expect("a name");
    let Ok(listing) = read_package_page(kind, input, URL, &chair) else {
        return;
    };
    for release in listing.releases.iter().chain(&listing.sources) {
        assert_eq!(release.package, chair);
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '\\');
        assert!(release.file.chars().all(plain), "{:?}", release.file);
        let Location::Url(url) = &release.place() else {
            panic!("{:?} is no URL", release.place());
        };
        assert!(url.starts_with("https://") || release.sha256.is_some(), "{url}");
        let host = url.split('/').nth(2).expect("a host");
        assert!(!host.contains('@'), "{url}");
        for text in [
            Some(url),
            release.requires_python.as_ref(),
            release.yanked.as_ref(),
        ] {
            assert!(text.is_none_or(|t| is_tame(t)), "{text:?}");
        }
    }
    for (place, reason) in listing.broken.iter().map(|b| (&b.place, &b.reason)) {
        assert!(is_tame(&place.to_string()) && is_tame(reason), "{place} {reason}");
    }
    assert!(listing.releases.is_sorted_by(|a, b| a.version <= b.version));
    assert!(listing.sources.is_sorted_by(|a, b| a.version <= b.version));
    let again: Listing = read_package_page(kind, input, URL, &chair).expect("the same page");
    assert_eq!(format!("{again:?}"), format!("{listing:?}"));
}

fn is_tame(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.len() < 10_000
}
