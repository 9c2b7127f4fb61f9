//! One wheel of a repo, wherever the repo is, or a source distribution of a version that has no wheel there.
//!
//! Invariant: `None` means unknown without reading the file: a folder knows everything about a wheel, an index only what its
//! pages say. Deliberately absent: reading; see [`crate::Repo`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_core::web::shown;
use backlot_core::{Sha256, StrongDigest, Timestamp};
use backlot_pep::{PackageName, Version};
use backlot_wheel::WheelName;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use url::Url;

use crate::location::Location;
use crate::release_event::ReleaseStatus;

/// The kind of file of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseKind {
    /// A wheel.
    #[default]
    Wheel,
    /// A source distribution.
    Sdist,
}

/// The location of a release file. Kept small: there may be a hundred thousand of them.
#[derive(Clone, Debug)]
pub(crate) enum FileLocation {
    /// In a folder, under its file name.
    Dir(Arc<Path>),
    /// Behind a URL, whole: it may hold a signature, and is not shown.
    Url(Box<str>),
    /// In a store of objects, under a key.
    Key(Box<str>, Location),
}

/// Digests of an index beside or instead of SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StrongDigests {
    /// Of the file.
    pub(crate) file: Option<StrongDigest>,
    /// Of its METADATA.
    pub(crate) metadata: Option<StrongDigest>,
}

/// One file of a repo that can be installed.
#[derive(Clone, Debug)]
pub struct ReleaseFile {
    /// The kind of file.
    pub kind: ReleaseKind,
    /// The file name, parsed; of a source distribution, that of the wheel it becomes.
    pub name: WheelName,
    /// The file name.
    pub file: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// Its location.
    pub(crate) lies: FileLocation,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// Its digest, if known; [`crate::Repo::digest`] finds it out where it is not.
    pub sha256: Option<Sha256>,
    /// The range of Python versions, as its metadata or page has it.
    pub requires_python: Option<String>,
    /// When it was published, if known.
    pub published_at: Option<Timestamp>,
    /// The reason, if its index says it is yanked; for a folder see [`crate::Repo::status`].
    pub yanked: Option<String>,
    /// The reason, if people should move away from it; for a folder see [`crate::Repo::status`].
    pub deprecated: Option<String>,
    /// The digest of its METADATA, if known.
    pub(crate) metadata_sha256: Option<Sha256>,
    /// Longer digests than those, of an index; few have any.
    pub(crate) strong: Option<Box<StrongDigests>>,
    /// Whether an index has its metadata beside it.
    pub(crate) has_metadata: bool,
    /// A file's modification time in milliseconds; 0 on an index, and where it was not looked at.
    pub(crate) modified: u64,
}

impl ReleaseFile {
    /// Its location, for display.
    pub fn place(&self) -> Location {
        match &self.lies {
            FileLocation::Dir(folder) => folder.join(&self.file).into(),
            FileLocation::Url(link) => {
                Location::Url(Url::parse(link).map_or_else(|_| self.file.clone(), |url| shown(&url)))
            }
            FileLocation::Key(_, place) => place.clone(),
        }
    }

    /// Its path, if it is in a folder.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.lies {
            FileLocation::Dir(folder) => Some(folder.join(&self.file)),
            FileLocation::Url(_) | FileLocation::Key(..) => None,
        }
    }

    /// The whole URL of one on an index, or its key in a store; neither is shown.
    pub(crate) fn link(&self) -> Option<&str> {
        match &self.lies {
            FileLocation::Dir(_) => None,
            FileLocation::Url(link) | FileLocation::Key(link, _) => Some(link),
        }
    }

    /// With its status.
    pub(crate) fn said(self, status: ReleaseStatus) -> Self {
        Self {
            yanked: status.yanked.map(|fact| fact.reason),
            deprecated: status.deprecated.map(|fact| fact.reason),
            ..self
        }
    }

    /// The SHA-384 or SHA-512 that an index promises of the file.
    pub fn strong(&self) -> Option<&StrongDigest> {
        self.strong.as_ref()?.file.as_ref()
    }

    /// Whether its place promises a digest of it.
    pub fn has_digest(&self) -> bool {
        self.sha256.is_some() || self.strong().is_some()
    }

    /// Whether it is a source distribution.
    pub fn is_sdist(&self) -> bool {
        self.kind == ReleaseKind::Sdist
    }
}

/// The form for display and JSON.
impl Serialize for ReleaseFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serializer.serialize_struct("Release", 11)?;
        shown.serialize_field("kind", &self.kind)?;
        shown.serialize_field("file", &self.file)?;
        shown.serialize_field("package", &self.package)?;
        shown.serialize_field("version", &self.version)?;
        shown.serialize_field("place", &self.place())?;
        shown.serialize_field("size", &self.size)?;
        shown.serialize_field("sha256", &self.sha256)?;
        shown.serialize_field("requires_python", &self.requires_python)?;
        shown.serialize_field("published_at", &self.published_at)?;
        shown.serialize_field("yanked", &self.yanked)?;
        shown.serialize_field("deprecated", &self.deprecated)?;
        shown.end()
    }
}
