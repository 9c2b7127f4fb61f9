//! Core metadata (METADATA, PKG-INFO): read tolerantly, written strictly.
//!
//! Reading takes versions 1.0 to 2.5, ignores headers it does not know, puts requirements right as uv does, and keeps those it
//! cannot parse apart.
//! Writing uses the lowest version that carries the fields, in a fixed order, with nothing `twine check` refuses.
//! Source: <https://packaging.python.org/specifications/core-metadata/>.

use backlot_pep::{GroupName, PackageName, Requirement, Specifiers, Version};

use crate::error::{Error, Result};

/// The metadata of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The name as it is written.
    pub name: String,
    /// The version.
    pub version: Version,
    /// One line.
    pub summary: Option<String>,
    /// The long text.
    pub description: Option<String>,
    /// Its type: `text/markdown`.
    pub description_content_type: Option<String>,
    /// Keywords, sorted.
    pub keywords: Vec<String>,
    /// Classifiers.
    pub classifiers: Vec<String>,
    /// Requirements, those of groups with an `extra` marker.
    pub requires_dist: Vec<Requirement>,
    /// Requirements that are not PEP 508 and could not be corrected, as written. The needs of such a release are unknown.
    pub invalid_requires: Vec<String>,
    /// The Python versions it runs on.
    pub requires_python: Option<Specifiers>,
    /// The same, as written, where that is not PEP 440.
    pub invalid_requires_python: Option<String>,
    /// Its groups.
    pub provides_extra: Vec<GroupName>,
    /// Author and others, by header in lower case, in order.
    pub people: Vec<(String, String)>,
    /// `License-Expression`, or `License` of old.
    pub license: Option<String>,
    /// `Project-URL` lines.
    pub project_urls: Vec<String>,
    package: PackageName,
}

const PEOPLE: [&str; 4] = ["author", "author-email", "maintainer", "maintainer-email"];

impl Metadata {
    /// Metadata of which only the name and version are known.
    pub fn new(name: &str, version: Version) -> Result<Self> {
        let package = PackageName::parse(name).map_err(|e| Error::BadMetadata {
            of: format!("`{name}`"),
            reason: e.to_string(),
        })?;
        Ok(Self {
            name: name.to_owned(),
            version,
            summary: None,
            description: None,
            description_content_type: None,
            keywords: Vec::new(),
            classifiers: Vec::new(),
            requires_dist: Vec::new(),
            invalid_requires: Vec::new(),
            requires_python: None,
            invalid_requires_python: None,
            provides_extra: Vec::new(),
            people: Vec::new(),
            license: None,
            project_urls: Vec::new(),
            package,
        })
    }

    /// The normalised name.
    pub fn package(&self) -> PackageName {
        self.package.clone()
    }

    /// Read a METADATA or PKG-INFO text.
    pub fn parse(text: &str) -> Result<Self> {
        let (headers, body) = metadata_headers(text);
        let first = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let bad = |reason: String| Error::BadMetadata {
            of: first("name").unwrap_or_else(|| "a package".to_owned()),
            reason,
        };
        let name = first("name").ok_or_else(|| bad("it has no Name".to_owned()))?;
        let version = first("version").ok_or_else(|| bad("it has no Version".to_owned()))?;
        let version = Version::parse(&version).map_err(|e| bad(e.to_string()))?;
        let mut metadata = Self::new(&name, version)?;
        for (header, value) in &headers {
            metadata.take(header, value);
        }
        if let Some(body) = body {
            metadata.description = Some(body);
        }
        Ok(metadata)
    }

    fn take(&mut self, header: &str, value: &str) {
        let some = || (value != "UNKNOWN" && !value.is_empty()).then(|| value.to_owned());
        match header {
            "summary" => self.summary = some(),
            "description" => self.description = some(),
            "description-content-type" => self.description_content_type = some(),
            "keywords" => {
                let separator = if value.contains(',') { ',' } else { ' ' };
                self.keywords = value
                    .split(separator)
                    .map(|k| k.trim().to_owned())
                    .filter(|k| !k.is_empty())
                    .collect();
                // A single keyword may have spaces where there is no comma; those of the engine always do.
                if separator == ' ' && value.starts_with("tgzr.pipeline.") {
                    self.keywords = vec![value.to_owned()];
                }
            }
            "classifier" => self.classifiers.push(value.to_owned()),
            "requires-dist" => match Requirement::parse_repaired(value) {
                Ok(requirement) => self.requires_dist.push(requirement),
                Err(_) => self.invalid_requires.push(value.to_owned()),
            },
            "requires-python" => match Specifiers::parse_repaired(value) {
                Ok(range) => self.requires_python = Some(range).filter(|range| !range.is_any()),
                Err(_) => self.invalid_requires_python = Some(value.to_owned()),
            },
            "provides-extra" => self.provides_extra.extend(GroupName::parse(value).ok()),
            "license-expression" | "license" if self.license.is_none() => self.license = some(),
            "project-url" => self.project_urls.push(value.to_owned()),
            _ if PEOPLE.contains(&header) => self.people.push((header.to_owned(), value.to_owned())),
            _ => {}
        }
    }

    /// The METADATA text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let mut put = |header: &str, value: &str| {
            // A line break would begin a header of its own.
            let value = value
                .split(['\r', '\n'])
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
            out.push_str(&format!("{header}: {value}\n"));
        };
        put(
            "Metadata-Version",
            if self.license.is_some() { "2.4" } else { "2.1" },
        );
        put("Name", &self.name);
        put("Version", &self.version.to_string());
        if let Some(summary) = &self.summary {
            put("Summary", summary);
        }
        if !self.keywords.is_empty() {
            let mut keywords = self.keywords.clone();
            keywords.sort();
            put("Keywords", &keywords.join(","));
        }
        for (header, value) in &self.people {
            put(&title_case(header), value);
        }
        if let Some(license) = &self.license {
            put("License-Expression", license);
        }
        for classifier in &self.classifiers {
            put("Classifier", classifier);
        }
        for url in &self.project_urls {
            put("Project-URL", url);
        }
        if let Some(range) = &self.requires_python {
            put("Requires-Python", &range.to_string());
        }
        for requirement in &self.requires_dist {
            put("Requires-Dist", &requirement.normalised());
        }
        for group in &self.provides_extra {
            put("Provides-Extra", group.as_str());
        }
        if let Some(kind) = &self.description_content_type {
            put("Description-Content-Type", kind);
        }
        if let Some(description) = &self.description {
            out.push('\n');
            out.push_str(description);
        }
        out
    }
}

fn title_case(header: &str) -> String {
    header
        .split('-')
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect::<Vec<_>>()
        .join("-")
}

/// The headers (names in lower case, continuation lines joined) and the body after the first empty line.
pub fn metadata_headers(text: &str) -> (Vec<(String, String)>, Option<String>) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        offset += line.len();
        let plain = line.trim_end_matches(['\r', '\n']);
        if plain.is_empty() {
            let body = &text[offset..];
            return (headers, (!body.trim().is_empty()).then(|| body.to_owned()));
        }
        if plain.starts_with([' ', '\t'])
            && let Some((_, value)) = headers.last_mut()
        {
            value.push('\n');
            value.push_str(plain.trim());
            continue;
        }
        if let Some((name, value)) = plain.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    (headers, None)
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    #[test]
    fn the_original_engines_metadata_is_read() {
        let text = include_str!("../../../fixtures/tgzr/main_pack/wheel.METADATA");
        let metadata = Metadata::parse(text).expect("valid");
        assert_eq!(
            (metadata.name.as_str(), metadata.version.to_string().as_str()),
            ("main_pack", "0.2.0")
        );
        assert_eq!(metadata.requires_dist.len(), 2);
        assert_eq!(metadata.keywords.len(), 4);
        assert!(
            metadata
                .description
                .as_deref()
                .is_some_and(|d| d.contains("Main-Pack"))
        );
    }

    #[test]
    fn what_is_written_reads_back_and_no_value_can_begin_a_header() {
        let mut metadata = Metadata::new("Main-Pack", "1.0".parse().expect("valid")).expect("valid");
        metadata.summary = Some("a\nClassifier: injected".to_owned());
        metadata
            .requires_dist
            .push("Table>=1.2.3,<2.0".parse().expect("valid"));
        metadata.description = Some("# Title\n\nText\n".to_owned());
        let text = metadata.to_text();
        let read = Metadata::parse(&text).expect("valid");
        assert!(read.classifiers.is_empty());
        assert_eq!(read.description, metadata.description);
        assert_eq!(read.to_text(), text);
    }

    #[test]
    fn requirements_that_are_none_are_kept_apart() {
        let metadata = Metadata::parse("Name: x\nVersion: 1\nRequires-Dist: Table>=one\nRequires-Dist: y\n")
            .expect("valid");
        assert_eq!(
            (metadata.requires_dist.len(), metadata.invalid_requires.len()),
            (1, 1)
        );
        assert!(Metadata::parse("Version: 1\n").is_err());
    }
}
