//! The JSON page of a package as [`crate::pages`] writes it, read without a parser for all of JSON: a folder of a hundred
//! thousand releases has two thousand of them.
//!
//! Invariant: a page that is written otherwise, by a space even, is read by serde; what comes out is the same. Deliberately
//! absent: pages of other makers, which prove nothing about a folder.

use std::borrow::Cow;
use std::fmt;

use backlot_core::{Sha256, Timestamp};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// One wheel on a page that we wrote.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct OwnFile<'a> {
    #[serde(borrow)]
    pub(crate) filename: Cow<'a, str>,
    hashes: Hashes,
    pub(crate) requires_python: Option<String>,
    core_metadata: Option<Hashes>,
    pub(crate) size: u64,
    #[serde(deserialize_with = "time")]
    pub(crate) upload_time: Timestamp,
    /// The reason; empty where none was given.
    #[serde(deserialize_with = "yanked")]
    pub(crate) yanked: Option<String>,
    #[serde(rename = "_deprecated")]
    pub(crate) deprecated: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Hashes {
    sha256: Sha256,
}

impl OwnFile<'_> {
    pub(crate) fn sha256(&self) -> Sha256 {
        self.hashes.sha256
    }

    /// The digest of its METADATA, where that lies beside it.
    pub(crate) fn metadata_sha256(&self) -> Option<Sha256> {
        self.core_metadata.as_ref().map(|hashes| hashes.sha256)
    }
}

/// The wheels on a page; `None` if it is not one of ours.
pub(crate) fn read(page: &[u8]) -> Option<Vec<OwnFile<'_>>> {
    as_written(page).or_else(|| by_serde(page))
}

fn by_serde(page: &[u8]) -> Option<Vec<OwnFile<'_>>> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        files: Vec<OwnFile<'a>>,
    }
    serde_json::from_slice::<Page<'_>>(page)
        .ok()
        .map(|page| page.files)
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = Cow::<str>::deserialize(from)?;
    timestamp(&text).ok_or_else(|| de::Error::custom("no time"))
}

fn yanked<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    struct Said;
    impl Visitor<'_> for Said {
        type Value = Option<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("whether or why it is yanked")
        }
        fn visit_bool<E>(self, is: bool) -> Result<Self::Value, E> {
            Ok(is.then(String::new))
        }
        fn visit_str<E>(self, reason: &str) -> Result<Self::Value, E> {
            Ok(Some(reason.to_owned()))
        }
    }
    from.deserialize_any(Said)
}

fn as_written(page: &[u8]) -> Option<Vec<OwnFile<'_>>> {
    let mut rest = Rest(std::str::from_utf8(page).ok()?);
    rest.eat("{\"meta\":{\"api-version\":\"1.1\"},\"name\":\"")?;
    rest.text()?;
    rest.eat(",\"versions\":[")?;
    let mut versions = 0;
    while !rest.has("]") {
        rest.eat(if versions > 0 { ",\"" } else { "\"" })?;
        rest.text()?;
        versions += 1;
    }
    rest.eat(",\"files\":[")?;
    let mut files = Vec::with_capacity(versions);
    if rest.has("]") {
        rest.eat("}")?;
        return rest.0.trim_end().is_empty().then_some(files);
    }
    loop {
        files.push(rest.file()?);
        if !rest.has(",") {
            break;
        }
    }
    rest.eat("]}")?;
    rest.0.trim_end().is_empty().then_some(files)
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn has(&mut self, text: &str) -> bool {
        self.eat(text).is_some()
    }

    fn eat(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// A text up to its closing quote; `None` if anything in it is escaped, or must be.
    fn text(&mut self) -> Option<&'a str> {
        let special = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
        let end = self.0.bytes().position(special)?;
        let text = &self.0[..end];
        self.0 = self.0[end..].strip_prefix('"')?;
        Some(text)
    }

    /// A digest and what closes its object.
    fn digest(&mut self) -> Option<Sha256> {
        let digest = self.0.get(..64)?.parse().ok()?;
        self.0 = &self.0[64..];
        self.eat("\"}")?;
        Some(digest)
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.0.bytes().position(|b| !b.is_ascii_digit())?;
        let digits = &self.0[..end];
        // JSON has no such numbers.
        if digits.starts_with('0') && end > 1 {
            return None;
        }
        self.0 = &self.0[end..];
        digits.parse().ok()
    }

    fn file(&mut self) -> Option<OwnFile<'a>> {
        self.eat("{\"filename\":\"")?;
        let filename = Cow::Borrowed(self.text()?);
        self.eat(",\"url\":\"")?;
        self.text()?;
        self.eat(",\"hashes\":{\"sha256\":\"")?;
        let hashes = Hashes {
            sha256: self.digest()?,
        };
        let mut requires_python = None;
        if self.has(",\"requires-python\":\"") {
            requires_python = Some(self.text()?.to_owned());
        }
        let mut core_metadata = None;
        if self.has(",\"core-metadata\":{\"sha256\":\"") {
            let sha256 = self.digest()?;
            core_metadata = Some(Hashes { sha256 });
            self.eat(",\"dist-info-metadata\":{\"sha256\":\"")?;
            self.digest()?;
        }
        self.eat(",\"size\":")?;
        let size = self.number()?;
        self.eat(",\"upload-time\":\"")?;
        let upload_time = timestamp(self.text()?)?;
        self.eat(",\"yanked\":")?;
        let yanked = if self.has("false") {
            None
        } else if self.has("true") {
            Some(String::new())
        } else {
            self.eat("\"")?;
            Some(self.text()?.to_owned())
        };
        let mut deprecated = None;
        if self.has(",\"_deprecated\":\"") {
            deprecated = Some(self.text()?.to_owned());
        }
        self.eat("}")?;
        Some(OwnFile {
            filename,
            hashes,
            requires_python,
            core_metadata,
            size,
            upload_time,
            yanked,
            deprecated,
        })
    }
}

/// RFC 3339 in UTC, as PEP 700 has it: `2026-11-20T23:48:00.123456Z`.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let is_utc = text.contains('T') && (text.ends_with('Z') || text.ends_with("+00:00"));
    is_utc.then(|| Timestamp::parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{as_written, by_serde, read, timestamp};
    use crate::pages::{package_json, tests::entries};
    use backlot_core::PackageName;

    fn page() -> String {
        package_json(&PackageName::parse("main-pack").unwrap(), &entries())
    }

    #[test]
    fn times_are_read_back_as_they_print() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T12:34:56Z",
            "2099-12-31T23:59:59Z",
        ] {
            assert_eq!(timestamp(text).unwrap().to_string(), text);
        }
        assert_eq!(timestamp("2024-02-29T12:34:56.789123Z").unwrap().0 % 1000, 789);
        for text in [
            "",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "1969-01-01T00:00:00Z",
            "x-y-zT1:2:3Z",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_page_as_we_write_it_is_read_as_serde_reads_it() {
        let mut plain = entries();
        plain[1].release.yanked = Some("wrong".to_owned());
        for entries in [Vec::new(), plain] {
            let page = package_json(&PackageName::parse("main-pack").unwrap(), &entries);
            let read = as_written(page.as_bytes()).unwrap();
            assert_eq!(read.len(), entries.len());
            assert_eq!(Some(read), by_serde(page.as_bytes()));
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_serde() {
        let page = page();
        assert_eq!(as_written(page.as_bytes()), None, "a reason has quotes");
        let files = read(page.as_bytes()).unwrap();
        assert_eq!(files[1].yanked.as_deref(), Some("wrong \"scale\" <& late>"));
        let spaced = page.replace("\"size\":1234", "\"size\": 1234");
        assert_eq!(read(spaced.as_bytes()), read(page.as_bytes()));
    }

    #[test]
    fn a_page_cut_short_or_changed_anywhere_never_reads_differently_from_serde() {
        let page = page().replace("wrong \\\"scale\\\" <& late>", "late");
        let page = page.trim_end();
        assert!(as_written(page.as_bytes()).is_some());
        for at in 0..page.len() {
            for with in ["", "\"", "\\", "0", "}", " ", "\u{1}"] {
                let changed = format!("{}{with}{}", &page[..at], &page[at + 1..]);
                if let Some(files) = as_written(changed.as_bytes()) {
                    assert_eq!(Some(files), by_serde(changed.as_bytes()), "{changed}");
                }
            }
            assert_eq!(as_written(&page.as_bytes()[..at]), None);
        }
    }
}
