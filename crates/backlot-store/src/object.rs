//! Names of stored objects, as DVC spells them.
//!
//! Invariant: an object's name is the MD5 of its bytes; a tree object (a manifest) has `.dir` behind it.

use std::fmt;
use std::str::FromStr;

use backlot_core::digest::ParseDigestError;
use backlot_core::{Blake3, Md5};
use serde::{Deserialize, Serialize};

/// The name of an object in a cache or remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId {
    /// MD5 of the object's bytes.
    pub md5: Md5,
    /// Whether it is a manifest of a folder.
    pub tree: bool,
}

/// The result of one pass over a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigests {
    /// The address.
    pub md5: Md5,
    /// The BLAKE3.
    pub blake3: Blake3,
    /// The length in bytes.
    pub size: u64,
}

/// Metadata of a file, known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// The length in bytes.
    pub size: u64,
    /// The BLAKE3, if recorded.
    pub blake3: Option<Blake3>,
}

/// An object to push, pull or read: its name, and its expected digests, which are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The object.
    pub id: ObjectId,
    /// Its bytes, where known.
    pub size: Option<u64>,
    /// Its BLAKE3, if known.
    pub blake3: Option<Blake3>,
}

impl ObjectId {
    /// A file's name.
    pub const fn file(md5: Md5) -> Self {
        Self { md5, tree: false }
    }
    /// A manifest's name.
    pub const fn tree(md5: Md5) -> Self {
        Self { md5, tree: true }
    }
    /// Its place below the root of a cache or remote: `files/md5/ab/cdef...`.
    pub fn key(&self) -> String {
        let hex = self.md5.to_hex();
        format!(
            "files/md5/{}/{}{}",
            &hex[..2],
            &hex[2..],
            if self.tree { ".dir" } else { "" }
        )
    }
    /// The object of a folder name and file name below `files/md5`, if they are such.
    pub fn from_parts(folder: &str, name: &str) -> Option<Self> {
        format!("{folder}{name}")
            .parse()
            .ok()
            .filter(|_| folder.len() == 2)
    }
}

impl Transfer {
    /// An object of which all is known.
    pub const fn proven(id: ObjectId, digests: &FileDigests) -> Self {
        Self {
            id,
            size: Some(digests.size),
            blake3: Some(digests.blake3),
        }
    }

    /// A transfer of which only the name is known.
    pub const fn of(id: ObjectId) -> Self {
        Self {
            id,
            size: None,
            blake3: None,
        }
    }

    /// Whether content with these digests is what it calls for, as far as that is known.
    pub(crate) fn is_met_by(&self, digests: &FileDigests) -> bool {
        digests.md5 == self.id.md5
            && self.blake3.is_none_or(|proof| proof == digests.blake3)
            && self.size.is_none_or(|size| size == digests.size)
    }
}

impl From<ObjectId> for Transfer {
    fn from(id: ObjectId) -> Self {
        Self::of(id)
    }
}
impl From<&ObjectId> for Transfer {
    fn from(id: &ObjectId) -> Self {
        Self::of(*id)
    }
}
/// A file.
impl From<FileDigests> for Transfer {
    fn from(digests: FileDigests) -> Self {
        Self::from(&digests)
    }
}
/// A file.
impl From<&FileDigests> for Transfer {
    fn from(digests: &FileDigests) -> Self {
        Self::proven(ObjectId::file(digests.md5), digests)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.md5, if self.tree { ".dir" } else { "" })
    }
}
impl FromStr for ObjectId {
    type Err = ParseDigestError;
    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let (hex, tree) = text.strip_suffix(".dir").map_or((text, false), |hex| (hex, true));
        Ok(Self {
            md5: hex.parse()?,
            tree,
        })
    }
}
impl TryFrom<String> for ObjectId {
    type Error = ParseDigestError;
    fn try_from(text: String) -> Result<Self, ParseDigestError> {
        text.parse()
    }
}
impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.to_string()
    }
}
