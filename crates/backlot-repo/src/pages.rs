//! The text of index pages: PEP 503 HTML and PEP 691 JSON (with the fields of PEP 592, 658, 700 and 714).
//!
//! Invariant: a page is a function of the listing only, so two machines that see the same releases write
//! the same bytes. Everything from a wheel is escaped. Deliberately absent: reading and writing files.

use std::fmt::Write as _;

use backlot_core::Sha256;
use backlot_core::text::{markup, printable};
use backlot_pep::{PackageName, Version};
use serde_json::{Map, Value, json};

use crate::release::ReleaseFile;

/// The version of the index format these pages have.
const API_VERSION: &str = "1.1";

/// One wheel on a page, with its status.
#[derive(Debug)]
pub(crate) struct PageEntry {
    pub(crate) release: ReleaseFile,
    /// The digest of the sidecar, where it exists and is right: a promised but missing sidecar is fatal to installers.
    pub(crate) sidecar: Option<Sha256>,
}

/// `simple/<name>/index.html`
pub(crate) fn package_html(name: &PackageName, entries: &[PageEntry]) -> String {
    let mut body = String::new();
    for entry in entries {
        let release = &entry.release;
        let mut attributes = String::new();
        if let Some(range) = &release.requires_python {
            attribute(&mut attributes, "data-requires-python", range);
        }
        if let Some(sha256) = &entry.sidecar {
            let value = format!("sha256={sha256}");
            attribute(&mut attributes, "data-core-metadata", &value);
            attribute(&mut attributes, "data-dist-info-metadata", &value);
        }
        if let Some(reason) = &release.yanked {
            attribute(&mut attributes, "data-yanked", reason);
        }
        let mut url = file_url(name, &release.file);
        if let Some(sha256) = release.sha256 {
            write!(url, "#sha256={sha256}").expect("a string takes all");
        }
        let text = markup(&printable(&release.file));
        writeln!(
            body,
            "    <a href=\"{}\"{attributes}>{text}</a><br>",
            markup(&printable(&url))
        )
        .expect("a string takes all");
    }
    html_page(&format!("Links for {name}"), &body)
}

/// `simple/index.html`
pub(crate) fn root_html(names: &[PackageName]) -> String {
    let mut body = String::new();
    for name in names {
        writeln!(body, "    <a href=\"{name}/\">{name}</a><br>").expect("a string takes all");
    }
    html_page("Packages", &body)
}

/// `simple/<name>/index.json`
pub(crate) fn package_json(name: &PackageName, entries: &[PageEntry]) -> String {
    let mut versions: Vec<&Version> = entries.iter().map(|e| &e.release.version).collect();
    versions.dedup();
    let versions: Vec<String> = versions.into_iter().map(ToString::to_string).collect();
    let files: Vec<Value> = entries.iter().map(|e| file_json(name, e)).collect();
    json_page(&json!({
        "meta": { "api-version": API_VERSION },
        "name": name.as_str(),
        "versions": versions,
        "files": files,
    }))
}

/// `simple/index.json`
pub(crate) fn root_json(names: &[PackageName]) -> String {
    let projects: Vec<Value> = names.iter().map(|n| json!({ "name": n.as_str() })).collect();
    json_page(&json!({ "meta": { "api-version": API_VERSION }, "projects": projects }))
}

/// The names on a root page, as far as it can be read.
pub(crate) fn names_in_root_json(page: &[u8]) -> Vec<PackageName> {
    let page: Value = serde_json::from_slice(page).unwrap_or_default();
    let projects = page["projects"].as_array().map(Vec::as_slice).unwrap_or_default();
    projects
        .iter()
        .filter_map(|p| PackageName::parse(p["name"].as_str()?).ok())
        .collect()
}

fn file_json(name: &PackageName, entry: &PageEntry) -> Value {
    let release = &entry.release;
    let mut file = Map::new();
    file.insert("filename".to_owned(), json!(release.file));
    file.insert("url".to_owned(), json!(file_url(name, &release.file)));
    let hashes = release
        .sha256
        .map_or_else(|| json!({}), |sha256| json!({ "sha256": sha256 }));
    file.insert("hashes".to_owned(), hashes);
    if let Some(range) = &release.requires_python {
        file.insert("requires-python".to_owned(), json!(range));
    }
    if let Some(sha256) = &entry.sidecar {
        file.insert("core-metadata".to_owned(), json!({ "sha256": sha256 }));
        file.insert("dist-info-metadata".to_owned(), json!({ "sha256": sha256 }));
    }
    file.insert("size".to_owned(), json!(release.size));
    if let Some(at) = &release.published_at {
        file.insert("upload-time".to_owned(), json!(at.to_string()));
    }
    let yanked = match &release.yanked {
        None => json!(false),
        Some(reason) if reason.is_empty() => json!(true),
        Some(reason) => json!(reason),
    };
    file.insert("yanked".to_owned(), yanked);
    if let Some(reason) = &release.deprecated {
        file.insert("_deprecated".to_owned(), json!(reason));
    }
    Value::Object(file)
}

/// The way from `simple/<name>/` to a wheel.
fn file_url(name: &PackageName, file: &str) -> String {
    format!("../../packages/{name}/{}", percent_encode(file))
}

/// One component of a URL path (RFC 3986): all but the unreserved characters encoded.
fn percent_encode(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").expect("a string takes all");
        }
    }
    url
}

fn attribute(attributes: &mut String, name: &str, value: &str) {
    write!(attributes, " {name}=\"{}\"", markup(&printable(value))).expect("a string takes all");
}

fn html_page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\">\n    \
         <meta name=\"pypi:repository-version\" content=\"{API_VERSION}\">\n    <title>{title}</title>\n  </head>\n  \
         <body>\n    <h1>{title}</h1>\n{body}  </body>\n</html>\n"
    )
}

fn json_page(page: &Value) -> String {
    let mut text = serde_json::to_string(page).expect("a page is plain data");
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{
        PageEntry, attribute, names_in_root_json, package_html, package_json, percent_encode, root_html,
        root_json,
    };
    use crate::release::{FileLocation, ReleaseFile, ReleaseKind};
    use backlot_core::{Sha256, Timestamp};
    use backlot_pep::PackageName;
    use backlot_wheel::WheelName;

    fn entry(file: &str, sidecar: bool, yanked: Option<&str>) -> PageEntry {
        let name: WheelName = file.parse().unwrap();
        PageEntry {
            release: ReleaseFile {
                kind: ReleaseKind::Wheel,
                file: file.to_owned(),
                package: name.package.clone(),
                version: name.version.clone(),
                name,
                lies: FileLocation::Dir(std::path::Path::new("").into()),
                size: Some(1234),
                sha256: Some(Sha256::from_bytes([0xab; 32])),
                requires_python: sidecar.then(|| ">=3.9,<4".to_owned()),
                published_at: Some(Timestamp(1_709_210_096_000)),
                yanked: yanked.map(str::to_owned),
                deprecated: yanked.map(|_| "use 2.1".to_owned()),
                metadata_sha256: Some(Sha256::from_bytes([0xcd; 32])),
                strong: None,
                has_metadata: false,
                modified: 0,
            },
            sidecar: sidecar.then_some(Sha256::from_bytes([0xcd; 32])),
        }
    }

    pub(crate) fn entries() -> Vec<PageEntry> {
        vec![
            entry("main_pack-1.0.0-py3-none-any.whl", true, None),
            entry(
                "main_pack-1!2.0-py3-none-any.whl",
                false,
                Some("wrong \"scale\" <& late>"),
            ),
        ]
    }

    #[test]
    fn a_package_page_has_this_html() {
        let name = PackageName::parse("main-pack").unwrap();
        insta::assert_snapshot!(package_html(&name, &entries()));
    }

    #[test]
    fn a_package_page_has_this_json() {
        let name = PackageName::parse("main-pack").unwrap();
        insta::assert_snapshot!(package_json(&name, &entries()));
    }

    #[test]
    fn the_root_pages_list_the_names() {
        let names: Vec<_> = ["chair", "main-pack"]
            .map(|n| PackageName::parse(n).unwrap())
            .into();
        insta::assert_snapshot!(root_html(&names) + &root_json(&names));
        assert_eq!(names_in_root_json(root_json(&names).as_bytes()), names);
        assert!(names_in_root_json(b"\xff not a page").is_empty());
    }

    #[test]
    fn text_from_outside_cannot_leave_its_place() {
        let mut attributes = String::new();
        attribute(&mut attributes, "a", "\"><script>'\n");
        assert_eq!(attributes, " a=\"&quot;&gt;&lt;script&gt;&#x27; \"");
        assert_eq!(percent_encode("a-1!2+x y/é.whl"), "a-1%212%2Bx%20y%2F%C3%A9.whl");
    }
}
