//! Names of stored objects: random, so that none is ever used twice. A name that was deleted once stays dead, which is
//! what makes a late or repeated DELETE harmless (see `docs/format/remote-chunked.md`). Only merged index segments, which are
//! derived, have names from their content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a pack, an index segment or a recipe segment: 48 bits of time and 80 of chance, so names sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoredName([u8; 16]);

/// The kind of object of a name, and its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pack,
    Index,
    Recipe,
}

/// Where tombs lie.
pub(super) const TOMBS: &str = "v1/tombs/";

impl StoredName {
    /// A unique name.
    pub(crate) fn fresh() -> Self {
        Self(ulid::Ulid::generate().to_bytes())
    }
    /// A unique name that sorts right after those given, and before later ones.
    ///
    /// An object that replaces others needs one. A list that is made page by page in the order of names then meets the new
    /// object behind the old ones, so it never passes over both; and of two objects with the same content, the one with
    /// the smaller name is the redundant one for everybody.
    pub(super) fn after<'a>(names: impl IntoIterator<Item = &'a Self>) -> Self {
        let fresh = ulid::Ulid::generate();
        let newest = names.into_iter().map(|name| ulid::Ulid::from_bytes(name.0)).max();
        let time = newest.map_or(fresh.timestamp_ms(), |name| name.timestamp_ms().saturating_add(1));
        Self(ulid::Ulid::from_parts(time, fresh.random()).to_bytes())
    }
    /// The name of derived data that replaces others: it sorts as one by [`Self::after`], and the same bytes in place of the same objects
    /// have the same name, so several machines that make them at once write one object.
    ///
    /// Only for data that may be lost: a DELETE that comes late can meet it.
    pub(super) fn of_derived<'a>(names: impl IntoIterator<Item = &'a Self>, bytes: &[u8]) -> Self {
        let mut name = Self::after(names);
        name.0[6..].copy_from_slice(&blake3::hash(bytes).as_bytes()[..10]);
        name
    }
    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Kind {
    /// The folder of all objects of this kind.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Pack => "v1/packs/",
            Self::Index => "v1/index/",
            Self::Recipe => "v1/recipes/",
        }
    }
    /// The key of an object. Packs are spread over 256 folders by their last (random) byte.
    pub(super) fn key(self, name: StoredName) -> String {
        match self {
            Self::Pack => format!("{}{:02x}/{name}", self.prefix(), name.0[15]),
            Self::Index | Self::Recipe => format!("{}{name}", self.prefix()),
        }
    }
}

/// The name at the end of a key, if it is one.
pub(super) fn name_of(key: &str) -> Option<StoredName> {
    key.rsplit('/').next()?.parse().ok()
}

impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not such a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid object name `{0}` (expected 32 hexadecimal digits)")]
pub struct NotAStoredName(String);

impl FromStr for StoredName {
    type Err = NotAStoredName;
    fn from_str(text: &str) -> Result<Self, NotAStoredName> {
        // An MD5 is of the same shape; its parser is the one we have.
        text.parse::<backlot_core::Md5>()
            .map(|digits| Self(*digits.as_bytes()))
            .map_err(|_| NotAStoredName(text.to_owned()))
    }
}
impl TryFrom<String> for StoredName {
    type Error = NotAStoredName;
    fn try_from(text: String) -> Result<Self, NotAStoredName> {
        text.parse()
    }
}
impl From<StoredName> for String {
    fn from(name: StoredName) -> Self {
        name.to_string()
    }
}
