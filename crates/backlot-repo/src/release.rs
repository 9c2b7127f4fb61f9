//! One wheel of a repo, wherever the repo is.
//!
//! Invariant: what is `None` is not known without reading the wheel: a folder knows all of it, an index only what its
//! pages say. Deliberately absent: reading; see [`crate::Repo`].

use std::path::Path;

use backlot_core::{PackageName, Sha256, Timestamp, Version};
use backlot_wheel::WheelName;
use serde::Serialize;

use crate::listing::{FolderRelease, Listing};
use crate::place::Place;

/// One wheel of a repo.
#[derive(Clone, Debug, Serialize)]
pub struct Release {
    /// The file name, parsed.
    #[serde(skip)]
    pub name: WheelName,
    /// The file name.
    pub file: String,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// Where the wheel lies.
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
    /// The digest of its METADATA, if known.
    #[serde(skip)]
    pub(crate) metadata_sha256: Option<Sha256>,
    /// Whether an index has its metadata beside it.
    #[serde(skip)]
    pub(crate) has_metadata: bool,
    /// The whole URL of the wheel, which may hold a signature and is not shown.
    #[serde(skip)]
    pub(crate) link: Option<String>,
    /// A file's modification time in milliseconds; 0 on an index.
    #[serde(skip)]
    pub(crate) modified: u64,
}

impl Release {
    /// The same as its folder knows it; `None` for one of an index.
    pub(crate) fn in_folder(&self) -> Option<FolderRelease> {
        Some(FolderRelease {
            name: self.name.clone(),
            file: self.file.clone(),
            package: self.package.clone(),
            version: self.version.clone(),
            path: self.place.path().map(Path::to_path_buf)?,
            size: self.size?,
            sha256: self.sha256?,
            metadata_sha256: self.metadata_sha256?,
            requires_python: self.requires_python.clone(),
            published_at: self.published_at?,
            modified: self.modified,
        })
    }
}

impl From<FolderRelease> for Release {
    fn from(release: FolderRelease) -> Self {
        Self {
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
            broken: listing.broken,
            unsupported: listing.unsupported,
        }
    }
}
