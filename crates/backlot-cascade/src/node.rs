//! Names in a cascade: repos, nodes (an asset in a repo), cascades, and the digests that identify work.
//!
//! Invariant: a digest of one kind is never taken for another, and every digest is computed over length-prefixed fields,
//! so that two different lists of fields never have the same bytes. Deliberately absent: versions and releases.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use backlot_core::Sha256;
use backlot_pep::PackageName;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::Error;

/// The name of a repo, as configured: `review`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct RepoName(Arc<str>);

impl RepoName {
    /// From the configured name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RepoName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<RepoName> for String {
    fn from(name: RepoName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An asset in a repo: what may get a new release. Its text form is `repo/package`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId {
    /// The repo.
    pub repo: RepoName,
    /// The package.
    pub package: PackageName,
}

impl NodeId {
    /// The package in a repo.
    pub fn new(repo: &RepoName, package: &PackageName) -> Self {
        Self {
            repo: repo.clone(),
            package: package.clone(),
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.repo, self.package)
    }
}

impl FromStr for NodeId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::BadNode {
            text: text.to_owned(),
        };
        let (repo, package) = text.rsplit_once('/').ok_or_else(bad)?;
        if repo.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            repo: RepoName::new(repo),
            package: PackageName::parse(package).map_err(|_| bad())?,
        })
    }
}

impl TryFrom<String> for NodeId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.to_string()
    }
}

/// The id of a plan and of the cascade that runs it: 16 hexadecimal digits, the same for the same state and roots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CascadeId(pub String);

impl fmt::Display for CascadeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Sha256);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

digest_id!(
    /// SHA-256 of everything a build reads beside its inputs: `dvc.yaml`, code, the asset's own source files, tool versions.
    RecipeDigest
);
digest_id!(
    /// SHA-256 of exact inputs and a recipe: what a release was built with, or is attested for.
    InputsDigest
);
digest_id!(
    /// SHA-256 of package, exact inputs, recipe and bump policy (rule R4): the idempotency key of a build, its folder and its
    /// release. The repo is not part of it, so that a build made in one repo can be copied to another.
    NodeKey
);

/// Hashes a list of fields.
pub(crate) struct FieldHasher(sha2::Sha256);

impl FieldHasher {
    /// Begin with what is hashed, so that digests of two kinds of things differ.
    pub(crate) fn new(kind: &str) -> Self {
        let mut hasher = Self(sha2::Sha256::new());
        hasher.field(kind);
        hasher
    }

    /// One more field.
    pub(crate) fn field(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    pub(crate) fn finish(self) -> Sha256 {
        Sha256::from_bytes(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldHasher, NodeId};

    #[test]
    fn a_node_has_one_text_form() {
        let node: NodeId = "studio/review/Main_Pack".parse().expect("valid");
        assert_eq!(
            (node.repo.as_str(), node.package.as_str()),
            ("studio/review", "main-pack")
        );
        assert_eq!(node.to_string(), "studio/review/main-pack");
        for bad in ["table", "/table", "review/", "review/-"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let digest = |fields: &[&str]| {
            let mut hasher = FieldHasher::new("test");
            for field in fields {
                hasher.field(field);
            }
            hasher.finish()
        };
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
    }
}
