//! Index pages in JSON (PEP 691, 700, 714).
//!
//! Invariant: a file that cannot be read is left out, the others stay. Deliberately absent: judging what is read.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::page::{CoreMetadata, RawFile, RawPage, digest};

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    meta: Meta,
    name: Option<String>,
    #[serde(default)]
    files: Vec<Entry<File>>,
    #[serde(default)]
    projects: Vec<Entry<Project>>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "api-version")]
    version: Option<String>,
}

/// An entry, or something else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry<T> {
    Read(T),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Value,
    #[serde(default)]
    requires_python: Value,
    core_metadata: Option<Value>,
    dist_info_metadata: Option<Value>,
    #[serde(default)]
    yanked: Value,
    #[serde(default)]
    size: Value,
    #[serde(default)]
    upload_time: Value,
    /// What our own pages add (PEP 691 leaves names with `_` to each index).
    #[serde(default, rename = "_deprecated")]
    deprecated: Value,
}

/// Read a page.
pub(crate) fn read(body: &[u8]) -> Result<RawPage, serde_json::Error> {
    let page: Page = serde_json::from_slice(body)?;
    let files = page.files.into_iter().filter_map(|entry| match entry {
        Entry::Read(file) => Some(raw(file)),
        Entry::Other(_) => None,
    });
    let projects = page.projects.into_iter().filter_map(|entry| match entry {
        Entry::Read(project) => Some(project.name),
        Entry::Other(_) => None,
    });
    Ok(RawPage {
        version: page.meta.version,
        name: page.name,
        base: None,
        files: files.collect(),
        projects: projects.collect(),
    })
}

fn raw(file: File) -> RawFile {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    RawFile {
        sha256: file
            .hashes
            .get("sha256")
            .map(|digest| text(digest).unwrap_or_default()),
        requires_python: text(&file.requires_python),
        core_metadata: core_metadata(file.core_metadata.as_ref().or(file.dist_info_metadata.as_ref())),
        yanked: match &file.yanked {
            Value::Bool(true) => Some(String::new()),
            Value::String(reason) => Some(reason.clone()),
            _ => None,
        },
        size: file.size.as_u64(),
        uploaded: text(&file.upload_time),
        deprecated: text(&file.deprecated),
        file: file.filename,
        url: file.url,
    }
}

fn core_metadata(value: Option<&Value>) -> CoreMetadata {
    match value {
        Some(Value::Bool(true)) => CoreMetadata::Present(None),
        Some(Value::Object(hashes)) => {
            CoreMetadata::Present(hashes.get("sha256").and_then(Value::as_str).and_then(digest))
        }
        _ => CoreMetadata::Absent,
    }
}
