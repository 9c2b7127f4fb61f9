//! RECORD: the files of a wheel or an installation with their digests (PEP 376, PEP 427).
//!
//! CSV with Python's quoting. Only SHA-256 digests are understood; other algorithms read as none.

use backlot_core::Sha256;

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

/// Read RECORD; lines without a path are passed over.
pub fn parse_record(text: &str) -> Vec<RecordEntry> {
    text.lines()
        .filter_map(|line| {
            let fields = split_csv(line);
            let path = fields.first().filter(|p| !p.is_empty())?.clone();
            let digest = fields.get(1).and_then(|d| d.strip_prefix("sha256="));
            let sha256 = digest.and_then(decode_base64url).map(Sha256::from_bytes);
            Some(RecordEntry {
                path,
                sha256,
                size: fields.get(2).and_then(|s| s.parse().ok()),
            })
        })
        .collect()
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

/// URL-safe base64 without padding (padding is tolerated) to 32 bytes.
fn decode_base64url(text: &str) -> Option<[u8; 32]> {
    let mut bytes = Vec::with_capacity(33);
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
    use super::{parse_record, write_record};

    #[test]
    fn the_original_engines_record_round_trips() {
        let text = include_str!("../../../fixtures/tgzr/main_pack/wheel.RECORD");
        let entries = parse_record(text);
        assert_eq!(entries.len(), 7);
        assert!(entries[0].sha256.is_some());
        assert_eq!(write_record(&entries), text);
    }

    #[test]
    fn paths_with_commas_and_quotes_survive() {
        let text = "\"a,\"\"b\"\".txt\",,3\n";
        let entries = parse_record(text);
        assert_eq!(entries[0].path, "a,\"b\".txt");
        assert_eq!(write_record(&entries), text);
    }
}
