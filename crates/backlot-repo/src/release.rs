//! One wheel of a repo, wherever the repo is, or a source distribution of a version that has no wheel there.
//!
//! Invariant: what is `None` is not known without reading the file: a folder knows all of a wheel, an index only what its
//! pages say. Deliberately absent: reading; see [`crate::Repo`].

use backlot_core::{PackageName, Sha256, Timestamp, Version};
use backlot_wheel::WheelName;
use serde::Serialize;

use crate::fact::ReleaseStatus;
use crate::listing::{FolderRelease, Listing, modified_of};
use crate::place::Place;
use crate::publish::source_in_folder;

/// What kind of file a release is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseKind {
    /// A wheel.
    #[default]
    Wheel,
    /// A source distribution.
    Sdist,
}

/// One file of a repo that can be installed.
#[derive(Clone, Debug, Serialize)]
pub struct Release {
    /// What kind of file it is.
    pub kind: ReleaseKind,
    /// The file name, parsed; of a source distribution, that of the wheel it becomes.
    #[serde(skip)]
    pub name: WheelName,
    /// The file name.
    pub file: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// Where it lies.
    pub place: Place,
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
    #[serde(skip)]
    pub(crate) metadata_sha256: Option<Sha256>,
    /// Whether an index has its metadata beside it.
    #[serde(skip)]
    pub(crate) has_metadata: bool,
    /// The whole URL of the wheel, which may hold a signature and is not shown.
    #[serde(skip)]
    pub(crate) link: Option<String>,
    /// A file's modification time in milliseconds; 0 on an index, and where it was not looked at.
    #[serde(skip)]
    pub(crate) modified: u64,
}

impl Release {
    /// A source distribution of which nothing is known but its name.
    pub(crate) fn sdist(file: String, package: PackageName, version: Version, place: Place) -> Self {
        Self {
            kind: ReleaseKind::Sdist,
            name: WheelName::pure(&package, &version),
            file,
            package,
            version,
            place,
            size: None,
            sha256: None,
            requires_python: None,
            published_at: None,
            yanked: None,
            deprecated: None,
            metadata_sha256: None,
            has_metadata: false,
            link: None,
            modified: 0,
        }
    }

    /// With what was said of it.
    pub(crate) fn said(self, status: ReleaseStatus) -> Self {
        Self {
            yanked: status.yanked.map(|fact| fact.reason),
            deprecated: status.deprecated.map(|fact| fact.reason),
            ..self
        }
    }

    /// Whether it is a source distribution.
    pub fn is_sdist(&self) -> bool {
        self.kind == ReleaseKind::Sdist
    }

    /// The same as its folder knows it; `None` for one of an index, and for what cannot be read.
    pub(crate) fn in_folder(&self) -> Option<FolderRelease> {
        let path = self.place.path()?;
        if self.is_sdist() {
            return source_in_folder(self).ok();
        }
        let modified = match self.modified {
            0 => modified_of(&fs_err::metadata(path).ok()?),
            known => known,
        };
        Some(FolderRelease {
            name: self.name.clone(),
            file: self.file.clone(),
            package: self.package.clone(),
            version: self.version.clone(),
            path: path.to_path_buf(),
            size: self.size?,
            sha256: self.sha256?,
            metadata_sha256: self.metadata_sha256?,
            requires_python: self.requires_python.clone(),
            published_at: self.published_at?,
            modified,
        })
    }
}

impl From<FolderRelease> for Release {
    fn from(release: FolderRelease) -> Self {
        Self {
            kind: ReleaseKind::Wheel,
            name: release.name,
            file: release.file,
            package: release.package,
            version: release.version,
            place: release.path.into(),
            size: Some(release.size),
            sha256: Some(release.sha256),
            requires_python: release.requires_python,
            published_at: Some(release.published_at),
            yanked: None,
            deprecated: None,
            metadata_sha256: Some(release.metadata_sha256),
            has_metadata: false,
            link: None,
            modified: release.modified,
        }
    }
}

impl From<Listing<FolderRelease>> for Listing<Release> {
    fn from(listing: Listing<FolderRelease>) -> Self {
        Self {
            releases: listing.releases.into_iter().map(Release::from).collect(),
            sources: listing.sources,
            broken: listing.broken,
            unsupported: listing.unsupported,
        }
    }
}
