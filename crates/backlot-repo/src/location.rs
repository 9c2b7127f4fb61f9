//! The location of a file in a repo: in a folder, or behind a URL.
//!
//! Invariant: a URL in here has neither password nor user, so it may be printed.

use std::fmt;
use std::path::{Path, PathBuf};

use backlot_core::Subject;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path or a URL, as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// In a folder.
    Path(PathBuf),
    /// On a server.
    Url(String),
}

impl Location {
    /// As what work is about.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Path(path) => Subject::File(path.clone()),
            Self::Url(url) => Subject::of_place(url),
        }
    }

    /// The path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Url(_) => None,
        }
    }

    /// The last part of it: a file's name.
    pub fn file(&self) -> &str {
        match self {
            Self::Path(path) => path
                .file_name()
                .and_then(|file| file.to_str())
                .unwrap_or_default(),
            Self::Url(url) => url.rsplit('/').next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text.contains("://") {
            Self::Url(text)
        } else {
            Self::Path(text.into())
        })
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_path_buf())
    }
}
