//! `backlot.lock`: the exact releases in `inputs/`, with the digest of each wheel.
//!
//! Invariant: two runs that chose the same releases write the same bytes. Format in `docs/format/lock.md`.

use std::path::{Path, PathBuf};

use backlot_core::{Context, Sha256, file, text};
use backlot_pep::{DirectUrl, GroupName, PackageName, Version};
use backlot_repo::{DirectFile, ReleaseFile, ReleaseKind, Repo};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WorkspaceError};

/// File name of the lock.
pub(crate) const FILE_NAME: &str = "backlot.lock";
const FORMAT: u64 = 1;

/// A lock that was chosen and written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WrittenLock {
    /// It.
    pub lock: Lock,
    /// Whether it differs from the one before.
    pub changed: bool,
}

/// The whole lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lock {
    /// Format of the file.
    pub version: u64,
    /// Python version the markers were judged for.
    pub python: String,
    /// The requirements when it was written, sorted.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// The conda requirements it was made for, with the one for Python, sorted.
    #[serde(default, rename = "conda-requirements", skip_serializing_if = "Vec::is_empty")]
    pub conda_requirements: Vec<String>,
    /// The releases, sorted by name.
    #[serde(default, rename = "package")]
    pub packages: Vec<LockedPackage>,
    /// The conda packages of `external_packages/`, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conda: Vec<LockedConda>,
}

/// One conda package of the lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LockedConda {
    /// Its name, in lower case.
    pub name: String,
    /// Its version, as conda counts.
    pub version: String,
    /// Which build of that version.
    pub build: String,
    /// The platform it is for: `linux-64`, `noarch`.
    pub subdir: String,
    /// Its location: a URL, or a path relative to the workspace.
    pub url: String,
    /// The digest of the archive.
    pub sha256: Sha256,
    /// Size of the archive in bytes, if the channel declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The part of the file that every format has.
#[derive(Deserialize)]
struct Probe {
    version: u64,
}

/// One release of the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct LockedPackage {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Its repo; `None` for an editable or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Its URL, without the fragment, if it was required by URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The wheel's file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheel: Option<String>,
    /// The file name of the source distribution, if there is no wheel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdist: Option<String>,
    /// The file's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The output folder of an editable, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editable: Option<String>,
    /// The label that it was chosen by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the workspace requires it directly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// The groups chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// Its requirements in this environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<PackageName>,
}

impl LockedPackage {
    /// A package that is taken from nowhere yet.
    pub(crate) fn new(name: PackageName, version: Version) -> Self {
        Self {
            name,
            version,
            repo: None,
            url: None,
            wheel: None,
            sdist: None,
            sha256: None,
            editable: None,
            label: None,
            requested: false,
            groups: Vec::new(),
            needs: Vec::new(),
        }
    }

    /// Take a release's file from a repo.
    pub(crate) fn take(&mut self, repo: &str, release: &ReleaseFile, sha256: Sha256) {
        let file = Some(release.file.clone());
        (self.wheel, self.sdist) = if release.is_sdist() {
            (None, file)
        } else {
            (file, None)
        };
        self.repo = Some(repo.to_owned());
        self.sha256 = Some(sha256);
    }

    /// Take the file that a URL names.
    pub(crate) fn take_direct(&mut self, url: &DirectUrl, found: &DirectFile) {
        let file = Some(url.file().to_owned());
        (self.wheel, self.sdist) = match found.kind {
            ReleaseKind::Wheel => (file, None),
            ReleaseKind::Sdist => (None, file),
        };
        self.url = Some(url.as_str().to_owned());
        self.sha256 = Some(found.sha256);
    }

    /// The URL it comes from, if it does.
    pub(crate) fn direct_url(&self) -> Result<Option<DirectUrl>> {
        let url = self.url.as_deref().map(DirectUrl::parse).transpose()?;
        Ok(url.map(|url| url.promising(self.sha256)))
    }

    /// The same for display.
    pub(crate) fn told_url(&self) -> Option<String> {
        Some(self.direct_url().ok()??.to_string())
    }

    /// The contents of its `direct_url.json` (PEP 610), as pip writes it.
    pub(crate) fn direct_url_json(&self) -> Option<serde_json::Value> {
        let (url, sha256) = (self.url.as_ref()?, self.sha256?.to_hex());
        Some(serde_json::json!({
            "url": url,
            "archive_info": { "hash": format!("sha256={sha256}"), "hashes": { "sha256": sha256 } },
        }))
    }

    /// The file name.
    pub(crate) fn file(&self) -> Option<&String> {
        self.wheel.as_ref().or(self.sdist.as_ref())
    }

    /// The files of the package in a repo, of the locked kind.
    pub(crate) fn of_its_kind(&self, repo: &Repo, context: &Context) -> Result<Vec<ReleaseFile>> {
        Ok(if self.sdist.is_some() {
            repo.sources(&self.name)?
        } else {
            repo.wheels(&self.name, context)?
        })
    }
}

impl Lock {
    /// A lock of these packages.
    pub fn new(python: String, mut requirements: Vec<String>, mut packages: Vec<LockedPackage>) -> Self {
        requirements.sort();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            version: FORMAT,
            python,
            requirements,
            conda_requirements: Vec::new(),
            packages,
            conda: Vec::new(),
        }
    }

    /// The same with another state of one package.
    #[must_use]
    pub(crate) fn with(mut self, package: LockedPackage) -> Self {
        self.packages.retain(|other| other.name != package.name);
        self.packages.push(package);
        self.packages.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// The same with the conda packages of another one: they are chosen by themselves.
    #[must_use]
    pub(crate) fn with_conda_of(mut self, other: Option<&Self>) -> Self {
        if let Some(other) = other {
            self.conda_requirements.clone_from(&other.conda_requirements);
            self.conda.clone_from(&other.conda);
        }
        self
    }

    /// Whether the lock may name conda packages, without reading all of it as TOML: asked by every install.
    pub(crate) fn may_have_conda(root: &Path) -> Result<bool> {
        let bytes = file::read_if_exists(&Self::path(root))?;
        Ok(bytes.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains("conda")))
    }

    /// The path of the lock of a workspace.
    pub fn path(root: &Path) -> PathBuf {
        root.join(FILE_NAME)
    }

    /// Read the lock of a workspace, if it exists.
    pub fn load(root: &Path) -> Result<Option<Self>> {
        let path = Self::path(root);
        let Some(bytes) = file::read_if_exists(&path)? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes).map_err(|e| {
            Error::from(WorkspaceError::DamagedLock {
                path: path.clone(),
                reason: e.to_string(),
            })
        })?;
        Self::parse(&path, &text).map(Some)
    }

    /// The same for a new resolution: a damaged one causes a warning, and counts as none.
    pub(crate) fn load_to_replace(root: &Path, context: &Context) -> Result<Option<Self>> {
        match Self::load(root) {
            Err(error @ Error::Workspace(WorkspaceError::DamagedLock { .. })) => {
                context.warn("lock::rewritten", format!("{error}; resolving everything again"));
                Ok(None)
            }
            loaded => loaded,
        }
    }

    /// Read the text of a lock; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let bad = |reason: String| {
            Error::from(WorkspaceError::DamagedLock {
                path: path.to_path_buf(),
                reason,
            })
        };
        let probe: Probe = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
        if probe.version > FORMAT {
            return Err(WorkspaceError::NewerFormat {
                path: path.to_path_buf(),
                found: probe.version,
                known: FORMAT,
            }
            .into());
        }
        toml::from_str(text).map_err(|e| bad(e.to_string()))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("a lock is plain data");
        format!(
            "# The exact inputs of this workspace. Written by backlot; commit it, do not edit it.\n{body}"
        )
    }

    /// Write it if it differs. Returns whether it did.
    pub fn save(&self, root: &Path) -> Result<bool> {
        Ok(file::write_if_changed(
            &Self::path(root),
            self.to_text().as_bytes(),
        )?)
    }

    /// The error that a package is not installed, with the one that is spelled most like it.
    pub(crate) fn lacks(lock: Option<&Self>, name: PackageName) -> WorkspaceError {
        let known = lock.into_iter().flat_map(|lock| &lock.packages);
        let nearest = text::nearest(name.as_str(), known.map(|package| package.name.as_str()));
        WorkspaceError::NotInstalled {
            nearest: nearest.map(ToOwned::to_owned),
            name,
        }
    }

    /// The entry of a package.
    pub fn package(&self, name: &PackageName) -> Option<&LockedPackage> {
        self.packages.iter().find(|p| &p.name == name)
    }
}
