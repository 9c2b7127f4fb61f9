//! The allowlist of a repo outside the studio.
//!
//! Invariant: **a name that is not on the list of a gated repo is never part of a request to it**, neither to read nor to
//! publish; it is as if the repo had no such package. The gate stands before the pages of an index and the listings of a
//! store, so users of a repo cannot bypass it. Deliberately absent: which repos have an allowlist.

use std::collections::BTreeSet;
use std::fmt;

use backlot_pep::PackageName;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// A package's name, the beginning of names with `*`, or `*` alone: normalised as PEP 503 says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedName {
    /// The whole name, or a prefix.
    text: String,
    wildcard: bool,
}

impl AllowedName {
    /// Read `numpy`, `opencolorio-*` or `*`; a name that cannot be one is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: &str| Error::BadAllowedName {
            text: text.chars().filter(|c| !c.is_control()).take(100).collect(),
            reason: reason.to_owned(),
        };
        let (name, wildcard) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(bad("`*` is only allowed at the end of a name or alone"));
        }
        if name.is_empty() && wildcard {
            return Ok(Self {
                text: String::new(),
                wildcard,
            });
        }
        let word = name.trim_end_matches(['-', '_', '.']);
        if word != name && !wildcard {
            return Err(bad("it is not a package name"));
        }
        let parsed = PackageName::parse(word).map_err(|_| bad("it is not a package name"))?;
        let dash = if word == name { "" } else { "-" };
        Ok(Self {
            text: format!("{parsed}{dash}"),
            wildcard,
        })
    }

    /// Whether it stands for a package.
    pub fn admits(&self, name: &PackageName) -> bool {
        if self.wildcard {
            name.as_str().starts_with(&self.text)
        } else {
            name.as_str() == self.text
        }
    }
}

impl fmt::Display for AllowedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.wildcard { "*" } else { "" })
    }
}

impl Serialize for AllowedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AllowedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// The packages allowed for a repo outside the studio.
#[derive(Clone, Debug, Default)]
pub struct Allowlist {
    /// The repo's name, for messages.
    pub repo: String,
    /// The list.
    pub allow: Vec<AllowedName>,
    /// Packages that come from this repo, listed or not.
    pub pinned: BTreeSet<PackageName>,
    /// Packages that come from another repo, listed or not.
    pub elsewhere: BTreeSet<PackageName>,
}

impl Allowlist {
    /// Whether the repo may be asked for a package.
    pub fn admits(&self, name: &PackageName) -> bool {
        self.pinned.contains(name)
            || !self.elsewhere.contains(name) && self.allow.iter().any(|allowed| allowed.admits(name))
    }

    /// Fine if the repo may be asked for a package.
    pub(crate) fn check(&self, name: &PackageName) -> Result<()> {
        if self.admits(name) {
            return Ok(());
        }
        Err(Error::NotAllowed {
            package: name.clone(),
            repo: self.repo.clone(),
        })
    }

    /// All allowed names, if they can be listed, sorted.
    pub(crate) fn names(&self) -> Option<Vec<PackageName>> {
        let mut names = self.pinned.clone();
        for allowed in &self.allow {
            if allowed.wildcard {
                return None;
            }
            names.insert(PackageName::parse(&allowed.text).ok()?);
        }
        names.retain(|name| self.admits(name));
        Some(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowedName, Allowlist};
    use backlot_pep::PackageName;

    fn name(text: &str) -> PackageName {
        PackageName::parse(text).expect("a name")
    }

    #[test]
    fn names_and_beginnings_are_normalised_and_nothing_else_is_read() {
        for (text, normal) in [
            ("numpy", "numpy"),
            ("Open_Color.IO", "open-color-io"),
            ("OpenColorIO_*", "opencolorio-*"),
            ("py*", "py*"),
            ("*", "*"),
        ] {
            let read = AllowedName::parse(text).expect(text);
            assert_eq!(read.to_string(), normal);
            assert_eq!(AllowedName::parse(normal).expect(normal), read);
        }
        for text in [
            "", "*numpy", "a*b", "**", "numpy>=2", "numpy-", "-*", "a/b", "../x", "a b",
        ] {
            AllowedName::parse(text).expect_err(text);
        }
    }

    #[test]
    fn a_gate_admits_what_is_listed_or_pinned_here_and_nothing_that_is_pinned_elsewhere() {
        let mut gate = Allowlist {
            repo: "pypi".into(),
            allow: ["numpy", "opencolorio-*"]
                .iter()
                .map(|text| AllowedName::parse(text).expect("valid"))
                .collect(),
            pinned: [name("scipy")].into(),
            elsewhere: [name("opencolorio-studio")].into(),
        };
        for yes in ["NumPy", "opencolorio-tools", "OpenColorIO.x", "scipy"] {
            assert!(gate.admits(&name(yes)), "{yes}");
        }
        for no in ["numpy2", "opencolorio", "opencolorio-studio", "table"] {
            assert!(!gate.admits(&name(no)), "{no}");
            gate.check(&name(no)).expect_err(no);
        }
        assert_eq!(gate.names(), None);
        gate.allow.pop();
        assert_eq!(gate.names(), Some(vec![name("numpy"), name("scipy")]));
        assert!(
            !Allowlist::default().admits(&name("numpy")),
            "an empty list admits nothing"
        );
    }
}
