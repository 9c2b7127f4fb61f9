//! RECORD: the files of a wheel or an installation with their digests (PEP 376, PEP 427).
//!
//! CSV with Python's quoting; a byte order mark, `./` before paths and rows of folders are skipped. A file's digest is
//! SHA-256; SHA-384 and SHA-512, which are allowed as well, and others, which are not compared, are kept apart in [`Record`]. Names of
//! algorithms compare without case.

use std::collections::{BTreeMap, HashMap};

use backlot_core::{Sha256, StrongDigest};

/// One line of RECORD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordEntry {
    /// The path, relative to site-packages, `/` as separator; may lead out of it in an installation.
    pub path: String,
    /// The digest.
    pub sha256: Option<Sha256>,
    /// The length in bytes.
    pub size: Option<u64>,
}

/// Read RECORD; lines without a path and those of folders are skipped.
pub fn parse_record(text: &str) -> Vec<RecordEntry> {
    rows(text)
        .map(|(path, digest, size)| {
            let sha256 = match Digest::read(&digest) {
                Digest::Sha256(sha256) => Some(sha256),
                _ => None,
            };
            RecordEntry { path, sha256, size }
        })
        .collect()
}

/// RECORD with all that it says of digests, by path.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) entries: BTreeMap<String, RecordEntry>,
    /// Digests that are longer than SHA-256.
    pub(crate) strong: HashMap<String, StrongDigest>,
    /// The text in place of a digest that is compared: `ALGORITHM=...` with the algorithm in small letters, or nothing.
    pub(crate) unchecked: HashMap<String, String>,
}

impl Record {
    pub(crate) fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for (path, digest, size) in rows(text) {
            let mut sha256 = None;
            match Digest::read(&digest) {
                Digest::Sha256(digest) => sha256 = Some(digest),
                Digest::Strong(strong) => drop(record.strong.insert(path.clone(), strong)),
                Digest::Unchecked(written) => drop(record.unchecked.insert(path.clone(), written)),
            }
            let entry = RecordEntry {
                path: path.clone(),
                sha256,
                size,
            };
            record.entries.insert(path, entry);
        }
        record
    }
}

/// A digest as RECORD writes it.
enum Digest {
    Sha256(Sha256),
    Strong(StrongDigest),
    Unchecked(String),
}

impl Digest {
    fn read(written: &str) -> Self {
        let Some((algorithm, digest)) = written.split_once('=') else {
            return Self::Unchecked(String::new());
        };
        let algorithm = algorithm.trim().to_ascii_lowercase();
        let read = match algorithm.as_str() {
            "sha256" => decode_base64url(digest).map(|d| Self::Sha256(Sha256::from_bytes(d))),
            "sha384" => decode_base64url(digest).map(|d| Self::Strong(StrongDigest::Sha384(d))),
            "sha512" => decode_base64url(digest).map(|d| Self::Strong(StrongDigest::Sha512(d))),
            _ => None,
        };
        read.unwrap_or_else(|| Self::Unchecked(format!("{algorithm}={digest}")))
    }
}

/// Path, digest as written and size of each row.
fn rows(text: &str) -> impl Iterator<Item = (String, String, Option<u64>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter_map(|line| {
        let mut fields = split_csv(line).into_iter();
        let written = fields.next()?;
        let mut path = written.as_str();
        while let Some(rest) = path.strip_prefix("./") {
            path = rest.trim_start_matches('/');
        }
        if path.is_empty() || path.ends_with('/') {
            return None;
        }
        let digest = fields.next().unwrap_or_default();
        let size = fields.next().and_then(|size| size.parse().ok());
        Some((path.to_owned(), digest, size))
    })
}

/// Write RECORD, in the order given.
pub fn write_record(entries: &[RecordEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let digest = entry
            .sha256
            .map(|d| format!("sha256={}", d.to_base64url()))
            .unwrap_or_default();
        let size = entry.size.map(|s| s.to_string()).unwrap_or_default();
        text.push_str(&format!("{},{digest},{size}\n", quote_csv(&entry.path)));
    }
    text
}

fn quote_csv(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn split_csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields[last].push(other),
        }
    }
    fields
}

/// URL-safe base64 without padding (padding is tolerated) to bytes of a stated number.
fn decode_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = Vec::with_capacity(N + 1);
    let (mut word, mut bits) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 255).ok()?);
        }
    }
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{Record, parse_record, write_record};

    #[test]
    fn the_original_engines_record_round_trips() {
        let text = include_str!("../../../fixtures/tgzr/main_pack/wheel.RECORD");
        let entries = parse_record(text);
        assert_eq!(entries.len(), 7);
        assert!(entries[0].sha256.is_some());
        assert_eq!(write_record(&entries), text);
    }

    #[test]
    fn a_byte_order_mark_dots_and_rows_of_folders_are_passed_over() {
        let text = "\u{feff}./a.py,,3\r\n./,,\ncmake/data/,,\n././b/c.py,,\n,,\n";
        let paths: Vec<String> = parse_record(text).into_iter().map(|e| e.path).collect();
        assert_eq!(paths, ["a.py", "b/c.py"]);
    }

    #[test]
    fn algorithms_compare_without_case_and_what_is_not_compared_is_told() {
        let digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let text = format!("a,SHA256={digest},0\nb,Blake2b={digest},0\nc,sha256=x,0\nd,,\n");
        let found: Vec<bool> = parse_record(&text).iter().map(|e| e.sha256.is_some()).collect();
        assert_eq!(found, [true, false, false, false]);
        let unchecked = Record::parse(&text).unchecked;
        assert_eq!(unchecked.len(), 3);
        assert_eq!(unchecked["b"], format!("blake2b={digest}"));
        assert_eq!(
            (unchecked["c"].as_str(), unchecked["d"].as_str()),
            ("sha256=x", "")
        );
    }

    #[test]
    fn paths_with_commas_and_quotes_survive() {
        let text = "\"a,\"\"b\"\".txt\",,3\n";
        let entries = parse_record(text);
        assert_eq!(entries[0].path, "a,\"b\".txt");
        assert_eq!(write_record(&entries), text);
    }
}
