//! Index pages in JSON (PEP 691, 700, 714).
//!
//! Invariants: an invalid entry is skipped, the others stay; a page without the requested list is distinguished
//! from one with an empty list. Deliberately absent: validation.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::raw::{CoreMetadata, MetadataHashes, RawFile, RawHashes, RawPage};

#[derive(Deserialize)]
#[serde(bound(deserialize = "F: Deserialize<'de>, P: Deserialize<'de>"))]
struct Page<F, P> {
    #[serde(default)]
    meta: Meta,
    name: Option<String>,
    #[serde(default = "Option::default")]
    files: Option<Vec<F>>,
    #[serde(default = "Option::default")]
    projects: Option<Vec<P>>,
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
    /// Extensions of Backlot's own pages (PEP 691 leaves names with `_` to each index).
    #[serde(default, rename = "_deprecated")]
    deprecated: Value,
}

/// Read a page.
pub(crate) fn read(body: &[u8]) -> Result<RawPage, serde_json::Error> {
    // Where every entry can be read, as nearly everywhere, none needs to be held in another form first.
    if let Ok(page) = serde_json::from_slice::<Page<File, Project>>(body) {
        return Ok(page.into_raw(Some, Some));
    }
    let page: Page<Entry<File>, Entry<Project>> = serde_json::from_slice(body)?;
    Ok(page.into_raw(Entry::read, Entry::read))
}

impl<F, P> Page<F, P> {
    fn into_raw(self, file: fn(F) -> Option<File>, project: fn(P) -> Option<Project>) -> RawPage {
        RawPage {
            version: self.meta.version,
            name: self.name,
            base: None,
            files: self
                .files
                .map(|files| files.into_iter().filter_map(file).map(raw).collect()),
            projects: self
                .projects
                .map(|all| all.into_iter().filter_map(project).map(|p| p.name).collect()),
        }
    }
}

impl<T> Entry<T> {
    fn read(self) -> Option<T> {
        match self {
            Self::Read(entry) => Some(entry),
            Self::Other(_) => None,
        }
    }
}

fn raw(file: File) -> RawFile {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let mut hashes = RawHashes::default();
    for (algorithm, digest) in file.hashes.as_object().into_iter().flatten() {
        hashes.add(algorithm, digest.as_str());
    }
    RawFile {
        hashes,
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
        Some(Value::Bool(true)) => CoreMetadata::Present(MetadataHashes::default()),
        Some(Value::Object(hashes)) => {
            let texts = hashes
                .iter()
                .filter_map(|(name, digest)| Some((name, digest.as_str()?)));
            let add = |all: MetadataHashes, (name, digest): (&String, &str)| all.with(name, digest);
            CoreMetadata::Present(texts.fold(MetadataHashes::default(), add))
        }
        _ => CoreMetadata::Absent,
    }
}
