//! Relative paths out of archives and manifests, which are hostile until they parsed here.
//!
//! Invariant: joining a [`RelPath`] to a folder gives a path inside that folder, on every platform (as far as names go:
//! symbolic links are the responsibility of the writer). Separator is `/` everywhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Class, Diagnostic};

/// A relative path of one or more plain names joined by `/`; never empty, absolute, or with `.` or `..` in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

/// A path that would lead outside, or means different things on different platforms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path `{}` {reason}", path.escape_debug())]
pub struct HostilePath {
    /// The path as it was given.
    pub path: String,
    /// The reason.
    pub reason: &'static str,
}

impl Diagnostic for HostilePath {
    fn code(&self) -> &'static str {
        "core::hostile_path"
    }
    fn class(&self) -> Class {
        Class::Integrity
    }
    fn help(&self) -> Option<String> {
        Some("do not use this file; ask its author for one without such paths".to_owned())
    }
}

impl RelPath {
    /// Parse a path with `/` as its separator.
    pub fn parse(path: &str) -> Result<Self, HostilePath> {
        let refuse = |reason| {
            Err(HostilePath {
                path: path.to_owned(),
                reason,
            })
        };
        if path.is_empty() {
            return refuse("is empty");
        }
        if path.starts_with('/') {
            return refuse("is absolute");
        }
        if path.contains('\0') {
            return refuse("contains a NUL character");
        }
        if path.contains('\\') {
            return refuse("contains a backslash, which is a separator on some platforms");
        }
        if path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic() {
            return refuse("starts with a drive letter");
        }
        for part in path.split('/') {
            match part {
                "" => return refuse("has an empty component"),
                "." => return refuse("has a `.` component"),
                ".." => return refuse("leads outside its folder"),
                _ => {}
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// From a relative path of this platform, as found by walking a folder.
    pub fn from_path(path: &Path) -> Result<Self, HostilePath> {
        let mut text = String::new();
        for part in path.components() {
            let Some(part) = part.as_os_str().to_str() else {
                let path = path.to_string_lossy().into_owned();
                return Err(HostilePath {
                    path,
                    reason: "is not valid UTF-8",
                });
            };
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(part);
        }
        Self::parse(&text)
    }

    /// The text, with `/` as separator.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The names it is made of.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
    /// The last name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
    /// All but the last name.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }
    /// This path below another.
    #[must_use]
    pub fn below(&self, parent: &Self) -> Self {
        Self(format!("{}/{}", parent.0, self.0))
    }
    /// Whether this path is `folder` or inside it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.0
            .strip_prefix(&folder.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
    /// As a path of this platform, below `root`.
    pub fn to_path(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.parts());
        path
    }
}

/// A path with `.` and `..` as seen from a folder, both with `/`; `None` if it leads out of the root.
///
/// ```
/// use backlot_core::relpath::seen_from;
///
/// assert_eq!(seen_from("kitchen/usd", "../tex/./a.png").as_deref(), Some("kitchen/tex/a.png"));
/// assert_eq!(seen_from("kitchen", "../../a.png"), None);
/// ```
pub fn seen_from(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for RelPath {
    type Err = HostilePath;
    fn from_str(path: &str) -> Result<Self, Self::Err> {
        Self::parse(path)
    }
}
impl TryFrom<String> for RelPath {
    type Error = HostilePath;
    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::parse(&path)
    }
}
impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::RelPath;

    #[test]
    fn paths_that_leave_their_folder_are_refused() {
        for hostile in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a/.",
            "C:/x",
            "c:x",
            "a\\..\\b",
            "a\0b",
        ] {
            assert!(RelPath::parse(hostile).is_err(), "{hostile:?} was accepted");
        }
        for fine in ["a", "a/b.exr", "..a/b", "a..", "sp ace/\u{fc}.exr", "ab:c"] {
            assert!(RelPath::parse(fine).is_ok(), "{fine:?} was refused");
        }
    }

    #[test]
    fn containment_is_by_whole_names() {
        let path = |text| RelPath::parse(text).expect("valid");
        assert!(path("frames/a").is_within(&path("frames")));
        assert!(!path("frames2/a").is_within(&path("frames")));
    }
}
