//! The config object of a chunked remote: what everybody who reads or writes it must agree on.
//!
//! Invariants: it is written once, before anything else; a version or parameter that we do not know is refused, never
//! guessed. `encryption` is null in this version: the place is kept for encryption at rest.

use serde::{Deserialize, Serialize};

use super::chunker::Profile;
use super::name::StoredName;

/// The key of the config object.
pub(crate) const KEY: &str = "backlot-remote.json";
const FORMAT: u32 = 1;

/// The contents of `backlot-remote.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemoteFormat {
    format: u32,
    layout: String,
    /// Tells this remote from others, wherever it is mounted; local mirrors of its indexes go by it.
    pub(super) id: StoredName,
    pub(super) chunker: Profile,
    hashes: Hashes,
    pub(super) packs: PackLimits,
    encryption: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hashes {
    chunk: String,
    file: Vec<String>,
}

/// When a pack is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackLimits {
    /// Bytes: large enough to amortise a request, small enough to rewrite.
    pub(super) bytes: u32,
    /// Chunks: a table stays a small part of what it describes.
    pub(super) chunks: u32,
}

impl RemoteFormat {
    /// The settings of a new remote.
    pub(super) fn fresh() -> Self {
        Self {
            format: FORMAT,
            layout: "chunked".to_owned(),
            id: StoredName::fresh(),
            chunker: Profile::DEFAULT,
            hashes: Hashes {
                chunk: "blake3".to_owned(),
                file: vec!["md5".to_owned(), "blake3".to_owned()],
            },
            packs: PackLimits {
                bytes: 32 << 20,
                chunks: 8192,
            },
            encryption: None,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parse and accept only supported settings. The error is a readable reason.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
            #[serde(default)]
            layout: String,
        }
        let version: Version =
            serde_json::from_slice(bytes).map_err(|e| format!("`{KEY}` cannot be read: {e}"))?;
        if version.format != FORMAT {
            return Err(format!(
                "it has format {}, but this version of Backlot supports format {FORMAT}",
                version.format
            ));
        }
        if version.layout == "dvc" {
            return Err("it has DVC's layout; add it with `--layout dvc`".to_owned());
        }
        let parsed: Self =
            serde_json::from_slice(bytes).map_err(|e| format!("`{KEY}` cannot be used: {e}"))?;
        let fresh = Self::fresh();
        if parsed.encryption.is_some() {
            return Err("it is encrypted, which this version of Backlot does not support".to_owned());
        }
        if parsed.layout != fresh.layout || parsed.hashes != fresh.hashes || !parsed.chunker.is_valid() {
            return Err(format!(
                "`{KEY}` requires a feature that this version of Backlot does not support"
            ));
        }
        let limits = parsed.packs;
        if !(1 << 20..=1 << 30).contains(&limits.bytes)
            || !(1..=super::pack::MOST_CHUNKS).contains(&limits.chunks)
        {
            return Err(format!("`{KEY}` has limits for packs that are out of range"));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::RemoteFormat;

    #[test]
    fn a_config_is_read_back_and_what_is_unknown_is_refused() {
        let format = RemoteFormat::fresh();
        let bytes = format.to_bytes();
        assert_eq!(RemoteFormat::parse(&bytes), Ok(format));
        let text = String::from_utf8(bytes).expect("text");
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("\"encryption\": null", "\"encryption\": {\"algorithm\": \"x\"}"),
            ("fastcdc-2020", "rabin"),
            ("\"average\": 65536", "\"average\": 65537"),
            ("\"blake3\"", "\"sha1\""),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(
                RemoteFormat::parse(text.replacen(from, to, 1).as_bytes()).is_err(),
                "{to}"
            );
        }
    }
}
