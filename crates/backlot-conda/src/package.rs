//! A resolved conda package, as recorded in a lock.

use std::fmt;
use std::path::Path;

use backlot_core::Sha256;
use rattler_conda_types::package::{DistArchiveIdentifier, DistArchiveType};
use rattler_conda_types::{PackageName, PackageRecord, Version, VersionWithSource};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::channel::place;
use crate::error::{Error, Result};

/// A package of a channel, exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CondaPackage {
    /// Its name, in lower case.
    pub name: String,
    /// Its version, as conda counts.
    pub version: String,
    /// Which build of that version.
    pub build: String,
    /// The platform it is for: `linux-64`, `noarch`.
    pub subdir: String,
    /// Its location: a URL, or a path relative to the same folder as its channel.
    pub url: String,
    /// The digest of the archive.
    pub sha256: Sha256,
    /// Bytes of the archive, where the channel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl fmt::Display for CondaPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.build)
    }
}

impl CondaPackage {
    fn bad(&self, reason: impl Into<String>) -> Error {
        Error::BadPackage {
            package: self.to_string(),
            reason: reason.into(),
        }
    }

    /// The URL it is fetched from.
    pub(crate) fn location(&self, root: &Path) -> Result<Url> {
        place(&self.url, root, false).map_err(|reason| self.bad(format!("`{}`: {reason}", self.url)))
    }

    /// The kind and name of its archive.
    pub(crate) fn archive(&self, url: &Url) -> Result<DistArchiveIdentifier> {
        match DistArchiveIdentifier::try_from_url(url) {
            Some(archive) if matches!(archive.archive_type, DistArchiveType::Conda(_)) => Ok(archive),
            _ => Err(self.bad("its file is neither a .conda nor a .tar.bz2")),
        }
    }

    /// The known metadata before it is fetched.
    pub(crate) fn record(&self) -> Result<PackageRecord> {
        let name: PackageName = self.name.parse().map_err(|_| self.bad("invalid name"))?;
        let version: Version = self.version.parse().map_err(|_| self.bad("invalid version"))?;
        let build = self.build.parse().map_err(|_| self.bad("invalid build string"))?;
        let version = VersionWithSource::new(version, &self.version);
        let mut record = PackageRecord::new(name, version, build);
        record.subdir.clone_from(&self.subdir);
        record.sha256 = Some((*self.sha256.as_bytes()).into());
        record.size = self.size;
        Ok(record)
    }

    /// Whether metadata from inside the archive is of this package.
    pub(crate) fn check_identity(&self, inside: &PackageRecord) -> Result<()> {
        let found = (
            inside.name.as_normalized(),
            inside.version.as_str().into_owned(),
            inside.build.to_string(),
        );
        if found == (self.name.as_str(), self.version.clone(), self.build.clone()) {
            return Ok(());
        }
        Err(self.bad(format!(
            "its archive contains {} {} ({})",
            found.0, found.1, found.2
        )))
    }
}
