//! Digests as values: fixed bytes with one text form (lower-case hex), so that a digest of one kind is never mistaken for
//! another.
//!
//! Invariant: MD5 is an address (DVC's), BLAKE3 and SHA-256 are proofs. Deliberately absent: the hashing itself.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Class, Diagnostic};

use sha2::Digest as _;

/// A text that is not a digest of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} digest ({digits} hexadecimal digits)")]
pub struct ParseDigestError {
    /// The given text.
    pub text: String,
    /// The kind of digest expected.
    pub kind: &'static str,
    /// How many hexadecimal digits it has.
    pub digits: usize,
}

impl Diagnostic for ParseDigestError {
    fn code(&self) -> &'static str {
        "core::bad_digest"
    }
    fn class(&self) -> Class {
        Class::Integrity
    }
}

/// The value of each byte as a hexadecimal digit; 255 of those that are none.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0;
    while digit < 16u8 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        values[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != N * 2 {
        return None;
    }
    let mut out = [0; N];
    for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        if high | low > 15 {
            return None;
        }
        *slot = high << 4 | low;
    }
    Some(out)
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(into = "String")]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From raw bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
            /// Lower-case hexadecimal.
            pub fn to_hex(&self) -> String {
                self.to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let mut text = [0u8; $bytes * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, ":{}"), self)
            }
        }
        impl FromStr for $name {
            type Err = ParseDigestError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self).ok_or_else(|| ParseDigestError {
                    text: text.to_owned(),
                    kind: $kind,
                    digits: $bytes * 2,
                })
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $kind, " digest"))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }
    };
}

digest!(
    /// MD5: the address of a file in a DVC cache or remote. Never a verification of content.
    Md5, 16, "md5"
);
digest!(
    /// BLAKE3: verifies file content.
    Blake3, 32, "blake3"
);
digest!(
    /// SHA-256: the digest of Python packaging (RECORD, index pages, locks).
    Sha256, 32, "sha256"
);

/// SHA-384 or SHA-512: what Python packaging allows beside SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StrongDigest {
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl StrongDigest {
    /// From the name of an algorithm (`sha384`, `sha512`) and hexadecimal digits: `None` of another algorithm, an error of
    /// digits that are none.
    pub fn parse(algorithm: &str, hex: &str) -> Option<Result<Self, ParseDigestError>> {
        let (kind, digits, digest) = match algorithm {
            "sha384" => ("sha384", 96, parse_hex(hex).map(Self::Sha384)),
            "sha512" => ("sha512", 128, parse_hex(hex).map(Self::Sha512)),
            _ => return None,
        };
        Some(digest.ok_or_else(|| ParseDigestError {
            text: hex.to_owned(),
            kind,
            digits,
        }))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha384(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }
}

/// `SHA-512` and lower-case hexadecimal digits.
impl fmt::Display for StrongDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha384(_) => "SHA-384 ",
            Self::Sha512(_) => "SHA-512 ",
        })?;
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StrongDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Sha256 {
    /// URL-safe base64 without padding, as RECORD writes it (PEP 376, PEP 427).
    pub fn to_base64url(&self) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::with_capacity(43);
        for group in self.0.chunks(3) {
            let word =
                group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for digit in 0..=group.len() {
                text.push(char::from(DIGITS[(word >> (18 - 6 * digit) & 63) as usize]));
            }
        }
        text
    }
}

/// Computes SHA-384 or SHA-512, where a file is promised with such a digest.
#[derive(Clone, Debug)]
pub struct StrongHasher(Strong);

#[derive(Clone, Debug)]
enum Strong {
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl StrongHasher {
    /// For a digest of the same kind.
    pub fn like(digest: &StrongDigest) -> Self {
        match digest {
            StrongDigest::Sha384(_) => Self(Strong::Sha384(sha2::Sha384::new())),
            StrongDigest::Sha512(_) => Self(Strong::Sha512(sha2::Sha512::new())),
        }
    }

    /// Take more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Strong::Sha384(hasher) => hasher.update(bytes),
            Strong::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all bytes.
    pub fn digest(self) -> StrongDigest {
        match self.0 {
            Strong::Sha384(hasher) => StrongDigest::Sha384(hasher.finalize().into()),
            Strong::Sha512(hasher) => StrongDigest::Sha512(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Md5, Sha256};

    #[test]
    fn hex_round_trips_and_refuses_other_lengths() {
        let md5: Md5 = "d41d8cd98f00b204e9800998ecf8427e".parse().expect("valid");
        assert_eq!(md5.to_hex(), "d41d8cd98f00b204e9800998ecf8427e");
        assert!("d41d".parse::<Md5>().is_err());
        assert!("zz1d8cd98f00b204e9800998ecf8427e".parse::<Md5>().is_err());
    }

    #[test]
    fn record_base64_matches_pythons_urlsafe_b64encode() {
        let empty: Sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            .parse()
            .expect("valid");
        assert_eq!(
            empty.to_base64url(),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
    }
}
