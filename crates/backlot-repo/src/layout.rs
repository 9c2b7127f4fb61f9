//! Paths in a repo folder, its kind, and creating a new one.
//!
//! Invariant: every path made here is inside the root, because its parts are normalised names, versions and parsed wheel
//! names. The marker `repo.json` is created exclusively and before anything else, so two machines that make the same repo
//! at once agree. **An unreadable folder never counts as empty**: a repo that had releases and has no `packages/` is an
//! error. Deliberately absent: any decision about releases.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_backend::CommitBy;
use backlot_core::PlaceIdentity;
use backlot_core::file::Created;
use backlot_core::presence::{is_absence, is_absent, is_dead_link, is_folder, read_folder};
use backlot_core::shared::{self, make_folder};
use backlot_pep::PackageName;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::bounded::read_bounded;
use crate::error::{Error, Result};
use crate::location::Location;

/// How coarse the times of file systems and servers may be: two changes within it may have one time.
pub(crate) const COARSE: Duration = Duration::from_secs(2);

/// The layout's version, as `repo.json` says it.
pub const FORMAT: u64 = 1;

/// The most a marker may have.
pub(crate) const MARKER_LIMIT: u64 = 64 * 1024;

/// The kind of folder of a repo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoKind {
    /// Absent or empty: becomes the Backlot layout with the first publish.
    Empty,
    /// Laid out by Backlot.
    Backlot,
    /// Packages lying directly in the folder (find-links): only read.
    Flat,
}

/// The contents of `repo.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    #[serde(rename = "backlot-repo")]
    format: u64,
    /// How a store of objects commits; a folder does it by a link and says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<CommitBy>,
    /// Tells this repo from others, wherever it is mounted; older versions wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

impl Marker {
    /// That of a new repo.
    pub(crate) fn fresh(commit: Option<CommitBy>) -> Self {
        Self {
            format: FORMAT,
            commit,
            id: Some(PlaceIdentity::fresh()),
        }
    }

    /// Which repo it says this is.
    pub(crate) fn identity(self) -> PlaceIdentity {
        self.id.map_or(PlaceIdentity::Unnamed, PlaceIdentity::Named)
    }

    /// The bytes of its file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let by = match self.commit {
            None => "",
            Some(CommitBy::Create) => ", \"commit\": \"create\"",
            Some(CommitBy::Move) => ", \"commit\": \"move\"",
        };
        let id = self.id.as_ref().map(|id| format!(", \"id\": \"{id}\""));
        let id = id.unwrap_or_default();
        format!("{{\"backlot-repo\": {FORMAT}{by}{id}}}\n").into_bytes()
    }
}

/// Read a marker at `place` in a repo at `root`.
pub(crate) fn read_marker(bytes: &[u8], place: &Location, root: &Location) -> Result<Marker> {
    let bad = |reason: String| Error::BadMarker {
        place: place.clone(),
        reason,
    };
    let marker: Marker = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    match marker.format {
        FORMAT => Ok(marker),
        0 => Err(bad("format 0 does not exist".to_owned())),
        found => Err(Error::NewerFormat {
            place: root.clone(),
            found,
            known: FORMAT,
        }),
    }
}

/// The paths of one repo.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) root: PathBuf,
}

impl Places {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }
    fn marker(&self) -> PathBuf {
        self.root.join("repo.json")
    }
    fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }
    fn package(&self, name: &PackageName) -> PathBuf {
        self.packages().join(name.as_str())
    }
    fn simple(&self) -> PathBuf {
        self.root.join("simple")
    }
    /// An error unless a package whose folder was not found surely has none.
    pub(crate) fn check_absent(&self, name: &PackageName) -> Result<()> {
        let folder = self.package(name);
        if is_dead_link(&folder)? {
            return Err(Error::NoPackages { place: folder.into() });
        }
        self.check_packages()
    }

    /// An error if the folder of all packages is gone or cannot be reached. A repo that was made and never published to may
    /// have none: its creator was killed, or the marker was written manually.
    pub(crate) fn check_packages(&self) -> Result<()> {
        let packages = self.packages();
        let is_gone = match fs::metadata(&packages) {
            Ok(found) => !found.is_dir(),
            Err(error) if is_absence(&error) => {
                is_dead_link(&packages)?
                    // Laid out by us when it was looked at, and now nothing is left.
                    || is_absent(&self.marker())?
                    || has_folders(&self.root.join("status"))?
                    || has_folders(&self.simple())?
            }
            Err(error) => return Err(error.into()),
        };
        // Created concurrently by another process: the folder comes before everything that marks it.
        if is_gone && !is_folder(&packages).unwrap_or(false) {
            let place = packages.into();
            return Err(Error::NoPackages { place });
        }
        Ok(())
    }

    /// Inspect the folder. Repeated for each operation: another process may just have created the repo.
    pub(crate) fn kind(&self) -> Result<RepoKind> {
        match fs::metadata(&self.root) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(Error::NotAFolder {
                    path: self.root.clone(),
                });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(RepoKind::Empty),
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(Error::NotAFolder {
                    path: self.root.clone(),
                });
            }
            Err(e) => return Err(e.into()),
        }
        if self.is_marked()? {
            return Ok(RepoKind::Backlot);
        }
        let (mut packages, mut archives, mut others) = (false, false, false);
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            match name.to_str() {
                Some(hidden) if hidden.starts_with('.') => {}
                Some("packages") => packages = is_folder(&entry.path())?,
                Some(archive) if is_archive(archive) => archives = true,
                _ => others = true,
            }
        }
        Ok(match (archives, packages, others) {
            // Files of a repo that was made since the first look follow its marker, so a second look is enough.
            (true, _, _) | (false, false, true) if self.is_marked()? => RepoKind::Backlot,
            (true, _, _) | (false, false, true) => RepoKind::Flat,
            // The objects are the truth: a copy of `packages/` without the marker is the same repo.
            (false, true, _) => RepoKind::Backlot,
            (false, false, false) => RepoKind::Empty,
        })
    }

    /// Whether the marker is there; an error if it is wrong.
    fn is_marked(&self) -> Result<bool> {
        Ok(self.find_marker()?.is_some())
    }

    /// Which repo this is.
    pub(crate) fn identity(&self) -> Result<PlaceIdentity> {
        if let Some(marker) = self.find_marker()? {
            return Ok(marker.identity());
        }
        Ok(match self.kind()? {
            RepoKind::Empty => PlaceIdentity::Absent,
            RepoKind::Backlot | RepoKind::Flat => PlaceIdentity::Unnamed,
        })
    }

    fn find_marker(&self) -> Result<Option<Marker>> {
        let bytes = read_bounded(&self.marker(), MARKER_LIMIT)?;
        let marker = bytes.map(|bytes| read_marker(&bytes, &self.marker().into(), &self.root.clone().into()));
        marker.transpose()
    }

    /// Ensure that the folder is a Backlot repo. Returns whether this call created it.
    pub(crate) fn ensure(&self, with_parents: bool) -> Result<bool> {
        if self.kind()? == RepoKind::Flat {
            return Err(Error::FlatFolder {
                path: self.root.clone(),
            });
        }
        let parent = self.root.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent
            && !with_parents
            && !parent.is_dir()
        {
            return Err(Error::NoPlace {
                path: parent.to_path_buf(),
            });
        }
        shared::make_root(&self.root)?;
        let found = self.find_marker()?;
        if found.as_ref().is_some_and(|marker| marker.commit.is_some()) {
            return Err(Error::OtherWay {
                place: self.root.clone().into(),
            });
        }
        // The link is tried only when needed: most publishes find a repo.
        let made = found.is_none()
            && shared::create(&self.marker(), &Marker::fresh(None).to_bytes())? == Created::New;
        self.check_packages()?;
        make_folder(&self.packages())?;
        Ok(made)
    }
}

/// Whether a folder has folders whose names are not hidden; a link to nothing may have had some.
fn has_folders(folder: &Path) -> Result<bool> {
    let Some(entries) = read_folder(folder)? else {
        return Ok(is_dead_link(folder)?);
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.file_type()?.is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a file name is that of a package archive of any kind.
pub(crate) fn is_archive(name: &str) -> bool {
    is_wheel(name) || source_suffix(name).is_some()
}

/// Whether a file name ends as wheels do.
pub(crate) fn is_wheel(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "whl")
}

/// The ending of a source distribution or an older kind of package.
pub(crate) fn source_suffix(name: &str) -> Option<&'static str> {
    [".tar.gz", ".tgz", ".tar.bz2", ".zip", ".egg"]
        .into_iter()
        .find(|suffix| name.ends_with(suffix))
}
