//! The JSON page of a package as [`crate::pages`] writes it.
//!
//! Deliberately absent: pages of other makers, which prove nothing about a folder.

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

    /// The digest of its METADATA, if available separately.
    pub(crate) fn metadata_sha256(&self) -> Option<Sha256> {
        self.core_metadata.as_ref().map(|hashes| hashes.sha256)
    }
}

/// The wheels on a page; `None` if it was not written by Backlot.
pub(crate) fn read(page: &[u8]) -> Option<Vec<OwnFile<'_>>> {
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

/// RFC 3339 in UTC, as PEP 700 has it: `2026-11-20T23:48:00.123456Z`.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let is_utc = text.contains('T') && (text.ends_with('Z') || text.ends_with("+00:00"));
    is_utc.then(|| Timestamp::parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{OwnFile, read, timestamp};
    use crate::pages::{PageEntry, package_json, tests::entries};
    use backlot_pep::PackageName;

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
    fn a_page_is_read_back_as_it_was_written() {
        let mut plain = entries();
        plain[1].release.yanked = Some("wrong".to_owned());
        for entries in [Vec::new(), entries(), plain] {
            let page = package_json(&PackageName::parse("main-pack").unwrap(), &entries);
            let files = read(page.as_bytes()).unwrap();
            let said = |file: &OwnFile<'_>| (file.filename.to_string(), file.sha256(), file.yanked.clone());
            let written = |entry: &PageEntry| {
                let release = &entry.release;
                (
                    release.file.clone(),
                    release.sha256.unwrap(),
                    release.yanked.clone(),
                )
            };
            assert_eq!(
                files.iter().map(said).collect::<Vec<_>>(),
                entries.iter().map(written).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_page_cut_short_is_none_of_ours() {
        let page = package_json(&PackageName::parse("main-pack").unwrap(), &entries());
        let page = page.trim_end().as_bytes();
        for end in 0..page.len() {
            assert_eq!(read(&page[..end]), None);
        }
    }
}
