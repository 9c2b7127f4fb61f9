//! Wheels for the tests of direct URLs, and a studio with some to be named by URL and some in a repo.
//!
//! Deliberately absent: serving them, which is each test's.

use std::io::Write as _;

use fs_err as fs;
use sha2::Digest as _;

use crate::Studio;

/// The file of `table` 1.0 in `www`.
pub const TABLE: &str = "/table-1.0-py3-none-any.whl";

/// The characters of base64 in URLs.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |n, i| n << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for place in 0..=three.len() {
            text.push(char::from(DIGITS[(number >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The bytes of a wheel that says `content` when it is imported.
pub fn wheel(name: &str, version: &str, headers: &str, content: &str) -> Vec<u8> {
    wheel_with(name, version, headers, content, &[])
}

/// As [`wheel`], with more files.
pub fn wheel_with(name: &str, version: &str, headers: &str, content: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    let more = more
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let mut files: Vec<(String, String)> = more.collect();
    files.extend([
        (format!("{name}/__init__.py"), format!("SAYS = {content:?}\n")),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ]);
    let mut record = String::new();
    for (path, text) in &files {
        let digest = base64(&sha2::Sha256::digest(text));
        record.push_str(&format!("{path},sha256={digest},{}\n", text.len()));
    }
    record.push_str(&format!("{info}/RECORD,,\n"));
    files.push((format!("{info}/RECORD"), record));
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    // With a time of its own, the same files give the same bytes.
    let stored = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for (path, text) in files {
        archive.start_file(path, stored).expect("begun");
        archive.write_all(text.as_bytes()).expect("written");
    }
    archive.finish().expect("finished").into_inner()
}

/// Put a wheel into a folder of the studio.
pub fn put(studio: &Studio, folder: &str, name: &str, version: &str, headers: &str) {
    let bytes = wheel(name, version, headers, "first");
    studio.write(&format!("{folder}/{name}-{version}-py3-none-any.whl"), &bytes);
}

/// A repo `drop` with `lamp` 1.0 and 2.0, `table` 0.1 and 2.0; in `www` `table` 1.0, which needs a lamp, with
/// the group `hero` a chair.
pub fn drop_and_www() -> Studio {
    let studio = Studio::empty();
    for (name, version) in [
        ("lamp", "1.0"),
        ("lamp", "2.0"),
        ("table", "0.1"),
        ("table", "2.0"),
        ("chair", "1.0"),
    ] {
        put(&studio, "drop", name, version, "");
    }
    let needs = "Requires-Dist: lamp<2\nProvides-Extra: hero\nRequires-Dist: chair ; extra == 'hero'\n";
    put(&studio, "www", "table", "1.0", needs);
    studio
}

/// A workspace with the repo `drop`.
pub fn with_drop(studio: &Studio, name: &str) {
    studio.run(&["init", name]).ok();
    studio.run(&["-w", name, "repo", "add", "drop", "drop"]).ok();
}

/// The entry of a package in the lock of a workspace.
pub fn locked(studio: &Studio, workspace: &str, name: &str) -> toml::Table {
    let text = fs::read_to_string(studio.path(workspace).join("backlot.lock")).expect("a lock");
    let lock: toml::Table = toml::from_str(&text).expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let package = packages.iter().find(|p| p["name"].as_str() == Some(name));
    package
        .and_then(|p| p.as_table())
        .unwrap_or_else(|| panic!("{name} is not in {text}"))
        .clone()
}
